"""The Pyramid application of docs/other-applications.md, by the very blocks of the page: made, changed and removed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from page import Block, blocks
from slots import serving

TOP = Path(__file__).resolve().parents[3]
BLOCKS = blocks(TOP / "docs" / "other-applications.md", "A Pyramid application, step by step")
FILES = {block.file: block for block in BLOCKS if block.file}
MAKE, LOOK, REMOVE = (block for block in BLOCKS if block.language == "sh")
HOST = {"Host": "notes.example.org"}
OURS = (
    "find /etc /usr/local /run /var/www /var/lib/galaxyops -xdev ! -path '/run/systemd/*' -regex '.*/notes\\([.-].*\\)?'; "
    "systemctl list-units --type=service,socket --all --plain --no-legend 'notes-*'"
)

Run = Callable[[str], subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.one_host("spare")


def shell(host: Any, block: Block) -> str:
    """Run a block on the host, up to its first failure."""
    host.check_output("cat > /tmp/block.sh <<'END'\nset -eu\n" + block.text + "END\n")
    return str(host.check_output("sh /tmp/block.sh"))


@pytest.fixture(scope="module")
def run(container: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a playbook of the page. The inventory is that of the page too, with the way to the host in the place of its account."""
    directory = tmp_path_factory.mktemp("page")
    for name in ("inventory.yml", "notes.yml", "notes-absent.yml"):
        (directory / name).write_text(FILES[name].text)
    way = {
        "ansible_host": container,
        "ansible_ssh_executable": str(TOP / "containers" / "ssh"),
        "ansible_ssh_transfer_method": "piped",
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    options = [option for name, value in way.items() for option in ("--extra-vars", f"{name}={value}")]

    def play(name: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0", "NO_COLOR": "1"}
        command = ["ansible-playbook", "--inventory", str(directory / "inventory.yml"), *options, str(directory / name)]
        return subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, check=False)

    return play


@pytest.fixture(autouse=True, scope="module")
def application(host: Any, run: Run) -> Iterator[None]:
    """What a reader does before the first run; the host is left as it was found."""
    shell(host, MAKE)
    for block in FILES.values():
        if block.file.startswith("/"):
            host.check_output(f"cat > {block.file} <<'END'\n{block.text}END\n")
    yield
    assert run("notes-absent.yml").returncode == 0
    host.check_output("userdel notes 2>/dev/null; rm -rf /srv/notes")


def test_it_is_served(host: Any, run: Run, site: Any) -> None:
    result = run("notes.yml")
    assert result.returncode == 0, result.stdout
    seen = shell(host, LOOK)
    assert seen.startswith("Hello from Pyramid")
    assert "2 workers" in seen
    assert site.get("/", headers=HOST).text == "Hello from Pyramid"


def test_second_run_changes_nothing(run: Run) -> None:
    result = run("notes.yml")
    assert "changed=0 " in result.stdout, result.stdout


def test_change_of_the_file_replaces_the_processes(host: Any, run: Run, site: Any) -> None:
    before = serving(host, "notes")
    host.check_output("sed -i 's/^notes.greeting = .*/notes.greeting = Good morning/' /srv/notes/notes.ini")
    result = run("notes.yml")
    assert result.returncode == 0, result.stdout
    assert site.get("/", headers=HOST).text == "Good morning"
    assert serving(host, "notes") != before


def test_it_is_removed_and_its_file_is_as_it_was(host: Any, run: Run) -> None:
    assert run("notes-absent.yml").returncode == 0
    assert host.check_output(OURS) == ""
    text = host.check_output("cat /srv/notes/notes.ini")
    assert text == FILES["/srv/notes/notes.ini"].text.replace("Hello from Pyramid", "Good morning").rstrip()
    shell(host, REMOVE)
    assert not host.file("/srv/notes").exists
