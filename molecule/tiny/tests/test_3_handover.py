"""The handover itself, under load, with each service manager: cut short at every step, and repaired when what serves, or what started that, was killed."""

from __future__ import annotations

import time
from typing import Any

import pytest
from load import Load
from tiny_proof import flawless, running
from waiting import until

SOON = "/run/systemd/system/supervisor.service.d"


@pytest.mark.parametrize("step", ["prove", "start", "stop"])
def test_killed_at_any_step_it_is_finished_by_the_next_call(host: Any, load: Load, step: str) -> None:
    """The command is killed as soon as it has said that it begins the step; whatever is there then serves on."""
    cut = f"rm -f /tmp/steps; tiny-web restart > /tmp/steps 2>&1 & pid=$!; until grep -qs '^{step} ' /tmp/steps; do sleep 0.02; done; sleep 0.2; kill -9 $pid"
    with load.window():
        host.check_output(cut)
        time.sleep(1)
        host.check_output("tiny-web restart")
    report = load.stop()
    flawless(report, *report.versions)
    assert len(report.versions) == 1
    assert len(running(host)) == 1
    assert host.run("tiny-web status").rc == 0


def repaired(host: Any, seconds: float) -> None:
    """Wait until everything is as it should be again, by itself."""
    until(lambda: host.run("tiny-web status").rc == 0 and len(running(host)) == 1, seconds)


def test_a_killed_pool_is_replaced(host: Any, manager: str, load: Load) -> None:
    """The slot that serves has the socket too, so nothing is lost; it is replaced by one that has the new pool's."""
    if manager != "supervisor":
        pytest.skip("systemd holds the socket itself")
    before = host.check_output("readlink /run/tiny/pool")
    with load.window():
        host.check_output("kill -9 $(supervisorctl pid tiny-web-pool)")
        until(lambda: host.check_output("readlink /run/tiny/pool") != before, 30)
        repaired(host, 90)
    report = load.stop()
    flawless(report, *report.versions)
    assert len(host.check_output("ls -d /run/tiny/pool-*").splitlines()) == 1


def test_a_killed_supervisor_comes_back(host: Any, manager: str, load: Load) -> None:
    """It has lost sight of the processes, which serve on until those that it has started have taken over."""
    if manager != "supervisor":
        pytest.skip("nothing that runs here is supervisor's")
    # Debian's unit waits 50 s before it starts supervisor anew.
    host.check_output(f"mkdir -p {SOON} && printf '[Service]\\nRestartSec=5\\n' > {SOON}/soon.conf && systemctl daemon-reload")
    with load.window():
        host.check_output("kill -9 $(supervisorctl pid)")
        until(lambda: "RUNNING" in host.run("supervisorctl status tiny-web-pool").stdout, 120)
        repaired(host, 90)
    assert host.run("supervisorctl status | grep -c 'tiny-web-[12] .*RUNNING'").stdout.strip() == "1"
    report = load.stop()
    flawless(report, *report.versions)
    # A master and its workers, and the pool with its process.
    families = host.check_output("ps -eo pgid=,args= | grep '[/]uwsgi .*/run/tiny' | awk '{print $1}' | sort -u").splitlines()
    assert len(families) == 2
