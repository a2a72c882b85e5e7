# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets are masked whatever their options are called, and ordinary settings stay readable."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_ini as paste_ini
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._secrets import MASK, mask_line, mask_value

SECRET_NAMES = (
    *("db_pass", "amqp_pass", "smtp_pwd", "bind_pw", "beaker.session.validate_key", "jwt_signing_key", "ldap-bind-passwd", "dbPassword", "AccountKey"),
    *("aws_secret_access_key", "vault_token", "sasl_credentials", "remote_user_secret", "fernet_keys", "id_secret", "IDPW", "session.encrypt_key"),
    *("rootpw", "hashing_salt", "webhook-hmac", "totp", "unlock_pin", "authtoken", "PGPASSWORD", "private_key", "gpg_passphrase"),
)


@pytest.mark.parametrize("name", SECRET_NAMES)
@given(value=st.text("abcdefghijklmnopqrstuvwxyz0123456789!$%&+/-_", min_size=6).filter(lambda text: text not in ("000000",)))
def test_value_of_a_secret_name_is_masked(name: str, value: str) -> None:
    value = "hunter2" + value
    assert mask_value(name, value) == MASK
    for text in (f"{name} = {value}", f"#{name}={value}", f"env = {name}={value}", f'x = {{"a": 1, "{name}": "{value}"}}'):
        assert value not in paste_ini.mask_secrets(f"[app:main]\n{text}\n")


@pytest.mark.parametrize(
    "text",
    [
        "url = amqp://galaxy:hunter2@host//",
        "dsn = https://hunter2:@sentry.example.org/1",
        "header = Authorization: Bearer hunter2hunter2",
        "header = proxy Bearer hunter2hunter2",
        "x = pa$Shunter2!Q",
        "hook = -----BEGIN OPENSSH PRIVATE KEY----- hunter2",
        "attach-daemon = worker --db-password hunter2 --verbose",
        "attach-daemon = worker -token hunter2",
        "exec-pre-app = curl -u galaxy:hunter2 http://localhost/",
        "exec-pre-app = curl --user=galaxy:hunter2 http://localhost/",
        "broker = galaxy:hunter2@rabbit.example.org:5672",
        "brokers = a.example.org, galaxy:hunter2@b.example.org",
        "repository = https://hunter2hunter2@git.example.org/x.git",
        "store = https://b.example.org/x?sv=2020&sig=hunter2%3D",
        "x = glpat-hunter2hunter2",
        "x = ghp_hunter2hunter2",
        "legion = galaxy 225.1.1.1:4242 98 bf-cbc:hunter2",
        "snmp-community = hunter2",
        "set-ph = snmp_community=hunter2",
    ],
)
def test_value_that_looks_like_a_secret_is_masked(text: str) -> None:
    assert "hunter2" not in paste_ini.mask_secrets(f"[app:main]\n{text}\n").replace("hunter2:@", "" if "dsn" in text else "hunter2")


@given(st.binary(min_size=32, max_size=64), st.sampled_from(("x = {}", "setting: {}", "  <a b='{}'/>", "x = y {} z", '{{"x": "{}"}}')))
def test_random_value_is_masked_in_any_option(value: bytes, place: str) -> None:
    # Repeated bytes are not random.
    if len(set(value)) < 20:
        return
    for text in (value.hex(), base64.b64encode(value).decode(), base64.b32encode(value).decode()):
        assert text not in mask_line(place.format(text))


