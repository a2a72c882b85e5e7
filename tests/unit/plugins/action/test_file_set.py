# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of file_set that renders templates, run by Ansible itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[4]


def run(directory: Path, files: list[dict[str, Any]], *arguments: str, **variables: Any) -> dict[str, Any]:
    """Write files by a playbook in the directory, whose templates are in a directory of that name, and return what the task did."""
    report = directory / "outcome.json"
    tasks = [
        {"name": "Write", "galaxyops.uwsgi.file_set": {"files": files}, "register": "outcome", "ignore_errors": True},
        {"name": "Report", "ansible.builtin.copy": {"content": "{{ outcome | to_json }}", "dest": str(report), "mode": "0600"}, "check_mode": False},
    ]
    play = [{"name": "Write", "hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": tasks}]
    (directory / "play.yml").write_text(json.dumps(play))
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible" / "collections"),
        "ANSIBLE_DEPRECATION_WARNINGS": "true",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", str(directory / "play.yml"), *arguments]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "DEPRECATION" not in process.stdout + process.stderr
    outcome: dict[str, Any] = json.loads(report.read_text())
    return outcome


def template(directory: Path, name: str, text: str) -> None:
    """Put a template where a playbook looks for it."""
    (directory / "templates").mkdir(exist_ok=True)
    (directory / "templates" / name).write_text(text)


def test_a_template_yields_the_text(tmp_path: Path) -> None:
    site = "{% for name in names %}\nserver {{ name }}; {{ own }}\n{% endfor %}\n{% from 'parts.j2' import end with context %}\n{{ end() }}\n"
    template(tmp_path, "site.j2", site)
    template(tmp_path, "parts.j2", "{% macro end() %}\n# {{ names | length }}\n{% endmacro %}\n")
    files: list[dict[str, Any]] = [
        {"path": str(tmp_path / "one"), "template": "site.j2", "template_vars": {"own": "1"}},
        {"path": str(tmp_path / "two"), "template": str(tmp_path / "templates" / "site.j2"), "template_vars": {"own": "2"}, "content": ""},
        {"path": str(tmp_path / "three"), "content": "as it is\n", "template": ""},
    ]
    outcome = run(tmp_path, files, names=["a", "b"])
    assert outcome["changed"], outcome
    assert (tmp_path / "one").read_text() == "server a; 1\nserver b; 1\n# 2\n"
    assert (tmp_path / "two").read_text() == "server a; 2\nserver b; 2\n# 2\n"
    assert (tmp_path / "three").read_text() == "as it is\n"
    assert not run(tmp_path, files, names=["a", "b"])["changed"]


def test_text_that_looks_like_data_stays_text(tmp_path: Path) -> None:
    template(tmp_path, "data.j2", '{"a": {{ number }}}\n')
    template(tmp_path, "empty.j2", "")
    run(tmp_path, [{"path": str(tmp_path / "data"), "template": "data.j2"}, {"path": str(tmp_path / "empty"), "template": "empty.j2"}], number=1)
    assert (tmp_path / "data").read_text() == '{"a": 1}\n'
    assert (tmp_path / "empty").read_text() == ""


def test_what_is_to_be_absent_is_not_rendered(tmp_path: Path) -> None:
    template(tmp_path, "broken.j2", "{{ there_is_none }}")
    (tmp_path / "old").write_text("")
    outcome = run(tmp_path, [{"path": str(tmp_path / "old"), "state": "absent", "template": "broken.j2"}])
    assert outcome["changed"], outcome
    assert not (tmp_path / "old").exists()


def test_the_diff_shows_the_text_and_that_of_a_secret_does_not(tmp_path: Path) -> None:
    template(tmp_path, "secret.j2", "password {{ password }}\n")
    files = [{"path": str(tmp_path / "file"), "template": "secret.j2"}]
    assert "password hunter2" in json.dumps(run(tmp_path, files, "--diff", "--check", password="hunter2"))
    assert "hunter2" not in json.dumps(run(tmp_path, [{**files[0], "sensitive": True}], "--diff", "--check", password="hunter2"))
    assert not (tmp_path / "file").exists()


def test_what_cannot_be_rendered_is_named(tmp_path: Path) -> None:
    template(tmp_path, "broken.j2", "{{ there_is_none }}")
    path = str(tmp_path / "file")
    for entry, parts in (
        ({"template": "none.j2"}, [path, "none.j2", "cannot be read"]),
        ({"template": "broken.j2"}, ["there_is_none"]),
        ({"template": "broken.j2", "content": "a"}, [path, "content and template cannot be written both"]),
        ({}, [path, "needs content", "or a template"]),
        ({"template": "broken.j2", "state": "link", "template_vars": {"there_is_none": "x"}, "src": "/"}, [path, "state: link takes no content"]),
    ):
        outcome = run(tmp_path, [{"path": path, **entry}])
        assert outcome.get("failed"), outcome
        assert all(part in outcome["msg"] for part in parts), outcome
        assert "Traceback" not in json.dumps(outcome)
    assert not Path(path).exists()
