"""Hands new events to many listeners: one database listener a process, one reading for all who ask the same.

What a listener is sent, and when it is over, is told in `stream`.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
import structlog
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.accounts.model import Access
from app.problems import Problem
from app.processing.outcome import FEED
from app.query.cursor import CursorAhead, Position, write_cursor
from app.query.events import EVENTS
from app.query.filters import Parameters, Question
from app.query.flat import to_line
from app.query.fullness import held_rows
from app.query.prepared import driver_of
from app.query.reading import Reading
from app.query.resource import rows_of
from app.query.values import Context
from app.query.walls import walled
from app.storage.models import events, sources

PAGE = 200
EVERY_S = 1.0
"""How often is looked at least, also where no notification comes."""

_OF_SOURCES = frozenset({"provider", "subject"})
"""The filters that are read as the sources of which they hold."""

_HIGHEST_GIVEN = """
SELECT CASE WHEN has_sequence_privilege('feed_seq', 'SELECT, USAGE') THEN pg_sequence_last_value('feed_seq') END
"""

MOST_WAITING_BYTES = 8 << 20
MOST_LISTENERS = 1000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """An event as it goes over the wire, and its place."""

    seq: int
    block: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Events that were read at once; `position` is the place up to which there is none besides."""

    sent: list[Sent]
    position: int
    is_last: bool


class TooManyStreams(Problem):
    """This process has as many listeners as it takes. Poll `/v1/events?order=asc` instead, or try again later."""

    status = 503
    code = "too-many-streams"
    title = "Too many streams"


class AskAnewError(Exception):
    """There is a source that was not there when the filters were read, and they name none."""


@dataclass(slots=True)
class Asked:
    """What a listener asks for, and for whom.

    `sources` are those that the filters were read by, where another one may fit them too; None: no other does.
    """

    reading: Reading
    question: Question
    access: Access
    sources: frozenset[UUID] | None = None

    def cursor(self, seq: int) -> str:
        """Return the cursor that goes on after a place."""
        return write_cursor(self.reading.cursor_key, self.question.binding, Position((seq,)))

    async def top(self) -> int:
        """Return the highest place of all events, 0 where there is none."""
        async with self.reading.asking() as connection:
            return await top_of(connection, events.c.seq)

    async def page(self, after: int, until: int | None = None) -> Page:
        """Return the next events that fit.

        Raises:
            AskAnewError: there may be more that fit, of a source that is new.
        """
        async with self.reading.asking() as connection:
            top = await top_of(connection, events.c.seq) if until is None else until
            if top <= after:
                return Page([], after, is_last=True)
            if await is_another_there(connection, self.sources):
                raise AskAnewError
            statement = walled(EVENTS.in_pages(self.access), events, self.access)
            statement = statement.where(*self.question.conditions, events.c.seq > after, events.c.seq <= top)
            found = await connection.execute(statement.order_by(events.c.seq).limit(PAGE))
            rows = rows_of(found)
        whole, ended_at = await held_rows(self.reading.asking, EVENTS, rows, self.access)
        last = ended_at or (rows[-1] if len(rows) == PAGE else None)
        return Page([self._sent(row) for row in whole], last["seq"] if last else top, is_last=last is None)

    def _sent(self, row: Any) -> Sent:
        shown = to_line(EVENTS.shape(row, self.access, None))
        kind = " ".join(str(row["type"]).split())
        return Sent(
            row["seq"], b"id: %b\nevent: %b\ndata: %b\n\n" % (self.cursor(row["seq"]).encode(), kind.encode(), shown)
        )


async def top_of(connection: AsyncConnection, seq: ColumnElement[int]) -> int:
    """Return the highest place that there is, 0 where there is none."""
    return int((await connection.execute(select(func.coalesce(func.max(seq), 0)))).scalar_one())


async def check_place(reading: Reading, seq: int) -> None:
    """Refuse a place in the feed that was never given; a replica may not know of the latest, so the primary decides.

    The sequence is asked, not the rows: it never falls behind what a reader was shown, whatever is not committed yet,
    was taken back, or was dropped by retention.

    Raises:
        CursorAhead: nothing was given at it or after it.
        DatabaseAway: the database is not there.
    """
    for asking in (reading.asking, reading.adding):
        async with asking() as connection:
            found = await (await driver_of(connection).execute(_HIGHEST_GIVEN)).fetchone()
        if found is not None and (found[0] or 0) >= seq:
            return
    raise CursorAhead


