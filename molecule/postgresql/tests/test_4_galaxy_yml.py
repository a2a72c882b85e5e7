"""The same Galaxy from a galaxy.yml that somebody else writes, with the job configuration inside: the roles read the file and never write it."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest
import yaml
from galaxy_client import User
from runs import changes_nothing
from slots import serving

YML = "/srv/galaxy/config/galaxy.yml"
Written = Callable[..., Any]


@pytest.fixture
def run(play: Any, admin_key: str) -> Written:
    """Write the galaxy.yml, with what differs, and run the roles."""

    def again(**variables: Any) -> Any:
        known = {"galaxy_bootstrap_admin_api_key": admin_key, **variables}
        return play("molecule/postgresql/galaxy_yml.yml", "--extra-vars", json.dumps(known))

    return again


def said(result: Any) -> str:
    """What Ansible has printed, with every message on one line."""
    return " ".join((result.stdout + result.stderr).split())


def digest(host: Any) -> str:
    """What the file is."""
    return str(host.check_output("sha256sum %s", YML))


def processes(host: Any) -> list[str]:
    """The web processes and the handlers."""
    units = ("galaxy-web@1", "galaxy-web@2", "galaxy-handler@handler0", "galaxy-handler@handler1")
    return [str(host.check_output("systemctl show --property=MainPID --value %s", unit)) for unit in units]


def test_a_line_that_galaxy_needs_is_asked_for_before_anything_changes(host: Any, site: Any, run: Written) -> None:
    before = [serving(host, "galaxy"), *processes(host)]
    result = run(galaxy_yml_more={"nginx_x_accel_redirect_base": None})
    assert result.returncode != 0
    assert (
        f"{YML}:1: [galaxy] nginx_x_accel_redirect_base: Galaxy has to know this option, and the roles never write a galaxy.yml: "
        "add 'nginx_x_accel_redirect_base: /_x_accel_redirect' below 'galaxy:' (galaxy_config.galaxy of the role galaxyproject.galaxy)"
    ) in said(result)
    assert [serving(host, "galaxy"), *processes(host)] == before
    assert not host.file("/etc/galaxy/paste.ini").exists
    assert site.get("/galaxy/api/version").ok


def test_static_handlers_that_are_not_in_the_file_are_refused_with_what_to_write(run: Written) -> None:
    result = run(job_handlers_mode="static")
    assert result.returncode != 0
    handling = "{assign: [db-skip-locked], max_grab: 5, ready_window_size: 50, processes: {handler0: {}, handler1: {}}}"
    assert f"write 'handling: {handling}' there, or set job_handlers_mode to dynamic" in said(result)


@pytest.mark.load(get=20, get_path="/galaxy/api/version", post=0, slow=0)
def test_the_site_moves_to_galaxy_yml_while_it_serves(host: Any, site: Any, run: Written, load: Any) -> None:
    with load.window():
        result = run()
    report = load.stop()
    assert result.returncode == 0, result.stdout
    assert report.failures == []
    assert site.get("/galaxy/api/version").json()["version_major"] == "26.1"
    link = host.check_output("cat /etc/galaxy/paste.ini")
    assert f"galaxy_config_file = {YML}" in link
    # By the version on the host; nobody has set galaxy_version.
    assert "lazy-apps = false" in link
    assert yaml.safe_load(host.check_output("cat %s", YML))["galaxy"]["job_config"]["handling"]["assign"] == ["db-skip-locked"]
    assert host.run("galaxy-web status").rc == 0
    assert host.run("galaxy-handlers status").rc == 0


def test_a_handler_runs_jobs_and_nginx_sends_datasets(host: Any, site: Any, admin_key: str) -> None:
    assert "<html" in site.get("/galaxy/").text.lower()
    user = User(f"{site.url}/galaxy", admin_key, "yaml")
    dataset, upload = user.upload("b\na\n")
    assert user.wait(upload)["handler"] in ("handler0", "handler1")
    output, sort = user.sort(dataset)
    assert user.wait(sort)["handler"] in ("handler0", "handler1")
    assert user.download(output).text == "a\nb\n"
    assert int(host.check_output("find /data/datasets -name '*.dat' | wc -l")) == 2
    # A dataset that nginx sends comes by a location of its own, which no client can ask for.
    assert "location /_x_accel_redirect/data/datasets/ {" in host.check_output("nginx -T 2>/dev/null")
    assert site.get("/_x_accel_redirect/data/datasets/").status_code == 404


def test_a_second_run_changes_nothing(host: Any, run: Written) -> None:
    before = [digest(host), *processes(host)]
    result = run()
    changes_nothing(result)
    assert [digest(host), *processes(host)] == before


def test_a_change_for_gravity_restarts_nothing(host: Any, run: Written) -> None:
    before = processes(host)
    result = run(galaxy_yml_log_dir="/var/log/gravity")
    assert result.returncode == 0, result.stdout
    assert "changed=1 " in result.stdout, result.stdout
    assert processes(host) == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("galaxy:\n\tbrand: x\n", f"{YML}:2: "),
        ("galaxy:\n  id_secret: !vault |\n    $ANSIBLE_VAULT;1.1;AES256\n    6162\n", f"{YML}:2: "),
        ("galaxy:\n  brand: a\n---\ngalaxy:\n  brand: b\n", f"{YML}:3: "),
    ],
)
def test_a_file_that_galaxy_cannot_read_is_refused_with_its_line(host: Any, site: Any, run: Written, text: str, expected: str) -> None:
    before = processes(host)
    result = run(galaxy_yml_text=text)
    assert result.returncode != 0
    assert expected in said(result)
    assert processes(host) == before
    assert site.get("/galaxy/api/version").ok


def test_a_file_with_which_galaxy_does_not_start_is_put_back(host: Any, site: Any, run: Written) -> None:
    assert run().returncode == 0
    good = digest(host)
    result = run(galaxy_yml_more={"tool_config_file": "/nowhere/tool_conf.xml"})
    assert result.returncode != 0
    assert "/nowhere/tool_conf.xml" in said(result)
    assert digest(host) == good
    assert site.get("/galaxy/api/version").ok
    result = run()
    changes_nothing(result)


def test_removing_all_leaves_the_file_alone(host: Any, run: Written) -> None:
    before = digest(host)
    result = run(uwsgi_state="absent", job_handlers_state="absent", nginx_proxy_state="absent")
    assert result.returncode == 0, result.stdout
    assert digest(host) == before
    assert not host.file("/etc/galaxy/paste.ini").exists
    assert not host.file("/usr/local/lib/galaxyops/galaxy-web/python/galaxy_wsgi/__init__.py").exists
    assert host.check_output("systemctl list-units --no-legend --state=active 'galaxy-*'") == ""
