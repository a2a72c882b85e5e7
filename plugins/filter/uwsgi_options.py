# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters over a dictionary of uWSGI options."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_options


class FilterModule:
    """The filters, by the names that the roles use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name -> function."""
        return {
            "uwsgi_merge": _uwsgi_options.merge,
            "uwsgi_problems": _uwsgi_options.problems,
            "uwsgi_repeated": _uwsgi_options.repeated,
            "uwsgi_scalars": _uwsgi_options.scalars,
            "uwsgi_render": _uwsgi_options.render,
        }
