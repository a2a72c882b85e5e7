"""The slots of the web processes, which take turns: nobody can know beforehand which of them serves."""

from __future__ import annotations

from typing import Any


def serving(host: Any, instance: str) -> str:
    """The number of the slot that serves."""
    lines = host.run(f"{instance}-web status").stdout.splitlines()
    (name,) = [line.split(":")[0].removesuffix(".service") for line in lines if ": active" in line]
    return str(name[-1])
