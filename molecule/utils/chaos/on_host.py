# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do on the host what has to be prompt: wait for a part of a replacement, find a participant, send a signal.

Usage: on_host.py hit|look ARGUMENTS. A JSON object has the arguments of the function; its result is printed as JSON.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

# Where the commands that run meanwhile leave what they say, their process and their exit code.
COMMANDS = Path("/root/chaos")
STATE = Path("/var/lib/galaxyops/tiny")
CONTROL = "-m galaxyops.control tiny web"


class Process(NamedTuple):
    """A process, as /proc shows it."""

    pid: int
    parent: int
    group: int
    line: str


def processes() -> list[Process]:
    """Every process of the host, from the oldest to the youngest."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "stat").read_text().rpartition(")")[2].split()
            line = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words[0] != "Z":
            found.append((int(words[19]), Process(int(directory.name), int(words[1]), int(words[2]), line)))
    return [process for _born, process in sorted(found)]


def masters(slot: str) -> list[Process]:
    """The masters of a slot or the candidate (a pattern), also those that have not become uWSGI yet."""
    pattern = rf"{CONTROL} become ({slot})\b|uwsgi .*/run/tiny/web-({slot})/http\.sock"
    leaders = [process for process in processes() if process.pid == process.group and re.search(pattern, process.line)]
    # What watches over a start is a child of the master.
    return [process for process in leaders if process.parent not in {leader.pid for leader in leaders}]


def answering() -> int:
    """The worker that answers, or 0."""
    try:
        with urllib.request.urlopen("http://127.0.0.1/", timeout=10) as answer:
            return int(json.load(answer)["pid"])
    except (OSError, ValueError, LookupError):
        return 0


def parent_of(pid: int) -> int:
    """The parent of a process, or 0."""
    return next((process.parent for process in processes() if process.pid == pid), 0)


def participants(who: str, command: int) -> list[int]:
    """The processes that are meant by a word; none when there is no such process at this moment."""
    if who == "command":
        return [command]
    if who in ("master", "worker", "workers", "slot"):
        worker = answering()
        master = parent_of(worker)
        if who == "slot":
            return [process.pid for process in masters("[12]") if process.pid != master]
        if not master:
            return []
        workers = [process.pid for process in processes() if process.parent == master and "http.sock" in process.line]
        return {"master": [master], "worker": [worker], "workers": workers}[who]
    found = processes()
    if who == "candidate":
        return [process.pid for process in masters("candidate")]
    if who == "prover":
        leaders = {process.pid for process in masters("[12]|candidate")}
        return [
            process.pid
            for process in found
            if f"{CONTROL} ready" in process.line or (f"{CONTROL} become" in process.line and process.parent in leaders)
        ]
    if who == "starter":
        return [
            process.pid
            for process in found
            if process.parent == command and re.search(r"(systemctl|supervisorctl) ", process.line)
        ]
    words = {"pool": "--zerg-pool", "supervisord": "bin/supervisord"}[who]
    return [process.pid for process in found if words in process.line and process.pid == process.group]


def wait_for(command: str, word: str) -> None:
    """Wait until a command says that a part of a replacement begins, or has ended."""
    out, code = COMMANDS / f"{command}.out", COMMANDS / f"{command}.rc"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not code.exists():
        if out.exists() and re.search(rf"^{word} ", out.read_text(errors="replace"), re.MULTILINE):
            return
        time.sleep(0.02)


def send(pids: list[int], name: str) -> None:
    """Send a signal to processes that may have ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, getattr(signal, f"SIG{name}"))


def hit(
    who: str, signals: list[str], command: str = "", word: str = "", delay: float = 0, pause: float = 0
) -> dict[str, Any]:
    """Send the signals to a participant, with a pause between them."""
    if word:
        wait_for(command, word)
    time.sleep(delay)
    number = 0
    if command and (COMMANDS / f"{command}.pid").exists() and not (COMMANDS / f"{command}.rc").exists():
        number = int((COMMANDS / f"{command}.pid").read_text())
    pids = [pid for pid in participants(who, number) if pid > 1]
    lines = subprocess.run(
        ["ps", "-o", "pid=,args=", "-p", ",".join(map(str, pids or [0]))], capture_output=True, text=True, check=False
    ).stdout
    since = time.time()
    for position, name in enumerate(signals):
        if position:
            time.sleep(pause)
        send(pids, name)
    return {"pids": pids, "lines": lines, "since": since, "until": time.time()}


