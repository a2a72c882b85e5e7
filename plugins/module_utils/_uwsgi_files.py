# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the options of uWSGI wherever they are set: as an input, in a section C([uwsgi]), or in a file of any format that uWSGI reads.

A file is read line by line and loosely: what matters is which option has which value on which line.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _managed_file as managed_file
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_ini as paste_ini
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_options as uwsgi_options
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding

# The options that load a further file, and its format; of the others the name of the file tells.
INCLUDES = {"ini": "INI", "yaml": "YAML", "yml": "YAML", "json": "JSON", "js": "JSON", "xml": "XML", "include": "", "import": ""}
_EXTENSIONS = {".yml": "YAML", ".yaml": "YAML", ".json": "JSON", ".js": "JSON", ".xml": "XML"}
_MOST_FILES = 50

_YAML_OPTION = re.compile(r"(?:-\s+)?[\"']?([A-Za-z0-9][\w.-]*)[\"']?\s*:(?:\s+(.*))?")
_XML_OPTION = re.compile(r"<([A-Za-z][\w.-]*)(?:\s[^<>]*)?(?:/>|>([^<]*)</\1\s*>)")
_COMMENT = re.compile(r"\s*(?:[#;].*)?")


@dataclass(frozen=True)
class Setting:
    """An option, its value and its line."""

    name: str
    value: str
    line: int


def looks_like(text: str) -> str:
    """The format that I(text) is written in: INI, YAML, JSON or XML; empty where nothing tells."""
    for line in text.lstrip("\ufeff").splitlines():
        if _COMMENT.fullmatch(line):
            continue
        line = line.strip()
        if line.startswith("<"):
            return "XML"
        if line.startswith("{"):
            return "JSON"
        if re.fullmatch(r"\[[^\]]+\].*", line):
            return "INI"
        # An option without a section: its separator tells.
        if line == "---" or re.match(r"- |%YAML\b|!|[\"']?[\w.-]+[\"']?\s*:(?:\s|$)", line):
            return "YAML"
        return "INI" if "=" in line else ""
    return ""


def wrong_format(text: str, path: str, expected: str) -> list[Finding]:
    """Whether I(text) is in another format than the one that I(path) is read as: one finding, since each line would be wrong."""
    found = looks_like(text)
    if not found or found == expected:
        return []
    remedy = f"write {expected} into the file, or name the file after its format"
    if expected == "INI":
        remedy = "name the INI file of Paste Deploy, with [app:main], in its place"
    return [Finding(path, 0, "error", f"the file is {found}, and is read as {expected}: {remedy}")]


def _ini(text: str, section: str) -> Iterator[Setting]:
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            inside = stripped == f"[{section}]"
        elif inside and not _COMMENT.fullmatch(line):
            name, _equals, value = stripped.partition("=")
            yield Setting(name.strip(), value.strip(), number)


def _yaml(text: str, section: str) -> Iterator[Setting]:
    inside, last = False, ""
    for number, line in enumerate(text.splitlines(), 1):
        if _COMMENT.fullmatch(line) or line.startswith(("---", "...")):
            continue
        stripped = line.strip()
        if not line[0].isspace() and not (inside and stripped.startswith("- ")):
            inside = stripped.rstrip(": ") == section
            continue
        option = _YAML_OPTION.fullmatch(stripped)
        if not inside:
            continue
        if option:
            last = option[1]
            if option[2]:
                yield Setting(last, _unquoted(option[2]), number)
        elif stripped.startswith("- ") and last:
            yield Setting(last, _unquoted(stripped[2:]), number)


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _json(text: str, section: str) -> Iterator[Setting]:
    lines = text.splitlines()
    options: Any = json.loads(text)
    options = options.get(section, {}) if isinstance(options, dict) else {}
    for name, value in options.items() if isinstance(options, dict) else ():
        number = next((number for number, line in enumerate(lines, 1) if f'"{name}"' in line), 0)
        for item in value if isinstance(value, list) else [value]:
            yield Setting(name, str(item).lower() if isinstance(item, bool) else str(item), number)


