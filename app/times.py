"""Speaks of time as the API does: UTC, milliseconds, `Z`.

How a platform writes its dates is that platform's reader's business.
"""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


def from_epoch_ms(millis: int) -> datetime:
    """Return the moment `millis` milliseconds after 1970 in UTC; exact, without floats."""
    return _EPOCH + millis * _MILLISECOND


def to_epoch_ms(moment: datetime) -> int:
    """Return the whole milliseconds between 1970 and `moment`; exact, without floats."""
    return (moment - _EPOCH) // _MILLISECOND


def to_text(moment: datetime) -> str:
    """Return RFC 3339 in UTC with milliseconds, such as `2025-03-09T10:01:02.345Z`."""
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return f"{in_utc.isoformat('T', 'milliseconds')[:-6]}Z"


def to_moment(text: str) -> datetime:
    """Return the moment that an ISO 8601 text with a zone says, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)
