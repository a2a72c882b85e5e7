# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bridge to Galaxy does by itself; that Galaxy runs behind it is tested on real hosts."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import logging
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "roles" / "galaxy" / "files" / "galaxy_wsgi.py"


@pytest.fixture
def bridge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The bridge, where there is no Galaxy to import."""
    packages = dict.fromkeys(["galaxy", "galaxy.webapps", "galaxy.webapps.galaxy"], "")
    names = {"a2wsgi": "ASGIMiddleware", "galaxy.webapps.galaxy.buildapp": "app_pair", "galaxy.webapps.galaxy.fast_app": "initialize_fast_app"}
    for name, attribute in {**packages, **names}.items():
        module = types.ModuleType(name)
        setattr(module, attribute or "nothing", None)
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("galaxy_wsgi", SOURCE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    threshold = gc.get_threshold()
    spec.loader.exec_module(module)
    yield module
    gc.set_threshold(*threshold)
    gc.unfreeze()


@pytest.mark.parametrize("script_name", ["/galaxy", ""])
def test_path_is_whole_below_a_prefix(bridge: Any, script_name: str) -> None:
    """With the proxy, and past it."""
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        return []

    environ = {"SCRIPT_NAME": script_name, "PATH_INFO": "/api/version", "REQUEST_METHOD": "GET"}
    bridge.below("/galaxy", application)(environ, None)
    assert seen == {"SCRIPT_NAME": "", "PATH_INFO": "/galaxy/api/version", "REQUEST_METHOD": "GET"}
    assert environ["PATH_INFO"] == "/api/version"


def test_log_tells_which_request_it_is_about(bridge: Any) -> None:
    formatter = logging.Formatter("%(message)s %(request_id)s [%(threadName)s]")
    lines = []

    def log(message: str) -> None:
        lines.append(formatter.format(bridge.LogRecord("galaxy", logging.INFO, "x.py", 1, message, (), None)))

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.to_thread(log, "in a thread")
        log("in the loop")

    async def two_requests() -> None:
        call = bridge.remember_request(application)
        await asyncio.gather(*(call({"headers": [(b"x-request-id", name)]}, None, None) for name in (b"first", b"second")))

    asyncio.run(two_requests())
    log("elsewhere")
    assert {line.split(" [")[0] for line in lines} == {
        *(f"{where} {name}" for where in ("in a thread", "in the loop") for name in ("first", "second")),
        "elsewhere ",
    }
    assert "in the loop first [MainThread,r:first]" in lines


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

    def app_pair(global_conf: dict[str, Any], **options: Any) -> tuple[str, dict[str, Any]]:
        return "wsgi", {**global_conf, **options}

    monkeypatch.setattr(bridge, "app_pair", app_pair)
    monkeypatch.setattr(bridge, "initialize_fast_app", lambda wsgi, galaxy: (wsgi, galaxy))
    assert bridge.galaxy_application({"here": "/srv"}, {"brand": "Trial"}) == ("wsgi", {"here": "/srv", "brand": "Trial", "wsgi_preflight": False})


def test_galaxy_that_does_not_load_is_an_error_and_no_exit(bridge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def app_pair(global_conf: dict[str, Any], **options: Any) -> None:
        sys.exit(1)

    monkeypatch.setattr(bridge, "app_pair", app_pair)
    with pytest.raises(RuntimeError, match="Galaxy could not be loaded"):
        bridge.galaxy_application({}, {})


def test_what_has_been_loaded_is_never_looked_through_for_garbage(bridge: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """That would stop every request for a second; what comes later is collected as ever."""
    monkeypatch.setattr(bridge, "galaxy_application", lambda global_conf, options: None)
    monkeypatch.setattr(bridge, "ASGIMiddleware", lambda application, loop: application)
    monkeypatch.setattr(bridge.logging, "setLogRecordFactory", lambda factory: None)
    bridge.app_factory({})
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold()[0] == 10_000
