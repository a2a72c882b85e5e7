# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A misspelled variable of a host is named, and the variables of other roles are not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.galaxyops.uwsgi.plugins.filter.servers import role_inputs
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _inputs

ROOT = Path(__file__).resolve().parents[4]
ROLES = ("galaxy", "job_handlers", "nginx_proxy", "uwsgi")
PREFIX = re.compile(r"\b(?:uwsgi|nginx_?proxy|job_?handlers?|galaxy)_[a-z0-9_]+\b")


def problems(*names: str, roles: tuple[str, ...] = ROLES, allowed: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
    return _inputs.problems(names, roles, role_inputs(), allowed)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("uwsgi_process", "uwsgi_processes"),
        ("uwsgi_proceses_min", "uwsgi_processes_min"),
        ("uwsgi_thread", "uwsgi_threads"),
        ("uwgsi_processes", "uwsgi_processes"),
        ("uWSGI_processes", "uwsgi_processes"),
        ("UWSGI_THREADS", "uwsgi_threads"),
        ("uwsgi_env", "uwsgi_environment"),
        ("uwsgi_timeout_stop", "uwsgi_stop_timeout"),
        ("nginx_proxy_ssl_cert", "nginx_proxy_ssl_certificate"),
        ("nginx_proxy_server_name", "nginx_proxy_server_names"),
        ("nginxproxy_port", "nginx_proxy_port"),
        ("nginx_prox_port", "nginx_proxy_port"),
        ("job_handler", "job_handlers"),
        ("jobs_handlers", "job_handlers"),
        ("job_handler_mode", "job_handlers_mode"),
        ("job_handlers_modes", "job_handlers_mode"),
        ("job_handlers_env", "job_handlers_environment"),
        ("only_server", "only_servers"),
    ],
)
def test_misspelled_input_is_an_error_with_what_was_meant(name: str, meant: str) -> None:
    errors, warnings = problems(name, meant)
    assert (len(errors), warnings) == (1, [])
    assert errors[0].startswith(f"{name} is no input of ")
    assert f": write {meant}, or list the name in " in errors[0]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("galaxy_admin_user", "galaxy_admin_users"),
        ("galaxy_config_directory", "galaxy_config_dir"),
        ("galaxy_sever_dir", "galaxy_server_dir"),
        ("galaxy_dir_config", "galaxy_config_dir"),
        ("galaxy_server", "galaxy_servers"),
        ("Galaxy_root", "galaxy_root"),
    ],
)
def test_name_that_resembles_an_input_of_galaxy_is_a_warning(name: str, meant: str) -> None:
    errors, warnings = problems(name)
    assert (errors, len(warnings)) == ([], 1)
    assert warnings[0].startswith(f"{name} is no input of ") and f"resembles {meant}: write {meant}" in warnings[0]


def test_name_with_the_prefix_of_a_role_that_resembles_nothing_is_an_error() -> None:
    assert problems("uwsgi_zzz")[0] == [
        "uwsgi_zzz is no input of the role uwsgi: correct the name, or list the name in uwsgi_other_variables if the variable is for something else"
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("galaxy_config", "galaxy_config_files", "galaxy_file_path", "galaxy_systemd_mode", "galaxy_user_name", "galaxy_job_config_file"),
        *("galaxy_whatever_somebody_needs", "nginx_servers", "nginx_conf_http", "nginx_ssl_role", "nginx_port", "wsgi_processes"),
        *("ansible_user", "inventory_hostname", "groups", "__uwsgi_checked", "_uwsgi_process", "nginx_proxy_site", "job_name", "restart", "x"),
    ],
)
def test_variable_of_something_else_is_not_named(name: str) -> None:
    assert problems(name) == ([], [])


def test_variable_that_is_allowed_is_not_named() -> None:
    assert problems("uwsgi_zzz", "galaxy_admin_user", allowed=("uwsgi_zzz", "galaxy_admin_user")) == ([], [])


def test_role_looks_at_the_names_of_its_own_inputs() -> None:
    assert problems("uwsgi_process", "galaxy_admin_user", roles=("nginx_proxy",)) == ([], [])
    assert len(problems("nginx_proxy_prt", roles=("nginx_proxy",))[0]) == 1


def test_inputs_of_galaxy_that_other_roles_read_are_looked_at_without_that_role() -> None:
    read = {
        name
        for role in _inputs.STRICT_ROLES
        for directory in ("defaults", "vars")
        for name in re.findall(r"\bgalaxy_[a-z_]+\b", (ROOT / "roles" / role / directory / "main.yml").read_text())
    }
    assert read & role_inputs() == _inputs.SHARED_INPUTS
    assert len(problems("galaxy_sever_dir", roles=("uwsgi",))[1]) == 1


def test_every_input_and_variable_of_others_is_known() -> None:
    assert problems(*role_inputs(), *_inputs.OTHERS, *_inputs.PLAYBOOK_INPUTS) == ([], [])
    assert _inputs.OTHERS & role_inputs() <= {name for name in role_inputs() if name.startswith("galaxy_")}


@pytest.mark.parametrize(
    ("one", "other", "expected"), [("abc", "abc", 0), ("abc", "acb", 1), ("abc", "ab", 1), ("abc", "xbcd", 2), ("abc", "xyz", None), ("", "ab", 2)]
)
def test_distance(one: str, other: str, expected: int | None) -> None:
    assert _inputs.distance(one, other, 2) == expected
    assert _inputs.distance(other, one, 2) == expected


def variables(node: Any, inside: bool = False) -> Iterator[str]:
    """The names that an inventory or a play gives to variables."""
    if isinstance(node, dict):
        for key, value in node.items():
            if inside:
                yield str(key)
            elif key in ("vars", "hosts"):
                for entry in [value] if key == "vars" else list(value.values()) if isinstance(value, dict) else []:
                    yield from variables(entry, True)
            yield from variables(value)
    elif isinstance(node, list):
        for entry in node:
            yield from variables(entry)


@pytest.mark.parametrize("path", sorted([*ROOT.glob("molecule/**/*.yml"), *ROOT.glob("playbooks/**/*.yml")]), ids=lambda path: str(path.relative_to(ROOT)))
def test_own_playbooks_and_scenarios_have_no_unknown_variable(path: Path) -> None:
    assert problems(*{name for document in yaml.safe_load_all(path.read_text()) for name in variables(document)}) == ([], [])


@pytest.mark.parametrize("path", sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md", *ROOT.glob("molecule/*/tests/*.py")]), ids=lambda path: path.name)
def test_variables_that_are_written_somewhere_are_known(path: Path) -> None:
    lines = re.findall(r"^\s*[\"']?([a-z_]+)[\"']?: |[\"']([a-z_]+)=", path.read_text(), re.MULTILINE)
    names = {name for pair in lines for name in pair if PREFIX.fullmatch(name)}
    assert problems(*names) == ([], [])
