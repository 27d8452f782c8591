"""Adds a key's walls to statements: rows outside do not exist for the key.

Every statement of this room goes through `walled`; which walls a key has is kept by the accounts room.
"""

from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Select, Table, Text, exists, false, func, literal, select, true

from app.accounts.model import Access
from app.storage.models import (
    customers,
    deliveries,
    documents,
    events,
    inbox,
    inquiries,
    leads,
    outcomes,
    sources,
    submissions,
)

Statement = Select[*tuple[Any, ...]]


def walled(statement: Statement, table: Table, access: Access) -> Statement:
    """Return `statement`, which reads `table`, within the key's walls."""
    return statement.where(*wall(table, access))


def wall(table: Table, access: Access) -> list[ColumnElement[bool]]:
    """Return the conditions under which a row of `table` exists for the key."""
    conditions: list[ColumnElement[bool]] = []
    if access.source_ids is not None:
        column = table.c.id if table is sources else table.c.source_id
        conditions.append(column.in_(sorted(access.source_ids)))
    if access.brokers is not None:
        conditions.append(_broker_wall(table, sorted(access.brokers)))
    return conditions


def _broker_wall(table: Table, known: list[str]) -> ColumnElement[bool]:
    if table in (sources, inbox):  # they name no broker
        return true()
    if table in (events, submissions):
        return table.c.broker.in_(known)
    if table in (inquiries, documents):
        return table.c.broker_external_id.in_(known)
    if table in (customers, outcomes):
        return _all_known(table.c.brokers, known)
    if table is deliveries:
        of_delivery = outcomes.alias("walled_outcomes")
        return exists(
            select(literal(1)).where(
                of_delivery.c.delivery_id == deliveries.c.id,
                of_delivery.c.source_id == deliveries.c.source_id,
                _all_known(of_delivery.c.brokers, known),
            )
        )
    if table is leads:  # WeGroup names no broker
        return false()
    raise LookupError(f"no wall is written down for {table.name}")


def _all_known(brokers: ColumnElement[list[str]], known: list[str]) -> ColumnElement[bool]:
    """Return: somebody is named, and nobody outside the wall."""
    return (func.cardinality(brokers) > 0) & brokers.bool_op("<@")(literal(known, ARRAY(Text)))
