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
import stat
import tempfile
from typing import Any, Callable, Optional

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
        # Before it is opened, for opening a named pipe waits for somebody to write to it.
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
            raise ManagedFileError(f"{path} is not a regular file: correct the path")
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


def _write_temporary(path: str, content: bytes, prepare: Optional[Callable[[str], None]] = None) -> str:
    """Write I(content) beside I(path), so that replacing it is a rename on one file system."""
    directory = os.path.dirname(path)
    name = ""
    try:
        descriptor, name = tempfile.mkstemp(dir=directory, prefix=f".{os.path.basename(path)}.")
        with os.fdopen(descriptor, "wb") as stream:
            if prepare:
                prepare(name)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException as error:
        if name:
            os.unlink(name)
        if isinstance(error, OSError):
            raise ManagedFileError(f"{describe_os_error('write', path, error)} (the old file is intact)") from error
        raise
    return name


def install(path: str, content: bytes, prepare: Callable[[str], None]) -> None:
    """Put a file with I(content) at I(path) in one step, replacing what is there.

    I(prepare) gets the temporary file while it is still empty, to give it its owner and mode: at no
    moment can anybody read the content who must not.
    """
    temporary = _write_temporary(path, content, prepare)
    try:
        os.rename(temporary, path)
    except OSError as error:
        os.unlink(temporary)
        raise ManagedFileError(f"{describe_os_error('replace', path, error)} (the old file is intact)") from error


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
    mask_diff: Optional[Callable[[str, str], tuple[str, str]]] = None,
) -> dict[str, Any]:
    """Make I(after) the content of the file at I(path); None removes the file.

    Returns C(changed), C(diff) and, where a backup was made, C(backup_file). The mode, owner and
    group given to the module are applied too. A symbolic link is followed, never replaced.
    I(mask_diff) turns the two sides of the diff into what may be shown of them.
    """
    target = os.path.realpath(path)
    shown = (diff_text(before), diff_text(after))
    if mask_diff:
        shown = mask_diff(*shown)
    result: dict[str, Any] = {
        "changed": before != after,
        "diff": {
            "before_header": path,
            "after_header": path,
            "before": shown[0],
            "after": shown[1],
        },
    }
    if result["changed"] and not module.check_mode:
        if after is None:
            if backup:
                result["backup_file"] = module.backup_local(target)
            try:
                os.unlink(target)
            except OSError as error:
                raise ManagedFileError(describe_os_error("remove", path, error)) from error
        else:
            temporary = _write_temporary(target, after)
            try:
                if validate:
                    _validate(module, temporary, path, validate)
                if backup and before is not None:
                    result["backup_file"] = module.backup_local(target)
                module.atomic_move(temporary, target, unsafe_writes=module.params.get("unsafe_writes", False))
            finally:
                if os.path.exists(temporary):
                    os.unlink(temporary)
    if after is not None and (os.path.exists(target) or not module.check_mode):
        arguments = module.load_file_common_arguments(module.params, path=target)
        attributes: dict[str, dict[str, Any]] = {}
        result["changed"] = module.set_fs_attributes_if_different(arguments, result["changed"], attributes)
        if attributes:
            changes = [f"{name}: {value} -> {attributes['after'][name]}" for name, value in attributes["before"].items()]
            result["diff"]["prepared"] = "\n".join([path, *changes, ""])
    return result
