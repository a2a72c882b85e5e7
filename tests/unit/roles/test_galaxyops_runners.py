# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the runner of durable jobs knows what became of a job, with real processes; with a real Galaxy molecule tests it."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "roles" / "job_handlers" / "files" / "galaxyops_runners.py"
# All that the module asks of Galaxy as it is loaded
GALAXY: dict[str, dict[str, Any]] = {
    "galaxy": {"model": SimpleNamespace()},
    "galaxy.jobs": {},
    "galaxy.jobs.runners": {"JobState": object},
    "galaxy.jobs.runners.local": {"LocalJobRunner": object},
}


@pytest.fixture
def trail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The trail of a job whose script each test writes."""
    for name, content in GALAXY.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("galaxyops_runners", SOURCE)
    assert spec and spec.loader
    runners = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runners)
    trail = runners.Trail(str(tmp_path), "7")
    yield trail
    trail.kill()


def start(trail: Any, script: str) -> Any:
    """Start a job."""
    trail.path("sh").write_text(f"#!/bin/sh\n{script}\n")
    trail.path("sh").chmod(0o755)
    return trail.start(dict(os.environ))


def wait_until(condition: Any) -> None:
    """Wait for what is bound to happen."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_job_leaves_its_output_and_its_exit_code(trail: Any) -> None:
    assert not trail.runs
    start(trail, f"echo out; echo err >&2; echo 3 > {trail.base}.ec").wait(10)
    assert not trail.runs
    assert trail.starts == 1
    assert [trail.path(suffix).read_text() for suffix in ("o", "e", "ended")] == ["out\n", "err\n", "3\n"]


def test_a_job_runs_until_it_has_ended_whoever_looks(trail: Any, tmp_path: Path) -> None:
    process = start(trail, f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done")
    another = type(trail)(str(tmp_path), "7")
    assert another.runs and another.held
    assert not another.has("ended")
    (tmp_path / "go").touch()
    process.wait(10)
    assert not another.runs
    assert another.has("ended")


def test_a_running_job_is_not_started_again(trail: Any) -> None:
    start(trail, "sleep 60")
    wait_until(lambda: trail.has("starts"))
    with pytest.raises(BlockingIOError):
        trail.start(dict(os.environ))
    assert trail.starts == 1


def test_a_job_that_was_cut_off_has_neither_ended_nor_runs(trail: Any) -> None:
    process = start(trail, "exec sleep 60")
    wait_until(lambda: trail.has("pid"))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    wait_until(lambda: not trail.held)
    assert not trail.runs
    assert not trail.has("ended")


def test_what_a_job_left_in_the_background_does_not_keep_it_running(trail: Any) -> None:
    start(trail, "sleep 60 &").wait(10)
    assert not trail.runs
    assert trail.held
    trail.kill()
    assert not trail.held


def test_a_job_that_does_not_listen_is_killed(trail: Any) -> None:
    start(trail, "trap '' TERM; touch ready; while true; do sleep 0.1; done")
    wait_until((trail.path("sh").parent / "ready").exists)
    trail.kill()
    assert not trail.held
