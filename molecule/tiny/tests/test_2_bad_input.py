"""Bad input is named, with what to write instead, before anything on the host changes."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest

STATE = (
    "{ find /etc /srv/tiny -xdev -not -path '*/venv/*' -not -name '*.before-test' \\( -type f -o -type l \\) -printf '%p %m %s %T@\\n'; "
    "systemctl show --property=MainPID tiny-web@1.service nginx.service; } | sort | sha256sum"
)
UWSGI = "molecule/tiny/converge.yml"


@pytest.fixture(autouse=True, scope="module")
def only_one(name: str) -> None:
    """What is wrong is found on the controller or in Python that runs alike everywhere: one host is enough."""
    if name != "bookworm":
        pytest.skip("the same on every host")


def refuse(host: Any, play: Callable[..., Any], *parts: str, options: tuple[str, ...] = (), **variables: Any) -> None:
    """Run the roles with I(variables), and expect a message with these I(parts) and an untouched host."""
    before = host.check_output(STATE)
    result = play(UWSGI, "--extra-vars", json.dumps(variables), *options)
    assert result.returncode != 0
    for part in parts:
        assert part in " ".join(result.stdout.split()), result.stdout
    assert "Traceback" not in result.stdout + result.stderr
    assert host.check_output(STATE) == before


@pytest.mark.parametrize(
    ("variables", "parts"),
    [
        ({"uwsgi_options": {"buffer-size": 65536}}, ["buffer-size", "65536", "from 4096 to 65535"]),
        ({"uwsgi_processes": "two"}, ["uwsgi_processes", "two"]),
        ({"uwsgi_processes": 0}, ["uwsgi_processes is 0", "from 1 to 1024"]),
        ({"uwsgi_threads": -4}, ["uwsgi_threads is -4", "from 1 to 1024"]),
        ({"uwsgi_options": {"socket": "0.0.0.0:4001"}}, ["socket", "0.0.0.0:4001", "can run code", "127.0.0.1"]),
        ({"uwsgi_options": {"master": "false   # no"}}, ["master", "line of its own"]),
        ({"uwsgi_options": {"no-such-thing\n": 1}}, ["is not the name of a uWSGI option"]),
        ({"uwsgi_options": "threads"}, ["uwsgi_options", "dict"]),
        ({"uwsgi_instance": "My Galaxy"}, ["uwsgi_instance", "My Galaxy", "lower-case"]),
        ({"uwsgi_config_file": "tiny.ini"}, ["uwsgi_config_file", "absolute path"]),
        ({"uwsgi_config_file": "/srv/tiny/none.ini"}, ["/srv/tiny/none.ini", "does not exist"]),
        ({"uwsgi_config_file": "/srv/tiny"}, ["/srv/tiny", "is a directory"]),
        ({"uwsgi_start_timeout": 0}, ["uwsgi_start_timeout is 0", "seconds"]),
        ({"uwsgi_health_path": "api"}, ["uwsgi_health_path", "begins with '/'"]),
        ({"uwsgi_environment": {"a b": 1}}, ["a b", "environment variable"]),
    ],
)
def test_of_the_uwsgi_role(host: Any, play: Any, variables: dict[str, Any], parts: list[str]) -> None:
    refuse(host, play, *parts, **variables)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("[app:main]\nversion = 2", ["/srv/tiny/tiny.ini", "app:main"]),
        ("version = 1\nversion = 2", ["/srv/tiny/tiny.ini", "version"]),
        ("password = a%b", ["/srv/tiny/tiny.ini", "password", "%%"]),
        ("this is no option", ["/srv/tiny/tiny.ini", "this is no option"]),
    ],
)
def test_of_a_file_that_somebody_broke(host: Any, play: Any, restore: Any, line: str, parts: list[str]) -> None:
    restore("/srv/tiny/tiny.ini")
    host.check_output("sed -i '/^paste.app_factory/a " + line.replace("\n", "\\n") + "' /srv/tiny/tiny.ini")
    refuse(host, play, *parts)


def test_of_an_inline_comment_in_the_section(host: Any, play: Any, restore: Any) -> None:
    restore("/srv/tiny/tiny.ini")
    host.check_output("sed -i 's/^master = true/master = true   # yes/' /srv/tiny/tiny.ini")
    refuse(host, play, "/srv/tiny/tiny.ini", "master", "line of its own")


def test_of_a_port_that_is_taken(host: Any, play: Any) -> None:
    host.check_output("systemd-run --unit=squatter --quiet python3 -m http.server 8042")
    try:
        refuse(host, play, "8042", "python3", nginx_proxy_port=8042)
    finally:
        host.check_output("systemctl stop squatter")


@pytest.mark.parametrize(
    ("variables", "parts"),
    [
        ({"nginx_proxy_port": 70000}, ["nginx_proxy_port", "70000"]),
        ({"nginx_proxy_client_max_body_size": "much"}, ["nginx_proxy_client_max_body_size", "much"]),
        ({"nginx_proxy_server_names": ["a b;"]}, ["nginx_proxy_server_names", "a b;"]),
        ({"nginx_proxy_read_timeout": 0}, ["nginx_proxy_read_timeout", "0"]),
    ],
)
def test_of_the_nginx_proxy_role(host: Any, play: Any, variables: dict[str, Any], parts: list[str]) -> None:
    refuse(host, play, *parts, **variables)


@pytest.mark.parametrize(
    ("handlers", "parts"),
    [
        (-1, ["job_handlers is -1"]),
        ([{"id": "a"}, {"id": "a"}], ["'a'", "twice"]),
        ([{"tags": ["x"]}], ["has no id"]),
    ],
)
def test_of_the_job_handlers_role(host: Any, play: Any, handlers: Any, parts: list[str]) -> None:
    before = host.check_output(STATE)
    result = play("molecule/tiny/handlers_alone.yml", "--extra-vars", json.dumps({"job_handlers": handlers}))
    assert result.returncode != 0
    for part in parts:
        assert part in " ".join(result.stdout.split()), result.stdout
    assert host.check_output(STATE) == before


def test_of_a_job_configuration_that_somebody_broke(host: Any, play: Any) -> None:
    host.check_output("printf '<job_conf>\\n  <handlers>\\n</job_conf>\\n' > /srv/tiny/job_conf.xml")
    before = host.check_output(STATE)
    result = play("molecule/tiny/handlers_alone.yml")
    assert result.returncode != 0
    assert "/srv/tiny/job_conf.xml:3" in result.stdout, result.stdout
    assert host.check_output(STATE) == before
    host.check_output("rm /srv/tiny/job_conf.xml")


def test_of_an_operating_system_that_is_not_known(host: Any, play: Any, restore: Any) -> None:
    restore("/etc/os-release")
    host.check_output("rm /etc/os-release; printf 'ID=plan9\\nNAME=\"Plan 9\"\\nVERSION_ID=4\\n' > /etc/os-release")
    host.check_output("mv /etc/debian_version /etc/debian_version.away")
    try:
        refuse(host, play, "Debian 12", options=("--flush-cache",))
    finally:
        host.check_output("mv /etc/debian_version.away /etc/debian_version")
