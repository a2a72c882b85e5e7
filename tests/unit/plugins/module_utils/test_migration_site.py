# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of the sites of nginx that lead to the application: nothing is lost without a word."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _nginx_config as nginx
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_migration as migration

INI = """\
[server:main]
use = egg:Paste#http
port = 8080

[app:main]
paste.app_factory = galaxy.web.buildapp:app_factory
"""


def read(nginx_files: dict[str, str], ini: str = INI, **changes: Any) -> migration.Plan:
    """The plan of a Galaxy with these files of nginx."""
    return migration.plan(
        migration.Host("/srv/galaxy/config/galaxy.ini", ini, "/srv/galaxy", "galaxy", nginx=nginx_files, **changes)
    )


def site(lines: str, location: str = "", ini: str = INI, **changes: Any) -> migration.Plan:
    """The plan of a Galaxy with such a site."""
    text = f"server {{\nserver_name a.example.org;\n{lines}\nlocation / {{ proxy_pass http://127.0.0.1:8080;\n{location}\n}}\n}}\n"
    return read({"/x": text}, ini, **changes)


def verdict(plan: migration.Plan, name: str) -> Optional[str]:
    """What becomes of a directive."""
    return next((entry.verdict for entry in plan.entries if entry.name == name), None)


GUARDS = [
    "allow 10.0.0.0/8;",
    "deny all;",
    "satisfy any;",
    "auth_pam 'Galaxy';",
    "auth_pam_service_name nginx;",
    "auth_request /auth;",
    "auth_jwt x;",
    "auth_gss on;",
    "auth_ldap 'x';",
    "limit_req zone=one;",
    "limit_conn addr 1;",
    "limit_rate 50k;",
    "limit_except GET { deny all; }",
    "valid_referers none;",
    "secure_link $arg_md5;",
    "access_by_lua_block { ngx.exit(403) }",
    "access_by_lua_file /x.lua;",
    "if ($http_user_agent ~ bot) { return 403; }",
    "return 403;",
    "modsecurity on;",
    "a_module_nobody_knows on;",
]


@pytest.mark.parametrize("guard", [*GUARDS, "ssl_verify_client on;", "ssl_crl /x.pem;"])
def test_guard_of_the_site_stops_the_move(guard: str) -> None:
    plan = site(guard)
    assert [problem for problem in plan.problems if problem.startswith("/x:3: ")], plan.entries
    assert "/x:3" in plan.can_be_left


@pytest.mark.parametrize("guard", GUARDS)
def test_guard_of_a_location_stops_the_move(guard: str) -> None:
    assert "/x:5" in site("", guard).can_be_left


@pytest.mark.parametrize("guard", GUARDS[:15])
def test_guard_in_an_included_file_stops_the_move(guard: str) -> None:
    files = {
        "/etc/nginx/nginx.conf": "http { include sites-enabled/*; }",
        "/etc/nginx/sites-enabled/a": "server { location / { include snippets/g.conf; proxy_pass http://localhost:8080; } }",
        "/etc/nginx/snippets/g.conf": f"\n{guard}",
    }
    plan = read(files, nginx_roots=["/etc/nginx/nginx.conf"])
    assert "/etc/nginx/snippets/g.conf:2" in plan.can_be_left
    assert plan.sites == ["/etc/nginx/sites-enabled/a"]


def test_guard_that_is_left_behind_or_in_the_snippets_is_no_problem() -> None:
    guard = "allow 10.0.0.0/8;\ndeny all;"
    assert len(site(guard).problems) == 2
    plan = site(guard, leave_behind=["/x:3", "/x:4"])
    assert (plan.problems, verdict(plan, "deny all")) == ([], "left behind")
    plan = site(guard, known={"nginx_proxy_server_snippet": "allow 10.0.0.0/8; deny all;"})
    assert (plan.problems, verdict(plan, "deny all")) == ([], "carried over")
    (problem,) = site(guard, leave_behind=["/x:3"]).problems
    assert problem.startswith("/x:4: deny all: the site of the role would let in whom this line keeps out")


def test_place_that_is_no_problem_is_named() -> None:
    assert any(
        note.startswith("/x:99: is to be left behind, and is no problem")
        for note in site("", leave_behind=["/x:99"]).notes
    )


def test_guard_for_all_sites_holds_for_the_new_site_too() -> None:
    text = "http { deny 1.2.3.4; client_max_body_size 5g; ssl_certificate /c.pem; include sites/*; }"
    files = {
        "/etc/nginx/nginx.conf": text,
        "/etc/nginx/sites/a": "server { listen 443 ssl; location / { proxy_pass http://localhost:8080; } }",
    }
    plan = read(files, nginx_roots=["/etc/nginx/nginx.conf"])
    assert plan.problems == []
    assert verdict(plan, "deny 1.2.3.4") == "not needed"
    assert (plan.inputs["nginx_proxy_client_max_body_size"], plan.inputs["nginx_proxy_ssl_certificate"]) == (
        "5g",
        "/c.pem",
    )


@pytest.mark.parametrize(
    "location",
    [
        "location /reports/ { proxy_pass http://127.0.0.1:9001/; }",
        "location /gie_proxy { proxy_pass http://localhost:8800; }",
        "location /other { proxy_pass http://10.9.9.9:8080; }",
        "location ~ \\.php$ { fastcgi_pass unix:/run/php.sock; }",
        "location /ws { grpc_pass grpc://localhost:50051; }",
        "location /x { uwsgi_pass unix:/run/other.sock; }",
        "location /_upload { upload_pass @galaxy; upload_store /x; }",
        "location /downloads/ { alias /srv/files/; }",
        "location /admin { return 403; }",
        "location /private { internal; root /srv; }",
        "location = /old { return 301 /new; }",
    ],
)
def test_location_of_somebody_else_stops_the_move(location: str) -> None:
    assert "/x:3" in site(location).can_be_left
    assert site(location, known={"nginx_proxy_server_snippet": location}).problems == []


