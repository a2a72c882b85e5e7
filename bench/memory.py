"""Memory: what the deployed processes have together, at rest and during a handover, preforked and lazy."""

from __future__ import annotations

import json
from typing import Any

from . import results
from .deploying import GALAXY, TINY, Case, bare, deployed
from .host import Host, play, say
from .pictures import Bar, Panel, bars
from .statistics import Goal, spread

MEGABYTES = 100
KINDS = {"preforked": {"lazy-apps": False}, "lazy": {"lazy-apps": True}}


def handover(host: Host, case: Case) -> dict[str, Any]:
    """Hand over once, and tell what that took."""
    user = "galaxy" if case is GALAXY else "bench"
    found: dict[str, Any] = json.loads(host.run("/usr/bin/python3", "/root/watch.py", user, f"/usr/local/sbin/{case.instance}-web", "restart"))
    if found["status"]:
        raise RuntimeError(f"the handover has failed: {found['lines']}")
    return found


def summary(handovers: list[dict[str, Any]], kind: str = "web") -> dict[str, Any]:
    """The spread over some handovers, in MiB."""
    return {moment: spread(found[moment][kind] for found in handovers).as_dict() for moment in ("before", "most", "after")}


def run(rounds: int, seconds: int, keep: bool) -> None:
    """Measure, and keep what was found."""
    machine = results.machine()
    host = Host("memory", bare(TINY)).start_anew()
    host.shell(f"printf '\\n' >> /srv/bench/bench.ini; sed -i '/^paste.app_factory/a megabytes = {MEGABYTES}' /srv/bench/bench.ini")
    host.copy(["watch.py"], "/root")
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for number in range(rounds):
        say(f"memory: round {number + 1} of {rounds}")
        for kind, options in KINDS.items():
            play(TINY.playbook, [host], {"bench_options": options})
            found[kind].append(handover(host, TINY))
    if not keep:
        host.remove()

    galaxy = deployed(GALAXY)
    galaxy.copy(["watch.py"], "/root")
    say("memory: Galaxy")
    handovers = [handover(galaxy, GALAXY) for _round in range(min(rounds, 3))]
    if not keep:
        galaxy.remove()
    web = summary(handovers)
    data = {
        "machine": machine,
        "rounds": {"tiny": rounds, "galaxy": len(handovers)},
        "application_mib": MEGABYTES,
        "unit": "MiB of PSS",
        "tiny": {kind: summary(handovers) for kind, handovers in found.items()},
        "galaxy": {"web": web, "handlers": summary(handovers, "handlers")},
    }
    most = web["most"]["median"] / web["before"]["median"]
    results.write("memory", data, [Goal("Galaxy: the most memory of its web processes in a handover, in that at rest", most, at_most=2.1)])


def picture(result: dict[str, Any]) -> str:
    """At rest and in a handover, for each kind."""

    def pair(panel: Panel, numbers: dict[str, Any], title: str, ours: bool) -> None:
        for moment, label in (("before", "at rest"), ("most", "in a handover")):
            panel.bars.append(Bar.of(f"{title}, {label}", numbers[moment], ours=ours))

    tiny = Panel(f"an application of {result['application_mib']} MiB, 2 processes with 4 threads", "MiB")
    pair(tiny, result["tiny"]["lazy"], "lazy, the default", True)
    pair(tiny, result["tiny"]["preforked"], "preforked", False)
    galaxy = Panel("Galaxy 26.1.2, 2 web processes, 2 job handlers", "MiB")
    pair(galaxy, result["galaxy"]["web"], "web processes", True)
    galaxy.bars.append(Bar.of("job handlers, at rest", result["galaxy"]["handlers"]["before"]))
    return bars("Memory", "PSS: what processes share counts once", [tiny, galaxy], result)
