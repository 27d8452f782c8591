"""Makes the monthly partitions of the tables that grow with callbacks.

Dropping old ones is retention's business.
"""

from datetime import UTC, datetime
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


def ensure_partitions(
    connection: Connection[tuple[object, ...]], moment: datetime, ahead: int = MONTHS_AHEAD
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
    connection: Connection[tuple[object, ...]], parent: str, key: str, name: str, low: UUID, high: UUID
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
