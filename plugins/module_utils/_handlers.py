# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Job handlers as one list: the model that the job configuration, the processes and their names come from."""

from __future__ import annotations

import re
from typing import Any, Union

_KEYS = {"id", "tags", "plugins"}
_REMEDY = "write a number such as 2, or a list such as [{id: handler0}, {id: cluster0, tags: [cluster]}]"


def expand(handlers: Union[int, str, list[Any]]) -> list[dict[str, Any]]:
    """Return the handlers as a list of dictionaries; a number N stands for handler0 to handler(N-1)."""
    if isinstance(handlers, list):
        return [{"tags": [], "plugins": [], **handler} for handler in handlers]
    return [{"id": f"handler{number}", "tags": [], "plugins": []} for number in range(int(handlers))]


def problems(handlers: Any) -> list[str]:
    """Say what is wrong with the handlers that a user asks for, and what to write instead."""
    if isinstance(handlers, bool) or not isinstance(handlers, (int, str, list)):
        return [f"job_handlers is {handlers!r}: {_REMEDY}"]
    if not isinstance(handlers, list):
        if not re.fullmatch(r"\d+", str(handlers)) or int(handlers) > 1000:
            return [f"job_handlers is {handlers!r}: {_REMEDY}, from 0 to 1000"]
        return []
    found = []
    seen: set[str] = set()
    for position, handler in enumerate(handlers):
        where = f"job_handlers[{position}]"
        if not isinstance(handler, dict) or "id" not in handler:
            found.append(f"{where} is {handler!r}, which has no id: {_REMEDY}")
            continue
        name = handler["id"]
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", name):
            found.append(f"{where}.id is {name!r}: use letters, digits, '_', '.' and '-', at most 63 of them")
        elif name in seen:
            found.append(f"{where}.id is {name!r}, which stands in the list twice: give every handler an id of its own")
        else:
            seen.add(name)
        unknown = sorted(set(map(str, handler)) - _KEYS)
        if unknown:
            found.append(f"{where} has {', '.join(unknown)}: a handler has {', '.join(sorted(_KEYS))}")
        for key in ("tags", "plugins"):
            value = handler.get(key, [])
            if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
                found.append(f"{where}.{key} is {value!r}: write a list of names, such as [cluster]")
    return found
