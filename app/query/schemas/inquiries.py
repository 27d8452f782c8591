"""The shapes of inquiries, customers and documents."""

from typing import ClassVar, Literal

from app.query.schemas.parts import (
    AN_ID,
    REDACTED,
    Address,
    Links,
    Page,
    Reference,
    Shown,
    a_date,
    a_time,
    an_id,
    links,
    shown,
)

_REFERENCES = [{"origin": "crm", "key": "AccountNumber", "value": "A-10023"}]
_ADDRESS = {
    "street": "Lindenstraße",
    "house_number": "12a",
    "postal_code": "50674",
    "city": "Köln",
    "country": "DE",
    "text": "Lindenstraße 12a, 50674 Köln",
}
TROUBLES = (
    *("unreachable", "timed-out", "server-failed", "login-refused", "store-failed", "not-a-file", "refused"),
    *("not-found", "link-refused", "no-way", "too-large", "token-ended"),
)
"""Why a document was not had."""

WORDS_OF_TROUBLES = ", ".join(f"`{word}`" for word in TROUBLES)
DocumentState = Literal["announced", "fetching", "archived", "failed", "expired"]


class Customer(Shown):
    """A person or company that inquiries are for."""

    personal_as: ClassVar[str] = "customer"

    id: str = an_id()
    source: str = shown("thinksurance-demo", "the source's name")
    customer_id: int | None = shown(3302, "Thinksurance's `cId`")
    external_id: str | None = shown("K-7731", "the broker's own id, `cExternalId`")
    salutation: str | None = shown("ms", "`mr` or `ms`")
    first_name: str | None = shown("Nele")
    last_name: str | None = shown("Brandt-Muster")
    birth_date: str | None = a_date(example="1984-05-17")
    email: str | None = shown("nele@brandt-muster.example")
    phone: str | None = shown("+49 221 5550100")
    website: str | None = shown("https://brandt-muster.example")
    company: str | None = shown("Brandt-Muster GmbH")
    address: Address | None = shown(_ADDRESS, "the private address")
    company_address: Address | None = shown(_ADDRESS)
    private_is_company_address: bool | None = shown(example=False)
    effective_address: Address | None = shown(_ADDRESS, "the one to write to, by `private_is_company_address`")
    external_references: list[Reference] = shown(_REFERENCES)
    inquiry_count: int = shown(2)
    first_received_at: str = a_time()
    last_received_at: str = a_time()
    changed_at: str | None = a_time("when an event last changed a field")
    links: Links = links(
        self=f"/v1/customers/{AN_ID}",
        history=f"/v1/customers/{AN_ID}/history",
        inquiries=f"/v1/inquiries?customer.id={AN_ID}",
        events=f"/v1/events?customer.id={AN_ID}",
    )
    redacted: list[str] = REDACTED


class InquiryDocument(Shown):
    """A document within its inquiry."""

    personal_as: ClassVar[str] = "document"

    id: str = an_id()
    hash: str | None = shown("9f86d081884c7d65")
    name: str | None = shown("Antrag.pdf")
    full_name: str | None = shown("Antrag Brandt-Muster.pdf")
    purpose: str | None = shown("proposal")
    state: DocumentState = shown("announced")
    token_expires_at: str | None = a_time("until when the platform hands it out")
    archived_at: str | None = a_time("when Callbox kept a copy")
    redacted: list[str] = REDACTED


