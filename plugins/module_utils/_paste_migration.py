# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read how a Galaxy, or another Paste Deploy application, is served by Paste, and say it in the options of the roles.

Text in, plan out: the configuration file with its servers, the programs of supervisor, the sites of nginx.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy, _job_conf, _paste_ini, _uwsgi_options

_SERVER = "server:"
_HANDLER_NAME = re.compile(r"handler")
_DEFAULT_PORT = 8080  # Paste's

# What is started by a program of supervisor that serves the application or runs its jobs.
_PROGRAM = re.compile(r"\b(?:paster(?:\.py)?|pserve|galaxy-main|galaxy/main\.py|run\.sh|uwsgi)\b")
_SERVER_NAME = re.compile(r"--server-name[= ](\S+)")
# From the first slash of a word on, so that a word is read once.
_BINARY = re.compile(r"(?<!\S)[^\s/]*(?P<virtualenv>/\S+)/bin/(?:python[\d.]*|paster|pserve|uwsgi)\b")

# Options of [uwsgi] that the role sets in its own way, or that belong to the service manager now.
_ROLE_OPTIONS = re.compile(
    "chdir|chmod-socket|chown-socket|daemonize2?|die-on-term|enable-threads|gid|home|hook-.*|https?|http-socket|ini-paste|lazy-apps|logto|master|module|"
    "need-app|no-orphans|paste|pidfile2?|plugins?|processes|py-call-.*|socket|stats|strict|threads|thunder-lock|touch-reload|uid|uwsgi-socket|vacuum|"
    "venv|virtualenv|workers"
)
_LISTENERS = ("http", "http-socket", "socket", "uwsgi-socket")
_POOL_SIZE, _MAX_OVERFLOW = 5, 10  # SQLAlchemy's
_TOKEN = re.compile(r"#[^\n]*|\"(?:\\(?s:.)|[^\"\\])*\"|'(?:\\(?s:.)|[^'\\])*'|[{};]|[^\s{};]+|\n")
_PASSES = ("proxy_pass", "uwsgi_pass")
_SIZE = re.compile(r"[0-9]+[kKmMgG]?")


@dataclass(frozen=True)
class Leftover:
    """Something of the old set-up that is not needed any more, where it stands, and what becomes of it."""

    path: str
    line: int
    kind: str
    name: str
    action: str


@dataclass
class Plan:
    """The options of the roles, those of the application, and what is left over.

    I(notes) are for a person to read; with I(problems) nothing can be done.
    """

    inputs: dict[str, Any] = field(default_factory=dict)
    app_options: dict[str, str] = field(default_factory=dict)
    leftovers: list[Leftover] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    web_programs: list[str] = field(default_factory=list)
    handler_programs: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    rewritten: dict[str, Optional[str]] = field(default_factory=dict)
    sites: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Host:
    """What lies on the host: the files by their paths, and what only the host can tell."""

    path: str
    text: str
    server_dir: str
    user: str
    job_conf: Optional[_job_conf.Handling] = None
    supervisor: Mapping[str, str] = field(default_factory=dict)
    nginx: Mapping[str, str] = field(default_factory=dict)
    version: Optional[_galaxy.Version] = None
    references: Sequence[_job_conf.Reference] = ()


def plan(host: Host) -> Plan:
    """Say what the host has to become, or raise L(PasteIniError) where its file cannot be read."""
    made = Plan()
    document = _paste_ini.parse(host.text)
    servers = [section for section in document.sections if section.name.startswith(_SERVER)]
    ids = {handler.id for handler in host.job_conf.handlers} if host.job_conf else set()
    handlers = [section for section in servers if _is_handler(_name(section), ids)]
    web = [section for section in servers if section not in handlers]
    made.inputs.update(galaxy_config_file=host.path, galaxy_server_dir=host.server_dir, galaxy_user=host.user)
    _read_servers(made, host, web, handlers)
    # The server of that name serves the site, even where it runs jobs too.
    _read_programs(made, host, ({_name(section) for section in handlers} | ids) - {_galaxy.WEB_NAME})
    _read_uwsgi(made, host, document)
    _read_application(made, host, document)
    _read_handlers(made, host, [_name(section) for section in handlers])
    _read_nginx(made, host)
    return made


