# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a site of nginx. What templates make of it is tested with the role."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.galaxyops.uwsgi.plugins.filter.plans import nginx_plan
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans import nginx
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans.nginx_values import Inputs

ROOT = Path(__file__).resolve().parents[4]
INPUTS: dict[str, Any] = {
    "acme_root": "",
    "asgi_paths": [],
    "beside": "",
    "config_file": "/srv/galaxy/config/galaxy.ini",
    "fail_on": "error",
    "hsts_max_age": 0,
    "instance": "galaxy",
    "interactive_tools_upstream": "",
    "ipv6": False,
    "location_snippet": "",
    "maintenance_page": "",
    "port": 80,
    "prefix": "",
    "read_timeout": 600,
    "remote_user": "",
    "remove_default_site": True,
    "server_names": [],
    "server_snippet": "",
    "socket_group": "galaxyops-nginx",
    "ssl_certificate": "",
    "ssl_certificate_key": "",
    "ssl_client_certificate": "",
    "ssl_port": 443,
    "ssl_redirect": True,
    "static_dir": "/srv/galaxy/server/static",
    "worker_connections": 8192,
    "x_accel_base": "/_x_accel_redirect",
    "x_accel_dirs": ["/srv/galaxy/var"],
    "distribution": "Debian",
    "distribution_version": "12.5",
}
TLS = {"ssl_certificate": "/etc/tls/full.pem", "ssl_certificate_key": "/etc/tls/key.pem"}
USER = {"remote_user": {"used": True, "header": "HTTP_X_REMOTE_USER", "secret": False}}


def plan(checked: dict[str, Any] | None = None, **changes: Any) -> nginx.Plan:
    return nginx.plan({**INPUTS, **changes}, checked or {})


def paths(entries: list[dict[str, Any]], *states: str) -> list[str]:
    return [entry["path"] for entry in entries if entry.get("state", "file") in states]


def test_role_hands_over_what_the_plan_needs() -> None:
    role = yaml.safe_load((ROOT / "roles/nginx_proxy/vars/main.yml").read_text())
    assert list(role["__nginx_proxy_inputs"]) == [field.name for field in dataclasses.fields(Inputs)] == list(INPUTS)


@pytest.mark.parametrize(
    ("changes", "listen", "plain"),
    [
        ({}, ["80"], ["80"]),
        ({"port": "8080", "ipv6": "yes"}, ["8080", "[::]:8080"], ["8080", "[::]:8080"]),
        (TLS, ["443 ssl http2"], ["80"]),
        (
            {**TLS, "ssl_redirect": "no", "ipv6": True},
            ["80", "[::]:80", "443 ssl http2", "[::]:443 ssl http2"],
            ["80", "[::]:80"],
        ),
        ({**TLS, "distribution_version": "13.1"}, ["443 ssl"], ["80"]),
        ({**TLS, "distribution": "Ubuntu", "distribution_version": "24.04"}, ["443 ssl http2"], ["80"]),
        ({**TLS, "distribution": "Ubuntu", "distribution_version": "25.04"}, ["443 ssl"], ["80"]),
        ({**TLS, "distribution_version": "n/a"}, ["443 ssl http2"], ["80"]),
    ],
)
def test_listen(changes: dict[str, Any], listen: list[str], plain: list[str]) -> None:
    site = plan(**changes).site
    assert (site.listen, site.plain_listen) == (listen, plain)


def test_tls_of_another_instance_is_not_this_ones() -> None:
    made = plan(**TLS, beside="other", prefix="/galaxy/")
    assert (made.site.tls, made.site.hsts, made.check["listen"], made.check["certificate"]) == (False, True, [], {})
    assert (made.site.below, made.site.top, made.site.x_accel) == ("/galaxy", "/galaxy", "/galaxy/_x_accel_redirect")
    assert (made.site.variables, made.site.own_variables) == ("other", "galaxy")


def test_variables_of_nginx_have_no_hyphen() -> None:
    assert plan(instance="galaxy-test", beside="my-site").site.own_variables == "galaxy_test"
    assert plan(instance="galaxy-test", beside="my-site").site.variables == "my_site"


def test_galaxy_is_told_of_its_prefix_and_of_the_place_of_its_files() -> None:
    assert plan().galaxy_options == {"nginx_x_accel_redirect_base": "/_x_accel_redirect"}
    assert plan(x_accel_dirs=[]).galaxy_options == {}
    assert plan(prefix="/galaxy/", x_accel_dirs=[]).galaxy_options == {
        "galaxy_url_prefix": "/galaxy",
        "cookie_path": "/galaxy",
    }


@pytest.mark.parametrize(
    ("changes", "checked", "makes", "state"),
    [
        ({}, USER, [], "absent"),
        ({"remote_user": "$remote_user"}, {}, [], "absent"),
        ({"remote_user": "$remote_user", "config_file": ""}, USER, [], "absent"),
        ({"remote_user": "$remote_user"}, USER, ["remote_user_secret"], "file"),
        ({"remote_user": "$remote_user"}, {"remote_user": {**USER["remote_user"], "secret": True}}, [], "file"),
    ],
)
def test_secret_is_there_where_galaxy_takes_the_user_from_nginx(
    changes: dict[str, Any], checked: dict[str, Any], makes: list[str], state: str
) -> None:
    made = plan({"inputs": {"instance": "galaxy"}, "result": checked}, **changes)
    assert made.galaxy_secrets == makes
    assert [entry["state"] for entry in made.secret_files] == [state]


