-- wrk ... -s wrk.lua URL [-- up]: with "up", a request sends a megabyte. The numbers come as one line of JSON.

function init(args)
    if args[1] == "up" then
        wrk.method = "POST"
        wrk.body = string.rep("x", 1048576)
        wrk.headers["Content-Type"] = "application/octet-stream"
    end
end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '{"requests": %d, "seconds": %.3f, "errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}, '
            .. '"milliseconds": {"p50": %.3f, "p90": %.3f, "p99": %.3f, "max": %.3f}}\n',
        summary.requests, summary.duration / 1e6,
        errors.connect, errors.read, errors.write, errors.status, errors.timeout,
        latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3
    ))
end
