# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Galaxy of some version and database can do with handlers, and how both are found out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy as galaxy
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._job_conf import Handler, Handling


@pytest.mark.parametrize(
    ("text", "release"),
    [("16.10", (16, 10)), ("19.01.rc1", (19, 1)), ("20.5.0", (20, 5)), ("26.1.2", (26, 1)), ("24.0.3.dev0", (24, 0)), ("dev", None), ("", None)],
)
def test_versions_are_read(text: str, release: Optional[tuple[int, int]]) -> None:
    version = galaxy.parse_version(text)
    assert (version.release if version else None) == release


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('VERSION_MAJOR = "19.01"\nVERSION_MINOR = "rc1"\nVERSION = VERSION_MAJOR + "x"\n', "19.01.rc1"),
        ("VERSION_MAJOR = '17.09'\nVERSION_MINOR = None\n", "17.09"),
        ("VERSION_MAJOR = '17.09'\nVERSION_MINOR = ''\n", "17.09"),
        ("nothing = 1\n", None),
    ],
)
def test_the_version_is_in_the_source(source: str, text: Optional[str]) -> None:
    version = galaxy.version_of_source(source)
    assert (version.text if version else None) == text


def test_the_server_directory_comes_before_the_virtualenv(tmp_path: Path) -> None:
    server, venv = str(tmp_path / "server"), str(tmp_path / "venv [x]")
    assert galaxy.find_version(server, venv) is None
    assert galaxy.find_version("", "") is None
    packages = tmp_path / "venv [x]" / "lib" / "python3.11" / "site-packages"
    for name in ("galaxy_util-1.0.0", "galaxy-9.9", "galaxy_app-26.1.2"):
        (packages / f"{name}.dist-info").mkdir(parents=True)
    assert galaxy.find_version(server, venv) == galaxy.Version("26.1.2", (26, 1))
    source = tmp_path / "server" / "lib" / "galaxy" / "version.py"
    source.parent.mkdir(parents=True)
    source.write_text("VERSION_MAJOR = '18.09'\n", encoding="utf-8")
    assert galaxy.find_version(server, venv) == galaxy.Version("18.09", (18, 9))


@pytest.mark.parametrize(
    ("options", "environment", "kind"),
    [
        ({}, [], "sqlite"),
        ({"database_connection": ""}, [], "sqlite"),
        ({"database_connection": "sqlite:///x?isolation_level=IMMEDIATE"}, [], "sqlite"),
        ({"database_connection": "postgresql+psycopg2://g:********@db/g"}, [], "postgresql"),
        ({"database_connection": "postgres://db/g"}, [], "postgresql"),
        ({"database_connection": "postgresql:///galaxy"}, ["GALAXY_CONFIG_DATABASE_CONNECTION"], "postgresql"),
        ({}, ["GALAXY_CONFIG_DATABASE_CONNECTION"], ""),
        ({"database_connection": "sqlite:///x"}, ["GALAXY_CONFIG_OVERRIDE_DATABASE_CONNECTION"], ""),
    ],
)
def test_the_database_is_known(options: dict[str, str], environment: list[str], kind: str) -> None:
    assert galaxy.database_kind(options, environment) == kind


