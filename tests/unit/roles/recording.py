# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role would have done on hosts, by the arguments that its modules get, compared with what it did before.

GOLDEN=update pytest tests/unit/roles/test_golden.py     write what the role does now into the golden file
GOLDEN_TEXTS=/tmp/now pytest tests/unit/roles/test_golden.py     write all texts there, to compare those of two versions
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
# How many variants there are to be: a few, all, or all to be written into the golden file.
MODE = os.environ.get("GOLDEN", "")
FACTS = {
    "all_ipv6_addresses": [],
    "distribution": "Debian",
    "distribution_major_version": "12",
    "distribution_version": "12.5",
    "os_family": "Debian",
    "processor_vcpus": 2,
    "service_mgr": "systemd",
}
# The program on the host is tested elsewhere, and changes for reasons of its own.
PROGRAM = re.compile(r"/usr/local/lib/galaxyops/[^/]+/(control|galaxyops)(/.*)?")
# The last one shows what the role hands on to other roles.
RESULTS = {
    "ansible.builtin.ping": {
        "data": "{{ {'site': nginx_proxy_site, 'params': nginx_proxy_params, 'locations': nginx_proxy_locations} }}"
    },
    "when": "nginx_proxy_site is defined",
}


def _brief(value: Any) -> Any:
    """Return a value with long texts shortened to their hash."""
    if isinstance(value, Mapping):
        return {key: _brief(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_brief(item) for item in value]
    if isinstance(value, str) and (len(value) > 200 or "\n" in value):
        return f"{value.count(chr(10))} lines, sha256 {hashlib.sha256(value.encode()).hexdigest()[:16]}"
    return value


def _file(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what counts of a file: nothing but its path where it is to be absent."""
    state = entry.get("state", "file")
    kept = ("path", "mark", "sensitive") if state == "absent" else tuple(entry)
    result = {"state": state, **{key: entry[key] for key in kept if key in entry and entry[key] not in (None, "")}}
    # So do other programs.
    if str(entry["path"]).endswith(".py"):
        result.pop("content", None)
    return result


def _entry(name: str, arguments: Any) -> list[Any]:
    if name == "file_set":
        arguments = {
            **arguments,
            "files": [_file(entry) for entry in arguments["files"] if not PROGRAM.fullmatch(entry["path"])],
        }
    return [name, arguments]


def recorded(
    tmp_path: Path, role: str, variants: Mapping[str, Mapping[str, Any]], quick: Collection[str]
) -> dict[str, list[Any]]:
    """Return what a role does with each set of variables, or the I(quick) ones only.

    I(entries) are its entry points, and I(answers) what modules find.
    """
    if not MODE:
        variants = {name: variants[name] for name in quick}
    tmp_path.mkdir(parents=True, exist_ok=True)
    hosts = {
        name: {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "entries": ["main"],
            **variables,
            "answers": {"setup": {"ansible_facts": FACTS}, **variables.get("answers", {})},
        }
        for name, variables in variants.items()
    }
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    play = {
        "hosts": "all",
        "gather_facts": False,
        "strategy": "free",
        "tasks": [
            {"ansible.builtin.setup": {}},
            {
                "ansible.builtin.include_role": {"name": f"galaxyops.uwsgi.{role}", "tasks_from": "{{ entry }}"},
                "loop": "{{ entries }}",
                "loop_control": {"loop_var": "entry"},
            },
            RESULTS,
        ],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    (tmp_path / "done").mkdir()
    environment = {
        **os.environ,
        "ANSIBLE_CALLBACKS_ENABLED": "recorder",
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "recorder"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible" / "collections"),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_FORKS": "2",
        "RECORDER_DIRECTORY": str(tmp_path / "done"),
    }
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        "--inventory",
        str(tmp_path / "hosts.json"),
        str(tmp_path / "play.yml"),
    ]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    found = {}
    for name in variants:
        path = tmp_path / "done" / f"{name}.jsonl"
        assert path.exists(), process.stdout + process.stderr
        found[name] = [_entry(*json.loads(line)) for line in path.read_text().splitlines()]
    _keep_texts(role, found)
    return found


def _keep_texts(role: str, found: Mapping[str, list[Any]]) -> None:
    """Write all that was found, with whole texts, where that is asked for."""
    directory = os.environ.get("GOLDEN_TEXTS")
    if not directory:
        return
    for name, entries in found.items():
        path = Path(directory, role, f"{name}.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(entries, indent=1, sort_keys=True).replace("\\n", "\n"))


def check(role: str, found: Mapping[str, list[Any]]) -> None:
    """Compare what a role does with its golden file."""
    path = HERE / "golden" / f"{role}.json"
    brief = {name: _brief(entries) for name, entries in found.items()}
    if MODE == "update":
        lines = (
            f'"{name}": [\n' + ",\n".join(f" {json.dumps(entry, sort_keys=True)}" for entry in entries) + "\n]"
            for name, entries in brief.items()
        )
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    golden = json.loads(path.read_text())
    for name, entries in brief.items():
        assert entries == golden[name], (
            f"{role}, {name}: compare the texts by GOLDEN_TEXTS, and write them anew by GOLDEN=update if they are meant to change"
        )
