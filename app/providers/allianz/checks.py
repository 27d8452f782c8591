"""Checks single fields of the Leads Contract API before they are sent; the texts of the errors never hold the value.

Which field has which check stands in `schemas`. The page names few formats; where a rule is ours, it says so.
"""

import re
import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, StringConstraints
from pydantic_core import PydanticCustomError

from app.providers.allianz.nif import NifError, parse_nif

MAX_NAME = 50
MAX_EMAIL = 50
MAX_UNSTATED = 255
"""The page gives no length for some fields; this one is ours, so that nothing endless is sent."""

_SPAIN = 34
_SPANISH_NUMBER = re.compile(r"[6-9][0-9]{8}")
_MAX_PHONE = 20
_AGENT_ID = re.compile(r"[0-9]{7}")
_POSTAL_CODE = re.compile(r"(?:0[1-9]|[1-4][0-9]|5[0-2])[0-9]{3}")
_EMAIL = re.compile(r"[^@\s;,<>\"]+@[^@\s;,<>\"]+\.[^@\s;,<>\".]+")
_UNSENDABLE = frozenset({"Cc", "Cs"})


def is_email(text: str) -> bool:
    """Tell whether a text is one e-mail address that `email` takes."""
    return _EMAIL.fullmatch(text) is not None and len(text) <= MAX_EMAIL


def is_postal_code(text: str) -> bool:
    """Tell whether a text is a Spanish postal code: five digits, the first two a province (01 to 52)."""
    return _POSTAL_CODE.fullmatch(text) is not None


def is_agent_id(text: str) -> bool:
    """Tell whether a text is an agent's id: seven digits, leading zeros kept."""
    return _AGENT_ID.fullmatch(text) is not None


def to_phone(text: str) -> str | None:
    """Return a phone number as Allianz gets it: nine digits of Spain, else E.164; None if it is no phone number.

    Without a country code it is read as Spanish. Whether Allianz wants +34 is not documented.
    """
    import phonenumbers  # noqa: PLC0415 - as large as the rest of the room, and few ever call Allianz

    try:
        number = phonenumbers.parse(text, "ES")
    except phonenumbers.NumberParseException:
        return None
    if number.country_code == _SPAIN:
        national = phonenumbers.national_significant_number(number)
        return national if _SPANISH_NUMBER.fullmatch(national) else None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _plain(value: Any) -> Any:
    """Return a text in NFC, in which lengths are counted; whether Allianz counts bytes is not known."""
    if not isinstance(value, str):
        return value
    if any(unicodedata.category(character) in _UNSENDABLE for character in value.strip()):
        raise PydanticCustomError("control-character", "has a character that no form sends")
    return unicodedata.normalize("NFC", value)


def _consent(value: Any) -> Any:
    """Let only a clear yes pass: a lead without consent is never passed on, whatever Allianz would take."""
    if value is True or (isinstance(value, str) and value.strip().lower() == "true"):
        return True
    if value is False or (isinstance(value, str) and value.strip().lower() == "false"):
        raise PydanticCustomError("no-consent", "the person did not accept the privacy policy; nothing is passed on")
    raise PydanticCustomError("not-a-boolean", "is true or false")


def _agent_id(text: str) -> str:
    if not is_agent_id(text):
        raise PydanticCustomError("agent-id-form", "has exactly 7 digits, leading zeros kept, such as 0051245")
    return text


def _nif(text: str) -> str:
    try:
        return parse_nif(text).value
    except NifError as error:
        if error.reason == "nif-form":
            raise PydanticCustomError("nif-form", "is neither DNI, NIE nor the number of an entity") from None
        raise PydanticCustomError("nif-control", "has another control character than its digits ask for") from None


def _phone(text: str) -> str:
    phone = to_phone(text) if len(text) <= MAX_UNSTATED else None
    if phone is None or len(phone) > _MAX_PHONE:
        raise PydanticCustomError("phone-form", "is no phone number: 9 digits of Spain, or one with its country code")
    return phone


def _email(text: str) -> str:
    if _EMAIL.fullmatch(text) is None:
        raise PydanticCustomError("email-form", "is not one e-mail address")
    return text


def _postal_code(text: str) -> str:
    if not is_postal_code(text):
        raise PydanticCustomError("postal-code-form", "has 5 digits, the first two 01 to 52, such as 08014")
    return text


def _number(value: Any) -> Any:
    """Take a number given as digits too; more than that is no code."""
    if isinstance(value, bool):
        raise PydanticCustomError("not-a-number", "is a whole number")
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= len("2147483647")):
        raise PydanticCustomError("not-a-number", "is a whole number")
    return value


def _code(value: Any) -> Any:
    """Take a code given as a number too."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _nothing(value: Any) -> Any:
    if value != "":
        raise PydanticCustomError("not-empty", "is empty until Allianz says what it is for")
    return value


def _at_most(length: int) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, min_length=1, max_length=length)


Text20 = Annotated[str, _at_most(20), BeforeValidator(_plain)]
Text25 = Annotated[str, _at_most(25), BeforeValidator(_plain)]
Text45 = Annotated[str, _at_most(45), BeforeValidator(_plain)]
Text50 = Annotated[str, _at_most(50), BeforeValidator(_plain)]
Text255 = Annotated[str, _at_most(255), BeforeValidator(_plain)]
Text999 = Annotated[str, _at_most(999), BeforeValidator(_plain)]
UnstatedText = Annotated[str, _at_most(MAX_UNSTATED), BeforeValidator(_plain)]
Consent = Annotated[bool, BeforeValidator(_consent)]
AgentId = Annotated[str, AfterValidator(_agent_id)]
NifText = Annotated[str, AfterValidator(_nif)]
Phone = Annotated[str, AfterValidator(_phone)]
Email = Annotated[Text50, AfterValidator(_email)]
PostalCode = Annotated[str, AfterValidator(_postal_code)]
Reason = Annotated[Literal["1", "2"], BeforeValidator(_code)]
Nothing = Annotated[Literal[""], BeforeValidator(_nothing)]
Number = Annotated[int, BeforeValidator(_number)]
