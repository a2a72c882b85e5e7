# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of the programs of supervisor and the units of systemd: nothing stops without a successor, no variable is lost."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy, _handlers, _job_conf
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _migration_programs as programs
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_migration as migration

PATH = "/srv/galaxy/config/galaxy.ini"
INI = """\
[server:main]
use = egg:Paste#http

[app:main]
paste.app_factory = galaxy.web.buildapp:app_factory
database_connection = postgresql:///galaxy
"""
WEB = f"[program:web]\nuser = gx\ncommand = /srv/galaxy/.venv/bin/paster serve {PATH}\n"
HANDLER = "[program:handler]\nuser = gx\ndirectory = /srv/galaxy\ncommand = /srv/galaxy/.venv/bin/python lib/galaxy/main.py -c config/galaxy.ini "
DYNAMIC = _job_conf.Handling(assign_with=("db-skip-locked",))


def read(text: str = "", ini: str = INI, **changes: Any) -> migration.Plan:
    """The plan of a Galaxy with these programs."""
    supervisor = {"supervisor": {"/s.conf": text}} if text else {}
    return migration.plan(migration.Host(PATH, ini, "/srv/galaxy", "galaxy", **{**supervisor, **changes}))


# Handlers


def test_handlers_that_attach_themselves_to_pools_become_dynamic_handlers() -> None:
    text = f"{HANDLER}--server-name=handler%(process_num)02d --attach-to-pool=job-handlers --attach-to-pool=job-handlers.big\nnumprocs = 3\n"
    text = text.replace(" --attach-to-pool=job-handlers ", " ").replace(
        "numprocs = 3", "numprocs = 3\nnumprocs_start = 1"
    )
    plan = read(text, job_conf=DYNAMIC)
    assert plan.problems == []
    assert plan.inputs["job_handlers"] == [{"id": f"handler0{number}", "tags": ["big"]} for number in (1, 2, 3)]
    assert (plan.inputs["job_handlers_mode"], plan.inputs["job_handlers_assign_with"]) == (
        "dynamic",
        ["db-skip-locked"],
    )
    assert _handlers.problems(plan.inputs["job_handlers"], "dynamic", ["db-skip-locked"]) == []
    assert plan.handler_programs == ["handler"]
    assert plan.app_options == {"track_jobs_in_database": "true"}


@pytest.mark.parametrize(
    ("pools", "handler"),
    [
        ("--attach-to-pool=job-handlers", {"tags": []}),
        ("--attach-to-pool job-handlers", {"tags": []}),
        ("--attach-to-pool=job-handlers.a --attach-to-pool=job-handlers.b", {"tags": ["a", "b"]}),
        ("--attach-to-pool=workflow-schedulers", {"workflow_scheduler": True}),
    ],
)
def test_pools_become_tags(pools: str, handler: dict[str, Any]) -> None:
    plan = read(f"{HANDLER}--server-name=one {pools}\n", job_conf=DYNAMIC)
    assert plan.inputs["job_handlers"] == [{"id": "one", **handler}]
    assert plan.problems == []


@pytest.mark.parametrize(
    "arguments",
    [
        "--server-name=one --attach-to-pool=job-handlers --attach-to-pool=workflow-schedulers",
        "--server-name=one --attach-to-pool=other-pool",
        "--server-name=one_%(host_node_name)s --attach-to-pool=job-handlers",
        "--attach-to-pool=job-handlers\nnumprocs = 2",
        "--server-name=one",
        "--server-name=handler%(process_num)s\nnumprocs = 2",
    ],
)
def test_handler_without_a_successor_stops_the_move(arguments: str) -> None:
    text = f"{HANDLER}{arguments}\n"
    if "numprocs" in arguments and "process_num" not in arguments:
        text += "\n" + text.replace("[program:handler]", "[program:other]")
    assert read(text, job_conf=DYNAMIC).problems, read(text, job_conf=DYNAMIC).inputs


