#!/usr/bin/python3
"""watch.py USER COMMAND ...: run a command, and tell as JSON how much memory the processes of a user have meanwhile.

Counted is what they have together (PSS): what several share, once. Each line that the command writes is told with its time.
"""

from __future__ import annotations

import json
import pwd
import re
import subprocess
import sys
import threading
import time
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
        except (FileNotFoundError, ProcessLookupError, TypeError):
            continue
    return {kind: round(kibibytes / 1024, 1) for kind, kibibytes in found.items()}


def main() -> None:
    """Watch while the command runs."""
    uid = pwd.getpwnam(sys.argv[1]).pw_uid
    before = memory(uid)
    seen = [before]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            seen.append(memory(uid))

    thread = threading.Thread(target=watch)
    thread.start()
    started = time.monotonic()
    lines = []
    with subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            lines.append([round(time.monotonic() - started, 2), line.strip()])
    seconds = round(time.monotonic() - started, 2)
    over.set()
    thread.join()
    time.sleep(1)
    most = {kind: max(moment[kind] for moment in seen) for kind in before}
    print(json.dumps({"before": before, "most": most, "after": memory(uid), "seconds": seconds, "lines": lines, "status": process.returncode}))


if __name__ == "__main__":
    main()
