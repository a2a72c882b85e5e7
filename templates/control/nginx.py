# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workers of nginx on this host, and what they may connect to."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import NamedTuple

from .kernel import owner


class Worker(NamedTuple):
    """A worker of nginx: one that takes requests, or that finishes its last ones."""

    pid: int
    user: int
    groups: frozenset[int]

    def would_lose(self, present: set[int], wanted: int, user: int) -> bool:
        """Whether it may connect to sockets of the I(user) by a group that they have now, and could not by the one that they shall have."""
        return self.user not in (0, user) and bool(self.groups & present) and wanted not in self.groups


def _title(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def _is_of_root(pid: int) -> bool:
    """Whether a worker has a master that is root: a process of anybody could bear the name."""
    with contextlib.suppress(OSError):
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        # One in a container has one more number there, and is none of this host.
        same_host = _depth(parent) == _depth("self")
        return same_host and owner(parent) == 0 and _title(parent).startswith("nginx: master process")
    return False


def _depth(pid: int | str) -> int:
    """In how many namespaces a process has a number."""
    line = re.search(r"(?m)^NSpid:(.*)$", Path(f"/proc/{pid}/status").read_text())
    return len(line[1].split()) if line else 1


def nginx_workers() -> list[Worker]:
    """All workers of nginx."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        if _title(pid).startswith("nginx: worker process") and _is_of_root(pid):
            with contextlib.suppress(OSError):
                status = (entry / "status").read_text()
                groups = re.findall(r"(?m)^Gid:\s+\d+\s+(\d+)|^Groups:(.*)$", status)
                numbers = " ".join(part for pair in groups for part in pair).split()
                found.append(Worker(pid, owner(pid), frozenset(map(int, numbers))))
    return found
