# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files in directories that belong to somebody else than the one who works there, as root does in those of the application.

Every function opens the directory once and works relative to its descriptor. What is checked is what was opened, and not
a name, which may mean something else a moment later. Links of other users lead nowhere that these users could not go.

The commands C(<instance>-web) and C(<instance>-handlers) use this file too, on hosts without Ansible: it needs Python alone.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import secrets
import select
import stat
import time
from collections.abc import Iterator, Sequence
from typing import Any, Callable, Optional, Union

AnyPath = Union[str, "os.PathLike[str]"]

# Bytes: more than any configuration has, and few enough to be held in memory.
LIMIT = 16 * 1024 * 1024
# Of the small files that processes leave in /run
SMALL = 64 * 1024

_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MOST_LINKS = 40
_MOST_ENTRIES = 1_000_000


class UnsafeFile(OSError):
    """A file that root must not use, because of what it is or where it is; the message names it and says what to do."""


def user_name(uid: int) -> str:
    """The name of a user, or the number where there is no account."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """The name of a group, or the number where there is none of that number."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


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


def _is_trusted(uid: int) -> bool:
    """Whether files of this user cannot mislead the one who runs this."""
    return uid in (0, os.geteuid())


def _may_reach(uid: int, status: os.stat_result) -> bool:
    """Whether a user may read a file, or what lies in a directory."""
    bit = stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else stat.S_IROTH
    if status.st_uid == uid:
        return True
    groups = []
    with contextlib.suppress(KeyError):
        account = pwd.getpwuid(uid)
        groups = os.getgrouplist(account.pw_name, account.pw_gid)
    return bool(status.st_mode & (bit << 3 if status.st_gid in groups else bit))


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def hidden_name(name: str) -> str:
    """A name beside I(name) that nobody can know beforehand, and that is short enough for a file system."""
    return f".{name[:200]}.{secrets.token_hex(8)}~"


