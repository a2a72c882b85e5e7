# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Galaxy of some version, with some database, can do with webless job handlers."""

from __future__ import annotations

import contextlib
import glob
import json
import math
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _safe_files as safe_files
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._galaxy_options import BRIDGE
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._handlers import DYNAMIC, MULES, SELF_METHODS, STATIC
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._job_conf import Handler, Handling
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_ini import DEFAULT, TRUE

_GRABBING = ("db-transaction-isolation", "db-skip-locked")
_MULE_MESSAGE = "uwsgi-mule-message"

# Every web process has this name while Galaxy is loaded, which is when Galaxy decides which handlers the process is. Later names begin with it.
WEB_NAME = "main"

# The first release that the bridge can load once and then fork: web processes, and one for ASGI.
FORKS_SINCE = (26, 1)

# What Galaxy can do only in a process that speaks ASGI: what happens in any other process, and the remedy.
_ASGI = {
    "enable_sse_updates": (
        "every page that is open in a browser would keep a thread of uWSGI for itself, and once all have gone that way the site answers nobody",
        "remove the line, and pages ask for news every few seconds",
    ),
    "enable_mcp_server": ("its path would answer with errors only", "remove the line"),
}
_EVENTS_PATH = "/api/events/stream"
_MCP_OPTION, _MCP_PATH = "mcp_server_path", "/api/mcp"


@dataclass(frozen=True)
class Version:
    """A version of Galaxy: as it is written, and the year and month or number of the release, to be compared."""

    text: str
    release: tuple[int, int]


def parse_version(text: str) -> Optional[Version]:
    """Read a version such as 16.10, 19.01.rc1, 20.5.0 (which is 20.05 on PyPI) or 26.1.2."""
    match = re.match(r"(\d+)\.(\d+)", text.strip())
    return Version(text.strip(), (int(match.group(1)), int(match.group(2)))) if match else None


def version_of_source(text: str) -> Optional[Version]:
    """Read the version out of the content of C(lib/galaxy/version.py)."""
    found = dict(re.findall(r"""^(VERSION_MAJOR|VERSION_MINOR)\s*=\s*["']([^"']*)["']""", text, re.MULTILINE))
    return parse_version(".".join(filter(None, (found.get("VERSION_MAJOR", ""), found.get("VERSION_MINOR", "")))))


def find_version(server_dir: str, virtualenv: str) -> Optional[Version]:
    """Find out which Galaxy is on the host: in its server directory, which Python looks into first, or in its virtualenv."""
    packages = os.path.join(glob.escape(virtualenv), "lib", "python3*", "site-packages") if virtualenv else ""
    sources = [os.path.join(server_dir, "lib", "galaxy", name) for name in ("version.py", "version/__init__.py")] if server_dir else []
    for path in sources:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            version = version_of_source(safe_files.read(path).decode())
            if version:
                return version
    for name in ("galaxy_app", "galaxy"):
        for path in sorted(glob.glob(os.path.join(packages, f"{name}-*.dist-info"))) if packages else ():
            version = parse_version(os.path.basename(path)[len(name) + 1 : -len(".dist-info")])
            if version:
                return version
    return None


def database_kind(options: Mapping[str, str], environment: Collection[str]) -> str:
    """Tell C(sqlite), C(postgresql) and so on by the options of the application; empty if something else may set it.

    I(environment) has the names of the variables that the processes are started with.
    """
    if "GALAXY_CONFIG_OVERRIDE_DATABASE_CONNECTION" in environment:
        return ""
    url = options.get("database_connection", "")
    if not url:
        return "" if "GALAXY_CONFIG_DATABASE_CONNECTION" in environment else "sqlite"
    kind = re.split(r"[:+]", url, maxsplit=1)[0].lower()
    return "postgresql" if kind == "postgres" else kind


