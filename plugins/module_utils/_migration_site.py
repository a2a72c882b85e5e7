# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say in the inputs of the role nginx_proxy what the sites of nginx do that lead to the application, and name what the role does not do."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _migration_directives as directives
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _migration_login as login
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _migration_snippets as snippets
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _nginx_config as nginx
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_plan import (
    CARRIED,
    NOT_NEEDED,
    NOTE,
    PROBLEM,
    Entry,
    Host,
    Leftover,
    Plan,
    Socket,
)
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._nginx_config import Directive

_REDIRECTS = {"301", "302", "303", "307", "308", "permanent", "redirect"}
_SIZE = re.compile(r"[0-9]+[kKmMgG]?")
_NAME = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
_LISTEN_OPTIONS = re.compile(
    r"ssl|default(_server)?|http2|spdy|quic|reuseport|deferred|bind|ipv6only=\w+|backlog=\d+|rcvbuf=\w+|sndbuf=\w+|so_keepalive=.*|fastopen=\d+"
)
_NAMES, _PROXIES = "nginx_proxy_server_names", "nginx_proxy_trusted_proxies"
_EVERYWHERE = ("", "*", "0.0.0.0", "[::]")
_READ_TIMEOUT = 600  # the role's
_IN_SNIPPETS = "carried over by the snippets of nginx_proxy that the inventory sets"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


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


@dataclass
class _Sites:
    """What is known while the sites are read."""

    made: Plan
    host: Host
    sockets: Sequence[Socket]
    top: Directive
    upstreams: dict[str, Directive] = field(default_factory=dict)
    # What the inventory's snippets say already.
    snippets: snippets.Snippets = field(default_factory=snippets.Snippets)

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

    def others(self, way: Sequence[Directive]) -> list[Directive]:
        """The locations of a server whose requests do not go to the application, and that clients can reach."""
        server = [number for number, block in enumerate(way) if block.name == "server"]
        return [
            location
            for number in server
            for location in way[number].children("location")
            if not location.children("return") and not any(one.name == "internal" for one in location.block or ())
            if not self.leads_to_us([*way[: number + 1], location])
        ]

    def is_carried(self, way: Sequence[Directive], directive: Directive) -> bool:
        """Whether the snippets of the inventory say what a directive at the end of a way says."""
        return self.snippets.has(way, directive, self.leads_to_us(way), self.others(way))

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
        if not found:
            left = self.snippets.without(directive, self.others(way))
            if left and ((), str(directive)) in self.snippets.location:
                return f"nginx_proxy_location_snippet does not hold for the {left[0]}: {directives.TO_SITE}"
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


def read_sites(made: Plan, host: Host, sockets: Sequence[Socket]) -> None:
    """Find the sites that lead to the application, and say what becomes of each of their directives."""
    read = nginx.configuration(host.nginx, host.nginx_roots or sorted(host.nginx), host.nginx_directory)
    host = dataclasses.replace(host, leave_behind=_with_blocks(host.leave_behind, read.top))
    made.problems += read.problems
    sites = _Sites(made, host, sockets, read.top)
    sites.upstreams = {group.words[1]: group for group in read.top.find("upstream") if len(group.words) > 1}
    sites.snippets = snippets.read(host)
    outers = [block for block in read.top.block or () if block.name == "http"] or [read.top]
    servers = [(outer, server) for outer in outers for server in outer.find("server") if server.block is not None]
    ours, unknown = [], []
    for outer, server in servers:
        ways = list(sites.passes(server))
        if any(is_ours for _way, is_ours, _known in ways):
            ours.append((outer, server))
        unknown += [way[-1] for way, _is_ours, known in ways if not known]
    for stream in read.top.find("stream"):
        for way in stream.ways("proxy_pass"):
            if any(sites.is_ours(target) for target in sites.targets(way)):
                sites.add(
                    way[-1],
                    PROBLEM,
                    "nginx passes connections, not requests, to the application here: remove this server, or serve its clients by the site",
                )
    if not ours and host.nginx:
        _complain_of_no_site(sites, unknown)
    _read_files(sites, ours, [server for _outer, server in servers])


