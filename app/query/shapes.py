"""Shapes what all rows have in common: source names, addresses, references, paths, the order of fields.

What a row has of its own is shaped beside its list.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import quote_plus
from uuid import UUID

import orjson
from pydantic import BaseModel
from sqlalchemy import Column, ColumnElement, Date, DateTime, Numeric, Table, Text, Uuid, case, func, literal_column
from sqlalchemy.dialects.postgresql import JSONB

from app.query.walls import Statement

_PLAIN = re.compile(r"[A-Za-z0-9_.~:/-]*")
ADDRESS_KEYS = ("street", "house_number", "postal_code", "city", "country", "text")
_NO_ADDRESS = dict.fromkeys(ADDRESS_KEYS)
_NO_REFERENCE = dict.fromkeys(("origin", "key", "value"))

_TIME = """to_char({0}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""  # as `app.times.to_text`; sessions are in UTC
_PLAIN_TEXT = "CAST({0} AS text)"

LEFT_OUT: Final = ""
"""Stands where JSON was left out of a row because it is large; JSON itself is never empty."""

LARGE: Final = 65536
"""So many bytes of JSON a row may have and still not be large."""

LARGE_STORED: Final = 2048
"""So many bytes JSON may take where it is stored, compressed mostly, and surely not be large."""

# PostgreSQL knows what a value takes where it is stored without reading it. Compressed it is a hundredth at best, so
# that how much it really is must be looked at where it may be much; of what is stored in 2 kB it can be 200.
_UNLESS_LARGE = f"""
CASE WHEN pg_column_size({{0}}) <= {LARGE_STORED} THEN CAST({{0}} AS text)
    WHEN pg_column_size({{0}}) <= 16384 AND octet_length(CAST({{0}} AS text)) <= {LARGE} THEN CAST({{0}} AS text)
    WHEN {{0}} IS NOT NULL THEN '' END
"""


@cache
def source_columns(table: Table) -> tuple[ColumnElement[str], ColumnElement[str]]:
    """Return the columns `source` and `provider` of a row, looked up for the rows that are shown only.

    As text: SQLAlchemy goes through all parts of a statement each time, to find it among those that it knows.
    """
    looked_up = "(SELECT sources.{0} FROM sources WHERE sources.id = {1}.source_id)"
    name, provider = (literal_column(looked_up.format(column, table.name), Text) for column in ("name", "provider"))
    return name.label("source"), provider.label("provider")


def as_text(statement: Statement, besides: Collection[str] = ()) -> Statement:
    """Return a statement of rows to be shown: the database writes ids, times, dates and decimals as they are answered.

    It takes a tenth of the time; JSON is text, too, see `from_json`. Columns `besides` stay what they are, for somebody
    reckons with them.
    """
    columns = (one if one.key in besides else _written(one) for one in statement.selected_columns)
    return statement.with_only_columns(*columns, maintain_column_froms=True)


def _written(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if not isinstance(column, Column) or not isinstance(column.type, DateTime | Date | Numeric | Uuid | JSONB):
        return column
    form = _TIME if isinstance(column.type, DateTime) else _PLAIN_TEXT
    return literal_column(form.format(f"{column.table.name}.{column.name}"), Text).label(column.name)


def unless_large(column: Column[Any]) -> ColumnElement[str]:
    """Return a column of JSON as text, `LEFT_OUT` in its place where it is large."""
    return literal_column(_UNLESS_LARGE.format(f"{column.table.name}.{column.name}"), Text).label(column.name)


def text_unless_large(column: ColumnElement[str]) -> ColumnElement[str]:
    """Return a text that the database makes, `LEFT_OUT` in its place where it is large."""
    return case((func.octet_length(column) <= LARGE, column), (column.is_not(None), LEFT_OUT))


def written_whole(column: Column[Any]) -> ColumnElement[str]:
    """Return a column of JSON as text, however large."""
    return literal_column(_PLAIN_TEXT.format(f"{column.table.name}.{column.name}"), Text).label(column.name)


def from_json(stored: Any) -> Any:
    """Return what stands in a column of JSON, which a list has as text."""
    return orjson.loads(stored) if isinstance(stored, str) else stored


def in_braces(values: Iterable[UUID | str | int]) -> str:
    """Return ids or numbers as PostgreSQL writes an array, which takes a tenth of having the driver do so."""
    return f"{{{','.join(map(str, dict.fromkeys(values)))}}}"


def address(stored: Mapping[str, Any] | str | None) -> dict[str, Any] | None:
    """Return an address with all its keys, or None where nothing of it is known."""
    known = from_json(stored)
    if not known:
        return None
    found = _NO_ADDRESS | known
    return found if found != _NO_ADDRESS else None


def references(stored: Mapping[str, Mapping[str, Any]] | str) -> list[dict[str, Any]]:
    """Return references in a fixed order."""
    if stored == "{}":
        return []
    found = [_NO_REFERENCE | entry for entry in from_json(stored).values()]
    if len(found) > 1:
        found.sort(key=_place)
    return found


def _place(reference: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(reference["origin"] or ""), str(reference["key"] or ""), str(reference["value"] or "")


@cache
def _names(schema: type[BaseModel]) -> tuple[str, ...]:
    return tuple(schema.model_fields)


def in_order(schema: type[BaseModel], shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with exactly the fields of its schema, in its order."""
    return {name: shown[name] for name in _names(schema)}


def blank(schema: type[BaseModel]) -> dict[str, Any]:
    """Return an object with all fields of its schema, in its order, none of them known yet.

    `{**blank, **row}` has the row's values in their places, which takes a fraction of picking them one by one.
    """
    return dict.fromkeys(_names(schema))


def path(base: str, query: Iterable[tuple[str, Any]] = ()) -> str:
    """Return a path of the API with its query."""
    written = "&".join(f"{name}={in_query(str(value))}" for name, value in query)
    return f"{base}?{written}" if written else base


def in_query(text: str) -> str:
    """Return a value as it stands in a query; most need no change, and lists have hundreds of them."""
    return text.replace("/", "%2F") if _PLAIN.fullmatch(text) else quote_plus(text, safe=":")