def test_registered_handler_beside_those_of_pools_stops_the_move() -> None:
    handling = _job_conf.Handling((_job_conf.Handler("static0", line=3),), assign_with=("db-skip-locked",))
    plan = read(f"{HANDLER}--server-name=one --attach-to-pool=job-handlers\n", job_conf=handling)
    assert "/srv/galaxy/config/job_conf.xml:3" in plan.can_be_left


def test_limits_of_handlers_are_carried_over() -> None:
    handling = _job_conf.Handling(
        (_job_conf.Handler("handler0"),), ("db-skip-locked",), max_grab=16, ready_window_size=50
    )
    inputs = read(job_conf=handling).inputs
    assert (inputs["job_handlers_max_grab"], inputs["job_handlers_ready_window_size"]) == (16, 50)


def test_handlers_of_a_galaxy_without_a_job_configuration_are_those_it_names() -> None:
    servers = "".join(
        f"[server:{name}]\nuse = egg:Paste#http\nport = {port}\n\n"
        for port, name in enumerate(("web0", "web1", "manager0", "job1"), 8080)
    )
    plan = read("", f"{servers}[app:main]\nuse = egg:app\njob_manager = manager0\njob_handlers = job1\n")
    assert plan.inputs["uwsgi_processes"] == 2
    assert plan.inputs["job_handlers"] == [{"id": "job1", "tags": []}]
    assert plan.problems == []


def test_processes_of_a_web_program_are_counted() -> None:
    text = WEB.replace(PATH, f"{PATH} --server-name=web%(process_num)s") + "numprocs = 3\n"
    plan = read(text)
    assert (plan.web_programs, plan.handler_programs) == (["web"], [])
    assert plan.inputs["uwsgi_processes"] == 3


# Environment


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('A="x,y",B=z', [("A", "x,y"), ("B", "z")]),
        ("A='1', B = 2 ,\n C=\"\"", [("A", "1"), ("B", "2"), ("C", "")]),
        ("A=/x/y:/z", [("A", "/x/y:/z")]),
        ("", []),
        ("A", None),
        ('A="x', None),
        ("1A=2", None),
    ],
)
def test_environment_is_read_as_supervisor_reads_it(text: str, found: Optional[list[tuple[str, str]]]) -> None:
    if found is None:
        with pytest.raises(ValueError, match="supervisor could not read this"):
            programs.parse_environment(text)
    else:
        assert programs.parse_environment(text) == found


def test_variables_are_carried_over_to_who_had_them() -> None:
    text = f"{WEB}environment = DRMAA_LIBRARY_PATH=/x.so,HOME=/h,USER=gx\n\n{HANDLER}--server-name=handler0\nenvironment = SLURM_CONF=%(here)s/y\n"
    plan = read(text, job_conf=_job_conf.Handling((_job_conf.Handler("handler0"),)))
    assert plan.inputs["uwsgi_environment"] == {"DRMAA_LIBRARY_PATH": "/x.so"}
    assert plan.inputs["job_handlers_environment"] == {"SLURM_CONF": "//y"}
    assert {entry.name: entry.verdict for entry in plan.entries if "HOME" in entry.name} == {"[web] HOME": "not needed"}


def test_variables_of_supervisor_itself_are_carried_over() -> None:
    plan = read(f"[supervisord]\nenvironment = A=1,B=2\n\n{WEB}environment = B=3\n")
    assert plan.inputs["uwsgi_environment"] == {"A": "1", "B": "3"}


@pytest.mark.parametrize(
    "variable",
    ["GALAXY_DB_PASSWORD=swordfish", "URL=postgresql://u:swordfish@h/d", "A=%(ENV_B)s", "GALAXY_CONFIG_SERVER_NAME=x"],
)
def test_variable_that_cannot_be_carried_over_stops_the_move_and_is_not_shown(variable: str) -> None:
    plan = read(f"{WEB}environment = {variable}\n")
    name = variable.partition("=")[0]
    assert plan.can_be_left == ["/s.conf:4"]
    assert f"[web] {name}: " in plan.problems[0]
    assert "swordfish" not in f"{plan.problems}{plan.notes}{plan.inputs}{plan.entries}"
    assert read(f"{WEB}environment = {variable}\n", known={"uwsgi_environment": [name]}).problems == []


