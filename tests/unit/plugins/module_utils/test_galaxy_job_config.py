# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of where a Galaxy reads its job configuration, and of one that stands inside of galaxy.yml."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest
import yaml

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy_job_config as job_config
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy_yml as galaxy_yml
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_ini as paste_ini
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._galaxy import Galaxy, parse_version
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._galaxy_environment import in_environment
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._job_conf import Handler, Handling

PATH = "/srv/galaxy/config/galaxy.yml"
NEWEST = Galaxy(parse_version("26.1"), "postgresql")

# The job configuration begins in line 3.
GOOD = """\
galaxy:
  brand: x
  job_config:
    runners:
      local: {load: 'galaxy.jobs.runners.local:LocalJobRunner', workers: 2}
    handling:
      assign: [db-skip-locked]
    execution:
      default: local
      environments:
        local: {runner: local}
"""
TWO = (Handler("handler0"), Handler("cluster0", ("cluster",)))


def located(
    text: str, path: str = PATH, server_dir: str = "", variables: Optional[dict[str, Any]] = None
) -> job_config.JobConfig:
    yml = galaxy_yml.read(text, path)
    assert yml.problem is None
    return job_config.locate(
        in_environment(yml.application, variables or {}, yml.nested), path, server_dir, yml.nested, yml.nodes
    )


def checked(text: str, wanted: Optional[Handling] = None, attached: tuple[Handler, ...] = (), **how: Any) -> list[str]:
    found = located(text)
    how = {"version": NEWEST, "mode": "dynamic", **how}
    return [str(finding) for finding in job_config.check_inline(found, wanted, attached, **how)[0]]


def problems(text: str) -> list[str]:
    yml = galaxy_yml.read(text, PATH)
    return [str(finding) for finding in job_config.option_findings(yml.application, yml.nested)]


def test_it_is_inline_wherever_it_is(tmp_path: Path) -> None:
    found = located(GOOD)
    assert (found.path, found.line) == (PATH, 3)
    assert found.inline is not None and set(found.inline.data) == {"runners", "handling", "execution"}
    (tmp_path / "job_conf.yml").touch()
    assert located(GOOD + "  job_config_file: job_conf.yml\n", f"{tmp_path}/galaxy.yml").inline is not None


def test_it_is_the_file_that_galaxy_finds(tmp_path: Path) -> None:
    config, server = tmp_path / "config", tmp_path / "server"
    config.mkdir()
    server.mkdir()

    def file(options: str, **variables: Any) -> str:
        text = f"galaxy:\n  brand: x\n{options}"
        return located(text, f"{config}/galaxy.yml", str(server), variables).path

    assert file("") == ""
    assert file("  job_config_file: jobs.yml\n") == f"{config}/jobs.yml"
    assert file("  job_config_file: /etc/jobs.yml\n") == "/etc/jobs.yml"
    assert file("  job_config_file: config/jobs.yml\n") == f"{config}/jobs.yml"
    assert file("  job_config_file:\n") == ""
    (server / "jobs.yml").touch()
    assert file("  job_config_file: jobs.yml\n") == f"{server}/jobs.yml"
    (config / "jobs.yml").touch()
    assert file("  job_config_file: jobs.yml\n") == f"{config}/jobs.yml"
    (config / "job_conf.xml").touch()
    assert file("") == f"{config}/job_conf.xml"
    (config / "job_conf.yml").touch()
    assert file("") == f"{config}/job_conf.yml"
    assert file("  config_dir: elsewhere\n  job_config_file: jobs.xml\n") == f"{server}/elsewhere/jobs.xml"
    assert file("", GALAXY_CONFIG_OVERRIDE_JOB_CONFIG_FILE="/a.yml") == "/a.yml"
    assert file("", GALAXY_CONFIG_OVERRIDE_JOB_CONFIG_FILE=None) == ""
    assert located("galaxy:\n  config_dir: x\n  job_config_file: a.yml\n").path == ""


def test_both_a_file_and_one_inside_are_refused() -> None:
    (message,) = problems(GOOD + "  job_config_file: job_conf.yml\n")
    assert message == (
        f"{PATH}:12: [galaxy] job_config_file: Galaxy reads job_config in line 3 and takes no notice of this file: remove one of the two"
    )
    assert problems(GOOD) == []
    assert problems(GOOD + "  job_config_file:\n") == []
    assert problems("galaxy:\n  job_config_file: job_conf.yml\n") == []


