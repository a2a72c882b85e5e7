# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the name of an instance is free on a host: everything of an instance is called by it."""

from __future__ import annotations

import contextlib
import glob
import os

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding

# What a file has in its first lines that a role of the collection wrote.
_OURS = "galaxyops.uwsgi"
_FIRST_LINES = 500
_PACKAGED_UNITS = ("/usr/lib/systemd/system", "/lib/systemd/system")
_UNITS = ("/etc/systemd/system", "/run/systemd/system", *_PACKAGED_UNITS)


def is_ours(instance: str, root: str = "") -> bool:
    """Whether a role has written anything for this instance."""
    # A removed instance leaves the copies that somebody has asked for.
    if any(glob.glob(f"{root}/etc/{glob.escape(instance)}/{name}*") for name in ("web.json", "handlers.json")):
        return True
    commands = [f"{root}/usr/local/sbin/{instance}-{kind}" for kind in ("web", "handlers")]
    # Not nginx.conf itself, of which a line is ours.
    sites = glob.glob(f"{root}/etc/nginx/*/**/{glob.escape(instance)}.conf", recursive=True)
    return any(map(_has_mark, (*commands, *sites)))


def _has_mark(path: str) -> bool:
    with contextlib.suppress(OSError):
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as stream:
                return _OURS in stream.read(_FIRST_LINES)
    return False


def others(instance: str, config_file: str = "", root: str = "") -> list[str]:
    """What the host has under the name of an instance that no role has written anything for.

    A unit C(INSTANCE.service) of an administrator does not count, because no role writes one: it may be what the instance is to replace.
    """
    directories = [f"/{parent}/{instance}" for parent in ("etc", "run", "var/www")]
    # The application's own configuration may lie in a directory of that name.
    found = [path for path in directories if _is_taken(root + path) and not config_file.startswith(f"{path}/")]
    names = [
        f"{instance}-{rest}"
        for rest in ("web.service", "web@.service", "web.socket", "handler@.service", "log.service")
    ]
    units = [f"{directory}/{name}" for directory in _UNITS for name in names]
    units += [
        f"{directory}/{instance}.{kind}"
        for directory in _PACKAGED_UNITS
        for kind in ("service", "socket", "slice", "target")
    ]
    # One of the two directories of packages may be a link to the other.
    seen: set[str] = set()
    for path in units:
        real = os.path.join(os.path.realpath(os.path.dirname(root + path)), os.path.basename(path))
        if os.path.lexists(root + path) and real not in seen:
            found.append(path)
        seen.add(real)
    return found


def _is_taken(path: str) -> bool:
    """Whether there is something at a path that is more than an empty directory."""
    with contextlib.suppress(OSError):
        return bool(os.listdir(path))
    return os.path.lexists(path)


def findings(instance: str, variable: str, config_file: str = "", root: str = "") -> list[Finding]:
    """What keeps a role from calling an instance so."""
    if is_ours(instance, root):
        return []
    taken = others(instance, config_file, root)
    if not taken:
        return []
    message = (
        f"{variable} is {instance!r}, and this host has {', '.join(taken)} already, which no role of this collection made: what the roles write would get "
        f"between that. Choose another name, such as {instance}-galaxy"
    )
    return [Finding(taken[0], 0, "error", message)]
