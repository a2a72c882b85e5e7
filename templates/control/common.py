# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What web processes and job handlers have in common: their configuration, their processes, and the lock."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import grp
import hashlib
import json
import os
import pwd
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional, Protocol, TypeVar

RUN = Path(os.environ.get("GALAXYOPS_RUN", "/run"))
ETC = Path(os.environ.get("GALAXYOPS_ETC", "/etc"))
STATE = Path(os.environ.get("GALAXYOPS_STATE", "/var/lib/galaxyops"))

# Set in the environment of what INSTANCE-handlers runs while it holds its lock
BY_HANDLERS = "GALAXYOPS_BY_HANDLERS"


class ControlError(Exception):
    """Something could not be done; the message says what, why and what still runs."""

    exit_code = 1


class UsageError(ControlError):
    """The command or its configuration is wrong."""

    exit_code = 2


class Refusal(ControlError):
    """It could be done, but not without an interruption that nobody has allowed."""

    exit_code = 4


def say(message: str) -> None:
    """Report one step at once, so that a person sees progress and Ansible sees a change."""
    print(message, flush=True)


def with_numbers(config: dict[str, Any]) -> dict[str, Any]:
    """Make numbers of those that were written as text: the variables of a command line are, and all that older versions of Ansible write."""
    for name in ("start_timeout", "stop_timeout", "drain_timeout"):
        if name in config:
            config[name] = int(float(config[name]))
    health = config.get("health")
    if health:
        health["timeout"] = int(float(health["timeout"]))
        # One status may stand for a list of one.
        health["status"] = [int(status) for status in re.findall(r"\d+", str(health["status"]))]
    return config


def account_of(user: str) -> pwd.struct_passwd:
    """The account of a user."""
    try:
        return pwd.getpwnam(user)
    except KeyError as error:
        raise UsageError(f"this host has no user {user}: make it again, or run the playbook with another one") from error


def group_of(name: str) -> int:
    """The number of a group."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise UsageError(f"this host has no group {name}: make it again, or run the playbook with another one") from error


# Files that are written in one step


def write(path: Path, text: str) -> None:
    """Write a small file, never through a link: its directory may belong to somebody else than who writes."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with open(new, "x", encoding="utf-8") as stream:
        stream.write(text)
    new.rename(path)


def relink(link: Path, target: Path | str) -> None:
    """Make a link lead elsewhere."""
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.rename(link)


# What a process is started from


def without_section(text: bytes, section: str) -> bytes:
    """Return the INI I(text) less one section: what the readers of the other sections see."""
    pattern = rb"(?ms)^\[" + re.escape(section.encode()) + rb"\].*?(?=^\[|\Z)"
    # Blank lines mean nothing, and come and go with a section.
    return re.sub(rb"(?m)^\s*\n|\s*\Z", b"", re.sub(pattern, b"", text))


def without_handlers(text: bytes) -> bytes:
    """Return a job configuration less its handlers: what a change of another handler leaves as it is."""
    # Comments mean nothing, and may speak of handlers.
    text = re.sub(rb"(?s)<!--.*?-->", b"", text)
    text = re.sub(rb"(?s)<handlers\b(?:[^>]*/>|.*?</handlers>)", b"", text)
    return re.sub(rb"(?m)^handling:.*\n(?:(?:[ \t].*|#.*)?\n)*", b"", text)