@pytest.mark.parametrize(
    ("value", "what"), [("", "empty"), ("{}x", "text"), ("'{}'", "text"), ("[a]", "a list"), ("[]", "empty")]
)
def test_one_that_is_no_mapping_is_refused(value: str, what: str) -> None:
    text = f"galaxy:\n  job_config: {value}\n"
    if value == "{}x":
        text = text.replace("{}x", "job_conf.yml")
    (message,) = problems(text)
    assert message.startswith(
        f"{PATH}:2: [galaxy] job_config: is {what}, and Galaxy dies of a job configuration that is no mapping"
    )
    assert message.endswith("name a file with the job configuration in job_config_file, and remove the line")


def test_an_ini_file_cannot_hold_one() -> None:
    text = "[app:main]\npaste.app_factory = galaxy.web.buildapp:app_factory\njob_config = {'runners': {}}\njob_config_file = x\n"
    application = paste_ini.load(text, "/galaxy.ini").application
    (finding,) = job_config.option_findings(application, {})
    assert (finding.path, finding.line, finding.section, finding.option) == ("/galaxy.ini", 3, "app:main", "job_config")
    assert "which only a galaxy.yml can hold" in finding.message


def test_a_good_one_has_no_findings() -> None:
    assert checked(GOOD) == []
    assert checked(GOOD, Handling(assign_with=("db-skip-locked",)), TWO) == []


def test_it_is_checked_like_a_file_of_its_own() -> None:
    text = (
        GOOD.replace("runner: local}", "runner: gone}").replace("handling:\n", "handling:\n      max_grabs: 1\n")
        + "    toolz: []\n"
    )
    found = checked(text)
    assert [message.partition(": ")[0] for message in found] == [f"{PATH}:{line}" for line in (7, 12, 13)]
    assert "'handling': Galaxy does not read 'max_grabs' here: write max_grab" in found[0]
    assert "Galaxy does not read 'toolz' here: write tools" in found[2]
    assert "environment 'local': there is no runner 'gone'" in found[1]
    message, no_runner = checked(
        "galaxy:\n  job_config:\n    execution: {default: a, environments: {a: {}}}\n    handling: {assign: [db-skip-locked]}\n"
    )
    assert message.startswith(f"{PATH}:2: job_config: has no mapping 'runners', and Galaxy does not start without one")
    assert no_runner.startswith(f"{PATH}:3: job_config: environment 'a' has no runner")
    (message,) = checked(GOOD.replace("[db-skip-locked]", "db-skip-locked"))
    assert message.startswith(f"{PATH}:7: job_config: assign is 'db-skip-locked': write a list")


def test_it_may_use_what_stands_elsewhere_in_the_file() -> None:
    shared = "x: &local {load: 'galaxy.jobs.runners.local:LocalJobRunner'}\ny: &handling {handling: {assign: [db-skip-locked]}}\n"
    text = GOOD.replace("{load: 'galaxy.jobs.runners.local:LocalJobRunner', workers: 2}", "*local")
    assert (
        checked(shared + text.replace("    handling:\n      assign: [db-skip-locked]\n", "    <<: *handling\n")) == []
    )


def test_without_a_method_the_web_processes_would_run_jobs() -> None:
    text = GOOD.replace("    handling:\n      assign: [db-skip-locked]\n", "")
    expected = (
        f"{PATH}:3: job_config: handling.assign is missing, and with Galaxy's default the web processes run jobs too: "
        "write 'handling: {{assign: [{}]}}' below job_config"
    )
    assert checked(text, Handling(), TWO) == [expected.format("db-skip-locked")]
    assert checked(text, Handling(assign_with=("db-transaction-isolation",)), TWO) == [
        expected.format("db-transaction-isolation")
    ]
    assert checked(text, Handling(), TWO, version=Galaxy(None, "sqlite")) == [
        expected.format("db-transaction-isolation")
    ]
    (finding,) = job_config.check_inline(located(text), None, (), NEWEST)[0]
    assert finding.severity == "warning"
    with_grab = GOOD.replace("assign: [db-skip-locked]", "max_grab: 4")
    assert checked(with_grab, Handling(), TWO)[0].startswith(f"{PATH}:7: job_config: handling.assign is missing")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("mem-self", "with mem-self the web processes run the jobs themselves, and the handlers get none"),
        ("db-self", "with db-self the web processes run the jobs themselves, and the handlers get none"),
        ("db-preassign", "they know none of those that attach themselves to a pool"),
        ("uwsgi-mule-message", "Galaxy 26.1 does not know uwsgi-mule-message"),
    ],
)
def test_a_method_that_is_fatal_is_named_with_what_to_write(method: str, message: str) -> None:
    (found,) = checked(GOOD.replace("db-skip-locked", method), Handling(), TWO)
    assert found.startswith(f"{PATH}:7: job_config: assign_with: ")
    assert message in found
    assert found.endswith(
        "use db-transaction-isolation, or db-skip-locked with PostgreSQL (handling.assign below job_config)"
    )


