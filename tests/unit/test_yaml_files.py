# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible reads the files of the collection without a warning, which a user would see in every run."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.utils.display import Display

ROOT = Path(__file__).resolve().parents[2]
FILES = [path for top in ("meta", "molecule", "playbooks", "roles") for path in sorted((ROOT / top).rglob("*.yml"))]


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Ansible warns of."""
    found: list[str] = []
    monkeypatch.setattr(Display, "warning", lambda _self, msg, *_arguments, **_options: found.append(msg))
    return found


def test_a_key_that_comes_twice_is_warned_of(warnings: list[str], tmp_path: Path) -> None:
    (tmp_path / "twice.yml").write_text("a: 1\na: 2\n")
    DataLoader().load_from_file(str(tmp_path / "twice.yml"))
    assert len(warnings) == 1
    assert "duplicate" in warnings[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_is_read_without_a_warning(path: Path, warnings: list[str]) -> None:
    DataLoader().load_from_file(str(path))
    assert warnings == []
