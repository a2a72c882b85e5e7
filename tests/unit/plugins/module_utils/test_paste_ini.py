# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the Paste Deploy INI editor and checker, with the real ConfigParser and the real Paste Deploy."""

from __future__ import annotations

import configparser
import contextlib
import io
import re
import tempfile
import unicodedata
from pathlib import Path
from typing import Optional

import hypothesis
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paste.deploy.loadwsgi import APP, ConfigLoader, appconfig, loadcontext

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_ini as paste_ini
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_ini import (
    PasteIniError,
    remove_section,
    set_section,
)

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
raw_text = st.binary(max_size=20).map(
    lambda content: paste_ini.decode(content.replace(b"\r", b"").replace(b"\n", b"").replace(b"%", b"%%"))
)
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
    ended = [
        line + draw(endings if number < len(text) else st.one_of(endings, st.just("")))
        for number, line in enumerate(text, 1)
    ]
    start = headers.get("uwsgi", len(text))
    end = min((index for index in headers.values() if index > start), default=len(text))
    while start < end < len(text) and text[end - 1].strip().startswith(("#", ";")):
        end -= 1
    return "".join(ended[:start]), "".join(ended[start:end]), "".join(ended[end:])


without_target = split_files(st.lists(st.sampled_from(OTHER_NAMES), unique=True, max_size=4)).map("".join)
with_target = split_files(
    st.lists(st.sampled_from(OTHER_NAMES), unique=True, max_size=3).flatmap(
        lambda names: st.permutations([*names, "uwsgi"])
    )
)
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
        name: str(value).lower() if isinstance(value, bool) else str(value).strip()
        for name, value in options.items()
        if value is not None
    }


def has_comments(text: str) -> list[str]:
    """The full-line comments in I(text)."""
    return [line.strip() for line in text.split("\n") if line.strip().startswith(("#", ";"))]


def uncommon(value: str) -> bool:
    """Whether I(value) is one that may be in a file, but not be written."""
    return (
        "\n" in value
        or any(unicodedata.category(character) in ("Cc", "Cs") for character in value)
        or re.search(r"\s[#;]", value) is not None
    )


# Properties


@given(with_target)
def test_parse_keeps_every_byte(parts: tuple[str, str, str]) -> None:
    text = "".join(parts)
    assert paste_ini.parse(text).render() == text


@given(st.one_of(without_target, with_target.map("".join)))
def test_parse_reads_what_configparser_reads(text: str) -> None:
    assert {
        section.name: paste_ini.get_options(text, section.name) for section in paste_ini.parse(text).sections
    } == read(text)


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
def test_absent_undoes_several_changes(
    text: str, first: dict[str, object], second: dict[str, object], before: Optional[str]
) -> None:
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


words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=3)
lines_of_values = st.one_of(st.sampled_from(["a b", "[x]", "a = b", "=", "", " padded "]), words)
multi_line_values = st.lists(lines_of_values, max_size=4).map("\n".join)


@given(
    without_target,
    st.dictionaries(keys, multi_line_values, max_size=4),
    st.dictionaries(keys, multi_line_values, max_size=4),
    followers,
)
def test_values_of_several_lines_read_as_they_are_and_go_again(
    text: str, first: dict[str, object], second: dict[str, object], before: Optional[str]
) -> None:
    result = set_section(text, "app:new", first, before)
    assert {name: value.lstrip("\n") for name, value in read(result)["app:new"].items()} == stripped(first)
    assert set_section(result, "app:new", first, before) == result
    assert remove_section(result, "app:new") == text
    result = set_section(result, "app:new", second)
    assert read(result) == {**read(text), "app:new": stripped(second)}
    # Blank lines stay where a value is replaced, as comments do.
    if not any("\n\n" in value for value in stripped(first).values()):
        assert remove_section(result, "app:new") == text


def stripped(options: dict[str, object]) -> dict[str, str]:
    """I(options) of several lines as the parser gives them back."""
    return {name: "\n".join(line.strip() for line in str(value).split("\n")).strip() for name, value in options.items()}


broken_lines = st.lists(
    st.sampled_from(["a = 1", "a = 2", "a:3", "  more", "no value", "= 1", "", "c = 1\ra = 2"]), max_size=6
)


