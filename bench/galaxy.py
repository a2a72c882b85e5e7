"""Serving Galaxy: uWSGI as the roles deploy it, beside gunicorn as Galaxy's own documentation starts it."""

from __future__ import annotations

from pathlib import Path
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
SOCKET = "/srv/galaxy/var/gunicorn.sock"
VENV = "/srv/galaxy/venv"
# The command of galaxy.webapps.galaxy.fast_factory, with Galaxy's own worker class and as many processes as uWSGI has.
GUNICORN = (
    *(f"{VENV}/bin/gunicorn", "galaxy.webapps.galaxy.fast_factory:factory()", "--env", f"GALAXY_CONFIG_FILE={GALAXY.config}", "--pythonpath", "lib"),
    *("-k", "galaxy.webapps.galaxy.workers.Worker", "--workers", "2", "--timeout", "300", "--config", "python:galaxy.web_stack.gunicorn_config"),
    *("--bind", f"unix:{SOCKET}"),
)
UNIT = "bench-other-gunicorn"


def prepare(host: Host) -> str:
    """Have both run, and return the key of a user."""
    host.shell("command -v wrk curl >/dev/null || (apt-get update -q && apt-get install -y -q --no-install-recommends wrk curl)")
    host.copy(["wrk.lua"], "/srv/bench")
    host.shell(f"systemctl stop {UNIT} 2>/dev/null || true; systemctl reset-failed {UNIT} 2>/dev/null || true")
    properties = ("--property=LimitNOFILE=65536", f"--setenv=VIRTUAL_ENV={VENV}", f"--setenv=PATH={VENV}/bin:/usr/bin:/bin", "--setenv=HOME=/srv/galaxy/home")
    host.run("systemd-run", f"--unit={UNIT}", "--uid=galaxy", "--gid=galaxy", "--working-directory=/srv/galaxy/server", *properties, *GUNICORN)
    site = host.run("cat", "/etc/nginx/sites-available/galaxy.conf")
    host.put("/etc/nginx/sites-enabled/gunicorn.conf", http_site(site, "galaxy", "gunicorn", PORTS["gunicorn"], f"unix:{SOCKET}"))
    host.shell("nginx -t -q && systemctl reload nginx")
    say("waiting for Galaxy's own server")
    url = f"http://127.0.0.1:{PORTS['gunicorn']}/api/version"
    host.shell(f"curl -fsS --retry 300 --retry-all-errors --retry-delay 1 --max-time 60 -o /dev/null {url} 2>/dev/null")
    key_file = Path("/root/bench-user-key")
    key = host.run("cat", str(key_file), check=False).strip()
    if not key:
        admin = host.run("sed", "-n", "s/^bootstrap_admin_api_key = //p", GALAXY.config).strip()
        key = User(f"http://{host.address()}", admin, "bench").key
        host.put(str(key_file), key)
    return key


def measure(rounds: int, seconds: int) -> tuple[dict[str, dict[str, list[Load]]], Host]:
    """Put load on one and on the other, again and again; each has its first requests behind it."""
    host = deployed(GALAXY)
    headers = (f"x-api-key: {prepare(host)}",)
    measured: dict[str, dict[str, list[Load]]] = {row: {server: [] for server in PORTS} for row in ROWS}
    for number in range(-1, rounds):
        say(f"Galaxy: round {number + 1} of {rounds}")
        for row in ROWS:
            for server in rotated(list(PORTS), number):
                found = load(host, f"http://127.0.0.1:{PORTS[server]}{row}", seconds if number >= 0 else 1, headers=headers)
                if number >= 0:
                    measured[row][server].append(found)
    host.shell(f"systemctl stop {UNIT} || true; rm /etc/nginx/sites-enabled/gunicorn.conf; systemctl reload nginx")
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
