# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that controls the processes, as far as it goes without systemd: what needs systemd is tested on real hosts."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _job_conf, _paste_ini

SCRIPT = Path(__file__).resolve().parents[3] / "templates" / "process_control.py"
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


@pytest.fixture
def control(etc: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The command as a module, with directories of its own."""
    monkeypatch.setenv("GALAXYOPS_ETC", str(etc))
    monkeypatch.setenv("GALAXYOPS_RUN", str(run))
    spec = importlib.util.spec_from_file_location("process_control", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def command(etc: Path, run: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command by one of the names that the roles install it under."""

    def call(name: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        program = tmp_path / name
        program.write_bytes(SCRIPT.read_bytes())
        environment = {**os.environ, "GALAXYOPS_ETC": str(etc), "GALAXYOPS_RUN": str(run)}
        return subprocess.run([sys.executable, str(program), *arguments], env=environment, capture_output=True, text=True, check=False, **options)

    return call


def write(etc: Path, kind: str, **config: Any) -> None:
    """Write the configuration that a role would write."""
    (etc / "galaxy" / f"{kind}.json").write_text(json.dumps({"watch": [], **config}))


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
def test_without_a_section_its_changes_are_none(control: ModuleType, before: bytes, after: bytes) -> None:
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
def test_without_a_section_other_changes_still_are(control: ModuleType, before: bytes, after: bytes) -> None:
    assert control.without_section(before, "uwsgi") != control.without_section(after, "uwsgi")


@pytest.mark.parametrize("text", [GALAXY_INI, GALAXY_INI.rstrip("\n"), GALAXY_INI.replace("\n", "\r\n"), "[app:main]\n"])
def test_what_the_uwsgi_role_writes_is_no_change_to_handlers(control: ModuleType, text: str) -> None:
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
def test_another_handler_is_no_change_to_handlers(control: ModuleType, name: str) -> None:
    one = job_conf(name, _job_conf.Handler("handler0"))
    others = [
        job_conf(name, _job_conf.Handler("handler0"), _job_conf.Handler("handler1")),
        job_conf(name, _job_conf.Handler("handler0", tags=("a", "b")), _job_conf.Handler("c", plugins=("local", "slurm"))),
    ]
    assert {control.without_handlers(text) for text in others} == {control.without_handlers(one)}


@pytest.mark.parametrize("name", JOB_CONF)
def test_another_runner_is_a_change_to_handlers(control: ModuleType, name: str) -> None:
    text = job_conf(name, _job_conf.Handler("handler0"), _job_conf.Handler("handler1"))
    for old, new in ((b"runner", b"Runner"), (b"plugins", b"Plugins"), (b"execution", b"Execution"), (b"destinations", b"Destinations")):
        if old in text:
            assert control.without_handlers(text) != control.without_handlers(text.replace(old, new))


@pytest.mark.parametrize("element", [b"<handlers/>", b'<handlers assign_with="db-self" />', b"<handlers></handlers>"])
def test_an_element_without_handlers_is_cut_out_alone(control: ModuleType, element: bytes) -> None:
    assert control.without_handlers(b"<job_conf>" + element + b'<plugins><plugin id="x"/></plugins></job_conf>') == (
        b'<job_conf><plugins><plugin id="x"/></plugins></job_conf>'
    )


def test_a_fingerprint_is_of_names_contents_and_targets(control: ModuleType, tmp_path: Path) -> None:
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


def test_a_fingerprint_follows_a_link_through_links(control: ModuleType, tmp_path: Path) -> None:
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


def test_a_fingerprint_takes_every_file_that_a_pattern_names(control: ModuleType, tmp_path: Path) -> None:
    watch = [{"path": str(tmp_path / "lib" / "python3*" / "*uwsgi*.dist-info" / "RECORD")}]
    seen = [control.fingerprint(watch)]
    for name in ("pyuwsgi-2.0.30.dist-info", "uwsgidecorators-1.1.0.dist-info"):
        (tmp_path / "lib" / "python3.11" / name).mkdir(parents=True)
        (tmp_path / "lib" / "python3.11" / name / "RECORD").write_text("same")
        seen.append(control.fingerprint(watch))
    assert len(set(seen)) == 3


def test_a_value_in_the_configuration_counts_too(control: ModuleType) -> None:
    def one(value: Any) -> str:
        return str(control.fingerprint([{"value": value}]))

    assert one({"tags": ["a"], "plugins": []}) == one({"plugins": [], "tags": ["a"]})
    assert one({"tags": ["a"]}) != one({"tags": ["b"]})


def test_a_process_is_current_until_what_it_runs_changes(control: ModuleType, etc: Path, run: Path, tmp_path: Path) -> None:
    (tmp_path / "galaxy.ini").write_text("[app:main]\n")
    write(etc, "web", watch=[{"path": str(tmp_path / "galaxy.ini")}])
    first, second = control.Web("galaxy", "web").units().values()
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
def test_a_handler_is_current_until_its_own_settings_change(control: ModuleType, etc: Path, setting: str, value: Any, stale: list[str]) -> None:
    settings: dict[str, dict[str, Any]] = {name: {"tags": [], "plugins": [], "assign_with": ["db-preassign"]} for name in ("handler0", "handler1")}
    write(etc, "handlers", handlers=settings)
    for unit in control.Handlers("galaxy", "handlers").units().values():
        unit.record()
    for name in stale:
        settings[name][setting] = value
    write(etc, "handlers", handlers={**settings, "handler2": {"tags": []}})
    units = control.Handlers("galaxy", "handlers").units()
    assert [name for name, unit in units.items() if not unit.current] == [*stale, "handler2"]


# --- What it is called by and given -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "kind", "instance", "units"),
    [
        ("/usr/local/sbin/galaxy-web", "Web", "galaxy", ["galaxy-web@1.service", "galaxy-web@2.service"]),
        ("galaxy-test-web", "Web", "galaxy-test", ["galaxy-test-web@1.service", "galaxy-test-web@2.service"]),
        ("./galaxy-handlers", "Handlers", "galaxy", ["galaxy-handler@handler0.service", "galaxy-handler@big.0.service"]),
    ],
)
def test_its_name_tells_instance_and_kind(control: ModuleType, etc: Path, program: str, kind: str, instance: str, units: list[str]) -> None:
    (etc / instance).mkdir(exist_ok=True)
    for name in ("web", "handlers"):
        (etc / instance / f"{name}.json").write_text(json.dumps({"watch": [], "handlers": {"handler0": {}, "big.0": {}}}))
    found = control.control_for(program)
    assert (type(found).__name__, found.instance) == (kind, instance)
    assert [unit.service for unit in found.units().values()] == units


@pytest.mark.parametrize("name", ["process_control.py", "web", "-web", "galaxy-mules", "galaxyweb"])
def test_any_other_name_is_refused(command: Any, name: str) -> None:
    result = command(name, "status")
    assert (result.returncode, result.stdout) == (2, "")
    assert f"{name} must be called INSTANCE-web or INSTANCE-handlers" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), ("", "Expecting value"), ('{"watch": [', "Expecting value"), ("{}", "'watch'"), ("[]", "list"), ("\xff", "decode")],
)
def test_a_broken_configuration_is_named(command: Any, etc: Path, content: Any, reason: str) -> None:
    if content is not None:
        (etc / "galaxy" / "web.json").write_bytes(content.encode("latin-1"))
    result = command("galaxy-web", "status")
    assert (result.returncode, result.stdout) == (2, "")
    assert f"cannot read {etc}/galaxy/web.json" in result.stderr
    assert reason in result.stderr
    assert "run the playbook that wrote it again" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [[], ["reload"], ["ready"], ["record"], ["apply", "--now"]])
