# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of web processes: options of uWSGI, what is watched, and the files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.galaxyops.uwsgi.plugins.filter.plans import plan_problems, web_plan
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans import web
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans.web_options import is_lazy
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans.web_values import Inputs

ROOT = Path(__file__).resolve().parents[4]
INPUTS: dict[str, Any] = {
    "allow_interruption": False,
    "chdir": "/srv/galaxy/server",
    "config_file": "/srv/galaxy/config/galaxy.ini",
    "config_format": "paste",
    "environment": {},
    "group": "galaxy",
    "handover": "overlap",
    "hardening": True,
    "health_path": "/api/version",
    "health_status": [200],
    "http_address": "",
    "install_method": "wheel",
    "instance": "galaxy",
    "job_config_file": "/srv/galaxy/config/job_conf.xml",
    "listen": "unix",
    "listen_address": "",
    "log_dir": "",
    "max_requests": 0,
    "options": {},
    "package": "pyuwsgi>=2.0.29,<2.1",
    "paste_app": "main",
    "processes": 2,
    "processes_min": 2,
    "socket_group": "galaxyops-nginx",
    "start_timeout": 600,
    "stop_timeout": 90,
    "supervisor_conf_dir": "/etc/supervisor/conf.d",
    "threads": 4,
    "user": "galaxy",
    "virtualenv": "/srv/galaxy/venv",
    "watch": [],
    "manager": "systemd",
    "debian": "12",
    "templates": "/templates",
    "handlers": 2,
    "handlers_mode": "static",
    "handlers_state": "present",
    "handlers_assign_with": ["db-preassign"],
}
YML = {"config_file": "/srv/galaxy/config/galaxy.yml"}


def plan(found: dict[str, Any] | None = None, **changes: Any) -> web.Plan:
    return web.plan({**INPUTS, **changes}, found or {})


def control(**changes: Any) -> dict[str, Any]:
    """The configuration of the command."""
    made: dict[str, Any] = json.loads(plan(**changes).configuration)
    return made


def files(made: web.Plan) -> dict[str, dict[str, Any]]:
    """What there is, by its path."""
    entries = (*made.configuration_files, *made.definition_files)
    return {entry["path"]: entry for entry in entries if entry.get("state") != "absent"}


def test_role_hands_over_what_the_plan_needs() -> None:
    role = yaml.safe_load((ROOT / "roles/uwsgi/vars/main.yml").read_text())
    assert list(role["__uwsgi_inputs"]) == [field.name for field in dataclasses.fields(Inputs)] == list(INPUTS)


@pytest.mark.parametrize(
    ("version", "lazy"),
    [("", True), ("20.5.0", False), ("22.01", False), ("22.05", True), ("26.0", True), ("26.1.2", False)],
)
def test_application_is_loaded_once_where_that_is_known_to_work(version: str, lazy: bool) -> None:
    assert is_lazy(version) is lazy
    assert plan({"galaxy_version": version}).options["lazy-apps"] is lazy


def test_options_of_the_user_come_last_and_null_takes_one_away() -> None:
    made = plan(options={"threads": 8, "thunder-lock": None, "own": "x"})
    assert (made.options["threads"], made.options["own"], "thunder-lock" in made.options) == (8, "x", False)
    assert list(made.section)[:3] == ["master", "processes", "threads"]


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, {}),
        ({"processes": "8", "processes_min": "2"}, {"cheaper": 2}),
        ({"max_requests": 1000}, {"max-requests": 1000, "max-requests-delta": 500}),
        ({"max_requests": 1}, {"max-requests": 1, "max-requests-delta": 1}),
        ({"max_requests": 9, "install_method": "distribution"}, {"max-requests": 9}),
    ],
)
def test_workers_that_come_and_go(changes: dict[str, Any], options: dict[str, int]) -> None:
    made = plan(**changes).options
    assert {name: made[name] for name in ("cheaper", "max-requests", "max-requests-delta") if name in made} == options


def test_mules_are_for_slots_and_need_the_older_way_to_fork() -> None:
    made = plan(handlers_mode="mules", handlers=1)
    assert json.loads(made.configuration)["slot_argv"] == ["--mule=lib/galaxy/main.py", "--farm=job-handlers:1"]
    assert (made.options["py-call-osafterfork"], "py-call-uwsgi-fork-hooks" in made.options) == (True, False)
    assert control(handlers_mode="mules", handlers_state="absent")["slot_argv"] == []


