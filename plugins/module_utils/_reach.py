# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a user from the files below a directory."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any, Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._safe_files import group_name, user_name

# The user itself looks: the mode alone does not tell what access control lists allow.
_CANNOT_ENTER = 'for path; do test -x "$path" || printf "%s\\0" "$path"; done'


def way_to(directory: str) -> list[str]:
    """The directories on the way to a directory, from the first one below the top to the directory itself."""
    found = [os.path.normpath(directory)]
    while len(os.path.dirname(found[0])) > 1:
        found.insert(0, os.path.dirname(found[0]))
    return found


def cannot_enter(directories: Iterable[str], user: int, groups: Sequence[int]) -> list[str]:
    """Those of some directories that a user with these groups, the first of which is the main one, cannot enter."""
    become: dict[str, Any] = {"user": user, "group": groups[0], "extra_groups": list(groups)} if os.geteuid() == 0 else {}
    process = subprocess.run(  # pylint: disable=ansible-bad-function  # run_command keeps root's groups
        ["/bin/sh", "-c", _CANNOT_ENTER, "sh", *directories], capture_output=True, check=True, cwd="/", **become
    )
    return [os.fsdecode(path) for path in process.stdout.split(b"\0") if path]


def obstacle(directory: str, user: int, groups: Sequence[int]) -> Optional[str]:
    """The first directory on the way to one that a user cannot enter; None where there is none, or the directory is not there yet."""
    if not os.path.isdir(directory):
        return None
    return next(iter(cannot_enter(way_to(directory), user, groups)), None)


def described(directory: str) -> str:
    """A directory with its mode, owner and group, for a person."""
    status = os.stat(directory)
    mode = stat.S_IMODE(status.st_mode)
    return f"{directory} (mode {mode:04o}, {user_name(status.st_uid)}:{group_name(status.st_gid)})"
