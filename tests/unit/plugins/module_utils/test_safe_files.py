# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stranger puts into a directory does not lead elsewhere, and keeps nobody waiting."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _safe_files as safe_files
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._safe_files import UnsafeFile

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")
STRANGER, OTHER = 65534, 1


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A directory of a stranger, in one that everybody may enter."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory.is_relative_to("/tmp") and directory != Path("/tmp") and os.geteuid() == 0:
            directory.chmod(0o755)
    directory = tmp_path / "theirs"
    directory.mkdir()
    if os.geteuid() == 0:
        os.chown(directory, STRANGER, STRANGER)
    return directory


def link(path: Path, target: Path | str, uid: int = STRANGER) -> Path:
    """A link of a stranger."""
    path.symlink_to(target)
    os.chown(path, uid, uid, follow_symlinks=False)
    return path


def give(path: Path, uid: int = STRANGER) -> Path:
    """Give a file to a user."""
    os.chown(path, uid, uid)
    return path


# Links


@as_root
@pytest.mark.parametrize("exists", [True, False])
def test_link_of_a_stranger_is_not_written_through(theirs: Path, tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "precious"
    if exists:
        target.write_text("precious")
    path = link(theirs / "galaxy.ini", target)
    with pytest.raises(UnsafeFile, match=f"{path} is a link of nobody to {target}, and .* belongs to root") as error, safe_files.locate(path):
        pass
    assert "chown -h root" in str(error.value)
    assert target.exists() == exists


@as_root
def test_link_of_a_stranger_leads_to_what_the_stranger_has(theirs: Path) -> None:
    target = theirs / "real.ini"
    path = link(theirs / "galaxy.ini", "real.ini")
    with safe_files.locate(path) as place:  # no file yet, in a directory of the same user
        assert place.path == str(target)
    give(target, STRANGER) if target.exists() else target.write_text("x")
    give(target)
    with safe_files.locate(path) as place:
        place.write(b"new")
    assert target.read_bytes() == b"new" and path.is_symlink()


@as_root
def test_link_of_a_stranger_on_the_way_is_checked_too(theirs: Path, tmp_path: Path) -> None:
    (tmp_path / "roots").mkdir()
    path = link(theirs / "config", "../roots") / "galaxy.ini"
    with pytest.raises(UnsafeFile, match="config is a link of nobody"):
        safe_files.write(path, b"x")
    assert not list((tmp_path / "roots").iterdir())


@as_root
def test_links_of_strangers_in_a_row_are_all_checked(theirs: Path, tmp_path: Path) -> None:
    (theirs / "here").mkdir()
    give(theirs / "here")
    link(theirs / "second", tmp_path / "theirs" / "here" / ".." / ".." / "precious")
    (tmp_path / "precious").write_text("x")
    with pytest.raises(UnsafeFile):
        safe_files.locate(link(theirs / "first", "second")).close()


def test_links_of_root_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "again").symlink_to("../real/file")
    (tmp_path / "real" / "file").write_text("x")
    assert safe_files.read(tmp_path / "link" / "again") == b"x"
    with safe_files.locate(tmp_path / "link" / "again") as place:
        assert place.path == str((tmp_path / "real" / "file").resolve())


@pytest.mark.parametrize("path", ["/", "/..", "/tmp/..", "/tmp/."])
def test_directories_without_a_name(tmp_path: Path, path: str) -> None:
    (tmp_path / "link").symlink_to(path)
    with safe_files.locate(tmp_path / "link") as place:
        found = os.stat(place.name, dir_fd=place.directory)
        assert os.path.samestat(found, os.stat(path))


