"""Answers which brokers there are, how many inquiries they have, and what of theirs is in quarantine."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter
from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access
from app.ids import first_id_at
from app.query.access import Reader
from app.query.answers import answer, next_link
from app.query.cursor import Position, write_cursor
from app.query.documented import fields_parameters, list_problems, looks_parameters, page_parameters
from app.query.fields import Condition, Field, Kind, of_column, source_fields
from app.query.filters import Parameters, Question, read_question
from app.query.posted import posted_body, posted_parameters
from app.query.reading import moment_of, reading_of
from app.query.schemas.brokers import Broker, BrokerPage
from app.query.shapes import in_order, path
from app.query.shaping import count_rows, read_shaping
from app.query.source_health import IN_QUARANTINE, RECENT
from app.query.values import Context
from app.query.walls import Statement, walled
from app.storage.models import inquiries, outcomes, sources
from app.times import now

FIELDS: Final[Mapping[str, Field]] = {
    **source_fields(inquiries),
    "broker_external_id": of_column(inquiries, "broker_external_id", Kind.TEXT),
}


async def answer_brokers(request: Request, access: Access, posted: Parameters | None = None) -> Response:
    """Return a page of brokers, by their ids; by the parameters in the URL or by those that were `posted`.

    Raises:
        Problem: a parameter cannot be used, or the database has trouble.
    """
    reading, parameters = reading_of(request), request.query_params.multi_items() if posted is None else posted
    context = Context(access, moment_of(request), reading.zone, reading.book.present.sources)
    shaping, filters = read_shaping(Broker, parameters)
    question = read_question("brokers", FIELDS, filters, context, reading.cursor_key)
    counted = None
    async with reading.asking() as connection:
        if shaping.count is not None:
            counted = await count_rows(connection, _counted(question, access), shaping.count, access)
        rows = (await connection.execute(_page(question, access))).all()
        has_more, rows = len(rows) > question.limit, rows[: question.limit]
        quarantined = {
            (row.source_id, row.broker): row.number for row in await connection.execute(_quarantined(access))
        }
    shown = [shaping.cut(_shape(row, quarantined.get((row.source_id, row.broker_external_id), 0))) for row in rows]
    page: dict[str, Any] = {"data": shown, "next_cursor": None}
    if counted is not None:
        page["count"] = counted
    link = None
    if has_more:
        end = Position((rows[-1].broker_external_id, rows[-1].source))
        page["next_cursor"] = cursor = write_cursor(reading.cursor_key, question.binding, end)
        if posted is None:
            link = {"Link": next_link(reading.public_url or "", request.url.path, parameters, cursor)}
    return answer(page, headers=link)


def _counted(question: Question, access: Access, *conditions: Condition) -> Statement:
    """Return all brokers of the question, whichever page is asked for, with what is counted of each."""
    own = inquiries.c
    counted: Statement = select(
        own.source_id,
        own.broker_external_id,
        func.count().label("inquiries"),
        func.max(own.last_received_at).label("last_received_at"),
    )
    counted = counted.where(own.broker_external_id.is_not(None), *question.conditions, *conditions)
    return walled(counted, inquiries, access).group_by(own.broker_external_id, own.source_id)


def _page(question: Question, access: Access) -> Statement:
    """Return a page of brokers. Sources are joined at last: else all inquiries would be sorted by their names."""
    ascending, own, name = question.order == "asc", inquiries.c.broker_external_id, sources.c.name
    last, source = question.position.after if question.position else (None, None)
    reached = [] if last is None else [own >= last if ascending else own <= last]
    counted = _counted(question, access, *reached).subquery("counted")
    page: Statement = select(name.label("source"), *counted.c).join(counted, sources.c.id == counted.c.source_id)
    broker = counted.c.broker_external_id
    if last is not None:
        page = page.where((broker != last) | (name > source if ascending else name < source))
    in_order = (broker.asc(), name.asc()) if ascending else (broker.desc(), name.desc())
    return page.order_by(*in_order).limit(question.limit + 1)


def _quarantined(access: Access) -> Statement:
    """Return how many deliveries of the last day have something in quarantine, by each broker that they name."""
    own = outcomes.c
    statement: Statement = select(own.source_id, func.unnest(own.brokers).label("broker"))
    statement = statement.where(own.status.in_(IN_QUARANTINE), own.delivery_id >= first_id_at(now() - RECENT))
    named = walled(statement, outcomes, access).subquery("named")
    return select(named.c.source_id, named.c.broker, func.count().label("number")).group_by(*named.c)


def _shape(row: Any, quarantined: int) -> dict[str, Any]:
    broker = row.broker_external_id
    shown = {
        "broker_external_id": broker,
        "source": row.source,
        "name": None,
        "inquiries": row.inquiries,
        "last_received_at": row.last_received_at,
        "quarantined_24h": quarantined,
        "links": {"inquiries": path("/v1/inquiries", [("source", row.source), ("broker_external_id", broker)])},
    }
    return in_order(Broker, shown)


router = APIRouter(prefix="/v1")


@router.get(
    "/brokers",
    name="list_brokers",
    operation_id="list_brokers",
    response_model=None,
    responses={200: {"model": BrokerPage, "description": "A page."}, **list_problems()},
    tags=["sources"],
    openapi_extra={"parameters": [*page_parameters(), *looks_parameters(Broker), *fields_parameters(FIELDS)]},
)
async def list_brokers(request: Request, access: Reader) -> Response:
    """List the brokers of each source, by `broker_external_id`.

    With their inquiries, when they were last heard of, and how much of the last day is in quarantine.
    """
    return await answer_brokers(request, access)


@router.post(
    "/brokers/query",
    name="query_brokers",
    operation_id="query_brokers",
    response_model=None,
    responses={200: {"model": BrokerPage, "description": "A page."}, **list_problems()},
    tags=["sources"],
    openapi_extra={"requestBody": posted_body({"limit": 20, "order": "asc"})},
)
async def query_brokers(request: Request, access: Reader) -> Response:
    """List the brokers of each source by parameters in the body."""
    return await answer_brokers(request, access, await posted_parameters(request))
