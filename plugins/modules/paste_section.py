#!/usr/bin/python
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manage one section of a Paste Deploy INI file."""

from __future__ import annotations

DOCUMENTATION = r"""
module: paste_section
short_description: Manage one section of a Paste Deploy INI file
version_added: 1.0.0
description:
  - Sets all options of one section of a C(galaxy.ini), or of any other Paste Deploy file, in one go.
  - Everything outside the section stays as it is, byte for byte. Inside it, comments, blank lines, commented-out
    options, the order of the options and the spacing around their C(=) stay as well.
  - Refuses to write what uWSGI or Paste Deploy would misread or die of, and says what to write instead.
author:
  - Galaxy operators (@galaxyops)
extends_documentation_fragment:
  - ansible.builtin.files
  - galaxyops.uwsgi._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Keys and passwords are masked in the whole file, on both sides. The new side of one that changes ends in C((changed)).
  idempotent:
    support: full
options:
  path:
    description:
      - The file to edit. A symbolic link is followed.
    type: path
    required: true
    aliases: [dest]
  section:
    description:
      - The name of the section without its brackets, such as V(uwsgi) or V(app:main).
    type: str
    required: true
  options:
    description:
      - The options and their values. A boolean is written as V(true) or V(false), and V(null) removes an option.
      - A list is refused, because Paste Deploy dies of a repeated option. Write the repeated lines into a file of their
        own, and name that file in an option C(include).
      - In a section that Paste Deploy reads, such as C([app:main]), a V(%) that stands for itself is written V(%%).
      - A value of several lines is written as indented lines. In C([uwsgi]) it is refused, because uWSGI cannot read it.
      - Names are case-sensitive.
    type: dict
    default: {}
  generate:
    description:
      - The names of options that get 48 random letters and digits as their value where the section does not have them. An existing value stays.
      - The values are masked as secrets are, so give them names such as C(remote_user_secret) or C(id_secret).
    type: list
    elements: str
    default: []
  exclusive:
    description:
      - Whether options that are not among O(options) are removed from the section.
    type: bool
    default: true
  state:
    description:
      - With V(present), the section is there and has the O(options).
      - With V(absent), it is not. This takes away exactly what V(present) added to a file that did not have the section. A file that O(create) made
        is removed with its last section. A comment at its beginning says so.
      - A section that is to be removed need not be readable. Repeated options in it are no obstacle.
    type: str
    choices: [present, absent]
    default: present
  before:
    description:
      - A section that has to be added goes above the section of this name, and above the comments directly over that.
        If this is not given, or there is no such section, it goes to the end of the file.
      - One blank line is added with it, towards the section below or, at the end of the file, towards the one above.
    type: str
  create:
    description:
      - Whether to create the file if it does not exist.
    type: bool
    default: false
  backup:
    description:
      - Whether to keep a copy of the file as it was before a change.
    type: bool
    default: false
  validate:
    description:
      - A command that checks the new content before it replaces the old. It must contain C(%s), the path of a
        temporary file beside the real one.
      - Where others than root can write to that directory, the file is in a directory of root instead, so that nobody can exchange the
        file meanwhile.
    type: str
seealso:
  - module: galaxyops.uwsgi.paste_check
notes:
  - The new content replaces the old in one step. If that fails, or O(validate) does, the old file is intact.
  - Files whose lines end in carriage returns alone are refused.
"""

EXAMPLES = r"""
- name: Configure uWSGI in galaxy.ini
  galaxyops.uwsgi.paste_section:
    path: /srv/galaxy/config/galaxy.ini
    section: uwsgi
    before: app:main
    options:
      master: true
      processes: 4
      threads: 4
      socket: /run/galaxy/web.sock
      include: /srv/galaxy/config/uwsgi.ini

- name: Change some options of the application and leave the others alone
  galaxyops.uwsgi.paste_section:
    path: /srv/galaxy/config/galaxy.ini
    section: app:main
    exclusive: false
    options:
      static_enabled: false
      nginx_x_accel_redirect_base: /_x_accel_redirect
      log_destination:  # removed