def _with_blocks(places: Sequence[str], top: Directive) -> list[str]:
    """The places that are left behind, with those of all lines in the locations that are."""
    blocks = [block for block in top.find("location") if block.place in places]
    return [*places, *(one.place for block in blocks for one in directives.inside(block) if one.path == block.path)]


def _complain_of_no_site(sites: _Sites, unknown: Sequence[Directive]) -> None:
    for directive in unknown:
        sites.add(
            directive,
            PROBLEM,
            "nothing tells where these requests go, and no site of nginx is known to lead to the application: write the address here",
        )
    if sites.host.nginx_runs and not unknown:
        root = next(iter(sites.host.nginx_roots), "") or next(iter(sites.host.nginx))
        ports = ", ".join(map(str, sites.made.ports)) or "the application"
        message = f"nginx runs, and no site passes requests to {ports}: write the application's address as proxy_pass of its site"
        sites.made.add(
            sites.host,
            Entry(
                root,
                0,
                "nginx",
                PROBLEM,
                f"{message}; if clients come to the application without nginx, leave this line behind",
            ),
        )


def _read_files(sites: _Sites, ours: Sequence[tuple[Directive, Directive]], servers: Sequence[Directive]) -> None:
    names: list[str] = []
    for path in dict.fromkeys(server.path for _outer, server in ours):
        mine = [(outer, server) for outer, server in ours if server.path == path]
        # A block that only sends visitors on, as to https, goes along with the one that it sends them to.
        here = [server for server in servers if server.path == path]
        others = [
            server
            for server in here
            if server not in [server for _outer, server in mine] and not _only_redirects(server)
        ]
        if not _can_be_removed(sites, path, others, mine[0][1]):
            continue
        sites.made.sites.append(path)
        action = "taken out of nginx, and replaced by the site of the role"
        sites.made.leftovers.append(Leftover(path, mine[0][1].line, "site", posixpath.basename(path), action))
        outer = mine[0][0]
        for server in here:
            redirects = server not in [server for _outer, server in mine]
            for directive in server.children("server_name"):
                names += [name for name in _server_names(sites, directive) if name not in names]
            _read_listen(sites, server)
            _read_server(sites, outer, server, redirects)
        _read_redirect(sites, [server for _outer, server in mine])
        ways = [[outer, *way] for outer, server in mine for way, is_ours, _known in sites.passes(server) if is_ours]
        login.read_login(
            sites.made, sites.host, mine[0], [way[:-1] for way in ways], sites.snippets, sites.others(mine[0])
        )
        _read_guards(sites, mine)
        _read_definitions(sites, path, here, [server for server in servers if server.path != path])
    if names:
        sites.made.inputs["nginx_proxy_server_names"] = names


def _can_be_removed(sites: _Sites, path: str, others: Sequence[Directive], site: Directive) -> bool:
    """Whether a file has nothing but the site, or else say what to do."""
    if others:
        sites.made.problems.append(
            f"{path}:{others[0].line}: the file has a site of something else too: move that into a file of its own, then run this again"
        )
        return False
    top = sites.top.block or ()
    if any(block.path == path and block.name in ("http", "events", "stream", "mail") for block in top):
        message = "the site stands in nginx's main file, which has to stay: move this block server into a file of its own in /etc/nginx/sites-enabled"
        sites.made.problems.append(f"{path}:{site.line}: {message}, then run this again")
        return False
    return True


def _only_redirects(server: Directive) -> bool:
    sends_on = any(_REDIRECTS & set(directive.arguments) for directive in server.find("return", "rewrite"))
    return sends_on and not list(server.find(*directives.PASSES))


