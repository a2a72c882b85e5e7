# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Job handlers: what they tell the web processes, and whose jobs they get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from control_helpers import write


def test_handlers_tell_the_web_processes_who_calls(
    control: Any, etc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = tmp_path / "galaxy-web"
    command.write_text(f'#!/bin/sh\necho "$1 ${control.BY_HANDLERS}"\n')
    command.chmod(0o755)
    write(etc, "handlers", web_command=str(command))
    control.Handlers.read("galaxy").tell_web()
    assert capsys.readouterr().out == "apply 1\n"


class Moves:
    """What stands for Galaxy's database: it notes who gets whose jobs."""

    made: list[tuple[str, ...]]

    def __init__(self, _config: Any) -> None:
        pass

    def move(self, handler: str, new: dict[str, list[str]], gone: bool) -> list[dict[str, Any]]:
        """Note a move of jobs."""
        assert gone
        self.made.append(("jobs", handler, *new))
        return [{"id": 7, "state": "new", "tool": "sort1", "heir": name} for name in new]

    def move_workflows(self, handlers: list[str], new: list[str]) -> int:
        """Note a move of workflows."""
        self.made.append(("workflows", *handlers, *new))
        return 1


@pytest.fixture
def renamed(control: Any, etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Handlers of which two had other ids before, and one id of a third that still has a process."""
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python3").touch()
    handlers = {
        "handler0": {"id": "handler0", "tags": [], "plugins": ["slurm"], "previous_ids": ["main", "runs0"]},
        "w": {"id": "w", "workflow_scheduler": True, "previous_ids": ["main.w"]},
        "b": {"id": "b", "tags": []},
    }
    write(etc, "handlers", handlers=handlers, virtualenv=str(tmp_path / "venv"))
    Moves.made = []
    monkeypatch.setattr(control.handlers, "Jobs", Moves)
    monkeypatch.setattr(
        control.systemd, "systemctl", lambda *_arguments, **_options: "galaxy-handler@runs0.service loaded active\n"
    )
    return control.control_for("galaxy", "handlers")


def test_a_handler_gets_the_jobs_of_its_previous_ids_as_it_starts(
    renamed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("handler0", "w", "b"):
        renamed.inherit(name, [renamed])
    assert Moves.made == [("jobs", "main", "handler0"), ("workflows", "main.w", "w")]
    assert capsys.readouterr().out == "handler0 takes over from main: job 7 (new, sort1)\n"


def test_removed_handlers_give_the_jobs_back_to_their_previous_ids(renamed: Any, tmp_path: Path) -> None:
    renamed.remove()
    assert Moves.made == [("jobs", "handler0", "main"), ("workflows", "w", "main.w")]
    Moves.made = []
    (tmp_path / "venv" / "bin" / "python3").unlink()
    renamed.remove()
    assert Moves.made == []
