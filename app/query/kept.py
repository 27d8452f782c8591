"""Finds what is left of what retention dropped: the baselines of a record, since when its history is whole.

Months are dropped, and baselines made, by the active processor; see `app.processing.retention`.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Uuid, case, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.model import Access
from app.ids import first_id_at, time_of
from app.problems import Problem
from app.processing.baselines import Baseline, to_baseline
from app.query.fields import EARLIER, LATER, IdRange
from app.query.prepared import Prepared, asked
from app.query.resource import Row
from app.query.shapes import LARGE_STORED
from app.query.walls import Statement, cache_of_walls, walled
from app.storage.models import baselines, closed_months
from app.times import to_moment, to_text

Folded = TypeVar("Folded")

RECORD: Final = "record"
"""The parameter of statements about one record."""

_BEGINNING: Final = "beginning"
_SIZE: Final = "told_bytes"

MOST_TOLD: Final = 16 << 20
"""So many bytes the events of a record may have said for them to be folded anew at a question."""

LONG_TO_FOLD: Final = 256_000
"""To fold more bytes than that takes so long that it is done beside the loop."""

# See `app.query.shapes`: what is stored in little surely is not large.
_SIZES: Final[ColumnElement[int]] = literal_column(
    f"sum(CASE WHEN pg_column_size(events.parts) <= {LARGE_STORED} THEN pg_column_size(events.parts)"
    " ELSE octet_length(CAST(events.parts AS text)) END) OVER ()",
    BigInteger(),
)


class NotKept(Problem):
    """Callbacks of that time are no longer kept, so that nobody can tell how it was then. Ask for a later moment."""

    status = 410
    code = "not-kept"
    title = "Not kept"


class TooMuchTold(Problem):
    """The events of this record said more than is folded anew for one answer. Ask for the events themselves."""

    status = 422
    code = "too-much-told"
    title = "Too much told"


@dataclass(frozen=True, slots=True)
class Beginning:
    """What the events of a record begin with; they are whole from `complete_from` on, None: from the first."""

    baselines: tuple[Baseline, ...]
    complete_from: datetime | None

    def until(self, moment: datetime) -> Iterable[Baseline]:
        """Return what was there before a moment.

        Raises:
            NotKept: of a part of it nobody can tell whether it was there.
        """
        known = [one for one in self.baselines if (one.account.first_received_at or moment) < moment]
        if any((one.account.last_received_at or moment) >= moment for one in known):
            whole_from = f" It is known from {to_text(self.complete_from)} on." if self.complete_from else ""
            raise NotKept(f"{NotKept.__doc__}{whole_from}")
        return known


async def find_beginning(connection: AsyncConnection, record_id: UUID, access: Access) -> Beginning:
    """Return the baselines of a record that the key may see."""
    found = await _of_record(access).rows(connection, {RECORD: record_id})
    return _beginning((one["baseline"], one["ends_at"]) for one in found)


def _beginning(found: Iterable[tuple[Mapping[str, Any], datetime]]) -> Beginning:
    told = [*found]
    known = tuple(to_baseline({**baseline, "holds": True}) for baseline, _ in told)
    return Beginning(known, max((ends_at for _, ends_at in told), default=None))


@cache_of_walls
def _of_record(access: Access) -> Prepared:
    return Prepared.of(_baselines(access, asked(RECORD, Uuid())))


def _baselines(access: Access, record: ColumnElement[UUID]) -> Statement:
    row: Any = func.to_jsonb(literal_column("baselines"), type_=JSONB)
    statement: Statement = select(row.label("baseline"), closed_months.c.ends_at).select_from(
        baselines.join(closed_months, closed_months.c.id == baselines.c.month_id)
    )
    statement = statement.where(baselines.c.record_id == record, closed_months.c.dropped_at.is_not(None))
    return walled(statement, baselines, access).order_by(baselines.c.id)


def has_beginning(record: ColumnElement[UUID], access: Access) -> ColumnElement[bool]:
    """Return: something that was said of a record was dropped."""
    return _baselines(access, record).correlate_except(baselines, closed_months).exists()


def life_of(record: Row) -> IdRange:
    """Return between which ids the events of a record lie, for months are dear to look at in which there are none."""
    return IdRange(first_id_at(record["first_received_at"] - EARLIER), first_id_at(record["last_received_at"] + LATER))


def with_beginning(statement: Statement, said: ColumnElement[Any], access: Access) -> Statement:
    """Return a statement of a record's events with what they `said`, and beside one what they begin with.

    Its rows are had by `told_since`. What was said is null where it is too much of all.
    """
    known = _baselines(access, asked(RECORD, Uuid())).subquery("known")
    all_known = select(func.jsonb_agg(func.to_jsonb(literal_column("known")), type_=JSONB)).select_from(known)
    once = case((func.row_number().over() == 1, all_known.scalar_subquery()))
    return statement.add_columns(
        case((_SIZES <= MOST_TOLD, said)).label(str(said.key)), _SIZES.label(_SIZE), once.label(_BEGINNING)
    )


async def told_since(
    connection: AsyncConnection, statement: Prepared, values: Mapping[str, Any], access: Access
) -> tuple[Beginning, Sequence[Row], int]:
    """Return the beginning of a record and its events by a statement `with_beginning`, and how many bytes these said.

    Beginning and events are of the same moment. A month that is dropped takes its events away and leaves baselines.
    Where there was no event, none was taken away since, and the baselines may be asked for afterwards.

    Raises:
        TooMuchTold: it is more than is folded anew.
    """
    rows = await statement.rows(connection, values)
    if not rows:
        return await find_beginning(connection, values[RECORD], access), rows, 0
    if rows[0][_SIZE] > MOST_TOLD:
        raise TooMuchTold
    told = next((row[_BEGINNING] for row in rows if row[_BEGINNING] is not None), ())
    found = ((one["baseline"], to_moment(one["ends_at"])) for one in told)
    events = [{name: value for name, value in row.items() if name not in (_BEGINNING, _SIZE)} for row in rows]
    return _beginning(found), events, rows[0][_SIZE]


async def folded(fold: Callable[[], Folded], size: int) -> Folded:
    """Return what `fold` makes of events that said so many bytes; where they are many, others have their turn."""
    return await asyncio.to_thread(fold) if size > LONG_TO_FOLD else fold()


async def dropped_month(connection: AsyncConnection, row_id: UUID) -> str | None:
    """Return the month of an id if what was received in it is no longer kept, such as `2025-03`."""
    moment, own = time_of(row_id), closed_months.c
    asked = select(own.id).where(own.dropped_at.is_not(None), own.begins_at <= moment, own.ends_at > moment).limit(1)
    return f"{moment:%Y-%m}" if (await connection.execute(asked)).first() else None