@given(without_target, broken_lines, followers, st.booleans())
def test_a_section_that_goes_need_not_be_readable(
    text: str, lines: list[str], before: Optional[str], repeated: bool
) -> None:
    # What is indented below the section would be a part of its last value.
    hypothesis.assume(not re.search(r"^\s+\[", text, re.MULTILINE))
    content = set_section(text, "uwsgi", {}, before).replace("[uwsgi]", "\n".join(["[uwsgi]", *lines]))
    more = ("" if content.endswith("\n") else "\n") + "\n[uwsgi]\nb = 1\n" if repeated else ""
    assert read(remove_section(content + more, "uwsgi")) == read(text)


# Editing, by example


def test_changed_options_stay_in_place_and_new_ones_follow_the_last() -> None:
    result = set_section(SAMPLE, "uwsgi", {"threads": 8, "processes": 2, "socket": "/run/galaxy/web.sock"})
    assert result == SAMPLE.replace("threads  =  4", "threads  =  8").replace(
        "master = true\n", "socket = /run/galaxy/web.sock\n"
    )


def test_options_that_are_not_listed_stay_unless_exclusive() -> None:
    result = set_section(SAMPLE, "uwsgi", {"threads": None, "lazy-apps": False}, exclusive=False)
    assert result == SAMPLE.replace("threads  =  4\n", "").replace(
        "master = true\n", "master = true\nlazy-apps = false\n"
    )


def test_a_value_over_several_lines_is_replaced_as_a_whole() -> None:
    result = set_section(SAMPLE, "app:main", {"brand": "one", "debug": False}, exclusive=False)
    assert result.endswith("brand = one\n\ndebug = false\n# The end.\n")


def test_colons_and_spacing_are_kept() -> None:
    result = set_section(SAMPLE, "app:main", {"database_connection": "sqlite://"}, exclusive=False)
    assert "\ndatabase_connection: sqlite://\n" in result


def test_uwsgi_gets_the_separator_it_knows() -> None:
    assert set_section("[uwsgi]\n  a: 1\n", "uwsgi", {"a": 1}) == "[uwsgi]\n  a = 1\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [("a =", "a = 1"), ("a=", "a=1"), ("a = ", "a = 1"), ("a=0", "a=1"), ("a =\n  0\n  0", "a = 1")],
)
def test_an_empty_value_is_filled_in_the_style_of_its_line(line: str, expected: str) -> None:
    assert set_section(f"[uwsgi]\n{line}\n", "uwsgi", {"a": 1}) == f"[uwsgi]\n{expected}\n"


def test_a_new_section_goes_above_the_comments_of_the_one_it_precedes() -> None:
    result = set_section(SAMPLE, "filter:proxy-prefix", {"prefix": "/galaxy"}, before="app:main")
    assert result == SAMPLE.replace(
        "# The application.\n", "[filter:proxy-prefix]\nprefix = /galaxy\n\n# The application.\n"
    )
    assert remove_section(result, "filter:proxy-prefix") == SAMPLE


def test_a_new_section_without_a_successor_goes_to_the_end() -> None:
    assert (
        set_section("[a]\r\nb = 1\r\n", "uwsgi", {"c": 2}, before="nothing")
        == "[a]\r\nb = 1\r\n\r\n[uwsgi]\r\nc = 2\r\n"
    )
    assert set_section("[a]\nb = 1", "uwsgi", {"c": 2}) == "[a]\nb = 1\n\n[uwsgi]\nc = 2"


def test_a_byte_order_mark_stays() -> None:
    assert set_section("\ufeff[a]\n", "a", {"b": 1}) == "\ufeff[a]\nb = 1\n"


def test_removing_a_section_takes_its_own_comments_only() -> None:
    assert "# The application.\n# It has many options.\n[app:main]" in remove_section(SAMPLE, "uwsgi")
    assert "[uwsgi]" not in remove_section(SAMPLE, "uwsgi")
    assert "#stats" not in remove_section(SAMPLE, "uwsgi")
    assert remove_section(SAMPLE, "nothing") == SAMPLE


