# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found out about a virtualenv, with the real uWSGI of the one that the tests run in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _virtualenv as virtualenv

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
# Where the tests run as root, Python itself may be out of everybody else's reach.
SELF = "root" if os.geteuid() == 0 else ""


@pytest.fixture(scope="module")
def uwsgi() -> virtualenv.Uwsgi:
    """The uWSGI of the virtualenv that the tests run in."""
    found, findings = virtualenv.read_uwsgi(sys.prefix, SELF)
    assert findings == []
    assert found is not None
    return found


def make(path: Path, minor: str = MINOR) -> Path:
    """A virtualenv with a package."""
    (path / "lib" / f"python{minor}" / "site-packages" / "x-1.dist-info").mkdir(parents=True)
    (path / "bin").mkdir()
    (path / "bin" / "python3").symlink_to(os.path.realpath(sys.executable))
    return path


# Its Python


def test_a_virtualenv_that_works_or_is_not_there_yet_is_good(tmp_path: Path) -> None:
    assert virtualenv.python_findings(sys.prefix) == []
    assert virtualenv.python_findings(str(tmp_path / "nothing")) == []
    assert virtualenv.python_findings(str(tmp_path)) == []
    assert virtualenv.python_findings(str(make(tmp_path / "venv"))) == []
    assert virtualenv.python_version(sys.prefix) == sys.version_info[:2]
    assert virtualenv.python_version(str(tmp_path)) == ()


def test_a_python_that_is_gone_is_named_with_the_remedy(tmp_path: Path) -> None:
    venv = make(tmp_path / "venv")
    (venv / "bin" / "python3").unlink()
    (venv / "bin" / "python3").symlink_to("/usr/bin/python3.1")
    (tmp_path / "link").symlink_to(venv)
    (finding,) = virtualenv.python_findings(str(tmp_path / "link"))
    assert f"{tmp_path}/link/bin/python3 leads to /usr/bin/python3.1" in finding.message
    assert f"move {tmp_path}/link and {venv} away and run the playbook again" in finding.message


def test_packages_of_another_python_are_named_with_the_remedy(tmp_path: Path) -> None:
    (finding,) = virtualenv.python_findings(str(make(tmp_path / "venv", "3.1")))
    assert f"its packages are for Python 3.1 and its Python is {MINOR} now" in finding.message


def test_a_link_into_the_void_is_named(tmp_path: Path) -> None:
    (tmp_path / "venv").symlink_to(tmp_path / "gone")
    (finding,) = virtualenv.python_findings(str(tmp_path / "venv"))
    assert "remove the link" in finding.message


def test_a_uwsgi_that_was_built_for_another_python_is_named(tmp_path: Path) -> None:
    venv = make(tmp_path / "venv")
    program = venv / "bin" / "uwsgi"
    program.write_bytes(b"\x7fELF...\0libpython" + MINOR.encode() + b".so.1.0\0")
    assert virtualenv.python_findings(str(venv)) == []
    program.write_bytes(b"\x7fELF...\0libpython3.1.so.1.0\0")
    (finding,) = virtualenv.python_findings(str(venv))
    assert f"built for Python 3.1, and its Python is {MINOR}" in finding.message
    program.write_bytes(b"#!/bin/sh\n# libpython3.1\n")
    assert virtualenv.python_findings(str(venv)) == []


# Its uWSGI


def test_uwsgi_is_asked_for_its_options(uwsgi: virtualenv.Uwsgi) -> None:
    assert uwsgi.package == "pyuwsgi"
    assert str(uwsgi).startswith("uWSGI 2.")
    assert {"processes", "socket", "static-map", "pythonpath", "py-call-osafterfork", "route-if-not", "endfor", "strict"} <= uwsgi.options


# These do something, read something or end the process as soon as they are read, --cflags or not: the reason to ask with --help.
ACTING = re.compile(
    r"(.*-)?(ini|js|json|xml|xmlconfig|yaml|yml|config|include|paste|paste-logged|plugins?|plugin-list)|if-?.*|for-?.*|set(-.*)?|print-sym.*|"
    r"binary-append-data|build-plugin|cflags|config-py|connect-and-read|declare-option2?|dot-h|early-envdir|exit|extract|flock(-wait)?|help|usage|"
    r"pause|python-version|reload|resolve|resume|signal|stop|suspend|(black|white)list"
)


def accepted(names: list[str], directory: Path) -> bool:
    """Whether the real uWSGI takes a configuration with these options."""
    path = directory / "options.ini"
    path.write_text("[uwsgi]\n" + "".join(f"{name} = 1\n" for name in names), encoding="utf-8")
    command = [os.path.join(sys.prefix, "bin", "uwsgi"), "--strict", "--ini", str(path), "--cflags"]
    return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, cwd=directory, check=False).returncode == 0


def test_uwsgi_takes_the_options_it_tells(uwsgi: virtualenv.Uwsgi, tmp_path: Path) -> None:
    names = [name for name in sorted(uwsgi.options) if not ACTING.fullmatch(name)]
    assert len(names) > 800
    assert accepted(names, tmp_path)
    assert not accepted([*names, "no-such-option"], tmp_path)