def test_wrong_usage_is_told(command: Any, etc: Path, arguments: list[str]) -> None:
    write(etc, "web")
    result = command("galaxy-web", *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("usage: galaxy-web")


@pytest.mark.parametrize("verb", ["record", "ready"])
def test_a_process_that_is_not_configured_is_named(command: Any, etc: Path, verb: str) -> None:
    write(etc, "handlers", handlers={"handler0": {}, "handler1": {}}, start_timeout=1)
    result = command("galaxy-handlers", verb, "handler7")
    assert result.returncode == 2
    assert result.stderr == "galaxy-handlers knows no handler7, only handler0, handler1\n"


def test_what_cannot_be_written_is_told_without_a_traceback(command: Any, etc: Path, run: Path) -> None:
    write(etc, "web")
    (run / "galaxy").write_text("in the way of the directory")
    result = command("galaxy-web", "restart")
    assert (result.returncode, result.stdout) == (1, "")
    assert f"{run}/galaxy" in result.stderr
    assert "Traceback" not in result.stderr


def test_what_cannot_be_read_is_told_without_a_traceback(command: Any, etc: Path, tmp_path: Path) -> None:
    write(etc, "web", watch=[{"path": str(tmp_path)}])
    result = command("galaxy-web", "record", "1")
    assert result.returncode == 1
    assert str(tmp_path) in result.stderr
    assert "Traceback" not in result.stderr


def test_its_help_tells_the_exit_codes(command: Any) -> None:
    result = command("galaxy-web", "--help")
    assert result.returncode == 0
    assert "Exit codes: 0 done; 1 a process did not start" in result.stdout


# --- Whether a new web process works ----------------------------------------------------------------------------------


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """An HTTP server on a unix socket that gives the same answers, one after the other and the last one for ever."""

    daemon_threads = True

    def __init__(self, path: Path, answers: list[int], seconds: float = 0) -> None:
        path.parent.mkdir(parents=True)
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


@pytest.fixture
def serve(run: Path) -> Iterator[Callable[..., Server]]:
    """Serve on the private socket of slot 2."""
    servers: list[Server] = []

    def start(*answers: int, seconds: float = 0) -> Server:
        servers.append(Server(run / "galaxy" / "web-2" / "http.sock", list(answers), seconds))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def ready(control: ModuleType, etc: Path, **health: Any) -> None:
    """Wait for slot 2 as its unit does."""
    write(etc, "web", health={**HEALTH, **health})
    control.Web("galaxy", "web").ready("2")


def test_ready_when_the_health_path_answers(control: ModuleType, etc: Path, serve: Any) -> None:
    server = serve(200)
    ready(control, etc, host="galaxy.example.org", path="/health?full=1")
    assert server.requests == [("/health?full=1", "galaxy.example.org")]


def test_ready_when_an_error_gives_way_to_an_answer(control: ModuleType, etc: Path, serve: Any) -> None:
    server = serve(503, 500, 204)
    ready(control, etc, status=[200, 204])
    assert len(server.requests) == 3


def test_ready_when_the_socket_appears_late(control: ModuleType, etc: Path, serve: Any) -> None:
    threading.Timer(0.5, serve, [200]).start()
    ready(control, etc, timeout=10)


def test_not_ready_when_the_answer_is_wrong(control: ModuleType, etc: Path, run: Path, serve: Any) -> None:
    serve(500)
    with pytest.raises(control.ControlError) as failed:
        ready(control, etc, status=[200, 404], timeout=1)
    assert str(failed.value) == f"GET /api/version on {run}/galaxy/web-2/http.sock: status 500 after 1 s instead of 200 or 404"


def test_not_ready_when_nobody_answers(control: ModuleType, etc: Path) -> None:
    with pytest.raises(control.ControlError, match="No such file or directory after 1 s instead of 200"):
        ready(control, etc, timeout=1)


def test_not_ready_when_the_answer_takes_too_long(control: ModuleType, etc: Path, serve: Any) -> None:
    serve(200, seconds=10)
    began = time.monotonic()
    with pytest.raises(control.ControlError, match="timed out after 1 s"):
        ready(control, etc, timeout=1)
    assert time.monotonic() - began < 5


def test_not_ready_when_what_answers_is_no_http_server(control: ModuleType, etc: Path, run: Path) -> None:
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
    write(etc, kind, health={**HEALTH, "timeout": 60}, handlers={"2": {}}, start_timeout=60)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    monkeypatch.setenv("MAINPID", str(process.pid))
    began = time.monotonic()
    result = command(f"galaxy-{kind}", "ready", "2")
    assert result.returncode == 1
    assert "the process ended before it" in result.stderr
    assert time.monotonic() - began < 30


def test_ready_fails_as_a_command_with_its_reason_in_the_log(command: Any, etc: Path) -> None:
    write(etc, "web", health={**HEALTH, "timeout": 1})
    result = command("galaxy-web", "ready", "2")
    assert (result.returncode, result.stdout) == (1, "")
    assert "GET /api/version on " in result.stderr
    assert "Traceback" not in result.stderr
