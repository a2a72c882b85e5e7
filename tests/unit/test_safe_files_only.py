# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Code that runs as root changes and reads files by the functions of C(_safe_files) alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
CODE = ("plugins/modules", "plugins/module_utils", "plugins/module_utils/_control")

# What a Place of the safe module is called
PLACES = ("safe_files", "place", "spare", "copy", "candidate", "os")

# What opens, reads or changes a file by its name. Looking at a name, as os.stat and os.path.exists do, harms nobody.
FUNCTIONS: dict[str, set[str]] = {
    "os": {
        *("open", "chmod", "chown", "lchown", "link", "makedirs", "mkdir", "mkfifo", "mknod", "remove", "removedirs", "rename", "renames"),
        *("replace", "rmdir", "symlink", "truncate", "unlink", "utime", "fwalk"),
    },
    "shutil": {"copy", "copy2", "copyfile", "copymode", "copystat", "copytree", "chown", "move", "rmtree"},
    "tempfile": {"mkstemp", "mkdtemp", "NamedTemporaryFile", "TemporaryDirectory", "TemporaryFile"},
}
METHODS = {
    *("read_text", "read_bytes", "write_text", "write_bytes", "touch", "unlink", "chmod", "mkdir", "rmdir", "symlink_to", "hardlink_to", "link_to"),
    *("atomic_move", "backup_local", "preserved_copy", "set_fs_attributes_if_different", "set_file_attributes_if_different", "set_mode_if_different"),
    *("set_owner_if_different", "set_group_if_different", "set_context_if_different", "set_default_selinux_context", "set_attributes_if_different"),
}
# The functions of the only module that may
OURS = {"_safe_files.py"}

# The functions that may too, by the reason.
ALLOWED = {
    "only files of the kernel, below /proc": {
        "plugins/module_utils/_listeners.py": ["read_listeners", "longest_queue", "read_owners"],
        "plugins/module_utils/_uwsgi_stats.py": ["sizes", "ask"],
        "plugins/module_utils/_control/asgi.py": ["title", "Asgi.connections"],
        "plugins/module_utils/_processes.py": ["show"],
        "plugins/module_utils/_control/kernel.py": ["children", "proportional_memory", "available_memory"],
        "plugins/module_utils/_control/listener_pool.py": ["_command_lines"],
    },
    "only where nobody but root can write": {
        "plugins/module_utils/_managed_file.py": ["_set_others"],
        "plugins/module_utils/_mark.py": ["first_text"],
        "plugins/module_utils/_nginx.py": ["_read", "Configuration.fingerprint", "Nginx.record"],
        "plugins/module_utils/_control/control.py": ["Control.remove"],
        "plugins/module_utils/_control/handlers.py": ["Handlers.own_environment", "Handlers.last_settings"],
        "plugins/module_utils/_control/known_good.py": ["KnownGood.remove"],
        "plugins/module_utils/_control/lock.py": ["_open"],
        "plugins/module_utils/_control/logs.py": ["LogService.remove"],
        "plugins/module_utils/_control/supervisor.py": ["Supervisor.start", "Supervisor.says"],
        "plugins/module_utils/_control/handover.py": ["prove"],
        "plugins/module_utils/_control/slots.py": ["Slots.proven"],
        "plugins/module_utils/_control/web.py": ["Web.remove"],
        "plugins/module_utils/_control/listener.py": ["give_socket", "Listener.group", "Listener._wait", "Listener.share"],
        "plugins/module_utils/_control/listener_systemd.py": [
            *["SystemdListener._definition", "SystemdListener._is_as_defined", "SystemdListener.record"],
            *["SystemdListener.close_others", "SystemdListener.close"],
        ],
        "plugins/module_utils/_control/listener_pool.py": ["PoolListener._sweep", "PoolListener.become", "PoolListener.close"],
    },
    "relative to a descriptor, and through no link": {
        "plugins/module_utils/_control/logs.py": ["LogFile._open", "LogDirectory.make_ready", "LogDirectory._give", "LogDirectory._take_cursor"],
    },
    "only as the user who copies the log, in a directory of that user": {"plugins/module_utils/_control/logs.py": ["Copy.cursor", "Copy.write"]},
    "only /dev/null": {"plugins/module_utils/_control/errors.py": ["silence"]},
    "only as the application's user": {
        "plugins/module_utils/_control/command_line.py": ["_emperor"],
        "plugins/module_utils/_control/slots.py": ["Slots.become"],
    },
}


def name_of(node: ast.expr) -> str:
    """The dotted name of what is called."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return ""


def is_direct(call: ast.Call) -> bool:
    """Whether a call opens, reads or changes a file by its name."""
    if isinstance(call.func, ast.Name):
        return call.func.id == "open"
    if not isinstance(call.func, ast.Attribute):
        return False
    owner, method = name_of(call.func.value), call.func.attr
    if owner in FUNCTIONS:
        return method in FUNCTIONS[owner]
    # A file of pathlib is opened with a mode, or with none.
    if method == "open":
        return owner.endswith("path")
    return method in METHODS and owner not in PLACES


def direct_accesses(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, int]]:
    """The functions that open, read or change a file by its name, and the lines."""
    for node in ast.iter_child_nodes(tree):
        name = f"{inside}.{node.name}".lstrip(".") if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else inside
        if isinstance(node, ast.Call) and is_direct(node):
            yield inside, node.lineno
        yield from direct_accesses(node, name)


def test_root_touches_files_by_the_safe_functions_alone() -> None:
    found: dict[tuple[str, str], list[int]] = {}
    for directory in CODE:
        for path in sorted((TOP / directory).glob("*.py")):
            if path.name not in OURS and not path.is_symlink():
                for function, line in direct_accesses(ast.parse(path.read_text())):
                    found.setdefault((f"{directory}/{path.name}", function), []).append(line)
    allowed = {(path, function) for files in ALLOWED.values() for path, functions in files.items() for function in functions}
    new = [f"{path}:{lines[0]}: {function}" for (path, function), lines in found.items() if (path, function) not in allowed]
    assert not new, "open, read or change files by the functions of _safe_files:\n" + "\n".join(new)
    gone = [f"{path}: {function}" for path, function in sorted(allowed) if (path, function) not in found]
    assert not gone, "remove what is no longer needed from ALLOWED:\n" + "\n".join(gone)
