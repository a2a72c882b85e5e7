# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Known-good copies: the files as they were when they last worked."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any, Optional

from . import _safe_files as safe_files
from .paths import relink


class KnownGood:
    """Copies of the files that a process was started from when it last proved that it works.

    They are put back when what is written now does not start, so that the host never depends on a configuration that
    has not been seen working: not for a crash, and not for a reboot.
    """

    def __init__(self, directory: Path, watch: list[dict[str, Any]]) -> None:
        self.directory = directory
        self.watch = watch

    def _files(self) -> list[Path]:
        """The files that are kept: those of the configuration, not what was installed."""
        return [Path(entry["path"]) for entry in self.watch if "path" in entry and not entry.get("link") and not entry.get("installed")]

    def _links(self) -> list[Path]:
        return [Path(entry["path"]) for entry in self.watch if entry.get("link") and not entry.get("installed")]

    @property
    def exists(self) -> bool:
        """Whether there is anything to go back to."""
        return (self.directory / "running").is_dir()

    def save(self) -> None:
        """Remember the files as they are now."""
        safe_files.make_directories(self.directory, mode=0o700)
        new = self.directory / f"running-{time.time_ns()}"
        safe_files.make_directories(new, mode=0o700)
        for path in self._files():
            if path.is_file():
                self._copy(path, new / path.relative_to("/"))
        links = {str(path): os.readlink(path) for path in self._links() if path.is_symlink()}
        safe_files.write(new / "links.json", json.dumps(links).encode())
        running = self.directory / "running"
        if not running.is_symlink():  # It was a directory once.
            safe_files.remove_tree(running)
        # At no moment is there nothing to go back to.
        relink(running, Path(new.name))
        for old in self.directory.iterdir():
            # A call that was killed has left others.
            if old.name not in ("running", "rejected", new.name):
                safe_files.remove_tree(old)

    def restore(self) -> list[str]:
        """Put the files back that differ, keep the rejected ones aside, and name them."""
        running, rejected = self.directory / "running", self.directory / "rejected"
        safe_files.remove_tree(rejected)
        restored = []
        for path in self._files():
            kept = running / path.relative_to("/")
            old = self._content(kept)
            new = self._content(path)
            if old == new:
                continue
            if new is not None:
                self._copy(path, rejected / path.relative_to("/"))
            if old is None:
                safe_files.unlink(path)
            else:
                self._put_back(kept, path)
            restored.append(str(path))
        for link, leads_to in json.loads((running / "links.json").read_text()).items():
            there = os.path.exists(os.path.join(os.path.dirname(link), leads_to))
            if os.path.islink(link) and os.readlink(link) != leads_to and there:
                relink(Path(link), leads_to)
                restored.append(link)
        return restored

    def remove(self) -> None:
        """Forget everything."""
        safe_files.remove_tree(self.directory)
        for parent in self.directory.parents[:2]:
            with contextlib.suppress(OSError):  # something else still uses it
                parent.rmdir()

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        safe_files.make_directories(target.parent, mode=0o700)
        safe_files.copy(source, target)

    @staticmethod
    def _content(path: Path) -> Optional[bytes]:
        """What a file has; None where there is none, or something else has its name."""
        try:
            return safe_files.read(path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, safe_files.UnsafeFile):
            return None

    @staticmethod
    def _put_back(kept: Path, path: Path) -> None:
        try:
            safe_files.copy(kept, path)
        except safe_files.UnsafeFile:
            # A link of a user who must not choose what root writes to: the file takes its place.
            safe_files.copy(kept, path, follow=False)
