#!/usr/bin/python
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check a host's Galaxy configuration before anything is changed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: paste_check
short_description: Check a galaxy.ini before uWSGI has to live with it
version_added: 1.0.0
description:
  - Finds what would stop a Paste Deploy file such as C(galaxy.ini) from working under uWSGI with webless job handlers,
    and says for each what to write instead.
  - Optionally checks the job configuration and looks for other processes on the ports that are needed, so that one
    call tells everything about a host before anything on it is changed.
  - Never changes anything, and never shows a password or a key.
author:
  - Galaxy operators (@galaxyops)
extends_documentation_fragment:
  - galaxyops.uwsgi._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
    details:
      - Nothing is ever changed.
  idempotent:
    support: full
options:
  path:
    description:
      - The file to check. Without one, only O(job_conf) and O(listen) are looked at.
    type: path
  app:
    description:
      - The name of the application that is served. V(main) stands for one of C([app:main]), C([composite:main]),
        C([pipeline:main]) and C([filter-app:main]).
    type: str
    default: main
  missing:
    description:
      - Whether it is an error that there is no such file. V(ok) suits a file that is about to be created.
    type: str
    choices: [fail, ok]
    default: fail
  job_conf:
    description:
      - Galaxy's job configuration, XML or YAML. It is checked too if it exists.
    type: path
  listen:
    description:
      - TCP ports that are going to be listened to. One that another process listens to already is an error.
    type: list
    elements: dict
    default: []
    suboptions:
      address:
        description:
          - The IP address to listen on. All of them if this is not given.
        type: str
        default: ''
      port:
        description:
          - The port.
        type: int
        required: true
      processes:
        description:
          - The names of the processes that may listen to the port already, as C(ps -o comm) shows them.
        type: list
        elements: str
        default: []
      variable:
        description:
          - The variable that sets the port, to be named in the error message.
        type: str
        default: ''
  certificate:
    description:
      - A TLS certificate that is going to be served. It and its key must be in PEM form, readable and made for each other. One that
        browsers would refuse for its age or its names gets a warning.
    type: dict
    suboptions:
      path:
        description:
          - The file with the certificate, followed by its chain.
        type: path
        required: true
      key:
        description:
          - The file with its key.
        type: path
        required: true
      names:
        description:
          - The host names that it is going to be served for.
        type: list
        elements: str
        default: []
      variable:
        description:
          - The variable that sets O(certificate.path), to be named in the error message.
        type: str
        default: ''
      key_variable:
        description:
          - The variable that sets O(certificate.key), to be named in the error message.
        type: str
        default: ''
  return_options:
    description:
      - For each section, the names of the options whose values RV(options) shall contain.
    type: dict
    default: {}
  fail_on:
    description:
      - From which severity on the module fails.
    type: str
    choices: [error, warning, never]
    default: error
seealso:
  - module: galaxyops.uwsgi.paste_section
"""

EXAMPLES = r"""
- name: Check galaxy.ini
  galaxyops.uwsgi.paste_check:
    path: /srv/galaxy/config/galaxy.ini

# The same from the command line:
# ansible galaxyservers -m galaxyops.uwsgi.paste_check -a path=/srv/galaxy/config/galaxy.ini

- name: Check all that the roles build on
  galaxyops.uwsgi.paste_check:
    path: /srv/galaxy/config/galaxy.ini
    missing: ok
    job_conf: /srv/galaxy/config/job_conf.xml
    listen:
      - port: 80
        processes: [nginx]
        variable: nginx_proxy_port
    return_options:
      app:main: [job_config_file, static_enabled]
  register: galaxy_check
"""

RETURN = r"""
path:
  description: The file that was checked; empty if there was none.
  returned: always
  type: str
  sample: /srv/galaxy/config/galaxy.ini
findings:
  description: Everything that was found, worst or not.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The file; empty for what is in no file, such as a port.
      type: str
      sample: /srv/galaxy/config/galaxy.ini
    line:
      description: The line; 0 for what is on no line.
      type: int
      sample: 12
    severity:
      description: V(error) or V(warning).
      type: str
      sample: error
    section:
      description: The section of the file, if it is in one.
      type: str
      sample: app:main
    option:
      description: The option, if it is about one.
      type: str
      sample: brand
    message:
      description: What is wrong and what to write instead.
      type: str
      sample: a '%' that stands for itself must be written '%%'; Paste Deploy dies on it otherwise
