# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters over the list of servers on one host.

What does the work is loaded when it is needed: every process of Ansible that uses any filter loads all files of this directory, and
hardly anybody has several servers.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"


@functools.cache
def role_inputs() -> frozenset[str]:
    """The options of all roles, from their argument specifications."""
    specs = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in ROLES.glob("*/meta/argument_specs.yml")]
    return frozenset(option for spec in specs for option in spec["argument_specs"]["main"]["options"])


def expand_servers(entries: Any, only: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the servers to go through, each with its inputs."""
    from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _servers

    return _servers.expand(entries, only)


def server_conflicts(taken: Any) -> list[str]:
    """Say what two servers share that they must not."""
    from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _servers

    return _servers.conflicts(taken)


def server_problems(entries: Any, only: Sequence[str] = ()) -> list[str]:
    """Say what is wrong with the list of servers."""
    from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _servers

    return _servers.problems(entries, role_inputs(), only)


class FilterModule:
    """The filters, by the names that the playbooks use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name -> function."""
        return {"expand_servers": expand_servers, "server_conflicts": server_conflicts, "server_problems": server_problems}
