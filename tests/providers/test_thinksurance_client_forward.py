"""Shows the request of V1.1 Broker Forward, parameter by parameter as its page lists them."""

from typing import Any

import pytest

from app.providers.checking import InvalidRequestError
from app.providers.thinksurance.calls.forward import BrokerForward, Forwarded, prepare_forward

URL = "https://hooks.example.test/callbacks/thinksurance/cbt_x"
TEST_URL = "https://hooks.example.test/callbacks/thinksurance/cbt_y"
SMALL: dict[str, Any] = {"type": 1, "bExternalId": "42"}
REFERENCE = {"origin": "crm", "paramKey": "AccountNumber", "paramValue": "K-1001"}
QUESTIONS = {
    "source": "crm",
    "categories": [
        {"id": "default", "questions": [{"id": "umsatz", "answers": ["35000000"]}]},
        {"id": "17", "questions": [{"id": "4711", "answers": ["12", "13"]}]},
    ],
}
INQUIRY = {"cExternalId": "K-1001", "productId": 81, "professionId": 311, "instantInquiryCreation": "True"}

# The page's tables in their order: a value that passes, and one that is wrong (None where every text passes).
BROKER = {
    "type": (1, 3),
    "bExternalId": ("42", " "),
    "bGender": (2, 3),
    "bFirstName": ("Erika", 5),
    "bLastName": ("Beispiel", 5),
    "bEmail": ("erika.beispiel@makler.example.test", "erika.beispiel@makler.example.test;"),
    "bCompany": ("Makler Beispiel GmbH", 5),
    "bStreet": ("Musterstraße", 5),
    "bStreetNumber": ("1a", 1),
    "bZip": ("10115", 10115),
    "bCity": ("Berlin", []),
    "bPhone": ("030 23125000", 5),
    "bCompanyRegNumber": ("HRB 1", 5),
    "bRegNumber": ("D-XXXX-1", 5),
}
CALLBACK = {
    "fullCallback": (0, "0"),
    "callbackUrl": (URL, "hooks.example.test"),
    "mvpFullCallback": (0, "yes"),
    "mvpCallbackUrl": (TEST_URL, "https:// hooks.example.test"),
}
CUSTOMER = {
    "cExternalId": ("K-1001", ""),
    "cSalutation": (1, 0),
    "cFirstName": ("Jürgen", 5),
    "cLastName": ("Probeweiß", 5),
    "cBirthDate": ("1980-05-31", "31.05.1980"),
    "cEmail": ("kunde.1@example.test", " kunde.1@example.test"),
    "cStreet": ("Beispielweg", 5),
    "cStreetNumber": ("2", 2),
    "cZip": ("20095", 20095),
    "cCity": ("Hamburg", 5),
    "cWebsite": ("https://www.example.test", 5),
    "cPhone": ("040 66969000", 5),
    "cPrivateIsCompanyAddress": (0, 2),
    "cCompany": ("Tischlerei Beispiel GmbH", 5),
    "cLegalForm": (3, "GmbH"),
    "cCompanyStreet": ("Am Probeplatz", 5),
    "cCompanyStreetNumber": ("3", 3),
    "cCompanyZip": ("50667", 50667),
    "cCompanyCity": ("Köln", 5),
    "cBankIban": ("DE02120300000000202051", 5),
    "cBankBic": ("BYLADEM1001", 5),
    "cBankName": ("Beispielbank", 5),
    "cBankAccountHolder": ("Erika Beispiel", 5),
    "cAccountType": (1, "1"),
    "cExternalReferences": ([REFERENCE], REFERENCE),
    "crmIdent": ("openVIVAv1", 5),
}
INQUIRY_FIELDS = {
    "instantInquiryCreation": ("True", True),
    "productId": (81, 0),
    "professionId": (311, "311"),
    "iExternalReferences": ([REFERENCE], [7]),
}
QUESTIONNAIRE: dict[str, tuple[Any, Any]] = {"qasCustProfile": (QUESTIONS, [])}
BESIDE_THE_PAGE = {"bIsActive": (1, []), "iId": (2900417, -1)}
ALL = BROKER | CALLBACK | CUSTOMER | INQUIRY_FIELDS | QUESTIONNAIRE | BESIDE_THE_PAGE
EVERYTHING = {name: value for name, (value, _) in ALL.items()}

