"""Galaxy by the number of its web processes: loaded once, loaded by each of them, and with Galaxy's own server."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from . import galaxy
from .deploying import GALAXY, deployed
from .host import Host, say
from .pictures import Bar, Panel, rates
from .service import handover, handover_parts
from .serving import NOISE, summary
from .sites import uwsgi_site
from .statistics import Goal, spread
from .wrk import Load, compared, load

ONCE, LAZY, OWN = "once", "lazy", "own"
TITLES = {ONCE: "loaded once", LAZY: "each loads Galaxy", OWN: "Galaxy's own server"}
# In this order: a start is compared with one that was just before it, and the last step leaves what the rates need.
STEPS = ((ONCE, 8), (ONCE, 4), (ONCE, 1), (ONCE, 4), (ONCE, 1), (LAZY, 1), (LAZY, 4), (LAZY, 2), (ONCE, 2))
OF_OWN = (1, 2, 4, 8)
# The workers whose starts are compared, in alternation.
FEW, MANY = 1, 4
KILLS = {ONCE: 5, LAZY: 1}
# What a process still does after its first answer has ended by then, in seconds.
REST = 5
PORTS = {ONCE: 80, LAZY: 8022}
UNIT = "bench-other-lazy"
LAZY_SOCKET = "/srv/galaxy/var/lazy.sock"


@dataclass
class Found:
    """What was measured: memory in MiB by kind and number of workers, seconds, and rates."""

    memory: dict[str, dict[int, dict[str, float]]] = field(default_factory=lambda: defaultdict(dict))
    handovers: dict[str, dict[int, list[dict[str, Any]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    # From 2 workers to 2: the only replacement that shows what a replacement takes besides the processes that serve.
    same: dict[str, Any] = field(default_factory=dict)
    own_starts: dict[int, float] = field(default_factory=dict)
    kills: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    rows: dict[str, dict[str, list[Load]]] = field(default_factory=dict)

    def parts(self, kind: str, workers: int, part: str) -> list[float]:
        """The seconds of a part of each handover."""
        return [handover_parts(each)[part] for each in self.handovers[kind][workers]]


def measure(rounds: int, seconds: int) -> tuple[Found, Host]:
    """Measure all of it on one host, without job handlers."""
    host = deployed(GALAXY)
    host.copy(["watch.py", "kill_worker.py"], "/root")
    galaxy.install_tools(host)
    key = galaxy.user_key(host)
    host.shell("systemctl stop 'galaxy-handler@*'")
    found = Found()
    for number, (kind, workers) in enumerate(STEPS):
        found.handovers[kind][workers].append(replace(host, workers, lazily=kind == LAZY))
        if workers not in found.memory[kind]:
            found.memory[kind][workers] = memory(host, PORTS[ONCE], key)
        tell(found, kind, workers)
        if workers == 1 and (kind, 1) not in STEPS[number + 1 :]:
            found.kills[kind] = kill_workers(host, KILLS[kind])
    found.same = handover(host, GALAXY)
    start_lazily(host)
    found.rows = galaxy.measure_rates(host, PORTS, rounds, seconds)
    galaxy.stop_unit(host, UNIT)
    host.shell(
        "rm /etc/nginx/sites-enabled/lazy.conf; systemctl stop galaxy-web.socket galaxy-web.service 'galaxy-web@*'"
    )
    for workers in OF_OWN:
        started = time.monotonic()
        galaxy.start_gunicorn(host, workers)
        found.own_starts[workers] = round(time.monotonic() - started, 2)
        found.memory[OWN][workers] = memory(host, galaxy.PORTS["gunicorn"], key)
        tell(found, OWN, workers)
    galaxy.stop_unit(host, galaxy.UNIT)
    host.shell("rm /etc/nginx/sites-enabled/gunicorn.conf; systemctl reload nginx")
    return found, host


def tell(found: Found, kind: str, workers: int) -> None:
    """Report what was found for so many workers."""
    seconds = handover_parts(found.handovers[kind][workers][-1]) if kind != OWN else found.own_starts[workers]
    say(f"{workers} workers, {TITLES[kind]}: {found.memory[kind][workers]} MiB, {seconds} s")


def replace(host: Host, workers: int, lazily: bool) -> dict[str, Any]:
    """Write so many workers into the configuration, and replace the processes."""
    lines = {"processes": str(workers), "lazy-apps": str(lazily).lower()}
    host.run(
        "sed",
        "-i",
        *(word for name, value in lines.items() for word in ("-e", f"s/^{name} = .*/{name} = {value}/")),
        GALAXY.config,
    )
    return handover(host, GALAXY)


def memory(host: Host, port: int, key: str) -> dict[str, float]:
    """What the web processes have when they have just started, and after some load."""
    found = {}
    for moment in ("rest", "load"):
        if moment == "load":
            for row in galaxy.ROWS:
                load(host, f"http://127.0.0.1:{port}{row}", 1, connections=16, headers=(f"x-api-key: {key}",))
        found[moment] = float(
            json.loads(host.run("/usr/bin/python3", "/root/watch.py", "galaxy", "sleep", str(REST)))["after"]["web"]
        )
    return found


def kill_workers(host: Host, times: int) -> list[float]:
    """The seconds from the end of the only worker until the one in its place answers."""
    found = []
    for _time in range(times):
        # uWSGI waits before it starts a worker again whose predecessor has just started.
        time.sleep(5)
        found.append(
            float(
                host.run(
                    "/usr/bin/python3", "/root/kill_worker.py", "galaxy", f"http://127.0.0.1:{PORTS[ONCE]}/api/version"
                )
            )
        )
    return found


def start_lazily(host: Host, workers: int = 2) -> None:
    """Start what the slot runs once more, with workers that each load Galaxy."""
    argv = json.loads(host.run("cat", "/etc/galaxy/web.json"))["argv"]
    options = (f"--socket={LAZY_SOCKET}", "--chmod-socket=666", f"--processes={workers}", "--lazy-apps")
    galaxy.start_unit(host, UNIT, "env", "GALAXYOPS_SLOT=bench.lazy", *argv, *options)
    host.put(
        "/etc/nginx/sites-enabled/lazy.conf",
        uwsgi_site(host.run("cat", galaxy.SITE), "galaxy", "lazy", PORTS[LAZY], f"unix:{LAZY_SOCKET}"),
    )
    host.shell("nginx -t -q && systemctl reload nginx")
    galaxy.wait_for(host, PORTS[LAZY])


def as_dict(found: Found) -> dict[str, Any]:
    """The numbers, for the file of results."""
    return {
        "memory": {
            kind: {str(workers): numbers for workers, numbers in sorted(by.items())}
            for kind, by in found.memory.items()
        },
        "handover": {
            kind: {
                str(workers): {
                    part: spread(found.parts(kind, workers, part)).as_dict()
                    for part in ("prove", "start", "stop", "all")
                }
                for workers, handovers in sorted(by.items())
            }
            for kind, by in found.handovers.items()
        },
        "handover_of_2": {moment: found.same[moment]["web"] for moment in ("before", "most", "after")},
        "own_start": {str(workers): seconds for workers, seconds in found.own_starts.items()},
        "killed": {kind: spread(seconds).as_dict() for kind, seconds in found.kills.items()},
        "rows": summary(found.rows, ONCE),
    }


def goals(found: Found) -> list[Goal]:
    """What is asked of a Galaxy that is loaded once."""
    once, own = found.memory[ONCE], found.memory[OWN]
    starts = [many / few for few, many in zip(found.parts(ONCE, FEW, "start"), found.parts(ONCE, MANY, "start"))]
    handovers = [
        whole / start
        for workers in once
        for whole, start in zip(*(found.parts(ONCE, workers, part) for part in ("all", "start")))
    ]
    wanted = [
        Goal("memory of 4 workers at rest, in that of 1", once[4]["rest"] / once[1]["rest"], at_most=1.5),
        Goal("MiB of 2 workers at rest", once[2]["rest"], at_most=900),
        Goal(
            "memory at rest, in that of Galaxy's own server with as many workers: the most",
            max(once[n]["rest"] / own[n]["rest"] for n in own),
            at_most=1,
        ),
        Goal(
            "memory after load, in that of Galaxy's own server with as many workers: the most",
            max(once[n]["load"] / own[n]["load"] for n in own),
            at_most=1,
        ),
        Goal(
            "the most memory in a handover of 2 workers, in that before",
            found.same["most"]["web"] / found.same["before"]["web"],
            at_most=2.1,
        ),
        Goal("seconds of a start of 4 workers, in those of 1", spread(starts).median, at_most=1.15),
        Goal("seconds of a handover, in those of a start", spread(handovers).median, at_most=2.2),
        Goal("seconds until a killed worker is back", spread(found.kills[ONCE]).median, at_most=1),
    ]
    for row, servers in found.rows.items():
        wanted.append(
            Goal(
                f"{row}: as many requests as from workers that each load Galaxy",
                compared(servers, ONCE)[LAZY].median,
                at_least=NOISE,
            )
        )
        wanted.append(Goal(f"{row}: errors", sum(run.errors for run in servers[ONCE]), at_most=0))
    return wanted


def one(number: float) -> dict[str, float]:
    """A number that was measured once, as a spread."""
    return spread([number]).as_dict()


def label(workers: int | str, what: str) -> str:
    """A row of a picture."""
    return f"{workers} worker{'' if int(workers) == 1 else 's'}, {what}"


def memory_panels(result: dict[str, Any]) -> list[Panel]:
    """The memory by the number of workers, at rest and in a handover."""
    found = result["memory"]
    rest = Panel("Galaxy 26.1.2: web processes at rest", "MiB")
    for workers in found[ONCE]:
        for kind, title in TITLES.items():
            if workers in found[kind]:
                numbers = found[kind][workers]
                rest.bars.append(
                    Bar.of(
                        label(workers, title),
                        one(numbers["rest"]),
                        f"after load {numbers['load']:,.0f}",
                        ours=kind == ONCE,
                    )
                )
    if "handover_of_2" not in result:
        return [rest]
    most = Panel("Galaxy 26.1.2: a handover of 2 workers, loaded once", "MiB")
    for moment, title in (("before", "before"), ("most", "the most"), ("after", "after")):
        most.bars.append(Bar.of(title, one(result["handover_of_2"][moment]), ours=moment == "most"))
    return [rest, most]


def time_panels(result: dict[str, Any]) -> list[Panel]:
    """The seconds of starts, handovers and of a worker that comes back, and requests a second."""
    handovers = result["handover"]
    start = Panel("Galaxy 26.1.2: a start, until it answers", "s")
    whole = Panel("Galaxy 26.1.2: a handover, proof by a candidate included", "s")
    for workers in handovers[ONCE]:
        for kind in (ONCE, LAZY):
            if workers in handovers[kind]:
                start.bars.append(
                    Bar.of(label(workers, TITLES[kind]), handovers[kind][workers]["start"], ours=kind == ONCE)
                )
                whole.bars.append(
                    Bar.of(label(workers, TITLES[kind]), handovers[kind][workers]["all"], ours=kind == ONCE)
                )
        start.bars.append(Bar.of(label(workers, TITLES[OWN]), one(result["own_start"][workers])))
    killed = Panel("Galaxy 26.1.2: the only worker is killed, until the next answer", "s")
    for kind, numbers in result["killed"].items():
        killed.bars.append(Bar.of(TITLES[kind], numbers, ours=kind == ONCE))
    titles = {kind: f"2 workers, {TITLES[kind]}" for kind in PORTS}
    return [
        start,
        whole,
        killed,
        *(
            rates(f"Galaxy, {row}: {galaxy.ROWS[row]}", servers, titles, ONCE)
            for row, servers in result["rows"].items()
        ),
    ]
