"""An application that Paste serves under supervisor, as the training had it, is moved to uWSGI, and back, while it serves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

CONFIG = "/srv/old/config/galaxy.ini"
PREPARE = """
set -eu
rm -rf /var/backups/galaxyops
mkdir -p /srv/old/config /srv/old/lib
sed 's/^CODE = .*/CODE = ""/' /srv/tiny/tiny_app.py > /srv/old/lib/tiny_app.py
id old >/dev/null 2>&1 || useradd --system --home-dir /srv/old old
test -x /srv/old/.venv/bin/paster || { python3 -m venv /srv/old/.venv && /srv/old/.venv/bin/pip install --quiet PasteScript setuptools; }
dpkg -s supervisor >/dev/null 2>&1 || { apt-get update -q && apt-get install -y -q --no-install-recommends supervisor; }
{
    printf '[server:main]\\nuse = egg:Paste#http\\nport = 18080\\nhost = 127.0.0.1\\nthreadpool_workers = 6\\n\\n'
    for number in $(seq 300); do printf '# What option %s does.\\n#option_%s = 50%%\\n\\n' $number $number; done
    printf '[filter:proxy-prefix]\\nuse = egg:PasteDeploy#prefix\\nprefix = /old\\n\\n'
    printf '[app:main]\\npaste.app_factory = tiny_app:app_factory\\nversion = old\\n#filter-with = proxy-prefix\\n'
} > /srv/old/config/galaxy.ini
cat > /etc/supervisor/conf.d/galaxy.conf <<'END'
[program:web]
command = /srv/old/.venv/bin/paster serve config/galaxy.ini --server-name=main
directory = /srv/old
environment = PYTHONPATH="lib"
user = old

[program:other]
command = /bin/sleep infinity

[group:galaxy]
programs = web
END
cat > /etc/nginx/sites-available/old <<'END'
server {
    listen 80;
    server_name old.example.org;
    location / {
        proxy_pass http://127.0.0.1:18080;
        proxy_set_header Host $http_host;
    }
}
END
ln -sf ../sites-available/old /etc/nginx/sites-enabled/old
nginx -t -q && systemctl reload nginx
systemctl start supervisor
supervisorctl update
for attempt in $(seq 300); do
    curl -sf -H 'Host: old.example.org' http://localhost/health >/dev/null && ! supervisorctl status | grep -q STARTING && exit
    sleep 0.2
