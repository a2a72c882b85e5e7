# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The web processes: what becomes of them by a change, a boot or a failure.

Two slots take turns on one socket, and a candidate proves what is written: see C(handover.py).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from typing import Optional

from .._uwsgi_stats import StatsError, ask
from .control import BY_HANDLERS
from .errors import ControlError, Refusal, say
from .handover import check_memory, hand_over, prove
from .kernel import MIB, born, children
from .known_good import PREVIOUS, RUNNING, NoCopyError
from .listener_pool import POOL, PoolListener
from .listener_systemd import SystemdListener
from .logs import LogService
from .probe import answers, workload
from .process import Process
from .slots import CANDIDATE, Slots

# A version that ends so many seconds after it served for the first time is a failed replacement.
PROBATION = 180


class Web(Slots):
    """The web processes of one instance."""

    went_back = False

    def become(self, name: str) -> None:
        if name == POOL:
            PoolListener(self.instance, self.config).become()
        super().become(name)

    def record_socket(self, unit: str) -> None:
        """Remember what a socket was made from: called by the unit of the socket, whoever manages the processes."""
        SystemdListener(self.instance, self.config).record(unit)

    def start(self) -> None:
        """Start a slot where none runs: at boot, or the first time.

        The service manager goes on where this fails, so that the site comes back when what was missing does.
        """
        slot = next(filter(self.manager.is_starting, self.slots()), self.slots()[0])
        say(f"start {slot.service}")
        try:
            self.attempt()
        except NoCopyError as error:
            # Nothing serves: it is started all the same, and copied by whoever finds room for that.
            say(str(error))
        self.start_process(slot, keep_trying=True)
        self.accept(slot)

    def boot(self) -> None:
        """Start a slot unless one runs: called by the service manager, which tries again where it does not start."""
        self.open()
        self.settle()
        serving = self.serving()
        if serving:
            self.follow(serving)
            return
        try:
            self.start()
        except ControlError as error:
            say(str(self.come_back(error)))

    def follow(self, serving: Process) -> None:
        """Have known-good copies of what serves, where that is what is written."""
        if serving.current:
            self.known_good.follow(serving.version)

    def come_back(self, error: ControlError) -> ControlError:
        """Put back the files that last worked, have them serve where nothing does, and add all that to the error."""
        told = self.put_back(error)
        if not self.went_back:
            return told
        again = self.reread()
        if again.serving():
            return told
        for slot in filter(again.manager.is_starting, again.slots()):
            again.cut_short(slot)
        try:
            again.start()
        except ControlError as failure:
            return type(error)(f"{told}\nThey do not start either: {failure}")
        serving = again.serving()
        return type(error)(f"{told}\nThe site is up again: {serving.service} serves." if serving else str(told))

    def adopt(self, name: str) -> None:
        if name == CANDIDATE:
            return
        slot = self.processes()[name]
        if slot.current:
            # Where a call has started it, that has copied them, and may have to tidy.
            self.known_good.save(slot.version, tidy=False)
        self.known_good.adopt(slot.version, slot.start_seconds)
        if not self.serving():
            self.point_to(slot)

    def give_up(self, name: str, process: Process) -> None:
        if name == CANDIDATE or self.serving():
            # What a call that was killed has left: nobody needs it, and nobody would ever stop it.
            self.manager.stop(process, wait=False)
        if name != CANDIDATE and process.current and self.is_failed_replacement(process):
            self.roll_back(
                f"{process.service} has ended {self.known_good.age:.0f} s after its version served for the first time",
                PREVIOUS,
            )
        else:
            super().give_up(name, process)

    def failed(self, name: str) -> None:
        super().failed(name)
        if self.handlers_have_to_follow:
            # Not waited for: this process is to end before its slot is started again.
            self.manager.run_apart([self.config.handlers_command, "apply"])

    def is_failed_replacement(self, process: Process) -> bool:
        """Whether a process that served and has ended was of a version that has not served for long yet.

        A worker that takes the place of another one may load what is on disk. If that was something else meanwhile, it
        is nothing that the version could help, and what was written there may have been put back by now.
        """
        if self.manager.is_asked_to_stop(process) or self.known_good.written_since(process.since):
            return False
        served = process.started and not self.serving() and self.known_good.version == process.version
        return bool(served) and self.known_good.has_previous and self.known_good.age < PROBATION

    @property
    def log_service(self) -> LogService:
        """What copies the log to files, where that is wanted."""
        return LogService(self.instance, self.config.log_dir, self.config.group)

    def apply(self, check: bool, restore: bool) -> None:
        former = self.former
        try:
            self.listener.refuse_to_close()
        except Refusal as error:
            raise self.put_back(error) if restore else error from error
        if self.manager.keeps_journal:
            self.log_service.apply(check)
        self.manager.load(self.defined(), check)
        if check:
            serving = self.serving()
            if former:
                say(f"move the web processes from {former.manager.title} to {self.manager.title}")
            elif not serving:
                say("start the web processes")
            elif not self.is_current(serving):
                say("hand over to processes that run what is written")
            self.listener.share(check=True)
            return
        try:
            if former:
                former.settle()
                former.sweep()
            self.open()
            self.settle()
            serving = self.serving()
            if former:
                self.take_over(former)
            elif not serving:
                self.start()
            elif not self.is_current(serving):
                self.hand_over(serving, prove=self.proven() != self.version)
            else:
                self.follow(serving)
        except ControlError as error:
            # A refusal leaves what is written to the next run, but not between two service managers.
            if not restore or (isinstance(error, Refusal) and not former):
                raise
            raise self.come_back(error) from error
        self.renew_sockets()

    def take_over(self, former: Web) -> None:
        """Hand over from another service manager to this one, and leave nothing there."""
        serving, before = self.serving(), former.serving()
        if serving:  # An earlier call has come so far.
            self.point_to(serving)
        elif before:
            self.hand_over(before, prove=True, owner=former)
        else:
            self.start()
        former.leave()

    def put_back(self, error: ControlError, to: str = RUNNING) -> ControlError:
        before, since = self.version, self.known_good.differs_since(to)
        told = super().put_back(error, to)
        self.renew_workers(since)
        again = self.reread()
        self.went_back = self.went_back or again.version != before
        if self.went_back:
            again.listener.close_others()
        return told

    def renew_workers(self, since: float) -> None:
        """Have those workers of the slot that serves started again that were started since then.

        A worker that is killed is started again with what is on disk, unless it is forked from what its master has
        loaded. So it may have loaded the version that has been put back now, and nothing else would end it.
        """
        serving = self.serving()
        if not serving:
            return
        with contextlib.suppress(StatsError):
            workers = ask(str(serving.directory / "stats.sock"), timeout=2).workers
            # The socket is the application's: what it says is believed of the master's own workers only.
            mine = children(serving.pid)
            for worker in workers:
                if worker.pid in mine and born(worker.pid) > since:
                    say(f"renew worker {worker.id} of {serving.service}, which was started with what has been put back")
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(worker.pid, signal.SIGHUP)

    @property
    def handlers_have_to_follow(self) -> bool:
        """Whether handlers may run with files that have been rolled back, and nobody restarts them.

        A call of the handlers that has started this one holds the lock that they need: it fails, and the next one
        restarts them.
        """
        called_by_handlers = BY_HANDLERS in os.environ
        return self.went_back and not called_by_handlers and os.access(self.config.handlers_command, os.X_OK)

    def afterwards(self) -> None:
        # They ask for a proof, which takes the lock.
        if self.handlers_have_to_follow:
            subprocess.run([self.config.handlers_command, "apply"], check=False)

    def restart(self, names: list[str]) -> None:
        self.listener.refuse_to_close()
        self.open()
        self.settle()
        serving = self.serving()
        if serving:
            self.hand_over(serving, prove=True)
        else:
            self.start()

    def hand_over(self, serving: Process, prove: bool, owner: Optional[Slots] = None) -> None:
        """Replace the slot that serves, under the service manager of the I(owner), by one that runs what is written."""
        hand_over(self, serving, prove, owner or self)

    def renew_sockets(self) -> None:
        """Take over a change of the sockets themselves."""
        self.listener.close_others(report=True)
        changed = self.listener.changed()
        if not changed:
            return
        serving = self.serving()
        self.listener.reopen(changed)
        if serving:
            self.hand_over(serving, prove=False)
        self.listener.resume()

    def check(self, unless_proven: bool) -> None:
        """Tell whether what is written works, and touch nothing that serves."""
        owner = self.former or self
        owner.manager.load(self.defined(), check=False)
        owner.settle()
        serving = owner.serving()
        if serving:
            self.follow(serving)
        needless = not serving or serving.current or self.config.handover == "in_place" or self.proven() == self.version
        if unless_proven and needless:
            return
        if serving:
            check_memory(serving)
        self.attempt()
        prove(owner)
        owner.manager.stop(owner.processes()[CANDIDATE])
        say("what is written works")

    def status(self) -> int:
        problems = 0
        if self.known_good.last_roll_back:
            say(self.known_good.last_roll_back)
        former = self.former
        serving = self.serving() or (former.serving() if former else None)
        for name, process in self.processes().items():
            state = (
                "active" if self.manager.is_active(process) else "starting" if self.manager.is_starting(process) else ""
            )
            if state:
                took = f", started in {process.start_seconds} s" if process.start_seconds is not None else ""
                note = "" if process.current else f" (not what is written: run the playbook, or {self.command} restart)"
                say(f"{process.service}: {state}, pid {process.pid}, {process.memory // MIB} MiB{took}{note}")
                say(f"  {workload(process.directory / 'stats.sock', process.started.get('restarts', 0))}")
                asgi = self.asgi(process)
                if asgi.exists:
                    say(
                        f"  {asgi.status() or f'its ASGI process is gone: run the playbook, or {self.command} restart'}"
                    )
                problems += state != "active" or not process.current or name == CANDIDATE or asgi.is_gone
        if not serving:
            say(f"no web process of {self.instance} serves")
        for public in self.config.sockets:
            if not answers(public.address):
                say(f"{public.address}: nobody listens")
                problems += 1
        return 3 if problems + self.left_behind() or not serving else 0

    def leave(self) -> None:
        self.listener.close()
        if self.manager.keeps_journal:
            self.log_service.remove()
        super().leave()

    def remove(self) -> None:
        for name in ("proven", "stats.sock", "asgi.sock"):
            (self.run / name).unlink(missing_ok=True)
        shutil.rmtree(self.run / "asgi", ignore_errors=True)
        super().remove()