def test_every_line_has_an_entry() -> None:
    text = (
        "listen 80;\nproxy_set_header REMOTE_USER $remote_user;\nproxy_set_header Host $host;\nproxy_set_header X-Foo bar;\nclient_max_body_size 1g;\n"
        "proxy_read_timeout 30m;\nerror_page 502 /x.html;\nroot /srv;\nlocation /static { alias /srv/galaxy/static; expires 2d; }\nkeepalive_timeout 9;\n"
        "add_header X-Frame-Options DENY;\naccess_log /x;\nset_real_ip_from 10.0.0.1;\nreal_ip_header X-Real-IP;\nssl_protocols TLSv1;\nproxy_buffering off;"
    )
    plan = site(text)
    places = {entry.line for entry in plan.entries if entry.path == "/x"}
    assert places >= set(range(2, 20)), sorted(set(range(2, 20)) - places)
    assert verdict(plan, "proxy_set_header X-Foo bar") == "problem"
    assert verdict(plan, "proxy_set_header REMOTE_USER $remote_user") == "note"
    assert plan.inputs["nginx_proxy_read_timeout"] == 1800
    assert plan.inputs["nginx_proxy_static_dir"] == "/srv/galaxy/static"


DIRECTIVES = st.sampled_from(
    [guard.partition(";")[0].partition(" {")[0] for guard in GUARDS if "{" not in guard]
    + [
        "root /a",
        "gzip on",
        "proxy_buffering off",
        "tcp_nopush on",
        "http2 on",
        "add_header A b",
        "set $a b",
        "rewrite ^/a /b",
        "nobody knows",
    ]
)


@given(st.lists(DIRECTIVES, max_size=5), st.lists(DIRECTIVES, max_size=5))
def test_nothing_is_lost_without_a_word(server: list[str], location: list[str]) -> None:
    plan = site("\n".join(f"{line};" for line in server), "\n".join(f"{line};" for line in location))
    named = {(entry.line, entry.name) for entry in plan.entries if entry.path == "/x"}
    text = [(3 + number, line) for number, line in enumerate(server)]
    text += [(4 + max(len(server), 1) + number, line) for number, line in enumerate(location)]
    for number, line in text:
        words = str(nginx.parse(f"{line};").block[0])  # type: ignore[index]
        assert (number, words) in named or any(found == number for found, _name in named), (number, words, named)


@pytest.mark.parametrize(
    ("listen", "ok"),
    [
        ("listen 80;", True),
        ("listen [::]:80 ipv6only=on;", True),
        ("listen *:80 default_server;", True),
        ("listen 80;\nlisten 443 ssl http2;", True),
        ("listen 127.0.0.1:80;", False),
        ("listen 192.0.2.1:80;", False),
        ("listen unix:/run/x.sock;", False),
        ("listen 80 proxy_protocol;", False),
        ("listen 80;\nlisten 8081;", False),
    ],
)
def test_site_that_listens_elsewhere_stops_the_move(listen: str, ok: bool) -> None:
    assert (site(listen).problems == []) is ok


@pytest.mark.parametrize(
    ("name", "names"), [("~^(www\\.)?a$", None), ("www.*", None), (".b.org", ["a.example.org", "b.org", "*.b.org"])]
)
def test_names_that_the_role_does_not_take_stop_the_move(name: str, names: Optional[list[str]]) -> None:
    plan = site(f'server_name "{name}";')
    assert (plan.inputs["nginx_proxy_server_names"] if plan.problems == [] else None) == names


def test_word_with_a_variable_stays_whole() -> None:
    plan = site("ssl_certificate /etc/x/${ssl_server_name}/c.pem;")
    assert plan.inputs["nginx_proxy_ssl_certificate"] == "/etc/x/${ssl_server_name}/c.pem"
    assert any("only nginx knows $ssl_server_name" in note for note in plan.notes)


# Where the site is found

LOCATION = "location / { proxy_pass http://galaxy; }"
NGINX_CONF = "/etc/nginx/nginx.conf"


def test_site_in_the_main_file_is_found_and_stays() -> None:
    text = f"events {{ }}\nhttp {{\nupstream galaxy {{ server localhost:8080; }}\nserver {{ {LOCATION} }}\n}}"
    plan = read({NGINX_CONF: text}, nginx_roots=[NGINX_CONF])
    assert plan.sites == []
    (problem,) = plan.problems
    assert problem.startswith(f"{NGINX_CONF}:4: the site stands in nginx's main file")


@pytest.mark.parametrize(
    "files",
    [
        {
            NGINX_CONF: "http { upstream galaxy { server 127.0.0.1:8080; } include s/*; }",
            "/etc/nginx/s/a": f"server {{ {LOCATION} }}",
        },
        {
            NGINX_CONF: "http { include s/*; }",
            "/etc/nginx/s/a": "server { include p; }",
            "/etc/nginx/p": "location / { proxy_pass http://127.0.0.1:8080; }",
        },
        {
            NGINX_CONF: "http { include s/*; }",
            "/etc/nginx/s/a": "server { set $b http://localhost:8080; location / { proxy_pass $b; } }",
        },
        {
            NGINX_CONF: "http { map $host $b { default localhost:8080; } include s/*; }",
            "/etc/nginx/s/a": "server { location / { proxy_pass http://$b; } }",
        },
        {
            NGINX_CONF: "http { include s/*; }",
            "/etc/nginx/s/a": "server { location / { set $p 8080; proxy_pass http://[::1]:${p}; } }",
        },
    ],
)
def test_site_is_found_wherever_its_address_is_written(files: dict[str, str]) -> None:
    plan = read(files, nginx_roots=[NGINX_CONF])
    assert plan.sites == ["/etc/nginx/s/a"]
    assert plan.problems == []


