#!/usr/bin/python
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say what a Galaxy that Paste serves would be in the options of the roles."""

from __future__ import annotations

DOCUMENTATION = r"""
module: paste_migration_info
short_description: Find out how Paste serves a Galaxy, and what that is in the options of the roles
version_added: 1.1.0
description:
  - Reads the servers in C(galaxy.ini), the handlers in its job configuration, and everything that supervisor, systemd and nginx read.
  - Returns the options of the roles that make the same of it with uWSGI, and what is left over then, each with its file and line.
  - Has an entry for each directive, option and variable of what a migration takes out, which says to which input it is carried over, why it is
    not needed, or what to do. What guards the site, serves somebody else or has no successor is a problem.
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
  supervisor_conf:
    description:
      - The main file of supervisor, which is read with everything it includes. Without it, C(supervisord.conf) in the directory above
        O(supervisor_dir), C(/etc/supervisor/supervisord.conf) and C(/etc/supervisord.conf) are read, as far as they exist.
    type: path
  unit_dirs:
    description:
      - Where systemd has its units. A unit in a later directory counts instead of one of the same name in an earlier directory.
    type: list
    elements: path
    default: [/lib/systemd/system, /usr/local/lib/systemd/system, /run/systemd/system, /etc/systemd/system]
  nginx_conf:
    description:
      - The main file of nginx. It is read with everything it includes, as C(nginx -T) prints it where that can be run. If nginx runs with
        another main file, that one is read.
    type: path
    default: /etc/nginx/nginx.conf
  nginx_dirs:
    description:
      - Directories with sites, to be read instead of O(nginx_conf).
    type: list
    elements: path
  leave_behind:
    description:
      - What is dropped on purpose, each as the file and the line that begin a problem in RV(problems), such as
        V(/etc/nginx/sites-enabled/galaxy:12). The line of a location stands for all lines in that location. RV(can_be_left) has those for which
        that is possible.
    type: list
    elements: str
    default: []
  known_inputs:
    description:
      - The names of the roles' inputs that the inventory sets. A problem that one of them settles is none.
    type: list
    elements: str
    default: []
  known:
    description:
      - What some inputs of the inventory say, without secrets.
    type: dict
    default: {}
    suboptions:
      nginx_proxy_location_snippet:
        description:
          - The input of this name. A directive that stands in it is carried over.
        type: str
      nginx_proxy_server_snippet:
        description:
          - The input of this name. A directive that stands in it is carried over.
        type: str
      uwsgi_environment:
        description:
          - The names of the variables in the input of this name.
        type: list
        elements: str
      job_handlers_environment:
        description:
          - The names of the variables in the input of this name.
        type: list
        elements: str
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
      description: One of V(filter), V(group), V(program), V(server), V(site), V(socket) and V(unit).
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
can_be_left:
  description: The places of the problems that O(leave_behind) can settle.
  returned: success
  type: list
  elements: str
  sample: ['/etc/nginx/sites-enabled/galaxy:12']
entries:
  description: What becomes of each directive, option and variable of the old set-up.
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
    name:
      description: The directive, option or variable.
      type: str
    verdict:
      description: One of V(carried over), V(not needed), V(note), V(problem) and V(left behind).
      type: str
    text:
      description: The input that it is carried over to, why it is not needed, or what to do.
      type: str
details:
  description: RV(entries) as lines for a person.
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

import dataclasses
import os
import pwd
import stat
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import (
    _galaxy,
    _galaxy_options,
    _galaxy_yml,
    _job_conf,
    _listeners,
    _managed_file,
    _paste_ini,
)
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _migration_host as on_host
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_migration as migration


def program_file(path: str, text: Optional[str]) -> dict[str, Any]:
    """A file of supervisor as M(galaxyops.uwsgi.file_set) takes it; the environment of a program may hold a secret."""
    if text is None:
        return {"path": path, "state": "absent", "sensitive": True}
    return {"path": path, "content": text, "mode": f"{stat.S_IMODE(os.stat(path).st_mode):04o}", "sensitive": True}


def decoded(content: Optional[bytes]) -> Optional[str]:
    """The text of a file, if there is one."""
    return None if content is None else _paste_ini.decode(content)


