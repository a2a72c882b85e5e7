# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the names in a Galaxy job configuration refer to, and which of them Galaxy does not read.

XML and YAML are brought into one L(Names) and checked there, so that what is found in one format is found in the other.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _yaml_text as yaml_text
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding

if TYPE_CHECKING:
    from ansible_collections.galaxyops.uwsgi.plugins.module_utils._job_conf import Handler, _Element

_ROOT_KEYS = ("runners", "execution", "handling")

# The elements of which Galaxy reads no others in these places; what else there is, it takes no notice of.
_CHILDREN = {"plugins": "plugin", "handlers": "handler", "handler": "plugin", "destinations": "destination", "tools": "tool", "limits": "limit"}

_KNOWN = {
    "xml": {
        "job_conf": ("plugins", "handlers", "destinations", "resources", "tools", "limits", "macros", "expand"),
        "plugins": ("workers",),
        "plugin": ("id", "type", "load", "workers"),
        "handlers": ("assign_with", "default", "default_from_environ", "default_from_config", "max_grab", "ready_window_size"),
        "handler": ("id", "tags"),
        "destinations": ("default", "default_from_environ", "default_from_config"),
        "destination": ("id", "runner", "tags", "metrics", "url", "shell"),
        "resubmit": ("condition", "destination", "handler", "delay"),
        "tool": ("id", "class", "handler", "destination", "resources"),
        "limit": ("type", "id", "tag", "window"),
        "handler_plugin": ("id",),
        **{f"in_{where}": (child, "expand", "macro", "macros") for where, child in _CHILDREN.items()},
    },
    "yaml": {
        "job_conf": (*_ROOT_KEYS, "resources", "tools", "limits", "dynamic"),
        "handlers": ("assign", "default", "max_grab", "ready_window_size", "processes"),
        # The environment is read by Gravity.
        "handler": ("tags", "plugins", "environment", "name_template"),
        "destinations": ("default", "environments"),
        "resubmit": ("condition", "environment", "handler", "delay"),
        "limit": ("type", "id", "tag", "window", "value"),
    },
}
# What is called otherwise in the other format, in another place or in plain words, and what to write instead.
_OTHERWISE = {
    "xml": {
        "job_conf": {"runners": "plugins", "handling": "handlers", "execution": "destinations", "environments": "destinations"},
        "plugin": {"class": "load", "name": "id"},
        "handlers": {"assign": "assign_with", "assignment": "assign_with", "method": "assign_with"},
        "handler_plugin": {"name": "id", "runner": "id"},
        "in_handler": {"plugins": "plugin", "runner": "plugin"},
        "in_handlers": {"process": "handler"},
        "handler": {"name": "id", "plugins": '<plugin id="..."/> inside of it', "plugin": '<plugin id="..."/> inside of it'},
        "destination": {"name": "id", "plugin": "runner"},
        "resubmit": {"environment": "destination"},
        "tool": {"name": "id", "environment": "destination"},
    },
    "yaml": {
        "job_conf": {"plugins": "runners", "handlers": "handling", "destinations": "execution", "environments": "execution"},
        "handlers": {"assign_with": "assign", "assignment": "assign", "method": "assign", "handlers": "processes"},
        "handler": {"env": "environment"},
        "destinations": {"destinations": "environments"},
        "resubmit": {"destination": "environment"},
        "tool": {"destination": "environment"},
    },
}
_WORDS = {
    "xml": {"runner": "plugin", "destination": "destination", "destinations": "<destinations>", "runners": "<plugins>"},
    "yaml": {"runner": "runner", "destination": "environment", "destinations": "'execution'", "runners": "'runners'"},
}

_TOOL_CLASSES = ("local", "requires_galaxy")
_LIMITS = (
    "registered_user_concurrent_jobs", "anonymous_user_concurrent_jobs", "destination_user_concurrent_jobs", "destination_total_concurrent_jobs",
    "concurrent_jobs", "walltime", "total_walltime", "output_size",
)  # fmt: skip
_OFF = ("false", "no", "off", "0")

