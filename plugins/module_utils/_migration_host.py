# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find on a host what nginx, supervisor and systemd read, and the processes of an application."""

from __future__ import annotations

import contextlib
import glob
import os
import posixpath
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _listeners, _managed_file, _paste_ini
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _nginx_config as nginx
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _processes as kernel
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_plan import Host, Plan, is_loopback
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_programs import clean, is_about

OURS = "(galaxyops.uwsgi."
UNIT_DIRS = ("/lib/systemd/system", "/usr/local/lib/systemd/system", "/run/systemd/system", "/etc/systemd/system")
SUPERVISOR_FILES = ("/etc/supervisor/supervisord.conf", "/etc/supervisord.conf")
_SUPERVISORS = ("supervisor.service", "supervisord.service")
# Not what a person who was logged in, or a job of cron, has left running: that is a process of its own.
_SERVICE = re.compile(r"/(?!cron\.|sshd?\.|user@)([^/\n]+\.service)$", re.MULTILINE)


def is_local(name: str) -> bool:
    """Whether a host name or an address is one of this host."""
    if is_loopback(name) or name in (socket.gethostname(), socket.gethostname().partition(".")[0]):
        return True
    text = name.strip("[]")
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    with contextlib.suppress(OSError, UnicodeError):
        address = text if family == socket.AF_INET6 else socket.gethostbyname(text)
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
            return True
    return False


class Reader:
    """The files of the host, as they were before a migration."""

    def __init__(self, backup_dir: str) -> None:
        self.backup_dir = backup_dir

    def read(self, path: str) -> Optional[bytes]:
        """The content of a file, or None if there is none."""
        kept = _managed_file.read(self.backup_dir + path) if self.backup_dir else None
        return _managed_file.read(path) if kept is None else kept

    def text(self, path: str) -> Optional[str]:
        """The content of a file that is text, or None if there is none, or it is written by this collection."""
        # A unit that is masked is a link to /dev/null.
        content = None if os.path.exists(path) and not os.path.isfile(path) else self.read(path)
        text = None if content is None else _paste_ini.decode(content)
        return None if text is None or OURS in text else text

    def paths(self, pattern: str) -> list[str]:
        """The files that match, also those that a migration has taken away."""
        paths = glob.glob(pattern)
        if self.backup_dir:
            paths += [path[len(self.backup_dir) :] for path in glob.glob(glob.escape(self.backup_dir) + pattern)]
        return sorted(set(paths))

    def texts(self, pattern: str) -> dict[str, str]:
        """The files that match, without those of this collection."""
        texts = {path: self.text(path) for path in self.paths(pattern)}
        return {path: text for path, text in texts.items() if text is not None}

    def kept(self) -> list[str]:
        """The files that a migration has kept."""
        places = os.walk(self.backup_dir) if self.backup_dir else ()
        return [
            os.path.join(place, name)[len(self.backup_dir) :] for place, _directories, names in places for name in names
        ]


# nginx


@dataclass
class NginxFiles:
    """What nginx reads: the files, and those to start from."""

    texts: dict[str, str]
    roots: Sequence[str]
    directory: str


def nginx_files(reader: Reader, main: str, places: Optional[Sequence[str]]) -> NginxFiles:
    """What nginx reads from its main file on, or from the sites in I(places)."""
    directory = posixpath.dirname(main)
    roots = [main]
    texts: dict[str, str] = {}
    if places is not None:
        patterns = [
            os.path.join(glob.escape(place), "*.conf" if place.rstrip("/").endswith("conf.d") else "*")
            for place in places
        ]
        roots = [path for pattern in patterns for path in reader.texts(pattern)]
    elif os.geteuid() == 0:
        texts = _dump(main)
        # A migration has taken these away.
        texts.update({path: text for path in reader.kept() for text in [reader.text(path)] if text is not None})
    seen: set[str] = set()
    for path in roots:
        _follow(reader, path, directory, texts, seen, is_main=path == main)
    # What the role writes is no part of the old site; the main file stays, whoever has changed it.
    texts = {path: _shown(text) for path, text in texts.items() if OURS not in text or path == main}
    return NginxFiles(texts, [path for path in roots if path in texts], directory)