def test_link_that_leads_to_itself(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        safe_files.read(tmp_path / "loop")


@as_root
def test_what_a_stranger_may_not_read_is_not_read_through_the_strangers_link(theirs: Path, tmp_path: Path) -> None:
    secret, public = tmp_path / "secret", tmp_path / "public"
    for path in (secret, public):
        path.write_text("x")
    secret.chmod(0o640)
    with pytest.raises(UnsafeFile, match=f"{secret} belongs to root"):
        safe_files.read(link(theirs / "a", secret))
    assert safe_files.read(link(theirs / "b", public)) == b"x"
    (tmp_path / "closed").mkdir(0o700)
    (tmp_path / "closed" / "public").write_text("x")
    with pytest.raises(UnsafeFile):
        safe_files.read(link(theirs / "c", tmp_path / "closed" / "public"))


# What is no file


@pytest.mark.parametrize("kind", ["pipe", "zero", "socket"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "zero":
        path.symlink_to("/dev/zero")
    else:
        socket.socket(socket.AF_UNIX).bind(str(path))
    for read in (safe_files.read, lambda path: safe_files.copy(path, tmp_path / "copy")):
        with pytest.raises(UnsafeFile, match="not a regular file"):
            read(path)


def test_a_file_that_is_too_large_is_named_with_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * 101)
    assert len(safe_files.read(path, limit=101)) == 101
    with pytest.raises(UnsafeFile, match=f"{path} has more than 100 bytes"):
        safe_files.read(path, limit=100)


def test_a_stream_without_end_is_left(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFile, match="more than 1000 bytes"), open("/dev/zero", "rb") as stream:
        safe_files.read_stream(stream, 1000, 5)
    ours, others = socket.socketpair()
    with ours, others, pytest.raises(TimeoutError):
        others.sendall(b"x")
        safe_files.read_stream(ours, 1000, 0.1)


# Writing


def test_written_in_one_step_with_its_attributes_first(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o604)
    seen = []
    with safe_files.locate(path) as place, place.opened() as old:
        place.write(b"new", like=old, prepare=lambda new: seen.append((os.fstat(new).st_size, stat.S_IMODE(os.fstat(new).st_mode))))
    assert seen == [(0, 0o604)]
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o604)
    assert os.listdir(tmp_path) == ["file"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail(_descriptor: int) -> None:
        raise KeyboardInterrupt

    with safe_files.locate(tmp_path / "file") as place, pytest.raises(KeyboardInterrupt):
        place.write(b"x", prepare=fail)
    assert os.listdir(tmp_path) == []


def test_a_link_in_place_of_the_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "file").symlink_to("precious")
    safe_files.write(tmp_path / "file", b"new", mode=0o640)
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "file").is_symlink()
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_work_goes_on_in_the_directory_that_was_opened(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "elsewhere").mkdir()
    with safe_files.locate(tmp_path / "directory" / "file") as place:
        (tmp_path / "directory").rename(tmp_path / "moved")
        (tmp_path / "directory").symlink_to("elsewhere")
        place.write(b"x")
    assert (tmp_path / "moved" / "file").exists() and not os.listdir(tmp_path / "elsewhere")


