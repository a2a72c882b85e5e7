# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan of web processes is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._control.config import Handover, Manager


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The inputs of the role that the plan is made of, by their names without the prefix, and what belongs to others."""

    allow_interruption: bool
    chdir: str
    config_file: str
    config_format: str
    environment: dict[str, Any]
    group: str
    handover: Handover
    hardening: bool
    health_path: str
    health_status: list[int]
    http_address: str
    install_method: str
    instance: str
    job_config_file: str
    listen: str
    listen_address: str
    log_dir: str
    max_requests: int
    options: dict[str, Any]
    package: str
    paste_app: str
    processes: int
    processes_min: int
    socket_group: str
    start_timeout: int
    stop_timeout: int
    supervisor_conf_dir: str
    threads: int
    user: str
    virtualenv: str
    watch: list[str]
    # The service manager that there is, or that is wanted.
    manager: Manager
    debian: str
    # The directory of the templates that roles share.
    templates: str
    # Inputs of the role job_handlers
    handlers: Any
    handlers_mode: str
    handlers_state: str
    handlers_assign_with: list[str]


@dataclasses.dataclass(frozen=True)
class Found:
    """What preflight has found on the host; the role remembers it with the inputs that it was found for."""

    inputs: str = ""
    changing: list[str] = dataclasses.field(default_factory=lambda: ["uwsgi"])
    satisfies: bool = False
    seen: list[str] = dataclasses.field(default_factory=list)
    # Whether systemd can start a service with a filter of system calls.
    system_call_filter: bool = True
    # Packages in the virtualenv that bring a uWSGI.
    packages: list[str] = dataclasses.field(default_factory=list)
    # The Galaxy on the host, or the one that this run installs.
    galaxy_version: str = ""
    # Another Galaxy has a virtualenv of its own, in which nothing was found yet.
    has_new_virtualenv: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Found:
        """Return what the role remembers."""
        checked = values.get("checked") or {}
        names = [field.name for field in dataclasses.fields(cls)]
        kept = {name: checked[name] for name in names if name in checked}
        return cls(**{**kept, **{name: values[name] for name in names if name in values}})

    def for_inputs(self, inputs: str) -> Found:
        """Return what of it counts for these inputs."""
        if self.inputs == inputs:
            return self
        return dataclasses.replace(self, changing=["uwsgi"], satisfies=False, seen=[])
