# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command reports, and how it fails."""

from __future__ import annotations


class ControlError(Exception):
    """Something could not be done; the message says what, why and what still runs."""

    exit_code = 1


class UsageError(ControlError):
    """The command or its configuration is wrong."""

    exit_code = 2


class Refusal(ControlError):
    """It could be done, but not without an interruption that nobody has allowed."""

    exit_code = 4


def say(message: str) -> None:
    """Report one step at once, so that a person sees progress and Ansible sees a change."""
    print(message, flush=True)
