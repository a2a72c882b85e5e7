# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of which part of a Galaxy reads which options."""

from __future__ import annotations

import configparser
import tempfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paste.deploy.loadwsgi import NicerConfigParser

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy_options as galaxy_options
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_ini as paste_ini

GALAXY = "paste.app_factory = galaxy.web.buildapp:app_factory\n"


def findings(text: str, severity: str = "error") -> list[tuple[str, int, str, str]]:
    """What handlers read differently."""
    loading = paste_ini.load(text, "/galaxy.ini")
    application = galaxy_options.application_of(loading)
    found = galaxy_options.reading_findings(loading.document, "/galaxy.ini", "main", application, severity)
    return [(finding.severity, finding.line, finding.section, finding.option) for finding in found]


@pytest.mark.parametrize(
    ("factory", "is_galaxy", "is_bridge"),
    [
        ("galaxy_wsgi:app_factory", True, True),
        ("call:galaxy_wsgi:app_factory", True, True),
        ("galaxy.web.buildapp:app_factory", True, False),
        ("galaxy.webapps.galaxy.buildapp:app_factory", True, False),
        ("galaxy.webapps.reports.buildapp:app_factory", False, False),
        ("egg:galaxynova", False, False),
        ("", False, False),
    ],
)
def test_galaxy_and_its_bridge_are_known(factory: str, is_galaxy: bool, is_bridge: bool) -> None:
    application = paste_ini.Application("app:main", factory)
    assert (galaxy_options.is_galaxy(application), galaxy_options.is_bridge(application)) == (is_galaxy, is_bridge)


def test_galaxy_is_found_behind_other_applications() -> None:
    text = (
        "[composite:main]\nuse = egg:Paste#urlmap\n/ = welcome\n/galaxy = pipe\n[pipeline:pipe]\npipeline = f galaxy\n"
        f"[filter:f]\nuse = egg:x\n[app:welcome]\nuse = egg:y\n[app:galaxy]\n{GALAXY}brand = x\n"
    )
    application = galaxy_options.application(text, "/galaxy.ini")
    assert (application.section, application.options) == ("app:galaxy", {"brand": "x"})
    assert [one.factory for one in application.filters] == ["egg:x"]
    assert galaxy_options.application("[app:main]\nuse = egg:y\n", "/galaxy.ini").factory == "egg:y"
    assert galaxy_options.application("", "/galaxy.ini").section == ""


def test_options_that_all_parts_read_alike_are_no_findings() -> None:
    text = f"[DEFAULT]\nport = 1\nbase = /srv\nset a = 1\n[app:main]\n{GALAXY}file_path = %(base)s/x\n[server:main]\nget p = port\n"
    assert findings(text) == []


def test_options_that_only_web_processes_read_are_named() -> None:
    text = f"[app:main]\nuse = galaxy\nbrand = x\n[app:galaxy]\n{GALAXY}brand = y\nlogo = z\nget w = here\n"
    assert findings(text) == [("error", 7, "app:galaxy", "logo"), ("error", 8, "app:galaxy", "w")]
    assert [severity for severity, *_rest in findings(text, "warning")] == ["warning"] * 2


def test_options_that_only_job_handlers_read_are_named() -> None:
    text = f"[DEFAULT]\nbrand = x\nfile_path = /x\n[app:main]\n{GALAXY}file_path = /y\n"
    assert findings(text) == [("warning", 2, "DEFAULT", "brand"), ("error", 3, "DEFAULT", "file_path")]


values = st.sampled_from(["1", "%(a)s", "%(here)s/x", "50%%", "50%", ""])
options = st.dictionaries(st.sampled_from(["a", "b", "set c", "get d", "use", "here"]), values)


@given(options, st.none() | options)
def test_handlers_get_what_their_own_reader_makes_of_the_file(
    default: dict[str, str], section: dict[str, str] | None
) -> None:
    sections: dict[str, Any] = {"DEFAULT": default} if section is None else {"DEFAULT": default, "app:main": section}
    text = "".join(
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in these.items())
        for name, these in sections.items()
    )
    with tempfile.NamedTemporaryFile("w+", suffix=".ini", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        # Galaxy reads the file with a parser like the one of Paste Deploy.
        parser = NicerConfigParser(file.name, defaults={"here": "/tmp", "__file__": file.name})
        parser.optionxform = str
        parser.read(file.name)
        expected = {}
        for name in {"here", "__file__", *default, *(section or {})}:
            try:
                expected[name] = parser.get("DEFAULT" if section is None else "app:main", name)
            except configparser.InterpolationError:
                continue
    assert paste_ini.handler_options(paste_ini.parse(text), file.name) == expected
