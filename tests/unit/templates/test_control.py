# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that controls the processes, as far as it goes without a service manager: the rest is tested on real hosts."""

from __future__ import annotations

import contextlib
import fcntl
import grp
import importlib
import json
import os
import pwd
import re
import shutil
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _job_conf, _paste_ini
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans.environment import environment_file

SOURCE = Path(__file__).resolve().parents[3] / "templates"
ACCOUNT = {"user": pwd.getpwuid(os.geteuid()).pw_name, "group": grp.getgrgid(os.getegid()).gr_name}
HEALTH = {"path": "/api/version", "status": [200], "host": "localhost", "timeout": 2}


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """What stands for /etc."""
    (tmp_path / "etc" / "galaxy").mkdir(parents=True)
    return tmp_path / "etc"


@pytest.fixture
def run() -> Iterator[Path]:
    """What stands for /run; the path of a unix socket may be no longer than 107 characters, so it is a short one."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


class Modules:
    """The modules of the command, with directories of their own."""

    def __init__(self) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "control"]:
            del sys.modules[name]
        self.modules = {path.stem: importlib.import_module(f"control.{path.stem}") for path in sorted((SOURCE / "control").glob("*.py"))}
        for name in ("common", "process", "web", "handlers", "systemd", "supervisor"):
            setattr(self, name, self.modules[name])
        self.main = self.modules["__main__"]

    def __getattr__(self, name: str) -> Any:
        """Find a function or class in whichever module has it."""
        for module in self.modules.values():
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(name)


@pytest.fixture
def control(etc: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Modules:
    """The modules of the command, with directories of their own."""
    monkeypatch.setenv("GALAXYOPS_ETC", str(etc))
    monkeypatch.setenv("GALAXYOPS_RUN", str(run))
    monkeypatch.setenv("GALAXYOPS_STATE", str(tmp_path / "state"))
    monkeypatch.syspath_prepend(SOURCE)
    return Modules()


@pytest.fixture
def command(etc: Path, run: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command as its launcher does."""

    def call(kind: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "GALAXYOPS_ETC": str(etc), "GALAXYOPS_RUN": str(run), "GALAXYOPS_STATE": str(tmp_path / "state")}
        program = [sys.executable, "-m", "control", "galaxy", kind, *arguments]
        return subprocess.run(program, cwd=SOURCE, env=environment, capture_output=True, text=True, check=False, **options)

    return call


def write(etc: Path, kind: str, **config: Any) -> None:
    """Write the configuration that a role would write."""
    defaults = {"manager": "systemd", "boot_units": [], "watch": [], "health": HEALTH, "stop_timeout": 90, "handlers": {}}
    (etc / "galaxy" / f"{kind}.json").write_text(json.dumps({**defaults, **config}))


# --- What counts as a change ------------------------------------------------------------------------------------------

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
def test_without_a_section_its_changes_are_none(control: Modules, before: bytes, after: bytes) -> None:
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
def test_without_a_section_other_changes_still_are(control: Modules, before: bytes, after: bytes) -> None:
    assert control.without_section(before, "uwsgi") != control.without_section(after, "uwsgi")


@pytest.mark.parametrize("text", [GALAXY_INI, GALAXY_INI.rstrip("\n"), GALAXY_INI.replace("\n", "\r\n"), "[app:main]\n"])
def test_what_the_uwsgi_role_writes_is_no_change_to_handlers(control: Modules, text: str) -> None:
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
def test_another_handler_is_no_change_to_handlers(control: Modules, name: str) -> None:
    one = job_conf(name, _job_conf.Handler("handler0"))
    others = [
        job_conf(name, _job_conf.Handler("handler0"), _job_conf.Handler("handler1")),
        job_conf(name, _job_conf.Handler("handler0", tags=("a", "b")), _job_conf.Handler("c", plugins=("local", "slurm"))),
    ]
    assert {control.without_handlers(text) for text in others} == {control.without_handlers(one)}


@pytest.mark.parametrize("name", JOB_CONF)
def test_another_runner_is_a_change_to_handlers(control: Modules, name: str) -> None:
    text = job_conf(name, _job_conf.Handler("handler0"), _job_conf.Handler("handler1"))
    for old, new in ((b"runner", b"Runner"), (b"plugins", b"Plugins"), (b"execution", b"Execution"), (b"destinations", b"Destinations")):
        if old in text:
            assert control.without_handlers(text) != control.without_handlers(text.replace(old, new))


@pytest.mark.parametrize("element", [b"<handlers/>", b'<handlers assign_with="db-self" />', b"<handlers></handlers>"])
def test_an_element_without_handlers_is_cut_out_alone(control: Modules, element: bytes) -> None:
    assert control.without_handlers(b"<job_conf>" + element + b'<plugins><plugin id="x"/></plugins></job_conf>') == (
        b'<job_conf><plugins><plugin id="x"/></plugins></job_conf>'
    )


def test_a_fingerprint_is_of_names_contents_and_targets(control: Modules, tmp_path: Path) -> None:
    one, two, link = tmp_path / "one", tmp_path / "two", tmp_path / "link"
    one.write_text("ab")
    two.write_text("c")
    link.symlink_to(one)
    watch = [{"path": str(one)}, {"path": str(two)}, {"path": str(link), "link": True}]
    seen = [control.fingerprint(watch)]
    assert control.fingerprint(watch) == seen[0]

    # What moves from one file to the next leaves the text of both together as it was.
    one.write_text("a")
    two.write_text("bc")
    seen.append(control.fingerprint(watch))
    two.unlink()
    seen.append(control.fingerprint(watch))
    two.write_text("")
    seen.append(control.fingerprint(watch))
    link.unlink()
    link.symlink_to(two)
    seen.append(control.fingerprint(watch))
    assert len(set(seen)) == len(seen)


def test_a_fingerprint_follows_a_link_through_links(control: Modules, tmp_path: Path) -> None:
    (tmp_path / "venvs" / "1").mkdir(parents=True)
    (tmp_path / "venvs" / "2").mkdir()
    (tmp_path / "current").symlink_to("venvs/1")
    (tmp_path / "venv").symlink_to("current")
    watch = [{"path": str(tmp_path / "venv"), "link": True}]
    before = control.fingerprint(watch)
    (tmp_path / "venvs" / "1" / "new").write_text("what lies in it does not count")
    assert control.fingerprint(watch) == before
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to("venvs/2")
    assert control.fingerprint(watch) != before


def test_a_fingerprint_takes_every_file_that_a_pattern_names(control: Modules, tmp_path: Path) -> None:
    watch = [{"path": str(tmp_path / "lib" / "python3*" / "*uwsgi*.dist-info" / "RECORD")}]
    seen = [control.fingerprint(watch)]
    for name in ("pyuwsgi-2.0.30.dist-info", "uwsgidecorators-1.1.0.dist-info"):
        (tmp_path / "lib" / "python3.11" / name).mkdir(parents=True)
        (tmp_path / "lib" / "python3.11" / name / "RECORD").write_text("same")
        seen.append(control.fingerprint(watch))
    assert len(set(seen)) == 3


def test_code_is_watched_in_directories_too_and_never_put_back(control: Modules, etc: Path, tmp_path: Path) -> None:
    """As C(git pull) changes it: the branch that HEAD names leads to another commit."""
    heads = tmp_path / ".git" / "refs" / "heads"
    (heads / "feature").mkdir(parents=True)
    (heads / "feature" / "x").write_text("1")
    write(etc, "web", manager="systemd", code=[f"{tmp_path}/.git/HEAD", f"{heads}/**"])
    web = control.Web("galaxy")
    before = control.fingerprint(web.watch)
    works(web.known_good, web.version)
    (heads / "feature" / "x").write_text("2")
    assert control.fingerprint(web.watch) != before
    assert web.known_good.restore().files == []
    shutil.rmtree(tmp_path / ".git")
    assert control.fingerprint(web.watch) not in ("", before)


