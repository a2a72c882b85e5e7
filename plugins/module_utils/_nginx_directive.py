# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directive of nginx in a file that somebody else writes: it gets another value, and later the former one back.

The file itself has the former value, in a comment behind the new one. So it outlives every copy of the file, and who reads the file sees what
has changed:

    worker_connections 8192; # ours, instead of 768;
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

_BLANKS = " \t"


class Line(NamedTuple):
    """A directive on a line of its own."""

    indent: str
    # Between the name and the value
    gap: str
    # All behind the gap, to the end of the line.
    rest: str

    @property
    def words(self) -> list[str]:
        """The value."""
        return self.rest.partition(";")[0].split()

    @property
    def tail(self) -> str:
        """What stands behind the semicolon, without blanks; a line feed of Windows leaves a carriage return."""
        return self.rest.partition(";")[2].strip(_BLANKS + "\r")


@dataclasses.dataclass(frozen=True)
class Directive:
    """One directive that the file has on lines of their own, and what is written in front of the former value."""

    name: str
    note: str
    # Whether the first word of the value stays, and the new value follows it.
    keep: bool = False
    # A number from this on stays, and one with a comment behind it; 0 for any value.
    below: int = 0

    def replaced(self, text: str, value: str) -> str:
        """Return a text in which the directive has a value, whatever an earlier call has made of it."""
        return "\n".join(self._replaced(line, value) for line in self.restored(text).split("\n"))

    def restored(self, text: str) -> str:
        """Return a text in which the directive has its former value."""
        return "\n".join(map(self._restored, text.split("\n")))

    def _line(self, text: str) -> Line | None:
        """Return the parts of a line that has the directive."""
        stripped = text.lstrip(_BLANKS)
        if not stripped.startswith(self.name):
            return None
        behind = stripped[len(self.name) :]
        rest = behind.lstrip(_BLANKS)
        gap = behind[: len(behind) - len(rest)]
        return Line(text[: len(text) - len(stripped)], gap, rest) if gap and ";" in rest else None

    def _gives_way(self, line: Line) -> bool:
        """Tell whether a value that somebody else has written may be replaced."""
        words, tail = line.words, line.tail
        if self.below:
            return len(words) == 1 and _is_number(words[0]) and int(words[0]) < self.below and not tail
        return len(words) in (1, 2) and (not tail or tail.startswith("#"))

    def _replaced(self, text: str, value: str) -> str:
        line = self._line(text)
        if line is None or not self._gives_way(line):
            return text
        if self.keep:
            return f"{line.indent}{self.name}{line.gap}{line.words[0]} {value}; {self.note} {line.rest}"
        return f"{line.indent}{self.name} {value}; {self.note}{line.gap}{line.rest}"

    def _restored(self, text: str) -> str:
        line = self._line(text)
        if line is None:
            return text
        own, separator, former = line.rest.partition(f"; {self.note}")
        words = own.split(" ")
        if not separator or own.split() != words or not former.startswith(tuple(_BLANKS)):
            return text
        if self.keep:
            return f"{line.indent}{self.name}{line.gap}{former[1:]}" if len(words) == 2 else text
        if len(words) != 1 or (self.below and not _is_number(own)):
            return text
        if self.below and _is_number(former[1:]):
            # An earlier release has noted the number alone.
            return f"{line.indent}{self.name}{former};"
        known = Line("", former[: len(former) - len(former.lstrip(_BLANKS))], former.lstrip(_BLANKS))
        is_former = (
            ";" in former
            and len(known.words) == 1
            and not known.tail
            and (not self.below or _is_number(known.words[0]))
        )
        return f"{line.indent}{self.name}{former}" if is_former else text


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit()
