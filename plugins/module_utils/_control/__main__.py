# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control the web processes (INSTANCE-web) or job handlers (INSTANCE-handlers) of one instance.

The roles call this command after they have written their files; people and cron jobs may call the command too. The
roles write /etc/INSTANCE/web.json and handlers.json, which list the processes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any, Optional

from .control import Control
from .errors import ControlError, UsageError, flush, say
from .handlers import Handlers
from .listener_pool import POOL
from .logs import Copy
from .web import Web

EXIT_CODES = """\
Exit codes:
    0  done
    1  a process did not start; the previous processes keep serving
    2  wrong usage or configuration
    3  (status only) a process is stopped, or does not match the files on disk
    4  refused, because it would interrupt the service or needs more memory than there is; nothing has changed
"""


def control_for(instance: str, kind: str) -> Control[Any]:
    """The control of one kind of processes, with the configuration that is on disk now."""
    return Web.read(instance) if kind == "web" else Handlers.read(instance)


def wide(prog: str) -> argparse.HelpFormatter:
    """A help with its own line breaks, and a line for each command."""
    return argparse.RawDescriptionHelpFormatter(prog, width=120)


def parser_for(instance: str, kind: str) -> argparse.ArgumentParser:
    """The commands of one kind: those for people first, those of the service manager apart from them."""
    name = f"{instance}-{kind}"
    head = f"{__doc__}\nRun it as root: sudo {name} status\n"
    parser = argparse.ArgumentParser(prog=name, description=head, formatter_class=wide)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    commands.add_parser("status", help="report the processes, and whether they match the files on disk")
    restart = commands.add_parser("restart", help="replace the processes without downtime")
    if kind == "handlers":
        restart.add_argument("names", nargs="*", metavar="HANDLER", help="only these")
    else:
        check = commands.add_parser(
            "check", help="test the files on disk in a candidate, and touch nothing that serves"
        )
        check.add_argument(
            "--unless-proven",
            action="store_true",
            help="do nothing if these files have passed before, or nothing serves",
        )
        commands.add_parser(
            "socket-group", help="give the sockets to uwsgi_socket_group as soon as nginx's workers are in it"
        )
    apply = commands.add_parser(
        "apply", help="start what is missing, and replace the processes that do not match the files on disk"
    )
    apply.add_argument("--check", action="store_true", help="only print what would be done")
    apply.add_argument(
        "--restore",
        action="store_true",
        help="roll the files back to the known-good copies if the processes do not start",
    )
    commands.add_parser("remove", help="stop and disable the processes")
    manager = {
        "become": "start a process",
        "ready": "wait until the process answers",
        "failed": "note that a process has ended by itself",
        **(
            {
                "boot": "start when the host starts",
                "log": "copy the log to files",
                "record-socket": "note the start of a socket",
            }
            if kind == "web"
            else {}
        ),
    }
    for command, text in manager.items():
        # Without a help of its own it is not among the commands for people.
        arguments = commands.add_parser(command, description=text)
        if command == "record-socket":
            arguments.add_argument("unit")
        elif command not in ("boot", "log"):
            arguments.add_argument("name")
    lines = [f"    {command:<14}{text}" for command, text in manager.items()]
    parser.epilog = "\n".join(["The service manager calls these, and people do not:", *lines, "", EXIT_CODES])
    return parser


def run(control: Control[Any], options: argparse.Namespace) -> int:
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
    elif isinstance(control, Web) and options.command == "log":
        if not control.config.log_dir:
            raise UsageError(
                f"{control.path} has no log_dir: set uwsgi_log_dir, and run the playbook that wrote it again"
            )
        Copy(control.instance, Path(control.config.log_dir)).run()
    elif isinstance(control, Web) and options.command == "record-socket":
        control.record_socket(options.unit)
    else:
        before, since = control.known_good.contents(), time.time()
        try:
            with control.locked():
                # The call that this one has waited for may have put back files.
                taken_away = control.known_good.taken_away(before, since)
                if taken_away:
                    raise ControlError(
                        f"{', '.join(taken_away)}: the call that this one has waited for has put back what last "
                        "worked, because its own change does not. What this call would have applied is kept in "
                        f"{control.known_good.rejected}: write it again, and call again."
                    )
                control = control.reread()
                change(control, options)
        finally:
            control.afterwards()
    return 0


def change(control: Control[Any], options: argparse.Namespace) -> None:
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
            control.listener.share(seconds=10)
        else:
            control.check(unless_proven=options.unless_proven)


def run_with(instance: str, kind: str, arguments: Optional[list[str]]) -> int:
    """Read the arguments and carry out the command."""
    try:
        options = parser_for(instance, kind).parse_args(arguments)
    except BrokenPipeError:  # It printed its help, and the reader has read enough.
        return 0
    return run(control_for(instance, kind), options)


def main(instance: str, kind: str, arguments: Optional[list[str]] = None) -> int:
    """Run one command and return its exit code."""
    try:
        return run_with(instance, kind, arguments)
    except ControlError as error:
        say(str(error), sys.stderr)
        return error.exit_code
    except OSError as error:
        hint = (
            f"; run {instance}-{kind} as root: sudo {instance}-{kind} ..."
            if isinstance(error, PermissionError) and os.geteuid() != 0
            else ""
        )
        say((f"{error.filename}: {error.strerror}" if error.filename else str(error)) + hint, sys.stderr)
        return 1
    finally:
        # The help is printed by Python, which would complain at its very end of a reader that is gone.
        flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
