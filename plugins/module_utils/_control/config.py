# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of the program: a plan writes it on the controller, and the program reads it on the host.

Both use these classes. So a key that is missing, or that nobody knows, and a value of another type are errors, on both.
"""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from typing import Any, Literal, TypedDict, TypeVar, get_args, get_origin, get_type_hints

Kind = TypeVar("Kind", bound="Config")
Manager = Literal["systemd", "supervisor"]
Handover = Literal["overlap", "in_place"]


class ConfigError(ValueError):
    """A configuration is not as it has to be; the message names every key that is wrong."""


class Watched(TypedDict, total=False):
    """Something that processes are started from: see C(fingerprint.py). A key that means nothing there is left out."""

    path: str
    # Not a part of the configuration: it is never put back.
    installed: bool
    # What counts is where the path leads.
    link: bool
    # What other processes are started from, in the same file
    without_section: str
    without_keys: list[str]
    without_handlers: bool


class Handler(TypedDict, total=False):
    """The settings of a job handler. What it does not have is left out: the fingerprint is of what is here."""

    id: str
    tags: list[str]
    plugins: list[str]
    pools: list[str]
    previous_ids: list[str]
    workflow_scheduler: bool
    # How jobs find their handlers, which is the same for all
    assign_with: list[str]
    # A tag or an id, which somebody may have written as a number
    default: Any


@dataclass(frozen=True)
class Health:
    """How a web process proves that it works."""

    host: str
    path: str
    status: list[int]
    timeout: int


@dataclass(frozen=True)
class Socket:
    """A socket that clients connect to, and the unit of systemd that makes it."""

    protocol: str
    address: str
    unit: str


@dataclass(frozen=True)
class Config:
    """What the configurations of web processes and job handlers have in common."""

    manager: Manager
    # What is started with the host
    boot_units: list[str]
    # The files by which each service manager knows the processes; those of one that is chosen no more are removed.
    definitions: dict[str, list[str]]
    user: str
    group: str
    chdir: str
    virtualenv: str
    environment_file: str
    stop_timeout: int
    # Code that is watched besides, and never put back
    code: list[str]
    watch: list[Watched]

    @property
    def longest_call(self) -> int:
        """The seconds that a call waits for another one: longer than any call takes that does not hang."""
        raise NotImplementedError

    @property
    def health_path(self) -> str:
        """What processes are asked for again and again while they start; empty where nobody asks."""
        return ""


@dataclass(frozen=True)
class WebConfig(Config):
    """C(/etc/INSTANCE/web.json)."""

    command: str
    handlers_command: str
    socket_group: str
    sockets: list[Socket]
    argv: list[str]
    # For the slots, and not for a candidate
    slot_argv: list[str]
    # The file of the vassal, where each slot is an emperor
    vassal: str
    log_dir: str
    handover: Handover
    allow_interruption: bool
    health: Health

    @property
    def longest_call(self) -> int:
        return 2 * self.health.timeout + self.stop_timeout + 60

    @property
    def health_path(self) -> str:
        return self.health.path


@dataclass(frozen=True)
class HandlersConfig(Config):
    """C(/etc/INSTANCE/handlers.json)."""

    web_command: str
    config_file: str
    python_path: list[str]
    handlers: dict[str, Handler]
    # The file of the environments that single handlers have
    environments: str
    # Files that are copied and put back, and not watched
    kept: list[str]
    start_timeout: int
    drain_timeout: int
    # The runners whose jobs end with their handler
    ending_runners: list[str]

    @property
    def longest_call(self) -> int:
        each = 2 * self.start_timeout + self.stop_timeout + self.drain_timeout
        # Handlers are replaced one after the other.
        return each * max(1, len(self.handlers)) + 60


def from_data(kind: type[Kind], data: Any) -> Kind:
    """Make a configuration of what a file of it has."""
    problems: list[str] = []
    config: Kind = _read(kind, data, "", problems)
    if problems:
        raise ConfigError("; ".join(problems))
    return config


def from_json(kind: type[Kind], text: bytes) -> Kind:
    """Read a configuration."""
    return from_data(kind, _as_written_today(json.loads(text)))


def to_json(config: Config) -> str:
    """Write a configuration in the form that it has always had on hosts, if a host can read it."""
    data = asdict(config)
    from_data(type(config), data)
    return json.dumps(data, indent=4, sort_keys=True) + "\n"


def _as_written_today(data: Any) -> Any:
    """Make numbers and lists of those that are text, and a list of a single status.

    Earlier versions wrote them, and known-good copies have them.
    """
    if not isinstance(data, dict):
        return data
    names = {"start_timeout", "stop_timeout", "drain_timeout"}
    data = {name: _number(value) if name in names else value for name, value in data.items()}
    health = data.get("health")
    if isinstance(health, dict):
        found = {"timeout": _number(health["timeout"])} if "timeout" in health else {}
        if "status" in health:
            found["status"] = [int(status) for status in re.findall(r"\d+", str(health["status"]))]
        data["health"] = {**health, **found}
    if "code" in data:
        data["code"] = _list(data["code"])
    handlers = data.get("handlers")
    for handler in handlers.values() if isinstance(handlers, dict) else ():
        if isinstance(handler, dict) and "assign_with" in handler:
            handler["assign_with"] = _list(handler["assign_with"])
    return data


def parts(text: str) -> list[str]:
    """Read a list that is text as Ansible does: with commas between its parts."""
    return text.split(",") if text else []


def whole(value: Any) -> int:
    """Read a whole number that may be text, such as C(9e2); a ValueError where it is none."""
    try:
        return int(float(value)) if isinstance(value, str) and not value.strip().isdigit() else int(value)
    except (OverflowError, TypeError) as error:
        raise ValueError(str(error)) from error


def _list(value: Any) -> Any:
    return parts(value or "") if isinstance(value, (str, type(None))) else value


def _number(value: Any) -> Any:
    try:
        return value if isinstance(value, bool) else whole(value)
    except ValueError:
        return value


_NAMES = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "keys with values"}


def _read(kind: Any, value: Any, name: str, problems: list[str]) -> Any:
    """Return a value as one of this kind, and add to the problems what is wrong."""
    if kind is Any:
        return value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        if value not in arguments:
            problems.append(f"{name} is {value!r}, not one of {', '.join(arguments)}")
        return value
    plain: Any = origin or (dict if is_dataclass(kind) or hasattr(kind, "__total__") else kind)
    if not isinstance(value, plain) or (plain is int and isinstance(value, bool)):
        problems.append(f"{name or 'it'} is {value!r:.200} ({type(value).__name__}), not {_NAMES[plain]}")
        return value
    if origin is list:
        return [_read(arguments[0], item, f"{name}[{number}]", problems) for number, item in enumerate(value)]
    if origin is dict:
        return {str(key): _read(arguments[1], item, f"{name}.{key}", problems) for key, item in value.items()}
    return _read_keys(kind, value, name, problems) if plain is dict else value


def _read_keys(kind: Any, value: dict[str, Any], name: str, problems: list[str]) -> Any:
    """Return an object of a class; of one with default keys, a dictionary."""
    kinds = get_type_hints(kind)
    before = f"{name}." if name else ""
    known = {key: item for key, item in value.items() if key in kinds}
    problems += [f"unknown key {before + str(key)!r}" for key in value if key not in kinds]
    needed = [key.name for key in fields(kind) if key.default is MISSING] if is_dataclass(kind) else []
    missing = [key for key in needed if key not in value]
    problems += [f"no key {before + key!r}" for key in missing]
    found = {key: _read(kinds[key], item, f"{before}{key}", problems) for key, item in known.items()}
    # An object with problems is given to nobody.
    make: Any = kind
    return make(**found) if is_dataclass(kind) and not missing else found
