# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ASGI process beside the workers of a slot, where the application has one: its socket, its end, and what it does.

Galaxy's bridge forks it from what uWSGI has loaded, with a keeper that starts it again. It listens on a socket of its
slot, C(/run/INSTANCE/asgi/SLOT.sock). The proxy connects to the link C(/run/INSTANCE/asgi.sock), which leads to the
socket of the slot that serves.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path

from .. import _safe_files as safe_files
from .._processes import start_time
from .errors import say
from .kernel import MIB, members, memory, owner
from .paths import relink
from .process import Process

# As the kernel shows these processes
TITLE, KEEPER_TITLE = "galaxy-asgi", "galaxy-asgi-kpr"


def title(pid: int) -> str:
    """What the kernel calls a process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


class Asgi:
    """The ASGI process of one slot, or of the candidate, which has its socket among its private ones."""

    def __init__(self, run: Path, process: Process, slots: tuple[str, ...]) -> None:
        name = process.directory.name.partition("-")[2]
        self.link = run / "asgi.sock"
        self.directory = run / "asgi"
        self.process = process
        self.socket = self.directory / f"{name}.sock" if name in slots else process.directory / "asgi.sock"

    @staticmethod
    def open(run: Path, user: int, group: int) -> None:
        """Make the directory of the sockets: the application makes them, and they are of the group of the directory."""
        safe_files.make_directories(run / "asgi")
        safe_files.give_directory(run / "asgi", user, group, 0o2750)

    @property
    def exists(self) -> bool:
        """Whether the slot has such a process; it makes the socket before the first worker starts."""
        return self.socket.exists()

    def _pids(self) -> dict[str, int]:
        # The owner of the directory has written the number of the slot, and may name no process of another user.
        pids = members(self.process.pid)
        uid = self.process.directory.stat().st_uid if pids else -1
        found = {title(pid): pid for pid in pids if owner(pid) == uid}
        return {name: pid for name, pid in found.items() if name in (TITLE, KEEPER_TITLE)}

    @property
    def is_gone(self) -> bool:
        """Whether a slot that has such a process has nothing any more that starts it again."""
        return self.exists and KEEPER_TITLE not in self._pids()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        # An accepted connection has the path of its socket; 03 means connected.
        pattern = re.compile(rf" 03 +\d+ {re.escape(str(self.socket))}$", re.MULTILINE)
        return len(pattern.findall(Path("/proc/net/unix").read_text()))

    def point_to(self) -> None:
        """Have the proxy connect here from now on."""
        if self.exists:
            relink(self.link, self.socket)
        else:
            safe_files.unlink(self.link)

    def drain(self, seconds: float) -> None:
        """End the process before its slot: streams end at once, and browsers open them again; requests finish."""
        pids = self._pids()
        if not pids:
            return
        say(f"end the {self.connections} connections of its ASGI process")
        # The keeper passes the signal on, kills what does not end by itself, and ends last.
        last = pids.get(KEEPER_TITLE) or pids[TITLE]
        began = start_time(last)
        with contextlib.suppress(ProcessLookupError):
            os.kill(last, signal.SIGTERM)
        deadline = time.monotonic() + seconds + 15
        while began and start_time(last) == began and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in self._pids().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        safe_files.unlink(self.socket)

    def status(self) -> str:
        """What it does, for a person; empty when it is gone."""
        pids = self._pids()
        pid = pids.get(TITLE)
        if not pid:
            return "ASGI process: being started again" if pids else ""
        alone = "" if KEEPER_TITLE in pids else ", without a keeper, which would start it again"
        return f"ASGI process: pid {pid}, {memory([pid]) // MIB} MiB, {self.connections} connections open{alone}"
