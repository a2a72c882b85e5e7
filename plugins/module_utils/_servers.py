# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several Galaxy servers on one host as one list: each entry holds what the roles are told about that server.

A server takes its name, its user and its paths from one word, so that two of them have nothing in common
unless somebody says so; where somebody does, conflicts() finds it.
"""

from __future__ import annotations

import difflib
import itertools
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_ini import mask_secrets

_REMEDY = "write a list such as [{name: main, nginx_proxy_server_names: [galaxy.example.org]}, {name: test, nginx_proxy_server_names: [test.example.org]}]"
_OWN_KEYS = ("name", "state")
_STATES = ("present", "absent")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")

# A server gets a user and a directory in /etc of its name; these are somebody else's on every Debian.
_TAKEN = re.compile(
    "backup|bin|daemon|games|irc|list|lp|mail|man|messagebus|news|nginx|nobody|postgres|proxy|root|sshd?|sudo|supervisor|sync|sys|systemd.*|uucp|www-data"
)
# What there is once on a host, whichever server asks for it: two answers would undo each other in every run.
_OF_THE_HOST = {
    "nginx_proxy_worker_connections": "is for nginx as a whole: set it beside galaxy_servers, not in it",
}
# What there is once for a site, and so only with the server that has the site.
_OF_THE_SITE = frozenset(
    f"nginx_proxy_{name}"
    for name in (
        "acme_root", "default_server", "hsts_max_age", "ipv6", "port", "remove_default_site", "server_names",
        "ssl_certificate", "ssl_certificate_key", "ssl_port", "ssl_redirect", "trusted_proxies",
    )
)  # fmt: skip
# What becomes of the name. The state goes to the roles that have one; Galaxy itself, with its data, is never removed.
_STATE_OPTIONS = ("job_handlers_state", "nginx_proxy_state", "uwsgi_state")

# What may belong to one server only, by its option and what is said of it. A path is compared as the host would.
_EXCLUSIVE = {
    "galaxy_config_file": "the configuration file",
    "galaxy_database_connection": "the database",
    "galaxy_mutable_data_dir": "the directory of the data",
    "galaxy_root": "the directory",
    "galaxy_server_dir": "the directory of the program",
    "galaxy_venv_dir": "the virtualenv",
    "job_handlers_config_file": "the job configuration",
    "job_handlers_galaxy_config_file": "the configuration file",
    "job_handlers_instance": "the name of processes and files",
    "nginx_proxy_instance": "the name of the site",
    "uwsgi_config_file": "the configuration file",
    "uwsgi_instance": "the name of processes and files",
    "uwsgi_virtualenv": "the virtualenv",
}
# Where uWSGI listens besides its own socket
_ADDRESSES = ("uwsgi_http_address", "uwsgi_listen_address")
# Every option that conflicts() looks at.
CLAIM_OPTIONS = (
    *_EXCLUSIVE, *_ADDRESSES, "nginx_proxy_beside", "nginx_proxy_port", "nginx_proxy_prefix", "nginx_proxy_server_names",
    "nginx_proxy_socket_group", "nginx_proxy_ssl_certificate", "nginx_proxy_ssl_port", "uwsgi_options", "uwsgi_socket_group",
)  # fmt: skip
_LISTENER = re.compile(r"(?:.*-)?(?:socket|http|https|stats|stats-server)")


def defaults(name: str) -> dict[str, str]:
    """What a server gets from its I(name); everything else follows from these by the defaults of the roles."""
    return {"galaxy_root": f"/srv/{name}", "galaxy_user": name, "uwsgi_instance": name}


def expand(servers: Iterable[Mapping[str, Any]], only: Collection[str] = ()) -> list[dict[str, Any]]:
    """Each server as its C(name), its C(state) and the C(inputs) of the roles; those I(only), if any are named.

    Those to be removed come first, the last of the list before the others. A site comes before what is served on
    it, and is removed after it.
    """
    expanded = [
        {"name": server["name"], "state": server.get("state", "present"), "inputs": _inputs(server)}
        for server in servers
        if not only or server["name"] in only
    ]
    ordered = sorted(expanded, key=lambda server: bool(server["inputs"].get("nginx_proxy_beside")))
    removed = [server for server in ordered if server["state"] == "absent"]
    return [*reversed(removed), *(server for server in ordered if server["state"] != "absent")]


def _inputs(server: Mapping[str, Any]) -> dict[str, Any]:
    state = dict.fromkeys(_STATE_OPTIONS, "absent") if server.get("state") == "absent" else {}
    own = {key: value for key, value in server.items() if key not in _OWN_KEYS}
    return {**defaults(server["name"]), **own, **state}


def problems(servers: Any, known: Collection[str], only: Any = ()) -> list[str]:
    """Say what is wrong with the list that a user writes, and what to write instead; I(known) are the inputs of the roles."""
    if not isinstance(servers, list) or not servers:
        return [f"galaxy_servers is {servers!r}: {_REMEDY}, or leave it out for one server"]
    found = []
    seen: dict[str, int] = {}
    for position, server in enumerate(servers):
        where = f"galaxy_servers[{position}]"
        if not isinstance(server, Mapping) or "name" not in server:
            found.append(f"{where} is {server!r}, which has no name: {_REMEDY}")
            continue
        found.extend(_name_problems(where, server["name"], seen, position))
        if server.get("state", "present") not in _STATES:
            found.append(f"{where}.state is {server['state']!r}: write present or absent")
        found.extend(_key_problems(where, server, known))
        found.extend(_beside_problems(where, server, servers))
    names = sorted(seen)
    if isinstance(only, str) or not all(isinstance(name, str) for name in only):
        found.append(f"only_servers is {only!r}: write a list of names, such as {names[:1]}")
    else:
        found.extend(f"only_servers names {name!r}, which is none of the galaxy_servers: {', '.join(names)}" for name in only if name not in seen)
    return found


def _name_problems(where: str, name: Any, seen: dict[str, int], position: int) -> Iterator[str]:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield f"{where}.name is {name!r}: write a lower-case name of letters, digits and '-', at most 31 long, such as galaxy"
    elif _TAKEN.fullmatch(name):
        yield f"{where}.name is {name!r}, which is that of something else on the host: write a name such as galaxy-{name}"
    elif name in seen:
        yield f"{where}.name is {name!r}, as in galaxy_servers[{seen[name]}]: give every server a name of its own"
    else:
        seen[name] = position


def _key_problems(where: str, server: Mapping[str, Any], known: Collection[str]) -> Iterator[str]:
    for key in server:
        if key in _OWN_KEYS:
            continue
        if key in _OF_THE_HOST:
            yield f"{where}.{key} {_OF_THE_HOST[key]}"
        elif key in _STATE_OPTIONS:
            yield f"{where}.{key} is not for a single role: write 'state: absent' to remove the server"
        elif key not in known:
            similar = difflib.get_close_matches(str(key), [*_OWN_KEYS, *known], n=1)
            remedy = f"write '{similar[0]}' instead" if similar else "an entry has name, state and the options of the roles"
            yield f"{where}.{key} is no option of a role: {remedy}"


def _instance(server: Mapping[str, Any]) -> Any:
    return server.get("nginx_proxy_instance") or server.get("uwsgi_instance") or server.get("name")


def _beside_problems(where: str, server: Mapping[str, Any], servers: Iterable[Any]) -> Iterator[str]:
    """Whether the server has a site to be served on, where that is another's."""
    beside = server.get("nginx_proxy_beside")
    if not beside or server.get("state") == "absent":
        return
    others = {_instance(other): other for other in servers if isinstance(other, Mapping) and other is not server}
    sites = [str(name) for name, other in others.items() if other.get("state") != "absent" and not other.get("nginx_proxy_beside")]
    remedy = f"write one that has a site, such as {sites[0]}" if sites else "list a server that has a site"
    if beside not in others:
        yield f"{where}.nginx_proxy_beside is {beside!r}, which is no other of the galaxy_servers: {remedy}"
    elif others[beside].get("state") == "absent":
        own = "write nginx_proxy_server_names instead for one of its own"
        yield f"{where}.nginx_proxy_beside is {beside!r}, which is removed with its site: {remedy}, or {own}"
    elif others[beside].get("nginx_proxy_beside"):
        yield f"{where}.nginx_proxy_beside is {beside!r}, which has no site but is beside another one itself: {remedy}"
    for key in sorted(_OF_THE_SITE & server.keys()):
        yield f"{where}.{key} is for a site as a whole, and this one is that of {beside}: write it there, or beside galaxy_servers for all"


