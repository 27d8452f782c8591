"""Bodies that no platform means to send, by name; what must come of them stands in the tests."""

import gzip
import hashlib
import json
import random
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

LIMIT = 5 << 20
_dice = random.Random(4)  # noqa: S311 - the same bodies each time


class Body(NamedTuple):
    """One body, to be sent to both platforms."""

    name: str
    content: bytes
    encoding: str = ""


def wide(length: int = 8192) -> str:
    """Return a text that does not compress, so that no index takes it by luck."""
    return _dice.randbytes(length // 2).hex()


def inquiry(**data: Any) -> dict[str, Any]:
    """Return an IPNotification."""
    number = data.get("iId", 77)
    digest = hashlib.md5(f"t{number}s".encode(), usedforsecurity=False).hexdigest()
    return {
        "sHash": digest,
        "data": {"bToken": "t", "iId": number, "status": 6, "bExternalId": "42"} | data,
        "customer": {"cId": 5, "cLastName": "Beispiel"},
    }


def bodies() -> Iterator[Body]:
    """Give all of them."""
    yield from _encodings()
    yield from _numbers()
    yield from _sizes()
    yield from _wide_values()
    yield from _compressed()
    yield from _shapes()


def _encodings() -> Iterator[Body]:
    plain = json.dumps(inquiry(productName="Prüfung"), ensure_ascii=False)
    yield Body("nul-escaped", json.dumps(inquiry(productName="a\x00b", bExternalId="\x00")).encode())
    yield Body("nul-raw", plain.replace("Prüfung", "a\x00b").encode())
    yield Body("nul-in-key", b'{"id": "l\\u0000", "a\\u0000b": {"\\u0000": 1}}')
    yield Body("lone-surrogates", b'{"id": "\\ud800", "prospect": {"first_name": "x\\udfff", "\\ud83d": 1}}')
    yield Body("raw-surrogates", b'{"id": "\xed\xa0\x80", "first_name": "\xed\xbf\xbf"}')
    yield Body(
        "lone-surrogates-in-inquiry", json.dumps(inquiry(iId=78, bExternalId="\ud800", status="\udfff")).encode()
    )
    yield Body("latin-1", plain.encode("latin-1"))
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "cp1252", "cp037", "utf-7"):
        yield Body(encoding, plain.encode(encoding))
    yield Body("half-a-utf-16", plain.encode("utf-16")[:-1])
    yield Body("overlong", b'{"id": "\xc0\xaf\xe0\x80\xaf\xf8\x88\x80\x80\x80"}')
    yield Body("random", _dice.randbytes(10_000))
    yield Body("all-bytes", bytes(range(256)) * 8)


def _numbers() -> Iterator[Body]:
    long = "9" * 400
    for name, text in (
        ("long", long),
        ("negative", "-" + long),
        ("long-fraction", f"0.{long}"),
        ("huge-power", "1e400"),
        ("tiny-power", "1e-400000000"),
        ("nan", "NaN"),
        ("infinity", "-Infinity"),
        ("beyond-64", "18446744073709551616"),
        ("beyond-32", "4294967296"),
        ("negative-zero", "-0"),
        ("fraction", "77.5"),
        ("true", "true"),
        ("list", "[77, 78]"),
        ("object", '{"77": 78}'),
        ("hex", "0x4D"),
        ("text", f'"{long}"'),
        ("arabic-digits", '"\u0667\u0667"'),
    ):
        raw = json.dumps(inquiry()).replace(": 77", f": {text}").replace(": 6", f": {text}").replace(": 5", f": {text}")
        yield Body(f"number-{name}", raw.encode())
        yield Body(f"lead-number-{name}", f'{{"id": {text}, "updated_at": {text}, "event": {text}}}'.encode())
    yield Body("many-digits", b'{"id": ' + b"7" * 1_000_000 + b"}")
    money = ["premiumYearly", "coverage", "deductible", "revenue", "taxPercent", "contractDuration", "paymentInterval"]
    yield Body("money", json.dumps(inquiry(**dict.fromkeys(money, "9" * 400))).encode())
    yield Body("money-beyond", json.dumps(inquiry(**dict.fromkeys(money, 2**63 - 1))).encode())
    days = ["iCreated", "iUpdated", "bFoundDate", "contractStartDate", "contractPayDate"]
    for day in ("9999-12-31", "0000-00-00", "-4713-01-01", "294277-01-01", "2026-02-30", 10**18, -1, 1e300):
        yield Body(f"day-{day}", json.dumps(inquiry(**dict.fromkeys(days, day))).encode())


