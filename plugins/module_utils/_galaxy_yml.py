# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read and check a galaxy.yml. Whoever wrote the file goes on to write it: nothing here changes it.

What is found is told in the terms of a Paste Deploy file, C(Application) and C(Place), so that one model of Galaxy's options serves
both formats.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_files as uwsgi_files
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _yaml_text as yaml_text
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._galaxy_options import is_yaml
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_ini import (
    TRUE,
    UWSGI,
    Application,
    Change,
    Place,
    overrides_flag,
)
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._secrets import mask_value
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._uwsgi_files import Setting

__all__ = [
    "SECTION",
    "GalaxyYml",
    "check",
    "is_yaml",
    "read",
    "required_findings",
    "text_of",
    "uwsgi_findings",
    "with_factory",
]

SECTION = "galaxy"

# The other sections that somebody reads
_SECTIONS = (SECTION, UWSGI, "gravity", "reports", "tool_shed", "tusd", "gx_it_proxy")
_UNDECODED = re.compile("[\udc80-\udcff]")
_FALSE = ("false", "no", "off", "0")

# Options of which the roles have to know the value, and which Galaxy cannot use as anything but text
_TEXT = (
    "config_dir",
    "cookie_path",
    "database_connection",
    "galaxy_url_prefix",
    "job_config_file",
    "log_destination",
    "nginx_x_accel_redirect_base",
    "remote_user_header",
    "remote_user_secret",
    "server_name",
    "workflow_schedulers_config_file",
)
# Without a value this one is not set; all others are set to nothing.
_UNSET_IF_EMPTY = ("remote_user_secret",)


@dataclass(frozen=True)
class GalaxyYml:
    """What Galaxy reads in a galaxy.yml.

    I(application) has the options whose values are no mappings and lists, as text. I(nested) has the others, and I(nodes) the nodes of these. I(uwsgi)
    are the options of uWSGI that Galaxy 18.01 to 22.01 has in the same file. Where there is a I(problem), nothing else is known.
    """

    path: str
    application: Application = field(default_factory=Application)
    nested: Mapping[str, Any] = field(default_factory=dict)
    nodes: Mapping[str, Any] = field(default_factory=dict)
    line: int = 0
    uwsgi: Sequence[Setting] = ()
    uwsgi_line: int = 0
    problem: Optional[Finding] = None
    mistakes: Sequence[Finding] = ()

    @property
    def uwsgi_options(self) -> dict[str, Any]:
        """The options of uWSGI, with a list for one that is repeated."""
        found: dict[str, list[str]] = {}
        for setting in self.uwsgi:
            found.setdefault(setting.name, []).append(setting.value)
        return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def text_of(value: Any) -> str:
    """A value as Galaxy gets it where it expects text; nothing is an empty text."""
    return "" if value is None else str(value)


def read(text: str, path: str) -> GalaxyYml:
    """Read the I(text) of the file at I(path)."""
    try:
        return _read(text, path)
    except yaml_text.YamlError as error:
        return GalaxyYml(path, problem=Finding(path, error.line, "error", error.message))


def _read(text: str, path: str) -> GalaxyYml:
    if yaml_text.YAML_IMPORT_ERROR:
        return GalaxyYml(path, problem=Finding(path, 0, "warning", yaml_text.NO_YAML))
    undecoded = _UNDECODED.search(text)
    if undecoded:
        line = text.count("\n", 0, undecoded.start()) + 1
        raise yaml_text.YamlError(line, "the line is not UTF-8, so Galaxy cannot read the file: save the file as UTF-8")
    if uwsgi_files.looks_like(text) in ("INI", "XML"):
        found = uwsgi_files.looks_like(text)
        remedy = (
            "give an INI file a name that ends in .ini" if found == "INI" else "name the file with Galaxy's options"
        )
        raise yaml_text.YamlError(0, f"the file is {found}, and Galaxy reads a file of this name as YAML: {remedy}")
    parsed = yaml_text.parse(text)
    root, data = parsed.root, parsed.data
    if root is None:
        raise yaml_text.YamlError(0, f"the file is empty: {_ADD}")
    if not isinstance(data, dict):
        raise yaml_text.YamlError(root.start_mark.line + 1, f"the file is no mapping with the key '{SECTION}': {_ADD}")
    if SECTION not in data:
        raise yaml_text.YamlError(0, _no_section([str(key) for key in data]))
    line, section = yaml_text.mapping(root)[SECTION]
    options = data[SECTION]
    if options is not None and not isinstance(options, dict):
        remedy = f"write its options as lines of 'name: value' below '{SECTION}:', indented by two spaces"
        message = f"'{SECTION}' is a {_kind(options)}, and Galaxy needs a mapping: {remedy}"
        raise yaml_text.YamlError(line, message)
    lines = {name: at for name, (at, _node) in yaml_text.mapping(section).items()}
    nested = {str(name): value for name, value in (options or {}).items() if isinstance(value, (dict, list))}
    flat = {
        str(name): text_of(value)
        for name, value in (options or {}).items()
        if str(name) not in nested and not (value is None and name in _UNSET_IF_EMPTY)
    }
    places = {name: Place(path, SECTION, lines.get(name, line)) for name in (*flat, *nested)}
    uwsgi_line, uwsgi = yaml_text.mapping(root).get(UWSGI, (0, None))
    return GalaxyYml(
        path,
        Application(section=SECTION, values=flat, places=places),
        nested,
        {name: node for name, (_at, node) in yaml_text.mapping(section).items()},
        line,
        tuple(_settings(uwsgi)),
        uwsgi_line,
        mistakes=tuple(_mistakes(path, root, section, data)),
    )


