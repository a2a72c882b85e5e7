# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the filter wrong_networks."""

from __future__ import annotations

from ansible_collections.galaxyops.uwsgi.plugins.filter.wrong_networks import wrong_networks


def test_only_what_is_wrong_is_named() -> None:
    right = ["10.0.0.7", "10.0.0.0/24", "::1", "2001:db8::/64", "0.0.0.0/0"]
    wrong = ["10.0.0.7/24", "balancer.example.org", "10.0.0.0/33", "10.0.0", "", "10.0.0.7;"]
    assert wrong_networks([*right, *wrong]) == wrong
    assert wrong_networks([]) == []
