# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What last worked, and comes back."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from control_helpers import GALAXY_YML, works


def kept(control: Any, tmp_path: Path, *watch: dict[str, Any]) -> Any:
    """Known-good copies of files."""
    return control.KnownGood(tmp_path / "state" / "galaxy" / "web", list(watch))


def one_that_works(control: Any, tmp_path: Path) -> tuple[Path, Any]:
    """A file that works as version 1, and its known-good copies."""
    path = tmp_path / "galaxy.ini"
    path.write_text("works")
    keep = kept(control, tmp_path, {"path": str(path)})
    works(keep, "1")
    return path, keep


def test_files_come_back_as_they_last_worked(control: Any, tmp_path: Path) -> None:
    """Contents, modes and links; what was rejected is kept, what was not there is gone again."""
    changed, same, new, gone, link = (
        tmp_path / name for name in ("changed.ini", "same.ini", "new.ini", "gone.ini", "venv")
    )
    for path in (changed, same, gone):
        path.write_text(f"{path.name} works")
    changed.chmod(0o640)
    for target in ("1", "2"):
        (tmp_path / target).mkdir()
    link.symlink_to("1")
    watch = [{"path": str(path)} for path in (changed, same, new, gone)]
    keep = kept(control, tmp_path, *watch, {"path": str(link), "link": True}, {"value": 1})
    assert not keep.exists
    keep.save("good")
    assert not keep.exists, "nobody has seen it work yet"
    keep.adopt("good")
    assert keep.exists
    assert keep.restore().files == []

    changed.write_text("broken")
    changed.chmod(0o600)
    new.write_text("new")
    gone.unlink()
    link.unlink()
    link.symlink_to("2")
    assert keep.restore().files == [str(path) for path in (changed, new, gone, link)]
    assert (changed.read_text(), same.read_text(), gone.read_text()) == (
        "changed.ini works",
        "same.ini works",
        "gone.ini works",
    )
    assert changed.stat().st_mode & 0o777 == 0o640
    assert not new.exists()
    assert os.readlink(link) == "1"
    rejected = keep.directory / "rejected"
    assert (rejected / changed.relative_to("/")).read_text() == "broken"
    assert (rejected / new.relative_to("/")).read_text() == "new"
    assert keep.directory.stat().st_mode & 0o777 == 0o700
    assert keep.last_roll_back.startswith("rolled back at ")
    works(keep, "the same files, started by another service manager")
    assert keep.last_roll_back
    changed.write_text("works too")
    works(keep, "next")
    assert keep.last_roll_back == "", "another version has worked since"
    keep.remove()
    assert not (tmp_path / "state" / "galaxy").exists()


def test_what_was_installed_is_neither_kept_nor_put_back(control: Any, tmp_path: Path) -> None:
    (tmp_path / "RECORD").write_text("1")
    keep = kept(control, tmp_path, {"path": str(tmp_path / "*ECORD"), "installed": True})
    works(keep, "1")
    (tmp_path / "RECORD").write_text("2")
    assert keep.restore().files == []
    assert (tmp_path / "RECORD").read_text() == "2"


def test_a_link_never_leads_back_to_what_is_gone(control: Any, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "venv").symlink_to("1")
    keep = kept(control, tmp_path, {"path": str(tmp_path / "venv"), "link": True})
    works(keep, "1")
    (tmp_path / "venv").unlink()
    (tmp_path / "venv").symlink_to("2")
    (tmp_path / "1").rmdir()
    assert keep.restore().files == []


