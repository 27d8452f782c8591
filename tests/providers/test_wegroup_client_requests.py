"""Shows what is checked and completed before a lead goes to WeGroup, and how its refusals are led back to fields."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ingest.contract import Warned
from app.providers.checking import InvalidRequestError
from app.providers.wegroup.lead_request import PartyKind, PreparedLead, prepare_lead
from app.providers.wegroup.refusals import read_refusal, to_path

PACKAGE, CAR, HOME = (
    "e7d9b1a3-2222-4b6f-8a1c-7c5d3e9f0a04",
    "c2a4f6d8-1111-4c1e-9d2f-8f4b1a2c3d03",
    "5a1d0c77-92c4-4f0e-8b39-2c6f3f7f9b02",
)
CALLBACK = "https://hooks.example.test/callbacks/wegroup/cbt_" + "a" * 43
REF: dict[str, Any] = {"external_ref": "L-000418", "external_ref_company": "callbox"}
ADDRESS = {"zipcode": "9000", "housenr": "12", "city": "Gent"}

CUSTOMER: dict[str, Any] = {
    "origin": "CRM",
    "backref": "https://crm.example.test/leads/7f3c",
    "source": "broker-site",
    "prospect": {
        "id": "3f0c9b1e-6a5d-4e8b-9c27-1d4f8a6b7c05",
        "first_name": "Marieke",
        "last_name": "Vandevoorbeeld",
        "email": "marieke@example.test",
        "birth": "1988-04-17",
        "address": ADDRESS,
        "callbacks": [CALLBACK],
        "external_ref": REF,
        "risk_objects": {"cars": [{"vin": "ZZZSYNTHET1C00042"}], "residences": [{"id": HOME, "address": ADDRESS}]},
    },
}
COMPANY: dict[str, Any] = {
    "origin": "CRM",
    "backref": "https://crm.example.test/leads/91ab",
    "prospect": {
        "name": "Bakkerij Voorbeeld BV",
        "callbacks": [CALLBACK],
        "external_ref": REF,
        "risk_objects": {"cars": [{"id": CAR, "vin": "ZZZSYNTHET2D00077"}]},
        "policy_packages": [
            {
                "id": PACKAGE,
                "name": "Package 1",
                "package_nr": "PK-2044",
                "insurance_company": "Allianz",
                "premium": "640.00",
                "payment_interval": "ANNUAL",
            }
        ],
        "insurance_policies": [
            {
                "name": "Polis 1",
                "policy_nr": "PN-88017",
                "policy_package_id": PACKAGE,
                "type": "ACTIVE",
                "insurance_company": "Allianz",
                "external_refs": [{"company": "Allianz", "ref": "AZ-55102"}],
                "coverages": [
                    {
                        "name": "WA",
                        "external_label": {"label": "2010", "type": "AFD"},
                        "risk_object_id": CAR,
                        "insured_value": 100.0,
                        "premium": "300",
                        "payment_interval": "ANNUAL",
                    }
                ],
            }
        ],
    },
}


def prepare(kind: PartyKind, data: Any, **given_too: Any) -> PreparedLead:
    return prepare_lead(kind, data, **({"own_ref": "S-1"} | given_too))


def party(**fields: Any) -> dict[str, Any]:
    """Return a company's lead with these fields beside its name and reference."""
    return {"prospect": {"name": "Bakkerij Voorbeeld BV", "external_ref": REF, **fields}}


def problems(data: Any, kind: PartyKind = "companies") -> dict[str, str]:
    """Return the codes of what is wrong by dotted path; nothing of the values may stand in the texts."""
    with pytest.raises(InvalidRequestError) as caught:
        prepare(kind, data)
    assert "Geheim" not in str(caught.value)
    return {problem.dotted: problem.code for problem in caught.value.problems}


@pytest.mark.parametrize(("kind", "data"), [("customers", CUSTOMER), ("companies", COMPANY)])
def test_every_field_of_the_page_is_sent_as_it_was_given(kind: PartyKind, data: dict[str, Any]) -> None:
    lead = prepare(kind, data, callback_url=CALLBACK)
    assert lead.body == data
    assert lead.warnings == ()
    assert lead.external_ref == "L-000418"


def test_names_that_the_page_has_not_pass_at_every_level() -> None:
    unknown = {"phone": "+32 2 555 00 00", "nested": {"deep": [{"a": 1}]}}
    data = {
        "id": "x",
        **unknown,
        "prospect": {
            "name": "Bakkerij Voorbeeld BV",
            "external_ref": REF | unknown,
            "address": {"street": "Voorbeeldstraat", "box": "2", "country": "BE"},
            "risk_objects": {"drones": [{"id": CAR, "weight_g": 249}]},
            "policy_packages": [unknown],
            "insurance_policies": [{**unknown, "coverages": [unknown], "external_refs": [unknown]}],
            **unknown,
        },
    }
    assert prepare("companies", data).body == data


