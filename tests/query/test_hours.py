"""What was counted by the hour comes to the same as the rows, whatever came late, was judged anew or still waits."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.errors import LockNotAvailable

from app.accounts.model import Scope
from app.query.buckets import has_whole_hours
from app.storage import counting
from app.storage.counting import count_next, histogram, packed, recounted, to_three_digits
from app.storage.database import connect
from tests.query.conftest import START, Caller, Rows

RAW = "size[gte]=0"
"""All rows fit, and the hours know nothing of it: the answer is counted over the rows."""

QUESTIONS = (
    "",
    "bucket=day&group_by=source,status",
    "bucket=hour&tz=America/New_York&group_by=verdict",
    "bucket=week&group_by=provider,reason,via&tz=UTC",
    "bucket=day&tz=Asia/Kolkata",
    "received_at[gte]=2026-03-09T10:20:00Z&group_by=via",
    "received_at[gte]=2026-03-09T10:20:00Z&received_at[lt]=2026-03-12&bucket=hour",
    "received_at[gt]=2026-03-09T10:00:00Z&received_at[lte]=2026-03-10T10:00:00Z&group_by=source",
    "received_at[gte]=2026-03-09T11:17:00Z&received_at[lt]=2026-03-11T09:33:00Z&bucket=day&group_by=status",
    "received_at[gte]=2026-03-09T10:20:00Z&received_at[lt]=2026-03-09T10:40:00Z",
    "received_at=2026-03-10&group_by=source",
    "source=t&bucket=day",
    "provider=wegroup&group_by=source",
    "status=pending,quarantined&group_by=status&bucket=day",
    "status[ne]=accepted&reason[ne]=not-json&group_by=reason",
    "reason[null]=true&verdict=verified,invalid&via[nin]=import&group_by=via",
)


@pytest.fixture
def database(database_url: str) -> Iterator[Connection[Any]]:
    """A connection of the processor's kind."""
    with connect(database_url) as connection:
        yield connection


class Life:
    """Deliveries that come, are processed, judged anew and counted, in any order."""

    def __init__(self, rows: Rows, database: Connection[Any], seed: int) -> None:
        self.rows, self.database = rows, database
        self.dice = random.Random(seed)  # noqa: S311 - a test's dice
        self.sources = [rows.source("s"), rows.source("t"), rows.source("w", "wegroup")]
        self.waiting: list[tuple[UUID, UUID, datetime]] = []
        self.done: list[tuple[UUID, UUID, datetime]] = []

    def come(self) -> None:
        minutes = self.dice.uniform(0, 3 * 24 * 60)
        source = self.dice.choice(self.sources)
        delivery = self.rows.delivery(source, minutes, status=None, via=self.dice.randrange(3), verdict="unsigned")
        self.waiting.append((delivery, source, START + timedelta(minutes=minutes)))

    def judged(self, received_at: datetime) -> dict[str, Any]:
        status, reason = self.dice.choice(
            (("accepted", None), ("accepted", None), ("partial", "unusable-id"), ("quarantined", "not-json"))
        )
        seconds = self.dice.choice((0.04, 0.0417, 3.21987, 86_400.5, 40 * 86_400.0, -0.25))
        processed_at = received_at + timedelta(seconds=seconds)
        verdict = self.dice.choice(("verified", "invalid"))
        return {"status": status, "reason": reason, "verdict": verdict, "processed_at": processed_at}

    def process(self) -> None:
        if self.waiting:
            one = self.waiting.pop(self.dice.randrange(len(self.waiting)))
            self.rows.process(one[0], one[1], **self.judged(one[2]))
            self.database.execute("DELETE FROM inbox WHERE delivery_id = %s", (one[0],))
            self.done.append(one)

    def judge_anew(self) -> None:
        chosen = self.dice.sample(self.done, min(3, len(self.done)))
        with self.database.transaction(), recounted(self.database, [one[0] for one in chosen]):
            for delivery, _, received_at in chosen:
                self.database.execute(
                    "UPDATE outcomes SET status = %(status)s, reason = %(reason)s, verdict = %(verdict)s,"
                    " processed_at = %(processed_at)s WHERE delivery_id = %(id)s",
                    {**self.judged(received_at), "id": delivery},
                )

    def wait_again(self) -> None:
        """Have one that was processed wait in the inbox, as at a replay."""
        if self.done:
            delivery, source, _ = self.dice.choice(self.done)
            self.database.execute("INSERT INTO inbox VALUES (%s, %s) ON CONFLICT DO NOTHING", (delivery, source))

    def count(self) -> None:
        count_next(self.database)

    def go_on(self, steps: int) -> None:
        ways = (self.come, self.come, self.process, self.process, self.judge_anew, self.wait_again, self.count)
        for _ in range(steps):
            self.dice.choice(ways)()


