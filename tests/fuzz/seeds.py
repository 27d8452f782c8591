"""Writes the inputs that fuzzing begins with: `python -m tests.fuzz.seeds`. Run it when a property takes other bytes.

They are made of the platforms' samples and of the small ones among the hostile bodies.
"""

import base64
import gzip
import hashlib
import hmac
import zlib
from collections.abc import Iterator
from pathlib import Path

from app.query.fields import Field, Kind, Op
from app.query.routes import RESOURCES
from tests.fuzz.of_connections import TOKEN
from tests.fuzz.targets import CORPUS
from tests.security.hostile import bodies

_SAMPLES = Path(__file__).parent.parent / "providers" / "samples"
_LARGEST = 3000
_FEW = 200
_MASKED = (
    b'{"callbacks": ["https://x.test/callbacks/wegroup/cbt_'
    + b"a" * 43
    + b'"], "shash": "1", "docToken": {"token": "x"}}'
)
_TEXT = "\u00fc" * 1500
_LONG = (
    f'{{"data": {{"iId": 7, "bExternalId": "{_TEXT}", "productName": "{_TEXT}"}},'
    f' "customer": {{"cStreet": "{_TEXT}"}}, "prospect": {{"id": 7, "last_name": "{_TEXT}"}}}}'
).encode("latin-1")
_RECIPES = (
    b"{}",
    b'{"algorithm": "hmac-sha256", "encoding": "base64", "truncate": 20, "key": "hash"}',
    b'{"algorithm": "sha512", "parts": ["data_raw", "secret"], "separator": "|", "encoding": "HEX"}',
    b'{"algorithm": "sha1", "parts": ["=x", "status", "iCreated", "iUpdated", "bExternalId", "aToken"]}',
    b'{"parts": ["iId"]}',
)
_ITEM = b'{"data": {"bToken": "t", "iId": 77, "status": 6.5, "iUpdated": "2026-01-01", "bExternalId": null}}'
_QUERIES = (
    b"status=4,6&limit=10&order=asc",
    b"updated_on[gte]=2026-01-01&updated_on[lt]=2026-02-01&bucket=week&by=created_on&tz=Europe/Berlin",
    b"received_at[gte]=-24h&received_at[lt]=2026-03-09T10:00:00.123%2B01:00&bucket=hour&group_by=source,status",
    b"customer.last_name[prefix]=M%C3%BCller&ref=crm:Nr:1&broker_external_id[null]=true",
    b"id=01957a3e-8c00-7000-8000-000000000001&source=thinksurance-test&provider=thinksurance&verdict[nin]=invalid",
    b"q=Muster+K%C3%B6ln&kind=customer,lead&premium_yearly_cents[gt]=100&tax_percent[ne]=19.5",
    b"unknown=1&status[like]=4&limit=0&order=up&cursor=abc&body_sha256=zz&occurred_on=-7d&changes=status:6",
    b"name=%00",
    b"product_name=%ED%A0%80",
    b"product_name=%00",
    b"created_on[in]=2026-01-01,2026-01-02&by=created_on&bucket=month",
)
_POSTED = (
    b'{"customer.last_name[prefix]": "Muster", "status": [4, 6], "limit": 20}',
    b'{"digital_order_success": true, "created_on[gt]": "-7d", "source": ["thinksurance-test"], "limit": 1.5}',
    b'{"a": null, "b": {}, "\\u0000": "\\u0000"}',
    b"[]",
)
_TIMES = (
    b"2026-03-29T10:00:00.123456789+01:00",
    b"2026-03-29",
    b"-24h",
    b" 2w",
    b"Europe/Berlin",
    "Müller Straße".encode(),
)
_FORWARDED = (
    b"198.51.100.7, 10.0.0.1",
    b"[2001:db8::1]:443, 198.51.100.7:80",
    b"::ffff:198.51.100.7\nfe80::1%eth0",
    b"unknown, 10.0.0.1",
)
_ANSWERS = (
    b'{"url": "https://x.test", "inquiryId": 7, "inquiryHash": "a"}',
    b'[{"status": "success"}, {"error": "no such broker"}]',
    b'{"0": {"bToken": "t", "status": "active"}}',
    b'{"bToken": null, "status": 1}',
    b'[{"aToken": "t", "name": "x"}]',
    b'[{"id": "7", "name": "x"}, {"id": 0}]',
    b'{"77": {"sHash": "x", "data": {"iId": 77}}}',
    b'{"data": {"status": "ok", "agentId": "123", "client": "true", "nif": "12345678z", "multiAcceso": 0}}',
    b'{"leadId": 7, "idLanding": " ", "message": "x"}',
    b'{"detail": {"type": "x", "errors": [{"type": "y", "target": "policies.0.coverages.1.premium", "message": "z"}]}}',
    b'{"error": {"code": 1}}',
    *([b"{}"] * 8),
    b'{"detail": [{"loc": ["body", "prospect", "policies", 0], "msg": "x", "type": "y"}]}',
)
_PDF = b"%PDF-1.4 " + bytes(range(256))
_FILES = (
    _PDF,
    base64.b64encode(_PDF),
    b'"' + base64.b64encode(_PDF).replace(b"/", b"\\/") + b'"',
    b'{"pdfbinary": "' + base64.b64encode(_PDF * 4) + b'"}',
    b'[{"pdfbinary": "' + base64.encodebytes(_PDF).replace(b"\n", b"\\n") + b'"}]',
    b"<!doctype html><html>",
    b'{"error": "no such document"}',
)
_SPECIAL = {
    "parse_source": "thinksurance-test",
    "parse_provider": "thinksurance",
    "parse_status_name": "ordered",
    "_parse_digest": "0" * 64,
}
_HEAD = b"POST /callbacks/%s/%s%d HTTP/1.1\r\nhost: x\r\n"
_IDS = bytes.fromhex("01957a3e8c0070008000000000000001") + b"\x01\x95\x7a\x3e\x8c" + "lead/ü".encode()


