# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the program on the host have in common besides fixtures."""

from __future__ import annotations

import grp
import json
import os
import pwd
from pathlib import Path
from typing import Any

ACCOUNT = {"user": pwd.getpwuid(os.geteuid()).pw_name, "group": grp.getgrgid(os.getegid()).gr_name}
HEALTH = {"path": "/api/version", "status": [200], "host": "localhost", "timeout": 2}
GALAXY = {"virtualenv": "/venv", "chdir": "/server", "config_file": "/galaxy.ini"}

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
