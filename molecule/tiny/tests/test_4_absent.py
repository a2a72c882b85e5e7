"""Undoing the roles removes what they put there, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from runs import changes_nothing

ORIGINAL = (Path(__file__).parents[1] / "files" / "tiny.ini").read_text()
OURS = (
    "find /etc /usr/local /run /var/www -xdev -name '*tiny*' -not -path '/run/systemd/*'; "
    "systemctl list-units --type=service,socket --all --plain --no-legend '*tiny*'"
)


# What is removed does not depend on the release of the system.
pytestmark = pytest.mark.one_host("spare")


def test_absent_shows_itself_in_check_mode_and_does_nothing(host: Any, play: Any, site: Any) -> None:
    result = play("molecule/tiny/absent.yml", "--check", "--diff")
    assert result.returncode == 0, result.stdout
    assert "/usr/local/sbin/tiny-web" in result.stdout
    assert site.get("/").ok


def test_absent_removes_what_is_ours_and_nothing_else(host: Any, play: Any) -> None:
    result = play("molecule/tiny/absent.yml")
    assert result.returncode == 0, result.stdout
    assert host.check_output(OURS) == ""
    # Byte for byte as the package has it
    package = "dpkg-query --show --showformat '${Conffiles}' nginx-common | grep ' /etc/nginx/nginx.conf '"
    assert host.check_output("md5sum < /etc/nginx/nginx.conf").split()[0] == host.check_output(package).split()[1]
    assert not host.file("/etc/nginx/modules-enabled/90-galaxyops.conf").exists
    assert host.file("/srv/tiny/tls/privkey.pem").exists
    text = host.check_output("sed 's/^version .*/version   =   1/; /^start_seconds/d' /srv/tiny/tiny.ini; echo end")
    assert text.removesuffix("\nend").removesuffix("end") == ORIGINAL
    assert host.service("nginx").is_running
    assert host.file("/srv/tiny/venv/bin/uwsgi").exists


def test_absent_twice_changes_nothing(play: Any) -> None:
    result = play("molecule/tiny/absent.yml")
    changes_nothing(result)


def test_present_again_after_absent(play: Any, site: Any) -> None:
    assert play("molecule/tiny/converge.yml").returncode == 0
    assert site.wait("/", 30).ok
