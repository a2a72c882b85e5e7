# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of the job handlers of one instance: files, the configuration of the command C(<instance>-handlers), and what Galaxy is told."""

from __future__ import annotations

import dataclasses
import json
import posixpath
from collections.abc import Mapping
from typing import Any

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _handlers
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._control.config import (
    Handler,
    HandlersConfig,
    Manager,
    Watched,
    to_json,
    whole,
)
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._galaxy_options import OTHERS_KEYS, is_yaml
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._mark import MARK
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans import environment, inputs

# An entry of M(galaxyops.uwsgi.file_set)
FileEntry = dict[str, Any]

PREFIX = "job_handlers_"
# The runner of this collection, whose jobs outlive their handler.
DURABLE_RUNNER = "galaxyops_runners:DurableLocalRunner"
# Galaxy's default for the seconds that it waits for each of its threads as it stops.
JOIN_TIMEOUT = 30
SCHEDULERS = "workflow_schedulers_config_file"


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The inputs of the role that the plan is made of, by their names without the prefix."""

    assign_with: list[str]
    chdir: str
    config_file: str
    default: Any
    drain_timeout: int
    environment: dict[str, Any]
    galaxy_config_file: str
    group: str
    instance: str
    mode: str
    start_timeout: int
    stop_timeout: int
    supervisor_conf_dir: str
    user: str
    virtualenv: str
    watch: list[str]
    # A number, or a list: the input that has the name of the role.
    handlers: Any
    # The service manager that there is, or that is wanted.
    manager: Manager
    # The directory of the templates that roles share.
    templates: str


@dataclasses.dataclass(frozen=True)
class Found:
    """What preflight has found, and what the job configuration has besides handlers, once they are registered."""

    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    runners: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    # A job configuration in a galaxy.yml has all that the role would write.
    is_inline: bool = False
    # The job configuration that Galaxy reads anyway.
    job_config_file: str = ""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Found:
        """Return what the role remembers: I(checked) by preflight, I(registered), and the Galaxy I(on_host)."""
        checked = values.get("checked") or {}
        jobs = checked.get("job_config") or {}
        runners = (values.get("registered") or {}).get("runners")
        return cls(
            options=dict((checked.get("options") or {}).get("app:main") or {}),
            runners=list(jobs.get("runners") or [] if runners is None else runners),
            is_inline=bool(jobs.get("inline")),
            job_config_file=(values.get("on_host") or {}).get("job_config_file") or "",
        )


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that the role does for one instance."""

    # The handlers that take jobs, as a job configuration has them; the ids of those that schedule workflows; what each process is started from.
    of_jobs: list[dict[str, Any]]
    schedulers: list[str]
    previous_ids: list[str]
    processes: dict[str, Handler]
    # The names of all environment variables that handlers have.
    variables: list[str]
    is_inline: bool
    # What galaxy.ini has to say about handlers, and with what an earlier run has set and nobody needs any more: null removes it.
    app_options: dict[str, str]
    app_changes: dict[str, str | None]
    changes_app: bool
    workflow_config: str
    durable_runner: str
    runners: list[dict[str, Any]]
    ending_runners: list[str]
    has_durable: bool
    stop_seconds: int
    configuration: str
    # The files of the configuration, and those by which a service manager knows the processes.
    configuration_files: list[FileEntry]
    definition_files: list[FileEntry]


def plan(values: Mapping[str, Any], found: Mapping[str, Any]) -> Plan:
    """Return the plan for the inputs I(values) on a host of which the role remembers I(found)."""
    return _Planner(inputs.read(Inputs, values, PREFIX), Found.of(found)).plan()


