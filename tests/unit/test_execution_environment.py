# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an execution environment of this collection needs, and what its page says of that."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "execution-environment.md"
# ansible-core brings PyYAML to the controller. On hosts, where ansible-core is not, a role installs it before a module needs it.
PRESENT = {"ansible", "ansible_collections", "yaml"}


def imports(path: Path) -> Iterator[str]:
    """The packages that a file imports from elsewhere."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]


def blocks() -> list[dict[str, Any]]:
    """The definitions on the page."""
    return [yaml.safe_load(text) for text in re.findall(r"(?ms)^```yaml\n(.*?)^```", PAGE.read_text())]


def test_plugins_need_no_package_but_ansible_core() -> None:
    declared = yaml.safe_load((ROOT / "meta" / "execution-environment.yml").read_text())
    assert declared["dependencies"] == {}
    files = sorted((ROOT / "plugins").rglob("*.py"))
    assert len(files) > 50
    needed = {(str(path.relative_to(ROOT)), name) for path in files for name in imports(path)}
    assert sorted((path, name) for path, name in needed if name not in PRESENT | sys.stdlib_module_names) == []


def test_no_other_collection_is_needed() -> None:
    assert yaml.safe_load((ROOT / "galaxy.yml").read_text())["dependencies"] == {}
    text = "\n".join(path.read_text() for top in ("roles", "playbooks") for path in sorted((ROOT / top).rglob("*.yml")))
    names = set(re.findall(r"(?m)^\s*(?:- )?([a-z_]+\.[a-z_]+)\.[a-z_]+:", text))
    assert "ansible.builtin" in names
    assert names == {"ansible.builtin", "galaxyops.uwsgi"}


def test_page_installs_an_ansible_core_that_the_collection_runs_on() -> None:
    required = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["requires_ansible"]
    assert blocks()[0]["dependencies"]["ansible_core"]["package_pip"] == f"ansible-core{required}"


def test_page_installs_this_collection() -> None:
    first, other = (block["dependencies"]["galaxy"]["collections"] for block in blocks())
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    assert first == [{"name": f"{galaxy['namespace']}.{galaxy['name']}"}]
    assert other == [{"name": f"/build/artifact/{blocks()[1]['additional_build_files'][0]['src']}", "type": "file"}]
