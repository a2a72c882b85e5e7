# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What web processes and job handlers have in common: the lock, starting, rolling back and removing them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, Optional, TypeVar

from .. import _safe_files as safe_files
from .accounts import account_of, drop_privileges, group_of
from .config import Config, Watched, from_json
from .environment import add_python_path, read_environment
from .errors import ControlError, UsageError, say
from .fingerprint import fingerprint
from .known_good import RUNNING, KnownGood
from .lock import locked, locked_if_free
from .managers import manager_for
from .paths import ETC, RUN, STATE
from .process import Process

# Set in the environment of what INSTANCE-handlers runs while it holds its lock
BY_HANDLERS = "GALAXYOPS_BY_HANDLERS"

Kind = TypeVar("Kind", bound="Control[Any]")
Configuration = TypeVar("Configuration", bound=Config)


def config_file(instance: str, kind: str) -> Path:
    """The file that a role writes for the processes of one kind."""
    return ETC / instance / f"{kind}.json"


class Control(Generic[Configuration]):
    """What both kinds share: the lock, starting, rolling back and removing processes."""

    kind = ""
    config_class: type[Configuration]

    def __init__(self, instance: str, config: Configuration, managed_by: str = "") -> None:
        """Control what a configuration describes, by the service manager that it names or by another one."""
        self.instance = instance
        self.config = config
        self.command = f"{instance}-{self.kind}"
        self.run = RUN / instance
        self.path = config_file(instance, self.kind)
        self.manager = manager_for(managed_by or config.manager, instance, self.kind, config)
        self.watch = self.watched()
        # What was last tried by this call
        self.attempted = ""
        self.known_good = KnownGood(STATE / instance / self.kind, [*self.watch, {"path": str(self.path)}, *self.kept])

    @classmethod
    def read(cls: type[Kind], instance: str) -> Kind:
        """The control with the configuration that is on disk now."""
        path = config_file(instance, cls.kind)
        try:
            config = from_json(cls.config_class, safe_files.read(path))
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"cannot read {path}: {error}; run the playbook that wrote it again") from error
        return cls(instance, config)

    def watched(self) -> list[Mapping[str, Any]]:
        """What the processes are started from."""
        return [*self.config.watch, *({"path": path, "installed": True} for path in self.config.code)]

    @property
    def kept(self) -> list[Watched]:
        """Files that are copied and put back besides, and not watched."""
        return []

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
        return locked(self.lock, self._call, self.config.longest_call)

    def processes(self) -> dict[str, Process]:
        """Every process of this kind, by the name a person gives it."""
        raise NotImplementedError

    def argv(self, name: str) -> list[str]:
        """The command line of a process."""
        raise NotImplementedError

    @property
    def python_path(self) -> list[str]:
        """Directories of Python modules that belong to nobody's virtualenv."""
        return []

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

    def start_process(self, process: Process, keep_trying: bool = False) -> None:
        """Start a process and wait until it works, as the service manager does it."""
        self.manager.start(process, self.wait_until_ready, keep_trying)

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
        account, group = account_of(self.config.user), group_of(self.config.group)
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
            environment.update(read_environment(safe_files.read(self.config.environment_file).decode()))
            environment.update(HOME=account.pw_dir, USER=account.pw_name, LOGNAME=account.pw_name)
            safe_files.give_directory(process.directory, account.pw_uid, group, 0o750)
            process.record()
            self._watch_over(name)
            drop_privileges(account, group, umask=0o022)
        else:
            process.record()
        environment.update(self.own_environment(name))
        environment["VIRTUAL_ENV"] = self.config.virtualenv
        environment["PATH"] = f"{self.config.virtualenv}/bin:{environment.get('PATH', os.defpath)}"
        add_python_path(environment, self.python_path)
        # uWSGI reads its variables in their order, and knows no option of a plugin before it has that.
        environment = dict(sorted(environment.items(), key=lambda variable: variable[0] != "UWSGI_PLUGINS"))
        argv = self.argv(name)
        os.chdir(self.config.chdir)
        try:
            os.execve(argv[0], argv, environment)
        except OSError as error:
            raise ControlError(
                f"cannot start {argv[0]}: {error.strerror}; run the playbook that installs it again"
            ) from error

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
        return type(self).read(self.instance)

    @property
    def former(self: Kind) -> Optional[Kind]:
        """The same with the service manager that another one has replaced, as long as a definition of it is left."""
        for name, definitions in self.config.definitions.items():
            if name != self.config.manager and any(map(os.path.exists, definitions)):
                # What starts with the host is the business of the new one.
                return type(self)(self.instance, replace(self.config, boot_units=[]), managed_by=name)
        return None

    def put_back(self, error: ControlError, to: str = RUNNING) -> ControlError:
        """Put back the files that last worked, and add that to the error."""
        if not self.known_good.exists:
            return type(error)(
                f"{error}\n"
                "No version has worked before, so the files stay as they are. Taking an option out of a variable of "
                "the playbook does not take it out of its file: write the option with the value null."
            )
        done = self.known_good.restore(self.attempted, to)
        notes = [
            *done.problems,
            *(f"{path} has been changed again meanwhile, and stays as it is." for path in done.changed),
        ]
        if not done.files:
            return type(error)("\n".join([str(error), *notes])) if notes else error
        again = self.reread()
        if again.config.manager != self.config.manager:
            self.leave()
        again.manager.load(again.defined(), check=False)
        files = "\n".join(f"  {path}" for path in done.files)
        kept = [f"What was rejected is kept in {done.kept}."] if done.kept else []
        return type(error)(
            "\n".join([f"{error}\nThese files are again as they were when they last worked:\n{files}", *kept, *notes])
        )

    def defined(self) -> list[str]:
        """The service manager's names for all that it has to know."""
        return [process.service for process in self.processes().values()]

    def leave(self) -> None:
        """Have the service manager run nothing of this kind, and know nothing of it."""
        names = [*self.manager.unknown(self.defined()), *self.defined()]
        for name in names:
            self.manager.forget(name)
        for definition in self.config.definitions.get(self.manager.title, []):
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
        """Remove the directories of processes that have ended.

        Another service manager does not start the processes as the same user.
        """
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
