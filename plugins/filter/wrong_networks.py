# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that finds what is no IP address or network in a list of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, Callable


def wrong_networks(values: Iterable[Any]) -> list[str]:
    """Return those of I(values) that are neither an IP address nor a network whose last bits are 0."""
    wrong = []
    for value in map(str, values):
        try:
            ipaddress.ip_network(value)
        except ValueError:
            wrong.append(value)
    return wrong


class FilterModule:
    """The filter, by the name that the roles use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name -> function."""
        return {"wrong_networks": wrong_networks}
