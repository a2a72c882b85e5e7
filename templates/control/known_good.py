# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Known-good copies: the files as they were when they last worked."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

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
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self.directory / f"running-{time.time_ns()}"
        new.mkdir(mode=0o700)
        for path in self._files():
            if path.is_file():
                self._copy(path, new / path.relative_to("/"))
        links = {str(path): os.readlink(path) for path in self._links() if path.is_symlink()}
        (new / "links.json").write_text(json.dumps(links))
        running = self.directory / "running"
        if not running.is_symlink():  # It was a directory once.
            shutil.rmtree(running, ignore_errors=True)
        # At no moment is there nothing to go back to.
        relink(running, Path(new.name))
        for old in self.directory.glob("running-*"):
            if old != new:
                shutil.rmtree(old, ignore_errors=True)

    def restore(self) -> list[str]:
        """Put the files back that differ, keep the rejected ones aside, and name them."""
        running, rejected = self.directory / "running", self.directory / "rejected"
        shutil.rmtree(rejected, ignore_errors=True)
        restored = []
        for path in self._files():
            kept = running / path.relative_to("/")
            old = kept.read_bytes() if kept.is_file() else None
            new = path.read_bytes() if path.is_file() else None
            if old == new:
                continue
            if new is not None:
                self._copy(path, rejected / path.relative_to("/"))
            if old is None:
                path.unlink()
            else:
                # Beside the real one first: at no moment is half a file there.
                target = path.resolve()
                beside = target.with_name(f".{path.name}.restored~")
                self._copy(kept, beside)
                beside.rename(target)
            restored.append(str(path))
        for link, leads_to in json.loads((running / "links.json").read_text()).items():
            there = os.path.exists(os.path.join(os.path.dirname(link), leads_to))
            if os.path.islink(link) and os.readlink(link) != leads_to and there:
                relink(Path(link), leads_to)
                restored.append(link)
        return restored

    def remove(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.directory, ignore_errors=True)
        for parent in self.directory.parents[:2]:
            with contextlib.suppress(OSError):  # something else still uses it
                parent.rmdir()

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        target.touch(mode=0o600)
        status = source.stat()
        os.chown(target, status.st_uid, status.st_gid)
        shutil.copy2(source, target)
