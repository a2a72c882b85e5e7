"""What is made of the numbers of several rounds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, between their least and their greatest."""

    median: float
    least: float
    greatest: float
    rounds: int

    def as_dict(self) -> dict[str, float]:
        """As it stands in the results."""
        return {"median": rounded(self.median), "min": rounded(self.least), "max": rounded(self.greatest), "rounds": self.rounds}


def rounded(number: float) -> float:
    """A number without the digits that mean nothing: three that count, or all before the point."""
    return round(number) if abs(number) >= 1000 else float(f"{number:.3g}")


def spread(values: Iterable[float]) -> Spread:
    """The spread of at least one value."""
    numbers = sorted(values)
    return Spread(statistics.median(numbers), numbers[0], numbers[-1], len(numbers))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """How many times as much as theirs ours is: each round is compared with itself, for the machine may change between rounds."""
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} rounds cannot be compared with {len(theirs)}")
    return spread(mine / other for mine, other in zip(ours, theirs))


def rotated(items: Sequence[Any], round_number: int) -> list[Any]:
    """The order of a round: each begins with another one, so that what comes first or last is a different one each time."""
    start = round_number % len(items)
    return [*items[start:], *items[:start]]


@dataclass(frozen=True)
class Goal:
    """Something that was to be reached, and what was reached."""

    what: str
    reached: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        """Whether it was."""
        return (self.at_least is None or self.reached >= self.at_least) and (self.at_most is None or self.reached <= self.at_most)

    def as_dict(self) -> dict[str, Any]:
        """As it stands in the results."""
        limits = {"at_least": self.at_least, "at_most": self.at_most}
        return {"what": self.what, "reached": rounded(self.reached), **{name: value for name, value in limits.items() if value is not None}, "met": self.met}
