# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site of the role nginx_proxy, rendered by Ansible itself; how nginx serves it is tested on real hosts."""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.server
import json
import os
import re
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans import nginx
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans.web_options import default_options
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._uwsgi_formats import configuration, text

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles" / "nginx_proxy"
PLAN = {"include_tasks": str(ROLE / "tasks" / "plan.yml")}
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
    "rewriting": {"nginx_proxy_server_snippet": "rewrite ^/old/(.*)$ /new/$1;", "nginx_proxy_static_dir": ""},
    "denied": {
        "nginx_proxy_prefix": "/galaxy",
        "nginx_proxy_server_snippet": "location = /galaxy/admin {\n    deny all;\n}\nlocation = /training/admin {\n    deny all;\n}",
    },
    "params": {
        "nginx_proxy_server_snippet": 'uwsgi_param HTTP_X_OWN "of the site";\nuwsgi_param HTTP_X_FORWARDED_EMAIL $http_x_forwarded_email;\n'
        "uwsgi_param SCRIPT_NAME /wrong;\nlocation = /own {\n    uwsgi_param HTTP_X_INNER no;\n    uwsgi_pass unix:/run/galaxy/web.sock;\n}",
    },
    # As variables of galaxyproject.galaxy say it.
    "data-elsewhere": {"galaxy_mutable_data_dir": "/srv/galaxy/var", "galaxy_file_path": "/data/galaxy"},
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
    },
}
# One that nginx would not take as it is, were it a value of a map.
SECRET = "s3cret/with+every.char_of-them~="
PASSWORD = 'auth_basic "Staff";\nauth_basic_user_file /etc/nginx/staff.htpasswd;'


def believes(header: str = "HTTP_REMOTE_USER") -> dict[str, Any]:
    """What preflight has found of a Galaxy that lets its proxy log people in."""
    return {"result": {"remote_user": {"used": True, "header": header, "secret": True}}}


