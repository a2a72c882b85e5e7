#!/usr/bin/env python3
# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control the web processes (INSTANCE-web) or job handlers (INSTANCE-handlers) of one instance.

The roles install this file under both names and call it after writing their files; people may call
it too. It knows its instance and kind by its own name, and reads what there is to run from
/etc/INSTANCE/KIND.json, which the roles write.

Exit codes: 0 done; 1 a process did not start (what ran before still runs); 2 wrong usage or
configuration; 3 (status only) something is stopped, or does not run what is written.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import glob
import hashlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

KINDS = {"web": "web processes", "handlers": "job handlers"}
RUN = Path(os.environ.get("GALAXYOPS_RUN", "/run"))
ETC = Path(os.environ.get("GALAXYOPS_ETC", "/etc"))


class ControlError(Exception):
    """Something could not be done; the message says what, why and what still runs."""


def say(message: str) -> None:
    """Report one step at once, so that a person sees progress and Ansible sees a change."""
    print(message, flush=True)


def systemctl(*arguments: str, check: bool = True) -> str:
    """Run systemctl and return what it printed."""
    process = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)
    if check and process.returncode != 0:
        raise ControlError(f"systemctl {' '.join(arguments)}: {process.stderr.strip()}")
    return process.stdout.strip()


def alive(pid: str) -> bool:
    """Whether the process that systemd started still lives; without a number there is nothing to say."""
    return not pid or Path("/proc", pid).exists()


def without_section(text: bytes, section: str) -> bytes:
    """Return the INI I(text) less one section: what the readers of the other sections see."""
    pattern = rb"(?ms)^\[" + re.escape(section.encode()) + rb"\].*?(?=^\[|\Z)"
    # Blank lines mean nothing, and come and go with a section.
    return re.sub(rb"(?m)^\s*\n|\s*\Z", b"", re.sub(pattern, b"", text))


def without_handlers(text: bytes) -> bytes:
    """Return a job configuration less its handlers: what a change of another handler leaves as it is."""
    # Comments mean nothing, and may speak of handlers.
    text = re.sub(rb"(?s)<!--.*?-->", b"", text)
    text = re.sub(rb"(?s)<handlers\b(?:[^>]*/>|.*?</handlers>)", b"", text)
    return re.sub(rb"(?m)^handling:.*\n(?:(?:[ \t].*|#.*)?\n)*", b"", text)


