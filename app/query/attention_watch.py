"""Asks what is watched beside the records: how items look, and what waits in spools."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select

from app.query.drift import CHANGES, drift_path, recent_drift
from app.query.noticing import Asking, notice, number
from app.storage.models import shapes, spool_states

_RECENT: Final = timedelta(days=7)
_SINCE: Final = timedelta(days=30)
_WORDS: Final[Mapping[str, str]] = {
    "appeared": "appeared",
    "vanished": "vanished",
    "type-changed": "changed the type",
    "overflow": "not kept, for there are too many",
}


async def _drift(asking: Asking) -> list[dict[str, Any]]:
    by_source: dict[UUID, dict[str, tuple[int, datetime]]] = {}
    for source_id, change, count, oldest in await asking.rows(recent_drift(asking.moment, _RECENT), shapes):
        by_source.setdefault(source_id, {})[change] = (count, oldest)
    return [_drifted(asking.names[source_id], found) for source_id, found in by_source.items()]


def _drifted(source: str, found: Mapping[str, tuple[int, datetime]]) -> dict[str, Any]:
    told = ", ".join(f"{found[change][0]} {_WORDS[change]}" for change in CHANGES if change in found)
    return notice(
        "shape-drift",
        "info" if set(found) == {"appeared"} else "warning",
        f"Items of {source} look otherwise than before: {told}.",
        source=source,
        count=sum(count for count, _ in found.values()),
        oldest_at=min(oldest for _, oldest in found.values()),
        link=drift_path(source),
    )


async def _spool(asking: Asking) -> list[dict[str, Any]]:
    """Tell of the spool keys without walls only: it is not known whose callbacks wait there."""
    if asking.access.source_ids is not None or asking.access.brokers is not None:
        return []
    own = spool_states.c
    recent = own.noted_at >= asking.moment - _SINCE
    asked = select(func.coalesce(func.sum(own.rows), 0), func.min(own.oldest_at), func.array_agg(own.host.distinct()))
    rows, oldest, hosts = (await asking.connection.execute(asked.where(recent))).one()
    count = max(int(rows), asking.spooled)
    if not count:
        return []
    where = f" on {', '.join(sorted(hosts))}" if hosts else ""
    sentence = (
        f"{number(count, 'callback waits', 'callbacks wait')} in the spool{where}, acknowledged but not in the database"
        " yet; is it still being emptied?"
    )
    return [notice("spool-in-use", "warning", sentence, count=count, oldest_at=oldest)]


QUESTIONS: Final[Sequence[Callable[[Asking], Awaitable[list[dict[str, Any]]]]]] = (_drift, _spool)