class _Planner:
    """Computes a plan; each method is one part of it."""

    def __init__(self, wanted: Inputs, found: Found) -> None:
        self.wanted = wanted
        self.found = found
        self.etc = f"/etc/{wanted.instance}"
        self.unit = f"/etc/systemd/system/{wanted.instance}-handler@.service"
        self.programs = f"{wanted.supervisor_conf_dir}/{wanted.instance}-handlers.conf"
        self.runners = f"/usr/local/lib/galaxyops/{wanted.instance}-handlers/runners"
        self.workflow_config = f"{posixpath.dirname(wanted.config_file)}/workflow_schedulers_conf.{wanted.instance}.xml"
        self.handlers = _handlers.expand(wanted.handlers)
        self.schedulers = [handler["id"] for handler in self.handlers if handler["workflow_scheduler"]]
        self.environments = {
            handler["id"]: handler["environment"] for handler in self.handlers if handler["environment"]
        }
        # How jobs find their handlers: every handler takes part in it.
        assignment: Handler = {"assign_with": wanted.assign_with, "default": wanted.default}
        self.processes = _handlers.processes(wanted.handlers, wanted.mode, assignment)
        self.ending_runners = [runner["id"] for runner in found.runners if runner["ends_with_handler"]]

    def plan(self) -> Plan:
        """Return all of it."""
        found = self.found
        app_options = self.app_options()
        app_changes = {**self.app_options_gone(), **app_options}
        configuration = to_json(self.configuration())
        return Plan(
            of_jobs=_handlers.configured(self.wanted.handlers),
            schedulers=self.schedulers,
            previous_ids=[name for handler in self.handlers for name in handler["previous_ids"]],
            processes=self.processes,
            variables=list(
                dict.fromkeys(
                    name for names in (self.wanted.environment, *self.environments.values()) for name in names
                )
            ),
            is_inline=found.is_inline,
            app_options=app_options,
            app_changes=app_changes,
            changes_app={**found.options, **app_changes} != found.options,
            workflow_config=self.workflow_config,
            durable_runner=DURABLE_RUNNER,
            runners=found.runners,
            ending_runners=self.ending_runners,
            has_durable=DURABLE_RUNNER in [runner["load"] for runner in found.runners],
            stop_seconds=self.stop_seconds(),
            configuration=configuration,
            configuration_files=self.configuration_files(configuration),
            definition_files=self.definition_files(),
        )

    def is_yml(self) -> bool:
        """Tell whether Galaxy's options are in a galaxy.yml, which belongs to whoever wrote it."""
        return is_yaml(self.wanted.galaxy_config_file)

    def app_options(self) -> dict[str, str]:
        """Return what Galaxy's configuration has to say about handlers."""
        wanted = self.wanted
        is_read_anyway = self.is_yml() and self.found.job_config_file == wanted.config_file
        found = {} if is_read_anyway else {"job_config_file": wanted.config_file}
        return {**found, **({SCHEDULERS: self.workflow_config} if self.schedulers else {})}

    def app_options_gone(self) -> dict[str, None]:
        """Return what an earlier run has set and nobody needs any more."""
        return {SCHEDULERS: None} if self.found.options.get(SCHEDULERS) == self.workflow_config else {}

    def stop_seconds(self) -> int:
        """Return the seconds that Galaxy waits for its threads as it stops, those of the handler and those of its plugins, and some more."""
        each = _whole(self.found.options.get("monitor_thread_join_timeout", JOIN_TIMEOUT))
        return self.wanted.stop_timeout or each * (3 + 2 * len(self.found.runners)) + 30

    def configuration(self) -> HandlersConfig:
        """Return what the command reads: who and what the handlers are, and what they are started from.

        The web's own section and the list of handlers are left out: neither a uWSGI option nor another handler is a reason to interrupt this one.
        Each has its own settings instead.
        """
        wanted = self.wanted
        units = [f"{wanted.instance}-handler@{name}.service" for name in self.processes]
        environments = f"{self.etc}/handlers-environments.json"
        return HandlersConfig(
            manager=wanted.manager,
            boot_units=units if wanted.manager == "systemd" else [],
            definitions={"systemd": [self.unit], "supervisor": [self.programs]},
            web_command=f"/usr/local/sbin/{wanted.instance}-web",
            user=wanted.user,
            group=wanted.group,
            chdir=wanted.chdir,
            virtualenv=wanted.virtualenv,
            environment_file=f"{self.etc}/handlers.env",
            config_file=wanted.galaxy_config_file,
            python_path=[self.runners],
            handlers=self.processes,
            environments=environments,
            kept=[environments, self.workflow_config],
            start_timeout=wanted.start_timeout,
            stop_timeout=self.stop_seconds(),
            drain_timeout=wanted.drain_timeout,
            ending_runners=self.ending_runners,
            code=wanted.watch,
            watch=self.watch(),
        )

    def watch(self) -> list[Watched]:
        """Return what the handlers are started from. All of them stand in one file for supervisor: there a change of it is none of a handler."""
        wanted = self.wanted
        # What other processes and programs read is no reason to restart a handler.
        config: Watched = {"path": wanted.galaxy_config_file}
        if self.is_yml():
            config["without_keys"] = list(OTHERS_KEYS)
        else:
            config["without_section"] = "uwsgi"
        return [
            config,
            {"path": wanted.config_file, "without_handlers": True},
            {"path": f"{self.etc}/handlers.env"},
            {"path": f"{self.runners}/galaxyops_runners.py", "installed": True},
            {"path": wanted.virtualenv, "link": True},
            *([Watched(path=self.unit)] if wanted.manager == "systemd" else []),
        ]

    def configuration_files(self, configuration: str) -> list[FileEntry]:
        """Return the files that handlers read."""
        kept = {"group": self.wanted.group, "mode": "0640"}
        return [
            {"path": self.etc, "state": "directory", "mode": "0755"},
            {"path": f"{self.etc}/handlers.json", "content": configuration, "mode": "0644"},
            {
                "path": f"{self.etc}/handlers.env",
                "content": environment.environment_file(self.wanted.environment),
                "sensitive": True,
                **kept,
            },
            {
                "path": f"{self.etc}/handlers-environments.json",
                "state": "file" if self.environments else "absent",
                "content": json.dumps(self.environments, indent=4, sort_keys=True, default=_moment) + "\n",
                "sensitive": True,
                **kept,
            },
            {
                "path": self.workflow_config,
                "state": "file" if self.schedulers else "absent",
                "template": "workflow_schedulers_conf.xml.j2",
                **kept,
            },
        ]

    def definition_files(self) -> list[FileEntry]:
        """Return what the service manager knows the processes by."""
        path, template = (
            (self.unit, "systemd/handler@.service.j2")
            if self.wanted.manager == "systemd"
            else (self.programs, "supervisor/handlers.conf.j2")
        )
        return [{"path": path, "template": f"{self.wanted.templates}/{template}", "mark": MARK, "mode": "0644"}]


def _whole(value: Any) -> int:
    """Return the whole number of one of Galaxy's options, and 0 for what is none."""
    try:
        return whole(value)
    except ValueError:
        return 0


def _moment(value: Any) -> str:
    """Return a date or a time, which YAML has and JSON has not, as text."""
    return str(value.isoformat())
