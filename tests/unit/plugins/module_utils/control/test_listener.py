# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sockets that clients connect to."""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import socket
import struct
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from control_helpers import HEALTH, write

UWSGI_PACKET = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/",
    "SERVER_NAME": "x",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
}


def test_each_inherited_socket_gets_its_protocol(
    etc: Path, library: Path, places: dict[str, str], tmp_path: Path
) -> None:
    """The real uWSGI on sockets as systemd hands them over; it would take all of them for its own protocol."""
    (tmp_path / "app.py").write_text(
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'served']\n"
    )
    (tmp_path / "web.env").write_text("")
    account = pwd.getpwuid(os.geteuid())
    uwsgi = os.path.join(sys.prefix, "bin", "uwsgi")
    argv = [uwsgi, "--master", "--die-on-term", "--need-app", "--wsgi-file", str(tmp_path / "app.py")]
    who = {
        "user": account.pw_name,
        "group": grp.getgrgid(account.pw_gid).gr_name,
        "environment_file": str(tmp_path / "web.env"),
    }
    write(etc, "web", argv=argv, chdir=str(tmp_path), virtualenv=sys.prefix, health={**HEALTH, "timeout": 30}, **who)
    sockets = [socket.create_server(("127.0.0.1", 0)) for _number in range(2)]
    addresses = [listener.getsockname() for listener in sockets]
    # Beyond those that are about to be replaced.
    descriptors = [fcntl.fcntl(listener, fcntl.F_DUPFD, 100) for listener in sockets]
    environment = {**os.environ, **places}
    start = "import os, sys; [os.dup2(int(fd), 3 + n) for n, fd in enumerate(sys.argv[1].split())]; os.environ['LISTEN_PID'] = str(os.getpid()); "
    start += "os.execv(sys.executable, [sys.executable, '-m', 'galaxyops.control', 'galaxy', 'web', 'become', '1'])"
    process = subprocess.Popen(
        [sys.executable, "-c", start, " ".join(map(str, descriptors))],
        cwd=library,
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
        body = b"".join(
            struct.pack("<H", len(part)) + part
            for pair in UWSGI_PACKET.items()
            for part in (text.encode() for text in pair)
        )
        with socket.create_connection(addresses[1], timeout=30) as connection:
            connection.sendall(struct.pack("<BHB", 0, len(body), 0) + body)
            assert connection.makefile("rb").read().endswith(b"served")
    finally:
        process.terminate()
        process.communicate(timeout=30)
        for descriptor in descriptors:
            os.close(descriptor)


def test_only_its_own_sockets_are_closed(control: Any, etc: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another address is another unit; an instance whose name begins the same keeps its own."""
    units = etc / "systemd" / "system"
    units.mkdir(parents=True)
    ours = ["galaxy-web-http-8080.socket", "galaxy-web-tcp-::1:4001.socket"]
    theirs = [
        "galaxy-web-http-web.socket",
        "galaxy-web2-web.socket",
        "galaxy-web-tcp-1-web-http-80.socket",
        "sshd.socket",
    ]
    for name in [*ours, *theirs, "galaxy-web.socket"]:
        (units / name).write_text("")
    own = [{"protocol": "uwsgi", "address": "/run/galaxy/web.sock", "unit": "galaxy-web.socket"}]
    write(etc, "web", sockets=own, allow_interruption=False)
    web = control.control_for("galaxy", "web")
    calls: list[tuple[str, ...]] = []

    def systemctl(*arguments: str, check: bool = True) -> str:
        calls.append(arguments)
        return "active"

    monkeypatch.setattr(control.listener_systemd, "systemctl", systemctl)
    with pytest.raises(
        control.Refusal, match=r"galaxy-web-http-8080\.socket, galaxy-web-tcp-::1:4001\.socket would be closed"
    ):
        web.listener.refuse_to_close()
    write(etc, "web", sockets=own, allow_interruption=True)
    web = control.control_for("galaxy", "web")
    web.listener.refuse_to_close()
    web.listener.close_others()
    assert sorted(path.name for path in units.iterdir()) == sorted([*theirs, "galaxy-web.socket"])
    assert [call for call in calls if call[0] == "disable"] == [("disable", "--now", unit) for unit in ours]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_who_listens_answers(control: Any, tmp_path: Path, host: str) -> None:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        port = listener.getsockname()[1]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        assert control.answers(address)
        assert ":" in host or control.answers(f":{port}")
    assert not control.answers(address)
    assert not control.answers(str(tmp_path / "none.sock"))


@pytest.fixture
def shared(control: Any, etc: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The web processes of an instance whose sockets have the group of the web server and shall have another one."""
    account = pwd.getpwuid(os.getuid()).pw_name
    write(
        etc,
        "web",
        manager="systemd",
        user=account,
        socket_group="games",
        allow_interruption=False,
        command="/usr/local/sbin/galaxy-web",
    )
    web = control.main.control_for("galaxy", "web")
    top = run / "galaxy"
    (top / "asgi").mkdir(parents=True)
    for path in (top / "web.sock", top / "asgi" / "1.sock"):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    for path in (top / "web.sock", top / "asgi", top / "asgi" / "1.sock"):
        os.chown(path, -1, grp.getgrnam("www-data").gr_gid)
    web.workers = []
    monkeypatch.setattr(control.listener, "nginx_workers", lambda: web.workers)
    return web


def where_an_interruption_is_allowed(web: Any) -> Any:
    """The same web processes, with that option."""
    return type(web)(web.instance, replace(web.config, allow_interruption=True))


def groups_of(web: Any) -> set[str]:
    """The groups of the sockets."""
    return {path.group() for path in (web.run / "web.sock", web.run / "asgi", web.run / "asgi" / "1.sock")}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket to another group")
def test_sockets_keep_their_group_until_all_workers_of_nginx_have_the_other(
    control: Any, shared: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = grp.getgrnam("www-data").gr_gid, grp.getgrnam("games").gr_gid
    worker = control.nginx.Worker
    for workers in (
        [],
        [worker(7, 33, frozenset({old}))],
        [worker(7, 33, frozenset({old})), worker(8, 33, frozenset({old, new}))],
    ):
        shared.workers = workers
        shared.listener.share()
        assert (groups_of(shared), shared.listener.group) == ({"www-data"}, "www-data")
        out, err = capsys.readouterr()
        assert out == ""
        assert "wait for nginx" in err and "'user www-data games;'" in err
    shared.workers = [worker(8, 33, frozenset({old, new})), worker(9, 0, frozenset({old}))]
    shared.listener.share(check=True)
    assert groups_of(shared) == {"www-data"}
    for _call in range(2):
        shared.listener.share()
        assert (groups_of(shared), shared.listener.group) == ({"games"}, "games")
    assert capsys.readouterr().out == "give the sockets to the group games\n" * 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket to another group")
def test_sockets_get_their_group_at_once_where_an_interruption_is_allowed(shared: Any) -> None:
    where_an_interruption_is_allowed(shared).listener.share()
    assert groups_of(shared) == {"games"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket to another group")
def test_what_the_application_puts_in_the_place_of_a_socket_keeps_its_group(shared: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    before = (tmp_path / "file").group()
    (shared.run / "asgi" / "1.sock").unlink()
    (shared.run / "asgi" / "1.sock").symlink_to(tmp_path / "file")
    (shared.run / "asgi" / "2.sock").write_text("")
    os.chown(shared.run / "asgi" / "2.sock", -1, 0)
    where_an_interruption_is_allowed(shared).listener.share()
    assert ((tmp_path / "file").group(), (shared.run / "asgi" / "2.sock").group()) == (before, grp.getgrgid(0).gr_name)


def test_another_group_alone_does_not_make_a_socket_anew(control: Any, shared: Any, etc: Path) -> None:
    """Neither where its unit was recorded without the group, as now, nor with it, as by earlier versions."""
    unit = etc / "systemd" / "system" / "galaxy-web.socket"
    unit.parent.mkdir(parents=True)
    text = "[Socket]\nListenStream=/run/galaxy/web.sock\nSocketGroup={}\nBacklog={}\n"
    public = shared.listener
    unit.write_text(text.format("www-data", 4096))
    for recorded in (public._definition(unit.name), control.fingerprint.fingerprint([{"path": str(unit)}])):
        unit.write_text(text.format("games", 4096))
        public._made_from(unit.name).write_text(recorded)
        assert public._is_as_defined(unit.name)
        unit.write_text(text.format("games", 100))
        assert not public._is_as_defined(unit.name)
        unit.write_text(text.format("www-data", 4096))
