# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which service managers there are."""

from __future__ import annotations

from typing import Callable

from .config import Config
from .manager import Manager
from .supervisor import Supervisor
from .systemd import Systemd

MANAGERS: dict[str, Callable[[str, str, Config], Manager]] = {"systemd": Systemd, "supervisor": Supervisor}


def manager_for(title: str, instance: str, kind: str, config: Config) -> Manager:
    """The service manager of this name, for the processes of one kind."""
    return MANAGERS[title](instance, kind, config)
