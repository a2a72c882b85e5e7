# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bridge to Galaxy does by itself; that Galaxy runs behind it is tested on real hosts."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import logging
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "roles" / "galaxy" / "files" / "galaxy_wsgi"


class Stack:
    """Galaxy's web stack for several processes, as far as the bridge deals with it."""

    def __init__(self) -> None:
        self.named: list[str] = []

    def set_postfork_server_name(self, galaxy: Any) -> None:
        self.named.append(os.environ["GUNICORN_WORKER_ID"])


def module(name: str, **attributes: Any) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(attributes)
    return made


@pytest.fixture
def uwsgi(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What uWSGI offers to an application; the process is the one that workers are forked from."""
    made = module("uwsgi", worker_id=lambda: 0)
    monkeypatch.setitem(sys.modules, "uwsgi", made)
    return made


@pytest.fixture
def bridge(uwsgi: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The bridge, where there is no Galaxy to import."""
    made = [
        *(module(name) for name in ("galaxy", "galaxy.webapps", "galaxy.webapps.galaxy")),
        module("a2wsgi", ASGIMiddleware=lambda application, loop: application),
        module("galaxy.webapps.galaxy.buildapp", app_pair=None),
        module("galaxy.webapps.galaxy.fast_app", initialize_fast_app=None),
    ]
    for each in made:
        monkeypatch.setitem(sys.modules, each.__name__, each)
    for name in ("SERVER_SOFTWARE", "GUNICORN_CMD_ARGS", "GUNICORN_WORKER_ID"):
        # Remembered, and so put back after the test.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("GALAXYOPS_SLOT", "galaxy.host.1")
    monkeypatch.setenv("GALAXYOPS_ASGI_SOCKET", "/run/galaxy/asgi/1.sock")
    monkeypatch.syspath_prepend(SOURCE.parent)
    for name in [name for name in sys.modules if name.partition(".")[0] == "galaxy_wsgi"]:
        del sys.modules[name]
    threshold = gc.get_threshold()
    imported = importlib.import_module("galaxy_wsgi")
    # Those of earlier tests are none of what Galaxy has left.
    earlier = set(threading.enumerate()) - {threading.main_thread()}
    seen = types.SimpleNamespace(enumerate=lambda: [thread for thread in threading.enumerate() if thread not in earlier])
    monkeypatch.setattr(imported.processes, "threading", types.SimpleNamespace(**{**vars(threading), **vars(seen)}))
    yield imported
    gc.set_threshold(*threshold)
    gc.unfreeze()


def galaxy(**config: Any) -> Any:
    """A Galaxy that is loaded and not started."""
    stack = type("GunicornApplicationStack", (Stack,), {"postfork_functions": [], "late_postfork_event": threading.Event()})()
    model = types.SimpleNamespace(session=types.SimpleNamespace(remove=lambda: None), engine=types.SimpleNamespace(dispose=lambda: None))
    return types.SimpleNamespace(
        tool_cache=None,
        application_stack=stack,
        model=model,
        install_model=model,
        amqp_internal_connection_obj=None,
        config=types.SimpleNamespace(**config),
    )


@pytest.mark.parametrize("script_name", ["/galaxy", ""])
def test_path_is_whole_below_a_prefix(bridge: Any, script_name: str) -> None:
    """With the proxy, and past it."""
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        return []

    environ = {"SCRIPT_NAME": script_name, "PATH_INFO": "/api/version", "REQUEST_METHOD": "GET"}
    below = bridge.Bridge(None, "/galaxy", [])
    below.wsgi = application
    below(environ, None)
    assert seen == {"SCRIPT_NAME": "", "PATH_INFO": "/galaxy/api/version", "REQUEST_METHOD": "GET"}
    assert environ["PATH_INFO"] == "/api/version"


def test_log_tells_which_request_it_is_about(bridge: Any) -> None:
    formatter = logging.Formatter("%(message)s %(request_id)s [%(threadName)s]")
    lines = []

    def log(message: str) -> None:
        lines.append(formatter.format(bridge.logs.LogRecord("galaxy", logging.INFO, "x.py", 1, message, (), None)))

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.to_thread(log, "in a thread")
        log("in the loop")

    async def two_requests() -> None:
        call = bridge.logs.remember_request(application)
        await asyncio.gather(*(call({"headers": [(b"x-request-id", name)]}, None, None) for name in (b"first", b"second")))

    asyncio.run(two_requests())
    log("elsewhere")
    assert {line.split(" [")[0] for line in lines} == {
        *(f"{where} {name}" for where in ("in a thread", "in the loop") for name in ("first", "second")),
        "elsewhere ",
    }
    assert "in the loop first [MainThread,r:first]" in lines


def test_exception_that_nobody_catches_is_in_the_log_with_its_request(bridge: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("what went wrong")

    call = bridge.logs.log_exceptions(application)
    with pytest.raises(ValueError, match="what went wrong"):
        asyncio.run(call({"type": "http", "method": "GET", "path": "/api/datasets/1"}, None, None))
    assert "uncaught exception in GET /api/datasets/1" in caplog.text
    assert "ValueError: what went wrong" in caplog.text


def test_requests_have_an_outermost_task_in_common(bridge: Any) -> None:
    """Galaxy's threads live as long as that; it is found as one that somebody waits for to be done."""

    async def others() -> list[asyncio.Task[Any]]:
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    loop = bridge.running_loop()
    [outermost] = asyncio.run_coroutine_threadsafe(others(), loop).result(timeout=10)
    assert asyncio.run_coroutine_threadsafe(others(), loop).result(timeout=10) == [outermost]
    assert not outermost.done()


def test_galaxy_is_built_from_its_options(bridge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Middleware of Galaxy's ASGI application does what that of its WSGI application would else do too."""
    made: dict[str, Any] = {}

    def app_pair(global_conf: dict[str, Any], **options: Any) -> tuple[str, Any]:
        made.update(global_conf, **options)
        return "wsgi", types.SimpleNamespace(tool_cache=types.SimpleNamespace(assert_hashes_initialized=lambda: made.update(hashed=True)))

    monkeypatch.setattr(bridge, "app_pair", app_pair)
    monkeypatch.setattr(bridge, "initialize_fast_app", lambda wsgi, galaxy: (wsgi, galaxy))
    (wsgi, loaded), galaxy_itself = bridge.load_galaxy({"here": "/srv"}, {"brand": "Trial"})
    assert (wsgi, loaded) == ("wsgi", galaxy_itself)
    assert made == {"here": "/srv", "brand": "Trial", "wsgi_preflight": False, "hashed": True}


def test_galaxy_that_does_not_load_is_an_error_and_no_exit(bridge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def app_pair(global_conf: dict[str, Any], **options: Any) -> None:
        sys.exit(1)

    monkeypatch.setattr(bridge, "app_pair", app_pair)
    with pytest.raises(RuntimeError, match="Galaxy could not be loaded"):
        bridge.load_galaxy({}, {})


def test_what_has_been_loaded_is_never_looked_through_for_garbage(bridge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """That would stop every request for a second; what comes later is collected as ever."""
    monkeypatch.setattr(bridge, "load_galaxy", lambda global_conf, options: (None, galaxy()))
    monkeypatch.setattr(bridge.logging, "setLogRecordFactory", lambda factory: None)
    bridge.app_factory({})
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold()[0] == 10_000


@pytest.fixture
def loaded(bridge: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """With what Galaxy was loaded: the global options and its own."""
    calls: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def app_pair(global_conf: dict[str, Any], **options: Any) -> tuple[Any, Any]:
        calls.append((global_conf, options))
        return "wsgi", galaxy(galaxy_url_prefix="/from-yml/" if "load_app_kwds" in options else options["galaxy_url_prefix"])

    monkeypatch.setattr(bridge, "app_pair", app_pair)
    monkeypatch.setattr(bridge, "initialize_fast_app", lambda wsgi, app: lambda scope, receive, send: None)
    monkeypatch.setattr(bridge, "running_loop", lambda: None)
    monkeypatch.setattr(bridge.processes, "forked_later", lambda: False)
    monkeypatch.setattr(bridge.broker, "Broker", lambda app: types.SimpleNamespace(keep_swept=lambda: None))
    return calls


def test_options_of_a_galaxy_ini_are_those_of_its_section(bridge: Any, loaded: list[Any]) -> None:
    made = bridge.app_factory({"__file__": "/galaxy.ini"}, brand="x", galaxy_url_prefix="/from-ini")
    assert loaded == [({"__file__": "/galaxy.ini"}, {"wsgi_preflight": False, "brand": "x", "galaxy_url_prefix": "/from-ini"})]
    assert made.prefix == "/from-ini"


def test_options_of_a_galaxy_yml_are_read_by_galaxy(bridge: Any, loaded: list[Any], tmp_path: Path) -> None:
    """Galaxy reads the section that its other programs read, and the prefix is that of Galaxy."""
    file = f"{tmp_path}/galaxy.yml"
    Path(file).touch()
    made = bridge.app_factory({"__file__": "/etc/galaxy/paste.ini", "here": "/etc/galaxy"}, galaxy_config_file=file)
    ((global_conf, options),) = loaded
    assert options == {"wsgi_preflight": False, "load_app_kwds": {"config_file": file, "config_section": "galaxy"}}
    # Galaxy finds other files beside the one that it is told of.
    assert global_conf == {"__file__": file, "here": str(tmp_path)}
    assert made.prefix == "/from-yml"


def test_a_galaxy_yml_that_is_missing_is_an_error(bridge: Any, loaded: list[Any]) -> None:
    """Galaxy would run with its defaults."""
    with pytest.raises(FileNotFoundError, match=r"none\.yml"):
        bridge.app_factory({}, galaxy_config_file="/srv/galaxy/config/none.yml")
    assert loaded == []


def test_a_process_that_workers_are_forked_from_has_no_name_of_a_worker(bridge: Any) -> None:
    assert os.environ["SERVER_SOFTWARE"] == "gunicorn"
    assert os.environ["GUNICORN_CMD_ARGS"] == "--preload"
    assert "GUNICORN_WORKER_ID" not in os.environ


def test_a_worker_that_loads_galaxy_for_itself_has_its_name_before_that(uwsgi: Any, bridge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uwsgi, "worker_id", lambda: 3)
    monkeypatch.delenv("GUNICORN_CMD_ARGS")
    bridge.processes.choose_stack()
    assert os.environ["GUNICORN_WORKER_ID"] == "galaxy.host.1.3"
    assert "GUNICORN_CMD_ARGS" not in os.environ


def test_a_worker_is_named_before_it_starts_anything(uwsgi: Any, bridge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    loaded = galaxy()
    type(loaded.application_stack).postfork_functions = [
        lambda: done.append(os.environ["GUNICORN_WORKER_ID"]),
        lambda: 1 / 0,
        lambda: done.append("last"),
    ]
    forks = bridge.processes.Forks(loaded, bridge.processes.descriptors())
    assert type(loaded.application_stack).postfork_functions == []
    uwsgi.post_fork_hook = lambda: done.append("somebody's own")
    forks.of_workers(lambda: done.append("loop"))
    monkeypatch.setattr(uwsgi, "worker_id", lambda: 2)
    uwsgi.post_fork_hook()
    for thread in threading.enumerate():
        if thread.name == "start":
            thread.join()
    assert loaded.application_stack.named == ["galaxy.host.1.2"]
    # What fails leaves the rest to be done.
    assert done == ["somebody's own", "loop", "galaxy.host.1.2", "last"]


def leave_a_thread(stack: contextlib.ExitStack, path: Path) -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="left")
    thread.start()
    stack.callback(thread.join)
    stack.callback(end.set)


def leave_a_loop(stack: contextlib.ExitStack, path: Path) -> None:
    stack.callback(asyncio.new_event_loop().close)


def leave_a_connection(stack: contextlib.ExitStack, path: Path) -> None:
    for end in socket.socketpair():
        stack.callback(end.close)


def leave_a_database(stack: contextlib.ExitStack, path: Path) -> None:
    connection = stack.enter_context(contextlib.closing(sqlite3.connect(path / "universe")))
    connection.execute("CREATE TABLE t (x)")


@pytest.mark.parametrize("leave", [leave_a_thread, leave_a_loop, leave_a_connection, leave_a_database])
def test_what_does_not_survive_a_fork_stops_the_start(bridge: Any, tmp_path: Path, leave: Any) -> None:
    before = bridge.processes.descriptors()
    with contextlib.ExitStack() as stack:
        leave(stack, tmp_path)
        with pytest.raises(RuntimeError, match="set lazy-apps to true in uwsgi_options"):
            bridge.processes.Forks(galaxy(), before)
    bridge.processes.Forks(galaxy(), before)


def test_what_may_be_shared_stops_no_start(bridge: Any, tmp_path: Path) -> None:
    """A log, and a socket that sends statistics."""
    before = bridge.processes.descriptors()
    with (tmp_path / "log").open("w"), socket.socket(type=socket.SOCK_DGRAM):
        bridge.processes.Forks(galaxy(), before)


@pytest.mark.parametrize(
    ("config", "answers"),
    [
        ({}, {"/api/events/stream": "404", "/api/mcp": "fine"}),
        ({"enable_sse_updates": True}, {"/api/events/stream": "200", "/api/mcp": "fine"}),
        ({"enable_mcp_server": True}, {"/api/events/stream": "200", "/api/mcp": "503"}),
    ],
)
def test_a_worker_keeps_no_thread_for_a_stream(bridge: Any, config: dict[str, bool], answers: dict[str, str]) -> None:
    """Where it is to be there in a moment, the browser comes back."""
    served = bridge.Bridge(None, "/galaxy", bridge.beside.elsewhere(types.SimpleNamespace(mcp_server_path="/api/mcp", **config)))
    served.wsgi = lambda environ, start_response: start_response("fine", []) or [b""]
    answered = {}
    for path in answers:
        served({"PATH_INFO": path}, lambda status, headers, path=path: answered.update({path: status.split()[0]}))
    assert answered == answers


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({}, False),
        ({"enable_sse_updates": False}, False),
        ({"enable_sse_updates": True}, True),
        ({"enable_mcp_server": True}, True),
    ],
)
def test_an_asgi_process_is_started_where_galaxy_has_use_for_it(bridge: Any, monkeypatch: pytest.MonkeyPatch, config: dict[str, bool], wanted: bool) -> None:
    assert bridge.beside.wanted(types.SimpleNamespace(**config)) == wanted
    monkeypatch.setattr(bridge.beside, "SOCKET", "")
    assert not bridge.beside.wanted(types.SimpleNamespace(**config))


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/api/version", "/galaxy/api/version"),
        ("/galaxy/api/version", "/galaxy/api/version"),
        ("/galaxy2", "/galaxy/galaxy2"),
    ],
)
def test_asgi_process_has_the_whole_path(bridge: Any, path: str, asked: str) -> None:
    seen = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["path"], scope["raw_path"]))

    asyncio.run(bridge.logs.below("/galaxy", application)({"type": "http", "path": path, "raw_path": path.encode()}, None, None))
    assert seen == [(asked, asked.encode())]


