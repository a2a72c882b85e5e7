# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the name of an instance is free on a host: everything of an instance is called by it."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
from collections.abc import Collection, Iterator
from typing import Any

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._mark import first_text, has_mark, whose

_PACKAGED_UNITS = ("/usr/lib/systemd/system", "/lib/systemd/system")
_OWN_UNITS = "/etc/systemd/system"
_UNITS = (_OWN_UNITS, "/run/systemd/system", *_PACKAGED_UNITS)
# Where supervisor reads programs
_PROGRAMS = (
    "/etc/supervisor/supervisord.conf",
    "/etc/supervisor/conf.d/*.conf",
    "/etc/supervisord.conf",
    "/etc/supervisord.d/*.ini",
)
_INCLUDE = re.compile(r"^\[include\](?:\n(?!\[).*)*?\nfiles[ \t]*[=:](?P<files>.*(?:\n[ \t]+.*)*)", re.MULTILINE)
_SITES = ("/etc/nginx/sites-available/{0}.conf", "/etc/nginx/sites-enabled/{0}.conf")
# What each role writes for an instance, by the variable that names the instance; a pattern stands for units of one slot or handler.
_WEB_FILES = (
    *(f"{_OWN_UNITS}/{{0}}-{name}" for name in ("web.service", "web@*.service", "web.socket", "web-*.socket", "log.service")),
    "/etc/logrotate.d/{0}-log",
    "/etc/supervisor/conf.d/{0}-web.conf",
    "/usr/local/sbin/{0}-web",
)
_HANDLER_FILES = (
    f"{_OWN_UNITS}/{{0}}-handler@*.service",
    "/etc/supervisor/conf.d/{0}-handlers.conf",
    "/usr/local/sbin/{0}-handlers",
)
_FILES = {
    "uwsgi_instance": _WEB_FILES,
    "job_handlers_instance": _HANDLER_FILES,
    "nginx_proxy_instance": _SITES,
}
# What the programs of each role are called
_PROGRAM_WORDS = {"uwsgi_instance": "web", "job_handlers_instance": "handler", "nginx_proxy_instance": ""}


def is_ours(instance: str, root: str = "") -> bool:
    """Whether a role has written anything for this instance."""
    # A removed instance leaves the copies that somebody has asked for.
    if any(glob.glob(f"{root}/etc/{glob.escape(instance)}/{name}*") for name in ("web.json", "handlers.json")):
        return True
    commands = [f"{root}/usr/local/sbin/{instance}-{kind}" for kind in ("web", "handlers")]
    # Not nginx.conf itself, of which a line is ours.
    sites = glob.glob(f"{root}/etc/nginx/*/**/{glob.escape(instance)}.conf", recursive=True)
    return any(map(has_mark, (*commands, *sites)))


def others(instance: str, config_file: str = "", root: str = "") -> list[str]:
    """What the host has under the name of an instance that no role has written anything for.

    A unit C(INSTANCE.service) of an administrator does not count, because no role writes one: it may be what the instance is to replace.
    """
    directories = [f"/{parent}/{instance}" for parent in ("etc", "run", "var/www")]
    # The application's own configuration may lie in a directory of that name.
    found = [path for path in directories if _is_taken(root + path) and not config_file.startswith(f"{path}/")]
    names = [
        f"{instance}-{rest}"
        for rest in ("web.service", "web@.service", "web.socket", "handler@.service", "log.service")
    ]
    units = [f"{directory}/{name}" for directory in _UNITS for name in names]
    units += [
        f"{directory}/{instance}.{kind}"
        for directory in _PACKAGED_UNITS
        for kind in ("service", "socket", "slice", "target")
    ]
    # One of the two directories of packages may be a link to the other.
    seen: set[str] = set()
    for path in units:
        real = os.path.join(os.path.realpath(os.path.dirname(root + path)), os.path.basename(path))
        if os.path.lexists(root + path) and real not in seen:
            found.append(path)
        seen.add(real)
    return found


def _is_taken(path: str) -> bool:
    """Whether there is something at a path that is more than an empty directory."""
    with contextlib.suppress(OSError):
        return bool(os.listdir(path))
    return os.path.lexists(path)


def strangers(instance: str, variable: str, root: str = "") -> Iterator[tuple[str, str]]:
    """The files that a role would write for an instance and that lack the mark of the collection, with whose each is."""
    patterns = _FILES.get(variable) or [pattern for files in _FILES.values() for pattern in files]
    for pattern in patterns:
        for path in sorted(glob.glob(root + pattern.format(glob.escape(instance)))):
            if not has_mark(path):
                yield path[len(root) :], whose(path)
    # Supervisor runs one program of a name, whatever file has it.
    word = _PROGRAM_WORDS.get(variable, "(?:web|handler)")
    program = re.compile(rf"^\[(?:(?:\w+-)?program|group|eventlistener):({re.escape(instance)}-{word}-[^\]]*)\]", re.MULTILINE)
    for path in _program_files(root) if word else ():
        found = None if has_mark(path) else program.search(first_text(path, -1))
        if found:
            yield path[len(root) :], f"{whose(path)} and has the program {found.group(1)}"


def _program_files(root: str) -> list[str]:
    """The files that supervisor reads, with those that its main file includes."""
    found = {path for pattern in _PROGRAMS for path in glob.glob(root + pattern)}
    for path in [path for path in found if path.endswith("supervisord.conf")]:
        section = _INCLUDE.search(first_text(path, -1))
        for line in section["files"].split("\n") if section else ():
            for name in re.sub(r"(?:^|\s);.*", "", line).split():
                directory = os.path.dirname(path)
                name = name.replace("%(here)s", directory[len(root) :])
                found.update(glob.glob(root + name if name.startswith("/") else os.path.join(directory, name)))
    return sorted(found)


