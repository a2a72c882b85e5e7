# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""file_set, run as Ansible runs it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._file_set import Item, redact

Run = Callable[..., "dict[str, Any]"]
SECRET = "id_secret = correct-horse-battery\n"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners or mounts file systems")


def mode(path: Path) -> int:
    """The permissions of what lies at I(path)."""
    return stat.S_IMODE(path.lstat().st_mode)


def tree(top: Path) -> dict[str, tuple[Any, ...]]:
    """All there is to know about what lies below I(top); equal trees hold the very same files."""
    found = {}
    for directory, names, files in os.walk(top):
        for name in [*names, *files]:
            path = Path(directory, name)
            status = path.lstat()
            content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[str(path.relative_to(top))] = (status.st_mode, status.st_uid, status.st_gid, status.st_ino, content)
    return found


def properties(result: dict[str, Any], path: Path) -> tuple[Any, Any]:
    """The reported properties of I(path), before and after."""
    (diff,) = [diff for diff in result["diff"] if diff["before_header"] == f"{path} (properties)"]
    return diff["before"], diff["after"]


def contents(result: dict[str, Any], path: Path) -> tuple[str, str]:
    """The reported content of I(path), before and after."""
    (diff,) = [diff for diff in result["diff"] if diff["before_header"] == str(path)]
    return diff["before"], diff["after"]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A directory with one of everything: a file, a link, a directory and something in it."""
    top = tmp_path / "old"
    top.mkdir()
    (top / "a.conf").write_text("old a\n")
    (top / "a.conf").chmod(0o604)
    (top / "b.conf").write_text("old b\n")
    (top / "link").symlink_to("a.conf")
    (top / "sub").mkdir(0o701)
    (top / "sub" / "c.conf").write_text("old c\n")
    (top / "empty").mkdir()
    return top


def everything(top: Path) -> list[dict[str, Any]]:
    """Items that change all of the old directory in every way there is."""
    return [
        {"path": str(top / "new"), "state": "directory", "mode": "0700"},
        {"path": str(top / "new" / "deep"), "state": "directory"},
        {"path": str(top / "new" / "deep" / "n.conf"), "content": "new\n"},
        {"path": str(top / "a.conf"), "content": "new a\n", "mode": "0640"},
        {"path": str(top / "b.conf"), "state": "absent"},
        {"path": str(top / "link"), "state": "link", "src": "b.conf"},
        {"path": str(top / "other"), "state": "link", "src": "nowhere"},
        {"path": str(top / "sub"), "state": "directory", "mode": "0755"},
        {"path": str(top / "sub" / "c.conf"), "content": "", "force": False, "mode": "u=r,g=,o="},
        {"path": str(top / "empty"), "state": "absent"},
    ]


def test_everything_comes_about_and_stays(run_module: Run, old: Path) -> None:
    """Check mode foretells the run, the run does it, and a second run has nothing to do."""
    before = tree(old)
    foretold = run_module("file_set", check=True, files=everything(old))
    assert tree(old) == before
    result = run_module("file_set", files=everything(old), validate="true")
    assert result["changed"] and foretold["changed"]
    assert result["diff"] == foretold["diff"]
    assert result["changed_files"] == foretold["changed_files"] == [item["path"] for item in everything(old)]
    assert result["kept"] == [] and result["backup_files"] == {}

    assert mode(old / "new") == 0o700
    assert (old / "new/deep/n.conf").read_text() == "new\n"
    assert (old / "a.conf").read_text() == "new a\n"
    assert mode(old / "a.conf") == 0o640
    assert not (old / "b.conf").exists()
    assert (old / "link").readlink() == Path("b.conf")
    assert (old / "other").readlink() == Path("nowhere")
    assert mode(old / "sub") == 0o755
    assert (old / "sub/c.conf").read_text() == "old c\n"
    assert mode(old / "sub/c.conf") == 0o400
    assert not (old / "empty").exists()
    assert sorted(path.name for path in old.iterdir()) == ["a.conf", "link", "new", "other", "sub"]

    after = tree(old)
    again = run_module("file_set", files=everything(old), validate="false")
    assert (again["changed"], again["changed_files"], again["diff"]) == (False, [], [])
    assert tree(old) == after


def test_diff_shows_contents_and_properties(run_module: Run, old: Path) -> None:
    """Each changed item shows what differs and nothing else."""
    result = run_module("file_set", check=True, files=everything(old))
    assert contents(result, old / "a.conf") == ("old a\n", "new a\n")
    assert properties(result, old / "a.conf") == ({"mode": "0604"}, {"mode": "0640"})
    assert contents(result, old / "new/deep/n.conf") == ("", "new\n")
    assert properties(result, old / "new") == ({"state": "absent"}, {"state": "directory", "mode": "0700"})
    assert properties(result, old / "link") == ({"state": "link", "src": "a.conf"}, {"state": "link", "src": "b.conf"})
    assert contents(result, old / "b.conf") == ("old b\n", "")
    assert properties(result, old / "b.conf") == ({"state": "file"}, {"state": "absent"})
    assert properties(result, old / "sub/c.conf") == ({"mode": "0644"}, {"mode": "0400"})


@as_root
def test_owner_and_group(run_module: Run, old: Path) -> None:
    """Owner and group are applied, shown by name, and idempotent; a link's target gets them."""
    files = [
        {"path": str(old / "link"), "content": "old a\n", "owner": "nobody", "group": "daemon"},
        {"path": str(old / "n.conf"), "content": "n\n", "owner": "1", "mode": "0600"},
    ]
    result = run_module("file_set", files=files)
    assert properties(result, old / "link") == ({"owner": "root", "group": "root"}, {"owner": "nobody", "group": "daemon"})
    assert ((old / "a.conf").owner(), (old / "a.conf").group(), mode(old / "a.conf")) == ("nobody", "daemon", 0o604)
    assert ((old / "n.conf").stat().st_uid, mode(old / "n.conf")) == (1, 0o600)
    assert run_module("file_set", files=files)["changed"] is False

    rewritten = run_module("file_set", files=[{"path": str(old / "a.conf"), "content": "again\n"}])
    assert rewritten["changed"]
    assert ((old / "a.conf").owner(), (old / "a.conf").group(), mode(old / "a.conf")) == ("nobody", "daemon", 0o604)


