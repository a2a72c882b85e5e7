#!/usr/bin/env python
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put a steady load on a site, and tell of every request that failed or had to wait: load.py URL.

Requests are sent at fixed times, whether or not earlier ones have been answered, and their latency counts from
the time at which they were due. So a site that stops for a while shows as long latencies, not as fewer requests.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import json
import ssl
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit

# So many visitors wait for an answer at most. Where this process has had to wait itself, all that is overdue comes at once, and would be more
# than any socket keeps waiting.
VISITORS = 2000

# A request that met a connection that was just being closed knows it within this time, also on a busy machine.
STALE_SECONDS = 0.5

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Rates:
    """What is asked of the site: requests a second, and how many slow ones are to be under way at any time.

    C({name}) in I(post_path) stands for the name of the request, which no other request of any load has.
    """

    get: float = 100
    post: float = 10
    slow: int = 4
    get_path: str = "/"
    post_path: str = "/upload"
    slow_path: str = "/sleep?seconds=2"
    slow_seconds: float = 2
    timeout: float = 90


@dataclass
class Request:
    """One request: when it was due, in seconds after the first one, and what became of it."""

    kind: str
    start: float
    latency: float = 0
    status: int = 0
    version: str = ""
    failure: str = ""
    retried: bool = False
    name: str = ""


class StaleConnectionError(ConnectionError):
    """The server closed the connection before a byte of the answer."""


