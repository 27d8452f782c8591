"""Answers the stream of events: server-sent events, begun now or where a cursor says, until somebody ends it.

Where the events come from is told in `feed`.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.accounts.model import Access
from app.problems import Problem
from app.query.access import KeyWatch, Reader
from app.query.answers import reader_gone
from app.query.cursor import CursorAhead, read_cursor
from app.query.documented import filter_parameters, list_problems, stream_cursor
from app.query.events import EVENTS
from app.query.feed import AskAnewError, Asked, Group, Listener, Sent, Streams, TooManyStreams, check_place, sources_of
from app.query.filters import Slips, read_question
from app.query.reading import moment_of, reading_of
from app.query.trail import note_reading
from app.query.values import Context

HEARTBEAT_S = 15.0
_LAST_S = 1.0
_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"private, no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
)
_NOT_HERE = ("limit", "order")


async def answer_stream(request: Request, access: Access) -> Response:
    """Return the stream of events.

    Raises:
        Problem: a parameter cannot be used, or the database has trouble.
    """
    reading = reading_of(request)
    slips = Slips()
    for name in _NOT_HERE:
        if name in request.query_params:
            slips.add(name, "unknown-parameter", "is not known here: a stream has one order and no end")
    slips.check()
    given = [*request.query_params.multi_items(), ("order", "asc")]
    context = Context(access, moment_of(request), reading.zone, reading.book.present.sources)
    question = read_question(EVENTS.name, EVENTS.fields, given, context, reading.cursor_key)
    position = question.position
    if last := request.headers.get("last-event-id"):  # a browser that comes back repeats its first `cursor` besides
        position = read_cursor(reading.cursor_key, question.binding, last)
    asked = Asked(reading, question, access, sources_of(given, context))
    if position is None:
        start = await asked.top()
    else:
        start = int(str(position.after[0]))
        await check_place(reading, start)
    streams = request.app.state.streams
    if not isinstance(streams, Streams):
        raise TypeError("app.state.streams is not set")
    listener = streams.open()
    try:
        await note_reading(reading, access, "events/stream", [], since_seq=start)
    except BaseException:
        streams.close(listener)
        raise
    return EventStream(streams, asked, listener, start)


class EventStream(Response):
    """The answer that does not end by itself."""

    def __init__(self, streams: Streams, asked: Asked, listener: Listener, start: int) -> None:
        super().__init__()
        self._streams = streams
        self._asked = asked
        self._listener = listener
        self._position = start
        self._sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Send until the caller goes, falls too far behind, loses its key, or the process stops."""
        pump = asyncio.create_task(self._pump(send))
        gone = asyncio.create_task(reader_gone(receive))
        over = asyncio.create_task(self._listener.over.wait())
        try:
            await asyncio.wait({pump, gone, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (pump, gone, over):
                task.cancel()
            outcomes = await asyncio.gather(pump, gone, over, return_exceptions=True)
            self._streams.close(self._listener)
        if isinstance(outcomes[0], Exception) and not isinstance(outcomes[0], Problem):
            raise outcomes[0]
        if outcomes[1] is not True:
            with contextlib.suppress(TimeoutError):  # who does not read does not see the end either
                async with asyncio.timeout(_LAST_S):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
        with contextlib.suppress(Problem):  # the beginning is noted; the end is worth no failure
            await note_reading(
                self._asked.reading, self._asked.access, "events/stream", [], events=self._sent, until=self._position
            )

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS]})
        await _write(send, b"retry: 2000\n" + self._place())
        beat, key = time.monotonic(), KeyWatch(self._asked.reading.book, self._asked.access)
        with contextlib.suppress(AskAnewError):
            async for page in self._pages():
                if not key.is_good():
                    return
                if page:
                    await self._forward(send, page)
                if time.monotonic() - beat >= HEARTBEAT_S:
                    beat = time.monotonic()
                    await _write(send, self._place())

    async def _forward(self, send: Send, page: list[Sent]) -> None:
        new = [one for one in page if one.seq > self._position]
        if new:
            await _write(send, b"".join(one.block for one in new))
            self._position = new[-1].seq
            self._sent += len(new)

    def _place(self) -> bytes:
        """Return the comment that shows that we live, with the place to resume from: who filters much hears little."""
        return b": callbox\nid: %b\n\n" % self._asked.cursor(self._position).encode()

    async def _pages(self) -> AsyncIterator[list[Sent]]:
        """Yield what was missed, then what comes; an empty page now and then."""
        while True:  # what was missed
            missed = await self._asked.page(self._position)
            yield missed.sent
            self._position = max(self._position, missed.position)
            if missed.is_last:
                break
        group = self._streams.join(self._listener, self._asked, self._position)
        until = group.position  # beyond it everything is offered to us
        while self._position < until:
            missed = await self._asked.page(self._position, until)
            yield missed.sent
            self._position = max(self._position, missed.position)
        async for page in self._live(group):
            yield page

    async def _live(self, group: Group) -> AsyncIterator[list[Sent]]:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._listener.news.wait()
            taken = self._listener.take()
            position = group.position if not taken else self._position
            yield taken
            self._position = max(self._position, position)


async def _write(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


router = APIRouter(prefix="/v1")

_EXAMPLE = (
    'id: q0VHbi1hLWN1cnNvcg\nevent: thinksurance.inquiry.calculated\ndata: {"id":'
    '"019a9c3e-1f00-7abc-8def-0123456789ab","seq":3407,"type":"thinksurance.inquiry.calculated","subject":"inquiry/810042"}\n\n'
)
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events, one block each, for ever.",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    },
    **list_problems(CursorAhead, TooManyStreams),
}


@router.get(
    "/events/stream",
    name="stream_events",
    operation_id="stream_events",
    response_model=None,
    response_class=Response,
    responses=_RESPONSES,
    tags=["events"],
    openapi_extra={"parameters": [*stream_cursor(), *filter_parameters(EVENTS)]},
)
async def stream_events(request: Request, access: Reader) -> Response:
    """Listen to events as they become readable: server-sent events.

    Each block has `id` (a cursor), `event` (the type) and `data` (the event as in the list). The stream begins now,
    or after `Last-Event-ID` or `cursor`: any `id` of it will do, and `follow_cursor` of the list with the same filters.
    Every 15 seconds there is a comment with the present `id` and no data. A listener that falls too far behind is
    cut off, and so is one by `provider` or `subject` when there is a new source; whoever resumes from the last `id`
    misses nothing and gets nothing twice.
    """
    return await answer_stream(request, access)
