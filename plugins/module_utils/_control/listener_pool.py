# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The socket that nginx connects to, where a uWSGI under supervisor owns it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path

from .accounts import account_of, drop_privileges, group_of
from .command_line import Options
from .config import WebConfig
from .errors import ControlError, Refusal, say
from .listener import Listener
from .listener_systemd import SystemdListener
from .paths import read, relink
from .probe import answers
from .process import Process
from .supervisor import forget, state, supervisorctl

# What the service manager calls the pool, and the link to it
POOL = "pool"


class PoolListener(Listener):
    """A uWSGI that does nothing but hold the socket and give it to the slots as they start.

    Each start of the pool makes a socket of its own in C(/run/INSTANCE/pool-PID); the link C(pool) leads to the latest,
    the link C(web.sock) to the one that is served. So a pool that was killed is replaced like anything else: by a slot
    that has proved itself.
    """

    def __init__(self, instance: str, config: WebConfig) -> None:
        super().__init__(instance, config)
        self.link = self.run / POOL
        self.program = f"{instance}-web-pool"

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
        SystemdListener(self.instance, self.config).refuse_to_close_others()
        in_place = self.config.handover == "in_place" and not self.config.allow_interruption
        if in_place and not self.path.is_symlink() and answers(str(self.path)):
            raise Refusal(
                f"{self.path} belongs to systemd, and requests that wait there while the processes are replaced in "
                "place would be turned away. Set uwsgi_allow_interruption to true for the run in which that may "
                "happen, or uwsgi_service_manager to systemd again. Nothing has been touched."
            )

    def _definition(self) -> str:
        return json.dumps([self.config.user, self.group])

    def _is_as_defined(self, pool: Path) -> bool:
        """Whether a pool was made for the user; its socket gets another group without being made anew."""
        try:
            user, _group = json.loads(read(pool / "definition"))
        except (OSError, ValueError, TypeError):
            return False
        return bool(user == self.config.user)

    def open(self) -> None:
        """Wait for the pool, which supervisor starts unless somebody has stopped it.

        A pool that was made for another user is replaced.
        """
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
                raise ControlError(
                    f"{self.program} does not answer: see its log, /var/log/supervisor/{self.program}.log"
                )
            time.sleep(0.1)
        if not answers(str(self.path)):
            self._lead_to(self.link.resolve())

    def point_to(self, slot: Process) -> None:
        super().point_to(slot)
        pool = (slot.directory / POOL).resolve()
        if self.path.resolve() != pool / "web.sock":
            self._lead_to(pool)
            self._wait_for_late_clients()
        self._sweep(pool)

    def _lead_to(self, pool: Path) -> None:
        relink(self.path, pool / "web.sock")

    def _sweep(self, kept: Path) -> None:
        """Remove pools that nobody needs any more."""
        for pool in self.run.glob("pool-*"):
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
        pool = self.run / f"pool-{os.getpid()}"
        shutil.rmtree(pool, ignore_errors=True)
        (pool / "private").mkdir(parents=True)
        pool.chmod(0o755)
        (pool / "private").chmod(0o700)
        (pool / "definition").write_text(self._definition())
        user, group = account_of(self.config.user), group_of(self.group)
        for directory in (pool, pool / "private"):
            os.chown(directory, user.pw_uid, group)
        relink(self.link, pool)
        self.open_asgi()
        # The slots have to follow: the one that serves by a handover to this pool, and after a boot the first one.
        if os.fork() == 0:
            os.setsid()
            self.open()
            os.execv(self.config.command, [self.config.command, "apply"])
        # The socket gets mode 0660 by this: the application and the web server, nobody else.
        drop_privileges(user, group, umask=0o117)
        backlog = min(4096, int(Path("/proc/sys/net/core/somaxconn").read_text()))
        uwsgi = self.config.argv[0]
        sockets = f"{pool}/private/zerg.sock:{pool}/web.sock"
        # The distribution's uWSGI needs a plugin for everything.
        plugin = ["--plugin", "zergpool"] if "--plugin" in self.config.argv else []
        os.execv(
            uwsgi,
            [
                uwsgi,
                *plugin,
                "--master",
                "--die-on-term",
                "--zerg-pool",
                sockets,
                "--listen",
                str(backlog),
                "--disable-logging",
            ],
        )

    def close(self) -> None:
        forget(self.program)
        if self.path.is_symlink():
            self.path.unlink()
        self.link.unlink(missing_ok=True)
        for pool in self.run.glob("pool-*"):
            shutil.rmtree(pool, ignore_errors=True)


def _command_lines(group: int) -> list[str]:
    """The command lines of a process group."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if os.getpgid(int(process.name)) == group:
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found
