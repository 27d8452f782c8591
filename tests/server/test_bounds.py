"""The bounds of a connection, spoken in raw bytes to a real server.

Fails too when a part of uvicorn that `app.server.bounds` stands on has changed.
"""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import partial
from typing import Any

import pytest
import uvicorn
import uvloop

from app import metrics
from app.server import bounds
from app.server.bounds import BoundedProtocol
from app.server.refusals import HeadersTooLarge, TooSlow

POST = b"POST /x HTTP/1.1\r\nhost: a\r\n"
GET = b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n"
PATIENCE_S = 60


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer the body; at `/early` answer before it is read, at `/slow` after a moment."""
    body = b""
    if scope["path"] == "/slow":
        await asyncio.sleep(0.2)
    more = scope["path"] != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    body = body or scope["path"].encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Talk:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the next answer."""
        async with asyncio.timeout(PATIENCE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(head[0].split()[1]), headers, body

    async def is_closed(self) -> bool:
        """Wait for the other side to close; nothing may come before."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read() == b""

    async def is_cut_off(self) -> None:
        """Send on and on until the connection is reset; fail if that is not soon."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while True:
                    self.say(b"x" * 100_000)
                    await self.writer.drain()
            except ConnectionError:
                pass


@asynccontextmanager
async def serving(
    app: Any = echo, *, hang_up: bool = True, keep_alive: int = PATIENCE_S
) -> AsyncIterator[Callable[[], Awaitable[Talk]]]:
    config = uvicorn.Config(
        app, port=0, http=BoundedProtocol, ws="none", lifespan="off", log_config=None, access_log=False,
        timeout_keep_alive=keep_alive,
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[assignment]
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    talks = []

    async def connect() -> Talk:
        talks.append(Talk(*await asyncio.open_connection("127.0.0.1", port)))
        return talks[-1]

    try:
        yield connect
    finally:
        for talk in talks if hang_up else ():
            talk.writer.close()
        server.should_exit = True
        async with asyncio.timeout(PATIENCE_S):
            await running
        assert not server.server_state.connections


def talk(act: Callable[[Talk], Awaitable[None]], app: Any = echo, *, keep_alive: int = PATIENCE_S) -> None:
    async def inside() -> None:
        async with serving(app, keep_alive=keep_alive) as connect:
            await act(await connect())

    asyncio.run(inside())


def code_of(body: bytes) -> str:
    problem = json.loads(body)
    assert {"type", "code", "title", "status", "detail", "instance", "request_id", "errors"} <= set(problem)
    return str(problem["code"])


async def refused(connection: Talk, status: int, code: str) -> dict[str, str]:
    """See that the next answer is this problem and the last one; return its headers."""
    found, headers, body = await connection.answer()
    assert (found, code_of(body)) == (status, code)
    assert headers["connection"] == "close"
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-request-id"] == json.loads(body)["request_id"]
    assert await connection.is_closed()
    return headers


def test_usual_requests_share_a_connection() -> None:
    async def act(connection: Talk) -> None:
        for body in (b"one", b"two" * 30_000, b""):
            connection.say(POST + b"content-length: %d\r\n\r\n" % len(body) + body)
            status, headers, answered = await connection.answer()
            assert (status, answered) == (200, body or b"/x")
            assert "connection" not in headers

    talk(act)


def test_a_request_in_single_bytes() -> None:
    async def act(connection: Talk) -> None:
        for _ in range(2):
            for byte in POST + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
                connection.say(bytes([byte]))
                await asyncio.sleep(0)
            assert (await connection.answer())[2] == b"abc"

    talk(act)


def test_pipelined_requests_are_answered_in_order() -> None:
    async def act(connection: Talk) -> None:
        connection.say(b"".join(b"GET /%s HTTP/1.1\r\nhost: a\r\n\r\n" % path for path in (b"slow", b"b", b"c")))
        assert [(await connection.answer())[2] for _ in range(3)] == [b"/slow", b"/b", b"/c"]
        connection.say(GET)
        assert (await connection.answer())[0] == 200

    talk(act)


def test_a_bad_request_behind_good_ones_is_answered_last() -> None:
    async def act(connection: Talk) -> None:
        connection.say(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n" + GET + b"NONSENSE\r\n\r\n")
        assert [(await connection.answer())[2] for _ in range(2)] == [b"/slow", b"/x"]
        await refused(connection, 400, "bad-request")

    talk(act)


@pytest.mark.parametrize("target", [b"http://a", b"http://a?b", b"http://[::1"])
def test_an_address_without_a_path_behind_good_ones_is_answered_last(target: bytes) -> None:
    """The first form is what a proxy is asked for the root of a host (RFC 9112, 3.2.2); here is nothing for it."""
    bad = b"POST " + target + b" HTTP/1.1\r\nhost: a\r\n\r\n"

    async def alone(connection: Talk) -> None:
        connection.say(bad)
        await refused(connection, 400, "bad-request")

    async def behind(connection: Talk) -> None:
        connection.say(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n" + GET + bad)
        assert [(await connection.answer())[2] for _ in range(2)] == [b"/slow", b"/x"]
        await refused(connection, 400, "bad-request")

    for act in (alone, behind):
        talk(act)


def test_a_broken_body_behind_good_ones_is_answered_last() -> None:
    async def act(connection: Talk) -> None:
        connection.say(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n" + POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n")
        assert (await connection.answer())[2] == b"/slow"
        await refused(connection, 400, "bad-request")

    talk(act)


@pytest.mark.parametrize("line", [b"FOO /x HTTP/1.1", b"get /x HTTP/1.1", b"GETX http://a/x HTTP/1.0"])
def test_a_method_that_nobody_knows(line: bytes) -> None:
    async def alone(connection: Talk) -> None:
        connection.say(line + b"\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")
        await refused(connection, 501, "not-implemented")

    async def after_another(connection: Talk) -> None:
        connection.say(GET)
        assert (await connection.answer())[2] == b"/x"
        connection.say(line + b"\r\nhost: a\r\n\r\n")
        await refused(connection, 501, "not-implemented")

    async def after_a_body(connection: Talk) -> None:
        connection.say(POST + b"content-length: 1\r\n\r\nabc" + line + b"\r\nhost: a\r\n\r\n")
        assert (await connection.answer())[2] == b"a"
        await refused(connection, 400, "bad-request")

    for act in (alone, after_another, after_a_body):
        talk(act)


@pytest.mark.parametrize(
    "sent",
    [
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        POST + b"content-length: minus\r\n\r\n",
        POST + b"content-length: 3\r\ncontent-length: 4\r\n\r\n",
        POST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"NONSENSE" * 10_000,
    ],
)
def test_what_is_no_http(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def act(connection: Talk) -> None:
        connection.say(sent)
        await refused(connection, 400, "bad-request")

    talk(act)
    assert not caplog.records


@pytest.mark.parametrize(
    "sent",
    [
        POST + b"a: " + b"x" * 40_000 + b"\r\n\r\n",
        POST + b"".join(b"a%d: x\r\n" % number for number in range(100)) + b"\r\n",
        b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        POST + b"a: " + b"x" * 40_000,  # never ends
        b"GET /" + b"x" * 400_000,
        POST + b"a: b\r\n" * 10_000,
        GET + POST + b"a: " + b"x" * 400_000,
    ],
)
def test_headers_too_large(sent: bytes) -> None:
    async def act(connection: Talk) -> None:
        connection.say(sent)
        if sent.startswith(GET):
            assert (await connection.answer())[0] == 200
        await refused(connection, 431, "headers-too-large")

    talk(act)


def test_headers_of_just_the_size() -> None:
    async def act(connection: Talk) -> None:
        padding = b"x" * (bounds.MOST_HEADER_BYTES - 200)
        fields = b"".join(b"%d: \r\n" % number for number in range(10, 20))
        for _ in range(3):
            connection.say(POST + fields + b"a: " + padding + b"\r\ncontent-length: 100000\r\n\r\n" + b"y" * 100_000)
            assert (await connection.answer())[0] == 200
        connection.say(POST + b"".join(b"a%d: x\r\n" % number for number in range(99)) + b"\r\n")
        assert (await connection.answer())[0] == 200

    talk(act)


def test_an_endless_header_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent beyond the bound is not read into memory."""

    async def act(connection: Talk) -> None:
        connection.say(POST + b"a: ")
        await connection.is_cut_off()

    monkeypatch.setattr(bounds, "LINGER_S", 0.2)
    talk(act)


CHUNKED = POST + b"a: b\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"


def test_what_follows_a_body_is_no_header() -> None:
    """A sender could else say by it where a request comes from, behind what a proxy says of that."""

    async def headers(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        body = repr(scope["headers"]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async def act(connection: Talk) -> None:
        for after in (b"", b"x-forwarded-for: 1.2.3.4\r\n", b"content-encoding: gzip\r\nexpect: 100-continue\r\n"):
            connection.say(CHUNKED + after + b"\r\n")
            status, _, body = await connection.answer()
            assert (status, body) == (
                200,
                b"[(b'host', b'a'), (b'a', b'b'), (b'transfer-encoding', b'chunked')]",
            )

    talk(act, headers)


@pytest.mark.parametrize("after", [b"a: " + b"x" * 400_000, b"a: b\r\n" * 50_000])
def test_too_much_after_a_body(after: bytes) -> None:
    async def act(connection: Talk) -> None:
        connection.say(CHUNKED)
        await asyncio.sleep(0.1)
        connection.say(after)
        await refused(connection, 431, "headers-too-large")

    talk(act)


@pytest.mark.parametrize(
    ("sent", "bound", "other"),
    [
        (b"GET / HTTP/1.1\r\nhost:", "HEADERS_WITHIN_S", "BODY_WITHIN_S"),
        (POST + b"content-length: 10\r\n\r\nabc", "BODY_WITHIN_S", "HEADERS_WITHIN_S"),
        (POST + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", "BODY_WITHIN_S", "HEADERS_WITHIN_S"),
    ],
)
def test_too_slow(sent: bytes, bound: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, bound, 0.2)
    monkeypatch.setattr(bounds, other, 10 * PATIENCE_S)

    async def act(connection: Talk, *, is_used: bool) -> None:
        if is_used:
            connection.say(GET)
            assert (await connection.answer())[0] == 200
        connection.say(sent)
        await refused(connection, 408, "request-timeout")

    for is_used in (False, True):
        talk(partial(act, is_used=is_used))


def test_the_bounds_are_those_that_are_told() -> None:
    assert f"{bounds.MOST_HEADER_BYTES // 1024} KiB together, or more than {bounds.MOST_HEADERS} " in str(
        HeadersTooLarge.__doc__
    )
    assert f"within {bounds.HEADERS_WITHIN_S:g} seconds, its body within {bounds.BODY_WITHIN_S:g}." in str(
        TooSlow.__doc__
    )


def test_dripping_does_not_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HEADERS_WITHIN_S", 0.3)

    async def act(connection: Talk) -> None:
        connection.say(GET)
        assert (await connection.answer())[0] == 200

        async def drip() -> None:
            connection.say(b"GET / HTTP/1.1\r\na: ")
            while True:
                connection.say(b"x")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        await refused(connection, 408, "request-timeout")
        dripping.cancel()

    talk(act)


@pytest.mark.parametrize("before", [b"", GET, b"\r\n", GET + b"\r\n"])
def test_a_silent_connection_is_closed(before: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HEADERS_WITHIN_S", 0.3)

    async def act(connection: Talk) -> None:
        if before.startswith(GET):
            connection.say(GET)
            assert (await connection.answer())[0] == 200
        connection.say(before.removeprefix(GET))
        assert await connection.is_closed()

    talk(act, keep_alive=1)


def test_a_request_is_not_cut_off_by_the_time_between_requests() -> None:
    async def act(connection: Talk) -> None:
        connection.say(GET + b"POST /x")
        assert (await connection.answer())[0] == 200
        connection.say(b" HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\na")
        await asyncio.sleep(1.3)
        connection.say(b"bc")
        assert (await connection.answer())[2] == b"abc"

    talk(act, keep_alive=1)


def test_an_answer_may_take_longer_than_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HEADERS_WITHIN_S", 0.1)

    async def act(connection: Talk) -> None:
        connection.say(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await connection.answer())[2] == b"/slow"

    talk(act)


def test_an_answer_before_the_end_of_the_body_arrives_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender goes on sending; the answer must not be lost in a reset, and the sending must come to an end."""
    monkeypatch.setattr(bounds, "LINGER_S", 0.5)

    async def act(connection: Talk) -> None:
        connection.say(b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 900000000\r\n\r\n")
        for _ in range(50):
            connection.say(b"x" * 10_000)
        status, headers, body = await connection.answer()
        assert (status, headers["connection"], body) == (200, "close", b"/early")
        await connection.is_cut_off()

    talk(act)


def test_a_sender_that_only_looks_later_finds_its_answer() -> None:
    """Closing with unread bytes would reset the connection, and the answer that lies there would be gone."""

    def send_then_look(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address) as connection:
            connection.sendall(b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 900000000\r\n\r\n")
            for _ in range(10):
                connection.sendall(b"x" * 20_000)
                time.sleep(0.03)
            return connection.recv(1000)

    async def act(connection: Talk) -> None:
        address = connection.writer.get_extra_info("peername")
        assert (await asyncio.to_thread(send_then_look, address)).startswith(b"HTTP/1.1 200 OK")

    talk(act)


def test_an_early_answer_to_a_whole_request_keeps_the_connection() -> None:
    async def act(connection: Talk) -> None:
        for _ in range(2):
            connection.say(b"POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")
            status, headers, _ = await connection.answer()
            assert status == 200
            assert "connection" not in headers

    talk(act)


def test_too_many_requests_ahead() -> None:
    async def act(connection: Talk) -> None:
        connection.say(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n" + GET * 300)
        for _ in range(bounds.MOST_PIPELINED + 1):
            assert (await connection.answer())[0] == 200
        await refused(connection, 429, "too-many-pipelined")

    talk(act)


def test_too_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_CONNECTIONS", 2)
    counted = metrics.REFUSALS.labels("too-many-connections")._value
    before = counted.get()

    async def inside() -> None:
        async with serving() as connect:
            first, second = await connect(), await connect()
            first.say(GET)
            assert (await first.answer())[0] == 200
            headers = await refused(await connect(), 503, "too-many-connections")
            assert headers["retry-after"]
            assert counted.get() == before + 1
            second.say(GET)
            assert (await second.answer())[0] == 200

    asyncio.run(inside())


@pytest.mark.parametrize("in_pieces", [False, True])
def test_an_offer_of_another_protocol_is_passed_over(*, in_pieces: bool) -> None:
    """Java's HTTP client offers h2c with every request, those with a body too."""
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n"
    forms = [b"content-length: 3\r\n\r\nabc", b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]

    async def act(connection: Talk) -> None:
        for form in forms * 2:
            sent = POST + offer + form
            if not in_pieces:
                connection.say(sent)
            else:
                for byte in sent:
                    connection.say(bytes([byte]))
                    await asyncio.sleep(0.001)
            status, headers, body = await connection.answer()
            assert (status, body) == (200, b"abc")
            assert "connection" not in headers
        connection.say(b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, close\r\nupgrade: websocket\r\n\r\n")
        status, headers, body = await connection.answer()
        assert (status, headers["connection"], body) == (200, "close", b"/x")

    talk(act)


def test_what_was_offered_stays_among_the_headers() -> None:
    async def names(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        body = b" ".join(name for name, _ in scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async def act(connection: Talk) -> None:
        connection.say(POST + b"connection: Upgrade\r\nupgrade: h2c\r\na: b\r\n\r\n")
        assert (await connection.answer())[2] == b"host connection upgrade a"
        connection.say(POST + b"c: d\r\n\r\n")
        assert (await connection.answer())[2] == b"host c"

    talk(act, names)


def test_no_tunnels() -> None:
    async def act(connection: Talk) -> None:
        connection.say(b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n")
        await refused(connection, 400, "bad-request")

    talk(act)


def test_a_body_waits_for_100_continue() -> None:
    async def act(connection: Talk) -> None:
        connection.say(POST + b"expect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert (await connection.answer())[0] == 100
        connection.say(b"abc")
        assert (await connection.answer())[2] == b"abc"

    talk(act)


SLOW = b"POST /slow HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc"
CHUNKS = b"POST /slow HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (SLOW, [200]),
        (GET, [200]),
        (CHUNKS, [200]),
        (SLOW * 3, [200] * 3),
        (SLOW.replace(b"host", b"expect: 100-continue\r\nhost"), [100, 200]),
        (SLOW.replace(b"1.1", b"1.0"), [200]),
        (POST + b"content-length: 300000\r\n\r\n" + b"x" * 300_000, [200]),
        (b"", []),
        (SLOW[:-1], []),
        (SLOW[:-5], []),
        (CHUNKS[:-2], []),
        (SLOW + CHUNKS[:-2], [200]),
        (SLOW * 2 + SLOW[:-1], [200] * 2),
        (SLOW + SLOW[:-5], [200]),
        (GET + SLOW[:-1], [200]),
        (SLOW + b"NONSENSE\r\n\r\n", [200, 400]),
        (SLOW * 2 + POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n", [200, 200, 400]),
    ],
)
def test_what_came_whole_before_its_sender_ended_is_answered(
    sent: bytes, statuses: list[int], new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """The rest is dropped at once: no time that a request has is waited for."""

    async def inside() -> None:
        async with serving() as connect:
            connection = await connect()
            connection.say(sent)
            connection.writer.write_eof()
            began = time.monotonic()
            for status in statuses:
                assert (await connection.answer())[0] == status
            assert await connection.is_closed()
            assert time.monotonic() - began < bounds.HEADERS_WITHIN_S - 1

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(inside())


def test_a_stream_ends_with_its_reader() -> None:
    """It may be long until something is to be written, by which else it would be noticed."""
    gone = asyncio.Event()

    async def stream(_: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    async def act(connection: Talk) -> None:
        connection.say(GET)
        await connection.reader.readuntil(b"\r\n\r\n")
        connection.writer.write_eof()
        async with asyncio.timeout(PATIENCE_S):
            await gone.wait()
        assert await connection.is_closed()

    talk(act, stream)


def test_an_answer_is_sent_also_when_its_application_fails_at_once() -> None:
    async def fails(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
        raise RuntimeError

    async def act(connection: Talk) -> None:
        connection.say(GET)
        assert (await connection.answer())[2] == b"ok"
        assert await connection.is_closed()

    talk(act, fails)


def test_who_does_not_read_is_let_go_when_the_answer_ends(caplog: pytest.LogCaptureFixture) -> None:
    """A listener that fell too far behind is cut off: its connection must not stay for what it never reads."""

    async def endless(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                while True:
                    await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})

    async def act(connection: Talk) -> None:
        connection.say(GET)
        await asyncio.sleep(0.6)
        await connection.is_cut_off()

    talk(act, endless)
    assert not caplog.records


def test_a_refusal_does_not_overtake_the_answer_before_it() -> None:
    """Both come within one turn of the loop: the answer waits for its turn when the refusal is made."""

    async def act(connection: Talk) -> None:
        connection.say(GET * 3 + b"nonsense\r\n\r\n")
        for _ in range(3):
            assert (await connection.answer())[0] == 200
        await refused(connection, 400, "bad-request")

    talk(act)


def test_the_end_is_graceful() -> None:
    """A request under way is answered, an idle connection closed."""

    async def inside() -> None:
        async with serving(hang_up=False) as connect:
            busy, idle = await connect(), await connect()
            idle.say(GET)
            await idle.answer()
            busy.say(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
            await asyncio.sleep(0.05)
            answer = asyncio.create_task(busy.answer())
            closed = asyncio.create_task(idle.is_closed())
            await asyncio.sleep(0)
        assert (await answer)[0] == 200
        assert await closed
        for talk in (busy, idle):
            talk.writer.close()

    asyncio.run(inside())
