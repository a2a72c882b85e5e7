# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edit the job handlers of a Galaxy job configuration, XML or YAML, and nothing else in it.

The file is parsed only to learn where things are; the change is spliced into the text. Whatever is not asked to
change keeps its bytes: comments, indentation, line endings, encoding. A splice that does not read back as what was
asked for is never returned.
"""

from __future__ import annotations

import codecs
import contextlib
import itertools
import json
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, NoReturn, Optional
from xml.parsers import expat

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _job_conf_names as job_conf_names
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _yaml_text as yaml_text
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._secrets import MASK, is_secret, mask_line
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._yaml_text import NO_YAML, YAML_IMPORT_ERROR

with contextlib.suppress(ImportError):
    import yaml  # type: ignore[import-untyped,unused-ignore]

ASSIGNMENT_METHODS = ("db-self", "db-preassign", "db-transaction-isolation", "db-skip-locked", "mem-self", "uwsgi-mule-message")

# The tag that Galaxy gives to a handler without tags.
DEFAULT_TAG = "_default_"

# Galaxy's own runner for jobs on the host itself. They end with the process of their handler.
LOCAL_RUNNER = "galaxy.jobs.runners.local:LocalJobRunner"
_ENDING_RUNNERS = (LOCAL_RUNNER, LOCAL_RUNNER.partition(":")[0], "local", "galaxy.jobs.runners.tasks:TaskedJobRunner")

# What runs jobs the way Galaxy does without any job configuration; the handlers are spliced into it.
MINIMAL = {
    "xml": b"""\
<?xml version="1.0"?>
<job_conf>
    <plugins>
        <plugin id="local" type="runner" load="galaxy.jobs.runners.local:LocalJobRunner" workers="4"/>
    </plugins>
    <destinations default="local">
        <destination id="local" runner="local"/>
    </destinations>
</job_conf>
""",
    "yaml": b"""\
runners:
  local:
    load: galaxy.jobs.runners.local:LocalJobRunner
    workers: 4
execution:
  default: local
  environments:
    local:
      runner: local
""",
}

# What was there before the handlers stays when these are removed. Where that is more than the handlers took, it stands behind the second of these.
_STAYS = "The settings stay when the handlers are removed."
_BEFORE = "Previous version: "
_XML_NOTE = re.compile(rf"<!-- (?:{re.escape(_STAYS)}|{_BEFORE}(?P<source>.*?)) -->", re.DOTALL)
_YAML_NOTE = re.compile(rf"(?m)^[ \t]*# (?:{re.escape(_STAYS)}|{_BEFORE}(?P<source>.*?))(?:\r\n|\n|\r)")

_NAME = re.compile(r"[A-Za-z0-9_.-]+\Z")
_UNSAFE = "is written in a way that cannot be edited safely: write its handlers in the plain style of Galaxy's sample file"
_NEWLINE = re.compile(r"\r\n|\n|\r")


class JobConfError(Exception):
    """The job configuration cannot be read or changed as asked; I(findings) say where, why and what to do."""

    def __init__(self, findings: list[Finding]) -> None:
        """Keep the findings, and show them all as the message."""
        super().__init__("; ".join(str(finding) for finding in findings))
        self.findings = findings


@dataclass(frozen=True)
class Handler:
    """One job handler: its id is the server name of its process."""

    id: str
    tags: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    line: int = field(default=0, compare=False)

    def same_as(self, other: Handler) -> bool:
        """Whether Galaxy makes the same of both: the order of tags and plugins has no meaning."""
        return (self.id, sorted(self.tags), sorted(self.plugins)) == (other.id, sorted(other.tags), sorted(other.plugins))


@dataclass(frozen=True)
class Handling:
    """All that a job configuration says about handlers; a setting of None is not set."""

    handlers: tuple[Handler, ...] = ()
    assign_with: Optional[tuple[str, ...]] = None
    default: Optional[str] = None
    max_grab: Optional[int] = None
    ready_window_size: Optional[int] = None
    line: int = field(default=0, compare=False)

    @cached_property
    def by_id(self) -> dict[str, Handler]:
        """The handlers by their ids."""
        return {handler.id: handler for handler in self.handlers}

    @cached_property
    def names(self) -> set[str]:
        """All that jobs can be assigned to: ids and tags."""
        return set(self.by_id) | {tag for handler in self.handlers for tag in handler.tags or (DEFAULT_TAG,)}

    @property
    def says_nothing(self) -> bool:
        """Whether there is neither a handler nor a setting."""
        return self.same_as(Handling())

    def same_as(self, other: Handling) -> bool:
        """Whether Galaxy makes the same of both."""
        handlers = self.by_id.keys() == other.by_id.keys() and all(handler.same_as(other.by_id[handler.id]) for handler in self.handlers)
        return handlers and replace(self, handlers=()) == replace(other, handlers=())


@dataclass(frozen=True)
class Runner:
    """One runner plugin: its id, and the class that is loaded."""

    id: str
    load: str

    @property
    def ends_with_handler(self) -> bool:
        """Whether its jobs end with the process of their handler."""
        return self.load in _ENDING_RUNNERS


@dataclass(frozen=True)
class Change:
    """The content a file is to have (None: no file), the ids of its handlers then, and those removed from it."""

    content: Optional[bytes]
    handlers: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reference:
    """A place other than the handlers themselves that names a handler's id or tag."""

    name: str
    who: str
    line: int


# XML attribute, and the key for the same in YAML
_SETTINGS = {"assign_with": "assign", "default": "default", "max_grab": "max_grab", "ready_window_size": "ready_window_size"}


def _fail(path: str, line: int, message: str) -> NoReturn:
    raise JobConfError([Finding(path, line, "error", message)])


def file_format(path: str, wanted: str = "auto") -> str:
    """The format of the file at I(path): as Galaxy decides, every name with C(.xml) in it is XML."""
    if wanted != "auto":
        return wanted
    name = path.rpartition("/")[2].lower()
    if ".xml" in name:
        return "xml"
    if name.endswith((".yml", ".yaml")):
        return "yaml"
    _fail(path, 0, "the name ends in none of .xml, .yml and .yaml: say which it is with format=xml or format=yaml")


def duplicates(handlers: tuple[Handler, ...], path: str) -> list[Finding]:
    """The handlers that are there more than once; Galaxy ignores all but the first."""
    found = []
    for name in _repeated(handler.id for handler in handlers):
        lines = [handler.line for handler in handlers if handler.id == name]
        where = " (lines " + ", ".join(str(line) for line in lines) + ")" if lines[0] else ""
        found.append(Finding(path, lines[-1], "error", f"handler {name!r} is defined {len(lines)} times{where}: give every handler an id of its own"))
    return found


def handler_problems(handlers: tuple[Handler, ...], path: str) -> list[Finding]:
    """What Galaxy or a process manager would trip over in the handlers, each on its own."""
    found = duplicates(handlers, path)
    for handler in handlers:
        for what, names in (("id", (handler.id,)), ("tag", handler.tags), ("plugin", handler.plugins)):
            for name in names:
                if not _NAME.match(name):
                    message = f"handler {handler.id!r}: {what} {name!r} is not allowed: use letters, digits, '_', '.' and '-' only"
                    found.append(Finding(path, handler.line, "error", message))
        for tag in _repeated(handler.tags):
            message = f"handler {handler.id!r}: tag {tag!r} is given twice, which takes it from the other handlers: give it once"
            found.append(Finding(path, handler.line, "error", message))
    return found