def test_a_value_in_the_configuration_counts_too(control: Modules) -> None:
    def one(value: Any) -> str:
        return str(control.fingerprint([{"value": value}]))

    assert one({"tags": ["a"], "plugins": []}) == one({"plugins": [], "tags": ["a"]})
    assert one({"tags": ["a"]}) != one({"tags": ["b"]})


def test_a_process_is_current_until_what_it_runs_changes(control: Modules, etc: Path, run: Path, tmp_path: Path) -> None:
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
    [("tags", ["a"], ["handler0"]), ("plugins", ["slurm"], ["handler0"]), ("assign_with", ["db-skip-locked"], ["handler0", "handler1"])],
)
def test_a_handler_is_current_until_its_own_settings_change(control: Modules, etc: Path, setting: str, value: Any, stale: list[str]) -> None:
    settings: dict[str, dict[str, Any]] = {name: {"tags": [], "plugins": [], "assign_with": ["db-preassign"]} for name in ("handler0", "handler1")}
    write(etc, "handlers", handlers=settings)
    for process in control.control_for("galaxy", "handlers").processes().values():
        process.directory.mkdir(parents=True)
        process.record()
    for name in stale:
        settings[name][setting] = value
    write(etc, "handlers", handlers={**settings, "handler2": {"tags": []}})
    processes = control.control_for("galaxy", "handlers").processes()
    assert [name for name, process in processes.items() if not process.current] == [*stale, "handler2"]


def test_an_environment_counts_for_its_handler_alone(control: Modules, etc: Path) -> None:
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


# --- What it is called by and given -----------------------------------------------------------------------------------


GALAXY = {"virtualenv": "/venv", "chdir": "/server", "config_file": "/galaxy.ini"}


def test_dynamic_handlers_are_told_their_pools(control: Modules, etc: Path) -> None:
    write(etc, "handlers", **GALAXY, handlers={"a": {"pools": ["job-handlers", "job-handlers.x"]}, "b": {}})
    handlers = control.control_for("galaxy", "handlers")
    program = ["/venv/bin/galaxy-main", "-c", "/galaxy.ini"]
    assert handlers.argv("a") == [*program, "--server-name=a", "--attach-to-pool=job-handlers", "--attach-to-pool=job-handlers.x"]
    assert handlers.argv("b") == [*program, "--server-name=b"]


def test_handlers_of_a_checkout_have_its_program(control: Modules, etc: Path, tmp_path: Path) -> None:
    venv, server = tmp_path / "venv", tmp_path / "server"
    write(etc, "handlers", **{**GALAXY, "virtualenv": str(venv), "chdir": str(server)}, handlers={"a": {}})
    handlers = control.control_for("galaxy", "handlers")
    expected = [f"{venv}/bin/galaxy-main"]
    for path, program in (
        (server / "scripts" / "galaxy-main", [f"{venv}/bin/python", f"{server}/scripts/galaxy-main"]),
        (server / "lib" / "galaxy" / "main.py", [f"{venv}/bin/python", "-m", "galaxy.main"]),
        (venv / "bin" / "galaxy-main", [f"{venv}/bin/galaxy-main"]),
    ):
        assert handlers.program == expected
        assert handlers.python_path == ([f"{server}/lib"] if len(expected) > 1 else [])
        path.parent.mkdir(parents=True)
        path.touch()
        expected = program
    assert handlers.program == expected


def test_mules_run_in_the_slots_and_not_in_a_candidate(control: Modules, etc: Path) -> None:
    write(etc, "web", argv=["uwsgi", "--ini-paste", "galaxy.ini"])
    without = control.control_for("galaxy", "web")
    mules = ["--mule=lib/galaxy/main.py", "--farm=job-handlers:1"]
    write(etc, "web", argv=["uwsgi", "--ini-paste", "galaxy.ini"], slot_argv=mules)
    web = control.control_for("galaxy", "web")
    assert web.argv("1")[-2:] == mules
    assert "mule" not in " ".join(web.argv("candidate"))
    assert control.fingerprint(web.watch) != control.fingerprint(without.watch)


def test_candidate_is_one_worker_whatever_the_options_say(control: Modules, etc: Path) -> None:
    """uWSGI refuses to start fewer workers than it is to keep."""
    write(etc, "web", argv=["uwsgi", "--ini-paste", "galaxy.ini"])
    web = control.control_for("galaxy", "web")
    assert web.argv("candidate")[-2:] == ["--processes=1", "--cheaper=0"]
    assert "--cheaper=0" not in web.argv("1")


@pytest.mark.parametrize(
    ("manager", "web", "handlers"),
    [
        ("systemd", ["galaxy-web@1.service", "galaxy-web@2.service", "galaxy-web@candidate.service"], ["galaxy-handler@big.0.service"]),
        ("supervisor", ["galaxy-web-1", "galaxy-web-2", "galaxy-web-candidate"], ["galaxy-handler-big.0"]),
    ],
)
def test_processes_are_called_as_their_service_manager_does(control: Modules, etc: Path, manager: str, web: list[str], handlers: list[str]) -> None:
    for kind, names in (("web", web), ("handlers", handlers)):
        write(etc, kind, manager=manager, handlers={"big.0": {}})
        assert [process.service for process in control.control_for("galaxy", kind).processes().values()] == names


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        ("", "Expecting value"),
        ('{"watch": [', "Expecting value"),
        ("{}", "'watch'"),
        ('{"watch": [], "health": {}, "manager": "upstart"}', "upstart"),
        ("[]", "list"),
        ("\xff", "decode"),
    ],
)
def test_a_broken_configuration_is_named(command: Any, etc: Path, content: Any, reason: str) -> None:
    if content is not None:
        (etc / "galaxy" / "web.json").write_bytes(content.encode("latin-1"))
    result = command("web", "status")
    assert (result.returncode, result.stdout) == (2, "")
    assert f"cannot read {etc}/galaxy/web.json" in result.stderr
    assert reason in result.stderr
    assert "run the playbook that wrote it again" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("status", "expected"), [("200", [200]), (204, [204]), (["200", 302], [200, 302]), ("200,302", [200, 302])])
def test_numbers_may_be_written_as_text(control: Modules, etc: Path, status: Any, expected: list[int]) -> None:
    """As ``--extra-vars uwsgi_start_timeout=900`` has them."""
    write(etc, "web", stop_timeout="30", health={**HEALTH, "timeout": "900", "status": status})
    config = control.control_for("galaxy", "web").config
    assert (config["stop_timeout"], config["health"]["timeout"], config["health"]["status"]) == (30, 900, expected)
    write(etc, "handlers", start_timeout="60", stop_timeout="9e1", drain_timeout="0")
    config = control.control_for("galaxy", "handlers").config
    assert (config["start_timeout"], config["stop_timeout"], config["drain_timeout"]) == (60, 90, 0)


def test_a_user_who_is_gone_is_named(command: Any, etc: Path) -> None:
    write(etc, "web", user="no-such-user", group="nogroup")
    result = command("web", "become", "1")
    assert (result.returncode, result.stderr) == (2, "this host has no user no-such-user: make it again, or run the playbook with another one\n")
    write(etc, "web", user="root", group="no-such-group")
    assert "this host has no group no-such-group: " in command("web", "become", "1").stderr


@pytest.mark.parametrize(
    ("kind", "people", "manager"),
    [
        ("web", "status restart check socket-group apply remove", "become ready failed boot log record-socket"),
        ("handlers", "status restart apply remove", "become ready failed"),
    ],
)
def test_help_tells_what_people_call_from_what_the_service_manager_calls(command: Any, kind: str, people: str, manager: str) -> None:
    result = command(kind, "--help")
    assert result.returncode == 0
    head, _title, rest = result.stdout.partition("\ncommands:\n")
    ours, _title, theirs = rest.partition("\nThe service manager calls these, and people do not:\n")
    assert f"sudo galaxy-{kind} status" in head
    assert re.findall(r"(?m)^    ([a-z-]+)(?: |$)", ours) == people.split()
    assert re.findall(r"(?m)^    ([a-z-]+) ", theirs) == manager.split()