def program_findings(server_dir: str, virtualenv: str) -> list[Finding]:
    """Whether there is a program for handlers: that of an installed Galaxy, or of a checkout; old ones have it elsewhere."""
    installed = os.path.join(virtualenv, "bin", "galaxy-main")
    checkout = [os.path.join(server_dir, name) for name in ("lib/galaxy/main.py", "scripts/galaxy-main")]
    if any(map(os.path.exists, [installed, *checkout])):
        return []
    message = (
        f"there is no such program, and neither {checkout[0]} nor {checkout[1]}, so no handler would start: correct job_handlers_virtualenv, "
        "or job_handlers_chdir where Galaxy is a checkout"
    )
    return [Finding(installed, 0, "error", message)]


def environment_findings(environment: Collection[str]) -> list[Finding]:
    """What in the environment of the handlers would give all of them the same name or log."""
    message = "the environment variable {} overrides the {} that each job handler is started with: remove it (job_handlers_environment)"
    return [
        Finding("", 0, "error", message.format(name, flag))
        for name, flag in (("GALAXY_CONFIG_OVERRIDE_SERVER_NAME", "--server-name"), ("GALAXY_CONFIG_OVERRIDE_LOG_DESTINATION", "--log-file"))
        if name in environment
    ]


@dataclass(frozen=True)
class Galaxy:
    """What the handlers have to get along with: the version, and the kind of database, each empty if nobody knows."""

    version: Optional[Version] = None
    database: str = ""

    def before(self, *release: int) -> bool:
        """Whether it is known to be older than a release."""
        return self.version is not None and self.version.release < release

    def since(self, *release: int) -> bool:
        """Whether it is known to be of a release, or newer."""
        return self.version is not None and self.version.release >= release

    def names_web(self, name: str) -> bool:
        """Whether web processes have this name, or may have it.

        Under uWSGI, releases from 18.01 to 22.01 name each web process before its handlers look for jobs, so there C(main) is free for a handler.
        """
        return (name == WEB_NAME or name.startswith(f"{WEB_NAME}.")) and not (self.since(18, 1) and self.before(22, 5))

    def __str__(self) -> str:
        """The name for a message."""
        return f"Galaxy {self.version.text}" if self.version else "Galaxy"


def handling_findings(handling: Handling, path: str, galaxy: Galaxy, mode: str = STATIC, schedulers: bool = False) -> list[Finding]:
    """What this Galaxy or its database cannot do with the handlers in I(handling), which become known by I(mode).

    I(path) is the job configuration. With I(schedulers) there are handlers for workflows besides those for jobs.
    """
    problems = [*_mode_problems(galaxy, mode), *_method_problems(handling, galaxy, mode)]
    findings = [Finding(path, handling.line, "error", problem) for problem in dict.fromkeys(problems)]
    findings += name_findings(handling.handlers, path, galaxy)
    methods = handling.assign_with or ()
    if handling.ready_window_size and galaxy.before(21, 5):
        message = f"{galaxy} does not know ready_window_size, which came with 21.05: remove it (job_handlers_ready_window_size)"
        findings.append(Finding(path, handling.line, "error", message))
    if handling.max_grab and methods and not set(methods) & set(_GRABBING):
        message = f"max_grab means nothing with {', '.join(methods)}: remove it (job_handlers_max_grab), or use one of {', '.join(_GRABBING)}"
        findings.append(Finding(path, handling.line, "error", message))
    if methods and methods[0] in _GRABBING and galaxy.before(20, 9) and not galaxy.before(19, 1) and handling.handlers and not schedulers:
        message = (
            f"{galaxy} schedules no workflow with {methods[0]}: its handlers do not look for those that nobody has. "
            "Add a handler for them, such as {id: workflow0, workflow_scheduler: true} (job_handlers)"
        )
        findings.append(Finding(path, handling.line, "warning", message))
    if galaxy.before(20, 5) and handling.handlers and path.endswith((".yml", ".yaml")):
        findings.append(Finding(path, 0, "error", f"{galaxy} reads no YAML here: use a job_conf.xml (job_handlers_config_file)"))
    return findings


