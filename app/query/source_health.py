"""Tells how sources fare: when they last delivered, how much of it is in quarantine, whether they have gone quiet.

How it is shown is told in `sources`, what needs somebody in `attention`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, Integer, Uuid, case, cast, column, exists, func, literal, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.model import Access
from app.accounts.parts import OWN_LABEL
from app.ids import first_id_at
from app.query.deliveries import joined_deliveries, verdict_column
from app.query.walls import Statement, wall, walled
from app.storage.models import deliveries, outcomes, source_tokens, sources
from app.times import now

RECENT: Final = timedelta(hours=24)
_PATTERN_DAYS: Final = 14
_FEWEST_HOURS: Final = 12
"""Where deliveries came in fewer hours than this, there is no pattern yet."""

_HOUR: Final = timedelta(hours=1)
IN_QUARANTINE: Final = ("quarantined", "partial")
_TRUSTED: Final = ("verified", "confirmed")


@dataclass(frozen=True, slots=True)
class Health:
    """How a source fares, as far as the key sees its deliveries."""

    last_received_at: datetime | None = None
    received: int = 0
    quarantined: int = 0
    trusted: int = 0
    quiet_since: datetime | None = None
    tokens: tuple[str, ...] = ()

    @property
    def verified_share(self) -> float | None:
        """Return the share of deliveries whose signature fitted, None where there were none."""
        return round(self.trusted / self.received, 4) if self.received else None


async def health_of(connection: AsyncConnection, source_ids: Iterable[UUID], access: Access) -> Mapping[UUID, Health]:
    """Return how sources fare."""
    wanted = sorted(set(source_ids))
    moment = now()
    last = {row.id: row.at for row in await connection.execute(_last(wanted, access))}
    counted = {row[0]: (row[1], row[2], row[3]) for row in await connection.execute(_recent(wanted, access, moment))}
    labels: dict[UUID, list[str]] = {}
    for row in await connection.execute(_labels(wanted)):
        labels.setdefault(row.source_id, []).append(row.label)
    hours = await _active_hours(connection, wanted, access, moment)
    return {
        one: Health(
            last.get(one),
            *counted.get(one, (0, 0, 0)),
            quiet_since=quiet_since(last.get(one), hours.get(one, ()), moment),
            tokens=tuple(labels.get(one, ())),
        )
        for one in wanted
    }


def quiet_since(last: datetime | None, hours: Sequence[int], moment: datetime) -> datetime | None:
    """Return the last delivery of a source that is silent for longer than it ever was before it.

    `hours` are those of the last two weeks in which something came, counted back from `moment`. Nights and weekends
    are part of the pattern: the longest of them is what is usual.
    """
    if last is None or len(hours) < _FEWEST_HOURS:
        return None
    ordered = sorted(hours)
    longest = max(later - earlier for earlier, later in pairwise(ordered))
    return last if moment - last > _HOUR * (longest + 1) else None


def _last(wanted: Sequence[UUID], access: Access) -> Statement:
    newest: Statement = select(deliveries.c.received_at).where(deliveries.c.source_id == sources.c.id)
    newest = walled(newest, deliveries, access).order_by(deliveries.c.id.desc()).limit(1)
    return select(sources.c.id, newest.scalar_subquery().label("at")).where(sources.c.id.in_(wanted))


def _recent(wanted: Sequence[UUID], access: Access, moment: datetime) -> Statement:
    statement: Statement = select(
        deliveries.c.source_id,
        func.count(),
        func.count(case((outcomes.c.status.in_(IN_QUARANTINE), 1))),
        func.count(case((verdict_column.in_(_TRUSTED), 1))),
    ).select_from(joined_deliveries)
    statement = statement.where(deliveries.c.source_id.in_(wanted), deliveries.c.id >= first_id_at(moment - RECENT))
    return walled(statement, deliveries, access).group_by(deliveries.c.source_id)


def _labels(wanted: Sequence[UUID]) -> Statement:
    own = source_tokens.c
    live = select(own.source_id, own.label).where(own.source_id.in_(wanted), own.revoked_at.is_(None))
    live = live.where(~own.label.startswith(OWN_LABEL))  # of these there is one for each lead
    return live.order_by(own.created_at, own.id)


async def _active_hours(
    connection: AsyncConnection, wanted: Sequence[UUID], access: Access, moment: datetime
) -> dict[UUID, list[int]]:
    """Return for each source the hours in which something came: one look into the index for each, not at the rows."""
    ends = [moment - _HOUR * number for number in range(_PATTERN_DAYS * 24 + 1)]
    ids = [first_id_at(end) for end in ends]
    hour = func.unnest(
        cast(literal(list(range(len(ids) - 1))), ARRAY(Integer)),
        cast(literal(ids[1:], ARRAY(Uuid())), ARRAY(Uuid())),
        cast(literal(ids[:-1], ARRAY(Uuid())), ARRAY(Uuid())),
    ).table_valued(column("number", Integer), column("first", Uuid), column("last", Uuid), name="hour")
    hour = hour.render_derived()
    something = select(literal(1)).where(
        deliveries.c.source_id == sources.c.id,
        deliveries.c.id >= hour.c.first,
        deliveries.c.id < hour.c.last,
        *wall(deliveries, access),
    )
    statement: Any = select(sources.c.id, hour.c.number).select_from(sources.join(hour, true()))
    found: dict[UUID, list[int]] = {}
    for source_id, number in await connection.execute(statement.where(sources.c.id.in_(wanted), exists(something))):
        found.setdefault(source_id, []).append(number)
    return found
