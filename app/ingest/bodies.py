"""Undoes a body's content encoding within a bound, the same way at receipt and whenever a stored body is read again.

What the result means is the platforms' business.
"""

import zlib
from collections.abc import Iterable

_GZIP = 16 + zlib.MAX_WBITS
_ZLIB = zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS
# But for the first two they are no encodings; scripts send them all the same.
_NO_ENCODING = frozenset({"", "identity", "utf-8", "utf8", "iso-8859-1", "us-ascii", "none", "7bit", "8bit", "binary"})
_MOST_ENCODINGS = 3
_STEP = 1 << 16
_MOST_MEMBERS = 1000  # a member costs 20 bytes and some work, so that their number is a weapon


class BodyTooLargeError(Exception):
    """The body, or what it decompresses to, is larger than allowed."""


class _BrokenError(Exception):
    """The bytes are not what the encoding says."""


def header_value(headers: Iterable[tuple[str, str]], name: str) -> str:
    """Return the value of a header given in lower case, several joined by a comma, none as the empty string."""
    return ", ".join([value for key, value in headers if key.lower() == name])


def decoded_body(body: bytes, content_encoding: str, limit: int) -> bytes | None:
    """Return the body without its `Content-Encoding`; None where that is unknown or the bytes do not fit it.

    Raises:
        BodyTooLargeError: more than `limit` bytes come out; no more than that is ever held.
    """
    encodings = [name for word in content_encoding.split(",") if (name := word.strip().lower()) not in _NO_ENCODING]
    if len(encodings) > _MOST_ENCODINGS:
        return None
    for name in reversed(encodings):  # the last one named was applied last (RFC 9110, 8.4)
        try:
            if name in {"gzip", "x-gzip"}:
                body = _gunzip(body, limit)
            elif name == "deflate":
                body = _inflate(body, limit)
            else:
                return None
        except (_BrokenError, zlib.error):
            return None
    return body


def _gunzip(body: bytes, limit: int) -> bytes:
    """Return all members of a gzip body one after the other; what follows the last one and is none is left out."""
    result = bytearray()
    end = 0
    for _ in range(_MOST_MEMBERS):
        end = _expand(body, end, _GZIP, result, limit)
        if not body.startswith(b"\x1f\x8b", end):
            return bytes(result)
    raise _BrokenError


def _inflate(body: bytes, limit: int) -> bytes:
    """Return a deflate body, with the zlib frame (RFC 9110, 8.4.1.2) or without, as some senders have it."""
    result = bytearray()
    try:
        _expand(body, 0, _ZLIB, result, limit)
    except (zlib.error, _BrokenError):
        result.clear()
        _expand(body, 0, _RAW, result, limit)
    return bytes(result)


def _expand(body: bytes, start: int, window: int, result: bytearray, limit: int) -> int:
    """Append what stands compressed at `start` and return where it ends, never holding more than `limit`."""
    stream = zlib.decompressobj(window)
    rest = b""
    while not stream.eof:
        fed = rest or body[start : start + _STEP]
        if not rest:
            start += len(fed)
        piece = stream.decompress(fed, _STEP)
        rest = stream.unconsumed_tail
        result += piece
        if len(result) > limit:
            raise BodyTooLargeError
        if not piece and not fed and not stream.eof:
            raise _BrokenError
    return start - len(stream.unused_data)
