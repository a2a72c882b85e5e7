"""What the services may still do is little, and the web processes go on working with it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from runs import changes_nothing
from slots import serving
from tiny_proof import CONFIG, play_uwsgi

# One with systemd; the other host has supervisor.
pytestmark = pytest.mark.one_host("spare")

GOALS = {"tiny-web@{slot}.service": 2.0, "tiny-web.service": 5.0, "tiny-log.service": 2.0}
OPTIONS = {"uwsgi_log_dir": "/var/log/tiny"}


@pytest.fixture(autouse=True, scope="module")
def log_dir(play: Any) -> Any:
    """The log in files too, so that there is a service for that."""
    result = play("molecule/tiny/uwsgi_alone.yml", "--extra-vars", json.dumps(OPTIONS))
    assert result.returncode == 0, result.stdout
    yield
    assert play("molecule/tiny/uwsgi_alone.yml").returncode == 0


def exposure(host: Any, unit: str) -> float:
    """How much systemd finds that a service may do, from 0 to 10."""
    last = host.check_output("systemd-analyze security --no-pager %s | tail -1", unit)
    return float(re.findall(r": ([\d.]+) ", last)[0])


def can_filter(host: Any) -> bool:
    """Whether the host can have filters of system calls at all."""
    return bool(
        host.run("systemd-run --quiet --wait --collect -p User=nobody -p SystemCallFilter=@system-service true").rc == 0
    )


def test_services_may_do_little(host: Any, note: Any) -> None:
    found = {unit: exposure(host, unit.format(slot=serving(host, "tiny"))) for unit in GOALS}
    note(", ".join(f"{unit} {value}" for unit, value in found.items()))
    if can_filter(host):
        assert all(found[unit] <= goal for unit, goal in GOALS.items()), found
    else:
        # The container refuses the filters: everything else is there.
        assert not host.file("/etc/systemd/system/tiny-web@.service").contains("SystemCallFilter")
        assert host.file("/etc/systemd/system/tiny-web@.service").contains("ProtectProc=invisible")


def filters(host: Any, pid: str) -> int:
    """How many filters of system calls a process has; a container has some for all processes."""
    return int(host.check_output("sed -n 's/^Seccomp_filters:[[:space:]]*//p' /proc/%s/status", pid))


def test_filters_are_in_force_where_the_host_can_have_them(host: Any) -> None:
    unit = f"tiny-web@{serving(host, 'tiny')}.service"
    pid = host.check_output("systemctl show --property=MainPID --value %s", unit)
    assert (filters(host, pid) > filters(host, "1")) == can_filter(host)


def test_application_works(host: Any, site: Any) -> None:
    assert site.get("/").ok
    assert site.post("/upload", data=b"x" * 5_000_000).json()["bytes"] == 5_000_000
    assert site.get("/download", params={"file": "/srv/tiny/data/letters.txt"}).text == "abcdefghijklmnopqrstuvwxyz"
    assert host.run("tiny-web restart").rc == 0


def test_a_boot_starts_a_slot(host: Any) -> None:
    """By the unit that runs the command as root, and that has lost most of root's rights."""
    host.check_output(
        "systemctl stop tiny-web.service tiny-web@1.service tiny-web@2.service; systemctl start tiny-web.service"
    )
    assert serving(host, "tiny")
    assert host.run("tiny-web status").rc == 0


def test_one_input_turns_it_off_and_on_without_downtime(host: Any, play: Any, site: Any) -> None:
    result = play("molecule/tiny/uwsgi_alone.yml", "--extra-vars", json.dumps({**OPTIONS, "uwsgi_hardening": False}))
    assert result.returncode == 0, result.stdout
    unit = host.file("/etc/systemd/system/tiny-web@.service")
    assert not unit.contains("ProtectProc") and unit.contains("NoNewPrivileges=true")
    assert host.run("tiny-web status").rc == 0
    result = play("molecule/tiny/uwsgi_alone.yml", "--extra-vars", json.dumps(OPTIONS))
    assert result.returncode == 0, result.stdout
    result = play("molecule/tiny/uwsgi_alone.yml", "--extra-vars", json.dumps(OPTIONS))
    changes_nothing(result)
    assert site.get("/").ok


def test_status_into_head_prints_no_traceback(host: Any) -> None:
    result = host.run("sh -c '{ tiny-web status; echo $? >/tmp/status; } | head -c 1'")
    assert "Traceback" not in result.stderr and "Exception" not in result.stderr
    assert host.check_output("cat /tmp/status") == "0"


def test_a_reader_who_is_gone_ends_no_replacement(host: Any) -> None:
    before = serving(host, "tiny")
    result = host.run("sh -c '{ tiny-web restart; echo $? >/tmp/status; } | true'")
    assert "Traceback" not in result.stderr
    assert host.check_output("cat /tmp/status") == "0"
    assert serving(host, "tiny") != before


def test_log_that_is_shown_has_the_reason_and_no_health_requests(host: Any, play: Any, restore: Any) -> None:
    restore(CONFIG)
    host.check_output(f"sed -i '/^paste.app_factory/a health = 503 No Database' {CONFIG}")
    result = play_uwsgi(play, uwsgi_start_timeout=8, **OPTIONS)
    assert result.returncode != 0
    assert "status 503 after 8 s instead of 200" in result.stdout
    assert "requests for /health are left out" in result.stdout
    assert "GET /health HTTP/1.1 503" not in result.stdout
