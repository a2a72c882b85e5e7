# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the filter input_problems."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.filter.input_problems import input_problems

PORT = {"range": [1, 65535]}
PATH = {"match": "/[a-z/]*$"}
NAMES = {"each": "[a-z]+$"}


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (PORT, 1),
        (PORT, 65535),
        (PORT, "80"),
        (PORT, "2.0"),
        ({"range": [0, None]}, 10**9),
        ({"range": [None, 5]}, -3),
        (PATH, "/a/b"),
        ({**PATH, "optional": True}, ""),
        ({"range": [512, None], "optional": True}, 0),
        (NAMES, []),
        (NAMES, ["a", "b"]),
        ({"holds": True}, "x"),
        ({"holds": "True"}, "x"),
    ],
)
def test_what_is_right_is_no_problem(check: dict[str, Any], value: Any) -> None:
    assert input_problems([{"name": "x", "value": value, "remedy": "write y", **check}]) == []


def test_a_text_is_no_list() -> None:
    assert input_problems([{"name": "x", "value": "localhost", "remedy": "write y", **NAMES}]) == ["x is 'localhost': write a list"]


@pytest.mark.parametrize(
    ("check", "value", "said"),
    [
        (PORT, 0, "x is 0"),
        (PORT, 65536, "x is 65536"),
        (PORT, "two", "x is 'two'"),
        (PORT, None, "x is None"),
        ({"range": [0, None]}, -1, "x is -1"),
        (PATH, "a", "x is 'a'"),
        (PATH, "", "x is ''"),
        ({**PATH, "optional": True}, "/A", "x is '/A'"),
        ({"match": "[0-9]+[km]?$"}, "10g", "x is '10g'"),
        (NAMES, ["a", "B", "C"], "x contains 'B'"),
        ({"holds": False}, ["a"], "x is ['a']"),
        ({"holds": "False"}, "a", "x is 'a'"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_write_instead(check: dict[str, Any], value: Any, said: str) -> None:
    assert input_problems([{"name": "x", "value": value, "remedy": "write y", **check}]) == [f"{said}: write y"]


def test_all_that_is_wrong_is_said_at_once_and_in_order() -> None:
    checks = [
        {"name": "b", "value": 0, **PORT, "remedy": "write 80"},
        {"name": "c", "holds": True},
        {"name": "a", "holds": False, "message": "a and b are both 0"},
    ]
    assert input_problems(checks) == ["b is 0: write 80", "a and b are both 0"]
