"""Finds gaps: what a push should have brought and a pull did. Says what is to be pulled where pushes leave a doubt.

Raising verdicts by pulls is `confirming`'s; pulling itself is done in `app.backfill`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, tzinfo
from typing import Final, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from app.accounts.model import Source
from app.ids import IdSource
from app.processing.arrays import TEXTS, UUIDS, array, arrays, columns
from app.processing.event_rows import EventRow
from app.processing.order import EFFECTIVE_DIGITS
from app.processing.pulls import CAUSE, CONTENT, PULL, PUSH, Cause, content_of
from app.processing.record_rows import Database
from app.processing.telling import Event

NOTIFICATION: Final = "thinksurance.notification."
_ALWAYS_PUSHED: Final = frozenset({"thinksurance.inquiry.ordered", "thinksurance.inquiry.proposal_created"})
"""Pushed "after the booking process is done" (Broker Forward); which other statuses are is not documented, but seen."""
_LOOKED_AT: Final = 1000
_MOST_EARLIER: Final = 100
"""So many events of a subject are looked at, the newest news first: whoever sends more must not keep others waiting."""

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


class Earlier(NamedTuple):
    """What the other events of a subject tell of one."""

    returned: bool
    """One of the same day says the same."""
    known: bool
    """One that was there before says the same."""
    announced: bool
    """The last that was there before only announced something."""
    well_at: datetime | None
    """When the last that says something was received before it."""


_EARLIER: Final = f"""
WITH n AS MATERIALIZED (
    SELECT id, source_id, subject, received_at, left(order_key, {EFFECTIVE_DIGITS}) AS day, {CONTENT} AS content
    FROM events e WHERE id = ANY(%s::uuid[])
), o AS MATERIALIZED (
    SELECT o.* FROM (SELECT DISTINCT source_id, subject FROM n) AS w CROSS JOIN LATERAL (
        SELECT id, source_id, subject, received_at, left(order_key, {EFFECTIVE_DIGITS}) AS day, {CONTENT} AS content
        FROM events e WHERE (e.source_id, e.subject) = (w.source_id, w.subject)
        ORDER BY order_key DESC LIMIT {_MOST_EARLIER}
    ) o
)
SELECT n.id, coalesce(bool_or(o.content = n.content AND o.day = n.day), false),
    coalesce(bool_or(o.content = n.content AND o.received_at <= n.received_at), false),
    coalesce(max(o.received_at) FILTER (WHERE o.content IS NULL AND o.received_at <= n.received_at)
        > coalesce(max(o.received_at) FILTER (WHERE o.content IS NOT NULL AND o.received_at <= n.received_at),
            '-infinity'), false),
    max(o.received_at) FILTER (WHERE o.content IS NOT NULL AND o.received_at < n.received_at)
FROM n LEFT JOIN o ON (o.source_id, o.subject) = (n.source_id, n.subject) AND o.id <> n.id
GROUP BY n.id
"""  # noqa: S608 - literals of ours


def note_pulls(database: Database, news: Sequence[News], zone: tzinfo) -> None:
    """Note what pulls confirmed, and the gaps that they filled."""
    pulls = [one for one in news if one.via == PULL and one.row.parts]
    if not pulls:
        return
    changing = [one for one in pulls if one.is_change and one.row.known is None]
    if changing:
        before = _confirmed_before(database, changing)
        earlier = _earlier(database, changing)
        gaps = [one for one in changing if _is_gap(database, one, earlier[one.row.id], zone)]
        _write_gaps(database, [(one, _missed_since(one, earlier[one.row.id], before, zone)) for one in gaps])
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
        earlier = _earlier(database, doubtful)
        # A return or a late repeat, nobody can tell.
        wanted += [(one, Cause.RETURN) for one in doubtful if earlier[one.row.id].returned]
    for (place, cause), event_id in {(one.place, cause): one.row.id for one, cause in wanted}.items():
        want(database, *place, cause, event_id)


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


def _is_gap(database: Database, one: News, earlier: Earlier, zone: tzinfo) -> bool:
    """Tell whether a push should have brought what a pull has found.

    None should where it was known before (its order was in doubt), where a thin notification announced it, where
    nothing of the kind is ever pushed, and where it happened before the source was there to be told.
    """
    if earlier.known or earlier.announced:
        return False
    row = database.execute(
        "SELECT created_at, EXISTS (SELECT FROM (SELECT delivery_id FROM events WHERE source_id = %(source)s"
        "  AND type = %(type)s ORDER BY id DESC LIMIT %(most)s) e JOIN deliveries d ON d.id = e.delivery_id"
        "  WHERE d.via = %(push)s),"
        " EXISTS (SELECT FROM (SELECT via, received_at FROM deliveries WHERE source_id = %(source)s ORDER BY id"
        "  LIMIT %(most)s) d WHERE d.via = %(push)s AND d.received_at < %(at)s),"
        " EXISTS (SELECT FROM deliveries WHERE id = %(delivery)s"
        "  AND convert_from(headers, 'UTF8')::jsonb @> %(announced)s)"
        " FROM sources WHERE id = %(source)s",
        {
            "source": one.row.source_id,
            "type": one.row.statement.type,
            "most": _LOOKED_AT,
            "push": PUSH,
            "at": one.row.received_at,
            "delivery": one.row.delivery_id,
            "announced": Jsonb([[CAUSE, Cause.NOTIFICATION]]),
        },
    ).fetchone()
    created_at, is_pushed, has_pushed, was_announced = row or (one.row.received_at, False, False, False)
    if was_announced:  # beside others, by a notification whose events name but one of them
        return False
    if one.row.statement.type not in _ALWAYS_PUSHED and not is_pushed:
        return False
    day, first = one.row.statement.effective_at.date(), created_at.astimezone(zone).date()
    return bool(day > first or (day == first and has_pushed))


def _missed_since(one: News, earlier: Earlier, confirmed: Mapping[UUID, datetime | None], zone: tzinfo) -> datetime:
    """Return since when it was missing at most: the beginning of its day, or when all was well after that."""
    well = earlier.well_at, confirmed.get(one.event.links["record_id"])
    begun = datetime.combine(one.row.statement.effective_at.date(), time(), zone)
    return min(one.row.received_at, max([begun, *(at for at in well if at is not None and at < one.row.received_at)]))


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


def _earlier(database: Database, news: Iterable[News]) -> dict[UUID, Earlier]:
    """Return what the other events of their subjects tell of events that are written."""
    rows = database.execute(_EARLIER, (array(UUIDS, [one.row.id for one in news]),))
    return {event_id: Earlier(*told) for event_id, *told in rows}


def _day(one: News) -> str:
    return one.row.key[:EFFECTIVE_DIGITS]
