"""Four workers and an ASGI process are one Galaxy: all of them know what an administrator changes, at all times."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any, Callable

import pytest
import requests
from bioblend.galaxy import GalaxyInstance
from browser import Visitor
from slots import serving
from streams import Streams
from workers import ask, expected, pids, registered, until_all, wait_for_a_swept_broker, wait_for_names

TRIES = 6
TOOLS = "/opt/test-tools"
TOOL = (
    '<tool id="{name}" name="{name}" version="{version}" profile="20.05">'
    "<command>true</command><inputs/><outputs/></tool>"
)


class Galaxy:
    """A Galaxy as its administrator changes it."""

    def __init__(self, host: Any, url: str, key: str) -> None:
        self.host = host
        self.url = url
        self.key = key
        self.names: list[str] = []

    def write(self, name: str, text: str) -> None:
        """Write a file among the tools, in one step."""
        self.host.check_output(
            "printf %%s %s > %s.new && mv %s.new %s", text, f"{TOOLS}/{name}", f"{TOOLS}/{name}", f"{TOOLS}/{name}"
        )

    def put(self, path: str, **options: Any) -> None:
        """PUT to the API as the administrator."""
        requests.put(self.url + path, headers={"x-api-key": self.key}, timeout=60, **options).raise_for_status()

    def configure_tools(self) -> None:
        """Write the list of the tools."""
        tools = "".join(f'<tool file="{name}.xml"/>' for name in ["count_runs", *self.names])
        self.write(
            "tool_conf.xml",
            '<?xml version="1.0"?>\n'
            f'<toolbox tool_path="{TOOLS}"><section id="tests" name="Tests">{tools}</section></toolbox>\n',
        )

    def add_tool(self, name: str, version: str = "1") -> None:
        """Add a tool and have the tools read again."""
        self.write(f"{name}.xml", TOOL.format(name=name, version=version))
        self.names.append(name)
        self.configure_tools()
        self.put("/api/configuration/toolbox")

    def remove_tool(self, name: str) -> None:
        """Remove a tool and have the tools read again."""
        self.names.remove(name)
        self.configure_tools()
        self.put("/api/configuration/toolbox")

    def knows(self, name: str, wanted: bool = True) -> None:
        """See that all workers have a tool, or that none has."""
        until_all(f"{self.url}/api/tools/{name}", self.key, lambda response: (response.status_code == 200) == wanted)


@pytest.fixture(scope="module")
def galaxy(host: Any, site: Any, admin_key: str) -> Iterator[Galaxy]:
    """The Galaxy, whose tools are as before when the tests have ended."""
    changed = Galaxy(host, site.url, admin_key)
    yield changed
    changed.names = []
    changed.configure_tools()


def test_each_web_process_is_registered_by_a_name_of_its_own(host: Any) -> None:
    wait_for_names(host)
    assert len(expected(host)) == 5


def test_a_tool_added_and_removed_is_known_to_all_workers(galaxy: Galaxy) -> None:
    for number in range(TRIES):
        galaxy.add_tool(f"added_{number}")
        galaxy.knows(f"added_{number}")
    galaxy.remove_tool("added_0")
    galaxy.knows("added_0", wanted=False)


def test_a_data_table_is_read_again_by_all_workers(galaxy: Galaxy) -> None:
    galaxy.write("fruits.loc", "apple\tApple\t/apple\npear\tPear\t/pear\n")
    table = f"{galaxy.url}/api/tool_data/fruits"
    requests.get(f"{table}/reload", headers={"x-api-key": galaxy.key}, timeout=60).raise_for_status()
    until_all(table, galaxy.key, lambda response: len(response.json()["fields"]) == 2)


def test_the_configuration_is_read_again_by_all_workers(galaxy: Galaxy, host: Any) -> None:
    """C(watch_core_config) is set: the one process that watches the file tells all others."""
    path = "/srv/galaxy/config/galaxy.ini"

    def known(text: str) -> None:
        until_all(
            f"{galaxy.url}/api/configuration",
            galaxy.key,
            lambda response: (response.json()["message_box_content"] or "") == text,
            20,
        )

    host.check_output("cp --preserve=all %s %s", path, f"{path}.before")
    host.check_output("sed --in-place 's/^message_box_content =.*/message_box_content = changed/' %s", path)
    known("changed")
    host.check_output("mv %s %s", f"{path}.before", path)
    known("")


def test_a_worker_that_was_killed_is_back_at_once_and_knows_what_the_others_know(
    galaxy: Galaxy, host: Any, note: Callable[[str], None]
) -> None:
    before = pids(host, serving(host, "galaxy"))
    for worker in ("2", "asgi"):
        host.check_output(f"kill -9 {before[worker]}")
        killed = time.monotonic()
        while pids(host, serving(host, "galaxy")).get(worker) in (None, 0, before[worker]):
            assert time.monotonic() < killed + 10
        note(f"{worker} is back after {time.monotonic() - killed:.1f} s")
        wait_for_names(host)
    galaxy.knows("added_1")
    until_all(
        f"{galaxy.url}/api/tool_data/fruits", galaxy.key, lambda response: len(response.json()["fields"]) == 2
    )
    galaxy.add_tool("added_after_a_kill")
    galaxy.knows("added_after_a_kill")


def test_the_workers_of_another_host_are_others(galaxy: Galaxy, host: Any) -> None:
    """A second host with as many workers shares the database. Here it differs by its name and its socket alone."""
    program = (
        "cd /srv/galaxy/server && exec runuser -u galaxy -- env GALAXYOPS_SLOT=galaxy.other.1 "
        "PYTHONPATH=/opt/test-python VIRTUAL_ENV=/srv/galaxy/venv PATH=/srv/galaxy/venv/bin:$PATH "
        "/srv/galaxy/venv/bin/uwsgi --http-socket 127.0.0.1:8099 --ini-paste /srv/galaxy/config/galaxy.ini"
    )
    host.check_output("systemd-run --collect --unit=other-host --property=KillMode=mixed sh -c %s", program)
    try:
        deadline = time.monotonic() + 300
        asked = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8099/api/tools/{}').status)"
        while host.run("python3 -c %s", asked.format("sort1")).rc and time.monotonic() < deadline:
            time.sleep(1)
        mine = registered(host)
        assert {name for name in mine if name.startswith("main.galaxy.other.1.")} == {
            f"main.galaxy.other.1.{number}" for number in range(1, 5)
        }
        assert expected(host).items() <= mine.items()
        galaxy.add_tool("added_on_one_host")
        galaxy.knows("added_on_one_host")
        time.sleep(5)
        for _try in range(20):
            assert host.check_output("python3 -c %s", asked.format("added_on_one_host")) == "200"
    finally:
        host.check_output("systemctl stop other-host")
    wait_for_names(host)


class Handover:
    """A handover while 300 streams and a page in a browser are open, and what they were like before and after it."""

    def __init__(self, galaxy: Galaxy, host: Any) -> None:
        self.slots = [serving(host, "galaxy")]
        self.seconds: list[float] = []
        key, self.history, visitor = visit(galaxy)
        try:
            with Streams(galaxy.url, 300) as streams:
                streams.wait()
                self.status = host.check_output("galaxy-web status")
                self.rename(galaxy, key, visitor, "before the handover")
                host.check_output("galaxy-web restart")
                self.slots.append(serving(host, "galaxy"))
                galaxy.add_tool("added_after_a_handover")
                galaxy.knows("added_after_a_handover")
                streams.wait()
                # The page opens its stream again after three seconds.
                time.sleep(5)
                self.rename(galaxy, key, visitor, "after the handover")
            self.statuses, self.ends = streams.statuses, streams.ends
            # Logging in leads from page to page, and ends the streams of those that are left.
            self.said = [line for line in visitor.watch.said if "events/stream" in line and "ERR_ABORTED" not in line]
        finally:
            visitor.leave()

    def rename(self, galaxy: Galaxy, key: str, visitor: Visitor, name: str) -> None:
        """Rename the history by another session, and wait until the page shows that."""
        started = time.monotonic()
        answer = requests.put(
            f"{galaxy.url}/api/histories/{self.history}", json={"name": name}, headers={"x-api-key": key}, timeout=60
        )
        answer.raise_for_status()
        visitor.sees(name, 20)
        self.seconds.append(time.monotonic() - started)


def visit(galaxy: Galaxy) -> tuple[str, str, Visitor]:
    """Log in as somebody new; return their key, their history, and their page."""
    name, password = f"visitor-{time.time_ns()}", "a-long-password"
    admin = GalaxyInstance(galaxy.url, key=galaxy.key)
    user = admin.users.create_local_user(name, f"{name}@example.org", password)
    key = admin.users.create_user_apikey(user["id"])
    visitor = Visitor(galaxy.url, f"{name}@example.org", password)
    return key, GalaxyInstance(galaxy.url, key=key).histories.get_most_recently_used_history()["id"], visitor


@pytest.fixture(scope="module")
def handover(galaxy: Galaxy, host: Any) -> Handover:
    """The handover."""
    return Handover(galaxy, host)


def test_a_handover_leaves_no_name_behind_and_changes_are_known_right_after_it(handover: Handover, host: Any) -> None:
    assert len(set(handover.slots)) == 2
    wait_for_names(host)


def test_event_streams_end_with_their_slot_and_are_opened_at_the_next(handover: Handover) -> None:
    """Each one ended as a response does, and not one was answered by an error."""
    assert re.search(r"ASGI process: pid \d+, \d+ MiB, 30[0-9] connections open", handover.status)
    assert handover.statuses == {"200": 600}
    assert handover.ends == {"ended": 300}


def test_a_page_shows_what_another_session_changes_before_and_after_a_handover(
    handover: Handover, note: Callable[[str], None]
) -> None:
    note(f"seen after {', '.join(f'{seconds:.1f} s' for seconds in handover.seconds)}")
    assert handover.said == []


def test_mcp_is_served(site: Any, admin_key: str) -> None:
    """Galaxy's own interface for agents, which an event loop of its own has to start."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    response = requests.post(
        f"{site.url}/api/mcp", json=call, headers={"Accept": "application/json, text/event-stream"}, timeout=60
    )
    assert response.status_code == 200, response.text
    assert '"connect"' in response.text


