"""Makes the application of one process: where receiving meets all that answers questions.

Callbacks are received as soon as the process runs; everything that answers questions, `app.api`, is heavy to import and
comes in beside that a moment later. Processes, ports and the database server are the business of `app.server`.
"""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import psycopg
import structlog
from starlette.types import Receive, Scope, Send

from app.accounts.snapshot import AccountBook
from app.config import Settings
from app.crypto import Vault
from app.ids import IdSource
from app.ingest.keeping import Keeper
from app.ingest.receiver import Limits, Receiver
from app.ingest.senders import parse_networks
from app.ingest.spool import Spool
from app.ingest.writer import CONNECT_TIMEOUT_S, Writer
from app.providers import PROVIDERS
from app.request_id import RequestIdMiddleware
from app.web.headers import SecurityHeadersMiddleware

if TYPE_CHECKING:
    from fastapi import FastAPI

_LAST_ID = "SELECT id FROM deliveries ORDER BY id DESC LIMIT 1"

_LOOK_S = 1.0

_ALIVE = "/livez"
_IS_ALIVE = b'{"status":"ok"}'

_log = structlog.get_logger(__name__)


def create_app(settings: Settings) -> "Callbox":
    """Return the application; `settings` name a database that is migrated and the key of its secrets."""
    return Callbox(settings)


def import_api() -> None:
    """Import what the API is made of, which the application otherwise does once it receives."""
    import app.api  # noqa: F401, PLC0415 - heavy, and receiving does without


class Callbox:
    """The ASGI application: callbacks go straight to the receiver, everything else to FastAPI.

    Raises ValueError for settings that name no database or no key: the supervisor fills in the embedded one's.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.database_url is None or settings.encryption_key is None:
            raise ValueError("the application needs DATABASE_URL and ENCRYPTION_KEY")
        self._settings = settings
        self._url = settings.database_url.get_secret_value()
        self._key = settings.encryption_key.get_secret_value()
        self._receiver: Receiver
        self._api: asyncio.Task[FastAPI]
        self.may_more_come: Callable[[], bool] = lambda: False
        """Tells whether a connection is free to bring another request; to be set by the server before startup."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or live from startup to shutdown."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"].lstrip("/").startswith("callbacks/"):
            await self._receiver(scope, receive, send)
        elif scope["path"] == _ALIVE and scope["method"] == "GET" and not self._api.done():
            await _tell_alive(scope, receive, send)
        else:
            api = await asyncio.shield(self._api)
            await api(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Follow ASGI's lifespan protocol."""
        await receive()
        try:
            async with self._opened():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except Exception as error:  # by the lifespan protocol the server is told of it; it is raised again
            _log.error("application.failed", error=type(error).__qualname__, reason=str(error))
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.shutdown.complete"})

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        """Open the parts; they are closed in the other order, the keeper after the last callback was answered."""
        async with AsyncExitStack() as stack:
            book = AccountBook(self._url, Vault(self._key), self._settings.spool_path)
            stack.push_async_callback(book.stop)
            await book.start()
            keeper = Keeper(
                self._url,
                Writer(self._url, may_more_come=self.may_more_come),
                Spool(self._settings.spool_path, self._settings.spool_max_bytes),
            )
            await keeper.start()
            stack.push_async_callback(keeper.close)
            ids = IdSource()
            if spooled := await keeper.last_id():
                ids.not_behind(spooled)
            if not await _continue_ids(ids, self._url):
                later = asyncio.create_task(_continue_ids_later(ids, self._url))
                stack.callback(later.cancel)
            limits = Limits(
                self._settings.max_body_bytes, trusted_proxies=parse_networks(self._settings.trusted_proxies)
            )
            self._receiver = Receiver(book, PROVIDERS, keeper, ids, limits)
            stack.callback(self._receiver.close)
            self._api = asyncio.create_task(asyncio.to_thread(self._connected_api, book, keeper))
            self._api.add_done_callback(_report)
            stack.push_async_callback(self._close_api)
            stack.enter_context(_called_at_termination(self._end_streams))
            yield

    def _connected_api(self, book: AccountBook, keeper: Keeper) -> "FastAPI":
        """Return the API with what its answers are made of."""
        from app.api import connected_api  # noqa: PLC0415 - heavy, and receiving does without

        return connected_api(self._settings, book, keeper)

    def on_complete(self, callback: Callable[[], None]) -> None:
        """Have something called once all is imported and made; to be asked for after startup."""
        self._api.add_done_callback(lambda _: callback())

    def _end_streams(self) -> None:
        """End what would never end by itself; the server waits for all answers before it stops."""
        if self._api.done() and not self._api.cancelled() and self._api.exception() is None:
            self._api.result().state.streams.end()

    async def _close_api(self) -> None:
        await asyncio.wait({self._api})
        if self._api.cancelled() or self._api.exception() is not None:
            return
        api = self._api.result()
        await api.state.sender.aclose()
        await api.state.health.close()
        await api.state.reading.close()


async def _answer_alive(_scope: Scope, _receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_IS_ALIVE)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _IS_ALIVE})


_tell_alive = RequestIdMiddleware(SecurityHeadersMiddleware(_answer_alive))
"""What `/livez` answers before the API is in, which answers the same."""


@contextmanager
def _called_at_termination(callback: Callable[[], None]) -> Iterator[None]:
    """Have `callback` run on this loop at SIGTERM or SIGINT, before whatever the server does then.

    uvicorn tells an application about its end only once all answers are given, which is too late for streams.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are handled elsewhere
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def on_signal(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(callback)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    chained = {number for number, handler in before.items() if callable(handler)}
    for number in chained:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number in chained:
            if signal.getsignal(number) is on_signal:
                signal.signal(number, before[number])


def _report(task: "asyncio.Task[FastAPI]") -> None:
    """Log where the API did not come in; callbacks are received all the same."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("api.failed", error=type(error).__qualname__, reason=str(error))


async def _continue_ids(ids: IdSource, url: str) -> bool:
    """Let no new id lie below the last one stored, also where the clock was set back since; tell whether that is so."""
    try:
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            row = await (await connection.execute(_LAST_ID)).fetchone()
    except psycopg.Error as error:
        _log.debug("ids.not_continued", kind=type(error).__name__)
        return False
    if row:
        ids.not_behind(row[0])
    return True


async def _continue_ids_later(ids: IdSource, url: str) -> None:
    """Do so as soon as the database answers that was away at the start."""
    _log.warning("ids.not_continued")
    while True:
        await asyncio.sleep(_LOOK_S)
        if await _continue_ids(ids, url):
            _log.info("ids.continued")
            return
