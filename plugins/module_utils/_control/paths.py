# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things lie on the host, and the small files in which processes leave word there."""

from __future__ import annotations

import os
from pathlib import Path

from .. import _safe_files as safe_files
from .._mark import has_mark

RUN = Path(os.environ.get("GALAXYOPS_RUN", "/run"))
ETC = Path(os.environ.get("GALAXYOPS_ETC", "/etc"))
STATE = Path(os.environ.get("GALAXYOPS_STATE", "/var/lib/galaxyops"))


def read(path: Path) -> str:
    """Read a small file; empty where there is none, or no regular file: its directory may belong to anybody."""
    try:
        return safe_files.read(path, safe_files.SMALL).decode()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, safe_files.UnsafeFile, UnicodeDecodeError):
        return ""


def is_foreign(path: Path) -> bool:
    """Whether there is a file at a path that no role wrote."""
    return path.exists() and not has_mark(str(path))


def write(path: Path, text: str) -> None:
    """Write a small file in one step, never through a link."""
    safe_files.write(path, text.encode(), mode=0o644)


def relink(link: Path, target: Path | str) -> None:
    """Make a link lead elsewhere."""
    safe_files.symlink(link, target)
