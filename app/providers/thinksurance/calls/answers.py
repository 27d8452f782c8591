"""Reads what Thinksurance answers: tells an error from a success whatever the status, and takes what it can use.

The shapes are those of the pages and of their examples, which differ; unknown names are passed over.
"""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson

from app.crypto import mask_tokens
from app.ingest.contract import Reason, Warned
from app.providers.calling import Answer, CallError, RefusedError, UnusableAnswerError
from app.providers.tables import as_list
from app.providers.thinksurance.calls.agency_numbers import AGENCY_NUMBERS, AgencyNumbersAdded
from app.providers.thinksurance.calls.brokers import (
    ACCOUNT_TOKENS,
    BROKER_TOKENS,
    CREATE_BROKER,
    AccountToken,
    BrokerToken,
    CreatedBroker,
)
from app.providers.thinksurance.calls.forward import FORWARD, Forwarded
from app.providers.thinksurance.shapes import recognise
from app.providers.values import platform_id

_MAX_SAID = 1000

Heard = TypeVar("Heard")


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A product or profession."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Pulled:
    """Notifications that were asked for: the bytes as they came, to be kept like a push, and how many they hold."""

    body: bytes = field(repr=False)
    content_type: str
    count: int


async def judge(sending: Awaitable[Answer], call: str) -> Answer:
    """Return the answer that `sending` brings if it is no error, whatever its status.

    Raises:
        RefusedError: the body is an object with `error`; all examples show it with status 200.
        CallError: as `Caller.send` says, with the platform's words where it had some.
    """
    return check(call, await heard(sending))


async def heard(sending: Awaitable[Heard]) -> Heard:
    """Return what `sending` brings; an error of it has the platform's words where it had some."""
    try:
        return await sending
    except CallError as error:
        if error.answer is not None and error.said is None:
            error.said = _said(error.answer.value)
        raise


def check(call: str, answer: Answer) -> Answer:
    """Return `answer` unless it is an error."""
    if (said := _said(answer.value)) is not None:
        raise RefusedError(call, f"answered {answer.status} with an error", answer=answer, said=said)
    return answer


def _said(value: Any) -> str | None:
    """Return the words of an error, None if it is none; an empty `error` beside something else is none."""
    if not isinstance(value, dict) or "error" not in value or (not value["error"] and len(value) > 1):
        return None
    error = value["error"]
    words = error if isinstance(error, str) else orjson.dumps(error).decode()
    return mask_tokens(words)[:_MAX_SAID]


def find_text(value: Any, name: str) -> str | None:
    """Return the member `name` of an object as text that is not blank."""
    found = value.get(name) if isinstance(value, dict) else None
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    return found.strip() or None if isinstance(found, str) else None


def to_forwarded(answer: Answer, warnings: tuple[Warned, ...]) -> Forwarded:
    """Return the answer of a forward. `inquiryId` can be missing: the inquiry is then made later, at Switch."""
    url = find_text(answer.value, "url")
    if url is None:
        raise UnusableAnswerError(FORWARD, "the answer has no url", answer=answer, may_have_happened=True)
    return Forwarded(url, _find_id(answer.value, "inquiryId"), find_text(answer.value, "inquiryHash"), warnings)


def to_agency_numbers(answer: Answer, warnings: tuple[Warned, ...]) -> AgencyNumbersAdded:
    """Return what was said; in a list, which the page's text promises, one error makes the whole a refusal."""
    rows = _rows(answer.shown)
    for row in rows:
        if (said := _said(row)) is not None:
            detail = "answered an error for a part"
            raise RefusedError(AGENCY_NUMBERS, detail, answer=answer, said=said, may_have_happened=True)
    statuses = [find_text(row, "status") for row in rows]
    return AgencyNumbersAdded(tuple(status for status in statuses if status is not None), warnings)


def to_broker_tokens(answer: Answer) -> tuple[BrokerToken, ...]:
    """Return the tokens of an object (V1.1), or of a list of them (an older version, and V1)."""
    rows = [(find_text(row, "bToken"), find_text(row, "status")) for row in _rows(answer.value)]
    tokens = tuple(BrokerToken(token, status) for token, status in rows if token is not None)
    if not tokens:
        raise UnusableAnswerError(BROKER_TOKENS, "the answer has no bToken", answer=answer)
    return tokens


def to_created_broker(answer: Answer) -> CreatedBroker:
    """Return what the answer has; the page of it is cut, so nothing is demanded but that it is an object."""
    rows = _rows(answer.shown)
    if not rows:
        detail = "the answer is no object"
        raise UnusableAnswerError(CREATE_BROKER, detail, answer=answer, may_have_happened=True)
    return CreatedBroker(find_text(rows[0], "bToken"), find_text(rows[0], "status"))


def to_account_tokens(answer: Answer) -> tuple[AccountToken, ...]:
    """Return the tokens of an object (V1.1; its example has no `name`), or of a list of them (V1)."""
    rows = [(find_text(row, "aToken"), find_text(row, "name")) for row in _rows(answer.value)]
    tokens = tuple(AccountToken(token, name) for token, name in rows if token is not None)
    if not tokens:
        raise UnusableAnswerError(ACCOUNT_TOKENS, "the answer has no aToken", answer=answer)
    return tokens


def to_catalog(call: str, answer: Answer) -> tuple[CatalogEntry, ...]:
    """Return the entries that have an id and a name."""
    if not isinstance(answer.value, list) and answer.value != {} and not as_list(answer.value):
        raise UnusableAnswerError(call, "the answer is no list", answer=answer)
    rows = [(_find_id(row, "id"), find_text(row, "name")) for row in _rows(answer.value)]
    return tuple(CatalogEntry(id_, name) for id_, name in rows if id_ is not None and name is not None)


def to_pulled(call: str, answer: Answer) -> Pulled:
    """Return what was pulled: one item, a dictionary or a list of items, or none."""
    found = recognise(answer.value)
    if found is Reason.NOTHING_IN_IT:
        return Pulled(answer.body, answer.content_type, 0)
    if isinstance(found, Reason):
        raise UnusableAnswerError(call, "the answer holds no notifications", answer=answer)
    return Pulled(answer.body, answer.content_type, len(found))


def _rows(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list, or the one object alone; PHP may number the members of a list."""
    members = [member for _, member in as_list(value)] or [value]
    return [member for member in members if isinstance(member, dict)]


def _find_id(value: Any, name: str) -> int | None:
    found = value.get(name) if isinstance(value, dict) else None
    return None if found is None else platform_id(found, lambda _: None)
