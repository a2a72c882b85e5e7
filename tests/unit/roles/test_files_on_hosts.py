# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration and units on hosts stay byte for byte as they are: a difference replaces processes at every site.

Each file below C(files_on_hosts) holds what a role writes for some inputs. After a change that is meant, write them anew:
C(REWRITE_FILES_ON_HOSTS=1 python -m pytest tests/unit/roles/test_files_on_hosts.py), and read the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import render

EXPECTED = Path(__file__).with_name("files_on_hosts")

TEXT = """\
{% for file in FILES if file.state | default('file') != 'absent' %}
=== {{ file | dict2items | rejectattr('key', 'in', ['content', 'template', 'template_vars']) | items2dict | to_json(sort_keys=true) }}
{% if file.template is defined %}
{{ lookup('ansible.builtin.template', file.template, template_vars=file.template_vars | default({})) }}
{% else %}
{{ file.content | default('') }}
{% endif %}
{% endfor %}
"""

# What a host has for it
ON_HOST: dict[str, Any] = {"__job_handlers_checked": {"options": {}}}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "uwsgi_defaults": ("uwsgi", {}),
    "uwsgi_supervisor": (
        "uwsgi",
        {"uwsgi_service_manager": "supervisor", "uwsgi_handover": "in_place", "uwsgi_health_status": [200, 302]},
    ),
    "uwsgi_addresses": (
        "uwsgi",
        {
            "uwsgi_instance": "training",
            "uwsgi_config_format": "command_line",
            "uwsgi_http_address": "127.0.0.1:8080",
            "uwsgi_log_dir": "/var/log/galaxy",
            "uwsgi_options": {"memory-report": True, "env": ["A=\u00fc", "B=2"]},
            "uwsgi_watch": ["/srv/galaxy/server/.git/HEAD"],
            "job_handlers_mode": "mules",
            "job_handlers": 3,
        },
    ),
    "uwsgi_emperor": (
        "uwsgi",
        {"uwsgi_config_format": "emperor", "uwsgi_install_method": "distribution", "uwsgi_environment": {"A": "b c"}},
    ),
    "handlers_defaults": ("job_handlers", {}),
    "handlers_dynamic": (
        "job_handlers",
        {
            "job_handlers_mode": "dynamic",
            "job_handlers": [
                {"id": "a", "tags": ["x", "y"], "environment": {"TOKEN": 7}, "previous_ids": ["main"]},
                {"id": "w", "workflow_scheduler": True},
                {"id": "b"},
            ],
            "job_handlers_default": "x",
            "job_handlers_stop_timeout": 20,
            "job_handlers_watch": ["/srv/galaxy/server/.git/HEAD"],
            "__job_handlers_registered": {
                "runners": [
                    {"id": "local", "load": "galaxy.jobs.runners.local:LocalJobRunner", "ends_with_handler": True},
                    {"id": "slurm", "load": "galaxy.jobs.runners.drmaa:DRMAAJobRunner", "ends_with_handler": False},
                ]
            },
        },
    ),
    "handlers_supervisor": (
        "job_handlers",
        {"job_handlers_service_manager": "supervisor", "job_handlers_assign_with": ["db-preassign"]},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_configuration_and_units_are_as_before(case: str) -> None:
    role, inputs = CASES[case]
    # The template of a role is found from within the role alone.
    files = f"(__{role}_plan.configuration_files + __{role}_plan.definition_files) | rejectattr('path', 'search', 'workflow_schedulers_conf')"
    found = render.render(role, TEXT.replace("FILES", files), [json.dumps({**ON_HOST, **inputs})])
    path = EXPECTED / f"{case}.txt"
    if os.environ.get("REWRITE_FILES_ON_HOSTS"):
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")
