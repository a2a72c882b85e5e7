# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes as programs of supervisor.

Supervisor counts a program as running after a second, and loses sight of its programs when it is killed itself. So
what is asked here is the processes: the number each has recorded, and whether it has proved that it works. Where an
instance comes from systemd or goes to it, those that systemd runs are none of them.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

from .config import Config
from .errors import ControlError, say
from .log_tail import log_tail
from .manager import Wait
from .paths import ETC, is_foreign, read
from .process import Process
from .systemd import prefix_of, systemctl

LOGS = Path("/var/log/supervisor")

# Debian's unit starts a supervisor that was killed again after 50 seconds.
PATIENCE = 90

# What uWSGI says when it is asked to stop
STOPS = "graceful shutdown triggered"

# What a program of each kind has in its name
PROGRAMS = {"web": "web", "handlers": "handler"}


def _environment() -> dict[str, str]:
    # The supervisorctl may be somebody's own, and a cron job that calls this has few directories in its path.
    return {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/local/bin"}


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["supervisorctl", *arguments], capture_output=True, text=True, check=False, env=_environment()
    )


def _answers() -> bool:
    return _run("pid").returncode == 0


def _wait_for_supervisor() -> bool:
    """Wait for a supervisor that is gone to come back; tell whether it has."""
    say("wait for supervisor, which does not answer")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if _answers():
            return True
        time.sleep(1)
    return False


def supervisorctl(*arguments: str, check: bool = True) -> str:
    """Run supervisorctl and return what it printed; it prints errors among the rest.

    With I(check) an error is raised, and a supervisor that was killed is waited for: that says nothing about a program.
    """
    process = _run(*arguments)
    if check and process.returncode != 0 and not _answers() and _wait_for_supervisor():
        process = _run(*arguments)
    output = (process.stdout + process.stderr).strip()
    if check and (process.returncode != 0 or "ERROR" in output):
        raise ControlError(f"supervisorctl {' '.join(arguments)}: {output}")
    return output


def states() -> dict[str, str]:
    """The state of every program as supervisor sees it, such as C(RUNNING), by name."""
    lines = map(str.split, supervisorctl("status", check=False).splitlines())
    return {words[0]: words[1] for words in lines if len(words) > 1}


def state(name: str) -> str:
    """The state of one program; empty when supervisor knows no such program."""
    return states().get(name, "")


def forget(name: str) -> None:
    """Stop a program and make supervisor know it no more."""
    supervisorctl("stop", name, check=False)
    supervisorctl("remove", name, check=False)