@pytest.mark.usefixtures("control")
def test_who_is_not_root_is_told_to_be(monkeypatch: Any, capsys: Any) -> None:
    def refuse(*_arguments: Any) -> int:
        raise PermissionError(13, "Permission denied", "/run/galaxy/lock")

    program = importlib.import_module("control.__main__")
    monkeypatch.setattr(program, "run_with", refuse)
    for uid, hint in ((1000, "; run galaxy-web as root: sudo galaxy-web ..."), (0, "")):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        assert program.main("galaxy", "web", ["status"]) == 1
        assert capsys.readouterr().err == f"/run/galaxy/lock: Permission denied{hint}\n"


@pytest.mark.parametrize("arguments", [[], ["reload"], ["ready"], ["become"], ["apply", "--now"]])
def test_wrong_usage_is_told(command: Any, etc: Path, arguments: list[str]) -> None:
    write(etc, "web")
    result = command("web", *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("usage: galaxy-web")


@pytest.mark.parametrize("verb", ["become", "ready"])
def test_a_process_that_is_not_configured_is_named(command: Any, etc: Path, verb: str) -> None:
    write(etc, "handlers", handlers={"handler0": {}, "handler1": {}}, start_timeout=1)
    result = command("handlers", verb, "handler7")
    assert result.returncode == 2
    assert result.stderr == "galaxy-handlers knows no handler7, only handler0, handler1\n"


def test_what_cannot_be_written_is_told_without_a_traceback(command: Any, etc: Path, run: Path) -> None:
    write(etc, "web")
    (run / "galaxy").write_text("in the way of the directory")
    result = command("web", "restart")
    assert (result.returncode, result.stdout) == (1, "")
    assert f"{run}/galaxy" in result.stderr
    assert "Traceback" not in result.stderr


def test_what_cannot_be_read_is_told_without_a_traceback(command: Any, etc: Path, run: Path) -> None:
    unreadable = run / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(unreadable))
        write(etc, "web", user="nobody", group="nogroup", environment_file=str(unreadable))
        result = command("web", "become", "1")
    assert result.returncode == 1
    assert str(unreadable) in result.stderr
    assert "Traceback" not in result.stderr


def test_its_help_tells_the_exit_codes(command: Any) -> None:
    result = command("web", "--help")
    assert result.returncode == 0
    assert "0  done\n    1  a process did not start" in result.stdout


# --- Whether a new web process works ----------------------------------------------------------------------------------


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """An HTTP server on a unix socket that gives the same answers, one after the other and the last one for ever."""

    daemon_threads = True

    def __init__(self, path: Path, answers: list[int], seconds: float = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.answers = answers
        self.seconds = seconds
        self.requests: list[tuple[str, str]] = []
        super().__init__(str(path), Answer)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Answer(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers["Host"]))
        time.sleep(self.server.seconds)
        self.send_response(self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0])
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing; a client on a unix socket has no address to log."""


class Stats(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """What uWSGI's stats server says, one after the other and the last one for ever."""

    daemon_threads = True

    def __init__(self, path: Path, *moments: list[dict[str, Any]]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.moments = list(moments)
        super().__init__(str(path), Moment)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Moment(socketserver.BaseRequestHandler):
    """What it says once."""

    server: Stats

    def handle(self) -> None:
        moments = self.server.moments
        workers = moments.pop(0) if len(moments) > 1 else moments[0]
        self.request.sendall(json.dumps({"version": "2.0.30", "pid": 1, "sockets": [], "workers": workers}).encode())


def worker(number: int, applications: int = 1, respawns: int = 0, status: str = "idle") -> dict[str, Any]:
    """A worker as uWSGI tells of it, with what matters here."""
    numbers = {"requests": 0, "exceptions": 0, "harakiri_count": 0, "avg_rt": 0, "respawn_count": respawns + 1, "accepting": 1}
    return {"id": number, "pid": 0, "status": status, "cores": [], "apps": [{}] * applications, **numbers}


@pytest.fixture
def serve(run: Path) -> Iterator[Callable[..., Server]]:
    """Serve on the private socket of slot 2."""
    servers: list[Any] = []

    def start(*answers: int, seconds: float = 0, workers: Sequence[list[dict[str, Any]]] = ([worker(1)],)) -> Server:
        servers.append(Stats(run / "galaxy" / "web-2" / "stats.sock", *workers))
        servers.append(Server(run / "galaxy" / "web-2" / "http.sock", list(answers), seconds))
        return servers[-1]  # type: ignore[no-any-return]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ready(control: Modules, etc: Path, **health: Any) -> None:
    """Wait for slot 2 as its unit does."""
    write(etc, "web", health={**HEALTH, **health}, **ACCOUNT)
    web = control.control_for("galaxy", "web")
    web.processes()["2"].directory.mkdir(parents=True, exist_ok=True)
    web.processes()["2"].record()
    web.wait_until_ready("2", 0)


def test_ready_when_the_health_path_answers(control: Modules, etc: Path, serve: Any) -> None:
    server = serve(200)
    ready(control, etc, host="galaxy.example.org", path="/health?full=1")
    assert server.requests == [("/health?full=1", "galaxy.example.org")]


def test_ready_when_an_error_gives_way_to_an_answer(control: Modules, etc: Path, serve: Any) -> None:
    server = serve(503, 500, 204)
    ready(control, etc, status=[200, 204])
    assert len(server.requests) == 3


def test_ready_when_the_socket_appears_late(control: Modules, etc: Path, serve: Any) -> None:
    threading.Timer(0.5, serve, [200]).start()
    ready(control, etc, timeout=10)


def test_not_ready_before_every_worker_has_the_application(control: Modules, etc: Path, run: Path, serve: Any) -> None:
    """One that is cheap is not there. How many were started again by then is where later ones are counted from."""
    late = [worker(1), worker(2, applications=0, respawns=1), worker(3, applications=0, status="cheap")]
    serve(200, workers=[late, late, [worker(1), worker(2, respawns=1), worker(3, applications=0, status="cheap")]])
    ready(control, etc, timeout=10)
    process = control.control_for("galaxy", "web").processes()["2"]
    assert process.started["restarts"] == 1
    assert control.web.workload(process.directory / "stats.sock", 0).endswith("; 1 workers started again")
    assert "again" not in control.web.workload(process.directory / "stats.sock", 1)


@pytest.mark.parametrize("respawns", [1, 3])
def test_not_ready_when_a_worker_cannot_load_the_application(control: Modules, etc: Path, serve: Any, respawns: int) -> None:
    serve(200, workers=[[worker(1), worker(2, applications=0, respawns=respawns)]])
    with pytest.raises(control.ControlError, match=r"worker 2 of 2 has not loaded the application.*uwsgi_processes: 1"):
        ready(control, etc, timeout=2 if respawns < 3 else 60)


def test_not_ready_when_the_answer_is_wrong(control: Modules, etc: Path, run: Path, serve: Any) -> None:
    serve(500)
    with pytest.raises(control.ControlError) as failed:
        ready(control, etc, status=[200, 404], timeout=1)
    assert str(failed.value) == f"GET /api/version on {run}/galaxy/web-2/http.sock: status 500 after 1 s instead of 200 or 404"


def test_not_ready_when_nobody_answers(control: Modules, etc: Path) -> None:
    with pytest.raises(control.ControlError, match="No such file or directory after 1 s instead of 200"):
        ready(control, etc, timeout=1)


def test_not_ready_when_the_answer_takes_too_long(control: Modules, etc: Path, serve: Any) -> None:
    serve(200, seconds=10)
    began = time.monotonic()
    with pytest.raises(control.ControlError, match="timed out after 1 s"):
        ready(control, etc, timeout=1)
    assert time.monotonic() - began < 5


def test_not_ready_when_what_answers_is_no_http_server(control: Modules, etc: Path, run: Path) -> None:
    (run / "galaxy" / "web-2").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(run / "galaxy" / "web-2" / "http.sock"))
        listener.listen()

        def babble() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                connection.sendall(b"SSH-2.0-babble\r\n")
                connection.close()

        threading.Thread(target=babble, daemon=True).start()
        with pytest.raises(control.ControlError, match="after 1 s instead of 200"):
            ready(control, etc, timeout=1)


