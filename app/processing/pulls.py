"""Says what a pulled delivery is: why it was asked for, and by what two items are found to say the same.

Pulling is `app.backfill`'s business; what pulls tell of pushes is judged in `confirming` and `missing`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

from app.ingest.bodies import header_value
from app.ingest.contract import VIAS, Part

PUSH, PULL = VIAS.index("push"), VIAS.index("pull")

CAUSE = "callbox-cause"
SUBJECT = "callbox-subject"
BROKER = "callbox-broker"
"""Headers of our own that a pulled delivery has beside its content type; of a push they mean nothing."""


class Cause(StrEnum):
    """Why something was pulled."""

    SEARCH = "search"
    """Everything of the last days was asked for."""
    ASKED = "asked"
    """Somebody asked for this inquiry."""
    NOTIFICATION = "notification"
    """A thin notification referred to it."""
    RETURN = "return"
    """A push was what an earlier one had been, with another in between."""
    TOKEN = "token"  # noqa: S105 - a word
    """The token of its documents ends."""
    REFERENCE = "reference"
    """A link of a notification led to it: it is kept as it came, and no item is looked for in it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a link led to: the subject that the notification named, and the notification's broker."""

    subject: str
    broker: str | None


def pull_headers(
    content_type: str, cause: Cause, subject: str | None = None, broker: str | None = None
) -> list[tuple[str, str]]:
    """Return the headers of a pulled delivery."""
    given = (("content-type", content_type), (CAUSE, str(cause)), (SUBJECT, subject), (BROKER, broker))
    return [(name, value) for name, value in given if value]


def find_kept(via: int, headers: Sequence[tuple[str, str]]) -> Kept | None:
    """Return what a delivery is that holds no item by intention, None for all others."""
    if via != PULL or header_value(headers, CAUSE) != Cause.REFERENCE:
        return None
    return Kept(header_value(headers, SUBJECT), header_value(headers, BROKER) or None)


def content_of(parts: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the digest of what an item says of an inquiry and its customer: without signature, tokens and links."""
    said = {part["kind"]: part["fields"] for part in parts if part["kind"] in {"inquiry", "customer"}}
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()


CONTENT: Final = """
(SELECT sha256(convert_to(jsonb_object_agg(p ->> 'kind', p -> 'fields')::text, 'UTF8'))
    FROM jsonb_array_elements(e.parts) p WHERE p ->> 'kind' IN ('inquiry', 'customer'))
"""
"""SQL for another digest of the same, of an event `e`; null for one that only announces something."""


def parts_json(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """Return parts as they are stored with their event."""
    return [{"kind": part.kind, "keys": list(part.keys), "fields": dict(part.fields)} for part in parts]
