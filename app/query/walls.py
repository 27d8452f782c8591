"""Adds a key's walls to statements: rows outside do not exist for the key.

Every statement of this room goes through `walled`; which walls a key has is kept by the accounts room.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Join,
    Select,
    Table,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    literal,
    literal_column,
    select,
    true,
)

from app.accounts.model import Access
from app.storage.models import (
    api_keys,
    audit,
    baselines,
    customers,
    deliveries,
    documents,
    events,
    gaps,
    inbox,
    inquiries,
    leads,
    outcomes,
    pulled,
    searches,
    shapes,
    sources,
    submissions,
)

Statement = Select[*tuple[Any, ...]]
Given = ParamSpec("Given")
Made = TypeVar("Made")

_MOST_CACHED = 256

OTHERS_TOLD = "others_told"
"""The column that `others_told` gives."""

_OLD_VALUES: ColumnElement[Any] = literal_column(
    """'$[*] ? (@.old != null && (@.field starts with "customer." || @.field == "documents"))'::jsonpath"""
)

LOWEST, HIGHEST = "lowest_id", "highest_id"
"""The parameters of a statement that say between which ids the deliveries lie that it can lead to."""

_ANY = {LOWEST: UUID(int=0), HIGHEST: UUID(int=(1 << 128) - 1)}


def in_reach(column: ColumnElement[UUID]) -> ColumnElement[bool]:
    """Return a condition that spares the database to look for a delivery's outcome in months of which none is asked.

    It follows a join to the months only where the ids are equal to something.
    """
    low, high = (bindparam(name, _ANY[name], Uuid()) for name in (LOWEST, HIGHEST))
    return (column >= low) & (column <= high)


def cache_of_walls(make: Callable[Given, Made]) -> Callable[Given, Made]:
    """Have what depends on a key's walls and scopes, and on what is asked about, be made once for all who ask."""
    return lru_cache(_MOST_CACHED)(make)  # type: ignore[return-value]  # it takes what can be hashed, whatever that is


def walled(statement: Statement, table: Table, access: Access) -> Statement:
    """Return `statement`, which reads `table`, within the key's walls.

    Where deliveries are joined with their outcomes, these are asked: to look each up once more takes a thousand times
    as long, for the database expects next to none that fit twice, and would rather go through all to sort them.
    """
    if table is deliveries and access.brokers is not None and _has_outcomes(statement):
        return statement.where(*wall(deliveries, replace(access, brokers=None)), *wall(outcomes, access))
    return statement.where(*wall(table, access))


def walled_late(statement: Statement, table: Table, access: Access) -> Statement:
    """Return the same as `walled`, for a condition of its own that few rows fit: the walls are looked at in these only.

    Else the database goes through all that lies within the walls besides, for it expects far more rows to fit.
    """
    return statement.where(and_(true(), *wall(table, access)).is_(true()))


def _has_outcomes(statement: Statement) -> bool:
    """Tell whether a statement joins each delivery with its outcome."""
    joins = [one for one in statement.get_final_froms() if isinstance(one, Join)]
    return any(one.left is deliveries and one.right is outcomes for one in joins)


def wall(table: Table, access: Access) -> list[ColumnElement[bool]]:
    """Return the conditions under which a row of `table` exists for the key."""
    conditions: list[ColumnElement[bool]] = []
    if access.source_ids is not None:
        conditions.append(_source_wall(table, sorted(access.source_ids)))
    if access.brokers is not None:
        conditions.append(_broker_wall(table, sorted(access.brokers)))
    return conditions


def _source_wall(table: Table, known: list[UUID]) -> ColumnElement[bool]:
    if table is sources:
        return table.c.id.in_(known)
    if table is api_keys:  # those that have a wall, and it is not wider
        return table.c.source_ids.bool_op("<@")(literal(known, ARRAY(Uuid())))
    if table is audit:  # what was done to one source; what was read is told by ids of any
        source: ColumnElement[str] = table.c.detail["source"].astext
        return source.in_(select(sources.c.name).where(sources.c.id.in_(known)))
    return table.c.source_id.in_(known)


def _broker_wall(table: Table, known: list[str]) -> ColumnElement[bool]:
    if table in (sources, inbox, searches):  # they name no broker
        return true()
    if table in (events, baselines, gaps, submissions):
        return table.c.broker.in_(known)
    if table in (inquiries, documents):
        return table.c.broker_external_id.in_(known)
    if table in (customers, outcomes, api_keys):
        return _all_known(table.c.brokers, known)
    if table in (deliveries, pulled):
        delivery_id = deliveries.c.id if table is deliveries else pulled.c.delivery_id
        of_delivery = outcomes.alias("walled_outcomes")
        return exists(
            select(literal(1)).where(
                of_delivery.c.delivery_id == delivery_id,
                of_delivery.c.source_id == table.c.source_id,
                in_reach(of_delivery.c.delivery_id),
                _all_known(of_delivery.c.brokers, known),
            )
        )
    if table in (leads, audit, shapes):  # WeGroup names no broker, nor do entries of the log and forms of items
        return false()
    raise LookupError(f"no wall is written down for {table.name}")


def others_told(access: Access) -> ColumnElement[bool]:
    """Return: an event changes of a person what one outside of the wall by broker may have said.

    In the record that person is hidden then, or told anew, so the old values are not to be read off the changes.
    """
    if access.brokers is None:
        return false().label(OTHERS_TOLD)
    own, other, known = events.c, events.alias("others"), sorted(access.brokers)
    before = select(literal(1)).where(
        other.c.record_id == own.record_id,
        other.c.order_key < own.order_key,
        other.c.broker.is_(None) | other.c.broker.not_in(known),
    )
    # What was dropped was told all the same, and is in the old values still.
    dropped = select(literal(1)).where(
        baselines.c.record_id == own.record_id,
        baselines.c.first_received_at < own.received_at,  # compared, so that no list of all is made to look it up in
        baselines.c.broker.is_(None) | baselines.c.broker.not_in(known),
    )
    # Asked in this order, for most events change nothing of that or say what was not known.
    replaces = func.jsonb_path_exists(own.changes, _OLD_VALUES)
    return case((replaces, exists(before) | exists(dropped)), else_=false()).label(OTHERS_TOLD)


def first_of(brokers: Column[list[str]]) -> ColumnElement[str]:
    """Return the first of a row's brokers, as it stands in indexes: what is planned once for all values knows no 1."""
    return literal_column(f"{brokers.table.name}.{brokers.name}[1]", Text)


def names_some(brokers: ColumnElement[list[str]]) -> ColumnElement[bool]:
    """Return: a row names some broker; as it stands in indexes, for a parameter would be none of their words."""
    return func.cardinality(brokers) > literal_column("0")


def _all_known(brokers: ColumnElement[list[str]], known: list[str]) -> ColumnElement[bool]:
    """Return: somebody is named, and nobody outside the wall."""
    return names_some(brokers) & brokers.bool_op("<@")(literal(known, ARRAY(Text)))
