"""Shows every field of the Leads Contract API with its length and form, and the tax numbers' rules."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.providers.allianz.nif import NifError, parse_nif
from app.providers.allianz.schemas import (
    REQUIRED_OF_ALTA,
    AllianzRequest,
    AltaDraft,
    AltaRequest,
    ClientDataRequest,
    LeadUpdateRequest,
)
from app.providers.checking import InvalidRequestError, check_request

LEAST: dict[str, Any] = {
    "acceptTerms": True,
    "agenteId": "0098761",
    "motivoLlamada": "2",
    "name": "Lucía Ejemplo Prueba",
    "phone": "600000000",
}
FULL: dict[str, Any] = LEAST | {
    "reference": "R-1",
    "idLanding": "LND-0007",
    "leadOrigin": "1",
    "partnerLeadId": "6f1d2c3b-4a59-4687-9b70-8c1d2e3f4a5b",
    "parametersURL": "utm_source=site&utm_campaign=auto-may",
    "partner": "leadhub",
    "trafficSource": "organic",
    "campaign": "auto-may",
    "canal": "API",
    "dni": "12345678Z",
    "email": "lucia.ejemplo@example.test",
    "origen": "WEB",
    "postalcode": "08014",
    "ramo": 1,
    "refExt": "R1",
    "tresAgentes": "",
}


def body(data: dict[str, Any], kind: type[AllianzRequest] = AltaRequest) -> dict[str, Any]:
    return check_request("test", kind, data).body()


def problems(data: dict[str, Any], kind: type[AllianzRequest] = AltaRequest) -> dict[str, str]:
    """Return the codes of what is wrong by field; the texts name no value."""
    with pytest.raises(InvalidRequestError) as caught:
        check_request("test", kind, data)
    for value in data.values():
        if isinstance(value, str) and len(value) > 3:
            assert value not in str(caught.value)
    return {problem.dotted: problem.code for problem in caught.value.problems}


def test_the_whole_of_an_alta_is_sent_in_the_pages_names() -> None:
    assert body(FULL) == FULL
    assert body(LEAST) == LEAST


def test_nothing_of_a_request_is_in_its_repr() -> None:
    shown = repr(check_request("test", AltaRequest, FULL))
    for value in ("Lucía", "12345678Z", "lucia", "600000000", "08014"):
        assert value not in shown


def test_the_five_required_fields_are_all_reported() -> None:
    assert problems({}) == dict.fromkeys(REQUIRED_OF_ALTA, "missing")
    assert problems(dict.fromkeys(REQUIRED_OF_ALTA, " ")) == dict.fromkeys(REQUIRED_OF_ALTA, "missing")
    assert problems(dict.fromkeys(REQUIRED_OF_ALTA)) == dict.fromkeys(REQUIRED_OF_ALTA, "missing")


def test_a_draft_may_be_without_its_agent() -> None:
    without = {name: value for name, value in LEAST.items() if name != "agenteId"}
    assert body(without, AltaDraft) == without
    assert problems(without) == {"agenteId": "missing"}


@pytest.mark.parametrize(
    ("field", "length"),
    [
        ("name", 50),
        ("email", 50),
        ("leadOrigin", 25),
        ("partnerLeadId", 45),
        ("parametersURL", 999),
        ("partner", 255),
        ("trafficSource", 255),
        ("campaign", 255),
        ("origen", 20),
        ("refExt", 20),
        ("reference", 255),
        ("idLanding", 255),
        ("canal", 255),
    ],
)
def test_lengths_are_kept_to_the_character(field: str, length: int) -> None:
    def filled(characters: int) -> str:
        return "ñ" * (characters - 13) + "@example.test" if field == "email" else "ñ" * characters

    assert body(FULL | {field: filled(length)})[field] == filled(length)
    assert problems(FULL | {field: filled(length + 1)}) == {field: "string_too_long"}
    apart = unicodedata.normalize("NFD", filled(length))
    assert body(FULL | {field: apart})[field] == filled(length)


@pytest.mark.parametrize("field", sorted(set(FULL) - set(REQUIRED_OF_ALTA) - {"tresAgentes"}))
@pytest.mark.parametrize("empty", [None, "", "  "])
def test_empty_optional_fields_are_left_out(field: str, empty: str | None) -> None:
    assert field not in body(FULL | {field: empty})


@pytest.mark.parametrize(
    ("given_agent", "code"),
    [
        ("98761", "agent-id-form"),
        (98761, "agent-id-form"),
        ("00987610", "agent-id-form"),
        ("009876a", "agent-id-form"),
        ("٠٠٩٨٧٦١", "agent-id-form"),
        (True, "string_type"),
        (["0098761"], "string_type"),
    ],
)
def test_an_agent_has_seven_digits(given_agent: Any, code: str) -> None:
    assert problems(LEAST | {"agenteId": given_agent}) == {"agenteId": code}
    assert body(LEAST | {"agenteId": 1098761})["agenteId"] == "1098761"


@pytest.mark.parametrize("yes", [True, "true", " TRUE "])
def test_consent_is_a_clear_yes(yes: Any) -> None:
    assert body(LEAST | {"acceptTerms": yes})["acceptTerms"] is True


@pytest.mark.parametrize(
    ("no", "code"), [(False, "no-consent"), ("false", "no-consent"), (1, "not-a-boolean"), ("yes", "not-a-boolean")]
)
def test_without_consent_nothing_is_passed_on(no: Any, code: str) -> None:
    assert problems(LEAST | {"acceptTerms": no}) == {"acceptTerms": code}


@pytest.mark.parametrize(("reason", "sent"), [("1", "1"), (1, "1"), ("2", "2"), (2, "2")])
def test_the_reason_is_one_of_two(reason: Any, sent: str) -> None:
    assert body(LEAST | {"motivoLlamada": reason})["motivoLlamada"] == sent


@pytest.mark.parametrize("reason", ["3", 0, True, "quotation"])
def test_other_reasons_are_refused(reason: Any) -> None:
    assert problems(LEAST | {"motivoLlamada": reason}) == {"motivoLlamada": "literal_error"}


@pytest.mark.parametrize(
    ("phone", "sent"),
    [
        ("600000000", "600000000"),
        (600000000, "600000000"),
        ("+34 600 00 00 00", "600000000"),
        ("0034-600-000-000", "600000000"),
        ("(91) 000 00 00", "910000000"),
        ("+32 470 12 34 56", "+32470123456"),
        ("0049 30 23125 123", "+493023125123"),
    ],
)
def test_phones_go_as_nine_digits_or_with_their_country(phone: Any, sent: str) -> None:
    assert body(LEAST | {"phone": phone})["phone"] == sent
    assert body(LEAST | {"phone": sent})["phone"] == sent


@pytest.mark.parametrize("phone", ["12345", "500000000", "+34 555 000 000", "6000000000", "+32 1", "nobody", "6" * 999])
def test_what_is_no_phone_is_refused(phone: str) -> None:
    assert problems(LEAST | {"phone": phone}) == {"phone": "phone-form"}


@pytest.mark.parametrize("email", ["lucia", "lucia@example", "a b@example.test", "a@example.test;", "a@b@example.test"])
def test_what_is_no_address_is_refused(email: str) -> None:
    assert problems(LEAST | {"email": email}) == {"email": "email-form"}


@pytest.mark.parametrize("code", ["01001", "08014", "28080", "52001"])
def test_postal_codes_of_spain_pass(code: str) -> None:
    assert body(LEAST | {"postalcode": code})["postalcode"] == code


@pytest.mark.parametrize("code", ["9000", "00123", "53001", "0801a", "080140", 8014])
def test_other_postal_codes_are_refused(code: Any) -> None:
    assert problems(LEAST | {"postalcode": code}) == {"postalcode": "postal-code-form"}


@pytest.mark.parametrize(("ramo", "sent"), [(1, 1), ("12", 12), (0, 0)])
def test_the_branch_is_a_number(ramo: Any, sent: int) -> None:
    assert body(LEAST | {"ramo": ramo})["ramo"] == sent


@pytest.mark.parametrize("ramo", ["car", True, "-1", "1.5", "9" * 40])
def test_other_branches_are_refused(ramo: Any) -> None:
    assert problems(LEAST | {"ramo": ramo}) == {"ramo": "not-a-number"}


def test_codes_may_be_given_as_numbers_and_unpublished_ones_pass() -> None:
    assert body(LEAST | {"leadOrigin": 19})["leadOrigin"] == "19"
    assert body(LEAST | {"leadOrigin": "4"})["leadOrigin"] == "4"


def test_what_is_provisionally_empty_stays_so() -> None:
    assert body(LEAST | {"tresAgentes": ""})["tresAgentes"] == ""
    assert problems(LEAST | {"tresAgentes": "0051245"}) == {"tresAgentes": "not-empty"}


@pytest.mark.parametrize("typo", ["agentId", "nif", "postalCode", "estado"])
def test_a_typo_is_refused_for_allianz_would_not_tell(typo: str) -> None:
    assert problems(LEAST | {typo: "x"}) == {typo: "extra_forbidden"}


@pytest.mark.parametrize("text", ["a\x00b", "a\nb", "a\ud800b"])
def test_control_characters_are_refused(text: str) -> None:
    assert problems(LEAST | {"name": text}) == {"name": "control-character"}


def test_an_update_has_three_fields() -> None:
    update = {"leadId": "900123", "estado": 20, "observacion": "Closed by GAM"}
    assert body(update, LeadUpdateRequest) == update
    assert body({"leadId": 900123, "estado": "20", "observacion": "x"}, LeadUpdateRequest)["leadId"] == "900123"
    assert problems({}, LeadUpdateRequest) == dict.fromkeys(update, "missing")
    long = update | {"observacion": "x" * 256, "leadId": "9" * 256}
    assert problems(long, LeadUpdateRequest) == {"leadId": "string_too_long", "observacion": "string_too_long"}
    assert problems(update | {"estado": "closed"}, LeadUpdateRequest) == {"estado": "not-a-number"}


VALID = {
    "dni": ["12345678Z", "54362315K", "00000001R"],
    "nie": ["X1234567L", "Y1234567X", "Z1234567R", "X2482300W", "X5253868R"],
    "klm": ["K1234567L", "L1234567L", "M1234567L"],
    "entity": ["B64717838", "J99216582", "B58378431", "G12345674", "N1234567D", "W1234567D", "A12300000", "A1230000J"],
}
INVALID = {
    "nif-control": ["12345678A", "54362315Z", "X1234567X", "M1234567A", "B64717839"],
    "nif-form": ["W2482300X", "O1234567L", "I12345674", "1234567890Z", "1234567", "", "ES", "\uff11" * 8 + "Z"],
}


@pytest.mark.parametrize(("kind", "number"), [(kind, number) for kind, all_ in VALID.items() for number in all_])
def test_valid_tax_numbers(kind: str, number: str) -> None:
    found = parse_nif(number)
    assert (found.value, found.kind) == (number, kind)
    assert number not in repr(found)
    assert body({"nif": number}, ClientDataRequest) == {"nif": number}
    assert body(LEAST | {"dni": number})["dni"] == number


@pytest.mark.parametrize(("code", "number"), [(code, number) for code, all_ in INVALID.items() for number in all_])
def test_invalid_tax_numbers(code: str, number: str) -> None:
    with pytest.raises(NifError) as caught:
        parse_nif(number)
    assert caught.value.reason == code
    assert not number or number not in str(caught.value)
    if number:
        assert problems({"nif": number}, ClientDataRequest) == {"nif": code}
        assert problems(LEAST | {"dni": number}) == {"dni": code}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1R", "00000001R"),
        ("12.345.678-z", "12345678Z"),
        (" es x 1234567 l ", "X1234567L"),
        ("ES-B64717838", "B64717838"),
    ],
)
def test_tax_numbers_are_normalised(written: str, value: str) -> None:
    assert body({"nif": written}, ClientDataRequest) == {"nif": value}


@pytest.mark.parametrize(
    ("number", "warnings"),
    [
        ("A12300000", ()),
        ("A1230000J", ("nif-unusual-control",)),
        ("B64717838", ()),
        ("P1234567D", ()),
        ("P12345674", ("nif-unusual-control",)),
        ("N0034567H", ()),
        ("N00345678", ("nif-unusual-control",)),
        ("N1234567D", ()),
        ("KA234567L", ("nif-unchecked",)),
    ],
)
def test_what_is_odd_in_a_tax_number_is_a_warning(number: str, warnings: tuple[str, ...]) -> None:
    assert parse_nif(number).warnings == warnings


@given(st.integers(0, 99_999_999))
def test_one_letter_of_the_table_fits_each_number(number: int) -> None:
    fitting = [letter for letter in "TRWAGMYFPDXBNJZSQVHLCKE" if _fits(f"{number:08}{letter}")]
    assert fitting == ["TRWAGMYFPDXBNJZSQVHLCKE"[number % 23]]


def _fits(number: str) -> bool:
    try:
        parse_nif(number)
    except NifError:
        return False
    return True


@given(st.text(max_size=12))
def test_no_text_makes_the_check_fail_otherwise(text: str) -> None:
    if _fits(text):
        assert len(parse_nif(text).value) == 9
