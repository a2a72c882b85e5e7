# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vars of a role are constants and what a plan is made of. What a run finds out is for tasks, and what depends on it is for a plan."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROLES = Path(__file__).resolve().parents[2] / "roles"
# The lines that there may be: as many as the inputs and constants take.
PLANNED = {"job_handlers": 60, "nginx_proxy": 80, "uwsgi": 100}
REGISTERED = re.compile(r"(?m)^ *register: (\w+)$")
SET = re.compile(r"(?m)^ *ansible\.builtin\.set_fact:\n((?: +.*\n)+?)(?: *(?:when|vars|no_log|loop):|\n|\Z)")


def found_by_tasks() -> set[str]:
    """The variables that any task of any role registers or sets."""
    texts = [path.read_text() for path in ROLES.glob("*/tasks/*.yml")]
    registered = {name for text in texts for name in REGISTERED.findall(text)}
    return registered | {
        name for text in texts for block in SET.findall(text) for name in re.findall(r"(?m)^ +(__\w+):", block)
    }


def test_what_tasks_find_is_known_here() -> None:
    assert {
        "__nginx_proxy_plan",
        "__uwsgi_checked",
        "__job_handlers_registered",
        "__galaxy_on_host",
    } <= found_by_tasks()


@pytest.mark.parametrize("role", sorted(PLANNED))
def test_vars_depend_on_nothing_that_a_task_finds(role: str) -> None:
    text = (ROLES / role / "vars" / "main.yml").read_text()
    assert not set(re.findall(r"__\w+", text)) & found_by_tasks()


@pytest.mark.parametrize("role", sorted(PLANNED))
def test_vars_make_up_no_names_and_are_short(role: str) -> None:
    text = (ROLES / role / "vars" / "main.yml").read_text()
    assert not re.search(r"(lookup|query)\('(ansible\.builtin\.)?(vars|varnames)'|hostvars|\bvars\[", text)
    assert len(text.splitlines()) < PLANNED[role]
