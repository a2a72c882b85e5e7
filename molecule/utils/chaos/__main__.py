"""Deploy the tiny application on a host of its own, and carry out a schedule: python -m chaos --seed 1 --steps 20."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

from .faults import START_TIMEOUT
from .machine import Failure, Machine
from .run import run
from .schedule import MANAGERS, schedule, span

TOP = Path(__file__).resolve().parents[3]
TINY = TOP / "molecule" / "tiny"
SCRATCH = TOP / "build" / "chaos"


def say(text: str) -> None:
    """Report at once, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def inventory(container: str, manager: str) -> Path:
    """Write an inventory of the host, with the variables that the scenario of the tiny application has."""
    variables = yaml.safe_load((TINY / "hosts.yml").read_text())["molecule"]["vars"]
    connection = yaml.safe_load(
        (TOP / "molecule" / "inventory" / "group_vars" / "molecule" / "connection.yml").read_text()
    )
    variables.update(
        connection, ansible_host=container, uwsgi_service_manager=manager, uwsgi_start_timeout=START_TIMEOUT
    )
    SCRATCH.mkdir(parents=True, exist_ok=True)
    path = SCRATCH / f"{manager}.json"
    path.write_text(json.dumps({"molecule": {"hosts": {manager: variables}}}))
    return path


def deploy(container: str, manager: str, release: str) -> None:
    """Start the host, and have the roles deploy the application there."""
    say(f"{container}: deploy the tiny application with {manager}, {release}")
    subprocess.run([TOP / "containers" / "start", container, release], check=True)
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"),
        "MOLECULE_PROJECT_DIRECTORY": str(TOP),
    }
    for playbook in ("prepare.yml", "converge.yml"):
        command = ["ansible-playbook", "--inventory", str(inventory(container, manager)), str(TINY / playbook)]
        process = subprocess.run(command, cwd=TOP, env=environment, capture_output=True, text=True, check=False)
        if process.returncode:
            raise Failure(f"{playbook}: {process.stdout[-4000:]}{process.stderr[-2000:]}")


def chaos(seed: int, steps: tuple[int, int], manager: str, release: str, keep: bool) -> int:
    """Carry out the schedule of a seed, and return how many steps broke something."""
    container = f"{os.environ.get('CONTAINER_PREFIX', 'galaxyops')}-chaos-{manager}"
    planned = schedule(seed, steps[1], manager, steps[0])
    deploy(container, manager, release)
    machine = Machine(container, manager)
    machine.prepare()
    broke = run(machine, planned, say)
    for step in broke:
        say(f"violated by {step}: make chaos SEED={seed} STEPS={step.number}-{step.number} MANAGER={manager}")
        say(f"    or with all steps before it: make chaos SEED={seed} STEPS={step.number} MANAGER={manager}")
    say(f"{manager}, seed {seed}: {len(planned)} steps, {len(broke)} of them violated something")
    if not keep:
        subprocess.run(["podman", "rm", "--force", "--time", "0", container], check=True, stdout=subprocess.DEVNULL)
    return len(broke)


def main() -> int:
    """Read the command line, and carry it out."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument(
        "--steps", default="20", help="so many, or the numbers of the first and the last one, such as 7-9"
    )
    parser.add_argument(
        "--manager", choices=MANAGERS, help="the service manager; both, one after the other, unless it is given"
    )
    parser.add_argument("--release", default="bookworm", help="of Debian")
    parser.add_argument("--keep", action="store_true", help="leave the container")
    options = parser.parse_args()
    steps = span(options.steps)
    if not steps:
        parser.error(f"--steps {options.steps}: write how many, such as 20, or the first and the last one, such as 7-9")
    managers = [options.manager] if options.manager else MANAGERS
    try:
        return 1 if sum(chaos(options.seed, steps, manager, options.release, options.keep) for manager in managers) else 0
    except (Failure, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
