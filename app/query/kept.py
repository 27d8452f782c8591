"""Finds what is left of what retention dropped: the baselines of a record, since when its history is whole.

Months are dropped, and baselines made, by the active processor; see `app.processing.retention`.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.model import Access
from app.ids import time_of
from app.problems import Problem
from app.processing.baselines import Baseline, to_baseline
from app.query.walls import Statement, walled
from app.storage.models import baselines, closed_months
from app.times import to_text

Found = TypeVar("Found")


class NotKept(Problem):
    """Callbacks of that time are no longer kept, so that nobody can tell how it was then. Ask for a later moment."""

    status = 410
    code = "not-kept"
    title = "Not kept"


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
    row: Any = func.to_jsonb(literal_column("baselines"), type_=JSONB)
    statement: Statement = select(row, closed_months.c.ends_at).select_from(
        baselines.join(closed_months, closed_months.c.id == baselines.c.month_id)
    )
    statement = statement.where(baselines.c.record_id == record_id, closed_months.c.dropped_at.is_not(None))
    found = (await connection.execute(walled(statement, baselines, access).order_by(baselines.c.id))).all()
    known = tuple(to_baseline({**one, "holds": True}) for one, _ in found)
    return Beginning(known, max((ends_at for _, ends_at in found), default=None))


async def with_beginning(
    connection: AsyncConnection, record_id: UUID, access: Access, ask: Callable[[], Awaitable[Found]]
) -> tuple[Beginning, Found]:
    """Return the beginning of a record and what `ask` finds of its events, both of the same moment."""
    beginning = await find_beginning(connection, record_id, access)
    while True:
        found = await ask()
        again = await find_beginning(connection, record_id, access)
        if {one.id for one in again.baselines} == {one.id for one in beginning.baselines}:
            return again, found
        beginning = again  # a month was dropped in between


async def dropped_month(connection: AsyncConnection, row_id: UUID) -> str | None:
    """Return the month of an id if what was received in it is no longer kept, such as `2025-03`."""
    moment, own = time_of(row_id), closed_months.c
    asked = select(own.id).where(own.dropped_at.is_not(None), own.begins_at <= moment, own.ends_at > moment).limit(1)
    return f"{moment:%Y-%m}" if (await connection.execute(asked)).first() else None