def _shown(text: str) -> str:
    """The text with what is not UTF-8 replaced, because no file of nginx is written again."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _dump(main: str) -> dict[str, str]:
    command = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if not command or not os.path.exists(main):
        return {}
    process = subprocess.run(  # pylint: disable=ansible-bad-function  # run_command belongs to a module
        [command, "-T", "-q", "-c", main], capture_output=True, text=True, errors="replace", check=False
    )
    return nginx.dumped(process.stdout) if process.returncode == 0 else {}


def _follow(
    reader: Reader, path: str, directory: str, texts: dict[str, str], seen: set[str], is_main: bool = False
) -> None:
    """Read a file and what it includes."""
    content = reader.read(path) if is_main else None
    text = _paste_ini.decode(content) if content is not None else reader.text(path)
    if text is None or path in seen:
        return
    seen.add(path)
    texts.setdefault(path, text)
    try:
        includes = [directive.words[1] for directive in nginx.parse(text).find("include") if len(directive.words) > 1]
    except nginx.NginxConfigError:
        return  # Named where the files are read as a whole.
    for pattern in includes:
        for found in reader.paths(os.path.join(directory, pattern)):
            _follow(reader, found, directory, texts, seen)


def nginx_main(default: str) -> tuple[str, bool]:
    """The main file of the nginx that runs, and whether one runs."""
    for _pid, title in _titles("nginx: master"):
        match = re.search(r"\s-c\s*(/\S+)", title)
        # That of a container is named as the container sees it.
        return (match.group(1) if match and os.path.isfile(match.group(1)) else default), True
    return default, False


def _titles(start: str) -> Iterator[tuple[int, str]]:
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if entry.isdigit():
            title = kernel.command_line(int(entry))
            if title.startswith(start):
                yield int(entry), title


# supervisor and systemd


def supervisor_files(reader: Reader, directory: str, main: Optional[str]) -> dict[str, str]:
    """What supervisor reads: its main file, what that includes, and the directory of its programs."""
    mains = (
        [main]
        if main
        else [posixpath.join(posixpath.dirname(directory.rstrip("/")), "supervisord.conf"), *SUPERVISOR_FILES]
    )
    texts: dict[str, str] = {}
    for path in mains:
        found = reader.texts(glob.escape(path))
        texts.update(found)
        for text in found.values():
            for pattern in _included(text, posixpath.dirname(path)):
                texts.update(reader.texts(pattern))
    texts.update(reader.texts(os.path.join(glob.escape(directory), "*.conf")))
    if not any(path in texts for path in mains):
        texts.update(reader.texts(os.path.join(glob.escape(directory), "*.ini")))
    return texts


def _included(text: str, directory: str) -> list[str]:
    try:
        option = _paste_ini.parse(text).values("include").get("files", "")
    except _paste_ini.PasteIniError:
        return []
    words = clean(option).replace("%(here)s", directory).split()
    return [posixpath.join(directory, word) for word in words]


def unit_files(reader: Reader, places: Sequence[str]) -> dict[str, str]:
    """The units of systemd that are services, with their drop-ins; one of a later place counts instead of one of an earlier."""
    units: dict[str, tuple[str, str]] = {}
    for place in places:
        for pattern in ("*.service", "*.service.d/*.conf"):
            for path, text in reader.texts(os.path.join(glob.escape(place), pattern)).items():
                units[path[len(place) :]] = (path, text)
    return dict(units.values())


# Processes


def listening_processes(host: Host, ports: Sequence[int]) -> list[dict[str, Any]]:
    """Who listens to the ports and serves this application, and how it was started."""
    found = {listener.inode: listener.port for listener in _listeners.read_listeners() if listener.port in ports}
    seen: dict[int, dict[str, Any]] = {}
    for inode, owners in _listeners.read_owners(found).items():
        for process in owners:
            with contextlib.suppress(OSError):
                command = _command(process.pid)
                directory = os.readlink(f"/proc/{process.pid}/cwd")
                if is_about(host, " ".join(command), directory):
                    seen[process.pid] = {
                        "pid": process.pid,
                        "port": found[inode],
                        "unit": unit_of(process.pid),
                        "command": command,
                        "directory": directory,
                    }
    return list(seen.values())


def _command(pid: int) -> list[str]:
    return kernel.show(pid, "cmdline").rstrip("\0").split("\0")


def unit_of(pid: int) -> str:
    """The unit of systemd that a process belongs to, or nothing."""
    units = _SERVICE.findall(kernel.show(pid, "cgroup"))
    return units[-1] if units else ""


def user_of(pid: int) -> str:
    """The name of the user that a process runs as, or nothing."""
    match = re.search(r"(?m)^Uid:\s+\d+\s+(\d+)", kernel.show(pid, "status"))
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(int(match.group(1))).pw_name if match else ""
    return ""


def process_problems(host: Host, plan: Plan, listening: Sequence[dict[str, Any]], instance: str) -> list[str]:
    """Which processes of the application nothing would stop, or would start again."""
    problems = []
    pids = {process["pid"] for process in listening}
    by_supervisor = [process for process in listening if process["unit"] in _SUPERVISORS]
    if by_supervisor and not plan.web_programs:
        problems.append(
            f"process {by_supervisor[0]['pid']}: supervisor runs this process, which listens to port {by_supervisor[0]['port']}, and none of its programs "
            f"names {host.path}: write the path of the file into the command of the program (supervisorctl status)"
        )
    for pid in sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        unit = unit_of(pid)
        if (
            pid in pids
            or kernel.parent(pid) in pids
            or unit in _SUPERVISORS
            or unit.startswith(f"{instance}-")
            or pid == os.getpid()
        ):
            continue
        with contextlib.suppress(OSError):
            if not is_about(host, " ".join(_command(pid)), os.readlink(f"/proc/{pid}/cwd")):
                continue
            pids.add(pid)
            remedy = f"systemctl disable --now {unit}" if unit else f"kill {pid}"
            problems.append(
                f"process {pid}: it runs for the application and listens to none of its ports, so the move would not stop it, and a handler would run "
                f"beside the new one of the same name: stop it ({remedy}), then run this again"
            )
    return problems
