"""Another service manager: it takes over while the site serves, and nothing is left of the one before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from load import Load
from runs import changes_nothing
from tiny_proof import LIGHT, flawless, play_uwsgi

DEFINITIONS = "find /etc /run/systemd/system -name '*tiny-*' -path '*%s*'"
UNITS = "systemctl list-units --type=service,socket --all --plain --no-legend '*tiny*'"


# The other host has had supervisor from the beginning.
pytestmark = [pytest.mark.one_host, pytest.mark.load(**LIGHT)]


# That of the distribution is on the other host.
PIP = {"uwsgi_service_manager": "supervisor", "uwsgi_supervisor_install_method": "pip"}
NO_SUPERVISOR = """
systemctl disable --quiet --now supervisor
rm -rf /opt/galaxyops /etc/supervisor /etc/systemd/system/supervisor.service /usr/local/bin/supervisorctl
systemctl daemon-reload
"""


@pytest.fixture(autouse=True, scope="module")
def no_supervisor(host: Any) -> Iterator[None]:
    """None is there before, and none after: the tests that follow have that of the distribution."""
    host.check_output("apt-get purge -y -q supervisor")
    yield
    host.check_output(NO_SUPERVISOR)


def test_supervisor_takes_over(host: Any, play: Any, load: Load) -> None:
    with load.window():
        result = play_uwsgi(play, **PIP)
    report = load.stop()
    assert result.returncode == 0, result.stdout
    flawless(report, *report.versions)
    assert host.check_output(DEFINITIONS % "systemd") == ""
    assert host.check_output(UNITS) == ""
    assert "/run/tiny/pool-" in host.check_output("readlink /run/tiny/web.sock")
    assert "/opt/galaxyops/supervisor/bin/" in host.check_output("ps -o args= -p $(supervisorctl pid)")
    status = host.run("tiny-web status")
    assert status.rc == 0, status.stdout
    again = play_uwsgi(play, **PIP)
    changes_nothing(again)


def test_a_second_supervisor_is_refused(host: Any, play: Any) -> None:
    """That of the distribution would run the same programs."""
    result = play_uwsgi(play, uwsgi_service_manager="supervisor")
    assert result.returncode != 0
    assert "/opt/galaxyops/supervisor/bin/supervisord is there already" in " ".join(result.stdout.split()), result.stdout
    assert not host.file("/usr/bin/supervisord").exists


def test_back_to_systemd_only_when_that_is_allowed(host: Any, play: Any, load: Load) -> None:
    """It makes a socket of its own in the place of the other."""
    with load.window():
        result = play_uwsgi(play)
    report = load.stop()
    assert result.returncode != 0
    assert "/run/tiny/web.sock belongs to supervisor" in " ".join(result.stdout.split()), result.stdout
    flawless(report, *report.versions)
    assert host.check_output(DEFINITIONS % "systemd") == ""
    assert host.run("tiny-web status").rc == 0


@pytest.mark.load()
def test_systemd_takes_over(host: Any, play: Any, load: Load) -> None:
    with load.window():
        result = play_uwsgi(play, uwsgi_allow_interruption=True)
    report = load.stop()
    assert result.returncode == 0, result.stdout
    # The moment in which systemd gives its socket to nginx
    assert len(report.failures) < 20
    assert {request.failure for request in report.requests if request.failure} <= {"status 502", "status 503"}
    assert host.check_output(DEFINITIONS % "supervisor") == ""
    assert "tiny" not in host.run("supervisorctl status").stdout + host.run("supervisorctl avail").stdout
    assert host.check_output("find /run/tiny -name 'pool*' -o -name '*.aside'") == ""
    assert host.file("/run/tiny/web.sock").is_socket
    status = host.run("tiny-web status")
    assert status.rc == 0, status.stdout