@pytest.mark.parametrize("validate", ["sh -c 'echo on-out; echo on-err >&2; exit 3'", "/no/such/program -t", "sh -c 'kill -TERM $PPID; sleep 5'"])
def test_rollback(run_module: Run, old: Path, validate: str) -> None:
    """Whatever ends the validation badly, every file, link, directory, mode and owner is the very same as before."""
    before = tree(old)
    files = everything(old)
    if os.geteuid() == 0:
        files[3]["owner"] = files[7]["owner"] = files[8]["group"] = "1"
    result = run_module("file_set", files=files, validate=validate, backup=True)
    assert result["failed"]
    assert "Nothing has changed: the previous files are back." in result["msg"]
    assert tree(old) == before
    if "exit 3" in validate:
        assert "exit 3" in result["msg"] and "on-out\non-err" in result["msg"]
    elif "kill" in validate:
        assert "interrupted by SIGTERM" in result["msg"]
    else:
        assert "/no/such/program" in result["msg"] and "install the program" in result["msg"]


def test_rollback_says_what_it_could_not_restore(run_module: Run, tmp_path: Path) -> None:
    """A directory that something else has put a file into cannot be removed again, and the message says so."""
    made = tmp_path / "made"
    validate = f"sh -c 'touch {made}/foreign; false'"
    result = run_module("file_set", files=[{"path": str(made), "state": "directory"}], validate=validate)
    assert result["failed"]
    assert "NOT everything could be put back" in result["msg"] and str(made) in result["msg"]


def test_validation_sees_the_files_in_place_and_only_changes(run_module: Run, old: Path, tmp_path: Path) -> None:
    """The validation runs on the new files, not without a change and not in check mode."""
    log = tmp_path / "log"
    files = [{"path": str(old / "a.conf"), "content": "new a\n"}]
    validate = f"sh -c 'cat {old}/a.conf >> {log}'"
    run_module("file_set", check=True, files=files, validate=validate)
    assert not log.exists()
    run_module("file_set", files=files, validate=validate)
    run_module("file_set", files=files, validate=validate)
    assert log.read_text() == "new a\n"


def test_backup(run_module: Run, old: Path) -> None:
    """Copies of replaced and removed files are kept, with their modes; unchanged files and links get none."""
    (old / "b.conf").chmod(0o600)
    files = [
        {"path": str(old / "a.conf"), "content": "new a\n"},
        {"path": str(old / "b.conf"), "state": "absent"},
        {"path": str(old / "link"), "state": "absent"},
        {"path": str(old / "sub/c.conf"), "content": "old c\n", "mode": "0600"},
        {"path": str(old / "n.conf"), "content": "n\n"},
    ]
    assert run_module("file_set", check=True, files=files, backup=True)["backup_files"] == {}
    kept = run_module("file_set", files=files, backup=True)["backup_files"]
    assert {Path(path).name: Path(copy).read_text() for path, copy in kept.items()} == {"a.conf": "old a\n", "b.conf": "old b\n"}
    assert mode(Path(kept[str(old / "b.conf")])) == 0o600
    assert all(copy.startswith(f"{path}.") and copy.endswith("~") for path, copy in kept.items())
    assert run_module("file_set", files=files, backup=True)["backup_files"] == {}


