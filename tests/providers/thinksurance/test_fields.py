"""Every row of the field tables: what is sent, what the API shows."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from app.ingest.contract import Part, Statement
from app.providers.thinksurance import fields

if TYPE_CHECKING:
    from tests.providers.conftest import Bench

Warned = Callable[[Statement], set[tuple[str, str]]]


def read(bench: "Bench", data: dict[str, Any], **beside: Any) -> Statement:
    """Return what one item says."""
    return bench.read("thinksurance", json.dumps({"data": {"iId": 7} | data, **beside}).encode())[0]


def part(statement: Statement, kind: str) -> Part:
    return next(one for one in statement.parts if one.kind == kind)


INQUIRY = [
    ("status", 6, "status", 6),
    ("status", "15", "status", 15),
    ("productId", 88, "product_id", 88),
    ("productId", "88", "product_id", 88),
    ("productName", " Firmenrechtsschutz ", "product_name", "Firmenrechtsschutz"),
    ("industryId", 107, "industry_id", 107),
    ("industryName", "Handwerk", "industry_name", "Handwerk"),
    ("professionId", 311, "profession_id", 311),
    ("professionName", "Ba\u0308ckerei", "profession_name", "Bäckerei"),
    ("bExternalId", "42", "broker_external_id", "42"),
    ("bExternalId", 42, "broker_external_id", "42"),
    ("bFoundDate", "2009-05-01", "broker_founded_on", "2009-05-01"),
    ("insuranceCompanyId", 1234, "insurer_id", 1234),
    ("insuranceCompanyName", "Beispiel AG", "insurer_name", "Beispiel AG"),
    ("externalInsurerId", "AZ-9", "insurer_external_id", "AZ-9"),
    ("agencyNumber", {"externalInsurerId": "AZ-9"}, "insurer_external_id", "AZ-9"),
    ("agencyNumbers", [{"x": 1}, {"externalInsurerId": "AZ-9"}], "insurer_external_id", "AZ-9"),
    ("agencyNumbers", [{"externalInsurerId": ""}, {"externalInsurerId": "AZ-9"}], "insurer_external_id", "AZ-9"),
    ("externalUniqueId", "U-77", "agency_number_external_id", "U-77"),
    ("agencyNumber", {"externalUniqueId": 77}, "agency_number_external_id", "77"),
    ("premiumYearly", 48790, "premium_yearly_cents", 48790),
    ("premiumYearly", "48790", "premium_yearly_cents", 48790),
    ("premiumYearly", 48790.0, "premium_yearly_cents", 48790),
    ("coverage", 5_000_000, "coverage_cents", 500_000_000),
    ("coverage", "5.000.000", "coverage_cents", 500_000_000),
    ("coverage", "5.000.000,00 EUR", "coverage_cents", 500_000_000),
    ("coverage", "unbegrenzt", "coverage_text", "unbegrenzt"),
    ("deductible", 250, "deductible_cents", 25_000),
    ("deductible", "1.234,56", "deductible_cents", 123_456),
    ("deductible", 0, "deductible_cents", 0),
    ("revenue", "350000", "revenue_cents", 35_000_000),
    ("revenue", "350.000 €", "revenue_cents", 35_000_000),
    ("revenue", 350000.5, "revenue_cents", 35_000_050),
    ("taxPercent", 19, "tax_percent", "19"),
    ("taxPercent", "19,50", "tax_percent", "19.5"),
    ("contractStartDate", "2025-04-01", "contract_start_on", "2025-04-01"),
    ("contractStartDate", "01.04.2025", "contract_start_on", "2025-04-01"),
    ("contractPayDate", "2025-04-02 00:00:00", "contract_payment_on", "2025-04-02"),
    ("contractDuration", "3", "contract_years", 3),
    ("paymentInterval", 12, "payment_interval_months", 12),
    ("employees", {"full": "4"}, "employees_full", 4),
    ("employees", {"part": 2}, "employees_part", 2),
    ("digitalOrderAvailable", True, "digital_order_available", True),
    ("digitalOrderAvailable", "0", "digital_order_available", False),
    ("digitalOrderSuccess", 1, "digital_order_success", True),
    ("digitalOrderSuccess", "false", "digital_order_success", False),
    ("iCreated", "2025-02-11", "created_on", "2025-02-11"),
    ("iUpdated", "2025-02-12", "updated_on", "2025-02-12"),
]


@pytest.mark.parametrize(("sent", "value", "name", "shown"), INQUIRY)
def test_inquiry_row(sent: str, value: Any, name: str, shown: Any, bench: "Bench") -> None:
    said = part(read(bench, {sent: value}), "inquiry")
    assert said.fields == {"inquiry_id": 7, name: shown}
    assert said.keys == ("7",)


def test_every_inquiry_row_is_tested() -> None:
    assert {name for _, _, name, _ in INQUIRY} == {row.name for row in fields.INQUIRY}


@pytest.mark.parametrize("unknown", [None, "", "  ", [], {}, "0000-00-00", "0000-00-00 00:00:00"])
@pytest.mark.parametrize("sent", sorted({sent for sent, _, _, _ in INQUIRY}))
def test_unknown_sets_nothing(sent: str, unknown: Any, bench: "Bench", warned: Warned) -> None:
    statement = read(bench, {sent: unknown})
    assert part(statement, "inquiry").fields == {"inquiry_id": 7}
    assert not {reason for _, reason in warned(statement)} - {"unknown-field"}


@pytest.mark.parametrize(
    ("sent", "value", "reason"),
    [
        ("status", "ordered", "wrong-type"),
        ("status", 1 << 31, "out-of-range"),
        ("status", [6], "wrong-type"),
        ("paymentInterval", True, "wrong-type"),
        ("productId", -1, "out-of-range"),
        ("productId", "88a", "wrong-type"),
        ("productName", ["x"], "wrong-type"),
        ("premiumYearly", "viel", "wrong-type"),
        ("premiumYearly", "99999999999999999999", "out-of-range"),
        ("coverage", True, "wrong-type"),
        ("revenue", "1,234", "ambiguous-number"),
        ("revenue", "350 Tsd.", "wrong-type"),
        ("taxPercent", "frei", "wrong-type"),
        ("contractStartDate", "2025-02-30", "not-a-date"),
        ("contractStartDate", 20250401, "wrong-type"),
        ("contractDuration", 1.5, "not-whole"),
        ("digitalOrderSuccess", "vielleicht", "wrong-type"),
    ],
)
def test_what_cannot_be_read_is_left_out_with_a_warning(
    sent: str, value: Any, reason: str, bench: "Bench", warned: Warned
) -> None:
    statement = read(bench, {sent: value})
    assert part(statement, "inquiry").fields == {"inquiry_id": 7}
    assert warned(statement) == {(f"data.{sent}", reason)}


def test_a_coverage_with_digits_that_is_no_amount_is_text_with_a_warning(bench: "Bench", warned: Warned) -> None:
    statement = read(bench, {"coverage": "5 Mio. EUR pauschal"})
    assert part(statement, "inquiry").fields == {"inquiry_id": 7, "coverage_text": "5 Mio. EUR pauschal"}
    assert warned(statement) == {("data.coverage", "wrong-type")}


DOCUMENTED_AS_NUMBERS = [
    ("data", "iId", 7),
    ("data", "status", 6),
    ("data", "productId", 88),
    ("data", "industryId", 107),
    ("data", "professionId", 311),
    ("data", "insuranceCompanyId", 1234),
    ("data", "premiumYearly", 48790),
    ("data", "coverage", 5_000_000),
    ("data", "deductible", 250),
    ("data", "taxPercent", 19),
    ("data", "contractDuration", 3),
    ("data", "paymentInterval", 12),
    ("customer", "cId", 511209),
    ("customer", "cSalutation", 2),
    ("customer", "cPrivateIsCompanyAddress", 1),
]


@pytest.mark.parametrize(("place", "sent", "value"), DOCUMENTED_AS_NUMBERS)
def test_text_is_noted_where_a_number_is_documented(
    place: str, sent: str, value: int, bench: "Bench", warned: Warned
) -> None:
    plain, in_text = (
        read(bench, **{"data": {}, "customer": {}} | {place: {sent: given}}) for given in (value, f" {value} ")
    )
    assert plain.parts == in_text.parts
    assert warned(plain) == set()
    assert warned(in_text) == {(f"{place}.{sent}", "text-for-number")}


@pytest.mark.parametrize(
    "data",
    [
        {"revenue": "350000"},
        {"revenue": 350000},
        {"revenue": "350000.50"},
        {"employees": {"full": "4", "part": "2"}},
        {"employees": {"full": 4}},
        {"coverage": "unbegrenzt"},
        {"bExternalId": "42"},
    ],
)
def test_what_is_documented_as_text_is_not_noted(data: dict[str, Any], bench: "Bench", warned: Warned) -> None:
    assert warned(read(bench, data)) == set()


@pytest.mark.parametrize("revenue", ["350.000", "350000,00", "1.234,56", "350000 EUR", "350 000", "\u2212350000"])
def test_numbers_as_people_write_them_are_noted(revenue: str, bench: "Bench", warned: Warned) -> None:
    statement = read(bench, {"revenue": revenue, "employees": {"full": "1.200"}})
    assert warned(statement) == {
        ("data.revenue", "formatted-number"),
        ("data.employees.full", "formatted-number"),
    }


def test_an_unknown_origin_of_a_reference_is_kept_with_a_warning(bench: "Bench", warned: Warned) -> None:
    statement = read(bench, {"externalReferences": [REFERENCE, REFERENCE | {"origin": "erp"}]})
    assert set(part(statement, "inquiry").fields["external_references"]) == {"crm\x1fNr", "erp\x1fNr"}
    assert warned(statement) == {("data.externalReferences.1.origin", "unknown-value")}


@pytest.mark.parametrize(
    ("sent", "value", "name"), [("status", 25, "status"), ("paymentInterval", 2, "payment_interval_months")]
)
def test_unknown_codes_are_kept_with_a_warning(
    sent: str, value: int, name: str, bench: "Bench", warned: Warned
) -> None:
    statement = read(bench, {sent: value})
    assert part(statement, "inquiry").fields[name] == value
    assert warned(statement) == {(f"data.{sent}", "unknown-value")}


def test_unknown_fields_are_kept_and_named_at_most_twenty(bench: "Bench", warned: Warned) -> None:
    extra = {f"new{number}": "Geheimes" for number in range(30)}
    statement = read(bench, extra, extra=1, customer={"cShoeSize": 44, "cLegalForm": 3})
    unknown = [pair for pair in warned(statement) if pair[1] == "unknown-field"]
    assert ("extra", "unknown-field") in unknown
    assert ("customer.cShoeSize", "unknown-field") in unknown
    assert ("customer.cLegalForm", "unknown-field") not in unknown
    assert len(unknown) == 20
    assert statement.data["data"]["new29"] == "Geheimes"
    assert "Geheimes" not in repr(statement.warnings)


def test_unknown_fields_deeper_in_an_item_are_named(bench: "Bench", warned: Warned) -> None:
    reference = {"origin": "crm", "paramKey": "k", "paramValue": "v"}
    data = {"employees": {"full": 1, "temporary": 5}, "externalReferences": [reference | {"since": 2020}]}
    assert warned(read(bench, data)) == {
        ("data.employees.temporary", "unknown-field"),
        ("data.externalReferences.0.since", "unknown-field"),
    }
    assert warned(read(bench, {"employees": "5"})) == {("data.employees", "wrong-type")}


CUSTOMER = [
    ("cId", 511209, "customer_id", 511209),
    ("cId", "511209", "customer_id", 511209),
    ("cExternalId", "K-1001", "external_id", "K-1001"),
    ("cSalutation", 1, "salutation", "mr"),
    ("cSalutation", "2", "salutation", "ms"),
    ("cFirstName", "Erika", "first_name", "Erika"),
    ("cLastName", "Beispiel", "last_name", "Beispiel"),
    ("cBirthDate", "1980-02-29", "birth_date", "1980-02-29"),
    ("cEmail", "erika@example.test", "email", "erika@example.test"),
    ("cPhone", "030 1234", "phone", "030 1234"),
    ("cWebsite", "https://example.test", "website", "https://example.test"),
    ("cCompany", "Tischlerei Beispiel GmbH", "company", "Tischlerei Beispiel GmbH"),
    ("cPrivateIsCompanyAddress", 0, "private_is_company_address", False),
    ("cPrivateIsCompanyAddress", "1", "private_is_company_address", True),
]
ADDRESSES = [
    ("cStreet", "address", "street"),
    ("cStreetNumber", "address", "house_number"),
    ("cZip", "address", "postal_code"),
    ("cCity", "address", "city"),
    ("cCompanyStreet", "company_address", "street"),
    ("cCompanyStreetNumber", "company_address", "house_number"),
    ("cCompanyZip", "company_address", "postal_code"),
    ("cCompanyCity", "company_address", "city"),
]
NO_ADDRESS = dict.fromkeys(("street", "house_number", "postal_code", "city", "country", "text"))


@pytest.mark.parametrize(("sent", "value", "name", "shown"), CUSTOMER)
def test_customer_row(sent: str, value: Any, name: str, shown: Any, bench: "Bench") -> None:
    customer = part(read(bench, {}, customer={sent: value}), "customer")
    assert customer.fields == {name: shown}


@pytest.mark.parametrize(("sent", "name", "key"), ADDRESSES)
def test_address_row(sent: str, name: str, key: str, bench: "Bench") -> None:
    customer = part(read(bench, {}, customer={sent: "01067"}), "customer")
    assert customer.fields == {name: NO_ADDRESS | {key: "01067"}}


def test_every_customer_row_is_tested() -> None:
    assert {name for _, _, name, _ in CUSTOMER} == {row.name for row in fields.CUSTOMER}
    rows = {("address", row.name) for row in fields.CUSTOMER_ADDRESS}
    rows |= {("company_address", row.name) for row in fields.CUSTOMER_COMPANY_ADDRESS}
    assert {(name, key) for _, name, key in ADDRESSES} == rows


def test_another_salutation_is_left_out_with_a_warning(bench: "Bench", warned: Warned) -> None:
    statement = read(bench, {}, customer={"cSalutation": 3, "cLastName": "B"})
    assert part(statement, "customer").fields == {"last_name": "B"}
    assert warned(statement) == {("customer.cSalutation", "unknown-value")}
    statement = read(bench, {}, customer={"cSalutation": "Frau", "cLastName": "B"})
    assert warned(statement) == {("customer.cSalutation", "wrong-type")}


@pytest.mark.parametrize("customer", [None, [], {}, "", {"cLastName": ""}, {"cId": None}, {"cId": 0}])
def test_an_item_without_a_known_customer_has_none(customer: Any, bench: "Bench") -> None:
    statement = read(bench, {"bExternalId": "42"}, customer=customer)
    assert [one.kind for one in statement.parts] == ["inquiry"]
    assert "customer_key" not in statement.parts[0].fields


@pytest.mark.parametrize(
    ("customer", "broker", "keys"),
    [
        ({"cId": 5, "cExternalId": "K"}, "42", ("c:5", "x:42\x1fK", "i:7")),
        ({"cExternalId": "K"}, "42", ("x:42\x1fK", "i:7")),
        ({"cExternalId": "K"}, None, ("i:7",)),
        ({"cId": "05"}, None, ("c:5", "i:7")),
        ({"cLastName": "B"}, "42", ("i:7",)),
    ],
)
def test_a_customer_is_known_by_the_keys_there_are(
    customer: Any, broker: str | None, keys: tuple[str, ...], bench: "Bench"
) -> None:
    statement = read(bench, {"bExternalId": broker}, customer=customer)
    found = part(statement, "customer")
    assert found.keys == keys
    assert part(statement, "inquiry").fields["customer_key"] == keys[0]
    assert found.fields.get("broker_external_id") == broker


def test_a_key_too_long_for_an_index_becomes_a_digest_and_stays_one(bench: "Bench") -> None:
    first, again, other = (
        part(read(bench, {"bExternalId": "42"}, customer={"cExternalId": name}), "customer").keys[0]
        for name in ("ü" * 900, "ü" * 900, "ü" * 899 + "u")
    )
    assert first == again != other
    assert first.startswith("x:sha256:")
    assert len(first) < 100


REFERENCE = {"origin": "crm", "paramKey": "Nr", "paramValue": "1"}


@pytest.mark.parametrize(
    ("data", "values"),
    [
        ({"externalReferences": [REFERENCE]}, {"crm\x1fNr": "1"}),
        ({"iExternalReferences": [REFERENCE]}, {"crm\x1fNr": "1"}),
        (
            {"externalReferences": [REFERENCE], "iExternalReferences": [REFERENCE | {"paramValue": "2"}]},
            {"crm\x1fNr": "1"},
        ),
        (
            {"externalReferences": [REFERENCE], "iExternalReferences": [REFERENCE | {"origin": "insurer"}]},
            {"crm\x1fNr": "1", "insurer\x1fNr": "1"},
        ),
        (
            {"externalReferences": {"0": REFERENCE, "1": REFERENCE | {"paramKey": "Z"}}},
            {"crm\x1fNr": "1", "crm\x1fZ": "1"},
        ),
        ({"externalReferences": REFERENCE}, {"crm\x1fNr": "1"}),
        ({"externalReferences": [REFERENCE | {"paramValue": 77}]}, {"crm\x1fNr": "77"}),
    ],
)
def test_references_of_an_inquiry(data: Any, values: dict[str, str], bench: "Bench") -> None:
    references = part(read(bench, data), "inquiry").fields["external_references"]
    assert {name: entry["value"] for name, entry in references.items()} == values
    for name, entry in references.items():
        assert set(entry) == {"origin", "key", "value"}
        assert name == f"{entry['origin']}\x1f{entry['key']}"


@pytest.mark.parametrize(
    ("given", "warning"),
    [
        ([REFERENCE | {"paramValue": ""}], None),
        ([REFERENCE | {"origin": None}], ("data.externalReferences.0", "incomplete-reference")),
        ([{"origin": "crm", "paramValue": "1"}], ("data.externalReferences.0", "incomplete-reference")),
        (["crm"], ("data.externalReferences.0", "wrong-type")),
        ("crm", ("data.externalReferences", "wrong-type")),
    ],
)
def test_references_that_say_nothing(given: Any, warning: Any, bench: "Bench", warned: Warned) -> None:
    statement = read(bench, {"externalReferences": given})
    assert "external_references" not in part(statement, "inquiry").fields
    assert warned(statement) == ({warning} if warning else set())


def test_references_of_a_customer(bench: "Bench") -> None:
    customer = part(read(bench, {}, customer={"cExternalReferences": [REFERENCE]}), "customer")
    assert customer.fields == {"external_references": {"crm\x1fNr": {"origin": "crm", "key": "Nr", "value": "1"}}}
