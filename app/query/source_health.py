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
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.model import Access
from app.accounts.parts import OWN_LABEL
from app.ids import first_id_at
from app.query.counted import MOST_BROKERS
from app.query.deliveries import joined_deliveries, verdict_column
from app.query.fields import ANY_ID, IdRange
from app.query.months import in_reach_of
from app.query.prepared import rows_of_shape
from app.query.walls import Statement, wall, walled
from app.storage.models import brokers, deliveries, outcomes, source_tokens, sources
from app.times import now

RECENT: Final = timedelta(hours=24)
_PATTERN: Final = timedelta(days=14)
_FEWEST_HOURS: Final = 12
"""Where deliveries came in fewer hours than this, there is no pattern yet."""

_HOUR: Final = timedelta(hours=1)
_SHORTEST_SILENCE: Final = 2 * _HOUR
"""Hours in which something came lie one apart at least, and one more must be silent."""

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
    """Return how sources fare; of what is dated in the future, by when it was stored."""
    wanted = sorted(set(source_ids))
    moment = now()
    reach = in_reach_of(IdRange(first_id_at(moment - RECENT), ANY_ID.high))
    recent = await rows_of_shape(connection, _recent(wanted, access, moment), reach)
    counted = {row["source_id"]: (row["received"], row["quarantined"], row["trusted"]) for row in recent}
    last = {row["source_id"]: row["at"] for row in recent}
    if silent := [one for one in wanted if one not in counted]:
        last |= await _last_of_silent(connection, silent, access, moment)
    labels: dict[UUID, list[str]] = {}
    for row in await rows_of_shape(connection, _labels(wanted), {}):
        labels.setdefault(row["source_id"], []).append(row["label"])
    quiet = [one for one, at in last.items() if _SHORTEST_SILENCE < moment - at < _PATTERN]
    hours = await _active_hours(connection, quiet, access, moment) if quiet else {}
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


async def _last_of_silent(
    connection: AsyncConnection, silent: Sequence[UUID], access: Access, moment: datetime
) -> dict[UUID, datetime]:
    """Return when sources last delivered of which nothing came of late.

    Of one whose newest was even stored in the future it is the newest that is dated before.
    """
    last: dict[UUID, datetime] = {}
    for before in (ANY_ID.high, first_id_at(moment)):
        statements = [_last(silent, access, moment, before)]
        if access.brokers is not None:  # of a broker that is not known there is only what was refused
            statements.append(_last_refused(silent, access, moment, before))
        found = [row for one in statements for row in await rows_of_shape(connection, one, {})]
        for row in found:
            if row["at"] <= moment:
                last[row["source_id"]] = max(row["at"], last.get(row["source_id"], row["at"]))
        silent = [row["source_id"] for row in found if row["at"] > moment]
        if not silent:
            break
    return last


def _last(wanted: Sequence[UUID], access: Access, moment: datetime, before: UUID) -> Statement:
    looked_at, own_id, conditions = _traffic(access)
    newest = select(own_id.label("id")).where(*conditions, own_id < before).order_by(own_id.desc()).limit(1)
    each = newest.correlate(sources, brokers).lateral("newest")
    found = (deliveries.c.id == each.c.id) & (deliveries.c.source_id == sources.c.id)
    joined = looked_at.join(each, true()).join(deliveries, found)
    return _at_last(joined, moment).where(sources.c.id.in_(wanted))


def _at_last(joined: FromClause, moment: datetime) -> Statement:
    """Return when deliveries that are joined last came, by source."""
    own = deliveries.c
    at = case((own.received_at <= moment, own.received_at), else_=own.stored_at)
    statement: Statement = select(own.source_id, func.max(at).label("at")).select_from(joined)
    return statement.group_by(own.source_id)


def _last_refused(wanted: Sequence[UUID], access: Access, moment: datetime, before: UUID) -> Statement:
    """Return when something last came within a wall that was not all accepted: by the index of that, few rows."""
    own = outcomes.c
    newest: Statement = select(own.source_id, func.max(cast(own.delivery_id, Text)).label("id"))
    newest = newest.where(own.source_id.in_(wanted), own.status != "accepted", own.brokers[1].in_(access.brokers or ()))
    newest = newest.where(own.delivery_id < before)
    each = walled(newest, outcomes, access).group_by(own.source_id).subquery("refused")
    found = (deliveries.c.id == cast(each.c.id, Uuid)) & (deliveries.c.source_id == each.c.source_id)
    return _at_last(each.join(deliveries, found), moment)