_ADD = f"add a line '{SECTION}:', and Galaxy's options below it, indented by two spaces"


def _kind(value: Any) -> str:
    kinds: dict[type, str] = {
        dict: "mapping",
        list: "list",
        str: "text",
        int: "number",
        float: "number",
        bool: "switch",
    }
    return kinds.get(type(value), type(value).__name__)


def _no_section(keys: Sequence[str]) -> str:
    """What to write into a file that has other sections, or none."""
    shown = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
    harm = f"there is no section '{SECTION}' besides {shown}, so Galaxy would run with its defaults, and with a database of its own"
    if {"runners", "execution", "handling"} & set(keys):
        return f"{harm}: this is a job configuration, name the file with Galaxy's options"
    if {"database_connection", "id_secret", "brand", "admin_users", "file_path"} & set(keys):
        return f"{harm}: add a line '{SECTION}:' above the options, and indent them by two spaces"
    return f"{harm}: {_ADD}"


def _settings(node: Any) -> Iterator[Setting]:
    """The options in the section of uWSGI, each as often as it is there."""
    for key, value in yaml_text.entries(node):
        line = key.start_mark.line + 1
        for item in yaml_text.items(value) or [value]:
            if item.id == "scalar":
                yield Setting(str(key.value), str(item.value), line)


def _mistakes(path: str, root: Any, section: Any, data: Mapping[Any, Any]) -> Iterator[Finding]:
    """What Galaxy reads otherwise than it is meant, or cannot use."""
    for name, at in _repeated(root):
        message = f"the section is there twice, in lines {at[0]} and {at[-1]}, and Galaxy reads only the last: move its options into one"
        yield Finding(path, at[-1], "error", message, name)
    for name, at in _repeated(section):
        message = f"set twice, in lines {at[0]} and {at[-1]}, and Galaxy reads only the last: remove one of them"
        yield Finding(path, at[-1], "warning", message, SECTION, name)
    for key, (line, _node) in yaml_text.mapping(root).items():
        if key not in _SECTIONS and not isinstance(data.get(key), (dict, list)):
            message = (
                f"nobody reads this line here: indent it by two spaces and move it below '{SECTION}:', or remove it"
            )
            yield Finding(path, line, "warning", message, "", key)
    for key, _value in yaml_text.entries(section):
        if key.tag != yaml_text.TEXT:
            message = "YAML does not take this for text, and Galaxy dies of an option whose name is no text: write the name in quotes"
            yield Finding(path, key.start_mark.line + 1, "error", message, SECTION, str(key.value))
    lines = {name: line for name, (line, _node) in yaml_text.mapping(section).items()}
    for name, value in (data[SECTION] or {}).items():
        line = lines.get(str(name), 0)
        if name in _TEXT and isinstance(value, (dict, list)):
            yield Finding(
                path, line, "error", f"is a {_kind(value)}, and Galaxy needs text: write one value", SECTION, name
            )
        elif name == "database_connection" and not isinstance(value, str):
            shown = "empty" if value is None else f"a {_kind(value)}"
            message = f"is {shown}, and Galaxy dies of it: write the URL of the database, or remove the line"
            yield Finding(path, line, "error", message, SECTION, name)
        elif isinstance(value, str) and ("%(here)s" in value or "%(__file__)s" in value):
            message = "Galaxy replaces %(here)s in an INI file only, and takes it for a part of the value here: write the path itself"
            yield Finding(path, line, "error", message, SECTION, name)


def _repeated(node: Any) -> list[tuple[str, list[int]]]:
    at: dict[str, list[int]] = {}
    for name, line in yaml_text.lines(node):
        at.setdefault(name, []).append(line)
    return [(name, found) for name, found in at.items() if len(found) > 1 and name != "<<"]


def check(yml: GalaxyYml, handlers: Optional[bool] = None) -> list[Finding]:
    """Everything in a galaxy.yml that would stop Galaxy, and webless handlers if there are I(handlers).

    None says that this is not known; what would stop handlers is a warning then.
    """
    if yml.problem:
        return [yml.problem]
    findings = list(yml.mistakes)
    severity = "error" if handlers else "warning"
    for name in (*yml.application.values, *yml.nested) if handlers is not False else ():
        message = overrides_flag(name)
        if message:
            findings.append(Finding(yml.path, yml.application.places[name].line, severity, message, SECTION, name))
    return sorted(findings, key=lambda finding: finding.line)


