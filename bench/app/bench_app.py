"""The Paste Deploy application that all servers serve: an endpoint for each kind of work."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Callable

StartResponse = Callable[[str, list[tuple[str, str]]], Any]

MEGABYTE = b"x" * 2**20
CPU_SECONDS = 0.02
WAIT_SECONDS = 0.05


def work() -> None:
    """Keep a core busy, for as long as this thread alone takes for it, however many others want that core."""
    end = time.thread_time() + CPU_SECONDS
    while time.thread_time() < end:
        sum(range(1000))


def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Answer as the path asks."""
    path = environ["PATH_INFO"]
    body = b"done\n"
    if path == "/cpu":
        work()
    elif path == "/wait":
        time.sleep(WAIT_SECONDS)
    elif path == "/down":
        body = MEGABYTE
    elif path == "/up":
        got = sum(map(len, iter(lambda: environ["wsgi.input"].read(65536), b"")))
        if got != len(MEGABYTE):
            start_response("400 Bad Request", [("Content-Type", "text/plain")])
            return [f"{got} bytes\n".encode()]
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def app_factory(global_conf: dict[str, str], **local_conf: str) -> Callable[..., Iterable[bytes]]:
    """Build the application from its section; the memory that the section asks for is used as a large application uses its own."""
    loaded = {number: [bytes(1000)] for number in range(1000 * int(local_conf.get("megabytes", 0)))}
    time.sleep(float(local_conf.get("start_seconds", 0)))

    def call(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        # A look at an object writes its reference count, which ends the sharing of its page of memory.
        for number in range(0, len(loaded), 1 + len(loaded) // 1000):
            loaded[number][0]
        return application(environ, start_response)

    return call if loaded else application
