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
from collections.abc import Mapping
from typing import Any

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

# What uWSGI binds must fit into this many bytes; it says no more than "invalid socket name" of a longer one.
_LONGEST_SOCKET = 102

_RELOAD = "a reload loses the socket, which the service manager owns: remove it, and hand over with the command <instance>-web restart"
_HOME = "it is no other than the one that uWSGI is installed in: set uwsgi_virtualenv"

_HARMFUL = {
    "daemonize": "the service manager runs uWSGI in the foreground: remove it, the log goes to the journal",
    "daemonize2": "the service manager runs uWSGI in the foreground: remove it, the log goes to the journal",
    "pidfile": "the service manager knows the process: remove it",
    "pidfile2": "the service manager knows the process: remove it",
    "vacuum": "it deletes the sockets of the process that takes over: remove it, the service manager cleans up",
    "uid": "the service manager starts uWSGI as the right user: set uwsgi_user",
    "gid": "the service manager starts uWSGI as the right group: set uwsgi_group",
    "chdir": "the service manager starts uWSGI in the right directory: set uwsgi_chdir",
    "touch-reload": _RELOAD,
    "fs-reload": _RELOAD,
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
    return isinstance(value, bool) or str(value).lower() in ("true", "false")


def is_private_address(address: str) -> bool:
    """Tell whether only this host can reach I(address): a unix socket or a loopback address."""
    if re.match(r"^(/|\.|@|unix:|fd://)", address) or ":" not in address:
        return "/" in address or address.startswith(("@", "fd://"))
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _value_problem(name: str, value: Any) -> str:
    """Say what is wrong with one value of one option, or nothing."""
    if not isinstance(value, Scalar):
        return f"is {type(value).__name__}: write text, a number, true or false, or a list of these for a repeated option"
    text = str(value)
    if "\n" in text or "\r" in text:
        return "has a line break: write one line, or a list for a repeated option"
    if re.search(r"\s[#;]", text):
        return f"is {text!r}: uWSGI keeps a comment behind a value as part of it; put the comment on a line of its own"
    if text.replace("%%", "").endswith("%"):
        return f"is {text!r}: uWSGI replaces '%' together with what follows, here the end of the line; write '%%'"
    if name in _NUMBERS:
        lowest, highest = _NUMBERS[name]
        if isinstance(value, bool) or not re.fullmatch(r"\d+", text) or not lowest <= int(text) <= highest:
            return f"is {text!r}: write a whole number from {lowest} to {highest}"
    if name in _SWITCHES and not _boolean(value):
        return f"is {text!r}: write true or false"
    if name in _LISTENERS and not is_private_address(text):
        return (
            f"is {text!r}, which other hosts could reach, and whoever reaches a uwsgi socket can run code: "
            "write 127.0.0.1:PORT or an absolute path, or leave it out (the role's own socket is always there)"
        )
    if name in _LISTENERS and len(text.encode()) > _LONGEST_SOCKET:
        return f"is {text!r}, {len(text.encode())} bytes long: uWSGI takes no socket of more than {_LONGEST_SOCKET}; write a shorter path"
    if name == "chmod-socket" and not re.fullmatch(r"0?[0-7][0-7]0", text):
        return f"is {text!r}: write a mode that shuts out strangers, such as 660 (bare, it means 666)"
    return ""


def problems(options: Mapping[str, Any]) -> list[str]:
    """Say, for each option that cannot work, what is wrong and what to write instead."""
    found = []
    for name, value in options.items():
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:-]*", name):
            found.append(f"uwsgi_options: {name!r} is not the name of a uWSGI option: use letters, digits and '-'")
            continue
        if name in _HARMFUL and str(value).lower() not in ("false", "0"):
            found.append(f"uwsgi_options: {name}: {_HARMFUL[name]}")
            continue
        if isinstance(value, list) and not value:
            found.append(f"uwsgi_options: {name} is an empty list: write null to take a default away")
        for item in value if isinstance(value, list) else [value]:
            problem = _value_problem(name, item)
            if problem:
                found.append(f"uwsgi_options: {name} {problem}")
    return found


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
        found["py-call-osafterfork"] = "kills every process on Python 3.13 and later: remove it"
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
