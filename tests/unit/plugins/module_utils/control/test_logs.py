# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of what copies the log to files; a rotation of a real journal under load is tested on real hosts."""

from __future__ import annotations

import json
import os
import pwd
import threading
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._control import logs
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._control.errors import ControlError
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._control.logs import (
    Copy,
    LogDirectory,
    LogFile,
    batches,
    line,
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for the directory that systemd makes for the service."""
    monkeypatch.setattr(logs, "STATE", tmp_path / "state")
    directory = tmp_path / "state/galaxy/log"
    directory.mkdir(parents=True)
    return directory


def entry(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "__CURSOR": f"c{number}",
        "__REALTIME_TIMESTAMP": str(1_700_000_000_000_000 + number),
        "SYSLOG_IDENTIFIER": "galaxy-web",
        "_SYSTEMD_UNIT": "galaxy-web@1.service",
        "_PID": "42",
        "MESSAGE": f"line {number}",
        **fields,
    }


def written(*entries: dict[str, Any]) -> list[bytes]:
    return [json.dumps(one).encode() for one in entries]


def test_a_line_tells_when_and_who() -> None:
    text = line(entry(5))
    assert text.endswith("galaxy-web@1[42]: line 5\n")
    assert text[:4] == "2023"
    assert ".000005" in text
    assert line(entry(1, MESSAGE=[104, 255, 105])).endswith(": h\ufffdi\n")
    assert line(entry(1, MESSAGE=None)).endswith(": \n")


def test_no_line_is_lost_while_files_are_moved_away(tmp_path: Path) -> None:
    """As logrotate does it, at any moment and telling nobody."""
    file = LogFile(tmp_path / "x.log")
    done = threading.Event()
    moved = []

    def rotate() -> None:
        while not done.is_set():
            if file.path.exists():
                moved.append(tmp_path / f"x.log.{len(moved)}")
                file.path.rename(moved[-1])

    rotating = threading.Thread(target=rotate)
    rotating.start()
    for number in range(20_000):
        file.write(f"{number}\n")
    done.set()
    rotating.join()
    assert len(moved) > 10
    text = "".join(path.read_text() for path in [*moved, *([file.path] if file.path.exists() else [])])
    assert sorted(map(int, text.split())) == list(range(20_000))


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    first = Copy("galaxy", tmp_path)
    assert "--boot" in first.command()
    first.write(
        written(
            entry(1),
            entry(2, SYSLOG_IDENTIFIER="galaxy-handler", _SYSTEMD_UNIT="galaxy-handler@handler0.service"),
            entry(3),
        )
    )
    second = Copy("galaxy", tmp_path)
    assert "--cursor=c3" in second.command()
    # The journal begins with the one that was written last.
    second.write(written(entry(3), entry(4)))
    assert [text.rpartition(" ")[2] for text in (tmp_path / "galaxy-web.log").read_text().splitlines()] == [
        "1",
        "3",
        "4",
    ]
    assert "galaxy-handler@handler0[42]: line 2" in (tmp_path / "galaxy-handler.log").read_text()
    assert Copy("galaxy", tmp_path).cursor == "c4"


def test_no_link_is_followed_and_nothing_but_a_file_is_written(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("")
    (tmp_path / "link.log").symlink_to(secret)
    os.mkfifo(tmp_path / "fifo.log")
    (tmp_path / "directory.log").mkdir()
    for name in ("link", "fifo", "directory"):
        with pytest.raises(ControlError, match=f"{name}.log.*away"):
            LogFile(tmp_path / f"{name}.log").write("x\n")
    assert secret.read_text() == ""


def test_a_link_that_takes_the_place_of_a_log_is_not_followed(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "x.log")
    file.write("one\n")
    file.path.rename(tmp_path / "x.log.1")
    file.path.symlink_to("x.log.1")
    with pytest.raises(ControlError):
        file.write("two\n")
    assert (tmp_path / "x.log.1").read_text() == "one\n"


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def log_user(monkeypatch: pytest.MonkeyPatch) -> pwd.struct_passwd:
    """A user who stands for the one that the role makes, in a group of that user's own."""
    monkeypatch.setattr(logs, "USER", "games")
    return pwd.getpwnam("games")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory of logs as an older version has left it: the application's."""
    path = tmp_path / "logs"
    path.mkdir()
    for name, text in (
        ("galaxy-web.log", "one\n"),
        ("galaxy-web.log.1", "zero\n"),
        (".galaxy.cursor", "s=1a;i=2;t=3\n"),
        ("other.log", ""),
    ):
        (path / name).write_text(text)
    for entry in (path, *path.iterdir()):
        os.chown(entry, 65534, 65534)
    for parent in (tmp_path, *list(tmp_path.parents)[:-2]):
        parent.chmod(0o755)
    return path


@needs_root
def test_logs_of_an_older_version_go_to_the_user_who_copies(
    directory: Path, log_user: pwd.struct_passwd, state: Path
) -> None:
    logs_of_galaxy = LogDirectory("galaxy", directory, "games")
    assert not logs_of_galaxy.is_ready()
    logs_of_galaxy.make_ready()
    assert logs_of_galaxy.is_ready()
    owners = {path.name: path.stat().st_uid for path in (directory, *directory.iterdir())}
    assert owners == {
        "logs": log_user.pw_uid,
        "galaxy-web.log": log_user.pw_uid,
        "galaxy-web.log.1": log_user.pw_uid,
        "other.log": 65534,
    }
    assert (directory / "galaxy-web.log").read_text() == "one\n"
    # It goes on where it was: nothing is written twice, and nothing left out.
    assert Copy("galaxy", directory).cursor == "s=1a;i=2;t=3"
    assert (state / "cursor").stat().st_uid == log_user.pw_uid
    logs_of_galaxy.make_ready()


@needs_root
@pytest.mark.parametrize("trick", ["link", "second name", "fifo", "somebody else's"])
def test_root_gives_away_nothing_but_logs(
    directory: Path, log_user: pwd.struct_passwd, tmp_path: Path, trick: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of root")
    log = directory / "galaxy-handler.log"
    if trick == "link":
        log.symlink_to(secret)
    elif trick == "second name":
        os.link(secret, log)
    elif trick == "fifo":
        os.mkfifo(log)
    else:
        log.write_text("x")
        os.chown(log, 1, 1)
    with pytest.raises(ControlError, match=f"{log} is not a log"):
        LogDirectory("galaxy", directory, "games").make_ready()
    assert secret.stat().st_uid == 0
    assert log.lstat().st_uid != log_user.pw_uid


@needs_root
def test_a_directory_that_cannot_be_reached_is_named(
    directory: Path, log_user: pwd.struct_passwd, tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(ControlError, match=f"games cannot reach {directory}.*games.*uwsgi_log_dir"):
        LogDirectory("galaxy", directory, "games").make_ready()


def test_lines_come_whole() -> None:
    reader, writer = os.pipe()
    found = batches(reader)
    os.write(writer, b"one\ntw")
    assert next(found) == [b"one"]
    os.write(writer, b"o\nthree\n")
    assert next(found) == [b"two", b"three"]
    os.close(writer)
    assert list(found) == []
    os.close(reader)
