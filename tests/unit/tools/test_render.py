# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A template is shown as a role renders it, without a host."""

from __future__ import annotations

import json

import pytest
import render


def test_template_of_a_role_is_rendered_with_the_inputs_that_are_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert render.main(["nginx_proxy", "site.conf.j2", "-e", "nginx_proxy_prefix=/galaxy"]) == 0
    assert 'uwsgi_param SCRIPT_NAME "/galaxy";' in capsys.readouterr().out


def test_template_that_roles_share_is_rendered_with_the_defaults_of_the_one_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert render.main(["job_handlers", "systemd/handler@.service.j2"]) == 0
    text = capsys.readouterr().out
    assert "ExecStart=/usr/local/sbin/galaxy-handlers become %i\n" in text
    assert "\n\n\n" not in text, "blocks leave empty lines, which they do not on a host"


def test_expression_is_rendered_with_the_variables_of_the_role(capsys: pytest.CaptureFixture[str]) -> None:
    assert render.main(["uwsgi", "{{ __uwsgi_plan.configuration }}", "-e", "uwsgi_instance=training"]) == 0
    assert json.loads(capsys.readouterr().out)["command"] == "/usr/local/sbin/training-web"


def test_variable_that_only_a_host_has_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert render.main(["uwsgi", "systemd/web.socket.j2"]) == 1
    assert "'__uwsgi_socket' is undefined" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("role", "template", "message"),
    [
        ("nginx", "site.conf.j2", "there is no role nginx: write one of galaxy, job_handlers, "),
        ("uwsgi", "site.conf.j2", "there is no template site.conf.j2, neither in roles/uwsgi/templates nor in templates"),
    ],
)
def test_what_is_not_there_is_named(capsys: pytest.CaptureFixture[str], role: str, template: str, message: str) -> None:
    assert render.main([role, template]) == 1
    assert capsys.readouterr().err.startswith(message)