def test_a_method_that_nobody_knows_stops_galaxy() -> None:
    (found,) = checked(GOOD.replace("db-skip-locked", "round-robin"), Handling(), TWO)
    assert "assign_with 'round-robin' is not a method of Galaxy's" in found


def test_handlers_that_are_to_be_in_it_are_shown_as_they_have_to_be_written() -> None:
    wanted = Handling((*TWO, Handler("h2", ("a", "b"), ("local",))), ("db-preassign",))
    (message,) = checked(GOOD, wanted, mode="static")
    assert message.startswith(
        f"{PATH}:7: job_config: the handlers handler0, cluster0, h2 of job_handlers are not so in handling.processes"
    )
    shown = message.partition("write '")[2].partition("' there")[0]
    assert yaml.safe_load(shown) == {
        "handling": {
            "assign": ["db-skip-locked"],
            "processes": {
                "handler0": {},
                "cluster0": {"tags": ["cluster"]},
                "h2": {"tags": ["a", "b"], "plugins": ["local"]},
            },
        }
    }
    # What is written there already, or has to be, is shown too.
    (message, _setting) = checked(GOOD.replace("assign:", "max_grab: 5\n      assign:"), replace(wanted, ready_window_size=9), mode="static")
    assert "handling: {assign: [db-skip-locked], max_grab: 5, ready_window_size: 9, processes: {handler0: {}," in message
    text = GOOD.replace("      assign: [db-skip-locked]\n", "").replace("handling:\n", shown + "\n")
    assert checked(text, wanted, mode="static") == []
    assert checked(text.replace("[cluster]", "[other]"), wanted, mode="static") != []


@pytest.mark.parametrize(("name", "value"), [("default", "cluster"), ("max_grab", 5), ("ready_window_size", 50)])
def test_a_setting_that_nobody_would_write_is_shown_as_it_has_to_be_written(name: str, value: Any) -> None:
    wanted = Handling((), ("db-skip-locked",), **{name: value})
    (message,) = checked(GOOD, wanted, TWO)
    line = f"{name}: {value}"
    assert message == (
        f"{PATH}:7: job_config: job_handlers_{name} is {value}, and the roles never write a galaxy.yml, where it is not set: "
        f"write '{line}' below handling, or leave job_handlers_{name} out"
    )
    written = GOOD.replace("    handling:\n", f"    handling:\n      {line}\n")
    assert checked(written, wanted, TWO) == []
    assert checked(written, Handling((), ("db-skip-locked",)), TWO) == []
    other = written.replace(line, f"{name}: {'handler0' if name == 'default' else 7}")
    assert [f"where it is {'handler0' if name == 'default' else 7}: write '{line}'" in message for message in checked(other, wanted, TWO)] == [True]


def test_a_handler_that_is_in_it_and_does_not_run_is_warned_about() -> None:
    text = GOOD.replace(
        "assign: [db-skip-locked]", "assign: [db-skip-locked]\n      processes: {handler0: {}, gone: {}}"
    )
    found = job_config.check_inline(located(text), Handling(), TWO, NEWEST, "dynamic")[0]
    assert [(finding.line, finding.severity) for finding in found] == [(8, "warning")]
    assert "handler 'gone' has no process on this host" in found[0].message


def test_a_tag_without_a_pool_is_named() -> None:
    text = GOOD + "    tools:\n    - {id: bwa, handler: special}\n"
    (message,) = checked(text, Handling(), TWO)
    assert message.startswith(f"{PATH}:13: job_config: tool 'bwa': no handler has the id or tag 'special'")


def test_an_old_galaxy_reads_none() -> None:
    (message,) = checked(GOOD, Handling(), TWO, version=Galaxy(parse_version("20.01")))
    assert (
        message
        == f"{PATH}:3: job_config: Galaxy 20.01 does not read job_config, which came with 20.05: name a job_conf.xml in job_config_file"
    )
