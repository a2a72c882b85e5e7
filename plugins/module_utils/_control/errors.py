# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command reports, and how it fails."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Optional, TextIO


class ControlError(Exception):
    """Something could not be done; the message says what, why and what still runs."""

    exit_code = 1


class UsageError(ControlError):
    """The command or its configuration is wrong."""

    exit_code = 2


class Refusal(ControlError):
    """It could be done, but not without an interruption that nobody has allowed."""

    exit_code = 4


def say(message: str, stream: Optional[TextIO] = None) -> None:
    """Report one step at once, so that a person sees progress and Ansible sees a change.

    What is under way goes on when nobody reads that any more, as where C(head) has read enough, or the disk of a file
    is full.
    """
    stream = stream or sys.stdout
    try:
        stream.write(f"{message}\n")
        stream.flush()
    except OSError:
        silence(stream)


def silence(stream: TextIO) -> None:
    """Send to nowhere what is still to be written to a stream, also by Python itself as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def flush() -> None:
    """Write what has been printed and not been written yet."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            silence(stream)
