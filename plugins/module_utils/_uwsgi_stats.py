# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read uWSGI's stats server, and what it does not know from C(/proc).

The stats server also shows the headers of the requests under way, that is cookies and API keys. They end here.

The command C(<instance>-web) is this file's other user, on hosts without Ansible: it needs Python alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Optional

from ._safe_files import locate, read_stream

PAGE = os.sysconf("SC_PAGE_SIZE")

# A request that waits to be accepted: the kernel has no inode for it yet, and calls it SS_CONNECTING.
_WAITING = "02"

_LOOPBACK = ("127.0.0.1", "::1")

# Bytes: a hundred workers with many threads, each at a request with long headers, say less
_LONGEST = 32 * 1024 * 1024


class StatsError(Exception):
    """The stats could not be had; the message says why and what to do."""


@dataclass(frozen=True)
class Request:
    """A request under way; without its query and headers, which may hold secrets."""

    method: str
    path: str
    seconds: int


@dataclass(frozen=True)
class Worker:
    """A worker process. Sizes are in bytes, and None where they cannot be told."""

    id: int
    pid: int
    status: str
    accepting: bool
    threads: int
    busy_threads: int
    requests: int
    exceptions: int
    respawns: int
    harakiris: int
    applications: int
    average_milliseconds: float
    rss: Optional[int]
    vsz: Optional[int]
    pss: Optional[int]
    running: Sequence[Request]


@dataclass(frozen=True)
class Socket:
    """A socket that requests come in by, and how many wait in it."""

    name: str
    protocol: str
    queue: int


