# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running nginx: whether it has loaded the configuration on disk, and loading it without a lost request."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import pwd
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _processes as processes
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._reach import described, obstacle

# Files that nginx reads once, beside its configuration.
_TLS_FILE = re.compile(
    r"(?m)^\s*(?:[a-z]+_)?ssl_(?:certificate|certificate_key|client_certificate|trusted_certificate|crl|dhparam|password_file|session_ticket_key)"
    r"\s+\"?([^;\"\s]+)"
)
_CONFIGURATION_FILE = re.compile(r"(?m)^# configuration file (/.*):$")
_INCLUDE = re.compile(r"(?m)^\s*include\s+\"?([^;\"\s]+)")


class NginxError(Exception):
    """What nginx refuses, or does not do."""


class Worker(NamedTuple):
    """A worker that takes new requests."""

    pid: int
    # Seconds since the epoch
    started: float
    groups: frozenset[int]


class Account(NamedTuple):
    """Whom workers run as."""

    name: str
    uid: int
    gid: int
    groups: list[int]


def _read(path: str) -> str:
    """A small file; empty where there is none."""
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()
    return ""


def _since_epoch(ticks: str) -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(ticks) / os.sysconf("SC_CLK_TCK")


class Configuration:
    """The configuration on disk, as nginx reads it."""

    def __init__(self, command: Sequence[str]) -> None:
        """Read and check it all; what nginx refuses is an error with nginx's reason."""
        try:
            process = subprocess.run(  # pylint: disable=ansible-bad-function  # run_command belongs to a module
                [*command, "-T"], capture_output=True, text=True, errors="replace", check=False
            )
        except OSError as error:
            raise NginxError(f"{command[0]} cannot be run ({error.strerror}): install nginx") from error
        if process.returncode != 0:
            reason = process.stderr.strip()
            raise NginxError(
                f"nginx refuses the configuration on disk; the loaded configuration serves on. Correct this, and run again:\n{reason}"
            )
        self.text = process.stdout
        self.files = _CONFIGURATION_FILE.findall(self.text)
        self.directory = os.path.dirname(self.files[0]) if self.files else "/etc/nginx"

    def _paths(self, found: Iterable[str]) -> list[str]:
        # What has a variable in it is read for each connection.
        return sorted({os.path.join(self.directory, path) for path in found if "$" not in path and ":" not in path})

    def value(self, name: str, default: str) -> str:
        """The value of a directive that stands once."""
        match = re.search(rf"(?m)^\s*{name}\s+([^;]+);", self.text)
        return match[1].strip() if match else default

    @property
    def tls_files(self) -> list[str]:
        """Certificates, keys and the like."""
        return self._paths(_TLS_FILE.findall(self.text))

    @property
    def account(self) -> Optional[Account]:
        """Whom workers run as; None where nginx does not start as root, or there is no such user."""
        if os.geteuid() != 0:
            return None
        user, *group = self.value("user", "nobody").split()
        try:
            found = pwd.getpwnam(user)
            main = grp.getgrnam(group[0]).gr_gid if group else found.pw_gid
        except KeyError:
            return None
        return Account(user, found.pw_uid, main, sorted({*os.getgrouplist(user, main), main}))

    @property
    def groups(self) -> list[int]:
        """The groups that workers get as they start; none where nginx does not start as root."""
        account = self.account
        return account.groups if account else []

    @property
    def fingerprint(self) -> str:
        """A hash of all that nginx reads as it loads."""
        digest = hashlib.sha256(f"{self.groups}\0{self.text}".encode())
        for path in self.tls_files:
            with open(path, "rb") as stream:
                digest.update(f"\0{path}\0".encode() + stream.read())
        return digest.hexdigest()

    @property
    def changed(self) -> float:
        """When anything of it was changed last, in seconds since the epoch."""
        # What is gone shows in its directory only.
        directories = {
            os.path.dirname(path)
            for path in (*self.files, *self._paths(path.partition("*")[0] for path in _INCLUDE.findall(self.text)))
        }
        times = [0.0]
        for path in (*self.files, *self.tls_files, *directories):
            for look in (os.stat, os.lstat):
                with contextlib.suppress(OSError):
                    times.append(look(path).st_ctime)
        return max(times)


