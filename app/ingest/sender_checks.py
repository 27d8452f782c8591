"""Checks who sent a callback beyond its token, where a source demands it: address, header, Basic, HMAC over the body.

What is answered to a sender who is refused, and that it is kept, is the receiver's business; that it can be judged
again after a setting was mended, the processor's.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from app.ingest.contract import Source
from app.ingest.senders import Network, is_within, parse_networks

SETTINGS: Final = frozenset(
    {
        "sender_networks",
        "sender_header",
        "sender_user",
        "sender_hmac_header",
        "sender_hmac_algorithm",
        "sender_hmac_encoding",
        "sender_hmac_prefix",
    }
)
CREDENTIALS: Final = frozenset({"sender_header_value", "sender_password", "sender_hmac_key"})
"""Several of each may be good at once, so that they can be changed without a gap."""

NEEDS: Final[Mapping[str, str]] = {
    "sender_header": "sender_header_value",
    "sender_header_value": "sender_header",
    "sender_user": "sender_password",
    "sender_password": "sender_user",
    "sender_hmac_header": "sender_hmac_key",
    "sender_hmac_key": "sender_hmac_header",
    "sender_hmac_algorithm": "sender_hmac_header",
    "sender_hmac_encoding": "sender_hmac_header",
    "sender_hmac_prefix": "sender_hmac_header",
}
"""What is of no use without the other: half a check would be none, and nobody would notice."""

_ALGORITHMS = ("sha256", "sha512", "sha384", "sha1")
_ENCODINGS = ("hex", "base64")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_ALWAYS_SEALED = frozenset({"authorization", "proxy-authorization"})
_SEALED = re.compile(r"(?:Basic )?sha256:[0-9a-f]{64}")

Headers = Sequence[tuple[str, str]]


class Check(StrEnum):
    """What a sender can fail at."""

    NETWORKS = "networks"
    HEADER = "header"
    BASIC = "basic"
    HMAC = "hmac"


@dataclass(slots=True)  # not frozen, for one is made for each request: see `Item`
class Sender:
    """What is known of who sent: the address, and the headers as they are stored (see `sealed_headers`).

    `salt` is that of the sealed values: the bytes of the delivery's id.
    """

    address: str
    headers: Headers
    salt: bytes


def find_refusal(source: Source, sender: Sender, body: bytes) -> Check | None:
    """Return the first check of a source that its sender fails, None where it has none or all are passed.

    `body` is as it came, before any decompression. A check whose secret is gone is failed by everybody.
    """
    settings = source.settings
    if not settings:
        return None
    for setting, check, passes in _CHECKS:
        if setting in settings and not passes(source, sender, body):
            return check
    return None


def sealed_headers(headers: Headers, source: Source, salt: bytes) -> Headers:
    """Return headers as they may be stored: of credentials only a salted SHA-256, by which they can be checked again.

    Those are `Authorization`, `Proxy-Authorization` and the header that the source demands. A value of Basic keeps
    that word.
    """
    secret = source.settings.get("sender_header", "").lower()
    if not any(name == secret or name in _ALWAYS_SEALED for name, _ in headers):
        return headers
    return [
        (name, _sealed(name, value, salt) if name == secret or name in _ALWAYS_SEALED else value)
        for name, value in headers
    ]


def is_sealed(value: str) -> bool:
    """Tell whether a stored header's value is what `sealed_headers` makes of a credential."""
    return _SEALED.fullmatch(value) is not None


def _sealed(name: str, value: str, salt: bytes) -> str:
    if name == "authorization" and (login := _basic_login(value)) is not None:
        return f"Basic {_seal(login, salt)}"
    return _seal(value.encode("latin-1"), salt)


def _seal(value: bytes, salt: bytes) -> str:
    return f"sha256:{hashlib.sha256(salt + value).hexdigest()}"


