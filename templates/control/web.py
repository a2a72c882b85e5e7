# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The web processes: two slots that take turns on one socket, and a candidate that proves what is written.

One slot serves. A handover first starts the candidate, which has no part in the socket, from what is written; when it
has answered on its private socket it is stopped, and the idle slot is started beside the one that serves. When that has
answered on its private socket too, the other is stopped. So a version that does not work never gets a request.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Optional

from . import _safe_files as safe_files
from ._processes import start_time
from .accounts import account_of, as_user, drop_privileges, group_of
from .asgi import Asgi
from .common import BY_HANDLERS, Control
from .errors import ControlError, Refusal, say
from .kernel import available_memory, born, children
from .known_good import PREVIOUS, RUNNING, NoCopyError
from .logs import LogService
from .nginx import nginx_workers
from .paths import ETC, read, relink
from .process import Process
from .stats import StatsError, ask
from .supervisor import state, supervisorctl
from .systemd import Systemd, systemctl

SLOTS = ("1", "2")
CANDIDATE = "candidate"
POOL = "pool"
MIB = 1024 * 1024

# A version that ends so many seconds after it served for the first time is a failed replacement.
PROBATION = 180
# A worker that has ended so often before it has loaded the application never will.
MOST_RESTARTS = 3

# Options of uWSGI and their values.
Options = list[tuple[str, str]]


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def answers(address: str) -> bool:
    """Whether somebody listens at an address, that of a unix socket or one such as C(127.0.0.1:4001), C([::1]:4001) or C(:8080)."""
    try:
        if address.startswith("/"):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(address)
            return True
        host, _colon, port = address.rpartition(":")
        with socket.create_connection((host.strip("[]") or "localhost", int(port)), timeout=5):
            return True
    except OSError:
        return False


def _arguments(options: Options) -> list[str]:
    return [f"--{name}={value}" for name, value in options]


def _options(arguments: list[str]) -> Options:
    return [(name, value) for name, _equals, value in (argument[2:].partition("=") for argument in arguments)]


def _ini(options: Options) -> str:
    return "[uwsgi]\n" + "".join(f"{name} = {value}\n" for name, value in options)


def inherited_sockets() -> list[tuple[int, str]]:
    """Take the sockets that systemd hands over, and what is spoken there, out of the environment.

    uWSGI, which would speak its own protocol on all of them, is told of each.
    """
    os.environ.pop("LISTEN_PID", None)
    count = int(os.environ.pop("LISTEN_FDS", "0"))
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    return [(3 + number, names[number]) for number in range(count)]


def workload(stats: Path, restarts: float = 0) -> str:
    """What the workers behind a stats socket do, for a person; I(restarts) is how many had been started again when it was ready."""
    try:
        found = ask(str(stats), timeout=2)
    except StatsError as error:
        return str(error)
    totals = found.totals()
    since = int(sum(worker.respawns for worker in found.workers) - restarts)
    again = f"; {since} workers started again" if since > 0 else ""
    return (
        f"{totals['workers']} workers: {totals['busy']} busy, {totals['idle']} idle; {totals['busy_threads']} of {totals['threads']} threads busy; "
        f"{totals['requests']} requests served, {totals['exceptions']} exceptions; {totals['listen_queue']} requests wait{again}"
    )


def memory_problem(needed: int, available: int, start_seconds: float) -> str:
    """What to say of a handover that needs so much memory, in bytes, where there is so much; empty when it is enough."""
    if needed <= available:
        return ""
    return (
        f"a handover needs about {needed // MIB} MiB for processes beside those that serve, and {available // MIB} MiB are available. "
        "Free some memory, lower uwsgi_processes, or set uwsgi_handover to in_place: requests then wait about "
        f"{start_seconds:.0f} s while the processes are replaced."
    )


