# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as a change to a process, and what does not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from control_helpers import GALAXY_YML, works, write

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _job_conf, _paste_ini

GALAXY_INI = "# Galaxy\n\n[app:main]\nid_secret = x\n  indented = y\n\n# the end\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"[app:main]\na = 1\n", b"[app:main]\na = 1\n\n[uwsgi]\nmaster = true\n"),
        (b"[app:main]\na = 1", b"[app:main]\na = 1\n\n[uwsgi]\nmaster = true\n"),
        (b"[app:main]\na = 1\n", b"[uwsgi]\nmaster = true\nthreads = 4\n\n[app:main]\na = 1\n"),
        (b"[app:main]\na = 1\n[x]\n", b"[app:main]\na = 1\n[uwsgi]\n# [no section]\nmaster = true\n[x]\n"),
        (b"[app:main]\r\na = 1\r\n", b"[app:main]\r\na = 1\r\n\r\n[uwsgi]\r\nmaster = true\r\n"),
    ],
)
def test_without_a_section_its_changes_are_none(control: Any, before: bytes, after: bytes) -> None:
    assert control.without_section(before, "uwsgi") == control.without_section(after, "uwsgi")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"[app:main]\na = 1\n", b"[app:main]\na = 2\n"),
        (b"[app:main]\na = 1\n  b\n", b"[app:main]\na = 1\nb\n"),
        (b"[uwsgi]\n[uwsgi2]\na = 1\n", b"[uwsgi]\n[uwsgi2]\na = 2\n"),
        (b"[uwsgi]\nx = 1\n[app:main]\na = 1\n", b"[uwsgi]\nx = 1\n[app:main]\na = 2\n"),
    ],
)
def test_without_a_section_other_changes_still_are(control: Any, before: bytes, after: bytes) -> None:
    assert control.without_section(before, "uwsgi") != control.without_section(after, "uwsgi")


@pytest.mark.parametrize(
    "text", [GALAXY_INI, GALAXY_INI.rstrip("\n"), GALAXY_INI.replace("\n", "\r\n"), "[app:main]\n"]
)
def test_what_the_uwsgi_role_writes_is_no_change_to_handlers(control: Any, text: str) -> None:
    changed = _paste_ini.set_section(text, "uwsgi", {"master": "true", "threads": "4"})
    assert changed != text
    assert control.without_section(changed.encode(), "uwsgi") == control.without_section(text.encode(), "uwsgi")


JOB_CONF = {
    "xml": _job_conf.MINIMAL["xml"],
    "yaml": _job_conf.MINIMAL["yaml"],
    "xml with comments": b"""\
<job_conf>
    <!-- The <handlers> are below. -->
    <plugins workers="4"/>
    <handlers>
        <!-- one for all -->
        <handler id="old"/>
    </handlers>
    <destinations/>
</job_conf>
""",
    "yaml in the middle": b"runners: {}\r\nhandling:\r\n  processes:\r\n    old:\r\n\r\n  # a comment\r\nexecution: {}\r\n",
}


def job_conf(name: str, *handlers: _job_conf.Handler) -> bytes:
    """The job configuration of this name with these handlers, as job_conf_handlers writes it."""
    kind = name.split()[0]
    wanted = _job_conf.Handling(handlers=handlers, assign_with=("db-preassign",))
    content = _job_conf.present(JOB_CONF[name], f"job_conf.{kind}", kind, wanted, purge=True).content
    assert content
    return content


@pytest.mark.parametrize("name", JOB_CONF)
def test_another_handler_is_no_change_to_handlers(control: Any, name: str) -> None:
    one = job_conf(name, _job_conf.Handler("handler0"))
    others = [
        job_conf(name, _job_conf.Handler("handler0"), _job_conf.Handler("handler1")),
        job_conf(
            name, _job_conf.Handler("handler0", tags=("a", "b")), _job_conf.Handler("c", plugins=("local", "slurm"))
        ),
    ]
    assert {control.without_handlers(text) for text in others} == {control.without_handlers(one)}