# Of bIsActive the type is not known.
NUMBERS = [name for name, value in EVERYTHING.items() if type(value) is int and name != "bIsActive"]


def wrong(data: dict[str, Any], **how: Any) -> dict[str, str]:
    """Return path and code of each problem; nothing is sent then."""
    with pytest.raises(InvalidRequestError) as caught:
        prepare_forward(data, **how)
    return {problem.dotted: problem.code for problem in caught.value.problems}


def body(data: dict[str, Any], **how: Any) -> dict[str, Any]:
    return prepare_forward(data, **how).request.body()


def warned(data: dict[str, Any], **how: Any) -> set[tuple[str, str]]:
    return {(warning.field, warning.reason) for warning in prepare_forward(data, **how).warnings}


def test_every_parameter_of_the_page_is_there_and_no_other() -> None:
    assert {field.alias for field in BrokerForward.model_fields.values()} == set(ALL)


def test_everything_together_is_sent_as_it_was_given() -> None:
    assert body(EVERYTHING) == EVERYTHING


@pytest.mark.parametrize("name", ALL)
def test_a_wrong_value_is_named_by_its_field_and_never_shown(name: str) -> None:
    wrong_value = ALL[name][1]
    with pytest.raises(InvalidRequestError) as caught:
        prepare_forward(EVERYTHING | {name: wrong_value})
    assert {problem.path[0] for problem in caught.value.problems} == {name}
    if isinstance(wrong_value, str) and len(wrong_value) > 5:
        assert wrong_value.strip(" ;") not in f"{caught.value} {caught.value.problems}"


@pytest.mark.parametrize("name", ["type", "bExternalId"])
def test_the_required_ones_are_required(name: str) -> None:
    assert wrong({key: value for key, value in SMALL.items() if key != name}) == {name: "missing"}


@pytest.mark.parametrize("name", [name for name in ALL if name not in SMALL])
def test_all_others_are_optional_and_null_is_not_sent(name: str) -> None:
    assert body(SMALL | {name: None}) == SMALL


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [True, 1.5])
def test_a_number_is_a_whole_number(name: str, value: object) -> None:
    assert name in wrong(EVERYTHING | {name: value})


def test_a_misspelt_parameter_is_refused() -> None:
    assert wrong(SMALL | {"cEmial": "kunde.1@example.test"}) == {"cEmial": "extra_forbidden"}


def test_a_name_that_is_none_is_not_repeated_in_the_text() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        prepare_forward(SMALL | {"erika@example.test": 1})
    assert "erika" not in str(caught.value)
    assert caught.value.problems[0].pointer == "/erika@example.test"


@pytest.mark.parametrize("name", ["bEmail", "cEmail"])
@pytest.mark.parametrize(
    "address",
    [
        " exampleMail@mailProvider.example",
        "exampleMail@mailProvider.example ",
        "exampleMail@mailProvider.example;",
        "exampleMail@mailProvider.example\n",
        "example Mail@mailProvider.example",
        "“exampleMail@mailProvider.example”",
        "a@example.test,b@example.test",
        "a@b@example.test",
        "exämple@mailProvider.example",
        "Erika <erika@example.test>",
        "exampleMail",
        "exampleMail@",
        "@mailProvider.example",
        "exampleMail@mailProvider",
        "exampleMail@-.de",
        ".a@example.test",
    ],
)
def test_an_address_with_blanks_or_signs_is_refused(name: str, address: str) -> None:
    assert wrong(SMALL | {name: address}) == {name: "not-an-email"}


