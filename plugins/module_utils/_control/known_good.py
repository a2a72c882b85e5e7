# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Known-good copies: the configuration files of the version that last worked, and of the version before it.

Before a process is started, the files that it is started from are copied into a directory of their version, which is
the fingerprint that the process has. As soon as the process works, the link C(running) leads to these copies, and the
link C(previous) to those before them. So the copies are of what serves, whenever the command is killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from .. import _safe_files as safe_files
from .errors import ControlError
from .fingerprint import view, with_keys, with_section
from .paths import relink, write

RUNNING, PREVIOUS = "running", "previous"


class NoCopyError(ControlError):
    """There is no room for copies, or they cannot be written; what is to be copied is sound."""


@dataclass
class RollBack:
    """What has been put back, and what has not."""

    files: list[str] = field(default_factory=list)
    # Files that somebody has changed again since the rejected version was read
    changed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    # Where what was put back before is; nowhere, if there was no space for it
    kept: Optional[Path] = None


class KnownGood:
    """The known-good copies of one kind of processes."""

    def __init__(self, directory: Path, watch: Sequence[Mapping[str, Any]]) -> None:
        self.directory = directory
        self.watch = [entry for entry in watch if "path" in entry and not entry.get("installed")]
        self.rejected = directory / "rejected"
        self.report = directory / "rolled-back.json"

    def _files(self) -> dict[Path, Mapping[str, Any]]:
        """The files that are kept: those of the configuration, not what was installed."""
        return {Path(entry["path"]): entry for entry in self.watch if not entry.get("link")}

    def _links(self) -> list[Path]:
        return [Path(entry["path"]) for entry in self.watch if entry.get("link")]

    @property
    def exists(self) -> bool:
        """Whether there is anything to go back to."""
        return (self.directory / RUNNING).is_dir()

    @property
    def version(self) -> str:
        """The version that last worked."""
        return self._version(self.directory / RUNNING)

    @property
    def age(self) -> float:
        """The seconds since the version that last worked has worked for the first time."""
        try:
            return time.time() - (self.directory / RUNNING / "adopted").stat().st_mtime
        except OSError:
            return float("inf")

    def written_since(self, moment: float) -> bool:
        """Whether a file of the configuration was written after that I(moment), or put back as it was."""
        paths = [*self._files(), *self._links()]
        return any(path.lstat().st_ctime > moment for path in paths if os.path.lexists(path))

    def differs_since(self, to: str = RUNNING) -> float:
        """When the first of the files that differ from the copies was written; infinity where none differs."""
        differ = [
            path
            for path, entry in self._files().items()
            if view(entry, _read(self.directory / to / path.relative_to("/"))) != view(entry, _read(path))
        ]
        return min((path.lstat().st_ctime for path in differ if os.path.lexists(path)), default=float("inf"))

    @property
    def has_previous(self) -> bool:
        """Whether there are copies of a version before the one that last worked."""
        return (self.directory / PREVIOUS).is_dir()

    @staticmethod
    def _version(copies: Path) -> str:
        with contextlib.suppress(OSError):
            return safe_files.read(copies / "version").decode()
        return ""

    def _find(self, version: str) -> Optional[Path]:
        """The latest copies of a version."""
        found = [copies for copies in self.directory.glob("version-*") if self._version(copies) == version]
        return max(found, default=None)

    def save(self, version: str, tidy: bool = True) -> None:
        """Copy the files as they are now, before a process is started from them; to I(tidy) needs the lock."""
        if tidy:
            with contextlib.suppress(OSError):
                self._tidy(version)
        found = self._find(version)
        if found and self._is_copy(found):
            return
        new = self.directory / f"version-{time.time_ns()}"
        try:
            safe_files.make_directories(self.directory, mode=0o700)
            safe_files.make_directories(new, mode=0o700)
            for path in self._files():
                # A device or a pipe is refused here, before a process reads it without end.
                if path.exists() and not path.is_dir():
                    copy = new / path.relative_to("/")
                    safe_files.make_directories(copy.parent, mode=0o700)
                    safe_files.copy(path, copy)
            safe_files.write(new / "links.json", json.dumps(self._leading()).encode())
            # Last: without it these copies are of no version.
            write(new / "version", version)
        except OSError as error:
            with contextlib.suppress(OSError):
                safe_files.remove_tree(new)
            if isinstance(error, safe_files.UnsafeFile):
                raise ControlError(
                    f"cannot keep a copy of the configuration: {error}. Nothing has been replaced."
                ) from error
            raise NoCopyError(
                f"cannot keep a copy of the configuration in {self.directory}: {error.strerror}. Nothing has been "
                "replaced: free some space there, and try again"
            ) from error

    def _leading(self) -> dict[str, str]:
        return {str(path): os.readlink(path) for path in self._links() if path.is_symlink()}

    def _is_copy(self, copies: Path) -> bool:
        """Whether copies are, byte for byte, of what is on disk now."""
        return self._contents(copies) == [*map(_read, self._files()), json.dumps(self._leading()).encode()]

    def _contents(self, copies: Path) -> list[Optional[bytes]]:
        """What copies have, file by file, and where links lead."""
        names = [*(str(path.relative_to("/")) for path in self._files()), "links.json"]
        return [_read(copies / name) for name in names]

    def _tidy(self, version: str) -> None:
        """Remove copies that nobody needs any more."""
        kept = {os.path.realpath(self.directory / name) for name in (RUNNING, PREVIOUS)}
        kept.add(str(self._find(version)))
        for copies in (*self.directory.glob("version-*"), *self.directory.glob("running-*")):
            if str(copies) not in kept:
                safe_files.remove_tree(copies)

    @property
    def start_seconds(self) -> Optional[float]:
        """How long the version that last worked took to start; None where that is not known."""
        with contextlib.suppress(OSError, ValueError):
            return float(safe_files.read(self.directory / RUNNING / "adopted"))
        return None

    def adopt(self, version: str, start_seconds: Optional[float] = None) -> None:
        """Remember that a version works; nothing is done where its files have not been copied."""
        found = self._find(version)
        running = self.directory / RUNNING
        # Asked once: another process may be at the same.
        former = os.readlink(running) if running.is_symlink() else ""
        if not found or former == found.name:
            return
        if self.version == version or self._contents(found) == self._contents(running):
            # Nothing has changed that could be rolled back, so the version is as old as it was.
            with contextlib.suppress(OSError):
                safe_files.copy(running / "adopted", found / "adopted")
        else:
            safe_files.write(found / "adopted", b"" if start_seconds is None else str(start_seconds).encode())
            if former:
                relink(self.directory / PREVIOUS, former)
        if running.is_dir() and not running.is_symlink():  # It was a directory once.
            safe_files.remove_tree(running)
        # At no moment is there nothing to go back to.
        relink(running, found.name)

    def follow(self, version: str, tidy: bool = True) -> None:
        """Have copies of the version that serves, which is on disk too: a call that was killed may have made none."""
        if self.version != version or not self._is_copy(self.directory / RUNNING):
            self.save(version, tidy)
            self.adopt(version)

    def restore(self, rejected: str = "", to: str = RUNNING) -> RollBack:
        """Put back the files that differ, and keep the rejected ones aside.

        Of a version I(rejected) of which there are copies, only the files that still are what it had are put back.
        """
        done = RollBack()
        copies, failed = self.directory / to, self._find(rejected) if rejected else None
        aside: dict[Path, bytes] = {}
        for path, entry in self._files().items():
            kept, new = _read(copies / path.relative_to("/")), _read(path)
            if view(entry, kept) == view(entry, new):
                continue
            if failed and new != _read(failed / path.relative_to("/")):
                done.changed.append(str(path))
                continue
            try:
                self._put_back(path, entry, copies, kept, new)
            except OSError as error:
                done.problems.append(f"{path} cannot be put back: {error.strerror or error}")
                continue
            if new is not None:
                aside[path] = new
            done.files.append(str(path))
        try:
            done.files += self._restore_links(copies)
        except (OSError, ValueError) as error:
            done.problems.append(f"the links of {copies} cannot be put back: {error}")
        if done.files:
            self._keep_aside(aside, done)
        if to == PREVIOUS and not done.problems:
            relink(self.directory / RUNNING, os.readlink(copies))
            safe_files.unlink(copies)
        return done

    def _put_back(
        self, path: Path, entry: Mapping[str, Any], copies: Path, kept: Optional[bytes], new: Optional[bytes]
    ) -> None:
        if kept is None:
            safe_files.unlink(path)
            return
        source = copies / path.relative_to("/")
        if "without_section" in entry and new is not None:
            # That section is of other processes, and what it is now.
            kept = with_section(kept, entry["without_section"], new)
        if "without_keys" in entry and new is not None:
            kept = with_keys(kept, entry["without_keys"], new)
        try:
            safe_files.copy(source, path, content=kept)
        except safe_files.UnsafeFile:
            # A link of a user, who must not choose what root writes to: the file takes its place.
            safe_files.copy(source, path, follow=False, content=kept)

    def _restore_links(self, copies: Path) -> list[str]:
        found = []
        for link, leads_to in json.loads(safe_files.read(copies / "links.json")).items():
            there = os.path.exists(os.path.join(os.path.dirname(link), leads_to))
            if os.path.islink(link) and os.readlink(link) != leads_to and there:
                relink(Path(link), leads_to)
                found.append(link)
        return found

    def _keep_aside(self, aside: dict[Path, bytes], done: RollBack) -> None:
        """Keep what was rejected as far as there is space for it: what works has been put back by now."""
        digests = {str(path): hashlib.sha256(text).hexdigest() for path, text in aside.items()}
        try:
            safe_files.remove_tree(self.rejected)
            for path, text in aside.items():
                target = self.rejected / path.relative_to("/")
                safe_files.make_directories(target.parent, mode=0o700)
                safe_files.write(target, text)
            done.kept = self.rejected
        except OSError as error:
            done.problems.append(f"what was rejected is not kept: {error.filename or self.rejected}: {error.strerror}")
        with contextlib.suppress(OSError):
            write(self.report, json.dumps({"time": time.time(), "rejected": digests, "files": done.files}))

    def contents(self) -> dict[str, str]:
        """The digests of the files as they are on disk now."""
        found = {str(path): _read(path) for path in self._files()}
        return {path: hashlib.sha256(text).hexdigest() for path, text in found.items() if text is not None}

    def taken_away(self, before: dict[str, str], since: float) -> list[str]:
        """The files that had I(before) what has been rejected by another call after the time I(since)."""
        try:
            report = json.loads(safe_files.read(self.report))
        except (OSError, ValueError):
            return []
        now = self.contents()
        return [
            path
            for path, digest in report["rejected"].items()
            if report["time"] > since and before.get(path) == digest and now.get(path) != digest
        ]

    @property
    def last_roll_back(self) -> str:
        """Tell a person what has been rolled back since the running version was adopted; empty when nothing was."""
        try:
            report = json.loads(safe_files.read(self.report))
            adopted = (self.directory / RUNNING / "adopted").stat().st_mtime
        except (OSError, ValueError):
            return ""
        if report["time"] < adopted:
            return ""
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report["time"]))
        kept = f"; what was rejected is kept in {self.rejected}" if self.rejected.exists() else ""
        return f"rolled back at {moment}: {' '.join(report['files'])}{kept}"

    def remove(self) -> None:
        """Forget everything."""
        safe_files.remove_tree(self.directory)
        for parent in self.directory.parents[:2]:
            with contextlib.suppress(OSError):  # something else still uses it
                parent.rmdir()


def _read(path: Path) -> Optional[bytes]:
    """The content of a file; None when there is none, or something else has the name."""
    try:
        return safe_files.read(path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, safe_files.UnsafeFile):
        return None
