"""A Paste Deploy application that starts at once, unless told otherwise: it shows what reaches an application, and little else."""

from __future__ import annotations

import importlib
import json
import os
import threading
import time
from collections.abc import Iterable
from typing import Any, Callable
from urllib.parse import parse_qs

StartResponse = Callable[[str, list[tuple[str, str]]], Any]

# What a deploy of other code changes; it is added to the version that the configuration names.
CODE = ""


def app_factory(global_conf: dict[str, str], **local_conf: str) -> Callable[..., Iterable[bytes]]:
    """Build the application from its section of the Paste Deploy file."""
    time.sleep(float(local_conf.get("start_seconds", 0)))
    # A database or a mount that may be late.
    needed = local_conf.get("needs", "")
    if needed and not os.path.exists(needed):
        raise RuntimeError(f"{needed} is not there yet")

    def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        query = parse_qs(environ.get("QUERY_STRING", ""))
        status = "200 OK"
        headers = [("Content-Type", "application/json")]
        answer: dict[str, Any] = {
            "version": local_conf.get("version", "1") + CODE,
            "pid": os.getpid(),
            "thread": threading.get_ident(),
            "environ": {name: value for name, value in environ.items() if isinstance(value, str)},
        }
        if path == "/sleep":
            time.sleep(float(query["seconds"][0]))
        elif path == "/raise":
            raise RuntimeError("this request fails")
        elif path == "/upload":
            answer["bytes"] = sum(len(part) for part in iter(lambda: environ["wsgi.input"].read(65536), b""))
            if "journal" in local_conf:
                record(local_conf["journal"], query["name"][0])
        elif path == "/process":
            answer["process"] = dict(os.environ)
        elif path == "/decorators":
            answer["file"] = importlib.import_module("uwsgidecorators").__file__
        elif path == "/download":
            headers.append(("X-Accel-Redirect", query.get("base", [""])[0] + "/_x_accel_redirect" + query["file"][0]))
        elif path == "/health":
            status = local_conf.get("health", status)
        start_response(status, headers)
        return [json.dumps(answer).encode()]

    return application


def record(journal: str, name: str) -> None:
    """Keep in a file for ever that a request was worked on."""
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{name}\n".encode())
    finally:
        os.close(descriptor)


def broken_factory(global_conf: dict[str, str], **local_conf: str) -> Callable[..., Iterable[bytes]]:
    """Fail, as an application does whose configuration it cannot work with."""
    raise RuntimeError("this application never starts")
