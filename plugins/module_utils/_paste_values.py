# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of the options in a Paste Deploy INI file, as those who read them get them."""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Callable, NamedTuple

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _managed_file as managed_file
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_lines import (
    DEFAULT,
    Document,
    PasteIniError,
    decode,
)
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._secrets import mask_value

# What Paste Deploy looks for when it loads an application, a filter or a server: one section out of all groups,
# and within a group the first spelling that exists.
PREFIXES = {
    "app": (("app", "application"), ("composite", "composit"), ("pipeline",), ("filter-app",)),
    "filter": (("filter",),),
    "server": (("server",),),
}
KINDS = {prefix: kind for kind, groups in PREFIXES.items() for group in groups for prefix in group}

_INTERPOLATION = re.compile(r"%(?:%|\((?P<name>[^)]+)\)s)?")

# ConfigParser's own limit, so that what is refused here is what it refuses.
_MAX_INTERPOLATION_DEPTH = 10

# The text of another file, or None if there is none; PasteIniError says why it cannot be read.
Reader = Callable[[str], "str | None"]


def on_host(path: str) -> str | None:
    """The text of a file on this host."""
    try:
        content = managed_file.read(path)
    except managed_file.ManagedFileError as error:
        raise PasteIniError(str(error)) from error
    return None if content is None else decode(content)


def is_paste_section(name: str) -> bool:
    """Whether Paste Deploy interpolates C(%(name)s) in the section; in [uwsgi], [loggers] and so on it does not."""
    return name == DEFAULT or name.partition(":")[0] in KINDS


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
            raise PasteIniError(
                f"%({name})s refers to no option of the section or of [{DEFAULT}]: define that, or write '%%' for a '%' that stands for itself"
            )
        return interpolate(names[name], names, depth + 1) if "%" in names[name] else names[name]

    return _INTERPOLATION.sub(replacement, value)


def interpolated(values: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Those of I(values) that can be interpolated; check() complains about the others."""
    found = {}
    for name, value in values.items():
        with contextlib.suppress(PasteIniError):
            found[name] = interpolate(value, names)
    return found


def interpolation_errors(source: Source, loaded: Container[str]) -> Iterator[tuple[PasteIniError, str]]:
    """Every value that Paste Deploy cannot interpolate, with the severity of that.

    It is only a warning in a section that is not I(loaded), such as [server:...], which uWSGI never loads.
    """
    for section in source.document.sections:
        if is_paste_section(section.name):
            names = {**source.raw, **{name: option.value for name, option in section.options.items()}}
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


class Place(NamedTuple):
    """Where an option is written; the line is 0 for what is on no line."""

    path: str
    section: str
    line: int


class Setting(NamedTuple):
    """A value with the place that it comes from."""

    value: str
    place: Place


@dataclass
class Source:
    """One file that Paste Deploy reads.

    I(raw) are the options of C([DEFAULT]) as they are written, with what every section may refer to besides; I(shared) are those of
    them that can be interpolated. I(lines) are those of each section, under an empty name, and of its options.
    """

    path: str
    document: Document
    raw: dict[str, str]
    shared: dict[str, str]
    lines: dict[tuple[str, str], int]

    @classmethod
    def read(cls, document: Document, path: str, given: Mapping[str, str]) -> Source:
        """Read a file; what is I(given) comes from the file that names this one, or from a command line."""
        own = {"here": posixpath.dirname(path), "__file__": path, **document.values(DEFAULT)}
        raw = {**own, **{name: value for name, value in given.items() if name not in own}}
        lines: dict[tuple[str, str], int] = {}
        for section in document.sections:
            lines.setdefault((section.name, ""), section.line)
            for option in section.options.values():
                lines.setdefault((section.name, option.name), option.line)
        return cls(path, document, raw, interpolated(raw, raw), lines)

    def place(self, section: str, option: str = "") -> Place:
        """Where an option is written, or else its section."""
        return Place(self.path, section, self.lines.get((section, option), self.lines.get((section, ""), 0)))


def app_sections(document: Document, app: str, kind: str = "app") -> list[str]:
    """The sections that Paste Deploy finds for the application (or what I(kind) says) I(app); it wants exactly one."""
    found = []
    for group in PREFIXES[kind]:
        for prefix in group:
            matching = [
                section.name
                for section in document.sections
                if section.name.startswith(f"{prefix}:") and section.name[len(prefix) + 1 :].strip() == app
            ]
            if matching:
                found.extend(matching)
                break
    return found


def is_shared_option(option: str) -> bool:
    """Whether an option gives to, or takes from, the options that all sections share."""
    return option.startswith(("set ", "get "))


def handler_options(document: Document, path: str, app: str = "main") -> dict[str, str]:
    """The options that Galaxy's job handlers get, with secrets.

    Handlers read the file themselves: one section with what C([DEFAULT]) sets, as they are written but for C(%(name)s). They follow no C(use),
    and know neither C(set) nor C(get).
    """
    source = Source.read(document, path, {})
    names = {**source.raw, **document.values(f"app:{app}")}
    return interpolated(names, names)
