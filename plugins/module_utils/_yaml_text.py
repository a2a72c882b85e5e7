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

# Tabs, question marks, byte order marks and what stands behind the sign of a block scalar. Each word is read once.
LIBYAML_DIFFERS = re.compile(r"[\t?\ufeff]|(?<!\S)[^\s|>]*[|>]\S*#")

# No configuration has so many brackets in each other, and the time that PyYAML takes grows with their square.
_DEEPEST = 100

_NEWLINE = re.compile(r"\r\n|\n|\r")
_QUOTED = re.compile(r"'[^']*'")
_MERGE = "tag:yaml.org,2002:merge"
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
    try:
        return _parse(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        reason = ": ".join(part for part in (error.context, error.problem) if part)
        source = _NEWLINE.split(text)[line - 1] if line else ""
        remedy = remedy or _remedy(reason, source)
        # A password that is not quoted may be a tag or an alias to YAML.
        if mask_line(source) != source:
            reason = _QUOTED.sub("'...'", reason)
        raise YamlError(line, f"malformed YAML at column {column}: {reason}: {remedy}") from error
    except yaml.YAMLError as error:
        line = len(_NEWLINE.findall(text[: getattr(error, "position", 0)])) + 1
        raise YamlError(line, f"malformed YAML: {getattr(error, 'reason', error)}") from error
    except RecursionError as error:
        raise YamlError(0, "malformed YAML: it is nested too deeply") from error
    except ValueError as error:
        # An impossible date, which PyYAML passes on as it is
        raise YamlError(0, f"malformed YAML: {error}") from error


def _remedy(_reason: str, _source: str) -> str:
    """What to write instead."""
    return "correct it there or just before"


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
    return Parsed(
        tokens,
        [token.start_mark.index for token in tokens],
        yaml.compose(text, Loader=loader),
        # Not made from the node, which would have the keys then that it takes from elsewhere with <<.
        yaml.load(text, Loader=loader),
    )


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
    return [(str(key.value), key.start_mark.line + 1) for key, _value in node.value] if node is not None and node.id == "mapping" else []


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
