#!/usr/bin/python
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check a host's Galaxy configuration before anything is changed."""

from __future__ import annotations

DOCUMENTATION = r"""
module: paste_check
short_description: Check a galaxy.ini or galaxy.yml before uWSGI has to live with it
version_added: 1.0.0
description:
  - Finds what would stop a Paste Deploy file such as C(galaxy.ini) from working under uWSGI with webless job handlers,
    and says for each what to write instead.
  - A C(galaxy.yml) is read as Galaxy reads it, and checked just as well. Nothing in this collection writes one. For an option that is about to be set
    in a Paste Deploy file, the module says which line to add to a C(galaxy.yml).
  - Told what is about to change, it looks at the files as they are going to be, so that one call tells everything about
    a host before anything on it is changed - the job configuration, the virtualenv, the options of its uWSGI, the ports.
  - Names who else than root can write to the configuration, which is a warning.
  - Never changes anything, and never shows a password or a key.
author:
  - Galaxy operators (@galaxyops)
extends_documentation_fragment:
  - galaxyops.uwsgi._attributes
  - galaxyops.uwsgi._attributes.read_only
options:
  path:
    description:
      - The file to check. Without one, only what the other options name is looked at.
      - A name that ends in C(.yml) or C(.yaml) is that of a C(galaxy.yml), for which the host needs PyYAML (C(python3-yaml)). A Paste Deploy file whose
        application names a C(galaxy.yml) in C(galaxy_config_file) is checked together with it.
    type: path
  app:
    description:
      - The name of the application that is served. V(main) stands for one of C([app:main]), C([composite:main]),
        C([pipeline:main]) and C([filter-app:main]).
    type: str
    default: main
  handlers_path:
    description:
      - The file from which job handlers get Galaxy's options. It is an error if this is a C(galaxy.yml), and O(path) is neither this file nor a Paste Deploy
        file that names it.
    type: path
  missing:
    description:
      - Whether it is an error that there is no such file. V(ok) suits a file that is about to be created.
    type: str
    choices: [fail, ok]
    default: fail
  changes:
    description:
      - What is about to be set in the file, in this order. It is checked as it is going to be then.
      - Lines in RV(findings) are those of the file as it is now.
      - For a C(galaxy.yml), options of C(app:main) that are not set so already are errors.
    type: list
    elements: dict
    default: []
    suboptions:
      section:
        description:
          - The section.
        type: str
        required: true
      options:
        description:
          - Its options, as M(galaxyops.uwsgi.paste_section) takes them.
        type: dict
        default: {}
      exclusive:
        description:
          - Whether other options of the section are going to be removed.
        type: bool
        default: false
      state:
        description:
          - Whether the section itself stays or is going to be removed.
        type: str
        choices: [present, absent]
        default: present
  job_conf:
    description:
      - Galaxy's job configuration, XML or YAML. It is checked too if it exists.
      - Without it, and if there are no O(changes), it is the file that C(job_config_file) in O(path) names, or the one that Galaxy finds by itself.
      - Where a C(galaxy.yml) has the job configuration in C(job_config), that is checked in its place, because Galaxy reads no other.
    type: path
  handlers:
    description:
      - The job handlers that are going to run on this host, each a dictionary with C(id), C(tags) and C(plugins). O(job_conf) is
        checked as it is going to be when M(galaxyops.uwsgi.job_conf_handlers) has registered them.
      - Without this option, the handlers are those in O(job_conf).
    type: list
    elements: dict
  handlers_mode:
    description:
      - How the O(handlers) become known to Galaxy. V(static) registers them in O(job_conf), with V(dynamic) they attach themselves to
        pools, and with V(mules) they are mules of uWSGI.
    type: str
    choices: [static, dynamic, mules]
    default: static
  workflow_schedulers:
    description:
      - The ids of the handlers that are going to schedule workflows, besides the O(handlers), which are those for jobs.
    type: list
    elements: str
    default: []
  previous_ids:
    description:
      - The ids that O(handlers) and O(workflow_schedulers) had before. Jobs that wait for one of these ids do not get lost.
    type: list
    elements: str
    default: []
  assign_with:
    description:
      - How jobs are going to be assigned to the O(handlers).
    type: list
    elements: str
  default_handler:
    description:
      - The id or tag that is going to be the default of the O(handlers).
    type: str
  max_grab:
    description:
      - How many jobs a handler is going to take at once at most.
    type: int
  ready_window_size:
    description:
      - How many ready jobs of each user a handler is going to look at in one pass.
    type: int
  purge_handlers:
    description:
      - Whether handlers that are not among O(handlers) are going to be removed from O(job_conf).
    type: bool
    default: false
  environment:
    description:
      - The names of the environment variables that the handlers are started with.
    type: list
    elements: str
    default: []
  galaxy_environment:
    description:
      - The environment variables that Galaxy's processes are started with, with their values, as far as these are known. O(environment) has the names
        of the others.
      - Galaxy takes C(GALAXY_CONFIG_OVERRIDE_NAME) for the option C(name) whatever the file says, and C(GALAXY_CONFIG_NAME) where the file does not
        have the option. Such options are checked like those of the file.
    type: dict
    default: {}
  galaxy_version:
    description:
      - The version of Galaxy that is going to run, such as V(19.01). Without it, it is looked up in O(server_dir), then in O(virtualenv).
      - Where it cannot be found out, what depends on it is not checked.
    type: str
  server_dir:
    description:
      - The directory that Galaxy runs in.
    type: path
  virtualenv:
    description:
      - The virtualenv of the application and uWSGI. Its Python is checked, and so are the names of the uWSGI options if there is a
        uWSGI in it, which is asked for the names it knows.
      - O(handlers) that are processes need Galaxy's program in it, C(bin/galaxy-main), or that of a checkout in O(server_dir). With O(missing=ok)
        it may still be missing too.
    type: path
  uwsgi_options:
    description:
      - The uWSGI options that are going to be set. Without them, and if there are no O(changes), those in the C([uwsgi]) section of
        O(path) are checked.
    type: dict
    default: {}
  uwsgi_options_file:
    description:
      - The file that O(uwsgi_options) are going to be in, to be named in messages. Without it, they are in O(path).
    type: path
  uwsgi_files:
    description:
      - Further files that a uWSGI is configured by, such as vassals of an emperor, in the format that their names tell - INI, YAML, JSON or XML. Their
        options are checked as O(uwsgi_options) are, and so are the files that these load.
    type: list
    elements: path
    default: []
  uwsgi_listen:
    description:
      - What the web processes listen to. With V(http), clients come without a proxy that leads some requests to an ASGI process.
    type: str
    choices: [unix, tcp, http]
    default: unix
  uwsgi_http_address:
    description:
      - Where the web processes answer clients that come without the proxy, besides what O(uwsgi_listen) says.
    type: str
    default: ''
  asgi_paths:
    description:
      - The paths that the proxy leads to the ASGI process of Galaxy. Without this option, nobody knows.
    type: list
    elements: str
  uwsgi_package:
    description:
      - What is going to be installed into O(virtualenv), such as V(pyuwsgi>=2.0.28). If it replaces the uWSGI that is there, an option
        that this one does not know is only warned about.
    type: str
  uwsgi_install_method:
    description:
      - How uWSGI is going to be installed. With V(distribution) that of the distribution is asked for its options, and O(virtualenv) must
        have the Python of the distribution.
    type: str
    choices: [wheel, source, distribution]
    default: wheel
  user:
    description:
      - The user to ask uWSGI as, where the module runs as root. Without it, that is C(nobody).
    type: str
  run_dir:
    description:
      - The directory in which the web processes note how long they took to start, C(/run/<instance>).
    type: path
  read_timeout:
    description:
      - The seconds that the proxy waits for an answer. Fewer than the web processes took to start are warned about.
    type: int
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
  remote_user:
    description:
      - Where the proxy takes the user from that it sends to a Galaxy with C(use_remote_user), the value of C(nginx_proxy_remote_user). With an empty
        string it sends none, which is an error if Galaxy waits for one.
      - Without this option the proxy is not known, and only what O(reach) says is checked.
    type: str
  reach:
    description:
      - Who can connect to the application and so send a user with a request. V(proxy) is the proxy alone, by a unix socket, V(host) every account of the host,
        by a port on loopback, which needs a C(remote_user_secret), and V(network) anybody, which is an error for a Galaxy with C(use_remote_user).
    type: str
    choices: [proxy, host, network]
    default: proxy
  sent_directories:
    description:
      - Directories whose files nginx sends. A link in them to a directory of another owner is an error, because nginx follows links to what the owner
        of the link owns, and no others. Links in their subdirectories count, those further down do not.
    type: list
    elements: path
    default: []
  nginx_uses:
    description:
      - Directives of nginx that the site is going to have. An nginx with a hole that one of them opens is warned about, with the version that has the fix -
        that of the package where nginx is a package of Debian, or else that of nginx.
      - Where nginx is not installed, nothing is found.
    type: list
    elements: str
    choices: [http2, map, rewrite, ssl, try_files, uwsgi_pass]
    default: []
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
  look_at:
    description:
      - Further files of the host to look at, each with a regular expression to find in it, or with an empty string where it is enough that
        it is there. For a link to a directory, the expression is one for where the link leads.
      - RV(seen) has those that are as they are said to be.
    type: dict
    default: {}
  instance:
    description:
      - The name of the instance. It is an error when the host has something of that name that no role of this collection made, such as C(/etc/ssh).
    type: str
  instance_variable:
    description:
      - The variable that sets O(instance), to be named in the error message.
    type: str
    default: instance
  try_system_call_filter:
    description:
      - Have systemd start a service with a filter of system calls, which a container may not allow. RV(system_call_filter) tells what came of it.
    type: bool
    default: false
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

- name: Check galaxy.yml, and the environment that Galaxy is started with
  galaxyops.uwsgi.paste_check:
    path: /srv/galaxy/config/galaxy.yml
    server_dir: /srv/galaxy/server
    galaxy_environment:
      GALAXY_CONFIG_OVERRIDE_DATABASE_CONNECTION: postgresql:///galaxy

# The same for a whole server, from the command line. It prints each finding with its line, severity and remedy, fails if one
# is an error, and changes nothing:
# ansible galaxyservers --become -m galaxyops.uwsgi.paste_check -a 'path=/srv/galaxy/config/galaxy.ini
#   virtualenv=/srv/galaxy/venv server_dir=/srv/galaxy/server user=galaxy run_dir=/run/galaxy read_timeout=600'

- name: Check what a change would make of galaxy.ini
  galaxyops.uwsgi.paste_check:
    path: /srv/galaxy/config/galaxy.ini
    virtualenv: /srv/galaxy/venv
    user: galaxy
    changes:
      - section: app:main
        options:
          filter-with: proxy-prefix
      - section: uwsgi
        options:
          processes: 4
          threads: 4

- name: Check all that the roles build on
  galaxyops.uwsgi.paste_check:
    path: /srv/galaxy/config/galaxy.ini
    missing: ok
    job_conf: /srv/galaxy/config/job_conf.xml
    handlers:
      - id: handler0
      - id: cluster0
        tags: [cluster]
    assign_with: [db-skip-locked]
    virtualenv: /srv/galaxy/venv
    server_dir: /srv/galaxy/server
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
    - For a section of an application these are the options that Paste Deploy hands to the application, also those from a section or a file that the
      section names in C(use). An option that C([DEFAULT]) sets is not among them, because no application gets it. Keys and passwords are masked.
  returned: always
  type: dict
  sample:
    app:main:
      job_config_file: /srv/galaxy/config/job_conf.xml
job_config:
  description: Where Galaxy reads how jobs run.
  returned: always
  type: dict
  contains:
    path:
      description: The file; empty where it is not known or Galaxy runs with its defaults.
      type: str
      sample: /srv/galaxy/config/job_conf.yml
    inline:
      description: Whether it stands in C(job_config) of a C(galaxy.yml).
      type: bool
      sample: false
    runners:
      description: The runner plugins of one in C(job_config), as M(galaxyops.uwsgi.job_conf_handlers) returns those of a file.
      type: list
      elements: dict
      sample: [{id: local, load: "galaxy.jobs.runners.local:LocalJobRunner", ends_with_handler: true}]
changing:
  description: The sections of O(changes) that are not yet as they are going to be.
  returned: always
  type: list
  elements: str
  sample: [uwsgi]
seen:
  description: The paths of O(look_at) at which that was found.
  returned: always
  type: list
  elements: str
  sample: [/usr/sbin/nginx]
system_call_filter:
  description: Whether systemd can start a service with a filter of system calls.
  returned: with O(try_system_call_filter=true)
  type: bool
  sample: true
remote_user:
  description: What a Galaxy with these options believes of its proxy.
  returned: always
  type: dict
  contains:
    used:
      description: Whether the proxy says who the user is (C(use_remote_user)).
      type: bool
      sample: true
    header:
      description: The header that has the user, as WSGI spells it (C(remote_user_header)).
      type: str
      sample: HTTP_REMOTE_USER
    secret:
      description: Whether there is a C(remote_user_secret).
      type: bool
      sample: true
uwsgi_satisfies:
  description: Whether O(virtualenv) has the uWSGI that O(uwsgi_package) asks for, so that pip would have nothing to do.
  returned: always
  type: bool
  sample: true
uwsgi_packages:
  description: The packages in O(virtualenv) that bring a uWSGI, or its Python module alone.
  returned: always
  type: list
  elements: str
  sample: [pyuwsgi]
msg:
  description: All findings, one a line.
  returned: when there are findings
  type: str
"""

