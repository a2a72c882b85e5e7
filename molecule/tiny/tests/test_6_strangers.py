"""Root in directories of the application's user, as on a host that was migrated from Paste: the user becomes no root by that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from slots import serving
from tiny_proof import CONFIG, play_uwsgi

PRECIOUS = "/etc/precious"
# What the user runs in the background: whatever root makes beside the configuration becomes a link to a file of root.
RACE = """
import os
os.chdir("/srv/tiny")
while True:
    for name in os.listdir("."):
        if name.startswith(".") and "tiny" in name and not os.path.islink(name):
            try:
                os.unlink(name)
                os.symlink("/etc/precious", name)
            except OSError:
                pass
"""
CODE = "import os; open('/srv/tiny/ran-as', 'a').write(str(os.geteuid()) + chr(10))\n"

# All of it is found in Python that runs alike everywhere.
pytestmark = pytest.mark.one_host("spare")


def as_user(host: Any, command: str) -> Any:
    """Run a command as the application's user."""
    return host.run("runuser -u tiny -- sh -euc %s", command)


@pytest.fixture(autouse=True, scope="module")
def directory_of_the_user(host: Any, play: Any) -> Iterator[None]:
    """The application belongs to its user, and goes back to root in the end."""
    host.check_output("chown -R tiny:tiny /srv/tiny")
    yield
    host.check_output("chown -R root:root /srv/tiny; chown root:tiny %s; chown tiny:www-data /srv/tiny/data", CONFIG)
    result = play_uwsgi(play)
    assert result.returncode == 0, result.stdout


@pytest.fixture(autouse=True)
def precious(host: Any) -> Iterator[None]:
    """A file of root stays as it is, whatever a test does."""
    host.check_output("echo precious > %s && chmod 0600 %s && rm -f /etc/planted", PRECIOUS, PRECIOUS)
    yield
    assert host.check_output("stat -c '%%U %%a' %s; cat %s", PRECIOUS, PRECIOUS) == "root 600\nprecious"
    assert not host.file("/etc/planted").exists


@pytest.mark.parametrize("target", ["/etc/planted", PRECIOUS, "/dev/zero"])
def test_link_in_place_of_the_configuration_gives_way_to_the_file(host: Any, target: str) -> None:
    good = host.file(CONFIG).content_string
    slot = serving(host, "tiny")
    assert as_user(host, f"ln -sf {target} {CONFIG}; ln -sf {PRECIOUS} /srv/tiny/.tiny.ini.restored~").rc == 0
    result = host.run("timeout 120 tiny-web apply --restore")
    assert result.rc == 1, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert not host.file(CONFIG).is_symlink and host.file(CONFIG).content_string == good
    assert serving(host, "tiny") == slot
    assert host.run("grep -r precious /var/lib/galaxyops").stdout == ""
    assert host.run("timeout 60 tiny-web status").rc == 0


def test_pipe_in_place_of_the_configuration_keeps_nobody_waiting(host: Any, play: Any) -> None:
    assert as_user(host, f"mv {CONFIG} {CONFIG}.moved; mkfifo {CONFIG}").rc == 0
    started = time.monotonic()
    status = host.run("timeout 60 tiny-web status")
    assert status.rc == 3 and "Traceback" not in status.stderr, status.stderr
    result = play_uwsgi(play)
    assert result.returncode != 0
    assert f"{CONFIG} is a named pipe, not a regular file" in " ".join(result.stdout.split()), result.stdout
    assert time.monotonic() - started < 120
    assert as_user(host, f"mv {CONFIG}.moved {CONFIG}").rc == 0
    assert host.run("tiny-web status").rc == 0


@pytest.mark.parametrize("content", ["[]", '{"pid": "../../srv/tiny/pipe", "born": ""}', "pipe", "zero"])
def test_odd_files_in_run_keep_nobody_waiting(host: Any, content: str) -> None:
    directory = "/run/tiny/web-" + serving(host, "tiny")
    assert as_user(host, f"cd {directory}; for name in pid started fingerprint; do mv $name $name.kept; done").rc == 0
    make = {"pipe": "mkfifo $name", "zero": "ln -s /dev/zero $name"}.get(content, f"printf %s '{content}' > $name")
    assert as_user(host, f"cd {directory}; for name in pid started fingerprint; do {make}; done").rc == 0
    status = host.run("timeout 60 tiny-web status")
    assert status.rc in (1, 3) and "Traceback" not in status.stderr, status.stderr
    assert as_user(host, f"cd {directory}; for name in pid started fingerprint; do mv $name.kept $name; done").rc == 0
    assert host.run("tiny-web status").rc == 0


def test_lock_is_for_root_alone(host: Any) -> None:
    assert host.run("tiny-web apply").rc == 0
    assert host.check_output("stat -c '%U %a' /run/tiny/web.lock") == "root 600"
    assert as_user(host, "flock --nonblock /run/tiny/web.lock true").rc != 0


def test_who_waits_for_the_lock_is_told_for_whom(host: Any) -> None:
    host.check_output("(flock /run/tiny/web.lock sleep 3) >/dev/null 2>&1 & sleep 0.5")
    result = host.run("timeout 60 tiny-web apply")
    assert result.rc == 0 and "which holds /run/tiny/web.lock" in result.stderr
    assert result.stdout == ""


def test_roles_change_files_beside_a_race_and_code_of_the_user(host: Any, play: Any) -> None:
    """The user exchanges what root makes, and has code in the virtualenv that runs with every Python there."""
    site = host.check_output("echo /srv/tiny/venv/lib/python3*/site-packages")
    host.check_output("cp -a %s /root/tiny.ini", CONFIG)
    host.check_output("printf %s > /srv/tiny/race.py; printf %s > %s/h5.pth", RACE, CODE, site)
    host.check_output("chown tiny /srv/tiny/race.py %s/h5.pth", site)
    assert as_user(host, "/srv/tiny/venv/bin/python3 -m pip uninstall --yes --quiet pyuwsgi").rc == 0
    host.check_output(
        "runuser -u tiny -- sh -c 'exec python3 /srv/tiny/race.py >/dev/null 2>&1 & echo $! > /srv/tiny/race.pid'"
    )
    try:
        for threads in (2, 3, 4):
            result = play_uwsgi(play, uwsgi_threads=threads)
            # A file that the user has taken away in the middle is an error, and nothing more.
            assert "Traceback" not in result.stdout, result.stdout
    finally:
        host.check_output("kill $(cat /srv/tiny/race.pid); rm -f /srv/tiny/race.*")
        host.check_output("find /srv/tiny -mindepth 1 -maxdepth 1 \\( -name '.*' -o -lname /etc/precious \\) -delete")
    # The user has been able to replace the own configuration by links, and that is all.
    host.check_output("mv /root/tiny.ini %s", CONFIG)
    result = play_uwsgi(play)
    assert result.returncode == 0, result.stdout
    # Ansible prints warnings to the other stream, where it runs by itself.
    assert "user tiny can write here" in " ".join((result.stdout + result.stderr).split()), result.stdout
    assert host.check_output("sort -u /srv/tiny/ran-as") == host.check_output("id -u tiny")
    assert host.check_output("find /srv/tiny/venv -user root -not -type l") == ""
    host.check_output("rm %s/h5.pth /srv/tiny/ran-as", site)
