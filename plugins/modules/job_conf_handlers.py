#!/usr/bin/python
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Register job handlers in Galaxy's job configuration."""

from __future__ import annotations

DOCUMENTATION = r"""
module: job_conf_handlers
short_description: Register job handlers in Galaxy's job configuration
version_added: 1.0.0
description:
  - Makes the C(<handlers>) element of a C(job_conf.xml), or the C(handling) mapping of a C(job_conf.yml), say what is asked for.
  - Everything else in the file survives byte for byte, with its comments, indentation, line endings and encoding.
    Inside the element only what differs is changed. A handler that is already there and means the same is left as it is written.
  - Comments inside the element stay. The exceptions are comments inside a handler or a value that is removed,
    comments between the items of a YAML list that is changed, and comments inside a YAML mapping in C({ }) that is changed, which becomes lines of its own.
  - Attributes and keys that the module does not know, such as C(environment) of a handler, stay.
  - A file that is no job configuration, such as C(galaxy.yml), and one with a misspelled key for handlers, such as C(assign_with) in YAML, are refused.
  - Runners, destinations and environments that the file names and does not have are warned about.
  - A malformed file, a file with duplicate handlers, and a YAML file with anchors, aliases or type tags inside C(handling) are refused, and nothing is written.
author:
  - Galaxy operators (@galaxyops)
requirements:
  - PyYAML on the managed host, for YAML files only (Debian package C(python3-yaml))
extends_documentation_fragment:
  - galaxyops.uwsgi._attributes
  - ansible.builtin.files
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Keys and passwords among the parameters, and the values of environment variables, are masked on both sides. The module changes none of them.
  idempotent:
    support: full
options:
  path:
    description: The job configuration file on the managed host.
    type: path
    required: true
  format:
    description:
      - The format of the file.
      - With V(auto), a name with C(.xml) in it is XML, as it is for Galaxy, and a name that ends in C(.yml) or C(.yaml) is YAML.
    type: str
    choices: [auto, xml, yaml]
    default: auto
  state:
    description:
      - With V(present), the handlers and settings are made to be there.
      - With V(absent), the handlers of O(handlers) are removed, and the whole element with the last of them. An element that was in the file
        before the first handler, empty or with settings, is as it was then, and so is a setting that had another value. A comment in it notes what it
        looked like, so do not remove the comment.
      - With V(absent), each of O(assign_with), O(default), O(max_grab) and O(ready_window_size) that is given, and that the file has with this value, is
        removed too. If nothing of what is given is in the file, nothing changes.
      - With V(absent) and neither O(handlers) nor a setting, or with O(purge=true), the whole element is removed at once. It need not be readable for that.
        With an empty list of O(handlers) and no setting there is nothing to remove, and nothing changes.
        When what is left is the minimal file that this module creates, the file is removed too.
    type: str
    choices: [present, absent]
    default: present
  handlers:
    description:
      - The static handlers. Leave it empty, or out, for dynamic handlers, which attach themselves to a pool.
      - A listed handler gets exactly these tags and plugins.
    type: list
    elements: dict
    suboptions:
      id:
        description: The id of the handler, which is the C(--server-name) of its process. Letters, digits, V(_), V(.) and V(-).
        type: str
        required: true
      tags:
        description: Tags that tools and O(default) can refer to. A handler without tags takes the jobs that are assigned to none.
        type: list
        elements: str
        default: []
      plugins:
        description: Runner plugins that this handler is limited to. Without any it loads them all.
        type: list
        elements: str
        default: []
  assign_with:
    description:
      - How jobs are assigned to handlers, tried in this order. In YAML this is the key C(assign).
      - Galaxy's own default differs by version and may run jobs in the web processes, so say it.
    type: list
    elements: str
    choices: [db-self, db-preassign, db-transaction-isolation, db-skip-locked, mem-self, uwsgi-mule-message]
  default:
    description: Id or tag of the handlers for jobs that are assigned to none.
    type: str
  max_grab:
    description: How many jobs a handler takes at once at most, with V(db-skip-locked) and V(db-transaction-isolation).
    type: int
  ready_window_size:
    description: How many ready jobs of each user a handler looks at in one pass. Galaxy reads it from release 21.05.
    type: int
  purge:
    description:
      - Whether what is in the element and not asked for is removed. That is handlers not in O(handlers),
        and the settings of O(assign_with), O(default), O(max_grab) and O(ready_window_size) where they are not given.
    type: bool
    default: false
  create:
    description: Whether a file that does not exist is created, as a minimal configuration that runs jobs on the host itself.
    type: bool
    default: true
  local_runner:
    description:
      - The class that runs jobs on the host itself, as C(module:class), in a file that this module creates or has created
        and nobody else has changed since. Other files keep their runner plugins as they are.
    type: str
    default: galaxy.jobs.runners.local:LocalJobRunner
  backup:
    description: Whether to keep a copy of the old file beside it.
    type: bool
    default: false
  validate:
    description:
      - A command that checks the new file before it replaces the old one, with C(%s) for its path.
      - Where others than root can write to the directory of the file, the new file is in a directory of root until then, so that nobody can
        exchange the file meanwhile.
    type: str
seealso:
  - name: Galaxy's guide to scaling
    description: How jobs are assigned to handlers.
    link: https://docs.galaxyproject.org/en/latest/admin/scaling.html
"""

