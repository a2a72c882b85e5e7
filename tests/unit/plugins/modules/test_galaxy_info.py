# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What defaults of the roles depend on is read from the host: the version of Galaxy, and a few of its options."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.modules.galaxy_info import look

Run = Callable[..., dict[str, Any]]
NOTHING = {"version": "", "config_file": "", "job_config_inline": False, "job_config_file": "", "database": "", "file_path": ""}
INLINE = "  job_config:\n    runners: {local: {load: 'galaxy.jobs.runners.local:LocalJobRunner'}}\n"


def written(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_nothing_is_known_of_a_host_without_galaxy(run_module: Run, tmp_path: Path) -> None:
    for arguments in ({}, {"path": str(tmp_path / "galaxy.yml"), "server_dir": str(tmp_path), "virtualenv": str(tmp_path)}):
        result = run_module("galaxy_info", check=True, **arguments)
        assert {key: result[key] for key in NOTHING} == NOTHING
        assert result["changed"] is False


def test_a_checkout_comes_before_the_virtualenv(tmp_path: Path) -> None:
    (tmp_path / "venv" / "lib" / "python3.13" / "site-packages" / "galaxy_app-26.1.2.dist-info").mkdir(parents=True)
    virtualenv, server = str(tmp_path / "venv"), str(tmp_path / "server")
    assert look("", server, virtualenv)["version"] == "26.1.2"
    written(tmp_path / "server" / "lib" / "galaxy" / "version.py", 'VERSION_MAJOR = "20.05"\nVERSION_MINOR = None\n')
    assert look("", server, virtualenv)["version"] == "20.05"


def test_a_job_configuration_inside_of_galaxy_yml_is_found(run_module: Run, tmp_path: Path) -> None:
    text = f"galaxy:\n  database_connection: postgresql://galaxy:hunter2@db/galaxy\n  file_path: /data/datasets\n{INLINE}"
    path = written(tmp_path / "galaxy.yml", text)
    written(tmp_path / "job_conf.yml", "runners: {}\n")
    result = run_module("galaxy_info", path=path)
    wanted = {**NOTHING, "config_file": path, "job_config_inline": True, "database": "postgresql", "file_path": "/data/datasets"}
    assert {key: result[key] for key in NOTHING} == wanted
    assert "hunter2" not in str(result)
    link = written(tmp_path / "paste.ini", f"[app:main]\npaste.app_factory = galaxy_wsgi:app_factory\ngalaxy_config_file = {path}\n")
    assert look(link, "", "") == wanted


@pytest.mark.parametrize(("option", "name"), [("job_config_file: jobs.yml", "jobs.yml"), ("brand: x", "job_conf.yml"), ("job_config_file: ''", "")])
def test_the_job_configuration_is_the_file_that_galaxy_reads(tmp_path: Path, option: str, name: str) -> None:
    path = written(tmp_path / "galaxy.yml", f"galaxy:\n  {option}\n")
    written(tmp_path / "job_conf.yml", "runners: {}\n")
    found = look(path, "", "")
    assert (found["job_config_inline"], found["job_config_file"]) == (False, str(tmp_path / name) if name else "")
    assert found["database"] == "sqlite"


@pytest.mark.parametrize(
    ("options", "expected"),
    [("file_path: /data", "/data"), ("file_path: files/\n  data_dir: /srv/var", "/srv/var/files"), ("file_path: files", ""), ("file_path: [a]", "")],
)
def test_datasets_are_where_galaxy_has_them(tmp_path: Path, options: str, expected: str) -> None:
    assert look(written(tmp_path / "galaxy.yml", f"galaxy:\n  {options}\n"), "", "")["file_path"] == expected


def test_of_a_galaxy_ini_only_the_directory_of_the_datasets_matters(tmp_path: Path) -> None:
    """The database of a galaxy.ini has never been a reason for another method, and an upgrade must not change that."""
    text = "[app:main]\npaste.app_factory = galaxy.web.buildapp:app_factory\njob_config_file = /x.xml\nfile_path = %(here)s/files\n"
    path = written(tmp_path / "galaxy.ini", f"{text}database_connection = postgresql:///galaxy\n")
    assert look(path, "", "") == {**NOTHING, "file_path": f"{tmp_path}/files"}


@pytest.mark.parametrize("text", ["galaxy:\n\tbrand: x\n", "gravity: {}\n", "galaxy: [x]\n", "galaxy:\n  job_config: x\n"])
def test_what_is_wrong_with_a_file_is_for_paste_check_to_say(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "galaxy.yml", text)
    found = look(path, "", "")
    assert (found["config_file"], found["job_config_inline"]) == (path, False)


@pytest.mark.usefixtures("python_of_everybody")
def test_a_file_that_may_not_be_read_is_not_known(run_module: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "galaxy.yml", f"galaxy:\n{INLINE}")
    os.chmod(path, 0)
    nobody = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    result = run_module("galaxy_info", under=nobody, path=path)
    assert {key: result[key] for key in NOTHING} == NOTHING
