# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles do on hosts is what they did before they were written anew, to the byte."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import recording

TLS = {
    "nginx_proxy_ssl_certificate": "/etc/tls/fullchain.pem",
    "nginx_proxy_ssl_certificate_key": "/etc/tls/privkey.pem",
    "nginx_proxy_server_names": ["galaxy.example.org", "*.example.org"],
}
INI = {"nginx_proxy_config_file": "/srv/galaxy/config/galaxy.ini"}


def believes(**remote_user: Any) -> dict[str, Any]:
    """The answers of a host with a Galaxy that takes the user from its proxy."""
    return {"paste_check": {"remote_user": {"used": True, "header": "HTTP_REMOTE_USER", "secret": True, **remote_user}}}


PASSWORD = 'auth_basic "Staff";\nauth_basic_user_file /etc/nginx/staff.htpasswd;'
ALL = {
    "nginx_proxy_instance": "galaxy-test",
    "nginx_proxy_acme_root": "/var/www/acme/",
    "nginx_proxy_asgi_paths": ["/api/events/stream", "/api/mcp"],
    "nginx_proxy_interactive_tools_upstream": "127.0.0.1:4002",
    "nginx_proxy_log_format": "json",
    "nginx_proxy_prefix": "/a/b/",
    "nginx_proxy_trusted_proxies": ["10.0.0.0/24", "2001:db8::/64"],
    "nginx_proxy_location_snippet": "limit_rate 1m;\nadd_header X-Own yes;",
    "nginx_proxy_unbuffered_paths": ["/api/upload", "/api/job_files/"],
    "nginx_proxy_x_accel_dirs": ["/srv/a/", "/srv/b", "/srv/a"],
    "nginx_proxy_x_accel_base": "/_files",
    "nginx_proxy_x_accel_group": "galaxy",
    "nginx_proxy_static_dir": "/srv/galaxy/static/",
    "nginx_proxy_static_max_age": 60,
    "nginx_proxy_client_max_body_size": 0,
    "nginx_proxy_maintenance_page": "<p>soon</p>\n",
}
BESIDE = {"nginx_proxy_instance": "training", "nginx_proxy_beside": "galaxy-one", "nginx_proxy_prefix": "/training"}
SITE_THERE = {"find /etc/nginx": {"files": [{"path": "/etc/nginx/sites-available/galaxy-one.conf"}]}}
FRESH = {
    "paste_check": {"seen": []},
    "stat": {"stat": {"exists": False}},
    "nginx_load": {"out_of_reach": [], "socket_differs": True},
}
NGINX: dict[str, dict[str, Any]] = {
    "plain": {},
    "fresh": {"answers": FRESH, "nginx_proxy_x_accel_group": "galaxy"},
    "no-file-of-galaxy": {"nginx_proxy_config_file": "", "nginx_proxy_x_accel_dirs": [], "nginx_proxy_static_dir": ""},
    "as-text": {
        "nginx_proxy_port": "8080",
        "nginx_proxy_read_timeout": "30",
        "nginx_proxy_gzip": "no",
        "nginx_proxy_ipv6": "yes",
        "nginx_proxy_default_server": "false",
        "nginx_proxy_server_names": ["a.example.org"],
        "nginx_proxy_remove_default_site": "true",
        "nginx_proxy_worker_connections": "0",
        "nginx_proxy_socket_group": "",
    },
    "own-group": {"nginx_proxy_socket_group": "www-data", "nginx_proxy_worker_connections": 512},
    "uwsgi": {
        "uwsgi_instance": "my-galaxy",
        "uwsgi_listen": "tcp",
        "uwsgi_socket_group": "games",
        "galaxy_version": "26.1.2",
        "galaxy_root": "/opt/g",
    },
    "file-known": {
        **INI,
        "answers": {"paste_check": {"options": {"app:main": {"nginx_x_accel_redirect_base": "/_x_accel_redirect"}}}},
    },
    "file-differs": {**INI, "nginx_proxy_prefix": "/galaxy/"},
    "tls": {
        **TLS,
        **INI,
        "nginx_proxy_ipv6": True,
        "nginx_proxy_acme_root": "/var/www/acme",
        "nginx_proxy_hsts_max_age": "300",
    },
    "tls-no-redirect": {
        **TLS,
        "nginx_proxy_ssl_redirect": False,
        "nginx_proxy_interactive_tools_upstream": "127.0.0.1:4002",
    },
    "tls-newest": {
        **TLS,
        "nginx_proxy_ssl_port": 8443,
        "nginx_proxy_interactive_tools_upstream": "127.0.0.1:4002",
        "answers": {
            "setup": {
                "ansible_facts": {**recording.FACTS, "distribution_major_version": "13", "distribution_version": "13.1"}
            }
        },
    },
    "tls-ubuntu": {
        **TLS,
        "answers": {
            "setup": {"ansible_facts": {**recording.FACTS, "distribution": "Ubuntu", "distribution_version": "25.04"}}
        },
    },
    "everything": {**ALL, **INI},
    "snippets": {
        "nginx_proxy_server_snippet": 'uwsgi_param HTTP_X_OWN "of the site";\nuwsgi_param HTTP_X_FORWARDED_EMAIL $http_x;\n'
        "uwsgi_param SCRIPT_NAME /wrong;\nlocation = /own {\n    uwsgi_param HTTP_X_INNER no;\n    return 204;\n}",
        "nginx_proxy_location_snippet": "  rewrite ^/old/(.*)$ /new/$1;",
    },
    "user-password": {
        **INI,
        "nginx_proxy_location_snippet": PASSWORD,
        "nginx_proxy_remote_user": "$remote_user",
        "answers": believes(),
    },
    "user-secret": {
        **INI,
        "nginx_proxy_location_snippet": PASSWORD,
        "nginx_proxy_remote_user": "$remote_user",
        "answers": believes(secret=False),
    },
    "user-header": {
        **INI,
        "nginx_proxy_interactive_tools_upstream": "127.0.0.1:4002",
        "nginx_proxy_remote_user": "$http_x_sso_user",
        "nginx_proxy_trusted_proxies": ["127.0.0.2"],
        "nginx_proxy_asgi_paths": ["/api/mcp"],
        "answers": believes(header="HTTP_X_REMOTE_USER"),
    },
    "user-unknown-header": {
        **INI,
        "nginx_proxy_asgi_paths": ["/api/mcp"],
        "answers": believes(header="HTTP_MY_OWN_USER"),
    },
    "user-request": {
        "nginx_proxy_location_snippet": "auth_request /ask;\nauth_request_set $sso_user $upstream_http_x_user;",
        "nginx_proxy_remote_user": "$sso_user",
        "nginx_proxy_server_snippet": "location = /ask {\n    internal;\n    uwsgi_pass unix:/run/galaxy/web.sock;\n}",
    },
    "user-certificate": {
        **TLS,
        "nginx_proxy_remote_user": "$ssl_client_s_dn",
        "nginx_proxy_ssl_client_certificate": "/etc/tls/authority.pem",
    },
    "beside": BESIDE | {"answers": SITE_THERE},
    "beside-all": {
        **ALL,
        **TLS,
        **INI,
        "nginx_proxy_beside": "galaxy",
        "nginx_proxy_server_snippet": "uwsgi_param HTTP_X_OWN yes;",
        "nginx_proxy_remote_user": "$http_x_sso_user",
        "answers": believes() | SITE_THERE,
    },
    "absent": {"nginx_proxy_state": "absent"},
    "absent-not-last": {
        "nginx_proxy_state": "absent",
        "nginx_proxy_instance": "galaxy-test",
        "answers": {
            "find": {
                "files": [
                    {"path": "/etc/nginx/sites-available/other.conf"},
                    {"path": "/etc/nginx/sites-available/galaxy-test.conf"},
                ]
            }
        },
    },
    "absent-fresh": {"nginx_proxy_state": "absent", "answers": FRESH},
    "site": {**TLS, "entries": ["site"], "nginx_proxy_server_snippet": "uwsgi_param HTTP_X_OWN yes;"},
    "site-user": {
        **INI,
        "entries": ["site"],
        "nginx_proxy_location_snippet": PASSWORD,
        "nginx_proxy_remote_user": "$remote_user",
        "answers": believes(),
    },
    "site-beside": {**BESIDE, "entries": ["site"], "answers": SITE_THERE},
    "twice": {
        **INI,
        "entries": ["preflight", "galaxy_config", "main"],
        "nginx_proxy_location_snippet": PASSWORD,
        "answers": believes(),
    },
    "wrong-inputs": {
        "nginx_proxy_beside": "galaxy",
        "nginx_proxy_instance": "galaxy",
        "nginx_proxy_trusted_proxies": ["10.0.0.7/24", "0.0.0.0/0"],
        "nginx_proxy_ssl_certificate": "/etc/x.pem",
        "nginx_proxy_asgi_paths": ["/static/x", "/api/upload/x"],
        "nginx_proxy_unbuffered_paths": ["/api/upload"],
        "nginx_proxy_port": 0,
        "nginx_proxy_ssl_port": 0,
        "nginx_proxy_worker_connections": 3,
        "nginx_proxy_remote_user": "$nobody",
    },
    "wrong-tls": {
        **TLS,
        "nginx_proxy_ssl_port": 80,
        "nginx_proxy_remote_user": "$remote_user",
        "nginx_proxy_server_names": ["a b"],
    },
    "wrong-user-line": {"answers": {"paste_check": {"seen": ["/usr/sbin/nginx"]}}},
    "wrong-authority": {
        **TLS,
        "nginx_proxy_ssl_client_certificate": "/etc/a.pem",
        "answers": {"paste_check": {"seen": ["/etc/nginx/nginx.conf"]}},
    },
    "wrong-prefix": {**INI, "answers": {"paste_check": {"options": {"app:main": {"galaxy_url_prefix": "/old"}}}}},
    "wrong-user-of-guest": {
        "nginx_proxy_server_snippet": "uwsgi_param HTTP_X_OWN yes;",
        "answers": {"find": {"files": [{"path": "/etc/nginx/galaxyops/galaxy/training.conf"}]}},
    },
}