@pytest.mark.parametrize(
    "target",
    [
        "http://10.9.9.9:8080",
        "http://other.example.org:8080",
        "http://127.0.0.1:8081",
        "http://127.0.0.1",
        "http://unix:/x",
        "http://u",
    ],
)
def test_site_of_another_host_or_port_is_not_ours(target: str) -> None:
    assert (
        read({"/x": f"upstream u {{ server 10.0.0.1:8080; }} server {{ location / {{ proxy_pass {target}; }} }}"}).sites
        == []
    )


def test_address_of_this_host_is_ours() -> None:
    text = "server { location / { proxy_pass http://192.0.2.7:8080; } }"
    assert read({"/x": text}, is_local=lambda host: host in ("192.0.2.7", "127.0.0.1")).sites == ["/x"]


def test_nginx_that_runs_without_a_site_stops_the_move() -> None:
    files = {NGINX_CONF: "http { server { listen 80; } }"}
    assert read(files, nginx_roots=[NGINX_CONF]).problems == []
    (problem,) = read(files, nginx_roots=[NGINX_CONF], nginx_runs=True).problems
    assert problem.startswith(f"{NGINX_CONF}:0: nginx: nginx runs, and no site passes requests to 8080")
    assert read(files, nginx_roots=[NGINX_CONF], nginx_runs=True, leave_behind=[f"{NGINX_CONF}:0"]).problems == []


def test_address_that_only_nginx_knows_stops_the_move() -> None:
    (problem,) = read({"/x": "server { location / { proxy_pass http://$arg_x; } }"}).problems
    assert problem.startswith("/x:1: proxy_pass http://$arg_x: nothing tells where these requests go")


def test_file_that_cannot_be_read_stops_the_move() -> None:
    assert read({"/x": "server {"}).problems[0].startswith("/x:1: the directive has no end")


def test_group_of_servers_on_two_machines_stops_the_move() -> None:
    text = "upstream galaxy { server localhost:8080;\nserver 10.0.0.2:8080; }\nserver { " + LOCATION + " }"
    assert read({"/x": text}).can_be_left == ["/x:2"]


def test_what_another_site_uses_stops_the_move() -> None:
    files = {
        "/a": "upstream galaxy { server localhost:8080; }\nmap $host $kind { default x; }\nserver { " + LOCATION + " }",
        "/b": "server { location / { proxy_pass http://10.1.1.1; add_header X $kind; } }",
    }
    plan = read(files)
    assert plan.can_be_left == ["/a:2"]
    assert "another site uses $kind" in plan.problems[0]


def test_connections_that_nginx_passes_to_the_port_stop_the_move() -> None:
    text = "stream { server { listen 9000;\nproxy_pass localhost:8080; } }\nhttp { include s/*; }"
    files = {NGINX_CONF: text, "/etc/nginx/s/a": "server { location / { proxy_pass http://localhost:8080; } }"}
    assert read(files, nginx_roots=[NGINX_CONF]).can_be_left == [f"{NGINX_CONF}:2"]


# What sends visitors on, or answers beside the application

OURS = "server { server_name a.example.org; location / { proxy_pass http://localhost:8080; } }"


@pytest.mark.parametrize(
    ("server", "is_own"),
    [
        ("listen 80;\nreturn 301 https://$host$request_uri;", True),
        ("server_name www.example.org;\nreturn 301 https://a.example.org$request_uri;", True),
        ("server_name www.example.org;\nreturn 301 $scheme://$server_name$request_uri;", True),
        ("if ($host = www.example.org) { return 301 https://$host$request_uri; }\nreturn 404;", True),
        (
            "root /srv/acme;\nlocation /.well-known/acme-challenge/ { }\nlocation / { return 301 https://$host$request_uri; }",
            True,
        ),
        ("rewrite ^/(.*)$ https://a.example.org/$1 permanent;", True),
        # Files, and one address that was renamed.
        ("root /srv/files;\nlocation /old { return 301 /new; }", False),
        ("location / { root /srv/files; }\nlocation /old { return 301 /new; }", False),
        ("location /files { alias /srv/files; }\nlocation / { return 301 https://$host$request_uri; }", False),
        ("rewrite ^/old$ /new permanent;\nroot /srv/files;", False),
        ("server_name old.example.org;\nreturn 301 https://elsewhere.example.com$request_uri;", False),
        ("server_name old.example.org;\nlocation / { rewrite ^ https://elsewhere.example.com/ permanent; }", False),
        ("return 301 https://$elsewhere$request_uri;", False),
    ],
)
def test_server_beside_goes_only_where_it_sends_visitors_to_the_site(server: str, is_own: bool) -> None:
    plan = read({"/x": f"{OURS}\nserver {{\n{server}\n}}\n"})
    assert (plan.problems == []) is is_own, plan.problems
    if not is_own:
        assert "a site of something else too" in plan.problems[0]
        assert plan.sites == []


def test_address_that_a_server_beside_sends_on_by_itself_stops_the_move() -> None:
    server = (
        "location /dl { return 301 https://$host/downloads; }\nlocation / { return 301 https://$host$request_uri; }"
    )
    assert read({"/x": f"{OURS}\nserver {{\n{server}\n}}\n"}).can_be_left == ["/x:3"]


