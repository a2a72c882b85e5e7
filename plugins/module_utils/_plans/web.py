# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of the web processes of one instance: files, the configuration of the command C(<instance>-web), and what is installed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _handlers, _uwsgi_sockets
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._control.config import (
    Health,
    Socket,
    Watched,
    WebConfig,
    to_json,
)
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._galaxy_options import OTHERS_KEYS, is_yaml
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._mark import MARK
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans import environment, inputs, web_options
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans.web_values import Found, Inputs

# An entry of M(galaxyops.uwsgi.file_set)
FileEntry = dict[str, Any]

PREFIX = "uwsgi_"
UNITS = "/etc/systemd/system"
# Source is built with all of these, or it lacks what needs them.
BUILD_PACKAGES = (
    "build-essential",
    "libjansson-dev",
    "libpcre2-dev",
    "libssl-dev",
    "libxml2-dev",
    "pkg-config",
    "python3-dev",
    "zlib1g-dev",
)
# Of these packages, one takes the files of another.
UWSGI_PACKAGES = ("pyuwsgi", "uwsgi", "uwsgidecorators")


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that the role does for one instance."""

    # The options of uWSGI, the section of the Paste Deploy file that has them, and where a message says that an option is.
    options: dict[str, Any]
    section: dict[str, Any]
    options_file: str
    sockets: list[Socket]
    ports: list[dict[str, Any]]
    # Who can connect: the proxy alone, by the unix socket; every account of the host, by loopback; or anybody.
    reach: str
    # What preflight finds counts for these inputs, and no others.
    inputs: str
    # The sections that this run is going to change, and what preflight has seen on the host.
    changing: list[str]
    seen: list[str]
    is_installed: bool
    host_packages: list[str]
    # What has to be in the virtualenv, and what has to go.
    package: str
    other_packages: list[str]
    filters_system_calls: bool
    # The files of the configuration, and those by which a service manager knows the processes.
    configuration: str
    configuration_files: list[FileEntry]
    definition_files: list[FileEntry]


def plan(values: Mapping[str, Any], found: Mapping[str, Any]) -> Plan:
    """Return the plan for the inputs I(values) on a host of which the role remembers I(found)."""
    return _Planner(inputs.read(Inputs, values, PREFIX), Found.of(found)).plan()


class _Planner:
    """Computes a plan; each method is one part of it."""

    def __init__(self, wanted: Inputs, found: Found) -> None:
        self.wanted = wanted
        self.etc = f"/etc/{wanted.instance}"
        self.command = f"/usr/local/sbin/{wanted.instance}-web"
        self.programs = f"{wanted.supervisor_conf_dir}/{wanted.instance}-web.conf"
        self.units = {kind: f"{UNITS}/{wanted.instance}-{kind}.service" for kind in ("web", "web@", "log")}
        self.rotation = f"/etc/logrotate.d/{wanted.instance}-log"
        # A galaxy.yml belongs to whoever wrote it. uWSGI loads the application by a Paste Deploy file of this role, which names the galaxy.yml.
        self.is_yml = is_yaml(wanted.config_file)
        self.python = f"/usr/local/lib/galaxyops/{wanted.instance}-web/python"
        self.include = f"{posixpath.dirname(wanted.config_file)}/uwsgi-{wanted.instance}.ini"
        self.from_distribution = wanted.install_method == "distribution"
        self.mules = self._mules()
        self.options = web_options.wanted_options(wanted, found.galaxy_version, bool(self.mules))
        self.made, self.option_files = web_options.written(
            self.options,
            wanted.config_format,
            wanted.config_file,
            self.etc,
            self.include,
            wanted.paste_app,
            self.python,
        )
        self.sockets = _uwsgi_sockets.sockets(
            wanted.instance, wanted.listen, wanted.listen_address, wanted.http_address
        )
        self.found = found.for_inputs(self.inputs())

    def plan(self) -> Plan:
        """Return all of it."""
        wanted, found = self.wanted, self.found
        configuration = to_json(self.configuration())
        return Plan(
            options=self.options,
            section=dict(self.made.section),
            options_file=self.options_file(),
            sockets=self.sockets,
            ports=_uwsgi_sockets.ports(wanted.listen, wanted.listen_address, wanted.http_address),
            reach=self.reach(),
            inputs=self.inputs(),
            changing=found.changing,
            seen=found.seen,
            is_installed=found.satisfies and (wanted.virtualenv in found.seen or not found.has_new_virtualenv),
            host_packages=self.host_packages(),
            package=self.package(),
            other_packages=self.other_packages(),
            filters_system_calls=wanted.hardening and not self.runs_jobs() and found.system_call_filter,
            configuration=configuration,
            configuration_files=self.configuration_files(configuration),
            definition_files=self.systemd_files() if wanted.manager == "systemd" else self.supervisor_files(),
        )

    def _mules(self) -> list[str]:
        """Return what makes uWSGI run handlers as mules."""
        wanted = self.wanted
        if wanted.handlers_mode != _handlers.MULES or wanted.handlers_state != "present":
            return []
        return _handlers.mules(wanted.handlers)

    def inputs(self) -> str:
        """Return a hash of the inputs that preflight has checked the host with."""
        wanted = self.wanted
        values = [
            wanted.config_file,
            wanted.config_format,
            dict(self.made.section),
            wanted.virtualenv,
            wanted.package,
            wanted.install_method,
        ]
        return hashlib.sha256(json.dumps(values, default=str).encode()).hexdigest()

    def options_file(self) -> str:
        """Return the file that a message names for an option; empty where the option has a line in the Paste Deploy file."""
        form = self.wanted.config_format
        if form == "paste":
            return f"{self.etc}/paste.ini" if self.is_yml else ""
        names = {"command_line": "web.json", "environment": "web.env", "emperor": "uwsgi.ini"}
        return f"{self.etc}/{names[form]}" if form in names else self.made.argv[-1]

    def reach(self) -> str:
        """Return who can connect."""
        addresses = [socket.address for socket in self.sockets if not socket.address.startswith("/")]
        if not addresses:
            return "proxy"
        return "host" if all(address.startswith(("127.", "[::1]:")) for address in addresses) else "network"

    def runs_jobs(self) -> bool:
        """Tell whether jobs run in the web processes. What jobs need no web process may be refused then."""
        wanted = self.wanted
        if wanted.handlers_state != "present":
            return False
        return wanted.handlers_mode == _handlers.MULES or bool(
            {"mem-self", "db-self"} & set(wanted.handlers_assign_with)
        )

    def host_packages(self) -> list[str]:
        """Return the packages that the host needs for a virtualenv, for log files, and to install uWSGI."""
        found = ["python3-venv"]
        if self.wanted.log_dir:
            found.append("logrotate")
        if self.wanted.install_method == "source":
            old = self.wanted.debian == "11"
            found += ["libpcre3-dev" if old and name == "libpcre2-dev" else name for name in BUILD_PACKAGES]
        if self.from_distribution:
            found += [self.wanted.package, self.wanted.package.replace("uwsgi-core", "uwsgi-plugin-python3")]
        return found

    def package(self) -> str:
        """Return uWSGI as the virtualenv gets it, or what the distribution lacks of it or puts where a virtualenv does not look."""
        return "uwsgidecorators>=1.1,<2" if self.from_distribution else self.wanted.package

    def other_packages(self) -> list[str]:
        """Return the packages in the virtualenv that have files of the same names as the wanted one."""
        name = re.match("[A-Za-z0-9._-]*", self.package())
        wanted = name[0].lower() if name else ""
        return (
            [package for package in dict.fromkeys(self.found.packages) if package != wanted]
            if wanted in UWSGI_PACKAGES
            else []
        )

    def program(self) -> list[str]:
        """Return the command line of uWSGI, without its options."""
        virtualenv = self.wanted.virtualenv
        if self.from_distribution:
            return ["/usr/bin/uwsgi", "--plugin", "python3", "--virtualenv", virtualenv]
        return [f"{virtualenv}/bin/uwsgi"]

    def configuration(self) -> WebConfig:
        """Return what the command reads: who and what the processes are, and what they are started from."""
        wanted = self.wanted
        boot_units = [*(socket.unit for socket in self.sockets), f"{wanted.instance}-web.service"]
        return WebConfig(
            manager=wanted.manager,
            boot_units=boot_units if wanted.manager == "systemd" else [f"{wanted.instance}-web-pool"],
            # A socket is left by itself.
            definitions={"systemd": [*self.units.values(), self.rotation], "supervisor": [self.programs]},
            sockets=self.sockets,
            command=self.command,
            handlers_command=f"/usr/local/sbin/{wanted.instance}-handlers",
            user=wanted.user,
            group=wanted.group,
            socket_group=wanted.socket_group,
            chdir=wanted.chdir,
            virtualenv=wanted.virtualenv,
            environment_file=f"{self.etc}/web.env",
            slot_argv=self.mules,
            argv=[*self.program(), *self.made.argv],
            vassal=f"{self.etc}/uwsgi.ini" if wanted.config_format == "emperor" else "",
            log_dir=wanted.log_dir,
            stop_timeout=wanted.stop_timeout,
            handover=wanted.handover,
            allow_interruption=wanted.allow_interruption,
            health=Health(
                path=wanted.health_path,
                status=wanted.health_status,
                host="localhost",
                timeout=wanted.start_timeout,
            ),
            code=wanted.watch,
            watch=self.watch(),
        )

    def watch(self) -> list[Watched]:
        """Return what the processes are started from. A change of any of it is taken over by a handover."""
        wanted, etc = self.wanted, self.etc
        jobs = posixpath.dirname(wanted.job_config_file)
        # The sections of other programs in a galaxy.yml are no reason to replace the web processes.
        config: Watched = {"path": wanted.config_file}
        if self.is_yml:
            config["without_keys"] = list(OTHERS_KEYS)
        files = [
            f"{etc}/paste.ini",
            # Every file that one format or another has: those of the format before are put back too if this one does not work.
            self.include,
            *(f"{etc}/uwsgi.{extension}" for extension in ("ini", "yml", "json", "xml")),
            wanted.job_config_file,
            f"{jobs}/workflow_schedulers_conf.{wanted.instance}.xml",
            f"{etc}/web.env",
            self.units["web@"] if wanted.manager == "systemd" else self.programs,
        ]
        # What the galaxy role writes, or somebody by hand, for Galaxy to be served by uWSGI; it is not for this role to put back.
        code = [
            f"{wanted.chdir}/lib/galaxy_wsgi/*.py",
            f"{wanted.chdir}/lib/galaxy_wsgi.py",
            f"{self.python}/galaxy_wsgi/*.py",
        ]
        # What is installed: when it changes, so do the processes.
        program = (
            ["/usr/bin/uwsgi", "/usr/lib/uwsgi/plugins/python3*_plugin.so"]
            if self.from_distribution
            else [
                f"{wanted.virtualenv}/bin/uwsgi",
                f"{wanted.virtualenv}/lib/python3*/site-packages/*[uU][wW][sS][gG][iI]*.dist-info/RECORD",
            ]
        )
        return [
            config,
            *(Watched(path=path) for path in files),
            *(Watched(path=path, installed=True) for path in code),
            {"path": wanted.virtualenv, "link": True},
            *(Watched(path=path, installed=True) for path in program),
        ]

    def configuration_files(self, configuration: str) -> list[FileEntry]:
        """Return the files that the processes read."""
        kept = {"group": self.wanted.group, "mode": "0640"}
        return [
            {"path": self.etc, "state": "directory", "mode": "0755"},
            {"path": f"{self.etc}/web.json", "content": configuration, "mode": "0644"},
            {"path": f"{self.etc}/web.env", "content": self.environment(), "sensitive": True, **kept},
            *({**entry, **kept} for entry in self.option_files),
        ]

    def environment(self) -> str:
        """Return the file with the environment of the processes."""
        found: dict[str, Any] = {}
        # The environment is read before the command line, so there the plugin has to stand too.
        if self.from_distribution and self.wanted.config_format == "environment":
            found["UWSGI_PLUGINS"] = "python3"
        found.update(self.made.environment)
        # Galaxy's Celery looks for the file here, and tasks of a web process that does not know of the file would reach no worker.
        if self.is_yml:
            found["GALAXY_CONFIG_FILE"] = self.wanted.config_file
        return environment.environment_file({**found, **self.wanted.environment})

    def systemd_files(self) -> list[FileEntry]:
        """Return the units of systemd, and what rotates the log files."""
        state = "file" if self.wanted.log_dir else "absent"
        return [
            *(
                self._shared(
                    f"{UNITS}/{socket.unit}",
                    "systemd/web.socket.j2",
                    template_vars={"__uwsgi_socket": dataclasses.asdict(socket)},
                )
                for socket in self.sockets
            ),
            self._shared(self.units["web"], "systemd/web.service.j2"),
            self._shared(self.units["web@"], "systemd/web@.service.j2"),
            self._shared(self.units["log"], "systemd/log.service.j2", state=state),
            self._shared(self.rotation, "logrotate/log.j2", state=state),
        ]

    def supervisor_files(self) -> list[FileEntry]:
        """Return the programs of supervisor."""
        return [self._shared(self.programs, "supervisor/web.conf.j2")]

    def _shared(self, path: str, template: str, **more: Any) -> FileEntry:
        """Return a file of a template that two roles share."""
        return {"path": path, "template": f"{self.wanted.templates}/{template}", "mark": MARK, "mode": "0644", **more}
