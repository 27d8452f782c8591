"""The parts of WeGroup's create-lead requests in its own names, and the forms of their fields.

The OpenAPI document is not public: what the page does not name passes unread. The requests stand in `lead_request`.
"""

import re
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from app.providers.checking import PlatformRequest

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WEB_ADDRESS = re.compile(r"https?://[^\s/?#@]+(?:[/?#][^\s]*)?", re.IGNORECASE)
_AMOUNT = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,10})?")


def _check_filled(value: str) -> str:
    if not value.strip():
        raise PydanticCustomError("empty", "must not be empty")
    return value


def _check_day(value: str) -> str:
    try:
        date.fromisoformat(value if _DAY.fullmatch(value) else "")
    except ValueError:
        raise PydanticCustomError("not-a-date", "is no day such as 1980-05-31") from None
    return value


def _check_web_address(value: str) -> str:
    if not _WEB_ADDRESS.fullmatch(value):
        raise PydanticCustomError("not-an-address", "is no address beginning with https:// or http://")
    return value


def _check_uuid(value: str) -> str:
    try:
        UUID(value)
    except ValueError:
        raise PydanticCustomError(
            "not-a-uuid", "is no UUID, by which policies, packages and coverages are tied"
        ) from None
    return value


def _to_amount_text(value: Any) -> Any:
    """Return an amount as text, the form of the page's examples; a number is written out."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
        raise PydanticCustomError("not-an-amount", "is no amount such as 300.50")
    return value


def _to_number(value: Any) -> Any:
    """Return an amount as a number, which the page's example has here, in the same object as amounts in text."""
    if isinstance(value, str):
        if not _AMOUNT.fullmatch(value):
            raise PydanticCustomError("not-an-amount", "is no amount such as 300.50")
        return float(value)
    return value


Filled = Annotated[str, AfterValidator(_check_filled)]
Day = Annotated[str, AfterValidator(_check_day)]
WebAddress = Annotated[str, AfterValidator(_check_web_address)]
UuidText = Annotated[str, AfterValidator(_check_uuid)]
AmountText = Annotated[str, BeforeValidator(_to_amount_text)]
AmountNumber = Annotated[float, BeforeValidator(_to_number), Field(allow_inf_nan=False)]


class WeGroupRequest(PlatformRequest):
    """An object of the request. Names that the page has not pass as they are; types are taken strictly."""

    model_config = ConfigDict(extra="allow", strict=True)


class Address(WeGroupRequest):
    """An address. The names of street and country are not documented; whatever they are, they pass."""

    zipcode: Filled | None = None
    housenr: Filled | None = None  # the page's error example: minimum length 1
    city: Filled | None = None  # the same


class ExternalRef(WeGroupRequest):
    """The lead's id in our system; with the distribution it is what a later call is merged by."""

    external_ref: Filled
    external_ref_company: Filled


class PolicyReference(WeGroupRequest):
    """A policy's id elsewhere; the same thing under other names than the lead's."""

    company: str | None = None
    ref: str | None = None


class ExternalLabel(WeGroupRequest):
    """A coverage's code in another scheme, such as 2010 of AFD."""

    label: str | None = None
    type: str | None = None


class RiskObject(WeGroupRequest):
    """What is insured. Its `id` is made by the caller; coverages point at it."""

    id: UuidText | None = None
    vin: str | None = None
    address: Address | None = None


class RiskObjects(WeGroupRequest):
    """Collections by kind. Two are on the page; others are taken for collections as well."""

    __pydantic_extra__: dict[str, list[RiskObject] | None] = Field(init=False)

    cars: list[RiskObject] | None = None
    residences: list[RiskObject] | None = None

    def collections(self) -> Iterator[tuple[str, list[RiskObject]]]:
        """Yield every collection with its kind."""
        named = (("cars", self.cars), ("residences", self.residences))
        for kind, members in (*named, *self.__pydantic_extra__.items()):
            yield kind, members or []


class PolicyPackage(WeGroupRequest):
    """A package that policies belong to by its `id`, which the caller makes."""

    id: UuidText | None = None
    name: str | None = None
    package_nr: str | None = None
    insurance_company: str | None = None
    premium: AmountText | None = None
    payment_interval: str | None = None  # only ANNUAL is seen


class Coverage(WeGroupRequest):
    """A coverage of a policy, of a risk object by its `id`."""

    name: str | None = None
    external_label: ExternalLabel | None = None
    risk_object_id: UuidText | None = None
    insured_value: AmountNumber | None = None
    premium: AmountText | None = None
    payment_interval: str | None = None


class InsurancePolicy(WeGroupRequest):
    """A policy. `type` is a state; only ACTIVE is seen."""

    name: str | None = None
    policy_nr: str | None = None
    policy_package_id: UuidText | None = None
    type: str | None = None
    insurance_company: str | None = None
    external_refs: list[PolicyReference] | None = None
    coverages: list[Coverage] | None = None
