# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the search for who listens to a port, on recorded tables and on real sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _listeners as listeners
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._listeners import Listener, Process, Wanted

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 100 0 0 10 0
   2: 0100007F:0050 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000000000000000 100 0 0 10 0
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4714 1
   1: 00000000000000000000000001000000:0051 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4715 1
   2: 0000000000000000FFFF00000100007F:0052 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4716 1
"""


def test_only_sockets_that_are_listened_to_are_parsed() -> None:
    assert listeners.parse_tcp(TCP, "little") == [Listener("127.0.0.1", 8080, 4711), Listener("0.0.0.0", 80, 4712)]


def test_ipv6_addresses_are_parsed() -> None:
    assert listeners.parse_tcp(TCP6, "little") == [Listener("::", 443, 4714), Listener("::1", 81, 4715), Listener("127.0.0.1", 82, 4716)]


def test_addresses_are_in_the_byte_order_of_the_machine() -> None:
    assert listeners.parse_tcp(TCP.replace("0100007F:1F90", "7F000001:1F90"), "big")[0].address == "127.0.0.1"


def test_an_empty_table_has_no_listeners() -> None:
    assert listeners.parse_tcp("") == []


@pytest.mark.parametrize(
    ("wanted", "taken", "expected"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "0.0.0.0", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("0.0.0.0", "::1", False),
        ("::", "127.0.0.1", True),
        ("[::]", "127.0.0.1", True),
        ("127.0.0.1", "::", True),
        ("", "192.0.2.1", True),
        ("*", "::1", True),
        ("localhost", "127.0.0.1", True),
        ("::1", "127.0.0.1", False),
        ("::1", "0.0.0.0", False),
    ],
)
def test_overlapping_addresses(wanted: str, taken: str, expected: bool) -> None:
    assert listeners.overlaps(wanted, taken) is expected


def test_a_name_is_not_an_address() -> None:
    with pytest.raises(ValueError, match="give an IP address"):
        Wanted(80, "galaxy.example.org")


@pytest.mark.parametrize(
    ("wanted", "owners", "expected"),
    [
        (Wanted(80), [Process(123, "apache2")], ["port 80 is taken by apache2 (pid 123): stop it or set another port"]),
        (Wanted(80, variable="x_port"), [Process(1, "y")], ["port 80 is taken by y (pid 1): stop it or set another port (x_port)"]),
        (Wanted(80, processes=["nginx"]), [Process(123, "nginx"), Process(124, "nginx")], []),
        (Wanted(80, processes=["uwsgi"]), [Process(1, "systemd"), Process(123, "uwsgi")], []),
        (Wanted(80, processes=["a-very-long-process-name"]), [Process(123, "a-very-long-pro")], []),
        (Wanted(80), [], ["port 80 is taken by a process that cannot be seen from here: look as root and outside of containers, or set another port"]),
        (Wanted(81), [Process(123, "apache2")], []),
        (Wanted(80, "::1"), [Process(123, "apache2")], []),
    ],
)
def test_conflicts(wanted: Wanted, owners: list[Process], expected: list[str]) -> None:
    found = listeners.find_conflicts(wanted, [Listener("0.0.0.0", 80, 4712)], {4712: owners})
    assert [str(finding) for finding in found] == expected
    assert [finding.severity for finding in found] == ["error" if owners else "warning"] * len(found)


def test_a_process_that_listens_twice_is_reported_once() -> None:
    twice = [Listener("0.0.0.0", 80, 1), Listener("::", 80, 2)]
    owners = [Process(123, "apache2")]
    assert len(listeners.find_conflicts(Wanted(80), twice, {1: owners, 2: owners})) == 1


def test_the_process_of_a_real_socket_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        own_name = Path("/proc/self/comm").read_text(encoding="utf-8").strip()
        (finding,) = listeners.check([Wanted(port)])
        assert str(finding) == f"port {port} is taken by {own_name} (pid {os.getpid()}): stop it or set another port"
        assert listeners.check([Wanted(port, processes=[own_name])]) == []
        assert listeners.check([Wanted(port, address="127.0.0.9")]) == []
    assert listeners.check([Wanted(port)]) == []


def test_nothing_is_read_when_no_port_is_wanted() -> None:
    assert listeners.check([], "/nonexistent") == []


def test_a_host_without_ipv6_has_no_table_of_it(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(TCP, encoding="ascii")
    assert len(listeners.read_listeners(str(tmp_path))) == 2
