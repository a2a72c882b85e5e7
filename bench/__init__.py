"""The benchmarks: what the collection's deployment serves, costs and takes, beside what it can be compared with."""
