"""The handover itself, under load, with each service manager: cut short at every step, refused, repaired, and what must be allowed."""

from __future__ import annotations

import time
from typing import Any

import pytest
from load import Load
from tiny_proof import CONFIG, flawless, master, play_uwsgi
from waiting import until

RUNNING = "python3 -c 'import glob, json; print(*(json.load(open(path))[\"pid\"] for path in sorted(glob.glob(\"/run/tiny/web-*/pid\"))))'"

SOON = "/run/systemd/system/supervisor.service.d"


def running(host: Any) -> list[str]:
    """The masters that live, slots and candidate alike."""
    return [pid for pid in host.check_output(RUNNING).split() if host.run(f"kill -0 {pid}").rc == 0]


def version(host: Any, number: int) -> None:
    """Write another version of the application's configuration."""
    host.check_output(f"sed -i 's/^version .*/version = {number}/' {CONFIG}")


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


def test_two_at_once_wait_for_each_other(host: Any, load: Load) -> None:
    with load.window():
        host.check_output("tiny-web restart > /tmp/one & tiny-web restart > /tmp/two; wait")
    report = load.stop()
    flawless(report, *report.versions)
    lines = host.check_output("cat /tmp/one /tmp/two").splitlines()
    assert [line.split()[0] for line in lines] == ["prove", "start", "stop"] * 2
    assert len(running(host)) == 1


def test_what_is_rejected_is_taken_back(host: Any, play: Any, load: Load) -> None:
    """The files that last worked are back, so that a crash or a reboot starts what works; the others are kept."""
    before = host.check_output(f"cat {CONFIG}; echo end")
    host.check_output(f"sed -i 's/^paste.app_factory.*/paste.app_factory = tiny_app:broken_factory/' {CONFIG}")
    with load.window():
        result = play_uwsgi(play, uwsgi_threads=3)
    flawless(load.stop(), *load.stop().versions)
    assert result.returncode != 0
    for words in ("this application never starts", "The site is still up", "are again as they were", f"  {CONFIG}", "/var/lib/galaxyops/tiny/web/rejected"):
        assert words in result.stdout, result.stdout
    assert host.check_output(f"cat {CONFIG}; echo end") == before
    assert "broken_factory" in host.check_output(f"cat /var/lib/galaxyops/tiny/web/rejected{CONFIG}")
    assert host.run("tiny-web status").rc == 0
    assert host.file("/var/lib/galaxyops/tiny/web").mode == 0o700


def test_what_does_not_work_is_found_by_a_check_that_touches_nothing(host: Any, site: Any, restore: Any) -> None:
    restore(CONFIG)
    before = master(host, site)
    assert "what is written works" in host.check_output("tiny-web check")
    host.check_output(f"sed -i 's/^paste.app_factory.*/paste.app_factory = tiny_app:broken_factory/' {CONFIG}")
    result = host.run("tiny-web check")
    assert result.rc == 1
    assert "this application never starts" in result.stderr
    assert master(host, site) == before
    assert len(running(host)) == 1


def test_in_place_requests_wait_and_are_told_of(host: Any, play: Any, load: Load) -> None:
    version(host, 8)
    with load.window():
        result = play_uwsgi(play, uwsgi_handover="in_place")
    report = load.stop()
    assert result.returncode == 0, result.stdout
    assert report.failures == []
    assert list(report.versions)[-1].startswith("8")
    assert len(running(host)) == 1
    assert play_uwsgi(play).returncode == 0


def test_the_socket_itself_changes_only_when_that_is_allowed(host: Any, manager: str, play: Any, load: Load) -> None:
    """With supervisor it is a new pool like any other, which takes no interruption; with systemd one has to be allowed."""
    host.check_output("usermod --append --groups games www-data && systemctl reload nginx && sleep 1")
    with load.window():
        result = play_uwsgi(play, uwsgi_socket_group="games")
    report = load.stop()
    flawless(report, *report.versions)
    if manager == "systemd":
        assert result.returncode != 0
        assert "set uwsgi_allow_interruption to true" in " ".join(result.stdout.split()), result.stdout
        assert host.check_output("stat --dereference --format=%G /run/tiny/web.sock") == "www-data"
        assert play_uwsgi(play, uwsgi_socket_group="games", uwsgi_allow_interruption=True).returncode == 0
    assert host.check_output("stat --dereference --format=%G /run/tiny/web.sock") == "games"
    assert host.run("tiny-web status").rc == 0
    assert play_uwsgi(play, uwsgi_allow_interruption=True).returncode == 0


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
