# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""files_restore, run as Ansible runs it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., dict[str, Any]]
STRANGER = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Where the copies are."""
    return tmp_path / "backup"


def kept(backup: Path, path: Path, content: bytes, mode: int = 0o640) -> Path:
    """Keep a copy of a file."""
    copy = backup / path.relative_to("/")
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(content)
    copy.chmod(mode)
    return copy


def test_what_differs_comes_back_and_nothing_else_is_touched(run_module: Run, backup: Path, tmp_path: Path) -> None:
    names = ("changed", "gone", "mode", "same", "link")
    changed, gone, mode, same, link = (tmp_path / name for name in names)
    for path in (changed, gone, mode, same):
        kept(backup, path, b"old \xff\r\n")
    (backup / link.relative_to("/")).symlink_to("same")
    changed.write_bytes(b"new")
    for path in (mode, same):
        path.write_bytes(b"old \xff\r\n")
    mode.chmod(0o600)
    same.chmod(0o640)
    link.symlink_to("changed")
    before = (same.stat().st_ino, same.stat().st_ctime_ns)
    arguments = {"backup": str(backup), "files": [str(tmp_path / name) for name in names]}
    differing = [str(path) for path in (changed, gone, mode, link)]
    foretold = run_module("files_restore", check=True, **arguments)
    assert (foretold["changed"], foretold["restored"]) == (True, differing)
    assert changed.read_bytes() == b"new"
    result = run_module("files_restore", **arguments)
    assert (result["changed"], result["restored"]) == (True, differing)
    assert {path.read_bytes() for path in (changed, gone, mode, same)} == {b"old \xff\r\n"}
    assert {path.stat().st_mode & 0o777 for path in (changed, gone, mode, same)} == {0o640}
    assert changed.stat().st_mtime_ns == (backup / changed.relative_to("/")).stat().st_mtime_ns
    assert os.readlink(link) == "same"
    assert (same.stat().st_ino, same.stat().st_ctime_ns) == before
    assert run_module("files_restore", **arguments)["changed"] is False


def test_a_file_without_a_copy_is_named_and_nothing_is_changed(run_module: Run, backup: Path, tmp_path: Path) -> None:
    here, nowhere = tmp_path / "here", tmp_path / "nowhere"
    kept(backup, here, b"old")
    result = run_module("files_restore", backup=str(backup), files=[str(here), str(nowhere)])
    assert result["failed"]
    assert f"{nowhere} has no copy" in result["msg"]
    assert not here.exists()


@as_root
@pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
def test_what_a_user_has_put_in_the_way_harms_nobody(run_module: Run, backup: Path, tmp_path: Path, kind: str) -> None:
    """The directory of a configuration may belong to the application's user."""
    theirs, secret = tmp_path / "theirs", tmp_path / "secret"
    theirs.mkdir()
    os.chown(theirs, STRANGER, STRANGER)
    secret.write_text("of root")
    secret.chmod(0o600)
    path = theirs / "galaxy.ini"
    os.chown(kept(backup, path, b"old"), STRANGER, STRANGER)
    if kind == "link":
        path.symlink_to(secret)
        os.lchown(path, STRANGER, STRANGER)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        # What the file lies in leads elsewhere.
        theirs.rmdir()
        theirs.symlink_to(tmp_path / "of-root")
        os.lchown(theirs, STRANGER, STRANGER)
        (tmp_path / "of-root").mkdir()
    result = run_module("files_restore", backup=str(backup), files=[str(path)])
    assert (secret.read_text(), secret.stat().st_uid) == ("of root", 0)
    if kind == "directory":
        assert "the link is not followed" in result["msg"]
        assert not any((tmp_path / "of-root").iterdir())
    else:
        assert result["changed"]
        assert not path.is_symlink()
        assert path.read_bytes() == b"old"
