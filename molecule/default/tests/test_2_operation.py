"""What an administrator does to a Galaxy that people use: run the playbook again, restart, reboot, change handlers."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from galaxy_client import User
from memory import MemoryWatch
from remote_tasks import remote_tasks
from slots import serving
from waiting import until


def pids(host: Any, *units: str) -> dict[str, str]:
    """The main processes of units."""
    return {unit: host.check_output("systemctl show --property=MainPID --value %s", unit) for unit in units}


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
        assert result.returncode == 0, result.stdout
        assert "changed=0 " in result.stdout, result.stdout


@pytest.mark.load(get=20, get_path="/api/version", post=0, slow=0)
def test_the_restart_playbook_replaces_the_web_processes_while_the_site_serves(host: Any, play: Any, load: Any, note: Any) -> None:
    units = ("galaxy-handler@handler0", "galaxy-handler@handler1")
    slot, before = serving(host, "galaxy"), pids(host, *units)
    with load.window(), MemoryWatch(host, "galaxy") as memory:
        result = play("playbooks/restart.yml", "--extra-vars", "restart=web")
    report = load.stop()
    note(str(memory))
    assert result.returncode == 0, result.stdout
    assert memory.seen[0] < max(memory.seen) < 3 * memory.seen[0]
    assert serving(host, "galaxy") != slot
    assert pids(host, *units) == before
    assert report.failures == []
    assert report.rate("get") > 19
    assert list(report.versions) == ["26.1.2"]


def test_a_reboot_brings_all_back(host: Any, site: Any, container: str, admin_key: str) -> None:
    subprocess.run(["podman", "restart", "--time", "60", container], check=True, capture_output=True)
    site.wait("/api/version", 300)
    # They start beside the web processes, and may take longer.
    until(lambda: all(host.service(f"galaxy-handler@handler{number}").is_running for number in range(2)), 120)
    user = User(site.url, admin_key, "after-reboot")
    _dataset, upload = user.upload("still here\n")
    assert user.wait(upload)["state"] == "ok"


def test_another_handler_leaves_the_others_alone(host: Any, play: Any) -> None:
    others = ("galaxy-handler@handler0", "galaxy-handler@handler1", f"galaxy-web@{serving(host, 'galaxy')}")
    before = pids(host, *others)
    result = play("molecule/default/handlers_alone.yml", "--extra-vars", "job_handlers=3")
    assert result.returncode == 0, result.stdout
    assert pids(host, *others) == before
    assert host.service("galaxy-handler@handler2").is_running
    assert host.service("galaxy-handler@handler2").is_enabled
    assert '<handler id="handler2"' in host.check_output("cat /srv/galaxy/config/job_conf.xml")