@pytest.mark.parametrize("name", JOB_CONF)
def test_another_runner_is_a_change_to_handlers(control: Any, name: str) -> None:
    text = job_conf(name, _job_conf.Handler("handler0"), _job_conf.Handler("handler1"))
    for old, new in (
        (b"runner", b"Runner"),
        (b"plugins", b"Plugins"),
        (b"execution", b"Execution"),
        (b"destinations", b"Destinations"),
    ):
        if old in text:
            assert control.without_handlers(text) != control.without_handlers(text.replace(old, new))


@pytest.mark.parametrize("element", [b"<handlers/>", b'<handlers assign_with="db-self" />', b"<handlers></handlers>"])
def test_an_element_without_handlers_is_cut_out_alone(control: Any, element: bytes) -> None:
    assert control.without_handlers(b"<job_conf>" + element + b'<plugins><plugin id="x"/></plugins></job_conf>') == (
        b'<job_conf><plugins><plugin id="x"/></plugins></job_conf>'
    )


def test_a_fingerprint_is_of_names_contents_and_targets(control: Any, tmp_path: Path) -> None:
    one, two, link = tmp_path / "one", tmp_path / "two", tmp_path / "link"
    one.write_text("ab")
    two.write_text("c")
    link.symlink_to(one)
    watch = [{"path": str(one)}, {"path": str(two)}, {"path": str(link), "link": True}]
    seen = [control.fingerprint.fingerprint(watch)]
    assert control.fingerprint.fingerprint(watch) == seen[0]

    # What moves from one file to the next leaves the text of both together as it was.
    one.write_text("a")
    two.write_text("bc")
    seen.append(control.fingerprint.fingerprint(watch))
    two.unlink()
    seen.append(control.fingerprint.fingerprint(watch))
    two.write_text("")
    seen.append(control.fingerprint.fingerprint(watch))
    link.unlink()
    link.symlink_to(two)
    seen.append(control.fingerprint.fingerprint(watch))
    assert len(set(seen)) == len(seen)


def test_a_fingerprint_follows_a_link_through_links(control: Any, tmp_path: Path) -> None:
    (tmp_path / "venvs" / "1").mkdir(parents=True)
    (tmp_path / "venvs" / "2").mkdir()
    (tmp_path / "current").symlink_to("venvs/1")
    (tmp_path / "venv").symlink_to("current")
    watch = [{"path": str(tmp_path / "venv"), "link": True}]
    before = control.fingerprint.fingerprint(watch)
    (tmp_path / "venvs" / "1" / "new").write_text("what lies in it does not count")
    assert control.fingerprint.fingerprint(watch) == before
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to("venvs/2")
    assert control.fingerprint.fingerprint(watch) != before


def test_a_fingerprint_takes_every_file_that_a_pattern_names(control: Any, tmp_path: Path) -> None:
    watch = [{"path": str(tmp_path / "lib" / "python3*" / "*uwsgi*.dist-info" / "RECORD")}]
    seen = [control.fingerprint.fingerprint(watch)]
    for name in ("pyuwsgi-2.0.30.dist-info", "uwsgidecorators-1.1.0.dist-info"):
        (tmp_path / "lib" / "python3.11" / name).mkdir(parents=True)
        (tmp_path / "lib" / "python3.11" / name / "RECORD").write_text("same")
        seen.append(control.fingerprint.fingerprint(watch))
    assert len(set(seen)) == 3


def test_code_is_watched_in_directories_too_and_never_put_back(control: Any, etc: Path, tmp_path: Path) -> None:
    """As C(git pull) changes it: the branch that HEAD names leads to another commit."""
    heads = tmp_path / ".git" / "refs" / "heads"
    (heads / "feature").mkdir(parents=True)
    (heads / "feature" / "x").write_text("1")
    write(etc, "web", manager="systemd", code=[f"{tmp_path}/.git/HEAD", f"{heads}/**"])
    web = control.Web.read("galaxy")
    before = control.fingerprint.fingerprint(web.watch)
    works(web.known_good, web.version)
    (heads / "feature" / "x").write_text("2")
    assert control.fingerprint.fingerprint(web.watch) != before
    assert web.known_good.restore().files == []
    shutil.rmtree(tmp_path / ".git")
    assert control.fingerprint.fingerprint(web.watch) not in ("", before)