def read_host(params: dict[str, Any], reader: on_host.Reader, text: str) -> migration.Host:
    """Everything on the host that the plan is made of."""
    path = params["path"]
    directory = os.path.dirname(path)
    server_dir = params["server_dir"] or (os.path.dirname(directory) if os.path.basename(directory) == "config" else directory)
    owner = os.stat(path).st_uid
    try:
        user = pwd.getpwuid(owner).pw_name
    except KeyError as error:
        raise _managed_file.ManagedFileError(
            f"{path} belongs to user {owner}, who has no account on this host: give it to Galaxy's user (chown)"
        ) from error
    main, runs = on_host.nginx_main(params["nginx_conf"])
    nginx = on_host.nginx_files(reader, main, params["nginx_dirs"])
    known: dict[str, Any] = dict.fromkeys(params["known_inputs"], True)
    # An input that is set to nothing counts instead of what is found, too.
    known.update({name: value for name, value in params["known"].items() if value or (value is not None and name in known)})
    return migration.Host(
        path,
        text,
        server_dir,
        user,
        supervisor=on_host.supervisor_files(reader, params["supervisor_dir"], params["supervisor_conf"]),
        nginx=nginx.texts,
        nginx_roots=nginx.roots,
        nginx_directory=nginx.directory,
        nginx_runs=runs,
        units=on_host.unit_files(reader, params["unit_dirs"]),
        version=_galaxy.find_version(server_dir, ""),
        is_local=on_host.is_local,
        known=known,
        leave_behind=params["leave_behind"],
        read=lambda named: decoded(reader.read(named)),
    )


def run(params: dict[str, Any]) -> dict[str, Any]:
    """Look at the host and return the result."""
    path = params["path"]
    if _galaxy_yml.is_yaml(path):
        message = f"{path} is a galaxy.yml by its name, and the move begins with the galaxy.ini that Paste serves: name that file"
        raise _managed_file.ManagedFileError(message)
    reader = on_host.Reader((params["backup_dir"] or "").rstrip("/"))
    content = reader.read(path)
    if content is None:
        raise _managed_file.ManagedFileError(f"{path} does not exist: correct the path")
    text = _paste_ini.decode(content)
    host = read_host(params, reader, text)
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
    host = dataclasses.replace(host, server_dir=server_dir, job_conf=handling, version=version, references=references)
    processes = on_host.listening_processes(host, plan.ports)
    users = [on_host.user_of(process["pid"]) for process in processes]
    plan = migration.plan(dataclasses.replace(host, process_user=next(iter(users), "")))
    # A site is a link as a rule.
    site_files = sorted({*plan.sites, *map(os.path.realpath, plan.sites)})
    plan.problems += migration.name_problems(params["instance"], site_files, plan.rewritten)
    # Once the move has begun, the processes of the application are the new ones.
    if not os.path.exists(f"{reader.backup_dir}/processes.json"):
        plan.problems += on_host.process_problems(host, plan, processes, params["instance"])
    result = dataclasses.asdict(plan)
    files = {path, *plan.rewritten, *plan.sites, *([job_conf] if content is not None else [])}
    result["files"] = sorted({*files, *map(os.path.realpath, files)})
    result["report"] = [f"{leftover.path}:{leftover.line}: {leftover.name}: {leftover.action}" for leftover in plan.leftovers]
    result["details"] = [f"{entry.place}: {entry.name}: {entry.verdict}: {entry.text}" for entry in plan.entries]
    result["site_files"] = [{"path": site, "state": "absent"} for site in plan.sites]
    result["program_files"] = [program_file(program, text) for program, text in plan.rewritten.items()]
    result["app_section"] = _galaxy_options.application(text, path, read=host.read).section or "app:main"
    # Who that is cannot be seen everywhere, as in a container.
    result["listening"] = sorted({listener.port for listener in _listeners.read_listeners()} & set(plan.ports))
    result["processes"] = processes
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "server_dir": {"type": "path"},
            "supervisor_dir": {"type": "path", "default": "/etc/supervisor/conf.d"},
            "supervisor_conf": {"type": "path"},
            "unit_dirs": {"type": "list", "elements": "path", "default": list(on_host.UNIT_DIRS)},
            "nginx_conf": {"type": "path", "default": "/etc/nginx/nginx.conf"},
            "nginx_dirs": {"type": "list", "elements": "path"},
            "backup_dir": {"type": "path"},
            "instance": {"type": "str", "default": "galaxy"},
            "leave_behind": {"type": "list", "elements": "str", "default": []},
            "known_inputs": {"type": "list", "elements": "str", "default": []},
            "known": {
                "type": "dict",
                "default": {},
                "options": {
                    "nginx_proxy_location_snippet": {"type": "str"},
                    "nginx_proxy_server_snippet": {"type": "str"},
                    "uwsgi_environment": {"type": "list", "elements": "str"},
                    "job_handlers_environment": {"type": "list", "elements": "str"},
                },
            },
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