@pytest.mark.parametrize(
    ("block", "is_own"),
    [
        ("if ($scheme = http) { return 301 https://$host$request_uri; }", True),
        ("if ($host = a.example.org) { return 301 https://a.example.org$request_uri; }", True),
        ("if ($https != on) { rewrite ^ https://$server_name$request_uri permanent; }", True),
        ("if ($host = old.example.org) { return 301 https://elsewhere.example.com/; }", False),
        ("if ($http_user_agent ~ bot) { return 302 https://a.example.org/nobots; }", False),
        ("if ($http_x_forwarded_proto = http) { return 301 https://$host$request_uri; }", False),
        ("if ($scheme = http) { return 301 https://$host/login; }", False),
    ],
)
def test_condition_is_that_of_the_role_only_where_it_sends_all_visitors_to_https(block: str, is_own: bool) -> None:
    plan = site(f"listen 80;\nlisten 443 ssl;\n{block}")
    assert ("/x:5" not in plan.can_be_left) is is_own
    assert site(f"listen 80;\nlisten 443 ssl;\n{block}", known={SERVER: block}).problems == []


@pytest.mark.parametrize(
    ("definition", "target"),
    [
        ("upstream galaxy {\nserver localhost:8080;\nserver 10.0.0.2:8080;\n}", "galaxy"),
        ("split_clients $remote_addr $to {\n10% 10.0.0.5:8080;\n* 127.0.0.1:8080;\n}", "$to"),
        ("map $cookie_beta $to {\ndefault 127.0.0.1:8080;\n1 10.0.0.5:8080;\n}", "$to"),
    ],
)
def test_another_machine_behind_the_same_address_stops_the_move(definition: str, target: str) -> None:
    files = {
        NGINX_CONF: "http { include conf.d/*; include s/*; }",
        "/etc/nginx/conf.d/a": definition,
        "/etc/nginx/s/a": f"server {{ location / {{ proxy_pass http://{target}; }} }}",
    }
    (problem,) = read(files, nginx_roots=[NGINX_CONF]).problems
    assert "another application or machine too" in problem


@pytest.mark.parametrize(
    ("line", "verdict_of_line"),
    [
        ("proxy_set_header X-Foo bar", "problem"),
        ("proxy_hide_header X-Powered-By", "note"),
        ("proxy_cache zone", "note"),
        ("proxy_set_header Host $host", "not needed"),
    ],
)
def test_line_for_all_sites_that_ends_with_the_proxy_is_named(line: str, verdict_of_line: str) -> None:
    files = {
        NGINX_CONF: f"http {{\n{line};\ninclude s/*; }}",
        "/etc/nginx/s/a": "server { location / { proxy_pass http://localhost:8080; } }",
    }
    assert verdict(read(files, nginx_roots=[NGINX_CONF]), line) == verdict_of_line
    files["/etc/nginx/s/a"] = (
        f"server {{ location / {{ proxy_pass http://localhost:8080; {line.rpartition(' ')[0]} x; }} }}"
    )
    assert (NGINX_CONF, 2) not in {(entry.path, entry.line) for entry in read(files, nginx_roots=[NGINX_CONF]).entries}


def test_guard_that_each_location_replaces_is_not_said_to_be_in_a_snippet() -> None:
    plan = site("allow 10.0.0.0/8;\ndeny all;", "allow all;")
    assert (verdict(plan, "deny all"), verdict(plan, "allow all")) == ("not needed", "problem")
    # Outside of its locations it holds.
    text = "server {\ndeny all;\nlocation /galaxy { proxy_pass http://127.0.0.1:8080; allow all; }\n}"
    assert "/x:2" in read({"/x": text}).can_be_left


@pytest.mark.parametrize(
    ("location", "is_noted"),
    [
        ("location = /robots.txt { alias /srv/www/robots.txt; }", True),
        ("location = /favicon.ico { alias /srv/galaxy/static/favicon.ico; }", False),
        ("location = /robots.txt { root /srv/www; }", True),
        ("location /static/style { alias /srv/custom/style; }", True),
        ("location /static/style { alias /srv/galaxy/static/style; }", False),
        ("location /static/style { alias /srv/galaxy/static/style/blue; }", False),
    ],
)
def test_static_file_from_another_place_is_noted(location: str, is_noted: bool) -> None:
    assert bool(site(location).notes) is is_noted
    assert site(location).problems == []


def test_files_outside_of_the_locations_stop_the_move() -> None:
    text = "server {\nroot /srv/www;\nlocation /galaxy { proxy_pass http://127.0.0.1:8080; }\n}"
    plan = read({"/x": text}, INI + "filter-with = p\n[filter:p]\nuse = egg:PasteDeploy#prefix\nprefix = /galaxy\n")
    assert plan.can_be_left == ["/x:2"]
    snippet = "location / { root /srv/www; }"
    assert read({"/x": text}, known={SERVER: snippet}).problems == []
    assert read({"/x": text.replace("root /srv/www;", "")}).problems == []


@pytest.mark.parametrize(
    ("line", "known", "is_problem"),
    [
        ("proxy_set_header X-Forwarded-Proto https;", {}, True),
        ("proxy_set_header X-URL-SCHEME https;", {}, True),
        ("uwsgi_param UWSGI_SCHEME https;", {}, True),
        ("uwsgi_param HTTPS on;", {}, True),
        ("proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto;", {}, True),
        ("proxy_set_header X-Forwarded-Host $http_x_forwarded_host;", {}, True),
        ("proxy_set_header X-Forwarded-Proto https;", {"nginx_proxy_trusted_proxies": True}, False),
        ("set_real_ip_from 10.0.0.1;\nproxy_set_header X-Forwarded-Proto https;", {}, False),
        ("listen 443 ssl;\nproxy_set_header X-Forwarded-Proto https;", {}, False),
        ("proxy_set_header X-Forwarded-Proto $scheme;", {}, False),
        ("proxy_set_header X-Forwarded-Proto http;", {}, False),
    ],
)
def test_scheme_that_a_proxy_in_front_tells_needs_its_address(
    line: str, known: dict[str, Any], is_problem: bool
) -> None:
    problems = site(line, known=known).problems
    assert ["nginx_proxy_trusted_proxies" in problem for problem in problems] == [True] * is_problem


