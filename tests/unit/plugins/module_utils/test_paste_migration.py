# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Galaxy that Paste serves would be in the options of the roles."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy, _handlers, _job_conf, _paste_ini
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_migration as migration

# In the manner of the sample of those years: a few options that are set, between hundreds that are commented out.
COMMENTED = "".join(f"# What option_{number} does, in a line or two, and its default.\n#option_{number} = {number}%\n\n" for number in range(300))
INI = f"""\
# A sample, adapted by an administrator.

[server:main]
use = egg:Paste#http
port = 8080
#host = 0.0.0.0
use_threadpool = True
threadpool_workers = 10

[server:web0]
use = egg:Paste#http
port = 8081
threadpool_workers = 7

[server:handler0]
use = egg:Paste#http
port = 8090
threadpool_workers = 20

[server:handler1]
use = egg:Paste#http
port = 8091

[filter:gzip]
use = egg:Paste#gzip

[filter:proxy-prefix]
use = egg:PasteDeploy#prefix
prefix = /galaxy

[app:main]
paste.app_factory = galaxy.web.buildapp:app_factory
filter-with = proxy-prefix
{COMMENTED}
database_connection = postgresql://galaxy:p%%40ss@localhost/galaxy
job_config_file = config/job_conf.xml
nginx_x_accel_redirect_base = /_x_accel_redirect
file_path = /data/galaxy/files

[uwsgi]
socket = 127.0.0.1:4001
processes = 3
buffer-size = 16384
harakiri = 600
pythonpath = lib
master = True
"""
SUPERVISOR = """\
; of the training
[program:web]
command         = /srv/galaxy/.venv/bin/python ./scripts/paster.py serve config/galaxy.ini --server-name=web0 --log-file=web.log
directory       = /srv/galaxy/server
user            = gxuser ; not root
environment     = PATH="/srv/galaxy/.venv/bin:/usr/bin",DRMAA_LIBRARY_PATH="/usr/lib/libdrmaa.so"

[program:handler]
command         = python ./lib/galaxy/main.py -c config/galaxy.ini --server-name=handler%(process_num)s
process_name    = handler%(process_num)s
numprocs        = 2
directory       = /srv/galaxy/server
user            = gxuser

[group:galaxy]
programs = web,handler

[program:munge]
command = /usr/sbin/munged

[group:mixed]
programs = handler,munge
"""
NGINX = """\
upstream galaxy { server localhost:8081; }
server {
    listen 80;
    server_name galaxy.example.org;
    return 301 https://$host$request_uri;
}
server {
    listen 443 ssl;
    server_name galaxy.example.org "www.example.org"; # both
    ssl_certificate /etc/ssl/galaxy.pem;
    ssl_certificate_key /etc/ssl/galaxy.key;
    client_max_body_size 10g;
    location / { proxy_pass http://galaxy; }
}
"""
HANDLING = _job_conf.Handling(
    handlers=(_job_conf.Handler("handler0", ("handlers",), ()), _job_conf.Handler("handler1", ("handlers", "big"), ("slurm",))), default="handlers"
)
HOST = migration.Host(
    "/srv/galaxy/server/config/galaxy.ini",
    INI,
    "/srv/galaxy/server",
    "root",
    HANDLING,
    {"/etc/supervisor/conf.d/galaxy.conf": SUPERVISOR},
    {"/etc/nginx/sites-enabled/galaxy": NGINX, "/etc/nginx/sites-enabled/blog": "server { listen 80; location / { proxy_pass http://127.0.0.1:3000; } }"},
    _galaxy.parse_version("16.10"),
)
PLAN = migration.plan(HOST)


def without(**changes: object) -> migration.Plan:
    """The plan of a host that differs."""
    return migration.plan(dataclasses.replace(HOST, **changes))  # type: ignore[arg-type]