class Web(Control):
    """The web processes of one instance."""

    kind = "web"
    went_back = False

    def __init__(self, instance: str) -> None:
        super().__init__(instance)
        # How a process is called, what it listens to and how it has to prove itself is a part of what it was started with, and so is the pool
        # that it got its socket from.
        pool = [{"path": str(self.run / POOL), "link": True, "installed": True}] if self.config["manager"] == "supervisor" else []
        # The slots alone have these: a candidate must not run the jobs of the slot that serves.
        self.slot_argv: list[str] = self.config.get("slot_argv", [])
        self.watch = [*self.watch, {"value": [self.config.get("argv"), self.slot_argv, self.config["health"], self.config.get("sockets")]}, *pool]
        # What systemd has handed to this process.
        self.inherited: list[tuple[int, str]] = []

    def processes(self) -> dict[str, Process]:
        return {name: Process(f"{self.instance}/web-{name}", self.manager.name(name), self.watch) for name in (*SLOTS, CANDIDATE)}

    def argv(self, name: str) -> list[str]:
        private = self.run / f"web-{name}"
        command: list[str] = self.config["argv"]
        before = [] if name == CANDIDATE else self.public.attach(self.processes()[name])
        before += [("http-socket", str(private / "http.sock")), ("stats", str(private / "stats.sock")), ("chmod-socket", "600")]
        # The last word counts.
        after = [("processes", "1"), ("cheaper", "0")] if name == CANDIDATE else _options(self.slot_argv)
        if self.config.get("vassal"):
            return self._emperor(private / "vassals", before, after)
        return [command[0], *_arguments(before), *command[1:], *_arguments(after)]

    def _emperor(self, directory: Path, before: Options, after: Options) -> list[str]:
        """Give the process a vassal of its own, and return the command line of its emperor.

        The emperor starts a vassal anew when its file changes: so it gets a copy, and what is written has to prove itself as always.
        """
        program, *plugins = self.config["argv"]
        loading = list(zip((word.lstrip("-") for word in plugins[::2]), plugins[1::2]))
        vassal = Path(self.config["vassal"])
        directory.mkdir(exist_ok=True)
        # An emperor starts its vassals where their files are.
        lines = [_ini([*loading, ("chdir", self.config["chdir"]), *before]), vassal.read_text(), _ini(after)]
        (directory / f"{self.instance}.ini").write_text("\n".join(lines))
        options = [("emperor", str(directory)), ("emperor-wrapper", program), ("reload-mercy", str(self.config["stop_timeout"]))]
        options += [("safe-fd", address[5:]) for _option, address in before if address.startswith("fd://")]
        return [program, *_arguments(options), "--die-on-term", "--emperor-graceful-shutdown"]

    def own_environment(self, name: str) -> dict[str, str]:
        # Galaxy addresses its processes by their names, over all hosts that share a database; slots overlap. That of a candidate sorts before
        # all others, because Galaxy gives the tasks of which there is one to the last.
        slot = "0" if name == CANDIDATE else name
        return {
            "GALAXYOPS_SLOT": f"{self.instance}.{socket.gethostname()}.{slot}",
            "GALAXYOPS_ASGI_SOCKET": str(self.asgi(self.processes()[name]).socket),
            "GALAXYOPS_STOP_TIMEOUT": str(self.config["stop_timeout"]),
        }

    def asgi(self, process: Process) -> Asgi:
        """The ASGI process of a slot or the candidate."""
        return Asgi(self.run, process, SLOTS)

    def point_to(self, slot: Process) -> None:
        """Route requests to this slot."""
        self.public.point_to(slot)
        self.asgi(slot).point_to()

    def stop(self, slot: Process) -> None:
        """Stop a slot; it finishes the requests that it has."""
        self.asgi(slot).drain(self.config["stop_timeout"])
        self.manager.stop(slot)

    def cut_short(self, slot: Process) -> None:
        """Stop a slot that starts; by force as long as it has no application, and so no request either.

        A uWSGI that is asked to stop just as it gives up by itself may wait for its workers until it is killed.
        """
        if self.has_application(slot):
            self.stop(slot)
        else:
            slot.kill()
            self.manager.stop(slot)

    @staticmethod
    def has_application(slot: Process) -> bool:
        """Whether a worker of a slot has loaded the application, so that it may have requests."""
        try:
            return any(worker.applications for worker in ask(str(slot.directory / "stats.sock"), timeout=2).workers)
        except StatsError:
            return False

    def open(self) -> None:
        """Make the sockets that clients connect to."""
        self.public.open()
        self.open_asgi()

    def open_asgi(self) -> None:
        """Make the directory of the sockets of the ASGI processes: before a slot starts, whoever starts it."""
        Asgi.open(self.run, account_of(self.config["user"]).pw_uid, group_of(self.public.group))

    @property
    def public(self) -> PublicSocket:
        """The socket that nginx connects to."""
        return SystemdSocket(self) if isinstance(self.manager, Systemd) else ZergPool(self)

    def become(self, name: str) -> None:
        if name == POOL:
            ZergPool(self).become()
        self.inherited = inherited_sockets()
        if name == CANDIDATE:
            # systemd hands the sockets to every instance of the unit; this one is to have no part in them.
            for descriptor, _protocol in self.inherited:
                os.close(descriptor)
        # A killed process leaves its socket behind, and the one that starts now may have no ASGI process.
        self.asgi(self.processes()[name]).socket.unlink(missing_ok=True)
        super().become(name)

    def prepare(self, name: str) -> None:
        self.public.prepare(self.processes()[name])

    # What runs

    def slots(self) -> list[Process]:
        """The two slots."""
        processes = self.processes()
        return [processes[slot] for slot in SLOTS]

    def serving(self) -> Optional[Process]:
        """The slot that serves; after settle() there is at most one."""
        return next((slot for slot in self.slots() if self.manager.is_active(slot)), None)

    def settle(self) -> None:
        """Tidy up what a handover that was killed half-way has left, without stopping what serves."""
        candidate = self.processes()[CANDIDATE]
        if candidate.pid or self.manager.is_active(candidate) or self.manager.is_starting(candidate):
            self.stop(candidate)
        for slot in self.slots():
            if self.manager.is_starting(slot):
                # As after a boot, or when it was killed. It is waited for and not stopped: it may have requests already.
                say(f"wait for {slot.service}")
                try:
                    self.manager.start(slot, keep_trying=not self.serving())
                except ControlError as error:
                    say(str(error))
        active = [slot for slot in self.slots() if self.manager.is_active(slot)]
        if len(active) == 2:
            say("finish the handover that was interrupted")
            stays = next((slot for slot in active if slot.current), active[0])
            self.point_to(stays)
            for slot in active:
                if slot is not stays:
                    self.stop(slot)
        elif active:
            # The call that started the slot may have been killed before it made the link.
            self.asgi(active[0]).point_to()

    def is_current(self, slot: Process) -> bool:
        """Whether a slot runs what is written, and all of it."""
        return slot.current and not self.asgi(slot).is_gone

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
        self.manager.start(slot, keep_trying=True)
        self.accept(slot)

    def attempt(self) -> None:
        """Remember what is about to be tried."""
        self.attempted = self.version
        self.known_good.save(self.attempted)

    def accept(self, slot: Process) -> None:
        """Have a slot that works serve, and what it was started from be what last worked."""
        self.known_good.adopt(slot.version, slot.start_seconds)
        self.point_to(slot)

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
            self.roll_back(f"{process.service} has ended {self.known_good.age:.0f} s after its version served for the first time", PREVIOUS)
        else:
            super().give_up(name, process)

    def failed(self, name: str) -> None:
        super().failed(name)
        if self.handlers_have_to_follow:
            # Not waited for: this process is to end before its slot is started again.
            self.manager.run_apart([self.config["handlers_command"], "apply"])

    def is_failed_replacement(self, process: Process) -> bool:
        """Whether a process that served and has ended was of a version that has not served for long yet.

        A worker that takes the place of another one may load what is on disk. If that was something else meanwhile, it is
        nothing that the version could help, and what was written there may have been put back by now.
        """
        if self.manager.is_asked_to_stop(process) or self.known_good.written_since(process.since):
            return False
        served = process.started and not self.serving() and self.known_good.version == process.version
        return bool(served) and self.known_good.has_previous and self.known_good.age < PROBATION

    @property
    def log_service(self) -> LogService:
        """What copies the log to files, where that is wanted."""
        return LogService(self.instance, self.config.get("log_dir", ""), self.config["group"])

    def apply(self, check: bool, restore: bool) -> None:
        former = self.former
        try:
            self.public.refuse_to_close()
        except Refusal as error:
            raise self.put_back(error) if restore else error from error
        if isinstance(self.manager, Systemd):
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
            self.public.share(check=True)
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
        self.public.renew()

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
            again.public.close_others()
        return told

    def renew_workers(self, since: float) -> None:
        """Have those workers of the slot that serves started again that were started since then.

        A worker that is killed is started again with what is on disk, unless it is forked from what its master has loaded. So
        it may have loaded the version that has been put back now, and nothing else would end it.
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

        A call of the handlers that has started this one holds the lock that they need: it fails, and the next one restarts them.
        """
        called_by_handlers = BY_HANDLERS in os.environ
        return self.went_back and not called_by_handlers and os.access(self.config["handlers_command"], os.X_OK)

    def afterwards(self) -> None:
        # They ask for a proof, which takes the lock.
        if self.handlers_have_to_follow:
            subprocess.run([self.config["handlers_command"], "apply"], check=False)

    def restart(self, names: list[str]) -> None:
        self.public.refuse_to_close()
        self.open()
        self.settle()
        serving = self.serving()
        if serving:
            self.hand_over(serving, prove=True)
        else:
            self.start()

    # The handover

    def hand_over(self, serving: Process, prove: bool, owner: Optional[Web] = None) -> None:
        """Replace the slot that serves, under the service manager of the I(owner), by one that runs what is written."""
        owner = owner or self
        idle = next(slot for slot in self.slots() if slot.directory != serving.directory)
        if self.config["handover"] == "in_place":
            self.replace_in_place(serving, owner)
            return
        self.check_memory(serving)
        self.attempt()
        if prove:
            # Under systemd it would open the socket.
            owner.prove()
        say(f"start {idle.service} beside {serving.service}")
        try:
            self.start_idle(idle)
        except ControlError as error:
            raise ControlError(f"{error}\nThe site is still up: {serving.service} serves on.") from error
        self.accept(idle)
        say(f"stop {serving.service}")
        owner.stop(serving)
        if prove:
            owner.manager.stop(owner.processes()[CANDIDATE])

    def start_idle(self, idle: Process) -> None:
        """Start the slot that is idle, once more where what it gets its socket from was lost meanwhile."""
        try:
            self.manager.start(idle)
        except ControlError as error:
            if not self.public.is_lost(idle):
                raise
            say(f"{error}\nWhat it gets its socket from has ended meanwhile: start {idle.service} once more")
            self.public.open()
            self.manager.start(idle)

    def replace_in_place(self, serving: Process, owner: Web) -> None:
        """Replace the slot that serves where there is no memory for two: requests wait in the socket meanwhile."""
        self.attempt()
        say(f"replace {serving.service} in place: requests wait about {serving.start_seconds or 0:.0f} s until it has started")
        slot = next(slot for slot in self.slots() if slot.directory == serving.directory)
        owner.stop(serving)
        if owner is not self:
            owner.sweep()
        try:
            self.manager.start(slot, keep_trying=not self.known_good.exists)
        except ControlError as error:
            if not self.known_good.exists:
                raise
            error = self.put_back(error)
            try:
                owner.manager.start(serving, keep_trying=True)
            except ControlError as failure:
                raise ControlError(f"{error}\nThey do not start either: {failure}") from error
            raise ControlError(f"{error}\nThe site is up again: {serving.service} runs what worked before.") from error
        self.accept(slot)

    def check_memory(self, serving: Process) -> None:
        """Refuse a handover for which there is too little memory, before the kernel ends it by killing something."""
        problem = memory_problem(serving.memory, available_memory(), serving.start_seconds or 0)
        if problem:
            raise Refusal(f"{problem} Nothing has been touched: {serving.service} serves on.")

    def prove(self) -> None:
        """Start what is written without a part in the socket, and see whether it works."""
        candidate = self.processes()[CANDIDATE]
        say(f"prove {candidate.service}")
        proven = self.version
        try:
            self.manager.start(candidate)
        except ControlError as error:
            serving = self.serving()
            outcome = f"The site is still up: {serving.service} serves on." if serving else "No web process runs."
            raise ControlError(f"{error}\n{outcome}") from error
        (self.run / "proven").write_text(proven)
        # It has no requests. What comes next does not wait until it has ended.
        self.manager.stop(candidate, wait=False)

    def proven(self) -> str:
        """The fingerprint of what was proved last."""
        with contextlib.suppress(OSError):
            return (self.run / "proven").read_text()
        return ""

    def check(self, unless_proven: bool) -> None:
        """Tell whether what is written works, and touch nothing that serves."""
        owner = self.former or self
        owner.manager.load(self.defined(), check=False)
        owner.settle()
        serving = owner.serving()
        if serving:
            self.follow(serving)
        needless = not serving or serving.current or self.config["handover"] == "in_place" or self.proven() == self.version
        if unless_proven and needless:
            return
        if serving:
            self.check_memory(serving)
        self.attempt()
        owner.prove()
        owner.manager.stop(owner.processes()[CANDIDATE])
        say("what is written works")

    def wait_until_ready(self, name: str, watched_pid: int) -> None:
        # As the application's user: the sockets are in a directory where that user could put any others.
        deadline = time.monotonic() + self.patience(name)
        as_user(account_of(self.config["user"]), group_of(self.config["group"]), lambda: self._wait_until_ready(name, watched_pid, deadline))

    def patience(self, name: str) -> float:
        """How many seconds a process may take until it works.

        Fewer where nothing serves, a version is started that nobody has seen working, and there is one to go back to: visitors wait for it.
        """
        most = float(self.config["health"]["timeout"])
        known = self.known_good.start_seconds
        in_place = self.config.get("handover") == "in_place"
        if name == CANDIDATE or in_place or known is None or self.known_good.version == self.version or self.serving():
            return most
        return min(most, 3 * known + 30)

    def _wait_until_ready(self, name: str, watched_pid: int, deadline: float) -> None:
        process = self.processes()[name]
        self._wait_for_answer(process.directory / "http.sock", deadline, watched_pid)
        restarts = self._wait_for_workers(process.directory / "stats.sock", deadline, watched_pid)
        # The socket of the ASGI process was made before the worker that has answered was started.
        asgi = self.asgi(process)
        if asgi.exists:
            self._wait_for_answer(asgi.socket, deadline, watched_pid)
        process.record_started(restarts=restarts)

    def _wait_for_workers(self, stats: Path, deadline: float, watched_pid: int) -> int:
        """Wait until every worker has loaded the application, and return how many have been started again.

        One that has answered says nothing of the others: an application may be one that only one process can load.
        """
        while True:
            if watched_pid and not start_time(watched_pid):
                raise ControlError("the process ended before all of its workers had loaded the application")
            try:
                workers = ask(str(stats)).workers
            except StatsError as error:
                # It may just be ending.
                if time.monotonic() > deadline:
                    raise ControlError(f"the stats of the workers cannot be read: {error}") from error
                time.sleep(0.1)
                continue
            missing = [worker for worker in workers if worker.status != "cheap" and not (worker.accepting and worker.applications)]
            restarts = sum(worker.respawns for worker in workers)
            if not missing:
                return restarts
            ended = max(worker.respawns for worker in missing)
            names = ", ".join(str(worker.id) for worker in missing)
            if ended >= MOST_RESTARTS or time.monotonic() > deadline:
                raise ControlError(
                    f"worker {names} of {len(workers)} has not loaded the application, and was started {ended} times again meanwhile. An application "
                    "that only one process can load needs uwsgi_processes: 1"
                )
            time.sleep(0.1)

    def _wait_for_answer(self, path: Path, deadline: float, watched_pid: int) -> None:
        """Ask for the health path on a private socket until the answer is right."""
        health: dict[str, Any] = self.config["health"]
        answer, seconds = "no answer", deadline - time.monotonic()
        vassals: set[int] = set()
        while time.monotonic() < deadline:
            if watched_pid and not start_time(watched_pid):
                raise ControlError("the process ended before it answered")
            if watched_pid and self.config.get("vassal"):
                # An emperor starts one that has ended anew, again and again.
                alive = set(children(watched_pid))
                if vassals - alive:
                    raise ControlError("the vassal ended before it answered")
                vassals |= alive
            try:
                connection = UnixConnection(path, max(1.0, deadline - time.monotonic()))
                connection.request("GET", health["path"], headers={"Host": health["host"]})
                status = connection.getresponse().status
                if status in health["status"]:
                    return
                answer = f"status {status}"
            except (OSError, http.client.HTTPException) as error:
                answer = str(error) or type(error).__name__
            time.sleep(0.1)
        wanted = " or ".join(map(str, health["status"]))
        raise ControlError(f"GET {health['path']} on {path}: {answer} after {seconds:.0f} s instead of {wanted}")

    def status(self) -> int:
        problems = 0
        if self.known_good.last_roll_back:
            say(self.known_good.last_roll_back)
        former = self.former
        serving = self.serving() or (former.serving() if former else None)
        for name, process in self.processes().items():
            state = "active" if self.manager.is_active(process) else "starting" if self.manager.is_starting(process) else ""
            if state:
                took = f", started in {process.start_seconds} s" if process.start_seconds is not None else ""
                note = "" if process.current else f" (not what is written: run the playbook, or {self.command} restart)"
                say(f"{process.service}: {state}, pid {process.pid}, {process.memory // MIB} MiB{took}{note}")
                say(f"  {workload(process.directory / 'stats.sock', process.started.get('restarts', 0))}")
                asgi = self.asgi(process)
                if asgi.exists:
                    say(f"  {asgi.status() or f'its ASGI process is gone: run the playbook, or {self.command} restart'}")
                problems += state != "active" or not process.current or name == CANDIDATE or asgi.is_gone
        if not serving:
            say(f"no web process of {self.instance} serves")
        for public in self.config.get("sockets", []):
            if not answers(public["address"]):
                say(f"{public['address']}: nobody listens")
                problems += 1
        return 3 if problems + self.left_behind() or not serving else 0

    def leave(self) -> None:
        self.public.close()
        if isinstance(self.manager, Systemd):
            self.log_service.remove()
        super().leave()

    def remove(self) -> None:
        for name in ("proven", "stats.sock", "asgi.sock"):
            (self.run / name).unlink(missing_ok=True)
        shutil.rmtree(self.run / "asgi", ignore_errors=True)
        super().remove()


