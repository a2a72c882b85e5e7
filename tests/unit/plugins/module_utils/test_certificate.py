# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of certificates, with real ones that OpenSSL has made."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.galaxyops.uwsgi.plugins.module_utils._certificate import Certificate, check


def openssl(*arguments: str, text: str = "") -> None:
    """Run OpenSSL."""
    subprocess.run(["openssl", *arguments], input=text, text=True, check=True, capture_output=True)


def make(directory: Path, name: str, *options: str) -> Certificate:
    """A certificate for galaxy.example.org that vouches for itself, and its key."""
    path, key = directory / f"{name}.pem", directory / f"{name}.key"
    names = ["-addext", "subjectAltName=DNS:galaxy.example.org,DNS:*.ep.interactivetool.galaxy.example.org"]
    kind = options or ("-newkey", "rsa:2048")
    openssl("req", "-x509", "-nodes", "-days", "30", "-subj", f"/CN={name}", *names, *kind, "-keyout", str(key), "-out", str(path))
    key.chmod(0o600)
    return Certificate(str(path), str(key), (), "nginx_proxy_ssl_certificate", "nginx_proxy_ssl_certificate_key")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def good(directory: Path) -> Certificate:
    """A certificate that nothing is wrong with."""
    return make(directory, "good")


@pytest.fixture(scope="module")
def other(directory: Path) -> Certificate:
    """Another one."""
    return make(directory, "other")


@pytest.fixture(scope="module")
def elliptic(directory: Path) -> Certificate:
    """One with a key of another kind."""
    return make(directory, "elliptic", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


def messages(certificate: Certificate) -> list[str]:
    return [f"{finding.severity}: {finding}" for finding in check(certificate)]


def test_good_ones(good: Certificate, elliptic: Certificate) -> None:
    names = ("galaxy.example.org", "*.ep.interactivetool.galaxy.example.org")
    for certificate in (good, elliptic):
        assert messages(replace(certificate, names=names)) == []


def test_a_chain(good: Certificate, other: Certificate, directory: Path) -> None:
    chain = directory / "chain.pem"
    chain.write_text(Path(good.path).read_text() + Path(other.path).read_text())
    assert messages(replace(good, path=str(chain), names=("galaxy.example.org",))) == []
    chain.write_text(Path(other.path).read_text() + Path(good.path).read_text())
    (message,) = messages(replace(good, path=str(chain)))
    assert "put the site's own certificate first" in message


def test_files_that_are_not_there(good: Certificate, directory: Path) -> None:
    missing = str(directory / "missing.pem")
    assert messages(replace(good, path=missing, key=missing)) == [
        f"error: {missing}: nginx_proxy_ssl_certificate: the file does not exist: correct the path, or have it made first",
        f"error: {missing}: nginx_proxy_ssl_certificate_key: the file does not exist: correct the path, or have it made first",
    ]


def test_files_that_are_something_else(good: Certificate) -> None:
    assert ["no certificate" in message for message in messages(replace(good, path=good.key))] == [True]
    assert ["no private key" in message for message in messages(replace(good, key=good.path))] == [True]


@pytest.mark.parametrize("kind", ["other", "elliptic"])
def test_the_key_of_another_certificate(good: Certificate, kind: str, request: pytest.FixtureRequest) -> None:
    key = request.getfixturevalue(kind).key
    (message,) = messages(replace(good, key=key))
    assert message.startswith(f"error: {key}: nginx_proxy_ssl_certificate_key: the key does not belong to the first certificate in {good.path}")


def test_an_encrypted_key(good: Certificate, directory: Path) -> None:
    key = directory / "encrypted.key"
    openssl("pkey", "-in", good.key, "-aes256", "-passout", "pass:secret", "-out", str(key))
    (message,) = messages(replace(good, key=str(key)))
    assert "the key is encrypted" in message


def test_a_certificate_that_is_cut_off(good: Certificate, directory: Path) -> None:
    short = directory / "short.pem"
    short.write_text(Path(good.path).read_text()[:300])
    (message,) = messages(replace(good, path=str(short)))
    assert message.startswith(f"error: {short}: nginx_proxy_ssl_certificate: OpenSSL cannot use the certificate")


def test_a_key_that_everybody_may_read(directory: Path) -> None:
    certificate = make(directory, "open")
    Path(certificate.key).chmod(0o644)
    (message,) = messages(certificate)
    assert message.startswith(f"warning: {certificate.key}: nginx_proxy_ssl_certificate_key: everybody on the host may read the key")


def test_a_name_that_it_is_not_for(good: Certificate) -> None:
    (message,) = messages(replace(good, names=("galaxy.example.org", "other.example.org")))
    assert message.startswith(f"warning: {good.path}: nginx_proxy_ssl_certificate: browsers will refuse the certificate: ")
    assert "'other.example.org'" in message


def test_one_that_has_expired(good: Certificate, directory: Path) -> None:
    old = directory / "old.pem"
    openssl("x509", "-in", good.path, "-signkey", good.key, "-days", "-1", "-out", str(old))
    (message,) = messages(replace(good, path=str(old)))
    assert message.endswith("browsers will refuse the certificate: certificate has expired")
