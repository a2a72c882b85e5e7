"""Galaxy as the WSGI application that uWSGI serves.

Galaxy's own web application speaks ASGI; this factory lets a Paste Deploy file name it:
paste.app_factory = galaxy_wsgi:app_factory
"""

from __future__ import annotations

from typing import Any

from a2wsgi import ASGIMiddleware
from galaxy.webapps.galaxy.fast_factory import build_galaxy_web_app


def app_factory(global_conf: dict[str, Any], **local_conf: Any) -> ASGIMiddleware:
    """Build Galaxy from the options of its Paste Deploy section."""
    return ASGIMiddleware(build_galaxy_web_app(local_conf, global_conf=global_conf).asgi_app)