def _read_definitions(sites: _Sites, path: str, own: Sequence[Directive], others: Sequence[Directive]) -> None:
    """What the file of a site defines for all sites: another site may use it, and so may the lines that are to stand in the snippets."""
    words = {word for server in others for directive in directives.inside(server) for word in directive.arguments}
    moved = {(entry.path, entry.line) for entry in sites.made.entries if entry.verdict == PROBLEM}
    kept = set(sites.snippets.words)
    for server in own:
        kept |= {word for one in directives.inside(server) if (one.path, one.line) in moved for word in one.words}
    outer = [block for block in sites.top.block or () if block.name == "http"] or [sites.top]
    for directive in (inner for block in outer for inner in block.block or ()):
        if directive.path != path or directive.name == "server":
            continue
        defined = {
            re.sub(r"^zone=|:.*", "", word)
            for word in directive.arguments
            if word.startswith(("$", "zone=", "keys_zone="))
        }
        defined |= (
            set(directive.arguments[:1]) if directive.name in ("upstream", "log_format", "proxy_cache_path") else set()
        )
        used = _used(defined, words)
        needed = _used(defined, kept)
        if sites.is_carried([outer[0]], directive):
            sites.add(directive, CARRIED, _IN_SNIPPETS)
        elif needed and not used:
            sites.add(
                directive,
                PROBLEM,
                f"the lines for the snippets of nginx_proxy need {needed[0]}: move this line into a file of its own in /etc/nginx/conf.d",
            )
        elif used:
            sites.add(
                directive,
                PROBLEM,
                f"another site uses {used[0]}: move this into a file of its own in /etc/nginx/conf.d",
            )
        elif defined or directive.name == "upstream":
            servers = directive.children("server") if directive.name == "upstream" else []
            for server in servers:
                if not sites.is_ours(server.words[1]) and any(sites.is_ours(one.words[1]) for one in servers):
                    sites.add(
                        server,
                        PROBLEM,
                        "requests go to another application or machine too: remove this server, or see docs/several-servers.md",
                    )
            sites.add(directive, NOT_NEEDED, "only the old site uses this")
        else:
            verdict, text = directives.verdict(directive, directives.TO_SITE)
            sites.add(directive, verdict if verdict == PROBLEM else NOTE, f"holds for all sites of the host: {text}")


def _used(names: Collection[str], words: Iterable[str]) -> list[str]:
    """Those of the names that stand in one of the words."""
    return [
        name for name in sorted(names) if any(name and re.search(rf"{re.escape(name)}(?!\w)", word) for word in words)
    ]


# The block server


def _server_names(sites: _Sites, directive: Directive) -> Iterator[str]:
    for name in directive.arguments:
        if name in ("", "_", "localhost"):
            continue
        short = name[1:] if name.startswith(".") else name
        if not _NAME.fullmatch(short):
            sites.add(
                directive,
                PROBLEM,
                f"the role takes host names, not {name!r}: write the names of the site into nginx_proxy_server_names",
                _NAMES,
            )
            continue
        yield short
        if short != name:
            yield f"*.{short}"
    sites.add(directive, CARRIED, "carried over to nginx_proxy_server_names")


def _read_listen(sites: _Sites, server: Directive) -> None:
    tls = any(directive.arguments == ["on"] for directive in server.children("ssl"))
    for directive in server.children("listen"):
        found = address(directive.words[1])
        option = "nginx_proxy_ssl_port" if tls or {"ssl", "quic"} & set(directive.words) else "nginx_proxy_port"
        foreign = [word for word in directive.words[2:] if not _LISTEN_OPTIONS.fullmatch(word)]
        if not found.port:
            sites.add(
                directive,
                PROBLEM,
                "the role listens on TCP ports only: write this socket into nginx_proxy_server_snippet (listen ...;)",
            )
            continue
        if found.host not in _EVERYWHERE and found.host != "[::0]":
            sites.add(
                directive,
                PROBLEM,
                f"the role listens on all addresses, so clients that do not reach {found.host} would reach the site",
            )
        if foreign:
            sites.add(
                directive, PROBLEM, f"the role does not listen with {' '.join(foreign)}, which its clients may rely on"
            )
        earlier = sites.made.inputs.get(option, found.port)
        if earlier != found.port:
            sites.add(
                directive,
                PROBLEM,
                f"the role listens on one port of a kind, {earlier}: write 'listen {found.port};' into nginx_proxy_server_snippet",
            )
            continue
        if {"default_server", "default"} & set(directive.words):
            sites.made.inputs["nginx_proxy_default_server"] = True
        sites.carry(directive, option, found.port)


