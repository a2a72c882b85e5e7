# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is rolled back, and by whom."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Callable

import pytest
from control_helpers import ACCOUNT, GALAXY, AllRuns, NothingStarts, use, works, write


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


APPLICATION = (
    "import os\ndef application(environ, start):\n    start('200 OK', [])\n    return [b'%s %%d' %% os.getpid()]\n"
)


def test_worker_that_was_started_with_what_is_put_back_is_started_again(
    control: Any, etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real uWSGI whose workers load the application themselves: one that is killed loads what is on disk."""
    write(etc, "web", **ACCOUNT)
    web = control.control_for("galaxy", "web")
    slot = web.slots()[0]
    slot.directory.mkdir(parents=True)
    application = tmp_path / "application.py"
    application.write_text(APPLICATION % "good")
    stats = slot.directory / "stats.sock"
    options = [
        "--master",
        "--lazy-apps",
        "--processes=2",
        "--http-socket=127.0.0.1:0",
        f"--wsgi-file={application}",
        f"--stats={stats}",
    ]
    log = tmp_path / "log"
    with (
        log.open("w") as stream,
        subprocess.Popen([Path(sys.executable).with_name("uwsgi"), *options], stdout=stream, stderr=stream) as master,
    ):

        def workers() -> list[int]:
            with contextlib.suppress(control.StatsError):
                return [worker.pid for worker in control.ask(str(stats)).workers if worker.applications]
            return []

        def until(right: Callable[[], bool]) -> None:
            deadline = time.monotonic() + 30
            while not right():
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)

        def said() -> set[str]:
            """Each answer tells its worker, and which of the two is asked is left to chance."""
            url = "http://" + re.findall(r"bound to TCP address (\S+)", log.read_text())[0]
            found: dict[str, str] = {}
            while len(found) < 2:
                with urllib.request.urlopen(url, timeout=30) as response:
                    version, pid = response.read().decode().split()
                    found[pid] = version
            return set(found.values())

        try:
            until(lambda: len(workers()) == 2)
            time.sleep(0.1)
            before = time.time()
            application.write_text(APPLICATION % "rejected")
            first, second = workers()
            os.kill(second, signal.SIGKILL)
            until(lambda: len(set(workers()) - {second}) == 2)
            assert said() == {"good", "rejected"}
            application.write_text(APPLICATION % "good")
            (slot.directory / "pid").write_text(json.dumps({"pid": master.pid, "born": control.start_time(master.pid)}))
            monkeypatch.setattr(web, "serving", lambda: slot)
            killed = set(workers()) - {first}
            web.renew_workers(before)
            until(lambda: len(workers()) == 2 and not killed & set(workers()))
            assert first in workers()
            assert said() == {"good"}
        finally:
            master.terminate()
            master.send_signal(signal.SIGINT)