class Document(Shown):
    """A document that a platform announced."""

    personal_as: ClassVar[str] = "document"

    id: str = an_id()
    source: str = shown("thinksurance-demo", "the source's name")
    inquiry_id: int | None = shown(810042, "the platform's id of the inquiry it belongs to")
    hash: str | None = shown("9f86d081884c7d65")
    name: str | None = shown("Antrag.pdf")
    full_name: str | None = shown("Antrag Brandt-Muster.pdf")
    purpose: str | None = shown("proposal")
    token_expires_at: str | None = a_time("until when the platform hands it out")
    seconds_left: int | None = shown(
        518_400,
        "to `token_expires_at`, 0 where that is past; null once it is archived, or where none is known",
    )
    state: DocumentState = shown("announced", "`failed` and `expired` are tried again when it is announced anew")
    attempts: int = shown(1, "to fetch it, since it was last announced anew")
    attempted_at: str | None = a_time("of the last attempt")
    next_attempt_at: str | None = a_time("null: at once while it is `announced`, else not by itself")
    last_error: str | None = shown("unreachable", "why the last attempt brought nothing: " + WORDS_OF_TROUBLES)
    archived_at: str | None = a_time("when Callbox kept a copy")
    fetched_by: str | None = shown("v1.1", "the way: `v1.1` or `v1` by its hash, `link`")
    size: int | None = shown(48213, "in bytes, of the copy")
    sha256: str | None = shown("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "of the copy, hex")
    content_type: str | None = shown("application/pdf", "of the copy")
    first_received_at: str = a_time()
    last_received_at: str = a_time()
    changed_at: str | None = a_time("when an event last changed a field")
    links: Links = links(
        self=f"/v1/documents/{AN_ID}",
        inquiry="/v1/inquiries?source=thinksurance-demo&inquiry_id=810042",
        content=f"/v1/documents/{AN_ID}/content",
    )
    redacted: list[str] = REDACTED


class Inquiry(Shown):
    """A Thinksurance inquiry as it is known now."""

    personal_as: ClassVar[str] = "inquiry"

    id: str = an_id()
    source: str = shown("thinksurance-demo", "the source's name")
    inquiry_id: int | None = shown(810042, "Thinksurance's `iId`")
    status: int | None = shown(4)
    status_name: str | None = shown("calculated")
    product_id: int | None = shown(81)
    product_name: str | None = shown("Betriebshaftpflicht")
    industry_id: int | None = shown(12)
    industry_name: str | None = shown("Handwerk")
    profession_id: int | None = shown(345)
    profession_name: str | None = shown("Tischlerei")
    broker_external_id: str | None = shown("B-1001", "`bExternalId`")
    broker_founded_on: str | None = a_date(example="1998-01-01")
    customer: Customer | None = shown(None, "null where it is unknown or outside the key's wall")
    insurer_id: int | None = shown(27)
    insurer_name: str | None = shown("Beispiel Versicherung AG")
    insurer_external_id: str | None = shown("VU-27")
    agency_number_external_id: str | None = shown("AG-5501")
    premium_yearly_cents: int | None = shown(125_050)
    coverage_cents: int | None = shown(500_000_000)
    coverage_text: str | None = shown("5 Mio. EUR pauschal", "the coverage where it is no number")
    deductible_cents: int | None = shown(25_000)
    revenue_cents: int | None = shown(75_000_000)
    tax_percent: str | None = shown("19", "a decimal number as text")
    contract_start_on: str | None = a_date(example="2026-01-01")
    contract_payment_on: str | None = a_date(example="2026-01-15")
    contract_years: int | None = shown(1)
    payment_interval_months: int | None = shown(12)
    employees_full: int | None = shown(7)
    employees_part: int | None = shown(2)
    external_references: list[Reference] = shown(_REFERENCES)
    documents: list[InquiryDocument]
    digital_order_available: bool | None = shown(example=True)
    digital_order_success: bool | None = shown(example=None)
    confirmed_at: str | None = a_time("when a pull of ours last agreed")
    created_on: str | None = a_date("`iCreated`")
    updated_on: str | None = a_date("`iUpdated`")
    first_received_at: str = a_time()
    last_received_at: str = a_time()
    changed_at: str | None = a_time("when an event last changed a field")
    event_count: int = shown(3, "duplicates counted")
    links: Links = links(
        self=f"/v1/inquiries/{AN_ID}",
        history=f"/v1/inquiries/{AN_ID}/history",
        events=f"/v1/events?record.id={AN_ID}",
        customer=f"/v1/customers/{AN_ID}",
        documents="/v1/documents?source=thinksurance-demo&inquiry_id=810042",
    )
    redacted: list[str] = REDACTED


class InquiryPage(Page):
    """A page of inquiries."""

    data: list[Inquiry]


class CustomerPage(Page):
    """A page of customers."""

    data: list[Customer]


class DocumentPage(Page):
    """A page of documents."""

    data: list[Document]