# A name that is made elsewhere: by a macro of Galaxy's, or from the environment.
_MADE = re.compile(r"[@$%{}]")


@dataclass(frozen=True)
class Destination:
    """A destination, or environment: where jobs run."""

    id: str
    runner: str
    tags: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Use:
    """A place that names a destination."""

    name: str
    who: str
    line: int
    # Whether jobs are sent there; a limit is only for those that are.
    sends: bool = True


@dataclass
class Names:
    """All that a job configuration names; None where it says nothing of the kind."""

    kind: str
    runners: Optional[dict[str, int]] = None
    destinations: Optional[list[Destination]] = None
    default: Optional[str] = None
    default_elsewhere: bool = False
    destinations_line: int = 0
    uses: list[Use] = field(default_factory=list)
    repeated: list[tuple[str, str, list[int]]] = field(default_factory=list)
    # Whether macros make what cannot be seen.
    handlers_elsewhere: bool = False
    destinations_elsewhere: bool = False
    # Keys and attributes: the place and how it is called, the name, the line.
    keys: list[tuple[str, str, str, int]] = field(default_factory=list)
    # What Galaxy leaves out or fails on: the severity, the line, what is wrong.
    odd: list[tuple[str, int, str]] = field(default_factory=list)

    def add_runner(self, name: str, load: Optional[str], line: int) -> None:
        """A runner that says what to I(load)."""
        if load or name == "dynamic":
            self.runners = {**(self.runners or {}), name: line}
            return
        result = "so Galaxy leaves it out" if self.kind == "xml" else "so handlers do not start"
        message = f"{_WORDS[self.kind]['runner']} {name!r} says nothing of what to load, {result}: add load"
        self.odd.append(("warning" if self.kind == "xml" else "error", line, message))

    def add_destination(self, destination: Destination) -> None:
        """A place where jobs run, which needs a runner."""
        if not destination.runner:
            result = "so Galaxy leaves it out" if self.kind == "xml" else "so its jobs would fail"
            message = f"{_WORDS[self.kind]['destination']} {destination.id!r} has no runner, {result}: add one"
            self.odd.append(("warning", destination.line, message))
        if destination.runner or self.kind == "yaml":
            self.destinations = [*(self.destinations or []), destination]

    def add_tool(self, name: Optional[str], tool_class: Optional[str], line: int) -> None:
        """A tool, or a class of tools."""
        if name is None and tool_class not in _TOOL_CLASSES and not _MADE.search(tool_class or ""):
            given = f"class {tool_class!r} of tools is none that Galaxy knows" if tool_class else "a tool has neither id nor class"
            self.odd.append(("error", line, f"{given}, which stops Galaxy: write an id, or one of {', '.join(_TOOL_CLASSES)}"))

    def add_limit(self, kind: str, value: str, line: int) -> None:
        """A limit of that I(kind)."""
        if kind.replace("environment_", "destination_", 1) not in _LIMITS:
            meant = difflib.get_close_matches(kind, [*_LIMITS, *(name.replace("destination_", "environment_") for name in _LIMITS)], 1, 0.75)
            remedy = f"write {meant[0]}" if meant else f"use one of {', '.join(_LIMITS)}"
            self.odd.append(("error" if meant else "warning", line, f"limit {kind!r} is none that Galaxy knows, so this limits nothing: {remedy}"))
        elif kind.endswith("concurrent_jobs") and value.strip() and not re.fullmatch(r"[+-]?\d+", value.strip()) and not _MADE.search(value):
            self.odd.append(("error", line, f"limit {kind!r} is {value.strip()!r}, which stops Galaxy: write a whole number"))


