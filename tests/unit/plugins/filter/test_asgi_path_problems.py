# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which paths nginx cannot lead to an ASGI process."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.filter.asgi_path_problems import FilterModule, asgi_path_problems

PLACES = [
    {"path": "/galaxy/static/", "what": "the static files"},
    {"path": "/galaxy/favicon.ico", "what": "a static file"},
    {"path": "/_x_accel_redirect/", "what": "nginx_proxy_x_accel_base"},
]
FORM = "write the whole path of a page of the application, such as /api/mcp"


def test_good_paths_pass() -> None:
    paths = ["/api/mcp", "/api/events/stream", "/statics", "/a.b/..c/~d", "/api/favicon.ico"]
    assert asgi_path_problems(paths, PLACES, "/galaxy", ["/api"]) == []
    assert asgi_path_problems([], PLACES) == []


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "api/mcp",
        "/api/mcp/",
        "/api mcp",
        "/api/\n",
        "/api/mcp\n",
        "/a;b",
        "/a{b",
        "/$uri",
        "/a//b",
        "/a/../b",
        "/..",
        "/.",
        "/a?b",
        "~ /a",
    ],
)
def test_what_nginx_would_not_take_for_a_path_is_refused(path: str) -> None:
    (problem,) = asgi_path_problems([path], PLACES)
    assert problem.startswith(f"nginx_proxy_asgi_paths contains '{path}': {FORM}")


@pytest.mark.parametrize(
    ("paths", "prefix", "part"),
    [
        (["/static/x.js"], "/galaxy", "and nginx serves /galaxy/static/ by itself, the static files: remove the path"),
        (["/static"], "/galaxy", "and nginx serves /galaxy/static/ by itself"),
        (["/favicon.ico"], "/galaxy", "and nginx serves /galaxy/favicon.ico by itself, a static file"),
        (["/_x_accel_redirect/srv"], "", "and nginx serves /_x_accel_redirect/ by itself, nginx_proxy_x_accel_base"),
        (["/api/mcp", "/api/mcp"], "", "'/api/mcp' 2 times: write each path once"),
        (["/api/upload"], "", "which is in nginx_proxy_unbuffered_paths too: remove it there"),
    ],
)
def test_paths_that_have_a_place_already_are_refused(paths: list[str], prefix: str, part: str) -> None:
    (problem,) = asgi_path_problems(paths, PLACES, prefix, ["/api/upload/"])
    assert part in problem


@pytest.mark.parametrize("value", ["/api/mcp", {"a": 1}, None])
def test_what_is_no_list_is_refused(value: Any) -> None:
    assert asgi_path_problems(value, PLACES) == [f"nginx_proxy_asgi_paths is {value!r}: write a list"]


def test_the_filter_is_the_function() -> None:
    assert FilterModule().filters() == {"asgi_path_problems": asgi_path_problems}
