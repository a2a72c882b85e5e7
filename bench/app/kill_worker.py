"""kill_worker.py INSTANCE URL: kill the only worker of an instance, and print the seconds until the next answer.

The request waits in the socket of the instance, as those of clients would.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.request
from pathlib import Path


def only_worker(instance: str) -> int:
    """The worker of the slot that serves, whose master is recorded in its directory."""
    for slot in Path("/run", instance).glob("web-[12]"):
        master = json.loads((slot / "pid").read_text())["pid"]
        (worker,) = map(int, Path(f"/proc/{master}/task/{master}/children").read_text().split())
        return worker
    raise SystemExit(f"no slot of {instance} serves")


def main() -> None:
    """Kill the worker and wait for the one in its place."""
    worker = only_worker(sys.argv[1])
    started = time.monotonic()
    os.kill(worker, signal.SIGKILL)
    with urllib.request.urlopen(sys.argv[2], timeout=300) as response:
        response.read()
    print(round(time.monotonic() - started, 3))
    if only_worker(sys.argv[1]) == worker:
        raise SystemExit("the worker that was killed still serves")


if __name__ == "__main__":
    main()
