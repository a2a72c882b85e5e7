# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that says which inputs of a role cannot be, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ansible.module_utils.parsing.convert_bool import boolean


def shown(value: Any) -> str:
    """Return I(value) as a message has it."""
    return f"'{value}'" if isinstance(value, str) else str(value)


def in_range(value: Any, least: int | None, most: int | None) -> bool:
    """Tell whether I(value) is a whole number of that range, written as a number or as text."""
    try:
        number = int(float(value)) if isinstance(value, str) else int(value)
    except (OverflowError, TypeError, ValueError):
        return False
    return (least is None or number >= least) and (most is None or number <= most)


def problem(check: Mapping[str, Any]) -> str:
    """Say what is wrong by one check, or return an empty text."""
    # The whole value has to match: $ alone lets a line feed at the end pass.
    name, value, remedy = check["name"], check.get("value"), check.get("remedy", "")
    if check.get("optional") and not value:
        return ""
    if "each" in check:
        if isinstance(value, str):
            return f"{name} is {shown(value)}: write a list"
        wrong = [item for item in value or [] if not re.fullmatch(check["each"], str(item))]
        return f"{name} contains {shown(wrong[0])}: {remedy}" if wrong else ""
    if "range" in check:
        holds = in_range(value, *check["range"])
    elif "match" in check:
        holds = bool(re.fullmatch(check["match"], str(value)))
    else:
        holds = boolean(check["holds"], strict=False)
    return "" if holds else check.get("message") or f"{name} is {shown(value)}: {remedy}"


def input_problems(checks: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say what is wrong with the inputs of a role by I(checks), in their order."""
    return [found for found in map(problem, checks) if found]


class FilterModule:
    """The filter, by the name that the roles use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name -> function."""
        return {"input_problems": input_problems}
