"""Asks what pulls tell that needs somebody: gaps, searches that fail, signatures that deviate."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import and_

from app.query.noticing import Asking, Counted, number
from app.query.shapes import path
from app.storage.models import gaps, pulled, searches

_SINCE: Final = timedelta(days=7)
"""What was missed before is no news."""


def _gaps(asking: Asking) -> Counted:
    own, since = gaps.c, asking.moment - _SINCE
    return Counted(
        gaps,
        and_(own.late_at.is_(None), own.found_at >= since),
        own.missed_since,
        lambda count, source: (
            "gaps",
            "error",
            (
                f"{number(count, 'callback', 'callbacks')} of {source} never came in the last week;"
                " pulls brought what was missed."
            ),
            path("/v1/gaps", [("source", source), ("late_at[null]", "true"), ("found_at[gte]", "-7d")]),
        ),
    )


def _failing(_: Asking) -> Counted:
    own = searches.c
    return Counted(
        searches,
        own.failed_at.is_not(None),
        own.failed_at,
        lambda count, source: (
            "search-failing",
            "error",
            f"{source} cannot be asked for what was missed ({number(count, 'token', 'tokens')}); `/v1/jobs` says why.",
            f"/v1/sources/{source}",
        ),
    )


def _deviating(asking: Asking) -> Counted:
    own = pulled.c
    return Counted(
        pulled,
        own.deviated_at >= asking.moment - _SINCE,
        own.deviated_at,
        lambda count, source: (
            "signature-deviates",
            "warning",
            (
                f"{number(count, 'inquiry', 'inquiries')} of {source} pushed with another signature than the same"
                f" pulled: the recipe uses what differs between both; `callbox calibrate {source}`."
            ),
            f"/v1/sources/{source}",
        ),
    )


COUNTED: Final[Sequence[Callable[[Asking], Counted]]] = (_gaps, _failing, _deviating)