def _sizes() -> Iterator[Body]:
    yield Body("empty", b"")
    yield Body("blank", b" \r\n\t" * 100)
    for opening, closing in (("[", "]"), ('{"a":', "}"), ('{"data":', "}"), ('[{"a":', "}]")):
        yield Body(f"deep-{opening}", (opening * 100_000 + "1" + closing * 100_000).encode())
        size = LIMIT if opening == "[" else LIMIT // 5
        yield Body(f"bottomless-{opening}", (opening * (size // len(opening) - 10)).encode())
    yield Body("deep-inside", json.dumps(inquiry(iId=79)).replace('"42"', "[" * 9000 + "]" * 9000).encode())
    yield Body("wide-key", json.dumps({"x" * 1_000_000: 1, "id": "wide-key"}).encode())
    yield Body("wide-key-of-an-inquiry", json.dumps({"9" * 1_000_000: inquiry()}).encode())
    yield Body("wide-string", json.dumps(inquiry(productName=wide(4 << 20))).encode())
    yield Body("wide-id", json.dumps({"id": wide(4 << 20)}).encode())
    yield Body("many-keys", json.dumps({f"k{number}": {} for number in range(80_000)}).encode())
    yield Body(
        "many-unknown-fields", json.dumps(inquiry(**{f"k{number}": number for number in range(50_000)})).encode()
    )
    yield Body("many-empty-objects", b"[" + b"{}," * 400_000 + b"{}]")
    yield Body("many-strings", b"[" + b'"",' * 400_000 + b'""]')
    yield Body("doubled-keys", b'{"id": "a", "id": "b", "data": {"iId": 1, "iId": 2}, "data": {"iId": 3}}')
    yield Body("many-doubled-keys", b"{" + b'"id":1,' * 100_000 + b'"id":2}')
    yield Body("trailing", json.dumps(inquiry()).encode() + b"garbage")
    yield Body("two-values", json.dumps(inquiry()).encode() * 2)
    yield Body("trailing-nul", json.dumps(inquiry()).encode() + b"\x00\x00")
    yield Body("backslashes", b'{"id": "' + b"\\" * 1_000_001 + b'"}')
    yield Body("escapes", b'{"id": "' + b"\\u0041" * 500_000 + b'"}')
    yield Body("fullest", b"x" * LIMIT)


def _wide_values() -> Iterator[Body]:
    reference = {"origin": wide(), "paramKey": wide(), "paramValue": wide()}
    names = "bToken bExternalId iId status productName productId industryName industryId professionName professionId"
    names += (
        " insuranceCompanyName insuranceCompanyId insuranceCompanyExternalId agencyNumberExternalId coverage iUpdated"
    )
    for name in names.split():
        yield Body(f"wide-{name}", json.dumps(inquiry(**{"iId": 80, name: wide()})).encode())
    customer_names = "cId cExternalId cFirstName cLastName cEmail cPhone cWebsite cCompany cStreet cCity cZipcode"
    for name in customer_names.split():
        body = inquiry(iId=81)
        body["customer"] |= {name: wide()}
        yield Body(f"wide-{name}", json.dumps(body).encode())
    files = [{"name": wide(), "fullName": wide(), "hash": wide(), "fullFilePath": "https://x.test/" + wide()}]
    documents = {"docToken": {"token": wide(), "expired": wide()}, "files": files}
    yield Body("wide-documents", json.dumps(inquiry(iId=82) | {"docs": documents}).encode())
    yield Body("wide-reference", json.dumps(inquiry(iId=83, externalReferences=[reference] * 3)).encode())
    yield Body("wide-dictionary", json.dumps({wide(): inquiry(iId=84), "84": inquiry(iId=84), "": inquiry()}).encode())
    words = " ".join(wide(64) for _ in range(7000))
    yield Body("many-words", json.dumps(inquiry(iId=85, productName=words)).encode())
    notice = {"eventType": wide(), "eventId": wide(), "notificationId": wide(), "brokerReference": wide()}
    affected = [{"referenceType": wide(), "referenceId": wide(), "link": "https://x.test/" + wide()}]
    yield Body("wide-notification", json.dumps(notice | {"eventTime": wide(), "affected": affected}).encode())
    for name in ["id", "event", "updated_at", "origin", "backref", "source", "status", "distribution_id"]:
        yield Body(f"wide-lead-{name}", json.dumps({"id": "wide", "event": "x", name: wide()}).encode())
    party = ["id", "first_name", "last_name", "name", "email", "phone", "language", "birth_date", "vat_number"]
    prospect = {name: wide() for name in party}
    own = {"external_ref": wide(), "external_ref_company": wide()}
    objects = {wide(): [{"id": wide(), "vin": wide()}], "cars": [{"id": wide(), "vin": wide()}] * 50}
    yield Body("wide-prospect", json.dumps({"id": wide(), "prospect": prospect}).encode())
    yield Body("wide-own-reference", json.dumps({"prospect": {"external_ref": own, "callbacks": [wide()]}}).encode())
    yield Body("wide-objects", json.dumps({"id": "wide-objects", "prospect": {"risk_objects": objects}}).encode())
    emoji = "".join(chr(_dice.randrange(0x1F300, 0x1FAFF)) for _ in range(2048))
    yield Body("wide-emoji", json.dumps({"id": emoji, "event": emoji, "prospect": {"last_name": emoji}}).encode())


def _compressed() -> Iterator[Body]:
    plain = json.dumps(inquiry(iId=86)).encode()
    bomb = gzip.compress(b"0" * (1 << 25), 9)
    yield Body("gzip", gzip.compress(plain), "gzip")
    yield Body("deflate", zlib.compress(plain), "deflate")
    yield Body("gzip-of-nothing", b"", "gzip")
    yield Body("gzip-that-is-none", plain, "gzip")
    yield Body("gzip-cut-off", gzip.compress(plain)[:-9], "gzip")
    yield Body("gzip-with-garbage", gzip.compress(plain) + b"garbage", "gzip")
    yield Body("gzip-of-a-million-members", gzip.compress(b"") * 100_000, "gzip")
    yield Body("unknown-encoding", plain, "br")
    yield Body("many-encodings", plain, ", ".join(["gzip"] * 100))
    yield Body("gzip-unsaid", gzip.compress(plain))
    yield Body("bomb", bomb, "gzip")
    yield Body("bomb-in-a-bomb", gzip.compress(bomb), "gzip, gzip")
    yield Body("deflate-bomb", zlib.compress(b"[" * (1 << 25), 9), "deflate")


def _shapes() -> Iterator[Body]:
    odd: tuple[Any, ...] = (
        None,
        True,
        0,
        "x",
        [],
        {},
        [[]],
        [None],
        {"": ""},
        {"data": None},
        {"data": [1]},
        [1, "x", None, [{}]],
    )
    for value in odd:
        yield Body(f"shape-{json.dumps(value)}", json.dumps(value).encode())
    yield Body("everything-a-list", json.dumps(inquiry(**{name: [[]] for name in ("status", "iId")})).encode())
    yield Body("customer-is-text", json.dumps(inquiry(iId=87) | {"customer": "x", "docs": "y"}).encode())
    yield Body(
        "documents-are-odd", json.dumps(inquiry(iId=88) | {"docs": {"docToken": [1], "files": {"a": 1}}}).encode()
    )
    yield Body("form", b"data=%7B%22iId%22%3A1%7D&" + b"a[b][c]=1&" * 20_000)
    yield Body("form-deep", b"a" + b"[b]" * 100_000 + b"=1")
    yield Body("many-inquiries", json.dumps([inquiry(iId=1000 + number) for number in range(500)]).encode())
