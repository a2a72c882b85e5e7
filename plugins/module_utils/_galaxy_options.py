# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which options each part of a Galaxy reads: its web processes, what wraps these, and its job handlers.

Web processes read the options that Paste Deploy hands to the application. The part that wraps them, which believes a user
who comes in a header, reads the options of C([DEFAULT]) besides. Job handlers read C([app:main]) and C([DEFAULT]) themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_ini import (
    DEFAULT,
    Application,
    Document,
    Loading,
    Reader,
    handler_options,
    load,
)

# What lets uWSGI serve releases that speak ASGI.
BRIDGE = "galaxy_wsgi:app_factory"
# What other programs read in a galaxy.yml.
OTHERS_KEYS = ("gravity", "uwsgi")
# The option of a Paste Deploy file by which the bridge reads a galaxy.yml.
NAMES_YML = "galaxy_config_file"
_FACTORY = re.compile(
    rf"(call:)?({re.escape(BRIDGE)}|galaxy\.(web|webapps\.galaxy)\.buildapp:app_(factory|pair))|egg:galaxy\b.*"
)

# Options whose value has to be the same in web processes and handlers: with two values, no job ever ends.
_ESSENTIAL = (
    "config_dir",
    "data_dir",
    "database_connection",
    "file_path",
    "id_secret",
    "job_config_file",
    "job_working_directory",
    "new_file_path",
    "object_store_config_file",
)
_REFERENCE = re.compile(r"%\(([^)]+)\)s")


def is_yaml(path: str) -> bool:
    """Whether Galaxy reads the file at I(path) as YAML."""
    return path.lower().endswith((".yml", ".yaml"))


def is_galaxy(application: Application) -> bool:
    """Whether an application is a Galaxy."""
    return bool(_FACTORY.fullmatch(application.factory))


def is_bridge(application: Application) -> bool:
    """Whether the bridge loads the application."""
    return application.factory in (BRIDGE, f"call:{BRIDGE}")


def application_of(loading: Loading) -> Application:
    """The Galaxy among the applications that are loaded, or else the first application."""
    return next(filter(is_galaxy, loading.applications), loading.application)


def application(text: str, path: str, app: str = "main", read: Reader | None = None) -> Application:
    """What the file at I(path) makes of the application I(app)."""
    return application_of(load(text, path, app, read))


def reading_findings(
    document: Document, path: str, app: str, application: Application, severity: str
) -> Iterator[Finding]:
    """Options that web processes and job handlers of a Galaxy read differently.

    The severity of what is certainly wrong is I(severity).
    """
    handlers = handler_options(document, path, app)
    for name, value in application.values.items():
        if handlers.get(name) == value:
            continue
        place = application.places[name]
        message = (
            f"Galaxy's job handlers read [app:{app}] and [{DEFAULT}] only, and take no notice of 'use', 'set' and 'get', so they do not get this value: "
            f"write the option into [app:{app}]"
        )
        yield Finding(place.path, place.line, severity, message, place.section, name)
    used = _used(document)
    for section in document.sections:
        for option in section.options.values() if section.name == DEFAULT else ():
            if option.name in used or option.name in application.values or option.name.startswith(("set ", "get ")):
                continue
            message = (
                f"Galaxy's job handlers read this option and its web processes do not, because Paste Deploy does not hand options of [{DEFAULT}] to an "
                f"application: move the option to [app:{app}]"
            )
            certain = severity if option.name in _ESSENTIAL else "warning"
            yield Finding(path, option.line, certain, message, DEFAULT, option.name)


def _used(document: Document) -> set[str]:
    """The names of options that others refer to."""
    used = set()
    for section in document.sections:
        for option in section.options.values():
            used.update(_REFERENCE.findall(option.value))
            if option.name.startswith("get "):
                used.add(option.value.strip())
    return used