def name_findings(handlers: Iterable[Handler], path: str, galaxy: Galaxy, where: str = "job_handlers") -> list[Finding]:
    """The handlers that every web process would be too; I(where) their names are to be changed."""
    owner = str(galaxy) if galaxy.version else "Galaxy 22.05 and later"
    return [
        Finding(
            path,
            handler.line,
            "error",
            f"handler {handler.id!r} has a name of the web processes: with {owner} each web process would be this handler too, and run its jobs. "
            f"Rename the handler in {where}; with {{id: handler0, previous_ids: [{handler.id}]}} (job_handlers) the jobs that wait for it go to handler0",
        )
        for handler in handlers
        if galaxy.names_web(handler.id)
    ]


def purged_findings(handlers: Iterable[Handler], kept: Collection[str], path: str, galaxy: Galaxy) -> list[Finding]:
    """The web processes' namesakes among the I(handlers) of a file that is going to lose them; jobs of those I(kept) go to another handler."""
    return [
        Finding(
            path,
            handler.line,
            "error",
            f"handler {handler.id!r} has a name of the web processes, so the role removes this handler, and the jobs that wait for it would wait for ever: "
            f"say in job_handlers which handler gets these jobs, such as {{id: handler0, previous_ids: [{handler.id}]}}",
        )
        for handler in handlers
        if galaxy.names_web(handler.id) and handler.id not in kept
    ]


def _mode_problems(galaxy: Galaxy, mode: str) -> Iterator[str]:
    """Why handlers cannot become known in this way."""
    if mode == MULES and (galaxy.before(18, 1) or galaxy.since(22, 5)):
        yield f"{galaxy} knows no mules, which were there from 18.01 to 22.01: set job_handlers_mode to static or dynamic"
    if mode == DYNAMIC and galaxy.before(19, 1):
        yield f"{galaxy} knows no pools of handlers, which came with 19.01: set job_handlers_mode to static"


def _method_problems(handling: Handling, galaxy: Galaxy, mode: str) -> Iterator[str]:
    """Why jobs cannot be assigned in this way, and in which they can."""
    methods = handling.assign_with or ()
    no_locks = galaxy.database == "sqlite"
    # SQLite knows what this needs from 3.35 on, and Galaxy can do without it from 21.05 on.
    no_grabbing = galaxy.before(19, 1) or (no_locks and galaxy.before(21, 5))
    good = ["uwsgi-mule-message"] if mode == MULES else []
    good += ["db-preassign"] if mode == STATIC else []
    good += ["db-transaction-isolation"] if mode == DYNAMIC and not no_grabbing else []
    good += ["db-skip-locked with PostgreSQL"] if not no_locks and not galaxy.before(19, 1) else []
    remedy = f"use {', or '.join(good) or 'PostgreSQL and db-skip-locked'} (job_handlers_assign_with)"
    for method in methods:
        for problem in _problems_of(method, methods, handling, galaxy, mode):
            yield f"assign_with: {problem}: {remedy}"


def _problems_of(method: str, methods: Sequence[str], handling: Handling, galaxy: Galaxy, mode: str) -> Iterator[str]:
    """What is wrong with one of the methods."""
    if method in SELF_METHODS and handling.handlers:
        yield f"with {method} the web processes run the jobs themselves, and the handlers get none"
    elif method in SELF_METHODS and galaxy.since(22, 5):
        yield f"with {method} the web processes run jobs, but under uWSGI those of {galaxy} all have one name, and would run each other's"
    if not handling.handlers:
        return
    if method == "db-skip-locked" and galaxy.database == "sqlite":
        yield "db-skip-locked needs PostgreSQL 9.5 or MySQL 8.0.1, and the database is SQLite, which locks no rows"
    if method == "db-transaction-isolation" and galaxy.database == "sqlite" and galaxy.before(21, 5) and not galaxy.before(19, 1):
        yield f"db-transaction-isolation needs another database than SQLite with {galaxy}, whose handlers would never get a job"
    if method in _GRABBING and galaxy.before(19, 1):
        yield f"{galaxy} does not know {method}, which came with 19.01"
    if method == "db-preassign" and mode == DYNAMIC:
        yield "with db-preassign the web processes choose a handler, and they know none of those that attach themselves to a pool"
    if method == _MULE_MESSAGE and mode != MULES:
        if galaxy.before(18, 1) or galaxy.since(22, 5):
            yield f"{galaxy} does not know {_MULE_MESSAGE}, which was there from 18.01 to 22.01"
        elif methods == (_MULE_MESSAGE,):
            yield f"{_MULE_MESSAGE} gives jobs to mules of uWSGI only, and these handlers are processes of their own"