def pool_problems(handling: Handling, path: str) -> list[Finding]:
    """What does not fit together: methods Galaxy does not know, names that mean two things or nothing."""
    found = []
    for method in handling.assign_with or ():
        if method not in ASSIGNMENT_METHODS:
            message = f"assign_with {method!r} is not a method of Galaxy's: use one of {', '.join(ASSIGNMENT_METHODS)}"
            found.append(Finding(path, handling.line, "error", message))
    for name in ("max_grab", "ready_window_size"):
        value = getattr(handling, name)
        if value is not None and value < 1:
            found.append(Finding(path, handling.line, "error", f"{name} is {value}: use an integer of at least 1, or leave it out"))
    for handler in handling.handlers:
        for tag in handling.by_id.keys() & handler.tags:
            message = f"handler {handler.id!r}: tag {tag!r} is also the id of a handler, which stops Galaxy: rename one of the two"
            found.append(Finding(path, handler.line, "error", message))
    # Without handlers in the file it is the tag of a pool that processes attach themselves to.
    if handling.default and handling.handlers and handling.default not in handling.names:
        message = f"default {handling.default!r} is neither the id nor a tag of a handler: use one of {', '.join(sorted(handling.names))}"
        found.append(Finding(path, handling.line, "error", message))
    return found


def routing_problems(handling: Handling, references: Iterable[Reference], path: str, elsewhere: bool = False) -> list[Finding]:
    """The jobs that no handler would ever take: they go to an id or tag that nobody has, or nobody has none.

    Without handlers in the file there is nothing to compare with. With I(elsewhere), which handlers get the jobs that
    name none is told by something outside of the file.
    """
    if not handling.handlers:
        return []
    found = []
    known = ", ".join(sorted(handling.names - {DEFAULT_TAG}))
    for reference in references:
        if reference.name not in handling.names:
            message = f"{reference.who}: no handler has the id or tag {reference.name!r}, so its jobs would wait for ever: use one of {known}"
            found.append(Finding(path, reference.line, "error", message))
    if not handling.default and not elsewhere and DEFAULT_TAG not in handling.names:
        message = (
            "every handler has tags and there is no default, so jobs that name no handler would wait for ever: "
            f"make one of {known} the default (job_handlers_default), or leave a handler without tags"
        )
        found.append(Finding(path, handling.line, "error", message))
    return found


def idle_problems(handling: Handling, running: Iterable[str], path: str) -> list[Finding]:
    """The handlers that have no process on this host, which has those called I(running)."""
    here = set(running)
    return [
        Finding(
            path,
            handler.line,
            "warning",
            f"handler {handler.id!r} has no process on this host: unless another host runs it, jobs that are given to it wait for ever",
        )
        for handler in handling.handlers
        if handler.id not in here
    ]


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


# --- XML --------------------------------------------------------------------------------------------------------------

_DECLARATION = re.compile(rb"""<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_ATTRIBUTE = re.compile(r"""(\s+)([^\s=/>]+)(\s*=\s*)("[^"]*"|'[^']*')""")
_START_TAG = re.compile(rf"""<[^\s/>]+(?:{_ATTRIBUTE.pattern})*\s*/?>""")
_REST_OF_LINE = re.compile(r"[ \t]*(?:<!--(?:(?!-->).)*-->[ \t]*)*(?=[\r\n]|\Z)", re.DOTALL)
_SPACES = re.compile(r"[ \t]*")
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass
class _Element:
    """An element and where its parts are in the text."""

    name: str
    attributes: dict[str, str]
    line: int
    start: int
    # The start tag ends, and the end tag starts, here.
    opened: int
    closing: int = 0
    end: int = 0
    children: list[_Element] = field(default_factory=list)

    @property
    def literal(self) -> bool:
        """Whether the element stands in the text itself, and does not come from an entity."""
        return self.opened > self.start

    def find(self, name: str) -> list[_Element]:
        """The children of that name."""
        return [child for child in self.children if child.name == name]


def _decode(content: bytes, path: str, encoding: str = "") -> tuple[bytes, str, str]:
    """Split I(content) into byte order mark and text; the third is the encoding that gives the same bytes again."""
    mark = b""
    for candidate, name in _BYTE_ORDER_MARKS:
        if content.startswith(candidate):
            mark, encoding = candidate, name
    if not encoding:
        declared = _DECLARATION.match(content)
        encoding = declared.group(1).decode() if declared else "utf-8"
    body = content[len(mark):]
    try:
        text = body.decode(encoding)
        same = text.encode(encoding) == body
    except LookupError:
        _fail(path, 1, f"declares the encoding {encoding!r}, which is unknown: save the file as UTF-8")
    except UnicodeError as error:
        line = body.count(b"\n", 0, getattr(error, "start", 0)) + 1
        _fail(path, line, f"is not encoded in {encoding}: {error}: save the file as UTF-8")
    if not same:
        _fail(path, 1, f"its encoding {encoding!r} cannot be written back byte for byte: save the file as UTF-8")
    return mark, text, encoding


# A text is looked at several times on its way to be changed: one parse of it is enough.
@lru_cache(maxsize=4)
def _parse_xml(text: str, path: str, name: str = "job_conf") -> _Element:
    """Parse I(text) into the elements of the file, the outermost of which has this I(name); external entities are never opened."""
    data = text.encode("utf-8")
    top = _Element("", {}, 0, 0, 0)
    stack = [top]
    parser = expat.ParserCreate("utf-8")

    # Where the last position was, in bytes and in characters: what follows is counted on from there.
    counted = (0, 0)

    def position() -> int:
        nonlocal counted
        index = parser.CurrentByteIndex
        since, characters = counted if index >= counted[0] else (0, 0)
        counted = (index, characters + len(data[since:index].decode("utf-8")))
        return counted[1]

    def start(name: str, attributes: dict[str, str]) -> None:
        index = position()
        tag = _START_TAG.match(text, index)
        element = _Element(name, attributes, parser.CurrentLineNumber, index, tag.end() if tag else index)
        stack[-1].children.append(element)
        stack.append(element)

    def end(name: str) -> None:
        element = stack.pop()
        if text.endswith("/>", 0, element.opened) or not element.literal:
            element.closing = element.end = element.opened
        else:
            element.closing = position()
            element.end = text.index(">", element.closing) + 1

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        remedy = job_conf_names.other_format(text, "xml") or "correct it there or just before"
        _fail(path, error.lineno, f"malformed XML at column {error.offset + 1}: {expat.ErrorString(error.code)}: {remedy}")
    root = top.children[0]
    if root.name != name:
        _fail(path, root.line, f"its root element is <{root.name}>, not <{name}>: is this Galaxy's job configuration?")
    return root


def _handlers_element(root: _Element, path: str) -> Optional[_Element]:
    """The <handlers> element, if there is one that can be edited."""
    found = root.find("handlers")
    if len(found) > 1:
        lines = ", ".join(str(element.line) for element in found)
        _fail(path, found[1].line, f"has {len(found)} <handlers> elements (lines {lines}), and Galaxy reads only the first: merge them into one")
    for element in found:
        for part in [element, *element.children, *(grandchild for child in element.children for grandchild in child.children)]:
            if not part.literal:
                _fail(path, part.line, f"<{part.name}> comes from an entity, which cannot be edited: write the element itself")
    return found[0] if found else None


def _split(value: Optional[str]) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",")) if value is not None else ()


def _integer(value: object, name: str, path: str, line: int) -> Optional[int]:
    if value is None or value == "":
        return None
    try:
        return int(str(value))
    except ValueError:
        _fail(path, line, f"{name} is {value!r}, not an integer: correct or remove it")