def test_prefix_that_nginx_tells_the_application_is_asked_for() -> None:
    text = "server { location /galaxy { uwsgi_pass 127.0.0.1:8080;\nuwsgi_param SCRIPT_NAME /galaxy; } }"
    (problem,) = read({"/x": text}).problems
    assert "set nginx_proxy_prefix" in problem
    assert read({"/x": text}, known={"nginx_proxy_prefix": True}).problems == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("set $limit_rate 50k", "problem"),
        ("set $args a=b", "problem"),
        ("set $mine a", "not needed"),
        ("underscores_in_headers on", "note"),
        ("ignore_invalid_headers off", "note"),
        ("merge_slashes off", "note"),
        ("merge_slashes on", "not needed"),
        ("proxy_set_header Host galaxy.internal", "note"),
        ("proxy_set_header Host $http_host", "not needed"),
    ],
)
def test_line_that_changes_requests_is_named(line: str, found: str) -> None:
    assert verdict(site(f"{line};"), line) == found


def test_variable_that_the_snippets_need_is_named() -> None:
    lines = "set $foo bar;\nset $unused x;\nproxy_set_header X-Foo $foo;"
    plan = site(lines)
    assert sorted(plan.can_be_left) == ["/x:3", "/x:5"]
    assert site(lines, known={SERVER: "set $foo bar;\nuwsgi_param HTTP_X_FOO $foo;"}).problems == []
    assert site(lines, leave_behind=["/x:5"]).problems == []


def test_guard_in_a_condition_is_to_be_written_with_it() -> None:
    problems = site("", "if ($bad) {\nreturn 444;\n}").problems
    assert [problem for problem in problems if "/x:6" in problem and "the block if ($bad)" in problem]


# Options of the application that need the old site


@pytest.mark.parametrize(
    "option",
    [
        "nginx_upload_store = /x",
        "nginx_upload_path = /_upload",
        "nginx_upload_job_files_path = /_job_files",
        "dynamic_proxy_prefix = gie_proxy",
        "dynamic_proxy_manage = True",
        "nginx_x_archive_files_base = /_x_files",
        "apache_xsendfile = True",
        "use_remote_user = True",
    ],
)
def test_option_that_needs_the_old_site_stops_the_move(option: str) -> None:
    plan = read({}, f"{INI}{option}\n")
    assert plan.can_be_left == ["/srv/galaxy/config/galaxy.ini:7"]


@pytest.mark.parametrize(
    ("path", "directories", "ok"),
    [
        ("/data/galaxy/files", ["/data/galaxy/files"], True),
        ("/srv/galaxy/data", ["/srv/galaxy/data"], True),
        ("database/files", ["/srv/galaxy/database/files"], True),
        ("/srv/galaxy", [], False),
        ("/srv", [], False),
        ("/srv/galaxy/config", [], False),
    ],
)
def test_nginx_sends_from_the_datasets_and_from_nowhere_else(path: str, directories: list[str], ok: bool) -> None:
    plan = read({}, f"{INI}nginx_x_accel_redirect_base = /_x_accel_redirect\nfile_path = {path}\n")
    assert plan.inputs["nginx_proxy_x_accel_dirs"] == directories
    assert (plan.problems == []) is ok


# Where the application listens


@pytest.mark.parametrize(
    ("lines", "ports"),
    [
        ("use = egg:waitress#main\nlisten = 127.0.0.1:6543", [6543]),
        ("use = egg:waitress#main\nlisten = 127.0.0.1:6543 [::1]:6544", [6543, 6544]),
        ("use = egg:waitress#main\nport = 6543", [6543]),
        ("use = egg:gunicorn#main\nbind = 0.0.0.0:6543", [6543]),
        ("use = egg:Paste#http\nport = %(http_port)s", [7000]),
        ("use = egg:Paste#http\nhost = 127.0.0.1:6543", [6543]),
        ("use = egg:Paste#http", [8080]),
        ("use = egg:waitress#main", None),
        ("use = egg:gunicorn#main", None),
        ("use = egg:Paste#http\nport = %(nobody)s", None),
        ("use = egg:Paste#http\nport = eighty", None),
    ],
)
def test_port_is_that_of_the_server(lines: str, ports: Optional[list[int]]) -> None:
    ini = f"[DEFAULT]\nhttp_port = 7000\n\n[server:main]\n{lines}\n\n[app:main]\nuse = egg:app\n"
    other = "server { location / { proxy_pass http://localhost:8080; } }"
    plan = read({"/other": other}, ini)
    assert plan.ports == (ports or [])
    assert (plan.problems == []) is (ports is not None)
    assert plan.sites == (["/other"] if ports == [8080] else [])


def test_port_on_the_command_line_is_read() -> None:
    ini = "[server:main]\nuse = egg:Paste#http\nport = %(http_port)s\n\n[app:main]\nuse = egg:app\n"
    supervisor = {
        "/s.conf": "[program:a]\nuser = a\ncommand = /v/bin/pserve /srv/galaxy/config/galaxy.ini http_port=7001\n"
    }
    assert read({}, ini, supervisor=supervisor).ports == [7001]


def test_unix_socket_is_found() -> None:
    ini = "[server:main]\nuse = egg:waitress#main\nunix_socket = /run/a.sock\n\n[app:main]\nuse = egg:app\n"
    assert read({"/x": "server { location / { proxy_pass http://unix:/run/a.sock:; } }"}, ini).sites == ["/x"]


@pytest.mark.parametrize(
    "line",
    [
        "proxy_set_header GX_SECRET swordfish;",
        "proxy_set_header Authorization 'Basic swordfish';",
        "secure_link_secret swordfish;",
        "set $api_key swordfish;",
    ],
)
def test_secret_in_a_site_is_not_shown(line: str) -> None:
    plan = site(line)
    assert any(entry.line == 3 for entry in plan.entries)
    assert "swordfish" not in f"{plan.entries}{plan.problems}{plan.notes}"


