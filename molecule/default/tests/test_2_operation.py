"""What an administrator does to a Galaxy that people use: run the playbook again, reboot."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import pytest
from galaxy_client import User
from remote_tasks import remote_tasks
from runs import changes_nothing
from waiting import until


def test_a_second_run_changes_nothing_and_asks_little(play: Any, note: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every remote task costs about a second: there are at most 12."""
    monkeypatch.setenv("ANSIBLE_STDOUT_CALLBACK", "ansible.posix.json")
    result = play("molecule/default/converge.yml")
    report = json.loads(result.stdout)
    assert [stats["changed"] for stats in report["stats"].values()] == [0]
    remote = remote_tasks(report)
    note(f"{len(remote)} remote tasks: {remote}")
    assert len(remote) <= 12, remote


def test_each_role_alone_changes_nothing_either(play: Any) -> None:
    for playbook in ("galaxy", "handlers"):
        result = play(f"molecule/default/{playbook}_alone.yml")
        changes_nothing(result)


def test_who_finds_the_database_locked_waits(host: Any, site: Any, admin_key: str) -> None:
    """SQLite lets one process write at a time, on a busy machine for longer than Python waits by itself: five seconds."""
    user = User(site.url, admin_key, "locked-out")
    path = "/srv/galaxy/database/universe.sqlite"
    hold = (
        f"import sqlite3, time; held = sqlite3.connect('{path}', isolation_level=None); "
        "held.execute('BEGIN IMMEDIATE'); time.sleep(9)"
    )
    begun = time.monotonic()
    host.check_output('runuser -u galaxy -- /usr/bin/python3 -c %s > /dev/null 2>&1 & sleep 1', hold)
    user.galaxy.histories.create_history("written meanwhile")
    assert time.monotonic() - begun > 5


def test_the_web_processes_run_no_job_and_a_reboot_brings_all_back(host: Any, site: Any, container: str, admin_key: str) -> None:
    """Without a handler, and they stop cleanly, a job waits, however long: no web process picks it up."""
    units = "galaxy-handler@handler0 galaxy-handler@handler1"
    user = User(site.url, admin_key, "patient")
    host.check_output(f"systemctl stop {units}")
    ends = host.check_output(f"systemctl show --property=Result,ExecMainCode,ExecMainStatus {units}").split()
    log = host.check_output("journalctl --no-pager --output=cat --unit='galaxy-handler@*'")
    # 1: it exited by itself, and was not ended by a signal.
    assert sorted(ends) == ["ExecMainCode=1", "ExecMainCode=1", "ExecMainStatus=0", "ExecMainStatus=0", "Result=success", "Result=success"]
    assert "Killing process" not in log
    _dataset, upload = user.upload("still here\n")
    time.sleep(15)
    assert user.state(upload) == "new"
    subprocess.run(["podman", "restart", "--time", "60", container], check=True, capture_output=True)
    site.wait("/api/version", 600)
    # They start beside the web processes, and may take longer.
    until(lambda: all(host.service(f"galaxy-handler@handler{number}").is_running for number in range(2)), 300)
    user.find_again(site.url)
    assert user.wait(upload)["handler"] in ("handler0", "handler1")
