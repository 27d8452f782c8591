"""Answers details as they were: the record folded from those of its events that had been received until then.

How events are folded is the processing room's; what a record looks like is told beside its list.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Text, Uuid, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access
from app.processing.baselines import merged
from app.processing.identity import bounded_key
from app.processing.record_rows import StoredEvent
from app.processing.records import FIELDS, Account, Mark, fold_events, to_columns
from app.processing.telling import told_of
from app.query import customers as of_customers
from app.query import documents as of_documents
from app.query.answers import tagged_answer, to_json
from app.query.details import check_parameters, get_row, no_such, parse_id
from app.query.filters import Slips
from app.query.inquiries import INQUIRIES, ITS_DOCUMENTS, Customers
from app.query.kept import RECORD, life_of, told_since, with_beginning
from app.query.leads import LEADS
from app.query.months import in_reach_of
from app.query.prepared import Prepared, asked
from app.query.reading import moment_of, reading_of
from app.query.resource import Resource, Row
from app.query.trail import noting
from app.query.values import Context, Fault, parse_span
from app.query.walls import Statement, cache_of_walls, in_reach, walled
from app.storage.models import aliases, customers, documents, events, inquiries
from app.times import to_text

PARAMETER = "as_of"
TRAVELLING = (INQUIRIES, LEADS)
"""The records that can be asked for as they were."""

_UNSAID = Mark((), None, stale=False)


async def answer_as_of(request: Request, resource: Resource, text: str, access: Access) -> Response:
    """Return a record as it was known at `as_of`.

    Raises:
        NotFound: there is none of this id that the key may see, or nothing was known of it then.
        NotKept: what was known of it then is no longer kept.
    """
    check_parameters(request, (PARAMETER,))
    reading = reading_of(request)
    context = Context(access, moment_of(request), reading.zone, reading.book.present.sources)
    until = _until(request, context)
    async with AsyncExitStack() as noted:
        async with reading.asking(once=True) as connection:
            present = await get_row(connection, resource, parse_id(resource, text), access)
            account = await _account(connection, resource.kind, present, until, access)
            if account is None:
                raise no_such(resource)
            noting_it = noting(reading, access, resource.name, [present["id"]], as_of=to_text(until))
            await noted.enter_async_context(noting_it)
            told = {**present, **_as_row(resource.kind, account)}
            row, its_customers = _shown_of(present, told), None
            if resource is INQUIRIES:
                row["confirmed_at"] = _not_after(present["confirmed_at"], until)
                row[ITS_DOCUMENTS] = to_json(await _documents(connection, told, until, access))
                its_customers = await _customers(connection, told, until, access)
        return tagged_answer(request, resource.shape(row, access, its_customers), access)


def _until(request: Request, context: Context) -> datetime:
    """Return the moment before which events must have been received; a date means its end."""
    slips = Slips()
    texts = request.query_params.getlist(PARAMETER)
    until = context.moment
    try:
        until = parse_span(texts[0], context).end
    except Fault as fault:
        slips.add(PARAMETER, fault.code, fault.detail)
    if len(texts) > 1:
        slips.add(PARAMETER, "repeated", "may be given once only")
    slips.check()
    return until


async def _account(
    connection: AsyncConnection, kind: str, present: Row, until: datetime, access: Access
) -> Account | None:
    """Return what had been said about a record until then, None if nothing."""
    values = {RECORD: present["id"], "until": until, **in_reach_of(life_of(present))}
    beginning, rows = await told_since(connection, _events_of(access, kind), values, access)
    told = []
    for row in rows:
        number = next((n for n, part in enumerate(row["parts"]) if part["kind"] == kind), None)
        if number is not None:
            told.append(told_of(StoredEvent(**row, mark=_UNSAID), number))
    base = merged(beginning.until(until))
    return fold_events(told, base)[0] if told or base else None


@cache_of_walls
def _events_of(access: Access, kind: str) -> Prepared:
    own = events.c
    link = own.customer_id if kind == "customer" else own.record_id
    place = (own.item_index.label("index"), own.order_key.label("key"))
    statement: Statement = select(own.id, own.delivery_id, *place, own.received_at, own.parts)
    statement = statement.where(
        link == asked(RECORD, Uuid()),
        in_reach(own.id),
        own.received_at < asked("until", own.received_at.type),
        func.jsonb_array_length(own.parts) > 0,
    )
    return Prepared.of(with_beginning(walled(statement, events, access), access))


def _as_row(kind: str, account: Account) -> dict[str, Any]:
    """Return what had been said as the columns of the record's table."""
    return {
        **_unknown(kind),
        **to_columns(kind, account.state),
        "first_received_at": account.first_received_at,
        "last_received_at": account.last_received_at,
        "changed_at": account.changed_at,
        "event_count": account.event_count,
    }


