# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The job handlers: one process each, replaced one after the other."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from .._processes import start_time
from .config import Handler, HandlersConfig, Watched
from .control import BY_HANDLERS, Control
from .database import changes
from .errors import ControlError, Refusal, say
from .jobs import Jobs, described, heirs, taken_up
from .process import Process

# Galaxy's word that a handler has heard to start no more jobs, and the seconds until it has started the last.
HELD = "Job Lock is now set to True"
HOLD_SECONDS = 15
SETTLE_SECONDS = 5


class Handlers(Control[HandlersConfig]):
    """The job handlers of one instance."""

    kind = "handlers"
    config_class = HandlersConfig

    @property
    def kept(self) -> list[Watched]:
        return [{"path": path} for path in self.config.kept]

    def processes(self) -> dict[str, Process]:
        # A handler's own settings count for it alone.
        return {
            name: Process(
                f"{self.instance}/handler-{name}", self.manager.name(name), [*self.watch, *self.own_values(name)]
            )
            for name in self.config.handlers
        }

    def own_values(self, name: str) -> list[Mapping[str, Any]]:
        """What one handler alone is started from."""
        environment = self.own_environment(name)
        return [{"value": self.config.handlers[name]}, *([{"value": environment}] if environment else [])]

    def own_environment(self, name: str) -> dict[str, str]:
        # A file of its own, because it may be secret; it is there when any handler has one.
        try:
            environments = json.loads(Path(self.config.environments).read_text())
        except FileNotFoundError:
            return {}
        return {variable: str(value) for variable, value in environments.get(name, {}).items()}

    @property
    def program(self) -> list[str]:
        """Galaxy's program for a handler: that of an installed Galaxy, or else that of a checkout."""
        # Old checkouts have the program elsewhere.
        programs, checkout = Path(self.config.virtualenv, "bin"), Path(self.config.chdir)
        if not (programs / "galaxy-main").exists():
            # As a module: what lies beside a script, as Galaxy's own openid, takes the place of packages of that name.
            if (checkout / "lib/galaxy/main.py").exists():
                return [str(programs / "python"), "-m", "galaxy.main"]
            if (checkout / "scripts/galaxy-main").exists():
                return [str(programs / "python"), str(checkout / "scripts/galaxy-main")]
        return [str(programs / "galaxy-main")]

    @property
    def python_path(self) -> list[str]:
        checkout = [f"{self.config.chdir}/lib"] if len(self.program) > 1 else []
        return [*self.config.python_path, *checkout]

    def argv(self, name: str) -> list[str]:
        pools = self.config.handlers[name].get("pools", [])
        return [
            *self.program,
            "-c",
            self.config.config_file,
            f"--server-name={name}",
            *(f"--attach-to-pool={pool}" for pool in pools),
        ]

    def prepare(self, name: str) -> None:
        # Two of one name would run each other's jobs.
        self.processes()[name].terminate(self.config.stop_timeout)

    @property
    def jobs(self) -> Jobs:
        """The jobs that the handlers have."""
        return Jobs(self.config)

    def apply(self, check: bool, restore: bool) -> None:
        before = self.last_settings()
        former = self.former
        fresh = set()
        self.manager.load(self.defined(), check)
        for process in self.outdated():
            if check:
                say(f"{'restart' if self.manager.is_active(process) else 'start'} {process.service}")
            else:
                self.bring_up(process, restore, former)
                fresh.add(self.name_of(process.service))
        # Those that stay run what is written by now, so that they can take over from those that go.
        for owner in filter(None, (self, former)):
            gone = owner.manager.unknown(owner.defined())
            for service in gone:
                say(f"remove {service}")
            if gone and not check:
                self.retire({owner.name_of(service): service for service in gone}, before, fresh, owner)
        if fresh:
            self.hand_over_workflows(fresh)
        if former and check:
            say(f"leave {former.manager.title}")
        elif former:
            former.leave()
        if not check:
            self.known_good.follow(self.version)

    def last_settings(self) -> dict[str, Handler]:
        """The handlers and their settings as they last ran; those that are to go still among them."""
        try:
            kept = self.known_good.directory / "running" / self.path.relative_to("/")
            return dict(json.loads(kept.read_text())["handlers"])
        except (OSError, ValueError, LookupError):
            return {}

    def name_of(self, service: str) -> str:
        """The name of the handler that a service or program is."""
        before, after = self.manager.name("/").split("/")
        return service[len(before) : len(service) - len(after)]

    def retire(self, gone: dict[str, str], before: dict[str, Handler], fresh: set[str], owner: Handlers) -> None:
        """Stop handlers of the I(owner) for good, and give all their jobs to the others.

        The I(fresh) ones have been started with the new configuration, so they know that the stopped ones are gone.

        Whenever this is interrupted no job is lost: the next call finds that they are still there, and goes on.
        """
        settings = self.config.handlers
        new = {name: heirs(before.get(name, {}), settings) for name in gone}
        for name in gone:
            left = [] if new[name] else self.jobs.unfinished(name)
            if left:
                raise Refusal(
                    f"{gone[name]} still has {described(left)}, and there is no handler left to take over. It runs on: "
                    "run the playbook again when they have ended, or keep a handler"
                )
        for name, service in gone.items():
            process = Process(f"{self.instance}/handler-{name}", service, self.watch)
            if owner.manager.is_active(process):
                owner.calm(name, process, new[name])
            owner.manager.stop(process)
        # Where others choose the handler of a job, they have to learn that these are gone.
        chosen = any("db-preassign" in other.get("assign_with", []) for other in settings.values())
        stale = set(settings) - fresh if chosen else set()
        for name in gone:
            # What runs is taken up by its heir as that starts.
            stale |= {
                change["heir"]
                for change in changes(self.jobs.unfinished(name), new[name], gone=True)
                if taken_up(change)
            }
        for name in stale:
            self.processes()[name].disown()
        for name in gone:
            self.hand_over(name, new[name])
        for name in settings:
            if name in stale:
                self.restart([name])
        if chosen:
            self.tell_web()
        for name, service in gone.items():
            # What was assigned to it by those that did not know yet
            self.hand_over(name, new[name])
            owner.manager.forget(service)
        self.known_good.follow(self.version)

    def hand_over(self, name: str, new: dict[str, list[str]], gone: bool = True) -> None:
        """Give the jobs of a handler to its heirs."""
        moved = self.jobs.move(name, new, gone) if new else []
        for heir in new:
            jobs = [job for job in moved if job["heir"] == heir]
            if jobs:
                say(f"{heir} takes over from {name}: {described(jobs)}")

    def rename(self, old: str, new: str, settings: Handler) -> None:
        """Give the jobs of an id that no process has to the handler with these I(settings), under its id I(new)."""
        if settings.get("workflow_scheduler"):
            self.jobs.move_workflows([old], [new])
        else:
            self.hand_over(old, {new: settings.get("plugins", [])})

    def inherit(self, name: str, owners: list[Handlers]) -> None:
        """Give a handler that is about to start the jobs of its previous ids.

        A process that the I(owners) still have under such an id is retired later, and its jobs with it.
        """
        settings = self.config.handlers[name]
        previous = settings.get("previous_ids", [])
        running = (
            {owner.name_of(service) for owner in owners for service in owner.manager.unknown(owner.defined())}
            if previous
            else set()
        )
        for old in previous:
            if old not in running:
                self.rename(old, name, settings)

    def remove(self) -> None:
        """Remove the handlers; jobs of a renamed handler get its previous id again.

        The handlers that ran before the role look for their jobs by that id.
        """
        super().remove()
        for name, settings in self.config.handlers.items():
            # A Galaxy that is gone looks for no jobs.
            if settings.get("previous_ids") and Path(self.config.virtualenv, "bin/python3").exists():
                self.rename(name, settings["previous_ids"][0], settings)

    def hand_over_workflows(self, fresh: set[str]) -> None:
        """Give the workflows that the I(fresh) handlers have scheduled until now to the workflow schedulers.

        From now on the workflow schedulers alone schedule workflows.
        """
        settings = self.config.handlers
        schedulers = [name for name, own in settings.items() if own.get("workflow_scheduler")]
        others = [name for name in settings if name not in schedulers]
        if not schedulers or not fresh.intersection(others):
            return
        self.tell_web()
        tags = {tag for name in others for tag in (*settings[name]["tags"], settings[name]["default"]) if tag}
        moved = self.jobs.move_workflows([*others, *sorted(tags), "_default_"], schedulers)
        if moved:
            say(f"{moved} workflows under way go to {', '.join(schedulers)}")

    def tell_web(self) -> None:
        """Have the web processes assign jobs to nobody who is gone."""
        web = self.config.web_command
        if os.access(web, os.X_OK):
            process = subprocess.run(
                [web, "apply"], capture_output=True, text=True, check=False, env={**os.environ, BY_HANDLERS: "1"}
            )
            if process.returncode != 0:
                raise ControlError(
                    f"{process.stdout}{process.stderr}".strip()
                    + "\nThe web processes still assign jobs to handlers that are gone."
                )
            for line in process.stdout.splitlines():
                say(line)

    def calm(self, name: str, process: Process, new: dict[str, list[str]]) -> None:
        """Wait until no job runs that would end with the process of a handler; it starts no others meanwhile.

        With I(new) heirs, those that wait need not wait for it.
        """
        seconds = self.config.drain_timeout
        if not seconds or not self.jobs.ending(name):
            return
        # If this is killed, the next call restarts the handler, so that it does not wait for ever.
        process.disown()
        try:
            self.jobs.hold(name, True)
            self.wait_for_jobs(name, process, new, time.monotonic() + seconds)
        except BaseException:
            self.jobs.hold(name, False)
            raise

    def wait_for_jobs(self, name: str, process: Process, new: dict[str, list[str]], deadline: float) -> None:
        """Wait until the jobs that would end with a handler have ended, but not longer than until I(deadline)."""
        held = time.monotonic() + HOLD_SECONDS
        while not self.manager.says(process, HELD) and time.monotonic() < held:
            time.sleep(0.5)
        time.sleep(SETTLE_SECONDS)
        if new:
            self.hand_over(name, new, gone=False)
        told = ""
        while left := self.jobs.ending(name):
            if described(left) != told:
                told = described(left)
                say(f"{name} starts no more jobs; wait for {told}")
            if time.monotonic() > deadline:
                raise ControlError(
                    f"After {self.config.drain_timeout} s {process.service} still runs {told}. They would end with it: "
                    "so it runs on, and takes jobs again. Try again later, or raise job_handlers_drain_timeout, or "
                    "set it to 0 to end them."
                )
            time.sleep(1)

    def runs(self, name: str) -> bool:
        """Whether the service manager runs this handler, or is about to."""
        process = self.processes()[name]
        return self.manager.is_active(process) or self.manager.is_starting(process)

    def outdated(self) -> Iterator[Process]:
        """The handlers that do not run what is written."""
        return (
            process
            for process in self.processes().values()
            if not (self.manager.is_active(process) and process.current)
        )

    def bring_up(self, process: Process, restore: bool, former: Optional[Handlers] = None) -> None:
        """Make one handler run the files on disk, or those that last worked.

        The I(former) service manager may be the one that runs the handler now.
        """
        name = self.name_of(process.service)
        owner = former if former and former.runs(name) else self
        old = owner.processes()[name]
        was_running, was_wanted = owner.manager.is_active(old), owner.runs(name)
        self.attempted = self.version
        self.known_good.save(self.attempted)
        if was_running:
            try:
                self.prove()
            except ControlError as error:
                raise (self.put_back(error) if restore else error) from error
            owner.calm(name, old, {})
        try:
            # One that is just starting, as after a boot, is waited for and not started anew.
            if not (self.manager.is_starting(process) and process.current):
                say(f"{'restart' if was_running else 'start'} {process.service}")
                owner.manager.stop(old)
                if owner is not self:
                    owner.sweep()
            self.inherit(name, [self, former] if former else [self])
            self.start_process(process, keep_trying=True)
        except ControlError as error:
            if not restore or not self.known_good.exists:
                raise
            self.manager.stop(process)
            rejected = self.put_back(error)
            if was_wanted:
                if owner is not self:
                    self.sweep()
                try:
                    owner.start_process(old, keep_trying=True)
                except ControlError as failure:
                    raise type(error)(f"{rejected}\nIt does not start with them either: {failure}") from error
            raise rejected from error

    def prove(self) -> None:
        """Have the web processes prove the change first: what does not start there is not to stop a handler."""
        web = self.config.web_command
        if os.access(web, os.X_OK):
            process = subprocess.run([web, "check", "--unless-proven"], capture_output=True, text=True, check=False)
            if process.returncode not in (0, Refusal.exit_code):
                raise ControlError(f"{process.stdout}{process.stderr}".strip() + "\nNo handler has been touched.")

    def restart(self, names: list[str]) -> None:
        processes = self.processes()
        for name in names or processes:
            process = processes[name]
            say(f"restart {process.service}")
            self.restart_one(name, process)

    def restart_one(self, name: str, process: Process) -> None:
        """Restart one handler, and no job with it."""
        if self.manager.is_active(process):
            self.calm(name, process, {})
            self.manager.stop(process)
        self.start_process(process, keep_trying=True)

    def adopt(self, name: str) -> None:
        """Remember that the files work once all handlers run with them."""
        if all(process.current and (process.started or other == name) for other, process in self.processes().items()):
            self.known_good.follow(self.version, tidy=False)

    def wait_until_ready(self, name: str, watched_pid: int) -> None:
        """Wait for Galaxy's own word that the handler runs.

        A logging configuration may send that word elsewhere: then the handler counts as started once the
        time is over and its process still lives, which the service manager watches.
        """
        process = self.processes()[name]
        deadline = time.monotonic() + self.config.start_timeout
        while time.monotonic() < deadline:
            if watched_pid and not start_time(watched_pid):
                raise ControlError("the process ended before it said that it runs")
            if self.manager.says(process, f"instance '{name}' is running"):
                process.record_started()
                return
            time.sleep(0.5)
        process.record_started()
        say(
            f"{name} has not logged that it runs within {self.config.start_timeout} s; its process is alive, so it is "
            "left to itself"
        )

    def status(self) -> int:
        problems = 0
        for process in self.processes().values():
            active = self.manager.is_active(process)
            state = (
                f"active, pid {process.pid}"
                if active
                else "starting"
                if self.manager.is_starting(process)
                else "stopped"
            )
            note = (
                ""
                if process.current or not active
                else f" (not what is written: run the playbook, or {self.command} restart)"
            )
            say(f"{process.service}: {state}{note}")
            problems += not active or not process.current
        for name in self.manager.unknown(self.defined()):
            say(f"{name}: no longer configured: run the playbook")
            problems += 1
        return 3 if problems + self.left_behind() else 0
