"""Faults against a host under load, in an order that a seed makes, and what has to hold after each of them."""
