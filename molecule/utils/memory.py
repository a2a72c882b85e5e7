"""How much memory the web processes have together while something happens."""

from __future__ import annotations

import re
import threading
from types import TracebackType
from typing import Any, Optional


class MemoryWatch:
    """Ask again and again, from another thread, what the command on the host says of all slots and the candidate."""

    def __init__(self, host: Any, instance: str) -> None:
        self.host = host
        self.instance = instance
        self.seen = [self.now()]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def now(self) -> int:
        """The memory of the web processes in MiB."""
        return sum(map(int, re.findall(r"(?:active|starting), pid \d+, (\d+) MiB", self.host.run(f"{self.instance}-web status").stdout)))

    def _watch(self) -> None:
        # Asking is work for the host too.
        while not self._ended.wait(5):
            self.seen.append(self.now())

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self._ended.set()
        self._thread.join()

    def __str__(self) -> str:
        return f"memory of the web processes: {self.seen[0]} MiB before, {max(self.seen)} MiB at most, {self.seen[-1]} MiB after"
