# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One dictionary of uWSGI options in every form: what other parsers, and what the real uWSGI, make of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _paste_ini as paste_ini
from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _uwsgi_formats as formats
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._plans.web_options import written

UWSGI = os.path.join(sys.prefix, "bin", "uwsgi")
APPLICATION = Path(__file__).resolve().parents[4] / "molecule" / "utils" / "tiny_app.py"
NASTY = ["a#b", "a: b", "- a", "'q'", '"q"', "{a}", "[a]", "*a", "&a", "| a", "%n of 50%%", "a & b", "<b>", "a\\", "größer", "a;b", "a = b", "~", "x:"]

names = st.sampled_from(["static-map", "logto", "py-call-uwsgi-fork-hooks", "env", "set-ph"])
values = st.one_of(st.booleans(), st.integers(0, 10**6), st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=" ")))
option_sets = st.dictionaries(names, st.one_of(values, st.lists(values, min_size=1, max_size=3)))


def made(options: dict[str, Any], form: str, directory: str = "/d", paste: str = "/p.ini") -> formats.Configuration:
    return formats.configuration(options, form, paste, directory, f"{directory}/include.ini")


def read_ini(text: str) -> list[tuple[str, str]]:
    """Read an INI file as uWSGI does, as far as that goes without its placeholders."""
    lines = [line.partition("=") for line in text.split("\n")[1:] if line]
    return [(name.strip(), value.strip()) for name, _equals, value in lines]


def read_yaml(text: str) -> list[tuple[str, str]]:
    """Read YAML as libyaml does: pairs of scalars, repeated or not, all of them text."""
    ((_section, mapping),) = yaml.compose(text).value
    return [(key.value, value.value) for key, value in mapping.value]


def read(configuration: formats.Configuration, form: str) -> list[tuple[str, str]]:
    """Read back what was written, and what that includes."""
    files = dict(configuration.files)
    found = formats.pairs(configuration.section)
    if form == "yaml":
        found = read_yaml(files.pop("/d/uwsgi.yml"))
    elif form == "json":
        found = formats.pairs(json.loads(files.pop("/d/uwsgi.json"))["uwsgi"])
    elif form == "xml":
        found = [(element.tag, element.text or "") for element in ElementTree.fromstring(files.pop("/d/uwsgi.xml"))]
    elif form == "command_line":
        arguments = [re.sub("^(--set=|--)", "", argument) for argument in configuration.argv]
        found = [(name, value) for name, _equals, value in (argument.partition("=") for argument in arguments)]
    elif form == "environment":
        found = [(name[6:].lower().replace("_", "-"), value) for name, value in configuration.environment.items()]
    elif form in ("ini", "emperor"):
        found = read_ini(files.pop("/d/uwsgi.ini"))
    for path, text in files.items():
        found.remove(("include", path))
        found += read_ini(text)
    return found


@pytest.mark.parametrize("form", formats.FORMATS)
@given(options=option_sets)
@example({"static-map": ["/a=/b", "/c=/d"], "include": "/other.ini"})
@example({"env": NASTY, "logto": "a: #"})
@example({"logto": "", "log-date": True, "404": 1, "app": "x"})
def test_nothing_is_lost_in_any_form(form: str, options: dict[str, Any]) -> None:
    expected = formats.pairs(options)
    if form != "paste":
        expected.append(("paste", "config:/p.ini"))
    assert sorted(read(made(options, form), form)) == sorted(expected)


def test_what_is_repeated_stays_in_its_order() -> None:
    options = {"static-map": ["/c=/d", "/a=/b", "/c=/e"]}
    for form in formats.FORMATS:
        assert [value for name, value in read(made(options, form), form) if name == "static-map"] == options["static-map"]


def test_a_file_of_its_own_is_there_only_when_it_is_needed() -> None:
    assert made({"threads": 4}, "paste").files == {}
    assert list(made({"env": ["A=1"]}, "paste").files) == ["/d/include.ini"]
    assert made({"threads": 4, "env": ["A=1"]}, "command_line").files == {}
    assert list(made({"logformat": "%(addr) 50%%"}, "command_line").files) == ["/d/uwsgi.ini"]
    assert made({"logformat": "%(addr)"}, "environment").files == {}


def test_truth_is_set_where_an_argument_would_be_an_error() -> None:
    options = {"master": True, "threads": 4, "here": "/srv", "logto": "%(here)/log"}
    expected = ["--set=master=true", "--threads=4", "--set=here=/srv", "--logto=%(here)/log", "--paste=config:/p.ini"]
    assert made(options, "command_line").argv == expected


@pytest.mark.parametrize(("options", "marks"), [({"threads": 4}, {None}), ({"env": ["A=1", "API_TOKEN=x"]}, {True})])
def test_files_of_secret_options_are_marked(options: dict[str, Any], marks: set[Any]) -> None:
    """A diff shows what is written, and what is removed too."""
    _made, files = written(options, "json", "/srv/galaxy.ini", "/etc/galaxy", "/srv/uwsgi.ini")
    assert {entry.get("sensitive") for entry in files} == marks


