# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan changes to a set of files, directories and links, and make them all or none.

Planning only looks: it says what differs, or why something cannot be done. A transaction makes the planned
changes one by one and remembers how to take each of them back.
"""

from __future__ import annotations

import glob
import grp
import os
import pwd
import re
import shutil
import signal
import stat
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Callable, Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._managed_file import (
    ManagedFileError,
    describe_os_error,
    diff_text,
    install,
    read,
)

_OCTAL = re.compile(r"0?o?[0-7]{3,4}")
_SYMBOLIC_CLAUSE = r"(?:a|[ugo]*)(?:[-+=][rwxXstugo]*)+"
_SYMBOLIC = re.compile(rf"{_SYMBOLIC_CLAUSE}(?:,{_SYMBOLIC_CLAUSE})*")


class FileSetError(Exception):
    """The set cannot be written as listed; the message says which item, why and what to do."""


@dataclass(frozen=True)
class Item:
    """One listed path and what shall be there."""

    path: str
    state: str = "file"
    content: bytes = b""
    src: str = ""
    owner: Optional[str] = None
    group: Optional[str] = None
    mode: Optional[str] = None
    force: bool = True
    sensitive: bool = False

    @property
    def place(self) -> str:
        """Where the entry itself lies: links in the directories above it are followed, the last one is not."""
        return os.path.join(os.path.realpath(os.path.dirname(self.path)), os.path.basename(self.path))

    @property
    def target(self) -> str:
        """What is written to: files and directories are looked for through links, links are themselves."""
        return os.path.realpath(self.path) if self.state in ("file", "directory") else self.place


@dataclass(frozen=True)
class Change:
    """What has to happen for one item, and how it is shown.

    The I(action) is C(write), C(mkdir), C(link), C(attributes), C(remove), C(rmdir), or C(keep) for a directory
    that cannot be removed because it is not empty.
    """

    item: Item
    action: str
    diffs: tuple[dict[str, Any], ...] = ()


def user_id(name: str) -> Optional[int]:
    """The id of a user given by name or number; None when there is no such user."""
    try:
        return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def group_id(name: str) -> Optional[int]:
    """The id of a group given by name or number; None when there is no such group."""
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _path_problem(path: str) -> Optional[str]:
    if not path.startswith("/"):
        return "the path is relative: write the whole path, starting with /"
    if "\0" in path:
        return "the path contains a null character: remove it"
    if ".." in path.split("/"):
        return "the path contains '..': write it without"
    return None


def _mode_problem(mode: object) -> Optional[str]:
    if mode is None or (isinstance(mode, str) and (_OCTAL.fullmatch(mode) or _SYMBOLIC.fullmatch(mode))):
        return None
    if isinstance(mode, int):
        return f"the mode arrived as the number {mode}, and YAML reads 0640 and 640 differently: write it in quotes, such as '0640'"
    return f"the mode '{mode}' is neither octal nor symbolic: write something like '0640' or 'u=rw,g=r,o='"


def _content_problem(content: object) -> Optional[str]:
    if content is None:
        return "state: file needs content (an empty file is content: ''), or a template"
    if not isinstance(content, str):
        return (
            f"the content must be text, but it is of type {type(content).__name__}: quote it, "
            "or end its template with '| string', because text that looks like data can be turned into data"
        )
    try:
        content.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"the content cannot be written as UTF-8: bad character at position {error.start}"
    return None


def _item_problems(entry: dict[str, Any], check_mode: bool) -> list[str]:
    """What is wrong with one entry, whatever is on the host; of an absent one only the path counts."""
    problems = [_path_problem(entry["path"])]
    state = entry["state"]
    if state == "file":
        problems.append(_content_problem(entry.get("content")))
    elif state != "absent" and entry.get("content") is not None:
        problems.append(f"state: {state} takes no content: remove the content, or write state: file")
    if state == "link":
        if not entry.get("src"):
            problems.append("state: link needs src, the path that the link points to")
        given = [name for name in ("owner", "group", "mode") if entry.get(name) is not None]
        if given:
            problems.append(f"state: link takes no {', '.join(given)}: a link's own are never looked at; set those of what it points to")
    elif state != "absent":
        if entry.get("src") is not None:
            problems.append(f"state: {state} takes no src: remove the src, or write state: link")
        problems.append(_mode_problem(entry.get("mode")))
        for name, find, kind in (("owner", user_id, "user"), ("group", group_id, "group")):
            value = entry.get(name)
            # An earlier task may create it; in check mode that has not happened.
            if value is not None and find(value) is None and not check_mode:
                problems.append(f"the {name} {value} does not exist: create the {kind} first, or correct the name")
    return [problem for problem in problems if problem]


def parse(files: Iterable[dict[str, Any]], check_mode: bool) -> tuple[list[Item], list[str]]:
    """Turn the C(files) parameter into items, and say all that is wrong with it at once."""
    items: list[Item] = []
    problems: list[str] = []
    listed: dict[str, str] = {}
    for entry in files:
        found = _item_problems(entry, check_mode)
        problems += [f"{entry['path']}: {problem}" for problem in found]
        if found:
            continue
        values = {name: value for name, value in entry.items() if value is not None}
        values["path"] = os.path.normpath(entry["path"])
        values["content"] = (entry.get("content") or "").encode("utf-8") if entry["state"] == "file" else b""
        item = Item(**values)
        names = {item.path, item.target}
        twice = sorted(names & listed.keys())
        if twice:
            other = listed[twice[0]]
            same = "" if other == item.path else f", the first time as {other}"
            problems.append(f"{item.path}: the path is listed twice{same}: merge the two items")
        listed.update(dict.fromkeys(names, item.path))
        items.append(item)
    return items, problems


def expand(items: Iterable[Item]) -> list[Item]:
    """Replace a pattern of absent paths by what it matches on the host, but for what is listed itself."""
    items = list(items)
    listed = {item.place for item in items}
    expanded: list[Item] = []
    for item in items:
        if item.state != "absent" or "*" not in item.path:
            expanded.append(item)
            continue
        matches = [replace(item, path=path) for path in sorted(glob.glob("*".join(glob.escape(part) for part in item.path.split("*"))))]
        matches = [match for match in matches if match.place not in listed]
        listed.update(match.place for match in matches)
        expanded += matches
    return expanded


def _kind(path: str) -> str:
    """What lies at I(path) itself: C(file), C(directory), C(link), C(special), or nothing (an empty string)."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
    return kinds.get(stat.S_IFMT(mode), "special")


