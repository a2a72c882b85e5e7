# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log files, for those who want them: a service copies to them what the journal has.

The processes themselves write to the journal and know nothing of files, so they wait for no disk, and slots that take
turns need not agree on a file. Whatever befalls the copying, such as a full disk, it goes on where it was. Files may be
moved away at any time: before each writing it is seen whether the file is still the one of its name.

The service has a user of its own, because that user can read the whole journal. The directory of the logs belongs to
the user, what the service remembers is in a directory of systemd's making.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Optional

from .. import _safe_files as safe_files
from .accounts import account_of, group_of
from .errors import ControlError, say
from .paths import ETC, STATE
from .systemd import systemctl

# The ends of the names of the files, and of the identifiers that the units give to what their processes say.
KINDS = ("web", "handler")

# Who copies, for all instances of the host
USER = "galaxyops-log"

# A log is never opened through a link, and what is no file is never waited for.
FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

# Longer than any cursor of the journal
LONGEST_CURSOR = 1000


def state_directory(instance: str) -> Path:
    """Where the copying of an instance remembers how far it has come."""
    return STATE / instance / "log"


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
        if self.file and not self._is_there(self.file):
            self.file.close()
            self.file = None
        if not self.file:
            self.file = self._open()
        rest = text.encode(errors="replace")
        while rest:
            rest = rest[self.file.write(rest) :]

    def _open(self) -> IO[bytes]:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | FLAGS, 0o640)
        except OSError as error:
            raise ControlError(
                f"cannot write {self.path}: {error.strerror}; a link or anything else but a file has to be moved away"
            ) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ControlError(f"cannot write {self.path}: it is no file; move it away")
        return os.fdopen(descriptor, "ab", buffering=0)

    def _is_there(self, file: IO[bytes]) -> bool:
        opened = os.fstat(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            named = self.path.lstat()
            return (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)
        return False


class Copy:
    """The copying, from where it was: the cursor in a small file is that of the last entry that was written."""

    def __init__(self, instance: str, directory: Path) -> None:
        self.cursor_file = state_directory(instance) / "cursor"
        self.files = {f"{instance}-{kind}": LogFile(directory / f"{instance}-{kind}.log") for kind in KINDS}
        self.busy = False
        self.stopped = False

    def command(self) -> list[str]:
        """How the journal is asked.

        C(--after-cursor) together with a filter leaves out an entry before systemd 256 (systemd issue 30288): so it
        starts at the last one that was written, which is passed over.
        """
        start = [f"--cursor={self.cursor}"] if self.cursor else ["--boot", "--lines=all"]
        return [
            "journalctl",
            "--quiet",
            "--follow",
            "--all",
            "--output=json",
            "--no-tail",
            *start,
            *(f"SYSLOG_IDENTIFIER={name}" for name in self.files),
        ]

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
            raise SystemExit(0)

    def run(self) -> None:
        """Copy until somebody ends it."""
        with subprocess.Popen(self.command(), stdout=subprocess.PIPE) as journal:
            signal.signal(signal.SIGTERM, self.stop)
            output: Any = journal.stdout
            try:
                for lines in batches(output.fileno()):
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


class LogDirectory:
    """The directory of the logs, which root gives to the user who copies.

    The application owned the directory before, and may still own the one above it.
    """

    def __init__(self, instance: str, path: Path, group: str) -> None:
        self.instance = instance
        self.path = path
        self.group = group

    def is_ready(self) -> bool:
        """Whether the directory is there, and nobody but the user who copies can write to it."""
        try:
            status = self.path.stat()
        except OSError:
            return False
        wanted = (account_of(USER).pw_uid, group_of(self.group), 0o750)
        return stat.S_ISDIR(status.st_mode) and (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == wanted

    def make_ready(self) -> None:
        """Make the directory, or give it away with the logs in it; the service must not run meanwhile."""
        user, group = account_of(USER).pw_uid, group_of(self.group)
        safe_files.make_directories(self.path)
        # A link that the application's user has made leads to nothing that this user does not own.
        with safe_files.locate(self.path) as place:
            directory = os.open(place.name, os.O_RDONLY | os.O_DIRECTORY | FLAGS, dir_fd=place.directory)
        try:
            former = os.fstat(directory).st_uid
            # From here on nobody else can put anything there.
            os.fchown(directory, user, group)
            os.fchmod(directory, 0o750)
            for name in sorted(os.listdir(directory)):
                if name.startswith(tuple(f"{self.instance}-{kind}.log" for kind in KINDS)):
                    self._give(directory, name, former, user, group)
            self._take_cursor(directory, user, group)
        finally:
            os.close(directory)
        if (
            subprocess.run(
                ["test", "-w", str(self.path)], user=user, group=group, extra_groups=[], check=False
            ).returncode
            != 0
        ):
            raise ControlError(
                f"{USER} cannot reach {self.path}: a directory above it is closed to the group {self.group}. Open that "
                "directory, or set uwsgi_log_dir to another one"
            )

    def _give(self, directory: int, name: str, former: int, user: int, group: int) -> None:
        """Give a log away: a plain file of the owner of the directory, with no other name that leads elsewhere."""
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if status.st_uid == user and stat.S_ISREG(status.st_mode):
                return
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_uid not in (0, former):
                raise ControlError(
                    f"{self.path / name} is not a log: it is no file, has a second name or belongs to somebody else. "
                    "Move it away"
                )
            file = os.open(name, os.O_RDONLY | FLAGS, dir_fd=directory)
            try:
                os.fchown(file, user, group)
                os.fchmod(file, 0o640)
            finally:
                os.close(file)

    def _take_cursor(self, directory: int, user: int, group: int) -> None:
        """Go on where an older version was, whose cursor is beside the logs."""
        name = f".{self.instance}.cursor"
        try:
            file = os.open(name, os.O_RDONLY | FLAGS, dir_fd=directory)
        except OSError:  # There is none, or not a file.
            return
        with os.fdopen(file, "rb") as stream:
            found = (
                stream.read(LONGEST_CURSOR).decode(errors="replace").strip()
                if stat.S_ISREG(os.fstat(file).st_mode)
                else ""
            )
        state = state_directory(self.instance)
        if re.fullmatch("[A-Za-z0-9;=_-]+", found) and not (state / "cursor").exists():
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
            (state / "cursor").write_text(f"{found}\n")
            os.chown(state / "cursor", user, group)
            os.chown(state, user, group)
        os.unlink(name, dir_fd=directory)


class LogService:
    """The unit C(INSTANCE-log.service), which copies."""

    def __init__(self, instance: str, directory: str, group: str) -> None:
        self.unit = f"{instance}-log.service"
        self.directory = LogDirectory(instance, Path(directory), group) if directory else None

    def apply(self, check: bool) -> None:
        """Make it run where there is a directory, and not run where there is none."""
        runs = systemctl("is-active", self.unit, check=False) == "active"
        stale = runs and systemctl("show", "--property=NeedDaemonReload", "--value", self.unit) == "yes"
        if self.directory and (not runs or stale or not self.directory.is_ready()):
            say(f"copy the log to {self.directory.path}")
            if not check:
                systemctl("daemon-reload")
                systemctl("enable", self.unit)
                systemctl("stop", self.unit, check=False)
                self.directory.make_ready()
                systemctl("start", self.unit)
        elif runs and not self.directory:
            say(f"stop {self.unit}")
            if not check:
                self.remove()

    def remove(self) -> None:
        """Stop it, and do not start it with the host any more, whether its unit is still there or not."""
        systemctl("stop", self.unit, check=False)
        (ETC / "systemd/system/multi-user.target.wants" / self.unit).unlink(missing_ok=True)
