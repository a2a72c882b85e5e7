"""Bad input is named, with what to write instead, before anything on the host changes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from load import Load, Rates, Report
from tiny_proof import LIGHT

STATE = (
    "{ find /etc /srv/tiny -xdev -not -path '*/venv/*' -not -name '*.before-test' \\( -type f -o -type l \\) -printf '%p %m %s %T@\\n'; "
    "systemctl show --property=MainPID tiny-web@1.service tiny-web@2.service nginx.service; } | sort | sha256sum"
)


# What is wrong is found on the controller, or in Python that runs alike everywhere.
pytestmark = pytest.mark.one_host


class Mistake(NamedTuple):
    """Variables of a role that must be refused, and what the message must say; I(prepare) puts something broken on the host first."""

    role: str
    variables: dict[str, Any]
    parts: list[str]
    prepare: str = ""


def broken(name: str, line: str, parts: list[str]) -> Mistake:
    """A galaxy.ini with one line too many."""
    escaped = line.replace("\n", "\\n")
    command = f"sed '/^paste.app_factory/a {escaped}' /srv/tiny/tiny.ini > /srv/tiny/broken-{name}.ini"
    return Mistake("uwsgi", {"uwsgi_config_file": f"/srv/tiny/broken-{name}.ini"}, [f"/srv/tiny/broken-{name}.ini", *parts], command)


def job_handlers(handlers: Any, parts: list[str], **more: Any) -> Mistake:
    """Job handlers that cannot be."""
    files = {"job_handlers_galaxy_config_file": "/srv/tiny/tiny.ini", "job_handlers_config_file": "/srv/tiny/job_conf.xml"}
    return Mistake("job_handlers", {**files, "job_handlers": handlers, **more}, parts)


MISTAKES = [
    Mistake("uwsgi", {"uwsgi_options": {"buffer-size": 65536}}, ["buffer-size", "65536", "from 4096 to 65535"]),
    Mistake("uwsgi", {"uwsgi_processes": "two"}, ["uwsgi_processes", "two"]),
    Mistake("uwsgi", {"uwsgi_processes": 0}, ["uwsgi_processes is 0", "from 1 to 1024"]),
    Mistake("uwsgi", {"uwsgi_threads": -4}, ["uwsgi_threads is -4", "from 1 to 1024"]),
    Mistake("uwsgi", {"uwsgi_options": {"socket": "0.0.0.0:4001"}}, ["socket", "0.0.0.0:4001", "can run code", "127.0.0.1"]),
    Mistake("uwsgi", {"uwsgi_options": {"master": "false   # no"}}, ["master", "line of its own"]),
    Mistake("uwsgi", {"uwsgi_options": {"no-such-thing\n": 1}}, ["is not the name of a uWSGI option"]),
    Mistake("uwsgi", {"uwsgi_options": "threads"}, ["uwsgi_options", "dict"]),
    Mistake("uwsgi", {"uwsgi_instance": "My Galaxy"}, ["uwsgi_instance", "My Galaxy", "lower-case"]),
    Mistake("uwsgi", {"uwsgi_instance": "systemd"}, ["uwsgi_instance is 'systemd'", "/etc/systemd", "Choose another name"]),
    Mistake("uwsgi", {"uwsgi_config_file": "tiny.ini"}, ["uwsgi_config_file", "absolute path"]),
    Mistake("uwsgi", {"uwsgi_config_file": "/srv/tiny/none.ini"}, ["/srv/tiny/none.ini", "does not exist"]),
    Mistake("uwsgi", {"uwsgi_config_file": "/srv/tiny"}, ["/srv/tiny", "is a directory"]),
    Mistake("uwsgi", {"uwsgi_start_timeout": 0}, ["uwsgi_start_timeout is 0", "seconds"]),
    Mistake("uwsgi", {"uwsgi_health_path": "api"}, ["uwsgi_health_path", "begins with '/'"]),
    Mistake("uwsgi", {"uwsgi_environment": {"a b": 1}}, ["a b", "environment variable"]),
    *(
        Mistake("uwsgi", {"uwsgi_environment": {name: "web"}}, [f"uwsgi_environment contains '{name}'", "Remove the variable"])
        for name in ("GALAXY_CONFIG_SERVER_NAME", "GALAXY_CONFIG_OVERRIDE_SERVER_NAME")
    ),
    Mistake("uwsgi", {"uwsgi_config_format": "toml"}, ["uwsgi_config_format", "toml", "paste, ini, yaml"]),
    Mistake("uwsgi", {"uwsgi_config_format": "yaml", "uwsgi_options": {"procesess": 2}}, ["/etc/tiny/uwsgi.yml: procesess", "write 'processes' instead"]),
    Mistake("uwsgi", {"uwsgi_listen": "tcp", "uwsgi_listen_address": ":4001"}, ["uwsgi_listen_address is ':4001'", "can run code", "127.0.0.1:4001"]),
    Mistake("uwsgi", {"uwsgi_http_address": "localhost:8080"}, ["uwsgi_http_address is 'localhost:8080'", "write IP:PORT"]),
    Mistake("uwsgi", {"uwsgi_http_address": "127.0.0.1:80"}, ["port 80 is taken by nginx", "uwsgi_http_address"]),
    Mistake("uwsgi", {"uwsgi_http_address": ":8080", "uwsgi_service_manager": "supervisor"}, ["uwsgi_http_address is ':8080'", "or use systemd"]),
    broken("section-twice", "[app:main]\nversion = 2", ["app:main"]),
    broken("option-twice", "version = 1\nversion = 2", ["version"]),
    broken("interpolation", "password = a%b", ["password", "%%"]),
    broken("sse", "enable_sse_updates = true", ["enable_sse_updates", "keep a thread of uWSGI"]),
    broken("no-option", "this is no option", ["this is no option"]),
    broken("filter", "filter-with = no-such-filter", ["filter-with", "there is no section [filter:no-such-filter]"]),
    Mistake("uwsgi", {"uwsgi_options": {"procesess": 2}}, ["[uwsgi] procesess: uWSGI 2.", "no such option", "write 'processes' instead"]),
    Mistake("uwsgi", {"uwsgi_options": {"cheaper": 2}}, ["cheaper", "processes is 2", "write a smaller number"]),
    Mistake("uwsgi", {"uwsgi_options": {"touch-reload": "/srv/tiny/tiny.ini"}}, ["touch-reload", "a reload loses the socket"]),
    Mistake("uwsgi", {"uwsgi_options": {"stats": "/run/" + 98 * "x"}}, ["stats", "103 bytes long", "no socket of more than 102"]),
    Mistake(
        "uwsgi",
        {"uwsgi_virtualenv": "/srv/tiny/broken-venv"},
        ["/srv/tiny/broken-venv", "its Python is gone", "move /srv/tiny/broken-venv away"],
        "cd /srv/tiny && mkdir -p broken-venv/bin broken-venv/lib/python3.1/site-packages/x-1.dist-info && ln -s /usr/bin/python3.1 broken-venv/bin/python3",
    ),
    Mistake("nginx_proxy", {"nginx_proxy_instance": "nginx"}, ["nginx_proxy_instance is 'nginx'", "/etc/nginx", "Choose another name"]),
    Mistake("nginx_proxy", {"nginx_proxy_port": 70000}, ["nginx_proxy_port", "70000"]),
    Mistake("nginx_proxy", {"nginx_proxy_client_max_body_size": "much"}, ["nginx_proxy_client_max_body_size", "much"]),
    Mistake("nginx_proxy", {"nginx_proxy_server_names": ["a b;"]}, ["nginx_proxy_server_names", "a b;"]),
    Mistake("nginx_proxy", {"nginx_proxy_read_timeout": 0}, ["nginx_proxy_read_timeout", "0"]),
    Mistake(
        "nginx_proxy",
        {"nginx_proxy_port": 8042},
        ["8042", "python3"],
        "systemd-run --unit=squatter --quiet python3 -m http.server 8042",
    ),
    Mistake("nginx_proxy", {"nginx_proxy_worker_connections": 64}, ["nginx_proxy_worker_connections is 64", "at least 512"]),
    Mistake("nginx_proxy", {"nginx_proxy_ssl_port": 0}, ["nginx_proxy_ssl_port is 0"]),
    Mistake("nginx_proxy", {"nginx_proxy_ssl_port": 80}, ["nginx_proxy_ssl_port and nginx_proxy_port are both 80"]),
    Mistake("nginx_proxy", {"nginx_proxy_hsts_max_age": -1}, ["nginx_proxy_hsts_max_age is -1"]),
    Mistake("nginx_proxy", {"nginx_proxy_ssl_certificate": "fullchain.pem"}, ["nginx_proxy_ssl_certificate", "fullchain.pem", "absolute path"]),
    Mistake("nginx_proxy", {"nginx_proxy_ssl_certificate_key": ""}, ["nginx_proxy_ssl_certificate_key is ''", "both files"]),
    Mistake("nginx_proxy", {"nginx_proxy_ssl_certificate": "/srv/tiny/none.pem"}, ["/srv/tiny/none.pem", "nginx_proxy_ssl_certificate", "does not exist"]),
    Mistake("nginx_proxy", {"nginx_proxy_ssl_certificate": "/srv/tiny/tiny.ini"}, ["/srv/tiny/tiny.ini", "no certificate in the file"]),
    Mistake(
        "nginx_proxy",
        {"nginx_proxy_ssl_certificate_key": "/srv/tiny/broken-key.pem"},
        ["/srv/tiny/broken-key.pem", "nginx_proxy_ssl_certificate_key", "does not belong to the first certificate in /srv/tiny/tls/fullchain.pem"],
        "openssl genrsa -out /srv/tiny/broken-key.pem 2048",
    ),
    Mistake("nginx_proxy", {"nginx_proxy_default_server": False}, ["nginx_proxy_server_names is empty", "answer to nobody"]),
    Mistake("nginx_proxy", {"nginx_proxy_prefix": "galaxy"}, ["nginx_proxy_prefix is 'galaxy'", "such as /galaxy"]),
    Mistake("nginx_proxy", {"nginx_proxy_beside": "Galaxy"}, ["nginx_proxy_beside is 'Galaxy'", "nginx_proxy_instance of another one"]),
    Mistake("nginx_proxy", {"nginx_proxy_beside": "tiny", "nginx_proxy_prefix": "/tiny"}, ["nginx_proxy_beside is 'tiny', the instance itself"]),
    Mistake("nginx_proxy", {"nginx_proxy_beside": "galaxy"}, ["nginx_proxy_prefix is ''", "nginx_proxy_beside is 'galaxy'", "such as /tiny"]),
    Mistake(
        "nginx_proxy",
        {"nginx_proxy_beside": "galaxy", "nginx_proxy_prefix": "/tiny"},
        ["nginx_proxy_beside is 'galaxy', and there is no site of that instance", "run this role for it first"],
    ),
    Mistake(
        "nginx_proxy",
        {"nginx_proxy_beside": "galaxy", "nginx_proxy_prefix": "/tiny", "nginx_proxy_server_snippet": "  location /x {}"},
        ["nginx_proxy_server_snippet has a location", "nginx_proxy_server_snippet of galaxy"],
    ),
    Mistake("nginx_proxy", {"nginx_proxy_trusted_proxies": ["10.0.0.7/24"]}, ["nginx_proxy_trusted_proxies", "10.0.0.7/24", "10.0.0.0/24"]),
    Mistake("nginx_proxy", {"nginx_proxy_trusted_proxies": ["0.0.0.0/0"]}, ["nginx_proxy_trusted_proxies", "0.0.0.0/0", "everybody"]),
    Mistake("nginx_proxy", {"nginx_proxy_remote_user": "$cookie_user"}, ["nginx_proxy_remote_user is '$cookie_user'", "write $remote_user"]),
    Mistake("nginx_proxy", {"nginx_proxy_remote_user": "$remote_user"}, ["nginx_proxy_remote_user is '$remote_user'", "write auth_basic"]),
    Mistake("nginx_proxy", {"nginx_proxy_remote_user": "$http_x_user"}, ["nginx_proxy_remote_user is '$http_x_user'", "nginx_proxy_trusted_proxies"]),
    Mistake("nginx_proxy", {"nginx_proxy_remote_user": "$ssl_client_s_dn"}, ["'$ssl_client_s_dn'", "set nginx_proxy_ssl_client_certificate"]),
    Mistake("nginx_proxy", {"nginx_proxy_ssl_client_certificate": "/srv/tiny/none.pem"}, ["/srv/tiny/none.pem", "no file with a certificate"]),
    Mistake(
        "nginx_proxy",
        {"nginx_proxy_server_snippet": "uwsgi_param HTTP_REMOTE_USER $remote_user;"},
        ["nginx_proxy_server_snippet has 'uwsgi_param HTTP_REMOTE_USER'", "set nginx_proxy_remote_user"],
    ),
    Mistake(
        "nginx_proxy",
        {"nginx_proxy_config_file": "/srv/tiny/broken-user.ini"},
        ["/srv/tiny/broken-user.ini:12: [app:main] use_remote_user", "set nginx_proxy_remote_user", "or set use_remote_user to False"],
        "sed '/^paste.app_factory/a use_remote_user = True' /srv/tiny/tiny.ini > /srv/tiny/broken-user.ini",
    ),
    Mistake(
        "uwsgi",
        {"uwsgi_config_file": "/srv/tiny/broken-direct.ini", "uwsgi_listen": "http", "uwsgi_listen_address": ":8099"},
        ["/srv/tiny/broken-direct.ini:12: [app:main] use_remote_user", "any client can send HTTP_REMOTE_USER", "Set uwsgi_listen to unix"],
        "sed '/^paste.app_factory/a use_remote_user = True' /srv/tiny/tiny.ini > /srv/tiny/broken-direct.ini",
    ),
    Mistake("nginx_proxy", {"nginx_proxy_unbuffered_paths": ["/"]}, ["nginx_proxy_unbuffered_paths contains '/'", "/api/upload"]),
    Mistake("nginx_proxy", {"nginx_proxy_asgi_paths": ["api"]}, ["nginx_proxy_asgi_paths contains 'api'", "such as /api/mcp"]),
    Mistake("nginx_proxy", {"nginx_proxy_asgi_paths": ["/_x_accel_redirect/x"]}, ["'/_x_accel_redirect/x'", "nginx serves /_x_accel_redirect/ by itself"]),
    Mistake("nginx_proxy", {"nginx_proxy_acme_root": "acme"}, ["nginx_proxy_acme_root is 'acme'", "/var/www/acme"]),
    Mistake("nginx_proxy", {"nginx_proxy_log_format": "xml"}, ["nginx_proxy_log_format", "xml", "json"]),
    Mistake("nginx_proxy", {"nginx_proxy_location_snippet": "uwsgi_param A b;"}, ["nginx_proxy_location_snippet", "nginx_proxy_server_snippet"]),
    Mistake(
        "nginx_proxy",
        {"nginx_proxy_config_file": "/srv/tiny/broken-prefix.ini"},
        ["/srv/tiny/broken-prefix.ini", "galaxy_url_prefix is '/galaxy'", "nginx_proxy_prefix"],
        "sed '/^paste.app_factory/a galaxy_url_prefix = /galaxy' /srv/tiny/tiny.ini > /srv/tiny/broken-prefix.ini",
    ),
    job_handlers(-1, ["job_handlers is -1"]),
    job_handlers([{"id": "a"}, {"id": "a"}], ["'a'", "twice"]),
    job_handlers([{"tags": ["x"]}], ["has no id"]),
    job_handlers([{"id": "main"}], ["handler 'main' has a name of the web processes", "{id: handler0, previous_ids: [main]}"]),
    job_handlers([{"id": "handler0"}, {"id": "main.w", "workflow_scheduler": True}], ["handler 'main.w' has a name of the web processes"]),
    job_handlers([{"id": "a", "previous_ids": ["b"]}, {"id": "b"}], ["a has the previous id 'b', which b has"]),
    job_handlers(1, ["/srv/galaxy/venv/bin/galaxy-main", "no such program", "job_handlers_virtualenv"]),
    job_handlers(1, ["/srv/tiny/broken-job_conf.xml:3"], job_handlers_config_file="/srv/tiny/broken-job_conf.xml")._replace(
        prepare="printf '<job_conf>\\n  <handlers>\\n</job_conf>\\n' > /srv/tiny/broken-job_conf.xml"
    ),
    job_handlers(1, ["db-skip-locked needs PostgreSQL", "the database is SQLite", "use db-preassign"], job_handlers_assign_with=["db-skip-locked"]),
    job_handlers(1, ["uwsgi_handover", "job_handlers_assign_with db-self jobs run in the web processes", "in_place"], job_handlers_assign_with=["db-self"]),
    job_handlers([{"id": "special0", "tags": ["special"]}], ["jobs that name no handler would wait for ever", "job_handlers_default"]),
    job_handlers(1, ["GALAXY_CONFIG_OVERRIDE_SERVER_NAME"], job_handlers_environment={"GALAXY_CONFIG_OVERRIDE_SERVER_NAME": "x"}),
    job_handlers(1, ["[app:main] server_name", "remove the line"], job_handlers_galaxy_config_file="/srv/tiny/broken-name.ini")._replace(
        prepare="sed '/^paste.app_factory/a server_name = web' /srv/tiny/tiny.ini > /srv/tiny/broken-name.ini"
    ),
    job_handlers(
        1,
        ["/srv/tiny/broken-tag.xml:2: tool 'bwa': no handler has the id or tag 'big'", "handler0"],
        job_handlers_config_file="/srv/tiny/broken-tag.xml",
    )._replace(
        prepare="""printf '<job_conf><plugins/>\\n<tools><tool id="bwa" handler="big"/></tools></job_conf>\\n' > /srv/tiny/broken-tag.xml"""
    ),
]


def texts(value: Any) -> Iterator[str]:
    """Every text in a result."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts(part)


