# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read how a Galaxy, or another Paste Deploy application, is served by Paste, and say it in the options of the roles.

Text in, plan out: the configuration file with its servers, the programs of supervisor, the sites of nginx. Whatever the plan does not
carry over has an entry that says why.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import (
    _galaxy,
    _galaxy_options,
    _job_conf,
    _migration_programs,
    _migration_snippets,
    _paste_ini,
    _uwsgi_options,
)
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
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_programs import Program, is_about
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_reading import address
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_site import read_sites
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_ini import Application, Loading, Place

__all__ = ["Host", "Leftover", "Plan", "is_about", "name_problems", "plan"]

_SERVER = "server:"
_HANDLER_NAME = re.compile(r"handler")
_PASTE_HTTP = re.compile(r"egg:paste(#http)?", re.IGNORECASE)
_DEFAULT_PORT = 8080  # Paste's

# Options of [uwsgi] that the role sets in its own way, or that belong to the service manager now.
_ROLE_OPTIONS = re.compile(
    "chdir|chmod-socket|chown-socket|daemonize2?|die-on-term|enable-threads|gid|home|hook-.*|https?|http-socket|ini-paste|lazy-apps|logto|master|module|"
    "need-app|no-orphans|paste|pidfile2?|plugins?|processes|py-call-.*|socket|stats|strict|threads|thunder-lock|touch-reload|uid|uwsgi-socket|vacuum|"
    "venv|virtualenv|workers"
)
_LISTENERS = ("http", "http-socket", "socket", "uwsgi-socket")
_POOL_SIZE, _MAX_OVERFLOW = 5, 10  # SQLAlchemy's

# Options of a section [server:...] that say nothing that is of use any more.
_SERVER_OPTIONS = re.compile(
    "use|port|host|listen|bind|unix_socket|use_threadpool|threadpool_.*|protocol_version|request_queue_size|daemon_threads|socket_timeout"
    "|use_threadpool|channel_timeout|connection_limit|cleanup_interval|backlog|ident|asyncore_.*|url_scheme|url_prefix|expose_tracebacks|timeout"
    "|max_request_.*|worker_class|workers|threads|proc_name|accesslog|errorlog|loglevel|preload.*|graceful_timeout|keepalive|paste.server_factory|debug"
)
_SERVER_TLS = re.compile("ssl_pem|ssl_context|ssl_.*|certfile|keyfile|ca_certs|cert_reqs")
# Options of the application that mean something to a proxy in front of it, and have no successor.
_PROXY_OPTIONS = re.compile("nginx_(?!x_accel_redirect_base$).*|dynamic_proxy.*|apache_.*|tus_.*")


@dataclass
class _Servers:
    """The sections of Paste's servers: those that serve the site, those that run jobs, and those that nothing needs any more."""

    web: list[_paste_ini.Section] = field(default_factory=list)
    handlers: list[_paste_ini.Section] = field(default_factory=list)
    managers: list[_paste_ini.Section] = field(default_factory=list)

    @property
    def all(self) -> list[_paste_ini.Section]:
        """All of them, those of the site first."""
        return [*self.web, *self.handlers, *self.managers]


def plan(host: Host) -> Plan:
    """Say what the host has to become, or raise L(PasteIniError) where its file cannot be read."""
    made = Plan()
    document = _paste_ini.parse(host.text)
    options = _galaxy_options.application(host.text, host.path, read=host.read).options
    ids = {handler.id for handler in host.job_conf.handlers} if host.job_conf else set()
    servers = _sort_servers(document, options, ids)
    made.inputs.update(galaxy_config_file=host.path, galaxy_server_dir=host.server_dir, galaxy_user=host.user)
    # The server of that name serves the site, even where it runs jobs too.
    names = ({_name(section) for section in (*servers.handlers, *servers.managers)} | ids) - {_galaxy.WEB_NAME}
    programs = _migration_programs.read_programs(made, host, names)
    leftovers, made.leftovers = made.leftovers, []
    sockets = _read_servers(made, host, document, servers, programs)
    made.leftovers += leftovers
    _read_processes(made, servers, [program for program in programs if not program.is_handler(names)])
    sockets += _read_uwsgi(made, host, document)
    _read_application(made, host, document)
    _read_handlers(made, host, [_name(section) for section in servers.handlers], programs)
    read_sites(made, host, sockets)
    _read_proxy_options(made, host)
    _read_user(made, host, programs)
    settled = {entry.place for entry in made.entries if entry.verdict == "left behind"}
    made.notes += [f"{place}: is to be left behind, and is no problem: remove it from the list" for place in host.leave_behind if place not in settled]
    return made


