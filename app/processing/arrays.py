"""Hands whole columns to PostgreSQL as arrays in its binary form, so that neither side writes or reads them as text.

A statement takes them apart again with `unnest`, each with its type beside it (`%s::uuid[]`). Which columns there are
is settled where the statements stand.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from struct import Struct
from types import NoneType
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson
import psycopg

from app.ingest.rows import Array, ArrayDumper, binary_array

psycopg.adapters.register_dumper(Array, ArrayDumper)

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)  # of PostgreSQL's binary times and days
_EPOCH_DAY: Final = _EPOCH.toordinal()
_MICROSECOND: Final = timedelta(microseconds=1)
_JSONB_VERSION: Final = b"\x01"

_INT4 = Struct(">i").pack
_INT8 = Struct(">q").pack
_HEAD: Final = Struct(">iiiii").pack
_NULL: Final = _INT4(-1)
_OF_4, _OF_8, _OF_16 = _INT4(4), _INT4(8), _INT4(16)


class Type(NamedTuple):
    """A type of PostgreSQL: its name, its number, how a value of it is packed, and its length if that is always one."""

    name: str
    oid: int
    pack: Callable[[Any], bytes]
    length: bytes = b""


def _uuid(value: UUID) -> bytes:
    return value.int.to_bytes(16)  # what its property `bytes` is, for half the price


def _microseconds(moment: datetime) -> bytes:
    return _INT8((moment - _EPOCH) // _MICROSECOND)


def _days(day: date) -> bytes:
    return _INT4(day.toordinal() - _EPOCH_DAY)


def _json(value: Any) -> bytes:
    return _JSONB_VERSION + orjson.dumps(value)


def _words(words: Iterable[str]) -> bytes:
    """Pack the words of a `tsvector` without places: each ends with a zero byte and the number of its places."""
    ordered = sorted(set(words))  # in UTF-8 they are in the same order
    return _INT4(len(ordered)) + "".join([word + "\x00\x00\x00" for word in ordered]).encode()


UUIDS: Final = Type("uuid", 2950, _uuid, _OF_16)
TEXTS: Final = Type("text", 25, str.encode)
INT4S: Final = Type("int4", 23, _INT4, _OF_4)
INT8S: Final = Type("int8", 20, _INT8, _OF_8)
BOOLS: Final = Type("bool", 16, {False: b"\x00", True: b"\x01"}.__getitem__)
MOMENTS: Final = Type("timestamptz", 1184, _microseconds, _OF_8)
DAYS: Final = Type("date", 1082, _days, _OF_4)
TEXT_JSONS: Final = Type("json", 114, orjson.dumps)
JSONS: Final = Type("jsonb", 3802, _json)
TSVECTORS: Final = Type("tsvector", 3614, _words)


def array(type_: Type, values: Sequence[Any]) -> Array:
    """Return values, of which None is null, as one array of a type."""
    pack, length, kinds = type_.pack, type_.length, set(map(type, values))
    if not kinds:
        return binary_array(type_.oid, ())
    if kinds == {NoneType}:  # most columns of most records say nothing
        content = _NULL * len(values)
    elif NoneType in kinds:
        content = b"".join([_NULL if one is None else _INT4(len(sent := pack(one))) + sent for one in values])
    elif length:
        content = length + length.join(map(pack, values))
    else:
        content = b"".join([_INT4(len(sent)) + sent for sent in map(pack, values)])
    return Array(_HEAD(1, NoneType in kinds, type_.oid, len(values), 1) + content)


def arrays(types: Sequence[Type], rows: Iterable[Sequence[Any]]) -> list[Array]:
    """Return the columns of at least one row, as the parameters of `unnested`."""
    return [array(type_, column) for type_, column in zip(types, zip(*rows, strict=True), strict=True)]


def columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Return rows column by column, to be written by psycopg: for what is rare."""
    return [list(column) for column in zip(*rows, strict=True)]


def unnested(names: Iterable[str], types: Iterable[Type]) -> str:
    """Return the SQL of a subquery that makes rows of `arrays` again, with these names of their columns.

    As the list of a SELECT; a function behind FROM would store each column first, which takes a fifth longer.
    """
    columns = [f"unnest(%s::{type_.name}[]) AS {name}" for name, type_ in zip(names, types, strict=True)]
    return f"(SELECT {', '.join(columns)})"
