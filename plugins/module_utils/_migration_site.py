# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say in the inputs of the role nginx_proxy what the sites of nginx do that lead to the application, and name what the role does not do."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Collection, Iterable, Sequence

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _migration_directives as directives
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _migration_login as login
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _migration_snippets as snippets
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _migration_values as values
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _nginx_config as nginx
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_locations import read_pass, static_location
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
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_reading import (
    Sites,
    is_everywhere,
    matches_all,
)
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._nginx_config import Directive

REPLACED = "each location has lines of its own in the place of this one, which holds for no request"
# Lines for all sites that only a proxy by HTTP has a use for, or that a line in the site of the role replaces.
_OF_THE_PROXY = re.compile(
    "proxy_(?:set_header|hide_header|cookie_.*|cache.*|no_cache|store.*|method|set_body|ssl_.*)|uwsgi_(?:param|hide_header|cache.*)|add_header"
)
_SCHEME = ("HTTP_X_FORWARDED_PROTO", "HTTP_X_URL_SCHEME", "UWSGI_SCHEME", "REQUEST_SCHEME", "HTTPS", "HTTP_HTTPS")
_FORWARDED = (*_SCHEME, "HTTP_HOST", "HTTP_X_FORWARDED_HOST")


def read_sites(made: Plan, host: Host, sockets: Sequence[Socket]) -> None:
    """Find the sites that lead to the application, and say what becomes of each of their directives."""
    read = nginx.configuration(host.nginx, host.nginx_roots or sorted(host.nginx), host.nginx_directory)
    host = dataclasses.replace(host, leave_behind=_with_blocks(host.leave_behind, read.top))
    made.problems += read.problems
    sites = Sites(made, host, sockets, read.top)
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
    sites.names = {name for _outer, server in ours for one in server.children("server_name") for name in one.arguments}
    if not ours and host.nginx:
        _complain_of_no_site(sites, unknown)
    _read_files(sites, ours, [server for _outer, server in servers])


def _with_blocks(places: Sequence[str], top: Directive) -> list[str]:
    """The places that are left behind, with those of all lines in the locations that are."""
    blocks = [block for block in top.find("location") if block.place in places]
    return [*places, *(one.place for block in blocks for one in directives.inside(block) if one.path == block.path)]


def _complain_of_no_site(sites: Sites, unknown: Sequence[Directive]) -> None:
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


