# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edit and check a Paste Deploy INI file without touching a byte that is not meant.

The file is read line by line exactly as Paste Deploy reads it, that is as Python's strict C(ConfigParser)
with case-sensitive option names does, but the lines are kept, so that whatever is not edited survives.

uWSGI reads the same file with a parser of its own that knows neither C(key: value) nor continuation
lines; where the two disagree, M(galaxyops.uwsgi.paste_check) says so.
"""

from __future__ import annotations

import contextlib
import io
import posixpath
import re
import unicodedata
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._secrets import (
    MASK,
    closes_private_key,
    is_secret,
    mask_assignment,
    mask_line,
    mask_value,
    opens_private_key,
)

DEFAULT = "DEFAULT"
UWSGI = "uwsgi"

# What Galaxy takes for true; everything else is false to it.
TRUE = ("true", "yes", "on", "1")

# What Paste Deploy looks for when it loads an application or a filter: one section out of all groups,
# and within a group the first spelling that exists.
_PREFIXES = {
    "app": (("app", "application"), ("composite", "composit"), ("pipeline",), ("filter-app",)),
    "filter": (("filter",),),
}
_PASTE_PREFIXES = (*(prefix for groups in _PREFIXES.values() for group in groups for prefix in group), "server")
_PROTOCOLS = {
    "app": ("paste.app_factory", "paste.composite_factory", "paste.composit_factory"),
    "filter": ("paste.filter_factory", "paste.filter_app_factory"),
}
_SCHEME = re.compile(r"([A-Za-z]+):")
_SCHEMES = ("config", "egg", "call")

_HEADER = re.compile(r"\[(?P<name>.+)\]")
_UNDECODED = re.compile("[\udc80-\udcff]")
_SEPARATOR = re.compile(r"[=:]")
_INLINE_COMMENT = re.compile(r"\s[#;]")
_INTERPOLATION = re.compile(r"%(?:%|\((?P<name>[^)]+)\)s)?")

# ConfigParser's own limit, so that what is refused here is what it refuses.
_MAX_INTERPOLATION_DEPTH = 10

_HEADER_TEXT = "uWSGI does not find a section with text after its name: move that text to a line of its own"


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
        return {key: option.value for section in self.sections if section.name == name for key, option in section.options.items()}

    def end(self, section: Section) -> int:
        """The index of the header that follows I(section), or of the end of the file."""
        position = next(index for index, other in enumerate(self.sections) if other is section) + 1
        return self.sections[position].index if position < len(self.sections) else len(self.lines)

    def lead(self, header: int) -> int:
        """The index at which the comments directly above I(header) start; they belong to that header."""
        while header > 0 and _is_comment(self.lines[header - 1]):
            header -= 1
        return header

    def render(self) -> str:
        """The text of the file."""
        text = "".join(self.lines)
        return self.byte_order_mark + (text if self.ends_with_eol else text[: len(text) - len(_eol(text))])


def decode(content: bytes) -> str:
    """Decode a file's content so that all bytes, UTF-8 or not, survive encode()."""
    return content.decode("utf-8", errors="surrogateescape")


def encode(text: str) -> bytes:
    """Undo decode()."""
    return text.encode("utf-8", errors="surrogateescape")


def _split_lines(text: str) -> list[str]:
    """Split I(text) where Python ends a line of a file; str.splitlines() would do so at form feeds too."""
    return list(io.StringIO(text, newline=""))


def _is_blank(line: str) -> bool:
    return not line.strip()


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith(("#", ";"))


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _eol(line: str) -> str:
    if line.endswith("\n"):
        return "\r\n" if line.endswith("\r\n") else "\n"
    return "\r" if line.endswith("\r") else ""


