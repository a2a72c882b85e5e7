# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the module paste_section, which really run it."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any, Callable

import pytest

Run = Callable[..., dict[str, Any]]

TEXT = """\
# Galaxy
[uwsgi]
processes = 2
#threads = 4

# The application
[app:main]
brand = Galaxy \xe9
id_secret = hunter2
database_connection = postgresql://galaxy:hunter2@db/galaxy
"""
CONTENT = TEXT.encode("latin-1")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A galaxy.ini, not all of it UTF-8."""
    file = tmp_path / "galaxy.ini"
    file.write_bytes(CONTENT)
    return file


def leftovers(path: Path) -> list[str]:
    """What else is in the directory of the file."""
    return sorted(entry.name for entry in path.parent.iterdir() if entry != path)


def test_a_section_is_changed_and_nothing_else(run_module: Run, path: Path) -> None:
    arguments = {"path": str(path), "section": "uwsgi", "options": {"processes": 4, "master": True}}
    result = run_module("paste_section", **arguments)
    expected = CONTENT.replace(b"processes = 2", b"processes = 4\nmaster = true")
    assert result["changed"]
    assert path.read_bytes() == expected
    assert result["options"] == {"processes": "4", "master": "true"}
    assert (result["path"], result["section"]) == (str(path), "uwsgi")
    assert not run_module("paste_section", **arguments)["changed"]
    assert path.read_bytes() == expected
    assert leftovers(path) == []


def test_absent_undoes_present(run_module: Run, path: Path) -> None:
    arguments = {"path": str(path), "section": "filter:proxy-prefix", "before": "app:main"}
    assert run_module("paste_section", options={"prefix": "/galaxy"}, **arguments)["changed"]
    assert path.read_bytes() != CONTENT
    assert run_module("paste_section", state="absent", **arguments)["changed"]
    assert path.read_bytes() == CONTENT
    assert not run_module("paste_section", state="absent", **arguments)["changed"]


def test_options_that_are_not_listed_stay_on_request(run_module: Run, path: Path) -> None:
    result = run_module("paste_section", path=str(path), section="app:main", exclusive=False, options={"brand": None, "debug": False})
    assert sorted(result["options"]) == ["database_connection", "debug", "id_secret"]


def test_check_mode_only_predicts(run_module: Run, path: Path) -> None:
    arguments = {"path": str(path), "section": "uwsgi", "options": {"processes": 4}, "mode": "0640"}
    predicted = run_module("paste_section", check=True, **arguments)
    assert path.read_bytes() == CONTENT
    result = run_module("paste_section", **arguments)
    assert predicted["changed"] is result["changed"] is True
    assert predicted["diff"] == result["diff"]
    assert predicted["options"] == result["options"]
    assert not run_module("paste_section", check=True, **arguments)["changed"]


def test_a_missing_file_is_created_on_request_only(run_module: Run, tmp_path: Path) -> None:
    path = tmp_path / "galaxy.ini"
    arguments = {"path": str(path), "section": "uwsgi", "options": {"processes": 4}}
    assert "set create to true" in run_module("paste_section", **arguments)["msg"]
    assert not path.exists()
    predicted = run_module("paste_section", check=True, create=True, **arguments)
    made = "# Made by Ansible (galaxyops.uwsgi.paste_section), which removes this file with its last section.\n\n[uwsgi]\nprocesses = 4\n"
    assert (predicted["changed"], predicted["diff"]["before"], predicted["diff"]["after"]) == (True, "", made)
    assert not path.exists()
    assert run_module("paste_section", create=True, mode="0600", backup=True, **arguments)["changed"]
    assert path.read_text(encoding="utf-8") == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert leftovers(path) == []
    # The file stays as long as anything is in it.
    other = {"path": str(path), "section": "app:main"}
    assert run_module("paste_section", options={"use": "egg:x"}, **other)["changed"]
    assert run_module("paste_section", path=str(path), section="uwsgi", state="absent")["changed"]
    assert path.exists()
    assert run_module("paste_section", state="absent", **other)["changed"]
    assert not path.exists()


def test_a_missing_file_has_no_section(run_module: Run, tmp_path: Path) -> None:
    path = tmp_path / "galaxy.ini"
    assert not run_module("paste_section", path=str(path), section="uwsgi", state="absent", create=True)["changed"]
    assert not path.exists()


def test_backup(run_module: Run, path: Path) -> None:
    arguments = {"path": str(path), "section": "uwsgi", "options": {"processes": 4}, "backup": True}
    result = run_module("paste_section", **arguments)
    assert Path(result["backup_file"]).read_bytes() == CONTENT
    assert "backup_file" not in run_module("paste_section", **arguments)
    assert leftovers(path) == [Path(result["backup_file"]).name]


def test_validate(run_module: Run, path: Path) -> None:
    arguments = {"path": str(path), "section": "uwsgi", "options": {"processes": 4}, "backup": True}
    result = run_module("paste_section", validate="grep 'no such line' %s", **arguments)
    assert "did not pass" in result["msg"]
    assert path.read_bytes() == CONTENT
    assert leftovers(path) == []
    assert "must contain %s" in run_module("paste_section", validate="true", **arguments)["msg"]
    assert run_module("paste_section", validate="grep 'processes = 4' %s", **arguments)["changed"]


def test_mode_alone(run_module: Run, path: Path) -> None:
    path.chmod(0o644)
    arguments = {"path": str(path), "section": "uwsgi", "options": {"processes": 2}, "mode": "0600"}
    assert run_module("paste_section", **arguments)["changed"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert not run_module("paste_section", **arguments)["changed"]
    assert run_module("paste_section", **{**arguments, "options": {"processes": 3}, "mode": None})["changed"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_symbolic_link_is_followed(run_module: Run, path: Path) -> None:
    link = path.with_name("link.ini")
    link.symlink_to(path)
    assert run_module("paste_section", path=str(link), section="uwsgi", options={"processes": 4})["changed"]
    assert link.is_symlink()
    assert b"processes = 4" in path.read_bytes()


# Secrets


def test_no_secret_is_shown(run_module: Run, path: Path) -> None:
    options = {
        "brand": "Galaxy",
        "id_secret": "correct horse",
        "bootstrap_admin_api_key": "abc",
        "database_connection": "postgresql://galaxy:battery@db/galaxy",
    }
    result = run_module("paste_section", path=str(path), section="app:main", options=options)
    for secret in ("hunter2", "correct horse", "abc", "battery"):
        assert secret not in str(result)
    assert "id_secret = ******** (changed)\n" in result["diff"]["after"]
    assert "id_secret = ********\n" in result["diff"]["before"]
    assert result["options"]["brand"] == "Galaxy"
    assert b"id_secret = correct horse\n" in path.read_bytes()
    assert b"galaxy:battery@db" in path.read_bytes()


@needs_root
def test_no_secret_is_logged(run_module: Run, path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(path.with_name("log")))
        log.setblocking(False)
        under = in_namespace(f"mount -t tmpfs tmpfs /dev && ln -s {path.with_name('log')} /dev/log && mknod -m 666 /dev/null c 1 3")
        run_module("paste_section", path=str(path), section="app:main", options={"id_secret": "hunter3", "brand": "x"}, under=under)
        logged = log.recv(65536)
        with contextlib.suppress(BlockingIOError):
            while True:
                logged += log.recv(65536)
    assert b"Invoked" in logged
    assert b"hunter3" not in logged


# Refusals


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ("[uwsgi]\na = 1\n[uwsgi]\n", {}, "{path}:3: [uwsgi] the section is there twice, in lines 1 and 3: move its options into one"),
        ("[uwsgi]\na = 1\na = 2\n", {}, "{path}:3: [uwsgi] a: set twice, in lines 2 and 3, which Paste Deploy refuses: "),
        ("a = 1\n", {}, "{path}:1: there is no section above this line"),
        ("[app:main]\na = 50%\n", {}, "{path}:2: [app:main] a: a '%' that stands for itself must be written '%%'"),
        ("", {"static-map": ["a", "b"]}, "{path}: [uwsgi] static-map: is a list, but Paste Deploy refuses a repeated option"),
        ("", {"a": "1 # one"}, "{path}: [uwsgi] a: its value '1 # one' seems to end in a comment"),
        ("", {"id_secret": "hunter3 # one"}, "{path}: [uwsgi] id_secret: its value '********' seems to end in a comment"),
    ],
)
def test_refusals_say_where_and_what_to_write(run_module: Run, path: Path, content: str, options: dict[str, Any], expected: str) -> None:
    path.write_text(content, encoding="utf-8")
    result = run_module("paste_section", path=str(path), section="uwsgi", options=options)
    assert result["failed"]
    assert result["msg"].startswith(expected.format(path=path))
    assert "hunter3" not in str(result)
    assert "exception" not in result
    assert path.read_text(encoding="utf-8") == content


def test_a_directory_is_refused(run_module: Run, tmp_path: Path) -> None:
    result = run_module("paste_section", path=str(tmp_path), section="uwsgi")
    assert result["msg"] == f"{tmp_path} is a directory: give the path of the file in it"


def test_a_file_in_no_directory_is_not_created(run_module: Run, tmp_path: Path) -> None:
    result = run_module("paste_section", path=str(tmp_path / "no" / "galaxy.ini"), section="uwsgi", create=True)
    assert "its directory does not exist" in result["msg"]


# What the host may do


def in_namespace(before: str, after: str = "true") -> list[str]:
    """What runs a module between two shell commands, in a mount namespace of its own."""
    return ["unshare", "--mount", "sh", "-c", f'{before} || exit 1; "$@"; {after}', "sh"]


@needs_root
@pytest.mark.parametrize("backup", [False, True])
def test_a_full_disk_leaves_the_old_file(run_module: Run, tmp_path: Path, backup: bool) -> None:
    content = CONTENT + b"# " + b"x" * 9000 + b"\n"
    (tmp_path / "galaxy.ini").write_bytes(content)
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    path = disk / "galaxy.ini"
    under = in_namespace(f"mount -t tmpfs -o size=16k tmpfs {disk} && cp {tmp_path}/galaxy.ini {disk}", f"cp -r {disk} {copy}")
    result = run_module("paste_section", path=str(path), section="uwsgi", options={"processes": 4}, backup=backup, under=under)
    assert result["msg"] == f"cannot write {path}: the file system is full: free some space and run again (the old file is intact)"
    assert (copy / "galaxy.ini").read_bytes() == content
    assert leftovers(copy / "galaxy.ini") == []


@needs_root
def test_a_read_only_file_system_leaves_the_old_file(run_module: Run, path: Path) -> None:
    under = in_namespace(f"mount --bind {path.parent} {path.parent} && mount -o remount,bind,ro {path.parent}")
    result = run_module("paste_section", path=str(path), section="uwsgi", options={"processes": 4}, under=under)
    assert result["msg"] == f"cannot write {path}: the file system is mounted read-only: remount it read-write and run again (the old file is intact)"
    assert path.read_bytes() == CONTENT
    assert not run_module("paste_section", path=str(path), section="uwsgi", options={"processes": 2}, under=under)["changed"]


@pytest.mark.parametrize("exclusive", [False, True])
def test_secret_is_generated_once_and_not_shown(run_module: Run, path: Path, exclusive: bool) -> None:
    arguments = {"path": str(path), "section": "app:main", "exclusive": exclusive, "generate": ["remote_user_secret", "id_secret"], "options": {"brand": "x"}}
    result = run_module("paste_section", **arguments)
    lines = dict(line.split(" = ") for line in path.read_text("latin-1").splitlines() if " = " in line)
    secret = lines["remote_user_secret"]
    assert len(secret) == 48 and secret.isalnum()
    assert lines["id_secret"] == "hunter2"
    assert result["options"]["remote_user_secret"] == "********"
    assert secret not in str(result)
    assert not run_module("paste_section", **arguments)["changed"]


# A directory of somebody else

STRANGER = 65534


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A galaxy.ini in a directory of another user."""
    directory = tmp_path / "theirs"
    directory.mkdir()
    path = directory / "galaxy.ini"
    path.write_bytes(CONTENT)
    os.chown(directory, STRANGER, STRANGER)
    os.chown(path, STRANGER, STRANGER)
    return path