def test_files_of_other_forms_are_listed_as_absent() -> None:
    result, files = written({"threads": 4}, "yaml", "/srv/galaxy.ini", "/etc/galaxy", "/srv/uwsgi.ini")
    assert result.argv == ["--yaml", "/etc/galaxy/uwsgi.yml"]
    assert result.section == {}
    assert [(file["path"], file.get("state", "file")) for file in files] == [
        ("/srv/uwsgi.ini", "absent"),
        ("/etc/galaxy/uwsgi.ini", "absent"),
        ("/etc/galaxy/uwsgi.yml", "file"),
        ("/etc/galaxy/uwsgi.json", "absent"),
        ("/etc/galaxy/uwsgi.xml", "absent"),
        ("/etc/galaxy/paste.ini", "absent"),
    ]
    assert written({"threads": 4}, "paste", "/g.ini", "/e", "/u.ini")[0].section == {"threads": 4}
    assert written({}, "paste", "/g.ini", "/e", "/u.ini", "x")[0].argv == ["--ini", "/g.ini", "--paste", "config:/g.ini#x"]
    assert "paste = config:/g.ini#x" in str(written({}, "ini", "/g.ini", "/e", "/u.ini", "x")[1])


YML = "/srv/galaxy/config/galaxy.yml"


@pytest.mark.parametrize("form", formats.FORMATS)
def test_a_galaxy_yml_is_named_by_a_paste_deploy_file_in_every_form(form: str) -> None:
    options = {"threads": 4, "static-map": ["/a=/b", "/c=/d"]}
    configuration = formats.configuration(options, form, YML, "/etc/galaxy", "/srv/galaxy/config/uwsgi-galaxy.ini")
    assert configuration.section == {}
    assert YML not in configuration.files and set(configuration.files) <= set(formats.file_names("/etc/galaxy", "/x.ini"))
    link = configuration.files["/etc/galaxy/paste.ini"]
    assert paste_ini.check(link, "/etc/galaxy/paste.ini", "main", True) == []
    assert paste_ini.get_options(link, "app:main") == {"paste.app_factory": "galaxy_wsgi:app_factory", "galaxy_config_file": YML}
    own = {"threads": "4", "include": "/etc/galaxy/uwsgi.ini"} if form == "paste" else {}
    assert paste_ini.get_options(link, "uwsgi") == own
    rest = {path: text for path, text in configuration.files.items() if path != "/etc/galaxy/paste.ini"}
    assert YML not in str([rest, configuration.argv, configuration.environment])
    assert "/etc/galaxy/paste.ini" in str([rest, configuration.argv, configuration.environment])


@pytest.mark.parametrize("own", [None, "lib", ["lib", "more"]])
def test_modules_that_load_a_galaxy_yml_come_before_all_others(own: Any) -> None:
    options = {} if own is None else {"pythonpath": own}
    expected = [*([] if own is None else own if isinstance(own, list) else [own]), "/ours"]
    for form in formats.FORMATS:
        configuration = formats.configuration(options, form, YML, "/etc/galaxy", "/x.ini", python="/ours")
        text = "\n".join([*configuration.files.values(), *configuration.argv])
        if form == "json":
            assert json.loads(configuration.files["/etc/galaxy/uwsgi.json"])["uwsgi"]["pythonpath"] == expected
        else:
            assert re.findall(r"(?<!/)pythonpath\W+?(/?\w+)", text) == expected, form
    assert "/ours" not in str(formats.configuration(options, "ini", "/galaxy.ini", "/etc/galaxy", "/x.ini", python="/ours"))


# What the real uWSGI makes of it


