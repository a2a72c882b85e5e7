# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the module paste_check with a galaxy.yml."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy as galaxy
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_ini as paste_ini
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding
from ansible_collections.galaxyops.uwsgi.plugins.modules.paste_check import DOCUMENTATION, Preflight

Run = Callable[..., dict[str, Any]]

PARAMETERS: dict[str, dict[str, Any]] = yaml.safe_load(DOCUMENTATION)["options"]

GOOD = """\
galaxy:
  database_connection: postgresql://galaxy:hunter2@db/galaxy
  id_secret: hunter2
  job_config:
    runners:
      local: {load: 'galaxy.jobs.runners.local:LocalJobRunner'}
    handling:
      assign: [db-skip-locked]
    execution:
      default: local
      environments:
        local: {runner: local}
gravity:
  gunicorn: {enable: false}
"""
HANDLERS = [{"id": "handler0", "tags": [], "plugins": []}, {"id": "special0", "tags": ["special"]}]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A good galaxy.yml."""
    file = tmp_path / "galaxy.yml"
    file.write_text(GOOD, encoding="utf-8")
    file.chmod(0o640)
    return file


def preflight(path: object, variables: Any = None, **how: Any) -> Preflight:
    """What the module does, without a process of its own."""
    changes = [paste_ini.Change(*change) for change in how.pop("changes", [])]
    defaults = {name: option.get("default") for name, option in PARAMETERS.items()}
    return Preflight({**defaults, "galaxy_version": "26.1", **how, "path": str(path)}, changes, variables or {})


def found(path: object, variables: Any = None, **how: Any) -> list[Finding]:
    return preflight(path, variables, **how).findings()


def shown(path: object, variables: Any = None, **how: Any) -> list[str]:
    return [str(finding) for finding in found(path, variables, **how)]


def test_good_file(run_module: Run, path: Path) -> None:
    wanted = {
        "app:main": ["database_connection", "id_secret", "job_config", "brand"],
        "galaxy": ["id_secret"],
        "uwsgi": ["processes"],
    }
    result = run_module("paste_check", path=str(path), galaxy_version="26.1", return_options=wanted)
    assert (result["changed"], result["findings"], result["changing"]) == (False, [], [])
    assert result["options"] == {
        "app:main": {"database_connection": "postgresql://galaxy:********@db/galaxy", "id_secret": "********"},
        "galaxy": {"id_secret": "********"},
        "uwsgi": {},
    }
    runners = [{"id": "local", "load": "galaxy.jobs.runners.local:LocalJobRunner", "ends_with_handler": True}]
    assert result["job_config"] == {"path": str(path), "inline": True, "runners": runners}
    assert "hunter2" not in str(result)
    assert path.read_text(encoding="utf-8") == GOOD


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("galaxy:\n\tbrand: x\n", ":2", "indent the line with spaces"),
        (
            "galaxy:\n  id_secret: !vault |\n    $ANSIBLE_VAULT;1.1;AES256\n    6162\n",
            ":2",
            "only Ansible can decrypt the value",
        ),
        ("galaxy:\n  a: 1\n---\ngalaxy:\n  b: 1\n", ":3", "Galaxy reads one document"),
        ("gravity: {}\n", "", "there is no section 'galaxy'"),
        ("galaxy: [brand]\n", ":1", "Galaxy needs a mapping"),
        ("[app:main]\npaste.app_factory = galaxy.web.buildapp:app_factory\n", "", "the file is INI"),
    ],
)
@pytest.mark.parametrize(
    "how",
    [
        {},
        {
            "handlers": HANDLERS,
            "handlers_mode": "dynamic",
            "assign_with": ["db-skip-locked"],
            "job_conf": "/nothing.yml",
        },
        {
            "changes": [("app:main", {"nginx_x_accel_redirect_base": "/x"})],
            "asgi_paths": [],
            "remote_user": "$remote_user",
        },
        {"uwsgi_options": {"processes": 2}},
    ],
)
def test_a_file_that_galaxy_cannot_read_is_one_finding_for_every_caller(
    path: Path, text: str, place: str, message: str, how: dict[str, Any]
) -> None:
    path.write_text(text, encoding="utf-8")
    (finding,) = found(path, **how)
    assert str(finding).startswith(f"{path}{place}: ")
    assert message in finding.message


def test_missing_file(run_module: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "galaxy.yml")
    assert (
        run_module("paste_check", path=path)["msg"]
        == f"{path}: the file does not exist: correct the path, or run the role that writes the file first"
    )
    assert found(path, missing="ok") == []


@pytest.mark.usefixtures("python_of_everybody")
def test_file_that_may_not_be_read(run_module: Run, path: Path) -> None:
    path.chmod(0)
    nobody = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    result = run_module("paste_check", path=str(path), under=nobody)
    assert result["msg"] == f"cannot read {path}: permission denied: run with become, or as a user who may write there"


def test_yaml_where_an_ini_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "galaxy.ini"
    path.write_text(GOOD, encoding="utf-8")
    (message,) = shown(path)
    assert message.startswith(
        f"{path}: the file is YAML, and is read as INI: give a galaxy.yml a name that ends in .yml"
    )


def test_what_galaxy_has_to_know_is_an_error_with_the_line_to_add(path: Path) -> None:
    changes = [("app:main", {"nginx_x_accel_redirect_base": "/_x_accel_redirect", "id_secret": None})]
    assert [message.partition(" (")[0] for message in shown(path, changes=changes)] == [
        f"{path}:1: [galaxy] nginx_x_accel_redirect_base: Galaxy has to know this option, and the roles never write a galaxy.yml: "
        "add 'nginx_x_accel_redirect_base: /_x_accel_redirect' below 'galaxy:'",
        f"{path}:3: [galaxy] id_secret: Galaxy must not have this option any more: remove the line",
    ]
    variables = {"GALAXY_CONFIG_OVERRIDE_NGINX_X_ACCEL_REDIRECT_BASE": "/_x_accel_redirect"}
    assert len(shown(path, variables, changes=changes)) == 1
    # Whatever the file says
    (message, _secret) = shown(path, {"GALAXY_CONFIG_OVERRIDE_NGINX_X_ACCEL_REDIRECT_BASE": "/x"}, changes=changes)
    assert message.startswith(
        "GALAXY_CONFIG_OVERRIDE_NGINX_X_ACCEL_REDIRECT_BASE: is '/x', and Galaxy has to know another value"
    )


def test_inline_job_configuration_is_checked_like_a_file(path: Path) -> None:
    dynamic: dict[str, Any] = {
        "handlers": HANDLERS,
        "handlers_mode": "dynamic",
        "assign_with": ["db-skip-locked"],
        "job_conf": f"{path.parent}/job_conf.xml",
    }
    assert shown(path, **dynamic) == []
    # Galaxy does not read this file.
    path.with_name("job_conf.xml").write_text("<job_conf>", encoding="utf-8")
    assert shown(path, **dynamic) == []
    path.write_text(GOOD.replace("      assign: [db-skip-locked]\n", "      max_grabs: 2\n"), encoding="utf-8")
    first, second = found(path, **dynamic)
    assert (first.line, first.severity) == (8, "error")
    assert "'handling': Galaxy does not read 'max_grabs' here: write max_grab" in first.message
    assert (second.line, second.severity) == (8, "error")
    assert second.message.startswith(
        "handling.assign is missing, and with Galaxy's default the web processes run jobs too"
    )
    path.write_text(GOOD.replace("[db-skip-locked]", "[mem-self]"), encoding="utf-8")
    (message,) = shown(path, **dynamic)
    assert message.startswith(
        f"{path}:8: job_config: assign_with: with mem-self the web processes run the jobs themselves"
    )
    path.write_text(GOOD.replace("postgresql://galaxy:hunter2@db/galaxy", "sqlite:////x"), encoding="utf-8")
    (message,) = shown(path, **dynamic)
    assert "db-skip-locked needs PostgreSQL" in message
    (message,) = shown(path, **{**dynamic, "handlers_mode": "static"}, galaxy_version="24.0")[:1]
    assert "the handlers handler0, special0 of job_handlers are not so in handling.processes" in message
    # Who has nothing to do with handlers leaves it alone.
    assert shown(path, changes=[("app:main", {"id_secret": "hunter2"})]) == []


def test_file_of_schedulers_that_is_going_to_go_must_not_be_named(path: Path) -> None:
    own = path.with_name("workflow_schedulers_conf.none.xml")
    path.write_text(GOOD.replace("id_secret: hunter2", f"workflow_schedulers_config_file: {own}"), encoding="utf-8")
    dynamic: dict[str, Any] = {"handlers": HANDLERS, "handlers_mode": "dynamic", "assign_with": ["db-skip-locked"], "instance": "none"}
    (message,) = shown(path, **dynamic)
    assert message.startswith(f"{path}:3: [galaxy] workflow_schedulers_config_file: the role removes this file")
    assert shown(path, **dynamic, workflow_schedulers=["w0"], changes=[("app:main", {"workflow_schedulers_config_file": str(own)})]) == []
    assert shown(path, **{**dynamic, "instance": "other"}) == []


def test_both_a_job_configuration_and_a_file_with_one_are_refused(path: Path) -> None:
    path.write_text(GOOD.replace("  id_secret: hunter2\n", "  job_config_file: job_conf.yml\n"), encoding="utf-8")
    (message,) = shown(path)
    assert message == (
        f"{path}:3: [galaxy] job_config_file: Galaxy reads job_config in line 4 and takes no notice of this file: remove one of the two"
    )
    path.write_text(GOOD, encoding="utf-8")
    for variable in ("GALAXY_CONFIG_JOB_CONFIG_FILE", "GALAXY_CONFIG_OVERRIDE_JOB_CONFIG_FILE"):
        (message,) = shown(path, {variable: "/x.yml"})
        assert (
            message
            == f"{variable}: Galaxy reads job_config in line 4 and takes no notice of this file: remove one of the two"
        )
    (message, *_others) = shown(path, {"GALAXY_CONFIG_OVERRIDE_JOB_CONFIG": "x"})
    assert message.startswith(
        "GALAXY_CONFIG_OVERRIDE_JOB_CONFIG: is text, and Galaxy dies of a job configuration that is no mapping"
    )


def test_file_that_galaxy_yml_names_is_followed(path: Path) -> None:
    path.write_text("galaxy:\n  job_config_file: jobs.yml\n", encoding="utf-8")
    jobs = path.with_name("jobs.yml")
    jobs.write_text("runners: {}\nhandling:\n  assign: [db-self]\n  processes: {handler0: {}}\n", encoding="utf-8")
    (message,) = shown(path)
    assert message.startswith(f"{jobs}:3: assign_with: with db-self the web processes run the jobs themselves")
    assert preflight(path).findings() and found(path, {"GALAXY_CONFIG_OVERRIDE_JOB_CONFIG_FILE": "/none.yml"}) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("brand_by_host", "{}"),
        ("themes_config_file_by_host", ""),
        ("celery_conf", "{'a': 'b'}"),
        ("file_sources", "[{'id': 'x'}]"),
        ("job_config", "{'runners': {}}"),
        ("admin_users", "['a@example.org', 'b@example.org']"),
    ],
)
def test_value_that_only_yaml_can_hold_is_refused_in_an_ini(tmp_path: Path, option: str, value: str) -> None:
    path = tmp_path / "galaxy.ini"
    path.write_text(
        f"[app:main]\npaste.app_factory = galaxy.web.buildapp:app_factory\n{option} = {value}\n", encoding="utf-8"
    )
    (finding,) = found(path)
    assert (finding.line, finding.section, finding.option, finding.severity) == (3, "app:main", option, "error")
    assert "which only a galaxy.yml can hold" in finding.message or finding.message.endswith(
        "write a@example.org,b@example.org"
    )
    variable = f"GALAXY_CONFIG_{option.upper()}"
    (finding,) = found(tmp_path / "galaxy.yml", {variable: value}, missing="ok") or [None]  # type: ignore[list-item]
    assert finding is None
    (tmp_path / "galaxy.yml").write_text("galaxy: {}\n", encoding="utf-8")
    (finding, _both) = found(tmp_path / "galaxy.yml", {variable: value})
    assert (finding.path, finding.option) == ("", variable)
    # Another application may do with its options what it likes.
    path.write_text(f"[app:main]\npaste.app_factory = mine:factory\n{option} = {value}\n", encoding="utf-8")
    (tmp_path / "galaxy.yml").unlink()
    assert found(path) == []


def test_both_files(path: Path) -> None:
    ini = path.with_name("galaxy.ini")
    ini.write_text("[app:main]\npaste.app_factory = galaxy.web.buildapp:app_factory\nbrand = x\n", encoding="utf-8")
    (finding,) = found(ini, galaxy_version="21.09")
    assert (finding.path, finding.line, finding.severity) == (str(path), 1, "warning")
    assert f"web processes and job handlers those in {ini}: keep one of the two files" in finding.message
    (finding,) = found(path)
    assert (finding.path, finding.line, finding.severity) == (str(ini), 0, "warning")
    assert finding.message == f"nobody reads Galaxy's options here, because {path} has them: remove this file"
    ini.write_text("[app:main]\npaste.app_factory = mine:factory\n", encoding="utf-8")
    assert found(path) == []
    assert found(ini) == []


def test_web_processes_and_handlers_must_read_the_same_options(path: Path) -> None:
    ini = path.with_name("other.ini")
    ini.write_text("[app:main]\npaste.app_factory = galaxy.web.buildapp:app_factory\n", encoding="utf-8")
    (message,) = shown(ini, galaxy_version="21.09", handlers_path=str(path))
    assert message == (
        f"{path}: job handlers read Galaxy's options here (job_handlers_galaxy_config_file), and web processes those in {ini} (uwsgi_config_file): "
        "write the same file for both"
    )
    other = path.with_name("other.yml")
    other.write_text("galaxy: {}\n", encoding="utf-8")
    (message,) = shown(path, handlers_path=str(other))
    assert message.startswith(f"{other}: job handlers read")
    link = path.with_name("paste.ini")
    link.write_text(LINK.format(path), encoding="utf-8")
    for same in (path, link):
        assert shown(same, handlers_path=str(path)) == []
    assert shown(ini, galaxy_version="21.09", handlers_path=str(ini)) == []


LINK = "[uwsgi]\nprocesses = 2\n\n[app:main]\npaste.app_factory = galaxy_wsgi:app_factory\ngalaxy_config_file = {}\n"


def test_paste_deploy_file_that_names_a_galaxy_yml_is_checked_with_it(path: Path) -> None:
    link = path.with_name("galaxy.ini")
    link.write_text(LINK.format(path), encoding="utf-8")
    check = preflight(link, return_options={"app:main": ["id_secret"]})
    assert check.findings() == []
    assert check.options == {"app:main": {"id_secret": "********"}}
    assert found(path) == []
    path.write_text(GOOD + "galaxy2: x\n", encoding="utf-8")
    assert [(finding.path, finding.line) for finding in found(link)] == [(str(path), 15)]
    path.write_text(GOOD.replace("id_secret", "enable_sse_updates: true\n  server_name"), encoding="utf-8")
    sse, name = sorted(
        found(link, uwsgi_listen="http", handlers=HANDLERS, handlers_mode="dynamic", assign_with=["db-skip-locked"]),
        key=lambda at: at.line,
    )
    assert str(sse).startswith(f"{path}:3: [galaxy] enable_sse_updates: with uwsgi_listen http there is no nginx")
    assert str(name).startswith(f"{path}:4: [galaxy] server_name: it overrides the --server-name")
    link.write_text(LINK.format(path).replace("processes = 2", "processes = two"), encoding="utf-8")
    assert any(
        message.startswith(f"{link}:2: [uwsgi] processes is 'two'") or ":2: [uwsgi] processes: is 'two'" in message
        for message in shown(link)
    )


def test_paste_deploy_file_that_is_about_to_name_a_galaxy_yml(path: Path) -> None:
    changes = [
        ("app:main", {"paste.app_factory": "galaxy_wsgi:app_factory", "galaxy_config_file": str(path)}),
        ("uwsgi", {"processes": 2}, True),
    ]
    link = path.with_name("web.ini")
    check = preflight(link, missing="ok", changes=changes, remote_user="$remote_user")
    (finding,) = check.findings()
    assert str(finding).startswith(f"{path}:1: [galaxy] use_remote_user: nginx_proxy_remote_user is '$remote_user'")
    assert check.config.changing() == ["app:main", "uwsgi"]
    path.unlink()
    (finding,) = found(link, missing="ok", changes=changes)
    assert str(finding).startswith(f"{path}: the file does not exist")


def test_what_does_not_work_in_a_paste_deploy_file_that_names_a_galaxy_yml(path: Path) -> None:
    link = path.with_name("web.ini")
    link.write_text(LINK.format(path) + "brand = x\n", encoding="utf-8")
    (message,) = shown(link)
    assert message.startswith(
        f"{link}:7: [app:main] brand: Galaxy's job handlers do not get this option, because they read {path}"
    )
    link.write_text(LINK.format(path) + "server_name = x\n", encoding="utf-8")
    (message,) = shown(link, handlers=HANDLERS, handlers_mode="dynamic", assign_with=["db-skip-locked"])
    assert message.startswith(f"{link}:7: [app:main] server_name: Galaxy's job handlers do not get this option")
    link.write_text(LINK.format(path).replace("galaxy_wsgi:", "galaxy.web.buildapp:"), encoding="utf-8")
    (message,) = shown(link)
    assert message.startswith(
        f"{link}:6: [app:main] galaxy_config_file: only the factory galaxy_wsgi:app_factory reads this option"
    )


UWSGI = (
    "galaxy: {}\nuwsgi:\n  processes: 4\n  module: galaxy.webapps.galaxy.buildapp:uwsgi_app()\n  buffer-size: 65536\n"
)


def test_section_of_uwsgi_is_checked_and_listed(path: Path) -> None:
    path.write_text(UWSGI, encoding="utf-8")
    alone = found(path, galaxy_version="21.09")
    assert [(finding.line, finding.severity) for finding in alone] == [(5, "error"), (2, "warning")]
    assert "move processes to uwsgi_processes" in alone[1].message
    beside = found(path, galaxy_version="22.05", uwsgi_options={"lazy-apps": True})
    assert [(finding.line, finding.severity) for finding in beside] == [(2, "warning"), (5, "warning")]
    old, *_same = found(path, galaxy_version="21.09", uwsgi_options={"processes": 2})
    assert (old.line, old.severity) == (0, "error")
    assert old.message == "the role uwsgi serves a galaxy.yml of Galaxy 22.05 and later, and this is Galaxy 21.09: name a galaxy.ini"
    assert [finding.line for finding in found(path)] == [2, 5]
    assert found(path, changes=[("app:main", {})]) == []


def test_secret_in_a_file_that_everybody_may_read_is_none(path: Path) -> None:
    path.write_text("galaxy:\n  use_remote_user: true\n  remote_user_secret: swordfish\n", encoding="utf-8")
    path.chmod(0o644)
    (message,) = shown(path, remote_user="$remote_user")
    assert message.startswith(f"{path}:3: [galaxy] remote_user_secret: every account of the host can read {path}")
    assert "swordfish" not in message


def test_secret_that_no_role_can_write_is_an_error(path: Path) -> None:
    path.write_text("galaxy:\n  use_remote_user: true\n", encoding="utf-8")
    (message,) = shown(path, remote_user="$remote_user")
    assert message.startswith(f"{path}:1: [galaxy] remote_user_secret: Galaxy and nginx share this secret, and the roles never write a galaxy.yml")
    assert len(shown(path, {"GALAXY_CONFIG_REMOTE_USER_SECRET": "swordfish"}, remote_user="$remote_user")) == 1
    path.write_text("galaxy:\n  use_remote_user: true\n  remote_user_secret: swordfish\n", encoding="utf-8")
    assert shown(path, {"GALAXY_CONFIG_REMOTE_USER_SECRET": "another"}, remote_user="$remote_user") == []
    (message,) = shown(path, {"GALAXY_CONFIG_OVERRIDE_REMOTE_USER_SECRET": "another"}, remote_user="$remote_user")
    assert message.startswith(f"GALAXY_CONFIG_OVERRIDE_REMOTE_USER_SECRET: nginx sends the secret of {path}, and Galaxy believes that of this variable")


def test_environment_is_no_way_around_a_check(run_module: Run, path: Path) -> None:
    secret = {
        "GALAXY_CONFIG_OVERRIDE_USE_REMOTE_USER": "true",
        "GALAXY_CONFIG_REMOTE_USER_SECRET": "swordfish-and-more",
    }
    for file in (path, path.with_name("web.ini")):
        if file != path:
            file.write_text("[app:main]\npaste.app_factory = galaxy.web.buildapp:app_factory\n", encoding="utf-8")
        result = run_module(
            "paste_check", path=str(file), galaxy_version="21.09", galaxy_environment=secret, reach="network"
        )
        assert result["msg"].startswith("GALAXY_CONFIG_OVERRIDE_USE_REMOTE_USER: clients speak to uWSGI itself")
        assert "swordfish" not in str(result)
    # What nobody knows is not complained about.
    path.write_text(GOOD + "  \n", encoding="utf-8")
    assert found(path, environment=["GALAXY_CONFIG_OVERRIDE_USE_REMOTE_USER"], reach="network") == []


OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "database_connection": st.sampled_from(["postgresql://u:p@h/d", "sqlite:///x", "postgresql+psycopg2:///x"]),
    "track_jobs_in_database": st.sampled_from([True, False, "yes", "no"]),
    "use_remote_user": st.sampled_from([True, False, "on", "off", "y"]),
    "remote_user_header": st.sampled_from(["HTTP_X_USER", "X-User"]),
    "remote_user_secret": st.sampled_from(["swordfish", "sword fish", ""]),
    "single_user": st.sampled_from(["a@example.org", ""]),
    "server_name": st.just("web"),
    "log_destination": st.just("/var/log/x"),
    "enable_sse_updates": st.booleans(),
    "enable_mcp_server": st.booleans(),
    "mcp_server_path": st.sampled_from(["/api/mcp", "/x"]),
    "job_config_file": st.sampled_from(["/etc/none.yml", "jobs.yml", "config/jobs.yml"]),
    "brand_by_host": st.sampled_from(["x", ""]),
    "admin_users": st.just("['a', 'b']"),
    "file_sources": st.just("x"),
    "brand": st.one_of(st.integers(0, 9), st.text("abc ", min_size=1).map(str.strip).filter(bool)),
}
CALLERS: list[dict[str, Any]] = [
    {},
    {"handlers": HANDLERS, "assign_with": ["db-preassign"], "handlers_mode": "static"},
    {"handlers": HANDLERS, "assign_with": ["db-skip-locked"], "handlers_mode": "dynamic"},
    {"handlers": [], "remote_user": ""},
    {"remote_user": "$remote_user", "reach": "host", "asgi_paths": []},
    {"reach": "network", "asgi_paths": ["/api/mcp"], "uwsgi_listen": "http"},
    {"galaxy_version": "21.09"},
    {"uwsgi_options": {"processes": 2}},
    {"galaxy_version": "18.01"},
    {"uwsgi_options": {"lazy-apps": True}},
]


@given(
    st.fixed_dictionaries({}, optional=OPTIONS),
    st.sampled_from(CALLERS),
    st.sampled_from([{}, {"GALAXY_CONFIG_OVERRIDE_USE_REMOTE_USER": "true"}, {"GALAXY_CONFIG_SERVER_NAME": "x"}]),
)
def test_same_options_give_the_same_findings_in_both_formats(
    tmp_path_factory: pytest.TempPathFactory, options: dict[str, Any], how: dict[str, Any], variables: dict[str, str]
) -> None:
    """But for the place, and for what a role would write."""
    directory = tmp_path_factory.mktemp("both")
    version = galaxy.parse_version(how.get("galaxy_version", "26.1"))
    old = galaxy.Galaxy(version).before(22, 5)
    factory = "galaxy.web.buildapp:app_factory" if old else "galaxy_wsgi:app_factory"
    ini, yml = directory / "x.ini", directory / "y.yml"
    ini.write_text(
        f"[app:main]\npaste.app_factory = {factory}\n"
        + "".join(f"{name} = {value}\n" for name, value in options.items()),
        encoding="utf-8",
    )
    yml.write_text(yaml.safe_dump({"galaxy": options}), encoding="utf-8")
    (directory / "jobs.yml").write_text(
        "runners: {}\nhandling: {assign: [db-self], processes: {handler0: {}}}\n", encoding="utf-8"
    )

    def comparable(file: Path) -> set[Finding]:
        return {
            replace(
                finding,
                path=finding.path.replace(str(file), "FILE"),
                line=0,
                section=finding.section.replace("app:main", "galaxy"),
                message=finding.message.replace(str(file), "FILE").replace("[app:main]", "[galaxy]"),
            )
            for finding in found(file, variables, **how)
            # The roles write this into an INI file.
            if "the roles never write a galaxy.yml" not in finding.message
        }

    assert comparable(ini) == comparable(yml)