def test_everything_known_of_the_host_becomes_an_option() -> None:
    assert PLAN.inputs == {
        "galaxy_config_file": "/srv/galaxy/server/config/galaxy.ini",
        "galaxy_server_dir": "/srv/galaxy/server",
        "galaxy_user": "gxuser",
        "galaxy_venv_dir": "/srv/galaxy/.venv",
        "job_handlers": [{"id": "handler0", "tags": ["handlers"]}, {"id": "handler1", "tags": ["handlers", "big"], "plugins": ["slurm"]}],
        "job_handlers_assign_with": ["db-preassign"],
        "job_handlers_config_file": "/srv/galaxy/server/config/job_conf.xml",
        "job_handlers_default": "handlers",
        "nginx_proxy_client_max_body_size": "10g",
        "nginx_proxy_port": 80,
        "nginx_proxy_prefix": "/galaxy",
        "nginx_proxy_server_names": ["galaxy.example.org", "www.example.org"],
        "nginx_proxy_ssl_certificate": "/etc/ssl/galaxy.pem",
        "nginx_proxy_ssl_certificate_key": "/etc/ssl/galaxy.key",
        "nginx_proxy_ssl_port": 443,
        "nginx_proxy_x_accel_base": "/_x_accel_redirect",
        "nginx_proxy_x_accel_dirs": ["/data/galaxy/files"],
        "uwsgi_environment": {"DRMAA_LIBRARY_PATH": "/usr/lib/libdrmaa.so"},
        "uwsgi_options": {"buffer-size": 16384, "harakiri": 600},
        "uwsgi_processes": 3,
        "uwsgi_threads": 10,
    }
    assert _handlers.problems(PLAN.inputs["job_handlers"]) == []


def test_each_leftover_has_its_file_and_line() -> None:
    found = {(leftover.kind, leftover.name): leftover for leftover in PLAN.leftovers}
    lines = INI.splitlines()
    for kind, name in (("server", "server:main"), ("server", "server:handler1"), ("filter", "filter:proxy-prefix")):
        assert lines[found[kind, name].line - 1] == f"[{name}]"
    assert lines[found["socket", "socket = 127.0.0.1:4001"].line - 1] == "socket = 127.0.0.1:4001"
    assert found["program", "handler"].path == "/etc/supervisor/conf.d/galaxy.conf"
    assert SUPERVISOR.splitlines()[found["program", "handler"].line - 1] == "[program:handler]"
    assert "port 8090" in found["server", "server:handler0"].action
    assert found["site", "galaxy"].line == 7
    assert PLAN.ports == [8080, 8081, 8090, 8091, 4001]


def test_programs_are_told_apart_and_others_stay_in_the_file() -> None:
    assert (PLAN.web_programs, PLAN.handler_programs) == (["web"], ["handler"])
    assert PLAN.groups == ["galaxy", "mixed"]
    (text,) = list(PLAN.rewritten.values())
    assert text is not None
    assert "; of the training" in text
    assert {section.name for section in _paste_ini.parse(text).sections} == {"program:munge", "group:mixed"}
    assert _paste_ini.get_options(text, "group:mixed") == {"programs": "munge"}


def test_a_file_of_which_nothing_is_left_goes() -> None:
    text = SUPERVISOR[: SUPERVISOR.index("[program:munge]")]
    assert without(supervisor={"/x.conf": text}).rewritten == {"/x.conf": None}


def test_plan_of_the_training_has_no_notes_and_no_problems() -> None:
    assert (PLAN.notes, PLAN.problems) == ([], [])


def test_programs_of_something_else_stay() -> None:
    other = "[program:web]\ncommand = /opt/other/bin/paster serve other.ini\ndirectory = /opt/other\n"
    plan = without(supervisor={"/other.conf": other})
    assert (plan.rewritten, plan.web_programs) == ({}, [])


def test_a_broken_file_of_supervisor_is_noted() -> None:
    problem, _no_user = without(supervisor={"/x.conf": "web\n"}).problems
    assert problem.startswith("/x.conf:1:")


