"""A user of a Galaxy under test: what a person does there, by way of its API."""

from __future__ import annotations

import json
import time
from typing import Any

import requests
from bioblend.galaxy import GalaxyInstance

# One text, sorted.
WORKFLOW = {
    "a_galaxy_workflow": "true",
    "format-version": "0.1",
    "name": "sort",
    "annotation": "",
    "steps": {
        "0": {
            "id": 0,
            "type": "data_input",
            "name": "Input dataset",
            "label": "text",
            "annotation": "",
            "tool_state": "{}",
            "input_connections": {},
            "position": {"left": 0, "top": 0},
        },
        "1": {
            "id": 1,
            "type": "tool",
            "name": "Sort",
            "annotation": "",
            "tool_id": "sort1",
            "tool_version": None,
            "tool_state": json.dumps({"input": None, "column": "1", "order": "ASC", "style": "alpha", "header_lines": "0", "other_sorts": []}),
            "input_connections": {"input": {"id": 0, "output_name": "output"}},
            "position": {"left": 300, "top": 0},
        },
    },
}


class User:
    """One person with a history, whom the administrator's key has made; nobody is made twice, so tests can be run again."""

    def __init__(self, url: str, admin_key: str, name: str) -> None:
        self.url = url
        self.admin = GalaxyInstance(url, key=admin_key)
        name = f"{name}-{time.time_ns()}"
        email = f"{name}@example.org"
        user = self.admin.users.create_local_user(name, email, "a-long-password")
        self.key = self.admin.users.create_user_apikey(user["id"])
        self.galaxy = GalaxyInstance(url, key=self.key)
        self.history = self.galaxy.histories.create_history(name)["id"]

    def find_again(self, url: str) -> None:
        """Go on at another address of the same Galaxy."""
        self.url = url
        self.admin = GalaxyInstance(url, key=self.admin.key)
        self.galaxy = GalaxyInstance(url, key=self.key)

    def upload(self, text: str) -> tuple[str, str]:
        """Upload a text; return the ids of its dataset and its job."""
        upload = self.galaxy.tools.paste_content(text, self.history, file_type="tabular")
        return upload["outputs"][0]["id"], upload["jobs"][0]["id"]

    def upload_file(self, path: str) -> tuple[str, str]:
        """Upload a file; return the ids of its dataset and its job."""
        upload = self.galaxy.tools.upload_file(path, self.history, file_type="txt")
        return upload["outputs"][0]["id"], upload["jobs"][0]["id"]

    def sort(self, dataset: str) -> tuple[str, str]:
        """Sort a tabular dataset; return the ids of the output and of the job."""
        inputs = {"input": {"src": "hda", "id": dataset}, "column": "1", "order": "ASC", "style": "alpha"}
        run = self.galaxy.tools.run_tool(self.history, "sort1", inputs)
        return run["outputs"][0]["id"], run["jobs"][0]["id"]

    def sort_by_workflow(self, dataset: str) -> str:
        """Sort a tabular dataset by a workflow; return the id of its job, once that has ended well."""
        workflow = self.galaxy.workflows.import_workflow_dict(WORKFLOW)["id"]
        invocation = self.galaxy.workflows.invoke_workflow(workflow, inputs={"0": {"src": "hda", "id": dataset}}, history_id=self.history)["id"]
        self.galaxy.invocations.wait_for_invocation(invocation, maxwait=120, interval=2)
        (job,) = [step["job_id"] for step in self.galaxy.invocations.show_invocation(invocation)["steps"] if step["job_id"]]
        assert self.galaxy.jobs.wait_for_job(job, maxwait=120, interval=2, check=False)["state"] == "ok"
        return str(job)

    def wait(self, job: str, seconds: int = 300) -> dict[str, Any]:
        """Wait until a job has ended well; return its record as an administrator sees it."""
        ended = self.galaxy.jobs.wait_for_job(job, maxwait=seconds, interval=2, check=False)
        assert ended["state"] == "ok", self.galaxy.jobs.show_job(job, full_details=True)
        return next(record for record in self.jobs() if record["id"] == job)

    def jobs(self) -> list[dict[str, Any]]:
        """The records of all jobs, with their handlers, as an administrator sees them."""
        response = requests.get(f"{self.url}/api/jobs", params={"view": "admin_job_list"}, headers={"x-api-key": str(self.admin.key)}, timeout=60)
        response.raise_for_status()
        return list(response.json())

    def state(self, job: str) -> str:
        """The state of a job now."""
        return str(self.galaxy.jobs.get_state(job))

    def download(self, dataset: str, **headers: str) -> requests.Response:
        """Download a dataset as a browser does."""
        path = f"{self.url}/api/datasets/{dataset}/display"
        return requests.get(path, params={"to_ext": "txt"}, headers={"x-api-key": self.key, **headers}, timeout=120)
