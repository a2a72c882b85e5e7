# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that turns files to be written into files to be removed."""

from __future__ import annotations

from ansible_collections.galaxyops.uwsgi.plugins.filter.absent_files import absent_files


def test_what_lies_in_a_directory_is_removed_before_it() -> None:
    files = [{"path": "/etc/a", "state": "directory"}, {"path": "/etc/a/b", "content": "x", "mode": "0640"}]
    assert absent_files(files) == [{"path": "/etc/a/b", "state": "absent"}, {"path": "/etc/a", "state": "absent"}]


def test_what_is_secret_stays_so_when_it_is_removed() -> None:
    assert absent_files([{"path": "/etc/a", "content": "x", "sensitive": True}]) == [{"path": "/etc/a", "state": "absent", "sensitive": True}]


def test_mark_stays_so_that_no_file_of_somebody_else_is_removed() -> None:
    assert absent_files([{"path": "/etc/a", "content": "x", "mark": "us"}]) == [{"path": "/etc/a", "state": "absent", "mark": "us"}]


def test_what_is_absent_anyway_is_removed_first_and_in_its_order() -> None:
    files = [
        {"path": "/etc/a", "state": "directory"},
        {"path": "/etc/a/old/*.py", "state": "absent"},
        {"path": "/etc/a/old", "state": "absent"},
    ]
    assert [entry["path"] for entry in absent_files(files)] == ["/etc/a/old/*.py", "/etc/a/old", "/etc/a"]