@pytest.mark.parametrize(
    ("methods", "version", "database", "expected"),
    [
        (("db-preassign",), "17.09", "sqlite", ""),
        (("db-preassign",), "26.1.2", "postgresql", ""),
        (("db-transaction-isolation",), "26.1.2", "sqlite", ""),
        (("db-skip-locked",), "26.1.2", "postgresql", ""),
        (("db-skip-locked",), "", "", ""),
        (("uwsgi-mule-message", "db-preassign"), "21.09", "sqlite", ""),
        (None, "26.1.2", "sqlite", ""),
        (("db-skip-locked",), "26.1.2", "sqlite", "which locks no rows: use db-preassign (job_handlers_assign_with)"),
        (("db-skip-locked",), "", "sqlite", "which locks no rows"),
        (("db-skip-locked",), "18.09", "postgresql", "Galaxy 18.09 does not know db-skip-locked, which came with 19.01: use db-preassign ("),
        (("db-transaction-isolation",), "18.09", "postgresql", "Galaxy 18.09 does not know db-transaction-isolation"),
        (("mem-self",), "26.1.2", "postgresql", "with mem-self the web processes run the jobs themselves"),
        (("db-preassign", "db-self"), "", "", "with db-self the web processes run the jobs themselves"),
        (("uwsgi-mule-message",), "21.09", "postgresql", "gives jobs to mules of uWSGI only"),
        (("uwsgi-mule-message", "db-preassign"), "22.5.1", "postgresql", "Galaxy 22.5.1 does not know uwsgi-mule-message"),
        (("uwsgi-mule-message", "db-preassign"), "17.09", "postgresql", "Galaxy 17.09 does not know uwsgi-mule-message"),
    ],
)
def test_methods_need_a_version_and_a_database(methods: Optional[tuple[str, ...]], version: str, database: str, expected: str) -> None:
    handling = Handling((Handler("handler0"),), methods, line=3)
    findings = galaxy.handling_findings(handling, "job_conf.xml", galaxy.Galaxy(galaxy.parse_version(version), database))
    assert len(findings) == bool(expected)
    for finding in findings:
        assert (finding.line, finding.severity) == (3, "error")
        assert expected in finding.message


def test_without_handlers_every_method_is_good() -> None:
    assert galaxy.handling_findings(Handling((), ("mem-self",)), "job_conf.xml", galaxy.Galaxy(None, "sqlite")) == []


@pytest.mark.parametrize(
    ("mode", "method", "version", "database", "expected"),
    [
        ("dynamic", "db-skip-locked", "26.1.2", "postgresql", ""),
        ("dynamic", "db-transaction-isolation", "26.1.2", "sqlite", ""),
        ("dynamic", "db-transaction-isolation", "20.5.0", "sqlite", "whose handlers would never get a job: use PostgreSQL and db-skip-locked"),
        ("static", "db-transaction-isolation", "20.5.0", "sqlite", "whose handlers would never get a job: use db-preassign ("),
        ("dynamic", "db-preassign", "26.1.2", "postgresql", "themselves to a pool: use db-transaction-isolation, or db-skip"),
        ("dynamic", "db-skip-locked", "18.09", "postgresql", "Galaxy 18.09 knows no pools of handlers, which came with 19.01"),
        ("mules", "uwsgi-mule-message", "20.5.0", "sqlite", ""),
        ("mules", "db-preassign", "21.09", "postgresql", ""),
        ("mules", "uwsgi-mule-message", "26.1.2", "sqlite", "Galaxy 26.1.2 knows no mules, which were there from 18.01 to 22.01"),
        ("mules", "uwsgi-mule-message", "17.09", "sqlite", "Galaxy 17.09 knows no mules"),
        ("mules", "mem-self", "20.5.0", "sqlite", "the handlers get none: use uwsgi-mule-message ("),
    ],
)
def test_handlers_need_a_version_that_knows_their_kind(mode: str, method: str, version: str, database: str, expected: str) -> None:
    handling = Handling((Handler("handler0"),), (method,))
    found = galaxy.Galaxy(galaxy.parse_version(version), database)
    messages = [finding.message for finding in galaxy.handling_findings(handling, "job_conf.xml", found, mode, schedulers=True)]
    assert bool(messages) == bool(expected)
    assert not expected or any(expected in message for message in messages)


@pytest.mark.parametrize(("version", "count"), [("20.5.0", 0), ("22.5.1", 1), ("26.1.2", 1), ("", 0)])
def test_web_processes_that_run_jobs_need_names_of_their_own(version: str, count: int) -> None:
    found = galaxy.handling_findings(Handling((), ("db-self",)), "job_conf.xml", galaxy.Galaxy(galaxy.parse_version(version)))
    assert ["all have one name" in finding.message for finding in found] == [True] * count


