"""An application that Paste serves, to be moved to uWSGI: what every set-up of it has in common, and whoever visits it meanwhile.

What stands for Galaxy there is no more than its database of jobs, and a handler that says that it runs.
"""

from __future__ import annotations

import json
import threading
from typing import Any

import requests

NAME = "old.example.org"
CONFIG = "/srv/old/config/galaxy.ini"
BACKUP = "/var/backups/galaxyops/old"

# Its code, its jobs, its account and its virtualenv, which stays for the next set-up: uWSGI is installed there once.
PREPARE = """
set -eu
rm -rf /var/backups/galaxyops
mkdir -p /srv/old/config /srv/old/lib/galaxy/util /srv/old/database
touch /srv/old/lib/galaxy/__init__.py /srv/old/lib/galaxy/util/__init__.py
cat > /srv/old/lib/galaxy/util/properties.py <<'END'
def load_app_properties(ini_file):
    return {"database_connection": "sqlite:////srv/old/database/universe.sqlite"}
END
cat > /srv/old/lib/galaxy/main.py <<'END'
import json, os, signal, sys
name = next(word.partition("=")[2] for word in sys.argv if word.startswith("--server-name="))
with open(f"/srv/old/database/{name}.json", "w") as file:
    json.dump({"pid": os.getpid(), "words": sys.argv, "environment": dict(os.environ)}, file)
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
test -x /srv/old/.venv/bin/paster || {
    python3 -m venv /srv/old/.venv
    /srv/old/.venv/bin/pip install --quiet PasteScript setuptools SQLAlchemy waitress
}
dpkg -s supervisor >/dev/null 2>&1 || { apt-get update -q && apt-get install -y -q --no-install-recommends supervisor; }
"""
# To be called, with what curl needs besides, as soon as a program of supervisor and a site serve it.
START = """
started() {
    nginx -t -q && systemctl reload nginx
    systemctl start supervisor
    supervisorctl update
    for attempt in $(seq 300); do
        curl -sf "$@" -H 'Host: old.example.org' http://localhost/health >/dev/null && ! supervisorctl status | grep -q STARTING && return
        sleep 0.2
    done
    supervisorctl status
    for program in $(supervisorctl status | awk '{print $1}'); do supervisorctl tail "$program" stderr; done
    return 1
}
"""
# Where a test has failed, the application may still be where it was moved to.
CLEAN = """
if test -e /usr/local/sbin/old-handlers; then old-handlers remove; fi
if test -e /usr/local/sbin/old-web; then
    rm -f /etc/nginx/sites-enabled/old.conf
    systemctl reload nginx
    old-web remove
    rm -rf /etc/old /etc/nginx/sites-available/old.conf /etc/nginx/old.secret /etc/systemd/system/old-* /etc/systemd/system/old.slice
    rm -rf /usr/local/sbin/old-* /usr/local/lib/galaxyops/old-* /var/www/old
    systemctl daemon-reload
fi
find /srv/old -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {} +
rm -rf /var/backups/galaxyops
systemctl reload nginx
supervisorctl update
"""
ASK = """
import sqlite3
with sqlite3.connect("/srv/old/database/universe.sqlite") as database:
    for row in database.execute("{}"):
        print(*row)
"""


def run_script(host: Any, text: str) -> str:
    """Run a script of the shell on the host."""
    return str(host.check_output("cat > /tmp/script.sh <<'DONE'\n" + text + "DONE\nsh /tmp/script.sh"))


def migrate(play: Any, *arguments: str, **variables: Any) -> Any:
    """Run the playbook."""
    return play(
        "playbooks/migrate_from_paste.yml",
        "--extra-vars",
        json.dumps(variables),
        *arguments,
        hosts="migration_hosts.yml",
    )


def in_one_line(result: Any) -> str:
    """What a run has printed, without line breaks, and without the quotes, which YAML doubles."""
    return " ".join(result.stdout.replace("'", "").split())


def ask(host: Any, query: str) -> list[str]:
    """Ask what stands for Galaxy's database."""
    return str(host.check_output(f"runuser -u old python3 - <<'END'\n{ASK.format(query)}END")).splitlines()


class Visitor(threading.Thread):
    """Somebody who asks again and again, or sends something."""

    def __init__(self, site: Any, sends: bool = False, **options: Any) -> None:
        super().__init__(daemon=True)
        self.site = site
        self.sends = sends
        self.options = options
        self.failures: list[str] = []
        self.requests = 0
        self.left = threading.Event()

    def run(self) -> None:
        """Ask until it is time to leave."""
        while not self.left.wait(0.02):
            self.requests += 1
            try:
                if self.sends:
                    answer = self.site.post("/upload", headers={"Host": NAME}, data=b"x" * 1000, **self.options)
                else:
                    answer = self.site.get("/sleep?seconds=0.1", headers={"Host": NAME}, **self.options)
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


def version(site: Any, **options: Any) -> tuple[str, bool]:
    """What answers, and whether nginx asks by the uwsgi protocol."""
    answer = site.get("/", headers={"Host": NAME}, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()["version"], "DOCUMENT_ROOT" in answer.json()["environ"]
