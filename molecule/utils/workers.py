"""The web processes of a Galaxy under test, as Galaxy itself and the kernel see them, and many requests at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from slots import serving

# Prints the rows of a table as JSON lists, from whichever database the configuration names.
ROWS = """
import json, sys
sys.path.insert(0, "/srv/galaxy/server/lib")
from sqlalchemy import create_engine, text
begin = sys.argv[1] + " = "
url = next(line[len(begin):].strip() for line in open("/srv/galaxy/config/galaxy.ini") if line.startswith(begin))
with create_engine(url.removeprefix("sqlalchemy+")).connect() as connection:
    print(json.dumps([list(row) for row in connection.execute(text(sys.argv[2]))]))
"""


def rows(host: Any, query: str, option: str = "database_connection") -> list[list[Any]]:
    """What a query finds in a database of Galaxy, which an option of its configuration names."""
    output = host.check_output("runuser -u galaxy -- /srv/galaxy/venv/bin/python -c %s %s %s", ROWS, option, query)
    found: list[list[Any]] = json.loads(output)
    return found


def registered(host: Any) -> dict[str, int]:
    """The web processes by the names that Galaxy has for them, with the numbers of the processes."""
    return dict(rows(host, "SELECT server_name, pid FROM worker_process WHERE app_type = 'webapp'"))


def pids(host: Any, slot: str) -> dict[str, int]:
    """The numbers of the web processes of a slot: by the ids of the workers, and C(asgi)."""
    stats = json.loads(host.check_output("python3 -c %s %s", STATS, f"/run/galaxy/web-{slot}/stats.sock"))
    found = {str(worker["id"]): worker["pid"] for worker in stats["workers"]}
    # Those of other slots, and of another host's name, have sessions of their own.
    asgi = host.run("pgrep --exact --session %s galaxy-asgi", str(stats["pid"])).stdout.split()
    return {**found, **({"asgi": int(asgi[0])} if asgi else {})}


def expected(host: Any) -> dict[str, int]:
    """The names that the living web processes ought to have, with their numbers."""
    slot = serving(host, "galaxy")
    machine = host.check_output("hostname")
    return {f"main.galaxy.{machine}.{slot}.{name}": pid for name, pid in pids(host, slot).items()}


def wait_for_names(host: Any) -> None:
    """See that each living web process is registered by its name, and no other is.

    A process that is killed, as on a slow machine where it is not given the time to end, is taken off the list in some minutes.
    """
    deadline = time.monotonic() + 300
    while registered(host) != expected(host) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert registered(host) == expected(host)


def messages(host: Any) -> dict[str, int]:
    """The queues in the broker, with the number of messages that it keeps for each: to be read, and delivered."""
    query = (
        "SELECT q.name, count(m.id) FROM kombu_queue q LEFT JOIN kombu_message m ON m.queue_id = q.id GROUP BY q.name"
    )
    return dict(rows(host, query, "amqp_internal_connection"))


def wait_for_a_swept_broker(host: Any) -> None:
    """See that the broker has the queues of the living processes, handlers among them, no others, and no message."""
    deadline = time.monotonic() + 300
    while True:
        living = rows(host, "SELECT server_name, hostname FROM worker_process")
        wanted = {f"control.{server_name}@{hostname}": 0 for server_name, hostname in living}
        found = messages(host)
        if found == wanted or time.monotonic() > deadline:
            break
        time.sleep(2)
    assert found == wanted


def ask(host: Any, path: str, request: str) -> str:
    """The answer to an HTTP request on a private unix socket."""
    return str(host.check_output("python3 -c %s %s %s", STATS, path, f"GET {request} HTTP/1.0\r\n\r\n"))


STATS = """
import socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(sys.argv[1])
    if sys.argv[2:]:
        connection.sendall(sys.argv[2].encode())
    while data := connection.recv(65536):
        sys.stdout.write(data.decode())
"""


def answers(url: str, key: str, times: int = 200, at_a_time: int = 12) -> list[requests.Response]:
    """GET an address so often, by several clients at a time: sequential requests may all get to one worker."""

    def get(_number: int) -> requests.Response:
        return requests.get(url, headers={"x-api-key": key}, timeout=60)

    with ThreadPoolExecutor(at_a_time) as clients:
        return list(clients.map(get, range(times)))


def until_all(url: str, key: str, right: Callable[[requests.Response], bool], seconds: float = 30) -> None:
    """Wait until every answer is right, at most I(seconds), and see that 200 of 200 are."""
    deadline = time.monotonic() + seconds
    while not all(map(right, answers(url, key, times=24))) and time.monotonic() < deadline:
        time.sleep(0.2)
    wrong = [(response.status_code, response.text[:200]) for response in answers(url, key) if not right(response)]
    assert not wrong, f"{len(wrong)} of 200: {wrong[:3]}"