import os
import re
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.validation import check_type_list

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _certificate as certificates
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy as galaxy
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy_config as galaxy_config
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy_job_config as galaxy_job_config
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy_options as galaxy_options
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy_yml as galaxy_yml
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _instance as instances
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _job_conf as job_conf
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _listeners as listeners
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _managed_file as managed_file
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _nginx_versions as nginx_versions
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_ini as paste_ini
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _safe_files as safe_files
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _sent_links as sent_links
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _system_calls as system_calls
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_files as uwsgi_files
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_options as uwsgi_options
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _virtualenv as virtualenv
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._galaxy_config import GalaxyConfig
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._handlers import MULES, STATIC
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._hide_secrets import hide_secrets

# What every file of the roles has in its first lines.
OURS = b"galaxyops.uwsgi."

_REMEDY = "give the file and its directory to root (chown root, chmod go-w), or leave it at that if the application's user may change them"

FATAL: dict[str, tuple[str, ...]] = {"error": ("error",), "warning": ("error", "warning"), "never": ()}


def attempt(check: Callable[[], list[Finding]]) -> list[Finding]:
    """Run a check; that it cannot read what it is to check is a finding too, and no reason to skip the others."""
    try:
        return check()
    except managed_file.ManagedFileError as error:
        return [Finding("", 0, "error", str(error))]
    except OSError as error:
        return [Finding("", 0, "error", managed_file.describe_os_error("read", error.filename or "/proc", error))]


