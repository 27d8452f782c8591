"""Writes shown objects as lines: CSV that spreadsheets can open without harm, or NDJSON.

Pure; where the objects come from is `export`'s business.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, Final, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel

from app.query.answers import to_json
from app.times import to_text

BOM: Final = "\ufeff".encode()
FORMS: Final = ("csv", "ndjson")
MEDIA_TYPES: Final = {"csv": "text/csv; charset=utf-8; header=present", "ndjson": "application/x-ndjson"}

_MORE_ENDS: Final = tuple((one.encode(), f"\\u{ord(one):04x}".encode()) for one in "\x85\u2028\u2029")
"""What many readers end a line at besides (Python's `splitlines`), and how JSON may write it."""

Fields = frozenset[str] | None
"""The fields that are written; None: all of them."""

_LEFT_OUT = frozenset({"links", "redacted"})
_SIGNS: Final = "=+-@\uff1d\uff0b\uff0d\uff20"
_BEGINS_FORMULA = frozenset(f"{_SIGNS}\t\r\n")
"""With one of these a spreadsheet takes a cell for a formula (OWASP, CSV Injection), full-width ones too."""

_PARTS_CELLS = frozenset(";\t\r\n")
_LATER_FORMULA = re.compile(rf"""([;\t\r\n][\s"']*)(?=[{re.escape(_SIGNS)}])""")
"""Where lists are parted by semicolons, as in Germany and Belgium, a spreadsheet begins a new cell there."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a CSV: where its value stands, and whether it is written as JSON."""

    path: tuple[str, ...]
    is_json: bool

    @property
    def name(self) -> str:
        """Return its heading, such as `customer.address.city`."""
        return ".".join(self.path)

    def cell(self, shown: Mapping[str, Any]) -> str:
        """Return its cell for an object."""
        value: Any = shown
        for name in self.path:
            if value is None:
                return ""
            value = value[name]
        if value is None:
            return ""
        return _without_later_formulas(to_json(value).decode()) if self.is_json else to_cell(value)


@cache
def columns_of(schema: type[BaseModel]) -> tuple[Column, ...]:
    """Return the columns of a schema: objects are taken apart, lists stay together as JSON."""
    return tuple(_columns(schema, ()))


def _chosen(schema: type[BaseModel], fields: Fields) -> list[Column]:
    return [column for column in columns_of(schema) if fields is None or column.path[0] in fields]


def _columns(schema: type[BaseModel], path: tuple[str, ...]) -> Iterable[Column]:
    for name, about in schema.model_fields.items():
        if name in _LEFT_OUT:
            continue
        kinds = [kind for kind in (get_args(about.annotation) or (about.annotation,)) if kind is not type(None)]
        kind = about.annotation if get_origin(about.annotation) in (list, dict) else kinds[0]
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _columns(kind, (*path, name))
        else:
            yield Column((*path, name), is_json=kind is Any or get_origin(kind) in (list, dict))


def to_cell(value: object) -> str:
    """Return a value as a cell. Text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if isinstance(value, str):
        text = _without_later_formulas(value)
        return f"'{text}" if text[:1] in _BEGINS_FORMULA or text.lstrip()[:1] in _BEGINS_FORMULA else text
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return to_text(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int | UUID):
        return str(value)
    return format(value, "f")  # a decimal number; anything else is a fault and raises


def _without_later_formulas(text: str) -> str:
    """Return a text with an apostrophe before what would be a formula at the beginning of a cell within it."""
    return text if _PARTS_CELLS.isdisjoint(text) else _LATER_FORMULA.sub(r"\1'", text)


def heading(form: str, schema: type[BaseModel], fields: Fields = None, *, bom: bool = False) -> bytes:
    """Return what an export begins with."""
    if form != "csv":
        return b""
    return (BOM if bom else b"") + _written([[column.name for column in _chosen(schema, fields)]])


def lines(form: str, schema: type[BaseModel], shown: Sequence[Mapping[str, Any]], fields: Fields = None) -> bytes:
    """Return objects as lines; they have the `fields` at least."""
    if form == "csv":
        columns = _chosen(schema, fields)
        return _written([column.cell(one) for column in columns] for one in shown)
    return b"".join(to_line(one) + b"\n" for one in shown)


def to_line(value: object) -> bytes:
    """Return a value of rows as JSON that is one line for every reader."""
    line = to_json(value)
    for end, escaped in _MORE_ENDS:
        line = line.replace(end, escaped)
    return line


def _written(rows: Iterable[Sequence[str]]) -> bytes:
    page = io.StringIO(newline="")
    csv.writer(page).writerows(rows)
    return page.getvalue().encode()
