# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sockets of an instance: their units, and every mistake in an address."""

from __future__ import annotations

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_sockets as sockets
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._uwsgi_sockets import Socket


@pytest.mark.parametrize(
    ("listen", "address", "http_address", "expected"),
    [
        ("unix", "", "", [Socket("uwsgi", "/run/galaxy/web.sock", "galaxy-web.socket")]),
        ("tcp", "127.0.0.1:4001", "", [Socket("uwsgi", "127.0.0.1:4001", "galaxy-web-tcp-127.0.0.1:4001.socket")]),
        ("tcp", "[::1]:4001", "", [Socket("uwsgi", "[::1]:4001", "galaxy-web-tcp-::1:4001.socket")]),
        ("http", ":8080", "", [Socket("http", ":8080", "galaxy-web-http-8080.socket")]),
        (
            "unix",
            "",
            "192.0.2.1:80",
            [Socket("uwsgi", "/run/galaxy/web.sock", "galaxy-web.socket"), Socket("http", "192.0.2.1:80", "galaxy-web-http-192.0.2.1:80.socket")],
        ),
        ("http", ":8080", ":8080", [Socket("http", ":8080", "galaxy-web-http-8080.socket")]),
    ],
)
def test_sockets(listen: str, address: str, http_address: str, expected: list[Socket]) -> None:
    assert sockets.sockets("galaxy", listen, address, http_address) == expected
    assert sockets.problems(listen, address, http_address, "systemd") == []


@pytest.mark.parametrize(
    ("listen", "address", "http_address", "manager", "part"),
    [
        ("tcp", "0.0.0.0:4001", "", "systemd", "can run code"),
        ("tcp", ":4001", "", "systemd", "can run code"),
        ("tcp", "192.0.2.1:4001", "", "systemd", "write 127.0.0.1:PORT"),
        ("tcp", "localhost:4001", "", "systemd", "write 127.0.0.1:PORT"),
        ("tcp", "", "", "systemd", "can run code"),
        ("http", "8080", "", "systemd", "uwsgi_listen_address is '8080': write IP:PORT"),
        ("http", "127.0.0.1:99999", "", "systemd", "a port from 1 to 65535"),
        ("http", "::1:8080", "", "systemd", "IP:PORT"),
        ("unix", "", "galaxy.example.org:80", "systemd", "uwsgi_http_address is 'galaxy.example.org:80'"),
        ("tcp", "127.0.0.1:4001", ":4001", "systemd", "different ports"),
        ("tcp", "127.0.0.1:4001", "", "supervisor", "uwsgi_listen is 'tcp', and supervisor"),
        ("unix", "", ":8080", "supervisor", "uwsgi_http_address is ':8080', and supervisor"),
    ],
)
def test_mistakes(listen: str, address: str, http_address: str, manager: str, part: str) -> None:
    (problem,) = sockets.problems(listen, address, http_address, manager)
    assert part in problem


def test_ports() -> None:
    assert sockets.ports("unix", "", "") == []
    found = sockets.ports("tcp", "[::1]:4001", ":8080")
    assert [(port["address"], port["port"], port["variable"]) for port in found] == [
        ("::1", 4001, "uwsgi_listen_address"),
        ("", 8080, "uwsgi_http_address"),
    ]