def looks_as(path: str, pattern: str) -> bool:
    """Whether there is something at I(path) and, if there is a pattern, whether that is found in the file, or where the link to a directory leads."""
    if not pattern:
        return os.path.lexists(path)
    try:
        if os.path.isdir(path):
            return bool(re.search(pattern, os.readlink(path)))
        return bool(re.search(pattern, safe_files.read(path).decode(errors="replace"), re.MULTILINE))
    except OSError:
        return False


class Preflight:
    """One look at a host: the files as they are, and what is going to become of them."""

    def __init__(self, params: dict[str, Any], changes: list[paste_ini.Change], galaxy_environment: dict[str, Any]) -> None:
        """Take the parameters of the module, and the changes and the environment with their secrets."""
        self.params = params
        self.path: str = params["path"] or ""
        self.changes = changes
        self.galaxy_environment = galaxy_environment
        self.certificate = certificates.Certificate(**params["certificate"]) if params["certificate"] else None
        self.listen = [listeners.Wanted(**port) for port in params["listen"]]
        self.config = GalaxyConfig()
        self.handling = job_conf.Handling()
        self.options: dict[str, dict[str, str]] = {}
        self.uwsgi_satisfies = False

    @property
    def wanted(self) -> Optional[job_conf.Handling]:
        """The handlers that are going to be registered, if we are told."""
        if self.params["handlers"] is None:
            return None
        return job_conf.Handling(
            self.handlers if self.params["handlers_mode"] == STATIC else (),
            tuple(self.params["assign_with"] or ()) or None,
            self.params["default_handler"] or None,
            self.params["max_grab"],
            self.params["ready_window_size"],
        )

    @property
    def handlers(self) -> tuple[job_conf.Handler, ...]:
        """The handlers that are going to take jobs."""
        return tuple(
            job_conf.Handler(str(handler["id"]), tuple(handler.get("tags") or ()), tuple(handler.get("plugins") or ()))
            for handler in self.params["handlers"] or ()
        )

    def findings(self) -> list[Finding]:
        """Everything that is wrong."""
        missing = attempt(self.read_file)
        handlers = attempt(self.check_handlers)
        return [
            *attempt(self.check_instance),
            *missing,
            *attempt(self.check_file),
            *handlers,
            *attempt(self.check_uwsgi_options),
            *attempt(self.check_asgi),
            *attempt(self.check_virtualenv),
            *attempt(lambda: listeners.check(self.listen)),
            *attempt(lambda: certificates.check(self.certificate) if self.certificate else []),
            *attempt(self.check_read_timeout),
            *attempt(lambda: sent_links.check(self.params["sent_directories"])),
            *attempt(self.check_nginx),
            *attempt(self.check_remote_user),
            *attempt(self.check_writers),
        ]

    def check_instance(self) -> list[Finding]:
        """Check that the name of the instance is free, or that of one that the roles made."""
        name = self.params["instance"] or ""
        if not name:
            return []
        return [*instances.findings(name, self.params["instance_variable"], self.path), *instances.sharing(name, self.path, self.config.changing())]

    @property
    def application(self) -> paste_ini.Application:
        """The application, with the options that it gets as text."""
        return self.config.application

    def read_file(self) -> list[Finding]:
        """Read the file, find out what it is going to be, and keep the options that are to be returned."""
        self.config = GalaxyConfig(self.path, self.params["app"], self.changes, self.variables)
        if self.config.missing:
            return [Finding(self.path, 0, "error", galaxy_config.MISSING)] if self.params["missing"] == "fail" else []
        for section, names in self.params["return_options"].items():
            self.options[section] = self.config.returned(section, check_type_list(names))
        return []

    def check_file(self) -> list[Finding]:
        """Check the file as it is going to be."""
        has_handlers = True if self.handling.handlers else None if self.wanted is None else False
        return [*self.check_handlers_path(), *self.config.findings(has_handlers)]

    def check_handlers_path(self) -> list[Finding]:
        """Check that web processes and job handlers get the same options, where a galaxy.yml has them."""
        path: str = self.params["handlers_path"] or ""
        if not galaxy_yml.is_yaml(path) or os.path.realpath(path) == os.path.realpath(self.config.file):
            return []
        message = (
            f"job handlers read Galaxy's options here (job_handlers_galaxy_config_file), and web processes those in {self.config.file} (uwsgi_config_file): "
            "write the same file for both"
        )
        return [Finding(path, 0, "error", message)]

    @cached_property
    def variables(self) -> dict[str, Optional[str]]:
        """The environment variables of Galaxy's processes, with None for a value that is not known."""
        known = {name: str(value) for name, value in self.galaxy_environment.items()}
        return {**dict.fromkeys(self.params["environment"]), **known}

    @cached_property
    def version(self) -> Optional[galaxy.Version]:
        """The version of Galaxy that is going to run, or that is on the host."""
        return galaxy.parse_version(self.params["galaxy_version"] or "") or galaxy.find_version(
            self.params["server_dir"] or "", self.params["virtualenv"] or ""
        )

    def check_names(self, content: Optional[bytes], path: str) -> list[Finding]:
        """Check the names of handlers that are not among those of the job configuration as it is going to be."""
        found = galaxy.Galaxy(self.version)
        schedulers = [job_conf.Handler(name) for name in self.params["workflow_schedulers"]]
        findings = galaxy.name_findings(schedulers, path, found)
        if content is not None and self.wanted is not None and self.params["purge_handlers"]:
            stay = [*self.params["previous_ids"], *self.params["workflow_schedulers"], *(handler.id for handler in self.handlers)]
            findings += galaxy.purged_findings(job_conf.registered(content, path), stay, path, found)
        own = self.application.values.get("workflow_schedulers_config_file", "")
        is_ours = os.path.basename(own) == f"workflow_schedulers_conf.{self.params['instance']}.xml"
        if self.config.yml and self.wanted is not None and is_ours and not schedulers:
            # From a galaxy.ini the role removes the line together with the file.
            message = "the role removes this file, because no handler among job_handlers schedules workflows, and never writes a galaxy.yml: remove the line"
            option = "workflow_schedulers_config_file"
            return [*findings, *self.config.located([Finding(self.config.file, 0, "error", message, self.config.section_of(option), option)])]
        # With schedulers among job_handlers that file is the role's, which writes it anew.
        if os.path.isabs(own) and not schedulers:
            content = managed_file.read(own)
            if content is not None and OURS not in content:
                findings += galaxy.name_findings(job_conf.workflow_schedulers(content, own), own, found, "this file")
        return findings

    def check_handlers(self) -> list[Finding]:
        """Check the job configuration as it is going to be, against the processes, the version of Galaxy and the database."""
        path: str = self.params["job_conf"] or ""
        place = self.config.job_config(self.params["server_dir"] or "")
        # Where something else is about to change, the job configuration is left to whoever has to do with handlers.
        inline = place.inline is not None and (self.wanted is not None or not self.changes)
        if inline or (not path and not self.changes):
            # Where nothing is about to change, the file itself tells where the job configuration is.
            path = place.path
        content = managed_file.read(path) if path and not inline else None
        found = galaxy.Galaxy(self.version, self.database)
        mode, schedulers = self.params["handlers_mode"], bool(self.params["workflow_schedulers"])
        attached = self.handlers if mode != STATIC else ()
        findings: list[Finding] = []
        if inline:
            findings, self.handling = galaxy_job_config.check_inline(place, self.wanted, attached, found, mode, schedulers)
        elif path and self.wanted is not None:
            findings, self.handling = job_conf.check_changed(content, path, self.wanted, self.params["purge_handlers"], attached)
        elif content is not None:
            findings, self.handling = job_conf.check_and_read(content, path)
        # Where the file is about to be made, so is the program.
        if self.params["virtualenv"] and self.params["missing"] == "fail" and self.handlers and self.params["handlers_mode"] != MULES:
            findings += galaxy.program_findings(self.params["server_dir"] or "", self.params["virtualenv"])
        if path:
            findings += self.check_names(content, path)
        if self.params["instance"] and self.wanted is not None:
            names = [*self.params["workflow_schedulers"], *(handler.id for handler in self.handlers)]
            registered = [handler.id for handler in job_conf.registered(content, path)] if content is not None and self.params["purge_handlers"] else []
            findings += instances.sharing_handlers(self.params["instance"], self.path, names, registered)
        if not self.handling.handlers and not self.handling.assign_with:
            return findings
        if self.handling.handlers:
            findings += galaxy.environment_findings(self.variables)
            if self.application.section:
                section = self.config.section_of("track_jobs_in_database")
                findings += self.config.located(galaxy.tracking_findings(self.application.options, self.path, section, 0, self.version))
        return findings if inline else findings + galaxy.handling_findings(self.handling, path, found, mode, schedulers)

    @property
    def job_config(self) -> dict[str, Any]:
        """Where Galaxy reads how jobs run."""
        place = self.config.job_config(self.params["server_dir"] or "")
        runners = job_conf.yaml_runners(place.inline.data) if place.inline else ()
        shown = [{**asdict(runner), "ends_with_handler": runner.ends_with_handler} for runner in runners]
        return {"path": place.path, "inline": place.inline is not None, "runners": shown}

    @property
    def database(self) -> str:
        """The kind of database; empty where nobody knows."""
        unknown = [name for name, value in self.variables.items() if value is None]
        return galaxy.database_kind(self.application.options, unknown) if self.application.section else ""

    @property
    def uwsgi_options(self) -> dict[str, Any]:
        """The uWSGI options that are going to be set; where something else is about to change, they are left to whoever sets them."""
        here = {} if self.changes or (self.config.of_yml and galaxy.Galaxy(self.version).since(22, 5)) else self.config.uwsgi[0]
        return self.params["uwsgi_options"] or here

    @property
    def uwsgi_place(self) -> tuple[str, dict[str, int], str]:
        """Where the uWSGI options are going to be: the file, the lines that they are in already, and the section."""
        if self.params["uwsgi_options_file"]:
            return self.params["uwsgi_options_file"], {}, ""
        return self.path, self.config.uwsgi[1], paste_ini.UWSGI

    def check_uwsgi_options(self) -> list[Finding]:
        """Check the uWSGI options against each other and the host."""
        path, lines, section = self.uwsgi_place
        options = self.uwsgi_options
        python = virtualenv.python_version(self.params["virtualenv"]) if self.params["virtualenv"] else ()
        errors = uwsgi_options.conflicts(options, listeners.longest_queue(), python)
        fork = galaxy.fork_problem(self.serving, galaxy.Galaxy(self.version))
        if fork:
            errors["lazy-apps"] = fork
        if self.config.of_yml and self.params["uwsgi_options"] and galaxy.Galaxy(self.version).before(22, 5):
            message = f"the role uwsgi serves a galaxy.yml of Galaxy 22.05 and later, and this is {galaxy.Galaxy(self.version)}: name a galaxy.ini"
            return [Finding(self.path, 0, "error", message), *self.check_uwsgi_section()]
        # Where Galaxy is about to be installed, so is its bridge.
        old = galaxy.old_bridge_findings(self.serving, self.params["server_dir"] or "") if self.params["missing"] == "fail" else []
        return [
            *old,
            *self.check_each_option(),
            *self.check_uwsgi_section(),
            *self.check_http(),
            *(
                Finding(path, lines.get(name, 0), severity, message, section, name)
                for severity, found in (("error", errors), ("warning", uwsgi_options.warnings(options)))
                for name, message in found.items()
            ),
        ]

    def check_each_option(self) -> list[Finding]:
        """Check each uWSGI option by itself, wherever it is set, and in the files that the options load."""
        path, lines, section = self.uwsgi_place
        uwsgi = self.uwsgi[0]
        listening: Collection[str] = uwsgi.listening if uwsgi else ()
        known: Collection[str] = uwsgi.options if uwsgi else ()
        directory = self.params["server_dir"] or os.path.dirname(os.path.abspath(self.path))
        found = [
            *uwsgi_files.option_findings(self.uwsgi_options, path, lines, section, listening, known),
            *uwsgi_files.included_findings(self.uwsgi_options, directory, listening, known, path),
        ]
        for file in self.params["uwsgi_files"]:
            of_file, settings = uwsgi_files.file_findings(file, uwsgi_files.format_of(file), listening, known)
            found += [*of_file, *uwsgi_files.included_findings(uwsgi_files.by_name(settings), os.path.dirname(file), listening, known, file)]
        # A comment behind a value is a finding of the file as a whole.
        return [finding for finding in found if not (finding.line and finding.path == self.path and finding.line in self.wrong_lines)]

    def check_uwsgi_section(self) -> list[Finding]:
        """List what has to move out of the section of uWSGI in a galaxy.yml, which nobody reads any more."""
        yml = self.config.yml
        if yml is None or (self.changes and not self.params["uwsgi_options"]):
            return []
        lines = {setting.name: setting.line for setting in yml.uwsgi}
        wrong = uwsgi_files.option_findings(yml.uwsgi_options, yml.path, lines, paste_ini.UWSGI) if self.uwsgi_options != yml.uwsgi_options else []
        return [*galaxy_yml.uwsgi_findings(yml), *(replace(finding, severity="warning") for finding in wrong if finding.severity == "error")]

    @cached_property
    def wrong_lines(self) -> set[int]:
        """The lines of the section of uWSGI that are wrong as lines of a Paste Deploy file."""
        return {finding.line for finding in self.config.findings(False) if finding.section == paste_ini.UWSGI and finding.severity == "error"}

    def check_http(self) -> list[Finding]:
        """Warn about clients of other hosts that speak HTTP to uWSGI itself."""
        variable = self.serving.http
        if not variable or self.params["reach"] != galaxy.NETWORK:
            return []
        message = (
            f"clients of other hosts speak HTTP to uWSGI itself ({variable}), whose parser takes two Content-Length headers for one (unbit/uwsgi#2775), "
            "so that requests can be smuggled past a proxy in front: let nginx_proxy serve the site, or listen on 127.0.0.1"
        )
        return [Finding("", 0, "warning", message)]

    @cached_property
    def loaded(self) -> list[galaxy.Option]:
        """The options of the application, in whatever sections they are."""
        return [(self.config.section_of(name), name, value) for name, value in self.application.options.items()]

    @property
    def bridge(self) -> bool:
        """Whether the bridge loads the application. A galaxy.yml does not say so; the roles serve it by the bridge where Galaxy speaks ASGI."""
        return not galaxy.Galaxy(self.version).before(22, 5) if self.config.of_yml else galaxy_options.is_bridge(self.application)

    @cached_property
    def serving(self) -> galaxy.Serving:
        """How Galaxy is going to be served."""
        options = self.uwsgi_options
        http = "uwsgi_listen" if self.params["uwsgi_listen"] == "http" else "uwsgi_http_address" if self.params["uwsgi_http_address"] else ""
        return galaxy.Serving(self.bridge, uwsgi_options.is_lazy(options) if options else None, http)

    def check_asgi(self) -> list[Finding]:
        """Check what needs a process that speaks ASGI."""
        findings = []
        # Who changes something else leaves it to the one who sets the uWSGI options.
        if self.uwsgi_options or not self.changes:
            findings += galaxy.asgi_findings(self.loaded, self.serving, galaxy.Galaxy(self.version), self.path)
        if self.params["asgi_paths"] is not None:
            findings += galaxy.asgi_path_findings(self.loaded, self.bridge, self.params["asgi_paths"], self.path)
        return self.config.located(findings)

    @cached_property
    def uwsgi(self) -> tuple[Optional[virtualenv.Uwsgi], list[Finding]]:
        """The uWSGI that is there already, which is asked for its options once."""
        path: str = self.params["virtualenv"] or ""
        if not path or not (self.uwsgi_options or self.params["uwsgi_files"]):
            return None, []
        return virtualenv.read_uwsgi(path, self.params["user"] or "", self.params["uwsgi_install_method"] == "distribution")

    def check_virtualenv(self) -> list[Finding]:
        """Check the Python of the virtualenv, and the uWSGI options against the uWSGI in it."""
        path: str = self.params["virtualenv"] or ""
        if not path:
            return []
        distribution = self.params["uwsgi_install_method"] == "distribution"
        findings = virtualenv.python_findings(path)
        if distribution:
            findings += virtualenv.distribution_findings(path)
        options = self.uwsgi_options
        if findings or not options:
            return findings
        uwsgi, findings = self.uwsgi
        if uwsgi is None:
            return findings
        requirement = self.params["uwsgi_package"] or ""
        stays = not requirement or requirement == uwsgi.package or virtualenv.satisfies(uwsgi.package, uwsgi.version, requirement)
        self.uwsgi_satisfies = stays and not distribution
        place, lines, section = self.uwsgi_place
        return [*findings, *virtualenv.option_findings(uwsgi, options, place, lines, stays, section)]

    def seen(self) -> list[str]:
        """The paths that are there and match."""
        return [path for path, pattern in self.params["look_at"].items() if looks_as(path, str(pattern))]

    def check_read_timeout(self) -> list[Finding]:
        """Compare the time that the proxy waits with the time that a start takes."""
        run_dir = self.params["run_dir"]
        return galaxy.read_timeout_findings(self.params["read_timeout"], galaxy.measured_start(run_dir) if run_dir else None)

    def check_writers(self) -> list[Finding]:
        """Name who else than root can write the configuration, which root reads and puts back."""
        found: dict[tuple[str, str], list[str]] = {}
        for path in dict.fromkeys(filter(None, (self.path, self.config.file, self.params["job_conf"], self.params["uwsgi_options_file"]))):
            who, where = safe_files.writer(path)
            if who:
                found.setdefault((who, where), []).append(path)
        return [
            Finding(where, 0, "warning", f"{who} can write here, and so change {', '.join(paths)}, which is read and put back as root: {_REMEDY}")
            for (who, where), paths in found.items()
        ]

    def check_nginx(self) -> list[Finding]:
        """Look for holes in the nginx that is there."""
        uses = self.params["nginx_uses"]
        nginx = nginx_versions.installed() if uses else None
        return nginx_versions.findings(nginx, uses) if nginx else []

    def check_remote_user(self) -> list[Finding]:
        """Check that nobody but the proxy can say who the user is."""
        application = self.application
        if not application.section:
            return []
        place = application.places.get("remote_user_secret")
        path = place.path if place else self.config.file
        # What is in the environment is in no file, and a file that is about to be made gets the mode of the role that makes it.
        mode = os.stat(path).st_mode if path and not self.config.missing else 0
        findings = galaxy.remote_user_findings(
            application.values, path, application.section, {}, self.params["remote_user"], self.params["reach"], mode, application.shared
        )
        if self.params["remote_user"] and galaxy.remote_user(application.values).used:
            findings += self.config.shared_secret_findings()
        # What is found in DEFAULT is there, all else is where the application has it from.
        return self.config.located(
            finding if finding.section == paste_ini.DEFAULT else replace(finding, section=self.config.section_of(finding.option)) for finding in findings
        )


