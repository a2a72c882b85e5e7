"""Serving: the same application from several servers, each behind the site that the nginx_proxy role writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import galaxy, results
from .host import PLAYBOOKS, Host, play, say
from .pictures import bars, rates
from .sites import http_site
from .statistics import Goal, rotated, spread
from .wrk import Load, compared, load

VENV = "/srv/bench/venv/bin"


@dataclass(frozen=True)
class Server:
    """One of the servers: its port for the load, and how it is started where the roles do not deploy it."""

    name: str
    title: str
    port: int
    upstream: str = ""
    command: str = ""


SERVERS = (
    Server("paste", "Paste#http, 1 process with 8 threads", 8011, "127.0.0.1:9001", f"{VENV}/python bench_servers.py paste"),
    Server("waitress", "waitress, 1 process with 8 threads", 8012, "127.0.0.1:9002", f"{VENV}/python bench_servers.py waitress"),
    Server(
        "gthread",
        "gunicorn, 2 processes with 4 threads",
        8013,
        "unix:/srv/bench/run/gthread.sock",
        f"{VENV}/gunicorn bench_servers:wsgi -k gthread --workers 2 --threads 4 --bind unix:run/gthread.sock",
    ),
    Server(
        "uvicorn",
        "gunicorn, 2 processes of uvicorn",
        8014,
        "unix:/srv/bench/run/uvicorn.sock",
        f"{VENV}/gunicorn bench_servers:asgi -k uvicorn.workers.UvicornWorker --workers 2 --bind unix:run/uvicorn.sock",
    ),
    Server("uwsgi", "uWSGI, as deployed by default", 8001),
    Server("uwsgi_tcp", "uWSGI on a TCP socket", 8002),
    Server("uwsgi_http", "uWSGI to browsers directly", 8003),
)
OURS = "uwsgi"
GUNICORN = ("gthread", "uvicorn")

ROWS = {
    "fast": ("an answer at once", "/fast"),
    "cpu": ("20 ms of CPU", "/cpu"),
    "wait": ("50 ms of waiting", "/wait"),
    "down": ("1 MB down", "/down"),
    "up": ("1 MB up", "/up"),
    "static": ("a static file", "/static/file.txt"),
}

# Nothing can be faster here: the wait is as long everywhere, and nginx itself sends the file. What differs is noise.
SAME = ("wait", "static")
NOISE = 0.95

Measured = dict[str, dict[str, list[Load]]]


def prepare(host: Host) -> None:
    """Have all servers run, idle."""
    say("the application and the servers")
    host.prepare_application()
    play(PLAYBOOKS / "serving.yml", [host], {})
    site = host.run("cat", "/etc/nginx/sites-available/bench.conf")
    host.run("install", "-d", "-o", "bench", "/srv/bench/run")
    for server in SERVERS:
        if server.command:
            unit = f"bench-other-{server.name}"
            host.run("systemctl", "stop", unit, check=False)
            host.run("systemctl", "reset-failed", unit, check=False)
            host.run(
                *("systemd-run", f"--unit={unit}", "--uid=bench", "--working-directory=/srv/bench", "--property=LimitNOFILE=65536"), *server.command.split()
            )
            host.put(f"/etc/nginx/sites-enabled/{server.name}.conf", http_site(site, "bench", server.name, server.port, server.upstream))
    host.shell("nginx -t 2>&1 && systemctl reload nginx")
    for server in SERVERS:
        for _title, path in ROWS.values():
            method = "head -c 1048576 /dev/zero | curl --data-binary @-" if path == "/up" else "curl"
            host.shell(f"{method} -fsS --retry 20 --retry-all-errors --retry-delay 1 -o /dev/null http://127.0.0.1:{server.port}{path}")


def measure(host: Host, rounds: int, seconds: int) -> Measured:
    """Put load on one server after the other, again and again."""
    measured: Measured = {row: {server.name: [] for server in SERVERS} for row in ROWS}
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for row, (_title, path) in ROWS.items():
            for server in rotated(SERVERS, number):
                measured[row][server.name].append(load(host, f"http://127.0.0.1:{server.port}{path}", seconds, upload=row == "up"))
    return measured


def summary(measured: Measured, ours: str) -> dict[str, Any]:
    """The numbers of all rounds, and what they are compared with ours."""
    rows = {}
    for row, servers in measured.items():
        comparison = compared(servers, ours)
        rows[row] = {
            name: {
                "per_second": spread(found.per_second for found in loads).as_dict(),
                "p50_ms": spread(found.p50 for found in loads).as_dict(),
                "p99_ms": spread(found.p99 for found in loads).as_dict(),
                "longest_ms": max(found.longest for found in loads),
                "errors": sum(found.errors for found in loads),
                **({"ours_to_this": comparison[name].as_dict()} if name in comparison else {}),
            }
            for name, loads in servers.items()
        }
    return rows


def goals(measured: Measured) -> list[Goal]:
    """What is asked of the defaults."""
    found = {row: compared(servers, OURS) for row, servers in measured.items()}
    wanted = [
        Goal(f"{ROWS[row][0]}: as many requests as {name}", found[row][name].median, at_least=NOISE if row in SAME else 1) for row in ROWS for name in GUNICORN
    ]
    wanted.append(Goal("an answer at once: as many requests as Paste#http", found["fast"]["paste"].median, at_least=4))
    wanted.append(Goal("20 ms of CPU: as many requests as Paste#http", found["cpu"]["paste"].median, at_least=1.5))
    wanted.append(Goal("errors of uWSGI as deployed by default", sum(load.errors for row in ROWS for load in measured[row][OURS]), at_most=0))
    return wanted


def picture(result: dict[str, Any]) -> str:
    """Requests a second, each server beside ours."""
    titles = {server.name: server.title for server in SERVERS}
    panels = [rates(ROWS[row][0], servers, titles, OURS) for row, servers in result["rows"].items()]
    panels += galaxy.panels(result["galaxy"])
    return bars("Serving", "wrk, 8 connections; bars: median of the rounds; lines: least to greatest", panels, result)


def run(rounds: int, seconds: int, keep: bool) -> None:
    """Measure, and keep what was found."""
    machine = results.machine()
    host = Host("host").start()
    prepare(host)
    measured = measure(host, rounds, seconds)
    if not keep:
        host.remove()
    data: dict[str, Any] = {
        "machine": machine,
        "rounds": rounds,
        "seconds": seconds,
        "connections": 8,
        "servers": {server.name: server.title for server in SERVERS},
        "rows": summary(measured, OURS),
        "galaxy": {},
    }
    # What has been found stays, whatever becomes of Galaxy.
    results.write("serving", data, goals(measured))
    of_galaxy, host = galaxy.measure(rounds, seconds)
    if not keep:
        host.remove()
    data["galaxy"] = summary(of_galaxy, OURS)
    results.write("serving", data, goals(measured) + galaxy.goals(of_galaxy))
    for row, servers in (*data["rows"].items(), *data["galaxy"].items()):
        say(f"{row:15}" + " ".join(f"{name} {numbers['per_second']['median']:g}" for name, numbers in servers.items()))
