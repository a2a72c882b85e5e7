# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the application's user puts in the way of the commands that root runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

STRANGER = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")


@pytest.fixture(autouse=True)
def reachable(tmp_path: Path) -> None:
    """Let everybody enter the directories of the test."""
    if os.geteuid() == 0:
        for directory in (tmp_path, *tmp_path.parents):
            if directory.is_relative_to("/tmp") and directory != Path("/tmp"):
                directory.chmod(0o755)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A directory of the application's user."""
    directory = tmp_path / "theirs"
    directory.mkdir()
    if os.geteuid() == 0:
        os.chown(directory, STRANGER, STRANGER)
    return directory


def link(path: Path, target: Path | str) -> None:
    """A link of the application's user."""
    path.symlink_to(target)
    os.chown(path, STRANGER, STRANGER, follow_symlinks=False)


def kept(control: Any, tmp_path: Path, path: Path) -> Any:
    """The known-good copy of one file."""
    known_good = control.known_good.KnownGood(tmp_path / "state" / "galaxy" / "web", [{"path": str(path)}])
    known_good.save("1")
    known_good.adopt("1")
    return known_good


@as_root
@pytest.mark.parametrize("name", [".tiny.ini.restored~", ".tiny.ini.new"])
def test_files_are_put_back_through_no_planted_link(control: Any, tmp_path: Path, theirs: Path, name: str) -> None:
    precious, path = tmp_path / "precious", theirs / "tiny.ini"
    precious.write_text("precious")
    path.write_text("works")
    os.chown(path, STRANGER, STRANGER)
    known_good = kept(control, tmp_path, path)
    path.write_text("broken")
    link(theirs / name, precious)
    assert known_good.restore().files == [str(path)]
    assert (path.read_text(), path.stat().st_uid) == ("works", STRANGER)
    assert (precious.read_text(), precious.stat().st_uid) == ("precious", 0)


@as_root
@pytest.mark.parametrize("exists", [True, False])
def test_file_replaced_by_a_link_comes_back_as_a_file(control: Any, tmp_path: Path, theirs: Path, exists: bool) -> None:
    precious, path = tmp_path / "precious", theirs / "tiny.ini"
    if exists:
        precious.write_text("precious")
    path.write_text("works")
    known_good = kept(control, tmp_path, path)
    path.unlink()
    link(path, precious)
    assert known_good.restore().files == [str(path)]
    assert not path.is_symlink() and path.read_text() == "works"
    assert (precious.read_text() == "precious") if exists else not precious.exists()


