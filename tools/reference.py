#!/usr/bin/env python
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/reference.md, the options of everything in the collection, from the specifications and documentation beside the code."""

from __future__ import annotations

import argparse
import ast
import difflib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from antsibull_docs_parser import dom
from antsibull_docs_parser.md import to_md
from antsibull_docs_parser.parser import Context, parse
from role_readme import CellFormatter, code, table, value

TOP = Path(__file__).resolve().parents[1]
REFERENCE = TOP / "docs" / "reference.md"
COLLECTION = "galaxyops.uwsgi"
HEAD = """\
# Reference

Written by `make docs` from the specifications; change those. `ansible-doc galaxyops.uwsgi.paste_check` and
`ansible-doc -t role galaxyops.uwsgi.uwsgi` show the same in a terminal.
"""


class DocumentationError(Exception):
    """A plugin cannot be documented; the message says which and why."""


class Plugin:
    """A module, filter or lookup, and what is written about it."""

    def __init__(self, path: Path, kind: str) -> None:
        self.name = path.stem
        self.kind = kind
        texts = yaml.safe_load(path.read_text(encoding="utf-8")) if path.suffix == ".yml" else constants(path)
        if "DOCUMENTATION" not in texts:
            raise DocumentationError(f"{path} has no DOCUMENTATION")
        documentation, returned = ((yaml.safe_load(text) if isinstance(text, str) else text) or {} for text in (texts["DOCUMENTATION"], texts.get("RETURN")))
        self.documentation: dict[str, Any] = documentation
        self.returned: dict[str, Any] = returned
        self.examples = str(texts.get("EXAMPLES") or "").strip()

    def prose(self, text: str | Sequence[str], separator: str = " ") -> str:
        """Turn the paragraphs of a description into Markdown."""
        here = Context(current_plugin=dom.PluginIdentifier(fqcn=f"{COLLECTION}.{self.name}", type=self.kind))
        paragraphs = parse([text] if isinstance(text, str) else text, here, errors="exception")
        return separator.join(" ".join(to_md([paragraph], formatter=CellFormatter(), par_sep=" ").split()) for paragraph in paragraphs)

    def rows(self, fields: dict[str, dict[str, Any]], inside: str, parent: str = "") -> Iterator[list[str]]:
        """The cells of every option or returned value, and of those I(inside) it."""
        for name, entry in fields.items():
            kind, elements = entry.get("type", "str"), entry.get("elements")
            description = ["**Required.**"] if entry.get("required") else []
            description.append(self.prose(entry.get("description", "")))
            if "choices" in entry:
                description.append(f"One of {', '.join(map(value, entry['choices']))}.")
            default = [value(entry["default"]) if "default" in entry else ""] if inside == "suboptions" else []
            yield [code(parent + name), f"{kind} of {elements}" if elements else str(kind), *default, " ".join(description)]
            yield from self.rows(entry.get(inside) or {}, inside, f"{parent}{name}{'[]' if kind == 'list' else ''}.")

    def render(self) -> str:
        """The plugin's part of the page."""
        parts = [f"### {self.name}", self.prose(self.documentation["short_description"]) + ".", self.prose(self.documentation.get("description", ""), "\n\n")]
        for head, fields, inside in (
            (["Option", "Type", "Default", "Description"], self.documentation.get("options") or {}, "suboptions"),
            (["Returned", "Type", "Description"], self.returned, "contains"),
        ):
            if fields:
                parts.append(lines([head, ["---"] * len(head), *self.rows(fields, inside)]))
        if self.examples:
            parts.append(f"```yaml\n{self.examples}\n```")
        return "\n\n".join(parts)


def lines(rows: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in rows)


def constants(path: Path) -> dict[str, str]:
    """The strings that a Python file gives names to."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Constant):
            found[node.targets[0].id] = str(node.value.value)
    return found


def role(path: Path) -> str:
    """A role's part of the page."""
    specs = yaml.safe_load((path / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    defaults = yaml.safe_load((path / "defaults" / "main.yml").read_text(encoding="utf-8"))
    short: str = specs["argument_specs"]["main"]["short_description"]
    options: str = table(specs, defaults, f"{COLLECTION}.{path.name}").rstrip("\n")
    return f"### {path.name}\n\n{short}. What it does, and examples: [README](../roles/{path.name}/README.md).\n\n{options}"


def page() -> str:
    """The whole page."""
    plugins = TOP / "plugins"
    chapters = {
        "Roles": [role(spec.parents[1]) for spec in sorted(TOP.glob("roles/*/meta/argument_specs.yml"))],
        "Modules": [Plugin(path, "module").render() for path in sorted(plugins.glob("modules/*.py"))],
        "Filters": [Plugin(path, "filter").render() for path in sorted(plugins.glob("filter/*.yml"))],
        "Lookups": [Plugin(path, "lookup").render() for path in sorted(plugins.glob("lookup/*.py"))],
    }
    return "\n\n".join([HEAD.rstrip(), *(part for title, parts in chapters.items() for part in (f"## {title}", *parts))]) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or with --check exit 1 if it is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and show the difference if the page is stale")
    options = parser.parse_args(arguments)
    after = page()
    before = REFERENCE.read_text(encoding="utf-8") if REFERENCE.exists() else ""
    if before == after:
        return 0
    if not options.check:
        REFERENCE.write_text(after, encoding="utf-8")
        print(f"wrote {REFERENCE}")
        return 0
    print(f"{REFERENCE} is stale: run 'make docs'")
    sys.stdout.writelines(difflib.unified_diff(before.splitlines(True), after.splitlines(True), "reference.md", "from the specifications", n=0))
    return 1


if __name__ == "__main__":
    sys.exit(main())
