# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person wants to see of the log of a process that did not start.

That is the first exception, the end, and where the rest is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Optional

LINES = 40

# The lines of a traceback, of which those of several workers may be mixed, and the line that ends one
_TRACEBACK = re.compile(r"(?P<lead>.*?)Traceback \(most recent call last\):\s*")
_FRAME = re.compile(r'\s+File "[^"]*", line \d+.*')
_EXCEPTION = re.compile(r"(?![\[*\s])[A-Za-z_][\w.]*(?:: .*|:|\s*)")
_ERROR_NAME = re.compile(
    r"(?:[\w.]+\.)?(?:\w*(?:Error|Exception|Warning|Exit|Interrupt|Failure|Fault|Timeout|NotFound|Iteration)|[A-Z]\w*)(?:: .*|:|\s*)"
)
# A traceback of a deep recursion is long; without an end in so many lines there is none.
_LONGEST = 2000


def first_exception(lines: Sequence[str]) -> list[str]:
    """The first exception in a log: its first line, its last frame and what it says; empty where there is none.

    What other processes write meanwhile stands between its lines, and is left out.
    """
    for start, line in enumerate(lines):
        begin = _TRACEBACK.fullmatch(line)
        if begin:
            return _exception(
                [
                    text[len(begin["lead"]) :] if text.startswith(begin["lead"]) else text
                    for text in lines[start : start + _LONGEST]
                ]
            )
    return []


def _exception(lines: Sequence[str]) -> list[str]:
    frame: list[str] = []
    for number, line in enumerate(lines[1:], 1):
        if _FRAME.fullmatch(line):
            # The source, where Python could read it
            source = lines[number + 1 : number + 2]
            frame = [line, *(text for text in source if text.startswith("    ") and not _FRAME.fullmatch(text))]
        elif frame and _EXCEPTION.fullmatch(line) and _ERROR_NAME.fullmatch(line):
            return [lines[0].strip(), *frame, line]
    return [lines[0].strip(), *frame] if frame else []


def log_tail(lines: Sequence[str], health_path: str, rest: Optional[str] = None) -> str:
    """The first exception and the last lines of a log, less those of the health requests.

    The command I(rest) shows all of the log.

    While a process is waited for, it is asked for the health path several times a second, and uWSGI logs each time: the
    reason would be far above.
    """
    # As the roles set log-format, and as uWSGI does without that. What the application says itself of such a request
    # stays.
    request = (
        re.compile(rf"(request .*|\[pid: .*) GET {re.escape(health_path)} (HTTP/|=> generated ).*")
        if health_path
        else None
    )
    kept = [line for line in lines if not (request and request.fullmatch(line))]
    left_out = len(lines) - len(kept)
    reason = first_exception(kept)
    # Where all of the exception is among the last lines, it stands there.
    if reason and reason[0] in (line.strip() for line in kept[-LINES:]) and len(kept) <= LINES:
        reason = []
    return "\n".join(
        [
            *(["The first exception:", *reason, "The last lines:"] if reason else []),
            *kept[-LINES:],
            *([f"({left_out} requests for {health_path} are left out)"] if left_out else []),
            *([f"All of the log: {rest}"] if rest and len(kept) > LINES else []),
        ]
    )
