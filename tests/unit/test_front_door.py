# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What meets a developer first is true: pages, workflows, hooks and forms name what exists."""

from __future__ import annotations

import configparser
import fnmatch
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "roles/*/README.md")
    for path in ROOT.glob(pattern)
    # Its text is that of the specifications, and its headings are their names.
    if path.name != "reference.md"
)
REPOSITORY = f"{yaml.safe_load((ROOT / 'galaxy.yml').read_text(encoding='utf-8'))['repository']}/blob/main/"
FOR_DEVELOPERS = [ROOT / "CONTRIBUTING.md", ROOT / "RELEASING.md", ROOT / "docs" / "development.md"]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"(?m)^([a-z-]+):", MAKEFILE))


def name_of(path: Path) -> str:
    """A path as a test shows it."""
    return str(path.relative_to(ROOT))


def load(path: Path) -> dict[str, Any]:
    """A file of YAML; a workflow's key `on` is a truth value to YAML."""
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


# --- The pages ---------------------------------------------------------------------------------------------------------


def without_blocks(text: str) -> str:
    """A page without its blocks of code."""
    return re.sub(r"(?ms)^( *)```.*?^\1```", "", text)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    found: list[str] = []
    for heading in re.findall(r"(?m)^#+ +(.*)$", without_blocks(page.read_text(encoding="utf-8"))):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        found.append(f"{anchor}-{found.count(anchor)}" if anchor in found else anchor)
    return set(found)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page.read_text(encoding="utf-8"))):
        # Pages that users install cannot lead to what is in the repository alone, but by its address.
        if "://" in target and not target.startswith(REPOSITORY):
            continue
        path, _hash, anchor = target.removeprefix(REPOSITORY).partition("#")
        top = ROOT if target.startswith(REPOSITORY) else page.parent
        file = top / path if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            missing.append(target)
    assert missing == []


def code(page: Path) -> Iterator[str]:
    """What stands in a page as code, in its lines and in its blocks of shell."""
    text = page.read_text(encoding="utf-8")
    yield from re.findall(r"`([^`\n]+)`", without_blocks(text))
    for block in re.findall(r"(?ms)^ *```sh\n(.*?)^ *```", text):
        yield from block.splitlines()


def tracked() -> set[str]:
    """The files and directories that the repository has."""
    files = subprocess.run([ROOT / "tools" / "source-files"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {*files, *(str(parent) for file in files for parent in Path(file).parents)}


def named_paths(page: Path) -> set[str]:
    """The paths of the repository that a page names: whatever begins with one of its directories, but for `<words>` and patterns."""
    tops = {path.partition("/")[0] for path in tracked() if "/" in path}
    found = set()
    for text in code(page):
        for word in re.split(r"[\s\"'=]+", text):
            path = word.strip("(),;:").rstrip("/")
            top, slash, _rest = path.partition("/")
            if slash and top in tops and not re.search(r"[<>*\[\]{}$]|\.\.\.|…", path):
                found.add(path.partition("::")[0])
    return found


@pytest.mark.parametrize("page", FOR_DEVELOPERS, ids=name_of)
def test_every_path_that_a_page_for_developers_names_exists(page: Path) -> None:
    paths = named_paths(page)
    assert len(paths) >= 3, "the page names no paths, or this test does not see them"
    assert sorted(paths - tracked()) == []


@pytest.mark.parametrize("page", FOR_DEVELOPERS, ids=name_of)
def test_every_name_that_a_page_for_developers_gives_in_a_file_is_there(page: Path) -> None:
    """Written as `path::name`: a function, a class or a constant of Python, or a variable of YAML."""
    missing = []
    for path, name in re.findall(r"`([\w./@-]+)::(\w+)`", page.read_text(encoding="utf-8")):
        if not re.search(rf"(?m)^ *(?:(?:def|class) {name}\b|(?:- )?{name}(?::| =))", (ROOT / path).read_text(encoding="utf-8")):
            missing.append(f"{path}::{name}")
    assert missing == []


@pytest.mark.parametrize("page", FOR_DEVELOPERS, ids=name_of)
def test_every_target_of_make_that_a_page_for_developers_names_exists(page: Path) -> None:
    named = {word for text in code(page) for command in re.findall(r"\bmake ([^;&|#]*)", text) for word in command.split() if re.fullmatch(r"[a-z-]+", word)}
    assert named
    assert sorted(named - TARGETS) == []


@pytest.mark.parametrize("page", FOR_DEVELOPERS, ids=name_of)
def test_shell_of_a_page_for_developers_can_be_read(page: Path) -> None:
    for block in re.findall(r"(?ms)^ *```sh\n(.*?)^ *```", page.read_text(encoding="utf-8")):
        result = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False)
        assert result.returncode == 0, result.stderr + block


# --- The workflows -----------------------------------------------------------------------------------------------------


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    """The steps of all jobs of a workflow."""
    for job in load(workflow)["jobs"].values():
        yield from job["steps"]


def test_there_are_workflows() -> None:
    assert {path.stem for path in WORKFLOWS} >= {"ci", "molecule", "release"}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=name_of)
def test_actions_are_pinned_by_commit_and_say_their_version(workflow: Path) -> None:
    used = re.findall(r"(?m)^ *-? *uses: *(.*)$", workflow.read_text(encoding="utf-8"))
    assert len(used) == sum("uses" in step for step in steps(workflow)) > 0
    assert [line for line in used if not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}  # v\d+(\.\d+)*", line)] == []