def _tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Galaxy gives handlers without tags a tag that may as well be written down."""
    tags = tuple(tags)
    return () if tags == (DEFAULT_TAG,) else tags


def _read_xml(element: Optional[_Element], path: str) -> Handling:
    """What Galaxy reads from the <handlers> element."""
    if element is None:
        return Handling()
    handlers = tuple(
        Handler(
            child.attributes["id"],
            _tags(_split(child.attributes.get("tags"))),
            tuple(plugin.attributes["id"] for plugin in child.find("plugin") if "id" in plugin.attributes),
            child.line,
        )
        for child in element.find("handler")
        if "id" in child.attributes
    )
    return Handling(
        handlers,
        tuple(method.lower() for method in _split(element.attributes.get("assign_with")) if method) or None,
        element.attributes.get("default") or None,
        _integer(element.attributes.get("max_grab"), "max_grab", path, element.line),
        _integer(element.attributes.get("ready_window_size"), "ready_window_size", path, element.line),
        element.line,
    )


def _attribute_value(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _set_attributes(tag: str, attributes: dict[str, Optional[str]]) -> str:
    """Change attributes of a start tag where they stand; None removes one, a new one goes last."""
    missing = {name: value for name, value in attributes.items() if value is not None}

    def change(match: re.Match[str]) -> str:
        space, name, equals, quoted = match.groups()
        if name not in attributes:
            return match.group()
        missing.pop(name, None)
        return "" if attributes[name] is None else f"{space}{name}{equals}{quoted[0]}{attributes[name]}{quoted[0]}"

    tag = _ATTRIBUTE.sub(change, tag)
    inner = tag.rstrip("/>").rstrip()
    return inner + "".join(f' {name}="{value}"' for name, value in missing.items()) + tag[len(inner):]


def _cut(text: str, element: _Element) -> tuple[int, int]:
    """The span to remove with an element: with its line, where it has lines of its own."""
    indentation = _indentation(text, element)
    if indentation is None:
        return element.start, element.end
    rest = _skip_spaces(text, element.end)
    if text.startswith(("\r", "\n", "</"), rest):
        line = element.start - len(indentation)
        return line - (2 if text.endswith("\r\n", 0, line) else 1), element.end
    # A comment or another element follows: it takes over the line.
    return element.start, rest


def _skip_spaces(text: str, index: int) -> int:
    """Where the spaces and tabs at I(index) end."""
    spaces = _SPACES.match(text, index)
    return spaces.end() if spaces else index


def _indentation(text: str, element: _Element) -> Optional[str]:
    """The white space before an element that is the first on its line."""
    start = element.start
    while start > 0 and text[start - 1] in " \t":
        start -= 1
    return text[start:element.start] if text.endswith(("\r", "\n"), 0, start) else None


def _deeper(indentation: str) -> str:
    """One level deeper than I(indentation), which is that of a child of the root."""
    return indentation * 2 or "    "


@dataclass(frozen=True)
class _XmlStyle:
    """How the file at hand is written."""

    newline: str
    # The indentation of <handlers>, <handler> and <plugin>
    levels: tuple[str, str, str]


def _xml_style(text: str, root: _Element, handlers: Optional[_Element]) -> _XmlStyle:
    """Find out the line ending and the indentation from the file itself."""
    newline = _NEWLINE.search(text)
    siblings = [handlers] if handlers else [*root.find("plugins"), *root.children]
    found = [_indentation(text, element) for element in siblings if element.literal]
    first = found[0] if found and found[0] is not None else "    "
    inner = [_indentation(text, child) for child in handlers.children] if handlers else []
    second = inner[0] if inner and inner[0] is not None else _deeper(first)
    unit = second[len(first):] if second.startswith(first) and second != first else "    "
    return _XmlStyle(newline.group() if newline else "\n", (first, second, second + unit))


def _render_plugin(plugin: str) -> str:
    return f'<plugin id="{plugin}"/>'


def _render_handler(handler: Handler, style: _XmlStyle) -> str:
    tag = _set_attributes(f'<handler id="{handler.id}"/>', {"tags": ",".join(handler.tags) or None})
    return _rewrite(tag, _parse_fragment(tag), style, 1, {}, {}, [_render_plugin(plugin) for plugin in handler.plugins])


def _parse_fragment(tag: str) -> _Element:
    """An element that is nothing but its own empty-element tag."""
    return _Element(tag[1:].split()[0].rstrip("/>"), {}, 0, 0, len(tag), len(tag), len(tag))


def _rewrite(
    text: str,
    element: _Element,
    style: _XmlStyle,
    level: int,
    attributes: dict[str, Optional[str]],
    replaced: dict[int, Optional[str]],
    added: list[str],
) -> str:
    """The new source of I(element): attributes changed, children replaced or removed (by their start), children added."""
    tag = _set_attributes(text[element.start:element.opened], attributes)
    body, cursor = "", element.opened
    for child in element.children:
        if child.start in replaced:
            new = replaced[child.start]
            start, end = (child.start, child.end) if new is not None else _cut(text, child)
            body += text[cursor:start] + (new or "")
            cursor = end
    body += text[cursor:element.closing]
    if not added:
        return tag + body + text[element.closing:element.end]
    closing = text[element.closing:element.end]
    if not closing:
        tag, closing = tag[:-2].rstrip() + ">", f"</{element.name}>"
    indentation = next(filter(None, (_indentation(text, child) for child in element.children)), style.levels[level + 1])
    content = body.rstrip(" \t\r\n")
    tail = body[len(content):]
    if not _NEWLINE.search(tail):
        tail = style.newline + style.levels[level]
    return tag + content + "".join(style.newline + indentation + child for child in added) + tail + closing


def _edit_handler(text: str, element: _Element, style: _XmlStyle, before: Handler, after: Handler) -> str:
    """The new source of a <handler> that is to have other tags or plugins."""
    attributes = {} if sorted(before.tags) == sorted(after.tags) else {"tags": ",".join(after.tags) or None}
    removed: dict[int, Optional[str]] = {}
    missing = list(after.plugins)
    for plugin in element.find("plugin"):
        name = plugin.attributes.get("id")
        if name in missing:
            missing.remove(name)
        elif name is not None:
            removed[plugin.start] = None
    return _rewrite(text, element, style, 1, attributes, removed, [_render_plugin(plugin) for plugin in missing])


def _edit_xml(text: str, path: str, after: Handling, note: bool = False, lost: bool = False) -> str:
    """Splice I(after) into the text of a job_conf.xml.

    With a I(note) of how the element was before the first handler, before the first of all that it says, or where a setting would get I(lost).
    """
    root = _parse_xml(text, path)
    element = _handlers_element(root, path)
    before = _read_xml(element, path)
    if element is None and after == Handling():
        return text
    if root.end == root.opened:
        _fail(path, root.line, "<job_conf/> is empty: remove the file, and a minimal one is created in its place")
    style = _xml_style(text, root, element)
    attributes: dict[str, Optional[str]] = {
        name: None if getattr(after, name) is None else _attribute_value(getattr(after, name))
        for name in _SETTINGS
        if getattr(after, name) != getattr(before, name)
    }
    added = [_render_handler(handler, style) for handler in after.handlers if handler.id not in before.by_id]
    if element is None:
        source = _rewrite("<handlers/>", _parse_fragment("<handlers/>"), style, 0, attributes, {}, added)
        plugins = [plugin for plugin in root.find("plugins") if plugin.literal]
        start = plugins[0].end if plugins else root.opened
        rest = _REST_OF_LINE.match(text, start)
        if rest:
            start = rest.end()
            source = style.newline + style.levels[0] + source
        return text[:start] + source + text[start:]
    source, body = text[element.start:element.end], text[element.opened:element.closing]
    has_lines = bool(body.strip() and _NEWLINE.search(body[len(body.rstrip()):]))
    # Handlers make lines of an element that is in one.
    if note and ((added and not (before.handlers and has_lines)) or (attributes and before.says_nothing) or lost):
        stays = added and not attributes and has_lines and not before.handlers
        added.insert(0, f"<!-- {_STAYS if stays else _BEFORE + _noted(source)} -->")
    replaced: dict[int, Optional[str]] = {}
    for child in element.find("handler"):
        name = child.attributes.get("id")
        if name is None:
            continue
        wanted = after.by_id.get(name)
        if wanted is None:
            replaced[child.start] = None
        elif not wanted.same_as(before.by_id[name]):
            replaced[child.start] = _edit_handler(text, child, style, before.by_id[name], wanted)
    return text[:element.start] + _rewrite(text, element, style, 0, attributes, replaced, added) + text[element.end:]


def _noted(source: str) -> str:
    """I(source) as it can stand in a comment."""
    plain = source and "--" not in source and not _NEWLINE.search(source) and source == source.strip()
    return source if plain else json.dumps(source).replace("--", "-\\u002d")


def _as_noted(note: str) -> str:
    """Undo L(_noted); a note that somebody has damaged is taken as it is."""
    with contextlib.suppress(ValueError):
        return str(json.loads(note)) if note.startswith('"') else note
    return note


def _undo_xml(text: str, path: str, number: int = 0) -> Optional[str]:
    """The I(text) without its handlers, as the last note but I(number) says that it was; None where there is no such note."""
    element = _handlers_element(_parse_xml(text, path), path)
    notes = list(_XML_NOTE.finditer(text, element.opened, element.closing)) if element else []
    if element is None or number >= len(notes):
        return None
    # An earlier one is of what the element says besides.
    note = notes[-1 - number]
    if note["source"]:
        return text[:element.start] + _as_noted(note["source"]) + text[element.end:]
    end = max([note.end(), *(child.end for child in element.find("handler"))])
    start, _end = _cut(text, _Element("", {}, 0, note.start(), note.start(), end, end))
    return text[:start] + text[end:]


def _drop_xml(text: str, path: str) -> str:
    """Remove the <handlers> element."""
    element = _handlers_element(_parse_xml(text, path), path)
    if element is None:
        return text
    start, end = _cut(text, element)
    return text[:start] + text[end:]


# --- YAML -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entry:
    """A key of a block mapping, its value, and where they are in the text."""

    key: str
    value: Any
    column: int
    line: int
    # The line of the key starts here, the text behind the colon there.
    start: int
    colon: int
    # The value ends; and the lines that belong to the entry end, with its comments.
    content_end: int
    end: int


class YamlJobConf:
    """A job configuration in YAML, to be read: all of a file, or the value of a key in it."""

    def __init__(self, path: str, root: Any, data: Any) -> None:
        """Take what PyYAML has made of it."""
        self.path = path
        self.root = root
        self.data = data

    def find(self, mapping: Any, key: str) -> Any:
        """The value node of I(key), or None; a key that is there twice is refused."""
        found = [pair for pair in mapping.value if pair[0].value == key] if mapping is not None else []
        if len(found) > 1:
            lines = ", ".join(str(pair[0].start_mark.line + 1) for pair in found)
            line = found[-1][0].start_mark.line + 1
            _fail(self.path, line, f"has {len(found)} keys '{key}' (lines {lines}), and Galaxy reads only the last: merge them into one")
        return found[0][1] if found else yaml_text.value_of(mapping, key)

    def handling(self) -> dict[str, Any]:
        """The value of C(handling) as Galaxy reads it."""
        data = (self.data or {}).get("handling")
        if data is None:
            return {}
        if not isinstance(data, dict):
            line = self.find(self.root, "handling").start_mark.line + 1
            _fail(self.path, line, "'handling' is not a mapping: see Galaxy's job_conf.sample.yml")
        return data


class _YamlText(YamlJobConf):
    """The text of a job_conf.yml, where its parts are, and the edits to make."""

    def __init__(self, text: str, path: str) -> None:
        """Parse I(text), which may be malformed."""
        # Every line has an ending to work with; the last one is taken away again at the end.
        newline = _NEWLINE.search(text)
        self.newline = newline.group() if newline else "\n"
        self.complete = not text or text.endswith(("\n", "\r"))
        self.text = text if self.complete else text + self.newline
        self.edits: list[tuple[int, int, str]] = []
        self.step = 2
        try:
            parsed = yaml_text.parse(self.text, job_conf_names.other_format(text, "yaml"))
        except yaml_text.YamlError as error:
            _fail(path, error.line, error.message)
        super().__init__(path, parsed.root, parsed.data)
        self.tokens, self.starts = parsed.tokens, parsed.starts
        if self.root is not None and not isinstance(self.root, yaml.MappingNode):
            line = self.root.start_mark.line + 1
            remedy = job_conf_names.other_format(text, "yaml") or "is this Galaxy's job configuration?"
            _fail(path, line, f"its root is not a mapping with keys such as 'runners' and 'execution': {remedy}")

    def handling(self) -> dict[str, Any]:
        """The value of C(handling), which can be edited where it stands in the text itself."""
        if "handling" in (self.data or {}) and "handling" not in dict(yaml_text.lines(self.root)):
            _fail(self.path, 0, "'handling' comes from a merge key (<<), which cannot be edited: write it out")
        return super().handling()

    def refuse_another_file(self) -> None:
        """Fail where nothing at the root is what a job configuration has."""
        reason = job_conf_names.other_file([str(key) for key in self.data or {}])
        if reason:
            _fail(self.path, self.root.start_mark.line + 1, reason)

    def _next_line(self, index: int) -> int:
        newline = _NEWLINE.search(self.text, index)
        return newline.end() if newline else len(self.text)

    def _end_of_comments(self, index: int, column: int) -> int:
        """Where the comment lines end that follow I(index) and belong, by their indentation, to a key in I(column)."""
        end = index
        while index < len(self.text):
            following = self._next_line(index)
            line = self.text[index:following]
            comment = line.lstrip(" ")
            if comment.startswith("#") and len(line) - len(comment) > column:
                end = following
            elif line.strip():
                break
            index = following
        return end

    def entries(self, mapping: Any) -> list[_Entry]:
        """The entries of a block mapping, each of whole lines."""
        found = []
        if mapping.flow_style:
            _fail(self.path, mapping.start_mark.line + 1, "a mapping in { } cannot be edited: write it as lines of 'key: value'")
        limits = [key.start_mark.index for key, _value in mapping.value[1:]] + [mapping.end_mark.index]
        for (key, value), limit in zip(mapping.value, limits):
            mark = key.start_mark
            start = mark.index - mark.column
            if not isinstance(key, yaml.ScalarNode) or self.text[start:mark.index].strip():
                _fail(self.path, mark.line + 1, "a key that does not start its line cannot be edited: write it as a line of 'key: value'")
            # Tokens, not nodes: the node of an alias lies where its anchor is.
            content = self.tokens[bisect_left(self.starts, limit) - 1].end_mark.index
            while self.text[content - 1].isspace():
                content -= 1
            colon = self.text.index(":", key.end_mark.index) + 1
            end = self._end_of_comments(self._next_line(content), mark.column)
            found.append(_Entry(key.value, value, mark.column, mark.line + 1, start, colon, content, end))
        return found

    def _refuse_references(self, entry: _Entry) -> None:
        for token in self.tokens:
            if entry.start <= token.start_mark.index < entry.end and isinstance(token, (yaml.AnchorToken, yaml.AliasToken, yaml.TagToken)):
                source = self.text[token.start_mark.index:token.end_mark.index]
                _fail(self.path, token.start_mark.line + 1, f"{source} in 'handling' cannot be edited safely: write the plain value in its place")

    def set_handling(self, after: dict[str, Any], note: bool = False, lost: bool = False) -> None:
        """Make the value of C(handling) I(after); an empty one removes the key.

        With a I(note), how the value was before the first handler, before the first of all that it says, or where a setting would get I(lost), is
        noted there.
        """
        # In a file of comments alone it is the first key.
        entries = self.entries(self.root) if self.root is not None else []
        nested = [entry for entry in entries if isinstance(entry.value, yaml.MappingNode) and not entry.value.flow_style]
        steps = [entry.value.start_mark.column - entry.column for entry in nested]
        self.step = next((step for step in steps if step > 0), self.step)
        for entry in entries:
            if entry.key == "handling":
                self._refuse_references(entry)
                before = self.handling()
                if after:
                    self._change(entry, before, after)
                    if note and (lost or self._needs_note(entry, before, after)):
                        self._note(entry, before, after)
                else:
                    self.edits.append((entry.start, entry.end, ""))
                return
        if after:
            runners = [entry.end for entry in entries if entry.key == "runners"]
            place = runners[0] if runners else entries[0].start if entries else len(self.text)
            self.edits.append((place, place, self._block({"handling": after}, entries[0].column if entries else 0)))

    def remove_handling(self) -> None:
        """Remove the key C(handling), be its value right or not, and as often as it is there."""
        for entry in self.entries(self.root) if self.root is not None and "handling" in (self.data or {}) else []:
            if entry.key == "handling":
                self._refuse_references(entry)
                self.edits.append((entry.start, entry.end, ""))

    def _needs_note(self, entry: _Entry, before: dict[str, Any], after: dict[str, Any]) -> bool:
        """Whether nothing but a note tells how to undo a change: it adds the first handler or setting, or makes lines of what is in braces."""
        if not isinstance(entry.value, yaml.MappingNode) or entry.value.flow_style:
            return True
        if not before.get("processes"):
            return bool(after.get("processes")) or all(before.get(key) is None for key in _SETTINGS.values())
        processes = self.find(entry.value, "processes")
        return bool(processes.flow_style) and before["processes"] != after.get("processes")

    def _note(self, entry: _Entry, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Note how the value was, above the handlers, or where more than these is new, in the first line."""
        block = isinstance(entry.value, yaml.MappingNode) and not entry.value.flow_style
        if block and "processes" not in before and after.get("processes") and after == {**before, "processes": after["processes"]}:
            children = self.entries(entry.value)
            place, column, note = children[-1].end, children[0].column, _STAYS
        else:
            # A block has the comments behind its values.
            source = self.text[entry.colon:entry.end if block else entry.content_end]
            place = self._next_line(entry.colon if block else entry.content_end)
            column = self.entries(entry.value)[0].column if block else entry.column + self.step
            note = _BEFORE + _noted(source[1:] if not block and re.match(r" \S", source) else source)
        self.edits.append((place, place, f"{' ' * column}# {note}{self.newline}"))

    def undo_handling(self, number: int = 0) -> bool:
        """Take the handlers out, as the note beside them says that it was, or another note by its I(number); false where there is no such note."""
        entries = [entry for entry in (self.entries(self.root) if self.root is not None else []) if entry.key == "handling"]
        notes = list(_YAML_NOTE.finditer(self.text, entries[0].start, entries[0].end)) if entries else []
        if number >= len(notes):
            return False
        # The one beside the handlers is the last that was written, and of the others the first.
        entry, note = entries[0], sorted(notes, key=lambda note: note["source"] is not None)[number]
        if note["source"] is None:
            processes = [child for child in self.entries(entry.value) if child.key == "processes"]
            self.edits += [(note.start(), note.end(), ""), *((child.start, child.end, "") for child in processes)]
            return True
        source = _as_noted(note["source"])
        # A block ends with its last line.
        if not source.endswith(("\n", "\r")):
            self.edits.append((entry.colon, entry.colon, f" {source}" if source[:1].strip() else source))
            self.edits.append((self._next_line(entry.colon), self._next_line(entry.content_end), ""))
        else:
            self.edits.append((entry.colon, entry.end, source))
        return True

    def _change(self, entry: _Entry, before: Any, after: Any) -> None:
        """Change the value of one key, and only as far as it differs."""
        if before == after:
            return
        block = isinstance(entry.value, yaml.CollectionNode) and not entry.value.flow_style
        if isinstance(after, dict) and after:
            if block and isinstance(entry.value, yaml.MappingNode):
                self._change_mapping(entry, before, after)
                return
            line = self._next_line(entry.content_end)
            self.edits.append((entry.colon, entry.content_end, ""))
            self.edits.append((line, line, self._block(after, entry.column + self.step)))
        elif block:
            # The comment on the line of the key stays, the lines of the old value go.
            self.edits.append((entry.colon, entry.colon, _inline(after)))
            self.edits.append((self._next_line(entry.colon), self._next_line(entry.content_end), ""))
        else:
            self.edits.append((entry.colon, entry.content_end, _inline(after)))

    def _change_mapping(self, entry: _Entry, before: dict[str, Any], after: dict[str, Any]) -> None:
        children = self.entries(entry.value)
        for child in children:
            if child.key in after:
                self._change(child, before[child.key], after[child.key])
            else:
                self.edits.append((child.start, child.end, ""))
        added = {key: value for key, value in after.items() if key not in before}
        # Settings go to the top and handlers to the end, as in Galaxy's sample.
        settings = {key: value for key, value in added.items() if not isinstance(value, (dict, type(None)))}
        mappings = {key: value for key, value in added.items() if key not in settings}
        for place, data in ((self._next_line(entry.colon), settings), (children[-1].end, mappings)):
            if data:
                self.edits.append((place, place, self._block(data, children[0].column)))

    def _block(self, data: dict[str, Any], column: int) -> str:
        """Render a mapping in block style."""
        lines = ""
        for key, value in data.items():
            lines += " " * column + _flow(key) + ":"
            if isinstance(value, dict) and value:
                lines += self.newline + self._block(value, column + self.step)
            else:
                lines += _inline(value) + self.newline
        return lines

    def result(self) -> str:
        """The text with all edits made."""
        parts, cursor = [], 0
        for start, end, new in sorted(self.edits):
            parts += [self.text[cursor:start], new]
            cursor = end
        text = "".join(parts) + self.text[cursor:]
        return text if self.complete or not text else text[:-len(self.newline)]


