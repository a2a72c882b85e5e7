# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log files, for those who want them: a service copies to them what the journal has.

The processes themselves write to the journal and know nothing of files, so they wait for no disk, and slots that take turns need
not agree on a file. Whatever befalls the copying, such as a full disk, it goes on where it was. Files may be moved away at any
time: before each writing it is seen whether the file is still the one of its name.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Optional

from .errors import ControlError, say
from .paths import ETC
from .systemd import systemctl

# The ends of the names of the files, and of the identifiers that the units give to what their processes say.
KINDS = ("web", "handler")


def line(entry: dict[str, Any]) -> str:
    """One entry of the journal as one line, or more where the message has more."""
    message = entry.get("MESSAGE") or ""
    if isinstance(message, list):  # bytes that are not text
        message = bytes(message).decode(errors="replace")
    microseconds = int(entry["__REALTIME_TIMESTAMP"])
    moment = time.localtime(microseconds // 1_000_000)
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{microseconds % 1_000_000:06}{time.strftime('%z', moment)}"
    name = entry.get("_SYSTEMD_UNIT", entry["SYSLOG_IDENTIFIER"]).partition(".service")[0]
    return f"{stamp} {name}[{entry.get('_PID', '')}]: {message}\n"


class LogFile:
    """A file that others may move away."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: Optional[IO[bytes]] = None

    def write(self, text: str) -> None:
        """Add to the file of this name, which is made where there is none."""
        if self.file and not self._is_there():
            self.file.close()
            self.file = None
        if not self.file:
            self.file = self.path.open("ab", buffering=0)
        rest = text.encode(errors="replace")
        while rest:
            rest = rest[self.file.write(rest) :]

    def _is_there(self) -> bool:
        assert self.file
        opened = os.fstat(self.file.fileno())
        with contextlib.suppress(FileNotFoundError):
            named = self.path.stat()
            return (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)
        return False


class Copy:
    """The copying, from where it was: the cursor in a small file beside the logs is that of the last entry that was written."""

    def __init__(self, instance: str, directory: Path) -> None:
        self.cursor_file = directory / f".{instance}.cursor"
        self.files = {f"{instance}-{kind}": LogFile(directory / f"{instance}-{kind}.log") for kind in KINDS}
        self.busy = False
        self.stopped = False

    def command(self) -> list[str]:
        """How the journal is asked.

        C(--after-cursor) together with a filter leaves out an entry before systemd 256 (systemd issue 30288): so it starts at
        the last one that was written, which is passed over.
        """
        start = [f"--cursor={self.cursor}"] if self.cursor else ["--boot", "--lines=all"]
        return ["journalctl", "--quiet", "--follow", "--all", "--output=json", "--no-tail", *start, *(f"SYSLOG_IDENTIFIER={name}" for name in self.files)]

    @property
    def cursor(self) -> str:
        """Where the last entry that was written is in the journal."""
        try:
            return self.cursor_file.read_text().strip()
        except FileNotFoundError:
            return ""

    def write(self, lines: Iterable[bytes]) -> None:
        """Write entries, and then remember the last one: what is killed in between is written twice, not lost."""
        texts: dict[str, list[str]] = {}
        last, cursor = self.cursor, ""
        for entry in map(json.loads, lines):
            cursor = entry["__CURSOR"]
            if cursor != last:
                texts.setdefault(entry["SYSLOG_IDENTIFIER"], []).append(line(entry))
        for name, parts in texts.items():
            self.files[name].write("".join(parts))
        if cursor and cursor != last:
            new = self.cursor_file.with_suffix(".new")
            new.write_text(f"{cursor}\n")
            new.rename(self.cursor_file)

    def stop(self, _number: int, _frame: Any) -> None:
        """End, though not in the middle of a writing."""
        self.stopped = True
        if not self.busy:
            sys.exit(0)

    def run(self) -> None:
        """Copy until somebody ends it."""
        with subprocess.Popen(self.command(), stdout=subprocess.PIPE) as journal:
            signal.signal(signal.SIGTERM, self.stop)
            try:
                assert journal.stdout
                for lines in batches(journal.stdout.fileno()):
                    self.busy = True
                    self.write(lines)
                    self.busy = False
                    if self.stopped:
                        return
            finally:
                journal.terminate()
        raise ControlError(f"journalctl ended with {journal.returncode}")


def batches(descriptor: int) -> Iterator[list[bytes]]:
    """All whole lines that are there, again and again."""
    rest = b""
    while True:
        read = os.read(descriptor, 2**20)
        if not read:
            return
        *lines, rest = (rest + read).split(b"\n")
        yield lines


class LogService:
    """The unit C(INSTANCE-log.service), which copies."""

    def __init__(self, instance: str, directory: str) -> None:
        self.unit = f"{instance}-log.service"
        self.directory = directory

    def apply(self, check: bool) -> None:
        """Make it run where there is a directory, and not run where there is none."""
        runs = systemctl("is-active", self.unit, check=False) == "active"
        stale = runs and systemctl("show", "--property=NeedDaemonReload", "--value", self.unit) == "yes"
        if self.directory and (not runs or stale):
            say(f"copy the log to {self.directory}")
            if not check:
                systemctl("daemon-reload")
                systemctl("enable", self.unit)
                systemctl("restart", self.unit)
        elif runs and not self.directory:
            say(f"stop {self.unit}")
            if not check:
                self.remove()

    def remove(self) -> None:
        """Stop it, and do not start it with the host any more, whether its unit is still there or not."""
        systemctl("stop", self.unit, check=False)
        (ETC / "systemd/system/multi-user.target.wants" / self.unit).unlink(missing_ok=True)
