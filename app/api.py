"""Makes the API: everything that answers questions, put together from the rooms that answer them.

Importing it takes several times as long as what receives, which is `app.main`'s business and does without.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from app import health, problems, query, submissions
from app.accounts.snapshot import AccountBook
from app.administration.doing import Administration
from app.administration.routes import router as administration
from app.config import Settings
from app.crypto import Vault
from app.documents import content
from app.documents.store import open_store
from app.ingest.documented import receiver_paths
from app.ingest.keeping import Keeper
from app.ingest.senders import parse_networks
from app.jobs.routes import router as jobs
from app.problems import Problem, problem_response
from app.providers import PROVIDERS
from app.query.exampled import add_examples
from app.request_id import RequestIdMiddleware
from app.storage.engine import open_read_engine
from app.web import pages
from app.web.head import HeadMiddleware
from app.web.headers import SecurityHeadersMiddleware

API_VERSION = "1"
"""Of the paths below `/v1`, which only ever gain."""

_CONNECTIONS_KEPT = 4
"""Of ten that an engine may have open; what stands at hand for questions is not there for what is written."""


def connected_api(settings: Settings, book: AccountBook, keeper: Keeper) -> FastAPI:
    """Return the API with what its answers are made of; `settings` name a database and the key of its secrets."""
    if settings.database_url is None or settings.encryption_key is None:
        raise ValueError("the API needs DATABASE_URL and ENCRYPTION_KEY")
    url = settings.database_url.get_secret_value()
    read_url = (settings.database_read_url or settings.database_url).get_secret_value()
    key = settings.encryption_key.get_secret_value()
    api = build_api(settings)
    engine = open_read_engine(read_url)
    api.state.reading = query.Reading(
        engine=engine,
        primary=engine if read_url == url else open_read_engine(url),
        planned=open_read_engine(read_url, planned_once=True),
        book=book,
        cursor_key=query.cursor_key(key),
        zone=settings.zone,
        public_url=settings.public_url,
        spooled=lambda: keeper.spooled,
        kept=_CONNECTIONS_KEPT,
    )
    api.state.sender = submissions.Sender(api.state.reading.primary, Vault(key), settings.base_url)
    api.state.administration = Administration(url, Vault(key), settings)
    api.state.open_document_store = partial(open_store, settings)
    api.state.streams = query.Streams(api.state.reading)
    api.state.health = health.Health(health.Probe(url), health.Probe(read_url), book, keeper)
    return api


def build_api(settings: Settings) -> FastAPI:
    """Return what answers everything but callbacks, with all of its OpenAPI document, and without a database."""
    api = FastAPI(
        title="Callbox",
        version=API_VERSION,
        summary="Receives what insurance platforms call back with, keeps it, and answers questions about it.",
        docs_url=None,  # FastAPI's pages load scripts of another host
        redoc_url=None,
        redirect_slashes=False,  # it would lead behind TLS to plain HTTP, and to whatever host a request names
    )
    problems.install(api)
    api.add_middleware(query.StrangersMiddleware, trusted=parse_networks(settings.trusted_proxies))
    if settings.cors_origins:
        api.add_middleware(
            _CrossOrigins,
            allow_origins=settings.cors_origins.split(","),
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
    api.add_middleware(HeadMiddleware)
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
    for router in routers:  # not `include_router`, which has every request look for its path twice
        api.router.routes.extend(router.routes)
    api.router.routes.insert(0, _Shortcut(api.router.routes))
    _document_receiver(api)
    return api


class PreflightRefused(Problem):
    """A page of this origin may not send such a request: `CALLBOX_CORS_ORIGINS` names the origins that may ask."""

    status = 400
    code = "preflight-refused"
    title = "Preflight refused"


class _CrossOrigins(CORSMiddleware):
    """Tells browsers which pages may ask; what it refuses is a problem like any other."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer a preflight."""
        try:
            await super().__call__(scope, receive, send)
        except PreflightRefused as refusal:
            await problem_response(refusal, scope)(scope, receive, send)

    def preflight_response(self, request_headers: Headers) -> Response:
        """Return the answer to a preflight, or raise PreflightRefused."""
        response = super().preflight_response(request_headers)
        if response.status_code != HTTPStatus.OK:
            raise PreflightRefused(headers=self.preflight_headers)
        return response


class _Shortcut(BaseRoute):
    """Finds a route by the first two words of its path, none of which is a parameter; else all are compared.

    What it does not find, another path or method, is left to the routes that come after it.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes: defaultdict[tuple[str, ...], list[APIRoute]] = defaultdict(list)
        for route in routes:
            if isinstance(route, APIRoute):
                self._routes[_beginning(route.path)].append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return the first route that takes a request."""
        for route in self._routes.get(_beginning(scope["path"]), ()):
            match, found = route.matches(scope)
            if match is Match.FULL:
                return match, found
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have it answered by the route that was found."""
        await scope["route"].handle(scope, receive, send)


def _beginning(path: str) -> tuple[str, ...]:
    return tuple(path.split("/", 3)[:3])


def _document_receiver(api: FastAPI) -> None:
    """Put the receiver's paths into the OpenAPI document, and an example into each answer."""
    plain = api.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document["paths"] = receiver_paths(sorted(PROVIDERS)) | document["paths"]
        add_examples(document)
        return document

    api.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it
