# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who inherits the jobs of a handler that is removed; that they run is tested with a real Galaxy."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from control.database import Database, changes
from control.errors import ControlError
from control.jobs import Jobs, described, heirs, taken_up

DATABASE = Path(__file__).resolve().parents[3] / "templates" / "control" / "database.py"
BOTH: dict[str, list[str]] = {"a": [], "b": []}


def job(number: int, state: str, started: bool = False, runner: str = "local") -> dict[str, Any]:
    """A job as the database has it."""
    return {"id": number, "state": state, "tool": "sort1", "runner": runner, "started": started}


def given(jobs: list[dict[str, Any]], new: dict[str, list[str]], gone: bool = True) -> list[tuple[int, str, str]]:
    """What becomes of jobs, in short."""
    return [(change["id"], change["heir"], change["new_state"]) for change in changes(jobs, new, gone)]


def test_waiting_jobs_are_dealt_out() -> None:
    waiting = [job(1, "new"), job(2, "new"), job(3, "paused"), job(4, "resubmitted")]
    assert given(waiting, BOTH) == [(1, "a", "new"), (2, "b", "new"), (3, "a", "paused"), (4, "b", "resubmitted")]


def test_what_was_not_started_yet_waits_again() -> None:
    assert given([job(1, "queued"), job(2, "running")], BOTH) == [(1, "a", "new"), (2, "b", "new")]


def test_what_was_started_goes_on_with_one_handler() -> None:
    assert given([job(1, "running", True), job(2, "queued", True), job(3, "running", True)], BOTH) == [
        (1, "a", "running"), (2, "a", "queued"), (3, "a", "running"),
    ]


def test_what_was_started_goes_to_a_handler_with_its_runner() -> None:
    limited = {"a": ["slurm"], "b": ["local", "condor"], "c": []}
    assert given([job(1, "running", True, "local"), job(2, "running", True, "pbs")], limited) == [(1, "b", "running"), (2, "c", "running")]
    # Better with one that cannot run it, and says so, than with nobody.
    assert given([job(1, "running", True, "pbs")], {"a": ["slurm"]}) == [(1, "a", "running")]


def test_while_a_handler_runs_it_keeps_what_it_has_dispatched() -> None:
    assert given([job(1, "new"), job(2, "queued"), job(3, "running", True)], BOTH, gone=False) == [(1, "a", "new")]


@pytest.mark.parametrize(
    ("state", "started", "expected"),
    [("running", True, True), ("queued", True, True), ("running", False, False), ("new", False, False), ("deleting", True, False)],
)
def test_only_what_was_started_has_to_be_taken_up(state: str, started: bool, expected: bool) -> None:
    assert taken_up(job(1, state, started)) is expected


def test_heirs_serve_the_same_tags() -> None:
    others = {"a": {"tags": ["x"]}, "b": {"tags": ["y", "z"]}, "c": {"tags": [], "plugins": ["slurm"]}}
    assert heirs({"tags": ["z", "x"]}, others) == {"a": [], "b": []}
    assert heirs({"tags": []}, others) == {"c": ["slurm"]}


def test_without_a_handler_of_the_same_tags_all_are_heirs() -> None:
    others = {"a": {"tags": ["x"]}, "b": {"tags": ["y"]}}
    assert list(heirs({"tags": ["gone"]}, others)) == ["a", "b"]
    assert list(heirs({}, others)) == ["a", "b"]


def test_workflows_are_inherited_by_schedulers_and_jobs_by_others() -> None:
    others: dict[str, dict[str, Any]] = {"a": {"tags": []}, "w": {"workflow_scheduler": True}}
    assert list(heirs({"tags": []}, others)) == ["a"]
    assert list(heirs({"workflow_scheduler": True}, others)) == ["w"]
    assert list(heirs({"workflow_scheduler": True}, {"a": {"tags": []}})) == ["a"]
    assert list(heirs({"tags": []}, {"w": {"workflow_scheduler": True}})) == []


def test_a_renamed_handler_is_the_heir_of_its_previous_id() -> None:
    others = {"a": {"tags": []}, "b": {"tags": ["x"], "plugins": ["slurm"], "previous_ids": ["main"]}}
    assert heirs({"id": "main", "tags": []}, others) == {"b": ["slurm"]}
    assert heirs({"id": "c", "tags": []}, others) == {"a": []}


def test_many_jobs_are_named_in_short() -> None:
    assert described([job(7, "running")]) == "job 7 (running, sort1)"
    assert described([job(number, "new") for number in range(13)]).endswith("job 9 (new, sort1) and 3 more")


def test_an_application_without_galaxy_has_no_jobs(tmp_path: Path) -> None:
    """The program runs by itself, with whatever Python it is given."""
    request = json.dumps({"action": "unfinished", "config_file": str(tmp_path / "tiny.ini"), "handler": "a"})
    process = subprocess.run([sys.executable, "-B", str(DATABASE)], input=request, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout.strip(), process.stderr) == (0, "[]", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="it becomes Galaxy's user")
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo a warning; echo '[]'", []),
        ("exit 137", "ended with 137 and said nothing"),
        ("echo no idea", "instead of an answer there is 'no idea"),
        ("echo 'KeyError: 1' >&2; exit 1", "jobs: KeyError: 1"),
    ],
)
def test_a_python_that_does_not_answer_is_told(tmp_path: Path, script: str, expected: Any) -> None:
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    (tmp_path / "env").write_text("")
    account = pwd.getpwuid(os.geteuid())
    group = grp.getgrgid(account.pw_gid).gr_name
    config = {"user": account.pw_name, "group": group, "environment_file": str(tmp_path / "env"), "virtualenv": str(tmp_path)}
    jobs = Jobs({**config, "config_file": "galaxy.ini", "chdir": str(tmp_path)})
    if isinstance(expected, list):
        assert jobs.unfinished("a") == expected
    else:
        with pytest.raises(ControlError, match=expected):
            jobs.unfinished("a")


@pytest.mark.parametrize(
    ("gone", "left"), [(True, ["b@here", "a@elsewhere"]), (False, ["a@here", "b@here", "a@elsewhere"])]
)
def test_a_handler_that_is_gone_is_no_process_of_galaxy(
    monkeypatch: pytest.MonkeyPatch, gone: bool, left: list[str]
) -> None:
    """A handler that was killed leaves its row, and messages would be kept for the handler."""
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    with sqlalchemy.create_engine("sqlite://").begin() as connection:
        for table in (
            "job (id INT, state TEXT, tool_id TEXT, job_runner_name TEXT, job_runner_external_id TEXT, handler TEXT)",
            "workflow_invocation (id INT, state TEXT, handler TEXT)",
            "worker_process (server_name TEXT, hostname TEXT)",
        ):
            connection.execute(sqlalchemy.text(f"CREATE TABLE {table}"))
        processes = "('a', 'here'), ('b', 'here'), ('a', 'elsewhere')"
        connection.execute(sqlalchemy.text(f"INSERT INTO worker_process VALUES {processes}"))
        Database.move(Database.__new__(Database), connection, "a", {"b": []}, gone)
        rows = connection.execute(sqlalchemy.text("SELECT server_name, hostname FROM worker_process")).fetchall()
    assert [f"{name}@{host}" for name, host in rows] == left


def test_a_broken_request_is_told(tmp_path: Path) -> None:
    process = subprocess.run([sys.executable, "-B", str(DATABASE)], input="{}", capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout, process.stderr.strip()) == (1, "", "KeyError: 'config_file'")
