# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One dictionary of uWSGI options, written in any form that uWSGI reads.

Each form has something that it cannot hold: Paste Deploy and the environment no repeated option, the YAML parser inside of uWSGI no
C(#), its XML parser no entity. What a form cannot hold goes into an INI file that it includes, because INI holds everything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._galaxy_options import BRIDGE, NAMES_YML, is_yaml

# What uWSGI replaces in files only: C(%n) and the like. C(%(name)) it replaces everywhere.
_MAGIC = re.compile(r"%[^(]|%$")
_PLACEHOLDER = re.compile(r"%\(([^()]+)\)")
_YAML_PLAIN = re.compile(r"[A-Za-z0-9/$(.+=~^_](?:(?!: |:$)[^#\t])*")
_XML_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_ENVIRONMENT_NAME = re.compile(r"[a-z0-9-]+")

EXTENSIONS = {"ini": "ini", "yaml": "yml", "json": "json", "xml": "xml"}
FORMATS = ("paste", *EXTENSIONS, "command_line", "environment", "emperor")


@dataclass(frozen=True)
class Configuration:
    """Options in one form: what has to be in a Paste Deploy file, in files of their own, on the command line and in the environment."""

    section: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    argv: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def text(value: Any) -> str:
    """Write one value as uWSGI reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def pairs(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return one pair of name and value for each option, and for each item of one that is repeated."""
    return [(name, text(item)) for name, value in options.items() for item in (value if isinstance(value, list) else [value])]


def ini(options: Mapping[str, Any]) -> str:
    """Write I(options) as an INI file."""
    return "[uwsgi]\n" + "".join(f"{name} = {value}".rstrip() + "\n" for name, value in pairs(options))


def yaml(options: Mapping[str, Any]) -> str:
    """Write I(options) as YAML. uWSGI's own parser takes quotes for a part of the value and ends at a list: so neither is written."""
    return "uwsgi:\n" + "".join(f"  {name}: {value}\n" for name, value in pairs(options))


def to_json(options: Mapping[str, Any]) -> str:
    """Write I(options) as JSON. Of numbers, uWSGI reads whole ones only, so numbers are written as text."""
    values = {name: [text(item) for item in value] if isinstance(value, list) else text(value) for name, value in options.items()}
    return json.dumps({"uwsgi": values}, indent=2, ensure_ascii=False) + "\n"


def xml(options: Mapping[str, Any]) -> str:
    """Write I(options) as XML."""
    return "<uwsgi>\n" + "".join(f"  <{name}>{value}</{name}>\n" for name, value in pairs(options)) + "</uwsgi>\n"


def command_line(options: Mapping[str, Any]) -> list[str]:
    """Write I(options) as arguments.

    An argument C(--master=true) is an error, as C(--master) takes no value there, and which options take one only uWSGI knows. A name that
    is a placeholder is no argument at all. So these are set by C(--set).
    """
    placeholders = {name for _name, value in pairs(options) for name in _PLACEHOLDER.findall(value)}
    return [f"--set={name}={value}" if value in ("true", "false") or name in placeholders else f"--{name}={value}" for name, value in pairs(options)]


def environment(options: Mapping[str, Any]) -> dict[str, str]:
    """Write I(options), none of them repeated, as environment variables."""
    return {f"UWSGI_{name.upper().replace('-', '_')}": value for name, value in pairs(options)}


def _ini_holds(_name: str, _value: Any) -> bool:
    return True


def _paste_holds(_name: str, value: Any) -> bool:
    return not isinstance(value, list)


def _yaml_holds(_name: str, value: Any) -> bool:
    return all(_YAML_PLAIN.fullmatch(item) for _name, item in pairs({"": value}))


def _xml_holds(name: str, value: Any) -> bool:
    # An empty element means 1.
    return bool(_XML_NAME.fullmatch(name)) and name != "app" and all(item and not re.search("[&<]|]]>", item) for _name, item in pairs({"": value}))


def _command_line_holds(_name: str, value: Any) -> bool:
    return not any(_MAGIC.search(item) for _name, item in pairs({"": value}))


def _environment_holds(name: str, value: Any) -> bool:
    return not isinstance(value, list) and bool(_ENVIRONMENT_NAME.fullmatch(name)) and _command_line_holds(name, value)


_HOLDS: dict[str, Callable[[str, Any], bool]] = {
    "paste": _paste_holds,
    "yaml": _yaml_holds,
    "xml": _xml_holds,
    "command_line": _command_line_holds,
    "environment": _environment_holds,
}


def split(options: Mapping[str, Any], form: str, include: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the form can hold, which includes the file I(include) if need be, and what has to go there."""
    holds = _HOLDS.get(form, _ini_holds)
    inside = {name: value for name, value in options.items() if holds(name, value)}
    outside = {name: value for name, value in options.items() if name not in inside}
    if not outside:
        return inside, {}
    if "include" in inside:
        outside["include"] = inside.pop("include")
    return {**inside, "include": include}, outside


def file_names(directory: str, paste_include: str) -> list[str]:
    """Return every file that one form or another has."""
    return [paste_include, *(f"{directory}/uwsgi.{extension}" for extension in EXTENSIONS.values()), link_name(directory)]


def link_name(directory: str) -> str:
    """The Paste Deploy file by which uWSGI loads a Galaxy with a galaxy.yml."""
    return f"{directory}/paste.ini"


def _link(yml: str, section: Mapping[str, Any]) -> str:
    """Write the Paste Deploy file that names a galaxy.yml, with the options of uWSGI that belong there."""
    own = f"\n{ini(section)}" if section else ""
    return (
        f"# Managed by the role galaxyops.uwsgi.uwsgi: changes made here are lost. Galaxy's options are in {yml}.\n"
        f"[app:main]\npaste.app_factory = {BRIDGE}\n{NAMES_YML} = {yml}\n{own}"
    )


def configuration(
    options: Mapping[str, Any],
    form: str,
    paste_file: str,
    directory: str,
    paste_include: str,
    app: str = "main",
    python: str = "",
) -> Configuration:
    """Write I(options), and the load of the application I(app) in I(paste_file), in one form.

    Files of their own are in I(directory), but for what the section of a Paste Deploy file includes. A galaxy.yml in the place of a Paste Deploy file
    is never written: one in the directory names it. The modules that this needs are in the directory I(python).
    """
    if is_yaml(paste_file):
        link = link_name(directory)
        if python:
            # uWSGI puts each directory before those that it has: a copy of these modules in another one does not count.
            own = options.get("pythonpath", [])
            options = {**options, "pythonpath": [*(own if isinstance(own, list) else [own]), python]}
        made = configuration(options, form, link, directory, f"{directory}/uwsgi.ini")
        return replace(made, section={}, files={**made.files, link: _link(paste_file, made.section)})
    # The short ways to say it know the application main only.
    application = f"config:{paste_file}" if app == "main" else f"config:{paste_file}#{app}"
    if form == "paste":
        inside, outside = split(options, form, paste_include)
        argv = ["--ini-paste", paste_file] if app == "main" else ["--ini", paste_file, "--paste", application]
        return Configuration(section=inside, files={paste_include: ini(outside)} if outside else {}, argv=argv)
    include = f"{directory}/uwsgi.ini"
    inside, outside = split({**options, "paste": application}, form, include)
    files = {include: ini(outside)} if outside else {}
    if form == "command_line":
        return Configuration(files=files, argv=command_line(inside))
    if form == "environment":
        return Configuration(files=files, environment=environment(inside))
    if form == "emperor":
        return Configuration(files={include: ini(inside)})
    path = f"{directory}/uwsgi.{EXTENSIONS[form]}"
    write = {"ini": ini, "yaml": yaml, "json": to_json, "xml": xml}[form]
    return Configuration(files={**files, path: write(inside)}, argv=[f"--{form}", path])