@pytest.mark.parametrize(
    ("changes", "checked", "filters"),
    [
        ({}, {}, True),
        ({"hardening": "no"}, {}, False),
        ({}, {"system_call_filter": False}, False),
        ({"handlers_mode": "mules"}, {}, False),
        ({"handlers_assign_with": ["mem-self"]}, {}, False),
        ({"handlers_assign_with": ["db-self"], "handlers_state": "absent"}, {}, True),
    ],
)
def test_system_calls_are_filtered_where_no_jobs_run(
    changes: dict[str, Any], checked: dict[str, Any], filters: bool
) -> None:
    assert plan({"checked": checked}, **changes).filters_system_calls is filters


@pytest.mark.parametrize(
    ("changes", "reach"),
    [
        ({}, "proxy"),
        ({"listen": "tcp", "listen_address": "127.0.0.1:4001"}, "host"),
        ({"http_address": "[::1]:8080"}, "host"),
        ({"http_address": "127.0.0.1:8080", "listen": "tcp", "listen_address": "127.0.0.1:4001"}, "host"),
        ({"listen": "http", "listen_address": ":8080"}, "network"),
        ({"listen": "http", "listen_address": "10.0.0.1:8080", "http_address": "127.0.0.1:8080"}, "network"),
    ],
)
def test_reach(changes: dict[str, Any], reach: str) -> None:
    made = plan(**changes)
    assert made.reach == reach
    units = [socket.unit for socket in made.sockets]
    assert json.loads(made.configuration)["boot_units"] == [*units, "galaxy-web.service"]
    assert {f"/etc/systemd/system/{unit}" for unit in units} <= set(files(made))


def test_what_was_found_counts_for_the_inputs_that_it_was_found_for() -> None:
    found = {"checked": {"changing": [], "satisfies": True, "seen": ["/srv/galaxy/venv", "/etc/group"]}}
    found["checked"]["inputs"] = plan().inputs
    made = plan(found)
    assert (made.changing, made.is_installed, made.seen) == ([], True, ["/srv/galaxy/venv", "/etc/group"])
    changed: list[dict[str, Any]] = [
        {"virtualenv": "/x"},
        {"options": {"a": "b"}},
        {"package": "uwsgi"},
        {"config_format": "ini"},
    ]
    for changes in changed:
        made = plan(found, **changes)
        assert (made.changing, made.is_installed, made.seen) == (["uwsgi"], False, [])


@pytest.mark.parametrize(
    ("new", "seen", "installed"), [(False, [], True), (True, [], False), (True, ["/srv/galaxy/venv"], True)]
)
def test_new_virtualenv_has_nothing_yet(new: bool, seen: list[str], installed: bool) -> None:
    found = {"checked": {"inputs": plan().inputs, "satisfies": True, "seen": seen}, "has_new_virtualenv": new}
    assert plan(found).is_installed is installed


@pytest.mark.parametrize(
    ("changes", "host", "package", "others"),
    [
        ({}, ["python3-venv"], "pyuwsgi>=2.0.29,<2.1", ["uwsgi"]),
        ({"log_dir": "/var/log/galaxy"}, ["python3-venv", "logrotate"], "pyuwsgi>=2.0.29,<2.1", ["uwsgi"]),
        ({"package": "https://example.org/x.whl"}, ["python3-venv"], "https://example.org/x.whl", []),
        (
            {"install_method": "distribution", "package": "uwsgi-core"},
            ["python3-venv", "uwsgi-core", "uwsgi-plugin-python3"],
            "uwsgidecorators>=1.1,<2",
            ["pyuwsgi", "uwsgi"],
        ),
    ],
)
def test_packages(changes: dict[str, Any], host: list[str], package: str, others: list[str]) -> None:
    made = plan({"packages": ["pyuwsgi", "uwsgi"]}, **changes)
    assert (made.host_packages, made.package, made.other_packages) == (host, package, others)


def test_source_is_built_with_the_regular_expressions_that_the_release_has() -> None:
    for debian, library in (("11", "libpcre3-dev"), ("12", "libpcre2-dev"), ("13", "libpcre2-dev")):
        packages = plan(install_method="source", package="uWSGI", debian=debian).host_packages
        assert [name for name in packages if "pcre" in name] == [library]


