# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the programs of supervisor and the units of systemd that serve the application or run its jobs."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy, _handlers, _paste_ini
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_plan import (
    CARRIED,
    NOT_NEEDED,
    NOTE,
    PROBLEM,
    Entry,
    Host,
    Leftover,
    Plan,
)
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._secrets import mask_value

# What is started by a program of supervisor that serves the application or runs its jobs.
_PROGRAM = re.compile(r"\b(?:paster(?:\.py)?|pserve|gunicorn|galaxy-main|galaxy/main\.py|run\.sh|uwsgi)\b")
_HANDLER_PROGRAM = re.compile(r"galaxy-main|galaxy/main")
_HANDLER_NAME = re.compile(r"handler")
_SERVER_NAME = re.compile(r"--server-name[= ](\S+)")
_POOL = re.compile(r"--attach-to-pool[= ](\S+)")
_DIRECTORY = re.compile(r"\bcd\s+[\"']?(/[^\s\"';&]+)")
# What systemd puts in; supervisor writes such names in parentheses.
_SPECIFIER = re.compile(r"%([%A-Za-z])")
# From the first slash of a word on, so that a word is read once.
_BINARY = re.compile(
    r"(?<!\S)[^\s/]*(?P<virtualenv>/\S+)/bin/(?:python[\d.]*|paster|pserve|uwsgi|galaxy-main|gunicorn)\b"
)
_NUMBER = re.compile(r"%\(process_num\)(0?\d*)[ds]")
_STANDARD_PATH = {
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "",
    "/usr/games",
    "/usr/local/games",
    "/snap/bin",
}
_ACCOUNT = {"HOME", "USER", "LOGNAME", "SHELL", "PWD"}
_ITEM = re.compile(r"\s*(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>\"[^\"]*\"|'[^']*'|[^,\"'\s][^,]*|)\s*(?:,|\Z)")

# Options of supervisor and systemd that the service of the role has in its own way; each of the others is noted.
_SERVICE_OPTIONS = {
    "command", "directory", "user", "environment", "numprocs", "numprocs_start", "process_name", "autostart", "autorestart", "startsecs", "startretries",
    "exitcodes", "stopsignal", "stopwaitsecs", "stopasgroup", "killasgroup", "redirect_stderr", "stdout_logfile", "stdout_logfile_maxbytes",
    "stdout_logfile_backups", "stdout_capture_maxbytes", "stdout_events_enabled", "stdout_syslog", "stderr_logfile", "stderr_logfile_maxbytes",
    "stderr_logfile_backups", "stderr_capture_maxbytes", "stderr_events_enabled", "stderr_syslog", "priority", "loglevel", "serverurl",
    "ExecStart", "User", "Group", "WorkingDirectory", "Environment", "Type", "Restart", "RestartSec", "PIDFile", "TimeoutStartSec", "TimeoutStopSec",
    "KillMode", "KillSignal", "StandardOutput", "StandardError", "SyslogIdentifier", "RemainAfterExit", "TimeoutSec", "GuessMainPID", "NotifyAccess",
}  # fmt: skip


@dataclass
class Program:
    """A program that supervisor or systemd runs."""

    path: str
    line: int
    name: str
    options: dict[str, str]
    lines: dict[str, int] = field(default_factory=dict)
    variables: list[tuple[str, str, int]] = field(default_factory=list)
    command: str = ""
    directory: str = ""
    user: str = ""
    unit: bool = False
    # The files with further variables, and where they are named.
    files: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def servers(self) -> list[str]:
        """The names of its processes, which Galaxy knows them by."""
        found = _SERVER_NAME.search(self.command)
        name = found.group(1) if found else _galaxy.WEB_NAME
        match = _NUMBER.search(name)
        if not match:
            return [name]
        first, count = (
            _integer(self.options.get("numprocs_start", ""), 0),
            _integer(self.options.get("numprocs", ""), 1),
        )
        return [
            name[: match.start()] + f"%{match.group(1)}d" % number + name[match.end() :]
            for number in range(first, first + count)
        ]

    @property
    def pools(self) -> list[str]:
        """The pools that its processes attach themselves to."""
        return _POOL.findall(self.command)

    def is_handler(self, handlers: Collection[str]) -> bool:
        """Whether it runs jobs and no site."""
        if self.pools or _HANDLER_PROGRAM.search(self.command):
            return True
        return any(
            name != _galaxy.WEB_NAME and (name in handlers or bool(_HANDLER_NAME.search(name))) for name in self.servers
        )

    @property
    def virtualenv(self) -> str:
        """The virtualenv that its command, or its environment, names."""
        values = {name: value for name, value, _line in self.variables}
        places = [self.command, *(f"{part}/python" for part in values.get("PATH", "").split(":"))]
        named = values.get("VIRTUAL_ENV", "").rstrip("/")
        for place in [places[0], *([f"{named}/bin/python"] if named.startswith("/") else []), *places[1:]]:
            match = _BINARY.search(place)
            if match and match.group("virtualenv") not in ("/usr", "/usr/local", "/opt", "/snap"):
                return match.group("virtualenv")
        return ""