def other_file(keys: Collection[str]) -> str:
    """Why a YAML file with these I(keys) at its root is no job configuration; empty for one that may be."""
    if not set(keys) - set(_KNOWN["yaml"]["job_conf"]) or set(keys) & set(_ROOT_KEYS):
        return ""
    what = "Galaxy's own configuration" if "galaxy" in keys else "another file"
    shown = ", ".join(sorted(keys)[:3]) + (", ..." if len(keys) > 3 else "")
    return f"its keys are {shown}, so this is {what} and not the job configuration, which has the keys {', '.join(_ROOT_KEYS)}: correct the path"


def other_format(text: str, kind: str) -> str:
    """What a text is that cannot be read as I(kind), with the remedy; empty where nothing tells."""
    lines = [line.strip() for line in text.lstrip("\ufeff").splitlines() if line.strip() and line.strip()[0] not in "#;"]
    first = lines[0] if lines else ""
    if kind == "yaml" and first.startswith("<"):
        return "the file is XML: give it a name with .xml in it, as Galaxy expects of XML, or set format=xml"
    if re.fullmatch(r"\[[^\[\],'\"]+\]", first) and any("=" in line for line in lines):
        return "the file is an INI file such as galaxy.ini, and not the job configuration: correct the path"
    if kind == "xml" and first and not first.startswith("<"):
        return "the file is not XML: give YAML a name that ends in .yml, or set format=yaml, or correct the path"
    return ""


def _others(where: str, name: str, kind: str) -> tuple[str, ...]:
    """What was meant by a I(name) that Galaxy does not read in this place, if that can be told."""
    if name in _OTHERWISE[kind].get(where, {}):
        return (_OTHERWISE[kind][where][name],)
    return tuple(difflib.get_close_matches(name.lower(), _KNOWN[kind].get(where, ()), 1, 0.75))


def unknown_keys(names: Names, path: str) -> list[Finding]:
    """The keys and attributes that Galaxy does not read; an error where another one was meant."""
    found = []
    for where, shown, name, line in names.keys:
        known = _KNOWN[names.kind].get(where)
        meant = _others(where, name, names.kind)
        if name in (known or ()) or (known is None and not meant):
            continue
        remedy = f"write {meant[0]}" if meant else f"remove it, or use one of {', '.join(known or ())}"
        found.append(Finding(path, line, "error" if meant else "warning", f"{shown}: Galaxy does not read {name!r} here: {remedy}"))
    return found


def misspelled_handlers(names: Names, path: str) -> list[Finding]:
    """The keys that were meant to say something of handlers: a second key beside them would hide the mistake."""
    own = {"xml": "handlers", "yaml": "handling"}[names.kind]
    keys = [key for key in names.keys if key[0] in ("handlers", "handler") or _others(key[0], key[2], names.kind) == (own,)]
    return [finding for finding in unknown_keys(replace(names, keys=keys), path) if finding.severity == "error"]


def problems(names: Names, handlers: Iterable[Handler], path: str) -> list[Finding]:
    """The names that refer to nothing, and those that are there twice."""
    odd = [Finding(path, line, severity, message) for severity, line, message in names.odd]
    return [*odd, *_repeated(names, path), *_runner_problems(names, handlers, path), *_destination_problems(names, path)]


def _repeated(names: Names, path: str) -> Iterator[Finding]:
    for what, name, lines in names.repeated:
        message = f"{what} {name!r} is defined {len(lines)} times, and Galaxy reads only one of them: give each an id of its own"
        yield Finding(path, lines[-1], "warning", message)


def _runner_problems(names: Names, handlers: Iterable[Handler], path: str) -> Iterator[Finding]:
    if names.runners is None:
        return
    words = _WORDS[names.kind]
    remedy = f"add it to {words['runners']}, or use one of {', '.join(sorted(names.runners)) or 'those that you add'}"
    for handler in handlers:
        for plugin in handler.plugins:
            if not _is_runner(plugin, names.runners):
                message = f"handler {handler.id!r}: there is no runner {plugin!r}, so the handler would run none of its jobs: {remedy}"
                yield Finding(path, handler.line, "error", message)
    used = {use.name for use in names.uses if use.sends} | {names.default}
    destinations = names.destinations or []
    for destination in destinations:
        if destination.runner and not _is_runner(destination.runner, names.runners):
            # One that nobody names, as in Galaxy's own sample, may still be chosen by a rule.
            severity = "error" if used & {destination.id, *destination.tags} or len(destinations) == 1 else "warning"
            message = f"{words['destination']} {destination.id!r}: there is no runner {destination.runner!r}, so its jobs would fail: {remedy}"
            yield Finding(path, destination.line, severity, message)


