"""A Galaxy on PostgreSQL that the installed collection brought up, and its tagged handlers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from browser import see_history
from galaxy_client import User

TOP = Path(__file__).resolve().parents[3]


def test_the_installed_collection_did_it() -> None:
    installed = TOP / "build" / "collections" / "ansible_collections" / "galaxyops" / "uwsgi"
    assert (installed / "MANIFEST.json").is_file()
    assert not (installed / ".git").exists()


def test_a_job_runs_in_the_default_handler(site: Any, admin_key: str) -> None:
    user = User(f"{site.url}/galaxy", admin_key, "tester")
    dataset, upload = user.upload("b\na\n")
    assert user.wait(upload)["state"] == "ok"
    output, sort = user.sort(dataset)
    assert user.wait(sort)["handler"] == "handler0"
    assert user.download(output).text == "a\nb\n"


def test_pages_below_the_prefix_are_whole(site: Any) -> None:
    """Their links, static files and cookies stay below it."""
    cookies = see_history(f"{site.url}/galaxy/", TOP / "build" / "screenshots" / "prefix.png")
    assert cookies
    assert [cookie for cookie in cookies if cookie["path"] != "/galaxy" and not cookie["path"].startswith("/galaxy/")] == []
    assert site.get("/api/version").status_code == 404


def test_the_data_is_in_postgresql(host: Any) -> None:
    query = "su postgres -c \"psql --tuples-only --no-align galaxy -c 'select count(*) from job'\""
    assert int(host.check_output(query)) == 2
    assert not host.file("/srv/galaxy/database/universe.sqlite").exists


def test_the_given_secret_is_what_galaxy_gets(host: Any) -> None:
    script = (
        "import sys; sys.path.insert(0, '/srv/galaxy/venv/lib/python3.13/site-packages'); from galaxy.util.properties import load_app_properties; "
        "print(load_app_properties(ini_file='/srv/galaxy/config/galaxy.ini', ini_section='app:main')['id_secret'])"
    )
    assert host.check_output("/srv/galaxy/venv/bin/python -c %s", script) == "100%secret-from-a-vault"


def test_jobs_are_assigned_as_postgresql_allows(host: Any) -> None:
    handling = yaml.safe_load(host.check_output("cat /srv/galaxy/config/job_conf.yml"))["handling"]
    assert (handling["assign"], handling["max_grab"], handling["ready_window_size"]) == (["db-skip-locked"], 5, 50)


def test_all_is_as_written(host: Any) -> None:
    assert host.run("galaxy-web status").rc == 0
    assert host.run("galaxy-handlers status").rc == 0
