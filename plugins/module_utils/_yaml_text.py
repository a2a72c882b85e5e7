# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read YAML as Galaxy does, and know where in the text everything is."""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._secrets import mask_line

YAML_IMPORT_ERROR: Optional[str] = None
try:
    import yaml  # type: ignore[import-untyped,unused-ignore]
except ImportError:
    YAML_IMPORT_ERROR = traceback.format_exc()

NO_YAML = "cannot be checked without PyYAML: install the package python3-yaml"

# Tabs, question marks, byte order marks, an exclamation mark alone and what stands behind the sign of a block scalar. Each word is read once.
LIBYAML_DIFFERS = re.compile(r"[\t?\ufeff]|!(?!\S)|(?<!\S)[^\s|>]*[|>]\S*#")

# No configuration has so many brackets in each other, and the time that PyYAML takes grows with their square.
_DEEPEST = 100
_MOST_KEYS = 100_000

_NEWLINE = re.compile(r"\r\n|\n|\r")
_QUOTED = re.compile(r"'[^']*'")
_VAULT = "$ANSIBLE_VAULT;"
_UNCLOSED = re.compile("while (?:scanning a quoted scalar|parsing a flow (?:sequence|mapping))$")

_ELSEWHERE = "correct it there or just before"
_INDENT = "indent the line like the other entries of the same mapping or list"
_QUOTES = "write the value in quotes"
_PLACEHOLDER = (
    "'{{' and '{%' are placeholders of a template that nobody has filled in: "
    "write the file with ansible.builtin.template, or the value in its place"
)
_DECRYPT = (
    "only Ansible can decrypt the value: keep it in a variable, and let Ansible write the decrypted value into this file, "
    "by '{{ NAME }}' in a template"
)
# What PyYAML says, and what to do about it
_REMEDIES = tuple(
    (re.compile(pattern), remedy)
    for pattern, remedy in (
        ("single document", "Galaxy reads one document: join the two, and remove the line '---' between them"),
        (
            "the tag '",
            "Galaxy knows no tag of YAML but YAML's own: write the value itself, in quotes if it begins with '!'",
        ),
        ("alias|anchor", "write the value in quotes if it begins with '*' or '&', or define the anchor above"),
        ("while scanning a (?:tag|directive)|tag handle", f"{_QUOTES} if it begins with '!' or '%'"),
        ("cannot start any token", _QUOTES),
        ("escape|hexdecimal|hexadecimal", "write the value in single quotes, in which a backslash stands for itself"),
        ("while scanning a quoted scalar", "end the quotes of the value that begins here"),
        ("while scanning a double-quoted scalar", "end the quotes of the value that begins here"),
        ("while parsing a flow", "close the bracket"),
        ("expected <block end>|block sequence", _INDENT),
        ("unhashable key", "a key is text: write the key in quotes"),
        ("block scalar", "write the text on lines of its own, indented more than their key, below '|' or '>'"),
    )
)

_MERGE = "tag:yaml.org,2002:merge"
TEXT = "tag:yaml.org,2002:str"
_NULL = "tag:yaml.org,2002:null"


