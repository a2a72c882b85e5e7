# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of job handlers: what Galaxy is told, what is watched, and the files."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.galaxyops.uwsgi.plugins.filter.plans import handlers_plan, plan_problems
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans import handlers

ROOT = Path(__file__).resolve().parents[4]
INPUTS: dict[str, Any] = {
    "assign_with": ["db-preassign"],
    "chdir": "/srv/galaxy/server",
    "config_file": "/srv/galaxy/config/job_conf.xml",
    "default": "",
    "drain_timeout": 600,
    "environment": {},
    "galaxy_config_file": "/srv/galaxy/config/galaxy.ini",
    "group": "galaxy",
    "instance": "galaxy",
    "mode": "static",
    "start_timeout": 300,
    "stop_timeout": 0,
    "supervisor_conf_dir": "/etc/supervisor/conf.d",
    "user": "galaxy",
    "virtualenv": "/srv/galaxy/venv",
    "watch": [],
    "handlers": 2,
    "manager": "systemd",
    "templates": "/templates",
}
YML = {"galaxy_config_file": "/srv/galaxy/config/galaxy.yml"}
WORKFLOWS = "/srv/galaxy/config/workflow_schedulers_conf.galaxy.xml"
SCHEDULER = [{"id": "w0", "workflow_scheduler": True}]


def runner(name: str, load: str = "galaxy.jobs.runners.slurm:SlurmJobRunner", ends: bool = False) -> dict[str, Any]:
    return {"id": name, "load": load, "ends_with_handler": ends}


def options(**values: Any) -> dict[str, Any]:
    """What a host has in [app:main]."""
    return {"checked": {"options": {"app:main": values}}}


def plan(found: dict[str, Any] | None = None, **changes: Any) -> handlers.Plan:
    return handlers.plan({**INPUTS, **changes}, found or {})


def control(found: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """The configuration of the command."""
    made: dict[str, Any] = json.loads(plan(found, **changes).configuration)
    return made


def files(made: handlers.Plan) -> dict[str, dict[str, Any]]:
    """What there is, by its path."""
    entries = (*made.configuration_files, *made.definition_files)
    return {entry["path"]: entry for entry in entries if entry.get("state") != "absent"}


def test_role_hands_over_what_the_plan_needs() -> None:
    role = yaml.safe_load((ROOT / "roles/job_handlers/vars/main.yml").read_text())
    assert (
        list(role["__job_handlers_inputs"])
        == [field.name for field in dataclasses.fields(handlers.Inputs)]
        == list(INPUTS)
    )


@pytest.mark.parametrize(
    ("changes", "found", "wanted", "changed"),
    [
        ({}, {}, {"job_config_file": INPUTS["config_file"]}, True),
        (
            {},
            options(job_config_file=INPUTS["config_file"], brand="x"),
            {"job_config_file": INPUTS["config_file"]},
            False,
        ),
        # Of an earlier run with schedulers
        (
            {},
            options(job_config_file=INPUTS["config_file"], workflow_schedulers_config_file=WORKFLOWS),
            {"job_config_file": INPUTS["config_file"], "workflow_schedulers_config_file": None},
            True,
        ),
        (
            {},
            options(job_config_file=INPUTS["config_file"], workflow_schedulers_config_file="/etc/other.xml"),
            {"job_config_file": INPUTS["config_file"]},
            False,
        ),
        (
            {"handlers": SCHEDULER},
            {},
            {"job_config_file": INPUTS["config_file"], "workflow_schedulers_config_file": WORKFLOWS},
            True,
        ),
        (YML, {"on_host": {"job_config_file": INPUTS["config_file"]}}, {}, False),
        (YML, {"on_host": {"job_config_file": "/other.yml"}}, {"job_config_file": INPUTS["config_file"]}, True),
    ],
)
def test_galaxy_is_told_where_its_handlers_are(
    changes: dict[str, Any], found: dict[str, Any], wanted: dict[str, Any], changed: bool
) -> None:
    made = plan(found, **changes)
    assert (made.app_changes, made.changes_app) == (wanted, changed)
    assert made.app_options == {name: value for name, value in wanted.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "found", "seconds"),
    [
        ({}, {}, 30 * 3 + 30),
        ({}, {"registered": {"runners": [runner("a"), runner("b")]}}, 30 * 7 + 30),
        ({}, options(monitor_thread_join_timeout="7"), 7 * 3 + 30),
        ({}, options(monitor_thread_join_timeout="soon"), 30),
        ({"stop_timeout": "45"}, options(monitor_thread_join_timeout="7"), 45),
    ],
)
def test_handler_may_stop_for_as_long_as_galaxy_waits_for_its_threads(
    changes: dict[str, Any], found: dict[str, Any], seconds: int
) -> None:
    assert plan(found, **changes).stop_seconds == control(found, **changes)["stop_timeout"] == seconds


