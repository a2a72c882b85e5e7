# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment variables are written as systemd reads them, which is as a shell does."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans.environment import environment_file
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans.inputs import PlanError


def read_back(text: str, name: str) -> str:
    """What a shell, which quotes the same characters as systemd, finds in the file."""
    script = f'eval "$1"; printf %s. "${name}"'
    return subprocess.run(["sh", "-c", script, "sh", text], capture_output=True, check=True).stdout.decode()[:-1]


@pytest.mark.parametrize(
    "value",
    [
        "", "galaxy", "two words", " edges ", "two\nlines", "Zürich", "it's", 'say "word"',
        "pa$$ ${HOME} $(id) `id`", "back\\slash\\", "50%", "# no comment", "a=b;c",
    ],
)
def test_a_value_comes_back_as_it_was_given(value: str) -> None:
    assert read_back(environment_file({"NAME": value}), "NAME") == value


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
@settings(max_examples=50)
def test_any_value_comes_back(value: str) -> None:
    assert read_back(environment_file({"NAME": value}), "NAME") == value


def test_one_line_for_each_variable_in_their_order() -> None:
    assert environment_file({"B": 1, "A": "x"}) == 'B="1"\nA="x"\n'
    assert environment_file({}) == ""


@pytest.mark.parametrize("name", ["", "a b", "1ST", "A-B", "A=B", "Ä", "A\n"])
def test_a_name_that_no_shell_knows_is_refused(name: str) -> None:
    with pytest.raises(PlanError, match="is not the name of an environment variable: use letters, digits and '_'"):
        environment_file({name: "x"})
