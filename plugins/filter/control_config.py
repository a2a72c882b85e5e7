# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that writes the configuration of the commands, by the class that they read it with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._control.config import (
    Config,
    ConfigError,
    HandlersConfig,
    WebConfig,
    from_data,
    to_json,
    with_numbers,
)

KINDS: dict[str, type[Config]] = {"web": WebConfig, "handlers": HandlersConfig}


def control_config(data: Mapping[str, Any], kind: str) -> str:
    """Return the text of C(web.json) or C(handlers.json)."""
    if kind not in KINDS:
        raise AnsibleFilterError(f"control_config takes web or handlers, not {kind!r}")
    try:
        return to_json(from_data(KINDS[kind], with_numbers(dict(data))))
    except ConfigError as error:
        raise AnsibleFilterError(f"the configuration of {kind} is wrong: {error}") from error


class FilterModule:
    """The filter, by the name that the roles use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name -> function."""
        return {"control_config": control_config}
