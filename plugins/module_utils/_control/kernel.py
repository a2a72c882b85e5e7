# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes and memory, as the kernel sees them."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path
from typing import Callable

from .._processes import show, start_time

MIB = 1024 * 1024


def owner(pid: int) -> int:
    """The number of the user whom a process belongs to, or -1 when there is none."""
    match = re.search(r"^Uid:\s+(\d+)", show(pid, "status"), re.MULTILINE)
    return int(match[1]) if match else -1


def born(pid: int) -> float:
    """When a process was started at the latest, by the clock; 0 when there is none."""
    ticks = start_time(pid)
    if not ticks:
        return 0.0
    # The kernel tells the hundredth of a second that it was in, by its beginning.
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + (int(ticks) + 1) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """What a process has started."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def descendants(pid: int) -> list[int]:
    """A process and all that it has started."""
    found = [pid]
    for parent in found:
        found += children(parent)
    return found


def members(pid: int) -> list[int]:
    """A process and all its descendants.

    A process that has left the family belongs to it still, as long as it is in a process group that a member leads.
    """
    family = descendants(pid) if pid else []
    found = set(family)
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getpgid(int(entry.name)) in family:
                found.add(int(entry.name))
    # The process itself first
    return [process for process in (*family[:1], *sorted(found - {pid})) if start_time(process)]


def in_child(act: Callable[[], str]) -> tuple[bool, str]:
    """Call a function in a child, which may give up being root.

    Return whether the call succeeded, and what the function returned, or else why it failed.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 0
        try:
            text = act()
        except BaseException as error:
            status, text = 1, str(error)
        try:
            os.write(writer, text.encode(errors="replace")[:4096])
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        said = stream.read().decode(errors="replace")
    _pid, ended = os.waitpid(child, 0)
    return ended == 0, said


def memory(pids: list[int]) -> int:
    """The memory of processes in bytes, with what they share counted once.

    In a container root may not read the memory of another user's processes, so this runs as the user of the first.
    """
    if not pids:
        return 0

    def look() -> str:
        if os.geteuid() == 0:
            user = os.stat(f"/proc/{pids[0]}")
            os.setgroups([])
            os.setgid(user.st_gid)
            os.setuid(user.st_uid)
        return str(sum(map(proportional_memory, pids)))

    succeeded, text = in_child(look)
    return int(text) if succeeded else 0


def proportional_memory(pid: int) -> int:
    """The memory of one process in bytes, with its share of common memory; 0 when the process has just ended."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        try:
            match = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            return int(match[1]) * 1024 if match else 0
        except PermissionError:
            # A little too much: what it shares by a fork counts too.
            _size, resident, common = map(int, Path(f"/proc/{pid}/statm").read_text().split()[:3])
            return (resident - common) * os.sysconf("SC_PAGE_SIZE")
    return 0


def available_memory() -> int:
    """The memory in bytes that can be had without swapping or killing."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(match[1]) * 1024 if match else 0