def test_nothing_of_a_lead_is_in_its_repr() -> None:
    shown = repr(prepare("customers", CUSTOMER, callback_url=CALLBACK))
    for secret in ("Marieke", "marieke@", "cbt_", "Gent"):
        assert secret not in shown


@pytest.mark.parametrize(
    ("callbacks", "sent"),
    [
        (None, [CALLBACK]),
        ([], [CALLBACK]),
        ([CALLBACK], [CALLBACK]),
        (["https://crm.example.test/in"], ["https://crm.example.test/in", CALLBACK]),
    ],
)
def test_our_callback_is_added_to_those_given_once(callbacks: list[str] | None, sent: list[str]) -> None:
    lead = prepare("companies", party(callbacks=callbacks), callback_url=CALLBACK)
    assert lead.body["prospect"]["callbacks"] == sent


def test_without_a_callback_none_is_made_up() -> None:
    assert "callbacks" not in prepare("companies", party()).body["prospect"]


@pytest.mark.parametrize(
    ("reference", "sent"),
    [
        (None, {"external_ref": "S-1", "external_ref_company": "leadhub"}),
        ({}, {"external_ref": "S-1", "external_ref_company": "leadhub"}),
        (
            {"external_ref": "", "external_ref_company": None},
            {"external_ref": "S-1", "external_ref_company": "leadhub"},
        ),
        ({"external_ref": "L-7"}, {"external_ref": "L-7", "external_ref_company": "leadhub"}),
        ({"external_ref_company": "leadhub"}, {"external_ref": "S-1", "external_ref_company": "leadhub"}),
    ],
)
def test_the_reference_is_filled_in_where_it_is_left_out(reference: Any, sent: dict[str, str]) -> None:
    lead = prepare("companies", party(external_ref=reference), company="leadhub")
    assert lead.body["prospect"]["external_ref"] == sent
    assert lead.external_ref == sent["external_ref"]
    assert lead.warnings == ()


def test_another_company_word_is_sent_with_a_warning() -> None:
    lead = prepare("companies", party(), company="leadhub")
    assert lead.body["prospect"]["external_ref"] == REF
    assert lead.warnings == (Warned("prospect.external_ref.external_ref_company", "other-company"),)


def test_the_default_company_word_is_callbox() -> None:
    assert prepare("companies", {"prospect": {"name": "X"}}).body["prospect"]["external_ref"][
        "external_ref_company"
    ] == ("callbox")


def test_the_given_data_is_left_alone() -> None:
    data = {"prospect": {"name": "X", "callbacks": ["https://crm.example.test/in"]}}
    prepare("companies", data, callback_url=CALLBACK)
    assert data == {"prospect": {"name": "X", "callbacks": ["https://crm.example.test/in"]}}


def test_nothing_null_or_empty_is_ever_sent() -> None:
    empty: dict[str, Any] = {"a": None, "b": [], "c": {}, "d": "", "e": {"f": [], "g": {"h": None}}}
    data = party(**empty, first=[{"kept": 0, **empty}], policy_packages=[], birth=None, risk_objects={"cars": []})
    lead = prepare("companies", {**data, **empty, "origin": None})
    assert lead.body == {"prospect": {"name": "Bakkerij Voorbeeld BV", "external_ref": REF, "first": [{"kept": 0}]}}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(_JSON)
def test_whatever_is_given_no_empty_value_is_sent_and_no_place_in_a_list_moves(value: Any) -> None:
    wrong: set[str] = set()
    sent = None
    try:
        sent = prepare("companies", party(extra=value)).body["prospect"].get("extra")
    except InvalidRequestError as error:
        wrong = {problem.code for problem in error.problems}
    kept = _kept(value)
    assert wrong == ({"empty-member"} if _has_gap(kept) else set())
    assert wrong or sent == kept


def _has_gap(kept: Any) -> bool:
    if isinstance(kept, dict):
        return any(map(_has_gap, kept.values()))
    return isinstance(kept, list) and any(member is None or _has_gap(member) for member in kept)


def _kept(value: Any) -> Any:
    """Return `value` without empty members of objects; None where nothing is left. Written anew, on purpose."""
    if isinstance(value, dict):
        return {name: kept for name, child in value.items() if (kept := _kept(child)) is not None} or None
    if isinstance(value, list):
        return [_kept(child) for child in value] or None
    return None if value == "" else value