def seeds() -> Iterator[tuple[str, bytes]]:
    """Yield target and input."""
    samples = {name: _samples(name) for name in ("thinksurance", "wegroup")}
    hostile = [(body.content, body.encoding) for body in bodies() if len(body.content) <= _FEW or body.encoding]
    for content, encoding in hostile:
        if encoding and len(content) <= _LARGEST:
            yield "decoding", b"\xff" + encoding.encode() + b"\n" + content
        if len(content) <= _FEW:
            yield "lenient-json", content
    for name, ones in samples.items():
        for number, content in enumerate(ones):
            yield name, bytes([number % 256]) + content
            yield "deliveries", bytes([2 + (name == "wegroup")]) + content
            if len(content) < 500:
                yield "lenient-json", content
                yield "form-fields", b"\1" + content
                yield "connections", b"\0" + _request(name, content)
    yield "decoding", b"\xffgzip\n" + gzip.compress(bytes(1 << 20), mtime=0)
    yield "decoding", b"\xffdeflate, gzip\n" + gzip.compress(zlib.compress(bytes(1 << 20)), mtime=0)
    yield "lenient-json", b"[-9223372036854775809, 18446744073709551616, -9223372036854775808, 1e-400, 0.1e309]"
    for number, name in enumerate(("thinksurance", "wegroup")):
        yield name, b"\0" + _LONG
        yield "deliveries", bytes([2 + number]) + _LONG
    for packing in range(6):
        yield "decoding", bytes([packing]) + samples["wegroup"][0][:_FEW]
        yield "masked-bytes", bytes([packing % 3, packing]) + _MASKED
    for encoding in ("utf-16", "utf-16-be", "utf-32", "utf-8-sig"):
        yield "masked-bytes", b"\0\xff" + _MASKED.decode().encode(encoding)
        yield "lenient-json", _ITEM.decode().encode(encoding)
    yield "masked-bytes", b"\0\xffx=" + _MASKED.replace(b'"', b"%22").replace(b"cbt", b"%63b%74")
    yield "masked-bytes", b"\0\xff" + _MASKED.replace(b"cbt", b"c\\u0062t")
    yield "masked-items", _MASKED
    yield "masked-items", _ITEM
    yield from _others()


def _others() -> Iterator[tuple[str, bytes]]:
    for recipe in _RECIPES:
        yield "recipe", recipe + b"\n" + _ITEM
    yield from _questions()
    for text in _TIMES:
        yield "times", text
    for number, lines in enumerate(_FORWARDED):
        yield "senders", bytes([number * 64 % 256]) + lines
    for number, answer in enumerate(_ANSWERS):
        yield "answers", bytes([number]) + answer
    for number, file in enumerate(_FILES):
        yield "files", bytes([number & 1, 30 * number]) + file
    yield "cursors", b"AAAA\nabc"
    yield from (("sender-checks", one) for one in _proofs())
    yield "folding", bytes(range(0, 240, 5))
    yield "names", bytes(range(0, 240, 11))
    yield "ids", _IDS
    yield from (("connections", one) for one in _talks())


