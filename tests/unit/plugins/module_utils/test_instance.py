# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance gets no name under which the host has something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._instance import findings, others, sharing, sharing_handlers

OURS = "# Written by Ansible (galaxyops.uwsgi.nginx_proxy): the next run overwrites what you change here.\n"

UNIT = "# Managed by the role galaxyops.uwsgi.uwsgi: changes made here are lost.\n[Unit]\n"
GRAVITY = ";\n; This file is maintained by Gravity - CHANGES WILL BE OVERWRITTEN\n;\n\n[Unit]\n"
GALAXY_SYSTEMD = "[Unit]\nDescription=Galaxy Handlers\nAfter=network.target\n"
ROLES = ("uwsgi_instance", "job_handlers_instance", "nginx_proxy_instance")


def put(root: Path, path: str, text: str = "") -> None:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/etc/ssh/sshd_config", "/etc/ssh"),
        ("/run/ssh/pid", "/run/ssh"),
        ("/run/ssh", "/run/ssh"),
        ("/var/www/ssh/index.html", "/var/www/ssh"),
        ("/usr/lib/systemd/system/ssh.service", "/usr/lib/systemd/system/ssh.service"),
        ("/usr/lib/systemd/system/ssh.slice", "/usr/lib/systemd/system/ssh.slice"),
        ("/etc/systemd/system/ssh-web@.service", "/etc/systemd/system/ssh-web@.service (of somebody else)"),
        ("/etc/systemd/system/ssh-handler@.service", "/etc/systemd/system/ssh-handler@.service"),
    ],
)
def test_name_of_something_else_is_refused_and_that_is_named(tmp_path: Path, path: str, named: str) -> None:
    put(tmp_path, path)
    (finding,) = findings("ssh", "uwsgi_instance", root=str(tmp_path))
    assert finding.severity == "error"
    assert f"uwsgi_instance is 'ssh', and this host has {named} already" in finding.message


def test_configuration_of_nginx_is_not_that_of_an_instance(tmp_path: Path) -> None:
    put(tmp_path, "/etc/nginx/nginx.conf", "user www-data galaxyops-nginx; # galaxyops.uwsgi.nginx_proxy, instead of www-data;\n")
    (finding,) = findings("nginx", "nginx_proxy_instance", root=str(tmp_path))
    assert "/etc/nginx" in finding.message


def test_name_that_nothing_has_is_free(tmp_path: Path) -> None:
    (tmp_path / "run/galaxy").mkdir(parents=True)
    # What the instance is to replace
    put(tmp_path, "/etc/systemd/system/galaxy.service")
    put(tmp_path, "/etc/galaxy-other/web.json")
    assert findings("galaxy", "uwsgi_instance", root=str(tmp_path)) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/galaxy/web.json", ""),
        ("/etc/galaxy/handlers.json", ""),
        ("/etc/galaxy/web.json.2026-01-01@12:00:00~", ""),
        ("/usr/local/sbin/galaxy-web", "#!/bin/sh\n# Managed by Ansible (galaxyops.uwsgi): changes made here are lost.\n"),
        ("/etc/nginx/sites-available/galaxy.conf", OURS),
        ("/etc/nginx/galaxyops/other/galaxy.conf", OURS),
    ],
)
def test_instance_of_ours_keeps_its_name(tmp_path: Path, path: str, text: str) -> None:
    for other in ("/etc/galaxy/x", "/run/galaxy/web.sock", "/var/www/galaxy/_maintenance.html", "/etc/systemd/system/galaxy-web.service"):
        put(tmp_path, other, UNIT)
    assert findings("galaxy", "uwsgi_instance", root=str(tmp_path)) != []
    put(tmp_path, path, text)
    assert findings("galaxy", "uwsgi_instance", root=str(tmp_path)) == []


def test_configuration_of_the_application_may_be_there(tmp_path: Path) -> None:
    put(tmp_path, "/etc/galaxy/galaxy.ini")
    assert findings("galaxy", "uwsgi_instance", "/etc/galaxy/galaxy.ini", str(tmp_path)) == []
    assert others("galaxy", "/etc/galaxy.ini", str(tmp_path)) == ["/etc/galaxy"]


def test_unit_in_a_directory_of_two_names_is_named_once(tmp_path: Path) -> None:
    put(tmp_path, "/usr/lib/systemd/system/ssh.service")
    (tmp_path / "lib").symlink_to("usr/lib")
    assert others("ssh", root=str(tmp_path)) == ["/usr/lib/systemd/system/ssh.service"]


def ours(root: Path, instance: str = "galaxy") -> None:
    """An instance that the roles have written before."""
    put(root, f"/etc/{instance}/web.json")
    put(root, f"/etc/systemd/system/{instance}-web@.service", UNIT)
    put(root, f"/etc/systemd/system/{instance}-handler@.service", UNIT)
    put(root, f"/etc/supervisor/conf.d/{instance}-web.conf", f"; {UNIT[2:]}[program:{instance}-web-pool]\n")
    put(root, f"/etc/nginx/sites-available/{instance}.conf", OURS)


