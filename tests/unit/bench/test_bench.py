"""What the benchmarks make of their numbers; the numbers themselves need machines."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.growth import large_ini
from bench.host import AnsibleRun, elapsed
from bench.pictures import Bar, Panel, bars
from bench.service import handover_parts, stamps
from bench.sites import http_site
from bench.statistics import Goal, ratios, rotated, rounded, spread
from bench.wrk import Load, parse

ROOT = Path(__file__).resolve().parents[3]


def test_the_spread_of_some_rounds() -> None:
    assert spread([3, 1, 2, 9, 4]).as_dict() == {"median": 3, "min": 1, "max": 9, "rounds": 5}
    assert spread([1, 2]).median == 1.5
    assert [rounded(number) for number in (12345.6, 1.23456, 0.98765)] == [12346, 1.23, 0.988]


def test_each_round_is_compared_with_itself() -> None:
    """The machine was half as fast in the second round, which says nothing about either of them."""
    assert ratios([100, 50, 100], [50, 25, 40]).as_dict() == {"median": 2, "min": 2, "max": 2.5, "rounds": 3}
    with pytest.raises(ValueError, match="2 rounds cannot be compared with 1"):
        ratios([1, 2], [1])


def test_every_round_begins_with_another_one() -> None:
    assert [rotated("abc", number)[0] for number in range(4)] == ["a", "b", "c", "a"]
    assert rotated("abc", 1) == ["b", "c", "a"]


def test_a_goal_is_met_or_missed() -> None:
    assert Goal("x", 1, at_least=1).met
    assert not Goal("x", 0.99, at_least=1).met
    assert not Goal("x", 13, at_most=12).met
    assert Goal("x", 1.2345, at_least=1).as_dict() == {"what": "x", "reached": 1.23, "at_least": 1, "met": True}


def test_the_numbers_of_wrk() -> None:
    numbers = {
        "requests": 300,
        "seconds": 3.0,
        "errors": {"connect": 0, "read": 1, "write": 0, "status": 2, "timeout": 0},
        "milliseconds": {"p50": 0.5, "p90": 1, "p99": 7.25, "max": 80},
    }
    found = parse(f"Running 3s test @ http://127.0.0.1:8001/fast\n  2 threads and 8 connections\nRequests/sec: 100\n{json.dumps(numbers)}\n")
    assert found == Load(per_second=100, p50=0.5, p99=7.25, longest=80, errors=3)
    with pytest.raises(ValueError, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:8001 Connection refused\n")


SITE = """\
map $http_host $bench_port {
    "~(:[0-9]+)$" $1;
}
log_format bench_json escape=json '{"host":"$host$bench_port"}';
server {
    listen 8001 default_server;
    listen [::]:8001 default_server;
    access_log /var/log/nginx/bench.access.log;
    include uwsgi_params;
    uwsgi_param UWSGI_SCHEME $scheme;
    uwsgi_param HTTP_HOST $host$bench_port;
    uwsgi_param HTTP_X_FORWARDED_FOR $remote_addr;
    uwsgi_param SCRIPT_NAME "";
    uwsgi_hide_header X-Request-ID;
    uwsgi_buffers 8 64k;
    location / {
        uwsgi_pass unix:/run/bench/web.sock;
    }
}
"""


def test_the_site_for_another_server_differs_in_nothing_else() -> None:
    text = http_site(SITE, "bench", "paste", 8011, "127.0.0.1:9001")
    assert text.splitlines() == [
        "map $http_host $paste_port {",
        '    "~(:[0-9]+)$" $1;',
        "}",
        """log_format paste_json escape=json '{"host":"$host$paste_port"}';""",
        "server {",
        "    listen 8011 default_server;",
        "    listen [::]:8011 default_server;",
        "    access_log /var/log/nginx/paste.access.log;",
        "    # no header: UWSGI_SCHEME",
        "    proxy_set_header Host $host$paste_port;",
        "    proxy_set_header X-Forwarded-For $remote_addr;",
        "    # no header: SCRIPT_NAME",
        "    proxy_hide_header X-Request-ID;",
        "    proxy_buffers 8 64k;",
        "    location / {",
        "        proxy_pass http://127.0.0.1:9001;",
        "    }",
        "}",
    ]


def test_every_line_of_the_role_has_a_counterpart() -> None:
    template = (ROOT / "roles" / "nginx_proxy" / "templates" / "site.conf.j2").read_text().replace("uwsgi_params leaves", "file leaves")
    assert set(re.findall(r"\buwsgi_\w+", http_site(template, "galaxy", "paste", 8011, "127.0.0.1:9001"))) == set()


def test_a_picture_is_well_formed_and_says_when_and_where() -> None:
    result = {"date": "2026-11-26", "machine": {"cores": 2, "cpu": "<fast>", "memory_gib": 4, "kernel": "6.1.0", "load": [0.5, 0, 0]}}
    picture = bars("A & B", "rounds", [Panel("panel", "s", [Bar("ours", 2, 1, 3, "p99 4 ms", ours=True), Bar("theirs", 4, 4, 4)])], result)
    texts = [element.text for element in ElementTree.fromstring(picture).iter() if element.text]
    assert "2026-11-26; 2 cores of <fast>, 4 GiB, Linux 6.1.0; load 0.5 before" in texts
    assert "2 · p99 4 ms" in texts


def test_the_parts_of_a_handover() -> None:
    lines = [[0.1, "prove galaxy-web@candidate.service"], [20.1, "start galaxy-web@2.service beside galaxy-web@1.service"], [40.6, "stop galaxy-web@1.service"]]
    assert handover_parts({"lines": lines, "seconds": 42.0}) == {"begin": 0.1, "prove": 20, "start": 20.5, "stop": 1.4, "all": 42}
    assert stamps("InactiveExitTimestampMonotonic=1500000\nActiveEnterTimestampMonotonic=2000000\n") == [1.5, 2]


def test_the_seconds_of_each_role() -> None:
    assert elapsed("2026-11-25T23:59:59.500000Z", "2026-11-26T00:00:01.250000Z") == 1.75

    def task(name: str, start: str, end: str) -> dict[str, object]:
        return {"task": {"name": name, "duration": {"start": f"2026-11-26T00:00:{start}.0Z", "end": f"2026-11-26T00:00:{end}.0Z"}}}

    tasks = [task("Gathering Facts", "00", "01"), task("galaxyops.uwsgi.uwsgi : run | Do it", "01", "04"), task("galaxyops.uwsgi.uwsgi : other", "04", "05")]
    run = AnsibleRun(5, {"plays": [{"tasks": tasks}], "stats": {"a": {"changed": 1}, "b": {"changed": 2}}})
    assert run.by_role() == {"play": 1, "uwsgi": 4}
    assert run.changed == 3


def test_a_large_file_has_the_lines_that_were_asked_for() -> None:
    assert large_ini(10_000).count("\n") == 10_000


def test_the_readme_shows_what_has_been_measured_and_no_more() -> None:
    shown = set(re.findall(r"\(bench/results/(\w+)\.svg\)", (ROOT / "README.md").read_text()))
    assert shown == {path.stem for path in (ROOT / "bench" / "results").glob("*.json")}
    assert shown == {path.stem for path in (ROOT / "bench" / "results").glob("*.svg")}