def _flow(value: Any) -> str:
    """Render a value on one line, quoted where YAML would take it for something else."""
    if isinstance(value, str):
        return _flow_text(value)
    return "[" + ", ".join(map(_flow, value)) + "]" if isinstance(value, list) else _flow_other(value)


# Tags repeat from handler to handler.
@lru_cache(maxsize=1024)
def _flow_text(value: str) -> str:
    return _flow_other(value)


def _flow_other(value: Any) -> str:
    # As the only item of a list: a scalar alone would get an end-of-document marker.
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text: str = yaml.dump([value], Dumper=dumper, default_flow_style=True, allow_unicode=True, sort_keys=False, width=2**31 - 1)
    return text.strip()[1:-1]


def _inline(value: Any) -> str:
    """A value as it stands behind the colon of its key; nothing stands for null."""
    return "" if value is None else f" {_flow(value)}"


def _strings(value: Any, what: str, path: str, line: int) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        _fail(path, line, f"{what} is {value!r}: write a list, [{value}]")
    return tuple(str(item) for item in value)


def read_yaml(document: YamlJobConf) -> Handling:
    """What Galaxy reads from the C(handling) mapping."""
    path = document.path
    data = document.handling()
    node = document.find(document.root, "handling")
    if not data:
        return Handling()
    line = node.start_mark.line + 1
    processes = data.get("processes") or {}
    if not isinstance(processes, dict):
        _fail(path, line, "'processes' in 'handling' is not a mapping of handler ids: see Galaxy's job_conf.sample.yml")
    keys = document.find(node, "processes")
    lines: dict[str, list[int]] = {}
    for key, _value in keys.value if isinstance(keys, yaml.MappingNode) else ():
        lines.setdefault(key.value, []).append(key.start_mark.line + 1)
    for name, places in lines.items():
        if len(places) > 1:
            raise JobConfError(duplicates(tuple(Handler(name, line=place) for place in places), path))
    handlers = []
    for name, value in processes.items():
        if not isinstance(name, str):
            _fail(path, line, f"the handler id {name!r} in 'processes' is not text for YAML: quote it, '{name}'")
        place = lines.get(name, [line])[0]
        value = value or {}
        if not isinstance(value, dict):
            _fail(path, place, f"handler {name!r} is {value!r}, not a mapping with keys such as 'tags'")
        tags = _strings(value.get("tags"), f"handler {name!r}: tags", path, place)
        handlers.append(Handler(name, _tags(tags), _strings(value.get("plugins"), f"handler {name!r}: plugins", path, place), place))
    return Handling(
        tuple(handlers),
        tuple(method.lower() for method in _strings(data.get("assign"), "assign", path, line)) or None,
        None if data.get("default") is None else str(data["default"]),
        _integer(data.get("max_grab"), "max_grab", path, line),
        _integer(data.get("ready_window_size"), "ready_window_size", path, line),
        line,
    )


