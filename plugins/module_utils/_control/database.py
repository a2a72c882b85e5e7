# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Galaxy's database says about jobs and their handlers.

A program of its own: jobs.py runs it with the Python of Galaxy's virtualenv, as Galaxy's user, and with the
environment of the handlers. It reads a request from its standard input and prints the answer, both as JSON; where the
database is and how to log in to it, it finds out as Galaxy does, and says nowhere.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any, Optional

# States from which nothing follows. A job that somebody stopped counts: its output has been collected.
ENDED = ("ok", "error", "failed", "deleted", "skipped", "stopped")
INVOCATIONS_ENDED = ("scheduled", "completed", "cancelled", "failed")

Job = dict[str, Any]


def changes(jobs: list[Job], heirs: dict[str, list[str]], gone: bool) -> Iterator[dict[str, Any]]:
    """Tell which of the I(jobs) of a handler get which of its I(heirs), and in which state.

    Heirs are given with the runner plugins that they are limited to. Jobs that wait are dealt out. One that was handed
    to a runner and not started yet waits again, once the handler is I(gone). One that was started is taken up by an
    heir as that starts: they all go to the first, so that one has to start anew. Until the handler is gone they stay.
    """
    order = list(heirs)
    turn = 0
    for job in jobs:
        dispatched = job["state"] in ("queued", "running")
        if dispatched and not gone:
            continue
        if dispatched and job["started"]:
            able = [name for name in order if not heirs[name] or job["runner"] in heirs[name]]
            yield {**job, "heir": (able or order)[0], "new_state": job["state"]}
        else:
            yield {**job, "heir": order[turn % len(order)], "new_state": "new" if dispatched else job["state"]}
            turn += 1