def test_password_that_the_inventory_would_drop_stops_the_move() -> None:
    password = "auth_basic staff;\nauth_basic_user_file /p;"
    assert site(password).problems == []
    assert site(password, known={"nginx_proxy_location_snippet": "allow all;"}).can_be_left == ["/x:3", "/x:4"]
    assert site(password, known={"nginx_proxy_location_snippet": password}).problems == []


# A line of a snippet counts where it stands

SERVER, IN_LOCATION = "nginx_proxy_server_snippet", "nginx_proxy_location_snippet"


def test_guard_of_one_location_is_not_carried_over_by_that_of_another() -> None:
    private = "location /private { deny all;\nproxy_pass http://127.0.0.1:8080; }"
    reports = "location /reports { deny all; proxy_pass http://127.0.0.1:9001; }"
    assert site(f"{private}\n{reports}", known={SERVER: reports}).can_be_left == ["/x:3"]
    assert site(f"{private}\n{reports}", known={SERVER: f"{private}\n{reports}"}).problems == []


def test_guard_within_a_location_does_not_guard_the_site() -> None:
    reports = "location /reports { deny 1.2.3.4; proxy_pass http://127.0.0.1:9001; }"
    assert site(f"deny 1.2.3.4;\n{reports}", known={SERVER: reports}).can_be_left == ["/x:3"]
    assert site(f"deny 1.2.3.4;\n{reports}", known={SERVER: f"deny 1.2.3.4;\n{reports}"}).problems == []


@pytest.mark.parametrize(
    "guard", ["deny 1.2.3.4;", "limit_req zone=one;", "auth_basic staff;\nauth_basic_user_file /p;"]
)
@pytest.mark.parametrize(
    "other", ["location /reports { proxy_pass http://127.0.0.1:9001; }", "location /static { alias /srv/static; }"]
)
def test_guard_of_the_site_guards_what_is_not_the_application_too(guard: str, other: str) -> None:
    known = {IN_LOCATION: guard, SERVER: other}
    assert "/x:3" in site(f"{guard}\n{other}", known=known).can_be_left
    assert site(f"{guard}\n{other}", known={**known, SERVER: f"{guard}\n{other}"}).problems == []
    own = other.replace("{", f"{{ {guard}")
    assert site(f"{guard}\n{other}", known={**known, SERVER: own}).problems == []


def test_guard_of_the_site_may_stand_in_the_locations_where_all_lead_to_the_application() -> None:
    assert site("deny 1.2.3.4;", known={IN_LOCATION: "deny 1.2.3.4;"}).problems == []
    assert site("", "deny 1.2.3.4;", known={IN_LOCATION: "deny 1.2.3.4;"}).problems == []
    assert site("", "deny 1.2.3.4;", known={SERVER: "deny 1.2.3.4;"}).problems == []


PASSWORD = "auth_basic staff;\nauth_basic_user_file /p;"


@pytest.mark.parametrize(
    ("server", "location", "snippets"),
    [
        (f"{PASSWORD}\nlocation /static {{ alias /srv/galaxy/static; }}", "", {IN_LOCATION, SERVER}),
        (PASSWORD, "", {IN_LOCATION, SERVER}),
        ("", PASSWORD, {IN_LOCATION, SERVER}),
        ("location /static { alias /srv/galaxy/static; }", PASSWORD, {IN_LOCATION}),
        (f"{PASSWORD}\nlocation /static {{ auth_basic off; alias /srv/galaxy/static; }}", "", {IN_LOCATION}),
    ],
)
def test_password_is_asked_for_where_it_was(server: str, location: str, snippets: set[str]) -> None:
    plan = site(server, location)
    assert plan.problems == []
    assert {name: plan.inputs[name] for name in plan.inputs.keys() & {IN_LOCATION, SERVER}} == dict.fromkeys(
        snippets, f"{PASSWORD}\n"
    )


def test_password_for_an_answer_to_the_authority_of_certificates_is_not_made_up() -> None:
    plan = site(f"{PASSWORD}\nlocation /.well-known/acme-challenge {{ auth_basic off; root /var/www; }}")
    assert (plan.problems, SERVER in plan.inputs) == ([], False)


def test_guard_is_to_be_written_where_it_holds_as_before() -> None:
    def problem(plan: migration.Plan, line: int) -> str:
        return next(text for text in plan.problems if text.startswith(f"/x:{line}:"))

    assert SERVER in problem(site("deny 1.2.3.4;"), 3) and IN_LOCATION not in problem(site("deny 1.2.3.4;"), 3)
    assert IN_LOCATION in problem(site("", "deny 1.2.3.4;"), 5) and SERVER not in problem(site("", "deny 1.2.3.4;"), 5)
    plan = site("location /admin { proxy_pass http://127.0.0.1:8080;\ndeny all; }")
    assert "write the location /admin into nginx_proxy_server_snippet, with uwsgi_pass in it" in problem(plan, 4)


# What the snippets need


@pytest.mark.parametrize(
    ("definition", "line"),
    [
        ("limit_req_zone $binary_remote_addr zone=visitors:1m rate=5r/s;", "limit_req zone=visitors;"),
        ("limit_conn_zone $binary_remote_addr zone=visitors:1m;", "limit_conn visitors 5;"),
        ("geo $guest { default 1; 10.0.0.0/8 0; }", "if ($guest) { return 403; }"),
        ("map $http_user_agent $bot { default 0; }", "if ($bot) { return 403; }"),
    ],
)
def test_definition_that_the_snippets_need_stops_the_move(definition: str, line: str) -> None:
    text = f"{definition}\nserver {{ location / {{ {line}\nproxy_pass http://localhost:8080; }} }}"
    for known in ({}, {IN_LOCATION: line}, {SERVER: line}):
        (problem,) = [
            problem
            for problem in read({"/x": text}, known=known).problems
            if problem.startswith("/x:1: ") and "conf.d" in problem
        ]
        assert "the lines for the snippets of nginx_proxy need" in problem
    files = {"/x": text.partition("\n")[2], "/y": definition}
    assert read(files, known={IN_LOCATION: line}).problems == []