def test_a_link_stands_for_its_file(run_module: Run, old: Path) -> None:
    """A file or directory given by a link is edited where it is, and the link stays."""
    (old / "to_sub").symlink_to("sub")
    (old / "to_come").symlink_to("sub/d.conf")
    files = [
        {"path": str(old / "link"), "content": "new a\n"},
        {"path": str(old / "to_sub"), "state": "directory", "mode": "0711"},
        {"path": str(old / "to_sub/c.conf"), "content": "new c\n"},
        {"path": str(old / "to_come"), "content": "d\n"},
    ]
    run_module("file_set", files=files)
    assert (old / "link").readlink() == Path("a.conf") and (old / "a.conf").read_text() == "new a\n"
    assert (old / "to_sub").readlink() == Path("sub") and mode(old / "sub") == 0o711
    assert (old / "sub/c.conf").read_text() == "new c\n"
    assert (old / "to_come").readlink() == Path("sub/d.conf") and (old / "sub/d.conf").read_text() == "d\n"
    assert run_module("file_set", files=files)["changed"] is False


def test_a_turned_link_leads_later_items_elsewhere(run_module: Run, tmp_path: Path) -> None:
    """What lies behind a link is compared once the link points where it shall."""
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
    (tmp_path / "v1/app.conf").write_text("app\n")
    (tmp_path / "current").symlink_to("v1")
    files = [{"path": str(tmp_path / "current"), "state": "link", "src": "v2"}, {"path": str(tmp_path / "current/app.conf"), "content": "app\n"}]
    result = run_module("file_set", files=files)
    assert result["changed_files"] == [item["path"] for item in files]
    assert (tmp_path / "v2/app.conf").read_text() == "app\n"


def test_link_with_force_false_stays(run_module: Run, old: Path) -> None:
    """An existing link keeps its target, a missing one is made."""
    files = [{"path": str(old / name), "state": "link", "src": "b.conf", "force": False} for name in ("link", "other")]
    assert run_module("file_set", files=files)["changed_files"] == [str(old / "other")]
    assert (old / "link").readlink() == Path("a.conf")


def test_absent_directories(run_module: Run, old: Path) -> None:
    """An empty directory goes, also one that the list empties; one with foreign content is kept and reported."""
    (old / "full").mkdir()
    (old / "full/foreign").touch()
    files = [{"path": str(old / name), "state": "absent"} for name in ("sub/c.conf", "sub", "full", "no/such/file")]
    for check in (True, False):
        result = run_module("file_set", check=check, files=files)
        assert (result["changed_files"], result["kept"]) == ([str(old / "sub/c.conf"), str(old / "sub")], [str(old / "full")])
    assert not (old / "sub").exists() and (old / "full/foreign").exists()
    again = run_module("file_set", files=files)
    assert (again["changed"], again["kept"]) == (False, [str(old / "full")])


def test_a_pattern_removes_what_is_not_listed_itself(run_module: Run, old: Path) -> None:
    for name in ("sub/a.conf", "empty/a.conf", "other/a.conf", "other/.a.conf"):
        (old / name).parent.mkdir(exist_ok=True)
        (old / name).write_text("old\n")
    files = [
        {"path": str(old / "other"), "state": "directory"},
        {"path": str(old / "other" / "a.conf"), "content": "new\n"},
        {"path": str(old / "*" / "a.conf"), "state": "absent"},
        {"path": str(old / "*" / "no[ne]*"), "state": "absent"},
        {"path": str(old / "e*"), "state": "absent"},
        {"path": str(old / "s*"), "state": "absent"},
    ]
    before = tree(old)
    failed = run_module("file_set", files=files, validate="false")
    assert failed["failed"] and tree(old) == before
    for check in (True, False):
        result = run_module("file_set", check=check, files=files, validate="true")
        assert result["changed_files"] == [str(old / name) for name in ("other/a.conf", "empty/a.conf", "sub/a.conf", "empty")]
        assert result["kept"] == [str(old / "sub")]
    assert (old / "other" / "a.conf").read_text() == "new\n"
    assert not (old / "empty").exists()
    assert run_module("file_set", files=files)["changed"] is False


def test_a_directory_filled_meanwhile_is_kept(run_module: Run, old: Path) -> None:
    """What the validation leaves in a directory to be removed is not lost."""
    files = [{"path": str(old / "empty"), "state": "absent"}, {"path": str(old / "b.conf"), "state": "absent"}]
    result = run_module("file_set", files=files, validate=f"touch {old}/empty/foreign")
    assert (result["changed_files"], result["kept"]) == ([str(old / "b.conf")], [str(old / "empty")])
    assert (old / "empty/foreign").exists()