def _read_redirect(sites: _Sites, servers: Sequence[Directive]) -> None:
    """Whether visitors without TLS are served, where there is TLS: by default, the role sends them on."""
    with_tls = {
        bool(on or {"ssl", "quic"} & set(directive.words))
        for server in servers
        if not any(_to_https(block) for block in server.children("if"))
        for on in [any(one.arguments == ["on"] for one in server.children("ssl"))]
        for directive in server.children("listen")
    }
    if with_tls == {True, False}:
        sites.made.inputs["nginx_proxy_ssl_redirect"] = False


def _read_server(sites: _Sites, outer: Directive, server: Directive, redirects: bool) -> None:
    """Each directive of a server; what guards is read later, together with who logs in."""
    if not redirects:
        # A value for all sites holds where the server has none of its own.
        main = [location for location in server.children("location") if sites.is_main([outer, server, location])]
        for name, read in _VALUES.items():
            for directive in nginx.inherited([outer, server, *main[:1]], name):
                read(sites, directive)
        limits = [
            directive
            for directive in outer.block or ()
            if directives.is_guard(directive) and directive.path not in sites.made.sites
        ]
        for directive in limits:
            sites.add(directive, NOT_NEEDED, "stays where it is, and holds for the site of the role too")
    for directive in server.block or ():
        _read_directive(sites, [outer, server], directive, redirects)


def _read_directive(sites: _Sites, way: Sequence[Directive], directive: Directive, redirects: bool = False) -> None:
    name = directive.name
    if name in ("listen", "server_name"):
        return
    if sites.is_carried(way, directive):
        sites.add(directive, CARRIED, _IN_SNIPPETS)
    elif name == "location":
        _read_location(sites, way, directive, redirects)
    elif name == "if" and _to_https(directive):
        sites.add(directive, NOT_NEEDED, "with TLS, the role sends all visitors to https (nginx_proxy_ssl_redirect)")
    elif name in ("return", "rewrite") and redirects and _REDIRECTS & set(directive.arguments):
        sites.add(
            directive,
            NOT_NEEDED,
            "the role answers to all names of the site itself, and with TLS sends all visitors to https",
        )
    elif name == "if" and directive.block is not None:
        sites.add(
            directive,
            PROBLEM,
            "no input of the roles makes this difference: write the block into nginx_proxy_server_snippet",
        )
    elif name in _VALUES and not redirects and (len(way) == 2 or sites.is_main(way)):
        # Read by _read_server(), unless the location of the application has its own.
        if not any(
            (entry.path, entry.line, entry.name) == (directive.path, directive.line, directives.shown(directive))
            for entry in sites.made.entries
        ):
            sites.add(directive, NOT_NEEDED, "the location of the application has a value of its own")
    elif name == "ssl":
        sites.add(directive, NOT_NEEDED, "the role listens with TLS where there is a certificate")
    elif name in directives.PASSES:
        _read_pass(sites, [*way, directive])
    elif name == "set":
        sites.add(directive, NOT_NEEDED, "the value is used for the old site only")
    elif not (
        directives.is_guard(directive)
        or login.asks_for_password(directive)
        or login.sets_user(directive, login.user_headers(sites.host))
    ):
        _read_other(sites, way, directive)


def _read_other(sites: _Sites, way: Sequence[Directive], directive: Directive) -> None:
    shown = directives.shown(directive)
    if directive.name in _VALUES and any(
        (entry.path, entry.line, entry.name, entry.verdict) == (directive.path, directive.line, shown, CARRIED)
        for entry in sites.made.entries
    ):
        return  # In a file that other locations include too.
    if directive.name in _VALUES:
        sites.add(
            directive,
            NOTE,
            f"the role has one value for the whole site ({_INPUTS.get(directive.name, f'nginx_proxy_{directive.name}')}), not one for {way[-1]}",
        )
        return
    verdict, text = directives.verdict(directive, sites.remedy(way, directive))
    if (
        verdict == NOT_NEEDED
        and any(nginx.variables(word) for word in directive.arguments)
        and directive.name in ("root", "alias")
    ):
        verdict, text = NOTE, f"{text}; only nginx knows the value of its variables"
    sites.add(directive, verdict, text)


