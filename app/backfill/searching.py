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
from app.providers.calling import CallError, RefusedError, TransientCallError
from app.providers.thinksurance.calls.answers import Pulled
from app.providers.thinksurance.calls.session import LoginRefusedError
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

_FORGET: Final = "DELETE FROM searches WHERE scope NOT IN (SELECT id::text FROM source_credentials)"
"""Of tokens that were replaced: what failed by them needs nobody any more."""

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

_IN_PART: Final = """
INSERT INTO searches (source_id, scope, last_days, begun_at, failed_at, error) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (source_id, scope, last_days) DO UPDATE SET failed_at = EXCLUDED.failed_at, error = EXCLUDED.error
"""

_SEEN_TO: Final = """
UPDATE searches SET failed_at = NULL, error = NULL WHERE source_id = %s AND scope = %s AND last_days > 0
"""

_IN_INBOX: Final = "SELECT count(*) FROM inbox WHERE delivery_id = ANY(%s)"

_log = structlog.get_logger(__name__)


def _due(database: Database, moment: datetime) -> Sequence[UUID]:
    database.execute(_FORGET)
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
    usual = read_setting(source, "pull_days", parse_days) or LAST_DAYS
    days = _days(usual, done_at, bench.clock())
    try:
        await search_and_keep(bench, source, scope, days, SCHEDULED)
    except CallError as error:
        if days <= usual or not _may_be_too_much(error):
            raise
        await _search_in_steps(bench, source, scope, usual, days)


def _days(usual: int, done_at: datetime | None, moment: datetime) -> int:
    """Return how many days to ask for: more than usual after we were away for longer."""
    if done_at is None:
        return usual
    return max(usual, min(_MOST_DAYS, (moment - done_at).days + 2))


def _may_be_too_much(error: CallError) -> bool:
    """Tell whether fewer days may be had: the platform was reached, and did not refuse the login or the moment."""
    is_refusal = isinstance(error, RefusedError) and not isinstance(error, LoginRefusedError)
    return error.may_have_happened or is_refusal


async def _search_in_steps(bench: Bench, source: Source, scope: Scope, usual: int, days: int) -> None:
    """Search for more and more of the last days. Where the platform cannot tell of so many, that is done and noted.

    Raises:
        CallError: it cannot tell of the usual days either; or it says how far it got, for whoever runs Callbox.
    """
    stored, reached, told = await _search(bench, source, scope, usual), usual, None
    while reached < days and told is None:
        more = min(reached * 2, days)
        try:
            stored, reached = await _search(bench, source, scope, more), more
        except CallError as error:
            told = TransientCallError(error.call, f"only the last {reached} of {days} days: {error.detail}")
            moment = bench.clock()
            await bench.ask(_execute, _IN_PART, (source.id, str(scope.id), days, moment, moment, str(told)))
    await _note_done(bench, source, scope, SCHEDULED, stored)
    if told is not None:
        raise told


async def search_and_keep(bench: Bench, source: Source, scope: Scope, days: int, kind: int) -> Stored:
    """Search for what the last days brought for one token, keep it, and note that it is done.

    Raises:
        SourceNotReady: a credential or a setting is missing or wrong.
        CallError: the platform did not answer, or not with this; that is noted too.
    """
    try:
        stored = await _search(bench, source, scope, days)
    except CallError as error:
        await bench.ask(_execute, _FAILED, (bench.clock(), str(error), source.id, str(scope.id), kind))
        raise
    await _note_done(bench, source, scope, kind, stored)
    return stored


async def _search(bench: Bench, source: Source, scope: Scope, days: int) -> Stored:
    moment = bench.clock()
    stored = await keep(bench, source, await search(bench, source, scope, days), moment, Cause.SEARCH)
    _log.info("source.pulled", source=source.name, days=days, items=stored.items, new=len(stored.deliveries))
    return stored


async def _note_done(bench: Bench, source: Source, scope: Scope, kind: int, stored: Stored) -> None:
    await bench.ask(_execute, _DONE, (bench.clock(), stored.items, source.id, str(scope.id), kind))
    if kind != SCHEDULED:  # somebody knows of what failed before
        await bench.ask(_execute, _SEEN_TO, (source.id, str(scope.id)))


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
