"""Run benchmarks: python -m bench [PART ...], all parts unless some are named."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from .host import TOP

sys.path.insert(0, str(TOP / "molecule" / "utils"))
sys.path.insert(0, str(TOP / ".ansible" / "collections"))

from . import deploying, growth, memory, results, service, serving, soak

# Each is run alone too; what an earlier one leaves is used by a later one.
PARTS: dict[str, Any] = {"serving": serving, "deploying": deploying, "growth": growth, "memory": memory, "service": service}
# Takes an hour and a half, so it is run only when it is named.
NAMED: dict[str, Any] = {"soak": soak}


def main() -> None:
    """Run the parts that are named."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, *NAMED, []], metavar="PART", help=", ".join([*PARTS, *NAMED]))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="how long each load of serving lasts")
    parser.add_argument("--keep", action="store_true", help="leave the containers for the next run")
    parser.add_argument("--draw", action="store_true", help="only draw the pictures of the results that are there")
    options = parser.parse_args()
    for part in options.parts or PARTS:
        module = {**PARTS, **NAMED}[part]
        if not options.draw:
            module.run(options.rounds, options.seconds, options.keep)
        found = results.read(part)
        if found:
            results.draw(part, module.picture(found))


if __name__ == "__main__":
    main()
