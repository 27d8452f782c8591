"""Finds gaps: what a push should have brought and a pull did. Says what is to be pulled where pushes leave a doubt.

Raising verdicts by pulls is `confirming`'s; pulling itself is done in `app.backfill`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, tzinfo
from typing import Any, Final
from uuid import UUID

from app.accounts.model import Source
from app.ids import IdSource
from app.processing.arrays import TEXTS, UUIDS, arrays, columns
from app.processing.event_rows import EventRow
from app.processing.order import EFFECTIVE_DIGITS
from app.processing.pulls import PULL, PUSH, Cause, content_of
from app.processing.record_rows import Database
from app.processing.telling import Event

NOTIFICATION: Final = "thinksurance.notification."
_ALWAYS_PUSHED: Final = frozenset({"thinksurance.inquiry.ordered", "thinksurance.inquiry.proposal_created"})
"""Pushed "after the booking process is done" (Broker Forward); which other statuses are is not documented, but seen."""
_LOOKED_AT: Final = 1000
_CREDENTIALS: Final = ("hash", "secret")
_TOKENS: Final = ("b_token", "a_token")

_ids = IdSource()


@dataclass(slots=True)
class News:
    """What processing a batch gave: an event, what came of it, and how its delivery came."""

    row: EventRow
    event: Event
    via: int

    @property
    def place(self) -> tuple[UUID, str]:
        """Return the source and the subject."""
        return self.row.source_id, self.row.statement.subject

    @property
    def content(self) -> bytes:
        """Return the digest of what it says."""
        return content_of(self.row.parts)

    @property
    def is_change(self) -> bool:
        """Tell whether it is the newest news and changed something."""
        return bool(self.event.mark.changes) and not self.event.mark.stale


@dataclass(frozen=True, slots=True)
class Earlier:
    """An event of the same subject."""

    id: UUID
    received_at: datetime
    day: str
    parts: Sequence[Mapping[str, Any]]
    type: str
    via: int | None
    content: bytes = field(default=b"")


def note_pulls(database: Database, news: Sequence[News], zone: tzinfo) -> None:
    """Note what pulls confirmed, and the gaps that they filled."""
    pulls = [one for one in news if one.via == PULL and one.row.parts]
    if not pulls:
        return
    changing = [one for one in pulls if one.is_change and one.row.known is None]
    if changing:
        before = _confirmed_before(database, changing)
        known = _earlier(database, changing)
        gaps = [one for one in changing if _is_gap(database, one, known[one.place], zone)]
        _write_gaps(database, [(one, _missed_since(one, known[one.place], before, zone)) for one in gaps])
    _note_confirmed(database, [one for one in pulls if not one.event.mark.stale])


def note_late(database: Database, news: Sequence[News]) -> None:
    """Note of the gaps whose push came after all that it was only late."""
    pushes = [one for one in news if one.via == PUSH and one.row.parts and one.row.known is None]
    if not pushes:
        return
    places = {one.place for one in pushes}
    rows = database.execute(
        "SELECT g.source_id, g.subject FROM gaps g JOIN unnest(%s::uuid[], %s::text[]) AS n (source_id, subject)"
        " USING (source_id, subject) WHERE g.late_at IS NULL",
        arrays((UUIDS, TEXTS), places),
    )
    missing = set(rows.fetchall())
    pushes = [one for one in pushes if one.place in missing]
    if not pushes:
        return
    database.execute(
        "UPDATE gaps g SET late_at = n.at FROM unnest(%s::uuid[], %s::text[], %s::bytea[], %s::timestamptz[],"
        " %s::text[], %s::text[], %s::bool[]) AS n (source_id, subject, content, at, type, day, is_old), events e"
        " WHERE (g.source_id, g.subject) = (n.source_id, n.subject) AND g.late_at IS NULL AND e.id = g.id"
        " AND (g.content = n.content OR (n.is_old AND e.type = n.type AND starts_with(e.order_key, n.day)))",
        columns(
            (*one.place, one.content, one.row.received_at, one.row.statement.type, _day(one), not one.is_change)
            for one in pushes
        ),
    )


def want_pulls(database: Database, news: Sequence[News], sources: Mapping[UUID, Source]) -> None:
    """Ask for pulls of what thin notifications refer to, and of what pushes leave in doubt, where we may pull."""
    pulling = {source_id for source_id in {one.row.source_id for one in news} if may_pull(sources[source_id])}
    if not pulling:
        return
    new = [one for one in news if one.via == PUSH and one.row.known is None and one.row.source_id in pulling]
    wanted = [
        (one, Cause.NOTIFICATION)
        for one in new
        if one.row.statement.type.startswith(NOTIFICATION) and one.row.duplicate_of is None
    ]
    doubtful = [one for one in new if one.row.parts and one.is_change and _changes_the_known(one)]
    if doubtful:
        known = _earlier(database, doubtful)
        wanted += [(one, Cause.RETURN) for one in doubtful if _was_before(one, known[one.place])]
    for one, cause in wanted:
        want(database, one.row.source_id, one.row.statement.subject, cause, one.row.id)


def may_pull(source: Source) -> bool:
    """Tell whether a source has what pulling needs."""
    held = source.credentials
    return all(held.get(name) for name in _CREDENTIALS) and any(held.get(name) for name in _TOKENS)


def want(database: Database, source_id: UUID, subject: str, cause: Cause, event_id: UUID | None = None) -> None:
    """Ask for a pull; what is wanted already for the same cause stays wanted once, by its latest event."""
    database.execute(
        "INSERT INTO wanted_pulls (id, source_id, subject, cause, event_id) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT (source_id, subject, cause) DO UPDATE SET event_id = EXCLUDED.event_id, id = EXCLUDED.id",
        (_ids.next(), source_id, subject, str(cause), event_id),
    )


def _changes_the_known(one: News) -> bool:
    return any(change["old"] is not None for change in one.event.mark.changes)


def _was_before(one: News, known: Iterable[Earlier]) -> bool:
    """Tell whether an earlier item of the same day said the same: a return or a late repeat, nobody can tell."""
    return any(other.day == _day(one) and other.content == one.content and other.id != one.row.id for other in known)


def _is_gap(database: Database, one: News, known: Sequence[Earlier], zone: tzinfo) -> bool:
    """Tell whether a push should have brought what a pull has found.

    None should where it was known before (its order was in doubt), where a thin notification announced it, where
    nothing of the kind is ever pushed, and where it happened before the source was there to be told.
    """
    others = [other for other in known if other.id != one.row.id and other.received_at <= one.row.received_at]
    said = [other for other in others if other.parts]
    if any(other.content == one.content for other in said):
        return False
    last = max((other.received_at for other in said), default=None)
    if any(not other.parts and (last is None or other.received_at > last) for other in others):
        return False
    row = database.execute(
        "SELECT created_at, EXISTS (SELECT FROM (SELECT delivery_id FROM events WHERE source_id = %(source)s"
        "  AND type = %(type)s ORDER BY id DESC LIMIT %(most)s) e JOIN deliveries d ON d.id = e.delivery_id"
        "  WHERE d.via = %(push)s),"
        " EXISTS (SELECT FROM (SELECT via, received_at FROM deliveries WHERE source_id = %(source)s ORDER BY id"
        "  LIMIT %(most)s) d WHERE d.via = %(push)s AND d.received_at < %(at)s)"
        " FROM sources WHERE id = %(source)s",
        {
            "source": one.row.source_id,
            "type": one.row.statement.type,
            "most": _LOOKED_AT,
            "push": PUSH,
            "at": one.row.received_at,
        },
    ).fetchone()
    created_at, is_pushed, has_pushed = row or (one.row.received_at, False, False)
    if one.row.statement.type not in _ALWAYS_PUSHED and not is_pushed:
        return False
    day, first = one.row.statement.effective_at.date(), created_at.astimezone(zone).date()
    return bool(day > first or (day == first and has_pushed))


def _missed_since(
    one: News, known: Iterable[Earlier], confirmed: Mapping[UUID, datetime | None], zone: tzinfo
) -> datetime:
    """Return since when it was missing at most: the beginning of its day, or when all was well after that."""
    well = [other.received_at for other in known if other.parts and other.id != one.row.id]
    if (at := confirmed.get(one.event.links["record_id"])) is not None:
        well.append(at)
    begun = datetime.combine(one.row.statement.effective_at.date(), time(), zone)
    earlier = [at for at in well if at < one.row.received_at]
    return min(one.row.received_at, max([begun, *earlier]))


def _write_gaps(database: Database, gaps: Sequence[tuple[News, datetime]]) -> None:
    if gaps:
        database.execute(
            "INSERT INTO gaps (id, source_id, subject, broker, delivery_id, missed_since, found_at, content)"
            " SELECT * FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::uuid[], %s::timestamptz[],"
            " %s::timestamptz[], %s::bytea[]) ON CONFLICT DO NOTHING",
            columns(
                (
                    one.row.id,
                    *one.place,
                    one.row.statement.broker,
                    one.row.delivery_id,
                    since,
                    one.row.received_at,
                    one.content,
                )
                for one, since in gaps
            ),
        )


def _confirmed_before(database: Database, news: Iterable[News]) -> dict[UUID, datetime | None]:
    ids = [one.event.links["record_id"] for one in news]
    return dict(database.execute("SELECT id, confirmed_at FROM inquiries WHERE id = ANY(%s)", (ids,)).fetchall())


def _note_confirmed(database: Database, pulls: Sequence[News]) -> None:
    """Note that the inquiries are as a pull found them."""
    if pulls:
        latest: dict[UUID, datetime] = {}
        for one in pulls:
            record_id = one.event.links["record_id"]
            latest[record_id] = max(one.row.received_at, latest.get(record_id, one.row.received_at))
        database.execute(
            "UPDATE inquiries i SET confirmed_at = greatest(i.confirmed_at, n.at)"
            " FROM unnest(%s::uuid[], %s::timestamptz[]) AS n (id, at) WHERE i.id = n.id",
            (list(latest), list(latest.values())),
        )


def _earlier(database: Database, news: Iterable[News]) -> dict[tuple[UUID, str], list[Earlier]]:
    """Return all events of the subjects."""
    places = {one.place for one in news}
    found: dict[tuple[UUID, str], list[Earlier]] = {place: [] for place in places}
    rows = database.execute(
        "SELECT e.source_id, e.subject, e.id, e.received_at, e.order_key, e.parts, e.type, d.via FROM events e"
        " JOIN unnest(%s::uuid[], %s::text[]) AS w (source_id, subject) USING (source_id, subject)"
        " LEFT JOIN deliveries d ON d.id = e.delivery_id AND d.source_id = e.source_id",
        columns(places),
    )
    for source_id, subject, event_id, received_at, key, parts, type_, via in rows:
        day = key[:EFFECTIVE_DIGITS]
        found[source_id, subject].append(Earlier(event_id, received_at, day, parts, type_, via, content_of(parts)))
    return found


def _day(one: News) -> str:
    return one.row.key[:EFFECTIVE_DIGITS]