def test_private_key_is_masked_line_by_line() -> None:
    text = "[a]\nx = -----BEGIN PRIVATE KEY-----\n  abc\n  def==\n  -----END PRIVATE KEY-----\ny = 1\n"
    shown = paste_ini.mask_secrets(text)
    assert "abc" not in shown
    assert "def" not in shown
    assert shown.endswith("\ny = 1\n")
    assert mask_line("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\nz") == (
        f"-----BEGIN PRIVATE KEY-----\n{MASK}\n-----END PRIVATE KEY-----\nz"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("password_expiration_period", "0"),
        ("token_lifetime", "3600"),
        ("enable_account_tokens", "True"),
        ("ssl_certificate_key", "/etc/ssl/private/galaxy.pem"),
        ("keyfile", "/etc/ssl/private/galaxy.pem"),
        ("password_file", "/run/secrets/db"),
        ("oidc_token_url", "https://login.example.org/token"),
        ("beaker.session.key", "galaxysession"),
        ("keys", "root, galaxy"),
        ("bypass", "on request"),
        ("http-keepalive", "60"),
        ("processes", "4"),
        ("attach-daemon", "worker --keyfile /etc/x.pem --user galaxy --token-lifetime 30"),
        ("error_email_to", "galaxy@example.org"),
        ("mail", "mailto:galaxy@example.org"),
        ("repository", "ssh://git@example.org/x.git"),
        ("paste.app_factory", "galaxy.web.buildapp:app_factory"),
        ("database_connection", "sqlite:////srv/galaxy/database/universe.sqlite?isolation_level=IMMEDIATE"),
        ("database_connection", "postgresql:///galaxy?host=/var/run/postgresql"),
        ("admin_users", "admin@example.org,second.admin@example.org"),
        ("tool_id", "galaxy_tool_v3_v3_v3_v3"),
        ("genome", "GRCh38.p14_GCF_000001405.40"),
        ("route-if-not", "empty:${UWSGI_FILE}${UWSGI_MODULE}${UWSGI_SCRIPT} break:403 Forbidden"),
        ("log-format", "request %(var.HTTP_X_REQUEST_ID) %(addr) %(method) %(uri) %(proto) %(status) %(rsize) bytes %(msecs) ms worker %(wid)"),
        ("hook-master-start", "unix_signal:15 gracefully_kill_them_all"),
        ("static-map", "/static/scripts/bundled=/srv/galaxy/server/static/dist"),
        ("tool_sheds_config_file", "/srv/galaxy/toolshed.g2.bx.psu.edu/repos/devteam/tool_sheds_conf.xml"),
    ],
)
def test_ordinary_settings_stay_readable(name: str, value: str) -> None:
    assert mask_value(name, value) == value
    assert paste_ini.mask_secrets(f"[app:main]\n{name} = {value}\n") == f"[app:main]\n{name} = {value}\n"


@pytest.mark.parametrize(
    "line",
    [
        "    uwsgi_pass unix:/run/galaxy/web.sock;",
        "proxy_pass http://127.0.0.1:8080;",
        "proxy_pass http://$arg_x;",
        "fastcgi_pass 127.0.0.1:9000;",
        "location / { grpc_pass grpc://backend:50051; }",
    ],
)
def test_where_nginx_passes_requests_to_is_shown(line: str) -> None:
    assert mask_line(line) == line


@pytest.mark.parametrize("line", ["proxy_pass = hunter2", "proxy_pass http://galaxy:hunter2@127.0.0.1:8080;", "PROXY_PASS: hunter2"])
def test_password_of_a_proxy_is_not(line: str) -> None:
    assert "hunter2" not in mask_line(line)


@given(st.lists(st.sampled_from(("galaxy", "tool", "Job", "handler", "server", "config", "2", "v3", "data", "example", "org", "HTTP")), min_size=1, max_size=9))
def test_words_stay_readable(words: list[str]) -> None:
    for separator in ("_", "-", ".", "/", " "):
        text = f"x = {separator.join(words)}"
        assert mask_line(text) == text


def test_names_of_the_options_of_uwsgi_and_what_the_roles_write_stay_readable(root: Path) -> None:
    program = Path(sys.executable).parent / "uwsgi"
    words = set(subprocess.run([program, "--help"], capture_output=True, text=True, check=False).stdout.split())
    for directory in ("roles", "playbooks"):
        words |= {word for path in root.joinpath(directory).rglob("*.yml") for word in path.read_text(encoding="utf-8").split()}
    words = {word for word in words if not re.search(r"[=:]", word)}
    assert len(words) > 1000
    assert {word for word in words if mask_line(word) != word} == set()