def test_two_values_of_one_variable_stop_the_move() -> None:
    other = WEB.replace("program:web", "program:web2")
    assert read(f"{WEB}environment = A=1\n\n{other}environment = A=2\n").can_be_left == ["/s.conf:9"]


@pytest.mark.parametrize(
    ("environment", "virtualenv", "path"),
    [
        ("VIRTUAL_ENV=/opt/v", "/opt/v", None),
        ("VIRTUAL_ENV=/opt/v,PATH=/opt/v/bin:/usr/bin", "/opt/v", None),
        ("PATH=/usr/local/bin:/opt/v/bin:/usr/bin", "/usr/local", None),
        ("VIRTUAL_ENV=/opt/v,PATH=/opt/v/bin:/opt/slurm/bin:/usr/bin", "/opt/v", "/opt/v/bin:/opt/slurm/bin:/usr/bin"),
    ],
)
def test_virtualenv_is_found_in_the_environment(environment: str, virtualenv: str, path: Optional[str]) -> None:
    text = f"[program:web]\nuser = gx\ndirectory = /srv/galaxy\ncommand = sh run.sh\nenvironment = {environment}\n"
    plan = read(text)
    if virtualenv == "/usr/local":
        virtualenv, path = "/opt/v", None
    assert plan.inputs["galaxy_venv_dir"] == virtualenv
    assert plan.inputs.get("uwsgi_environment", {}).get("PATH") == path


# Where programs are, and whose they are


@pytest.mark.parametrize(
    ("command", "directory", "ours"),
    [
        (f"paster serve {PATH}", "", True),
        ("paster serve config/galaxy.ini", "/srv/galaxy", True),
        ("paster serve galaxy.ini", "/srv/galaxy/config", True),
        ("paster serve galaxy.ini", "/srv/galaxy", False),
        ("paster serve /srv/other/config/galaxy.ini", "/srv/galaxy", False),
        (f"paster serve {PATH}.old", "", False),
        (f"cat {PATH}", "", False),
        (f"gunicorn --paste {PATH} -b 127.0.0.1:8080", "", True),
        ("bash -c 'cd /srv/galaxy && exec paster serve config/galaxy.ini'", "", True),
        ('su gx -c "cd /srv/galaxy; sh run.sh"', "/", True),
        ("bash -c 'cd /srv/other && exec paster serve config/galaxy.ini'", "", False),
        ("sh run.sh", "/srv/galaxy", True),
        ("sh run.sh", "/srv/other", False),
        ("python lib/galaxy/main.py --server-name=handler0", "/srv/galaxy", True),
        ("python lib/galaxy/main.py -c other.ini", "/srv/galaxy", False),
    ],
)
def test_program_is_known_by_its_file_and_its_directory(command: str, directory: str, ours: bool) -> None:
    host = migration.Host(PATH, INI, "/srv/galaxy", "galaxy")
    assert programs.is_about(host, command, directory) is ours


def test_program_in_the_main_file_of_supervisor_goes_and_the_rest_stays() -> None:
    main = f"[supervisord]\nlogfile = /x ; the log\n\n{WEB}\n[include]\nfiles = conf.d/*.ini\n"
    plan = read(supervisor={"/etc/supervisord.conf": main})
    assert plan.rewritten == {
        "/etc/supervisord.conf": "[supervisord]\nlogfile = /x ; the log\n\n[include]\nfiles = conf.d/*.ini\n"
    }


def test_unknown_option_of_a_program_is_noted() -> None:
    (note,) = read(f"{WEB}umask = 002\n").notes
    assert note.startswith("/s.conf:4: [web] umask: ")


