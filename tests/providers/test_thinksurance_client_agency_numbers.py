"""Shows the requests of V1.1 Add Agency Number, Create Broker and Get Broker Token, field by field."""

from copy import deepcopy
from typing import Any

import pytest

from app.providers.checking import InvalidRequestError, check_request
from app.providers.thinksurance.calls.agency_numbers import AgencyNumber, AgencyNumbers, AgencyNumberSet
from app.providers.thinksurance.calls.brokers import NewBroker, WhichBroker

NUMBER = {
    "agencyNumber": "1-agency-number",
    "matchCode": "comment",
    "externalInsurerId": "",
    "externalUniqueId": "uniqueId1",
    "defaultForTenders": False,
    "defaultForCalculations": False,
    "collectionType": "insurer_collection",
    "internalComment": "internal comment",
    "active": True,
}


def number(**changed: Any) -> dict[str, Any]:
    return NUMBER | {"externalUniqueId": ""} | changed


# The page's example.
EXAMPLE = {
    "agencyNumberSets": [
        {
            "baFinId": "5405",
            "agencyNumbers": [
                NUMBER,
                number(externalInsurerId="insurerId2", collectionType="mga_collection"),
                number(externalInsurerId="insurerId3", defaultForTenders=True, defaultForCalculations=True),
            ],
        },
        {"insurerId": "5036", "agencyNumbers": [number(externalUniqueId="A1", defaultForTenders=True)]},
        {"supervisingAuthorityId": "61234", "agencyNumbers": [number(externalUniqueId="A2")]},
    ]
}


def checked(data: dict[str, Any]) -> AgencyNumbers:
    return check_request("test", AgencyNumbers, data)


def wrong(data: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        checked(data)
    return {problem.dotted: problem.code for problem in caught.value.problems}


def one_set(*numbers: dict[str, Any], **ids: Any) -> dict[str, Any]:
    return {"agencyNumberSets": [{**(ids or {"insurerId": "5036"}), "agencyNumbers": list(numbers)}]}


def warned(data: dict[str, Any]) -> set[tuple[str, str]]:
    return {(warning.field, warning.reason) for warning in checked(data).warnings()}


def test_the_page_s_example_is_sent_as_it_was_given() -> None:
    assert checked(deepcopy(EXAMPLE)).body() == EXAMPLE
    assert warned(EXAMPLE) == set()


def test_every_field_of_the_page_is_there_and_no_other() -> None:
    assert {field.alias for field in AgencyNumber.model_fields.values()} == set(NUMBER)
    ids = {"baFinId", "insurerId", "supervisingAuthorityId"}
    assert {field.alias for field in AgencyNumberSet.model_fields.values()} == ids | {"agencyNumbers"}


@pytest.mark.parametrize("name", ["baFinId", "insurerId", "supervisingAuthorityId"])
def test_each_of_the_three_ids_names_an_insurer(name: str) -> None:
    given = one_set(NUMBER, **{name: "5036"})
    assert checked(given).body() == given
    assert wrong(one_set(NUMBER, **{name: 5036})) == {f"agencyNumberSets.0.{name}": "string_type"}
    assert wrong(one_set(NUMBER, **{name: " "})) == {f"agencyNumberSets.0.{name}": "empty"}


def test_a_set_has_exactly_one_insurer() -> None:
    not_one = {"agencyNumberSets.0": "not-one-insurer"}
    assert wrong({"agencyNumberSets": [{"agencyNumbers": [NUMBER]}]}) == not_one
    assert wrong(one_set(NUMBER, insurerId="1", baFinId="2")) == not_one
    assert wrong(one_set(NUMBER, insurerId="1", baFinId="2", supervisingAuthorityId="3")) == not_one


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("agencyNumber", ""),
        ("matchCode", 1),
        ("externalInsurerId", 1),
        ("externalUniqueId", 1),
        ("defaultForTenders", "true"),
        ("defaultForCalculations", 1),
        ("collectionType", "Maklerinkasso"),
        ("internalComment", 1),
        ("active", None),
    ],
)
def test_a_wrong_value_is_named_by_its_path(name: str, value: object) -> None:
    given = one_set(number(), number(**{name: value}))
    assert set(wrong(given)) == {f"agencyNumberSets.0.agencyNumbers.1.{name}"}


@pytest.mark.parametrize("name", ["agencyNumber", "defaultForTenders", "defaultForCalculations", "active"])
def test_the_required_ones_are_required(name: str) -> None:
    one = {key: value for key, value in NUMBER.items() if key != name}
    assert wrong(one_set(one)) == {f"agencyNumberSets.0.agencyNumbers.0.{name}": "missing"}


