# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command knows of the ASGI process beside the workers; that it serves is tested on real hosts."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._processes import start_time

# Processes as the bridge of Galaxy makes them: the keeper leaves the family of the slot, and not its process group.
SLOT = """
import ctypes, os, signal, sys, time
name = lambda title: ctypes.CDLL(None).prctl(15, title)
os.setpgrp()
if os.fork() == 0:
    if os.fork():
        os._exit(0)
    name(b"galaxy-asgi-kpr")
    named, tell = os.pipe()
    child = os.fork()
    if child == 0:
        name(b"galaxy-asgi")
        os.write(tell, b".")
        time.sleep(60)
        os._exit(0)
    signal.signal(signal.SIGTERM, lambda number, frame: (os.kill(child, signal.SIGKILL), os.wait(), os._exit(0)))
    os.read(named, 1)
    print("ready", flush=True)
    signal.pause()
os.wait()
time.sleep(60)
"""


@pytest.fixture
def slot(control: Any) -> Iterator[Any]:
    """A slot with such processes."""
    process = control.process.Process("web-1", "galaxy-web@1.service", [])
    process.directory.mkdir()
    # What has lost its parent comes to this process, and not to the one of the whole machine.
    ctypes.CDLL(None).prctl(36, 1)
    with subprocess.Popen([sys.executable, "-c", SLOT], stdout=subprocess.PIPE, text=True) as master:
        assert master.stdout
        assert master.stdout.readline() == "ready\n"
        (process.directory / "pid").write_text(json.dumps({"pid": master.pid, "born": start_time(master.pid)}))
        yield process
        os.killpg(master.pid, 9)
    ctypes.CDLL(None).prctl(36, 0)


@pytest.fixture
def asgi(control: Any, slot: Any, run: Path) -> Any:
    """Its ASGI process."""
    control.asgi.Asgi.open(run, os.getuid(), os.getgid())
    return control.asgi.Asgi(run, slot, ("1", "2"))


def test_directory_of_the_sockets_gives_them_its_group(asgi: Any) -> None:
    assert stat.S_IMODE(asgi.directory.stat().st_mode) == 0o2750


def test_clients_are_counted_and_memory_is_shown(asgi: Any) -> None:
    assert not asgi.exists
    with (
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX) as first,
        socket.socket(socket.AF_UNIX) as second,
    ):
        listener.bind(str(asgi.socket))
        listener.listen()
        assert asgi.exists
        accepted = []
        for client in (first, second):
            client.connect(str(asgi.socket))
            accepted.append(listener.accept()[0])
        assert asgi.connections == 2
        assert asgi.status().endswith(" MiB, 2 connections open")
        for connection in accepted:
            connection.close()
        assert asgi.connections == 0


def test_proxy_is_led_to_the_slot_that_serves(asgi: Any) -> None:
    asgi.socket.touch()
    asgi.point_to()
    assert asgi.link.resolve() == asgi.socket
    asgi.socket.unlink()
    asgi.point_to()
    assert not asgi.link.is_symlink()


def test_process_that_has_left_the_family_is_found_and_ended(asgi: Any, capsys: pytest.CaptureFixture[str]) -> None:
    asgi.socket.touch()
    assert not asgi.is_gone
    asgi.drain(20)
    assert asgi.status() == ""
    assert "ASGI" in capsys.readouterr().out
    assert not asgi.socket.exists()
    asgi.socket.touch()
    assert asgi.is_gone


def test_memory_is_counted_for_all_that_belongs_to_a_slot(control: Any, slot: Any) -> None:
    members = control.kernel.members(slot.pid)
    assert len(members) == 3
    total = control.kernel.memory(members)
    parts = [control.kernel.memory([pid]) for pid in members]
    assert all(parts)
    assert total == pytest.approx(sum(parts), rel=0.2)
    assert control.kernel.memory([]) == 0
    assert control.kernel.members(0) == []


def test_processes_of_others_are_none_of_a_slot(asgi: Any, control: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write the number of the slot could name any process, and root would end it."""
    monkeypatch.setattr(control.asgi, "owner", lambda pid: os.getuid() + 1)
    asgi.socket.touch()
    asgi.drain(0)
    assert asgi.is_gone
    assert asgi.socket.exists()
