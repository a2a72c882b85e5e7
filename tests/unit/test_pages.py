# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pages say can be done: the blocks of docs/other-applications.md, and the messages of docs/troubleshooting.md.

A scenario runs the blocks of the Pyramid application.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _nginx_versions, _paste_ini

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "molecule" / "utils"))

from page import Block, blocks  # noqa: E402 -- it lies where the line above says

PAGE = ROOT / "docs" / "other-applications.md"
EXAMPLES = {
    name: blocks(PAGE, heading)
    for name, heading in {
        "pyramid": "A Pyramid application, step by step",
        "zope": "Zope, an application that only one process may open",
    }.items()
}
each_example = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)


def playbooks(example: list[Block]) -> list[Block]:
    """The blocks that are playbooks."""
    return [block for block in example if block.language == "yaml" and block.text.startswith("- hosts:")]


@each_example
def test_shell_and_python_can_be_read(example: list[Block]) -> None:
    for block in example:
        if block.language == "sh":
            assert subprocess.run(["sh", "-n"], input=block.text, text=True, check=False).returncode == 0, block.text
        elif block.language == "python":
            compile(block.text, block.file, "exec")


@each_example
def test_playbooks_set_inputs_of_the_roles_and_nothing_else(example: list[Block]) -> None:
    inputs = set()
    for role in ("uwsgi", "nginx_proxy"):
        specs = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())
        inputs |= set(specs["argument_specs"]["main"]["options"])
    assert playbooks(example)
    for block in playbooks(example):
        for play in yaml.safe_load(block.text):
            assert set(play["vars"]) <= inputs, block.file


@each_example
def test_ansible_takes_the_playbooks(example: list[Block], tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible" / "collections"),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "--inventory", "localhost,", "--syntax-check"]
    for block in playbooks(example):
        (tmp_path / "play.yml").write_text(block.text)
        result = subprocess.run(
            [*command, str(tmp_path / "play.yml")], env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr


def test_file_of_the_pyramid_application_has_no_fault() -> None:
    files = {block.file: block.text for block in EXAMPLES["pyramid"] if block.file}
    assert set(files) == {
        "/srv/notes/lib/notes_app.py",
        "/srv/notes/notes.ini",
        "inventory.yml",
        "notes.yml",
        "notes-absent.yml",
    }
    assert _paste_ini.check(files["/srv/notes/notes.ini"], "/srv/notes/notes.ini") == []
    assert "use = call:notes_app:main" in files["/srv/notes/notes.ini"]


def sources() -> str:
    """What the code may say, with each message in one line."""
    files = [path for top in ("plugins", "roles", "templates") for path in sorted((ROOT / top).rglob("*.py"))]
    return "\n".join(path.read_text() for path in files)


@pytest.mark.parametrize(
    ("heading", "messages"),
    [
        ("The maintenance page", ["no web process of "]),
        ("A port is taken", ["is taken by a process that cannot be seen from here", "stop it or "]),
        ("A module is missing", ["did not start"]),
        (
            "The disk is full",
            ["the file system is full: free some space and run again", "(the old file is intact)", "cannot keep a copy of the configuration in "],
        ),
        ("`not what is written`", ["(not what is written: run the playbook, or "]),
        (
            "`has holes that this site is open to`",
            [" has holes that this site is open to: ", "; apt-get install --only-upgrade ", "Its changelog names no fix"],
        ),
        (
            "An option in `galaxy.ini` has no effect",
            [
                " sets this option too, so Paste Deploy takes no notice of this line",
                "Galaxy's job handlers read this option and its web processes do not",
                "one part of Galaxy reads this option here and another part does not",
            ],
        ),
    ],
)
def test_troubleshooting_quotes_messages_as_they_are(heading: str, messages: list[str]) -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    code = sources()
    for message in messages:
        assert message in section
        assert message in code


def test_holes_of_nginx_are_those_that_preflight_knows() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in (ROOT / "docs" / "nginx.md").read_text().splitlines() if line.startswith("| CVE-")]
    told = {name: (row[2].split(", "), [cell for cell in row[3:] if cell != "none"]) for row in rows for name in row[0].split(", ")}
    known = {hole.name: ([".".join(map(str, release)) for release in hole.releases], list(hole.packages)) for hole in _nginx_versions.HOLES}
    assert told == known


def test_loop_for_files_that_differ_names_them(tmp_path: Path) -> None:
    (block,) = [block.text for block in blocks(ROOT / "docs" / "troubleshooting.md", "`not what is written`") if block.language == "sh"]
    running, there = tmp_path / "running", tmp_path / "etc"
    there.mkdir()
    for name, now in (("changed.ini", "new"), ("same.ini", "old")):
        copy = running / str(there / name).lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("old")
        (there / name).write_text(now)
    (running / "version").write_text("of no file")
    script = block.replace("/var/lib/galaxyops/galaxy/web/running", str(running))
    result = subprocess.run(["sh", "-eu", "-c", script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, f"{there}/changed.ini\n"), result.stderr
