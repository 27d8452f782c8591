"""Answers what needs somebody: each thing with its number, its age, a sentence, and where to look.

How sources fare is asked in `source_health`; what to do about it is people's business.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy import ColumnElement, Table, Text, and_, cast, exists, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access
from app.ids import first_id_at, time_of
from app.query.access import Reader
from app.query.answers import answer
from app.query.details import check_parameters
from app.query.documented import list_problems
from app.query.reading import reading_of
from app.query.schemas.brokers import Notice, NoticePage
from app.query.shapes import in_order, path
from app.query.source_health import IN_QUARANTINE, health_of
from app.query.walls import Statement, walled
from app.storage.models import PARTITIONED, documents, inbox, inquiries, outcomes, sources, submissions
from app.storage.partitions import months_around
from app.times import now

SINCE: Final = timedelta(days=30)
"""What is older is no news in quarantine."""

_BEHIND: Final = timedelta(minutes=1)
_SOON: Final = timedelta(hours=48)
_ORDERED: Final = 6
_SEVERITIES: Final = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Asking:
    """What the questions are asked with: the connection, who asks, and the names of the sources that the key sees."""

    connection: AsyncConnection
    access: Access
    names: Mapping[UUID, str]
    moment: datetime

    async def rows(self, statement: Statement, table: Table) -> Sequence[Any]:
        """Return the rows of a statement within the key's wall."""
        return (await self.connection.execute(walled(statement, table, self.access))).all()


def _notice(kind: str, severity: str, sentence: str, **more: Any) -> dict[str, Any]:
    empty = {"source": None, "count": 1, "oldest_at": None, "link": None}
    return in_order(Notice, {"kind": kind, "severity": severity, "sentence": sentence, **empty, **more})


def _oldest(ids: ColumnElement[UUID]) -> ColumnElement[str]:
    """Return the expression for the lowest id, as text: PostgreSQL has no `min(uuid)` before 18."""
    return func.min(cast(ids, Text))


