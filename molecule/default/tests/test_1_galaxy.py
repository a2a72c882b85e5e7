"""What a person gets from the Galaxy that the defaults of every role bring up, and what a neighbour on the host does not get."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests
from browser import see_history
from galaxy_client import User

TOP = Path(__file__).resolve().parents[3]
TEXT = "pear\napple\nquince\n"


@pytest.fixture(scope="module")
def user(site: Any, admin_key: str) -> User:
    """A person who works with this Galaxy."""
    return User(site.url, admin_key, "tester")


def test_galaxy_answers_through_nginx(site: Any) -> None:
    response = site.get("/api/version")
    assert response.json() == {"version_major": "26.1", "version_minor": "2"}
    assert "nginx" in response.headers["Server"]


def test_page_shows_the_history_in_a_browser(site: Any) -> None:
    assert see_history(site.url, TOP / "build" / "screenshots" / "galaxy.png")


def test_a_job_runs_in_a_handler_and_its_output_is_right(user: User) -> None:
    dataset, upload = user.upload(TEXT)
    assert user.wait(upload)["state"] == "ok"
    output, sort = user.sort(dataset)
    job = user.wait(sort)
    assert job["state"] == "ok"
    assert job["handler"] in ("handler0", "handler1")
    assert user.download(output).text == "apple\npear\nquince\n"


def test_large_cookie_gets_no_502(site: Any) -> None:
    assert site.get("/api/version", headers={"Cookie": "sso=" + "x" * 60_000}).status_code == 200


def test_large_file_uploads_and_downloads_through_nginx(user: User, tmp_path: Path) -> None:
    """50 MB up in chunks; down by nginx on Galaxy's word, in parts too, and never around Galaxy."""
    line = b"0123456789abcdefghijklmnopqrstuvwxyz-galaxy-test\n"
    content = line * (50_000_000 // len(line) + 1)
    (tmp_path / "large.txt").write_bytes(content)
    dataset, upload = user.upload_file(str(tmp_path / "large.txt"))
    assert user.wait(upload)["state"] == "ok"
    whole = user.download(dataset)
    assert hashlib.sha256(whole.content).digest() == hashlib.sha256(content).digest()
    part = user.download(dataset, Range="bytes=100000-100099")
    assert part.status_code == 206
    assert part.content == content[100000:100100]
    assert part.headers["Content-Range"] == f"bytes 100000-100099/{len(content)}"


# One read, as a BAM file; written by what comes with Galaxy.
BAM = """
import pysam, sys
header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": "chr1", "LN": 1000}]}
with pysam.AlignmentFile(sys.argv[1], "wb", header=header) as bam:
    read = pysam.AlignedSegment(bam.header)
    read.query_name, read.query_sequence, read.flag = "read-of-the-test", "ACGTACGT", 0
    read.reference_id, read.reference_start, read.mapping_quality, read.cigarstring = 0, 99, 60, "8M"
    bam.write(read)
"""


def test_web_processes_start_the_programs_that_galaxy_needs(host: Any, user: User) -> None:
    """Data of a BAM file come from samtools, which a web process starts; its unit must not keep that from running."""
    assert host.run("systemctl cat 'galaxy-web@1.service' | grep -q '^ProtectProc=invisible'").rc == 0
    path = host.check_output("mktemp --dry-run /tmp/XXXXXXXX.bam")
    host.check_output(f"/srv/galaxy/venv/bin/python -c '{BAM}' {path}")
    content = base64.b64decode(host.check_output(f"base64 --wrap=0 {path}"))
    item = {"src": "files", "ext": "bam", "name": "one.bam"}
    targets = [{"destination": {"type": "hdas"}, "items": [item]}]
    response = requests.post(
        f"{user.url}/api/tools/fetch",
        data={"history_id": user.history, "targets": json.dumps(targets)},
        files={"files_0|file_data": ("one.bam", content)},
        headers={"x-api-key": user.key},
        timeout=120,
    )
    response.raise_for_status()
    made = response.json()
    user.wait(made["jobs"][0]["id"])
    dataset = made["outputs"][0]["id"]
    header = {"x-api-key": user.key}
    preview = requests.get(f"{user.url}/api/datasets/{dataset}/display", params={"preview": "true"}, headers=header, timeout=60)
    preview.raise_for_status()
    assert "read-of-the-test" in preview.text
    # Galaxy 26.1.2 fails over a line that samtools has printed, because that is of bytes: samtools has run.
    raw = {"data_type": "raw_data", "provider": "line"}
    requests.get(f"{user.url}/api/datasets/{dataset}", params=raw, headers=header, timeout=60)
    log = host.check_output("journalctl --unit 'galaxy-web@*' --since '-1min' --no-pager")
    assert "opened subrocess (('samtools', 'view'" in log
    # The bridge to WSGI drops such an exception; an administrator has to find it.
    assert re.search(r"uncaught exception in GET /api/datasets/(.|\n)*Traceback(.|\n)*TypeError: startswith first arg must be bytes", log)


def test_tests_of_tools_and_interactive_tools_are_served(user: User) -> None:
    for path in ("tools/sort1/test_data", "tools/tests_summary", "entry_points?running=true"):
        response = requests.get(f"{user.url}/api/{path}", headers={"x-api-key": user.key}, timeout=120)
        assert response.status_code == 200, f"{path}: {response.text[:300]}"


def test_datasets_are_sent_by_nginx_and_only_on_galaxys_word(host: Any, site: Any) -> None:
    path = host.check_output("find /srv/galaxy/var/objects -name '*.dat' -size +1M | head -n 1")
    assert path
    assert site.get(f"/_x_accel_redirect{path}").status_code == 404
    # The bytes do not come from Galaxy: on its own socket it answers with the file's name and nothing else.
    assert host.run("grep -q '^nginx_x_accel_redirect_base = /_x_accel_redirect$' /srv/galaxy/config/galaxy.ini").rc == 0


def test_static_files_come_from_disk_with_a_lifetime(site: Any) -> None:
    page = site.get("/").text
    script = page.split('src="/static/dist/')[1].split('"')[0]
    response = requests.get(f"{site.url}/static/dist/{script}", headers={"Accept-Encoding": "gzip"}, timeout=60)
    assert response.status_code == 200
    assert response.headers["Content-Encoding"] == "gzip"
    assert "max-age" in response.headers["Cache-Control"]


FILES = """
galaxy galaxyops-nginx 660 /run/galaxy/web.sock
galaxy galaxyops-nginx 2750 /run/galaxy/asgi
galaxy galaxyops-nginx 660 /run/galaxy/asgi/1.sock
galaxy galaxy 750 /run/galaxy/web-1
galaxy galaxy 600 /run/galaxy/web-1/stats.sock
root galaxy 640 /srv/galaxy/config/galaxy.ini
root galaxy 640 /srv/galaxy/config/job_conf.xml
root galaxy 750 /srv/galaxy/config
galaxy galaxy 700 /srv/galaxy/database
galaxy galaxy 700 /srv/galaxy/home
galaxy www-data 750 /srv/galaxy/var
root root 755 /srv/galaxy/venv/bin/galaxy-main
root galaxy 640 /etc/galaxy/web.env
www-data adm 640 /var/log/nginx/galaxy.access.log
""".strip().splitlines()


def test_files_belong_to_whom_they_should(host: Any) -> None:
    paths = " ".join(line.split()[-1] for line in FILES)
    assert host.check_output(f"stat -c '%U %G %a %n' {paths}").splitlines() == FILES


def test_secrets_are_seen_nowhere(host: Any) -> None:
    """Neither in a process list, nor in a unit, nor in a log."""
    for key in ("id_secret", "bootstrap_admin_api_key"):
        secret = host.check_output(f"sed -n 's/^{key} = //p' /srv/galaxy/config/galaxy.ini")
        assert len(secret) == 48
        seen = host.check_output("ps -eo args; cat /etc/systemd/system/galaxy-* /etc/galaxy/*; journalctl --no-pager --quiet")
        assert secret not in seen


def test_processes_are_what_they_should_be(host: Any) -> None:
    assert host.run("galaxy-web status").rc == 0
    assert host.run("galaxy-handlers status").rc == 0
    assert host.check_output("ps -eo user,args | grep -c '^galaxy .*galaxy-main .*--server-name=handler[01]$'") == "2"
    processes = Counter(host.check_output("ps --user galaxy -o comm=").splitlines())
    # The master and four workers; what speaks ASGI beside them, and its keeper.
    assert (processes["uwsgi"], processes["galaxy-asgi"], processes["galaxy-asgi-kpr"]) == (5, 1, 1)
    assert not host.run("ps -eo user,args | grep '^root.*\\(uwsgi\\|galaxy-main\\)' | grep -v grep").stdout


def test_garbage_is_looked_for_less_often(host: Any) -> None:
    assert host.check_output("/srv/galaxy/venv/bin/python -c 'import gc; print(gc.get_threshold()[0])'") == "10000"


def test_secrets_stay_out_of_a_diff(play: Any, host: Any) -> None:
    result = play("molecule/default/converge.yml", "--check", "--diff", "--extra-vars", '{"galaxy_app_options": {"brand": "Trial"}}')
    assert result.returncode == 0, result.stdout
    assert "+brand = Trial" in result.stdout
    for key in ("id_secret", "bootstrap_admin_api_key"):
        assert host.check_output(f"sed -n 's/^{key} = //p' /srv/galaxy/config/galaxy.ini") not in result.stdout
