"""Walking through lists: pages without gap or repeat, cursors good for one question only, feeds to be followed."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.accounts.model import Access, Accounts, Scope
from app.accounts.version import bump_version
from app.ids import IdSource
from app.query import Reading, lists
from app.query.cursor import Binding, CursorAhead, CursorInvalid, Position, read_cursor, write_cursor
from app.query.feed import check_place
from app.storage.engine import open_read_engine
from app.times import now
from tests.databases import Databases
from tests.query.conftest import START, Caller, Rows

KEY = b"a key of the tests"


class AccountsOfNobody:
    """A book without accounts."""

    present = Accounts(sources={}, tokens={}, keys={})

    async def refresh(self) -> None:
        raise AssertionError


ACCESS = Access(IdSource().next(), "test", frozenset({Scope.READ}))


@given(st.lists(st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 2**62))))
def test_a_cursor_gives_back_its_position(after: list[str | int]) -> None:
    binding = Binding.of("inquiries", "desc", [("status", "4")], ACCESS)
    position = Position(tuple(after), 5)
    text = write_cursor(KEY, binding, position)
    if len(text) <= 1000:
        assert read_cursor(KEY, binding, text) == position


@given(st.text())
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(CursorInvalid):
        read_cursor(KEY, Binding.of("inquiries", "desc", [], ACCESS), text)


def test_a_changed_cursor_is_refused() -> None:
    binding = Binding.of("inquiries", "desc", [], ACCESS)
    text = write_cursor(KEY, binding, Position(("a",)))
    for place, char in enumerate(text):
        changed = text[:place] + ("B" if char == "A" else "A") + text[place + 1 :]
        if place < len(text) - 1:  # the last character's low bits mean nothing
            with pytest.raises(CursorInvalid):
                read_cursor(KEY, binding, changed)


def test_a_cursor_that_was_only_signed_is_read_still() -> None:
    """Followers keep theirs: one of 23 November 2026, written by the code of then."""
    text = "j7LTgZG2QGakhugaolQ9oVtbNDcxMV0sMTc5NTAwMDAwMDAwMF0"
    binding = Binding.of("events", "asc", [("source", "s")], ACCESS)
    assert read_cursor(KEY, binding, text) == Position((4711,), 1_795_000_000_000)
    with pytest.raises(CursorInvalid):
        read_cursor(KEY, Binding.of("events", "asc", [], ACCESS), text)


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_pages_have_no_gap_and_no_repeat(rows: Rows, open_caller: Callable[[], Caller], order: str) -> None:
    source = rows.source("s")
    for number in range(11):
        rows.inquiry(source, number, number // 4, status=number % 2)
    caller, key = open_caller(), rows.key(Scope.READ)
    path = f"/v1/inquiries?limit=2&order={order}&status=0&source=s"
    found = caller.walk(key, path)
    ids = [row["id"] for row in found]
    assert len(ids) == len(set(ids)) == 6
    assert ids == sorted(ids, reverse=order == "desc")


def test_a_cursor_is_good_for_its_question_only(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s")
    for number in range(4):
        rows.inquiry(source, number, status=4, broker_external_id="B-1")
    rows.source("t")
    caller = open_caller()
    key, twin = rows.key(Scope.READ), rows.key(Scope.READ)
    walled, personal = rows.key(Scope.READ, brokers=["B-1"]), rows.key(Scope.READ, Scope.READ_PERSONAL)
    of_source = rows.key(Scope.READ, source_ids=[source])
    cursor = caller.get(key, "/v1/inquiries?limit=1&status=4").json()["next_cursor"]

    def status(key: str, path: str) -> int:
        response = caller.get(key, f"{path}{'&' if '?' in path else '?'}cursor={cursor}")
        if response.status_code == 422:
            assert response.json()["code"] == "cursor-invalid"
        return int(response.status_code)

    assert status(key, "/v1/inquiries?status=4") == 200
    assert status(key, "/v1/inquiries?status=4&limit=3") == 200
    assert status(twin, "/v1/inquiries?status=4") == 200
    assert status(key, "/v1/inquiries?status=6") == 422
    assert status(key, "/v1/inquiries") == 422
    assert status(key, "/v1/inquiries?status=4&order=asc") == 422
    assert status(key, "/v1/customers") == 422
    assert status(walled, "/v1/inquiries?status=4") == 422
    assert status(of_source, "/v1/inquiries?status=4") == 422
    assert status(personal, "/v1/inquiries?status=4") == 422
    cursor = "nonsense"
    assert status(key, "/v1/inquiries?status=4") == 422
    cursor = caller.get(key, "/v1/inquiries?limit=1").json()["next_cursor"]
    assert status(key, "/v1/inquiries") == 200
    assert status(key, "/v1/customers") == 422
    cursor = caller.get(key, "/v1/inquiries?limit=1&source=s&source=t&status=4").json()["next_cursor"]
    assert status(key, "/v1/inquiries?status=4&source=t&source=s") == 200


def test_a_feed_is_followed_without_gap_or_repeat(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s")
    key = rows.key(Scope.READ)
    late = rows.delivery(source, 0, status=None)
    first = [rows.delivery(source, number) for number in (1, 2, 3)]
    caller = open_caller()

    def page(cursor: str | None) -> dict[str, Any]:
        params = {"order": "asc", "limit": "2", "source": "s"} | ({"cursor": cursor} if cursor else {})
        response = caller.get(key, "/v1/deliveries", params=params)
        assert response.status_code == 200, response.text
        return dict(response.json())

    assert caller.found(key, "/v1/deliveries?order=asc&source=s&fields=id") == [{"id": str(one)} for one in first]
    one = page(None)
    assert [row["id"] for row in one["data"]] == [str(delivery) for delivery in first[:2]]
    assert one["next_cursor"] == one["follow_cursor"]
    assert one["caught_up"] is False
    assert one["lag_seconds"] > 1000
    two = page(one["follow_cursor"])
    assert [row["id"] for row in two["data"]] == [str(first[2])]
    assert (two["next_cursor"], two["caught_up"]) == (None, True)
    three = page(two["follow_cursor"])
    assert (three["data"], three["next_cursor"], three["caught_up"]) == ([], None, True)
    rows.connection.exec_driver_sql("DELETE FROM inbox")
    rows.process(late, source)  # an old delivery that became readable just now
    four = page(three["follow_cursor"])
    assert [row["id"] for row in four["data"]] == [str(late)]
    assert four["lag_seconds"] == 0.0


def test_relative_times_stay_on_the_next_page_and_go_with_the_clock_in_a_feed(
    rows: Rows, open_caller: Callable[[], Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    recent = (now() - START) / timedelta(minutes=1) - 5
    older, newer = (str(rows.delivery(source, recent + number)) for number in range(2))
    caller = open_caller()

    def found(query: str) -> tuple[list[str], str]:
        page = caller.get(key, f"/v1/deliveries?received_at[gte]=-1h&limit=1{query}").json()
        return [row["id"] for row in page["data"]], page.get("follow_cursor") or page["next_cursor"]

    ids, cursor = found("")
    fed, follow_cursor = found("&order=asc")
    assert (ids, fed) == ([newer], [older])
    monkeypatch.setattr(lists, "moment_of", lambda _: now() + timedelta(hours=2))
    assert found(f"&cursor={cursor}")[0] == [older]
    assert found(f"&order=asc&cursor={follow_cursor}")[0] == []


def test_an_empty_feed_can_be_followed_from_its_beginning(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    caller = open_caller()
    empty = caller.get(key, "/v1/events?order=asc").json()
    assert (empty["data"], empty["caught_up"], empty["lag_seconds"]) == ([], True, 0.0)
    event = rows.event(source, rows.delivery(source))
    page = caller.get(key, f"/v1/events?order=asc&cursor={empty['follow_cursor']}").json()
    assert [row["id"] for row in page["data"]] == [str(event)]


@pytest.mark.parametrize("query", ["provider=thinksurance", "provider[ne]=wegroup", "subject=inquiry/7"])
def test_a_follower_is_not_led_past_a_source_that_is_made_meanwhile(
    rows: Rows, open_caller: Callable[[], Caller], query: str
) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    rows.source("w", "wegroup")
    caller = open_caller()
    cursor = caller.get(key, f"/v1/events?order=asc&{query}").json()["follow_cursor"]
    late = rows.source("late")  # not read yet by the process that is asked
    driver: Any = rows.connection.connection.driver_connection
    bump_version(driver)
    rows.connection.commit()
    made = [str(rows.event(one, rows.delivery(one), subject="inquiry/7")) for one in (late, source)]
    page = caller.get(key, f"/v1/events?order=asc&{query}&cursor={cursor}").json()
    assert [row["id"] for row in page["data"]] == made


def test_a_replay_is_no_lag(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ, Scope.WRITE)
    delivery = rows.delivery(source)
    caller = open_caller()
    assert caller.post(key, f"/v1/deliveries/{delivery}/replay").status_code == 202
    assert caller.get(key, "/v1/deliveries?order=asc").json()["lag_seconds"] == 0.0
    rows.delivery(source, 1, status=None)
    assert caller.get(key, "/v1/deliveries?order=asc").json()["lag_seconds"] > 1000


def test_what_waits_beyond_a_wall_is_no_lag(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    one, two = rows.source("one"), rows.source("two")
    since_start = (now() - START) / timedelta(minutes=1)
    for minutes in (since_start, 0, since_start):
        rows.delivery(two, minutes, status=None)
    inside, outside = (rows.key(Scope.READ, source_ids=[source]) for source in (two, one))
    caller = open_caller()
    for path in ("deliveries", "events"):
        lags = [caller.get(key, f"/v1/{path}?order=asc").json()["lag_seconds"] for key in (inside, outside)]
        assert (lags[0] > 1000, lags[1]) == (True, 0.0), path


def test_a_place_that_was_never_given_is_refused_once_a_backup_was_restored(
    rows: Rows, open_caller: Callable[[], Caller]
) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    caller = open_caller()

    def put(number: int) -> None:
        rows.event(source, rows.delivery(source, number), number)

    def follow(name: str, cursor: str | None = None) -> Any:
        return caller.get(key, f"/v1/{name}?order=asc{f'&cursor={cursor}' if cursor else ''}")

    put(1)
    backup = rows.seq
    kept = {name: follow(name).json()["follow_cursor"] for name in ("events", "deliveries")}
    put(2)
    rows.connection.exec_driver_sql("SELECT nextval('feed_seq')")  # given, and not to be seen yet
    rows.connection.commit()
    lost = {name: follow(name, cursor).json()["follow_cursor"] for name, cursor in kept.items()}
    for name, cursor in lost.items():
        page = follow(name, cursor)
        assert (page.status_code, page.json()["data"], page.json()["caught_up"]) == (200, [], True)
    rows.connection.exec_driver_sql("DELETE FROM events WHERE seq > %s", (backup,))  # retention drops rows, too
    rows.connection.exec_driver_sql("DELETE FROM outcomes WHERE seq > %s", (backup,))
    rows.connection.commit()
    assert {follow(name, cursor).status_code for name, cursor in lost.items()} == {200}
    rows.connection.exec_driver_sql("SELECT setval('feed_seq', %s)", (backup,))
    rows.connection.commit()
    for name, cursor in lost.items():
        refused = follow(name, cursor)
        assert (refused.status_code, refused.json()["code"]) == (422, "cursor-ahead")
        assert refused.json()["errors"][0]["name"] == "cursor"
        assert follow(name, kept[name]).status_code == 200
    asked = {"Authorization": f"Bearer {key}", "Last-Event-ID": lost["events"]}
    stream = caller.client.get("/v1/events/stream", headers=asked)
    assert (stream.status_code, stream.json()["code"]) == (422, "cursor-ahead")


def test_what_a_replica_does_not_know_yet_is_not_refused(databases: Databases) -> None:
    behind, primary = (open_read_engine(databases.lend()) for _ in range(2))
    reading = Reading(engine=behind, primary=primary, book=AccountsOfNobody(), cursor_key=KEY)

    async def ask() -> None:
        async with reading.adding() as connection:
            await connection.exec_driver_sql("SELECT setval('feed_seq', 5)")
        await check_place(reading, 5)
        with pytest.raises(CursorAhead):
            await check_place(reading, 6)
        await reading.close()

    asyncio.run(ask())


def test_a_replica_that_is_behind_is_not_caught_up(
    rows: Rows, open_caller: Callable[[], Caller], databases: Databases, database_url: str
) -> None:
    source, other = rows.source("s"), rows.source("other")
    inside, outside = (rows.key(Scope.READ, source_ids=[one]) for one in (source, other))
    rows.event(source, rows.delivery(source))
    caller = open_caller()
    app: Any = caller.client.app
    of_primary = app.state.reading

    def lead(read_url: str, **more: Any) -> None:
        assert caller.client.portal is not None
        caller.client.portal.call(app.state.reading.close)
        app.state.reading = replace(of_primary, engine=open_read_engine(read_url), planned=None, **more)

    def told(key: str, query: str = "") -> set[tuple[int, bool, bool]]:
        """Return of both feeds how much is shown, whether that was all, and whether anything waits."""
        pages = [caller.get(key, f"/v1/{name}?order=asc{query}").json() for name in ("events", "deliveries")]
        assert {page["next_cursor"] is None for page in pages} == {"limit" not in query}
        return {(len(page["data"]), page["caught_up"], page["lag_seconds"] > 1000) for page in pages}

    lead(databases.lend())
    assert told(inside) == {(0, False, True)}
    assert told(outside) == {(0, True, False)}
    rows.delivery(other, status=None)
    assert told(outside) == {(0, True, True)}
    lead(database_url)  # it has all of it by now
    assert told(inside) == {(1, True, False)}
    rows.event(source, rows.delivery(source, 1), 1)
    assert told(inside, "&limit=1") == {(1, False, False)}
    lead(database_url, primary=open_read_engine("postgresql://nobody@127.0.0.1:1/away"))
    assert told(inside) == {(2, False, False)}
