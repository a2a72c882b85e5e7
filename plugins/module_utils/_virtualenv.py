# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a virtualenv: whether its Python is still there, which uWSGI it has, and which options that uWSGI knows."""

from __future__ import annotations

import contextlib
import difflib
import glob
import os
import pwd
import re
import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _safe_files as safe_files
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_options as uwsgi_options
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding

# The packages that bring bin/uwsgi.
_PACKAGES = ("pyuwsgi", "uwsgi")
_MODULE_PACKAGE = "uwsgidecorators"
_LINKED_PYTHON = re.compile(rb"libpython(3\.\d+)")
_OPTION = re.compile(r"^[ \t]+(?:-.\|)?--(\S+)", re.MULTILINE)
_DESCRIPTION = re.compile(r"^[ \t]+(?:-.\|)?--(\S+)[ \t]+(\S.*)$", re.MULTILINE)
_ROUTE = re.compile(r"(?:final-|error-|response-)?route(?:-.*)?")
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*((?:(?:[<>=!]=?|===)[^,]+,?\s*)*)\Z")
_RELEASE = re.compile(r"\d+(?:\.\d+)*(?:\.post\d+)?")
_NOBODY = 65534
_DISTRIBUTION = "/usr/bin/uwsgi"
# Bytes
_LARGEST_PROGRAM = 64 * 1024 * 1024
_LONGEST_HELP = 1024 * 1024
_LONGEST_OUTPUT = 16 * 1024 * 1024
_LONGEST_SECONDS = 7200


@dataclass(frozen=True)
class Uwsgi:
    """A uWSGI that is installed: its package, the version of that, the names of the options it knows, and which of these listen."""

    package: str
    version: str
    options: frozenset[str]
    listening: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """Name it as people do."""
        return f"uWSGI {self.version}".rstrip()


def run_as(command: Collection[str], environment: Mapping[str, str], identity: Mapping[str, Any]) -> tuple[int, str]:
    """Run a command with the I(identity) of a user and nothing but this environment; its exit code and what it printed."""
    with subprocess.Popen(  # pylint: disable=ansible-bad-function  # run_command reads without a limit
        list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", env=environment, **identity
    ) as process:
        try:
            output = safe_files.read_stream(process.stdout, _LONGEST_OUTPUT, _LONGEST_SECONDS).decode(errors="replace").strip()
            return process.wait(60), output
        finally:
            process.kill()


def _minor(path: str) -> str:
    """The 3.11 in I(path), if its last part says so."""
    match = re.search(r"python(3\.\d+)[a-z]*$", path)
    return match.group(1) if match else ""


def python_findings(path: str) -> list[Finding]:
    """What is wrong with the Python of the virtualenv at I(path); nothing is, if there is none yet."""
    if not os.path.lexists(path):
        return []
    real = os.path.realpath(path)
    both = path if real == path else f"{path} and {real}"
    remedy = f"move {both} away and run the playbook again, which makes it anew"
    if not os.path.exists(path):
        return [Finding(path, 0, "error", f"the link leads to {real}, which does not exist: remove the link, and the playbook makes it anew")]
    found = sorted(glob.glob(os.path.join(glob.escape(path), "lib", "python3*", "site-packages")))
    installed = [_minor(os.path.dirname(directory)) for directory in found if glob.glob(os.path.join(glob.escape(directory), "*.dist-info"))]
    if not installed:
        return []
    python = os.path.join(path, "bin", "python3")
    leads_to = os.path.realpath(python)
    if not os.path.exists(python):
        message = f"its Python is gone: {python} leads to {leads_to}, as after an upgrade of the distribution: {remedy}"
        return [Finding(path, 0, "error", message)]
    running = _minor(leads_to)
    if running and running not in installed:
        message = f"its packages are for Python {', '.join(installed)} and its Python is {running} now, as after an upgrade of the distribution: {remedy}"
        return [Finding(path, 0, "error", message)]
    linked = _linked_python(os.path.join(path, "bin", "uwsgi"))
    if linked and running and running != linked:
        message = f"its uWSGI was built for Python {linked}, and its Python is {running}: build uWSGI anew, or use pyuwsgi (uwsgi_package)"
        return [Finding(path, 0, "error", message)]
    return []


