# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the commands are called, what they print, and how they fail."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest
from control_helpers import HEALTH, write


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("", "Expecting value"),
        ('{"watch": [', "Expecting value"),
        ("{}", "no key 'watch'"),
        ('{"watch": [], "health": {}, "manager": "upstart"}', "manager is 'upstart', not one of systemd, supervisor"),
        ("[]", "list"),
        ("\xff", "decode"),
    ],
)
def test_a_broken_configuration_is_named(command: Any, etc: Path, content: Any, reason: str) -> None:
    if content is not None:
        (etc / "galaxy" / "web.json").write_bytes(content.encode("latin-1"))
    result = command("web", "status")
    assert (result.returncode, result.stdout) == (2, "")
    assert f"cannot read {etc}/galaxy/web.json" in result.stderr
    assert reason in result.stderr
    assert "run the playbook that wrote it again" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("status", "expected"), [("200", [200]), (204, [204]), (["200", 302], [200, 302]), ("200,302", [200, 302])]
)
def test_numbers_may_be_written_as_text(control: Any, etc: Path, status: Any, expected: list[int]) -> None:
    """As ``--extra-vars uwsgi_start_timeout=900`` has them."""
    write(etc, "web", stop_timeout="30", health={**HEALTH, "timeout": "900", "status": status})
    config = control.control_for("galaxy", "web").config
    assert (config.stop_timeout, config.health.timeout, config.health.status) == (30, 900, expected)
    write(etc, "handlers", start_timeout="60", stop_timeout="9e1", drain_timeout="0")
    config = control.control_for("galaxy", "handlers").config
    assert (config.start_timeout, config.stop_timeout, config.drain_timeout) == (60, 90, 0)


def test_a_user_who_is_gone_is_named(command: Any, etc: Path) -> None:
    write(etc, "web", user="no-such-user", group="nogroup")
    result = command("web", "become", "1")
    assert (result.returncode, result.stderr) == (
        2,
        "this host has no user no-such-user: make it again, or run the playbook with another one\n",
    )
    write(etc, "web", user="root", group="no-such-group")
    assert "this host has no group no-such-group: " in command("web", "become", "1").stderr


@pytest.mark.parametrize(
    ("kind", "people", "manager"),
    [
        ("web", "status restart check socket-group apply remove", "become ready failed boot log record-socket"),
        ("handlers", "status restart apply remove", "become ready failed"),
    ],
)
def test_help_tells_what_people_call_from_what_the_service_manager_calls(
    command: Any, kind: str, people: str, manager: str
) -> None:
    result = command(kind, "--help")
    assert result.returncode == 0
    head, _title, rest = result.stdout.partition("\ncommands:\n")
    ours, _title, theirs = rest.partition("\nThe service manager calls these, and people do not:\n")
    assert f"sudo galaxy-{kind} status" in head
    assert re.findall(r"(?m)^    ([a-z-]+)(?: |$)", ours) == people.split()
    assert re.findall(r"(?m)^    ([a-z-]+) ", theirs) == manager.split()


def test_who_is_not_root_is_told_to_be(control: Any, monkeypatch: Any, capsys: Any) -> None:
    def refuse(*_arguments: Any) -> int:
        raise PermissionError(13, "Permission denied", "/run/galaxy/lock")

    program = control.main
    monkeypatch.setattr(program, "run_with", refuse)
    for uid, hint in ((1000, "; run galaxy-web as root: sudo galaxy-web ..."), (0, "")):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        assert program.main("galaxy", "web", ["status"]) == 1
        assert capsys.readouterr().err == f"/run/galaxy/lock: Permission denied{hint}\n"


@pytest.mark.parametrize("arguments", [[], ["reload"], ["ready"], ["become"], ["apply", "--now"]])
def test_wrong_usage_is_told(command: Any, etc: Path, arguments: list[str]) -> None:
    write(etc, "web")
    result = command("web", *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("usage: galaxy-web")


@pytest.mark.parametrize("verb", ["become", "ready"])
def test_a_process_that_is_not_configured_is_named(command: Any, etc: Path, verb: str) -> None:
    write(etc, "handlers", handlers={"handler0": {}, "handler1": {}}, start_timeout=1)
    result = command("handlers", verb, "handler7")
    assert result.returncode == 2
    assert result.stderr == "galaxy-handlers knows no handler7, only handler0, handler1\n"


def test_what_cannot_be_written_is_told_without_a_traceback(command: Any, etc: Path, run: Path) -> None:
    write(etc, "web")
    (run / "galaxy").write_text("in the way of the directory")
    result = command("web", "restart")
    assert (result.returncode, result.stdout) == (1, "")
    assert f"{run}/galaxy" in result.stderr
    assert "Traceback" not in result.stderr


def test_what_cannot_be_read_is_told_without_a_traceback(command: Any, etc: Path, run: Path) -> None:
    unreadable = run / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(unreadable))
        write(etc, "web", user="nobody", group="nogroup", environment_file=str(unreadable))
        result = command("web", "become", "1")
    assert result.returncode == 1
    assert str(unreadable) in result.stderr
    assert "Traceback" not in result.stderr


def test_its_help_tells_the_exit_codes(command: Any) -> None:
    result = command("web", "--help")
    assert result.returncode == 0
    assert "0  done\n    1  a process did not start" in result.stdout


def with_closed_output(library: Path, places: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command with an output that nobody reads any more."""
    environment = {**os.environ, **places}
    reader, writer = os.pipe()
    os.close(reader)
    program = [sys.executable, "-m", "galaxyops.control", "galaxy", *arguments]
    try:
        return subprocess.run(
            program, cwd=library, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writer)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("handlers", "--help"), 0), (("handlers", "status", "--help"), 0), (("web", "nonsense"), 2)],
)
def test_reader_who_has_gone_gets_no_traceback(
    library: Path, places: dict[str, str], arguments: tuple[str, ...], code: int
) -> None:
    result = with_closed_output(library, places, *arguments)
    assert result.returncode == code
    assert "Error" not in result.stderr and "Exception" not in result.stderr


def test_status_keeps_its_exit_code_without_a_reader(
    etc: Path, library: Path, places: dict[str, str], command: Callable[..., Any]
) -> None:
    write(etc, "handlers", handlers={f"handler{number}": {} for number in range(3)})
    with_reader = command("handlers", "status")
    result = with_closed_output(library, places, "handlers", "status")
    assert (result.returncode, result.stderr) == (with_reader.returncode, with_reader.stderr)


def test_what_is_under_way_goes_on_without_a_reader(library: Path, tmp_path: Path) -> None:
    done = tmp_path / "done"
    program = f"from galaxyops.control.errors import say\nfor _ in range(3): say('x' * 100_000)\nopen({str(done)!r}, 'w').close()"
    for stdout in ("pipe", "/dev/full"):
        done.unlink(missing_ok=True)
        reader, writer = (
            os.pipe() if stdout == "pipe" else (os.open(os.devnull, os.O_RDONLY), os.open(stdout, os.O_WRONLY))
        )
        os.close(reader)
        result = subprocess.run(
            [sys.executable, "-c", program], cwd=library, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
        os.close(writer)
        assert (result.returncode, result.stderr, done.exists()) == (0, "", True)