def test_a_section_is_not_removed_if_that_changes_the_next() -> None:
    with pytest.raises(PasteIniError, match="indentation"):
        remove_section("[a]\nb = 1\n[uwsgi]\n    c = 1\n    [d]\n", "uwsgi")


def test_nothing_is_added_for_options_that_are_to_be_absent() -> None:
    assert set_section(SAMPLE, "filter:x", {"a": None}, exclusive=False) == SAMPLE


@pytest.mark.parametrize(
    ("section", "options", "message"),
    [
        ("uwsgi", {"static-map": ["/a=/b", "/c=/d"]}, "include ="),
        ("uwsgi", {"a": {"b": 1}}, "is a dict"),
        ("uwsgi", {"a": "1\n2"}, "more than one line"),
        ("uwsgi", {"a": "1\r2"}, "more than one line"),
        ("uwsgi", {"a": "1\0"}, "control character"),
        ("uwsgi", {"a": "1 # one"}, "comment"),
        ("uwsgi", {"a": "1\t; one"}, "comment"),
        ("uwsgi", {"id_secret": "hunter2 # one"}, r"'\*\*\*\*\*\*\*\*' seems"),
        ("app:main", {"a": "100%"}, "'%%'"),
        ("app:main", {"a": "%(nothing)s"}, r"%\(nothing\)s"),
        ("DEFAULT", {"a": "%d"}, "'%%'"),
        ("server:main", {"a": "%d"}, "'%%'"),
        *[
            ("uwsgi", {name: 1}, "name of an option")
            for name in ("", " a", "a ", "a=b", "a:b", "a\nb", "[a", "#a", ";a")
        ],
        *[(name, {}, "name of a section") for name in ("", " a", "a]", "[a", "a\n")],
    ],
)
def test_what_cannot_work_is_refused(section: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(PasteIniError, match=message) as caught:
        set_section("", section, options)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "option", "message"),
    [
        ("[a]\nb = 1\n[c]\n[a]\n", 4, "", "lines 1 and 4"),
        ("[uwsgi]\nb = 1\nc = 1\nb = 2\n", 4, "b", "lines 2 and 4.*include ="),
        ("[a]\nb = 1\nb : 2\n", 3, "b", "lines 2 and 3"),
        ("[DEFAULT]\nb = 1\n[DEFAULT]\nb = 2\n", 4, "b", "lines 2 and 4"),
        ("b = 1\n", 1, "", "no section"),
        ("[a]\nmaster\n", 2, "", "'master'"),
        ("[a]\n= 1\n", 2, "", "'= 1'"),
        ("[a]\nb = 1\r[c]\n", 2, "", "carriage return"),
        ("[a] # see [b]\n", 1, "", "second"),
        ("[app:main]\nx = 1\na = 50%\n", 3, "a", "'%%'"),
    ],
)
def test_a_broken_file_is_refused_with_the_line(text: str, line: int, option: str, message: str) -> None:
    with pytest.raises(PasteIniError, match=message) as caught:
        set_section(text, "uwsgi", {"z": 1}, exclusive=False)
    assert (caught.value.line, caught.value.option) == (line, option)


@pytest.mark.parametrize(
    "inside",
    [
        "a = 1\na = 2\n",
        "stray\n",
        "= 1\n",
        "a = 1\n[uwsgi]\nb = 1\n",
        "a = 1\rb = 2\n",
        "a = 1\n\n[x]\nc = 1\n[uwsgi]\na = 1\na = 2\n",
    ],
)
def test_a_broken_section_can_be_removed(inside: str) -> None:
    text = f"[app:main]\nuse = egg:x\n\n[uwsgi]\n{inside}"
    assert remove_section(text, "uwsgi") == "[app:main]\nuse = egg:x\n" + ("\n[x]\nc = 1\n" if "[x]" in inside else "")
    changes = [paste_ini.Change("uwsgi", {}, absent=True)]
    assert paste_ini.check_changed(text, changes, "galaxy.ini") == []