def _xml_references(root: _Element) -> tuple[list[Reference], bool]:
    """Who names a handler in a job_conf.xml, and whether the default comes from elsewhere."""
    found = []
    for tools in root.find("tools")[:1]:
        for tool in tools.find("tool"):
            name = tool.attributes.get("id") or tool.attributes.get("class")
            found.append((tool.attributes.get("handler"), f"tool {name!r}", tool.line))
    for destinations in root.find("destinations")[:1]:
        for destination in destinations.find("destination"):
            for resubmit in destination.find("resubmit"):
                found.append((resubmit.attributes.get("handler"), f"resubmit of destination {destination.attributes.get('id')!r}", resubmit.line))
    elsewhere = any(name in element.attributes for element in root.find("handlers") for name in ("default_from_environ", "default_from_config"))
    return [Reference(name, who, line) for name, who, line in found if name], elsewhere


def yaml_references(document: YamlJobConf) -> list[Reference]:
    """Who names a handler in a job_conf.yml."""

    def entries(node: Any) -> Iterator[tuple[str, Any]]:
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            yield str(key.value), value

    def items(node: Any) -> Iterator[dict[str, Any]]:
        for item in node.value if isinstance(node, yaml.SequenceNode) else ():
            yield dict(entries(item))

    def reference(item: dict[str, Any], who: str) -> Iterator[Reference]:
        node = item.get("handler")
        if isinstance(node, yaml.ScalarNode) and node.value and node.tag != "tag:yaml.org,2002:null":
            yield Reference(node.value, who, node.start_mark.line + 1)

    found: list[Reference] = []
    top = dict(entries(document.root))
    for tool in items(top.get("tools")):
        name = tool.get("id") or tool.get("class")
        found.extend(reference(tool, f"tool {getattr(name, 'value', None)!r}"))
    for name, environment in entries(dict(entries(top.get("execution"))).get("environments")):
        for resubmit in items(dict(entries(environment)).get("resubmit")):
            found.extend(reference(resubmit, f"resubmit of environment {name!r}"))
    return found


