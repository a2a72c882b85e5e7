#!/usr/bin/python
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say what a Galaxy that Paste serves would be in the options of the roles."""

from __future__ import annotations

DOCUMENTATION = r"""
module: paste_migration_info
short_description: Find out how Paste serves a Galaxy, and what that is in the options of the roles
version_added: 1.0.0
description:
  - Reads the servers in C(galaxy.ini), the handlers in its job configuration, and what supervisor and nginx know of them.
  - Returns the options of the roles that make the same of it with uWSGI, and what is left over then, each with its file and line.
  - Never changes anything.
author:
  - Galaxy operators (@galaxyops)
extends_documentation_fragment:
  - galaxyops.uwsgi._attributes
  - galaxyops.uwsgi._attributes.read_only
options:
  path:
    description:
      - The Paste Deploy file.
    type: path
    required: true
  instance:
    description:
      - The name that the roles are going to give to what they write. An old file of such a name is a problem.
    type: str
    default: galaxy
  server_dir:
    description:
      - The directory that the application runs in. Without it, that is the one that supervisor says, else that of O(path), or the one above if
        its name is C(config).
    type: path
  supervisor_dir:
    description:
      - Where supervisor has its programs.
    type: path
    default: /etc/supervisor/conf.d
  nginx_dirs:
    description:
      - Where nginx has its sites.
    type: list
    elements: path
    default: [/etc/nginx/sites-enabled, /etc/nginx/conf.d]
  backup_dir:
    description:
      - Where files were kept before a migration changed them. One that lies below it is read instead of the one in its place, so that what is
        returned is the same afterwards.
    type: path
seealso:
  - module: galaxyops.uwsgi.paste_check
"""

EXAMPLES = r"""
- name: See what a migration would do
  galaxyops.uwsgi.paste_migration_info:
    path: /home/galaxy/galaxy/config/galaxy.ini
  register: plan

- name: Show it
  ansible.builtin.debug:
    var: plan.inputs
"""

RETURN = r"""
inputs:
  description: The options of the roles, and their values.
  returned: success
  type: dict
  sample: {uwsgi_threads: 10, job_handlers: [{id: handler0, tags: []}]}
app_options:
  description: Options that the application needs besides.
  returned: success
  type: dict
  sample: {track_jobs_in_database: 'true'}
app_section:
  description: The section of the application.
  returned: success
  type: str
  sample: app:main
leftovers:
  description: What is not needed any more.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
    line:
      description: The line.
      type: int
    kind:
      description: One of V(filter), V(program), V(server), V(site) and V(socket).
      type: str
    name:
      description: What it is called there.
      type: str
    action:
      description: What becomes of it.
      type: str
notes:
  description: What a person should look at.
  returned: success
  type: list
  elements: str
problems:
  description: What a person has to change first.
  returned: success
  type: list
  elements: str
files:
  description: Every file that a migration changes or removes.
  returned: success
  type: list
  elements: str
rewritten:
  description: The files of supervisor as they are without the programs; null for one of which nothing is left.
  returned: success
  type: dict
report:
  description: RV(leftovers) as lines for a person.
  returned: success
  type: list
  elements: str
program_files:
  description: RV(rewritten) as M(galaxyops.uwsgi.file_set) takes it.
  returned: success
  type: list
  elements: dict
site_files:
  description: RV(sites) as M(galaxyops.uwsgi.file_set) takes them away.
  returned: success
  type: list
  elements: dict
sites:
  description: The files of nginx that are taken out.
  returned: success
  type: list
  elements: str
ports:
  description: The TCP ports that nobody listens to any more.
  returned: success
  type: list
  elements: int
listening:
  description: Those of RV(ports) that somebody listens to now.
  returned: success
  type: list
  elements: int
web_programs:
  description: The programs of supervisor that serve the site.
  returned: success
  type: list
  elements: str
handler_programs:
  description: The programs of supervisor that run jobs.
  returned: success
  type: list
  elements: str
groups:
  description: What supervisor calls the programs, which is the group they are in, if any.
  returned: success
  type: list
  elements: str
processes:
  description: Who listens to the ports now.
  returned: success
  type: list
  elements: dict
  contains:
    port:
      description: The port.
      type: int
    pid:
      description: The process.
      type: int
    unit:
      description: The unit of systemd that the process belongs to.
      type: str
    command:
      description: The command line.
      type: list
      elements: str
    directory:
      description: The directory that it runs in.
      type: str
