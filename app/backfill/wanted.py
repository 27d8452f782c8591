"""Pulls what pushes leave in doubt or only refer to: single inquiries, and what the links of a notification lead to.

That a pull is wanted is settled where events are made, in `app.processing.missing`, or by whoever needs a fresh token.
"""

from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

from app.accounts.model import Source
from app.backfill.references import MOST_LINKS, inquiries_of, keep_references
from app.backfill.scopes import pull_one
from app.backfill.searching import keep
from app.ingest.bodies import decoded_body, header_value
from app.jobs.bench import Bench, Database
from app.jobs.kind import LIMIT, Kind
from app.processing.missing import NOTIFICATION
from app.processing.pulls import Cause
from app.processing.reading import MOST_BYTES
from app.providers.calling import CallError
from app.providers.thinksurance.finding import find

_EVERY: Final = timedelta(seconds=2)
_MOST: Final = 20
_FORGET_AFTER: Final = timedelta(days=7)

_FORGET: Final = "DELETE FROM wanted_pulls WHERE wanted_at < %s"
_NAME: Final = "inquiries.pull"
# What was tried in vain goes last, in no order: else enough of it would keep all others waiting for a week.
_DUE: Final = """
SELECT w.id FROM wanted_pulls w JOIN sources s ON s.id = w.source_id
LEFT JOIN procrastinate_jobs j ON j.queueing_lock = %s || ':' || w.id AND j.status IN ('todo', 'doing', 'failed')
WHERE s.disabled_at IS NULL
ORDER BY j.id IS NOT NULL, CASE WHEN j.id IS NULL THEN w.wanted_at END, random() LIMIT %s
"""
_WANTED: Final = "SELECT source_id, subject, cause, event_id FROM wanted_pulls WHERE id = %s"
_DONE: Final = "DELETE FROM wanted_pulls WHERE id = %s"
_FOLLOWED: Final = "UPDATE wanted_pulls SET event_id = NULL WHERE id = %s"
_NEWEST: Final = """
SELECT d.body, d.headers, d.received_at, e.item_index FROM events e
JOIN deliveries d ON d.id = e.delivery_id AND d.source_id = e.source_id
WHERE e.source_id = %s AND e.subject = %s AND jsonb_array_length(e.parts) > 0 ORDER BY e.order_key DESC LIMIT 1
"""
# Of several that came before the pull only the last is named: the others were processed since it was first wanted.
_NOTIFICATIONS: Final = f"""
SELECT d.body, d.headers, d.received_at, e.item_index FROM wanted_pulls w
JOIN events e ON e.source_id = w.source_id AND e.subject = w.subject
JOIN deliveries d ON d.id = e.delivery_id AND d.source_id = e.source_id
JOIN outcomes o ON o.delivery_id = d.id AND o.source_id = d.source_id
WHERE w.id = %s AND starts_with(e.type, '{NOTIFICATION}') AND e.duplicate_of IS NULL
AND (e.id = w.event_id OR o.processed_at >= w.wanted_at - interval '1 minute') ORDER BY e.id DESC LIMIT {_MOST}
"""  # noqa: S608 - literals of ours


class Wanted(NamedTuple):
    """A pull that is wanted."""

    source_id: UUID
    subject: str
    cause: str
    event_id: UUID | None


def _due(database: Database, moment: datetime) -> Sequence[UUID]:
    database.execute(_FORGET, (moment - _FORGET_AFTER,))
    return [row[0] for row in database.execute(_DUE, (_NAME, LIMIT))]


async def _run(bench: Bench, wanted_id: UUID) -> None:
    wanted = await bench.ask(_find, wanted_id)
    source = (await bench.sources()).get(wanted.source_id) if wanted else None
    if wanted is None or source is None:  # done by another, wanted anew, or disabled since
        return
    inquiry_id = find_inquiry(wanted.subject)
    trouble: CallError | None = None
    if inquiry_id is not None:
        trouble = await _trouble_with(pull_and_keep(bench, source, inquiry_id, Cause(wanted.cause)))
    # What else a notification refers to does not wait for its inquiry.
    if wanted.cause == Cause.NOTIFICATION and wanted.event_id is not None:
        await _follow(bench, source, wanted_id, inquiry_id)
        await bench.ask(_execute, _FOLLOWED, wanted_id)
    if trouble is not None:
        raise trouble
    await bench.ask(_execute, _DONE, wanted_id)


async def _follow(bench: Bench, source: Source, wanted_id: UUID, pulled: int | None) -> None:
    """Fetch all that notifications refer to but the inquiry that was `pulled`; raise the first trouble at the end."""
    notifications = await bench.ask(_load_items, source, _NOTIFICATIONS, (wanted_id,))
    others = dict.fromkeys(one for each in notifications for one in inquiries_of(each)[:MOST_LINKS] if one != pulled)
    troubles = [await _trouble_with(pull_and_keep(bench, source, one, Cause.NOTIFICATION)) for one in others]
    troubles += [await _trouble_with(keep_references(bench, source, one)) for one in notifications]
    for trouble in filter(None, troubles):
        raise trouble


async def _trouble_with(work: Awaitable[object]) -> CallError | None:
    try:
        await work
    except CallError as error:
        return error
    return None


async def pull_and_keep(bench: Bench, source: Source, inquiry_id: int, cause: Cause) -> tuple[int, list[UUID]]:
    """Pull one inquiry and keep it; return how many items were brought and the deliveries made of them."""
    subject = f"inquiry/{inquiry_id}"
    newest = await bench.ask(_load_items, source, _NEWEST, (source.id, subject))
    moment = bench.clock()
    pulled = await pull_one(bench, source, inquiry_id, _broker_token(newest[0]) if newest else None)
    stored = await keep(bench, source, pulled, moment, cause)
    return stored.items, stored.deliveries


def find_inquiry(subject: str) -> int | None:
    """Return the inquiry that a subject is, None for anything else."""
    kind, _, name = subject.partition("/")
    return int(name) if kind == "inquiry" and name.isascii() and name.isdigit() else None


def _find(database: Database, wanted_id: UUID) -> Wanted | None:
    row = database.execute(_WANTED, (wanted_id,)).fetchone()
    return None if row is None else Wanted(*row)


def _execute(database: Database, statement: str, wanted_id: UUID) -> None:
    database.execute(statement.encode(), (wanted_id,))


def _load_items(database: Database, source: Source, question: str, values: Sequence[object]) -> list[Any]:
    """Return the items of events as they were sent, those that can still be read."""
    rows = database.execute(question.encode(), values).fetchall()
    found = (_read_item(source, *row) for row in rows)
    return [item for item in found if item is not None]


def _read_item(source: Source, body: bytes, headers: bytes, received_at: datetime, index: int) -> Any:
    pairs = orjson.loads(headers)
    content_type = header_value(pairs, "content-type")
    whole = decoded_body(body, header_value(pairs, "content-encoding"), MOST_BYTES)
    findings = find(whole, content_type, source, received_at) if whole is not None else None
    items = findings.items if findings is not None else ()
    return items[index].value if index < len(items) else None


def _broker_token(item: Any) -> str | None:
    data = item.get("data") if isinstance(item, dict) else None
    token = data.get("bToken") if isinstance(data, dict) else None
    return token if isinstance(token, str) and token.isascii() and token.isalnum() else None


PULL: Final = Kind(_NAME, _due, _run, every=_EVERY, attempts=8)
