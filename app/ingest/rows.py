"""Says what the row of a delivery is, and how many of them go to the database in one statement.

When that statement is run is `writer`'s business; what the columns mean stands in `app.storage.models`.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from struct import Struct
from typing import NamedTuple, Protocol, cast
from uuid import UUID

from psycopg.adapt import Dumper
from psycopg.pq import Format


class NotKeptError(Exception):
    """A row could not be made durable. It may yet have been: the same request again does no harm."""


_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # of PostgreSQL's binary timestamps
_MICROSECOND = timedelta(microseconds=1)


class Row(NamedTuple):
    """A delivery as it is stored; see `app.storage.models.deliveries`. None of the columns can refuse a content."""

    id: UUID
    source_id: UUID
    token_id: UUID | None
    received_at: datetime
    via: int
    method: int
    answered: int
    verdict: int
    size: int
    judged: bytes
    body_sha256: bytes
    remote_addr: bytes
    query: bytes
    headers: bytes
    body: bytes


class Sink(Protocol):
    """Where rows are made durable."""

    async def write(self, row: Row) -> None:
        """Return once the row is durable; raise NotKeptError where it is not, or nobody knows."""


_TYPES = "uuid uuid uuid timestamptz int2 int2 int2 int2 int4 bytea bytea bytea bytea bytea bytea".split()  # noqa: SIM905

# ON CONFLICT makes the repeat after a commit of unknown outcome harmless: only ids that are new reach the inbox. The
# arrays are taken apart in the list of the SELECT: in its FROM PostgreSQL would put all rows aside first.
_STATEMENT = f"""
WITH fresh AS (
    INSERT INTO deliveries ({", ".join(Row._fields)})
    SELECT {{columns}}
    ON CONFLICT DO NOTHING
    RETURNING id, source_id
)
INSERT INTO inbox (delivery_id, source_id) SELECT id, source_id FROM fresh
"""  # noqa: S608 - made of the constants above

STATEMENT = _STATEMENT.format(columns=", ".join(f"unnest(%b::{name}[])" for name in _TYPES))
"""What stores rows, its parameters as psycopg writes them; see `arrays`."""

NUMBERED_STATEMENT = _STATEMENT.format(columns=", ".join(f"unnest(${n}::{name}[])" for n, name in enumerate(_TYPES, 1)))
"""The same, its parameters as PostgreSQL writes them."""

_INT2, _INT4, _INT8 = Struct(">h").pack, Struct(">i").pack, Struct(">q").pack
_ARRAY_HEAD = Struct(">iiiii").pack
_OIDS = {"uuid": 2950, "timestamptz": 1184, "int2": 21, "int4": 23, "bytea": 17}
_NULL = _INT4(-1)


class Array(bytes):
    """A PostgreSQL array in its binary form."""

    __slots__ = ()


class ArrayDumper(Dumper):
    """Hands a ready array over; its type stands in the statement."""

    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        """Return it as it is."""
        return obj


Packed = tuple[bytes | None, ...]
"""The columns of a row in PostgreSQL's binary form."""


def packed(row: Row) -> Packed:
    """Return the columns of a row in PostgreSQL's binary form."""
    return (
        row.id.bytes,
        row.source_id.bytes,
        row.token_id.bytes if row.token_id else None,
        _INT8((row.received_at - _EPOCH) // _MICROSECOND),
        _INT2(row.via),
        _INT2(row.method),
        _INT2(row.answered),
        _INT2(row.verdict),
        _INT4(row.size),
        *row[9:],
    )


def binary_array(oid: int, values: Sequence[bytes | None]) -> Array:
    """Return values that are in binary form already as one array (PostgreSQL's array_send)."""
    if not values:
        return Array(_ARRAY_HEAD(0, 0, oid, 0, 1)[:12])
    has_null = None in values
    head = _ARRAY_HEAD(1, has_null, oid, len(values), 1)
    if has_null:
        parts = [_NULL if value is None else _INT4(len(value)) + value for value in values]
        return Array(head + b"".join(parts))
    present = cast("Sequence[bytes]", values)
    if len(set(map(len, present))) == 1:  # as in most columns: the size before each value is always the same
        size = _INT4(len(present[0]))
        return Array(head + size + size.join(present))
    sized = chain.from_iterable(zip(map(_INT4, map(len, present)), present, strict=True))
    return Array(head + b"".join(sized))


def arrays(rows: Iterable[Packed]) -> list[Array]:
    """Return the parameters of `STATEMENT` for at least one row."""
    columns = zip(*rows, strict=True)
    return [binary_array(_OIDS[name], column) for name, column in zip(_TYPES, columns, strict=True)]
