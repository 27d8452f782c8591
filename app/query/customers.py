"""Shows customers, in their own list and within inquiries."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, any_, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.model import Access
from app.query.contained import reference_field
from app.query.fields import Field, Kind, of_column, source_fields
from app.query.personal import hide, is_personal
from app.query.prepared import Prepared, asked
from app.query.resource import OfBroker, Resource, Row
from app.query.schemas.inquiries import Customer, CustomerPage
from app.query.shapes import address, as_text, blank, in_braces, references, source_columns
from app.query.walls import Statement, cache_of_walls, first_of, walled
from app.storage.models import customers, inquiries

_PLAIN = (
    "customer_id",
    "external_id",
    "salutation",
    "first_name",
    "last_name",
    "birth_date",
    "email",
    "phone",
    "website",
    "company",
    "private_is_company_address",
    "first_received_at",
    "last_received_at",
    "changed_at",
)
"""The fields that are shown as they stand in the table."""

_BLANK = blank(Customer)
_LONGEST_CHAIN = 8


@cache_of_walls
def columns(access: Access) -> Statement:
    """Return the statement of customers, still without wall."""
    plain = [customers.c[name] for name in _PLAIN]
    source, _provider = source_columns(customers)
    own = customers.c
    its_own = select(func.count()).where(
        inquiries.c.customer_record_id == own.id, inquiries.c.source_id == own.source_id
    )
    count = walled(its_own, inquiries, access).scalar_subquery().label("inquiry_count")
    return select(
        own.id, own.merged_into, own.address, own.company_address, own.external_references, source, count, *plain
    )


def shape(row: Row, access: Access, _: object = None) -> dict[str, Any]:
    """Return a customer as it is shown."""
    private, company = address(row["address"]), address(row["company_address"])
    own_id = str(row["id"])
    own = f"/v1/customers/{own_id}"
    shown = {**_BLANK, **row}
    del shown["merged_into"]
    shown["address"] = private
    shown["company_address"] = company
    shown["effective_address"] = effective_address(row["private_is_company_address"], private, company)
    shown["external_references"] = references(row["external_references"])
    shown["links"] = {
        "self": own,
        "history": f"{own}/history",
        "inquiries": f"/v1/inquiries?customer.id={own_id}",
        "events": f"/v1/events?customer.id={own_id}",
    }
    return hide("customer", shown, access)


def effective_address(
    private_is_company: bool | None, private: dict[str, Any] | None, company: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Return the address to write to: the private one stands for the company's where Thinksurance says so."""
    if private_is_company is None:
        return private or company
    return private if private_is_company else company


@cache_of_walls
def _by_ids(access: Access, *, to_show: bool) -> Prepared:
    wanted = any_(cast(asked("ids", Text()), ARRAY(Uuid())))
    found = as_text(columns(access)) if to_show else columns(access)
    return Prepared.of(walled(found.where(customers.c.id == wanted), customers, access))


async def shown_by_id(
    connection: AsyncConnection, wanted: Iterable[str], access: Access
) -> Mapping[str, dict[str, Any]]:
    """Return customers by the id they were asked for, merged ones as the record they turned out to be."""
    found: dict[str, dict[str, Any]] = {}
    sought = {one: one for one in wanted}
    for _ in range(_LONGEST_CHAIN):
        if not sought:
            break
        answer = await _by_ids(access, to_show=True).rows(connection, {"ids": in_braces(sought.values())})
        rows = {row["id"]: row for row in answer}
        merged: dict[str, str] = {}
        for origin, present in sought.items():
            row = rows.get(present)
            if row is not None and row["merged_into"] is not None:
                merged[origin] = row["merged_into"]
            elif row is not None:
                found[origin] = shape(row, access)
        sought = merged
    return found


async def find_row(connection: AsyncConnection, customer_id: UUID, access: Access) -> Row | None:
    """Return the row of a customer, a merged one's as the record it turned out to be; None beyond the wall."""
    wanted = customer_id
    for _ in range(_LONGEST_CHAIN):
        rows = await _by_ids(access, to_show=False).rows(connection, {"ids": in_braces([wanted])})
        row = next(iter(rows), None)
        if row is None or row["merged_into"] is None:
            return row
        wanted = row["merged_into"]
    return None


def _field(name: str, kind: Kind, **more: Any) -> Field:
    few = name in ("id", "customer_id")
    return of_column(customers, name, kind, personal=is_personal("customer", name), few=few, **more)


_KINDS = {
    Kind.INTEGER: ("customer_id",),
    Kind.TEXT: ("external_id", "first_name", "last_name", "email", "phone", "website", "company"),
    Kind.BOOLEAN: ("private_is_company_address",),
    Kind.DATE: ("birth_date",),
    Kind.INSTANT: ("first_received_at", "last_received_at", "changed_at"),
}

FIELDS: Mapping[str, Field] = {
    **source_fields(customers),
    "ref": reference_field(customers),
    **{name: _field(name, kind) for kind, names in _KINDS.items() for name in names},
    "id": _field("id", Kind.ID, merged=customers),
    "salutation": _field("salutation", Kind.WORD, words={"mr": "mr", "ms": "ms"}),
}

CUSTOMERS = Resource(
    name="customers",
    kind="customer",
    table=customers,
    columns=columns,
    fields=FIELDS,
    shape=shape,
    reckoned=(),
    once=True,
    of_broker=OfBroker(first_of(customers.c.brokers), customers.c.id),
    sorts=("last_received_at", "changed_at"),
    schema=Customer,
    page=CustomerPage,
    in_lists=(customers.c.merged_into.is_(None),),
    merged_into=customers.c.merged_into,
    large=(customers.c.external_references,),
    hint="To find one by Thinksurance's number ask `/v1/customers?customer_id=...`.",
)
