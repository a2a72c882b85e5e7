# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the Paste Deploy INI editor and checker, with the real ConfigParser and the real Paste Deploy."""

from __future__ import annotations

import configparser
import io
import re
import time
import unicodedata
from pathlib import Path
from typing import Optional

import pytest
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_ini as paste_ini
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_ini import PasteIniError, remove_section, set_section
from hypothesis import example, given
from hypothesis import strategies as st
from paste.deploy.loadwsgi import APP, ConfigLoader, appconfig

SAMPLE = """\
# Galaxy's configuration

[server:main]
use = egg:Paste#http
#port = 8080

# How uWSGI runs Galaxy.
[uwsgi]
processes=2
# Threads for each process.
threads  =  4

#stats = 127.0.0.1:9191
master = true

# The application.
# It has many options.
[app:main]
paste.app_factory = galaxy.web.buildapp:app_factory
database_connection: postgresql://galaxy:p%%40ss@db/galaxy
brand = first
    second

    third
# The end.
"""


def read(text: str) -> dict[str, dict[str, str]]:
    """Read I(text) as Paste Deploy reads a file: strictly, with case-sensitive names; values as they are written."""
    parser = configparser.ConfigParser(interpolation=None, default_section="nothing is inherited here")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_file(io.TextIOWrapper(io.BytesIO(paste_ini.encode(text)), encoding="utf-8", errors="surrogateescape"))
    return {name: dict(parser[name]) for name in parser.sections()}


# Generated files

OTHER_NAMES = ["app:main", "filter:x", "server:main", "loggers", "Uwsgi", "my section", "ünïcode"]
NAMES = ["uwsgi", *OTHER_NAMES]
KEYS = ["master", "Master", "http", "processes", "set debug", "paste.app_factory", "route-host", "é"]
# Whatever decode() can give for bytes, except for line breaks and the bytes that make a section's value invalid.
raw_text = st.binary(max_size=20).map(lambda content: paste_ini.decode(content.replace(b"\r", b"").replace(b"\n", b"").replace(b"%", b"%%")))
space = st.sampled_from(["", " ", "  ", "\t"])
comments = st.builds(lambda indent, mark, text: indent + mark + text, space, st.sampled_from("#;"), raw_text)
noise = st.lists(st.one_of(space, comments), max_size=3)


@st.composite
def split_files(draw: st.DrawFn, names: st.SearchStrategy[list[str]]) -> tuple[str, str, str]:
    """A file that Paste Deploy can read, with the sections I(names), as what is above, in and below [uwsgi]."""
    text = draw(noise)
    headers: dict[str, int] = {}
    level = 4
    for name in draw(names):
        headers[name] = len(text)
        # What is indented more than the option above it continues that option, also a header.
        text.append(" " * draw(st.integers(0, level)) + f"[{name}]")
        text.extend(draw(noise))
        level = 4
        for key in draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=4)):
            level = draw(st.integers(0, level))
            text.append(" " * level + key + draw(space) + draw(st.sampled_from("=:")) + draw(space) + draw(raw_text))
            for continuation in draw(st.lists(raw_text, max_size=2)):
                text.append(" " * (level + 1) + continuation)
                text.extend(draw(noise))
            text.extend(draw(noise))
    endings = st.sampled_from(draw(st.sampled_from([["\n"], ["\r\n"], ["\n", "\r\n"]])))
    ended = [line + draw(endings if number < len(text) else st.one_of(endings, st.just(""))) for number, line in enumerate(text, 1)]
    start = headers.get("uwsgi", len(text))
    end = min((index for index in headers.values() if index > start), default=len(text))
    while start < end < len(text) and text[end - 1].strip().startswith(("#", ";")):
        end -= 1
    return "".join(ended[:start]), "".join(ended[start:end]), "".join(ended[end:])


without_target = split_files(st.lists(st.sampled_from(OTHER_NAMES), unique=True, max_size=4)).map("".join)
with_target = split_files(st.lists(st.sampled_from(OTHER_NAMES), unique=True, max_size=3).flatmap(lambda names: st.permutations([*names, "uwsgi"])))
values = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["C", "Z"]), max_size=10).map(lambda text: text.replace("%", "%%")),
    st.sampled_from(["a b", "a;b", "#x", "=", "", " padded "]),
)
keys = st.one_of(st.sampled_from(KEYS), st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=5))
option_maps = st.dictionaries(keys, values, max_size=4)
option_changes = st.dictionaries(keys, st.one_of(values, st.none()), max_size=4)
followers = st.sampled_from([None, *OTHER_NAMES])