NGINX_QUICK = (
    "plain",
    "as-text",
    "tls",
    "everything",
    "user-header",
    "beside",
    "absent-not-last",
    "site-user",
    "wrong-inputs",
)


def test_nginx_proxy(tmp_path: Path) -> None:
    recording.check("nginx_proxy", recording.recorded(tmp_path, "nginx_proxy", NGINX, NGINX_QUICK))


SUPERVISOR_FACTS = {"setup": {"ansible_facts": {**recording.FACTS, "service_mgr": "sysvinit"}}}
FORMS = ("paste", "ini", "yaml", "json", "xml", "command_line", "environment", "emperor")
# Options that need an include, an option with a secret, one that is taken away, and one that stands several times.
OPTIONS = {
    "static-map": ["/a=/srv/a", "/b=/srv/b"],
    "http-auth": "x",
    "env": "API_TOKEN=geheim",
    "processes": 3,
}
UWSGI: dict[str, dict[str, Any]] = {
    "plain": {},
    "fresh": {
        "answers": {"paste_check": {"seen": [], "changing": ["uwsgi"], "uwsgi_satisfies": False, "uwsgi_packages": []}}
    },
    "everything": {
        "uwsgi_instance": "my-galaxy",
        "uwsgi_config_file": "/opt/g/conf/galaxy.ini",
        "uwsgi_paste_app": "web",
        "uwsgi_virtualenv": "/opt/g/venv",
        "uwsgi_chdir": "/opt/g/app",
        "uwsgi_user": "g",
        "uwsgi_group": "gg",
        "uwsgi_listen": "tcp",
        "uwsgi_listen_address": "127.0.0.1:4001",
        "uwsgi_http_address": "127.0.0.1:8080",
        "uwsgi_socket_group": "games",
        "uwsgi_processes": 8,
        "uwsgi_processes_min": 2,
        "uwsgi_threads": 2,
        "uwsgi_max_requests": 1000,
        "uwsgi_options": OPTIONS,
        "uwsgi_environment": {"A": "b", "TOKEN": 'geheim mit "Anführung"'},
        "uwsgi_handover": "in_place",
        "uwsgi_allow_interruption": "yes",
        "uwsgi_watch": ["/opt/g/app/**"],
        "uwsgi_health_path": "/x",
        "uwsgi_health_status": [200, 302],
        "uwsgi_start_timeout": 60,
        "uwsgi_stop_timeout": 30,
        "uwsgi_log_dir": "/var/log/my-galaxy/",
        "uwsgi_backup": True,
        "uwsgi_job_config_file": "/opt/g/conf/jobs.yml",
    },
    "no-hardening": {"uwsgi_hardening": False, "uwsgi_listen": "http", "uwsgi_log_dir": "/var/tmp/logs"},
    "no-filter": {"answers": {"paste_check": {"system_call_filter": False}}, "uwsgi_log_dir": "/var/log/galaxy"},
    "logs-fresh": {
        "uwsgi_log_dir": "/var/log/galaxy",
        "answers": {"paste_check": {"seen": ["/etc/group"]}},
    },
    "http-everywhere": {"uwsgi_listen": "http", "uwsgi_listen_address": ":8080"},
    "loopback6": {"uwsgi_http_address": "[::1]:8080"},
    "supervisor": {"answers": SUPERVISOR_FACTS},
    "supervisor-pip": {
        "answers": SUPERVISOR_FACTS,
        "uwsgi_supervisor_install_method": "pip",
        "uwsgi_supervisor_conf_dir": "/etc/programs",
        "uwsgi_config_format": "ini",
    },
    "supervisor-by-input": {
        "uwsgi_service_manager": "supervisor",
        "uwsgi_supervisor_install_method": "none",
        "uwsgi_max_requests": 10,
    },
    "source": {
        "uwsgi_install_method": "source",
        "answers": {"paste_check": {"uwsgi_satisfies": False, "uwsgi_packages": ["pyuwsgi"]}},
    },
    "source-11": {
        "uwsgi_install_method": "source",
        "answers": {
            "setup": {"ansible_facts": {**recording.FACTS, "distribution_major_version": "11"}},
            "paste_check": {"uwsgi_satisfies": False},
            "virtualenv": {"changed": True},
        },
    },
    "distribution": {
        "uwsgi_install_method": "distribution",
        "uwsgi_config_format": "environment",
        "uwsgi_max_requests": 100,
        "answers": {"paste_check": {"uwsgi_satisfies": False, "uwsgi_packages": ["pyuwsgi", "uwsgidecorators"]}},
    },
    "other-package": {
        "uwsgi_package": "https://example.org/pyuwsgi.whl",
        "answers": {"paste_check": {"uwsgi_packages": ["uwsgi"]}},
    },
    "mules": {"job_handlers_mode": "mules", "job_handlers": 3, "uwsgi_handover": "in_place"},
    "mules-gone": {"job_handlers_mode": "mules", "job_handlers_state": "absent"},
    "self": {"job_handlers_assign_with": ["db-self", "mem-self"]},
    "galaxy-20": {"answers": {"galaxy_info": {"version": "20.5.0"}}},
    "galaxy-23": {
        "answers": {"galaxy_info": {"version": "23.1.0", "job_config_file": "/srv/galaxy/config/job_conf.yml"}}
    },
    "galaxy-26": {"answers": {"galaxy_info": {"version": "26.1.2"}}},
    "absent": {"uwsgi_state": "absent"},
    "absent-supervisor": {
        "uwsgi_state": "absent",
        "answers": SUPERVISOR_FACTS,
        "uwsgi_log_dir": "/var/log/galaxy",
        "uwsgi_options": OPTIONS,
    },
    "twice": {"entries": ["preflight", "main"], "uwsgi_environment": {"A": "b"}},
    "fixed-by-text": {"uwsgi_processes": "two", "uwsgi_threads": 0},
    "wrong": {
        "uwsgi_instance": "Galaxy",
        "uwsgi_config_file": "galaxy.ini",
        "uwsgi_options": {"http-socket": ":80", "Processes": 4},
        "uwsgi_environment": {"GALAXY_CONFIG_SERVER_NAME": "x"},
        "uwsgi_listen": "http",
        "uwsgi_http_address": ":80",
    },
    "wrong-supervisors": {"answers": SUPERVISOR_FACTS | {"command": {"stdout_lines": ["/usr/local/bin/supervisord"]}}},
}
for form in FORMS:
    UWSGI[f"form-{form}"] = {"uwsgi_config_format": form, "uwsgi_options": OPTIONS}
    UWSGI[f"yml-{form}"] = {"uwsgi_config_format": form, "uwsgi_config_file": "/srv/galaxy/config/galaxy.yml"}
