# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of what a change of a galaxy.yml means to processes that read a part of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "templates"))

from control import fingerprint

KEYS = ["gravity", "uwsgi"]

values = st.recursive(
    st.one_of(st.integers(), st.text("ab:#-* \n", max_size=9)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.just("k"), inner)),
    max_leaves=4,
)
files = st.dictionaries(st.sampled_from(["galaxy", *KEYS, "reports"]), values, min_size=1)


def text_of(data: dict[str, Any]) -> bytes:
    return yaml.safe_dump(data, sort_keys=False, default_flow_style=False).encode()


@given(files)
def test_what_is_left_without_keys_reads_as_before(data: dict[str, Any]) -> None:
    rest = {key: value for key, value in data.items() if key not in KEYS}
    assert (yaml.safe_load(fingerprint.without_keys(text_of(data), KEYS)) or {}) == rest


@given(files, files)
def test_keys_are_taken_from_another_text(data: dict[str, Any], other: dict[str, Any]) -> None:
    made = fingerprint.with_keys(text_of(data), KEYS, text_of(other))
    rest = {key: value for key, value in data.items() if key not in KEYS}
    assert (yaml.safe_load(made) or {}) == {**rest, **{key: other[key] for key in KEYS if key in other}}


def test_a_value_that_others_refer_to_counts() -> None:
    text = b"gravity:\n  x: &shared 1\ngalaxy:\n  y: *shared\n"
    assert fingerprint.without_keys(text, KEYS) != fingerprint.without_keys(text.replace(b"1", b"2"), KEYS)
