# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the module paste_check, which really run it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _nginx_versions as nginx_versions

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


@pytest.mark.usefixtures("python_of_everybody")
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

    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=site", "-keyout", certificate["key"], "-out", certificate["path"]]
    subprocess.run(command, check=True, capture_output=True)
    result = run_module("paste_check", certificate=certificate)
    assert (result.get("failed"), result["findings"]) == (None, [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give links to others")
def test_link_that_nginx_does_not_follow(run_module: Run, tmp_path: Path) -> None:
    """The administrator's link to another disk, for one; further down are the datasets."""
    data, disk = tmp_path / "var", tmp_path / "disk"
    (data / "files" / "000" / "1").mkdir(parents=True)
    disk.mkdir()
    os.chown(disk, 12345, -1)
    for link in ("objects", "files/more", "files/000/1/deep"):
        (data / link).symlink_to(disk)
    (data / "own").symlink_to(data / "files")
    (data / "broken").symlink_to(data / "none")
    (data / "file").symlink_to("/etc/passwd")
    result = run_module("paste_check", sent_directories=[str(data), str(tmp_path / "none")])
    assert result["failed"]
    found = [finding["message"] for finding in result["findings"]]
    assert len(found) == 2
    for message, link in zip(found, (data / "files" / "more", data / "objects")):
        assert message.startswith(f"{link} is a link of root to a directory of 12345")
        assert f"add {link} to nginx_proxy_x_accel_dirs" in message
        assert f"chown -h 12345 {link}" in message
    listed = [str(data), str(data / "objects"), f"{data}/files/more/"]
    assert not run_module("paste_check", sent_directories=listed).get("failed")


# What is about to be


def messages(result: dict[str, Any]) -> list[str]:
    return str(result.get("msg", "")).splitlines()


def test_changes_are_checked_as_they_are_going_to_be(run_module: Run, path: Path) -> None:
    path.write_text(GOOD + "brand = 50%\n", encoding="utf-8")
    app = {"section": "app:main", "options": {"brand": "50%%"}}
    assert run_module("paste_check", path=str(path), changes=[app])["findings"] == []
    app["options"] = {"filter-with": "prefix", "id_secret": "hunter4%"}
    result = run_module("paste_check", path=str(path), changes=[app], return_options={"app:main": ["id_secret"]})
    assert [(finding["line"], finding["option"]) for finding in result["findings"]] == [(0, "filter-with"), (8, "id_secret"), (9, "brand")]
    assert result["options"] == {"app:main": {"id_secret": "********"}}
    assert "hunter4" not in str(result)
    assert path.read_text(encoding="utf-8") == GOOD + "brand = 50%\n"


def test_a_file_that_is_about_to_be_made(run_module: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "galaxy.ini")
    uwsgi = {"section": "uwsgi", "options": {"processes": 4}, "exclusive": True}
    assert run_module("paste_check", path=path, missing="ok", changes=[uwsgi])["findings"] == []
    app = {"section": "app:main", "options": {"use": "web"}}
    assert messages(run_module("paste_check", path=path, missing="ok", changes=[app, uwsgi])) == [
        f"{path}: [app:main] use: there is no section [app:web]: add it, or correct the name"
    ]


def test_options_in_a_file_of_their_own_are_checked_too(run_module: Run, path: Path) -> None:
    """A section that is about to go is not looked at, and messages name the file that the options are going to be in."""
    path.write_text(GOOD.replace("processes = 2", "processes = 2 ; two"), encoding="utf-8")
    leaving = {"section": "uwsgi", "state": "absent"}
    where = {"path": str(path), "changes": [leaving], "uwsgi_options_file": "/etc/galaxy/uwsgi.yml", "virtualenv": sys.prefix}
    where["user"] = "root" if os.geteuid() == 0 else ""
    assert run_module("paste_check", **where, uwsgi_options={"processes": 4})["findings"] == []
    result = run_module("paste_check", **where, uwsgi_options={"strict": True, "procesess": 4, "processes": 2, "cheaper": 2})
    assert [(finding["path"], finding["section"], finding["option"]) for finding in result["findings"]] == [
        ("/etc/galaxy/uwsgi.yml", "", "cheaper"),
        ("/etc/galaxy/uwsgi.yml", "", "procesess"),
    ]


HANDLERS = [{"id": "handler0", "tags": [], "plugins": []}, {"id": "special0", "tags": ["special"]}]
JOB_CONF = """\
<job_conf>
    <plugins/>
    <handlers assign_with="db-preassign">
        <handler id="old0" tags="old"/>
    </handlers>
    <tools><tool id="bwa" handler="special"/></tools>
</job_conf>
"""


@pytest.fixture
def job_conf(path: Path) -> Path:
    """A job configuration with a handler, and a tool for another one."""
    file = path.with_name("job_conf.xml")
    file.write_text(JOB_CONF, encoding="utf-8")
    return file


def test_handlers_are_checked_as_they_are_going_to_be(run_module: Run, path: Path, job_conf: Path) -> None:
    arguments = {"path": str(path), "job_conf": str(job_conf), "handlers": HANDLERS, "assign_with": ["db-skip-locked"], "purge_handlers": True}
    assert run_module("paste_check", **arguments)["findings"] == []
    result = run_module("paste_check", **{**arguments, "handlers": HANDLERS[:1]})
    (message,) = messages(result)
    assert message.startswith(f"{job_conf}:6: tool 'bwa': no handler has the id or tag 'special'")
    assert message.endswith("use one of handler0")
    result = run_module("paste_check", **{**arguments, "purge_handlers": False})
    assert [(finding["line"], finding["severity"]) for finding in result["findings"]] == [(4, "warning")]
    assert "'old0' has no process on this host" in result["msg"]
    assert job_conf.read_text(encoding="utf-8") == JOB_CONF


def test_the_database_and_the_version_decide_about_the_method(run_module: Run, path: Path, job_conf: Path, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"path": str(path), "job_conf": str(job_conf), "handlers": HANDLERS, "assign_with": ["db-skip-locked"], "purge_handlers": True}
    sqlite = {"section": "app:main", "options": {"database_connection": "sqlite:///x"}}
    (message,) = messages(run_module("paste_check", **arguments, changes=[sqlite]))
    assert message.startswith(f"{job_conf}: assign_with: db-skip-locked needs PostgreSQL")
    assert run_module("paste_check", **arguments, changes=[sqlite], environment=["GALAXY_CONFIG_OVERRIDE_DATABASE_CONNECTION"])["findings"] == []
    (message,) = messages(run_module("paste_check", **arguments, galaxy_version="18.09"))
    assert "Galaxy 18.09 does not know db-skip-locked" in message
    source = tmp_path / "server" / "lib" / "galaxy" / "version.py"
    source.parent.mkdir(parents=True)
    source.write_text('VERSION_MAJOR = "18.05"\n', encoding="utf-8")
    (message,) = messages(run_module("paste_check", **arguments, server_dir=str(tmp_path / "server")))
    assert "Galaxy 18.05 does not know db-skip-locked" in message
    assert "hunter2" not in str(message)


def test_handlers_need_their_program(run_module: Run, path: Path, job_conf: Path, tmp_path: Path) -> None:
    server, venv = tmp_path / "server", tmp_path / "venv"
    arguments: dict[str, Any] = {"path": str(path), "job_conf": str(job_conf), "handlers": HANDLERS, "purge_handlers": True}
    arguments.update(server_dir=str(server), virtualenv=str(venv))
    (message,) = messages(run_module("paste_check", **arguments))
    assert message.startswith(f"{venv}/bin/galaxy-main: there is no such program, and neither {server}/lib/galaxy/main.py nor {server}/scripts/galaxy-main")
    assert run_module("paste_check", **arguments, missing="ok")["findings"] == []
    assert run_module("paste_check", **arguments, handlers_mode="mules")["findings"] == []
    (server / "scripts").mkdir(parents=True)
    (server / "scripts" / "galaxy-main").touch()
    assert run_module("paste_check", **arguments)["findings"] == []


def test_handlers_that_attach_themselves_are_checked_like_others(run_module: Run, path: Path, job_conf: Path) -> None:
    arguments: dict[str, Any] = {"path": str(path), "job_conf": str(job_conf), "handlers_mode": "dynamic", "purge_handlers": True}
    assert run_module("paste_check", **arguments, handlers=HANDLERS, assign_with=["db-skip-locked"], max_grab=4)["findings"] == []
    (message,) = messages(run_module("paste_check", **arguments, handlers=HANDLERS[:1], assign_with=["db-skip-locked"]))
    assert message.startswith(f"{job_conf}:6: tool 'bwa': no handler has the id or tag 'special'")
    (message,) = messages(run_module("paste_check", **arguments, handlers=HANDLERS, assign_with=["db-preassign"]))
    assert "they know none of those that attach themselves" in message
    found = messages(run_module("paste_check", **arguments, handlers=HANDLERS, assign_with=["db-skip-locked"], ready_window_size=9, galaxy_version="20.9"))
    assert ["ready_window_size" in message for message in found] == [True]


def test_what_breaks_handlers_is_an_error_where_there_are_some(run_module: Run, path: Path, job_conf: Path) -> None:
    path.write_text(GOOD + "server_name = web\ntrack_jobs_in_database = False\n", encoding="utf-8")
    result = run_module("paste_check", path=str(path), job_conf=str(job_conf), handlers=HANDLERS, purge_handlers=True)
    assert [(finding["line"], finding["option"], finding["severity"]) for finding in result["findings"]] == [
        (9, "server_name", "error"),
        (10, "track_jobs_in_database", "error"),
    ]
    assert run_module("paste_check", path=str(path), job_conf=str(job_conf), handlers=[], purge_handlers=True)["findings"] == []
    environment = ["GALAXY_CONFIG_OVERRIDE_SERVER_NAME"]
    assert "GALAXY_CONFIG_OVERRIDE_SERVER_NAME" in run_module("paste_check", job_conf=str(job_conf), handlers=HANDLERS, environment=environment)["msg"]


def test_alone_it_follows_the_file_to_the_job_configuration(run_module: Run, path: Path, job_conf: Path) -> None:
    job_conf.write_text(JOB_CONF.replace("db-preassign", "db-self").replace("special", "old"), encoding="utf-8")
    path.write_text(GOOD + "server_name = web\n", encoding="utf-8")
    found = messages(run_module("paste_check", path=str(path)))
    assert len(found) == 3
    assert found[0].startswith(f"{path}:9: [app:main] server_name")
    assert found[1].startswith(f"{job_conf}:3: every handler has tags and there is no default")
    assert found[2].startswith(f"{job_conf}:3: assign_with: with db-self the web processes run the jobs themselves")


def test_a_handler_without_an_id(run_module: Run, job_conf: Path) -> None:
    assert "give each an id" in run_module("paste_check", job_conf=str(job_conf), handlers=[{"tags": ["x"]}])["msg"]


def test_uwsgi_is_asked_for_the_names_of_options(run_module: Run, path: Path) -> None:
    arguments = {"path": str(path), "virtualenv": sys.prefix, "user": "root" if os.geteuid() == 0 else ""}
    assert run_module("paste_check", **arguments)["findings"] == []
    path.write_text(GOOD.replace("processes = 2", "strict = true\nprocesess = 2"), encoding="utf-8")
    (message,) = messages(run_module("paste_check", **arguments))
    assert message.startswith(f"{path}:3: [uwsgi] procesess: uWSGI 2.")
    assert message.endswith("has no such option: write 'processes' instead")
    assert run_module("paste_check", **arguments, changes=[{"section": "app:main", "options": {"brand": "x"}}])["findings"] == []
    options = {"strict": True, "static-map": ["/a=/b"], "no-such-option": 1}
    (message,) = messages(run_module("paste_check", **arguments, uwsgi_options=options, uwsgi_package="pyuwsgi>=2.0"))
    assert message.startswith(f"{path}: [uwsgi] no-such-option: ")
    assert message.endswith("correct or remove it (uwsgi_options)")
    result = run_module("paste_check", **arguments, uwsgi_options=options, uwsgi_package="pyuwsgi==99")
    assert [finding["severity"] for finding in result["findings"]] == ["warning"]


def test_options_that_contradict_each_other(run_module: Run, path: Path) -> None:
    result = run_module("paste_check", path=str(path), uwsgi_options={"processes": 2, "cheaper": 2})
    assert messages(result) == [
        f"{path}: [uwsgi] cheaper: is 2, the number of processes kept when there is nothing to do, and processes is 2: write a smaller number"
    ]


def test_a_virtualenv_whose_python_is_gone(run_module: Run, path: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    (venv / "lib" / "python3.1" / "site-packages" / "x-1.dist-info").mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "bin" / "python3").symlink_to("/usr/bin/python3.1")
    assert "its Python is gone" in run_module("paste_check", path=str(path), virtualenv=str(venv))["msg"]


def test_the_proxy_must_wait_as_long_as_a_start_takes(run_module: Run, tmp_path: Path) -> None:
    (tmp_path / "web-1").mkdir()
    (tmp_path / "web-1" / "started").write_text('{"seconds": 75.0}', encoding="utf-8")
    assert run_module("paste_check", run_dir=str(tmp_path), read_timeout=600)["findings"] == []
    result = run_module("paste_check", run_dir=str(tmp_path), read_timeout=60)
    assert "failed" not in result
    assert [finding["severity"] for finding in result["findings"]] == ["warning"]
    assert "after 60 s" in result["msg"]
    assert "took 75.0 s" in result["msg"]


def test_what_is_settled_already(run_module: Run, path: Path) -> None:
    def change(section: str, **options: Any) -> dict[str, Any]:
        return {"section": section, "options": options}

    settled = {**change("uwsgi", processes=2), "exclusive": True}
    assert run_module("paste_check", path=str(path), changes=[settled, change("app:main", brand="mine")])["changing"] == ["app:main"]
    assert run_module("paste_check", path=str(path), changes=[{**settled, "options": {"processes": 3}}])["changing"] == ["uwsgi"]
    assert run_module("paste_check", path=str(path), changes=[{"section": "server:main", "state": "absent"}])["changing"] == []
    missing = run_module("paste_check", path=str(path.with_name("none.ini")), missing="ok", changes=[settled])
    assert missing["changing"] == ["uwsgi"]


def test_a_look_at_other_files(run_module: Run, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("first\nworker_connections 768;\n")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("directory")
    (tmp_path / "dangling").symlink_to("nowhere")
    wanted = {"there": "^worker_connections [0-9]+;$", "link": "^directory$", "dangling": ""}
    others = {"directory": "directory", "none": ""}
    look_at = {str(tmp_path / name): pattern for name, pattern in (wanted | others).items()}
    assert run_module("paste_check", look_at=look_at)["seen"] == [str(tmp_path / name) for name in wanted]
    assert run_module("paste_check", look_at={str(tmp_path / "link"): "^dir$", str(tmp_path / "none"): "x"})["seen"] == []


XML_MAIN = '<job_conf>\n<handlers assign_with="db-preassign">\n<handler id="main"/>\n</handlers>\n</job_conf>\n'
YAML_MAIN = "runners: {}\nhandling:\n  assign: [db-preassign]\n  processes:\n    main:\n"


@pytest.mark.parametrize(("name", "text", "line"), [("job_conf.xml", XML_MAIN, 3), ("job_conf.yml", YAML_MAIN, 5)])
def test_a_handler_in_the_file_called_like_a_web_process_is_refused(run_module: Run, path: Path, name: str, text: str, line: int) -> None:
    job_conf = path.with_name(name)
    job_conf.write_text(text, encoding="utf-8")
    arguments: dict[str, Any] = {"path": str(path), "job_conf": str(job_conf)}
    for version in ({}, {"galaxy_version": "26.1"}):
        (message,) = messages(run_module("paste_check", **arguments, **version))
        assert message.startswith(f"{job_conf}:{line}: handler 'main' has a name of the web processes")
    assert run_module("paste_check", **arguments, galaxy_version="22.01")["findings"] == []


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_a_wanted_handler_called_like_a_web_process_is_refused(run_module: Run, path: Path, mode: str) -> None:
    job_conf = path.with_name("job_conf.xml")
    arguments: dict[str, Any] = {"path": str(path), "job_conf": str(job_conf), "assign_with": ["db-skip-locked"], "handlers_mode": mode}
    (message,) = messages(run_module("paste_check", **arguments, handlers=[{"id": "main.x"}], workflow_schedulers=["w0"]))
    assert message.startswith(f"{job_conf}: handler 'main.x' has a name of the web processes")
    (message,) = messages(run_module("paste_check", **arguments, handlers=[{"id": "handler0"}], workflow_schedulers=["main"]))
    assert message.startswith(f"{job_conf}: handler 'main' has a name of the web processes")
    assert run_module("paste_check", **arguments, handlers=[{"id": "main.x"}], workflow_schedulers=["main"], galaxy_version="21.09")["findings"] == []


def test_a_handler_called_main_goes_from_the_file_only_with_an_heir(run_module: Run, path: Path) -> None:
    job_conf = path.with_name("job_conf.xml")
    job_conf.write_text(XML_MAIN, encoding="utf-8")
    arguments: dict[str, Any] = {"path": str(path), "job_conf": str(job_conf), "handlers": [{"id": "handler0"}], "purge_handlers": True}
    (message,) = messages(run_module("paste_check", **arguments))
    assert message.startswith(f"{job_conf}:3: handler 'main' has a name of the web processes, so the role removes this handler")
    assert "{id: handler0, previous_ids: [main]}" in message
    assert run_module("paste_check", **arguments, previous_ids=["main"])["findings"] == []
    (message,) = messages(run_module("paste_check", **{**arguments, "handlers": [{"id": "main"}]}))
    assert message.startswith(f"{job_conf}:3: handler 'main' has a name of the web processes: with Galaxy 22.05 and later")


def test_a_workflow_scheduler_of_ones_own_called_like_a_web_process_is_refused(run_module: Run, path: Path) -> None:
    own, job_conf = path.with_name("own.xml"), path.with_name("job_conf.xml")
    own.write_text('<workflow_schedulers>\n<handlers><handler id="main"/></handlers>\n</workflow_schedulers>\n', encoding="utf-8")
    path.write_text(GOOD + f"workflow_schedulers_config_file = {own}\n", encoding="utf-8")
    arguments: dict[str, Any] = {"path": str(path), "job_conf": str(job_conf), "handlers": [{"id": "handler0"}]}
    (message,) = messages(run_module("paste_check", **arguments))
    assert message.startswith(f"{own}:2: handler 'main' has a name of the web processes")
    assert "Rename the handler in this file" in message
    # What the role has written, it writes again.
    own.write_text("<!-- Managed by the role galaxyops.uwsgi.job_handlers -->" + own.read_text(encoding="utf-8"), encoding="utf-8")
    assert run_module("paste_check", **arguments)["findings"] == []


BRIDGE = GOOD.replace("galaxy.web.buildapp:app_factory", "galaxy_wsgi:app_factory")


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """A directory with a Galaxy that cannot be forked."""
    source = tmp_path / "server" / "lib" / "galaxy" / "version.py"
    source.parent.mkdir(parents=True)
    source.write_text('VERSION_MAJOR = "25.1"\n', encoding="utf-8")
    return tmp_path / "server"


@pytest.mark.parametrize(
    ("section", "line"), [("processes = 2", 0), ("lazy-apps = false", 2), ("lazy-apps = 0", 2), ("lazy-apps = true", None), ("lazy-apps = 1", None)]
)
def test_a_galaxy_that_cannot_be_forked_is_refused(run_module: Run, path: Path, server: Path, section: str, line: Optional[int]) -> None:
    path.write_text(BRIDGE.replace("processes = 2", section), encoding="utf-8")
    findings = run_module("paste_check", path=str(path), server_dir=str(server))["findings"]
    assert [(finding["line"], finding["option"], finding["severity"]) for finding in findings] == ([] if line is None else [(line, "lazy-apps", "error")])
    # The same for what an input asks for, and for the Galaxy that is about to come.
    name, _equals, value = section.partition(" = ")
    arguments: dict[str, Any] = {"path": str(path), "server_dir": str(server), "uwsgi_options": {name: value}, "changes": [{"section": "uwsgi"}]}
    assert len(run_module("paste_check", **arguments)["findings"]) == len(findings)
    assert run_module("paste_check", **arguments, galaxy_version="26.1")["findings"] == []


def test_what_needs_asgi_is_checked_by_those_who_know_how_it_is_served(run_module: Run, path: Path) -> None:
    path.write_text(BRIDGE + "enable_sse_updates = true\n", encoding="utf-8")
    arguments: dict[str, Any] = {"path": str(path), "galaxy_version": "26.1"}
    assert run_module("paste_check", **arguments)["findings"] == []
    (message,) = messages(run_module("paste_check", **arguments, uwsgi_listen="http"))
    assert message.startswith(f"{path}:9: [app:main] enable_sse_updates: with uwsgi_listen http there is no nginx")
    (finding,) = run_module("paste_check", **arguments, uwsgi_http_address="127.0.0.1:8080")["findings"]
    assert finding["severity"] == "warning"
    lazy: dict[str, Any] = {"uwsgi_options": {"lazy-apps": True}}
    (message,) = messages(run_module("paste_check", **arguments, **lazy))
    assert message.startswith(f"{path}:9: [app:main] enable_sse_updates: with lazy-apps there is no ASGI process")
    # The proxy and the handlers do not set the options of uWSGI.
    change = [{"section": "app:main", "options": {"x": "y"}}]
    assert run_module("paste_check", **arguments, changes=change)["findings"] == []
    (message,) = messages(run_module("paste_check", **arguments, changes=change, asgi_paths=["/api/mcp"]))
    assert message.startswith(f"{path}:9: [app:main] enable_sse_updates: nginx does not lead /api/events/stream to the ASGI process")
    assert run_module("paste_check", **arguments, changes=change, asgi_paths=["/api/events/stream"])["findings"] == []


def test_processes_that_are_replaced_all_the_time_are_warned_about(run_module: Run, path: Path) -> None:
    path.write_text(GOOD.replace("processes = 2", "processes = 2\nlazy-apps = true\nmax-requests = 1000"), encoding="utf-8")
    (finding,) = run_module("paste_check", path=str(path))["findings"]
    assert (finding["line"], finding["option"], finding["severity"]) == (4, "max-requests", "warning")


def test_user_of_the_proxy_needs_a_proxy_that_names_one(run_module: Run, path: Path) -> None:
    """In the file as it is going to be."""
    path.chmod(0o640)
    change = {"section": "app:main", "options": {"use_remote_user": "yes", "remote_user_header": "HTTP_X_USER", "remote_user_secret": "hunter2"}}
    assert "msg" not in run_module("paste_check", path=str(path), changes=[change])
    result = run_module("paste_check", path=str(path), changes=[change], remote_user="")
    assert result["failed"]
    assert result["msg"].startswith(f"{path}: [app:main] use_remote_user: nothing says who the user is")
    assert "hunter2" not in str(result)
    result = run_module("paste_check", path=str(path), changes=[change], remote_user="$remote_user")
    assert "msg" not in result
    assert result["remote_user"] == {"used": True, "header": "HTTP_X_USER", "secret": True}
    path.write_text(f"{GOOD}use_remote_user = True\n", encoding="utf-8")
    result = run_module("paste_check", path=str(path), reach="network")
    assert result["msg"].startswith(f"{path}:9: [app:main] use_remote_user: clients speak to uWSGI itself")


def test_secret_in_a_file_that_everybody_may_read_is_none(run_module: Run, path: Path) -> None:
    path.write_text(f"{GOOD}use_remote_user = True\nremote_user_secret = swordfish\n", encoding="utf-8")
    path.chmod(0o644)
    result = run_module("paste_check", path=str(path), remote_user="$remote_user")
    assert result["msg"].startswith(f"{path}:10: [app:main] remote_user_secret: every account of the host can read {path}")
    assert "swordfish" not in str(result)


COMPOSITE = """\
[composite:main]
use = egg:Paste#urlmap
/ = galaxy
[app:galaxy]
paste.app_factory = galaxy.web.buildapp:app_factory
use_remote_user = True
job_config_file = {directory}/job_conf.xml
"""


def test_application_behind_others_is_the_one_that_is_checked(run_module: Run, path: Path) -> None:
    path.write_text(COMPOSITE.format(directory=path.parent), encoding="utf-8")
    path.with_name("job_conf.xml").write_text("<job_conf>", encoding="utf-8")
    result = run_module("paste_check", path=str(path), reach="network", return_options={"app:galaxy": ["use_remote_user"]})
    messages = [str(finding["path"]) + ":" + str(finding["line"]) + ":" + finding["option"] for finding in result["findings"]]
    assert f"{path}:6:use_remote_user" in messages
    assert any(message.startswith(f"{path.parent}/job_conf.xml:") for message in messages)
    assert result["remote_user"]["used"]
    assert result["options"] == {"app:galaxy": {"use_remote_user": "True"}}


def test_options_from_another_file_are_those_of_the_application(run_module: Run, path: Path) -> None:
    other = path.with_name("other.ini")
    path.write_text("[DEFAULT]\nuser = True\n[app:main]\nuse = config:other.ini#galaxy\nget use_remote_user = user\n", encoding="utf-8")
    other.write_text(
        "[app:galaxy]\npaste.app_factory = galaxy.web.buildapp:app_factory\nremote_user_secret = swordfish\nbrand = %(user)s\n", encoding="utf-8"
    )
    other.chmod(0o644)
    arguments = {"path": str(path), "remote_user": "$remote_user", "return_options": {"app:main": ["brand", "remote_user_secret", "user"]}}
    result = run_module("paste_check", **arguments)
    assert result["options"] == {"app:main": {"brand": "True", "remote_user_secret": "********"}}
    assert [finding["line"] for finding in result["findings"] if finding["severity"] == "error"] == [3]
    assert f"{other}:3: [app:galaxy] remote_user_secret: every account of the host can read {other}" in result["msg"]
    assert "swordfish" not in str(result)
    warned = [(finding["path"], finding["line"], finding["option"]) for finding in result["findings"] if finding["severity"] == "warning"]
    assert sorted(warned) == [(str(path), 5, "use_remote_user"), (str(other), 3, "remote_user_secret"), (str(other), 4, "brand")]
    other.write_text("no line of an INI file, but swordfish\n", encoding="utf-8")
    result = run_module("paste_check", **arguments)
    assert f"{other}:1: Paste Deploy cannot read this line" in result["msg"]
    assert "swordfish" not in str(result)
    other.unlink()
    assert f"{path}:4: [app:main] use: there is no file {other}: correct the path" in run_module("paste_check", **arguments)["msg"]


def test_option_that_no_application_gets_is_not_returned(run_module: Run, path: Path) -> None:
    path.write_text(f"[DEFAULT]\nnginx_x_accel_redirect_base = /_x\nbase = /x\n{GOOD}cookie_path = %(base)s\n", encoding="utf-8")
    change = {"section": "app:main", "options": {"nginx_x_accel_redirect_base": "/_x"}}
    wanted = {"app:main": ["nginx_x_accel_redirect_base", "base", "cookie_path"]}
    result = run_module("paste_check", path=str(path), changes=[change], return_options=wanted)
    assert result["options"] == {"app:main": {"cookie_path": "/x"}}
    assert result["failed"]
    assert "[app:main] nginx_x_accel_redirect_base: [DEFAULT] sets this option too" in result["msg"]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")
def test_who_else_can_write_the_configuration_is_a_warning(run_module: Run, path: Path) -> None:
    assert run_module("paste_check", path=str(path))["findings"] == []
    os.chown(path.parent, 65534, 0)
    result = run_module("paste_check", path=str(path), job_conf=str(path.with_name("job_conf.xml")))
    assert "failed" not in result
    (finding,) = result["findings"]
    assert (finding["path"], finding["severity"]) == (str(path.parent), "warning")
    assert f"user nobody can write here, and so change {path}, {path.parent}/job_conf.xml" in finding["message"]


MISTAKES = {
    "processes": "two",
    "buffer-size": "65536",
    "http": "0.0.0.0:8080",
    "pythonpath": "lib threads = 4",
    "fastrouter": "192.0.2.7:80",
    "lazy-apps": "maybe",
    "set": "http-socket=192.0.2.7:81",
    "scgi-socket": "%(host):82",
}


def test_mistakes_in_a_section_that_is_there_are_those_of_the_input(run_module: Run, path: Path) -> None:
    options = "".join(f"{name} = {value}\n" for name, value in MISTAKES.items())
    path.write_text(f"[uwsgi]\n{options}host = 192.0.2.7\n{GOOD[GOOD.index(chr(10) + '[app') :]}", encoding="utf-8")
    section = run_module("paste_check", path=str(path))
    assert section["failed"]
    assert [(finding["option"], finding["line"]) for finding in section["findings"]] == [(name, line) for line, name in enumerate(MISTAKES, 2)]
    path.write_text(GOOD, encoding="utf-8")
    given = run_module("paste_check", path=str(path), uwsgi_options={**MISTAKES, "host": "192.0.2.7"})
    assert [finding["message"] for finding in given["findings"]] == [finding["message"] for finding in section["findings"]]


FILES = {
    "a.ini": "[uwsgi]\n; note\n{}[other]\nprocesses = two\n",
    "a.yml": "uwsgi:\n  # note\n{}other:\n  processes: two\n",
    "a.json": '{{"uwsgi": {{\n "x": 1,\n{} "z": 1}}}}\n',
    "a.xml": "<uwsgi>\n<!-- <processes>two</processes> -->\n{}</uwsgi>\n",
}
LINES = {"a.ini": "{} = {}\n", "a.yml": "  {}: {}\n", "a.json": ' "{}": "{}",\n', "a.xml": "<{0}>{1}</{0}>\n"}


@pytest.mark.parametrize("name", FILES)
def test_mistakes_are_the_same_in_each_format(run_module: Run, path: Path, name: str) -> None:
    file = path.parent / name
    file.write_text(FILES[name].format("".join(LINES[name].format(*item) for item in {**MISTAKES, "host": "192.0.2.7"}.items())), encoding="utf-8")
    expected = [(str(file), option, line) for line, option in enumerate(MISTAKES, 3)]
    vassal = run_module("paste_check", uwsgi_files=[str(file)])
    assert [(finding["path"], finding["option"], finding["line"]) for finding in vassal["findings"]] == expected
    included = run_module("paste_check", path=str(path), uwsgi_options={"ini" if name == "a.ini" else "include": str(file)})
    assert included["findings"] == vassal["findings"]
    path.write_text(GOOD.replace("processes = 2", f"include = {name}"), encoding="utf-8")
    assert run_module("paste_check", path=str(path))["findings"] == vassal["findings"]


@pytest.mark.parametrize("name", ["a.ini", "a.yml", "a.xml"])
def test_section_that_a_file_is_loaded_with_is_checked(run_module: Run, path: Path, name: str) -> None:
    file = path.parent / name
    text = FILES[name].replace("uwsgi", "web").replace("[other]\nprocesses", "[uwsgi]\nprocesses")
    file.write_text(text.format(LINES[name].format("http", "0.0.0.0:80")), encoding="utf-8")
    path.write_text(GOOD.replace("processes = 2", f"include = {name}:web"), encoding="utf-8")
    assert [(one["path"], one["option"], one["line"]) for one in run_module("paste_check", path=str(path))["findings"]] == [(str(file), "http", 3)]


def test_section_of_the_same_file_that_is_loaded_is_checked(run_module: Run, path: Path) -> None:
    text = GOOD.replace("processes = 2", "ini = :web")
    path.write_text(f"{text}\n[web]\nini = :more\n[more]\nprocesses = two\n[none]\nprocesses = two\n", encoding="utf-8")
    line = text.count("\n") + 5
    assert [(one["path"], one["option"], one["line"]) for one in run_module("paste_check", path=str(path))["findings"]] == [(str(path), "processes", line)]


def test_name_that_one_file_sets_is_known_in_the_files_that_it_loads(run_module: Run, path: Path) -> None:
    (path.parent / "a.ini").write_text("[uwsgi]\nsocket = %(where)\n", encoding="utf-8")
    path.write_text(GOOD.replace("processes = 2", "set-ph = where=192.0.2.7:80\ninclude = a.ini"), encoding="utf-8")
    (message,) = messages(run_module("paste_check", path=str(path)))
    assert message.startswith(f"{path.parent}/a.ini:2: socket: is '192.0.2.7:80'")


def test_options_that_only_our_service_managers_mind_are_warned_about_in_a_file(run_module: Run, path: Path) -> None:
    path.write_text(GOOD.replace("processes = 2", "pidfile = /run/x.pid\nuid = galaxy"), encoding="utf-8")
    result = run_module("paste_check", path=str(path))
    assert [(finding["severity"], finding["option"]) for finding in result["findings"]] == [("warning", "pidfile"), ("warning", "uid")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("galaxy:\n  id_secret: hunter2\n  brand: x\n", "YAML"),
        ('%YAML 1.2\n---\n"galaxy":\n  brand: x\n', "YAML"),
        ("'galaxy' :\r\n  brand: x\r\n", "YAML"),
        ("\ufeff!!map\ngalaxy: {brand: x}\n", "YAML"),
        ("---\n- a\n", "YAML"),
        ('{"galaxy": {}}\n', "JSON"),
        ("<uwsgi>\n<x/>\n</uwsgi>\n", "XML"),
    ],
)
def test_a_file_of_another_format_is_one_finding(run_module: Run, path: Path, text: str, found: str) -> None:
    path.write_text(text, encoding="utf-8")
    (message,) = messages(run_module("paste_check", path=str(path)))
    assert message.startswith(f"{path}: the file is {found}, and is read as INI")


def test_an_ini_file_named_as_yaml_is_one_finding(run_module: Run, tmp_path: Path) -> None:
    file = tmp_path / "x.yml"
    file.write_text("[uwsgi]\nprocesses = two\n", encoding="utf-8")
    (message,) = messages(run_module("paste_check", uwsgi_files=[str(file)]))
    assert message.startswith(f"{file}: the file is INI, and is read as YAML")


def test_http_of_uwsgi_beyond_the_host_is_warned_about(run_module: Run, path: Path) -> None:
    result = run_module("paste_check", path=str(path), uwsgi_listen="http", reach="network")
    assert [finding["severity"] for finding in result["findings"]] == ["warning"]
    assert "unbit/uwsgi#2775" in result["msg"]
    assert run_module("paste_check", path=str(path), uwsgi_listen="http", reach="host")["findings"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts another database of packages")
@pytest.mark.skipif(not os.path.exists("/var/lib/dpkg/status"), reason="no dpkg here")
def test_hole_of_nginx_is_a_warning_that_names_the_package_with_the_fix(run_module: Run, tmp_path: Path) -> None:
    found = nginx_versions.installed()
    if not found or not found.version.startswith("1.22.1-9+deb12u"):
        pytest.skip("no nginx of Debian 12 here")
    database = shutil.copytree("/var/lib/dpkg", tmp_path / "dpkg", symlinks=True)
    status = (database / "status").read_text(encoding="utf-8")
    old = re.sub(rf"(?s)(\nPackage: {found.package}\n(?:\S[^\n]*\n| [^\n]*\n)*?Version: )[^\n]*", r"\g<1>1.22.1-9+deb12u7", f"\n{status}")
    (database / "status").write_text(old[1:], encoding="utf-8")
    under = ["unshare", "--mount", "sh", "-c", f'mount --bind {database} /var/lib/dpkg && exec "$@"', "sh"]
    assert "warnings" not in run_module("paste_check", under=under)
    result = run_module("paste_check", under=under, nginx_uses=["uwsgi_pass"])
    (finding,) = result["findings"]
    assert (finding["severity"], finding["path"]) == ("warning", "")
    assert finding["message"].startswith(f"{found.package} 1.22.1-9+deb12u7 has holes that this site is open to: CVE-2026-42946 (uwsgi_pass: ")
    assert f"Install {found.package} 1.22.1-9+deb12u8 or later" in finding["message"]
    assert finding["message"] in str(result["warnings"])
    assert run_module("paste_check", under=under, nginx_uses=["uwsgi_pass"], fail_on="warning")["failed"]
