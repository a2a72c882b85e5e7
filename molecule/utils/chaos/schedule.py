"""Which fault comes when: the same seed gives the same schedule, and a longer schedule begins with the shorter one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import islice
from typing import Optional

MANAGERS = ("systemd", "supervisor")

# What can be wrong with a change: it does not start, or it starts and does not become healthy.
BROKEN = ("factory", "module", "syntax", "unhealthy")
ANY = ("good", *BROKEN)

# What the command says as each part of a replacement begins.
WORDS = ("prove", "start", "stop")


@dataclass(frozen=True)
class Step:
    """One fault, and the change that is written before it."""

    number: int
    fault: str
    change: str = ""  # good, one of BROKEN, or none
    who: str = ""  # the participant that the fault hits
    word: str = ""  # the part of a replacement in which it comes
    delay: float = 0.0  # so long after that part has begun
    seconds: float = 0.0  # how long the fault lasts

    def __str__(self) -> str:
        """The step in one line."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        number, fault = values.pop("number"), values.pop("fault")
        return f"{number}. {fault}" + "".join(f", {name} {value}" for name, value in values.items() if value)


@dataclass(frozen=True)
class Card:
    """A fault, and what may be drawn for it."""

    fault: str
    changes: tuple[str, ...] = ("",)
    who: tuple[str, ...] = ("",)
    words: tuple[str, ...] = ("",)
    delay: float = 0.0  # at most
    seconds: tuple[float, float] = (0.0, 0.0)  # at least, at most
    manager: str = ""  # the only one that knows this fault

    def draw(self, number: int, chance: random.Random) -> Step:
        """Choose by chance what the card leaves open."""
        change, who, word = chance.choice(self.changes), chance.choice(self.who), chance.choice(self.words)
        delay = round(chance.uniform(0, self.delay), 2)
        if change in BROKEN and word:
            word = WORDS[0]  # It comes no further.
        return Step(number, self.fault, change, who, word, delay, round(chance.uniform(*self.seconds), 1))


CARDS = (
    Card("apply", ("good",)),
    Card("apply", BROKEN),
    Card("kill", ("good",), ("command",), WORDS, delay=2),
    Card("kill", ANY, ("command",), WORDS, delay=2),
    Card("kill", ANY, ("candidate",), ("prove",), delay=1.5),
    Card("kill", ("good",), ("slot",), ("start",), delay=2),
    Card("kill", ANY, ("prover",), ("prove", "start"), delay=1),
    Card("kill", ANY, ("starter",), ("prove", "start"), delay=1),
    Card("kill", ANY, ("master",), WORDS, delay=2),
    Card("kill", ANY, ("worker", "workers"), WORDS, delay=2),
    Card("kill", ("good",), ("pool",), WORDS, delay=2, manager="supervisor"),
    Card("kill", ("good",), ("supervisord",), WORDS, delay=2, manager="supervisor"),
    Card("reexec", ("good",), words=WORDS, delay=2, manager="systemd"),
    # The change is written, and nobody applies it.
    Card("die", BROKEN, ("master",)),
    Card("die", ("", "good"), ("master", "worker", "workers")),
    Card("reader", ("good",), ("head", "killed", "client"), seconds=(0.3, 3)),
    Card("reader", ANY, ("head", "killed", "client"), seconds=(0.3, 3)),
    Card("full", ("good",), ("state", "run")),
    Card("full", BROKEN, ("state", "run")),
    Card("freeze", ("", "good"), ("master", "workers"), seconds=(1, 2.5)),
    Card("reboot", ("", *ANY)),
    Card("power", ("", "good", *BROKEN)),
    Card("power", ANY, ("command",), WORDS, delay=2),
    Card("missing", ("",), ("boot", "master"), seconds=(4, 15)),
    Card("missing", ("good",), ("command",), seconds=(3, 6)),
    Card("two", BROKEN, words=("prove",), delay=1.5),
)


def steps(seed: int, manager: str) -> Iterator[Step]:
    """Draw steps without end: every fault comes once before any comes again."""
    chance = random.Random(seed)
    number = 0
    while True:
        deck = [card for card in CARDS if card.manager in ("", manager)]
        chance.shuffle(deck)
        for card in deck:
            number += 1
            yield card.draw(number, chance)


def schedule(seed: int, count: int, manager: str, first: int = 1) -> list[Step]:
    """The steps of a seed up to that number, from the first one asked for."""
    return list(islice(steps(seed, manager), first - 1, count))


def span(text: str) -> Optional[tuple[int, int]]:
    """The first and last step that C(20), which is 1 to 20, or C(7-20) means; None when it means none."""
    first, dash, last = text.rpartition("-")
    if not last.isdigit() or (dash and not first.isdigit()):
        return None
    numbers = (int(first) if dash else 1, int(last))
    return numbers if 1 <= numbers[0] <= numbers[1] else None
