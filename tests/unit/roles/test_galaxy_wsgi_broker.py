# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a web process of Galaxy removes from a broker that is a database: kombu itself, on SQLite."""

from __future__ import annotations

import datetime
import importlib.util
import os
import socket
import subprocess
import sys
import types
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Queue
from sqlalchemy import Column, DateTime, Integer, String, create_engine, delete, insert, select
from sqlalchemy.orm import declarative_base

SOURCE = Path(__file__).resolve().parents[3] / "roles" / "galaxy" / "files" / "galaxy_wsgi" / "broker.py"
Base: Any = declarative_base()
TASK = {"task": "reload_toolbox", "kwargs": {}}


class WorkerProcess(Base):
    """Galaxy's table of its processes, as far as it matters here."""

    __tablename__ = "worker_process"
    id = Column(Integer, primary_key=True)
    server_name = Column(String)
    hostname = Column(String)
    pid = Column(Integer)
    update_time = Column(DateTime)


def name(process: str) -> str:
    """The name of the queue of a process."""
    return f"control.{process}@host"


class Site:
    """A Galaxy with its database and its broker, of which I(main.1.1) is the process that removes messages."""

    def __init__(self, module: Any, path: Path) -> None:
        self.engine = create_engine(f"sqlite:///{path}/universe.sqlite")
        Base.metadata.create_all(self.engine)
        self.url = f"sqlalchemy+sqlite:///{path}/control.sqlite?isolation_level=IMMEDIATE"
        self.galaxy = types.SimpleNamespace(
            amqp_internal_connection_obj=Connection(self.url),
            model=types.SimpleNamespace(engine=self.engine),
            config=types.SimpleNamespace(server_name="main.1.1"),
        )
        self.broker = module.Broker(self.galaxy)
        # This one keeps what it knows of queues, as each process of Galaxy does.
        self.sender = Connection(self.url)
        self.live("main.1.1")

    def live(self, process: str, hours: float = 0, **more: Any) -> None:
        """Write the row of a process, as so many hours ago."""
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
        with self.engine.begin() as connection:
            values = {"server_name": process, "hostname": "host", "update_time": now - datetime.timedelta(hours=hours)}
            connection.execute(insert(WorkerProcess).values({**values, **more}))

    def age(self, process: str, hours: float) -> None:
        """Make the row of a process older."""
        self.stop(process)
        self.live(process, hours)

    def stop(self, process: str) -> None:
        """Remove the row of a process."""
        with self.engine.begin() as connection:
            connection.execute(delete(WorkerProcess).where(WorkerProcess.server_name == process))

    def send(self, *queues: str, body: Any = None) -> None:
        """Send a message to queues, which is the task unless there is another body."""
        with self.sender.Producer(serializer="json") as producer:
            for queue in queues:
                producer.publish(body or TASK, exchange="", routing_key=queue, declare=[Queue(queue, routing_key=queue)])

    def read(self, queue: str) -> list[Any]:
        """Read all messages of a queue, as its process does."""
        found = []
        with Connection(self.url) as connection, connection.channel() as channel:
            while message := Queue(queue)(channel).get():
                found.append(message.payload)
                message.ack()
        return found

    def rows(self) -> dict[str, list[int]]:
        """Of each queue how many messages wait, and how many were delivered."""
        with Connection(self.url) as connection:
            session = connection.default_channel.session
            queue, message = connection.default_channel.queue_cls, connection.default_channel.message_cls
            found = {row.name: [0, 0] for row in session.query(queue)}
            for row, owner in session.query(message, queue).join(queue, message.queue_id == queue.id):
                found[owner.name][not row.visible] += 1
            session.close()
        return found


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, where there is no Galaxy to import."""
    queues = types.ModuleType("galaxy.queues")
    queues.control_queues_from_config = lambda config: (Queue(name(config.server_name)),)  # type: ignore[attr-defined]
    model = types.ModuleType("galaxy.model")
    model.WorkerProcess = WorkerProcess  # type: ignore[attr-defined]
    for each in (types.ModuleType("galaxy"), queues, model):
        monkeypatch.setitem(sys.modules, each.__name__, each)
    specification = importlib.util.spec_from_file_location("galaxy_wsgi_broker", SOURCE)
    assert specification and specification.loader
    made = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(made)
    return made


@pytest.fixture
def site(module: Any, tmp_path: Path) -> Iterator[Site]:
    """A Galaxy whose broker is new."""
    made = Site(module, tmp_path)
    yield made
    made.sender.release()
    made.galaxy.amqp_internal_connection_obj.release()
    made.engine.dispose()


def test_delivered_messages_are_removed_and_waiting_ones_are_delivered(site: Site) -> None:
    """Whichever queue they are in: also those of job handlers, whose program is Galaxy's own."""
    site.live("handler0")
    for _time in range(3):
        site.send(name("main.1.1"), name("handler0"), "celery")
    assert len(site.read(name("main.1.1")) + site.read(name("handler0")) + site.read("celery")) == 9
    site.send(name("main.1.1"), name("handler0"), "celery")
    assert set(map(tuple, site.rows().values())) == {(1, 3)}
    site.broker.sweep()
    assert set(map(tuple, site.rows().values())) == {(1, 0)}
    site.broker.sweep()
    assert site.read(name("main.1.1")) == site.read(name("handler0")) == site.read("celery") == [TASK]


