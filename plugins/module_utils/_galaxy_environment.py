# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lay the options that Galaxy takes from its environment over those in its file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_ini import Application, Place

PREFIX = "GALAXY_CONFIG_"
OVERRIDE = f"{PREFIX}OVERRIDE_"

# An option that an environment variable sets is in no file; the variable stands where the section would.
_NO_FILE = ""


def option_of(variable: str) -> tuple[str, bool]:
    """The option that a variable sets, and whether it does so against the file; an empty name for any other variable."""
    if variable.startswith(OVERRIDE):
        return variable[len(OVERRIDE) :].lower(), True
    if variable.startswith(PREFIX):
        return variable[len(PREFIX) :].lower(), False
    return "", False


def in_environment(
    application: Application, variables: Mapping[str, Optional[str]], nested: Iterable[str] = ()
) -> Application:
    """What a Galaxy gets that is started with these environment variables, of which None is one of an unknown value.

    The options I(nested) are in the file too, but not among those of the I(application).
    """
    values, places, unreadable = dict(application.values), dict(application.places), set(application.unreadable)
    there = {*values, *unreadable, *nested}
    # What is in the file stands against all but an override.
    for name, value in sorted(variables.items(), key=lambda item: option_of(item[0])[1]):
        option, overrides = option_of(name)
        if not option or (option in there and not overrides):
            continue
        values.pop(option, None)
        unreadable.discard(option)
        places[option] = Place(_NO_FILE, name, 0)
        if value is None:
            unreadable.add(option)
        else:
            values[option] = value
    return replace(application, values=values, places=places, unreadable=frozenset(unreadable))


def variable_of(application: Application, option: str) -> str:
    """The environment variable that an option comes from, or nothing."""
    place = application.places.get(option)
    return place.section if place and place.path == _NO_FILE and option_of(place.section)[0] else ""


def finding_of(finding: Finding, variable: str) -> Finding:
    """A finding about an option that a variable sets, as one about the variable."""
    message = finding.message.replace("the line", "the variable")
    return replace(finding, path="", line=0, section="", option=variable, message=message)
