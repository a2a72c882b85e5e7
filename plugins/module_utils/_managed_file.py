# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a managed file and replace it: validated, atomic, with a backup on request.

The one place where this collection's modules touch files on the host, so that every one of them
reports, backs up and fails in the same way, and leaves the old file intact whatever happens.
"""

from __future__ import annotations

import errno
import os
import tempfile
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule


class ManagedFileError(Exception):
    """A file cannot be read or replaced; the message says which, why and what to do."""


_REMEDIES = {
    errno.ENOSPC: "the file system is full: free some space and run again",
    errno.EDQUOT: "the disk quota is used up: free some space and run again",
    errno.EROFS: "the file system is mounted read-only: remount it read-write and run again",
    errno.EACCES: "permission denied: run with become, or as a user who may write there",
    errno.EPERM: "operation not permitted: run with become, and look for an immutable flag (lsattr)",
    errno.ENOENT: "its directory does not exist: create it first, or correct the path",
    errno.ENOTDIR: "a part of its path is a file, not a directory: correct the path",
}


def describe_os_error(action: str, path: str, error: OSError) -> str:
    """Say what could not be done to which file, why, and what to do about it."""
    remedy = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
    return f"cannot {action} {path}: {remedy}"


def read(path: str) -> Optional[bytes]:
    """Return the content of the file at I(path), or None when there is no such file."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
    except IsADirectoryError as error:
        raise ManagedFileError(f"{path} is a directory: give the path of the file in it") from error
    except OSError as error:
        raise ManagedFileError(describe_os_error("read", path, error)) from error


def diff_text(content: Optional[bytes]) -> str:
    """Content as it is shown in a diff; a file that does not exist is shown as empty."""
    return "" if content is None else content.decode("utf-8", errors="backslashreplace")


def _write_temporary(path: str, content: bytes) -> str:
    """Write I(content) beside I(path), so that replacing it is a rename on one file system."""
    directory = os.path.dirname(path)
    name = ""
    try:
        descriptor, name = tempfile.mkstemp(dir=directory, prefix=f".{os.path.basename(path)}.")
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        if name:
            os.unlink(name)
        raise ManagedFileError(f"{describe_os_error('write', path, error)} (the old file is intact)") from error
    return name


def _validate(module: AnsibleModule, temporary: str, path: str, command: str) -> None:
    """Run the user's validation I(command) on the new content before it replaces anything."""
    if "%s" not in command:
        raise ManagedFileError(f"validate must contain %s, the path of the file to check: {command}")
    status, out, err = module.run_command(command.replace("%s", temporary))
    if status != 0:
        output = (err or out).strip().replace(temporary, path)
        raise ManagedFileError(f"the new content of {path} did not pass '{command}' (exit {status}), so the old file stays: {output}")


def replace(
    module: AnsibleModule,
    path: str,
    before: Optional[bytes],
    after: Optional[bytes],
    *,
    backup: bool = False,
    validate: Optional[str] = None,
) -> dict[str, Any]:
    """Make I(after) the content of the file at I(path); None removes the file.

    Returns C(changed), C(diff) and, where a backup was made, C(backup_file). The mode, owner and
    group given to the module are applied too. A symbolic link is followed, never replaced.
    """
    target = os.path.realpath(path)
    result: dict[str, Any] = {
        "changed": before != after,
        "diff": {
            "before_header": path,
            "after_header": path,
            "before": diff_text(before),
            "after": diff_text(after),
        },
    }
    if result["changed"] and not module.check_mode:
        if backup and before is not None:
            result["backup_file"] = module.backup_local(target)
        if after is None:
            try:
                os.unlink(target)
            except OSError as error:
                raise ManagedFileError(describe_os_error("remove", path, error)) from error
        else:
            temporary = _write_temporary(target, after)
            try:
                if validate:
                    _validate(module, temporary, path, validate)
                module.atomic_move(temporary, target, unsafe_writes=module.params.get("unsafe_writes", False))
            finally:
                if os.path.exists(temporary):
                    os.unlink(temporary)
    if after is not None and (os.path.exists(target) or not module.check_mode):
        arguments = module.load_file_common_arguments(module.params, path=target)
        result["changed"] = module.set_fs_attributes_if_different(arguments, result["changed"], result["diff"])
    return result
