"""Reads the first rows of a whole list for keys with a wall by broker, by indexes that begin with the broker.

Such a key may see one row in a million: by the wall alone those of all brokers would be gone through for a page of its
own. So the first rows of each of its brokers are looked up, and of these the first are the page.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    Text,
    Uuid,
    and_,
    case,
    func,
    literal,
    literal_column,
    select,
    true,
    tuple_,
)

from app.accounts.model import Access
from app.query.prepared import Prepared, asked
from app.query.resource import Resource
from app.query.walls import HIGHEST, LOWEST, Statement, cache_of_walls, wall, walled_late


@cache_of_walls
def first_of_brokers(resource: Resource, access: Access, order: str, most: int) -> Prepared:
    """Return the statement of the first rows within a wall by broker, `wanted` of them and at most `most`.

    By ids between `LOWEST` and `HIGHEST`; of a feed in ascending order, after `seq`.

    It is planned once for all values, and where hardly any rows are expected, all that a broker has are sorted. So
    `most` is a number in it, and what would make the planner expect next to none is kept from it: walls, two bounds.
    """
    if resource.of_broker is None:
        raise LookupError(f"no index has the rows of a broker of {resource.name}")
    broker, own_id, held = resource.of_broker
    shown, number = resource.table.c.id, literal_column(str(most), BigInteger())
    seq = resource.seq if order == "asc" else None
    place: ColumnElement[Any] = own_id if seq is None else seq
    beyond = _bounds(resource, own_id, order) if seq is None else [seq > asked("seq", BigInteger())]
    known = func.unnest(literal(sorted(access.brokers or ()), ARRAY(Text))).table_valued("broker", name="known")
    known = known.render_derived()
    within = case((and_(true(), *wall(own_id.table, access)), 1)).is_not(None)
    of_one: Statement = select(own_id.label("id"), place.label("place"))
    of_one = of_one.where(broker == known.c.broker, *held, *beyond, *resource.in_lists, within)
    each = _in_order(of_one, place, order).limit(number).correlate(known).lateral("each")
    ids = _in_order(select(each.c.id).select_from(known.join(each, true())), each.c.place, order).limit(number)
    page = resource.in_list(access).where(shown.in_(ids.correlate(None)))
    if seq is None:
        page = page.where(*_bounds(resource, shown, order))  # spares the months in which none can be
    page = _in_order(walled_late(page, resource.table, access), shown if seq is None else seq, order)
    return Prepared.of(page.limit(asked("wanted", BigInteger())))


def _bounds(resource: Resource, own_id: Column[UUID], order: str) -> list[ColumnElement[bool]]:
    """Return the conditions that ids lie beyond the last page; where there are months, the second is one for a pair."""
    low, high = (asked(name, Uuid()) for name in (LOWEST, HIGHEST))
    if resource.seq is None:
        return [own_id >= low if order == "asc" else own_id <= high]
    return [own_id >= low, tuple_(own_id, own_id) <= tuple_(high, high)]


def _in_order(statement: Statement, place: ColumnElement[Any], order: str) -> Statement:
    return statement.order_by(place.asc() if order == "asc" else place.desc())
