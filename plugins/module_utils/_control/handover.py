# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The handover: the idle slot is started from the files on disk, and takes the place of the slot that serves.

A handover first starts the candidate from the files on disk. The candidate has no part in the public socket; when it
has answered on its private socket, the candidate is stopped, and the idle slot is started beside the slot that serves.
When the idle slot has answered on its private socket too, the other slot is stopped. So a version that does not work
never gets a request.
"""

from __future__ import annotations

from .errors import ControlError, Refusal, say
from .kernel import MIB, available_memory
from .process import Process
from .slots import CANDIDATE, Slots


def memory_problem(needed: int, available: int, start_seconds: float) -> str:
    """Say that a handover needs more memory than is available, both in bytes; empty when there is enough."""
    if needed <= available:
        return ""
    return (
        f"a handover needs about {needed // MIB} MiB for processes beside those that serve, and {available // MIB} MiB "
        "are available. Free some memory, lower uwsgi_processes, or set uwsgi_handover to in_place: requests then "
        f"wait about {start_seconds:.0f} s while the processes are replaced."
    )


def check_memory(serving: Process) -> None:
    """Refuse a handover for which there is too little memory, before the kernel ends it by killing something."""
    problem = memory_problem(serving.memory, available_memory(), serving.start_seconds or 0)
    if problem:
        raise Refusal(f"{problem} Nothing has been touched: {serving.service} serves on.")


def prove(slots: Slots) -> None:
    """Start the candidate from the files on disk, and see whether it works."""
    candidate = slots.processes()[CANDIDATE]
    say(f"prove {candidate.service}")
    proven = slots.version
    try:
        slots.start_process(candidate)
    except ControlError as error:
        serving = slots.serving()
        outcome = f"The site is still up: {serving.service} serves on." if serving else "No web process runs."
        raise ControlError(f"{error}\n{outcome}") from error
    (slots.run / "proven").write_text(proven)
    # It has no requests. What comes next does not wait until it has ended.
    slots.manager.stop(candidate, wait=False)


def start_idle(slots: Slots, idle: Process) -> None:
    """Start the slot that is idle, once more where what it gets its socket from was lost meanwhile."""
    try:
        slots.start_process(idle)
    except ControlError as error:
        if not slots.listener.is_lost(idle):
            raise
        say(f"{error}\nWhat it gets its socket from has ended meanwhile: start {idle.service} once more")
        slots.listener.open()
        slots.start_process(idle)


def replace_in_place(slots: Slots, serving: Process, owner: Slots) -> None:
    """Replace the slot that serves where there is no memory for two: requests wait in the socket meanwhile."""
    slots.attempt()
    say(
        f"replace {serving.service} in place: requests wait about {serving.start_seconds or 0:.0f} s until it has "
        "started"
    )
    slot = next(slot for slot in slots.slots() if slot.directory == serving.directory)
    owner.stop(serving)
    if owner is not slots:
        owner.sweep()
    try:
        slots.start_process(slot, keep_trying=not slots.known_good.exists)
    except ControlError as error:
        if not slots.known_good.exists:
            raise
        error = slots.put_back(error)
        try:
            owner.start_process(serving, keep_trying=True)
        except ControlError as failure:
            raise ControlError(f"{error}\nThey do not start either: {failure}") from error
        raise ControlError(f"{error}\nThe site is up again: {serving.service} runs what worked before.") from error
    slots.accept(slot)


def hand_over(slots: Slots, serving: Process, proof: bool, owner: Slots) -> None:
    """Replace the slot that serves, under the service manager of the I(owner), by one that runs the files on disk."""
    idle = next(slot for slot in slots.slots() if slot.directory != serving.directory)
    if slots.config.handover == "in_place":
        replace_in_place(slots, serving, owner)
        return
    check_memory(serving)
    slots.attempt()
    if proof:
        # Under systemd it would open the socket.
        prove(owner)
    say(f"start {idle.service} beside {serving.service}")
    try:
        start_idle(slots, idle)
    except ControlError as error:
        raise ControlError(f"{error}\nThe site is still up: {serving.service} serves on.") from error
    slots.accept(idle)
    say(f"stop {serving.service}")
    owner.stop(serving)
    if proof:
        owner.manager.stop(owner.processes()[CANDIDATE])