def _integer(text: str, default: int) -> int:
    return int(text) if text.strip().isdigit() else default


def is_about(host: Host, command: str, directory: str) -> bool:
    """Whether a command starts this application: it names the file, or runs in the directory with the file's own name left to Galaxy."""
    if not _PROGRAM.search(command):
        return False
    if re.search(rf"(?<![\w./-]){re.escape(host.path)}(?![\w./-])", command):
        return True
    moved = _DIRECTORY.search(command)
    directory = moved.group(1) if moved else directory
    inside = posixpath.normpath(directory) in (posixpath.dirname(host.path), host.server_dir) if directory else False
    words = [word.partition("=")[2] or word for word in re.split(r"[\s\"';&]+", command)]
    files = [
        posixpath.normpath(posixpath.join(directory, word))
        for word in words
        if posixpath.basename(word) == posixpath.basename(host.path)
    ]
    named = [word for word in words if word.endswith((".ini", ".yml", ".yaml"))]
    return inside and (host.path in files or bool(_galaxy_default(command, named)))


def _galaxy_default(command: str, named: Sequence[str]) -> bool:
    """Whether Galaxy itself looks for its file."""
    return "run.sh" in command or (bool(_HANDLER_PROGRAM.search(command)) and not named)


# supervisor


def clean(value: str) -> str:
    """A value without its comment, which supervisor takes away."""
    return re.split(r"\s;", value)[0].strip()


def parse_environment(text: str) -> list[tuple[str, str]]:
    """The names and values of supervisor's C(environment); raise ValueError where it could not read it."""
    found = []
    index = 0
    text = " ".join(text.split("\n")).strip()
    while index < len(text):
        match = _ITEM.match(text, index)
        if not match:
            raise ValueError('supervisor could not read this: write NAME="value", and commas between')
        value = match.group("value").strip()
        found.append((match.group("name"), value[1:-1] if value[:1] in ("'", '"') and value else value))
        index = match.end()
    return found


def supervisor_programs(made: Plan, host: Host) -> Iterator[tuple[str, list[_paste_ini.Section], list[Program]]]:
    """The files of supervisor, each with its sections and the programs of this application in it."""
    shared: list[tuple[str, str, int]] = []
    parsed: dict[str, list[_paste_ini.Section]] = {}
    for path, text in host.supervisor.items():
        try:
            parsed[path] = list(_paste_ini.parse(text).sections)
        except _paste_ini.PasteIniError as error:
            made.problems.append(str(error.finding(path)))
            continue
        for section in parsed[path]:
            if section.name == "supervisord":
                shared += _variables(made, host, path, section, {"here": posixpath.dirname(path)})
    groups = _groups([section for sections in parsed.values() for section in sections])
    for path, sections in parsed.items():
        programs = []
        for section in sections:
            kind, _colon, name = section.name.partition(":")
            known = _known(path, name.strip(), groups)
            values = {
                option: _expanded(clean(value.value), known) if option != "environment" else value.value
                for option, value in section.options.items()
            }
            if kind not in ("program", "fcgi-program") or not is_about(
                host, values.get("command", ""), values.get("directory", "")
            ):
                continue
            own = _variables(made, host, path, section, known)
            names = {variable for variable, _value, _line in own}
            inherited = [item for item in shared if item[0] not in names]
            lines = {option: value.line for option, value in section.options.items()}
            programs.append(
                Program(
                    path,
                    section.line,
                    name.strip(),
                    values,
                    lines,
                    [*own, *inherited],
                    values.get("command", ""),
                    values.get("directory", ""),
                    values.get("user", ""),
                )
            )
        yield path, sections, programs


def _groups(sections: Iterable[_paste_ini.Section]) -> dict[str, str]:
    """The groups that programs are in, by the names of the programs."""
    return {
        member: section.name.partition(":")[2].strip() for section in sections for member in _members(section) if member
    }


