#!/usr/bin/env python
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a user, upload a text, sort it with a tool, and say which handler ran the job: demo_job.py URL."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import requests
from bioblend.galaxy import GalaxyInstance

EMAIL, PASSWORD = "demo@example.org", "galaxy-demo"
TEXT = "pear\napple\nquince\n"


def demo_user(admin: GalaxyInstance) -> str:
    """Return the key of the demo's user, who is made the first time."""
    users = [user for user in admin.users.get_users() if user["email"] == EMAIL]
    user: dict[str, Any] = users[0] if users else admin.users.create_local_user("demo", EMAIL, PASSWORD)
    return str(admin.users.get_or_create_user_apikey(user["id"]))


def wait_for(url: str, seconds: int = 300) -> str:
    """Return the version of the Galaxy at I(url) as soon as it answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            response = requests.get(f"{url}/api/version", timeout=60)
            response.raise_for_status()
            return "{version_major}.{version_minor}".format(**response.json())
        except requests.RequestException as error:
            if time.monotonic() > deadline:
                sys.exit(f"{url} has not answered for {seconds} s: {error}")
            time.sleep(1)


def main(url: str) -> None:
    """Run one job as a person would, and print its way."""
    print(f"Galaxy {wait_for(url)} answers")
    admin = GalaxyInstance(url, key=os.environ["GALAXY_ADMIN_KEY"])
    galaxy = GalaxyInstance(url, key=demo_user(admin))
    history = galaxy.histories.create_history("Demo")["id"]
    upload = galaxy.tools.paste_content(TEXT, history, file_type="tabular")
    dataset = upload["outputs"][0]["id"]
    galaxy.jobs.wait_for_job(upload["jobs"][0]["id"], interval=1)
    inputs = {"input": {"src": "hda", "id": dataset}, "column": "1", "order": "ASC", "style": "alpha"}
    run = galaxy.tools.run_tool(history, "sort1", inputs)
    job = galaxy.jobs.wait_for_job(run["jobs"][0]["id"], interval=1)
    text = galaxy.datasets.download_dataset(run["outputs"][0]["id"]).decode()
    if job["state"] != "ok" or sorted(TEXT.split()) != text.split():
        sys.exit(f"the job ended as {job['state']} with {text!r}")
    records = requests.get(f"{url}/api/jobs", params={"view": "admin_job_list"}, headers={"x-api-key": admin.key}, timeout=60).json()
    handler = next(record["handler"] for record in records if record["id"] == job["id"])
    print(f"{handler} ran the tool sort1, which sorted {TEXT.split()} to {text.split()}")


if __name__ == "__main__":
    main(sys.argv[1])
