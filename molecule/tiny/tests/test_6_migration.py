"""An application that Paste serves under supervisor, as the training had it, is moved to uWSGI, and back, while it serves.

Its job configuration has the handler main, as Galaxy's basic sample did. What stands for Galaxy there is no more than its database of jobs,
and a handler that says that it runs.
"""

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
mkdir -p /srv/old/config /srv/old/lib/galaxy/util /srv/old/database
printf '<job_conf>\\n  <plugins/>\\n  <handlers>\\n    <handler id="main"/>\\n  </handlers>\\n</job_conf>\\n' > /srv/old/config/job_conf.xml
touch /srv/old/lib/galaxy/__init__.py /srv/old/lib/galaxy/util/__init__.py
cat > /srv/old/lib/galaxy/util/properties.py <<'END'
def load_app_properties(ini_file):
    return {"database_connection": "sqlite:////srv/old/database/universe.sqlite"}
END
cat > /srv/old/lib/galaxy/main.py <<'END'
import signal, sys
name = sys.argv[-1].partition("=")[2]
print(f"Galaxy server instance '{name}' is running", flush=True)
signal.pause()
END
python3 - <<'END'
import sqlite3
with sqlite3.connect("/srv/old/database/universe.sqlite") as database:
    database.executescript('''
        DROP TABLE IF EXISTS job;
        DROP TABLE IF EXISTS workflow_invocation;
        CREATE TABLE job (id INTEGER PRIMARY KEY, state TEXT, handler TEXT, tool_id TEXT, job_runner_name TEXT, job_runner_external_id TEXT);
        CREATE TABLE workflow_invocation (id INTEGER PRIMARY KEY, state TEXT, handler TEXT);
        INSERT INTO job (state, handler) VALUES ('new', 'main'), ('ok', 'main');
        INSERT INTO workflow_invocation (state, handler) VALUES ('new', 'main');
    ''')
END
sed 's/^CODE = .*/CODE = ""/' /srv/tiny/tiny_app.py > /srv/old/lib/tiny_app.py
id old >/dev/null 2>&1 || useradd --system --home-dir /srv/old old
chown -R old:old /srv/old/database
test -x /srv/old/.venv/bin/paster || { python3 -m venv /srv/old/.venv && /srv/old/.venv/bin/pip install --quiet PasteScript setuptools SQLAlchemy; }
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
STATE = (
    "cat {} /srv/old/config/job_conf.xml /etc/supervisor/conf.d/galaxy.conf /etc/nginx/sites-enabled/old; "
    "readlink /etc/nginx/sites-enabled/old; supervisorctl status | cut -c-40"
)


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


ASK = """
import sqlite3
with sqlite3.connect("/srv/old/database/universe.sqlite") as database:
    for row in database.execute("{}"):
        print(*row)
"""


def ask(host: Any, query: str) -> list[str]:
    """Ask what stands for Galaxy's database."""
    return str(host.check_output(f"runuser -u old python3 - <<'END'\n{ASK.format(query)}END")).splitlines()


def test_the_plan_is_shown_and_nothing_done(host: Any, play: Any, site: Any, state: str) -> None:
    result = migrate(play, "--check", "--diff")
    assert result.returncode == 0, result.stdout
    assert "There is nothing to go back to: /var/backups/galaxyops/old" in migrate(play, migrate_state="undone").stdout
    # Without the quotes, which YAML doubles.
    assert "/srv/old/config/job_conf.xml:4: the handler main becomes handler0" in " ".join(result.stdout.replace("'", "").split()), result.stdout
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


def test_the_handler_main_is_called_handler0_and_has_its_jobs(host: Any) -> None:
    assert host.service("old-handler@handler0.service").is_running
    job_conf = host.check_output("cat /srv/old/config/job_conf.xml")
    assert ('id="handler0"' in job_conf, 'id="main"' in job_conf) == (True, False), job_conf
    assert ask(host, "SELECT state, handler FROM job ORDER BY id") == ["new handler0", "ok main"]
    assert ask(host, "SELECT state, handler FROM workflow_invocation") == ["new handler0"]


def test_again_changes_nothing(play: Any) -> None:
    result = migrate(play)
    assert "changed=0 " in result.stdout, result.stdout


def test_the_way_back_is_as_smooth(host: Any, play: Any, site: Any, visitor: Visitor, state: str) -> None:
    ask(host, "INSERT INTO job (state, handler) VALUES ('new', 'handler0')")
    result = migrate(play, migrate_state="undone")
    assert result.returncode == 0, result.stdout
    assert visitor.leave() == []
    assert version(site) == ("old", False)
    assert host.check_output(STATE.format(CONFIG)) == state
    assert not host.file("/usr/local/sbin/old-web").exists
    assert not host.file("/usr/local/sbin/old-handlers").exists
    assert ask(host, "SELECT state, handler FROM job ORDER BY id") == ["new main", "ok main", "new main"]
    assert ask(host, "SELECT state, handler FROM workflow_invocation") == ["new main"]


def test_what_is_in_the_way_is_named(host: Any, play: Any) -> None:
    host.check_output("echo 'server { server_name other.example.org; return 404; }' >> /etc/nginx/sites-available/old")
    host.check_output("mv /etc/supervisor/conf.d/galaxy.conf /etc/supervisor/conf.d/old-web.conf")
    result = migrate(play)
    host.check_output("mv /etc/supervisor/conf.d/old-web.conf /etc/supervisor/conf.d/galaxy.conf")
    assert result.returncode != 0
    assert "/etc/supervisor/conf.d/old-web.conf: the roles write a file of that name for the instance old" in result.stdout, result.stdout
    assert "/etc/nginx/sites-enabled/old:9: the file has a site of something else too" in result.stdout, result.stdout
