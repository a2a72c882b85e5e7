# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of a host that are misspelled inputs of a role."""

from __future__ import annotations

DOCUMENTATION = r"""
name: unknown_variables
short_description: The variables of a host that are misspelled inputs of a role
version_added: 1.1.0
description:
  - Ansible ignores a variable that nothing reads. This lookup returns a message for each variable that looks like an input of a role of this
    collection and is none, with the input that was meant. Only the names of variables are read, and nothing is asked of the host.
  - A variable that begins with C(uwsgi_), C(nginx_proxy_) or C(job_handlers_), or resembles an input of these roles, is returned. One that
    resembles an input of the role P(galaxyops.uwsgi.galaxy#role) is warned of, because the variables of many roles begin with C(galaxy_).
  - Variables of C(galaxyproject.galaxy) and C(usegalaxy_eu.galaxy_systemd) are known.
author:
  - Galaxy operators (@galaxyops)
options:
  _terms:
    description: The roles whose inputs are looked at, by their short names.
    type: list
    elements: str
    required: true
  allowed:
    description: Names of variables that are for something else.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Check the names of the variables
  ansible.builtin.assert:
    that: query('galaxyops.uwsgi.unknown_variables', 'uwsgi', 'nginx_proxy') | length == 0
"""

RETURN = r"""
_list:
  description: A message for each variable that is an error.
  type: list
  elements: str
"""

from typing import Any, Optional

from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display

from ansible_collections.galaxyops.uwsgi.plugins.filter.servers import role_inputs
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _inputs


class LookupModule(LookupBase):  # type: ignore[misc]  # ansible-core is untyped
    """The lookup, as Ansible calls it."""

    def run(self, terms: list[str], variables: Optional[dict[str, Any]] = None, **kwargs: Any) -> list[str]:
        """Return the errors, and warn of the rest."""
        self.set_options(var_options=variables, direct=kwargs)
        errors, warnings = _inputs.problems(variables or {}, terms, role_inputs(), self.get_option("allowed"))
        for warning in warnings:
            # Ansible prints the same warning once, however many hosts and roles have it.
            Display().warning(warning)
        return errors
