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
from bench.sites import http_site, uwsgi_site
from bench.statistics import Goal, ratios, rotated, rounded, spread
from bench.workers import Found, as_dict, goals, memory_panels, time_panels
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


def test_the_site_for_another_uwsgi_differs_in_its_names_and_addresses() -> None:
    text = uwsgi_site(SITE, "bench", "lazy", 8022, "unix:/srv/lazy.sock")
    changed = [new for old, new in zip(SITE.splitlines(), text.splitlines()) if old != new]
    assert changed == [
        "map $http_host $lazy_port {",
        """log_format lazy_json escape=json '{"host":"$host$lazy_port"}';""",
        "    listen 8022 default_server;",
        "    listen [::]:8022 default_server;",
        "    access_log /var/log/nginx/lazy.access.log;",
        "    uwsgi_param HTTP_HOST $host$lazy_port;",
        "        uwsgi_pass unix:/srv/lazy.sock;",
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


@pytest.mark.parametrize("part", ["deploying", "growth", "long", "memory", "service", "serving"])
def test_every_text_is_within_its_picture(part: str) -> None:
    """Also with DejaVu Sans, the widest of the fonts that sans-serif stands for."""
    if part == "long":
        long = "a label that is much longer than the label of any bar that there is today"
        panel = Panel("panel", "s", [Bar(long, 2, 1, 3, f"{long}, and a note that is longer still", ours=True)])
        machine = {"cores": 2, "cpu": "fast", "memory_gib": 4, "kernel": "6.1.0", "load": [0.5]}
        picture = bars("A", "rounds", [panel], {"date": "2026-11-26", "machine": machine})
    else:
        picture = (ROOT / "bench" / "results" / f"{part}.svg").read_text()
    top = ElementTree.fromstring(picture)
    for text in top.iter("{http://www.w3.org/2000/svg}text"):
        content, begin = "".join(text.itertext()), float(text.attrib["x"])
        width = len(content) * float(text.attrib["font-size"]) * (0.66 if text.get("font-weight") == "bold" else 0.58)
        begin -= width if text.get("text-anchor") == "end" else 0
        assert begin >= 0 and begin + width <= float(top.attrib["width"]), content


def test_processes_of_the_picture_take_turns() -> None:
    text = (ROOT / "docs" / "processes.svg").read_text()
    assert "both slots take turns" in text
    assert "only during" not in text


def test_the_parts_of_a_handover() -> None:
    lines = [[0.1, "prove galaxy-web@candidate.service"], [20.1, "start galaxy-web@2.service beside galaxy-web@1.service"], [40.6, "stop galaxy-web@1.service"]]
    assert handover_parts({"lines": lines, "seconds": 42.0}) == {"begin": 0.1, "prove": 20, "start": 20.5, "stop": 1.4, "all": 42}
    assert stamps("InactiveExitTimestampMonotonic=1500000\nActiveEnterTimestampMonotonic=2000000\n") == [1.5, 2]


def measured_workers() -> Found:
    """What might have been measured: 100 MiB for Galaxy and 10 for each worker, 10 seconds for a start."""

    def handover(start: float) -> dict[str, object]:
        lines = [[0, "prove x"], [start, "start x"], [2 * start, "stop x"]]
        return {"lines": lines, "seconds": 2 * start + 1}

    found = Found(same={"before": {"web": 120}, "most": {"web": 240}, "after": {"web": 118}})
    for workers in (1, 2, 4, 8):
        found.memory["once"][workers] = {"rest": 100 + 10 * workers, "load": 100 + 15 * workers}
        found.memory["own"][workers] = {"rest": 100 + 20 * workers, "load": 100 + 10 * workers}
        found.own_starts[workers] = 9
        found.handovers["once"][workers] = [handover(10), handover(12 if workers == 4 else 10)]
    for workers in (1, 2, 4):
        found.memory["lazy"][workers] = {"rest": 100.0 * workers, "load": 110.0 * workers}
        found.handovers["lazy"][workers] = [handover(10 * workers)]
    found.kills = {"once": [0.5, 0.4, 1.5], "lazy": [10]}
    fast, slow = Load(per_second=100, p50=1, p99=2, longest=3, errors=0), Load(per_second=80, p50=1, p99=2, longest=3, errors=1)
    found.rows = {"/api/version": {"once": [fast, fast], "lazy": [slow, fast]}}
    return found


def test_goals_of_a_galaxy_that_is_loaded_once() -> None:
    reached = {goal.what: goal.as_dict()["reached"] for goal in goals(measured_workers())}
    assert reached == {
        "memory of 4 workers at rest, in that of 1": 1.27,
        "MiB of 2 workers at rest": 120,
        "memory at rest, in that of Galaxy's own server with as many workers: the most": 0.917,
        "memory after load, in that of Galaxy's own server with as many workers: the most": 1.22,
        "the most memory in a handover of 2 workers, in that before": 2,
        "seconds of a start of 4 workers, in those of 1": 1.1,
        "seconds of a handover, in those of a start": 2.1,
        "seconds until a killed worker is back": 0.5,
        "/api/version: as many requests as from workers that each load Galaxy": 1.12,
        "/api/version: errors": 0,
    }


def test_picture_of_the_workers_has_a_bar_for_all_that_was_measured() -> None:
    result = json.loads(json.dumps(as_dict(measured_workers())))
    rest, most = memory_panels(result)
    assert [(drawn.label, drawn.median) for drawn in rest.bars][:4] == [
        ("1 worker, loaded once", 110),
        ("1 worker, each loads Galaxy", 100),
        ("1 worker, Galaxy's own server", 120),
        ("2 workers, loaded once", 120),
    ]
    assert len(rest.bars) == 4 + 3 + 4
    assert [drawn.median for drawn in most.bars] == [120, 240, 118]
    start, whole, killed, version = time_panels(result)
    assert len(start.bars) == 4 + 3 + 4
    assert [drawn.median for drawn in whole.bars if drawn.ours] == [21, 21, 23, 21]
    assert [drawn.median for drawn in killed.bars] == [0.5, 10]
    assert [drawn.median for drawn in version.bars] == [100, 90]


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