def _basic_login(value: str) -> bytes | None:
    """Return `user:password` of Basic authentication (RFC 7617), None where a value is none."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    rest = rest.strip().rstrip("=")
    try:
        return base64.b64decode(rest + "=" * (-len(rest) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _same(shown: Collection[bytes], expected: Collection[bytes]) -> bool:
    """Tell whether one of the values shown is one expected, in a time that says nothing of either."""
    found = [hmac.compare_digest(one, other) for one in shown for other in expected]
    return any(found)


def _values(sender: Sender, name: str) -> list[str]:
    return [value for key, value in sender.headers if key.lower() == name]


def _comes_from_networks(source: Source, sender: Sender, _: bytes) -> bool:
    return is_within(sender.address, _networks(source.settings["sender_networks"]))


def _shows_header(source: Source, sender: Sender, _: bytes) -> bool:
    name = source.settings["sender_header"].lower()
    shown = [value if is_sealed(value) else _sealed(name, value, sender.salt) for value in _values(sender, name)]
    expected = [
        _sealed(name, form.decode("latin-1"), sender.salt)
        for value in source.credentials.get("sender_header_value", ())
        for form in _on_the_wire(value)
    ]
    return _same([one.encode("latin-1") for one in shown], [one.encode("latin-1") for one in expected])


def _logs_in(source: Source, sender: Sender, _: bytes) -> bool:
    user = source.settings["sender_user"]
    shown = [value.encode("latin-1") for value in _values(sender, "authorization") if is_sealed(value)]
    expected = [
        f"Basic {_seal(form, sender.salt)}".encode()
        for password in source.credentials.get("sender_password", ())
        for form in _on_the_wire(f"{user}:{password}")
    ]
    return _same(shown, expected)


def _signs(source: Source, sender: Sender, body: bytes) -> bool:
    settings = source.settings
    algorithm = settings.get("sender_hmac_algorithm", _ALGORITHMS[0])
    prefix = settings.get("sender_hmac_prefix", "")
    is_hex = settings.get("sender_hmac_encoding", _ENCODINGS[0]) == "hex"
    values = _values(sender, settings["sender_hmac_header"].lower())
    told = [value.strip().removeprefix(prefix).strip() for value in values if value.strip().startswith(prefix)]
    shown = [digest for one in told if (digest := _digest(one, is_hex=is_hex)) is not None]
    if not shown:
        return False
    keys = source.credentials.get("sender_hmac_key", ())
    return _same(shown, [hmac.digest(key.encode(), body, algorithm) for key in keys])


def _digest(text: str, *, is_hex: bool) -> bytes | None:
    try:
        return bytes.fromhex(text) if is_hex else base64.b64decode(text, validate=True)
    except ValueError:
        return None


def _on_the_wire(text: str) -> set[bytes]:
    """Return the bytes that senders make of a text: UTF-8, and Latin-1 where it has all the letters."""
    forms = {text.encode()}
    if all(ord(letter) < 256 for letter in text):  # noqa: PLR2004 - the size of Latin-1
        forms.add(text.encode("latin-1"))
    return forms


@lru_cache(maxsize=1024)
def _networks(text: str) -> tuple[Network, ...]:
    return parse_networks(text)


_CHECKS: Final[tuple[tuple[str, Check, Callable[[Source, Sender, bytes], bool]], ...]] = (
    ("sender_networks", Check.NETWORKS, _comes_from_networks),
    ("sender_header", Check.HEADER, _shows_header),
    ("sender_user", Check.BASIC, _logs_in),
    ("sender_hmac_header", Check.HMAC, _signs),
)


# --- What may be set -------------------------------------------------------------------------------------------------


def _check_networks(text: str) -> None:
    try:
        known = parse_networks(text)
    except ValueError:
        raise ValueError("is no list of addresses and networks such as 203.0.113.0/24,2001:db8::/32") from None
    if not known:
        raise ValueError("names no network")


def _check_header_name(text: str) -> None:
    if not _HEADER_NAME.fullmatch(text):
        raise ValueError("is no name of a header")


def _check_user(text: str) -> None:
    if ":" in text:
        raise ValueError("must have no colon, which ends it in Basic authentication")


def _one_of(words: Sequence[str]) -> Callable[[str], None]:
    def check(text: str) -> None:
        if text not in words:
            raise ValueError(f"is none of {', '.join(words)}")

    return check


SETTING_CHECKS: Final[Mapping[str, Callable[[str], None]]] = {
    "sender_networks": _check_networks,
    "sender_header": _check_header_name,
    "sender_user": _check_user,
    "sender_hmac_header": _check_header_name,
    "sender_hmac_algorithm": _one_of(_ALGORITHMS),
    "sender_hmac_encoding": _one_of(_ENCODINGS),
}
"""The checks of single settings, which raise ValueError with the reason."""