def name_problems(instance: str, sites: Iterable[str], programs: Iterable[str]) -> list[str]:
    """What of the old files has the name of one that the roles write: it would be overwritten, and the way back would remove it."""
    clashes = [path for path in sites if posixpath.basename(path) == f"{instance}.conf"]
    clashes += [path for path in programs if posixpath.basename(path) in (f"{instance}-web.conf", f"{instance}-handlers.conf")]
    remedy = f"the roles write a file of that name for the instance {instance}: rename it, or set uwsgi_instance to another name, then run this again"
    return [f"{path}: {remedy}" for path in clashes]


def _name(section: _paste_ini.Section) -> str:
    return section.name[len(_SERVER) :].strip()


def _is_handler(name: str, ids: Iterable[str]) -> bool:
    """Whether a server of this name runs jobs and no site: C(main) serves the site, whatever it does beside that."""
    return name != _galaxy.WEB_NAME and (name in ids or bool(_HANDLER_NAME.search(name)))


def _integer(text: str, default: int) -> int:
    return int(text) if text.strip().isdigit() else default


def _read_servers(made: Plan, host: Host, web: Sequence[_paste_ini.Section], handlers: Sequence[_paste_ini.Section]) -> None:
    """The servers of Paste: how many processes and threads, and which ports nobody listens to any more."""
    threads = []
    for section in [*web, *handlers]:
        values = {name: option.value for name, option in section.options.items()}
        port = _integer(values.get("port", ""), _DEFAULT_PORT)
        made.leftovers.append(
            Leftover(host.path, section.line, "server", section.name, f"port {port} is no longer used; the section stays for the way back, uWSGI ignores it")
        )
        made.ports.append(port)
        if section in web and "threadpool_workers" in values:
            threads.append(_integer(values["threadpool_workers"], 0))
    if any(threads):
        made.inputs["uwsgi_threads"] = max(threads)
    if len(web) > 1:
        made.inputs["uwsgi_processes"] = len(web)


def _read_programs(made: Plan, host: Host, handlers: Iterable[str]) -> None:
    """The programs of supervisor that serve the application or run its jobs, and what its files are without them."""
    names = set(handlers)
    for path, text in host.supervisor.items():
        try:
            sections = _paste_ini.parse(text).sections
        except _paste_ini.PasteIniError as error:
            made.problems.append(str(error.finding(path)))
            continue
        gone = []
        for section in sections:
            values = {name: option.value for name, option in section.options.items()}
            command = values.get("command", "")
            if section.name.startswith("program:") and is_about(host, command, values.get("directory", "")):
                gone.append(section)
                _read_program(made, path, section, values, names)
        members = {
            member.strip(): section.name.partition(":")[2]
            for section in sections
            if section.name.startswith("group:") and "programs" in section.options
            for member in section.options["programs"].value.split(",")
        }
        programs = [section.name.partition(":")[2].strip() for section in gone]
        made.groups += dict.fromkeys(members.get(program, program) for program in programs)
        if gone:
            made.rewritten[path] = _without(text, [section.name for section in gone])


def is_about(host: Host, command: str, directory: str) -> bool:
    """Whether a command starts this application: it names the file, or runs in the directory with the file's own name left to Galaxy."""
    if not _PROGRAM.search(command):
        return False
    if host.path in command:
        return True
    inside = posixpath.normpath(directory) in (posixpath.dirname(host.path), host.server_dir) if directory else False
    words = {posixpath.basename(word.partition("=")[2] or word) for word in command.split()}
    return inside and (posixpath.basename(host.path) in words or "run.sh" in command)


def _read_program(made: Plan, path: str, section: _paste_ini.Section, values: Mapping[str, str], handlers: set[str]) -> None:
    name = section.name.partition(":")[2].strip()
    command = values["command"]
    found = _SERVER_NAME.search(command)
    server = found.group(1) if found else "main"
    is_handler = server in handlers or "%(process_num)" in server or _is_handler(server, ()) or bool(re.search("galaxy-main|galaxy/main", command))
    (made.handler_programs if is_handler else made.web_programs).append(name)
    action = "stopped and taken out of the file"
    made.leftovers.append(Leftover(path, section.line, "program", name, action))
    # Without its comment, which supervisor takes away.
    user, directory = (re.split(r"\s;", values.get(option, ""))[0].strip() for option in ("user", "directory"))
    if user:
        made.inputs["galaxy_user"] = user
    if directory:
        made.inputs["galaxy_server_dir"] = directory
    binary = _BINARY.search(f"{command} {values.get('environment', '')}")
    virtualenv = binary.group("virtualenv") if binary else ""
    if virtualenv and virtualenv not in ("/usr", "/usr/local"):
        made.inputs["galaxy_venv_dir"] = virtualenv
    variables = [variable for variable in re.findall(r"(\w+)\s*=", values.get("environment", "")) if variable not in ("HOME", "PATH", "VIRTUAL_ENV")]
    if variables and not is_handler:
        made.notes.append(f"{path}:{section.line}: [{section.name}] sets {', '.join(variables)}: set them in uwsgi_environment if they are still needed")