class Place:
    """A name in a directory that is open: renaming the directory, or another in its place, does not change where this is.

    The I(path) is for messages: where links have led.
    """

    def __init__(self, directory: int, name: str, path: str) -> None:
        self.directory = directory
        self.name = name
        self.path = path

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the directory."""
        os.close(self.directory)

    @property
    def status(self) -> Optional[os.stat_result]:
        """What has the name now, which may be a link; None where there is nothing."""
        try:
            return os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def opened(self, flags: int = os.O_RDONLY) -> Iterator[int]:
        """A descriptor of the regular file or directory of this name, never of a link, a device, a pipe or a socket."""
        try:
            # Before it is opened: opening a device may do something.
            self._refuse_special(os.stat(self.name, dir_fd=self.directory, follow_symlinks=False))
            descriptor = os.open(self.name, flags | _LOOK, dir_fd=self.directory)
        except OSError as error:
            raise self._named(error) from error
        try:
            self._refuse_special(os.fstat(descriptor))
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def pinned(self) -> Iterator[str]:
        """A path that leads to what has this name now, and to nothing else: a socket cannot be opened, only connected to."""
        descriptor = os.open(self.name, _PATH, dir_fd=self.directory)
        try:
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)

    def _refuse_special(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            kinds = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
            kind = kinds.get(stat.S_IFMT(status.st_mode), "a device")
            raise UnsafeFile(
                f"{self.path} is {kind}, not a regular file: remove {kind.replace('a ', 'the ')}, or correct the path"
            )

    def _named(self, error: OSError) -> OSError:
        """The error with the path instead of a name in a directory that nobody knows."""
        if isinstance(error, UnsafeFile) or error.errno is None:
            return error
        return type(error)(error.errno, error.strerror, self.path)

    def read(self, limit: int = LIMIT) -> bytes:
        """The content of the file."""
        with self.opened() as descriptor:
            return self._content(descriptor, limit)

    def _content(self, descriptor: int, limit: int = LIMIT) -> bytes:
        size = os.fstat(descriptor).st_size
        try:
            content = b"" if size > limit else _read_all(descriptor, limit + 1)
        except OSError as error:
            raise self._named(error) from error
        if max(size, len(content)) > limit:
            raise UnsafeFile(
                f"{self.path} has more than {limit} bytes, which is too much for such a file: correct the path, or shorten the file"
            )
        return content

    def write(
        self,
        content: bytes,
        *,
        like: Optional[int] = None,
        owner: int = -1,
        group: int = -1,
        mode: int = 0o600,
        times: Optional[tuple[int, int]] = None,
        prepare: Optional[Callable[[int], None]] = None,
    ) -> None:
        """Put a file with this content here in one step.

        It gets the owner, group, mode and extended attributes of the one whose descriptor is I(like), or else I(mode), I(owner)
        and I(group). I(prepare) gets the descriptor of the new file. All of that is done before there is content: at no moment
        can anybody read it who must not.
        """
        temporary = hidden_name(self.name)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o600, dir_fd=self.directory)
            try:
                if like is None:
                    give(descriptor, owner, group, mode)
                else:
                    copy_attributes(like, descriptor)
                if prepare:
                    prepare(descriptor)
                _write_all(descriptor, content)
                if times:
                    os.utime(descriptor, ns=times)
                os.fsync(descriptor)
                os.rename(temporary, self.name, src_dir_fd=self.directory, dst_dir_fd=self.directory)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=self.directory)
                raise
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._named(error) from error

    def overwrite(self, content: bytes) -> None:
        """Write through the file of this name, where it cannot be replaced because it is a mount point."""
        with self.opened(os.O_WRONLY) as descriptor:
            self.refuse_hard_link(os.fstat(descriptor))
            os.ftruncate(descriptor, 0)
            _write_all(descriptor, content)
            os.fsync(descriptor)

    def refuse_hard_link(self, status: os.stat_result) -> None:
        """Refuse a file that has another name, and does not belong to the owner of this directory: it may be one of root."""
        owner = os.fstat(self.directory).st_uid
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1 and not _is_trusted(owner) and status.st_uid != owner:
            raise UnsafeFile(
                f"{self.path} belongs to {user_name(status.st_uid)}, and is a hard link ({status.st_nlink} names) in a directory of "
                f"{user_name(owner)}: to protect the files of others, it is not changed. Remove the file, or copy it"
            )

    def give(self, owner: int = -1, group: int = -1, mode: Optional[int] = None) -> None:
        """Change the owner, the group and the mode of what is here."""
        with self.opened() as descriptor:
            self.refuse_hard_link(os.fstat(descriptor))
            give(descriptor, owner, group, mode)

    def copy_to(self, target: Place, content: Optional[bytes] = None) -> None:
        """Copy the file in one step, with its owner, mode, extended attributes and times, and with other I(content) if there is any."""
        with self.opened() as descriptor:
            status = os.fstat(descriptor)
            content = self._content(descriptor) if content is None else content
            target.write(content, like=descriptor, times=(status.st_atime_ns, status.st_mtime_ns))

    def symlink(self, target: AnyPath) -> None:
        """Put a link here in one step, also in the place of another."""
        temporary = hidden_name(self.name)
        os.symlink(target, temporary, dir_fd=self.directory)
        try:
            self.rename_from(temporary)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=self.directory)
            raise

    def rename_from(self, name: str) -> None:
        """Give this name to what has another one in the same directory."""
        os.rename(name, self.name, src_dir_fd=self.directory, dst_dir_fd=self.directory)

    def rename_to(self, name: str) -> None:
        """Give what is here another name in the same directory."""
        os.rename(self.name, name, src_dir_fd=self.directory, dst_dir_fd=self.directory)

    def link_to(self, name: str) -> None:
        """Give what is here a second name in the same directory."""
        os.link(self.name, name, src_dir_fd=self.directory, dst_dir_fd=self.directory, follow_symlinks=False)

    def sibling(self, name: str) -> Place:
        """Another name in the same directory, with a descriptor of its own."""
        return Place(os.dup(self.directory), name, os.path.join(os.path.dirname(self.path), name))

    def mkdir(self, mode: int = 0o777) -> None:
        """Make a directory here; the umask counts."""
        os.mkdir(self.name, mode, dir_fd=self.directory)

    def unlink(self) -> None:
        """Remove the file or link of this name, where there is one."""
        with contextlib.suppress(FileNotFoundError):
            # Where a file system is read-only, unlink does not say that there is nothing.
            if self.status:
                os.unlink(self.name, dir_fd=self.directory)

    def rmdir(self) -> None:
        """Remove the empty directory of this name."""
        os.rmdir(self.name, dir_fd=self.directory)

    def remove_tree(self) -> None:
        """Remove the file or directory of this name, with all that is in it, however deep."""
        try:
            top = os.open(self.name, os.O_RDONLY | os.O_DIRECTORY | _LOOK, dir_fd=self.directory)
        except FileNotFoundError:
            return
        except OSError:  # no directory
            self.unlink()
            return
        try:
            _empty(top)
        finally:
            os.close(top)
        self.rmdir()


def _empty(top: int) -> None:
    """Remove all that is in an open directory; what is deeper is moved up, so that no depth is too much."""
    left = _MOST_ENTRIES
    names = os.listdir(top)
    while names and left > 0:
        left -= len(names)
        for name in names:
            _remove(top, name)
        names = os.listdir(top)


def _remove(top: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        try:
            os.unlink(name, dir_fd=top)
            return
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.EPERM):
                raise
        directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _LOOK, dir_fd=top)
        try:
            for inner in os.listdir(directory):
                with contextlib.suppress(FileNotFoundError):
                    try:
                        os.unlink(inner, dir_fd=directory)
                    except OSError as error:
                        if error.errno not in (errno.EISDIR, errno.EPERM):
                            raise
                        os.rename(inner, secrets.token_hex(16), src_dir_fd=directory, dst_dir_fd=top)
        finally:
            os.close(directory)
        os.rmdir(name, dir_fd=top)


def _read_all(descriptor: int, most: int) -> bytes:
    parts = []
    while most > 0:
        part = os.read(descriptor, min(most, 1024 * 1024))
        if not part:
            break
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def give(descriptor: int, owner: int = -1, group: int = -1, mode: Optional[int] = None) -> None:
    """Change the owner, the group and the mode of an open file."""
    status = os.fstat(descriptor)
    if owner not in (-1, status.st_uid) or group not in (-1, status.st_gid):
        os.fchown(descriptor, owner, group)
    if mode is not None:
        os.fchmod(descriptor, mode)


def copy_attributes(source: int, target: int) -> None:
    """Give an open file the owner, the group, the mode and the extended attributes of another one, but not what makes a program privileged."""
    status = os.fstat(source)
    # Whoever may write to a directory may replace the files of others in it, and not keep their owner.
    with contextlib.suppress(PermissionError):
        give(target, status.st_uid, status.st_gid)
    os.fchmod(target, status.st_mode & 0o777)
    names = []
    with contextlib.suppress(OSError):
        names = os.listxattr(source)
    for name in set(names) - {"security.capability"}:
        with contextlib.suppress(OSError):
            os.setxattr(target, name, os.getxattr(source, name))


class _Link:
    """A link on the way that belongs to somebody who may want to mislead."""

    def __init__(self, path: str, target: str, uid: int, rest: int) -> None:
        self.path = path
        self.target = target
        self.uid = uid
        # How many parts of the path are left when it has been followed
        self.rest = rest

    def refusal(self, path: str, status: os.stat_result) -> UnsafeFile:
        """Why it is not followed to what has this status."""
        return UnsafeFile(
            f"{self.path} is a link of {user_name(self.uid)} to {self.target}, and {path} belongs to {user_name(status.st_uid)}: "
            "to protect the files of others, the link is not followed. Use the real path, or give the link to root (chown -h root)"
        )


def locate(path: AnyPath, follow: bool = True, reading: bool = False) -> Place:
    """Open the directory of a path.

    A link that belongs to a user other than root, and other than the one who runs this, may lead only to what belongs to the
    same user: to a file, or to a directory where there is no file yet. For I(reading), what the user may read will do.
    With I(follow) false the last part of the path is not looked through.
    """
    walk = _Walk(os.path.abspath(path), follow, reading)
    try:
        return walk.arrive()
    except BaseException as error:
        os.close(walk.directory)
        if isinstance(error, OSError) and error.errno is not None:
            raise type(error)(error.errno, error.strerror, os.fspath(path)) from error
        raise


class _Walk:
    """The way to a path, one directory after the other."""

    def __init__(self, path: str, follow: bool, reading: bool) -> None:
        self.rest = _parts(path)
        self.follow = follow
        self.reading = reading
        self.directory = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.path = "/"
        self.links: list[_Link] = []

    def arrive(self) -> Place:
        """Go all the way."""
        name, followed = ".", 0
        while self.rest:
            name = self.rest.pop(0)
            path = os.path.normpath(os.path.join(self.path, name))
            try:
                here = os.open(name, _PATH, dir_fd=self.directory)
            except FileNotFoundError:
                if self.rest:
                    raise
                # Whoever writes it, writes it into this directory.
                self._check(self.path, os.fstat(self.directory))
                return Place(self.directory, name, path)
            status = os.fstat(here)
            if stat.S_ISLNK(status.st_mode) and (self.rest or self.follow):
                followed += 1
                try:
                    self._follow(here, status, path, followed)
                finally:
                    os.close(here)
                name = "."
                continue
            try:
                self._check(path, status)
            except UnsafeFile:
                os.close(here)
                raise
            if not self.rest and name != "..":
                os.close(here)
                return Place(self.directory, name, path)
            os.close(self.directory)
            self.directory, self.path = here, path
            name = "."
        # A link has led to a directory without a name, such as / or ..
        self._check(self.path, os.fstat(self.directory))
        return Place(self.directory, name, self.path)

    def _follow(self, link: int, status: os.stat_result, path: str, followed: int) -> None:
        if followed > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink("", dir_fd=link)
        if not _is_trusted(status.st_uid):
            self.links.append(_Link(path, target, status.st_uid, len(self.rest)))
        self.rest = _parts(target) + self.rest
        if target.startswith("/"):
            os.close(self.directory)
            self.directory, self.path = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), "/"

    def _check(self, path: str, status: os.stat_result) -> None:
        """Check the part of the path that has been reached against the links that have led here."""
        for link in self.links:
            arrived = link.rest >= len(self.rest)
            if not (_may_reach(link.uid, status) if self.reading else not arrived or status.st_uid == link.uid):
                raise link.refusal(path, status)
        if not self.reading:
            self.links = [link for link in self.links if link.rest < len(self.rest)]


def read(path: AnyPath, limit: int = LIMIT) -> bytes:
    """The content of a regular file that has no more than I(limit) bytes."""
    with locate(path, reading=True) as place:
        return place.read(limit)


def write(path: AnyPath, content: bytes, mode: int = 0o600, owner: int = -1, group: int = -1) -> None:
    """Put a file here in one step, in the place of whatever has the name: a link is replaced, and not followed."""
    with locate(path, follow=False) as place:
        place.write(content, mode=mode, owner=owner, group=group)


def symlink(path: AnyPath, target: AnyPath) -> None:
    """Put a link here in one step, also in the place of another."""
    with locate(path, follow=False) as place:
        place.symlink(target)


def unlink(path: AnyPath) -> None:
    """Remove a file or a link, where there is one."""
    with contextlib.suppress(FileNotFoundError), locate(path, follow=False) as place:
        place.unlink()


def remove_tree(path: AnyPath) -> None:
    """Remove a directory with all that is in it, where there is one."""
    with contextlib.suppress(FileNotFoundError), locate(path, follow=False) as place:
        place.remove_tree()


def make_directories(path: AnyPath, mode: int = 0o755) -> None:
    """Make a directory, and those above it, unless they are there; the I(mode) is for the last one, the others are for everybody to pass."""
    whole = os.path.abspath(path)
    for end in [index for index, letter in enumerate(whole) if letter == "/" and index] + [len(whole)]:
        if not os.path.isdir(whole[:end]):
            with locate(whole[:end], follow=False) as place, contextlib.suppress(FileExistsError):
                place.mkdir(mode if end == len(whole) else 0o755)


def give_directory(path: AnyPath, owner: int, group: int, mode: int) -> None:
    """Change the owner, the group and the mode of a directory."""
    with locate(path, follow=False) as place:
        place.give(owner, group, mode)


def give_what_root_left(path: AnyPath, owner: int, group: int) -> None:
    """Give what root has installed in a directory of a user to this user: files and directories that everybody may read, and no others."""
    with locate(path) as place:
        for _directory, names, files, descriptor in os.fwalk(place.name, dir_fd=place.directory):
            for name in (".", *names, *files):
                if _is_left_by_root(os.stat(name, dir_fd=descriptor, follow_symlinks=False)):
                    opened = os.open(name, os.O_RDONLY | _LOOK, dir_fd=descriptor)
                    try:
                        if _is_left_by_root(os.fstat(opened)):
                            os.fchown(opened, owner, group)
                    finally:
                        os.close(opened)


def _is_left_by_root(status: os.stat_result) -> bool:
    kind, mode = stat.S_IFMT(status.st_mode), status.st_mode
    plain = (kind == stat.S_IFREG and status.st_nlink == 1) or kind == stat.S_IFDIR
    return status.st_uid == 0 and plain and bool(mode & stat.S_IROTH) and not mode & (stat.S_ISUID | stat.S_ISGID)


def copy(source: AnyPath, target: AnyPath, follow: bool = True, content: Optional[bytes] = None) -> None:
    """Copy a file in one step, with its owner, mode, extended attributes and times, and with other I(content) if there is any.

    A link is replaced if I(follow) is false.
    """
    with locate(source, reading=True) as old, locate(target, follow) as new:
        old.copy_to(new, content)


def writer(path: AnyPath) -> tuple[str, str]:
    """Who, besides root and the one who runs this, can write a file or replace it, and where that is; empty strings for nobody."""
    beside = os.path.join(os.path.realpath(os.path.dirname(os.path.abspath(path))), os.path.basename(path))
    # What is at the path may be a link, and both that and what it leads to can be written.
    return next(filter(any, map(_writer, dict.fromkeys((os.path.realpath(path), beside)))), ("", ""))


def _writer(place: str) -> tuple[str, str]:
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    below: Optional[os.stat_result] = None
    while True:
        status = os.lstat(place)
        if not _is_trusted(status.st_uid):
            return f"user {user_name(status.st_uid)}", place
        # In a sticky directory nobody can replace what belongs to others; a link has no mode of its own.
        sticky = bool(status.st_mode & stat.S_ISVTX) and below is not None and _is_trusted(below.st_uid)
        mode = 0 if sticky or stat.S_ISLNK(status.st_mode) else status.st_mode
        if mode & stat.S_IWOTH:
            return "everybody", place
        if mode & stat.S_IWGRP and status.st_gid not in (0, os.getegid()):
            return f"group {group_name(status.st_gid)}", place
        if place == "/":
            return "", ""
        below, place = status, os.path.dirname(place)


def read_stream(stream: Any, limit: int, seconds: float) -> bytes:
    """Read a socket or a pipe to its end, but no more than I(limit) bytes, and no longer than I(seconds)."""
    return read_streams([stream], limit, seconds)[0]


def read_streams(streams: Sequence[Any], limit: int, seconds: float) -> list[bytes]:
    """Read several streams to their ends, but no more than I(limit) bytes in all, and no longer than I(seconds)."""
    deadline = time.monotonic() + seconds
    found = {stream.fileno(): bytearray() for stream in streams}
    left, waiting = limit, list(found)
    while waiting:
        ready = select.select(waiting, [], [], max(0.0, deadline - time.monotonic()))[0]
        if not ready:
            raise TimeoutError(f"no end after {seconds:g} s")
        for descriptor in ready:
            part = os.read(descriptor, min(left, 65536) or 1)
            if not part:
                waiting.remove(descriptor)
            elif not left:
                raise UnsafeFile(f"more than {limit} bytes")
            found[descriptor] += part
            left -= len(part)
    return [bytes(content) for content in found.values()]