def known_good(config: str) -> list[str]:
    """How the known-good copies differ from the files on disk."""
    running = STATE / "web" / "running"
    copies = [
        path
        for path in running.resolve().rglob("*")
        if path.is_file() and path.name not in ("links.json", "version", "adopted")
    ]
    problems = []
    for copy in copies:
        original = Path("/") / copy.relative_to(running.resolve())
        if not original.is_file():
            problems.append(f"there is a known-good copy of {original}, and no such file")
        elif copy.read_bytes() != original.read_bytes():
            problems.append(f"the known-good copy of {original} differs from the file")
        else:
            ours, theirs = copy.stat(), original.stat()
            if (ours.st_mode, ours.st_uid, ours.st_gid) != (theirs.st_mode, theirs.st_uid, theirs.st_gid):
                problems.append(f"the known-good copy of {original} has another owner or mode")
    if config not in [f"/{copy.relative_to(running.resolve())}" for copy in copies]:
        problems.append(f"there is no known-good copy of {config}")
    return problems


def temporary() -> list[str]:
    """Files that look as if somebody was about to rename or remove them, and sets of which there is to be one."""
    found = []
    for directory in (Path("/srv/tiny"), Path("/etc/tiny")):
        found += [path for path in directory.iterdir() if re.search(r"^\.|~$|\.(new|tmp|part)$", path.name)]
    for directory in (STATE, Path("/run/tiny")):
        found += [path for path in directory.rglob("*") if re.search(r"^\.|~$|\.(new|tmp|part|aside)$", path.name)]
    # Copies of the version that runs, of the one before it, of the one that was tried last, and of what a process started from without a command
    for directory, pattern, most in ((STATE / "web", "version-*", 4), (Path("/run/tiny"), "pool-*", 1)):
        several = sorted(directory.glob(pattern))
        found += several if len(several) > most else []
    return [str(path) for path in found]


def held_locks() -> list[str]:
    """Locks of the web processes that somebody holds."""
    held = []
    for path in Path("/run").rglob("*web*.lock"):
        with open(path) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(str(path))
    return held


def leftovers(pools: int) -> list[str]:
    """Processes, locks and files that are to be there no more once all is settled."""
    found = processes()
    slots, candidates = masters("[12]"), masters("candidate")
    holders = [process for process in found if process.pid == process.group and "--zerg-pool" in process.line]
    problems = []
    if len(slots) != 1:
        problems.append(f"{len(slots)} sets of web processes: {[process.pid for process in slots]}")
    if candidates:
        problems.append(f"the candidate runs: {[process.pid for process in candidates]}")
    if len(holders) != pools:
        problems.append(f"{len(holders)} pools instead of {pools}: {[process.pid for process in holders]}")
    groups = {process.group for process in (*slots, *candidates, *holders)}
    problems += [
        f"left behind: {process}"
        for process in found
        if re.search(r"uwsgi .*/run/tiny/", process.line) and process.group not in groups
    ]
    problems += [
        f"still runs: {process}"
        for process in found
        if re.search(rf"{CONTROL} (apply|restart|boot|check|ready|become)", process.line)
    ]
    problems += [f"somebody holds {path}" for path in held_locks()]
    return problems + [f"left behind: {path}" for path in temporary()]


def look(config: str, pools: int, journal: str, prefix: str, patience: float = 15) -> dict[str, Any]:
    """What is left behind on the host after some patience, the known-good copies, and the POSTs of a load."""
    deadline = time.monotonic() + patience
    while (problems := leftovers(pools)) and time.monotonic() < deadline:
        time.sleep(0.5)
    names = (
        [name for name in Path(journal).read_text().split() if name.startswith(prefix)]
        if Path(journal).exists()
        else []
    )
    return {"leftovers": problems, "known_good": known_good(config), "names": names}


if __name__ == "__main__":
    arguments = json.loads(sys.argv[2])
    print(json.dumps(hit(**arguments) if sys.argv[1] == "hit" else look(**arguments)))