def test_empty_members_of_lists_are_refused_for_they_would_move_the_others() -> None:
    data = party(extra=[1, None, {"a": []}], policy_packages=[{}])
    assert problems(data) == {
        "prospect.extra.1": "empty-member",
        "prospect.extra.2": "empty-member",
        "prospect.policy_packages.0": "empty-member",
    }


def test_dangling_links_are_refused_with_their_path() -> None:
    coverages = [{"risk_object_id": CAR}, {"risk_object_id": HOME}]
    policies = [
        {"policy_package_id": PACKAGE},
        {"policy_package_id": CAR, "coverages": coverages},
    ]
    data = party(
        policy_packages=[{"id": PACKAGE}],
        risk_objects={"cars": [{"id": CAR}], "drones": [{"vin": "x"}]},
        insurance_policies=policies,
    )
    assert problems(data) == {
        "prospect.insurance_policies.1.policy_package_id": "dangling-link",
        "prospect.insurance_policies.1.coverages.1.risk_object_id": "dangling-link",
    }


@pytest.mark.parametrize(("one", "other"), [(str.upper, str.lower), (str.lower, str.upper)])
def test_links_are_compared_without_regard_to_case_and_reach_every_collection(
    one: Callable[[str], str], other: Callable[[str], str]
) -> None:
    data = party(
        policy_packages=[{"id": one(PACKAGE)}],
        risk_objects={"drones": [{"id": one(HOME)}]},
        insurance_policies=[{"policy_package_id": other(PACKAGE), "coverages": [{"risk_object_id": other(HOME)}]}],
    )
    assert prepare("companies", data).body == data


