# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root reads files that others write: the time that this takes grows with the size of a file, not with the square of the size."""

from __future__ import annotations

import contextlib
import itertools
import re
import signal
from collections.abc import Iterator
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import (
    _galaxy_yml,
    _job_conf,
    _migration_programs,
    _nginx_config,
    _paste_ini,
    _secrets,
    _uwsgi_formats,
    _virtualenv,
    _yaml_text,
)
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._control import fingerprint

SIZE = 200_000

# What opens something and never ends it, or ends what was never opened; a thing alone, and behind another one.
PIECES = (
    *("[", "[uwsgi]\n", "{", "<handlers", "<handlers>", "</handlers>", "<!--", "-->", "<param", "<param>", "<env id=", "<env>", "</env>", "handling:\n "),
    *(" ", "\t", "\n", " \n", "\r", "\r\n", "'", '"', "\\", "#", "=", ":", "@", "://", "://a:", "/bin/", "/", "%(", ">", "<x/>", "a: |\n", "value: "),
    *("password", "password ", "token_", "basicauth", "basicauth:", "basicauth:,", "--server-name=", "a=b\n", "VERSION_MAJOR"),
)


def _nginx(text: str) -> None:
    with contextlib.suppress(_nginx_config.NginxConfigError):
        _nginx_config.parse(text)


def _lua(text: str) -> None:
    _nginx(f"access_by_lua_block {{ {text}")


def _environment(text: str) -> None:
    with contextlib.suppress(ValueError):
        _migration_programs.parse_environment(f"A={text}")


def _yaml(text: str) -> None:
    _yaml_text.LIBYAML_DIFFERS.search(text)


READERS: dict[str, Callable[[str], object]] = {
    "without_section": lambda text: fingerprint.without_section(text.encode(), "uwsgi"),
    "without_keys": lambda text: fingerprint.without_keys(text.encode(), ["gravity", "handling"]),
    "without_handlers": lambda text: fingerprint.without_handlers(text.encode()),
    "mask_line": _secrets.mask_line.__wrapped__,
    "job_conf.mask_secrets": _job_conf.mask_secrets,
    "job_conf.yaml": _yaml,
    "paste_ini.mask_secrets": _paste_ini.mask_secrets,
    "paste_ini.check": lambda text: _paste_ini.check(text, "/galaxy.ini"),
    "nginx": _nginx,
    "lua": _lua,
    "supervisor's environment": _environment,
    "program": _migration_programs._BINARY.search,
    "help": _virtualenv._OPTION.findall,
    "placeholder": _uwsgi_formats._PLACEHOLDER.findall,
}


