# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""uWSGI options as one dictionary: merge it over defaults, find its mistakes.

uWSGI reads numbers with atoi (C(processes = two) means none) and truth by its own words, so nothing wrong is
noticed there: it has to be noticed here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._secrets import mask_value

Scalar = (str, int, float)

# option -> lowest and highest value that makes sense; uWSGI itself silently wraps or ignores what lies outside.
_NUMBERS = {
    "processes": (1, 1024),
    "workers": (1, 1024),
    "threads": (1, 1024),
    "buffer-size": (4096, 65535),
    "listen": (1, 65535),
    "harakiri": (1, 86400),
    "max-requests": (1, 2**31 - 1),
    "max-worker-lifetime": (1, 2**31 - 1),
    "reload-on-rss": (1, 2**20),
    "worker-reload-mercy": (1, 86400),
    "post-buffering": (0, 2**31 - 1),
    "http-timeout": (1, 86400),
    "socket-timeout": (1, 86400),
    "cheaper": (1, 1023),
    "cheaper-initial": (1, 1024),
    "cheaper-step": (1, 1024),
    "evil-reload-on-rss": (1, 2**20),
    "min-worker-lifetime": (1, 2**31 - 1),
    "mule-reload-mercy": (1, 86400),
    "offload-threads": (1, 1024),
    "reload-mercy": (1, 86400),
    "thread-stacksize": (1, 2**20),
    "threads-stacksize": (1, 2**20),
}

_SWITCHES = (
    "master", "enable-threads", "lazy", "lazy-apps", "need-app", "strict", "die-on-term", "thunder-lock",
    "single-interpreter", "disable-logging", "ignore-sigpipe", "ignore-write-errors", "disable-write-exception", "log-4xx", "log-5xx",
    "log-x-forwarded-for", "manage-script-name", "memory-report", "no-orphans", "vacuum", "auto-procname", "py-call-osafterfork", "py-call-uwsgi-fork-hooks",
)  # fmt: skip

_LISTENERS = (
    "socket", "uwsgi-socket", "http", "http-socket", "https", "https-socket", "http11-socket", "scgi-socket", "fastcgi-socket",
    "stats", "stats-server",
)  # fmt: skip

# Options of many plugins that uWSGI reads as numbers too, by what their names have in common
_NUMBER_NAME = re.compile(
    r".*-(?:timeout|processes|workers|threads|(?:buf|max|block|stack|buffer-)?size|buffering|mercy|retries|events"
    r"|interval|frequency|ttl|modifier[12]|sndbuf|rcvbuf)"
    r"|mules|cores|max-fd|limit-(?:as|nproc|post)|reload-on-as|modifier[12]|uwsgi-modifier[12]"
)
_LARGEST = 2**63 - 1
# Options that listen, by their names, where no uWSGI is there to be asked what it does with an option
_LISTENER_NAME = re.compile(
    r"(?!chmod-|chown-|log-|log2-|map-)(?:.*-)?socket\d?|(?:.*-)?(?:stats|stats-server|ss|subscription-server)"
    r"|(?:fast|raw|ssl|http|https|forkpty-|tuntap-)router\d?"
    r"|https?\d?|udp|snmp|zerg-server|.*-resubscribe-bind|(?:router-)?(?:raw|ssl)"
)
# What C(uwsgi --help) says of an option that listens
_LISTENS = re.compile(r"\bbind to\b|^(?:run|enable|add|expose)\b.*\b(?:server|router)\b|^run the \w+router on\b", re.IGNORECASE)
# An address that nobody can connect to and a server can listen on: all that the host has
_EVERYWHERE = re.compile(r"(?:\*|0(?:\.0){0,3}|\[(?:0*:){2,}0*\]|255\.255\.255\.255)?:\d{1,5}")
_ADDRESS = re.compile(r"(?:\*|[\w.-]*|\[[0-9A-Fa-f:.%]*\]):\d{1,5}")
# The address among others in a value, of those that have one
_POOLS = ("zerg-pool", "zergpool")
_KEYED = re.compile(r"(?:\A|,)\s*(?:addr|socket|udp|udp_servers?)=([^,]+)")
_KEYED_NAME = re.compile(r"https?\d|cache2")
# Options that set another option
_SETTERS = ("set", "vassal-set")
_PLACEHOLDERS = ("set", "set-ph", "set-placeholder")
_NAMED = re.compile(r"%\(([\w.-]+)\)")
_LONGEST_CHAIN = 8
# What uWSGI replaces before it reads a number
_PLACEHOLDER = re.compile(r"%[^%\s]|\$\(|@\(")
# Another option behind a value: a line that has lost its end. Commands and templates may have such text.
_RUN_TOGETHER = re.compile(r"\s([a-z][a-z0-9]*(?:-[a-z0-9]+)*)\s*=(?:\s|(?=[^\s=]))")
_FREE_TEXT = re.compile(
    r"(?:hook|exec|attach-daemon|smart-attach|cron|legion|unique-cron|route|final-route|error-route|response-route|log|logformat|print|eval|if|for|"
    r"subscribe|cache|alarm|metric|mule|spooler|add-header|collect-header|env|set|declare|static-map|harakiri|wsgi-env|py-|ini|safe-pid).*"
)

