"""Searches each source again and again for what the last days brought, a job for each token; and once when asked to.

What is kept of an answer is settled in `storing`.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from app import metrics
from app.accounts.model import Source
from app.accounts.settings import parse_days, parse_period
from app.backfill.scopes import EVERY, Scope, find_scope, search
from app.backfill.splitting import split
from app.backfill.storing import Keeper, Stored, portions
from app.jobs.bench import Bench, Database
from app.jobs.kind import LIMIT, Kind
from app.processing.pulls import Cause
from app.processing.second_looks import is_processor_active
from app.providers import PROVIDERS
from app.providers.calling import CallError
from app.providers.thinksurance.calls.answers import Pulled
from app.submissions.settings import read_setting

SCHEDULED: Final = 0
"""Stands for the number of days of the searches that are made again and again."""
LAST_DAYS: Final = 2
_MOST_DAYS: Final = 92
_GIVE_WAY_S: Final = 30.0
_LOOK_S: Final = 0.05

_DUE: Final = """
SELECT c.id, q.done_at, s.settings->>'pull_every' FROM sources s
JOIN source_credentials c ON c.source_id = s.id AND c.name = CASE WHEN EXISTS (
    SELECT FROM source_credentials b WHERE b.source_id = s.id AND b.name = 'b_token') THEN 'b_token' ELSE 'a_token' END
LEFT JOIN searches q ON q.source_id = s.id AND q.scope = c.id::text AND q.last_days = 0
WHERE s.provider = 'thinksurance' AND s.disabled_at IS NULL
    AND coalesce(s.settings->>'pull_every', '') <> 'off'
    AND 2 = (SELECT count(DISTINCT name) FROM source_credentials x
        WHERE x.source_id = s.id AND x.name IN ('hash', 'secret'))
ORDER BY q.begun_at NULLS FIRST, c.id
"""

_BEGUN: Final = """
INSERT INTO searches (source_id, scope, last_days, begun_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (source_id, scope, last_days) DO UPDATE SET begun_at = EXCLUDED.begun_at RETURNING done_at
"""

_DONE: Final = """
UPDATE searches SET done_at = %s, found = %s, failed_at = NULL, error = NULL
WHERE (source_id, scope, last_days) = (%s, %s, %s)
"""

_FAILED: Final = """
UPDATE searches SET failed_at = %s, error = %s WHERE (source_id, scope, last_days) = (%s, %s, %s)
"""

_IN_INBOX: Final = "SELECT count(*) FROM inbox WHERE delivery_id = ANY(%s)"

_log = structlog.get_logger(__name__)


def _due(database: Database, moment: datetime) -> Sequence[UUID]:
    found = []
    for scope_id, done_at, every in database.execute(_DUE).fetchall():
        if done_at is None or not timedelta(0) <= moment - done_at < _period(every):  # the clock may have run ahead
            found.append(scope_id)
    return found[:LIMIT]


def _period(text: str | None) -> timedelta:
    try:
        return parse_period(text or EVERY)
    except ValueError:  # set before there was a check
        return parse_period(EVERY)


async def _run(bench: Bench, scope_id: UUID) -> None:
    scope = await bench.ask(find_scope, bench.vault, scope_id)
    source = (await bench.sources()).get(scope.source_id) if scope else None
    if scope is None or source is None:  # replaced or disabled since it was found due
        return
    done_at = await bench.ask(begin, source.id, scope.id, SCHEDULED, bench.clock())
    days = _days(read_setting(source, "pull_days", parse_days) or LAST_DAYS, done_at, bench.clock())
    await search_and_keep(bench, source, scope, days, SCHEDULED)


def _days(usual: int, done_at: datetime | None, moment: datetime) -> int:
    """Return how many days to ask for: more than usual after we were away for longer."""
    if done_at is None:
        return usual
    return max(usual, min(_MOST_DAYS, (moment - done_at).days + 2))


async def search_and_keep(bench: Bench, source: Source, scope: Scope, days: int, kind: int) -> Stored:
    """Search for what the last days brought for one token, keep it, and note that it is done.

    Raises:
        SourceNotReady: a credential or a setting is missing or wrong.
        CallError: the platform did not answer, or not with this; that is noted too.
    """
    moment = bench.clock()
    try:
        pulled = await search(bench, source, scope, days)
    except CallError as error:
        await bench.ask(_execute, _FAILED, (bench.clock(), str(error), source.id, str(scope.id), kind))
        raise
    stored = await keep(bench, source, pulled, moment, Cause.SEARCH)
    await bench.ask(_execute, _DONE, (bench.clock(), stored.items, source.id, str(scope.id), kind))
    _log.info("source.pulled", source=source.name, days=days, items=stored.items, new=len(stored.deliveries))
    return stored


async def keep(
    bench: Bench,
    source: Source,
    pulled: Pulled,
    moment: datetime,
    cause: Cause,
    told: Callable[[int], None] = lambda _: None,
) -> Stored:
    """Keep the items of an answer, a few at a time, so that live callbacks are not kept waiting behind them."""
    pieces = await asyncio.to_thread(split, pulled.body, pulled.content_type)
    keeper = Keeper(source, PROVIDERS[source.provider], bench.zone, moment, cause)
    stored = Stored()
    for portion in portions(pieces):
        part = await bench.ask(keeper.store, portion, len(stored.deliveries))
        stored.add(part)
        metrics.PULLED.labels("new").inc(len(part.deliveries))
        metrics.PULLED.labels("known").inc(part.items - len(part.deliveries))
        told(part.items)
        if stored.items < len(pieces):
            await _give_way(bench, part.deliveries)
    return stored


async def _give_way(bench: Bench, ids: Sequence[UUID]) -> None:
    """Wait until what was kept is processed; not for ever, for without a processor it simply waits in the inbox."""
    end = asyncio.get_running_loop().time() + _GIVE_WAY_S
    while ids and asyncio.get_running_loop().time() < end:
        if not await bench.ask(_waiting, ids):
            return
        await asyncio.sleep(_LOOK_S)


def _waiting(database: Database, ids: Sequence[UUID]) -> int:
    """Return how many deliveries wait for a processor that is at work."""
    if not is_processor_active(database):
        return 0
    row = database.execute(_IN_INBOX, (list(ids),)).fetchone()
    return int(row[0]) if row else 0


def begin(database: Database, source_id: UUID, scope_id: UUID, kind: int, moment: datetime) -> datetime | None:
    """Note that a search begins; return when it was last done."""
    row = database.execute(_BEGUN, (source_id, str(scope_id), kind, moment)).fetchone()
    found: datetime | None = row[0] if row else None
    return found


def _execute(database: Database, statement: str, values: Sequence[object]) -> None:
    database.execute(statement.encode(), values)


SEARCH: Final = Kind("inquiries.search", _due, _run, rest=timedelta(minutes=30))
