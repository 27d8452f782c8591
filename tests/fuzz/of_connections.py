"""What must hold for whatever bytes come over a connection: answered or cut off, never a failure, nobody left waiting.

Raw bytes go through the real protocol to the real receiver; only socket, clock and database are played.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import orjson
import uvicorn
from uvicorn.server import ServerState

from app.accounts.model import Accounts, Mode, Token
from app.crypto import CALLBACK_TOKEN, sha256
from app.ids import IdSource
from app.ingest.receiver import DELIVERY_HEADER, Limits, Receiver
from app.ingest.rows import Row
from app.ingest.senders import parse_networks
from app.providers import PROVIDERS
from app.request_id import HEADER
from app.server.bounds import BoundedProtocol
from tests.fuzz.cutting import Cut
from tests.fuzz.of_platforms import BENCH

TOKEN = "cbt_" + "f" * 43
_STATUSES = frozenset({200, 202, 204, 400, 401, 404, 405, 408, 413, 429, 431, 501, 503})
_SPINS = 2000
_PATIENCE_S = (11, 31, 66, 3)
_TRUSTED = parse_networks("203.0.113.0/24")


class _Clock(asyncio.SelectorEventLoop):
    """A loop whose time stands still until it is moved on."""

    moment = 0.0
    _ready: Sequence[Any]

    def time(self) -> float:
        return self.moment

    def spin(self, times: int = _SPINS) -> None:
        """Run what is ready, and what that makes ready, until nothing is."""
        self.call_soon(self.stop)
        self.run_forever()
        while times and self._ready:
            times -= 1
            self.call_soon(self.stop)
            self.run_forever()
        assert times, "busy without an end"


class _Transport(asyncio.Transport):
    """The server's end of a connection to nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = self.ended = self.paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("203.0.113.9", 4711) if name == "peername" else default

    def write(self, data: Any) -> None:
        assert not self.ended, "written after the end"
        if not self.closed:
            self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class _AtOnce:
    """Runs what is given to it in place of a thread."""

    def submit(self, do: Callable[..., Any], *arguments: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(do(*arguments))
        except Exception as error:  # noqa: BLE001 - a thread would hand it on too
            done.set_exception(error)
        return done


class _Kept(logging.Handler):
    """Keeps what uvicorn and asyncio complain of."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class _Service:
    """The receiver with one source of each platform, and what it stored."""

    def __init__(self) -> None:
        tokens = {}
        for number, name in enumerate(("thinksurance", "wegroup")):
            source = BENCH.source(name, Mode.ENFORCE, recipe_proven=True)
            tokens[sha256(TOKEN[:-1] + str(number))] = Token(source.id, "fuzz", source)
        self.present = Accounts({}, tokens, {})
        self.rows: list[Row] = []
        self.methods: list[str] = []
        self.transport = _Transport()
        limits = Limits(20_000, 200_000, _TRUSTED)
        self.receiver = Receiver(self, PROVIDERS, self, IdSource(), limits)
        self.receiver._aside = _AtOnce()  # type: ignore[assignment]

    async def refresh(self) -> None:
        """Know no more than before."""

    def note_use(self, token_id: Any) -> None:
        """Forget it."""

    async def write(self, row: Row) -> None:
        await asyncio.sleep(0)
        self.rows.append(row)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a callback; at any other path answer early."""

        async def noting_send(message: Any) -> None:
            if message["type"] == "http.response.start" and not self.transport.closed:
                self.methods.append(scope["method"])
            await send(message)

        if scope["path"].startswith("/callbacks/"):
            await self.receiver(scope, receive, noting_send)
            return
        await noting_send({"type": "http.response.start", "status": 204, "headers": []})
        await noting_send({"type": "http.response.body", "body": b""})


_loop = _Clock()
_service = _Service()
_config = uvicorn.Config(_service, http=BoundedProtocol, ws="none", lifespan="off", log_config=None, access_log=False)
_config.load()
_complaints = _Kept()
for _name in ("uvicorn.error", "asyncio"):
    logging.getLogger(_name).addHandler(_complaints)


def connections(data: bytes) -> None:
    """Input: a byte that says how many bytes come at once (0: all), then the bytes of a connection."""
    cut = Cut(data)
    step = cut.byte() or max(1, len(data))
    raw = cut.rest()
    _service.rows.clear()
    _service.methods.clear()
    _complaints.records.clear()
    _service.transport = transport = _Transport()
    state = ServerState()
    protocol = BoundedProtocol(config=_config, server_state=state, app_state={}, _loop=_loop)
    protocol.connection_made(transport)
    for begin in range(0, len(raw), step):
        if transport.closed:
            break
        protocol.data_received(raw[begin : begin + step])
        _loop.spin()
        if transport.paused:
            break
    _loop.spin()
    _let_time_pass(transport)
    protocol.connection_lost(None)
    _loop.spin()
    assert not state.tasks, "a task outlives its connection"
    assert not state.connections
    assert not _complaints.records, _complaints.records[0].getMessage()
    _check_answers(_answers(bytes(transport.written), _service.methods))


def _let_time_pass(transport: _Transport) -> None:
    """See that a sender who says no more is not waited for."""
    for seconds in _PATIENCE_S:
        _loop.moment += seconds
        _loop.spin()
    assert transport.closed, "a silent connection stays open"


def _answers(written: bytes, methods: Sequence[str]) -> list[tuple[int, dict[str, str], bytes]]:
    """Return status, headers and body of each answer, checking that nothing else was written."""
    found: list[tuple[int, dict[str, str], bytes]] = []
    while written:
        head, mark, written = written.partition(b"\r\n\r\n")
        assert mark, "an answer without an end"
        first, *lines = head.decode("latin-1").split("\r\n")
        assert re.fullmatch(r"HTTP/1\.1 [1-5][0-9]{2} [A-Za-z -]+", first)
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(first[9:12])
        if status == 100:
            continue
        without = len(found) < len(methods) and methods[len(found)] == "HEAD"
        length = 0 if without or status == 204 else int(headers["content-length"])
        assert len(written) >= length
        found.append((status, headers, written[:length]))
        written = written[length:]
    return found


def _check_answers(answers: Sequence[tuple[int, dict[str, str], bytes]]) -> None:
    """See that every answer is one of ours, and that what was acknowledged was stored."""
    stored = {str(row.id) for row in _service.rows}
    assert len(stored) == len(_service.rows)
    acknowledged = []
    for status, headers, body in answers:
        assert status in _STATUSES, status
        assert not CALLBACK_TOKEN.search(body.decode("latin-1"))
        if status >= 400 and body:
            problem = orjson.loads(body)
            assert problem["status"] == status
            assert headers["content-type"] == "application/problem+json"
            assert headers[HEADER.lower()] == problem["request_id"]
        if DELIVERY_HEADER.lower() in headers:
            acknowledged.append(headers[DELIVERY_HEADER.lower()])
    assert set(acknowledged) <= stored
    assert len(set(acknowledged)) == len(acknowledged)
    for row in _service.rows:
        assert row.size == len(row.body) <= 20_000
        assert len(row.remote_addr) <= 45
        orjson.loads(row.headers)
