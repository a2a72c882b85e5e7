# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a migration from Paste, and the host that the plan is made for."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy, _job_conf
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_ini import Reader

# What becomes of an entry.
CARRIED, NOT_NEEDED, NOTE, PROBLEM, LEFT = "carried over", "not needed", "note", "problem", "left behind"


def is_loopback(name: str) -> bool:
    """Whether a host name or an address is this host itself, as far as the name tells."""
    text = name.strip("[]").lower()
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text in ("", "*", "localhost", "localhost.localdomain", "ip6-localhost")
    return address.is_loopback or address.is_unspecified


@dataclass(frozen=True)
class Leftover:
    """A part of the old set-up that is not needed any more: where the part is, and what becomes of it."""

    path: str
    line: int
    kind: str
    name: str
    action: str


@dataclass(frozen=True)
class Entry:
    """One directive, option or variable of the old set-up, and what becomes of it; I(text) says to which input, or why."""

    path: str
    line: int
    name: str
    verdict: str
    text: str

    @property
    def place(self) -> str:
        """The file and the line."""
        return f"{self.path}:{self.line}"

    def __str__(self) -> str:
        """The entry as a line for a person."""
        return f"{self.place}: {self.name}: {self.text}" if self.name else f"{self.place}: {self.text}"


@dataclass
class Plan:
    """The options of the roles, those of the application, and an entry for everything else that the old set-up has.

    I(notes) are for a person to read; with I(problems) nothing can be done.
    """

    inputs: dict[str, Any] = field(default_factory=dict)
    app_options: dict[str, str] = field(default_factory=dict)
    leftovers: list[Leftover] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    web_programs: list[str] = field(default_factory=list)
    handler_programs: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    rewritten: dict[str, Optional[str]] = field(default_factory=dict)
    sites: list[str] = field(default_factory=list)
    # The places of the problems that leave_behind can settle.
    can_be_left: list[str] = field(default_factory=list)

    def add(self, host: Host, entry: Entry) -> None:
        """Take an entry into the plan; a problem that the administrator has acknowledged is left behind."""
        if entry.verdict == PROBLEM and entry.place in host.leave_behind:
            entry = Entry(entry.path, entry.line, entry.name, LEFT, "left behind, as asked for")
        if entry in self.entries:
            return
        self.entries.append(entry)
        if entry.verdict == NOTE:
            self.notes.append(str(entry))
        elif entry.verdict == PROBLEM:
            self.problems.append(str(entry))
            if entry.place not in self.can_be_left:
                self.can_be_left.append(entry.place)


@dataclass(frozen=True)
class Socket:
    """Where the application listens: a host and a port, or the path of a unix socket as the host and no port."""

    host: str
    port: int = 0


@dataclass(frozen=True)
class Host:
    """What lies on the host: the files by their paths, and what only the host can tell."""

    path: str
    text: str
    server_dir: str
    user: str
    job_conf: Optional[_job_conf.Handling] = None
    supervisor: Mapping[str, str] = field(default_factory=dict)
    nginx: Mapping[str, str] = field(default_factory=dict)
    version: Optional[_galaxy.Version] = None
    references: Sequence[_job_conf.Reference] = ()
    # The files of nginx to start from, and the directory that their includes are relative to; without the first, all files are sites.
    nginx_roots: Sequence[str] = ()
    nginx_directory: str = "/etc/nginx"
    nginx_runs: bool = False
    units: Mapping[str, str] = field(default_factory=dict)
    # Whom the process that listens belongs to, where that can be seen.
    process_user: str = ""
    is_local: Callable[[str], bool] = is_loopback
    # What the inventory sets already, and the places (file:line) that may be left behind.
    known: Mapping[str, Any] = field(default_factory=dict)
    leave_behind: Sequence[str] = ()
    # Reads another Paste Deploy file that the first one names.
    read: Optional[Reader] = None
