# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a configuration of nginx as nginx does: directives with their files and lines, includes followed."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

# The code of another language, with braces of its own.
_CODE_BLOCK = re.compile(r"\w+_by_lua_block")
# Comments, text and braces of Lua; of what long brackets hold, only the beginning.
_LUA = re.compile(r"(?:--)?\[(?P<level>=*)\[|--[^\n]*|\"(?:\\(?s:.)|[^\"\\\n])*\"|'(?:\\(?s:.)|[^'\\\n])*'|[{}]")
_DEEPEST = 100
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", '"': '"', "'": "'", "\\": "\\"}
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_DUMPED_FILE = re.compile(r"(?m)^# configuration file (/.*):\n")

# The blocks that hold no directives but keys and values.
_DATA_BLOCKS = {"map", "geo", "types", "split_clients", "charset_map", "match"}


class NginxConfigError(Exception):
    """nginx could not read the text either: where, and why."""

    def __init__(self, path: str, line: int, reason: str) -> None:
        """Say what is wrong as a compiler does."""
        super().__init__(f"{path}:{line}: {reason}")


@dataclass
class Directive:
    """A directive: its words, where the first one stands, and the directives in its block; no block is None.

    The words of I(code) are followed by a block in another language.
    """

    words: list[str]
    line: int
    path: str = ""
    block: Optional[list[Directive]] = None
    code: bool = False

    @property
    def name(self) -> str:
        """The first word."""
        return self.words[0] if self.words else ""

    @property
    def arguments(self) -> list[str]:
        """The words behind the first one."""
        return self.words[1:]

    @property
    def place(self) -> str:
        """The file and the line."""
        return f"{self.path}:{self.line}"

    def __str__(self) -> str:
        """The directive without its block, in one line."""
        return " ".join(" ".join(quote(word) for word in self.words).split("\n"))

    def children(self, *names: str) -> list[Directive]:
        """The directives of these names directly inside."""
        return [directive for directive in self.block or () if directive.name in names and len(directive.words) > 1]

    def find(self, *names: str) -> Iterator[Directive]:
        """Every directive of these names inside, however deep."""
        for directive in self.block or () if self.name not in _DATA_BLOCKS else ():
            if directive.name in names:
                yield directive
            yield from directive.find(*names)

    def ways(self, *names: str) -> Iterator[list[Directive]]:
        """The blocks around every directive of these names, from this one to the innermost, and the directive itself."""
        for directive in self.block or () if self.name not in _DATA_BLOCKS else ():
            if directive.name in names and len(directive.words) > 1:
                yield [self, directive]
            for way in directive.ways(*names):
                yield [self, *way]


def quote(word: str) -> str:
    """A word as it can be written, in quotes where it needs any."""
    if word and not re.search(r"[\s;{}\"'\\#]", _VARIABLE.sub("", word)):
        return word
    if "\\" in word and not re.search(r"[\s;{\"']", _VARIABLE.sub("", word)):
        return word
    return "'" + word.replace("'", "\\'") + "'" if '"' in word else f'"{word}"'


def inherited(way: Sequence[Directive], *names: str) -> list[Directive]:
    """The directives of these names that hold at the end of a way: those of the innermost block that has any."""
    for block in reversed(way):
        found = block.children(*names)
        if found:
            return found
    return []


@dataclass
class _Scanner:
    """The place in a text up to which it is read."""

    text: str
    path: str
    index: int = 0
    line: int = 1

    def skip(self) -> None:
        """Go on behind spaces and comments."""
        while self.index < len(self.text):
            char = self.text[self.index]
            if char == "#":
                end = self.text.find("\n", self.index)
                self.index = len(self.text) if end < 0 else end
            elif char in " \t\r\n":
                self.line += char == "\n"
                self.index += 1
            else:
                return

    def word(self) -> str:
        """Read a word, which may be in quotes, up to what ends it."""
        first = self.text[self.index]
        read = self._quoted if first in "\"'" else self._plain
        found = read()
        self.line += found.count("\n")
        return re.sub(r"\\([tnr\"'\\])", lambda match: _ESCAPES[match.group(1)], found)

    def _quoted(self) -> str:
        mark, start = self.text[self.index], self.index + 1
        index = start
        while index < len(self.text) and self.text[index] != mark:
            index += 2 if self.text[index] == "\\" else 1
        if index >= len(self.text):
            raise NginxConfigError(self.path, self.line, f"the quote {mark} has no end: correct the file (nginx -t)")
        self.index = index + 1
        return self.text[start:index]

    def _plain(self) -> str:
        start = index = self.index
        while index < len(self.text):
            char = self.text[index]
            if char == "\\" or self.text.startswith("${", index):
                index += 2
            elif char in " \t\r\n;{":
                break
            else:
                index += 1
        self.index = min(index, len(self.text))
        return self.text[start : self.index]

    def code(self) -> None:
        """Go on behind the brace that ends a block of Lua."""
        depth, start = 1, self.index
        while depth:
            match = _LUA.search(self.text, self.index)
            end = match.end() if match else 0
            if match and match.group("level") is not None:
                closing = f"]{match.group('level')}]"
                found = self.text.find(closing, end)
                end = found + len(closing) if found >= 0 else 0
            if not match or not end:
                raise NginxConfigError(self.path, self.line, "the block of Lua has no end: correct the file (nginx -t)")
            depth += {"{": 1, "}": -1}.get(match.group(), 0)
            self.index = end
        self.line += self.text.count("\n", start, self.index)


