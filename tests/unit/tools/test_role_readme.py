# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The generator of the roles' option tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import role_readme
import yaml

README = f"# A role\n\nbefore\n\n{role_readme.BEGIN}\n{role_readme.END}\n\nafter\n"
OPTIONS = {
    "app_port": {"type": "int", "default": 8080, "description": "The port."},
    "app_user": {"type": "str", "required": True, "description": ["The user.", "Must exist."]},
}


def lines(options: dict[str, Any], defaults: dict[str, Any] | None = None) -> list[str]:
    """The generated table's rows, without its head."""
    return role_readme.table({"argument_specs": {"main": {"options": options}}}, defaults or {}, "galaxyops.uwsgi.app").splitlines()[2:]


@pytest.fixture
def role(tmp_path: Path) -> Path:
    """A role with two options and an empty table."""
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "argument_specs.yml").write_text(yaml.safe_dump({"argument_specs": {"main": {"options": OPTIONS}}}))
    (tmp_path / "defaults").mkdir()
    (tmp_path / "defaults" / "main.yml").write_text("---\napp_port: 8080\n")
    (tmp_path / "README.md").write_text(README)
    return tmp_path


def test_a_row_holds_name_type_default_and_description() -> None:
    assert lines(OPTIONS) == [
        "| `app_port` | int | `8080` | The port. |",
        "| `app_user` | str | | **Required.** The user. Must exist. |",
    ]


@pytest.mark.parametrize(
    ("default", "cell"),
    [
        ("galaxy", "`galaxy`"),
        ("", "`''`"),
        (True, "`true`"),
        (None, "`null`"),
        (0, "`0`"),
        ([], "`[]`"),
        ({}, "`{}`"),
        (["a", 1], "`[a, 1]`"),
        ({"b": 1, "a": [2]}, "`{b: 1, a: [2]}`"),
        ("{{ a | default('b') }}", r"`{{ a \| default('b') }}`"),
        ("{{ a\n  ~ b }}\n", "`{{ a ~ b }}`"),
        ("a `b`", "`` a `b` ``"),
    ],
)
def test_defaults_are_written_as_in_yaml(default: Any, cell: str) -> None:
    assert lines({"app": {"type": "raw", "default": default, "description": "x"}}) == [f"| `app` | raw | {cell} | x |"]


@pytest.mark.parametrize(
    ("description", "markdown"),
    [
        ("Set O(app_port) to V(80) or C(x|y).", r"Set `app_port` to `80` or `x\|y`."),
        ("See O(app_port=80) and E(HOME).", "See `app_port=80` and `HOME`."),
        ("B(Never) do I(this).", "**Never** do *this*."),
        ("See M(ansible.builtin.copy), P(ansible.builtin.env#lookup).", "See `ansible.builtin.copy`, `ansible.builtin.env`."),
        ("See L(the docs,https://example.org/a_b) or U(https://example.org/).", "See [the docs](https://example.org/a_b) or <https://example.org/>."),
        ("A | B, *all* <instance>_x [y].", r"A \| B, \*all\* \<instance>\_x \[y\]."),
        ("One\nparagraph.", "One paragraph."),
    ],
)
def test_ansible_markup_becomes_markdown(description: str, markdown: str) -> None:
    assert lines({"app": {"type": "str", "description": description}}) == [f"| `app` | str | | {markdown} |"]


def test_an_expression_comes_from_the_roles_defaults() -> None:
    option = {"app_threads": {"type": "int", "description": "How many."}}
    assert lines(option, {"app_threads": "{{ cores }}"}) == ["| `app_threads` | int | `{{ cores }}` | How many. |"]


def test_choices_end_the_description() -> None:
    assert lines({"app": {"type": "str", "choices": ["unix", "tcp"], "description": "How."}}) == ["| `app` | str | | How. One of `unix`, `tcp`. |"]


def test_nested_options_follow_their_parent() -> None:
    inner = {"id": {"type": "str", "description": "The id."}}
    assert lines(
        {
            "app_list": {"type": "list", "elements": "dict", "description": "A list.", "options": inner},
            "app_dict": {"type": "dict", "description": "A dict.", "options": {"deep": {"type": "dict", "description": "Deeper.", "options": inner}}},
        }
    ) == [
        "| `app_list` | list of dict | | A list. |",
        "| `app_list[].id` | str | | The id. |",
        "| `app_dict` | dict | | A dict. |",
        "| `app_dict.deep` | dict | | Deeper. |",
        "| `app_dict.deep.id` | str | | The id. |",
    ]


def test_only_the_table_is_replaced(role: Path) -> None:
    assert role_readme.main([str(role)]) == 0
    text = (role / "README.md").read_text()
    assert text.startswith("# A role\n\nbefore\n\n")
    assert text.endswith(f"\n{role_readme.END}\n\nafter\n")
    assert "| `app_port` | int |" in text


def test_a_second_run_changes_nothing(role: Path, capsys: pytest.CaptureFixture[str]) -> None:
    role_readme.main([str(role)])
    text = (role / "README.md").read_text()
    capsys.readouterr()
    assert role_readme.main([str(role)]) == 0
    assert capsys.readouterr().out == ""
    assert (role / "README.md").read_text() == text
    assert role_readme.main(["--check", str(role)]) == 0


def test_check_shows_what_is_stale_and_writes_nothing(role: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert role_readme.main(["--check", str(role)]) == 1
    out = capsys.readouterr().out
    assert f"{role / 'README.md'} is stale: run 'make docs'" in out
    assert "+| `app_port` | int | `8080` | The port. |" in out
    assert (role / "README.md").read_text() == README


@pytest.mark.parametrize("readme", ["", "# A role\n", f"{role_readme.END}\n{role_readme.BEGIN}\n", README + README])
def test_a_readme_without_the_two_comments_is_refused(role: Path, capsys: pytest.CaptureFixture[str], readme: str) -> None:
    (role / "README.md").write_text(readme)
    assert role_readme.main([str(role)]) == 1
    assert f"{role / 'README.md'}: needs one line '{role_readme.BEGIN}'" in capsys.readouterr().err
    assert (role / "README.md").read_text() == readme


def test_a_missing_readme_is_named(role: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (role / "README.md").unlink()
    assert role_readme.main([str(role)]) == 1
    assert f"cannot read {role / 'README.md'}: No such file" in capsys.readouterr().err


def test_broken_markup_is_an_error(role: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = {"app": {"type": "str", "description": "See O(a,b"}}
    (role / "meta" / "argument_specs.yml").write_text(yaml.safe_dump({"argument_specs": {"main": {"options": broken}}}))
    assert role_readme.main([str(role)]) == 1
    assert "README.md" in capsys.readouterr().err
