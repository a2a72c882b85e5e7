# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of how a galaxy.yml is read and checked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy_yml as galaxy_yml
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_ini import Change

PATH = "/srv/galaxy/config/galaxy.yml"

# What galaxyproject.galaxy writes for the admin training
TRAINING = """\
---
##
## This file is maintained by Ansible - ALL CHANGES WILL BE OVERWRITTEN
##

galaxy:
    admin_users:
    - admin@example.org
    brand: "Mine, all mine"
    check_migrate_databases: true
    database_connection: postgresql:///galaxy?host=/var/run/postgresql
    enable_celery_tasks: true
    file_path: /data/datasets
    id_secret: hunter2-and-more
    job_config:
        execution:
            default: slurm
            environments:
                local_env: {runner: local_runner, tmp_dir: true}
                slurm: {runner: slurm}
        handling:
            assign: [db-skip-locked]
        runners:
            local_runner: {load: 'galaxy.jobs.runners.local:LocalJobRunner', workers: 4}
            slurm: {load: 'galaxy.jobs.runners.slurm:SlurmJobRunner'}
    nginx_x_accel_redirect_base: /_x_accel_redirect
    themes_config_file_by_host: {}

gravity:
    process_manager: systemd
    gunicorn: {enable: false}
"""


def read(text: str) -> galaxy_yml.GalaxyYml:
    return galaxy_yml.read(text, PATH)


def shown(findings: list[Any]) -> list[str]:
    return [str(finding) for finding in findings]


def test_what_galaxyproject_galaxy_writes_is_read() -> None:
    found = read(TRAINING)
    assert found.problem is None
    assert galaxy_yml.check(found, True) == []
    assert found.application.values["database_connection"] == "postgresql:///galaxy?host=/var/run/postgresql"
    assert found.application.values["enable_celery_tasks"] == "True"
    assert found.application.options["id_secret"] == "********"
    assert found.application.places["brand"] == (PATH, "galaxy", 9)
    assert found.nested["job_config"]["handling"] == {"assign": ["db-skip-locked"]}
    assert found.nested["themes_config_file_by_host"] == {}
    assert found.nodes["job_config"].start_mark.line == 15
    assert (found.line, found.uwsgi) == (6, ())


names = st.sampled_from(["brand", "database_connection", "job_config", "job_config_file", "use_remote_user", "x"])
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text("ab1 :#%{}[]'\"-"))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(names, inner, max_size=2)),
    max_leaves=4,
)
sections = st.dictionaries(st.sampled_from(["gravity", "uwsgi", "reports"]), values, max_size=2)


@given(st.dictionaries(names, values, max_size=4), sections, st.sampled_from([True, False, None]))
def test_every_value_is_that_which_galaxy_gets(
    options: dict[str, Any], others: dict[str, Any], style: Optional[bool]
) -> None:
    text = yaml.safe_dump({**others, "galaxy": options}, default_flow_style=style, sort_keys=False)
    found = read(text)
    expected = yaml.safe_load(text).get("galaxy") or {}
    texts = {name: galaxy_yml.text_of(value) for name, value in expected.items() if not isinstance(value, (dict, list))}
    assert found.application.values == texts
    assert found.nested == {name: value for name, value in expected.items() if isinstance(value, (dict, list))}
    lines = text.splitlines()
    for name, place in found.application.places.items():
        assert name in lines[place.line - 1]