VARIANTS |= {
    "user-password": {
        "nginx_proxy_config_file": "/srv/galaxy/config/galaxy.ini",
        "nginx_proxy_location_snippet": PASSWORD,
        "nginx_proxy_server_snippet": "location /open/ {\n    uwsgi_pass unix:/run/galaxy/web.sock;\n}",
        "nginx_proxy_remote_user": "$remote_user",
        "__nginx_proxy_checked": believes(),
    },
    "user-header": {
        "nginx_proxy_config_file": "/srv/galaxy/config/galaxy.ini",
        "nginx_proxy_interactive_tools_upstream": "127.0.0.1:4002",
        "nginx_proxy_remote_user": "$http_x_sso_user",
        "nginx_proxy_trusted_proxies": ["127.0.0.2"],
        "__nginx_proxy_checked": believes("HTTP_X_REMOTE_USER"),
    },
    "user-request": {
        "nginx_proxy_location_snippet": "auth_request /ask;\nauth_request_set $sso_user $upstream_http_x_user;",
        "nginx_proxy_remote_user": "$sso_user",
        "nginx_proxy_server_snippet": "location = /ask {\n    internal;\n    uwsgi_pass unix:/run/galaxy/web.sock;\n}",
    },
    "user-certificate": {
        **VARIANTS["tls"],
        "nginx_proxy_location_snippet": "",
        "nginx_proxy_remote_user": "$ssl_client_s_dn",
        "nginx_proxy_ssl_client_certificate": "/etc/tls/authority.pem",
        "nginx_proxy_ssl_redirect": False,
    },
}
# Served on the site of the one above that has it.
BESIDE: dict[str, dict[str, Any]] = {
    "beside": {"nginx_proxy_instance": "training", "nginx_proxy_beside": "galaxy", "nginx_proxy_prefix": "/training"},
    "beside-all": {
        **VARIANTS["all"],
        "nginx_proxy_beside": "galaxy",
        "nginx_proxy_server_snippet": "uwsgi_param HTTP_X_OWN yes;",
        "nginx_proxy_ssl_certificate": "/etc/tls/fullchain.pem",
    },
    "beside-header": {
        **VARIANTS["user-header"],
        "nginx_proxy_instance": "training",
        "nginx_proxy_beside": "galaxy",
        "nginx_proxy_prefix": "/training",
    },
}


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The site with each set of variables, as somebody's own role would render it from the variable."""
    top = tmp_path_factory.mktemp("sites")
    (top / "theirs.j2").write_text("{{ nginx_proxy_site }}")
    # What a location gets that passes requests to the application by HTTP.
    (top / "http.j2").write_text("{% import 'parts.j2' as parts with context %}{{ parts.identity_proxy_headers() }}")
    (top / "parts.j2").symlink_to(ROLE / "templates" / "parts.j2")
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
                PLAN,
                {"set_fact": {"nginx_proxy_site": "{{ lookup('template', '" + str(ROLE / "templates" / template) + "') }}"}},
                {"template": {"src": str(top / "theirs.j2"), "dest": str(top / f"{name}.{kind}"), "mode": "0644"}},
            ],
        }
        for name in variants
        for kind, template in ([("conf", "beside.conf.j2"), ("locations", "locations.conf.j2")] if name in BESIDE else [("conf", "site.conf.j2")])
    ]
    (top / "params.j2").write_text("{{ __nginx_proxy_plan.params_content }}")
    params = {"template": {"src": str(top / "params.j2"), "dest": str(top / "params.params"), "mode": "0644"}}
    plays.append({**next(play for play in plays if str(top / "params.json") in play["vars_files"]), "tasks": [PLAN, params]})
    (top / "uses.j2").write_text("{{ __nginx_proxy_plan.check.nginx_uses | to_json }}")
    for name in variants:
        task = {"template": {"src": str(top / "uses.j2"), "dest": str(top / f"{name}.uses"), "mode": "0644"}}
        plays.append({**next(play for play in plays if str(top / f"{name}.json") in play["vars_files"]), "tasks": [PLAN, task]})
    for name in ("plain", "user-header"):
        task = {"template": {"src": str(top / "http.j2"), "dest": str(top / f"{name}.http"), "mode": "0644"}}
        plays.append({**next(play for play in plays if str(top / f"{name}.json") in play["vars_files"]), "tasks": [PLAN, task]})
    (top / "play.yml").write_text(json.dumps(plays))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local", str(top / "play.yml")]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible" / "collections"), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    result = subprocess.run([*command, "-e", f"ansible_python_interpreter={sys.executable}"], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    kinds = ("conf", "locations", "params", "http", "uses")
    return {path.stem if path.suffix == ".conf" else path.name: path for kind in kinds for path in top.glob(f"*.{kind}")}


@pytest.mark.parametrize("name", [*VARIANTS, *BESIDE])
def test_preflight_knows_what_of_nginx_the_site_uses(sites: dict[str, Path], name: str) -> None:
    """And by that, to which holes of nginx it is open."""
    text = "".join(path.read_text() for key, path in sites.items() if key in (name, f"{name}.locations"))
    directives = {line.split()[0] for line in text.splitlines() if line.strip()}
    expected = {use for use in ("try_files", "rewrite") if use in directives}
    expected |= {"ssl", "http2"} if "ssl_certificate" in directives else set()
    if "uwsgi_pass" in directives:
        expected |= {"uwsgi_pass", "map"}
    assert set(json.loads(sites[f"{name}.uses"].read_text())) == expected


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
    assert r'"~(?s)^/galaxy(/.*)\z" $1;' in text
    assert "return 308 /galaxy/$is_args$args;" in block(text, "location = /galaxy")
    assert "uwsgi_pass" in block(text, "location /galaxy/")
    assert "alias /srv/galaxy/server/static/;" in block(text, "location /galaxy/static/")
    assert "uwsgi_request_buffering off;" in block(text, "location /galaxy/api/upload")
    assert "uwsgi_buffering off;" in block(text, "location /galaxy/api/job_files")
    assert 'uwsgi_param SCRIPT_NAME "";' in sites["plain"].read_text()


def test_datasets_outside_of_the_data_directory_are_sent(sites: dict[str, Path]) -> None:
    sent = {name: set(re.findall(r"location /_x_accel_redirect(/\S+) \{", sites[name].read_text())) for name in ("plain", "data-elsewhere")}
    assert sent["plain"] == {"/srv/galaxy/var/"}
    assert sent["data-elsewhere"] == {"/srv/galaxy/var/", "/data/galaxy/"}


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
    for name in VARIANTS.keys() - {"params"}:
        names = re.findall(r"uwsgi_param (\S+)", sites[name].read_text())
        assert len(names) == len(set(names))
        assert {"UWSGI_SCHEME", "HTTP_HOST", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_REQUEST_ID"} < set(names)


def test_headers_that_a_client_could_forge_are_written_in_one_order(sites: dict[str, Path]) -> None:
    """Another order in each run would be a change in each run."""
    wanted = list(nginx.FORGEABLE)
    assert re.findall(r'(?m)^ *uwsgi_param (\S+) "";$', sites["plain"].read_text())[: len(wanted) - 1] == wanted[1:]


def test_header_of_a_snippet_does_not_take_away_that_for_tls(sites: dict[str, Path]) -> None:
    """nginx inherits add_header only where there is none."""
    text = sites["tls"].read_text()
    for head in ("location /", "location @galaxy"):
        assert "Strict-Transport-Security" in block(text.partition("return 308")[0], head)


def test_instance_beside_another_is_nothing_but_locations(sites: dict[str, Path]) -> None:
    assert re.findall(r"(?m)^(?:geo|map) (?:.* )?(\$\w+) \{", sites["beside"].read_text()) == [
        f"$training_{name}" for name in ("path", "remote_user", "gx_secret")
    ]
    assert re.findall(r"(?m)^(?!geo|map)\w.*\{", sites["beside"].read_text()) == []
    text = sites["beside.locations"].read_text()
    own = ["location @training-too-large {", "location @training {"]
    assert re.findall(r"(?m)^\w.*\{", text) == ["location = /training {", "location /training/ {", *own]
    # nginx wants what is in a location below it. That which Galaxy has no path for is there too.
    inner = re.findall(r"(?m)^    location (?:= )?(\S+)", text)
    assert all(path.startswith("/training/") for path in inner)
    assert {"/training/", "/training/static/", "/training/_maintenance.html", "/training/_x_accel_redirect/srv/galaxy/var/"} < set(inner)


def test_instance_beside_another_depends_on_its_site_only_where_that_includes_it(sites: dict[str, Path]) -> None:
    for name in BESIDE:
        assert not re.findall(r"\$galaxy_(?!test)", sites[name].read_text())
        site = sites["plain"].read_text()
        own = set(re.findall(r"(?m)^(?:geo|map)\b.* (\$\w+) \{$", sites[name].read_text()))
        own |= set(re.findall(r"(?m)^set (\$\w+) ", sites[f"{name}.locations"].read_text()))
        used = set(re.findall(r"\$(?:galaxy|training)_[a-z_]+", sites[f"{name}.locations"].read_text())) - own
        assert used and all(re.search(rf"(?m)^(map|geo) .* \{variable} \{{$", site) for variable in used)
    assert "galaxy-test.access.log galaxy_json;" in sites["beside-all.locations"].read_text()


def test_instance_beside_another_says_all_of_its_own_where_nginx_inherits_nothing(sites: dict[str, Path]) -> None:
    text = sites["beside-all.locations"].read_text()
    for head in ("location /a/b/", "location @galaxy-test"):
        names = re.findall(r"uwsgi_param (\S+)", block(text, head))
        assert len(names) == len(set(names))
        assert {"UWSGI_SCHEME", "HTTP_HOST", "HTTP_X_FORWARDED_FOR", "SCRIPT_NAME", "PATH_INFO", "HTTP_REMOTE_USER", "HTTP_X_OWN"} < set(names)


def test_challenges_are_answered_with_and_without_tls(sites: dict[str, Path]) -> None:
    assert sites["tls"].read_text().count("location ^~ /.well-known/acme-challenge/ {\n        root /var/www/acme;") == 2


def write_site(sites: dict[str, Path], top: Path, name: str, beside: str = "beside", **replaced: str) -> None:
    """Write a site, with another below its prefix, so that nginx can run it in the directory I(top)."""
    (top / "galaxyops" / "galaxy").mkdir(parents=True, exist_ok=True)
    if f"{name}.params" in sites:
        shutil.copy(sites[f"{name}.params"], top / "galaxyops" / "galaxy" / "site.params")
    files = {name: "site.conf", **({beside: "training.conf", f"{beside}.locations": "galaxyops/galaxy/training.conf"} if name != "all" else {})}
    new = dict.fromkeys(("/var/log/nginx/", "/etc/nginx/", "/etc/tls/"), f"{top}/") | {"listen 80": "listen 18080", **replaced}
    for source, target in files.items():
        # In one go: a port that was put in may begin like one that is to be replaced.
        text = re.sub("|".join(map(re.escape, new)), lambda found: new[found[0]], sites[source].read_text())
        (top / target).write_text(text)
    for instance in ("galaxy", "training"):
        (top / f"{instance}.secret").write_text(f"default {SECRET};\n")
    (top / "uwsgi_params").write_text("uwsgi_param QUERY_STRING $query_string;\nuwsgi_param REQUEST_URI $request_uri;\nuwsgi_param PATH_INFO $document_uri;\n")
    temporary = "".join(f"{kind}_temp_path {top};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    main = f"pid {top}/pid;\ndaemon off;\n{'user root;' if os.geteuid() == 0 else ''}\nevents {{}}\n"
    (top / "nginx.conf").write_text(f"{main}http {{\nunderscores_in_headers on;\n{temporary}include [st]*.conf;\n}}\n")


def nginx_command(top: Path) -> list[str]:
    """The command for nginx with the site in I(top)."""
    return [str(NGINX), "-p", str(top), "-c", "nginx.conf", "-e", "stderr"]


@pytest.mark.skipif(not NGINX, reason="no nginx here; on real hosts the role runs nginx -t itself")
@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in ("tls", "user-certificate")])
def test_nginx_takes_it(sites: dict[str, Path], tmp_path: Path, name: str) -> None:
    """Each site, and below the prefixes of others one that is nothing but that."""
    write_site(sites, tmp_path, name)
    result = subprocess.run([*nginx_command(tmp_path), "-t"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr + (tmp_path / "site.conf").read_text()


class Application(socketserver.ThreadingTCPServer):
    """An application that answers with the variables that it gets by the uwsgi protocol."""

    allow_reuse_address = True
    daemon_threads = True

    class Handler(socketserver.StreamRequestHandler):
        """One request."""

        def handle(self) -> None:
            """Answer it."""
            _modifier, size, _modifier2 = struct.unpack("<BHB", self.rfile.read(4))
            packet, fields = self.rfile.read(size), []
            while packet:
                (length,) = struct.unpack_from("<H", packet)
                fields.append(packet[2 : 2 + length].decode())
                packet = packet[2 + length :]
            pairs = list(zip(fields[::2], fields[1::2]))
            sent = dict(pairs).get("QUERY_STRING", "").partition("send=")[2]
            header = b"HTTP/1.1 200 OK\r\nX-User: of-the-service@example.org\r\n"
            if sent:
                header += f"X-Accel-Redirect: {sent}\r\n".encode()
            self.wfile.write(header + b"\r\n" + json.dumps(pairs).encode())

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.Handler)


class Tool(http.server.BaseHTTPRequestHandler):
    """An application that answers with the headers that it gets by HTTP."""

    def do_GET(self) -> None:
        """Answer a request."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps([(f"HTTP_{name.upper().replace('-', '_')}", value) for name, value in self.headers.items()]).encode())

    def log_message(self, *arguments: Any) -> None:
        """Keep quiet."""


Serve = Callable[..., "Served"]


class Served:
    """A site that nginx serves."""

    def __init__(self, port: int, tls_port: int) -> None:
        self.port = port
        self.tls_port = tls_port

    def ask(self, path: str) -> tuple[int, str]:
        """The status and the body of a response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path)
        with contextlib.closing(connection), connection.getresponse() as response:
            return response.status, response.read().decode()

    def get(
        self, path: str, *headers: tuple[str, str], source: str = "127.0.0.1", certificate: Path | None = None, method: str = "GET"
    ) -> list[tuple[str, str]]:
        """What an application gets of a request, or the status in the place of a name."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10, source_address=(source, 0))
        if certificate:
            context = ssl._create_unverified_context()
            context.load_cert_chain(certificate)
            connection = http.client.HTTPSConnection("127.0.0.1", self.tls_port, timeout=10, context=context)
        connection.putrequest(method, path)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        with contextlib.closing(connection), connection.getresponse() as response:
            body = response.read()
            return [tuple(pair) for pair in json.loads(body)] if response.status == 200 else [(str(response.status), "")]


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def serve(sites: dict[str, Path], tmp_path: Path) -> Iterator[Serve]:
    """Have a real nginx serve a site, in front of applications that tell what they get."""
    if not NGINX:
        pytest.skip("no nginx here; the scenarios have one")
    with contextlib.ExitStack() as stack:

        def run(name: str, **moved: str) -> Served:
            application = stack.enter_context(Application())
            tool = stack.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tool))
            for server in (application, tool):
                threading.Thread(target=server.serve_forever, daemon=True).start()
                stack.callback(server.shutdown)
            address = f"127.0.0.1:{application.server_address[1]}"
            (tmp_path / "staff.htpasswd").write_text("ada@example.org:{PLAIN}lovelace\n")
            for _attempt in range(5):
                served = Served(free_port(), free_port())
                replaced = {
                    "listen 80": f"listen 127.0.0.1:{served.port}",
                    "listen 443": f"listen 127.0.0.1:{served.tls_port}",
                    "unix:/run/galaxy/web.sock": address,
                    "unix:/run/training/web.sock": address,
                    "127.0.0.1:4002": f"127.0.0.1:{tool.server_address[1]}",
                    **moved,
                }
                write_site(sites, tmp_path, name, "beside-header", **replaced)
                process = stack.enter_context(subprocess.Popen(nginx_command(tmp_path)))
                stack.callback(process.terminate)
                # Who answers at a port may be another test, which was given it in between: nginx writes its pid when it
                # has the ports, and ends when it cannot get them.
                deadline = time.monotonic() + 10
                while process.poll() is None:
                    if (tmp_path / "pid").exists():
                        return served
                    assert time.monotonic() < deadline, "nginx does not answer"
                    time.sleep(0.1)
            raise AssertionError("nginx does not get its ports")

        yield run
    for log in tmp_path.glob("*.log"):
        print(f"{log.name}:", log.read_text()[-4000:], sep="\n")


FORGED = [
    (name, "root@example.org")
    for name in ("Remote-User", "REMOTE_USER", "remote_user", "remote-user", "X-Remote-User", "X_Remote_User", "X-Remote_User", "X-SSO-User", "X_SSO_User")
    for _twice in range(2)
]
FORGED += [
    (name, "guessed") for name in ("GX_SECRET", "GX-Secret", "gx-secret", "SSL-Client-S-DN", "SSL_CLIENT_VERIFY", "X-Forwarded-User", "X_Forwarded_Email")
]
FORGED += [(name, "evil.example.org") for name in ("X-Forwarded-Server", "X_Forwarded_Scheme", "X-Forwarded-SSL")]
IDENTITY = re.compile(r"REMOTE_USER|HTTP_(GX_|REMOTE_|SSL_|X_(REMOTE_|FORWARDED_(USER|EMAIL|SERVER|SCHEME|SSL)))")


def identity(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What an application may take for the user, of what it gets."""
    return sorted((name, value) for name, value in pairs if IDENTITY.match(name) or name.isdigit())


def known(user: str, header: str = "HTTP_REMOTE_USER") -> list[tuple[str, str]]:
    """What Galaxy gets of a user."""
    return sorted([("REMOTE_USER", user), (header, user), ("HTTP_GX_SECRET", SECRET)])


def basic(user: str, password: str) -> tuple[str, str]:
    """The header with a password."""
    return "Authorization", f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def test_forged_headers_reach_nobody(serve: Serve) -> None:
    """Below a prefix of another instance neither; what is empty is not sent, because Galaxy takes it for a user."""
    site = serve("plain")
    assert identity(site.get("/", *FORGED)) == []
    assert identity(site.get("/training/", *FORGED)) == [("HTTP_GX_SECRET", SECRET)]


def test_user_is_who_has_logged_in(serve: Serve) -> None:
    site = serve("user-password")
    for wrong in ([], [basic("ada@example.org", "byron")], [basic("root@example.org", "")]):
        assert site.get("/", *wrong, *FORGED) == [("401", "")]
    login = basic("ada@example.org", "lovelace")
    for path in ("/", "/static/none"):
        assert identity(site.get(path, login, *FORGED)) == known("ada@example.org")
    # Nobody has checked the password there.
    assert identity(site.get("/open/", basic("root@example.org", ""), *FORGED)) == [("HTTP_GX_SECRET", SECRET)]


def test_user_of_a_trusted_proxy_is_believed(serve: Serve) -> None:
    site = serve("user-header")
    sent = ("X-SSO-User", "ada@example.org")
    forged = [header for header in FORGED if "SSO" not in header[0].upper()]
    for path in ("/", "/training/"):
        assert identity(site.get(path, sent, *forged, source="127.0.0.2")) == known("ada@example.org", "HTTP_X_REMOTE_USER")
        assert identity(site.get(path, sent, *forged)) == [("HTTP_GX_SECRET", SECRET)]


def test_user_is_what_the_authentication_request_says(serve: Serve) -> None:
    user = "of-the-service@example.org"
    assert identity(serve("user-request").get("/", *FORGED)) == [("HTTP_REMOTE_USER", user), ("REMOTE_USER", user)]


def make_certificate(top: Path, name: str, subject: str, authority: str = "") -> Path:
    """A certificate with its key, made by an authority or by itself."""
    sign = ["-CA", f"{top}/{authority}.pem", "-CAkey", f"{top}/{authority}.pem"] if authority else []
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject, *sign]
    if authority:
        command += ["-addext", "basicConstraints=critical,CA:false"]
    subprocess.run([*command, "-keyout", f"{top}/{name}.key", "-out", f"{top}/{name}.crt"], check=True, capture_output=True)
    path = top / f"{name}.pem"
    path.write_text((top / f"{name}.crt").read_text() + (top / f"{name}.key").read_text())
    return path


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl here")
def test_user_is_in_the_subject_of_a_certificate(serve: Serve, tmp_path: Path) -> None:
    make_certificate(tmp_path, "authority", "/CN=authority")
    shutil.copy(make_certificate(tmp_path, "server", "/CN=galaxy"), tmp_path / "fullchain.pem")
    shutil.copy(tmp_path / "fullchain.pem", tmp_path / "privkey.pem")
    site = serve("user-certificate")
    subjects = {
        "/O=x/CN=Ada Lovelace/emailAddress=ada@example.org": "ada@example.org",
        "/O=x/CN=ada": "ada",
        # What looks like another part of the subject is text of this one.
        "/O=x,emailAddress=root@example.org/CN=eve": "eve",
        "/O=x/CN=eve,CN=root": "",
    }
    for number, (subject, user) in enumerate(subjects.items()):
        certificate = make_certificate(tmp_path, f"client{number}", subject, "authority")
        expected = [("HTTP_REMOTE_USER", user), ("REMOTE_USER", user)] if user else []
        assert identity(site.get("/", *FORGED, certificate=certificate)) == expected, subject
    assert identity(site.get("/", *FORGED)) == []
    assert site.get("/", certificate=make_certificate(tmp_path, "own", "/CN=root")) == [("400", "")]


