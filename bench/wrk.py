"""The load: wrk, on the machine that serves."""

from __future__ import annotations

import json
from dataclasses import dataclass

from .host import Host
from .statistics import Spread, ratios


@dataclass(frozen=True)
class Load:
    """What one run of wrk has found."""

    per_second: float
    p50: float
    p99: float
    longest: float
    errors: int


def parse(output: str) -> Load:
    """Read the line that wrk.lua writes below what wrk itself says."""
    line = next((line for line in output.splitlines() if line.startswith("{")), "")
    if not line:
        raise ValueError(f"wrk has not told its numbers: {output[-500:]}")
    numbers = json.loads(line)
    times = numbers["milliseconds"]
    return Load(numbers["requests"] / numbers["seconds"], times["p50"], times["p99"], times["max"], sum(numbers["errors"].values()))


def load(host: Host, url: str, seconds: int, connections: int = 8, upload: bool = False, headers: tuple[str, ...] = ()) -> Load:
    """Ask for a URL again and again, on as many connections at once."""
    command = ["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", "/srv/bench/wrk.lua"]
    for header in headers:
        command += ["-H", header]
    return parse(host.run(*command, url, *(["--", "up"] if upload else [])))


def compared(measured: dict[str, list[Load]], ours: str) -> dict[str, Spread]:
    """How many times as many requests our server answers as each."""
    rates = {name: [found.per_second for found in loads] for name, loads in measured.items()}
    return {name: ratios(rates[ours], theirs) for name, theirs in rates.items() if name != ours}