"""

import contextlib
import dataclasses
import glob
import os
import pwd
import re
import stat
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy, _job_conf, _listeners, _managed_file, _paste_ini
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_migration as migration

OURS = "(galaxyops.uwsgi."
# Not what a person who was logged in, or a job of cron, has left running: that is a process of its own.
_SERVICE = re.compile(r"/(?!cron\.|sshd?\.|user@)([^/\n]+\.service)$", re.MULTILINE)


def processes(host: migration.Host, ports: list[int]) -> list[dict[str, Any]]:
    """Who listens to the ports and serves this application, and how it was started."""
    found = {listener.inode: listener.port for listener in _listeners.read_listeners() if listener.port in ports}
    seen: dict[int, dict[str, Any]] = {}
    for inode, owners in _listeners.read_owners(found).items():
        for process in owners:
            with contextlib.suppress(OSError):
                command = _read(f"/proc/{process.pid}/cmdline").rstrip("\0").split("\0")
                directory = os.readlink(f"/proc/{process.pid}/cwd")
                units = _SERVICE.findall(_read(f"/proc/{process.pid}/cgroup"))
                if migration.is_about(host, " ".join(command), directory):
                    seen[process.pid] = {
                        "pid": process.pid,
                        "port": found[inode],
                        "unit": units[-1] if units else "",
                        "command": command,
                        "directory": directory,
                    }
    return list(seen.values())


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()


class Reader:
    """The files of the host, as they were before a migration."""

    def __init__(self, backup_dir: str) -> None:
        self.backup_dir = backup_dir

    def read(self, path: str) -> Optional[bytes]:
        """The content of a file, or None if there is none."""
        kept = _managed_file.read(self.backup_dir + path) if self.backup_dir else None
        return _managed_file.read(path) if kept is None else kept

    def texts(self, pattern: str) -> dict[str, str]:
        """The files that match, without those of this collection."""
        paths = glob.glob(pattern)
        if self.backup_dir:
            paths += [path[len(self.backup_dir) :] for path in glob.glob(glob.escape(self.backup_dir) + pattern)]
        contents = {path: self.read(path) for path in sorted(set(paths)) if not os.path.isdir(path)}
        texts = {path: _paste_ini.decode(content) for path, content in contents.items() if content is not None}
        return {path: text for path, text in texts.items() if OURS not in text}


def program_file(path: str, text: Optional[str]) -> dict[str, Any]:
    """A file of supervisor as M(galaxyops.uwsgi.file_set) takes it; the environment of a program may hold a secret."""
    if text is None:
        return {"path": path, "state": "absent", "sensitive": True}
    return {"path": path, "content": text, "mode": f"{stat.S_IMODE(os.stat(path).st_mode):04o}", "sensitive": True}


def run(params: dict[str, Any]) -> dict[str, Any]:
    """Look at the host and return the result."""
    path = params["path"]
    reader = Reader((params["backup_dir"] or "").rstrip("/"))
    content = reader.read(path)
    if content is None:
        raise _managed_file.ManagedFileError(f"{path} does not exist: correct the path")
    text = _paste_ini.decode(content)
    directory = os.path.dirname(path)
    server_dir = params["server_dir"] or (os.path.dirname(directory) if os.path.basename(directory) == "config" else directory)
    sites: dict[str, str] = {}
    for place in params["nginx_dirs"]:
        sites.update(reader.texts(os.path.join(glob.escape(place), "*.conf" if place.endswith("conf.d") else "*")))
    supervisor = reader.texts(os.path.join(glob.escape(params["supervisor_dir"]), "*.conf"))
    owner = os.stat(path).st_uid
    try:
        user = pwd.getpwuid(owner).pw_name
    except KeyError as error:
        raise _managed_file.ManagedFileError(f"{path} belongs to user {owner}, who has no account on this host: give it to Galaxy's user (chown)") from error
    host = migration.Host(path, text, server_dir, user, None, supervisor, sites, _galaxy.find_version(server_dir, ""))
    plan = migration.plan(host)
    # Which file that is, and where the program runs, is known only now.
    job_conf = plan.inputs["job_handlers_config_file"]
    content = reader.read(job_conf)
    server_dir = params["server_dir"] or plan.inputs["galaxy_server_dir"]
    version = _galaxy.find_version(server_dir, plan.inputs.get("galaxy_venv_dir", ""))
    handling, references = None, []
    if content is not None:
        kind = _job_conf.file_format(job_conf)
        handling, references = _job_conf.read(content, job_conf, kind), _job_conf.references(content, job_conf, kind)[0]
    plan = migration.plan(dataclasses.replace(host, server_dir=server_dir, job_conf=handling, version=version, references=references))
    # A site is a link as a rule.
    site_files = sorted({*plan.sites, *map(os.path.realpath, plan.sites)})
    plan.problems += migration.name_problems(params["instance"], site_files, plan.rewritten)
    result = dataclasses.asdict(plan)
    files = {path, *plan.rewritten, *plan.sites, *([job_conf] if content is not None else [])}
    result["files"] = sorted({*files, *map(os.path.realpath, files)})
    result["report"] = [f"{leftover.path}:{leftover.line}: {leftover.name}: {leftover.action}" for leftover in plan.leftovers]
    result["site_files"] = [{"path": site, "state": "absent"} for site in plan.sites]
    result["program_files"] = [program_file(program, text) for program, text in plan.rewritten.items()]
    result["app_section"] = _paste_ini.application(text, path).section or "app:main"
    # Who that is cannot be seen everywhere, as in a container.
    result["listening"] = sorted({listener.port for listener in _listeners.read_listeners()} & set(plan.ports))
    result["processes"] = processes(dataclasses.replace(host, server_dir=server_dir), plan.ports)
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "server_dir": {"type": "path"},
            "supervisor_dir": {"type": "path", "default": "/etc/supervisor/conf.d"},
            "nginx_dirs": {"type": "list", "elements": "path", "default": ["/etc/nginx/sites-enabled", "/etc/nginx/conf.d"]},
            "backup_dir": {"type": "path"},
            "instance": {"type": "str", "default": "galaxy"},
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(changed=False, **run(module.params))
    except _paste_ini.PasteIniError as error:
        module.fail_json(msg=str(error.finding(module.params["path"])))
    except _job_conf.JobConfError as error:
        module.fail_json(msg="\n".join(map(str, error.findings)))
    except _managed_file.ManagedFileError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=_managed_file.describe_os_error("read", str(error.filename), error))


if __name__ == "__main__":
    main()