@as_root
def test_hard_link_to_a_file_of_others_keeps_its_owner(theirs: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    os.link(tmp_path / "precious", theirs / "file")
    with safe_files.locate(theirs / "file") as place, pytest.raises(UnsafeFile, match="hard link"):
        place.give(STRANGER, STRANGER, 0o666)
    assert (tmp_path / "precious").stat().st_uid == 0


RACE = """
import os, sys
os.setgid(65534); os.setuid(65534)
os.chdir(sys.argv[1])
while True:
    for name in os.listdir("."):
        if name.startswith(".galaxy.ini.") and not os.path.islink(name):
            try:
                os.unlink(name)
                os.symlink(sys.argv[2], name)
            except OSError:
                pass
"""


@as_root
def test_who_exchanges_temporary_files_gets_nothing(theirs: Path, tmp_path: Path) -> None:
    """A loop of the directory's owner replaces what root has just made by links to a file of root."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    precious.chmod(0o600)
    (theirs / "galaxy.ini").write_text("old")
    give(theirs / "galaxy.ini")
    race = subprocess.Popen([sys.executable, "-c", RACE, str(theirs), str(precious)], cwd="/")
    try:
        for number in range(300):
            try:
                with safe_files.locate(theirs / "galaxy.ini") as place, place.opened() as old:
                    place.write(b"new %d" % number, like=old)
            except OSError:  # what the owner has removed is gone
                if not (theirs / "galaxy.ini").is_file() or (theirs / "galaxy.ini").is_symlink():
                    (theirs / "galaxy.ini").unlink(missing_ok=True)
                    (theirs / "galaxy.ini").write_text("old")
            assert (precious.read_text(), precious.stat().st_uid, stat.S_IMODE(precious.stat().st_mode)) == ("precious", 0, 0o600)
        assert race.poll() is None
    finally:
        race.kill()
        race.wait()


# Removing


def test_a_tree_is_removed_however_deep_and_through_no_link(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    top = tmp_path / "top"
    top.mkdir()
    here = os.getcwd()
    try:
        os.chdir(top)
        for _level in range(sys.getrecursionlimit() + 200):
            os.symlink(tmp_path / "precious", "link")
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(here)
    safe_files.remove_tree(top)
    assert not top.exists() and (tmp_path / "precious" / "file").exists()
    (tmp_path / "link").symlink_to("precious")
    safe_files.remove_tree(tmp_path / "link")
    assert not (tmp_path / "link").is_symlink() and (tmp_path / "precious" / "file").exists()
    safe_files.remove_tree(tmp_path / "nothing")


# Who can write


@as_root
def test_who_else_can_write_is_named(theirs: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "file").write_text("x")
    assert safe_files.writer(ours / "file") == ("", "")
    assert safe_files.writer(theirs / "file") == ("user nobody", str(theirs))
    (theirs / "link").symlink_to(ours / "file")
    assert safe_files.writer(theirs / "link") == ("user nobody", str(theirs))
    (ours / "file").chmod(0o666)
    assert safe_files.writer(ours / "file") == ("everybody", str(ours / "file"))
    (ours / "file").chmod(0o660)
    os.chown(ours / "file", 0, OTHER)
    assert safe_files.writer(ours / "file") == ("group daemon", str(ours / "file"))


# In the virtualenv


@as_root
def test_what_root_has_left_is_given_to_the_owner_but_no_secret(theirs: Path, tmp_path: Path) -> None:
    (theirs / "lib").mkdir(0o755)
    for name, mode in (("left", 0o644), ("secret", 0o600), ("setuid", 0o4755)):
        (theirs / "lib" / name).write_text("x")
        (theirs / "lib" / name).chmod(mode)
    (tmp_path / "precious").write_text("x")
    os.link(tmp_path / "precious", theirs / "lib" / "linked")
    (theirs / "lib" / "away").symlink_to(tmp_path)
    safe_files.give_what_root_left(theirs, STRANGER, STRANGER)
    owners = {path.name: path.lstat().st_uid for path in (theirs / "lib").iterdir()}
    assert owners == {"left": STRANGER, "secret": 0, "setuid": 0, "linked": 0, "away": 0}
    assert (theirs / "lib").stat().st_uid == STRANGER and tmp_path.stat().st_uid == 0


@as_root
def test_a_socket_is_connected_to_by_no_link_to_one_of_others(theirs: Path, tmp_path: Path) -> None:
    from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_stats as stats

    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        path.chmod(0o600)
        with pytest.raises(stats.StatsError, match="is a link of nobody"):
            stats.read(str(link(theirs / "stats.sock", path)), 1)


def test_a_stats_server_without_end_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_stats as stats

    monkeypatch.setattr(stats, "_LONGEST", 1_000_000)
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        server.listen()

        def serve() -> None:
            connection, _address = server.accept()
            with connection:
                try:
                    while True:
                        connection.sendall(b"[" * 65536)
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(stats.StatsError, match="more than 1000000 bytes"):
            stats.read("./s", 5)
        thread.join()


@pytest.mark.parametrize("said", ["[" * 200_000, "[]", '{"version": 1, "pid": [], "sockets": [], "workers": []}', '{"version": 1, "pid": 1, "sockets": 5}'])
def test_odd_stats_are_an_error_and_no_traceback(said: str) -> None:
    from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_stats as stats

    with pytest.raises(stats.StatsError):
        stats.parse(said)