# What uWSGI binds must fit into this many bytes; it says no more than "invalid socket name" of a longer one.
_LONGEST_SOCKET = 102

_RELOAD = "a reload loses the socket, which the service manager owns: remove it, and hand over with the command <instance>-web restart"
_HOME = "it is no other than the one that uWSGI is installed in: set uwsgi_virtualenv"

_HARMFUL = {
    "daemonize": "the service manager runs uWSGI in the foreground: remove it, the log goes to the journal",
    "daemonize2": "the service manager runs uWSGI in the foreground: remove it, the log goes to the journal",
    "pidfile": "the service manager knows the process: remove it",
    "pidfile2": "the service manager knows the process: remove it",
    "safe-pidfile": "the service manager knows the process: remove it",
    "safe-pidfile2": "the service manager knows the process: remove it",
    "vacuum": "it deletes the sockets of the process that takes over: remove it, the service manager cleans up",
    "uid": "the service manager starts uWSGI as the right user: set uwsgi_user",
    "gid": "the service manager starts uWSGI as the right group: set uwsgi_group",
    "immediate-uid": "the service manager starts uWSGI as the right user: set uwsgi_user",
    "immediate-gid": "the service manager starts uWSGI as the right group: set uwsgi_group",
    "chdir": "the service manager starts uWSGI in the right directory: set uwsgi_chdir",
    "touch-reload": _RELOAD,
    "fs-reload": _RELOAD,
    "fs-brutal-reload": _RELOAD,
    "reload-on-fd": _RELOAD,
    "brutal-reload-on-fd": _RELOAD,
    "py-auto-reload": _RELOAD,
    "py-autoreload": _RELOAD,
    "python-auto-reload": _RELOAD,
    "python-autoreload": _RELOAD,
    "virtualenv": _HOME,
    "venv": _HOME,
    "home": _HOME,
    "pyhome": _HOME,
    "paste": "the application is loaded from uwsgi_config_file: set that",
    "ini-paste": "the application is loaded from uwsgi_config_file: set that",
    "ini-paste-logged": "the application is loaded from uwsgi_config_file: set that",
}


# Variables that begin so are options; these are not.
_PREFIX = "UWSGI_"
_NO_OPTIONS = ("reloads", "original-proc-name", "vassals-dir", "broken-clients", "emperor-fd", "emperor-fd-config", "emperor-proxy", "jail", "instance")


