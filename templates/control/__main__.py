# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control the web processes (INSTANCE-web) or job handlers (INSTANCE-handlers) of one instance.

The roles call this after writing their files; people and cron jobs may call it too. What there is to run stands in
/etc/INSTANCE/web.json and handlers.json, which the roles write.

Exit codes:
  0  done
  1  a process did not start; what served before serves on
  2  wrong usage or configuration
  3  (status only) something is stopped, or does not run what is written
  4  refused, because it would interrupt the service or needs more memory than there is; nothing has changed
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Optional

from .common import MANAGERS, Control
from .errors import ControlError, UsageError
from .handlers import Handlers
from .logs import Copy
from .web import POOL, SystemdSocket, Web


def control_for(instance: str, kind: str) -> Control:
    """The control of one kind of processes, with the service manager that its configuration names."""
    control: Control = Web(instance) if kind == "web" else Handlers(instance)
    try:
        control.manager = MANAGERS[control.config["manager"]](control)
    except KeyError as error:
        raise UsageError(f"cannot read {control.path}: no {error} in it, or a service manager unknown here; run the playbook that wrote it again") from error
    return control


def parser_for(instance: str, kind: str) -> argparse.ArgumentParser:
    """The commands of one kind."""
    parser = argparse.ArgumentParser(prog=f"{instance}-{kind}", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("status", help="print what runs, and whether it is what is written")
    restart = commands.add_parser("restart", help="replace the processes without an interruption")
    if kind == "handlers":
        restart.add_argument("names", nargs="*", metavar="HANDLER", help="only these")
    else:
        check = commands.add_parser("check", help="tell whether what is written works, and touch nothing that serves")
        check.add_argument("--unless-proven", action="store_true", help="do nothing when it was proved before, or nothing serves")
        commands.add_parser("boot", help="called by the service manager when the host starts")
        commands.add_parser("log", help="called by the service manager to copy the log to files")
        commands.add_parser("socket-group", help="give the sockets to uwsgi_socket_group as soon as nginx's workers are in it")
        record = commands.add_parser("record-socket", help="called by a socket's unit as it starts")
        record.add_argument("unit")
    apply = commands.add_parser("apply", help="start what is missing, replace what does not run what is written")
    apply.add_argument("--check", action="store_true", help="only print what would be done")
    apply.add_argument("--restore", action="store_true", help="put the files back that last worked if it does not start")
    commands.add_parser("remove", help="stop and disable the processes")
    for name, text in (
        ("become", "called by the service manager to start a process"),
        ("ready", "called by it once the process was started"),
        ("failed", "called by it when a process has ended by itself"),
    ):
        commands.add_parser(name, help=text).add_argument("name")
    return parser


def run(control: Control, options: argparse.Namespace) -> int:
    """Carry out one command."""
    if "name" in options and options.name not in (*control.processes(), *([POOL] if control.kind == "web" else [])):
        raise UsageError(f"{control.command} knows no {options.name}, only {', '.join(control.processes())}")
    if options.command == "status":
        return control.status()
    if options.command == "become":
        control.become(options.name)
    elif options.command == "ready":
        control.ready(options.name, int(os.environ.get("MAINPID", "0")))
    elif options.command == "failed":
        control.failed(options.name)
    elif options.command == "apply" and options.check:
        control.apply(check=True, restore=False)
    elif options.command == "log":
        if not control.config.get("log_dir"):
            raise UsageError(f"{control.path} has no log_dir: set uwsgi_log_dir, and run the playbook that wrote it again")
        Copy(control.instance, Path(control.config["log_dir"])).run()
    elif isinstance(control, Web) and options.command == "record-socket":
        SystemdSocket(control).record(options.unit)
    else:
        before, since = control.known_good.contents(), time.time()
        try:
            with control.locked():
                # The call that this one has waited for may have put back files.
                taken_away = control.known_good.taken_away(before, since)
                if taken_away:
                    raise ControlError(
                        f"{', '.join(taken_away)}: the call that this one has waited for has put back what last worked, because its own change does not. "
                        f"What this call would have applied is kept in {control.known_good.rejected}: write it again, and call again."
                    )
                control = control.reread()
                change(control, options)
        finally:
            control.afterwards()
    return 0


def change(control: Control, options: argparse.Namespace) -> None:
    """Carry out a command that changes what runs; one at a time."""
    if options.command == "apply":
        control.apply(check=False, restore=options.restore)
    elif options.command == "restart":
        unknown = [name for name in getattr(options, "names", []) if name not in control.processes()]
        if unknown:
            raise UsageError(f"{control.command} knows no {', '.join(unknown)}, only {', '.join(control.processes())}")
        if control.former:  # All are replaced by that.
            control.apply(check=False, restore=False)
        else:
            control.restart(getattr(options, "names", []))
    elif options.command == "remove":
        control.remove()
    elif isinstance(control, Web):
        if options.command == "boot":
            control.boot()
        elif options.command == "socket-group":
            # Workers of nginx that a reload has replaced finish their last requests.
            control.public.share(seconds=10)
        else:
            control.check(unless_proven=options.unless_proven)


def main(instance: str, kind: str, arguments: Optional[list[str]] = None) -> int:
    """Run one command and return its exit code."""
    options = parser_for(instance, kind).parse_args(arguments)
    try:
        return run(control_for(instance, kind), options)
    except ControlError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"{error.filename}: {error.strerror}" if error.filename else error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
