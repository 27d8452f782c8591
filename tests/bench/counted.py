"""Says which statistics are asked for when reading is measured, all over 90 days; other questions: `questions`."""

# ruff: noqa: S608 - the names in the statements are our own

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from app.ids import first_id_at
from tests.bench.asked import Question, always, to_path


def statistics() -> list[Question]:
    """Return the statistics."""
    since = datetime.now(UTC) - timedelta(days=90)
    floor = first_id_at(since)
    received = {"received_at[gte]": f"{since:%Y-%m-%dT%H:%MZ}"}
    first, changed = ({f"{name}[gte]": f"{since:%Y-%m-%dT%H:%MZ}"} for name in ("first_received_at", "changed_at"))
    bucket = "date_trunc('{0}', {1}, 'Europe/Berlin')"
    both = "FROM deliveries d JOIN outcomes o ON o.delivery_id = d.id AND o.source_id = d.source_id WHERE d.id >= %s"
    spread = "percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY o.processed_at - d.received_at)"
    premium = "sum(premium_yearly_cents), percentile_cont(0.5) WITHIN GROUP (ORDER BY premium_yearly_cents)"

    def stat(name: str, parameters: Mapping[str, Any], sql: str, *values: Any) -> Question:
        asked = ", ".join(str(value) for key, value in parameters.items() if key in ("bucket", "group_by", "by"))
        return Question(f"stats/{name} {asked}", "stats", always(to_path(f"stats/{name}", **parameters), *values), sql)

    return [
        stat(
            "deliveries",
            {"bucket": "day", "group_by": "source", **received},
            f"SELECT {bucket.format('day', 'd.received_at')}, d.source_id, count(*), {spread} {both} GROUP BY 1, 2",
            floor,
        ),
        stat(
            "deliveries",
            {"bucket": "hour", **received},
            f"SELECT {bucket.format('hour', 'd.received_at')}, count(*), {spread} {both} GROUP BY 1",
            floor,
        ),
        stat(
            "deliveries",
            {"group_by": "status,verdict,reason", **received},
            f"SELECT o.status, o.verdict, o.reason, count(*), {spread} {both} GROUP BY 1, 2, 3",
            floor,
        ),
        stat(
            "inquiries",
            {"bucket": "week", "group_by": "status", **first},
            f"SELECT {bucket.format('week', 'first_received_at')}, status, count(*), {premium} FROM inquiries"
            " WHERE first_received_at >= %s GROUP BY 1, 2",
            since,
        ),
        stat(
            "inquiries",
            {"bucket": "day", "by": "changed_at", **changed},
            f"SELECT {bucket.format('day', 'changed_at')}, count(*), {premium} FROM inquiries"
            " WHERE changed_at >= %s GROUP BY 1",
            since,
        ),
        stat(
            "inquiries",
            {"group_by": "insurer,broker", **first},
            f"SELECT insurer_id, broker_external_id, count(*), {premium} FROM inquiries"
            " WHERE first_received_at >= %s GROUP BY 1, 2",
            since,
        ),
        stat(
            "leads",
            {"bucket": "day", "group_by": "origin,status", **first},
            f"SELECT {bucket.format('day', 'first_received_at')}, origin, status, count(*) FROM leads"
            " WHERE first_received_at >= %s GROUP BY 1, 2, 3",
            since,
        ),
        stat(
            "funnel",
            {"from": 4, "to": 6, **first},
            "SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY b.day - a.day) FROM inquiries i"
            " JOIN (SELECT record_id, min(occurred_on) AS day FROM events WHERE type ="
            " 'thinksurance.inquiry.calculated' GROUP BY 1) a ON a.record_id = i.id"
            " LEFT JOIN (SELECT record_id, min(occurred_on) AS day FROM events WHERE type ="
            " 'thinksurance.inquiry.ordered' GROUP BY 1) b ON b.record_id = i.id WHERE i.first_received_at >= %s",
            since,
        ),
    ]
