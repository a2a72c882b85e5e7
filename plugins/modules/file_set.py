#!/usr/bin/python
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: file_set
short_description: Write a set of files, directories and links, all of them or none
version_added: 1.0.0
description:
  - Writes small files, directories and symbolic links that make sense only together, such as an nginx site and the link
    that enables it, or the units of a service. In the end either everything is in place and has passed O(validate), or
    everything is as it was before, to the owner and mode.
  - All that can be known to be wrong beforehand (an unknown owner, a missing directory, a directory where a file shall be)
    is reported at once, before anything is written.
  - Each file is replaced in one step, so that no program ever reads half of one.
author:
  - Galaxy operators (@galaxyops)
extends_documentation_fragment:
  - galaxyops.uwsgi._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
  action:
    description: Runs partly on the controller.
    support: full
options:
  files:
    description:
      - The files, directories and links, in the order in which they are to be made. A directory comes before what lies in it;
        one to be removed comes after what lies in it.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description:
          - The absolute path.
          - With O(files[].state=file) or O(files[].state=directory), a path that is a symbolic link stands for what it points to.
        type: path
        required: true
      state:
        description:
          - V(file), a file with the content of O(files[].content). The directory that it lies in must exist, or be listed before it.
          - V(directory), a directory; the one that it lies in must exist, or be listed before it.
          - V(link), a symbolic link to O(files[].src). It may replace another link, never a file or a directory.
          - V(absent), nothing; the other options are ignored. A link is removed, not what it points to. A directory is
            removed only when it is empty; otherwise it stays and is returned in RV(kept). In the path C(*) stands for any characters
            but C(/), and not for a name that is hidden; what such a path matches stays if it is listed itself.
          - Devices, sockets and pipes are never replaced and never removed.
        type: str
        choices: [file, directory, link, absent]
        default: file
      content:
        description:
          - The text of the file, for O(files[].state=file) only; either this or O(files[].template) is required there. It is written as it
            is, in UTF-8.
          - Anything else than text is refused. Where a template yields data, for example a list, end it with C(| string).
        type: raw
      template:
        description:
          - A template on the controller that yields the text of the file, instead of O(files[].content). It is looked for as
            M(ansible.builtin.template) does, in the C(templates) of a role first; what it includes is looked for beside it.
        type: path
      template_vars:
        description: Variables for O(files[].template), laid over those that the task has.
        type: dict
      value_from:
        description:
          - An option of a Paste Deploy file or a C(galaxy.yml) on the host, whose value takes the place of V(@value@) in O(files[].content). So a
            secret of the host gets into another file without leaving the host. Set O(files[].sensitive) too.
          - In check mode the option may be missing, because an earlier task is going to set it.
        type: dict
        suboptions:
          path:
            description: The Paste Deploy file, or the C(galaxy.yml).
            type: path
            required: true
          section:
            description: The section of the option, C(app:main) for Galaxy's own ones in a C(galaxy.yml) too.
            type: str
            required: true
          option:
            description: The name of the option.
            type: str
            required: true
      edits:
        description:
          - Changes to a file that is there and mostly somebody else's, instead of O(files[].content). They are made one after the other, and leave every
            other byte as it is.
          - In check mode the file may be missing, because an earlier task is going to make it.
        type: list
        elements: dict
        suboptions:
          regexp:
            description: A regular expression of Python. C(^) and C($) match at the beginning and end of each line. Set O(files[].edits[].replace) too.
            type: str
          replace:
            description: What takes the place of each match. C(\\1) stands for a group.
            type: str
          directive:
            description:
              - A directive of nginx, instead of O(files[].edits[].regexp). Where it stands on a line of its own, its value gives way to
                O(files[].edits[].value), and the line keeps the former value in a comment. Set O(files[].edits[].note) too.
            type: str
          value:
            description: The value of O(files[].edits[].directive). Without a value the directive gets its former one back.
            type: str
          note:
            description: The comment before the former value of O(files[].edits[].directive), such as V(# my role, instead of).
            type: str
          keep:
            description: Whether the first word of the former value stays, with O(files[].edits[].value) behind it.
            type: bool
            default: false
          below:
            description: If this is set, only a number below this one gives way, and only where no comment follows it.
            type: int
            default: 0
      src:
        description: What the link points to, for O(files[].state=link) only and required there. It does not have to exist.
        type: str
      owner:
        description: The owner, by name or number, of a file or directory. Without it that of an existing one stays.
        type: str
      group:
        description: The group, by name or number, of a file or directory. Without it that of an existing one stays.
        type: str
      mode:
        description:
          - The mode of a file or directory, octal in quotes (V('0640')) or symbolic (V(u=rw,g=r,o=)).
          - Without it that of an existing one stays, and a new one gets what the umask leaves; a new O(files[].sensitive) file gets V('0600').
        type: raw
      force:
        description: With V(false), the content of an existing file, or the target of an existing link, is left alone. Owner, group and mode are still applied.
        type: bool
        default: true
      sensitive:
        description: Whether the content is a secret. Then the diff says only that it differs, and it is blotted out of the output of O(validate).
        type: bool
        default: false
      mark:
        description:
          - A word that the first lines of the file have, such as the name of the role that writes it. A file that is there and lacks the
            word is somebody else's. Such a file is never overwritten, which is an error, and never removed, in which case it is returned in RV(kept).
          - A link is somebody else's when the file that it leads to lacks the word.
        type: str
        default: ''
  validate:
    description:
      - A command that checks the outcome, such as C(nginx -t). It runs without a shell once everything is in place, and only
        when something has changed; never in check mode.
      - When it fails, everything is put back as it was, and the module fails with the output of the command.
    type: str
  backup:
    description: Whether to keep a copy, with the date in its name, of every file that is replaced or removed.
    type: bool
    default: false
notes:
  - The contents go neither to the system log nor into the recorded invocation, whether they are O(files[].sensitive) or not.
  - During the run what is replaced or removed lies beside its place under a hidden name ending in C(~). Only a module that is
    killed outright, or a machine that loses power, leaves it there.
  - In check mode an owner, a group or a directory that does not exist yet is taken to be made by an earlier task.
"""

EXAMPLES = r"""
- name: Write an nginx site and enable it, or leave nginx as it is
  galaxyops.uwsgi.file_set:
    files:
      - path: /etc/nginx/sites-available/galaxy
        template: site.conf.j2
        owner: root
        group: root
        mode: "0644"
      - path: /etc/nginx/sites-enabled/galaxy
        state: link
        src: /etc/nginx/sites-available/galaxy
      - path: /etc/nginx/sites-enabled/default
        state: absent
    validate: nginx -t

- name: Write a service with its directory and its secret
  galaxyops.uwsgi.file_set:
    files:
      - path: /etc/galaxy
        state: directory
        owner: root
        group: galaxy
        mode: "0750"
      - path: /etc/galaxy/environment
        content: |
          GALAXY_CONFIG_OVERRIDE_ID_SECRET={{ id_secret }}
        group: galaxy
        mode: "0640"
        sensitive: true
      - path: /etc/systemd/system/galaxy-web.service
        template: web.service.j2
        mode: "0644"
    validate: systemd-analyze verify /etc/systemd/system/galaxy-web.service
    backup: true
"""

RETURN = r"""
changed_files:
  description: The paths of the items that were changed, or would be in check mode, in their order.
  type: list
  elements: str
  returned: success
  sample: [/etc/nginx/sites-available/galaxy, /etc/nginx/sites-enabled/galaxy]
kept:
  description: What was to be absent but stays; a directory that is not empty or cannot be removed, a file that lacks the O(files[].mark).
  type: list
  elements: str
  returned: success
  sample: [/etc/nginx/galaxy.d]
backup_files:
  description: The copy that was kept of each file replaced or removed, by its path; empty without O(backup).
  type: dict
  returned: success
  sample:
    /etc/nginx/sites-available/galaxy: /etc/nginx/sites-available/galaxy.4242.2026-11-22@20:15:03~
"""

import re
import shlex
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy_config as galaxy_config
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _managed_file as managed_file
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._file_set import FileSetError, parse, report, run
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._nginx_directive import Directive

# Where in the content of a file the value of an option goes.
PLACE = "@value@"


class FileSetModule(AnsibleModule):  # type: ignore[misc]  # ansible-core is untyped
    """A module that records which files it was asked to write, but not what is in them.

    Declaring the content as no_log would hide it from the diff too.
    """

    def _invocation(self) -> dict[str, Any]:
        """The parameters, validated or not, without the contents."""
        files = self.params.get("files")
        if isinstance(files, list) and all(isinstance(entry, dict) for entry in files):
            files = [{**entry, "content": "(not recorded)"} if entry.get("content") else entry for entry in files]
        else:
            files = "(not recorded)"
        return {**self.params, "files": files}

    def log(self, msg: str, log_args: Optional[dict[str, Any]] = None) -> None:
        """Log a message; the one about the invocation, which comes with its parameters, without the contents."""
        if log_args is not None:
            log_args = {name: str(value) for name, value in self._invocation().items()}
            msg = "Invoked with " + " ".join(f"{name}={value}" for name, value in log_args.items())
        super().log(msg, log_args)

    def exit_json(self, **result: Any) -> None:
        """Return a result."""
        super().exit_json(invocation={"module_args": self._invocation()}, **result)

    def fail_json(self, msg: str, **result: Any) -> None:
        """Return a failure."""
        super().fail_json(msg, invocation={"module_args": self._invocation()}, **result)


def _validate_problem(command: Optional[str]) -> Optional[str]:
    """What is wrong with the command itself."""
    if command is None:
        return None
    try:
        words = shlex.split(command)
    except ValueError as error:
        return f"validate: the quotes in '{command}' do not match ({error}): correct them"
    if not words:
        return "validate is empty: give a command, or leave it out"
    if "%s" in command:
        return f"validate: '{command}' runs once, after every file is in place, so there is no file to put for %s: write the path of the file to check"
    return None


def fill_in(entry: dict[str, Any], check_mode: bool) -> list[str]:
    """Put the value of the option that an entry names into the entry's content, or say why there is none."""
    source = entry.pop("value_from", None)
    if not source or entry["state"] != "file" or not isinstance(entry["content"], str):
        return []
    try:
        content = managed_file.read(source["path"])
    except managed_file.ManagedFileError as error:
        return [f"{entry['path']}: {error}"]
    values = galaxy_config.values_in_effect(source["path"], source["section"], content)
    if source["option"] in values:
        entry["content"] = entry["content"].replace(PLACE, values[source["option"]])
    elif not check_mode:
        return [f"{entry['path']}: {source['path']} has no option {source['option']} in [{source['section']}]: set the option first"]
    return []


def edited(text: str, change: dict[str, Any]) -> str:
    """Return a text with one of the edits of an entry."""
    if change["directive"] is None:
        return re.sub(change["regexp"], change["replace"], text, flags=re.MULTILINE)
    directive = Directive(change["directive"], change["note"], change["keep"], change["below"])
    return directive.restored(text) if change["value"] is None else directive.replaced(text, change["value"])


def edit(entry: dict[str, Any], check_mode: bool) -> list[str]:
    """Make the edits that an entry names the entry's content, or say why that cannot be; the content is None where there is nothing to edit yet."""
    edits = entry.pop("edits", None)
    if edits is None or entry["state"] != "file":
        return []
    if entry["content"] is not None:
        return [f"{entry['path']}: content and edits cannot be written both: remove one of them"]
    try:
        content = managed_file.read(entry["path"])
        if content is None:
            return [] if check_mode else [f"{entry['path']}: there is no such file to edit: correct the path, or make the file first"]
        text = content.decode()
        for change in edits:
            text = edited(text, change)
    except managed_file.ManagedFileError as error:
        return [f"{entry['path']}: {error}"]
    except UnicodeDecodeError as error:
        return [f"{entry['path']} is not UTF-8 at byte {error.start}: convert the file to UTF-8"]
    except (IndexError, re.error) as error:
        return [f"{entry['path']}: the edit '{change['regexp']}' is no regular expression, or names no group of it ({error}): correct the edit"]
    entry["content"] = text
    return []


def main() -> None:
    """Run the module."""
    module = FileSetModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "path", "required": True},
                    "state": {"type": "str", "choices": ["file", "directory", "link", "absent"], "default": "file"},
                    "content": {"type": "raw"},
                    "template": {"type": "path"},
                    "template_vars": {"type": "dict"},
                    "value_from": {
                        "type": "dict",
                        "options": {
                            "path": {"type": "path", "required": True},
                            "section": {"type": "str", "required": True},
                            "option": {"type": "str", "required": True},
                        },
                    },
                    "edits": {
                        "type": "list",
                        "elements": "dict",
                        "options": {
                            "regexp": {"type": "str"},
                            "replace": {"type": "str"},
                            "directive": {"type": "str"},
                            "value": {"type": "str"},
                            "note": {"type": "str"},
                            "keep": {"type": "bool", "default": False},
                            "below": {"type": "int", "default": 0},
                        },
                        "required_one_of": [["regexp", "directive"]],
                        "mutually_exclusive": [["regexp", "directive"]],
                        "required_together": [["regexp", "replace"], ["directive", "note"]],
                    },
                    "src": {"type": "str"},
                    "owner": {"type": "str"},
                    "group": {"type": "str"},
                    "mode": {"type": "raw"},
                    "force": {"type": "bool", "default": True},
                    "sensitive": {"type": "bool", "default": False, "no_log": False},
                    "mark": {"type": "str", "default": ""},
                },
            },
            "validate": {"type": "str"},
            "backup": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    files = module.params["files"]
    edited = [entry for entry in files if entry["edits"] is not None and entry["state"] == "file"]
    problems = [problem for entry in files for problem in (*edit(entry, module.check_mode), *fill_in(entry, module.check_mode))]
    # What cannot be edited has been told, or is going to be made by an earlier task.
    items, wrong = parse([entry for entry in files if entry["content"] is not None or entry not in edited], module.check_mode)
    problems += wrong
    validate_problem = _validate_problem(module.params["validate"])
    if validate_problem:
        problems.append(validate_problem)
    try:
        if problems:
            raise FileSetError(report(problems))
        result = run(module, items, validate=module.params["validate"], backup=module.params["backup"])
    except FileSetError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
