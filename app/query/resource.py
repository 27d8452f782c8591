"""Describes a list and its details in one place, from which endpoints, filters and documentation are made.

The lists themselves stand in a module each beside this one; `lists` and `details` answer by them.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Column, ColumnElement, Result, Table, null
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.model import Access
from app.query.fields import Field
from app.query.personal import is_personal, may_see
from app.query.reading import Reading
from app.query.shapes import as_text, unless_large
from app.query.walls import Statement

Row = Mapping[str, Any]


class OfBroker(NamedTuple):
    """Of a table: the broker that a row is of (of several the first), its id, and what rows indexes hold."""

    broker: ColumnElement[str]
    id: Column[UUID]
    held: Sequence[ColumnElement[bool]] = ()


def rows_of(found: Result[Any]) -> list[Row]:
    """Return what a statement found, each row as a dict: they are looked into many times, which these bear best."""
    names = tuple(found.keys())
    return [dict(zip(names, row, strict=True)) for row in found]


def find_row_of(found: Result[Any]) -> Row | None:
    """Return the one row that a statement found, if there is any."""
    return next(iter(rows_of(found)), None)


async def no_neighbours(_: AsyncConnection, __: Sequence[Row], ___: Access) -> Any:
    """Return nothing: the rows stand for themselves."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resource:
    """A list, such as `inquiries`, and the details of its rows.

    `columns` returns the statement without wall, filters and order; `details` a wider one for a single row.
    `neighbours` asks once for a page what `shape` needs besides. `in_lists` are conditions that hold in lists only;
    `merged_into` leads from a record to the one it turned out to be. `seq` makes the ascending list a feed. `sorts` are
    the columns that rows can be sorted by, of the same names as their fields; each has an index with the id. In lists
    `shape` takes ids, times, dates and decimals as text, but those it reckons with (`reckoned`; None: all of them).
    `once` says that whole lists, single rows and what leads to few may be planned once for all values. `told` are
    columns that stand in an index with the ids, in their order, and with what walls are about. `listed_by` are such
    of which an index has the rows with one value in the order of ids; so have indexes the rows `of_broker`, and a
    feed's in its order, too. `large` are columns of
    JSON that may be as large as a callback; where there are many rows, `shape` is given them as text. `long` are texts
    that the statement makes and that may be as large, by name, each with what stands for it where there are many rows:
    the same without what is large.
    """

    name: str
    kind: str
    table: Table
    columns: Callable[[Access], Statement]
    fields: Mapping[str, Field]
    shape: Callable[[Row, Access, Any], dict[str, Any]]
    schema: type[BaseModel]
    page: type[BaseModel]
    details: Callable[[Access], Statement] | None = None
    detail_schema: type[BaseModel] | None = None
    neighbours: Callable[[AsyncConnection, Sequence[Row], Access], Awaitable[Any]] = no_neighbours
    seq: ColumnElement[int] | None = None
    feed: type[BaseModel] | None = None
    in_lists: Sequence[ColumnElement[bool]] = ()
    merged_into: ColumnElement[Any] | None = None
    sorts: Sequence[str] = ()
    reckoned: Sequence[str] | None = None
    once: bool = False
    told: Collection[str] = ()
    listed_by: Collection[str] = ()
    of_broker: OfBroker | None = None
    large: Sequence[Column[Any]] = ()
    long: Mapping[str, Callable[[Access], ColumnElement[str]]] = field(default_factory=dict)
    audited: bool = True
    hint: str = ""

    @property
    def path(self) -> str:
        """Return the path of the list."""
        return f"/v1/{self.name}"

    def large_for(self, access: Access) -> Sequence[Column[Any]]:
        """Return the columns that may be large and that the key may see."""
        return [one for one in self.large if may_see(access) or not is_personal(self.kind, one.name)]

    def in_pages(self, access: Access) -> Statement:
        """Return `columns` for many rows: without what is large, see `fullness`, and what the key may not see of it."""
        columns, seen = self.columns(access), self.large_for(access)
        large = {one.name: unless_large(one) if one in seen else null().label(one.name) for one in self.large}
        large |= {name: make(access).label(name) for name, make in self.long.items()}
        shown = (large.get(str(one.key), one) for one in columns.selected_columns)
        return columns.with_only_columns(*shown, maintain_column_froms=True)

    def in_list(self, access: Access, sort: str | None = None) -> Statement:
        """Return `in_pages` for a list; what it is sorted by stands in a cursor: that is needed to all its digits."""
        if self.reckoned is None:
            return self.in_pages(access)
        return as_text(self.in_pages(access), [*self.reckoned, *([sort] if sort else [])])


async def neighbours_of(reading: Reading, resource: Resource, rows: Sequence[Row], access: Access) -> Any:
    """Return what `shape` needs besides the rows, see `Resource`.

    Raises:
        TooSlow: a statement was cut off.
        DatabaseAway: the database is not there.
    """
    if not rows or resource.neighbours is no_neighbours:
        return None
    async with reading.asking(once=resource.once) as connection:
        return await resource.neighbours(connection, rows, access)
