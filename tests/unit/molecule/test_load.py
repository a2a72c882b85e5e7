# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load that tests put on sites sees what goes wrong there: a server that does it on purpose is asked."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from load import Load, Rates, Report, Request, version_in


class Server(ThreadingHTTPServer):
    """A server whose next answers can be spoiled, or held back."""

    request_queue_size = 100
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.spoil = ""
        self.version = "1"
        self.posted: list[str] = []
        self.go = threading.Event()
        self.go.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """What the server does with one connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.go.wait()
        if self.path == "/slow":
            time.sleep(0.3)
        if self.server.spoil == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        body = json.dumps({"version": self.server.version}).encode()
        self.send_response(503 if self.server.spoil == "status" else 200)
        self.send_header("Content-Length", str(len(body) + (10 if self.server.spoil == "body" else 0)))
        self.end_headers()
        self.wfile.write(body)
        if self.server.spoil in ("body", "close"):
            # Not announced, as by a server that stops.
            self.close_connection = True

    def do_POST(self) -> None:
        self.server.posted.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that answers."""
    running = Server()
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.go.set()
    running.shutdown()
    running.server_close()


def test_what_is_well_is_reported_so(server: Server) -> None:
    report = Load(server.url, Rates(get=50, post=10, slow=2, slow_path="/slow", slow_seconds=0.3)).start().stop(settle=1)
    assert report.failures == []
    assert report.rate("get") == pytest.approx(50, rel=0.1)
    assert report.rate("post") == pytest.approx(10, rel=0.2)
    # Two at any time: in a second each of them is asked for three or four times.
    assert 3 <= sum(request.kind == "slow" for request in report.requests) <= 8
    assert list(report.versions) == ["1"]
    assert "0 failed of" in str(report)


@pytest.mark.parametrize(
    ("spoil", "failure"),
    [("status", "status 503"), ("reset", "reset without an answer"), ("body", "closed in the middle of the body")],
)
def test_every_failure_counts(server: Server, spoil: str, failure: str) -> None:
    load = Load(server.url, Rates(get=20, post=20, slow=0)).start()
    time.sleep(0.5)
    server.spoil = spoil
    report = load.stop(settle=0.5)
    assert {request.failure for request in report.requests} == {"", failure}
    assert len(report.failures) >= 15
    assert failure in str(report)


def test_a_server_that_is_gone(server: Server) -> None:
    server.shutdown()
    server.server_close()
    report = Load(server.url, Rates(get=20, post=0, slow=0)).start().stop(settle=0.5)
    assert len(report.failures) == len(report.requests) >= 9


def test_a_stall_is_latency_and_not_fewer_requests(server: Server) -> None:
    load = Load(server.url, Rates(get=50, post=0, slow=0)).start()
    time.sleep(0.5)
    with load.window():
        server.go.clear()
        time.sleep(1)
        server.go.set()
    report = load.stop(settle=0.5)
    assert report.failures == []
    # However long all that took on a busy machine
    assert report.rate("get") == pytest.approx(50, rel=0.15)
    assert sum(request.latency > 0.5 for request in report.requests) >= 20
    assert report.worst_before < report.worst_within
    assert 0.5 < report.added <= report.worst_within


def test_no_answer_at_all_is_a_failure(server: Server) -> None:
    load = Load(server.url, Rates(get=20, post=0, slow=0, timeout=0.4)).start()
    server.go.clear()
    report = load.stop(settle=0.3)
    assert set(report.failures)
    assert {request.failure for request in report.requests if request.failure} == {"no answer in 0.4 s"}


def test_a_kept_connection_that_was_just_closed_is_no_failure(server: Server) -> None:
    server.spoil = "close"
    report = Load(server.url, Rates(get=40, post=0, slow=0)).start().stop(settle=0.5)
    assert report.failures == []


def test_versions_come_with_their_times(server: Server) -> None:
    load = Load(server.url, Rates(get=50, post=0, slow=0)).start()
    time.sleep(0.5)
    server.version = "2"
    report = load.stop(settle=0.5)
    assert list(report.versions) == ["1", "2"]
    assert 0.4 < report.versions["1"][1] <= report.versions["2"][0] + 0.1


def test_the_report_is_kept(tmp_path: Path) -> None:
    requests = [Request("get", 0.0, 0.1, 200, "1"), Request("slow", 0.5, 2.2, 200, "1"), Request("post", 1.0, 0.3, 502, "", "status 502")]
    report = Report(requests, 2.0, [(0.9, 1.2)], Rates(slow_seconds=2))
    report.write(tmp_path / "load" / "report.json")
    kept = json.loads((tmp_path / "load" / "report.json").read_text())
    assert (kept["requests"], kept["failed"], kept["failures"]) == (3, 1, {"status 502": 1})
    assert kept["milliseconds"]["worst_before"] == 100
    assert kept["milliseconds"]["worst_within"] == 300
    assert kept["milliseconds"]["added"] == 200
    assert kept["rows"][2] == ["post", 1.0, 0.3, 502, "", "status 502"]


@pytest.mark.parametrize(
    ("body", "version"),
    [(b'{"version": "2"}', "2"), (b'{"version_major": "26.1", "version_minor": "2"}', "26.1.2"), (b"<html>", ""), (b"[]", ""), (b"{}", "")],
)
def test_the_version_in_an_answer(body: bytes, version: str) -> None:
    assert version_in(body) == version


def test_every_post_has_a_name_of_its_own(server: Server) -> None:
    """By it what the application has worked on is compared with what was answered."""
    report = Load(server.url, Rates(get=0, post=20, slow=0, post_path="/upload?name={name}")).start().stop(settle=0.5)
    assert sorted(server.posted) == sorted(f"/upload?name={request.name}" for request in report.requests)
    assert len(set(server.posted)) == len(server.posted) >= 9


def test_a_load_follows_a_site_to_another_address(server: Server) -> None:
    load = Load(server.url.replace(str(server.server_port), "1"), Rates(get=20, post=0, slow=0)).start()
    time.sleep(0.5)
    load.follow(server.url)
    report = load.stop(settle=0.5)
    assert 5 <= len(report.failures) <= 15 < len(report.requests)


def test_a_slow_request_that_fails_at_once_is_not_made_again_at_once(server: Server) -> None:
    server.spoil = "status"
    report = Load(server.url, Rates(get=0, post=0, slow=1, slow_path="/", slow_seconds=0.3)).start().stop(settle=0.5)
    assert 2 <= len(report.requests) <= 4
