"""A site with all that a move cannot carry over by itself: the plan names it, and nothing moves before it is settled.

The files of the site are in files/old_site, as they lie on the host.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from old_application import (
    CLEAN,
    CONFIG,
    NAME,
    PREPARE,
    START,
    Visitor,
    ask,
    in_one_line,
    migrate,
    run_script,
    version,
)
from runs import changes_nothing

FILES = Path(__file__).parents[1] / "files" / "old_site"
SITE, PROXY = "/etc/nginx/sites-enabled/old", "/etc/nginx/snippets/old-proxy.conf"
WEB, POOL = "/etc/supervisor/conf.d/old.conf", "/srv/old/supervisor/pool.ini"
ZONE = "limit_req_zone $binary_remote_addr zone=old_visitors:1m rate=500r/s;"
ADA = ("ada", "swordfish")

SET_UP = """
dpkg -s libnginx-mod-http-auth-pam >/dev/null 2>&1 || apt-get install -y -q --no-install-recommends libnginx-mod-http-auth-pam
mkdir -p /root/before-test
cp -a /etc/nginx/nginx.conf /etc/supervisor/supervisord.conf /root/before-test
# The application stands in nginx.conf, and programs in a directory of their own.
sed -i 's/^http {$/&\\n\\tupstream old_galaxy {\\n\\t\\tserver 127.0.0.1:18080;\\n\\t\\tserver 127.0.0.1:18081;\\n\\t}/' /etc/nginx/nginx.conf
sed -i 's,^files = .*,& /srv/old/supervisor/*.ini,' /etc/supervisor/supervisord.conf
mkdir -p /etc/nginx/old-tls
cp /srv/tiny/tls/fullchain.pem /etc/nginx/old-tls/old.example.org.pem
cp /srv/tiny/tls/privkey.pem /etc/nginx/old-tls/old.example.org.key
chgrp www-data /etc/nginx/old-tls/old.example.org.key
chmod 0640 /etc/nginx/old-tls/old.example.org.key
echo 'ada:{PLAIN}swordfish' > /etc/nginx/old.htpasswd
printf 'auth required pam_permit.so\\naccount required pam_permit.so\\n' > /etc/pam.d/nginx
# The file is root's, and the processes are those of somebody else.
chown -R root:old /srv/old/config
chmod 0640 /srv/old/config/*
ln -s ../sites-available/old /etc/nginx/sites-enabled/old
ln -s ../sites-available/neighbour /etc/nginx/sites-enabled/neighbour
systemctl restart supervisor
for attempt in $(seq 50); do supervisorctl pid >/dev/null 2>&1 && break; sleep 0.2; done
started -u ada:swordfish
"""
REMOVE = """
rm -rf /etc/nginx/sites-enabled/old /etc/nginx/sites-available/old /etc/nginx/sites-enabled/neighbour /etc/nginx/sites-available/neighbour
rm -rf /etc/nginx/snippets/old-proxy.conf /etc/nginx/conf.d/old-zone.conf /etc/nginx/old-tls /etc/nginx/old.htpasswd /etc/pam.d/nginx
rm -rf /etc/supervisor/conf.d/old.conf
mv /root/before-test/nginx.conf /etc/nginx/nginx.conf
mv /root/before-test/supervisord.conf /etc/supervisor/supervisord.conf
rm -rf /root/before-test
"""
# Prints every file, link and directory with its mode, its owner and its content, and what the service managers have.
STATE = """
import grp, hashlib, json, os, pwd, stat, subprocess
state = {}
for top in ("/etc", "/usr/local", "/var/www", "/srv/old", "/run/old"):
    for place, directories, names in os.walk(top):
        directories[:] = [name for name in directories if name not in (".venv", "__pycache__", "database")]
        for path in (os.path.join(place, name) for name in [*directories, *names]):
            found = os.lstat(path)
            content = os.readlink(path) if stat.S_ISLNK(found.st_mode) else ""
            if stat.S_ISREG(found.st_mode):
                content = hashlib.sha256(open(path, "rb").read()).hexdigest()
            state[path] = f"{found.st_mode:o} {pwd.getpwuid(found.st_uid).pw_name} {grp.getgrgid(found.st_gid).gr_name} {content}"
def lines(*command):
    return [line.split()[:2] for line in subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.splitlines()]
state["programs"] = lines("supervisorctl", "status")
state["units"] = lines("systemctl", "list-unit-files", "--no-legend", "--plain")
state["failed"] = lines("systemctl", "--failed", "--no-legend", "--plain")
print(json.dumps(state))
"""

# What the messages tell to write into the inventory.
SETTLED = {
    "nginx_proxy_server_snippet": """\
auth_basic "Old site";
auth_basic_user_file /etc/nginx/old.htpasswd;
deny 127.0.0.9;
location /staff {
    auth_basic off;
    auth_pam "Staff";
    auth_pam_service_name nginx;
    uwsgi_pass unix:/run/old/web.sock;
}
location /reports/ {
    allow 127.0.0.1;
    deny all;
    proxy_pass http://127.0.0.1:9001/;
}
location /gie_proxy {
    proxy_pass http://127.0.0.1:9001;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection upgrade;
}
location /_upload {
    rewrite ^ /upload break;
    uwsgi_pass unix:/run/old/web.sock;
}
""",
    "nginx_proxy_location_snippet": """\
auth_basic "Old site";
auth_basic_user_file /etc/nginx/old.htpasswd;
limit_req zone=old_visitors burst=100 nodelay;
""",
    "nginx_proxy_remote_user": "$remote_user",
    "nginx_proxy_ssl_certificate": "/etc/nginx/old-tls/old.example.org.pem",
    "nginx_proxy_ssl_certificate_key": "/etc/nginx/old-tls/old.example.org.key",
    "job_handlers_assign_with": ["db-transaction-isolation"],
}

pytestmark = pytest.mark.one_host("spare")


def line_of(path: str, text: str) -> int:
    """The number of the line with a text, in a file as it lies on the host."""
    source = FILES / path.replace("sites-enabled", "sites-available").lstrip("/")
    (number,) = (number for number, line in enumerate(source.read_text().splitlines(), 1) if text in line)
    return number


def dropped() -> list[str]:
    """What is dropped on purpose."""
    return [f"{SITE}:{line_of(SITE, 'location /phpmyadmin')}"]


def settle(play: Any, *arguments: str, **variables: Any) -> Any:
    """Run the playbook with all that is to be settled."""
    return migrate(play, *arguments, **{**SETTLED, "migrate_leave_behind": dropped(), **variables})


def state_of(host: Any) -> dict[str, Any]:
    """All that a move may change on the host, and more."""
    found: dict[str, Any] = json.loads(host.check_output("python3 - <<'END'\n" + STATE + "END"))
    return found


def difference(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """What is not the same in two states."""
    return {
        name: (first.get(name), second.get(name))
        for name in first.keys() | second.keys()
        if first.get(name) != second.get(name)
    }


# What visitors ask for: the options of curl, and the address.
QUESTIONS = {
    "password": "-u ada:swordfish http://localhost/",
    "no password": "http://localhost/",
    "wrong password": "-u ada:cod http://localhost/",
    "password with TLS": "-u ada:swordfish -k --resolve old.example.org:443:127.0.0.1 https://old.example.org/",
    "no password with TLS": "-k --resolve old.example.org:443:127.0.0.1 https://old.example.org/",
    "denied address": "-u ada:swordfish --interface 127.0.0.9 http://127.0.0.1/",
    "static file": "http://localhost/static/style.css",
    "staff": "-u bob:any http://localhost/staff",
    "staff, nobody": "http://localhost/staff",
    "reports": "-u ada:swordfish http://localhost/reports/",
    "reports, no password": "http://localhost/reports/",
    "reports, from elsewhere": "-u ada:swordfish --interface $(hostname -i | cut -d' ' -f1) http://$(hostname -i | cut -d' ' -f1)/reports/",
    "interactive environment": "-u ada:swordfish http://localhost/gie_proxy/x",
    "interactive environment, no password": "http://localhost/gie_proxy/x",
    "upload": "-u ada:swordfish --data-binary 0123456789 http://localhost/_upload",
    "neighbour": "http://localhost:8080/",
}


def answers(host: Any) -> dict[str, tuple[str, str, Any]]:
    """What visitors get: the status, the version of the application that answers, and how many bytes have come to it."""
    ask_all = "\n".join(
        f"curl -s -H 'Host: {NAME}' -w '\\n%{{http_code}}\\n--\\n' {question}" for question in QUESTIONS.values()
    )
    found = {}
    for name, answer in zip(QUESTIONS, host.check_output(ask_all).split("\n--")):
        text, _newline, status = answer.strip().rpartition("\n")
        body = json.loads(text) if status == "200" else {}
        found[name] = (status, body.get("version", ""), body.get("bytes"))
    return found


@pytest.fixture(autouse=True, scope="module")
def old(host: Any, container: str) -> Iterator[None]:
    """The site, and its neighbour."""
    archive = subprocess.run(
        ["tar", "--create", "--owner=root", "--group=root", "."], cwd=FILES, stdout=subprocess.PIPE, check=True
    )
    host.check_output("mkdir -p /srv/old")
    extract = ["podman", "exec", "-i", container, "tar", "--extract", "--no-overwrite-dir", "--directory=/"]
    subprocess.run(extract, input=archive.stdout, check=True)
    try:
        run_script(host, PREPARE + START + SET_UP)
        yield
    finally:
        run_script(host, REMOVE + CLEAN)


@pytest.fixture(scope="module")
def state(host: Any) -> dict[str, Any]:
    """The host before the first run."""
    return state_of(host)


@pytest.fixture(scope="module")
def before(host: Any) -> dict[str, tuple[str, str, Any]]:
    """What visitors got from the old site."""
    found = answers(host)
    assert {name: status for name, (status, _version, _bytes) in found.items()} == {
        **dict.fromkeys(QUESTIONS, "200"),
        **dict.fromkeys((name for name in QUESTIONS if "no" in name.split() or "nobody" in name), "401"),
        "wrong password": "401",
        "static file": "401",
        "denied address": "403",
        "reports, from elsewhere": "403",
    }
    return found


@pytest.fixture
def visitors(site: Any) -> Iterator[list[Visitor]]:
    """People who have a password, and ask or send something while a test runs."""
    asking = [Visitor(site, sends=sends, auth=ADA) for sends in (False, False, False, True)]
    for visitor in asking:
        visitor.start()
    yield asking
    for visitor in asking:
        visitor.left.set()


def lost(visitors: list[Visitor]) -> list[str]:
    """The requests of the visitors that failed, after all have left."""
    return [failure for visitor in visitors for failure in visitor.leave()]


PROBLEMS = {
    SITE: [
        ZONE,
        'auth_basic "Old site"',
        "deny 127.0.0.9",
        "limit_req zone",
        'auth_pam "Staff"',
        "auth_pam_service_name",
        "allow 127.0.0.1",
        "deny all",
        "proxy_pass http://127.0.0.1:9001/;",
        "proxy_pass http://127.0.0.1:9001;",
        "proxy_pass http://old_galaxy/upload",
        "location /phpmyadmin",
    ],
    PROXY: ["REMOTE_USER"],
    CONFIG: ["nginx_upload_store", "nginx_upload_path"],
}
OTHERS = {
    SITE: ["ssl_certificate /", "ssl_certificate_key /"],
    CONFIG: ["[server:main]", "[server:web1]", "[server:manager0]", "[server:job1]"],
    WEB: ["[program:web]", "[program:web1]"],
    POOL: ["[program:pool]", "umask"],
}


def test_the_plan_names_everything_and_changes_nothing(
    host: Any, play: Any, note: Any, state: Any, before: Any
) -> None:
    result = migrate(play, "--check")
    text = in_one_line(result)
    assert result.returncode != 0
    for path, lines in [*PROBLEMS.items(), *OTHERS.items()]:
        for line in lines:
            assert f"{path}:{line_of(path, line)}: " in text, (line, result.stdout)
    for part in (
        "galaxy_user: old",
        "galaxy_venv_dir: /srv/old/.venv",
        "uwsgi_processes: 2",
        "job_handlers_mode: dynamic",
        "- id: handler0",
        "- id: handler2",
        "DRMAA_LIBRARY_PATH: /usr/lib/slurm-drmaa/lib/libdrmaa.so",
        "SLURM_CONF: /etc/slurm/slurm.conf",
        "nginx_proxy_read_timeout: 900",
    ):
        assert part in text, (part, result.stdout)
    assert "neighbour" not in text
    assert "reports.ini" not in text
    note(f"the plan has {len(result.stdout.splitlines())} lines")
    assert len(result.stdout.splitlines()) < 150, result.stdout
    assert "changed=0 " in result.stdout, result.stdout
    assert difference(state, state_of(host)) == {}


def test_nothing_moves_before_problems_are_settled(host: Any, play: Any, state: Any, before: Any) -> None:
    result = migrate(play)
    assert result.returncode != 0
    assert "changed=0 " in result.stdout, result.stdout
    assert difference(state, state_of(host)) == {}
    assert answers(host) == before


@pytest.fixture(scope="module")
def settled(host: Any, before: Any) -> dict[str, Any]:
    """The host before the move, as the messages want it: with the zone in a file of its own."""
    host.check_output(f"grep -F '{ZONE}' {SITE} > /etc/nginx/conf.d/old-zone.conf")
    # Its line stays, so that those of the others have the same numbers.
    host.check_output("sed -i '1s/.*//' /etc/nginx/sites-available/old && nginx -t -q && systemctl reload nginx")
    return state_of(host)


