# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fingerprint is of the same as in the release before: one that differs replaces every process, though nothing has changed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

# What the roles write, and beside it what the fingerprints of the processes were of in the release before
EXPECTED = Path(__file__).resolve().parents[3] / "roles" / "files_on_hosts"
PROGRAM = """
import json, sys
from galaxyops.control.__main__ import control_for
processes = control_for('galaxy', sys.argv[1]).processes()
print(json.dumps({name: process.watch for name, process in processes.items()}))
"""


@pytest.mark.parametrize("case", sorted(path.stem for path in EXPECTED.glob("*.txt")))
def test_fingerprints_are_of_the_same_as_before(case: str, etc: Path, library: Path) -> None:
    text = (EXPECTED / f"{case}.txt").read_text(encoding="utf-8")
    (config,) = re.findall(r"(?ms)^=== [^\n]*/(?:web|handlers)\.json\"\}\n(\{.*?^\})$", text)
    kind = "web" if case.startswith("uwsgi") else "handlers"
    (etc / "galaxy" / f"{kind}.json").write_text(config)
    environment = {**os.environ, "GALAXYOPS_ETC": str(etc)}
    program = [sys.executable, "-B", "-c", PROGRAM, kind]
    process = subprocess.run(program, cwd=library, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    path = EXPECTED / f"{case}.fingerprint.json"
    if os.environ.get("REWRITE_FILES_ON_HOSTS"):
        path.write_text(json.dumps(json.loads(process.stdout), sort_keys=True, indent=2) + "\n")
    assert json.loads(process.stdout) == json.loads(path.read_text())