@pytest.mark.parametrize(
    ("given", "before", "after"),
    [("0640", 0o600, 0o640), ("640", 0o600, 0o640), ("u=rw,g=r", 0o607, 0o647), ("u=rwX,go=", 0o755, 0o700), ("a-w", 0o666, 0o444), ("g+s", 0o644, 0o2644)],
)
def test_modes(run_module: Run, tmp_path: Path, given: str, before: int, after: int) -> None:
    """Octal and symbolic modes do what they do in chmod, with and without new content."""
    for content in ("old\n", "new\n"):
        path = tmp_path / "file"
        path.write_text("old\n")
        path.chmod(before)
        files = [{"path": str(path), "content": content, "mode": given}]
        assert run_module("file_set", files=files)["changed"]
        assert mode(path) == after
        assert run_module("file_set", files=files)["changed"] is False


def test_new_sensitive_file_is_private(run_module: Run, tmp_path: Path) -> None:
    """Only the owner reads a new secret, unless the item says otherwise."""
    paths = [tmp_path / name for name in ("secret", "shared")]
    run_module("file_set", files=[{"path": str(paths[0]), "content": SECRET, "sensitive": True}, {"path": str(paths[1]), "content": "x\n"}])
    assert [mode(path) for path in paths] == [0o600, 0o644]


def test_sensitive_content_is_never_shown(run_module: Run, tmp_path: Path) -> None:
    """Neither the old nor the new secret is in any result, while other files stay readable."""
    path, plain = tmp_path / "secret", tmp_path / "plain"
    path.write_text("old-secret-value\n")
    plain.write_text("old plain\n")
    files = [{"path": str(path), "content": SECRET, "sensitive": True}, {"path": str(plain), "content": "new plain\n"}]
    failing = f"""sh -c 'cat {path}; echo unknown value $(cut -d" " -f3 {path}) in line 1; false'"""
    results = [
        run_module("file_set", check=True, files=files),
        run_module("file_set", files=files, validate=failing),
        run_module("file_set", files=files, wrong=1),
        run_module("file_set", files=[files[0], {"path": "relative", "content": SECRET}]),
        run_module("file_set", files=[files[0], {"state": "fil"}]),
        run_module("file_set", files=[files[0], "path"]),
        run_module("file_set", files=files),
        run_module("file_set", files=[{**files[0], "state": "absent"}]),
    ]
    assert [bool(result.get("failed")) for result in results] == [False, True, True, True, True, True, False, False]
    for result in results:
        assert "correct-horse" not in json.dumps(result)
        assert "old-secret-value" not in json.dumps(result)
    assert contents(results[0], path) == ("(sensitive content, old)\n", "(sensitive content, new)\n")
    assert contents(results[0], plain) == ("old plain\n", "new plain\n")
    assert "unknown value ******** in line 1" in results[1]["msg"]
    assert "new plain" not in json.dumps(results[0]["invocation"])


def test_redact_leaves_short_lines() -> None:
    """A brace on a line of its own is no secret; a longer secret is blotted out as a whole."""
    items = [Item("/s", content=b"{\n  key: 'hunter22';\n}\nhunter22more\n", sensitive=True), Item("/p", content=b"plain text\n")]
    assert redact("{ } hunter22 hunter22more plain text", items) == "{ } ******** ******** plain text"


