# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes, as the kernel shows them to everybody.

The commands C(<instance>-web) and C(<instance>-handlers) use this file too, on hosts without Ansible: it needs Python
alone.
"""

from __future__ import annotations

import contextlib
import re


def show(pid: int | str, name: str) -> str:
    """A file of the kernel about a process; empty when there is no such process, or only others may read the file."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as stream:
        return stream.read()
    return ""


def command_line(pid: int) -> str:
    """What a process was called with, or what it calls itself."""
    return show(pid, "cmdline").replace("\0", " ").strip()


def status_fields(pid: int) -> list[str]:
    """The fields of C(stat) that follow the name of the process, from its state on; none when there is no such process."""
    return show(pid, "stat").rpartition(")")[2].split()


def parent(pid: int) -> int:
    """The process that has started a process, or 0."""
    fields = status_fields(pid)
    return int(fields[1]) if fields else 0


def start_time(pid: int) -> str:
    """When a process was started, in the kernel's ticks; empty when there is none, or only its remains."""
    fields = status_fields(pid)
    return fields[19] if fields and fields[0] not in "ZX" else ""


def groups(pid: int) -> frozenset[int]:
    """The groups of a process: the effective one, and the supplementary ones."""
    lines = re.findall(r"(?m)^Gid:\s+\d+\s+(\d+)|^Groups:(.*)$", show(pid, "status"))
    return frozenset(int(number) for line in lines for part in line for number in part.split())