class Planner:
    """Compares items, in their order, with what is on the host, and remembers what earlier ones will bring."""

    def __init__(self, module: AnsibleModule) -> None:
        """Plan with the functions of I(module)."""
        self._module = module
        self._coming: set[str] = set()
        self._going: set[str] = set()

    def plan(self, item: Item) -> Optional[Change]:
        """What has to be done for I(item); None when it is already as it shall be."""
        if item.state == "absent":
            return self._plan_absent(item)
        self._check_parent(item)
        if item.state in ("directory", "link"):
            self._coming.add(item.target)
        return {"file": self._plan_file, "directory": self._plan_directory, "link": self._plan_link}[item.state](item)

    def _check_parent(self, item: Item) -> None:
        parent = existing = os.path.dirname(item.target)
        if parent in self._coming:
            return
        while not os.path.lexists(existing) and existing not in self._coming:
            existing = os.path.dirname(existing)
        if existing not in self._coming and not os.path.isdir(existing):
            raise FileSetError(f"{item.path}: {existing} is not a directory: correct the path, or move that file away")
        # In check mode an earlier task, or the package, has not made it yet.
        if existing != parent and not self._module.check_mode:
            raise FileSetError(f"{item.path}: its directory {parent} does not exist: list it before this item, with state: directory")

    def _plan_file(self, item: Item) -> Optional[Change]:
        kind = _kind(item.target)
        if kind == "directory":
            raise FileSetError(f"{item.path}: a directory is in the way, and is never replaced by a file: move it away, or correct the path")
        if kind == "special":
            raise FileSetError(f"{item.path}: {item.target} is a device, socket or pipe, which is never replaced: remove it or the link to it first")
        if kind == "link":
            raise FileSetError(f"{item.path}: the link leads back to itself: remove it first")
        before = read(item.target)
        properties = self._property_diff(item, before is not None)
        if before is None or (item.force and before != item.content):
            return Change(item, "write", (_content_diff(item, before, item.content), *properties))
        return Change(item, "attributes", properties) if properties else None

    def _plan_directory(self, item: Item) -> Optional[Change]:
        kind = _kind(item.target)
        if kind not in ("", "directory"):
            raise FileSetError(f"{item.path}: a {kind} is in the way, and is never replaced by a directory: move it away, or correct the path")
        if not kind and os.path.islink(item.path):
            raise FileSetError(f"{item.path}: it is a link to {item.target}, which does not exist: list that directory, or remove the link first")
        properties = self._property_diff(item, bool(kind))
        if not kind:
            return Change(item, "mkdir", properties)
        return Change(item, "attributes", properties) if properties else None

    def _plan_link(self, item: Item) -> Optional[Change]:
        kind = _kind(item.target)
        if kind not in ("", "link"):
            raise FileSetError(f"{item.path}: a {kind} is in the way, and is never replaced by a link: move it away first")
        before = os.readlink(item.target) if kind else None
        if before == item.src or (before is not None and not item.force):
            return None
        state = {"state": "link", "src": before} if before is not None else {"state": "absent"}
        return Change(item, "link", (_diff(item, state, {"state": "link", "src": item.src}),))

    def _plan_absent(self, item: Item) -> Optional[Change]:
        kind = _kind(item.place)
        if not kind:
            return None
        if kind == "special":
            raise FileSetError(f"{item.path}: it is a device, socket or pipe, which is never removed: stop the service that it belongs to")
        if kind == "directory":
            try:
                entries = {os.path.join(item.place, name) for name in os.listdir(item.place)}
            except OSError as error:
                raise FileSetError(describe_os_error("read", item.path, error)) from error
            if entries - self._going:
                return Change(item, "keep")
        self._going.add(item.place)
        state = {"state": kind, "src": os.readlink(item.place)} if kind == "link" else {"state": kind}
        diffs = [_diff(item, state, {"state": "absent"})]
        if kind == "file":
            diffs.insert(0, _content_diff(item, read(item.place), None))
        return Change(item, "rmdir" if kind == "directory" else "remove", tuple(diffs))

    def _property_diff(self, item: Item, exists: bool) -> tuple[dict[str, Any], ...]:
        """How owner, group and mode differ from what the item asks for; of something new, all that it asks for."""
        wanted = {name: value for name, value in (("owner", item.owner), ("group", item.group), ("mode", item.mode)) if value is not None}
        if not exists:
            return (_diff(item, {"state": "absent"}, {"state": item.state, **wanted}),)
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}
        status = os.stat(item.target)
        if item.owner is not None and user_id(item.owner) != status.st_uid:
            before["owner"], after["owner"] = _user_name(status.st_uid), item.owner
        if item.group is not None and group_id(item.group) != status.st_gid:
            before["group"], after["group"] = _group_name(status.st_gid), item.group
        if item.mode is not None:
            modes: dict[str, dict[str, Any]] = {}
            check_mode, self._module.check_mode = self._module.check_mode, True  # it shall tell, not do
            self._module.set_mode_if_different(item.target, item.mode, False, modes, expand=False)
            self._module.check_mode = check_mode
            before.update(modes.get("before", {}))
            after.update(modes.get("after", {}))
        return (_diff(item, before, after),) if after else ()


