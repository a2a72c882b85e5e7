"""A handler is removed while the jobs it has run and wait: another takes them all, and nothing else is touched."""

from __future__ import annotations

import json
from typing import Any

from galaxy_client import User
from job_run import JobRun

HANDLERS = [{"id": "special0", "tags": ["special"]}, {"id": "other0", "tags": ["handlers"]}]


def pid(host: Any, unit: str) -> str:
    """The main process of a unit."""
    return str(host.check_output("systemctl show --property=MainPID --value %s", unit))


def test_a_removed_handler_hands_its_jobs_to_one_of_the_same_tag(host: Any, site: Any, play: Any, admin_key: str, note: Any) -> None:
    """Of 7 jobs four run as their handler is killed and then removed, one is queued in it, and the rest is new.

    What it has ended before it goes is its own: a slow machine may give it the time.
    """
    jobs = JobRun(host, User(f"{site.url}/galaxy", admin_key, "survivor"), note)
    jobs.submit(5, seconds=20)
    jobs.wait_until_running("handler0")
    before = [pid(host, unit) for unit in ("galaxy-web@1", "galaxy-handler@special0")]
    host.check_output("systemctl kill --kill-who=main --signal=KILL galaxy-handler@handler0")
    jobs.submit(1, seconds=2)
    result = play("molecule/default/handlers_alone.yml", "--extra-vars", json.dumps({"job_handlers": HANDLERS}))
    assert result.returncode == 0, result.stdout
    assert not host.service("galaxy-handler@handler0").is_running
    its_own = {record["id"] for record in jobs.records() if record["state"] == "ok"}
    jobs.submit(1, seconds=2)
    jobs.assert_all_ran_once()
    assert {record["handler"] for record in jobs.records() if record["id"] not in its_own} == {"other0"}
    assert [pid(host, unit) for unit in ("galaxy-web@1", "galaxy-handler@special0")] == before
