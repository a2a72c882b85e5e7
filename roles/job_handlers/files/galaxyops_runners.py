# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A runner for jobs on the host itself that do not end with their handler.

Galaxy's own LocalJobRunner waits for its jobs when the handler stops, kills those that take too long, and counts
those of a handler that was killed as failed. A job of this runner goes on meanwhile, and the handler finishes it
after its next start; so does another handler that has been given it. In the job configuration:

    <plugin id="local" type="runner" load="galaxyops_runners:DurableLocalRunner" workers="4"/>
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Optional

from galaxy import model
from galaxy.jobs.runners import JobState
from galaxy.jobs.runners.local import LocalJobRunner

__all__ = ("DurableLocalRunner",)

# How often a job is started anew that was cut off, as by a reboot; one that takes the host down must not do so for ever.
MOST_STARTS = 3

# The number of the lock is inherited by all that the job starts. Its end is told last, and in one step.
LAUNCH = """\
echo $$ > "$1.pid"
echo >> "$1.starts"
"$1.sh"
cp "$1.ec" "$1.end" 2>/dev/null || : > "$1.end"
mv "$1.end" "$1.ended"
"""


class Trail:
    """The files by which anybody can tell whether a job has been started, runs, or has ended.

    The job holds a lock on one of them for as long as it lives. So there is no moment at which a job could be
    started twice or be missed, and no process number that could mean another process by now.
    """

    def __init__(self, directory: str, tag: str) -> None:
        self.base = os.path.join(os.path.abspath(directory), f"galaxy_{tag}")

    def path(self, suffix: str) -> Path:
        """One of the files."""
        return Path(f"{self.base}.{suffix}")

    def has(self, suffix: str) -> bool:
        """Whether there is such a file."""
        return self.path(suffix).exists()

    @property
    def held(self) -> bool:
        """Whether any process of the job lives."""
        try:
            with self.path("lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @property
    def runs(self) -> bool:
        """Whether the job has not ended yet; what it may have left in the background does not count."""
        return self.held and not self.has("ended")

    @property
    def starts(self) -> int:
        """How often the job has been started."""
        return len(self.path("starts").read_text().splitlines()) if self.has("starts") else 0

    def start(self, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start the job's script, away from the handler."""
        with self.path("lock").open("w") as lock, self.path("o").open("wb") as output, self.path("e").open("wb") as errors:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return subprocess.Popen(
                ["/bin/sh", "-c", LAUNCH, "sh", self.base],
                cwd=os.path.dirname(self.base),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=environment,
                pass_fds=[lock.fileno()],
                start_new_session=True,
            )

    def kill(self) -> None:
        """End all processes of the job; one that does not listen is not asked again."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(OSError, ValueError):
                if self.held:
                    os.killpg(int(self.path("pid").read_text()), number)
            deadline = time.monotonic() + 2
            while self.held and time.monotonic() < deadline:
                time.sleep(0.1)


class DurableLocalRunner(LocalJobRunner):  # type: ignore[misc,unused-ignore]
    """Runs jobs on the host itself, as many at a time as it has workers."""

    runner_name = "DurableLocalRunner"

    # Older releases have none of their own, and hand out what still waits in the queue as they stop.
    _should_stop = False

    def shutdown(self) -> None:
        """Stop, and let the jobs go on."""
        self._should_stop = True
        super().shutdown()

    def queue_job(self, job_wrapper: Any) -> None:
        """Run a job; called by one of the workers, which is busy with it until it has ended."""
        if self._should_stop or not self._prepare_job_local(job_wrapper):
            return
        # Its name in older releases
        write_script = getattr(self, "_LocalJobRunner__command_line", None) or self._command_line
        write_script(job_wrapper)
        job = job_wrapper.get_job()
        # Galaxy begins jobs without this mark from the start when they were cut off. So it comes first: what has the
        # mark may have been started, and its trail tells.
        job_wrapper.set_external_id(f"{job_wrapper.get_id_tag()}", job=job, flush=False)
        job_wrapper.change_state(model.Job.states.RUNNING, job=job)
        self._start(job_wrapper, self._trail(job_wrapper))

    def recover(self, job: Any, job_wrapper: Any) -> None:
        """Take up a job that another process of the handler, or another handler, has started."""
        job_wrapper.command_line = job.command_line
        self._trail(job_wrapper)
        self.work_queue.put((self.resume_job, job_wrapper))

    def resume_job(self, job_wrapper: Any) -> None:
        """Find out how far a job has got, and see it through from there."""
        if self._should_stop:
            return
        trail = self._trail(job_wrapper)
        # Older releases know no such state.
        stopped = job_wrapper.get_state() == getattr(model.Job.states, "STOPPED", None)
        if stopped:
            trail.kill()
        if stopped or trail.held or trail.has("ended"):
            self._follow(job_wrapper, trail)
        elif not trail.has("sh"):
            self._fail_job_local(job_wrapper, "The job was cut off, and there is nothing left of it to start again.")
        elif trail.starts >= MOST_STARTS:
            self._fail_job_local(job_wrapper, f"The job was started {trail.starts} times and cut off each time.")
        else:
            self._start(job_wrapper, trail)

    def stop_job(self, job_wrapper: Any) -> None:
        """End a job that somebody has deleted or stopped."""
        trail = self._trail(job_wrapper)
        with contextlib.suppress(OSError):  # its directory may be gone already
            trail.path("stopped").touch()
        trail.kill()

    def _trail(self, job_wrapper: Any) -> Trail:
        return Trail(job_wrapper.working_directory, job_wrapper.get_id_tag())

    def _start(self, job_wrapper: Any, trail: Trail) -> None:
        self._follow(job_wrapper, trail, trail.start(self._environ))

    def _follow(self, job_wrapper: Any, trail: Trail, process: Optional[subprocess.Popen[bytes]] = None) -> None:
        """Wait until a job has ended, and finish it; leave it alone when the handler is to stop."""
        begun = datetime.datetime.now()
        with contextlib.suppress(OSError):
            begun = datetime.datetime.fromtimestamp(trail.path("pid").stat().st_mtime)
        interactive = bool(job_wrapper.tool and job_wrapper.tool.produces_entry_points)
        rounds = 0
        while trail.runs:
            if self._should_stop:
                return
            if interactive and job_wrapper.check_for_entry_points(check_already_configured=False):
                interactive = False
            rounds += 1
            if rounds % 20 == 0 and job_wrapper.has_limits():
                exceeded = job_wrapper.check_limits(runtime=datetime.datetime.now() - begun)
                if exceeded is not None:
                    job_wrapper.fail(exceeded[1])
                    trail.kill()
                    return
            if process is None or process.poll() is not None:
                time.sleep(0.5)
            else:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
        trail.kill()
        if process is not None:
            process.wait()
        self._finish(job_wrapper, trail)

    def _finish(self, job_wrapper: Any, trail: Trail) -> None:
        if not trail.has("ended") and not trail.has("stopped") and job_wrapper.get_state() == model.Job.states.RUNNING:
            self._fail_job_local(job_wrapper, "The job was killed, by somebody on the host or for want of memory.")
            return
        try:
            output, errors = (self._job_io_for_db(trail.path(suffix).open("rb")) for suffix in ("o", "e"))
            if trail.has("ended") and not trail.has("ec"):
                # An earlier attempt to finish the job has tidied up already.
                trail.path("ec").write_bytes(trail.path("ended").read_bytes())
        except OSError as error:
            self._fail_job_local(job_wrapper, f"The job's output cannot be read: {error}")
            return
        self._handle_metadata_if_needed(job_wrapper)
        job_state = JobState(job_wrapper, job_wrapper.job_destination)
        job_state.stop_job = False
        # Newer releases find it by themselves.
        if not hasattr(JobState, "exit_code_file"):
            job_state.exit_code_file = str(trail.path("ec"))
        self._finish_or_resubmit_job(job_state, output, errors, job_id=job_wrapper.get_id_tag())