def test_an_action_has_one_version_in_all_workflows() -> None:
    versions = {step["uses"] for workflow in WORKFLOWS for step in steps(workflow) if "uses" in step}
    names = [version.partition("@")[0] for version in versions]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=name_of)
def test_workflows_run_what_exists_and_keep_no_token(workflow: Path) -> None:
    for step in steps(workflow):
        run = step.get("run", "")
        assert set(re.findall(r"(?:\btools|\bmolecule|\bcontainers)/[\w/.-]+", run)) <= tracked()
        for command in re.findall(r"\bmake ([^;&|]*)", run):
            assert {word for word in command.split() if re.fullmatch(r"[a-z-]+", word)} <= TARGETS
        # What an event or a tag says is data, and no part of a script.
        assert "${{" not in run
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    assert load(workflow)["permissions"] == {"contents": "read"}


def test_every_scenario_of_make_has_a_job() -> None:
    (rows,) = re.findall(r"(?m)^SCENARIO_ROWS := (.*)$", MAKEFILE)
    jobs = load(ROOT / ".github" / "workflows" / "molecule.yml")["jobs"]
    assert sorted(jobs["molecule"]["strategy"]["matrix"]["scenario"]) == sorted(re.findall(r"molecule-([\w-]+)", rows))


def test_supported_versions_of_ansible_core_are_tested() -> None:
    jobs = load(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    unit, sanity = (jobs[name]["strategy"]["matrix"]["include"] for name in ("unit", "sanity"))
    assert unit == sanity
    versions = [entry["ansible-core"] for entry in unit]
    oldest = load(ROOT / "meta" / "runtime.yml")["requires_ansible"]
    assert oldest == f">={versions[0]}.0"
    assert versions == [f"2.{minor}" for minor in range(int(versions[0].partition(".")[2]), int(versions[-1].partition(".")[2]) + 1)]


# --- The shape of files ------------------------------------------------------------------------------------------------


def rules_for(path: str, sections: dict[str, dict[str, str]]) -> dict[str, str]:
    """What .editorconfig says of a file; a later section counts more."""
    rules: dict[str, str] = {}
    for pattern, said in sections.items():
        (before, _brace, rest) = pattern.partition("{")
        (inside, _brace, after) = rest.partition("}")
        patterns = [f"{before}{choice}{after}" for choice in inside.split(",")] if rest else [pattern]
        if any(fnmatch.fnmatch(path if "/" in choice else Path(path).name, choice) for choice in patterns):
            rules |= said
    return rules


def test_files_have_the_shape_that_editors_are_told() -> None:
    parser = configparser.ConfigParser(strict=True)
    parser.read_string(f"[top]\n{(ROOT / '.editorconfig').read_text(encoding='utf-8')}")
    sections = {name: dict(parser[name]) for name in parser.sections() if name != "top"}
    wrong = []
    for path in sorted(path for path in tracked() if (ROOT / path).is_file() and not (ROOT / path).is_symlink()):
        content, rules = (ROOT / path).read_bytes(), rules_for(path, sections)
        if not content or b"\0" in content:
            continue
        if rules["insert_final_newline"] == "true" and not content.endswith(b"\n"):
            wrong.append(f"{path}: no line feed at the end")
        if rules["trim_trailing_whitespace"] == "true" and re.search(rb"[ \t]+$", content, re.MULTILINE):
            wrong.append(f"{path}: white space at the end of a line")
        if rules["end_of_line"] == "lf" and b"\r\n" in content:
            wrong.append(f"{path}: carriage returns")
        if rules["indent_style"] == "space" and re.search(rb"^ *\t", content, re.MULTILINE):
            wrong.append(f"{path}: tabs")
    assert wrong == []


# --- The hooks and the forms -------------------------------------------------------------------------------------------


def test_hooks_run_tools_that_are_there_on_files_that_are_there() -> None:
    (local,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local"
    for hook in local["hooks"]:
        for tool in re.findall(r"\.venv/bin/(\S+)", hook["entry"]):
            assert (Path(sys.executable).parent / tool).exists(), hook["id"]
        assert set(re.findall(r"\btools/\S+", hook["entry"])) <= tracked()
        assert any(re.search(hook.get("files", ""), path) for path in tracked()), hook["id"]


FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[0-9]*.yml"))


@pytest.mark.parametrize("form", FORMS, ids=name_of)
def test_forms_ask_for_the_status_and_the_versions(form: Path) -> None:
    fields = {field["id"]: field for field in load(form)["body"] if "id" in field}
    assert fields["versions"]["validations"]["required"]
    assert "ansible --version" in fields["versions"]["attributes"]["description"]
    assert "galaxy-web status" in form.read_text(encoding="utf-8")


def test_commands_that_the_forms_name_exist() -> None:
    text = "\n".join(form.read_text(encoding="utf-8") for form in FORMS)
    called = set(re.findall(r"\bgalaxy-(web|handlers) ([a-z]+)", text))
    assert {("web", "status"), ("handlers", "status")} <= called
    for kind, command in called:
        process = subprocess.run(
            [sys.executable, "-m", "control", "galaxy", kind, command, "--help"],
            cwd=ROOT / "templates",
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stderr
