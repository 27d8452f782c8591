"""Says which inquiry an item is about, and which broker it names, the same way for receiver and processor.

All other fields are `reading`'s.
"""

import re
from collections.abc import Mapping
from typing import Any

from app.providers.tables import as_list, record_key
from app.providers.values import Warn, is_unknown, platform_id, text

_SLASHES = re.compile(r"/|%(?=2F|25)")


def _silent(_reason: str) -> None:
    """Take no warning: the reader says them, the finder need not."""


def find_inquiry_id(data: Any, key: str | None, warn: Warn = _silent) -> int | None:
    """Return `iId` of an item's `data`, else of its key in the dictionary; None if that is no positive 64-bit number.

    In the documentation's example of the dictionary the key and the `iId` inside differ: the inner one counts, and
    the key only where there is none.
    """
    inner = data.get("iId") if isinstance(data, dict) else None
    if type(inner) is int and 0 < inner < 1 << 63:
        return inner
    if not is_unknown(inner):
        return platform_id(inner, warn)
    return None if key is None else platform_id(key, _silent)  # a key is always text


def find_broker(value: Any, warn: Warn = _silent) -> str | None:
    """Return the partner's own id of a broker: `bExternalId`, in notifications `brokerReference`."""
    return None if is_unknown(value) else text(value, warn)


def inquiry_subject(inquiry_id: int) -> str:
    """Return the subject of an inquiry's events."""
    return f"inquiry/{inquiry_id}"


def find_reference(value: Any) -> tuple[str, str] | None:
    """Return `referenceType` and `referenceId` of an affected thing; None if it lacks one."""
    if not isinstance(value, dict):
        return None
    kind, name = (find_broker(value.get(field)) for field in ("referenceType", "referenceId"))
    return None if kind is None or name is None else (kind, name)


def reference_subject(kind: str, name: str) -> str:
    """Return the subject of events about an affected thing; a slash in its type is percent-written (decision 0013)."""
    written = _SLASHES.sub(lambda found: f"%{ord(found[0]):02X}", kind)
    return record_key("", f"{written}/{name}")


def find_notification_subject(value: Mapping[str, Any]) -> str | None:
    """Return what a V2 notification is about: its first inquiry, else its first reference, else itself."""
    first: str | None = None
    for _, reference in as_list(value.get("affected")):
        pair = find_reference(reference)
        if pair is None:
            continue
        kind, name = pair
        if kind.casefold() == "inquiry":
            number = platform_id(name, _silent)
            return reference_subject("inquiry", name) if number is None else inquiry_subject(number)
        first = first or reference_subject(kind, name)
    if first is not None:
        return first
    own = find_broker(value.get("notificationId"))
    return None if own is None else reference_subject("notification", own)
