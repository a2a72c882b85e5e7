# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mask keys and passwords in what is shown."""

from __future__ import annotations

import re
from functools import lru_cache

MASK = "********"

_MASKED = rf"\g<shown>{MASK}"
_SECRET_WORDS = r"secret|passwd|password|passphrase|api[-_]?key|token|credential|private[-_]?key"
_SECRET_NAME = re.compile(_SECRET_WORDS, re.IGNORECASE)
# Each run of characters that a name may have is read once, as a whole: what follows the run decides, whichever word in it is a secret's. The group
# in the lookahead stands for a possessive repetition, which Python has from 3.11 on.
_RUN = r"[\w. -]"
_SECRET_ASSIGNMENT = re.compile(
    rf"(?P<shown>(?<!{_RUN})(?={_RUN}*?(?:{_SECRET_WORDS}))(?=(?P<name>{_RUN}+))(?P=name)[\"']?\s*[=:]\s*)(?P<hidden>\S.*)", re.IGNORECASE
)
_URL_PASSWORD = re.compile(r"(?P<shown>://[^:/?#@\s]*:)(?P<hidden>.+)")
_BASIC_AUTH = re.compile(r"(?P<shown>basicauth(?:(?!basicauth)[\w-])*:(?:(?!basicauth)[^,])*,[^:]*:)(?P<hidden>\S+)")


def is_secret(name: str) -> bool:
    """Whether the option I(name) has a secret value by its name."""
    return bool(_SECRET_NAME.search(name))


def mask_value(name: str, value: str) -> str:
    """I(value) of the option I(name) as it may be shown."""
    return MASK if value and is_secret(name) else mask_line(value)


# Most lines are on both sides of a diff.
@lru_cache(maxsize=2**15)
def mask_line(line: str) -> str:
    """Mask what in I(line) is a secret by its own looks."""
    if "://" in line:
        line = "\n".join(map(_mask_url_passwords, line.split("\n")))
    if "basicauth" in line:
        line = _BASIC_AUTH.sub(_MASKED, line)
    return _SECRET_ASSIGNMENT.sub(_MASKED, line) if is_secret(line) else line


def _mask_url_passwords(line: str) -> str:
    """Mask the password in the URL of one line: all up to the last C(@), because a password may have some too."""
    url, at, rest = line.rpartition("@")
    return _URL_PASSWORD.sub(_MASKED, url) + at + rest