def test_values_that_stand_elsewhere_in_the_file_are_read() -> None:
    found = read("x: &all\n  brand: ours\n  logo_url: /a\ngalaxy:\n  <<: *all\n  logo_url: /b\n")
    assert found.application.values == {"brand": "ours", "logo_url": "/b"}
    assert {name: place.line for name, place in found.application.places.items()} == {"brand": 2, "logo_url": 6}
    assert found.mistakes == ()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("galaxy:\n\tbrand: x\n", 2, "malformed YAML at column 1: while scanning for the next token"),
        (
            "galaxy:\n  id_secret: !vault |\n    $ANSIBLE_VAULT;1.1;AES256\n    6162\n",
            2,
            "only Ansible can decrypt the value",
        ),
        ("galaxy:\n  a: 1\n---\ngalaxy:\n  b: 1\n", 3, "Galaxy reads one document"),
        ("", 0, "the file is empty: add a line 'galaxy:'"),
        ("# nothing\n", 0, "the file is empty: add a line 'galaxy:'"),
        ("- a\n", 1, "the file is no mapping with the key 'galaxy'"),
        ("\njust text\n", 2, "the file is no mapping with the key 'galaxy'"),
        ("gravity: {}\n", 0, "there is no section 'galaxy' besides gravity, so Galaxy would run with its defaults"),
        ("brand: x\nid_secret: y\n", 0, "add a line 'galaxy:' above the options, and indent them by two spaces"),
        ("runners: {}\n", 0, "this is a job configuration, name the file with Galaxy's options"),
        ("a: 1\nb: 2\nc: 3\nd: 4\n", 0, "besides a, b, c, ..., so"),
        ("x: 1\ngalaxy: [a]\n", 2, "'galaxy' is a list, and Galaxy needs a mapping"),
        ("galaxy: mine\n", 1, "'galaxy' is a text, and Galaxy needs a mapping"),
        ("galaxy: 1\n", 1, "'galaxy' is a number, and Galaxy needs a mapping"),
        ("[app:main]\nbrand = x\n", 0, "the file is INI, and Galaxy reads a file of this name as YAML"),
        ("<job_conf/>\n", 0, "the file is XML, and Galaxy reads a file of this name as YAML"),
        (
            "galaxy:\n  brand: M\udcfcller\n",
            2,
            "the line is not UTF-8, so Galaxy cannot read the file: save the file as UTF-8",
        ),
    ],
)
@pytest.mark.parametrize("handlers", [True, False, None])
def test_what_galaxy_cannot_read_is_one_finding(text: str, line: int, message: str, handlers: Optional[bool]) -> None:
    found = read(text)
    (finding,) = galaxy_yml.check(found, handlers)
    assert (finding.path, finding.line, finding.severity) == (PATH, line, "error")
    assert message in finding.message
    assert (found.application.values, found.nested) == ({}, {})