class YamlError(Exception):
    """The text is no YAML that Galaxy reads; the message says why and what to write instead."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


@dataclass(frozen=True)
class Parsed:
    """What PyYAML makes of a text, to look at and not to change: its tokens, where they start, its root node and its data."""

    tokens: list[Any]
    starts: list[int]
    root: Any
    data: Any


def parse(text: str, remedy: str = "") -> Parsed:
    """Parse a text; the I(remedy) is for text that is no YAML at all."""
    if text.startswith(_VAULT):
        message = (
            "ansible-vault has encrypted the file, and Galaxy cannot decrypt it: write the decrypted file to the host"
        )
        raise YamlError(1, message)
    try:
        return _parse(text)
    except yaml.MarkedYAMLError as error:
        raise _explained(text, error, remedy) from error
    except yaml.YAMLError as error:
        line = len(_NEWLINE.findall(text[: getattr(error, "position", 0)])) + 1
        message = f"malformed YAML: {getattr(error, 'reason', error)}: remove the character"
        raise YamlError(line, message) from error
    except RecursionError as error:
        raise YamlError(
            0, "malformed YAML: it is nested too deeply: remove some of the brackets in each other"
        ) from error
    except ValueError as error:
        # An impossible date, which PyYAML passes on as it is
        raise YamlError(0, f"malformed YAML: {error}: correct the date, or write it in quotes") from error


def _explained(text: str, error: Any, remedy: str) -> YamlError:
    """Say where a text is no YAML, why, and what to write instead."""
    mark = error.problem_mark or error.context_mark
    # What is not closed is found where something else begins, or at the end of the text.
    if error.context_mark and _UNCLOSED.search(error.context or ""):
        mark = error.context_mark
    if mark is None:
        return YamlError(0, f"malformed YAML: {error.problem or error.context}: {remedy or _ELSEWHERE}")
    reason = ": ".join(part for part in (error.context, error.problem) if part)
    lines = _NEWLINE.split(text)
    remedy = remedy or _remedy(reason, lines[: mark.line + 1], mark.column)
    # A password that is not quoted may be a tag or an alias to YAML, and more than one line may belong to it.
    if any(mask_line(line) != line for line in lines[max(mark.line - 1, 0) : mark.line + 1]):
        reason = _QUOTED.sub("'...'", reason)
    return YamlError(mark.line + 1, f"malformed YAML at column {mark.column + 1}: {reason}: {remedy}")


def _remedy(reason: str, lines: list[str], column: int) -> str:
    """What to write instead, by what PyYAML says and what the last of these lines has."""
    line = lines[-1]
    if "{{" in line or "{%" in line:
        return _PLACEHOLDER
    if "mapping values are not allowed" in reason:
        if ": " in line[:column]:
            return "write the value in quotes, because it has a colon and a space in it"
        above = next(
            (other for other in reversed(lines[:-1]) if other.strip() and not other.lstrip().startswith("#")), ""
        )
        return _INDENT if re.search(r":(\s|$)", above) else "add the colon and a space behind the key of the line above"
    if "the tag '!vault" in reason:
        return _DECRYPT
    if r"found character '\t'" in reason:
        what = "indent the line with spaces" if not line[:column].strip() else "write a space"
        return f"{what}: YAML allows no tab there"
    return next((remedy for pattern, remedy in _REMEDIES if pattern.search(reason)), _ELSEWHERE)


# A text is looked at several times: one parse of it is enough.
@lru_cache(maxsize=4)
def _parse(text: str) -> Parsed:
    """Parse I(text), which may be malformed.

    With libyaml, where PyYAML has it, this takes a tenth of the time. But Galaxy reads the file with PyYAML's own parser, so that
    has the last word on what libyaml refuses, or might read differently.
    """
    if hasattr(yaml, "CSafeLoader") and not LIBYAML_DIFFERS.search(text):
        with contextlib.suppress(yaml.YAMLError, ValueError):
            return _parse_with(yaml.CSafeLoader, text)
    return _parse_with(yaml.SafeLoader, text)


def _parse_with(loader: Any, text: str) -> Parsed:
    tokens = [token for token in _scan(loader, text) if token.start_mark.index < token.end_mark.index]
    root = yaml.compose(text, Loader=loader)
    _count_keys(root, {})
    # The data are not made from the node, which would have the keys then that it takes from elsewhere with <<.
    return Parsed(tokens, [token.start_mark.index for token in tokens], root, yaml.load(text, Loader=loader))


def _count_keys(node: Any, known: dict[int, int]) -> int:
    """The keys that a mapping has with those that it takes from elsewhere; a few lines could make more than a host can hold."""
    if node is None or node.id == "scalar" or id(node) in known:
        return known.get(id(node), 0)
    known[id(node)] = 0
    if node.id == "sequence":
        known[id(node)] = sum(_count_keys(item, known) for item in node.value)
        return known[id(node)]
    count = 0
    for key, value in node.value:
        _count_keys(key, known)
        merged = _count_keys(value, known)
        count += merged if key.tag == _MERGE else 1
    if count > _MOST_KEYS:
        message = f"the merge keys (<<) make more than {_MOST_KEYS} keys of the mapping that begins here: write out the keys that are wanted"
        raise YamlError(node.start_mark.line + 1, message)
    known[id(node)] = count
    return count


def _scan(loader: Any, text: str) -> Iterator[Any]:
    """The tokens of I(text); too many brackets in each other are refused at once."""
    depth = 0
    for token in yaml.scan(text, Loader=loader):
        depth += isinstance(token, (yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken))
        depth -= isinstance(token, (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken))
        if depth > _DEEPEST:
            raise RecursionError
        yield token


def entries(node: Any) -> Iterator[tuple[Any, Any]]:
    """The keys and values of a mapping as Galaxy gets them: with those that it takes from elsewhere with <<, which come first."""
    if node is None or node.id != "mapping":
        return
    for key, value in node.value:
        if key.tag == _MERGE:
            for merged in reversed(value.value) if value.id == "sequence" else (value,):
                yield from entries(merged)
    yield from ((key, value) for key, value in node.value if key.tag != _MERGE)


def lines(node: Any) -> list[tuple[str, int]]:
    """The keys that stand in a mapping itself, with their lines."""
    return (
        [(str(key.value), key.start_mark.line + 1) for key, _value in node.value]
        if node is not None and node.id == "mapping"
        else []
    )


def mapping(node: Any) -> dict[str, tuple[int, Any]]:
    """The values of a mapping, with the lines of their keys."""
    return {str(key.value): (key.start_mark.line + 1, value) for key, value in entries(node)}


def value_of(node: Any, key: str) -> Any:
    """The node of the value that a mapping has for a key, or None."""
    return mapping(node).get(key, (0, None))[1]


def line_of(node: Any, key: str) -> int:
    """The line of a key, or 0."""
    return mapping(node).get(key, (0, None))[0]


def items(node: Any) -> list[Any]:
    """The nodes in a list; none where the node is no list."""
    return list(node.value) if node is not None and node.id == "sequence" else []


def text_of(node: Any) -> Optional[str]:
    """A scalar as text; None where it is nothing."""
    return str(node.value) if node is not None and node.id == "scalar" and node.tag != _NULL else None


def texts_of(node: Any) -> tuple[str, ...]:
    """The scalars in a list, as text."""
    return tuple(text for text in map(text_of, items(node)) if text is not None)
