"""Reads notifications of V2: thin, unsigned, with references to what changed; the data are fetched elsewhere.

Following the links is the back-fill's business, telling a repeat the processor's (by `repeat_key`).
"""

import hashlib
from typing import Any

import orjson

from app.ingest.contract import Item, Receipt, Statement
from app.providers.dates import find_day, find_instant
from app.providers.masking import mask_item
from app.providers.snake_case import snake_case
from app.providers.tables import Notes, as_list
from app.providers.thinksurance.fields import CREDENTIALS, HOLDERS, PLAIN
from app.providers.thinksurance.identity import find_broker, find_notification_subject, find_reference
from app.providers.values import is_unknown

# The documented table and both generations of examples; `translations` and its older name are in no table.
_NAMES = frozenset(
    {
        "eventType",
        "eventTime",
        "eventId",
        "notificationId",
        "accountReference",
        "brokerReference",
        "translations",
        "eventNameTranslations",
        "affected",
    }
)
_REFERENCE_NAMES = frozenset({"referenceType", "referenceId", "links"})
_LINK_NAMES = frozenset({"contentType", "href"})
_MAX_ID = 200

# Both generations of the list of event types, as `snake_case` writes them.
_EVENT_TYPES = frozenset(
    {
        "inquiry_created",
        "inquiry_updated",
        "inquiry_proposal_created",
        "inquiry_ordered",
        "inquiry_cancelled",
        "tender_created",
        "tender_closed",
        "tender_cancelled",
        "offers_created",
        "offer_selected",
        "booking_created",
        "proposal_created",
        "contract_created",
    }
)
_REFERENCE_TYPES = frozenset(
    {"inquiry", "consultation", "customer", "booking", "contract", "file", "offer", "questionnaire", "tender"}
)


def read_notification(item: Item, receipt: Receipt) -> Statement:
    """Say what a V2 notification says: an event about its subject; it changes no record."""
    value: dict[str, Any] = item.value
    notes = Notes(item.notes)
    event_type = snake_case(find_broker(value.get("eventType"), notes.on("eventType")) or "")
    if event_type and event_type not in _EVENT_TYPES:
        notes.add("eventType", "unknown-value")
    _check_references(value.get("affected"), notes)
    notes.unknown_names("", value, _NAMES)
    stated = value.get("eventTime")
    occurred_at = None if is_unknown(stated) else find_instant(stated, receipt.zone)
    if occurred_at is None and not is_unknown(stated):
        notes.add("eventTime", "not-a-time")
    return Statement(
        type=f"thinksurance.notification.{event_type or 'unknown'}",
        subject=item.subject or find_notification_subject(value) or f"notification/{receipt.delivery_id}",
        effective_at=receipt.received_at,
        data=mask_item(value, CREDENTIALS, HOLDERS, PLAIN),
        broker=find_broker(value.get("brokerReference"), notes.on("brokerReference")),
        occurred_at=occurred_at,
        occurred_on=find_day(stated) if occurred_at is None else None,
        repeat_key=_repeat_key(value),
        warnings=notes.all(),
    )


def _check_references(affected: Any, notes: Notes) -> None:
    """Note references that name nothing, and types and names that are not documented."""
    members = as_list(affected)
    if not members and not is_unknown(affected):
        notes.add("affected", "wrong-type")
    for index, member in members:
        reference = find_reference(member)
        if reference is None:
            notes.add(f"affected.{index}", "incomplete-reference")
        elif reference[0] not in _REFERENCE_TYPES and reference[0].casefold() not in _REFERENCE_TYPES:
            notes.add(f"affected.{index}.referenceType", "unknown-value")
        if isinstance(member, dict):
            notes.unknown_names(f"affected.{index}.", member, _REFERENCE_NAMES)
            for number, link in as_list(member.get("links")):
                if isinstance(link, dict):
                    notes.unknown_names(f"affected.{index}.links.{number}.", link, _LINK_NAMES)


def _repeat_key(value: dict[str, Any]) -> str:
    """Return what a repeat has in common with the first: `notificationId` and content.

    Never `eventId`, which is empty in an example. Retries are documented (three attempts), their form is not.
    """
    digest = hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
    name = find_broker(value.get("notificationId")) or ""
    return f"{name[:_MAX_ID]}:{digest}"
