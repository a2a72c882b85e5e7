# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sockets that clients connect to, where systemd owns them."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import os
import re
import stat
import time
from pathlib import Path

from .accounts import account_of, group_of
from .command_line import Options
from .config import WebConfig
from .errors import ControlError, Refusal, say
from .listener import Listener, give_socket
from .paths import ETC, relink
from .probe import answers
from .process import Process
from .systemd import systemctl


class SystemdListener(Listener):
    """The sockets that units of systemd own, one unit for each address; both slots get them from systemd as they start.

    The name of a unit, such as C(INSTANCE-web.socket) and C(INSTANCE-web-http-127.0.0.1:8080.socket), has its address
    in it. So another address is another unit: one that is wanted no more keeps its socket, also when systemd reads its
    files anew, until it is closed.
    """

    def __init__(self, instance: str, config: WebConfig) -> None:
        super().__init__(instance, config)
        self.units = [public.unit for public in config.sockets]
        self.directory = ETC / "systemd" / "system"
        # The one of them that has the path.
        self.unit = next((public.unit for public in config.sockets if public.address == str(self.path)), "")
        # Where the socket waits while the path still leads to that of supervisor's pool.
        self.aside = self.run / "web.sock.aside"

    def attach(self, slot: Process) -> Options:
        options = {"uwsgi": "socket", "http": "http-socket"}
        found = [(options[protocol], f"fd://{descriptor}") for descriptor, protocol in self._inherited]
        # uWSGI closes the connection after each answer, and says so only when told: a client would send its next
        # request there.
        return found + (
            [("add-header", "Connection: close")]
            if "http" in [protocol for _descriptor, protocol in self._inherited]
            else []
        )

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
        owner = (account_of(self.config.user).pw_uid, group_of(self.group))
        # Not only started: one that has lost its path to the pool is of no use. Not waited for either, to have the link
        # back at once.
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
            self._wait_for_late_clients()

    def _others(self) -> list[str]:
        """Units of this instance for addresses that are to be listened to no more."""
        pattern = re.compile(rf"{re.escape(self.instance)}-web(-(tcp|http)-[0-9a-f.:]+)?\.socket")
        there = [path.name for path in self.directory.glob("*.socket") if pattern.fullmatch(path.name)]
        return sorted(set(there) - {*self.units})

    def _made_from(self, unit: str) -> Path:
        return self.run / f"{unit}.fingerprint"

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
        return made_from == self._definition(unit) or made_from in (
            self._definition(unit, entry.gr_name) for entry in grp.getgrall()
        )

    def record(self, unit: str) -> None:
        """Remember what a socket was made from: called by its unit."""
        self.run.mkdir(parents=True, exist_ok=True)
        self.open_asgi()
        if unit == self.unit and stat.S_ISSOCK(self.path.lstat().st_mode):
            give_socket(self.path, account_of(self.config.user).pw_uid, group_of(self.group))
        self._made_from(unit).write_text(self._definition(unit))

    def refuse_to_close(self) -> None:
        if self._pool_listens() and not self.config.allow_interruption:
            raise Refusal(
                f"{self.path} belongs to supervisor, and systemd makes a socket of its own in its place: for a moment "
                "requests may be turned away. Set uwsgi_allow_interruption to true for the run in which that may "
                "happen, or uwsgi_service_manager to supervisor again. Nothing has been touched."
            )
        self.refuse_to_close_others()

    def refuse_to_close_others(self) -> None:
        """Refuse to close the sockets for addresses that are to be listened to no more, unless that is allowed."""
        others = [unit for unit in self._others() if systemctl("is-active", unit, check=False) == "active"]
        if others and not self.config.allow_interruption:
            raise Refusal(
                f"{', '.join(others)} would be closed, and whoever still connects there turned away. Set "
                "uwsgi_allow_interruption to true for the run in which that may happen, or uwsgi_listen, "
                "uwsgi_listen_address and uwsgi_http_address as they were. Nothing has been touched."
            )

    def close_others(self, report: bool = False) -> None:
        others = self._others()
        if others and report:
            say(f"close {' '.join(others)}: an interruption")
        for unit in others:
            systemctl("disable", "--now", unit, check=False)
            (self.directory / unit).unlink(missing_ok=True)
            self._made_from(unit).unlink(missing_ok=True)
        if others:
            systemctl("daemon-reload")

    def changed(self) -> list[str]:
        changed = [unit for unit in self.units if not self._is_as_defined(unit)]
        if changed and not self.config.allow_interruption:
            raise Refusal(
                f"{', '.join(changed)} has changed. To replace it, requests are turned away for a moment and then wait "
                "until new processes have started: set uwsgi_allow_interruption to true for the run in which that may "
                "happen. Until then the socket stays as it was."
            )
        return changed

    def reopen(self, changed: list[str]) -> None:
        say(f"replace {' '.join(changed)}: an interruption")
        # Not the slots: they finish what they are at, and are replaced by the one that gets the new socket.
        systemctl("stop", f"{self.instance}-web.service", *changed)
        systemctl("start", *changed)

    def resume(self) -> None:
        # Not waited for: a request may have started it, and then it waits for this call to end.
        systemctl("start", "--no-block", f"{self.instance}-web.service")

    def close(self) -> None:
        units = [f"{self.instance}-web.service", *self.units]
        systemctl("disable", *units, check=False)
        for unit in self.units:
            (self.directory / unit).unlink(missing_ok=True)
            self._made_from(unit).unlink(missing_ok=True)
        # A socket without a unit leaves its path alone, which leads to the pool where supervisor has taken over.
        systemctl("daemon-reload")
        systemctl("stop", *units, check=False)
        if not self.path.is_symlink():
            self.path.unlink(missing_ok=True)
        self.aside.unlink(missing_ok=True)
        self.close_others()
