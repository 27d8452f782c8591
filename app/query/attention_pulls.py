"""Asks what pulls tell that needs somebody: gaps, searches that fail, signatures that deviate."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import and_

from app.query.noticing import Asking, by_source, number
from app.query.shapes import path
from app.storage.models import gaps, pulled, searches

_SINCE: Final = timedelta(days=7)
"""What was missed before is no news."""


async def _gaps(asking: Asking) -> list[dict[str, Any]]:
    own, since = gaps.c, asking.moment - _SINCE
    return await by_source(
        asking,
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


async def _failing(asking: Asking) -> list[dict[str, Any]]:
    own = searches.c
    return await by_source(
        asking,
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


async def _deviating(asking: Asking) -> list[dict[str, Any]]:
    own = pulled.c
    return await by_source(
        asking,
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


QUESTIONS: Final[Sequence[Callable[[Asking], Awaitable[list[dict[str, Any]]]]]] = (_gaps, _failing, _deviating)