def test_a_stream_that_came_past_the_proxy_keeps_no_thread_of_a_worker(host: Any) -> None:
    """Some sixteen of them would be all."""
    slot = serving(host, "galaxy")
    answer = ask(host, f"/run/galaxy/web-{slot}/http.sock", "/api/events/stream")
    assert answer.startswith("HTTP/1.0 200")
    assert answer.endswith("retry: 3000")


def test_a_watched_tool_that_changes_is_read_again_by_all_workers(galaxy: Galaxy) -> None:
    """C(watch_tools) is set; the process that watches the files is not the one that did before the handover."""
    galaxy.add_tool("watched")
    galaxy.knows("watched")
    galaxy.write("watched.xml", TOOL.format(name="watched", version="2"))
    until_all(f"{galaxy.url}/api/tools/watched", galaxy.key, lambda response: response.json()["version"] == "2", 30)


def test_a_handover_leaves_nothing_in_the_broker(handover: Handover, host: Any) -> None:
    """No message, and no queue of the candidate, of the previous slot or of an answer; however many handovers."""
    wait_for_a_swept_broker(host)


def test_memory_is_shared_between_the_workers(host: Any, note: Callable[[str], None]) -> None:
    """A worker that had loaded Galaxy by itself would take some 700 MiB."""
    status = host.check_output("galaxy-web status")
    note(status)
    total = re.search(r"pid \d+, (\d+) MiB", status)
    assert total and int(total[1]) < 1400