def _traffic(access: Access) -> tuple[FromClause, ColumnElement[UUID], list[ColumnElement[bool]]]:
    """Return what to look at one by one, and the ids and conditions of the deliveries of each that the key sees.

    That is sources; or each broker of a wall that is known of them, by the index of outcomes by their first broker:
    what others received lies in between.
    """
    if access.brokers is None:
        return sources, deliveries.c.id, [deliveries.c.source_id == sources.c.id, *wall(deliveries, access)]
    keys = {f"id:{name}": name for name in sorted(access.brokers)}
    known = sources.join(brokers, (brokers.c.source_id == sources.c.id) & brokers.c.key.in_(keys))
    named = outcomes.c.brokers[1] == case(keys, value=brokers.c.key)
    return known, outcomes.c.delivery_id, [outcomes.c.source_id == sources.c.id, named, *wall(outcomes, access)]


def _recent(wanted: Sequence[UUID], access: Access, moment: datetime) -> Statement:
    """Return what came in the last day: first by its id, which an index tells, then what is dated in the future."""
    own, since, present = deliveries.c, moment - RECENT, first_id_at(moment)
    dated = _judged(own.received_at, wanted, access).where(own.id >= first_id_at(since), own.id < present)
    ahead = _judged(own.stored_at, wanted, access).where(own.id >= present, own.stored_at.between(since, moment))
    each = union_all(dated, ahead).subquery("each").c
    return select(
        each.source_id,
        func.count().label("received"),
        func.count(case((each.status.in_(IN_QUARANTINE), 1))).label("quarantined"),
        func.count(case((each.verdict.in_(_TRUSTED), 1))).label("trusted"),
        func.max(each.at).label("at"),
    ).group_by(each.source_id)


def _judged(at: ColumnElement[datetime], wanted: Sequence[UUID], access: Access) -> Statement:
    own = deliveries.c
    statement: Statement = select(own.source_id, outcomes.c.status, verdict_column.label("verdict"), at.label("at"))
    return walled(statement.select_from(joined_deliveries), deliveries, access).where(own.source_id.in_(wanted))


def _labels(wanted: Sequence[UUID]) -> Statement:
    own = source_tokens.c
    live = select(own.source_id, own.label).where(own.source_id.in_(wanted), own.revoked_at.is_(None))
    live = live.where(~own.label.startswith(OWN_LABEL))  # of these there is one for each lead
    return live.order_by(own.created_at, own.id)


async def _active_hours(
    connection: AsyncConnection, wanted: Sequence[UUID], access: Access, moment: datetime
) -> dict[UUID, set[int]]:
    """Return for each source the hours in which something came."""
    ids = [first_id_at(moment - _HOUR * number) for number in range(_PATTERN // _HOUR + 1)]
    is_wide = access.brokers is not None and len(access.brokers) > MOST_BROKERS
    found: dict[UUID, set[int]] = {}
    for source_id, number in await connection.execute((_among_all if is_wide else _looked_up)(wanted, access, ids)):
        found.setdefault(source_id, set()).add(number)
    return found


def _among_all(wanted: Sequence[UUID], access: Access, ids: Sequence[UUID]) -> Statement:
    """Return sources and hours, by going through all that came: so many brokers are not looked up one by one."""
    own = outcomes.c
    begun = func.width_bucket(own.delivery_id, cast(literal(ids[::-1], ARRAY(Uuid())), ARRAY(Uuid())), type_=Integer)
    hours: Statement = select(own.source_id, len(ids) - 1 - begun).distinct()
    hours = hours.where(own.source_id.in_(wanted), own.delivery_id >= ids[-1], own.delivery_id < ids[0])
    return walled(hours, outcomes, access)


def _looked_up(wanted: Sequence[UUID], access: Access, ids: Sequence[UUID]) -> Statement:
    """Return the same by one look into the index for each hour, not at the rows."""
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
    hours: Statement = statement.where(sources.c.id.in_(wanted), something.scalar_subquery().is_not(None))
    return hours