def _to_https(block: Directive) -> bool:
    inner = block.block or []
    return bool(inner) and all(
        directive.name in ("return", "rewrite")
        and any("https://" in word for word in directive.arguments)
        and _REDIRECTS & set(directive.arguments)
        for directive in inner
    )


def _read_guards(sites: _Sites, servers: Sequence[tuple[Directive, Directive]]) -> None:
    """What guards a part of these servers, or says who the user is, and has no successor yet."""
    settled = {(entry.path, entry.line, entry.name) for entry in sites.made.entries}
    named = {(entry.path, entry.line) for entry in sites.made.entries if not entry.name}
    headers = login.user_headers(sites.host)
    for way, directive in (found for outer, server in servers for found in snippets.walk(server, [outer])):
        place = (directive.path, directive.line)
        if (*place, directives.shown(directive)) in settled or sites.is_carried(way, directive):
            continue
        if login.sets_user(directive, headers):
            if place not in named:
                sites.add(directive, NOT_NEEDED, "no request to the application gets this header")
        elif login.asks_for_password(directive):
            if place not in named:
                sites.add(directive, *_login_of_others(sites, way, directive))
        elif directives.is_guard(directive):
            sites.add(directive, *directives.verdict(directive, sites.remedy(way, directive)))


def _login_of_others(sites: _Sites, way: Sequence[Directive], directive: Directive) -> tuple[str, str]:
    """What becomes of a line about passwords that is not one for the application."""
    opens = directive.words in (["auth_basic", "off"], ["satisfy", "all"]) and not sites.leads_to_us(way)
    asks = snippets.SERVER in sites.made.inputs or any(
        text.startswith("auth_basic ") for place, text in sites.snippets.server if not place
    )
    if opens and not asks:
        return NOT_NEEDED, "the role asks for no password here"
    return directives.verdict(directive, sites.remedy(way, directive))


# Locations


def _read_location(sites: _Sites, way: Sequence[Directive], location: Directive, redirects: bool) -> None:
    inner = [way[0], *way[1:], location]
    ways = [[*way, *rest] for rest in location.ways(*directives.PASSES)]
    own = [one for one in ways if len(one) == len(inner) + 1]
    path = location.words[-1] if len(location.words) > 1 else ""
    if location.place in sites.host.leave_behind:
        sites.add(location, PROBLEM, "left behind with all its lines")
    elif own:
        if any(sites.is_ours(target) for target in sites.targets(own[0])):
            sites.add(location, NOT_NEEDED, "the site of the role passes all requests to the application")
    elif redirects and not ways:
        sites.add(location, NOT_NEEDED, "goes with the server that sends visitors on")
    elif not ways:
        sites.add(location, *_static_location(sites, way, location, path))
    for directive in location.block or ():
        _read_directive(sites, inner, directive, redirects)


def _static_location(sites: _Sites, way: Sequence[Directive], location: Directive, path: str) -> tuple[str, str]:
    """A location that nginx answers itself."""
    prefix = str(sites.made.inputs.get("nginx_proxy_prefix", ""))
    base = str(sites.made.inputs.get("nginx_proxy_x_accel_base", ""))
    below = path[len(prefix) :] if prefix and path.startswith(f"{prefix}/") else path
    if any(directive.name == "internal" for directive in location.block or ()):
        if base and path.rstrip("/") == base:
            return NOT_NEEDED, "the role has the same location for the directories of nginx_proxy_x_accel_dirs"
        return (
            PROBLEM,
            "the application may hand files to this location, and the role does not have it: write it into nginx_proxy_server_snippet",
        )
    sent = [*location.children("alias"), *nginx.inherited([*way, location], "root")][:1]
    directory = sent[0].words[1] if sent else ""
    if below.startswith("/.well-known/acme-challenge") and sent:
        root = directory.rstrip("/")
        if sent[0].name == "alias":
            root = re.sub(r"/\.well-known/acme-challenge$", "", root)
        if not nginx.variables(root):
            sites.made.inputs["nginx_proxy_acme_root"] = root
            return CARRIED, "carried over to nginx_proxy_acme_root"
    own = posixpath.join(sites.host.server_dir, "static")
    matched = re.sub(r"[\^$\\?()]|\.\*", "", below)
    if matched.rstrip("/") in ("/static", "/favicon.ico", "/robots.txt") or matched.startswith("/static/"):
        return _static_dir(sites, matched, sent, directory, own)
    if any(directives.is_guard(directive) for directive in location.block or ()):
        return (
            PROBLEM,
            "no input of the roles keeps clients from this path: write the location into nginx_proxy_server_snippet",
        )
    return (
        PROBLEM,
        "the application would get these requests: write the location into nginx_proxy_server_snippet, if they are not for the application",
    )


