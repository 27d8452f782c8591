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
    false,
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
from app.query.walls import HIGHEST, LOWEST, Statement, cache_of_walls, in_reach, wall, walled_late


@cache_of_walls
def first_of_brokers(resource: Resource, access: Access, order: str, most: int) -> Prepared:
    """Return the statement of the first rows within a wall by broker, `wanted` of them and at most `most`.

    By ids between `LOWEST` and `HIGHEST`; of a feed in ascending order, after `seq`.
    """
    if resource.of_broker is None:
        raise LookupError(f"no index has the rows of a broker of {resource.name}")
    broker, own_id, held = resource.of_broker
    shown, number = resource.table.c.id, literal_column(str(most), BigInteger())
    place, beyond = _bounds(resource, own_id, order)
    known = func.unnest(literal(sorted(access.brokers or ()), ARRAY(Text))).table_valued("broker", name="known")
    known = known.render_derived()
    of_one: Statement = select(own_id.label("id"), place.label("place")).where(broker == known.c.broker, held, *beyond)
    # The wall is hidden from the planner: it would expect next to none within, and sort all rows of a broker.
    of_one = of_one.where(*resource.in_lists, case((and_(true(), *wall(own_id.table, access)), true()), else_=false()))
    each = _in_order(of_one, place, order).limit(number).correlate(known).lateral("each")
    ids = _in_order(select(each.c.id).select_from(known.join(each, true())), each.c.place, order).limit(number)
    page = resource.in_list(access).where(shown.in_(ids.correlate(None)), in_reach(shown))
    page = _in_order(walled_late(page, resource.table, access), shown if place is own_id else place, order)
    return Prepared.of(page.limit(asked("wanted", BigInteger())))


def _bounds(
    resource: Resource, own_id: Column[UUID], order: str
) -> tuple[ColumnElement[Any], list[ColumnElement[bool]]]:
    """Return what the rows are in order of, and the conditions that they lie beyond the last page.

    Of two bounds for one column hardly any rows would be expected, and all of a broker be sorted for that; so one of
    them is a bound for a pair.
    """
    if order == "asc" and resource.seq is not None:
        return resource.seq, [resource.seq > asked("seq", BigInteger())]
    low, high = (asked(name, Uuid()) for name in (LOWEST, HIGHEST))
    return own_id, [own_id >= low, tuple_(own_id, own_id) <= tuple_(high, high)]


def _in_order(statement: Statement, place: ColumnElement[Any], order: str) -> Statement:
    return statement.order_by(place.asc() if order == "asc" else place.desc())
