# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that turns a list of files to be written into one of files to be removed."""

from __future__ import annotations

from typing import Any, Callable


def absent_files(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the items of M(galaxyops.uwsgi.file_set) that remove I(files): what lies in a directory comes before it.

    A diff shows what is removed too, so what is sensitive stays so; a file of somebody else is not removed.
    """
    kept = ("mark", "sensitive")
    return [
        {"path": entry["path"], "state": "absent", **{name: entry[name] for name in kept if entry.get(name)}}
        for entry in reversed(files)
    ]


class FilterModule:
    """The filter, by the name that the roles use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name -> function."""
        return {"absent_files": absent_files}