@pytest.mark.parametrize("manager", ["systemd", "supervisor"])
def test_everything_of_the_configuration_is_watched(manager: str) -> None:
    for form in ("paste", "ini", "yaml", "json", "xml", "command_line", "environment", "emperor"):
        for changes in ({}, YML):
            made = plan(config_format=form, manager=manager, options={"static-map": ["/a=/b", "/c=/d"]}, **changes)
            config = json.loads(made.configuration)
            watched = {entry["path"] for entry in config["watch"]}
            written = {path for path, entry in files(made).items() if entry.get("state", "file") == "file"}
            # A unit that starts another one is no reason to replace a process, and neither is what the command itself reads.
            units = {"/etc/systemd/system/galaxy-web.service", "/etc/systemd/system/galaxy-web.socket"}
            assert written - watched == {"/etc/galaxy/web.json"} | (units if manager == "systemd" else set())
            assert changes.get("config_file", INPUTS["config_file"]) in watched


def test_galaxy_yml_is_named_and_other_programs_may_change_their_part_of_it() -> None:
    made = plan(**YML)
    assert (made.section, made.options_file) == ({}, "/etc/galaxy/paste.ini")
    assert control(**YML)["watch"][0] == {"path": YML["config_file"], "without_keys": ["gravity", "uwsgi"]}
    assert 'GALAXY_CONFIG_FILE="/srv/galaxy/config/galaxy.yml"' in files(made)["/etc/galaxy/web.env"]["content"]


def test_environment_of_the_user_comes_last() -> None:
    made = plan(
        config_format="environment", install_method="distribution", environment={"UWSGI_THREADS": 9, "B": 'a "b"'}
    )
    text = files(made)["/etc/galaxy/web.env"]["content"]
    assert text.startswith('UWSGI_PLUGINS="python3"\n')
    assert 'UWSGI_THREADS="9"\n' in text and 'B="a \\"b\\""\n' in text


def test_log_files_are_one_service_and_one_rotation() -> None:
    paths = {"/etc/systemd/system/galaxy-log.service", "/etc/logrotate.d/galaxy-log"}
    assert paths <= set(files(plan(log_dir="/var/log/galaxy")))
    assert not paths & set(files(plan()))


def test_supervisor_has_its_programs_and_no_units() -> None:
    made = plan(manager="supervisor")
    assert [entry["path"] for entry in made.definition_files] == ["/etc/supervisor/conf.d/galaxy-web.conf"]
    assert control(manager="supervisor")["boot_units"] == ["galaxy-web-pool"]
    assert control(manager="supervisor")["definitions"] == control()["definitions"]


def test_numbers_are_numbers_whatever_a_command_line_makes_of_them() -> None:
    made = control(start_timeout="60", stop_timeout="30", health_status=["200", 302], allow_interruption="yes")
    assert made["health"] == {"host": "localhost", "path": "/api/version", "status": [200, 302], "timeout": 60}
    assert (made["stop_timeout"], made["allow_interruption"]) == (30, True)


@pytest.mark.parametrize(
    ("given", "status"), [(200, [200]), ("200", [200]), ("200,302", [200, 302]), ([200, "302"], [200, 302])]
)
def test_list_may_be_one_item_or_text_as_the_argument_specification_has_it(given: Any, status: list[int]) -> None:
    assert control(health_status=given)["health"]["status"] == status


def test_path_that_looks_like_a_number_is_text() -> None:
    assert control(watch=[1])["code"] == ["1"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"processes": "two"}, "uwsgi_processes is 'two': write a whole number"),
        ({"watch": {"/srv": 1}}, "uwsgi_watch is {'/srv': 1}: write a list"),
        ({"environment": ["A=b"]}, "uwsgi_environment is ['A=b']: write a dictionary"),
        ({"handover": "never"}, "uwsgi_handover is 'never': write overlap or in_place"),
        ({"health_status": ["fine"]}, "uwsgi_health_status contains 'fine': write a whole number"),
    ],
)
def test_value_of_another_type_is_named(changes: dict[str, Any], said: str) -> None:
    assert plan_problems({**INPUTS, **changes}, "web") == [said]
    with pytest.raises(AnsibleFilterError) as problem:
        web_plan({**INPUTS, **changes}, {})
    assert str(problem.value) == said


def test_inputs_that_are_right_have_no_problem() -> None:
    assert plan_problems(INPUTS, "web") == []
    assert web_plan(INPUTS, {})["reach"] == "proxy"
