"""The ASGI process beside the workers: it serves what WSGI cannot.

An event stream stays open as long as a page does, and under WSGI each takes a thread. So where Galaxy has such streams
or MCP, one more process is forked from the same loaded Galaxy and serves their paths with Galaxy's own ASGI server. A
keeper, which does nothing else, starts it again when it dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import select
import signal
import socket
import time
from typing import Any, Callable

from . import logs, processes

# Where to listen; the command of the instance sets it.
SOCKET = os.environ.get("GALAXYOPS_ASGI_SOCKET", "")
STREAM = "/api/events/stream"
# Status, headers and body
Answer = tuple[str, list[tuple[str, str]], bytes]
NAME = "asgi"
# How the process and its keeper are called in a list of processes, up to 15 characters.
TITLE, KEEPER_TITLE = b"galaxy-asgi", b"galaxy-asgi-kpr"
# If the process dies sooner than this, in seconds, the keeper waits for a pause before it starts a new one.
SOON, PAUSE = 5, 1
# When the slot stops, requests have so many seconds to finish; streams end at once.
STOP_TIMEOUT = int(os.environ.get("GALAXYOPS_STOP_TIMEOUT") or 60)

_PR_SET_NAME = 15


def wanted(config: Any) -> bool:
    """Whether this Galaxy has what only ASGI can serve."""
    return bool(SOCKET) and bool(getattr(config, "enable_sse_updates", False) or getattr(config, "enable_mcp_server", False))


def elsewhere(config: Any) -> dict[str, Answer]:
    """What a worker answers on the paths that only the ASGI process serves.

    A request gets to a worker where there is no such process, and for a moment when it has died.
    """
    if not wanted(config):
        return {
            STREAM: (
                "404 Not Found",
                [("Content-Type", "application/json")],
                b'{"err_msg": "This server has no event streams."}',
            )
        }
    # A browser opens a stream again that has ended, and gives up after an error.
    found: dict[str, Answer] = {STREAM: ("200 OK", [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache")], b"retry: 3000\n\n")}
    if getattr(config, "enable_mcp_server", False):
        message = b'{"err_msg": "The ASGI process, which serves this path, does not answer: try again soon."}'
        found[config.mcp_server_path.rstrip("/") or "/"] = (
            "503 Service Unavailable",
            [("Content-Type", "application/json"), ("Retry-After", "3")],
            message,
        )
    return found


def start(application: logs.Application, config: Any, forks: processes.Forks) -> None:
    """Start the process, if this Galaxy has use for it."""
    if not wanted(config):
        return
    inherited = [descriptor for descriptor, name in processes.descriptors().items() if name.startswith("socket:") and descriptor > 2]
    master = os.getpid()
    # The socket exists before the first worker does: if a worker of a slot answers and this socket does not exist, the
    # slot has no ASGI process.
    listener = listen(SOCKET)

    def keeper() -> None:
        for descriptor in inherited:
            # uWSGI's: while anybody had them open, a client would wait where nobody answers.
            os.close(descriptor)
        take_signals(KEEPER_TITLE)
        keep(lambda: serve(application, listener, forks, master), listener, master, forks)

    # No child of the master: that would wait for it before it ended.
    os.waitpid(forks.fork(lambda: forks.fork(keeper)), 0)
    listener.close()


def listen(path: str) -> socket.socket:
    """Listen on a unix socket, for this user and the group of the directory."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o660)
    listener.listen(4096)
    return listener


def take_signals(title: bytes) -> None:
    """Have a title, and take signals as any process does, not as uWSGI does."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, title)
    for number in (
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGALRM,
        signal.SIGCHLD,
    ):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def keep(work: Callable[[], None], listener: socket.socket, master: int, forks: processes.Forks) -> None:
    """Run I(work) in a child, and again when that dies, until this process is asked to stop or nobody needs it any more.

    That is when the I(master) dies, or has executed itself anew, as it does after SIGHUP, and listens at the same path
    with a keeper of its own. Clients wait in the socket, which this process has open too.
    """
    events = {signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, events)
    of_master = os.pidfd_open(master)
    path = listener.getsockname()
    own = identity(path)

    def is_superfluous() -> bool:
        return bool(select.select([of_master], [], [], 0)[0]) or identity(path) not in (own, None)

    def child() -> None:
        take_signals(TITLE)
        work()

    stopping = False
    while not stopping:
        started, deadline = time.monotonic(), float("inf")
        try:
            pid = forks.fork(child)
        except OSError as error:
            # There is too little memory for a moment, for example; ending would be for good.
            say(f"the ASGI process cannot be started: {error.strerror}")
            event = signal.sigtimedwait({signal.SIGTERM}, PAUSE)
            stopping = event is not None or is_superfluous()
            continue
        ended, status = 0, 0
        while not ended:
            event = signal.sigtimedwait(events, 1)
            asked = event is not None and event.si_signo == signal.SIGTERM
            if not stopping and (asked or is_superfluous()):
                stopping, deadline = True, time.monotonic() + STOP_TIMEOUT + 10
                listener.close()
                os.kill(pid, signal.SIGTERM)
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            ended, status = os.waitpid(pid, os.WNOHANG)
        if not stopping:
            say(f"the ASGI process has died ({describe(status)}) and is started again")
            if time.monotonic() - started < SOON:
                time.sleep(PAUSE)


def identity(path: str) -> tuple[int, int] | None:
    """Which file has that name; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def say(message: str) -> None:
    """Say something in the log, if there still is one."""
    with contextlib.suppress(OSError):
        print(message, flush=True)


def describe(status: int) -> str:
    """How a process has ended."""
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit code {os.WEXITSTATUS(status)}"


def serve(application: logs.Application, listener: socket.socket, forks: processes.Forks, master: int) -> None:
    """Serve with Galaxy's own ASGI server until this process is asked to stop or the I(master) dies."""
    # Not at the top: a Galaxy without these serves without this process.
    import uvicorn
    from galaxy.web_stack import run_drain_start_callbacks

    forks.start(NAME)

    class Server(uvicorn.Server):
        """The server, which tells Galaxy when it stops."""

        def capture_signals(self) -> Any:
            """Leave the signals to L(startup)."""
            return contextlib.nullcontext()

        def stop(self) -> None:
            self.should_exit = True

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, self.stop)
            with contextlib.suppress(OSError):
                of_master = os.pidfd_open(master)

                def master_died() -> None:
                    loop.remove_reader(of_master)
                    self.stop()

                loop.add_reader(of_master, master_died)
            await super().startup(sockets)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # Event streams end by this; the browser opens them again, at the new slot.
            run_drain_start_callbacks()
            await super().shutdown(sockets)

    config = uvicorn.Config(
        logs.log_requests(application, NAME),
        access_log=False,
        log_config=None,
        server_header=False,
        # The proxy, which alone can reach the socket, says who the client is.
        forwarded_allow_ips="*",
        timeout_graceful_shutdown=STOP_TIMEOUT,
    )
    try:
        Server(config).run(sockets=[listener])
    finally:
        forks.galaxy.shutdown()
