"""The other kinds of handlers, one after the other on the same host; each run of the playbook takes it from one to the next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from runs import changes_nothing

HANDLERS = "pgrep -f '^/srv/galaxy/venv/bin/python -m galaxy.main '"
DEFINITIONS = "find /etc -name 'galaxy-handler*' -path '*%s*'"


def converge(play: Any, **variables: Any) -> None:
    """Run the playbook with other variables."""
    result = play("molecule/bullseye/converge.yml", "--extra-vars", json.dumps(variables))
    assert result.returncode == 0, result.stdout


@pytest.fixture(scope="module", autouse=True)
def checkout(host: Any) -> Iterator[None]:
    """Handlers of a checkout of Galaxy, whose virtualenv has no program for them."""
    host.check_output("mv /srv/galaxy/venv/bin/galaxy-main /root/")
    yield
    host.check_output("mv /root/galaxy-main /srv/galaxy/venv/bin/")


def test_handlers_attach_themselves_to_pools(host: Any, play: Any, run_job: Any, user: Any, ask_database: Any) -> None:
    handlers = [
        {"id": "dynamic0", "environment": {"OWN_TOKEN": "secret-of-dynamic0"}},
        {"id": "special0", "tags": ["special"]},
        {"id": "workflow0", "workflow_scheduler": True},
    ]
    converge(play, job_handlers_mode="dynamic", job_handlers=handlers, job_handlers_max_grab=4)
    assert run_job() == "dynamic0"
    dataset, _upload = user.upload("b\na\n")
    user.sort_by_workflow(dataset)
    assert ask_database("SELECT handler, state FROM workflow_invocation ORDER BY id DESC LIMIT 1") == ["workflow0", "scheduled"]
    job_conf = host.check_output("cat /srv/galaxy/config/job_conf.xml")
    assert '<handlers assign_with="db-skip-locked" max_grab="4">' in job_conf
    assert "<handler " not in job_conf
    arguments = host.check_output(f"ps -o args= -p $({HANDLERS} | paste -sd,)")
    assert "--server-name=dynamic0 --attach-to-pool=job-handlers\n" in arguments + "\n"
    assert "--server-name=special0 --attach-to-pool=job-handlers.special" in arguments
    # What one is given is nobody else's business.
    for name, count in (("dynamic0", 1), ("special0", 0)):
        pid = host.check_output(f"systemctl show --property=MainPID --value galaxy-handler@{name}")
        # Root in a container may not look into other users' processes.
        environ = host.check_output("runuser -u galaxy -- cat %s", f"/proc/{pid}/environ")
        assert environ.split("\0").count("OWN_TOKEN=secret-of-dynamic0") == count
    assert host.file("/etc/galaxy/handlers-environments.json").mode == 0o640


def test_supervisor_takes_over_from_systemd(host: Any, play: Any, run_job: Any) -> None:
    """The handlers that systemd has had are others, too; nothing of them is left."""
    supervisor = {"job_handlers_service_manager": "supervisor"}
    converge(play, job_handlers=[{"id": "handler0"}], **supervisor)
    assert host.check_output(DEFINITIONS % "systemd") == ""
    assert host.check_output("systemctl list-units --type=service --all --plain --no-legend 'galaxy-handler*'") == ""
    assert len(host.check_output(HANDLERS).split()) == 1
    assert run_job() == "handler0"
    pid = host.check_output("supervisorctl pid galaxy-handler-handler0")
    converge(play, job_handlers=[{"id": "handler0"}, {"id": "handler1"}], job_handlers_assign_with=["db-skip-locked"], **supervisor)
    assert host.check_output("supervisorctl pid galaxy-handler-handler0") == pid
    assert host.run("galaxy-handlers status").rc == 0
    again = play("molecule/bullseye/converge.yml", "--extra-vars", json.dumps({"job_handlers": 2, **supervisor}))
    changes_nothing(again)


def test_mules_run_jobs(host: Any, play: Any, run_job: Any) -> None:
    converge(play, job_handlers_mode="mules", job_handlers=2, uwsgi_handover="in_place")
    assert run_job() in ("main.job-handlers.1", "main.job-handlers.2")
    assert not host.run(HANDLERS).stdout
    assert host.check_output(DEFINITIONS % "supervisor") == ""
    assert "galaxy" not in host.run("supervisorctl status").stdout
    before = host.check_output("pgrep -f [m]ule=lib/galaxy/main.py").split()
    # A candidate is the web processes without mules, which would run jobs under the same names.
    checked = host.run("galaxy-web check")
    assert checked.rc == 0, checked.stdout + checked.stderr
    assert host.check_output("pgrep -f [m]ule=lib/galaxy/main.py").split() == before