@pytest.mark.parametrize("as_link", [True, False])
def test_copies_of_an_earlier_release_are_gone_back_to_and_followed(
    control: Any, tmp_path: Path, as_link: bool
) -> None:
    path = tmp_path / "galaxy.ini"
    path.write_text("broken")
    keep = kept(control, tmp_path, {"path": str(path)})
    copies = keep.directory / ("running-1" if as_link else "running")
    (copies / path.parent.relative_to("/")).mkdir(parents=True)
    (copies / path.relative_to("/")).write_text("works")
    (copies / "links.json").write_text("{}")
    if as_link:
        (keep.directory / "running").symlink_to("running-1")
    assert keep.exists
    assert keep.restore().files == [str(path)]
    assert path.read_text() == "works"
    path.write_text("works too")
    works(keep, "2")
    path.write_text("broken")
    keep.restore()
    assert path.read_text() == "works too"
    assert keep.has_previous == as_link


def test_there_is_always_something_to_go_back_to(control: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that is killed at any of its steps leaves the copies before it."""
    path, keep = one_that_works(control, tmp_path)
    path.write_text("works too")

    class Killed(BaseException):
        pass

    def killed(*_arguments: Any, **_options: Any) -> None:
        raise Killed

    for name in ("mkdir", "rename", "symlink"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(os, name, killed)
            works(keep, "2")
        assert keep.exists, name
        assert keep.version == "1", name
        assert (keep.directory / "running" / path.relative_to("/")).read_text() == "works", name
    works(keep, "2")
    assert (keep.directory / "running" / path.relative_to("/")).read_text() == "works too"
    assert (keep.directory / "previous" / path.relative_to("/")).read_text() == "works"
    path.write_text("works still")
    works(keep, "3")
    keep.save("3")
    assert len(list(keep.directory.iterdir())) == 4, "two links, and what they lead to"


def test_a_version_that_failed_soon_gives_way_to_the_one_before_it_once(control: Any, tmp_path: Path) -> None:
    path = tmp_path / "galaxy.ini"
    path.write_text("1")
    keep = kept(control, tmp_path, {"path": str(path)})
    assert keep.age == float("inf")
    works(keep, "one")
    assert keep.age < 60
    assert not keep.has_previous
    path.write_text("2")
    works(keep, "two")
    assert keep.restore(to="previous").files == [str(path)]
    assert (path.read_text(), keep.version, keep.has_previous) == ("1", "one", False)


def test_what_was_written_since_a_process_started_tells_that_it_may_have_ended_by_that(
    control: Any, tmp_path: Path
) -> None:
    path, keep = one_that_works(control, tmp_path)
    missing = kept(control, tmp_path, {"path": str(tmp_path / "missing.ini")})
    link = tmp_path / "venv"
    link.symlink_to("1")
    links = kept(control, tmp_path, {"path": str(link), "link": True})
    time.sleep(0.05)
    start = time.time()
    assert not any(copies.written_since(start) for copies in (keep, missing, links))
    time.sleep(0.05)
    path.write_text("broken")
    assert keep.written_since(start)
    keep.restore()
    assert path.read_text() == "works"
    assert keep.written_since(start), "what it was meanwhile is not known any more"
    link.unlink()
    link.symlink_to("2")
    assert links.written_since(start)


def test_what_has_been_changed_again_is_not_taken_away(control: Any, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.ini", tmp_path / "theirs.ini"
    for path in (ours, theirs):
        path.write_text("works")
    keep = kept(control, tmp_path, {"path": str(ours)}, {"path": str(theirs)})
    works(keep, "1")
    for path in (ours, theirs):
        path.write_text("broken")
    keep.save("2")
    theirs.write_text("mended")
    done = keep.restore("2")
    assert (done.files, done.changed) == ([str(ours)], [str(theirs)])
    assert (ours.read_text(), theirs.read_text()) == ("works", "mended")


def test_who_waits_is_told_of_files_that_another_call_has_taken_away(control: Any, tmp_path: Path) -> None:
    path, keep = one_that_works(control, tmp_path)
    path.write_text("wanted")
    before, since = keep.contents(), time.time()
    assert keep.taken_away(before, since) == []
    keep.restore()
    assert keep.taken_away(before, since) == [str(path)]
    assert keep.taken_away(before, time.time()) == [], "that was before this call"
    path.write_text("wanted")
    assert keep.taken_away(before, since) == [], "somebody has written it again"


def test_what_is_of_other_processes_stays_as_it_is(control: Any, tmp_path: Path) -> None:
    """A job configuration whose handlers alone have changed, and the section of the web processes."""
    jobs, ini = tmp_path / "job_conf.yml", tmp_path / "galaxy.ini"
    jobs.write_text("runners: {}\nhandling:\n  processes:\n    a: {}\n")
    ini.write_text("[uwsgi]\nthreads = 4\n\n[app:main]\nx = 1\n")
    keep = kept(
        control, tmp_path, {"path": str(jobs), "without_handlers": True}, {"path": str(ini), "without_section": "uwsgi"}
    )
    works(keep, "1")
    jobs.write_text("runners: {}\nhandling:\n  processes:\n    a: {}\n    b: {}\n")
    ini.write_text("[uwsgi]\nthreads = 5\n\n[app:main]\nx = 1\n")
    assert keep.restore().files == []
    ini.write_text("[uwsgi]\nthreads = 5\n\n[app:main]\nx = broken\n")
    assert keep.restore().files == [str(ini)]
    assert ini.read_text() == "[uwsgi]\nthreads = 5\n\n[app:main]\nx = 1\n"


@pytest.mark.parametrize(
    ("text", "other", "expected"),
    [
        (b"[a]\n1\n[uwsgi]\n2\n[b]\n3\n", b"[uwsgi]\n4\n", b"[a]\n1\n[uwsgi]\n4\n[b]\n3\n"),
        (b"[a]\n1\n[uwsgi]\n2\n[b]\n3\n", b"[uwsgi]\n4", b"[a]\n1\n[uwsgi]\n4\n[b]\n3\n"),
        (b"[a]\n1\n[uwsgi]\n2\n[b]\n3\n", b"[b]\n5\n", b"[a]\n1\n[b]\n3\n"),
        (b"[a]\n1", b"[uwsgi]\n4\n[b]\n5\n", b"[a]\n1\n[uwsgi]\n4\n"),
        (b"[a]\n1\n", b"[b]\n5\n", b"[a]\n1\n"),
    ],
)
def test_a_section_is_taken_from_another_text(control: Any, text: bytes, other: bytes, expected: bytes) -> None:
    assert control.with_section(text, "uwsgi", other) == expected


def test_a_full_disk_is_told_before_anything_is_replaced(
    control: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, keep = one_that_works(control, tmp_path)
    path.write_text("works too")

    def full(*_arguments: Any, **_options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(control.ControlError, match=r"No space left on device.*Nothing has been replaced"):
        keep.save("2")
    assert keep.version == "1"


def test_what_works_comes_back_where_there_is_no_space_for_what_was_rejected(control: Any, tmp_path: Path) -> None:
    path, keep = one_that_works(control, tmp_path)
    path.write_text("broken")
    # As good as full: nobody can make a directory there.
    keep.rejected = tmp_path / "file" / "rejected"
    (tmp_path / "file").write_text("")
    done = keep.restore()
    assert path.read_text() == "works"
    assert done.files == [str(path)]
    assert "what was rejected is not kept" in done.problems[0]


def test_keys_of_other_programs_stay_as_they_are(control: Any, tmp_path: Path) -> None:
    file = tmp_path / "galaxy.yml"
    file.write_bytes(GALAXY_YML)
    keep = kept(control, tmp_path, {"path": str(file), "without_keys": ["gravity", "uwsgi"]})
    works(keep, "1")
    changed = GALAXY_YML.replace(b"systemd", b"supervisor")
    file.write_bytes(changed)
    assert keep.restore().files == []
    file.write_bytes(changed.replace(b"brand: x", b"brand: [broken"))
    assert keep.restore().files == [str(file)]
    assert file.read_bytes() == changed
