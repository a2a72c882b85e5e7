# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference of all options is what the specifications say."""

from __future__ import annotations

from pathlib import Path

import pytest
import reference


def test_page_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main(["--check"]) == 0, "".join(capsys.readouterr())


def test_everything_is_in_it(root: Path) -> None:
    headings = {line[4:] for line in reference.page().splitlines() if line.startswith("### ")}
    roles = {path.parents[1].name for path in root.glob("roles/*/meta/argument_specs.yml")}
    plugins = {path.stem for pattern in ("modules/*.py", "filter/*.yml", "lookup/*.py") for path in (root / "plugins").glob(pattern)}
    assert headings == roles | plugins
    assert len(plugins) > 10


def test_a_page_that_is_stale_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(reference, "REFERENCE", tmp_path / "reference.md")
    assert reference.main(["--check"]) == 1
    assert "run 'make docs'" in capsys.readouterr().out
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0


def test_nested_options_markup_and_pipes_are_written_for_a_table(tmp_path: Path) -> None:
    path = tmp_path / "example.yml"
    path.write_text(
        "DOCUMENTATION:\n  short_description: An example\n  description: [Sets C(a|b).]\n  options:\n    top:\n      type: list\n      elements: dict\n"
        "      default: []\n      description: See O(top[].inner).\n      suboptions:\n        inner: {description: Inside., required: true, choices: [x]}\n"
        "RETURN:\n  _value: {type: str, description: It.}\nEXAMPLES: |\n  - debug:\n"
    )
    text = reference.Plugin(path, "filter").render()
    assert "| `top` | list of dict | `[]` | See `top[].inner`. |" in text
    assert "| `top[].inner` | str | | **Required.** Inside. One of `x`. |" in text
    assert "| `_value` | str | It. |" in text
    assert r"Sets `a\|b`." in text
    assert "```yaml\n- debug:\n```" in text