def _handling_data(data: dict[str, Any], before: Handling, after: Handling) -> dict[str, Any]:
    """I(data) as it is to be: what means the same stays as it is, keys that are none of our business stay too."""
    data = dict(data)
    for name, key in _SETTINGS.items():
        value = getattr(after, name)
        if value != getattr(before, name):
            data.pop(key, None)
            if value is not None:
                data[key] = list(value) if isinstance(value, tuple) else value
    processes = dict(data.get("processes") or {})
    for name in before.by_id:
        if name not in after.by_id:
            del processes[name]
    for handler in after.handlers:
        old = before.by_id.get(handler.id)
        if old is None or not old.same_as(handler):
            old = old or Handler(handler.id)
            value = dict(processes.get(handler.id) or {})
            for key in ("tags", "plugins"):
                if sorted(getattr(old, key)) != sorted(getattr(handler, key)):
                    value.pop(key, None)
                    if getattr(handler, key):
                        value[key] = list(getattr(handler, key))
            processes[handler.id] = value or None
    # Galaxy fails on an empty 'processes'.
    data.pop("processes", None)
    return {**data, "processes": processes} if processes else data


def _edit_yaml(text: str, path: str, after: Handling, note: bool = False, lost: bool = False) -> str:
    """Splice I(after) into the text of a job_conf.yml; with a I(note) of how C(handling) was without handlers, or where a setting would get I(lost)."""
    document = _YamlText(text, path)
    data = document.handling()
    wanted = _handling_data(data, read_yaml(document), after)
    if wanted == data:
        return text
    document.set_handling(wanted, note, lost)
    result = document.result()
    try:
        proven = _YamlText(result, path).handling() == wanted
    except JobConfError:
        proven = False
    if not proven:
        _fail(path, 0, _UNSAFE)
    return result


def _undo_yaml(text: str, path: str, number: int = 0) -> Optional[str]:
    """The I(text) without its handlers, as a note says that it was; None where there is no such note."""
    document = _YamlText(text, path)
    return document.result() if document.undo_handling(number) else None


def _drop_yaml(text: str, path: str) -> str:
    """Remove the C(handling) key."""
    document = _YamlText(text, path)
    document.remove_handling()
    return document.result()


# --- Both -------------------------------------------------------------------------------------------------------------


def _read(text: str, path: str, kind: str) -> Handling:
    if kind == "xml":
        return _read_xml(_handlers_element(_parse_xml(text, path), path), path)
    return read_yaml(_YamlText(text, path))


def _load(content: bytes, path: str, kind: str) -> tuple[bytes, str, str]:
    return _decode(content, path, "" if kind == "xml" else "utf-8")


def _read_job_conf(text: str, path: str, kind: str) -> Handling:
    """Read a file of which it is not known yet that it is a job configuration."""
    if kind == "yaml":
        _YamlText(text, path).refuse_another_file()
    return _read(text, path, kind)


def read(content: bytes, path: str, kind: str) -> Handling:
    """Return what I(content) says about handlers; I(kind) is C(xml) or C(yaml)."""
    return _read_job_conf(_load(content, path, kind)[1], path, kind)


def _names(content: bytes, path: str, kind: str) -> job_conf_names.Names:
    """All that I(content) names."""
    text = _load(content, path, kind)[1]
    return job_conf_names.from_xml(_parse_xml(text, path), text) if kind == "xml" else job_conf_names.from_yaml(_YamlText(text, path).root)


def name_problems(content: Optional[bytes], path: str, kind: str) -> list[Finding]:
    """The names in I(content) that refer to nothing, and the keys that Galaxy does not read."""
    if content is None:
        return []
    names = _names(content, path, kind)
    handlers = read(content, path, kind).handlers
    return job_conf_names.unknown_keys(names, path) + job_conf_names.problems(names, handlers, path)


def registered(content: bytes, path: str) -> tuple[Handler, ...]:
    """The handlers in I(content); none where the file cannot be read, which is a finding of its own."""
    with contextlib.suppress(JobConfError):
        kind = guess_format(content, path)
        if kind == "xml" or not YAML_IMPORT_ERROR:
            return read(content, path, kind).handlers
    return ()


def workflow_schedulers(content: bytes, path: str) -> tuple[Handler, ...]:
    """The handlers in Galaxy's configuration of workflow schedulers; none where the file cannot be read, which Galaxy says itself."""
    with contextlib.suppress(JobConfError):
        root = _parse_xml(_load(content, path, "xml")[1], path, "workflow_schedulers")
        return _read_xml(_handlers_element(root, path), path).handlers
    return ()