done
supervisorctl status
supervisorctl tail galaxy:web stderr
exit 1
"""
CLEAN = """
rm -f /etc/nginx/sites-enabled/old /etc/nginx/sites-available/old /etc/supervisor/conf.d/galaxy.conf
systemctl reload nginx
supervisorctl update
rm -rf /srv/old /var/backups/galaxyops
"""
VARIABLES = {
    "site_hosts": "molecule",
    "uwsgi_instance": "old",
    "uwsgi_config_file": CONFIG,
    # What the variables of this host say of its other application.
    "uwsgi_virtualenv": "/srv/old/.venv",
    "uwsgi_chdir": "/srv/old",
    "uwsgi_user": "old",
    "uwsgi_group": "old",
    "uwsgi_options": {},
    "nginx_proxy_ssl_certificate": "",
    "nginx_proxy_ssl_certificate_key": "",
    "nginx_proxy_x_accel_dirs": [],
    "nginx_proxy_config_file": "",
}
STATE = "cat {} /etc/supervisor/conf.d/galaxy.conf /etc/nginx/sites-enabled/old; readlink /etc/nginx/sites-enabled/old; supervisorctl status | cut -c-40"


pytestmark = pytest.mark.one_host("spare")


@pytest.fixture(autouse=True, scope="module")
def old(host: Any) -> Iterator[None]:
    """An application as the training leaves it."""
    host.check_output("cat > /tmp/prepare.sh <<'DONE'\n" + PREPARE + "DONE\nsh /tmp/prepare.sh")
    yield
    host.run("cat > /tmp/clean.sh <<'DONE'\n" + CLEAN + "DONE\nsh /tmp/clean.sh")


@pytest.fixture(scope="module")
def state(host: Any) -> str:
    """What the host looked like before."""
    return str(host.check_output(STATE.format(CONFIG)))


class Visitor(threading.Thread):
    """Somebody who asks again and again."""

    def __init__(self, site: Any) -> None:
        super().__init__(daemon=True)
        self.site = site
        self.failures: list[str] = []
        self.requests = 0
        self.left = threading.Event()

    def run(self) -> None:
        """Ask until it is time to leave."""
        while not self.left.wait(0.02):
            self.requests += 1
            try:
                answer = self.site.get("/sleep?seconds=0.1", headers={"Host": "old.example.org"})
                if not answer.ok:
                    self.failures.append(f"{self.requests}: {answer.status_code}")
            except requests.RequestException as error:
                self.failures.append(f"{self.requests}: {error}")

    def leave(self) -> list[str]:
        """Stop asking, and say what went wrong."""
        self.left.set()
        self.join()
        print(f"{self.requests} requests")
        assert self.requests > 20
        return self.failures


@pytest.fixture
def visitor(site: Any) -> Iterator[Visitor]:
    """Somebody who asks while a test runs."""
    asking = Visitor(site)
    asking.start()
    yield asking
    asking.left.set()


def migrate(play: Any, *arguments: str, **variables: Any) -> Any:
    """Run the playbook."""
    return play("playbooks/migrate_from_paste.yml", "--extra-vars", json.dumps({**VARIABLES, **variables}), *arguments)


def version(site: Any) -> tuple[str, bool]:
    """What answers, and whether nginx asks by the uwsgi protocol."""
    answer = site.get("/", headers={"Host": "old.example.org"})
    assert answer.status_code == 200, answer.text
    return answer.json()["version"], "DOCUMENT_ROOT" in answer.json()["environ"]


def test_the_plan_is_shown_and_nothing_done(host: Any, play: Any, site: Any, state: str) -> None:
    result = migrate(play, "--check", "--diff")
    assert result.returncode == 0, result.stdout
    assert "There is nothing to go back to: /var/backups/galaxyops/old" in migrate(play, migrate_state="undone").stdout
    for part in ("uwsgi_threads: 6", "- old.example.org", f"{CONFIG}:1: server:main: port 18080 is no longer used", "galaxy.conf:1: web: stopped"):
        assert part in result.stdout, result.stdout
    assert host.check_output(STATE.format(CONFIG)) == state
    assert version(site) == ("old", False)


def test_it_is_moved_without_a_lost_request(host: Any, play: Any, site: Any, visitor: Visitor, state: str) -> None:
    result = migrate(play)
    assert result.returncode == 0, result.stdout
    assert visitor.leave() == []
    assert version(site) == ("old", True)
    assert "[program:web]" not in host.check_output("cat /etc/supervisor/conf.d/galaxy.conf")
    programs = host.check_output("supervisorctl status")
    assert "web" not in programs
    assert "other" in programs
    assert not host.socket("tcp://127.0.0.1:18080").is_listening
    assert not host.file("/etc/nginx/sites-enabled/old").exists
    assert host.check_output(f"sed -n 's/^threads = //p' {CONFIG}") == "6"


def test_again_changes_nothing(play: Any) -> None:
    result = migrate(play)
    assert "changed=0 " in result.stdout, result.stdout


def test_the_way_back_is_as_smooth(host: Any, play: Any, site: Any, visitor: Visitor, state: str) -> None:
    result = migrate(play, migrate_state="undone")
    assert result.returncode == 0, result.stdout
    assert visitor.leave() == []
    assert version(site) == ("old", False)
    assert host.check_output(STATE.format(CONFIG)) == state
    assert not host.file("/usr/local/sbin/old-web").exists


def test_what_is_in_the_way_is_named(host: Any, play: Any) -> None:
    host.check_output("echo 'server { server_name other.example.org; return 404; }' >> /etc/nginx/sites-available/old")
    host.check_output("mv /etc/supervisor/conf.d/galaxy.conf /etc/supervisor/conf.d/old-web.conf")
    result = migrate(play)
    host.check_output("mv /etc/supervisor/conf.d/old-web.conf /etc/supervisor/conf.d/galaxy.conf")
    assert result.returncode != 0
    assert "/etc/supervisor/conf.d/old-web.conf: the roles write a file of that name for the instance old" in result.stdout, result.stdout
    assert "/etc/nginx/sites-enabled/old:9: the file has a site of something else too" in result.stdout, result.stdout
