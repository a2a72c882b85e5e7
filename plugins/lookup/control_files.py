# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the command that controls the processes of one instance."""

from __future__ import annotations

DOCUMENTATION = r"""
name: control_files
short_description: The files of the command that controls web processes or job handlers, and of the bridge to Galaxy
version_added: 1.0.0
description:
  - Lists the files of one of the commands C(<instance>-web) and C(<instance>-handlers), ready for the O(ignore:files) of
    M(galaxyops.uwsgi.file_set), or the package C(galaxy_wsgi) for the web processes of one instance.
  - This lookup is for the roles of this collection. Any release may change or remove it.
author:
  - Galaxy operators (@galaxyops)
options:
  _terms:
    description: The instance, and V(web) or V(handlers) for a command, or V(bridge) for C(galaxy_wsgi).
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Write the command galaxy-web
  galaxyops.uwsgi.file_set:
    files: "{{ query('galaxyops.uwsgi.control_files', 'galaxy', 'web') }}"
"""

RETURN = r"""
_list:
  description: The directories and files.
  type: list
  elements: dict
"""

from pathlib import Path
from typing import Any, Optional

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._mark import MARK

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "templates" / "control"
BRIDGE = ROOT / "roles" / "galaxy" / "files" / "galaxy_wsgi"
LAUNCHER = """\
#!/bin/sh
# Managed by Ansible (galaxyops.uwsgi): changes made here are lost. {command} --help tells what it does.
cd {library} && exec /usr/bin/python3 -B -m control {instance} {kind} "$@"
"""


def control_files(instance: str, kind: str) -> list[dict[str, Any]]:
    """The directories and files of one command, in an order in which they can be made."""
    command = f"/usr/local/sbin/{instance}-{kind}"
    library = f"/usr/local/lib/galaxyops/{instance}-{kind}"
    launcher = LAUNCHER.format(command=command, library=library, instance=instance, kind=kind)
    return [
        *({"path": path, "state": "directory", "mode": "0755"} for path in ("/usr/local/lib/galaxyops", library, f"{library}/control")),
        *({"path": f"{library}/control/{source.name}", "content": source.read_text(), "mode": "0644"} for source in sorted(SOURCE.glob("*.py"))),
        {"path": command, "content": launcher, "mark": MARK, "mode": "0755"},
    ]


def bridge_files(instance: str) -> list[dict[str, Any]]:
    """What the package that makes Galaxy a WSGI application, where a galaxy.yml is served, has beside the files of the command of web processes."""
    library = f"/usr/local/lib/galaxyops/{instance}-web"
    # A directory of its own, because every module beside the package would be one of Galaxy's too.
    directories = (f"{library}/python", f"{library}/python/{BRIDGE.name}")
    return [
        *({"path": path, "state": "directory", "mode": "0755"} for path in directories),
        *({"path": f"{directories[-1]}/{source.name}", "content": source.read_text(), "mode": "0644"} for source in sorted(BRIDGE.glob("*.py"))),
    ]


class LookupModule(LookupBase):  # type: ignore[misc]  # ansible-core is untyped
    """The lookup, as Ansible calls it."""

    def run(self, terms: list[str], variables: Optional[dict[str, Any]] = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return the files."""
        self.set_options(var_options=variables, direct=kwargs)
        if len(terms) != 2 or terms[1] not in ("web", "handlers", "bridge"):
            raise AnsibleLookupError(f"control_files takes an instance and web, handlers or bridge, not {terms}")
        return bridge_files(terms[0]) if terms[1] == "bridge" else control_files(*terms)
