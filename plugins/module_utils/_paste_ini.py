# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edit and check a Paste Deploy INI file without touching a byte that is not meant.

uWSGI reads the same file with a parser of its own that knows neither C(key: value) nor continuation
lines; where the two disagree, M(galaxyops.uwsgi.paste_check) says so.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_lines import (
    DEFAULT,
    UWSGI,
    Document,
    Option,
    PasteIniError,
    Section,
    decode,
    encode,
    eol_of,
    get_options,
    indent_of,
    is_blank,
    is_comment,
    mask_diff,
    mask_secrets,
    option_lines,
    parse,
    scan,
    scan_once,
    section_values,
)
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_loading import Application, Loading, load_section
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_values import (
    Place,
    Reader,
    Source,
    app_sections,
    handler_options,
    interpolate,
    interpolation_errors,
    is_paste_section,
    is_shared_option,
    on_host,
)
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._secrets import mask_value

# What those who edit or check a file need of the modules below, so that they name this one only.
__all__ = [
    "DEFAULT",
    "TRUE",
    "UWSGI",
    "Application",
    "Change",
    "Document",
    "Loading",
    "Option",
    "PasteIniError",
    "Place",
    "Reader",
    "Section",
    "app_sections",
    "changed",
    "check",
    "check_changed",
    "decode",
    "encode",
    "get_options",
    "handler_options",
    "interpolate",
    "load",
    "mask_diff",
    "mask_secrets",
    "on_host",
    "option_lines",
    "options_in_effect",
    "overrides_flag",
    "parse",
    "remove_section",
    "section_values",
    "set_section",
    "values_in_effect",
]

# What Galaxy takes for true; everything else is false to it.
TRUE = ("true", "yes", "on", "1")

_UNDECODED = re.compile("[\udc80-\udcff]")
_INLINE_COMMENT = re.compile(r"\s[#;]")

_SHADOWED = (
    f"[{DEFAULT}] sets this option too, so Paste Deploy takes no notice of this line and the application does not get the option: "
    f"remove the option from [{DEFAULT}]"
)
_HEADER_TEXT = "uWSGI does not find a section with text after its name: move that text to a line of its own"


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
    loading = Loading(edited, "/galaxy.ini")
    for error, severity in interpolation_errors(loading.source, loading.sections_of(loading.path)):
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
    document, errors = scan(text)
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
    while stop > target.tail and is_blank(lines[stop - 1]):
        stop -= 1
    if not is_last:
        stop += lines[stop] == eol_of(lines[stop])
    elif start > 0 and lines[start - 1] == eol_of(lines[start - 1]):
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
    indent = indent_of(lines[document.end(section)]) if document.end(section) < len(lines) else ""
    for option in section.options.values():
        indent = indent_of(lines[option.index])
        if option.name not in wanted and not exclusive:
            continue
        value = wanted.get(option.name)
        if value is None:
            dropped.update([option.index, *option.continuation])
        elif not _is_written(value, option) or (section.name == UWSGI and option.separator != "="):
            dropped.update(option.continuation)
            lines[option.index] = _lines(_new_prefix(section, option), value, indent, eol_of(lines[option.index]))
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
        return f"{indent_of(option.prefix)}{option.name} = "
    return f"{option.prefix} " if not option.parts[0] and option.prefix[-2].isspace() else option.prefix


def _add(document: Document, section: str, options: Mapping[str, str], before: Optional[str]) -> None:
    """Add a section in such a way that remove_section() can tell which blank line came with it."""
    lines = document.lines
    follower = document.find(before) if before else None
    indent = indent_of(lines[follower.index]) if follower else ""
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
    edited, errors = scan_once(document.render())

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
    if any(is_comment(line) for line in text.split("\n")[1:]):
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


# Checking


def load(text: str, path: str, app: str = "main", read: Optional[Reader] = None) -> Loading:
    """What Paste Deploy does with the file at I(path) to load the application I(app), as far as the file can be read."""
    return Loading(scan(text)[0], path, app, read=read)


def values_in_effect(text: str, path: str, section: str, read: Optional[Reader] = None) -> dict[str, str]:
    """The options of I(section) in the file at I(path) as their reader gets them, secrets included: not to be shown.

    Those of a section of Paste Deploy are what it hands to the application of that section. Values that check() complains
    about are left out.
    """
    document, _errors = scan(text)
    if not is_paste_section(section):
        return document.values(section)
    return dict(load_section(document, path, section, read).values)


