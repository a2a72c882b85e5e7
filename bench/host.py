"""The machines to measure on: containers that boot systemd, and Ansible runs on them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
APP = TOP / "bench" / "app"
PLAYBOOKS = TOP / "bench" / "playbooks"
SCRATCH = TOP / "build" / "bench"
PREFIX = os.environ.get("CONTAINER_PREFIX", "galaxyops")


def say(text: str) -> None:
    """Tell how far it has come."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


@dataclass(frozen=True)
class AnsibleRun:
    """A run that has ended: how long it took and what it reported."""

    seconds: float
    report: dict[str, Any] = field(repr=False)

    @property
    def changed(self) -> int:
        """How many tasks changed something, on all hosts."""
        return sum(int(stats["changed"]) for stats in self.report["stats"].values())

    def by_role(self) -> dict[str, float]:
        """The seconds of the tasks of each role; those of no role are C(play)."""
        seconds: dict[str, float] = {}
        for play in self.report["plays"]:
            for task in play["tasks"]:
                duration = task["task"]["duration"]
                role = task["task"]["name"].partition(" : ")[0] if " : " in task["task"]["name"] else "play"
                role = role.rpartition(".")[2]
                seconds[role] = seconds.get(role, 0) + elapsed(duration["start"], duration.get("end", duration["start"]))
        return seconds


def elapsed(start: str, end: str) -> float:
    """The seconds between two times of a report."""
    layout = "%Y-%m-%dT%H:%M:%S"
    seconds = [time.mktime(time.strptime(text[:19], layout)) + float("0." + text[20:].rstrip("Z")) for text in (start, end)]
    return seconds[1] - seconds[0]


class Host:
    """A container with Debian 12, booted."""

    def __init__(self, name: str, image: str = "") -> None:
        self.name = f"{PREFIX}-bench-{name}"
        self.image = image

    def start(self) -> Host:
        """Have it run; one that is there already is used again."""
        environment = {**os.environ, **({"IMAGE": self.image} if self.image else {})}
        subprocess.run([TOP / "containers" / "start", self.name, "bookworm"], env=environment, check=True)
        return self

    def start_anew(self) -> Host:
        """Have it run as bare as its image is."""
        self.remove()
        return self.start()

    def keep_as(self, image: str) -> str:
        """Make an image of it."""
        subprocess.run(["podman", "commit", "--quiet", self.name, image], check=True, stdout=subprocess.DEVNULL)
        return image

    def pack(self, archive: Path, paths: Sequence[str]) -> None:
        """Keep files of it, with their owners; paths may be patterns."""
        with archive.open("wb") as stream:
            subprocess.run(["podman", "exec", self.name, "sh", "-c", f"tar -C / -cf - {' '.join(paths)}"], stdout=stream, check=True)

    def exists(self) -> bool:
        """Whether it is there, running or not."""
        return subprocess.run(["podman", "container", "exists", self.name], check=False).returncode == 0

    def remove(self) -> None:
        """Have none of it left."""
        subprocess.run(["podman", "rm", "--force", "--ignore", "--time", "0", self.name], check=True, stdout=subprocess.DEVNULL)

    def address(self) -> str:
        """Where its port 80 is reached from here; this may change when it is restarted."""
        published = subprocess.run(["podman", "port", self.name, "80"], check=True, capture_output=True, text=True).stdout
        return published.splitlines()[0]

    def run(self, *command: str, check: bool = True, stdin: str = "") -> str:
        """Run a command on it and return what it wrote."""
        process = subprocess.run(
            ["podman", "exec", "--interactive", self.name, *command], input=stdin, capture_output=True, text=True, check=False
        )
        if check and process.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(command)[:200]}: exit {process.returncode}: {process.stdout[-2000:]}{process.stderr[-2000:]}")
        return process.stdout

    def shell(self, script: str, check: bool = True) -> str:
        """Run a shell script on it, which ends at its first error."""
        return self.run("sh", "-euc", script, check=check)

    def put(self, path: str, content: str) -> None:
        """Write a file on it."""
        self.run("sh", "-euc", 'mkdir -p "$(dirname "$1")" && cat > "$1"', "sh", path, stdin=content)

    def copy(self, names: Sequence[str], directory: str) -> None:
        """Copy files of the application to it."""
        for name in names:
            self.put(f"{directory}/{name}", (APP / name).read_text())

    def prepare_application(self) -> None:
        """Put the application there, and all that it needs."""
        self.copy([path.name for path in APP.iterdir() if path.is_file()], "/srv/bench")
        self.run("sh", "/srv/bench/prepare.sh")


def inventory(hosts: Sequence[Host], variables: Mapping[str, Any]) -> Path:
    """Write an inventory of hosts that all have these variables."""
    connection = {
        "ansible_connection": "ansible.builtin.ssh",
        "ansible_ssh_executable": str(TOP / "containers" / "ssh"),
        "ansible_ssh_transfer_method": "piped",
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    SCRATCH.mkdir(parents=True, exist_ok=True)
    path = SCRATCH / "inventory.json"
    group = {"hosts": {host.name: {} for host in hosts}, "vars": {**connection, **variables}}
    path.write_text(json.dumps({"galaxyservers": group}))
    return path


def play(playbook: Path, hosts: Sequence[Host], variables: Mapping[str, Any], *arguments: str) -> AnsibleRun:
    """Run a playbook on hosts, and fail if it does."""
    command = ["ansible-playbook", "--inventory", str(inventory(hosts, variables)), str(playbook), *arguments]
    environment = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_CONFIG": str(TOP / "ansible.cfg")}
    started = time.monotonic()
    process = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if process.returncode != 0:
        raise RuntimeError(f"{playbook.name}: {process.stdout[-6000:]}{process.stderr[-2000:]}")
    return AnsibleRun(seconds, json.loads(process.stdout[process.stdout.index("{") :]))
