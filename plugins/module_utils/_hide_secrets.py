# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the secrets among a module's options out of its result and its log, and show the rest."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._secrets import mask_value

# A shorter secret would be masked wherever the same letters occur in the output.
_SHORTEST_HIDDEN = 4


def hide_secrets(module: AnsibleModule, params: dict[str, Any]) -> dict[str, Any]:
    """Take C(options) out of I(params), a part of the module's parameters, and leave a masked copy there.

    The whole dictionary is no_log until here, for the invocation is logged before anyone can tell its secrets; the
    caller has emptied the module's no_log_values.
    """
    options: dict[str, Any] = params["options"]
    masked = {name: mask_value(name, str(value)) for name, value in options.items()}
    secrets = [str(value) for name, value in options.items() if masked[name] != str(value)]
    module.no_log_values.update(secret for secret in secrets if len(secret) >= _SHORTEST_HIDDEN)
    params["options"] = {name: value if masked[name] == str(value) else masked[name] for name, value in options.items()}
    return options