KEEPER = """
import os, signal, socket, sys, time
sys.path[:0] = [sys.argv[1]]
sys.modules["uwsgi"] = type(sys)("uwsgi")
import importlib.util, types
package = types.ModuleType("galaxy_wsgi")
package.__path__ = [sys.argv[1] + "/galaxy_wsgi"]
sys.modules["galaxy_wsgi"] = package
from galaxy_wsgi import beside, processes

class Forks:
    galaxy = types.SimpleNamespace(application_stack=None)
    fork = processes.Forks.fork

def work():
    connection = listener.accept()[0]
    connection.sendall(str(os.getpid()).encode())
    connection.close()
    time.sleep(60)

beside.SOON = 0
listener = beside.listen(sys.argv[2])
beside.take_signals(b"keeper")
print("ready", flush=True)
beside.keep(work, listener, int(sys.argv[3]), Forks())
print("ended", flush=True)
"""


def test_the_keeper_starts_the_process_again_and_ends_it(tmp_path: Path) -> None:
    """Who connects while it is gone waits; it ends when it is asked to, when what it was forked from dies, and when that has started another one."""
    path = tmp_path / "asgi.sock"

    def ask() -> int:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(path))
            return int(connection.recv(100))

    for end in ("asked", "master", "replaced"):
        with subprocess.Popen(["sleep", "60"]) as master:
            command = [sys.executable, "-c", KEEPER, str(SOURCE.parent), str(path), str(master.pid)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as keeper:
                assert keeper.stdout
                assert keeper.stdout.readline() == "ready\n"
                first = ask()
                os.kill(first, signal.SIGKILL)
                second = ask()
                assert second != first
                assert stat.S_IMODE(path.stat().st_mode) == 0o660
                if end == "asked":
                    keeper.terminate()
                elif end == "master":
                    master.kill()
                    master.wait()
                else:
                    path.unlink()
                    another = socket.socket(socket.AF_UNIX)
                    another.bind(str(path))
                assert "ended" in keeper.communicate(timeout=20)[0]
                with pytest.raises(ProcessLookupError):
                    os.kill(second, 0)
            if end == "replaced":
                another.close()
            master.kill()
