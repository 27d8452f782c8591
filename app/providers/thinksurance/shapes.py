"""Tells apart the forms in which Thinksurance sends: one item, a dictionary of items, a list, notifications, an error.

Whether an item is signed and usable is `finding`'s, what it says is `reading`'s.
"""

from collections.abc import Iterator
from enum import Enum, auto
from typing import Any, NamedTuple

from app.ingest.contract import MOST_ITEMS, Reason


class Kind(Enum):
    """What a member of a delivery is."""

    INQUIRY = auto()
    NOTIFICATION = auto()
    UNKNOWN = auto()


class Found(NamedTuple):
    """A member of a delivery: what it is, its key in a dictionary, and the name or position that leads to it."""

    kind: Kind
    value: Any
    key: str | None = None
    place: str | None = None


def kind_of(value: Any) -> Kind:
    """Return what one value is.

    An item is an object with `data` and `sHash` (IP Notification Response); either alone is enough to try, for an
    item without signature is judged by the source's mode and one without data is told as unusable. A notification is
    an object with `eventType` (V2 Notification).
    """
    if type(value) is not dict:
        return Kind.UNKNOWN
    data = value.get("data")
    if "sHash" in value or (type(data) is dict and ("iId" in data or "eventType" not in value)):
        return Kind.INQUIRY
    return Kind.NOTIFICATION if "eventType" in value else Kind.UNKNOWN


def recognise(value: Any) -> list[Found] | Reason:
    """Return the members of a delivery, at least one of a known kind, or the reason why there are none."""
    kind = kind_of(value)
    if kind is not Kind.UNKNOWN:
        return [Found(kind, value)]
    if value is None or value in ({}, []):
        return Reason.NOTHING_IN_IT
    if isinstance(value, dict | list):
        children = value.values() if isinstance(value, dict) else value
        if len(children) <= MOST_ITEMS and any(kind_of(child) is not Kind.UNKNOWN for child in children):
            return list(_members(value))
    if isinstance(value, dict) and "error" in value:
        # All errors of V1 and V1.1 look so, for long with status 200; seen in answers, possible in a push.
        return Reason.PLATFORM_ERROR
    return Reason.UNKNOWN_SHAPE


def _members(value: dict[str, Any] | list[Any]) -> Iterator[Found]:
    """Yield the members of a dictionary by inquiry id (the documented form) or of a list (older wording, V2)."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield Found(kind_of(child), child, key, key)
    else:
        for index, child in enumerate(value):
            yield Found(kind_of(child), child, None, str(index))
