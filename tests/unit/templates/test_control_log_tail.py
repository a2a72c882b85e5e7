# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log that is shown with a failure has the reason in it."""

from __future__ import annotations

import pytest
from control.log_tail import LINES, log_tail

CONFIG = {"health": {"path": "/api/version"}}
OURS = "request - - GET /api/version HTTP/1.1 503 22 bytes 1 ms worker 1"
OWN_OF_UWSGI = (
    "[pid: 7|app: 0|req: 1/1]  () {28 vars in 300 bytes} [Sat Nov 28 22:50:00 2026] "
    "GET /api/version => generated 22 bytes in 1 msecs (HTTP/1.1 503) 2 headers in 60 bytes (1 switches on core 0)"
)


@pytest.mark.parametrize("request_line", [OURS, OWN_OF_UWSGI])
def test_requests_for_the_health_path_do_not_hide_the_reason(request_line: str) -> None:
    shown = log_tail(["no database", *[request_line] * 200, "GET /api/version on http.sock: status 503 after 20 s instead of 200"], CONFIG).splitlines()
    assert shown == [
        "no database",
        "GET /api/version on http.sock: status 503 after 20 s instead of 200",
        "(200 requests for /api/version are left out)",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "request 1f 10.0.0.1 GET /api/version/other HTTP/1.1 500 22 bytes 1 ms worker 1",
        "request 1f 10.0.0.1 POST /api/version HTTP/1.1 500 22 bytes 1 ms worker 1",
        "ERROR: GET /api/version HTTP/1.1 has failed: no database",
        "Traceback (most recent call last):",
    ],
)
def test_everything_else_stays(line: str) -> None:
    assert log_tail([line], CONFIG) == line


def test_a_long_log_is_shown_from_its_end() -> None:
    lines = [str(number) for number in range(1000)]
    assert log_tail(lines, CONFIG).splitlines() == lines[-LINES:]
    # Job handlers have no health path.
    assert log_tail(lines, {}).splitlines() == lines[-LINES:]
