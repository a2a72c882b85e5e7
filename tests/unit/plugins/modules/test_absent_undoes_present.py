# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Absent undoes present: for each module with both states, whatever was there before, byte for byte, with mode and owner."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ansible_collections.galaxyops.uwsgi.plugins.filter.absent_files import absent_files

# Each example runs the module three times.
some = settings(max_examples=40)
modes = st.sampled_from([0o600, 0o640, 0o664])
owners = st.sampled_from([0, 65534] if os.geteuid() == 0 else [os.geteuid()])
newlines = st.sampled_from(["\n", "\r\n"])


def run_module(name: str, **arguments: Any) -> dict[str, Any]:
    """Run a module in a process of its own, as the fixture of that name does, which imports Ansible anew each time."""
    main = importlib.import_module(f"ansible_collections.galaxyops.uwsgi.plugins.modules.{name}").main
    with tempfile.TemporaryFile("w+") as asked, tempfile.TemporaryFile("w+") as answered:
        json.dump({"ANSIBLE_MODULE_ARGS": arguments}, asked)
        asked.seek(0)
        child = os.fork()
        if not child:
            try:
                sys.argv, sys.stdin, sys.stdout = [name], asked, answered
                with contextlib.suppress(SystemExit):
                    main()
                answered.flush()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        answered.seek(0)
        result: dict[str, Any] = json.loads(answered.read().splitlines()[-1])
        return result


