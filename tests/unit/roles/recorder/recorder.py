# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A callback that writes down with which arguments Ansible would run each module, and runs none.

A callback is loaded before any task starts, so every process of a task has the changed method.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase

DIRECTORY = Path(os.environ["RECORDER_DIRECTORY"])
ANSWERS: dict[str, dict[str, Any]] = {
    "command": {"rc": 0, "stdout": "", "stdout_lines": [], "stderr": "", "stderr_lines": []},
    "find": {"files": []},
    "galaxy_info": {"config_file": "", "database": "", "file_path": "", "job_config_file": "", "job_config_inline": False, "version": ""},
    "job_conf_handlers": {"runners": []},
    "nginx_load": {"out_of_reach": [], "socket_differs": False},
    "paste_check": {
        "changing": [],
        "options": {"app:main": {}},
        "remote_user": {"used": False, "header": "HTTP_REMOTE_USER", "secret": False},
        "system_call_filter": True,
        "uwsgi_packages": ["pyuwsgi"],
        "uwsgi_satisfies": True,
    },
    "stat": {"stat": {"exists": True}},
}


def record(host: str, entry: list[Any]) -> None:
    """Add one line to what is written down for a host."""
    with (DIRECTORY / f"{host}.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(entry, sort_keys=True) + "\n")


def _execute_module(
    self: Any,
    module_name: str | None = None,
    module_args: dict[str, Any] | None = None,
    task_vars: dict[str, Any] | None = None,
    **_options: Any,
) -> dict[str, Any]:
    name = (module_name or self._task.action).rpartition(".")[2]
    arguments = self._task.args if module_args is None else module_args
    variables = task_vars or {}
    record(
        variables["inventory_hostname"],
        [name, {key: value for key, value in arguments.items() if not key.startswith("_ansible")}],
    )
    answers = variables["answers"]
    answer = {**ANSWERS.get(name, {}), **answers.get(name, {}), **answers.get(f"{name} {arguments.get('paths')}", {})}
    # What the host has is what the role looks for, unless the variant says otherwise.
    if "look_at" in arguments and "seen" not in answer:
        answer["seen"] = sorted(arguments["look_at"])
    if name == "paste_check":
        answer.setdefault("path", arguments.get("path", ""))
    return {"changed": False, **answer}


ActionBase._execute_module = _execute_module


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core is untyped
    """Writes down with which message a task fails."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "recorder"

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Take the message of a task that has failed."""
        if not ignore_errors:
            record(result._host.get_name(), ["failed", result._result.get("msg", "")])
