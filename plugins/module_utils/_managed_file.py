# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a managed file and replace it: validated, atomic, with a backup on request.

The one place where this collection's modules touch files on the host, so that every one of them
reports, backs up and fails in the same way, and leaves the old file intact whatever happens.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from typing import Any, Callable, Optional, Union

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _safe_files as safe_files
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._safe_files import Place, UnsafeFile


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
    if isinstance(error, UnsafeFile):
        return str(error)
    remedy = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
    return f"cannot {action} {path}: {remedy}"


def read(path: str, follow: bool = True) -> Optional[bytes]:
    """Return the content of the file at I(path), or None when there is no such file; of a link that is not followed, there is none."""
    try:
        with safe_files.locate(path, follow, reading=True) as place:
            return place.read()
    except FileNotFoundError:
        return None
    except IsADirectoryError as error:
        raise ManagedFileError(f"{path} is a directory: give the path of the file in it") from error
    except OSError as error:
        raise ManagedFileError(describe_os_error("read", path, error)) from error


def diff_text(content: Optional[bytes]) -> str:
    """Content as it is shown in a diff; a file that does not exist is shown as empty."""
    return "" if content is None else content.decode("utf-8", errors="backslashreplace")


def default_label(module: AnsibleModule, path: str) -> Callable[[int], None]:
    """What gives an open file that is new at I(path) the SELinux context that such a file gets, where there is SELinux."""

    def prepare(descriptor: int) -> None:
        context = module.selinux_default_context(path) if module.selinux_enabled() else []
        if context and all(context):
            os.setxattr(descriptor, "security.selinux", ":".join(context).encode() + b"\0")

    return prepare


def default_mode() -> int:
    """The mode that a new file gets where nobody asks for another one."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def numeric_mode(status: os.stat_result, mode: Union[str, int]) -> int:
    """A mode, octal or symbolic, as a number, for a file that has this status."""
    if isinstance(mode, int):
        return mode
    try:
        return int(mode, 8)
    except ValueError:
        return int(AnsibleModule._symbolic_mode_to_octal(status, mode))


def install(place: Place, content: bytes, **how: Any) -> None:
    """Put a file with I(content) at a place in one step, replacing what is there; I(how) is that of C(Place.write)."""
    try:
        place.write(content, **how)
    except OSError as error:
        raise ManagedFileError(f"{describe_os_error('write', place.path, error)} (the old file is intact)") from error


def keep_copy(place: Place) -> str:
    """Copy a file beside itself, and return the path of the copy."""
    name = f"{place.name}.{os.getpid()}.{time.strftime('%Y-%m-%d@%H:%M:%S~')}"
    with place.sibling(name) as copy:
        place.copy_to(copy)
        return copy.path


@contextlib.contextmanager
def _candidate(module: AnsibleModule, place: Place, content: bytes) -> Iterator[str]:
    """The path of a file with new content that nobody else can exchange: beside the old one, or else in a directory of the module."""
    directory, name = os.path.dirname(place.path), safe_files.hidden_name(place.name)
    if safe_files.writer(directory)[0]:
        directory, name = module.tmpdir, place.name
    with safe_files.locate(os.path.join(directory, name), follow=False) as candidate:
        install(candidate, content)
        try:
            yield candidate.path
        finally:
            candidate.unlink()


def _validate(module: AnsibleModule, place: Place, content: bytes, path: str, command: str) -> None:
    """Run the user's validation I(command) on the new content before it replaces anything."""
    if "%s" not in command:
        raise ManagedFileError(f"validate must contain %s, the path of the file to check: {command}")
    with _candidate(module, place, content) as candidate:
        status, out, err = module.run_command(command.replace("%s", candidate))
    if status != 0:
        output = (err or out).strip().replace(candidate, path)
        raise ManagedFileError(f"the new content of {path} did not pass '{command}' (exit {status}), so the old file stays: {output}")


