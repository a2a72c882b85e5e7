"""The uWSGI option dictionary: merging, splitting, rendering, and every mistake it names."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.filter.uwsgi_options import FilterModule
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_options as options


def test_merge_lets_none_take_a_default_away() -> None:
    merged = options.merge({"master": True, "threads": 4}, {"master": None, "threads": 2, "listen": 9})
    assert merged == {"threads": 2, "listen": 9}


def test_scalars_and_repeated_are_two_halves_of_the_whole() -> None:
    whole = {"threads": 4, "static-map": ["/a=/b", "/c=/d"]}
    assert options.scalars(whole) == {"threads": 4}
    assert options.repeated(whole) == {"static-map": ["/a=/b", "/c=/d"]}


def test_render_repeats_lists_and_writes_truth_as_uwsgi_reads_it() -> None:
    assert options.render({"master": True, "env": ["A=1", "B=2"], "threads": 4}) == "master = true\nenv = A=1\nenv = B=2\nthreads = 4\n"


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
        ("=", 1, "not the name"),
    ],
)
def test_bad_values_are_named_with_the_remedy(name: str, value: Any, part: str) -> None:
    (problem,) = options.problems({name: value})
    assert name in problem
    assert part in problem


def test_filters_are_the_functions() -> None:
    filters = FilterModule().filters()
    assert filters["uwsgi_merge"]({"a": 1}, {"a": None}) == {}
    assert set(filters) == {"uwsgi_merge", "uwsgi_problems", "uwsgi_repeated", "uwsgi_scalars", "uwsgi_render"}
