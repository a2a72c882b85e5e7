"""Faults that nobody watches: a missing dependency, a version that ends soon, one that not every worker can load."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import pytest
from tiny_proof import CONFIG, running
from waiting import until

APP = "/srv/tiny/tiny_app.py"
RUNNING = f"/var/lib/galaxyops/tiny/web/running{CONFIG}"

# An application that one process alone can open, as Zope's default storage is
ALONE = """
import fcntl
import tiny_app

LOCK = open("/run/tiny/asgi/alone", "w")


def app_factory(global_conf, **local_conf):
    fcntl.flock(LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return tiny_app.app_factory(global_conf, **local_conf)
"""


def edit(host: Any, option: str, value: str) -> None:
    """Change an option of the application."""
    host.check_output(f"sed -i 's/^{option} *=.*/{option} = {value}/' {CONFIG}")


def version(site: Any) -> str:
    """The version that answers; empty when none does."""
    response = site.get("/")
    return str(response.json()["version"]) if response.ok else ""


@pytest.fixture(autouse=True)
def as_before(host: Any) -> Any:
    """Each test begins and ends with the same configuration, which has proven itself."""
    host.check_output(f"cp -p {CONFIG} /root/before.ini")
    yield
    host.check_output(f"cp -p /root/before.ini {CONFIG} && tiny-web apply")
    assert host.run("tiny-web status").rc == 0


def test_the_site_comes_back_by_itself_when_what_was_missing_does(host: Any, site: Any, container: str) -> None:
    """However long it was missing at boot, and whatever was called meanwhile."""
    host.check_output(f"mv {APP} /root/tiny_app.py")
    subprocess.run(["podman", "kill", "--signal", "KILL", container], check=True, capture_output=True)
    subprocess.run(["podman", "start", container], check=True, capture_output=True)
    # The service manager itself may not be there yet.
    until(lambda: "again and again until it works" in host.run("tiny-web apply --restore").stderr, 120)
    assert running(host) == [] or not site.get("/health", timeout=1).ok
    host.check_output(f"mv /root/tiny_app.py {APP}")
    assert site.get("/", timeout=150).ok
    until(lambda: host.run("tiny-web status").rc == 0, 120)


def test_a_broken_configuration_that_nobody_has_applied_is_rolled_back(host: Any, site: Any) -> None:
    """The master is killed, and starts from what a run that died before it applied anything has left."""
    edit(host, "paste.app_factory", "tiny_app:broken_factory")
    host.check_output("kill -9 %s", running(host)[0])
    assert site.get("/", timeout=60).ok
    assert host.run(f"diff {CONFIG} /root/before.ini").rc == 0
    until(lambda: "rolled back at" in host.run("tiny-web status").stdout, 20)


def test_a_version_that_ends_soon_gives_way_to_the_one_before(host: Any, site: Any) -> None:
    before = version(site)
    edit(host, "version", "ends-soon")
    host.check_output("tiny-web apply --restore")
    assert version(site).startswith("ends-soon")
    assert host.run(f"diff {CONFIG} {RUNNING}").rc == 0
    host.check_output("kill -9 %s", running(host)[0])
    assert site.get("/", timeout=60).json()["version"] == before
    assert host.run(f"diff {CONFIG} {RUNNING}").rc == 0


def test_copies_follow_whatever_kills_the_command(host: Any, site: Any) -> None:
    """Nobody reads what it prints, and it is killed as soon as the new version serves."""
    edit(host, "version", "unheard")
    host.check_output("(tiny-web apply --restore & echo $! > /root/apply.pid; wait) 2>&1 | head -n 1")
    until(lambda: version(site).startswith("unheard"), 30)
    host.run("kill -9 $(cat /root/apply.pid)")
    until(lambda: host.run(f"diff {CONFIG} {RUNNING}").rc == 0, 10)


def test_an_application_that_one_process_alone_can_load_never_serves(host: Any, site: Any) -> None:
    before = version(site)
    host.check_output("cat > /srv/tiny/alone.py << 'EOF'\n" + ALONE + "EOF")
    edit(host, "paste.app_factory", "alone:app_factory")
    result = host.run("tiny-web apply --restore")
    assert result.rc == 1
    assert "The site is still up" in result.stderr
    assert host.run(f"diff {CONFIG} /root/before.ini").rc == 0
    assert version(site) == before


def test_a_start_is_seen_to_work_where_its_watcher_was_killed(host: Any, manager: str) -> None:
    """Supervisor watches over no start, so a child of the process does: without it, nobody would ever know."""
    if manager != "supervisor":
        pytest.skip("systemd watches over a start itself")
    edit(host, "start_seconds", "4")
    host.check_output(
        "tiny-web apply --restore > /root/apply.log 2>&1 & sleep 2; pkill -9 --full '[c]ontrol tiny web become'; wait"
    )
    until(lambda: host.run("tiny-web status").rc == 0, 30)


def test_systemd_may_execute_itself_anew_meanwhile(host: Any, manager: str) -> None:
    if manager != "systemd":
        pytest.skip("that is for systemd to do")
    for seconds in ("0.3", "0.9", "1.5"):
        edit(host, "version", f"reexec-{seconds}")
        begun = time.monotonic()
        host.check_output(f"tiny-web apply --restore & sleep {seconds}; systemctl daemon-reexec; wait $!")
        assert time.monotonic() - begun < 60
        assert f"reexec-{seconds}" in host.check_output(f"cat {RUNNING}")
