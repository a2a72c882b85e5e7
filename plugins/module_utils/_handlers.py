# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Job handlers as one list: the model that the job configuration, the processes and their names come from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Union

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._control.config import Handler

# How handlers become known: registered in the job configuration, by attaching themselves to pools, as mules of uWSGI.
STATIC, DYNAMIC, MULES = "static", "dynamic", "mules"

# With these the processes that get a request run its jobs themselves.
SELF_METHODS = ("mem-self", "db-self")

_DEFAULTS: dict[str, Any] = {"tags": [], "plugins": [], "environment": {}, "workflow_scheduler": False, "previous_ids": []}
_KEYS = {"id", *_DEFAULTS}
_REMEDY = "write a number such as 2, or a list such as [{id: handler0}, {id: cluster0, tags: [cluster]}]"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

Handlers = Union[int, str, list[Any]]


def expand(handlers: Handlers) -> list[dict[str, Any]]:
    """Return the handlers as a list of dictionaries; a number N stands for handler0 to handler(N-1)."""
    named = handlers if isinstance(handlers, list) else [{"id": f"handler{number}"} for number in range(int(handlers))]
    return [{**_DEFAULTS, **handler} for handler in named]


def configured(handlers: Handlers) -> list[dict[str, Any]]:
    """Return the handlers that take jobs, as a job configuration has them."""
    return [{key: handler[key] for key in ("id", "tags", "plugins")} for handler in expand(handlers) if not handler["workflow_scheduler"]]


def pools(handler: dict[str, Any]) -> list[str]:
    """Return the pools that stand for the tags of a handler."""
    return [f"job-handlers.{tag}" for tag in handler["tags"]] or ["job-handlers"]


def processes(handlers: Handlers, mode: str, assignment: Handler) -> dict[str, Handler]:
    """Return what each process is started from, by its name; an environment, which may be secret, is left out.

    The I(assignment) tells how jobs find their handlers: every handler of jobs takes part in it.
    """
    found: dict[str, Handler] = {}
    for handler in expand(handlers) if mode != MULES else ():
        started: Handler = {"id": handler["id"]}
        if handler["workflow_scheduler"]:
            started["workflow_scheduler"] = True
        else:
            started.update({"tags": handler["tags"], "plugins": handler["plugins"], **assignment})
            if mode == DYNAMIC:
                started["pools"] = pools(handler)
        # Without previous ids the settings are those of earlier releases of the role, so no handler is restarted for nothing.
        if handler["previous_ids"]:
            started["previous_ids"] = handler["previous_ids"]
        found[handler["id"]] = started
    return found


def mules(handlers: Handlers) -> list[str]:
    """Return what makes uWSGI run the handlers as mules, on its command line."""
    farms: dict[str, list[str]] = {}
    found = expand(handlers)
    for number, handler in enumerate(found, 1):
        farms.setdefault(pools(handler)[0], []).append(str(number))
    # Galaxy guards the messages to each farm by a lock; uWSGI has one anyway.
    locks = [f"--locks={len(farms) - 1}"] if len(farms) > 1 else []
    return ["--mule=lib/galaxy/main.py"] * len(found) + [f"--farm={farm}:{','.join(numbers)}" for farm, numbers in farms.items()] + locks


def problems(handlers: Any, mode: str = STATIC, assign_with: Sequence[str] = ()) -> list[str]:
    """Say what is wrong with the handlers that a user asks for, and what to write instead."""
    if isinstance(handlers, bool) or not isinstance(handlers, (int, str, list)):
        return [f"job_handlers is {handlers!r}: {_REMEDY}"]
    if not isinstance(handlers, list):
        if not re.fullmatch(r"\d+", str(handlers)) or int(handlers) > 1000:
            return [f"job_handlers is {handlers!r}: {_REMEDY}, from 0 to 1000"]
    else:
        found = list(_list_problems(handlers))
        if found:
            return found
        found = list(_previous_problems(handlers))
        if found:
            return found
    return [*_mode_problems(expand(handlers), mode), *_nobody(handlers, assign_with)]