@pytest.mark.parametrize(
    "text", ["[uwsgi]\na = 1\n[other\nuse = egg:x\n", "[uwsgi]\na = 1\n[x]\nb = 1\nb = 2\n", "a = 1\n[uwsgi]\n"]
)
def test_removing_a_section_does_not_hide_what_is_wrong_elsewhere(text: str) -> None:
    with pytest.raises(PasteIniError):
        remove_section(text, "uwsgi")


def test_a_value_of_several_lines_is_written_as_indented_lines() -> None:
    text = "[app:main]\nuse = egg:x\npyramid.includes =\n    pyramid_tm\n    pyramid_debugtoolbar\nbrand = x\n"
    assert (
        set_section(text, "app:main", {"pyramid.includes": "pyramid_tm\npyramid_debugtoolbar\n"}, exclusive=False)
        == text
    )
    assert set_section(text, "app:main", {"pyramid.includes": "a\r\n  b\n"}, exclusive=False) == text.replace(
        "pyramid_tm\n    pyramid_debugtoolbar", "a\n    b"
    ).replace("=\n    a", "= a")
    assert set_section("", "app:main", {"pyramid.includes": "a\nb"}) == "[app:main]\npyramid.includes = a\n    b\n"
    with pytest.raises(PasteIniError, match="takes for a comment"):
        set_section("", "app:main", {"pyramid.includes": "a\n#b"})


def test_a_value_can_be_repaired() -> None:
    assert set_section("[app:main]\na = 50%\n", "app:main", {"a": "50%%"}) == "[app:main]\na = 50%%\n"


def test_default_may_be_repeated_but_not_edited_then() -> None:
    text = "[DEFAULT]\na = 1\n[DEFAULT]\nb = 2\n"
    assert paste_ini.get_options(text, "DEFAULT") == {"a": "1", "b": "2"}
    with pytest.raises(PasteIniError, match="lines 1 and 3"):
        set_section(text, "DEFAULT", {"a": 2})


def test_text_behind_the_header_of_uwsgi_is_refused() -> None:
    with pytest.raises(PasteIniError, match="does not find"):
        set_section("[uwsgi] # mine\na = 1\n", "uwsgi", {"a": 2})


def test_one_section_among_ten_thousand_lines_is_edited_alone() -> None:
    others = "".join(
        f"[app:{number}]\n# a comment\n#commented = 1\noption_{number} = %(here)s/value\n\n" for number in range(2000)
    )
    assert set_section("[uwsgi]\na = 1\n" + others, "uwsgi", {"a": 2}) == "[uwsgi]\na = 2\n" + others


# Interpolation, compared with Paste Deploy

NAMES_TO_REFER_TO = ["a", "b", "c", "here", "nothing"]
pieces = st.one_of(
    st.sampled_from(["%", "%%", "%(", "x", ")s", "%d"]),
    st.sampled_from(NAMES_TO_REFER_TO).map(lambda name: f"%({name})s"),
)
interpolated_values = st.lists(pieces, max_size=3).map("".join)


@given(
    st.dictionaries(st.sampled_from("abc"), interpolated_values),
    st.dictionaries(st.sampled_from("abd"), interpolated_values),
)
@example({"a": "%(b)s", "b": "%(a)s"}, {})
def test_interpolation_is_paste_deploys(defaults: dict[str, str], options: dict[str, str]) -> None:
    parser = configparser.ConfigParser(defaults={"here": "/srv", "__file__": "/srv/galaxy.ini"})
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    block = [
        "[DEFAULT]",
        *(f"{name} = {value}" for name, value in defaults.items()),
        "[app:main]",
        *(f"{name} = {value}" for name, value in options.items()),
    ]
    text = "\n".join(block) + "\n"
    parser.read_string(text)
    expected = {}
    broken = set()
    for section in ("DEFAULT", "app:main"):
        for name in defaults if section == "DEFAULT" else options:
            try:
                parser.get(section, name)
            except configparser.InterpolationError:
                broken.add((section, name))
    # What DEFAULT sets, Paste Deploy does not hand to the application.
    for name in options.keys() - defaults.keys():
        with contextlib.suppress(configparser.InterpolationError):
            expected[name] = parser.get("app:main", name)
    findings = paste_ini.check(text + "paste.app_factory = x:y\n", "/srv/galaxy.ini")
    assert {(finding.section, finding.option) for finding in findings if finding.severity == "error"} == broken
    assert paste_ini.options_in_effect(text, "/srv/galaxy.ini", "app:main") == expected


