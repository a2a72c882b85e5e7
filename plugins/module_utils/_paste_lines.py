# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of a Paste Deploy INI file: what each of them is, and which of them may be shown.

The file is read line by line exactly as Paste Deploy reads it, that is as Python's strict C(ConfigParser)
with case-sensitive option names does, but the lines are kept, so that whatever is not edited survives.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._secrets import (
    MASK,
    closes_private_key,
    is_secret,
    mask_assignment,
    mask_line,
    opens_private_key,
)

DEFAULT = "DEFAULT"
UWSGI = "uwsgi"

_HEADER = re.compile(r"\[(?P<name>.+)\]")
_SEPARATOR = re.compile(r"[=:]")


class PasteIniError(Exception):
    """The file, or what is asked of it, cannot be right; the message says what to write instead."""

    def __init__(self, message: str, line: int = 0, section: str = "", option: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.section = section
        self.option = option

    def finding(self, path: str) -> Finding:
        """The error as a finding in the file at I(path)."""
        return Finding(path, self.line, "error", self.message, self.section, self.option)


# The lines of a file


@dataclass
class Option:
    """An option: the index of its line, that line up to the value, and the lines that continue the value."""

    name: str
    index: int
    prefix: str
    parts: list[str]
    continuation: list[int] = field(default_factory=list)

    @property
    def value(self) -> str:
        """Its value as it is written; blank lines after it do not count."""
        return "\n".join(self.parts).rstrip()

    @property
    def line(self) -> int:
        """The number of its line, counted from 1."""
        return self.index + 1

    @property
    def separator(self) -> str:
        """C(=) or C(:)."""
        return self.prefix.rstrip()[-1]


@dataclass
class Section:
    """A section: the index of its header's line, and that of the first line after its last option."""

    name: str
    index: int
    tail: int
    options: dict[str, Option] = field(default_factory=dict)

    @property
    def line(self) -> int:
        """The number of its header's line, counted from 1."""
        return self.index + 1


@dataclass
class Document:
    """A file's lines, each with its line ending, and where in them the sections are.

    A last line that lacks a line ending is given one here, and render() takes it away again from what is
    then the last line, so that no edit needs to care.
    """

    lines: list[str]
    eol: str = "\n"
    byte_order_mark: str = ""
    ends_with_eol: bool = True
    sections: list[Section] = field(default_factory=list)

    def find(self, name: str) -> Optional[Section]:
        """The section called I(name)."""
        found = [section for section in self.sections if section.name == name]
        if len(found) > 1:  # Python allows this for DEFAULT alone
            raise PasteIniError(
                f"the section is there twice, in lines {found[0].line} and {found[1].line}: move its options into one",
                found[1].line,
                name,
            )
        return found[0] if found else None

    def values(self, name: str) -> dict[str, str]:
        """The options of the section called I(name), without those it inherits from DEFAULT."""
        return {
            key: option.value
            for section in self.sections
            if section.name == name
            for key, option in section.options.items()
        }

    def end(self, section: Section) -> int:
        """The index of the header that follows I(section), or of the end of the file."""
        position = next(index for index, other in enumerate(self.sections) if other is section) + 1
        return self.sections[position].index if position < len(self.sections) else len(self.lines)

    def lead(self, header: int) -> int:
        """The index at which the comments directly above I(header) start; they belong to that header."""
        while header > 0 and is_comment(self.lines[header - 1]):
            header -= 1
        return header

    def render(self) -> str:
        """The text of the file."""
        text = "".join(self.lines)
        return self.byte_order_mark + (text if self.ends_with_eol else text[: len(text) - len(eol_of(text))])


def decode(content: bytes) -> str:
    """Decode a file's content so that all bytes, UTF-8 or not, survive encode()."""
    return content.decode("utf-8", errors="surrogateescape")


def encode(text: str) -> bytes:
    """Undo decode()."""
    return text.encode("utf-8", errors="surrogateescape")


def _split_lines(text: str) -> list[str]:
    """Split I(text) where Python ends a line of a file; str.splitlines() would do so at form feeds too."""
    return list(io.StringIO(text, newline=""))


def is_blank(line: str) -> bool:
    return not line.strip()


def is_comment(line: str) -> bool:
    return line.lstrip().startswith(("#", ";"))


def indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def eol_of(line: str) -> str:
    if line.endswith("\n"):
        return "\r\n" if line.endswith("\r\n") else "\n"
    return "\r" if line.endswith("\r") else ""


def scan(text: str) -> tuple[Document, list[PasteIniError]]:
    """Read I(text) as strict ConfigParser does, but go on after an error to find them all."""
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    lines = _split_lines(text[len(mark) :])
    document = Document(lines, "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n", mark)
    if lines and not eol_of(lines[-1]):
        lines[-1] += document.eol
        document.ends_with_eol = False

    errors: list[PasteIniError] = []
    seen: dict[tuple[str, str], int] = {}
    section: Optional[Section] = None
    option: Optional[Option] = None
    level = 0
    for index, line in enumerate(lines):
        if line.endswith("\r"):
            errors.append(
                PasteIniError(
                    "the line ends with a carriage return alone, not a line ending to uWSGI: end it with a line feed",
                    index + 1,
                )
            )
        stripped = line.strip()
        if not stripped:
            if option is not None:
                option.parts.append("")
            continue
        if stripped[0] in "#;":
            continue
        indent = len(indent_of(line))
        if section is not None and option is not None and indent > level:
            option.continuation.append(index)
            section.tail = index + 1
            option.parts.append(stripped)
            continue
        level = indent
        header = _HEADER.match(stripped) if stripped[0] == "[" else None
        name, separator, value = (part.strip() for part in _partition(stripped))
        if header:
            option = None
            section = Section(header.group("name"), index, index + 1)
            document.sections.append(section)
            errors.extend(_header_errors(section, seen))
        elif section is None:
            errors.append(
                PasteIniError(
                    "there is no section above this line: start the file with one, such as [app:main], or comment the line out",
                    index + 1,
                )
            )
        elif not separator or not name:
            errors.append(
                PasteIniError(
                    f"expected 'option = value', got {mask_secrets(stripped)!r}: add what is missing, or comment the line out",
                    index + 1,
                    section.name,
                )
            )
        else:
            option = Option(name, index, line[: indent + len(stripped) - len(value)], [value])
            section.tail = index + 1
            errors.extend(_repetition_errors(section, option, seen))
            section.options.setdefault(option.name, option)
    return document, errors


def _header_errors(section: Section, seen: dict[tuple[str, str], int]) -> Iterator[PasteIniError]:
    """What is wrong with the header of I(section)."""
    if "]" in section.name:
        yield PasteIniError(
            "Python versions disagree about a header with a second ']': move the comment to a line of its own",
            section.line,
            section.name,
        )
    first = seen.setdefault((section.name, ""), section.line)
    if first != section.line and section.name != DEFAULT:
        yield PasteIniError(
            f"the section is there twice, in lines {first} and {section.line}: move its options into one",
            section.line,
            section.name,
        )


def _repetition_errors(section: Section, option: Option, seen: dict[tuple[str, str], int]) -> Iterator[PasteIniError]:
    """What is wrong with I(option) when the section has one of that name already."""
    first = seen.setdefault((section.name, option.name), option.line)
    if first != option.line:
        remedy = (
            "move the repeated lines into a file named by 'include ='"
            if section.name == UWSGI
            else "remove one of them"
        )
        yield PasteIniError(
            f"set twice, in lines {first} and {option.line}, which Paste Deploy refuses: {remedy}",
            option.line,
            section.name,
            option.name,
        )


def parse(text: str) -> Document:
    """Read a file; raise the first L(PasteIniError) if Paste Deploy could not."""
    document, errors = scan(text)
    if errors:
        raise errors[0]
    return document


# One scan of the text that an edit has made is enough; nobody may change what comes from here.
@lru_cache(maxsize=1)
def scan_once(text: str) -> tuple[Document, list[PasteIniError]]:
    return scan(text)


def get_options(text: str, section: str) -> dict[str, str]:
    """The options of I(section) and their values as they are written; none when there is no such section."""
    document, errors = scan_once(text)
    if errors:
        raise errors[0]
    return document.values(section)


def section_values(text: str, section: str) -> dict[str, str]:
    """The options of I(section) as they are written, also in a file that Paste Deploy could not read."""
    return scan(text)[0].values(section)


def option_lines(text: str, section: str) -> dict[str, int]:
    """The lines of the options of I(section), also in a file that Paste Deploy could not read."""
    return {
        option.name: option.line
        for place in scan(text)[0].sections
        if place.name == section
        for option in place.options.values()
    }


# Secrets


def mask_secrets(text: str) -> str:
    """I(text) as it may be shown: keys and passwords, also those in URLs and in commented-out options, masked."""
    return "".join(masked for _section, _line, masked in _masked_lines(text))


def mask_diff(before: str, after: str) -> tuple[str, str]:
    """Mask both sides of a diff, and mark those masked lines on the second that did change."""
    old = list(_masked_lines(before))
    if before == after:
        same = "".join(masked for _section, _line, masked in old)
        return same, same
    old_lines = {(section, line) for section, line, _masked in old}
    old_masked = {(section, masked) for section, _line, masked in old}
    shown = []
    for section, line, masked in _masked_lines(after):
        if masked != line and (section, line) not in old_lines and (section, masked) in old_masked:
            masked = masked[: len(masked) - len(eol_of(masked))] + " (changed)" + eol_of(masked)
        shown.append(masked)
    return "".join(masked for _section, _line, masked in old), "".join(shown)


def _masked_lines(text: str) -> Iterator[tuple[str, str, str]]:
    """Each line of I(text): its section, the line itself, and the line with secrets masked."""
    section = ""
    secret_level: Optional[int] = None  # the indentation of a secret option, whose value the next lines may continue
    in_key = False  # whether a private key has begun and not ended
    for line in _split_lines(text):
        eol = eol_of(line)
        body = line[: len(line) - len(eol)]
        masked = mask_line(body)
        indent = indent_of(body)
        continues = secret_level is not None and len(indent) > secret_level
        if in_key:
            in_key = not closes_private_key(body)
            masked = indent + MASK if not is_blank(line) else masked
        elif not is_blank(line) and not is_comment(line):
            if continues:
                masked = indent + MASK
            else:
                name, separator, value = _partition(body)
                masked = mask_assignment(body, name, value) if separator else masked
                # The value may begin on the next line.
                secret_level = (
                    len(indent)
                    if separator and is_secret(name) and (not value.strip() or masked.endswith(MASK))
                    else None
                )
                header = _HEADER.match(body.strip())
                section = header.group("name") if header else section
        in_key = in_key or opens_private_key(body)
        yield section, line, masked + eol


def _partition(line: str) -> tuple[str, str, str]:
    """Split I(line) at the first C(=) or C(:)."""
    found = _SEPARATOR.search(line)
    return (line[: found.start()], found.group(), line[found.end() :]) if found else (line, "", "")
