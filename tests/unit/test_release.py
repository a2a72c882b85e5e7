# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The version, the changelog and the documentation agree on what is released, what is new, and what is public."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOR_ROLES = "for the roles of this collection. Any release may change or remove it."
PLUGINS = sorted(
    path
    for kind, pattern in (("modules", "[!_]*.py"), ("lookup", "*.py"), ("filter", "*.yml"))
    for path in (ROOT / "plugins" / kind).glob(pattern)
)


def numbers(version: str) -> tuple[int, ...]:
    """A version, to be compared."""
    return tuple(map(int, version.split(".")))


def load(name: str) -> dict[str, Any]:
    """A file of YAML."""
    content: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return content


VERSION = str(load("galaxy.yml")["version"])
RELEASES: dict[str, dict[str, Any]] = load("changelogs/changelog.yaml")["releases"]
LAST = max(RELEASES, key=numbers)


def documentation(path: Path) -> dict[str, Any]:
    """What is documented of a plugin."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yml":
        return dict(yaml.safe_load(text)["DOCUMENTATION"])
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION":
            return dict(yaml.safe_load(ast.literal_eval(node.value)))
    raise AssertionError(f"{path} is not documented")


def is_for_roles(path: Path) -> bool:
    """Whether the documentation says that a plugin is not public."""
    description = documentation(path)["description"]
    return FOR_ROLES in " ".join([description] if isinstance(description, str) else description)


def released() -> dict[str, str]:
    """The version in which each module and plugin was new, by the changelog."""
    return {
        entry["name"]: version
        for version, release in RELEASES.items()
        for entries in (release.get("modules", []), *release.get("plugins", {}).values())
        for entry in entries
    }


def test_version_is_above_the_last_release_while_there_are_changes_to_release() -> None:
    fragments = [path.name for pattern in ("*.yml", "*.yaml") for path in (ROOT / "changelogs" / "fragments").glob(pattern)]
    if fragments:
        assert numbers(VERSION) > numbers(LAST), f"{LAST} is released: write the version to come into galaxy.yml"
    else:
        assert numbers(VERSION) >= numbers(LAST)


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_changelog_lists_each_public_plugin_in_the_release_in_which_it_is_new(path: Path) -> None:
    """antsibull-changelog finds what is new by version_added."""
    added = str(documentation(path)["version_added"])
    if path.stem in released():
        assert added == released()[path.stem]
    elif not is_for_roles(path):
        assert numbers(LAST) < numbers(added) <= numbers(VERSION)


def test_filters_say_that_they_are_for_the_roles() -> None:
    filters = [path for path in PLUGINS if path.parent.name == "filter"]
    assert filters
    assert [path.stem for path in filters if not is_for_roles(path)] == []


def test_page_on_compatibility_names_every_public_plugin_and_role() -> None:
    page = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    public = [path.stem for path in PLUGINS if not is_for_roles(path)]
    public += [path.name for path in (ROOT / "roles").glob("[!.]*")] + [path.stem for path in (ROOT / "playbooks").glob("*.yml")]
    assert [name for name in public if f"`{name}`" not in page] == []
    assert [path.stem for path in PLUGINS if is_for_roles(path) and f"`{path.stem}`" in page] == []


@pytest.fixture
def check(tmp_path: Path) -> Any:
    """A function that runs tools/release-check in a copy of what it reads, changed by the test."""
    for name in ("galaxy.yml", "CHANGELOG.rst", "changelogs", "tools/release-check"):
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
    for path in (tmp_path / "changelogs" / "fragments").glob("*.y*ml"):
        path.unlink()
    text = (tmp_path / "galaxy.yml").read_text()
    (tmp_path / "galaxy.yml").write_text(text.replace(f"version: {VERSION}", f"version: {LAST}"))

    def run(tag: str) -> tuple[int, str]:
        process = subprocess.run([str(tmp_path / "tools" / "release-check"), tag], capture_output=True, text=True, check=False)
        return process.returncode, process.stderr

    return run


def test_release_is_taken_when_all_agree(check: Any) -> None:
    assert check(f"v{LAST}") == (0, "")


def test_release_with_another_tag_is_refused(check: Any) -> None:
    code, message = check("v0.9.0")
    assert code == 1
    assert f"the tag is v0.9.0, and galaxy.yml has the version {LAST}" in message


def test_release_with_fragments_is_refused(check: Any, tmp_path: Path) -> None:
    (tmp_path / "changelogs" / "fragments" / "left.yml").write_text("---\nbugfixes: []\n")
    code, message = check(f"v{LAST}")
    assert code == 1
    assert message.startswith("changelogs/fragments has files that belong to no release (1): run antsibull-changelog release")


def test_release_that_the_changelog_does_not_name_is_refused(check: Any, tmp_path: Path) -> None:
    text = (tmp_path / "galaxy.yml").read_text()
    (tmp_path / "galaxy.yml").write_text(text.replace(f"version: {LAST}", "version: 99.0.0"))
    code, message = check("v99.0.0")
    assert code == 1
    assert [line.partition(" does not name 99.0.0")[0] for line in message.splitlines()] == ["changelogs/changelog.yaml", "CHANGELOG.rst"]