def fingerprint(watch: list[dict[str, Any]]) -> str:
    """Hash what a process is started from: files (patterns may name several, or none), where links lead, and values."""
    digest = hashlib.sha256()
    for entry in watch:
        if "value" in entry:
            digest.update(json.dumps(entry["value"], sort_keys=True).encode())
            continue
        if entry.get("link"):
            digest.update(os.path.realpath(entry["path"]).encode())
            continue
        for path in sorted(glob.glob(entry["path"], recursive=True)):
            # Python before 3.12 finds what C(**) begins with, whether it is there or not.
            if os.path.isdir(path) or not os.path.exists(path):
                continue
            text = Path(path).read_bytes()
            if "without_section" in entry:
                text = without_section(text, entry["without_section"])
            if entry.get("without_handlers"):
                text = without_handlers(text)
            digest.update(f"{path}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()


# Processes, as the kernel sees them


def born(pid: int) -> str:
    """When a process was started, in the kernel's ticks; empty when there is none, or only its remains."""
    try:
        fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def owner(pid: int) -> int:
    """The number of the user whom a process belongs to, or -1 when there is none."""
    with contextlib.suppress(OSError):
        match = re.search(r"^Uid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        return int(match[1]) if match else -1
    return -1


def children(pid: int) -> list[int]:
    """What a process has started."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def descendants(pid: int) -> list[int]:
    """A process and all that it has started."""
    found = [pid]
    for parent in found:
        found += children(parent)
    return found


def members(pid: int) -> list[int]:
    """A process, all that it has started, and what has left this family but not a process group that one of it leads."""
    family = descendants(pid) if pid else []
    found = set(family)
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getpgid(int(entry.name)) in family:
                found.add(int(entry.name))
    # The process itself first
    return [process for process in (*family[:1], *sorted(found - {pid})) if born(process)]


def memory(pids: list[int]) -> int:
    """The memory of processes in bytes, with what they share counted once.

    In a container root may not read the memory of another user's processes, so this runs as the user of the first.
    """
    if not pids:
        return 0
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            if os.geteuid() == 0:
                user = os.stat(f"/proc/{pids[0]}")
                os.setgroups([])
                os.setgid(user.st_gid)
                os.setuid(user.st_uid)
            os.write(writer, str(sum(map(proportional_memory, pids))).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        seen = stream.read()
    os.waitpid(child, 0)
    return int(seen or 0)


def proportional_memory(pid: int) -> int:
    """The memory of one process in bytes, with its share of what it has in common with others; 0 when it has just ended."""
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        try:
            match = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            return int(match[1]) * 1024 if match else 0
        except PermissionError:
            # A little too much: what it shares by a fork counts too.
            _size, resident, common = map(int, Path(f"/proc/{pid}/statm").read_text().split()[:3])
            return (resident - common) * os.sysconf("SC_PAGE_SIZE")
    return 0


def available_memory() -> int:
    """The memory in bytes that can be had without swapping or killing."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


class Process:
    """One process of an instance: what it is started from, and what is known of it while it runs.

    The I(directory) below /run holds its private sockets and three small files: C(fingerprint) tells what it was
    started from, C(pid) which process it is, and C(started) how long it took until it worked.
    """

    def __init__(self, directory: str, service: str, watch: list[dict[str, Any]]) -> None:
        self.directory = RUN / directory
        self.service = service
        self.watch = watch

    @property
    def current(self) -> bool:
        """Whether the process runs what is written on disk now."""
        try:
            return (self.directory / "fingerprint").read_text() == fingerprint(self.watch)
        except FileNotFoundError:
            return False

    @property
    def pid(self) -> int:
        """The process, or 0 when it does not live."""
        try:
            recorded = json.loads((self.directory / "pid").read_text())
        except (OSError, ValueError):
            return 0
        return int(recorded["pid"]) if born(recorded["pid"]) == recorded["born"] else 0

    @property
    def memory(self) -> int:
        """The memory in bytes of the process and of all that belongs to it."""
        return memory(members(self.pid))

    @property
    def start_seconds(self) -> Optional[float]:
        """How long it took from the start of the process until it worked; None while it has not."""
        try:
            return float(json.loads((self.directory / "started").read_text())["seconds"])
        except (OSError, ValueError, LookupError):
            return None

    def record(self) -> None:
        """Remember, in the process that is about to become it, what it is started from."""
        (self.directory / "started").unlink(missing_ok=True)
        write(self.directory / "fingerprint", fingerprint(self.watch))
        write(self.directory / "pid", json.dumps({"pid": os.getpid(), "born": born(os.getpid()), "time": time.time()}))

    def disown(self) -> None:
        """Have the process replaced by the next call that makes what runs what is written, whatever happens before."""
        (self.directory / "fingerprint").unlink(missing_ok=True)

    def record_started(self) -> None:
        """Remember that the process works, and how long that took."""
        since = json.loads((self.directory / "pid").read_text())["time"]
        write(self.directory / "started", json.dumps({"seconds": round(time.time() - since, 1)}))

    def terminate(self, seconds: float) -> None:
        """End the process itself, without its service manager: politely, and after I(seconds) by force."""
        pid = self.pid
        # Whoever the directory belongs to has written the number, and may end no process but their own.
        if not pid or owner(pid) != self.directory.stat().st_uid:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while self.pid and time.monotonic() < deadline:
            time.sleep(0.1)
        if self.pid:
            for process in members(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)


class Manager(Protocol):
    """What a service manager does for one kind of processes."""

    title: str

    def name(self, process: str) -> str:
        """Its name for a process."""

    def is_active(self, process: Process) -> bool:
        """Whether the process runs and has proved that it works."""

    def is_starting(self, process: Process) -> bool:
        """Whether the process is on its way to that."""

    def start(self, process: Process) -> None:
        """Start the process and wait until it has proved that it works; fail with the end of its log."""

    def stop(self, process: Process) -> None:
        """Stop the process; it finishes the requests or the clean-up it is at."""

    def says(self, process: Process, words: str) -> bool:
        """Whether the process has said these words since it was started."""

    def load(self, names: list[str], check: bool) -> None:
        """Learn the definitions of these processes as they are on disk, and start with the host what shall be."""

    def unknown(self, names: list[str]) -> list[str]:
        """Processes of this kind that are there but not among these."""

    def forget(self, name: str) -> None:
        """Stop a process of that name and know it no more."""

    def reread(self) -> None:
        """Take notice of definitions that are gone."""


# The service managers by their names; each is entered by the module that knows it.
MANAGERS: dict[str, Callable[[Control], Manager]] = {}


# The files as they were when they last worked


class Keep:
    """Copies of the files that a process was started from when it last proved that it works.

    They are put back when what is written now does not start, so that the host never depends on a configuration that
    has not been seen working: not for a crash, and not for a reboot.
    """

    def __init__(self, directory: Path, watch: list[dict[str, Any]]) -> None:
        self.directory = directory
        self.watch = watch

    def _files(self) -> list[Path]:
        """The files that are kept: those of the configuration, not what was installed."""
        return [Path(entry["path"]) for entry in self.watch if "path" in entry and not entry.get("link") and not entry.get("installed")]

    def _links(self) -> list[Path]:
        return [Path(entry["path"]) for entry in self.watch if entry.get("link") and not entry.get("installed")]

    @property
    def exists(self) -> bool:
        """Whether there is anything to go back to."""
        return (self.directory / "running").is_dir()

    def save(self) -> None:
        """Remember the files as they are now."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self.directory / f"running-{time.time_ns()}"
        new.mkdir(mode=0o700)
        for path in self._files():
            if path.is_file():
                self._copy(path, new / path.relative_to("/"))
        links = {str(path): os.readlink(path) for path in self._links() if path.is_symlink()}
        (new / "links.json").write_text(json.dumps(links))
        running = self.directory / "running"
        if not running.is_symlink():  # It was a directory once.
            shutil.rmtree(running, ignore_errors=True)
        # At no moment is there nothing to go back to.
        relink(running, Path(new.name))
        for old in self.directory.glob("running-*"):
            if old != new:
                shutil.rmtree(old, ignore_errors=True)

    def restore(self) -> list[str]:
        """Put the files back that differ, keep the rejected ones aside, and name them."""
        running, rejected = self.directory / "running", self.directory / "rejected"
        shutil.rmtree(rejected, ignore_errors=True)
        restored = []
        for path in self._files():
            kept = running / path.relative_to("/")
            old = kept.read_bytes() if kept.is_file() else None
            new = path.read_bytes() if path.is_file() else None
            if old == new:
                continue
            if new is not None:
                self._copy(path, rejected / path.relative_to("/"))
            if old is None:
                path.unlink()
            else:
                # Beside the real one first: at no moment is half a file there.
                target = path.resolve()
                beside = target.with_name(f".{path.name}.restored~")
                self._copy(kept, beside)
                beside.rename(target)
            restored.append(str(path))
        for link, leads_to in json.loads((running / "links.json").read_text()).items():
            there = os.path.exists(os.path.join(os.path.dirname(link), leads_to))
            if os.path.islink(link) and os.readlink(link) != leads_to and there:
                relink(Path(link), leads_to)
                restored.append(link)
        return restored

    def remove(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.directory, ignore_errors=True)
        for parent in self.directory.parents[:2]:
            with contextlib.suppress(OSError):  # something else still uses it
                parent.rmdir()

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        target.touch(mode=0o600)
        status = source.stat()
        os.chown(target, status.st_uid, status.st_gid)
        shutil.copy2(source, target)


Kind = TypeVar("Kind", bound="Control")


class Control:
    """What both kinds share: the configuration, the lock, starting and removing processes."""

    kind = ""
    manager: Manager

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.command = f"{instance}-{self.kind}"
        self.run = RUN / instance
        self.path = ETC / instance / f"{self.kind}.json"
        try:
            self.config: dict[str, Any] = with_numbers(json.loads(self.path.read_text()))
            self.watch: list[dict[str, Any]] = list(self.config["watch"])
            self.watch += [{"path": path, "installed": True} for path in self.config.get("code", [])]
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise UsageError(f"cannot read {self.path}: {error}; run the playbook that wrote it again") from error
        kept = [{"path": path} for path in (str(self.path), *self.config.get("kept", []))]
        self.keep = Keep(STATE / instance / self.kind, [*self.watch, *kept])

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let one call at a time change anything; a second one waits for the first."""
        self.run.mkdir(parents=True, exist_ok=True)
        with open(self.run / f"{self.kind}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def processes(self) -> dict[str, Process]:
        """Every process of this kind, by the name a person gives it."""
        raise NotImplementedError

    def argv(self, name: str) -> list[str]:
        """The command line of a process."""
        raise NotImplementedError

    @property
    def python_path(self) -> list[str]:
        """Directories of Python modules that belong to nobody's virtualenv."""
        return list(self.config.get("python_path", []))

    def own_environment(self, name: str) -> dict[str, str]:
        """The environment variables of one process alone."""
        return {}

    def ready(self, name: str, watched_pid: int) -> None:
        """Wait until the process just started works; fail when it does not in time."""
        raise NotImplementedError

    def apply(self, check: bool, restore: bool) -> None:
        """Make what runs what is written: start what is missing, replace what is stale."""
        raise NotImplementedError

    def afterwards(self) -> None:
        """What is left to do once the lock is free, because it may need to take it."""

    def restart(self, names: list[str]) -> None:
        """Replace every process, or those named."""
        raise NotImplementedError

    def status(self) -> int:
        """Print what runs; return 3 when that is not what is written."""
        raise NotImplementedError

    def become(self, name: str) -> None:
        """Become the process: called by the service manager, as the application's user or as root."""
        process = self.processes()[name]
        account, group = account_of(self.config["user"]), group_of(self.config["group"])
        process.directory.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ)
        if os.geteuid() == 0:
            self.prepare(name)
            say(f"become {process.service}, pid {os.getpid()}")
            process.directory.chmod(0o750)
            environment.update(read_environment(Path(self.config["environment_file"]).read_text()))
            environment.update(HOME=account.pw_dir, USER=account.pw_name, LOGNAME=account.pw_name)
            os.chown(process.directory, account.pw_uid, group)
            process.record()
            self._watch_over(name)
            drop_privileges(account, group, umask=0o022)
        else:
            process.record()
        environment.update(self.own_environment(name))
        environment["VIRTUAL_ENV"] = self.config["virtualenv"]
        environment["PATH"] = f"{self.config['virtualenv']}/bin:{environment.get('PATH', os.defpath)}"
        add_python_path(environment, self.python_path)
        # uWSGI reads its variables in their order, and knows no option of a plugin before it has that.
        environment = dict(sorted(environment.items(), key=lambda variable: variable[0] != "UWSGI_PLUGINS"))
        argv = self.argv(name)
        os.chdir(self.config["chdir"])
        try:
            os.execve(argv[0], argv, environment)
        except OSError as error:
            raise ControlError(f"cannot start {argv[0]}: {error.strerror}; run the playbook that installs it again") from error

    def _watch_over(self, name: str) -> None:
        """Leave a child that waits until the process works, and ends it when it does not: systemd does so by itself."""
        pid = os.getpid()
        if os.fork():
            return
        os.setsid()
        try:
            self.ready(name, pid)
        except ControlError as error:
            say(str(error))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        os._exit(0)

    def prepare(self, name: str) -> None:
        """What root does before a process is started, where no other service manager does it."""

    def reread(self: Kind) -> Kind:
        """The same with the configuration that is on disk now."""
        again = type(self)(self.instance)
        name = again.config["manager"]
        again.manager = (MANAGERS[name] if name != self.config["manager"] else type(self.manager))(again)  # type: ignore[call-arg]
        return again

    @property
    def former(self: Kind) -> Optional[Kind]:
        """The same with the service manager that another one has been chosen instead of, as long as anything is left of it."""
        for name, definitions in self.config.get("definitions", {}).items():
            if name != self.config["manager"] and any(map(os.path.exists, definitions)):
                former = type(self)(self.instance)
                # What starts with the host is the business of the new one.
                former.config["boot_units"] = []
                former.manager = MANAGERS[name](former)
                return former
        return None

    def put_back(self, error: ControlError) -> ControlError:
        """Put back the files that last worked, and add that to the error."""
        if not self.keep.exists:
            return error
        restored = self.keep.restore()
        if not restored:
            return error
        again = self.reread()
        if again.config["manager"] != self.config["manager"]:
            self.leave()
        again.manager.load(again.defined(), check=False)
        files = "\n".join(f"  {path}" for path in restored)
        kept = f"What was rejected is kept in {self.keep.directory}/rejected."
        return type(error)(f"{error}\nThese files are again as they were when they last worked:\n{files}\n{kept}")

    def defined(self) -> list[str]:
        """The service manager's names for all that it has to know."""
        return [process.service for process in self.processes().values()]

    def leave(self) -> None:
        """Have the service manager run nothing of this kind, and know nothing of it."""
        names = [*self.manager.unknown(self.defined()), *self.defined()]
        for name in names:
            self.manager.forget(name)
        for definition in self.config.get("definitions", {}).get(self.manager.title, []):
            Path(definition).unlink(missing_ok=True)
        self.manager.reread()
        self.sweep()
        say(f"stopped {' '.join(dict.fromkeys(names))}")

    def left_behind(self) -> int:
        """Tell of a service manager that has not been left yet; the number of problems."""
        if not self.former:
            return 0
        say(f"{self.former.manager.title} still has definitions of {self.command}: run the playbook")
        return 1

    def sweep(self) -> None:
        """Remove what processes have left that live no more: another service manager does not start them as the same user."""
        for process in self.processes().values():
            if not process.pid:
                shutil.rmtree(process.directory, ignore_errors=True)

    def remove(self) -> None:
        """Stop everything of this kind, and leave no trace of it but the other files that the playbook wrote."""
        if self.former:
            self.former.leave()
        self.leave()
        self.keep.remove()
        for process in self.processes().values():
            shutil.rmtree(process.directory, ignore_errors=True)
        (self.run / f"{self.kind}.lock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the other kind still uses it
            self.run.rmdir()


def drop_privileges(account: pwd.struct_passwd, group: int, umask: int) -> None:
    """Give up being root for good."""
    os.initgroups(account.pw_name, group)
    os.setgid(group)
    os.setuid(account.pw_uid)
    os.umask(umask)


def add_python_path(environment: dict[str, str], directories: list[str]) -> None:
    """Have Python look for modules in these directories before all others."""
    path = os.pathsep.join(filter(None, [*directories, environment.get("PYTHONPATH")]))
    if path:
        environment["PYTHONPATH"] = path


def read_environment(text: str) -> dict[str, str]:
    """Read a file of C(NAME="value") lines, as systemd reads it."""
    return {name: re.sub(r"\\(.)", r"\1", value) for name, value in re.findall(r'(?m)^(\w+)="((?:[^"\\]|\\.)*)"$', text)}
