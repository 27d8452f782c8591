"""Checks Spanish tax numbers (DNI, NIE, K, L, M and entities) and brings them into their nine characters.

Whether Allianz takes each kind is not documented: every valid one is sent, and Allianz may refuse it.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from stdnum.es import cif, dni, nie
from stdnum.exceptions import ValidationError

_NOISE = re.compile(r"[\s.\-]")
_SHORT_DNI = re.compile(r"[0-9]{1,7}[A-Z]")
_DNI = re.compile(r"[0-9]{8}[A-Z]")
_NIE = re.compile(r"[XYZ][0-9]{7}[A-Z]")
_PERSON_WITHOUT_DNI = re.compile(r"[KLM][0-9A-Z]{7}[A-Z]")
_ENTITY = re.compile(r"[ABCDEFGHJNPQRSUVW][0-9]{7}[0-9A-J]")
_LENGTH = 9
_LETTER_KEYS = frozenset("PQRSW")
_DIGIT_KEYS = frozenset("ABEH")
_NON_RESIDENT = "00"

Kind = Literal["dni", "nie", "klm", "entity"]


class NifError(ValueError):
    """A tax number is none; `reason` is a short code. The number itself is never in the text."""

    def __init__(self, reason: Literal["nif-form", "nif-control"]) -> None:
        super().__init__(_TEXTS[reason])
        self.reason = reason


_TEXTS = {
    "nif-form": "is neither DNI, NIE nor the number of an entity",
    "nif-control": "has another control character than its digits ask for",
}


@dataclass(frozen=True, slots=True)
class Nif:
    """A tax number in nine characters, its kind, and what was odd though not wrong."""

    value: str = field(repr=False)
    kind: Kind
    warnings: tuple[str, ...] = ()


def parse_nif(text: str) -> Nif:
    """Return the number in `text`: upper case, without blanks, dots, hyphens and `ES`, a DNI padded to eight digits.

    Raises:
        NifError: it has no form of a tax number, or the control character is wrong.
    """
    number = _NOISE.sub("", text).upper().removeprefix("ES")  # no entity begins so: its second place is a digit
    if _SHORT_DNI.fullmatch(number):
        number = number.rjust(_LENGTH, "0")  # the first digits may be zeros (AEAT, NIF of natural persons)
    if _DNI.fullmatch(number):
        return _checked(number, "dni", dni.calc_check_digit(number[:-1]))
    if _NIE.fullmatch(number):
        return _checked(number, "nie", nie.calc_check_digit(number[:-1]))
    if _PERSON_WITHOUT_DNI.fullmatch(number):
        return _person_without_dni(number)
    if _ENTITY.fullmatch(number):
        return _entity(number)
    raise NifError("nif-form")


def _checked(number: str, kind: Kind, control: str) -> Nif:
    if number[-1] != control:
        raise NifError("nif-control")
    return Nif(number, kind)


def _person_without_dni(number: str) -> Nif:
    """Check K, L and M by the DNI's table; the law allows letters inside, which no published rule checks."""
    inner = number[1:-1]
    if not inner.isdecimal():
        return Nif(number, "klm", ("nif-unchecked",))
    return _checked(number, "klm", dni.calc_check_digit(inner))


def _entity(number: str) -> Nif:
    """Check an entity's number in either form of its control character, for the sources disagree on which is due."""
    try:
        cif.validate(number)
    except ValidationError:
        raise NifError("nif-control") from None
    is_digit = number[-1].isdecimal()
    due_letter = number[0] in _LETTER_KEYS or number[1:3] == _NON_RESIDENT
    due_digit = number[0] in _DIGIT_KEYS and number[1:3] != _NON_RESIDENT
    odd = (due_letter and is_digit) or (due_digit and not is_digit)
    return Nif(number, "entity", ("nif-unusual-control",) if odd else ())