def _number(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


async def _quarantine(asking: Asking) -> list[dict[str, Any]]:
    own = outcomes.c
    statement: Statement = select(own.source_id, own.status, own.reason, func.count(), _oldest(own.delivery_id))
    statement = statement.where(own.status.in_(IN_QUARANTINE), own.delivery_id >= first_id_at(asking.moment - SINCE))
    found = []
    for source_id, status, reason, count, oldest in await asking.rows(
        statement.group_by(own.source_id, own.status, own.reason), outcomes
    ):
        source = asking.names[source_id]
        what = reason or "some of their items"
        query = [("source", source), ("status", status), *([("reason", reason)] if reason else [])]
        found.append(
            _notice(
                "quarantine",
                "error" if reason == "processing-failed" else "warning",
                f"{_number(count, 'delivery', 'deliveries')} of {source} in quarantine: {what}.",
                source=source,
                count=count,
                oldest_at=time_of(UUID(oldest)),
                link=path("/v1/deliveries", query),
            )
        )
    return found


async def _unproven(asking: Asking) -> list[dict[str, Any]]:
    own = sources.c
    refused = exists(select(literal(1)).where(outcomes.c.source_id == own.id, outcomes.c.status.in_(IN_QUARANTINE)))
    statement: Statement = select(own.name, own.created_at).where(
        own.mode == "enforce", own.recipe_proven_at.is_(None), own.disabled_at.is_(None), refused
    )
    return [
        _notice(
            "recipe-unproven",
            "error",
            f"No signature has ever fitted the recipe of {row.name}, so everything waits in quarantine: "
            f"`callbox calibrate {row.name}`.",
            source=row.name,
            oldest_at=row.created_at,
            link=f"/v1/sources/{row.name}",
        )
        for row in await asking.rows(statement, sources)
    ]


async def _quiet(asking: Asking) -> list[dict[str, Any]]:
    enabled: Statement = select(sources.c.id).where(sources.c.disabled_at.is_(None))
    ids = [row.id for row in await asking.rows(enabled, sources)]
    found = await health_of(asking.connection, ids, asking.access)
    return [
        _notice(
            "source-quiet",
            "warning",
            f"{asking.names[one]} is silent for longer than ever in two weeks.",
            source=asking.names[one],
            oldest_at=health.quiet_since,
            link=f"/v1/sources/{asking.names[one]}",
        )
        for one, health in found.items()
        if health.quiet_since is not None
    ]


async def _behind(asking: Asking) -> list[dict[str, Any]]:
    done = exists(
        select(literal(1)).where(
            outcomes.c.delivery_id == inbox.c.delivery_id, outcomes.c.source_id == inbox.c.source_id
        )
    )
    statement: Statement = select(func.count(), _oldest(inbox.c.delivery_id)).where(
        ~done, inbox.c.delivery_id < first_id_at(asking.moment - _BEHIND)
    )
    (row,) = await asking.rows(statement, inbox)
    if not row[0]:
        return []
    waiting = _number(row[0], "delivery waits", "deliveries wait")
    oldest = time_of(UUID(row[1]))
    sentence = f"{waiting} to be processed for longer than a minute; is `callbox work` running?"
    return [_notice("processing-behind", "error", sentence, count=row[0], oldest_at=oldest)]


async def _by_source(
    asking: Asking,
    table: Table,
    condition: ColumnElement[bool],
    since: ColumnElement[Any],
    told: Callable[[int, str, Any], dict[str, Any]],
) -> list[dict[str, Any]]:
    statement: Statement = select(table.c.source_id, func.count(), func.min(since)).where(condition)
    rows = await asking.rows(statement.group_by(table.c.source_id), table)
    return [told(count, asking.names[source_id], oldest) for source_id, count, oldest in rows]


async def _overdue(asking: Asking) -> list[dict[str, Any]]:
    own = submissions.c
    return await _by_source(
        asking,
        submissions,
        and_(own.state == "accepted", own.due_at < asking.moment),
        own.due_at,
        lambda count, source, oldest: _notice(
            "submissions-overdue",
            "warning",
            f"{_number(count, 'submission', 'submissions')} to {source} without the callback that was due.",
            source=source,
            count=count,
            oldest_at=oldest,
            link=path("/v1/submissions", [("source", source), ("state", "overdue")]),
        ),
    )


async def _expiring(asking: Asking) -> list[dict[str, Any]]:
    own = documents.c
    ends = own.token_expires_at.between(asking.moment, asking.moment + _SOON)
    return await _by_source(
        asking,
        documents,
        and_(ends, own.archived_at.is_(None)),
        own.first_received_at,
        lambda count, source, oldest: _notice(
            "documents-expiring",
            "warning",
            f"{_number(count, 'document', 'documents')} of {source} not archived, and no longer to be had in two days.",
            source=source,
            count=count,
            oldest_at=oldest,
            link=path("/v1/documents", [("source", source), ("archived_at[null]", "true")]),
        ),
    )


async def _failed_orders(asking: Asking) -> list[dict[str, Any]]:
    own = inquiries.c
    return await _by_source(
        asking,
        inquiries,
        and_(own.status == _ORDERED, own.digital_order_success.is_(False)),
        own.last_received_at,
        lambda count, source, oldest: _notice(
            "order-failed",
            "error",
            f"{_number(count, 'inquiry', 'inquiries')} of {source} ordered, but the digital order failed.",
            source=source,
            count=count,
            oldest_at=oldest,
            link=path("/v1/inquiries", [("source", source), ("status", 6), ("digital_order_success", "false")]),
        ),
    )


async def _partitions(asking: Asking) -> list[dict[str, Any]]:
    names = [f"{table.name}_{start:%Y%m}" for table in PARTITIONED for start, _ in months_around(asking.moment, 1)]
    statement = select(*(func.to_regclass(cast(literal(name), Text)).is_(None) for name in names))
    row = (await asking.connection.execute(statement)).one()
    missing = [name for name, is_missing in zip(names, row, strict=True) if is_missing]
    if not missing:
        return []
    sentence = f"Partitions are missing for this month or the next: {', '.join(missing)}; is `callbox work` running?"
    return [_notice("partitions-missing", "error", sentence, count=len(missing))]


QUESTIONS: Final[Sequence[Callable[[Asking], Awaitable[list[dict[str, Any]]]]]] = (
    _quarantine,
    _unproven,
    _quiet,
    _behind,
    _overdue,
    _expiring,
    _failed_orders,
    _partitions,
)


async def notices(connection: AsyncConnection, access: Access) -> list[dict[str, Any]]:
    """Return what needs somebody, as far as the key may know of it, the worst first."""
    named: Statement = select(sources.c.id, sources.c.name)
    names = {row.id: row.name for row in await connection.execute(walled(named, sources, access))}
    asking = Asking(connection, access, names, now())
    found = [notice for question in QUESTIONS for notice in await question(asking)]
    return sorted(found, key=lambda notice: (_SEVERITIES.index(notice["severity"]), notice["kind"], -notice["count"]))


router = APIRouter()


@router.get(
    "/attention",
    name="list_attention",
    operation_id="list_attention",
    response_model=None,
    responses={200: {"model": NoticePage, "description": "All of it."}, **list_problems()},
    tags=["sources"],
)
async def list_attention(request: Request, access: Reader) -> Response:
    """List what needs somebody, the worst first.

    Deliveries in quarantine by reason (of the last 30 days), sources whose signature has never fitted or that have
    gone quiet, processing that is behind, submissions without their callback, documents that are soon no longer to be
    had, failed orders, missing partitions. An empty list means that all is well.
    """
    check_parameters(request)
    async with reading_of(request).asking() as connection:
        found = await notices(connection, access)
    return answer({"data": found, "next_cursor": None})
