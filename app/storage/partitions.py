"""Makes the monthly partitions of the tables that grow with callbacks, and drops old ones.

Which are old enough, and what is kept of them, is settled in `app.processing.retention`.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg import Connection, sql

from app.ids import first_id_at

MONTHS_AHEAD = 3
PARTITION_KEYS = {"deliveries": "id", "outcomes": "delivery_id", "events": "id"}
"""The partitioned tables and the id that carries their time, as in `models`, which is heavy to import."""

_MOVE = """
WITH moved AS (DELETE FROM {default} WHERE {key} >= {low} AND {key} < {high} RETURNING *)
INSERT INTO {name} SELECT * FROM moved
"""

_PRESENT = """
SELECT DISTINCT right(c.relname, 6) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = ANY(%s::regclass[]) AND c.relname ~ '_[0-9]{6}$' ORDER BY 1
"""


def _month(year: int, month: int) -> datetime:
    """Return the first moment of a month; `month` may run over the year."""
    return datetime(year + (month - 1) // 12, (month - 1) % 12 + 1, 1, tzinfo=UTC)


def months_around(moment: datetime, ahead: int = MONTHS_AHEAD) -> list[tuple[datetime, datetime]]:
    """Return (first moment, first moment of the next) of the month of `moment` and of the `ahead` months after it."""
    moment = moment.astimezone(UTC)
    return [
        (_month(moment.year, moment.month + step), _month(moment.year, moment.month + step + 1))
        for step in range(ahead + 1)
    ]


def month_before(moment: datetime, months: int) -> datetime:
    """Return the first moment of the month so many months before that of `moment`."""
    moment = moment.astimezone(UTC)
    return _month(moment.year, moment.month - months)


def present_months(connection: Connection[tuple[Any, ...]]) -> list[datetime]:
    """Return the first moments of the months that have partitions."""
    names = [str(row[0]) for row in connection.execute(_PRESENT, (list(PARTITION_KEYS),))]
    return [_month(int(name[:4]), int(name[4:])) for name in names]


def close_tables(connection: Connection[tuple[Any, ...]]) -> None:
    """Let nobody else read or write any partition until the transaction ends; waits as `lock_timeout` says."""
    for table in PARTITION_KEYS:
        connection.execute(sql.SQL("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(table)))


def drop_month(connection: Connection[tuple[Any, ...]], start: datetime) -> None:
    """Detach the partitions of a month plainly and drop them; the transaction is the caller's."""
    for table in PARTITION_KEYS:
        name = f"{table}_{start:%Y%m}"
        if connection.execute("SELECT to_regclass(%s)", (name,)).fetchone() != (None,):
            for statement in ("ALTER TABLE {parent} DETACH PARTITION {name}", "DROP TABLE {name}"):
                words = {"parent": sql.Identifier(table), "name": sql.Identifier(name)}
                connection.execute(sql.SQL(statement).format(**words))


def ensure_partitions(
    connection: Connection[tuple[Any, ...]], moment: datetime, ahead: int = MONTHS_AHEAD
) -> list[str]:
    """Make the partitions of this month and the next `ahead` where they are missing; return the names of the new ones.

    Rows that already lie in the default partition are moved into their month in the same transaction.
    """
    made = []
    for table, key in PARTITION_KEYS.items():
        for start, end in months_around(moment, ahead):
            name = f"{table}_{start:%Y%m}"
            if connection.execute("SELECT to_regclass(%s)", (name,)).fetchone() == (None,):
                _make_partition(connection, table, key, name, first_id_at(start), first_id_at(end))
                made.append(name)
    return made


def _make_partition(
    connection: Connection[tuple[Any, ...]], parent: str, key: str, name: str, low: UUID, high: UUID
) -> None:
    """Make one month: a plain table, filled from the default partition, then attached."""
    words = {
        "parent": sql.Identifier(parent),
        "default": sql.Identifier(f"{parent}_default"),
        "name": sql.Identifier(name),
        "key": sql.Identifier(key),
        "low": sql.Literal(low),
        "high": sql.Literal(high),
    }
    with connection.transaction():
        for statement in (
            "CREATE TABLE {name} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)",
            "LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE",  # nothing may come in between moving and attaching
            _MOVE,
            "ALTER TABLE {parent} ATTACH PARTITION {name} FOR VALUES FROM ({low}) TO ({high})",
        ):
            connection.execute(sql.SQL(statement).format(**words))
