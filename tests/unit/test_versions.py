# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said about the versions of Ansible is what `make test` runs with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ["requirements.txt", "requirements-newest.txt"]


def core(requirements: str) -> Version:
    """The ansible-core that a file of requirements names."""
    (version,) = re.findall(r"(?m)^ansible-core==(\S+)$", (ROOT / requirements).read_text())
    return Version(version)


@pytest.mark.parametrize("requirements", REQUIREMENTS)
def test_readme_names_the_versions_that_are_tested(requirements: str) -> None:
    (row,) = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| ansible-core |")]
    assert f"{core(requirements)}: " in row.split("|")[2]


def test_collection_installs_with_the_tested_versions_and_with_later_ones() -> None:
    admitted = SpecifierSet(yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["requires_ansible"])
    assert all(version in admitted for version in [*map(core, REQUIREMENTS), Version("3.0")])


def test_every_role_needs_the_release_that_the_collection_needs() -> None:
    (specifier,) = SpecifierSet(yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["requires_ansible"])
    oldest = Version(specifier.version)
    assert (oldest.major, oldest.minor) == core("requirements.txt").release[:2]
    needs = [yaml.safe_load(path.read_text())["galaxy_info"]["min_ansible_version"] for path in ROOT.glob("roles/*/meta/main.yml")]
    assert set(needs) == {f"{oldest.major}.{oldest.minor}"}
