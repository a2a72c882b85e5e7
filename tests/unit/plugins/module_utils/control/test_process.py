# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes, as the kernel sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from control_helpers import write

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans.environment import environment_file


def test_a_process_is_known_by_its_number_and_birth(control: Any, etc: Path) -> None:
    write(etc, "web")
    process = control.control_for("galaxy", "web").slots()[0]
    process.directory.mkdir(parents=True)
    assert process.pid == 0
    process.record()
    assert process.pid == os.getpid()
    record = json.loads((process.directory / "pid").read_text())
    (process.directory / "pid").write_text(json.dumps({**record, "born": "1"}))
    assert process.pid == 0, "another process has got the number"
    assert process.start_seconds is None


def test_process_is_not_taken_for_older_than_it_is(control: Any) -> None:
    """The kernel counts in hundredths of a second: a worker that starts right after a change has started after it."""
    for _attempt in range(10):
        before = time.time()
        with subprocess.Popen(["sleep", "60"]) as process:
            born = control.kernel.born(process.pid)
            after = time.time()
            process.kill()
        assert before < born < after + 0.02


def test_a_process_without_a_service_manager_ends(control: Any, etc: Path) -> None:
    """As one that a killed supervisor has left: at first politely, after the given time by force, its children too."""
    write(etc, "web")
    process = control.control_for("galaxy", "web").slots()[0]
    process.directory.mkdir(parents=True)
    stubborn = "import signal, subprocess, time; signal.signal(15, signal.SIG_IGN); subprocess.Popen(['sleep', '60']); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        family = control.descendants(child.pid)
        assert len(family) == 2
        assert control.memory([child.pid]) > 1_000_000
        (process.directory / "pid").write_text(json.dumps({"pid": child.pid, "born": control.start_time(child.pid)}))
        process.terminate(0.3)
        assert child.wait() == -9
    deadline = time.monotonic() + 10
    while any(control.start_time(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [control.start_time(pid) for pid in family] == ["", ""]


def test_root_ends_no_process_of_another_user(control: Any, etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number stands in a directory of the application's user, who could have written any."""
    write(etc, "web")
    process = control.control_for("galaxy", "web").slots()[0]
    process.directory.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as child:
        (process.directory / "pid").write_text(json.dumps({"pid": child.pid, "born": control.start_time(child.pid)}))
        assert control.owner(child.pid) == os.getuid()
        monkeypatch.setattr(control.process, "owner", lambda _pid: os.getuid() + 1)
        process.terminate(0.1)
        assert control.start_time(child.pid)
        child.kill()


def test_nothing_is_written_through_a_link(control: Any, etc: Path, tmp_path: Path) -> None:
    """Nor what root writes into a directory of the application's user."""
    write(etc, "web")
    process = control.control_for("galaxy", "web").slots()[0]
    process.directory.mkdir(parents=True)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    for name in ("fingerprint", "pid", "started"):
        (process.directory / name).symlink_to(precious)
    process.record()
    process.record_started()
    assert precious.read_text() == "precious"
    assert process.current
    assert process.start_seconds is not None
    assert sorted(path.name for path in process.directory.iterdir()) == ["fingerprint", "pid", "started"]


def test_an_environment_file_is_read_as_systemd_reads_it(control: Any) -> None:
    values = {"A": 'pa$$ "x" %n', "B": "back\\slash`", "C": ""}
    text = environment_file(values)
    assert control.read_environment(text) == values