def test_sites_of_something_else_stay() -> None:
    assert PLAN.sites == ["/etc/nginx/sites-enabled/galaxy"]


@pytest.mark.parametrize("what", ["root /srv/other;", "return 404;"])
def test_a_file_with_two_sites_is_left_alone(what: str) -> None:
    plan = without(nginx={"/x": NGINX + f"server {{ server_name other; {what} }}\n"})
    assert plan.sites == []
    assert any("/x:15: the file has a site of something else too" in problem for problem in plan.problems), plan.problems


def test_sites_with_a_port_of_an_earlier_uwsgi_are_found() -> None:
    assert without(nginx={"/x": "server { listen 8000; location / { uwsgi_pass 127.0.0.1:4001; } }"}).sites == ["/x"]


REMOTE_USER_INI = INI.replace("file_path =", "use_remote_user = True\nfile_path =")
PASSWORD = 'auth_basic "galaxy\'s staff"; auth_basic_user_file /etc/nginx/passwd;'
HEADER = "proxy_set_header REMOTE_USER $remote_user;"


def site(text: str, ini: str = REMOTE_USER_INI) -> migration.Plan:
    """The plan of a Galaxy with such a site."""
    return without(text=ini, nginx={"/x": text})


@pytest.mark.parametrize(
    "text",
    [
        f"server {{\n{PASSWORD}\nlocation / {{ {HEADER} proxy_pass http://localhost:8080; }} }}",
        f"server {{\n{HEADER} location /\n{{ {PASSWORD} proxy_pass http://localhost:8080; location /api {{ proxy_pass http://localhost:8080; }} }} }}",
        f"server {{ location /\n{{ {PASSWORD} satisfy all; uwsgi_param HTTP_REMOTE_USER $remote_user; uwsgi_pass 127.0.0.1:4001; }} }}",
    ],
)
def test_login_by_the_password_of_the_site_is_carried_over(text: str) -> None:
    plan = site(text)
    assert plan.inputs["nginx_proxy_remote_user"] == "$remote_user"
    assert plan.inputs["nginx_proxy_location_snippet"] == 'auth_basic "galaxy\'s staff";\nauth_basic_user_file /etc/nginx/passwd;\n'
    assert not any("/x" in note for note in plan.notes)


def test_password_of_a_galaxy_with_logins_of_its_own_is_carried_over_too() -> None:
    plan = site(f"server {{ {PASSWORD} location / {{ {HEADER} proxy_pass http://localhost:8080; }} }}", INI)
    assert "auth_basic_user_file" in plan.inputs["nginx_proxy_location_snippet"]
    assert "nginx_proxy_remote_user" not in plan.inputs


@pytest.mark.parametrize("api", ["auth_basic off;", "satisfy any; allow all;", 'auth_basic "other";'], ids=["off", "any", "other"])
def test_password_for_some_requests_only_is_left_to_a_person(api: str) -> None:
    """Sent without a check, the name in a password would be anybody's."""
    text = (
        f"server {{\n{HEADER}\n{PASSWORD}\nlocation / {{ proxy_pass http://localhost:8080; }}\nlocation /api {{ {api} proxy_pass http://localhost:8080; }} }}"
    )
    plan = site(text)
    assert not {"nginx_proxy_remote_user", "nginx_proxy_location_snippet"} & plan.inputs.keys()
    first, second = plan.problems[:2]
    assert first.startswith("/x:3: the site asks for a password in some places only: set nginx_proxy_location_snippet")
    assert second == (
        "/x:2: Galaxy takes the user from HTTP_REMOTE_USER (use_remote_user), and the site sends $remote_user: "
        "set nginx_proxy_remote_user, and what it needs, before the move"
    )