def take_changes(module: AnsibleModule) -> list[paste_ini.Change]:
    """Take the changes out of the module's parameters, and leave them masked there."""
    module.no_log_values.clear()
    return [
        paste_ini.Change(change["section"], hide_secrets(module, change), change["exclusive"], change["state"] == "absent")
        for change in module.params["changes"]
    ]


def take_environment(module: AnsibleModule) -> dict[str, Any]:
    """Take the environment out of the module's parameters, and leave it masked there."""
    part = {"options": module.params["galaxy_environment"]}
    taken = hide_secrets(module, part)
    module.params["galaxy_environment"] = part["options"]
    return taken


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path"},
            "app": {"type": "str", "default": "main"},
            "handlers_path": {"type": "path"},
            "missing": {"type": "str", "choices": ["fail", "ok"], "default": "fail"},
            "changes": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "section": {"type": "str", "required": True},
                    "options": {"type": "dict", "default": {}, "no_log": True},
                    "exclusive": {"type": "bool", "default": False},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                },
            },
            "job_conf": {"type": "path"},
            "handlers": {"type": "list", "elements": "dict"},
            "handlers_mode": {"type": "str", "choices": ["static", "dynamic", "mules"], "default": "static"},
            "workflow_schedulers": {"type": "list", "elements": "str", "default": []},
            "previous_ids": {"type": "list", "elements": "str", "default": []},
            "assign_with": {"type": "list", "elements": "str"},
            "default_handler": {"type": "str"},
            "max_grab": {"type": "int"},
            "ready_window_size": {"type": "int"},
            "purge_handlers": {"type": "bool", "default": False},
            "environment": {"type": "list", "elements": "str", "default": []},
            "galaxy_environment": {"type": "dict", "default": {}, "no_log": True},
            "galaxy_version": {"type": "str"},
            "server_dir": {"type": "path"},
            "virtualenv": {"type": "path"},
            "uwsgi_options": {"type": "dict", "default": {}},
            "uwsgi_options_file": {"type": "path"},
            "uwsgi_files": {"type": "list", "elements": "path", "default": []},
            "uwsgi_listen": {"type": "str", "choices": ["unix", "tcp", "http"], "default": "unix"},
            "uwsgi_http_address": {"type": "str", "default": ""},
            "asgi_paths": {"type": "list", "elements": "str"},
            "uwsgi_package": {"type": "str"},
            "uwsgi_install_method": {"type": "str", "choices": ["wheel", "source", "distribution"], "default": "wheel"},
            "user": {"type": "str"},
            "run_dir": {"type": "path"},
            "read_timeout": {"type": "int"},
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
            "remote_user": {"type": "str"},
            "reach": {"type": "str", "choices": [galaxy.PROXY, galaxy.HOST, galaxy.NETWORK], "default": galaxy.PROXY},
            "sent_directories": {"type": "list", "elements": "path", "default": []},
            "nginx_uses": {"type": "list", "elements": "str", "choices": sorted(nginx_versions.USES), "default": []},
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
            "look_at": {"type": "dict", "default": {}},
            "instance": {"type": "str"},
            "instance_variable": {"type": "str", "default": "instance"},
            "try_system_call_filter": {"type": "bool", "default": False},
            "fail_on": {"type": "str", "choices": ["error", "warning", "never"], "default": "error"},
        },
        supports_check_mode=True,
    )
    params = module.params
    changes = take_changes(module)
    try:
        preflight = Preflight(params, changes, take_environment(module))
        findings = list(dict.fromkeys(preflight.findings()))
    except LookupError as error:
        module.fail_json(msg=f"a handler has no {error}: give each an id")
    except (TypeError, ValueError) as error:  # a parameter
        module.fail_json(msg=str(error))

    result: dict[str, Any] = {
        "changed": False,
        "path": preflight.path,
        "findings": [asdict(finding) for finding in findings],
        "options": preflight.options,
        "changing": preflight.config.changing(),
        "seen": preflight.seen(),
        "job_config": preflight.job_config,
        "remote_user": asdict(galaxy.remote_user(preflight.application.options)),
        "uwsgi_satisfies": preflight.uwsgi_satisfies,
        "uwsgi_packages": sorted(virtualenv.installed_packages(params["virtualenv"])) if params["virtualenv"] else [],
    }
    if params["try_system_call_filter"]:
        result["system_call_filter"] = system_calls.can_be_filtered()
    if findings:
        result["msg"] = "\n".join(map(str, findings))
    if any(finding.severity in FATAL[params["fail_on"]] for finding in findings):
        module.fail_json(**result)
    for finding in findings:
        module.warn(str(finding))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
