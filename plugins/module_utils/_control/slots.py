# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two slots that take turns, and the candidate that proves a version: what they are, and which slot serves."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Optional

from .accounts import account_of, as_user, group_of
from .asgi import Asgi
from .command_line import argv, options_of
from .config import WebConfig
from .control import Control
from .errors import ControlError, say
from .listener import Listener
from .listener_pool import POOL, PoolListener
from .listener_systemd import SystemdListener
from .probe import has_application, wait_for_answer, wait_for_workers
from .process import Process

SLOTS = ("1", "2")
CANDIDATE = "candidate"

# Who owns the socket that clients connect to, by the service manager
LISTENERS: dict[str, type[Listener]] = {"systemd": SystemdListener, "supervisor": PoolListener}


class Slots(Control[WebConfig]):
    """The web processes of one instance: their environment, and which of them serves."""

    kind = "web"
    config_class = WebConfig

    def __init__(self, instance: str, config: WebConfig, managed_by: str = "") -> None:
        super().__init__(instance, config, managed_by)
        self.listener = LISTENERS[self.manager.title](instance, config)

    def watched(self) -> list[Mapping[str, Any]]:
        # How a process is called, what it listens to and how it has to prove itself is a part of what it was started
        # with, and so is the pool that it got its socket from.
        config = self.config
        called = [config.argv, config.slot_argv, asdict(config.health), [asdict(public) for public in config.sockets]]
        pool = {"path": str(self.run / POOL), "link": True, "installed": True}
        return [*super().watched(), {"value": called}, *([pool] if config.manager == "supervisor" else [])]

    def processes(self) -> dict[str, Process]:
        return {
            name: Process(f"{self.instance}/web-{name}", self.manager.name(name), self.watch)
            for name in (*SLOTS, CANDIDATE)
        }

    def argv(self, name: str) -> list[str]:
        attached = [] if name == CANDIDATE else self.listener.attach(self.processes()[name])
        # A candidate must not run the jobs of the slot that serves.
        after = [("processes", "1"), ("cheaper", "0")] if name == CANDIDATE else options_of(self.config.slot_argv)
        return argv(self.config, self.instance, self.run / f"web-{name}", attached, after)

    def own_environment(self, name: str) -> dict[str, str]:
        # Galaxy addresses its processes by their names, over all hosts that share a database; slots overlap. That of a
        # candidate sorts before all others, because Galaxy gives the tasks of which there is one to the last.
        slot = "0" if name == CANDIDATE else name
        return {
            "GALAXYOPS_SLOT": f"{self.instance}.{socket.gethostname()}.{slot}",
            "GALAXYOPS_ASGI_SOCKET": str(self.asgi(self.processes()[name]).socket),
            "GALAXYOPS_STOP_TIMEOUT": str(self.config.stop_timeout),
        }

    def asgi(self, process: Process) -> Asgi:
        """The ASGI process of a slot or the candidate."""
        return Asgi(self.run, process, SLOTS)

    def point_to(self, slot: Process) -> None:
        """Route requests to this slot."""
        self.listener.point_to(slot)
        self.asgi(slot).point_to()

    def stop(self, slot: Process) -> None:
        """Stop a slot; it finishes the requests that it has."""
        self.asgi(slot).drain(self.config.stop_timeout)
        self.manager.stop(slot)

    def cut_short(self, slot: Process) -> None:
        """Stop a slot that starts; by force as long as it has no application, and so no request either.

        A uWSGI that is asked to stop just as it gives up by itself may wait for its workers until it is killed.
        """
        if has_application(slot.directory / "stats.sock"):
            self.stop(slot)
        else:
            slot.kill()
            self.manager.stop(slot)

    def open(self) -> None:
        """Make the sockets that clients connect to."""
        self.listener.open()
        self.listener.open_asgi()

    def become(self, name: str) -> None:
        self.listener.inherit(take_part=name != CANDIDATE)
        # A killed process leaves its socket behind, and the one that starts now may have no ASGI process.
        self.asgi(self.processes()[name]).socket.unlink(missing_ok=True)
        super().become(name)

    def prepare(self, name: str) -> None:
        self.listener.prepare(self.processes()[name])

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
                # As after a boot, or when it was killed. It is waited for and not stopped: it may have requests
                # already.
                say(f"wait for {slot.service}")
                try:
                    self.start_process(slot, keep_trying=not self.serving())
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

    def attempt(self) -> None:
        """Remember what is about to be tried."""
        self.attempted = self.version
        self.known_good.save(self.attempted)

    def accept(self, slot: Process) -> None:
        """Have a slot that works serve, and what it was started from be what last worked."""
        self.known_good.adopt(slot.version, slot.start_seconds)
        self.point_to(slot)

    def proven(self) -> str:
        """The fingerprint of what was proved last."""
        with contextlib.suppress(OSError):
            return (self.run / "proven").read_text()
        return ""

    def wait_until_ready(self, name: str, watched_pid: int) -> None:
        # As the application's user: the sockets are in a directory where that user could put any others.
        deadline = time.monotonic() + self.patience(name)
        as_user(
            account_of(self.config.user),
            group_of(self.config.group),
            lambda: self._wait_until_ready(name, watched_pid, deadline),
        )

    def patience(self, name: str) -> float:
        """How many seconds a process may take until it works.

        Fewer where nothing serves, a version is started that nobody has seen working, and there is one to go back to:
        visitors wait for it.
        """
        most = float(self.config.health.timeout)
        known = self.known_good.start_seconds
        in_place = self.config.handover == "in_place"
        if name == CANDIDATE or in_place or known is None or self.known_good.version == self.version or self.serving():
            return most
        return min(most, 3 * known + 30)

    def _wait_until_ready(self, name: str, watched_pid: int, deadline: float) -> None:
        process, health, has_vassal = self.processes()[name], self.config.health, bool(self.config.vassal)
        wait_for_answer(process.directory / "http.sock", health, deadline, watched_pid, has_vassal)
        restarts = wait_for_workers(process.directory / "stats.sock", deadline, watched_pid)
        # The socket of the ASGI process was made before the worker that has answered was started.
        asgi = self.asgi(process)
        if asgi.exists:
            wait_for_answer(asgi.socket, health, deadline, watched_pid, has_vassal)
        process.record_started(restarts=restarts)