def _static_dir(sites: _Sites, path: str, sent: Sequence[Directive], directory: str, own: str) -> tuple[str, str]:
    if not sent:
        return NOT_NEEDED, "the role serves the static files of nginx_proxy_static_dir"
    known = f"{directory.rstrip('/')}{path.rstrip('/') if sent[0].name == 'root' else ''}"
    if nginx.variables(known):
        return (
            NOTE,
            f"only nginx knows what {directory} is: set nginx_proxy_static_dir to the directory with the static files",
        )
    if path.rstrip("/") == "/static":
        sites.made.inputs["nginx_proxy_static_dir"] = known
        return CARRIED, "carried over to nginx_proxy_static_dir"
    static = str(sites.made.inputs.get("nginx_proxy_static_dir", own))
    if known.startswith(f"{static}/") or known == static or static == own:
        return NOT_NEEDED, "the role serves the static files of nginx_proxy_static_dir"
    return NOTE, f"the role looks for this path in {static} (nginx_proxy_static_dir)"


def _read_pass(sites: _Sites, way: Sequence[Directive]) -> None:
    """A directive that passes requests on: to the application, to somebody else, or nobody knows whom to."""
    directive = way[-1]
    where = way[-2]
    targets = sites.targets(way)
    unknown = [name for target in targets for name in nginx.variables(target.partition("/")[0])]
    if unknown:
        sites.add(
            directive,
            PROBLEM,
            f"nothing tells what {unknown[0]} is, so nothing tells who serves these requests: write the address here",
        )
    elif not any(sites.is_ours(target) for target in targets):
        place = f"the {where.name} {' '.join(where.arguments)}".rstrip()
        sites.add(
            directive, PROBLEM, f"{place} leads to something else: write the location into nginx_proxy_server_snippet"
        )
    else:
        _read_own_pass(sites, way[:-1], directive, targets)


def _read_own_pass(sites: _Sites, way: Sequence[Directive], directive: Directive, targets: Sequence[str]) -> None:
    where = way[-1]
    path = where.words[-1].rstrip("/") if where.name == "location" and len(where.words) > 1 else ""
    ends = {
        target.partition("/")[2].rstrip("/") for target in targets if "/" in target and not target.startswith("unix:")
    }
    prefix = str(sites.made.inputs.get("nginx_proxy_prefix", "")).strip("/")
    wrong = [end for end in ends if end not in (path.strip("/"), prefix) and not nginx.variables(end)]
    if ends and not wrong and prefix != path.strip("/") and path:
        wrong = [end for end in ends if end != path.strip("/")]
    if wrong:
        text = f"the application gets the path /{wrong[0]} for {path or '/'} here, and from the role the path as it is"
        if sites.is_main(way):
            sites.add(directive, PROBLEM, f"{text}: set nginx_proxy_prefix", "nginx_proxy_prefix")
        else:
            sites.add(directive, PROBLEM, f"{text}: {sites.remedy(way, directive)}")
    else:
        sites.add(directive, NOT_NEEDED, "the role passes requests to uWSGI (nginx_proxy_upstream)")


# Values of the whole site