@dataclass(frozen=True)
class Stats:
    """One uWSGI: its workers and its sockets."""

    version: str
    pid: int
    sockets: Sequence[Socket]
    workers: Sequence[Worker]

    def totals(self) -> dict[str, Any]:
        """What the workers do together. Pages that they share are counted once in C(pss), and in each in C(rss)."""
        living = [worker for worker in self.workers if worker.status != "cheap"]
        return {
            "workers": len(self.workers),
            "busy": sum(worker.busy_threads > 0 for worker in living),
            "idle": sum(worker.busy_threads == 0 for worker in living),
            "threads": sum(worker.threads for worker in living),
            "busy_threads": sum(worker.busy_threads for worker in living),
            "requests": sum(worker.requests for worker in self.workers),
            "exceptions": sum(worker.exceptions for worker in self.workers),
            **{size: _sum([getattr(worker, size) for worker in living]) for size in ("rss", "vsz", "pss")},
            "listen_queue": sum(entry.queue for entry in self.sockets),
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything, with the totals, as Ansible returns it."""
        everything = asdict(self)
        return {**everything, "workers_info": everything.pop("workers"), **self.totals()}


def _sum(sizes: Sequence[Optional[int]]) -> Optional[int]:
    """The sum, or None where one of them is not known."""
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _connect_to(address: str, timeout: float) -> socket.socket:
    """Connect to a stats server at any address that uWSGI takes and another process can reach.

    An empty host, like C(*) and C(0.0.0.0), stands for every address of the host: loopback is one of them.
    """
    if address.startswith("@"):
        # uWSGI's name for an abstract socket ends with a zero byte, which other programs leave out.
        try:
            return _connect_abstract(address[1:] + "\0", timeout)
        except ConnectionRefusedError:
            return _connect_abstract(address[1:], timeout)
    if "/" in address and "://" not in address:
        return _connect(address, timeout)
    host, _colon, port = address.rpartition(":")
    if not (_colon and port.isdecimal() and 0 < int(port) < 65536 and "/" not in host):
        raise StatsError(f"{address} is no address of a stats server: write the path of its socket, HOST:PORT, :PORT or @NAME, as the option stats has it")
    hosts = {"": _LOOPBACK, "*": _LOOPBACK, "0.0.0.0": _LOOPBACK[:1], "[::]": _LOOPBACK[::-1]}.get(host, (host.strip("[]"),))
    for other in hosts[:-1]:
        with contextlib.suppress(OSError):
            return socket.create_connection((other, int(port)), timeout)
    return socket.create_connection((hosts[-1], int(port)), timeout)


def _connect_abstract(name: str, timeout: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout)
        connection.connect("\0" + name)
    except BaseException:
        connection.close()
        raise
    return connection


def read(address: str, timeout: float) -> str:
    """What the stats server at I(address) says, without the header of its HTTP variant."""
    try:
        with _connect_to(address, timeout) as connection:
            content = _first_part(connection, timeout)
            if content:
                content += read_stream(connection, _LONGEST, timeout)
    except FileNotFoundError as error:
        raise StatsError(f"{address} does not exist: is that uWSGI running, and with the option stats?") from error
    except PermissionError as error:
        raise StatsError(f"{address} may not be read: look as root, or as the user of the application") from error
    except ConnectionRefusedError as error:
        raise StatsError(f"nobody listens at {address}: the uWSGI that made it is gone") from error
    except (socket.timeout, TimeoutError) as error:
        raise StatsError(
            f"{address} says nothing for {timeout:g} s: it is not the address of a stats server but of something else, or the master of uWSGI hangs"
        ) from error
    except OSError as error:
        raise StatsError(f"{address}: {error.strerror or error}") from error
    text = content.decode("utf-8", "replace")
    return text.partition("\r\n\r\n")[2] if text.startswith("HTTP/") else text


def _connect(path: str, timeout: float) -> socket.socket:
    """Connect to a unix socket, by no link of a user to a socket that this user may not connect to."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout)
        with locate(path, reading=True) as place, place.pinned() as pinned:
            connection.connect(pinned)
    except BaseException:
        connection.close()
        raise
    return connection


def _first_part(connection: socket.socket, timeout: float) -> bytes:
    """What the server says first: the plain one speaks by itself, that of C(stats-http) waits for a request."""
    connection.settimeout(min(0.5, timeout / 2))
    try:
        return connection.recv(65536)
    except (socket.timeout, TimeoutError):
        connection.settimeout(timeout)
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return connection.recv(65536)


def waiting(path: str, table: str) -> int:
    """How many connections wait to be accepted at a unix socket, from the content of C(/proc/net/unix).

    uWSGI can tell this of TCP sockets only.
    """
    fields = [line.split(maxsplit=7) for line in table.splitlines()]
    return sum(len(entry) == 8 and entry[7] == path and entry[5] == _WAITING for entry in fields)


def sizes(pid: int, proc: str = "/proc") -> dict[str, Optional[int]]:
    """The memory of a process. uWSGI tells it only with C(memory-report), and as of the last request."""
    found: dict[str, Optional[int]] = {"rss": None, "vsz": None, "pss": None}
    try:
        with open(os.path.join(proc, str(pid), "statm"), encoding="ascii") as stream:
            total, resident = stream.read().split()[:2]
        found.update(vsz=int(total) * PAGE, rss=int(resident) * PAGE)
        with open(os.path.join(proc, str(pid), "smaps_rollup"), encoding="ascii") as stream:
            match = re.search(r"^Pss:\s+(\d+) kB", stream.read(), re.MULTILINE)
        found["pss"] = int(match[1]) * 1024 if match else None
    except OSError:  # it has just ended, or belongs to somebody else
        pass
    return found


def parse(text: str, table: str = "", proc: str = "/proc", now: Optional[float] = None) -> Stats:
    """Make sense of what a stats server said; I(table) is the content of C(/proc/net/unix)."""
    try:
        # Headers of requests are copied as they are, and need not be UTF-8 or free of control characters.
        said = json.loads(text, strict=False)
        return Stats(
            version=str(said["version"]),
            pid=int(said["pid"]),
            sockets=[_socket(entry, table) for entry in said["sockets"]],
            workers=[_worker(entry, proc, time.time() if now is None else now) for entry in said["workers"]],
        )
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        start = text[:40].replace("\n", " ").strip()
        raise StatsError(f"what is there does not talk like uWSGI's stats server, but begins with {start!r}: give the address of the option stats") from error


def _socket(entry: Mapping[str, Any], table: str) -> Socket:
    name = str(entry["name"])
    queue = waiting(name, table) if "/" in name else int(entry["queue"])
    return Socket(name, str(entry["proto"]), queue)


def _worker(entry: Mapping[str, Any], proc: str, now: float) -> Worker:
    running = [core for core in entry["cores"] if core["in_request"]]
    return Worker(
        id=int(entry["id"]),
        pid=int(entry["pid"]),
        status=str(entry["status"]),
        accepting=bool(entry["accepting"]),
        threads=len(entry["cores"]),
        busy_threads=len(running),
        requests=int(entry["requests"]),
        exceptions=int(entry["exceptions"]),
        respawns=max(0, int(entry["respawn_count"]) - 1),
        harakiris=int(entry["harakiri_count"]),
        applications=len(entry["apps"]),
        average_milliseconds=int(entry["avg_rt"]) / 1000,
        **sizes(int(entry["pid"]), proc),
        running=[_request(core, now) for core in running],
    )


def _request(core: Mapping[str, Any], now: float) -> Request:
    variables = dict(item.partition("=")[::2] for item in core["vars"])
    started = core.get("req_info", {}).get("request_start") or now
    return Request(variables.get("REQUEST_METHOD", ""), variables.get("PATH_INFO", ""), max(0, int(now - started)))


def ask(address: str, timeout: float = 5) -> Stats:
    """Ask one stats server."""
    text = read(address, timeout)
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as stream:
            table = stream.read()
    except OSError:
        table = ""
    try:
        return parse(text, table)
    except StatsError as error:
        raise StatsError(f"{address}: {error}") from error
