"""What an Ansible run has asked of its hosts, by the report of the callback ansible.posix.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONTROLLER_ONLY = (
    "ansible.builtin.assert",
    "ansible.builtin.debug",
    "ansible.builtin.import_role",
    "ansible.builtin.import_tasks",
    "ansible.builtin.include_role",
    "ansible.builtin.include_tasks",
    "ansible.builtin.meta",
    "ansible.builtin.set_fact",
    "ansible.builtin.validate_argument_spec",
)


def remote_tasks(report: Mapping[str, Any]) -> list[str]:
    """The names of the tasks that came to a host, each as often as it did."""
    remote: list[str] = []
    for play in report["plays"]:
        for task in play["tasks"]:
            for outcome in task["hosts"].values():
                if not outcome.get("skipped") and outcome["action"] not in CONTROLLER_ONLY:
                    remote += [task["task"]["name"]] * max(1, len([item for item in outcome.get("results", [{}]) if not item.get("skipped")]))
    return remote
