# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directive of nginx.conf gets another value, and its former one back, to the byte."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._nginx_directive import Directive
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans.nginx import NOTE, USER_LINE

USER = Directive("user", NOTE, keep=True)
CONNECTIONS = Directive("worker_connections", NOTE, below=2000)
LINES = [
    "user www-data;",
    "user  nginx ;",
    "\tuser www-data adm; # ours",
    "# user www-data;",
    "user www-data; worker_processes 2;",
    "user_agent x;",
    "events { worker_connections 768; }",
    "worker_connections 768;",
    "    worker_connections\t\t1024 ; ",
    "worker_connections 4096;",
    "worker_connections 768; # few",
    "worker_connections_more 768;",
    "",
    "worker_connections 768",
]
# What each run of the role may want: a group and a number, or None to leave the directive alone.
RUNS = [("games", "8192"), ("galaxyops-nginx", "16384"), (None, "512"), ("games", None), (None, None)]


def edited(text: str, group: str | None, number: str | None) -> str:
    text = USER.restored(text) if group is None else USER.replaced(text, group)
    return CONNECTIONS.restored(text) if number is None else CONNECTIONS.replaced(text, number)


@given(st.lists(st.sampled_from(LINES), max_size=6), st.sampled_from(["\n", "\r\n"]), st.lists(st.sampled_from(RUNS)))
def test_file_without_the_role_is_as_it_was(
    lines: list[str], newline: str, runs: list[tuple[str | None, str | None]]
) -> None:
    """Whatever was in it, and with whatever inputs the role has run in between; a second run with the same inputs changes nothing."""
    start = text = newline.join([*lines, "events {}"])
    for run in runs:
        text = edited(text, *run)
        assert edited(text, *run) == text
    assert edited(text, None, None) == start


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("user www-data;", "user www-data games; # galaxyops.uwsgi.nginx_proxy, instead of www-data;"),
        ("user  nginx ;\r", "user  nginx games; # galaxyops.uwsgi.nginx_proxy, instead of nginx ;\r"),
        (
            "\tuser www-data adm; # ours",
            "\tuser www-data games; # galaxyops.uwsgi.nginx_proxy, instead of www-data adm; # ours",
        ),
        ("# user www-data;", "# user www-data;"),
        ("user one two three;", "user one two three;"),
        # The rest of the line would become a comment.
        ("user www-data; worker_processes 2;", "user www-data; worker_processes 2;"),
        (
            "    worker_connections  768;",
            "    worker_connections 8192; # galaxyops.uwsgi.nginx_proxy, instead of  768;",
        ),
        ("worker_connections 1999;\r", "worker_connections 8192; # galaxyops.uwsgi.nginx_proxy, instead of 1999;\r"),
        # An earlier release has noted the number alone.
        (
            "worker_connections 512; # galaxyops.uwsgi.nginx_proxy, instead of 768",
            "worker_connections 8192; # galaxyops.uwsgi.nginx_proxy, instead of 768;",
        ),
        ("worker_connections 2000;", "worker_connections 2000;"),
        ("worker_connections many;", "worker_connections many;"),
        ("worker_connections 768", "worker_connections 768"),
        ("worker_connections 768; # few", "worker_connections 768; # few"),
    ],
)
def test_value_is_replaced_where_it_stands_alone(line: str, written: str) -> None:
    text = f"# x\n{line}\nevents {{}}\n"
    assert edited(text, "games", "8192") == f"# x\n{written}\nevents {{}}\n"


@pytest.mark.parametrize("line", LINES)
def test_line_with_the_group_is_one_that_preflight_finds(line: str) -> None:
    """Before the role has changed the line and after that."""
    changed = USER.replaced(line, "games")
    assert bool(re.search(USER_LINE, line)) == bool(re.search(USER_LINE, changed)) == (changed != line)


def test_comment_of_somebody_else_takes_no_value_back() -> None:
    for line in (
        f"user www-data; {NOTE}",
        f"user www-data x; {NOTE}x;",
        f"worker_connections 1 2; {NOTE} 3;",
        f"#user a b; {NOTE} c;",
    ):
        assert edited(line, None, None) == line
