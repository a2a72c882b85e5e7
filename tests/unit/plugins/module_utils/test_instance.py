# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance gets no name under which the host has something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._instance import findings, others

OURS = "# Written by Ansible (galaxyops.uwsgi.nginx_proxy): the next run overwrites what you change here.\n"


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
        ("/etc/systemd/system/ssh-web@.service", "/etc/systemd/system/ssh-web@.service"),
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
        put(tmp_path, other)
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
