# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of one site of nginx: what preflight looks for, which files the site has, and what is in them.

Templates write the files. They read C(site) of the plan, and inputs of the role by their names.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.compat.version import LooseVersion

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._mark import MARK
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans import inputs, nginx_lines
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans.nginx_values import Found, Inputs, Site

# An entry of M(galaxyops.uwsgi.file_set)
FileEntry = dict[str, Any]

PREFIX = "nginx_proxy_"
# Of Debian's package: the user of the workers, who has a group of the same name, and where everything is.
USER = "www-data"
PROGRAM = "/usr/sbin/nginx"
DIRECTORY = "/etc/nginx"
MAIN = f"{DIRECTORY}/nginx.conf"
# Limits of the whole nginx. That of open files has a file of its own, read outside of the blocks of nginx.conf; a reload makes it hold.
LIMITS = f"{DIRECTORY}/modules-enabled/90-galaxyops.conf"
# Holds a directory for each site that instances are served on beside its own, with their locations.
BESIDE = f"{DIRECTORY}/galaxyops"
DEFAULT_SITE = f"{DIRECTORY}/sites-enabled/default"
LOGS = "/var/log/nginx"
# Files that are there while nginx runs, and where it starts at boot.
RUNNING = ("/run/systemd/units/invocation:nginx.service", "/etc/systemd/system/multi-user.target.wants/nginx.service")
PAGE = "_maintenance.html"
# nginx 1.25 made http2 a directive of its own, and warns of the older way.
HTTP2_DIRECTIVE = {"Debian": "13", "Ubuntu": "25.04"}
# What stands between a directive of nginx.conf that the role has changed and the value that somebody else has written.
NOTE = "# galaxyops.uwsgi.nginx_proxy, instead of"
# The line of nginx.conf with the user of the workers. Their group is the second word of that line: processes of the same user that are no
# workers of nginx are not in it.
USER_LINE = r"^([ \t]*user[ \t]+)(([^\s;]+)(?:[ \t]+[^\s;]+)?[ \t]*;[ \t\r]*(?:#.*)?)$"
CERTIFICATE = "^-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----"
# Headers that an application may believe and that only a proxy may set. The site sends none of those that a client has sent: the first ones
# would say who the user is, the others how the client came here (PasteDeploy#prefix and uWSGI believe some of them).
FORGEABLE = (
    "HTTP_REMOTE_USER",
    "HTTP_SSL_CLIENT_CERT",
    "HTTP_SSL_CLIENT_S_DN",
    "HTTP_SSL_CLIENT_VERIFY",
    "HTTP_X_FORWARDED_EMAIL",
    "HTTP_X_FORWARDED_USER",
    "HTTP_X_REMOTE_USER",
    "HTTP_X_SSL_CLIENT_CERT",
    "HTTP_X_SSL_CLIENT_S_DN",
    "HTTP_X_SSL_CLIENT_VERIFY",
    "HTTP_X_FORWARDED_SCHEME",
    "HTTP_X_FORWARDED_SERVER",
    "HTTP_X_FORWARDED_SSL",
)
_HEADER = """\
# Written by Ansible (galaxyops.uwsgi.nginx_proxy): the next run overwrites what you change here.
# From the nginx_proxy_server_snippet of {instance}, for the instances that are served on its site too.
"""


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that the role does for one instance."""

    user: str
    main: str
    # Whether nginx gets a group for the sockets of the application.
    takes_group: bool
    # What nginx serves by itself: no other location may have these paths.
    places: list[dict[str, str]]
    check: dict[str, Any]
    look_at: dict[str, str]
    # The params that instances on the site get too.
    params: list[str]
    params_content: str
    # What Galaxy has to know of nginx, and no other application minds.
    galaxy_options: dict[str, str]
    # Galaxy's options that are made on the host.
    galaxy_secrets: list[str]
    site: Site
    path: str
    template: str
    files: list[FileEntry]
    secret_files: list[FileEntry]
    # What goes with a site, and with the last one of a host.
    gone: list[FileEntry]
    gone_with_last: list[FileEntry]
    main_as_before: list[FileEntry]
    # What preflight has seen on the host.
    installed: bool
    running: bool
    has_group: bool


def plan(values: Mapping[str, Any], checked: Mapping[str, Any]) -> Plan:
    """Return the plan for the inputs I(values) on a host of which preflight has I(checked) what it asks for."""
    wanted = inputs.read(Inputs, values, PREFIX)
    return _Planner(wanted, Found.of(checked, wanted.instance)).plan()


def _without_slash(path: str) -> str:
    return path.rstrip("/")


def _is_at_least(version: str, least: str | None) -> bool:
    """Tell whether a release is at least another one; a release without a number is not."""
    return least is not None and version[:1].isdigit() and LooseVersion(version) >= LooseVersion(least)


def _directory(path: str) -> FileEntry:
    return {"path": path, "state": "directory", "mode": "0755"}


def _absent(path: str, mark: str = "") -> FileEntry:
    return {"path": path, "state": "absent", **({"mark": mark} if mark else {})}


class _Planner:
    """Computes a plan; each method is one part of it."""

    def __init__(self, wanted: Inputs, found: Found) -> None:
        self.wanted = wanted
        self.found = found
        self.params = self._params()
        self.takes_group = wanted.socket_group not in ("", USER)
        self.site = self._site()
        self.path = f"{DIRECTORY}/sites-available/{wanted.instance}.conf"
        self.link = f"{DIRECTORY}/sites-enabled/{wanted.instance}.conf"
        self.template = "beside.conf.j2" if wanted.beside else "site.conf.j2"

    def plan(self) -> Plan:
        """Return all of it."""
        site, found = self.site, self.found
        return Plan(
            user=USER,
            main=MAIN,
            takes_group=self.takes_group,
            places=self.places(),
            check=self.check(),
            look_at=self.look_at(),
            params=self.params,
            params_content=self.params_content(),
            galaxy_options=self.galaxy_options(),
            galaxy_secrets=["remote_user_secret"] if site.has_secret and not found.has_secret else [],
            site=site,
            path=self.path,
            template=self.template,
            files=self.files(),
            secret_files=self.secret_files(),
            gone=self.gone(),
            gone_with_last=[_absent(LIMITS)],
            main_as_before=[{"path": MAIN, "edits": self.edits_back()}],
            installed=PROGRAM in found.seen,
            running=set(RUNNING) <= set(found.seen),
            has_group="/etc/group" in found.seen,
        )

    def _params(self) -> list[str]:
        """Return what the snippet of a site sends to the application, for the instances that are served there too.

        A header that only a proxy may set is not among that: the site may believe a client, and the other instance would too.
        """
        if self.wanted.beside:
            return []
        forged = re.compile(rf"uwsgi_param (REMOTE_USER|HTTP_GX_SECRET|{'|'.join(FORGEABLE)}) ")
        return [line for line in nginx_lines.server_params(self.wanted.server_snippet) if not forged.match(line)]

    def _site(self) -> Site:
        wanted = self.wanted
        of_site = wanted.beside or wanted.instance
        # TLS and all else of the site as a whole is the other instance's, where there is one that has it.
        tls = bool(wanted.ssl_certificate) and not wanted.beside
        redirect = tls and wanted.ssl_redirect
        http2_directive = _is_at_least(wanted.distribution_version, HTTP2_DIRECTIVE.get(wanted.distribution))
        addresses = ["", "[::]:"] if wanted.ipv6 else [""]
        plain = [f"{address}{wanted.port}" for address in addresses]
        secure = [f"{address}{wanted.ssl_port} ssl{'' if http2_directive else ' http2'}" for address in addresses]
        below = _without_slash(wanted.prefix)
        top = below if wanted.beside else ""
        return Site(
            below=below,
            top=top,
            x_accel=f"{top}{wanted.x_accel_base}",
            names=wanted.server_names or ["_"],
            tools_names=[f"*.ep.interactivetool.{re.sub('^[*][.]', '', name)}" for name in wanted.server_names]
            if wanted.interactive_tools_upstream
            else [],
            tls=tls,
            redirect=redirect,
            # Of another's site only nginx knows.
            hsts=bool(wanted.beside) or (tls and wanted.hsts_max_age > 0),
            http2_directive=http2_directive,
            listen=([] if redirect else plain) + (secure if tls else []),
            plain_listen=plain,
            own_variables=wanted.instance.replace("-", "_"),
            variables=of_site.replace("-", "_"),
            root=f"/var/www/{wanted.instance}",
            page=PAGE,
            access_log=f"{LOGS}/{wanted.instance}.access.log",
            error_log=f"{LOGS}/{wanted.instance}.error.log",
            beside=BESIDE,
            locations=f"{BESIDE}/{wanted.beside}/{wanted.instance}.conf",
            params=f"{BESIDE}/{of_site}/site.params",
            has_secret=bool(wanted.remote_user and wanted.config_file) and self.found.user_from_proxy,
            secret=f"{DIRECTORY}/{wanted.instance}.secret",
            user_header=self.found.user_header,
            forgeable=list(FORGEABLE),
        )

    def places(self) -> list[dict[str, str]]:
        """Return the paths that nginx serves by itself, and what is there."""
        wanted, site = self.wanted, self.site
        found = [(f"{site.top}/{PAGE}", "the maintenance page")]
        if wanted.static_dir:
            found += [
                (f"{site.below}/static/", "the static files of nginx_proxy_static_dir"),
                (f"{site.below}/favicon.ico", "a static file of nginx_proxy_static_dir"),
                (f"{site.below}/robots.txt", "a static file of nginx_proxy_static_dir"),
            ]
        if wanted.x_accel_dirs:
            found.append((f"{site.x_accel}/", "the files of nginx_proxy_x_accel_base"))
        if wanted.acme_root:
            found.append(("/.well-known/acme-challenge/", "the files of nginx_proxy_acme_root"))
        if wanted.interactive_tools_upstream:
            found.append((f"{site.below}/interactivetool/", "from nginx_proxy_interactive_tools_upstream"))
        return [{"path": path, "what": what} for path, what in found]

    def check(self) -> dict[str, Any]:
        """Return what M(galaxyops.uwsgi.paste_check) is to check on the host."""
        wanted, site = self.wanted, self.site
        ports = [] if wanted.beside else [(wanted.port, "nginx_proxy_port")]
        if site.tls:
            ports.append((wanted.ssl_port, "nginx_proxy_ssl_port"))
        certificate = {
            "path": wanted.ssl_certificate,
            "key": wanted.ssl_certificate_key,
            "names": wanted.server_names + site.tools_names,
            "variable": "nginx_proxy_ssl_certificate",
            "key_variable": "nginx_proxy_ssl_certificate_key",
        }
        return {
            "instance": wanted.instance,
            "socket_group": wanted.socket_group,
            "path": wanted.config_file,
            "read_timeout": wanted.read_timeout,
            "asgi_paths": wanted.asgi_paths,
            "remote_user": wanted.remote_user,
            "sent_directories": wanted.x_accel_dirs,
            "nginx_uses": self.uses(),
            "fail_on": wanted.fail_on,
            "client_certificate": wanted.ssl_client_certificate,
            "listen": [{"port": port, "processes": ["nginx"], "variable": variable} for port, variable in ports],
            "certificate": certificate if site.tls else {},
        }

    def uses(self) -> list[str]:
        """Return the directives by which the site may be open to a hole of nginx; what a file has that a snippet includes is not known."""
        found = ["uwsgi_pass", "map"]
        if self.wanted.static_dir:
            found.append("try_files")
        if self.site.tls:
            found += ["ssl", "http2"]
        if nginx_lines.rewrites(f"{self.wanted.server_snippet}\n{self.wanted.location_snippet}"):
            found.append("rewrite")
        return found

    def look_at(self) -> dict[str, str]:
        """Return what to look for, by the path of its file.

        Whether nginx is there and runs, now and after a boot, whether nginx.conf names the user of the workers on a line of its own, and whether
        the groups are as the role makes them.
        """
        group = self.wanted.socket_group or USER
        found = {
            PROGRAM: "",
            MAIN: USER_LINE,
            "/etc/group": rf"\A(?=[\s\S]*^{group}:)(?=[\s\S]*^{USER}:.*[:,]{USER}(,|$))",
            **dict.fromkeys(RUNNING, ""),
        }
        if self.wanted.ssl_client_certificate:
            found[self.wanted.ssl_client_certificate] = CERTIFICATE
        return found

    def galaxy_options(self) -> dict[str, str]:
        """Return the options of Galaxy that name its proxy."""
        found = {}
        if self.wanted.x_accel_dirs:
            found["nginx_x_accel_redirect_base"] = self.site.x_accel
        if self.wanted.prefix:
            found |= {"galaxy_url_prefix": self.site.below, "cookie_path": self.site.below}
        return found

    def params_content(self) -> str:
        """Return the file with the params of a site for the instances that are served there too."""
        return "".join(
            f"{line}\n" for line in (*_HEADER.format(instance=self.wanted.instance).splitlines(), *self.params)
        )

    def edits_back(self) -> list[dict[str, Any]]:
        """Return the edits that make nginx.conf as it was without this role."""
        return [
            {"directive": "user", "note": NOTE, "keep": True},
            {"directive": "worker_connections", "note": NOTE, "below": 2000},
        ]

    def edits(self) -> list[dict[str, Any]]:
        """Return the edits of nginx.conf.

        The workers get the group of the application's sockets. A small number of connections that somebody else has written gives way.
        """
        user, connections = self.edits_back()
        if self.takes_group:
            user["value"] = self.wanted.socket_group
        if self.wanted.worker_connections > 0:
            connections["value"] = str(self.wanted.worker_connections)
        return [user, connections]

    def files(self) -> list[FileEntry]:
        """Return all files of the site, in the order in which they are written."""
        return [
            *self.limits_files(),
            *self.secret_files(),
            *self.site_files(),
            *self.log_files(),
            *self.none_elsewhere(),
            *self.shared_files(),
            *([_absent(DEFAULT_SITE)] if self.wanted.remove_default_site else []),
        ]

    def limits_files(self) -> list[FileEntry]:
        """Return the files with what holds for the whole nginx."""
        connections = self.wanted.worker_connections
        limits: FileEntry = {
            "path": LIMITS,
            "state": "file",
            "content": f"# Written by Ansible (galaxyops.uwsgi.nginx_proxy), for all of its sites.\nworker_rlimit_nofile {connections * 2};\n",
            "mode": "0644",
        }
        return [{"path": MAIN, "edits": self.edits()}, limits if connections > 0 else _absent(LIMITS)]

    def secret_files(self) -> list[FileEntry]:
        """Return the file with the secret that Galaxy and nginx share; nginx reads it as root, before its workers start."""
        if not self.site.has_secret:
            return [{**_absent(self.site.secret), "sensitive": True}]
        return [
            {
                "path": self.site.secret,
                "state": "file",
                "content": "default @value@;\n",
                "value_from": {"path": self.wanted.config_file, "section": "app:main", "option": "remote_user_secret"},
                "owner": "root",
                "group": "root",
                "mode": "0600",
                "sensitive": True,
            }
        ]

    def _rendered(self, path: str, template: str, **more: Any) -> FileEntry:
        return {"path": path, "template": template, "mode": "0644", **more}

    def site_files(self) -> list[FileEntry]:
        """Return the site itself, and the page that it shows while nobody answers."""
        page, own = f"{self.site.root}/{PAGE}", self.wanted.maintenance_page
        return [
            _directory(self.site.root),
            {"path": page, "content": own, "mode": "0644"}
            if own
            else {"path": page, "template": "maintenance.html.j2", "mode": "0644"},
            self._rendered(self.path, self.template, mark=MARK),
            {"path": self.link, "state": "link", "src": self.path, "mark": MARK},
        ]

    def log_files(self) -> list[FileEntry]:
        """Return the logs. nginx would create them for everyone to read, and a request's address can hold an API key. They outlive the site."""
        return [
            {"path": path, "content": "", "force": False, "owner": USER, "group": "adm", "mode": "0640"}
            for path in (self.site.access_log, self.site.error_log)
        ]

    def _elsewhere(self) -> str:
        return f"{BESIDE}/*/{self.wanted.instance}.conf"

    def none_elsewhere(self) -> list[FileEntry]:
        """Return the locations that the instance has on any site but this one, and the directories that are empty then, to be absent."""
        unshared = [] if self.wanted.beside or self.params else [_absent(self.site.params)]
        return [_absent(self._elsewhere()), *unshared, _absent(f"{BESIDE}/*")]

    def shared_files(self) -> list[FileEntry]:
        """Return what a site and the instances on it have in common."""
        if not self.wanted.beside and not self.params:
            return [_absent(BESIDE)]
        shared = (
            self._rendered(self.site.locations, "locations.conf.j2")
            if self.wanted.beside
            else {"path": self.site.params, "content": self.params_content(), "mode": "0644"}
        )
        return [_directory(BESIDE), _directory(posixpath.dirname(self.site.params)), shared]

    def gone(self) -> list[FileEntry]:
        """Return all that goes with the site."""
        return [
            _absent(self._elsewhere()),
            _absent(f"{BESIDE}/{self.wanted.instance}/site.params"),
            _absent(f"{BESIDE}/*"),
            _absent(BESIDE),
            _absent(self.link, MARK),
            _absent(self.path, MARK),
            _absent(self.site.secret),
            _absent(f"{self.site.root}/{PAGE}"),
            _absent(self.site.root),
        ]