options:
  description:
    - The values of the options asked for in O(return_options), by section, as far as they are set.
    - What Paste Deploy reads is interpolated and includes what C([DEFAULT]) sets. Keys and passwords are masked.
  returned: always
  type: dict
  sample:
    app:main:
      job_config_file: /srv/galaxy/config/job_conf.xml
certificate_hash:
  description: A hash of O(certificate.path) and O(certificate.key), which changes with either of them; empty if one is missing.
  returned: with O(certificate)
  type: str
  sample: 81b157e2f7a1c0f9b5a6f0e6c4f2d1c8a3a108b0af29f399b6c7e8f901234567
msg:
  description: All findings, one a line.
  returned: when there are findings
  type: str
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.validation import check_type_list

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _certificate as certificates
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _job_conf as job_conf
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _listeners as listeners
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _managed_file as managed_file
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_ini as paste_ini
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding

FATAL: dict[str, tuple[str, ...]] = {"error": ("error",), "warning": ("error", "warning"), "never": ()}


def attempt(check: Callable[[], list[Finding]]) -> list[Finding]:
    """Run a check; that it cannot read what it is to check is a finding too, and no reason to skip the others."""
    try:
        return check()
    except managed_file.ManagedFileError as error:
        return [Finding("", 0, "error", str(error))]
    except OSError as error:
        return [Finding("", 0, "error", managed_file.describe_os_error("read", error.filename or "/proc", error))]


def check_ini(path: str, app: str, missing: str, return_options: dict[str, Any], options: dict[str, dict[str, str]]) -> list[Finding]:
    """Check the file, and put those of its options that are to be returned into I(options)."""
    content = managed_file.read(path)
    if content is None:
        remedy = "correct the path, or run the role that writes the file first"
        return [] if missing == "ok" else [Finding(path, 0, "error", f"the file does not exist: {remedy}")]
    text = paste_ini.decode(content)
    for section, names in return_options.items():
        found = paste_ini.options_in_effect(text, os.path.abspath(path), section)
        options[section] = {name: found[name] for name in check_type_list(names) if name in found}
    return paste_ini.check(text, path, app)


def check_job_conf(path: Optional[str]) -> list[Finding]:
    """Check the job configuration, if there is one."""
    content = managed_file.read(path) if path else None
    return job_conf.check(content, path) if path and content is not None else []


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path"},
            "app": {"type": "str", "default": "main"},
            "missing": {"type": "str", "choices": ["fail", "ok"], "default": "fail"},
            "job_conf": {"type": "path"},
            "listen": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "address": {"type": "str", "default": ""},
                    "port": {"type": "int", "required": True},
                    "processes": {"type": "list", "elements": "str", "default": []},
                    "variable": {"type": "str", "default": ""},
                },
            },
            "certificate": {
                "type": "dict",
                "options": {
                    "path": {"type": "path", "required": True},
                    "key": {"type": "path", "required": True, "no_log": False},
                    "names": {"type": "list", "elements": "str", "default": []},
                    "variable": {"type": "str", "default": ""},
                    "key_variable": {"type": "str", "default": "", "no_log": False},
                },
            },
            "return_options": {"type": "dict", "default": {}},
            "fail_on": {"type": "str", "choices": ["error", "warning", "never"], "default": "error"},
        },
        supports_check_mode=True,
    )
    params = module.params
    path: str = params["path"] or ""
    options: dict[str, dict[str, str]] = {}
    try:
        certificate = certificates.Certificate(**params["certificate"]) if params["certificate"] else None
        wanted = [listeners.Wanted(**port) for port in params["listen"]]
        findings = [
            *(attempt(lambda: check_ini(path, params["app"], params["missing"], params["return_options"], options)) if path else []),
            *attempt(lambda: check_job_conf(params["job_conf"])),
            *attempt(lambda: listeners.check(wanted)),
            *(attempt(lambda: certificates.check(certificate)) if certificate else []),
        ]
    except (TypeError, ValueError) as error:  # a parameter
        module.fail_json(msg=str(error))

    result: dict[str, Any] = {"changed": False, "path": path, "findings": [asdict(finding) for finding in findings], "options": options}
    if findings:
        result["msg"] = "\n".join(map(str, findings))
    if certificate:
        # Where a file cannot be read, that is among the findings already.
        with contextlib.suppress(managed_file.ManagedFileError):
            result["certificate_hash"] = certificates.fingerprint(certificate)
    if any(finding.severity in FATAL[params["fail_on"]] for finding in findings):
        module.fail_json(**result)
    for finding in findings:
        module.warn(str(finding))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