class Outcome(NamedTuple):
    """What one run made of all mistakes: its failures by host, whether the state of the host is what it was, and what visitors saw."""

    failures: dict[str, str]
    output: str
    untouched: bool
    load: Report


@pytest.fixture(scope="module")
def outcome(host: Any, site: Any, play: Any, container: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Make all mistakes in one run."""
    names = {f"mistake{number}": {"ansible_host": container, "role_under_test": mistake.role, **mistake.variables} for number, mistake in enumerate(MISTAKES)}
    inventory = tmp_path_factory.mktemp("inventory") / "mistakes.json"
    inventory.write_text(json.dumps({"molecule": {"children": {"mistakes": {"hosts": names}}}}))
    for mistake in MISTAKES:
        if mistake.prepare:
            host.check_output(mistake.prepare)
    before = host.check_output(STATE)
    load = Load(site.url, Rates(**LIGHT)).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANSIBLE_STDOUT_CALLBACK", "ansible.posix.json")
        result = play("molecule/tiny/bad_input.yml", "--limit", "mistakes", "--inventory", str(inventory))
    report = load.stop()
    after = host.check_output(STATE)
    host.check_output("systemctl stop squatter; rm -r /srv/tiny/broken-*")
    failures = {}
    for task in json.loads(result.stdout)["plays"][0]["tasks"]:
        for name, found in task["hosts"].items():
            if found.get("failed"):
                failures[name] = " ".join(" ".join(texts(found)).split())
    yield Outcome(failures, result.stdout + result.stderr, before == after, report)


@pytest.mark.parametrize("number", range(len(MISTAKES)), ids=lambda number: f"{MISTAKES[number].role}-{number}")
def test_a_mistake_is_named(outcome: Outcome, number: int) -> None:
    mistake = MISTAKES[number]
    message = outcome.failures.get(f"mistake{number}", "")
    assert message, f"{mistake.variables} was not refused"
    for part in mistake.parts:
        assert part in message


def test_no_mistake_changes_anything(outcome: Outcome) -> None:
    assert outcome.untouched
    assert "Traceback" not in outcome.output
    assert outcome.load.failures == []


def test_an_operating_system_that_is_not_known(host: Any, play: Any, restore: Any) -> None:
    restore("/etc/os-release")
    host.check_output("rm /etc/os-release; printf 'ID=plan9\\nNAME=\"Plan 9\"\\nVERSION_ID=4\\n' > /etc/os-release")
    host.check_output("mv /etc/debian_version /etc/debian_version.away")
    try:
        before = host.check_output(STATE)
        result = play("molecule/tiny/converge.yml", "--flush-cache")
        after = host.check_output(STATE)
    finally:
        host.check_output("mv /etc/debian_version.away /etc/debian_version")
    assert result.returncode != 0
    assert "Debian 11, 12 or 13" in " ".join(result.stdout.split())
    assert before == after


def test_a_proxy_that_gives_up_before_the_application_has_started(host: Any, play: Any) -> None:
    host.check_output("mkdir -p /run/tiny/web-9; echo '{\"seconds\": 75.0}' > /run/tiny/web-9/started")
    result = play("molecule/tiny/nginx_alone.yml", "--check", "--extra-vars", "nginx_proxy_read_timeout=60")
    host.check_output("rm -r /run/tiny/web-9")
    assert result.returncode == 0, result.stdout
    output = " ".join((result.stdout + result.stderr).split())
    assert "gives a request up after 60 s (nginx_proxy_read_timeout)" in output
    assert "took 75.0 s to start" in output


def test_the_check_alone_tells_the_line_and_the_remedy(host: Any, name: str, restore: Any) -> None:
    """As an administrator calls it, without any role."""
    restore("/srv/tiny/tiny.ini")
    host.check_output("sed -i 's/^processes = .*/procesess = 2/' /srv/tiny/tiny.ini")
    line = host.check_output("grep -n '^procesess' /srv/tiny/tiny.ini | cut -d: -f1")
    arguments = "path=/srv/tiny/tiny.ini virtualenv=/srv/tiny/venv user=tiny"
    command = ["ansible", name, "-m", "galaxyops.uwsgi.paste_check", "-a", arguments]
    for inventory in ("molecule/tiny/hosts.yml", "molecule/inventory"):
        command += ["--inventory", inventory]
    environment = {**os.environ, "ANSIBLE_CONFIG": "ansible.cfg", "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1"}
    top = Path(__file__).resolve().parents[3]
    result = subprocess.run(command, cwd=top, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert f"/srv/tiny/tiny.ini:{line}: [uwsgi] procesess: uWSGI 2." in result.stdout, result.stdout + result.stderr
    assert "write 'processes' instead" in result.stdout
