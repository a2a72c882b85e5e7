"""What has to hold after each fault, without a further command by a person, and after the next C(apply --restore)."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

from load import Load, Report

from .faults import Loss, Outcome
from .machine import APPLY, START_SECONDS, Machine, Result

# How much longer than its start-up time anything may take on a machine that is busy with other things.
SLACK = 25.0


def serves(machine: Machine, outcome: Outcome) -> list[str]:
    """Something proven serves, within the time of a start."""
    limit = START_SECONDS + SLACK + outcome.patience
    began = time.monotonic()
    version = ""
    while time.monotonic() < began + limit:
        version = machine.answer()
        if version in outcome.versions:
            outcome.waited = time.monotonic() - began
            for loss in outcome.losses:
                if loss.until is None:
                    loss.until = time.time() + 1
            return []
        time.sleep(0.5)
    return [f"1 serves: {version or 'nothing'} answers after {limit:.0f} s, not one of {outcome.versions}"]


def says(name: str, result: Result) -> list[str]:
    """A command ends, and says why it has failed, in words."""
    if result.code is None:
        return [f"2 apply: the command {name} has not ended, or left no exit code: {result}"]
    problems = []
    # The application may print one of its own, which the end of its log then shows.
    if re.search(r'Traceback \(most recent.*\n\s+File "[^"]*/(control/|runpy)', result.said):
        problems.append(f"2 apply: the command {name} printed a traceback: {result}")
    # Where a signal has ended it there is nothing to say.
    if result.code not in (0, 137, 143, 141) and not result.said:
        problems.append(f"2 apply: the command {name} failed with {result.code} and no word")
    return problems


def agrees(machine: Machine, outcome: Outcome) -> list[str]:
    """What is on disk is what serves, or the next C(apply --restore) makes it so."""
    machine.command("settle", APPLY)
    result = machine.finish("settle")
    problems = says("settle", result)
    status = machine.shell("tiny-web status || echo exit $?")
    if result.code == 0 and "exit " in status:
        problems.append(f"2 agrees: after an apply that was well, status says:\n{status}")
    serving, disk = machine.answer(), machine.version_on_disk()
    if serving != disk or serving not in outcome.versions:
        problems.append(
            f"2 agrees: {serving or 'nothing'} serves, {disk} is on disk, "
            f"expected one of {outcome.versions}; apply: {result}"
        )
    elif outcome.arrives and serving != outcome.arrives:
        problems.append(f"2 agrees: {serving} serves, and {outcome.arrives} was to come; apply: {result}")
    return problems


def once(report: Report, names: Sequence[str]) -> list[str]:
    """Every acknowledged POST was worked on exactly once, and no other more than once."""
    posts = [request for request in report.requests if request.kind == "post"]
    lost = [request for request in posts if not request.failure and names.count(request.name) != 1]
    twice = [request for request in posts if request.failure and names.count(request.name) > 1]
    problems = [
        f"3 once: an acknowledged POST was worked on {names.count(request.name)} times: {request}" for request in lost
    ]
    return problems + [
        f"3 once: a POST without an answer was worked on {names.count(request.name)} times: {request}"
        for request in twice
    ]


def lost(report: Report, losses: Sequence[Loss], began: float) -> list[str]:
    """No request has failed but those that the fault loses by its nature; the load began at that time by the clock."""
    counts = [0] * len(losses)
    problems = []
    for request in report.requests:
        if not request.failure:
            continue
        start, end = began + request.start, began + request.start + request.latency
        reasons = [number for number, loss in enumerate(losses) if start <= (loss.until or end) and end >= loss.since]
        if not reasons:
            problems.append(
                f"5 lost: {request.kind} at {request.start:.2f} s, {request.latency:.2f} s long: {request.failure}"
            )
        for number in reasons[:1]:
            counts[number] += 1
    for loss, count in zip(losses, counts):
        if loss.most is not None and count > loss.most:
            problems.append(f"5 lost: {count} requests where at most {loss.most} were under way")
    return problems[:5] + ([f"5 lost: and {len(problems) - 5} more"] if len(problems) > 5 else [])


def proven(report: Report, outcome: Outcome) -> list[str]:
    """No version has answered that was not proven."""
    known = [*outcome.versions, *filter(None, [outcome.meanwhile])]
    return [
        f"1 serves: {version} has answered, which is none of {known}"
        for version in report.versions
        if version not in known
    ]


def settled(found: dict[str, Any]) -> list[str]:
    """The known-good copies are of what serves, and nothing is left behind."""
    return [f"4 known-good: {problem}" for problem in found["known_good"]] + [
        f"6 leftover: {problem}" for problem in found["leftovers"]
    ]


def check(machine: Machine, outcome: Outcome, load: Load) -> tuple[list[str], Report]:
    """See whether everything holds."""
    problems = [problem for name, result in outcome.results.items() for problem in says(name, result)]
    problems += serves(machine, outcome)
    problems += agrees(machine, outcome)
    began = time.time() - load.now()
    report = load.stop()
    found = machine.on_host("look", **machine.looks(load.name))
    problems += (
        once(report, found["names"]) + proven(report, outcome) + settled(found) + lost(report, outcome.losses, began)
    )
    return problems, report