@pytest.mark.parametrize(("version", "method", "schedulers", "count"), [
    ("20.5.0", "db-skip-locked", False, 1),
    ("20.5.0", "db-skip-locked", True, 0),
    ("20.5.0", "db-preassign", False, 0),
    ("20.9.1", "db-skip-locked", False, 0),
    ("", "db-skip-locked", False, 0),
])
def test_older_releases_need_schedulers_of_workflows(version: str, method: str, schedulers: bool, count: int) -> None:
    handling = Handling((Handler("handler0"),), (method,))
    found = galaxy.handling_findings(handling, "job_conf.xml", galaxy.Galaxy(galaxy.parse_version(version), "postgresql"), schedulers=schedulers)
    assert ["{id: workflow0, workflow_scheduler: true}" in finding.message for finding in found] == [True] * count
    assert [finding.severity for finding in found] == ["warning"] * count


@pytest.mark.parametrize(("settings", "version", "method", "expected"), [
    ({"max_grab": 8}, "26.1.2", "db-skip-locked", ""),
    ({"max_grab": 8}, "26.1.2", "db-preassign", "max_grab means nothing with db-preassign"),
    ({"ready_window_size": 8}, "26.1.2", "db-preassign", ""),
    ({"ready_window_size": 8}, "21.5", "db-preassign", ""),
    ({"ready_window_size": 8}, "20.5.0", "db-preassign", "Galaxy 20.5.0 does not know ready_window_size, which came with 21.05"),
])
def test_settings_mean_something_or_are_refused(settings: dict[str, int], version: str, method: str, expected: str) -> None:
    handling = Handling((Handler("handler0"),), (method,), **settings)
    found = galaxy.handling_findings(handling, "job_conf.xml", galaxy.Galaxy(galaxy.parse_version(version), "postgresql"))
    assert [expected in finding.message for finding in found] == ([True] if expected else [])


@pytest.mark.parametrize(("version", "count"), [("20.01", 1), ("20.05", 0), ("", 0)])
def test_old_releases_read_no_yaml(version: str, count: int) -> None:
    handling = Handling((Handler("handler0"),), ("db-preassign",))
    assert len(galaxy.handling_findings(handling, "job_conf.yml", galaxy.Galaxy(galaxy.parse_version(version), "sqlite"))) == count


@pytest.mark.parametrize(
    ("value", "version", "part"),
    [
        (None, "26.1.2", ""),
        (None, "", ""),
        ("True", "17.09", ""),
        ("yes", "17.09", ""),
        (None, "17.09", "Galaxy 17.09 keeps jobs in the memory of the web processes unless this is set"),
        ("False", "26.1.2", "no handler sees them: set it to True"),
        ("off", "", "no handler sees them: set it to True"),
    ],
)
def test_jobs_must_be_tracked_in_the_database(value: Optional[str], version: str, part: str) -> None:
    options = {} if value is None else {"track_jobs_in_database": value}
    findings = galaxy.tracking_findings(options, "galaxy.ini", "app:main", 7, galaxy.parse_version(version))
    assert [part in finding.message for finding in findings] == ([True] if part else [])


def test_the_environment_must_not_rename_handlers() -> None:
    assert galaxy.environment_findings(["GALAXY_CONFIG_SERVER_NAME", "PATH"]) == []
    (finding,) = galaxy.environment_findings(["GALAXY_CONFIG_OVERRIDE_SERVER_NAME"])
    assert "--server-name" in finding.message


@given(st.one_of(st.none(), st.binary(max_size=20), st.sampled_from([b'{"seconds": 12.3}', b'{"seconds": NaN}', b'{"seconds": [1]}', b"[]", b"{}"])))
def test_a_measured_start_is_read_or_unknown(tmp_path_factory: pytest.TempPathFactory, content: Optional[bytes]) -> None:
    run = tmp_path_factory.mktemp("run")
    (run / "web-1").mkdir()
    if content is not None:
        (run / "web-1" / "started").write_bytes(content)
    seconds = galaxy.measured_start(str(run))
    assert seconds == 12.3 if content == b'{"seconds": 12.3}' else seconds is None


