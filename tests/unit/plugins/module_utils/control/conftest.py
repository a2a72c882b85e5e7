# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program on the host with directories of its own: its modules, and its commands as a host has them."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

import pytest
from control_helpers import Server, Stats, worker

from ansible_collections.galaxyops.uwsgi.plugins.lookup.control_files import MODULE_UTILS, package

PACKAGE = "ansible_collections.galaxyops.uwsgi.plugins.module_utils._control"


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
def places(etc: Path, run: Path, tmp_path: Path) -> dict[str, str]:
    """The environment that makes the program use these directories."""
    return {"GALAXYOPS_ETC": str(etc), "GALAXYOPS_RUN": str(run), "GALAXYOPS_STATE": str(tmp_path / "state")}


class Modules:
    """The modules of the program, imported anew, so that they read the environment of the test."""

    def __init__(self) -> None:
        self.before = self.take_out()
        names = sorted(path.stem for path in (MODULE_UTILS / "_control").glob("*.py") if path.stem != "__init__")
        self.modules = {name: importlib.import_module(f"{PACKAGE}.{name}") for name in names}
        self.main = self.modules["__main__"]

    @staticmethod
    def take_out() -> dict[str, ModuleType]:
        """Take the modules of the program out of those that have been imported."""
        names = [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]
        return {name: sys.modules.pop(name) for name in names}

    def put_back(self) -> None:
        """Have the modules that were imported before: other tests have classes of them."""
        self.take_out()
        sys.modules.update(self.before)

    def __getattr__(self, name: str) -> Any:
        """Find a module, or else a function or class in whichever module has it."""
        if name in self.modules:
            return self.modules[name]
        for module in self.modules.values():
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(name)


@pytest.fixture
def control(places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Modules]:
    """The modules of the program, with directories of their own."""
    for name, value in places.items():
        monkeypatch.setenv(name, value)
    modules = Modules()
    yield modules
    modules.put_back()


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that the program is installed in, as on a host, where there is no Ansible."""
    top = tmp_path_factory.mktemp("library")
    for path, content in package(str(top)).items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(content)
    return top


@pytest.fixture
def command(library: Path, places: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command as its launcher does."""

    def call(kind: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-m", "galaxyops.control", "galaxy", kind, *arguments]
        return subprocess.run(
            program, cwd=library, env={**os.environ, **places}, capture_output=True, text=True, check=False, **options
        )

    return call


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
