# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The socket that nginx connects to, as far as it is the same under both service managers."""

from __future__ import annotations

import contextlib
import grp
import os
import stat
import sys
import time
from pathlib import Path

from .. import _safe_files as safe_files
from .accounts import account_of, group_of
from .asgi import Asgi
from .command_line import Options
from .config import WebConfig
from .errors import say
from .nginx import nginx_workers
from .paths import RUN, STATE, relink
from .process import Process


def give_socket(path: Path, user: int, group: int) -> None:
    """Give a socket of a user to a group, and nothing else that its owner may have put in its place."""
    with contextlib.suppress(OSError), safe_files.locate(path, follow=False) as place, place.pinned() as pinned:
        status = os.stat(pinned)
        if stat.S_ISSOCK(status.st_mode) and status.st_uid == user:
            os.chown(pinned, -1, group)


def inherited_sockets() -> list[tuple[int, str]]:
    """Take the sockets that systemd hands over, and what is spoken there, out of the environment.

    uWSGI must not find them by itself: it would speak its own protocol on all of them. Options name each one instead.
    """
    os.environ.pop("LISTEN_PID", None)
    count = int(os.environ.pop("LISTEN_FDS", "0"))
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    return [(3 + number, names[number]) for number in range(count)]


class Listener:
    """The socket that nginx connects to, and that outlives every handover.

    It and the sockets of the ASGI processes have a group that nginx's workers have. To another group they go once no
    worker needs the present one any more, so that no request is turned away. Until then they keep the present group,
    over a boot too.
    """

    def __init__(self, instance: str, config: WebConfig) -> None:
        self.instance = instance
        self.config = config
        self.run = RUN / instance
        self.path = self.run / "web.sock"
        # What systemd has handed to this process.
        self._inherited: list[tuple[int, str]] = []
        self._waiting = STATE / instance / "web" / "socket-group"

    @property
    def group(self) -> str:
        """The group that the sockets are to have for now."""
        with contextlib.suppress(OSError, KeyError):
            return grp.getgrnam(self._waiting.read_text()).gr_name
        return str(self.config.socket_group)

    def _places(self) -> list[Path]:
        """What is there of the socket and of the directory of the ASGI processes' sockets."""
        # A link in this directory, which is root's, leads to the socket of supervisor's pool.
        public = self.run / os.readlink(self.path) if self.path.is_symlink() else self.path
        return [path for path in (public, self.run / "asgi") if os.path.lexists(path)]

    def _obstacle(self, groups: set[int], wanted: int, user: int) -> str:
        """What speaks against giving the sockets to another group now."""
        if self.config.allow_interruption:
            return ""
        workers = nginx_workers()
        for worker in workers:
            if worker.would_lose(groups, wanted, user):
                return f"Its worker {worker.pid} is not in the group {self.config.socket_group}"
        # After a boot it may start later than this.
        return (
            ""
            if any(wanted in worker.groups for worker in workers)
            else f"None of its workers is in the group {self.config.socket_group}"
        )

    def _wait(self, present: str, obstacle: str, check: bool) -> None:
        """Keep the group that the sockets have, and report why."""
        if not check:
            self._waiting.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._waiting.write_text(present)
        wanted = self.config.socket_group
        # No change, which a line of the standard output would be to Ansible.
        say(
            f"The sockets of {self.instance} keep the group {present} and wait for nginx. {obstacle}. Until then "
            f"every process of the group {present} can run code as {self.config.user}. Run the role nginx_proxy, or "
            f"write 'user www-data {wanted};' into your nginx.conf and reload nginx; then run the playbook again, or "
            f"{self.config.command} socket-group.",
            sys.stderr,
        )

    def share(self, check: bool = False, seconds: float = 0) -> None:
        """Give the sockets to C(socket_group), as soon as all workers of nginx that can connect are in it."""
        wanted = group_of(self.config.socket_group)
        places = self._places()
        groups = [path.lstat().st_gid for path in places if path.lstat().st_gid != wanted]
        if not groups:
            if not check:
                self._waiting.unlink(missing_ok=True)
            return
        user = account_of(self.config.user).pw_uid
        deadline = time.monotonic() + seconds
        while obstacle := self._obstacle({*groups}, wanted, user):
            if time.monotonic() >= deadline:
                self._wait(safe_files.group_name(groups[0]), obstacle, check)
                return
            time.sleep(0.2)
        say(f"give the sockets to the group {self.config.socket_group}")
        if not check:
            asgi = self.run / "asgi"
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

    def open_asgi(self) -> None:
        """Make the directory of the sockets of the ASGI processes, which is needed before a slot starts."""
        Asgi.open(self.run, account_of(self.config.user).pw_uid, group_of(self.group))

    def inherit(self, take_part: bool) -> None:
        """Take the sockets that systemd hands to this process; close them where the process is not to I(take_part)."""
        self._inherited = inherited_sockets()
        if not take_part:
            # systemd hands the sockets to every instance of the unit.
            for descriptor, _protocol in self._inherited:
                os.close(descriptor)

    def point_to(self, slot: Process) -> None:
        """Lead requests to what this slot listens to, and who asks what the workers do to its stats."""
        relink(self.run / "stats.sock", slot.directory / "stats.sock")

    @staticmethod
    def _wait_for_late_clients() -> None:
        """Give clients that have just connected to the former socket a moment, before the slot behind it is stopped."""
        time.sleep(0.5)

    def changed(self) -> list[str]:
        """The sockets that have to be made anew; refuses that unless it is allowed."""
        return []

    def reopen(self, changed: list[str]) -> None:
        """Make sockets anew. The slots do not have those: the next one gets them."""

    def resume(self) -> None:
        """Go on after sockets have been made anew, and a slot has got them."""

    def refuse_to_close(self) -> None:
        """Refuse to stop listening somewhere, unless that is allowed."""

    def close_others(self, report: bool = False) -> None:
        """Stop listening where it is not wanted any more."""

    def close(self) -> None:
        """Remove the socket."""
