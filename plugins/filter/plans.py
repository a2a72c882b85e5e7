# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that make a plan of the inputs of a role.

What does the work is loaded when it is needed: every process of Ansible that uses any filter loads all files of this directory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError


def nginx_plan(inputs: Mapping[str, Any], checked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan of the site of one instance."""
    from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans import nginx
    from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans.inputs import PlanError

    try:
        return dataclasses.asdict(nginx.plan(inputs, checked))
    except PlanError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filters, by the names that the roles use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name -> function."""
        return {"nginx_plan": nginx_plan}
