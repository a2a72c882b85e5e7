"""What the tests of this scenario share: this release says less by its API than today's."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest
from galaxy_client import User

ROW = """
import json, sqlalchemy
from galaxy.util.properties import load_app_properties
url = load_app_properties(ini_file="/srv/galaxy/config/galaxy.ini", ini_section="app:main")["database_connection"]
print(json.dumps(list(sqlalchemy.create_engine(url).execute("{}").fetchone())))
"""


@pytest.fixture(scope="session")
def admin_key(host: Any) -> str:
    """The administrator's key, by its name in this release."""
    return str(host.check_output("sed -n 's/^master_api_key = //p' /srv/galaxy/config/galaxy.ini"))


@pytest.fixture
def user(site: Any, admin_key: str, request: pytest.FixtureRequest) -> User:
    """A person of the test's own."""
    return User(site.url, admin_key, request.node.name.partition("[")[0].replace("_", "-")[:40])


@pytest.fixture(scope="session")
def ask_database(host: Any) -> Callable[[str], list[Any]]:
    """Ask Galaxy's database for one row."""

    def ask(question: str) -> list[Any]:
        command = "cd /srv/galaxy/server && runuser -u galaxy -- /srv/galaxy/venv/bin/python -c %s"
        return list(json.loads(host.check_output(command, ROW.format(question))))

    return ask


@pytest.fixture
def run_job(user: User, ask_database: Callable[[str], list[Any]]) -> Callable[[], str]:
    """Upload a text and sort it with a tool, which has to go well; return the handler of the tool's job."""

    def run() -> str:
        dataset, upload = user.upload("pear\napple\nquince\n")
        output, sort = user.sort(dataset)
        for job in (upload, sort):
            assert user.galaxy.jobs.wait_for_job(job, maxwait=90, interval=0.5, check=False)["state"] == "ok"
        assert user.galaxy.datasets.download_dataset(output) == b"apple\npear\nquince\n"
        tool, handler = ask_database("SELECT tool_id, handler FROM job ORDER BY id DESC LIMIT 1")
        assert tool == "sort1"
        return str(handler)

    return run