def test_definition_is_not_needed_where_the_line_is_left_behind() -> None:
    zone = "limit_req_zone $binary_remote_addr zone=visitors:1m rate=5r/s;"
    text = f"{zone}\nserver {{ location / {{\nlimit_req zone=visitors;\nproxy_pass http://localhost:8080; }} }}"
    assert read({"/x": text}, leave_behind=["/x:3"]).problems == []


def test_header_is_to_be_written_where_the_role_takes_it() -> None:
    (problem,) = site("", "proxy_set_header X-Site main;").problems
    assert problem.endswith("write 'uwsgi_param HTTP_X_SITE main;' into nginx_proxy_server_snippet")
    assert site("", "proxy_set_header X-Site main;", known={SERVER: "uwsgi_param HTTP_X_SITE main;"}).problems == []
    assert site("proxy_set_header X-Site main;", known={SERVER: "uwsgi_param HTTP_X_SITE main;"}).problems == []
    assert site("", "proxy_set_header X-Site main;", known={SERVER: "uwsgi_param HTTP_X_SITE other;"}).can_be_left == [
        "/x:5"
    ]


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("client_max_body_size 3g;", "nginx_proxy_client_max_body_size", "3g"),
        ("proxy_read_timeout 900s;", "nginx_proxy_read_timeout", 900),
        ("gzip off;", "nginx_proxy_gzip", False),
    ],
)
def test_value_of_the_location_of_the_application_is_that_of_the_site(line: str, name: str, value: object) -> None:
    plan = site("", line)
    assert (plan.inputs[name], plan.notes) == (value, [])
    plan = site(f"location /api {{ proxy_pass http://127.0.0.1:8080;\n{line} }}")
    assert name not in plan.inputs
    (note,) = plan.notes
    assert note.startswith("/x:4: ") and f"({name})" in note


def test_path_that_nginx_changes_for_a_part_of_the_site_needs_a_location() -> None:
    upload = "location /_upload { proxy_pass http://127.0.0.1:8080/upload; }"
    (problem,) = site(upload).problems
    assert (
        "gets the path /upload for /_upload here" in problem
        and "write the location /_upload into nginx_proxy_server_snippet" in problem
    )
    assert "nginx_proxy_prefix" not in problem
    assert (
        site(
            upload,
            known={SERVER: "location /_upload { rewrite ^ /upload break; uwsgi_pass unix:/run/galaxy/web.sock; }"},
        ).problems
        == []
    )


@pytest.mark.parametrize(
    ("options", "location"),
    [
        ("nginx_upload_store = /x\nnginx_upload_path = /_upload\n", "location /_upload { uwsgi_pass a; }"),
        (
            "dynamic_proxy_prefix = gie_proxy\ndynamic_proxy_manage = True\n",
            "location /gie_proxy { proxy_pass http://localhost:8800; }",
        ),
        ("nginx_x_archive_files_base = /_x_files\n", "location /_x_files/ { internal; alias /; }"),
    ],
)
def test_option_of_a_location_in_the_snippet_is_no_problem(options: str, location: str) -> None:
    assert len(read({}, INI + options).problems) == options.count("\n")
    assert read({}, INI + options, known={SERVER: location}).problems == []
    assert len(read({}, INI + options, known={SERVER: "location /other { return 404; }"}).problems) == options.count(
        "\n"
    )


def test_what_is_no_secret_is_shown() -> None:
    plan = site("ssl_certificate_key /etc/ssl/a.key;\nproxy_pass_request_body off;\nproxy_pass_header Server;")
    assert {"ssl_certificate_key /etc/ssl/a.key", "proxy_pass_request_body off", "proxy_pass_header Server"} <= {
        entry.name for entry in plan.entries
    }


def test_password_in_some_places_is_carried_over_by_the_snippets() -> None:
    staff = 'location /staff { auth_basic off; auth_pam "Staff"; proxy_pass http://127.0.0.1:8080; }'
    plan = site(f"{PASSWORD}\n{staff}")
    assert [problem for problem in plan.problems if "asks for a password in some places only" in problem]
    own = staff.replace("proxy_pass http://127.0.0.1:8080", "uwsgi_pass unix:/run/galaxy/web.sock")
    assert site(f"{PASSWORD}\n{staff}", known={IN_LOCATION: PASSWORD, SERVER: f"{PASSWORD}\n{own}"}).problems == []
    assert site(f"{PASSWORD}\n{staff}", known={IN_LOCATION: PASSWORD, SERVER: own}).problems == []
    assert "/x:3" in site(f"{PASSWORD}\n{staff}", known={IN_LOCATION: "allow all;", SERVER: own}).can_be_left
    off = own.replace("auth_basic off; ", "")
    assert site(f"{PASSWORD}\n{staff}", known={IN_LOCATION: PASSWORD, SERVER: off}).problems != []


@pytest.mark.parametrize(
    ("lines", "redirect"),
    [
        ("listen 80;\nlisten 443 ssl;", False),
        ("listen 443 ssl;", None),
        ("listen 80;", None),
        ("listen 80;\nlisten 443 ssl;\nif ($scheme = http) { return 301 https://$host$request_uri; }", None),
        ("listen 80;\nlisten 443 ssl;\nif ($scheme = http) {\nrewrite ^ https://$host$request_uri permanent;\n}", None),
    ],
)
def test_visitors_without_tls_are_sent_on_only_where_they_were(lines: str, redirect: Optional[bool]) -> None:
    assert site(lines).inputs.get("nginx_proxy_ssl_redirect") is redirect


