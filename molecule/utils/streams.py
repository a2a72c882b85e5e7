"""Many open pages: event streams that are opened again when they end, as a browser's EventSource does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from urllib.parse import urlsplit


class Streams:
    """Event streams of a site, each by a connection of its own."""

    def __init__(self, url: str, number: int, path: str = "/api/events/stream") -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "", parts.port or 80)
        self.path = path
        self.number = number
        # How many are open now, what they were answered, and how they ended.
        self.open = 0
        self.statuses: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Streams:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait(self, seconds: float = 60) -> None:
        """Wait until all are open."""
        deadline = time.monotonic() + seconds
        while self.open < self.number:
            assert time.monotonic() < deadline, f"{self.open} of {self.number} are open; {self.statuses}, {self.ends}"
            time.sleep(0.1)

    async def _run(self) -> None:
        clients = [asyncio.create_task(self._client()) for _client in range(self.number)]
        while not self._stop.is_set():
            await asyncio.sleep(0.1)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    async def _client(self) -> None:
        while True:
            try:
                await self._stream()
            except OSError as error:
                # Without an answer, which a browser takes for a network that is down for a moment.
                self.ends[type(error).__name__] += 1
            await asyncio.sleep(1)

    async def _stream(self) -> None:
        reader, writer = await asyncio.open_connection(*self.address)
        ready = False
        try:
            writer.write(
                f"GET {self.path} HTTP/1.1\r\nHost: {self.address[0]}\r\nAccept: text/event-stream\r\n\r\n".encode()
            )
            status = (await reader.readline()).split()
            if not status:
                self.ends["closed without an answer"] += 1
                return
            self.statuses[status[1].decode()] += 1
            while line := await reader.readline():
                if line == b"event: ready\n":
                    ready = True
                    self.open += 1
                # The last chunk of a response that ends as it should is empty.
                if line == b"0\r\n":
                    self.ends["ended"] += 1
                    return
            self.ends["cut off"] += 1
        finally:
            self.open -= ready
            writer.close()