UWSGI["as-text"] = {
    **{
        f"uwsgi_{name}": "7"
        for name in ("processes", "processes_min", "threads", "max_requests", "start_timeout", "stop_timeout")
    },
    "uwsgi_hardening": "no",
    "uwsgi_health_status": ["200"],
}
UWSGI_QUICK = (
    "plain",
    "everything",
    "supervisor-pip",
    "distribution",
    "mules",
    "absent-supervisor",
    "form-paste",
    "yml-emperor",
    "wrong",
)


def test_uwsgi(tmp_path: Path) -> None:
    recording.check("uwsgi", recording.recorded(tmp_path, "uwsgi", UWSGI, UWSGI_QUICK))


REGISTERED = {
    "job_conf_handlers": {
        "runners": [
            {"id": "local", "load": "galaxyops_runners:DurableLocalRunner", "ends_with_handler": False},
            {"id": "slurm", "load": "galaxy.jobs.runners.slurm:SlurmJobRunner", "ends_with_handler": False},
        ]
    }
}
HANDLERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "registered": {"answers": REGISTERED},
    "ending": {
        "answers": {
            "job_conf_handlers": {
                "runners": [{"id": "local", "load": "galaxy.jobs.runners.local:X", "ends_with_handler": True}]
            }
        },
    },
    "every": {
        "job_handlers_instance": "my-galaxy",
        "job_handlers": [
            {"id": "main0", "tags": ["a", "b"], "plugins": ["slurm"], "environment": {"TOKEN": "geheim"}},
            {"id": "wf0", "workflow_scheduler": True},
            {"id": "big", "previous_ids": ["old"], "environment": {"A": "b c"}},
        ],
        "job_handlers_default": "a",
        "job_handlers_max_grab": 3,
        "job_handlers_ready_window_size": 5,
        "job_handlers_config_file": "/opt/g/job_conf.yml",
        "job_handlers_galaxy_config_file": "/opt/g/galaxy.ini",
        "job_handlers_virtualenv": "/opt/g/venv",
        "job_handlers_chdir": "/opt/g/app",
        "job_handlers_user": "g",
        "job_handlers_group": "gg",
        "job_handlers_environment": {"A": "b", "TOKEN": "geheim"},
        "job_handlers_watch": ["/opt/g/app/**"],
        "job_handlers_start_timeout": 60,
        "job_handlers_stop_timeout": 30,
        "job_handlers_drain_timeout": 9,
        "job_handlers_durable_jobs": "no",
        "job_handlers_hardening": "no",
        "job_handlers_backup": True,
        "answers": REGISTERED
        | {
            "paste_check": {
                "options": {"app:main": {"monitor_thread_join_timeout": "7", "job_config_file": "/opt/g/job_conf.yml"}}
            }
        },
    },
    "dynamic": {
        "job_handlers_mode": "dynamic",
        "galaxy_database_connection": "postgresql:///galaxy",
        "job_handlers": 3,
    },
    "mules": {"job_handlers_mode": "mules", "uwsgi_handover": "in_place"},
    "supervisor": {"answers": SUPERVISOR_FACTS | REGISTERED},
    "scheduler-gone": {
        "answers": {
            "paste_check": {
                "options": {
                    "app:main": {
                        "workflow_schedulers_config_file": "/srv/galaxy/config/workflow_schedulers_conf.galaxy.xml"
                    }
                }
            }
        },
    },
    "scheduler-of-others": {
        "job_handlers": [{"id": "a", "workflow_scheduler": True}],
        "answers": {"paste_check": {"options": {"app:main": {"workflow_schedulers_config_file": "/etc/other.xml"}}}},
    },
    "known": {
        "answers": REGISTERED
        | {"paste_check": {"options": {"app:main": {"job_config_file": "/srv/galaxy/config/job_conf.xml"}}}}
    },
    "yml": {
        "job_handlers_galaxy_config_file": "/srv/galaxy/config/galaxy.yml",
        "answers": {
            "galaxy_info": {
                "version": "24.0",
                "job_config_file": "/srv/galaxy/config/job_conf.yml",
                "config_file": "/srv/galaxy/config/galaxy.yml",
            },
            "paste_check": {"job_config": {"inline": False, "runners": []}},
        },
    },
    "yml-inline": {
        "job_handlers_galaxy_config_file": "/srv/galaxy/config/galaxy.yml",
        "answers": {
            "galaxy_info": {
                "version": "24.0",
                "job_config_inline": True,
                "config_file": "/srv/galaxy/config/galaxy.yml",
                "database": "postgresql",
            },
            "paste_check": {"job_config": {"inline": True, "runners": REGISTERED["job_conf_handlers"]["runners"]}},
        },
    },
    "absent": {"job_handlers_state": "absent"},
    "absent-supervisor": {
        "job_handlers_state": "absent",
        "answers": SUPERVISOR_FACTS,
        "job_handlers_mode": "dynamic",
        "job_handlers_max_grab": 2,
    },
    "stop": {"entries": ["stop"]},
    "register": {"entries": ["preflight", "register"], "answers": REGISTERED},
    "twice": {"entries": ["preflight", "main"], "answers": REGISTERED},
    "wrong": {"job_handlers_instance": "X", "job_handlers_default": "nobody", "job_handlers_config_file": "x"},
    "wrong-handlers": {"job_handlers": [{"id": "a b"}]},
}
HANDLERS["as-text"] = {
    **{
        f"job_handlers_{name}": "7"
        for name in ("max_grab", "ready_window_size", "start_timeout", "stop_timeout", "drain_timeout")
    },
    "job_handlers": "3",
}
HANDLERS_QUICK = ("plain", "every", "supervisor", "yml-inline", "absent", "wrong")


def test_job_handlers(tmp_path: Path) -> None:
    recording.check("job_handlers", recording.recorded(tmp_path, "job_handlers", HANDLERS, HANDLERS_QUICK))