def python_version(path: str) -> tuple[int, ...]:
    """The version of the Python of the virtualenv at I(path), such as (3, 11); () if it cannot be told."""
    return tuple(map(int, filter(None, _minor(os.path.realpath(os.path.join(path, "bin", "python3"))).split("."))))


def _linked_python(program: str) -> str:
    """The version of the Python library that a compiled I(program) loads."""
    with contextlib.suppress(OSError):
        content = safe_files.read(program, _LARGEST_PROGRAM)
        match = _LINKED_PYTHON.search(content) if content.startswith(b"\x7fELF") else None
        return match.group(1).decode() if match else ""
    return ""


def _all_packages(path: str) -> dict[str, str]:
    """The packages in the virtualenv at I(path), and their versions.

    An older pip without C(wheel) installs what it builds as an egg.
    """
    found = {}
    for directory in sorted(glob.glob(os.path.join(glob.escape(path), "lib", "python3*", "site-packages", "*-info"))):
        match = re.fullmatch(r"([^-]+)-([^-]+)(?:-py3\.\d+)?\.(?:dist|egg)-info", os.path.basename(directory))
        if match:
            found[_normal(match.group(1))] = match.group(2)
    return found


def _normal(name: str) -> str:
    """The name of a package as all ways to write it have in common."""
    return re.sub(r"[-_.]+", "-", name).lower()


def version_of(path: str, requirement: str) -> str:
    """The version that the virtualenv at I(path) has of what a requirement names; empty when it has none."""
    match = _REQUIREMENT.match(requirement.strip())
    return _all_packages(path).get(_normal(match.group(1)), "") if match else ""


def has(path: str, requirement: str) -> bool:
    """Whether the virtualenv at I(path) has what a requirement asks for; of what cannot be told for certain, that it has not."""
    match = _REQUIREMENT.match(requirement.strip())
    return match is not None and satisfies(match.group(1).lower(), version_of(path, requirement), requirement)


def installed_packages(path: str) -> dict[str, str]:
    """The packages in the virtualenv at I(path) that bring a uWSGI, or its Python module alone, and their versions."""
    return {name: version for name, version in _all_packages(path).items() if name in (*_PACKAGES, _MODULE_PACKAGE)}


def installed_uwsgi(path: str) -> tuple[str, str]:
    """The package in the virtualenv at I(path) that brings uWSGI, and its version."""
    return next((found for found in installed_packages(path).items() if found[0] in _PACKAGES), ("", ""))


def distribution_findings(path: str, python: str = "/usr/bin/python3") -> list[Finding]:
    """What keeps the uWSGI of the distribution, whose Python is at I(python), from using the virtualenv at I(path)."""
    ours, theirs = _minor(os.path.realpath(os.path.join(path, "bin", "python3"))), _minor(os.path.realpath(python))
    if not ours or not theirs or ours == theirs:
        return []
    message = (
        f"its Python is {ours}, and the uWSGI of the distribution has {theirs} built in: make it anew with {python}, "
        "or set uwsgi_install_method to wheel or source"
    )
    return [Finding(path, 0, "error", message)]


def parse_help(text: str) -> frozenset[str]:
    """The names of the options in what C(uwsgi --help) prints."""
    return frozenset(_OPTION.findall(text))


def parse_descriptions(text: str) -> dict[str, str]:
    """What C(uwsgi --help) says of each option."""
    return dict(_DESCRIPTION.findall(text))


