# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the module paste_migration_info, which really run it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def port() -> Iterator[int]:
    """A port that nobody uses."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number = int(taken.getsockname()[1])
    yield number


@pytest.fixture
def host(tmp_path: Path, port: int) -> dict[str, Any]:
    """What a module is told of a host that lies in a directory."""
    (tmp_path / "config").mkdir()
    (tmp_path / "supervisor").mkdir()
    (tmp_path / "available").mkdir()
    (tmp_path / "enabled").mkdir()
    ini = tmp_path / "config" / "galaxy.ini"
    ini.write_text(f"[server:main]\nuse = egg:Paste#http\nport = {port}\n\n[app:main]\nuse = egg:app\njob_config_file = config/job_conf.xml\n")
    (tmp_path / "config" / "job_conf.xml").write_text('<job_conf><handlers><handler id="runner7" tags="big"/></handlers></job_conf>')
    (tmp_path / "supervisor" / "galaxy.conf").write_text(
        f"[program:web]\ncommand = {tmp_path}/.venv/bin/paster serve {ini}\ndirectory = {tmp_path}\nuser = nobody\nenvironment = SECRET=swordfish\n\n"
        "[program:other]\ncommand = x\n"
    )
    (tmp_path / "available" / "galaxy").write_text(f"server {{ server_name a.example.org; location / {{ proxy_pass http://localhost:{port}; }} }}\n")
    (tmp_path / "enabled" / "galaxy").symlink_to("../available/galaxy")
    (tmp_path / "enabled" / "ours.conf").write_text(f"# Written by Ansible (galaxyops.uwsgi.nginx_proxy)\nserver {{ proxy_pass http://localhost:{port}; }}\n")
    return {
        "path": str(ini),
        "supervisor_dir": str(tmp_path / "supervisor"),
        "nginx_dirs": [str(tmp_path / "enabled")],
        "backup_dir": str(tmp_path / "backup"),
        "unit_dirs": [str(tmp_path / "units")],
        "known": {"uwsgi_environment": ["SECRET"]},
    }


def test_a_host_is_read(run_module: Run, host: dict[str, Any], tmp_path: Path) -> None:
    result = run_module("paste_migration_info", **host)
    assert not result["changed"]
    inputs = result["inputs"]
    assert inputs["job_handlers"] == [{"id": "runner7", "tags": ["big"]}]
    assert inputs["galaxy_server_dir"] == str(tmp_path)
    assert inputs["galaxy_venv_dir"] == f"{tmp_path}/.venv"
    assert inputs["nginx_proxy_server_names"] == ["a.example.org"]
    assert result["web_programs"] == result["groups"] == ["web"]
    assert result["site_files"] == [{"path": f"{tmp_path}/enabled/galaxy", "state": "absent"}]
    (program,) = result["program_files"]
    assert program["sensitive"] is True
    assert program["content"] == "[program:other]\ncommand = x\n"
    assert set(result["files"]) == {
        f"{tmp_path}/{name}" for name in ("config/galaxy.ini", "config/job_conf.xml", "supervisor/galaxy.conf", "enabled/galaxy", "available/galaxy")
    }
    assert f"{tmp_path}/config/galaxy.ini:1: server:main: port" in result["report"][0]
    assert "swordfish" not in str(result)


def test_the_same_is_returned_after_the_migration(run_module: Run, host: dict[str, Any], tmp_path: Path) -> None:
    before = run_module("paste_migration_info", **host)
    for file in before["files"]:
        kept = Path(host["backup_dir"] + file)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, kept, follow_symlinks=False)
    (tmp_path / "enabled" / "galaxy").unlink()
    (tmp_path / "supervisor" / "galaxy.conf").write_text("[program:other]\ncommand = x\n")
    (tmp_path / "config" / "galaxy.ini").write_text("[app:main]\nuse = egg:app\n")
    after = run_module("paste_migration_info", **host)
    assert after["inputs"] == before["inputs"]
    assert after["leftovers"] == before["leftovers"]
    assert after["program_files"] == before["program_files"]


def test_old_files_with_the_names_of_new_ones_are_in_the_way(run_module: Run, host: dict[str, Any], tmp_path: Path) -> None:
    """They would be overwritten, and the way back would remove them."""
    (tmp_path / "available" / "galaxy").rename(tmp_path / "available" / "main.conf")
    (tmp_path / "enabled" / "galaxy").unlink()
    (tmp_path / "enabled" / "galaxy").symlink_to(tmp_path / "available" / "main.conf")
    (tmp_path / "supervisor" / "galaxy.conf").rename(tmp_path / "supervisor" / "main-web.conf")
    problems = run_module("paste_migration_info", **host, instance="main")["problems"]
    assert [problem.partition(": ")[0] for problem in problems] == [f"{tmp_path}/available/main.conf", f"{tmp_path}/supervisor/main-web.conf"]
    assert "set uwsgi_instance to another name" in problems[0]
    assert run_module("paste_migration_info", **host)["problems"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to somebody else")
def test_a_file_of_nobody_we_know_is_named(run_module: Run, host: dict[str, Any]) -> None:
    os.chown(host["path"], 54321, -1)
    result = run_module("paste_migration_info", **host)
    assert result["msg"] == f"{host['path']} belongs to user 54321, who has no account on this host: give it to Galaxy's user (chown)"


def test_a_file_of_supervisor_that_is_gone_stays_gone(run_module: Run, host: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "supervisor" / "galaxy.conf"
    text = path.read_text().partition("[program:other]")[0]
    kept = Path(host["backup_dir"] + str(path))
    kept.parent.mkdir(parents=True)
    kept.write_text(text)
    path.unlink()
    assert run_module("paste_migration_info", **host)["program_files"] == [{"path": str(path), "state": "absent", "sensitive": True}]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_the_process_that_listens_is_found_by_its_command(run_module: Run, host: dict[str, Any], tmp_path: Path, port: int) -> None:
    """One that has nothing to do with the file is left alone, although it listens to the port."""
    code = f"import socket, time; s = socket.socket(); s.bind(('127.0.0.1', {port})); s.listen(); print('ready', flush=True); time.sleep(60)"
    for command, found in ((["paster", "serve", host["path"]], 1), (["other"], 0)):
        with subprocess.Popen([sys.executable, "-c", code, *command], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            result = run_module("paste_migration_info", **host)
            process.kill()
        assert [entry["pid"] for entry in result["processes"]] == [process.pid][:found]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "galaxy.ini does not exist: correct the path"), ("[app:main]\na = 1\na = 2\n", "galaxy.ini:3: [app:main] a: set twice")],
)
def test_what_cannot_be_read_is_named(run_module: Run, host: dict[str, Any], content: Any, message: str) -> None:
    path = Path(host["path"])
    path.unlink() if content is None else path.write_text(content)
    result = run_module("paste_migration_info", **host)
    assert result["failed"]
    assert message in result["msg"]


def test_a_galaxy_yml_is_one_error(run_module: Run, host: dict[str, Any]) -> None:
    path = Path(host["path"]).with_name("galaxy.yml")
    path.write_text("galaxy:\n  brand: x\n  id_secret: y\n")
    result = run_module("paste_migration_info", **{**host, "path": str(path)})
    assert result["failed"]
    assert result["msg"] == f"{path} is a galaxy.yml by its name, and the move begins with the galaxy.ini that Paste serves: name that file"


def test_the_handler_main_is_renamed_and_what_names_it_is_found(run_module: Run, host: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "config" / "job_conf.xml"
    path.write_text('<job_conf>\n<handlers>\n<handler id="main"/>\n</handlers>\n<tools>\n<tool id="bwa" handler="main"/>\n</tools>\n</job_conf>')
    result = run_module("paste_migration_info", **host)
    assert result["inputs"]["job_handlers"] == [{"id": "handler0", "tags": [], "previous_ids": ["main"]}]
    assert any(note.startswith(f"{path}:3: the handler 'main' becomes 'handler0'") for note in result["notes"])
    assert any(problem.startswith(f"{path}:6: tool 'bwa' names the handler 'main'") for problem in result["problems"])


def test_everything_that_nginx_includes_is_read(run_module: Run, host: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text("events {}\nhttp { include enabled/*; }\n")
    (tmp_path / "available" / "galaxy").write_text("server {\n    include guards;\n    location / { include pass; }\n}\n")
    (tmp_path / "guards").write_text("allow 10.0.0.0/8;\ndeny all;\n")
    (tmp_path / "pass").write_text(f"proxy_pass http://127.0.0.1:{port_of(host)};\n")
    arguments = {**host, "nginx_conf": str(tmp_path / "nginx.conf")}
    del arguments["nginx_dirs"]
    result = run_module("paste_migration_info", **arguments)
    assert result["sites"] == [f"{tmp_path}/enabled/galaxy"]
    assert result["can_be_left"] == [f"{tmp_path}/guards:1", f"{tmp_path}/guards:2"]
    assert any(line.startswith(f"{tmp_path}/pass:1: proxy_pass") and ": not needed: " in line for line in result["details"])
    assert run_module("paste_migration_info", **arguments, leave_behind=result["can_be_left"])["problems"] == []
    # After the move the site is in the backup only.
    for name in ("enabled/galaxy", "available/galaxy"):
        kept = Path(f"{host['backup_dir']}{tmp_path}/{name}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(tmp_path / name, kept, follow_symlinks=False)
    (tmp_path / "enabled" / "galaxy").unlink()
    assert run_module("paste_migration_info", **arguments)["can_be_left"] == result["can_be_left"]


def port_of(host: dict[str, Any]) -> int:
    """The port in the configuration file."""
    return int(Path(host["path"]).read_text().partition("port = ")[2].split()[0])


@pytest.mark.parametrize("where", ["supervisord.conf", "elsewhere/web.ini"])
def test_program_is_found_wherever_supervisor_reads_it(run_module: Run, host: dict[str, Any], tmp_path: Path, where: str) -> None:
    program = (tmp_path / "supervisor" / "galaxy.conf").read_text()
    (tmp_path / "supervisor" / "galaxy.conf").unlink()
    (tmp_path / "elsewhere").mkdir()
    main = "[supervisord]\nlogfile = /dev/null ; nowhere\n\n[include]\nfiles = %(here)s/elsewhere/*.ini none/*\n"
    (tmp_path / "supervisord.conf").write_text(main)
    with (tmp_path / where).open("a") as stream:
        stream.write(f"\n{program}")
    result = run_module("paste_migration_info", **host)
    assert result["web_programs"] == ["web"]
    assert result["inputs"]["galaxy_user"] == "nobody"
    (rewritten,) = result["rewritten"]
    assert rewritten == str(tmp_path / where)


def test_unit_of_systemd_is_found(run_module: Run, host: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "supervisor" / "galaxy.conf").unlink()
    (tmp_path / "units").mkdir()
    unit = f"[Service]\nUser=nobody\nEnvironment=VIRTUAL_ENV=/opt/v\nExecStart=/usr/bin/env paster serve {host['path']}\n"
    (tmp_path / "units" / "web.service").write_text(unit)
    (tmp_path / "units" / "masked.service").symlink_to("/dev/null")
    inputs = run_module("paste_migration_info", **host)["inputs"]
    assert (inputs["galaxy_user"], inputs["galaxy_venv_dir"]) == ("nobody", "/opt/v")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_handler_that_nothing_would_stop_is_named(run_module: Run, host: dict[str, Any], tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('ready', flush=True); import time; time.sleep(60)", "galaxy-main", "-c", host["path"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        problems = run_module("paste_migration_info", **host)["problems"]
        process.kill()
    assert [problem.partition(": ")[0] for problem in problems] == [f"process {process.pid}"]


def test_empty_input_of_the_inventory_does_not_drop_a_variable(run_module: Run, host: dict[str, Any]) -> None:
    known = {"known": {"uwsgi_environment": []}, "known_inputs": ["uwsgi_environment"]}
    (problem,) = run_module("paste_migration_info", **{**host, **known})["problems"]
    assert "[web] SECRET: " in problem
