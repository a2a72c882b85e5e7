"""Bad input is named, with what to write instead, before anything on the host changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from load import Load, Report

STATE = (
    "{ find /etc /srv/tiny -xdev -not -path '*/venv/*' -not -name '*.before-test' \\( -type f -o -type l \\) -printf '%p %m %s %T@\\n'; "
    "systemctl show --property=MainPID tiny-web@1.service nginx.service; } | sort | sha256sum"
)


@pytest.fixture(autouse=True, scope="module")
def only_one(name: str) -> None:
    """What is wrong is found on the controller or in Python that runs alike everywhere: one host is enough."""
    if name != "bookworm":
        pytest.skip("the same on every host")


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
    Mistake("uwsgi", {"uwsgi_config_file": "tiny.ini"}, ["uwsgi_config_file", "absolute path"]),
    Mistake("uwsgi", {"uwsgi_config_file": "/srv/tiny/none.ini"}, ["/srv/tiny/none.ini", "does not exist"]),
    Mistake("uwsgi", {"uwsgi_config_file": "/srv/tiny"}, ["/srv/tiny", "is a directory"]),
    Mistake("uwsgi", {"uwsgi_start_timeout": 0}, ["uwsgi_start_timeout is 0", "seconds"]),
    Mistake("uwsgi", {"uwsgi_health_path": "api"}, ["uwsgi_health_path", "begins with '/'"]),
    Mistake("uwsgi", {"uwsgi_environment": {"a b": 1}}, ["a b", "environment variable"]),
    broken("section-twice", "[app:main]\nversion = 2", ["app:main"]),
    broken("option-twice", "version = 1\nversion = 2", ["version"]),
    broken("interpolation", "password = a%b", ["password", "%%"]),
    broken("no-option", "this is no option", ["this is no option"]),
    Mistake(
        "uwsgi",
        {"uwsgi_config_file": "/srv/tiny/broken-comment.ini"},
        ["/srv/tiny/broken-comment.ini", "master", "line of its own"],
        "sed 's/^master = true/master = true   # yes/' /srv/tiny/tiny.ini > /srv/tiny/broken-comment.ini",
    ),
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
    job_handlers(-1, ["job_handlers is -1"]),
    job_handlers([{"id": "a"}, {"id": "a"}], ["'a'", "twice"]),
    job_handlers([{"tags": ["x"]}], ["has no id"]),
    job_handlers(1, ["/srv/tiny/broken-job_conf.xml:3"], job_handlers_config_file="/srv/tiny/broken-job_conf.xml")._replace(
        prepare="printf '<job_conf>\\n  <handlers>\\n</job_conf>\\n' > /srv/tiny/broken-job_conf.xml"
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
def outcome(only_one: None, host: Any, site: Any, play: Any, container: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Make all mistakes in one run."""
    names = {f"mistake{number}": {"ansible_host": container, "role_under_test": mistake.role, **mistake.variables} for number, mistake in enumerate(MISTAKES)}
    inventory = tmp_path_factory.mktemp("inventory") / "mistakes.json"
    inventory.write_text(json.dumps({"molecule": {"children": {"mistakes": {"hosts": names}}}}))
    for mistake in MISTAKES:
        if mistake.prepare:
            host.check_output(mistake.prepare)
    before = host.check_output(STATE)
    load = Load(site.url).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANSIBLE_STDOUT_CALLBACK", "ansible.posix.json")
        result = play("molecule/tiny/bad_input.yml", "--limit", "mistakes", "--inventory", str(inventory))
    report = load.stop()
    after = host.check_output(STATE)
    host.check_output("systemctl stop squatter; rm /srv/tiny/broken-*")
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
    assert "Debian 12" in result.stdout
    assert before == after