def test_runners_are_those_that_were_registered_or_those_of_an_inline_configuration() -> None:
    durable = runner("local", handlers.DURABLE_RUNNER)
    inline = {"checked": {"job_config": {"inline": True, "runners": [runner("own", ends=True)]}}}
    made = plan({**inline, "registered": {"skipped": True}})
    assert (made.is_inline, made.ending_runners, made.has_durable) == (True, ["own"], False)
    made = plan({**inline, "registered": {"runners": [durable]}})
    assert (made.runners, made.ending_runners, made.has_durable) == ([durable], [], True)
    assert plan().runners == []


def test_every_handler_has_a_unit_that_starts_at_boot() -> None:
    made = plan(handlers=[{"id": "a"}, *SCHEDULER, {"id": "b", "tags": ["x"]}])
    assert json.loads(made.configuration)["boot_units"] == [
        f"galaxy-handler@{name}.service" for name in ("a", "w0", "b")
    ]
    assert [handler["id"] for handler in made.of_jobs] == ["a", "b"]
    assert made.schedulers == ["w0"]
    assert control(mode="mules")["handlers"] == {}
    assert control(manager="supervisor")["boot_units"] == []


def test_environments_of_single_handlers_are_in_a_file_of_their_own() -> None:
    path = "/etc/galaxy/handlers-environments.json"
    made = plan(handlers=[{"id": "a", "environment": {"TOKEN": "geheim", "A": 1}}, {"id": "b"}], environment={"A": 2})
    assert json.loads(files(made)[path]["content"]) == {"a": {"TOKEN": "geheim", "A": 1}}
    assert (files(made)[path]["sensitive"], files(made)[path]["mode"]) == (True, "0640")
    assert made.variables == ["A", "TOKEN"]
    assert path not in files(plan())
    assert "geheim" not in made.configuration


@pytest.mark.parametrize("manager", ["systemd", "supervisor"])
@pytest.mark.parametrize("changes", [{}, YML, {"handlers": SCHEDULER}])
def test_everything_of_the_configuration_is_watched_or_kept(manager: str, changes: dict[str, Any]) -> None:
    made = plan(manager=manager, **changes)
    config = json.loads(made.configuration)
    watched = {entry["path"] for entry in config["watch"]} | set(config["kept"])
    written = {path for path, entry in files(made).items() if entry.get("state", "file") == "file"}
    # All handlers stand in one file for supervisor: there a change of it is none of a handler.
    programs = {"/etc/supervisor/conf.d/galaxy-handlers.conf"} if manager == "supervisor" else set()
    assert written - watched == {"/etc/galaxy/handlers.json"} | programs
    assert {INPUTS["config_file"], made_config(changes)} <= watched


def made_config(changes: dict[str, Any]) -> str:
    found: str = changes.get("galaxy_config_file", INPUTS["galaxy_config_file"])
    return found


def test_what_other_programs_read_is_no_reason_to_restart_a_handler() -> None:
    assert control()["watch"][0] == {"path": INPUTS["galaxy_config_file"], "without_section": "uwsgi"}
    assert control(**YML)["watch"][0] == {"path": YML["galaxy_config_file"], "without_keys": ["gravity", "uwsgi"]}


def test_ids_of_before_are_all_known() -> None:
    assert plan(
        handlers=[{"id": "a", "previous_ids": ["b", "c"]}, {"id": "d", "previous_ids": ["e"]}]
    ).previous_ids == ["b", "c", "e"]


def test_value_of_another_type_is_named() -> None:
    assert plan_problems({**INPUTS, "drain_timeout": "long"}, "handlers") == [
        "job_handlers_drain_timeout is 'long': write a whole number"
    ]
    assert plan_problems(INPUTS, "handlers") == []
    assert handlers_plan(INPUTS, {})["stop_seconds"] == 120


def test_configuration_that_no_host_can_read_is_named() -> None:
    """Preflight refuses such a handler, and a plan may be made without preflight."""
    with pytest.raises(AnsibleFilterError) as problem:
        handlers_plan({**INPUTS, "handlers": [{"id": "a", "tags": [7]}]}, {})
    assert str(problem.value) == "the configuration of handlers is wrong: handlers.a.tags[0] is 7 (int), not text"


def test_date_in_the_environment_of_a_handler_is_text() -> None:
    """YAML makes one of C(2024-01-01)."""
    environment = {"SINCE": datetime.date(2024, 1, 1), "AT": datetime.datetime(2024, 1, 1, 5)}
    made = plan(handlers=[{"id": "a", "environment": environment}])
    contents = {Path(entry["path"]).name: entry.get("content") for entry in made.configuration_files}
    assert json.loads(contents["handlers-environments.json"]) == {"a": {"AT": "2024-01-01T05:00:00", "SINCE": "2024-01-01"}}


@pytest.mark.parametrize(("written", "seconds"), [("4.5", 42), ("45.0", 165), ("soon", 30), ("inf", 30)])
def test_time_that_galaxy_gives_its_threads_may_have_decimals(written: str, seconds: int) -> None:
    assert control(options(monitor_thread_join_timeout=written), stop_timeout=0)["stop_timeout"] == seconds


def test_empty_text_is_an_empty_list() -> None:
    empty, nothing = (control(assign_with=written)["handlers"]["handler0"] for written in ("", []))
    assert empty["assign_with"] == nothing["assign_with"]