def _scan(text: str) -> tuple[Document, list[PasteIniError]]:
    """Read I(text) as strict ConfigParser does, but go on after an error to find them all."""
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    lines = _split_lines(text[len(mark) :])
    document = Document(lines, "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n", mark)
    if lines and not _eol(lines[-1]):
        lines[-1] += document.eol
        document.ends_with_eol = False

    errors: list[PasteIniError] = []
    seen: dict[tuple[str, str], int] = {}
    section: Optional[Section] = None
    option: Optional[Option] = None
    level = 0
    for index, line in enumerate(lines):
        if line.endswith("\r"):
            errors.append(PasteIniError("the line ends with a carriage return alone, not a line ending to uWSGI: end it with a line feed", index + 1))
        stripped = line.strip()
        if not stripped:
            if option is not None:
                option.parts.append("")
            continue
        if stripped[0] in "#;":
            continue
        indent = len(_indent(line))
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
            errors.append(PasteIniError("there is no section above this line: start the file with one, such as [app:main], or comment the line out", index + 1))
        elif not separator or not name:
            errors.append(
                PasteIniError(
                    f"expected 'option = value', got {mask_secrets(stripped)!r}: add what is missing, or comment the line out", index + 1, section.name
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
        yield PasteIniError("Python versions disagree about a header with a second ']': move the comment to a line of its own", section.line, section.name)
    first = seen.setdefault((section.name, ""), section.line)
    if first != section.line and section.name != DEFAULT:
        yield PasteIniError(f"the section is there twice, in lines {first} and {section.line}: move its options into one", section.line, section.name)


def _repetition_errors(section: Section, option: Option, seen: dict[tuple[str, str], int]) -> Iterator[PasteIniError]:
    """What is wrong with I(option) when the section has one of that name already."""
    first = seen.setdefault((section.name, option.name), option.line)
    if first != option.line:
        remedy = "move the repeated lines into a file named by 'include ='" if section.name == UWSGI else "remove one of them"
        yield PasteIniError(f"set twice, in lines {first} and {option.line}, which Paste Deploy refuses: {remedy}", option.line, section.name, option.name)


def parse(text: str) -> Document:
    """Read a file; raise the first L(PasteIniError) if Paste Deploy could not."""
    document, errors = _scan(text)
    if errors:
        raise errors[0]
    return document


# One scan of the text that an edit has made is enough; nobody may change what comes from here.
@lru_cache(maxsize=1)
def _read(text: str) -> tuple[Document, list[PasteIniError]]:
    return _scan(text)


def get_options(text: str, section: str) -> dict[str, str]:
    """The options of I(section) and their values as they are written; none when there is no such section."""
    document, errors = _read(text)
    if errors:
        raise errors[0]
    return document.values(section)


# Editing


def set_section(
    text: str,
    section: str,
    options: Mapping[str, object],
    before: Optional[str] = None,
    exclusive: bool = True,
) -> str:
    """Give I(section) these I(options), of which None removes one, and return the new text.

    With I(exclusive) every other option is removed, otherwise it stays. A section that is not there yet is
    added above the section I(before) and the comments directly above that, or else at the end.
    """
    document = parse(text)
    lines = {(owner.name, option.name): option.line for owner in document.sections for option in owner.options.values()}
    edited = _set(document, section, options, before, exclusive)
    for error, severity in _interpolation_errors(edited, "/galaxy.ini", _Loading(edited, "/galaxy.ini").sections):
        if severity == "error" or error.section == section:
            error.line = lines.get((error.section, error.option), 0)
            raise error
    return edited.render()


def _set(document: Document, section: str, options: Mapping[str, object], before: Optional[str], exclusive: bool) -> Document:
    """Do the work of set_section(), whatever the values mean to Paste Deploy."""
    _check_section_name(section)
    wanted = {name: _checked_value(section, name, value) for name, value in options.items()}
    target = document.find(section)
    if target is not None:
        _update(document, target, wanted, exclusive)
    elif exclusive or any(value is not None for value in wanted.values()):
        _add(document, section, {name: value for name, value in wanted.items() if value is not None}, before)
    return _checked_edit(document, section)


def remove_section(text: str, section: str) -> str:
    """Remove I(section) from I(text), and the blank line that set_section() set it off with.

    What is wrong in the section itself is no obstacle, because it goes: repeated options, lines that are none, or the
    section being there more than once. What is wrong elsewhere is refused, as everywhere.
    """
    document, errors = _scan(text)
    targets = [place for place in document.sections if place.name == section]
    own = {line for place in targets for line in range(place.line, document.end(place) + 1)}
    headers = {place.line for place in targets}
    for error in errors:
        # What looks like the start of another section, and is none, would take that with it.
        if error.line not in own or (document.lines[error.line - 1].lstrip().startswith("[") and error.line not in headers):
            raise error
    for target in reversed(targets):
        _remove(document, target)
    return _checked_edit(document, section).render() if targets else text


def _remove(document: Document, target: Section) -> None:
    """Take the lines of one section out of the I(document)."""
    lines = document.lines
    start, end = target.index, min(document.end(target), len(lines))
    is_last = end == len(lines)
    stop = end if is_last else document.lead(end)
    while stop > target.tail and _is_blank(lines[stop - 1]):
        stop -= 1
    if not is_last:
        stop += lines[stop] == _eol(lines[stop])
    elif start > 0 and lines[start - 1] == _eol(lines[start - 1]):
        start -= 1
    elif stop == len(lines):
        document.ends_with_eol = True  # the line ending is that of a line that stays
    del lines[start:stop]


def _update(document: Document, section: Section, wanted: Mapping[str, Optional[str]], exclusive: bool) -> None:
    """Edit the options of I(section) where they are, and add new ones after the last."""
    lines = document.lines
    if section.name == UWSGI and lines[section.index].strip() != f"[{UWSGI}]":
        raise PasteIniError(_HEADER_TEXT, section.line, UWSGI)
    dropped: set[int] = set()
    indent = _indent(lines[document.end(section)]) if document.end(section) < len(lines) else ""
    for option in section.options.values():
        indent = _indent(lines[option.index])
        if option.name not in wanted and not exclusive:
            continue
        value = wanted.get(option.name)
        if value is None:
            dropped.update([option.index, *option.continuation])
        elif not _is_written(value, option) or (section.name == UWSGI and option.separator != "="):
            dropped.update(option.continuation)
            lines[option.index] = _lines(_new_prefix(section, option), value, indent, _eol(lines[option.index]))
    # The indentation of the last option: with less, an indented header below would continue the new one.
    added = [_lines(f"{indent}{name} = ", value, indent, document.eol) for name, value in wanted.items() if value is not None and name not in section.options]
    lines[section.index :] = [
        *(line for index, line in enumerate(lines[section.index : section.tail], section.index) if index not in dropped),
        *added,
        *lines[section.tail :],
    ]


def _is_written(value: str, option: Option) -> bool:
    """Whether I(option) has this I(value); where several lines start does not matter."""
    return value == (option.value.lstrip() if "\n" in value else option.value)


def _lines(prefix: str, value: str, indent: str, eol: str) -> str:
    """The source of an option: its first line, and the further lines of its value indented below."""
    first, *further = value.split("\n")
    return "".join(f"{line.rstrip()}{eol}" for line in [prefix + first, *(f"{indent}    {line}" for line in further)])


def _new_prefix(section: Section, option: Option) -> str:
    """What to write before a new value: what is there, but a separator that works and the space an empty value hid."""
    if section.name == UWSGI and option.separator != "=":
        return f"{_indent(option.prefix)}{option.name} = "
    return f"{option.prefix} " if not option.parts[0] and option.prefix[-2].isspace() else option.prefix


def _add(document: Document, section: str, options: Mapping[str, str], before: Optional[str]) -> None:
    """Add a section in such a way that remove_section() can tell which blank line came with it."""
    lines = document.lines
    follower = document.find(before) if before else None
    indent = _indent(lines[follower.index]) if follower else ""
    block = [f"[{section}]{document.eol}", *(_lines(f"{indent}{name} = ", value, indent, document.eol) for name, value in options.items())]
    at = len(lines)
    if follower:
        at = document.lead(follower.index)
        block.append(document.eol)
    elif lines:
        block.insert(0, document.eol)
    lines[at:at] = block


def _checked_edit(document: Document, section: str) -> Document:
    """Read the edited I(document) anew, and make sure that every other section still reads as it did."""
    edited, errors = _read(document.render())

    def others(read: Document) -> list[tuple[str, list[tuple[str, str]]]]:
        return [(other.name, [(option.name, option.value) for option in other.options.values()]) for other in read.sections if other.name != section]

    if errors or others(document) != others(edited):
        raise PasteIniError("the next section's header is indented and would become part of the value above it: remove its indentation", 0, section)
    return edited


def _check_section_name(section: str) -> None:
    if not section or section != section.strip() or set("[]") & set(section) or _has_control_character(section):
        raise PasteIniError(f"{section!r} cannot be the name of a section: use letters, digits, ':', '-' and '_', such as app:main")


def _has_control_character(text: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Cs") and character != "\t" for character in text)


def _checked_value(section: str, name: str, value: object) -> Optional[str]:
    """I(value) as it is written, or None for an option to be removed."""
    if not name or name != name.strip() or name[0] in "[#;" or set("=:") & set(name) or _has_control_character(name):
        raise PasteIniError(
            "cannot be the name of an option: it must not be empty, start with '[', '#' or ';', contain '=', ':' or a line break, or start or end with a space",
            0,
            section,
            repr(name),
        )
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        raise PasteIniError(
            "is a list, but Paste Deploy refuses a repeated option (DuplicateOptionError on Python 3): write the repeated lines "
            "into a file of their own and name that with 'include ='",
            0,
            section,
            name,
        )
    if not isinstance(value, (str, int, float)):
        raise PasteIniError(f"is a {type(value).__name__}: give a string, a number, a boolean, or null to remove the option", 0, section, name)
    text = str(value).lower() if isinstance(value, bool) else "\n".join(line.strip() for line in re.split("\r?\n", str(value))).strip()
    shown = mask_value(name, text)
    if section == UWSGI and ("\n" in text or "\r" in text):
        raise PasteIniError(f"its value {shown!r} has more than one line, which uWSGI cannot read: write it in one", 0, section, name)
    if any(_has_control_character(line) for line in text.split("\n")):
        raise PasteIniError(f"its value {shown!r} contains a control character: remove it", 0, section, name)
    if any(_is_comment(line) for line in text.split("\n")[1:]):
        message = f"its value {shown!r} has a line that starts with '#' or ';', which Paste Deploy takes for a comment: remove the line"
        raise PasteIniError(message, 0, section, name)
    if _INLINE_COMMENT.search(text):
        raise PasteIniError(
            f"its value {shown!r} seems to end in a comment, which neither uWSGI nor Paste Deploy removes: drop the comment, "
            "and write a literal '#' or ';' without a space before it",
            0,
            section,
            name,
        )
    return text


# Interpolation


def is_paste_section(name: str) -> bool:
    """Whether Paste Deploy interpolates C(%(name)s) in the section; in [uwsgi], [loggers] and so on it does not."""
    return name == DEFAULT or name.partition(":")[0] in _PASTE_PREFIXES


def interpolate(value: str, names: Mapping[str, str], depth: int = 1) -> str:
    """Replace C(%(name)s) and C(%%) in I(value) as ConfigParser does."""
    if depth > _MAX_INTERPOLATION_DEPTH:
        raise PasteIniError("its '%(name)s' references lead to each other: break the circle")

    def replacement(match: re.Match[str]) -> str:
        if match.group() == "%%":
            return "%"
        name = match.group("name")
        if name is None:
            raise PasteIniError("a '%' that stands for itself must be written '%%'; Paste Deploy dies on it otherwise")
        if name not in names:
            raise PasteIniError(f"%({name})s refers to no option of the section or of [{DEFAULT}]: define that, or write '%%' for a '%' that stands for itself")
        return interpolate(names[name], names, depth + 1) if "%" in names[name] else names[name]

    return _INTERPOLATION.sub(replacement, value)


def _defaults(document: Document, path: str) -> dict[str, str]:
    """What the options of every section in the file at I(path) may refer to."""
    return {"here": posixpath.dirname(path), "__file__": path, **document.values(DEFAULT)}


def _interpolation_errors(document: Document, path: str, loaded: Container[str]) -> Iterator[tuple[PasteIniError, str]]:
    """Every value that Paste Deploy cannot interpolate, with the severity of that.

    It is only a warning in a section that is not I(loaded), such as [server:...], which uWSGI never loads.
    """
    defaults = _defaults(document, path)
    for section in document.sections:
        if is_paste_section(section.name):
            names = {**defaults, **{name: option.value for name, option in section.options.items()}}
            for option in section.options.values():
                if "%" not in option.value:
                    continue
                try:
                    interpolate(option.value, names)
                except PasteIniError as error:
                    severity = "error" if section.name == DEFAULT or section.name in loaded else "warning"
                    # What looks like a reference may be a piece of a password.
                    is_shown = mask_value(option.name, option.value) == option.value
                    message = error.message if is_shown else re.sub(r"%\([^)]*\)s", "%(...)s", error.message)
                    yield PasteIniError(message, option.line, section.name, option.name), severity


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
            masked = masked[: len(masked) - len(_eol(masked))] + " (changed)" + _eol(masked)
        shown.append(masked)
    return "".join(masked for _section, _line, masked in old), "".join(shown)


def _masked_lines(text: str) -> Iterator[tuple[str, str, str]]:
    """Each line of I(text): its section, the line itself, and the line with secrets masked."""
    section = ""
    secret_level: Optional[int] = None  # the indentation of a secret option, whose value the next lines may continue
    in_key = False  # whether a private key has begun and not ended
    for line in _split_lines(text):
        eol = _eol(line)
        body = line[: len(line) - len(eol)]
        masked = mask_line(body)
        indent = _indent(body)
        continues = secret_level is not None and len(indent) > secret_level
        if in_key:
            in_key = not closes_private_key(body)
            masked = indent + MASK if not _is_blank(line) else masked
        elif not _is_blank(line) and not _is_comment(line):
            if continues:
                masked = indent + MASK
            else:
                name, separator, value = _partition(body)
                masked = mask_assignment(body, name, value) if separator else masked
                # The value may begin on the next line.
                secret_level = len(indent) if separator and is_secret(name) and (not value.strip() or masked.endswith(MASK)) else None
                header = _HEADER.match(body.strip())
                section = header.group("name") if header else section
        in_key = in_key or opens_private_key(body)
        yield section, line, masked + eol


def _partition(line: str) -> tuple[str, str, str]:
    """Split I(line) at the first C(=) or C(:)."""
    found = _SEPARATOR.search(line)
    return (line[: found.start()], found.group(), line[found.end() :]) if found else (line, "", "")


# Checking


def values_in_effect(text: str, path: str, section: str) -> dict[str, str]:
    """The options of I(section) in the file at I(path) as their reader gets them, secrets included: not to be shown.

    What Paste Deploy reads is interpolated and includes what DEFAULT sets. Values that check() complains
    about are left out.
    """
    document, _errors = _scan(text)
    if not is_paste_section(section):
        return document.values(section)
    names = {**_defaults(document, path), **document.values(section)}
    options = {}
    for name, value in {**document.values(DEFAULT), **document.values(section)}.items():
        with contextlib.suppress(PasteIniError):
            options[name] = interpolate(value, names)
    return options


def options_in_effect(text: str, path: str, section: str) -> dict[str, str]:
    """The options that values_in_effect() returns, masked."""
    return {name: mask_value(name, value) for name, value in values_in_effect(text, path, section).items()}


@dataclass(frozen=True)
class Application:
    """The section of an application, its options as their reader gets them (masked), and the lines of those that stand in it."""

    section: str
    options: dict[str, str]
    lines: dict[str, int]


def application(text: str, path: str, app: str = "main") -> Application:
    """What the file at I(path) says about the application I(app)."""
    document, _errors = _scan(text)
    name = next(iter(app_sections(document, app)), "")
    return Application(name, options_in_effect(text, path, name) if name else {}, option_lines(text, name))


def loaded_options(text: str, path: str, app: str = "main") -> list[tuple[str, str, str]]:
    """The options of all sections that Paste Deploy reads to load I(app), as section, name and value as it is written."""
    document, _errors = _scan(text)
    loaded = {DEFAULT, *_Loading(document, path, app).sections}
    return [(section.name, option.name, option.value.strip()) for section in document.sections if section.name in loaded for option in section.options.values()]


def section_values(text: str, section: str) -> dict[str, str]:
    """The options of I(section) as they are written, also in a file that Paste Deploy could not read."""
    return _scan(text)[0].values(section)


def option_lines(text: str, section: str) -> dict[str, int]:
    """The lines of the options of I(section), also in a file that Paste Deploy could not read."""
    return {option.name: option.line for place in _scan(text)[0].sections if place.name == section for option in place.options.values()}


def app_sections(document: Document, app: str, kind: str = "app") -> list[str]:
    """The sections that Paste Deploy finds for the application (or what I(kind) says) I(app); it wants exactly one."""
    found = []
    for group in _PREFIXES[kind]:
        for prefix in group:
            matching = [
                section.name for section in document.sections if section.name.startswith(f"{prefix}:") and section.name[len(prefix) + 1 :].strip() == app
            ]
            if matching:
                found.extend(matching)
                break
    return found


class _Loading:
    """What Paste Deploy does to load an application: the sections it reads for that, and what it does not find in them."""

    def __init__(self, document: Document, path: str, app: str = "main") -> None:
        """Load I(app), as far as that can be done without importing anything."""
        self.document = document
        self.path = path
        self.defaults = _defaults(document, path)
        self.sections: list[str] = []
        self.findings: list[Finding] = []
        found = app_sections(document, app)
        if len(found) == 1:
            self._load(found[0], "app", self.defaults, ())
        else:
            problem = f"both [{found[0]}] and [{found[1]}] define the application: keep one" if found else f"there is no application: add a section [app:{app}]"
            self.findings.append(Finding(path, 0, "error", problem))

    def _complain(self, section: str, option: str, message: str) -> None:
        found = [place for place in self.document.sections if place.name == section]
        line = found[0].options[option].line if option in found[0].options else found[0].line
        self.findings.append(Finding(self.path, line, "error", message, section, option))

    def _load(self, name: str, kind: str, inherited: Mapping[str, str], above: tuple[str, ...]) -> None:
        """Read a section, and go on to those that it names."""
        if name not in self.sections:
            self.sections.append(name)
        # Of the options of DEFAULT, the section has those that give to or take from the global ones.
        own = {option: value for option, value in self.defaults.items() if option.startswith(("set ", "get "))}
        own.update(self.document.values(name))
        names = {**self.defaults, **own}
        values = {}
        for option, value in own.items():
            # What cannot be interpolated is a finding of its own.
            with contextlib.suppress(PasteIniError):
                values[option] = interpolate(value, names) if "%" in value else value
        shared = {**inherited, **{option[4:].strip(): value for option, value in values.items() if option.startswith("set ")}}
        for option, value in values.items():
            if option.startswith("get ") and value not in shared:
                self._complain(name, option, f"there is no {value!r} in [{DEFAULT}] to get: define it there, or give the value itself")
        # An option that DEFAULT has too is one of DEFAULT's to Paste Deploy, and not one of the section.
        local = {option: value for option, value in values.items() if not option.startswith(("set ", "get ")) and option not in self.defaults}
        unreadable = own.keys() - values.keys()
        above = (*above, name)
        if "filter-with" in local:
            self._follow(name, "filter-with", local["filter-with"], "filter", shared, above)
        self._load_by_type(name, kind, local, unreadable, shared, above)

    def _load_by_type(
        self, name: str, kind: str, local: Mapping[str, str], unreadable: Container[str], shared: Mapping[str, str], above: tuple[str, ...]
    ) -> None:
        """Do what Paste Deploy does for a section of this type with these options; nothing is said about I(unreadable) ones."""
        prefix = name.partition(":")[0]
        if prefix == "pipeline":
            for option in local:
                if option not in ("pipeline", "filter-with"):
                    self._complain(name, option, "a [pipeline:...] section may set nothing but 'pipeline': move the option to the application at its end")
            names = local.get("pipeline", "").split()
            if not names and "pipeline" not in unreadable:
                self._complain(name, "", "a [pipeline:...] section needs 'pipeline = FILTER ... APPLICATION': add it")
            for position, step in enumerate(names, 1):
                self._follow(name, "pipeline", step, "app" if position == len(names) else "filter", shared, above)
            return
        if prefix == "filter-app":
            kind = "filter"
            if "next" in local:
                self._follow(name, "next", local["next"], "app", shared, above)
            elif "next" not in unreadable:
                self._complain(name, "", "a [filter-app:...] section needs 'next = APPLICATION': add it")
        if "use" in local:
            self._follow(name, "use", local["use"], kind, shared, above)
            if "#urlmap" in local["use"]:
                for option, value in local.items():
                    if option not in ("use", "filter-with"):
                        self._follow(name, option, value, "app", shared, above)
        elif "use" not in unreadable:
            given = [option for option in _PROTOCOLS[kind] if option in local or option in unreadable]
            if not given:
                self._complain(name, "", f"nothing says what to load: add '{_PROTOCOLS[kind][0]} = MODULE:FUNCTION', or 'use ='")
            elif len(given) > 1 and kind == "app":
                self._complain(name, given[1], f"{given[0]!r} says already what to load: remove one of the two")

    def _follow(self, section: str, option: str, value: str, kind: str, shared: Mapping[str, str], above: tuple[str, ...]) -> None:
        """Load what an option names, unless it lies outside of this file."""
        scheme = _SCHEME.match(value)
        if scheme:
            if scheme.group(1).lower() not in _SCHEMES:
                self._complain(section, option, f"Paste Deploy knows no {scheme.group()!r}: write {', '.join(_SCHEMES)}, or the name of a section")
            return
        found = app_sections(self.document, value, kind)
        if not found:
            self._complain(section, option, f"there is no section [{kind}:{value}]: add it, or correct the name")
        elif len(found) > 1:
            self._complain(section, option, f"both [{found[0]}] and [{found[1]}] are {value!r}: keep one")
        elif found[0] in above:
            self._complain(section, option, f"[{found[0]}] leads back to itself: break the circle")
        else:
            self._load(found[0], kind, shared, above)


def check(text: str, path: str, app: str = "main", handlers: Optional[bool] = None) -> list[Finding]:
    """Everything in a galaxy.ini that would stop it from working under uWSGI, and with webless handlers if there are I(handlers).

    None says that this is not known; what would stop handlers is a warning then.
    """
    document, errors = _scan(text)
    findings = [error.finding(path) for error in errors]
    loading = _Loading(document, path, app)
    findings.extend(_encoding_findings(document, path))
    findings.extend(replace(error.finding(path), severity=severity) for error, severity in _interpolation_errors(document, path, loading.sections))
    findings.extend(dict.fromkeys(loading.findings))
    findings.extend(_uwsgi_findings(document, path))
    if handlers is not False:
        severity = "error" if handlers else "warning"
        findings.extend(replace(finding, severity=severity) for finding in _handler_findings(document, path, app))
    return sorted(findings, key=lambda finding: finding.line)


@dataclass(frozen=True)
class Change:
    """What is about to be done to one section, with the arguments of set_section(), or whether it is to be removed."""

    section: str
    options: Mapping[str, object]
    exclusive: bool = False
    absent: bool = False


def changed(text: str, changes: Sequence[Change]) -> str:
    """The text of a file after all I(changes), be they good or bad."""
    for change in changes:
        text = remove_section(text, change.section) if change.absent else _set(parse(text), change.section, change.options, None, change.exclusive).render()
    return text


def check_changed(text: str, changes: Sequence[Change], path: str, app: str = "main", handlers: Optional[bool] = None) -> list[Finding]:
    """Everything that will be wrong with a file after I(changes); a line is that in I(text), or 0 for what will be new."""
    try:
        after = changed(text, changes)
    except PasteIniError as error:
        # What cannot be read cannot be changed either, and is to be seen as it is.
        return check(text, path, app, handlers) if _scan(text)[1] else [error.finding(path)]
    before = _scan(text)[0]
    lines: dict[tuple[str, str], int] = {}
    for section in before.sections:
        lines.setdefault((section.name, ""), section.line)
        for option in section.options.values():
            lines.setdefault((section.name, option.name), option.line)
    findings = []
    for finding in check(after, path, app, handlers):
        if text != after and finding.section:
            finding = replace(finding, line=lines.get((finding.section, finding.option), 0))
        findings.append(finding)
    return sorted(findings, key=lambda finding: finding.line)


def _encoding_findings(document: Document, path: str) -> Iterator[Finding]:
    """What keeps Python from reading the file as UTF-8 text."""
    if document.byte_order_mark:
        yield Finding(path, 1, "error", "the file starts with a byte order mark, which Paste Deploy takes for text: save it as UTF-8 without one")
    for number, line in enumerate(document.lines, 1):
        if not line.isascii() and _UNDECODED.search(line):
            yield Finding(path, number, "error", "the line is not UTF-8, so Python 3 cannot read the file: save the file as UTF-8")


def _handler_findings(document: Document, path: str, app: str) -> Iterator[Finding]:
    """What Galaxy's job handlers, which read the file themselves, would trip over."""
    found = app_sections(document, app)
    for section in document.sections:
        spellings: dict[str, str] = {}
        for option in section.options.values():
            first = spellings.setdefault(option.name.lower(), option.name)
            if first != option.name:
                message = f"it is {first!r} once more to Galaxy's job handlers, which take no notice of case and die of it: remove one of the two"
                yield Finding(path, option.line, "error", message, section.name, option.name)
            if section.name != DEFAULT and section.name not in found:
                continue
            flag = {"server_name": "--server-name", "log_destination": "--log-file"}.get(option.name.lower())
            if flag:
                message = f"it overrides the {flag} that each job handler is started with, so they would all share one: remove the line"
                yield Finding(path, option.line, "error", message, section.name, option.name)


def _uwsgi_findings(document: Document, path: str) -> Iterator[Finding]:
    """What uWSGI's own parser reads differently from Paste Deploy's."""
    for section in document.sections:
        if section.name != UWSGI:
            continue
        if document.lines[section.index].strip() != f"[{UWSGI}]":
            yield Finding(path, section.line, "error", _HEADER_TEXT, UWSGI)
        for option in section.options.values():
            if option.separator != "=":
                yield Finding(path, option.line, "warning", "uWSGI knows no ':' between option and value: write '='", UWSGI, option.name)
            if _INLINE_COMMENT.search(option.value):
                yield Finding(
                    path, option.line, "error", "uWSGI takes a comment behind a value for a part of it: move it to a line of its own", UWSGI, option.name
                )
            for index in option.continuation:
                yield Finding(
                    path,
                    index + 1,
                    "warning",
                    "uWSGI takes an indented line for an option of its own, Paste Deploy for more of the value: join them, or remove the indentation",
                    UWSGI,
                    option.name,
                )
