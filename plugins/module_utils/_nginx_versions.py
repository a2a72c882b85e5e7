# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the nginx on a host has the fixes of the holes that the site of the role C(nginx_proxy) is open to.

A distribution mends an old nginx without a new number of nginx, so the version of the package tells, where nginx is a package of Debian.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import itertools
import os
import re
import subprocess
from collections.abc import Collection, Iterable
from typing import NamedTuple

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _safe_files as safe_files
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding

PROGRAM = "/usr/sbin/nginx"
# The directives of nginx by which a site is open to a hole, as the role names them.
USES = ("uwsgi_pass", "map", "try_files", "rewrite", "ssl", "http2")

_RELEASE = re.compile(r"nginx version: nginx/(\d+)\.(\d+)\.(\d+)")
# A revision of Debian itself, of a security update or of a backport, and not one of Ubuntu or nginx.org.
_DEBIAN = re.compile(r"[0-9.]+(\+deb\d+u\d+)?(~bpo\d+\+\d+)?(\+b\d+)?")
_NGINX_ORG = re.compile(r"\d+~[a-z]+")
_BACKPORT = re.compile(r"~bpo\d+\+\d+")
_OWNER = re.compile(r"(?m)^([a-z0-9][a-z0-9+.-]*)(?::[a-z0-9-]+)?: /")
# Larger than any changelog that there is.
_LARGE = 16 * 1024 * 1024


class Hole(NamedTuple):
    """One hole: what a site must use to be open to it, what can happen then, and the first versions with the fix.

    I(releases) are nginx's own, one for each line of development. I(packages) are Debian's, one for each version of nginx that a release of
    Debian has. Where there is none for such a version, Debian has not mended it.
    """

    name: str
    use: str
    harm: str
    releases: tuple[tuple[int, int, int], ...]
    packages: tuple[str, ...]


# The releases are from https://nginx.org/en/security_advisories.html and the records of https://www.cve.org, the packages from the file
# changelog.Debian.gz of the package nginx-common in Debian 11, 12 and 13, in which one fix of CVE-2026-42946 says that the one before was incomplete.
HOLES = (
    Hole(
        "CVE-2026-42946",
        "uwsgi_pass",
        "whoever changes an answer of the application on its way can read the memory of nginx",
        ((1, 30, 1), (1, 31, 0)),
        ("1.18.0-6.1+deb11u6", "1.22.1-9+deb12u8", "1.26.3-3+deb13u6"),
    ),
    Hole(
        "CVE-2026-42533",
        "map",
        "a request can stop nginx's workers, or run code in them",
        ((1, 30, 4), (1, 31, 3)),
        ("1.22.1-9+deb12u10", "1.26.3-3+deb13u8"),
    ),
    Hole(
        "CVE-2026-125283",
        "try_files",
        "with alias, as for static files, a request can stop nginx's workers",
        ((1, 30, 7), (1, 31, 9)),
        ("1.22.1-9+deb12u11", "1.26.3-3+deb13u11"),
    ),
    Hole(
        "CVE-2026-118899",
        "ssl",
        "a request over TLS 1.3 can keep a worker busy for ever",
        ((1, 30, 7), (1, 31, 9)),
        ("1.22.1-9+deb12u11", "1.26.3-3+deb13u11"),
    ),
    Hole(
        "CVE-2026-123007",
        "http2",
        "a client can damage the memory of nginx's workers",
        ((1, 30, 7), (1, 31, 9)),
        ("1.22.1-9+deb12u11", "1.26.3-3+deb13u11"),
    ),
    Hole(
        "CVE-2026-123633",
        "http2",
        "a client can damage the memory of nginx's workers",
        ((1, 30, 7), (1, 31, 9)),
        ("1.22.1-9+deb12u11", "1.26.3-3+deb13u11"),
    ),
    Hole(
        "CVE-2026-42945",
        "rewrite",
        "a request can stop nginx's workers, or run code in them",
        ((1, 30, 1), (1, 31, 0)),
        ("1.18.0-6.1+deb11u6", "1.22.1-9+deb12u7", "1.26.3-3+deb13u5"),
    ),
    Hole(
        "CVE-2026-9256",
        "rewrite",
        "a request can stop nginx's workers, or run code in them",
        ((1, 30, 2), (1, 31, 1)),
        ("1.18.0-6.1+deb11u7", "1.22.1-9+deb12u8", "1.26.3-3+deb13u6"),
    ),
)


class Installed(NamedTuple):
    """An nginx: its own version, and the package that it comes from with that package's version and changelog, which are empty where there is none."""

    release: tuple[int, int, int]
    package: str = ""
    version: str = ""
    changelog: str = ""


def _order(character: str) -> int:
    """Where a character that is no digit stands in a version: a tilde before the end, letters before all else."""
    return -1 if character == "~" else 0 if not character else ord(character) + (0 if character.isalpha() else 256)


def _compare_parts(left: str, right: str) -> int:
    """Compare two versions of nginx, or two revisions, as dpkg does."""
    for texts in itertools.zip_longest(
        re.findall(r"(\D*)(\d*)", left), re.findall(r"(\D*)(\d*)", right), fillvalue=("", "")
    ):
        (left_text, left_digits), (right_text, right_digits) = texts
        for one, other in itertools.zip_longest(left_text, right_text, fillvalue=""):
            if _order(one) != _order(other):
                return -1 if _order(one) < _order(other) else 1
        if int(left_digits or 0) != int(right_digits or 0):
            return -1 if int(left_digits or 0) < int(right_digits or 0) else 1
    return 0


