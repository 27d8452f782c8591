"""Bounds what a connection may send and how long it may take: uvicorn has no such bounds.

The size of a body and all bodies together are bounded by the receiver, who knows what is sent.

Stands on private parts of uvicorn's HttpToolsProtocol: `_start_asgi_task`, `_unset_keepalive_if_required`, what it has
of a `cycle`, `pipeline`, `flow`, `parser`, that its `data_received` only feeds the parser and turns its errors into
answers, and that it asks no more of a transport than `SoonTransport` has. tests/server/test_bounds.py fails without.
"""

import asyncio
import re
from http import HTTPStatus
from itertools import chain
from typing import Any

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app import metrics
from app.problems import Problem, problem_body
from app.request_id import HEADER
from app.server.refusals import (
    BadRequest,
    HeadersTooLarge,
    TooManyConnections,
    TooManyPipelined,
    TooSlow,
    UnknownMethod,
)
from app.server.soon import SoonTransport
from app.server.whole import WholeSend

MOST_HEADER_BYTES = 32 * 1024
MOST_HEADERS = 100
MOST_PIPELINED = 256
MOST_CONNECTIONS = 8192
HEADERS_WITHIN_S = 10.0
BODY_WITHIN_S = 30.0
LINGER_S = 2.0

_REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~\w-]+ \S+ HTTP/1\.[01]\r?\n")


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with our bounds. A request is in one of three phases: `idle`, `headers`, `body`.

    Timers are only set for what did not come whole in one piece, so that a usual request costs none.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._phase, self._timed_phase = "idle", ""
        self._header_bytes = self._open_requests = 0
        self._refusal: Problem | None = None
        self._offered: list[tuple[bytes, bytes]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_lingering = self._has_ended = False

    # --- What the transport says ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Give a new connection the time for its first headers."""
        self._soon = SoonTransport(transport, self.loop)
        super().connection_made(self._soon)  # type: ignore[arg-type]  # it has what uvicorn uses of one
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(TooManyConnections(headers={"retry-after": "5"}))
        else:
            self._watch("headers", HEADERS_WITHIN_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._watch("")
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass data on to the parser, unless this connection is over."""
        if self._is_lingering or self._refusal is not None:
            return
        self._header_bytes += len(data)
        self._unset_keepalive_if_required()
        self._feed(data)
        if self._refusal is not None or self.transport.is_closing():
            return
        if self._header_bytes > MOST_HEADER_BYTES:
            self._refuse(HeadersTooLarge())
        elif self._phase == "body":
            self._watch("body", BODY_WITHIN_S)
        elif self._phase == "headers" or self.cycle is None or self.cycle.response_complete:
            self._watch("headers", HEADERS_WITHIN_S)
        else:
            self._watch("")

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn always closes
        """Keep the connection for the answers to what came whole before its sender ended their side, and drop the rest.

        Who ended it while an answer was being sent, a stream's as a rule, has gone.
        """
        if self._phase == "body" and self._open_requests and self._refusal is None:  # the newest did not come whole
            self._phase = "idle"
            self._open_requests -= 1
            if self.pipeline:
                self.pipeline.popleft()
        self._has_ended = self._open_requests > 0 and not self.cycle.response_started
        if self._has_ended:
            self._watch("")
        else:
            self.transport.close()  # an answer may still wait to be written
        return self._has_ended

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._without_offer() + data[upgrade.args[0] :]
            except httptools.HttpParserInvalidMethodError:
                is_first = self._header_bytes > 0  # else it may be what is left of a body that was said to be shorter
                self._refuse(UnknownMethod() if is_first and _REQUEST_LINE.match(data) else BadRequest())
                return
            except httptools.HttpParserError:
                self._refuse(self._refusal or BadRequest())
                return
            else:
                return

    def _without_offer(self) -> bytes:
        """Begin anew with a request that offers another protocol, and return its head as if it did not.

        RFC 9110 (7.8) lets us pass it over. Java's HTTP client offers h2c with every request; the parser takes the body
        of such a request for the other protocol's.
        """
        self._offered = self.headers
        head = [self.parser.get_method() + b" " + self.url + b" HTTP/1.1"]
        for name, value in self.headers:
            if name == b"connection":
                words = [word for word in value.split(b",") if word.strip().lower() != b"upgrade"]
                head.append(name + b": " + b",".join(words))
            elif name != b"upgrade":
                head.append(name + b": " + value)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        return b"\r\n".join(head) + b"\r\n\r\n"

    # --- What the parser says ------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._phase = "headers"

    def on_headers_complete(self) -> None:
        """Pass a request on that is within the bounds; raising here ends the parsing of this connection."""
        size = len(self.url) + 4 * len(self.headers) + sum(map(len, chain.from_iterable(self.headers)))
        if size > MOST_HEADER_BYTES or len(self.headers) > MOST_HEADERS:
            self._refusal = HeadersTooLarge()
        elif len(self.pipeline) >= MOST_PIPELINED:
            self._refusal = TooManyPipelined()
        elif self.parser.get_method() == b"CONNECT":
            self._refusal = BadRequest()
        if self._refusal is not None:
            raise ValueError(self._refusal.code)
        if self.parser.should_upgrade():  # `_feed` comes back to it
            return
        if self._offered is not None:
            self.headers[:], self._offered = self._offered, None
        super().on_headers_complete()  # which refuses some addresses by an error
        self._phase, self._header_bytes = "body", 0
        self._open_requests += 1
        self.headers = []  # what follows a chunked body is not taken for headers (RFC 9110, 6.5.1)

    def on_body(self, body: bytes) -> None:
        """Begin to count anew, for what may follow."""
        self._header_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Count the next request anew."""
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._phase, self._header_bytes = "idle", 0

    # --- Requests and answers ------------------------------------------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Run the application so that an answer before the end of the body closes the connection gently."""

        async def closing_app(scope: Any, receive: Any, send: Any) -> None:
            if not cycle.more_body:  # it came in one piece with its headers: no answer can be before its end
                whole_send = WholeSend(cycle, self._soon.write_soon)
                await app(scope, receive, whole_send)
                whole_send.end()
                return

            async def closing_send(message: Any) -> None:
                if message["type"] == "http.response.start" and cycle.more_body:
                    message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
                    cycle.transport = _Lingering(self)  # type: ignore[assignment]  # the three methods a cycle calls
                await send(message)

            await app(scope, receive, closing_send)

        super()._start_asgi_task(cycle, closing_app)

    def on_response_complete(self) -> None:
        """Send a refusal that had to wait for the answers before it."""
        self._open_requests -= 1
        if self._is_lingering:
            return
        super().on_response_complete()
        if self._open_requests or self.transport.is_closing():
            return
        if self._refusal is not None:
            self._write_refusal(self._refusal)
        elif self._has_ended:
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Answer with a problem and close, after the answers that are still to come."""
        self._refusal = problem
        self._watch("")
        self._unset_keepalive_if_required()
        metrics.REFUSALS.labels(problem.code).inc()
        if self._phase == "body":  # the newest request broke in its body
            if self._open_requests > 1:  # it waits behind others, which get their answers first
                self.pipeline.popleft()
                self._open_requests -= 1
            elif self.cycle.response_started:
                self.transport.close()
                return
            else:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
                self._open_requests = 0
        if not self._open_requests:
            self._write_refusal(problem)

    def _write_refusal(self, problem: Problem) -> None:
        body = problem_body(problem, {"type": "http", "path": ""})
        content = orjson.dumps(body)
        lines = [
            f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}",
            "content-type: application/problem+json",
            f"content-length: {len(content)}",
            f"{HEADER.lower()}: {body['request_id']}",
            "connection: close",
            *(f"{name}: {value}" for name, value in problem.headers.items()),
        ]
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        self._linger()

    # --- Time and the end ----------------------------------------------------------------------------------------

    def _watch(self, phase: str, seconds: float = 0.0) -> None:
        """Let a phase last so long; the timer runs on while the phase stays the same."""
        if phase == self._timed_phase:
            return
        self._timed_phase = phase
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self._too_late) if phase else None

    def _too_late(self) -> None:
        if self.transport.is_closing() or self._is_lingering:
            return
        if self._phase == "idle":  # nothing was begun: nobody waits for an answer
            self.transport.close()
        else:
            self._refuse(TooSlow())

    def _linger(self) -> None:
        """End our side, and read on for a moment without looking: else a reset would overtake the answer."""
        self._is_lingering = True
        self._watch("")
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_S, self.transport.abort)


class _Lingering:
    """Stands for the transport of an answer that comes before the end of its request's body."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        self._protocol = protocol
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing

    def close(self) -> None:
        """Close gently."""
        self._protocol._linger()  # noqa: SLF001 - a part of it