@pytest.mark.parametrize(
    "address", ["exampleMail@mailProvider.com", "max.mustermann@awesome.company.de", "a+b_c-d@x-1.example", ""]
)
def test_a_plain_address_passes(address: str) -> None:
    assert body(SMALL | {"cEmail": address})["cEmail"] == address


def test_the_callback_is_set_by_the_caller_with_0() -> None:
    assert body(SMALL, callback_url=URL) == SMALL | {"fullCallback": 0, "callbackUrl": URL}


def test_the_test_system_has_a_pair_of_its_own() -> None:
    pair = {"mvpFullCallback": 0, "mvpCallbackUrl": TEST_URL}
    assert body(SMALL, test_callback_url=TEST_URL) == SMALL | pair
    assert body(SMALL, callback_url=URL, test_callback_url=TEST_URL) == (
        SMALL | {"fullCallback": 0, "callbackUrl": URL} | pair
    )


def test_what_the_body_says_of_the_callback_is_replaced_and_told() -> None:
    given = SMALL | {"fullCallback": 1, "callbackUrl": "https://other.example.test"}
    assert body(given, callback_url=URL)["callbackUrl"] == URL
    assert warned(given, callback_url=URL) == {("fullCallback", "replaced"), ("callbackUrl", "replaced")}
    assert warned(SMALL | {"fullCallback": 0, "callbackUrl": URL}, callback_url=URL) == set()
    assert body(given) == given


def test_the_caller_s_address_is_checked_too() -> None:
    assert wrong(SMALL, callback_url="nowhere") == {"callbackUrl": "not-an-address"}


@pytest.mark.parametrize("prefix", ["c", "mvpC"])
def test_a_switch_of_0_requires_its_address(prefix: str) -> None:
    switch = {"c": "fullCallback", "mvpC": "mvpFullCallback"}[prefix]
    assert wrong(SMALL | {switch: 0}) == {f"{prefix}allbackUrl": "missing"}
    assert body(SMALL | {switch: 1}) == SMALL | {switch: 1}


@pytest.mark.parametrize("name", ["cExternalId", "productId", "professionId"])
def test_an_instant_inquiry_needs_three_others(name: str) -> None:
    given = SMALL | INQUIRY
    assert body(given) == given
    assert wrong({key: value for key, value in given.items() if key != name}) == {name: "missing"}
    later = {key: value for key, value in given.items() if key != name} | {"instantInquiryCreation": "False"}
    assert body(later) == later


def test_all_that_is_missing_is_told_at_once() -> None:
    assert wrong(SMALL | {"instantInquiryCreation": "True", "fullCallback": 0, "type": 2}) == {
        "callbackUrl": "missing",
        "instantInquiryCreation": "not-available",
        "cExternalId": "missing",
        "productId": "missing",
        "professionId": "missing",
    }


@pytest.mark.parametrize("value", ["True", "False"])
def test_an_instant_inquiry_is_available_only_for_type_1(value: str) -> None:
    assert wrong(SMALL | INQUIRY | {"type": 2, "instantInquiryCreation": value}) == {
        "instantInquiryCreation": "not-available"
    }


@pytest.mark.parametrize("value", [True, False, 1, "true", "1", ""])
def test_instant_inquiry_creation_is_a_word(value: object) -> None:
    assert set(wrong(SMALL | INQUIRY | {"instantInquiryCreation": value})) == {"instantInquiryCreation"}


