"""What a handover refuses, takes back and waits for, and what has to be allowed first, with each service manager.

That a handover fails no request under heavy load, however slowly the application starts, has been shown by the tests before these.
"""

from __future__ import annotations

from typing import Any

import pytest
from load import Load
from runs import changes_nothing
from tiny_proof import CONFIG, LIGHT, flawless, master, play_uwsgi, running

pytestmark = pytest.mark.load(**LIGHT)


@pytest.fixture(autouse=True, scope="module")
def quick_start(host: Any) -> None:
    """The application takes one second to start from here on."""
    host.check_output(f"sed -i 's/^start_seconds .*/start_seconds = 1/' {CONFIG} && tiny-web restart")


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


@pytest.mark.load()
def test_in_place_requests_wait_and_are_told_of(host: Any, play: Any, load: Load) -> None:
    host.check_output(f"sed -i 's/^version .*/version = 8/' {CONFIG}")
    with load.window():
        result = play_uwsgi(play, uwsgi_handover="in_place")
    report = load.stop()
    assert result.returncode == 0, result.stdout
    assert report.failures == []
    assert list(report.versions)[-1].startswith("8")
    assert len(running(host)) == 1
    assert play_uwsgi(play).returncode == 0


def group_of_socket(host: Any) -> str:
    """The group that can connect."""
    return str(host.check_output("stat --dereference --format=%G /run/tiny/web.sock"))


def test_socket_gets_another_group_once_nginx_has_it(host: Any, play: Any, load: Load) -> None:
    """No request is turned away. Until nginx has the group, the run reports what is missing and changes nothing."""
    with load.window():
        # As an earlier release has left a host
        assert play_uwsgi(play, uwsgi_socket_group="www-data").returncode == 0
        assert play("molecule/tiny/nginx_alone.yml", "--extra-vars", "uwsgi_socket_group=www-data").returncode == 0
        assert group_of_socket(host) == "www-data"
        result = play_uwsgi(play)
        assert (result.returncode, "wait for nginx" in result.stdout) == (0, True), result.stdout
        assert group_of_socket(host) == "www-data"
        changes_nothing(play_uwsgi(play))
        result = play("molecule/tiny/nginx_alone.yml")
        assert result.returncode == 0, result.stdout
        assert group_of_socket(host) == "galaxyops-nginx"
        changes_nothing(play_uwsgi(play))
    flawless(load.stop(), *load.stop().versions)
    assert group_of_socket(host) == "galaxyops-nginx"
    assert host.run("tiny-web status").rc == 0
