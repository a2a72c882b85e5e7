# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two service managers, of which one may take over from the other."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any, Callable

import pytest
from control_helpers import write


@pytest.fixture
def both(control: Any, etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The control of one kind with one service manager, where the definitions of both are there, and all that systemd is asked for runs."""
    unit = etc / "systemd" / "system" / "galaxy-web@.service"
    unit.parent.mkdir(parents=True)
    definitions = {
        "systemd": [str(unit), str(unit.with_name("galaxy-handler@.service"))],
        "supervisor": [str(tmp_path / "galaxy-web.conf")],
    }
    for path in (path for paths in definitions.values() for path in paths):
        Path(path).write_text("")

    def make(kind: str, manager: str, **config: Any) -> Any:
        settings = {"handlers": {"a": {}}, "boot_units": ["x"], "allow_interruption": False, **config}
        write(etc, kind, manager=manager, definitions=definitions, **settings)
        return control.control_for("galaxy", kind)

    monkeypatch.setattr(control.supervisor, "systemctl", lambda *_arguments, **_options: "active")
    monkeypatch.setattr(control.systemd, "systemctl", lambda *_arguments, **_options: "active")
    return make


@pytest.mark.parametrize("kind", ["web", "handlers"])
@pytest.mark.parametrize(("chosen", "former"), [("systemd", "supervisor"), ("supervisor", "systemd")])
def test_who_has_definitions_and_is_not_chosen_is_to_be_left(
    both: Any, capsys: pytest.CaptureFixture[str], kind: str, chosen: str, former: str
) -> None:
    processes = both(kind, chosen)
    assert processes.former.manager.title == former
    assert processes.former.config.boot_units == []
    assert set(processes.defined()).isdisjoint(processes.former.defined())
    assert [process.directory for process in processes.processes().values()] == [
        process.directory for process in processes.former.processes().values()
    ]
    assert processes.left_behind() == 1
    assert f"{former} still has definitions of galaxy-{kind}: run the playbook" in capsys.readouterr().out
    for path in processes.config.definitions[former]:
        Path(path).unlink()
    assert processes.former is None
    assert processes.left_behind() == 0


@pytest.mark.parametrize(
    "log, asked",
    [
        ("become galaxy-web-1, pid 41\nspawned\ngraceful shutdown triggered...\ngoodbye to uWSGI.\n", True),
        ("become galaxy-web-1, pid 41\nspawned\n", False),
        ("become galaxy-web-1, pid 40\ngraceful shutdown triggered...\nbecome galaxy-web-1, pid 41\nspawned\n", False),
        (None, False),
    ],
)
def test_a_program_that_somebody_has_restarted_did_not_fail(
    control: Any, both: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str | None, asked: bool
) -> None:
    """Otherwise C(supervisorctl restart) soon after a change would take the change back."""
    web = both("web", "supervisor")
    monkeypatch.setattr(control.supervisor, "LOGS", tmp_path)
    if log is not None:
        (tmp_path / "galaxy-web-1.log").write_text(log)
    slot = web.slots()[0]
    slot.directory.mkdir(parents=True)
    (slot.directory / "pid").write_text(json.dumps({"pid": 41, "born": "long ago"}))
    assert web.manager.is_asked_to_stop(slot) == asked


@pytest.mark.parametrize("kind", ["web", "handlers"])
def test_what_systemd_runs_is_none_of_supervisors(both: Any, kind: str) -> None:
    """Both record their processes in the same places."""
    processes = both(kind, "supervisor")
    process = next(iter(processes.processes().values()))
    process.directory.mkdir(parents=True)
    process.record()
    process.record_started()
    assert process.pid == os.getpid()
    assert not processes.manager.is_active(process)
    for path in processes.config.definitions["systemd"]:
        Path(path).unlink()
    assert processes.manager.is_active(process)


def test_programs_of_another_instance_are_none_of_this_one(
    both: Any, etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One called galaxy-web beside one called galaxy."""
    for instance in ("galaxy-web", "galaxy-handler"):
        (etc / instance).mkdir()
        for kind in ("web", "handlers"):
            write(etc, f"../{instance}/{kind}", handlers={})
    names = (
        "web-1",
        "web-9",
        "web-web-1",
        "web-handler-a",
        "handler-a",
        "handler-b",
        "handler-web-1",
        "handler-handler-a",
    )
    known = "\n".join(f"galaxy-{name} RUNNING" for name in names)
    for kind, unknown in (("web", ["galaxy-web-9"]), ("handlers", ["galaxy-handler-b"])):
        manager = both(kind, "supervisor").manager
        monkeypatch.setattr(
            sys.modules[type(manager).__module__], "supervisorctl", lambda *_arguments, **_options: known
        )
        assert manager.unknown(["galaxy-web-1", "galaxy-handler-a"]) == unknown


@pytest.mark.parametrize("kind", ["web", "handlers"])
@pytest.mark.parametrize("file", ["@.service", "@9.service"])
def test_service_of_somebody_else_is_none_of_this_instance(
    both: Any, etc: Path, monkeypatch: pytest.MonkeyPatch, kind: str, file: str
) -> None:
    """Gravity and other roles call their units by the same names."""
    manager = both(kind, "systemd").manager
    units = etc / "systemd" / "system"
    units.mkdir(parents=True, exist_ok=True)
    prefix = manager.prefix.rstrip("@")
    monkeypatch.setattr(
        sys.modules[type(manager).__module__],
        "systemctl",
        lambda *_arguments, **_options: f"{prefix}@9.service loaded active",
    )
    (units / f"{prefix}@.service").write_text("# Managed by the role galaxyops.uwsgi.job_handlers\n")
    assert manager.unknown([]) == [f"{prefix}@9.service"]
    (units / f"{prefix}{file}").write_text("; This file is maintained by Gravity\n")
    assert manager.unknown([]) == []
    (units / f"{prefix}{file}").unlink()
    assert manager.unknown([]) == [f"{prefix}@9.service"], "the unit of a role is gone, and the process still runs"


@pytest.mark.parametrize("kind", ["web", "handlers"])
def test_program_of_somebody_else_is_none_of_this_instance(
    both: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    manager = both(kind, "supervisor").manager
    name = manager.name("9")
    monkeypatch.setattr(
        sys.modules[type(manager).__module__], "supervisorctl", lambda *_arguments, **_options: f"{name} RUNNING"
    )
    assert manager.unknown([]) == [name]
    (definition,) = manager.config.definitions["supervisor"]
    Path(definition).parent.mkdir(parents=True, exist_ok=True)
    mine = Path(definition).parent / "mine.conf"
    mine.write_text(f"[program:{name}]\ncommand = sleep 9\n")
    assert manager.unknown([]) == []
    mine.write_text(f"; galaxyops.uwsgi\n[program:{name}]\ncommand = sleep 9\n")
    assert manager.unknown([]) == [name]


def test_what_ended_processes_have_left_is_swept(both: Any) -> None:
    """Under supervisor root makes these files, under systemd the application's user."""
    lives, ended = both("web", "systemd").slots()
    for process in (lives, ended):
        process.directory.mkdir(parents=True)
        process.record()
    (ended.directory / "pid").write_text(json.dumps({"pid": os.getpid(), "born": "1"}))
    both("web", "systemd").sweep()
    assert lives.directory.exists()
    assert not ended.directory.exists()


def test_systemd_takes_the_place_of_a_pool_only_when_that_is_allowed(control: Any, both: Any, run: Path) -> None:
    web = both("web", "systemd")
    (run / "galaxy").mkdir()
    with socket.socket(socket.AF_UNIX) as pool:
        pool.bind(str(run / "pool.sock"))
        pool.listen()
        (run / "galaxy" / "web.sock").symlink_to(run / "pool.sock")
        with pytest.raises(
            control.Refusal, match=r"belongs to supervisor.*uwsgi_allow_interruption.*Nothing has been touched"
        ):
            web.listener.refuse_to_close()
        both("web", "systemd", allow_interruption=True).listener.refuse_to_close()
    web.listener.refuse_to_close()  # nobody listens there, so nobody is turned away


def test_supervisor_takes_over_in_place_only_when_that_is_allowed(control: Any, both: Any, run: Path) -> None:
    """Beside each other nobody waits in the socket that goes."""
    (run / "galaxy").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(run / "galaxy" / "web.sock"))
        listener.listen()
        both("web", "supervisor", handover="overlap").listener.refuse_to_close()
        with pytest.raises(control.Refusal, match=r"belongs to systemd.*uwsgi_allow_interruption"):
            both("web", "supervisor", handover="in_place").listener.refuse_to_close()
        both("web", "supervisor", handover="in_place", allow_interruption=True).listener.refuse_to_close()


def test_who_has_waited_for_the_lock_goes_by_what_is_written_then(
    control: Any, etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(etc, "web", manager="supervisor")
    web = control.control_for("galaxy", "web")
    write(etc, "web", manager="systemd")
    seen: list[str] = []
    monkeypatch.setattr(control.main, "change", lambda control, _options: seen.append(control.manager.title))
    assert control.main.run(web, control.parser_for("galaxy", "web").parse_args(["apply"])) == 0
    assert seen == ["systemd"]


@pytest.mark.parametrize(("gone", "patience", "said"), [(3, 90, ""), (10**6, 1, "no such file")])
def test_supervisor_that_was_killed_is_waited_for(
    control: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: int, patience: float, said: str
) -> None:
    """That says nothing about the version whose start was asked for. The command here is one that fails so often."""
    command = tmp_path / "supervisorctl"
    command.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n[ $(wc -l < {tmp_path}/calls) -gt {gone} ] || {{ echo "unix:///x no such file"; exit 4; }}\necho done\n'
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(control.supervisor, "PATIENCE", patience)
    if said:
        with pytest.raises(control.ControlError, match=said):
            control.supervisor.supervisorctl("reread")
    else:
        assert control.supervisor.supervisorctl("reread") == "done"
        assert (tmp_path / "calls").read_text().split() == ["reread", "pid", "pid", "pid", "reread"]