def references(content: bytes, path: str, kind: str) -> tuple[list[Reference], bool]:
    """Return who names a handler in I(content), and whether the default handler is told by something outside of it."""
    text = _load(content, path, kind)[1]
    if _names(content, path, kind).handlers_elsewhere:
        return [], True
    return _xml_references(_parse_xml(text, path)) if kind == "xml" else (yaml_references(_YamlText(text, path)), False)


def runners(content: Optional[bytes], path: str, kind: str) -> tuple[Runner, ...]:
    """Return the runner plugins that I(content) configures."""
    return () if content is None else _runners(_load(content, path, kind)[1], path, kind)


def _runners(text: str, path: str, kind: str) -> tuple[Runner, ...]:
    if kind == "xml":
        plugins = [plugin.attributes for group in _parse_xml(text, path).find("plugins") for plugin in group.find("plugin")]
        return tuple(Runner(plugin["id"], plugin["load"]) for plugin in plugins if {"id", "load"} <= plugin.keys() and plugin.get("type") == "runner")
    return yaml_runners(_YamlText(text, path).data or {})


def yaml_runners(data: dict[str, Any]) -> tuple[Runner, ...]:
    """The runner plugins in a job configuration in YAML."""
    configured = data.get("runners")
    if not isinstance(configured, dict):
        return ()
    return tuple(Runner(str(name), str(plugin["load"])) for name, plugin in configured.items() if isinstance(plugin, dict) and "load" in plugin)


def _minimal_runner(text: str, path: str, kind: str) -> str:
    """The class that runs the jobs in a file that L(present) has made and nobody else has changed; empty for all others."""
    found = _runners(text, path, kind)
    if len(found) != 1:
        return ""
    drop = _drop_xml if kind == "xml" else _drop_yaml
    made = MINIMAL[kind].decode().replace(LOCAL_RUNNER, found[0].load)
    return found[0].load if drop(text, path) == made else ""


def _load_and_read(content: bytes, path: str, kind: str) -> tuple[bytes, str, str, Handling]:
    """Decode and read what is to be edited; duplicates in it are refused."""
    mark, text, encoding = _load(content, path, kind)
    handling = _read_job_conf(text, path, kind)
    problems = duplicates(handling.handlers, path)
    if problems:
        raise JobConfError(problems)
    return mark, text, encoding, handling


def present(
    content: Optional[bytes], path: str, kind: str, wanted: Handling, purge: bool = False, local_runner: str = LOCAL_RUNNER,
) -> Change:
    """Return I(content) with the handlers and settings of I(wanted) in it; None makes a minimal file.

    Handlers and settings that I(wanted) does not mention stay, or go with I(purge). The I(local_runner) is that of
    a minimal file, and of no other.
    """
    mark, text, encoding, before = _load_and_read(MINIMAL[kind] if content is None else content, path, kind)
    foreign = [] if purge else [handler for handler in before.handlers if handler.id not in wanted.by_id]
    kept = {} if purge else {name: getattr(before, name) for name in _SETTINGS if getattr(wanted, name) is None}
    after = replace(wanted, handlers=(*foreign, *wanted.handlers), **kept)
    problems = handler_problems(wanted.handlers, path) + pool_problems(after, path)
    if content is not None:
        problems += job_conf_names.misspelled_handlers(_names(content, path, kind), path)
    if problems:
        raise JobConfError(problems)
    removed = tuple(name for name in before.by_id if name not in after.by_id)
    edit = _edit_xml if kind == "xml" else _edit_yaml
    edited = edit(text, path, after, not purge or before.says_nothing, _loses(text, path, kind, before, after))
    made_with = _minimal_runner(edited, path, kind)
    if made_with:
        edited = edited.replace(made_with, local_runner)
    return Change(_written(mark, edited, encoding, path, kind, after), tuple(after.by_id), removed)


def _loses(text: str, path: str, kind: str, before: Handling, after: Handling) -> bool:
    """Whether a setting gets another value, and no note tells what it was before the first change."""
    changed = [name for name in _SETTINGS if getattr(before, name) not in (None, getattr(after, name))]
    if not changed:
        return False
    earlier = (_undo_xml if kind == "xml" else _undo_yaml)(text, path)
    with contextlib.suppress(JobConfError):
        known = _read(earlier, path, kind) if earlier is not None else before
        return any(getattr(known, name) == getattr(before, name) for name in changed)
    return True


def _written(mark: bytes, text: str, encoding: str, path: str, kind: str, expected: Handling) -> bytes:
    """Encode the new I(text), once it is proven to read as it should."""
    try:
        proven = expected.same_as(_read(text, path, kind))
    except JobConfError:
        proven = False
    if not proven:
        _fail(path, 0, _UNSAFE)
    return mark + text.encode(encoding)


def absent(
    content: Optional[bytes], path: str, kind: str, ids: Optional[Iterable[str]] = None, purge: bool = False, settings: Handling = Handling(),
) -> Change:
    """Return I(content) without the handlers I(ids), and without those I(settings) that are as they are given.

    With the last handler, all of it goes, but for what was there before the first one. It goes too with I(purge), and
    without ids and settings. What is not there is no reason to change anything. What is left of a file that L(present)
    made is None: no file.
    """
    if content is None:
        return Change(None)
    gone = set(ids or ())
    given = {name: getattr(settings, name) for name in _SETTINGS if getattr(settings, name) is not None}
    if purge or (ids is None and not given):
        return _without_handling(content, path, kind)
    mark, text, encoding, before = _load_and_read(content, path, kind)
    kept = tuple(handler for handler in before.handlers if handler.id not in gone)
    removed = tuple(name for name in before.by_id if name in gone)
    dropped: dict[str, Any] = {name: None for name, value in given.items() if value == getattr(before, name)}
    after = replace(before, handlers=kept, **dropped)
    if after == before:
        # A file that says nothing, made by who asked for nothing.
        is_ours = not gone and not given and _minimal_runner(text, path, kind) and before.says_nothing
        return Change(None if is_ours else content, tuple(before.by_id))
    # With the last handler, all that came with the first one goes too.
    undone = _undone(text, path, kind, before, None if removed and not kept else after, tuple(dropped))
    if undone is not None:
        content = mark + undone.encode(encoding)
        if dropped and _has_note(undone, path, kind):
            # The settings came before the handlers, and have a note of their own.
            return replace(absent(content, path, kind, gone, settings=settings), removed=removed)
        return Change(content, tuple(after.by_id), removed)
    if ((removed and not kept) or after.says_nothing) and not _has_note(text, path, kind):
        return replace(_without_handling(content, path, kind), removed=removed)
    if removed and after.default not in after.names:
        # That of the others, which a note tells, if that is still one.
        earlier = _noted_default(text, path, kind)
        after = replace(after, default=earlier if earlier in after.names else None)
    edit = _edit_xml if kind == "xml" else _edit_yaml
    return Change(_written(mark, edit(text, path, after), encoding, path, kind, after), tuple(after.by_id), removed)


def _noted_default(text: str, path: str, kind: str) -> Optional[str]:
    """The default before the first change, as the notes tell."""
    with contextlib.suppress(JobConfError):
        earlier = (_undo_xml if kind == "xml" else _undo_yaml)(text, path)
        return None if earlier is None else _read(earlier, path, kind).default
    return None


def _has_note(text: str, path: str, kind: str) -> bool:
    return (_undo_xml if kind == "xml" else _undo_yaml)(text, path) is not None


