"""soak.py MINUTES RATE KEY NAME=PORT=UNIT ...: put a mixed load on Galaxy servers, and tell each minute how much memory they have.

A line of JSON a minute: the MiB (PSS) of the processes of each unit, the requests so far, those that failed, and the
jobs that ended. Runs as the user of the processes, whom alone a container shows their memory.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import sys
import threading
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional

JOB_SECONDS = 60


class Site:
    """One server under load."""

    def __init__(self, name: str, port: str, unit: str, key: str) -> None:
        self.name, self.unit, self.key = name, unit, key
        self.url = f"http://127.0.0.1:{port}"
        self.numbers = {"requests": 0, "failed": 0, "jobs": 0}
        self.lock = threading.Lock()
        self.history = self.ask("/api/histories", {"name": "soak"})["id"]
        self.turns = itertools.cycle(
            [
                "/api/version",
                "/api/tools",
                "/api/histories",
                f"/api/histories/{self.history}/contents",
                "new",
                "/api/users/current",
                "/api/jobs?limit=20",
            ]
        )

    def ask(self, path: str, data: Optional[dict[str, Any]] = None, method: Optional[str] = None) -> Any:
        """Make one request, and count it."""
        body = json.dumps(data).encode() if data is not None else None
        headers = {"x-api-key": self.key, "Content-Type": "application/json"}
        failed = 1
        try:
            request = urllib.request.Request(self.url + path, body, headers, method=method)
            with urllib.request.urlopen(request, timeout=60) as response:
                text = response.read()
            failed = 0
            return json.loads(text or "null")
        finally:
            with self.lock:
                self.numbers["requests"] += 1
                self.numbers["failed"] += failed

    def visit(self) -> None:
        """What comes next of the mixture."""
        path = next(self.turns)
        if path == "new":
            made = self.ask("/api/histories", {"name": "short"})["id"]
            self.ask(f"/api/histories/{made}?purge=true", method="DELETE")
        else:
            self.ask(path)

    def job(self) -> None:
        """An upload and a tool on its dataset."""
        inputs: dict[str, Any] = {
            "files_0|url_paste": "3\n1\n2\n",
            "files_0|type": "upload_dataset",
            "dbkey": "?",
            "file_type": "tabular",
        }
        upload = self.ask(
            "/api/tools",
            {"tool_id": "upload1", "history_id": self.history, "inputs": inputs, "upload_type": "upload_dataset"},
        )
        dataset = {"src": "hda", "id": upload["outputs"][0]["id"]}
        inputs = {"input": dataset, "column": "1", "order": "ASC", "style": "alpha"}
        job = self.ask("/api/tools", {"tool_id": "sort1", "history_id": self.history, "inputs": inputs})["jobs"][0][
            "id"
        ]
        while self.ask(f"/api/jobs/{job}")["state"] not in ("ok", "error", "deleted"):
            time.sleep(3)
        with self.lock:
            self.numbers["jobs"] += 1

    def memory(self) -> float:
        """The MiB of the processes of the unit."""
        found = 0
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                if f"/{self.unit}" in (directory / "cgroup").read_text():
                    match = re.search(r"^Pss:\s+(\d+)", (directory / "smaps_rollup").read_text(), re.MULTILINE)
                    found += int(match[1]) if match else 0
            except OSError:
                continue
        return round(found / 1024, 1)


def quietly(act: Any) -> None:
    """What fails has been counted."""
    with contextlib.suppress(OSError, ValueError, LookupError):
        act()


def main() -> None:
    """Put load on all of them."""
    minutes, rate, key, *sites = sys.argv[1:]
    servers = [Site(name, port, unit, key) for name, port, unit in (site.split("=") for site in sites)]
    end = time.monotonic() + float(minutes) * 60
    pool = ThreadPoolExecutor(24)

    def at_rate(act: Any, seconds: float) -> None:
        due = time.monotonic()
        while due < end:
            pool.submit(quietly, act)
            due += seconds
            time.sleep(max(0, due - time.monotonic()))

    for server in servers:
        threading.Thread(target=at_rate, args=(server.visit, 1 / float(rate)), daemon=True).start()
        threading.Thread(target=at_rate, args=(server.job, JOB_SECONDS), daemon=True).start()
    started = time.monotonic()
    while time.monotonic() < end + 60:
        seen = {server.name: {"mib": server.memory(), **server.numbers} for server in servers}
        print(json.dumps({"minute": round((time.monotonic() - started) / 60, 1), **seen}), flush=True)
        time.sleep(60)


if __name__ == "__main__":
    main()
