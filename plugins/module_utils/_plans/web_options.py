# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of uWSGI that web processes get, in the form that they are wanted in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.compat.version import LooseVersion

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_formats as formats
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_options as options
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans.web_values import Inputs
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._secrets import mask_value

# What uWSGI goes about in its older way where handlers are mules, which crash as they are forked otherwise.
MULES: dict[str, Any] = {"py-call-uwsgi-fork-hooks": None, "py-call-osafterfork": True}


def is_lazy(galaxy_version: str) -> bool:
    """Tell whether each worker loads a Galaxy of this version for itself, or another application, which has no version.

    Loaded once, an application shares its memory between the workers; but threads and connections that it has by then do not survive the fork.
    Galaxy up to 22.01 is made for that, and so is 26.1 behind the bridge of the role galaxy. Of others nobody knows.
    """
    if not galaxy_version:
        return True
    version = LooseVersion(galaxy_version)
    return bool(LooseVersion("22.05") <= version < LooseVersion("26.1"))


def default_options(processes: int, threads: int, lazy: bool) -> dict[str, Any]:
    """Return what every application gets; the option uwsgi_options is laid over it, and null there takes an option away."""
    return {
        "master": True,
        "processes": processes,
        "threads": threads,
        "enable-threads": True,
        "lazy-apps": lazy,
        "need-app": True,
        # Workers whose master was killed would keep the service manager waiting for them.
        "no-orphans": True,
        "strict": True,
        "thunder-lock": True,
        # The default of 4096 turns a large cookie into a 502, and that of 100 variables 90 header fields. A packet of this size has no more.
        "buffer-size": 65535,
        "max-vars": 6600,
        # With the id that the proxy gives to a request and to its own log. It begins with a word and has neither quotes nor colons, so it is
        # the same in every format that a configuration can have.
        "log-format": "request %(var.HTTP_X_REQUEST_ID) %(addr) %(method) %(uri) %(proto) %(status) %(rsize) bytes %(msecs) ms worker %(wid)",
        "pythonpath": "lib",
        "die-on-term": True,
        "hook-master-start": "unix_signal:15 gracefully_kill_them_all",
        "py-call-uwsgi-fork-hooks": True,
        # Whoever may write to a uwsgi socket may name code to run; nothing that a proxy sends has these.
        "route-if-not": "empty:${UWSGI_FILE}${UWSGI_MODULE}${UWSGI_SCRIPT} break:403 Forbidden",
        # For an uncaught exception uWSGI sends nothing at all, and a proxy cannot tell that from a restart. So uWSGI sends an error 500 where the
        # application has sent none. These lines write the bytes of the response: an action that makes a response here, such as break, loses 4 KB.
        "response-route-status": "500 addvar:REQUEST_ANSWERED=yes",
        "final-route-if": [
            "equal:${uwsgi[status]}${REQUEST_ANSWERED};500 addvar:REQUEST_FAILED=yes",
            "equal:${REQUEST_FAILED};yes send-crnl:HTTP/1.1 500 Internal Server Error",
            "equal:${REQUEST_FAILED};yes send-crnl:Content-Type:text/plain",
            "equal:${REQUEST_FAILED};yes send-crnl:${NOTHING}",
            "equal:${REQUEST_FAILED};yes send-crnl:Internal Server Error",
        ],
    }


def wanted_options(wanted: Inputs, galaxy_version: str, mules: bool) -> dict[str, Any]:
    """Return all options: the defaults, what the inputs of the role add, and uwsgi_options over that."""
    found = default_options(wanted.processes, wanted.threads, is_lazy(galaxy_version))
    # Workers that come and go.
    if wanted.processes_min < wanted.processes:
        found["cheaper"] = wanted.processes_min
    if wanted.max_requests > 0:
        found["max-requests"] = wanted.max_requests
        # One after the other: the second worker lasts a share longer than the first, and so on. That of the distributions is too old for it.
        if wanted.install_method != "distribution":
            found["max-requests-delta"] = max(1, wanted.max_requests // max(1, wanted.processes))
    return options.merge(options.merge(found, MULES if mules else {}), wanted.options)


def written(
    values: Mapping[str, Any],
    form: str,
    paste_file: str,
    directory: str,
    paste_include: str,
    app: str = "main",
    python: str = "",
) -> tuple[formats.Configuration, list[dict[str, Any]]]:
    """Return options in one form, and for M(galaxyops.uwsgi.file_set) the files that it has and those that others would have."""
    made = formats.configuration(values, form, paste_file, directory, paste_include, app, python)
    is_secret = any(mask_value(name, value) != value for name, value in formats.pairs(values))
    marked = {"sensitive": True} if is_secret else {}
    names = formats.file_names(directory, paste_include)
    files = [
        {"path": name, **({"content": made.files[name]} if name in made.files else {"state": "absent"}), **marked}
        for name in names
    ]
    return made, files
