"""Searches a source once for as many days as somebody asks for, and goes on where an earlier attempt was cut off.

Searches that are made again and again are `searching`'s.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from app.accounts.model import Source
from app.backfill.scopes import Scope, scopes_of
from app.backfill.searching import begin, search_and_keep
from app.backfill.storing import Stored
from app.jobs.bench import Bench, Database
from app.providers.calling import CallError

_SAME_ATTEMPT = timedelta(hours=12)
"""How long what an attempt has done counts for the next; after that there is news for every token."""

_LEFT = "SELECT scope FROM searches WHERE source_id = %s AND last_days = %s AND done_at > %s"
_ANEW = "UPDATE searches SET done_at = NULL WHERE source_id = %s AND last_days = %s"
_GAPS = "SELECT count(*) FROM gaps WHERE delivery_id = ANY(%s)"


@dataclass(slots=True)
class Searched:
    """What a search brought; `failed` says by token number why one brought nothing, `resumed` how many were done."""

    tokens: int = 0
    resumed: int = 0
    stored: Stored = field(default_factory=Stored)
    failed: dict[int, str] = field(default_factory=dict)


async def search_once(bench: Bench, source: Source, days: int, told: Callable[[int], None]) -> Searched:
    """Search for the last days by each token that no attempt with as many days has done within twelve hours.

    Raises:
        SourceNotReady: a credential or a setting is missing or wrong.
    """
    scopes = await bench.ask(scopes_of, bench.vault, source.id)
    left = await bench.ask(_left, source.id, scopes, days, bench.clock())
    searched = Searched(len(scopes), len(scopes) - len(left))
    for number, scope in enumerate(scopes, 1):
        if scope not in left:
            continue
        await bench.ask(_begin, source.id, scope.id, days, bench.clock())
        try:
            searched.stored.add(await search_and_keep(bench, source, scope, days, days))
        except CallError as error:
            searched.failed[number] = str(error)
        told(1)
    return searched


def _left(database: Database, source_id: UUID, scopes: list[Scope], days: int, moment: datetime) -> list[Scope]:
    """Return the tokens that are still to be searched by; if there are none, all of them, anew."""
    done = {row[0] for row in database.execute(_LEFT, (source_id, days, moment - _SAME_ATTEMPT))}
    left = [scope for scope in scopes if str(scope.id) not in done]
    if not left:
        database.execute(_ANEW, (source_id, days))
    return left or list(scopes)


def _begin(database: Database, source_id: UUID, scope_id: UUID, days: int, moment: datetime) -> None:
    begin(database, source_id, scope_id, days, moment)


def count_gaps(database: Database, delivery_ids: list[UUID]) -> int:
    """Return how many gaps deliveries have filled."""
    row = database.execute(_GAPS, (delivery_ids,)).fetchone()
    return int(row[0]) if row else 0
