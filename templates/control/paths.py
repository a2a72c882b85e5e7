# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things lie on the host, and files that are written in one step."""

from __future__ import annotations

import os
from pathlib import Path

RUN = Path(os.environ.get("GALAXYOPS_RUN", "/run"))
ETC = Path(os.environ.get("GALAXYOPS_ETC", "/etc"))
STATE = Path(os.environ.get("GALAXYOPS_STATE", "/var/lib/galaxyops"))


def write(path: Path, text: str) -> None:
    """Write a small file, never through a link: its directory may belong to somebody else than who writes."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with open(new, "x", encoding="utf-8") as stream:
        stream.write(text)
    new.rename(path)


def relink(link: Path, target: Path | str) -> None:
    """Make a link lead elsewhere."""
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.rename(link)
