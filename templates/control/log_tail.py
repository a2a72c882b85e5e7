# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of the log of a process that did not start, as a person wants to see it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

LINES = 40


def log_tail(lines: Sequence[str], config: dict[str, Any]) -> str:
    """The last lines of a log, less those of the health requests.

    While a process is waited for, it is asked for the health path several times a second, and uWSGI logs each time: the reason would be far above.
    """
    path = config.get("health", {}).get("path")
    if not path:
        return "\n".join(lines[-LINES:])
    # As the roles set log-format, and as uWSGI does without that. What the application says itself of such a request stays.
    request = re.compile(rf"(request .*|\[pid: .*) GET {re.escape(path)} (HTTP/|=> generated ).*")
    kept = [line for line in lines if not request.fullmatch(line)]
    left_out = len(lines) - len(kept)
    return "\n".join([*kept[-LINES:], *([f"({left_out} requests for {path} are left out)"] if left_out else [])])
