# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan changes to a set of files, directories and links, and make them all or none.

Planning only looks: it says what differs, or why something cannot be done. A transaction makes the planned
changes one by one and remembers how to take each of them back.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import signal
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Callable, Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _safe_files as safe_files
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._managed_file import (
    ManagedFileError,
    default_label,
    default_mode,
    describe_os_error,
    diff_text,
    install,
    keep_copy,
    numeric_mode,
    read,
)
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._mark import has_mark, whose
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._safe_files import Place, group_id, group_name, user_id, user_name

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
    mark: str = ""

    @property
    def place(self) -> str:
        """Where the entry itself lies: links in the directories above it are followed, the last one is not."""
        return os.path.join(os.path.realpath(os.path.dirname(self.path)), os.path.basename(self.path))

    @property
    def target(self) -> str:
        """What is written to: files and directories are looked for through links, links are themselves."""
        return os.path.realpath(self.path) if self.follows else self.place

    @property
    def is_foreign(self) -> bool:
        """Whether a file is at the path that lacks the mark of the item, so that somebody else has written the file."""
        # A link that leads nowhere leads to no file of anybody.
        return bool(self.mark) and os.path.exists(self.path) and not has_mark(self.path, self.mark)

    @property
    def follows(self) -> bool:
        """Whether a link at the path stands for what it leads to."""
        return self.state in ("file", "directory")

    def locate(self) -> Place:
        """Open the directory of the file that the item writes."""
        return safe_files.locate(self.path, self.follows)


@dataclass(frozen=True)
class Change:
    """What has to happen for one item, and how it is shown.

    The I(action) is C(write), C(mkdir), C(link), C(attributes), C(remove), C(rmdir), or C(keep) for a directory
    that cannot be removed because it is not empty.
    """

    item: Item
    action: str
    diffs: tuple[dict[str, Any], ...] = ()


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
        self._refuse_foreign(item)
        before = read(item.path)
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
        self._refuse_foreign(item)
        state = {"state": "link", "src": before} if before is not None else {"state": "absent"}
        return Change(item, "link", (_diff(item, state, {"state": "link", "src": item.src}),))

    @staticmethod
    def _refuse_foreign(item: Item) -> None:
        if item.is_foreign:
            raise FileSetError(
                f"{item.path}: the file is {whose(item.path)} and lacks '{item.mark}' in its first lines, so it is never overwritten: move it away, "
                "or choose a name that nobody else uses"
            )

    def _plan_absent(self, item: Item) -> Optional[Change]:
        kind = _kind(item.place)
        if not kind:
            return None
        if item.is_foreign:
            return Change(item, "keep")
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
            diffs.insert(0, _content_diff(item, read(item.path, follow=False), None))
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
            before["owner"], after["owner"] = user_name(status.st_uid), item.owner
        if item.group is not None and group_id(item.group) != status.st_gid:
            before["group"], after["group"] = group_name(status.st_gid), item.group
        if item.mode is not None:
            have, want = stat.S_IMODE(status.st_mode), numeric_mode(status, item.mode)
            if have != want:
                before["mode"], after["mode"] = f"0{have:03o}", f"0{want:03o}"
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
        self._spares: list[Place] = []
        self._descriptors = contextlib.ExitStack()
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
        self._descriptors.close()
        return failures

    def commit(self) -> list[str]:
        """Forget how to take things back; returns the hidden files that could not be removed."""
        self._undo.clear()
        left = []
        for spare in self._spares:
            try:
                spare.unlink()
            except OSError:
                left.append(spare.path)
        self._descriptors.close()
        return left

    def _locate(self, item: Item) -> Place:
        """Where an item lies; the directory stays open until there is nothing to take back."""
        return self._descriptors.enter_context(item.locate())

    def _spare(self, place: Place) -> Place:
        # The tilde: programs that read every file of a directory skip hidden names or editors' backups.
        spare = self._descriptors.enter_context(place.sibling(safe_files.hidden_name(place.name)))
        self._spares.append(spare)
        return spare

    @staticmethod
    def _restore_from(spare: Place, place: Place) -> None:
        if spare.status:
            place.rename_from(spare.name)
            # Renaming one name of a file to another name of the same file leaves both.
            spare.unlink()

    def _keep_spare(self, place: Place) -> None:
        """Give what lies at a place a second name, before it loses the first."""
        spare = self._spare(place)
        self._undo.append((place.path, lambda: self._restore_from(spare, place)))
        try:
            place.link_to(spare.name)
        except OSError:  # not on every file system, and not without limit
            place.copy_to(spare)

    def _keep_backup(self, item: Item, place: Place) -> None:
        if self._backup:
            copy = keep_copy(place)
            self.backup_files[item.path] = copy
            self._undo.append((copy, lambda: safe_files.unlink(copy)))

    def _write(self, item: Item) -> None:
        place = self._locate(item)
        if place.status:
            self._keep_backup(item, place)
            self._keep_spare(place)
            with place.opened() as old:
                install(place, item.content, like=old, prepare=lambda new: self._give(item, new))
            return
        label = default_label(self._module, place.path)

        def prepare(new: int) -> None:
            label(new)
            self._give(item, new)

        self._undo.append((place.path, place.unlink))
        install(place, item.content, mode=0o600 if item.sensitive else default_mode(), prepare=prepare)

    def _mkdir(self, item: Item) -> None:
        place = self._locate(item)
        place.mkdir()
        self._undo.append((place.path, place.rmdir))
        with place.opened() as directory:
            default_label(self._module, place.path)(directory)
            self._give(item, directory)

    def _link(self, item: Item) -> None:
        place = self._locate(item)
        if place.status:
            self._keep_spare(place)
        else:
            self._undo.append((place.path, place.unlink))
        place.symlink(item.src)

    def _set_attributes(self, item: Item) -> None:
        place = self._locate(item)
        # The same file is given back, whatever has its name by then.
        descriptor = self._descriptors.enter_context(place.opened())
        status = os.fstat(descriptor)
        place.refuse_hard_link(status)

        def undo() -> None:
            safe_files.give(descriptor, status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))

        self._undo.append((place.path, undo))
        self._give(item, descriptor)

    def _remove(self, item: Item) -> None:
        place = self._locate(item)
        status = place.status
        if status and not stat.S_ISLNK(status.st_mode):
            self._keep_backup(item, place)
        spare = self._spare(place)
        self._undo.append((place.path, lambda: self._restore_from(spare, place)))
        place.rename_to(spare.name)

    @staticmethod
    def _give(item: Item, descriptor: int) -> None:
        """Give an open file the owner, group and mode that the item asks for."""
        uid = -1 if item.owner is None else user_id(item.owner)
        gid = -1 if item.group is None else group_id(item.group)
        if uid is None or gid is None:
            raise FileSetError(f"{item.path}: the owner {item.owner} or the group {item.group} has just disappeared")
        mode = None if item.mode is None else numeric_mode(os.fstat(descriptor), item.mode)
        safe_files.give(descriptor, uid, gid, mode)


def _rmdir(item: Item) -> bool:
    """Remove a directory unless something keeps it, such as a new file in it; whether it is gone."""
    try:
        with item.locate() as place:
            place.rmdir()
    except OSError:
        return False
    return True


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
        not_empty = [change for change in removals if not _rmdir(change.item)]
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