def test_all_problems_at_once_before_anything_is_written(run_module: Run, old: Path) -> None:
    """One message names all that is wrong, and the good items are not written either."""
    os.mkfifo(old / "pipe")
    (old / "loop").symlink_to("loop")
    (old / "dangling").symlink_to("nowhere")
    before = tree(old)
    good = {"path": str(old / "n.conf"), "content": "n\n"}
    looked_at = {
        "sub": ({"content": "x"}, "a directory is in the way"),
        "empty": ({"state": "link", "src": "x"}, "a directory is in the way"),
        "a.conf": ({"state": "directory"}, "a file is in the way"),
        "b.conf": ({"state": "link", "src": "x"}, "a file is in the way"),
        "sub/c.conf/x": ({"content": "x"}, "is not a directory"),
        "pipe": ({"content": "x"}, "is a device, socket or pipe"),
        "loop": ({"content": "x"}, "leads back to itself"),
        "dangling": ({"state": "directory"}, "which does not exist"),
        "no/x.conf": ({"content": "x"}, f"its directory {old}/no does not exist: list it before this item"),
        "none/sub": ({"state": "directory"}, f"its directory {old}/none does not exist"),
    }
    result = run_module("file_set", files=[good, *({"path": str(old / name), **item} for name, (item, message) in looked_at.items())])
    assert result["failed"]
    lines = result["msg"].splitlines()
    assert lines[0] == "nothing was written, because"
    assert len(lines) == len(looked_at) + 1
    for line, (name, (_item, message)) in zip(lines[1:], looked_at.items()):
        assert line.startswith(f"- {old / name}: ") and message in line
    assert tree(old) == before


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"path": "etc/x", "content": ""}, "the path is relative: write the whole path, starting with /"),
        ({"path": "/etc/../x", "content": ""}, "contains '..'"),
        ({"path": "/etc/x\0y", "content": ""}, "null character"),
        ({"path": "/x"}, "state: file needs content"),
        ({"path": "/x", "content": {"a": 1}}, "must be text, but it is of type dict"),
        ({"path": "/x", "content": "a\ud800"}, "bad character at position 1"),
        ({"path": "/x", "state": "link"}, "state: link needs src"),
        ({"path": "/x", "state": "link", "src": "/y", "mode": "0644", "owner": "root"}, "state: link takes no owner, mode"),
        ({"path": "/x", "state": "link", "src": "/y", "content": "z"}, "state: link takes no content"),
        ({"path": "/x", "state": "directory", "content": "z"}, "state: directory takes no content"),
        ({"path": "/x", "content": "z", "src": "/y"}, "state: file takes no src"),
        ({"path": "/x", "content": "", "mode": 420}, "write it in quotes, such as '0640'"),
        ({"path": "/x", "content": "", "mode": "rw-r--r--"}, "the mode 'rw-r--r--' is neither octal nor symbolic"),
        ({"path": "/x", "content": "", "mode": "0888"}, "neither octal nor symbolic"),
        ({"path": "/x", "content": "", "owner": "no-such-user"}, "the owner no-such-user does not exist: create the user first"),
        ({"path": "/x", "content": "", "group": "no-such-group"}, "the group no-such-group does not exist: create the group first"),
    ],
)
def test_an_item_that_cannot_be(run_module: Run, item: dict[str, Any], message: str) -> None:
    """An item that is wrong whatever is on the host is refused, and the message says how it should be."""
    result = run_module("file_set", files=[item])
    assert result["failed"] and message in result["msg"]


@pytest.mark.parametrize(("path", "hint"), [("{top}/a.conf", ""), ("{top}//a.conf/", ""), ("{top}/link", ", the first time as {top}/a.conf")])
def test_a_path_listed_twice(run_module: Run, old: Path, path: str, hint: str) -> None:
    """The same file is refused however it is spelled."""
    path = path.format(top=old)
    result = run_module("file_set", files=[{"path": str(old / "a.conf"), "content": "1"}, {"path": path, "content": "2"}])
    assert result["failed"]
    assert result["msg"] == f"{os.path.normpath(path)}: the path is listed twice{hint.format(top=old)}: merge the two items"


@pytest.mark.parametrize(
    ("validate", "message"),
    [("nginx 't", "the quotes in 'nginx 't' do not match"), ("  ", "validate is empty"), ("nginx -t %s", "there is no file to put for %s")],
)
def test_a_validation_that_cannot_be(run_module: Run, old: Path, validate: str, message: str) -> None:
    """A command that could never work is refused before anything is written."""
    result = run_module("file_set", files=[{"path": str(old / "n.conf"), "content": ""}], validate=validate)
    assert result["failed"] and message in result["msg"] and not (old / "n.conf").exists()


def test_absent_ignores_the_rest(run_module: Run, old: Path) -> None:
    """One item can be turned between file and absent by its state alone."""
    item = {"path": str(old / "a.conf"), "state": "absent", "content": "x", "owner": "no-such-user", "mode": "0644", "src": "y"}
    assert run_module("file_set", files=[item])["changed_files"] == [str(old / "a.conf")]


def test_check_mode_on_a_fresh_host(run_module: Run, old: Path) -> None:
    """Owners, groups and directories that earlier tasks would make are a change, not a failure."""
    files = [
        {"path": str(old / "no/such/n.conf"), "content": "n\n", "owner": "no-such-user", "group": "no-such-group", "mode": "0640"},
        {"path": str(old / "a.conf"), "content": "old a\n", "owner": "no-such-user"},
        {"path": str(old / "etc"), "state": "directory", "group": "no-such-group"},
        {"path": str(old / "etc/n.conf"), "content": "n\n"},
    ]
    result = run_module("file_set", check=True, files=files)
    assert result["changed_files"] == [item["path"] for item in files]
    assert properties(result, old / "a.conf")[1] == {"owner": "no-such-user"}


