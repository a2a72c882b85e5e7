# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters over the list of job handlers."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _handlers


class FilterModule:
    """The filters, by the names that the roles use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name -> function."""
        return {
            "configured_handlers": _handlers.configured,
            "handler_problems": _handlers.problems,
        }
