# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of how YAML is read, and of what is said of text that is none."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _yaml_text as yaml_text


def problem(text: str) -> tuple[int, str]:
    """What is wrong with a text, and in which line; that PyYAML refuses the text too is part of every test."""
    with pytest.raises((yaml.YAMLError, ValueError)):
        yaml.safe_load(text)
    with pytest.raises(yaml_text.YamlError) as caught:
        yaml_text.parse(text)
    return caught.value.line, caught.value.message


@pytest.mark.parametrize(
    ("text", "line", "remedy"),
    [
        ("galaxy:\n\tbrand: x\n", 2, "indent the line with spaces: YAML allows no tab there"),
        ("galaxy:\n  brand: x\t# mine\n", 2, "write a space: YAML allows no tab there"),
        (
            "galaxy:\n  a: 1\n---\ngalaxy:\n  b: 1\n",
            3,
            "Galaxy reads one document: join the two, and remove the line '---' between them",
        ),
        (
            "galaxy:\n  id_secret: !vault |\n    $ANSIBLE_VAULT;1.1;AES256\n    6162\n",
            2,
            "only Ansible can decrypt the value: keep it in a variable, and let Ansible write the decrypted value into this file, "
            "by '{{ NAME }}' in a template",
        ),
        (
            "galaxy:\n  a: !env HOME\n",
            2,
            "Galaxy knows no tag of YAML but YAML's own: write the value itself, in quotes if it begins with '!'",
        ),
        (
            "galaxy:\n  a: *nobody\n",
            2,
            "write the value in quotes if it begins with '*' or '&', or define the anchor above",
        ),
        ("galaxy:\n  a: @x\n", 2, "write the value in quotes"),
        ("galaxy:\n  a: `x`\n", 2, "write the value in quotes"),
        ("galaxy:\n  a: %x\n", 2, "write the value in quotes"),
        ("galaxy:\n  a: x: y\n", 2, "write the value in quotes, because it has a colon and a space in it"),
        (
            "galaxy:\n  a: {{ galaxy_root }}\n",
            2,
            "'{{' and '{%' are placeholders of a template that nobody has filled in: write the file with ansible.builtin.template, or the value in its place",
        ),
        ("galaxy:\n  a: 'x\n  b: 1\n", 2, "end the quotes of the value that begins here"),
        (
            'galaxy:\n  a: "c:\\new\\path"\n',
            2,
            "write the value in single quotes, in which a backslash stands for itself",
        ),
        ("galaxy:\n  a: [x\n  b: 1\n", 2, "close the bracket"),
        ("galaxy:\n  a: {x: 1\n  b: 1\n", 2, "close the bracket"),
        ("galaxy:\n    a: 1\n  b: 2\n", 3, "indent the line like the other entries of the same mapping or list"),
        ("galaxy:\n  a: 1\n   b: 2\n", 3, "indent the line like the other entries of the same mapping or list"),
        ("galaxy:\n  a 1\n  b: 2\n", 3, "add the colon and a space behind the key of the line above"),
        ("galaxy:\n  a: 2026-13-45\n", 0, "month must be in 1..12: correct the date, or write it in quotes"),
    ],
)
def test_a_problem_has_its_line_and_says_what_to_write(text: str, line: int, remedy: str) -> None:
    found = problem(text)
    assert found[0] == line
    assert found[1].startswith("malformed YAML")
    assert found[1].endswith(remedy)


@pytest.mark.parametrize(
    "value",
    ["!hunter2", "*hunter2", "&hunter2 {", '"\\hunter2"', "hunter2: x", "@hunter2", "%hunter2", "[hunter2", "'hunter2"],
)
@pytest.mark.parametrize("name", ["id_secret", "smtp_password"])
def test_a_secret_that_is_no_yaml_is_not_shown(name: str, value: str) -> None:
    assert "hunter" not in problem(f"galaxy:\n  {name}: {value}\n")[1]


def test_a_remedy_for_another_format_stands_for_all_others() -> None:
    with pytest.raises(yaml_text.YamlError) as caught:
        yaml_text.parse("galaxy:\n\tbrand: x\n", "name the file otherwise")
    assert caught.value.message.endswith(": name the file otherwise")


def test_a_file_that_is_encrypted_as_a_whole() -> None:
    with pytest.raises(yaml_text.YamlError) as caught:
        yaml_text.parse("$ANSIBLE_VAULT;1.1;AES256\n61626364\n")
    message = "ansible-vault has encrypted the file, and Galaxy cannot decrypt it: write the decrypted file to the host"
    assert (caught.value.line, caught.value.message) == (1, message)


@given(st.text(st.sampled_from("ab:-#[]{}&*!|>'\"%@`,? \n\t\\{}$")))
def test_whatever_pyyaml_refuses_is_refused_with_a_remedy(text: str) -> None:
    try:
        expected = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        assert len(problem(text)[1].rsplit(": ", 1)[-1]) > 10
    else:
        assert yaml_text.parse(text).data == expected
