"""Handlers that attach themselves to pools instead of standing in the job configuration, and one that schedules workflows."""

from __future__ import annotations

import json
from typing import Any

import yaml
from galaxy_client import User

HANDLERS = [
    {"id": "dynamic0", "environment": {"OWN_TOKEN": "secret-of-dynamic0"}},
    {"id": "special0", "tags": ["special"]},
    {"id": "workflow0", "workflow_scheduler": True},
]
# Those of the scenario take jobs by a tag.
VARIABLES = {"job_handlers_mode": "dynamic", "job_handlers": HANDLERS, "job_handlers_default": ""}
SCHEDULERS = "su postgres -c \"psql --tuples-only --no-align galaxy -c 'select handler, state from workflow_invocation'\""


def test_dynamic_handlers_run_jobs_and_a_scheduler_workflows(host: Any, site: Any, play: Any, admin_key: str) -> None:
    result = play("molecule/default/handlers_alone.yml", "--extra-vars", json.dumps(VARIABLES))
    assert result.returncode == 0, result.stdout
    assert "processes" not in yaml.safe_load(host.check_output("cat /srv/galaxy/config/job_conf.yml"))["handling"]
    user = User(f"{site.url}/galaxy", admin_key, "dynamic")
    dataset, upload = user.upload("b\na\n")
    assert user.wait(upload)["handler"] == "dynamic0"
    assert user.wait(user.sort_by_workflow(dataset))["handler"] == "dynamic0"
    handler, state = host.check_output(SCHEDULERS).split("|")
    assert (handler, state in ("scheduled", "completed")) == ("workflow0", True)
    assert host.run("galaxy-handlers status").rc == 0
