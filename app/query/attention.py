"""Answers what needs somebody: each thing with its number, its age, a sentence, and where to look.

How sources fare is asked in `source_health`; what to do about it is people's business.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy import ColumnElement, Text, and_, cast, exists, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access, Source
from app.ids import first_id_at, time_of
from app.query import attention_pulls as pulls
from app.query import attention_watch as watch
from app.query.access import Reader
from app.query.answers import answer
from app.query.details import check_parameters
from app.query.documented import list_problems
from app.query.noticing import Asking, Counted, by_source, notice, number
from app.query.reading import reading_of
from app.query.schemas.brokers import NoticePage
from app.query.shapes import path
from app.query.source_health import IN_QUARANTINE, health_of
from app.query.walls import Statement, walled
from app.storage.models import PARTITIONED, deliveries, documents, inbox, inquiries, outcomes, sources, submissions
from app.storage.partitions import months_around
from app.times import now

SINCE: Final = timedelta(days=30)
"""What is older is no news in quarantine."""

_BEHIND: Final = timedelta(minutes=1)
_SOON: Final = timedelta(hours=48)
_ORDERED: Final = 6
_SEVERITIES: Final = ("error", "warning", "info")


def _oldest(ids: ColumnElement[UUID]) -> ColumnElement[str]:
    """Return the expression for the lowest id, as text: PostgreSQL has no `min(uuid)` before 18."""
    return func.min(cast(ids, Text))


async def _quarantine(asking: Asking) -> list[dict[str, Any]]:
    own = outcomes.c
    statement: Statement = select(own.source_id, own.status, own.reason, func.count(), _oldest(own.delivery_id))
    statement = statement.where(own.status.in_(IN_QUARANTINE), own.delivery_id >= first_id_at(asking.moment - SINCE))
    found = []
    for source_id, status, reason, count, oldest in await asking.rows(
        statement.group_by(own.source_id, own.status, own.reason), outcomes
    ):
        # There may be what is of no source here: see `app.processing.batch`.
        source = asking.names.get(source_id)
        what = reason or "some of their items"
        asked = (("source", source), ("status", status), ("reason", reason))
        found.append(
            notice(
                "quarantine",
                "error" if reason == "processing-failed" else "warning",
                f"{number(count, 'delivery', 'deliveries')} of {source or 'no known source'} in quarantine: {what}.",
                source=source,
                count=count,
                oldest_at=time_of(UUID(oldest)),
                link=path("/v1/deliveries", [(name, value) for name, value in asked if value]),
            )
        )
    return found


def _in_quarantine(access: Access) -> Statement:
    """Return what asks for something of a source in quarantine, as far as the key sees it."""
    own, judged = deliveries.c, outcomes.c
    if access.brokers is not None:  # by the index of what is not accepted, by its first broker
        named: Statement = select(literal(1)).where(judged.source_id == sources.c.id, judged.status.in_(IN_QUARANTINE))
        named = named.where(judged.status != "accepted", judged.brokers[1].in_(access.brokers))
        return walled(named, outcomes, access)
    # As values, by which deliveries of the source are looked at one by one, and mostly the newest is one; a join would
    # go through all outcomes.
    status = select(judged.status).where(judged.delivery_id == own.id, judged.source_id == own.source_id)
    waiting: Statement = select(literal(1)).where(own.source_id == sources.c.id)
    return waiting.where(status.scalar_subquery().in_(IN_QUARANTINE)).order_by(own.id.desc())


async def _unproven(asking: Asking) -> list[dict[str, Any]]:
    """Tell of the sources that have something in quarantine."""
    if not asking.unproven:
        return []
    waiting = _in_quarantine(asking.access).limit(1).scalar_subquery()
    refused: Statement = select(sources.c.id).where(waiting.is_not(None))
    return [
        notice(
            "recipe-unproven",
            "error",
            f"No signature has ever fitted the recipe of {(name := asking.names[row.id])}, so everything waits in"
            f" quarantine: `callbox calibrate {name}`.",
            source=name,
            oldest_at=asking.unproven[row.id],
            link=f"/v1/sources/{name}",
        )
        for row in await asking.rows(refused.where(sources.c.id.in_(asking.unproven)), sources)
    ]


async def _quiet(asking: Asking) -> list[dict[str, Any]]:
    found = await health_of(asking.connection, asking.enabled, asking.access)
    return [
        notice(
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
    """Tell of what waits; what was received while the clock ran ahead has waited since it was stored."""
    own, long_ago = inbox.c, asking.moment - _BEHIND
    done = exists(
        select(literal(1)).where(outcomes.c.delivery_id == own.delivery_id, outcomes.c.source_id == own.source_id)
    )
    stored = select(deliveries.c.stored_at).where(
        deliveries.c.id == own.delivery_id, deliveries.c.source_id == own.source_id
    )
    stored_at = stored.scalar_subquery()
    dated, ahead = own.delivery_id < first_id_at(long_ago), own.delivery_id >= first_id_at(asking.moment)
    statement: Statement = select(
        func.count(), _oldest(own.delivery_id).filter(dated), func.min(stored_at).filter(ahead)
    ).where(~done, dated | (ahead & (stored_at < long_ago)))
    ((count, oldest, oldest_ahead),) = await asking.rows(statement, inbox)
    if not count:
        return []
    waiting = number(count, "delivery waits", "deliveries wait")
    sentence = f"{waiting} to be processed for longer than a minute: is `callbox work` running, and what does it log?"
    since = min(one for one in (oldest and time_of(UUID(oldest)), oldest_ahead) if one is not None)
    link = path("/v1/deliveries", [("status", "pending")])
    return [notice("processing-behind", "error", sentence, count=count, oldest_at=since, link=link)]


def _overdue(asking: Asking) -> Counted:
    own = submissions.c
    return Counted(
        submissions,
        and_(own.state == "accepted", own.due_at < asking.moment),
        own.due_at,
        lambda count, source: (
            "submissions-overdue",
            "warning",
            f"{number(count, 'submission', 'submissions')} to {source} without the callback that was due.",
            path("/v1/submissions", [("source", source), ("state", "overdue")]),
        ),
    )


def _expiring(asking: Asking) -> Counted:
    own = documents.c
    ends = own.token_expires_at.between(asking.moment, asking.moment + _SOON)
    return Counted(
        documents,
        and_(ends, own.archived_at.is_(None)),
        own.first_received_at,
        lambda count, source: (
            "documents-expiring",
            "warning",
            f"{number(count, 'document', 'documents')} of {source} not archived, and no longer to be had in two days.",
            path("/v1/documents", [("source", source), ("archived_at[null]", "true")]),
        ),
    )


def _lost(_: Asking) -> Counted:
    own = documents.c
    return Counted(
        documents,
        own.state.in_(("failed", "expired")),
        own.first_received_at,
        lambda count, source: (
            "documents-lost",
            "error",
            f"{number(count, 'document', 'documents')} of {source} could not be had; `last_error` says why.",
            path("/v1/documents", [("source", source), ("state", "failed,expired")]),
        ),
    )


def _failed_orders(_: Asking) -> Counted:
    own = inquiries.c
    return Counted(
        inquiries,
        and_(own.status == _ORDERED, own.digital_order_success.is_(False)),
        own.last_received_at,
        lambda count, source: (
            "order-failed",
            "error",
            f"{number(count, 'inquiry', 'inquiries')} of {source} ordered, but the digital order failed.",
            path("/v1/inquiries", [("source", source), ("status", 6), ("digital_order_success", "false")]),
        ),
    )


async def _partitions(asking: Asking) -> list[dict[str, Any]]:
    names = [f"{table.name}_{start:%Y%m}" for table in PARTITIONED for start, _ in months_around(asking.moment, 1)]
    statement = select(*(func.to_regclass(cast(literal(name), Text)).is_(None) for name in names))
    row = (await asking.connection.execute(statement)).one()
    missing = [name for name, is_missing in zip(names, row, strict=True) if is_missing]
    if not missing:
        return []
    sentence = (
        f"Partitions are missing for this month or the next: {', '.join(missing)}; is `callbox work` running, or must"
        " `callbox migrate` run as the tables' owner?"
    )
    return [notice("partitions-missing", "error", sentence, count=len(missing))]


COUNTED: Final[Sequence[Callable[[Asking], Counted]]] = (
    _overdue,
    _expiring,
    _lost,
    _failed_orders,
    *pulls.COUNTED,
)


async def _counted(asking: Asking) -> list[dict[str, Any]]:
    return await by_source(asking, [one(asking) for one in COUNTED])


QUESTIONS: Final[Sequence[Callable[[Asking], Awaitable[list[dict[str, Any]]]]]] = (
    _quarantine,
    _unproven,
    _quiet,
    _behind,
    _counted,
    _partitions,
    *watch.QUESTIONS,
)


async def notices(
    connection: AsyncConnection, access: Access, known: Iterable[Source], spooled: int = 0
) -> list[dict[str, Any]]:
    """Return what needs somebody, as far as the key may know of it, the worst first.

    `known` are all sources as they could be read, `spooled` the callbacks in the spool of the process that asks.
    """
    own = sources.c
    named: Statement = select(own.id, own.name, own.mode, own.recipe_proven_at, own.disabled_at, own.created_at)
    rows = (await connection.execute(walled(named, sources, access))).all()
    enabled = [row for row in rows if row.disabled_at is None]
    asking = Asking(
        connection,
        access,
        {row.id: row.name for row in rows},
        now(),
        [row.id for row in enabled],
        {row.id: row.created_at for row in enabled if row.mode == "enforce" and row.recipe_proven_at is None},
        spooled,
        frozenset(one.id for one in known if one.unreadable),
    )
    found = [notice for question in QUESTIONS for notice in await question(asking)]
    return sorted(found, key=lambda notice: (_SEVERITIES.index(notice["severity"]), notice["kind"], -notice["count"]))


router = APIRouter(prefix="/v1")


@router.get(
    "/attention",
    name="list_attention",
    operation_id="list_attention",
    response_model=None,
    responses={200: {"model": NoticePage, "description": "All of it."}, **list_problems()},
    tags=["sources"],
)
async def list_attention(request: Request, access: Reader) -> Response:
    """List all that needs somebody at once, the worst first.

    Deliveries in quarantine by reason (of the last 30 days), sources whose signature has never fitted or that have
    gone quiet, processing that is behind, gaps of the last week, searches that fail, signatures that differ between
    push and pull, submissions without their callback, documents that could not be had or soon cannot, failed orders,
    missing partitions, items that look otherwise than before, callbacks in a spool, jobs that were given up, an audit
    log that was found changed, secrets that cannot be decrypted. An empty list means that all is well.
    """
    check_parameters(request)
    reading = reading_of(request)
    async with reading.asking() as connection:
        found = await notices(connection, access, reading.book.present.sources.values(), reading.spooled())
    return answer({"data": found, "next_cursor": None})