def _is_runner(name: str, runners: Collection[str]) -> bool:
    """Whether there is such a runner, as far as can be told; that for dynamic destinations is always there."""
    return name in runners or name.partition("_")[0] == "dynamic" or name == "tasks" or bool(_MADE.search(name))


def _destination_problems(names: Names, path: str) -> Iterator[Finding]:
    if names.destinations is None or names.destinations_elsewhere:
        return
    words = _WORDS[names.kind]
    known = {name for destination in names.destinations for name in (destination.id, *destination.tags)}
    choice = ", ".join(sorted(known))
    if names.default is not None and not names.default_elsewhere and not _is_known(names.default, known):
        message = f"default {names.default!r} is neither the id nor a tag of any {words['destination']}, which stops Galaxy"
        remedy = f"use one of {choice}" if known else f"add the {words['destination']} to {words['destinations']}"
        yield Finding(path, names.destinations_line, "error", f"{words['destinations']}: {message}: {remedy}")
    elif names.default is None and not names.default_elsewhere and len(known) != 1:
        there = f"no default among {choice}" if known else f"no {words['destination']}"
        message = f"there is {there}, which stops Galaxy: {'make one of them the default' if known else 'add one'}"
        yield Finding(path, names.destinations_line, "error", f"{words['destinations']}: {message}")
    for use in names.uses:
        if not _is_known(use.name, known):
            result = "so its jobs would fail" if use.sends else "so this limits nothing"
            message = f"{use.who}: no {words['destination']} has the id or tag {use.name!r}, {result}: use one of {choice or 'those that you add'}"
            yield Finding(path, use.line, "error" if use.sends else "warning", message)


def _is_known(name: str, known: Collection[str]) -> bool:
    return name in known or bool(_MADE.search(name))


def _twice(what: str, named: Iterable[tuple[str, int]]) -> list[tuple[str, str, list[int]]]:
    named = list(named)
    return [(what, name, [line for other, line in named if other == name]) for name, count in Counter(name for name, _line in named).items() if count > 1]


# --- XML --------------------------------------------------------------------------------------------------------------


