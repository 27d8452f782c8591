"""Answers the bytes of a delivery as they came, our own tokens overwritten.

Shown as a download that no browser interprets, for the content is a stranger's.
"""

import asyncio
import gzip
import re
import zlib

import orjson
from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access, Scope
from app.query.access import FieldHidden
from app.query.deliveries import DELIVERIES, header
from app.query.details import check_parameters, no_such, parse_id
from app.query.personal import may_see
from app.query.reading import reading_of
from app.query.trail import note_reading
from app.query.walls import Statement, walled
from app.storage.models import deliveries

_LONGEST_ON_THE_LOOP = 256_000
_MOST_DECODED = 64 << 20
_SECRET_LENGTH = 43

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cache-Control": "private, no-store",
}


def _spelled(plain: str) -> bytes:
    """Return a pattern for one character of `plain` (a class): itself, escaped in JSON or in a form."""
    codes = [f"{code:02x}" for code in range(0x2D, 0x7B) if re.fullmatch(f"[{plain}]", chr(code))]
    hexes = "|".join(code if code.isdigit() else f"(?i:{code})" for code in codes)
    return f"(?:[{plain}]|\\\\u00(?:{hexes})|%(?:{hexes}))".encode()


_BEGINNING = _spelled("c") + _spelled("b") + _spelled("tx") + _spelled("_")
_SHAPES = (
    re.compile(b"(" + _BEGINNING + b")((?:" + _spelled("A-Za-z0-9_-") + b"){%d})" % _SECRET_LENGTH),
    re.compile(rb"(c\x00b\x00[tx]\x00_\x00)((?:[A-Za-z0-9_-]\x00){%d})" % _SECRET_LENGTH),
    re.compile(rb"(\x00c\x00b\x00[tx]\x00_)((?:\x00[A-Za-z0-9_-]){%d})" % _SECRET_LENGTH),
)
"""Our tokens and keys: plain or escaped; in UTF-16 with the low byte first; with the high byte first."""


async def answer_body(request: Request, text: str, access: Access) -> Response:
    """Return the bytes of a delivery.

    Raises:
        NotFound: there is no delivery of this id that the key may see.
        FieldHidden: the key lacks `read:personal`.
    """
    check_parameters(request)
    reading = reading_of(request)
    delivery_id = parse_id(DELIVERIES, text)
    statement: Statement = select(deliveries.c.headers, deliveries.c.body).where(deliveries.c.id == delivery_id)
    if not may_see(access):
        statement = statement.with_only_columns(deliveries.c.id)
    async with reading.asking() as connection:
        row = (await connection.execute(walled(statement, deliveries, access))).mappings().one_or_none()
    if row is None:
        raise no_such(DELIVERIES)
    if not may_see(access):
        raise FieldHidden("The bytes of a delivery are personal; the key lacks the scope `read:personal`.")
    await note_reading(reading, access, "deliveries/body", [delivery_id])
    body = bytes(row["body"])
    if not access.may(Scope.ADMIN):
        encoding = header(orjson.loads(row["headers"]), "content-encoding")
        if len(body) > _LONGEST_ON_THE_LOOP or encoding:
            body = await asyncio.to_thread(masked_body, body, encoding)
        else:
            body = masked_body(body, encoding)
    disposition = {"Content-Disposition": f'attachment; filename="{delivery_id}.bin"'}
    return Response(body, headers=_HEADERS | disposition, media_type="application/octet-stream")


def masked_body(body: bytes, encoding: str | None) -> bytes:
    """Return a body with our tokens and keys overwritten by as many `*`, inside gzip and deflate too.

    A body without any is returned byte for byte; a compressed one with some is compressed anew.
    """
    for word in _encodings(body, encoding):
        decoded = _decoded(body, word)
        if decoded is not None:
            masked = _mask(decoded)
            return body if masked == decoded else _encoded(masked, word)
    return _mask(body)


def _mask(plain: bytes) -> bytes:
    for shape in _SHAPES:
        plain = shape.sub(_stars, plain)
    return plain


def _stars(match: re.Match[bytes]) -> bytes:
    secret = match[2]
    if secret[:1] == b"\x00":
        return match[1] + b"\x00*" * (len(secret) // 2)
    if secret[1:2] == b"\x00":
        return match[1] + b"*\x00" * (len(secret) // 2)
    return match[1] + b"*" * len(secret)


def _encodings(body: bytes, named: str | None) -> list[str]:
    """Return what a body may be compressed with: as its header says, or as it begins."""
    words = [word for word in ("gzip", "deflate") if word in (named or "").lower()]
    if body[:2] == b"\x1f\x8b" and "gzip" not in words:
        words.append("gzip")
    return words


def _decoded(body: bytes, word: str) -> bytes | None:
    """Return what a compressed body holds, as far as it can be read; None if it is not compressed so."""
    for window in (zlib.MAX_WBITS | 16,) if word == "gzip" else (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        found, rest, reader = b"", body, zlib.decompressobj(window)
        try:
            while rest and len(found) < _MOST_DECODED:
                found += reader.decompress(rest, _MOST_DECODED - len(found))
                rest = reader.unused_data if reader.eof else b""
                reader = zlib.decompressobj(window) if rest else reader
        except zlib.error:
            pass
        if found:
            return found
    return None


def _encoded(plain: bytes, word: str) -> bytes:
    return gzip.compress(plain, mtime=0) if word == "gzip" else zlib.compress(plain)
