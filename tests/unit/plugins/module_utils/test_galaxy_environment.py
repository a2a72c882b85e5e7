# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the options that Galaxy takes from its environment."""

from __future__ import annotations

from typing import Optional

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy_yml as galaxy_yml
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._galaxy_environment import (
    finding_of,
    in_environment,
    option_of,
    variable_of,
)

TEXT = "galaxy:\n  brand: file\n  job_config: {runners: {}}\n"


def values(variables: dict[str, Optional[str]]) -> dict[str, str]:
    found = galaxy_yml.read(TEXT, "/galaxy.yml")
    return dict(in_environment(found.application, variables, found.nested).values)


def test_an_override_stands_against_the_file_and_another_variable_does_not() -> None:
    assert values({"GALAXY_CONFIG_BRAND": "environment", "GALAXY_CONFIG_LOGO_URL": "/x"}) == {
        "brand": "file",
        "logo_url": "/x",
    }
    assert values({"GALAXY_CONFIG_OVERRIDE_BRAND": "over"}) == {"brand": "over"}
    for order in (1, -1):
        both = {"GALAXY_CONFIG_OVERRIDE_LOGO_URL": "/over", "GALAXY_CONFIG_LOGO_URL": "/x"}
        assert values(dict(list(both.items())[::order]))["logo_url"] == "/over"


def test_a_nested_option_of_the_file_stands_against_a_variable() -> None:
    assert values({"GALAXY_CONFIG_JOB_CONFIG": "x"}) == {"brand": "file"}
    assert values({"GALAXY_CONFIG_OVERRIDE_JOB_CONFIG": "x"}) == {"brand": "file", "job_config": "x"}


def test_variables_of_others_are_none_of_galaxys() -> None:
    assert values({"BRAND": "x", "GALAXY_BRAND": "x", "galaxy_config_brand": "x", "GALAXY_CONFIG_": "x"}) == {
        "brand": "file"
    }
    assert option_of("GALAXY_CONFIG_OVERRIDE_") == ("", True)


def test_of_a_variable_whose_value_nobody_knows_the_option_is_unknown() -> None:
    found = galaxy_yml.read(TEXT, "/galaxy.yml")
    application = in_environment(found.application, {"GALAXY_CONFIG_OVERRIDE_BRAND": None, "GALAXY_CONFIG_X": None})
    assert (application.values, application.unreadable) == ({}, {"brand", "x"})


def test_a_finding_about_an_option_is_one_about_its_variable() -> None:
    found = galaxy_yml.read(TEXT, "/galaxy.yml")
    application = in_environment(found.application, {"GALAXY_CONFIG_OVERRIDE_X": "1"})
    assert (variable_of(application, "x"), variable_of(application, "brand"), variable_of(application, "y")) == (
        "GALAXY_CONFIG_OVERRIDE_X",
        "",
        "",
    )
    finding = Finding("/galaxy.yml", 3, "error", "it is bad: remove the line", "galaxy", "x")
    assert str(finding_of(finding, "GALAXY_CONFIG_OVERRIDE_X")) == (
        "GALAXY_CONFIG_OVERRIDE_X: it is bad: remove the variable"
    )


options = st.sampled_from(["BRAND", "LOGO_URL", "X"])
variables = st.dictionaries(
    st.builds(str.__add__, st.sampled_from(["GALAXY_CONFIG_", "GALAXY_CONFIG_OVERRIDE_", "GALAXY_"]), options),
    st.sampled_from(["a", "b", ""]),
)


@given(st.dictionaries(st.sampled_from(["brand", "logo_url"]), st.sampled_from(["c", "d"])), variables)
def test_variables_count_as_galaxy_counts_them(file: dict[str, str], environment: dict[str, str]) -> None:
    text = "galaxy:\n" + "".join(f"  {name}: {value}\n" for name, value in file.items())
    application = in_environment(galaxy_yml.read(text, "/galaxy.yml").application, dict(environment))
    for name in ("brand", "logo_url", "x"):
        expected = environment.get(
            f"GALAXY_CONFIG_OVERRIDE_{name.upper()}", file.get(name, environment.get(f"GALAXY_CONFIG_{name.upper()}"))
        )
        assert application.values.get(name) == expected
