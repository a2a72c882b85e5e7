"""Jobs outlive what happens to their handlers: a restart, a kill -9, and their removal."""

from __future__ import annotations

from typing import Any

import pytest
from galaxy_client import User
from job_run import JobRun

HANDLERS = "molecule/default/handlers_alone.yml"


@pytest.fixture
def jobs(host: Any, site: Any, admin_key: str, note: Any) -> JobRun:
    """Jobs of a user of their own."""
    site.wait("/api/version", 300)
    return JobRun(host, User(site.url, admin_key, "survivor"), note)


def test_jobs_survive_whatever_happens_to_their_handlers(host: Any, play: Any, jobs: JobRun) -> None:
    """Of the jobs some run, some are queued and some are new at each moment: all end well, none runs twice."""
    jobs.submit_to("handler0", "handler1", seconds=20)
    jobs.submit(1, seconds=20)
    jobs.wait_until_running("handler0")
    jobs.wait_until_running("handler1")
    host.check_output("systemctl kill --kill-who=main --signal=KILL galaxy-handler@handler1")
    jobs.submit(1, seconds=2)
    # handler1 is on its way back by itself; handler0 is renamed: it goes, and other0 comes.
    changed = '{"job_handlers": [{"id": "handler1"}, {"id": "other0"}]}'
    result = play(HANDLERS, "--extra-vars", changed)
    assert result.returncode == 0, result.stdout
    assert not host.service("galaxy-handler@handler0").is_running
    assert not host.service("galaxy-handler@handler0").is_enabled
    assert host.service("galaxy-handler@other0").is_enabled
    assert {record["handler"] for record in jobs.records() if record["state"] not in ("ok", "error")} <= {"handler1", "other0"}
    jobs.submit(1, seconds=2)
    host.check_output("galaxy-handlers restart handler1")
    host.check_output("systemctl kill --kill-who=main --signal=KILL galaxy-handler@other0")
    jobs.submit(1, seconds=2)
    jobs.assert_all_ran_once()
    assert {record["handler"] for record in jobs.records()} <= {"handler0", "handler1", "other0"}