def test_many_messages_are_removed_a_few_at_a_time(site: Site, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    for _time in range(7):
        site.send(name("main.1.1"))
    site.read(name("main.1.1"))
    site.broker.sweep()
    assert site.rows() == {name("main.1.1"): [0, 0]}


def test_the_queue_of_a_process_that_is_gone_is_removed_when_its_messages_are_old(site: Site) -> None:
    site.send(name("main.2.1"))
    site.broker.sweep()
    # A process that starts right now reads what was sent since.
    site.send(name("main.2.1"))
    site.broker.sweep()
    assert site.rows() == {name("main.2.1"): [1, 0]}
    site.broker.sweep()
    assert site.rows() == {}


def test_a_queue_is_not_removed_before_its_process_can_have_a_row(site: Site) -> None:
    """A process that starts makes its queue, and writes its row a moment later."""
    site.broker.sweep()
    with site.sender.channel() as channel:
        Queue(name("main.2.1"))(channel).declare()
    site.broker.sweep()
    assert site.rows() == {name("main.2.1"): [0, 0]}


def test_a_process_of_the_same_name_gets_messages_after_its_queue_was_removed(site: Site) -> None:
    site.send(name("main.2.1"))
    for _sweep in range(2):
        site.broker.sweep()
    assert site.rows() == {}
    # The sender still believes that there is such a queue.
    site.live("main.2.1")
    site.send(name("main.2.1"))
    for _sweep in range(2):
        site.broker.sweep()
    assert site.read(name("main.2.1")) == [TASK]


@pytest.mark.parametrize(("hours", "kept"), [(0, True), (20, True), (25, False)])
def test_a_process_lives_as_long_as_its_row_is_not_old(site: Site, hours: float, kept: bool) -> None:
    """Its messages wait, however long it is busy, and also where the database was away for hours."""
    site.live("main.2.1", hours)
    site.send(name("main.2.1"))
    for _sweep in range(3):
        site.broker.sweep()
    assert site.read(name("main.2.1")) == ([TASK] if kept else [])


def test_the_row_of_a_process_of_this_host_that_was_killed_is_removed(site: Site) -> None:
    """And no other: one that lives is only late, and of another host nobody can tell."""
    killed = subprocess.Popen(["true"])
    killed.wait()
    here, old = socket.gethostname(), 0.1
    site.live("killed", old, hostname=here, pid=killed.pid)
    site.live("late", old, hostname=here, pid=os.getpid())
    site.live("just killed", 0.01, hostname=here, pid=killed.pid)
    site.live("elsewhere", old, hostname=f"not-{here}", pid=killed.pid)
    site.live("of an older Galaxy", old, hostname=here)
    for _sweep in range(2):
        site.broker.sweep()
    with site.engine.connect() as connection:
        left = set(connection.execute(select(WorkerProcess.server_name)).scalars())
    assert left == {"main.1.1", "late", "just killed", "elsewhere", "of an older Galaxy"}


def test_a_process_that_is_not_among_the_living_itself_removes_nothing_that_waits(site: Site) -> None:
    """Then the rows do not tell who lives."""
    site.age("main.1.1", 25)
    site.live("main.2.1", 25)
    site.send(name("main.2.1"))
    for _sweep in range(3):
        site.broker.sweep()
    assert site.rows() == {name("main.2.1"): [1, 0]}


def test_the_queues_of_answers_are_removed_and_those_of_others_are_not(site: Site) -> None:
    read, late, of_celery = (str(uuid.uuid4()) for _queue in range(3))
    site.send(read, late, body={"result": None})
    site.send(of_celery, body={"task_id": "1", "result": None})
    site.send("celery", "celery@host.celery.pidbox", body={"result": None})
    site.read(read)
    site.broker.sweep()
    assert site.rows()[late] == [1, 0]
    site.broker.sweep()
    assert site.rows() == {of_celery: [1, 0], "celery": [1, 0], "celery@host.celery.pidbox": [1, 0]}


def test_a_process_starts_with_an_empty_queue_and_without_delivered_messages(site: Site) -> None:
    site.send(name("main.1.1"), name("main.1.1"), name("main.1.2"), name("main.1.2"))
    site.read(name("main.1.2"))
    site.send(name("main.1.2"))
    site.broker.start_empty()
    assert site.rows() == {name("main.1.1"): [0, 0], name("main.1.2"): [1, 0]}


def test_no_queue_is_removed_while_it_has_messages(site: Site) -> None:
    """A message may come between the look at a queue and its removal."""
    site.send(name("main.2.1"))
    with site.broker._open() as tables:
        ids = [row.id for row in tables.session.query(tables.queue)]
        tables.remove_queues(ids)
        assert site.rows() == {name("main.2.1"): [1, 0]}
        site.read(name("main.2.1"))
        tables.remove_delivered()
        tables.remove_queues(ids)
    assert site.rows() == {}


def test_a_broker_that_is_no_database_is_left_alone(site: Site) -> None:
    site.galaxy.amqp_internal_connection_obj = Connection("memory://")
    site.broker.start_empty()
    site.broker.sweep()
    del site.galaxy.amqp_internal_connection_obj
    site.broker.sweep()
    site.galaxy.amqp_internal_connection_obj = Connection(site.url)
    assert site.broker.previous is None


def test_sweeping_goes_on_after_a_failure(site: Site, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is locked, or away, is there again later."""
    monkeypatch.setattr(module, "INTERVAL", 0)
    sweep, tries = site.broker.sweep, iter([OSError, None, SystemExit])

    def try_to_sweep() -> None:
        error = next(tries)
        if error:
            raise error
        sweep()

    site.broker.sweep = try_to_sweep
    site.send(name("main.1.1"))
    site.read(name("main.1.1"))
    with pytest.raises(SystemExit):
        site.broker._sweep_forever()
    assert site.rows() == {name("main.1.1"): [0, 0]}