def tracking_findings(options: Mapping[str, str], path: str, section: str, line: int, version: Optional[Version]) -> list[Finding]:
    """Whether jobs get into the database, where alone webless handlers find them, by the options of the application."""
    value = options.get("track_jobs_in_database")
    if value is not None and value.lower() not in TRUE:
        message = "jobs would stay in the memory of the web processes, where no handler sees them: set it to True, or remove the line"
        return [Finding(path, line, "error", message, section, "track_jobs_in_database")]
    if value is None and version and version.release < (18, 1):
        message = f"Galaxy {version.text} keeps jobs in the memory of the web processes unless this is set: set it to True"
        return [Finding(path, 0, "error", message, section, "track_jobs_in_database")]
    return []


def measured_start(run_dir: str) -> Optional[float]:
    """Read how many seconds the web processes took to start the last time; None if nobody has measured it."""
    seconds = []
    for path in glob.glob(os.path.join(glob.escape(run_dir), "web-*", "started")):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
            value = float(json.loads(safe_files.read(path, safe_files.SMALL))["seconds"])
            if math.isfinite(value) and value >= 0:
                seconds.append(value)
    return max(seconds, default=None)


def read_timeout_findings(timeout: Optional[int], started: Optional[float]) -> list[Finding]:
    """Whether the proxy waits as long as the application takes to start."""
    if timeout is None or started is None or timeout > started:
        return []
    enough = math.ceil(started * 2 / 60) * 60
    message = (
        f"the proxy gives a request up after {timeout} s (nginx_proxy_read_timeout), and the application took {started:.1f} s to start the last time: "
        f"requests that wait for a start would fail; set it to {enough}"
    )
    return [Finding("", 0, "warning", message)]


# An option of the application: the section in which it is written, its name, and its value as the application gets it.
Option = tuple[str, str, str]


@dataclass(frozen=True)
class Serving:
    """How Galaxy is served: by the bridge or not, and loaded by each web process or not, which is None where nobody knows.

    I(http) are the uWSGI roles' own words for who may come without nginx: C(uwsgi_listen) for all, C(uwsgi_http_address) for some.
    """

    bridge: bool
    lazy: Optional[bool] = None
    http: str = ""

    @property
    def forks(self) -> bool:
        """Whether the bridge loads Galaxy once, and uWSGI forks the web processes from that."""
        return self.bridge and self.lazy is False


def fork_problem(serving: Serving, galaxy: Galaxy) -> str:
    """Why Galaxy cannot be loaded before the web processes are forked, or nothing."""
    if not serving.forks or not galaxy.before(*FORKS_SINCE):
        return ""
    first = ".".join(map(str, FORKS_SINCE))
    return (
        f"is false: Galaxy is loaded once and the web processes are forked from it, and {galaxy} answers nothing after a fork, "
        f"only {first} and later can. Write lazy-apps: true into uwsgi_options, or remove lazy-apps from uwsgi_options"
    )


def old_bridge_findings(serving: Serving, server_dir: str) -> list[Finding]:
    """Whether the bridge is one that only a worker can load: a file, and no package."""
    old, new = os.path.join(server_dir, "lib", "galaxy_wsgi.py"), os.path.join(server_dir, "lib", "galaxy_wsgi")
    if not serving.forks or not os.path.isfile(old) or os.path.isdir(new):
        return []
    message = (
        f"this bridge is of an earlier release of the collection, and Galaxy answers nothing when the workers are forked from it: copy {os.path.basename(new)} "
        f"of the role galaxy (roles/galaxy/files) to {new} and remove this file, or write lazy-apps: true into uwsgi_options"
    )
    return [Finding(old, 0, "error", message)]