def test_the_longest_start_counts(tmp_path: Path) -> None:
    for slot, seconds in (("web-1", 70.25), ("web-2", 3)):
        (tmp_path / slot).mkdir()
        (tmp_path / slot / "started").write_text(f'{{"seconds": {seconds}}}', encoding="utf-8")
    assert galaxy.measured_start(str(tmp_path)) == 70.25


@pytest.mark.parametrize(("timeout", "started", "count"), [(60, 70.25, 1), (60, 60.0, 1), (61, 60.0, 0), (60, None, 0), (None, 70.0, 0)])
def test_the_proxy_must_wait_as_long_as_a_start_takes(timeout: Optional[int], started: Optional[float], count: int) -> None:
    findings = galaxy.read_timeout_findings(timeout, started)
    assert [finding.severity for finding in findings] == ["warning"] * count
    if started == 70.25:
        assert "after 60 s (nginx_proxy_read_timeout)" in findings[0].message
        assert "took 70.2 s" in findings[0].message
        assert findings[0].message.endswith("set it to 180")


@pytest.mark.parametrize("name", ["main", "main.galaxy.web1.2.3", "main.x"])
@pytest.mark.parametrize(("version", "refused"), [("17.09", True), ("18.01", False), ("22.1.5", False), ("22.5.1", True), ("26.1.2", True), ("", True)])
def test_a_handler_may_not_be_called_like_a_web_process(name: str, version: str, refused: bool) -> None:
    handling = Handling((Handler("handler0"), Handler(name, line=4), Handler("mainframe")), ("db-preassign",))
    findings = galaxy.handling_findings(handling, "job_conf.xml", galaxy.Galaxy(galaxy.parse_version(version), "postgresql"))
    assert [(finding.line, finding.severity) for finding in findings] == [(4, "error")] * refused
    for finding in findings:
        assert f"handler {name!r} has a name of the web processes" in finding.message
        assert f"{{id: handler0, previous_ids: [{name}]}}" in finding.message


@pytest.mark.parametrize(
    ("bridge", "lazy", "version", "refused"),
    [
        (True, False, "25.1.1", True),
        (True, False, "26.1.0", False),
        (True, False, "", False),
        (True, True, "25.1.1", False),
        (True, None, "25.1.1", False),
        (False, False, "25.1.1", False),
    ],
)
def test_only_newer_releases_can_be_loaded_once(bridge: bool, lazy: Optional[bool], version: str, refused: bool) -> None:
    problem = galaxy.fork_problem(galaxy.Serving(bridge, lazy), galaxy.Galaxy(galaxy.parse_version(version)))
    assert bool(problem) is refused
    assert not refused or ("Galaxy 25.1.1 answers nothing after a fork, only 26.1 and later can. Write lazy-apps: true into uwsgi_options" in problem)


@pytest.mark.parametrize(("bridge", "lazy", "refused"), [(True, False, True), (True, True, False), (True, None, False), (False, False, False)])
def test_a_bridge_that_cannot_be_forked_is_named(tmp_path: Path, bridge: bool, lazy: Optional[bool], refused: bool) -> None:
    serving = galaxy.Serving(bridge, lazy)
    old = tmp_path / "lib" / "galaxy_wsgi.py"
    old.parent.mkdir()
    assert galaxy.old_bridge_findings(serving, str(tmp_path)) == []
    old.write_text("")
    assert [finding.path for finding in galaxy.old_bridge_findings(serving, str(tmp_path))] == [str(old)] * refused
    # What lies beside the package is not loaded.
    old.with_suffix("").mkdir()
    assert galaxy.old_bridge_findings(serving, str(tmp_path)) == []


