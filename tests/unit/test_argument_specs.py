# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role's argument specification says is what its defaults do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = sorted((Path(__file__).resolve().parents[2] / "roles").glob("[!.]*"))
STRINGS = ("str", "path", "raw")

each_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def options_of(role: Path) -> dict[str, Any]:
    """The options of the role's entry point main."""
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    options: dict[str, Any] = specs["argument_specs"]["main"]["options"]
    return options


def defaults_of(role: Path) -> dict[str, Any]:
    """The variables in the role's defaults/main.yml."""
    return yaml.safe_load((role / "defaults" / "main.yml").read_text(encoding="utf-8")) or {}


def every_option(options: dict[str, Any], parent: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The options and those nested in them, with their full names."""
    for name, option in options.items():
        yield parent + name, option
        yield from every_option(option.get("options", {}), f"{parent}{name}.")


def is_expression(value: Any) -> bool:
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def test_there_are_roles() -> None:
    assert ROLES


@each_role
def test_each_entry_point_says_what_it_does_itself(role: Path) -> None:
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    for key in ("short_description", "description"):
        said = [str(spec[key]) for spec in specs.values()]
        assert len(set(said)) == len(said), f"ansible-doc -t role -l shows the same for {', '.join(specs)}"
    assert all(spec["options"] == specs["main"]["options"] for spec in specs.values())


def test_ansible_warns_of_nothing_as_it_reads_the_specifications(root: Path) -> None:
    """Ansible would show the warning in every run of the role."""
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(root / ".ansible" / "collections"),
        "ANSIBLE_CONFIG": str(root / "ansible.cfg"),
    }
    names = [f"galaxyops.uwsgi.{role.name}" for role in ROLES]
    command = [str(Path(sys.executable).with_name("ansible-doc")), "--type", "role", *names]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert all(name.rpartition(".")[2].upper() in process.stdout.upper() for name in names)
    # Ansible 14 warns of a collection of its own.
    assert [line for line in process.stderr.splitlines() if "/ansible/_protomatter" not in line] == []


@each_role
def test_names_begin_with_the_name_of_the_role(role: Path) -> None:
    names = {*options_of(role), *defaults_of(role)}
    assert [name for name in sorted(names) if not f"{name}_".startswith(f"{role.name}_")] == []


@each_role
def test_every_option_tells_its_type_and_meaning(role: Path) -> None:
    incomplete = [
        name
        for name, option in every_option(options_of(role))
        if not option.get("description") or not option.get("type") or (option["type"] == "list" and not option.get("elements"))
    ]
    assert incomplete == [], "each needs a description, a type and, in a list, the type of its elements"


@each_role
def test_every_default_is_an_option(role: Path) -> None:
    assert sorted(set(defaults_of(role)) - set(options_of(role))) == []


@each_role
def test_options_and_defaults_agree(role: Path) -> None:
    defaults = defaults_of(role)
    wrong = []
    for name, option in options_of(role).items():
        if name not in defaults:
            if "default" in option:
                wrong.append(f"{name}: the specification has the default {option['default']!r}, defaults/main.yml has none")
        elif option.get("required"):
            wrong.append(f"{name}: is required, and yet has a default in defaults/main.yml")
        elif "default" not in option:
            # The documentation tools accept only a value of the option's type, which an expression is not.
            if not (is_expression(defaults[name]) and option["type"] not in STRINGS):
                wrong.append(f"{name}: the specification lacks the default {defaults[name]!r} of defaults/main.yml")
        elif (type(option["default"]), option["default"]) != (type(defaults[name]), defaults[name]):
            wrong.append(f"{name}: the default is {option['default']!r} in the specification, {defaults[name]!r} in defaults/main.yml")
    assert wrong == []
