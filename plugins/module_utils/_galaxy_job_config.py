# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the job configuration that a Galaxy reads, and check one that stands inside of galaxy.yml, which nobody edits."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy as galaxy
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _job_conf as job_conf
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _job_conf_names as job_conf_names
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._handlers import STATIC
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._job_conf import Handler, Handling, YamlJobConf
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_ini import Application

with contextlib.suppress(ImportError):
    import yaml  # type: ignore[import-untyped,unused-ignore]

INLINE = "job_config"
FILE = "job_config_file"
# Galaxy's own names, the newer first
_DEFAULTS = ("job_conf.yml", "job_conf.xml")
# Galaxy reads this first of all directories as that of the configuration, whatever that is called.
_OLD_DIRECTORY = "config/"

# What the messages about a file name as the input, and what has to be written instead
_INPUTS = {
    "job_handlers_assign_with": f"handling.assign below {INLINE}",
    "job_handlers_max_grab": f"handling.max_grab below {INLINE}",
    "job_handlers_ready_window_size": f"handling.ready_window_size below {INLINE}",
    "job_handlers_default": f"handling.default below {INLINE}",
}


@dataclass(frozen=True)
class JobConfig:
    """Where a Galaxy reads how jobs run: the file, which is galaxy.yml where it stands in there, from a line on; empty for Galaxy's defaults."""

    path: str = ""
    inline: Optional[YamlJobConf] = None
    line: int = 0


def locate(
    application: Application, path: str, server_dir: str, nested: Mapping[str, Any], nodes: Mapping[str, Any]
) -> JobConfig:
    """Find the job configuration of a Galaxy that has its options in the file at I(path).

    The options I(nested), with their I(nodes), are those that are no text.
    """
    if isinstance(nested.get(INLINE), dict):
        inline = YamlJobConf(path, nodes[INLINE], nested[INLINE])
        return JobConfig(path, inline, application.places[INLINE].line)
    if FILE in application.unreadable:
        return JobConfig()
    directory = os.path.join(server_dir, application.values.get("config_dir") or os.path.dirname(path))
    named = application.values.get(FILE)
    if named == "":
        return JobConfig()
    if named is None:
        found = [os.path.join(directory, name) for name in _DEFAULTS]
        return JobConfig(next(filter(os.path.exists, found), ""))
    candidates = [os.path.join(directory, named), os.path.join(server_dir, named)]
    if named.startswith(_OLD_DIRECTORY):
        candidates.insert(0, os.path.join(directory, named[len(_OLD_DIRECTORY) :]))
    # What is relative to a directory that nobody knows is nowhere.
    absolute = [os.path.normpath(candidate) for candidate in candidates if os.path.isabs(candidate)]
    return JobConfig(next(filter(os.path.exists, absolute), absolute[0] if absolute else ""))