def from_xml(root: _Element, text: str) -> Names:
    """The names in a job_conf.xml with this I(text)."""
    names = Names("xml")
    names.keys += [("job_conf", "<job_conf>", child.name, child.line) for child in root.children]
    for part in ("plugins", "destinations", "tools", "limits"):
        lines = [child.line for child in root.find(part)]
        if len(lines) > 1:
            where = ", ".join(map(str, lines))
            message = f"there are {len(lines)} <{part}> elements (lines {where}), and Galaxy reads only the first: merge them into one"
            names.odd.append(("error", lines[-1], message))

    def content(element: _Element) -> str:
        return text[element.opened : element.closing]

    def is_off(element: _Element) -> bool:
        params = [param for param in element.find("param") if param.attributes.get("id") == "enabled"]
        return any(content(param).strip().lower() in _OFF for param in params)

    def look_inside(where: str, element: _Element, shown: str) -> None:
        names.keys.extend((f"in_{where}", shown, child.name, child.line) for child in element.children)

    def look(where: str, element: _Element, shown: str) -> None:
        names.keys.extend((where, shown, name, element.line) for name in element.attributes)

    # Macros can make elements that stand nowhere in the file.
    everywhere = bool(root.find("expand"))
    for group in root.find("plugins")[:1]:
        look("plugins", group, "<plugins>")
        look_inside("plugins", group, "<plugins>")
        names.runners = {}
        found = [plugin for plugin in group.find("plugin") if "id" in plugin.attributes]
        for plugin in group.find("plugin"):
            look("plugin", plugin, f"plugin {plugin.attributes.get('id')!r}")
        for plugin in found:
            if not is_off(plugin):
                names.add_runner(plugin.attributes["id"], plugin.attributes.get("load"), plugin.line)
        names.repeated += _twice("plugin", [(plugin.attributes["id"], plugin.line) for plugin in found])
        names.runners = None if everywhere or _expands(group) else names.runners
    for group in root.find("handlers")[:1]:
        look("handlers", group, "<handlers>")
        look_inside("handlers", group, "<handlers>")
        names.handlers_elsewhere = everywhere or _expands(group)
        for handler in group.find("handler"):
            shown = f"handler {handler.attributes.get('id')!r}"
            look("handler", handler, shown)
            look_inside("handler", handler, shown)
            for plugin in handler.find("plugin"):
                look("handler_plugin", plugin, f"plugin of {shown}")
    for group in root.find("destinations")[:1]:
        look("destinations", group, "<destinations>")
        look_inside("destinations", group, "<destinations>")
        names.destinations = []
        names.destinations_line = group.line
        names.default = group.attributes.get("default") or None
        names.default_elsewhere = bool({"default_from_environ", "default_from_config"} & group.attributes.keys())
        found_here = [element for element in group.find("destination") if "id" in element.attributes]
        for element in found_here:
            if not is_off(element):
                names.add_destination(_xml_destination(element))
        names.destinations_elsewhere = everywhere or _expands(group)
        names.repeated += _twice("destination", [(element.attributes["id"], element.line) for element in found_here])
        for element in group.find("destination"):
            name = element.attributes.get("id")
            look("destination", element, f"destination {name!r}")
            for resubmit in element.find("resubmit"):
                look("resubmit", resubmit, f"resubmit of destination {name!r}")
                names.uses += _xml_use(resubmit, "destination", f"resubmit of destination {name!r}")
    for group in root.find("tools")[:1]:
        look_inside("tools", group, "<tools>")
        for tool in group.find("tool"):
            names.add_tool(tool.attributes.get("id"), tool.attributes.get("class"), tool.line)
            who = f"tool {tool.attributes.get('id') or tool.attributes.get('class')!r}"
            look("tool", tool, who)
            names.uses += _xml_use(tool, "destination", who)
    for group in root.find("limits")[:1]:
        look_inside("limits", group, "<limits>")
        for limit in group.find("limit"):
            if "type" in limit.attributes:
                names.add_limit(limit.attributes["type"], content(limit), limit.line)
            who = f"limit {limit.attributes.get('type')!r}"
            look("limit", limit, who)
            for key in ("id", "tag"):
                names.uses += _xml_use(limit, key, who, False)
    return names


def _expands(element: _Element) -> bool:
    """Whether a macro is expanded somewhere in an element."""
    return element.name == "expand" or any(map(_expands, element.children))


def _xml_destination(element: _Element) -> Destination:
    tags = tuple(tag.strip() for tag in element.attributes.get("tags", "").split(",") if tag.strip())
    return Destination(element.attributes["id"], element.attributes.get("runner", ""), tags, element.line)


def _xml_use(element: _Element, key: str, who: str, sends: bool = True) -> list[Use]:
    name = element.attributes.get(key)
    return [Use(name, who, element.line, sends)] if name else []


# --- YAML -------------------------------------------------------------------------------------------------------------