@pytest.mark.parametrize("option", ["enable_sse_updates", "enable_mcp_server"])
@pytest.mark.parametrize(
    ("serving", "version", "severity", "part"),
    [
        (galaxy.Serving(True, False), "26.1.2", "", ""),
        (galaxy.Serving(True, False), "", "", ""),
        (galaxy.Serving(True, None), "26.1.2", "", ""),
        (galaxy.Serving(True, True), "26.1.2", "error", "with lazy-apps there is no ASGI process"),
        (galaxy.Serving(True, True), "25.1", "error", "only Galaxy 26.1 and later has an ASGI process"),
        (galaxy.Serving(False, False), "", "error", "by the factory galaxy_wsgi:app_factory"),
        (galaxy.Serving(True, False, "uwsgi_listen"), "26.1.2", "error", "set uwsgi_listen to unix and use nginx_proxy, or remove the line"),
        (galaxy.Serving(True, False, "uwsgi_http_address"), "26.1.2", "warning", "clients of uwsgi_http_address do not reach the ASGI process"),
    ],
)
def test_what_needs_asgi_is_refused_where_nobody_speaks_it(option: str, serving: galaxy.Serving, version: str, severity: str, part: str) -> None:
    found = galaxy.Galaxy(galaxy.parse_version(version))
    findings = galaxy.asgi_findings([("app:main", option, "True")], serving, found, "galaxy.ini")
    assert [finding.severity for finding in findings] == ([severity] if severity else [])
    for finding in findings:
        assert part in finding.message
        assert "remove the line" in finding.message
        assert (finding.section, finding.option) == ("app:main", option)
    assert galaxy.asgi_findings([("app:main", option, "false")], serving, found, "galaxy.ini") == []


@pytest.mark.parametrize(
    ("more", "paths", "expected"),
    [
        ([], [], []),
        ([("enable_mcp_server", "on")], ["/api/mcp"], []),
        ([("enable_mcp_server", "on")], ["/api/events/stream"], ["/api/mcp"]),
        ([("enable_mcp_server", "on"), ("mcp_server_path", "/mcp/")], ["/api/mcp"], ["/mcp"]),
        ([("enable_mcp_server", "on"), ("enable_sse_updates", "yes")], [], ["/api/mcp", "/api/events/stream"]),
        ([("enable_mcp_server", "no")], [], []),
    ],
)
def test_the_proxy_leads_to_the_process_for_asgi(more: list[tuple[str, str]], paths: list[str], expected: list[str]) -> None:
    options = [("app:main", name, value) for name, value in more]
    findings = galaxy.asgi_path_findings(options, True, paths, "galaxy.ini")
    assert [finding.message.split()[4] for finding in findings] == expected
    for finding in findings:
        assert "nginx_proxy_asgi_paths, or remove the line" in finding.message
    # Another application has no such process.
    assert len(galaxy.asgi_path_findings(options, False, paths, "galaxy.ini")) == (len(expected) if paths else 0)


def remote_user_findings(options: dict[str, str], source: Optional[str] = "$remote_user", reach: str = galaxy.PROXY, mode: int = 0o640) -> list[str]:
    """The findings about a user that comes in a header, as text."""
    lines = {name: number for number, name in enumerate(options, 7)}
    return [str(finding) for finding in galaxy.remote_user_findings(options, "/g.ini", "app:main", lines, source, reach, mode)]


USED = {"use_remote_user": "True"}
SECRET = {**USED, "remote_user_secret": "abc"}


@pytest.mark.parametrize("options", [{}, {"use_remote_user": "no", "remote_user_header": "x"}, {"remote_user_secret": "a b"}, {"single_user": "a@b"}])
@pytest.mark.parametrize("reach", [galaxy.PROXY, galaxy.HOST, galaxy.NETWORK])
def test_galaxy_that_asks_for_passwords_itself_needs_no_proxy(options: dict[str, str], reach: str) -> None:
    assert remote_user_findings(options, "", reach, 0o644) == []