def test_what_was_found_for_another_instance_does_not_count() -> None:
    checked = {"inputs": {"instance": "other"}, "result": {**USER, "seen": [nginx.PROGRAM, *nginx.RUNNING]}}
    made = plan(checked, remote_user="$remote_user")
    assert (made.site.has_secret, made.site.user_header, made.installed, made.running) == (
        False,
        "HTTP_REMOTE_USER",
        False,
        False,
    )
    checked["inputs"] = {"instance": "galaxy"}
    made = plan(checked, remote_user="$remote_user")
    assert (made.site.has_secret, made.site.user_header, made.installed, made.running) == (
        True,
        "HTTP_X_REMOTE_USER",
        True,
        True,
    )


@pytest.mark.parametrize(
    ("group", "takes", "groups"),
    [
        ("games", True, "games:x:5:\nwww-data:x:33:backup,www-data\n"),
        ("", False, "www-data:x:33:www-data\n"),
        ("www-data", False, "www-data:x:33:www-data,backup\n"),
    ],
)
def test_group_of_the_sockets_is_looked_for(group: str, takes: bool, groups: str) -> None:
    made = plan(socket_group=group)
    assert made.takes_group == takes
    pattern = made.look_at["/etc/group"]
    assert re.search(pattern, groups, re.MULTILINE)
    assert not re.search(
        pattern, groups.replace("www-data,", "").replace(":www-data", ":").replace(",www-data", ""), re.MULTILINE
    )
    assert not re.search(pattern, groups.replace("games", "gamers").replace("www-data:", "www:"), re.MULTILINE)


def test_nginx_conf_is_left_alone_where_somebody_else_manages_it() -> None:
    edits = plan(socket_group="", worker_connections=0).files[0]["edits"]
    assert edits == plan().main_as_before[0]["edits"]
    assert not [edit for edit in edits if "value" in edit]
    assert nginx.LIMITS in paths(plan(worker_connections=0).files, "absent")
    assert [edit["value"] for edit in plan().files[0]["edits"]] == ["galaxyops-nginx", "8192"]


def test_rewrite_is_found_wherever_it_is() -> None:
    """Also at the beginning of the lines for a location, before which there are those for the server."""
    for snippet in ("rewrite ^ /x;", "  rewrite ^ /x;", "if ($a) {rewrite ^ /x;}", "allow all;\ninclude own.conf;"):
        for kind in ("server_snippet", "location_snippet"):
            assert "rewrite" in plan(**{kind: snippet}).check["nginx_uses"], (kind, snippet)
    assert (
        "rewrite"
        not in plan(server_snippet="# no\nreturn 204;", location_snippet="set $x rewrite;").check["nginx_uses"]
    )


def test_params_of_the_site_are_for_instances_on_it_but_for_who_the_user_is() -> None:
    snippet = "uwsgi_param HTTP_X_OWN yes;\nuwsgi_param HTTP_X_FORWARDED_USER $x;\nuwsgi_param HTTP_GX_SECRET x;"
    made = plan(server_snippet=snippet)
    assert made.params == ["uwsgi_param HTTP_X_OWN yes;"]
    assert "/etc/nginx/galaxyops/galaxy/site.params" in paths(made.files, "file")
    assert plan(server_snippet=snippet, beside="other").params == []
    assert "/etc/nginx/galaxyops" in paths(plan().files, "absent")


@pytest.mark.parametrize(
    "changes", [{}, {"beside": "other", "prefix": "/x"}, {"server_snippet": "uwsgi_param HTTP_X_OWN yes;"}, USER]
)
def test_all_that_a_site_has_goes_with_it_but_for_the_logs(changes: dict[str, Any]) -> None:
    made = plan(**({"remote_user": "$remote_user"} if changes is USER else changes))
    gone = [
        re.compile(re.escape(entry["path"]).replace(r"\*", "[^/]*"))
        for entry in (*made.gone, *made.gone_with_last, *made.main_as_before)
    ]
    written = set(paths(made.files, "file", "link", "directory")) - {made.site.access_log, made.site.error_log}
    assert not [path for path in written if not any(pattern.fullmatch(path) for pattern in gone)]


def test_path_that_nginx_serves_by_itself_is_known() -> None:
    made = plan(acme_root="/var/www/acme", interactive_tools_upstream="127.0.0.1:4002", prefix="/galaxy")
    assert [place["path"] for place in made.places] == [
        "/_maintenance.html",
        "/galaxy/static/",
        "/galaxy/favicon.ico",
        "/galaxy/robots.txt",
        "/_x_accel_redirect/",
        "/.well-known/acme-challenge/",
        "/galaxy/interactivetool/",
    ]


def test_value_of_another_type_is_named() -> None:
    with pytest.raises(AnsibleFilterError, match="nginx_proxy_port is 'http': write a whole number"):
        nginx_plan({**INPUTS, "port": "http"}, {})
    with pytest.raises(AnsibleFilterError, match="nginx_proxy_server_names is None: write a list"):
        nginx_plan({**INPUTS, "server_names": None}, {})
    assert nginx_plan(INPUTS, {})["site"]["names"] == ["_"]