@as_root
def test_secret_of_root_is_not_copied_through_a_link(control: Any, tmp_path: Path, theirs: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    link(theirs / "tiny.ini", secret)
    with pytest.raises(control.errors.ControlError, match=r"tiny.ini is a link of nobody .* Nothing has been replaced"):
        kept(control, tmp_path, theirs / "tiny.ini")


def test_device_in_place_of_the_configuration_is_refused_before_a_process_reads_it(
    control: Any, tmp_path: Path
) -> None:
    (tmp_path / "tiny.ini").symlink_to("/dev/zero")
    with pytest.raises(
        control.errors.ControlError, match=r"is a device, not a regular file.* Nothing has been replaced"
    ):
        kept(control, tmp_path, tmp_path / "tiny.ini")


@pytest.mark.parametrize("kind", ["pipe", "zero", "links", "large"])
def test_fingerprint_of_anything_ends(control: Any, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control.fingerprint, "MOST_FILES", 500)
    monkeypatch.setattr(control.fingerprint, "LIMIT", 1000)
    path = tmp_path / "watched"
    watch = [{"path": str(path)}]
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    elif kind == "large":
        path.write_bytes(b"x" * 1001)
    else:
        path.mkdir()
        for name in ("a", "b", "c"):
            (path / name).symlink_to(".")
        watch = [{"path": f"{path}/**"}]
    started = time.monotonic()
    first = control.fingerprint.fingerprint(watch)
    assert first == control.fingerprint.fingerprint(watch)
    assert time.monotonic() - started < 10
    if kind == "large":
        path.write_bytes(b"x" * 1002)
        assert control.fingerprint.fingerprint(watch) != first


ODD = [
    b"[]", b"5", b"null", b'"x"', b"{}", b"[" * 60_000, b"\xff\xfe", b"x" * 100_000, b'{"pid": "../../tmp/x", "born": ""}', b'{"pid": -1, "born": ""}',
    b'{"pid": true, "born": "1"}', b'{"pid": 1e308, "born": ""}', b'{"pid": [], "born": ""}', b'{"seconds": "x"}', b'{"seconds": NaN}', b'{"seconds": 1e999}',
    b'{"time": "x"}', b'{"time": 1e300}', b'{"pid": 99999999999999999999999, "born": ""}',
]  # fmt: skip


@pytest.mark.parametrize("content", ODD)
def test_odd_files_of_a_process_are_taken_for_none(control: Any, content: bytes) -> None:
    process = control.process.Process("galaxy/web-1", "galaxy-web@1", [])
    process.directory.mkdir(parents=True)
    for name in ("pid", "started", "fingerprint"):
        (process.directory / name).write_bytes(content)
    assert process.pid == 0
    assert process.start_seconds is None
    assert not process.current
    assert process.memory == 0
    process.terminate(0)
    process.record_started()
    assert process.start_seconds == 0


def test_pipes_in_place_of_the_files_of_a_process_keep_nobody_waiting(control: Any) -> None:
    process = control.process.Process("galaxy/web-1", "galaxy-web@1", [])
    process.directory.mkdir(parents=True)
    for name in ("pid", "started", "fingerprint"):
        os.mkfifo(process.directory / name)
    assert (process.pid, process.start_seconds, process.current) == (0, None, False)
    process.record()
    assert process.pid == os.getpid() and process.current


# The lock

HOLD = """
import fcntl, os, sys
os.setgid(65534); os.setuid(65534)
try:
    file = open(sys.argv[1])
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError as error:
    print(type(error).__name__, flush=True)
else:
    print("held", flush=True)
sys.stdin.read()
"""


@as_root
def test_lock_is_for_its_owner_alone(control: Any, tmp_path: Path) -> None:
    path = tmp_path / "run" / "galaxy" / "web.lock"
    with control.lock.locked(path, "galaxy-web apply", 1):
        pass
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as stranger:
        assert stranger.stdout and stranger.stdout.readline() == "PermissionError\n"
        stranger.communicate()


@as_root
def test_lock_of_an_earlier_release_that_somebody_holds_is_replaced(control: Any, tmp_path: Path) -> None:
    path = tmp_path / "run" / "galaxy" / "web.lock"
    path.parent.mkdir(parents=True)
    path.write_text("")
    path.chmod(0o644)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as stranger:
        assert stranger.stdout and stranger.stdout.readline() == "held\n"
        with control.lock.locked(path, "galaxy-web apply", 1):
            assert path.stat().st_mode & 0o777 == 0o600
        stranger.communicate()


def test_who_waits_is_told_for_whom_and_gives_up(
    control: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run" / "galaxy" / "web.lock"
    first, second = (
        control.lock.locked(path, "galaxy-web apply --restore", 1),
        control.lock.locked(path, "galaxy-web restart", 0.5),
    )
    with first, pytest.raises(control.errors.ControlError) as error:
        second.__enter__()
    holder = f"process {os.getpid()} (galaxy-web apply --restore)"
    assert f"{holder} has held {path}" in str(error.value) and "Nothing has been touched" in str(error.value)
    captured = capsys.readouterr()
    assert captured.out == "", "waiting is no change"
    assert captured.err.count(f"wait for {holder}") == 1


def test_lock_that_was_removed_meanwhile_is_taken_anew(control: Any, tmp_path: Path) -> None:
    path = tmp_path / "run" / "galaxy" / "web.lock"
    with control.lock.locked(path, "galaxy-web remove", 1):
        path.unlink()
        with (
            control.lock.locked(path, "galaxy-web apply", 1),
            control.lock.locked_if_free(path, "galaxy-web apply") as free,
        ):
            assert not free


@as_root
def test_directory_in_which_others_can_replace_the_lock_is_refused(control: Any, theirs: Path) -> None:
    with (
        pytest.raises(control.errors.UsageError, match="belongs to nobody"),
        control.lock.locked(theirs / "web.lock", "galaxy-web apply", 1),
    ):
        pass
