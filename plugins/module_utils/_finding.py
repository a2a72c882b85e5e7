# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check of a configuration file found: where, how bad, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One problem in one place; I(message) says what is wrong and what to do or to write instead.

    A I(line) of 0 means that the problem belongs to no line, such as a missing file; an empty I(path) that it
    belongs to no file, such as a port that is taken. I(severity) is C(error) or C(warning).
    """

    path: str
    line: int
    severity: str
    message: str
    section: str = ""
    option: str = ""

    def __str__(self) -> str:
        """Format the finding as compilers do, so that editors can jump to it."""
        place = f"{self.path}:{self.line}: " if self.line else f"{self.path}: " if self.path else ""
        section = f"[{self.section}] " if self.section else ""
        option = f"{self.option}: " if self.option else ""
        return f"{place}{section}{option}{self.message}"
