"""Every way to write the options, to listen and to install uWSGI: changed from one to the next, as an administrator would."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from load import Load
from runs import changes_nothing
from slots import serving
from tiny_proof import CONFIG, VARIABLES, flawless

OPTIONS = VARIABLES["vars"]["uwsgi_options"]
WRITTEN = "ls /etc/tiny/uwsgi.* /srv/tiny/uwsgi-tiny.ini 2>/dev/null; grep -c '^\\[uwsgi\\]' /srv/tiny/tiny.ini; true"
# What each format leaves on the host, and how many [uwsgi] sections. To the host INI, JSON and XML are files as YAML is; what uWSGI makes of
# each is in the unit tests.
FORMATS = {
    "yaml": ["/etc/tiny/uwsgi.yml", "0"],
    "command_line": ["0"],
    "environment": ["/etc/tiny/uwsgi.ini", "0"],
    "emperor": ["/etc/tiny/uwsgi.ini", "0"],
    "paste": ["/srv/tiny/uwsgi-tiny.ini", "1"],
}


# None of this depends on the release of the system.
pytestmark = pytest.mark.one_host("spare")


@pytest.fixture(autouse=True, scope="module")
def quick_start(host: Any) -> None:
    """The application starts at once."""
    host.check_output(f"sed -i '/^start_seconds/d' {CONFIG}")


def converge(play: Any, playbook: str = "uwsgi_alone", *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run a playbook of the scenario with these variables."""
    return play(f"molecule/tiny/{playbook}.yml", "--extra-vars", json.dumps(variables), *arguments)


def done(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stdout


def serves(host: Any, curl: str) -> None:
    """Requests get the application, and both of the static maps, which are a repeated option."""
    answers = host.check_output(f"for path in hello one/hello.txt two/hello.txt; do curl -sf {curl}/$path; echo; done").split("\n")
    assert json.loads(answers[0])["environ"]["PATH_INFO"] == "/hello"
    assert [answer for answer in answers[1:] if answer] == ["one", "two"]


def private(host: Any) -> str:
    return f"--unix-socket /run/tiny/web-{serving(host, 'tiny')}/http.sock http://localhost"


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_is_taken_over_and_leaves_nothing_of_the_one_before(host: Any, play: Any, form: str) -> None:
    before = serving(host, "tiny")
    done(converge(play, uwsgi_config_format=form))
    assert host.check_output(WRITTEN).split() == FORMATS[form]
    assert serving(host, "tiny") != before
    serves(host, private(host))
    stats = f"import json, socket; s = socket.socket(1); s.connect('/run/tiny/web-{serving(host, 'tiny')}/stats.sock'); print(s.makefile().read())"
    assert len(json.loads(host.check_output("python3 -c %s", stats))["workers"]) == 2
    for path in FORMATS[form][:-1]:
        assert (host.file(path).user, host.file(path).group, host.file(path).mode) == ("root", "tiny", 0o640)


def test_a_format_that_does_not_start_is_taken_back(host: Any, play: Any, site: Any) -> None:
    before = host.check_output(f"cat {CONFIG}; echo end")
    result = converge(play, uwsgi_config_format="json", uwsgi_options={**OPTIONS, "need-plugin": "no-such-plugin"})
    assert result.returncode != 0
    assert "The site is still up" in result.stdout
    assert host.check_output(WRITTEN).split() == FORMATS["paste"]
    assert host.check_output(f"cat {CONFIG}; echo end") == before
    assert host.run("tiny-web status").rc == 0
    assert site.get("/hello").ok


def test_http_next_to_the_socket_and_loopback_tcp_instead_of_it(host: Any, play: Any, site: Any) -> None:
    """Adding an address interrupts nothing. One that goes must be allowed to; until then it stays."""
    done(converge(play, uwsgi_http_address="127.0.0.1:8080"))
    serves(host, "http://127.0.0.1:8080")
    assert site.get("/hello").ok
    tcp = {"uwsgi_listen": "tcp", "uwsgi_http_address": "127.0.0.1:8080"}
    result = converge(play, **tcp)
    assert result.returncode != 0
    assert "tiny-web.socket would be closed" in " ".join(result.stdout.split()), result.stdout
    assert site.get("/hello").ok
    assert host.run("tiny-web status").rc == 0
    done(converge(play, **tcp, uwsgi_allow_interruption=True))
    done(converge(play, "nginx_alone", **tcp))
    assert site.get("/hello").ok
    serves(host, "http://127.0.0.1:8080")
    assert not host.file("/run/tiny/web.sock").exists


def test_a_handover_on_tcp_fails_no_request(host: Any, load: Load) -> None:
    with load.window():
        host.check_output("tiny-web restart")
    report = load.stop()
    flawless(report, *report.versions)


def test_http_alone_with_static_maps(host: Any, play: Any) -> None:
    done(converge(play, uwsgi_listen="http", uwsgi_listen_address=":8081", uwsgi_allow_interruption=True))
    serves(host, "http://127.0.0.1:8081")
    listening = host.check_output("ls /etc/systemd/system | grep 'tiny.*socket'; ls /etc/systemd/system/sockets.target.wants | grep tiny")
    assert listening.split() == ["tiny-web-http-8081.socket"] * 2
    assert host.run("curl -s http://127.0.0.1:8080/").rc == 7  # refused
    assert host.run("tiny-web status").rc == 0


def test_packages_of_the_distribution(host: Any, play: Any) -> None:
    """They replace the wheel and are replaced by it, and there is never a second uWSGI for the application to find."""
    done(converge(play, uwsgi_install_method="distribution", uwsgi_allow_interruption=True))
    assert not host.file("/srv/tiny/venv/bin/uwsgi").exists
    pid = host.check_output("tiny-web status").partition("pid ")[2].partition(",")[0]
    assert host.check_output("ps -o args= -p %s", pid).startswith("/usr/bin/uwsgi ")
    serves(host, private(host))
    assert json.loads(host.check_output(f"curl -sf {private(host)}/decorators"))["file"].startswith("/srv/tiny/venv/lib/")
    assert host.check_output("systemctl list-units --plain --no-legend 'uwsgi*'") == ""
    again = converge(play, uwsgi_install_method="distribution", uwsgi_allow_interruption=True)
    changes_nothing(again)


def test_built_from_source(host: Any, play: Any) -> None:
    """It replaces the packages by a handover as everything does, and is not built again."""
    before = serving(host, "tiny")
    done(converge(play, uwsgi_install_method="source"))
    assert serving(host, "tiny") != before
    serves(host, private(host))
    version = host.check_output("/srv/tiny/venv/bin/uwsgi --version")
    assert f"uWSGI=={version}" in host.check_output("/srv/tiny/venv/bin/pip list --format=freeze").splitlines()
    again = converge(play, uwsgi_install_method="source")
    changes_nothing(again)


def test_back_to_how_it_was(host: Any, play: Any, site: Any) -> None:
    done(converge(play, "converge", uwsgi_allow_interruption=True))
    # That one may be interrupted is written too.
    done(converge(play, "converge"))
    assert site.get("/hello").ok
    assert host.run("tiny-web status").rc == 0
    again = converge(play, "converge")
    changes_nothing(again)
