"""What the world, and a neighbour on the host, get from a served application."""

from __future__ import annotations

import json
import re
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from slots import serving

ORIGINAL = (Path(__file__).parents[1] / "files" / "tiny.ini").read_text()

# Sends one raw uwsgi packet to the web's socket and prints the answer.
PACKET = """
import socket, struct, sys
pairs = dict(item.split("=", 1) for item in sys.argv[1:])
body = b"".join(struct.pack("<H", len(part)) + part for item in pairs.items() for part in (text.encode() for text in item))
connection = socket.socket(socket.AF_UNIX)
connection.connect("/run/tiny/web.sock")
connection.sendall(struct.pack("<BHB", 0, len(body), 0) + body)
print(connection.makefile("rb").read().decode())
"""


@pytest.mark.one_host
@pytest.mark.usefixtures("name")
def test_the_playbook_has_restarted_one_host_after_the_other(all_hosts: list[Any]) -> None:
    """It ran before the tests: the second host began when the first had done."""
    first, second = ([json.loads(host.check_output(f"cat /run/tiny/web-2/{file}")) for file in ("pid", "started")] for host in all_hosts[:2])
    assert first[0]["time"] + first[1]["seconds"] < second[0]["time"]


def test_answers_through_nginx(site: Any) -> None:
    response = site.get("/hello")
    assert response.status_code == 200
    assert response.json()["version"] == "1"
    assert "nginx" in response.headers["Server"]


def test_application_learns_what_the_client_really_asked_for(site: Any) -> None:
    spoofed = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1", "UWSGI-FILE": "/tmp/x.py"}
    environ = site.get("/", headers=spoofed).json()["environ"]
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_X_FORWARDED_PROTO"] == "http"
    assert environ["HTTP_HOST"] == site.url.removeprefix("http://")
    assert "192.0.2.1" not in environ["HTTP_X_FORWARDED_FOR"]
    assert "UWSGI_FILE" not in environ


def test_exception_of_the_application_is_an_error_500_and_no_maintenance(site: Any) -> None:
    response = site.get("/raise")
    assert (response.status_code, response.text.strip()) == (500, "Internal Server Error")


def test_answers_with_tls(site: Any) -> None:
    answer = site.tls_get("/")
    assert answer.json()["environ"]["wsgi.url_scheme"] == "https"
    assert "Strict-Transport-Security" not in answer.headers
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    address, port = site.address(443).split(":")
    with socket.create_connection((address, int(port))) as plain, context.wrap_socket(plain) as encrypted:
        assert (encrypted.version(), encrypted.selected_alpn_protocol()) == ("TLSv1.3", "h2")


