"""The blocks of a page of the documentation, to be run as a reader would run them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"(?ms)^```(?P<language>\w+)\n(?P<text>.*?)^```$")
# Of the paragraph before a block, the file that the block is.
_FILE = re.compile(r"\bis `([^`\s]+)`")


@dataclass(frozen=True)
class Block:
    """One block: its language, its text, and the file that it is to be, if the page names one."""

    language: str
    text: str
    file: str


def blocks(page: Path, heading: str) -> list[Block]:
    """The blocks below a heading, in their order."""
    section = re.search(rf"(?ms)^## {re.escape(heading)}$(.*?)(?=^## |\Z)", page.read_text())
    assert section, f"{page} has no heading {heading!r}"
    found, end = [], 0
    for match in _BLOCK.finditer(section[1]):
        paragraph = section[1][end : match.start()].strip().rpartition("\n\n")[2]
        named = _FILE.search(paragraph)
        found.append(Block(match["language"], match["text"], named[1] if named else ""))
        end = match.end()
    return found
