# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that turns a list of files to be written into one of files to be removed."""

from __future__ import annotations

from typing import Any, Callable


def absent_files(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the items of M(galaxyops.uwsgi.file_set) that remove I(files): what lies in a directory comes before it.

    What is absent anyway comes first, in the order that it has.

    Each item keeps C(sensitive), because a diff shows the content of a removed file, and C(mark), which protects a file that no role wrote.
    """
    kept = ("mark", "sensitive")
    gone = [entry for entry in files if entry.get("state") == "absent"]
    there = [entry for entry in files if entry.get("state") != "absent"]
    return [
        {"path": entry["path"], "state": "absent", **{name: entry[name] for name in kept if entry.get(name)}}
        for entry in (*gone, *reversed(there))
    ]


class FilterModule:
    """The filter, by the name that the roles use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name -> function."""
        return {"absent_files": absent_files}
