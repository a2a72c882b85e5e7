"""How servers other than uWSGI find the application; Paste and waitress are started by `bench_servers.py NAME`."""

from __future__ import annotations

import sys

from a2wsgi import WSGIMiddleware
from paste.deploy import loadapp, loadserver

CONFIG = "config:/srv/bench/app.ini"

if __name__ == "__main__":
    loadserver(CONFIG, sys.argv[1])(loadapp(CONFIG))
else:
    wsgi = loadapp(CONFIG)
    # As Galaxy serves the WSGI part of its application to uvicorn.
    asgi = WSGIMiddleware(wsgi)