@pytest.mark.parametrize(
    ("options", "shared", "expected"),
    [
        ({}, {"use_remote_user": "True", "here": "/x"}, ["use_remote_user"]),
        (USED, {"remote_user_secret": "abc", "use_remote_user": "False"}, ["remote_user_secret"]),
        ({}, {"single_user": "a@example.org"}, ["single_user"]),
        (USED, {"remote_user_header": "HTTP_REMOTE_USER"}, []),
        (USED, {"use_remote_user": "False"}, []),
    ],
)
def test_what_one_part_of_galaxy_reads_and_another_does_not_is_refused(options: dict[str, str], shared: dict[str, str], expected: list[str]) -> None:
    findings = galaxy.remote_user_findings(options, "/g.ini", "app:main", {}, "$remote_user", galaxy.PROXY, 0o600, shared)
    found = [finding for finding in findings if finding.section == "DEFAULT"]
    assert [(finding.option, finding.severity) for finding in found] == [(name, "error") for name in expected]
    assert all("move the option to [app:main]" in finding.message for finding in found)


@pytest.mark.parametrize("value", ["True", "yes", "ON", "1", " t", "y"])
def test_remote_user_is_used_by_whatever_galaxy_takes_for_true(value: str) -> None:
    assert galaxy.remote_user({"use_remote_user": value}) == galaxy.RemoteUser(True, "HTTP_REMOTE_USER", False)
    assert len(remote_user_findings({"use_remote_user": value}, "")) == 1


@pytest.mark.parametrize(("options", "source", "reach"), [(USED, "$remote_user", galaxy.PROXY), (SECRET, "$sso", galaxy.PROXY), (SECRET, None, galaxy.HOST)])
def test_user_that_only_the_proxy_can_name_is_fine(options: dict[str, str], source: Optional[str], reach: str) -> None:
    assert remote_user_findings(options, source, reach) == []
    assert remote_user_findings(USED, None) == []
    # The role makes the secret.
    assert remote_user_findings(USED, "$remote_user", galaxy.HOST) == []


@pytest.mark.parametrize(
    ("options", "arguments", "parts"),
    [
        (USED, {"source": ""}, ["/g.ini:7: [app:main] use_remote_user: ", "set nginx_proxy_remote_user", "or set use_remote_user to False"]),
        (SECRET, {"reach": galaxy.NETWORK}, ["/g.ini:7: [app:main] use_remote_user: ", "any client can send HTTP_REMOTE_USER", "Set uwsgi_listen to unix"]),
        (USED, {"source": None, "reach": galaxy.HOST}, ["/g.ini: [app:main] remote_user_secret: without it every account", "48 random letters"]),
        ({**USED, "remote_user_header": "REMOTE_USER"}, {}, ["/g.ini:8: [app:main] remote_user_header: it is 'REMOTE_USER'", "such as HTTP_REMOTE_USER"]),
        ({**USED, "remote_user_secret": ""}, {}, ["/g.ini:8: [app:main] remote_user_secret: it is empty", "remove the line"]),
        ({**USED, "remote_user_secret": "not $o good"}, {}, ["remote_user_secret: nginx cannot send it"]),
        (SECRET, {"mode": 0o644}, ["remote_user_secret: every account of the host can read /g.ini", "chmod o-r /g.ini"]),
        (USED, {"mode": 0o644}, ["chmod o-r /g.ini"]),
        ({}, {}, ["[app:main] use_remote_user: nginx_proxy_remote_user is '$remote_user'", "set use_remote_user to True"]),
        ({"single_user": "a@b"}, {}, ["/g.ini:7: [app:main] single_user: ", "fails on every request"]),
    ],
)
def test_user_that_somebody_else_could_name_is_found(options: dict[str, str], arguments: dict[str, Any], parts: list[str]) -> None:
    (finding,) = remote_user_findings(options, **arguments)
    assert all(part in finding for part in parts), finding
    assert "not $o good" not in finding