@dataclass(frozen=True)
class _Claim:
    """Something that one server alone may have, and the option that says so."""

    kind: str
    value: str
    server: str
    option: str


def claims(name: str, values: Mapping[str, Any]) -> list[_Claim]:
    """What the server I(name) takes for itself, told by the I(values) that the options of the roles have for it."""
    found = [_Claim(_EXCLUSIVE[option], _same(value), name, option) for option, value in values.items() if option in _EXCLUSIVE and value]
    found += [_Claim("the socket", _socket(values[option]), name, option) for option in _ADDRESSES if values.get(option)]
    options = values.get("uwsgi_options")
    for option, value in (options.items() if isinstance(options, Mapping) else ()):
        if _LISTENER.fullmatch(str(option)):
            items = value if isinstance(value, list) else [value]
            found.extend(_Claim("the socket", _socket(item), name, f"uwsgi_options.{option}") for item in items if item)
    if values.get("nginx_proxy_beside"):
        return found
    # Whatever the prefix: nginx takes all that it knows of a name on a port from one site.
    ports = [values.get("nginx_proxy_port"), values.get("nginx_proxy_ssl_port") if values.get("nginx_proxy_ssl_certificate") else None]
    for port in filter(None, ports):
        for host in values.get("nginx_proxy_server_names") or ["*"]:
            found.append(_Claim("the address", f"{host}:{port}", name, "nginx_proxy_server_names"))
    return found