def test_location_that_speaks_http_sets_every_spelling(sites: dict[str, Path]) -> None:
    def lines(name: str) -> dict[str, str]:
        return dict(re.findall(r"(?m)^proxy_set_header (\S+) (\S+);$", sites[f"{name}.http"].read_text()))

    others = ("Ssl-Client-", "X-Ssl-Client-")
    rest = ("X-Forwarded-Email", "X-Forwarded-Scheme", "X-Forwarded-Server", "X-Forwarded-Ssl", "X-Forwarded-User")
    rest += tuple(f"{begin}{end}" for begin in others for end in ("Cert", "S-Dn", "Verify"))
    secret = {"Gx-Secret": "$galaxy_gx_secret", "Gx_Secret": '""', **dict.fromkeys((*rest, "X-Remote-User"), '""')}
    assert lines("plain") == {"Remote-User": "$galaxy_remote_user", "Remote_User": '""', **secret}
    spellings = ("X-Remote-User", "X-Remote_User", "X_Remote-User", "X_Remote_User")
    assert lines("user-header") == {
        **secret,
        **dict.fromkeys((*spellings, "Remote-User", "Remote_User"), '""'),
        "X-Remote-User": "$galaxy_remote_user",
    }


def test_tools_are_not_told_who_the_user_is(serve: Serve) -> None:
    """nginx compares whole names where it speaks HTTP, so every spelling counts."""
    site = serve("user-header")
    sent = [*FORGED, ("X-SSO-User", "ada@example.org")]
    headers = {name for name, _value in site.get("/interactivetool/x", *sent, source="127.0.0.2")}
    assert "HTTP_X_SSO_USER" in headers
    assert not headers & {"HTTP_X_REMOTE_USER", "HTTP_REMOTE_USER", "HTTP_GX_SECRET"}