def give_socket(path: Path, user: int, group: int) -> None:
    """Give a socket of a user to a group, and nothing else that its owner may have put in its place."""
    with contextlib.suppress(OSError), safe_files.locate(path, follow=False) as place, place.pinned() as pinned:
        status = os.stat(pinned)
        if stat.S_ISSOCK(status.st_mode) and status.st_uid == user:
            os.chown(pinned, -1, group)


class PublicSocket:
    """The socket that nginx connects to, and that outlives every handover.

    It and the sockets of the ASGI processes have a group that nginx's workers have. To another group they go once no
    worker needs the present one any more, so that no request is turned away. Until then they keep the present group,
    over a boot too.
    """

    def __init__(self, web: Web) -> None:
        self.web = web
        self.path = web.run / "web.sock"
        self._waiting = web.known_good.directory / "socket-group"

    @property
    def group(self) -> str:
        """The group that the sockets are to have for now."""
        with contextlib.suppress(OSError, KeyError):
            return grp.getgrnam(self._waiting.read_text()).gr_name
        return str(self.web.config["socket_group"])

    def _places(self) -> list[Path]:
        """What is there of the socket and of the directory of the ASGI processes' sockets."""
        # A link in this directory, which is root's, leads to the socket of supervisor's pool.
        public = self.web.run / os.readlink(self.path) if self.path.is_symlink() else self.path
        return [path for path in (public, self.web.run / "asgi") if os.path.lexists(path)]

    def _obstacle(self, groups: set[int], wanted: int, user: int) -> str:
        """What speaks against giving the sockets to another group now."""
        if self.web.config["allow_interruption"]:
            return ""
        workers = nginx_workers()
        for worker in workers:
            if worker.would_lose(groups, wanted, user):
                return f"Its worker {worker.pid} is not in the group {self.web.config['socket_group']}"
        # After a boot it may start later than this.
        return "" if any(wanted in worker.groups for worker in workers) else f"None of its workers is in the group {self.web.config['socket_group']}"

    def _wait(self, present: str, obstacle: str, check: bool) -> None:
        """Keep the group that the sockets have, and report why."""
        if not check:
            self._waiting.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._waiting.write_text(present)
        wanted = self.web.config["socket_group"]
        # No change, which a line of the standard output would be to Ansible.
        say(
            f"The sockets of {self.web.instance} keep the group {present} and wait for nginx. {obstacle}. Until then every process of the group {present} "
            f"can run code as {self.web.config['user']}. Run the role nginx_proxy, or write 'user www-data {wanted};' into your nginx.conf and reload "
            f"nginx; then run the playbook again, or {self.web.config['command']} socket-group.",
            sys.stderr,
        )

    def share(self, check: bool = False, seconds: float = 0) -> None:
        """Give the sockets to the group that they shall have, as soon as all workers of nginx that can connect are in it."""
        wanted = group_of(self.web.config["socket_group"])
        places = self._places()
        groups = [path.lstat().st_gid for path in places if path.lstat().st_gid != wanted]
        if not groups:
            if not check:
                self._waiting.unlink(missing_ok=True)
            return
        user = account_of(self.web.config["user"]).pw_uid
        deadline = time.monotonic() + seconds
        while obstacle := self._obstacle({*groups}, wanted, user):
            if time.monotonic() >= deadline:
                self._wait(safe_files.group_name(groups[0]), obstacle, check)
                return
            time.sleep(0.2)
        say(f"give the sockets to the group {self.web.config['socket_group']}")
        if not check:
            asgi = self.web.run / "asgi"
            if asgi in places:
                # In a directory of root; what the others lead to may be the application's.
                os.chown(asgi, -1, wanted, follow_symlinks=False)
            for path in (*places, *asgi.glob("*.sock")):
                give_socket(path, user, wanted)
            self._waiting.unlink(missing_ok=True)

    def prepare(self, slot: Process) -> None:
        """Get the slot ready to attach to the socket."""

    def attach(self, slot: Process) -> Options:
        """The options that uWSGI needs to serve the socket."""
        return []

    def is_lost(self, slot: Process) -> bool:
        """Whether a slot that has not started could not attach, because what hands out the socket has ended."""
        return False

    def open(self) -> None:
        """Make requests wait in the socket until a slot has started."""
        self.share()

    def point_to(self, slot: Process) -> None:
        """Lead requests to what this slot listens to, and who asks what the workers do to its stats."""
        relink(self.web.run / "stats.sock", slot.directory / "stats.sock")

    def renew(self) -> None:
        """Take over a change of the socket itself."""

    def refuse_to_close(self) -> None:
        """Refuse to stop listening somewhere, unless that is allowed."""

    def close_others(self) -> None:
        """Stop listening where it is not wanted any more."""

    def close(self) -> None:
        """Remove the socket."""


