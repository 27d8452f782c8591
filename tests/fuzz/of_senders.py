"""What must hold for what a sender says of itself: its address, the request's id, and the proofs that a source demands.

The connection that it comes over is `of_connections`' business.
"""

import base64
import hmac
import ipaddress
import re

import orjson

from app.crypto import CALLBACK_TOKEN
from app.ingest.sender_checks import Check, Sender, find_refusal, is_sealed, sealed_headers
from app.ingest.senders import parse_networks, sender_address
from app.request_id import request_id_of
from tests.fuzz.cutting import Cut
from tests.fuzz.of_platforms import BENCH

_TRUSTED = (parse_networks("10.0.0.0/8, 2001:db8::/32, ::1"), parse_networks("0.0.0.0/0, ::/0"))
_PEERS = ("10.1.2.3", "203.0.113.9", "::ffff:10.1.2.3", "2001:db8::5", "", "nonsense")
_SALT = BENCH.receipt.delivery_id.bytes
_SECRET = "geheim-wie-nie"
_NAMES = ("x-proof", "authorization", "proxy-authorization", "x-signature", "x-other")
_SETTINGS = (
    {"sender_header": "X-Proof"},
    {"sender_user": "wegroup"},
    {"sender_hmac_header": "X-Signature"},
    {"sender_hmac_header": "X-Signature", "sender_hmac_encoding": "base64", "sender_hmac_prefix": "v1="},
    {"sender_header": "Authorization", "sender_user": "wegroup", "sender_networks": "10.0.0.0/8,::1"},
)
_CREDENTIALS = dict.fromkeys(("sender_header_value", "sender_password", "sender_hmac_key"), (_SECRET,))


def senders(data: bytes) -> None:
    """Input: a byte that chooses peer and trusted proxies, then `X-Forwarded-For`, a line each, and a request id."""
    cut = Cut(data)
    choice = cut.byte()
    peer, trusted = _PEERS[choice % len(_PEERS)], _TRUSTED[choice >> 7]
    lines = cut.rest().split(b"\n")
    headers = [(b"x-forwarded-for", line) for line in lines]
    found = sender_address(peer, headers, trusted)
    assert found == peer or str(ipaddress.ip_address(found)) == found
    assert len(found) <= 45, "an address, and nothing else"
    orjson.dumps(found.encode().decode())
    assert sender_address(peer, headers, ()) == peer
    request_id = request_id_of({"headers": [(b"x-request-id", lines[0])]})
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", request_id)
    assert not CALLBACK_TOKEN.match(request_id)


def sender_checks(data: bytes) -> None:
    """Input: bytes that choose checks, address and number of headers; for each a byte that names it and a line; a body.

    Who passes has shown the secret.
    """
    cut = Cut(data)
    source = BENCH.source("wegroup", settings=cut.one_of(_SETTINGS), credentials=_CREDENTIALS)
    address = cut.one_of(_PEERS)
    headers = [(cut.one_of(_NAMES), cut.line().decode("latin-1")) for _ in range(cut.byte() % 4)]
    body = cut.rest()
    sealed = sealed_headers(headers, source, _SALT)
    assert [name for name, _ in sealed] == [name for name, _ in headers]
    for name, value in sealed:
        assert is_sealed(value) or name not in ("authorization", "proxy-authorization")
    orjson.dumps(sealed)
    failed = find_refusal(source, Sender(address, sealed, _SALT), body)
    assert failed is None or isinstance(failed, Check)
    assert failed is not None or any(_proves(value, body) for _, value in headers), "who proves nothing is refused"


def _proves(value: str, body: bytes) -> bool:
    """Tell whether a header's value shows that its sender knows the secret."""
    login = re.fullmatch(r"\s*basic\s+(\S+)\s*", value, re.IGNORECASE)
    if login is not None and re.fullmatch(r"[A-Za-z0-9+/]+=*", login[1]):
        bare = login[1].rstrip("=")
        if base64.b64decode(bare + "=" * (-len(bare) % 4)) == f"wegroup:{_SECRET}".encode():
            return True
    told = "".join(value.split()).removeprefix("v1=")
    digest = hmac.digest(_SECRET.encode(), body, "sha256")
    is_base64 = re.fullmatch(r"[A-Za-z0-9+/]{43}=", told) is not None
    return value == _SECRET or told.lower() == digest.hex() or (is_base64 and base64.b64decode(told) == digest)
