# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules of the program import those below them alone, and no file is too long to be read at once."""

from __future__ import annotations

import ast
from pathlib import Path

from ansible_collections.galaxyops.uwsgi.plugins.lookup.control_files import MODULE_UTILS, SHARED

# From the bottom to the top; the modules of one line do not know each other.
LAYERS = (
    ("errors", "config", "environment", "log_tail", "database"),
    ("paths", "kernel", "fingerprint", "command_line", "lock"),
    ("accounts", "nginx", "process", "known_good", "probe"),
    ("manager", "asgi", "jobs"),
    ("systemd",),
    ("supervisor", "logs", "listener"),
    ("managers", "listener_systemd"),
    ("listener_pool", "control"),
    ("slots", "handlers"),
    ("handover",),
    ("web",),
    ("__main__",),
)
LONGEST = 450


def modules() -> dict[str, Path]:
    return {path.stem: path for path in (MODULE_UTILS / "_control").glob("*.py") if path.stem != "__init__"}


def imported(path: Path) -> set[tuple[int, str]]:
    """The modules of the package, and those beside it, that a module imports: their level and name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            found |= {
                (node.level, name) for name in ([node.module] if node.module else [alias.name for alias in node.names])
            }
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not [name for name in names if name.startswith("ansible")], (
                f"{path} needs Ansible, which hosts do not have"
            )
    return found


def test_every_module_has_a_layer() -> None:
    assert sorted(name for layer in LAYERS for name in layer) == sorted(modules())


def test_imports_run_down() -> None:
    below: set[str] = set()
    for layer in LAYERS:
        for name in layer:
            up = {module for level, module in imported(modules()[name]) if level == 1} - below
            assert not up, f"{name} imports {', '.join(sorted(up))}, which is not below it"
        below |= {*layer}


def test_all_that_is_imported_from_beside_the_package_is_installed_with_it() -> None:
    needed = {module for path in modules().values() for level, module in imported(path) if level == 2}
    needed |= {module for name in SHARED for level, module in imported(MODULE_UTILS / f"{name}.py") if level == 1}
    assert needed == set(SHARED)


def test_no_file_is_too_long() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in modules().items()}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}
