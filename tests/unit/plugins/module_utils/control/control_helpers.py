# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the program on the host have in common besides fixtures."""

from __future__ import annotations

import grp
import json
import os
import pwd
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

ACCOUNT = {"user": pwd.getpwuid(os.geteuid()).pw_name, "group": grp.getgrgid(os.getegid()).gr_name}
HEALTH = {"path": "/api/version", "status": [200], "host": "localhost", "timeout": 2}
GALAXY = {"virtualenv": "/venv", "chdir": "/server", "config_file": "/galaxy.ini"}

# A file of Galaxy that other programs have keys in
GALAXY_YML = b"""\
---
# Mine
galaxy:
  brand: x
  text: |
    gravity:
      no: key

gravity:
  process_manager: systemd

  handlers: {}
# The end
uwsgi:
- a
reports:
  x: 1
"""

BOTH: dict[str, Any] = {
    "manager": "systemd",
    "boot_units": [],
    "definitions": {},
    "user": "nobody",
    "group": "nogroup",
    "chdir": "/",
    "virtualenv": "/venv",
    "environment_file": "/dev/null",
    "stop_timeout": 90,
    "code": [],
    "watch": [],
}
KINDS: dict[str, dict[str, Any]] = {
    "web": {
        "command": "/nowhere/galaxy-web",
        "handlers_command": "/nowhere/galaxy-handlers",
        "socket_group": "nogroup",
        "sockets": [],
        "argv": ["uwsgi"],
        "slot_argv": [],
        "vassal": "",
        "log_dir": "",
        "handover": "overlap",
        "allow_interruption": False,
        "health": HEALTH,
    },
    "handlers": {
        "web_command": "/nowhere/galaxy-web",
        "config_file": "/galaxy.ini",
        "python_path": [],
        "handlers": {},
        "environments": "/nowhere/environments.json",
        "kept": [],
        "start_timeout": 300,
        "drain_timeout": 600,
        "ending_runners": [],
    },
}


def configuration(kind: str, **config: Any) -> dict[str, Any]:
    """The configuration that a role would write; what the other kind alone has is left out."""
    own = {**BOTH, **KINDS[kind]}
    others = {*KINDS["web"], *KINDS["handlers"]} - {*own}
    return {**own, **{name: value for name, value in config.items() if name not in others}}


def write(etc: Path, kind: str, **config: Any) -> None:
    """Write the configuration that a role would write."""
    path = Path(os.path.normpath(etc / "galaxy" / f"{kind}.json"))
    path.write_text(json.dumps(configuration(path.stem, **config)))


def works(copies: Any, version: str) -> None:
    """Have a version work."""
    copies.save(version)
    copies.adopt(version)


class NothingStarts:
    """A service manager of which only that matters here: nothing that it is asked to start works."""

    title = "systemd"
    keeps_journal = False

    def __init__(self, error: type[Exception]) -> None:
        """Fail with an error of this type."""
        self.error = error

    def load(self, names: list[str], check: bool) -> None:
        """Know them."""

    def name(self, process: str) -> str:
        """Call a process what it is."""
        return process

    def is_active(self, process: Any) -> bool:
        """Nothing runs."""
        return False

    is_starting = is_active

    def start(self, process: Any, wait_until_ready: Any, keep_trying: bool = False) -> None:
        """Fail."""
        raise self.error("it does not start")


def use(control: Any, monkeypatch: pytest.MonkeyPatch, manager: Any, listener: str = "Listener") -> None:
    """Have all processes managed by this service manager, and their socket by this kind of listener."""
    monkeypatch.setitem(control.managers.MANAGERS, "systemd", lambda *_arguments: manager)
    monkeypatch.setitem(control.slots.LISTENERS, "systemd", getattr(control, listener))


class AllRuns(NothingStarts):
    """A service manager under which everything runs, and nothing is to be started."""

    def is_active(self, process: Any) -> bool:
        """All run."""
        return True

    def is_starting(self, process: Any) -> bool:
        """Nothing is on its way."""
        return False

    def unknown(self, names: list[str]) -> list[str]:
        """Nothing else is there."""
        return []


class StartsTheSecondTime(NothingStarts):
    """A service manager under which the first start fails."""

    def __init__(self, error: type[Exception]) -> None:
        """Count what is started and stopped."""
        super().__init__(error)
        self.calls: list[str] = []

    def start(self, process: Any, wait_until_ready: Any, keep_trying: bool = False) -> None:
        """Fail once."""
        self.calls.append(f"start {process.service}")
        if len(self.calls) == 1:
            raise self.error("it does not start")

    def stop(self, process: Any, wait: bool = True) -> None:
        """Stop it."""
        self.calls.append(f"stop {process.service}")


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """An HTTP server on a unix socket that gives the same answers, one after the other and the last one for ever."""

    daemon_threads = True

    def __init__(self, path: Path, answers: list[int], seconds: float = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.answers = answers
        self.seconds = seconds
        self.requests: list[tuple[str, str]] = []
        super().__init__(str(path), Answer)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Answer(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers["Host"]))
        time.sleep(self.server.seconds)
        self.send_response(self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0])
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing; a client on a unix socket has no address to log."""


class Stats(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """What uWSGI's stats server says, one after the other and the last one for ever."""

    daemon_threads = True

    def __init__(self, path: Path, *moments: list[dict[str, Any]]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.moments = list(moments)
        super().__init__(str(path), Moment)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Moment(socketserver.BaseRequestHandler):
    """What it says once."""

    server: Stats

    def handle(self) -> None:
        moments = self.server.moments
        workers = moments.pop(0) if len(moments) > 1 else moments[0]
        self.request.sendall(json.dumps({"version": "2.0.30", "pid": 1, "sockets": [], "workers": workers}).encode())


def worker(number: int, applications: int = 1, respawns: int = 0, status: str = "idle") -> dict[str, Any]:
    """A worker as uWSGI tells of it, with what matters here."""
    numbers = {
        "requests": 0,
        "exceptions": 0,
        "harakiri_count": 0,
        "avg_rt": 0,
        "respawn_count": respawns + 1,
        "accepting": 1,
    }
    return {"id": number, "pid": 0, "status": status, "cores": [], "apps": [{}] * applications, **numbers}
