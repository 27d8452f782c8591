"""Shows how a stored lead becomes an Alta Lead, and what is said to be missing."""

from typing import Any

import pytest

from app.ingest.contract import Warned
from app.providers.allianz.leads import PreparedAlta, alta_from_lead, cut_at_word, missing_fields, prepare_alta
from app.providers.allianz.schemas import REQUIRED_OF_ALTA
from app.providers.allianz.settings import DEFAULTS, SettingError, read_settings
from app.providers.checking import InvalidRequestError
from tests.providers.conftest import Bench

LEAD: dict[str, Any] = {
    "id": "0191a0c3-0000-7000-8000-000000000001",
    "kind": "customer",
    "first_name": "Marieke",
    "last_name": "Vandevoorbeeld",
    "name": None,
    "email": "marieke@example.test",
    "phone": None,
    "address": {
        "street": None,
        "house_number": "12",
        "postal_code": "9000",
        "city": "Gent",
        "country": None,
        "text": None,
    },
    "risk_objects": [{"kind": "cars", "id": None, "vin": None, "address": None, "other": None}],
}
GIVEN: dict[str, Any] = {"acceptTerms": True, "agenteId": "0051245", "motivoLlamada": "1", "phone": "600000000"}


def made(lead: dict[str, Any], given: dict[str, Any], **settings: str) -> PreparedAlta:
    source = Bench().source("allianz", settings={"base_url": "https://api.example.test"} | settings)
    return alta_from_lead(lead, given, read_settings(source), own_id="S-1")


def body(prepared: PreparedAlta) -> dict[str, Any]:
    assert prepared.draft is not None
    return prepared.draft.body()


def test_a_wegroup_lead_lacks_four_of_the_five_required_fields() -> None:
    prepared = made(LEAD, {})
    assert prepared.draft is None
    assert prepared.missing == ("acceptTerms", "agenteId", "motivoLlamada", "phone")


def test_with_these_given_it_is_an_alta() -> None:
    prepared = made(LEAD, GIVEN)
    assert prepared.missing == ()
    assert body(prepared) == GIVEN | {
        "name": "Marieke Vandevoorbeeld",
        "email": "marieke@example.test",
        "leadOrigin": "1",
        "partnerLeadId": "S-1",
    }
    assert prepared.warnings == (Warned("postalcode", "left-out"),)  # Belgian
    assert "Marieke" not in repr(prepared)


@pytest.mark.parametrize("field", REQUIRED_OF_ALTA)
def test_each_missing_field_is_named(field: str) -> None:
    whole = GIVEN | {"name": "Lucía Ejemplo"}
    without = {name: value for name, value in whole.items() if name != field}
    assert missing_fields(whole) == ()
    assert missing_fields(without) == (field,)
    assert missing_fields(whole | {field: " "}) == (field,)
    settings = read_settings(Bench().source("allianz", settings={"base_url": "https://api.example.test"}))
    assert prepare_alta(without, settings).missing == (field,)


def test_all_five_are_named_in_the_pages_order() -> None:
    assert missing_fields({}) == REQUIRED_OF_ALTA == ("acceptTerms", "agenteId", "motivoLlamada", "name", "phone")


def test_a_refused_consent_is_no_missing_one() -> None:
    with pytest.raises(InvalidRequestError, match="privacy policy"):
        made(LEAD, GIVEN | {"acceptTerms": False})


def test_an_agent_may_come_from_the_settings_or_from_client_data() -> None:
    without = {name: value for name, value in GIVEN.items() if name != "agenteId"}
    assert made(LEAD, without).missing == ("agenteId",)
    assert made(LEAD, without, agent_id="0051245").missing == ()
    assert "agenteId" not in body(made(LEAD, without | {"dni": "12345678Z"}))


def test_a_company_goes_by_its_name() -> None:
    lead = LEAD | {"kind": "company", "first_name": None, "last_name": None, "name": "Panadería Ejemplo SL"}
    assert body(made(lead, GIVEN))["name"] == "Panadería Ejemplo SL"


def test_what_is_given_goes_before_what_the_lead_says() -> None:
    given = GIVEN | {
        "name": "Lucía Ejemplo",
        "email": "lucia@example.test",
        "postalcode": "08014",
        "partnerLeadId": "P",
    }
    prepared = made(LEAD, given)
    assert body(prepared) == given | {"leadOrigin": "1"}
    assert prepared.warnings == ()


