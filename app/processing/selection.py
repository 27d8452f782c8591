"""Chooses stored deliveries by filter, counts them, and gives them page by page.

What is then done with them is `second_looks`' business.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from app.ids import IdSource, first_id_at, time_of
from app.ingest.contract import Reason
from app.processing.record_rows import Database

PAGE = 1000
_AHEAD = timedelta(minutes=1)

_WHERE = """
WHERE ({own}.source_id = %(source)s OR %(source)s::uuid IS NULL)
AND (o.status = %(status)s OR %(status)s::text IS NULL)
AND (o.reason = %(reason)s OR o.items @> %(has_reason)s::jsonb OR %(reason)s::text IS NULL)
"""
_FROM_OUTCOMES = "FROM outcomes o " + _WHERE.format(own="o")
_FROM_DELIVERIES = (
    "FROM deliveries d LEFT JOIN outcomes o ON o.delivery_id = d.id AND o.source_id = d.source_id "
    + _WHERE.format(own="d")
)


@dataclass(frozen=True, slots=True)
class Selection:
    """The deliveries of a filter that are stored at the moment when it is made; `before` is exclusive."""

    source_id: UUID | None = None
    status: str | None = None
    reason: Reason | None = None
    received_after: datetime | None = None
    received_before: datetime | None = None
    _newest: UUID = field(default_factory=IdSource().next)

    def pages(self, database: Database) -> Iterator[list[UUID]]:
        """Yield the ids, lowest first, each once, whatever becomes of the deliveries meanwhile."""
        key, chosen = self._chosen
        last, end = self._bounds(database)
        while True:
            rows = database.execute(
                f"SELECT {key} {chosen} AND {key} > %(last)s AND {key} < %(end)s ORDER BY {key} LIMIT %(most)s",
                {**self._values, "last": last, "end": end, "most": PAGE},
            ).fetchall()
            if rows:
                yield [row[0] for row in rows]
                last = rows[-1][0]
            if len(rows) < PAGE:
                return

    def counts(self, database: Database) -> list[dict[str, Any]]:
        """Return how many there are by source, status and reason."""
        key, chosen = self._chosen
        last, end = self._bounds(database)
        own = key.partition(".")[0]
        rows = database.execute(
            f"SELECT s.name, c.status, c.reason, c.count FROM (SELECT {own}.source_id, o.status, o.reason, count(*)"  # noqa: S608 - literals of ours
            f" {chosen} AND {key} > %(last)s AND {key} < %(end)s GROUP BY 1, 2, 3) AS c"
            " LEFT JOIN sources s ON s.id = c.source_id ORDER BY 1, 2, 3",
            {**self._values, "last": last, "end": end},
        )
        return [
            {"source": source, "status": status or "pending", "reason": reason, "count": count}
            for source, status, reason, count in rows
        ]

    @property
    def _chosen(self) -> tuple[str, str]:
        """Return the column of the id and the statement's middle: by outcome the narrow table is enough."""
        by_outcome = self.status is not None or self.reason is not None
        return ("o.delivery_id", _FROM_OUTCOMES) if by_outcome else ("d.id", _FROM_DELIVERIES)

    def _bounds(self, database: Database) -> tuple[UUID, UUID]:
        """Return the ids between which the deliveries are; those of after a clock was set back lie ahead of it."""
        low = UUID(int=0) if self.received_after is None else UUID(int=max(0, first_id_at(self.received_after).int - 1))
        row = database.execute("SELECT id FROM deliveries ORDER BY id DESC LIMIT 1").fetchone()
        newest = row[0] if row and row[0] > first_id_at(time_of(self._newest) + _AHEAD) else self._newest
        high = UUID(int=newest.int + 1)
        return low, high if self.received_before is None else min(high, first_id_at(self.received_before))

    @property
    def _values(self) -> dict[str, Any]:
        has_reason = orjson.dumps([{"reason": self.reason}]).decode()
        return {"source": self.source_id, "status": self.status, "reason": self.reason, "has_reason": has_reason}


def statuses_of(database: Database, ids: list[UUID]) -> dict[str, int]:
    """Return how many of the deliveries have which status now."""
    rows = database.execute(
        "SELECT coalesce(o.status, 'pending'), count(*) FROM unnest(%s::uuid[]) AS w (id)"
        " LEFT JOIN outcomes o ON o.delivery_id = w.id GROUP BY 1 ORDER BY 1",
        (ids,),
    )
    return {str(status): int(number) for status, number in rows}
