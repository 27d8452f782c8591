"""The stream over real HTTP: where it begins, what it resumes, who is cut off, and that it ends."""

import asyncio
import base64
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import orjson
import psycopg
import pytest
from sqlalchemy import delete, select

from app.accounts.model import Scope
from app.accounts.version import bump_version
from app.query import access, feed, fullness
from app.query.feed import Listener, Sent
from app.storage.models import api_keys, audit
from app.times import now
from tests.query.conftest import Rows, Served

_LISTENERS = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%%'"


class Listening:
    """One open stream, read block by block."""

    def __init__(self, served: Served, key: str, query: str = "", last: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {key}"} | ({"Last-Event-ID": last} if last else {})
        self.client = httpx2.Client(timeout=60)
        self.stack = self.client.stream("GET", f"{served.url}/v1/events/stream{query}", headers=headers)
        self.response = self.stack.__enter__()
        self.lines = self.response.iter_lines()

    def block(self) -> dict[str, str]:
        """Return the next block by field; a comment is the field without a name."""
        found: dict[str, str] = {}
        for line in self.lines:
            if not line:
                return found
            name, _, value = line.partition(": ")
            found[name] = value
        raise EOFError

    def event(self) -> dict[str, str]:
        """Return the next block with data."""
        while "data" not in (block := self.block()):
            pass
        return block

    def close(self) -> None:
        self.stack.__exit__(None, None, None)
        self.client.close()


@pytest.fixture
def listen(served: Served) -> Iterator[Callable[..., Listening]]:
    opened: list[Listening] = []

    def open_one(*given: Any) -> Listening:
        opened.append(Listening(served, *given))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def _id(block: dict[str, str]) -> str:
    return str(orjson.loads(block["data"])["id"])


def _event(rows: Rows, source: UUID, number: int, **more: Any) -> str:
    event = rows.event(source, rows.delivery(source, number), number, **more)
    rows.connection.exec_driver_sql("NOTIFY callbox_feed")
    rows.connection.commit()
    return str(event)


def test_it_begins_now_and_each_event_is_as_in_the_list(
    rows: Rows, served: Served, listen: Callable[..., Listening]
) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    _event(rows, source, 1)
    stream = listen(key)
    assert stream.response.status_code == 200
    assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert stream.response.headers["cache-control"] == "private, no-store, no-transform"
    first = stream.block()
    assert first[""] == "callbox"
    lines = {"data": {"text": "zwei\nZeilen"}, "subject": "inquiry/1\u20282\x853"}
    types = ("thinksurance.inquiry.calculated", "wegroup.lead\nid: 0")
    made = [_event(rows, source, number, type=kind, **lines) for number, kind in enumerate(types, 2)]
    heard = [stream.event(), stream.event()]
    assert [_id(block) for block in heard] == made
    assert [block["event"] for block in heard] == [types[0], "wegroup.lead id: 0"]
    headers = {"Authorization": f"Bearer {key}"}
    listed = httpx2.get(f"{served.url}/v1/events/{made[0]}", headers=headers).json()
    assert orjson.loads(heard[0]["data"]) == listed
    assert listed["data"] is None  # hidden here too
    # Every id resumes the list as well, and the beginning's id everything.
    for cursor, expected in ((first["id"], made), (heard[0]["id"], made[1:])):
        page = httpx2.get(f"{served.url}/v1/events?order=asc&cursor={cursor}", headers=headers).json()
        assert [row["id"] for row in page["data"]] == expected


def test_its_place_does_not_tell_how_much_others_get(rows: Rows, listen: Callable[..., Listening]) -> None:
    rows.connection.exec_driver_sql("SELECT setval('feed_seq', 987654321)")
    _event(rows, rows.source("other"), 1)
    place = listen(rows.key(Scope.READ, source_ids=[rows.source("s")])).block()["id"]
    assert b"98765432" not in base64.urlsafe_b64decode(place + "==")


def test_who_hears_nothing_is_told_its_place(
    rows: Rows, listen: Callable[..., Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.query.stream.HEARTBEAT_S", 0.0)
    source, other, key = rows.source("s"), rows.source("other"), rows.key(Scope.READ)
    begun = listen(key, "?source=s")
    first = begun.block()["id"]
    _event(rows, other, 1)
    while (beat := begun.block())["id"] == first:
        pass
    assert beat == {"": "callbox", "id": beat["id"]}
    made = _event(rows, source, 2)
    assert _id(listen(key, "?source=s", beat["id"]).event()) == made


def test_it_resumes_without_gap_or_repeat(
    rows: Rows, listen: Callable[..., Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "PAGE", 3)
    source, other = rows.source("s"), rows.source("other")
    key = rows.key(Scope.READ, Scope.READ_PERSONAL)
    begun = listen(key, "?source=s")
    cursor = begun.block()["id"]
    made = [_event(rows, source, number) for number in range(8)]
    _event(rows, other, 9)
    assert [_id(begun.event()) for _ in made] == made
    by_cursor, by_header = listen(key, f"?source=s&cursor={cursor}"), listen(key, f"?source=s&cursor={cursor}")
    heard = [by_cursor.event() for _ in made]
    assert [_id(block) for block in heard] == made
    by_header = listen(key, f"?source=s&cursor={cursor}", heard[4]["id"])  # as a browser that lost its connection
    later = [_event(rows, source, number) for number in range(10, 15)]
    assert [_id(by_header.event()) for _ in range(8)] == made[5:] + later
    assert [_id(by_cursor.event()) for _ in later] == later
    assert [_id(begun.event()) for _ in later] == later


def test_what_comes_while_one_joins_the_others_is_not_missed(
    rows: Rows, served: Served, listen: Callable[..., Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    first = listen(key)
    cursor, made = first.block()["id"], [_event(rows, source, 1)]
    assert _id(first.event()) == made[0]
    read = feed.Asked.page

    async def page(self: feed.Asked, after: int, until: int | None = None) -> feed.Page:
        found = await read(self, after, until)
        if after == 0 and len(made) == 1:  # what was missed; the group is further already
            made.append(await asyncio.to_thread(_event, rows, source, 2))
            (group,) = served.app.state.streams._groups.values()
            await asyncio.to_thread(_wait_for, lambda: group.position == rows.seq)
        return found

    monkeypatch.setattr(feed.Asked, "page", page)
    joined = listen(key, f"?cursor={cursor}")
    assert [_id(joined.event()) for _ in range(2)] == made


def test_large_events_are_read_few_at_a_time(
    rows: Rows, listen: Callable[..., Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fullness, "MOST_BYTES", 150_000)
    pages: list[int] = []
    read = feed.Asked.page

    async def page(self: feed.Asked, after: int, until: int | None = None) -> feed.Page:
        pages.append(len((found := await read(self, after, until)).sent))
        return found

    monkeypatch.setattr(feed.Asked, "page", page)
    source, key = rows.source("s"), rows.key(Scope.READ, Scope.READ_PERSONAL)
    begun = listen(key)
    cursor = begun.block()["id"]
    made = [_event(rows, source, number, data={"text": secrets.token_hex(50_000)}) for number in range(7)]
    assert [_id(begun.event()) for _ in made] == made
    missed = listen(key, f"?cursor={cursor}")
    assert [_id(missed.event()) for _ in made] == made
    assert max(pages) == 2


def test_a_source_that_is_made_later_is_not_missed(
    rows: Rows, served: Served, listen: Callable[..., Listening]
) -> None:
    source, _, key = rows.source("s"), rows.source("w", "wegroup"), rows.key(Scope.READ)
    queries = ("?provider=thinksurance", "?subject=inquiry/1", "?provider[ne]=wegroup", "?source=s")
    streams = [listen(key, query) for query in queries]
    cursors = [stream.block()["id"] for stream in streams]
    within = listen(rows.key(Scope.READ, source_ids=[source]), queries[0])
    within.block()
    late = rows.source("late")
    made = [_event(rows, one, number) for number, one in enumerate((late, source))]
    assert [_id(stream.event()) for stream in (within, streams.pop())] == [made[1]] * 2
    for stream in streams:
        with pytest.raises(EOFError):
            stream.event()
    driver: Any = rows.connection.connection.driver_connection
    bump_version(driver)
    rows.connection.commit()
    _wait_for(lambda: late in served.app.state.reading.book.present.sources)
    for query, cursor in zip(queries[:3], cursors, strict=False):
        resumed = listen(key, query, cursor)
        assert [_id(resumed.event()) for _ in made] == made


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_notices_events_that_nobody_announced(rows: Rows, listen: Callable[..., Listening]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    stream = listen(key)
    stream.block()
    event = rows.event(source, rows.delivery(source))
    assert _id(stream.event()) == str(event)


def _until(rows: Rows, question: str) -> None:
    """Ask until there is exactly one row: a process listens a moment after its first reader has come."""
    deadline = time.monotonic() + 60
    while rows.connection.exec_driver_sql(question).rowcount != 1:
        assert time.monotonic() < deadline
        rows.connection.commit()
        time.sleep(0.02)
    rows.connection.commit()


def test_it_goes_on_when_the_listening_connection_was_lost(rows: Rows, listen: Callable[..., Listening]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    stream = listen(key)
    first = _event(rows, source, 1)
    assert _id(stream.event()) == first
    _until(rows, f"SELECT pg_terminate_backend(pid) {_LISTENERS}")
    second = _event(rows, source, 2)
    assert _id(stream.event()) == second


def test_it_goes_on_when_the_database_was_too_slow(
    rows: Rows, listen: Callable[..., Listening], database_url: str
) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    listening = listen(key)
    first = _event(rows, source, 1)
    assert _id(listening.event()) == first
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'events'::regclass"
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE events")
        _until(rows, waiting)
        _until(rows, f"SELECT 1 WHERE NOT EXISTS ({waiting})")
    second = _event(rows, source, 2)
    assert _id(listening.event()) == second


def test_there_is_room_for_so_many(
    rows: Rows, served: Served, listen: Callable[..., Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST_LISTENERS", 1)
    rows.source("s")
    key, personal = rows.key(Scope.READ), rows.key(Scope.READ, Scope.READ_PERSONAL)
    rows.connection.exec_driver_sql("LOCK TABLE audit")
    assert listen(personal).response.status_code == 503  # it cannot be noted, and takes no room
    rows.connection.rollback()
    heard = listen(key)
    heard.block()
    refused = listen(key)
    assert (refused.response.status_code, refused.response.headers["retry-after"]) == (503, "5")
    assert orjson.loads(refused.response.read())["code"] == "too-many-streams"
    heard.close()
    _wait_for(lambda: not served.app.state.streams._listeners)
    listen(key).block()


def test_all_who_ask_the_same_share_one_reading(rows: Rows, served: Served, listen: Callable[..., Listening]) -> None:
    source = rows.source("s")
    keys = [rows.key(Scope.READ) for _ in range(6)]
    walled = rows.key(Scope.READ, source_ids=[rows.source("other")])
    streams = [listen(key) for key in keys]
    silent = listen(walled)
    made = _event(rows, source, 1)
    assert [_id(stream.event()) for stream in streams] == [made] * 6
    held = served.app.state.streams
    assert len(held._groups) == 2
    _wait_for(lambda: not any(group.news.is_set() for group in held._groups.values()))  # they rest
    _until(rows, f"SELECT 1 {_LISTENERS}")
    assert "data" not in silent.block()
    tasks = [*held._tasks.values()]
    for stream in [*streams, silent]:
        stream.close()
    _wait_for(lambda: not (held._groups or held._listeners or held._watch))
    _wait_for(lambda: all(task.done() for task in tasks))


def test_it_ends_with_the_process_and_with_the_key(
    rows: Rows, served: Served, listen: Callable[..., Listening]
) -> None:
    rows.source("s")
    lost, kept = rows.key(Scope.READ), rows.key(Scope.READ, Scope.READ_PERSONAL)
    streams = [listen(lost), listen(kept)]
    rows.connection.execute(delete(api_keys).where(api_keys.c.scopes == [Scope.READ.value]))
    driver: Any = rows.connection.connection.driver_connection
    bump_version(driver)
    rows.connection.commit()
    with pytest.raises(EOFError):
        streams[0].event()
    served.app.state.streams.end()
    with pytest.raises(EOFError):
        streams[1].event()
    refused = listen(kept)
    assert refused.response.status_code == 503
    assert refused.response.headers["retry-after"] == "5"


def test_it_ends_when_the_key_does(
    rows: Rows, listen: Callable[..., Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.source("s")
    listening = listen(rows.key(Scope.READ, expires_at=now() + timedelta(hours=1)))
    monkeypatch.setattr(access, "now", lambda: now() + timedelta(hours=2))
    with pytest.raises(EOFError):
        listening.event()


def test_reading_it_is_noted(rows: Rows, listen: Callable[..., Listening]) -> None:
    source = rows.source("s")
    key, plain = rows.key(Scope.READ, Scope.READ_PERSONAL), rows.key(Scope.READ)
    listen(plain).block()
    stream = listen(key)
    stream.block()
    noted = select(audit.c.detail).where(audit.c.action == "personal.read").order_by(audit.c.id)
    (begun,) = rows.connection.execute(noted).scalars().all()
    assert (begun["resource"], begun["since_seq"]) == ("events/stream", 0)
    _event(rows, source, 1)
    stream.event()
    stream.close()
    deadline = time.monotonic() + 60
    while len(details := rows.connection.execute(noted).scalars().all()) < 2:
        rows.connection.commit()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (details[1]["events"], details[1]["until"]) == (1, rows.seq)


@pytest.mark.parametrize(
    ("query", "name"), [("?limit=5", "limit"), ("?order=asc", "order"), ("?cursor=nonsense", "cursor"), ("?x=1", "x")]
)
def test_what_it_does_not_take(rows: Rows, listen: Callable[..., Listening], query: str, name: str) -> None:
    stream = listen(rows.key(Scope.READ), query)
    assert stream.response.status_code == 422
    assert orjson.loads(stream.response.read())["errors"][0]["name"] == name


def test_without_a_key(listen: Callable[..., Listening]) -> None:
    assert listen("nonsense").response.status_code == 401


def test_who_falls_too_far_behind_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MOST_WAITING_BYTES", 100)

    async def offered() -> Listener:
        listener = Listener()
        listener.offer([Sent(1, b"x" * 150)])  # one that is larger than all must get through nevertheless
        assert not listener.over.is_set()
        assert [one.seq for one in listener.take()] == [1]
        listener.offer([Sent(2, b"x" * 60)])
        listener.offer([Sent(2, b"x" * 30)])  # what was taken counts no more
        assert not listener.over.is_set()
        assert listener.news.is_set()
        assert len(listener.take()) == 2
        assert not listener.news.is_set()
        listener.offer([Sent(2, b"x" * 90)])
        listener.offer([Sent(3, b"x" * 20)])
        return listener

    assert asyncio.run(offered()).over.is_set()


_SERVICE = """
import socket, sys, uvicorn
from app.config import load_settings
from app.main import create_app
from app.server.bounds import BoundedProtocol
listening = socket.socket()
listening.bind(("127.0.0.1", 0))
listening.listen()
print(listening.getsockname()[1], flush=True)
config = uvicorn.Config(
    create_app(load_settings()), http=BoundedProtocol, log_config=None, lifespan="on", timeout_graceful_shutdown=60
)
uvicorn.Server(config).run(sockets=[listening])
"""


@pytest.mark.process
def test_it_ends_at_sigterm(rows: Rows, database_url: str, encryption_key: str) -> None:
    key = rows.key(Scope.READ)
    settings = {"CALLBOX_DATABASE_URL": database_url, "CALLBOX_ENCRYPTION_KEY": encryption_key}
    with subprocess.Popen(
        [sys.executable, "-c", _SERVICE], env=os.environ | settings, stdout=subprocess.PIPE, text=True
    ) as service:
        try:
            assert service.stdout is not None
            served = Served(f"http://127.0.0.1:{int(service.stdout.readline())}", None)
            stream = Listening(served, key)
            stream.block()
            begun = time.monotonic()
            service.terminate()
            with pytest.raises(EOFError):
                stream.event()
            stream.close()
            service.wait(60)
            assert time.monotonic() - begun < 45
        finally:
            service.kill()