def name_problems(instance: str, sites: Iterable[str], programs: Iterable[str]) -> list[str]:
    """What of the old files has the name of one that the roles write: it would be overwritten, and the way back would remove it."""
    clashes = [path for path in sites if posixpath.basename(path) == f"{instance}.conf"]
    clashes += [path for path in programs if posixpath.basename(path) in (f"{instance}-web.conf", f"{instance}-handlers.conf")]
    remedy = f"the roles write a file of that name for the instance {instance}: rename it, or set uwsgi_instance to another name, then run this again"
    return [f"{path}: {remedy}" for path in clashes]


def _name(section: _paste_ini.Section) -> str:
    return section.name[len(_SERVER) :].strip()


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text) if word]


def _sort_servers(document: _paste_ini.Document, options: dict[str, str], ids: Collection[str]) -> _Servers:
    """Tell the servers apart: C(main) serves the site, whatever it does beside that."""
    # So Galaxy named them before it had a job configuration.
    named = {word for option in ("job_handlers", "default_job_handlers") for word in _words(options.get(option, ""))}
    managers = set(_words(options.get("job_manager", "")))
    found = _Servers()
    for section in document.sections:
        if not section.name.startswith(_SERVER):
            continue
        name = _name(section)
        if name == _galaxy.WEB_NAME:
            found.web.append(section)
        elif name in ids or name in named or _HANDLER_NAME.search(name):
            found.handlers.append(section)
        elif name in managers:
            found.managers.append(section)
        else:
            found.web.append(section)
    return found


def _integer(text: str, default: int) -> int:
    return int(text) if text.strip().isdigit() else default


# The servers of Paste


def _command_variables(programs: Iterable[Program]) -> dict[str, str]:
    """What is set on the command line of Paste, behind the name of the file."""
    return {name: value for program in programs for name, value in re.findall(r"(?<=\s)(\w+)=(\S+)", program.command)}


