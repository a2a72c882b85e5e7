#!/usr/bin/env python
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print a template, or an expression, as a role renders it, without a host.

    tools/render.py nginx_proxy site.conf.j2 -e nginx_proxy_prefix=/galaxy
    tools/render.py uwsgi 'systemd/web@.service.j2' -e uwsgi_instance=training
    tools/render.py uwsgi systemd/web.socket.j2 -e '{"__uwsgi_socket": "{{ __uwsgi_plan.sockets | first }}"}'
    tools/render.py uwsgi '{{ __uwsgi_plan.configuration }}'

A template is looked for in the role and then in templates/. The facts are those of a Debian 12 with systemd and two cores. What preflight
finds on a host is missing, so a variable that comes from there has to be given with -e.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
FACTS = {
    "all_ipv6_addresses": [],
    "distribution": "Debian",
    "distribution_major_version": "12",
    "distribution_version": "12.5",
    "os_family": "Debian",
    "processor_vcpus": 2,
    "service_mgr": "systemd",
}


class RenderError(Exception):
    """A template cannot be rendered; the message says why."""


def find(role: str, template: str) -> Path:
    """The file that a name in a role stands for."""
    places = [TOP / "roles" / role / "templates" / template, TOP / "templates" / template]
    for path in places:
        if path.is_file():
            return path
    raise RenderError(f"there is no template {template}, neither in {places[0].parent.relative_to(TOP)} nor in {places[1].parent.relative_to(TOP)}")


def render(role: str, template: str, variables: Sequence[str] = ()) -> str:
    """The text of a template with the defaults of a role and these variables, each as ansible-playbook takes it with -e."""
    top = TOP / "roles" / role
    if not top.is_dir():
        raise RenderError(f"there is no role {role}: write one of {', '.join(sorted(path.name for path in TOP.glob('roles/[!.]*')))}")
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        if "{{" in template:
            source = work / "expression.j2"
            source.write_text(f"{template}\n")
        else:
            source = find(role, template)
        plan = top / "tasks" / "plan.yml"
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars_files": [str(path) for path in (top / "defaults" / "main.yml", top / "vars" / "main.yml") if path.exists()],
            "vars": {"ansible_facts": FACTS, "ansible_python_interpreter": sys.executable, "role_path": str(top)},
            # The plan of the role, where it has one.
            "tasks": [
                *([{"ansible.builtin.include_tasks": str(plan)}] if plan.exists() else []),
                {"ansible.builtin.template": {"src": str(source), "dest": str(work / "rendered"), "mode": "0600"}},
            ],
        }
        (work / "play.yml").write_text(json.dumps([play]))
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "--inventory", "localhost,", str(work / "play.yml")]
        environment: dict[str, Any] = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".ansible" / "collections"),
            "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"),
            "ANSIBLE_FORCE_COLOR": "0",
        }
        given = [argument for variable in variables for argument in ("--extra-vars", variable)]
        process = subprocess.run([*command, *given], env=environment, capture_output=True, text=True, check=False)
        if process.returncode != 0:
            raise RenderError(process.stdout + process.stderr)
        return (work / "rendered").read_text()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one template."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", help="such as nginx_proxy")
    parser.add_argument("template", help="such as site.conf.j2, or an expression")
    parser.add_argument("-e", "--extra-vars", action="append", default=[], metavar="NAME=VALUE", help="an input, as ansible-playbook takes it")
    options = parser.parse_args(arguments)
    try:
        sys.stdout.write(render(options.role, options.template, options.extra_vars))
    except RenderError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