def _split(version: str) -> tuple[str, str, str]:
    """The epoch, the version of nginx, and the revision."""
    epoch, colon, rest = version.partition(":")
    upstream, dash, revision = (rest if colon else version).rpartition("-")
    return (epoch if colon else "0", upstream, revision) if dash else (epoch if colon else "0", revision, "0")


def compare(left: str, right: str) -> int:
    """Compare two versions of packages as Debian does: less than, equal to or greater than 0."""
    return next(filter(None, map(_compare_parts, _split(left), _split(right))), 0)


def _run(*command: str) -> str:
    """What a command says, on both channels; nothing where it cannot be run."""
    try:
        process = subprocess.run(  # pylint: disable=ansible-bad-function  # run_command belongs to a module
            command, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError:
        return ""
    return process.stdout + process.stderr if process.returncode == 0 else ""


def _changelog(packages: Iterable[str]) -> str:
    """The changelog of the first of these packages that has one."""
    for package in packages:
        with contextlib.suppress(OSError, EOFError):
            content = safe_files.read(f"/usr/share/doc/{package}/changelog.Debian.gz", _LARGE)
            return gzip.decompress(content).decode(errors="replace")
    return ""


def installed(program: str = PROGRAM) -> Installed | None:
    """Ask an nginx for its version, and dpkg for its package; None where there is no nginx, or one that is not known."""
    match = _RELEASE.search(_run(program, "-v")) if os.path.exists(program) else None
    if not match:
        return None
    release = (int(match[1]), int(match[2]), int(match[3]))
    # Debian 11 has several packages with an nginx.
    package = _run("dpkg-query", "--search", os.path.realpath(program)).partition(":")[0]
    version = _run("dpkg-query", "--show", "--showformat=${Version}", package) if package else ""
    return (
        Installed(release, package, version, _changelog((package, "nginx-common"))) if version else Installed(release)
    )


def _has_release(found: tuple[int, int, int], releases: Collection[tuple[int, int, int]]) -> bool:
    """Whether a release of nginx itself has a fix: each line of development has it from one release on, and all later lines have it."""
    fixed = {release[:2]: release for release in releases}
    return found >= fixed[found[:2]] if found[:2] in fixed else found[:2] > max(fixed)


def fixed_in(hole: Hole, nginx: Installed) -> str | None:
    """The first version with the fix of a hole, which is empty where nobody knows one of this distribution; None where I(nginx) has no such hole."""
    _epoch, upstream, revision = _split(nginx.version)
    if _DEBIAN.fullmatch(revision):
        package = next((package for package in hole.packages if _split(package)[1] == upstream), "")
        if package:
            return None if compare(_BACKPORT.sub("", nginx.version), package) >= 0 else package
    # Who mends an old version says so.
    if _has_release(nginx.release, hole.releases) or re.search(rf"{hole.name}\b", nginx.changelog):
        return None
    return "" if nginx.version and not _NGINX_ORG.fullmatch(revision) else _first_release(hole, nginx)


def _first_release(hole: Hole, nginx: Installed) -> str:
    """The first release with the fix of a hole, of the same line of development if there is one."""
    same = [release for release in hole.releases if release[:2] == nginx.release[:2]]
    return ".".join(map(str, (same or sorted(hole.releases))[0]))


def findings(nginx: Installed, uses: Collection[str]) -> list[Finding]:
    """The holes of an nginx that a site with these I(uses) is open to, those with a fix in one finding and those without one in another."""
    holes = [(hole, fixed_in(hole, nginx)) for hole in HOLES if hole.use in uses]
    named = f"{nginx.package} {nginx.version}" if nginx.version else f"nginx {'.'.join(map(str, nginx.release))}"
    found = []
    for has_fix in (True, False):
        concerned = {hole: version for hole, version in holes if version is not None and bool(version) is has_fix}
        if not concerned:
            continue
        listed = "; ".join(f"{hole.name} ({hole.use}: {hole.harm})" for hole in concerned)
        if has_fix:
            remedy = f"Install {nginx.package or 'nginx'} {_newest(concerned.values())} or later"
            if nginx.version:
                remedy += f" (apt-get update; apt-get install --only-upgrade {nginx.package})"
        else:
            newest = _newest(_first_release(hole, nginx) for hole in concerned)
            remedy = f"Its changelog names no fix, which nginx {newest} has: install an update, or a newer release of the distribution"
        message = f"{named} has holes that this site is open to: {listed}. {remedy}. See {_source(nginx)}"
        found.append(Finding("", 0, "warning", message))
    return found


def _newest(versions: Iterable[str | None]) -> str:
    return max((version or "" for version in versions), key=functools.cmp_to_key(compare))


def _source(nginx: Installed) -> str:
    """Where to read about the holes of a package."""
    if "ubuntu" in nginx.version:
        return "https://ubuntu.com/security/cves?package=nginx"
    is_debian = nginx.version and not _NGINX_ORG.fullmatch(_split(nginx.version)[2])
    return (
        "https://security-tracker.debian.org/tracker/source-package/nginx"
        if is_debian
        else "https://nginx.org/en/security_advisories.html"
    )
