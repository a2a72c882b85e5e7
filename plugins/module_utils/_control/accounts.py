# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users and groups of the host, and becoming one of them."""

from __future__ import annotations

import grp
import os
import pwd
from typing import Callable

from .errors import ControlError, UsageError
from .kernel import in_child


def account_of(user: str) -> pwd.struct_passwd:
    """The account of a user."""
    try:
        return pwd.getpwnam(user)
    except KeyError as error:
        raise UsageError(
            f"this host has no user {user}: make it again, or run the playbook with another one"
        ) from error


def group_of(name: str) -> int:
    """The number of a group."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise UsageError(
            f"this host has no group {name}: make it again, or run the playbook with another one"
        ) from error


def drop_privileges(account: pwd.struct_passwd, group: int, umask: int) -> None:
    """Give up being root for good."""
    os.initgroups(account.pw_name, group)
    os.setgid(group)
    os.setuid(account.pw_uid)
    os.umask(umask)


def as_user(account: pwd.struct_passwd, group: int, act: Callable[[], None]) -> None:
    """Act as a user where this process is root's: for what is done in a directory, or with a socket, of that user."""
    if os.geteuid() != 0:
        act()
        return

    def become_and_act() -> str:
        drop_privileges(account, group, umask=0o022)
        act()
        return ""

    succeeded, message = in_child(become_and_act)
    if not succeeded:
        raise ControlError(message or "the process that acts as the user was killed")
