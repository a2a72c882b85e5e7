# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The artifact that users install holds the collection, nothing else, and works where nothing else is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("[!_]*.py"))
ROLES = sorted(path.name for path in (ROOT / "roles").glob("[!.]*"))
# Pages that lead to files which are in the repository alone.
FOR_DEVELOPERS = ("CONTRIBUTING.md", "RELEASING.md", "docs/development.md")


def ansible(command: str, *arguments: str, collections: Path) -> str:
    """Run an Ansible command that knows only of the collections in one directory, and return its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    process = subprocess.run(
        [str(Path(sys.executable).with_name(command)), *arguments],
        cwd=collections,
        env={**environment, "HOME": str(collections), "ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def files_in(top: Path) -> set[str]:
    """The files under a directory, but not what Python leaves behind."""
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file() and path.suffix != ".pyc"}


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the built collection installed, and no other."""
    built, installed = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("installed")
    ansible("ansible-galaxy", "collection", "build", str(ROOT), "--output-path", str(built), collections=installed)
    (artifact,) = built.iterdir()
    ansible("ansible-galaxy", "collection", "install", "--offline", "-p", str(installed), str(artifact), collections=installed)
    return installed


@pytest.fixture(scope="module")
def installed(collections: Path) -> Path:
    """The top of the installed collection."""
    return collections / "ansible_collections" / "galaxyops" / "uwsgi"


def test_only_what_a_user_needs_is_in_it(installed: Path) -> None:
    written_by_galaxy = {"FILES.json", "MANIFEST.json"}
    documents = {"bench", "CHANGELOG.rst", "LICENSE", "README.md", "SECURITY.md", "changelogs", "docs"}
    assert {path.name for path in installed.iterdir()} == written_by_galaxy | documents | {"meta", "playbooks", "plugins", "roles", "templates"}


@pytest.mark.parametrize("directory", ["docs", "meta", "playbooks", "plugins", "roles", "templates"])
def test_nothing_is_missing(installed: Path, directory: str) -> None:
    expected = files_in(ROOT / directory) - {path.removeprefix(f"{directory}/") for path in FOR_DEVELOPERS}
    assert expected
    assert files_in(installed / directory) == expected


@pytest.mark.skipif(not shutil.which("make"), reason="no make here")
def test_artifact_is_built_with_ansible_core_alone() -> None:
    """Without the virtualenv of the developers, which takes 700 MB."""
    process = subprocess.run(["make", "-n", "build", "VENV=nowhere"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert "ansible-galaxy collection build" in process.stdout
    assert "tools/setup" not in process.stdout


def test_of_the_benchmarks_there_are_the_results_alone(installed: Path) -> None:
    assert {path.name for path in (installed / "bench").iterdir()} == {"results"}
    assert files_in(installed / "bench" / "results") == files_in(ROOT / "bench" / "results")


def test_every_link_of_a_page_leads_to_something(installed: Path) -> None:
    """Pictures too, so that the pages can be read on the controller, and where a site shows the artifact."""
    missing = [
        f"{page.relative_to(installed)}: {target}"
        for page in installed.rglob("*.md")
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert missing == []


def test_pages_for_developers_are_in_the_repository_alone(installed: Path) -> None:
    assert [path for path in FOR_DEVELOPERS if not (ROOT / path).exists()] == []
    assert [path for path in FOR_DEVELOPERS if (installed / path).exists()] == []


def test_nothing_is_left_over(installed: Path) -> None:
    assert [str(path) for path in installed.rglob("*") if path.name == "__pycache__" or path.suffix == ".pyc"] == []


def test_modules_are_documented(collections: Path) -> None:
    assert "paste_section" in MODULES
    names = [f"galaxyops.uwsgi.{name}" for name in MODULES]
    documents = json.loads(ansible("ansible-doc", "--json", "--type", "module", *names, collections=collections))
    assert sorted(documents) == names
    assert all(document["doc"] and document["examples"] and document["return"] is not None for document in documents.values())


def test_roles_are_documented(collections: Path) -> None:
    names = [f"galaxyops.uwsgi.{name}" for name in ROLES]
    documents = json.loads(ansible("ansible-doc", "--json", "--type", "role", *names, collections=collections))
    assert sorted(documents) == names


def test_there_is_a_site_playbook() -> None:
    assert "site" in PLAYBOOKS


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_playbooks_run_by_name(collections: Path, playbook: str) -> None:
    ansible("ansible-playbook", "--inventory", "localhost,", "--syntax-check", f"galaxyops.uwsgi.{playbook}", collections=collections)
