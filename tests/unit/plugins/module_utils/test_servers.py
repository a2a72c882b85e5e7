# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several servers on one host: what follows from their names, bad lists, and what two of them would share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.galaxyops.uwsgi.plugins.filter.servers import role_inputs
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _servers

TWO = [{"name": "main", "uwsgi_threads": 8}, {"name": "test", "galaxy_root": "/data/test"}]


def test_everything_follows_from_the_name() -> None:
    main, test = _servers.expand(TWO)
    assert main == {
        "name": "main",
        "state": "present",
        "inputs": {"galaxy_root": "/srv/main", "galaxy_user": "main", "uwsgi_instance": "main", "uwsgi_threads": 8},
    }
    assert test["inputs"] == {"galaxy_root": "/data/test", "galaxy_user": "test", "uwsgi_instance": "test"}


def test_a_removed_server_is_removed_by_every_role_that_can() -> None:
    (server,) = _servers.expand([{"name": "old", "state": "absent"}])
    assert server["state"] == "absent"
    assert {key: value for key, value in server["inputs"].items() if key.endswith("_state")} == {
        "job_handlers_state": "absent",
        "nginx_proxy_state": "absent",
        "uwsgi_state": "absent",
    }
    assert "name" not in server["inputs"]


def test_some_of_them_can_be_asked_for() -> None:
    assert [server["name"] for server in _servers.expand(TWO, ["test"])] == ["test"]


# Two on one site
PREFIXES = [{"name": "training", "nginx_proxy_beside": "main", "nginx_proxy_prefix": "/training"}, {"name": "main", "nginx_proxy_prefix": "/main"}]


def test_a_site_comes_before_what_is_served_on_it_and_goes_after_it() -> None:
    assert [server["name"] for server in _servers.expand([*PREFIXES, {"name": "other"}])] == ["main", "other", "training"]
    gone = [{"name": name, "state": "absent"} for name in ("main", "training")]
    assert [server["name"] for server in _servers.expand([{"name": "other"}, *gone])] == ["training", "main", "other"]
    assert [server["name"] for server in _servers.expand([{**server, "state": "absent"} for server in PREFIXES])] == ["training", "main"]


def test_a_good_list_has_no_problems() -> None:
    assert _servers.problems(TWO, role_inputs()) == []
    assert _servers.problems(PREFIXES, role_inputs()) == []
    assert _servers.problems(TWO, role_inputs(), ["main"]) == []


@pytest.mark.parametrize(
    ("servers", "only", "parts"),
    [
        ("two", [], ["galaxy_servers is 'two'", "write a list such as"]),
        ([], [], ["galaxy_servers is []", "leave it out for one server"]),
        (["main"], [], ["galaxy_servers[0] is 'main', which has no name"]),
        ([{"name": "Main"}], [], ["galaxy_servers[0].name is 'Main'", "lower-case"]),
        ([{"name": 7}], [], ["galaxy_servers[0].name is 7"]),
        ([{"name": "nginx"}], [], ["'nginx', which is that of something else", "galaxy-nginx"]),
        ([{"name": "main"}, {"name": "main"}], [], ["galaxy_servers[1].name is 'main', as in galaxy_servers[0]"]),
        ([{"name": "main", "state": "gone"}], [], ["galaxy_servers[0].state is 'gone': write present or absent"]),
        ([{"name": "main", "uwsgi_thread": 4}], [], ["galaxy_servers[0].uwsgi_thread is no option of a role: write 'uwsgi_threads' instead"]),
        ([{"name": "main", "colour": 4}], [], ["galaxy_servers[0].colour is no option of a role: an entry has name, state"]),
        ([{"name": "main", "uwsgi_state": "absent"}], [], ["galaxy_servers[0].uwsgi_state", "'state: absent'"]),
        ([{"name": "main", "nginx_proxy_worker_connections": 512}], [], ["set it beside galaxy_servers"]),
        ([*PREFIXES[:1], {"name": "other"}], [], ["galaxy_servers[0].nginx_proxy_beside is 'main', which is no other", "such as other"]),
        ([{"name": "a", "nginx_proxy_beside": "a"}], [], ["nginx_proxy_beside is 'a', which is no other", "list a server that has a site"]),
        ([*PREFIXES[:1], {"name": "main", "state": "absent"}], [], ["beside is 'main', which is removed with its site", "or write nginx_proxy_server_names"]),
        ([*PREFIXES, {"name": "third", "nginx_proxy_beside": "training"}], [], ["galaxy_servers[2]", "has no site but is beside another", "such as main"]),
        ([{**PREFIXES[0], "nginx_proxy_ssl_port": 1}, PREFIXES[1]], [], ["[0].nginx_proxy_ssl_port is for a site as a whole", "that of main: write it there"]),
        (TWO, ["other"], ["only_servers names 'other', which is none of the galaxy_servers: main, test"]),
        (TWO, "main", ["only_servers is 'main': write a list of names, such as ['main']"]),
    ],
)
def test_each_mistake_is_named_with_its_remedy(servers: Any, only: Any, parts: list[str]) -> None:
    (problem,) = _servers.problems(servers, role_inputs(), only)
    assert all(part in problem for part in parts), problem


def test_all_mistakes_are_told_at_once() -> None:
    assert len(_servers.problems([{"name": "Main", "state": 1, "x": 2}, {}], role_inputs())) == 4


SEPARATE: dict[str, dict[str, Any]] = {
    name: {"galaxy_root": f"/srv/{name}", "nginx_proxy_port": 80, "nginx_proxy_server_names": [f"{name}.example.org"], "uwsgi_options": {"threads": 4}}
    for name in ("main", "test")
}


def both(**values: Any) -> dict[str, dict[str, Any]]:
    """Two servers that are given the same values."""
    return {name: {**own, **values} for name, own in SEPARATE.items()}


