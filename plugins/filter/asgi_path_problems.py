# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that says which paths nginx cannot lead to the process that speaks ASGI, and what to write instead."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Callable

_NAME = "nginx_proxy_asgi_paths"
# nginx takes these characters as they are. It has taken '.' and '..' out of an address before it looks for a path.
_PATH = re.compile(r"(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._@+~-]+)+\Z")


def is_at(path: str, place: str) -> bool:
    """Tell whether I(path) is I(place), or below that if it ends with a slash."""
    return path == place.rstrip("/") or (place.endswith("/") and path.startswith(place))


def asgi_path_problems(
    paths: Any, places: Iterable[Mapping[str, str]], prefix: str = "", unbuffered: Iterable[str] = ()
) -> list[str]:
    """Return what is wrong with I(paths) below I(prefix), beside I(places) that nginx serves and I(unbuffered) ones."""
    if not isinstance(paths, list):
        return [f"{_NAME} is {paths!r}: write a list"]
    return list(_problems(list(map(str, paths)), list(places), prefix, {path.rstrip("/") for path in unbuffered}))


def _problems(paths: list[str], places: list[Mapping[str, str]], prefix: str, unbuffered: set[str]) -> Iterator[str]:
    for path, count in Counter(paths).items():
        where = f"{_NAME} contains '{path}'"
        if not _PATH.match(path):
            yield (
                f"{where}: write the whole path of a page of the application, such as /api/mcp, with no characters but "
                "letters, digits and . _ @ + ~ - between the slashes, and no slash at the end"
            )
            continue
        if count > 1:
            yield f"{where} {count} times: write each path once"
        for place in places:
            if is_at(prefix + path, place["path"]):
                yield f"{where}, and nginx serves {place['path']} by itself, {place['what']}: remove the path"
        if path in unbuffered:
            yield (
                f"{where}, which is in nginx_proxy_unbuffered_paths too: remove it there, because nothing on the way to "
                "the ASGI process is buffered"
            )


class FilterModule:
    """The filter, by the name that the roles use."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return name -> function."""
        return {"asgi_path_problems": asgi_path_problems}
