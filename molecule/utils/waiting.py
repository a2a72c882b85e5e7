"""Waiting for what comes about by itself."""

from __future__ import annotations

import time
from typing import Callable


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(1)
