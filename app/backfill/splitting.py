"""Takes a pulled answer apart into its items, each in the very bytes in which it stood there.

Keeping them is `storing`'s.
"""

from collections.abc import Iterator
from typing import NamedTuple

import orjson

from app.ingest.contract import Reason
from app.ingest.form_fields import parse_body
from app.ingest.json_spans import array_spans, object_spans
from app.ingest.lenient_json import NotJsonError
from app.providers.thinksurance.identity import find_inquiry_id
from app.providers.thinksurance.shapes import Found, recognise


class Piece(NamedTuple):
    """An item of an answer, and which inquiry it is about where that is plain."""

    body: bytes
    inquiry_id: int | None = None


def split(body: bytes, content_type: str) -> list[Piece]:
    """Return an answer's items; the answer whole where they cannot be told apart, nothing for none."""
    try:
        parsed = parse_body(body, content_type)
    except NotJsonError:
        return [Piece(body)]
    found = recognise(parsed.value)
    if isinstance(found, Reason):
        return [] if found is Reason.NOTHING_IN_IT else [Piece(body)]
    if found[0].place is None or parsed.raw is None:
        return [Piece(body)]
    pieces = list(_pieces(parsed.raw, found, is_list=isinstance(parsed.value, list)))
    return pieces if len(pieces) == len(found) else [Piece(body)]


def _pieces(raw: bytes, found: list[Found], *, is_list: bool) -> Iterator[Piece]:
    spans = {str(index): span for index, span in enumerate(array_spans(raw))} if is_list else object_spans(raw)
    for one in found:
        span = spans.get(one.place or "")
        if span is None:
            return
        item = raw[span[0] : span[1]]
        data = one.value.get("data") if isinstance(one.value, dict) else None
        inquiry_id = find_inquiry_id(data, None)
        if one.key is not None and inquiry_id is None:
            item = b"{%s:%s}" % (orjson.dumps(one.key), item)  # its key is all that names it
        yield Piece(item, inquiry_id)