def _undone(text: str, path: str, kind: str, before: Handling, after: Optional[Handling], dropped: tuple[str, ...]) -> Optional[str]:
    """The I(text) as it notes that it was, proven by making it again what it is; None where it notes nothing, or somebody has changed more since.

    What it was has to say what is wanted I(after), if that is given. The settings that are I(dropped) may have another value there.
    """
    undo, edit = (_undo_xml, _edit_xml) if kind == "xml" else (_undo_yaml, _edit_yaml)
    unset: dict[str, Any] = dict.fromkeys(dropped)
    for number in itertools.count():
        undone = undo(text, path, number)
        if undone is None:
            return None
        with contextlib.suppress(JobConfError):
            # Which note it was need not be known: a default that went with a handler is not there to be made again.
            made = {_without_notes(edit(undone, path, before, True, lost), kind) for lost in (False, True)}
            if _without_notes(text, kind) not in made:
                continue
            was = _read(undone, path, kind)
            stays = any(getattr(was, name) == getattr(before, name) for name in dropped)
            if after is None or (not stays and replace(was, **unset).same_as(after)):
                return undone
    return None


def _without_notes(text: str, kind: str) -> str:
    return re.sub(rf"\s*{_XML_NOTE.pattern}", "", text, flags=re.DOTALL) if kind == "xml" else _YAML_NOTE.sub("", text)


def _without_handling(content: bytes, path: str, kind: str) -> Change:
    """All that says something of handlers goes, which need not be right for that."""
    mark, text, encoding = _load(content, path, kind)
    if kind == "yaml":
        _YamlText(text, path).refuse_another_file()
    removed: tuple[str, ...] = ()
    with contextlib.suppress(JobConfError):
        removed = tuple(_read(text, path, kind).by_id)
    drop = _drop_xml if kind == "xml" else _drop_yaml
    rest = drop(text, path)
    result = _written(mark, rest, encoding, path, kind, Handling())
    return Change(None if _minimal_runner(rest, path, kind) else result, (), removed)


# Values of parameters and environment variables, in XML, and in YAML on the line of their key or as a block below it.
_XML_VALUE = re.compile(r"<(?P<tag>param|env)\b(?P<name>(?:(?!<(?:param|env)\b)[^>])*)(?<!/)>")
_YAML_VALUE = re.compile(r"(?P<shown>(?<![\w-])[\"']?value[\"']?:[ \t]+)[^\s|>][^\r\n]*")
_YAML_BLOCK = re.compile(
    r"(?m)^(?P<shown>(?P<indent>[ \t]*)(?:- )?(?P<name>[^\s:#][^:\r\n]*):[ \t]+[|>].*\n)(?P<hidden>(?:(?:(?P=indent)[ \t]+\S.*|[ \t]*\r?)\n)*)"
)


def mask_secrets(text: str) -> str:
    """I(text) as it may be shown: what is a secret by its name or looks masked, and the values of all environment variables."""

    def block(match: re.Match[str]) -> str:
        hidden = match["hidden"].strip() and (match["name"] == "value" or is_secret(match["name"]))
        return match["shown"] + (f"{match['indent']}  {MASK}\n" if hidden else match["hidden"])

    text = _YAML_BLOCK.sub(block, _YAML_VALUE.sub(rf"\g<shown>{MASK}", _mask_elements(text)))
    return re.sub(r"[^\r\n]+", lambda line: mask_line(line[0]), text)


def _mask_elements(text: str) -> str:
    """Mask what stands between the tags of secret parameters and of all environment variables."""
    last_ends = {tag: text.rfind(f"</{tag}>") for tag in ("param", "env")}
    parts, done = [], 0
    start = _XML_VALUE.search(text)
    while start:
        # Where there is none, it is not looked for again after each start tag.
        end = text.find(f"</{start['tag']}>", start.end()) if start.end() <= last_ends[start["tag"]] else -1
        if end >= 0:
            hidden = text[start.end() : end].strip() and (start["tag"] == "env" or is_secret(start["name"]))
            parts += [text[done : start.end()], MASK if hidden else text[start.end() : end]]
            done = end
        start = _XML_VALUE.search(text, max(start.end(), end))
    return "".join([*parts, text[done:]])


def mask_diff(before: str, after: str) -> tuple[str, str]:
    """Mask both sides of a diff."""
    return mask_secrets(before), mask_secrets(after)


def guess_format(content: bytes, path: str) -> str:
    """The format of a file whose name need not tell."""
    try:
        return file_format(path)
    except JobConfError:
        return "xml" if content.lstrip()[:1] == b"<" else "yaml"


def empty_problems(content: bytes, path: str, kind: str) -> list[Finding]:
    """What Galaxy trips over in a YAML file that does not say what runs jobs."""
    if kind != "yaml":
        return []
    data = _YamlText(_load(content, path, kind)[1], path).data or {}
    if not set(data) - {"handling"}:
        return [Finding(path, 0, "error", "says nothing of runners, and Galaxy does not start without: remove the file, and a minimal one is created")]
    return runner_problems(data, path)


def runner_problems(data: dict[str, Any], path: str, line: int = 0) -> list[Finding]:
    """Whether a job configuration in YAML has runners: Galaxy dies of one that has not."""
    if isinstance(data.get("runners"), dict):
        return []
    message = f"has no mapping 'runners', and Galaxy does not start without one: add one, such as runners: {{local: {{load: {LOCAL_RUNNER}}}}}"
    return [Finding(path, line, "error", message)]


def check_and_read(content: bytes, path: str) -> tuple[list[Finding], Handling]:
    """What keeps Galaxy from reading this job configuration, or from reading it as it is meant, and what it says."""
    kind = guess_format(content, path)
    if kind == "yaml" and YAML_IMPORT_ERROR:
        return [Finding(path, 0, "warning", NO_YAML)], Handling()
    try:
        handling = read(content, path, kind)
        named, elsewhere = references(content, path, kind)
        problems = handler_problems(handling.handlers, path) + pool_problems(handling, path) + routing_problems(handling, named, path, elsewhere)
        return problems + empty_problems(content, path, kind) + name_problems(content, path, kind), handling
    except JobConfError as error:
        return error.findings, Handling()


def check(content: bytes, path: str) -> list[Finding]:
    """What keeps Galaxy from reading this job configuration, or from reading it as it is meant."""
    return check_and_read(content, path)[0]


def check_changed(
    content: Optional[bytes], path: str, wanted: Handling, purge: bool = False, attached: tuple[Handler, ...] = (),
) -> tuple[list[Finding], Handling]:
    """What is wrong with a job configuration once present() has changed it, and what it says then.

    Jobs can be given to the I(attached) handlers too, which are not in the file; they are in the answer.
    """
    try:
        kind = file_format(path) if content is None else guess_format(content, path)
        if kind == "yaml" and YAML_IMPORT_ERROR:
            return [Finding(path, 0, "warning", NO_YAML)], wanted
        after = present(content, path, kind, wanted, purge).content or b""
        handling = read(after, path, kind)
        named, elsewhere = references(after, path, kind)
        lines = {handler.id: handler.line for handler in read(content, path, kind).handlers} if content is not None else {}
        known = {(reference.name, reference.who): reference.line for reference in references(content, path, kind)[0]} if content is not None else {}
        names = name_problems(after, path, kind)
        places = {finding.message: finding.line for finding in name_problems(content, path, kind)}
    except JobConfError as error:
        return error.findings, wanted
    # A line is one of the file as it is now.
    handling = replace(handling, line=0, handlers=tuple(replace(handler, line=lines.get(handler.id, 0)) for handler in handling.handlers))
    named = [replace(reference, line=known.get((reference.name, reference.who), 0)) for reference in named]
    names = [replace(finding, line=places.get(finding.message, 0)) for finding in names]
    idle = idle_problems(handling, wanted.by_id, path)
    handling = replace(handling, handlers=(*handling.handlers, *attached))
    return [*routing_problems(handling, named, path, elsewhere), *empty_problems(after, path, kind), *names, *idle], handling