def test_requests_run_side_by_side_in_several_processes(site: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = [response.json() for response in pool.map(lambda _: site.get("/sleep?seconds=1"), range(8))]
    assert len({answer["pid"] for answer in answers}) == 2
    assert len({(answer["pid"], answer["thread"]) for answer in answers}) == 8


def test_large_cookie_passes(site: Any) -> None:
    response = site.get("/", headers={"Cookie": "session=" + "x" * 60_000})
    assert response.status_code == 200
    assert len(response.json()["environ"]["HTTP_COOKIE"]) == 60_008


def test_many_headers_pass(site: Any) -> None:
    """uWSGI alone would take a hundred, and nginx takes less than a thousand."""
    environ = site.get("/", headers={f"X-{number}": "1" for number in range(900)}).json()["environ"]
    assert len([name for name in environ if re.fullmatch(r"HTTP_X_\d+", name)]) == 900
    assert site.get("/", headers={f"X-{number}": "1" for number in range(3000)}).status_code == 431


def test_request_that_is_too_large_is_told_so(site: Any) -> None:
    """Not as an error of the application, and not as if it were being restarted."""
    assert site.get("/" + "x" * 33_000).status_code == 414
    response = site.get("/", headers={f"X-{number}": "x" * 1000 for number in range(70)})
    assert (response.status_code, "header of the request is too large" in response.text) == (431, True)
    assert site.get("/", headers={"Cookie": "x" * 70_000}).status_code == 431


def test_large_upload_passes(site: Any) -> None:
    assert site.post("/upload", data=b"x" * 50_000_000).json()["bytes"] == 50_000_000


def test_files_are_sent_by_nginx_on_the_applications_word_only(site: Any) -> None:
    response = site.get("/download?file=/srv/tiny/data/letters.txt", headers={"Range": "bytes=1-3"})
    assert (response.status_code, response.text) == (206, "bcd")
    assert site.get("/_x_accel_redirect/srv/tiny/data/letters.txt").status_code == 404
    assert site.get("/download?file=/srv/tiny/secret.txt").status_code == 404
    assert site.get("/download?file=/srv/tiny/data/../secret.txt").status_code == 404


def test_repeated_options_all_hold(host: Any) -> None:
    slot = serving(host, "tiny")
    for which in ("one", "two"):
        command = f"curl -sf --unix-socket /run/tiny/web-{slot}/http.sock http://localhost/{which}/hello.txt"
        assert host.check_output(command) == which


def test_only_the_proxy_reaches_the_socket(host: Any) -> None:
    socket = host.file("/run/tiny/web.sock")
    assert (socket.user, socket.group, socket.mode) == ("tiny", "galaxyops-nginx", 0o660)
    slot = serving(host, "tiny")
    private = host.file(f"/run/tiny/web-{slot}")
    assert (private.user, private.group, private.mode) == ("tiny", "tiny", 0o750)
    for name in ("http.sock", "stats.sock"):
        assert host.file(f"/run/tiny/web-{slot}/{name}").mode == 0o600
    connect = 'python3 -c "import socket; socket.socket(1).connect(\\"/run/tiny/web.sock\\")"'
    # As a site in PHP would run: as nginx's user, with all of that user's groups.
    for user in ("nobody", "www-data"):
        result = host.run(f"setpriv --reuid {user} --regid {user} --init-groups {connect}" if user != "nobody" else f"su nobody -s /bin/sh -c '{connect}'")
        assert (result.rc != 0, "PermissionError" in result.stderr) == (True, True), result.stderr
    assert host.run(f"setpriv --reuid www-data --regid galaxyops-nginx --clear-groups {connect}").rc == 0


def test_socket_runs_no_code_for_who_reaches_it(host: Any) -> None:
    host.check_output("rm -f /tmp/proof && printf 'open(\"/tmp/proof\", \"w\")\\n' > /tmp/evil.py && chmod 644 /tmp/evil.py")
    request = "REQUEST_METHOD=GET PATH_INFO=/ SERVER_NAME=x SERVER_PORT=80 SERVER_PROTOCOL=HTTP/1.1"
    host.check_output("cat > /tmp/packet.py <<'END'\n" + PACKET + "\nEND\n")
    assert "200 OK" in host.check_output(f"python3 /tmp/packet.py {request}")
    for variable in ("UWSGI_FILE=/tmp/evil.py", "UWSGI_MODULE=evil", "UWSGI_SCRIPT=evil", "UWSGI_FILE=exec://touch /tmp/proof"):
        assert "403" in host.check_output(f"python3 /tmp/packet.py {request} UWSGI_APPID=new '{variable}'")
    assert not host.file("/tmp/proof").exists


def test_environment_reaches_the_application_and_nobody_else(host: Any, site: Any) -> None:
    assert site.get("/process").json()["process"]["TINY_SECRET"] == 'pa$$ "x7f3a" %n'
    file = host.file("/etc/tiny/web.env")
    assert (file.user, file.group, file.mode) == ("root", "tiny", 0o640)
    assert "x7f3a" not in host.check_output("cat /etc/systemd/system/tiny-web@.service; ps -eo args; journalctl --no-pager -q")


def test_file_of_somebody_else_keeps_every_byte(host: Any) -> None:
    text = host.check_output("cat /srv/tiny/tiny.ini; echo end")
    assert text.startswith(ORIGINAL)
    assert text.removeprefix(ORIGINAL).lstrip().startswith("[uwsgi]\n")
    assert host.file("/srv/tiny/tiny.ini").mode == 0o640


def test_stats_are_there_for_root(host: Any) -> None:
    path = f"/run/tiny/web-{serving(host, 'tiny')}/stats.sock"
    stats = json.loads(host.check_output(f"python3 -c 'import socket;s=socket.socket(1);s.connect(\"{path}\");print(s.makefile().read())'"))
    assert len(stats["workers"]) == 2
    assert all(len(worker["cores"]) == 4 for worker in stats["workers"])


def test_processes_run_as_their_user(host: Any) -> None:
    users = {process.user for process in host.process.filter(comm="uwsgi")} | {process.user for process in host.process.filter(comm="uWSGI master")}
    assert users == {"tiny"}


def test_status_tells_a_person(host: Any, manager: str) -> None:
    result = host.run("tiny-web status")
    assert result.rc == 0
    name = {"systemd": "tiny-web@{}.service", "supervisor": "tiny-web-{}"}[manager].format(serving(host, "tiny"))
    assert f"{name}: active, pid " in result.stdout
