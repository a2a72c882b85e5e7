"""Copies of the site that the nginx_proxy role writes, for other servers."""

from __future__ import annotations

import re

_PARAMETER = re.compile(r"^( *)uwsgi_param (?:HTTP_)?([A-Z0-9_]+)( .*)$", re.MULTILINE)
# What these are for HTTP is in the request itself, or in none.
_WITHOUT_HEADER = ("UWSGI_SCHEME", "SCRIPT_NAME", "PATH_INFO", "HTTPS", "REQUEST_SCHEME")


def uwsgi_site(site: str, instance: str, name: str, port: int, upstream: str) -> str:
    """The text of I(site), that of I(instance), for the server I(name) at I(upstream), answering at I(port); nothing else differs."""
    text = re.sub(r"^( *listen (?:\[::\]:)?)\d+", rf"\g<1>{port}", site, flags=re.MULTILINE)
    # The names that all sites share
    text = re.sub(rf"(\$|\blog_format |\.log ){instance}_", rf"\g<1>{name}_", text)
    text = text.replace(f"/{instance}.access.log", f"/{name}.access.log")
    text = text.replace(f"/{instance}.error.log", f"/{name}.error.log")
    return re.sub(r"\buwsgi_pass [^;]+;", f"uwsgi_pass {upstream};", text)


def http_site(site: str, instance: str, name: str, port: int, upstream: str) -> str:
    """As uwsgi_site(), for a server that speaks HTTP instead of uwsgi."""
    text = uwsgi_site(site, instance, name, port, f"http://{upstream}")
    text = re.sub(r"^ *include uwsgi_params;\n", "", text, flags=re.MULTILINE)
    text = _PARAMETER.sub(_header, text)
    return re.sub(r"^( *)uwsgi_(?!param)", r"\1proxy_", text, flags=re.MULTILINE)


def _header(match: re.Match[str]) -> str:
    indent, name, value = match.groups()
    if name in _WITHOUT_HEADER:
        return f"{indent}# no header: {name}"
    return f"{indent}proxy_set_header {'-'.join(part.capitalize() for part in name.split('_'))}{value}"
