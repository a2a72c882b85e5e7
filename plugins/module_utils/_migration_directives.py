# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a directive of nginx whose value alone decides nothing: a guard, a setting of the old connection, and so on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._migration_plan import NOT_NEEDED, NOTE, PROBLEM
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._nginx_config import Directive
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._secrets import MASK, is_secret, mask_line

PASSES = ("proxy_pass", "uwsgi_pass", "fastcgi_pass", "scgi_pass", "grpc_pass", "memcached_pass")
TO_SITE = "write the line into nginx_proxy_server_snippet (for the whole site)"
TO_APPLICATION = "write the line into nginx_proxy_location_snippet (for requests to the application)"

REDIRECTS = {"301", "302", "303", "307", "308", "permanent", "redirect"}

# Who gets in, and how often: by names, because modules of others add further ones.
_GUARD = re.compile(
    "allow|deny|satisfy|auth_.*|.*_auth|.*_auth_.*|limit_.*|ssl_verify_client|ssl_crl|ssl_ocsp.*|valid_referers|secure_link.*|js_access|perl"
    "|(?:server_)?(?:access|rewrite)_by_lua.*|ssl_certificate_by_lua.*|modsecurity.*|naxsi.*|secrules.*|deniedurl|checkrule|basicrule|learningmode"
    "|shib_.*|oidc_.*|pam_.*|ldap_.*|geoip.*|testcookie.*|hmac.*|ssl_reject_handshake"
)
# Harmless in every value, or without a meaning for the site of the role.
_CONNECTION = re.compile(
    "proxy_(?:http_version|redirect|connect_timeout|send_timeout|buffers?|buffer_size|buffering|busy_buffers_size|max_temp_file_size"
    "|temp_file_write_size|temp_path|headers_hash_.*|next_upstream.*|pass_request_headers|pass_request_body|request_buffering|socket_keepalive"
    "|ignore_client_abort|intercept_errors|pass_header|ignore_headers|bind)"
    "|uwsgi_(?:connect_timeout|send_timeout|buffers?|buffer_size|buffering|busy_buffers_size|max_temp_file_size|temp_file_write_size|next_upstream.*"
    "|modifier[12]|request_buffering|socket_keepalive|ignore_client_abort|intercept_errors|string|pass_header|ignore_headers)"
)
_TLS = re.compile(
    "ssl_(?:protocols|ciphers|prefer_server_ciphers|session_.*|dhparam|ecdh_curve|buffer_size|early_data|stapling.*|trusted_certificate)|http2.*"
)
_SETTING = re.compile(
    "root|index|charset.*|keepalive_.*|lingering_.*|send_timeout|client_(?:body_buffer_size|body_timeout|header_.*|body_temp_path|body_in_.*)"
    "|large_client_header_buffers|server_tokens|sendfile.*|tcp_.*|types|types_hash_.*|default_type|gzip.*|expires|etag|open_file_cache.*|aio.*|directio.*"
    "|output_buffers|postpone_output|reset_timedout_connection|resolver.*|server_name_in_redirect|port_in_redirect|absolute_redirect|msie_.*"
    "|underscores_in_headers|ignore_invalid_headers|merge_slashes|log_not_found|log_subrequest|autoindex.*|if_modified_since|max_ranges"
    "|chunked_transfer_encoding|variables_hash_.*|real_ip_recursive|recursive_error_pages|disable_symlinks|override_charset|break|try_files|alias|rewrite_log"
    "|uninitialized_variable_warn|subrequest_output_buffer_size|read_ahead|zstd.*|brotli.*|spdy.*|add_trailer|request_pool_size|connection_pool_size"
)
# What has nginx treat requests otherwise, and what nginx does by default.
_REQUESTS = {"underscores_in_headers": "off", "ignore_invalid_headers": "on", "merge_slashes": "on"}
# Variables of nginx itself that a site can set, so that they mean something without being used anywhere.
_OWN_VARIABLES = ("$args", "$limit_rate")
# The path of a file, not what is in it.
_PATH = re.compile(r"\w+_(?:key|file|certificate) /\S+")
_LOG = re.compile("(?:access|error)_log")
_RESPONSE = re.compile(
    "add_header|error_page|sub_filter.*|proxy_cookie_.*|(?:proxy|uwsgi)_hide_header|proxy_cache.*|uwsgi_cache.*|proxy_no_cache|proxy_store.*"
)
# Headers that the site of the role sends to the application in its own way.
_OWN_HEADERS = {
    "HTTP_HOST",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_URL_SCHEME",
    "HTTP_X_REQUEST_ID",
    "HTTP_CONNECTION",
    "HTTP_UPGRADE",
    "HTTP_GX_SECRET",
    "UWSGI_SCHEME",
    "REQUEST_SCHEME",
    "HTTPS",
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "REQUEST_METHOD",
    "REQUEST_URI",
    "CONTENT_TYPE",
    "CONTENT_LENGTH",
    "DOCUMENT_ROOT",
    "SERVER_PROTOCOL",
    "SERVER_PORT",
    "SERVER_NAME",
    "REMOTE_ADDR",
    "REMOTE_PORT",
}
# nginx sends them without being asked for.
_STANDARD_HEADERS = {
    "HTTP_ACCEPT",
    "HTTP_ACCEPT_ENCODING",
    "HTTP_COOKIE",
    "HTTP_USER_AGENT",
    "HTTP_REFERER",
    "HTTP_CONTENT_TYPE",
    "HTTP_CONTENT_LENGTH",
}