class Nginx:
    """The nginx that runs."""

    def __init__(self, configuration: Configuration, record: str) -> None:
        """Find it; a pid of 0 means that none runs."""
        self.configuration = configuration
        self.record_path = record
        text = _read(os.path.join(configuration.directory, configuration.value("pid", "/run/nginx.pid"))).strip()
        pid = int(text) if text.isdigit() else 0
        self.pid = pid if pid and processes.command_line(pid).startswith("nginx: master") else 0

    @property
    def workers(self) -> list[Worker]:
        """The workers that take new requests, not those that finish their last ones."""
        found = []
        for entry in os.listdir("/proc"):
            title = processes.command_line(int(entry)) if entry.isdigit() else ""
            if not title.startswith("nginx: worker process") or "shutting down" in title:
                continue
            pid = int(entry)
            started = processes.start_time(pid)
            if started and processes.parent(pid) == self.pid:
                found.append(Worker(pid, _since_epoch(started), processes.groups(pid)))
        return found

    def _state(self) -> dict[str, Any]:
        # The workers too: somebody may have had others start since, from files that have been changed back.
        workers = sorted(worker.pid for worker in self.workers)
        return {
            "pid": self.pid,
            "started": processes.start_time(self.pid),
            "workers": workers,
            "fingerprint": self.configuration.fingerprint,
        }

    @property
    def is_current(self) -> bool:
        """Whether it has loaded what is on disk: it is recorded to have, or nothing is newer than its workers."""
        with contextlib.suppress(ValueError):
            if json.loads(_read(self.record_path) or "{}") == self._state():
                return True
        workers = self.workers
        wanted = set(self.configuration.groups)
        return bool(workers) and all(
            worker.started > self.configuration.changed and wanted <= worker.groups for worker in workers
        )

    def record(self) -> None:
        """Remember what it has loaded, until the next boot."""
        text = json.dumps(self._state())
        if _read(self.record_path) == text:
            return
        new = f"{self.record_path}.{os.getpid()}"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
        os.rename(new, self.record_path)

    def load(self, timeout: int) -> None:
        """Have it load what is on disk, and wait until new workers do the work."""
        before = {worker.pid for worker in self.workers}
        fingerprint = self.configuration.fingerprint
        os.kill(self.pid, signal.SIGHUP)
        deadline = time.monotonic() + timeout
        while True:
            workers = {worker.pid for worker in self.workers}
            if workers and not workers & before:
                break
            if time.monotonic() > deadline:
                log = self.configuration.value("error_log", "/var/log/nginx/error.log").split()[0]
                raise NginxError(
                    f"nginx has not loaded the configuration on disk in {timeout} s, and what it had loaded serves on: {log} has the reason"
                )
            time.sleep(0.05)
        if self.configuration.fingerprint == fingerprint:  # Nobody has changed anything meanwhile.
            self.record()


def out_of_reach(configuration: Configuration, directories: Sequence[str]) -> list[str]:
    """Which directories the workers cannot send files of, and why, for a person."""
    account = configuration.account
    if not account:
        return []
    found = []
    for directory in directories:
        wall = obstacle(directory, account.uid, [account.gid, *account.groups])
        if wall:
            found.append(f"{directory}: {account.name} cannot enter {described(wall)}")
    return found


def run(configuration: Configuration, record: str, timeout: int, check_mode: bool) -> Optional[bool]:
    """Have a running nginx load what is on disk, unless it has: whether that was, or would be, needed; None where none runs."""
    nginx = Nginx(configuration, record)
    if not nginx.pid:
        return None
    if nginx.is_current:
        if not check_mode:
            nginx.record()
        return False
    if not check_mode:
        nginx.load(timeout)
    return True
