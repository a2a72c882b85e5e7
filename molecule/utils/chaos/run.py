"""Carry out a schedule step by step, and report every violation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Callable

from load import Load, Rates

from .faults import FAULTS, Outcome
from .invariants import check
from .machine import Failure, Machine
from .schedule import Step

RATES = Rates(get=20, post=5, slow=1, post_path="/upload?name={name}", timeout=90)


def one(machine: Machine, step: Step, serving: str, say: Callable[[str], None]) -> list[str]:
    """Carry out one step under load, and return what did not hold."""
    outcome = Outcome([serving])
    started = time.monotonic()
    load = Load(machine.url, RATES).start()
    time.sleep(1)
    problems: list[str] = []
    try:
        FAULTS[step.fault](machine, step, outcome, load)
    except (AssertionError, Failure) as error:
        problems.append(f"{step.fault}: {error}")
    more, report = check(machine, outcome, load)
    problems += more
    codes = ", ".join(f"{name}: exit {result.code}" for name, result in outcome.results.items())
    served = f"served after {outcome.waited:.0f} s" if outcome.waited is not None else "did not serve"
    lost = f"{served}, {len(report.failures)} of {len(report.requests)} requests lost"
    numbers = ", ".join(filter(None, [f"{time.monotonic() - started:.0f} s", lost, codes]))
    say(f"{step}: {'VIOLATED' if problems else 'holds'} ({numbers})")
    if problems:
        problems += [f"hit: {hit.lines.strip() or 'nobody'}" for hit in outcome.hits]
        problems += [f"the command {name} said: {result}" for name, result in outcome.results.items()]
    for problem in problems:
        say("    " + problem.replace("\n", "\n    "))
    return problems


def run(machine: Machine, steps: Sequence[Step], say: Callable[[str], None]) -> dict[Step, list[str]]:
    """Carry out all steps on a host that is prepared, and return those that broke something, with what did not hold."""
    broke: dict[Step, list[str]] = {}
    serving = machine.answer()
    for step in steps:
        problems = one(machine, step, serving, say)
        if problems:
            broke[step] = problems
            machine.repair(serving)
        serving = machine.answer()
    return broke