def messages(root: Path, instance: str = "galaxy") -> dict[str, str]:
    """What each role says against the name, by the variable of the name."""
    found = {variable: findings(instance, variable, root=str(root)) for variable in ROLES}
    return {variable: finding.message for variable, list_ in found.items() for finding in list_}


@pytest.mark.parametrize("is_ours", [False, True])
@pytest.mark.parametrize(
    ("path", "text", "owner", "variable"),
    [
        ("/etc/systemd/system/galaxy-handler@.service", GRAVITY, "of Gravity", "job_handlers_instance"),
        ("/etc/systemd/system/galaxy-handler@.service", GALAXY_SYSTEMD, "usegalaxy_eu.galaxy_systemd", "job_handlers_instance"),
        ("/etc/systemd/system/galaxy-handler@0.service", "[Unit]\n", "of somebody else", "job_handlers_instance"),
        ("/etc/systemd/system/galaxy-web.service", "# Ansible managed\n", "of somebody else: 'Ansible managed'", "uwsgi_instance"),
        ("/etc/systemd/system/galaxy-web.socket", "", "of somebody else", "uwsgi_instance"),
        ("/etc/systemd/system/galaxy-web-8080.socket", "", "of somebody else", "uwsgi_instance"),
        ("/etc/systemd/system/galaxy-log.service", "[Unit]\n", "of somebody else", "uwsgi_instance"),
        ("/etc/supervisor/conf.d/galaxy-web.conf", "[program:x]\n", "of somebody else", "uwsgi_instance"),
        ("/etc/supervisor/conf.d/mine.conf", "[program:galaxy-web-1]\n", "has the program galaxy-web-1", "uwsgi_instance"),
        ("/etc/supervisor/supervisord.conf", "[x]\n" * 500 + "[program:galaxy-handler-main]\n", "galaxy-handler-main", "job_handlers_instance"),
        ("/etc/supervisor/conf.d/mine.conf", "[group:galaxy-web-pool]\nprograms = x\n", "has the program galaxy-web-pool", "uwsgi_instance"),
        ("/etc/supervisor/conf.d/mine.conf", "[eventlistener:galaxy-handler-x]\n", "has the program galaxy-handler-x", "job_handlers_instance"),
        ("/etc/supervisor/conf.d/galaxy-handlers.conf", "[program:x]\n", "of somebody else", "job_handlers_instance"),
        ("/etc/nginx/sites-available/galaxy.conf", "server {}\n", "of somebody else", "nginx_proxy_instance"),
        ("/etc/nginx/sites-enabled/galaxy.conf", "server {}\n", "of somebody else", "nginx_proxy_instance"),
        ("/usr/local/sbin/galaxy-web", "#!/bin/sh\n", "of somebody else", "uwsgi_instance"),
    ],
)
def test_file_of_somebody_else_stops_the_role_that_writes_it(tmp_path: Path, path: str, text: str, owner: str, variable: str, is_ours: bool) -> None:
    if is_ours:
        ours(tmp_path)
    put(tmp_path, path, text)
    said = messages(tmp_path)
    assert f"{variable} is 'galaxy', and this host has {path} (" in said[variable]
    assert owner in said[variable] and "Choose another name, such as uwsgi_instance: gx" in said[variable]
    if is_ours:
        assert list(said) == [variable], "the other roles write other files"


def test_program_in_a_file_that_supervisor_includes_is_named(tmp_path: Path) -> None:
    put(tmp_path, "/etc/supervisor/supervisord.conf", "[supervisord]\n[include]\nfiles = conf.d/*.conf ; ours\n  /srv/programs/*.ini\n")
    put(tmp_path, "/srv/programs/mine.ini", "[program:galaxy-web-1]\n")
    assert "/srv/programs/mine.ini (" in messages(tmp_path)["uwsgi_instance"]
    put(tmp_path, "/srv/programs/mine.ini", "[program:galaxy-webhook]\n")
    assert messages(tmp_path) == {}


def test_masked_unit_is_named(tmp_path: Path) -> None:
    ours(tmp_path)
    (tmp_path / "etc/systemd/system/galaxy-web.service").symlink_to("/dev/null")
    assert "galaxy-web.service (masked by 'systemctl mask')" in messages(tmp_path)["uwsgi_instance"]