@pytest.mark.parametrize("name", ["cExternalReferences", "iExternalReferences"])
class TestReferences:
    """Both lists have the shape of External References definition."""

    def test_an_empty_value_deletes_and_passes(self, name: str) -> None:
        given = SMALL | {name: [REFERENCE | {"paramValue": ""}]}
        assert body(given) == given

    def test_the_value_is_optional(self, name: str) -> None:
        given = SMALL | {name: [{"origin": "broker_crm", "paramKey": "Vorgang"}]}
        assert body(given) == given

    @pytest.mark.parametrize("origin", ["crm", "broker_crm", "insurer"])
    def test_the_known_origins_pass(self, name: str, origin: str) -> None:
        assert body(SMALL | {name: [REFERENCE | {"origin": origin}]})[name][0]["origin"] == origin

    @pytest.mark.parametrize(
        ("wrong_part", "path"),
        [({"origin": "CRM"}, "origin"), ({"paramKey": ""}, "paramKey"), ({"paramValue": 7}, "paramValue")],
    )
    def test_a_wrong_part_is_named_by_its_path(self, name: str, wrong_part: dict[str, Any], path: str) -> None:
        assert set(wrong(SMALL | {name: [REFERENCE, REFERENCE | wrong_part]})) == {f"{name}.1.{path}"}

    @pytest.mark.parametrize("part", ["origin", "paramKey"])
    def test_origin_and_key_are_required(self, name: str, part: str) -> None:
        one = {key: value for key, value in REFERENCE.items() if key != part}
        assert wrong(SMALL | {name: [one]}) == {f"{name}.0.{part}": "missing"}

    def test_the_same_key_twice_is_told(self, name: str) -> None:
        assert (f"{name}.1", "same-key-twice") in warned(SMALL | {name: [REFERENCE, REFERENCE]})
        other = REFERENCE | {"paramKey": "Other"}
        assert (f"{name}.1", "same-key-twice") not in warned(SMALL | {name: [REFERENCE, other]})


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"source": ""}, "source"),
        ({"source": None}, "source"),
        ({"categories": None}, "categories"),
        ({"categories": [{"id": 17, "questions": []}]}, "categories.0.id"),
        ({"categories": [{"id": "other", "questions": []}]}, "categories.0.id"),
        ({"categories": [{"id": "default"}]}, "categories.0.questions"),
        ({"categories": [{"id": "1", "questions": [{"id": "", "answers": []}]}]}, "categories.0.questions.0.id"),
        ({"categories": [{"id": "1", "questions": [{"id": "a"}]}]}, "categories.0.questions.0.answers"),
        (
            {"categories": [{"id": "1", "questions": [{"id": "a", "answers": ["1", 2]}]}]},
            "categories.0.questions.0.answers.1",
        ),
        ({"more": 1}, "more"),
    ],
)
def test_the_questionnaire_is_checked_to_its_leaves(changed: dict[str, Any], path: str) -> None:
    assert set(wrong(SMALL | INQUIRY | {"qasCustProfile": QUESTIONS | changed})) == {f"qasCustProfile.{path}"}


def test_what_is_dropped_without_an_inquiry_is_told() -> None:
    given = SMALL | {"qasCustProfile": QUESTIONS, "iExternalReferences": [REFERENCE]}
    both = {("qasCustProfile", "dropped-without-inquiry"), ("iExternalReferences", "dropped-without-inquiry")}
    assert warned(given) == both
    assert warned(given | INQUIRY) == set()
    # With both ids the inquiry is made at Switch.
    assert warned(given | {"productId": 81, "professionId": 311}) == set()
    assert warned(given | {"iId": 2900417}) == {("qasCustProfile", "dropped-without-inquiry")}


@pytest.mark.parametrize(
    ("given", "repeatable"),
    [
        ({}, True),
        ({"bCompany": "Makler Beispiel GmbH"}, True),
        ({"cExternalId": "K-1001", "cLastName": "Probeweiß"}, True),
        ({"cLastName": "Probeweiß"}, False),
        (INQUIRY, False),
    ],
)
def test_only_what_makes_nothing_twice_is_repeatable(given: dict[str, Any], repeatable: bool) -> None:
    assert prepare_forward(SMALL | given).request.is_repeatable is repeatable


def test_neither_request_nor_answer_show_what_they_hold() -> None:
    prepared = prepare_forward(EVERYTHING, callback_url=URL)
    for value in ("Probeweiß", "kunde.1@example.test", "DE02120300000000202051", URL, "K-1001"):
        assert value not in f"{prepared!r} {prepared.request}"
    forwarded = Forwarded("https://switch.example.test/secret", 1, "hashed")
    assert "switch" not in f"{forwarded!r} {forwarded}"