def _read_files(sites: Sites, ours: Sequence[tuple[Directive, Directive]], servers: Sequence[Directive]) -> None:
    names: list[str] = []
    for path in dict.fromkeys(server.path for _outer, server in ours):
        mine = [(outer, server) for outer, server in ours if server.path == path]
        # A block that only sends visitors on, as to https, goes along with the one that it sends them to.
        here = [server for server in servers if server.path == path]
        others = [
            server
            for server in here
            if server not in [server for _outer, server in mine] and not _only_redirects(sites, server)
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
                names += [name for name in values.server_names(sites, directive) if name not in names]
            values.read_listen(sites, server)
            _read_server(sites, outer, server, redirects)
        values.read_redirect(sites, [server for _outer, server in mine])
        ways = [[outer, *way] for outer, server in mine for way, is_ours, _known in sites.passes(server) if is_ours]
        login.read_login(
            sites.made, sites.host, mine[0], [way[:-1] for way in ways], sites.snippets, sites.heirs(mine[0])
        )
        _read_guards(sites, mine)
        _read_variables(sites, mine)
        _read_definitions(sites, path, here, [server for server in servers if server.path != path])
    if names:
        sites.made.inputs["nginx_proxy_server_names"] = names


def _can_be_removed(sites: Sites, path: str, others: Sequence[Directive], site: Directive) -> bool:
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


def _only_redirects(sites: Sites, server: Directive) -> bool:
    """Whether a server sends all its visitors on to the site, and has nothing that it answers with itself."""
    places = [server, *server.find("location", "if")]
    found = [one for place in places for one in values.redirects(place)]
    if not found or list(server.find(*directives.PASSES)):
        return False
    ends = [server, *(place for place in server.children("location") if is_everywhere(place))]
    takes_all = any(
        one.name == "return" or matches_all(one.words[1])
        for place in ends
        for one in [*place.children("return"), *values.redirects(place)]
    )
    answers = [
        place
        for place in server.find("location")
        if not place.children("return")
        and not values.redirects(place)
        and not place.words[-1].startswith("/.well-known/acme-challenge")
        and not any(inner.words == ["deny", "all"] for inner in place.block or ())
    ]
    return takes_all and not answers and all(values.leads_home(sites, server, one) for one in found)


def _read_definitions(sites: Sites, path: str, own: Sequence[Directive], others: Sequence[Directive]) -> None:
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
            sites.add(directive, CARRIED, snippets.CARRIED_OVER)
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
            sites.add(directive, NOT_NEEDED, "only the old site uses this")
        else:
            verdict, text = directives.verdict(directive, directives.TO_SITE)
            sites.add(directive, verdict if verdict == PROBLEM else NOTE, f"holds for all sites of the host: {text}")


def _used(names: Collection[str], words: Iterable[str]) -> list[str]:
    """Those of the names that stand in one of the words."""
    return [
        name for name in sorted(names) if any(name and re.search(rf"{re.escape(name)}(?!\w)", word) for word in words)
    ]


def _read_server(sites: Sites, outer: Directive, server: Directive, redirects: bool) -> None:
    """Each directive of a server; what guards is read later, together with who logs in."""
    if not redirects:
        # A value for all sites holds where the server has none of its own.
        main = [location for location in server.children("location") if sites.is_main([outer, server, location])]
        for name, read in values.VALUES.items():
            for directive in nginx.inherited([outer, server, *main[:1]], name):
                read(sites, directive)
        limits = [
            directive
            for directive in outer.block or ()
            if directives.is_guard(directive) and directive.path not in sites.made.sites
        ]
        for directive in limits:
            sites.add(directive, NOT_NEEDED, "stays where it is, and holds for the site of the role too")
        _read_lines_of_the_proxy(sites, outer, server)
        _read_files_beside(sites, outer, server)
    for directive in server.block or ():
        _read_directive(sites, [outer, server], directive, redirects)


def _read_lines_of_the_proxy(sites: Sites, outer: Directive, server: Directive) -> None:
    """Lines for all sites that stay where they are, and mean nothing any more to a site that speaks the uwsgi protocol."""
    ways = [[outer, *way[:-1]] for way, is_ours, _known in sites.passes(server) if is_ours]
    for directive in outer.block or ():
        if (
            _OF_THE_PROXY.fullmatch(directive.name)
            and directive.path not in sites.made.sites
            and any(one is directive for way in ways for one in nginx.inherited(way, directive.name))
            and not login.sets_user(directive, login.user_headers(sites.host))
        ):
            if sites.is_carried([outer], directive):
                sites.add(directive, CARRIED, snippets.CARRIED_OVER)
            elif not _read_header(sites, server, directive):
                sites.add(directive, *directives.verdict(directive, directives.TO_SITE))


def _read_files_beside(sites: Sites, outer: Directive, server: Directive) -> None:
    """The files that nginx sends where no location is for a path."""
    found = nginx.inherited([outer, server], "root")
    if not found or any(is_everywhere(location) for location in server.children("location")):
        return
    if server.children("return") or "/" in sites.snippets.locations():
        return
    message = f"nginx sends files of {found[0].words[1]} for paths that no location is for: write a location / with this line into nginx_proxy_server_snippet"
    sites.add(found[0], PROBLEM, message)


def _read_directive(sites: Sites, way: Sequence[Directive], directive: Directive, redirects: bool = False) -> None:
    name = directive.name
    if name in ("listen", "server_name"):
        return
    if sites.is_replaced(way, directive):
        sites.add(directive, NOT_NEEDED, REPLACED)
    elif sites.is_carried(way, directive):
        sites.add(directive, CARRIED, snippets.CARRIED_OVER)
    elif name == "location":
        _read_location(sites, way, directive, redirects)
    elif name == "if" and values.to_https(sites, way[1], directive):
        sites.add(directive, NOT_NEEDED, "with TLS, the role sends all visitors to https (nginx_proxy_ssl_redirect)")
    elif name in ("return", "rewrite") and redirects and _is_the_roles(way, directive):
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
    elif name in values.VALUES and not redirects and (len(way) == 2 or sites.is_main(way)):
        # Read by _read_server(), unless the location of the application has its own.
        if not any(
            (entry.path, entry.line, entry.name) == (directive.path, directive.line, directives.shown(directive))
            for entry in sites.made.entries
        ):
            sites.add(directive, NOT_NEEDED, "the location of the application has a value of its own")
    elif name == "ssl":
        sites.add(directive, NOT_NEEDED, "the role listens with TLS where there is a certificate")
    elif name in directives.PASSES:
        read_pass(sites, [*way, directive])
    elif name == "set" and not directives.is_own_variable(directive):
        return  # Read by _read_variables().
    elif not (
        directives.is_guard(directive)
        or login.asks_for_password(directive)
        or login.sets_user(directive, login.user_headers(sites.host))
    ):
        _read_other(sites, way, directive)


def _is_the_roles(way: Sequence[Directive], redirect: Directive) -> bool:
    """Whether the role sends visitors on too: all of them, or those of one path to the same path."""
    if not directives.REDIRECTS & set(redirect.arguments):
        return False
    return way[-1].name != "location" or is_everywhere(way[-1]) or values.keeps_path(redirect)


def _read_header(sites: Sites, server: Directive, directive: Directive) -> bool:
    """What is said to the application of the address that clients have asked for, where the role cannot know; false for all else."""
    if directive.name not in ("proxy_set_header", "uwsgi_param") or len(directive.words) < 3:
        return False
    name, value = directives.environ_name(directive), directive.words[2]
    prefix = sites.made.inputs.get("nginx_proxy_prefix", "")
    tls = any({"ssl", "quic"} & set(one.words) for one in server.children("listen"))
    tls = tls or any(one.arguments == ["on"] for one in server.children("ssl"))
    if ("$http_x_forwarded_" in value and name in _FORWARDED) or (
        value in ("https", "on") and name in _SCHEME and not tls
    ):
        message = f"a proxy in front of nginx tells this: set {values.PROXIES} to its address, and have it send X-Forwarded-Proto and X-Forwarded-Host"
        if sites.made.inputs.get(values.PROXIES):
            sites.add(directive, NOT_NEEDED, "the role takes this from nginx_proxy_trusted_proxies")
        else:
            sites.add(directive, PROBLEM, message, values.PROXIES)
    elif name == "SCRIPT_NAME" and value not in ("", prefix):
        sites.add(
            directive,
            PROBLEM,
            f"the application lies below {value}: set nginx_proxy_prefix",
            "nginx_proxy_prefix",
        )
    elif name in ("HTTP_HOST", "HTTP_X_FORWARDED_HOST") and not nginx.variables(value):
        sites.add(
            directive,
            NOTE,
            "the application gets the name that clients ask for instead, if that is one of nginx_proxy_server_names",
        )
    else:
        return False
    return True


def _read_other(sites: Sites, way: Sequence[Directive], directive: Directive) -> None:
    if _read_header(sites, way[1], directive):
        return
    shown = directives.shown(directive)
    if directive.name in values.VALUES and any(
        (entry.path, entry.line, entry.name, entry.verdict) == (directive.path, directive.line, shown, CARRIED)
        for entry in sites.made.entries
    ):
        return  # In a file that other locations include too.
    if directive.name in values.VALUES:
        sites.add(
            directive,
            NOTE,
            f"the role has one value for the whole site ({values.INPUTS.get(directive.name, f'nginx_proxy_{directive.name}')}), not one for {way[-1]}",
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


def _read_guards(sites: Sites, servers: Sequence[tuple[Directive, Directive]]) -> None:
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


def _read_variables(sites: Sites, servers: Sequence[tuple[Directive, Directive]]) -> None:
    """The variables of a site: the lines that are to stand in the snippets may need them."""
    settled = {(entry.path, entry.line, entry.name) for entry in sites.made.entries}
    moved = {(entry.path, entry.line) for entry in sites.made.entries if entry.verdict == PROBLEM}
    found = [(way, one) for outer, server in servers for way, one in snippets.walk(server, [outer])]
    kept = {word for _way, one in found if (one.path, one.line) in moved for word in one.arguments}
    for _way, directive in found:
        place = (directive.path, directive.line, directives.shown(directive))
        if directive.name != "set" or len(directive.words) < 2 or place in settled:
            continue
        if _used([directive.words[1]], kept | sites.snippets.words):
            message = (
                f"the lines for the snippets of nginx_proxy need {directive.words[1]}: write this line beside them"
            )
            sites.add(directive, PROBLEM, message)
        else:
            sites.add(directive, NOT_NEEDED, "the value is used for the old site only")


def _login_of_others(sites: Sites, way: Sequence[Directive], directive: Directive) -> tuple[str, str]:
    """What becomes of a line about passwords that is not one for the application."""
    opens = directive.words in (["auth_basic", "off"], ["satisfy", "all"]) and not sites.leads_to_us(way)
    asks = snippets.SERVER in sites.made.inputs or any(
        text.startswith("auth_basic ") for place, text in sites.snippets.server if not place
    )
    if opens and not asks:
        return NOT_NEEDED, "the role asks for no password here"
    return directives.verdict(directive, sites.remedy(way, directive))


# Locations


def _read_location(sites: Sites, way: Sequence[Directive], location: Directive, redirects: bool) -> None:
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
        sites.add(location, *static_location(sites, way, location, path))
    for directive in location.block or ():
        _read_directive(sites, inner, directive, redirects)
