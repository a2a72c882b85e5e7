#!/usr/bin/python
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install packages into a virtualenv, as the user whom the virtualenv belongs to."""

from __future__ import annotations

DOCUMENTATION = r"""
module: virtualenv
short_description: Install packages into a virtualenv as its owner
version_added: 1.1.0
description:
  - Installs and removes Python packages as M(ansible.builtin.pip) does, but never as root in a virtualenv that another user can write.
    A user who can write to a virtualenv can have every program in it run code, and pip is one of them.
  - The module becomes the owner of the virtualenv by itself, without O(ignore:become_user), which needs further packages on many hosts.
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
  path:
    description:
      - The virtualenv. It is made where there is none, with the C(python3) of the host.
      - pip runs as the owner of the virtualenv, or else of the directory above it that belongs to somebody other than root. Where all of them
        belong to root, pip runs as root.
    type: path
    required: true
  packages:
    description: The packages, each as pip takes it, such as V(pyuwsgi>=2.0.29,<2.1).
    type: list
    elements: str
    default: []
  requirements:
    description: A requirements file on the host, for O(state=present) only.
    type: path
  state:
    description:
      - With V(present), the packages are installed; one that is there and fits stays as it is.
      - With V(absent), they are removed.
      - With V(reinstalled), they are installed again, whether they are there or not.
    type: str
    choices: [present, absent, reinstalled]
    default: present
  dependencies:
    description: Whether pip also installs what the packages need.
    type: bool
    default: true
notes:
  - Files that an earlier release has installed as root into a virtualenv of another user are given to this user.
  - Of the environment, pip as another user gets the variables of proxies, certificates, compilers and of pip itself, but no settings in the home of root.
"""

EXAMPLES = r"""
- name: Install uWSGI into the virtualenv of Galaxy
  galaxyops.uwsgi.virtualenv:
    path: /home/galaxy/galaxy/.venv
    packages: [pyuwsgi]
"""

RETURN = r"""
user:
  description: The user that pip runs as.
  returned: success
  type: str
  sample: galaxy
run_as:
  description: What stands before a command that is to run as RV(user), such as a program of the virtualenv. Nothing where RV(user) runs the module.
  returned: success
  type: list
  elements: str
  sample: [setpriv, --reuid=galaxy, --regid=1001, --init-groups, --]
output:
  description: What pip has printed.
  returned: when pip has run
  type: str
  sample: Successfully installed pyuwsgi-2.0.30
