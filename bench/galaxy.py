"""Serving Galaxy: uWSGI as the roles deploy it, beside gunicorn as Galaxy's own documentation starts it."""

from __future__ import annotations

from typing import Any

from galaxy_client import User

from .deploying import GALAXY, deployed
from .host import Host, say
from .pictures import Panel, rates
from .sites import http_site
from .statistics import Goal, rotated
from .wrk import Load, compared, load

ROWS = {"/api/version": "its version, for anybody", "/api/tools": "all tools, for a user", "/api/histories": "the histories of a user"}
PORTS = {"uwsgi": 80, "gunicorn": 8021}
TITLES = {"uwsgi": "uWSGI, as deployed by default", "gunicorn": "gunicorn, as Galaxy starts it"}
SITE = "/etc/nginx/sites-available/galaxy.conf"
SOCKET = "/srv/galaxy/var/gunicorn.sock"
VENV = "/srv/galaxy/venv"
UNIT = "bench-other-gunicorn"


def gunicorn(workers: int) -> tuple[str, ...]:
    """The command of galaxy.webapps.galaxy.fast_factory, with Galaxy's own worker class; it loads Galaxy once, too."""
    return (
        *(f"{VENV}/bin/gunicorn", "galaxy.webapps.galaxy.fast_factory:factory()", "--env", f"GALAXY_CONFIG_FILE={GALAXY.config}", "--pythonpath", "lib"),
        *("-k", "galaxy.webapps.galaxy.workers.Worker", "--workers", str(workers), "--timeout", "300"),
        *("--config", "python:galaxy.web_stack.gunicorn_config", "--preload", "--bind", f"unix:{SOCKET}"),
    )


def install_tools(host: Host) -> None:
    """Install what puts load on Galaxy."""
    host.shell("command -v wrk curl >/dev/null || (apt-get update -q && apt-get install -y -q --no-install-recommends wrk curl)")
    host.copy(["wrk.lua"], "/srv/bench")


def start_unit(host: Host, unit: str, *command: str) -> None:
    """Run a command as Galaxy's user, in its environment, until it is stopped."""
    stop_unit(host, unit)
    properties = ("--property=LimitNOFILE=65536", f"--setenv=VIRTUAL_ENV={VENV}", f"--setenv=PATH={VENV}/bin:/usr/bin:/bin", "--setenv=HOME=/srv/galaxy/home")
    host.run("systemd-run", f"--unit={unit}", "--uid=galaxy", "--gid=galaxy", "--working-directory=/srv/galaxy/server", *properties, *command)


def stop_unit(host: Host, unit: str) -> None:
    """Stop such a command."""
    host.shell(f"systemctl stop {unit} 2>/dev/null || true; systemctl reset-failed {unit} 2>/dev/null || true")


def start_gunicorn(host: Host, workers: int) -> None:
    """Start Galaxy's own server, and wait until it answers."""
    start_unit(host, UNIT, *gunicorn(workers))
    host.put("/etc/nginx/sites-enabled/gunicorn.conf", http_site(host.run("cat", SITE), "galaxy", "gunicorn", PORTS["gunicorn"], f"unix:{SOCKET}"))
    host.shell("nginx -t -q && systemctl reload nginx")
    wait_for(host, PORTS["gunicorn"])


def wait_for(host: Host, port: int) -> None:
    """Wait until a Galaxy answers."""
    asking = f"until curl -fsS --max-time 60 -o /dev/null http://127.0.0.1:{port}/api/version 2>/dev/null; do sleep 0.1; done"
    host.run("timeout", "600", "sh", "-c", asking)


def user_key(host: Host) -> str:
    """The key of a user, who is created once."""
    key_file = "/root/bench-user-key"
    key = host.run("cat", key_file, check=False).strip()
    if not key:
        admin = host.run("sed", "-n", "s/^bootstrap_admin_api_key = //p", GALAXY.config).strip()
        key = User(f"http://{host.address()}", admin, "bench").key
        host.put(key_file, key)
    return key


def measure_rates(host: Host, ports: dict[str, int], rounds: int, seconds: int) -> dict[str, dict[str, list[Load]]]:
    """Put load on one server and on the other, again and again; each has its first requests behind it."""
    headers = (f"x-api-key: {user_key(host)}",)
    measured: dict[str, dict[str, list[Load]]] = {row: {server: [] for server in ports} for row in ROWS}
    for number in range(-1, rounds):
        say(f"Galaxy: round {number + 1} of {rounds}")
        for row in ROWS:
            for server in rotated(list(ports), number):
                found = load(host, f"http://127.0.0.1:{ports[server]}{row}", seconds if number >= 0 else 1, headers=headers)
                if number >= 0:
                    measured[row][server].append(found)
    return measured


def measure(rounds: int, seconds: int) -> tuple[dict[str, dict[str, list[Load]]], Host]:
    """Put load on uWSGI and on Galaxy's own server with as many processes."""
    host = deployed(GALAXY)
    install_tools(host)
    say("waiting for Galaxy's own server")
    start_gunicorn(host, 2)
    measured = measure_rates(host, PORTS, rounds, seconds)
    stop_unit(host, UNIT)
    host.shell("rm /etc/nginx/sites-enabled/gunicorn.conf; systemctl reload nginx")
    return measured, host


def goals(measured: dict[str, dict[str, list[Load]]]) -> list[Goal]:
    """No row of Galaxy's may be slower than with its own server."""
    found = []
    for row, servers in measured.items():
        found.append(Goal(f"Galaxy, {row}: as many requests as its own server", compared(servers, "uwsgi")["gunicorn"].median, at_least=0.95))
        found.append(Goal(f"Galaxy, {row}: errors", sum(run.errors for run in servers["uwsgi"]), at_most=0))
    return found


def panels(rows: dict[str, Any]) -> list[Panel]:
    """Requests a second of both."""
    return [rates(f"Galaxy, {row}: {ROWS[row]}", servers, TITLES, "uwsgi") for row, servers in rows.items()]
