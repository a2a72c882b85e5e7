"""watch.py USER COMMAND ...: run a command, and tell as JSON how much memory the processes of a user have meanwhile.

Counted is what they have together (PSS): what several share, once. Each line that the command writes is told with its time.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pwd
import re
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

HANDLER = b"galaxy-main"


def memory(uid: int) -> dict[str, float]:
    """The MiB that the processes of a user have, those of job handlers apart."""
    found = {"web": 0, "handlers": 0}
    for directory in Path("/proc").iterdir():
        try:
            if directory.name.isdigit() and directory.stat().st_uid == uid:
                kind = "handlers" if HANDLER in (directory / "cmdline").read_bytes() else "web"
                found[kind] += int(re.search(r"^Pss:\s+(\d+)", (directory / "smaps_rollup").read_text(), re.MULTILINE)[1])  # type: ignore[index]
        # One that is not yet, or no longer, of the user
        except (FileNotFoundError, PermissionError, ProcessLookupError, TypeError):
            continue
    return {kind: round(kibibytes / 1024, 1) for kind, kibibytes in found.items()}


def sample(account: pwd.struct_passwd, results: Connection, over: Event) -> None:
    """Look again and again; as the user, whose processes nobody else may look into in a container."""
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    seen = [memory(account.pw_uid)]
    results.send(seen[0])
    took = 0.0
    # The kernel walks through all their memory each time. Most of the time is left to what is measured.
    while not over.wait(max(0.2, 10 * took)):
        started = time.thread_time()
        seen.append(memory(account.pw_uid))
        took = time.thread_time() - started
    time.sleep(1)
    results.send([{kind: max(moment[kind] for moment in seen) for kind in seen[0]}, memory(account.pw_uid)])


def main() -> None:
    """Watch while the command runs."""
    over = multiprocessing.Event()
    results, theirs = multiprocessing.Pipe()
    multiprocessing.Process(target=sample, args=(pwd.getpwnam(sys.argv[1]), theirs, over)).start()
    # Only the sampler has it now: where that dies, nobody waits for it.
    theirs.close()
    before = results.recv()
    started = time.monotonic()
    lines = []
    with subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            lines.append([round(time.monotonic() - started, 2), line.strip()])
    seconds = round(time.monotonic() - started, 2)
    over.set()
    most, after = results.recv()
    print(json.dumps({"before": before, "most": most, "after": after, "seconds": seconds, "lines": lines, "status": process.returncode}))


if __name__ == "__main__":
    main()
