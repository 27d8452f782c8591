"""Pulls what pushes leave in doubt or only refer to: single inquiries, and what the links of a notification lead to.

That a pull is wanted is settled where events are made, in `app.processing.missing`, or by whoever needs a fresh token.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

from app.accounts.model import Source
from app.backfill.references import keep_references
from app.backfill.scopes import pull_one
from app.backfill.searching import keep
from app.ingest.bodies import decoded_body, header_value
from app.jobs.bench import Bench, Database
from app.jobs.kind import LIMIT, Kind
from app.processing.pulls import Cause
from app.processing.reading import MOST_BYTES
from app.providers.thinksurance.finding import find

_EVERY: Final = timedelta(seconds=2)
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
_NEWEST: Final = """
SELECT d.body, d.headers, d.received_at, e.item_index FROM events e
JOIN deliveries d ON d.id = e.delivery_id AND d.source_id = e.source_id
WHERE e.source_id = %s AND e.subject = %s AND jsonb_array_length(e.parts) > 0 ORDER BY e.order_key DESC LIMIT 1
"""
_EVENT: Final = """
SELECT d.body, d.headers, d.received_at, e.item_index FROM events e
JOIN deliveries d ON d.id = e.delivery_id AND d.source_id = e.source_id WHERE e.id = %s
"""


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
    if inquiry_id is not None:
        await pull_and_keep(bench, source, inquiry_id, Cause(wanted.cause))
    if wanted.cause == Cause.NOTIFICATION and wanted.event_id is not None:
        item = await bench.ask(_load_item, source, _EVENT, (wanted.event_id,))
        if item is not None:
            await keep_references(bench, source, item)
    await bench.ask(_delete, wanted_id)


async def pull_and_keep(bench: Bench, source: Source, inquiry_id: int, cause: Cause) -> tuple[int, list[UUID]]:
    """Pull one inquiry and keep it; return how many items were brought and the deliveries made of them."""
    subject = f"inquiry/{inquiry_id}"
    newest = await bench.ask(_load_item, source, _NEWEST, (source.id, subject))
    moment = bench.clock()
    pulled = await pull_one(bench, source, inquiry_id, _broker_token(newest))
    stored = await keep(bench, source, pulled, moment, cause)
    return stored.items, stored.deliveries


def find_inquiry(subject: str) -> int | None:
    """Return the inquiry that a subject is, None for anything else."""
    kind, _, name = subject.partition("/")
    return int(name) if kind == "inquiry" and name.isascii() and name.isdigit() else None


def _find(database: Database, wanted_id: UUID) -> Wanted | None:
    row = database.execute(_WANTED, (wanted_id,)).fetchone()
    return None if row is None else Wanted(*row)


def _delete(database: Database, wanted_id: UUID) -> None:
    database.execute(_DONE, (wanted_id,))


def _load_item(database: Database, source: Source, question: str, values: Sequence[object]) -> Any:
    """Return an event's item as it was sent; None where its delivery is gone."""
    row = database.execute(question.encode(), values).fetchone()
    if row is None:
        return None
    body, headers, received_at, index = row
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