@pytest.mark.parametrize(
    ("owner", "program", "process", "user"),
    [
        ("root", "gx", "", "gx"),
        ("root", "", "gx", "gx"),
        ("alice", "", "gx", "gx"),
        ("alice", "gx", "", "gx"),
        ("alice", "", "", "alice"),
        ("root", "", "", None),
        ("alice", "", "root", None),
        ("alice", "root", "", None),
    ],
)
def test_user_is_that_of_the_process_and_never_root(
    owner: str, program: str, process: str, user: Optional[str]
) -> None:
    text = WEB.replace("user = gx\n", f"user = {program}\n" if program else "")
    host = migration.Host(PATH, INI, "/srv/galaxy", owner, supervisor={"/s.conf": text}, process_user=process)
    plan = migration.plan(host)
    assert (plan.inputs["galaxy_user"] if plan.problems == [] else None) == user


UNIT = """\
[Unit]
Description=Galaxy

[Service]
User=gx
WorkingDirectory=/srv/galaxy
# A comment
Environment=VIRTUAL_ENV=/opt/v "DRMAA=/a b" 'C=%%d'
Environment=PATH=/opt/v/bin:/usr/bin
ExecStart=/opt/v/bin/python /opt/v/bin/paster serve \\
    config/galaxy.ini
LimitNOFILE=9999
"""


def test_unit_of_systemd_is_read_with_its_drop_ins() -> None:
    units = {
        "/etc/systemd/system/web.service": UNIT,
        "/etc/systemd/system/web.service.d/x.conf": "[Service]\nEnvironment=DRMAA=/c\n",
        "/etc/systemd/system/other.service": UNIT.replace("/srv/galaxy", "/srv/other"),
    }
    plan = read(units=units)
    assert plan.inputs["galaxy_user"] == "gx"
    assert plan.inputs["galaxy_venv_dir"] == "/opt/v"
    assert plan.inputs["uwsgi_environment"] == {"DRMAA": "/c", "C": "%d"}
    assert [leftover.name for leftover in plan.leftovers if leftover.kind == "unit"] == ["web.service"]
    (note,) = plan.notes
    assert note.startswith("/etc/systemd/system/web.service:12: [web.service] LimitNOFILE: ")


def test_environment_file_of_a_unit_stops_the_move_until_its_variables_are_set() -> None:
    units = {"/u/web.service": f"{UNIT}EnvironmentFile=-/etc/default/galaxy\n"}
    assert read(units=units).can_be_left == ["/u/web.service:13"]
    assert read(units=units, known={"uwsgi_environment": ["DRMAA", "C"]}).problems == []
    (problem,) = read(units=units, known={"uwsgi_environment": ["DRMAA"]}).problems
    assert problem.startswith(
        "/u/web.service:8: [web.service] C: the inventory sets uwsgi_environment, and this variable is not in it"
    )


def test_old_galaxy_assigns_jobs_as_it_can() -> None:
    plan = read(f"{HANDLER}--server-name=one --attach-to-pool=job-handlers\n", version=_galaxy.parse_version("19.09"))
    assert plan.inputs["job_handlers_assign_with"] == ["db-skip-locked"]


def test_program_of_something_else_in_the_same_group_is_named() -> None:
    other = "[program:other]\ncommand = /bin/sleep infinity\n\n"
    plan = read(f"{WEB}\n{other}[group:galaxy]\nprograms = web,other\n")
    (group,) = [leftover for leftover in plan.leftovers if leftover.kind == "group"]
    assert (group.path, group.line, group.name) == ("/s.conf", 9, "galaxy")
    assert group.action == "stays without them; supervisor stops other and starts it again, because the group changes"
    for text in (f"{WEB}\n{other}[group:galaxy]\nprograms = web\n", f"{WEB}\n{other}"):
        assert not any(leftover.kind == "group" for leftover in read(text).leftovers)


# What supervisor and systemd put into a line