def status_of(answer: list[tuple[str, str]]) -> str:
    """The status where it is not 200."""
    return answer[0][0] if answer and answer[0][0].isdigit() else "200"


def test_line_feed_at_the_end_of_a_path_does_not_lead_past_a_location(serve: Serve) -> None:
    """Python's patterns, those of Galaxy's routes among them, take such a path for the one without."""
    site = serve("denied")
    for top in ("/galaxy", "/training"):
        assert site.get(f"{top}/admin") == [("403", "")]
        assert site.get(f"{top}/admin%0a") == site.get(f"{top}/admin%0A%0a") == [("400", "")]


def test_path_below_a_prefix_keeps_every_character(serve: Serve) -> None:
    site = serve("denied")
    for top in ("/galaxy", "/training"):
        for sent, path in (("/a%0ab", "/a\nb"), ("/%0a/b", "/\n/b"), ("/a%0d", "/a\r"), ("/a%20%25", "/a %")):
            assert dict(site.get(top + sent))["PATH_INFO"] == path


def test_request_that_fits_into_no_packet_is_refused_with_the_reason(serve: Serve) -> None:
    """As too large, in a status of its own: neither as an error of the application nor as a restart."""
    site = serve("denied")
    for top in ("/galaxy/", "/training/"):
        assert status_of(site.get(top, ("Cookie", "x" * 60_000))) == "200"
        assert status_of(site.get(top + "x" * 10_000)) == "200"
        assert [status_of(site.get(f"{top}{'x' * size}")) for size in (21_000, 22_000)] == ["200", "414"]
        assert status_of(site.get(top + "x" * 33_000)) == "414"
        assert status_of(site.get(top + "x" * 70_000)) == "414"
        assert status_of(site.get(top, ("Cookie", "x" * 70_000))) == "431"
        assert status_of(site.get(top, *[(f"X-{number}", "x" * 100) for number in range(900)])) == "431"
        assert status_of(site.get(top + "x" * 15_000, ("Cookie", "x" * 50_000))) == "431"
        assert status_of(site.get(top, *[(f"X-{number}", "x") for number in range(95)])) == "200"


