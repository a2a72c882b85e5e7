"""What the proofs under load share: the tiny application on its hosts, and what a flawless change is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml
from load import Report

CONFIG = "/srv/tiny/tiny.ini"
START_SECONDS = 5
# For tests that are about something else: heavy load is the proof's.
LIGHT = {"get": 30, "post": 3}
RUNNING = "python3 -c 'import glob, json; print(*(json.load(open(path))[\"pid\"] for path in sorted(glob.glob(\"/run/tiny/web-*/pid\"))))'"
VARIABLES = yaml.safe_load((Path(__file__).parents[1] / "tiny" / "hosts.yml").read_text())["molecule"]


def master(host: Any, site: Any) -> int:
    """The process whose worker answers."""
    return int(host.check_output("ps -o ppid= -p %s", str(site.get("/").json()["pid"])))


def running(host: Any) -> list[str]:
    """The masters that live, slots and candidate alike."""
    return [pid for pid in host.check_output(RUNNING).split() if host.run(f"kill -0 {pid}").rc == 0]


def play_uwsgi(play: Any, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run the role uwsgi with the changes that the first test made, and more."""
    return play("molecule/tiny/uwsgi_alone.yml", "--extra-vars", json.dumps({"uwsgi_processes": 3, **variables}))


def flawless(report: Report, *versions: str) -> None:
    """The load was as heavy as it was to be, but for what a busy machine keeps back; nothing failed; these versions answered, in this order."""
    assert report.failures == []
    assert report.rate("get") > 0.95 * report.asked.get
    assert report.rate("post") > 0.95 * report.asked.post
    assert list(report.versions) == list(versions)


def only_what_was_under_way(report: Report) -> None:
    """No request failed but those that were being answered when something was killed, or that the dying process had taken on."""
    ((since, until),) = report.windows
    failed = [request for request in report.requests if request.failure]
    assert [request for request in failed if request.start > until or request.start + request.latency < since] == []
