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

from .. import _safe_files as safe_files
from .errors import ControlError, UsageError, say


@contextlib.contextmanager
def locked(path: Path, command: str, seconds: float) -> Iterator[None]:
    """Hold the lock for a I(command); wait for another call that holds it, but no longer than I(seconds)."""
    deadline = time.monotonic() + seconds
    told = False
    while True:
        with locked_if_free(path, command) as free:
            if free:
                yield
                return
        holder = _holder(path)
        if not told:
            # What is printed to the other stream is a change.
            say(f"wait for process {holder}, which holds {path}", sys.stderr)
            told = True
        if time.monotonic() > deadline:
            raise ControlError(
                f"process {holder} has held {path} for {seconds:.0f} s: see what the process waits for, end it if it "
                "hangs, and run this again. Nothing has been touched."
            )
        time.sleep(0.1)


@contextlib.contextmanager
def locked_if_free(path: Path, command: str) -> Iterator[bool]:
    """Hold the lock for a I(command) unless another call holds it, and tell whether it is held."""
    safe_files.make_directories(path.parent)
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = _is_at(path, descriptor)
    except BlockingIOError:
        free = False
    try:
        if free:
            # For those who wait
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} ({command})\n".encode(errors="replace"), 0)
        yield free
    finally:
        os.close(descriptor)


def _holder(path: Path) -> str:
    """The process that holds the lock, and what it was called with."""
    with contextlib.suppress(OSError):
        return safe_files.read(path, safe_files.SMALL).decode(errors="replace").strip() or "unknown"
    return "unknown"


def _open(path: Path) -> int:
    """Open the lock, which only its owner may open: whoever opens it can hold it."""
    with safe_files.locate(path, follow=False) as place:
        directory = os.fstat(place.directory)
        if directory.st_uid not in (0, os.geteuid()) or directory.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            who = safe_files.user_name(directory.st_uid)
            mode = stat.S_IMODE(directory.st_mode)
            raise UsageError(
                f"{path.parent} belongs to {who} and has the mode {mode:04o}, so that others than root can take the "
                "lock away: give the directory to root, with the mode 0755"
            )
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(place.name, flags, 0o600, dir_fd=place.directory)
        if os.fstat(descriptor).st_mode & 0o077:
            # Earlier releases let everybody open it, and somebody may have it open.
            if _is_at(path, descriptor):
                place.unlink()
            os.close(descriptor)
            descriptor = os.open(place.name, flags, 0o600, dir_fd=place.directory)
    return descriptor


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the next call opens this very lock: a call that removes everything removes the lock too."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    return False