class SystemdSocket(PublicSocket):
    """The sockets that units of systemd own, one unit for each address; both slots get them from systemd as they start.

    The name of a unit, such as C(INSTANCE-web.socket) and C(INSTANCE-web-http-127.0.0.1:8080.socket), has its address in it. So another
    address is another unit: one that is wanted no more keeps its socket, also when systemd reads its files anew, until it is closed.
    """

    def __init__(self, web: Web) -> None:
        super().__init__(web)
        self.units: list[str] = [public["unit"] for public in web.config.get("sockets", [])]
        self.directory = ETC / "systemd" / "system"
        # The one of them that has the path.
        self.unit = next((public["unit"] for public in web.config.get("sockets", []) if public["address"] == str(self.path)), "")
        # Where the socket waits while the path still leads to that of supervisor's pool.
        self.aside = web.run / "web.sock.aside"

    def attach(self, slot: Process) -> Options:
        options = {"uwsgi": "socket", "http": "http-socket"}
        found = [(options[protocol], f"fd://{descriptor}") for descriptor, protocol in self.web.inherited]
        # uWSGI closes the connection after each answer, and says so only when told: a client would send its next request there.
        return found + ([("add-header", "Connection: close")] if "http" in [protocol for _descriptor, protocol in self.web.inherited] else [])

    def _pool_listens(self) -> bool:
        """Whether the path leads to the socket of supervisor's pool, and that is served."""
        return self.path.is_symlink() and answers(str(self.path))

    def open(self) -> None:
        super().open()
        if self.unit and self._pool_listens() and not self.aside.exists():
            self._open_aside()
        systemctl("start", *self.units)

    def _open_aside(self) -> None:
        """Have systemd make its socket, and take it out of the way until a slot has started that serves it."""
        pool = Path(os.readlink(self.path))
        owner = (account_of(self.web.config["user"]).pw_uid, group_of(self.group))
        # Not only started: one that has lost its path to the pool is of no use. Not waited for either, to have the link back at once.
        systemctl("restart", "--no-block", self.unit)
        deadline = time.monotonic() + 30
        while not self._is_socket_of(owner):
            if time.monotonic() > deadline:
                raise ControlError(f"{self.unit} has not been started in 30 s: see journalctl -u {self.unit}")
            time.sleep(0.001)
        self.path.rename(self.aside)
        relink(self.path, pool)

    def _is_socket_of(self, owner: tuple[int, int]) -> bool:
        """Whether the path is that of a socket itself, and it has been given to its owner."""
        with contextlib.suppress(FileNotFoundError):
            status = self.path.lstat()
            return stat.S_ISSOCK(status.st_mode) and (status.st_uid, status.st_gid) == owner
        return False

    def point_to(self, slot: Process) -> None:
        super().point_to(slot)
        if self.aside.exists():
            self.aside.rename(self.path)
            # Whoever has just connected to the old one is still served by the slot that is stopped after this.
            time.sleep(0.5)

    def _others(self) -> list[str]:
        """Units of this instance for addresses that are to be listened to no more."""
        pattern = re.compile(rf"{re.escape(self.web.instance)}-web(-(tcp|http)-[0-9a-f.:]+)?\.socket")
        there = [path.name for path in self.directory.glob("*.socket") if pattern.fullmatch(path.name)]
        return sorted(set(there) - {*self.units})

    def _made_from(self, unit: str) -> Path:
        return self.web.run / f"{unit}.fingerprint"

    def _definition(self, unit: str, group: str = "") -> str:
        """A hash of the unit with another group, or with none: a socket gets another group without being made anew."""
        path = self.directory / unit
        text = re.sub(rb"(?m)^SocketGroup=.*$", f"SocketGroup={group}".encode(), path.read_bytes())
        return hashlib.sha256(f"{path}\0{len(text)}\0".encode() + text).hexdigest()

    def _is_as_defined(self, unit: str) -> bool:
        """Whether a socket was made from its unit as it is now, whatever the group."""
        try:
            made_from = self._made_from(unit).read_text()
        except OSError:
            return False
        # Earlier versions have recorded the unit with its group.
        return made_from == self._definition(unit) or made_from in (self._definition(unit, entry.gr_name) for entry in grp.getgrall())

    def record(self, unit: str) -> None:
        """Remember what a socket was made from: called by its unit."""
        self.web.run.mkdir(parents=True, exist_ok=True)
        self.web.open_asgi()
        if unit == self.unit and stat.S_ISSOCK(self.path.lstat().st_mode):
            give_socket(self.path, account_of(self.web.config["user"]).pw_uid, group_of(self.group))
        self._made_from(unit).write_text(self._definition(unit))

    def refuse_to_close(self) -> None:
        if self._pool_listens() and not self.web.config["allow_interruption"]:
            raise Refusal(
                f"{self.path} belongs to supervisor, and systemd makes a socket of its own in its place: for a moment requests may be turned away. Set "
                "uwsgi_allow_interruption to true for the run in which that may happen, or uwsgi_service_manager to supervisor again. Nothing has been touched."
            )
        self.refuse_to_close_others()

    def refuse_to_close_others(self) -> None:
        """Refuse to close the sockets for addresses that are to be listened to no more, unless that is allowed."""
        others = [unit for unit in self._others() if systemctl("is-active", unit, check=False) == "active"]
        if others and not self.web.config["allow_interruption"]:
            raise Refusal(
                f"{', '.join(others)} would be closed, and whoever still connects there turned away. Set uwsgi_allow_interruption to true for the run in "
                f"which that may happen, or uwsgi_listen, uwsgi_listen_address and uwsgi_http_address as they were. Nothing has been touched."
            )

    def close_others(self) -> None:
        others = self._others()
        for unit in others:
            systemctl("disable", "--now", unit, check=False)
            (self.directory / unit).unlink(missing_ok=True)
            self._made_from(unit).unlink(missing_ok=True)
        if others:
            systemctl("daemon-reload")

    def renew(self) -> None:
        others = self._others()
        if others:
            say(f"close {' '.join(others)}: an interruption")
            self.close_others()
        changed = [unit for unit in self.units if not self._is_as_defined(unit)]
        if not changed:
            return
        if not self.web.config["allow_interruption"]:
            raise Refusal(
                f"{', '.join(changed)} has changed. To replace it, requests are turned away for a moment and then wait until new processes have started: "
                "set uwsgi_allow_interruption to true for the run in which that may happen. Until then the socket stays as it was."
            )
        serving = self.web.serving()
        say(f"replace {' '.join(changed)}: an interruption")
        # Not the slots: they finish what they are at, and are replaced by the one that gets the new socket.
        systemctl("stop", f"{self.web.instance}-web.service", *changed)
        systemctl("start", *changed)
        if serving:
            self.web.hand_over(serving, prove=False)
        # Not waited for: a request may have started it, and then it waits for this call to end.
        systemctl("start", "--no-block", f"{self.web.instance}-web.service")

    def close(self) -> None:
        units = [f"{self.web.instance}-web.service", *self.units]
        systemctl("disable", *units, check=False)
        for unit in self.units:
            (self.directory / unit).unlink(missing_ok=True)
            self._made_from(unit).unlink(missing_ok=True)
        # Without a definition it does not remove its path, which leads to the pool where supervisor has taken over.
        systemctl("daemon-reload")
        systemctl("stop", *units, check=False)
        if not self.path.is_symlink():
            self.path.unlink(missing_ok=True)
        self.aside.unlink(missing_ok=True)
        self.close_others()


