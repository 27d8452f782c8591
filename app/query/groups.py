"""Says by what statistics are grouped: what of a row makes the group, and how it is shown.

How it is counted is told in `statistics`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, case, func, literal

from app.accounts.model import Source
from app.ingest.contract import VIAS
from app.query.deliveries import PENDING, verdict_column
from app.query.inquiries import status_name
from app.storage.models import deliveries, delivery_counts, inquiries, leads, outcomes

Columns = list[ColumnElement[Any]]
Show = Callable[[list[Any], Mapping[UUID, Source]], dict[str, Any]]
GroupOf = Callable[[tuple[Any, ...]], tuple[tuple[Any, ...], dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Group:
    """A grouping: `keys` make the group, `values` are taken along; `show` turns both into fields."""

    keys: Callable[[Mapping[UUID, Source]], Columns]
    show: Show
    values: Callable[[], Columns] = list


def _plain(name: str, column: ColumnElement[Any]) -> Group:
    return Group(lambda _: [column], lambda row, _: {name: row[0]})


def _source(column: ColumnElement[Any]) -> Group:
    return Group(lambda _: [column], lambda row, known: {"source": known[row[0]].name if row[0] in known else None})


def _provider(column: ColumnElement[Any]) -> Group:
    def keys(known: Mapping[UUID, Source]) -> Columns:
        if not known:
            return [literal(None)]
        return [case({source_id: source.provider for source_id, source in known.items()}, value=column)]

    return Group(keys, lambda row, _: {"provider": row[0]})


def _named(name: str) -> Group:
    """Return a grouping by a platform's id; where there is none, by the name, which may change for an id."""
    own_id, own_name = inquiries.c[f"{name}_id"], inquiries.c[f"{name}_name"]
    return Group(
        lambda _: [own_id, case((own_id.is_(None), own_name))],
        lambda row, _: {name: row[2], f"{name}_id": row[0]},
        lambda: [func.max(own_name)],
    )


def _deliveries(own: Mapping[str, ColumnElement[Any]]) -> Mapping[str, Group]:
    return {
        "source": _source(own["source_id"]),
        "provider": _provider(own["source_id"]),
        **{name: _plain(name, own[name]) for name in ("verdict", "status", "reason")},
        "via": Group(lambda _: [own["via"]], lambda row, _: {"via": VIAS[row[0]]}),
    }


OF_DELIVERIES: Final = _deliveries(
    {
        "source_id": deliveries.c.source_id,
        "verdict": verdict_column,
        "status": func.coalesce(outcomes.c.status, PENDING),
        "reason": outcomes.c.reason,
        "via": deliveries.c.via,
    }
)
OF_COUNTED_DELIVERIES: Final = _deliveries(dict(delivery_counts.c))
"""The same, of what was counted by the hour."""

OF_INQUIRIES: Final[Mapping[str, Group]] = {
    "source": _source(inquiries.c.source_id),
    "status": Group(
        lambda _: [inquiries.c.status], lambda row, _: {"status": row[0], "status_name": status_name(row[0])}
    ),
    **{name: _named(name) for name in ("product", "insurer", "industry", "profession")},
    "broker": _plain("broker", inquiries.c.broker_external_id),
}
OF_LEADS: Final[Mapping[str, Group]] = {
    "source": _source(leads.c.source_id),
    **{name: _plain(name, leads.c[name]) for name in ("origin", "status")},
    "kind": _plain("kind", func.coalesce(leads.c.kind, "unknown")),
}


def groups_of(groups: Sequence[Group], sources: Mapping[UUID, Source]) -> GroupOf:
    """Return what gives the group of a row, its keys and its fields: a row has the keys of all groups, then values."""
    keys = [len(group.keys(sources)) for group in groups]
    values = [len(group.values()) for group in groups]
    key_ends, value_ends = [*accumulate(keys)], [*accumulate(values, initial=sum(keys))][1:]

    @cache
    def group_of(row: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        shown: dict[str, Any] = {}
        for group, key, key_end, value, value_end in zip(groups, keys, key_ends, values, value_ends, strict=True):
            shown |= group.show([*row[key_end - key : key_end], *row[value_end - value : value_end]], sources)
        return row[: sum(keys)], shown

    return group_of
