#!/usr/bin/python
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have nginx load the configuration on disk where it has loaded another one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_load
short_description: Have nginx load the configuration on disk
version_added: 1.1.0
description:
  - Checks the configuration on disk, as C(nginx -t) does, and reloads nginx if nginx has loaded another configuration, other certificates
    or keys, or if its workers lack a group that they would get now. No request is lost by that.
  - So a run that was killed between writing a file and reloading nginx is made up for by the next run, and so is a renewed certificate that nobody has
    told nginx of.
  - Where nginx is not installed or does not run, nothing happens - it loads everything as it starts.
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
  command:
    description:
      - The program, with the arguments that choose its configuration.
    type: list
    elements: str
    default: [nginx]
  record:
    description:
      - The file in which the module notes what nginx has loaded. Without it the module compares times - it reloads nginx if anything is newer than the
        workers of nginx.
    type: path
    default: /run/galaxyops-nginx.json
  timeout:
    description:
      - How many seconds nginx may take to load the configuration.
    type: int
    default: 60
  socket:
    description:
      - A unix socket that nginx connects to. See RV(socket_differs).
    type: path
  socket_group:
    description:
      - The group that O(socket) is to have.
    type: str
  directories:
    description:
      - Directories whose files nginx is to send. See RV(out_of_reach).
    type: list
    elements: path
    default: []
notes:
  - If nginx refuses the configuration on disk, the module fails with nginx's reason. So does a configuration that nginx does not load within O(timeout).
"""

EXAMPLES = r"""
- name: Have nginx load what is on disk
  galaxyops.uwsgi.nginx_load:
"""

RETURN = r"""
running:
  description: Whether nginx runs.
  returned: success
  type: bool
  sample: true
socket_differs:
  description: Whether O(socket) exists with another group than O(socket_group).
  returned: success
  type: bool
  sample: false
out_of_reach:
  description:
    - Which of O(directories) the workers of nginx cannot reach, each with the directory on the way that they cannot enter. Each request for a file there
      is answered with 404. A directory that does not exist is not among them.
  returned: success
  type: list
  elements: str
  sample: ["/data/datasets: www-data cannot enter /data (mode 0750, root:galaxy)"]
"""

import grp
import os
import shutil
import stat
from typing import Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._nginx import Configuration, NginxError, out_of_reach, run


def differs(path: Optional[str], group: Optional[str]) -> bool:
    """Whether there is a socket with another group."""
    try:
        status = os.stat(path or "")
        return bool(group) and stat.S_ISSOCK(status.st_mode) and grp.getgrgid(status.st_gid).gr_name != group
    except (KeyError, OSError):
        return False


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "command": {"type": "list", "elements": "str", "default": ["nginx"]},
            "record": {"type": "path", "default": "/run/galaxyops-nginx.json"},
            "timeout": {"type": "int", "default": 60},
            "socket": {"type": "path"},
            "socket_group": {"type": "str"},
            "directories": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    program, *arguments = module.params["command"] or ["nginx"]
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    loaded, walls = None, []
    try:
        if found:
            configuration = Configuration([found, *arguments])
            loaded = run(configuration, module.params["record"], module.params["timeout"], module.check_mode)
            walls = out_of_reach(configuration, module.params["directories"])
    except NginxError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'nginx'}: {error.strerror}")
    module.exit_json(
        changed=bool(loaded),
        running=loaded is not None,
        socket_differs=differs(module.params["socket"], module.params["socket_group"]),
        out_of_reach=walls,
    )


if __name__ == "__main__":
    main()