def options_in_effect(text: str, path: str, section: str, read: Optional[Reader] = None) -> dict[str, str]:
    """The options that values_in_effect() returns, masked."""
    return {name: mask_value(name, value) for name, value in values_in_effect(text, path, section, read).items()}


def check(
    text: str, path: str, app: str = "main", handlers: Optional[bool] = None, read: Optional[Reader] = None
) -> list[Finding]:
    """Everything in a galaxy.ini that would stop it from working under uWSGI, and with webless handlers if there are I(handlers).

    None says that this is not known; what would stop handlers is a warning then. I(read) reads the files that this file names.
    """
    document, errors = scan(text)
    findings = [error.finding(path) for error in errors]
    loading = Loading(document, path, app, read=read)
    findings.extend(_encoding_findings(document, path))
    for source in loading.sources.values():
        wrong = interpolation_errors(source, loading.sections_of(source.path))
        findings.extend(replace(error.finding(source.path), severity=severity) for error, severity in wrong)
        findings.extend(_shadow_findings(source, loading.sections_of(source.path)))
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


def check_changed(
    text: str,
    changes: Sequence[Change],
    path: str,
    app: str = "main",
    handlers: Optional[bool] = None,
    read: Optional[Reader] = None,
) -> list[Finding]:
    """Everything that will be wrong with a file after I(changes); a line is that in I(text), or 0 for what will be new."""
    try:
        after = changed(text, changes)
    except PasteIniError as error:
        # What cannot be read cannot be changed either, and is to be seen as it is.
        return check(text, path, app, handlers, read) if scan(text)[1] else [error.finding(path)]
    before = scan(text)[0]
    lines: dict[tuple[str, str], int] = {}
    for section in before.sections:
        lines.setdefault((section.name, ""), section.line)
        for option in section.options.values():
            lines.setdefault((section.name, option.name), option.line)
    wanted = {(change.section, name) for change in changes for name in change.options if not change.absent}
    findings = []
    for finding in check(after, path, app, handlers, read):
        if text != after and finding.section and finding.path == path:
            finding = replace(finding, line=lines.get((finding.section, finding.option), 0))
        # Who sets an option means that the application gets it.
        if finding.message == _SHADOWED and (finding.section, finding.option) in wanted:
            finding = replace(finding, severity="error")
        findings.append(finding)
    return sorted(findings, key=lambda finding: finding.line)


def _shadow_findings(source: Source, loaded: Sequence[str]) -> Iterator[Finding]:
    """Options that no application gets, although they stand in one of the sections that are I(loaded)."""
    shared = source.document.values(DEFAULT)
    for section in source.document.sections:
        for option in section.options.values() if section.name in loaded and section.name != DEFAULT else ():
            if option.name in shared and not is_shared_option(option.name):
                yield Finding(source.path, option.line, "warning", _SHADOWED, section.name, option.name)


def _encoding_findings(document: Document, path: str) -> Iterator[Finding]:
    """What keeps Python from reading the file as UTF-8 text."""
    if document.byte_order_mark:
        yield Finding(path, 1, "error", "the file starts with a byte order mark, which Paste Deploy takes for text: save it as UTF-8 without one")
    for number, line in enumerate(document.lines, 1):
        if not line.isascii() and _UNDECODED.search(line):
            yield Finding(path, number, "error", "the line is not UTF-8, so Python 3 cannot read the file: save the file as UTF-8")


def overrides_flag(name: str) -> str:
    """What is wrong with an option that all job handlers would have from a file, and that each is started with; empty for all others."""
    flag = {"server_name": "--server-name", "log_destination": "--log-file"}.get(name)
    return f"it overrides the {flag} that each job handler is started with, so they would all share one: remove the line" if flag else ""


def _handler_findings(document: Document, path: str, app: str) -> Iterator[Finding]:
    """What Galaxy's job handlers, which read the file themselves, would trip over."""
    found = {DEFAULT, f"app:{app}", *app_sections(document, app)}
    for section in document.sections:
        spellings: dict[str, str] = {}
        for option in section.options.values():
            first = spellings.setdefault(option.name.lower(), option.name)
            if first != option.name:
                message = f"it is {first!r} once more to Galaxy's job handlers, which take no notice of case and die of it: remove one of the two"
                yield Finding(path, option.line, "error", message, section.name, option.name)
            if section.name not in found:
                continue
            message = overrides_flag(option.name.lower())
            if message:
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
