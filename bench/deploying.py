"""Deploying: what a run of the roles takes, beside a shell script for the same outcome and beside as many tasks that only look."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote_tasks import remote_tasks

from . import results
from .host import APP, PLAYBOOKS, PREFIX, SCRATCH, TOP, AnsibleRun, Host, play, say
from .pictures import Bar, Panel, bars
from .statistics import Goal, ratios, spread

# What a second host could not write in the same way by itself, or writes as it starts, is not a part of the outcome.
_SYSTEM = ("etc/systemd/system/{0}-*", "usr/local/sbin/{0}-*", "usr/local/lib/galaxyops", "etc/{0}", "var/www/{0}")
_NGINX = ("etc/nginx/sites-available/{0}.conf", "etc/nginx/sites-enabled/{0}.conf", "etc/nginx/modules-enabled/90-galaxyops.conf")


@dataclass(frozen=True)
class Case:
    """A site to deploy: the playbook, the script that does the same by hand, and one option to change, both ways."""

    name: str
    title: str
    playbook: Path
    script: str
    instance: str
    config: str
    files: tuple[str, ...]
    packages: str = "nginx python3-packaging python3-venv"

    @property
    def outcome(self) -> list[str]:
        """The files that the roles write, as patterns for tar."""
        return [path.format(self.instance) for path in (*_SYSTEM, *_NGINX)] + list(self.files)


TINY = Case("tiny", "a tiny application", PLAYBOOKS / "one_server.yml", "by_hand.sh", "bench", "/srv/bench/bench.ini", ("srv/bench/bench.ini",))
GALAXY = Case(
    "galaxy",
    "Galaxy 26.1.2",
    TOP / "playbooks" / "site.yml",
    "by_hand_galaxy.sh",
    "galaxy",
    "/srv/galaxy/config/galaxy.ini",
    ("srv/galaxy/config", "srv/galaxy/server", "srv/galaxy/venvs/*.txt", "--no-recursion", "srv/galaxy/database", "srv/galaxy/home", "srv/galaxy/var"),
)


def bare(case: Case) -> str:
    """The image of a host that has all it would download, and nothing of the site."""
    image = f"localhost/{PREFIX}-bench-{case.name}"
    say(f"{case.title}: a bare host that has downloaded what it will need")
    host = Host("bare").start_anew()
    host.shell("apt-get update -q")
    if case is TINY:
        host.prepare_application()
        host.shell("python3 -m venv /root/warm && /root/warm/bin/pip install -q 'pyuwsgi>=2.0.28,<2.1' && rm -r /root/warm")
    host.shell(f"apt-get install -q -y --download-only {case.packages}")
    host.keep_as(image)
    host.remove()
    return image


def deployed(case: Case) -> Host:
    """A host with the site, the one that an earlier part has left if there is one."""
    host = Host(case.name)
    if not host.exists():
        host = Host(case.name, bare(case)).start_anew()
        say(f"{case.title}: deploy it")
    host.start()
    play(case.playbook, [host], {})
    return host


def by_hand(case: Case, image: str, archive: Path) -> float:
    """The seconds that the script takes on a bare host."""
    host = Host("script", image).start_anew()
    subprocess.run(["podman", "cp", archive, f"{host.name}:/root/outcome.tar"], check=True, stdout=subprocess.DEVNULL)
    host.put("/root/by_hand.sh", (APP / case.script).read_text())
    started = time.monotonic()
    host.run("sh", "/root/by_hand.sh")
    seconds = time.monotonic() - started
    host.remove()
    return seconds


def looks(host: Host, number: int) -> AnsibleRun:
    """A run of so many tasks that only look at a file."""
    tasks = [{"name": f"Look {task}", "ansible.builtin.stat": {"path": "/etc/hostname"}} for task in range(number)]
    playbook = SCRATCH / "looks.yml"
    playbook.write_text(json.dumps([{"name": "Only look", "hosts": "galaxyservers", "gather_facts": False, "tasks": tasks}]))
    return play(playbook, [host], {})


def split(runs: Sequence[AnsibleRun]) -> dict[str, float]:
    """The median seconds of each role."""
    roles = sorted({role for run in runs for role in run.by_role()})
    return {role: round(spread(run.by_role().get(role, 0) for run in runs).median, 1) for role in roles}


def compared(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """The seconds of both, and how many times as long ours takes."""
    return {"roles": spread(ours).as_dict(), "beside": spread(theirs).as_dict(), "ratio": ratios(ours, theirs).as_dict()}


def measure(case: Case, first_rounds: int, rounds: int, change_rounds: int) -> tuple[dict[str, Any], Host]:
    """Deploy a site on bare hosts, then again and again on the last of them; without first rounds, on one that has the site."""
    found: dict[str, Any] = {}
    if first_rounds:
        found["first"], host = measure_first(case, first_rounds)
    else:
        host = deployed(case)
    return {**found, **measure_later(case, host, rounds, change_rounds)}, host


def measure_first(case: Case, first_rounds: int) -> tuple[dict[str, Any], Host]:
    """Deploy a site on bare hosts, by the roles and by hand in turn."""
    image = bare(case)
    archive = SCRATCH / f"{case.name}.tar"
    host = Host(case.name, image)
    first: list[AnsibleRun] = []
    scripts: list[float] = []
    for number in range(first_rounds):
        say(f"{case.title}: first run {number + 1} of {first_rounds}")
        host.start_anew()
        first.append(play(case.playbook, [host], {}))
        host.pack(archive, case.outcome)
        scripts.append(by_hand(case, image, archive))
    tasks = remote_tasks(first[-1].report)
    return {"tasks": len(tasks), **compared([run.seconds for run in first], scripts), "by_role": split(first)}, host


def measure_later(case: Case, host: Host, rounds: int, change_rounds: int) -> dict[str, Any]:
    """Run the playbook with nothing to do and with one option changed, again and again."""
    nothing: list[AnsibleRun] = []
    looking: list[float] = []
    changes: list[AnsibleRun] = []
    by_script: list[float] = []
    for number in range(rounds):
        say(f"{case.title}: later runs {number + 1} of {rounds}")
        nothing.append(play(case.playbook, [host], {}))
        if nothing[-1].changed:
            raise RuntimeError(f"a run with nothing to do has changed something: {nothing[-1].report['stats']}")
        looking.append(looks(host, len(remote_tasks(nothing[-1].report))).seconds)
        if number >= change_rounds:
            continue
        changes.append(play(case.playbook, [host], {"uwsgi_threads": 5}))
        started = time.monotonic()
        host.shell(f"sed -i 's/^threads = 5/threads = 4/' {case.config} && /usr/local/sbin/{case.instance}-web restart >/dev/null")
        by_script.append(time.monotonic() - started)
    tasks = remote_tasks(nothing[-1].report)
    return {
        "nothing": {"tasks": len(tasks), "names": tasks, **compared([run.seconds for run in nothing], looking), "by_role": split(nothing)},
        "change": {
            "tasks": len(remote_tasks(changes[-1].report)),
            **compared([run.seconds for run in changes], by_script),
            "by_role": split(changes),
        },
    }


def goals(found: dict[str, Any]) -> list[Goal]:
    """What is asked of a full site."""
    full = found.get("galaxy")
    if full is None:
        return []
    wanted = [
        Goal("Galaxy: remote tasks of a run with nothing to do", full["nothing"]["tasks"], at_most=12),
        Goal("Galaxy: such a run, in runs of as many stat tasks", full["nothing"]["ratio"]["median"], at_most=1.3),
    ]
    if "first" in full:
        wanted.append(Goal("Galaxy: the first run, in runs of a shell script", full["first"]["ratio"]["median"], at_most=1.25))
    return wanted


def picture(result: dict[str, Any]) -> str:
    """The seconds of each run beside what it is compared with."""
    runs = {
        "first": ("first run", "the same by a shell script"),
        "nothing": ("nothing to do", "as many stat tasks"),
        "change": ("one changed option", "the same by hand"),
    }
    panels = []
    for name, title in result["cases"].items():
        for run, (ours, beside) in runs.items():
            numbers = result["found"][name].get(run)
            if not numbers:
                continue
            panel = Panel(f"{title}: {ours}", "s")
            note = f"{numbers['tasks']} remote tasks; {numbers['ratio']['median']:g} times as long"
            panel.bars.append(Bar.of("the roles", numbers["roles"], note, ours=True))
            panel.bars.append(Bar.of(beside, numbers["beside"]))
            panels.append(panel)
    return bars("Deploying", "seconds; bars: median of the rounds; lines: least to greatest", panels, result)


def run(rounds: int, seconds: int, keep: bool) -> None:
    """Measure, and keep what was found."""
    machine = results.machine()
    found = {}
    # A first run of Galaxy takes minutes, and a handover to other options one: their numbers are of fewer rounds.
    for case, first_rounds, change_rounds in ((TINY, rounds, rounds), (GALAXY, 1, 2)):
        found[case.name], host = measure(case, first_rounds, rounds, change_rounds)
        if not keep:
            host.remove()
        # What has been found stays, whatever becomes of the next.
        cases = {case.name: case.title for case in (TINY, GALAXY) if case.name in found}
        results.write("deploying", {"machine": machine, "rounds": rounds, "cases": cases, "found": found}, goals(found))