def tree(top: Path) -> dict[str, tuple[Any, ...]]:
    """All that lies below I(top): what it is, whose, and its content."""
    found = {}
    for directory, names, files in os.walk(top):
        for name in [*names, *files]:
            path = Path(directory, name)
            status = path.lstat()
            content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[str(path.relative_to(top))] = (oct(status.st_mode), status.st_uid, status.st_gid, content)
    return found


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """A directory for one example."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def write(path: Path, content: bytes | None, mode: int, owner: int) -> None:
    """The file that is there before; none for None."""
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
        os.chown(path, owner, owner if os.geteuid() == 0 else -1)


def undone(run: Callable[..., dict[str, Any]], top: Path, present: dict[str, Any], absent: dict[str, Any]) -> None:
    """Nothing is removed that was not there, and what present adds is removed again; where present refuses, nothing has changed."""
    before = tree(top)
    result = run(**absent)
    unreadable = result.get("failed")
    assert unreadable or not result["changed"]
    assert tree(top) == before
    result = run(**present)
    if result.get("failed") or unreadable:
        assert result.get("failed")
        assert tree(top) == before
        return
    result = run(**absent)
    assert not result.get("failed"), result
    assert tree(top) == before


# paste_section

INI_LINES = [
    "[app:main]",
    "[server:main]",
    "use = egg:x",
    "  indented",
    "# comment",
    ";[uwsgi]",
    "",
    " ",
    "\tx",
    "brand: \u00e9",
    "[a]",
]


@st.composite
def ini_files(draw: st.DrawFn) -> bytes | None:
    """No file, an empty one, or one of sections and comments without [uwsgi]."""
    if draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from([None, b"", b"\n", b"# comment"]))
    lines = draw(st.lists(st.sampled_from(INI_LINES), max_size=8))
    text = draw(newlines).join(lines) + draw(st.sampled_from(["", "\n", "\n\n", "\r\n"]))
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "latin-1"])))


options = st.dictionaries(
    st.sampled_from(["processes", "socket", "master", "x"]),
    st.sampled_from([4, True, "/run/x", "", "%n", None]),
    max_size=3,
)


@some
@given(ini_files(), options, st.sampled_from([None, "app:main", "nothing"]), modes, owners)
@example(None, {"processes": 4}, None, 0o600, os.geteuid())
@example(None, {}, None, 0o600, os.geteuid())
@example(b"", {"processes": 4}, None, 0o640, os.geteuid())
@example(b"[app:main]", {"processes": 4}, "app:main", 0o640, os.geteuid())
def test_absent_undoes_present_of_a_section(
    start: bytes | None, wanted: dict[str, Any], before: str | None, mode: int, owner: int
) -> None:
    with place() as top:
        path = top / "galaxy.ini"
        write(path, start, mode, owner)
        section = {"path": str(path), "section": "uwsgi"}
        undone(
            lambda **arguments: run_module("paste_section", **section, **arguments),
            top,
            {"options": wanted, "create": True, **({"before": before} if before else {})},
            {"state": "absent"},
        )


# job_conf_handlers

XML = '<?xml version="1.0"?>\n<job_conf>\n    <plugins><plugin id="local"/></plugins>\n{}    <destinations/>\n</job_conf>\n'
YAML = "# jobs\nrunners:\n  local: {{workers: 4}}\n{}execution: {{}}"
JOB_CONFS = {
    "job_conf.xml": [
        None,
        "<job_conf></job_conf>",
        XML.format(""),
        *(
            XML.format(f"    {part}\n")
            for part in (
                "<handlers/>",
                "<handlers></handlers>",
                "<handlers>\n    </handlers>",
                '<handlers assign_with="db-self" extra="1"/>',
                "<handlers>\n        <!-- none yet -->\n    </handlers>",
                '<handlers><handler id="theirs"/></handlers>',
                '<handlers max_grab="4"/>',
                '<handlers max_grab="4"><handler id="theirs"/></handlers>',
            )
        ),
    ],
    "job_conf.yml": [
        None,
        "",
        "# nothing\n",
        YAML.format(""),
        *(
            YAML.format(part)
            for part in (
                "handling:\n",
                "handling: {} # c\n",
                "handling: {assign: [db-self]}\n",
                "handling:\n  assign: [db-self] # c\n",
                "handling:\n  processes: {theirs: {tags: [t]}}\n",
                "handling:\n  max_grab: 4 # c\n",
                "handling:\n  max_grab: 4\n  processes:\n    theirs:\n",
            )
        ),
    ],
}


@some
@given(st.sampled_from(sorted(JOB_CONFS)), st.data(), st.integers(0, 2), st.booleans(), newlines, modes, owners)
def test_absent_undoes_present_of_job_handlers(
    name: str, data: st.DataObject, count: int, pool: bool, newline: str, mode: int, owner: int
) -> None:
    start = data.draw(st.sampled_from(JOB_CONFS[name]))
    # An empty file is not one that Galaxy starts with, and a file of no handlers is not what anybody asks for.
    assume(start is not None or count or pool)
    wanted: dict[str, Any] = {"handlers": [{"id": f"handler{number}", "tags": ["mine"]} for number in range(count)]}
    wanted.update({"max_grab": 8} if pool else {})
    with place() as top:
        path = top / name
        encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig"]))
        write(path, None if start is None else start.replace("\n", newline).encode(encoding), mode, owner)
        undone(
            lambda **arguments: run_module("job_conf_handlers", path=str(path), **wanted, **arguments),
            top,
            {},
            {"state": "absent"},
        )


# file_set

NAMES = ["a", "b", "d", "d/a", "d/e", "d/e/b"]
MARK = "galaxyops.uwsgi"


@st.composite
def file_sets(draw: st.DrawFn) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """What is there, and files, directories and links that are to be there too."""
    there = {"": "directory"}
    wanted: list[dict[str, Any]] = []
    directories = {""}
    for name in NAMES:
        if os.path.dirname(name) not in directories:
            continue
        kind = draw(st.sampled_from(["", "file", "directory", "link"]))
        # Somebody else's things stay, and so does what is not ours for want of the mark.
        if draw(st.booleans()) and there.get(os.path.dirname(name)) == "directory":
            there[name] = kind
            if kind == "file" and draw(st.booleans()):
                wanted.append({"path": name, "content": f"# {MARK}\n", "mark": MARK})
        elif kind:
            item = {"path": name, "state": kind, "mode": draw(st.sampled_from(["0600", "0750"]))}
            item.update(
                {"file": {"content": draw(st.sampled_from(["", "x\n", f"# {MARK}\n"]))}, "link": {"src": "a"}}.get(
                    kind, {}
                )
            )
            if kind == "link":
                del item["mode"]
            wanted.append(item)
        if kind == "directory":
            directories.add(name)
    return there, wanted


@some
@given(file_sets(), modes, owners)
def test_absent_undoes_present_of_files(
    drawn: tuple[dict[str, str], list[dict[str, Any]]], mode: int, owner: int
) -> None:
    there, wanted = drawn
    with place() as top:
        for name, kind in there.items():
            if kind == "file":
                write(top / name, b"theirs\n", mode, owner)
            elif kind == "directory" and name:
                (top / name).mkdir(mode | 0o100)
            elif kind == "link":
                (top / name).symlink_to("a")
        files = [{**item, "path": str(top / item["path"])} for item in wanted]
        undone(
            lambda **arguments: run_module("file_set", **arguments),
            top,
            {"files": files},
            {"files": absent_files(files)},
        )


# virtualenv

PACKAGES = ["dummy_one", "dummy_two"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Packages that need no index."""
    found = {}
    for name in PACKAGES:
        path = tmp_path_factory.mktemp("wheels") / f"{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "")
            wheel.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            wheel.writestr(
                f"{name}-1.0.dist-info/WHEEL",
                "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
            wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
        found[name] = str(path)
    return found


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtualenv with nothing in it but pip."""
    path = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", path], check=True)
    return path


@settings(some, max_examples=3)
@given(there=st.sets(st.sampled_from(PACKAGES), max_size=1))
def test_absent_undoes_present_of_packages(venv: Path, wheels: dict[str, str], there: set[str]) -> None:
    wanted = [name for name in PACKAGES if name not in there]

    def installed() -> dict[str, tuple[Any, ...]]:
        # Python compiles what it has used, and keeps that.
        return {name: status for name, status in tree(venv).items() if "__pycache__" not in name}

    path = {"path": str(venv)}
    empty = installed()
    assert run_module("virtualenv", **path, packages=[wheels[name] for name in there])["changed"] is bool(there)
    before = installed()
    assert (before == empty) is not bool(there)
    assert not run_module("virtualenv", **path, packages=wanted, state="absent")["changed"]
    assert run_module("virtualenv", **path, packages=[wheels[name] for name in wanted])["changed"]
    assert installed() != before
    assert run_module("virtualenv", **path, packages=wanted, state="absent")["changed"]
    assert installed() == before
    run_module("virtualenv", **path, packages=sorted(there), state="absent")
    assert installed() == empty


def test_the_tree_tells_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    before = tree(tmp_path)
    (tmp_path / "a").chmod(stat.S_IRUSR)
    assert tree(tmp_path) != before