def test_a_file_with_as_many_names_as_it_can_have(run_module: Run, tmp_path: Path) -> None:
    """Where the old file can get no second name, a copy of it is what comes back."""
    path = tmp_path / "file"
    path.write_text("old\n")
    path.chmod(0o604)
    names = tmp_path / "names"
    names.mkdir()
    for number in range(70_000):
        try:
            os.link(path, names / str(number))
        except OSError:
            break
    else:
        pytest.skip("this file system has no limit")
    files = [{"path": str(path), "content": "new\n"}]
    result = run_module("file_set", files=files, validate="false")
    assert "the previous files are back" in result["msg"]
    assert (path.read_text(), mode(path)) == ("old\n", 0o604)
    assert run_module("file_set", files=files)["changed"]
    assert path.read_text() == "new\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "names"]
    shutil.rmtree(names)


class Namespace:
    """A process with mounts of its own: what it sees, and modules run there."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Look into the namespace of I(process)."""
        self._enter = ["nsenter", "--target", str(process.pid), "--mount"]
        self.root = Path(f"/proc/{process.pid}/root")

    def run(self, *command: str) -> None:
        """Run a command there."""
        subprocess.run([*self._enter, *command], check=True)

    def run_module(self, **arguments: Any) -> dict[str, Any]:
        """Run the module there."""
        process = subprocess.run(
            [*self._enter, sys.executable, "-m", "ansible_collections.galaxyops.uwsgi.plugins.modules.file_set"],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.stdout, process.stderr
        result: dict[str, Any] = json.loads(process.stdout)
        return result


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A mount namespace that ends with the test."""
    process = subprocess.Popen(["unshare", "--mount", "sh", "-c", "echo ready; exec sleep 300"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    if process.stdout.readline() != "ready\n":
        pytest.skip("mount namespaces are not allowed here")
    yield Namespace(process)
    process.kill()
    process.communicate()


@as_root
def test_full_disk(namespace: Namespace, tmp_path: Path) -> None:
    """A disk that fills up half-way gets everything back as it was, although there is no room left."""
    namespace.run("mount", "-t", "tmpfs", "-o", "size=64k", "none", str(tmp_path))
    top = namespace.root / str(tmp_path)[1:]
    (top / "a.conf").write_text("old a\n")
    (top / "b.conf").write_text("old b\n")
    before = tree(top)
    files = [
        {"path": f"{tmp_path}/sub", "state": "directory"},
        {"path": f"{tmp_path}/a.conf", "content": "new a\n" * 1000, "mode": "0600"},
        {"path": f"{tmp_path}/b.conf", "state": "absent"},
        {"path": f"{tmp_path}/sub/n.conf", "content": "too much\n" * 10_000},
    ]
    result = namespace.run_module(files=files)
    assert result["failed"]
    assert f"cannot write {tmp_path}/sub/n.conf: the file system is full" in result["msg"]
    assert "Nothing has changed: the previous files are back." in result["msg"]
    assert tree(top) == before


@as_root
def test_read_only(namespace: Namespace, old: Path, tmp_path: Path) -> None:
    """A read-only file system reached half-way through the list gets the rest back as it was."""
    mount = tmp_path / "mount"
    mount.mkdir()
    namespace.run("mount", "-t", "tmpfs", "-o", "ro", "none", str(mount))
    before = tree(old)
    result = namespace.run_module(files=[*everything(old), {"path": f"{mount}/n.conf", "content": "n\n"}])
    assert result["failed"]
    assert f"cannot write {mount}/n.conf: the file system is mounted read-only" in result["msg"]
    assert "the previous files are back" in result["msg"]
    assert tree(old) == before


@as_root
def test_system_log(namespace: Namespace, tmp_path: Path) -> None:
    """The system log says which files were to be written, and not what is in them."""
    namespace.run(
        "sh", "-ec", f"mkdir {tmp_path}/dev; mount --rbind /dev {tmp_path}/dev; mount -t tmpfs none /dev; cp -a {tmp_path}/dev/null {tmp_path}/dev/urandom /dev"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(namespace.root / "dev/log"))
        log.settimeout(10)
        path = tmp_path / "file"
        assert namespace.run_module(files=[{"path": str(path), "content": "plain words\n"}, {"path": "secret", "content": SECRET, "sensitive": True}])["failed"]
        line = log.recv(65536).decode()
    assert str(path) in line
    assert "plain words" not in line and "correct-horse" not in line


def test_value_of_an_option_on_the_host_gets_into_a_file_and_nowhere_else(run_module: Run, tmp_path: Path) -> None:
    ini, path = tmp_path / "galaxy.ini", tmp_path / "galaxy.secret"
    source = {"path": str(ini), "section": "app:main", "option": "remote_user_secret"}
    item = {"path": str(path), "content": "default @value@;\n", "value_from": source, "mode": "0600", "sensitive": True}
    assert run_module("file_set", check=True, files=[item])["changed"]
    result = run_module("file_set", files=[item])
    assert result["msg"].endswith(f"{path}: {ini} has no option remote_user_secret in [app:main]: set the option first")
    ini.write_text("[DEFAULT]\nword = sword\n[app:main]\nremote_user_secret = %(word)sfish\n")
    result = run_module("file_set", files=[item], validate="sh -c 'cat %s; true'".replace("%s", str(path)))
    assert path.read_text() == "default swordfish;\n"
    assert result["changed"] and "swordfish" not in str(result)
    assert not run_module("file_set", files=[item])["changed"]
    failed = run_module("file_set", files=[{**item, "content": "other @value@;\n"}], validate=f"sh -c 'cat {path}; false'")
    assert failed["failed"] and "swordfish" not in str(failed)
    assert path.read_text() == "default swordfish;\n"


def test_value_from_an_option_is_the_one_that_the_application_gets(run_module: Run, tmp_path: Path) -> None:
    path, ini = tmp_path / "secret", tmp_path / "galaxy.ini"
    source = {"path": str(ini), "section": "app:main", "option": "remote_user_secret"}
    item = {"path": str(path), "content": "default @value@;\n", "value_from": source, "sensitive": True}
    ini.write_text("[app:main]\nuse = galaxy\n[app:galaxy]\nuse = egg:x\nremote_user_secret = swordfish\n")
    assert run_module("file_set", files=[item])["changed"]
    assert path.read_text() == "default swordfish;\n"
    ini.write_text("[DEFAULT]\nremote_user_secret = hunter2\n[app:main]\nuse = egg:x\nremote_user_secret = swordfish\n")
    assert "has no option remote_user_secret in [app:main]" in run_module("file_set", files=[item])["msg"]


@pytest.mark.parametrize("link", [False, True])
def test_value_from_an_option_may_be_in_a_galaxy_yml(run_module: Run, tmp_path: Path, link: bool) -> None:
    path, yml, ini = tmp_path / "secret", tmp_path / "galaxy.yml", tmp_path / "galaxy.ini"
    ini.write_text(f"[app:main]\npaste.app_factory = galaxy_wsgi:app_factory\ngalaxy_config_file = {yml}\n")
    source = {"path": str(ini if link else yml), "section": "app:main", "option": "remote_user_secret"}
    item = {"path": str(path), "content": "default @value@;\n", "value_from": source, "sensitive": True}
    yml.write_text("galaxy:\n  brand: x\n")
    assert "has no option remote_user_secret in [app:main]" in run_module("file_set", files=[item])["msg"]
    yml.write_text("galaxy:\n  remote_user_secret: swordfish\n")
    result = run_module("file_set", files=[item])
    assert path.read_text() == "default swordfish;\n"
    assert "swordfish" not in str(result)


def test_edits_leave_every_other_byte_as_it_is(run_module: Run, tmp_path: Path) -> None:
    path = tmp_path / "nginx.conf"
    path.write_bytes("user www-data;\r\n# Größe\nevents {\n\tn 7;\n}".encode())
    path.chmod(0o640)
    edits = [{"regexp": r"^(user) (\S+);", "replace": r"\1 \2 games;"}, {"regexp": r"^(\s*n) 7;$", "replace": r"\1 8;"}]
    item = {"path": str(path), "edits": edits}
    assert run_module("file_set", check=True, files=[item])["changed"]
    result = run_module("file_set", files=[item])
    assert result["changed_files"] == [str(path)]
    assert path.read_bytes() == "user www-data games;\r\n# Größe\nevents {\n\tn 8;\n}".encode()
    assert mode(path) == 0o640
    assert not run_module("file_set", files=[item])["changed"]


def test_edits_are_taken_back_with_all_else(run_module: Run, tmp_path: Path) -> None:
    path = tmp_path / "nginx.conf"
    path.write_text("user www-data;\n")
    files = [{"path": str(path), "edits": [{"regexp": "www-data", "replace": "nobody"}]}, {"path": str(tmp_path / "site"), "content": "x"}]
    assert run_module("file_set", files=files, validate="false")["failed"]
    assert path.read_text() == "user www-data;\n"
    assert not (tmp_path / "site").exists()


def test_directive_gets_a_value_and_its_former_one_back(run_module: Run, tmp_path: Path) -> None:
    path = tmp_path / "nginx.conf"
    before = "user www-data;\nevents {\n\tworker_connections 768;\n}\n"
    path.write_text(before)
    user = {"directive": "user", "note": "# ours, instead of", "keep": True}
    connections = {"directive": "worker_connections", "note": "# ours, instead of", "below": 2000}
    item = {"path": str(path), "edits": [{**user, "value": "games"}, {**connections, "value": "8192"}]}
    assert run_module("file_set", files=[item])["changed"]
    assert path.read_text() == (
        "user www-data games; # ours, instead of www-data;\nevents {\n\tworker_connections 8192; # ours, instead of 768;\n}\n"
    )
    assert not run_module("file_set", files=[item])["changed"]
    assert run_module("file_set", files=[{"path": str(path), "edits": [user, connections]}])["changed"]
    assert path.read_text() == before
    incomplete: list[dict[str, Any]] = [{"directive": "user"}, {"regexp": "a"}, {**user, "regexp": "a", "replace": "b"}, {}]
    for edit in incomplete:
        assert run_module("file_set", files=[{"path": str(path), "edits": [edit]}])["failed"]


@pytest.mark.parametrize(
    ("content", "edits", "said"),
    [
        (None, [], "there is no such file to edit"),
        (b"a\xff\n", [], "is not UTF-8 at byte 1"),
        (b"a\n", [{"regexp": "(", "replace": ""}], "the edit '(' is no regular expression"),
        (b"a\n", [{"regexp": "a", "replace": r"\1"}], "names no group"),
    ],
)
def test_edit_that_cannot_be_made_is_told(run_module: Run, tmp_path: Path, content: bytes | None, edits: list[dict[str, str]], said: str) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    result = run_module("file_set", files=[{"path": str(path), "edits": edits}])
    assert result["failed"] and said in result["msg"] and str(path) in result["msg"]


def test_edits_of_a_file_that_an_earlier_task_makes_are_no_error_in_check_mode(run_module: Run, tmp_path: Path) -> None:
    item = {"path": str(tmp_path / "file"), "edits": [{"regexp": "a", "replace": "b"}]}
    assert not run_module("file_set", check=True, files=[item]).get("failed")
    both = {**item, "content": "x"}
    assert "content and edits cannot be written both" in run_module("file_set", files=[both])["msg"]


MARKED = "# Managed by the role galaxyops.uwsgi.uwsgi\n"


def test_file_of_somebody_else_is_never_overwritten(run_module: Run, tmp_path: Path) -> None:
    unit, other = tmp_path / "galaxy-handler@.service", tmp_path / "other"
    unit.write_text(";\n; This file is maintained by Gravity - CHANGES WILL BE OVERWRITTEN\n")
    before = tree(tmp_path)
    files = [{"path": str(other), "content": ""}, {"path": str(unit), "content": MARKED, "mark": "galaxyops.uwsgi"}]
    for check in (True, False):
        result = run_module("file_set", check, files=files)
        assert result["failed"] and f"{unit}: the file is of Gravity and lacks 'galaxyops.uwsgi'" in result["msg"]
    assert tree(tmp_path) == before
    unit.write_text(f"{MARKED}old\n")
    assert run_module("file_set", files=files)["changed"]
    assert unit.read_text() == MARKED
    assert not run_module("file_set", files=files)["changed"]


def test_link_to_a_file_of_somebody_else_is_never_turned(run_module: Run, tmp_path: Path) -> None:
    site, theirs, link = tmp_path / "site", tmp_path / "theirs", tmp_path / "link"
    theirs.write_text("server {}\n")
    link.symlink_to(theirs)
    files = [
        {"path": str(site), "content": MARKED, "mark": "galaxyops.uwsgi"},
        {"path": str(link), "state": "link", "src": str(site), "mark": "galaxyops.uwsgi"},
    ]
    result = run_module("file_set", files=files)
    assert result["failed"] and f"{link}: the file is of somebody else" in result["msg"]
    assert not site.exists()
    theirs.unlink()
    assert run_module("file_set", files=files)["changed"]
    assert link.read_text() == MARKED
    assert not run_module("file_set", files=files)["changed"]


def test_file_of_somebody_else_is_never_removed(run_module: Run, tmp_path: Path) -> None:
    theirs, ours, link = tmp_path / "theirs", tmp_path / "ours", tmp_path / "link"
    theirs.write_text("[Unit]\n")
    ours.write_text(MARKED)
    link.symlink_to(ours)
    files = [{"path": str(path), "state": "absent", "mark": "galaxyops.uwsgi"} for path in (theirs, link, ours)]
    result = run_module("file_set", files=files)
    assert (result["changed_files"], result["kept"]) == ([str(link), str(ours)], [str(theirs)])
    assert theirs.exists() and not ours.exists() and not link.is_symlink()
    assert not run_module("file_set", files=files)["changed"]
