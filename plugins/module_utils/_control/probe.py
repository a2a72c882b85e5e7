# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether processes work: what they answer on their private sockets, and what uWSGI's stats say of their workers."""

from __future__ import annotations

import http.client
import socket
import time
from pathlib import Path

from .._processes import start_time
from .._uwsgi_stats import StatsError, ask
from .config import Health
from .errors import ControlError
from .kernel import children

# A worker that has ended so often before it has loaded the application never will.
MOST_RESTARTS = 3


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
    """Whether somebody listens at an address.

    That is the path of a unix socket, or an address such as C(127.0.0.1:4001), C([::1]:4001) or C(:8080).
    """
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


def workload(stats: Path, restarts: float = 0) -> str:
    """Tell a person what the workers behind a stats socket do.

    The number of I(restarts) is that of the workers which had been started again by the time the slot was ready.
    """
    try:
        found = ask(str(stats), timeout=2)
    except StatsError as error:
        return str(error)
    totals = found.totals()
    since = int(sum(worker.respawns for worker in found.workers) - restarts)
    again = f"; {since} workers started again" if since > 0 else ""
    return (
        f"{totals['workers']} workers: {totals['busy']} busy, {totals['idle']} idle; {totals['busy_threads']} of "
        f"{totals['threads']} threads busy; {totals['requests']} requests served, {totals['exceptions']} exceptions; "
        f"{totals['listen_queue']} requests wait{again}"
    )


def has_application(stats: Path) -> bool:
    """Whether a worker behind a stats socket has loaded the application, so that it may have requests."""
    try:
        return any(worker.applications for worker in ask(str(stats), timeout=2).workers)
    except StatsError:
        return False


def wait_for_workers(stats: Path, deadline: float, watched_pid: int) -> int:
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
        missing = [
            worker for worker in workers if worker.status != "cheap" and not (worker.accepting and worker.applications)
        ]
        restarts = sum(worker.respawns for worker in workers)
        if not missing:
            return restarts
        ended = max(worker.respawns for worker in missing)
        names = ", ".join(str(worker.id) for worker in missing)
        if ended >= MOST_RESTARTS or time.monotonic() > deadline:
            raise ControlError(
                f"worker {names} of {len(workers)} has not loaded the application, and was started {ended} times again "
                "meanwhile. An application that only one process can load needs uwsgi_processes: 1"
            )
        time.sleep(0.1)


def wait_for_answer(path: Path, health: Health, deadline: float, watched_pid: int, has_vassal: bool) -> None:
    """Ask for the health path on a private socket until the answer is right."""
    answer, seconds = "no answer", deadline - time.monotonic()
    vassals: set[int] = set()
    while time.monotonic() < deadline:
        if watched_pid and not start_time(watched_pid):
            raise ControlError("the process ended before it answered")
        if watched_pid and has_vassal:
            # An emperor starts one that has ended anew, again and again.
            alive = set(children(watched_pid))
            if vassals - alive:
                raise ControlError("the vassal ended before it answered")
            vassals |= alive
        try:
            connection = UnixConnection(path, max(1.0, deadline - time.monotonic()))
            connection.request("GET", health.path, headers={"Host": health.host})
            status = connection.getresponse().status
            if status in health.status:
                return
            answer = f"status {status}"
        except (OSError, http.client.HTTPException) as error:
            answer = str(error) or type(error).__name__
        time.sleep(0.1)
    wanted = " or ".join(map(str, health.status))
    raise ControlError(f"GET {health.path} on {path}: {answer} after {seconds:.0f} s instead of {wanted}")
