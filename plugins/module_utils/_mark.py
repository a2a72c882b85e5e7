# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a file is: every file that the roles write names this collection in its first lines."""

from __future__ import annotations

import contextlib
import os
import re

MARK = "galaxyops.uwsgi"
# As many characters as the first lines may have.
_FIRST_LINES = 500
# What the files of others have somewhere, and who those are.
_OTHERS = (
    ("maintained by Gravity", "of Gravity"),
    ("Description=Galaxy Handlers", "of the role usegalaxy_eu.galaxy_systemd"),
)
_PACKAGES = ("/usr/lib/", "/lib/")
# A first line such as "# Ansible managed" tells whose the file is.
_SAYS_WHOSE = re.compile(r"^[#;]+\s*(.*(?:managed|maintained|generated|written|created) .*|.* (?:managed|maintained|generated)\b.*)$", re.I | re.M)


def first_text(path: str, size: int = _FIRST_LINES) -> str:
    """The first characters of a regular file; nothing of anything else."""
    with contextlib.suppress(OSError):
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as stream:
                return stream.read(size)
    return ""


def has_mark(path: str, mark: str = MARK) -> bool:
    """Whether a file, or the file that a link leads to, has the mark in its first lines."""
    return mark in first_text(path)


def whose(path: str) -> str:
    """Who has written a file that lacks the mark, as a message says it."""
    if os.path.realpath(path) == "/dev/null":
        return "masked by 'systemctl mask'"
    text = first_text(path, 4096)
    for words, owner in _OTHERS:
        if words in text:
            return owner
    if path.startswith(_PACKAGES):
        return "of a package"
    said = _SAYS_WHOSE.search(text[:_FIRST_LINES])
    return f"of somebody else: '{said.group(1).strip()[:80]}'" if said else "of somebody else"
