# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that make a plan of the inputs of a role.

What does the work is loaded when it is needed: every process of Ansible that uses any filter loads all files of this directory.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError


def _module(name: str, package: str = "_plans") -> Any:
    return importlib.import_module(f"ansible_collections.galaxyops.uwsgi.plugins.module_utils.{package}.{name}")


def _plain(value: Any) -> Any:
    """Return plain dictionaries and lists in the place of those that Ansible renders only when they are read."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _plan(kind: str, inputs: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dataclasses.asdict(_module(kind).plan(_plain(inputs), _plain(found)))
    except _module("inputs").PlanError as problem:
        raise AnsibleFilterError(str(problem)) from None
    except _module("config", "_control").ConfigError as problem:
        raise AnsibleFilterError(f"the configuration of {kind} is wrong: {problem}") from problem


def nginx_plan(inputs: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan of the site of one instance."""
    return _plan("nginx", inputs, found)


def web_plan(inputs: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan of the web processes of one instance."""
    return _plan("web", inputs, found)


def handlers_plan(inputs: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan of the job handlers of one instance."""
    return _plan("handlers", inputs, found)


def plan_problems(inputs: Mapping[str, Any], kind: str) -> list[str]:
    """Say why no plan can be made of inputs, with one problem at most."""
    module, reader = _module(kind), _module("inputs")
    try:
        reader.read(module.Inputs, _plain(inputs), module.PREFIX)
    except reader.PlanError as problem:
        return [str(problem)]
    return []


class FilterModule:
    """The filters, by the names that the roles use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name -> function."""
        return {
            "handlers_plan": handlers_plan,
            "nginx_plan": nginx_plan,
            "plan_problems": plan_problems,
            "web_plan": web_plan,
        }