def from_yaml(root: Any) -> Names:
    """The names in a job_conf.yml, of which this is the root node."""
    names = Names("yaml")
    top = yaml_text.mapping(root)

    def look(where: str, node: Any, shown: str) -> None:
        names.keys.extend((where, shown, name, line) for name, (line, _value) in yaml_text.mapping(node).items())

    look("job_conf", root, "the file")
    for name, lines in ((name, lines) for _what, name, lines in _twice("key", yaml_text.lines(root)) if name != "handling"):
        where = ", ".join(map(str, lines))
        message = f"there are {len(lines)} keys {name!r} (lines {where}), and Galaxy reads only the last: merge them into one"
        names.odd.append(("error", lines[-1], message))
    if "runners" in top:
        names.runners = {}
        for name, (at, runner) in yaml_text.mapping(top["runners"][1]).items():
            if not _is_off(runner):
                names.add_runner(name, yaml_text.text_of(yaml_text.value_of(runner, "load")), at)
        names.repeated += _twice("runner", yaml_text.lines(top["runners"][1]))
    if "handling" in top:
        look("handlers", top["handling"][1], "'handling'")
        for name, (_at, value) in yaml_text.mapping(yaml_text.value_of(top["handling"][1], "processes")).items():
            look("handler", value, f"handler {name!r}")
    if "execution" in top:
        line, execution = top["execution"]
        look("destinations", execution, "'execution'")
        names.destinations_line = yaml_text.line_of(execution, "default") or line
        names.default = yaml_text.text_of(yaml_text.value_of(execution, "default"))
        environments = yaml_text.value_of(execution, "environments")
        named = _identified(environments)
        names.repeated += _twice(
            "environment", [(name, line) for name, line, _node in named] if yaml_text.items(environments) else yaml_text.lines(environments)
        )
        names.destinations = []
        for name, at, node in named:
            if not _is_off(node):
                names.add_destination(
                    Destination(name, yaml_text.text_of(yaml_text.value_of(node, "runner")) or "", yaml_text.texts_of(yaml_text.value_of(node, "tags")), at)
                )
        for name, _at, node in named:
            for resubmit in yaml_text.items(yaml_text.value_of(node, "resubmit")):
                look("resubmit", resubmit, f"resubmit of environment {name!r}")
                names.uses += _yaml_use(resubmit, "environment", f"resubmit of environment {name!r}")
    for tool in yaml_text.items(top["tools"][1] if "tools" in top else None):
        who = f"tool {yaml_text.text_of(yaml_text.value_of(tool, 'id')) or yaml_text.text_of(yaml_text.value_of(tool, 'class'))!r}"
        look("tool", tool, who)
        names.add_tool(yaml_text.text_of(yaml_text.value_of(tool, "id")), yaml_text.text_of(yaml_text.value_of(tool, "class")), tool.start_mark.line + 1)
        names.uses += _yaml_use(tool, "environment", who)
    for limit in yaml_text.items(top["limits"][1] if "limits" in top else None):
        who = f"limit {yaml_text.text_of(yaml_text.value_of(limit, 'type'))!r}"
        look("limit", limit, who)
        kind = yaml_text.text_of(yaml_text.value_of(limit, "type"))
        if kind is not None:
            names.add_limit(kind, yaml_text.text_of(yaml_text.value_of(limit, "value")) or "", limit.start_mark.line + 1)
        for key in ("id", "tag"):
            names.uses += _yaml_use(limit, key, who, False)
    return names


def _is_off(node: Any) -> bool:
    """Whether a runner or an environment is switched off, which Galaxy takes no notice of then."""
    places = [node, yaml_text.value_of(node, "params"), yaml_text.value_of(node, "kwds")]
    return any((yaml_text.text_of(yaml_text.value_of(place, "enabled")) or "").lower() in _OFF for place in places)


def _identified(environments: Any) -> list[tuple[str, int, Any]]:
    """The environments with their ids and lines, which stand in a mapping or in a list."""
    listed = [(yaml_text.text_of(yaml_text.value_of(item, "id")), item.start_mark.line + 1, item) for item in yaml_text.items(environments)]
    found = [(name, line, item) for name, line, item in listed if name is not None]
    return found or [(name, line, node) for name, (line, node) in yaml_text.mapping(environments).items()]


def _yaml_use(node: Any, key: str, who: str, sends: bool = True) -> list[Use]:
    name = yaml_text.text_of(yaml_text.value_of(node, key))
    return [Use(name, who, yaml_text.line_of(node, key), sends)] if name else []
