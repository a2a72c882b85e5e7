"""Memory: what web processes have together where the application is loaded once or by each of them, and what that means for times and rates."""

from __future__ import annotations

from typing import Any

from . import results, workers
from .deploying import TINY, bare
from .host import Host, play, say
from .pictures import Bar, Panel, bars
from .service import handover
from .statistics import spread

MEGABYTES = 100
KINDS = {"preforked": {"lazy-apps": False}, "lazy": {"lazy-apps": True}}
# It is the same to the MiB in each round.
ROUNDS = 1


def tiny(keep: bool) -> dict[str, Any]:
    """The MiB of an application that is small, but for the objects that it keeps."""
    host = Host("memory", bare(TINY)).start_anew()
    host.shell(f"printf '\\n' >> /srv/bench/bench.ini; sed -i '/^paste.app_factory/a megabytes = {MEGABYTES}' /srv/bench/bench.ini")
    host.copy(["watch.py"], "/root")
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for number in range(ROUNDS):
        say(f"memory: round {number + 1} of {ROUNDS}")
        for kind, options in KINDS.items():
            play(TINY.playbook, [host], {"bench_options": options})
            found[kind].append(handover(host, TINY))
    if not keep:
        host.remove()
    return {
        kind: {moment: spread(each[moment]["web"] for each in handovers).as_dict() for moment in ("before", "most", "after")}
        for kind, handovers in found.items()
    }


def run(rounds: int, seconds: int, keep: bool) -> None:
    """Measure, and keep what was found."""
    data: dict[str, Any] = {"machine": results.machine(), "rounds": rounds, "seconds": seconds, "unit": "MiB of PSS"}
    found, host = workers.measure(rounds, seconds)
    if not keep:
        host.remove()
    data["galaxy"] = workers.as_dict(found)
    results.write("memory", data, workers.goals(found))
    data |= {"application_mib": MEGABYTES, "tiny": tiny(keep)}
    results.write("memory", data, workers.goals(found))


def picture(result: dict[str, Any]) -> str:
    """Galaxy by its number of workers, then the small application."""
    panels = workers.memory_panels(result["galaxy"])
    if "tiny" in result:
        panel = Panel(f"an application of {result['application_mib']} MiB, 2 processes with 4 threads", "MiB")
        for kind, title in (("preforked", "loaded once"), ("lazy", "each loads it, the default")):
            for moment, label in (("before", "at rest"), ("most", "in a handover")):
                panel.bars.append(Bar.of(f"{title}, {label}", result["tiny"][kind][moment], ours=kind == "lazy"))
        panels.append(panel)
    # A machine that has other work changes seconds and rates, but no memory.
    if result["machine"]["load"][0] <= result["machine"]["cores"]:
        panels += workers.time_panels(result["galaxy"])
    return bars("Memory", "PSS: what processes share counts once", panels, result)
