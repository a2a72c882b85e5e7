# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment variables that processes are started with."""

from __future__ import annotations

import os
import re


def add_python_path(environment: dict[str, str], directories: list[str]) -> None:
    """Have Python look for modules in these directories before all others."""
    path = os.pathsep.join(filter(None, [*directories, environment.get("PYTHONPATH")]))
    if path:
        environment["PYTHONPATH"] = path


def read_environment(text: str) -> dict[str, str]:
    """Read a file of C(NAME="value") lines, as systemd reads it."""
    found = re.findall(r'(?m)^(\w+)="((?:[^"\\]|\\.)*)"$', text)
    return {name: re.sub(r"\\(.)", r"\1", value) for name, value in found}