@pytest.mark.parametrize(
    ("lines", "inputs", "note"),
    [
        ("set_real_ip_from 10.0.0.7; proxy_set_header Remote-User $http_x_user;", {"remote_user": "$http_x_user", "trusted_proxies": ["10.0.0.7"]}, ""),
        ("proxy_set_header Remote-User $http_x_user;", {"remote_user": "$http_x_user"}, "set nginx_proxy_trusted_proxies"),
        (
            "ssl_client_certificate /etc/ca.pem; proxy_set_header Remote-User $ssl_client_s_dn_legacy;",
            {"remote_user": "$ssl_client_s_dn", "ssl_client_certificate": "/etc/ca.pem"},
            "check that users stay the same",
        ),
        ("proxy_set_header Remote-User $remote_user@example.org;", {}, "the site sends $remote_user@example.org: set nginx_proxy_remote_user"),
        ("proxy_set_header Host $host;", {}, "does not send the same one for all requests: set nginx_proxy_remote_user"),
    ],
)
def test_user_of_another_kind_is_carried_over_or_named(lines: str, inputs: dict[str, object], note: str) -> None:
    plan = site(f"server {{ {lines} location / {{ proxy_pass http://localhost:8080; }} }}")
    found = {name: value for name, value in plan.inputs.items() if name.startswith(("nginx_proxy_remote", "nginx_proxy_trusted", "nginx_proxy_ssl_client"))}
    assert found == {f"nginx_proxy_{name}": value for name, value in inputs.items()}
    told = [*plan.notes, *plan.problems]
    assert [note in line for line in told if line.startswith("/x:1: Galaxy takes the user")] == ([True] if note else [])


def test_options_are_those_of_the_application_behind_all_others() -> None:
    ini = (
        "[DEFAULT]\nport = 8081\njob_config_file = /nobody/reads/this.xml\n[server:main]\nuse = other\n[server:other]\nuse = egg:Paste#http\nport = 9000\n"
        "[composite:main]\nuse = egg:Paste#urlmap\n/ = galaxy\n[app:galaxy]\nuse = config:app.ini\nfilter-with = proxy-prefix\n"
        "[filter:proxy-prefix]\nuse = egg:PasteDeploy#prefix\nprefix = /galaxy\n"
    )
    other = "[app:main]\npaste.app_factory = galaxy.web.buildapp:app_factory\nnginx_x_accel_redirect_base = /_x\nnginx_upload_store = /up\n"
    plan = migration.plan(migration.Host("/srv/galaxy.ini", ini, "/srv", "galaxy", read={"/srv/app.ini": other}.get))
    assert plan.inputs["nginx_proxy_prefix"] == "/galaxy"
    assert plan.inputs["nginx_proxy_x_accel_base"] == "/_x"
    assert plan.inputs["job_handlers_config_file"] == "/srv/job_conf.xml"
    assert any(problem.startswith("/srv/app.ini:4: [app:main] nginx_upload_store:") for problem in plan.problems)
    # A server whose port is in DEFAULT too gets neither: Paste's own default is left.
    assert plan.ports == [8080]


def test_without_a_job_configuration_the_servers_are_the_handlers() -> None:
    plan = without(job_conf=None)
    assert plan.inputs["job_handlers"] == [{"id": "handler0", "tags": []}, {"id": "handler1", "tags": []}]
    assert plan.app_options == {"track_jobs_in_database": "true"}


def test_an_application_without_handlers_gets_none() -> None:
    plan = migration.plan(migration.Host("/srv/app/app.ini", "[server:main]\nuse = egg:Paste#http\n\n[app:main]\nuse = egg:app\n", "/srv/app", "app"))
    assert "job_handlers" not in plan.inputs
    assert plan.app_options == {}
    assert plan.ports == [8080]
    assert "uwsgi_threads" not in plan.inputs