def parse(text: str, path: str = "") -> Directive:
    """The directives of a file, as the block of one without words, or raise L(NginxConfigError)."""
    scanner = _Scanner(text, path)
    top = Directive([], 0, path, [])
    stack = [top]
    words: list[str] = []
    start = 0
    while True:
        scanner.skip()
        if scanner.index >= len(text):
            break
        char = text[scanner.index]
        if char in ";{":
            if not words:
                raise NginxConfigError(
                    path, scanner.line, f"'{char}' follows no directive: correct the file (nginx -t)"
                )
            directive = Directive(words, start, path, [] if char == "{" else None)
            _block(stack[-1]).append(directive)
            words = []
            scanner.index += 1
            if char == "{" and _CODE_BLOCK.fullmatch(directive.name):
                directive.code = True
                scanner.code()
            elif len(stack) > _DEEPEST:
                raise NginxConfigError(path, start, f"more than {_DEEPEST} blocks lie in each other: correct the file")
            elif char == "{":
                stack.append(directive)
        elif char == "}" and not words:
            if len(stack) == 1:
                raise NginxConfigError(path, scanner.line, "'}' ends no block: correct the file (nginx -t)")
            stack.pop()
            scanner.index += 1
        else:
            start = start if words else scanner.line
            words.append(scanner.word())
    if words or len(stack) > 1:
        place = start if words else stack[-1].line
        raise NginxConfigError(path, place, "the directive has no end: correct the file (nginx -t)")
    return top


def _block(directive: Directive) -> list[Directive]:
    if directive.block is None:
        raise ValueError(f"{directive.place}: the directive has no block")
    return directive.block


# Files


def dumped(text: str) -> dict[str, str]:
    """The files in what C(nginx -T) has printed, by their paths; the first one is the main one."""
    parts = _DUMPED_FILE.split(text)
    # nginx adds a line feed to each.
    return {path: content.removesuffix("\n") for path, content in zip(parts[1::2], parts[2::2])}


def matches(path: str, pattern: str) -> bool:
    """Whether a pattern of C(include) stands for a file: C(*) ends at a slash, and hidden files are none of it."""
    names, parts = path.split("/"), pattern.split("/")
    return len(names) == len(parts) and all(
        fnmatch.fnmatchcase(name, part) and not (name.startswith(".") and not part.startswith("."))
        for name, part in zip(names, parts)
    )


@dataclass
class Configuration:
    """Everything that nginx reads: the main file with all that it includes, and why something of it cannot be read."""

    top: Directive
    paths: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def configuration(files: Mapping[str, str], roots: Sequence[str], directory: str) -> Configuration:
    """Read I(files) from I(roots) on; the names of included files are relative to I(directory)."""
    made = Configuration(Directive([], 0, "", []))
    for path in roots:
        made.top.block = [*(made.top.block or ()), *_read(made, files, path, directory, ())]
    return made


def _read(
    made: Configuration, files: Mapping[str, str], path: str, directory: str, above: tuple[str, ...]
) -> list[Directive]:
    if path in above:
        made.problems.append(f"{path}:0: the file includes itself: correct the file (nginx -t)")
        return []
    made.paths += [path] if path not in made.paths else []
    try:
        return _expanded(made, files, _block(parse(files[path], path)), directory, (*above, path))
    except NginxConfigError as error:
        made.problems.append(str(error))
        return []


def _expanded(
    made: Configuration, files: Mapping[str, str], block: list[Directive], directory: str, above: tuple[str, ...]
) -> list[Directive]:
    """The directives of a block, with those of included files in the place of each C(include)."""
    found: list[Directive] = []
    for directive in block:
        if directive.name == "include" and len(directive.words) > 1:
            pattern = posixpath.join(directory, directive.words[1])
            for path in sorted(path for path in files if path == pattern or matches(path, pattern)):
                found += _read(made, files, path, directory, above)
            continue
        if directive.block:
            directive.block = _expanded(made, files, directive.block, directory, above)
        found.append(directive)
    return found


# Variables


def values(word: str, way: Sequence[Directive], top: Directive, depth: int = 0) -> list[str]:
    """What a word with variables may stand for: by each C(set) on its way, and each C(map); a variable nobody knows stays."""
    match = _VARIABLE.search(word)
    if not match or depth > 8:
        return [word]
    name = match.group(1) or match.group(2)
    known = [
        directive.words[2]
        for block in way
        for directive in block.find("set")
        if directive.words[1:2] == [f"${name}"] and len(directive.words) > 2
    ]
    for mapping in top.find("map", "geo", "split_clients"):
        if mapping.words[-1] == f"${name}":
            known += [
                line.words[1]
                for line in mapping.block or ()
                if len(line.words) == 2 and line.name not in ("include", "hostnames", "volatile")
            ]
    if not known:
        rest = values(word[match.end() :], way, top, depth)
        return [word[: match.end()] + end for end in rest]
    return list(
        dict.fromkeys(
            found
            for value in known
            for found in values(word[: match.start()] + value + word[match.end() :], way, top, depth + 1)
        )
    )


def variables(word: str) -> list[str]:
    """The names of the variables in a word."""
    return [f"${long or short}" for long, short in _VARIABLE.findall(word) if not (long or short).isdigit()]