def test_a_value_in_the_configuration_counts_too(control: Any) -> None:
    def one(value: Any) -> str:
        return str(control.fingerprint.fingerprint([{"value": value}]))

    assert one({"tags": ["a"], "plugins": []}) == one({"plugins": [], "tags": ["a"]})
    assert one({"tags": ["a"]}) != one({"tags": ["b"]})


def test_a_process_is_current_until_what_it_runs_changes(control: Any, etc: Path, run: Path, tmp_path: Path) -> None:
    (tmp_path / "galaxy.ini").write_text("[app:main]\n")
    write(etc, "web", watch=[{"path": str(tmp_path / "galaxy.ini")}])
    first, second = control.control_for("galaxy", "web").slots()
    first.directory.mkdir(parents=True)
    assert not first.current
    first.record()
    assert first.current
    assert not second.current
    assert [str(path.relative_to(run)) for path in run.rglob("fingerprint")] == ["galaxy/web-1/fingerprint"]
    (tmp_path / "galaxy.ini").write_text("[app:main]\nnew = 1\n")
    assert not first.current


@pytest.mark.parametrize(
    ("setting", "value", "stale"),
    [
        ("tags", ["a"], ["handler0"]),
        ("plugins", ["slurm"], ["handler0"]),
        ("assign_with", ["db-skip-locked"], ["handler0", "handler1"]),
    ],
)
def test_a_handler_is_current_until_its_own_settings_change(
    control: Any, etc: Path, setting: str, value: Any, stale: list[str]
) -> None:
    settings: dict[str, dict[str, Any]] = {
        name: {"tags": [], "plugins": [], "assign_with": ["db-preassign"]} for name in ("handler0", "handler1")
    }
    write(etc, "handlers", handlers=settings)
    for process in control.control_for("galaxy", "handlers").processes().values():
        process.directory.mkdir(parents=True)
        process.record()
    for name in stale:
        settings[name][setting] = value
    write(etc, "handlers", handlers={**settings, "handler2": {"tags": []}})
    processes = control.control_for("galaxy", "handlers").processes()
    assert [name for name, process in processes.items() if not process.current] == [*stale, "handler2"]


def test_an_environment_counts_for_its_handler_alone(control: Any, etc: Path) -> None:
    environments = etc / "galaxy" / "handlers-environments.json"
    write(etc, "handlers", handlers={"a": {}, "b": {}}, environments=str(environments))
    handlers = control.control_for("galaxy", "handlers")
    assert handlers.own_environment("a") == {}
    for process in handlers.processes().values():
        process.directory.mkdir(parents=True)
        process.record()
    environments.write_text('{"a": {"TOKEN": 7}}')
    assert handlers.own_environment("a") == {"TOKEN": "7"}
    assert [name for name, process in handlers.processes().items() if not process.current] == ["a"]


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (b"process_manager: systemd", b"process_manager: supervisor", True),
        (b"  handlers: {}\n", b"", True),
        (b"- a\n", b"- a\n- b\n", True),
        (b"  brand: x", b"  brand: y", False),
        (b"      no: key", b"      no: key2", False),
        (b"  x: 1", b"  x: 2", False),
        (b"systemd", b"&manager systemd", False),
    ],
)
def test_keys_of_other_programs_are_no_change(control: Any, before: bytes, after: bytes, same: bool) -> None:
    assert before in GALAXY_YML
    changed = GALAXY_YML.replace(before, after, 1)
    for text, other in ((GALAXY_YML, changed), (GALAXY_YML.replace(b"\n", b"\r\n"), changed.replace(b"\n", b"\r\n"))):
        assert (
            control.without_keys(text, ["gravity", "uwsgi"]) == control.without_keys(other, ["gravity", "uwsgi"])
        ) is same
