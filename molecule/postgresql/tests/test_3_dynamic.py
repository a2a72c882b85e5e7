"""Handlers that attach themselves to pools instead of standing in the job configuration, and one that schedules workflows."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from galaxy_client import User
from memory import MemoryWatch
from slots import serving
from streams import Streams
from workers import wait_for_a_swept_broker, wait_for_names

# What becomes of their tags and their own environment is seen with another Galaxy.
HANDLERS = [{"id": "dynamic0"}, {"id": "workflow0", "workflow_scheduler": True}]
# Those of the scenario take jobs by a tag.
VARIABLES = {"job_handlers_mode": "dynamic", "job_handlers": HANDLERS, "job_handlers_default": ""}
SCHEDULERS = "su postgres -c \"psql --tuples-only --no-align galaxy -c 'select handler, state from workflow_invocation'\""


@pytest.mark.load(get=20, get_path="/galaxy/api/version", post=0, slow=0)
def test_the_web_processes_are_replaced_while_the_site_serves(host: Any, site: Any, play: Any, load: Any, note: Any) -> None:
    """They have to learn that no handler stands in the job configuration any more."""
    slot = serving(host, "galaxy")
    wait_for_names(host)
    with Streams(site.url, 50, "/galaxy/api/events/stream") as streams:
        streams.wait()
        with load.window(), MemoryWatch(host, "galaxy") as memory:
            result = play("molecule/default/handlers_alone.yml", "--extra-vars", json.dumps(VARIABLES))
        report = load.stop()
        streams.wait()
    assert (streams.statuses, streams.ends) == ({"200": 100}, {"ended": 50})
    wait_for_names(host)
    note(str(memory))
    assert result.returncode == 0, result.stdout
    assert memory.seen[0] < max(memory.seen) < 3 * memory.seen[0]
    assert serving(host, "galaxy") != slot
    assert report.failures == []
    assert report.rate("get") > 19
    assert list(report.versions) == ["26.1.2"]
    assert "processes" not in yaml.safe_load(host.check_output("cat /srv/galaxy/config/job_conf.yml"))["handling"]


def test_nothing_in_the_broker_is_for_processes_that_are_gone(host: Any) -> None:
    """No message and no queue of the previous slot, the candidate, and the handlers that were removed or killed."""
    wait_for_names(host)
    wait_for_a_swept_broker(host)


def test_dynamic_handlers_run_jobs_and_a_scheduler_workflows(host: Any, site: Any, admin_key: str) -> None:
    user = User(f"{site.url}/galaxy", admin_key, "dynamic")
    dataset, upload = user.upload("b\na\n")
    assert user.wait(upload)["handler"] == "dynamic0"
    assert user.wait(user.sort_by_workflow(dataset))["handler"] == "dynamic0"
    handler, state = host.check_output(SCHEDULERS).split("|")
    assert (handler, state in ("scheduled", "completed")) == ("workflow0", True)
    assert host.run("galaxy-handlers status").rc == 0
