# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of uWSGI: what a role has written, between the options that belong to one process alone."""

from __future__ import annotations

from pathlib import Path

from .config import WebConfig

# Options of uWSGI and their values.
Options = list[tuple[str, str]]


def options_of(arguments: list[str]) -> Options:
    """The options that arguments such as C(--name=value) are."""
    return [(name, value) for name, _equals, value in (argument[2:].partition("=") for argument in arguments)]


def _arguments(options: Options) -> list[str]:
    return [f"--{name}={value}" for name, value in options]


def _ini(options: Options) -> str:
    return "[uwsgi]\n" + "".join(f"{name} = {value}\n" for name, value in options)


def argv(config: WebConfig, instance: str, private: Path, before: Options, after: Options) -> list[str]:
    """The command line of a process with its I(private) directory; the last word of an option counts."""
    own = [("http-socket", str(private / "http.sock")), ("stats", str(private / "stats.sock")), ("chmod-socket", "600")]
    if config.vassal:
        return _emperor(config, instance, private / "vassals", [*before, *own], after)
    return [config.argv[0], *_arguments([*before, *own]), *config.argv[1:], *_arguments(after)]


def _emperor(config: WebConfig, instance: str, directory: Path, before: Options, after: Options) -> list[str]:
    """Give the process a vassal of its own, and return the command line of its emperor.

    An emperor starts a vassal anew when the file of the vassal changes. So the vassal gets a copy of the file: a change
    of the original has to prove itself in a handover first.
    """
    program, *plugins = config.argv
    loading = list(zip((word.lstrip("-") for word in plugins[::2]), plugins[1::2]))
    directory.mkdir(exist_ok=True)
    # An emperor starts its vassals where their files are.
    lines = [_ini([*loading, ("chdir", config.chdir), *before]), Path(config.vassal).read_text(), _ini(after)]
    (directory / f"{instance}.ini").write_text("\n".join(lines))
    options = [("emperor", str(directory)), ("emperor-wrapper", program), ("reload-mercy", str(config.stop_timeout))]
    options += [("safe-fd", address[5:]) for _option, address in before if address.startswith("fd://")]
    return [program, *_arguments(options), "--die-on-term", "--emperor-graceful-shutdown"]
