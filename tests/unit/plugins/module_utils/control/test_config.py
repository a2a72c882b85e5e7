# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration that the controller writes is the one that the host reads, and whatever is wrong in it is named."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from control_helpers import HEALTH, configuration

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._control.config import (
    Config,
    ConfigError,
    HandlersConfig,
    WebConfig,
    from_data,
    from_json,
    to_json,
)

KINDS: dict[str, type[Config]] = {"web": WebConfig, "handlers": HandlersConfig}
HANDLER = {"id": "a", "tags": ["x"], "plugins": [], "assign_with": ["db-preassign"], "default": ""}


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (
            "web",
            {
                "sockets": [{"protocol": "http", "address": ":8080", "unit": "x.socket"}],
                "watch": [{"path": "/a", "link": True}],
            },
        ),
        ("handlers", {"handlers": {"a": HANDLER, "w": {"id": "w", "workflow_scheduler": True}}}),
    ],
)
def test_host_reads_what_the_controller_has_written(kind: str, config: dict[str, Any]) -> None:
    written = configuration(kind, **config)
    text = to_json(from_data(KINDS[kind], written))
    assert json.loads(text) == written
    assert to_json(from_json(KINDS[kind], text.encode())) == text


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"health": {**HEALTH, "port": 80}}, "unknown key 'health.port'"),
        ({"health": {"host": "localhost", "status": [200], "timeout": 2}}, "no key 'health.path'"),
        (
            {"watch": [{"path": "/a"}, {"path": "/b", "without_sections": "uwsgi"}]},
            "unknown key 'watch[1].without_sections'",
        ),
        ({"sockets": [{"protocol": "http", "address": ":8080"}]}, "no key 'sockets[0].unit'"),
        ({"stop_timeout": "soon"}, "stop_timeout is 'soon' (str), not a whole number"),
        ({"stop_timeout": True}, "stop_timeout is True (bool), not a whole number"),
        ({"allow_interruption": "no"}, "allow_interruption is 'no' (str), not true or false"),
        ({"argv": "uwsgi --master"}, "argv is 'uwsgi --master' (str), not a list"),
        ({"argv": ["uwsgi", 4]}, "argv[1] is 4 (int), not text"),
        ({"definitions": {"systemd": "/a"}}, "definitions.systemd is '/a' (str), not a list"),
        ({"handover": "never"}, "handover is 'never', not one of overlap, in_place"),
        ({"manager": ["systemd"]}, "manager is ['systemd'], not one of systemd, supervisor"),
    ],
)
def test_what_is_wrong_is_named(config: dict[str, Any], problem: str) -> None:
    data = {**configuration("web"), **config}
    with pytest.raises(ConfigError) as error:
        from_data(WebConfig, data)
    assert str(error.value) == problem


def test_controller_writes_nothing_that_a_host_cannot_read() -> None:
    config = from_data(WebConfig, configuration("web"))
    wrong: Any = ["uwsgi", 4]
    with pytest.raises(ConfigError, match=r"^argv\[1\] is 4 \(int\), not text$"):
        to_json(replace(config, argv=wrong))


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_needed_and_all_that_is_wrong_is_named_at_once(kind: str) -> None:
    keys = list(configuration(kind))
    for key in keys:
        data = configuration(kind)
        del data[key]
        with pytest.raises(ConfigError, match=f"^no key '{key}'$"):
            from_data(KINDS[kind], data)
    with pytest.raises(ConfigError) as error:
        from_data(KINDS[kind], {})
    assert sorted(str(error.value).split("; ")) == sorted(f"no key '{key}'" for key in keys)


def test_settings_of_a_handler_stay_as_they_are() -> None:
    """The fingerprint of its process is of them: a key more would restart it."""
    data = configuration("handlers", handlers={"a": HANDLER})
    assert from_data(HandlersConfig, data).handlers == {"a": HANDLER}
    data["handlers"]["a"] = {**HANDLER, "default": 7}
    assert from_data(HandlersConfig, data).handlers["a"]["default"] == 7
    data["handlers"]["a"] = {**HANDLER, "nice": 1}
    with pytest.raises(ConfigError, match=r"^unknown key 'handlers\.a\.nice'$"):
        from_data(HandlersConfig, data)


def test_numbers_that_are_text_in_the_copies_of_an_earlier_release_are_read_as_numbers() -> None:
    """As C(--extra-vars uwsgi_start_timeout=9e2) made release 1.0.0 write them."""
    data = configuration("web", stop_timeout="30", health={**HEALTH, "timeout": "9e2", "status": "200,302"})
    found = from_json(WebConfig, json.dumps(data).encode())
    assert (found.stop_timeout, found.health.timeout, found.health.status) == (30, 900, [200, 302])


def test_lists_that_are_text_in_the_copies_of_an_earlier_version_are_read_as_lists() -> None:
    """A roll back brings such a copy back, and every later start reads it."""
    assert from_json(WebConfig, json.dumps(configuration("web", code="/a,/b")).encode()).code == ["/a", "/b"]
    for written, meant in (("db-preassign", ["db-preassign"]), ("", []), (None, [])):
        data = configuration("handlers", handlers={"a": {**HANDLER, "assign_with": written}})
        found = from_json(HandlersConfig, json.dumps(data).encode())
        assert found.handlers["a"]["assign_with"] == meant


def test_key_that_a_later_release_adds_may_be_missing_in_copies_of_an_earlier_one() -> None:
    @dataclass(frozen=True)
    class Later(HandlersConfig):
        nice: int = 0

    assert from_data(Later, configuration("handlers")).nice == 0
    assert from_data(Later, configuration("handlers") | {"nice": 5}).nice == 5
