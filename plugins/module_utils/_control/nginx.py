# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workers of nginx on this host, and what they may connect to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from .._processes import command_line, groups, parent, show
from .kernel import owner


class Worker(NamedTuple):
    """A worker of nginx: one that takes requests, or that finishes its last ones."""

    pid: int
    user: int
    groups: frozenset[int]

    def would_lose(self, present: set[int], wanted: int, user: int) -> bool:
        """Whether the worker can connect to sockets of the I(user) by a present group, and not by the wanted one."""
        return self.user not in (0, user) and bool(self.groups & present) and wanted not in self.groups


def _is_of_root(pid: int) -> bool:
    """Whether a worker has a master that is root: a process of anybody could bear the name."""
    master = parent(pid)
    # One in a container has one more number there, and is none of this host.
    same_host = _depth(master) == _depth("self")
    return same_host and owner(master) == 0 and command_line(master).startswith("nginx: master process")


def _depth(pid: int | str) -> int:
    """In how many namespaces a process has a number."""
    line = re.search(r"(?m)^NSpid:(.*)$", show(pid, "status"))
    return len(line[1].split()) if line else 1


def nginx_workers() -> list[Worker]:
    """All workers of nginx."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        if command_line(pid).startswith("nginx: worker process") and _is_of_root(pid):
            user, held = owner(pid), groups(pid)
            # One without any group has just ended.
            if held:
                found.append(Worker(pid, user, held))
    return found
