#!/usr/bin/env python
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write each role's option table into its README.md, from its meta/argument_specs.yml and defaults/main.yml.

The table stands between two comments, everything else in the file stays as it is:

    <!-- options: begin -->
    <!-- options: end -->
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from antsibull_docs_parser import dom
from antsibull_docs_parser.md import MDFormatter, to_md
from antsibull_docs_parser.parser import Context, parse

ROLES = Path(__file__).resolve().parents[1] / "roles"
BEGIN = "<!-- options: begin -->"
END = "<!-- options: end -->"


class ReadmeError(Exception):
    """A README cannot be brought up to date; the message says which and why."""


def code(text: str) -> str:
    """Quote I(text) as code, on one line, fit for a table's cell."""
    text = " ".join(text.split()).replace("|", r"\|")
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"{fence}{text}{fence}"


class CellFormatter(MDFormatter):
    """Ansible's markup as the Markdown a person would write, for those who read the file itself."""

    def format_text(self, part: dom.TextPart) -> str:
        return re.sub(r"([\\`*_<\[\]|])", r"\\\1", part.text)

    def format_bold(self, part: dom.BoldPart) -> str:
        return f"**{part.text}**"

    def format_italic(self, part: dom.ItalicPart) -> str:
        return f"*{part.text}*"

    def format_code(self, part: dom.CodePart) -> str:
        return code(part.text)

    def format_option_value(self, part: dom.OptionValuePart) -> str:
        return code(part.value)

    def format_option_name(self, part: dom.OptionNamePart, url: str | None) -> str:
        return code(part.name if part.value is None else f"{part.name}={part.value}")

    def format_env_variable(self, part: dom.EnvVariablePart) -> str:
        return code(part.name)

    def format_module(self, part: dom.ModulePart, url: str | None) -> str:
        return code(part.fqcn)

    def format_plugin(self, part: dom.PluginPart, url: str | None) -> str:
        return code(part.plugin.fqcn)

    def format_link(self, part: dom.LinkPart) -> str:
        return f"[{part.text}]({part.url})"

    def format_url(self, part: dom.URLPart) -> str:
        return f"<{part.url}>"


def prose(text: str | Sequence[str], role: str) -> str:
    """Turn the paragraphs of a description into one line of Markdown."""
    here = Context(current_plugin=dom.PluginIdentifier(fqcn=role, type="role"), role_entrypoint="main")
    paragraphs = parse([text] if isinstance(text, str) else text, here, errors="exception")
    return " ".join(to_md(paragraphs, formatter=CellFormatter(), par_sep=" ").split())


def value(content: Any) -> str:
    """Write a default or a choice as it stands in YAML; a string without its quotes."""
    if isinstance(content, str) and content:
        return code(content)
    return code(yaml.safe_dump(content, default_flow_style=True, width=sys.maxsize, sort_keys=False).replace("\n...", "").strip())


def rows(options: dict[str, dict[str, Any]], role: str, parent: str = "") -> Iterator[list[str]]:
    """The cells of every option and, indented by their names, of the options inside it."""
    for name, option in options.items():
        kind = option.get("type", "str")
        elements = option.get("elements")
        description = ["**Required.**"] if option.get("required") else []
        description.append(prose(option.get("description", ""), role))
        if "choices" in option:
            description.append(f"One of {', '.join(map(value, option['choices']))}.")
        yield [
            code(parent + name),
            f"{kind} of {elements}" if elements else kind,
            value(option["default"]) if "default" in option else "",
            " ".join(description),
        ]
        if "options" in option:
            yield from rows(option["options"], role, f"{parent}{name}{'[]' if kind == 'list' else ''}.")


def table(specs: dict[str, Any], defaults: dict[str, Any], role: str) -> str:
    """The option table of the role's entry point main.

    An expression is no valid default of an option that is not a string, so the specification
    leaves it out and it comes from I(defaults), the content of defaults/main.yml.
    """
    options = specs["argument_specs"]["main"].get("options", {})
    options = {name: {**({"default": defaults[name]} if name in defaults else {}), **option} for name, option in options.items()}
    lines = [["Option", "Type", "Default", "Description"], ["---"] * 4, *rows(options, role)]
    return "".join(f"| {' | '.join(cells)} |\n".replace("|  |", "| |") for cells in lines)


def with_table(readme: str, new: str) -> str:
    """Put the table I(new) between the two comments of I(readme)."""
    before, begin, rest = readme.partition(BEGIN)
    end, after = rest.partition(END)[1:]
    if not begin or not end or BEGIN in rest or END in after:
        raise ReadmeError(f"needs one line '{BEGIN}' and after it one line '{END}': the option table goes between them")
    return f"{before}{BEGIN}\n{new}{END}{after}"


def update(role: Path, check: bool) -> bool:
    """Bring one role's README up to date, or with I(check) show what differs; return whether it was."""
    readme = role / "README.md"
    try:
        before = readme.read_text(encoding="utf-8")
        specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
        defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text(encoding="utf-8"))
    except OSError as error:
        raise ReadmeError(f"cannot read {error.filename}: {error.strerror}") from error
    try:
        after = with_table(before, table(specs, defaults or {}, f"galaxyops.uwsgi.{role.name}"))
    except (ReadmeError, ValueError) as error:
        raise ReadmeError(f"{readme}: {error}") from error
    if before == after:
        return True
    if check:
        print(f"{readme} is stale: run 'make docs'")
        sys.stdout.writelines(
            difflib.unified_diff(before.splitlines(True), after.splitlines(True), "README.md", "from meta/argument_specs.yml", n=0)
        )
    else:
        readme.write_text(after, encoding="utf-8")
        print(f"wrote {readme}")
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Update the READMEs, or with --check exit 1 if one of them is stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and show the difference where a table is stale")
    parser.add_argument("roles", nargs="*", type=Path, metavar="ROLE", help="a role's directory; all of the collection's by default")
    options = parser.parse_args(arguments)
    roles = options.roles or sorted(spec.parents[1] for spec in ROLES.glob("*/meta/argument_specs.yml"))
    try:
        current = [update(role, options.check) for role in roles]
    except ReadmeError as error:
        print(error, file=sys.stderr)
        return 1
    return 1 if options.check and not all(current) else 0


if __name__ == "__main__":
    sys.exit(main())