class ZergPool(PublicSocket):
    """A uWSGI that does nothing but hold the socket and give it to the slots as they start.

    Each start of the pool makes a socket of its own in C(/run/INSTANCE/pool-PID); the link C(pool) leads to the latest,
    the link C(web.sock) to the one that is served. So a pool that was killed is replaced like anything else: by a slot
    that has proved itself.
    """

    def __init__(self, web: Web) -> None:
        super().__init__(web)
        self.link = web.run / POOL
        self.program = f"{web.instance}-web-pool"

    def prepare(self, slot: Process) -> None:
        relink(slot.directory / POOL, self.link.resolve())

    def attach(self, slot: Process) -> Options:
        return [("zerg", str(self._source(slot)))]

    def is_lost(self, slot: Process) -> bool:
        return not answers(str(self._source(slot)))

    @staticmethod
    def _source(slot: Process) -> Path:
        """The socket that a slot gets the other one from."""
        return (slot.directory / POOL).resolve() / "private" / "zerg.sock"

    def refuse_to_close(self) -> None:
        # Where the instance comes from systemd
        SystemdSocket(self.web).refuse_to_close_others()
        in_place = self.web.config["handover"] == "in_place" and not self.web.config["allow_interruption"]
        if in_place and not self.path.is_symlink() and answers(str(self.path)):
            raise Refusal(
                f"{self.path} belongs to systemd, and requests that wait there while the processes are replaced in place would be turned away. Set "
                "uwsgi_allow_interruption to true for the run in which that may happen, or uwsgi_service_manager to systemd again. Nothing has been touched."
            )

    def _definition(self) -> str:
        return json.dumps([self.web.config["user"], self.group])

    def _is_as_defined(self, pool: Path) -> bool:
        """Whether a pool was made for the user; its socket gets another group without being made anew."""
        try:
            user, _group = json.loads(read(pool / "definition"))
        except (OSError, ValueError, TypeError):
            return False
        return bool(user == self.web.config["user"])

    def open(self) -> None:
        """Wait for the pool, which supervisor starts unless somebody has stopped it; one that was made for other users is replaced."""
        super().open()
        if (self.link / "definition").exists() and not self._is_as_defined(self.link):
            say(f"replace {self.program}")
            supervisorctl("restart", self.program)
        elif state(self.program) in ("STOPPED", "EXITED", "FATAL"):
            say(f"start {self.program}")
            supervisorctl("start", self.program)
        deadline = time.monotonic() + 30
        while not (self._is_as_defined(self.link) and answers(str(self.link / "private" / "zerg.sock"))):
            if time.monotonic() > deadline:
                raise ControlError(f"{self.program} does not answer: see its log, /var/log/supervisor/{self.program}.log")
            time.sleep(0.1)
        if not answers(str(self.path)):
            self._lead_to(self.link.resolve())

    def point_to(self, slot: Process) -> None:
        super().point_to(slot)
        pool = (slot.directory / POOL).resolve()
        if self.path.resolve() != pool / "web.sock":
            self._lead_to(pool)
            # Whoever has just connected to the old one is still served by the slot that is stopped after this.
            time.sleep(0.5)
        self._sweep(pool)

    def _lead_to(self, pool: Path) -> None:
        relink(self.path, pool / "web.sock")

    def _sweep(self, kept: Path) -> None:
        """Remove pools that nobody needs any more."""
        for pool in self.web.run.glob("pool-*"):
            if pool in (kept, self.link.resolve()):
                continue
            pid = int(pool.name.partition("-")[2])
            # What is left of one that was killed runs on in its process group.
            if str(pool / "private") in " ".join(_command_lines(pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            shutil.rmtree(pool, ignore_errors=True)

    def become(self) -> None:
        """Become the pool: called by supervisor, as root."""
        pool = self.web.run / f"pool-{os.getpid()}"
        shutil.rmtree(pool, ignore_errors=True)
        (pool / "private").mkdir(parents=True)
        pool.chmod(0o755)
        (pool / "private").chmod(0o700)
        (pool / "definition").write_text(self._definition())
        user, group = account_of(self.web.config["user"]), group_of(self.group)
        for directory in (pool, pool / "private"):
            os.chown(directory, user.pw_uid, group)
        relink(self.link, pool)
        self.web.open_asgi()
        # The slots have to follow: the one that serves by a handover to this pool, and after a boot the first one.
        if os.fork() == 0:
            os.setsid()
            self.open()
            os.execv(self.web.config["command"], [self.web.config["command"], "apply"])
        # The socket gets mode 0660 by this: the application and the web server, nobody else.
        drop_privileges(user, group, umask=0o117)
        backlog = min(4096, int(Path("/proc/sys/net/core/somaxconn").read_text()))
        uwsgi = self.web.config["argv"][0]
        sockets = f"{pool}/private/zerg.sock:{pool}/web.sock"
        # The distribution's uWSGI needs a plugin for everything.
        plugin = ["--plugin", "zergpool"] if "--plugin" in self.web.config["argv"] else []
        os.execv(uwsgi, [uwsgi, *plugin, "--master", "--die-on-term", "--zerg-pool", sockets, "--listen", str(backlog), "--disable-logging"])

    def close(self) -> None:
        self.web.manager.forget(self.program)
        if self.path.is_symlink():
            self.path.unlink()
        self.link.unlink(missing_ok=True)
        for pool in self.web.run.glob("pool-*"):
            shutil.rmtree(pool, ignore_errors=True)


def _command_lines(group: int) -> list[str]:
    """The command lines of a process group."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if os.getpgid(int(process.name)) == group:
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found
