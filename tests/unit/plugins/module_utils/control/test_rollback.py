# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is rolled back, and by whom."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from control_helpers import GALAXY, AllRuns, NothingStarts, use, works, write


@pytest.mark.parametrize("by_handlers", [False, True])
def test_handlers_go_back_too_once_the_lock_is_free(
    control: Any, etc: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_handlers: bool
) -> None:
    """They ask the web processes for a proof, which waits for the lock: it would wait for ever for who waits for them.

    And where their own command has called, and waits for this one, they must not be asked to.
    """
    if by_handlers:
        monkeypatch.setenv(control.BY_HANDLERS, "1")
    found, command = tmp_path / "found", tmp_path / "galaxy-handlers"
    command.write_text(
        f'#!/bin/sh\nflock --nonblock {run}/galaxy/web.lock echo "$1, lock free" > {found} || echo "lock held" > {found}\n'
    )
    command.chmod(0o755)
    (tmp_path / "galaxy.ini").write_text("works")
    accounts = {"user": pwd.getpwuid(os.getuid()).pw_name, "socket_group": grp.getgrgid(os.getgid()).gr_name}
    write(
        etc,
        "web",
        watch=[{"path": str(tmp_path / "galaxy.ini")}],
        handlers_command=str(command),
        handover="overlap",
        **accounts,
    )
    use(control, monkeypatch, NothingStarts(control.ControlError))
    web = control.Web.read("galaxy")
    works(web.known_good, web.version)
    (tmp_path / "galaxy.ini").write_text("broken")
    options = control.parser_for("galaxy", "web").parse_args(["apply", "--restore"])
    with pytest.raises(control.ControlError, match="as they were when they last worked"):
        control.main.run(web, options)
    assert (found.read_text() if found.exists() else "") == ("" if by_handlers else "apply, lock free\n")


@pytest.mark.parametrize("restore", [True, False])
def test_what_the_web_processes_reject_is_taken_from_the_handlers_too(
    control: Any, etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restore: bool
) -> None:
    """Otherwise the rejected option would stay in the file, and be what everything starts from after the next boot."""
    config, command = tmp_path / "galaxy.ini", tmp_path / "galaxy-web"
    command.write_text('#!/bin/sh\necho "galaxy-web@candidate.service did not start" >&2\nexit 1\n')
    command.chmod(0o755)
    config.write_text("[uwsgi]\nthreads = 4\n[app:main]\nfile_path = good\n")
    watch = [{"path": str(config), "without_section": "uwsgi"}]
    write(etc, "handlers", handlers={"a": {}}, watch=watch, web_command=str(command), **GALAXY)
    use(control, monkeypatch, AllRuns(control.ControlError))
    handlers = control.Handlers.read("galaxy")
    works(handlers.known_good, handlers.version)
    config.write_text("[uwsgi]\nthreads = 5\n[app:main]\nfile_path = bad\n")
    with pytest.raises(control.ControlError) as failed:
        handlers.apply(check=False, restore=restore)
    assert "No handler has been touched." in str(failed.value)
    assert ("as they were when they last worked" in str(failed.value)) == restore
    assert config.read_text() == f"[uwsgi]\nthreads = 5\n[app:main]\nfile_path = {'good' if restore else 'bad'}\n"
