# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of what is made of the words of a stats server; those of tests/unit/plugins/modules/test_uwsgi_info.py ask a real uWSGI."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._uwsgi_stats import Socket, StatsError, ask, parse, read, sizes, waiting


def core(**values: Any) -> dict[str, Any]:
    return {"in_request": 0, "vars": [], "req_info": {}, **values}


def worker(**values: Any) -> dict[str, Any]:
    numbers = {"requests": 0, "exceptions": 0, "respawn_count": 1, "harakiri_count": 0, "avg_rt": 0}
    defaults = {"id": 1, "pid": 0, "status": "idle", "accepting": 1, "apps": [], **numbers}
    return {**defaults, "cores": [core(), core()], **values}


def said(*workers: dict[str, Any], sockets: Any = ()) -> str:
    return json.dumps({"version": "2.0.30", "pid": 7, "sockets": list(sockets), "workers": list(workers)})


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory whose name is short enough for unix sockets."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_workers_and_threads_are_counted() -> None:
    at_work = core(in_request=1, vars=["REQUEST_METHOD=GET", "PATH_INFO=/a"], req_info={"request_start": 100})
    stats = parse(
        said(
            worker(requests=3, exceptions=1, respawn_count=3, avg_rt=1500, status="busy", cores=[at_work, core()]),
            worker(requests=4),
            worker(status="cheap", requests=5),
        ),
        now=130.9,
    )
    totals = stats.totals()
    assert {name: totals[name] for name in ("workers", "busy", "idle", "threads", "busy_threads", "requests", "exceptions")} == {
        "workers": 3,
        "busy": 1,
        "idle": 1,
        "threads": 4,
        "busy_threads": 1,
        "requests": 12,
        "exceptions": 1,
    }
    first = stats.workers[0]
    assert (first.respawns, first.average_milliseconds) == (2, 1.5)
    (request,) = first.running
    assert (request.method, request.path, request.seconds) == ("GET", "/a", 30)


def test_secrets_of_requests_end_here() -> None:
    variables = ["REQUEST_METHOD=GET", "REQUEST_URI=/a?key=hunter2", "QUERY_STRING=key=hunter2", "PATH_INFO=/a", "HTTP_COOKIE=galaxysession=hunter2", ""]
    stats = parse(said(worker(cores=[core(in_request=1, vars=variables)])))
    assert stats.totals()["busy_threads"] == 1
    assert "hunter2" not in str(stats.as_dict())


def test_headers_that_are_no_json_are_no_obstacle() -> None:
    text = said(worker(cores=[core(in_request=1, vars=["PATH_INFO=/TAB"])])).replace("TAB", "\t\x01")
    assert parse(text).workers[0].running[0].path == "/\t\x01"


def test_queue_of_a_tcp_socket_is_uwsgis_own() -> None:
    stats = parse(said(sockets=[{"name": "127.0.0.1:4001", "proto": "uwsgi", "queue": 3}]))
    assert stats.sockets == [Socket("127.0.0.1:4001", "uwsgi", 3)]
    assert stats.totals()["listen_queue"] == 3


def test_queue_of_a_unix_socket_is_the_kernels(directory: Path) -> None:
    """uWSGI says 0 of them, whatever waits."""
    path = str(directory / "a socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(10)
        clients = [socket.socket(socket.AF_UNIX) for _number in range(3)]
        for client in clients:
            client.connect(path)
        accepted, _address = listener.accept()
        table = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace")
        for client in (*clients, accepted):
            client.close()
    assert waiting(path, table) == 2
    stats = parse(said(sockets=[{"name": path, "proto": "uwsgi", "queue": 0}]), table)
    assert stats.totals()["listen_queue"] == 2
    assert waiting(path + "x", table) == 0


def test_sizes_of_a_process(tmp_path: Path) -> None:
    own = sizes(os.getpid())
    assert own["vsz"] and own["rss"] and own["pss"]
    assert own["vsz"] > own["rss"] >= own["pss"] > 2**20
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "statm").write_text("100 10 5 1 0 9 0")
    page = os.sysconf("SC_PAGE_SIZE")
    assert sizes(5, str(tmp_path)) == {"vsz": 100 * page, "rss": 10 * page, "pss": None}
    assert sizes(6, str(tmp_path)) == {"vsz": None, "rss": None, "pss": None}


def test_a_size_that_is_not_known_makes_no_sum(tmp_path: Path) -> None:
    assert parse(said(worker(pid=5), worker(pid=6)), proc=str(tmp_path)).totals()["pss"] is None


@pytest.mark.parametrize("text", ["", "HTTP/1.1 400 Bad Request", "{}", '{"version": "2", "pid": 1, "sockets": [], "workers": [{}]}', "[1]"])
def test_what_is_no_stats_server_is_told(text: str) -> None:
    with pytest.raises(StatsError, match="does not talk like uWSGI's stats server"):
        parse(text)


@pytest.mark.parametrize("address", ["9191", "localhost", "127.0.0.1:http", ":", ":0", ":65536", "fd://3", "stats.sock", "http://127.0.0.1:9191"])
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(StatsError, match="write the path of its socket, HOST:PORT, :PORT or @NAME"):
        read(address, 1)


@pytest.mark.parametrize(
    ("bound", "address"),
    [
        ("0.0.0.0", ":{}"),
        ("127.0.0.1", ":{}"),
        ("127.0.0.1", "*:{}"),
        ("0.0.0.0", "0.0.0.0:{}"),
        ("127.0.0.1", "localhost:{}"),
        ("::1", "[::1]:{}"),
        ("::1", ":{}"),
        ("::", "[::]:{}"),
        ("\0galaxyops-test-{}\0", "@galaxyops-test-{}"),
        ("\0galaxyops-test-{}", "@galaxyops-test-{}"),
    ],
)
def test_addresses_that_uwsgi_takes_are_taken(bound: str, address: str) -> None:
    with contextlib.ExitStack() as stack:
        number = os.getpid()
        if bound.startswith("\0"):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(bound.format(number))
            listener.listen()
        else:
            try:
                family = socket.AF_INET6 if ":" in bound else socket.AF_INET
                listener = stack.enter_context(socket.create_server((bound, 0), family=family))
            except OSError as error:
                pytest.skip(f"no {bound} here: {error}")
            number = listener.getsockname()[1]

        def serve() -> None:
            connection, _address = listener.accept()
            with connection:
                connection.sendall(said(worker(requests=7)).encode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert ask(address.format(number), timeout=5).totals()["requests"] == 7
        thread.join()


def test_nobody_there(directory: Path) -> None:
    path = directory / "stats.sock"
    with pytest.raises(StatsError, match="does not exist: is that uWSGI running, and with the option stats"):
        ask(str(path))
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    with pytest.raises(StatsError, match="nobody listens"):
        ask(str(path))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(StatsError, match=f"nobody listens at 127.0.0.1:{port}"):
        ask(f"127.0.0.1:{port}")


def test_one_that_waits_for_a_request(directory: Path) -> None:
    """As with C(stats-http), for exporters that can ask in HTTP only."""
    path = str(directory / "stats.sock")

    def serve(listener: socket.socket) -> None:
        connection, _address = listener.accept()
        with connection:
            assert connection.recv(100).startswith(b"GET / ")
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + said(worker(requests=7)).encode())

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        assert ask(path, timeout=2).totals()["requests"] == 7
        thread.join()


def test_one_that_says_nothing(directory: Path) -> None:
    path = str(directory / "stats.sock")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        with pytest.raises(StatsError, match=r"says nothing for 0\.2 s"):
            ask(path, timeout=0.2)
