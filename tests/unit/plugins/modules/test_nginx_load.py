# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the module nginx_load, with a real nginx."""

from __future__ import annotations

import contextlib
import grp
import http.client
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
pytestmark = pytest.mark.skipif(not NGINX, reason="no nginx here")

MAIN = """\
pid run/pid;
error_log run/error.log;
daemon off;
worker_processes 2;
{user}
events {{}}
http {{
    access_log off;
    {temporary}
    include sites/*.conf;
}}
"""
SITE = """\
server {{
    listen 127.0.0.1:{port};
    location / {{
        return 200 {answer};
    }}
    {more}
}}
"""


class Host:
    """An nginx, and the files that it reads."""

    def __init__(self, top: Path, run_module: Callable[..., dict[str, Any]]) -> None:
        self.top = top
        self.run_module = run_module
        self.command = [str(NGINX), "-p", str(top), "-c", "nginx.conf", "-e", "stderr"]
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port = int(taken.getsockname()[1])
        (top / "sites").mkdir()
        # nginx writes nothing among its configuration.
        (top / "run").mkdir()
        self.main()
        self.write("one")

    def main(self, user: str = "user root;") -> None:
        """Write what is around the sites."""
        temporary = " ".join(f"{kind}_temp_path {self.top}/run/t;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.top / "nginx.conf").write_text(MAIN.format(user=user if os.geteuid() == 0 else "", temporary=temporary))

    def write(self, answer: str, name: str = "a", more: str = "") -> None:
        """Write a site."""
        (self.top / "sites" / f"{name}.conf").write_text(SITE.format(port=self.port, answer=answer, more=more))

    def load(self, **arguments: Any) -> dict[str, Any]:
        """Run the module."""
        return self.run_module("nginx_load", command=self.command, record=str(self.top / "run" / "record"), **arguments)

    def answer(self) -> str:
        """What nginx answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/")
        return connection.getresponse().read().decode()


@pytest.fixture
def host(tmp_path: Path, run_module: Callable[..., dict[str, Any]]) -> Host:
    """An nginx that does not run yet."""
    return Host(tmp_path, run_module)


@pytest.fixture
def served(host: Host) -> Iterator[Host]:
    """One that runs."""
    # The kernel tells when a process was started to a hundredth of a second.
    time.sleep(0.05)
    process = subprocess.Popen(host.command, stderr=subprocess.DEVNULL)
    for _attempt in range(100):
        with contextlib.suppress(OSError):
            assert host.answer() == "one"
            break
        time.sleep(0.1)
    yield host
    process.terminate()
    process.wait()


def test_without_nginx_nothing_happens(host: Host) -> None:
    result = host.load()
    assert (result["changed"], result["running"]) == (False, False)


def test_what_is_loaded_is_not_loaded_again(served: Host) -> None:
    for _run in range(2):
        result = served.load()
        assert (result["changed"], result["running"]) == (False, True), result


def test_file_that_a_killed_run_has_written_is_loaded(served: Host) -> None:
    """Whether an earlier run has noted what nginx had loaded or not."""
    for answer in ("two", "three"):
        served.write(answer)
        before = served.answer()
        assert served.load(check=True)["changed"]
        assert served.answer() == before
        assert served.load()["changed"]
        assert served.answer() == answer
        assert not served.load()["changed"]


def test_file_that_is_gone_is_gone_from_nginx(served: Host) -> None:
    served.write("x", name="b", more="server_name b;")
    assert served.load()["changed"]
    (served.top / "run" / "record").unlink()
    time.sleep(0.1)
    (served.top / "sites" / "b.conf").unlink()
    assert served.load()["changed"]


def test_file_that_is_written_again_as_it_was_is_no_change(served: Host) -> None:
    served.load()
    served.write("one")
    assert not served.load()["changed"]


def test_what_somebody_else_has_loaded_is_not_loaded_again(served: Host) -> None:
    """As the hook of an ACME client does."""
    served.load()
    served.write("two")
    time.sleep(0.05)
    subprocess.run([*served.command, "-s", "reload"], check=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while served.answer() != "two" and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    assert not served.load()["changed"]


def test_what_somebody_else_has_loaded_and_taken_back_is_loaded(served: Host) -> None:
    served.load()
    served.write("two")
    subprocess.run([*served.command, "-s", "reload"], check=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while served.answer() != "two" and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    served.write("one")
    assert served.load()["changed"]
    assert served.answer() == "one"


def test_other_certificate_at_the_same_path_is_loaded(served: Host) -> None:
    def certify(name: str) -> None:
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
        subprocess.run([*command, "-keyout", "key.pem", "-out", "cert.pem"], cwd=served.top, check=True, capture_output=True)

    certify("first")
    served.write("two", more="ssl_certificate cert.pem; ssl_certificate_key key.pem;".replace("; ", ";\n"))
    assert served.load()["changed"]
    assert not served.load()["changed"]
    certify("second")
    assert served.load()["changed"]
    assert not served.load()["changed"]


def test_what_nginx_refuses_is_told_also_where_no_file_has_changed(served: Host) -> None:
    served.load()
    served.write("two", more="nonsense;")
    for _run in range(2):
        result = served.load()
        assert result["failed"]
        assert 'unknown directive "nonsense"' in result["msg"]
        assert "sites/a.conf:6" in result["msg"]
    assert served.answer() == "one"


def test_what_nginx_does_not_load_is_a_failure(served: Host) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        served.write("two", more=f"listen 127.0.0.1:{taken.getsockname()[1]};")
        result = served.load(timeout=2)
    assert "has not loaded the configuration on disk" in result["msg"], result
    assert "error.log" in result["msg"]
    assert served.answer() == "one"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the group of workers")
def test_group_that_workers_lack_is_given_to_them(served: Host) -> None:
    served.load()
    served.main("user root games;")
    assert served.load()["changed"]
    assert not served.load()["changed"]


def test_socket_of_another_group_is_told(host: Host) -> None:
    path = host.top / "sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert not host.load(socket=str(path), socket_group=path.group())["socket_differs"]
        assert host.load(socket=str(path), socket_group="other")["socket_differs"]
        assert not host.load(socket=str(host.top / "none"), socket_group="other")["socket_differs"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become the user of nginx")
def test_directory_that_workers_cannot_enter_is_named_with_what_is_in_the_way(host: Host, tmp_path: Path) -> None:
    """Otherwise each file there would be a 404, and the run would look well."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory.is_relative_to("/tmp") and directory != Path("/tmp"):
            directory.chmod(0o755)
    wall = tmp_path / "data"
    inner = wall / "datasets" / "000"
    inner.mkdir(parents=True)
    host.main(user="user nobody daemon;")

    def out_of_reach() -> list[str]:
        return list(host.load(directories=[str(inner), str(tmp_path / "run"), str(tmp_path / "none")])["out_of_reach"])

    assert out_of_reach() == []
    wall.chmod(0o750)
    assert out_of_reach() == [f"{inner}: nobody cannot enter {wall} (mode 0750, root:root)"]
    # By its group, which is the one of the configuration.
    os.chown(wall, 0, grp.getgrnam("daemon").gr_gid)
    assert out_of_reach() == []
    inner.chmod(0o700)
    assert out_of_reach() == [f"{inner}: nobody cannot enter {inner} (mode 0700, root:root)"]
