# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What web processes and job handlers have in common: their configuration, their lock, starting and removing them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

from . import _safe_files as safe_files
from .accounts import account_of, drop_privileges, group_of
from .errors import ControlError, UsageError, say
from .fingerprint import fingerprint
from .known_good import RUNNING, KnownGood
from .lock import locked, locked_if_free
from .manager import Manager
from .paths import ETC, RUN, STATE
from .process import Process

# Set in the environment of what INSTANCE-handlers runs while it holds its lock
BY_HANDLERS = "GALAXYOPS_BY_HANDLERS"

# The service managers by their names; each is entered by the module that knows it.
MANAGERS: dict[str, Callable[[Control], Manager]] = {}

Kind = TypeVar("Kind", bound="Control")


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
            self.config: dict[str, Any] = with_numbers(json.loads(safe_files.read(self.path)))
            self.watch: list[dict[str, Any]] = list(self.config["watch"])
            self.watch += [{"path": path, "installed": True} for path in self.config.get("code", [])]
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise UsageError(f"cannot read {self.path}: {error}; run the playbook that wrote it again") from error
        # What was last tried by this call
        self.attempted = ""
        kept = [{"path": path} for path in (str(self.path), *self.config.get("kept", []))]
        self.known_good = KnownGood(STATE / instance / self.kind, [*self.watch, *kept])

    @property
    def longest_call(self) -> int:
        """The seconds that a call waits for another: longer than any call takes that does not hang."""
        start = self.config["health"]["timeout"] if "health" in self.config else self.config.get("start_timeout", 0)
        each = 2 * start + self.config.get("stop_timeout", 0) + self.config.get("drain_timeout", 0)
        # Handlers are replaced one after the other.
        return int(each * max(1, len(self.config.get("handlers", [])))) + 60

    @property
    def _call(self) -> str:
        """What this call is, for those who wait for it."""
        return " ".join([self.command, *sys.argv[3:]])

    @property
    def lock(self) -> Path:
        """The lock of this kind of processes."""
        return self.run / f"{self.kind}.lock"

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Let one call at a time change anything; a second one waits for the first."""
        return locked(self.lock, self._call, self.longest_call)

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

    @property
    def version(self) -> str:
        """The fingerprint of what is written on disk now."""
        return fingerprint(self.watch)

    def wait_until_ready(self, name: str, watched_pid: int) -> None:
        """Wait until the process just started works; fail when it does not in time."""
        raise NotImplementedError

    def ready(self, name: str, watched_pid: int) -> None:
        """Wait until the process just started works, and remember what it works with: called by the service manager."""
        self.wait_until_ready(name, watched_pid)
        try:
            self.adopt(name)
        except (ControlError, OSError) as error:
            # It works. The next call finds that the copies are of another version.
            say(f"the known-good copies are not of this version: {error}")

    def adopt(self, name: str) -> None:
        """Remember that what the process was started from works."""
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

    def failed(self, name: str) -> None:
        """Roll back where a process has ended that no call watches, and its version is not known to work.

        Called as root when a process has ended by itself. The service manager starts it again after that.
        """
        process = self.processes()[name]
        with locked_if_free(self.lock, self._call) as free:
            if free and process.version:
                self.give_up(name, process)

    def give_up(self, name: str, process: Process) -> None:
        """Put back the files that last worked, if this process has been started from others and has not worked."""
        if not process.started and process.current and self.known_good.version != self.version:
            self.roll_back(f"{process.service} does not start")

    def roll_back(self, reason: str, to: str = RUNNING) -> None:
        """Put back files where nobody waits for an answer."""
        error = ControlError(reason)
        told = self.put_back(error, to)
        if told is not error:
            say(str(told))

    def become(self, name: str) -> None:
        """Become the process: called by the service manager, as the application's user or as root."""
        process = self.processes()[name]
        account, group = account_of(self.config["user"]), group_of(self.config["group"])
        safe_files.make_directories(process.directory)
        environment = dict(os.environ)
        if os.geteuid() == 0:
            if process.version and not process.started:
                # What ends at once is not started again at once, nor ever later, as supervisor would have it.
                time.sleep(1)
            self.failed(name)
            again = self.reread()
            if again.config != self.config:
                # Somebody has put files back meanwhile.
                again.become(name)
            self.prepare(name)
            say(f"become {process.service}, pid {os.getpid()}")
            environment.update(read_environment(safe_files.read(self.config["environment_file"]).decode()))
            environment.update(HOME=account.pw_dir, USER=account.pw_name, LOGNAME=account.pw_name)
            safe_files.give_directory(process.directory, account.pw_uid, group, 0o750)
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
        except (ControlError, OSError) as error:
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

    def put_back(self, error: ControlError, to: str = RUNNING) -> ControlError:
        """Put back the files that last worked, and add that to the error."""
        if not self.known_good.exists:
            return type(error)(
                f"{error}\nNo version has worked before, so the files stay as they are. Taking an option out of a variable of the playbook does not take it "
                "out of its file: write the option with the value null."
            )
        done = self.known_good.restore(self.attempted, to)
        notes = [*done.problems, *(f"{path} has been changed again meanwhile, and stays as it is." for path in done.changed)]
        if not done.files:
            return type(error)("\n".join([str(error), *notes])) if notes else error
        again = self.reread()
        if again.config["manager"] != self.config["manager"]:
            self.leave()
        again.manager.load(again.defined(), check=False)
        files = "\n".join(f"  {path}" for path in done.files)
        kept = [f"What was rejected is kept in {done.kept}."] if done.kept else []
        return type(error)("\n".join([f"{error}\nThese files are again as they were when they last worked:\n{files}", *kept, *notes]))

    def defined(self) -> list[str]:
        """The service manager's names for all that it has to know."""
        return [process.service for process in self.processes().values()]

    def leave(self) -> None:
        """Have the service manager run nothing of this kind, and know nothing of it."""
        names = [*self.manager.unknown(self.defined()), *self.defined()]
        for name in names:
            self.manager.forget(name)
        for definition in self.config.get("definitions", {}).get(self.manager.title, []):
            safe_files.unlink(definition)
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
                self._remove_directory(process)

    @staticmethod
    def _remove_directory(process: Process) -> None:
        # Whoever the directory belongs to may still write there.
        with contextlib.suppress(OSError):
            safe_files.remove_tree(process.directory)

    def remove(self) -> None:
        """Stop everything of this kind, and leave no trace of it but the other files that the playbook wrote."""
        if self.former:
            self.former.leave()
        self.leave()
        self.known_good.remove()
        for process in self.processes().values():
            self._remove_directory(process)
        safe_files.unlink(self.lock)
        with contextlib.suppress(OSError):  # the other kind still uses it
            self.run.rmdir()


def add_python_path(environment: dict[str, str], directories: list[str]) -> None:
    """Have Python look for modules in these directories before all others."""
    path = os.pathsep.join(filter(None, [*directories, environment.get("PYTHONPATH")]))
    if path:
        environment["PYTHONPATH"] = path


def read_environment(text: str) -> dict[str, str]:
    """Read a file of C(NAME="value") lines, as systemd reads it."""
    return {name: re.sub(r"\\(.)", r"\1", value) for name, value in re.findall(r'(?m)^(\w+)="((?:[^"\\]|\\.)*)"$', text)}