class Dying(socketserver.ThreadingTCPServer):
    """What speaks ASGI, and ends before it has answered."""

    allow_reuse_address = True
    daemon_threads = True

    class Handler(socketserver.StreamRequestHandler):
        """One request."""

        def handle(self) -> None:
            """Read it."""
            self.rfile.readline()

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.Handler)


def test_what_may_have_been_done_is_not_done_by_a_worker_again(serve: Serve, tmp_path: Path) -> None:
    """A request that an ASGI process has got."""
    (tmp_path / "_maintenance.html").write_text("Later.")
    methods, path = ("GET", "POST", "PUT", "PATCH", "DELETE"), "/galaxy/api/events/stream"
    with Dying() as dying:
        threading.Thread(target=dying.serve_forever, daemon=True).start()
        moved = {"unix:/run/galaxy/asgi.sock": f"127.0.0.1:{dying.server_address[1]}", "/var/www/galaxy/": f"{tmp_path}/"}
        site = serve("asgi", **moved)
        found = [status_of(site.get(path, method=method)) for method in methods]
        dying.shutdown()
    assert found == ["200", "503", "503", "503", "503"]
    # Nobody listens: nothing can have been done.
    assert [status_of(site.get(path, method=method)) for method in methods] == ["200"] * 5


FAILING = """
import os

def app_factory(global_conf, **local_conf):
    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/raise":
            raise RuntimeError("not for visitors")
        if path == "/dies":
            os._exit(1)
        start_response("500 Own" if path.startswith("/own") else "200 OK", [("Content-Type", "text/plain")])
        return [] if path == "/own-empty" else [b"of the application"]
    return application
"""
UWSGI = Path(sys.prefix) / "bin" / "uwsgi"