def _assert_same(caller: Caller, key: str) -> None:
    for question in QUESTIONS:
        by_hours, by_rows = (
            caller.found(key, f"/v1/stats/deliveries?{'&'.join(filter(None, (question, more)))}") for more in ("", RAW)
        )
        assert by_hours == by_rows, question


@pytest.mark.parametrize("seed", range(2))
def test_the_hours_come_to_the_same_as_the_rows(
    rows: Rows, database: Connection[Any], open_caller: Callable[[], Caller], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(counting, "_AT_ONCE", 7)
    monkeypatch.setattr(counting, "_MOST_HOURS", 5)
    key = rows.key(Scope.READ)
    life = Life(rows, database, seed)
    walled = rows.key(Scope.READ, source_ids=life.sources[1:])
    caller = open_caller()
    life.go_on(60)
    _assert_same(caller, key)
    life.go_on(60)
    _assert_same(caller, walled)
    while count_next(database):
        pass
    _assert_same(caller, key)
    (counted, processed) = database.execute(
        "SELECT (SELECT sum(number) FROM delivery_counts), (SELECT count(*) FROM outcomes)"
    ).fetchone() or (0, 0)
    assert counted == processed > 0


def test_answers_are_taken_from_the_hours(
    rows: Rows, database: Connection[Any], open_caller: Callable[[], Caller]
) -> None:
    key, broker = rows.key(Scope.READ), rows.key(Scope.READ, brokers=["b"])
    source = rows.source("s")
    for minutes in range(0, 240, 20):
        rows.delivery(source, minutes, brokers=["b"])
    count_next(database)
    database.execute("UPDATE delivery_counts SET number = number * 10")
    caller = open_caller()

    def total(asking: str, question: str) -> int:
        return sum(row["count"] for row in caller.found(asking, f"/v1/stats/deliveries?{question}"))

    assert total(key, "") == 120
    assert total(key, "received_at[gte]=2026-03-09T10:30:00Z") == 1 + 90  # the hour that is cut apart: its own rows
    assert total(key, "bucket=day&tz=Asia/Kolkata") == 12
    assert total(key, "by=processed_at") == total(key, RAW) == total(broker, "") == 12


def test_rows_of_an_hour_are_put_together(rows: Rows, database: Connection[Any]) -> None:
    source = rows.source("s")
    for minutes in (0, 1, 2, 70):
        rows.delivery(source, minutes)
        count_next(database)
    found = database.execute("SELECT number, is_loose FROM delivery_counts ORDER BY hour").fetchall()
    assert found == [(3, False), (1, False)]
    assert count_next(database) is False


@contextmanager
def _other(url: str) -> Iterator[Connection[Any]]:
    with connect(url, options="-c lock_timeout=200ms") as connection:
        yield connection


def test_no_turn_is_taken_while_an_outcome_is_changed(rows: Rows, database: Connection[Any], database_url: str) -> None:
    delivery = rows.delivery(rows.source("s"))
    with (
        _other(database_url) as other,
        database.transaction(),
        recounted(database, [delivery]),
        pytest.raises(LockNotAvailable),
    ):
        count_next(other)
    assert count_next(database) is False
    assert database.execute("SELECT sum(number) FROM delivery_counts").fetchone() == (1,)


@given(st.dictionaries(st.integers(-(10**9), 10**9), st.integers(1, 9), max_size=9))
def test_what_is_packed_is_read_again(found: dict[int, int]) -> None:
    rounded: dict[float, int] = {}
    for milliseconds, number in found.items():
        short = to_three_digits(milliseconds)
        rounded[short] = rounded.get(short, 0) + number
    assert histogram([packed(rounded)]) == rounded
    assert histogram([packed(rounded), packed({one: -number for one, number in rounded.items()})]) == {}


def test_three_digits_are_kept() -> None:
    assert [to_three_digits(one) for one in (0, 999, 1000, 1239, 123_456, -123_456)] == [
        *(0, 999, 1000, 1240, 123_000, -123_000)
    ]


def test_zones_of_half_hours_are_known() -> None:
    whole = {
        name: has_whole_hours(ZoneInfo(name)) for name in ("UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu")
    }
    assert whole == {"UTC": True, "Europe/Berlin": True, "Asia/Kolkata": False, "Asia/Kathmandu": False}
