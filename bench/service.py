"""Time to service: a handover and a reboot, split into their parts."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from . import results
from .deploying import GALAXY, TINY, Case, deployed
from .host import Host, say
from .pictures import Bar, Panel, bars
from .statistics import spread

# What the command says as a part of a handover begins.
PARTS = (
    ("prove", "prove what is written with a candidate"),
    ("start", "start the other slot beside the one that serves"),
    ("stop", "let the old processes finish"),
)


def handover(host: Host, case: Case) -> dict[str, Any]:
    """Replace the processes once, and return what that took."""
    user = "galaxy" if case is GALAXY else "bench"
    found: dict[str, Any] = json.loads(host.run("/usr/bin/python3", "/root/watch.py", user, f"/usr/local/sbin/{case.instance}-web", "restart"))
    if found["status"]:
        raise RuntimeError(f"the handover has failed: {found['lines']}")
    return found


def handover_parts(found: Mapping[str, Any]) -> dict[str, float]:
    """The seconds of each part of a handover: it ends as the next one begins."""
    begins = [(word, next(moment for moment, line in found["lines"] if line.startswith(word))) for word, _title in PARTS]
    ends = [moment for _word, moment in begins[1:]] + [found["seconds"]]
    parts = {"begin": begins[0][1], **{word: end - begin for (word, begin), end in zip(begins, ends)}}
    return {**{word: round(seconds, 2) for word, seconds in parts.items()}, "all": found["seconds"]}


def stamps(shown: str) -> list[float]:
    """The seconds in what `systemctl show` says of times."""
    return [int(number) / 1e6 for number in re.findall(r"=(\d+)$", shown, re.MULTILINE)]


def reboot_parts(host: Host, case: Case) -> dict[str, float]:
    """The seconds of each part of a reboot, from the call for it to the first answer of the application through nginx."""
    path = "/api/version" if case is GALAXY else "/fast"
    started = time.monotonic()
    subprocess.run(["podman", "stop", "--time", "120", host.name], check=True, capture_output=True)
    stopped = time.monotonic()
    subprocess.run(["podman", "start", host.name], check=True, capture_output=True)
    url = f"http://{host.address()}{path}"
    while not answers(url):
        time.sleep(0.1)
    answered = time.monotonic()
    # It serves before it has proven that it does, which is when its unit becomes active.
    slots = [f"{case.instance}-web@{number}.service" for number in (1, 2)]
    while not (active := [slot for slot in slots if host.run("systemctl", "is-active", slot, check=False).strip() == "active"]):
        time.sleep(0.1)
    (slot,) = active
    (boot,) = stamps(host.run("systemctl", "show", "--property=UserspaceTimestampMonotonic"))
    begin, ready = stamps(host.run("systemctl", "show", slot, "--property=InactiveExitTimestampMonotonic", "--property=ActiveEnterTimestampMonotonic"))
    # The clock of the host is that of its containers.
    begin, ready = min(begin, ready), min(max(begin, ready), answered)
    parts = {"down": stopped - started, "boot": begin - boot, "load": ready - begin}
    parts["answer"] = (answered - started) - sum(parts.values())
    return {**{name: round(seconds, 2) for name, seconds in parts.items()}, "all": round(answered - started, 2)}


def answers(url: str) -> bool:
    """Whether the application answers."""
    try:
        with urllib.request.urlopen(url, timeout=120) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def summary(rounds: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The spread of each part."""
    return {part: spread(found[part] for found in rounds).as_dict() for part in rounds[0]}


def measure(case: Case, rounds: int) -> tuple[dict[str, Any], Host]:
    """Hand over and reboot again and again."""
    host = deployed(case)
    host.copy(["watch.py"], "/root")
    handovers, reboots = [], []
    for number in range(rounds):
        say(f"{case.title}: handover and reboot {number + 1} of {rounds}")
        handovers.append(handover_parts(handover(host, case)))
        reboots.append(reboot_parts(host, case))
    return {"handover": summary(handovers), "reboot": summary(reboots)}, host


def picture(result: dict[str, Any]) -> str:
    """The parts of both."""
    titles = {
        "handover": {**dict(PARTS), "all": "all of it; the site serves all the while"},
        "reboot": {
            "down": "stop the machine",
            "boot": "boot, until the web processes start",
            "load": "load the application, prove that it answers",
            "answer": "the first answer through nginx, and what podman takes",
            "all": "all of it",
        },
    }
    panels = []
    for name, title in result["cases"].items():
        for event in ("handover", "reboot"):
            panel = Panel(f"{title}: a {event}", "s")
            for part, label in titles[event].items():
                panel.bars.append(Bar.of(label, result["found"][name][event][part], ours=part == "all"))
            panels.append(panel)
    return bars("Time to service", "seconds; bars: median of the rounds; lines: least to greatest", panels, result)


def run(rounds: int, seconds: int, keep: bool) -> None:
    """Measure, and keep what was found."""
    machine = results.machine()
    found = {}
    for case, times in ((TINY, rounds), (GALAXY, min(rounds, 3))):
        found[case.name], host = measure(case, times)
        if not keep:
            host.remove()
    cases = {case.name: case.title for case in (TINY, GALAXY)}
    results.write("service", {"machine": machine, "rounds": {"tiny": rounds, "galaxy": min(rounds, 3)}, "cases": cases, "found": found}, [])
