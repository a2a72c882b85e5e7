# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan of a site is made of, and what its templates read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The inputs of the role that the plan is made of, by their names without the prefix, and facts of the host."""

    acme_root: str
    asgi_paths: list[str]
    beside: str
    config_file: str
    fail_on: str
    hsts_max_age: int
    instance: str
    interactive_tools_upstream: str
    ipv6: bool
    location_snippet: str
    maintenance_page: str
    port: int
    prefix: str
    read_timeout: int
    remote_user: str
    remove_default_site: bool
    server_names: list[str]
    server_snippet: str
    socket_group: str
    ssl_certificate: str
    ssl_certificate_key: str
    ssl_client_certificate: str
    ssl_port: int
    ssl_redirect: bool
    static_dir: str
    worker_connections: int
    x_accel_base: str
    x_accel_dirs: list[str]
    distribution: str
    distribution_version: str


@dataclasses.dataclass(frozen=True)
class Found:
    """What preflight has found on the host."""

    seen: list[str] = dataclasses.field(default_factory=list)
    # Whether Galaxy takes the user from its proxy, in which header, as WSGI spells it, and whether both have a secret already.
    user_from_proxy: bool = False
    user_header: str = "HTTP_REMOTE_USER"
    has_secret: bool = False

    @classmethod
    def of(cls, checked: Mapping[str, Any], instance: str) -> Found:
        """Return what preflight has found for I(instance), or nothing where it has checked another one."""
        if checked.get("inputs", {}).get("instance", instance) != instance:
            return cls()
        result = checked.get("result") or {}
        user = result.get("remote_user") or {}
        return cls(
            seen=list(result.get("seen") or []),
            user_from_proxy=bool(user.get("used")),
            user_header=user.get("header") or "HTTP_REMOTE_USER",
            has_secret=bool(user.get("secret")),
        )


@dataclasses.dataclass(frozen=True)
class Site:
    """What templates have to know besides the inputs."""

    # The path of the application: empty for none, and without the slash at the end.
    below: str
    # What is no path of the application stands at the top of the site, or below the prefix where that is another's.
    top: str
    x_accel: str
    names: list[str]
    tools_names: list[str]
    tls: bool
    redirect: bool
    hsts: bool
    http2_directive: bool
    listen: list[str]
    plain_listen: list[str]
    # nginx's variables are shared by all sites, so their names hold that of the instance; they cannot hold a hyphen. What there is to know of a
    # client is a matter of the site, whoever has it.
    own_variables: str
    variables: str
    root: str
    page: str
    access_log: str
    error_log: str
    beside: str
    locations: str
    params: str
    # Galaxy and nginx share a secret where Galaxy takes the user from nginx.
    has_secret: bool
    secret: str
    user_header: str
    forgeable: list[str]