EXAMPLES = r"""
- name: Register two static handlers
  galaxyops.uwsgi.job_conf_handlers:
    path: /srv/galaxy/config/job_conf.xml
    handlers:
      - id: handler0
        tags: [handlers]
      - id: handler1
        tags: [handlers]
    assign_with: [db-preassign]
    default: handlers

- name: Make these the only handlers, each taking a few jobs at a time
  galaxyops.uwsgi.job_conf_handlers:
    path: /srv/galaxy/config/job_conf.yml
    handlers:
      - id: handler0
      - id: handler1
      - id: cluster0
        tags: [cluster]
        plugins: [slurm]
    assign_with: [db-skip-locked]
    max_grab: 8
    purge: true
    backup: true

- name: Take handler1 out
  galaxyops.uwsgi.job_conf_handlers:
    path: /srv/galaxy/config/job_conf.xml
    handlers:
      - id: handler1
    state: absent
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
  sample: /srv/galaxy/config/job_conf.xml
handlers:
  description: The ids of the handlers that are registered now, those of others included.
  returned: success
  type: list
  elements: str
  sample: [handler0, handler1]
removed:
  description: The ids of the handlers that were removed.
  returned: success
  type: list
  elements: str
  sample: [handler2]
runners:
  description: The runner plugins that are configured.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The id of the plugin.
      type: str
      sample: local
    load:
      description: The class that is loaded.
      type: str
      sample: galaxy.jobs.runners.local:LocalJobRunner
    ends_with_handler:
      description: Whether its jobs end with the process of their handler, as those of Galaxy's own local runner do.
      type: bool
      sample: true
backup_file:
  description: The copy of the old file.
  returned: changed and O(backup=true) and the file existed
  type: str
  sample: /srv/galaxy/config/job_conf.xml.2026-01-01@12:00:00~
"""

from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _job_conf, _managed_file
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._yaml_text import YAML_IMPORT_ERROR


def wanted(params: dict[str, Any]) -> _job_conf.Handling:
    """What the module's parameters ask for; an empty value asks for nothing."""
    return _job_conf.Handling(
        handlers=tuple(_job_conf.Handler(handler["id"], tuple(handler["tags"]), tuple(handler["plugins"])) for handler in params["handlers"] or ()),
        assign_with=tuple(params["assign_with"] or ()) or None,
        default=params["default"] or None,
        max_grab=params["max_grab"],
        ready_window_size=params["ready_window_size"],
    )


def run(module: AnsibleModule) -> dict[str, Any]:
    """Change the file as asked and return the result."""
    params = module.params
    path = params["path"]
    kind = _job_conf.file_format(path, params["format"])
    if kind == "yaml" and YAML_IMPORT_ERROR:
        message = missing_required_lib("PyYAML", reason="to read a YAML job configuration (package python3-yaml)")
        module.fail_json(msg=message, exception=YAML_IMPORT_ERROR)
    before = _managed_file.read(path)
    if params["state"] == "absent":
        settings = replace(wanted(params), handlers=())
        ids = None if params["handlers"] is None else [handler["id"] for handler in params["handlers"]]
        change = _job_conf.absent(before, path, kind, ids, params["purge"], settings)
    else:
        if before is None and not params["create"]:
            raise _managed_file.ManagedFileError(f"{path} does not exist: create it, or allow this module to with create=true")
        change = _job_conf.present(before, path, kind, wanted(params), params["purge"], params["local_runner"])
    result = _managed_file.replace(module, path, before, change.content, backup=params["backup"], validate=params["validate"], mask_diff=_job_conf.mask_diff)
    for finding in _job_conf.name_problems(change.content, path, kind):
        module.warn(str(finding))
    runners = [
        {"id": runner.id, "load": runner.load, "ends_with_handler": runner.ends_with_handler}
        for runner in _job_conf.runners(change.content, path, kind)
    ]
    return {**result, "path": path, "handlers": list(change.handlers), "removed": list(change.removed), "runners": runners}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "format": {"type": "str", "choices": ["auto", "xml", "yaml"], "default": "auto"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "handlers": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "id": {"type": "str", "required": True},
                    "tags": {"type": "list", "elements": "str", "default": []},
                    "plugins": {"type": "list", "elements": "str", "default": []},
                },
            },
            "assign_with": {"type": "list", "elements": "str", "choices": list(_job_conf.ASSIGNMENT_METHODS)},
            "default": {"type": "str"},
            "max_grab": {"type": "int"},
            "ready_window_size": {"type": "int"},
            "purge": {"type": "bool", "default": False},
            "create": {"type": "bool", "default": True},
            "local_runner": {"type": "str", "default": _job_conf.LOCAL_RUNNER},
            "backup": {"type": "bool", "default": False},
            "validate": {"type": "str"},
        },
        add_file_common_args=True,
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except (_job_conf.JobConfError, _managed_file.ManagedFileError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=_managed_file.describe_os_error("change", module.params["path"], error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
