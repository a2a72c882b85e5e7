# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Paste Deploy hands to an application, told without importing anything of that application.

Everything in this collection that writes, checks or returns an option of an application asks here which value the
application gets. An application gets two sets of options: I(local) ones, which are its own, and I(shared) ones, which
C([DEFAULT]) and C(set NAME =) give to everything in the file (C(global_conf)).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_lines import DEFAULT, Document, PasteIniError, scan
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_values import (
    KINDS,
    Place,
    Reader,
    Setting,
    Source,
    app_sections,
    interpolated,
    is_shared_option,
)
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._secrets import mask_value

# The options that name a factory. Of those in one group, Paste Deploy takes the first; two groups contradict each other.
_PROTOCOLS = {
    "app": (("paste.app_factory",), ("paste.composite_factory",), ("paste.composit_factory",)),
    "filter": (("paste.filter_factory", "paste.filter_app_factory"),),
    "server": (("paste.server_factory", "paste.server_runner"),),
}
_SCHEME = re.compile(r"([A-Za-z]+):")
_SCHEMES = ("config", "egg", "call")

# Factories of Paste that are no applications but lead to some: which of their options name an application.
_URLMAP = re.compile(r".*#urlmap|(call:)?paste\.urlmap:urlmap_factory")
_CASCADE = re.compile(r".*#cascade|(call:)?paste\.cascade:make_cascade")
_NOT_FOUND = "not_found_app"


@dataclass(frozen=True)
class Application:
    """What one factory gets, and the section that names the factory.

    I(values) are the factory's own options, I(shared) the global ones; both have secrets and are not to be shown. I(unreadable) are options that nobody
    can interpolate. I(filters) are around the application, the outermost first.
    """

    section: str = ""
    factory: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    shared: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()
    filters: tuple[Application, ...] = ()

    @property
    def options(self) -> dict[str, str]:
        """Its own options, masked."""
        return {name: mask_value(name, value) for name, value in self.values.items()}


@dataclass
class _Context:
    """What Paste Deploy knows of one thing that it is going to make: an application, a filter or a server, or what puts these together.

    Where Paste Deploy shares a dictionary between two of them, they share it here too, because C(use) changes it later.
    """

    # The file that names are looked up in, which is that of the outermost section by which this is used.
    source: Source
    section: str
    local: dict[str, Setting]
    shared: dict[str, str]
    above: tuple[tuple[str, str], ...]
    # What is to be made, and what is to be put around it; without the first, the factory makes it.
    inner: _Context | None = None
    filters: list[_Context] = field(default_factory=list)
    factory: str = ""
    unreadable: frozenset[str] = frozenset()