def _without(text: str, programs: Sequence[str]) -> Optional[str]:
    """The file of supervisor without these programs, and without groups of nothing else; None if nothing is left."""
    names = {program.partition(":")[2].strip() for program in programs}
    for program in programs:
        text = _paste_ini.remove_section(text, program)
    for section in _paste_ini.parse(text).sections:
        if section.name.startswith("group:") and "programs" in section.options:
            members = [member.strip() for member in section.options["programs"].value.split(",")]
            stay = [member for member in members if member not in names]
            if not stay:
                text = _paste_ini.remove_section(text, section.name)
            elif stay != members:
                text = _paste_ini.set_section(text, section.name, {"programs": ",".join(stay)}, exclusive=False)
    return text if _paste_ini.parse(text).sections else None


def _read_uwsgi(made: Plan, host: Host, document: _paste_ini.Document) -> None:
    """An earlier try with uWSGI: what of its options is worth keeping."""
    kept: dict[str, Any] = {}
    section = document.find(_paste_ini.UWSGI)
    for name, option in section.options.items() if section else ():
        if name in ("processes", "workers") and option.value.isdigit():
            made.inputs["uwsgi_processes"] = int(option.value)
        elif name == "threads" and option.value.isdigit():
            made.inputs["uwsgi_threads"] = int(option.value)
        elif name in _LISTENERS:
            made.leftovers.append(Leftover(host.path, option.line, "socket", f"{name} = {option.value}", "replaced by the socket of the role"))
            port = option.value.rpartition(":")[2]
            if port.isdigit():
                made.ports.append(int(port))
        elif not _ROLE_OPTIONS.fullmatch(name) and (name, option.value) != ("pythonpath", "lib"):
            value = int(option.value) if option.value.isdigit() else option.value
            problems = _uwsgi_options.problems({name: value})
            if problems:
                made.notes.append(f"{host.path}:{option.line}: [{_paste_ini.UWSGI}] {'; '.join(problems)} (so it is left out)")
            else:
                kept[name] = value
    if kept:
        made.inputs["uwsgi_options"] = kept


def _read_application(made: Plan, host: Host, document: _paste_ini.Document) -> None:
    """The application's own options: its prefix, its files, its job configuration, and what it needs besides."""
    options = _paste_ini.application(host.text, host.path).options
    server_dir = made.inputs["galaxy_server_dir"]
    for name in options.get("filter-with", "").split():
        section = f"filter:{name}"
        values = document.values(section)
        if "prefix" in values and "PasteDeploy#prefix" in values.get("use", ""):
            made.inputs["nginx_proxy_prefix"] = "/" + values["prefix"].strip("/")
            place = document.find(section)
            made.leftovers.append(Leftover(host.path, place.line if place else 0, "filter", section, "stays, and does nothing to what nginx has done already"))
    # Where nginx sent datasets, it goes on to do so from the same directory.
    files = posixpath.join(server_dir, options.get("file_path", "database/files"))
    made.inputs["nginx_proxy_x_accel_dirs"] = [posixpath.dirname(posixpath.normpath(files))] if options.get("nginx_x_accel_redirect_base") else []
    if options.get("nginx_x_accel_redirect_base", "").startswith("/"):
        made.inputs["nginx_proxy_x_accel_base"] = options["nginx_x_accel_redirect_base"].rstrip("/")
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


def _read_handlers(made: Plan, host: Host, sections: Sequence[str]) -> None:
    """The job handlers: those of the job configuration, else those that are servers."""
    handling = host.job_conf or _job_conf.Handling()
    if handling.handlers:
        handlers = [
            {"id": handler.id, "tags": list(handler.tags), **({"plugins": list(handler.plugins)} if handler.plugins else {})} for handler in handling.handlers
        ]
    else:
        handlers = [{"id": name, "tags": []} for name in sections]
    if not handlers:
        return
    made.inputs["job_handlers"] = handlers
    if handling.default:
        made.inputs["job_handlers_default"] = handling.default
    _rename_handlers(made, host, handling)
    options = _paste_ini.application(host.text, host.path).options
    if handling.assign_with:
        made.inputs["job_handlers_assign_with"] = list(handling.assign_with)
    else:
        can_skip = _galaxy.database_kind(options, ()) == "postgresql" and host.version is not None and host.version.release >= (19, 1)
        made.inputs["job_handlers_assign_with"] = ["db-skip-locked" if can_skip else "db-preassign"]
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


