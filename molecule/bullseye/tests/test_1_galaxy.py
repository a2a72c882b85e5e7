"""What a person gets from the last Galaxy that brought its own support for uWSGI."""

from __future__ import annotations

from typing import Any

from galaxy_client import User


def test_galaxy_answers_through_nginx(site: Any) -> None:
    response = site.get("/api/version")
    assert response.json()["version_major"] == "20.05"
    assert "nginx" in response.headers["Server"]


def test_a_job_runs_in_a_handler_and_its_output_is_right(site: Any, admin_key: str) -> None:
    user = User(site.url, admin_key, "tester")
    dataset, upload = user.upload("pear\napple\nquince\n")
    assert user.wait(upload)["handler"] in ("handler0", "handler1")
    output, sort = user.sort(dataset)
    assert user.wait(sort)["handler"] in ("handler0", "handler1")
    assert user.download(output).text == "apple\npear\nquince\n"


def test_galaxy_knows_that_it_has_been_forked(host: Any) -> None:
    """It starts its threads in a worker only when uWSGI tells it so, and then gives the worker a name of its own."""
    log = host.check_output("journalctl --no-pager --quiet --output=cat --unit=galaxy-web@1")
    assert "Galaxy server instance 'main.web.1' is running" in log
    assert host.run("galaxy-web status").rc == 0
    assert host.run("galaxy-handlers status").rc == 0
