"""Changes: taken over while the site serves, kept out when they are broken, made up for when they were lost."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

CONFIG = "/srv/tiny/tiny.ini"


class Load(threading.Thread):
    """Asks for a page again and again, and remembers every answer that is not one."""

    def __init__(self, site: Any) -> None:
        super().__init__()
        self.site = site
        self.failures: list[str] = []
        self.versions: list[str] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            try:
                response = self.site.get("/")
                self.versions.append(response.json()["version"] if response.ok else "")
                if not response.ok:
                    self.failures.append(str(response.status_code))
            except OSError as error:
                self.failures.append(str(error))
            time.sleep(0.01)


@pytest.fixture
def load(site: Any) -> Iterator[Load]:
    """Load on the site while a test runs."""
    thread = Load(site)
    thread.start()
    yield thread
    thread.over.set()
    thread.join()


def finish(load: Load) -> None:
    """Let the load see the outcome, and stop it."""
    time.sleep(0.5)
    load.over.set()
    load.join()


def test_a_changed_file_is_taken_over_without_a_failed_request(host: Any, play: Any, load: Load) -> None:
    """Nothing tells the run that somebody changed the file by hand: it sees that what runs is not what is written."""
    host.check_output(f"sed -i 's/^version .*/version = 2/' {CONFIG}")
    assert host.run("tiny-web status").rc == 3
    result = play("molecule/tiny/converge.yml")
    finish(load)
    assert result.returncode == 0, result.stdout
    assert "changed=1 " in result.stdout, result.stdout
    assert load.failures == []
    assert set(load.versions) == {"1", "2"}
    assert host.run("tiny-web status").rc == 0


def test_a_changed_option_is_taken_over_without_a_failed_request(host: Any, site: Any, play: Any, load: Load) -> None:
    result = play("molecule/tiny/converge.yml", "--extra-vars", "uwsgi_processes=3")
    finish(load)
    assert result.returncode == 0, result.stdout
    assert load.failures == []
    assert host.check_output(f"grep '^processes' {CONFIG}") == "processes = 3"
    assert play("molecule/tiny/converge.yml").returncode == 0


def test_check_mode_tells_of_a_handover_and_leaves_it(host: Any, play: Any) -> None:
    host.check_output(f"sed -i 's/^version .*/version = 3/' {CONFIG}")
    pid = host.check_output("systemctl show --property=MainPID tiny-web@1.service")
    result = play("molecule/tiny/converge.yml", "--check", "--diff")
    assert "changed=1 " in result.stdout, result.stdout
    assert host.check_output("systemctl show --property=MainPID tiny-web@1.service") == pid
    host.check_output("tiny-web apply")


def test_a_broken_change_never_serves(host: Any, play: Any, load: Load, restore: Any) -> None:
    restore(CONFIG)
    host.check_output(f"sed -i 's/^paste.app_factory.*/paste.app_factory = tiny_app:no_such_factory/' {CONFIG}")
    result = play("molecule/tiny/converge.yml")
    finish(load)
    assert result.returncode != 0
    assert "no_such_factory" in result.stdout, result.stdout
    assert "still up" in result.stdout
    assert load.failures == []
    assert set(load.versions) == {"3"}


def test_the_next_good_run_needs_no_help(host: Any, play: Any) -> None:
    assert play("molecule/tiny/converge.yml").returncode == 0
    assert host.run("tiny-web status").rc == 0


def test_a_broken_option_never_serves(site: Any, play: Any, load: Load) -> None:
    result = play("molecule/tiny/converge.yml", "--extra-vars", '{"uwsgi_options": {"no-such-option": 1, "pythonpath": "/srv/tiny"}}')
    finish(load)
    assert result.returncode != 0
    assert "no-such-option" in result.stdout
    assert load.failures == []
    assert play("molecule/tiny/converge.yml").returncode == 0


def test_a_broken_site_is_taken_back(host: Any, site: Any, play: Any) -> None:
    host.check_output("echo 'no_such_directive;' > /etc/nginx/conf.d/broken.conf")
    before = host.check_output("cat /etc/nginx/sites-available/tiny.conf")
    result = play("molecule/tiny/converge.yml", "--extra-vars", "nginx_proxy_read_timeout=601")
    host.check_output("rm /etc/nginx/conf.d/broken.conf")
    assert result.returncode != 0
    assert "no_such_directive" in result.stdout
    assert host.check_output("cat /etc/nginx/sites-available/tiny.conf") == before
    assert site.get("/").ok


def test_a_killed_master_comes_back(host: Any, site: Any) -> None:
    host.check_output("kill -9 $(systemctl show --property=MainPID --value tiny-web@1.service)")
    assert site.wait("/", 40).json()["version"] == "3"


def test_the_maintenance_page_stands_in(host: Any, site: Any) -> None:
    host.check_output("systemctl stop tiny-web.socket tiny-web@1.service")
    response = site.get("/")
    host.check_output("systemctl start tiny-web.socket tiny-web@1.service")
    assert response.status_code == 503
    assert "Retry-After" in response.headers
    assert "<html" in response.text
    assert site.get("/").ok


def test_a_reboot_brings_all_back(host: Any, site: Any, container: str) -> None:
    subprocess.run(["podman", "restart", "--time", "20", container], check=True, capture_output=True)
    assert site.wait("/", 60).json()["version"] == "3"
    assert host.run("tiny-web status").rc == 0