@settings(max_examples=20)  # each starts uWSGI
@given(st.from_regex(r"[a-z]{2,8}(-[a-z]{1,8}){0,2}", fullmatch=True))
def test_uwsgi_refuses_what_it_does_not_tell(uwsgi: virtualenv.Uwsgi, tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    if name not in uwsgi.options:
        assert not accepted([name], tmp_path_factory.mktemp("options"))


def test_a_second_uwsgi_is_found(tmp_path: Path) -> None:
    """Whatever the case of its name, and whether it is an egg: that depends on the version of pip."""
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    for name in ("uWSGI-2.0.30.egg-info", "pyuwsgi-2.0.30.post1.dist-info", "uwsgitop-0.12.dist-info"):
        (site / name).mkdir(parents=True)
    assert virtualenv.installed_packages(str(tmp_path)) == {"pyuwsgi": "2.0.30.post1", "uwsgi": "2.0.30"}
    assert virtualenv.installed_packages(str(tmp_path / "none")) == {}


def test_the_distributions_uwsgi_needs_the_distributions_python(tmp_path: Path) -> None:
    for minor in ("3.11", "3.12"):
        (tmp_path / f"python{minor}").write_text("")
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python3").symlink_to(tmp_path / "python3.12")
    (finding,) = virtualenv.distribution_findings(str(tmp_path / "venv"), str(tmp_path / "python3.11"))
    assert "its Python is 3.12, and the uWSGI of the distribution has 3.11 built in" in finding.message
    assert "uwsgi_install_method" in finding.message
    assert virtualenv.distribution_findings(str(tmp_path / "venv"), str(tmp_path / "python3.12")) == []
    assert virtualenv.distribution_findings(str(tmp_path / "not there yet"), str(tmp_path / "python3.12")) == []


def test_no_uwsgi_is_no_problem(tmp_path: Path) -> None:
    assert virtualenv.read_uwsgi(str(make(tmp_path / "venv"))) == (None, [])


def test_a_uwsgi_that_does_not_start_is_named(tmp_path: Path) -> None:
    program = make(tmp_path / "venv") / "bin" / "uwsgi"
    program.write_text("#!/bin/sh\necho 'libjansson.so.4: cannot open shared object file' >&2\nexit 127\n", encoding="utf-8")
    program.chmod(0o755)
    found, findings = virtualenv.read_uwsgi(str(tmp_path / "venv"), SELF)
    assert found is None
    assert "ends with 127: libjansson.so.4: cannot open" in findings[0].message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(("user", "uid"), [("nobody", "65534"), ("", "65534"), ("no-such-user", None)])
def test_root_asks_as_somebody_else(user: str, uid: Any) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)  # those of pytest are for root alone
        program = make(directory / "venv") / "bin" / "uwsgi"
        program.write_text("#!/bin/sh\nid -u >&2\nid -G >&2\nexit 1\n", encoding="utf-8")
        program.chmod(0o755)
        _found, findings = virtualenv.read_uwsgi(str(directory / "venv"), user)
    assert [f"{uid}\n{uid}" in finding.message for finding in findings] == ([True] if uid else [])


def options_named(findings: list[Any]) -> list[tuple[str, str, int]]:
    return [(finding.option, finding.severity, finding.line) for finding in findings]


@pytest.mark.parametrize(
    ("options", "stays", "expected"),
    [
        ({"strict": True, "processes": 2, "static-map": ["/a=/b", "/c=/d"]}, True, []),
        ({"strict": True, "procesess": 2}, True, [("procesess", "error", 7)]),
        ({"strict": "true", "procesess": 2}, False, [("procesess", "warning", 7)]),
        ({"strict": True, "procesess": 2, "plugin": "x"}, True, [("procesess", "warning", 7)]),
        ({"procesess": 2}, True, [("procesess", "warning", 7)]),
        ({"strict": False, "root": "/srv", "chdir": "%(root)/x"}, True, []),
        ({"strict": True, "root": "/srv", "chdir": "%(root)/x"}, True, [("root", "error", 0)]),
        ({"strict": True, "declare-option": "mine=processes=$1", "mine": 4}, True, []),
    ],
)
def test_unknown_options_are_named(uwsgi: virtualenv.Uwsgi, options: dict[str, Any], stays: bool, expected: list[tuple[str, str, int]]) -> None:
    findings = virtualenv.option_findings(uwsgi, options, "galaxy.ini", {"procesess": 7}, stays)
    assert options_named(findings) == expected
    for finding in findings:
        if finding.option == "procesess":
            assert "write 'processes' instead" in finding.message


@pytest.mark.parametrize(
    ("version", "requirement", "expected"),
    [
        ("2.0.30", "pyuwsgi>=2.0.28,<2.1", True),
        ("2.0.30.post1", "pyuwsgi>=2.0.28,<2.1", True),
        ("2.0.30", "pyuwsgi", True),
        ("2.0.30", "PyUWSGI == 2.0.30", True),
        ("2.0.30.0", "pyuwsgi==2.0.30", True),
        ("2.0.30", "pyuwsgi!=2.0.29", True),
        ("2.0.30", "pyuwsgi==2.0.31", False),
        ("2.0.27", "pyuwsgi>=2.0.28,<2.1", False),
        ("2.0.30", "uwsgi>=2.0", False),
        ("2.0.30", "pyuwsgi~=2.0", False),
        ("2.0.30", "pyuwsgi==2.0.*", False),
        ("2.0.30", "https://example.org/pyuwsgi.whl", False),
        ("2.0.30", "/srv/pyuwsgi.whl", False),
        ("2.0.30rc1", "pyuwsgi", False),
        ("2.0.30", "", False),
    ],
)
def test_pip_leaves_what_satisfies(version: str, requirement: str, expected: bool) -> None:
    assert virtualenv.satisfies("pyuwsgi", version, requirement) is expected


def test_a_build_without_routing_is_refused() -> None:
    built = virtualenv.Uwsgi("uwsgi", "2.0.31", frozenset({"processes", "strict"}))
    for options in ({"route-if-not": "empty:${UWSGI_FILE} break:403"}, {"strict": True, "route-run": "x"}):
        (finding,) = virtualenv.option_findings(built, options, "f", {}, stays=True)
        assert finding.severity == "error"
        assert "built without routing" in finding.message