def test_a_blank_is_not_given() -> None:
    assert body(made(LEAD, GIVEN | {"email": "", "name": None}))["email"] == "marieke@example.test"


@pytest.mark.parametrize(
    ("changed", "field", "sent", "warned"),
    [
        ({"phone": "+34 600 111 222"}, "phone", "600111222", set()),
        ({"phone": "+32 470 12 34 56"}, "phone", "+32470123456", set()),
        ({"email": "x" * 40 + "@example.test"}, "email", None, {("email", "left-out")}),
        ({"email": "not an address"}, "email", None, {("email", "left-out")}),
        ({"address": LEAD["address"] | {"postal_code": "08014"}}, "postalcode", "08014", None),
        ({"address": LEAD["address"] | {"postal_code": "08014", "country": "España"}}, "postalcode", "08014", None),
        ({"address": LEAD["address"] | {"postal_code": "08014", "country": "DE"}}, "postalcode", None, None),
        ({"address": None}, "postalcode", None, set()),
        (
            {"first_name": "María " * 5, "last_name": "Ejemplo " * 5},
            "name",
            ("María " * 5 + "Ejemplo " * 2).strip(),
            None,
        ),
    ],
)
def test_what_the_lead_has_is_fitted(
    changed: dict[str, Any], field: str, sent: str | None, warned: set[tuple[str, str]] | None
) -> None:
    given = {name: value for name, value in GIVEN.items() if name != field}
    prepared = made(LEAD | changed, given)
    assert body(prepared).get(field) == sent
    if warned is not None:
        found = {(warning.field, warning.reason) for warning in prepared.warnings}
        assert found - {("postalcode", "left-out")} == warned


def test_an_unusable_phone_of_a_lead_is_missing() -> None:
    given = {name: value for name, value in GIVEN.items() if name != "phone"}
    prepared = made(LEAD | {"phone": "0470 12 34 56"}, given)  # Belgian without its country code
    assert prepared.missing == ("phone",)
    assert Warned("phone", "left-out") in prepared.warnings


def test_what_is_given_is_refused_rather_than_fitted() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        made(LEAD, GIVEN | {"name": "x" * 51, "email": "y" * 60 + "@example.test", "postalcode": "9000"})
    assert {problem.dotted for problem in caught.value.problems} == {"name", "email", "postalcode"}


def test_settings_fill_the_codes_that_allianz_hands_out() -> None:
    codes = {"canal": "API", "origen": "WEB", "ramo": "1", "refExt": "R1", "partner": "leadhub", "leadOrigin": "19"}
    sent = body(made(LEAD, GIVEN | {"ramo": 2}, **codes))
    assert {name: sent[name] for name in codes} == codes | {"ramo": 2}
    assert body(made(LEAD, {k: v for k, v in GIVEN.items() if k != "motivoLlamada"}, motivoLlamada="1"))


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("short", "short"),
        ("a" * 60, "a" * 50),
        ("a" * 49 + " bc", "a" * 49),
        ("a" * 50 + " bc", "a" * 50),
        ("  two   words  ", "two words"),
        ("n\u0303" * 50, "ñ" * 50),
    ],
)
def test_names_are_cut_at_a_word(text: str, cut: str) -> None:
    assert cut_at_word(text, 50) == cut


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "base_url"),
        ({"base_url": "https://x.test", "agent_id": "51245"}, "agent_id"),
        ({"base_url": "https://x.test", "auth": "oauth"}, "auth"),
        ({"base_url": "https://x.test", "auth": "client-credentials"}, "token_url"),
        ({"base_url": "https://x.test", "alta_method": "DELETE"}, "alta_method"),
        ({"base_url": "https://x.test", "alta_path": "alta"}, "alta_path"),
        ({"base_url": "https://x.test", "estados": "20,closed"}, "estados"),
        ({"base_url": "https://x.test", "alta_without_client_data": "yes"}, "alta_without_client_data"),
        ({"base_url": "https://x.test", "token_credentials": "query"}, "token_credentials"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, str], name: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_settings(Bench().source("allianz", settings=settings))
    assert caught.value.name == name


def test_settings_have_defaults_where_the_page_names_nothing() -> None:
    source = Bench().source("allianz", settings={"base_url": "https://x.test", "estados": "20, 30"})
    settings = read_settings(source)
    assert (settings.alta.method, settings.alta.path) == ("POST", DEFAULTS["alta_path"])
    assert settings.auth == "none"
    assert settings.estados == {20, 30}
    assert settings.alta_without_client_data is False
