# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sockets that web processes listen to for everybody: their addresses, and the units of systemd that own them.

A unit is named after its address, so that another address is another unit: to systemd, a unit whose address changes has lost its socket.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._control.config import Socket

LISTEN = ("unix", "tcp", "http")


def parse(address: str) -> Optional[tuple[str, int]]:
    """Return the IP address and the port in I(address), the former empty for every address; None where it makes no sense."""
    host, colon, port = address.rpartition(":")
    if not colon or not re.fullmatch(r"[1-9]\d{0,4}", port) or int(port) > 65535:
        return None
    if not host:
        return "", int(port)
    bracketed = re.fullmatch(r"\[(.*)\]", host)
    try:
        parsed = ipaddress.ip_address(bracketed[1] if bracketed else host)
    except ValueError:
        return None
    return (str(parsed), int(port)) if bool(bracketed) == (parsed.version == 6) else None


def is_loopback(address: str) -> bool:
    """Whether only this host can reach I(address)."""
    parsed = parse(address)
    return bool(parsed and parsed[0]) and ipaddress.ip_address(parsed[0]).is_loopback  # type: ignore[index]


def sockets(instance: str, listen: str, address: str, http_address: str) -> list[Socket]:
    """Return the sockets of an instance, that of the uwsgi protocol first."""
    found = []
    if listen == "unix":
        found.append(Socket("uwsgi", f"/run/{instance}/web.sock", f"{instance}-web.socket"))
    elif listen == "tcp":
        found.append(_tcp(instance, "uwsgi", "tcp", address))
    for direct in dict.fromkeys([address if listen == "http" else "", http_address]):
        if direct:
            found.append(_tcp(instance, "http", "http", direct))
    return found


def _tcp(instance: str, protocol: str, kind: str, address: str) -> Socket:
    # Of an address, the name of a unit cannot hold brackets.
    return Socket(protocol, address, f"{instance}-web-{kind}-{re.sub('[][]', '', address.removeprefix(':'))}.socket")


def problems(listen: str, address: str, http_address: str, manager: str) -> list[str]:
    """Say what is wrong with the addresses to listen to, and what to write instead."""
    found = []
    if listen == "tcp" and not is_loopback(address):
        found.append(
            f"uwsgi_listen_address is {address!r}: whoever reaches a uwsgi socket can run code, so it must be one that other hosts cannot reach; "
            "write 127.0.0.1:PORT or [::1]:PORT, such as 127.0.0.1:4001, or set uwsgi_listen to unix"
        )
    for name, value, used in (("uwsgi_listen_address", address, listen == "http"), ("uwsgi_http_address", http_address, bool(http_address))):
        if used and not parse(value):
            found.append(f"{name} is {value!r}: write IP:PORT or :PORT with a port from 1 to 65535, such as 127.0.0.1:8080, or :8080 for every address")
    if listen == "tcp" and http_address and parse(http_address) and parse(address) and parse(http_address)[1] == parse(address)[1]:  # type: ignore[index]
        found.append(f"uwsgi_http_address is {http_address!r} and uwsgi_listen_address {address!r}: give them different ports")
    if manager == "supervisor" and (listen != "unix" or http_address):
        named = f"uwsgi_listen is {listen!r}" if listen != "unix" else f"uwsgi_http_address is {http_address!r}"
        found.append(
            f"{named}, and supervisor (uwsgi_service_manager) has nothing that holds a TCP socket while processes are replaced: "
            "set uwsgi_listen to unix and uwsgi_http_address to '' and let nginx listen, or use systemd"
        )
    return found


def ports(listen: str, address: str, http_address: str) -> list[dict[str, Any]]:
    """Return the ports among sockets(), as M(galaxyops.uwsgi.paste_check) is told of what is going to listen to them."""
    named = [("uwsgi_listen_address", address if listen != "unix" else ""), ("uwsgi_http_address", http_address)]
    parsed = [(variable, parse(value)) for variable, value in named]
    holders = ["systemd", "uwsgi", "uWSGI master", "uWSGI worker"]
    return [{"address": found[0], "port": found[1], "processes": holders, "variable": variable} for variable, found in parsed if found]