def read_uwsgi(path: str, user: str = "", distribution: bool = False) -> tuple[Optional[Uwsgi], list[Finding]]:
    """Ask the uWSGI in the virtualenv at I(path), or that of the I(distribution), for its options; None if there is none to ask.

    C(--help) reads no configuration, so no option of anybody's has an effect, while with C(--cflags) many act before it is
    their turn to be refused: C(stop), C(flock), C(build-plugin) and all that load further files. Still, whoever may write to the virtualenv
    must not run code as root that way, so it runs as I(user), whose virtualenv it is, or else as nobody.
    """
    program = _DISTRIBUTION if distribution else os.path.join(path, "bin", "uwsgi")
    if not os.path.exists(program):
        return None, []
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        try:
            entry = pwd.getpwnam(user) if user else None
        except KeyError:
            return None, []  # a user that is about to be made
        if entry is None:
            identity = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
        elif entry.pw_uid != 0:
            identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    package, version = ("uwsgi-core", "of the distribution") if distribution else installed_uwsgi(path)
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        with subprocess.Popen(  # pylint: disable=ansible-bad-function  # run_command reads without a limit
            [program, *(["--plugin", "python3"] if distribution else []), "--help"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=environment,
            **identity,
        ) as process:
            try:
                # Whoever may write to the virtualenv decides how much it says, and for how long.
                text = safe_files.read_stream(process.stdout, _LONGEST_HELP, 60).decode(errors="replace")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(5)
            finally:
                process.kill()
        options = parse_help(text)
        problem = "" if options else f"it ends with {process.returncode}: {text.strip()[-200:]}"
    except PermissionError:
        return None, []  # it may be for somebody else
    except OSError as error:
        options, problem = frozenset(), str(error)
    if problem:
        return None, [Finding(program, 0, "error", f"uWSGI does not even tell its options ({problem}): install it anew")]
    return Uwsgi(package, version, options, uwsgi_options.what_listens(parse_descriptions(text))), []


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(number) for number in re.findall(r"\d+", version)]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def satisfies(package: str, version: str, requirement: str) -> bool:
    """Whether pip would leave an installed package as it is; of what cannot be told for certain, that it would not."""
    match = _REQUIREMENT.match(requirement.strip())
    if not match or match.group(1).lower() != package or not _RELEASE.fullmatch(version):
        return False
    have = _numbers(version)
    for clause in filter(None, (clause.strip() for clause in match.group(2).split(","))):
        operator, wanted = re.match(r"([<>=!]+)\s*(.*)", clause).groups()  # type: ignore[union-attr]
        if not _RELEASE.fullmatch(wanted):
            return False
        want = _numbers(wanted)
        holds = {"==": have == want, "!=": have != want, ">=": have >= want, "<=": have <= want, ">": have > want, "<": have < want}
        if not holds.get(operator, False):
            return False
    return True


def _truth(value: object) -> bool:
    """What uWSGI makes of the value of a switch."""
    return str(value).lower() not in ("false", "off", "no", "0")


def _texts(value: object) -> list[str]:
    return [str(item) for item in (value if isinstance(value, (list, tuple)) else [value])]


def declared_options(options: Mapping[str, object]) -> set[str]:
    """The options that I(options) themselves make known."""
    declared = {text.partition("=")[0].strip() for name in ("declare-option", "declare-option2") for text in _texts(options.get(name, []))}
    return declared - {""}


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.75)
    return f"write {close[0]!r} instead" if close else "correct or remove it"


def option_findings(
    uwsgi: Uwsgi, options: Mapping[str, object], path: str, lines: Mapping[str, int], stays: bool, section: str = "uwsgi"
) -> list[Finding]:
    """The names among I(options) that this uWSGI does not know.

    Without C(strict) it takes them for placeholders, and with plugins it may learn more; if it does not stay (I(stays)), the
    next one may know more. All that is worth a warning only.
    """
    strict = "strict" in options and all(map(_truth, _texts(options["strict"])))
    plugins = [name for name in options if re.fullmatch(r"(need-)?plugins?(-list)?|autoload", name)]
    values: Collection[str] = [text for value in options.values() for text in _texts(value)]
    findings = []
    for name in options:
        if name in uwsgi.options or name in declared_options(options) or (not strict and any(f"%({name})" in text for text in values)):
            continue
        if _ROUTE.fullmatch(name) and "route" not in uwsgi.options and stays:
            message = (
                f"{uwsgi} was built without routing, for want of PCRE, so this rule against requests that name code to run would be absent: install pyuwsgi, "
                "or build uWSGI where libpcre2-dev is installed"
            )
            findings.append(Finding(path, lines.get(name, 0), "error", message, section, name))
            continue
        message = f"{uwsgi} has no such option: {_suggestion(name, uwsgi.options)}" + ("" if name in lines else " (uwsgi_options)")
        if plugins:
            message += f" (unless a plugin brings it: {', '.join(plugins)})"
        elif not stays:
            message += " (unless the uWSGI that is installed next has it: uwsgi_package)"
        severity = "error" if strict and stays and not plugins else "warning"
        findings.append(Finding(path, lines.get(name, 0), severity, message, section, name))
    return findings
