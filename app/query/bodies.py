"""Answers the bytes of a delivery as they came, our own tokens overwritten.

Shown as a download that no browser interprets, for the content is a stranger's.
"""

import asyncio
import gzip
import re
import zlib
from functools import partial

import orjson
from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access, Scope
from app.query.access import FieldHidden
from app.query.deliveries import DELIVERIES, header
from app.query.details import absent, check_parameters, parse_id
from app.query.personal import may_see
from app.query.reading import reading_of
from app.query.trail import note_reading
from app.query.walls import Statement, walled
from app.storage.models import deliveries

_LONGEST_ON_THE_LOOP = 256_000
_MOST_DECODED = 64 << 20
_SECRET_LENGTH = 43
_MOST_LAYERS = 3

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cache-Control": "private, no-store",
}


def _shape(before: int, after: int) -> re.Pattern[bytes]:
    """Return the pattern of our tokens and keys where so many zeros stand around each character.

    A character is itself, or escaped in JSON or in a form, there more than once, too.
    """

    def wide(text: str) -> bytes:
        return b"".join(b"\0" * before + re.escape(one.encode()) + b"\0" * after for one in text)

    def spelled(plain: str) -> bytes:
        codes = [f"{code:02x}" for code in range(0x2D, 0x7B) if re.fullmatch(f"[{plain}]", chr(code))]
        hexes = b"|".join(wide(code) for code in {one for code in codes for one in (code, code.upper())})
        itself = b"\0" * before + f"[{plain}]".encode() + b"\0" * after
        escape = wide("\\u00") + b"|" + wide("%") + b"(?:" + wide("25") + b")*"
        return b"(?:" + itself + b"|(?:" + escape + b")(?:" + hexes + b"))"

    beginning = spelled("c") + spelled("b") + spelled("tx") + spelled("_")
    return re.compile(b"(" + beginning + b")((?:" + spelled("A-Za-z0-9_-") + b"){%d})" % _SECRET_LENGTH)


_SHAPES = tuple((_shape(before, after), before, after) for before, after in ((0, 0), (0, 1), (1, 0), (0, 3), (3, 0)))
"""Of bytes, of UTF-16 and of UTF-32 with the low byte first and with the high byte first."""


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
            raise await absent(connection, DELIVERIES, delivery_id)
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


def masked_body(body: bytes, encoding: str | None, layers: int = _MOST_LAYERS) -> bytes:
    """Return a body with our tokens and keys overwritten by as many `*`, inside gzip and deflate too.

    A body without any is returned byte for byte; a compressed one with some is compressed anew.
    """
    for word in _encodings(body, encoding) if layers else ():
        decoded = _decoded(body, word)
        if decoded is not None:
            masked = masked_body(decoded, encoding, layers - 1)
            if masked != decoded:
                body = _encoded(masked, word)
    return _mask(body)


def _mask(plain: bytes) -> bytes:
    for shape, before, after in _SHAPES if b"\0" in plain else _SHAPES[:1]:
        star = b"\0" * before + b"*" + b"\0" * after
        plain = shape.sub(partial(_stars, star), plain)
    return plain


def _stars(star: bytes, match: re.Match[bytes]) -> bytes:
    return match[1] + star * (len(match[2]) // len(star))


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
