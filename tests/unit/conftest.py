"""Make the collection importable under its real name, and run its modules as Ansible does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import hypothesis
import pytest
from ansible.module_utils.common.parameters import PASS_VARS
from ansible.utils.display import Display

ROOT = Path(__file__).resolve().parents[2]
# What Ansible says about a task itself: since ansible-core 2.21 it converts, or drops, what a module returns under these names.
TAKEN = {
    *("ansible_facts", "ansible_job_id", "ansible_loop", "ansible_stats", "async_result", "attempts", "false_condition", "finished", "results", "retries"),
    *("skip_reason", "skipped", "skipped_reason", "unreachable"),
}
COLLECTIONS = ROOT / ".ansible" / "collections"

# The link that `make setup` creates; a checkout that really lies at ansible_collections/galaxyops/uwsgi needs none.
sys.path.insert(0, str(ROOT.parents[2] if ROOT.parent.parent.name == "ansible_collections" else COLLECTIONS))

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def nothing_deprecated(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this collection uses of Ansible is not going to be removed."""

    def deprecated(_self: Display, msg: str, *_arguments: Any, **_options: Any) -> None:
        raise AssertionError(f"deprecated by Ansible: {msg}")

    monkeypatch.setattr(Display, "deprecated", deprecated)


@pytest.fixture
def python_of_everybody() -> None:
    """Skip the test where other users cannot run this Python, such as one below /root."""
    drop = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        process = subprocess.run([sys.executable, "-c", ""], check=False, capture_output=True, **drop)
    except PermissionError:
        pytest.skip(f"other users cannot run {sys.executable}")
    if process.returncode != 0:
        pytest.skip(f"other users cannot run {sys.executable}")


@pytest.fixture
def root() -> Path:
    """The top of the collection."""
    return ROOT


@pytest.fixture
def run_module() -> Callable[..., dict[str, Any]]:
    """Run one of the collection's modules in a process of its own, I(under) another command if need be, and return its result."""

    def run(name: str, check: bool = False, under: Sequence[str] = (), **arguments: Any) -> dict[str, Any]:
        arguments = {**arguments, "_ansible_check_mode": check, "_ansible_diff": True}
        if "inject_invocation" in PASS_VARS:  # from ansible-core 2.20 on, which leaves the invocation out unless asked
            arguments["_ansible_inject_invocation"] = True
        process = subprocess.run(
            [*under, sys.executable, "-m", f"ansible_collections.galaxyops.uwsgi.plugins.modules.{name}"],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.stdout, process.stderr
        result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
        assert not result.get("deprecations"), result["deprecations"]
        assert not result.keys() & TAKEN, f"these keys of a result are Ansible's own: {result.keys() & TAKEN}"
        return result

    return run