def _diff(item: Item, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    header = f"{item.path} (properties)"
    return {"before_header": header, "after_header": header, "before": before, "after": after}


def _content_diff(item: Item, before: Optional[bytes], after: Optional[bytes]) -> dict[str, Any]:
    if item.sensitive:
        before, after = (value if value is None else f"(sensitive content, {when})\n".encode() for value, when in ((before, "old"), (after, "new")))
    return {"before_header": item.path, "after_header": item.path, "before": diff_text(before), "after": diff_text(after)}


def redact(text: str, items: Iterable[Item]) -> str:
    """Blot out of I(text) the lines of sensitive contents, and the values in them."""
    secrets: set[str] = set()
    for item in items:
        if item.sensitive:
            for line in diff_text(item.content).splitlines():
                secrets |= {part.strip(" \t\"';,") for part in (line, re.split(r"[=:\s]+", line.strip(), maxsplit=1)[-1])}
    for secret in sorted(secrets, key=len, reverse=True):
        # A brace or a digit on a line of its own is no secret, and would make the text unreadable.
        if len(secret) >= 4:
            text = text.replace(secret, "********")
    return text


class Transaction:
    """Makes changes and can take all of them back.

    What is replaced or removed stays beside its place under a hidden name until the end, so that taking it back is
    a rename, which needs no space on a full disk and brings back the very same file.
    """

    def __init__(self, module: AnsibleModule, backup: bool) -> None:
        """Start with nothing changed; with I(backup), keep dated copies of files replaced or removed."""
        self._module = module
        self._backup = backup
        self._undo: list[tuple[str, Callable[[], None]]] = []
        self._spares: list[str] = []
        self.backup_files: dict[str, str] = {}

    def apply(self, change: Change) -> None:
        """Make one change; the removal of a directory waits for the end."""
        steps: dict[str, Callable[[Item], None]] = {
            "write": self._write,
            "mkdir": self._mkdir,
            "link": self._link,
            "attributes": self._set_attributes,
            "remove": self._remove,
        }
        try:
            if change.action in steps:
                steps[change.action](change.item)
        except OSError as error:
            raise FileSetError(describe_os_error("change", change.item.path, error)) from error

    def rollback(self) -> list[str]:
        """Take everything back, the last change first; returns what could not be taken back."""
        failures = []
        while self._undo:
            path, undo = self._undo.pop()
            try:
                undo()
            except OSError as error:
                failures.append(describe_os_error("restore", path, error))
        return failures

    def commit(self) -> list[str]:
        """Forget how to take things back; returns the hidden files that could not be removed."""
        self._undo.clear()
        left = []
        for spare in self._spares:
            try:
                _unlink(spare)
            except OSError:
                left.append(spare)
        return left

    def _spare_name(self, path: str) -> str:
        # The tilde: programs that read every file of a directory skip hidden names or editors' backups.
        spare = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{uuid.uuid4().hex[:8]}~")
        self._spares.append(spare)
        return spare

    def _restore_from(self, spare: str, path: str) -> None:
        if os.path.lexists(spare):
            os.rename(spare, path)
            # Renaming one name of a file to another name of the same file leaves both.
            _unlink(spare)

    def _keep_spare(self, path: str) -> None:
        """Give what lies at I(path) a second name, before it loses the first."""
        spare = self._spare_name(path)
        self._undo.append((path, lambda: self._restore_from(spare, path)))
        try:
            os.link(path, spare, follow_symlinks=False)
        except OSError:  # not on every file system, and not without limit
            if os.path.islink(path):
                raise
            install(spare, read(path) or b"", lambda temporary: _copy_attributes(path, temporary))

    def _keep_backup(self, item: Item) -> None:
        if not self._backup:
            return
        umask = os.umask(0o077)  # the copy gets its mode last, and the content may be a secret
        try:
            copy = self._module.backup_local(item.target)
        finally:
            os.umask(umask)
        self.backup_files[item.path] = copy
        self._undo.append((copy, lambda: _unlink(copy)))

    def _write(self, item: Item) -> None:
        target = item.target
        exists = os.path.lexists(target)
        if exists:
            self._keep_backup(item)
            self._keep_spare(target)
        else:
            self._undo.append((target, lambda: _unlink(target)))

        def prepare(temporary: str) -> None:
            if exists:
                _copy_attributes(target, temporary)
                context = self._module.selinux_context(target)
            else:
                os.chmod(temporary, 0o600 if item.sensitive else 0o666 & ~_umask())
                context = self._module.selinux_default_context(target)
            self._module.set_context_if_different(temporary, context, False)
            self._give(item, temporary)

        install(target, item.content, prepare)

    def _mkdir(self, item: Item) -> None:
        target = item.target
        os.mkdir(target)
        self._undo.append((target, lambda: os.rmdir(target)))
        self._module.set_default_selinux_context(target, False)
        self._give(item, target)

    def _link(self, item: Item) -> None:
        target = item.target
        if os.path.islink(target):
            self._keep_spare(target)
        else:
            self._undo.append((target, lambda: _unlink(target)))
        temporary = self._spare_name(target)
        os.symlink(item.src, temporary)
        os.rename(temporary, target)
        self._module.set_default_selinux_context(target, False)

    def _set_attributes(self, item: Item) -> None:
        target = item.target
        status = os.stat(target)

        def undo() -> None:
            os.chown(target, status.st_uid, status.st_gid)
            os.chmod(target, stat.S_IMODE(status.st_mode))

        self._undo.append((target, undo))
        self._give(item, target)

    def _remove(self, item: Item) -> None:
        place = item.place
        if not os.path.islink(place):
            self._keep_backup(item)
        spare = self._spare_name(place)
        self._undo.append((place, lambda: self._restore_from(spare, place)))
        os.rename(place, spare)

    def _give(self, item: Item, path: str) -> None:
        """Give I(path) the owner, group and mode that the item asks for."""
        uid = -1 if item.owner is None else user_id(item.owner)
        gid = -1 if item.group is None else group_id(item.group)
        if uid is None or gid is None:
            raise FileSetError(f"{item.path}: the owner {item.owner} or the group {item.group} has just disappeared")
        if (uid, gid) != (-1, -1):
            os.chown(path, uid, gid)
        self._module.set_mode_if_different(path, item.mode, False, expand=False)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _unlink(path: str) -> None:
    """Remove a file that may be gone already, or never came to be."""
    if os.path.lexists(path):
        os.unlink(path)


def _rmdir(path: str) -> bool:
    """Remove a directory unless something keeps it, such as a new file in it; whether it is gone."""
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True


def _copy_attributes(source: str, destination: str) -> None:
    """Give I(destination) the owner, group, mode and extended attributes of I(source)."""
    status = os.stat(source)
    os.chown(destination, status.st_uid, status.st_gid)
    shutil.copystat(source, destination)


def report(problems: list[str]) -> str:
    """One message for all the problems that were found before anything was written."""
    return problems[0] if len(problems) == 1 else "\n".join(["nothing was written, because", *(f"- {problem}" for problem in problems)])


def run(module: AnsibleModule, items: list[Item], *, validate: Optional[str], backup: bool) -> dict[str, Any]:
    """Bring every item about, or none, and say what changed."""
    planner = Planner(module)
    items = expand(items)
    changes: list[Change] = []
    problems: list[str] = []
    for item in items:
        try:
            change = planner.plan(item)
        except (FileSetError, ManagedFileError) as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(describe_os_error("look at", item.path, error))
        else:
            changes += [change] if change else []
    if problems:
        raise FileSetError(report(problems))
    kept = [change for change in changes if change.action == "keep"]
    changes = [change for change in changes if change.action != "keep"]
    backup_files: dict[str, str] = {}
    if changes and not module.check_mode:
        changes, backup_files = _carry_out(module, planner, items, changes, validate, backup)
        removals = [change for change in changes if change.action == "rmdir"]
        not_empty = [change for change in removals if not _rmdir(change.item.place)]
        changes = [change for change in changes if change not in not_empty]
        kept += not_empty
    return {
        "changed": bool(changes),
        "changed_files": [change.item.path for change in changes],
        "kept": [change.item.path for change in kept],
        "backup_files": backup_files,
        "diff": [diff for change in changes for diff in change.diffs],
    }


def _carry_out(
    module: AnsibleModule, planner: Planner, items: list[Item], planned: list[Change], validate: Optional[str], backup: bool
) -> tuple[list[Change], dict[str, str]]:
    """Make the changes and validate the outcome; returns what was changed and the backups.

    Directories are removed after that, by the caller: until then they hold what can be taken back.
    """
    changes: list[Change] = []
    directories = {change.item.path: change for change in planned if change.action == "rmdir"}
    transaction = Transaction(module, backup)
    _on_signals(_interrupted)
    try:
        for item in items:
            # Planned again: an earlier item may have turned a link that leads here.
            change = directories.get(item.path) or planner.plan(item)
            if change and change.action != "keep":
                changes.append(change)
                transaction.apply(change)
        if validate:
            _validate(module, validate, items)
        _interrupted.check()
    except BaseException as error:
        _on_signals(signal.SIG_IGN)
        failures = transaction.rollback()
        if not isinstance(error, Exception):
            raise
        outcome = "NOT everything could be put back:\n" + "\n".join(failures) if failures else "Nothing has changed: the previous files are back."
        raise FileSetError(f"{error}\n{outcome}") from error
    _on_signals(signal.SIG_IGN)
    for spare in transaction.commit():
        module.warn(f"{spare} was needed only during the replacement, but could not be removed: remove it")
    return changes, transaction.backup_files


def _on_signals(handler: Any) -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


class _Interruption:
    """A signal ends the work; one whose exception gets lost, as it does while Python forks, is heard of at the end."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, number: int, frame: object) -> None:
        self.number = number
        self.check()

    def check(self) -> None:
        """Fail if there was a signal."""
        if self.number:
            raise FileSetError(f"interrupted by {signal.Signals(self.number).name}")


_interrupted = _Interruption()


def _validate(module: AnsibleModule, command: str, items: list[Item]) -> None:
    """Run the user's I(command) on the files in place."""
    try:
        status, out, err = module.run_command(command, handle_exceptions=False)
    except OSError as error:
        raise FileSetError(f"the validation '{command}' cannot be run ({error.strerror}): install the program, or correct validate") from error
    if status != 0:
        output = redact("\n".join(part.strip() for part in (out, err) if part.strip()), items)
        raise FileSetError(f"the new files did not pass '{command}' (exit {status}):\n{output}")
