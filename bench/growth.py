"""Growth: what one more server on a host takes, one more host, and large files through the modules."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remote_tasks import remote_tasks

from . import results
from .deploying import TINY, bare
from .host import PLAYBOOKS, AnsibleRun, Host, play, say
from .pictures import Bar, Panel, bars
from .statistics import Goal, spread

SIZES = (1, 2, 4, 8)
KINDS = {"instances": "servers on one host", "hosts": "hosts"}
LINES = 10_000
HANDLERS = 1_000


def module_seconds(module: Any, arguments: dict[str, Any]) -> float:
    """The seconds that a module takes from the arguments to the result, with what Ansible's own code for modules takes of them."""
    from ansible.module_utils.testing import patch_module_args

    with patch_module_args(arguments), contextlib.redirect_stdout(io.StringIO()) as output:
        started = time.perf_counter()
        with contextlib.suppress(SystemExit):
            module.main()
        seconds = time.perf_counter() - started
    result = json.loads(output.getvalue())
    if result.get("failed"):
        raise RuntimeError(result["msg"])
    return seconds


def large_ini(lines: int) -> str:
    """A galaxy.ini of so many lines, written as Galaxy's sample is."""
    options = "".join(f"# What option{number} does.\n#option{number} = no\noption{number} = yes\n\n" for number in range((lines - 4) // 4))
    return f"[app:main]\npaste.app_factory = galaxy.web.buildapp:app_factory\n{options}[uwsgi]\nmaster = true\n"


def modules(rounds: int) -> dict[str, Any]:
    """A large galaxy.ini and large job configurations, changed and found as they are to be."""
    from ansible_collections.galaxyops.uwsgi.plugins.modules import job_conf_handlers, paste_section

    def wanted(path: Path, number: int) -> dict[str, Any]:
        handlers = [{"id": f"handler{handler}", "tags": ["handlers"]} for handler in range(number)]
        return {"path": str(path), "handlers": handlers, "assign_with": ["db-skip-locked"], "default": "handlers", "purge": True}

    found: dict[str, list[float]] = {}

    def note(name: str, module: Any, arguments: dict[str, Any]) -> None:
        found.setdefault(name, []).append(1000 * module_seconds(module, arguments))

    with tempfile.TemporaryDirectory() as directory:
        for number in range(rounds + 1):
            if number == 1:
                found.clear()  # the first round loads what the others use
            ini = Path(directory, "galaxy.ini")
            ini.write_text(large_ini(LINES))
            section = {"path": str(ini), "section": "uwsgi", "options": {f"option{option}": number for option in range(20)}}
            note(f"paste_section, {LINES:,} lines: change", paste_section, section)
            note(f"paste_section, {LINES:,} lines: nothing to do", paste_section, section)
            for suffix in ("xml", "yml"):
                path = Path(directory, f"job_conf.{suffix}")
                path.unlink(missing_ok=True)
                title = f"job_conf_handlers, {suffix}, {HANDLERS:,} handlers"
                note(f"{title}: create", job_conf_handlers, wanted(path, HANDLERS))
                note(f"{title}: nothing to do", job_conf_handlers, wanted(path, HANDLERS))
                note(f"{title}: one more", job_conf_handlers, wanted(path, HANDLERS + 1))
    return {name: spread(values).as_dict() for name, values in found.items()}


def grown(rounds: int, deploy: Callable[[int], AnsibleRun]) -> dict[str, Any]:
    """Deploy more and more; then, again and again, find each size as it is to be."""
    first: dict[int, AnsibleRun] = {}
    later: dict[int, list[AnsibleRun]] = {size: [] for size in SIZES}
    for size in SIZES:
        say(f"first run with {size}")
        first[size] = deploy(size)
    for number in range(rounds):
        say(f"later runs {number + 1} of {rounds}")
        for size in SIZES:
            later[size].append(deploy(size))
            if later[size][-1].changed:
                raise RuntimeError(f"a run with nothing to do has changed something: {later[size][-1].report['stats']}")
    return {
        str(size): {
            "first_seconds": round(first[size].seconds, 1),
            "first_tasks": len(remote_tasks(first[size].report)),
            "seconds": spread(run.seconds for run in later[size]).as_dict(),
            "tasks": len(remote_tasks(later[size][-1].report)),
        }
        for size in SIZES
    }


def per_added(sizes: dict[str, Any]) -> dict[str, float]:
    """What each one beyond the first takes."""
    least, most = min(SIZES), max(SIZES)
    one, all_of_them = sizes[str(least)], sizes[str(most)]
    added = most - least
    return {
        "seconds": round((all_of_them["seconds"]["median"] - one["seconds"]["median"]) / added, 2),
        "tasks": round((all_of_them["tasks"] - one["tasks"]) / added, 2),
        # Each first run has found the ones before it.
        "first_seconds": round((sum(sizes[str(size)]["first_seconds"] for size in SIZES) - one["first_seconds"]) / added, 2),
    }


def run(rounds: int, seconds: int, keep: bool) -> None:
    """Measure, and keep what was found."""
    machine = results.machine()
    say("large files through the modules")
    found: dict[str, Any] = {"modules": modules(max(rounds, 9))}
    keep_results(machine, rounds, found)

    image = bare(TINY)
    host = Host("instances", image).start_anew()
    host.shell(f"cd /srv/bench && for number in $(seq {max(SIZES)}); do cp app.ini bench$number.ini; done")
    say("more and more servers on a host")
    found["instances"] = grown(rounds, lambda size: play(PLAYBOOKS / "instances.yml", [host], {"bench_instances": size}))
    if not keep:
        host.remove()
    keep_results(machine, rounds, found)

    hosts = [Host(f"host{number}", image).start_anew() for number in range(1, max(SIZES) + 1)]
    say("more and more hosts")
    found["hosts"] = grown(rounds, lambda size: play(TINY.playbook, hosts[:size], {}))
    for host in hosts:
        host.remove()

    keep_results(machine, rounds, found)


def keep_results(machine: dict[str, Any], rounds: int, found: dict[str, Any]) -> None:
    """Keep what has been found so far."""
    data = {"machine": machine, "rounds": rounds, **found, "per_added": {kind: per_added(found[kind]) for kind in KINDS if kind in found}}
    results.write("growth", data, [Goal(f"milliseconds of {name}", numbers["median"], at_most=100) for name, numbers in found["modules"].items()])


def picture(result: dict[str, Any]) -> str:
    """Seconds for each size, and the time of the modules."""
    panels = []
    for kind, title in KINDS.items():
        if kind not in result:
            continue
        panel = Panel(f"{title}: a run with nothing to do; {result['per_added'][kind]['seconds']:g} s for each one added", "s")
        for size, numbers in result[kind].items():
            note = f"{numbers['tasks']} remote tasks; the first run: {numbers['first_seconds']:g} s"
            panel.bars.append(Bar.of(size, numbers["seconds"], note))
        panels.append(panel)
    panel = Panel("the time of the modules alone", "ms")
    for name, numbers in result["modules"].items():
        panel.bars.append(Bar.of(name, numbers))
    return bars("Growth", "bars: median of the rounds; lines: least to greatest", [*panels, panel], result)
