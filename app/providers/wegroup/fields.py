"""The field tables of WeGroup's lead, one row a field; how a row is run is `tables`' business.

The names are those of the create-lead calls ("Create a lead"); the webhook that answers them is not documented, so
spellings that are merely likely stand beside them and are marked.
"""

from typing import Any

from app.providers.amounts import cents_from_plain_euros
from app.providers.dates import day_text
from app.providers.tables import Table, row, top_names
from app.providers.values import Warn, text
from app.providers.wegroup.identity import find_id

_VIN_LENGTH = 17
_NOT_IN_VINS = frozenset("IOQ")

PAYMENT_INTERVAL_MONTHS = {
    "ANNUAL": 12,  # the only one that an example shows
    "ANNUALLY": 12,
    "YEARLY": 12,
    "SEMI_ANNUAL": 6,
    "SEMI_ANNUALLY": 6,
    "HALF_YEARLY": 6,
    "QUARTERLY": 3,
    "MONTHLY": 1,
    "12": 12,
    "6": 6,
    "3": 3,
    "1": 1,
}


def _vin(value: Any, warn: Warn) -> str | None:
    """Return a vehicle id in upper case; noted, not refused, if it cannot be one. No check digit in Europe."""
    found = text(value, warn)
    if found is None:
        return None
    vin = "".join(found.split()).upper()
    if len(vin) != _VIN_LENGTH or not vin.isascii() or not vin.isalnum() or not _NOT_IN_VINS.isdisjoint(vin):
        warn("unusual-vin")
    return vin


def _interval_months(value: Any, warn: Warn) -> int | None:
    """Return the months of a payment interval; an unknown word is kept raw beside it."""
    word = (text(value, warn) or "").upper().replace("-", "_").replace(" ", "_").removesuffix(".0")
    months = PAYMENT_INTERVAL_MONTHS.get(word)
    if months is None:
        warn("unknown-value")
    return months


LEAD = Table(
    row("origin", "origin", text),  # only CRM was seen
    row("backref", "backref", text),
    row("source", "lead_source", text),  # named in the text, in no example
    row("status state phase", "status", text),  # likely, not documented
    row("distribution_id", "distribution_id", find_id),
)

PARTY = Table(
    row("first_name", "first_name", text),
    row("last_name", "last_name", text),
    row("name", "name", text),
    row("email", "email", text),  # named in the merge rule, as birth and address
    row("phone phone_number mobile", "phone", text),  # likely, not documented
    row("language lang", "language", text),  # likely, not documented
    row("birth birth_date birthdate", "birth_date", day_text),
)

ADDRESS = Table(
    row("street street_name streetname", "street", text),  # the street's spelling is not documented
    row("housenr house_number housenumber number", "house_number", text),
    row("zipcode zip postal_code postcode", "postal_code", text),
    row("city", "city", text),
    row("country country_code", "country", text),
)

ADDRESS_KEYS = ("street", "house_number", "postal_code", "city", "country", "text")

RISK_OBJECT = Table(row("id", "id", find_id), row("vin", "vin", _vin))
RISK_OBJECT_NAMES = frozenset({"id", "vin", "address"})

_INTERVAL = (
    row("payment_interval", "payment_interval", text),
    row("payment_interval", "payment_interval_months", _interval_months),
)

POLICY_PACKAGE = Table(
    row("id", "id", find_id),
    row("name", "name", text),
    row("package_nr", "package_nr", text),
    row("insurance_company", "insurance_company", text),
    row("premium", "premium_cents", cents_from_plain_euros),
    *_INTERVAL,
)

INSURANCE_POLICY = Table(
    row("name", "name", text),
    row("policy_nr", "policy_nr", text),
    row("policy_package_id", "policy_package_id", find_id),
    row("type", "type", text),  # a state, such as ACTIVE
    row("insurance_company", "insurance_company", text),
)

COVERAGE = Table(
    row("name", "name", text),
    row("external_label.label external_label", "label", text),
    row("external_label.type", "label_type", text),
    row("risk_object_id", "risk_object_id", find_id),
    row("insured_value", "insured_value_cents", cents_from_plain_euros),
    row("premium", "premium_cents", cents_from_plain_euros),
    *_INTERVAL,
)

ADDRESS_NAMES = top_names(ADDRESS)
POLICY_PACKAGE_NAMES = top_names(POLICY_PACKAGE)
INSURANCE_POLICY_NAMES = top_names(INSURANCE_POLICY) | {"external_ref", "external_refs", "coverages"}
COVERAGE_NAMES = top_names(COVERAGE)
LABEL_NAMES = frozenset({"label", "type"})

LEAD_NAMES = top_names(LEAD) | {"id", "prospect", "created_at", "updated_at", "timestamp"}
PARTY_NAMES = top_names(PARTY) | {
    "id",
    "address",
    "callbacks",
    "external_ref",
    "external_refs",
    "risk_objects",
    "policy_packages",
    "insurance_policies",
}
