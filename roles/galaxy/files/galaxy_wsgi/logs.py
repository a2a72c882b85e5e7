"""The log of Galaxy's web processes: which line belongs to which request."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import Any, Callable

Application = Callable[..., Awaitable[None]]

log = logging.getLogger(__name__)

request_id: ContextVar[str] = ContextVar("request_id", default="")


class LogRecord(logging.LogRecord):
    """A line of the log with the id that the proxy has given to the request.

    Formats may have C(%(request_id)s). That of Galaxy has the name of the thread, so the id is added to that.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.request_id = request_id.get()
        if self.request_id:
            self.threadName = f"{self.threadName},r:{self.request_id}"


def header(scope: dict[str, Any], name: bytes) -> str:
    """A header of a request, or an empty string."""
    return str(dict(scope.get("headers", [])).get(name, b"").decode("latin-1"))


def remember_request(application: Application) -> Application:
    """Let all that is logged for a request have its id, also in threads that work for it."""

    async def call(scope: dict[str, Any], receive: Any, send: Any) -> None:
        request_id.set(header(scope, b"x-request-id"))
        await application(scope, receive, send)

    return call


def log_exceptions(application: Application) -> Application:
    """Log what goes wrong in a request and is caught nowhere, as an ASGI server does: the bridge to WSGI drops it."""

    async def call(scope: dict[str, Any], receive: Any, send: Any) -> None:
        try:
            await application(scope, receive, send)
        except Exception:
            log.exception("uncaught exception in %s %s", scope.get("method", scope["type"]), scope.get("path", ""))
            raise

    return call


def below(prefix: str, application: Application) -> Application:
    """Add the I(prefix) to a path that does not have it.

    The check that this process works does not come through the proxy, and so without a prefix.
    """

    async def call(scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and path != prefix and not path.startswith(f"{prefix}/"):
            scope = {**scope, "path": prefix + path, "raw_path": prefix.encode() + scope.get("raw_path", path.encode())}
        await application(scope, receive, send)

    return call if prefix else application


def log_requests(application: Application, worker: str) -> Application:
    """Print a line for each request when it ends, as uWSGI does for those of its workers."""

    async def call(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        started, status, size = time.monotonic(), 0, 0

        async def count(message: dict[str, Any]) -> None:
            nonlocal status, size
            status = message.get("status", status)
            size += len(message.get("body", b""))
            await send(message)

        try:
            await application(scope, receive, count)
        finally:
            query = scope["query_string"].decode("latin-1")
            address = (scope.get("client") or ("",))[0]
            milliseconds = round((time.monotonic() - started) * 1000)
            print(
                f"request {header(scope, b'x-request-id')} {address} {scope['method']} "
                f"{scope['path']}{query and '?' + query} HTTP/{scope['http_version']} "
                f"{status} {size} bytes {milliseconds} ms worker {worker}",
                flush=True,
            )

    return call
