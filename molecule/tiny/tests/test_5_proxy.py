"""The proxy below a prefix and behind another one: who is believed, and that a request can be followed through all logs."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from runs import changes_nothing

OPTIONS = {
    "nginx_proxy_prefix": "/tiny",
    "nginx_proxy_static_dir": "/srv/tiny/one",
    "nginx_proxy_acme_root": "/srv/acme",
    "nginx_proxy_log_format": "json",
    "nginx_proxy_trusted_proxies": ["127.0.0.2"],
    "nginx_proxy_unbuffered_paths": ["/upload"],
    "nginx_proxy_location_snippet": "add_header X-Own yes;",
    "nginx_proxy_worker_connections": 4096,
    "nginx_proxy_config_file": "/srv/tiny/user.ini",
    "nginx_proxy_remote_user": "$http_x_sso_user",
}
# What a Galaxy would read that leaves logging in to its proxy, and an nginx that lets more headers pass than by default.
PREPARE = """
sed '/^paste.app_factory/a use_remote_user = True' /srv/tiny/tiny.ini > /srv/tiny/user.ini
chmod 0640 /srv/tiny/user.ini
echo 'underscores_in_headers on;' > /etc/nginx/conf.d/underscores.conf
"""
BALANCER = "--interface 127.0.0.2"
STRANGER = "--interface 127.0.0.1"


pytestmark = pytest.mark.one_host


@pytest.fixture(autouse=True, scope="module")
def proxy(host: Any, play: Any) -> Iterator[str]:
    """The site with all of that, and as it was before for whatever comes next. The value is what the run has shown."""
    host.check_output(PREPARE)
    result = play("molecule/tiny/nginx_alone.yml", "--diff", "-vvv", "--extra-vars", json.dumps(OPTIONS))
    assert result.returncode == 0, result.stdout
    yield result.stdout + result.stderr
    host.check_output("rm /etc/nginx/conf.d/underscores.conf /srv/tiny/user.ini")
    result = play("molecule/tiny/nginx_alone.yml")
    assert result.returncode == 0, result.stdout
    assert not host.file("/etc/nginx/tiny.secret").exists


def test_the_number_of_connections_is_changed_again(host: Any) -> None:
    (line,) = host.check_output("nginx -T 2>/dev/null | grep worker_connections").splitlines()
    assert line.split() == ["worker_connections", "4096;", *["#", "galaxyops.uwsgi.nginx_proxy,", "instead", "of", "768;"]]


def environ_of(host: Any, who: str, *headers: str) -> dict[str, str]:
    """What the application sees of a request that comes from this address with these headers."""
    options = " ".join(f"-H '{header}'" for header in headers)
    environ: dict[str, str] = json.loads(host.check_output(f"curl -sf {who} {options} http://127.0.0.1/tiny/"))["environ"]
    return environ


def test_the_application_is_below_the_prefix(site: Any) -> None:
    environ = site.get("/tiny/a%20b//c?d=1").json()["environ"]
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/tiny", "/a b/c", "d=1")
    assert environ["REQUEST_URI"] == "/tiny/a%20b//c?d=1"
    response = site.get("/tiny?d=1", allow_redirects=False)
    assert (response.status_code, response.headers["Location"]) == (308, "/tiny/?d=1")
    assert site.get("/other").status_code == 404
    assert site.get("/tinytoo").status_code == 404


def test_path_reaches_the_application_with_every_character(site: Any) -> None:
    assert site.get("/tiny/a%0ab").json()["environ"]["PATH_INFO"] == "/a\nb"
    # Patterns of an application may take it for the one without.
    assert site.get("/tiny/a%0a").status_code == 400


def test_what_a_killed_run_has_left_unloaded_is_loaded(host: Any, play: Any, site: Any) -> None:
    """The site is on disk as the run wants it, and nginx has loaded another one."""
    site_file = "/etc/nginx/sites-available/tiny.conf"
    host.check_output(
        f"cp {site_file} /root/site.conf && sed -i 's/location = .tiny {{/location = \\/other {{ return 204; }}\\n&/' {site_file} && nginx -s reload"
        f" && sleep 2 && cat /root/site.conf > {site_file}"
    )
    assert site.get("/other").status_code == 204
    variables = ("molecule/tiny/nginx_alone.yml", "--extra-vars", json.dumps(OPTIONS))
    for arguments, status in ((("--check",), 204), ((), 404)):
        assert "changed=1 " in play(*variables, *arguments).stdout
        assert site.get("/other").status_code == status
    changes_nothing(play(*variables))


def test_directory_that_nginx_cannot_enter_is_named(host: Any, play: Any) -> None:
    """Each file there would be a 404."""
    mode = host.check_output("stat -c %a /srv/tiny/data")
    host.check_output("chmod 0700 /srv/tiny/data")
    result = play("molecule/tiny/nginx_alone.yml", "--extra-vars", json.dumps(OPTIONS))
    host.check_output(f"chmod {mode} /srv/tiny/data")
    assert result.returncode != 0
    assert "www-data cannot enter /srv/tiny/data (mode 0700, " in result.stdout, result.stdout


def test_link_to_a_file_of_somebody_else_is_not_sent(host: Any, site: Any) -> None:
    """A job could make one to the datasets of another instance."""
    host.check_output("cd /srv/tiny/data && ln -sf /srv/tiny/one/hello.txt foreign && chown -h tiny: foreign && ln -sf letters.txt own")
    assert site.get("/tiny/download?file=/srv/tiny/data/own").text == "abcdefghijklmnopqrstuvwxyz"
    assert site.get("/tiny/download?file=/srv/tiny/data/foreign").status_code == 403
    host.check_output("rm /srv/tiny/data/foreign /srv/tiny/data/own")


def test_uploads_and_downloads_work_below_it(site: Any) -> None:
    assert site.post("/tiny/upload", data=b"x" * 5_000_000).json()["bytes"] == 5_000_000
    response = site.get("/tiny/download?file=/srv/tiny/data/letters.txt", headers={"Range": "bytes=1-3"})
    assert (response.status_code, response.text) == (206, "bcd")


def test_static_files_are_below_it(site: Any) -> None:
    response = site.get("/tiny/static/hello.txt")
    assert (response.text, "max-age" in response.headers["Cache-Control"]) == ("one\n", True)
    assert site.get("/static/hello.txt").status_code == 404
    # What is not there is left to the application.
    for path in ("/static/none", "/favicon.ico"):
        assert site.get(f"/tiny{path}").json()["environ"]["PATH_INFO"] == path


def test_the_balancer_is_believed(host: Any) -> None:
    request = uuid.uuid4().hex
    headers = ["X-Forwarded-For: 192.0.2.1, 198.51.100.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: tiny.example.org", f"X-Request-ID: {request}"]
    environ = environ_of(host, BALANCER, *headers)
    # The balancer has added the last one; what stands before it is what the client said.
    assert environ["REMOTE_ADDR"] == environ["HTTP_X_FORWARDED_FOR"] == "198.51.100.9"
    assert environ["wsgi.url_scheme"] == environ["HTTP_X_FORWARDED_PROTO"] == "https"
    assert environ["HTTP_HOST"] == "tiny.example.org"
    assert environ["HTTP_X_REQUEST_ID"] == request


@pytest.mark.parametrize("who", [STRANGER, BALANCER], ids=["stranger", "balancer"])
def test_nonsense_and_strangers_are_not(host: Any, who: str) -> None:
    headers = {
        STRANGER: ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example.org", f"X-Request-ID: {uuid.uuid4().hex}"],
        BALANCER: ["X-Forwarded-Proto: https evil", "X-Forwarded-Host: evil/x", "X-Request-ID: short"],
    }[who]
    environ = environ_of(host, who, *headers)
    assert environ["REMOTE_ADDR"] == who.split()[-1]
    assert environ["wsgi.url_scheme"] == environ["HTTP_X_FORWARDED_PROTO"] == "http"
    assert environ["HTTP_HOST"] == "127.0.0.1"
    assert len(environ["HTTP_X_REQUEST_ID"]) == 32
    assert headers[-1].split()[-1] != environ["HTTP_X_REQUEST_ID"]


USERS = ("Remote-User", "REMOTE_USER", "remote_user", "Remote_User", "X-Remote-User", "X_Forwarded_User")
FORGED = [
    *(f"{name}: root@example.org" for name in USERS for _twice in range(2)),
    *(f"{name}: guessed" for name in ("GX-Secret", "GX_SECRET", "gx_secret", "SSL-Client-S-DN", "SSL_CLIENT_VERIFY")),
    *(f"{name}: https" for name in ("X-Forwarded-Server", "X-Forwarded-Scheme", "X_Forwarded_SSL")),
]


def identity_of(environ: dict[str, str]) -> dict[str, str]:
    """What an application may take for the user, or for what only a proxy knows."""
    names = re.compile(r"REMOTE_USER|HTTP_(REMOTE_|GX_|SSL_|X_(REMOTE_|FORWARDED_(USER|SERVER|SCHEME|SSL)))")
    return {name: value for name, value in environ.items() if names.match(name)}


@pytest.fixture
def secret(host: Any) -> str:
    """What Galaxy and nginx share."""
    return str(host.check_output("sed -n 's/^remote_user_secret = //p' /srv/tiny/user.ini"))


def test_user_is_whom_the_trusted_proxy_names(host: Any, secret: str) -> None:
    environ = environ_of(host, BALANCER, "X-SSO-User: ada@example.org", *FORGED)
    assert identity_of(environ) == {"REMOTE_USER": "ada@example.org", "HTTP_REMOTE_USER": "ada@example.org", "HTTP_GX_SECRET": secret}
    assert environ["wsgi.url_scheme"] == "http"


def test_forged_user_reaches_the_application_from_nobody(host: Any, secret: str) -> None:
    """Nor an empty one, which a Galaxy with a maildomain takes for a user."""
    for who, headers in ((BALANCER, FORGED), (STRANGER, ["X-SSO-User: root@example.org", *FORGED])):
        assert identity_of(environ_of(host, who, *headers)) == {"HTTP_GX_SECRET": secret}


def test_secret_of_the_proxy_is_shown_nowhere(host: Any, proxy: str, secret: str) -> None:
    assert len(secret) == 48
    assert secret not in proxy
    assert host.check_output("stat -c '%U %G %a' /etc/nginx/tiny.secret") == "root root 600"
    assert host.check_output("stat -c %a /srv/tiny/user.ini") == "640"
    seen = host.check_output("ps -eo args; cat /etc/nginx/sites-available/* /var/log/nginx/*; journalctl --no-pager --quiet")
    assert secret not in seen


def test_a_request_is_found_in_every_log(host: Any, site: Any, manager: str) -> None:
    response = site.get('/tiny/find-me?quote="', headers={"User-Agent": 'a "browser"\\'})
    request = response.headers["X-Request-ID"]
    assert response.json()["environ"]["HTTP_X_REQUEST_ID"] == request
    assert response.headers["X-Own"] == "yes"
    # Every line is an object, whatever a client sends.
    lines = [json.loads(line) for line in host.check_output("grep '^{' /var/log/nginx/tiny.access.log").splitlines()]
    (entry,) = [line for line in lines if line["request_id"] == request]
    assert (entry["status"], entry["method"], entry["user_agent"]) == (200, "GET", 'a "browser"\\')
    assert entry["uri"].startswith("/tiny/find-me?quote=")
    command = {"systemd": "journalctl --no-pager -q -o cat -u 'tiny-web@*'", "supervisor": "cat /var/log/supervisor/tiny-web-*.log"}[manager]
    deadline = time.monotonic() + 10
    while f"request {request} " not in (log := host.check_output(command)):
        assert time.monotonic() < deadline, log[-2000:]
        time.sleep(0.5)
    (line,) = [line for line in log.splitlines() if f"request {request} " in line]
    assert " GET /tiny/find-me" in line
    assert " 200 " in line


def test_challenges_of_a_certificate_authority_are_answered(host: Any, site: Any) -> None:
    host.check_output("mkdir -p /srv/acme/.well-known/acme-challenge && echo token.key > /srv/acme/.well-known/acme-challenge/token")
    for get in (site.get, site.tls_get):
        response = get("/.well-known/acme-challenge/token")
        assert (response.status_code, response.text) == (200, "token.key\n")
    assert site.get("/.well-known/acme-challenge/none").status_code == 404


def test_a_further_run_changes_nothing(play: Any) -> None:
    result = play("molecule/tiny/nginx_alone.yml", "--extra-vars", json.dumps(OPTIONS))
    changes_nothing(result)


def test_what_the_workers_do_is_told(host: Any, play: Any, site: Any) -> None:
    """By the module, and by the command for a person."""
    site.get("/tiny/")
    result = play("molecule/tiny/uwsgi_info.yml")
    assert "ok=2 " in result.stdout, result.stdout
    assert "threads busy; " in host.check_output("tiny-web status")
