"""A Galaxy that leaves logging in to nginx: people log in by a password of nginx, and nobody by a header."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

# The handlers that the tests before have left go first. The change of galaxy.ini replaces the web processes once.
OPTIONS = {
    "galaxy_app_options": {
        "shed_tool_config_file": "/opt/test-tools/tool_conf.xml",
        "use_remote_user": True,
        "remote_user_maildomain": "example.org",
    },
    "job_handlers_state": "absent",
    "nginx_proxy_remote_user": "$remote_user",
    "nginx_proxy_location_snippet": "auth_basic Staff;\nauth_basic_user_file /etc/nginx/staff.htpasswd;\n",
}
FILE = "/etc/nginx/staff.htpasswd"
PASSWORDS = f"printf 'ada:{{PLAIN}}lovelace\\n' > {FILE} && chgrp www-data {FILE} && chmod 0640 {FILE}"
FORGED = {
    **dict.fromkeys(("Remote-User", "REMOTE_USER", "remote_user"), "root@example.org"),
    **dict.fromkeys(("GX-Secret", "GX_SECRET"), "guessed"),
}
LOGIN = ("ada", "lovelace")


@pytest.fixture(autouse=True, scope="module")
def shown(host: Any, play: Any, site: Any) -> Iterator[str]:
    """What the run has shown that has changed the login."""
    refused = play(
        "molecule/default/converge.yml", "--extra-vars", json.dumps({**OPTIONS, "nginx_proxy_remote_user": ""})
    )
    assert refused.returncode != 0
    assert "set nginx_proxy_remote_user" in " ".join((refused.stdout + refused.stderr).split())
    assert site.get("/api/version").ok
    host.check_output(PASSWORDS)
    result = play("molecule/default/converge.yml", "--diff", "--extra-vars", json.dumps(OPTIONS))
    assert result.returncode == 0, result.stdout
    yield result.stdout + result.stderr


def who_am_i(site: Any, headers: dict[str, str]) -> str:
    """The user that Galaxy has for a person who opens its page with the right password."""
    with requests.Session() as session:
        session.auth = LOGIN
        page = session.get(f"{site.url}/", headers=headers, timeout=120)
        page.raise_for_status()
        response = session.get(f"{site.url}/api/users/current", headers=headers, timeout=120)
        response.raise_for_status()
        return str(response.json()["email"])


@pytest.mark.parametrize("headers", [{}, FORGED], ids=["plain", "forged"])
def test_user_is_who_has_logged_in_to_nginx(site: Any, headers: dict[str, str]) -> None:
    assert who_am_i(site, headers) == "ada@example.org"


@pytest.mark.parametrize("path", ["/", "/api/users/current", "/api/version"])
def test_forged_header_lets_nobody_in(site: Any, path: str) -> None:
    for login in (None, ("root@example.org", ""), ("ada", "wrong")):
        assert site.get(path, headers=FORGED, auth=login).status_code == 401


def test_secret_that_galaxy_and_nginx_share_is_shown_nowhere(host: Any, shown: str) -> None:
    secret = host.check_output("sed -n 's/^remote_user_secret = //p' /srv/galaxy/config/galaxy.ini")
    assert len(secret) == 48
    assert secret not in shown
    assert host.check_output("stat -c '%U %G %a' /etc/nginx/galaxy.secret /srv/galaxy/config/galaxy.ini").split(
        "\n"
    ) == ["root root 600", "root galaxy 640"]
    seen = host.check_output(
        "ps -eo args; cat /etc/nginx/sites-available/* /etc/galaxy/* /var/log/nginx/*; journalctl --no-pager --quiet"
    )
    assert secret not in seen
