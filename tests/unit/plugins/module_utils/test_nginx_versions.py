# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of what is known about the holes of nginx, with the real nginx and the real dpkg."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _nginx_versions as nginx_versions
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._nginx_versions import HOLES, USES, Installed

needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg"), reason="no dpkg here")


def package(version: str, changelog: str = "", name: str = "nginx") -> Installed:
    """An nginx from a package."""
    major, minor, patch = re.split("[.-]", version)[:3]
    return Installed((int(major), int(minor), int(patch)), name, version, changelog)


def names(nginx: Installed, *uses: str) -> set[str]:
    """The holes of an nginx that a site with these uses is open to."""
    messages = " ".join(finding.message for finding in nginx_versions.findings(nginx, uses or USES))
    return set(re.findall(r"CVE-[0-9-]+\d", messages))


ALL = {hole.name for hole in HOLES}
LAST = {"CVE-2026-125283", "CVE-2026-118899", "CVE-2026-123007", "CVE-2026-123633"}

pieces = st.sampled_from(["0", "1", "9", "10", "09", ".", "+", "~", "a", "Z", "deb12u1", "bpo"])
parts = st.lists(pieces, max_size=5).map(lambda drawn: "1" + "".join(drawn))
versions = st.tuples(st.sampled_from(["", "0:", "1:"]), parts, st.sampled_from(["", "-"]), parts).map(
    lambda drawn: drawn[0] + drawn[1] + (drawn[2] + drawn[3] if drawn[2] else "")
)


@needs_dpkg
@settings(max_examples=300)
@given(versions, versions)
@example("1.22.1-9+deb12u9", "1.22.1-9+deb12u10")
@example("1.26.3-3+deb13u6~bpo12+1", "1.26.3-3+deb13u6")
@example("1.0", "1.0-0")
@example("1.0-a", "1.0-+")
def test_versions_are_compared_as_debian_does(left: str, right: str) -> None:
    def holds(relation: str) -> bool:
        return subprocess.run(["dpkg", "--compare-versions", left, relation, right], check=False).returncode == 0

    expected = -1 if holds("lt") else 1 if holds("gt") else 0
    assert nginx_versions.compare(left, right) == expected


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.18.0-6.1+deb11u5", ALL),
        ("1.18.0-6.1+deb11u8", {"CVE-2026-42533", *LAST}),
        ("1.22.1-9+deb12u7", ALL - {"CVE-2026-42945"}),
        ("1.22.1-9+deb12u9", {"CVE-2026-42533", *LAST}),
        ("1.22.1-9+deb12u10", LAST),
        ("1.22.1-9+deb12u10+b1", LAST),
        ("1.22.1-9+deb12u11", set()),
        ("1.26.3-3+deb13u11", set()),
        ("1.26.3-3+deb13u8~bpo12+1", LAST),
        ("1.26.3-3+deb13u11~bpo12+1", set()),
        ("1.30.6-2", LAST),
        ("1.30.7-1", set()),
        ("1.32.0-1", set()),
        ("1.30.2-1~bookworm", {"CVE-2026-42533", *LAST}),
        ("1.31.8-1~trixie", LAST),
        ("1.31.9-1~trixie", set()),
        ("1.24.0-2ubuntu7.5", ALL),
    ],
)
def test_package_tells_what_has_been_mended(version: str, expected: set[str]) -> None:
    assert names(package(version)) == expected


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ((1, 22, 1), ALL),
        ((1, 30, 1), ALL - {"CVE-2026-42946", "CVE-2026-42945"}),
        ((1, 31, 2), {"CVE-2026-42533", *LAST}),
        ((1, 31, 9), set()),
        ((2, 0, 0), set()),
    ],
)
def test_nginx_of_no_package_is_known_by_its_own_version(release: tuple[int, int, int], expected: set[str]) -> None:
    assert names(Installed(release)) == expected


def test_where_there_is_no_table_the_changelog_tells() -> None:
    changelog = "nginx (1.24.0-2ubuntu7.9)\n  * debian/patches/CVE-2026-42946.patch\n"
    assert names(package("1.24.0-2ubuntu7.9", changelog)) == ALL - {"CVE-2026-42946"}
    # One name may begin like another.
    assert names(package("1.24.0-2ubuntu7.9", changelog.replace("42946", "429460"))) == ALL
    # A fix that was none is in the changelog too.
    assert "CVE-2026-42946" in names(package("1.22.1-9+deb12u7", changelog))
    # Debian 11 may get one yet.
    assert names(package("1.18.0-6.1+deb11u9", "CVE-2026-42533"), "map") == set()


def test_only_what_the_site_uses_is_named() -> None:
    nginx = package("1.22.1-9+deb12u5")
    assert names(nginx, "uwsgi_pass", "map") == {"CVE-2026-42946", "CVE-2026-42533"}
    assert nginx_versions.findings(nginx, []) == []
    assert {hole.use for hole in HOLES} == set(USES)


def test_finding_names_the_first_version_with_all_fixes() -> None:
    (finding,) = nginx_versions.findings(package("1.22.1-9+deb12u7", name="nginx-light"), ["uwsgi_pass", "map"])
    assert (finding.severity, finding.path) == ("warning", "")
    assert finding.message.startswith(
        "nginx-light 1.22.1-9+deb12u7 has holes that this site is open to: CVE-2026-42946 (uwsgi_pass: "
    )
    remedy = (
        "Install nginx-light 1.22.1-9+deb12u10 or later (apt-get update; apt-get install --only-upgrade nginx-light)."
    )
    assert f". {remedy} See https://security-tracker.debian.org/" in finding.message
    (finding,) = nginx_versions.findings(Installed((1, 31, 0)), USES)
    assert ". Install nginx 1.31.9 or later. See https://nginx.org/" in finding.message


def test_what_nobody_has_mended_is_told_apart() -> None:
    fixed, unfixed = nginx_versions.findings(package("1.18.0-6.1+deb11u6"), ["rewrite", "map"])
    assert "CVE-2026-9256" in fixed.message and "Install nginx 1.18.0-6.1+deb11u7 or later" in fixed.message
    assert "CVE-2026-42533" in unfixed.message
    assert (
        "Its changelog names no fix, which nginx 1.30.4 has: install an update, or a newer release" in unfixed.message
    )


@pytest.mark.skipif(not os.path.exists(nginx_versions.PROGRAM), reason="no nginx here")
def test_nginx_of_the_host_is_asked() -> None:
    found = nginx_versions.installed()
    assert found
    said = subprocess.run([nginx_versions.PROGRAM, "-v"], capture_output=True, text=True, check=True).stderr
    assert f"nginx/{'.'.join(map(str, found.release))}" in said
    if found.version:
        status = subprocess.run(["dpkg", "--status", found.package], capture_output=True, text=True, check=True).stdout
        assert f"\nVersion: {found.version}\n" in status


def test_program_that_is_no_nginx_is_none(tmp_path: Path) -> None:
    assert nginx_versions.installed(str(tmp_path / "nginx")) is None
    assert nginx_versions.installed("/bin/true") is None


@pytest.mark.skipif(not os.path.exists(nginx_versions.PROGRAM), reason="no nginx here")
def test_nginx_that_is_in_no_package_has_no_version_but_its_own(tmp_path: Path) -> None:
    own = shutil.copy(nginx_versions.PROGRAM, tmp_path / "nginx")
    found = nginx_versions.installed(str(own))
    packaged = nginx_versions.installed()
    assert found and packaged
    assert found == Installed(packaged.release)