@pytest.mark.parametrize(
    "headers",
    [
        *(
            [header]
            for header in [
                "app:main",
                "application:main",
                "composite:main",
                "composit:main",
                "pipeline:main",
                "filter-app:main",
                "app: main",
            ]
        ),
        [],
        ["app:other"],
        ["main"],
        ["app:main", "pipeline:main"],
        ["app:main", "application:main"],
        ["app:main", "app: main"],
        ["App:main"],
    ],
)
def test_the_application_is_found_where_paste_deploy_finds_it(headers: list[str], tmp_path: Path) -> None:
    path = tmp_path / "galaxy.ini"
    path.write_text("".join(f"[{header}]\n" for header in headers), encoding="utf-8")
    findings = paste_ini.check(path.read_text(encoding="utf-8"), str(path))
    try:
        ConfigLoader(str(path)).find_config_section(APP, "main")
    except LookupError:
        assert [(finding.severity, finding.section) for finding in findings] == [("error", "")]
    else:
        assert [finding for finding in findings if not finding.section] == []


# Checking


def test_a_good_file_has_no_findings() -> None:
    assert paste_ini.check(SAMPLE, "galaxy.ini") == []


APP_SECTION = "[app:main]\nuse = egg:x\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "galaxy.ini: there is no application: add a section [app:main]"),
        (
            "[app:main]\n[composite:main]\n",
            "galaxy.ini: both [app:main] and [composite:main] define the application: keep one",
        ),
        (APP_SECTION + "server_name = x\n", "galaxy.ini:3: [app:main] server_name: it overrides the --server-name"),
        (APP_SECTION + "Server_Name = x\n", "galaxy.ini:3: [app:main] Server_Name: it overrides the --server-name"),
        (
            APP_SECTION + "[DEFAULT]\nlog_destination = x\n",
            "galaxy.ini:4: [DEFAULT] log_destination: it overrides the --log-file",
        ),
        (
            APP_SECTION + "brand = x\nBrand = y\n",
            "galaxy.ini:4: [app:main] Brand: it is 'brand' once more to Galaxy's job handlers",
        ),
        (APP_SECTION + "id_secret = hunter2%\n", "galaxy.ini:3: [app:main] id_secret: a '%'"),
        (APP_SECTION + "id_secret = %(hunter2)s\n", "galaxy.ini:3: [app:main] id_secret: %(...)s refers"),
        (APP_SECTION + "id_secret hunter2\n", "galaxy.ini:3: [app:main] expected"),
        (APP_SECTION + "a = 1\na = 2\n", "galaxy.ini:4: [app:main] a: set twice, in lines 3 and 4"),
        (APP_SECTION + "[uwsgi]\nmaster = false # no\n", "galaxy.ini:4: [uwsgi] master: uWSGI takes a comment"),
        (APP_SECTION + "[uwsgi]\nmaster: false\n", "galaxy.ini:4: [uwsgi] master: uWSGI knows no ':'"),
        (APP_SECTION + "[uwsgi]\na = 1\n b = 2\n", "galaxy.ini:5: [uwsgi] a: uWSGI takes an indented line"),
        (APP_SECTION + "[uwsgi] ; x\n", "galaxy.ini:3: [uwsgi] uWSGI does not find"),
        ("\ufeff" + APP_SECTION, "galaxy.ini:1: the file starts with a byte order mark"),
        (APP_SECTION + "# \udce9\n", "galaxy.ini:3: the line is not UTF-8"),
        (
            "[app:main]\n",
            "galaxy.ini:1: [app:main] nothing says what to load: add 'paste.app_factory = MODULE:FUNCTION'",
        ),
        ("[app:main]\nuse = web\n", "galaxy.ini:2: [app:main] use: there is no section [app:web]"),
        ("[app:main]\nuse = main\n", "galaxy.ini:2: [app:main] use: [app:main] leads back to itself"),
        ("[app:main]\nuse = eggs:x\n", "galaxy.ini:2: [app:main] use: Paste Deploy knows no 'eggs:'"),
        (
            APP_SECTION + "filter-with = proxy-prefix\n",
            "galaxy.ini:3: [app:main] filter-with: there is no section [filter:proxy-prefix]",
        ),
        (
            APP_SECTION + "filter-with = f\n[filter:f]\nprefix = /x\n",
            "galaxy.ini:4: [filter:f] nothing says what to load: add 'paste.filter_factory",
        ),
        (
            APP_SECTION + "get port = http_port\n",
            "galaxy.ini:3: [app:main] get port: there is no 'http_port' in [DEFAULT] to get",
        ),
        (
            "[pipeline:main]\npipeline = f a\n[app:a]\nuse = egg:x\n",
            "galaxy.ini:2: [pipeline:main] pipeline: there is no section [filter:f]",
        ),
        (
            "[composite:main]\nuse = egg:Paste#urlmap\n/ = galaxy\n",
            "galaxy.ini:3: [composite:main] /: there is no section [app:galaxy]",
        ),
    ],
)
def test_findings(text: str, expected: str) -> None:
    findings = paste_ini.check(text, "galaxy.ini")
    assert len(findings) == 1
    assert str(findings[0]).startswith(expected)
    assert "hunter2" not in str(findings[0]) or "id_secret hunter2" in text


