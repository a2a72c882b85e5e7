# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that reads a user given in either of the ways that Galaxy's roles allow."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.galaxyops.uwsgi.plugins.filter.user_name import FilterModule, user_name


@pytest.mark.parametrize("value", ["galaxy", {"name": "galaxy"}, {"name": "galaxy", "uid": 999, "shell": "/bin/bash"}])
def test_a_user_is_a_name_or_a_dictionary_with_one(value: Any) -> None:
    assert user_name(value) == "galaxy"


@pytest.mark.parametrize("value", ["", {}, {"name": ""}, {"name": None}, {"uid": 999}, None, 999, ["galaxy"]])
def test_anything_else_is_refused_with_what_to_write(value: Any) -> None:
    with pytest.raises(AnsibleFilterError) as refused:
        user_name(value)
    assert repr(value) in str(refused.value)
    assert "{name: galaxy}" in str(refused.value)


def test_roles_find_the_filter_by_its_name() -> None:
    assert FilterModule().filters() == {"user_name": user_name}