class Supervisor:
    """The programs C(INSTANCE-web-SLOT) and C(INSTANCE-handler-NAME)."""

    title = "supervisor"
    keeps_journal = False

    def __init__(self, instance: str, kind: str, config: Config) -> None:
        self.config = config
        self.prefix = f"{instance}-{PROGRAMS[kind]}-"
        # What systemd would call the processes
        self.systemd_prefix = prefix_of(instance, kind)

    def name(self, process: str) -> str:
        """Its name for a process."""
        return f"{self.prefix}{process}"

    def _lives(self, process: Process) -> bool:
        """Whether the process lives, and not under systemd."""
        if not process.pid:
            return False
        if not (ETC / "systemd/system" / f"{self.systemd_prefix}.service").exists():
            return True
        unit = f"{self.systemd_prefix}{process.service[len(self.prefix) :]}.service"
        return systemctl("is-active", unit, check=False) not in ("active", "activating", "deactivating", "reloading")

    def is_active(self, process: Process) -> bool:
        """Whether the process lives and has proved that it works."""
        return self._lives(process) and process.start_seconds is not None

    def is_starting(self, process: Process) -> bool:
        """Whether the process lives and has not proved that it works."""
        return self._lives(process) and process.start_seconds is None

    def start(self, process: Process, wait_until_ready: Wait, keep_trying: bool = False) -> None:
        """Start the program and wait until it works."""
        log = LOGS / f"{process.service}.log"
        offset = log.stat().st_size if log.exists() else 0
        try:
            if not process.pid:
                # Its definition may have changed since it was last started; as it is stopped this starts nothing else.
                supervisorctl("reread", check=False)
                supervisorctl("update", process.service, check=False)
                if state(process.service) not in ("STARTING", "RUNNING"):
                    supervisorctl("start", process.service)
            # Not only looked at: the child that watches over the start may have died.
            wait_until_ready(process.service[len(self.prefix) :], self._wait_for_birth(process))
        except ControlError as error:
            if not keep_trying:
                supervisorctl("stop", process.service, check=False)
            lines = log.read_bytes()[offset:].decode(errors="replace").splitlines() if log.exists() else []
            again = " Supervisor starts it again and again until it works." if keep_trying else ""
            end = log_tail(lines, self.config.health_path, f"tail -c +{offset + 1} {log}")
            raise ControlError(
                f"{process.service} did not start: {error}.{again} The end of its log:\n{end}"
            ) from error

    @staticmethod
    def _wait_for_birth(process: Process) -> int:
        deadline = time.monotonic() + 10
        while not process.pid:
            if time.monotonic() > deadline or state(process.service) in ("BACKOFF", "FATAL", "EXITED", ""):
                raise ControlError("the process ended at once")
            time.sleep(0.1)
        return process.pid

    def stop(self, process: Process, wait: bool = True) -> None:
        """Stop the program; it finishes the requests or the clean-up it is at."""
        if not wait:
            # It may be this process that ends.
            self.run_apart(["supervisorctl", "stop", process.service])
            return
        supervisorctl("stop", process.service, check=False)
        # One that an earlier supervisor had started before it was killed is not known to this one.
        process.terminate(self.config.stop_timeout)

    def is_asked_to_stop(self, process: Process) -> bool:
        """Whether somebody has stopped the program and starts it again now, as C(supervisorctl restart) does."""
        return self.says(process, STOPS)

    def run_apart(self, command: list[str]) -> None:
        """Run a command in a session of its own."""
        nowhere = subprocess.DEVNULL
        subprocess.Popen(command, env=_environment(), start_new_session=True, stdout=nowhere, stderr=nowhere)

    def says(self, process: Process, words: str) -> bool:
        """Whether the program has said these words since it was started."""
        try:
            log = (LOGS / f"{process.service}.log").read_text(errors="replace")
        except FileNotFoundError:
            return False
        return words in log.rpartition(f"become {process.service}, pid {process.last_pid}\n")[2]

    def load(self, names: list[str], check: bool) -> None:
        """Make supervisor know what starts with the host; the other programs are made known when they are started."""
        changed = supervisorctl("avail", check=False) if check else supervisorctl("reread")
        known = states()
        for name in self.config.boot_units:
            if name not in known or f"{name}: changed" in changed:
                say(f"enable {name}")
                if not check:
                    supervisorctl("update", name)

    def unknown(self, names: list[str]) -> list[str]:
        """Programs of this kind that supervisor knows and a role wrote, and that are not among I(names)."""
        known = {name for name in states() if name.startswith(self.prefix)}
        # An instance called galaxy-web has programs that might be some of one called galaxy.
        others = tuple(
            f"{path.parent.name}-{word}-"
            for kind, word in PROGRAMS.items()
            for path in ETC.glob(f"{self.prefix[:-1]}*/{kind}.json")
        )
        unknown = {name for name in known - {*names, *self.config.boot_units} if not name.startswith(others)}
        return sorted(unknown - self._foreign() if unknown else unknown)

    def _foreign(self) -> set[str]:
        """The programs in files of supervisor that no role wrote."""
        directories = {Path(path).parent for path in self.config.definitions.get(self.title, [])}
        files = [
            path
            for directory in directories
            for path in (*directory.glob("*.conf"), directory.parent / "supervisord.conf")
        ]
        return {
            name
            for path in files
            if is_foreign(path)
            for name in re.findall(r"^\[(?:\w+-)?program:([^\]]+)\]", read(path), re.MULTILINE)
        }

    def forget(self, name: str) -> None:
        """Stop a program and make supervisor know it no more."""
        forget(name)

    def reread(self) -> None:
        """Take notice of files of programs that are gone."""
        supervisorctl("reread", check=False)
