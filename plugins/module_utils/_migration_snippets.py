# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory says already in the snippets of nginx_proxy: a line counts where it stands, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _nginx_config as nginx
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_directives import environ_name
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_plan import Host
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._nginx_config import Directive

CARRIED_OVER = "carried over by the snippets of nginx_proxy that the inventory sets"
LOCATION, SERVER = "nginx_proxy_location_snippet", "nginx_proxy_server_snippet"

# The blocks around a directive, without those that every site has.
Place = tuple[str, ...]
Lines = set[tuple[Place, str]]
# A location of a server, and whether its requests go to the application.
Heir = tuple[Directive, bool]
# What nginx does in the server and in a location, however much there is in the other.
_NOT_INHERITED = ("if", "return", "rewrite", "set", "break", "location", "listen", "server_name")


def place_of(way: Sequence[Directive]) -> Place:
    """The blocks of a server that a way leads into."""
    return tuple(str(block) for block in way if block.name not in ("", "http", "server"))


def walk(block: Directive, way: Sequence[Directive] = ()) -> Iterator[tuple[list[Directive], Directive]]:
    """Every directive inside, however deep, behind the blocks around it, the given one first."""
    inner = [*way, block]
    for directive in block.block or ():
        yield inner, directive
        yield from walk(directive, inner)


@dataclass(frozen=True)
class Snippets:
    """The lines of both snippets, each with the blocks around it."""

    location: Lines = field(default_factory=set)
    server: Lines = field(default_factory=set)

    @property
    def words(self) -> set[str]:
        """Every word of them."""
        return {word for _place, text in (*self.location, *self.server) for word in text.split()}

    def locations(self) -> list[str]:
        """The paths of the locations that stand in the snippet of the server."""
        return [text.split()[-1] for place, text in self.server if not place and text.startswith("location ")]

    def has(self, way: Sequence[Directive], directive: Directive, is_ours: bool, heirs: Sequence[Heir]) -> bool:
        """Whether a directive at the end of a way holds as before.

        I(is_ours) says that the requests in its block go to the application, and I(heirs) are the locations of its server.
        """
        blocks = [block for block in way if block.name not in ("", "http", "server")]
        depth = max((number for number, block in enumerate(blocks, 1) if block.name == "location"), default=0)
        location, rest = place_of(blocks[:depth]), place_of(blocks[depth:])
        if not depth:
            inherited = [(heir, ours) for heir, ours in heirs if _inherits(heir, directive)]
            if heirs and not inherited:
                # The locations have lines of their own in its place, and outside of them it holds.
                return self._any(self.server, rest, directive)
            own = [ours for _heir, ours in inherited if ours] or not heirs
            return (not own or self._in_application(rest, directive)) and not self.without(directive, inherited, rest)
        if (location[:-1], location[-1]) in self.server:
            return self._in_location(location, rest, directive)
        return is_ours and self._in_application(rest, directive)

    def without(self, directive: Directive, heirs: Iterable[Heir], rest: Place = ()) -> list[Directive]:
        """The locations that have got a directive from the server around them, and would be left without it."""
        return [
            heir
            for heir, is_ours in heirs
            if _inherits(heir, directive) and not self._in_heir(heir, is_ours, rest, directive)
        ]

    def in_application(self, directive: Directive) -> bool:
        """Whether a directive holds for all requests to the application that have no location of their own in the snippets."""
        return self._in_application((), directive)

    def _in_heir(self, heir: Directive, is_ours: bool, rest: Place, directive: Directive) -> bool:
        if ((), str(heir)) in self.server:
            return self._in_location((str(heir),), rest, directive)
        if is_ours:
            return self._in_application(rest, directive)
        # The role answers in a location that has nothing of its own, such as that of static files.
        return self._any(self.server, rest, directive)

    def _in_location(self, location: Place, rest: Place, directive: Directive) -> bool:
        """Whether a directive holds in a location of the snippet, where it may stand, or the server's may hold."""
        if self._any(self.server, (*location, *rest), directive):
            return True
        return not self._replaces(self.server, location, directive) and self._any(self.server, rest, directive)

    def _in_application(self, rest: Place, directive: Directive) -> bool:
        if self._any(self.location, rest, directive):
            return True
        return not self._replaces(self.location, (), directive) and self._any(self.server, rest, directive)

    @staticmethod
    def _any(lines: Lines, place: Place, directive: Directive) -> bool:
        return any((place, text) in lines for text in _spellings(directive))

    @staticmethod
    def _replaces(lines: Lines, place: Place, directive: Directive) -> bool:
        """Whether a block has lines of its own, with which it inherits none of this kind."""
        names = _family(directive)
        return any(where == place and text.split()[0] in names for where, text in lines)


def read(host: Host) -> Snippets:
    """The snippets that the inventory sets."""
    return Snippets(_lines(host, LOCATION), _lines(host, SERVER))


def _lines(host: Host, name: str) -> Lines:
    try:
        top = nginx.parse(f"{host.known.get(name) or ''}\n")
    except nginx.NginxConfigError:
        return set()
    return {(place_of(way), str(directive)) for way, directive in walk(top)}


def _spellings(directive: Directive) -> list[str]:
    """A directive as the snippets may have it: the header of a request by HTTP is a parameter of uwsgi there."""
    if directive.name == "proxy_set_header" and len(directive.words) > 2:
        return [str(directive), str(Directive(["uwsgi_param", environ_name(directive), *directive.words[2:]], 0))]
    return [str(directive)]


def _family(directive: Directive) -> tuple[str, ...]:
    """The directives one of which in a block is enough for none of these to be inherited."""
    if directive.name in ("allow", "deny"):
        return ("allow", "deny")
    if directive.name == "proxy_set_header":
        # The role writes no such line into its locations.
        return ("uwsgi_param", directive.name)
    return () if directive.name in _NOT_INHERITED else (directive.name,)


def is_replaced(directive: Directive, heirs: Iterable[Heir]) -> bool:
    """Whether each location has lines of its own in the place of a directive of the server."""
    return bool(_family(directive)) and not any(_inherits(heir, directive) for heir, _ours in heirs)


def _inherits(location: Directive, directive: Directive) -> bool:
    """Whether a directive of the server means something in a location."""
    if directive.name == "auth_basic_user_file" and any(
        one.words == ["auth_basic", "off"] for one in location.block or ()
    ):
        return False
    return not location.children(*_family(directive))
