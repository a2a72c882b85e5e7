#!/usr/bin/python
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Report which Galaxy a host has, and what the roles need to know of its configuration."""

from __future__ import annotations

DOCUMENTATION = r"""
module: galaxy_info
short_description: Report which Galaxy is on a host
version_added: 1.1.0
description:
  - Reports the version of the Galaxy on a host, and those of its options that decide how the roles serve it.
  - The defaults of the roles depend on the version and on these options. So the roles ask the host, where no other role of this collection installs Galaxy.
  - The module never fails for what it cannot find or read. M(galaxyops.uwsgi.paste_check) reports what is wrong with a file.
author:
  - Galaxy operators (@galaxyops)
extends_documentation_fragment:
  - galaxyops.uwsgi._attributes
  - galaxyops.uwsgi._attributes.read_only
options:
  server_dir:
    description:
      - The directory that Galaxy runs in.
    type: path
    default: ''
  virtualenv:
    description:
      - The virtualenv of Galaxy.
    type: path
    default: ''
  path:
    description:
      - The C(galaxy.yml) or C(galaxy.ini). For a C(galaxy.yml) the host needs PyYAML (C(python3-yaml)).
    type: path
    default: ''
"""

EXAMPLES = r"""
- name: Find out which Galaxy is on the host
  galaxyops.uwsgi.galaxy_info:
    server_dir: /srv/galaxy/server
    virtualenv: /srv/galaxy/venv
    path: /srv/galaxy/config/galaxy.yml
  become: true
  register: galaxy
"""

RETURN = r"""
version:
  description: The version in O(server_dir), or else in O(virtualenv); empty if there is no Galaxy in either.
  returned: success
  type: str
  sample: 26.1.2
config_file:
  description: The C(galaxy.yml) with Galaxy's options, also where O(path) is a Paste Deploy file that names it; empty if there is none.
  returned: success
  type: str
  sample: /srv/galaxy/config/galaxy.yml
job_config_inline:
  description: Whether the job configuration is in C(job_config) of RV(config_file).
  returned: success
  type: bool
  sample: true
job_config_file:
  description: The job configuration that Galaxy reads where RV(config_file) exists and RV(job_config_inline) is false; otherwise empty.
  returned: success
  type: str
  sample: /srv/galaxy/config/job_conf.yml
database:
  description: The kind of the database that RV(config_file) names; empty if it is not known.
  returned: success
  type: str
  sample: postgresql
file_path:
  description: The directory of the datasets where C(file_path) names one by an absolute path, or together with C(data_dir); otherwise empty.
  returned: success
  type: str
  sample: /data/datasets
"""

import contextlib
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy as galaxy
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _managed_file as managed_file
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._galaxy_config import GalaxyConfig


def look(path: str, server_dir: str, virtualenv: str) -> dict[str, Any]:
    """What there is to say of a Galaxy; what cannot be read is not known."""
    version = galaxy.find_version(server_dir, virtualenv)
    config = GalaxyConfig()
    with contextlib.suppress(managed_file.ManagedFileError, OSError):
        config = GalaxyConfig(path)
    job_config = config.job_config(server_dir)
    values = config.application.values
    files = os.path.join(values.get("data_dir", ""), values["file_path"]) if values.get("file_path") else ""
    return {
        "version": version.text if version else "",
        "config_file": config.yml.path if config.yml else "",
        "job_config_inline": job_config.inline is not None,
        # Of a galaxy.ini the roles set it.
        "job_config_file": job_config.path if config.yml and not job_config.inline else "",
        "database": galaxy.database_kind(values, ()) if config.yml and not config.yml.problem else "",
        "file_path": os.path.normpath(files) if os.path.isabs(files) else "",
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={name: {"type": "path", "default": ""} for name in ("server_dir", "virtualenv", "path")},
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **look(module.params["path"], module.params["server_dir"], module.params["virtualenv"]))


if __name__ == "__main__":
    main()