@pytest.fixture
def uwsgi(tmp_path: Path) -> Iterator[str]:
    """A real uWSGI with the role's routes and an application that fails; the socket of it."""
    (tmp_path / "failing.py").write_text(FAILING)
    paste_file, address = tmp_path / "failing.ini", f"127.0.0.1:{free_port()}"
    options = default_options(processes=1, threads=2, lazy=True)
    made = configuration({**options, "pythonpath": str(tmp_path), "socket": address}, "paste", str(paste_file), str(tmp_path), f"{tmp_path}/include.ini")
    section = "".join(f"{name} = {text(value)}\n" for name, value in made.section.items())
    paste_file.write_text(f"[uwsgi]\n{section}\n[app:main]\npaste.app_factory = failing:app_factory\n")
    for path, content in made.files.items():
        Path(path).write_text(content)
    process = subprocess.Popen([str(UWSGI), *made.argv], stderr=subprocess.PIPE, text=True)
    assert process.stderr
    lines = []
    try:
        for line in process.stderr:
            lines.append(line)
            if "ready in" in line:
                break
        assert "ready in" in lines[-1], "".join(lines)
        yield address
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_address_counts_twice_where_there_is_no_prefix(serve: Serve) -> None:
    site = serve("plain")
    for begin in ("/", "/?"):
        assert [status_of(site.get(begin + "x" * size)) for size in (32_000, 33_000)] == ["200", "414"]


