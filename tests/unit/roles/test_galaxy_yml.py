# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles make of a galaxy.yml, rendered by Ansible itself; how Galaxy runs with it is tested on real hosts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_ini

ROOT = Path(__file__).resolve().parents[3]
YML, INI = "/srv/galaxy/config/galaxy.yml", "/srv/galaxy/config/galaxy.ini"
LOCAL = {"id": "local", "load": "galaxy.jobs.runners.local:LocalJobRunner", "ends_with_handler": True}

# The role, the inputs, and what to look at.
WEB = {
    "control": "{{ __uwsgi_plan.configuration | from_json }}",
    "files": "{{ __uwsgi_plan.configuration_files + __uwsgi_program_files }}",
}
HANDLERS = {
    "watch": "{{ (__job_handlers_plan.configuration | from_json).watch }}",
    "inline": "{{ __job_handlers_plan.is_inline }}",
    "runners": "{{ __job_handlers_plan.runners }}",
    "ending": "{{ __job_handlers_plan.ending_runners }}",
}
MODE = {
    "mode": "{{ job_handlers_mode }}",
    "assign_with": "{{ job_handlers_assign_with }}",
    "file": "{{ job_handlers_config_file }}",
    "required": "{{ __job_handlers_plan.app_options }}",
}
LAZY = {"lazy": "{{ __uwsgi_plan.options['lazy-apps'] }}"}
NGINX = {"asgi": "{{ nginx_proxy_asgi_paths }}", "sent": "{{ nginx_proxy_x_accel_dirs }}"}
# What preflight reports of a host.
FOUND: dict[str, Any] = {"version": "", "config_file": "", "job_config_inline": False, "job_config_file": "", "database": "", "file_path": ""}
LAZY_APPS = {
    "20.5.0": False,
    "21.09": False,
    "22.01": False,
    "22.05": True,
    "23.1.4": True,
    "26.0": True,
    "26.1": False,
    "26.1.2": False,
    "26.2.dev0": False,
    "": True,
}
VARIANTS: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "yml": ("uwsgi", {"galaxy_config_file": YML}, WEB),
    "yml-json": ("uwsgi", {"galaxy_config_file": YML, "uwsgi_config_format": "json", "uwsgi_instance": "gx"}, WEB),
    "ini": ("uwsgi", {"galaxy_config_file": INI, "uwsgi_options": {"env": ["A=1"]}}, WEB),
    "handlers-inline": (
        "job_handlers",
        {
            "galaxy_config_file": YML,
            "__job_handlers_checked": {"job_config": {"inline": True, "runners": [LOCAL]}},
            "__job_handlers_registered": {"skipped": True},
        },
        HANDLERS,
    ),
    "handlers-ini": (
        "job_handlers",
        {
            "galaxy_config_file": INI,
            "__job_handlers_checked": {"job_config": {"inline": False, "runners": []}},
            "__job_handlers_registered": {"runners": [LOCAL]},
        },
        HANDLERS,
    ),
    "handlers-unchecked": ("job_handlers", {"galaxy_config_file": YML}, HANDLERS),
    "mode-inline": ("job_handlers", {"galaxy_config_file": YML, "__galaxy_on_host": FOUND | {"job_config_inline": True, "database": "postgresql"}}, MODE),
    "mode-given": ("job_handlers", {"galaxy_config_file": YML, "job_handlers_mode": "static", "__galaxy_on_host": FOUND | {"job_config_inline": True}}, MODE),
    "mode-file": ("job_handlers", {"galaxy_config_file": YML, "__galaxy_on_host": FOUND | {"job_config_file": "/jobs/job_conf.yml"}}, MODE),
    "mode-other-file": (
        "job_handlers",
        {"galaxy_config_file": YML, "job_handlers_config_file": "/mine.xml", "__galaxy_on_host": FOUND | {"job_config_file": "/jobs/job_conf.yml"}},
        MODE,
    ),
    "mode-none": ("job_handlers", {"galaxy_config_file": INI, "__galaxy_on_host": FOUND}, MODE),
    **{f"lazy-{version}": ("uwsgi", {"galaxy_version": "23.1", "__galaxy_on_host": FOUND | {"version": version}}, LAZY) for version in LAZY_APPS},
    "lazy-unknown": ("uwsgi", {"galaxy_version": "26.1.2"}, LAZY),
    "nginx": ("nginx_proxy", {"galaxy_version": "20.5.0", "__galaxy_on_host": FOUND | {"version": "26.1.2", "file_path": "/data/datasets"}}, NGINX),
    "nginx-same": ("nginx_proxy", {"galaxy_file_path": "/data", "__galaxy_on_host": FOUND | {"version": "26.0", "file_path": "/data"}}, NGINX),
    "nginx-unknown": ("nginx_proxy", {"galaxy_version": "26.1.2"}, NGINX),
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each role makes of its inputs."""
    top = tmp_path_factory.mktemp("rendered")
    plays = []
    for name, (role, variables, wanted) in VARIANTS.items():
        directory = ROOT / "roles" / role
        (top / f"{name}.json").write_text(json.dumps(variables))
        (top / f"{name}.j2").write_text("{{ {" + ", ".join(f"'{key}': {value[3:-3]}" for key, value in wanted.items()) + "} | to_json }}")
        plays.append(
            {
                "hosts": "localhost",
                "gather_facts": False,
                "vars_files": [
                    str(directory / "defaults" / "main.yml"),
                    str(directory / "vars" / "main.yml"),
                    str(top / f"{name}.json"),
                ],
                "vars": {
                    "ansible_facts": {"service_mgr": "systemd", "processor_vcpus": 2},
                    "role_path": str(directory),
                },
                "tasks": [
                    *([] if wanted is NGINX else [{"include_tasks": str(directory / "tasks" / "plan.yml")}]),
                    {"template": {"src": str(top / f"{name}.j2"), "dest": str(top / f"{name}.out"), "mode": "0600"}},
                ],
            }
        )
    (top / "play.yml").write_text(json.dumps(plays))
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        "-i",
        "localhost,",
        "-c",
        "local",
        str(top / "play.yml"),
    ]
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".ansible" / "collections"),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    }
    result = subprocess.run(
        [*command, "-e", f"ansible_python_interpreter={sys.executable}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return {name: json.loads((top / f"{name}.out").read_text()) for name in VARIANTS}


def written(found: dict[str, Any]) -> dict[str, Any]:
    return {file["path"]: file for file in found["files"] if file.get("state", "file") != "absent"}


@pytest.mark.parametrize(("name", "instance"), [("yml", "galaxy"), ("yml-json", "gx")])
def test_galaxy_yml_is_named_and_never_written(rendered: dict[str, dict[str, Any]], name: str, instance: str) -> None:
    found = rendered[name]
    files = written(found)
    assert not [path for path in files if path.startswith("/srv/galaxy/config")]
    link = files[f"/etc/{instance}/paste.ini"]
    assert (link["mode"], link["group"]) == ("0640", "galaxy")
    assert _paste_ini.get_options(link["content"], "app:main")["galaxy_config_file"] == YML
    assert bool(_paste_ini.get_options(link["content"], "uwsgi")) is (name == "yml")
    assert f'GALAXY_CONFIG_FILE="{YML}"' in files[f"/etc/{instance}/web.env"]["content"]
    assert json.loads(files[f"/etc/{instance}/web.json"]["content"]) == found["control"]


@pytest.mark.parametrize("name", ["yml", "yml-json", "ini"])
def test_no_path_is_listed_twice(rendered: dict[str, dict[str, Any]], name: str) -> None:
    """Which the module that writes them refuses."""
    paths = [file["path"] for file in rendered[name]["files"]]
    assert [path for path in paths if paths.count(path) > 1] == []


def test_the_bridge_goes_with_the_galaxy_yml(rendered: dict[str, dict[str, Any]]) -> None:
    python = "/usr/local/lib/galaxyops/galaxy-web/python"
    files = {file["path"]: file for file in rendered["ini"]["files"]}
    assert files[python]["state"] == files[f"{python}/galaxy_wsgi"]["state"] == files[f"{python}/galaxy_wsgi/__init__.py"]["state"] == "absent"


def test_web_processes_find_the_bridge_beside_their_command(rendered: dict[str, dict[str, Any]]) -> None:
    python = "/usr/local/lib/galaxyops/galaxy-web/python"
    source = ROOT / "roles" / "galaxy" / "files" / "galaxy_wsgi"
    files = written(rendered["yml"])
    # uWSGI puts the last one first.
    assert re.findall("(?m)^pythonpath = (.*)$", files["/etc/galaxy/uwsgi.ini"]["content"]) == ["lib", python]
    made = {path: file["content"] for path, file in files.items() if path.startswith(f"{python}/galaxy_wsgi/")}
    assert made == {f"{python}/galaxy_wsgi/{file.name}": file.read_text() for file in source.glob("*.py")}
    # No module beside it that Galaxy would take for another one.
    assert {path.removeprefix(f"{python}/").partition("/")[0] for path in files if path.startswith(f"{python}/")} == {"galaxy_wsgi"}
    assert {"path": f"{python}/galaxy_wsgi/*.py", "installed": True} in rendered["yml"]["control"]["watch"]


def test_galaxy_yml_and_what_names_it_are_watched(rendered: dict[str, dict[str, Any]]) -> None:
    watch = rendered["yml"]["control"]["watch"]
    assert {"path": YML, "without_keys": ["gravity", "uwsgi"]} in watch
    assert {"path": "/etc/galaxy/paste.ini"} in watch
    assert {"path": YML, "without_keys": ["gravity", "uwsgi"]} in rendered["handlers-inline"]["watch"]


def test_galaxy_ini_is_what_it_was(rendered: dict[str, dict[str, Any]]) -> None:
    found = rendered["ini"]
    files = written(found)
    assert "/etc/galaxy/paste.ini" not in files and not [path for path in files if "galaxy_wsgi" in path]
    assert "python/" not in str(found["control"]["argv"])
    assert found["control"]["argv"][1:] == ["--ini-paste", INI]
    assert {"path": INI} in found["control"]["watch"]
    assert "GALAXY_CONFIG_FILE" not in files["/etc/galaxy/web.env"]["content"]
    assert files["/srv/galaxy/config/uwsgi-galaxy.ini"]["content"].startswith("[uwsgi]\n")
    assert {"path": INI, "without_section": "uwsgi"} in rendered["handlers-ini"]["watch"]


def test_runners_are_those_of_the_job_configuration_that_galaxy_reads(rendered: dict[str, dict[str, Any]]) -> None:
    for name, inline in (("handlers-inline", True), ("handlers-ini", False)):
        assert (rendered[name]["inline"], rendered[name]["runners"], rendered[name]["ending"]) == (
            inline,
            [LOCAL],
            ["local"],
        )
    assert (rendered["handlers-unchecked"]["inline"], rendered["handlers-unchecked"]["runners"]) == (False, [])


def test_handlers_are_dynamic_by_default_where_the_job_configuration_is_in_galaxy_yml(rendered: dict[str, dict[str, Any]]) -> None:
    assert (rendered["mode-inline"]["mode"], rendered["mode-inline"]["assign_with"]) == ("dynamic", ["db-skip-locked"])
    assert rendered["mode-given"]["mode"] == "static"
    assert (rendered["mode-none"]["mode"], rendered["mode-none"]["assign_with"]) == ("static", ["db-preassign"])


def test_handlers_are_registered_in_the_file_that_galaxy_reads(rendered: dict[str, dict[str, Any]]) -> None:
    own = "/srv/galaxy/config/job_conf.xml"
    # Galaxy finds that file already, by whatever path.
    assert (rendered["mode-file"]["mode"], rendered["mode-file"]["file"], rendered["mode-file"]["required"]) == ("static", "/jobs/job_conf.yml", {})
    assert rendered["mode-other-file"]["required"] == {"job_config_file": "/mine.xml"}
    assert (rendered["mode-none"]["file"], rendered["mode-none"]["required"]) == (own, {"job_config_file": own})


@pytest.mark.parametrize(("version", "lazy"), [*LAZY_APPS.items(), ("unknown", True)])
def test_the_version_on_the_host_decides_who_loads_galaxy(rendered: dict[str, dict[str, Any]], version: str, lazy: bool) -> None:
    """A variable says nothing about the host."""
    assert rendered[f"lazy-{version}"]["lazy"] is lazy


def test_nginx_goes_by_what_is_on_the_host(rendered: dict[str, dict[str, Any]]) -> None:
    assert rendered["nginx"] == {"asgi": ["/api/events/stream", "/api/mcp"], "sent": ["/srv/galaxy/var", "/data/datasets"]}
    assert rendered["nginx-same"] == {"asgi": [], "sent": ["/srv/galaxy/var", "/data"]}
    assert rendered["nginx-unknown"] == {"asgi": [], "sent": ["/srv/galaxy/var"]}