@pytest.mark.parametrize(("handlers", "severities"), [(True, ["error"]), (None, ["warning"]), (False, [])])
def test_what_breaks_handlers_matters_where_there_are_some(handlers: Optional[bool], severities: list[str]) -> None:
    findings = paste_ini.check(APP_SECTION + "server_name = x\n", "galaxy.ini", handlers=handlers)
    assert [finding.severity for finding in findings] == severities


@pytest.mark.parametrize("section", ["server:main", "app:other"])
def test_sections_that_uwsgi_never_loads_are_warned_about_only(section: str) -> None:
    assert [
        finding.severity for finding in paste_ini.check(f"{APP_SECTION}[{section}]\na = %(port)s\n", "galaxy.ini")
    ] == ["warning"]


def test_an_option_that_default_sets_too_reaches_no_application() -> None:
    text = "[DEFAULT]\nbrand = x\nset a = 1\n" + APP_SECTION + "brand = y\nset a = 2\n[app:other]\nbrand = z\n"
    (finding,) = paste_ini.check(text, "galaxy.ini", handlers=False)
    assert (finding.line, finding.severity, finding.section, finding.option) == (6, "warning", "app:main", "brand")
    assert "remove the option from [DEFAULT]" in finding.message
    # Who sets the option would believe it set.
    change = paste_ini.Change("app:main", {"brand": "w"})
    (finding,) = paste_ini.check_changed(text, [change], "galaxy.ini", handlers=False)
    assert (finding.line, finding.severity) == (6, "error")
    change = paste_ini.Change("app:main", {"logo": "w"})
    (finding,) = paste_ini.check_changed(text, [change], "galaxy.ini", handlers=False)
    assert finding.severity == "warning"


def test_sections_that_paste_deploy_does_not_read_may_have_any_percent_sign() -> None:
    assert (
        paste_ini.check(APP_SECTION + "[uwsgi]\nlogto = %n.log\n[formatter_x]\nformat = %(message)s\n", "galaxy.ini")
        == []
    )


def test_another_application_can_be_checked() -> None:
    assert paste_ini.check("[app:other]\nuse = egg:x\n", "galaxy.ini", "other") == []


SECTIONS = ["app:main", "app:a", "filter-app:a", "filter:a", "filter:b", "pipeline:p", "DEFAULT"]
LOADING_OPTIONS = [
    "use",
    "paste.app_factory",
    "paste.composite_factory",
    "paste.filter_factory",
    "filter-with",
    "next",
    "pipeline",
    "set x",
    "get y",
    "x",
]
LOADING_VALUES = [
    "builtins:dict",
    "call:builtins:dict",
    "a",
    "b",
    "p",
    "x",
    "a b",
    "b a",
    "",
    "nothing:x",
    "%(x)s",
    "%(here)s",
]
loading_options = st.dictionaries(st.sampled_from(LOADING_OPTIONS), st.sampled_from(LOADING_VALUES), max_size=4)