def option_findings(application: Application, nested: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with the options of a Galaxy that say where its job configuration is."""
    place = application.places.get(INLINE)
    if place and INLINE not in application.unreadable and not isinstance(nested.get(INLINE), dict):
        value = nested.get(INLINE, application.values.get(INLINE))
        what = "empty" if not value else "a list" if isinstance(value, list) else "text"
        message = (
            f"is {what}, and Galaxy dies of a job configuration that is no mapping, which only a galaxy.yml can hold: "
            f"name a file with the job configuration in {FILE}, and remove the line"
        )
        yield Finding(place.path, place.line, "error", message, place.section, INLINE)
    elif place and application.values.get(FILE):
        own = application.places[FILE]
        where = f" in line {place.line}" if place.line else ""
        message = f"Galaxy reads {INLINE}{where} and takes no notice of this file: remove one of the two"
        yield Finding(own.path, own.line, "error", message, own.section, FILE)


def check_inline(
    found: JobConfig,
    wanted: Optional[Handling],
    attached: tuple[Handler, ...],
    version: galaxy.Galaxy,
    mode: str = STATIC,
    schedulers: bool = False,
) -> tuple[list[Finding], Handling]:
    """What is wrong with a job configuration inside of galaxy.yml, and what it says.

    Nobody edits it, so it has to have the handlers of I(wanted), where somebody says which; jobs can be given to the I(attached) handlers
    too, which are not in it. The other arguments are those of C(galaxy.handling_findings).
    """
    inline = found.inline
    if inline is None:
        return [], Handling()
    if version.before(20, 5):
        message = f"{version} does not read {INLINE}, which came with 20.05: name a job_conf.xml in {FILE}"
        return [Finding(found.path, found.line, "error", message, "", INLINE)], Handling()
    try:
        handling = job_conf.read_yaml(inline)
        references = job_conf.yaml_references(inline)
    except job_conf.JobConfError as error:
        return _in_place(error.findings, found), Handling()
    names = job_conf_names.from_yaml(inline.root)
    findings = [
        *job_conf.runner_problems(inline.data, found.path, found.line),
        *job_conf_names.unknown_keys(names, found.path),
        *job_conf_names.problems(names, handling.handlers, found.path),
        *job_conf.handler_problems(handling.handlers, found.path),
        *job_conf.pool_problems(handling, found.path),
    ]
    if wanted is not None:
        findings += _difference(handling, wanted, found)
        running = [handler.id for handler in (*wanted.handlers, *attached)]
        findings += job_conf.idle_problems(handling, running, found.path)
    findings += _assignment(handling, wanted, found, version)
    handling = replace(handling, handlers=(*handling.handlers, *attached))
    findings += job_conf.routing_problems(handling, references, found.path)
    if handling.handlers or handling.assign_with:
        findings += galaxy.handling_findings(handling, found.path, version, mode, schedulers)
    placed = [*_in_place(findings, found), *(_settings(handling, wanted, found) if wanted is not None else ())]
    return sorted(placed, key=lambda finding: finding.line), handling


# These inputs set nothing by default, so that whoever sets one wants Galaxy to have it.
_SETTINGS = ("default", "max_grab", "ready_window_size")


def _settings(handling: Handling, wanted: Handling, found: JobConfig) -> Iterator[Finding]:
    """The settings that somebody wants and that the job configuration does not have, which nobody writes."""
    for name in _SETTINGS:
        value, now = getattr(wanted, name), getattr(handling, name)
        if value is not None and value != now:
            own = f"job_handlers_{name}"
            message = (
                f"{own} is {value}, and the roles never write a galaxy.yml, where {'it is not set' if now is None else f'it is {now}'}: "
                f"write '{name}: {value}' below handling, or leave {own} out"
            )
            yield Finding(found.path, handling.line or found.line, "error", message, "", INLINE)


def _in_place(findings: list[Finding], found: JobConfig) -> list[Finding]:
    """The findings with a line, and with what has to be written here instead of an input."""
    placed = []
    for finding in findings:
        message = finding.message
        for variable, instead in _INPUTS.items():
            message = message.replace(variable, instead)
        placed.append(
            replace(finding, line=finding.line or found.line, message=message, option=finding.option or INLINE)
        )
    return sorted(dict.fromkeys(placed), key=lambda finding: finding.line)


def _difference(handling: Handling, wanted: Handling, found: JobConfig) -> list[Finding]:
    """The handlers that are going to run and are not, or not like that, in the job configuration."""
    missing = [
        handler
        for handler in wanted.handlers
        if handler.id not in handling.by_id or not handler.same_as(handling.by_id[handler.id])
    ]
    if not missing:
        return []
    processes = {
        handler.id: {
            **({"tags": list(handler.tags)} if handler.tags else {}),
            **({"plugins": list(handler.plugins)} if handler.plugins else {}),
        }
        for handler in wanted.handlers
    }
    methods = handling.assign_with or wanted.assign_with
    settings = {name: getattr(wanted, name) or getattr(handling, name) for name in _SETTINGS}
    written = {
        **({"assign": list(methods)} if methods else {}),
        **{name: value for name, value in settings.items() if value is not None},
        "processes": processes,
    }
    shown = yaml.safe_dump({"handling": written}, default_flow_style=True, sort_keys=False, width=2**31 - 1).strip()[
        1:-1
    ]
    message = (
        f"the handlers {', '.join(handler.id for handler in missing)} of job_handlers are not so in handling.processes, and the roles never write a "
        f"galaxy.yml: write '{shown}' there, or set job_handlers_mode to dynamic"
    )
    return [Finding(found.path, handling.line or found.line, "error", message, "", INLINE)]


def _assignment(
    handling: Handling, wanted: Optional[Handling], found: JobConfig, version: galaxy.Galaxy
) -> list[Finding]:
    """Whether it says how jobs get to handlers that are not registered: else all web processes are handlers too."""
    if handling.assign_with or handling.handlers or (wanted is not None and wanted.handlers):
        return []
    default = "db-skip-locked" if version.database not in ("", "sqlite") else "db-transaction-isolation"
    methods = wanted.assign_with if wanted is not None and wanted.assign_with else (default,)
    message = (
        f"handling.assign is missing, and with Galaxy's default the web processes run jobs too: write 'handling: {{assign: [{', '.join(methods)}]}}' "
        f"below {INLINE}"
    )
    severity = "warning" if wanted is None else "error"
    return [Finding(found.path, handling.line or found.line, severity, message, "", INLINE)]