def _list_problems(handlers: list[Any]) -> Iterator[str]:
    """What is wrong with each handler as it is written."""
    seen: set[str] = set()
    for position, handler in enumerate(handlers):
        where = f"job_handlers[{position}]"
        if not isinstance(handler, dict) or "id" not in handler:
            yield f"{where} is {handler!r}, which has no id: {_REMEDY}"
            continue
        name = handler["id"]
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", name):
            yield f"{where}.id is {name!r}: use letters, digits, '_', '.' and '-', at most 63 of them"
        elif name in seen:
            yield f"{where}.id is {name!r}, which stands in the list twice: give every handler an id of its own"
        else:
            seen.add(name)
        unknown = sorted(set(map(str, handler)) - _KEYS)
        if unknown:
            yield f"{where} has {', '.join(unknown)}: a handler has {', '.join(sorted(_KEYS))}"
        for key, example in (("tags", "cluster"), ("plugins", "cluster"), ("previous_ids", "main")):
            value = handler.get(key, [])
            if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
                yield f"{where}.{key} is {value!r}: write a list of names, such as [{example}]"
        yield from _environment_problems(where, handler.get("environment", {}))
        scheduler = handler.get("workflow_scheduler", False)
        if not isinstance(scheduler, bool):
            yield f"{where}.workflow_scheduler is {scheduler!r}: write true or false"
        elif scheduler and (handler.get("tags") or handler.get("plugins")):
            yield f"{where} is a workflow scheduler, which takes no jobs: remove its tags and plugins, or make another handler for jobs"


def _previous_problems(handlers: list[dict[str, Any]]) -> Iterator[str]:
    """Which previous ids belong to more than one handler: two of them would run the same jobs."""
    owners = {handler["id"]: handler["id"] for handler in handlers}
    for handler in handlers:
        for name in handler.get("previous_ids", []):
            owner = owners.setdefault(name, handler["id"])
            if owner != handler["id"] or name == handler["id"]:
                yield f"job_handlers: {handler['id']} has the previous id {name!r}, which {owner} has: an id belongs to one handler, remove one of the two"


def _environment_problems(where: str, environment: Any) -> Iterator[str]:
    """What is wrong with an environment, without what may be secret in it."""
    if not isinstance(environment, dict):
        yield f"{where}.environment is a {type(environment).__name__}: write names and values, such as {{MALLOC_ARENA_MAX: 2}}"
        return
    for name, value in environment.items():
        if not _VARIABLE.match(str(name)):
            yield f"{where}.environment has {name!r}, which is not the name of an environment variable: use letters, digits and '_'"
        elif isinstance(value, (dict, list)) or value is None:
            yield f"{where}.environment.{name} is a {type(value).__name__}: write text or a number"


def _mode_problems(handlers: list[dict[str, Any]], mode: str) -> Iterator[str]:
    """What a handler may have only when it is registered, or has a process of its own."""
    if mode == STATIC:
        return
    names = {handler["id"] for handler in handlers}
    for handler in handlers:
        where = f"job_handlers: {handler['id']}"
        if handler["plugins"]:
            yield f"{where} has plugins, which Galaxy reads for registered handlers only: remove them, or set job_handlers_mode to static"
        for tag in handler["tags"]:
            if tag in names:
                yield f"{where} has the tag {tag!r}, which is also the id of a handler: rename one of the two"
        if mode == MULES and (handler["environment"] or handler["workflow_scheduler"] or handler["previous_ids"]):
            keys = "environment, workflow_scheduler or previous_ids"
            yield f"{where} has {keys}, which a mule of uWSGI cannot have: remove them, or set job_handlers_mode to static"
        if mode == MULES and len(handler["tags"]) > 1:
            yield f"{where} has {len(handler['tags'])} tags, and a mule of uWSGI can have one: make a handler for each"


def _nobody(handlers: Handlers, assign_with: Sequence[str]) -> list[str]:
    """Whether there is nobody to run jobs."""
    if not assign_with or configured(handlers) or set(assign_with) & set(SELF_METHODS):
        return []
    return [f"job_handlers has no handler that takes jobs, so with {', '.join(assign_with)} jobs would wait for ever: {_REMEDY}"]