def _asgi_problem(serving: Serving, galaxy: Galaxy) -> tuple[str, str]:
    """Why there is no process that speaks ASGI, and what to write instead of removing the option; both are empty where there is one."""
    first = ".".join(map(str, FORKS_SINCE))
    if not serving.bridge or galaxy.before(*FORKS_SINCE):
        return f"only Galaxy {first} and later has an ASGI process under uWSGI, by the factory {BRIDGE}", ""
    if serving.lazy:
        return "with lazy-apps there is no ASGI process, which is forked from a Galaxy that is loaded once", "remove lazy-apps from uwsgi_options, or "
    if serving.http == "uwsgi_listen":
        return "with uwsgi_listen http there is no nginx that leads requests to the ASGI process", "set uwsgi_listen to unix and use nginx_proxy, or "
    return "", ""


def asgi_findings(options: Iterable[Option], serving: Serving, galaxy: Galaxy, path: str) -> list[Finding]:
    """What needs a process that speaks ASGI where there is none, or where some clients do not reach it."""
    why, instead = _asgi_problem(serving, galaxy)
    findings = []
    for section, name, value in options:
        if name not in _ASGI or value.lower() not in TRUE:
            continue
        harm, remedy = _ASGI[name]
        if why:
            findings.append(Finding(path, 0, "error", f"{why}: {harm}: {instead}{remedy}", section, name))
        elif serving.http:
            message = f"clients of {serving.http} do not reach the ASGI process, because nginx leads there: {harm}: let clients come by nginx, or {remedy}"
            findings.append(Finding(path, 0, "warning", message, section, name))
    return findings


def asgi_path_findings(options: Iterable[Option], bridge: bool, paths: Collection[str], path: str) -> list[Finding]:
    """What needs a process that speaks ASGI, and is not among the I(paths) that the proxy sends there."""
    options = list(options)
    mcp = next((value for _section, name, value in options if name == _MCP_OPTION), _MCP_PATH)
    needed = {"enable_sse_updates": _EVENTS_PATH, "enable_mcp_server": mcp.rstrip("/") or "/"}
    if not paths and not bridge:
        return []
    return [
        Finding(
            path,
            0,
            "error",
            f"nginx does not lead {needed[name]} to the ASGI process: {_ASGI[name][0]}: add {needed[name]} to nginx_proxy_asgi_paths, or {_ASGI[name][1]}",
            section,
            name,
        )
        for section, name, value in options
        if name in needed and value.lower() in TRUE and needed[name] not in paths
    ]


# Who can speak to the application: the proxy alone, by a unix socket; every account of the host, by a port on loopback; or anybody.
PROXY, HOST, NETWORK = "proxy", "host", "network"
_USE_REMOTE_USER, _SECRET = "use_remote_user", "remote_user_secret"
# What Galaxy takes for true here, which is more than for other options.
_USED = (*TRUE, "y", "t")
_DEFAULT_HEADER = "HTTP_REMOTE_USER"
_HEADER = re.compile(r"HTTP(_[A-Z0-9]+)+")
# What nginx takes as it is, and a header can hold.
_SECRET_TEXT = re.compile(r"[A-Za-z0-9._~+/=-]+")


@dataclass(frozen=True)
class RemoteUser:
    """What Galaxy believes of its proxy: whether that says who the user is, in which header, and whether a shared secret proves that it is the proxy."""

    used: bool = False
    header: str = _DEFAULT_HEADER
    secret: bool = False


def remote_user(options: Mapping[str, str]) -> RemoteUser:
    """Read what Galaxy believes of its proxy out of the options of the application."""
    return RemoteUser(
        options.get(_USE_REMOTE_USER, "").strip().lower() in _USED,
        options.get("remote_user_header") or _DEFAULT_HEADER,
        _SECRET in options,
    )


def remote_user_findings(
    options: Mapping[str, str],
    path: str,
    section: str,
    lines: Mapping[str, int],
    source: Optional[str],
    reach: str,
    mode: int,
    shared: Optional[Mapping[str, str]] = None,
) -> list[Finding]:
    """Whether a user that comes in a header can come from the proxy only.

    I(options) are those of the application with their secrets, I(lines) where they are in the file at I(path), which has the
    permissions I(mode). I(source) is C(nginx_proxy_remote_user), or None where the proxy is not known; I(reach) is PROXY, HOST or NETWORK.
    I(shared) are the options of C([DEFAULT]), which a part of Galaxy reads too.
    """
    return [*_half_read(options, shared or {}, path), *_remote_user_findings(options, path, section, lines, source, reach, mode)]