def _same(value: Any) -> str:
    text = str(value)
    return posixpath.normpath(text) if text.startswith("/") else text


def _socket(value: Any) -> str:
    """A TCP port is taken whatever the address; a file is a file."""
    text = str(value)
    return text if text.startswith("/") else f"port {text.rpartition(':')[2]}"


def conflicts(servers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say what two servers on one host would share, which they must not; I(servers) has the values of each by its name."""
    owners: dict[tuple[str, str], _Claim] = {}
    found = []
    for name, values in servers.items():
        for claim in claims(name, values):
            first = owners.setdefault((claim.kind, claim.value), claim)
            if first.server != name:
                remedy = f"give {name} a {claim.option} of its own in galaxy_servers"
                if claim.kind == "the address":
                    site = servers[first.server].get("nginx_proxy_instance") or first.server
                    remedy += f", or nginx_proxy_beside: {site} and a nginx_proxy_prefix, to serve both on one site"
                found.append(f"the servers {first.server} and {name} would share {claim.kind} {mask_secrets(claim.value)}: {remedy}")
    return list(dict.fromkeys([*found, *_group_conflicts(servers), *_prefix_conflicts(servers)]))


def _group_conflicts(servers: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Two groups of sockets, of which the workers of nginx would get one."""
    for option in ("uwsgi_socket_group", "nginx_proxy_socket_group"):
        groups = {str(values[option]): name for name, values in reversed(list(servers.items())) if values.get(option)}
        if len(groups) > 1:
            (group, name), (other_group, other), *_rest = reversed(groups.items())
            yield (
                f"the servers {name} and {other} have the {option} {group} and {other_group}, and the workers of nginx have one group: write {option} "
                "for all servers, beside galaxy_servers"
            )


def _prefix_conflicts(servers: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Two servers on one site, the one within the prefix of the other.

    nginx would get along with that. But a browser sends the cookies of the outer one to both, and of two cookies
    with one name Galaxy takes that of the outer one, so that nobody could log in to the inner one.
    """
    places = []
    for name, values in servers.items():
        prefix = str(values.get("nginx_proxy_prefix") or "").rstrip("/")
        beside = values.get("nginx_proxy_beside")
        if prefix or not beside:  # the role itself says what is missing
            places.append((prefix + "/", name, str(beside or values.get("nginx_proxy_instance") or name), bool(beside)))
    # Of two, the outer one comes first.
    for (outer_path, outer, site, has_none), (path, inner, other_site, has_none_either) in itertools.combinations(sorted(places), 2):
        if site != other_site or not (has_none or has_none_either) or not path.startswith(outer_path):
            continue
        remedy = f"give each a nginx_proxy_prefix in galaxy_servers that is not within the other, such as /{outer} and /{inner}"
        if path == outer_path:
            yield f"the servers {outer} and {inner} would share the path {path} on the site of {site}: {remedy}"
        else:
            yield (
                f"the server {inner} would be at {path} on the site of {site}, within {outer_path} of {outer}, so that it gets the cookies of {outer} too and "
                f"takes them for its own: {remedy}"
            )
