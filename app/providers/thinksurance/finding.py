"""Finds the items of a Thinksurance body and judges each: signature, mode, usable identity.

The table of modes and reasons is in `signature`; what an accepted item says is `reading`'s.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.ingest.contract import Findings, Item, Reason, Source, Warned
from app.ingest.form_fields import parse_body
from app.ingest.json_spans import Span, array_spans, object_spans
from app.ingest.lenient_json import NotJsonError, Parsed, dotted, notes_by_member, notes_under, parse
from app.providers.thinksurance.identity import (
    find_broker,
    find_inquiry_id,
    find_notification_subject,
    inquiry_subject,
)
from app.providers.thinksurance.shapes import Found, Kind, recognise
from app.providers.thinksurance.signature import RawPart, judge, judge_notification

_BLANKS = b" \t\r\n\x00\xef\xbb\xbf"


def find(body: bytes, content_type: str, source: Source, at: datetime) -> Findings:
    """Find the items of a decompressed body and judge each. Never raises for what a body says."""
    try:
        parsed = parse_body(body, content_type)
    except NotJsonError:
        return Findings(reason=Reason.NOT_JSON if body.strip(_BLANKS) else Reason.NOTHING_IN_IT)
    members = recognise(parsed.value)
    if isinstance(members, Reason):
        return Findings(reason=members)
    finder = _Finder(source, at, parsed)
    alone = members[0].place is None
    general, by_member = (notes_under(parsed.notes), {}) if alone else notes_by_member(parsed.notes)
    items = [
        finder.item(index, member, by_member.get(member.place or "", general)) for index, member in enumerate(members)
    ]
    return Findings(items, notification=all(member.kind is Kind.NOTIFICATION for member in members))


def _shown(key: str | None) -> str | None:
    """Return a dictionary's key as it may be kept beside the delivery: bounded, without a token of ours."""
    return None if key is None else dotted((key,))


class _Finder:
    """Judges the members of one body."""

    def __init__(self, source: Source, at: datetime, parsed: Parsed) -> None:
        self._source = source
        self._at = at
        self._sent = SentBytes(parsed)

    def item(self, index: int, found: Found, notes: tuple[Warned, ...]) -> Item:
        """Return one item with its verdict; without a usable identity it is quarantined whatever the verdict."""
        if found.kind is Kind.INQUIRY:
            return self._inquiry(index, found, notes)
        verdict, reason = judge_notification(self._source)
        value, key = found.value, _shown(found.key)
        if found.kind is Kind.UNKNOWN:
            return Item(index, value, verdict, Reason.UNKNOWN_SHAPE, key, notes=notes)
        subject = find_notification_subject(value)
        if subject is None:
            reason = Reason.UNUSABLE_ID
        return Item(index, value, verdict, reason, key, subject, find_broker(value.get("brokerReference")), notes)

    def _inquiry(self, index: int, found: Found, notes: tuple[Warned, ...]) -> Item:
        value, key = found.value, _shown(found.key)
        data = value.get("data")
        verdict, reason = judge(self._source, value, self._at, self._sent.parts_of(found), found.key)
        inquiry_id = find_inquiry_id(data, found.key)
        broker = find_broker(data.get("bExternalId")) if isinstance(data, dict) else None
        if inquiry_id is None:
            return Item(index, value, verdict, Reason.UNUSABLE_ID, key, None, broker, notes)
        return Item(index, value, verdict, reason, key, inquiry_subject(inquiry_id), broker, notes)


def _says(sent: bytes, value: Any, depth: int) -> bool:
    """Tell whether bytes, which stand `depth` containers deep, are what a value was read from."""
    for _ in range(depth):  # where the reader goes no deeper is counted from the outermost one
        sent, value = b"[%b]" % sent, [value]
    try:
        return bool(parse(sent).value == value)
    except NotJsonError:
        return False


class SentBytes:
    """Gives the bytes of one body's members as sent; looks for them only when a recipe asks."""

    def __init__(self, parsed: Parsed) -> None:
        self._raw = parsed.raw
        self._is_list = isinstance(parsed.value, list)
        self._places: Mapping[str, Span] | None = None

    def parts_of(self, found: Found) -> RawPart:
        """Return the function that gives a member of the item's `data` as sent, or all of it.

        It gives nothing that does not say what was read. Names that were mended can lead to the bytes of another item,
        or to none, whose signature would then stand for this one's.
        """
        data = found.value.get("data")
        spans: dict[str, Span] = {}
        members: dict[str, Span] = {}

        def part(name: str) -> bytes | None:
            if self._raw is None:
                return None
            if not spans:
                spans["data"] = object_spans(self._raw, self._place(found.place)).get("data", (0, 0))
            span = spans["data"]
            if name:
                if not members:
                    members.update(object_spans(self._raw, span))
                span = members.get(name, (0, 0))
            sent = self._raw[span[0] : span[1]]
            depth = 1 + (found.place is not None) + bool(name)
            return sent if _says(sent, data[name] if name else data, depth) else None

        return part

    def _place(self, place: str | None) -> Span | None:
        """Return where the item stands; None for the whole body."""
        if place is None or self._raw is None:
            return None
        if self._places is None:
            if self._is_list:
                self._places = {str(index): span for index, span in enumerate(array_spans(self._raw))}
            else:
                self._places = object_spans(self._raw)
        return self._places.get(place, (0, 0))
