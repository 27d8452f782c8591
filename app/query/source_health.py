"""Tells how sources fare: when they last delivered, how much of it is in quarantine, whether they have gone quiet.

How it is shown is told in `sources`, what needs somebody in `attention`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Integer,
    Text,
    Uuid,
    case,
    cast,
    column,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.model import Access
from app.accounts.parts import OWN_LABEL
from app.ids import first_id_at
from app.query.counted import MOST_BROKERS
from app.query.deliveries import joined_deliveries, verdict_column
from app.query.walls import Statement, wall, walled
from app.storage.models import brokers, deliveries, outcomes, source_tokens, sources
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
    if _goes_by_broker(access):  # of a broker that is not known there is only what was refused
        for source_id, newest in await connection.execute(_last_refused(wanted, access)):
            last[source_id] = max(newest, last.get(source_id, newest))
    counted: dict[UUID, tuple[int, int, int]] = {}
    for source_id, *numbers, newest in await connection.execute(_recent(wanted, access, moment)):
        counted[source_id] = (numbers[0], numbers[1], numbers[2])
        last[source_id] = newest
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


def quiet_since(last: datetime | None, hours: Collection[int], moment: datetime) -> datetime | None:
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
    looked_at, own_id, conditions = _traffic(access)
    newest = select(own_id.label("id")).where(*conditions).order_by(own_id.desc()).limit(1)
    each = newest.correlate(sources, brokers).lateral("newest")
    return (
        select(sources.c.id, func.max(deliveries.c.received_at).label("at"))
        .select_from(looked_at.join(each, true()))
        .join(deliveries, (deliveries.c.id == each.c.id) & (deliveries.c.source_id == sources.c.id))
        .where(sources.c.id.in_(wanted))
        .group_by(sources.c.id)
    )


def _goes_by_broker(access: Access) -> bool:
    return access.brokers is not None and len(access.brokers) <= MOST_BROKERS


def _last_refused(wanted: Sequence[UUID], access: Access) -> Statement:
    """Return when something last came within a wall that was not all accepted: by the index of that, few rows."""
    own = outcomes.c
    newest: Statement = select(own.source_id, func.max(cast(own.delivery_id, Text)).label("id"))
    newest = newest.where(own.source_id.in_(wanted), own.status != "accepted", own.brokers[1].in_(access.brokers or ()))
    each = walled(newest, outcomes, access).group_by(own.source_id).subquery("refused")
    found = (deliveries.c.id == cast(each.c.id, Uuid)) & (deliveries.c.source_id == each.c.source_id)
    return select(deliveries.c.source_id, deliveries.c.received_at).select_from(each.join(deliveries, found))


def _traffic(access: Access) -> tuple[FromClause, ColumnElement[UUID], list[ColumnElement[bool]]]:
    """Return what to look at one by one, and the ids and conditions of the deliveries of each that the key sees.

    That is sources; within a wall of few brokers each that is known of them, by the index of outcomes by their first
    broker: what others received lies in between.
    """
    if access.brokers is None or not _goes_by_broker(access):
        return sources, deliveries.c.id, [deliveries.c.source_id == sources.c.id, *wall(deliveries, access)]
    keys = {f"id:{name}": name for name in sorted(access.brokers)}
    known = sources.join(brokers, (brokers.c.source_id == sources.c.id) & brokers.c.key.in_(keys))
    named = outcomes.c.brokers[1] == case(keys, value=brokers.c.key)
    return known, outcomes.c.delivery_id, [outcomes.c.source_id == sources.c.id, named, *wall(outcomes, access)]


def _recent(wanted: Sequence[UUID], access: Access, moment: datetime) -> Statement:
    statement: Statement = select(
        deliveries.c.source_id,
        func.count(),
        func.count(case((outcomes.c.status.in_(IN_QUARANTINE), 1))),
        func.count(case((verdict_column.in_(_TRUSTED), 1))),
        func.max(deliveries.c.received_at),
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
) -> dict[UUID, set[int]]:
    """Return for each source the hours in which something came: one look into the index for each, not at the rows."""
    ends = [moment - _HOUR * number for number in range(_PATTERN_DAYS * 24 + 1)]
    ids = [first_id_at(end) for end in ends]
    hour = func.unnest(
        cast(literal(list(range(len(ids) - 1))), ARRAY(Integer)),
        cast(literal(ids[1:], ARRAY(Uuid())), ARRAY(Uuid())),
        cast(literal(ids[:-1], ARRAY(Uuid())), ARRAY(Uuid())),
    ).table_valued(column("number", Integer), column("first", Uuid), column("last", Uuid), name="hour")
    hour = hour.render_derived()
    looked_at, own_id, conditions = _traffic(access)
    # As a value, not by EXISTS, which is made a join that goes through all rows of two weeks.
    something = select(literal(1)).where(*conditions, own_id >= hour.c.first, own_id < hour.c.last).limit(1)
    statement: Any = select(sources.c.id, hour.c.number).select_from(looked_at.join(hour, true()))
    statement = statement.where(sources.c.id.in_(wanted))
    found: dict[UUID, set[int]] = {}
    for source_id, number in await connection.execute(statement.where(something.scalar_subquery().is_not(None))):
        found.setdefault(source_id, set()).add(number)
    return found