def _members(section: _paste_ini.Section) -> list[str]:
    """The programs of a group; none of another section."""
    if not section.name.startswith("group:") or "programs" not in section.options:
        return []
    return [member.strip() for member in clean(section.options["programs"].value).split(",")]


def _known(path: str, program: str, groups: Mapping[str, str]) -> dict[str, str]:
    """What supervisor puts in by name, as far as its files tell."""
    return {"here": posixpath.dirname(path), "program_name": program, "group_name": groups.get(program, program)}


def _expanded(value: str, known: Mapping[str, str]) -> str:
    """A value with what is known put in; the names of others stay."""
    return re.sub(r"%(?:%|\((\w+)\)s)", lambda match: "%" if match[0] == "%%" else known.get(match[1], match[0]), value)


def _variables(
    made: Plan, host: Host, path: str, section: _paste_ini.Section, known: Mapping[str, str]
) -> list[tuple[str, str, int]]:
    option = section.options.get("environment")
    if option is None:
        return []
    try:
        items = parse_environment(clean(option.value))
    except ValueError as error:
        made.add(host, Entry(path, option.line, f"[{section.name}] environment", PROBLEM, str(error)))
        return []
    return [(name, _expanded(value, known), option.line) for name, value in items]


# systemd


def unit_programs(host: Host) -> Iterator[Program]:
    """The units of systemd that start this application, each with its drop-ins."""
    units: dict[str, list[str]] = {}
    for path in sorted(host.units):
        directory, file = posixpath.split(path)
        name = posixpath.basename(directory)[: -len(".d")] if directory.endswith(".service.d") else file
        units.setdefault(name, []).append(path)
    for name, paths in units.items():
        # The unit itself, then its drop-ins by their names.
        paths.sort(key=lambda path: (path.endswith(".conf"), posixpath.basename(path)))
        program = Program(paths[0], 1, name, {}, unit=True)
        for path in paths:
            _read_unit(program, path, host.units[path])
        program.command = _specified(name, program.options.get("ExecStart", ""))
        program.directory = program.options.get("WorkingDirectory", "").lstrip("-~")
        program.user = program.options.get("User", "")
        if is_about(host, program.command, program.directory):
            yield program


def _read_unit(program: Program, path: str, text: str) -> None:
    section = ""
    for number, line in _logical_lines(text):
        if line.startswith("["):
            section = line.strip("[]")
        elif section == "Service" and "=" in line:
            name, value = (part.strip() for part in line.split("=", 1))
            program.lines.setdefault(name, number)
            if name == "Environment":
                program.variables = [] if not value else program.variables
                for word in shlex.split(value):
                    variable, equals, setting = word.partition("=")
                    if equals:
                        program.variables = [item for item in program.variables if item[0] != variable]
                        program.variables.append((variable, _specified(program.name, setting), number))
            elif name == "EnvironmentFile":
                program.files = [*program.files, (value, path, number)] if value else []
            elif name == "ExecStart" and value and program.options.get(name):
                program.options[name] += f" {value}"
            else:
                program.options[name] = value


