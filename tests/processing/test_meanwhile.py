"""While the database works, the next batch is read: nothing comes of it otherwise than one after the other."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from app.processing.meanwhile import BusyConnection
from app.processing.processor import DatabaseTroubleError
from app.processing.reading import read_delivery
from tests.processing.conftest import Desk
from tests.processing.test_processor import Item

_BATCH = 5
_RESULT = (
    "SELECT (SELECT jsonb_agg(to_jsonb(e) - 'id' - 'source_id' - 'delivery_id' - 'record_id' - 'customer_id'"
    " - 'order_key' - 'received_at' - 'duplicate_of' ORDER BY seq) FROM events e),"
    " (SELECT jsonb_agg(to_jsonb(o) - 'delivery_id' - 'source_id' - 'processed_at' - 'items' ORDER BY seq)"
    " FROM outcomes o)"
)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.processing.processor.BATCH_DELIVERIES", _BATCH)


@pytest.fixture
def read_while_waiting(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Have the database always take its time, and note whether anything was left to read meanwhile."""
    notes: list[bool] = []
    monkeypatch.setattr(BusyConnection, "_ready", lambda *_: 0)

    def meanwhile() -> bool:
        notes.append(desk.processor.read_ahead())
        return notes[-1]

    assert isinstance(desk.database, BusyConnection)
    desk.database.meanwhile = meanwhile
    return notes


def test_the_next_batch_is_read_while_the_database_works(
    desk: Desk, new_desk: Callable[[], Desk], item: Item, read_while_waiting: list[bool]
) -> None:
    plain = new_desk()
    assert isinstance(plain.database, BusyConnection)
    plain.database.meanwhile = None
    for one in (desk, plain):
        for number in range(4 * _BATCH):
            one.lay(item(1 + number % 3, status=3 + number % 2))
        one.process()
    assert sum(read_while_waiting) == 3 * _BATCH, "all but the first batch"
    assert desk.row(_RESULT) == plain.row(_RESULT)


def test_what_cannot_be_read_ahead_ends_only_its_own_batch(
    desk: Desk, item: Item, read_while_waiting: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    laid = [desk.lay(item(number + 1)) for number in range(3 * _BATCH)]
    poison = laid[_BATCH + 1]

    def fail(delivery: Any, *arguments: Any, **named: Any) -> Any:
        if delivery.id == poison:
            raise RuntimeError("this delivery cannot be read")
        return read_delivery(delivery, *arguments, **named)

    monkeypatch.setattr("app.processing.batch.read_delivery", fail)
    assert desk.processor.step() == _BATCH, "it was met while this batch was written"
    assert sum(read_while_waiting) == 1
    assert desk.processor.step() == 0, "its own batch"
    desk.process()
    assert desk.rows("SELECT delivery_id FROM outcomes WHERE status = 'quarantined'") == [(poison,)]
    assert desk.row("SELECT count(*) FROM outcomes WHERE status = 'accepted'") == (len(laid) - 1,)


def test_trouble_of_the_database_counts_no_attempt_of_what_was_begun(
    desk: Desk, item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid = {desk.lay(item(number + 1)) for number in range(3 * _BATCH)}

    def lose(*_: Any) -> None:
        raise psycopg.errors.AdminShutdown

    with monkeypatch.context() as broken:
        broken.setattr("app.processing.batch.write_outcomes", lose)
        with pytest.raises(DatabaseTroubleError) as trouble:
            desk.processor.step()
    assert len(trouble.value.ids) == 2 * _BATCH
    assert laid.issuperset(trouble.value.ids)
    assert desk.row("SELECT count(*) FROM inbox WHERE attempts = 1") == (2 * _BATCH,)
    desk.processor.forgive(trouble.value.ids)
    assert desk.row("SELECT count(*) FROM inbox WHERE attempts > 0") == (0,)
    desk.process()
    assert desk.row("SELECT count(*) FROM outcomes") == (len(laid),)


def test_an_end_in_between_counts_no_attempt_of_what_was_begun(desk: Desk, item: Item) -> None:
    for number in range(3 * _BATCH):
        desk.lay(item(number + 1))
    assert desk.processor.step() == _BATCH
    assert desk.row("SELECT count(*) FROM inbox WHERE attempts = 1") == (_BATCH,)
    desk.processor.finish()
    assert desk.rows("SELECT count(*), max(attempts) FROM inbox") == [(2 * _BATCH, 0)]
    desk.process()
    assert desk.row("SELECT count(*) FROM outcomes") == (3 * _BATCH,)


def test_what_was_tried_before_is_tried_alone(desk: Desk, item: Item) -> None:
    tried, *others = [desk.lay(item(number + 1)) for number in range(3)]
    desk.database.execute("UPDATE inbox SET attempts = 1 WHERE delivery_id = %s", (tried,))
    assert desk.processor.step() == 1
    assert desk.row("SELECT max(attempts) FROM inbox WHERE delivery_id = ANY(%s)", others) == (0,)
