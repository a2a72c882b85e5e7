"""Faults in a row, under load: what has to hold after each of them is in molecule/utils/chaos/invariants.py.

`make chaos` carries out longer schedules; this one of a fixed seed comes last, and leaves the host as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable

import pytest
from chaos.faults import START_TIMEOUT
from chaos.machine import Machine
from chaos.run import run
from chaos.schedule import schedule
from tiny_proof import play_uwsgi

# Of the seeds whose first steps have much: two controllers, a broken change that nobody applies, a missing dependency, a full
# disk, a kill, and systemd that starts itself anew or a power cut.
SEEDS = {"systemd": 85453, "supervisor": 14612}
STEPS = 6


@pytest.fixture
def machine(host: Any, container: str, manager: str, play: Any) -> Iterator[Machine]:
    """The host, where a version that does not become healthy is given up soon."""
    # Earlier tests have deployed other code, which is a part of what it calls its version.
    host.check_output("sed -i 's/^CODE = .*/CODE = \"\"/' /srv/tiny/tiny_app.py && tiny-web restart")
    result = play_uwsgi(play, uwsgi_start_timeout=START_TIMEOUT)
    assert result.returncode == 0, result.stdout
    machine = Machine(container, manager)
    machine.prepare()
    yield machine
    machine.leave()
    assert play_uwsgi(play).returncode == 0


def test_a_schedule_of_faults_breaks_nothing(machine: Machine, manager: str, note: Callable[[str], None]) -> None:
    assert run(machine, schedule(SEEDS[manager], STEPS, manager), note) == {}
