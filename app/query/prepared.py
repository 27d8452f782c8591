"""Keeps statements as text, and asks the driver by it.

To run a statement and to wrap each row takes SQLAlchemy longer than the driver takes for all of it. What is the same
each time is `Prepared` where it is asked; what filters make is told by its shape, see `rows_of_shape`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from psycopg import AsyncConnection as Driver
from sqlalchemy import BindParameter, CompoundSelect, bindparam
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine
from sqlalchemy.util import LRUCache

from app.query.resource import Row
from app.query.walls import Statement

_DIALECT: Final = PGDialect_psycopg()  # type: ignore[no-untyped-call]  # it has no types
_MOST_SHAPES: Final = 500


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
        return _as_rows(await _found(connection, self.text, {**self.values, **values}), self.names)


@dataclass(frozen=True, slots=True)
class _Shaped:
    """A statement of a shape, with the names of its columns and how values are written that the driver cannot write."""

    compiled: SQLCompiler
    names: tuple[str, ...]
    writers: Mapping[str, Callable[[Any], Any]]


_shapes: Final[LRUCache[Any, _Shaped]] = LRUCache(_MOST_SHAPES)


async def rows_of_shape(connection: AsyncConnection, statement: Statement, values: Mapping[str, Any]) -> list[Row]:
    """Return what a statement finds that filters made, each row as a dict; `values` are its named parameters.

    Statements differ in shape, which SQLAlchemy tells as it does for its own cache, and in the values that go with it.

    Raises:
        psycopg.Error: the database has trouble.
    """
    shaped, text, given = _shaped(statement, values)
    return _as_rows(await _found(connection, text, given), shaped.names)


async def tuples_of_shape(
    connection: AsyncConnection, statement: Statement | CompoundSelect[Any], values: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """Return the same as tuples, handed over in binary form: long bytes would be twice as long as text.

    Raises:
        psycopg.Error: the database has trouble.
    """
    _, text, given = _shaped(statement, values)
    return await _found(connection, text, given, binary=True)


def _shaped(
    statement: Statement | CompoundSelect[Any], values: Mapping[str, Any]
) -> tuple[_Shaped, str, Mapping[str, Any]]:
    """Return what is known of a statement's shape, its text, and all of its parameters as the driver takes them."""
    key = statement._generate_cache_key()  # noqa: SLF001 - the one way to tell shapes apart; without, none is kept
    if key is None:
        raise TypeError("the statement has no shape")
    shaped = _shapes.get(key.key)
    if shaped is None:
        shaped = _shapes[key.key] = _compile(statement, key)
    compiled = shaped.compiled
    given = dict(compiled.construct_params(values, extracted_parameters=key.bindparams))
    text = str(compiled)
    if compiled.post_compile_params:  # lists of values, each as long as it is this time
        expanded = compiled.construct_expanded_state(given)
        text, given = expanded.statement, dict(expanded.parameters)
    for name, write in shaped.writers.items():
        given[name] = write(given[name])
    return shaped, text, given


def _compile(statement: Statement | CompoundSelect[Any], key: Any) -> _Shaped:
    compiled = statement.compile(dialect=_DIALECT, cache_key=key)
    if not isinstance(compiled, SQLCompiler):
        raise TypeError("no statement")
    processors = {
        name: one.type.dialect_impl(_DIALECT).bind_processor(_DIALECT) for one, name in compiled.bind_names.items()
    }
    writers = {name: write for name, write in processors.items() if write is not None}
    return _Shaped(compiled, tuple(statement.selected_columns.keys()), writers)


async def _found(
    connection: AsyncConnection, text: str, values: Mapping[str, Any], *, binary: bool = False
) -> list[tuple[Any, ...]]:
    cursor = await driver_of(connection).execute(text, values, binary=binary)
    return await cursor.fetchall()


def _as_rows(found: Iterable[tuple[Any, ...]], names: tuple[str, ...]) -> list[Row]:
    return [dict(zip(names, row, strict=True)) for row in found]


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
