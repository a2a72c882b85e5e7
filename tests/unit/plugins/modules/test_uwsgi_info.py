# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the module uwsgi_info, which ask a real uWSGI."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import RemoteDisconnected
from pathlib import Path
from typing import Any, Callable

import pytest
from waiting import until

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._control.probe import UnixConnection, workload

Run = Callable[..., dict[str, Any]]

APPLICATION = """\
import time
from pathlib import Path

def application(environ, start_response):
    if environ["PATH_INFO"] == "/broken":
        raise ValueError("broken")
    while environ["PATH_INFO"] == "/held" and Path(__file__).with_name("held").exists():
        time.sleep(0.05)
    start_response("200 OK", [])
    return [b"done"]
"""


def get(path: Path, what: str) -> int:
    """GET a path at a unix socket, and return the status."""
    connection = UnixConnection(path, timeout=120)
    connection.request("GET", what, headers={"Cookie": "session=hunter2", "X-API-Key": "hunter2"})
    return connection.getresponse().status


@pytest.fixture(scope="module")
def run_dir() -> Iterator[Path]:
    """A directory like /run, in which a uWSGI serves as slot 2 of an instance, and slot 1 has just gone."""
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        slot, gone = top / "galaxy" / "web-2", top / "galaxy" / "web-1"
        slot.mkdir(parents=True)
        gone.mkdir()
        (top / "app.py").write_text(APPLICATION)
        for listener in ("stats.sock", "http.sock"):
            (gone / listener).touch()
        command = [str(Path(sys.executable).with_name("uwsgi")), "--master", "--processes", "2", "--threads", "2", "--die-on-term", "--lazy-apps"]
        command += ["--need-app", "--http-socket", str(slot / "http.sock"), "--stats", str(slot / "stats.sock"), "--wsgi-file", str(top / "app.py")]
        command += ["--socket", "127.0.0.1:0"]
        with (top / "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while True:
            try:
                assert get(slot / "http.sock", "/") == 200
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, (top / "log").read_text()
                time.sleep(0.1)
        yield top
        server.terminate()
        server.wait(20)


def test_counts_what_a_real_uwsgi_did(run_module: Run, run_dir: Path) -> None:
    http = run_dir / "galaxy" / "web-2" / "http.sock"
    before = run_module("uwsgi_info", instance="galaxy", run_dir=str(run_dir))
    for _number in range(10):
        assert get(http, "/") == 200
    # Without a word from the application, uWSGI hangs up.
    with pytest.raises(RemoteDisconnected):
        get(http, "/broken")
    after = run_module("uwsgi_info", instance="galaxy", run_dir=str(run_dir))
    assert (after["requests"] - before["requests"], after["exceptions"] - before["exceptions"]) == (11, 1)
    assert {name: after[name] for name in ("changed", "workers", "busy", "idle", "threads", "busy_threads", "listen_queue")} == {
        "changed": False,
        "workers": 2,
        "busy": 0,
        "idle": 2,
        "threads": 4,
        "busy_threads": 0,
        "listen_queue": 0,
    }
    assert after["vsz"] > after["rss"] >= after["pss"] > 2**20
    (server,) = after["servers"]
    assert (server["slot"], server["address"]) == ("2", str(http.with_name("stats.sock")))
    assert server["version"].startswith("2.")
    assert [worker["id"] for worker in server["workers_info"]] == [1, 2]
    assert {entry["protocol"] for entry in server["sockets"]} == {"http", "uwsgi"}


def test_tells_what_is_under_way_without_its_secrets(run_module: Run, run_dir: Path) -> None:
    """Six requests for four threads: four are at work, two wait in the socket, which uWSGI itself would not tell."""
    http = run_dir / "galaxy" / "web-2" / "http.sock"
    stats = http.with_name("stats.sock")
    (run_dir / "held").touch()
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(get, http, "/held?key=hunter2") for _number in range(6)]
        try:
            until(lambda: workload(stats).endswith("; 2 requests wait"), 60)
            # Each has taken a second by now.
            time.sleep(1.1)
            result = run_module("uwsgi_info", address=str(stats))
            words = workload(stats)
        finally:
            (run_dir / "held").unlink()
        assert [answer.result() for answer in answers] == [200] * 6
    assert (result["busy"], result["idle"], result["busy_threads"], result["listen_queue"]) == (2, 0, 4, 2)
    (server,) = result["servers"]
    running = [request for worker in server["workers_info"] for request in worker["running"]]
    assert [(request["method"], request["path"]) for request in running] == [("GET", "/held")] * 4
    assert all(1 <= request["seconds"] <= 120 for request in running)
    assert "hunter2" not in str(result)
    assert server["slot"] is None
    assert words.startswith("2 workers: 2 busy, 0 idle; 4 of 4 threads busy; ")
    assert words.endswith("; 2 requests wait")


def test_nobody_answers(run_module: Run, run_dir: Path, tmp_path: Path) -> None:
    result = run_module("uwsgi_info", instance="wiki", run_dir=str(run_dir))
    assert result["failed"]
    assert result["msg"] == (
        f"no web process of wiki answers: there is no {run_dir}/wiki/web-*/stats.sock that this user can see. "
        "If they do not run, start them with wiki-web apply, correct instance, or look as root"
    )
    result = run_module("uwsgi_info", address=str(tmp_path / "stats.sock"))
    assert result["msg"] == f"{tmp_path}/stats.sock does not exist: is that uWSGI running, and with the option stats?"
    # Its http.sock, given by mistake.
    result = run_module("uwsgi_info", address=str(run_dir / "galaxy" / "web-2" / "http.sock"), timeout=1)
    assert "http.sock: what is there does not talk like uWSGI's stats server, but begins with 'done'" in result["msg"]


def test_wrong_options(run_module: Run) -> None:
    assert "one of the following is required: instance, address" in run_module("uwsgi_info")["msg"]
    assert "mutually exclusive" in run_module("uwsgi_info", instance="galaxy", address="/x")["msg"]
    assert run_module("uwsgi_info", instance="galaxy", timeout=0)["msg"] == "timeout is 0: write a number of seconds, at least 1"
