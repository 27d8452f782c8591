"""Shows inquiries, with their customers and documents."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, Text, and_, case, cast, exists, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.model import Access
from app.query import customers as of_customers
from app.query import documents as of_documents
from app.query.contained import reference_field, submission_field
from app.query.fields import Condition, Field, Kind, of_column, source_fields
from app.query.personal import hide
from app.query.resource import OfBroker, Resource, Row
from app.query.schemas.inquiries import Inquiry, InquiryPage
from app.query.shapes import LARGE_STORED, LEFT_OUT, blank, references, source_columns
from app.query.values import Context, Fault
from app.query.walls import Statement, cache_of_walls, wall, walled
from app.storage.models import customers, inquiries

STATUS_NAMES: Mapping[int, str] = {
    2: "tendering_lead",
    3: "tendering",
    4: "calculated",
    6: "ordered",
    15: "proposal_created",
}
"""The names of Thinksurance's statuses; others are called `status_<n>`."""

_STATUS_BY_NAME = {name: status for status, name in STATUS_NAMES.items()}

_PLAIN = (
    "inquiry_id",
    "status",
    "product_id",
    "product_name",
    "industry_id",
    "industry_name",
    "profession_id",
    "profession_name",
    "broker_external_id",
    "broker_founded_on",
    "insurer_id",
    "insurer_name",
    "insurer_external_id",
    "agency_number_external_id",
    "premium_yearly_cents",
    "coverage_cents",
    "coverage_text",
    "deductible_cents",
    "revenue_cents",
    "tax_percent",
    "contract_start_on",
    "contract_payment_on",
    "contract_years",
    "payment_interval_months",
    "employees_full",
    "employees_part",
    "digital_order_available",
    "digital_order_success",
    "confirmed_at",
    "created_on",
    "updated_on",
    "first_received_at",
    "last_received_at",
    "changed_at",
    "event_count",
)
"""The fields that are shown as they stand in the table."""

_BLANK = blank(Inquiry)

ITS_DOCUMENTS: Final = "its_documents"
"""The column of an inquiry's documents: their list as JSON."""

_OF_CUSTOMER: Final = "references_of_customer"
"""The column of what may be large of an inquiry's customer: asked in lists, for the customer is shown within."""

Customers = Mapping[str, dict[str, Any]]


def status_name(status: int | None) -> str | None:
    """Return what Thinksurance's documents call a status."""
    return None if status is None else STATUS_NAMES.get(status, f"status_{status}")


def parse_status_name(text: str, _: Context) -> int:
    """Return the status behind a name."""
    if text in _STATUS_BY_NAME:
        return _STATUS_BY_NAME[text]
    number = text.removeprefix("status_")
    if number != text and number.isascii() and number.isdigit() and len(number) < 10:  # noqa: PLR2004 - fits the column
        return int(number)
    raise Fault("unknown-value", f"is none of these: {', '.join(_STATUS_BY_NAME)}, status_<n>")


@cache_of_walls
def _columns(access: Access) -> Statement:
    plain = [inquiries.c[name] for name in _PLAIN]
    source, _provider = source_columns(inquiries)
    own = inquiries.c
    its_documents = of_documents.written_within(access, whole=True).label(ITS_DOCUMENTS)
    return select(
        *(own.id, own.source_id, own.customer_record_id, own.external_references, its_documents, source),
        *plain,
    )


@cache_of_walls
def _columns_in_lists(access: Access) -> Statement:
    return _columns(access).add_columns(_references_of_customer(access, whole=True).label(_OF_CUSTOMER))


def _references_of_customer(access: Access, *, whole: bool) -> ColumnElement[str]:
    """Return the external references of an inquiry's customer as text; unless `whole`, only that they are large."""
    own = customers.c
    is_large = func.pg_column_size(own.external_references) > LARGE_STORED
    told = cast(own.external_references, Text) if whole else case((is_large, LEFT_OUT))
    its_own = (own.id == inquiries.c.customer_record_id, own.source_id == inquiries.c.source_id)
    return walled(select(told).where(*its_own), customers, access).correlate(inquiries).scalar_subquery()


async def _customers(connection: AsyncConnection, rows: Sequence[Row], access: Access) -> Customers:
    """Return the customers of a page by their ids as text, shaped and with the personal fields hidden."""
    wanted = {str(row["customer_record_id"]) for row in rows if row["customer_record_id"] is not None}
    return await of_customers.shown_by_id(connection, wanted, access)


