# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What processes are called with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from control_helpers import GALAXY, write


def test_dynamic_handlers_are_told_their_pools(control: Any, etc: Path) -> None:
    write(etc, "handlers", **GALAXY, handlers={"a": {"pools": ["job-handlers", "job-handlers.x"]}, "b": {}})
    handlers = control.control_for("galaxy", "handlers")
    program = ["/venv/bin/galaxy-main", "-c", "/galaxy.ini"]
    assert handlers.argv("a") == [
        *program,
        "--server-name=a",
        "--attach-to-pool=job-handlers",
        "--attach-to-pool=job-handlers.x",
    ]
    assert handlers.argv("b") == [*program, "--server-name=b"]


def test_handlers_of_a_checkout_have_its_program(control: Any, etc: Path, tmp_path: Path) -> None:
    venv, server = tmp_path / "venv", tmp_path / "server"
    write(etc, "handlers", **{**GALAXY, "virtualenv": str(venv), "chdir": str(server)}, handlers={"a": {}})
    handlers = control.control_for("galaxy", "handlers")
    expected = [f"{venv}/bin/galaxy-main"]
    for path, program in (
        (server / "scripts" / "galaxy-main", [f"{venv}/bin/python", f"{server}/scripts/galaxy-main"]),
        (server / "lib" / "galaxy" / "main.py", [f"{venv}/bin/python", "-m", "galaxy.main"]),
        (venv / "bin" / "galaxy-main", [f"{venv}/bin/galaxy-main"]),
    ):
        assert handlers.program == expected
        assert handlers.python_path == ([f"{server}/lib"] if len(expected) > 1 else [])
        path.parent.mkdir(parents=True)
        path.touch()
        expected = program
    assert handlers.program == expected


def test_mules_run_in_the_slots_and_not_in_a_candidate(control: Any, etc: Path) -> None:
    write(etc, "web", argv=["uwsgi", "--ini-paste", "galaxy.ini"])
    without = control.control_for("galaxy", "web")
    mules = ["--mule=lib/galaxy/main.py", "--farm=job-handlers:1"]
    write(etc, "web", argv=["uwsgi", "--ini-paste", "galaxy.ini"], slot_argv=mules)
    web = control.control_for("galaxy", "web")
    assert web.argv("1")[-2:] == mules
    assert "mule" not in " ".join(web.argv("candidate"))
    assert control.fingerprint.fingerprint(web.watch) != control.fingerprint.fingerprint(without.watch)


def test_candidate_is_one_worker_whatever_the_options_say(control: Any, etc: Path) -> None:
    """uWSGI refuses to start fewer workers than it is to keep."""
    write(etc, "web", argv=["uwsgi", "--ini-paste", "galaxy.ini"])
    web = control.control_for("galaxy", "web")
    assert web.argv("candidate")[-2:] == ["--processes=1", "--cheaper=0"]
    assert "--cheaper=0" not in web.argv("1")


@pytest.mark.parametrize(
    ("manager", "web", "handlers"),
    [
        (
            "systemd",
            ["galaxy-web@1.service", "galaxy-web@2.service", "galaxy-web@candidate.service"],
            ["galaxy-handler@big.0.service"],
        ),
        ("supervisor", ["galaxy-web-1", "galaxy-web-2", "galaxy-web-candidate"], ["galaxy-handler-big.0"]),
    ],
)
def test_processes_are_called_as_their_service_manager_does(
    control: Any, etc: Path, manager: str, web: list[str], handlers: list[str]
) -> None:
    for kind, names in (("web", web), ("handlers", handlers)):
        write(etc, kind, manager=manager, handlers={"big.0": {}})
        assert [process.service for process in control.control_for("galaxy", kind).processes().values()] == names
