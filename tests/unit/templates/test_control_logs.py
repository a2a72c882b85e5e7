# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of what copies the log to files; a rotation of a real journal under load is tested on real hosts."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from control.logs import Copy, LogFile, batches, line


def entry(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "__CURSOR": f"c{number}",
        "__REALTIME_TIMESTAMP": str(1_700_000_000_000_000 + number),
        "SYSLOG_IDENTIFIER": "galaxy-web",
        "_SYSTEMD_UNIT": "galaxy-web@1.service",
        "_PID": "42",
        "MESSAGE": f"line {number}",
        **fields,
    }


def written(*entries: dict[str, Any]) -> list[bytes]:
    return [json.dumps(one).encode() for one in entries]


def test_a_line_tells_when_and_who() -> None:
    text = line(entry(5))
    assert text.endswith("galaxy-web@1[42]: line 5\n")
    assert text[:4] == "2023"
    assert ".000005" in text
    assert line(entry(1, MESSAGE=[104, 255, 105])).endswith(": h\ufffdi\n")
    assert line(entry(1, MESSAGE=None)).endswith(": \n")


def test_no_line_is_lost_while_files_are_moved_away(tmp_path: Path) -> None:
    """As logrotate does it, at any moment and telling nobody."""
    file = LogFile(tmp_path / "x.log")
    done = threading.Event()
    moved = []

    def rotate() -> None:
        while not done.is_set():
            if file.path.exists():
                moved.append(tmp_path / f"x.log.{len(moved)}")
                file.path.rename(moved[-1])

    rotating = threading.Thread(target=rotate)
    rotating.start()
    for number in range(20_000):
        file.write(f"{number}\n")
    done.set()
    rotating.join()
    assert len(moved) > 10
    text = "".join(path.read_text() for path in [*moved, *([file.path] if file.path.exists() else [])])
    assert sorted(map(int, text.split())) == list(range(20_000))


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    first = Copy("galaxy", tmp_path)
    assert "--boot" in first.command()
    first.write(written(entry(1), entry(2, SYSLOG_IDENTIFIER="galaxy-handler", _SYSTEMD_UNIT="galaxy-handler@handler0.service"), entry(3)))
    second = Copy("galaxy", tmp_path)
    assert "--cursor=c3" in second.command()
    # The journal begins with the one that was written last.
    second.write(written(entry(3), entry(4)))
    assert [text.rpartition(" ")[2] for text in (tmp_path / "galaxy-web.log").read_text().splitlines()] == ["1", "3", "4"]
    assert "galaxy-handler@handler0[42]: line 2" in (tmp_path / "galaxy-handler.log").read_text()
    assert Copy("galaxy", tmp_path).cursor == "c4"


def test_lines_come_whole() -> None:
    reader, writer = os.pipe()
    found = batches(reader)
    os.write(writer, b"one\ntw")
    assert next(found) == [b"one"]
    os.write(writer, b"o\nthree\n")
    assert next(found) == [b"two", b"three"]
    os.close(writer)
    assert list(found) == []
    os.close(reader)