class Loading:
    """What Paste Deploy does to load an application: the sections it reads for that, what comes of them, and what it does not find in them."""

    def __init__(
        self,
        document: Document,
        path: str,
        app: str = "main",
        kind: str = "app",
        read: Reader | None = None,
        given: Mapping[str, str] | None = None,
        section: str = "",
    ) -> None:
        """Load I(app), or the I(section) whose name is given, as far as that can be done without importing anything.

        Without I(read), other files that the file names are left alone. I(given) are the variables of a command line.
        """
        self.path = path
        self.document = document
        self.source = Source.read(document, path, given or {})
        self.sources = {path: self.source}
        self.loaded: list[tuple[str, str]] = []
        self.findings: list[Finding] = []
        self.applications: list[Application] = []
        self._read = read
        found = [section] if section else app_sections(document, app, kind)
        if len(found) == 1:
            self._make(self._of_section(self.source, found[0], kind, dict(given or {}), ()), ())
        else:
            name = {"app": "application", "server": "server", "filter": "filter"}[kind]
            problem = (
                f"both [{found[0]}] and [{found[1]}] define the {name}: keep one"
                if found
                else f"there is no {name}: add a section [{kind}:{app}]"
            )
            self.findings.append(Finding(path, 0, "error", problem))

    def sections_of(self, path: str) -> list[str]:
        """The sections of one file that are read."""
        return [section for source, section in self.loaded if source == path]

    @property
    def application(self) -> Application:
        """The first application that there is; an empty one where there is none."""
        return next(iter(self.applications), Application())

    def _complain(self, source: Source, section: str, option: str, message: str) -> None:
        self.findings.append(
            Finding(source.path, source.place(section, option).line, "error", message, section, option)
        )

    # Paste Deploy first finds out what there is to make,

    def _of_section(
        self, source: Source, name: str, kind: str, given: Mapping[str, str], above: tuple[tuple[str, str], ...]
    ) -> _Context:
        """Read a section, and go on to those that it names."""
        if (source.path, name) not in self.loaded:
            self.loaded.append((source.path, name))
        above = (*above, (source.path, name))
        written = source.document.values(name)
        names = {**source.raw, **written}
        # Of the options of DEFAULT, a section has those that give to, or take from, the shared ones.
        own = [*written, *(option for option in source.raw if option not in written)]
        readable = interpolated({option: names[option] for option in own}, names)
        shared = {**source.shared, **given}
        added = {option[4:].strip(): value for option, value in readable.items() if option.startswith("set ")}
        shared.update(added)
        local = {
            option: Setting(value, source.place(name, option))
            for option, value in readable.items()
            # An option that DEFAULT has too is one of DEFAULT's to Paste Deploy, and not one of the section.
            if not is_shared_option(option) and option not in source.raw
        }
        for option, value in readable.items():
            if not option.startswith("get "):
                continue
            if value in shared:
                local[option[4:].strip()] = Setting(
                    shared[value], source.place(name if option in written else DEFAULT, option)
                )
            else:
                self._complain(
                    source,
                    name,
                    option,
                    f"there is no {value!r} in [{DEFAULT}] to get: define it there, or give the value itself",
                )
        unreadable = frozenset(option for option in own if option not in readable and option not in source.raw)
        filter_name = local.pop("filter-with", None) if kind != "server" else None
        local.pop("require", None)
        context = _Context(source, name, local, shared, above, unreadable=unreadable)
        made = self._by_type(context, kind, added)
        if filter_name:
            if kind == "app" and (made.inner or made.filters):
                message = (
                    "Paste Deploy makes no application of a section with 'filter-with' that has other filters already, by 'pipeline', 'next' or 'use': "
                    "name all filters in one [pipeline:...]"
                )
                self._complain(source, name, "filter-with", message)
            around = self._named(source, name, "filter-with", filter_name.value, "filter", shared, above)
            return _Context(source, name, local, shared, above, inner=made, filters=[around] if around else [])
        return made

    def _by_type(self, context: _Context, kind: str, added: Mapping[str, str]) -> _Context:
        """Do what Paste Deploy does for a section of this type."""
        source, name, local = context.source, context.section, context.local
        prefix = name.partition(":")[0]
        if prefix == "pipeline":
            return self._pipeline(context)
        if prefix == "filter-app":
            following = local.pop("next", None)
            if following:
                context.inner = self._named(source, name, "next", following.value, "app", context.shared, context.above)
            elif "next" not in context.unreadable:
                self._complain(source, name, "", "a [filter-app:...] section needs 'next = APPLICATION': add it")
            around = _Context(source, name, local, context.shared, context.above, unreadable=context.unreadable)
            context.filters = [self._factory(around, "filter", added)]
            return context
        return self._factory(context, kind, added)

    def _pipeline(self, context: _Context) -> _Context:
        source, name = context.source, context.section
        pipeline = context.local.pop("pipeline", None)
        for option in context.local:
            self._complain(
                source,
                name,
                option,
                "a [pipeline:...] section may set nothing but 'pipeline': move the option to the application at its end",
            )
        steps = pipeline.value.split() if pipeline else []
        if not steps and "pipeline" not in context.unreadable:
            self._complain(
                source, name, "", "a [pipeline:...] section needs 'pipeline = FILTER ... APPLICATION': add it"
            )
        for position, step in enumerate(steps, 1):
            kind = "app" if position == len(steps) else "filter"
            made = self._named(source, name, "pipeline", step, kind, context.shared, context.above)
            if kind == "app":
                context.inner = made
            elif made:
                context.filters.append(made)
        return context

    def _factory(self, context: _Context, kind: str, added: Mapping[str, str]) -> _Context:
        """Find the factory that a section names, itself or by the section that it uses."""
        source, name, local = context.source, context.section, context.local
        use = local.pop("use", None)
        if use:
            if name.startswith("filter-app:") and use.value.startswith("call:"):
                self._complain(
                    source,
                    name,
                    "use",
                    "Paste Deploy cannot use 'call:' here: write paste.filter_factory = MODULE:FUNCTION instead of it",
                )
            made = self._named(source, name, "use", use.value, kind, context.shared, context.above)
            if not made:
                return context
            made.shared.update(added)
            made.shared["__file__"] = context.shared["__file__"]
            made.local.update(local)
            made.source, made.section = source, name
            made.unreadable |= context.unreadable
            return made
        given = [option for group in _PROTOCOLS[kind] for option in self._first(group, context)]
        if not given and "use" not in context.unreadable:
            self._complain(
                source,
                name,
                "",
                f"nothing says what to load: add '{_PROTOCOLS[kind][0][0]} = MODULE:FUNCTION', or 'use ='",
            )
        elif len(given) > 1:
            self._complain(source, name, given[1], f"{given[0]!r} says already what to load: remove one of the two")
        if given and given[0] in local:
            context.factory = local.pop(given[0]).value
        return context

    @staticmethod
    def _first(group: Sequence[str], context: _Context) -> list[str]:
        return [option for option in group if option in context.local or option in context.unreadable][:1]

    def _named(
        self,
        source: Source,
        section: str,
        option: str,
        value: str,
        kind: str,
        shared: dict[str, str],
        above: tuple[tuple[str, str], ...],
    ) -> _Context | None:
        """Load what an option names: another section, one of another file, or what is in no file."""
        scheme = _SCHEME.match(value)
        if scheme:
            if scheme.group(1).lower() not in _SCHEMES:
                self._complain(
                    source,
                    section,
                    option,
                    f"Paste Deploy knows no {scheme.group()!r}: write {', '.join(_SCHEMES)}, or the name of a section",
                )
                return None
            if scheme.group(1).lower() != "config":
                return _Context(source, section, {}, shared, above, factory=value)
            return self._of_file(source, section, option, value[scheme.end() :], kind, shared, above)
        found = app_sections(source.document, value, kind)
        if not found:
            self._complain(
                source, section, option, f"there is no section [{kind}:{value}]: add it, or correct the name"
            )
        elif len(found) > 1:
            self._complain(source, section, option, f"both [{found[0]}] and [{found[1]}] are {value!r}: keep one")
        elif (source.path, found[0]) in above:
            self._complain(source, section, option, f"[{found[0]}] leads back to itself: break the circle")
        else:
            return self._of_section(source, found[0], kind, shared, above)
        return None

    def _of_file(
        self,
        source: Source,
        section: str,
        option: str,
        value: str,
        kind: str,
        shared: dict[str, str],
        above: tuple[tuple[str, str], ...],
    ) -> _Context | None:
        """Load what an option names in another file."""
        name, _hash, app = value.partition("#")
        app = app if _hash else "main"
        path = name.replace("\\", "/")
        path = path if posixpath.isabs(name) else posixpath.join(posixpath.dirname(source.path), path)
        path = posixpath.normpath(unquote(path[2:] if path.startswith("///") else path).strip())
        if self._read is None:
            return None
        try:
            text = self._read(path) if path not in self.sources else None
        except PasteIniError as error:
            self._complain(source, section, option, error.message)
            return None
        if path in self.sources:
            document = self.sources[path].document
        elif text is None:
            self._complain(source, section, option, f"there is no file {path}: correct the path")
            return None
        else:
            document, errors = scan(text)
            # The lines are not shown: whoever may write this file could name one here that only root may read.
            self.findings += [
                Finding(
                    path, error.line, "error", "Paste Deploy cannot read this line: check the file with paste_check"
                )
                for error in errors
            ]
        other = Source.read(document, path, shared)
        self.sources.setdefault(path, other)
        own = document.values(DEFAULT)
        for given in shared:
            if given not in own and given not in other.shared:
                self._complain(
                    source,
                    section,
                    option,
                    f"a '%' in {given!r} reaches {path}, where it must be written '%%': give it without one",
                )
        found = app_sections(document, app, kind)
        if len(found) == 1 and (path, found[0]) not in above:
            return self._of_section(other, found[0], kind, shared, above)
        problem = f"[{found[0]}] of {path} leads back to itself: break the circle" if len(found) == 1 else ""
        problem = (
            problem
            or f"{path} has {len(found) or 'no'} {'sections' if found else 'section'} [{kind}:{app}]: correct the name, or leave one"
        )
        self._complain(source, section, option, problem)
        return None

    # and then makes it.

    def _make(self, context: _Context | None, filters: tuple[Application, ...]) -> None:
        """Make what a context stands for; what comes of it are the applications in it."""
        if context is None:
            return
        if context.inner or context.filters:
            around = tuple(made for one in context.filters for made in self._around(one))
            self._make(context.inner, (*filters, *around))
            return
        names = self._leads_to(context)
        for option, setting in names:
            section = setting.place.section if setting.place.path == context.source.path else context.section
            made = self._named(context.source, section, option, setting.value, "app", context.shared, context.above)
            self._make(made, filters)
        if not names:
            self.applications.append(self._made(context, filters))

    def _around(self, context: _Context | None) -> Iterator[Application]:
        """The filters that a context stands for, the outermost first: a filter may have filters too."""
        if context and (context.inner or context.filters):
            for one in (*context.filters, context.inner):
                yield from self._around(one)
        elif context:
            yield self._made(context)

    @staticmethod
    def _leads_to(context: _Context) -> list[tuple[str, Setting]]:
        """The options that name the applications between which a factory of Paste chooses; none for any other factory."""
        if _URLMAP.fullmatch(context.factory):
            place = Place(context.source.path, DEFAULT, 0)
            found = {_NOT_FOUND: Setting(context.shared.get(_NOT_FOUND, ""), place), **context.local}
            return [(option, setting) for option, setting in found.items() if option != _NOT_FOUND or setting.value]
        if _CASCADE.fullmatch(context.factory):
            return [(option, setting) for option, setting in context.local.items() if option != "catch"]
        return []

    @staticmethod
    def _made(context: _Context, filters: tuple[Application, ...] = ()) -> Application:
        """What the factory of a context gets."""
        return Application(
            context.section,
            context.factory,
            {name: setting.value for name, setting in context.local.items()},
            context.shared,
            {name: setting.place for name, setting in context.local.items()},
            context.unreadable,
            filters,
        )


def load_section(document: Document, path: str, section: str, read: Reader | None = None) -> Application:
    """What Paste Deploy makes of one section; an empty application where there is no such section."""
    kind = KINDS.get(section.partition(":")[0], "")
    is_there = any(one.name == section for one in document.sections)
    return (
        Loading(document, path, kind=kind, read=read, section=section).application
        if kind and is_there
        else Application()
    )
