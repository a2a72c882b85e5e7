# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters over uWSGI options and the sockets of uWSGI."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_formats, _uwsgi_options, _uwsgi_sockets
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._secrets import mask_value


def uwsgi_configuration(
    options: dict[str, Any], form: str, paste_file: str, directory: str, paste_include: str, app: str = "main", python: str = ""
) -> dict[str, Any]:
    """Write I(options) in one form, and list for M(galaxyops.uwsgi.file_set) the files that it has and those that others would have."""
    if form not in _uwsgi_formats.FORMATS:
        raise AnsibleFilterError(f"{form!r} is no form of uWSGI options: use one of {', '.join(_uwsgi_formats.FORMATS)}")
    made = _uwsgi_formats.configuration(options, form, paste_file, directory, paste_include, app, python)
    names = _uwsgi_formats.file_names(directory, paste_include)
    is_secret = any(mask_value(name, value) != value for name, value in _uwsgi_formats.pairs(options))
    marked = {"sensitive": True} if is_secret else {}
    return {
        "section": dict(made.section),
        "files": [{"path": name, **({"content": made.files[name]} if name in made.files else {"state": "absent"}), **marked} for name in names],
        "argv": list(made.argv),
        "environment": dict(made.environment),
    }


class FilterModule:
    """The filters, by the names that the roles use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name -> function."""
        return {
            "uwsgi_configuration": uwsgi_configuration,
            "uwsgi_environment_problems": _uwsgi_options.environment_problems,
            "uwsgi_merge": _uwsgi_options.merge,
            "uwsgi_ports": _uwsgi_sockets.ports,
            "uwsgi_problems": _uwsgi_options.problems,
            "uwsgi_socket_problems": _uwsgi_sockets.problems,
            "uwsgi_sockets": _uwsgi_sockets.as_dicts,
        }
