# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sites of nginx while they are read: which requests go to the application, and where a line of a site is to be written."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _migration_directives as directives
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _migration_snippets as snippets
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _nginx_config as nginx
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_plan import (
    CARRIED,
    PROBLEM,
    Entry,
    Host,
    Plan,
    Socket,
)
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_snippets import Heir
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._nginx_config import Directive


def address(text: str, default: int = 80) -> Socket:
    """A host and a port as nginx writes them, or the path of a unix socket."""
    if text.startswith("unix:"):
        return Socket(text[5:].partition(":")[0])
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(\d+))?", text)
    if not match:
        return Socket(text)
    if match.group(1).isdigit() and not match.group(2):
        return Socket("", int(match.group(1)))
    return Socket(match.group(1), int(match.group(2) or default))


def is_everywhere(location: Directive) -> bool:
    """Whether a location gets every request that no other location gets."""
    if location.words[1] not in ("~", "~*"):
        return location.words[1:] in (["/"], ["^~", "/"])
    return matches_all(location.words[-1])


def matches_all(pattern: str) -> bool:
    """Whether a regular expression takes every path."""
    with contextlib.suppress(re.error):
        return all(re.search(pattern, sample) for sample in ("/", "/a", "/a/b.c"))
    return False


@dataclass
class Sites:
    """What is known while the sites are read."""

    made: Plan
    host: Host
    sockets: Sequence[Socket]
    top: Directive
    upstreams: dict[str, Directive] = field(default_factory=dict)
    # What the inventory's snippets say already.
    snippets: snippets.Snippets = field(default_factory=snippets.Snippets)
    # The names of all servers that lead to the application.
    names: set[str] = field(default_factory=set)

    def add(self, directive: Directive, verdict: str, text: str, settled_by: str = "") -> None:
        """Take what becomes of a directive into the plan; an input that the inventory sets may settle a problem."""
        if verdict == PROBLEM and self.host.known.get(settled_by):
            verdict, text = CARRIED, f"the inventory sets {settled_by}"
        self.made.add(self.host, Entry(directive.path, directive.line, directives.shown(directive), verdict, text))

    def carry(self, directive: Directive, name: str, value: object) -> None:
        """Carry a directive over to an input."""
        self.made.inputs[name] = value
        self.add(directive, CARRIED, f"carried over to {name}")

    # Where requests go

    def targets(self, way: Sequence[Directive]) -> list[str]:
        """What a directive at the end of a way passes requests to: host and port, a socket, or a variable that nobody knows."""
        directive = way[-1]
        found = nginx.values(directive.words[1], way[:-1], self.top)
        return [re.sub(r"^(?:https?|grpcs?|uwsgi|suwsgi)://", "", value) for value in found]

    def is_ours(self, target: str, default: int = 80) -> bool:
        """Whether a target is the application: its host and its port, or a group of servers that is the application."""
        if target.startswith("unix:"):
            return address(target) in self.sockets
        name = target.partition("/")[0]
        upstream = self.upstreams.get(name)
        if upstream is not None:
            return any(self.is_ours(server.words[1]) for server in upstream.children("server"))
        found = address(name, default)
        return any(
            found.port == ours.port and ours.port and self._same_host(found.host, ours.host) for ours in self.sockets
        )

    def _same_host(self, asked: str, ours: str) -> bool:
        if asked.strip("[]") == ours.strip("[]"):
            return True
        return self.host.is_local(asked) and self.host.is_local(ours)

    def leads_to_us(self, way: Sequence[Directive]) -> bool:
        """Whether the requests in the innermost block of a way go to the application, as far as one place of a site decides that."""
        for number in range(len(way), 0, -1):
            if way[number - 1].name not in ("location", "if", "limit_except"):
                return False
            ends = [[*way[:number], one] for one in way[number - 1].children(*directives.PASSES)]
            ends = ends or [[*way[: number - 1], *rest] for rest in way[number - 1].ways(*directives.PASSES)]
            if ends:
                return all(any(self.is_ours(target) for target in self.targets(end)) for end in ends)
        return False

    def heirs(self, way: Sequence[Directive]) -> list[Heir]:
        """The locations of a server that clients can reach, and whether each leads to the application; one that is left behind will."""
        for number, block in enumerate(way):
            if block.name == "server":
                return [
                    (
                        location,
                        location.place in self.host.leave_behind or self.leads_to_us([*way[: number + 1], location]),
                    )
                    for location in block.children("location")
                    if not location.children("return")
                    and not any(one.name == "internal" for one in location.block or ())
                ]
        return []

    def is_replaced(self, way: Sequence[Directive], directive: Directive) -> bool:
        """Whether a directive of a server holds for no request, because each location has lines of its own in its place."""
        if any(block.name == "location" for block in way):
            return False
        heirs = self.heirs(way)
        return any(is_everywhere(heir) for heir, _ours in heirs) and snippets.is_replaced(directive, heirs)

    def is_carried(self, way: Sequence[Directive], directive: Directive) -> bool:
        """Whether the snippets of the inventory say what a directive at the end of a way says."""
        return self.snippets.has(way, directive, self.leads_to_us(way), self.heirs(way))

    def is_main(self, way: Sequence[Directive]) -> bool:
        """Whether a way leads into the location with all requests to the application, but for those with a location of their own."""
        prefix = str(self.made.inputs.get("nginx_proxy_prefix", ""))
        found = [block for block in way if block.name == "location"]
        if len(found) != 1 or not self.leads_to_us(way):
            return False
        if found[0].words[-1].rstrip("/") == prefix:
            return True
        server = next(block for block in way if block.name == "server")
        return [one for one in server.children("location") if self.leads_to_us([server, one])] == found

    def remedy(self, way: Sequence[Directive], directive: Directive) -> str:
        """Where a line at the end of a way is to be written."""
        found = [block for block in way if block.name == "location"]
        if way[-1].name in ("if", "limit_except"):
            return self.remedy(way[:-1], directive).replace(
                "write the line", f"write the block {way[-1]} with the line"
            )
        if not found:
            left = self.snippets.without(directive, self.heirs(way))
            if left and any((place, str(directive)) in self.snippets.location for place in [snippets.place_of(way)]):
                return f"nginx_proxy_location_snippet does not hold for the {left[0]}: {directives.TO_SITE}"
            if left and ((), str(directive)) in self.snippets.server:
                return f"lines of its kind in the snippets replace it for the {left[0]}: write the line beside them too"
            return directives.TO_SITE
        if self.is_main(way):
            return directives.TO_APPLICATION
        passes = ", with uwsgi_pass in it" if self.leads_to_us(way) else ""
        return f"write the {found[-1]} into nginx_proxy_server_snippet{passes}"

    def passes(self, server: Directive) -> Iterator[tuple[list[Directive], bool, bool]]:
        """Each way of a server to something that answers: whether that is the application, and whether it is known."""
        for way in server.ways(*directives.PASSES):
            targets = self.targets(way)
            known = not any(nginx.variables(target.partition("/")[0]) for target in targets)
            yield way, any(self.is_ours(target) for target in targets), known
