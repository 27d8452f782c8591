"""Tells whether the service can do its work: `/livez`, `/readyz` and `/metrics`.

What is measured is named in `app.metrics`; bringing back what is down is the supervisor's business.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal, LiteralString
from uuid import UUID

import psycopg
from fastapi import APIRouter, Query, Request, Response
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app import metrics
from app.accounts.snapshot import AccountBook
from app.ids import time_of
from app.ingest.keeping import Keeper
from app.ingest.writer import CONNECT_TIMEOUT_S, within
from app.problems import Invalid, Problem, described
from app.times import now

PROBE_S = 1.5
BEHIND = timedelta(minutes=1)

_INBOX = "SELECT count(*), (SELECT delivery_id FROM inbox ORDER BY delivery_id LIMIT 1) FROM inbox"
_WORK = (
    "SELECT (SELECT count(*) FROM gaps WHERE late_at IS NULL), (SELECT count(*) FROM gaps WHERE late_at IS NOT NULL),"
    " count(*) FILTER (WHERE status = 'todo'), count(*) FILTER (WHERE status = 'doing'),"
    " count(*) FILTER (WHERE status = 'failed') FROM procrastinate_jobs"
)
_OLDEST = "SELECT (SELECT delivery_id FROM inbox ORDER BY delivery_id LIMIT 1)"


class NotReady(Problem):
    """The service cannot do this now; `parts` says what is missing."""

    status = 503
    code = "not-ready"
    title = "Not ready"


class Probe:
    """Asks a database short questions over one connection of its own, and never waits long for the answer."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._asking = asyncio.Lock()

    async def ask(self, question: LiteralString) -> tuple[Any, ...] | None:
        """Return the answer's only row, None if the database did not give it in time."""
        answer: list[tuple[Any, ...] | None] = []
        try:
            async with self._asking:
                await within(PROBE_S, self._ask(question, answer))
        except (psycopg.Error, TimeoutError):
            await self.close()
            return None
        return answer[0]

    async def close(self) -> None:
        """Close the connection; the next question opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _ask(self, question: LiteralString, answer: list[tuple[Any, ...] | None]) -> None:
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
            )
        cursor = await self._connection.execute(question)
        answer.append(await cursor.fetchone())


@dataclass(frozen=True, slots=True)
class Health:
    """What the answers are made of: set as `app.state.health` while the application runs."""

    primary: Probe
    reading: Probe
    accounts: AccountBook
    keeper: Keeper

    async def close(self) -> None:
        """Close the connections."""
        await self.primary.close()
        await self.reading.close()

    async def parts_for_callbacks(self) -> dict[str, str]:
        """Return the state of what an acknowledgement needs: `database`, `spool`, `accounts`, `processing`."""
        row = await self.primary.ask(_OLDEST)
        parts = {
            "database": "away" if row is None or self.keeper.is_away else "ok",
            "spool": "failing" if self.keeper.spool_fails else "in use" if self.keeper.spooled else "ok",
            "accounts": "ok" if self.accounts.healthy else "stale",
        }
        if row:
            parts["processing"] = "behind" if _age_seconds(row[0]) > BEHIND.total_seconds() else "ok"
        return parts

    async def parts_for_query(self) -> dict[str, str]:
        """Return the state of what questions need."""
        return {"database": "ok" if await self.reading.ask("SELECT 1") else "away"}


class InboxMeasures(Collector):
    """The depth of the inbox and the age of what waits longest, as just read from the database."""

    def __init__(self, row: tuple[Any, ...]) -> None:
        self._depth, self._oldest = row

    def collect(self) -> Iterator[Metric]:
        """Yield them for Prometheus."""
        yield GaugeMetricFamily("callbox_inbox_deliveries", "Deliveries that wait to be processed", self._depth)
        yield GaugeMetricFamily(
            "callbox_inbox_oldest_seconds", "Age of the delivery that waits longest", _age_seconds(self._oldest)
        )


class WorkMeasures(Collector):
    """What the jobs have found and what waits for them, as just read from the database."""

    def __init__(self, row: tuple[Any, ...]) -> None:
        self._gaps = dict(zip(("open", "late"), row[:2], strict=True))
        self._jobs = dict(zip(("waiting", "running", "dead"), row[2:], strict=True))

    def collect(self) -> Iterator[Metric]:
        """Yield them for Prometheus."""
        for name, about, counts in (
            ("callbox_gaps", "Callbacks that never came and were found by a pull; `late`: came after that", self._gaps),
            ("callbox_jobs_queued", "Jobs that stand in the queue; `dead`: given up", self._jobs),
        ):
            family = GaugeMetricFamily(name, about, labels=("state",))
            for word, number in counts.items():
                family.add_metric((word,), number)
            yield family


def _age_seconds(oldest: UUID | None) -> float:
    return 0.0 if oldest is None else max(0.0, (now() - time_of(oldest)).total_seconds())


router = APIRouter(tags=["health"])

_MEASURES: dict[str, Any] = {
    "text/plain": {"schema": {"type": "string"}, "example": "callbox_inbox_deliveries 0.0\n"},
}


def _answered(example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "It does.", "content": {"application/json": {"example": example}}}}


@router.get(
    "/livez",
    operation_id="livez",
    summary="Whether this process answers",
    responses=_answered({"status": "ok"}),
)
async def livez() -> dict[str, str]:
    """Answer at once, whatever else is up or down."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Whether callbacks can be acknowledged",
    responses=_answered({"status": "ok", "parts": dict.fromkeys(("database", "spool", "accounts", "processing"), "ok")})
    | described(NotReady, Invalid),
)
async def readyz(
    request: Request,
    purpose: Annotated[
        Literal["query"] | None, Query(alias="for", description="`query`: whether questions can be answered")
    ] = None,
) -> dict[str, Any]:
    """200 as long as a callback can be acknowledged; `degraded` where something else is wrong, see `parts`."""
    health: Health = request.app.state.health
    parts = await (health.parts_for_query() if purpose else health.parts_for_callbacks())
    if parts["database"] != "ok" and parts.get("spool") in {None, "failing"}:
        raise NotReady(headers={"Retry-After": "2"}, parts=parts)
    return {"status": "ok" if set(parts.values()) == {"ok"} else "degraded", "parts": parts}


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Measures for Prometheus",
    response_class=Response,
    responses={200: {"description": "All measures.", "content": _MEASURES}},
)
async def shown_metrics(request: Request) -> Response:
    """All measures of all processes; what the database knows is left out while it is away."""
    health: Health = request.app.state.health
    inbox, work = await health.primary.ask(_INBOX), await health.primary.ask(_WORK)
    asked: list[Collector] = [InboxMeasures(inbox)] if inbox else []
    asked += [WorkMeasures(work)] if work else []
    return Response(metrics.shown(asked), media_type=metrics.CONTENT_TYPE)