@hypothesis.settings(max_examples=1000)
@given(st.dictionaries(st.sampled_from(SECTIONS), loading_options), loading_options)
@example({}, {"use": "a", "get y": "x"})
@example({"DEFAULT": {"x": "builtins"}}, {"paste.app_factory": "%(x)s:dict", "get y": "x"})
@example({"DEFAULT": {"use": "builtins:dict"}}, {"use": "%(x)s", "paste.app_factory": "builtins:dict"})
def test_what_cannot_be_loaded_is_what_paste_deploy_cannot_load(
    sections: dict[str, dict[str, str]], main: dict[str, str]
) -> None:
    sections = {**sections, "app:main": main}
    text = "".join(
        f"[{name}]\n" + "".join(f"{option} = {value}\n" for option, value in options.items())
        for name, options in sections.items()
    )
    with tempfile.NamedTemporaryFile("w", suffix=".ini", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        findings = [
            finding for finding in paste_ini.check(text, file.name, handlers=False) if finding.severity == "error"
        ]
        try:
            loadcontext(APP, f"config:{file.name}")
        except (LookupError, RecursionError, configparser.InterpolationError):
            assert findings
        except ImportError:
            # What is outside of the file is not looked at, nor what would have been loaded after it.
            pass
        except (AttributeError, ValueError):
            # A factory that is none, such as "a b"; what it is is outside of the file too.
            pass
        else:
            # Paste Deploy skips an option that [DEFAULT] has too, without a look at its value; Galaxy reads it.
            skipped = {option for option in sections.get("DEFAULT", {}) if not option.startswith(("set ", "get "))}
            assert [finding for finding in findings if finding.option not in skipped] == []


# Changes to come

BEFORE = "[uwsgi]\nmaster = true # yes\n\n[app:main]\nuse = egg:x\nbrand = 50%\n"


def test_changes_to_come_can_repair_a_file() -> None:
    assert [finding.line for finding in paste_ini.check_changed(BEFORE, [], "galaxy.ini")] == [2, 6]
    changes = [
        paste_ini.Change("app:main", {"brand": "50%%"}),
        paste_ini.Change("uwsgi", {"master": True}, exclusive=True),
    ]
    assert paste_ini.check_changed(BEFORE, changes, "galaxy.ini") == []


def test_what_changes_to_come_leave_is_found_on_the_line_where_it_is_now() -> None:
    changes = [paste_ini.Change("uwsgi", {"processes": 2, "threads": 4, "master": True}, exclusive=True)]
    (finding,) = paste_ini.check_changed(BEFORE, changes, "galaxy.ini")
    assert (finding.line, finding.option) == (6, "brand")


def test_what_changes_to_come_bring_is_on_no_line() -> None:
    change = paste_ini.Change("app:main", {"filter-with": "no-such-filter", "brand": "x"})
    (finding,) = paste_ini.check_changed(BEFORE.replace(" # yes", ""), [change], "galaxy.ini")
    assert (finding.line, finding.option) == (0, "filter-with")


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        (BEFORE, {"id_secret": "hunter2%"}, [(0, "id_secret"), (2, "master"), (6, "brand")]),
        ("[app:main]\nuse = egg:x\n", {"id_secret": "hunter2%"}, [(0, "id_secret")]),
        ("[app:main]\nuse = egg:x\nuse = egg:y\n", {"a": 1}, [(3, "use")]),
        ("[app:main]\nuse = egg:x\n", {"a": ["b"]}, [(0, "a")]),
    ],
)
def test_changes_that_cannot_be_made(text: str, options: dict[str, object], expected: list[tuple[int, str]]) -> None:
    findings = paste_ini.check_changed(text, [paste_ini.Change("app:main", options)], "galaxy.ini")
    assert [(finding.line, finding.option) for finding in findings] == expected
    assert "hunter2" not in str(findings)


