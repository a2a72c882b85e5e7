# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock that lets one call at a time change what runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from . import _safe_files as safe_files
from .errors import ControlError, UsageError


@contextlib.contextmanager
def locked(path: Path, command: str, seconds: float) -> Iterator[None]:
    """Hold the lock for a I(command); wait for another call that holds it, but no longer than I(seconds)."""
    safe_files.make_directories(path.parent)
    descriptor = _wait(path, time.monotonic() + seconds, seconds)
    try:
        # For those who wait
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} ({command})\n".encode(errors="replace"), 0)
        yield
    finally:
        os.close(descriptor)


def _wait(path: Path, deadline: float, seconds: float) -> int:
    """The descriptor of the lock, which nobody else has."""
    told = False
    while True:
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, descriptor):
                return descriptor
        except BlockingIOError:
            holder = os.pread(descriptor, 1000, 0).decode(errors="replace").strip() or "unknown"
            if not told:
                # What is printed to the other stream is a change.
                print(f"wait for process {holder}, which holds {path}", file=sys.stderr, flush=True)
                told = True
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise ControlError(
                    f"process {holder} has held {path} for {seconds:.0f} s: see what the process waits for, end it if it hangs, and run this again. Nothing has been touched."
                ) from None
        os.close(descriptor)
        time.sleep(0.2)


def _open(path: Path) -> int:
    """Open the lock, which only its owner may open: whoever opens it can hold it."""
    with safe_files.locate(path, follow=False) as place:
        directory = os.fstat(place.directory)
        if directory.st_uid not in (0, os.geteuid()) or directory.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            who = safe_files.user_name(directory.st_uid)
            raise UsageError(f"{path.parent} belongs to {who} with mode {stat.S_IMODE(directory.st_mode):04o}: give it to root (chown root, chmod 0755)")
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(place.name, flags, 0o600, dir_fd=place.directory)
        if os.fstat(descriptor).st_mode & 0o077:
            # Earlier releases let everybody open it, and somebody may have it open.
            os.close(descriptor)
            place.unlink()
            descriptor = os.open(place.name, flags | os.O_EXCL, 0o600, dir_fd=place.directory)
    return descriptor


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the lock is still the one that the next call opens: a call that removes everything removes the lock too."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    return False
