"""The shapes of leads."""

from typing import Any, ClassVar, Literal

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

_ADDRESS = {
    "street": "Veldstraat",
    "house_number": "7",
    "postal_code": "9000",
    "city": "Gent",
    "country": "BE",
    "text": "Veldstraat 7, 9000 Gent",
}
_REFERENCES = [{"origin": "demo-insurer", "key": "external_ref", "value": "crm-4711"}]


class RiskObject(Shown):
    """What is insured."""

    kind: str = shown("cars", "as the platform names it; `unknown` if it does not")
    id: str | None = shown("c2a4f6d8-1111-4c1e-9d2f-8f4b1a2c3d03", "the caller's own id")
    vin: str | None = shown("ZZZSYNTHET2D00077")
    address: Address | None = shown(None)
    other: dict[str, Any] | None = shown({"weight_g": 249}, "what its kind has besides, as it came")


class PolicyPackage(Shown):
    """A package of policies."""

    personal_as: ClassVar[str] = "lead.policy_packages"

    id: str | None = shown("5b1f0d7a-2222-4c1e-9d2f-8f4b1a2c3d04")
    name: str | None = shown("Auto Plus")
    package_nr: str | None = shown("PK-2025-100")
    insurance_company: str | None = shown("demo-insurer")
    premium_cents: int | None = shown(41_250)
    payment_interval: str | None = shown("ANNUAL", "as the platform names it")
    payment_interval_months: int | None = shown(12)


class Coverage(Shown):
    """A coverage of a policy."""

    name: str | None = shown("WA")
    label: str | None = shown("2010")
    label_type: str | None = shown("AFD")
    risk_object_id: str | None = shown("c2a4f6d8-1111-4c1e-9d2f-8f4b1a2c3d03")
    insured_value_cents: int | None = shown(2_500_000)
    premium_cents: int | None = shown(41_250)
    payment_interval: str | None = shown("ANNUAL", "as the platform names it")
    payment_interval_months: int | None = shown(12)


class InsurancePolicy(Shown):
    """A policy."""

    personal_as: ClassVar[str] = "lead.insurance_policies"

    name: str | None = shown("Autoverzekering")
    policy_nr: str | None = shown("P-889900")
    policy_package_id: str | None = shown("5b1f0d7a-2222-4c1e-9d2f-8f4b1a2c3d04")
    type: str | None = shown("car")
    insurance_company: str | None = shown("demo-insurer")
    external_references: list[Reference] | None = shown(_REFERENCES)
    coverages: list[Coverage]


class Lead(Shown):
    """A WeGroup lead as it is known now."""

    personal_as: ClassVar[str] = "lead"

    id: str = an_id()
    source: str = shown("wegroup-demo", "the source's name")
    lead_id: str | None = shown("8d3c2f10-aaaa-4bbb-8ccc-0123456789ab", "WeGroup's id of the lead")
    party_id: str | None = shown("1f7e9a20-aaaa-4bbb-8ccc-0123456789ab", "WeGroup's id of the person or company")
    kind: Literal["customer", "company", "unknown"] | None = shown("customer")
    first_name: str | None = shown("Lotte")
    last_name: str | None = shown("Voorbeeld")
    name: str | None = shown("Lotte Voorbeeld")
    email: str | None = shown("lotte@voorbeeld.example")
    phone: str | None = shown("+32 9 555 01 00")
    language: str | None = shown("nl")
    birth_date: str | None = a_date(example="1991-08-23")
    address: Address | None = shown(_ADDRESS)
    origin: str | None = shown("distribution")
    backref: str | None = shown("crm-4711")
    lead_source: str | None = shown("website")
    status: str | None = shown("created")
    distribution_id: str | None = shown("77e1c0de-aaaa-4bbb-8ccc-0123456789ab")
    external_references: list[Reference] = shown(_REFERENCES)
    risk_objects: list[RiskObject] | None = shown([], "null only where it is hidden")
    policy_packages: list[PolicyPackage]
    insurance_policies: list[InsurancePolicy]
    first_received_at: str = a_time()
    last_received_at: str = a_time()
    changed_at: str | None = a_time("when an event last changed a field")
    event_count: int = shown(2, "duplicates counted")
    links: Links = links(
        self=f"/v1/leads/{AN_ID}", history=f"/v1/leads/{AN_ID}/history", events=f"/v1/events?record.id={AN_ID}"
    )
    redacted: list[str] = REDACTED


class LeadPage(Page):
    """A page of leads."""

    data: list[Lead]
