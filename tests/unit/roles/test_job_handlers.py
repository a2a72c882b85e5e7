# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role job_handlers renders, as those who read it see it."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TOP = Path(__file__).resolve().parents[3]


def render(template: str, **variables: Any) -> str:
    """Render a template as Ansible does."""
    environment = Environment(loader=FileSystemLoader(TOP), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    return environment.get_template(template).render(variables)


def test_schedulers_are_chosen_by_the_web_processes_and_know_old_workflows() -> None:
    root = ElementTree.fromstring(render("roles/job_handlers/templates/workflow_schedulers_conf.xml.j2", __job_handlers_plan={"schedulers": ["w0", "w1"]}))
    # Galaxy calls it "default" where it has no configuration, and that name stands in the database.
    assert (root.get("default"), [core.get("id") for core in root.findall("core")]) == ("default", ["default"])
    (handlers,) = root.findall("handlers")
    assert handlers.attrib == {"assign_with": "db-preassign"}
    assert [handler.attrib for handler in handlers] == [{"id": "w0"}, {"id": "w1"}]


def test_supervisor_runs_each_handler_as_a_program_of_its_own() -> None:
    variables = {"job_handlers_instance": "galaxy", "__job_handlers_command": "/usr/local/sbin/galaxy-handlers"}
    parser = ConfigParser(interpolation=None)
    plan = {"processes": {"handler0": {}, "w0": {}}, "stop_seconds": 180}
    parser.read_string(render("templates/supervisor/handlers.conf.j2", __job_handlers_plan=plan, **variables))
    # No group: supervisor stops a group as a whole to add one to it.
    assert parser.sections() == ["program:galaxy-handler-handler0", "program:galaxy-handler-w0"]
    assert parser["program:galaxy-handler-w0"]["command"] == "/usr/local/sbin/galaxy-handlers become w0"
    assert parser["program:galaxy-handler-w0"]["stopwaitsecs"] == "180"
