# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment of processes, as systemd's C(EnvironmentFile=) reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans.inputs import PlanError


def environment_file(variables: Mapping[str, Any]) -> str:
    """Return one quoted assignment per line."""
    lines = []
    for name, value in variables.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(name)):
            raise PlanError(f"{name!r} is not the name of an environment variable: use letters, digits and '_'")
        text = re.sub(r'([\\"$`])', r"\\\1", str(value))
        lines.append(f'{name}="{text}"\n')
    return "".join(lines)
