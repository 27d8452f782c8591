"""Reads how long a platform asks to be left alone (`Retry-After`, RFC 9110, 10.2.3).

What is done about it is the caller's business.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from app.times import now

_MOST_SECONDS = 86_400.0


def wait_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait, a day at most; None where the answer tells of no wait.

    A date is compared with the answer's own, for the platform's clock need not be ours.
    """
    told = headers.get("retry-after", "").strip()
    if told.isascii() and told.isdigit():
        return min(float(told), _MOST_SECONDS) or None
    until = _find_moment(told)
    if until is None:
        return None
    moment = _find_moment(headers.get("date", "")) or now()
    return min(max((until - moment).total_seconds(), 0.0), _MOST_SECONDS) or None


def _find_moment(text: str) -> datetime | None:
    """Return the moment that an HTTP date names, None for anything else."""
    try:
        moment = parsedate_to_datetime(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
