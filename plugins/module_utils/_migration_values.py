# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for a whole site, as inputs of the role nginx_proxy: names, ports, certificates, sizes and times."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _migration_directives as directives
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _migration_snippets as snippets
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _nginx_config as nginx
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_plan import CARRIED, NOT_NEEDED, NOTE, PROBLEM
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_reading import Sites, address
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._nginx_config import Directive

_SIZE = re.compile(r"[0-9]+[kKmMgG]?")
_NAME = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
_LISTEN_OPTIONS = re.compile(
    r"ssl|default(_server)?|http2|spdy|quic|reuseport|deferred|bind|ipv6only=\w+|backlog=\d+|rcvbuf=\w+|sndbuf=\w+|so_keepalive=.*|fastopen=\d+"
)
_NAMES, PROXIES = "nginx_proxy_server_names", "nginx_proxy_trusted_proxies"
_EVERYWHERE = ("", "*", "0.0.0.0", "[::]")
_READ_TIMEOUT = 600  # the role's
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def server_names(sites: Sites, directive: Directive) -> Iterator[str]:
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


def read_listen(sites: Sites, server: Directive) -> None:
    tls = any(directive.arguments == ["on"] for directive in server.children("ssl"))
    for directive in server.children("listen"):
        found = address(directive.words[1])
        option = "nginx_proxy_ssl_port" if tls or {"ssl", "quic"} & set(directive.words) else "nginx_proxy_port"
        foreign = [word for word in directive.words[2:] if not _LISTEN_OPTIONS.fullmatch(word)]
        if ((), str(directive)) in sites.snippets.server:
            sites.add(directive, CARRIED, snippets.CARRIED_OVER)
            continue
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


# Where a redirect leads to: the host, and what comes behind it.
_ADDRESS = re.compile(r"(?:https?|\$scheme)://(?P<host>[^/$:?#{}]+|\$\w+|\$\{\w+\})(?::\d+)?(?P<rest>.*)")
_OWN_HOST = ("host", "http_host", "server_name")
_CONDITIONS = ("$scheme", "$https", "$ssl_protocol", "$server_port", "$host", "$http_host", "$server_name")


def redirects(block: Directive) -> list[Directive]:
    """The directives of a block that send visitors on."""
    return [one for one in block.children("return", "rewrite") if directives.REDIRECTS & set(one.arguments)]


def leads_home(sites: Sites, server: Directive, redirect: Directive) -> bool:
    """Whether visitors are sent on to the site itself."""
    target = redirect.words[2] if len(redirect.words) > 2 else redirect.words[1]
    match = _ADDRESS.fullmatch(target)
    if not match:
        return target.startswith("/") and not target.startswith("//")
    host = match.group("host")
    if host.startswith("$"):
        return host.strip("${}") in _OWN_HOST
    own = {name for directive in server.children("server_name") for name in directive.arguments}
    return host in sites.names | own


def keeps_path(redirect: Directive) -> bool:
    """Whether visitors who are sent on ask for the same path as before."""
    match = _ADDRESS.fullmatch(redirect.words[2] if len(redirect.words) > 2 else redirect.words[1])
    return bool(match) and bool(re.match(r"/?\$", match.group("rest") if match else ""))


def read_redirect(sites: Sites, servers: Sequence[Directive]) -> None:
    """Whether visitors without TLS are served, where there is TLS: by default, the role sends them on."""
    with_tls = {
        bool(on or {"ssl", "quic"} & set(directive.words))
        for server in servers
        if not any(to_https(sites, server, block) for block in server.children("if"))
        for on in [any(one.arguments == ["on"] for one in server.children("ssl"))]
        for directive in server.children("listen")
    }
    if with_tls == {True, False}:
        sites.made.inputs["nginx_proxy_ssl_redirect"] = False


