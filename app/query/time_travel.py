"""Answers details as they were: the record folded from those of its events that had been received until then.

How events are folded is the processing room's; what a record looks like is told beside its list.
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Text, Uuid, case, cast, func, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from app.accounts.model import Access
from app.ids import first_id_at
from app.processing.baselines import merged
from app.processing.identity import bounded_key
from app.processing.record_rows import StoredEvent
from app.processing.records import FIELDS, Account, Mark, fold_events, to_columns
from app.processing.telling import told_of
from app.query import customers as of_customers
from app.query import documents as of_documents
from app.query.answers import tagged_answer, to_json
from app.query.details import check_parameters, get_row, no_such, parse_id
from app.query.fields import ANY_ID, LATER, IdRange
from app.query.filters import Slips
from app.query.inquiries import INQUIRIES, ITS_DOCUMENTS, Customers
from app.query.kept import RECORD, folded, has_beginning, life_of, told_since, with_beginning
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
        TooMuchTold: its events said more than is folded anew.
    """
    check_parameters(request, (PARAMETER,))
    reading = reading_of(request)
    context = Context(access, moment_of(request), reading.zone, reading.book.present.sources)
    until = _until(request, context)
    async with AsyncExitStack() as noted:
        async with reading.asking(once=True) as connection:
            present = await get_row(connection, resource, parse_id(resource, text), access)
            account, said = await _account(connection, resource.kind, present, until, access)
            if account is None:
                raise no_such(resource)
            noting_it = noting(reading, access, resource.name, [present["id"]], as_of=to_text(until))
            await noted.enter_async_context(noting_it)
            told = {**present, **_as_row(resource.kind, account)}
            row, its_customers = _shown_of(present, told), None
            if resource is INQUIRIES:
                row["confirmed_at"] = _not_after(present["confirmed_at"], until)
                row[ITS_DOCUMENTS] = to_json(await _documents(connection, told, said, until, access))
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
) -> tuple[Account | None, Sequence[StoredEvent]]:
    """Return what had been said about a record until then, None if nothing, and the events that said it."""
    values = {RECORD: present["id"], "until": until, **in_reach_of(life_of(present))}
    beginning, rows, size = await told_since(connection, _events_of(access, kind), values, access)
    said = [StoredEvent(**row, mark=_UNSAID) for row in rows]
    base = merged(beginning.until(until))
    return await folded(lambda: _fold(said, kind, base), size), said


def _fold(said: Sequence[StoredEvent], kind: str, base: Account | None) -> Account | None:
    told = []
    for event in said:
        number = next((n for n, part in enumerate(event.parts) if part["kind"] == kind), None)
        if number is not None:
            told.append(told_of(event, number))
    return fold_events(told, base)[0] if told or base else None


@cache_of_walls
def _events_of(access: Access, kind: str) -> Prepared:
    own = events.c
    link = own.customer_id if kind == "customer" else own.record_id
    place = (own.item_index.label("index"), own.order_key.label("key"))
    statement: Statement = select(own.id, own.delivery_id, *place, own.received_at)
    statement = statement.where(
        link == asked(RECORD, Uuid()),
        in_reach(own.id),
        own.received_at < asked("until", own.received_at.type),
        func.jsonb_array_length(own.parts) > 0,
    )
    return Prepared.of(with_beginning(walled(statement, events, access), own.parts, access))


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
    account, _ = await _account(connection, "customer", present, until, access)
    if account is None:
        return None
    reach = in_reach_of(IdRange(ANY_ID.low, first_id_at(until + LATER)))
    (counted,) = await _inquiries_of(access).rows(connection, {RECORD: present["id"], "until": until, **reach})
    row = _shown_of(present, {**present, **_as_row("customer", account), **counted})
    return of_customers.shape(row, access)


@cache_of_walls
def _inquiries_of(access: Access) -> Prepared:
    """Return the statement of how many inquiries were a customer's: those of which it had been said last.

    Where only what was dropped said whose an inquiry was, it is taken to be the same as now.
    """
    own, customer, until = inquiries.c, asked(RECORD, Uuid()), asked("until", events.c.received_at.type)
    told = (events.c.customer_id.is_not(None), events.c.received_at < until, in_reach(events.c.id))
    now = inquiries.alias("now")
    named: Statement = select(events.c.record_id).where(events.c.customer_id == customer, *told)
    either = union_all(walled(named, events, access), select(now.c.id).where(now.c.customer_record_id == customer))
    last: Statement = select(events.c.customer_id).where(events.c.record_id == own.id, *told)
    last = walled(last.order_by(events.c.order_key.desc()).limit(1), events, access)
    whose = func.coalesce(last.scalar_subquery(), case((has_beginning(own.id, access), own.customer_record_id)))
    statement: Statement = select(func.count().label("inquiry_count")).where(own.id.in_(either), whose == customer)
    return Prepared.of(walled(statement, inquiries, access))


async def _documents(
    connection: AsyncConnection, row: Mapping[str, Any], said: Sequence[StoredEvent], until: datetime, access: Access
) -> list[dict[str, Any]]:
    """Return the documents that had been announced until then, as they were announced."""
    values = {"source": row["source_id"], "number": row["inquiry_id"], "until": until}
    found = await _announced(access).rows(connection, values)
    ends = _ends_of_tokens(said) if found else {}
    shown = []
    for document in found:
        own = row["documents"].get(document["hash"])
        if own is not None:
            then = {**document, **{name: own.get(name) for name in ("name", "full_name", "purpose")}}
            if document["last_received_at"] >= until:  # it was announced again since
                then["token_expires_at"] = ends.get(document["hash"])
            shown.append(of_documents.within_inquiry({**then, **_fetched(document, until)}, access))
    return shown


def _ends_of_tokens(said: Sequence[StoredEvent]) -> dict[str, str]:
    """Return by hash when the token ends by which a document was to be had, as the newest event says."""
    in_order = sorted(said, key=lambda event: event.key)
    told = (part["fields"] for event in in_order for part in event.parts if part["kind"] == "document")
    return {bounded_key(one["hash"]): one["token_expires_at"] for one in told if one.get("token_expires_at")}


def _fetched(document: Row, until: datetime) -> dict[str, Any]:
    """Return how far a document was; of the tries to fetch it only the last is kept."""
    archived_at, tried_at = (_not_after(document[name], until) for name in ("archived_at", "attempted_at"))
    is_known = archived_at or (tried_at and document["archived_at"] is None)
    return {"archived_at": archived_at, "state": document["state"] if is_known else "announced"}


@cache_of_walls
def _announced(access: Access) -> Prepared:
    own = documents.c
    statement = of_documents.columns_within(access).add_columns(own.last_received_at, own.attempted_at)
    statement = statement.where(
        own.source_id == asked("source", Uuid()),
        own.inquiry_id == asked("number", BigInteger()),
        own.first_received_at < asked("until", own.first_received_at.type),
    )
    return Prepared.of(walled(statement, documents, access).order_by(of_documents.BY_HASH))
