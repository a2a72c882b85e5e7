# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of nginx that somebody else has written, for the places of a site that are theirs."""

from __future__ import annotations

import re

# A comment, a word with quotes and variables in it, or what ends a directive.
_TOKEN = re.compile(r"""#[^\n]*|[{};]|(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\$\{\w*\}|\\.|[^\s{};\\])+""", re.DOTALL)


def server_params(snippet: str) -> list[str]:
    """Return the directives uwsgi_param of lines of nginx that stand in no block, as they are written."""
    found: list[str] = []
    words: list[str] = []
    depth = 0
    for token in _TOKEN.findall(snippet):
        if token.startswith("#") and not words:
            continue
        if token not in ("{", "}", ";"):
            words.append(token)
            continue
        if token == ";" and not depth and words[:1] == ["uwsgi_param"]:
            found.append(f"{' '.join(words)};")
        depth += {"{": 1, "}": -1}.get(token, 0)
        words = []
    return found


def rewrites(text: str) -> bool:
    """Tell whether lines of nginx have the directive rewrite, or may have it in a file that they include."""
    return bool(re.search(r"(?m)(^|[;{}])\s*(rewrite|include)\s", text))