def sources_of(given: Parameters, context: Context) -> frozenset[UUID] | None:
    """Return the sources that filters were read by, None where a source that is made later cannot fit."""
    if context.access.source_ids is not None or {name.partition("[")[0] for name, _ in given}.isdisjoint(_OF_SOURCES):
        return None
    return frozenset(context.sources)


async def is_another_there(connection: AsyncConnection, known: frozenset[UUID] | None) -> bool:
    """Tell whether there is a source by now that is not among the `known` ones, see `sources_of`."""
    return known is not None and not known.issuperset((await connection.scalars(select(sources.c.id))).all())


@dataclass(eq=False, slots=True)
class Listener:
    """One who listens: what waits to be sent, bounded; `over` is set when it must end."""

    over: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: deque[Sent] = field(default_factory=deque)
    bytes_waiting: int = 0

    def offer(self, page: Sequence[Sent]) -> None:
        """Let events wait for their turn; who has fallen too far behind is dropped, and may resume."""
        size = sum(len(one.block) for one in page)
        if self.waiting and self.bytes_waiting + size > MOST_WAITING_BYTES:
            _log.info("stream.dropped", waiting=len(self.waiting))
            self.over.set()
            return
        self.waiting.extend(page)
        self.bytes_waiting += size
        self.news.set()

    def take(self) -> list[Sent]:
        """Return what waits."""
        taken = [*self.waiting]
        self.waiting.clear()
        self.bytes_waiting = 0
        self.news.clear()
        return taken


class Group:
    """All listeners that ask the same and may see the same: the database is asked once for them."""

    def __init__(self, asked: Asked, position: int) -> None:
        self.position = position
        self.members: set[Listener] = set()
        self.news = asyncio.Event()
        self._asked = asked

    async def run(self) -> None:
        """Read and offer what is new, whenever there may be something."""
        while True:
            await self.news.wait()
            self.news.clear()
            try:
                await self._read()
            except AskAnewError:
                for member in self.members:
                    member.over.set()
            except Problem as problem:
                _log.warning("stream.read_failed", reason=problem.code)
                await asyncio.sleep(EVERY_S)

    async def _read(self) -> None:
        while True:
            page = await self._asked.page(self.position)
            if page.sent:
                for member in self.members:
                    member.offer(page.sent)
            self.position = max(self.position, page.position)
            if page.is_last:
                return


class Streams:
    """The streams of one process. Nothing runs and no connection is held while nobody listens."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.ended = False
        self._listeners: set[Listener] = set()
        self._groups: dict[tuple[bytes, frozenset[UUID] | None], Group] = {}
        self._tasks: dict[Group, asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None

    def open(self) -> Listener:
        """Return a new listener, to be closed.

        Raises:
            TooManyStreams: there is no room for another.
        """
        if self.ended or len(self._listeners) >= MOST_LISTENERS:
            raise TooManyStreams(headers={"Retry-After": "5"})
        listener = Listener()
        self._listeners.add(listener)
        return listener

    def join(self, listener: Listener, asked: Asked, position: int) -> Group:
        """Let a listener have all that comes after the group's position; a new group begins at `position`."""
        same = asked.question.binding.digest, asked.sources
        group = self._groups.get(same)
        if group is None:
            group = self._groups[same] = Group(asked, position)
            self._tasks[group] = asyncio.create_task(group.run())
            group.news.set()
        group.members.add(listener)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._keep_watch())
        return group

    def close(self, listener: Listener) -> None:
        """Forget a listener, and what was done for it alone."""
        self._listeners.discard(listener)
        for same, group in [*self._groups.items()]:
            group.members.discard(listener)
            if not group.members:
                del self._groups[same]
                self._tasks.pop(group).cancel()
        if not self._groups and self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def end(self) -> None:
        """End all streams, and open none any more: the process is about to stop."""
        self.ended = True
        for listener in self._listeners:
            listener.over.set()

    async def _keep_watch(self) -> None:
        """Wake the groups at each notification, and every second anyway."""
        url = self.reading.primary.url.set(drivername="postgresql").render_as_string(hide_password=False)
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=2) as connection:
                    await connection.execute(f"LISTEN {FEED}")
                    while True:
                        self._wake()
                        async for _ in connection.notifies(timeout=EVERY_S, stop_after=1):
                            pass
            except (psycopg.Error, OSError) as error:
                _log.warning("stream.listening_failed", kind=type(error).__name__)
            self._wake()
            await asyncio.sleep(EVERY_S)

    def _wake(self) -> None:
        for group in self._groups.values():
            group.news.set()