- name: Set an option to several lines
  galaxyops.uwsgi.paste_section:
    path: /srv/pyramid/production.ini
    section: app:main
    exclusive: false
    options:
      pyramid.includes: |
        pyramid_tm
        pyramid_debugtoolbar

- name: Remove the Paste server that uWSGI replaces
  galaxyops.uwsgi.paste_section:
    path: /srv/galaxy/config/galaxy.ini
    section: server:main
    state: absent
    backup: true
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
  sample: /srv/galaxy/config/galaxy.ini
section:
  description: The name of the section.
  returned: success
  type: str
  sample: uwsgi
options:
  description: The options that the section has now, as they are written; keys and passwords are masked.
  returned: success
  type: dict
  sample:
    master: "true"
    processes: "4"
backup_file:
  description: The copy of the file as it was before.
  returned: when O(backup=true) and the file existed and was changed
  type: str
  sample: /srv/galaxy/config/galaxy.ini.4711.2026-03-01@12:00:00~
"""

import secrets
import string
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy_yml as galaxy_yml
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _managed_file as managed_file
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_ini as paste_ini
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._hide_secrets import hide_secrets
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._secrets import mask_value

_LETTERS = string.ascii_letters + string.digits
# How a file that this module made is told from one that somebody else left empty.
_MADE = "# Made by Ansible (galaxyops.uwsgi.paste_section), which removes this file with its last section.\n"


def generate(names: list[str], text: str, section: str) -> dict[str, str]:
    """The options I(names) with the values that the section has, or else with random ones."""
    present = paste_ini.section_values(text, section)
    return {name: present[name] if name in present else "".join(secrets.choice(_LETTERS) for _letter in range(48)) for name in names}


def edit(params: dict[str, Any], options: dict[str, Any], text: Optional[str]) -> Optional[str]:
    """The text of the file as it is wanted; None where there is no file, or none is left."""
    if params["state"] == "absent":
        rest = paste_ini.remove_section(text or "", params["section"])
        return None if text is None or (rest == _MADE and text != _MADE) else rest
    after = paste_ini.set_section(text or "", params["section"], options, params["before"], params["exclusive"])
    return f"{_MADE}\n{after}" if text is None else after


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True, "aliases": ["dest"]},
            "section": {"type": "str", "required": True},
            "options": {"type": "dict", "default": {}, "no_log": True},
            "generate": {"type": "list", "elements": "str", "default": []},
            "exclusive": {"type": "bool", "default": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "before": {"type": "str"},
            "create": {"type": "bool", "default": False},
            "backup": {"type": "bool", "default": False},
            "validate": {"type": "str"},
        },
        add_file_common_args=True,
        supports_check_mode=True,
    )
    module.no_log_values.clear()
    params = module.params
    options = hide_secrets(module, params)
    path = params["path"]
    try:
        before = managed_file.read(path)
        is_yml = galaxy_yml.is_yaml(path)
        if (before is None or is_yml) and params["state"] == "absent":
            module.exit_json(changed=False, path=path, section=params["section"], options={})
        if is_yml:
            module.fail_json(msg=f"{path} is a galaxy.yml by its name, which nothing in this collection writes: name the Paste Deploy file")
        if before is None and not params["create"]:
            module.fail_json(msg=f"{path} does not exist: correct the path, run the role that writes it first, or set create to true")
        text = None if before is None else paste_ini.decode(before)
        after = edit(params, {**generate(params["generate"], text or "", params["section"]), **options}, text)
        result = managed_file.replace(
            module,
            path,
            before,
            None if after is None else paste_ini.encode(after),
            backup=params["backup"],
            validate=params["validate"],
            mask_diff=paste_ini.mask_diff,
        )
    except paste_ini.PasteIniError as error:
        module.fail_json(msg=str(error.finding(path)))
    except managed_file.ManagedFileError as error:
        module.fail_json(msg=str(error))
    written = paste_ini.get_options(after or "", params["section"])
    result["options"] = {name: mask_value(name, value) for name, value in written.items()}
    module.exit_json(path=path, section=params["section"], **result)


if __name__ == "__main__":
    main()