def _write(module: AnsibleModule, place: Place, content: bytes, exists: bool) -> None:
    """Replace the file, or write through it where that is allowed and nothing else is possible."""
    if not exists:
        place.write(content, mode=default_mode(), prepare=default_label(module, place.path))
        return
    try:
        with place.opened() as old:
            place.write(content, like=old)
    except OSError as error:
        if not module.params.get("unsafe_writes") or error.errno not in (errno.EBUSY, errno.EPERM, errno.EACCES, errno.ETXTBSY):
            raise
        place.overwrite(content)


def _change(module: AnsibleModule, place: Place, path: str, before: Optional[bytes], after: Optional[bytes], backup: bool) -> str:
    """Make the change and return the path of the backup, if there is one."""
    copy = ""
    try:
        if backup and before is not None:
            copy = keep_copy(place)
        if after is None:
            place.unlink()
        else:
            _write(module, place, after, before is not None)
    except OSError as error:
        if copy:
            safe_files.unlink(copy)
        action = "remove" if after is None else "write"
        raise ManagedFileError(f"{describe_os_error(action, path, error)} (the old file is intact)") from error
    return copy


def _identity(name: str, value: Optional[str], find: Callable[[str], Optional[int]], kind: str) -> int:
    """The id of an owner or a group that was asked for, or -1."""
    found = -1 if value is None else find(value)
    if found is None:
        raise ManagedFileError(f"the {name} {value} does not exist: create the {kind} first, or correct the name")
    return found


def _set_attributes(module: AnsibleModule, place: Place, result: dict[str, Any], path: str) -> None:
    """Give the file the owner, group, mode and so on that were asked for, or say in check mode that it would get them."""
    params = module.params
    owner = _identity("owner", params.get("owner"), safe_files.user_id, "user")
    group = _identity("group", params.get("group"), safe_files.group_id, "group")
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    with place.opened() as descriptor:
        status = os.fstat(descriptor)
        have = {"owner": status.st_uid, "group": status.st_gid, "mode": f"0{stat.S_IMODE(status.st_mode):03o}"}
        mode = None if params.get("mode") is None else numeric_mode(status, params["mode"])
        want = {"owner": owner, "group": group, "mode": have["mode"] if mode is None else f"0{mode:03o}"}
        for name, value in want.items():
            if value not in (-1, have[name]):
                before[name], after[name] = have[name], value
        if after:
            result["changed"] = True
            if not module.check_mode:
                place.refuse_hard_link(status)
                safe_files.give(descriptor, owner, group, mode)
    _set_others(module, place, result, before, after)
    if after:
        changes = [f"{name}: {value} -> {after[name]}" for name, value in before.items()]
        result["diff"]["prepared"] = "\n".join([path, *changes, ""])


def _set_others(module: AnsibleModule, place: Place, result: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> None:
    """Set what can be set by name only, and so only where nobody else can exchange the file."""
    given = [name for name in ("seuser", "serole", "setype", "selevel", "attributes") if module.params.get(name) is not None]
    if not given:
        return
    who, where = safe_files.writer(os.path.dirname(place.path))
    if who:
        raise ManagedFileError(f"{place.path}: {', '.join(given)} cannot be set safely, because {who} can write {where}: remove these options")
    arguments = module.load_file_common_arguments(module.params, path=place.path)
    found: dict[str, dict[str, Any]] = {}
    changed = module.set_context_if_different(place.path, arguments["secontext"], result["changed"], found)
    result["changed"] = module.set_attributes_if_different(place.path, arguments["attributes"], changed, found)
    before.update(found.get("before", {}))
    after.update(found.get("after", {}))


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
    try:
        with safe_files.locate(path) as place:
            if result["changed"] and not module.check_mode:
                if validate and after is not None:
                    _validate(module, place, after, path, validate)
                copy = _change(module, place, path, before, after, backup)
                if copy:
                    result["backup_file"] = copy
            if after is not None and (place.status or not module.check_mode):
                _set_attributes(module, place, result, path)
    except FileNotFoundError as error:
        # In check mode an earlier task has not made the directory yet.
        if not module.check_mode:
            raise ManagedFileError(f"{describe_os_error('write', path, error)} (the old file is intact)") from error
    except OSError as error:
        raise ManagedFileError(describe_os_error("change", path, error)) from error
    return result
