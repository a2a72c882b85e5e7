# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chaos test is replayed by its seed, and sees what does not hold; the faults themselves need hosts."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest
from chaos.faults import FAULTS, Loss, Outcome
from chaos.invariants import lost, once, proven, says
from chaos.machine import CHANGES, Result, variant
from chaos.schedule import BROKEN, CARDS, MANAGERS, WORDS, Step, schedule, span
from load import Rates, Report, Request

TINY = Path(__file__).resolve().parents[3] / "molecule" / "tiny" / "files" / "tiny.ini"
TRACEBACK = "Traceback (most recent call last):\n"
SEVEN = [
    "1. kill, change good, who slot, word start, delay 0.1",
    "2. reboot, change syntax",
    "3. missing, change good, who command, seconds 4.9",
]


@pytest.mark.parametrize("manager", MANAGERS)
def test_the_same_seed_gives_the_same_schedule(manager: str) -> None:
    assert schedule(7, 100, manager) == schedule(7, 100, manager)
    assert schedule(7, 100, manager) != schedule(8, 100, manager)


def test_a_seed_means_the_same_on_every_machine_and_python() -> None:
    """A schedule that broke something yesterday is replayed tomorrow."""
    assert list(map(str, schedule(7, 3, "systemd"))) == SEVEN


@pytest.mark.parametrize("manager", MANAGERS)
def test_a_longer_schedule_begins_with_the_shorter_one(manager: str) -> None:
    assert schedule(3, 60, manager)[:25] == schedule(3, 25, manager)
    assert schedule(3, 60, manager, first=25) == schedule(3, 60, manager)[24:]
    assert [step.number for step in schedule(3, 60, manager, first=25)] == list(range(25, 61))


@pytest.mark.parametrize("manager", MANAGERS)
def test_every_fault_comes_before_any_comes_again(manager: str) -> None:
    cards = [card for card in CARDS if card.manager in ("", manager)]
    steps = schedule(5, len(cards), manager)
    assert sorted(step.fault for step in steps) == sorted(card.fault for card in cards)


def test_what_is_drawn_is_known() -> None:
    for manager in MANAGERS:
        for step in schedule(11, 300, manager):
            assert step.fault in FAULTS
            assert step.change in ("", *CHANGES)
            assert step.word in ("", *WORDS)
            assert step.seconds <= 15


def test_a_manager_gets_no_fault_of_the_other() -> None:
    assert not [step for step in schedule(1, 200, "systemd") if step.who in ("pool", "supervisord")]
    assert not [step for step in schedule(1, 200, "supervisor") if step.fault == "reexec"]


def test_a_step_is_told_in_a_line() -> None:
    assert str(Step(4, "kill", "good", "slot", "start", 0.5)) == "4. kill, change good, who slot, word start, delay 0.5"
    assert str(Step(5, "reboot")) == "5. reboot"


@pytest.mark.parametrize(
    ("text", "steps"),
    [("20", (1, 20)), ("7-9", (7, 9)), ("9-7", None), ("0", None), ("-3", None), ("x", None), ("", None)],
)
def test_which_steps_are_meant(text: str, steps: tuple[int, int] | None) -> None:
    assert span(text) == steps


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_made_again_and_again_of_the_same_file(change: str) -> None:
    first = variant(TINY.read_text(), change, "v1")
    parser = ConfigParser(interpolation=None)
    parser.read_string(first)
    assert parser["app:main"]["version"] == "v1"
    assert (change == "good") == (dict(parser["app:main"]) == good_section())
    assert variant(first, "good", "v0") == variant(TINY.read_text(), "good", "v0")


def good_section() -> dict[str, str]:
    parser = ConfigParser(interpolation=None)
    parser.read_string(variant(TINY.read_text(), "good", "v1"))
    return dict(parser["app:main"])


def test_every_broken_change_is_one() -> None:
    assert set(BROKEN) == CHANGES.keys() - {"good"}


def report(*requests: Request) -> Report:
    return Report(list(requests), 10, [], Rates())


def test_a_post_is_worked_on_once_or_without_an_answer_perhaps_not_at_all() -> None:
    found = report(
        Request("post", 1, name="a"),
        Request("post", 2, name="b", failure="status 502"),
        Request("post", 3, name="c", failure="status 502"),
    )
    assert once(found, ["a", "b"]) == []
    assert [problem[:40] for problem in once(found, ["b"])] == ["3 once: an acknowledged POST was worked "]
    assert len(once(found, ["a", "a", "b", "b"])) == 2


def test_what_is_lost_is_permitted_only_where_it_is_by_nature() -> None:
    found = report(
        Request("get", 1, 0.5, failure="status 502"),
        Request("slow", 2, 2, failure="reset without an answer"),
        Request("get", 9, 1),
    )
    assert len(lost(found, [], began=100)) == 2
    assert lost(found, [Loss(101.2, 102.1)], began=100) == []
    assert lost(found, [Loss(103, 103.1, 1)], began=100) == ["5 lost: get at 1.00 s, 0.50 s long: status 502"]
    assert lost(found, [Loss(101, 104, 1)], began=100) == ["5 lost: 2 requests where at most 1 were under way"]
    many = report(*(Request("get", number, 0.1, failure="status 502") for number in range(9)))
    assert lost(many, [], began=100)[-1] == "5 lost: and 4 more"


def test_a_version_that_was_not_proven_is_seen() -> None:
    assert proven(
        report(Request("get", 1, version="v1"), Request("get", 2, version="v2-factory")), Outcome(["v1", "v2"])
    ) == ["1 serves: v2-factory has answered, which is none of ['v1', 'v2']"]


def test_a_command_has_to_end_and_to_say_why_it_failed() -> None:
    assert (
        says("one", Result(0, "")) == says("one", Result(1, "it did not start")) == says("one", Result(137, "")) == []
    )
    for result in (
        Result(None, "prove"),
        Result(1, ""),
        Result(1, f'{TRACEBACK}  File "/usr/local/lib/galaxyops/tiny-web/galaxyops/control/web.py", line 1'),
    ):
        assert len(says("one", result)) == 1
    assert says("one", Result(1, f'{TRACEBACK}  File "/srv/tiny/tiny_app.py", line 1')) == []