# What the roles have an input for, and what they set themselves
_INPUTS = {
    "processes": "uwsgi_processes",
    "workers": "uwsgi_processes",
    "cheaper": "uwsgi_processes_min",
    "threads": "uwsgi_threads",
    "max-requests": "uwsgi_max_requests",
    "http": "uwsgi_http_address",
    "http-socket": "uwsgi_http_address",
    "socket": "uwsgi_listen_address",
    "virtualenv": "uwsgi_virtualenv",
    "home": "uwsgi_virtualenv",
    "chdir": "uwsgi_chdir",
    "uid": "uwsgi_user",
    "gid": "uwsgi_group",
    "logto": "uwsgi_log_dir",
    "mule": "job_handlers",
    "farm": "job_handlers",
    "static-map": "nginx_proxy_static_dir",
    "mount": "nginx_proxy_prefix",
    "manage-script-name": "nginx_proxy_prefix",
}
_SET_BY_THE_ROLE = (
    "buffer-size",
    "daemonize",
    "die-on-term",
    "enable-threads",
    "hook-master-start",
    "locks",
    "master",
    "module",
    "need-app",
    "no-orphans",
    "pidfile",
    "py-call-osafterfork",
    "py-call-uwsgi-fork-hooks",
    "pythonpath",
    "strict",
    "thunder-lock",
    "vacuum",
    "yaml",
)


def uwsgi_findings(yml: GalaxyYml) -> list[Finding]:
    """What has to move out of the section of uWSGI, which this collection does not have uWSGI read."""
    if not yml.uwsgi:
        return []
    options = yml.uwsgi_options
    inputs = [f"{name} to {_INPUTS[name]}" for name in options if name in _INPUTS]
    free = [name for name in options if name not in _INPUTS and name not in _SET_BY_THE_ROLE]
    moves = [*inputs, *([f"{', '.join(free)} to uwsgi_options"] if free else [])]
    remedy = (
        f"move {', '.join(moves)}, as far as they are still wanted, and remove the section"
        if moves
        else "remove the section"
    )
    message = f"the web processes of the role uwsgi do not read this section, which their own options replace: {remedy}"
    return [Finding(yml.path, yml.uwsgi_line, "warning", message, UWSGI)]


def required_findings(yml: GalaxyYml, changes: Sequence[Change], app: str = "main") -> list[Finding]:
    """What the I(changes) would set in a Paste Deploy file and galaxy.yml does not say yet: the file is never written."""
    if yml.problem:
        return []
    findings = []
    for change in changes:
        if change.section in (f"app:{app}", SECTION):
            findings += [finding for name, value in change.options.items() for finding in _required(yml, name, value)]
        elif change.options and not change.absent:
            message = f"[{change.section}] would have to be written into the file, and the roles never write a galaxy.yml: name a Paste Deploy file"
            findings.append(Finding(yml.path, 0, "error", message))
    return findings


def _required(yml: GalaxyYml, name: str, value: Any) -> Iterator[Finding]:
    """Whether Galaxy knows a value that it has to know."""
    place = yml.application.places.get(name, Place(yml.path, SECTION, yml.line))
    now = yml.application.values.get(name)
    if name in yml.application.unreadable or (name == "job_config_file" and "job_config" in yml.nested):
        return
    if value is None:
        if now is not None:
            yield Finding(
                place.path,
                place.line,
                "error",
                "Galaxy must not have this option any more: remove the line",
                SECTION,
                name,
            )
        return
    wanted = str(value).lower() if isinstance(value, bool) else str(value)
    if now is not None and _same(now, wanted):
        return
    shown = f"'{name}: {mask_value(name, wanted)}' below '{SECTION}:' (galaxy_config.{SECTION} of the role galaxyproject.galaxy)"
    if now is None and name not in yml.nested:
        message = f"Galaxy has to know this option, and the roles never write a galaxy.yml: add {shown}"
        yield Finding(yml.path, yml.line, "error", message, SECTION, name)
    else:
        message = (
            f"is {mask_value(name, now)!r}, and Galaxy has to know another value: write {shown}"
            if now is not None
            else f"write {shown}"
        )
        yield Finding(place.path, place.line, "error", message, SECTION, name)


def _same(now: str, wanted: str) -> bool:
    if wanted.lower() in (*TRUE, *_FALSE) and not wanted.isdecimal():
        return (now.lower() in TRUE) == (wanted.lower() in TRUE)
    return now == wanted


def with_factory(yml: GalaxyYml, factory: str, section: str = "") -> GalaxyYml:
    """The same, as the application that a I(factory) makes of it."""
    return replace(
        yml, application=replace(yml.application, factory=factory, section=section or yml.application.section)
    )
