# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who logs people in on a site of nginx, and how the application gets to know who they are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy, _galaxy_options
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _migration_snippets as snippets
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_directives import environ_name, shown
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_plan import (
    CARRIED,
    NOTE,
    PROBLEM,
    Entry,
    Host,
    Plan,
)
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._nginx_config import Directive, inherited, quote

_SETS_HEADER = ("proxy_set_header", "uwsgi_param")
_USER_HEADERS = ("HTTP_REMOTE_USER", "REMOTE_USER")
_LOGIN = ("satisfy", "auth_basic", "auth_basic_user_file")


def user_headers(host: Host) -> tuple[str, ...]:
    """The headers with the user, by the names that the application knows them by."""
    galaxy = _galaxy.remote_user(_galaxy_options.application(host.text, host.path, read=host.read).options)
    return (galaxy.header,) if galaxy.used and galaxy.header not in _USER_HEADERS else _USER_HEADERS


def sets_user(directive: Directive, headers: Sequence[str]) -> bool:
    """Whether a directive says to the application who the user is, in one of these headers."""
    return directive.name in _SETS_HEADER and len(directive.words) > 1 and environ_name(directive) in headers


def asks_for_password(directive: Directive) -> bool:
    """Whether a directive has a part in a password that nginx asks for."""
    return directive.name in _LOGIN


def read_login(
    made: Plan,
    host: Host,
    site: tuple[Directive, Directive],
    ways: Sequence[Sequence[Directive]],
    own: snippets.Snippets,
    heirs: Sequence[snippets.Heir],
) -> None:
    """The password that a site asks for on all ways to the application, and who the site says to the application that somebody is.

    I(own) is what the inventory says already, and I(heirs) are the locations of the site.
    """
    server = site[1]
    logins = []
    for way in ways:
        rules = [directive for name in _LOGIN for directive in inherited(way, name)]
        logins.append([directive for directive in rules if directive.words != ["satisfy", "all"]])
    asking = [
        directive
        for rules in logins
        for directive in rules
        if directive.name == "auth_basic" and directive.words[1] != "off"
    ]
    lines = {"\n".join(_line_of(directive) for directive in rules) for rules in logins}
    has_password = bool(asking) and len(lines) == 1 and "satisfy" not in "".join(lines)
    rules = [directive for rules in logins for directive in rules]
    of_site = any(rule is directive for rule in rules for directive in server.block or ())
    missing = [rule for rule in rules if not own.in_application(rule)]
    others = [one for one, ours in heirs if not ours]
    bare = [(rule, left) for rule in rules if of_site for left in own.without(rule, heirs) if left in others]
    # The other locations get what is written for all requests to the application, but for those that the inventory has.
    bare += [
        (rule, way[2])
        for way, found in zip(ways, logins)
        for rule in found
        if len(way) > 2 and ((), str(way[2])) in own.server and not own.has(way[:3], rule, True, heirs)
    ]
    if has_password and missing and snippets.LOCATION in host.known:
        message = f"the inventory sets {snippets.LOCATION}, and this line is not in it: write the line there"
        made.add(host, Entry(missing[0].path, missing[0].line, "", PROBLEM, message))
    elif has_password and bare and snippets.SERVER in host.known:
        rule, left = bare[0]
        message = f"the {left} would ask for no password: write this line into {snippets.SERVER} (for the whole site)"
        made.add(host, Entry(rule.path, rule.line, "", PROBLEM, message))
    elif has_password:
        text = f"{lines.pop()}\n"
        made.inputs[snippets.LOCATION] = text
        # The role sends static files itself, and the answers to an authority of certificates, which knows no password.
        sends_static = (
            any("static" in location.words[-1] for location in others) or "nginx_proxy_acme_root" in made.inputs
        )
        if (bare or not sends_static) and snippets.SERVER not in host.known:
            made.inputs[snippets.SERVER] = text
        for rules in logins:
            for directive in rules:
                _add(made, host, directive, CARRIED, "carried over to nginx_proxy_location_snippet")
        for directive in (one for way in ways for one in inherited(way, "satisfy")):
            _add(
                made, host, directive, CARRIED, "the default: all that nginx_proxy_location_snippet asks for has to be"
            )
    elif asking and all(
        own.has(_around(way, rule), rule, True, heirs) for way, rules in zip(ways, logins) for rule in rules
    ):
        for directive in (rule for rules in logins for rule in rules):
            _add(made, host, directive, CARRIED, snippets.CARRIED_OVER)
    elif asking:
        message = (
            "the site asks for a password in some places only: set nginx_proxy_location_snippet, which holds for all requests to the application, "
            "or nginx_proxy_server_snippet"
        )
        made.add(host, Entry(asking[0].path, asking[0].line, "", PROBLEM, message))
    _read_header(made, host, server, ways, has_password)