def _server_values(host: Host, document: _paste_ini.Document, section: _paste_ini.Section, variables: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """The options of a server as Paste reads them, and the names of those that nobody can read."""
    server = Loading(document, host.path, kind="server", read=host.read, given=variables, section=section.name).application
    return {**server.values, "use": server.factory}, sorted(server.unreadable)


def _sockets_of(values: dict[str, str]) -> list[Socket]:
    """Where a server listens; nothing where its options do not tell."""
    port = _integer(values.get("port", ""), 0)
    host = values.get("host", "")
    if values.get("unix_socket"):
        return [Socket(values["unix_socket"])]
    for option in ("listen", "bind"):
        found = [address(word, port) for word in _words(values.get(option, ""))]
        if found:
            return [one for one in found if one.port or one.host.startswith("/")]
    if not port and ":" in host.strip("[]"):
        return [one for one in [address(host, 0)] if one.port]
    if not port and "port" not in values and _PASTE_HTTP.fullmatch(values.get("use", "")):
        port = _DEFAULT_PORT
    return [Socket(host or "127.0.0.1", port)] if port else []


def _read_servers(made: Plan, host: Host, document: _paste_ini.Document, servers: _Servers, programs: Sequence[Program]) -> list[Socket]:
    """The servers of Paste: how many processes and threads, and where nobody listens any more."""
    threads: list[int] = []
    sockets: list[Socket] = []
    variables = _command_variables(programs)
    for section in servers.all:
        values, unknown = _server_values(host, document, section, variables)
        found = [] if {"port", "listen", "bind", "host"} & set(unknown) else _sockets_of(values)
        if not found:
            line = next((section.options[name].line for name in ("port", "listen", "bind", "use") if name in section.options), section.line)
            message = "nothing tells where this server listens, so nothing tells which site of nginx is to be replaced: write port = and the number"
            made.add(host, Entry(host.path, line, f"[{section.name}]", PROBLEM, message))
        sockets += found
        ports = [one.port for one in found if one.port]
        made.ports += [port for port in ports if port not in made.ports]
        where = f"port {', '.join(map(str, ports))} is" if ports else f"{found[0].host if found else 'its port'} is"
        made.leftovers.append(
            Leftover(host.path, section.line, "server", section.name, f"{where} no longer used; the section stays for the way back, uWSGI ignores it")
        )
        if section in servers.web:
            threads.append(_integer(values.get("threadpool_workers", values.get("threads", "")), 0))
        if section in servers.managers:
            message = "a job manager is nothing that Galaxy knows any more: its handlers get jobs from the database"
            made.add(host, Entry(host.path, section.line, f"[{section.name}]", NOTE, message))
        _read_server_options(made, host, section, section in servers.web)
    if any(threads):
        made.inputs["uwsgi_threads"] = max(threads)
    return sockets


def _read_server_options(made: Plan, host: Host, section: _paste_ini.Section, is_web: bool) -> None:
    for name, option in section.options.items():
        verdict, text = NOTE, "uWSGI does not read this option of Paste's server: set what is still needed in uwsgi_options"
        if is_web and name in ("threadpool_workers", "threads"):
            verdict, text = CARRIED, "carried over to uwsgi_threads"
        elif _SERVER_OPTIONS.fullmatch(name):
            verdict, text = NOT_NEEDED, "uWSGI listens and runs threads in its own way"
        elif _SERVER_TLS.fullmatch(name):
            verdict, text = PROBLEM, "Paste serves TLS itself: set nginx_proxy_ssl_certificate and nginx_proxy_ssl_certificate_key"
            if host.known.get("nginx_proxy_ssl_certificate"):
                verdict, text = CARRIED, "the inventory sets nginx_proxy_ssl_certificate"
        made.add(host, Entry(host.path, option.line, f"[{section.name}] {name}", verdict, text))


def _read_processes(made: Plan, servers: _Servers, programs: Sequence[Program]) -> None:
    """How many processes serve the site: as many as there are servers, or processes of its programs."""
    names = {name for program in programs for name in program.servers}
    count = max(len(servers.web), len(names))
    if count > 1:
        made.inputs["uwsgi_processes"] = count


def _read_uwsgi(made: Plan, host: Host, document: _paste_ini.Document) -> list[Socket]:
    """An earlier try with uWSGI: what of its options is worth keeping, and where it listens."""
    kept: dict[str, Any] = {}
    sockets: list[Socket] = []
    section = document.find(_paste_ini.UWSGI)
    for name, option in section.options.items() if section else ():
        if name in ("processes", "workers") and option.value.isdigit():
            made.inputs["uwsgi_processes"] = int(option.value)
        elif name == "threads" and option.value.isdigit():
            made.inputs["uwsgi_threads"] = int(option.value)
        elif name in _LISTENERS:
            made.leftovers.append(Leftover(host.path, option.line, "socket", f"{name} = {option.value}", "replaced by the socket of the role"))
            found = Socket(option.value) if option.value.startswith("/") else address(option.value, 0)
            sockets.append(found)
            if found.port and found.port not in made.ports:
                made.ports.append(found.port)
        elif not _ROLE_OPTIONS.fullmatch(name) and (name, option.value) != ("pythonpath", "lib"):
            value = int(option.value) if option.value.isdigit() else option.value
            problems = _uwsgi_options.problems({name: value})
            if problems:
                made.notes.append(f"{host.path}:{option.line}: [{_paste_ini.UWSGI}] {'; '.join(problems)} (so it is left out)")
            else:
                kept[name] = value
    if kept:
        made.inputs["uwsgi_options"] = kept
    return sockets


def _read_application(made: Plan, host: Host, document: _paste_ini.Document) -> None:
    """The application's own options: its prefix, its files, its job configuration, and what it needs besides."""
    application = _galaxy_options.application(host.text, host.path, read=host.read)
    options = application.options
    server_dir = made.inputs["galaxy_server_dir"]
    for one in application.filters:
        if "prefix" in one.values and "PasteDeploy#prefix" in one.factory:
            made.inputs["nginx_proxy_prefix"] = "/" + one.values["prefix"].strip("/")
            place = document.find(one.section)
            made.leftovers.append(
                Leftover(host.path, place.line if place else 0, "filter", one.section, "stays, and does nothing to what nginx has done already")
            )
    _read_x_accel(made, host, application)
    if options.get("job_config_file"):
        made.inputs["job_handlers_config_file"] = posixpath.normpath(posixpath.join(server_dir, options["job_config_file"]))
    else:
        made.inputs["job_handlers_config_file"] = posixpath.join(posixpath.dirname(host.path), "job_conf.xml")
    # Every thread of a process may hold a connection to the database.
    size = _integer(options.get("database_engine_option_pool_size", ""), _POOL_SIZE)
    overflow = _integer(options.get("database_engine_option_max_overflow", ""), _MAX_OVERFLOW)
    threads = made.inputs.get("uwsgi_threads", 0)
    if _galaxy.database_kind(options, ()) == "postgresql" and threads > size + overflow:
        made.app_options["database_engine_option_max_overflow"] = str(threads - size)


def _place(host: Host, application: Application, *options: str) -> Place:
    """Where the first of these options is that the application has, or else the section of the application."""
    places = [application.places[option] for option in options if option in application.places]
    return places[0] if places else Place(host.path, application.section, 0)


def _read_x_accel(made: Plan, host: Host, application: Application) -> None:
    """The directory that nginx goes on to send datasets from: that of the datasets, and nothing above."""
    options, server_dir = application.options, made.inputs["galaxy_server_dir"]
    made.inputs["nginx_proxy_x_accel_dirs"] = []
    if not options.get("nginx_x_accel_redirect_base"):
        return
    files = posixpath.normpath(posixpath.join(server_dir, options.get("file_path", "database/files")))
    made.inputs["nginx_proxy_x_accel_dirs"] = [files]
    if any(f"{place}/".startswith(f"{files.rstrip('/')}/") for place in (posixpath.dirname(host.path), server_dir)):
        message = (
            f"the datasets lie in {files}, beside the application or its configuration, and nginx could send those too: "
            "move the datasets into a directory of their own"
        )
        path, section, line = _place(host, application, "file_path", "nginx_x_accel_redirect_base")
        made.add(host, Entry(path, line, f"[{section}] file_path", PROBLEM, message))
        made.inputs["nginx_proxy_x_accel_dirs"] = []
    for name in ("object_store_config_file", "object_store_cache_path", "library_import_dir", "user_library_import_dir", "new_file_path", "ftp_upload_dir"):
        if options.get(name):
            text = f"nginx sends from {files} only: where the application sends files of {name} too, set nginx_proxy_x_accel_dirs to all such directories"
            path, section, line = _place(host, application, name)
            made.add(host, Entry(path, line, f"[{section}] {name}", NOTE, text))
    if options["nginx_x_accel_redirect_base"].startswith("/"):
        made.inputs["nginx_proxy_x_accel_base"] = options["nginx_x_accel_redirect_base"].rstrip("/")
    else:
        text = "a path of nginx begins with a slash: correct the option"
        path, _section, line = _place(host, application, "nginx_x_accel_redirect_base")
        made.add(host, Entry(path, line, "nginx_x_accel_redirect_base", PROBLEM, text))


def _read_proxy_options(made: Plan, host: Host) -> None:
    """Options of the application that need what only the old site did."""
    application = _galaxy_options.application(host.text, host.path, read=host.read)
    for name, (path, section, line) in application.places.items():
        text = f"[{section}] {name}"
        if name == "nginx_x_accel_redirect_base":
            made.add(host, Entry(path, line, text, CARRIED, "carried over to nginx_proxy_x_accel_base"))
        elif _PROXY_OPTIONS.fullmatch(name) and application.options.get(name, "").lower() not in ("false", "none", ""):
            if _has_location(host, name, application.options):
                made.add(host, Entry(host.path, line, text, CARRIED, "nginx_proxy_server_snippet has its location"))
                continue
            remedy = "remove the option, or write its location into nginx_proxy_server_snippet"
            message = f"the site of the role does not do what {name} needs: {remedy}"
            made.add(host, Entry(path, line, text, PROBLEM, message))
    galaxy = _galaxy.remote_user(application.options)
    source = made.inputs.get("nginx_proxy_remote_user") or host.known.get("nginx_proxy_remote_user")
    if galaxy.used and not made.sites and not source:
        message = "no site of nginx tells who the user is: set nginx_proxy_remote_user"
        path, section, line = _place(host, application, "use_remote_user")
        made.add(host, Entry(path, line, f"[{section}] use_remote_user", PROBLEM, message))


def _has_location(host: Host, name: str, options: dict[str, str]) -> bool:
    """Whether the snippet of the inventory has the location that an option, or another one of its kind, names."""
    kind = "_".join(name.split("_")[:2])
    paths = {f"/{value.strip('/')}" for option, value in options.items() if option.startswith(kind) and value.strip("/")}
    return any(path.rstrip("/") in paths for path in _migration_snippets.read(host).locations())


def _read_user(made: Plan, host: Host, programs: Sequence[Program]) -> None:
    """Whom the processes run as: by the process itself, else by its program, else by the owner of the file; never root."""
    if host.process_user and not any(program.user for program in programs):
        made.inputs["galaxy_user"] = host.process_user
    if made.inputs["galaxy_user"] == "root" and not (host.known.get("galaxy_user") or host.known.get("uwsgi_user")):
        made.problems.append(
            f"{host.path}:0: galaxy_user: nothing tells an account of the application but root, as which nothing of it may run: set galaxy_user"
        )


# Job handlers


def _read_handlers(made: Plan, host: Host, sections: Sequence[str], programs: Sequence[Program]) -> None:
    """The job handlers: those that attach themselves to pools, those of the job configuration, else those that are servers."""
    handling = host.job_conf or _job_conf.Handling()
    handlers = _migration_programs.dynamic_handlers(made, host, programs)
    if handlers:
        made.inputs["job_handlers_mode"] = "dynamic"
        for handler in handling.handlers:
            if handler.id not in {known["id"] for known in handlers}:
                place = Entry(made.inputs["job_handlers_config_file"], handler.line, f"handler {handler.id!r}", PROBLEM, "")
                message = "other handlers attach themselves to pools, and the role runs one kind only: attach this handler to a pool too, or remove it"
                made.add(host, Entry(place.path, place.line, place.name, PROBLEM, message))
    elif handling.handlers:
        handlers = [
            {"id": handler.id, "tags": list(handler.tags), **({"plugins": list(handler.plugins)} if handler.plugins else {})}
            for handler in handling.handlers
        ]
    else:
        handlers = [{"id": name, "tags": []} for name in sections]
    _migration_programs.successors(made, host, programs, {handler["id"]: handler["id"] for handler in handlers})
    if not handlers:
        return
    made.inputs["job_handlers"] = handlers
    for option, value in (("default", handling.default), ("max_grab", handling.max_grab), ("ready_window_size", handling.ready_window_size)):
        if value:
            made.inputs[f"job_handlers_{option}"] = value
    _rename_handlers(made, host, handling)
    options = _galaxy_options.application(host.text, host.path, read=host.read).options
    if handling.assign_with:
        made.inputs["job_handlers_assign_with"] = list(handling.assign_with)
    else:
        can_skip = _galaxy.database_kind(options, ()) == "postgresql" and host.version is not None and host.version.release >= (19, 1)
        other = "db-transaction-isolation" if "job_handlers_mode" in made.inputs else "db-preassign"
        made.inputs["job_handlers_assign_with"] = ["db-skip-locked" if can_skip else other]
    if options.get("track_jobs_in_database", "").lower() not in _paste_ini.TRUE:
        made.app_options["track_jobs_in_database"] = "true"


def _rename_handlers(made: Plan, host: Host, handling: _job_conf.Handling) -> None:
    """Rename each handler that has a name of the web processes: a web process of uWSGI would be this handler too."""
    path = made.inputs["job_handlers_config_file"]
    lines = {handler.id: handler.line for handler in handling.handlers}
    taken = {handler["id"] for handler in made.inputs["job_handlers"]} | handling.names
    for handler in made.inputs["job_handlers"]:
        old = handler["id"]
        # With whatever version: the releases that have no trouble with such a name are going to be upgraded.
        if not _galaxy.Galaxy().names_web(old):
            continue
        new = next(name for name in map("handler{}".format, itertools.count()) if name not in taken)
        taken.add(new)
        handler.update(id=new, previous_ids=[old])
        if made.inputs.get("job_handlers_default") == old:
            made.inputs["job_handlers_default"] = new
        made.notes.append(
            f"{path}:{lines.get(old, 0)}: the handler {old!r} becomes {new!r}, because web processes of uWSGI are called {old!r} and would run its jobs: "
            f"the jobs that wait for {old!r} go to {new!r} as it starts, and back on the way back"
        )
        for reference in host.references:
            if reference.name == old:
                made.problems.append(
                    f"{path}:{reference.line}: {reference.who} names the handler {old!r}, which becomes {new!r}: give the handler a tag and name the tag "
                    "here, then run this again"
                )
