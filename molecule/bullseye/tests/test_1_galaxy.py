"""What a person gets from the last Galaxy that brought its own support for uWSGI, with the defaults of every role."""

from __future__ import annotations

from typing import Any


def test_galaxy_answers_through_nginx(site: Any) -> None:
    response = site.get("/api/version")
    assert response.json()["version_major"] == "20.05"
    assert "nginx" in response.headers["Server"]


def test_a_job_runs_in_a_handler_and_its_output_is_right(run_job: Any) -> None:
    assert run_job() in ("handler0", "handler1")


def test_galaxy_knows_that_it_has_been_forked(host: Any) -> None:
    """It starts its threads in a worker only when uWSGI tells it so, and then gives the worker a name of its own."""
    log = host.check_output("journalctl --no-pager --quiet --output=cat --unit=galaxy-web@1")
    assert "Galaxy server instance 'main.web.1' is running" in log


def test_all_is_as_written(host: Any) -> None:
    assert host.run("galaxy-web status").rc == 0
    assert host.run("galaxy-handlers status").rc == 0