@pytest.mark.parametrize("kind", ["web", "handlers"])
def test_not_ready_as_soon_as_the_process_has_ended(command: Any, etc: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    write(etc, kind, health={**HEALTH, "timeout": 60}, handlers={"2": {}}, start_timeout=60, **ACCOUNT)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    monkeypatch.setenv("MAINPID", str(process.pid))
    began = time.monotonic()
    result = command(kind, "ready", "2")
    assert result.returncode == 1
    assert "the process ended before it" in result.stderr
    assert time.monotonic() - began < 30


def test_ready_fails_as_a_command_with_its_reason_in_the_log(command: Any, etc: Path) -> None:
    write(etc, "web", health={**HEALTH, "timeout": 1}, **ACCOUNT)
    result = command("web", "ready", "2")
    assert (result.returncode, result.stdout) == (1, "")
    assert "GET /api/version on " in result.stderr
    assert "Traceback" not in result.stderr


# --- What last worked -------------------------------------------------------------------------------------------------


def kept(control: Modules, tmp_path: Path, *watch: dict[str, Any]) -> Any:
    """Known-good copies of files."""
    return control.KnownGood(tmp_path / "state" / "galaxy" / "web", list(watch))


def works(copies: Any, version: str) -> None:
    """Have a version work."""
    copies.save(version)
    copies.adopt(version)


def one_that_works(control: Modules, tmp_path: Path) -> tuple[Path, Any]:
    """A file that works as version 1, and its known-good copies."""
    path = tmp_path / "galaxy.ini"
    path.write_text("works")
    keep = kept(control, tmp_path, {"path": str(path)})
    works(keep, "1")
    return path, keep


def test_files_come_back_as_they_last_worked(control: Modules, tmp_path: Path) -> None:
    """Contents, modes and links; what was rejected is kept, what was not there is gone again."""
    changed, same, new, gone, link = (tmp_path / name for name in ("changed.ini", "same.ini", "new.ini", "gone.ini", "venv"))
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
    assert (changed.read_text(), same.read_text(), gone.read_text()) == ("changed.ini works", "same.ini works", "gone.ini works")
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


def test_what_was_installed_is_neither_kept_nor_put_back(control: Modules, tmp_path: Path) -> None:
    (tmp_path / "RECORD").write_text("1")
    keep = kept(control, tmp_path, {"path": str(tmp_path / "*ECORD"), "installed": True})
    works(keep, "1")
    (tmp_path / "RECORD").write_text("2")
    assert keep.restore().files == []
    assert (tmp_path / "RECORD").read_text() == "2"


def test_a_link_never_leads_back_to_what_is_gone(control: Modules, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "venv").symlink_to("1")
    keep = kept(control, tmp_path, {"path": str(tmp_path / "venv"), "link": True})
    works(keep, "1")
    (tmp_path / "venv").unlink()
    (tmp_path / "venv").symlink_to("2")
    (tmp_path / "1").rmdir()
    assert keep.restore().files == []


@pytest.mark.parametrize("as_link", [True, False])
def test_copies_of_an_earlier_release_are_gone_back_to_and_followed(control: Modules, tmp_path: Path, as_link: bool) -> None:
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


def test_there_is_always_something_to_go_back_to(control: Modules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_version_that_failed_soon_gives_way_to_the_one_before_it_once(control: Modules, tmp_path: Path) -> None:
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


def test_what_was_written_since_a_process_started_tells_that_it_may_have_ended_by_that(control: Modules, tmp_path: Path) -> None:
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


def test_what_has_been_changed_again_is_not_taken_away(control: Modules, tmp_path: Path) -> None:
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


def test_who_waits_is_told_of_files_that_another_call_has_taken_away(control: Modules, tmp_path: Path) -> None:
    path, keep = one_that_works(control, tmp_path)
    path.write_text("wanted")
    before, since = keep.contents(), time.time()
    assert keep.taken_away(before, since) == []
    keep.restore()
    assert keep.taken_away(before, since) == [str(path)]
    assert keep.taken_away(before, time.time()) == [], "that was before this call"
    path.write_text("wanted")
    assert keep.taken_away(before, since) == [], "somebody has written it again"


def test_what_is_of_other_processes_stays_as_it_is(control: Modules, tmp_path: Path) -> None:
    """A job configuration whose handlers alone have changed, and the section of the web processes."""
    jobs, ini = tmp_path / "job_conf.yml", tmp_path / "galaxy.ini"
    jobs.write_text("runners: {}\nhandling:\n  processes:\n    a: {}\n")
    ini.write_text("[uwsgi]\nthreads = 4\n\n[app:main]\nx = 1\n")
    keep = kept(control, tmp_path, {"path": str(jobs), "without_handlers": True}, {"path": str(ini), "without_section": "uwsgi"})
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
def test_a_section_is_taken_from_another_text(control: Modules, text: bytes, other: bytes, expected: bytes) -> None:
    assert control.with_section(text, "uwsgi", other) == expected


GALAXY_YML = b"""\
---
# Mine
galaxy:
  brand: x
  text: |
    gravity:
      no: key

gravity:
  process_manager: systemd

  handlers: {}
# The end
uwsgi:
- a
reports:
  x: 1
"""


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
def test_keys_of_other_programs_are_no_change(control: Modules, before: bytes, after: bytes, same: bool) -> None:
    assert before in GALAXY_YML
    changed = GALAXY_YML.replace(before, after, 1)
    for text, other in ((GALAXY_YML, changed), (GALAXY_YML.replace(b"\n", b"\r\n"), changed.replace(b"\n", b"\r\n"))):
        assert (control.without_keys(text, ["gravity", "uwsgi"]) == control.without_keys(other, ["gravity", "uwsgi"])) is same


def test_keys_of_other_programs_stay_as_they_are(control: Modules, tmp_path: Path) -> None:
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


def test_a_full_disk_is_told_before_anything_is_replaced(control: Modules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, keep = one_that_works(control, tmp_path)
    path.write_text("works too")

    def full(*_arguments: Any, **_options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(control.ControlError, match=r"No space left on device.*Nothing has been replaced"):
        keep.save("2")
    assert keep.version == "1"


def test_what_works_comes_back_where_there_is_no_space_for_what_was_rejected(control: Modules, tmp_path: Path) -> None:
    path, keep = one_that_works(control, tmp_path)
    path.write_text("broken")
    # As good as full: nobody can make a directory there.
    keep.rejected = tmp_path / "file" / "rejected"
    (tmp_path / "file").write_text("")
    done = keep.restore()
    assert path.read_text() == "works"
    assert done.files == [str(path)]
    assert "what was rejected is not kept" in done.problems[0]


class NothingStarts:
    """A service manager of which only that matters here: nothing that it is asked to start works."""

    def __init__(self, control: Any) -> None:
        """Take what it manages."""

    def load(self, names: list[str], check: bool) -> None:
        """Know them."""

    def name(self, process: str) -> str:
        """Call a process what it is."""
        return process

    def is_active(self, process: Any) -> bool:
        """Nothing runs."""
        return False

    is_starting = is_active

    def start(self, process: Any, keep_trying: bool = False) -> None:
        """Fail."""
        raise NothingStarts.error("it does not start")

    error: type[Exception]


@pytest.mark.parametrize("by_handlers", [False, True])
def test_handlers_go_back_too_once_the_lock_is_free(
    control: Modules, etc: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_handlers: bool
) -> None:
    """They ask the web processes for a proof, which waits for the lock: it would wait for ever for who waits for them.

    And where their own command has called, and waits for this one, they must not be asked to.
    """
    if by_handlers:
        monkeypatch.setenv(control.common.BY_HANDLERS, "1")
    found, command = tmp_path / "found", tmp_path / "galaxy-handlers"
    command.write_text(f'#!/bin/sh\nflock --nonblock {run}/galaxy/web.lock echo "$1, lock free" > {found} || echo "lock held" > {found}\n')
    command.chmod(0o755)
    (tmp_path / "galaxy.ini").write_text("works")
    accounts = {"user": pwd.getpwuid(os.getuid()).pw_name, "socket_group": grp.getgrgid(os.getgid()).gr_name}
    write(etc, "web", watch=[{"path": str(tmp_path / "galaxy.ini")}], handlers_command=str(command), handover="overlap", **accounts)
    web = control.Web("galaxy")
    NothingStarts.error = control.ControlError
    web.manager = NothingStarts(web)
    monkeypatch.setattr(control.Web, "public", control.PublicSocket(web))
    works(web.known_good, web.version)
    (tmp_path / "galaxy.ini").write_text("broken")
    options = control.parser_for("galaxy", "web").parse_args(["apply", "--restore"])
    with pytest.raises(control.ControlError, match="as they were when they last worked"):
        control.main.run(web, options)
    assert (found.read_text() if found.exists() else "") == ("" if by_handlers else "apply, lock free\n")


class AllRuns(NothingStarts):
    """A service manager under which everything runs, and nothing is to be started."""

    def is_active(self, process: Any) -> bool:
        """All run."""
        return True

    def is_starting(self, process: Any) -> bool:
        """Nothing is on its way."""
        return False

    def unknown(self, names: list[str]) -> list[str]:
        """Nothing else is there."""
        return []


@pytest.mark.parametrize("restore", [True, False])
def test_what_the_web_processes_reject_is_taken_from_the_handlers_too(control: Modules, etc: Path, tmp_path: Path, restore: bool) -> None:
    """Otherwise the rejected option would stay in the file, and be what everything starts from after the next boot."""
    config, command = tmp_path / "galaxy.ini", tmp_path / "galaxy-web"
    command.write_text('#!/bin/sh\necho "galaxy-web@candidate.service did not start" >&2\nexit 1\n')
    command.chmod(0o755)
    config.write_text("[uwsgi]\nthreads = 4\n[app:main]\nfile_path = good\n")
    watch = [{"path": str(config), "without_section": "uwsgi"}]
    write(etc, "handlers", handlers={"a": {}}, watch=watch, web_command=str(command), **GALAXY)
    handlers = control.Handlers("galaxy")
    handlers.manager = AllRuns(handlers)
    works(handlers.known_good, handlers.version)
    config.write_text("[uwsgi]\nthreads = 5\n[app:main]\nfile_path = bad\n")
    with pytest.raises(control.ControlError) as failed:
        handlers.apply(check=False, restore=restore)
    assert "No handler has been touched." in str(failed.value)
    assert ("as they were when they last worked" in str(failed.value)) == restore
    assert config.read_text() == f"[uwsgi]\nthreads = 5\n[app:main]\nfile_path = {'good' if restore else 'bad'}\n"


class StartsTheSecondTime(NothingStarts):
    """A service manager under which the first start fails."""

    def __init__(self, control: Any) -> None:
        """Count what is started and stopped."""
        self.calls: list[str] = []

    def start(self, process: Any, keep_trying: bool = False) -> None:
        """Fail once."""
        self.calls.append(f"start {process.service}")
        if len(self.calls) == 1:
            raise NothingStarts.error("it does not start")

    def stop(self, process: Any, wait: bool = True) -> None:
        """Stop it."""
        self.calls.append(f"stop {process.service}")


@pytest.mark.parametrize("lost", [True, False])
def test_a_slot_starts_once_more_where_its_pool_was_killed_meanwhile(
    control: Modules, etc: Path, run: Path, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """Nothing is wrong with the change; without a pool to get the socket from no version starts."""
    write(etc, "web", manager="supervisor", **ACCOUNT)
    web = control.Web("galaxy")
    NothingStarts.error = control.ControlError
    web.manager = manager = StartsTheSecondTime(web)
    pool = run / "galaxy" / "pool-1"
    (pool / "private").mkdir(parents=True)
    idle = web.slots()[1]
    idle.directory.mkdir()
    (idle.directory / "pool").symlink_to(pool)
    public = control.web.ZergPool(web)
    monkeypatch.setattr(control.Web, "public", public)
    monkeypatch.setattr(public, "open", lambda: None)
    with socket.socket(socket.AF_UNIX) as listening:
        if not lost:
            listening.bind(str(pool / "private" / "zerg.sock"))
            listening.listen()
        with contextlib.nullcontext() if lost else pytest.raises(control.ControlError, match="it does not start"):
            web.start_idle(idle)
    assert manager.calls == ["start 2"] * (2 if lost else 1)


@pytest.mark.parametrize("applications", [0, 1, None])
def test_a_start_is_cut_short_by_force_only_while_there_can_be_no_requests(
    control: Modules, etc: Path, serve: Any, applications: int | None
) -> None:
    write(etc, "web", stop_timeout=60, **ACCOUNT)
    web = control.Web("galaxy")
    web.manager = manager = StartsTheSecondTime(web)
    slot = web.slots()[1]
    slot.directory.mkdir(parents=True, exist_ok=True)
    if applications is not None:
        serve(200, workers=[[worker(1, applications=0), worker(2, applications=applications)]])
    NothingStarts.error = control.ControlError
    with subprocess.Popen(["sleep", "60"]) as child:
        (slot.directory / "pid").write_text(json.dumps({"pid": child.pid, "born": control.start_time(child.pid)}))
        web.cut_short(slot)
        if applications:
            assert child.poll() is None
            child.kill()
        assert child.wait(timeout=10) == -9
    assert manager.calls == ["stop 2"]


def test_handlers_tell_the_web_processes_who_calls(control: Modules, etc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = tmp_path / "galaxy-web"
    command.write_text(f'#!/bin/sh\necho "$1 ${control.common.BY_HANDLERS}"\n')
    command.chmod(0o755)
    write(etc, "handlers", web_command=str(command))
    control.Handlers("galaxy").tell_web()
    assert capsys.readouterr().out == "apply 1\n"


class Moves:
    """What stands for Galaxy's database: it notes who gets whose jobs."""

    made: list[tuple[str, ...]]

    def __init__(self, _config: Any) -> None:
        pass

    def move(self, handler: str, new: dict[str, list[str]], gone: bool) -> list[dict[str, Any]]:
        """Note a move of jobs."""
        assert gone
        self.made.append(("jobs", handler, *new))
        return [{"id": 7, "state": "new", "tool": "sort1", "heir": name} for name in new]

    def move_workflows(self, handlers: list[str], new: list[str]) -> int:
        """Note a move of workflows."""
        self.made.append(("workflows", *handlers, *new))
        return 1


@pytest.fixture
def renamed(control: Modules, etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Handlers of which two had other ids before, and one id of a third that still has a process."""
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python3").touch()
    handlers = {
        "handler0": {"id": "handler0", "tags": [], "plugins": ["slurm"], "previous_ids": ["main", "runs0"]},
        "w": {"id": "w", "workflow_scheduler": True, "previous_ids": ["main.w"]},
        "b": {"id": "b", "tags": []},
    }
    write(etc, "handlers", handlers=handlers, virtualenv=str(tmp_path / "venv"))
    Moves.made = []
    monkeypatch.setattr(control.handlers, "Jobs", Moves)
    monkeypatch.setattr(control.systemd, "systemctl", lambda *_arguments, **_options: "galaxy-handler@runs0.service loaded active\n")
    return control.control_for("galaxy", "handlers")


def test_a_handler_gets_the_jobs_of_its_previous_ids_as_it_starts(renamed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("handler0", "w", "b"):
        renamed.inherit(name, [renamed])
    assert Moves.made == [("jobs", "main", "handler0"), ("workflows", "main.w", "w")]
    assert capsys.readouterr().out == "handler0 takes over from main: job 7 (new, sort1)\n"


def test_removed_handlers_give_the_jobs_back_to_their_previous_ids(renamed: Any, tmp_path: Path) -> None:
    renamed.remove()
    assert Moves.made == [("jobs", "handler0", "main"), ("workflows", "w", "main.w")]
    Moves.made = []
    (tmp_path / "venv" / "bin" / "python3").unlink()
    renamed.remove()
    assert Moves.made == []


# --- Another service manager -------------------------------------------------------------------------------------------


@pytest.fixture
def both(control: Modules, etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Any]:
    """The control of one kind with one service manager, where the definitions of both are there, and all that systemd is asked for runs."""
    unit = etc / "systemd" / "system" / "galaxy-web@.service"
    unit.parent.mkdir(parents=True)
    definitions = {"systemd": [str(unit), str(unit.with_name("galaxy-handler@.service"))], "supervisor": [str(tmp_path / "galaxy-web.conf")]}
    for path in (path for paths in definitions.values() for path in paths):
        Path(path).write_text("")

    def make(kind: str, manager: str) -> Any:
        write(etc, kind, manager=manager, definitions=definitions, handlers={"a": {}}, boot_units=["x"], allow_interruption=False)
        return control.control_for("galaxy", kind)

    monkeypatch.setattr(control.supervisor, "systemctl", lambda *_arguments, **_options: "active")
    monkeypatch.setattr(control.systemd, "systemctl", lambda *_arguments, **_options: "active")
    return make


@pytest.mark.parametrize("kind", ["web", "handlers"])
@pytest.mark.parametrize(("chosen", "former"), [("systemd", "supervisor"), ("supervisor", "systemd")])
def test_who_has_definitions_and_is_not_chosen_is_to_be_left(both: Any, capsys: pytest.CaptureFixture[str], kind: str, chosen: str, former: str) -> None:
    processes = both(kind, chosen)
    assert processes.former.manager.title == former
    assert processes.former.config["boot_units"] == []
    assert set(processes.defined()).isdisjoint(processes.former.defined())
    assert [process.directory for process in processes.processes().values()] == [process.directory for process in processes.former.processes().values()]
    assert processes.left_behind() == 1
    assert f"{former} still has definitions of galaxy-{kind}: run the playbook" in capsys.readouterr().out
    for path in processes.config["definitions"][former]:
        Path(path).unlink()
    assert processes.former is None
    assert processes.left_behind() == 0


@pytest.mark.parametrize(
    "log, asked",
    [
        ("become galaxy-web-1, pid 41\nspawned\ngraceful shutdown triggered...\ngoodbye to uWSGI.\n", True),
        ("become galaxy-web-1, pid 41\nspawned\n", False),
        ("become galaxy-web-1, pid 40\ngraceful shutdown triggered...\nbecome galaxy-web-1, pid 41\nspawned\n", False),
        (None, False),
    ],
)
def test_a_program_that_somebody_has_restarted_did_not_fail(
    control: Modules, both: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str | None, asked: bool
) -> None:
    """Otherwise C(supervisorctl restart) soon after a change would take the change back."""
    web = both("web", "supervisor")
    monkeypatch.setattr(control.supervisor, "LOGS", tmp_path)
    if log is not None:
        (tmp_path / "galaxy-web-1.log").write_text(log)
    slot = web.slots()[0]
    slot.directory.mkdir(parents=True)
    (slot.directory / "pid").write_text(json.dumps({"pid": 41, "born": "long ago"}))
    assert web.manager.is_asked_to_stop(slot) == asked


@pytest.mark.parametrize(("gone", "patience", "said"), [(3, 90, ""), (10**6, 1, "no such file")])
def test_supervisor_that_was_killed_is_waited_for(
    control: Modules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: int, patience: float, said: str
) -> None:
    """That says nothing about the version whose start was asked for. The command here is one that fails so often."""
    command = tmp_path / "supervisorctl"
    command.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n[ $(wc -l < {tmp_path}/calls) -gt {gone} ] || {{ echo "unix:///x no such file"; exit 4; }}\necho done\n'
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(control.supervisor, "PATIENCE", patience)
    if said:
        with pytest.raises(control.ControlError, match=said):
            control.supervisor.supervisorctl("reread")
    else:
        assert control.supervisor.supervisorctl("reread") == "done"
        assert (tmp_path / "calls").read_text().split() == ["reread", "pid", "pid", "pid", "reread"]


@pytest.mark.parametrize("kind", ["web", "handlers"])
def test_what_systemd_runs_is_none_of_supervisors(both: Any, kind: str) -> None:
    """Both record their processes in the same places."""
    processes = both(kind, "supervisor")
    process = next(iter(processes.processes().values()))
    process.directory.mkdir(parents=True)
    process.record()
    process.record_started()
    assert process.pid == os.getpid()
    assert not processes.manager.is_active(process)
    for path in processes.config["definitions"]["systemd"]:
        Path(path).unlink()
    assert processes.manager.is_active(process)


def test_programs_of_another_instance_are_none_of_this_one(both: Any, etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One called galaxy-web beside one called galaxy."""
    for instance in ("galaxy-web", "galaxy-handler"):
        (etc / instance).mkdir()
        for kind in ("web", "handlers"):
            write(etc, f"../{instance}/{kind}", handlers={})
    names = ("web-1", "web-9", "web-web-1", "web-handler-a", "handler-a", "handler-b", "handler-web-1", "handler-handler-a")
    known = "\n".join(f"galaxy-{name} RUNNING" for name in names)
    for kind, unknown in (("web", ["galaxy-web-9"]), ("handlers", ["galaxy-handler-b"])):
        manager = both(kind, "supervisor").manager
        monkeypatch.setattr(sys.modules[type(manager).__module__], "supervisorctl", lambda *_arguments, **_options: known)
        assert manager.unknown(["galaxy-web-1", "galaxy-handler-a"]) == unknown


@pytest.mark.parametrize("kind", ["web", "handlers"])
@pytest.mark.parametrize("file", ["@.service", "@9.service"])
def test_service_of_somebody_else_is_none_of_this_instance(
    both: Any, etc: Path, monkeypatch: pytest.MonkeyPatch, kind: str, file: str
) -> None:
    """Gravity and other roles call their units by the same names."""
    manager = both(kind, "systemd").manager
    units = etc / "systemd" / "system"
    units.mkdir(parents=True, exist_ok=True)
    prefix = manager.prefix.rstrip("@")
    monkeypatch.setattr(sys.modules[type(manager).__module__], "systemctl", lambda *_arguments, **_options: f"{prefix}@9.service loaded active")
    (units / f"{prefix}@.service").write_text("# Managed by the role galaxyops.uwsgi.job_handlers\n")
    assert manager.unknown([]) == [f"{prefix}@9.service"]
    (units / f"{prefix}{file}").write_text("; This file is maintained by Gravity\n")
    assert manager.unknown([]) == []
    (units / f"{prefix}{file}").unlink()
    assert manager.unknown([]) == [f"{prefix}@9.service"], "the unit of a role is gone, and the process still runs"


@pytest.mark.parametrize("kind", ["web", "handlers"])
def test_program_of_somebody_else_is_none_of_this_instance(both: Any, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    manager = both(kind, "supervisor").manager
    name = manager.name("9")
    monkeypatch.setattr(sys.modules[type(manager).__module__], "supervisorctl", lambda *_arguments, **_options: f"{name} RUNNING")
    assert manager.unknown([]) == [name]
    (definition,) = manager.control.config["definitions"]["supervisor"]
    Path(definition).parent.mkdir(parents=True, exist_ok=True)
    mine = Path(definition).parent / "mine.conf"
    mine.write_text(f"[program:{name}]\ncommand = sleep 9\n")
    assert manager.unknown([]) == []
    mine.write_text(f"; galaxyops.uwsgi\n[program:{name}]\ncommand = sleep 9\n")
    assert manager.unknown([]) == [name]


def test_what_ended_processes_have_left_is_swept(both: Any) -> None:
    """Under supervisor root makes these files, under systemd the application's user."""
    lives, ended = both("web", "systemd").slots()
    for process in (lives, ended):
        process.directory.mkdir(parents=True)
        process.record()
    (ended.directory / "pid").write_text(json.dumps({"pid": os.getpid(), "born": "1"}))
    both("web", "systemd").sweep()
    assert lives.directory.exists()
    assert not ended.directory.exists()


def test_systemd_takes_the_place_of_a_pool_only_when_that_is_allowed(control: Modules, both: Any, run: Path) -> None:
    web = both("web", "systemd")
    (run / "galaxy").mkdir()
    with socket.socket(socket.AF_UNIX) as pool:
        pool.bind(str(run / "pool.sock"))
        pool.listen()
        (run / "galaxy" / "web.sock").symlink_to(run / "pool.sock")
        with pytest.raises(control.Refusal, match=r"belongs to supervisor.*uwsgi_allow_interruption.*Nothing has been touched"):
            web.public.refuse_to_close()
        web.config["allow_interruption"] = True
        web.public.refuse_to_close()
    web.config["allow_interruption"] = False
    web.public.refuse_to_close()  # nobody listens there, so nobody is turned away


def test_supervisor_takes_over_in_place_only_when_that_is_allowed(control: Modules, both: Any, run: Path) -> None:
    """Beside each other nobody waits in the socket that goes."""
    web = both("web", "supervisor")
    (run / "galaxy").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(run / "galaxy" / "web.sock"))
        listener.listen()
        web.config["handover"] = "overlap"
        web.public.refuse_to_close()
        web.config["handover"] = "in_place"
        with pytest.raises(control.Refusal, match=r"belongs to systemd.*uwsgi_allow_interruption"):
            web.public.refuse_to_close()
        web.config["allow_interruption"] = True
        web.public.refuse_to_close()


def test_who_has_waited_for_the_lock_goes_by_what_is_written_then(control: Modules, etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(etc, "web", manager="supervisor")
    web = control.control_for("galaxy", "web")
    write(etc, "web", manager="systemd")
    seen: list[str] = []
    monkeypatch.setattr(control.main, "change", lambda control, _options: seen.append(control.manager.title))
    assert control.main.run(web, control.parser_for("galaxy", "web").parse_args(["apply"])) == 0
    assert seen == ["systemd"]


# --- The sockets ------------------------------------------------------------------------------------------------------

UWSGI_PACKET = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "x", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1"}


def test_each_inherited_socket_gets_its_protocol(etc: Path, run: Path, tmp_path: Path) -> None:
    """The real uWSGI on sockets as systemd hands them over; it would take all of them for its own protocol."""
    (tmp_path / "app.py").write_text("def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'served']\n")
    (tmp_path / "web.env").write_text("")
    account = pwd.getpwuid(os.geteuid())
    uwsgi = os.path.join(sys.prefix, "bin", "uwsgi")
    argv = [uwsgi, "--master", "--die-on-term", "--need-app", "--wsgi-file", str(tmp_path / "app.py")]
    who = {"user": account.pw_name, "group": grp.getgrgid(account.pw_gid).gr_name, "environment_file": str(tmp_path / "web.env")}
    write(etc, "web", argv=argv, chdir=str(tmp_path), virtualenv=sys.prefix, health={**HEALTH, "timeout": 30}, **who)
    sockets = [socket.create_server(("127.0.0.1", 0)) for _number in range(2)]
    addresses = [listener.getsockname() for listener in sockets]
    # Beyond those that are about to be replaced.
    descriptors = [fcntl.fcntl(listener, fcntl.F_DUPFD, 100) for listener in sockets]
    environment = {**os.environ, "GALAXYOPS_ETC": str(etc), "GALAXYOPS_RUN": str(run), "GALAXYOPS_STATE": str(tmp_path / "state")}
    start = "import os, sys; [os.dup2(int(fd), 3 + n) for n, fd in enumerate(sys.argv[1].split())]; os.environ['LISTEN_PID'] = str(os.getpid()); "
    start += "os.execv(sys.executable, [sys.executable, '-m', 'control', 'galaxy', 'web', 'become', '1'])"
    process = subprocess.Popen(
        [sys.executable, "-c", start, " ".join(map(str, descriptors))],
        cwd=SOURCE,
        env={**environment, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "http:uwsgi"},
        pass_fds=descriptors,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{addresses[0][1]}/", timeout=30) as response:
            assert response.read() == b"served"
            # No client waits for, or sends, anything on a connection that uWSGI closes.
            assert response.headers["Connection"] == "close"
        body = b"".join(struct.pack("<H", len(part)) + part for pair in UWSGI_PACKET.items() for part in (text.encode() for text in pair))
        with socket.create_connection(addresses[1], timeout=30) as connection:
            connection.sendall(struct.pack("<BHB", 0, len(body), 0) + body)
            assert connection.makefile("rb").read().endswith(b"served")
    finally:
        process.terminate()
        process.communicate(timeout=30)
        for descriptor in descriptors:
            os.close(descriptor)


def test_only_its_own_sockets_are_closed(control: Modules, etc: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another address is another unit; an instance whose name begins the same keeps its own."""
    units = etc / "systemd" / "system"
    units.mkdir(parents=True)
    ours = ["galaxy-web-http-8080.socket", "galaxy-web-tcp-::1:4001.socket"]
    theirs = ["galaxy-web-http-web.socket", "galaxy-web2-web.socket", "galaxy-web-tcp-1-web-http-80.socket", "sshd.socket"]
    for name in [*ours, *theirs, "galaxy-web.socket"]:
        (units / name).write_text("")
    write(etc, "web", sockets=[{"protocol": "uwsgi", "address": "/run/galaxy/web.sock", "unit": "galaxy-web.socket"}], allow_interruption=False)
    web = control.control_for("galaxy", "web")
    calls: list[tuple[str, ...]] = []

    def systemctl(*arguments: str, check: bool = True) -> str:
        calls.append(arguments)
        return "active"

    monkeypatch.setattr(control.web, "systemctl", systemctl)
    with pytest.raises(control.Refusal, match=r"galaxy-web-http-8080\.socket, galaxy-web-tcp-::1:4001\.socket would be closed"):
        web.public.refuse_to_close()
    web.config["allow_interruption"] = True
    web.public.refuse_to_close()
    web.public.close_others()
    assert sorted(path.name for path in units.iterdir()) == sorted([*theirs, "galaxy-web.socket"])
    assert [call for call in calls if call[0] == "disable"] == [("disable", "--now", unit) for unit in ours]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_who_listens_answers(control: Modules, tmp_path: Path, host: str) -> None:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        port = listener.getsockname()[1]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        assert control.answers(address)
        assert ":" in host or control.answers(f":{port}")
    assert not control.answers(address)
    assert not control.answers(str(tmp_path / "none.sock"))


# --- Processes, as the kernel sees them -------------------------------------------------------------------------------


def test_a_process_is_known_by_its_number_and_birth(control: Modules, etc: Path) -> None:
    write(etc, "web")
    process = control.control_for("galaxy", "web").slots()[0]
    process.directory.mkdir(parents=True)
    assert process.pid == 0
    process.record()
    assert process.pid == os.getpid()
    record = json.loads((process.directory / "pid").read_text())
    (process.directory / "pid").write_text(json.dumps({**record, "born": "1"}))
    assert process.pid == 0, "another process has got the number"
    assert process.start_seconds is None


def test_a_process_without_a_service_manager_ends(control: Modules, etc: Path) -> None:
    """As one that a killed supervisor has left: at first politely, after the given time by force, its children too."""
    write(etc, "web")
    process = control.control_for("galaxy", "web").slots()[0]
    process.directory.mkdir(parents=True)
    stubborn = "import signal, subprocess, time; signal.signal(15, signal.SIG_IGN); subprocess.Popen(['sleep', '60']); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        family = control.descendants(child.pid)
        assert len(family) == 2
        assert control.memory([child.pid]) > 1_000_000
        (process.directory / "pid").write_text(json.dumps({"pid": child.pid, "born": control.start_time(child.pid)}))
        process.terminate(0.3)
        assert child.wait() == -9
    deadline = time.monotonic() + 10
    while any(control.start_time(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [control.start_time(pid) for pid in family] == ["", ""]


def test_root_ends_no_process_of_another_user(control: Modules, etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number stands in a directory of the application's user, who could have written any."""
    write(etc, "web")
    process = control.control_for("galaxy", "web").slots()[0]
    process.directory.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as child:
        (process.directory / "pid").write_text(json.dumps({"pid": child.pid, "born": control.start_time(child.pid)}))
        assert control.owner(child.pid) == os.getuid()
        monkeypatch.setattr(control.process, "owner", lambda _pid: os.getuid() + 1)
        process.terminate(0.1)
        assert control.start_time(child.pid)
        child.kill()


def test_nothing_is_written_through_a_link(control: Modules, etc: Path, tmp_path: Path) -> None:
    """Nor what root writes into a directory of the application's user."""
    write(etc, "web")
    process = control.control_for("galaxy", "web").slots()[0]
    process.directory.mkdir(parents=True)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    for name in ("fingerprint", "pid", "started"):
        (process.directory / name).symlink_to(precious)
    process.record()
    process.record_started()
    assert precious.read_text() == "precious"
    assert process.current
    assert process.start_seconds is not None
    assert sorted(path.name for path in process.directory.iterdir()) == ["fingerprint", "pid", "started"]


def test_an_environment_file_is_read_as_systemd_reads_it(control: Modules) -> None:
    values = {"A": 'pa$$ "x" %n', "B": "back\\slash`", "C": ""}
    text = environment_file(values)
    assert control.read_environment(text) == values


def test_too_little_memory_is_told_with_its_remedy(control: Modules) -> None:
    gib = 1024**3
    assert control.memory_problem(gib, gib, 25) == ""
    text = control.memory_problem(2 * gib, gib, 25)
    for words in ("about 2048 MiB", "1024 MiB are available", "uwsgi_processes", "set uwsgi_handover to in_place", "about 25 s"):
        assert words in text
    assert control.available_memory() > 0


@pytest.fixture
def shared(control: Modules, etc: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The web processes of an instance whose sockets have the group of the web server and shall have another one."""
    account = pwd.getpwuid(os.getuid()).pw_name
    write(etc, "web", manager="systemd", user=account, socket_group="games", allow_interruption=False, command="/usr/local/sbin/galaxy-web")
    web = control.main.control_for("galaxy", "web")
    top = run / "galaxy"
    (top / "asgi").mkdir(parents=True)
    for path in (top / "web.sock", top / "asgi" / "1.sock"):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    for path in (top / "web.sock", top / "asgi", top / "asgi" / "1.sock"):
        os.chown(path, -1, grp.getgrnam("www-data").gr_gid)
    web.workers = []
    monkeypatch.setattr(control.modules["web"], "nginx_workers", lambda: web.workers)
    return web


def groups_of(web: Any) -> set[str]:
    """The groups of the sockets."""
    return {path.group() for path in (web.run / "web.sock", web.run / "asgi", web.run / "asgi" / "1.sock")}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket to another group")
def test_sockets_keep_their_group_until_all_workers_of_nginx_have_the_other(
    control: Modules, shared: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = grp.getgrnam("www-data").gr_gid, grp.getgrnam("games").gr_gid
    worker = control.modules["nginx"].Worker
    for workers in ([], [worker(7, 33, frozenset({old}))], [worker(7, 33, frozenset({old})), worker(8, 33, frozenset({old, new}))]):
        shared.workers = workers
        shared.public.share()
        assert (groups_of(shared), shared.public.group) == ({"www-data"}, "www-data")
        out, err = capsys.readouterr()
        assert out == ""
        assert "wait for nginx" in err and "'user www-data games;'" in err
    shared.workers = [worker(8, 33, frozenset({old, new})), worker(9, 0, frozenset({old}))]
    shared.public.share(check=True)
    assert groups_of(shared) == {"www-data"}
    for _call in range(2):
        shared.public.share()
        assert (groups_of(shared), shared.public.group) == ({"games"}, "games")
    assert capsys.readouterr().out == "give the sockets to the group games\n" * 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket to another group")
def test_sockets_get_their_group_at_once_where_an_interruption_is_allowed(shared: Any) -> None:
    shared.config["allow_interruption"] = True
    shared.public.share()
    assert groups_of(shared) == {"games"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket to another group")
def test_what_the_application_puts_in_the_place_of_a_socket_keeps_its_group(shared: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    before = (tmp_path / "file").group()
    (shared.run / "asgi" / "1.sock").unlink()
    (shared.run / "asgi" / "1.sock").symlink_to(tmp_path / "file")
    (shared.run / "asgi" / "2.sock").write_text("")
    os.chown(shared.run / "asgi" / "2.sock", -1, 0)
    shared.config["allow_interruption"] = True
    shared.public.share()
    assert ((tmp_path / "file").group(), (shared.run / "asgi" / "2.sock").group()) == (before, grp.getgrgid(0).gr_name)


def test_another_group_alone_does_not_make_a_socket_anew(control: Modules, shared: Any, etc: Path) -> None:
    """Neither where its unit was recorded without the group, as now, nor with it, as by earlier versions."""
    unit = etc / "systemd" / "system" / "galaxy-web.socket"
    unit.parent.mkdir(parents=True)
    text = "[Socket]\nListenStream=/run/galaxy/web.sock\nSocketGroup={}\nBacklog={}\n"
    public = shared.public
    unit.write_text(text.format("www-data", 4096))
    for recorded in (public._definition(unit.name), control.fingerprint([{"path": str(unit)}])):
        unit.write_text(text.format("games", 4096))
        public._made_from(unit.name).write_text(recorded)
        assert public._is_as_defined(unit.name)
        unit.write_text(text.format("games", 100))
        assert not public._is_as_defined(unit.name)
        unit.write_text(text.format("www-data", 4096))


# --- What is printed --------------------------------------------------------------------------------------------------


def with_closed_output(etc: Path, run: Path, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command with an output that nobody reads any more."""
    environment = {**os.environ, "GALAXYOPS_ETC": str(etc), "GALAXYOPS_RUN": str(run), "GALAXYOPS_STATE": str(tmp_path / "state")}
    reader, writer = os.pipe()
    os.close(reader)
    program = [sys.executable, "-m", "control", "galaxy", *arguments]
    try:
        return subprocess.run(program, cwd=SOURCE, env=environment, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writer)


@pytest.mark.parametrize(("arguments", "code"), [(("handlers", "--help"), 0), (("handlers", "status", "--help"), 0), (("web", "nonsense"), 2)])
def test_reader_who_has_gone_gets_no_traceback(etc: Path, run: Path, tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    result = with_closed_output(etc, run, tmp_path, *arguments)
    assert result.returncode == code
    assert "Error" not in result.stderr and "Exception" not in result.stderr


def test_status_keeps_its_exit_code_without_a_reader(etc: Path, run: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    write(etc, "handlers", handlers={f"handler{number}": {} for number in range(3)})
    with_reader = command("handlers", "status")
    result = with_closed_output(etc, run, tmp_path, "handlers", "status")
    assert (result.returncode, result.stderr) == (with_reader.returncode, with_reader.stderr)


def test_what_is_under_way_goes_on_without_a_reader(tmp_path: Path) -> None:
    done = tmp_path / "done"
    program = f"from control.errors import say\nfor _ in range(3): say('x' * 100_000)\nopen({str(done)!r}, 'w').close()"
    for stdout in ("pipe", "/dev/full"):
        done.unlink(missing_ok=True)
        reader, writer = os.pipe() if stdout == "pipe" else (os.open(os.devnull, os.O_RDONLY), os.open(stdout, os.O_WRONLY))
        os.close(reader)
        result = subprocess.run([sys.executable, "-c", program], cwd=SOURCE, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
        os.close(writer)
        assert (result.returncode, result.stderr, done.exists()) == (0, "", True)
