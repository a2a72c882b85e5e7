# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The job handlers: one process each, replaced one after the other."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

from .common import Control, ControlError, Process, Refusal, born, say


class Handlers(Control):
    """The job handlers of one instance."""

    kind = "handlers"

    def processes(self) -> dict[str, Process]:
        # A handler's own settings count for it alone.
        return {
            name: Process(f"{self.instance}/handler-{name}", self.manager.name(name), [*self.watch, {"value": settings}])
            for name, settings in self.config["handlers"].items()
        }

    def argv(self, name: str) -> list[str]:
        return [*self.config["argv"], f"--server-name={name}"]

    def prepare(self, name: str) -> None:
        # Two of one name would run each other's jobs.
        self.processes()[name].terminate(self.config["stop_timeout"])

    def apply(self, check: bool, restore: bool) -> None:
        for name in self.manager.unknown(self.defined()):
            say(f"remove {name}")
            if not check:
                self.manager.forget(name)
        self.manager.load(self.defined(), check)
        for process in self.outdated():
            if check:
                say(f"{'restart' if self.manager.is_active(process) else 'start'} {process.service}")
            else:
                self.bring_up(process, restore)
        if not check and not self.keep.exists:
            self.keep.save()

    def outdated(self) -> Iterator[Process]:
        """The handlers that do not run what is written."""
        return (process for process in self.processes().values() if not (self.manager.is_active(process) and process.current))

    def bring_up(self, process: Process, restore: bool) -> None:
        """Make one handler run what is written, or what last worked."""
        was_running = self.manager.is_active(process)
        if was_running:
            self.prove()
        try:
            # One that is just starting, as after a boot, is waited for and not started anew.
            if not (self.manager.is_starting(process) and process.current):
                say(f"{'restart' if was_running else 'start'} {process.service}")
                self.manager.stop(process)
            self.manager.start(process)
        except ControlError as error:
            if not restore or not self.keep.exists:
                raise
            rejected = self.put_back(error)
            if was_running:
                self.manager.start(self.processes()[process.directory.name.partition("-")[2]])
            raise rejected from error
        self.keep.save()

    def prove(self) -> None:
        """Have the web processes prove the change first: what does not start there is not to stop a handler."""
        web = self.config["web_command"]
        if os.access(web, os.X_OK):
            process = subprocess.run([web, "check", "--unless-proven"], capture_output=True, text=True, check=False)
            if process.returncode not in (0, Refusal.exit_code):
                raise ControlError(f"{process.stdout}{process.stderr}".strip() + "\nNo handler has been touched.")

    def restart(self, names: list[str]) -> None:
        processes = self.processes()
        for name in names or processes:
            process = processes[name]
            say(f"restart {process.service}")
            self.manager.stop(process)
            self.manager.start(process)

    def ready(self, name: str, watched_pid: int) -> None:
        """Wait for Galaxy's own word that the handler runs.

        A logging configuration may send that word elsewhere: then the handler counts as started once the
        time is over and its process still lives, which the service manager watches.
        """
        process = self.processes()[name]
        deadline = time.monotonic() + self.config["start_timeout"]
        while time.monotonic() < deadline:
            if watched_pid and not born(watched_pid):
                raise ControlError("the process ended before it said that it runs")
            if self.manager.says(process, f"instance '{name}' is running"):
                process.record_started()
                return
            time.sleep(0.5)
        process.record_started()
        say(f"{name} has not logged that it runs within {self.config['start_timeout']} s; its process is alive, so it is left to itself")

    def status(self) -> int:
        problems = 0
        for process in self.processes().values():
            active = self.manager.is_active(process)
            state = f"active, pid {process.pid}" if active else "starting" if self.manager.is_starting(process) else "stopped"
            note = "" if process.current or not active else f" (not what is written: run the playbook, or {self.command} restart)"
            say(f"{process.service}: {state}{note}")
            problems += not active or not process.current
        for name in self.manager.unknown(self.defined()):
            say(f"{name}: no longer configured: run the playbook")
            problems += 1
        return 3 if problems else 0
