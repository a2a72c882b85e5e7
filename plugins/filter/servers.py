# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters over the list of servers on one host."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import yaml

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _servers

ROLES = Path(__file__).resolve().parents[2] / "roles"


@functools.cache
def role_inputs() -> frozenset[str]:
    """The options of all roles, from their argument specifications."""
    specs = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in ROLES.glob("*/meta/argument_specs.yml")]
    return frozenset(option for spec in specs for option in spec["argument_specs"]["main"]["options"])


def server_problems(servers: Any, only: Sequence[str] = ()) -> list[str]:
    """Say what is wrong with the list of servers."""
    return _servers.problems(servers, role_inputs(), only)


class FilterModule:
    """The filters, by the names that the playbooks use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name -> function."""
        return {"expand_servers": _servers.expand, "server_conflicts": _servers.conflicts, "server_problems": server_problems}
