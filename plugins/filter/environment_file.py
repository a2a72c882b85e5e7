# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that writes environment variables as systemd's EnvironmentFile= reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError


def environment_file(variables: Mapping[str, Any]) -> str:
    """Return one quoted assignment per line."""
    lines = []
    for name, value in variables.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", str(name)):
            raise AnsibleFilterError(f"{name!r} is not the name of an environment variable: use letters, digits and '_'")
        text = re.sub(r'([\\"$`])', r"\\\1", str(value))
        lines.append(f'{name}="{text}"\n')
    return "".join(lines)


class FilterModule:
    """The filter, by the name that the roles use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name -> function."""
        return {"environment_file": environment_file}