def to_https(sites: Sites, server: Directive, block: Directive) -> bool:
    """Whether a condition sends visitors to the same address with TLS, as the role does."""
    inner = block.block or []
    return (
        bool(inner)
        and block.arguments[:1] != []
        and block.words[1].lstrip("(") in _CONDITIONS
        and redirects(block) == inner
        and all(
            "https://" in " ".join(one.arguments) and leads_home(sites, server, one) and keeps_path(one)
            for one in inner
        )
    )


# Values of the whole site


def _file(sites: Sites, directive: Directive) -> None:
    option = f"nginx_proxy_{directive.name}"
    value = directive.words[1]
    if sites.made.inputs.get(option, value) != value:
        message = f"the role has one of a kind, {sites.made.inputs[option]}: use one certificate for all names, or give the other site an instance of its own"
        sites.add(directive, PROBLEM, message, option)
        return
    sites.carry(directive, option, value)
    if nginx.variables(value) and not sites.host.known.get(option):
        unknown = ", ".join(nginx.variables(value))
        sites.add(directive, NOTE, f"only nginx knows {unknown}, and the role takes one file: set {option} to its path")


def _body_size(sites: Sites, directive: Directive) -> None:
    if _SIZE.fullmatch(directive.words[1]):
        sites.carry(directive, "nginx_proxy_client_max_body_size", directive.words[1])


def _timeout(sites: Sites, directive: Directive) -> None:
    parts = re.findall(r"(\d+)([smhd]?)", directive.words[1])
    seconds = sum(int(number) * _UNITS[unit] for number, unit in parts)
    if seconds > max(_READ_TIMEOUT, int(sites.made.inputs.get("nginx_proxy_read_timeout", 0))):
        sites.carry(directive, "nginx_proxy_read_timeout", seconds)
    else:
        sites.add(directive, NOT_NEEDED, "nginx_proxy_read_timeout is as long, or longer")


def _real_ip(sites: Sites, directive: Directive) -> None:
    if directive.words[1] == "unix:":
        sites.add(
            directive,
            PROBLEM,
            "the role listens on no unix socket, so it has no such proxy: set nginx_proxy_trusted_proxies",
            PROXIES,
        )
        return
    proxies = sites.made.inputs.setdefault("nginx_proxy_trusted_proxies", [])
    if directive.words[1] not in proxies:
        proxies.append(directive.words[1])
    sites.add(directive, CARRIED, "carried over to nginx_proxy_trusted_proxies")


def _real_ip_header(sites: Sites, directive: Directive) -> None:
    if directive.words[1].lower() == "x-forwarded-for":
        sites.add(directive, NOT_NEEDED, "the role reads this header from nginx_proxy_trusted_proxies")
    else:
        message = f"the role takes the address of the client from X-Forwarded-For: have the proxy in front of nginx send that header, and set {PROXIES}"
        sites.add(directive, PROBLEM, message, PROXIES)


def _gzip(sites: Sites, directive: Directive) -> None:
    if directive.words[1] == "off":
        sites.carry(directive, "nginx_proxy_gzip", False)
    else:
        sites.add(directive, NOT_NEEDED, "the role compresses text by itself (nginx_proxy_gzip)")


def _client_certificate(sites: Sites, directive: Directive) -> None:
    sites.carry(directive, "nginx_proxy_ssl_client_certificate", directive.words[1])


def _verify_client(sites: Sites, directive: Directive) -> None:
    found: Optional[str] = directive.words[1]
    if found == "off":
        sites.add(directive, NOT_NEEDED, "clients need no certificate")
    elif found == "optional":
        sites.add(directive, CARRIED, "carried over by nginx_proxy_ssl_client_certificate")
    else:
        sites.add(directive, *directives.verdict(directive, directives.TO_SITE))


# The inputs that are not called as the directive.
INPUTS = {
    "proxy_read_timeout": "nginx_proxy_read_timeout",
    "uwsgi_read_timeout": "nginx_proxy_read_timeout",
    "set_real_ip_from": PROXIES,
    "real_ip_header": PROXIES,
    "ssl_verify_client": "nginx_proxy_ssl_client_certificate",
}
VALUES = {
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