@pytest.mark.parametrize(("version", "method"), [("", "db-preassign"), ("18.09", "db-preassign"), ("19.01", "db-skip-locked"), ("26.1.2", "db-skip-locked")])
def test_jobs_are_assigned_as_the_version_can(version: str, method: str) -> None:
    assert without(version=_galaxy.parse_version(version)).inputs["job_handlers_assign_with"] == [method]


def test_what_is_said_about_assignment_stays() -> None:
    plan = without(job_conf=dataclasses.replace(HANDLING, assign_with=("db-transaction-isolation",)), version=_galaxy.parse_version("19.09"))
    assert plan.inputs["job_handlers_assign_with"] == ["db-transaction-isolation"]


def test_more_threads_than_connections_get_connections() -> None:
    plan = without(text=INI.replace("threadpool_workers = 10", "threadpool_workers = 30"))
    assert plan.inputs["uwsgi_threads"] == 30
    assert plan.app_options["database_engine_option_max_overflow"] == "25"


def test_an_option_of_uwsgi_that_would_do_harm_is_left_out_and_noted() -> None:
    plan = without(text=INI.replace("harakiri = 600", "buffer-sizes = 1\nstats-http = 1   # no"))
    assert any("stats-http" in note and "left out" in note for note in plan.notes), plan.notes
    assert "stats-http" not in plan.inputs["uwsgi_options"]


def test_what_cannot_be_read_is_named() -> None:
    with pytest.raises(_paste_ini.PasteIniError, match="set twice"):
        without(text="[app:main]\na = 1\na = 2\n")


MAIN = _job_conf.Handler("main", line=4)


def test_a_handler_called_like_the_web_processes_is_renamed() -> None:
    plan = without(job_conf=_job_conf.Handling((MAIN,)), text=INI.split("[server:handler0]", maxsplit=1)[0] + INI[INI.index("[app:main]") :])
    assert plan.inputs["job_handlers"] == [{"id": "handler0", "tags": [], "previous_ids": ["main"]}]
    assert _handlers.problems(plan.inputs["job_handlers"]) == []
    note = plan.notes[-1]
    assert note.startswith("/srv/galaxy/server/config/job_conf.xml:4: the handler 'main' becomes 'handler0'")
    assert "the jobs that wait for 'main' go to 'handler0'" in note
    assert plan.problems == []
    # The program of that name serves the site.
    assert plan.web_programs == ["web"]


def test_a_renamed_handler_gets_a_name_that_nobody_has_and_stays_the_default() -> None:
    handlers = (_job_conf.Handler("handler0", ("handler1",)), dataclasses.replace(MAIN, tags=("big",), plugins=("slurm",)), _job_conf.Handler("main.x"))
    plan = without(job_conf=_job_conf.Handling(handlers, default="main"))
    assert plan.inputs["job_handlers"][1:] == [
        {"id": "handler2", "tags": ["big"], "plugins": ["slurm"], "previous_ids": ["main"]},
        {"id": "handler3", "tags": [], "previous_ids": ["main.x"]},
    ]
    assert plan.inputs["job_handlers_default"] == "handler2"


def test_what_names_a_renamed_handler_stops_the_move() -> None:
    references = [_job_conf.Reference("main", "tool 'bwa'", 9), _job_conf.Reference("big", "tool 'x'", 10)]
    (problem,) = without(job_conf=_job_conf.Handling((MAIN,)), references=references).problems
    assert problem.startswith("/srv/galaxy/server/config/job_conf.xml:9: tool 'bwa' names the handler 'main', which becomes 'handler0': give the handler a tag")


def test_a_program_called_main_serves_the_site_even_where_it_runs_jobs() -> None:
    text = "[program:galaxy]\ncommand = /srv/galaxy/.venv/bin/paster serve /srv/galaxy/server/config/galaxy.ini --server-name=main\n"
    plan = without(job_conf=_job_conf.Handling((MAIN,)), supervisor={"/x.conf": text})
    assert (plan.web_programs, plan.handler_programs) == (["galaxy"], [])