def _specified(unit: str, value: str) -> str:
    """A value with what systemd puts in by the name of the unit; what else it puts in is written as supervisor does."""
    stem = unit.rpartition(".")[0]
    known = {"%": "%", "n": unit, "N": stem, "p": stem.partition("@")[0]}
    return _SPECIFIER.sub(lambda match: known.get(match[1], f"%({match[1]})s"), value)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, with those that follow a backslash."""
    start, kept = 0, ""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line.startswith(("#", ";")) or not (line or kept):
            continue
        start = start or number
        if line.endswith("\\"):
            kept += line[:-1] + " "
            continue
        yield start, kept + line
        start, kept = 0, ""
    if kept:
        yield start, kept


# What becomes of them


def read_programs(made: Plan, host: Host, handlers: Iterable[str]) -> list[Program]:
    """The programs of supervisor and units that run the application, and what the files of supervisor are without the programs."""
    names = set(handlers)
    found: list[Program] = []
    files: dict[str, list[_paste_ini.Section]] = {}
    for path, sections, programs in supervisor_programs(made, host):
        for program in programs:
            is_handler = program.is_handler(names)
            (made.handler_programs if is_handler else made.web_programs).append(program.name)
            made.leftovers.append(
                Leftover(path, program.line, "program", program.name, "stopped and taken out of the file")
            )
            _read_program(made, host, program, is_handler)
        found += programs
        files[path] = sections
    own = [program.name for program in found]
    members = _groups(section for sections in files.values() for section in sections)
    made.groups += dict.fromkeys(members.get(name, name) for name in own)
    for path, sections in files.items():
        for section in sections:
            _read_group(made, path, section, own)
        # supervisor refuses a group of a program that is gone, in whatever file.
        if any(program.path == path for program in found) or any(set(own) & set(_members(one)) for one in sections):
            made.rewritten[path] = without(host.supervisor[path], own)
    for unit in unit_programs(host):
        action = "stop and disable it before" if unit.is_handler(names) else "stopped and disabled where it listens"
        made.leftovers.append(
            Leftover(unit.path, unit.line, "unit", unit.name, f"{action}; the file stays for the way back")
        )
        _read_program(made, host, unit, unit.is_handler(names))
        found.append(unit)
    return found


def _read_group(made: Plan, path: str, section: _paste_ini.Section, own: Collection[str]) -> None:
    """Which programs of something else are in a group that changes."""
    members = _members(section)
    others = [member for member in members if member not in own]
    if others and len(others) < len(members):
        action = (
            f"stays without them; supervisor stops {', '.join(others)} and starts it again, because the group changes"
        )
        line = section.options["programs"].line
        made.leftovers.append(Leftover(path, line, "group", section.name.partition(":")[2].strip(), action))


def _read_program(made: Plan, host: Host, program: Program, is_handler: bool) -> None:
    # What serves the site says more than what runs jobs.
    for option, value in (
        ("galaxy_user", program.user),
        ("galaxy_server_dir", program.directory),
        ("galaxy_venv_dir", program.virtualenv),
    ):
        if value and (
            not is_handler or option not in made.inputs or made.inputs[option] in (host.user, host.server_dir)
        ):
            made.inputs[option] = value
    for name, line in program.lines.items():
        text = f"[{program.name}] {name}"
        if name in ("user", "directory", "User", "WorkingDirectory"):
            made.add(
                host,
                Entry(
                    program.path,
                    line,
                    text,
                    CARRIED,
                    f"carried over to {'galaxy_user' if name in ('user', 'User') else 'galaxy_server_dir'}",
                ),
            )
        elif name == "EnvironmentFile":
            inputs = "job_handlers_environment" if is_handler else "uwsgi_environment"
            verdict = NOTE if host.known.get(inputs) else PROBLEM
            for file, path, number in program.files:
                message = f"the variables of {file} are not read: set {inputs} to those that are still needed"
                made.add(host, Entry(path, number, text, verdict, message))
        elif name not in _SERVICE_OPTIONS:
            made.add(
                host,
                Entry(
                    program.path,
                    line,
                    text,
                    NOTE,
                    "the service of the role does not have this setting: add a drop-in for its unit if it is needed",
                ),
            )
        elif name not in ("environment", "Environment"):
            made.add(host, Entry(program.path, line, text, NOT_NEEDED, "the service of the role has its own setting"))
    for variable, value, line in program.variables:
        _read_variable(
            made, host, program, is_handler, Entry(program.path, line, f"[{program.name}] {variable}", CARRIED, value)
        )


def _read_variable(made: Plan, host: Host, program: Program, is_handler: bool, entry: Entry) -> None:
    """One variable of an environment; I(entry) has its value, which may be secret, as its text."""
    option = "job_handlers_environment" if is_handler else "uwsgi_environment"
    variable, value = entry.name.rpartition(" ")[2], entry.text

    def add(verdict: str, text: str) -> None:
        made.add(host, Entry(entry.path, entry.line, entry.name, verdict, text))

    if variable in (host.known.get(option) or ()):
        add(CARRIED, f"the inventory sets it in {option}")
    elif variable in _ACCOUNT:
        add(NOT_NEEDED, "the service of the role sets it by the account that it runs as")
    elif variable == "VIRTUAL_ENV" or (variable == "PATH" and _is_standard_path(value, program.virtualenv)):
        add(NOT_NEEDED, "the service of the role sets it by galaxy_venv_dir")
    elif variable in ("GALAXY_CONFIG_SERVER_NAME", "GALAXY_CONFIG_OVERRIDE_SERVER_NAME"):
        add(PROBLEM, "it would give all processes one name: remove it")
    elif mask_value(variable, value) != value:
        add(
            PROBLEM,
            f"its value looks like a secret, which is not shown here: set it in {option}, in a file of ansible-vault",
        )
    elif "%(" in value:
        add(PROBLEM, f"only the service manager knows what its value stands for: set it in {option}")
    elif option in host.known:
        add(PROBLEM, f"the inventory sets {option}, and this variable is not in it: add the variable there")
    elif made.inputs.get(option, {}).get(variable, value) != value:
        add(
            PROBLEM,
            f"another program gives it another value: set it in {option}, or in the environment of each handler in job_handlers",
        )
    else:
        made.inputs.setdefault(option, {})[variable] = value
        add(CARRIED, f"carried over to {option}")


def _is_standard_path(value: str, virtualenv: str) -> bool:
    parts = [part.rstrip("/") for part in value.split(":")]
    return all(
        part in _STANDARD_PATH or part == f"{virtualenv}/bin" or part.startswith(("%(ENV_PATH)", "$PATH"))
        for part in parts
    )


def without(text: str, programs: Sequence[str]) -> Optional[str]:
    """The file of supervisor without these programs, and without groups of nothing else; None if nothing is left."""
    names = set(programs)
    for section in _paste_ini.parse(text).sections:
        kind, _colon, name = section.name.partition(":")
        if kind in ("program", "fcgi-program") and name.strip() in names:
            text = _paste_ini.remove_section(text, section.name)
    for section in _paste_ini.parse(text).sections:
        members = _members(section)
        if members:
            stay = [member for member in members if member not in names]
            if not stay:
                text = _paste_ini.remove_section(text, section.name)
            elif stay != members:
                text = _paste_ini.set_section(text, section.name, {"programs": ",".join(stay)}, exclusive=False)
    return text if _paste_ini.parse(text).sections else None


# Handlers that attach themselves to pools


def dynamic_handlers(made: Plan, host: Host, programs: Iterable[Program]) -> list[dict[str, Any]]:
    """The handlers of programs that attach themselves to pools, as I(job_handlers) has them; what has no successor is a problem."""
    handlers: list[dict[str, Any]] = []
    for program in programs:
        pools = program.pools
        if not pools:
            continue
        tags = [pool[len("job-handlers.") :] for pool in pools if pool.startswith("job-handlers.")]
        scheduler = "workflow-schedulers" in pools
        handler: dict[str, Any] = {"workflow_scheduler": True} if scheduler else {"tags": tags}
        wanted = ["workflow-schedulers"] if scheduler else _handlers.pools({"tags": tags})
        for name in program.servers:
            if name in {known["id"] for known in handlers}:
                _complain(
                    made,
                    host,
                    program,
                    f"two processes are called {name}: give each program a --server-name of its own",
                )
            elif "%(" in name:
                _complain(
                    made,
                    host,
                    program,
                    f"nothing tells the names of its processes, {name}: write --server-name with %(process_num)s only",
                )
            else:
                handlers.append({"id": name, **handler})
        if sorted(pools) != sorted(wanted):
            message = f"no handler of the role attaches itself to {', '.join(pools)} at once: set job_handlers to one handler for each purpose"
            if not host.known.get("job_handlers"):
                _complain(made, host, program, message)
    return handlers


def _complain(made: Plan, host: Host, program: Program, message: str) -> None:
    made.add(host, Entry(program.path, program.line, f"[{program.name}]", PROBLEM, message))


def _has_successor(name: str, servers: Collection[str]) -> bool:
    """Whether a handler of this name is there, or one that the name may stand for."""
    parts = [re.escape(part) for part in re.split(r"%\(\w+\)\w", name)]
    return any(re.fullmatch(".+".join(parts), server) for server in servers)


def successors(made: Plan, host: Host, programs: Iterable[Program], servers: Mapping[str, str]) -> None:
    """See that each handler that is going to be stopped has a successor; I(servers) are the new ids by the old ones."""
    for program in programs:
        is_handler = program.name in made.handler_programs or (program.unit and program.is_handler(servers))
        gone = [name for name in program.servers if not _has_successor(name, servers)] if is_handler else []
        if not gone or host.known.get("job_handlers"):
            continue
        if servers and not program.pools:
            message = f"the job configuration gives no jobs to {', '.join(gone)}, so nothing takes its place"
            made.add(host, Entry(program.path, program.line, f"[{program.name}]", NOTE, message))
        else:
            _complain(
                made,
                host,
                program,
                f"nothing would take the place of {', '.join(gone)}: set job_handlers, or register it in the job configuration",
            )