def test_without_pyyaml_nothing_is_known(tmp_path: Path) -> None:
    """As on a host without the package python3-yaml."""
    (tmp_path / "yaml.py").write_text("raise ImportError\n")
    program = (
        f"import sys; sys.path[:0] = {[str(tmp_path), *sys.path]!r}\n"
        "from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy_yml as galaxy_yml\n"
        "(finding,) = galaxy_yml.check(galaxy_yml.read('galaxy: {}', '/galaxy.yml'), True)\n"
        "print(finding.severity, finding)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "warning /galaxy.yml: cannot be checked without PyYAML: install the package python3-yaml\n"


def test_a_section_without_options_is_that_of_the_sample() -> None:
    found = read("galaxy:\n  # brand: null\n")
    assert (found.problem, found.application.values, found.line) == (None, {}, 1)
    assert galaxy_yml.check(found) == []


@pytest.mark.parametrize(
    ("lines", "severity", "expected"),
    [
        (
            "  brand: a\n  logo_url: /x\n  brand: b\n",
            "warning",
            "4: [galaxy] brand: set twice, in lines 2 and 4, and Galaxy reads only the last",
        ),
        (
            "  brand: a\ngalaxy:\n  brand: b\n",
            "error",
            "3: [galaxy] the section is there twice, in lines 1 and 3, and Galaxy reads only the last",
        ),
        (
            "  brand: a\nlogo_url: /x\n",
            "warning",
            "3: logo_url: nobody reads this line here: indent it by two spaces and move it below 'galaxy:'",
        ),
        (
            "  1: a\n",
            "error",
            "2: [galaxy] 1: YAML does not take this for text, and Galaxy dies of an option whose name is no text",
        ),
        ("  on: a\n", "error", "2: [galaxy] on: YAML does not take this for text"),
        ("  database_connection:\n", "error", "2: [galaxy] database_connection: is empty, and Galaxy dies of it"),
        (
            "  database_connection: {a: b}\n",
            "error",
            "2: [galaxy] database_connection: is a mapping, and Galaxy needs text",
        ),
        ("  database_connection: 1\n", "error", "2: [galaxy] database_connection: is a number, and Galaxy dies of it"),
        ("  job_config_file: [a]\n", "error", "2: [galaxy] job_config_file: is a list, and Galaxy needs text"),
        (
            "  file_path: '%(here)s/files'\n",
            "error",
            "2: [galaxy] file_path: Galaxy replaces %(here)s in an INI file only",
        ),
    ],
)
def test_mistakes_have_their_lines(lines: str, severity: str, expected: str) -> None:
    (finding,) = galaxy_yml.check(read(f"galaxy:\n{lines}"), False)
    assert str(finding).startswith(f"{PATH}:{expected}")
    assert finding.severity == severity


@pytest.mark.parametrize(("handlers", "severities"), [(True, ["error"] * 2), (None, ["warning"] * 2), (False, [])])
def test_what_breaks_handlers_matters_where_there_are_some(handlers: Optional[bool], severities: list[str]) -> None:
    found = galaxy_yml.check(read("galaxy:\n  server_name: main\n  log_destination:\n"), handlers)
    assert [finding.severity for finding in found] == severities
    assert [(finding.line, finding.option) for finding in found] == [(2, "server_name"), (3, "log_destination")][
        : len(found)
    ]


def test_options_of_uwsgi_are_read_as_often_as_they_are_there() -> None:
    found = read(
        "uwsgi:\n  http: 127.0.0.1:8080\n  static-map: /a=/b\n  static-map: /c=/d\n  mule: [x, y]\ngalaxy: {}\n"
    )
    assert found.uwsgi_options == {"http": "127.0.0.1:8080", "static-map": ["/a=/b", "/c=/d"], "mule": ["x", "y"]}
    assert [setting.line for setting in found.uwsgi] == [2, 3, 4, 5, 5]
    assert galaxy_yml.check(found) == []


def test_the_section_of_uwsgi_is_listed_with_what_to_move_where() -> None:
    text = "galaxy: {}\nuwsgi:\n  processes: 4\n  threads: 4\n  module: galaxy.webapps.galaxy.buildapp:uwsgi_app()\n  offload-threads: 2\n  harakiri: 60\n"
    (finding,) = galaxy_yml.uwsgi_findings(read(text))
    assert (finding.line, finding.severity) == (2, "warning")
    assert (
        "move processes to uwsgi_processes, threads to uwsgi_threads, offload-threads, harakiri to uwsgi_options"
        in finding.message
    )
    assert "module" not in finding.message
    (finding,) = galaxy_yml.uwsgi_findings(read("galaxy: {}\nuwsgi:\n  master: true\n"))
    assert finding.message.endswith("which their own options replace: remove the section")
    assert galaxy_yml.uwsgi_findings(read("galaxy: {}\nuwsgi:\n")) == []


def required(text: str, **options: Any) -> list[str]:
    return shown(galaxy_yml.required_findings(read(text), [Change("app:main", options)]))


def test_what_galaxy_has_to_know_is_required_and_never_written() -> None:
    (message,) = required("x: 1\ngalaxy:\n  brand: x\n", nginx_x_accel_redirect_base="/_x_accel_redirect")
    assert message.startswith(f"{PATH}:2: [galaxy] nginx_x_accel_redirect_base: Galaxy has to know this option")
    assert (
        "add 'nginx_x_accel_redirect_base: /_x_accel_redirect' below 'galaxy:' (galaxy_config.galaxy of the role galaxyproject.galaxy)"
        in message
    )
    (message,) = required("galaxy:\n  cookie_path: /a\n", cookie_path="/b")
    assert message.startswith(
        f"{PATH}:2: [galaxy] cookie_path: is '/a', and Galaxy has to know another value: write 'cookie_path: /b' below"
    )
    (message,) = required("galaxy:\n  cookie_path: /a\n", cookie_path=None)
    assert message == f"{PATH}:2: [galaxy] cookie_path: Galaxy must not have this option any more: remove the line"
    (message,) = required("galaxy:\n  cookie_path: [/a]\n", cookie_path="/a")
    assert message.startswith(f"{PATH}:2: [galaxy] cookie_path: write 'cookie_path: /a' below")


def test_what_galaxy_knows_already_is_not_required() -> None:
    text = "galaxy:\n  cookie_path: /a\n  enable_celery_tasks: yes\n  static_enabled: 'off'\n  job_queue_workers: 4\n"
    assert (
        required(
            text, cookie_path="/a", enable_celery_tasks=True, static_enabled=False, job_queue_workers=4, brand=None
        )
        == []
    )
    assert required("galaxy:\n  job_config: {runners: {}}\n", job_config_file="/srv/galaxy/config/job_conf.xml") == []
    assert required("galaxy: 1\n", brand="x") == []


def test_a_secret_that_galaxy_has_to_know_is_not_shown() -> None:
    for text in ("galaxy: {}\n", "galaxy:\n  id_secret: hunter3\n"):
        (message,) = required(text, id_secret="hunter2")
        assert "hunter" not in message


def test_a_section_that_is_not_galaxys_is_refused() -> None:
    changes = [Change("uwsgi", {"processes": 2}), Change("uwsgi", {}), Change("filter:x", {"a": "b"}, absent=True)]
    (message,) = shown(galaxy_yml.required_findings(read("galaxy: {}\n"), changes))
    assert (
        message
        == f"{PATH}: [uwsgi] would have to be written into the file, and the roles never write a galaxy.yml: name a Paste Deploy file"
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [("galaxy.yml", True), ("a.YAML", True), ("galaxy.ini", False), ("yml", False), ("a.yml.sample", False)],
)
def test_galaxy_decides_by_the_name_what_a_file_is(path: str, expected: bool) -> None:
    assert galaxy_yml.is_yaml(path) is expected
