"""Where a name leads is what the items say today, also where one said otherwise before."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import orjson
from alembic import command
from alembic.config import Config

from app.processing.aliases import load_aliases
from app.processing.identity import Names
from app.processing.record_rows import Scope
from app.storage.database import MIGRATIONS
from tests.processing.conftest import Desk

Item = Callable[..., dict[str, Any]]

_CUSTOMERS = (
    "SELECT c.customer_id, c.last_name, array_agg(e.subject ORDER BY e.subject) FROM customers c"
    " JOIN events e ON e.customer_id = c.id WHERE c.merged_into IS NULL GROUP BY 1, 2 ORDER BY 1"
)
_LEADS = "SELECT lead_id, first_name, event_count FROM leads WHERE merged_into IS NULL ORDER BY 1"


def _read_otherwise(desk: Desk, bodies: Mapping[UUID, Any], source_id: UUID | None = None) -> None:
    """Have deliveries say something else, as if today's reader understood them otherwise."""
    for delivery_id, body in bodies.items():
        desk.rows("UPDATE deliveries SET body = %s WHERE id = %s RETURNING 1", orjson.dumps(body), delivery_id)
        desk.ask_again(delivery_id, source_id)
    desk.process()


def test_a_chain_of_aliases_is_loaded_at_once(desk: Desk) -> None:
    desk.lay([{"id": str(number + 1), "prospect": {"id": str(number)}} for number in range(9)], desk.wegroup)
    desk.process()
    scope = (desk.wegroup, "lead")
    names: dict[Scope, Names] = defaultdict(Names)
    watched = Mock(wraps=desk.database)
    load_aliases(watched, [(scope, "id:0"), (scope, "id:unknown")], names)
    assert (names[scope].root("id:0"), names[scope].root("id:unknown")) == ("id:9", "id:unknown")
    load_aliases(watched, [(scope, f"id:{number}") for number in range(10)], names)
    assert watched.execute.call_count == 1


def test_a_name_that_its_item_does_not_say_any_more_leads_where_others_say(desk: Desk, item: Item) -> None:
    """The first item decides, then another that says the same, then the next that says something else, then none."""
    named = {"cExternalId": "E-1"}
    said = ((1, 5), (3, 5), (2, 6))
    first, same, other = (desk.lay(item(number, customer={**named, "cId": its_id})) for number, its_id in said)
    desk.lay(item(4, customer={**named, "cLastName": "Muster"}))
    desk.process()
    ones = [f"inquiry/{number}" for number in range(5)]
    assert desk.rows(_CUSTOMERS) == [(5, "Muster", [ones[1], ones[3], ones[4]]), (6, None, [ones[2]])]
    _read_otherwise(desk, {first: item(1, customer={"cId": 5})})
    assert desk.rows(_CUSTOMERS) == [(5, "Muster", [ones[1], ones[3], ones[4]]), (6, None, [ones[2]])]
    assert desk.row("SELECT order_key FROM aliases WHERE key LIKE 'x:%%'") == (f"{same.hex}000000",)
    _read_otherwise(desk, {same: item(3, customer={"cId": 5})})
    assert desk.rows(_CUSTOMERS) == [(5, None, [ones[1], ones[3]]), (6, "Muster", [ones[2], ones[4]])]
    _read_otherwise(desk, {other: item(2)})
    assert desk.rows(_CUSTOMERS) == [(5, None, [ones[1], ones[3]]), (None, "Muster", [ones[4]])]
    assert desk.rows("SELECT 1 FROM aliases WHERE key LIKE 'x:%%'") == []


def test_a_record_that_parts_from_another_has_an_id_of_its_own(desk: Desk) -> None:
    """Also where that is the one by which the two of them were known, from before they were joined."""
    desk.lay({"external_refs": [{"company": "hub", "ref": "L3"}], "first_name": "Lotte"}, desk.wegroup)
    joining = desk.lay({"id": "a", "external_refs": [{"company": "hub", "ref": "L3"}]}, desk.wegroup)
    desk.process()
    assert desk.rows(_LEADS) == [("a", "Lotte", 2)]
    ((joined,),) = desk.rows("SELECT id FROM leads")
    _read_otherwise(desk, {joining: {"id": "a", "external_refs": []}}, desk.wegroup)
    assert desk.rows(_LEADS) == [("a", None, 1), (None, "Lotte", 1)]
    assert desk.row("SELECT id FROM leads WHERE lead_id = 'a'") == (joined,)


def test_what_lost_before_there_was_a_table_of_it_is_brought_over(desk: Desk, item: Item) -> None:
    named = {"cExternalId": "E-1"}
    for number, customer_id in ((1, 5), (2, 6), (3, 7), (4, 6)):
        desk.lay(item(number, customer={**named, "cId": customer_id}))
    desk.lay([{"id": one, "external_refs": [{"company": "hub", "ref": "L1"}]} for one in "ab"], desk.wegroup)
    desk.process()
    later = "SELECT source_id, kind, key, target, order_key FROM later_aliases ORDER BY kind, target"
    written = desk.rows(later)
    assert [row[3] for row in written] == ["c:6", "c:7", "id:b"]
    config = Config(toml_file=MIGRATIONS.parent / "pyproject.toml")
    config.attributes["url"] = desk.database.info.dsn + f" password={desk.database.info.password}"
    command.downgrade(config, "0007")
    command.upgrade(config, "head")
    assert desk.rows(later) == written
