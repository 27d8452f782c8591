"""Finds the leads of a WeGroup body. Nothing is signed there, so the token in the address is the only key.

The forms are in `shapes`; what an accepted item says is `reading`'s.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from app.ingest.contract import Findings, Item, Mode, Reason, Source, Verdict, Warned
from app.ingest.form_fields import parse_body
from app.ingest.lenient_json import Mended, NotJsonError, notes_by_member, notes_under
from app.providers.tables import Notes
from app.providers.wegroup.identity import identify
from app.providers.wegroup.shapes import Found, find_leads

_BLANKS = b" \t\r\n\x00\xef\xbb\xbf"


def find(body: bytes, content_type: str, source: Source, at: datetime) -> Findings:  # noqa: ARG001 - no secrets
    """Find the leads of a decompressed body. Never raises for what a body says."""
    try:
        parsed = parse_body(body, content_type)
    except NotJsonError:
        return Findings(reason=Reason.NOT_JSON if body.strip(_BLANKS) else Reason.NOTHING_IN_IT)
    if parsed.value is None or parsed.value in ({}, []):
        return Findings(reason=Reason.NOTHING_IN_IT)
    members = find_leads(parsed.value)
    if not any(member.lead is not None for member in members):
        return Findings(reason=Reason.UNKNOWN_SHAPE)
    verdict = Verdict.UNCHECKED if source.mode is Mode.OFF else Verdict.UNSIGNED
    notes_of = _Notes(parsed.notes, members)
    return Findings(
        [_item(index, member, verdict, notes_of.member(member), source) for index, member in enumerate(members)]
    )


def _item(index: int, found: Found, verdict: Verdict, notes: tuple[Warned, ...], source: Source) -> Item:
    """Return one item; a lead without id or reference is still one, told apart by its delivery."""
    if found.lead is None:
        return Item(index, found.value, verdict, Reason.UNKNOWN_SHAPE, notes=notes)
    subject = identify(found.lead, source, Notes()).subject()
    return Item(index, found.value, verdict, subject=subject, notes=notes)


class _Notes:
    """Gives each item the notes on it; looked up by its last position, for a list may have many members."""

    def __init__(self, notes: Sequence[Mended], members: list[Found]) -> None:
        self._notes = notes
        self._by_list: dict[tuple[str, ...], tuple[tuple[Warned, ...], Mapping[str, tuple[Warned, ...]]]] = {}
        self._alone = len(members) == 1

    def member(self, found: Found) -> tuple[Warned, ...]:
        if not self._notes:
            return ()
        if self._alone or not found.path:
            return notes_under(self._notes, found.path)
        around = found.path[:-1]
        if around not in self._by_list:
            self._by_list[around] = notes_by_member(self._notes, around)
        general, by_member = self._by_list[around]
        return by_member.get(found.path[-1], general)
