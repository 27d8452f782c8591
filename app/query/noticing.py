"""Holds what the questions about attention have in common: who asks, what a notice is, counting by source.

The questions stand in `attention`, `attention_pulls` and `attention_watch`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.model import Access
from app.query.schemas.brokers import Notice
from app.query.shapes import in_order
from app.query.walls import Statement, walled


@dataclass(frozen=True, slots=True)
class Counted:
    """What is counted for each source: the rows of a table under a condition, the oldest of them by `since`.

    `told` gives the kind, severity, sentence and link of a number and a source.
    """

    table: Table
    condition: ColumnElement[bool]
    since: ColumnElement[Any]
    told: Callable[[int, str], tuple[str, str, str, str]]


@dataclass(frozen=True, slots=True)
class Asking:
    """What the questions are asked with: the connection, who asks, and the names of the sources that the key sees.

    `enabled` are the sources that receive, `unproven` those of them whose signature must fit and never has, with when
    they were made. `spooled` are the callbacks that wait in the spool of this very process, `unreadable` the sources of
    which a secret or credential cannot be decrypted.
    """

    connection: AsyncConnection
    access: Access
    names: Mapping[UUID, str]
    moment: datetime
    enabled: Sequence[UUID] = ()
    unproven: Mapping[UUID, datetime] = field(default_factory=dict)
    spooled: int = 0
    unreadable: frozenset[UUID] = frozenset()

    @property
    def sees_all(self) -> bool:
        """Tell whether the key has no wall, so that it may know of what belongs to no source."""
        return self.access.source_ids is None and self.access.brokers is None

    async def rows(self, statement: Statement, table: Table) -> Sequence[Any]:
        """Return the rows of a statement within the key's wall."""
        return (await self.connection.execute(walled(statement, table, self.access))).all()


def notice(kind: str, severity: str, sentence: str, **more: Any) -> dict[str, Any]:
    """Return a notice; what is not given is empty."""
    empty = {"source": None, "count": 1, "oldest_at": None, "link": None}
    return in_order(Notice, {"kind": kind, "severity": severity, "sentence": sentence, **empty, **more})


def number(count: int, one: str, more: str) -> str:
    """Return a number with its word."""
    return f"{count} {one if count == 1 else more}"


async def by_source(asking: Asking, counted: Sequence[Counted]) -> list[dict[str, Any]]:
    """Return a notice for each source that has rows of what is counted, all of it asked for at once."""
    statements = []
    for place, one in enumerate(counted):
        own = one.table.c
        rows: Statement = select(literal(place), own.source_id, func.count(), func.min(one.since)).where(one.condition)
        statements.append(walled(rows, one.table, asking.access).group_by(own.source_id))
    found = []
    for place, source_id, count, oldest in await asking.connection.execute(union_all(*statements)):
        source = asking.names[source_id]
        kind, severity, sentence, link = counted[place].told(count, source)
        found.append(notice(kind, severity, sentence, source=source, count=count, oldest_at=oldest, link=link))
    return found