@contextlib.contextmanager
def in_a_moment() -> Iterator[None]:
    """Fail after 15 seconds of the processor, however busy the machine is: what is linear takes less than one."""

    def give_up(_number: int, _frame: object) -> None:
        raise AssertionError("it takes more than 15 seconds of the processor")

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, 15)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("reader", READERS)
def test_hostile_text_is_read_in_a_moment(reader: str) -> None:
    for first, piece in itertools.product(("", '[uwsgi]\na = "'), PIECES):
        text = (first + piece * (SIZE // len(piece)))[:SIZE] + "x"
        with in_a_moment():
            READERS[reader](text)


@pytest.mark.parametrize("reader", READERS)
def test_two_hostile_halves_are_read_in_a_moment(reader: str) -> None:
    for first, second in itertools.permutations(PIECES[::6], 2):
        text = (first * SIZE)[: SIZE // 2] + (second * SIZE)[: SIZE // 2] + "x"
        with in_a_moment():
            READERS[reader](text)


@pytest.mark.parametrize("bracket", ["[", "{", "[{a: "])
def test_brackets_without_end_are_refused_in_a_moment(bracket: str) -> None:
    with in_a_moment():
        (finding,) = _job_conf.check((bracket * SIZE).encode(), "/job_conf.yml")
        (other,) = _galaxy_yml.check(_galaxy_yml.read("galaxy: " + bracket * SIZE, "/galaxy.yml"))
    assert "nested too deeply" in finding.message
    assert "nested too deeply" in other.message


def test_keys_that_double_from_line_to_line_are_refused_in_a_moment() -> None:
    bomb = "x0: &x0 {a: 1}\n" + "".join(f"x{level}: &x{level} {{<<: [*x{level - 1}, *x{level - 1}]}}\n" for level in range(1, 60))
    with in_a_moment():
        (finding,) = _job_conf.check(f"runners: {{}}\n{bomb}".encode(), "/job_conf.yml")
        (other,) = _galaxy_yml.check(_galaxy_yml.read(f"galaxy: {{}}\n{bomb}", "/galaxy.yml"))
    assert "merge keys (<<) make more than 100000 keys" in finding.message
    assert other.message == finding.message


def test_brackets_in_each_other_are_read_up_to_a_depth_that_nobody_needs() -> None:
    assert not _job_conf.check(b"runners: {}\nlimits: " + b"[" * 50 + b"]" * 50 + b"\n", "/job_conf.yml")


# The results are those of the expressions that took too long.


@given(st.text("[]uwsgi=a \t\r\n\v"))
def test_section_is_left_out_as_ever(text: str) -> None:
    pattern = rb"(?ms)^\[uwsgi\].*?(?=^\[|\Z)"
    before = re.sub(rb"(?m)^\s*\n|\s*\Z", b"", re.sub(pattern, b"", text.encode()))
    assert fingerprint.without_section(text.encode(), "uwsgi") == before


PARTS = ("<!--", "-->", "<handlers>", "<handlers/>", '<handlers a="b"/>', '<handlers a="b">', "</handlers>", '<handler id="x"/>', "<x>")


@given(st.lists(st.sampled_from((*PARTS, "</x>", "handling:", "\n", " ", "#", "a", "->"))).map("".join))
def test_handlers_are_left_out_as_ever(text: str) -> None:
    before = re.sub(rb"(?s)<!--.*?-->", b"", text.encode())
    before = re.sub(rb"(?s)<handlers\b(?:[^>]*/>|.*?</handlers>)", b"", before)
    before = re.sub(rb"(?m)^handling:.*\n(?:(?:[ \t].*|#.*)?\n)*", b"", before)
    assert fingerprint.without_handlers(text.encode()) == before


ELEMENTS = ("<param>", "<env>", '<param id="password">', "<param/>", "</param>", "</env>", "<env id='x'>", "<plugin>", "a", " ", "\n")


@given(st.lists(st.sampled_from(ELEMENTS)))
def test_elements_are_masked_as_ever(parts: list[str]) -> None:
    def element(match: re.Match[str]) -> str:
        hidden = match["hidden"].strip() and (match["tag"] == "env" or _secrets.is_secret(match["name"]))
        return match["shown"] + ("********" if hidden else match["hidden"])

    text = "".join(parts)
    pattern = r"(?s)(?P<shown><(?P<tag>param|env)\b(?P<name>[^>]*)(?<!/)>)(?P<hidden>.*?)(?=</(?P=tag)>)"
    assert _job_conf._mask_elements(text) == re.sub(pattern, element, text)


@given(st.lists(st.sampled_from(("a", "|", ">", "#", " ", "\n", ":", "- "))))
def test_block_scalars_are_seen_as_ever(parts: list[str]) -> None:
    text = "".join(parts)
    assert bool(_yaml_text.LIBYAML_DIFFERS.search(text)) == bool(re.search(r"[\t?\ufeff]|[|>]\S*#", text))


@given(st.lists(st.sampled_from(("/srv", "/bin", "/python", "3.11", "/uwsgi", "/paster", " ", "x"))))
def test_virtualenv_of_a_program_is_found_as_ever(parts: list[str]) -> None:
    text = "".join(parts)
    before = re.search(r"(?P<virtualenv>/\S+)/bin/(?:python[\d.]*|paster|pserve|uwsgi)\b", text)
    found = _migration_programs._BINARY.search(text)
    assert (found and found["virtualenv"]) == (before and before["virtualenv"])
