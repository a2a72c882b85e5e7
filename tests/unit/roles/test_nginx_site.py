# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site of the role nginx_proxy, rendered by Ansible itself; how nginx serves it is tested on real hosts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles" / "nginx_proxy"
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "named": {"nginx_proxy_server_names": ["galaxy.example.org", "*.example.org"]},
    "named-default": {"nginx_proxy_server_names": ["galaxy.example.org"], "nginx_proxy_default_server": True},
    "prefix": {"nginx_proxy_prefix": "/galaxy/", "nginx_proxy_unbuffered_paths": ["/api/upload", "/api/job_files/"]},
    "balancer": {"nginx_proxy_trusted_proxies": ["10.0.0.7", "2001:db8::/64"], "nginx_proxy_log_format": "json"},
    "snippets": {
        "nginx_proxy_server_snippet": "location = /own {\n    return 204;\n}",
        "nginx_proxy_location_snippet": "limit_rate 1m;\nadd_header X-Own yes;",
    },
    "asgi": {"nginx_proxy_asgi_paths": ["/api/events/stream", "/api/mcp"], "nginx_proxy_prefix": "/galaxy"},
    "all": {
        "nginx_proxy_asgi_paths": ["/api/events/stream"],
        "nginx_proxy_instance": "galaxy-test",
        "nginx_proxy_acme_root": "/var/www/acme/",
        "nginx_proxy_interactive_tools_upstream": "127.0.0.1:4002",
        "nginx_proxy_log_format": "json",
        "nginx_proxy_prefix": "/a/b",
        "nginx_proxy_trusted_proxies": ["10.0.0.0/24"],
        "nginx_proxy_location_snippet": "limit_rate 1m;",
        "nginx_proxy_unbuffered_paths": ["/api/upload"],
    },
    "tls": {
        "nginx_proxy_ssl_certificate": "/etc/tls/fullchain.pem",
        "nginx_proxy_ssl_certificate_key": "/etc/tls/privkey.pem",
        "nginx_proxy_hsts_max_age": 300,
        "nginx_proxy_acme_root": "/var/www/acme",
        "nginx_proxy_location_snippet": "add_header X-Own yes;",
        "__nginx_proxy_checked": {"result": {"certificate_hash": "0123"}},
    },
}
# Served on the site of the one above that has it.
BESIDE: dict[str, dict[str, Any]] = {
    "beside": {"nginx_proxy_instance": "training", "nginx_proxy_beside": "galaxy", "nginx_proxy_prefix": "/training"},
    "beside-all": {
        **VARIANTS["all"],
        "nginx_proxy_beside": "galaxy",
        "nginx_proxy_server_snippet": "uwsgi_param HTTP_REMOTE_USER $remote_user;",
        "nginx_proxy_ssl_certificate": "/etc/tls/fullchain.pem",
    },
}


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The site with each set of variables, as somebody's own role would render it from the variable."""
    top = tmp_path_factory.mktemp("sites")
    (top / "theirs.j2").write_text("{{ nginx_proxy_site }}")
    variants = {**VARIANTS, **BESIDE}
    for name, variables in variants.items():
        (top / f"{name}.json").write_text(json.dumps(variables))
    facts = {"ansible_facts": {"distribution": "Debian", "distribution_version": "12.5", "all_ipv6_addresses": []}}
    plays = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            # What comes later counts, as in a role.
            "vars_files": [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml"), str(top / f"{name}.json")],
            "vars": facts,
            "tasks": [
                {"set_fact": {"nginx_proxy_site": "{{ lookup('template', '" + str(ROLE / "templates" / template) + "') }}"}},
                {"template": {"src": str(top / "theirs.j2"), "dest": str(top / f"{name}.{kind}"), "mode": "0644"}},
            ],
        }
        for name in variants
        for kind, template in ([("conf", "beside.conf.j2"), ("locations", "locations.conf.j2")] if name in BESIDE else [("conf", "site.conf.j2")])
    ]
    (top / "play.yml").write_text(json.dumps(plays))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local", str(top / "play.yml")]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible" / "collections"), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    result = subprocess.run([*command, "-e", f"ansible_python_interpreter={sys.executable}"], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return {path.stem if path.suffix == ".conf" else path.name: path for suffix in ("conf", "locations") for path in top.glob(f"*.{suffix}")}


def block(text: str, head: str) -> str:
    """The first block with this head."""
    match = re.search(rf"(?ms)^( *){re.escape(head)} \{{\n(.*?)^\1\}}", text)
    assert match, f"no {head} in\n{text}"
    return match[2]


def test_who_answers_to_names_that_are_nobodys(sites: dict[str, Path]) -> None:
    listens = {name: re.findall(r"listen (.*);", path.read_text()) for name, path in sites.items()}
    assert listens["plain"] == ["80 default_server"]
    assert listens["named"] == ["80"]
    assert listens["named-default"] == ["80 default_server"]


def test_application_below_a_prefix(sites: dict[str, Path]) -> None:
    text = sites["prefix"].read_text()
    assert 'uwsgi_param SCRIPT_NAME "/galaxy";' in text
    assert '"~^/galaxy(/.*)$" $1;' in text
    assert "return 308 /galaxy/$is_args$args;" in block(text, "location = /galaxy")
    assert "uwsgi_pass" in block(text, "location /galaxy/")
    assert "alias /srv/galaxy/server/static/;" in block(text, "location /galaxy/static/")
    assert "uwsgi_request_buffering off;" in block(text, "location /galaxy/api/upload")
    assert "uwsgi_buffering off;" in block(text, "location /galaxy/api/job_files")
    assert 'uwsgi_param SCRIPT_NAME "";' in sites["plain"].read_text()


def test_path_is_that_of_the_request_after_one_of_auth_request_too(sites: dict[str, Path]) -> None:
    """nginx remembers the value of a map for both requests, unless told otherwise."""
    for name, variable in (("prefix", "galaxy"), ("beside", "training")):
        assert "volatile;" in block(sites[name].read_text(), f"map $document_uri ${variable}_path")


def test_headers_of_strangers_are_never_read(sites: dict[str, Path]) -> None:
    for name, trusted in (("plain", []), ("balancer", ["10.0.0.7", "1;", "2001:db8::/64", "1;"])):
        text = sites[name].read_text()
        assert block(text, "geo $realip_remote_addr $galaxy_trusted").split() == ["default", "0;", *trusted]
        # Each header is read together with who sent it.
        assert len(re.findall(r"\$http_x_\w+", text)) == len(re.findall(r'map "\$galaxy_trusted \$http_x_\w+"', text)) == 3
    assert "set_real_ip_from" not in sites["plain"].read_text()


def test_every_line_about_the_client_is_there_once(sites: dict[str, Path]) -> None:
    for name in VARIANTS:
        names = re.findall(r"uwsgi_param (\S+)", sites[name].read_text())
        assert len(names) == len(set(names))
        assert {"UWSGI_SCHEME", "HTTP_HOST", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_REQUEST_ID"} < set(names)


def test_header_of_a_snippet_does_not_take_away_that_for_tls(sites: dict[str, Path]) -> None:
    """nginx inherits add_header only where there is none."""
    text = sites["tls"].read_text()
    for head in ("location /", "location @galaxy"):
        assert "Strict-Transport-Security" in block(text.partition("return 308")[0], head)


def test_instance_beside_another_is_nothing_but_locations(sites: dict[str, Path]) -> None:
    assert re.findall(r"(?m)^\w.*\{", sites["beside"].read_text()) == ["map $document_uri $training_path {"]
    text = sites["beside.locations"].read_text()
    assert re.findall(r"(?m)^\w.*\{", text) == ["location = /training {", "location /training/ {", "location @training {"]
    # nginx wants what is in a location below it. That which Galaxy has no path for is there too.
    inner = re.findall(r"(?m)^    location (?:= )?(\S+)", text)
    assert all(path.startswith("/training/") for path in inner)
    assert {"/training/", "/training/static/", "/training/_maintenance.html", "/training/_x_accel_redirect/srv/galaxy/var/"} < set(inner)


def test_instance_beside_another_depends_on_its_site_only_where_that_includes_it(sites: dict[str, Path]) -> None:
    for name in BESIDE:
        assert "$galaxy_scheme" not in sites[name].read_text()
        site = sites["plain"].read_text()
        own = f"${BESIDE[name]['nginx_proxy_instance'].replace('-', '_')}_path"
        used = set(re.findall(r"\$galaxy_[a-z_]+", sites[f"{name}.locations"].read_text())) - {own}
        assert used and all(re.search(rf"(?m)^(map|geo) .* \{variable} \{{$", site) for variable in used)
    assert "galaxy-test.access.log galaxy_json;" in sites["beside-all.locations"].read_text()


def test_instance_beside_another_says_all_of_its_own_where_nginx_inherits_nothing(sites: dict[str, Path]) -> None:
    text = sites["beside-all.locations"].read_text()
    for head in ("location /a/b/", "location @galaxy-test"):
        names = re.findall(r"uwsgi_param (\S+)", block(text, head))
        assert len(names) == len(set(names))
        assert {"UWSGI_SCHEME", "HTTP_HOST", "HTTP_X_FORWARDED_FOR", "SCRIPT_NAME", "PATH_INFO", "HTTP_REMOTE_USER"} < set(names)


def test_challenges_are_answered_with_and_without_tls(sites: dict[str, Path]) -> None:
    assert sites["tls"].read_text().count("location ^~ /.well-known/acme-challenge/ {\n        root /var/www/acme;") == 2


@pytest.mark.skipif(not NGINX, reason="no nginx here; on real hosts the role runs nginx -t itself")
@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "tls"])
def test_nginx_takes_it(sites: dict[str, Path], tmp_path: Path, name: str) -> None:
    """Each site, and below the prefixes of others one that is nothing but that."""
    (tmp_path / "beside").mkdir()
    for source, target in {name: "site.conf", **({"beside": "training.conf", "beside.locations": "beside/training.conf"} if name != "all" else {})}.items():
        text = sites[source].read_text().replace("/var/log/nginx/", f"{tmp_path}/").replace("listen 80", "listen 18080")
        (tmp_path / target).write_text(text.replace("/etc/nginx/galaxyops/galaxy/", f"{tmp_path}/beside/"))
    (tmp_path / "uwsgi_params").write_text("uwsgi_param PATH_INFO $document_uri;\n")
    temporary = "".join(f"{kind}_temp_path {tmp_path};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n{temporary}include [st]*.conf;\n}}\n")
    result = subprocess.run([str(NGINX), "-t", "-p", str(tmp_path), "-c", "nginx.conf", "-e", "stderr"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr + (tmp_path / "site.conf").read_text()
