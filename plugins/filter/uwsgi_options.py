# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters over uWSGI options and the sockets of uWSGI."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_options, _uwsgi_sockets


class FilterModule:
    """The filters, by the names that the roles use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name -> function."""
        return {
            "uwsgi_environment_problems": _uwsgi_options.environment_problems,
            "uwsgi_problems": _uwsgi_options.problems,
            "uwsgi_socket_problems": _uwsgi_sockets.problems,
        }
