"""Holds the request and the answer of V1.1 Broker Forward, every parameter of its page.

Sending is `client`'s; that the redirect address goes to the caller once and nowhere else, the submissions room's.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from app.ingest.contract import Warned
from app.providers.checking import FieldProblem, check_request
from app.providers.thinksurance.calls.shapes import Day, Email, Filled, NotBool, ThinksuranceRequest, WebAddress

FORWARD = "thinksurance.forward"

_NEEDS_BROKER_ID = 1
_CALL_BACK = 0
_CREATE_NOW = "True"


class Reference(ThinksuranceRequest):
    """A reference in the partner's system (External References definition).

    An empty `paramValue` deletes the one with the same origin and key at Thinksurance.
    """

    # The values are out of an older version of the page, this one's list is lost.
    origin: Literal["crm", "broker_crm", "insurer"]
    param_key: Filled
    param_value: str | None = None


class Question(ThinksuranceRequest):
    """A question, by its id or tag, with its answers: texts, or ids of Thinksurance's answers."""

    id: Filled
    answers: list[str]


class Category(ThinksuranceRequest):
    """A cluster of questions; its id is a number as text, or `default`."""

    id: Annotated[str, Field(pattern=r"^(?:[0-9]+|default)$")]
    questions: list[Question]


class Questionnaire(ThinksuranceRequest):
    """Answers to fill in beforehand. Of the values of `source` only `crm` is known, so others pass."""

    source: Filled
    categories: list[Category]


class BrokerForward(ThinksuranceRequest):
    """The body of a forward. Enumerations whose values the page's copy lost are open."""

    # Broker parameters
    type: Annotated[Literal[1, 2], NotBool]
    b_external_id: Filled
    b_gender: Annotated[Literal[1, 2], NotBool] | None = None
    b_first_name: str | None = None
    b_last_name: str | None = None
    b_email: Email | None = None
    b_company: str | None = None
    b_street: str | None = None
    b_street_number: str | None = None
    b_zip: str | None = None
    b_city: str | None = None
    b_phone: str | None = None
    b_company_reg_number: str | None = None
    b_reg_number: str | None = None
    # Not on the page: the newsletter of 12.03.2025 names it, without a type.
    b_is_active: bool | int | str | None = None

    # Callback parameters
    full_callback: int | None = None
    callback_url: WebAddress | None = None
    mvp_full_callback: int | None = None
    mvp_callback_url: WebAddress | None = None

    # Customer parameters
    c_external_id: Filled | None = None
    c_salutation: Annotated[Literal[1, 2], NotBool] | None = None
    c_first_name: str | None = None
    c_last_name: str | None = None
    c_birth_date: Day | None = None
    c_email: Email | None = None
    c_street: str | None = None
    c_street_number: str | None = None
    c_zip: str | None = None
    c_city: str | None = None
    c_website: str | None = None
    c_phone: str | None = None
    c_private_is_company_address: Annotated[Literal[0, 1], NotBool] | None = None
    c_company: str | None = None
    c_legal_form: int | None = None
    c_company_street: str | None = None
    c_company_street_number: str | None = None
    c_company_zip: str | None = None
    c_company_city: str | None = None
    c_bank_iban: str | None = None
    c_bank_bic: str | None = None
    c_bank_name: str | None = None
    c_bank_account_holder: str | None = None
    c_account_type: int | None = None
    c_external_references: list[Reference] | None = None
    crm_ident: str | None = None

    # Inquiry parameters
    instant_inquiry_creation: Literal["True", "False"] | None = None
    product_id: Annotated[int, Field(gt=0)] | None = None
    profession_id: Annotated[int, Field(gt=0)] | None = None
    # Not on the page: the openVIVA page says that references of this inquiry are then updated.
    i_id: Annotated[int, Field(gt=0)] | None = None
    i_external_references: list[Reference] | None = None

    # Questionnaire parameters
    qas_cust_profile: Questionnaire | None = None

    @property
    def creates_inquiry(self) -> bool:
        """Say whether the answer should bring an inquiry."""
        return self.instant_inquiry_creation == _CREATE_NOW

    @property
    def is_repeatable(self) -> bool:
        """Say whether sending it twice does no more than once: nothing is made that has no id of the partner's."""
        names_customer = any(name.startswith("c_") for name in self._given())
        return not self.creates_inquiry and (self.c_external_id is not None or not names_customer)

    def conditions(self) -> Iterator[FieldProblem]:
        """Yield what the page's footnotes ask for and is not there."""
        if self.full_callback == _CALL_BACK and self.callback_url is None:
            yield _missing("callbackUrl", "fullCallback is 0")
        if self.mvp_full_callback == _CALL_BACK and self.mvp_callback_url is None:
            # The footnote's text is cut off; the description says the same of both pairs.
            yield _missing("mvpCallbackUrl", "mvpFullCallback is 0")
        if self.instant_inquiry_creation is not None and self.type != _NEEDS_BROKER_ID:
            detail = "is available only if type is 1"
            yield FieldProblem(("instantInquiryCreation",), "not-available", detail)
        if self.creates_inquiry:
            for name, value in (
                ("cExternalId", self.c_external_id),
                ("productId", self.product_id),
                ("professionId", self.profession_id),
            ):
                if value is None:
                    yield _missing(name, 'instantInquiryCreation is "True"')

    def warnings(self) -> Iterator[Warned]:
        """Yield what will be sent and may not do what was meant."""
        at_switch = self.product_id is not None and self.profession_id is not None
        if not self.creates_inquiry and not at_switch:
            if self.qas_cust_profile is not None:
                yield Warned("qasCustProfile", "dropped-without-inquiry")
            if self.i_external_references and self.i_id is None:
                yield Warned("iExternalReferences", "dropped-without-inquiry")
        for name, references in (
            ("cExternalReferences", self.c_external_references),
            ("iExternalReferences", self.i_external_references),
        ):
            seen = set()
            for index, reference in enumerate(references or ()):
                key = (reference.origin, reference.param_key)
                if key in seen:
                    yield Warned(f"{name}.{index}", "same-key-twice")
                seen.add(key)

    def _given(self) -> Iterable[str]:
        return (name for name in self.model_fields_set if getattr(self, name) is not None)