def _half_read(options: Mapping[str, str], shared: Mapping[str, str], path: str) -> Iterator[Finding]:
    """Options about the user in C([DEFAULT]): what believes the header reads them there, and what logs the user in does not."""
    merged = {**shared, **options}
    if remote_user(merged) == remote_user(options) and merged.get("single_user") == options.get("single_user"):
        return
    for name in (_USE_REMOTE_USER, "remote_user_header", _SECRET, "single_user"):
        if name in shared and name not in options:
            message = "one part of Galaxy reads this option here and another part does not, so nobody can tell who is let in: move the option to [app:main]"
            yield Finding(path, 0, "error", message, DEFAULT, name)


def _remote_user_findings(
    options: Mapping[str, str], path: str, section: str, lines: Mapping[str, int], source: Optional[str], reach: str, mode: int
) -> list[Finding]:
    """What remote_user_findings() finds in the options of the application itself."""
    found = remote_user(options)
    remedy = "or set use_remote_user to False"

    def finding(option: str, message: str, severity: str = "error") -> Finding:
        return Finding(path, lines.get(option, 0), severity, message, section, option)

    if options.get("single_user") and source:
        message = f"nginx_proxy_remote_user is '{source}', and with single_user Galaxy fails on every request that has a user: remove one of the two"
        return [finding("single_user", message)]
    if not found.used:
        message = (
            f"nginx_proxy_remote_user is '{source}', and Galaxy does not read the user that the proxy sends: set use_remote_user to True (galaxy_app_options)"
        )
        return [finding(_USE_REMOTE_USER, f"{message}, or nginx_proxy_remote_user to an empty string", "warning")] if source else []
    if reach == NETWORK:
        message = (
            f"clients speak to uWSGI itself (uwsgi_listen, uwsgi_http_address), so any client can send {found.header} and be anybody; "
            f"remote_user_secret does not protect /api. Set uwsgi_listen to unix and let nginx_proxy serve the site, {remedy}"
        )
        return [finding(_USE_REMOTE_USER, message)]
    findings = []
    if source == "":
        message = (
            "nothing says who the user is, so the proxy sends no user and Galaxy lets nobody in: set nginx_proxy_remote_user, "
            f"such as to $remote_user with auth_basic in nginx_proxy_location_snippet, {remedy}"
        )
        findings.append(finding(_USE_REMOTE_USER, message))
    if not _HEADER.fullmatch(found.header):
        message = f"it is '{found.header}', and the proxy sends headers: write one as WSGI spells it, such as {_DEFAULT_HEADER}, or remove the line"
        findings.append(finding("remote_user_header", message))
    return findings + [finding(_SECRET, message) for message in _secret_problems(options.get(_SECRET), path, source, reach, mode)]


def _secret_problems(secret: Optional[str], path: str, source: Optional[str], reach: str, mode: int) -> Iterator[str]:
    """Why the secret that Galaxy shares with its proxy is none, or cannot be sent."""
    generated = secret is None and bool(source)
    if secret is None and reach == HOST and not generated:
        yield (
            "without it every account of the host can speak to the port of uWSGI and be anybody: set it to 48 random letters and digits and let the "
            "proxy send it as the header GX_SECRET, or set nginx_proxy_remote_user, and the role nginx_proxy does both"
        )
    if secret == "":
        yield "it is empty, so Galaxy lets nobody in: remove the line, and the role nginx_proxy makes a secret, or write 48 random letters and digits"
    elif secret and source and not _SECRET_TEXT.fullmatch(secret):
        yield "nginx cannot send it: write letters, digits and . _ ~ + / = - only, or remove the line, and the role nginx_proxy makes a secret"
    if (secret or generated) and mode & 0o004:
        yield (
            f"every account of the host can read {path}, and with the secret be anybody: take that right away "
            f"(chmod o-r {path}), and let Galaxy's user read the file as its owner or by its group"
        )
