"""One delivery holds up no other whatever it does to the database, and is blamed for none of its troubles."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from app.accounts.audit import record
from app.processing.faults import FIRST_REST_S, MOST_ATTEMPTS
from app.processing.work import Worker, run
from app.providers import PROVIDERS
from tests.conftest import PATIENCE_S
from tests.processing.conftest import ZONE, Desk
from tests.processing.test_processor import Item

_POISON = 666
_ENDS_ITS_BACKEND = "PERFORM pg_terminate_backend(pg_backend_pid())"
_CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> ALL(%s) AND (xact_start IS NOT NULL OR query LIKE 'UPDATE inbox%%')"
)
_REST_S = 0.4


@pytest.fixture(autouse=True)
def _short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.processing.faults.FIRST_REST_S", _REST_S)
    monkeypatch.setattr("app.processing.faults._LONGEST_S", _REST_S)
    monkeypatch.setattr("app.processing.work.STANDBY_S", 0.02)
    monkeypatch.setattr("app.processing.work.OPTIONS", "-c timezone=UTC -c lock_timeout=200ms")


@contextmanager
def _at_work(desk: Desk, workers: int = 1) -> Iterator[None]:
    """Have processors at work, one of which is active."""
    stop = threading.Event()
    url, worker = _url(desk), Worker(desk.vault, PROVIDERS, ZONE)
    threads = [threading.Thread(target=run, args=(url, worker, stop)) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _url(desk: Desk) -> str:
    info = desk.database.info
    return psycopg.conninfo.make_conninfo(info.dsn, password=info.password)


def _until(question: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not question():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.01)


def _poison(desk: Desk, deed: str, table: str = "events", when: str = f"NEW.subject = 'inquiry/{_POISON}'") -> None:
    """Have the database do something at what is written."""
    desk.database.execute(
        f"CREATE FUNCTION suffer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {deed}; RETURN NEW; END $$;"
        f" CREATE TRIGGER suffer BEFORE INSERT ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION suffer()".encode()
    )


def _raises(state: str) -> str:
    return f"RAISE EXCEPTION 'poison' USING ERRCODE = '{state}'"


def _lay(desk: Desk, item: Item, *numbers: int) -> list[Any]:
    return [desk.lay(item(number)) for number in numbers]


def _accepted(desk: Desk) -> int:
    count: int = desk.row("SELECT count(*) FROM outcomes WHERE status = 'accepted'")[0]
    return count


def _reason(desk: Desk, delivery_id: Any) -> object:
    rows = desk.rows("SELECT reason FROM outcomes WHERE delivery_id = %s", delivery_id)
    return rows[0][0] if rows else "waits"


@pytest.mark.parametrize(
    ("deed", "workers"),
    [(_ENDS_ITS_BACKEND, 1), (_ENDS_ITS_BACKEND, 2), (_raises("XX000"), 1), (_raises("57014"), 1)],
)
def test_a_delivery_that_fails_the_database_each_time_is_given_up_alone(
    desk: Desk, item: Item, deed: str, workers: int
) -> None:
    _poison(desk, deed)
    poison, *_ = _lay(desk, item, _POISON, *range(1, 20))
    with _at_work(desk, workers):
        _until(lambda: _accepted(desk) == 19)
        _lay(desk, item, *range(20, 30))
        _until(lambda: _accepted(desk) == 29)
        _until(lambda: _reason(desk, poison) == "processing-failed")
        assert desk.row("SELECT delivery_id FROM outcomes ORDER BY seq LIMIT 1") != (poison,), "others did not wait"
        desk.database.execute("DROP TRIGGER suffer ON events")
        desk.ask_again(poison)
        _until(lambda: _reason(desk, poison) is None)
    assert desk.rows("SELECT DISTINCT reason FROM outcomes") == [(None,)]


@pytest.mark.parametrize("state", ["XX001", "58030", "55P03", "53200", "40P01"])
def test_what_is_no_deliverys_fault_is_tried_until_it_is_mended(desk: Desk, item: Item, state: str) -> None:
    _poison(desk, f"PERFORM nextval('tries'); {_raises(state)}")
    desk.database.execute("CREATE SEQUENCE tries")
    poison, *_ = _lay(desk, item, _POISON, 1, 2)
    with _at_work(desk):
        _until(lambda: _accepted(desk) == 2)
        _until(lambda: desk.row("SELECT last_value FROM tries")[0] > 4)
        assert desk.rows("SELECT delivery_id, attempts <= 1 FROM inbox") == [(poison, True)]
        desk.database.execute("DROP TRIGGER suffer ON events")
        _until(lambda: _accepted(desk) == 3)


@pytest.mark.parametrize("state", ["25006", "42501", "53100", "57P03"])
def test_a_database_that_takes_nothing_counts_against_nobody(desk: Desk, item: Item, state: str) -> None:
    """It is read-only, without a privilege, full, or about to end."""
    _poison(desk, f"PERFORM nextval('tries'); {_raises(state)}", when="true")
    desk.database.execute("CREATE SEQUENCE tries")
    laid = _lay(desk, item, 1, 2, 3)
    with _at_work(desk):
        _until(lambda: desk.row("SELECT last_value FROM tries")[0] > MOST_ATTEMPTS + 1)
        assert desk.rows("SELECT 1 FROM outcomes") == desk.rows("SELECT 1 FROM inbox WHERE attempts > 1") == []
        desk.database.execute("DROP TRIGGER suffer ON events")
        _until(lambda: _accepted(desk) == len(laid))


def test_who_holds_a_lock_on_a_record_holds_up_no_other(desk: Desk, item: Item) -> None:
    _lay(desk, item, 1)
    desk.process()
    with psycopg.connect(_url(desk)) as other, _at_work(desk):
        other.execute("SELECT FROM inquiries FOR UPDATE")
        locked = desk.lay(item(1, status=6))
        _lay(desk, item, 2, 3)
        _until(lambda: _accepted(desk) == 3)
        _lay(desk, item, 4, 5)
        _until(lambda: _accepted(desk) == 5)
        assert _reason(desk, locked) == "waits"
        other.rollback()
        _until(lambda: _accepted(desk) == 6)


def test_a_database_that_goes_away_a_hundred_times_counts_against_nobody(
    desk: Desk, item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.processing.faults.FIRST_REST_S", FIRST_REST_S)  # on a busy machine a cut may take long
    with psycopg.connect(_url(desk), autocommit=True) as other, _at_work(desk):
        own = [other.info.backend_pid, desk.database.info.backend_pid]

        def is_cut() -> bool:
            return other.execute(_CUT, (own,)).fetchone() is not None or desk.rows("SELECT FROM inbox LIMIT 1") == []

        for number in range(1, 101):
            _lay(desk, item, *[number] * 3)
            _until(is_cut)
        _until(lambda: _accepted(desk) == 300)
    assert desk.rows("SELECT DISTINCT reason FROM outcomes") == [(None,)]


@pytest.mark.parametrize("deed", [_ENDS_ITS_BACKEND, _raises("55P03"), _raises("42501")])
def test_what_no_delivery_waits_for_holds_up_none(desk: Desk, item: Item, deed: str) -> None:
    desk.database.execute("CREATE SEQUENCE tries")
    _poison(desk, f"PERFORM nextval('tries'); {deed}", "audit_seals", "true")
    record(desk.database, "cli", "key.add", {})
    with _at_work(desk):
        for number in range(1, 11):
            _lay(desk, item, number)
            _until(lambda: _accepted(desk) == number)  # noqa: B023 - asked at once
        _until(lambda: desk.row("SELECT last_value FROM tries")[0] > 1)
        desk.database.execute("DROP TRIGGER suffer ON audit_seals")
        _until(lambda: desk.row("SELECT count(*) FROM audit_seals")[0] > 0)
