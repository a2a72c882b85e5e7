# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a new web process works."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from control_helpers import ACCOUNT, HEALTH, worker, write


def ready(control: Any, etc: Path, **health: Any) -> None:
    """Wait for slot 2 as its unit does."""
    write(etc, "web", health={**HEALTH, **health}, **ACCOUNT)
    web = control.control_for("galaxy", "web")
    web.processes()["2"].directory.mkdir(parents=True, exist_ok=True)
    web.processes()["2"].record()
    web.wait_until_ready("2", 0)


def test_ready_when_the_health_path_answers(control: Any, etc: Path, serve: Any) -> None:
    server = serve(200)
    ready(control, etc, host="galaxy.example.org", path="/health?full=1")
    assert server.requests == [("/health?full=1", "galaxy.example.org")]


def test_ready_when_an_error_gives_way_to_an_answer(control: Any, etc: Path, serve: Any) -> None:
    server = serve(503, 500, 204)
    ready(control, etc, status=[200, 204])
    assert len(server.requests) == 3


def test_ready_when_the_socket_appears_late(control: Any, etc: Path, serve: Any) -> None:
    threading.Timer(0.5, serve, [200]).start()
    ready(control, etc, timeout=10)


def test_not_ready_before_every_worker_has_the_application(control: Any, etc: Path, run: Path, serve: Any) -> None:
    """One that is cheap is not there. How many were started again by then is where later ones are counted from."""
    late = [worker(1), worker(2, applications=0, respawns=1), worker(3, applications=0, status="cheap")]
    serve(200, workers=[late, late, [worker(1), worker(2, respawns=1), worker(3, applications=0, status="cheap")]])
    ready(control, etc, timeout=10)
    process = control.control_for("galaxy", "web").processes()["2"]
    assert process.started["restarts"] == 1
    assert control.probe.workload(process.directory / "stats.sock", 0).endswith("; 1 workers started again")
    assert "again" not in control.probe.workload(process.directory / "stats.sock", 1)


@pytest.mark.parametrize("respawns", [1, 3])
def test_not_ready_when_a_worker_cannot_load_the_application(
    control: Any, etc: Path, serve: Any, respawns: int
) -> None:
    serve(200, workers=[[worker(1), worker(2, applications=0, respawns=respawns)]])
    with pytest.raises(control.ControlError, match=r"worker 2 of 2 has not loaded the application.*uwsgi_processes: 1"):
        ready(control, etc, timeout=2 if respawns < 3 else 60)


def test_not_ready_when_the_answer_is_wrong(control: Any, etc: Path, run: Path, serve: Any) -> None:
    serve(500)
    with pytest.raises(control.ControlError) as failed:
        ready(control, etc, status=[200, 404], timeout=1)
    assert (
        str(failed.value)
        == f"GET /api/version on {run}/galaxy/web-2/http.sock: status 500 after 1 s instead of 200 or 404"
    )


def test_not_ready_when_nobody_answers(control: Any, etc: Path) -> None:
    with pytest.raises(control.ControlError, match="No such file or directory after 1 s instead of 200"):
        ready(control, etc, timeout=1)


def test_not_ready_when_the_answer_takes_too_long(control: Any, etc: Path, serve: Any) -> None:
    serve(200, seconds=10)
    began = time.monotonic()
    with pytest.raises(control.ControlError, match="timed out after 1 s"):
        ready(control, etc, timeout=1)
    assert time.monotonic() - began < 5


def test_not_ready_when_what_answers_is_no_http_server(control: Any, etc: Path, run: Path) -> None:
    (run / "galaxy" / "web-2").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(run / "galaxy" / "web-2" / "http.sock"))
        listener.listen()

        def babble() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                # Who asked may have given up by now.
                with connection, contextlib.suppress(OSError):
                    connection.sendall(b"SSH-2.0-babble\r\n")

        threading.Thread(target=babble, daemon=True).start()
        with pytest.raises(control.ControlError, match="after 1 s instead of 200"):
            ready(control, etc, timeout=1)


@pytest.mark.parametrize("kind", ["web", "handlers"])
def test_not_ready_as_soon_as_the_process_has_ended(
    command: Any, etc: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    write(etc, kind, health={**HEALTH, "timeout": 60}, handlers={"2": {}}, start_timeout=60, **ACCOUNT)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    monkeypatch.setenv("MAINPID", str(process.pid))
    began = time.monotonic()
    result = command(kind, "ready", "2")
    assert result.returncode == 1
    assert "the process ended before it" in result.stderr
    assert time.monotonic() - began < 30


def test_ready_fails_as_a_command_with_its_reason_in_the_log(command: Any, etc: Path) -> None:
    write(etc, "web", health={**HEALTH, "timeout": 1}, **ACCOUNT)
    result = command("web", "ready", "2")
    assert (result.returncode, result.stdout) == (1, "")
    assert "GET /api/version on " in result.stderr
    assert "Traceback" not in result.stderr