def _xml(text: str, _section: str) -> Iterator[Setting]:
    text = re.sub(r"(?s)<!--.*?(?:-->|\Z)", lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    done, number = 0, 1
    for match in _XML_OPTION.finditer(text):
        number += text.count("\n", done, match.start())
        done = match.start()
        # An empty element means 1.
        yield Setting(match[1], (match[2] or "1").strip(), number)


_READERS = {"INI": _ini, "YAML": _yaml, "JSON": _json, "XML": _xml}


def format_of(path: str) -> str:
    """The format that uWSGI reads the file at I(path) in, by its name."""
    return _EXTENSIONS.get(os.path.splitext(path)[1].lower(), "INI")


def read(text: str, kind: str, section: str = "uwsgi") -> list[Setting]:
    """The options that uWSGI finds in a section of I(text), in their order; in XML, whatever the section is."""
    return list(_READERS[kind](text, section))


def option_findings(
    options: Mapping[str, Any],
    path: str,
    lines: Mapping[str, int],
    section: str,
    listening: Collection[str] = (),
    known: Collection[str] = (),
    others: Optional[Mapping[str, Any]] = None,
) -> list[Finding]:
    """What is wrong with I(options), each by itself; what only the service managers of the roles cannot have is worth a warning.

    Their values may have names of I(others) in them, or else of one another.
    """
    return [
        Finding(path, lines.get(name, 0), "warning" if problem.misplaced else "error", problem.text, section, name)
        for name, value in options.items()
        for problem in uwsgi_options.option_problems(name, value, listening, known, options if others is None else others)
    ]


def by_name(settings: Iterable[Setting], others: Optional[Mapping[str, Any]] = None) -> dict[str, list[str]]:
    """The values of each option, behind those of I(others)."""
    found = {name: [str(item) for item in (value if isinstance(value, list) else [value])] for name, value in (others or {}).items()}
    for setting in settings:
        found.setdefault(setting.name, []).append(setting.value)
    return found


def file_findings(
    path: str,
    kind: str,
    listening: Collection[str] = (),
    known: Collection[str] = (),
    others: Optional[Mapping[str, Any]] = None,
    section: str = "uwsgi",
) -> tuple[list[Finding], list[Setting]]:
    """What is wrong with the options in a section of the file at I(path), and the options themselves; nothing is, where there is no file.

    The values may have names of I(others) in them, which are set where the file is loaded from.
    """
    content = managed_file.read(path)
    if content is None:
        return [], []
    text = paste_ini.decode(content)
    wrong = wrong_format(text, path, kind)
    if wrong:
        return wrong, []
    try:
        settings = read(text, kind, section)
    except ValueError as error:
        return [Finding(path, getattr(error, "lineno", 0), "error", f"uWSGI cannot read this as {kind} ({error}): correct the file")], []
    names = by_name(settings, others)
    found = [
        finding
        for setting in settings
        for finding in option_findings({setting.name: setting.value}, path, {setting.name: setting.line}, "", listening, known, names)
    ]
    return found, settings


def included_findings(
    options: Mapping[str, Any], directory: str, listening: Collection[str] = (), known: Collection[str] = (), origin: str = ""
) -> list[Finding]:
    """What is wrong with the files that I(options) load, and with those that these load; relative paths are those of I(directory).

    The options are in the file I(origin), of which they may load other sections.
    """
    waiting = [(name, str(item), origin) for name, value in options.items() for item in (value if isinstance(value, list) else [value])]
    seen: set[tuple[str, str]] = set()
    findings = []
    names = by_name((), options)
    while waiting and len(seen) < _MOST_FILES:
        name, value, loader = waiting.pop(0)
        # What uWSGI replaces or reads from elsewhere cannot be followed, and of INI and others a section may be named.
        place, _colon, section = value.rpartition(":") if re.search(r"(?:\.\w+|\A):[\w-]*\Z", value) else (value, "", "")
        place = place or (loader if section else "")
        if name not in INCLUDES or re.search(r"[%$@]|://", place) or not place:
            continue
        path = os.path.normpath(os.path.join(directory, place))
        if (path, section) in seen:
            continue
        seen.add((path, section))
        found, settings = file_findings(path, INCLUDES[name] or format_of(path), listening, known, names, section or "uwsgi")
        findings += found
        names = by_name(settings, names)
        waiting += [(setting.name, setting.value, path) for setting in settings]
    return findings