def test_visitors_are_sent_to_tls_by_a_server_of_its_own() -> None:
    way = "location / { proxy_pass http://localhost:8080; }"
    text = f"server {{ listen 80; return 301 https://$host$request_uri; }}\nserver {{ listen 443 ssl; {way} }}"
    assert "nginx_proxy_ssl_redirect" not in read({"/x": text}).inputs
    text = f"server {{ listen 80; {way} }}\nserver {{ listen 443 ssl; {way} }}"
    assert read({"/x": text}).inputs["nginx_proxy_ssl_redirect"] is False


def test_location_is_left_behind_as_a_whole() -> None:
    text = "location /reports {\nallow 10.0.0.1;\ndeny all;\nproxy_pass http://127.0.0.1:9001;\n}\nlocation /old {\nreturn 403;\n}"
    assert len(site(text).problems) > 4
    plan = site(text, leave_behind=["/x:3", "/x:8"])
    assert (plan.problems, plan.notes) == ([], [])
    assert {entry.line for entry in plan.entries if entry.verdict == "left behind"} == {3, 4, 5, 6, 8, 9}
    assert "/x:5" in site(f"{text}\ndeny all;", leave_behind=["/x:8"]).can_be_left


def test_value_of_an_included_file_is_named_once() -> None:
    files = {
        NGINX_CONF: "http { include s/*; }",
        "/etc/nginx/s/a": "server { location / { include p; }\nlocation /api { include p; } }",
        "/etc/nginx/p": "proxy_pass http://localhost:8080;\nproxy_read_timeout 900s;",
    }
    plan = read(files, nginx_roots=[NGINX_CONF])
    assert (plan.inputs["nginx_proxy_read_timeout"], plan.notes) == (900, [])


# What a message tells to do settles the problem


@pytest.mark.parametrize(
    ("lines", "known"),
    [
        ("listen 80;\nlisten 8081;", {SERVER: "listen 8081;"}),
        ("listen unix:/run/x.sock;", {SERVER: "listen unix:/run/x.sock;"}),
        ("proxy_set_header REMOTE_USER $http_x_user;", {"nginx_proxy_remote_user": "$http_x_user"}),
    ],
)
def test_what_the_message_names_settles_the_problem(lines: str, known: dict[str, Any]) -> None:
    ini = "[server:main]\nuse = egg:Paste#http\nport = 8080\n\n[app:main]\nuse = egg:app\n"
    (problem,) = site(lines, ini=ini).problems
    assert next(iter(known)) in problem
    assert site(lines, ini=ini, known=known).problems == []


def test_user_of_a_trusted_proxy_is_settled_by_its_address() -> None:
    ini = f"{INI}use_remote_user = True\n"
    line = "proxy_set_header REMOTE_USER $http_x_user;"
    assert ["nginx_proxy_trusted_proxies" in problem for problem in site(line, ini=ini).problems] == [True]
    plan = site(line, ini=ini, known={"nginx_proxy_trusted_proxies": True})
    assert (plan.problems, plan.inputs["nginx_proxy_remote_user"]) == ([], "$http_x_user")


def test_certificate_that_the_inventory_names_needs_no_note() -> None:
    line = "ssl_certificate /etc/x/${ssl_server_name}/c.pem;"
    assert len(site(line).notes) == 1
    assert site(line, known={"nginx_proxy_ssl_certificate": True}).notes == []


# Whatever the inventory says: without a problem, each guard guards what it guarded

RULES = st.lists(
    st.sampled_from(["deny 1.1.1.1;", "deny 2.2.2.2;", "limit_conn a 1;", "limit_req zone=b;", "auth_basic staff;"]),
    unique=True,
    max_size=3,
)


def holding(server: list[str], location: Optional[list[str]]) -> set[str]:
    """The guards that hold in a location of a server, as nginx inherits them."""
    own = location or []
    names = {rule.split()[0] for rule in own}
    return {*own, *(rule for rule in server if rule.split()[0] not in names)}


@given(
    *[RULES] * 6,
    st.booleans(),
    st.booleans(),
)
def test_without_a_problem_each_guard_guards_what_it_guarded(
    old_server: list[str],
    old_main: list[str],
    old_reports: list[str],
    new_server: list[str],
    new_location: list[str],
    new_reports: list[str],
    reports_are_ours: bool,
    reports_in_snippet: bool,
) -> None:
    target = "127.0.0.1:8080" if reports_are_ours else "127.0.0.1:9001"
    text = [
        "server {",
        *old_server,
        "location / {",
        *old_main,
        "proxy_pass http://127.0.0.1:8080;",
        "}",
        "location /reports {",
        *old_reports,
        f"proxy_pass http://{target};",
        "}",
        "}",
    ]
    reports = ["location /reports {", *new_reports, "uwsgi_pass unix:/x;", "}"] if reports_in_snippet else []
    known = {IN_LOCATION: "\n".join(new_location), SERVER: "\n".join([*new_server, *reports])}
    known = {name: value for name, value in known.items() if value}
    plan = read({"/x": "\n".join(text)}, known=known)
    if plan.problems:
        return
    inputs = {**plan.inputs, **known}
    location, server = (inputs.get(name, "").splitlines() for name in (IN_LOCATION, SERVER))
    server = [*server[: server.index("location /reports {")], *new_server] if reports_in_snippet else server
    application = holding(server, location)
    assert holding(old_server, old_main) <= application
    assert holding(old_server, old_reports) <= (holding(server, new_reports) if reports_in_snippet else application)
