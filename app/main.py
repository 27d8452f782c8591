"""Makes the application of one process: the only place where the rooms meet.

Callbacks are received as soon as the process runs; everything that answers questions is heavy to import and comes in
beside that a moment later. Processes, ports and the database server are the supervisor's business, see `app.server`.
"""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

import psycopg
import structlog
from starlette.types import Receive, Scope, Send

from app.accounts.snapshot import AccountBook
from app.config import Settings
from app.crypto import Vault
from app.ids import IdSource
from app.ingest.contract import Provider
from app.ingest.keeping import Keeper
from app.ingest.receiver import Limits, Receiver
from app.ingest.senders import parse_networks
from app.ingest.spool import Spool
from app.ingest.writer import CONNECT_TIMEOUT_S, Writer
from app.providers import PROVIDERS

if TYPE_CHECKING:
    from fastapi import FastAPI

API_VERSION = "1"
"""Of the paths below `/v1`, which only ever gain."""

_LAST_ID = "SELECT id FROM deliveries ORDER BY id DESC LIMIT 1"

_LOOK_S = 1.0

_log = structlog.get_logger(__name__)


def create_app(settings: Settings, providers: Mapping[str, Provider] = PROVIDERS) -> "Callbox":
    """Return the application; `settings` name a database that is migrated and the key of its secrets."""
    return Callbox(settings, providers)


class Callbox:
    """The ASGI application: callbacks go straight to the receiver, everything else to FastAPI.

    Raises ValueError for settings that name no database or no key: the supervisor fills in the embedded one's.
    """

    def __init__(self, settings: Settings, providers: Mapping[str, Provider]) -> None:
        if settings.database_url is None or settings.encryption_key is None:
            raise ValueError("the application needs DATABASE_URL and ENCRYPTION_KEY")
        self._settings = settings
        self._providers = providers
        self._url = settings.database_url.get_secret_value()
        self._read_url = (settings.database_read_url or settings.database_url).get_secret_value()
        self._key = settings.encryption_key.get_secret_value()
        self._receiver: Receiver
        self._api: asyncio.Task[FastAPI]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or live from startup to shutdown."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"].lstrip("/").startswith("callbacks/"):
            await self._receiver(scope, receive, send)
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
        except Exception as error:
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
                self._url, Writer(self._url), Spool(self._settings.spool_path, self._settings.spool_max_bytes)
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
            self._receiver = Receiver(book, self._providers, keeper, ids, limits)
            self._api = asyncio.create_task(asyncio.to_thread(self._connected_api, book, keeper))
            self._api.add_done_callback(_report)
            stack.push_async_callback(self._close_api)
            stack.enter_context(_called_at_termination(self._end_streams))
            yield

    def _connected_api(self, book: AccountBook, keeper: Keeper) -> "FastAPI":
        """Return the API with what its answers are made of."""
        from app.administration.doing import Administration  # noqa: PLC0415
        from app.documents.store import open_store  # noqa: PLC0415 - here and below: heavy, and receiving does without
        from app.health import Health, Probe  # noqa: PLC0415
        from app.query import Reading, Streams, cursor_key  # noqa: PLC0415
        from app.storage.engine import open_read_engine  # noqa: PLC0415
        from app.submissions import Sender  # noqa: PLC0415

        api = build_api(self._settings, self._providers)
        engine = open_read_engine(self._read_url)
        api.state.reading = Reading(
            engine=engine,
            primary=engine if self._read_url == self._url else open_read_engine(self._url),
            book=book,
            cursor_key=cursor_key(self._key),
            zone=self._settings.zone,
            public_url=self._settings.public_url,
            spooled=lambda: keeper.spooled,
        )
        api.state.sender = Sender(api.state.reading.primary, Vault(self._key), self._settings.base_url)
        api.state.administration = Administration(self._url, Vault(self._key), self._settings)
        api.state.open_document_store = partial(open_store, self._settings)
        api.state.streams = Streams(api.state.reading)
        api.state.health = Health(Probe(self._url), Probe(self._read_url), book, keeper)
        return api

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
        await api.state.reading.engine.dispose()
        await api.state.reading.primary.dispose()


def build_api(settings: Settings, providers: Mapping[str, Provider] = PROVIDERS) -> "FastAPI":
    """Return what answers everything but callbacks, with all of its OpenAPI document, and without a database."""
    from fastapi import FastAPI  # noqa: PLC0415
    from fastapi.middleware.cors import CORSMiddleware  # noqa: PLC0415

    from app import health, problems, query, submissions  # noqa: PLC0415
    from app.administration.routes import router as administration  # noqa: PLC0415
    from app.documents import content  # noqa: PLC0415
    from app.jobs.routes import router as jobs  # noqa: PLC0415
    from app.request_id import RequestIdMiddleware  # noqa: PLC0415
    from app.web import pages  # noqa: PLC0415
    from app.web.headers import SecurityHeadersMiddleware  # noqa: PLC0415

    api = FastAPI(
        title="Callbox",
        version=API_VERSION,
        summary="Receives what insurance platforms call back with, keeps it, and answers questions about it.",
        docs_url=None,  # FastAPI's pages load scripts of another host
        redoc_url=None,
    )
    problems.install(api)
    api.add_middleware(query.StrangersMiddleware, trusted=parse_networks(settings.trusted_proxies))
    origins = [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]
    if origins:
        api.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=[
                *("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "X-Request-Id"),
            ],
            expose_headers=[
                *("Content-Disposition", "Content-Range", "ETag", "Idempotency-Replayed", "Link", "Location"),
                *("RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"),
            ],
        )
    api.add_middleware(query.RateHeadersMiddleware)
    api.add_middleware(SecurityHeadersMiddleware)
    api.add_middleware(RequestIdMiddleware)
    routers = (
        query.router,
        content.router,
        submissions.router,
        administration,
        health.router,
        pages.router,
        jobs,
    )
    for router in routers:
        api.include_router(router)
    _document_receiver(api, sorted(providers))
    return api


def _document_receiver(api: "FastAPI", providers: list[str]) -> None:
    """Put the receiver's paths into the OpenAPI document, and an example into each answer."""
    from app.ingest.documented import receiver_paths  # noqa: PLC0415
    from app.query.exampled import add_examples  # noqa: PLC0415

    plain = api.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document["paths"] = receiver_paths(providers) | document["paths"]
        add_examples(document)
        return document

    api.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


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