class Written:
    """Options and the tiny application, written to a directory in one form."""

    def __init__(self, directory: Path, form: str, options: dict[str, Any], yml: bool = False) -> None:
        (directory / "python").mkdir()
        self.directory = directory
        (directory / "tiny_app.py").write_text(APPLICATION.read_text())
        paste = directory / ("tiny.yml" if yml else "tiny.ini")
        configuration = formats.configuration(options, form, str(paste), str(directory), f"{directory}/include.ini", python=f"{directory}/python")
        section = formats.ini(configuration.section) if form == "paste" else ""
        paste.write_text(f"[app:main]\npaste.app_factory = tiny_app:app_factory\nversion = {form}\n\n{section}")
        if yml:
            # What the bridge does, but for Galaxy
            bridge = "import tiny_app\ndef app_factory(global_conf, galaxy_config_file):\n    version = open(galaxy_config_file).read()\n"
            # A copy that somebody has made once is in the way of nobody.
            (directory / "galaxy_wsgi.py").write_text("raise ImportError('an old copy')\n")
            (directory / "python" / "galaxy_wsgi.py").write_text(bridge + "    return tiny_app.app_factory(global_conf, version=version)\n")
            paste.write_text(form)
        for path, text in configuration.files.items():
            Path(path).write_text(text)
        self.argv = ["--ini", str(directory / "uwsgi.ini")] if form == "emperor" else configuration.argv
        self.environment = {**os.environ, **configuration.environment}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [UWSGI, *self.argv, *arguments]
        return subprocess.Popen(command, cwd=self.directory, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("form", formats.FORMATS)
def test_uwsgi_reads_every_value_in_every_form(form: str, tmp_path: Path) -> None:
    """Placeholders hold any text; what uWSGI prints of them is what it has read."""
    placeholders = {f"x{number}": value for number, value in enumerate(NASTY)}
    used = "".join(f"%({name})" for name in (*placeholders, "repeated"))
    options = {**placeholders, "repeated": ["one", "two", "th#ree"], "pythonpath": str(tmp_path), "need-app": True, "logformat": used}
    process = Written(tmp_path, form, options).start("--show-config", "--no-server")
    output, _error = process.communicate(timeout=60)
    assert process.returncode == 0, output
    section = output.partition("[uwsgi]\n")[2].partition(";end of configuration")[0]
    read_back = [(name, value) for name, _equals, value in (line.partition(" = ") for line in section.splitlines())]
    found = {name: value for name, value in read_back if name in placeholders}
    # What it replaces in files: %n is the name of the file, and %% is a %.
    odd = [name for name, value in placeholders.items() if found[name] != value]
    assert [placeholders[name] for name in odd] == ["%n of 50%%"]
    assert found[odd[0]] in ("tiny of 50%", "uwsgi of 50%", "include of 50%")
    assert sorted(value for name, value in read_back if name == "repeated") == ["one", "th#ree", "two"]
    assert "ready in" in output


def got(process: subprocess.Popen[str], url: str) -> str:
    """What is answered, as soon as there is an answer; of a process that has ended, what it said."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                return str(response.read().decode())
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise AssertionError(f"{error}; uWSGI (exit code {process.returncode}) said:\n{process.communicate()[0]}") from error
            time.sleep(0.1)


@pytest.mark.parametrize("yml", [False, True])
@pytest.mark.parametrize("form", [form for form in formats.FORMATS if form != "emperor"])
def test_uwsgi_serves_the_same_in_every_form(form: str, yml: bool, tmp_path: Path) -> None:
    options: dict[str, Any] = {"master": True, "die-on-term": True, "strict": True, "need-app": True, "threads": 3, "pythonpath": str(tmp_path)}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "hello.txt").write_text(f"{name} in {form}")
    options["static-map"] = [f"/{name}={tmp_path / name}" for name in ("one", "two")]
    process = Written(tmp_path, form, options, yml).start("--http-socket", "127.0.0.1:0")
    try:
        assert process.stdout
        lines = []
        url = ""
        for line in process.stdout:
            lines.append(line)
            match = re.search(r"bound to TCP address (\S+)", line)
            url = f"http://{match[1]}" if match else url
            if "spawned uWSGI worker" in line:
                break
        assert url, "".join(lines)
        assert json.loads(got(process, url))["version"] == form
        for name in ("one", "two"):
            assert got(process, f"{url}/{name}/hello.txt") == f"{name} in {form}"
        assert any("3 cores" in line or "threads: 3" in line or "3 threads" in line for line in lines), "".join(lines)
    finally:
        process.terminate()
        process.communicate(timeout=60)


LOGGING = """\
[app:main]
paste.app_factory = logging_app:make

[loggers]
keys = root

[handlers]
keys = mine

[formatters]
keys = mine

[logger_root]
level = INFO
handlers = mine

[handler_mine]
class = StreamHandler
args = (sys.stderr,)
formatter = mine

[formatter_mine]
format = FORMATTED %(name)s %(message)s
"""


@pytest.mark.parametrize("logger", [False, True])
@pytest.mark.parametrize("form", ["paste", "ini", "yaml", "json", "xml", "command_line"])
def test_logging_of_the_paste_file_is_applied_with_paste_logger_only(tmp_path: Path, form: str, logger: bool) -> None:
    (tmp_path / "logging_app.py").write_text("import logging\n\n\ndef make(_config):\n    logging.info('loaded')\n    return lambda *_: []\n")
    options = {"pythonpath": str(tmp_path), "need-app": True, **({"paste-logger": True} if logger else {})}
    paste = tmp_path / "app.ini"
    configuration = made(options, form, str(tmp_path), str(paste))
    section = "".join(f"{name} = {str(value).lower() if value is True else value}\n" for name, value in configuration.section.items())
    paste.write_text(f"{LOGGING}\n[uwsgi]\n{section}")
    for path, text in configuration.files.items():
        Path(path).write_text(text)
    command = [UWSGI, *configuration.argv, "--no-server"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, stdin=subprocess.DEVNULL, text=True, timeout=60, check=False)
    assert process.returncode == 0, process.stderr
    assert ("FORMATTED root loaded" in process.stdout + process.stderr) is logger
