# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""virtualenv, run as Ansible runs it, with a package that needs no index."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., dict[str, Any]]
STRANGER = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")


@pytest.fixture
def package(tmp_path: Path) -> str:
    """A wheel that everybody may read."""
    for directory in (tmp_path, *tmp_path.parents):
        if os.geteuid() == 0 and directory.is_relative_to("/tmp") and directory != Path("/tmp"):
            directory.chmod(0o755)
    path = tmp_path / "dummy_package-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("dummy_package.py", "")
        wheel.writestr("dummy_package-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: dummy-package\nVersion: 1.0\n")
        wheel.writestr("dummy_package-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("dummy_package-1.0.dist-info/RECORD", "")
    return str(path)


@pytest.fixture
def theirs(package: str, tmp_path: Path) -> Path:
    """A virtualenv of another user, which has code of this user that runs with every Python in it."""
    directory = tmp_path / "theirs"
    directory.mkdir()
    path = directory / "venv"
    subprocess.run([sys.executable, "-m", "venv", path], check=True)
    (site,) = path.glob("lib/python3*/site-packages")
    (site / "h5.pth").write_text(f"import os; open('{directory}/ran-as-' + str(os.geteuid()), 'w').close()\n")
    subprocess.run(["chown", "-R", str(STRANGER), str(directory)], check=True)
    return path


@as_root
@pytest.mark.usefixtures("python_of_everybody")
def test_code_in_a_virtualenv_of_others_never_runs_as_root(run_module: Run, package: str, theirs: Path) -> None:
    result = run_module("virtualenv", path=str(theirs), packages=[package])
    assert result["changed"], result
    assert result["user"] == "nobody"
    assert sorted(path.name for path in theirs.parent.iterdir()) == ["ran-as-65534", "venv"]
    (installed,) = theirs.glob("lib/python3*/site-packages/dummy_package.py")
    assert installed.stat().st_uid == STRANGER
    assert not run_module("virtualenv", path=str(theirs), packages=["dummy-package==1.0"])["changed"]
    assert subprocess.run([*result["run_as"], "id", "-u"], capture_output=True, text=True, check=True).stdout == f"{STRANGER}\n"


@as_root
@pytest.mark.usefixtures("python_of_everybody")
def test_what_root_has_installed_before_is_replaced_as_the_owner(run_module: Run, package: str, theirs: Path) -> None:
    subprocess.run([theirs / "bin" / "python3", "-I", "-S", "-c", ""], check=True)
    (site,) = theirs.glob("lib/python3*/site-packages")
    (site / "h5.pth").unlink()
    subprocess.run([theirs / "bin" / "python3", "-m", "pip", "install", "--quiet", package], check=True)
    (installed,) = site.glob("dummy_package.py")
    assert installed.stat().st_uid == 0
    assert run_module("virtualenv", path=str(theirs), packages=["dummy_package"], state="absent", check=True)["changed"]
    assert installed.stat().st_uid == 0, "check mode changes no owner"
    assert run_module("virtualenv", path=str(theirs), packages=["dummy_package"], state="absent")["changed"]
    assert not installed.exists()
    assert not run_module("virtualenv", path=str(theirs), packages=["dummy_package"], state="absent")["changed"]


@as_root
def test_root_owned_virtualenv_that_others_can_write_is_refused(run_module: Run, package: str, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    result = run_module("virtualenv", path=str(tmp_path / "open" / "venv"), packages=[package])
    assert result["failed"]
    assert f"{tmp_path}/open belongs to root, and everybody can write there" in result["msg"] and "chown -R" in result["msg"]


def test_own_virtualenv_is_made_and_filled(run_module: Run, package: str, tmp_path: Path) -> None:
    path = tmp_path / "venv"
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"# the package\n{package}\n")
    arguments = {"path": str(path), "requirements": str(requirements), "dependencies": False}
    assert run_module("virtualenv", check=True, **arguments)["changed"]
    assert not path.exists()
    result = run_module("virtualenv", **arguments)
    assert result["changed"] and result["run_as"] == []
    assert list(path.glob("lib/python3*/site-packages/dummy_package.py"))
    requirements.write_text("dummy_package==1.0\n")
    assert not run_module("virtualenv", **arguments)["changed"]
    assert not run_module("virtualenv", check=True, **arguments)["changed"]


def test_failure_of_pip_is_told(run_module: Run, package: str, tmp_path: Path) -> None:
    result = run_module("virtualenv", path=str(tmp_path / "venv"), packages=[f"{package}.missing"])
    assert result["failed"] and "-m pip install" in result["msg"] and ".missing" in result["msg"]
