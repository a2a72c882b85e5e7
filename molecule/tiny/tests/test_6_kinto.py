"""An application of somebody else, served by a name other than main: a composite of two applications, an egg, a dotted factory and a filter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from runs import changes_nothing

ORIGINAL = (Path(__file__).parents[1] / "files" / "kinto.ini").read_text()
PREPARE = """
set -eu
mkdir -p /srv/kinto
id kinto >/dev/null 2>&1 || useradd --system --home-dir /srv/kinto kinto
chgrp kinto /srv/kinto/kinto.ini
chmod 0640 /srv/kinto/kinto.ini
python3 -m venv /srv/kinto/venv
/srv/kinto/venv/bin/pip install --quiet kinto==26.5.0 Paste==3.10.1 PasteDeploy==3.1.0 'setuptools<81'
"""
HOST = {"Host": "kinto.example.org"}


pytestmark = pytest.mark.one_host


@pytest.fixture(autouse=True, scope="module")
def kinto(host: Any, play: Any) -> Iterator[None]:
    """What Kinto is started from; the host is left as it was found."""
    host.check_output("mkdir -p /srv/kinto && cat > /srv/kinto/kinto.ini <<'END'\n" + ORIGINAL + "END\ncat > /tmp/prepare.sh <<'END'\n" + PREPARE + "END\n")
    host.check_output("sh /tmp/prepare.sh")
    yield
    assert play("molecule/tiny/kinto.yml", "--extra-vars", "uwsgi_state=absent nginx_proxy_state=absent").returncode == 0
    assert host.check_output("cat /srv/kinto/kinto.ini") == ORIGINAL.rstrip()
    host.check_output("rm -rf /srv/kinto")


def test_an_application_that_is_not_called_main_is_served(play: Any, site: Any) -> None:
    result = play("molecule/tiny/kinto.yml")
    assert result.returncode == 0, result.stdout
    answer = site.get("/v1/", headers={**HOST, "Accept-Encoding": "gzip"}).json()
    assert answer["project_name"] == "somebody else's"
    assert answer["url"].endswith("/v1/")
    assert site.get("/dotted/v1/", headers=HOST).json()["project_name"] == "the same by its dotted name"


def test_it_works(site: Any) -> None:
    """What is written can be read again."""
    collection = "/v1/buckets/mine/collections/notes"
    options = {"auth": ("me", "secret"), "headers": HOST, "timeout": 60}
    for place in ("/v1/buckets/mine", collection):
        assert requests.put(site.url + place, **options).status_code == 201
    written = site.post(f"{collection}/records", json={"data": {"text": "hello"}}, **options)
    assert written.status_code == 201, written.text
    read = site.get(f"{collection}/records", **options).json()
    assert [record["text"] for record in read["data"]] == ["hello"]


def test_a_second_run_changes_nothing(play: Any) -> None:
    result = play("molecule/tiny/kinto.yml")
    changes_nothing(result)


def test_an_application_that_is_not_in_the_file_is_named(play: Any) -> None:
    result = play("molecule/tiny/kinto.yml", "--extra-vars", "uwsgi_paste_app=sight")
    assert result.returncode != 0
    assert "/srv/kinto/kinto.ini" in result.stdout
    assert "sight" in result.stdout
