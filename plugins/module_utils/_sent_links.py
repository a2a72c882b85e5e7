# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links in the directories whose files nginx sends: nginx follows those that lead to something of their own owner."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator, Sequence

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _links(directory: str, depth: int) -> Iterator[str]:
    """The links in a directory and, as deep as that, in what it holds."""
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_symlink():
                yield entry.path
            elif depth and entry.is_dir(follow_symlinks=False):
                yield from _links(entry.path, depth - 1)


def check(directories: Sequence[str]) -> list[Finding]:
    """Name the links to directories of somebody else than the owner of the link."""
    listed = {os.path.normpath(directory) for directory in directories}
    findings = []
    for link in dict.fromkeys(link for directory in sorted(listed) for link in _links(directory, 1)):
        if link in listed or not os.path.isdir(link):
            continue
        owner, target = os.lstat(link).st_uid, os.stat(link).st_uid
        if owner != target:
            message = (
                f"{link} is a link of {_name(owner)} to a directory of {_name(target)}, and nginx sends nothing that lies behind such a link: a job "
                f"could make one to files of others. If the link is yours, add {link} to nginx_proxy_x_accel_dirs, or give the link to the owner of "
                f"the directory: chown -h {_name(target)} {link}"
            )
            findings.append(Finding("", 0, "error", message))
    return findings
