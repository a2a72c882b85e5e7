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

LOCATION, SERVER = "nginx_proxy_location_snippet", "nginx_proxy_server_snippet"

# The blocks around a directive, without those that every site has.
Place = tuple[str, ...]


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

    location: set[tuple[Place, str]] = field(default_factory=set)
    server: set[tuple[Place, str]] = field(default_factory=set)

    @property
    def words(self) -> set[str]:
        """Every word of them."""
        return {word for _place, text in (*self.location, *self.server) for word in text.split()}

    def locations(self) -> list[str]:
        """The paths of the locations that stand in the snippet of the server."""
        return [text.split()[-1] for place, text in self.server if not place and text.startswith("location ")]

    def has(self, way: Sequence[Directive], directive: Directive, is_ours: bool, others: Iterable[Directive]) -> bool:
        """Whether a directive at the end of a way holds as before.

        I(is_ours) says that the requests in its block go to the application, and I(others) are the locations whose requests do not.
        """
        place, rest, in_location = (
            place_of(way),
            place_of(_behind_locations(way)),
            place_of(way) != place_of(_behind_locations(way)),
        )
        for text in _spellings(directive):
            if (place, text) in self.server or (is_ours and in_location and (rest, text) in self.server):
                return True
            if (rest, text) in self.location and (is_ours if in_location else not self.without(directive, others)):
                return True
        return False

    def without(self, directive: Directive, others: Iterable[Directive]) -> list[Directive]:
        """The locations that have got a directive from the server around them, and would be left without it."""
        text = str(directive)
        return [
            location
            for location in others
            if not location.children(*_family(directive)) and not {((), text), ((str(location),), text)} & self.server
        ]


def read(host: Host) -> Snippets:
    """The snippets that the inventory sets."""
    return Snippets(_lines(host, LOCATION), _lines(host, SERVER))


def _lines(host: Host, name: str) -> set[tuple[Place, str]]:
    try:
        top = nginx.parse(f"{host.known.get(name) or ''}\n")
    except nginx.NginxConfigError:
        return set()
    return {(place_of(way), str(directive)) for way, directive in walk(top)}


def _behind_locations(way: Sequence[Directive]) -> Sequence[Directive]:
    """The blocks of a way in its innermost location."""
    return way[max((number for number, block in enumerate(way, 1) if block.name == "location"), default=0) :]


def _spellings(directive: Directive) -> list[str]:
    """A directive as the snippets may have it: the header of a request by HTTP is a parameter of uwsgi there."""
    if directive.name == "proxy_set_header" and len(directive.words) > 2:
        return [str(directive), str(Directive(["uwsgi_param", environ_name(directive), *directive.words[2:]], 0))]
    return [str(directive)]


def _family(directive: Directive) -> tuple[str, ...]:
    """The directives one of which in a block is enough for none of these to be inherited."""
    return ("allow", "deny") if directive.name in ("allow", "deny") else (directive.name,)