class Database:
    """Galaxy's database, found by way of Galaxy's configuration."""

    def __init__(self, config_file: str) -> None:
        from galaxy.util.properties import load_app_properties  # type: ignore[import-not-found,unused-ignore]

        self.properties: dict[str, Any] = load_app_properties(ini_file=config_file)
        self.url = self.properties.get("database_connection") or self._default("universe.sqlite")

    def _default(self, name: str) -> str:
        data = self.properties.get("data_dir") or next(
            (path for path in ("database", "data") if os.path.isdir(path)), "database"
        )
        return f"sqlite:///{os.path.abspath(data)}/{name}?isolation_level=IMMEDIATE"

    @property
    def exists(self) -> bool:
        """Whether there is a database; to ask for one that is a file would make it."""
        kind, _slashes, rest = self.url.partition(":///")
        return kind != "sqlite" or os.path.exists(rest.partition("?")[0])

    def unfinished(self, connection: Any, handler: str) -> list[Job]:
        """The jobs of a handler that have not ended."""
        from sqlalchemy import bindparam, text  # type: ignore[import-not-found,unused-ignore]

        query = text(
            "SELECT id, state, tool_id, job_runner_name, job_runner_external_id FROM job"
            " WHERE handler = :handler AND state NOT IN :ended ORDER BY id"
        ).bindparams(bindparam("ended", expanding=True))
        rows = connection.execute(query, {"handler": handler, "ended": ENDED})
        return [
            {"id": row[0], "state": row[1], "tool": row[2], "runner": row[3], "started": row[4] is not None}
            for row in rows
        ]

    def move(self, connection: Any, handler: str, heirs: dict[str, list[str]], gone: bool) -> list[dict[str, Any]]:
        """Give the jobs and workflows of a handler to its heirs; tell which jobs were given to whom."""
        from sqlalchemy import text

        moved = []
        for change in changes(self.unfinished(connection, handler), heirs, gone):
            forget = (
                ", job_runner_name = NULL, job_runner_external_id = NULL"
                if change["new_state"] != change["state"]
                else ""
            )
            # Nobody else has changed it meanwhile: the state is part of the question.
            update = text(
                f"UPDATE job SET handler = :heir, state = :new_state{forget}"
                " WHERE id = :id AND handler = :handler AND state = :state"
            )
            values = {key: change[key] for key in ("id", "state", "heir", "new_state")}
            if connection.execute(update, {**values, "handler": handler}).rowcount:
                moved.append(change)
        if gone:
            self.move_workflows(connection, [handler], list(heirs))
            self.forget(connection, handler)
        return moved

    def forget(self, connection: Any, handler: str) -> None:
        """Remove a handler of this host from Galaxy's list of processes.

        The handler does so itself, unless it is killed. Galaxy sends messages to the processes of the list. A process
        that lives writes its row again each minute.
        """
        from sqlalchemy import inspect, text

        # Not has_table(), which SQLAlchemy has from 1.4 on: Galaxy 20.05 has an older one.
        if "worker_process" in inspect(connection).get_table_names():
            query = text("DELETE FROM worker_process WHERE server_name = :handler AND hostname = :host")
            connection.execute(query, {"handler": handler, "host": socket.gethostname()})

    def move_workflows(self, connection: Any, handlers: list[str], heirs: list[str]) -> int:
        """Give the workflows of handlers, and of tags, that have not ended to their heirs; tell how many."""
        from sqlalchemy import bindparam, text

        query = text(
            "SELECT id FROM workflow_invocation WHERE handler IN :handlers AND state NOT IN :ended ORDER BY id"
        )
        lists: tuple[Any, ...] = (bindparam("handlers", expanding=True), bindparam("ended", expanding=True))
        workflows = connection.execute(
            query.bindparams(*lists), {"handlers": handlers, "ended": INVOCATIONS_ENDED}
        ).fetchall()
        for number, row in enumerate(workflows):
            update = text("UPDATE workflow_invocation SET handler = :heir WHERE id = :id")
            connection.execute(update, {"heir": heirs[number % len(heirs)], "id": row[0]})
        return len(workflows)

    def hold(self, handler: str, held: bool) -> None:
        """Tell a running handler to start no more jobs, or to start jobs again.

        It is the message by which an administrator locks the jobs of all handlers.
        """
        from kombu import Connection, Queue  # type: ignore[import-not-found,unused-ignore]

        configured = self.properties.get("database_connection")
        url = (
            self.properties.get("amqp_internal_connection")
            or f"sqlalchemy+{configured or self._default('control.sqlite')}"
        )
        name = f"control.{handler}@{socket.gethostname()}"
        with Connection(url) as connection:
            connection.Producer(serializer="json").publish(
                {"task": "admin_job_lock", "kwargs": {"job_lock": held}},
                exchange="",
                routing_key=name,
                declare=[Queue(name, routing_key=name)],
                headers={"epoch": time.time()},
            )


def answer(request: dict[str, Any]) -> Any:
    """Do what is asked for."""
    try:
        database = Database(request["config_file"])
    except ModuleNotFoundError as error:
        if error.name != "galaxy":
            raise
        return []  # another application, which has no jobs
    if request["action"] == "hold":
        database.hold(request["handler"], request["held"])
        return None
    if not database.exists:
        return []
    from sqlalchemy import create_engine

    # SQLite lets one write at a time, and Galaxy writes all the time.
    waiting = {"connect_args": {"timeout": 60}} if database.url.startswith("sqlite") else {}
    with create_engine(database.url, **waiting).begin() as connection:
        if request["action"] == "move":
            return database.move(connection, request["handler"], request["heirs"], request["gone"])
        if request["action"] == "move_workflows":
            return database.move_workflows(connection, request["handlers"], request["heirs"])
        return database.unfinished(connection, request["handler"])


def main(request: str) -> Optional[str]:
    """Answer one request; what goes wrong is told without what may be secret."""
    try:
        sys.stdout.write(f"{json.dumps(answer(json.loads(request)))}\n")
    except Exception as error:
        # The messages of drivers and of SQLAlchemy name the host and the user, and never the password.
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return None


if __name__ == "__main__":
    # Galaxy's packages are not to be taken for the modules beside this file.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
    raise SystemExit(main(sys.stdin.read()))
