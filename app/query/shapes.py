"""Shapes what all rows have in common: source names, addresses, references, paths, the order of fields.

What a row has of its own is shaped beside its list.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote_plus

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Table, select

from app.storage.models import sources

_PLAIN = re.compile(r"[A-Za-z0-9_.~:-]*")
ADDRESS_KEYS = ("street", "house_number", "postal_code", "city", "country", "text")


def source_columns(table: Table) -> tuple[ColumnElement[str], ColumnElement[str]]:
    """Return the columns `source` and `provider` of a row, looked up for the rows that are shown only."""
    return (
        select(sources.c.name).where(sources.c.id == table.c.source_id).scalar_subquery().label("source"),
        select(sources.c.provider).where(sources.c.id == table.c.source_id).scalar_subquery().label("provider"),
    )


def address(stored: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return an address with all its keys, or None where nothing of it is known."""
    if not stored:
        return None
    found = {key: stored.get(key) for key in ADDRESS_KEYS}
    return found if any(value is not None for value in found.values()) else None


def references(stored: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return references in a fixed order."""
    found = [{key: entry.get(key) for key in ("origin", "key", "value")} for entry in stored.values()]
    return sorted(found, key=lambda entry: tuple(str(entry[key] or "") for key in ("origin", "key", "value")))


@cache
def _names(schema: type[BaseModel]) -> tuple[str, ...]:
    return tuple(schema.model_fields)


def in_order(schema: type[BaseModel], shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with exactly the fields of its schema, in its order."""
    return {name: shown[name] for name in _names(schema)}


def path(base: str, query: Iterable[tuple[str, Any]] = ()) -> str:
    """Return a path of the API with its query."""
    written = "&".join(f"{name}={_quoted(str(value))}" for name, value in query)
    return f"{base}?{written}" if written else base


def _quoted(text: str) -> str:
    """Return a value as it stands in a query; most need no change, and lists have hundreds of them."""
    return text if _PLAIN.fullmatch(text) else quote_plus(text, safe=":")
