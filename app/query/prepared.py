"""Keeps statements that are the same each time as text, and asks the driver by it.

To find a statement among those that it knows, and to wrap each row, takes SQLAlchemy as long again as the driver takes
for all of it. Which statements these are is told where they are asked; what filters make of one goes by SQLAlchemy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from psycopg import AsyncConnection as Driver
from sqlalchemy import BindParameter, CompoundSelect, bindparam
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from app.query.resource import Row
from app.query.walls import Statement

_DIALECT: Final = PGDialect_psycopg()  # type: ignore[no-untyped-call]  # it has no types


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement as text, with the names of its columns and the values that are the same each time."""

    text: str
    names: tuple[str, ...]
    values: Mapping[str, Any]

    @classmethod
    def of(cls, statement: Statement | CompoundSelect[Any]) -> Self:
        """Return a statement as text; what has another value each time is one of its named parameters, see `asked`."""
        compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        return cls(str(compiled), tuple(statement.selected_columns.keys()), dict(compiled.params))

    async def rows(self, connection: AsyncConnection, values: Mapping[str, Any]) -> list[Row]:
        """Return what the statement finds, each row as a dict.

        Raises:
            psycopg.Error: the database has trouble.
        """
        cursor = await driver_of(connection).execute(self.text, {**self.values, **values})
        return [dict(zip(self.names, row, strict=True)) for row in await cursor.fetchall()]


def asked(name: str, kind: TypeEngine[Any]) -> BindParameter[Any]:
    """Return a parameter that has another value each time; it has one here, too, for the text to be made."""
    return bindparam(name, None, kind)


def driver_of(connection: AsyncConnection) -> Driver[Any]:
    """Return the driver's own connection, which commits each statement by itself as `connection` does."""
    own = connection.sync_connection
    driver = None if own is None else own.connection.driver_connection
    if not isinstance(driver, Driver):
        raise TypeError("the connection is not open")
    return driver
