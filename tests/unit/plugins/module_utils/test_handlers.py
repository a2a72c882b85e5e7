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
    assert _handlers.expand([{"id": "a", "tags": ["x"]}]) == [
        {"id": "a", "tags": ["x"], "plugins": [], "environment": {}, "workflow_scheduler": False, "previous_ids": []}
    ]


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
        ([{"id": "a", "environment": ["SECRET=x"]}], "environment is a list: write names and values"),
        ([{"id": "a", "environment": {"A-B": 1}}], "environment has 'A-B', which is not the name"),
        ([{"id": "a", "environment": {"A": None}}], "environment.A is a NoneType: write text or a number"),
        ([{"id": "a", "previous_ids": "main"}], "job_handlers[0].previous_ids is 'main': write a list of names, such as [main]"),
        ([{"id": "a", "previous_ids": ["a"]}], "a has the previous id 'a', which a has"),
        ([{"id": "a", "previous_ids": ["b"]}, {"id": "b"}], "a has the previous id 'b', which b has"),
        ([{"id": "a", "previous_ids": ["x"]}, {"id": "b", "previous_ids": ["x"]}], "b has the previous id 'x', which a has"),
        ([{"id": "a", "workflow_scheduler": "yes"}], "workflow_scheduler is 'yes': write true or false"),
        ([{"id": "a", "workflow_scheduler": True, "tags": ["x"]}], "which takes no jobs: remove its tags"),
    ],
)
def test_bad_handlers_are_named_with_the_remedy(handlers: Any, part: str) -> None:
    (problem,) = _handlers.problems(handlers)
    assert part in problem


def test_what_may_be_secret_is_in_no_message() -> None:
    assert "hunter2" not in str(_handlers.problems([{"id": "a", "environment": {"A-B": "hunter2", "C": ["hunter2"]}}]))


@pytest.mark.parametrize(
    ("handlers", "mode", "part"),
    [
        ([{"id": "a", "plugins": ["slurm"]}], "dynamic", "a has plugins, which Galaxy reads for registered handlers only"),
        ([{"id": "a", "plugins": ["slurm"]}], "mules", "set job_handlers_mode to static"),
        ([{"id": "a"}, {"id": "b", "tags": ["a"]}], "dynamic", "b has the tag 'a', which is also the id of a handler"),
        ([{"id": "a", "environment": {"A": 1}}], "mules", "a has environment, workflow_scheduler or previous_ids, which a mule of uWSGI cannot have"),
        ([{"id": "a", "tags": ["x", "y"]}], "mules", "a has 2 tags, and a mule of uWSGI can have one"),
    ],
)
def test_not_every_handler_can_become_known_in_every_way(handlers: Any, mode: str, part: str) -> None:
    (problem,) = _handlers.problems(handlers, mode)
    assert part in problem


@pytest.mark.parametrize(
    ("handlers", "assign_with", "count"),
    [
        (0, ["db-preassign"], 1),
        ([{"id": "w", "workflow_scheduler": True}], ["db-skip-locked"], 1),
        (0, ["mem-self"], 0),
        ([{"id": "a"}, {"id": "w", "workflow_scheduler": True}], ["db-preassign"], 0),
    ],
)
def test_somebody_has_to_run_the_jobs(handlers: Any, assign_with: list[str], count: int) -> None:
    assert len(_handlers.problems(handlers, "static", assign_with)) == count


def test_a_job_configuration_gets_neither_secrets_nor_schedulers() -> None:
    handlers = [{"id": "a", "tags": ["x"], "environment": {"TOKEN": "secret"}}, {"id": "w", "workflow_scheduler": True}]
    assert _handlers.configured(handlers) == [{"id": "a", "tags": ["x"], "plugins": []}]


ASSIGNMENT = {"assign_with": ["db-skip-locked"], "default": "x"}


def test_registered_handlers_have_settings_of_their_own() -> None:
    handlers = [{"id": "a", "tags": ["x"], "environment": {"TOKEN": "secret"}}, {"id": "w", "workflow_scheduler": True, "environment": {"TOKEN": "secret"}}]
    assert _handlers.processes(handlers, "static", ASSIGNMENT) == {
        "a": {"id": "a", "tags": ["x"], "plugins": [], **ASSIGNMENT},
        "w": {"id": "w", "workflow_scheduler": True},
    }


def test_a_process_knows_the_previous_ids_of_its_handler() -> None:
    handlers = [{"id": "a", "previous_ids": ["main"]}, {"id": "w", "workflow_scheduler": True, "previous_ids": ["main.w"]}, {"id": "b"}]
    found = _handlers.processes(handlers, "static", ASSIGNMENT)
    assert {name: settings.get("previous_ids") for name, settings in found.items()} == {"a": ["main"], "w": ["main.w"], "b": None}
    assert _handlers.configured(handlers)[0] == {"id": "a", "tags": [], "plugins": []}


def test_dynamic_handlers_attach_to_a_pool_for_each_tag() -> None:
    found = _handlers.processes([{"id": "a"}, {"id": "b", "tags": ["x", "y"]}], "dynamic", ASSIGNMENT)
    assert [settings["pools"] for settings in found.values()] == [["job-handlers"], ["job-handlers.x", "job-handlers.y"]]


def test_mules_have_no_processes_of_their_own() -> None:
    assert _handlers.processes(2, "mules", ASSIGNMENT) == {}
    assert _handlers.mules(2) == ["--mule=lib/galaxy/main.py", "--mule=lib/galaxy/main.py", "--farm=job-handlers:1,2"]
    assert _handlers.mules([{"id": "a"}, {"id": "b", "tags": ["x"]}, {"id": "c"}])[3:] == ["--farm=job-handlers:1,3", "--farm=job-handlers.x:2", "--locks=1"]
    assert _handlers.mules(0) == []


def test_filters_are_the_functions() -> None:
    filters = FilterModule().filters()
    assert filters["configured_handlers"](1)[0]["id"] == "handler0"
    assert filters["handler_problems"](1) == []