@pytest.mark.parametrize(
    "name", ["matchCode", "externalInsurerId", "externalUniqueId", "collectionType", "internalComment"]
)
def test_the_others_are_optional(name: str) -> None:
    given = one_set({key: value for key, value in NUMBER.items() if key != name})
    assert checked(given).body() == given


@pytest.mark.parametrize("value", ["broker_collection", "insurer_collection", "mga_collection"])
def test_the_three_ways_of_collection_pass(value: str) -> None:
    given = one_set(number(collectionType=value))
    assert checked(given).body() == given


def test_there_is_at_least_one_of_each() -> None:
    assert wrong({}) == {"agencyNumberSets": "missing"}
    assert wrong({"agencyNumberSets": []}) == {"agencyNumberSets": "too_short"}
    assert wrong(one_set()) == {"agencyNumberSets.0.agencyNumbers": "too_short"}


def test_a_unique_id_is_not_used_twice_not_even_in_another_set() -> None:
    again = number(externalUniqueId="A1")
    assert wrong(one_set(again, number(), again)) == {
        "agencyNumberSets.0.agencyNumbers.2.externalUniqueId": "twice",
    }
    two = one_set(again)["agencyNumberSets"] + one_set(number(), again)["agencyNumberSets"]
    assert wrong({"agencyNumberSets": two}) == {"agencyNumberSets.1.agencyNumbers.1.externalUniqueId": "twice"}
    assert checked(one_set(number(), number()))


@pytest.mark.parametrize("name", ["defaultForTenders", "defaultForCalculations"])
def test_a_second_default_of_an_insurer_is_told(name: str) -> None:
    default = number(**{name: True})
    assert warned(one_set(default, number(), default)) == {
        (f"agencyNumberSets.0.agencyNumbers.2.{name}", "second-default"),
    }
    two = one_set(default)["agencyNumberSets"] + one_set(default)["agencyNumberSets"]
    assert warned({"agencyNumberSets": two}) == set()


def test_both_external_ids_together_are_told() -> None:
    given = one_set(number(externalInsurerId="I1", externalUniqueId="A1"))
    assert warned(given) == {("agencyNumberSets.0.agencyNumbers.0.externalUniqueId", "beside-insurer-id")}


BROKER = {
    "type": (1, 0),
    "bExternalId": ("43", ""),
    "bEmail": ("erika@makler.example.test", "erika@makler.example.test;"),
    "bLastName": ("Beispiel", 5),
    "bCompany": ("Makler Beispiel GmbH", 5),
}
MORE = {
    "bGender": (1, 3),
    "bFirstName": ("Erika", 5),
    "bStreet": ("Musterstraße", 5),
    "bStreetNumber": ("1a", 1),
    "bZip": ("10115", 10115),
    "bCity": ("Berlin", 5),
    "bPhone": ("030 23125000", 5),
    "bCompanyRegNumber": ("HRB 1", 5),
    "bRegNumber": ("D-XXXX-1", 5),
}


@pytest.mark.parametrize(("kind", "fields"), [(WhichBroker, BROKER), (NewBroker, BROKER | MORE)])
def test_a_broker_s_fields(kind: type[WhichBroker], fields: dict[str, tuple[Any, Any]]) -> None:
    given = {name: value for name, (value, _) in fields.items()}
    assert check_request("test", kind, given).body() == given
    assert {field.alias for field in kind.model_fields.values()} == set(fields)
    for name, (_, value) in fields.items():
        with pytest.raises(InvalidRequestError) as caught:
            check_request("test", kind, given | {name: value})
        assert {problem.dotted for problem in caught.value.problems} == {name}


@pytest.mark.parametrize("name", ["type", "bExternalId", "bEmail"])
def test_a_broker_s_required_fields(name: str) -> None:
    given = {key: value for key, (value, _) in BROKER.items() if key != name}
    with pytest.raises(InvalidRequestError) as caught:
        check_request("test", NewBroker, given)
    assert [problem.dotted for problem in caught.value.problems] == [name]


def test_a_broker_has_a_last_name_or_a_company() -> None:
    given = {"type": 1, "bExternalId": "43", "bEmail": "erika@makler.example.test"}
    assert check_request("test", NewBroker, given | {"bLastName": "Beispiel"})
    assert check_request("test", NewBroker, given | {"bCompany": "Makler Beispiel GmbH"})
    with pytest.raises(InvalidRequestError) as caught:
        check_request("test", NewBroker, given)
    assert [problem.dotted for problem in caught.value.problems] == ["bLastName"]
    with pytest.raises(InvalidRequestError):
        check_request("test", NewBroker, given | {"bLastName": "Beispiel", "bEmail": ""})
