"""The host that the faults are for: its files, its processes, and its answers."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

CONFIG = "/srv/tiny/tiny.ini"
JOURNAL = "/srv/tiny/data/journal"
NEEDED = "/srv/tiny/needed"
HERE = "/root/chaos"
STATE = "/var/lib/galaxyops"
APPLY = "tiny-web apply --restore"
START_SECONDS = 1

# Debian's unit waits 50 s before it starts supervisor anew.
SOON = "/etc/systemd/system/supervisor.service.d"

FACTORY = "tiny_app:app_factory"
# What each kind of change writes.
CHANGES = {
    "good": {},
    "factory": {"paste.app_factory": "tiny_app:broken_factory"},
    "module": {"paste.app_factory": "no_such_module:app_factory"},
    "syntax": {"spoiled": "100%"},
    "unhealthy": {"health": "500 Not well"},
}
OPTIONS = ("paste.app_factory", "version", "start_seconds", "journal", "needs", "health", "spoiled")

# Run a command, and leave its process, what it says and its exit code where they can be found.
RUN = f"""
cd {HERE} && rm -f "$1".* && bash -c 'echo $$ > '"$1"'.pid; exec '"$2" > "$1".out 2>&1
echo $? > "$1".rc.new && mv "$1".rc.new "$1".rc
"""

# A disk that has room for what is there and for nothing else; what an earlier change left would make room.
SMALL_STATE = f"""
mkdir -p {HERE}/disk && mount -t tmpfs -o mode=755 tmpfs {HERE}/disk
rm -rf {STATE}/*/*/rejected
cp -a {STATE}/. {HERE}/disk/ && mount --bind {HERE}/disk {STATE}
mount -o remount,size=$(df --output=used -k {STATE} | tail -n 1 | tr -d ' ')k {HERE}/disk
"""
LARGE_STATE = f"""
mountpoint -q {HERE}/disk || exit 0
umount {STATE} && find {STATE} -mindepth 1 -delete && cp -a {HERE}/disk/. {STATE}/ && umount {HERE}/disk
"""
SMALL_RUN = "mount -o remount,size=$(df --output=used -k /run | tail -n 1 | tr -d ' ')k /run"
LARGE_RUN = "mount -o remount,size=50% /run"


class Failure(Exception):
    """The host cannot be used for this any more, or never could."""


@dataclass(frozen=True)
class Result:
    """A command that has ended, or that was given up: then its exit code is None."""

    code: Optional[int]
    said: str

    def __str__(self) -> str:
        """The exit code, and what it said less what is in between."""
        lines = self.said.splitlines()
        shown = lines if len(lines) <= 24 else [*lines[:8], f"... {len(lines) - 20} lines", *lines[-12:]]
        return "\n    ".join([f"exit {self.code}", *(line[:300] for line in shown)])


@dataclass(frozen=True)
class Hit:
    """Processes that a fault has hit, and when, by the clock."""

    since: float
    until: float
    lines: str


def variant(text: str, change: str, version: str) -> str:
    """The configuration with another version of the application, and with what that change writes."""
    options = {
        "paste.app_factory": FACTORY,
        "version": version,
        "start_seconds": str(START_SECONDS),
        "journal": JOURNAL,
        "needs": NEEDED,
    }
    options.update(CHANGES[change])
    lines: list[str] = []
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip()
        if section == "[app:main]" and line.partition("=")[0].strip() in OPTIONS:
            continue
        lines.append(line)
        if line.strip() == "[app:main]":
            lines += [f"{name} = {value}" for name, value in options.items()]
    return "\n".join(lines) + "\n"


class Machine:
    """A host with the tiny application, in a container."""

    def __init__(self, container: str, manager: str) -> None:
        self.container = container
        self.manager = manager
        self.original = self.text = ""
        self.texts: dict[str, str] = {}

    # How it is reached

    def run(self, *command: str, stdin: str = "", check: bool = True, seconds: float = 300) -> str:
        """Run a command there and return what it printed."""
        try:
            process = subprocess.run(
                ["podman", "exec", "--interactive", self.container, *command],
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{self.container}: {' '.join(command)[:200]}: no end in {seconds:g} s") from error
        if check and process.returncode != 0:
            raise Failure(
                f"{self.container}: {' '.join(command)[:200]}: exit {process.returncode}: "
                f"{process.stdout}{process.stderr}"
            )
        return process.stdout

    def shell(self, script: str, check: bool = True) -> str:
        """Run a shell script there."""
        return self.run("sh", "-euc", script, check=check)

    def mount(self, script: str) -> None:
        """Run a shell script among its mounts with the rights of this machine: a container may not mount."""
        rights = ["podman", "unshare"] if os.geteuid() else []
        pid = self.podman("inspect", "--format", "{{.State.Pid}}", self.container).strip()
        process = subprocess.run(
            [*rights, "nsenter", "--target", pid, "--mount", "sh", "-euc", script],
            capture_output=True,
            text=True,
            check=False,
        )
        if process.returncode:
            raise Failure(f"{self.container}: {script.strip()}: {process.stdout}{process.stderr}")

    @staticmethod
    def podman(*arguments: str) -> str:
        """Have podman do something with it."""
        process = subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False)
        if process.returncode:
            raise Failure(f"podman {' '.join(arguments)}: {process.stdout}{process.stderr}")
        return process.stdout

    @property
    def url(self) -> str:
        """Where the site answers; this may change when the host boots."""
        return f"http://{self.podman('port', self.container, '80').splitlines()[0]}"

    def answer(self, url: str = "") -> str:
        """The version that answers; empty when none does."""
        try:
            with urllib.request.urlopen(url or self.url, timeout=20) as response:
                return str(json.load(response)["version"])
        except (OSError, urllib.error.URLError, ValueError, LookupError, Failure):
            return ""

    def on_host(self, function: str, **arguments: Any) -> dict[str, Any]:
        """Have a function of on_host.py run there."""
        found: dict[str, Any] = json.loads(
            self.run("/usr/bin/python3", "-B", f"{HERE}/on_host.py", function, json.dumps(arguments))
        )
        return found

    # What is done there

    def prepare(self) -> None:
        """Put there what the faults need, and a version that serves."""
        self.shell(f"mkdir -p {HERE} && touch {NEEDED}")
        self.run("sh", "-c", f"cat > {HERE}/on_host.py", stdin=(Path(__file__).parent / "on_host.py").read_text())
        if self.manager == "supervisor":
            self.shell(
                f"mkdir -p {SOON}; printf '[Service]\\nRestartSec=5\\n' > {SOON}/chaos.conf; systemctl daemon-reload"
            )
        self.original = self.run("cat", CONFIG)
        self.shell(f"cp -a {CONFIG} {HERE}/original.ini")
        self.write("good", "v0")
        self.command("prepare", APPLY)
        result = self.finish("prepare")
        if result.code != 0 or self.answer() != "v0":
            raise Failure(f"{self.container}: the application does not serve: {result}")

    def leave(self) -> None:
        """Take away what prepare() put there, and have the application serve as it did before."""
        self.heal()
        self.shell(f"cp -a {HERE}/original.ini {CONFIG} && {APPLY} && rm -rf {HERE} {NEEDED} {JOURNAL}")
        if self.manager == "supervisor":
            self.shell(f"rm {SOON}/chaos.conf; rmdir --ignore-fail-on-non-empty {SOON}; systemctl daemon-reload")

    def write(self, change: str, version: str) -> None:
        """Change the configuration, in one step and as nobody's temporary file."""
        self.put(variant(self.original, change, version))
        self.texts[version] = variant(self.original, change, version)

    def put(self, text: str) -> None:
        """Write the configuration with its owner and mode."""
        like = f"--reference={HERE}/original.ini {HERE}/new.ini"
        script = f"cat > {HERE}/new.ini; chown {like}; chmod {like}; mv {HERE}/new.ini {CONFIG}"
        self.run("sh", "-euc", script, stdin=text)

    def version_on_disk(self) -> str:
        """The version that the configuration names."""
        return self.shell(f"sed -n 's/^version = //p' {CONFIG}").strip()

    def previous_version(self) -> list[str]:
        """The version before the one that last worked, if there are copies of it."""
        return self.shell(
            f"sed -n 's/^version = //p' /var/lib/galaxyops/tiny/web/previous{CONFIG}", check=False
        ).split()

    def command(self, name: str, command: str) -> None:
        """Run a command in the background."""
        self.podman("exec", "--detach", self.container, "bash", "-c", RUN, "bash", name, command)

    def finish(self, name: str, seconds: float = 90) -> Result:
        """Wait for a command; one that does not end is killed."""
        wait = f"for i in $(seq {int(seconds * 5)}); do [ ! -e {name}.rc ] || break; sleep 0.2; done"
        code = self.shell(f"cd {HERE}; {wait}; cat {name}.rc 2>/dev/null || true").strip()
        said = self.shell(f"cat {HERE}/{name}.out 2>/dev/null || true")
        if not code:
            self.shell(f"kill -9 $(cat {HERE}/{name}.pid) 2>/dev/null || true")
        return Result(int(code) if code else None, said.strip())

    def hit(self, who: str, *signals: str, **arguments: Any) -> Hit:
        """Send signals to a participant, at once or during a part of a replacement."""
        found = self.on_host("hit", who=who, signals=signals, **arguments)
        return Hit(found["since"], found["until"], found["lines"])

    def wait_for_systemd(self) -> None:
        """Wait until the host has booted so far that commands can be run there."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if (
                subprocess.run(
                    ["podman", "exec", self.container, "systemctl", "--version"], capture_output=True, check=False
                ).returncode
                == 0
            ):
                return
            time.sleep(0.2)
        raise Failure(f"{self.container} has not booted in 60 s")

    def heal(self) -> None:
        """End every fault that lasts."""
        self.mount(LARGE_STATE)
        self.mount(LARGE_RUN)
        self.shell(f"test ! -e {NEEDED}.away || mv {NEEDED}.away {NEEDED}; pkill -CONT -u tiny || true")

    def repair(self, version: str) -> None:
        """Have a known version serve again, whatever that takes, so that the next fault meets a host that is well."""
        self.heal()
        self.put(self.texts[version])
        for attempt in range(3):
            self.command("repair", "tiny-web apply")
            self.finish("repair", 60)
            if self.answer() == version and not self.on_host("look", **self.looks())["leftovers"]:
                return
            if attempt == 1:
                self.podman("restart", "--time", "20", self.container)
                self.wait_for_systemd()
                time.sleep(10)
        raise Failure(f"{self.container} cannot be repaired")

    def looks(self, prefix: str = "-") -> dict[str, Any]:
        """The arguments of the function look of on_host.py."""
        return {"config": CONFIG, "pools": int(self.manager == "supervisor"), "journal": JOURNAL, "prefix": prefix}