"""

import glob
import os
import pwd
import subprocess
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _managed_file as managed_file
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _safe_files as safe_files
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _virtualenv as virtualenv

# What pip, and what it builds uWSGI with, needs of the environment of root, besides all that begins with PIP_, LC_ or UWSGI
_VARIABLES = (
    *(
        "LANG",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "ALL_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
    ),
    *("CC", "CFLAGS", "CPPFLAGS", "LDFLAGS"),
)


class VirtualenvError(Exception):
    """The packages cannot be installed; the message says why and what to do."""


def owner(path: str) -> int:
    """The user that may run what is in the virtualenv: the one who can write to it."""
    inside = [
        os.path.join(path, "bin"),
        *glob.glob(os.path.join(glob.escape(path), "lib", "python3*", "site-packages")),
    ]
    for place in (*inside, path):
        place = os.path.realpath(place)
        while True:
            if os.path.lexists(place) and os.lstat(place).st_uid != 0:
                return os.lstat(place).st_uid
            if place == "/":
                break
            place = os.path.dirname(place)
    who, where = safe_files.writer(path)
    if who:
        raise VirtualenvError(
            f"{where} belongs to root, and {who} can write there: pip, which runs what is in {path}, must not run as root. "
            f"Give {path} to the user of the application (chown -R), or let only root write there (chmod go-w {where})"
        )
    return 0


class Pip:
    """pip in one virtualenv, as one user."""

    def __init__(self, path: str, uid: int) -> None:
        self.path = path
        self.uid = uid
        self.identity: dict[str, Any] = {}
        self.environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        self.run_as: list[str] = []
        self.user = safe_files.user_name(uid)
        if uid != os.geteuid():
            try:
                account = pwd.getpwuid(uid)
            except KeyError as error:
                raise VirtualenvError(
                    f"{path} belongs to user {uid}, who has no account on this host: give it to another user (chown -R)"
                ) from error
            groups = os.getgrouplist(account.pw_name, account.pw_gid)
            self.identity = {"user": uid, "group": account.pw_gid, "extra_groups": groups, "umask": 0o022}
            kept = {
                name: value
                for name, value in os.environ.items()
                if name.upper() in _VARIABLES or name.startswith(("PIP_", "LC_", "UWSGI"))
            }
            self.environment = {
                **kept,
                "LC_ALL": "C.UTF-8",
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "HOME": account.pw_dir,
                "USER": self.user,
                "LOGNAME": self.user,
            }
            self.run_as = ["setpriv", f"--reuid={self.user}", f"--regid={account.pw_gid}", "--init-groups", "--"]

    def _run(self, *command: str) -> str:
        status, output = virtualenv.run_as(command, self.environment, self.identity)
        if status:
            raise VirtualenvError(f"{' '.join(command)} (as {self.user}) ended with {status}: {output[-4000:]}")
        return output

    def take_over(self) -> None:
        """Give the user what earlier runs as root have left in the virtualenv."""
        if self.identity:
            safe_files.give_what_root_left(self.path, self.uid, self.identity["group"])

    def make(self) -> None:
        """Make the virtualenv."""
        self._run("python3", "-m", "venv", self.path)

    def __call__(self, *arguments: str) -> str:
        """Run pip and return what it has printed."""
        return self._run(
            f"{self.path}/bin/python3",
            "-m",
            "pip",
            arguments[0],
            "--disable-pip-version-check",
            "--no-input",
            *arguments[1:],
        )


def requirements(path: str, check_mode: bool) -> list[str]:
    """What a requirements file asks for; in check mode an earlier task may not have written the file yet."""
    content = managed_file.read(path)
    if content is None:
        if check_mode:
            return []
        raise VirtualenvError(f"{path} does not exist: correct requirements, or write the file first")
    lines = (line.partition(" #")[0].strip() for line in content.decode().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def run(module: AnsibleModule) -> dict[str, Any]:
    """Bring about what is asked for."""
    params = module.params
    path: str = params["path"]
    pip = Pip(path, owner(path) if os.geteuid() == 0 else os.geteuid())
    wanted = [
        *params["packages"],
        *(requirements(params["requirements"], module.check_mode) if params["requirements"] else []),
    ]
    needed = wanted
    if params["state"] == "present":
        needed = [package for package in wanted if not virtualenv.has(path, package)]
    elif params["state"] == "absent":
        needed = [package for package in wanted if virtualenv.version_of(path, package)]
    there = os.path.lexists(os.path.join(path, "bin", "python3"))
    result: dict[str, Any] = {
        "changed": bool(needed) or (not there and params["state"] != "absent"),
        "user": pip.user,
        "run_as": pip.run_as,
    }
    if module.check_mode or not result["changed"]:
        return result
    if there:
        pip.take_over()
    else:
        pip.make()
    if needed:
        more = [] if params["dependencies"] else ["--no-deps"]
        files = ["--requirement", params["requirements"]] if params["requirements"] else []
        if params["state"] == "absent":
            result["output"] = pip("uninstall", "--yes", *needed)
        else:
            again = ["--force-reinstall"] if params["state"] == "reinstalled" else []
            result["output"] = pip("install", *again, *more, *files, *params["packages"])
            result["changed"] = not there or "Successfully installed" in result["output"]
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "packages": {"type": "list", "elements": "str", "default": []},
            "requirements": {"type": "path"},
            "state": {"type": "str", "choices": ["present", "absent", "reinstalled"], "default": "present"},
            "dependencies": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except (VirtualenvError, managed_file.ManagedFileError) as error:
        module.fail_json(msg=str(error))
    except (OSError, subprocess.SubprocessError, RecursionError) as error:
        module.fail_json(msg=f"{module.params['path']}: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
