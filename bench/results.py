"""The results: what was measured, when and on which machine."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .host import TOP
from .statistics import Goal

RESULTS = TOP / "bench" / "results"


def machine() -> dict[str, Any]:
    """The machine, and how much else it had to do when the measuring began."""
    cpu = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "cpu": cpu,
        "memory_gib": round(memory / 2**30),
        "kernel": platform.release().partition("-")[0],
        "load": [round(number, 2) for number in os.getloadavg()],
    }


def write(part: str, data: dict[str, Any], goals: Iterable[Goal]) -> dict[str, Any]:
    """Keep what a part has found, and say which goals it has reached."""
    result = {"date": time.strftime("%Y-%m-%d"), **data, "goals": [goal.as_dict() for goal in goals]}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{part}.json").write_text(json.dumps(result, indent=1) + "\n")
    for goal in result["goals"]:
        limits = " and ".join(f"{name.replace('_', ' ')} {goal[name]:g}" for name in ("at_least", "at_most") if name in goal)
        print(f"{'met   ' if goal['met'] else 'MISSED'} {goal['what']}: {goal['reached']:g}, {limits}", flush=True)
    return result


def read(part: str) -> dict[str, Any] | None:
    """What a part has found when it was run last."""
    path = RESULTS / f"{part}.json"
    if not path.exists():
        return None
    data: dict[str, Any] = json.loads(path.read_text())
    return data


def draw(name: str, picture: str) -> None:
    """Keep a picture."""
    (RESULTS / f"{name}.svg").write_text(picture)
