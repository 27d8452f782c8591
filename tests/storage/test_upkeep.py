"""Partitions are made while the service runs: with a clock that stands 14 months on, and with locks in the way."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from app.accounts import keys, store
from app.accounts.model import Scope
from app.accounts.writing import Connection, Platform
from app.config import load_settings
from app.crypto import Vault
from app.ids import IdSource, first_id_at
from app.main import create_app
from app.processing.work import Worker
from app.providers import PROVIDERS
from app.storage import upkeep
from app.storage.database import MIGRATION_LOCK, connect
from app.storage.partitions import PARTITION_KEYS, months_around
from app.storage.upkeep import EVERY, Counting, Upkeep
from app.times import now, to_text
from tests.overheard import overheard
from tests.processing.conftest import Desk

LATER = months_around(now(), 14)[-1][0] + timedelta(days=16, hours=3)
"""The middle of the month that comes in 14 months."""


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def seed(connection: Connection, moment: datetime, source_id: Any = None) -> None:
    """Lay down an empty delivery of a moment, which no new id lies below from then on."""
    connection.execute(
        "INSERT INTO deliveries (id, source_id, received_at, via, method, answered, verdict, size, judged, body_sha256,"
        " remote_addr, query, headers, body) VALUES (%s, %s, %s, 0, 0, 202, 3, 0, '', '', '', '', '[]', '')",
        (IdSource(first_id_at(moment)).next(), source_id or IdSource().next(), moment),
    )


def lying(connection: Connection, table: str) -> dict[str, int]:
    """Return how many rows lie in which partition."""
    rows = connection.execute(f"SELECT tableoid::regclass::text, count(*) FROM {table} GROUP BY 1")  # noqa: S608 - ours
    return dict(rows.fetchall())


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_fourteen_months_on(
    connection: Connection, database_url: str, encryption_key: str, vault: Vault, tmp_path: Path
) -> None:
    """Nobody migrated for 14 months: what comes is kept, and lies in its month as soon as the work process looks."""
    month = f"{LATER:%Y%m}"
    source = store.add_source(connection, vault, Platform("wegroup"), "later")
    reader = keys.add_key(connection, "reader", [Scope.READ, Scope.READ_PERSONAL]).key
    seed(connection, LATER, source.id)
    settings = load_settings(database_url=database_url, encryption_key=encryption_key, data_dir=tmp_path)
    stop = threading.Event()
    with TestClient(create_app(settings)) as client:

        def receive(lead: str) -> None:
            body = {"id": lead, "event": "lead.updated"}
            assert client.post(f"/callbacks/wegroup/{source.token.token}", json=body).status_code == 200

        receive("unpartitioned")
        assert lying(connection, "deliveries") == {"deliveries_default": 2}
        thread = threading.Thread(target=Upkeep(database_url, lambda: LATER).run, args=(stop,))
        thread.start()
        until(lambda: lying(connection, "deliveries") == {f"deliveries_{month}": 2})
        months = [f"{start:%Y%m}" for start, _ in months_around(LATER)]
        wanted = [f"{table}_{month}" for table in PARTITION_KEYS for month in months]
        question = "SELECT count(*) FROM unnest(%s::text[]) AS n WHERE to_regclass(n) IS NOT NULL"
        until(lambda: connection.execute(question, (wanted,)).fetchone() == (len(wanted),))
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
        receive("partitioned")
        processor = Worker(vault, PROVIDERS, ZoneInfo("UTC")).on(connection)
        while processor.step():
            pass
        assert lying(connection, "deliveries") == {f"deliveries_{month}": 3}
        assert lying(connection, "outcomes") == {f"outcomes_{month}": 2}
        assert lying(connection, "events") == {f"events_{month}": 2}
        seed(connection, now(), source.id)
        day = timedelta(days=1)
        bounds = f"received_at[gte]={to_text(LATER - day)}&received_at[lt]={to_text(LATER + day)}"
        for kind, number in (("deliveries", 3), ("events", 2)):
            with overheard() as seen:
                answer = client.get(f"/v1/{kind}?{bounds}", headers={"Authorization": f"Bearer {reader}"})
            assert len(answer.json()["data"]) == number, answer.text
            (asked,) = [one for one in seen if f"FROM {kind}" in one[0]]
            plan = "\n".join(row[0] for row in connection.execute("EXPLAIN " + asked[0], asked[1]))
            assert set(re.findall(rf"\b{kind}_(?:\d{{6}}|default)\b", plan)) == {f"{kind}_{month}"}, plan


def test_who_holds_a_lock_is_not_waited_for(
    connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LOCK_TIMEOUT_MS", 100)
    keeper = Upkeep(database_url, lambda: LATER)
    with psycopg.connect(database_url) as other, capture_logs() as logs:
        seed(other, LATER)
        assert [keeper.turn(), keeper.turn()] == [False, False]
        assert [one["event"] for one in logs] == ["partitions.not_made"], "said once"
        seed(connection, now())  # nobody waits behind it
        other.commit()
        assert keeper.turn()
    assert lying(connection, "deliveries")[f"deliveries_{LATER:%Y%m}"] == 1


def test_another_one_at_it_is_left_alone(connection: Connection, database_url: str) -> None:
    connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
    assert Upkeep(database_url, lambda: LATER).turn()
    assert connection.execute("SELECT to_regclass(%s)", (f"events_{LATER:%Y%m}",)).fetchone() == (None,)


def test_a_database_that_is_away_is_asked_again() -> None:
    keeper = Upkeep("postgresql://nobody@127.0.0.1:1/nothing")
    with capture_logs() as logs:
        assert not keeper.turn()
    assert [one["reason"] for one in logs] == ["the database is away"]


@pytest.mark.parametrize(
    ("moment", "pause"),
    [
        (datetime(2027, 3, 31, 23, 59, 30, tzinfo=UTC), timedelta(seconds=30)),
        (datetime(2027, 12, 31, 22, 30, tzinfo=UTC), EVERY),
        (datetime(2027, 4, 1, tzinfo=UTC), EVERY),
    ],
)
def test_the_turn_of_a_month_is_waited_for(moment: datetime, pause: timedelta) -> None:
    assert Upkeep("", lambda: moment)._pause() == pause


def test_what_was_processed_is_counted_soon(database_url: str, vault: Vault) -> None:
    with closing(connect(database_url)) as connection:
        desk = Desk(connection, vault)
        desk.lay(b"no JSON")
        desk.process()
        stop = threading.Event()
        thread = threading.Thread(target=Counting(database_url).run, args=(stop,), daemon=True)
        thread.start()
        until(lambda: desk.rows("SELECT sum(number) FROM delivery_counts") == [(1,)])
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def test_counting_outlives_a_database_that_is_not_there() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=Counting("postgresql://127.0.0.1:1/none").run, args=(stop,), daemon=True)
    with capture_logs() as logs:
        thread.start()
        until(lambda: bool(logs))
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    assert [(one["event"], one["reason"]) for one in logs] == [("counting.failed", "the database is away")]
