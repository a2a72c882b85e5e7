# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inputs of a role as typed values.

Ansible checks the types of inputs by the argument specification of a role and then hands over each one as it was written: C("8080") where a number
is meant, C("yes") for true, C(200) or C("a,b") for a list.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._control.config import parts, whole

Kind = TypeVar("Kind")


class PlanError(Exception):
    """An input that no plan can be made of; the message names it."""


def read(kind: type[Kind], values: Mapping[str, Any], prefix: str) -> Kind:
    """Return I(values) as an instance of the dataclass I(kind), each with the type of its field; a message has I(prefix) before a name."""
    types = typing.get_type_hints(kind)
    fields = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]  # a dataclass, which has no type of its own
    return kind(**{name: _converted(f"{prefix}{name}", values[name], types[name]) for name in fields})


def _converted(name: str, value: Any, kind: Any) -> Any:
    """Return one value with the type of its field."""
    if kind is bool:
        return boolean(value, strict=False)
    if kind is int:
        return _whole(f"{name} is", value)
    if kind is str:
        return "" if value is None else str(value)
    if typing.get_origin(kind) is typing.Literal:
        choices = typing.get_args(kind)
        if value not in choices:
            raise PlanError(f"{name} is {value!r}: write {' or '.join(choices)}")
        return value
    if typing.get_origin(kind) is list:
        if isinstance(value, (str, int, float)):
            value = parts(str(value))
        if not isinstance(value, (list, tuple)):
            raise PlanError(f"{name} is {value!r}: write a list")
        (item,) = typing.get_args(kind)
        return [_whole(f"{name} contains", one) if item is int else str(one) for one in value]
    if typing.get_origin(kind) is dict:
        if not isinstance(value, Mapping):
            raise PlanError(f"{name} is {value!r}: write a dictionary")
        return dict(value)
    return value


def _whole(before: str, value: Any) -> int:
    """Return a whole number, written as a number or as text; I(before) stands in front of the value in a message."""
    try:
        return whole(value)
    except ValueError:
        raise PlanError(f"{before} {value!r}: write a whole number") from None