def gravity_targets(instance: str, root: str = "") -> list[str]:
    """The targets of Gravity, which removes all services called as the target is, and so those of this instance."""
    targets = glob.glob(f"{root}{_OWN_UNITS}/galaxy*.target")
    stems = {path: os.path.splitext(os.path.basename(path))[0] for path in sorted(targets) if "Gravity" in first_text(path)}
    return [path[len(root) :] for path, stem in stems.items() if f"{instance}-".startswith(f"{stem}-")]


def free_name(instance: str, root: str = "") -> str:
    """A name for the instance that nothing on the host has."""
    word = re.sub(r"^galaxy(?=-|$)", "gx", instance)[:24]
    names = [word, *(f"{word}{number}" for number in range(2, 100))] if word != instance else [f"{instance[:24]}-galaxy", f"gx-{instance[:24]}"]
    return next((name for name in names if _is_free(name, root)), names[0])


def _is_free(instance: str, root: str) -> bool:
    return not (is_ours(instance, root) or others(instance, "", root) or gravity_targets(instance, root) or any(strangers(instance, "", root)))


def findings(instance: str, variable: str, config_file: str = "", root: str = "") -> list[Finding]:
    """What keeps a role from calling an instance so: something else has the name, or a file that the role writes is not of the role."""
    found = [] if variable == "nginx_proxy_instance" else gravity_targets(instance, root)
    if found:
        message = (
            f"{variable} is {instance!r}, and this host has {found[0]} of Gravity: 'galaxyctl update' stops and removes every service called "
            f"{os.path.splitext(os.path.basename(found[0]))[0]}-*, so those of this instance too. {_remedy(instance, variable, root)}, or give Gravity another "
            "instance_name in the section gravity of galaxy.yml, and run galaxyctl update"
        )
        return [Finding(found[0], 0, "error", message)]
    foreign = dict(strangers(instance, variable, root))
    taken = list(dict.fromkeys([*foreign, *([] if is_ours(instance, root) else others(instance, config_file, root))]))
    if not taken:
        return []
    named = [f"{path} ({foreign[path]})" if path in foreign else path for path in taken]
    message = (
        f"{variable} is {instance!r}, and this host has {', '.join(named)} already, which no role of this collection made: what the roles write would get "
        f"between that. {_remedy(instance, variable, root)}"
    )
    return [Finding(taken[0], 0, "error", message)]


def _remedy(instance: str, variable: str, root: str) -> str:
    follows = "" if variable == "uwsgi_instance" else f", which {variable} follows unless it is set"
    return f"Choose another name, such as uwsgi_instance: {free_name(instance, root)}{follows}"


def sharing(instance: str, path: str, changing: Collection[str], root: str = "") -> list[Finding]:
    """What keeps an instance from being served from a file: another instance is served from the options that this run changes."""
    owner = next((other for other, web in _written("web", instance, root) if _same(path, web.get("argv", []), root)), "")
    if not owner or "uwsgi" not in changing:
        return []
    message = (
        f"the section is that of the instance {owner}, whose web processes run by these options, and this run would change the options for {instance}: the "
        "roles would undo each other's options in every run. Write uwsgi_config_format: ini for both instances, with which the options of each have a file of "
        f"their own, give {instance} a file of its own by uwsgi_config_file, or remove {owner} first, by uwsgi_instance: {owner} and uwsgi_state: absent"
    )
    return [Finding(path, 0, "error", message, "uwsgi")]


def sharing_handlers(instance: str, path: str, names: Collection[str], registered: Collection[str], root: str = "") -> list[Finding]:
    """What keeps an instance from having handlers: another instance of the same application has them, or would lose its own.

    The I(names) are those of the handlers that the instance is to have, and I(registered) those that the job configuration has by now.
    """
    for other, handlers in _written("handlers", instance, root):
        if not _same(path, [handlers.get("config_file")], root):
            continue
        theirs = set(handlers.get("handlers", {}))
        both, lost = sorted(theirs & {*names}), sorted(theirs & {*registered} - {*names})
        if both or lost:
            reason = "two processes of one name would run its jobs twice" if both else "this run would remove them from the job configuration"
            message = (
                f"the instance {other} has the job handlers {', '.join(both or lost)} for this file, and {reason}. List all handlers of the file in the "
                f"job_handlers of one instance, or remove {other} first, by job_handlers_instance: {other} and job_handlers_state: absent"
            )
            return [Finding(path, 0, "error", message)]
    return []


def _written(kind: str, instance: str, root: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the roles have written for the other instances of the host."""
    for path in sorted(glob.glob(f"{root}/etc/*/{kind}.json")):
        other = os.path.basename(os.path.dirname(path))
        # Other programs have files of these names too.
        if other != instance and has_mark(f"{root}/usr/local/sbin/{other}-{kind}"):
            with contextlib.suppress(ValueError):
                config = json.loads(first_text(path, -1))
                if isinstance(config, dict):
                    yield other, config


def _same(path: str, others: Collection[Any], root: str) -> bool:
    """Whether one of the others is the same file on the host."""
    return any(os.path.realpath(f"{root}{other}") == os.path.realpath(f"{root}{path}") for other in others if str(other).startswith("/"))
