# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the reader of nginx's configuration, which is compared with crossplane where that is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _nginx_config as nginx

SITE = """\
# the site of Galaxy
map $http_upgrade $connection { default upgrade; '' close; }
server {
    listen 443 ssl; server_name galaxy.example.org "www.example.org"; # both
    ssl_certificate /etc/x/${ssl_server_name}/c.pem;
    location ~ "^/a{2,3}\\.txt$" { return 200 'it\\'s; {here} # no comment'; }
    location ~* \\.(?:css|js)$ { expires 1d; }
    if ($request_method !~ ^(GET|POST)$) { return 405; }
    add_header X "a
b" always;
    location / { proxy_pass http://localhost:8080; }
}
"""


def tree(directive: nginx.Directive) -> list[Any]:
    """Words, line and block of all directives."""
    return [[one.words, one.line, None if one.block is None else tree(one)] for one in directive.block or ()]


def crossplane_tree(path: Path) -> list[Any]:
    """The same, as crossplane reads it."""
    crossplane = pytest.importorskip("crossplane")
    payload = crossplane.parse(str(path), single=True, catch_errors=False, check_ctx=False, check_args=False)

    def block(found: list[dict[str, Any]]) -> list[Any]:
        return [
            # What it knows of "if" it takes out of the parentheses.
            [[one["directive"], *one["args"]], one["line"], block(one["block"]) if "block" in one else None]
            for one in found
            if one["directive"] != "#"
        ]

    return block(payload["config"][0]["parsed"])


def without_parentheses(found: list[Any]) -> list[Any]:
    """The conditions of "if" as crossplane has them."""
    result = []
    for words, line, inner in found:
        if words[0] == "if":
            text = " ".join(words[1:])[1:-1].strip()
            words = ["if", *text.split(" ")]
        result.append([words, line, None if inner is None else without_parentheses(inner)])
    return result


def test_site_is_read_with_its_words_and_lines() -> None:
    top = nginx.parse(SITE, "/x")
    (server,) = top.find("server")
    assert [(str(one), one.place) for one in server.children("ssl_certificate", "listen")] == [
        ("listen 443 ssl", "/x:4"),
        ("ssl_certificate /etc/x/${ssl_server_name}/c.pem", "/x:5"),
    ]
    assert next(server.find("return")).words == ["return", "200", "it's; {here} # no comment"]
    assert [one.words[-1] for one in server.find("location")] == ["^/a{2,3}\\.txt$", "\\.(?:css|js)$", "/"]
    assert next(server.find("proxy_pass")).line == 11


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("server {\n", "/x:1: the directive has no end"),
        ("\nlisten 80", "/x:2: the directive has no end"),
        ("a;\n}", "/x:2: '}' ends no block"),
        ("a 'b;", "/x:1: the quote ' has no end"),
        (";", "/x:1: ';' follows no directive"),
        ("content_by_lua_block { '}' {", "/x:1: the block of Lua has no end"),
    ],
)
def test_text_that_nginx_refuses_is_named_with_its_line(text: str, reason: str) -> None:
    with pytest.raises(nginx.NginxConfigError) as error:
        nginx.parse(text, "/x")
    assert str(error.value).startswith(reason)


def test_lua_ends_where_lua_ends() -> None:
    text = (
        'location / {\n access_by_lua_block {\n -- it\'s }\n local a = {"}", [[ } ]]}\n --[[ } \n]]\n }\n allow all;\n}'
    )
    (location,) = nginx.parse(text).block or ()
    lua, allow = location.block or ()
    assert (lua.code, lua.words, allow.words, allow.line) == (True, ["access_by_lua_block"], ["allow", "all"], 8)


def test_includes_are_followed_in_their_order_and_relative_to_nginx() -> None:
    files = {
        "/etc/nginx/nginx.conf": "http {\n include sites/*;\n include /opt/*.conf; server { include snippets/one; } }",
        "/etc/nginx/sites/b": "b;",
        "/etc/nginx/sites/a": "a;",
        "/etc/nginx/sites/.hidden": "hidden;",
        "/etc/nginx/sites/deeper/c": "c;",
        "/opt/x.conf": "x;",
        "/etc/nginx/snippets/one": "\nallow all;",
    }
    read = nginx.configuration(files, ["/etc/nginx/nginx.conf"], "/etc/nginx")
    (http,) = read.top.block or ()
    assert [one.name for one in http.block or ()] == ["a", "b", "x", "server"]
    assert next(http.find("allow")).place == "/etc/nginx/snippets/one:2"
    assert read.problems == []