def _shape(row: Row, access: Access, its_customers: Customers) -> dict[str, Any]:
    shown = {**_BLANK, **row}
    del shown["source_id"]
    shown.pop(_OF_CUSTOMER, None)
    customer, its_documents = its_customers.get(str(shown.pop("customer_record_id"))), shown.pop(ITS_DOCUMENTS)
    own_id, named = str(row["id"]), f"source={row['source']}"  # names of sources stand in a query as they are
    own = f"/v1/inquiries/{own_id}"
    shown["status_name"] = status_name(row["status"])
    shown["customer"] = customer
    shown["external_references"] = references(row["external_references"])
    shown["documents"] = [] if its_documents is None else orjson.Fragment(its_documents)
    shown["links"] = {
        "self": own,
        "history": f"{own}/history",
        "events": f"/v1/events?record.id={own_id}",
        "customer": customer["links"]["self"] if customer else None,
        "documents": f"/v1/documents?{named}&inquiry_id={row['inquiry_id']}",
    }
    return hide("inquiry", shown, access)


def _of_its_customer(condition: Condition, context: Context) -> Condition:
    """Return: the customer is one that the key sees and that fits."""
    its_own = and_(customers.c.id == inquiries.c.customer_record_id, customers.c.source_id == inquiries.c.source_id)
    return exists(select(literal(1)).where(its_own, condition, *wall(customers, context.access)))


def _customer_fields() -> dict[str, Field]:
    """Return the customer's own fields as `customer.<field>`."""
    names = ("id", "customer_id", "external_id", "first_name", "last_name", "company", "email", "phone", "birth_date")
    return {f"customer.{name}": _among_customers(of_customers.FIELDS[name]) for name in names}


def _among_customers(field: Field) -> Field:
    return Field(
        column=field.column,
        kind=field.kind,
        nullable=field.nullable,
        folded=field.folded,
        personal=field.personal,
        merged=field.merged,
        among=_of_its_customer,
    )


_KINDS = {
    Kind.INTEGER: (
        "inquiry_id",
        "status",
        "product_id",
        "industry_id",
        "profession_id",
        "insurer_id",
        "premium_yearly_cents",
        "coverage_cents",
        "deductible_cents",
        "revenue_cents",
        "contract_years",
        "payment_interval_months",
        "employees_full",
        "employees_part",
        "event_count",
    ),
    Kind.TEXT: (
        "product_name",
        "industry_name",
        "profession_name",
        "broker_external_id",
        "insurer_name",
        "insurer_external_id",
        "agency_number_external_id",
        "coverage_text",
    ),
    Kind.DECIMAL: ("tax_percent",),
    Kind.BOOLEAN: ("digital_order_available", "digital_order_success"),
    Kind.DATE: ("broker_founded_on", "contract_start_on", "contract_payment_on", "created_on", "updated_on"),
    Kind.INSTANT: ("confirmed_at", "first_received_at", "last_received_at", "changed_at"),
    Kind.ID: ("id",),
}

FIELDS: Mapping[str, Field] = {
    **source_fields(inquiries),
    "ref": reference_field(inquiries),
    "submission_id": submission_field(inquiries),
    **{
        name: of_column(inquiries, name, kind, few=name in ("id", "inquiry_id"))
        for kind, names in _KINDS.items()
        for name in names
    },
    "status_name": Field(column=inquiries.c.status, kind=Kind.WORD, parse=parse_status_name),
    **_customer_fields(),
}

INQUIRIES = Resource(
    name="inquiries",
    kind="inquiry",
    table=inquiries,
    columns=_columns_in_lists,
    details=_columns,
    fields=FIELDS,
    shape=_shape,
    reckoned=(),
    once=True,
    told=("status",),
    listed_by=("status", "broker_external_id"),
    of_broker=OfBroker(inquiries.c.broker_external_id, inquiries.c.id),
    large=(inquiries.c.external_references,),
    long={
        ITS_DOCUMENTS: partial(of_documents.written_within, whole=False),
        _OF_CUSTOMER: partial(_references_of_customer, whole=False),
    },
    sorts=("last_received_at", "changed_at", "updated_on", "premium_yearly_cents"),
    schema=Inquiry,
    page=InquiryPage,
    neighbours=_customers,
    hint="To find one by Thinksurance's number ask `/v1/inquiries?inquiry_id=...`.",
)
