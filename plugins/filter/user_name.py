# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that reads a user or group given in either of the ways that Galaxy's roles allow."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError


def user_name(value: Any) -> str:
    """Return the name of a user or group given as text or as a dictionary with a C(name)."""
    name = value.get("name") if isinstance(value, dict) else value
    if not isinstance(name, str) or not name:
        raise AnsibleFilterError(f"{value!r} names no user: write the name, or a dictionary with a name, such as galaxy or {{name: galaxy}}")
    return name


class FilterModule:
    """The filter, by the name that the roles use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name -> function."""
        return {"user_name": user_name}