def test_file_that_includes_itself_is_named() -> None:
    assert nginx.configuration({"/a": "include /a;"}, ["/a"], "/").problems == [
        "/a:0: the file includes itself: correct the file (nginx -t)"
    ]


def test_dump_of_nginx_is_taken_apart() -> None:
    text = "nginx: ok\n# configuration file /etc/nginx/nginx.conf:\na;\n\n# configuration file /etc/b:\n# c\n\n"
    assert nginx.dumped(text) == {"/etc/nginx/nginx.conf": "a;\n", "/etc/b": "# c\n"}


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("$b", ["http://localhost:8080"]),
        ("http://$c/x", ["http://one/x", "http://two/x"]),
        ("http://${h}:$p", ["http://${h}:80"]),
        ("$unknown", ["$unknown"]),
        ("plain", ["plain"]),
    ],
)
def test_variables_are_what_set_and_map_make_of_them(word: str, found: list[str]) -> None:
    top = nginx.parse(
        "map $host $c { default one; x two; }\nserver { set $b http://localhost:8080; set $p 80; location / { proxy_pass x; } }"
    )
    way = next(iter(next(top.find("server")).ways("proxy_pass")))
    assert nginx.values(word, way, top) == found


def test_same_tree_as_crossplane(tmp_path: Path) -> None:
    path = tmp_path / "site"
    path.write_text(SITE)
    # crossplane keeps the backslash of a quote, which nginx takes away.
    assert without_parentheses(tree(nginx.parse(SITE))) == crossplane_tree(path)


WORDS = st.one_of(
    st.sampled_from(
        [
            "80",
            "/a/b.c",
            "$host",
            "${host}x",
            "~*",
            "\\.php$",
            "a#b",
            "on",
            "[::]:80",
            'a"b',
            "http://$b:80/x",
            "^/(.*)$",
        ]
    ),
    st.text(alphabet="ab ;{}#$/", max_size=6).map(lambda text: f'"{text}"'),
    st.text(alphabet='ab ;{}#"/', max_size=6).map(lambda text: f"'{text}'"),
)
NAMES = st.sampled_from(["listen", "server_name", "allow", "proxy_set_header", "root"])
LINES = st.lists(WORDS, min_size=1, max_size=3)
SPACES = st.sampled_from([" ", "\n", "  ", "\t", " # comment; {\n"])


@st.composite
def configurations(draw: st.DrawFn, depth: int = 0) -> str:
    """Text as people write it."""
    parts = []
    for _number in range(draw(st.integers(0, 4))):
        words = [draw(NAMES), *draw(LINES)]
        text = words[0] + "".join(draw(SPACES) + word for word in words[1:])
        if depth < 3 and draw(st.booleans()):
            text = f"location /x{draw(SPACES)}{{{draw(SPACES)}{draw(configurations(depth + 1))}}}"
        else:
            text += ";"
        parts.append(text + draw(SPACES))
    return "".join(parts)


@settings(max_examples=150, deadline=None)
@given(configurations())
def test_generated_text_is_read_as_crossplane_reads_it(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("nginx") / "generated"
    path.write_text(text)
    assert tree(nginx.parse(text)) == crossplane_tree(path)


@given(st.text(alphabet="server{};#\"'\\ \n:80proxy_pass$", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        top = nginx.parse(text)
    except nginx.NginxConfigError:
        return
    for directive in top.find("server"):
        assert 1 <= directive.line <= text.count("\n") + 1


@pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx")
@settings(max_examples=40, deadline=None)
@given(WORDS)
def test_word_is_what_nginx_makes_of_it(tmp_path_factory: pytest.TempPathFactory, word: str) -> None:
    """nginx shows an unknown directive as it has read it."""
    directory = tmp_path_factory.mktemp("nginx")
    (directory / "nginx.conf").write_text(f"{word} x;\n")
    found = subprocess.run(
        ["nginx", "-t", "-q", "-c", str(directory / "nginx.conf"), "-p", str(directory), "-e", "stderr"],
        capture_output=True,
        text=True,
        check=False,
    ).stderr
    name = nginx.parse(f"{word} x;\n").words or nginx.parse(f"{word} x;\n").block[0].words  # type: ignore[index]
    assert f'unknown directive "{name[0]}"' in found
