# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the module paste_check, which really run it."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Any, Callable

import pytest

Run = Callable[..., dict[str, Any]]

GOOD = """\
[uwsgi]
processes = 2

[app:main]
paste.app_factory = galaxy.web.buildapp:app_factory
job_config_file = %(here)s/job_conf.xml
database_connection = postgresql://galaxy:hunter2@db/galaxy
id_secret = hunter2
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A good galaxy.ini."""
    file = tmp_path / "galaxy.ini"
    file.write_text(GOOD, encoding="utf-8")
    return file


def test_a_good_file(run_module: Run, path: Path) -> None:
    result = run_module("paste_check", path=str(path))
    assert (result["changed"], result["findings"], result["options"]) == (False, [], {})
    assert "failed" not in result
    assert path.read_text(encoding="utf-8") == GOOD


def test_options_are_returned_interpolated_and_masked(run_module: Run, path: Path) -> None:
    wanted = {"app:main": ["job_config_file", "database_connection", "id_secret", "brand"], "uwsgi": ["processes"], "nothing": ["x"]}
    result = run_module("paste_check", path=str(path), return_options=wanted)
    assert result["options"] == {
        "app:main": {
            "job_config_file": f"{path.parent}/job_conf.xml",
            "database_connection": "postgresql://galaxy:********@db/galaxy",
            "id_secret": "********",
        },
        "uwsgi": {"processes": "2"},
        "nothing": {},
    }
    assert "hunter2" not in str(result)


def test_every_error_is_reported_in_one_go(run_module: Run, path: Path) -> None:
    path.write_text(GOOD + "server_name = web\nid_secret = hunter3\nbrand = 50%\nmaster\n", encoding="utf-8")
    result = run_module("paste_check", path=str(path))
    assert result["failed"]
    assert [finding["line"] for finding in result["findings"]] == [9, 10, 11, 12]
    assert result["msg"].splitlines()[0].startswith(f"{path}:9: [app:main] server_name: ")
    assert len(result["msg"].splitlines()) == 4
    assert "hunter" not in str(result)
    assert result["changed"] is False


def test_warnings_fail_only_on_request(run_module: Run, path: Path) -> None:
    path.write_text(GOOD.replace("processes = 2", "processes: 2"), encoding="utf-8")
    result = run_module("paste_check", path=str(path))
    assert "failed" not in result
    assert [finding["severity"] for finding in result["findings"]] == ["warning"]
    assert result["warnings"]
    assert run_module("paste_check", path=str(path), fail_on="warning")["failed"]


def test_a_comment_that_uwsgi_would_take_for_a_value_is_an_error(run_module: Run, path: Path) -> None:
    path.write_text(GOOD.replace("processes = 2", "processes = 2  # two"), encoding="utf-8")
    result = run_module("paste_check", path=str(path))
    assert result["failed"]
    assert "processes: uWSGI takes a comment" in result["msg"]


def test_it_never_fails_if_it_is_told_not_to(run_module: Run, tmp_path: Path) -> None:
    result = run_module("paste_check", path=str(tmp_path / "nothing"), fail_on="never")
    assert "failed" not in result
    assert [finding["severity"] for finding in result["findings"]] == ["error"]


def test_a_missing_file(run_module: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "galaxy.ini")
    assert "does not exist" in run_module("paste_check", path=path)["msg"]
    result = run_module("paste_check", path=path, missing="ok", return_options={"uwsgi": ["a"]})
    assert (result["findings"], result["options"]) == ([], {})


def test_what_is_not_a_file(run_module: Run, tmp_path: Path) -> None:
    assert run_module("paste_check", path=str(tmp_path))["msg"] == f"{tmp_path} is a directory: give the path of the file in it"
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in run_module("paste_check", path=str(tmp_path / "pipe"))["msg"]


def test_the_job_configuration_is_checked_too(run_module: Run, path: Path) -> None:
    job_conf = path.with_name("job_conf.xml")
    assert run_module("paste_check", path=str(path), job_conf=str(job_conf))["findings"] == []
    job_conf.write_text("<job_conf>\n  <handlers>\n</job_conf>\n", encoding="utf-8")
    result = run_module("paste_check", path=str(path.with_name("nothing.ini")), job_conf=str(job_conf))
    assert [finding["path"] for finding in result["findings"]] == [str(path.with_name("nothing.ini")), str(job_conf)]


def test_a_taken_port(run_module: Run, path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = run_module("paste_check", path=str(path), listen=[{"port": port, "variable": "nginx_proxy_sites"}])
        assert f"port {port} is taken by" in result["msg"]
        assert f"(pid {os.getpid()})" in result["msg"]
        assert result["msg"].endswith("(nginx_proxy_sites)")


def test_an_address_that_is_none(run_module: Run, path: Path) -> None:
    result = run_module("paste_check", path=str(path), listen=[{"port": 80, "address": "galaxy"}])
    assert result["msg"] == "cannot check port 80 on 'galaxy': give an IP address, or none for all of them"


def test_options_to_return_must_be_lists(run_module: Run, path: Path) -> None:
    assert run_module("paste_check", path=str(path), return_options={"uwsgi": {"a": 1}})["failed"]


def test_a_file_that_may_not_be_read(run_module: Run, path: Path) -> None:
    path.chmod(0)
    nobody = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    result = run_module("paste_check", path=str(path), under=nobody)
    assert result["msg"] == f"cannot read {path}: permission denied: run with become, or as a user who may write there"


def test_a_certificate(run_module: Run, tmp_path: Path) -> None:
    certificate = {"path": str(tmp_path / "site.pem"), "key": str(tmp_path / "site.key"), "variable": "nginx_proxy_ssl_certificate"}
    result = run_module("paste_check", certificate=certificate)
    assert result["failed"]
    assert "nginx_proxy_ssl_certificate: the file does not exist" in result["msg"]
    assert result["certificate_hash"] == ""

    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=site", "-keyout", certificate["key"], "-out", certificate["path"]]
    subprocess.run(command, check=True, capture_output=True)
    result = run_module("paste_check", certificate=certificate)
    assert (result.get("failed"), result["findings"], len(result["certificate_hash"])) == (None, [], 64)
