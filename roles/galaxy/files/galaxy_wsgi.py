"""Galaxy as the WSGI application that uWSGI serves.

Galaxy's own web application speaks ASGI; this factory lets a Paste Deploy file name it:
paste.app_factory = galaxy_wsgi:app_factory
"""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Awaitable, Iterable
from contextvars import ContextVar
from typing import Any, Callable

# Galaxy makes millions of objects as it is loaded, nearly all of which stay. Looking through them for garbage less often makes that
# a fifth shorter, for 20 MB.
gc.set_threshold(10_000)

from a2wsgi import ASGIMiddleware  # noqa: E402 -- loading Galaxy begins here
from galaxy.webapps.galaxy.buildapp import app_pair  # noqa: E402
from galaxy.webapps.galaxy.fast_app import initialize_fast_app  # noqa: E402

Application = Callable[..., Iterable[bytes]]
AsgiApplication = Callable[..., Awaitable[None]]

request_id: ContextVar[str] = ContextVar("request_id", default="")


class LogRecord(logging.LogRecord):
    """A line of the log that tells which request it is about, by the id that the proxy has given it.

    Formats may have C(%(request_id)s). That of Galaxy has the name of the thread, so the id is added to that.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.request_id = request_id.get()
        if self.request_id:
            self.threadName = f"{self.threadName},r:{self.request_id}"


def remember_request(application: AsgiApplication) -> AsgiApplication:
    """Let whatever is logged for a request know its id; threads that work for it get to know it too."""

    async def call(scope: dict[str, Any], receive: Any, send: Any) -> None:
        found = dict(scope.get("headers", [])).get(b"x-request-id", b"")
        request_id.set(found.decode("latin-1"))
        await application(scope, receive, send)

    return call


def below(prefix: str, application: Application) -> Application:
    """Give an application the whole path, as ASGI has it where WSGI has it without the prefix.

    The check that uWSGI works comes past the proxy, and so without a prefix.
    """

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        return application({**environ, "SCRIPT_NAME": "", "PATH_INFO": prefix + environ.get("PATH_INFO", "")}, start_response)

    return call


async def forever() -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


def running_loop() -> asyncio.AbstractEventLoop:
    """Start an event loop in a thread of its own.

    The threads in which Galaxy does what blocks live as long as the outermost task of their loop. Without one around them all, each
    request would be the outermost, and would start its threads anew.
    """
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_until_complete, args=(forever(),), name="asgi", daemon=True).start()
    return loop


def galaxy_application(global_conf: dict[str, Any], options: dict[str, Any]) -> AsgiApplication:
    """Build Galaxy's ASGI application by what its releases since 23.1 have in common."""
    try:
        application, galaxy = app_pair(global_conf, wsgi_preflight=False, **options)
    except SystemExit as error:
        # To uWSGI that is a process that has died, which it would start again and again. Why it is so stands in the log already.
        raise RuntimeError("Galaxy could not be loaded, for the reason above") from error
    asgi: AsgiApplication = initialize_fast_app(application, galaxy)
    return asgi


def app_factory(global_conf: dict[str, Any], **local_conf: Any) -> Application:
    """Build Galaxy from the options of its Paste Deploy section."""
    logging.setLogRecordFactory(LogRecord)
    application = ASGIMiddleware(remember_request(galaxy_application(global_conf, local_conf)), loop=running_loop())
    # What is there now is no garbage; to look through it again takes a second, in which no request is answered.
    gc.freeze()
    prefix = local_conf.get("galaxy_url_prefix", "/").rstrip("/")
    return below(prefix, application) if prefix else application