@pytest.mark.parametrize("is_ours", [False, True])
@pytest.mark.parametrize(
    ("target", "instance", "refused"),
    [
        ("galaxy", "galaxy", True),
        ("galaxy", "galaxy-test", True),
        ("galaxy-main", "galaxy-main", True),
        ("galaxy-main", "galaxy-main-two", True),
        ("galaxy", "galaxytest", False),
        ("galaxy", "gx", False),
        ("galaxy-main", "galaxy", False),
        ("galaxy-main", "galaxy-mainly", False),
    ],
)
def test_names_of_gravity_are_refused(tmp_path: Path, target: str, instance: str, refused: bool, is_ours: bool) -> None:
    if is_ours:
        ours(tmp_path, instance)
    put(tmp_path, f"/etc/systemd/system/{target}.target", GRAVITY.replace("[Unit]", "; GRAVITY=ab12\n\n[Unit]"))
    said = messages(tmp_path, instance)
    assert list(said) == (["uwsgi_instance", "job_handlers_instance"] if refused else [])
    if refused:
        assert f"/etc/systemd/system/{target}.target of Gravity: 'galaxyctl update' stops and removes" in said["uwsgi_instance"]
        assert "uwsgi_instance: gx" in said["uwsgi_instance"]


def test_target_of_somebody_else_called_galaxy_is_no_reason(tmp_path: Path) -> None:
    put(tmp_path, "/etc/systemd/system/galaxy.target", "[Unit]\nDescription=All of Galaxy\n")
    assert messages(tmp_path) == {}


def test_name_that_is_offered_is_free(tmp_path: Path) -> None:
    put(tmp_path, "/etc/systemd/system/galaxy.target", GRAVITY)
    ours(tmp_path, "gx")
    put(tmp_path, "/etc/systemd/system/gx2-web.service")
    assert "uwsgi_instance: gx3" in messages(tmp_path)["uwsgi_instance"]


def test_instances_of_ours_are_not_in_each_others_way(tmp_path: Path) -> None:
    for instance in ("galaxy", "galaxy-web", "galaxy-handler"):
        ours(tmp_path, instance)
    for instance in ("galaxy", "galaxy-web", "galaxy-handler"):
        assert messages(tmp_path, instance) == {}


FILE = "/srv/app/app.ini"


def written(root: Path, instance: str, kind: str, **config: Any) -> None:
    """What a role has written for an instance, with its command."""
    put(root, f"/etc/{instance}/{kind}.json", json.dumps(config))
    put(root, f"/usr/local/sbin/{instance}-{kind}", f"#!/bin/sh\n{UNIT}")


@pytest.mark.parametrize(
    ("argv", "changing", "refused"),
    [
        (["uwsgi", "--ini-paste", FILE], ["app:main", "uwsgi"], True),
        (["uwsgi", "--ini", FILE, "--paste", f"config:{FILE}#site"], ["uwsgi"], True),
        (["uwsgi", "--ini-paste", "/srv/link/app.ini"], ["uwsgi"], True),
        (["uwsgi", "--ini-paste", FILE], ["app:main"], False),
        (["uwsgi", "--ini", "/etc/one/uwsgi.ini"], ["uwsgi"], False),
        (["uwsgi", "--ini-paste", "/srv/other.ini"], ["uwsgi"], False),
    ],
)
def test_options_that_another_instance_runs_by_are_not_changed(tmp_path: Path, argv: list[str], changing: list[str], refused: bool) -> None:
    put(tmp_path, FILE)
    (tmp_path / "srv/link").symlink_to("app")
    written(tmp_path, "one", "web", argv=argv)
    found = sharing("two", FILE, changing, str(tmp_path))
    assert bool(found) is refused
    if refused:
        assert str(found[0]).startswith(f"{FILE}: [uwsgi] the section is that of the instance one, ")
        assert "uwsgi_config_format: ini" in found[0].message
    assert sharing("one", FILE, changing, str(tmp_path)) == []


@pytest.mark.parametrize(
    ("names", "registered", "reason"),
    [
        (["handler0"], [], "the job handlers handler0 for this file, and two processes of one name"),
        (["mine"], ["handler0", "handler1"], "the job handlers handler0, handler1 for this file, and this run would remove them"),
        (["mine"], ["mine", "somebody"], ""),
    ],
)
def test_handlers_of_another_instance_stay(tmp_path: Path, names: list[str], registered: list[str], reason: str) -> None:
    written(tmp_path, "one", "handlers", config_file=FILE, handlers={"handler0": {}, "handler1": {}})
    found = sharing_handlers("two", FILE, names, registered, str(tmp_path))
    assert (reason in found[0].message) if reason else found == []
    assert sharing_handlers("one", FILE, names, registered, str(tmp_path)) == []
    assert sharing_handlers("two", "/srv/other.ini", names, registered, str(tmp_path)) == []


def test_files_of_other_programs_are_not_those_of_instances(tmp_path: Path) -> None:
    put(tmp_path, "/etc/grafana/web.json", json.dumps({"argv": [FILE]}))
    written(tmp_path, "broken", "web")
    put(tmp_path, "/etc/broken/web.json", "{")
    assert sharing("two", FILE, ["uwsgi"], str(tmp_path)) == []
