#!/usr/bin/python
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put files and links back as they were kept below a directory."""

from __future__ import annotations

DOCUMENTATION = r"""
module: files_restore
short_description: Put files back as they were kept
version_added: 1.1.0
description:
  - Puts files and symbolic links back from a copy of them, such as C(cp --archive --parents) makes. Each gets the content, the owner, the mode
    and the times of its copy, in one step, so that no program ever reads half of one.
  - Root may call it for files in directories that others can write to. It follows no link of a user to the files of somebody else, and a copy of
    a file takes the place of such a link.
  - What is already as it was kept is not touched.
author:
  - Galaxy operators (@galaxyops)
extends_documentation_fragment:
  - galaxyops.uwsgi._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  backup:
    description:
      - The directory with the copies. The copy of C(/etc/example.conf) is C(etc/example.conf) there.
    type: path
    required: true
  files:
    description:
      - The absolute paths to put back. Each needs a copy.
    type: list
    elements: path
    required: true
"""

EXAMPLES = r"""
- name: Put the old site back
  galaxyops.uwsgi.files_restore:
    backup: /var/backups/galaxyops/galaxy
    files:
      - /etc/nginx/sites-available/galaxy
"""

RETURN = r"""
restored:
  description: The files that were not as they were kept.
  returned: success
  type: list
  elements: path
  sample: [/etc/nginx/sites-available/galaxy]
"""

import os
import stat

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _safe_files as safe_files


def is_kept(copy: str, path: str) -> bool:
    """Whether a file or link is as its copy is; a path that leads through a link of a stranger is an error."""
    kept = os.lstat(copy)
    if stat.S_ISLNK(kept.st_mode):
        return os.path.islink(path) and os.readlink(path) == os.readlink(copy)
    try:
        with safe_files.locate(path, follow=False) as place:
            found = place.status
            same = found is not None and (found.st_mode, found.st_uid, found.st_gid) == (kept.st_mode, kept.st_uid, kept.st_gid)
            return same and place.read() == safe_files.read(copy)
    except FileNotFoundError:
        return False


def put_back(copy: str, path: str) -> None:
    """Make a file or link what its copy is."""
    if os.path.islink(copy):
        safe_files.symlink(path, os.readlink(copy))
    else:
        safe_files.copy(copy, path, follow=False)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "backup": {"type": "path", "required": True},
            "files": {"type": "list", "elements": "path", "required": True},
        },
        supports_check_mode=True,
    )
    copies = {path: os.path.join(module.params["backup"], path.lstrip("/")) for path in module.params["files"]}
    missing = [f"{path} has no copy: {copy} does not exist" for path, copy in copies.items() if not os.path.lexists(copy)]
    if missing:
        module.fail_json(msg=f"{'; '.join(missing)}. Nothing has been changed.")
    path, restored = "", []
    try:
        restored = [path for path, copy in copies.items() if not is_kept(copy, path)]
        for path in [] if module.check_mode else restored:
            put_back(copies[path], path)
    except OSError as error:
        module.fail_json(msg=f"{path or error.filename} cannot be put back: {error.strerror or error}")
    module.exit_json(changed=bool(restored), restored=restored)


if __name__ == "__main__":
    main()