# nginx


@dataclass
class Directive:
    """A directive of nginx: its words, the line of the first, and those in its block."""

    words: list[str]
    line: int
    block: list[Directive] = field(default_factory=list)

    def find(self, name: str) -> Iterator[Directive]:
        """Every directive of that name inside, however deep."""
        for directive in self.block:
            if directive.words and directive.words[0] == name:
                yield directive
            yield from directive.find(name)

    def ways(self) -> Iterator[list[Directive]]:
        """The blocks around every directive that passes requests on, from this one to the innermost, and the directive itself."""
        for directive in self.block:
            if directive.words and directive.words[0] in _PASSES:
                yield [self, directive]
            for way in directive.ways():
                yield [self, *way]


def parse_nginx(text: str) -> Directive:
    """The directives of a file of nginx, as the block of one without words."""
    top = Directive([], 0)
    stack = [top]
    words: list[str] = []
    line = start = 1
    for token in _TOKEN.findall(text):
        if token in ("{", ";"):
            directive = Directive(words, start)
            stack[-1].block.append(directive)
            if token == "{":
                stack.append(directive)
            words = []
        elif token == "}":
            if len(stack) > 1:
                stack.pop()
            words = []
        elif token != "\n" and not token.startswith("#"):
            start = start if words else line
            words.append(token.strip("\"'"))
        line += token.count("\n")
    return top


def _read_nginx(made: Plan, host: Host) -> None:
    """The sites that pass requests to a port that nobody listens to any more."""
    parsed = {path: parse_nginx(text) for path, text in host.nginx.items()}
    upstreams = {
        directive.words[1]
        for top in parsed.values()
        for directive in top.find("upstream")
        if len(directive.words) > 1 and any(_port(server.words[1]) in made.ports for server in directive.find("server") if len(server.words) > 1)
    }
    names: list[str] = []
    for path, top in parsed.items():
        servers = list(top.find("server"))
        sites = [server for server in servers if server.block]
        ours = [server for server in sites if any(_passes_to(directive, made.ports, upstreams) for directive in _passes(server))]
        # A block that only sends visitors on, as to https, goes along with the one that it sends them to.
        others = [server for server in sites if server not in ours and not (ours and _only_redirects(server))]
        if not ours:
            continue
        if others:
            made.problems.append(f"{path}:{others[0].line}: the file has a site of something else too: move that into a file of its own, then run this again")
            continue
        made.sites.append(path)
        made.leftovers.append(Leftover(path, ours[0].line, "site", posixpath.basename(path), "taken out of nginx, and replaced by the site of the role"))
        ways = [way for server in ours for way in server.ways() if _passes_to(way[-1], made.ports, upstreams)]
        _read_login(made, host, path, ours[0], [way[:-1] for way in ways])
        for server in sites:
            names += [name for directive in server.find("server_name") for name in directive.words[1:] if name not in ("_", "localhost", *names)]
            _read_site(made, path, server)
    if names:
        made.inputs["nginx_proxy_server_names"] = names


def _passes(server: Directive) -> Iterator[Directive]:
    for name in _PASSES:
        yield from server.find(name)


def _passes_to(directive: Directive, ports: Sequence[int], upstreams: set[str]) -> bool:
    target = re.sub(r"^\w+://", "", directive.words[-1]).partition("/")[0]
    return target in upstreams or _port(target) in ports


_REDIRECTS = {"301", "302", "303", "307", "308", "permanent", "redirect"}


def _only_redirects(server: Directive) -> bool:
    sends_on = any(_REDIRECTS & set(directive.words[1:]) for name in ("return", "rewrite") for directive in server.find(name))
    return sends_on and not list(_passes(server))


def _port(address: str) -> int:
    text = address.rpartition(":")[2]
    return int(text) if text.isdigit() else 80