def fingerprint(watch: list[dict[str, Any]]) -> str:
    """Hash what a process is started from: files (patterns may name several, or none), where links lead, and values."""
    digest = hashlib.sha256()
    for entry in watch:
        if "value" in entry:
            digest.update(json.dumps(entry["value"], sort_keys=True).encode())
            continue
        if entry.get("link"):
            digest.update(os.path.realpath(entry["path"]).encode())
            continue
        for path in sorted(glob.glob(entry["path"])):
            text = Path(path).read_bytes()
            if "without_section" in entry:
                text = without_section(text, entry["without_section"])
            if entry.get("without_handlers"):
                text = without_handlers(text)
            digest.update(f"{path}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()


class Unit:
    """One systemd service and the fingerprint it was started with."""

    def __init__(self, directory: str, service: str, watch: list[dict[str, Any]]) -> None:
        self.directory = RUN / directory
        self.service = service
        self.watch = watch

    @property
    def active(self) -> bool:
        """Whether the service runs (a start that still waits for its first answer does not count)."""
        return systemctl("is-active", self.service, check=False) == "active"

    @property
    def starting(self) -> bool:
        """Whether the service is on its way to run."""
        return systemctl("is-active", self.service, check=False) == "activating"

    @property
    def current(self) -> bool:
        """Whether the service runs what is written on disk now."""
        try:
            return (self.directory / "fingerprint").read_text() == fingerprint(self.watch)
        except FileNotFoundError:
            return False

    def record(self) -> None:
        """Remember, as the process starts, what it is started from."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "fingerprint").write_text(fingerprint(self.watch))

    def start(self, verb: str = "restart") -> None:
        """Start the service and wait until it has proved that it works."""
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        process = subprocess.run(["systemctl", verb, self.service], check=False, capture_output=True)
        if process.returncode != 0:
            systemctl("stop", self.service, check=False)
            subprocess.run(["journalctl", "--sync"], check=False)
            # Not --lines: together with --since it shows the first lines, not the last.
            log = subprocess.run(
                ["journalctl", "--no-pager", "--output=cat", "--since", since, "--unit", self.service],
                capture_output=True,
                text=True,
                check=False,
            ).stdout.splitlines()
            raise ControlError(f"{self.service} did not start. The end of its log:\n" + "\n".join(log[-40:]))

    def stop(self) -> None:
        """Stop the service; it finishes the requests or the clean-up it is at."""
        systemctl("stop", self.service)


class Control:
    """What both kinds share: the configuration, the lock, enabling and removing units."""

    def __init__(self, instance: str, kind: str) -> None:
        self.instance = instance
        self.kind = kind
        self.command = f"{instance}-{kind}"
        path = ETC / instance / f"{kind}.json"
        try:
            self.config: dict[str, Any] = json.loads(path.read_text())
            self.watch: list[dict[str, Any]] = self.config["watch"]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ControlError(f"cannot read {path}: {error}; run the playbook that wrote it again") from error

    def lock(self) -> None:
        """Let one call at a time change anything; a second one waits for the first."""
        (RUN / self.instance).mkdir(parents=True, exist_ok=True)
        self.lock_file = open(RUN / self.instance / f"{self.kind}.lock", "w")  # noqa: SIM115 -- held until the process ends
        fcntl.flock(self.lock_file, fcntl.LOCK_EX)

    def enabled_units(self) -> list[str]:
        """The units that are to start with the host."""
        raise NotImplementedError

    def units(self) -> dict[str, Unit]:
        """Every service of this kind, by the name a person gives it."""
        raise NotImplementedError

    def leftovers(self) -> list[str]:
        """Units on the host that are no longer configured."""
        return []

    def enable(self, check: bool) -> None:
        """Make systemd know the unit files as they are now, and start them with the host."""
        wanted = self.enabled_units()
        stale = systemctl("show", "--property=NeedDaemonReload", "--value", *wanted, *(unit.service for unit in self.units().values()))
        disabled = [unit for unit in wanted if systemctl("is-enabled", unit, check=False) != "enabled"]
        if ("yes" in stale.split() or disabled) and not check:
            systemctl("daemon-reload")
        if disabled:
            say(f"enable {' '.join(disabled)}")
            if not check:
                systemctl("enable", *disabled)

    def apply(self, check: bool) -> None:
        """Make what runs what is written: start what is missing, replace what is stale."""
        raise NotImplementedError

    def restart(self) -> None:
        """Replace every process, without an interruption."""
        raise NotImplementedError

    def remove(self) -> None:
        """Stop and disable everything of this kind."""
        units = [*self.leftovers(), *self.enabled_units(), *(unit.service for unit in self.units().values())]
        systemctl("disable", "--now", *units, check=False)
        say(f"stopped {' '.join(dict.fromkeys(units))}")
        (RUN / self.instance / f"{self.kind}.lock").unlink()
        with contextlib.suppress(OSError):  # the other kind still uses it
            (RUN / self.instance).rmdir()

    def ready(self, name: str) -> None:
        """Wait until the process just started works; fail when it does not in time."""
        raise NotImplementedError

    def status(self) -> int:
        """Print what runs; return 3 when that is not what is written."""
        problems = 0
        for name, unit in self.units().items():
            state = systemctl("is-active", unit.service, check=False)
            if self.expected(name) or state != "inactive":
                current = unit.current
                pid = systemctl("show", "--property=MainPID", "--value", unit.service)
                note = "" if current else " (not what is written: run the playbook, or "f"{self.command} restart)"
                say(f"{unit.service}: {state}, pid {pid}{note}")
                problems += state != "active" or not current
        for service in self.leftovers():
            say(f"{service}: {systemctl('is-active', service, check=False)} (no longer configured: run the playbook)")
            problems += 1
        return 3 if problems else 0

    def expected(self, name: str) -> bool:
        """Whether this service is to run all the time."""
        return True


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Web(Control):
    """The web processes: one socket unit, and two slots that replace each other.

    Slot 1 serves. Slot 2 only runs during a handover: it is started from what is written, proves itself on
    its private socket, and serves while slot 1 is replaced.
    """

    def units(self) -> dict[str, Unit]:
        return {slot: Unit(f"{self.instance}/web-{slot}", f"{self.instance}-web@{slot}.service", self.watch) for slot in ("1", "2")}

    @property
    def socket(self) -> str:
        """The unit that owns the socket which nginx connects to."""
        return f"{self.instance}-web.socket"

    def enabled_units(self) -> list[str]:
        return [self.socket, f"{self.instance}-web@1.service"]

    def expected(self, name: str) -> bool:
        return name == "1"

    def apply(self, check: bool) -> None:
        self.enable(check)
        first, second = self.units().values()
        if not first.active and not second.active:
            say(f"start {self.socket} {first.service}")
            if not check:
                systemctl("start", self.socket)
                first.start("start")
        elif second.active or not first.current:
            if check:
                say("hand over to processes that run what is written")
            else:
                self.restart()

    def restart(self) -> None:
        first, second = self.units().values()
        if not first.active and not second.active:
            say(f"start {first.service}")
            systemctl("start", self.socket)
            first.start("start")
            return
        # Where slot 2 serves alone, after a handover that failed half-way, it stays until slot 1 is back.
        if first.active and not (second.active and second.current):
            say(f"start {second.service} beside what serves")
            try:
                second.start()
            except ControlError as error:
                raise ControlError(f"{error}\nThe site is still up: what served before serves on.") from error
        say(f"replace {first.service}")
        try:
            first.start()
        except ControlError as error:
            raise ControlError(f"{error}\nThe site is still up: {second.service} serves.") from error
        say(f"stop {second.service}")
        second.stop()

    def ready(self, name: str) -> None:
        health = self.config["health"]
        path = RUN / self.instance / f"web-{name}" / "http.sock"
        deadline = time.monotonic() + health["timeout"]
        answer = "no answer"
        while time.monotonic() < deadline:
            if not alive(os.environ.get("MAINPID", "")):
                raise ControlError("the process ended before it answered")
            try:
                connection = UnixConnection(path, max(1.0, deadline - time.monotonic()))
                connection.request("GET", health["path"], headers={"Host": health["host"]})
                status = connection.getresponse().status
                if status in health["status"]:
                    return
                answer = f"status {status}"
            except (OSError, http.client.HTTPException) as error:
                answer = str(error) or type(error).__name__
            time.sleep(0.1)
        wanted = " or ".join(map(str, health["status"]))
        raise ControlError(f"GET {health['path']} on {path}: {answer} after {health['timeout']} s instead of {wanted}")


class Handlers(Control):
    """The job handlers: one service each, replaced one after the other."""

    def units(self) -> dict[str, Unit]:
        # A handler's own settings count for it alone.
        return {
            name: Unit(f"{self.instance}/handler-{name}", f"{self.instance}-handler@{name}.service", [*self.watch, {"value": settings}])
            for name, settings in self.config["handlers"].items()
        }

    def enabled_units(self) -> list[str]:
        return [unit.service for unit in self.units().values()]

    def leftovers(self) -> list[str]:
        pattern = f"{self.instance}-handler@*.service"
        known = set(self.enabled_units())
        running = systemctl("list-units", "--all", "--plain", "--no-legend", pattern).splitlines()
        enabled = (ETC / "systemd/system/multi-user.target.wants").glob(pattern)
        found = {line.split()[0] for line in running} | {path.name for path in enabled}
        return sorted(found - known)

    def apply(self, check: bool) -> None:
        for service in self.leftovers():
            say(f"remove {service}")
            if not check:
                systemctl("disable", "--now", service)
                # One that had to be killed would be remembered as failed, and found again by every run.
                systemctl("reset-failed", service, check=False)
        self.enable(check)
        for unit in self.outdated():
            say(f"{'restart' if unit.active else 'start'} {unit.service}")
            if not check:
                # One that is just starting, as after a boot, is waited for and not started anew.
                unit.start("start" if unit.starting and unit.current else "restart")

    def outdated(self) -> Iterator[Unit]:
        """The handlers that do not run what is written."""
        return (unit for unit in self.units().values() if not (unit.active and unit.current))

    def restart(self) -> None:
        for unit in self.units().values():
            say(f"restart {unit.service}")
            unit.start()

    def ready(self, name: str) -> None:
        """Wait for Galaxy's own word that the handler runs.

        A logging configuration may send that word elsewhere: then the handler counts as started once the
        time is over and its process still lives, which systemd watches.
        """
        journal = [
            "journalctl", "--no-pager", "--output=cat", "--lines=1",
            f"_SYSTEMD_INVOCATION_ID={os.environ.get('INVOCATION_ID', '')}", "--grep", f"instance '{name}' is running",
        ]
        deadline = time.monotonic() + self.config["start_timeout"]
        while time.monotonic() < deadline:
            if not alive(os.environ.get("MAINPID", "")):
                raise ControlError("the process ended before it said that it runs")
            if subprocess.run(journal, capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.5)
        say(f"{name} has not logged that it runs within {self.config['start_timeout']} s; its process is alive, so it is left to itself")


def control_for(program: str) -> Control:
    """Tell instance and kind from the name this file is called by."""
    instance, _dash, kind = os.path.basename(program).rpartition("-")
    if kind not in KINDS or not instance:
        raise ControlError(f"{program} must be called INSTANCE-web or INSTANCE-handlers")
    return Web(instance, kind) if kind == "web" else Handlers(instance, kind)


def main(arguments: Optional[list[str]] = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog=os.path.basename(sys.argv[0]), description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("status", help="print what runs, and whether it is what is written")
    commands.add_parser("restart", help="replace the processes without an interruption")
    apply = commands.add_parser("apply", help="start what is missing, replace what does not run what is written")
    apply.add_argument("--check", action="store_true", help="only print what would be done")
    commands.add_parser("remove", help="stop and disable the processes")
    for name, text in (("record", "called by the service as it starts"), ("ready", "called by the service once started")):
        commands.add_parser(name, help=text).add_argument("name")
    options = parser.parse_args(arguments)
    try:
        control = control_for(sys.argv[0])
        if "name" in options and options.name not in control.units():
            raise ControlError(f"{control.command} knows no {options.name}, only {', '.join(control.units())}")
    except ControlError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        if options.command == "status":
            return control.status()
        if options.command == "record":
            control.units()[options.name].record()
        elif options.command == "ready":
            control.ready(options.name)
        elif options.command == "apply":
            if not options.check:
                control.lock()
            control.apply(options.check)
        else:
            control.lock()
            getattr(control, options.command)()
    except (ControlError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