def test_old_site_serves_on_where_nginx_refuses_the_new_one(
    host: Any, play: Any, visitors: list[Visitor], before: Any, settled: Any
) -> None:
    result = settle(
        play, nginx_proxy_location_snippet=f"{SETTLED['nginx_proxy_location_snippet']}limit_conn nowhere 5;"
    )
    assert result.returncode != 0
    text = in_one_line(result)
    assert "nginx has not been turned to the new processes, and the old ones serve on:" in text, result.stdout
    assert 'zero size shared memory zone "nowhere"' in text.rpartition("serve on:")[2], result.stdout
    assert lost(visitors) == []
    assert answers(host) == before


def test_it_moves_without_a_lost_request_and_guards_guard(
    host: Any, play: Any, site: Any, visitors: list[Visitor], before: Any, settled: Any
) -> None:
    result = settle(play)
    assert result.returncode == 0, result.stdout
    assert lost(visitors) == []
    assert version(site, auth=ADA) == ("old", True)
    assert answers(host) == before
    spoofed = site.get("/", headers={"Host": NAME, "Remote-User": "root", "REMOTE_USER": "root"}, auth=ADA).json()[
        "environ"
    ]
    assert {value for header, value in spoofed.items() if header.endswith("REMOTE_USER")} == {"ada"}


