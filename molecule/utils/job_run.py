"""Many jobs at once that count themselves, and what became of them."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Callable

from galaxy_client import User

UNFINISHED = {"new", "queued", "running", "waiting", "resubmitted", "upload"}


class JobRun:
    """Jobs of the tests' own tool: each writes a line as it starts and one as it ends to a file that stays."""

    def __init__(self, host: Any, user: User, note: Callable[[str], None]) -> None:
        self.host = host
        self.user = user
        self.note = note
        self.name = f"run{time.time_ns()}"
        self.ids: list[str] = []
        self.since = time.monotonic()

    def submit(self, count: int, seconds: int) -> None:
        """Submit jobs that take so long."""
        for _number in range(count):
            inputs = {"name": f"{self.name}_{len(self.ids)}", "seconds": str(seconds)}
            self.ids.append(self.user.galaxy.tools.run_tool(self.user.history, "count_runs", inputs)["jobs"][0]["id"])

    def submit_to(self, *handlers: str, seconds: int) -> None:
        """Submit jobs that take so long until each of the handlers has got one: which handler gets a job is left to chance."""
        while set(handlers) - {record["handler"] for record in self.records()}:
            assert len(self.ids) < 30, self.records()
            self.submit(1, seconds)

    def records(self) -> list[dict[str, Any]]:
        """The jobs as an administrator sees them."""
        return [record for record in self.user.jobs() if record["id"] in self.ids]

    def states(self) -> Counter[str]:
        """How many jobs there are in each state."""
        return Counter(record["state"] for record in self.records())

    def lines(self) -> Counter[str]:
        """How often each line was written."""
        return Counter(self.host.run("grep %s_ /srv/galaxy/var/runs.txt", self.name).stdout.splitlines())

    def wait_until_running(self, handler: str, seconds: int = 120) -> None:
        """Wait until a handler has started one of the jobs at least."""
        deadline = time.monotonic() + seconds
        while not any(record["handler"] == handler and record["state"] == "running" for record in self.records()):
            assert time.monotonic() < deadline, self.records()
            time.sleep(1)

    def assert_all_ran_once(self, seconds: int = 300) -> None:
        """Wait for the end; every job ended well, and none was started twice."""
        deadline = time.monotonic() + seconds
        while UNFINISHED & set(self.states()) and time.monotonic() < deadline:
            time.sleep(2)
        states, lines = self.states(), self.lines()
        starts = [line for line in lines.elements() if line.startswith("start ")]
        ends = [line for line in lines.elements() if line.startswith("end ")]
        taken = time.monotonic() - self.since
        self.note(f"{len(self.ids)} jobs, {dict(states)}, {len(starts)} starts, {len(ends)} ends, {taken:.0f} s")
        assert states == {"ok": len(self.ids)}
        assert len(starts) == len(ends) == len(self.ids)
        assert max(lines.values()) == 1
