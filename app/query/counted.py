"""Says what statistics count: the rows of which list, by which groups and times, and what of them besides their number.

Which of it is asked for, and how it is counted, is told in `statistics`.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from math import floor
from typing import Any, Final

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Select, func, literal, literal_column, select, true

from app.accounts.model import Access
from app.query.deliveries import DELIVERIES
from app.query.groups import OF_DELIVERIES, OF_INQUIRIES, OF_LEADS, Group
from app.query.inquiries import INQUIRIES
from app.query.leads import LEADS
from app.query.resource import Resource
from app.query.schemas.statistics import DeliveryStatistic, InquiryStatistic, LeadStatistic
from app.storage.counting import SPENT, histogram
from app.storage.models import deliveries, inquiries, leads, outcomes

WITHOUT_PREMIUM: Final = (2, 3, 4)
"""Statuses in which Thinksurance sends no premium: what is known of one is from an earlier status."""

MOST_BROKERS: Final = 8
"""Where a wall has more, to look up what is theirs takes as long as to go through all there is, or longer."""

_LONG: Final = 8_192
_MOST_KEPT: Final = 4_096
"""How many spreads of times are kept, of at most so many bytes each: those of hours have a few hundred."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """What is counted: the rows of a list, by groups and by times (the first where none is named).

    `measures` are counted besides, and what they come to may be told of a group as a whole (`told`); `nothing` is that
    where there are no rows, `shown` its fields.
    """

    resource: Resource
    groups: Mapping[str, Group]
    times: Mapping[str, ColumnElement[Any]]
    schema: type[BaseModel]
    measures: Callable[[], list[ColumnElement[Any]]] = list
    told: Callable[[Select[Any]], Select[Any]] = lambda grouped: grouped
    nothing: tuple[Any, ...] = ()
    shown: Callable[[Sequence[Any]], dict[str, Any]] = lambda _: {}


def within_wall(resource: Resource, access: Access) -> list[ColumnElement[bool]]:
    """Return what follows from a wall by broker, said so that the index of outcomes by their first broker serves."""
    if resource is not DELIVERIES or access.brokers is None or len(access.brokers) > MOST_BROKERS:
        return []
    return [outcomes.c.brokers[1].in_(sorted(access.brokers))]


def _times_to_process() -> list[ColumnElement[Any]]:
    """Return the expression for what `shown_times` reads: to sort the times here is quicker than there."""
    sql = SPENT.format(processed="outcomes.processed_at", received="deliveries.received_at", sign=1)
    spent: ColumnElement[bytes] = literal_column(sql)
    return [func.string_agg(spent, literal(b"")).filter(outcomes.c.processed_at.is_not(None))]


def shown_times(row: Sequence[Any]) -> Mapping[str, Any]:
    """Return how long it took to process deliveries, in seconds: to the millisecond, and to three digits."""
    spent = row[0] or b""
    return _times_again(spent) if len(spent) < _LONG else _times(spent)


def _times(spent: bytes) -> Mapping[str, Any]:
    found = histogram([spent])
    if not found:
        return {"median": None, "p90": None, "count": 0}
    ordered = sorted(found)
    passed = list(accumulate(map(found.__getitem__, ordered)))
    median, p90 = (_percentile(ordered, passed, share) for share in (0.5, 0.9))
    return {"median": median, "p90": p90, "count": passed[-1]}


_times_again = lru_cache(_MOST_KEPT)(_times)
"""A dashboard asks for the same days again and again, and of these only the last change."""


def _percentile(ordered: Sequence[float], passed: Sequence[int], share: float) -> float:
    """Return the value below which a share of all lies, between two of them as PostgreSQL has it.

    `passed` says how many have a value of `ordered` or a lower one.
    """
    place = share * (passed[-1] - 1)
    below = int(place)
    value = ordered[bisect_right(passed, below)]
    if below != place:
        value += (place - below) * (ordered[bisect_right(passed, below + 1)] - value)
    return round(value / 1000, 3)


def spread(column: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    """Return the expressions for `shown_spread`."""
    return [
        func.percentile_cont(0.5).within_group(column),
        func.percentile_cont(0.9).within_group(column),
        func.count(column),
    ]


def shown_spread(row: Sequence[Any], digits: int = 3) -> dict[str, Any]:
    """Return how times are spread."""
    median, p90, count = row
    rounded = [None if one is None else round(float(one), digits) for one in (median, p90)]
    return {"median": rounded[0], "p90": rounded[1], "count": count}


def _premiums() -> list[ColumnElement[Any]]:
    own = inquiries.c
    return [func.array_agg(own.premium_yearly_cents).filter(own.status.not_in(WITHOUT_PREMIUM)).label("premiums")]


def _told_of_premiums(grouped: Select[Any]) -> Select[Any]:
    """Return groups with the sum, the median and the number of their premiums.

    The database sorts the premiums of one group at a time, which takes half as long as to sort all rows by their group.
    """
    begin, count, premiums, *others = (own := grouped.subquery("grouped")).c
    premium = func.unnest(premiums).column_valued("premium")
    median = func.percentile_cont(0.5).within_group(premium)
    told = select(func.coalesce(func.sum(premium), 0), median, func.count(premium)).lateral("told")
    return select(begin, count, *told.c, *others).select_from(own.join(told, true()))


def _shown_premiums(row: Sequence[Any]) -> dict[str, Any]:
    total, median, count = row
    middle = None if median is None else floor(median + 0.5)
    return {"premium_yearly_cents": {"sum": int(total), "median": middle, "count": count}}


STATISTICS: Final[Mapping[str, Statistic]] = {
    "deliveries": Statistic(
        DELIVERIES,
        OF_DELIVERIES,
        {
            "received_at": deliveries.c.received_at,
            "stored_at": deliveries.c.stored_at,
            "processed_at": outcomes.c.processed_at,
        },
        DeliveryStatistic,
        _times_to_process,
        nothing=(None,),
        shown=lambda row: {"seconds_to_process": shown_times(row)},
    ),
    "inquiries": Statistic(
        INQUIRIES,
        OF_INQUIRIES,
        {
            name: inquiries.c[name]
            for name in (
                *("first_received_at", "last_received_at", "changed_at", "confirmed_at"),
                *("created_on", "updated_on", "contract_start_on", "contract_payment_on"),
            )
        },
        InquiryStatistic,
        _premiums,
        _told_of_premiums,
        (0, None, 0),
        _shown_premiums,
    ),
    "leads": Statistic(
        LEADS,
        OF_LEADS,
        {name: leads.c[name] for name in ("first_received_at", "last_received_at", "changed_at")},
        LeadStatistic,
    ),
}
