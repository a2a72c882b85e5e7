"""The web processes of one Galaxy: what each is called, and what crosses the fork that most of them come from.

Galaxy addresses its processes by their names: each has a queue for messages (reload the tools, the configuration ...)
and a row in the table C(worker_process). So no two processes that share a database may have one name, and the
successor of a process has the name of that process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any, Callable

import uwsgi

from . import broker

# What the processes of this slot have in their names; the command of the instance sets it, and knows why.
SLOT = os.environ.get("GALAXYOPS_SLOT") or f"{socket.gethostname()}.1"
# A fork later than this takes the place of a process that has died, or comes in addition.
SOON = 30

REMEDY = "set lazy-apps to true in uwsgi_options, so that each worker loads Galaxy for itself"

log = logging.getLogger(__name__)


def forked_later() -> bool:
    """Whether uWSGI forks its workers from this process once the application is loaded; else this is a worker."""
    return bool(uwsgi.worker_id() == 0)


def name_process(name: object) -> None:
    """Have Galaxy call this process C(main.SLOT.NAME) when it next chooses a name."""
    os.environ["GUNICORN_WORKER_ID"] = f"{SLOT}.{name}"


def choose_stack() -> None:
    """Choose Galaxy's web stack, by variables that it reads when it is imported.

    The stack for several processes is named after the server that Galaxy brings along.
    """
    os.environ["SERVER_SOFTWARE"] = "gunicorn"
    if forked_later():
        # Galaxy starts no thread before the fork, and keeps what each process has to do after it.
        os.environ["GUNICORN_CMD_ARGS"] = "--preload"
    else:
        name_process(uwsgi.worker_id())


def descriptors() -> dict[int, str]:
    """What this process has open, by the kernel's names."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # that of the list itself
            continue
    return found


def shared_by_a_fork(before: dict[int, str]) -> Iterator[str]:
    """What has come since I(before) that several processes must not use together."""
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            yield f"the thread {thread.name}"
    for descriptor, name in descriptors().items():
        if before.get(descriptor) == name:
            continue
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISSOCK(mode):
            with socket.socket(fileno=os.dup(descriptor)) as connection:
                # Several processes may send single datagrams, such as statistics, by one socket.
                if connection.type == socket.SOCK_DGRAM:
                    continue
            yield f"the connection {name}"
        elif name == "anon_inode:[eventpoll]":
            yield "an event loop"
        elif stat.S_ISREG(mode) and begins_with(descriptor, b"SQLite format 3"):
            yield f"the database {name}"


def begins_with(descriptor: int, text: bytes) -> bool:
    """Whether an open file begins with a text; one that cannot be read does not."""
    with contextlib.suppress(OSError), open(f"/proc/self/fd/{descriptor}", "rb") as stream:
        return stream.read(len(text)) == text
    return False


class Forks:
    """The processes that are forked from a Galaxy that is loaded and has not been started."""

    def __init__(self, galaxy: Any, before: dict[int, str]) -> None:
        """Take over what Galaxy does in each process after its fork, and close what the processes would share."""
        self.galaxy = galaxy
        self.loaded = time.monotonic()
        stack = type(galaxy.application_stack)
        self.postponed: list[Callable[[], None]] = list(stack.postfork_functions)
        # Galaxy would do it in the keeper of the ASGI process too, and before it knows the name of a process.
        stack.postfork_functions = []
        stack.late_postfork_event.set()
        self._disconnect()
        shared = list(shared_by_a_fork(before))
        if shared:
            raise RuntimeError(f"after Galaxy was loaded there is {', '.join(shared)}, which would not survive the fork of the workers: {REMEDY}")

    def _disconnect(self) -> None:
        """Close the connections that loading has opened; each process opens its own."""
        self.galaxy.model.session.remove()
        for model in (self.galaxy.model, self.galaxy.install_model):
            model.engine.dispose()
        if self.galaxy.amqp_internal_connection_obj:
            self.galaxy.amqp_internal_connection_obj.release()

    def fork(self, work: Callable[[], None]) -> int:
        """Do I(work) in a child, and return the number of the child.

        The child ends without anything that uWSGI and Galaxy do at the end of a process.
        """
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            # Galaxy starts a thread in each child. It has nothing to do now, and must not live at the next fork.
            thread = getattr(self.galaxy.application_stack, "late_postfork_thread", None)
            if thread:
                thread.join()
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        os._exit(code)

    def start(self, name: object) -> None:
        """Start Galaxy in the process that this has become by a fork."""
        name_process(name)
        # Before this process serves anything: every message must have its own name.
        self.galaxy.application_stack.set_postfork_server_name(self.galaxy)
        threading.Thread(target=self._start, name="start", daemon=True).start()

    def _start(self) -> None:
        late = time.monotonic() - self.loaded > SOON
        messages = broker.Broker(self.galaxy)
        for function in [
            self._forget_the_dead,
            messages.start_empty,
            *self.postponed,
            *([self._catch_up] if late else []),
            messages.keep_swept,
        ]:
            try:
                function()
            except Exception:
                log.exception("Galaxy could not do all that it does after a fork")

    def _forget_the_dead(self) -> None:
        """Remove the rows of killed processes of this instance whose names no other process has yet."""
        from galaxy.model import WorkerProcess

        names = f"{self.galaxy.config.base_server_name}.{SLOT.rpartition('.')[0]}."
        with self.galaxy.model.new_session() as session, session.begin():
            for row in session.query(WorkerProcess).filter(WorkerProcess.server_name.startswith(names, autoescape=True)):
                if not os.path.exists(f"/proc/{row.pid}"):
                    session.delete(row)

    def _catch_up(self) -> None:
        """Read again what other processes were told to read again since Galaxy was loaded.

        Galaxy itself does this for tools alone.
        """
        from galaxy.queue_worker import control_message_to_task

        for task in (
            "reload_core_config",
            "reload_data_managers",
            "reload_display_application",
            "reload_sanitize_allowlist",
        ):
            control_message_to_task[task](self.galaxy)

    def of_workers(self, prepare: Callable[[], None]) -> None:
        """Have uWSGI start each of its workers by I(prepare) and I(start)."""
        previous = getattr(uwsgi, "post_fork_hook", None)

        def become_worker() -> None:
            if previous:
                previous()
            prepare()
            self.start(uwsgi.worker_id())

        uwsgi.post_fork_hook = become_worker
