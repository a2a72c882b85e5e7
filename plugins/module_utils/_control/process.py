# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One process of an instance: what it was started from, and what is known of it while it runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .. import _safe_files as safe_files
from .._processes import start_time
from .fingerprint import fingerprint
from .kernel import members, memory, owner
from .paths import RUN, read, write

# Seconds; no number in the small files is as large
YEAR = 365 * 24 * 3600


class Process:
    """One process of an instance: what it is started from, and what is known of it while it runs.

    The I(directory) below /run holds its private sockets and three small files: C(fingerprint) tells what it was
    started from, C(pid) which process it is, and C(started) how long it took until it worked.
    """

    def __init__(self, directory: str, service: str, watch: Sequence[Mapping[str, Any]]) -> None:
        self.directory = RUN / directory
        self.service = service
        self.watch = watch

    @property
    def version(self) -> str:
        """The fingerprint of what the process was started from; empty when it has not been started."""
        return read(self.directory / "fingerprint")

    @property
    def current(self) -> bool:
        """Whether the process runs what is written on disk now."""
        version = self.version
        return bool(version) and version == fingerprint(self.watch)

    @property
    def pid(self) -> int:
        """The process, or 0 when it does not live."""
        recorded = self._recorded("pid")
        pid = _number(recorded)
        return pid if pid and start_time(pid) == recorded.get("born") else 0

    @property
    def last_pid(self) -> int:
        """The number of the process that was started last, whether it lives or not; 0 when there was none."""
        return _number(self._recorded("pid"))

    @property
    def since(self) -> float:
        """When the process was started, by the clock; 0 where that is not known."""
        since = self._recorded("pid").get("time")
        return float(since) if isinstance(since, (int, float)) and 0 < since < time.time() else 0.0

    @property
    def memory(self) -> int:
        """The memory in bytes of the process and of all that belongs to it."""
        return memory(members(self.pid))

    @property
    def started(self) -> dict[str, float]:
        """What was recorded when the process worked for the first time; empty while it has not."""
        found = self._recorded("started")
        return {
            name: float(value) for name, value in found.items() if isinstance(value, (int, float)) and 0 <= value < YEAR
        }

    @property
    def start_seconds(self) -> Optional[float]:
        """How long it took from the start of the process until it worked; None while it has not."""
        return self.started.get("seconds")

    def _recorded(self, name: str) -> dict[str, Any]:
        """What one of the small files says; nothing where that is not what this command writes."""
        try:
            recorded = json.loads(read(self.directory / name) or "{}")
        except (OSError, ValueError, RecursionError):
            return {}
        return recorded if isinstance(recorded, dict) else {}

    def record(self) -> None:
        """Remember, in the process that is about to become it, what it is started from."""
        safe_files.unlink(self.directory / "started")
        write(self.directory / "fingerprint", fingerprint(self.watch))
        write(
            self.directory / "pid",
            json.dumps({"pid": os.getpid(), "born": start_time(os.getpid()), "time": time.time()}),
        )

    def disown(self) -> None:
        """Have the process replaced by the next call that makes what runs what is written, whatever happens before."""
        safe_files.unlink(self.directory / "fingerprint")

    def record_started(self, **numbers: float) -> None:
        """Remember that the process works, how long the start took, and I(numbers) to compare later ones with."""
        since = self.since
        seconds = round(time.time() - since, 1) if since and time.time() - since < YEAR else 0
        write(self.directory / "started", json.dumps({"seconds": seconds, **numbers}))

    def terminate(self, seconds: float) -> None:
        """End the process itself, without its service manager: politely, and after I(seconds) by force."""
        pid = self._own_pid
        if not pid:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while self.pid and time.monotonic() < deadline:
            time.sleep(0.1)
        self.kill()

    def kill(self) -> None:
        """End the process and all that belongs to it by force."""
        for pid in members(self._own_pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @property
    def _own_pid(self) -> int:
        """The process, or 0 when it does not live or belongs to somebody else than its directory does.

        The application's user has written the number, and must not make root end a process of another user.
        """
        pid = self.pid
        return pid if pid and owner(pid) == self.directory.stat().st_uid else 0


def _number(recorded: dict[str, Any]) -> int:
    """The number of a process in its own record; 0 where there is none: its user may have written anything."""
    pid = recorded.get("pid")
    return pid if isinstance(pid, int) and 0 < pid < 2**31 else 0
