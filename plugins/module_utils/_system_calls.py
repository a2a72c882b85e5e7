# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether systemd can start a service with a filter of system calls on this host."""

from __future__ import annotations

import subprocess

_SECONDS = 60
# The exit codes of systemd itself, for what it could not do before it ran the program of a service.
_SYSTEMD = range(200, 250)


def can_be_filtered() -> bool:
    """Have systemd start a service with such a filter.

    In a container without C(CAP_SYS_ADMIN) newer releases of systemd do not start the service. Where nothing can be
    tried, the answer is the one for all other hosts, so that it does not depend on the moment.
    """
    command = [
        "systemd-run",
        "--quiet",
        "--wait",
        "--collect",
        "--property=User=nobody",
        "--property=NoNewPrivileges=yes",
    ]
    command += ["--property=SystemCallFilter=@system-service", "--property=ProtectClock=yes", "true"]
    try:
        process = subprocess.run(  # pylint: disable=ansible-bad-function  # run_command has no time limit
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return True
    return process.returncode not in _SYSTEMD
