# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log that is shown with a failure has the reason in it."""

from __future__ import annotations

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._control.log_tail import LINES, log_tail

HEALTH_PATH = "/api/version"
OURS = "request - - GET /api/version HTTP/1.1 503 22 bytes 1 ms worker 1"
OWN_OF_UWSGI = (
    "[pid: 7|app: 0|req: 1/1]  () {28 vars in 300 bytes} [Sat Nov 28 22:50:00 2026] "
    "GET /api/version => generated 22 bytes in 1 msecs (HTTP/1.1 503) 2 headers in 60 bytes (1 switches on core 0)"
)


@pytest.mark.parametrize("request_line", [OURS, OWN_OF_UWSGI])
def test_requests_for_the_health_path_do_not_hide_the_reason(request_line: str) -> None:
    shown = log_tail(
        ["no database", *[request_line] * 200, "GET /api/version on http.sock: status 503 after 20 s instead of 200"],
        HEALTH_PATH,
    ).splitlines()
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
    assert log_tail([line], HEALTH_PATH) == line


def test_a_long_log_is_shown_from_its_end() -> None:
    lines = [str(number) for number in range(1000)]
    assert log_tail(lines, HEALTH_PATH).splitlines() == lines[-LINES:]
    # Job handlers have no health path.
    assert log_tail(lines, "").splitlines() == lines[-LINES:]


START = [
    *(f"loading {number}" for number in range(100)),
    "Traceback (most recent call last):",
    '  File "a.py", line 1, in a',
    "    b()",
]
FRAME = ['  File "b.py", line 2, in b', "    raise KeyError('x')"]
REASON = ["The first exception:", "Traceback (most recent call last):", *FRAME, "KeyError: 'x'", "The last lines:"]
END = [f"[uWSGI] ending {number}" for number in range(100)]


def test_first_exception_is_shown_above_the_end_with_the_command_for_the_rest() -> None:
    second = [
        "Traceback (most recent call last):",
        '  File "c.py", line 3, in c',
        "RuntimeError: Galaxy could not be loaded, for the reason above",
    ]
    shown = log_tail([*START, *FRAME, "KeyError: 'x'", *second, *END], HEALTH_PATH, "journalctl --unit x").splitlines()
    assert shown == [*REASON, *END[-LINES:], "All of the log: journalctl --unit x"]


def test_lines_of_other_workers_in_an_exception_are_left_out() -> None:
    mixed = [
        *START,
        "request - - GET / HTTP/1.1 200",
        *FRAME,
        "[uWSGI] worker 2 is there",
        "WSGI app 0 ready",
        "KeyError: 'x'",
        *END,
    ]
    assert log_tail(mixed, HEALTH_PATH).splitlines()[: len(REASON)] == REASON


def test_exception_with_a_prefix_on_each_line_is_found() -> None:
    lines = [f"galaxy | {line}" for line in [*START, *FRAME, "KeyError: 'x'"]] + END
    assert log_tail(lines, HEALTH_PATH).splitlines()[: len(REASON)] == REASON


def test_short_log_is_shown_once() -> None:
    lines = ["Traceback (most recent call last):", *FRAME, "KeyError: 'x'"]
    assert log_tail(lines, HEALTH_PATH, "journalctl").splitlines() == lines