def inside(directive: Directive) -> Iterator[Directive]:
    """Every directive inside, however deep."""
    for inner in directive.block or ():
        yield inner
        yield from inside(inner)


def shown(directive: Directive) -> str:
    """A directive as it may be shown: without a key or a password in it."""
    if directive.name.endswith("_pass"):
        return str(Directive([directive.name, *map(mask_line, directive.words[1:])], 0))
    if (
        directive.arguments in (["on"], ["off"])
        or _PATH.fullmatch(" ".join(directive.words))
        or _CONNECTION.fullmatch(directive.name)
    ):
        return str(directive)
    for position, word in enumerate(directive.words[:2]):
        if is_secret(word) or "authorization" in word.lower():
            rest = [word if re.fullmatch(r"\$\{?\w+\}?", word) else MASK for word in directive.words[position + 1 :]]
            return str(Directive([*directive.words[: position + 1], *rest], 0))
    return mask_line(str(directive))


def is_guard(directive: Directive) -> bool:
    """Whether a directive decides who gets in."""
    if _GUARD.fullmatch(directive.name.lower()):
        return directive.arguments != ["off"] or directive.name != "ssl_verify_client"
    return (
        directive.name == "return"
        and directive.arguments[:1] != []
        and directive.words[1] in ("400", "401", "403", "404", "405", "410", "444")
    )


def is_own_variable(directive: Directive) -> bool:
    """Whether a C(set) changes what nginx does, and not only a variable of the site."""
    return directive.name == "set" and directive.arguments[:1] != [] and directive.words[1] in _OWN_VARIABLES


def environ_name(directive: Directive) -> str:
    """The name that the application knows a header by which the directive sets."""
    name = directive.words[1].upper().replace("-", "_")
    return name if directive.name == "uwsgi_param" else f"HTTP_{name}"


def verdict(directive: Directive, remedy: str) -> tuple[str, str]:
    """What becomes of a directive, and why, or what to do: I(remedy) says where a line of its place is to be written."""
    name = directive.name
    if directive.code or "_by_lua" in name:
        return PROBLEM, f"this collection does not understand Lua, which may decide who gets in: {remedy}"
    if is_guard(directive):
        return PROBLEM, f"the site of the role would let in whom this line keeps out: {remedy}"
    if name in ("proxy_set_header", "uwsgi_param") and len(directive.words) > 1:
        return _header(directive, remedy)
    if _CONNECTION.fullmatch(name):
        unbuffered = name.endswith("buffering") and directive.arguments == ["off"]
        unbuffered_remedy = (
            ": for uploads or responses that must not wait in nginx, set nginx_proxy_unbuffered_paths"
            if unbuffered
            else ""
        )
        return (
            NOT_NEEDED,
            f"nginx speaks the uwsgi protocol with the application from now on, with settings of the role{unbuffered_remedy}",
        )
    if _TLS.fullmatch(name):
        return NOT_NEEDED, "the role has settings of its own for TLS"
    if _LOG.fullmatch(name):
        return NOT_NEEDED, "the role writes logs of its own, /var/log/nginx/<instance>.access.log and so on"
    if directive.arguments and directive.arguments[0] != _REQUESTS.get(name, directive.arguments[0]):
        return NOTE, f"requests come to the application otherwise without this line: if they must not, {remedy}"
    if _SETTING.fullmatch(name):
        return NOT_NEEDED, "the role has its own setting for this, or nginx.conf says what holds"
    if _RESPONSE.fullmatch(name):
        return NOTE, f"the responses change without this line: if they must not, {remedy}"
    if name in ("rewrite", "return"):
        return (
            PROBLEM,
            f"requests go elsewhere by this line, and no input of the roles does the same: {remedy}",
        )
    if name.startswith("upload_") or name == "upload":
        return (
            PROBLEM,
            "nginx's upload module is not used by the role, which receives uploads itself: remove the location, and nginx_upload_* of galaxy.ini",
        )
    return PROBLEM, f"no input of the roles does the same, and this collection does not know the line: {remedy}"


def _header(directive: Directive, remedy: str) -> tuple[str, str]:
    name = environ_name(directive)
    if name in _OWN_HEADERS:
        return NOT_NEEDED, "the role sends the application this in its own way"
    if name in _STANDARD_HEADERS and directive.words[-1] == "$" + name.lower():
        return NOT_NEEDED, "nginx sends what the client has sent"
    if name == "HTTP_X_REAL_IP":
        return NOT_NEEDED, "the application gets the address of the client as REMOTE_ADDR"
    line = shown(Directive(["uwsgi_param", name, *directive.words[2:]], 0))
    if remedy not in (TO_SITE, TO_APPLICATION):
        return PROBLEM, f"the application would not get this header: {remedy}"
    # The role takes such a line for the whole site only: in a location it would take away all those of the site.
    return PROBLEM, f"the application would not get this header: write '{line};' into nginx_proxy_server_snippet"