def test_each_handler_has_a_successor_with_the_variables_of_the_old(host: Any) -> None:
    for number in range(3):
        service = host.service(f"old-handler@handler{number}.service")
        assert service.is_running
        handler = json.loads(host.check_output(f"cat /srv/old/database/handler{number}.json"))
        assert str(handler["pid"]) == service.systemd_properties["MainPID"]
        assert "--attach-to-pool=job-handlers" in " ".join(handler["words"]).replace("-pool ", "-pool=")
        assert handler["environment"]["DRMAA_LIBRARY_PATH"] == "/usr/lib/slurm-drmaa/lib/libdrmaa.so"
        assert handler["environment"]["SLURM_CONF"] == "/etc/slurm/slurm.conf"
    assert host.check_output("supervisorctl status | awk '{print $1, $2}'") == "reports RUNNING"
    assert not host.file(POOL).exists


def test_again_changes_nothing(play: Any) -> None:
    result = settle(play)
    changes_nothing(result)


def test_the_way_back_restores_every_byte(
    host: Any, play: Any, site: Any, visitors: list[Visitor], before: Any, settled: Any
) -> None:
    result = settle(play, migrate_state="undone")
    assert result.returncode == 0, result.stdout
    assert lost(visitors) == []
    assert version(site, auth=ADA) == ("old", False)
    assert difference(settled, state_of(host)) == {}
    assert answers(host) == before
    assert ask(host, "SELECT state, handler FROM job ORDER BY id") == ["new main", "ok main"]


def test_handlers_that_only_the_file_names_become_handlers(host: Any, play: Any) -> None:
    """As Galaxy had them before it had job configurations."""
    host.check_output(f"mv /srv/old/config/job_conf.xml {POOL} /root")
    result = settle(play, "--check", job_handlers_assign_with=["db-preassign"])
    host.check_output(f"mv /root/job_conf.xml /srv/old/config && mv /root/pool.ini {POOL}")
    text = in_one_line(result)
    assert "uwsgi_processes: 2" in text, result.stdout
    assert "job_handlers: - id: job1 tags: []" in text, result.stdout
