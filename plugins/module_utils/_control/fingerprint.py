# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprints: a hash of everything that a process is started from."""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .. import _safe_files as safe_files

# Whoever may change a watched directory may put anything there: no more files, and no more bytes of one, are read.
MOST_FILES = 10_000
LIMIT = 64 * 1024 * 1024


def _pattern(section: str) -> re.Pattern[bytes]:
    """What matches a section of an INI text, up to the next one."""
    return re.compile(rb"(?ms)^\[" + re.escape(section.encode()) + rb"\].*?(?=^\[|\Z)")


def without_section(text: bytes, section: str) -> bytes:
    """Return the INI I(text) less one section: what the readers of the other sections see."""
    # Blank lines mean nothing, and come and go with a section.
    return _without_blank_lines(_pattern(section).sub(b"", text))


def _without_blank_lines(text: bytes) -> bytes:
    """Return I(text) less its blank lines and the white space at its end."""

    # Each run of white space is read once, however long it is.
    def shortened(run: re.Match[bytes]) -> bytes:
        space = run[0]
        if run.end() == len(text):
            return b""
        line_end = space.find(b"\n") if run.start() else -1
        return space[: line_end + 1] + space[space.rfind(b"\n") + 1 :]

    return re.sub(rb"\s+", shortened, text)


def without_handlers(text: bytes) -> bytes:
    """Return a job configuration less its handlers: what a change of another handler leaves as it is."""
    # Comments mean nothing, and may speak of handlers.
    comments, end, rest = text.rpartition(b"-->")
    text = re.sub(rb"(?s)<!--.*?-->", b"", comments + end) + rest
    # Behind the last end tag nobody looks for one: without end, each start tag would be a reason to read all that
    # follows.
    elements, end, rest = text.rpartition(b"</handlers>")
    text = re.sub(rb"(?s)<handlers\b(?:[^<>]*/>|.*?</handlers>)", b"", elements + end) + re.sub(
        rb"<handlers\b[^<>]*/>", b"", rest
    )
    return re.sub(rb"(?m)^handling:.*\n(?:(?:[ \t].*|#.*)?\n)*", b"", text)


def with_section(text: bytes, section: str, other: bytes) -> bytes:
    """Return the INI I(text) with one section as the INI I(other) has it, or without it where that has none."""
    pattern = _pattern(section)
    ours, theirs = pattern.search(text), pattern.search(other)
    if not theirs:
        return text[: ours.start()] + text[ours.end() :] if ours else text
    if not ours:
        separator = b"" if not text or text.endswith(b"\n") else b"\n"
        return text + separator + theirs[0]
    rest = text[ours.end() :]
    separator = b"\n" if rest and not theirs[0].endswith(b"\n") else b""
    return text[: ours.start()] + theirs[0] + separator + rest


def _key_pattern(key: str) -> re.Pattern[bytes]:
    """What matches a key of a YAML text that begins its line, up to the next such key."""
    return re.compile(rb"(?m)^" + re.escape(key.encode()) + rb":(?:[ \t][^\n]*|\r)?\n(?:(?:[ \t#-][^\n]*|\r)?\n)*")


def _key(text: bytes, key: str) -> Optional[re.Match[bytes]]:
    """Where a key of a YAML text and its value are, unless something else in the text may refer to the value."""
    found = _key_pattern(key).search(text)
    return found if found and b"&" not in found[0] else None


def without_keys(text: bytes, keys: list[str]) -> bytes:
    """Return the YAML I(text) less some of its keys: what the readers of the others see."""
    text = text if text.endswith(b"\n") else text + b"\n"
    for key in keys:
        found = _key(text, key)
        if found:
            text = text[: found.start()] + text[found.end() :]
    return text.rstrip() + b"\n"


def with_keys(text: bytes, keys: list[str], other: bytes) -> bytes:
    """Return the YAML I(text) with some keys as the YAML I(other) has them, or without those that it has not."""
    text, other = (each if each.endswith(b"\n") else each + b"\n" for each in (text, other))
    for key in keys:
        ours, theirs = _key(text, key), _key(other, key)
        value = theirs[0] if theirs else b""
        text = text[: ours.start()] + value + text[ours.end() :] if ours else text + value
    return text


def view(entry: Mapping[str, Any], text: Optional[bytes]) -> Optional[bytes]:
    """What a process is started from of the I(text) of a watched file."""
    if text is None:
        return None
    if "without_section" in entry:
        text = without_section(text, entry["without_section"])
    if "without_keys" in entry:
        text = without_keys(text, entry["without_keys"])
    if entry.get("without_handlers"):
        text = without_handlers(text)
    return text


def content(path: str) -> bytes:
    """What a file has, or why it cannot be read safely.

    The reason counts as a change, which the processes have to prove themselves with.
    """
    try:
        return safe_files.read(path, LIMIT)
    except safe_files.UnsafeFile as error:
        status = os.stat(path)
        return (
            f"{error}\0{status.st_size}\0{status.st_mtime_ns}".encode()
            if stat.S_ISREG(status.st_mode)
            else str(error).encode()
        )


def fingerprint(watch: Sequence[Mapping[str, Any]]) -> str:
    """Hash what a process is started from: files (patterns may name several, or none), where links lead, and values."""
    digest = hashlib.sha256()
    for entry in watch:
        if "value" in entry:
            digest.update(json.dumps(entry["value"], sort_keys=True).encode())
            continue
        if entry.get("link"):
            digest.update(os.path.realpath(entry["path"]).encode())
            continue
        for path in sorted(itertools.islice(glob.iglob(entry["path"], recursive=True), MOST_FILES)):
            # Python before 3.12 finds what C(**) begins with, whether it is there or not.
            if os.path.isdir(path) or not os.path.exists(path):
                continue
            text = view(entry, content(path)) or b""
            digest.update(f"{path}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()
