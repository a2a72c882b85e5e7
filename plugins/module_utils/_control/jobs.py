# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs that handlers have: who inherits them, and what is asked of Galaxy's database about them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from .. import _safe_files as safe_files
from .accounts import account_of, group_of
from .config import Handler, HandlersConfig
from .environment import add_python_path, read_environment
from .errors import ControlError

Job = dict[str, Any]

# The longest that a question to the database may take
SECONDS = 600


def described(jobs: list[Job], most: int = 10) -> str:
    """Name jobs, so that a person can look for them."""
    named = [f"job {job['id']} ({job['state']}, {job['tool']})" for job in jobs[:most]]
    return ", ".join(named) + (f" and {len(jobs) - most} more" if len(jobs) > most else "")


def taken_up(job: Job) -> bool:
    """Whether a handler has to take up a job that another one has started, which it does as it starts."""
    return bool(job["started"]) and job["state"] in ("queued", "running")


def heirs(settings: Handler, others: dict[str, Handler]) -> dict[str, list[str]]:
    """The handlers that take over the jobs of a handler, with the plugins that each is limited to.

    That is the handler under its new id, else those of the same tags, else all.
    """
    renamed = {name: other for name, other in others.items() if settings.get("id") in other.get("previous_ids", [])}
    schedules = bool(settings.get("workflow_scheduler"))
    alike = {name: other for name, other in others.items() if bool(other.get("workflow_scheduler")) == schedules}
    if schedules and not alike:
        alike = others  # without a scheduler every handler of jobs schedules workflows
    tags = set(settings.get("tags", []))
    same = {
        name: other
        for name, other in alike.items()
        if tags & set(other.get("tags", [])) or (not tags and not other.get("tags"))
    }
    return {name: other.get("plugins", []) for name, other in (renamed or same or alike).items()}


class Jobs:
    """The jobs of an instance, as Galaxy's database has them."""

    def __init__(self, config: HandlersConfig) -> None:
        self.config = config

    def _ask(self, action: str, **request: Any) -> Any:
        """Run database.py as Galaxy's user, with Galaxy's Python."""
        config = self.config
        account = account_of(config.user)
        environment = {
            **os.environ,
            **read_environment(safe_files.read(config.environment_file).decode()),
            "HOME": account.pw_dir,
        }
        # Where Galaxy is a checkout, it is found there.
        add_python_path(environment, [f"{config.chdir}/lib"])
        program = f"{config.virtualenv}/bin/python3"
        with subprocess.Popen(
            [program, "-B", str(Path(__file__).with_name("database.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=config.chdir,
            env=environment,
            user=account.pw_uid,
            group=group_of(config.group),
            extra_groups=os.getgrouplist(account.pw_name, account.pw_gid),
        ) as process:
            try:
                output, errors = self._talk(
                    process, json.dumps({"action": action, "config_file": config.config_file, **request})
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise ControlError(f"Galaxy's database cannot be asked about jobs: {program}: {error}") from error
            finally:
                process.kill()
        if process.returncode != 0:
            said = errors.strip().splitlines()
            reason = said[-1] if said else f"{program} ended with {process.returncode} and said nothing"
            raise ControlError(f"Galaxy's database cannot be asked about jobs: {reason}")
        try:
            # Its modules may have printed something before.
            return json.loads((output.splitlines() or [""])[-1])
        except (ValueError, RecursionError) as error:
            raise ControlError(
                f"Galaxy's database cannot be asked about jobs: instead of an answer there is {output[-2000:]!r}"
            ) from error

    @staticmethod
    def _talk(process: subprocess.Popen[bytes], request: str) -> tuple[str, str]:
        """Send the request and read the answer: Galaxy's user decides how long that is."""
        stdin: Any = process.stdin
        with contextlib.suppress(BrokenPipeError), stdin:
            stdin.write(request.encode())
        output, errors = safe_files.read_streams([process.stdout, process.stderr], safe_files.LIMIT, SECONDS)
        process.wait(10)
        return output.decode(errors="replace"), errors.decode(errors="replace")

    def unfinished(self, handler: str) -> list[Job]:
        """The jobs of a handler that have not ended."""
        return list(self._ask("unfinished", handler=handler))

    def ending(self, handler: str) -> list[Job]:
        """The jobs that would end with the process of a handler, because their runner keeps them in it."""
        if not self.config.ending_runners:
            return []
        return [
            job for job in self.unfinished(handler) if job["started"] and job["runner"] in self.config.ending_runners
        ]

    def move(self, handler: str, new: dict[str, list[str]], gone: bool) -> list[Job]:
        """Give the jobs of a handler to its heirs, each job with its C(heir) in the answer."""
        return list(self._ask("move", handler=handler, heirs=new, gone=gone))

    def move_workflows(self, handlers: list[str], new: list[str]) -> int:
        """Give the workflows of handlers, and of tags, to others; tell how many."""
        return int(self._ask("move_workflows", handlers=handlers, heirs=new) or 0)

    def hold(self, handler: str, held: bool) -> None:
        """Tell a running handler to start no more jobs, or to start some again."""
        self._ask("hold", handler=handler, held=held)