def _around(way: Sequence[Directive], rule: Directive) -> Sequence[Directive]:
    """The part of a way that a rule stands at the end of."""
    return next(way[: number + 1] for number, block in enumerate(way) if any(one is rule for one in block.block or ()))


def _add(made: Plan, host: Host, directive: Directive, verdict: str, text: str) -> None:
    made.add(host, Entry(directive.path, directive.line, shown(directive), verdict, text))


def _read_header(
    made: Plan, host: Host, server: Directive, ways: Sequence[Sequence[Directive]], has_password: bool
) -> None:
    """The header with the user, which an application believes whoever sends it."""
    application = _galaxy_options.application(host.text, host.path, read=host.read)
    galaxy = _galaxy.remote_user(application.options)
    wanted = user_headers(host)
    headers = [[header for header in inherited(way, *_SETS_HEADER) if sets_user(header, wanted)] for way in ways]
    found = [header for group in headers for header in group]
    if not galaxy.used:
        for header in found:
            if host.known.get("nginx_proxy_remote_user"):
                _add(made, host, header, CARRIED, "the inventory sets nginx_proxy_remote_user")
            elif header.words[-1] in ("", '""'):
                _add(
                    made,
                    host,
                    header,
                    CARRIED,
                    "the site of the role never passes on what a client sends in this header",
                )
            elif _galaxy_options.is_galaxy(application):
                _add(
                    made,
                    host,
                    header,
                    NOTE,
                    "Galaxy does not read this header, because use_remote_user is not set, so the header is not sent any more",
                )
            else:
                _add(
                    made,
                    host,
                    header,
                    PROBLEM,
                    "the site of the role sends no user unless nginx_proxy_remote_user says which: set that input",
                )
        return
    values = {" ".join(header.words[2:]) for header in found}
    first = found[0] if found else server
    verdict, note = _read_user(
        made, host, server, ways, values.pop() if len(values) == 1 and all(headers) else "", has_password
    )
    settled = host.known.get("nginx_proxy_remote_user") or verdict == CARRIED
    for header in found if settled else ():
        _add(made, host, header, CARRIED, "carried over to nginx_proxy_remote_user")
    if verdict != CARRIED and not (settled and verdict == PROBLEM):
        text = f"Galaxy takes the user from {galaxy.header} (use_remote_user), and {note}"
        made.add(host, Entry(first.path, first.line, "", verdict, text))


def _line_of(directive: Directive) -> str:
    name, *words = directive.words
    return f"{name} {' '.join(word if re.fullmatch('[A-Za-z0-9._/-]+', word) else _quoted(word) for word in words)};"


def _quoted(word: str) -> str:
    quoted = quote(word)
    return quoted if quoted != word else f'"{word}"'


def _read_user(
    made: Plan, host: Host, server: Directive, ways: Sequence[Sequence[Directive]], value: str, has_password: bool
) -> tuple[str, str]:
    """Carry over what a site says about the user: what becomes of it, and what a person has to do."""
    if value == "$remote_user" and has_password:
        made.inputs["nginx_proxy_remote_user"] = value
        return CARRIED, ""
    if re.fullmatch(r"\$http_[a-z0-9_]+", value):
        made.inputs["nginx_proxy_remote_user"] = value
        if host.known.get("nginx_proxy_trusted_proxies") or any(inherited(way, "set_real_ip_from") for way in ways):
            return CARRIED, ""
        message = f"the site takes the user from {value} of every client: set nginx_proxy_trusted_proxies to the addresses of the proxy that sends the header"
        return PROBLEM, message
    authorities = [directive.words[1] for way in ways for directive in inherited(way, "ssl_client_certificate")]
    if value.startswith("$ssl_client_s_dn") and authorities:
        made.inputs["nginx_proxy_remote_user"] = "$ssl_client_s_dn"
        made.inputs["nginx_proxy_ssl_client_certificate"] = authorities[0]
        return NOTE, (
            f"the site sends {value}: from now on that is the e-mail address of the subject, or else the common name, so check that users stay the same"
        )
    sends = f"sends {value}" if value else "does not send the same one for all requests"
    return PROBLEM, f"the site {sends}: set nginx_proxy_remote_user, and what it needs, before the move"
