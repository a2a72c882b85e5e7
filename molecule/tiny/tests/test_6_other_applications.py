"""The applications of docs/other-applications.md, by the very blocks of the page: made, changed and removed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import pytest
from page import Block, blocks
from runs import changes_nothing
from slots import serving

TOP = Path(__file__).resolve().parents[3]
PAGE = TOP / "docs" / "other-applications.md"
PYRAMID = blocks(PAGE, "A Pyramid application, step by step")
ZOPE = blocks(PAGE, "Zope, an application that only one process may open")
FILES = {block.file: block for block in (*PYRAMID, *ZOPE) if block.file}
MAKE, LOOK, REMOVE = (block for block in PYRAMID if block.language == "sh")
MAKE_ZOPE, LOOK_AT_ZOPE = (block for block in ZOPE if block.language == "sh")
HOST = {"Host": "notes.example.org"}
ZOPE_HOST = {"Host": "zope.example.org"}
OURS = (
    "find /etc /usr/local /run /var/www /var/lib/galaxyops -xdev ! -path '/run/systemd/*' -regex '.*/{name}\\([.-].*\\)?'; "
    "systemctl list-units --type=service,socket --all --plain --no-legend '{name}-*'"
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
    for name, block in FILES.items():
        if not name.startswith("/"):
            (directory / name).write_text(block.text)
    way = {
        "ansible_host": container,
        "ansible_ssh_executable": str(TOP / "containers" / "ssh"),
        "ansible_ssh_transfer_method": "piped",
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    options = [option for name, value in way.items() for option in ("--extra-vars", f"{name}={value}")]

    def play(name: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"),
            "ANSIBLE_FORCE_COLOR": "0",
            "NO_COLOR": "1",
        }
        command = ["ansible-playbook", "--inventory", str(directory / "inventory.yml"), *options, str(directory / name)]
        return subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, check=False)

    return play


@pytest.fixture(scope="module")
def pyramid(host: Any, run: Run) -> Iterator[None]:
    """What a reader does before the first run; the host is left as it was found."""
    shell(host, MAKE)
    for block in PYRAMID:
        if block.file.startswith("/"):
            host.check_output(f"cat > {block.file} <<'END'\n{block.text}END\n")
    yield
    assert run("notes-absent.yml").returncode == 0
    host.check_output("userdel notes 2>/dev/null; rm -rf /srv/notes")


@pytest.fixture(scope="module")
def zope(host: Any, run: Run) -> Iterator[None]:
    """The same for Zope."""
    shell(host, MAKE_ZOPE)
    yield
    assert run("zope-absent.yml").returncode == 0
    host.check_output("userdel zope 2>/dev/null; rm -rf /srv/zope")


@pytest.mark.usefixtures("pyramid")
def test_it_is_served(host: Any, run: Run, site: Any) -> None:
    result = run("notes.yml")
    assert result.returncode == 0, result.stdout
    seen = shell(host, LOOK)
    assert seen.startswith("Hello from Pyramid")
    assert "2 workers" in seen
    assert site.get("/", headers=HOST).text == "Hello from Pyramid"


@pytest.mark.usefixtures("pyramid")
def test_second_run_changes_nothing(run: Run) -> None:
    result = run("notes.yml")
    changes_nothing(result)


@pytest.mark.usefixtures("pyramid")
def test_change_of_the_file_replaces_the_processes(host: Any, run: Run, site: Any) -> None:
    before = serving(host, "notes")
    host.check_output("sed -i 's/^notes.greeting = .*/notes.greeting = Good morning/' /srv/notes/notes.ini")
    result = run("notes.yml")
    assert result.returncode == 0, result.stdout
    assert site.get("/", headers=HOST).text == "Good morning"
    assert serving(host, "notes") != before


@pytest.mark.usefixtures("pyramid")
def test_it_is_removed_and_its_file_is_as_it_was(host: Any, run: Run) -> None:
    assert run("notes-absent.yml").returncode == 0
    assert host.check_output(OURS.format(name="notes")) == ""
    text = host.check_output("cat /srv/notes/notes.ini")
    assert text == FILES["/srv/notes/notes.ini"].text.replace("Hello from Pyramid", "Good morning").rstrip()
    shell(host, REMOVE)
    assert not host.file("/srv/notes").exists


@pytest.mark.usefixtures("zope")
def test_zope_is_served_restarted_under_load_and_removed(host: Any, run: Run, site: Any) -> None:
    """One process alone may open its data: two of them at a time, even for a moment, would show in its log."""
    before = host.check_output("cat /srv/zope/instance/etc/zope.ini")
    result = run("zope.yml")
    assert result.returncode == 0, result.stdout
    seen = shell(host, LOOK_AT_ZOPE)
    assert "Zope" in seen
    assert "1 worker" in seen
    again = run("zope.yml")
    changes_nothing(again)
    master = host.check_output("pgrep --oldest --full '^/srv/zope/venv/bin/python.*zope.ini'")
    with ThreadPoolExecutor(4) as visitors:
        restart = visitors.submit(host.run, "zope-web restart")
        statuses = []
        while not restart.done() or len(statuses) < 50:
            statuses.append(site.get("/", headers=ZOPE_HOST).status_code)
    assert restart.result().rc == 0
    assert set(statuses) == {200}
    assert host.check_output("pgrep --oldest --full '^/srv/zope/venv/bin/python.*zope.ini'") != master
    assert "LockError" not in host.check_output("journalctl --no-pager --quiet --unit 'zope-web*'")
    result = run("zope-absent.yml")
    assert result.returncode == 0, result.stdout
    assert host.check_output(OURS.format(name="zope")) == ""
    assert host.check_output("cat /srv/zope/instance/etc/zope.ini") == before
    assert host.file("/srv/zope/instance/var/Data.fs").exists
