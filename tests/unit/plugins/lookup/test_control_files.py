# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program is installed on a host with all that it needs, and nothing of another release stays beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleLookupError

from ansible_collections.galaxyops.uwsgi.plugins.filter.absent_files import absent_files
from ansible_collections.galaxyops.uwsgi.plugins.lookup import control_files
from ansible_collections.galaxyops.uwsgi.plugins.lookup.control_files import LookupModule


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for the directories of a host."""
    monkeypatch.setattr(control_files, "LIBRARIES", str(tmp_path / "lib"))
    monkeypatch.setattr(control_files, "COMMANDS", str(tmp_path / "sbin"))
    (tmp_path / "sbin").mkdir()
    return tmp_path


def remove_or_write(run_module: Any, files: list[dict[str, Any]]) -> dict[str, Any]:
    """Have the files on the host as the roles do."""
    result: dict[str, Any] = run_module("file_set", files=files)
    assert not result.get("failed"), result
    return result


def names(top: Path) -> set[str]:
    return {str(path.relative_to(top / "lib")) for path in (top / "lib").rglob("*")}


@pytest.mark.parametrize("kind", ["web", "handlers"])
def test_command_runs_with_python_alone(top: Path, run_module: Any, kind: str) -> None:
    remove_or_write(run_module, control_files.control_files("galaxy", kind))
    launcher = top / "sbin" / f"galaxy-{kind}"
    # Without the packages of this virtualenv, as on a host
    launcher.write_text(launcher.read_text().replace("/usr/bin/python3", f"{sys.executable} -S"))
    process = subprocess.run([launcher, "--help"], env={}, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert f"galaxy-{kind} status" in process.stdout


def test_process_is_called_what_it_is(top: Path) -> None:
    launcher = control_files.control_files("galaxy", "web")
    (content,) = [entry["content"] for entry in launcher if entry["path"] == str(top / "sbin" / "galaxy-web")]
    assert f'cd {top}/lib/galaxy-web && exec /usr/bin/python3 -B -m galaxyops.control galaxy web "$@"\n' in content


def test_files_of_other_releases_are_removed(top: Path, run_module: Any) -> None:
    files = control_files.control_files("galaxy", "web")
    remove_or_write(run_module, files)
    expected = names(top)
    old = top / "lib" / "galaxy-web" / "control"
    old.mkdir()
    for path in (old / "web.py", old / "__init__.py", top / "lib/galaxy-web/galaxyops/control/gone.py"):
        path.write_text("")
    assert remove_or_write(run_module, files)["changed"]
    assert names(top) == expected
    assert not remove_or_write(run_module, files)["changed"]


def test_nothing_stays_of_a_role_that_is_removed(top: Path, run_module: Any) -> None:
    files = control_files.control_files("galaxy", "web")
    remove_or_write(run_module, files)
    (top / "lib" / "galaxy-web" / "control").mkdir()
    (top / "lib" / "galaxy-web" / "control" / "web.py").write_text("")
    remove_or_write(run_module, absent_files(files))
    assert [path.name for path in top.iterdir()] == ["sbin"]
    assert list((top / "sbin").iterdir()) == []


@pytest.mark.parametrize("terms", [["galaxy"], ["galaxy", "worker"], ["galaxy", "web", "more"]])
def test_wrong_terms_are_named(terms: list[str]) -> None:
    with pytest.raises(AnsibleLookupError, match="an instance and web, handlers or bridge, not"):
        LookupModule().run(terms)