@pytest.mark.skipif(not UWSGI.exists(), reason="no uWSGI here; the scenarios have one")
def test_exception_of_the_application_is_an_error_500_and_no_maintenance(serve: Serve, uwsgi: str, tmp_path: Path) -> None:
    """The maintenance page is for when nobody answers, and for a request whose worker dies."""
    (tmp_path / "_maintenance.html").write_text("the maintenance page")
    site = serve("plain", **{"unix:/run/galaxy/web.sock": uwsgi, "/var/www/galaxy": str(tmp_path)})
    assert site.ask("/raise") == (500, "Internal Server Error\r\n")
    assert site.ask("/own") == (500, "of the application")
    assert site.ask("/own-empty") == (500, "")
    assert site.ask("/") == (200, "of the application")
    assert site.ask("/dies") == (503, "the maintenance page")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_link_leads_to_files_of_its_owner_only(serve: Serve, tmp_path: Path) -> None:
    """The web server can read the datasets of all instances, so a job of one could send those of another."""
    top = tmp_path / "srv"
    data, static, other = top / "var", top / "static", top / "other"
    for directory in (data, static, other):
        directory.mkdir(parents=True)
        (directory / "file").write_text("[]")
        (directory / "own").symlink_to(directory / "file")
        (directory / "foreign").symlink_to(other / "file")
    (data / "objects").symlink_to(other)
    os.chown(other / "file", 12345, -1)
    # Who is above the directory decides where it is.
    (top / "link").symlink_to(data)
    data = top / "link"
    os.chown(data, 12345, -1, follow_symlinks=False)
    site = serve("plain", **{"/srv/galaxy/var": str(data), "/srv/galaxy/server/static": str(static)})

    def sent(name: str) -> list[tuple[str, str]]:
        return site.get(f"/?send=/_x_accel_redirect{data}/{name}")

    assert sent("file") == sent("own") == sent("objects/file") == []
    assert sent("foreign") == [("403", "")]
    os.chown(other, 12345, -1)
    assert sent("objects/file") == [("403", "")]
    assert site.get("/static/own") == site.get("/static/file") == []
    # It is left to the application.
    assert dict(site.get("/static/foreign"))["PATH_INFO"] == "/static/foreign"


def test_instance_beside_another_gets_what_its_site_sets_for_all(serve: Serve) -> None:
    """But neither what the site believes of clients nor what only the instance itself can know."""
    site = serve("params")
    pairs = site.get("/training/x", ("X-Own", "forged"), ("X-Forwarded-Email", "root@example.org"), *FORGED)
    assert [value for name, value in pairs if name == "HTTP_X_OWN"] == ["of the site"]
    assert "HTTP_X_INNER" not in dict(pairs)
    # The last one counts.
    # The last one counts.
    assert (dict(pairs)["SCRIPT_NAME"], dict(pairs)["PATH_INFO"]) == ("/training", "/x")
    assert identity(pairs) == [("HTTP_GX_SECRET", SECRET)]
    assert dict(site.get("/"))["HTTP_X_OWN"] == "of the site"
