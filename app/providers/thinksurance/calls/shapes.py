"""Holds what the requests to Thinksurance have in common: names, e-mail addresses, addresses, days.

Which request has which fields stands in the modules beside this one.
"""

import re
from contextlib import suppress
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from app.providers.checking import PlatformRequest

# V1.1 Broker Forward, notice on e-mail addresses: no blanks, no special characters, so no trailing `;` either.
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9-]*[A-Za-z]")
_WEB_ADDRESS = re.compile(r"https?://[^\s/?#@]+(?:[/?#][^\s]*)?", re.IGNORECASE)


class ThinksuranceRequest(PlatformRequest):
    """A request in Thinksurance's names (`bExternalId`). Types are taken strictly: what is sent is what was given."""

    model_config = ConfigDict(alias_generator=to_camel, strict=True)

    def body(self) -> dict[str, Any]:
        """Return the JSON to send. An empty text is sent, for it can mean to delete; null means nothing and is not."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)


def _check_email(value: str) -> str:
    local, at, domain = value.partition("@")
    if value and (not at or not _LOCAL.fullmatch(local) or not _DOMAIN.fullmatch(domain)):
        raise PydanticCustomError(
            "not-an-email", "is no plain e-mail address: one @, no blanks, no ; and no special characters"
        )
    return value


def _check_filled(value: str) -> str:
    if not value.strip():
        raise PydanticCustomError("empty", "must not be empty")
    return value


def _check_not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "is a number, not true or false")
    return value


def _check_day(value: str) -> str:
    day = None
    with suppress(ValueError):
        day = date.fromisoformat(value)
    if value and (day is None or str(day) != value):
        raise PydanticCustomError("not-a-date", "is no day such as 1980-05-31")
    return value


def _check_web_address(value: str) -> str:
    if not _WEB_ADDRESS.fullmatch(value):
        raise PydanticCustomError("not-an-address", "is no address beginning with https:// or http://")
    return value


NotBool = BeforeValidator(_check_not_bool)
"""Beside a Literal of numbers, which takes true for 1 even when it is strict."""
# An empty text passes where the field is optional, as in all others.
Email = Annotated[str, AfterValidator(_check_email)]
FilledEmail = Annotated[str, AfterValidator(_check_filled), AfterValidator(_check_email)]
Filled = Annotated[str, AfterValidator(_check_filled)]
# The page gives no form; the IP Notification Response, which brings it back, has YYYY-MM-DD.
Day = Annotated[str, AfterValidator(_check_day)]
WebAddress = Annotated[str, AfterValidator(_check_web_address)]
