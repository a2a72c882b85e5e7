# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of M(galaxyops.uwsgi.file_set) that runs on the controller: it renders templates.

A template lookup for each file would copy all variables each time, which takes longer than to write the files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Optional

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core is untyped
    """The action, as Ansible calls it."""

    _supports_async = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Render the templates among the files, and have the module write them all."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if isinstance(arguments.get("files"), list):
            arguments["files"] = [self._rendered(entry, task_vars or {}) for entry in arguments["files"]]
        wrap_async = self._task.async_val and not self._connection.has_native_async
        result.update(self._execute_module(module_args=arguments, task_vars=task_vars, wrap_async=wrap_async))
        return result

    def _rendered(self, entry: Any, task_vars: Mapping[str, Any]) -> Any:
        """Return I(entry) with content instead of its template; what is wrong with it otherwise is for the module to say."""
        if not isinstance(entry, Mapping):
            return entry
        rest = {key: value for key, value in entry.items() if key not in ("template", "template_vars")}
        if not entry.get("template") or entry.get("state", "file") == "absent":
            return rest
        if rest.get("content"):
            raise AnsibleActionFail(f"{entry.get('path')}: content and template cannot be written both: remove one of them")
        try:
            source = self._find_needle("templates", entry["template"])
            text = trust_as_template(self._loader.get_text_file_contents(source))
        except AnsibleError as error:
            raise AnsibleActionFail(f"{entry.get('path')}: the template {entry['template']} cannot be read: {error}") from error
        templar = self._templar.copy_with_new_env(
            searchpath=[os.path.dirname(source)], available_variables={**task_vars, **(entry.get("template_vars") or {})}
        )
        # Lines that hold nothing but a block leave no empty line, as with ansible.builtin.template.
        content = templar.template(text, escape_backslashes=False, overrides={"trim_blocks": True})
        return {**rest, "content": content if content is not None else ""}
