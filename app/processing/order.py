"""Says which of two events is the newer news: by a key that compares as text.

Where the effective time comes from is the platform reader's business.
"""

from datetime import datetime
from uuid import UUID

from app.ids import derived_id
from app.times import to_epoch_ms

_BEFORE_ANY_DATE = 1 << 48  # so that a date before 1970 is no negative number

EFFECTIVE_DIGITS = 13
"""So many characters of a key are its effective time."""

_DELIVERY_DIGITS = 32
_INDEX_DIGITS = 6


def order_key(effective_at: datetime, delivery_id: UUID, index: int) -> str:
    """Return the key of an item: its effective time, then its receipt. A higher one is newer news."""
    millis = to_epoch_ms(effective_at) + _BEFORE_ANY_DATE
    return f"{millis:0{EFFECTIVE_DIGITS}x}{receipt_key(delivery_id, index)}"


def receipt_key(delivery_id: UUID, index: int) -> str:
    """Return the key of an item by its receipt alone."""
    return f"{delivery_id.hex}{index:0{_INDEX_DIGITS}x}"


def receipt_in(key: str) -> str:
    """Return the receipt that a key of either kind ends with."""
    return key[-_DELIVERY_DIGITS - _INDEX_DIGITS :]


def delivery_in(key: str) -> UUID:
    """Return the delivery that a key names."""
    return UUID(receipt_in(key)[:_DELIVERY_DIGITS])


def event_in(key: str) -> UUID:
    """Return the event that a key is of."""
    return derived_id(delivery_in(key), int(key[-_INDEX_DIGITS:], 16))
