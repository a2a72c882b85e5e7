"""The uWSGI option dictionary: merging, and every mistake it names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.filter.uwsgi_options import FilterModule
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_options as options
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._listeners import longest_queue


def test_merge_lets_none_take_a_default_away() -> None:
    merged = options.merge({"master": True, "threads": 4}, {"master": None, "threads": 2, "listen": 9})
    assert merged == {"threads": 2, "listen": 9}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("buffer-size", 65535),
        ("processes", "4"),
        ("master", "true"),
        ("socket", "127.0.0.1:4001"),
        ("http", "[::1]:8080"),
        ("socket", "/run/galaxy/extra.sock"),
        ("static-map", ["/static=/srv/static", "/favicon.ico=/srv/favicon.ico"]),
        ("chmod-socket", "660"),
        ("vacuum", False),
        ("logformat", "%(addr) - %(user)"),
        ("socket", "/run/" + 97 * "x"),
        ("py-auto-reload", 0),
        ("cheaper", 1),
        ("offload-threads", 2),
        ("logformat", "%(addr) 100%%"),
        ("processes", "%k"),
        ("stats-push", "statsd:192.0.2.7:8125"),
        ("carbon", "192.0.2.7:2003"),
        ("http-to", "192.0.2.7:4001"),
        ("log-socket", "192.0.2.7:514"),
        ("http-socket", "127.0.0.1:8443,/etc/x.pem,/etc/x.key"),
        ("hook-post-fork", "exec:test a = b && master = x"),
        ("http-timeout", 30),
        ("set-placeholder", "a = b"),
        ("set", "a=b"),
        ("set-ph", "socket=0.0.0.0:80"),
        ("map-socket", "0:1,2"),
        ("http-socket", "=0"),
        ("zergpool", "/run/x.pool:127.0.0.1:4001,/run/y.sock"),
        ("https2", "addr=127.0.0.1:8443,cert=/c,key=/k"),
        ("cache2", "name=x,items=10,udp=127.0.0.1:99"),
        ("subscribe2", "server=192.0.2.7:80,key=a,addr=192.0.2.1:80"),
    ],
)
def test_good_values_pass(name: str, value: Any) -> None:
    assert options.problems({name: value}) == []


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("buffer-size", 65536, "from 4096 to 65535"),
        ("processes", "two", "'two': write a whole number"),
        ("processes", True, "whole number"),
        ("threads", -1, "whole number from 1"),
        ("master", "yes please", "write true or false"),
        ("socket", "0.0.0.0:4001", "can run code"),
        ("socket", ":4001", "can run code"),
        ("socket", "4001", "can run code"),
        ("http", "192.0.2.7:8080", "can run code"),
        ("socket", ["127.0.0.1:4001", "[::]:4001"], "can run code"),
        ("chmod-socket", True, "means 666"),
        ("chmod-socket", "666", "shuts out strangers"),
        ("pidfile", "/run/galaxy.pid", "remove it"),
        ("vacuum", True, "remove it"),
        ("uid", "galaxy", "set uwsgi_user"),
        ("logto", "/var/log/u.log  # here", "line of its own"),
        ("env", "A=1\nB=2", "line break"),
        ("env", {"A": 1}, "is dict"),
        ("static-map", [], "empty list"),
        ("two words", 1, "not the name"),
        ("socket", "/run/" + 98 * "x", "103 bytes long: uWSGI takes no socket of more than 102"),
        ("stats", "/run/" + 49 * "é", "103 bytes long"),
        ("touch-reload", "/srv/galaxy/config/galaxy.ini", "a reload loses the socket"),
        ("py-autoreload", 1, "a reload loses the socket"),
        ("virtualenv", "/srv/other", "set uwsgi_virtualenv"),
        ("cheaper", "none", "whole number from 1"),
        ("no-orphans", "maybe", "write true or false"),
        ("=", 1, "not the name"),
        ("logformat", "%(addr) 100%", "write '%%'"),
        ("https", ":443,/etc/x.pem,/etc/x.key", "other hosts could reach"),
        ("http-socket2", "192.0.2.7:80", "other hosts could reach"),
        ("fastrouter", "192.0.2.7:80", "other hosts could reach"),
        ("http-subscription-server", "192.0.2.7:80", "other hosts could reach"),
        ("some-plugin", "0.0.0.0:80", "other hosts could reach"),
        ("some-plugin", "*:80", "other hosts could reach"),
        ("shared-socket", "[::]:80", "other hosts could reach"),
        ("udp", ":80", "other hosts could reach"),
        ("http-processes", "two", "whole number"),
        ("fastrouter-timeout", "30s", "whole number"),
        ("mules", "two", "whole number"),
        ("socket", "/run/x.sock master = true", "another option behind its value, 'master'"),
        ("pythonpath", "lib threads=4", "another option behind its value, 'threads'"),
        ("pythonpath", "lib nobody-knows = 4", "another option behind its value, 'nobody-knows'"),
        ("processes", "4threads = 4", "whole number"),
        ("set", "http-socket=0.0.0.0:80", "sets 'http-socket', which is '0.0.0.0:80', which other hosts"),
        ("set", ["a=b", "processes=two"], "sets 'processes', which is 'two': write a whole number"),
        ("set", "pidfile=/x", "remove it"),
        ("vassal-set", "socket=:80", "sets 'socket', which is ':80'"),
        ("zergpool", "/run/x.pool:192.0.2.7:80", "other hosts could reach"),
        ("zerg-pool", "/run/x.pool:127.0.0.1:80,:81", "other hosts could reach"),
        ("https2", "addr=192.0.2.7:8443,cert=/c,key=/k", "other hosts could reach"),
        ("cache2", "name=x,items=10,udp=192.0.2.7:99", "other hosts could reach"),
        ("chmod", "666", "shuts out strangers"),
        ("immediate-uid", "galaxy", "set uwsgi_user"),
        ("safe-pidfile", "/x", "remove it"),
        ("fs-brutal-reload", "/x", "a reload loses the socket"),
        ("master", "truethreads = 4", "write true or false"),
    ],
)
def test_bad_values_are_named_with_the_remedy(name: str, value: Any, part: str) -> None:
    (problem,) = options.problems({name: value})
    assert name in problem
    assert part in problem


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"set-ph": "address=0.0.0.0:80", "socket": "%(address)"}, "socket"),
        ({"set-placeholder": ["a=1", "host=192.0.2.7"], "http": "%(host):80"}, "http"),
        ({"my-address": "192.0.2.7:80", "socket": ["/run/x.sock", "%(my-address)"]}, "socket"),
        ({"a": "%(b)", "b": "two", "processes": "%(a)"}, "processes"),
        ({"set": "n=two", "threads": "%(n)"}, "threads"),
    ],
)
def test_value_with_placeholders_is_checked_as_uwsgi_reads_it(values: dict[str, Any], name: str) -> None:
    (problem,) = options.problems(values)
    assert problem.startswith(f"uwsgi_options: {name} is ")


@pytest.mark.parametrize(
    "values",
    [
        {"set-ph": "address=127.0.0.1:80", "socket": "%(address)"},
        {"socket": "%(nobody)", "processes": "%(knows)"},
        {"a": "%(b)", "b": "%(a)", "socket": "%(a)"},
        {"logformat": "%(addr) %(user)", "set-ph": "user=a"},
        {"n": 4, "processes": "%(n)"},
    ],
)
def test_placeholder_that_is_right_or_unknown_passes(values: dict[str, Any]) -> None:
    assert options.problems(values) == []


def test_environment_variables_that_set_options_are_checked_as_these() -> None:
    found = options.environment_problems({"UWSGI_HTTP_SOCKET": ":80", "UWSGI_PROCESSES": "two", "UWSGI_PIDFILE": "/x", "OTHER": ":80", "UWSGI_THREADS": "2"})
    assert [problem.partition(" is ")[0].partition(": the")[0] for problem in found] == [
        "uwsgi_environment: http-socket",
        "uwsgi_environment: processes",
        "uwsgi_environment: pidfile",
    ]


def test_what_listens_is_told_by_uwsgi() -> None:
    told = options.what_listens({"new-plugin": "bind to the specified address", "other": "connect to the specified address", "x": "run the x stats server"})
    assert told == {"new-plugin", "x"}
    (problem,) = options.option_problems("new-plugin", "192.0.2.7:80", told)
    assert "other hosts could reach" in problem.text
    assert not options.option_problems("other", "192.0.2.7:80", told)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"processes": 4, "cheaper": 2, "listen": 4096}, []),
        ({"processes": 4, "cheaper": 4}, ["cheaper"]),
        ({"processes": "4", "workers": "2", "cheaper": "3"}, ["cheaper"]),
        ({"workers": 2, "processes": 4, "cheaper": 3}, []),
        ({"cheaper": 3}, ["cheaper"]),
        ({"processes": 1, "cheaper": 1}, ["cheaper"]),
        ({"processes": 4, "cheaper": 2, "cheaper-initial": 4}, []),
        ({"processes": "4", "cheaper": "2", "cheaper-initial": "5"}, ["cheaper-initial"]),
        ({"processes": 4, "cheaper": 2, "cheaper-initial": 1}, ["cheaper-initial"]),
        ({"processes": 4, "cheaper-initial": 2}, ["cheaper-initial"]),
        ({"processes": "%k", "cheaper": 3}, []),
        ({"listen": 4097}, ["listen"]),
        ({"listen": ["4097"]}, []),
        ({"py-call-osafterfork": True}, ["py-call-osafterfork"]),
        ({"py-call-osafterfork": "false"}, []),
    ],
)
def test_conflicts(values: dict[str, Any], expected: list[str]) -> None:
    assert list(options.conflicts(values, 4096, (3, 13))) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), ("true", True), ("1", True), ("", True), (False, False), ("No", False), ("0", False), ("off", False)],
)
def test_switches_are_read_as_uwsgi_reads_them(value: Any, expected: bool) -> None:
    assert options.is_on({"lazy-apps": value}, "lazy-apps") is expected
    assert not options.is_on({}, "lazy-apps")


@pytest.mark.parametrize("lazy", ["lazy-apps", "lazy"])
def test_a_process_that_loads_the_application_is_not_to_be_replaced_all_the_time(lazy: str) -> None:
    found = options.warnings({lazy: "true", "max-requests": 1000, "reload-on-rss": "2048", "max-worker-lifetime": 0, "threads": 4})
    assert list(found) == ["max-requests", "reload-on-rss"]
    assert "wait as long as a start takes: remove it, or remove lazy-apps" in found["max-requests"]
    assert options.warnings({lazy: False, "max-requests": 1000}) == {}


def test_what_is_not_known_is_no_conflict() -> None:
    assert options.conflicts({"listen": 60000, "py-call-osafterfork": True}) == {}
    assert options.conflicts({"py-call-osafterfork": True}, 4096, (3, 11)) == {}


def run_uwsgi(directory: Path, *arguments: str) -> str:
    """Start the real uWSGI, which is to refuse at once, and return what it says."""
    command = [os.path.join(sys.prefix, "bin", "uwsgi"), "--master", "--need-app", *arguments]
    process = subprocess.run(command, cwd=directory, capture_output=True, stdin=subprocess.DEVNULL, text=True, timeout=60, check=False)
    assert process.returncode != 0
    return process.stdout + process.stderr


def test_uwsgi_refuses_what_is_refused_here(tmp_path: Path) -> None:
    """Without an application it ends in any case, but only after it has taken these options."""
    good = str(tmp_path / "good.sock")
    longest = "/tmp/" + 97 * "x"
    assert "bound to UNIX address" in run_uwsgi(tmp_path, "--socket", longest, "--vacuum")
    assert "invalid socket name" in run_uwsgi(tmp_path, "--socket", longest + "x")
    assert "invalid cheaper value" in run_uwsgi(tmp_path, "--socket", good, "--processes", "2", "--cheaper", "2")
    assert "invalid cheaper value" in run_uwsgi(tmp_path, "--socket", good, "--cheaper", "1")
    four = ("--socket", good, "--processes", "4", "--cheaper", "2")
    assert "invalid cheaper-initial value (5)" in run_uwsgi(tmp_path, *four, "--cheaper-initial", "5")
    assert "invalid cheaper-initial value (1)" in run_uwsgi(tmp_path, *four, "--cheaper-initial", "1")
    assert "somaxconn" in run_uwsgi(tmp_path, "--socket", good, "--listen", str(longest_queue() + 1))


def test_filters_are_the_functions() -> None:
    filters = FilterModule().filters()
    assert set(filters) == {f"uwsgi_{name}" for name in ("environment_problems", "problems", "socket_problems")}
