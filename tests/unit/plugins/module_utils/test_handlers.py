"""The model of job handlers: what a number or a list stands for, and every mistake it names."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.filter.handlers import FilterModule
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _handlers


def test_a_number_stands_for_numbered_handlers() -> None:
    assert [handler["id"] for handler in _handlers.expand("2")] == ["handler0", "handler1"]
    assert _handlers.expand(0) == []


def test_a_list_is_completed() -> None:
    assert _handlers.expand([{"id": "a", "tags": ["x"]}]) == [{"id": "a", "tags": ["x"], "plugins": []}]


@pytest.mark.parametrize("handlers", [0, 2, "3", [], [{"id": "a"}, {"id": "b.c-d_1", "tags": ["x"], "plugins": ["slurm"]}]])
def test_good_handlers_pass(handlers: Any) -> None:
    assert _handlers.problems(handlers) == []


@pytest.mark.parametrize(
    ("handlers", "part"),
    [
        (-1, "job_handlers is -1: write a number"),
        ("two", "'two'"),
        (1001, "from 0 to 1000"),
        (True, "True"),
        (None, "None"),
        (1.5, "1.5"),
        (["handler0"], "has no id"),
        ([{"tags": ["x"]}], "has no id"),
        ([{"id": "a b"}], "job_handlers[0].id is 'a b'"),
        ([{"id": ""}], "use letters"),
        ([{"id": 7}], "job_handlers[0].id is 7"),
        ([{"id": "a"}, {"id": "a"}], "job_handlers[1].id is 'a', which stands in the list twice"),
        ([{"id": "a", "tag": "x"}], "has tag: a handler has"),
        ([{"id": "a", "tags": "x"}], "job_handlers[0].tags is 'x'"),
        ([{"id": "a", "plugins": [1]}], "write a list of names"),
    ],
)
def test_bad_handlers_are_named_with_the_remedy(handlers: Any, part: str) -> None:
    (problem,) = _handlers.problems(handlers)
    assert part in problem


def test_filters_are_the_functions() -> None:
    filters = FilterModule().filters()
    assert filters["expand_handlers"](1)[0]["id"] == "handler0"
    assert filters["handler_problems"](1) == []