def test_names_that_supervisor_puts_in_are_read() -> None:
    command = "command = /srv/galaxy/.venv/bin/paster serve %(here)s/galaxy.ini --server-name=%(program_name)s\n"
    text = f"[program:main]\nuser = gx\n{command}[program:handler0]\nuser = gx\n{command}[group:g]\nprograms = main,handler0\n"
    handling = _job_conf.Handling(handlers=(_job_conf.Handler("handler0"),))
    plan = read(supervisor={"/srv/galaxy/config/s.conf": text}, job_conf=handling)
    assert (plan.web_programs, plan.handler_programs, plan.groups) == (["main"], ["handler0"], ["g"])
    assert (plan.problems, "uwsgi_processes" in plan.inputs) == ([], False)
    text = f"{HANDLER}--server-name=%(group_name)s_%(process_num)s --attach-to-pool=job-handlers\n"
    assert [one["id"] for one in read(text, job_conf=DYNAMIC).inputs["job_handlers"]] == ["handler_0"]
    (problem,) = read(text.replace("group_name", "host_node_name"), job_conf=DYNAMIC).problems[:1]
    assert "nothing tells the names of its processes" in problem


def test_percent_sign_in_the_environment_of_a_program_is_single() -> None:
    text = WEB.replace("user = gx\n", 'user = gx\nenvironment = A="%%d",B=%(program_name)s,C="50%%%%"\n')
    assert read(text).inputs["uwsgi_environment"] == {"A": "%d", "B": "web", "C": "50%%"}


def test_group_of_another_file_is_left_without_the_programs() -> None:
    files = {
        "/a.conf": WEB,
        "/b.conf": "[group:galaxy]\nprograms = web\n",
        "/c.conf": "[program:other]\ncommand = x\n\n[group:mixed]\nprograms = web,other\n",
    }
    plan = read(supervisor={name: files[name] for name in ("/a.conf", "/b.conf")})
    assert (plan.rewritten, plan.groups) == ({"/a.conf": None, "/b.conf": None}, ["galaxy"])
    plan = read(supervisor={name: files[name] for name in ("/c.conf", "/a.conf")})
    assert plan.rewritten == {"/a.conf": None, "/c.conf": files["/c.conf"].replace("web,other", "other")}
    assert plan.groups == ["mixed"]
    assert [leftover.path for leftover in plan.leftovers if leftover.kind == "group"] == ["/c.conf"]


TEMPLATE = f"[Service]\nUser=gx\nExecStart=/srv/galaxy/.venv/bin/galaxy-main -c {PATH} --server-name=handler%i"


def test_instances_of_a_unit_are_no_handler_by_the_name_of_the_template() -> None:
    units = {"/u/galaxy-handler@.service": f"{TEMPLATE} --attach-to-pool=job-handlers\n"}
    plan = read(units=units, job_conf=DYNAMIC)
    assert "job_handlers" not in plan.inputs
    assert "nothing tells the names of its processes" in plan.problems[0]
    units = {"/u/galaxy-handler@.service": f"{TEMPLATE}\n"}
    handlers = tuple(_job_conf.Handler(f"handler{number}") for number in range(2))
    plan = read(units=units, job_conf=_job_conf.Handling(handlers=handlers))
    assert (plan.problems, plan.notes) == ([], [])
    assert "nothing would take the place of" in read(units=units).problems[0]


def test_value_that_only_systemd_knows_stops_the_move() -> None:
    text = "[Service]\nUser=gx\nEnvironment=A=%h/x B=%%h C=%n\nExecStart=/srv/galaxy/.venv/bin/paster serve " + PATH
    plan = read(units={"/u/web.service": text})
    assert plan.inputs["uwsgi_environment"] == {"B": "%h", "C": "web.service"}
    assert plan.can_be_left == ["/u/web.service:3"]


def test_each_environment_file_of_a_unit_is_named() -> None:
    files = "EnvironmentFile=-/etc/default/galaxy\nEnvironmentFile=/etc/b\n"
    assert read(units={"/u/web.service": f"{UNIT}{files}"}).can_be_left == ["/u/web.service:13", "/u/web.service:14"]
    none = read(units={"/u/web.service": f"{UNIT}{files}EnvironmentFile=\n"})
    assert none.problems == []