@pytest.mark.parametrize(
    ("data", "path", "code"),
    [
        ({"prospect": {"external_ref": REF}}, "prospect.name", "missing"),
        (party(name=" "), "prospect.name", "empty"),
        ({}, "prospect", "missing"),
        ({"prospect": {}}, "prospect", "empty"),
        ({"prospect": {"name": None}}, "prospect", "empty"),
        ({"prospect": ["Geheim"]}, "prospect", "model_type"),
        ({"backref": "javascript:Geheim", **party()}, "backref", "not-an-address"),
        ({"origin": 5, **party()}, "origin", "string_type"),
        ({"source": ["Geheim"], **party()}, "source", "string_type"),
        (party(birth="17.04.1988"), "prospect.birth", "not-a-date"),
        (party(birth="1988-02-30"), "prospect.birth", "not-a-date"),
        (party(email=5), "prospect.email", "string_type"),
        (party(id=""), "prospect.id", "empty"),
        (party(address={"housenr": ""}), "prospect.address.housenr", "empty"),
        (party(address={"city": " "}), "prospect.address.city", "empty"),
        (party(address={"zipcode": 9000}), "prospect.address.zipcode", "string_type"),
        (party(callbacks="https://crm.example.test"), "prospect.callbacks", "list_type"),
        (party(callbacks=["ftp://Geheim"]), "prospect.callbacks.0", "not-an-address"),
        (party(external_ref="Geheim"), "prospect.external_ref", "model_type"),
        (party(external_ref={"external_ref": 5}), "prospect.external_ref.external_ref", "string_type"),
        (party(risk_objects=[{}]), "prospect.risk_objects", "model_type"),
        (party(risk_objects={"drones": "Geheim"}), "prospect.risk_objects.drones", "list_type"),
        (party(risk_objects={"cars": [{"id": "Geheim"}]}), "prospect.risk_objects.cars.0.id", "not-a-uuid"),
        (party(risk_objects={"cars": [{"vin": 5}]}), "prospect.risk_objects.cars.0.vin", "string_type"),
        (party(policy_packages=[{"id": "1"}]), "prospect.policy_packages.0.id", "not-a-uuid"),
        (party(policy_packages=[{"premium": "1.234,50"}]), "prospect.policy_packages.0.premium", "not-an-amount"),
        (party(policy_packages=[{"premium": True}]), "prospect.policy_packages.0.premium", "not-an-amount"),
        (
            party(insurance_policies=[{"coverages": [{"insured_value": "Geheim"}]}]),
            "prospect.insurance_policies.0.coverages.0.insured_value",
            "not-an-amount",
        ),
        (
            party(insurance_policies=[{"coverages": [{"insured_value": float("inf")}]}]),
            "prospect.insurance_policies.0.coverages.0.insured_value",
            "finite_number",
        ),
        (
            party(insurance_policies=[{"policy_package_id": "Geheim"}]),
            "prospect.insurance_policies.0.policy_package_id",
            "not-a-uuid",
        ),
        (
            party(insurance_policies=[{"coverages": [{"risk_object_id": "Geheim"}]}]),
            "prospect.insurance_policies.0.coverages.0.risk_object_id",
            "not-a-uuid",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(data: Any, path: str, code: str) -> None:
    assert problems(data) == {path: code}


def test_a_person_needs_no_name_for_the_page_does_not_ask_for_one() -> None:
    assert prepare("customers", {"prospect": {"email": "lead@example.test"}}).body["prospect"]["email"]


@pytest.mark.parametrize(
    ("given_premium", "sent"), [("300", "300"), ("300.50", "300.50"), (300, "300"), (412.5, "412.5"), ("-1", "-1")]
)
def test_premiums_go_out_as_text(given_premium: Any, sent: str) -> None:
    lead = prepare("companies", party(policy_packages=[{"premium": given_premium}]))
    assert lead.body["prospect"]["policy_packages"] == [{"premium": sent}]


@pytest.mark.parametrize(("value", "sent"), [(100.0, 100.0), (25000, 25000.0), ("100.50", 100.5)])
def test_insured_values_go_out_as_numbers(value: Any, sent: float) -> None:
    lead = prepare("companies", party(insurance_policies=[{"coverages": [{"insured_value": value}]}]))
    assert lead.body["prospect"]["insurance_policies"][0]["coverages"][0]["insured_value"] == sent


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("risk_objects.cars.0.vin", ("prospect", "risk_objects", "cars", 0, "vin")),
        ("prospect.risk_objects.cars.0.vin", ("prospect", "risk_objects", "cars", 0, "vin")),
        ("insurance_policies.0.coverages.0.name", ("prospect", "insurance_policies", 0, "coverages", 0, "name")),
        ("insurance_policies.7.name", ("prospect", "insurance_policies", 7, "name")),
        ("name", ("prospect", "name")),
        ("first_name", ("prospect", "first_name")),
        ("address.zipcode", ("prospect", "address", "zipcode")),
        ("backref", ("backref",)),
        ("origin", ("origin",)),
        ("source", ("source",)),
        ("prospect", ("prospect",)),
        ("prospect.first_name", ("prospect", "first_name")),
        ("extra.one", ("extra", "one")),
        ("both.at_root", ("both", "at_root")),
        ("both.below", ("prospect", "both", "below")),
        ("numbers.0", ("prospect", "numbers", "0")),
    ],
)
def test_a_target_is_led_back_to_the_callers_field(target: str, path: tuple[str | int, ...]) -> None:
    sent = {
        **COMPANY,
        "extra": {"one": 1},
        "both": {"at_root": 1},
        "prospect": COMPANY["prospect"] | {"both": {"below": 1}, "numbers": {"0": 1}},
    }
    assert to_path(target.split("."), sent) == path


def test_a_refusal_as_documented_is_read() -> None:
    value = {
        "detail": {
            "type": "ValidationError",
            "errors": [
                {"type": "ValidationError", "target": "name", "message": "Error for 'name'. Value missing: Geheim"},
                {"type": None, "target": None, "message": None},
                "odd",
                {},
            ],
            "error_str": "Geheim",
        }
    }
    refusal = read_refusal(value, COMPANY)
    assert refusal.type == "ValidationError"
    assert [(one.type, one.target, one.path) for one in refusal.errors] == [
        ("ValidationError", "name", ("prospect", "name")),
        (None, None, None),
        (None, None, None),
    ]
    assert refusal.errors[0].problem is not None
    assert refusal.errors[0].problem.pointer == "/prospect/name"
    assert refusal.errors[1].problem is None
    assert "Geheim" not in repr(refusal)


def test_a_refusal_of_the_framework_is_read() -> None:
    value = {"detail": [{"loc": ["body", "prospect", "insurance_policies", 0, "name"], "msg": "x", "type": "missing"}]}
    (one,) = read_refusal(value, COMPANY).errors
    assert one.path == ("prospect", "insurance_policies", 0, "name")
    assert (one.type, one.target, one.message) == ("missing", "prospect.insurance_policies.0.name", "x")


@given(
    st.none()
    | _JSON
    | st.fixed_dictionaries({"detail": _JSON})
    | st.fixed_dictionaries({"detail": st.fixed_dictionaries({"errors": _JSON, "type": _JSON})})
)
def test_no_refusal_is_too_odd_to_be_read(value: Any) -> None:
    refusal = read_refusal(value, COMPANY)
    assert refusal.type is None or isinstance(refusal.type, str)


def test_a_text_is_kept_for_the_caller_alone() -> None:
    refusal = read_refusal({"detail": "Geheim"}, COMPANY)
    assert (refusal.text, refusal.errors) == ("Geheim", ())
    assert "Geheim" not in repr(refusal)