def test_servers_with_names_of_their_own_share_nothing() -> None:
    assert _servers.conflicts(SEPARATE) == []


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"galaxy_root": "/srv/galaxy/"}, ["the servers main and test", "the directory /srv/galaxy", "give test a galaxy_root of its own"]),
        ({"uwsgi_config_file": "/etc/galaxy.ini"}, ["the configuration file /etc/galaxy.ini"]),
        ({"uwsgi_instance": "galaxy"}, ["the name of processes and files galaxy"]),
        ({"nginx_proxy_server_names": []}, ["the address *:80", "nginx_proxy_server_names"]),
        ({"nginx_proxy_server_names": ["g.example.org"]}, ["the address g.example.org:80: give test a nginx_proxy_server_names"]),
        ({"uwsgi_options": {"socket": "127.0.0.1:4001"}}, ["the socket port 4001", "uwsgi_options.socket"]),
        ({"uwsgi_listen_address": "127.0.0.1:4001"}, ["the socket port 4001", "uwsgi_listen_address"]),
        ({"uwsgi_http_address": ":8080"}, ["the socket port 8080", "uwsgi_http_address"]),
        ({"uwsgi_options": {"http-socket": ["/run/a.sock"]}}, ["the socket /run/a.sock"]),
        ({"galaxy_database_connection": "postgresql://g:swordfish@db/galaxy"}, ["the database postgresql://g:********@db/galaxy"]),
    ],
)
def test_each_thing_that_is_shared_is_named(values: dict[str, Any], parts: list[str]) -> None:
    (conflict,) = _servers.conflicts(both(**values))
    assert all(part in conflict for part in parts), conflict
    assert "swordfish" not in conflict


def test_one_server_may_name_a_thing_twice() -> None:
    values = {"uwsgi_config_file": "/srv/main/galaxy.ini", "job_handlers_galaxy_config_file": "/srv/main/galaxy.ini"}
    assert _servers.conflicts({"main": {**SEPARATE["main"], **values}}) == []


def test_one_name_with_two_prefixes_would_be_one_site_to_nginx() -> None:
    servers = both(nginx_proxy_server_names=["g.example.org"])
    servers["main"]["nginx_proxy_prefix"] = "/main"
    servers["test"]["nginx_proxy_prefix"] = "/test"
    (conflict,) = _servers.conflicts(servers)
    assert "give test a nginx_proxy_server_names of its own in galaxy_servers, or nginx_proxy_beside: main and a nginx_proxy_prefix" in conflict
    beside = {**servers, "test": {**servers["test"], "nginx_proxy_beside": "main"}}
    assert _servers.conflicts(beside) == []
    servers["test"]["nginx_proxy_port"] = 8080
    assert _servers.conflicts(servers) == []


@pytest.mark.parametrize(
    ("prefixes", "parts"),
    [
        (["/main", "/main/"], ["the servers main and test would share the path /main/ on the site of main", "such as /main and /test"]),
        (["", "/test"], ["the server test would be at /test/ on the site of main, within / of main", "the cookies of main", "such as /main and /test"]),
        (["/main", "/main/test"], ["test would be at /main/test/", "within /main/ of main"]),
        (["/test/main", "/test"], ["main would be at /test/main/ on the site of main, within /test/ of test"]),
    ],
)
def test_one_prefix_within_another_of_the_site(prefixes: list[str], parts: list[str]) -> None:
    servers = {name: {**SEPARATE[name], "nginx_proxy_prefix": prefix} for name, prefix in zip(SEPARATE, prefixes)}
    assert _servers.conflicts(servers) == []
    servers["test"]["nginx_proxy_beside"] = "main"
    (conflict,) = _servers.conflicts(servers)
    assert all(part in conflict for part in parts), conflict


def test_prefixes_that_only_begin_alike_are_two() -> None:
    servers = {name: {**SEPARATE[name], "nginx_proxy_prefix": prefix} for name, prefix in zip(SEPARATE, ["/galaxy", "/galaxy-test"])}
    servers["test"]["nginx_proxy_beside"] = "main"
    assert _servers.conflicts(servers) == []
    del servers["test"]["nginx_proxy_prefix"]  # the role itself asks for it
    assert _servers.conflicts(servers) == []


def test_site_options_are_options(root: Path) -> None:
    assert role_inputs() >= _servers._OF_THE_SITE


def test_the_certificate_of_two_sites_makes_their_second_port_count() -> None:
    servers = both(nginx_proxy_server_names=["g.example.org"], nginx_proxy_ssl_port=443, nginx_proxy_ssl_certificate="/etc/ssl/g.pem")
    servers["test"]["nginx_proxy_port"] = 8080
    (conflict,) = _servers.conflicts(servers)
    assert "g.example.org:443" in conflict


def test_site_asks_for_all_that_could_be_shared(root: Path) -> None:
    task = yaml.safe_load((root / "playbooks" / "tasks" / "check.yml").read_text())[0]
    assert sorted(task["vars"]["__site_options"]) == sorted(_servers.CLAIM_OPTIONS)
    assert set(_servers.CLAIM_OPTIONS) <= role_inputs()


@pytest.mark.parametrize("option", ["uwsgi_socket_group", "nginx_proxy_socket_group"])
def test_servers_on_one_host_have_one_group_of_sockets(option: str) -> None:
    """nginx's workers are in one."""
    servers = {name: {option: group} for name, group in (("main", "a"), ("test", "a"), ("more", "b"))}
    (conflict,) = _servers.conflicts(servers)
    assert conflict.startswith(f"the servers main and more have the {option} a and b, and the workers of nginx have one group")
    assert _servers.conflicts({name: {option: "a"} for name in servers}) == []
