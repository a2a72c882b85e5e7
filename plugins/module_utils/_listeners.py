# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find out which process listens to a TCP port, from C(/proc) alone: no command has to be installed for it."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding

_LISTEN = "0A"
_SOCKET = re.compile(r"socket:\[(\d+)\]")
_NAMES = {"": "::", "*": "::", "localhost": "127.0.0.1"}

# The kernel cuts the names of processes.
_NAME_LENGTH = 15


@dataclass(frozen=True)
class Listener:
    """A TCP socket that is listened to; the inode leads to its processes."""

    address: str
    port: int
    inode: int


@dataclass(frozen=True)
class Process:
    """A process, by the name the kernel has for it."""

    pid: int
    name: str


@dataclass(frozen=True)
class Wanted:
    """A port that is going to be listened to, the processes that may do so already, and the variable that sets it."""

    port: int
    address: str = ""
    processes: Sequence[str] = ()
    variable: str = ""

    def __post_init__(self) -> None:
        """Refuse what is not an IP address."""
        try:
            _parse_address(self.address)
        except ValueError as error:
            raise ValueError(f"cannot check port {self.port} on {self.address!r}: give an IP address, or none for all of them") from error


def parse_tcp(table: str, byteorder: str = sys.byteorder) -> list[Listener]:
    """The sockets that are listened to in the content of C(/proc/net/tcp) or C(/proc/net/tcp6)."""
    listeners = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN:
            address, _colon, port = fields[1].partition(":")
            listeners.append(Listener(_address(address, byteorder), int(port, 16), int(fields[9])))
    return listeners


def _address(words: str, byteorder: str) -> str:
    """Decode an address, which the kernel prints in 32-bit words, each in the byte order of the machine."""
    packed = bytes.fromhex(words)
    if byteorder == "little":
        packed = b"".join(packed[start : start + 4][::-1] for start in range(0, len(packed), 4))
    address = ipaddress.ip_address(packed)
    return str(getattr(address, "ipv4_mapped", None) or address)


def _parse_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(_NAMES.get(address, address).strip("[]"))


def overlaps(wanted: str, taken: str) -> bool:
    """Whether a socket on the address I(wanted) would compete with one on I(taken).

    The address C(::) stands for all addresses, IPv4 ones too; so do an empty one and C(*).
    """
    addresses = [_parse_address(wanted), _parse_address(taken)]
    if addresses[0] == addresses[1] or any(address == ipaddress.ip_address("::") for address in addresses):
        return True
    return addresses[0].version == addresses[1].version and any(address.is_unspecified for address in addresses)


def find_conflicts(wanted: Wanted, listeners: Sequence[Listener], owners: Mapping[int, Sequence[Process]]) -> list[Finding]:
    """What keeps the port from being listened to."""
    allowed = {name[:_NAME_LENGTH] for name in wanted.processes}
    remedy = f"set another port ({wanted.variable})" if wanted.variable else "set another port"
    findings = []
    for listener in listeners:
        if listener.port != wanted.port or not overlaps(wanted.address, listener.address):
            continue
        processes = owners.get(listener.inode, [])
        if not processes:
            message = f"port {wanted.port} is taken by a process that cannot be seen from here: look as root and outside of containers, or {remedy}"
            findings.append(Finding("", 0, "warning", message))
        # Processes that share one socket, such as systemd and the service it starts, belong together.
        elif not any(process.name in allowed for process in processes):
            message = f"port {wanted.port} is taken by {processes[0].name} (pid {processes[0].pid}): stop it or {remedy}"
            findings.append(Finding("", 0, "error", message))
    return list(dict.fromkeys(findings))


def read_listeners(proc: str = "/proc") -> list[Listener]:
    """The TCP sockets that are listened to on this host; without IPv6 in the kernel there is no table of it."""
    listeners = []
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError), open(os.path.join(proc, "net", table), encoding="ascii") as stream:
            listeners.extend(parse_tcp(stream.read()))
    return listeners


def longest_queue(proc: str = "/proc") -> int:
    """How many connections may wait at a socket of this host; 0 if that cannot be told."""
    with contextlib.suppress(OSError, ValueError), open(os.path.join(proc, "sys", "net", "core", "somaxconn"), encoding="ascii") as stream:
        return int(stream.read())
    return 0


def read_owners(inodes: Collection[int], proc: str = "/proc") -> dict[int, list[Process]]:
    """The processes that hold the sockets I(inodes), as far as this user may see them."""
    owners: dict[int, list[Process]] = {}
    if not inodes:
        return owners
    for pid in sorted(int(name) for name in os.listdir(proc) if name.isdigit()):
        # A process may end at any moment, and those of other users show their files to root only.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            held = _held_sockets(os.path.join(proc, str(pid), "fd")) & set(inodes)
            if held:
                with open(os.path.join(proc, str(pid), "comm"), encoding="utf-8", errors="replace") as stream:
                    process = Process(pid, stream.read().rstrip("\n"))
                for inode in held:
                    owners.setdefault(inode, []).append(process)
    return owners


def _held_sockets(directory: str) -> set[int]:
    """The inodes of the sockets among the open files in I(directory)."""
    held = set()
    for name in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):
            match = _SOCKET.match(os.readlink(os.path.join(directory, name)))
            if match:
                held.add(int(match.group(1)))
    return held


def check(wanted: Sequence[Wanted], proc: str = "/proc") -> list[Finding]:
    """What keeps the ports from being listened to on this host."""
    if not wanted:
        return []
    ports = {port.port for port in wanted}
    listeners = [listener for listener in read_listeners(proc) if listener.port in ports]
    owners = read_owners({listener.inode for listener in listeners}, proc)
    return [finding for port in wanted for finding in find_conflicts(port, listeners, owners)]
