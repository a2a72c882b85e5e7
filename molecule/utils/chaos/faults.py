"""The faults: what each does to the host, which versions may serve after it, and which requests it may lose."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from typing import Callable, Optional

from load import Load

from .machine import APPLY, HERE, NEEDED, SMALL_RUN, SMALL_STATE, Hit, Machine, Result
from .schedule import BROKEN, Step

# A killed process loses the requests of its workers: three workers of four threads at most, as the hosts are deployed.
UNDER_WAY = 12

# What was on its way to a process in the moment in which that was killed.
AROUND = 1.0


# A version that does not become healthy is given up after this time, as the hosts are deployed.
START_TIMEOUT = 15


@dataclass
class Loss:
    """Requests that may fail: those that were under way between two times, and so many of them."""

    since: float
    until: Optional[float]  # None: until the site serves again
    most: Optional[int] = None


@dataclass
class Outcome:
    """What a fault has come to."""

    versions: list[str]  # those that may serve now
    meanwhile: str = ""  # one that may answer until it has failed its health check, because nothing else runs
    results: dict[str, Result] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    arrives: str = ""  # the version that has to serve in the end
    patience: float = 0.0  # for what takes longer than a start
    waited: Optional[float] = None  # the seconds until one of them served
    hits: list[Hit] = field(default_factory=list)


Fault = Callable[[Machine, Step, Outcome, Load], None]
FAULTS: dict[str, Fault] = {}


def fault(function: Fault) -> Fault:
    """Enter a fault under its name."""
    FAULTS[function.__name__.rstrip("_")] = function
    return function


def versions(step: Step) -> tuple[str, str]:
    """The version that a step writes, and the good one that it may write after that."""
    good = f"v{step.number}"
    return (good if step.change == "good" else f"{good}-{step.change}"), good


def write(machine: Machine, step: Step, outcome: Outcome) -> str:
    """Write the change of a step, if it has one, and return its version.

    A service manager starts the configuration on disk without a candidate: that slot has the socket at once.
    """
    version, _good = versions(step)
    if step.change == "unhealthy" and (step.fault in ("die", "reboot", "power") or step.who == "master"):
        outcome.meanwhile = version
        outcome.patience += START_TIMEOUT
    if not step.change:
        return ""
    machine.write(step.change, version)
    if step.change == "good":
        outcome.versions.append(version)
    return version


def lose(step: Step, outcome: Outcome, hit: Hit) -> None:
    """Expect a process that was killed to lose what was under way.

    uWSGI starts a new worker, which loads the configuration on disk. If the configuration is broken, uWSGI ends the
    other workers too. The workers of the next start may have taken requests before the files come back.
    """
    if step.change in BROKEN:
        outcome.losses.append(Loss(hit.since - AROUND, None, 2 * UNDER_WAY))
    else:
        outcome.losses.append(Loss(hit.since - AROUND, hit.until + AROUND, UNDER_WAY))


def begin(machine: Machine, step: Step, outcome: Outcome) -> str:
    """Write the change of a step, and begin to apply it."""
    version = write(machine, step, outcome)
    machine.command("one", APPLY)
    return version


def end(machine: Machine, outcome: Outcome) -> Result:
    """Wait for the end of what begin() began."""
    outcome.results["one"] = machine.finish("one")
    return outcome.results["one"]


def strike(machine: Machine, step: Step, outcome: Outcome, *signals: str, pause: float = 0) -> Hit:
    """Send signals to the participant of a step, in the part of a replacement that the step names."""
    if "KILL" in signals and step.who == "master":
        # One that ends within its first minutes was a failed replacement.
        outcome.versions += machine.previous_version()
    hit = machine.hit(
        step.who, *signals, command="one" if step.word else "", word=step.word, delay=step.delay, pause=pause
    )
    outcome.hits.append(hit)
    return hit


@fault
def apply(machine: Machine, step: Step, outcome: Outcome, load: Load) -> None:
    """Apply a change, and no more."""
    version = begin(machine, step, outcome)
    result = end(machine, outcome)
    outcome.arrives = version if step.change == "good" else outcome.versions[0]
    if step.change == "good" and result.code != 0:
        raise AssertionError("a good change was refused")
    if step.change != "good" and result.code == 0:
        raise AssertionError("a broken change was not refused")


@fault
def kill(machine: Machine, step: Step, outcome: Outcome, load: Load) -> None:
    """Kill a participant of a replacement."""
    version = begin(machine, step, outcome)
    hit = strike(machine, step, outcome, "KILL")
    end(machine, outcome)
    if step.change == "unhealthy" and step.who in ("worker", "workers"):
        # A new worker of the slot that serves loads what is on disk, and this change loads.
        outcome.meanwhile = version
    if step.who in ("master", "worker", "workers", "slot"):
        # The slot that starts takes requests as soon as it can, which is before it has proved itself.
        lose(step, outcome, hit)
    elif step.change == "good" and step.who in ("command", "supervisord", "pool"):
        outcome.arrives = version


@fault
def reexec(machine: Machine, step: Step, outcome: Outcome, load: Load) -> None:
    """Have systemd start itself anew, as an upgrade of libc does."""
    outcome.arrives = begin(machine, step, outcome)
    machine.on_host("hit", who="command", signals=[], command="one", word=step.word, delay=step.delay)
    machine.shell("systemctl daemon-reexec", check=False)
    if end(machine, outcome).code != 0:
        raise AssertionError("a good change was refused")


@fault
def die(machine: Machine, step: Step, outcome: Outcome, load: Load) -> None:
    """Kill what serves after a change was written that nobody has applied."""
    write(machine, step, outcome)
    lose(step, outcome, strike(machine, step, outcome, "KILL"))


@fault
def reader(machine: Machine, step: Step, outcome: Outcome, load: Load) -> None:
    """End who reads what the command says, as when the connection of the controller is cut."""
    version = write(machine, step, outcome)
    readers = {"head": "head -n 1", "killed": f"timeout -s KILL {step.seconds} cat"}
    if step.who == "client":
        client = subprocess.Popen(
            ["podman", "exec", machine.container, "bash", "-c", f"cd {HERE}; rm -f one.*; {APPLY}; echo $? > one.rc"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        time.sleep(step.seconds)
        client.kill()
        client.communicate()
    else:
        machine.command("one", f"bash -c 'set -o pipefail; {APPLY} 2>&1 | {readers[step.who]}'")
    # How it ended is nobody's to see.
    machine.finish("one")
    machine.shell(
        "for i in $(seq 300); do pgrep -f 'control tiny web (apply|restart)' >/dev/null || break; sleep 0.2; done"
    )
    if step.change == "good":
        outcome.arrives = version


@fault
def full(machine: Machine, step: Step, outcome: Outcome, load: Load) -> None:
    """Have no room on a disk while a change is applied."""
    machine.mount(SMALL_STATE if step.who == "state" else SMALL_RUN)
    try:
        begin(machine, step, outcome)
        result = end(machine, outcome)
    finally:
        machine.heal()
    if step.change == "good":
        if result.code not in (None, 0) and "No space left" not in result.said:
            raise AssertionError("the message does not say that there is no space left")
    elif machine.version_on_disk() != outcome.versions[0]:
        raise AssertionError("a broken change was not put back, because there was no space left")
    # There may be too little room to try it at all.
    elif "did not start" not in result.said and "No space left" not in result.said:
        raise AssertionError("the message does not say what was wrong")


@fault
def freeze(machine: Machine, step: Step, outcome: Outcome, load: Load) -> None:
    """Stop what serves for a while, and let it go on."""
    if step.change:
        outcome.arrives = begin(machine, step, outcome)
    strike(machine, step, outcome, "STOP", "CONT", pause=step.seconds)
    if step.change:
        end(machine, outcome)


@fault
def reboot(machine: Machine, step: Step, outcome: Outcome, load: Load) -> None:
    """Boot in good order, after a change was written that nobody has applied."""
    write(machine, step, outcome)
    since = time.time()
    machine.podman("restart", "--time", "20", machine.container)
    booted(machine, outcome, load, since)


@fault
def power(machine: Machine, step: Step, outcome: Outcome, load: Load) -> None:
    """Cut the power, after a change was written that nobody has applied or while it is applied."""
    if step.word:
        begin(machine, step, outcome)
        machine.on_host("hit", who="command", signals=[], command="one", word=step.word, delay=step.delay)
    else:
        write(machine, step, outcome)
    cut(machine, outcome, load)


def cut(machine: Machine, outcome: Outcome, load: Load) -> None:
    """End everything at once, and boot."""
    since = time.time()
    machine.podman("kill", "--signal", "KILL", machine.container)
    machine.podman("wait", machine.container)
    machine.podman("start", machine.container)
    booted(machine, outcome, load, since)


def booted(machine: Machine, outcome: Outcome, load: Load, since: float) -> None:
    """Find the host again after it has booted."""
    machine.wait_for_systemd()
    load.follow(machine.url)
    outcome.losses.append(Loss(since, None))
    outcome.patience += 30


@fault
def missing(machine: Machine, step: Step, outcome: Outcome, load: Load) -> None:
    """Take away for a while what the application needs to start: at boot, after a kill, or during a change."""
    version = write(machine, step, outcome)
    machine.shell(f"mv {NEEDED} {NEEDED}.away")
    if step.who == "boot":
        cut(machine, outcome, load)
    elif step.who == "master":
        lose(step, outcome, strike(machine, step, outcome, "KILL"))
    else:
        machine.command("one", APPLY)
    time.sleep(step.seconds)
    if step.who != "command":
        # One worker of a start may have found nothing, which makes uWSGI end all of them, and the next one something.
        outcome.losses.append(Loss(time.time() - AROUND, None, UNDER_WAY))
    machine.shell(f"mv {NEEDED}.away {NEEDED}")
    if step.who == "command":
        result = end(machine, outcome)
        if version and result.code == 0:
            outcome.arrives = version
    else:
        # Who has waited longer is asked less often.
        outcome.patience += step.seconds


@fault
def two(machine: Machine, step: Step, outcome: Outcome, load: Load) -> None:
    """One controller applies a broken change, and another one writes a good one meanwhile and applies that."""
    begin(machine, step, outcome)
    machine.on_host("hit", who="command", signals=[], command="one", word=step.word, delay=step.delay)
    _version, good = versions(step)
    machine.write("good", good)
    outcome.versions.append(good)
    machine.command("two", APPLY)
    end(machine, outcome)
    outcome.results["two"] = machine.finish("two")
    if outcome.results["two"].code == 0:
        outcome.arrives = good
