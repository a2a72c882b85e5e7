# Copyright: (c) 2026, the galaxyops.uwsgi authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mask keys and passwords in what is shown.

A value is masked when its name says that the value is a secret, or when the value itself looks like one: the password of a URL, a private
key, a text that nobody would make up. Names cannot all be known, and not every secret looks random. So both count, and rather too much
is masked than too little. Switches, numbers, paths and words stay readable.
"""

from __future__ import annotations

import re
from functools import lru_cache

MASK = "********"

_MASKED = rf"\g<shown>{MASK}"

# The words that a name is made of: db_pass, beaker.session.validate_key, AccountKey
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORD = re.compile(
    r"(?:.*(?:secret|passwd|password|passphrase|passcode|credential|token|apikey)s?"
    r"|(?!(?:by|com|tres)pass\Z).*pass|.*pwd?|pword|creds?|authorization|bearer|psk|salt|hmac|otp|totp|pin|sig|signature)\Z"
)
_KEY_WORD = re.compile(r"(?!(?:mon|tur|don|hot|whis|joc|hoc)keys?\Z).*keys?\Z")
# What a name that ends so has as its value, in whatever way the value has to do with a secret
_PLACE_WORDS = frozenset(("file", "files", "filename", "path", "dir", "directory", "location", "store", "socket"))
_ADDRESS_WORDS = frozenset(("url", "uri", "endpoint", "server", "host"))
# Beaker's name of its cookie, the names of loggers, handlers and formatters, and where nginx passes requests to, which is an address
_NO_SECRET = re.compile(r"(?:.*[._])?session[._]key|keys|(?:.*\s)?(?:proxy|uwsgi|fastcgi|scgi|grpc|memcached)_pass\s+\S+")
_SWITCH = re.compile(r"(?:true|false|yes|no|on|off|none|null)\Z", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?[a-z]{0,3}\Z", re.IGNORECASE)
_PATH = re.compile(r"(?:/|~/|\.{1,2}/|%\(here\)s/)[^\s:;,]*\Z")
_ADDRESS = re.compile(r"(?:[a-z]+://)?[^\s@]+\Z")

# Each run of characters that a name may have is read once, as a whole. The group in the lookahead stands for a possessive repetition, which
# Python has from 3.11 on.
_RUN = r"[\w. -]"
_NAME = re.compile(rf"(?<!{_RUN})(?=(?P<name>{_RUN}+))(?P=name)[\"']?\s*[=:]")
_URL_PASSWORD = re.compile(r"(?P<shown>://[^:/?#@\s]*:)(?P<hidden>.+)")
_BASIC_AUTH = re.compile(r"(?P<shown>basicauth(?:(?!basicauth)[\w-])*:(?:(?!basicauth)[^,])*,[^:]*:)(?P<hidden>\S+)")
_BEARER = re.compile(r"(?P<shown>\b(?:bearer|basic)\s+)(?P<hidden>[\w.~+/=-]{8,})", re.IGNORECASE)
# A user with a password and no scheme before, an option of a command with its value, and a user of HTTP without a password, who is a token
_USER_PASSWORD = re.compile(
    r"(?P<shown>(?<![^\s=\"'(,\[{])(?![\w.+-]*(?:mail|mailto|users|contact|_to|_from|sips?|acct|xmpp):)[\w.+-]+:)(?P<hidden>(?!//)[^\s@/,]+)(?=@[\w\[])"
)
_OPTION = re.compile(r"(?P<shown>(?<!\S)--?(?P<name>[A-Za-z][\w-]*)\s+)(?P<hidden>[^\s-]\S*)")
_USER_OPTION = re.compile(r"(?P<shown>(?<!\S)(?:-u|--user)(?:\s+|=)[^\s:]+:)(?P<hidden>\S+)")
_URL_TOKEN = re.compile(r"(?P<shown>\bhttps?://)(?P<hidden>[^\s:/?#@]{8,})(?=:?@)")
# How those begin that well-known services give away, and the password of a cluster of uWSGI behind its cipher
_TOKEN = re.compile(r"(?<![\w-])(?:glpat-|gh[pousr]_|github_pat_|xox[abeprs]-|[rs]k_live_|dckr_pat_)[\w-]{8,}")
_CIPHER = re.compile(r"(?P<shown>(?<=\s)(?:aes|aria|bf|camellia|cast5?|des|idea|rc\d|seed)[\w-]*:)(?P<hidden>\S+)", re.IGNORECASE)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?P<rest>.*)")
_PRIVATE_KEY_END = "-----END "

# What may be a text that a machine has made up, and what of that is letters and digits
_LONG = re.compile(r"(?<![A-Za-z0-9+_/.~-])(?:[./~]*)[A-Za-z0-9+_/.~-]{16,}={0,2}")
_SHORTEST = 16
_ALNUM = re.compile(r"[A-Za-z0-9]+")
_PIECE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# A part of a name that tells a version
_VERSION = re.compile(r"[vV]\d{1,3}")
_HEXADECIMAL = re.compile(r"(?=[^\W_]*[a-fA-F])(?=[^\W_]*\d)[0-9a-fA-F]{16,}\Z")
_UNPRONOUNCEABLE = re.compile(r"[b-df-hj-np-tv-xz]{5}")
_MIXED = re.compile(r"(?<!\S)(?=\S*[a-z])(?=\S*[A-Z])(?=\S*\d)(?=\S*[!#$%^&*?])[^\s\"'(){}\[\]|\\/:;,=<>@]{10,}(?!\S)")


@lru_cache(maxsize=2**12)
def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in _WORD.findall(name))


def is_secret(name: str) -> bool:
    """Whether the option I(name) has a secret value by its name."""
    words = _words(name)
    if "snmp" in words and "community" in words:
        return True
    return any(_SECRET_WORD.match(word) or _KEY_WORD.match(word) for word in words) and not _NO_SECRET.fullmatch(name.strip().lower())


def _is_plain(name: str, value: str) -> bool:
    """Whether I(value) is none that an option whose I(name) has to do with secrets would have to hide: a switch, a limit, a place."""
    value = value.strip().strip("\"'")
    words = _words(name)
    last = words[-1] if words else ""
    if not value or _SWITCH.match(value):
        return True
    if not _SECRET_WORD.match(last) and _NUMBER.match(value):
        return True
    if _PATH.match(value):
        return (last in _PLACE_WORDS or not _SECRET_WORD.match(last)) and not _is_random(value)
    return last in _ADDRESS_WORDS and bool(_ADDRESS.match(value)) and "?" not in value and not _is_random(value)


def mask_value(name: str, value: str) -> str:
    """I(value) of the option I(name) as it may be shown."""
    return MASK if is_secret(name) and not _is_plain(name, value) else mask_line(value)


def mask_assignment(line: str, name: str, value: str) -> str:
    """A I(line) that ends with the I(value) of the option I(name), as it may be shown."""
    if not is_secret(name) or _is_plain(name, value):
        return mask_line(line)
    return line[: len(line) - len(value.lstrip())] + MASK


# Most lines are on both sides of a diff.
@lru_cache(maxsize=2**15)
def mask_line(line: str) -> str:
    """Mask what in I(line), or in each line of a longer text, is a secret by its own looks."""
    return "\n".join(map(_mask_one, _mask_private_keys(line.split("\n"))))


def _mask_private_keys(lines: list[str]) -> list[str]:
    """Mask the lines of private keys in PEM form."""
    masked = []
    inside = False
    for line in lines:
        if inside:
            inside = _PRIVATE_KEY_END not in line
            masked.append(line if not inside or not line.strip() else line[: len(line) - len(line.lstrip())] + MASK)
            continue
        found = _PRIVATE_KEY.search(line)
        inside = bool(found) and _PRIVATE_KEY_END not in line
        masked.append(line[: found.start("rest")] + MASK if found and found["rest"].strip() else line)
    return masked


def opens_private_key(line: str) -> bool:
    """Whether a private key in PEM form begins in I(line) and does not end there."""
    return bool(_PRIVATE_KEY.search(line)) and _PRIVATE_KEY_END not in line


def closes_private_key(line: str) -> bool:
    """Whether a private key in PEM form ends in I(line)."""
    return _PRIVATE_KEY_END in line


def _mask_one(line: str) -> str:
    """Mask one line."""
    if "://" in line:
        line = _mask_url_passwords(line)
    if "basicauth" in line:
        line = _BASIC_AUTH.sub(_MASKED, line)
    for match in _NAME.finditer(line):
        value = line[match.end() :].lstrip()
        if value and is_secret(match["name"]) and not _is_plain(match["name"], value):
            line = line[: len(line) - len(value)] + MASK
            break
    line = _BEARER.sub(_MASKED, line)
    if "@" in line:
        line = _URL_TOKEN.sub(_MASKED, _USER_PASSWORD.sub(_MASKED, line))
    if "-" in line:
        line = _USER_OPTION.sub(_MASKED, _OPTION.sub(_mask_option, line))
    line = _TOKEN.sub(MASK, _CIPHER.sub(_MASKED, line))
    line = _MIXED.sub(MASK, line)
    return _LONG.sub(_mask_random, line)


def _mask_option(match: re.Match[str]) -> str:
    """Mask the value of an option of a command."""
    if not is_secret(match["name"]) or _is_plain(match["name"], match["hidden"]):
        return match[0]
    return match["shown"] + MASK


def _mask_random(match: re.Match[str]) -> str:
    """Mask a text that nobody would make up; of a path, the names in it that are such texts."""
    text = match[0]
    if text[0] in "/.~":
        return "/".join(MASK if len(name) >= _SHORTEST and _is_random(name) else name for name in text.split("/"))
    return MASK if _is_random(text) else text


def _is_random(text: str) -> bool:
    """Whether a text of letters, digits and a few other characters is one that a machine has made up: hardly any of it is words."""
    parts = [part for part in _ALNUM.findall(text) if not part.isdigit()]
    if any(_HEXADECIMAL.match(part) for part in parts):
        return True
    if any(len(part) >= 12 and _changes(part) >= 3 for part in parts):
        return True
    if sum(map(len, parts)) < _SHORTEST:
        return False
    return sum(map(_worded, parts)) < 0.6 * sum(map(len, parts))


def _changes(part: str) -> int:
    """How often letters and digits take turns."""
    return sum(first.isdigit() != second.isdigit() for first, second in zip(part, part[1:]))


def _worded(part: str) -> int:
    """How many characters of I(part) belong to words; one that stands alone may be an abbreviation, like SSL."""
    if part.isalpha() and len(part) <= 8 and (part[1:].islower() or part.isupper()):
        return len(part)
    if _VERSION.fullmatch(part):
        return len(part)
    pieces = _PIECE.findall(part)
    # More than every third letter begins a word: there are no such words.
    if len(part) >= 12 and len(pieces) > len(part) / 3:
        return 0
    return sum(len(piece) for piece in pieces if _is_word(piece))


def _is_word(piece: str) -> bool:
    """Whether a word may be spelt so: it has a vowel, and can be spoken."""
    lower = piece.lower()
    return len(piece) >= 4 and any(vowel in lower for vowel in "aeiouy") and not _UNPRONOUNCEABLE.search(lower)


def _mask_url_passwords(line: str) -> str:
    """Mask the password in the URL of one line: all up to the last C(@), because a password may have some too."""
    url, at, rest = line.rpartition("@")
    return _URL_PASSWORD.sub(_MASKED, url) + at + rest
