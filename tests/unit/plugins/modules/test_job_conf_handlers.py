# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module, really run: what it writes, reports, backs up and refuses."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _job_conf
from ansible_collections.galaxyops.uwsgi.plugins.modules import job_conf_handlers

Run = Callable[..., dict[str, Any]]

FILES = {
    "job_conf.xml": '<?xml version="1.0"?>\r\n<job_conf>\r\n\t<plugins/>\r\n\t<!-- why -->\r\n\t<destinations/>\r\n</job_conf>\r\n',
    "job_conf.yml": "runners: {}\r\n# why\r\nexecution: {}  # later\r\n",
}
ADDED = {
    "job_conf.xml": '\t<handlers assign_with="db-preassign" default="all">\r\n\t\t<handler id="h0" tags="all"/>\r\n\t</handlers>\r\n',
    "job_conf.yml": "handling:\r\n  assign: [db-preassign]\r\n  default: all\r\n  processes:\r\n    h0:\r\n      tags: [all]\r\n",
}
ASKED: dict[str, Any] = {"handlers": [{"id": "h0", "tags": ["all"]}], "assign_with": ["db-preassign"], "default": "all"}


@pytest.fixture(params=sorted(FILES))
def conf(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A job configuration of either format, with the line endings of Windows."""
    path = tmp_path / str(request.param)
    path.write_bytes(FILES[path.name].encode())
    return path


def test_handlers_are_added_once_with_diff_backup_and_mode(run_module: Run, conf: Path) -> None:
    before = conf.read_bytes().decode()
    check = run_module("job_conf_handlers", check=True, path=str(conf), mode="0640", **ASKED)
    assert check["changed"]
    assert "backup_file" not in check
    assert conf.read_bytes().decode() == before

    result = run_module("job_conf_handlers", path=str(conf), mode="0640", backup=True, **ASKED)
    after = conf.read_bytes().decode()
    assert after.replace(ADDED[conf.name], "") == before != after
    assert result["changed"]
    assert (result["path"], result["handlers"], result["removed"]) == (str(conf), ["h0"], [])
    assert result["diff"]["before"] == check["diff"]["before"] == before
    assert result["diff"]["after"] == check["diff"]["after"] == after
    assert Path(result["backup_file"]).read_bytes().decode() == before
    assert conf.stat().st_mode & 0o777 == 0o640

    again = run_module("job_conf_handlers", path=str(conf), mode="0640", backup=True, **ASKED)
    assert not again["changed"]
    assert "backup_file" not in again


def test_foreign_handlers_stay_unless_purged(run_module: Run, conf: Path) -> None:
    run_module("job_conf_handlers", path=str(conf), handlers=[{"id": "theirs"}, {"id": "all"}], max_grab=2)
    refused = run_module("job_conf_handlers", path=str(conf), **ASKED)
    assert "tag 'all' is also the id of a handler" in refused["msg"]
    kept = run_module("job_conf_handlers", path=str(conf), handlers=[{"id": "h0"}])
    assert (sorted(kept["handlers"]), kept["removed"]) == (["all", "h0", "theirs"], [])
    purged = run_module("job_conf_handlers", path=str(conf), purge=True, **ASKED)
    assert (purged["handlers"], sorted(purged["removed"])) == (["h0"], ["all", "theirs"])
    assert conf.read_bytes().decode().replace(ADDED[conf.name], "") == FILES[conf.name]


def test_absent_takes_back_what_present_did(run_module: Run, conf: Path) -> None:
    run_module("job_conf_handlers", path=str(conf), **ASKED)
    assert run_module("job_conf_handlers", check=True, path=str(conf), state="absent")["removed"] == ["h0"]
    removed = run_module("job_conf_handlers", path=str(conf), state="absent", handlers=[{"id": "h0"}])
    assert (removed["changed"], removed["handlers"], removed["removed"]) == (True, [], ["h0"])
    assert conf.read_bytes().decode() == FILES[conf.name]
    assert not run_module("job_conf_handlers", path=str(conf), state="absent")["changed"]


@pytest.mark.parametrize("state", [{"handlers": [{"id": "unknown"}]}, {"max_grab": 3}])
def test_absent_of_what_is_not_there_changes_nothing(run_module: Run, tmp_path: Path, state: dict[str, Any]) -> None:
    conf = tmp_path / "job_conf.yml"
    conf.write_text("runners: {}\nhandling: {assign: [db-skip-locked], max_grab: 16}\n")
    assert not run_module("job_conf_handlers", path=str(conf), state="absent", **state)["changed"]


def test_absent_of_no_handlers_changes_nothing_and_absent_of_all_removes_the_element(run_module: Run, conf: Path) -> None:
    run_module("job_conf_handlers", path=str(conf), **ASKED)
    assert not run_module("job_conf_handlers", path=str(conf), state="absent", handlers=[])["changed"]
    assert run_module("job_conf_handlers", path=str(conf), state="absent")["removed"] == ["h0"]
    assert conf.read_bytes().decode() == FILES[conf.name]


def test_settings_that_were_there_stay(run_module: Run, tmp_path: Path) -> None:
    conf = tmp_path / "job_conf.yml"
    conf.write_text("runners: {}\nhandling: {assign: [db-skip-locked], max_grab: 16}\n")
    assert run_module("job_conf_handlers", path=str(conf), **ASKED)["handlers"] == ["h0"]
    assert run_module("job_conf_handlers", path=str(conf), state="absent", handlers=[{"id": "h0"}])["removed"] == ["h0"]
    assert conf.read_text() == "runners: {}\nhandling: {assign: [db-skip-locked], max_grab: 16}\n"


def test_settings_are_removed_where_they_are_as_given(run_module: Run, conf: Path) -> None:
    pool = {"assign_with": ["db-skip-locked"], "max_grab": 4}
    run_module("job_conf_handlers", path=str(conf), **pool)
    assert run_module("job_conf_handlers", path=str(conf), state="absent", **pool)["changed"]
    assert conf.read_bytes().decode() == FILES[conf.name]


@pytest.mark.parametrize("name", ["job_conf.xml", "job_conf.yml"])
def test_missing_file_is_created_and_removed_again(run_module: Run, tmp_path: Path, name: str) -> None:
    conf = tmp_path / name
    assert run_module("job_conf_handlers", check=True, path=str(conf), **ASKED)["changed"]
    assert "create=true" in run_module("job_conf_handlers", path=str(conf), create=False, **ASKED)["msg"]
    assert not run_module("job_conf_handlers", path=str(conf), state="absent")["changed"]
    assert not conf.exists()
    assert run_module("job_conf_handlers", path=str(conf), **ASKED)["handlers"] == ["h0"]
    assert _job_conf.read(conf.read_bytes(), name, _job_conf.file_format(name)).default == "all"
    assert run_module("job_conf_handlers", path=str(conf), state="absent")["changed"]
    assert not conf.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("job_conf.xml", "<job_conf>\n</jobs>", ":2: malformed XML at column 3: mismatched tag"),
        ("job_conf.yml", "a: 1\n\tb: 2\n", ":2: malformed YAML at column 1"),
        ("job_conf.xml", "<toolbox/>", ":1: its root element is <toolbox>"),
        ("job_conf.txt", "<job_conf/>", ": the name ends in none of .xml, .yml and .yaml"),
    ],
)
@pytest.mark.parametrize("state", ["present", "absent"])
def test_what_cannot_be_read_is_refused_and_left_alone(run_module: Run, tmp_path: Path, name: str, content: str, message: str, state: str) -> None:
    conf = tmp_path / name
    conf.write_text(content)
    result = run_module("job_conf_handlers", path=str(conf), state=state, **ASKED)
    assert result["failed"]
    assert result["msg"].startswith(f"{conf}{message}")
    assert conf.read_text() == content


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"handlers": [{"id": "a/b"}]}, "id 'a/b' is not allowed"),
        ({"handlers": [{"id": "a"}, {"id": "a"}]}, "handler 'a' is defined 2 times"),
        ({"handlers": [{"id": "a"}], "default": "b"}, "default 'b' is neither the id nor a tag of a handler: use one of _default_, a"),
        ({"assign_with": ["db-magic"]}, "value of assign_with must be one or more of: db-self, "),
        ({"max_grab": 0}, "max_grab is 0"),
        ({"validate": "true"}, "validate must contain %s"),
        ({"handlers": [{"id": "a"}], "validate": "grep nothing-like-it %s"}, "did not pass 'grep nothing-like-it %s'"),
    ],
)
def test_what_cannot_work_is_refused(run_module: Run, conf: Path, arguments: dict[str, Any], message: str) -> None:
    result = run_module("job_conf_handlers", **{"path": str(conf), "max_grab": 2, **arguments})
    assert result["failed"]
    assert message in result["msg"]
    assert conf.read_bytes().decode() == FILES[conf.name]
    assert list(conf.parent.iterdir()) == [conf]


def test_missing_directory_is_named(run_module: Run, tmp_path: Path) -> None:
    result = run_module("job_conf_handlers", path=str(tmp_path / "no" / "job_conf.xml"), **ASKED)
    assert result["msg"].startswith(f"cannot write {tmp_path}/no/job_conf.xml: its directory does not exist")


def test_without_pyyaml_the_package_is_named(run_module: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "yaml.py").write_text("raise ImportError('No module named yaml')\n")
    monkeypatch.syspath_prepend(str(hidden))
    result = run_module("job_conf_handlers", path=str(tmp_path / "job_conf.yml"), **ASKED)
    assert result["failed"]
    assert "python3-yaml" in result["msg"]
    assert run_module("job_conf_handlers", path=str(tmp_path / "job_conf.xml"), **ASKED)["changed"]


def test_documentation_offers_what_the_module_accepts() -> None:
    options = yaml.safe_load(job_conf_handlers.DOCUMENTATION)["options"]
    assert options["assign_with"]["choices"] == list(_job_conf.ASSIGNMENT_METHODS)
    for name in options:
        assert f'"{name}"' in inspect.getsource(job_conf_handlers)


def test_a_diff_shows_no_secret_of_the_rest(run_module: Run, tmp_path: Path) -> None:
    path = tmp_path / "job_conf.xml"
    path.write_text('<job_conf>\n  <plugins>\n    <param id="password">hunter2</param>\n  </plugins>\n  <destinations/>\n</job_conf>\n')
    result = run_module("job_conf_handlers", path=str(path), **ASKED)
    assert "hunter2" not in str(result)
    assert '<param id="password">********</param>' in result["diff"]["before"]
    assert '<param id="password">hunter2</param>' in path.read_text()