def merge(defaults: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Lay I(options) over I(defaults); None takes a default away. The defaults' order stays."""
    merged = {**defaults, **options}
    return {name: value for name, value in merged.items() if value is not None}


def is_on(options: Mapping[str, Any], name: str) -> bool:
    """Whether uWSGI takes the switch I(name) for set: by any value but these."""
    return name in options and str(options[name]).lower() not in ("false", "0", "no", "off")


def is_lazy(options: Mapping[str, Any]) -> bool:
    """Whether each process loads the application for itself, after it was forked."""
    return is_on(options, "lazy-apps") or is_on(options, "lazy")


def _boolean(value: Any) -> bool:
    return isinstance(value, bool) or str(value).lower() in ("true", "false", "yes", "no", "on", "off", "1", "0")


def is_private_address(address: str) -> bool:
    """Tell whether only this host can reach I(address): a unix socket or a loopback address."""
    # '=0' is the first shared socket, which is checked where it is made.
    if re.match(r"^(/|\.|@|unix:|fd://|=\d+\Z)", address) or ":" not in address:
        return "/" in address or address.startswith(("@", "fd://", "="))
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def what_listens(descriptions: Mapping[str, str]) -> frozenset[str]:
    """Return the options that listen, by what uWSGI says of its options."""
    return frozenset(name for name, text in descriptions.items() if _LISTENS.search(text))


def _address_problem(name: str, text: str, listening: Collection[str]) -> str:
    """Say why what I(text) may listen to must not be listened to; what connects to another host is left alone."""
    bound = _KEYED.findall(text) if _KEYED_NAME.fullmatch(name) else []
    # What the processes that join a pool listen to stands behind the socket of the pool.
    bound += text.partition(":")[2].split(",") if name in _POOLS else []
    for part in bound:
        problem = _address_problem("socket", part.strip(), ())
        if problem:
            return problem
    listed = name in _LISTENERS
    # For HTTPS, the certificate and the key follow.
    address = text.partition(",")[0].strip()
    listens = listed or name in listening or bool(_LISTENER_NAME.fullmatch(name))
    if bound or name == "map-socket" or _PLACEHOLDER.search(address):
        return ""
    reachable = not is_private_address(address) and (listed or (listens and _ADDRESS.fullmatch(address)))
    if reachable or _EVERYWHERE.fullmatch(address):
        return (
            f"is {text!r}, which other hosts could reach, and whoever reaches a uwsgi socket can run code: "
            "write 127.0.0.1:PORT or an absolute path, or leave it out (the role's own socket is always there)"
        )
    if listens and len(address.encode()) > _LONGEST_SOCKET:
        return f"is {text!r}, {len(address.encode())} bytes long: uWSGI takes no socket of more than {_LONGEST_SOCKET}; write a shorter path"
    return ""


def _number_problem(name: str, value: Any) -> str:
    """Say why uWSGI does not read I(value) as the number that is meant."""
    text = str(value)
    if name in _NUMBERS:
        lowest, highest = _NUMBERS[name]
    elif _NUMBER_NAME.fullmatch(name) and name not in _SWITCHES:
        lowest, highest = 0, _LARGEST
    else:
        return ""
    if not isinstance(value, bool) and _PLACEHOLDER.search(text):
        return ""
    if isinstance(value, bool) or not re.fullmatch(r"\d+", text) or not lowest <= int(text) <= highest:
        return f"is {text!r}: write a whole number" + (f" from {lowest} to {highest}" if highest < _LARGEST else "")
    return ""


def _run_together(name: str, text: str, known: Collection[str]) -> str:
    """Say which other option is on the line of this one."""
    if _FREE_TEXT.fullmatch(name):
        return ""
    for other in _RUN_TOGETHER.findall(text):
        if other in known or other in _NUMBERS or other in _SWITCHES or other in _LISTENERS or other in _HARMFUL or re.search(rf"\s{other}\s+=\s", text):
            return f"has another option behind its value, {other!r}: write each option on a line of its own"
    return ""


def _value_problem(name: str, value: Any, listening: Collection[str] = (), known: Collection[str] = ()) -> str:
    """Say what is wrong with one value of one option, or nothing."""
    if not isinstance(value, Scalar):
        return f"is {type(value).__name__}: write text, a number, true or false, or a list of these for a repeated option"
    text = str(value)
    if "\n" in text or "\r" in text:
        return "has a line break: write one line, or a list for a repeated option"
    shown = mask_value(name, text)
    if re.search(r"\s[#;]", text):
        return f"is {shown!r}: uWSGI keeps a comment behind a value as part of it; put the comment on a line of its own"
    if text.replace("%%", "").endswith("%"):
        return f"is {shown!r}: uWSGI replaces '%' together with what follows, here the end of the line; write '%%'"
    together = _run_together(name, text, known) or _number_problem(name, value)
    if together:
        return together
    if name in _SWITCHES and not _boolean(value) and not _PLACEHOLDER.search(text):
        return f"is {text!r}: write true or false"
    if not isinstance(value, bool):
        problem = _address_problem(name, text, listening)
        if problem:
            return problem
    if name in ("chmod-socket", "chmod") and not re.fullmatch(r"0?[0-7][0-7]0", text):
        return f"is {text!r}: write a mode that shuts out strangers, such as 660 (bare, it means 666)"
    return ""


@dataclass(frozen=True)
class Problem:
    """What is wrong with an option, and whether it is the service manager of the roles that it gets in the way of."""

    text: str
    misplaced: bool = False


def _texts(value: Any) -> list[str]:
    return [str(item) for item in (value if isinstance(value, list) else [value])]


def _meant(item: Any, others: Mapping[str, Any]) -> list[Any]:
    """What a value may be once uWSGI has put in what C(%(name)) stands for: a placeholder, or the value of another option."""
    found, done = [item], []
    for _step in range(_LONGEST_CHAIN):
        waiting, found = found, []
        for text in waiting:
            match = _NAMED.search(text) if isinstance(text, str) else None
            name = match[1] if match else ""
            values = _texts(others[name]) if name in others else []
            values += [part[2].strip() for option in _PLACEHOLDERS for part in map(_parted, _texts(others.get(option, []))) if part[0].strip() == name]
            if match and values:
                found += [text[: match.start()] + value + text[match.end() :] for value in values]
            else:
                done.append(text)
    return done or [item]


def _parted(text: str) -> tuple[str, str, str]:
    return text.partition("=")


def option_problems(
    name: object, value: Any, listening: Collection[str] = (), known: Collection[str] = (), others: Mapping[str, Any] = MappingProxyType({})
) -> list[Problem]:
    """Say what is wrong with one option, wherever it is set.

    A uWSGI that has been asked tells which options are I(listening), and which are I(known). The value may have names of I(others) in it.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:-]*", name):
        return [Problem("is not the name of a uWSGI option: use letters, digits and '-'")]
    if name in _HARMFUL and str(value).lower() not in ("false", "0"):
        return [Problem(_HARMFUL[name], misplaced=True)]
    if isinstance(value, list) and not value:
        return [Problem("is an empty list: write null to take a default away")]
    found = []
    for item in value if isinstance(value, list) else [value]:
        wrong = filter(None, (_value_problem(name, text, listening, known) for text in _meant(item, others)))
        found += [Problem(problem) for problem in list(wrong)[:1]]
        if name in _SETTERS and "=" in str(item):
            option, _equals, setting = str(item).partition("=")
            for problem in option_problems(option.strip(), setting.strip(), listening, known, others):
                text = problem.text if problem.misplaced else f"which {problem.text}"
                found.append(replace(problem, text=f"sets {option.strip()!r}{':' if problem.misplaced else ','} {text}"))
    return found


def problems(options: Mapping[str, Any], variable: str = "uwsgi_options") -> list[str]:
    """Say, for each option that cannot work, what is wrong and what to write instead."""
    return [
        f"{variable}: {name}: {problem.text}" if problem.misplaced else f"{variable}: {name if isinstance(name, str) else repr(name)} {problem.text}"
        for name, value in options.items()
        for problem in option_problems(name, value, others=options)
    ]


def environment_problems(environment: Mapping[str, Any]) -> list[str]:
    """Say the same of the options that environment variables set: to uWSGI, C(UWSGI_HTTP_SOCKET) is C(http-socket)."""
    options = {str(name)[len(_PREFIX) :].lower().replace("_", "-"): value for name, value in environment.items() if str(name).startswith(_PREFIX)}
    return problems({name: value for name, value in options.items() if name not in _NO_OPTIONS}, "uwsgi_environment")


def conflicts(options: Mapping[str, Any], longest_queue: int = 0, python: tuple[int, ...] = ()) -> dict[str, str]:
    """Say of options, by their names, what they cannot do together or on a host with this queue and Python.

    A I(longest_queue) of 0 and a I(python) of () are not known.
    """
    numbers = {name: int(str(value)) for name, value in options.items() if str(value).isdecimal() and len(str(value)) < 10}
    found = {}
    counts = [name for name in options if name in ("processes", "workers")]
    name = counts[-1] if counts else "processes"
    # Without either option uWSGI has one process.
    processes = numbers.get(name, 0) if counts else 1
    least, initial = numbers.get("cheaper", 0), numbers.get("cheaper-initial", 0)
    if processes and least >= processes:
        remedy = "write a smaller number" if processes > 1 else f"remove it, or raise {name}"
        found["cheaper"] = f"is {least}, the number of processes kept when there is nothing to do, and {name} is {processes}: {remedy}"
    if initial and not least:
        found["cheaper-initial"] = "means nothing without cheaper, the number of processes kept when there is nothing to do: add that, or remove this"
    elif processes and initial > processes:
        found["cheaper-initial"] = f"is {initial}, the number of processes at the start, and {name} is {processes}: write at most that"
    elif initial and initial < least:
        found["cheaper-initial"] = f"is {initial}, the number of processes at the start, and cheaper is {least}: write at least that"
    if longest_queue and numbers.get("listen", 0) > longest_queue:
        found["listen"] = (
            f"is {numbers['listen']}, and the host allows {longest_queue}: write at most that, or raise net.core.somaxconn; "
            "requests wait in the service manager's own queue anyway"
        )
    if python >= (3, 13) and is_on(options, "py-call-osafterfork"):
        found["py-call-osafterfork"] = (
            "kills every process on Python 3.13 and later: remove it; with job_handlers_mode mules, which need it, set job_handlers_mode to static or dynamic"
        )
    return found


# What has uWSGI replace a process now and then.
_RECYCLING = ("max-requests", "max-worker-lifetime", "reload-on-rss", "evil-reload-on-rss")


def warnings(options: Mapping[str, Any]) -> dict[str, str]:
    """Say of options, by their names, what works and is not what somebody may expect."""
    if not is_lazy(options):
        return {}
    message = (
        "with lazy-apps each process that it ends loads the application anew, and the requests that this process would answer wait as long as a start "
        "takes: remove it, or remove lazy-apps where the application can be loaded before the fork, as Galaxy 26.1 and later can"
    )
    return {name: message for name in _RECYCLING if str(options.get(name, 0)) != "0"}
