# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Galaxy's options on a host, wherever they are: in a galaxy.ini, in a galaxy.yml, and in the environment of the processes.

uWSGI loads every application by a Paste Deploy file. One for a Galaxy with a galaxy.yml has no options of Galaxy, and names the galaxy.yml
in C(galaxy_config_file).
"""

from __future__ import annotations

import ast
import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy_environment as galaxy_environment
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy_job_config as galaxy_job_config
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy_options as galaxy_options
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _galaxy_yml as galaxy_yml
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _managed_file as managed_file
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_ini as paste_ini
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_files as uwsgi_files
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._galaxy_job_config import JobConfig
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._galaxy_options import NAMES_YML
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._paste_ini import Application, Change
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._secrets import mask_value

MISSING = "the file does not exist: correct the path, or run the role that writes the file first"

_SECRET = "remote_user_secret"
_GALAXY_SECTION = re.compile(r"^galaxy:", re.MULTILINE)

# Options whose value is no text. Those that end like this are too, and of the first ones Galaxy dies when they are empty.
_NEVER_TEXT = ("job_config", "themes_config_file_by_host")
_BY_HOST = "_by_host"
_STRUCTURED = (
    *_NEVER_TEXT,
    "canonical_email_rules",
    "celery_conf",
    "container_resolvers",
    "dependency_resolution",
    "dependency_resolvers",
    "file_source_templates",
    "file_sources",
    "inference_services",
    "job_metrics",
    "logging",
    "object_store_config",
    "object_store_templates",
    "oidc_auth_pipeline",
    "oidc_auth_pipeline_extra",
    "panel_views",
)


class GalaxyConfig:
    """A file as it is and as it is going to be, and what the application gets of it.

    I(before) is the text of a Paste Deploy file, and I(yml) what a galaxy.yml says. I(application) has the options that Galaxy gets as text, with
    those of the environment, and I(nested) all others.
    """

    def __init__(
        self,
        path: str = "",
        app: str = "main",
        changes: Sequence[Change] = (),
        variables: Optional[Mapping[str, Optional[str]]] = None,
    ) -> None:
        """Read the file at I(path), which may be missing, and find out what I(changes) are going to make of it.

        The I(variables) are those of Galaxy's environment, with None where nobody knows the value.
        """
        self.path = path
        self.app = app
        self.changes = changes
        self.before: Optional[str] = None
        self.after = ""
        self.loading = paste_ini.load("", "", app)
        self.yml: Optional[galaxy_yml.GalaxyYml] = None
        self.in_file = Application()
        self.missing = bool(path)
        content = managed_file.read(path) if path else None
        if path:
            self.missing = content is None
            self._read(None if content is None else paste_ini.decode(content))
        nested: Mapping[str, Any] = self.yml.nested if self.yml else {}
        self.application = galaxy_environment.in_environment(self.in_file, variables or {}, nested)
        self.nested = {name: value for name, value in nested.items() if name not in self.application.values}

    def _read(self, text: Optional[str]) -> None:
        if galaxy_yml.is_yaml(self.path):
            if text is not None:
                self.yml = galaxy_yml.read(text, self.path)
                self.in_file = self.yml.application
            return
        self.before = text
        try:
            self.after = paste_ini.changed(text or "", self.changes)
        except paste_ini.PasteIniError:
            self.after = text or ""  # what is wrong is found below
        self.loading = paste_ini.load(self.after, os.path.abspath(self.path), self.app, paste_ini.on_host)
        self.in_file = galaxy_options.application_of(self.loading)
        named = self.in_file.values.get(NAMES_YML, "")
        if not named:
            return
        content = managed_file.read(named) if os.path.isabs(named) else None
        if content is None:
            self.yml = galaxy_yml.GalaxyYml(named, problem=Finding(named, 0, "error", MISSING))
        else:
            self.yml = galaxy_yml.read(paste_ini.decode(content), named)
        self.in_file = galaxy_yml.with_factory(self.yml, self.in_file.factory).application

    @property
    def is_known(self) -> bool:
        """Whether anything says what the application is."""
        return bool(self.application.section)

    @property
    def of_yml(self) -> bool:
        """Whether the file itself is a galaxy.yml."""
        return self.yml is not None and self.yml.path == self.path

    @property
    def file(self) -> str:
        """The file that has Galaxy's options."""
        return self.yml.path if self.yml else self.path

    @property
    def mode(self) -> int:
        """The permissions of the file; a file that is about to be made gets those of the role that makes it."""
        return 0 if self.missing else os.stat(self.file).st_mode

    def section_of(self, option: str) -> str:
        """The section that has an option of the application, or else that of the application."""
        place = self.application.places.get(option)
        return place.section if place else self.application.section

    def located(self, findings: Iterable[Finding]) -> list[Finding]:
        """The findings about options of the application where these are set: lines are those of the file as it is now."""
        found = []
        for finding in findings:
            place = self.application.places.get(finding.option)
            variable = galaxy_environment.variable_of(self.application, finding.option)
            if variable:
                found.append(galaxy_environment.finding_of(finding, variable))
            elif self.yml:
                line = place.line if place else self.yml.line
                found.append(replace(finding, path=self.yml.path, line=line, section=self.application.section))
            elif place and place.section == finding.section and place.path != os.path.abspath(self.path):
                found.append(replace(finding, path=place.path, line=place.line))
            else:
                lines = paste_ini.option_lines(self.before or "", finding.section)
                line = lines.get(finding.option, lines.get(f"get {finding.option}", 0))
                found.append(replace(finding, path=self.path, line=line))
        return found

    def returned(self, section: str, names: Sequence[str]) -> dict[str, str]:
        """The options of a section as they are now, masked; for the section of an application those of Galaxy."""
        if self.yml:
            found = self.yml.application.options if section in (f"app:{self.app}", galaxy_yml.SECTION) else {}
        elif self.before is None:
            return {}
        else:
            found = paste_ini.options_in_effect(self.before, os.path.abspath(self.path), section, paste_ini.on_host)
        return {name: found[name] for name in names if name in found}

    def findings(self, handlers: Optional[bool] = None) -> list[Finding]:
        """What is wrong with the file as it is going to be, with webless I(handlers) or without; None says that this is not known."""
        if not self.path or (self.missing and not self.is_known and not self.yml):
            return []
        if self.yml and self.of_yml:
            in_effect = replace(self.yml, application=self.application, nested=self.nested)
            found = [
                *galaxy_yml.check(self.yml, handlers),
                *self._with_variables(galaxy_yml.required_findings(in_effect, self.changes, self.app)),
            ]
        else:
            found = self._of_ini(handlers)
        return [*found, *self._of_values(), *self._of_another_file()]

    def _of_ini(self, handlers: Optional[bool]) -> list[Finding]:
        text = self.before or ""
        wrong = uwsgi_files.wrong_format(text, self.path, "INI")
        if wrong and _GALAXY_SECTION.search(text):
            message = "the file is YAML, and is read as INI: give a galaxy.yml a name that ends in .yml, by which Galaxy knows YAML too"
            return [replace(wrong[0], message=message)]
        if wrong:
            return wrong
        # Galaxy's job handlers read the file that has its options.
        own = False if self.yml else handlers
        found = paste_ini.check_changed(text, self.changes, self.path, self.app, own, paste_ini.on_host)
        if self.yml:
            return [*found, *self._of_link(), *galaxy_yml.check(self.yml, handlers)]
        if handlers or (handlers is None and galaxy_options.is_galaxy(self.in_file)):
            severity = "error" if handlers else "warning"
            read = galaxy_options.reading_findings(self.loading.document, self.path, self.app, self.in_file, severity)
            # These say themselves where they are.
            found += [finding for finding in self.located(read) if not galaxy_environment.option_of(finding.option)[0]]
        return found

    def _of_link(self) -> Iterator[Finding]:
        """What a Paste Deploy file that names a galaxy.yml must not say besides."""
        application = galaxy_options.application_of(self.loading)
        lines = paste_ini.option_lines(self.before or "", application.section)
        if not galaxy_options.is_bridge(application):
            message = f"only the factory {galaxy_options.BRIDGE} reads this option, and Galaxy would run with its defaults: write that factory"
            yield Finding(self.path, lines.get(NAMES_YML, 0), "error", message, application.section, NAMES_YML)
        for name in application.values:
            if name != NAMES_YML:
                message = f"Galaxy's job handlers do not get this option, because they read {self.file}: write the option there, below 'galaxy:'"
                yield Finding(self.path, lines.get(name, 0), "error", message, application.section, name)

    def _of_values(self) -> Iterator[Finding]:
        """Values that Galaxy cannot use as what they are."""
        is_galaxy = self.yml is not None or galaxy_options.is_galaxy(self.application)
        if is_galaxy and not (self.yml and self.yml.problem):
            found = [
                *galaxy_job_config.option_findings(self.application, self.nested),
                *_text_findings(self.application),
            ]
            yield from self._with_variables(found)

    def shared_secret_findings(self) -> Iterator[Finding]:
        """Whether the secret that Galaxy and nginx share is where the role nginx_proxy reads it: in the file, which alone gives it to Galaxy too."""
        variable = galaxy_environment.variable_of(self.application, _SECRET)
        if variable.startswith(galaxy_environment.OVERRIDE):
            message = f"nginx sends the secret of {self.file}, and Galaxy believes that of this variable: move the value into the file, and remove the variable"
            yield Finding("", 0, "error", message, "", _SECRET)
        elif self.yml and not self.yml.problem and _SECRET not in self.in_file.values:
            message = (
                "Galaxy and nginx share this secret, and the roles never write a galaxy.yml: add 'remote_user_secret:' with 48 random letters and "
                f"digits below '{galaxy_yml.SECTION}:' (galaxy_config.{galaxy_yml.SECTION} of the role galaxyproject.galaxy)"
            )
            yield Finding(self.file, self.yml.line, "error", message, galaxy_yml.SECTION, _SECRET)

    def _with_variables(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        for finding in findings:
            variable = galaxy_environment.variable_of(self.application, finding.option)
            yield galaxy_environment.finding_of(finding, variable) if variable else finding

    def _of_another_file(self) -> Iterator[Finding]:
        """Another file beside that one, which has options of Galaxy too: programs that look for it themselves read galaxy.yml."""
        stem, extension = os.path.splitext(self.path)
        if os.path.basename(stem) != "galaxy" or self.missing or (self.yml and not self.of_yml):
            return
        with contextlib.suppress(OSError, managed_file.ManagedFileError):
            if self.of_yml:
                other = GalaxyConfig(f"{stem}.ini", self.app)
                if not other.yml and galaxy_options.is_galaxy(other.in_file):
                    yield Finding(
                        other.path,
                        0,
                        "warning",
                        f"nobody reads Galaxy's options here, because {self.path} has them: remove this file",
                    )
            elif extension == ".ini" and galaxy_options.is_galaxy(self.in_file):
                other = GalaxyConfig(f"{stem}.yml")
                if other.yml and not other.yml.problem and (other.in_file.values or other.nested):
                    message = (
                        f"Celery, galaxyctl and Galaxy's scripts read Galaxy's options here, and web processes and job handlers those in {self.path}: "
                        "keep one of the two files"
                    )
                    yield Finding(other.path, other.yml.line, "warning", message)

    def changing(self) -> list[str]:
        """The sections that the changes are going to change; a galaxy.yml is never changed."""
        if galaxy_yml.is_yaml(self.path):
            return []
        if self.before is None:
            return [change.section for change in self.changes]
        found = []
        for change in self.changes:
            # Where it cannot be changed, the findings say why.
            with contextlib.suppress(paste_ini.PasteIniError):
                if paste_ini.changed(self.before, [change]) == self.before:
                    continue
            found.append(change.section)
        return found

    def job_config(self, server_dir: str) -> JobConfig:
        """Where Galaxy reads how jobs run."""
        nodes = self.yml.nodes if self.yml else {}
        is_galaxy = self.yml is not None or galaxy_options.is_galaxy(self.application)
        if not is_galaxy and galaxy_job_config.FILE not in self.application.values:
            return JobConfig()
        path = self.file if self.yml else os.path.abspath(self.path)
        return galaxy_job_config.locate(self.application, path, server_dir, self.nested, nodes)

    @property
    def uwsgi(self) -> tuple[dict[str, Any], dict[str, int]]:
        """The options of uWSGI in the file, and their lines in it as it is now."""
        if self.yml and self.of_yml:
            return self.yml.uwsgi_options, {setting.name: setting.line for setting in reversed(self.yml.uwsgi)}
        here = paste_ini.section_values(self.after, paste_ini.UWSGI)
        return dict(here), paste_ini.option_lines(self.before or "", paste_ini.UWSGI)


def values_in_effect(path: str, section: str, content: Optional[bytes]) -> dict[str, str]:
    """The options of a section in a file with this I(content), which may be a galaxy.yml, as the application gets them: not to be shown."""
    if content is None:
        return {}
    text = paste_ini.decode(content)
    if galaxy_yml.is_yaml(path):
        return dict(galaxy_yml.read(text, path).application.values)
    values = paste_ini.values_in_effect(text, path, section, paste_ini.on_host)
    named = values.get(NAMES_YML, "")
    if not os.path.isabs(named):
        return values
    content = managed_file.read(named)
    return {} if content is None else dict(galaxy_yml.read(paste_ini.decode(content), named).application.values)


def _text_findings(application: Application) -> Iterator[Finding]:
    """Text where Galaxy needs something else, and lists as Python writes them."""
    for name, value in application.values.items():
        place = application.places.get(name)
        if place is None or name == galaxy_job_config.INLINE:
            continue
        structured = name in _STRUCTURED or name.endswith(_BY_HOST)
        if structured and (value or name in _NEVER_TEXT):
            remedy = "remove the line, or move Galaxy's options to a galaxy.yml"
            message = f"is text, and Galaxy needs a mapping or a list, which only a galaxy.yml can hold: {remedy}"
        elif not structured and _is_literal(value):
            shown = ",".join(map(str, ast.literal_eval(value)))
            message = f"is a list as Python writes it, and Galaxy takes brackets and quotes for a part of the values: write {mask_value(name, shown)}"
        else:
            continue
        yield Finding(place.path, place.line, "error", message, place.section, name)


def _is_literal(value: str) -> bool:
    """Whether a value is a list of texts as Python writes it, which is what a template makes of one."""
    if not value.startswith(("['", '["')):
        return False
    with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
        found = ast.literal_eval(value)
        return isinstance(found, list) and all(isinstance(item, str) for item in found)
    return False