def test_what_the_editor_writes_loads_in_paste_deploy(tmp_path: Path) -> None:
    path = tmp_path / "galaxy.ini"
    text = set_section(
        "", "app:main", {"use": "call:builtins:dict", "path": "%(here)s/x", "Brand": "50%%", "debug": True}
    )
    path.write_text(
        set_section(text, "uwsgi", {"processes": 4, "logto": "%n.log"}, before="app:main"), encoding="utf-8"
    )
    assert dict(appconfig(f"config:{path}").local_conf) == {"path": f"{tmp_path}/x", "Brand": "50%", "debug": "true"}


# Secrets


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("id_secret = hunter2", "id_secret = ********"),
        ("#id_secret=hunter2", "#id_secret=********"),
        ("set smtp_password : hunter2", "set smtp_password : ********"),
        ("bootstrap_admin_api_key = hunter2 # x", "bootstrap_admin_api_key = ********"),
        ("MASTER_API_KEY = hunter2", "MASTER_API_KEY = ********"),
        (
            "database_connection = postgresql://galaxy:hunter2@db/galaxy",
            "database_connection = postgresql://galaxy:********@db/galaxy",
        ),
        (
            "database_connection = postgresql://galaxy:hun@ter2/@db/galaxy",
            "database_connection = postgresql://galaxy:********@db/galaxy",
        ),
        ("x = redis://:hunter2@cache", "x = redis://:********@cache"),
        (
            "x = postgresql:///galaxy?user=galaxy&password=hunter2",
            "x = postgresql:///galaxy?user=galaxy&password=********",
        ),
        ("env = GALAXY_CONFIG_ID_SECRET=hunter2", "env = GALAXY_CONFIG_ID_SECRET=********"),
        ("route = ^/ basicauth:Galaxy,admin:hunter2", "route = ^/ basicauth:Galaxy,admin:********"),
        ('x = {"password": "hunter2"}', 'x = {"password": ********'),
        ("id_secret =", "id_secret ="),
        (
            "database_connection = sqlite:///x?isolation_level=IMMEDIATE",
            "database_connection = sqlite:///x?isolation_level=IMMEDIATE",
        ),
        (
            "galaxy_infrastructure_url = https://galaxy.example.org:8080/x",
            "galaxy_infrastructure_url = https://galaxy.example.org:8080/x",
        ),
        ("admin_users = a@example.org,b@example.org", "admin_users = a@example.org,b@example.org"),
    ],
)
def test_secrets_are_masked(line: str, masked: str) -> None:
    assert paste_ini.mask_secrets(f"[app:main]\n{line}\r\n") == f"[app:main]\n{masked}\r\n"
    assert paste_ini.mask_secrets(masked) == masked


def test_the_lines_that_continue_a_secret_are_masked() -> None:
    text = "[a]\nid_secret = x\n  hunter2\n\n  # note\n\thunter2\nb = 1\n  2\n"
    assert paste_ini.mask_secrets(text) == "[a]\nid_secret = ********\n  ********\n\n  # note\n\t********\nb = 1\n  2\n"


@given(st.text())
def test_masking_keeps_the_lines(text: str) -> None:
    assert paste_ini.mask_secrets(text).count("\n") == text.count("\n")


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=5), keys)
def test_a_masked_secret_is_gone(secret: str, name: str) -> None:
    text = f"[a]\n{name} = 1\nid_secret = {secret}{secret}\n"
    assert secret + secret not in paste_ini.mask_secrets(text)


def test_a_changed_secret_is_seen_to_change() -> None:
    before = "[a]\nid_secret = one\ndb = x://u:one@h\nkey_token = same\n[b]\nid_secret = two\n"
    after = "[a]\nid_secret = two\ndb = x://u:two@h\nkey_token = same\nmaster_api_key = new\n[b]\nid_secret = two\n"
    assert paste_ini.mask_diff(before, after) == (
        "[a]\nid_secret = ********\ndb = x://u:********@h\nkey_token = ********\n[b]\nid_secret = ********\n",
        "[a]\nid_secret = ******** (changed)\ndb = x://u:********@h (changed)\nkey_token = ********\nmaster_api_key = ********\n[b]\nid_secret = ********\n",
    )
    assert paste_ini.mask_diff("", after)[1] == paste_ini.mask_secrets(after)
