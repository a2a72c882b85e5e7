# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a location of nginx: who answers its requests now, and who will."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _migration_directives as directives
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _nginx_config as nginx
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_plan import CARRIED, NOT_NEEDED, NOTE, PROBLEM
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_reading import Sites
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._nginx_config import Directive

ELSEWHERE_TOO = "requests go to another application or machine too: remove this server, or see docs/several-servers.md"


def static_location(sites: Sites, way: Sequence[Directive], location: Directive, path: str) -> tuple[str, str]:
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
    own = posixpath.join(str(sites.made.inputs.get("galaxy_server_dir", sites.host.server_dir)), "static")
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


def _static_dir(sites: Sites, path: str, sent: Sequence[Directive], directory: str, own: str) -> tuple[str, str]:
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
    if known.startswith(f"{static}/") or known == static:
        return NOT_NEEDED, "the role serves the static files of nginx_proxy_static_dir"
    return NOTE, f"the role looks for this path in {static} (nginx_proxy_static_dir)"


def read_pass(sites: Sites, way: Sequence[Directive]) -> None:
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
        for stranger in _strangers(sites, directive, targets):
            sites.add(stranger, PROBLEM, ELSEWHERE_TOO)
        _read_own_pass(sites, way[:-1], directive, targets)


def _strangers(sites: Sites, directive: Directive, targets: Sequence[str]) -> Iterator[Directive]:
    """What sends a part of the requests to another application or machine: the directive itself, or servers of its group."""
    if not all(sites.is_ours(target) for target in targets):
        yield directive
    for target in targets:
        upstream = sites.upstreams.get(target.partition("/")[0])
        for server in upstream.children("server") if upstream else ():
            if not sites.is_ours(server.words[1]):
                yield server


def _read_own_pass(sites: Sites, way: Sequence[Directive], directive: Directive, targets: Sequence[str]) -> None:
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
