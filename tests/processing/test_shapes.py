"""What is gathered of how items look: paths and types, counted once, bounded, and never anything of a person."""

from collections.abc import Callable
from typing import Any

import orjson

from app.processing.shapes import MOST_FORMS, MOST_NAMES, OVERFLOW
from tests.processing.conftest import Desk

Make = Callable[..., dict[str, Any]]


def _forms(desk: Desk, kind: str = "thinksurance.inquiry") -> dict[tuple[str, str], int]:
    """Return how often each path and type was seen, written down to the last."""
    desk.processor.finish()
    rows = desk.rows("SELECT path, type, count FROM shapes WHERE kind = %s", kind)
    return {(path, type_): count for path, type_, count in rows}


def test_paths_and_types_are_counted(desk: Desk, item: Make) -> None:
    desk.lay(item(1, revenue=5, tags=["a", {"b": None}], premiumYearly="48790"))
    desk.lay(item(2, revenue="5", tags=[], premiumYearly=48790.5, digitalOrderAvailable=True))
    desk.process()
    found = _forms(desk)
    assert {(path, type_): count for (path, type_), count in found.items() if "Id" not in path} == {
        ("", "object"): 2,
        ("sHash", "text"): 2,
        ("data", "object"): 2,
        ("data.bToken", "text"): 2,
        ("data.iCreated", "text"): 2,
        ("data.iUpdated", "text"): 2,
        ("data.status", "number"): 2,
        ("data.revenue", "number"): 1,
        ("data.revenue", "text"): 1,
        ("data.premiumYearly", "text"): 1,
        ("data.premiumYearly", "number"): 1,
        ("data.tags", "list"): 2,
        ("data.tags[]", "text"): 1,
        ("data.tags[]", "object"): 1,
        ("data.tags[].b", "null"): 1,
        ("data.digitalOrderAvailable", "boolean"): 1,
    }


def test_the_first_example_and_what_was_there_before_stand_beside_it(desk: Desk, item: Make) -> None:
    for number in range(3):
        desk.lay(item(number + 1))
    late = desk.lay(item(9, novelty=1))
    desk.lay(item(10, novelty=1))
    desk.process()
    desk.processor.finish()
    known = desk.row("SELECT items_before, items_until, count, first_event_id FROM shapes WHERE path = 'data.novelty'")
    (event_id,) = desk.row("SELECT id FROM events WHERE delivery_id = %s", late)
    assert known == (3, 5, 2, event_id)


def test_items_that_look_alike_are_all_counted(desk: Desk, item: Make) -> None:
    for number in range(6):
        told = {"revenue": str(number)} if number == 4 else {"revenue": number, "tags": [{"b": 1}, {"b": 2}]}
        desk.lay(item(number + 1, **told))
    desk.process()
    found = _forms(desk)
    assert found["data.bToken", "text"] == 6
    assert (found["data.revenue", "number"], found["data.revenue", "text"]) == (5, 1)
    assert (found["data.tags", "list"], found["data.tags[].b", "number"]) == (5, 10)
    until = dict(desk.rows("SELECT type, items_until FROM shapes WHERE path = 'data.revenue'"))
    assert until == {"number": 6, "text": 5}


def test_nothing_is_counted_twice(desk: Desk, item: Make) -> None:
    delivery = desk.lay(item(1))
    desk.lay(b"no JSON")
    desk.process()
    once = _forms(desk)
    desk.ask_again(delivery)
    desk.process()
    assert _forms(desk) == once
    desk.rows("UPDATE events SET verdict = 'verified' RETURNING 1")  # read otherwise now, as after a rebuild
    desk.ask_again(delivery)
    desk.process()
    assert _forms(desk) == once
    desk.lay(item(2))
    desk.process()
    assert _forms(desk)["", "object"] == 2


def test_a_batch_that_was_rolled_back_is_counted_when_it_is_done(desk: Desk, item: Make) -> None:
    desk.lay(item(1))
    desk.database.execute("CREATE TABLE held AS SELECT 1")
    desk.database.execute("ALTER TABLE outcomes RENAME TO outcomes_away")
    try:
        desk.processor.step()
    except Exception:  # noqa: BLE001 - that is what is tried
        desk.database.execute("ALTER TABLE outcomes_away RENAME TO outcomes")
    desk.process()
    assert _forms(desk)["", "object"] == 1


def test_another_processor_goes_on_where_the_last_one_ended(desk: Desk, item: Make) -> None:
    for number in range(4):
        if number == 2:
            desk.processor = type(desk.processor)(desk.database, desk.processor._given)
        desk.lay(item(number + 1, tags=[{"b": 1}], **({"late": 1} if number else {})))
        desk.process()
        desk.processor.finish()
    counted = desk.rows(
        "SELECT path, count, items_before, items_until FROM shapes"
        " WHERE path IN ('', 'data.late', 'data.tags[].b') ORDER BY path"
    )
    assert counted == [("", 4, 0, 4), ("data.late", 3, 1, 4), ("data.tags[].b", 4, 0, 4)]


def test_names_that_may_be_values_are_not_kept(desk: Desk, item: Make) -> None:
    persons = {
        "erika.beispiel@example.test": 1,
        "Erika Beispiel": 1,
        "Müller": 1,
        "017612345678": 1,
        "K-10023": 1,
        "a90c17ff02": 1,
        "0c7e6a4e-5d2b-4c3a-9f10-8a2b3c4d5e6f": 1,
        "x" * 51: 1,
        "cbt_" + "A" * 43: 1,
        "": 1,
    }
    desk.lay(item(1, crm=persons, address2="x"))
    desk.process()
    found = _forms(desk)
    assert [path for path, _ in found if path.startswith("data.crm")] == ["data.crm", "data.crm.*"]
    assert found["data.crm.*", "number"] == len(persons)
    assert ("data.address2", "text") in found
    assert "rika" not in str(desk.rows("SELECT * FROM shapes"))


def test_a_dictionary_and_a_stranger_are_bounded(desk: Desk, item: Make) -> None:
    def names(number: int) -> dict[str, int]:
        return {"".join(chr(97 + int(digit)) for digit in f"{number}{at:03}"): at for at in range(100)}

    desk.lay(item(1, crm=names(0)))
    desk.process()
    below = [path for path, _ in _forms(desk) if path.startswith("data.crm.")]
    assert len(below) == MOST_NAMES + 1
    for number in range(1, 30):
        desk.lay(item(number + 1, **{f"field{chr(96 + number)}": {"deep": names(number)}}))
    desk.process()
    desk.processor.finish()
    assert desk.row("SELECT count(*) FROM shapes WHERE type <> %s", OVERFLOW)[0] == MOST_FORMS
    (overflow,) = desk.row("SELECT count FROM shapes WHERE type = %s", OVERFLOW)
    assert overflow > 10
    desk.lay({"first_name": "Lotte", "last_name": "Voorbeeld", "origin": "CRM"}, desk.wegroup)
    desk.process()
    assert ("first_name", "text") in _forms(desk, "wegroup.lead"), "another source has its own room"


def test_deep_nesting_is_cut(desk: Desk, item: Make) -> None:
    nested = b'{"a":[' * 60 + b"1" + b"]}" * 60
    desk.lay(orjson.dumps(item(1, deep=0)).replace(b'"deep":0', b'"deep":' + nested))
    desk.process()
    assert max(path.count("[]") for path, _ in _forms(desk) if path.startswith("data.deep")) == 5
