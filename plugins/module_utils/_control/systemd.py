# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes as services of systemd: it waits itself until one works, by the C(ExecStartPost=) of its unit."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from .config import Config
from .errors import ControlError, say
from .log_tail import log_tail
from .manager import Wait
from .paths import ETC, is_foreign
from .process import Process

# The seconds that systemd may take to execute itself anew, as an upgrade of libc has it do: nobody answers meanwhile.
ABSENCE = 20


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)


def _wait_for_systemd() -> None:
    # Where there is none it will not come back.
    deadline = time.monotonic() + (ABSENCE if os.path.isdir("/run/systemd/system") else 0)
    while _run("show", "--property=Version").returncode != 0 and time.monotonic() < deadline:
        time.sleep(0.1)


def systemctl(*arguments: str, check: bool = True) -> str:
    """Run systemctl and return what it printed.

    It fails without a word on its output also where its connection was cut because systemd executes itself anew. All
    that is asked here may be asked twice.
    """
    process = _run(*arguments)
    if process.returncode != 0 and not process.stdout.strip():
        _wait_for_systemd()
        process = _run(*arguments)
    if check and process.returncode != 0:
        raise ControlError(f"systemctl {' '.join(arguments)}: {process.stderr.strip()}")
    return process.stdout.strip()


def journal(*arguments: str) -> str:
    """Read the journal, as far as it has been written."""
    command = ["journalctl", "--no-pager", "--quiet", "--output=cat", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def prefix_of(instance: str, kind: str) -> str:
    """What the names of the services of one kind begin with."""
    return f"{instance}-{'web' if kind == 'web' else 'handler'}@"


class Systemd:
    """The units C(INSTANCE-web@SLOT.service) and C(INSTANCE-handler@NAME.service)."""

    title = "systemd"
    keeps_journal = True

    def __init__(self, instance: str, kind: str, config: Config) -> None:
        self.config = config
        self.prefix = prefix_of(instance, kind)

    def name(self, process: str) -> str:
        """Its name for a process."""
        return f"{self.prefix}{process}.service"

    def is_active(self, process: Process) -> bool:
        """Whether the service runs (a start that still waits for its first answer does not count)."""
        return systemctl("is-active", process.service, check=False) == "active"

    def is_starting(self, process: Process) -> bool:
        """Whether the service is on its way to run."""
        return systemctl("is-active", process.service, check=False) == "activating"

    def start(self, process: Process, wait_until_ready: Wait, keep_trying: bool = False) -> None:
        """Start the service, or wait for a start under way; the C(ExecStartPost=) of its unit waits until it works."""
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        if not self._comes_up(process.service):
            if not keep_trying:
                systemctl("stop", process.service, check=False)
                systemctl("reset-failed", process.service, check=False)
            subprocess.run(["journalctl", "--sync"], check=False)
            # Not --lines: together with --since it shows the first lines, not the last.
            log = journal("--since", since, "--unit", process.service).splitlines()
            again = "systemd starts it again and again until it works. " if keep_trying else ""
            rest = f"journalctl --unit {process.service} --since '{since}'"
            raise ControlError(
                f"{process.service} did not start. {again}The end of its log:\n"
                f"{log_tail(log, self.config.health_path, rest)}"
            )

    @staticmethod
    def _comes_up(unit: str) -> bool:
        """Start a unit; whether it became active.

        The unit is asked and not the exit code, which is an error too where the connection to systemd was cut.
        """
        attempts = systemctl("show", "--property=NRestarts", "--value", unit)
        for _time in range(5):
            if _run("start", unit).returncode == 0:
                return True
            shown = systemctl("show", "--property=ActiveState,SubState,NRestarts", unit)
            state = dict(line.partition("=")[::2] for line in shown.splitlines())
            if state.get("ActiveState") == "active":
                return True
            starting = state.get("ActiveState") == "activating" and state.get("SubState") != "auto-restart"
            if state.get("NRestarts") != attempts or not (starting or state.get("ActiveState") == "inactive"):
                return False
        return False

    def stop(self, process: Process, wait: bool = True) -> None:
        """Stop the service; it finishes the requests or the clean-up it is at."""
        systemctl("stop", *([] if wait else ["--no-block"]), process.service)
        if not wait:
            return
        # One that had to be killed would be remembered as failed.
        systemctl("reset-failed", process.service, check=False)

    def is_asked_to_stop(self, process: Process) -> bool:
        """Whether a job of systemd stops the service; a service that has ended by itself has none."""
        return systemctl("show", "--property=Job", "--value", process.service) not in ("", "0")

    def run_apart(self, command: list[str]) -> None:
        """Run a command as a unit of its own."""
        subprocess.run(
            ["systemd-run", "--quiet", "--no-block", "--collect", *command], check=False, capture_output=True
        )

    def says(self, process: Process, words: str) -> bool:
        """Whether the service has said these words since it was started."""
        invocation = systemctl("show", "--property=InvocationID", "--value", process.service)
        # --reverse: without it, older releases look at the last line only.
        return bool(journal("--reverse", "--lines=1", f"_SYSTEMD_INVOCATION_ID={invocation}", "--grep", words).strip())

    def load(self, names: list[str], check: bool) -> None:
        """Make systemd know the unit files as they are now, and start with the host what shall be."""
        stale = systemctl("show", "--property=NeedDaemonReload", "--value", *self.config.boot_units, *names)
        disabled = [unit for unit in self.config.boot_units if systemctl("is-enabled", unit, check=False) != "enabled"]
        if ("yes" in stale.split() or disabled) and not check:
            systemctl("daemon-reload")
        if disabled:
            say(f"enable {' '.join(disabled)}")
            if not check:
                systemctl("enable", *disabled)

    def unknown(self, names: list[str]) -> list[str]:
        """Services of this kind that run or are enabled, that a role wrote, and that are not among I(names)."""
        pattern = f"{self.prefix}*.service"
        running = systemctl("list-units", "--all", "--plain", "--no-legend", pattern).splitlines()
        enabled = (ETC / "systemd/system/multi-user.target.wants").glob(pattern)
        found = ({line.split()[0] for line in running} | {path.name for path in enabled}) - {*names}
        return sorted(name for name in found if not self._is_foreign(name))

    def _is_foreign(self, name: str) -> bool:
        """Whether a service runs by a unit that no role wrote, such as a unit of Gravity.

        The unit of a role may be gone already.
        """
        directories = (ETC / "systemd/system", Path("/usr/lib/systemd/system"))
        units = [directory / unit for unit in (name, self.name("")) for directory in directories]
        return next((is_foreign(unit) for unit in units if unit.exists()), False)

    def forget(self, name: str) -> None:
        """Stop a service and do not start it with the host any more."""
        systemctl("disable", "--now", name, check=False)
        systemctl("reset-failed", name, check=False)

    def reread(self) -> None:
        """Take notice of unit files that are gone."""
        systemctl("daemon-reload")