def written(options: dict[str, object]) -> dict[str, str]:
    """I(options) as the parser gives them back."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value).strip() for name, value in options.items() if value is not None
    }


def has_comments(text: str) -> list[str]:
    """The full-line comments in I(text)."""
    return [line.strip() for line in text.split("\n") if line.strip().startswith(("#", ";"))]


def uncommon(value: str) -> bool:
    """Whether I(value) is one that may be in a file, but not be written."""
    return "\n" in value or any(unicodedata.category(character) in ("Cc", "Cs") for character in value) or re.search(r"\s[#;]", value) is not None


# Properties


@given(with_target)
def test_parse_keeps_every_byte(parts: tuple[str, str, str]) -> None:
    text = "".join(parts)
    assert paste_ini.parse(text).render() == text


@given(st.one_of(without_target, with_target.map("".join)))
def test_parse_reads_what_configparser_reads(text: str) -> None:
    assert {section.name: paste_ini.get_options(text, section.name) for section in paste_ini.parse(text).sections} == read(text)


@given(st.binary())
def test_any_bytes_survive_decoding(content: bytes) -> None:
    assert paste_ini.encode(paste_ini.decode(content)) == content


@given(st.text(st.sampled_from("[]ab=:#; \t\r\n%\x0b\ufeff"), max_size=30))
def test_parse_accepts_only_what_configparser_accepts(text: str) -> None:
    try:
        document = paste_ini.parse(text)
    except PasteIniError:
        return
    if not text.startswith("\ufeff"):  # which check() reports, and an edit keeps
        assert {section.name: document.values(section.name) for section in document.sections} == read(text)


@given(with_target, option_changes, st.booleans())
def test_setting_an_existing_section(parts: tuple[str, str, str], options: dict[str, object], exclusive: bool) -> None:
    above, inside, below = parts
    text = above + inside + below
    result = set_section(text, "uwsgi", options, None, exclusive)

    assert result.startswith(above)
    assert result.endswith(below)
    after = result[len(above) : len(result) - len(below)]
    assert has_comments(after) == has_comments(inside)
    old = {} if exclusive else {name: value for name, value in read(text)["uwsgi"].items() if name not in options}
    assert read(result) == {**read(text), "uwsgi": {**old, **written(options)}}
    assert list(read(result)) == list(read(text))
    assert set_section(result, "uwsgi", options, None, exclusive) == result


@given(with_target)
def test_setting_what_is_there_changes_nothing(parts: tuple[str, str, str]) -> None:
    text = "".join(parts).replace("%", "%%").replace(":", "=")
    options = {name: value for name, value in paste_ini.get_options(text, "uwsgi").items() if not uncommon(value)}
    assert set_section(text, "uwsgi", options, exclusive=False) == text


@given(without_target, option_maps, followers, st.booleans())
@example("# a\n\n", {}, None, True)
@example("", {"a": 1}, None, True)
def test_absent_undoes_present(text: str, options: dict[str, object], before: Optional[str], exclusive: bool) -> None:
    result = set_section(text, "uwsgi", options, before, exclusive)
    assert remove_section(result, "uwsgi") == text
    assert set_section(result, "uwsgi", options, before, exclusive) == result
    if options or exclusive:
        assert read(result) == {**read(text), "uwsgi": written(options)}
        order = list(read(result))
        assert order.index("uwsgi") == (order.index(before) - 1 if before in order else len(order) - 1)


@given(without_target, option_maps, option_maps, followers)
def test_absent_undoes_several_changes(text: str, first: dict[str, object], second: dict[str, object], before: Optional[str]) -> None:
    result = set_section(set_section(text, "uwsgi", first, before), "uwsgi", second)
    result = remove_section(set_section(result, "other", second), "other")
    assert remove_section(result, "uwsgi") == text


@given(with_target)
def test_removing_a_section_removes_nothing_else(parts: tuple[str, str, str]) -> None:
    above, inside, below = parts
    try:
        result = remove_section(above + inside + below, "uwsgi")
    except PasteIniError as error:
        assert "indented" in error.message
        return
    assert read(result) == {name: options for name, options in read(above + inside + below).items() if name != "uwsgi"}
    assert result.endswith(below)
    if below:
        assert result[: len(result) - len(below)].startswith(above)
    else:  # the blank line that sets a last section off goes with it
        assert result.rstrip() == above.rstrip()
    assert remove_section(result, "uwsgi") == result