def _file(sites: _Sites, directive: Directive) -> None:
    option = f"nginx_proxy_{directive.name}"
    value = directive.words[1]
    if sites.made.inputs.get(option, value) != value:
        message = f"the role has one of a kind, {sites.made.inputs[option]}: use one certificate for all names, or give the other site an instance of its own"
        sites.add(directive, PROBLEM, message, option)
        return
    sites.carry(directive, option, value)
    if nginx.variables(value):
        unknown = ", ".join(nginx.variables(value))
        sites.add(directive, NOTE, f"only nginx knows {unknown}, and the role takes one file: set {option} to its path")


def _body_size(sites: _Sites, directive: Directive) -> None:
    if _SIZE.fullmatch(directive.words[1]):
        sites.carry(directive, "nginx_proxy_client_max_body_size", directive.words[1])


def _timeout(sites: _Sites, directive: Directive) -> None:
    parts = re.findall(r"(\d+)([smhd]?)", directive.words[1])
    seconds = sum(int(number) * _UNITS[unit] for number, unit in parts)
    if seconds > max(_READ_TIMEOUT, int(sites.made.inputs.get("nginx_proxy_read_timeout", 0))):
        sites.carry(directive, "nginx_proxy_read_timeout", seconds)
    else:
        sites.add(directive, NOT_NEEDED, "nginx_proxy_read_timeout is as long, or longer")


def _real_ip(sites: _Sites, directive: Directive) -> None:
    if directive.words[1] == "unix:":
        sites.add(
            directive,
            PROBLEM,
            "the role listens on no unix socket, so it has no such proxy: set nginx_proxy_trusted_proxies",
            _PROXIES,
        )
        return
    proxies = sites.made.inputs.setdefault("nginx_proxy_trusted_proxies", [])
    if directive.words[1] not in proxies:
        proxies.append(directive.words[1])
    sites.add(directive, CARRIED, "carried over to nginx_proxy_trusted_proxies")


def _real_ip_header(sites: _Sites, directive: Directive) -> None:
    if directive.words[1].lower() == "x-forwarded-for":
        sites.add(directive, NOT_NEEDED, "the role reads this header from nginx_proxy_trusted_proxies")
    else:
        message = f"the role takes the address of the client from X-Forwarded-For: have the proxy in front of nginx send that header, and set {_PROXIES}"
        sites.add(directive, PROBLEM, message, _PROXIES)


def _gzip(sites: _Sites, directive: Directive) -> None:
    if directive.words[1] == "off":
        sites.carry(directive, "nginx_proxy_gzip", False)
    else:
        sites.add(directive, NOT_NEEDED, "the role compresses text by itself (nginx_proxy_gzip)")


def _client_certificate(sites: _Sites, directive: Directive) -> None:
    sites.carry(directive, "nginx_proxy_ssl_client_certificate", directive.words[1])


def _verify_client(sites: _Sites, directive: Directive) -> None:
    found: Optional[str] = directive.words[1]
    if found == "off":
        sites.add(directive, NOT_NEEDED, "clients need no certificate")
    elif found == "optional":
        sites.add(directive, CARRIED, "carried over by nginx_proxy_ssl_client_certificate")
    else:
        sites.add(directive, *directives.verdict(directive, directives.TO_SITE))


# The inputs that are not called as the directive.
_INPUTS = {
    "proxy_read_timeout": "nginx_proxy_read_timeout",
    "uwsgi_read_timeout": "nginx_proxy_read_timeout",
    "set_real_ip_from": _PROXIES,
    "real_ip_header": _PROXIES,
    "ssl_verify_client": "nginx_proxy_ssl_client_certificate",
}
_VALUES = {
    "ssl_certificate": _file,
    "ssl_certificate_key": _file,
    "client_max_body_size": _body_size,
    "proxy_read_timeout": _timeout,
    "uwsgi_read_timeout": _timeout,
    "set_real_ip_from": _real_ip,
    "real_ip_header": _real_ip_header,
    "gzip": _gzip,
    "ssl_client_certificate": _client_certificate,
    "ssl_verify_client": _verify_client,
}
