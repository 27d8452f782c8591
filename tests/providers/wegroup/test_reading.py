"""What a lead says: every row of its field tables, its times, its lists, what is masked."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from app.ingest.contract import Part, Statement
from app.providers.wegroup import fields
from app.providers.wegroup.identity import Reference, as_map

if TYPE_CHECKING:
    from tests.providers.conftest import Bench

Warnings = Callable[[Statement], set[tuple[str, str]]]
TOKEN = "cbt_" + "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789_-AbCdE"
ID = "3f0c9b1e-6a5d-4e8b-9c27-1d4f8a6b7c05"


def read(bench: "Bench", body: Any, **settings: str) -> Statement:
    (statement,) = bench.read("wegroup", json.dumps(body).encode(), bench.source("wegroup", settings=settings))
    return statement


def lead(statement: Statement) -> Part:
    (part,) = statement.parts
    assert part.kind == "lead"
    return part


LEAD = [
    ("origin", "CRM", "origin", "CRM"),
    ("backref", "https://crm.example.test/1", "backref", "https://crm.example.test/1"),
    ("source", "broker-site", "lead_source", "broker-site"),
    ("status", "NEW", "status", "NEW"),
    ("state", "NEW", "status", "NEW"),
    ("phase", "NEW", "status", "NEW"),
    ("distribution_id", ID.upper(), "distribution_id", ID),
]
PARTY = [
    ("first_name", " Marieke ", "first_name", "Marieke"),
    ("last_name", "Vandevelde", "last_name", "Vandevelde"),
    ("name", "Bakkerij Voorbeeld BV", "name", "Bakkerij Voorbeeld BV"),
    ("email", "m@example.test", "email", "m@example.test"),
    ("phone", "+32 9 123", "phone", "+32 9 123"),
    ("phone_number", 329123, "phone", "329123"),
    ("language", "nl", "language", "nl"),
    ("birth", "1988-04-17", "birth_date", "1988-04-17"),
    ("birth", "1988-04-17T00:00:00Z", "birth_date", "1988-04-17"),
    ("birth_date", "17.04.1988", "birth_date", "1988-04-17"),
]
KINDS = {"first_name": {"kind": "customer"}, "last_name": {"kind": "customer"}, "name": {"kind": "company"}}


@pytest.mark.parametrize(("sent", "value", "name", "shown"), LEAD)
def test_lead_row(sent: str, value: Any, name: str, shown: Any, bench: "Bench") -> None:
    expected = {"lead_id": "x", name: shown}
    assert lead(read(bench, {"id": "x", "prospect": {}, sent: value})).fields == expected
    assert lead(read(bench, {"id": "x", "prospect": {sent: value}})).fields == expected
    assert lead(read(bench, {"id": "x", sent: value})).fields == expected


@pytest.mark.parametrize(("sent", "value", "name", "shown"), PARTY)
def test_party_row(sent: str, value: Any, name: str, shown: Any, bench: "Bench") -> None:
    expected = {"lead_id": "x", name: shown} | KINDS.get(name, {})
    assert lead(read(bench, {"id": "x", "prospect": {sent: value}})).fields == expected
    assert lead(read(bench, {"data": {"id": "x", sent: value, "callbacks": []}})).fields == expected


def test_every_row_is_tested() -> None:
    assert {name for _, _, name, _ in LEAD} == {row.name for row in fields.LEAD}
    assert {name for _, _, name, _ in PARTY} == {row.name for row in fields.PARTY}


@pytest.mark.parametrize("unknown", [None, "", "  ", [], {}, "0000-00-00"])
def test_unknown_sets_nothing(unknown: Any, bench: "Bench", warned: Warnings) -> None:
    names = {sent for sent, _, _, _ in (*LEAD, *PARTY)} | {"address", "risk_objects", "external_ref", "external_refs"}
    names |= {"policy_packages", "insurance_policies", "updated_at", "timestamp", "lead_id", "party_id"}
    everything = dict.fromkeys(sorted(names), unknown)
    statement = read(bench, {"id": "x", "prospect": everything, **everything})
    assert lead(statement).fields == {"lead_id": "x"}
    assert not {reason for _, reason in warned(statement)} - {"unknown-field"}


@pytest.mark.parametrize(
    ("sent", "value", "reason"),
    [("first_name", ["x"], "wrong-type"), ("email", True, "wrong-type"), ("birth", "17/04/1988", "not-a-date")],
)
def test_what_cannot_be_read_is_left_out_with_a_warning(
    sent: str, value: Any, reason: str, bench: "Bench", warned: Warnings
) -> None:
    statement = read(bench, {"id": "x", "prospect": {sent: value}})
    assert lead(statement).fields == {"lead_id": "x"}
    assert warned(statement) == {(f"prospect.{sent}", reason)}


def test_unknown_fields_deeper_in_a_lead_are_named(bench: "Bench", warned: Warnings) -> None:
    coverage = {"name": "WA", "deductible": 5, "external_label": {"label": "2010", "type": "AFD", "version": 3}}
    party = {
        "address": {"city": "Gent", "box": "3"},
        "external_ref": {"external_ref": "r", "external_ref_company": "c", "since": 2020},
        "policy_packages": [{"id": "p", "state": 1}],
        "insurance_policies": [{"policy_nr": "1", "start": "2020-01-01", "external_refs": [], "coverages": [coverage]}],
        "risk_objects": {"cars": [{"id": "1", "plate": "x"}]},
    }
    assert warned(read(bench, {"id": "x", "prospect": party})) == {
        (f"prospect.{name}", "unknown-field")
        for name in (
            "address.box",
            "external_ref.since",
            "policy_packages.0.state",
            "insurance_policies.0.start",
            "insurance_policies.0.coverages.0.deductible",
            "insurance_policies.0.coverages.0.external_label.version",
        )
    }


def test_warnings_name_the_place_inside_the_envelope(bench: "Bench", warned: Warnings) -> None:
    statement = read(bench, {"event": "x", "data": {"id": "x", "prospect": {"birth": "x", "shoe": 44}, "hat": 7}})
    assert warned(statement) == {
        ("data.prospect.birth", "not-a-date"),
        ("data.prospect.shoe", "unknown-field"),
        ("data.hat", "unknown-field"),
    }


def test_unknown_fields_of_the_envelopes_are_named(bench: "Bench", warned: Warnings) -> None:
    inner = {"id": "i", "timestamp": "2025-03-09T10:00:00Z", "try": 1, "lead": {"id": "x", "prospect": {}}}
    statement = read(bench, {"event": "x", "version": 2, "created_at": "2025-03-09", "data": inner})
    assert warned(statement) == {("version", "unknown-field"), ("data.try", "unknown-field")}


def test_the_kind_is_left_open_where_nothing_shows_it(bench: "Bench") -> None:
    assert "kind" not in lead(read(bench, {"lead_id": "x", "event_type": "updated"})).fields
    both = {"id": "x", "prospect": {"first_name": "M", "name": "Bakkerij"}}
    assert lead(read(bench, both)).fields["kind"] == "customer"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (
            {"zipcode": "9000", "housenr": "12", "city": "Gent"},
            {"postal_code": "9000", "house_number": "12", "city": "Gent"},
        ),
        (
            {"zip": 9000, "house_number": 12, "street": "Veldstraat"},
            {"postal_code": "9000", "house_number": "12", "street": "Veldstraat"},
        ),
        ({"country": "BE", "box": "3"}, {"country": "BE"}),
        ("Veldstraat 12, 9000 Gent", {"text": "Veldstraat 12, 9000 Gent"}),
    ],
)
def test_addresses(address: Any, shown: dict[str, str], bench: "Bench") -> None:
    unknown = dict.fromkeys(("street", "house_number", "postal_code", "city", "country", "text"))
    statement = read(bench, {"id": "x", "prospect": {"address": address}})
    assert lead(statement).fields["address"] == unknown | shown


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"event": "lead.updated", "data": {"id": "x"}}, "lead_updated"),
        ({"event_type": "updated", "lead_id": "x"}, "updated"),
        ({"type": "LeadCreated", "data": {"id": "x"}}, "lead_created"),
        ({"action": "merge", "prospect": {"id": "x"}}, "merge"),
        ({"topic": "leads/updated", "payload": {"body": {"id": "x"}}}, "leads_updated"),
        ({"payload": {"event": "inner", "body": {"id": "x"}}}, "inner"),
        ({"event": "outer", "payload": {"event": "inner", "body": {"id": "x"}}}, "outer"),
        ({"type": "PERSON", "prospect": {"id": "x"}}, "person"),
        ({"type": "ACTIVE", "id": "x"}, "received"),
        ({"event": {"a": 1}, "id": "x"}, "received"),
        ({"event": "ü", "id": "x"}, "received"),
        ({"id": "x"}, "received"),
    ],
)
def test_the_type_is_the_event_word_as_sent(body: Any, word: str, bench: "Bench") -> None:
    assert read(bench, body).type == f"wegroup.lead.{word}"


NOW = datetime(2025, 3, 9, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "effective", "occurred_at", "occurred_on"),
    [
        (
            {"updated_at": "2025-03-01T08:00:00Z"},
            datetime(2025, 3, 1, 8, tzinfo=UTC),
            datetime(2025, 3, 1, 8, tzinfo=UTC),
            None,
        ),
        (
            {"updated_at": "2025-03-01 08:00:00"},
            datetime(2025, 3, 1, 7, tzinfo=UTC),
            datetime(2025, 3, 1, 7, tzinfo=UTC),
            None,
        ),
        (
            {"updated_at": 1714979289},
            datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
            datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC),
            None,
        ),
        ({"updated_at": "2025-03-01"}, datetime(2025, 2, 28, 23, tzinfo=UTC), None, date(2025, 3, 1)),
        (
            {"updated_at": "2025-03-10T10:00:00Z"},
            datetime(2025, 3, 10, 10, tzinfo=UTC),
            datetime(2025, 3, 10, 10, tzinfo=UTC),
            None,
        ),
        ({"updated_at": "2025-03-10T10:00:01Z"}, NOW, datetime(2025, 3, 10, 10, 0, 1, tzinfo=UTC), None),
        (
            {"prospect": {"updated_at": "2025-03-01T08:00:00Z"}},
            datetime(2025, 3, 1, 8, tzinfo=UTC),
            datetime(2025, 3, 1, 8, tzinfo=UTC),
            None,
        ),
        ({"timestamp": "2025-03-01T08:00:00Z"}, NOW, datetime(2025, 3, 1, 8, tzinfo=UTC), None),
        ({"updated_at": "gisteren"}, NOW, None, None),
        ({}, NOW, None, None),
    ],
)
def test_what_orders_is_the_update(
    body: Any, effective: datetime, occurred_at: Any, occurred_on: Any, bench: "Bench", warned: Warnings
) -> None:
    statement = read(bench, {"id": "x", **body})
    assert (statement.effective_at, statement.occurred_at, statement.occurred_on) == (
        effective,
        occurred_at,
        occurred_on,
    )
    ahead = occurred_at is not None and occurred_at > datetime(2025, 3, 10, 10, tzinfo=UTC)
    assert (("updated_at", "date-in-future") in warned(statement)) == ahead
    assert (("updated_at", "not-a-time") in warned(statement)) == (body.get("updated_at") == "gisteren")


def test_the_time_of_the_envelope_tells_when_but_does_not_order(bench: "Bench") -> None:
    statement = read(bench, {"timestamp": "2025-03-01T08:00:00Z", "data": {"id": "x"}})
    assert (statement.effective_at, statement.occurred_at) == (NOW, datetime(2025, 3, 1, 8, tzinfo=UTC))


def test_lists_of_the_company_sample(bench: "Bench", warned: Warnings) -> None:
    (statement,) = bench.read("wegroup", bench.sample("wegroup", "created-company.json"))
    said = lead(statement).fields
    assert said["risk_objects"] == [
        {
            "kind": "cars",
            "id": "c2a4f6d8-1111-4c1e-9d2f-8f4b1a2c3d03",
            "vin": "ZZZSYNTHET2D00077",
            "address": None,
            "other": {},
        }
    ]
    assert said["policy_packages"] == [
        {
            "id": "e7d9b1a3-2222-4b6f-8a1c-7c5d3e9f0a04",
            "name": "Mobility package",
            "package_nr": "PK-2044",
            "insurance_company": "Allianz",
            "premium_cents": 64_000,
            "payment_interval": "ANNUAL",
            "payment_interval_months": 12,
        }
    ]
    assert said["insurance_policies"] == [
        {
            "name": "Fleet policy",
            "policy_nr": "PN-88017",
            "policy_package_id": "e7d9b1a3-2222-4b6f-8a1c-7c5d3e9f0a04",
            "type": "ACTIVE",
            "insurance_company": "Allianz",
            "external_references": [{"origin": "Allianz", "key": "external_ref", "value": "AZ-55102"}],
            "coverages": [
                {
                    "name": "WA",
                    "label": "2010",
                    "label_type": "AFD",
                    "risk_object_id": "c2a4f6d8-1111-4c1e-9d2f-8f4b1a2c3d03",
                    "insured_value_cents": 2_500_000,
                    "premium_cents": 41_250,
                    "payment_interval": "ANNUAL",
                    "payment_interval_months": 12,
                }
            ],
        }
    ]
    assert not warned(statement)


def risk_objects(bench: "Bench", given: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lead(read(bench, {"id": "x", "risk_objects": given})).fields.get("risk_objects", [])
    return found


def test_risk_objects_of_any_kind_and_form(bench: "Bench") -> None:
    assert risk_objects(bench, {"drones": [{"id": "d1", "weight_g": 249}]}) == [
        {"kind": "drones", "id": "d1", "vin": None, "address": None, "other": {"weight_g": 249}}
    ]
    assert [one["kind"] for one in risk_objects(bench, [{"kind": "car"}, {"type": "pet"}, {"id": 1}])] == [
        "car",
        "pet",
        "unknown",
    ]
    assert risk_objects(bench, {"residences": {"0": {"address": {"city": "Gent"}}}})[0]["address"]["city"] == "Gent"
    assert [one["vin"] for one in risk_objects(bench, {"cars": {"vin": "x"}})] == ["X"]
    assert risk_objects(bench, {"cars": [], "pets": None}) == []


@pytest.mark.parametrize("given", ["x", {"cars": "x"}, {"cars": ["x"]}, 5])
def test_risk_objects_of_a_wrong_type_are_told(given: Any, bench: "Bench", warned: Warnings) -> None:
    statement = read(bench, {"id": "x", "risk_objects": given})
    assert "risk_objects" not in lead(statement).fields
    assert {reason for _, reason in warned(statement)} == {"wrong-type"}


@pytest.mark.parametrize(
    ("vin", "shown", "usual"),
    [
        ("zzzsynthet1c00042", "ZZZSYNTHET1C00042", True),
        (" ZZZ SYNTHET1C00042 ", "ZZZSYNTHET1C00042", True),
        ("ABCDEFGHJKLMNPRST", "ABCDEFGHJKLMNPRST", True),
        ("UVWXYZ12345678900", "UVWXYZ12345678900", True),
        ("ZZZSYNTHET1C0004I", "ZZZSYNTHET1C0004I", False),
        ("ZZZSYNTHET1C0004Q", "ZZZSYNTHET1C0004Q", False),
        ("ZZZSYNTHET1C0004", "ZZZSYNTHET1C0004", False),
        ("ZZZSYNTHET1C0004O", "ZZZSYNTHET1C0004O", False),
        ("ZZZSYNTHET1C0004-", "ZZZSYNTHET1C0004-", False),
    ],
)
def test_vins(vin: str, shown: str, usual: bool, bench: "Bench", warned: Warnings) -> None:
    statement = read(bench, {"id": "x", "risk_objects": {"cars": [{"vin": vin}]}})
    assert lead(statement).fields["risk_objects"][0]["vin"] == shown
    assert warned(statement) == (set() if usual else {("risk_objects.cars.0.vin", "unusual-vin")})


@pytest.mark.parametrize(
    ("interval", "raw", "months"),
    [
        ("ANNUAL", "ANNUAL", 12),
        ("yearly", "yearly", 12),
        ("SEMI_ANNUAL", "SEMI_ANNUAL", 6),
        ("half-yearly", "half-yearly", 6),
        ("QUARTERLY", "QUARTERLY", 3),
        ("MONTHLY", "MONTHLY", 1),
        (6, "6", 6),
        (12, "12", 12),
        (12.0, "12.0", 12),
        ("1", "1", 1),
        ("ANNUALLY", "ANNUALLY", 12),
        ("SEMI ANNUALLY", "SEMI ANNUALLY", 6),
        ("3", "3", 3),
        (None, None, None),
        ("WEEKLY", "WEEKLY", None),
        (7, "7", None),
    ],
)
def test_payment_intervals(interval: Any, raw: Any, months: Any, bench: "Bench", warned: Warnings) -> None:
    statement = read(bench, {"id": "x", "policy_packages": [{"payment_interval": interval, "name": "p"}]})
    (package,) = lead(statement).fields["policy_packages"]
    assert (package["payment_interval"], package["payment_interval_months"]) == (raw, months)
    unknown = {("policy_packages.0.payment_interval", "unknown-value")}
    assert warned(statement) == (unknown if raw and not months else set())


@pytest.mark.parametrize(
    ("premium", "cents"),
    [
        ("100", 10_000),
        (100, 10_000),
        (100.0, 10_000),
        ("300.50", 30_050),
        ("300,50", 30_050),
        ("1.5", 150),
        ("x", None),
        ("1,234", None),
    ],
)
def test_premiums_have_a_decimal_point(premium: Any, cents: int | None, bench: "Bench", warned: Warnings) -> None:
    statement = read(bench, {"id": "x", "insurance_policies": [{"coverages": [{"premium": premium}]}]})
    (policy,) = lead(statement).fields["insurance_policies"]
    assert policy["coverages"][0]["premium_cents"] == cents
    formatted = {("insurance_policies.0.coverages.0.premium", "formatted-number")}
    assert (warned(statement) == formatted) == (premium == "300,50")
    assert policy["external_references"] == []


def test_labels_may_be_bare(bench: "Bench") -> None:
    statement = read(bench, {"id": "x", "insurance_policies": [{"coverages": [{"external_label": "2010"}]}]})
    coverage = lead(statement).fields["insurance_policies"][0]["coverages"][0]
    assert (coverage["label"], coverage["label_type"]) == ("2010", None)


@pytest.mark.parametrize(
    ("party", "references"),
    [
        ({"external_ref": {"external_ref": "L", "external_ref_company": "hub"}}, [("hub", "L")]),
        ({"external_ref": "L"}, [("ours", "L")]),
        ({"external_ref": 77}, [("ours", "77")]),
        ({"external_ref": ["L", {"ref": "M", "company": "hub"}]}, [("ours", "L"), ("hub", "M")]),
        (
            {"external_refs": [{"company": "hub", "ref": "L"}, {"external_ref": "M", "external_ref_company": "ours"}]},
            [("ours", "M"), ("hub", "L")],
        ),
        ({"external_refs": [{"ref": "L"}]}, [("", "L")]),
        (
            {
                "external_ref": {"external_ref": "L", "external_ref_company": "hub"},
                "external_refs": [{"company": "hub", "ref": "L"}],
            },
            [("hub", "L")],
        ),
    ],
)
def test_references(party: Any, references: list[tuple[str, str]], bench: "Bench") -> None:
    for body in ({"id": "x", "prospect": party}, {"id": "x", "prospect": {}} | party, {"id": "x"} | party):
        part = lead(read(bench, body, external_ref_company="ours"))
        entries = part.fields["external_references"]
        assert list(entries.values()) == [
            {"origin": company, "key": "external_ref", "value": ref} for company, ref in references
        ]
        assert {company for company, _ in references} == {key.split("\x1f")[0] for key in entries}
        assert {f"{company}\x1fexternal_ref" for company, _ in references} <= entries.keys()
        assert part.keys == ("id:x", *(f"ref:{company}\x1f{ref}" for company, ref in references))


def test_a_reference_without_its_value_is_told(bench: "Bench", warned: Warnings) -> None:
    statement = read(bench, {"id": "x", "external_ref": {"external_ref_company": "hub"}})
    assert warned(statement) == {("external_ref", "incomplete-reference")}
    assert lead(statement).keys == ("id:x",)


def test_what_stands_nearest_to_the_lead_counts(bench: "Bench") -> None:
    inner = {"origin": "CRM", "prospect": {"origin": "other", "first_name": "Lotte"}}
    near = {"lead_id": "near", "timestamp": "2025-03-09T10:00:00Z", "payload": inner}
    statement = read(bench, {"lead_id": "far", "timestamp": "2025-03-09T11:00:00Z", "data": near})
    assert statement.subject == "lead/near"
    assert statement.occurred_at == datetime(2025, 3, 9, 10, tzinfo=UTC)
    assert lead(statement).fields["origin"] == "CRM"


def test_a_lead_without_identity_is_told_apart_by_its_delivery(bench: "Bench") -> None:
    body = [{"first_name": "A"}, {"first_name": "B"}]
    first, second = bench.read("wegroup", json.dumps(body).encode())
    place = f"delivery:{bench.receipt.delivery_id}"
    assert (first.subject, second.subject) == (f"lead/{place}:0", f"lead/{place}:1")
    assert (lead(first).keys, lead(second).keys) == ((f"{place}:0",), (f"{place}:1",))


@pytest.mark.parametrize(
    ("sent", "ours", "told"),
    [("d-1", "d-1", False), ("D-1", "d-1", False), ("d-2", "d-1", True), ("d-2", "", False), (None, "d-1", False)],
)
def test_another_distribution_is_told(sent: Any, ours: str, told: bool, bench: "Bench", warned: Warnings) -> None:
    for body, path in (
        ({"id": "x", "distribution_id": sent}, ""),
        ({"data": {"id": "x", "distribution_id": sent}}, "data."),
    ):
        statement = read(bench, body, distribution_id=ours)
        assert warned(statement) == ({(f"{path}distribution_id", "other-distribution")} if told else set())


def test_callbacks_are_masked_whole_and_nothing_else(bench: "Bench") -> None:
    sent = json.loads(bench.sample("wegroup", "created-customer.json"))
    (statement,) = bench.read("wegroup", json.dumps(sent).encode())
    sent["prospect"]["callbacks"] = "***"
    assert statement.data == sent
    assert "callbacks" not in json.dumps(dict(lead(statement).fields))


@pytest.mark.parametrize(
    "name",
    ["callbacks", "callback", "callback_url", "callback_urls", "Callbacks", "api_token", "access_token", "token"],
)
def test_credentials_are_masked_by_name(name: str, bench: "Bench") -> None:
    for given in ("geheim", ["geheim"], {"x": "geheim"}):
        assert read(bench, {"id": "x", "prospect": {name: given}}).data["prospect"] == {name: "***"}


@pytest.mark.parametrize(
    "name", ["form-a.json", "form-b.json", "form-b-list.json", "form-c.json", "form-d.json", "form-e.json"]
)
def test_the_forms_are_read_without_a_warning(name: str, bench: "Bench") -> None:
    for statement in bench.read("wegroup", bench.sample("wegroup", name)):
        assert statement.warnings == ()


def test_the_times_of_an_envelope_hold_for_each_of_its_leads(bench: "Bench") -> None:
    for statement in bench.read("wegroup", bench.sample("wegroup", "form-b-list.json")):
        assert statement.type == "wegroup.lead.leads_updated"
        assert statement.occurred_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    body = {"updated_at": "2025-03-01T08:00:00Z", "data": [{"id": "a"}, {"id": "b"}]}
    for statement in bench.read("wegroup", json.dumps(body).encode()):
        assert statement.effective_at == datetime(2025, 3, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize("name", ["policy_packages", "insurance_policies", "risk_objects"])
def test_lists_that_are_none_are_told(name: str, bench: "Bench", warned: Warnings) -> None:
    for given, path in (("x", name), (["x"], f"{name}.0")):
        statement = read(bench, {"id": "x", "prospect": {name: given}})
        assert warned(statement) == {(f"prospect.{path}", "wrong-type")}
        assert lead(statement).fields == {"lead_id": "x"}


def test_policies_have_references_of_either_spelling(bench: "Bench") -> None:
    policy = {"external_ref": {"external_ref": "A", "external_ref_company": "Allianz"}, "external_refs": [{"ref": "B"}]}
    statement = read(bench, {"id": "x", "insurance_policies": [policy]})
    assert lead(statement).fields["insurance_policies"][0]["external_references"] == [
        {"origin": "", "key": "external_ref", "value": "B"},
        {"origin": "Allianz", "key": "external_ref", "value": "A"},
    ]


def test_many_references_are_looked_at_once_each() -> None:
    compared = []

    class Company(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            compared.append(other)
            return str.__eq__(self, other)

    same = Company("crm")
    references = [Reference(same, str(number)) for number in range(300)]
    references += [Reference(Company(number), "1") for number in range(300)]
    found = as_map(references)
    assert len(compared) <= len(references)
    assert len(found) == 600
    assert found["crm\x1fexternal_ref"]["value"] == "0"
    assert found["crm\x1fexternal_ref\x1f299"] == {"origin": "crm", "key": "external_ref", "value": "299"}


def test_a_callback_url_is_masked_in_what_is_typed_too(bench: "Bench") -> None:
    url = f"https://hooks.example.test/callbacks/wegroup/{TOKEN}"
    body = {
        "id": "x",
        "backref": url,
        "prospect": {
            "callback_url": "https://other.test/secret",
            "risk_objects": {"cars": [{"note": url, "callbacks": [url]}]},
        },
    }
    statement = read(bench, body)
    masked = url.replace(TOKEN, "cbt_" + "*" * 43)
    assert lead(statement).fields["backref"] == masked
    assert lead(statement).fields["risk_objects"][0]["other"] == {"note": masked, "callbacks": "***"}
    assert statement.data["prospect"]["callback_url"] == "***"
    assert TOKEN not in repr(statement)
