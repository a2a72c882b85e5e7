"""Messages between Galaxy's processes that no process reads any more, where the broker is a database.

Galaxy sends such messages through kombu, which keeps queues and messages in two tables (C(amqp_internal_connection) is
C(sqlalchemy+sqlite://...) or C(sqlalchemy+postgresql://...)). Nothing removes rows from these tables:

- kombu marks a delivered message as invisible and keeps the row. It never reads that row again.
- A process sends messages to each queue that it has ever sent one to, also when the reader of that queue is gone.
- Galaxy makes a queue for the answer to some messages, and uses that queue once.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

# Seconds between two sweeps. What was sent before the previous sweep is old: a process reads its queue each second, and
# its row in worker_process is there within a second of its start.
INTERVAL = float(os.environ.get("GALAXYOPS_SWEEP_INTERVAL") or 300)
# A process updates its row each minute. A process whose row is older is gone, for example with its host.
GONE = datetime.timedelta(days=1)
# A process of this host whose row is older than some of these minutes, and whose pid nobody has, was killed.
KILLED = datetime.timedelta(minutes=3)
# A sweep holds a lock on the database for as long as it takes to remove so many rows.
BATCH = 500

CONTROL = "control."
ANSWER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

log = logging.getLogger(__name__)


class Newest(NamedTuple):
    """The ids of the newest queue and of the newest message at a time: later ones have higher ids."""

    queue: int
    message: int


class Tables(NamedTuple):
    """The two tables of kombu, in a session of their own."""

    session: Any
    queue: Any
    message: Any

    def remove(self, *conditions: Any) -> None:
        """Remove messages, a few at a time."""
        # Two processes may sweep at the same time: each takes what the other has not taken.
        found = self.session.query(self.message.id).filter(*conditions).order_by(self.message.id).limit(BATCH)
        while ids := [row[0] for row in found.with_for_update(skip_locked=True)]:
            self.session.query(self.message).filter(self.message.id.in_(ids)).delete(synchronize_session=False)
            self.session.commit()
        self.session.commit()

    def remove_delivered(self) -> None:
        """Remove what kombu has delivered."""
        self.remove(self.message.visible.is_(False))

    def remove_queues(self, ids: list[int]) -> None:
        """Remove those of some queues that have no messages."""
        from sqlalchemy import exists, text
        from sqlalchemy.exc import OperationalError

        empty = (self.queue.id.in_(ids), ~exists().where(self.message.queue_id == self.queue.id))
        found = self.session.query(self.queue.id).filter(*empty).first()
        self.session.commit()
        if not found:
            return
        try:
            if self.session.bind.dialect.name == "postgresql":
                # A sender looks for the queue, and then writes the message. If the queue were removed between the two,
                # the sender would fail. With this lock no sender is between the two; if one is, the next sweep tries.
                self.session.execute(text(f'LOCK TABLE "{self.queue.__table__.name}" IN ACCESS EXCLUSIVE MODE NOWAIT'))
            self.session.query(self.queue).filter(*empty).delete(synchronize_session=False)
            self.session.commit()
        except OperationalError:
            self.session.rollback()


class Broker:
    """The broker of one Galaxy, as one of its processes sees it; a broker that is no database cleans up by itself."""

    def __init__(self, galaxy: Any) -> None:
        self.galaxy = galaxy
        self.previous: Newest | None = None

    @contextlib.contextmanager
    def _open(self) -> Iterator[Tables | None]:
        """Open the tables of kombu, by a connection of this process."""
        connection = getattr(self.galaxy, "amqp_internal_connection_obj", None)
        if not connection or connection.transport.driver_type != "sql":
            yield None
            return
        with connection.clone() as own:
            channel = own.default_channel
            # The property makes the tables, if there are none.
            with contextlib.closing(channel.session) as session:
                yield Tables(session, channel.queue_cls, channel.message_cls)

    def _own_queue(self) -> str:
        """The name of the queue of this process."""
        from galaxy.queues import control_queues_from_config

        return str(control_queues_from_config(self.galaxy.config)[0].name)

    def start_empty(self) -> None:
        """Remove delivered messages, and all messages to the process that had the name of this process before.

        Galaxy would discard the messages to the predecessor one by one. This process must not read messages yet.
        """
        with self._open() as tables:
            if tables:
                tables.remove_delivered()
                own = tables.session.query(tables.queue.id).filter(tables.queue.name == self._own_queue()).first()
                if own:
                    tables.remove(tables.message.queue_id == own[0])

    def keep_swept(self) -> None:
        """Sweep again and again, in a thread, for as long as this process lives."""
        threading.Thread(target=self._sweep_forever, name="broker", daemon=True).start()

    def _sweep_forever(self) -> None:
        while True:
            time.sleep(INTERVAL)
            try:
                self.sweep()
            except Exception:
                log.exception("messages that no process reads any more could not be removed")

    def sweep(self) -> None:
        """Remove delivered messages, and the queues of processes that are gone with what was sent to them."""
        with self._open() as tables:
            if not tables:
                return
            session, queue, message = tables.session, tables.queue, tables.message
            tables.remove_delivered()
            previous, self.previous = self.previous, newest(tables)
            if not previous:
                return
            self._forget_killed()
            living = self._living()
            if self._own_queue() not in living:
                # This process lives: so the rows do not tell who lives.
                return
            old = session.query(queue.id, queue.name).filter(queue.id <= previous.queue).all()
            session.commit()
            unread = [id for id, name in old if name.startswith(CONTROL) and name not in living]
            answers = [id for id, name in old if ANSWER.fullmatch(name)]
            if unread:
                tables.remove(message.queue_id.in_(unread), message.id <= previous.message)
            for queue_id in answers:
                sent = session.query(message.id, message.payload).filter(
                    message.queue_id == queue_id, message.id <= previous.message
                )
                ids = [id for id, payload in sent if is_answer(payload)]
                session.commit()
                tables.remove(message.id.in_(ids))
            tables.remove_queues([*unread, *answers])

    def _forget_killed(self) -> None:
        """Remove the rows of processes of this host that were killed: a process removes its row itself as it ends."""
        from galaxy.model import WorkerProcess
        from sqlalchemy import delete, select

        rows = WorkerProcess.__table__.c
        old = (rows.hostname == socket.gethostname(), rows.update_time < utcnow() - KILLED)
        with self.galaxy.model.engine.begin() as connection:
            for row in connection.execute(select(rows.id, rows.pid).where(*old)).all():
                if row.pid and not is_running(row.pid):
                    connection.execute(delete(WorkerProcess.__table__).where(rows.id == row.id, *old))

    def _living(self) -> set[str]:
        """The names of the queues of all processes that may live, by the rows that these keep in the database."""
        from galaxy.model import WorkerProcess
        from sqlalchemy import select

        rows = WorkerProcess.__table__.c
        oldest = utcnow() - GONE
        with self.galaxy.model.engine.connect() as connection:
            found = connection.execute(select(rows.server_name, rows.hostname).where(rows.update_time > oldest))
            return {f"{CONTROL}{server_name}@{hostname}" for server_name, hostname in found}


def utcnow() -> datetime.datetime:
    """The time as Galaxy writes it into its tables."""
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)


def is_running(pid: int) -> bool:
    """Whether there is a process with this number, of whatever user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def newest(tables: Tables) -> Newest:
    """The newest queue and the newest message of now."""
    from sqlalchemy import func

    session, queue, message = tables
    found = Newest(
        session.query(func.max(queue.id)).scalar() or 0,
        session.query(func.max(message.id)).scalar() or 0,
    )
    session.commit()
    return found


def is_answer(payload: str) -> bool:
    """Whether a message is Galaxy's answer to another one, for which Galaxy waits some seconds.

    Celery may have queues with names of the same kind in the same tables, and what it sends there may wait for longer.
    """
    sent = json.loads(payload)
    try:
        body = json.loads(
            base64.b64decode(sent["body"]) if sent["properties"]["body_encoding"] == "base64" else sent["body"]
        )
    except (KeyError, ValueError):
        return False
    return isinstance(body, dict) and list(body) == ["result"]