def _shown_of(present: Row, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return of what had been said the columns that a record is shown with."""
    return {name: told[name] for name in present}


def _unknown(kind: str) -> dict[str, None]:
    """Return every field that events set, as not known."""
    return dict.fromkeys(FIELDS[kind])


def _not_after(moment: datetime | None, until: datetime) -> datetime | None:
    return moment if moment is not None and moment < until else None


async def _customers(connection: AsyncConnection, row: Mapping[str, Any], until: datetime, access: Access) -> Customers:
    """Return the customer of an inquiry as it was, if there was one."""
    found: dict[str, dict[str, Any]] = {}
    if row["customer_key"] is not None:  # by then it may have been another's than now
        values = {"key": bounded_key(row["customer_key"]), "source": row["source_id"]}
        for named in await _customer_of_key(access).rows(connection, values):
            customer = await _customer(connection, named["id"], until, access)
            if customer is not None:
                found[str(row["customer_record_id"])] = customer
    return found


@cache_of_walls
def _customer_of_key(access: Access) -> Prepared:
    """Return the statement of the customer that a key leads to."""
    source = asked("source", Uuid())
    named = select(cast(asked("key", Text()), Text).label("key")).cte("named", recursive=True)
    of_customer = (aliases.c.source_id == source, aliases.c.kind == "customer")
    named = named.union(select(aliases.c.target).where(*of_customer, aliases.c.key == named.c.key))
    own = customers.c
    statement: Statement = select(own.id).where(own.source_id == source, own.identity == named.c.key)
    return Prepared.of(walled(statement.where(own.merged_into.is_(None)), customers, access))


async def _customer(
    connection: AsyncConnection, customer_id: UUID, until: datetime, access: Access
) -> dict[str, Any] | None:
    """Return a customer as it was, who is the same person as now also where that was found out later."""
    present = await of_customers.find_row(connection, customer_id, access)
    if present is None:
        return None
    account = await _account(connection, "customer", present, until, access)
    if account is None:
        return None
    (counted,) = await _inquiries_of(access).rows(connection, {RECORD: present["id"], "until": until})
    row = _shown_of(present, {**present, **_as_row("customer", account), **counted})
    return of_customers.shape(row, access)


@cache_of_walls
def _inquiries_of(access: Access) -> Prepared:
    own = inquiries.c
    known_then = own.first_received_at < asked("until", own.first_received_at.type)
    statement: Statement = select(func.count().label("inquiry_count")).where(
        own.customer_record_id == asked(RECORD, Uuid()), known_then
    )
    return Prepared.of(walled(statement, inquiries, access))


async def _documents(
    connection: AsyncConnection, row: Mapping[str, Any], until: datetime, access: Access
) -> list[dict[str, Any]]:
    """Return the documents that had been announced until then, as they were called."""
    values = {"source": row["source_id"], "number": row["inquiry_id"], "until": until}
    found = await _announced(access).rows(connection, values)
    shown = []
    for document in found:
        said = row["documents"].get(document["hash"])
        if said is not None:
            archived_at = _not_after(document["archived_at"], until)
            state = "archived" if archived_at else "announced"
            named = {name: said.get(name) for name in ("name", "full_name", "purpose")}
            then = {**document, **named, "archived_at": archived_at, "state": state}
            shown.append(of_documents.within_inquiry(then, access))
    return shown


@cache_of_walls
def _announced(access: Access) -> Prepared:
    own = documents.c
    statement = of_documents.columns_within(access).where(
        own.source_id == asked("source", Uuid()),
        own.inquiry_id == asked("number", BigInteger()),
        own.first_received_at < asked("until", own.first_received_at.type),
    )
    return Prepared.of(walled(statement, documents, access).order_by(of_documents.BY_HASH))
