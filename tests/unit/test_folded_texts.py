# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folded text is one line: YAML keeps the end of a line that is indented further, so a message would break off there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path for top in ("roles", "playbooks") for path in (ROOT / top).rglob("*.yml"))
# Jinja takes the end of a line in an expression for a space.
EXPRESSION = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


def broken(node: yaml.Node) -> Iterator[tuple[int, str]]:
    """The folded texts with the end of a line in them, by the lines that they begin in."""
    if isinstance(node, yaml.ScalarNode):
        # A blank line is one on purpose.
        text = EXPRESSION.sub("", node.value.rstrip("\n"))
        if node.style == ">" and re.search(r"[^\n]\n(?!\n)[^\n]", text.replace("\n\n", "")):
            yield node.start_mark.line + 1, node.value
    else:
        for child in node.value:
            for part in child if isinstance(child, tuple) else (child,):
                yield from broken(part)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_folded_text_is_one_line(path: Path) -> None:
    # Tags such as !unsafe stay what they are.
    document = yaml.compose(path.read_text(encoding="utf-8"))
    assert not document or list(broken(document)) == []