@needs_root
def test_what_is_validated_can_be_exchanged_by_nobody(run_module: Run, theirs: Path, tmp_path: Path) -> None:
    validate = f"sh -c 'stat -c \"%U %a\" $(dirname $0) $0 > {tmp_path}/seen; grep -q \"processes = 4\" $0' %s"
    result = run_module("paste_section", path=str(theirs), section="uwsgi", options={"processes": 4}, validate=validate)
    assert result["changed"], result
    assert (tmp_path / "seen").read_text() == "root 700\nroot 600\n"
    assert leftovers(theirs) == []
    assert (theirs.stat().st_uid, b"processes = 4" in theirs.read_bytes()) == (STRANGER, True)


@needs_root
@pytest.mark.parametrize("exists", [True, False])
def test_link_of_a_stranger_is_refused(run_module: Run, theirs: Path, tmp_path: Path, exists: bool) -> None:
    precious = tmp_path / "precious"
    if exists:
        precious.write_bytes(CONTENT)
    theirs.unlink()
    theirs.symlink_to(precious)
    os.chown(theirs, STRANGER, STRANGER, follow_symlinks=False)
    result = run_module("paste_section", path=str(theirs), section="uwsgi", options={"processes": 4}, create=True, owner="nobody", mode="0666")
    assert result["failed"] and f"{theirs} is a link of nobody to {precious}" in result["msg"], result
    assert (precious.read_bytes(), precious.stat().st_uid) == (CONTENT, 0) if exists else not precious.exists()


@needs_root
def test_attributes_that_are_set_by_name_are_refused_in_a_directory_of_others(run_module: Run, theirs: Path) -> None:
    result = run_module("paste_section", path=str(theirs), section="uwsgi", options={"processes": 4}, attributes="+d")
    assert result["failed"] and "attributes cannot be set safely, because user nobody can write" in result["msg"]


def test_galaxy_yml_is_never_written(run_module: Run, tmp_path: Path) -> None:
    path = tmp_path / "galaxy.yml"
    arguments: dict[str, Any] = {"path": str(path), "section": "uwsgi", "options": {"processes": 4}, "create": True}
    for text in (None, "galaxy:\n  brand: x\n"):
        if text:
            path.write_text(text)
        result = run_module("paste_section", **arguments)
        assert result["msg"] == f"{path} is a galaxy.yml by its name, which nothing in this collection writes: name the Paste Deploy file"
        assert run_module("paste_section", path=str(path), section="uwsgi", state="absent")["changed"] is False
        assert (path.read_text() if text else path.exists()) == (text or False)
