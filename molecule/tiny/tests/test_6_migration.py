"""An application that Paste serves under supervisor, as the training had it, is moved to uWSGI, and back, while it serves.

Its job configuration has the handler main, as Galaxy's basic sample did.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from old_application import BACKUP, CLEAN, CONFIG, PREPARE, START, Visitor, ask, in_one_line, migrate, run_script, version
from runs import changes_nothing

SET_UP = """
printf '<job_conf>\\n  <plugins/>\\n  <handlers>\\n    <handler id="main"/>\\n  </handlers>\\n</job_conf>\\n' > /srv/old/config/job_conf.xml
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
started
"""
REMOVE = "rm -f /etc/nginx/sites-enabled/old /etc/nginx/sites-available/old /etc/supervisor/conf.d/galaxy.conf\n"
STATE = (
    "cat {} /srv/old/config/job_conf.xml /etc/supervisor/conf.d/galaxy.conf /etc/nginx/sites-enabled/old; "
    "readlink /etc/nginx/sites-enabled/old; supervisorctl status | cut -c-40"
)


pytestmark = pytest.mark.one_host("spare")


@pytest.fixture(autouse=True, scope="module")
def old(host: Any) -> Iterator[None]:
    """An application as the training leaves it."""
    run_script(host, PREPARE + START + SET_UP)
    yield
    run_script(host, REMOVE + CLEAN)


@pytest.fixture(scope="module")
def state(host: Any) -> str:
    """What the host looked like before."""
    return str(host.check_output(STATE.format(CONFIG)))


@pytest.fixture
def visitor(site: Any) -> Iterator[Visitor]:
    """Somebody who asks while a test runs."""
    asking = Visitor(site)
    asking.start()
    yield asking
    asking.left.set()


def test_the_plan_is_shown_and_nothing_done(host: Any, play: Any, site: Any, state: str) -> None:
    result = migrate(play, "--check", "--diff")
    assert result.returncode == 0, result.stdout
    assert f"There is nothing to go back to: {BACKUP}" in migrate(play, migrate_state="undone").stdout
    assert "/srv/old/config/job_conf.xml:4: the handler main becomes handler0" in in_one_line(result), result.stdout
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
    changes_nothing(result)


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
