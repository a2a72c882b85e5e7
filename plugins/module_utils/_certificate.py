# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check a TLS certificate and its key by using them: a server that has them is asked by a client, both in memory."""

from __future__ import annotations

import os
import re
import ssl
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Optional

from ansible_collections.galaxyops.uwsgi.plugins.module_utils import _managed_file as managed_file
from ansible_collections.galaxyops.uwsgi.plugins.module_utils._finding import Finding

_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")
_ENCRYPTED_KEY = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED", re.MULTILINE)

# ssl has a name for it from Python 3.10 on: what stands in the file is trusted, whoever signed it.
_PARTIAL_CHAIN = 0x80000


@dataclass(frozen=True)
class Certificate:
    """A certificate with its chain, its key, the host names it is to serve, and the variables that set the two paths."""

    path: str
    key: str
    names: Sequence[str] = ()
    variable: str = ""
    key_variable: str = ""


def check(certificate: Certificate) -> list[Finding]:
    """What keeps a server from using the certificate, or a client from accepting it."""
    findings = [
        *_check_file(certificate.path, certificate.variable, _certificate_problem),
        *_check_file(certificate.key, certificate.key_variable, _key_problem),
    ]
    if findings:
        return findings
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(certificate.path, certificate.key)
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"):
            message = (
                f"the key does not belong to the first certificate in {certificate.path}: give the key that it was made with, "
                "and where the file holds a chain, put the site's own certificate first"
            )
            return [Finding(certificate.key, 0, "error", message, option=certificate.key_variable)]
        message = f"OpenSSL cannot use the certificate with the key {certificate.key}: {error.reason or error}"
        return [Finding(certificate.path, 0, "error", message, option=certificate.variable)]
    return [*_check_mode(certificate), *_check_as_client(certificate, server)]


def _certificate_problem(content: bytes) -> Optional[str]:
    if b"-----BEGIN CERTIFICATE-----" not in content:
        return "there is no certificate in the file: it must be in PEM form, which has a line '-----BEGIN CERTIFICATE-----'"
    return None


def _key_problem(content: bytes) -> Optional[str]:
    if _ENCRYPTED_KEY.search(content):
        return "the key is encrypted, so a server cannot start by itself: give one without a passphrase, such as 'openssl pkey' writes"
    if not _PRIVATE_KEY.search(content):
        return "there is no private key in the file: it must be in PEM form, which has a line '-----BEGIN PRIVATE KEY-----'"
    return None


def _check_file(path: str, variable: str, problem_of: Callable[[bytes], Optional[str]]) -> list[Finding]:
    """Whether the file can be read and holds what it should."""
    content = managed_file.read(path)
    if content is None:
        problem: Optional[str] = "the file does not exist: correct the path, or have it made first"
    else:
        problem = problem_of(content)
    return [Finding(path, 0, "error", problem, option=variable)] if problem else []


def _check_mode(certificate: Certificate) -> list[Finding]:
    """Whether the key is one that everybody on the host has."""
    if not stat.S_IMODE(os.stat(certificate.key).st_mode) & stat.S_IROTH:
        return []
    message = "everybody on the host may read the key: take that away with 'chmod o-rwx'"
    return [Finding(certificate.key, 0, "warning", message, option=certificate.key_variable)]


def _check_as_client(certificate: Certificate, server: ssl.SSLContext) -> list[Finding]:
    """What a browser would say to the certificate, apart from who has signed it; a server can send it nevertheless."""
    problems = [_refusal(certificate.path, server, name.replace("*", "any")) for name in ["", *certificate.names]]
    # Something that is wrong whatever the name, such as its age, comes for every name.
    return [Finding(certificate.path, 0, "warning", f"browsers will refuse the certificate: {problem}", option=certificate.variable)
            for problem in dict.fromkeys(filter(None, problems))]


def _refusal(path: str, server: ssl.SSLContext, name: str) -> Optional[str]:
    """Connect to the server by this name, in memory, and return why the client does not accept the certificate."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = bool(name)
    client.verify_flags |= _PARTIAL_CHAIN
    client.load_verify_locations(path)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=name or None),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    # Each side says something two or three times.
    for _turn in range(5):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError as error:
                return str(error.verify_message)
    return None
