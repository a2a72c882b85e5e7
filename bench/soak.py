"""A soak: an hour of mixed load on a Galaxy that is loaded once and on one that each worker loads, and what becomes of their memory."""

from __future__ import annotations

import json
from typing import Any

from . import galaxy, results, workers
from .deploying import GALAXY, deployed
from .host import Host, say
from .pictures import Bar, Panel, bars
from .service import handover
from .statistics import Goal

MINUTES, RATE, WORKERS = 60, 4, 4
MOMENTS = (0, 5, 30, MINUTES)
HANDOVERS = 20
# The queues of web processes, and the messages that wait in them, in Galaxy's own broker
QUEUES = "SELECT count(DISTINCT q.id), count(m.id) FROM kombu_queue q LEFT JOIN kombu_message m ON m.queue_id = q.id"
COUNT = f"""
import sqlite3
found = [list(sqlite3.connect(path).execute({QUEUES!r})) for path in ("/srv/galaxy/database/control.sqlite",)]
print(*found[0][0])
"""


def serving(host: Host) -> str:
    """The unit of the slot that serves."""
    lines = host.run("galaxy-web", "status", check=False).splitlines()
    return next(line.partition(":")[0] for line in lines if ": active" in line)


def handovers(host: Host) -> list[list[int]]:
    """How many queues there are in the broker, and how many messages in them, before and after each handover."""
    found = []
    for number in range(HANDOVERS + 1):
        if number:
            handover(host, GALAXY)
        found.append([int(word) for word in host.run("/usr/bin/python3", "-c", COUNT).split()])
        say(f"{number} handovers: {found[-1][0]} queues, {found[-1][1]} messages")
    return found


def measure() -> tuple[dict[str, Any], Host]:
    """Put load on both for an hour."""
    host = deployed(GALAXY)
    host.copy(["watch.py", "soak.py"], "/root")
    host.shell("chmod 755 /root; cp /root/soak.py /usr/local/bin/soak.py")
    galaxy.install_tools(host)
    key = galaxy.user_key(host)
    workers.replace(host, WORKERS, lazily=False)
    workers.start_lazily(host, WORKERS)
    sites = [
        f"once={workers.PORTS[workers.ONCE]}={serving(host)}",
        f"lazy={workers.PORTS[workers.LAZY]}={workers.UNIT}.service",
    ]
    command = (
        "runuser",
        "-u",
        "galaxy",
        "--",
        "/usr/bin/python3",
        "/usr/local/bin/soak.py",
        str(MINUTES),
        str(RATE),
        key,
        *sites,
    )
    say(f"{MINUTES} minutes of {RATE} requests a second, and jobs, on each of both")
    moments = [json.loads(line) for line in host.run(*command).splitlines()]
    galaxy.stop_unit(host, workers.UNIT)
    host.shell("rm /etc/nginx/sites-enabled/lazy.conf; systemctl reload nginx")
    return {"moments": moments, "queues": handovers(host)}, host


def at(moments: list[dict[str, Any]], kind: str, minute: float) -> float:
    """The MiB of one of both after so many minutes."""
    return float(min(moments, key=lambda moment: abs(moment["minute"] - minute))[kind]["mib"])


def goals(data: dict[str, Any]) -> list[Goal]:
    """What is asked of the one that is loaded once."""
    moments, queues = data["moments"], data["queues"]
    grown = {kind: at(moments, kind, MINUTES) - at(moments, kind, 5) for kind in ("once", "lazy")}
    return [
        Goal(
            "MiB that the workers of a Galaxy loaded once have grown by, less those of one that each loads",
            grown["once"] - grown["lazy"],
            at_most=50,
        ),
        Goal("failed requests", sum(moments[-1][kind]["failed"] for kind in grown), at_most=0),
        Goal(
            f"queues in the broker after {HANDOVERS} handovers, in those after 2",
            queues[-1][0] / queues[2][0],
            at_most=1,
        ),
        # Those of the last handover stay for up to ten minutes.
        Goal(
            f"messages in the broker after {HANDOVERS} handovers, in those after 2",
            queues[-1][1] / max(queues[2][1], 1),
            at_most=1.2,
        ),
    ]


def run(rounds: int, seconds: int, keep: bool) -> None:
    """Measure, and keep what was found."""
    machine = results.machine()
    data, host = measure()
    if not keep:
        host.remove()
    results.write(
        "soak", {"machine": machine, "minutes": MINUTES, "rate": RATE, "workers": WORKERS, **data}, goals(data)
    )


def picture(result: dict[str, Any]) -> str:
    """The memory of both by the time."""
    panel = Panel(f"{result['workers']} workers, {result['rate']} requests a second, and jobs", "MiB")
    for kind in ("once", "lazy"):
        for minute in MOMENTS:
            mib = at(result["moments"], kind, minute)
            panel.bars.append(
                Bar(f"{workers.TITLES[kind]}, after {minute} minutes", mib, mib, mib, ours=kind == "once")
            )
    return bars("A soak", "PSS: what processes share counts once", [panel], result)
