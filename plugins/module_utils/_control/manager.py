# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service manager does for one kind of processes."""

from __future__ import annotations

from typing import Callable, Protocol

from .process import Process

# Waits until the process of a name and number works, and fails when it does not in time.
Wait = Callable[[str, int], None]


class Manager(Protocol):
    """What a service manager does for one kind of processes."""

    title: str
    # Whether what processes print is in the journal of systemd, which files can be copied from
    keeps_journal: bool

    def name(self, process: str) -> str:
        """Its name for a process."""

    def is_active(self, process: Process) -> bool:
        """Whether the process runs and has proved that it works."""

    def is_starting(self, process: Process) -> bool:
        """Whether the process is on its way to that."""

    def start(self, process: Process, wait_until_ready: Wait, keep_trying: bool = False) -> None:
        """Start the process and wait until it has proved that it works; fail with the end of its log.

        A process that fails is stopped, unless the service manager is to I(keep_trying): then it is started again and
        again.
        """

    def stop(self, process: Process, wait: bool = True) -> None:
        """Stop the process; it finishes the requests or the clean-up it is at."""

    def is_asked_to_stop(self, process: Process) -> bool:
        """Whether somebody has the process stopped, or the host."""

    def run_apart(self, command: list[str]) -> None:
        """Run a command that lives on when the process that calls this ends."""

    def says(self, process: Process, words: str) -> bool:
        """Whether the process has said these words since it was started."""

    def load(self, names: list[str], check: bool) -> None:
        """Learn the definitions of these processes as they are on disk, and start with the host what shall be."""

    def unknown(self, names: list[str]) -> list[str]:
        """Processes of this kind that are there but not among these."""

    def forget(self, name: str) -> None:
        """Stop a process of that name and know it no more."""

    def reread(self) -> None:
        """Take notice of definitions that are gone."""