def _read_site(made: Plan, path: str, server: Directive) -> None:
    for directive in server.find("listen"):
        port = _port(directive.words[1] if ":" in directive.words[1] else f":{directive.words[1]}")
        made.inputs["nginx_proxy_ssl_port" if "ssl" in directive.words else "nginx_proxy_port"] = port
    for option in ("ssl_certificate", "ssl_certificate_key"):
        for directive in server.find(option):
            made.inputs[f"nginx_proxy_{option}"] = directive.words[1]
    for directive in server.find("client_max_body_size"):
        if _SIZE.fullmatch(directive.words[1]):
            made.inputs["nginx_proxy_client_max_body_size"] = directive.words[1]


# Who logs people in

_SETS_HEADER = ("proxy_set_header", "uwsgi_param")


def _inherited(way: Sequence[Directive], *names: str) -> list[Directive]:
    """The directives of these names that hold at the end of a way: those of the innermost block that has any."""
    for block in reversed(way):
        found = [directive for directive in block.block if len(directive.words) > 1 and directive.words[0] in names]
        if found:
            return found
    return []


def _environ_name(directive: Directive) -> str:
    """The name that the application knows a header by which the directive sets."""
    name = directive.words[1].upper().replace("-", "_")
    return name if directive.words[0] == "uwsgi_param" else f"HTTP_{name}"


def _read_login(made: Plan, host: Host, path: str, server: Directive, ways: Sequence[Sequence[Directive]]) -> None:
    """The password that a site asks for on all ways to the application, and who the site says to the application that somebody is."""
    logins = []
    for way in ways:
        rules = [directive for name in ("satisfy", "auth_basic", "auth_basic_user_file") for directive in _inherited(way, name)]
        logins.append([directive for directive in rules if directive.words != ["satisfy", "all"]])
    asking = [directive for rules in logins for directive in rules if directive.words[0] == "auth_basic" and directive.words[1] != "off"]
    lines = {"\n".join(map(_line_of, rules)) for rules in logins}
    has_password = bool(asking) and len(lines) == 1 and "satisfy" not in "".join(lines)
    if has_password:
        made.inputs["nginx_proxy_location_snippet"] = f"{lines.pop()}\n"
    elif asking:
        message = "the site asks for a password in some places only: set nginx_proxy_location_snippet, which holds for all requests to the application"
        made.notes.append(f"{path}:{asking[0].line}: {message}")
    galaxy = _galaxy.remote_user(_paste_ini.application(host.text, host.path).options)
    if galaxy.used:
        headers = [[header for header in _inherited(way, *_SETS_HEADER) if _environ_name(header) == galaxy.header] for way in ways]
        values = {" ".join(header.words[2:]) for found in headers for header in found}
        line = next((header.line for found in headers for header in found), server.line)
        note = _read_user(made, server, values.pop() if len(values) == 1 and all(headers) else "", has_password)
        if note:
            made.notes.append(f"{path}:{line}: Galaxy takes the user from {galaxy.header} (use_remote_user), and {note}")


def _line_of(directive: Directive) -> str:
    name, *words = directive.words
    return f"{name} {' '.join(word if re.fullmatch('[A-Za-z0-9._/-]+', word) else _quoted(word) for word in words)};"


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "\\'") + "'" if '"' in word else f'"{word}"'


def _read_user(made: Plan, server: Directive, value: str, has_password: bool) -> str:
    """Carry over what a site says about the user, and return what a person has to look at."""
    if value == "$remote_user" and has_password:
        made.inputs["nginx_proxy_remote_user"] = value
        return ""
    if re.fullmatch(r"\$http_[a-z0-9_]+", value):
        made.inputs["nginx_proxy_remote_user"] = value
        proxies = [directive.words[1] for directive in server.find("set_real_ip_from") if len(directive.words) > 1]
        if proxies:
            made.inputs["nginx_proxy_trusted_proxies"] = proxies
            return ""
        return f"the site takes the user from {value} of every client: set nginx_proxy_trusted_proxies to the addresses of the proxy that sets the header"
    authorities = [directive.words[1] for directive in server.find("ssl_client_certificate") if len(directive.words) > 1]
    if value.startswith("$ssl_client_s_dn") and authorities:
        made.inputs["nginx_proxy_remote_user"] = "$ssl_client_s_dn"
        made.inputs["nginx_proxy_ssl_client_certificate"] = authorities[0]
        return f"the site sends {value}: from now on that is the e-mail address of the subject, or else the common name, so check that users stay the same"
    sends = f"sends {value}" if value else "does not send the same one for all requests"
    return f"the site {sends}: set nginx_proxy_remote_user, and what it needs, before the move"
