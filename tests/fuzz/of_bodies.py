"""What must hold for every body before any platform looks at it: its encoding, its JSON, its form fields.

The bytes of an input begin with the choices that each property names.
"""

import gzip
import math
import zlib
from collections.abc import Callable
from typing import Any

import orjson

from app.crypto import CALLBACK_TOKEN
from app.ingest.bodies import BodyTooLargeError, decoded_body
from app.ingest.form_fields import parse_body
from app.ingest.json_mending import Mended, mend
from app.ingest.json_spans import array_spans, object_spans
from app.ingest.lenient_json import MAX_DEPTH, NotJsonError, Parsed, dotted, notes_by_member, notes_under, parse
from app.query.bodies import masked_body
from tests.fuzz.cutting import Cut

LIMIT = 1 << 16
CONTENT_TYPES = ("application/json", "application/x-www-form-urlencoded", "", "text/plain; charset=utf-16")
_MOST_NOTES = 60
_HARMLESS = frozenset({"padding", "doubled-name"})
_ENCODINGS = ("", "gzip", "deflate", "x-gzip", "gzip, deflate", "gzip,gzip", "identity", "utf-8", "br", "GZIP ,")


def _raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


_WRAPPED: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    ("gzip", lambda body: gzip.compress(body, mtime=0)),
    ("deflate", zlib.compress),
    ("deflate", _raw_deflate),
    ("gzip", lambda body: gzip.compress(body[:7], mtime=0) + gzip.compress(body[7:], mtime=0)),
)


def decoding(data: bytes) -> None:
    """Input: a byte that chooses a way of packing or a named encoding, then the body."""
    cut = Cut(data)
    choice = cut.byte()
    if choice < len(_WRAPPED):
        name, pack = _WRAPPED[choice]
        plain = cut.rest()
        assert decoded_body(pack(plain), name, LIMIT) == plain or _is_zlib_by_chance(pack(plain), name)
        return
    encoding = cut.line().decode("latin-1") if choice == 0xFF else _ENCODINGS[choice % len(_ENCODINGS)]
    body = cut.rest()
    try:
        found = decoded_body(body, encoding, LIMIT)
    except BodyTooLargeError:
        return
    assert decoded_body(body, encoding, 4 * LIMIT) == found, "a stored body is read again as it was at receipt"
    assert found is None or found == body or len(found) <= LIMIT


def _is_zlib_by_chance(packed: bytes, name: str) -> bool:
    """Tell whether a raw deflate stream can be read as one with a frame: the first of the two readings counts."""
    return name == "deflate" and packed[0] & 0x0F == 8 and int.from_bytes(packed[:2]) % 31 == 0


def storable(value: Any, depth: int = 0) -> bool:
    """Say whether jsonb and orjson take a value, and it nests no deeper than a reader can follow."""
    if isinstance(value, dict):
        return depth < MAX_DEPTH and all(
            isinstance(name, str) and storable(name) and storable(child, depth + 1) for name, child in value.items()
        )
    if isinstance(value, list):
        return depth < MAX_DEPTH and all(storable(child, depth + 1) for child in value)
    if isinstance(value, str):
        return "\x00" not in value and not any("\ud800" <= sign <= "\udfff" for sign in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool) or (isinstance(value, int) and -(1 << 63) <= value < 1 << 64)


def lenient_json(data: bytes) -> None:
    """Input: the body."""
    try:
        parsed = parse(data)
    except NotJsonError:
        return
    _check_parsed(parsed, data)
    try:
        quick = orjson.loads(data)
    except orjson.JSONDecodeError:
        return
    _check_agreement(data, quick, parsed)


def _check_parsed(parsed: Parsed, body: bytes) -> None:
    """Check what holds for whatever was made of a body."""
    assert storable(parsed.value)
    written = orjson.dumps(parsed.value)
    assert len(written) <= 6 * len(body) + 64, "a body does not grow"
    again = parse(written)
    assert again.value == parsed.value
    assert not again.notes
    assert len(parsed.notes) <= _MOST_NOTES
    for note in parsed.notes:
        assert isinstance(note, Mended)
        assert all(isinstance(step, str) for step in note.path)
    for shown in (*notes_under(parsed.notes), *notes_by_member(parsed.notes)[0]):
        orjson.dumps([shown.field, shown.reason])
        assert len(shown.field) <= 200
        assert not CALLBACK_TOKEN.search(shown.field)
    if parsed.raw is not None and not parsed.notes:
        _check_spans(parsed.raw, parsed.value)


def _check_agreement(body: bytes, quick: Any, parsed: Parsed) -> None:
    """See that the slower reader takes what orjson takes, and reads the same in it."""
    value, notes, _ = mend(body)
    if {note.reason for note in notes} <= _HARMLESS:
        assert value == quick
    assert value == parsed.value


def _check_spans(raw: bytes, value: Any) -> None:
    """See that the values stand where they are said to stand."""
    if isinstance(value, dict):
        spans = object_spans(raw)
        assert {name: parse(raw[start:end]).value for name, (start, end) in spans.items()} == value
    elif isinstance(value, list):
        assert [parse(raw[start:end]).value for start, end in array_spans(raw)] == value
    else:
        assert not object_spans(raw)
        assert not array_spans(raw)


def form_fields(data: bytes) -> None:
    """Input: a byte that chooses the content type, then the body."""
    cut = Cut(data)
    content_type = cut.one_of(CONTENT_TYPES)
    body = cut.rest()
    try:
        parsed = parse_body(body, content_type)
    except NotJsonError:
        return
    assert storable(parsed.value)
    assert len(orjson.dumps(parsed.value)) <= 12 * len(body) + 64
    if parsed.raw is None:
        assert isinstance(parsed.value, dict)
        assert all(dotted((name,)) is not None for name in parsed.value)


def masked_bytes(data: bytes) -> None:
    """Input: a byte that chooses the encoding named, another how it is packed, then the body."""
    cut = Cut(data)
    encoding = cut.one_of(_ENCODINGS)
    packing = cut.byte()
    plain = cut.rest()
    body = _WRAPPED[packing][1](plain) if packing < len(_WRAPPED) else plain
    masked = masked_body(body, encoding)
    assert masked_body(masked, encoding) == masked
    try:
        found = decoded_body(masked, encoding, LIMIT)
    except BodyTooLargeError:
        return
    for content in (masked, found or b""):
        assert not CALLBACK_TOKEN.search(content.decode("latin-1")), "no token survives"
        try:
            value = parse(content).value
        except NotJsonError:
            continue
        assert not CALLBACK_TOKEN.search("\n".join(strings(value))), "no token survives, however it is spelled"


def strings(value: Any) -> list[str]:
    """Return every text in a value, names too."""
    found: list[str] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, list | tuple):
            waiting.extend(one)
        elif isinstance(one, dict):
            found.extend(one)
            waiting.extend(one.values())
    return found