def _questions() -> Iterator[tuple[str, bytes]]:
    for number, query in enumerate(_QUERIES):
        for place in range(len(RESOURCES)):
            yield "questions", bytes([place, number]) + query
        yield "statistics", bytes([number % 3, number]) + query
    for number, resource in enumerate(RESOURCES):
        for op in Op:
            named = "&".join(
                f"{name}[{op}]={_value(field, op)}" for name, field in resource.fields.items() if op in field.ops
            )
            yield "questions", bytes([number, 1]) + named.replace("[eq]", "").encode()
    for number, body in enumerate(_POSTED):
        yield "posted", bytes([2, number]) + body


def _value(field: Field, op: Op) -> str:
    """Return a value that a field can be compared with."""
    if op is Op.NULL:
        return "true"
    if field.words:
        return next(iter(field.words))
    values = {Kind.INTEGER: "4", Kind.DECIMAL: "19.5", Kind.BOOLEAN: "true", Kind.DATE: "2026-01-01"}
    values |= {Kind.INSTANT: "2026-01-01T10:00:00Z", Kind.ID: "01957a3e-8c00-7000-8000-000000000001"}
    return _SPECIAL.get(field.parse.__name__ if field.parse else "", values.get(field.kind, "a:b:c"))


def _request(platform: str, body: bytes) -> bytes:
    head = _HEAD % (platform.encode(), TOKEN[:-1].encode(), platform == "wegroup")
    return head + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def _talks() -> Iterator[bytes]:
    """Yield connections: sent ahead, in chunks, in bytes, with offers, broken."""
    lead = b'{"id": "l1"}'
    one = _request("wegroup", lead)
    head = _HEAD % (b"wegroup", TOKEN[:-1].encode(), 1)
    yield b""
    yield b"\0" + one[:30]
    yield b"\0" + one[:-3]
    yield b"\0" + one * 3
    yield b"\1" + one
    yield b"\x10" + head + b"transfer-encoding: chunked\r\n\r\nc;x=y\r\n" + lead + b"\r\n0\r\nx: y\r\n\r\n"
    yield b"\0" + head + b"transfer-encoding: chunked\r\n\r\nzz\r\n"
    yield b"\0" + head + b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\ncontent-length: 12\r\n\r\n" + lead
    yield b"\0" + head + b"expect: 100-continue\r\ncontent-length: 12\r\n\r\n" + lead
    yield b"\0" + head + b"content-encoding: gzip\r\ncontent-length: 12\r\n\r\n" + lead
    yield b"\0" + head + b"content-length: 99999999\r\n\r\n"
    yield b"\0" + b"GET /early HTTP/1.0\r\n\r\n" + b"HEAD /callbacks/wegroup/x HTTP/1.1\r\nhost: x\r\n\r\n" + one
    yield b"\0CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield b"\0POST /%63allbacks/wegroup/%2e%2e//?q=\xff HTTP/1.1\r\nx-forwarded-for: 1.2.3.4\r\n\r\n"


def _proofs() -> Iterator[bytes]:
    """Yield senders that prove who they are, in each way, and one that does not."""
    digest = hmac.digest(b"geheim-wie-nie", b"{}", "sha256")
    login = b"Basic " + base64.b64encode(b"wegroup:geheim-wie-nie")
    yield b"\0\0\1\0geheim-wie-nie\n{}"
    yield b"\1\0\1\1" + login + b"\n{}"
    yield b"\2\0\1\3" + digest.hex().encode() + b"\n{}"
    yield b"\3\0\2\3v1=" + base64.b64encode(digest) + b"\n\4x\n{}"
    yield b"\4\0\1\1" + login + b"\n{}"
    yield b"\0\0\0{}"


def _samples(platform: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((_SAMPLES / platform).iterdir()) if path.stat().st_size <= _LARGEST]


def write() -> None:
    """Write the files, each named by what is in it; what lies there already stays."""
    for target, content in seeds():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(content).hexdigest()[:16]
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    write()
