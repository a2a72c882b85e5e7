"""Log files that are rotated while requests come in: every request is in them, once."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from itertools import count
from typing import Any

import pytest
import requests
from runs import changes_nothing
from slots import serving

DIRECTORY = "/var/log/tiny"
OPTIONS = {"uwsgi_log_dir": DIRECTORY}
ROTATIONS = 10
# The first number of those that are not asked for during the rotations
LATER = 1_000_000


# The other host has supervisor, which writes to files anyway, and rotates them itself.
pytestmark = pytest.mark.one_host("spare")


@pytest.fixture(autouse=True, scope="module")
def log_dir(play: Any) -> None:
    """The log in files too; the last test takes that back."""
    result = play("molecule/tiny/uwsgi_alone.yml", "--extra-vars", json.dumps(OPTIONS))
    assert result.returncode == 0, result.stdout


class Counting(threading.Thread):
    """Requests that bear numbers, one after the other, until it is enough."""

    def __init__(self, url: str, first: int, step: int) -> None:
        super().__init__()
        self.url = url
        self.numbers = count(first, step)
        self.asked: list[int] = []
        self.failed: list[int] = []
        self.enough = threading.Event()

    def run(self) -> None:
        with requests.Session() as session:
            while not self.enough.is_set():
                self.asked.append(next(self.numbers))
                if not session.get(f"{self.url}/numbered-{self.asked[-1]}-end", timeout=60).ok:
                    self.failed.append(self.asked[-1])


def numbered(host: Any, pattern: str) -> Counter[int]:
    """How often the number of each request stands in these files."""
    return Counter(map(int, re.findall(r"GET /numbered-(\d+)-end ", host.check_output(f"cd /var/log && zcat -f {pattern}"))))


def test_rotation_under_load_loses_no_line(host: Any, site: Any, note: Any) -> None:
    """Those of uWSGI during a handover, too, and those of nginx, which Debian has rotated."""
    clients = [Counting(site.url, first, 2) for first in range(2)]
    for client in clients:
        client.start()
    for rotation in range(ROTATIONS):
        if rotation == 1:
            host.check_output("tiny-web restart")
        host.check_output("logrotate --force /etc/logrotate.d/tiny-log && logrotate --force /etc/logrotate.d/nginx")
        time.sleep(0.2)
    for client in clients:
        client.enough.set()
        client.join()
    assert [client.failed for client in clients] == [[], []]
    everything = Counter(number for client in clients for number in client.asked)
    note(f"{len(everything)} requests, {ROTATIONS} rotations")
    assert len(everything) > 1000
    deadline = time.monotonic() + 30
    while (found := numbered(host, "tiny/tiny-web.log*")) != everything and time.monotonic() < deadline:
        time.sleep(1)
    assert found == everything
    assert numbered(host, "nginx/tiny.access.log*") == everything
    assert int(host.check_output(f"ls {DIRECTORY}/tiny-web.log* | wc -l")) > 3
    assert host.check_output(f"stat -c '%U %a' {DIRECTORY}/tiny-web.log") == "galaxyops-log 640"


def test_what_was_said_meanwhile_is_copied_after_a_crash(host: Any, site: Any) -> None:
    host.check_output("systemctl kill --signal=KILL tiny-log.service")
    for number in range(LATER, LATER + 50):
        assert site.get(f"/numbered-{number}-end").ok
    deadline = time.monotonic() + 30
    wanted = set(range(LATER, LATER + 50))
    while not wanted <= set(numbered(host, "tiny/tiny-web.log")) and time.monotonic() < deadline:
        time.sleep(1)
    assert wanted <= set(numbered(host, "tiny/tiny-web.log"))
    assert serving(host, "tiny")


def test_user_of_the_application_has_no_way_into_the_journal(host: Any) -> None:
    """No process of the application's user is in the group that reads the journal; the log is copied by another user."""
    group = host.check_output("getent group systemd-journal | cut -d: -f3")
    groups = host.check_output("for pid in $(pgrep -u tiny); do sed -n 's/^Groups://p' /proc/$pid/status; done").split()
    assert groups and group not in groups
    assert host.check_output("ps -o user:20= -p $(systemctl show --property=MainPID --value tiny-log.service)") == "galaxyops-log"
    # The group may read the files, nobody else, and only who copies may write.
    assert host.check_output("stat -c '%%U %%G %%a' %s", DIRECTORY) == "galaxyops-log tiny 750"
    assert host.run(f"setpriv --reuid=tiny --regid=tiny --clear-groups tail -1 {DIRECTORY}/tiny-web.log").rc == 0
    assert host.run(f"setpriv --reuid=tiny --regid=tiny --clear-groups touch {DIRECTORY}/x").rc != 0
    assert host.run(f"setpriv --reuid=nobody --clear-groups ls {DIRECTORY}").rc != 0


def test_logs_of_an_older_version_change_their_owner_and_lose_no_line(host: Any, site: Any, play: Any) -> None:
    first = 2 * LATER
    for number in range(first, first + 20):
        assert site.get(f"/numbered-{number}-end").ok
    time.sleep(2)
    # As it was: the directory, the logs and the place in the journal were the application's.
    host.check_output(
        f"systemctl stop tiny-log.service && mv /var/lib/galaxyops/tiny/log/cursor {DIRECTORY}/.tiny.cursor && chown -R tiny:tiny {DIRECTORY}"
    )
    for number in range(first + 20, first + 40):
        assert site.get(f"/numbered-{number}-end").ok
    result = play("molecule/tiny/uwsgi_alone.yml", "--extra-vars", json.dumps(OPTIONS))
    assert result.returncode == 0, result.stdout
    wanted = Counter(range(first, first + 40))
    deadline = time.monotonic() + 30
    while wanted - numbered(host, "tiny/tiny-web.log*") and time.monotonic() < deadline:
        time.sleep(1)
    found = numbered(host, "tiny/tiny-web.log*")
    assert {number: found[number] for number in wanted} == dict(wanted)
    assert host.check_output(f"find {DIRECTORY} ! -user galaxyops-log") == ""
    assert not host.file(f"{DIRECTORY}/.tiny.cursor").exists


def test_a_further_run_changes_nothing(play: Any) -> None:
    result = play("molecule/tiny/uwsgi_alone.yml", "--extra-vars", json.dumps(OPTIONS))
    changes_nothing(result)


def test_without_the_directory_there_is_no_copying(host: Any, play: Any) -> None:
    """The logs stay: they are the owner's."""
    result = play("molecule/tiny/uwsgi_alone.yml")
    assert result.returncode == 0, result.stdout
    assert host.run("systemctl is-active tiny-log.service").stdout.strip() == "inactive"
    assert host.check_output("find /etc -name 'tiny-log*'") == ""
    assert host.file(f"{DIRECTORY}/tiny-web.log").exists
