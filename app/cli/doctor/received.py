"""Looks at what was received: how the sources fare, what is in quarantine, what waits.

What needs somebody in more detail is told by `/v1/attention`.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg.rows import dict_row

from app.cli.doctor.finding import Finding, Subject, several
from app.ids import first_id_at
from app.ingest.contract import Reason
from app.processing.second_looks import is_processor_active
from app.times import now, to_text

_MOST_COUNTED = 10_000
_RECENT: Final = timedelta(hours=24)
_NEWS: Final = timedelta(days=30)
_BEHIND: Final = timedelta(minutes=1)
_OURS: Final = frozenset({Reason.SIGNATURE_UNPROVEN, Reason.SENDER_REFUSED})
"""Reasons for which a mistaken setting of ours is as likely as a mistaken sender."""

_SOURCES = """
SELECT s.name, s.provider, s.mode, s.disabled_at, s.mode = 'enforce' AND s.recipe_proven_at IS NULL AS unproven,
       (SELECT d.received_at FROM deliveries d WHERE d.source_id = s.id ORDER BY d.id DESC LIMIT 1) AS last_received_at,
       coalesce(r.received, 0) AS received, coalesce(r.quarantined, 0) AS quarantined
FROM sources s LEFT JOIN (
    SELECT d.source_id, count(*) AS received, count(*) FILTER (WHERE o.status = 'quarantined') AS quarantined
    FROM deliveries d LEFT JOIN outcomes o ON o.delivery_id = d.id AND o.source_id = d.source_id
    WHERE d.id >= %s GROUP BY 1
) r ON r.source_id = s.id
ORDER BY s.name
"""

_SINCE = """
SELECT least(d.received_at, d.stored_at) FROM inbox i
JOIN deliveries d ON d.id = i.delivery_id AND d.source_id = i.source_id
"""
_INBOX = f"""
SELECT count(*), ({_SINCE} ORDER BY i.delivery_id LIMIT 1),
       ({_SINCE} WHERE NOT EXISTS (SELECT FROM outcomes o
        WHERE o.delivery_id = i.delivery_id AND o.source_id = i.source_id) ORDER BY i.delivery_id LIMIT 1)
FROM inbox
"""  # noqa: S608 - made of the constant above


def look_at_sources(subject: Subject) -> Iterator[Finding]:
    """Find how each source fared in the last 24 hours; one whose signatures never fitted needs a person."""
    with subject.connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SOURCES, (first_id_at(now() - _RECENT),)).fetchall()
    shown = [_source(row) for row in rows]
    unfit = [row["name"] for row in rows if row["unproven"] and row["quarantined"] and row["disabled_at"] is None]
    live = sum(row["disabled_at"] is None for row in rows)
    received = sum(row["received"] for row in rows)
    detail = f"{several(live, 'source')}, {several(received, 'delivery', 'deliveries')} in 24 hours"
    if unfit:
        detail += f"; no signature has ever fitted the recipe of {', '.join(unfit)}: `callbox calibrate {unfit[0]}`"
    yield Finding("sources", well=not unfit, detail=detail, values={"sources": shown})


def _source(row: dict[str, Any]) -> dict[str, Any]:
    last: datetime | None = row["last_received_at"]
    return {
        "name": row["name"],
        "provider": row["provider"],
        "mode": row["mode"],
        "enabled": row["disabled_at"] is None,
        "recipe_unproven": row["unproven"],
        "last_received_at": to_text(last) if last else None,
        "received_24h": row["received"],
        "quarantined_24h": row["quarantined"],
    }


def look_at_quarantine(subject: Subject) -> Iterator[Finding]:
    """Count what is in quarantine by reason, up to a bound.

    What a sender did is no fault. What may be one of ours needs a person: processing that failed in the last 30 days,
    and what a recipe or a check refused in the last 24 hours.
    """
    rows = subject.connection.execute(
        "SELECT reason, delivery_id FROM outcomes WHERE status IN ('quarantined', 'partial')"
        " ORDER BY delivery_id DESC LIMIT %s",
        (_MOST_COUNTED,),
    ).fetchall()
    reasons = Counter(str(reason) for reason, _ in rows)
    failed, refused = first_id_at(now() - _NEWS), first_id_at(now() - _RECENT)
    urgent = Counter(
        str(reason)
        for reason, delivery_id in rows
        if (reason == Reason.PROCESSING_FAILED and delivery_id >= failed)
        or (reason in _OURS and delivery_id >= refused)
    )
    detail = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items())) or "nothing is in it"
    if len(rows) == _MOST_COUNTED:
        detail += f"; only the newest {_MOST_COUNTED} were counted"
    if urgent:
        detail += f"; to be looked at: {', '.join(f'{number} {reason}' for reason, number in sorted(urgent.items()))}"
    values = {"deliveries": len(rows), "complete": len(rows) < _MOST_COUNTED, "reasons": dict(sorted(reasons.items()))}
    values |= {"urgent": dict(sorted(urgent.items()))}
    yield Finding("quarantine", well=not urgent, detail=detail, values=values)


def look_at_inbox(subject: Subject) -> Iterator[Finding]:
    """Find what waits to be processed, and whether anybody is at it.

    What was received while the clock ran ahead has waited since it was stored.
    """
    depth, since, newcomer_since = subject.row(_INBOX)
    active = is_processor_active(subject.connection)
    waits = (now() - since).total_seconds() if since else 0.0
    values = {"depth": depth, "oldest_waiting_at": to_text(since) if since else None}
    values |= {"oldest_waiting_seconds": round(waits, 3), "processor_active": active}
    detail = f"{depth} wait, the oldest since {to_text(since)}" if since else "nothing waits"
    behind = newcomer_since is not None and now() - newcomer_since > _BEHIND
    if behind:
        detail += ": processing is behind" if active else ": no processor is running, start `callbox serve`"
    yield Finding("inbox", well=not behind, detail=detail, values=values)
