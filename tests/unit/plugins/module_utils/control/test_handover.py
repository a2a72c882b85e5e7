# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How one slot takes the place of the other; with a real application it is tested on real hosts."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from control_helpers import ACCOUNT, StartsTheSecondTime, use, worker, write


@pytest.mark.parametrize("lost", [True, False])
def test_a_slot_starts_once_more_where_its_pool_was_killed_meanwhile(
    control: Any, etc: Path, run: Path, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """Nothing is wrong with the change; without a pool to get the socket from no version starts."""
    write(etc, "web", **ACCOUNT)
    manager = StartsTheSecondTime(control.ControlError)
    use(control, monkeypatch, manager, "PoolListener")
    web = control.Web.read("galaxy")
    pool = run / "galaxy" / "pool-1"
    (pool / "private").mkdir(parents=True)
    idle = web.slots()[1]
    idle.directory.mkdir()
    (idle.directory / "pool").symlink_to(pool)
    monkeypatch.setattr(web.listener, "open", lambda: None)
    with socket.socket(socket.AF_UNIX) as listening:
        if not lost:
            listening.bind(str(pool / "private" / "zerg.sock"))
            listening.listen()
        with contextlib.nullcontext() if lost else pytest.raises(control.ControlError, match="it does not start"):
            control.start_idle(web, idle)
    assert manager.calls == ["start 2"] * (2 if lost else 1)


@pytest.mark.parametrize("applications", [0, 1, None])
def test_a_start_is_cut_short_by_force_only_while_there_can_be_no_requests(
    control: Any, etc: Path, serve: Any, monkeypatch: pytest.MonkeyPatch, applications: int | None
) -> None:
    write(etc, "web", stop_timeout=60, **ACCOUNT)
    manager = StartsTheSecondTime(control.ControlError)
    use(control, monkeypatch, manager)
    web = control.Web.read("galaxy")
    slot = web.slots()[1]
    slot.directory.mkdir(parents=True, exist_ok=True)
    if applications is not None:
        serve(200, workers=[[worker(1, applications=0), worker(2, applications=applications)]])
    with subprocess.Popen(["sleep", "60"]) as child:
        (slot.directory / "pid").write_text(json.dumps({"pid": child.pid, "born": control.start_time(child.pid)}))
        web.cut_short(slot)
        if applications:
            assert child.poll() is None
            child.kill()
        assert child.wait(timeout=10) == -9
    assert manager.calls == ["stop 2"]


def test_too_little_memory_is_told_with_its_remedy(control: Any) -> None:
    gib = 1024**3
    assert control.memory_problem(gib, gib, 25) == ""
    text = control.memory_problem(2 * gib, gib, 25)
    for words in (
        "about 2048 MiB",
        "1024 MiB are available",
        "uwsgi_processes",
        "set uwsgi_handover to in_place",
        "about 25 s",
    ):
        assert words in text
    assert control.available_memory() > 0
