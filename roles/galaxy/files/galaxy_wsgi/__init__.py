"""Galaxy as the WSGI application that uWSGI serves.

Galaxy's own web application speaks ASGI; this factory lets a Paste Deploy file name it:
paste.app_factory = galaxy_wsgi:app_factory

A Galaxy whose options are in a galaxy.yml is named by a Paste Deploy file that has no other options:
galaxy_config_file = /srv/galaxy/config/galaxy.yml

uWSGI loads Galaxy once and forks its workers from that, or with C(lazy-apps) each worker loads Galaxy for itself.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Callable

# Galaxy creates millions of objects while it loads, and nearly all of them stay. A higher threshold for the garbage
# collector shortens the load by a fifth and costs 20 MB.
gc.set_threshold(10_000)

from . import processes  # noqa: E402

# Galaxy chooses its web stack when it is imported.
processes.choose_stack()

from a2wsgi import ASGIMiddleware  # noqa: E402
from galaxy.webapps.galaxy.buildapp import app_pair  # noqa: E402
from galaxy.webapps.galaxy.fast_app import initialize_fast_app  # noqa: E402

from . import beside, broker, logs  # noqa: E402

Application = Callable[..., Iterable[bytes]]


async def forever() -> None:
    """Never return."""
    await asyncio.Event().wait()


def running_loop() -> asyncio.AbstractEventLoop:
    """Start an event loop in a thread of its own.

    The threads in which Galaxy does what blocks live as long as the outermost task of their loop. Without one around
    them all, each request would be the outermost, and would start its threads anew.
    """
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_until_complete, args=(forever(),), name="asgi", daemon=True).start()
    return loop


class Bridge:
    """Galaxy's ASGI application as a WSGI application.

    ASGI has the whole path where WSGI has it without the I(prefix); the check that uWSGI works has no prefix either
    way, because it does not come through the proxy. I(elsewhere) are the paths that only the ASGI process serves, with
    what a worker answers there: an event stream would keep a thread for as long as somebody has a page open.
    """

    def __init__(self, application: logs.Application, prefix: str, elsewhere: Mapping[str, beside.Answer]) -> None:
        self.application = application
        self.prefix = prefix
        self.elsewhere = elsewhere
        self.wsgi: Application | None = None

    def start(self) -> None:
        """Start the event loop, in each process, because none survives a fork."""
        self.wsgi = ASGIMiddleware(self.application, loop=running_loop())

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        assert self.wsgi is not None, "the event loop of this process was not started"
        path = environ.get("PATH_INFO", "")
        if path in self.elsewhere:
            status, headers, body = self.elsewhere[path]
            start_response(status, headers)
            return [body]
        if self.prefix:
            environ = {**environ, "SCRIPT_NAME": "", "PATH_INFO": self.prefix + path}
        return self.wsgi(environ, start_response)


def load_galaxy(global_conf: dict[str, Any], options: dict[str, Any]) -> tuple[logs.Application, Any]:
    """Build Galaxy's ASGI application, and Galaxy itself, by what its releases since 23.1 have in common."""
    try:
        application, galaxy = app_pair(global_conf, wsgi_preflight=False, **options)
    except SystemExit as error:
        # uWSGI would take that for a process that has died, and start it again and again. The log has the reason
        # already.
        raise RuntimeError("Galaxy could not be loaded, for the reason above") from error
    if hasattr(galaxy.tool_cache, "assert_hashes_initialized"):
        # Galaxy compares the file of a tool with a hash of the file that it has read. Only one process computes these
        # hashes early. All others would compute them after the file has changed, and so never find the change.
        galaxy.tool_cache.assert_hashes_initialized()
    return initialize_fast_app(application, galaxy), galaxy


def from_yml(global_conf: Mapping[str, Any], path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell Galaxy that its options are in a galaxy.yml."""
    # Galaxy would run with its defaults if there were no such file.
    os.stat(path)
    # What Galaxy looks for beside its file is beside this one.
    there = {**global_conf, "__file__": path, "here": os.path.dirname(path)}
    return there, {"load_app_kwds": {"config_file": path, "config_section": "galaxy"}}


def app_factory(global_conf: dict[str, Any], **local_conf: Any) -> Application:
    """Build Galaxy from the options of its Paste Deploy section, or from the galaxy.yml that the section names."""
    logging.setLogRecordFactory(logs.LogRecord)
    before = processes.descriptors()
    path = local_conf.pop("galaxy_config_file", "")
    if path:
        global_conf, own = from_yml(global_conf, path)
        local_conf.update(own)
    application, galaxy = load_galaxy(global_conf, local_conf)
    prefix = (getattr(galaxy.config, "galaxy_url_prefix", None) or "/").rstrip("/")
    bridge = Bridge(logs.remember_request(logs.log_exceptions(application)), prefix, beside.elsewhere(galaxy.config))
    forks = processes.Forks(galaxy, before) if processes.forked_later() else None
    # All that is loaded now stays. A search through it takes a second, in which no request is answered.
    gc.freeze()
    if forks:
        beside.start(logs.remember_request(logs.below(prefix, application)), galaxy.config, forks)
        forks.of_workers(bridge.start)
    else:
        bridge.start()
        broker.Broker(galaxy).keep_swept()
    return bridge