@dataclass
class Report:
    """What a load found."""

    requests: list[Request]
    seconds: float
    windows: list[tuple[float, float]]
    asked: Rates

    @property
    def failures(self) -> list[str]:
        """Every failed request, as text."""
        return [f"{request.kind} at {request.start:.2f} s: {request.failure}" for request in self.requests if request.failure]

    @property
    def retried(self) -> int:
        """How many requests found that the server had just closed the connection it had kept for them, and were sent again."""
        return sum(request.retried for request in self.requests)

    @property
    def versions(self) -> dict[str, tuple[float, float]]:
        """The versions of the application that answered, each with the time of its first and last answer."""
        seen: dict[str, tuple[float, float]] = {}
        for request in sorted(self.requests, key=lambda request: request.start + request.latency):
            if request.version:
                end = request.start + request.latency
                seen[request.version] = (seen.get(request.version, (end, end))[0], end)
        return seen

    def rate(self, kind: str) -> float:
        """How many requests of a kind were answered well, a second."""
        return sum(request.kind == kind and not request.failure for request in self.requests) / self.seconds

    def waits(self, since: float = 0, until: float = float("inf"), answered: float = float("inf")) -> list[float]:
        """The latencies of the requests that were under way between two times, sorted, less the time that slow ones take by nature.

        With I(answered), only of those that had their answer by then.
        """
        return sorted(
            max(0.0, request.latency - (self.asked.slow_seconds if request.kind == "slow" else 0))
            for request in self.requests
            if request.start <= until and since <= request.start + request.latency <= answered
        )

    def quantile(self, part: float) -> float:
        """The latency that this part of the requests did not exceed."""
        waits = self.waits()
        return waits[min(len(waits) - 1, int(part * len(waits)))] if waits else 0.0

    @property
    def worst_before(self) -> float:
        """The longest latency of the requests that were answered before the first window."""
        start = self.windows[0][0] if self.windows else float("inf")
        return max(self.waits(answered=start), default=0.0)

    @property
    def worst_within(self) -> float:
        """The longest latency in the windows, each with the half second after it."""
        return max((wait for since, until in self.windows for wait in self.waits(since, until + 0.5)), default=0.0)

    @property
    def added(self) -> float:
        """How much longer than before a request had to wait in the windows, at worst."""
        return max(0.0, self.worst_within - self.worst_before)

    def summary(self) -> dict[str, Any]:
        """All numbers, without the single requests."""
        return {
            "seconds": round(self.seconds, 1),
            "requests": len(self.requests),
            "failed": len(self.failures),
            "retried": self.retried,
            "gets_per_second": round(self.rate("get"), 1),
            "posts_per_second": round(self.rate("post"), 1),
            "slow_requests": sum(request.kind == "slow" for request in self.requests),
            "versions": {version: [round(moment, 2) for moment in times] for version, times in self.versions.items()},
            "milliseconds": {
                "median": round(self.quantile(0.5) * 1000, 1),
                "p99": round(self.quantile(0.99) * 1000, 1),
                "worst": round(self.quantile(1) * 1000, 1),
                "worst_before": round(self.worst_before * 1000, 1),
                "worst_within": round(self.worst_within * 1000, 1),
                "added": round(self.added * 1000, 1),
            },
            "windows": [[round(moment, 2) for moment in window] for window in self.windows],
            "failures": dict(Counter(request.failure for request in self.requests if request.failure)),
        }

    def __str__(self) -> str:
        """The numbers in one line."""
        numbers = self.summary()
        times = numbers["milliseconds"]
        text = (
            f"{numbers['failed']} failed of {numbers['requests']} requests in {numbers['seconds']} s "
            f"({numbers['gets_per_second']} GET/s, {numbers['posts_per_second']} POST/s, {numbers['slow_requests']} slow, {numbers['retried']} retried), "
            f"latency {times['median']} ms median, {times['p99']} p99, {times['worst']} worst"
        )
        if self.windows:
            text += f", {times['added']} added ({times['worst_before']} before, {times['worst_within']} within)"
        text += "".join(f", version {version} from {first} to {last} s" for version, (first, last) in numbers["versions"].items())
        return text + "".join(f"\n    {count} x {failure}" for failure, count in numbers["failures"].items())

    def write(self, path: Path) -> None:
        """Keep the numbers and every request."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            [request.kind, round(request.start, 4), round(request.latency, 4), request.status, request.version, request.failure]
            for request in self.requests
        ]
        columns = ["kind", "start", "latency", "status", "version", "failure"]
        text = json.dumps({**self.summary(), "columns": columns, "rows": rows})
        path.write_text(text.replace("], [", "],\n["), encoding="utf-8")


def version_in(body: bytes) -> str:
    """The version of the application that gave this answer, if it names one as the tiny application or Galaxy does."""
    try:
        answer = json.loads(body)
        return str(answer["version"]) if "version" in answer else f"{answer['version_major']}.{answer['version_minor']}"
    except (ValueError, LookupError, TypeError):
        return ""


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Read one HTTP/1.1 answer: its status, its body, and whether the connection stays open."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise ConnectionError("closed in the middle of the headers") from error
        raise StaleConnectionError("closed without an answer") from error
    except ConnectionResetError as error:
        raise StaleConnectionError("reset without an answer") from error
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip().lower() for name, _colon, value in (line.partition(":") for line in lines)}
    status = int(status_line.split()[1])
    try:
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await reader.readline(), 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readexactly(2)
        elif "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        else:
            return status, await reader.read(), False
    except (asyncio.IncompleteReadError, ValueError) as error:
        raise ConnectionError("closed in the middle of the body") from error
    return status, body, headers.get("connection") != "close"


class Load:
    """A load that runs in a thread of its own from start() to stop()."""

    def __init__(self, url: str, rates: Optional[Rates] = None) -> None:
        self.rates = rates or Rates()
        self.follow(url)
        self.tls: Optional[ssl.SSLContext] = None
        if url.startswith("https:"):
            # The certificates of test hosts vouch for themselves.
            self.tls = ssl.create_default_context()
            self.tls.check_hostname = False
            self.tls.verify_mode = ssl.CERT_NONE
        self.requests: list[Request] = []
        self.windows: list[tuple[float, float]] = []
        self.idle: list[Streams] = []
        self.over = threading.Event()
        self.visitors = asyncio.Semaphore(VISITORS)
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.began = self.ended = 0.0
        self.count = 0
        self.name = uuid.uuid4().hex

    def follow(self, url: str) -> None:
        """Send what is still to come to another address: a host may get one when it boots."""
        address = urlsplit(url)
        self.host, self.port = address.hostname, address.port or (443 if address.scheme == "https" else 80)
        self.netloc = address.netloc

    def start(self) -> Load:
        """Begin."""
        self.began = time.monotonic()
        self.thread.start()
        return self

    def stop(self, settle: float = 1.0) -> Report:
        """Let the load see the outcome for a while, stop sending, wait for the answers that are due, and report."""
        if not self.over.is_set():
            time.sleep(settle)
            self.ended = time.monotonic()
            self.over.set()
            self.thread.join()
        return Report(sorted(self.requests, key=lambda request: request.start), self.ended - self.began, self.windows, self.rates)

    def now(self) -> float:
        """The time as the report gives it."""
        return time.monotonic() - self.began

    @contextlib.contextmanager
    def window(self) -> Iterator[None]:
        """Mark what happens inside: the report says how much longer requests had to wait then."""
        since = self.now()
        try:
            yield
        finally:
            self.windows.append((since, self.now()))

    async def _run(self) -> None:
        await asyncio.gather(
            self._at_rate("get", self.rates.get),
            self._at_rate("post", self.rates.post),
            *(self._slowly(number) for number in range(self.rates.slow)),
        )
        for _reader, writer in self.idle:
            writer.close()

    async def _at_rate(self, kind: str, rate: float) -> None:
        """Send requests at their times, and wait for all of them at the end."""
        tasks: set[asyncio.Task[None]] = set()
        number = 0
        while rate and not self.over.is_set():
            due = self.began + number / rate
            delay = due - time.monotonic()
            if delay > 0:
                await asyncio.sleep(delay)
            # Every other GET comes as that of somebody new, as does every POST: what changes state is not sent twice.
            task = asyncio.create_task(self._one(kind, due, fresh=kind == "post" or number % 2 == 0))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
        if tasks:
            await asyncio.wait(tasks)

    async def _slowly(self, number: int) -> None:
        """Keep one slow request under way."""
        await asyncio.sleep(number * self.rates.slow_seconds / self.rates.slow)
        while not self.over.is_set():
            began = time.monotonic()
            await self._one("slow", began, fresh=number % 2 == 0)
            # One that failed at once is not asked for again at once.
            await asyncio.sleep(max(0, began + self.rates.slow_seconds - time.monotonic()))

    async def _one(self, kind: str, due: float, fresh: bool) -> None:
        """Make one request and record what became of it."""
        self.count += 1
        request = Request(kind, due - self.began, name=f"{self.name}-{self.count}")
        try:
            async with self.visitors, asyncio.timeout(self.rates.timeout):
                request.status, body = await self._exchange(request, fresh)
            if not 200 <= request.status < 400:
                request.failure = f"status {request.status}"
            request.version = version_in(body)
        except TimeoutError:
            request.failure = f"no answer in {self.rates.timeout:g} s"
        except OSError as error:
            request.failure = str(error) or type(error).__name__
        request.latency = time.monotonic() - due
        self.requests.append(request)

    async def _exchange(self, request: Request, fresh: bool) -> tuple[int, bytes]:
        """Send a request and return status and body of its answer.

        A server may close a connection it keeps at any time, also while the next request is on its way. As browsers
        do, such a request is sent again (RFC 9112, section 9.3.1); it counts as retried. One that is lost after the server
        has worked on it for a while counts as failed.
        """
        while not fresh and self.idle:
            streams = self.idle.pop()
            if streams[0].at_eof() or streams[1].is_closing():
                streams[1].close()
                continue
            sent = time.monotonic()
            try:
                return await self._ask(streams, request, keep=True)
            except StaleConnectionError:
                if time.monotonic() - sent > STALE_SECONDS:
                    raise
                request.retried = True
        streams = await self._connect(request)
        return await self._ask(streams, request, keep=not fresh)

    async def _connect(self, request: Request) -> Streams:
        """Connect to the site; the network of containers may be without a way to one while others come and go, which says nothing of the site."""
        for _time in range(3):
            try:
                return await asyncio.open_connection(self.host, self.port, ssl=self.tls)
            except OSError as error:
                if error.errno != errno.EHOSTUNREACH:
                    raise
                request.retried = True
                await asyncio.sleep(0.2)
        return await asyncio.open_connection(self.host, self.port, ssl=self.tls)

    async def _ask(self, streams: Streams, request: Request, keep: bool) -> tuple[int, bytes]:
        """Use a connection for one request, and keep it for the next one if both sides want that."""
        reader, writer = streams
        kept = False
        try:
            posts = request.kind == "post"
            path = {"get": self.rates.get_path, "post": self.rates.post_path, "slow": self.rates.slow_path}[request.kind]
            path = path.replace("{name}", request.name)
            head = [f"{'POST' if posts else 'GET'} {path} HTTP/1.1", f"Host: {self.netloc}", f"Connection: {'keep-alive' if keep else 'close'}"]
            body = b"x" * 1000 if posts else b""
            if body:
                head.append(f"Content-Length: {len(body)}")
            writer.write("\r\n".join([*head, "", ""]).encode() + body)
            status, answer, open_still = await read_answer(reader)
            kept = keep and open_still
        finally:
            if kept:
                self.idle.append(streams)
            else:
                writer.close()
        return status, answer


def main(arguments: Optional[list[str]] = None) -> int:
    """Put load on a site for some seconds, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--get", type=float, default=Rates.get, help="requests a second")
    parser.add_argument("--get-path", default=Rates.get_path)
    parser.add_argument("--post", type=float, default=Rates.post, help="requests a second")
    parser.add_argument("--slow", type=int, default=Rates.slow, help="how many to keep under way")
    options = parser.parse_args(arguments)
    load = Load(options.url, Rates(get=options.get, get_path=options.get_path, post=options.post, slow=options.slow)).start()
    report = load.stop(settle=options.seconds)
    print(report)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