@dataclass(frozen=True, slots=True)
class PreparedForward:
    """A forward that was checked, as it will be sent, and what to warn of."""

    request: BrokerForward
    warnings: tuple[Warned, ...] = ()


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The answer of a forward.

    `url` leads the user's browser to the Switch action: opaque, and as good as a login. It is the caller's alone and
    never fetched, kept or logged; the repr leaves it out.
    """

    url: str = field(repr=False)
    inquiry_id: int | None = None
    inquiry_hash: str | None = field(default=None, repr=False)
    warnings: tuple[Warned, ...] = ()


def prepare_forward(
    data: Mapping[str, Any], *, callback_url: str | None = None, test_callback_url: str | None = None
) -> PreparedForward:
    """Return a forward with the callbacks registered; an address that is not given leaves its pair as it is in `data`.

    0 is the value that makes Thinksurance use the address (Callback Parameters); what `data` says of such a pair is
    replaced, with a warning where it said something else.

    Raises:
        InvalidRequestError: names every field that is wrong.
    """
    merged, warnings = dict(data), []
    for address, switch, name in (
        (callback_url, "fullCallback", "callbackUrl"),
        (test_callback_url, "mvpFullCallback", "mvpCallbackUrl"),
    ):
        if address is None:
            continue
        pair = {switch: _CALL_BACK, name: address}
        warnings += [Warned(field, "replaced") for field in pair if merged.get(field) not in (None, pair[field])]
        merged |= pair
    request = check_request(FORWARD, BrokerForward, merged)
    return PreparedForward(request, (*warnings, *request.warnings()))


def _missing(name: str, because: str) -> FieldProblem:
    return FieldProblem((name,), "missing", f"is required, for {because}")
