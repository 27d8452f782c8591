"""The application of calls over this test's own database, and the platforms' doubles over real HTTP."""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
import stamina
from fastapi import FastAPI
from starlette.testclient import TestClient

from app import problems, query, submissions
from app.accounts.keys import add_key
from app.accounts.model import Scope
from app.accounts.snapshot import AccountBook
from app.accounts.store import AddedSource, add_source, set_source
from app.accounts.writing import Platform
from app.crypto import Vault
from app.ids import IdSource
from app.request_id import RequestIdMiddleware
from app.storage.database import connect
from app.storage.engine import open_read_engine
from tests.doubles import allianz, wegroup
from tests.doubles.serving import serve
from tests.doubles.thinksurance import Thinksurance
from tests.doubles.thinksurance_world import World

BASE_URL = "http://127.0.0.1:9"
"""Where the doubles are told to call back: nobody is there."""
ZONE = ZoneInfo("Europe/Berlin")
BROKER_TOKEN = "7c21be90a4f35d6812ee04b9a"

FORWARD = {
    "source": "ts",
    "type": 1,
    "bExternalId": "42",
    "cExternalId": "K-1",
    "cLastName": "Beispiel",
    "cBankIban": "DE02120300000000202051",
    "instantInquiryCreation": "True",
    "productId": 81,
    "professionId": 311,
    "iExternalReferences": [{"origin": "crm", "paramKey": "Vorgang", "paramValue": "A-77"}],
}
LEAD = {
    "source": "wg",
    "origin": "CRM",
    "lead_source": "website",
    "prospect": {
        "first_name": "Lotte",
        "last_name": "Voorbeeld",
        "external_ref": {"external_ref": "crm-1", "external_ref_company": "crm"},
    },
}
ALTA = {
    "source": "az",
    "acceptTerms": True,
    "motivoLlamada": "1",
    "name": "Lucía Ejemplo Prueba",
    "phone": "600000000",
    "dni": allianz.STRANGER,
}

PLATFORMS = {
    name: Platform(
        name,
        single=frozenset({"hash", "secret", "api_token", "username", "password", "client_id", "client_secret"}),
        several=frozenset({"b_token", "a_token"}),
        settings=frozenset(
            {
                *("base_url", "overdue_after", "own_tokens", "test_source", "distribution_id", "agent_id", "ramo"),
                *("auth", "token_url"),
            }
        ),
    )
    for name in ("thinksurance", "wegroup", "allianz")
}


def make_app(url: str, vault: Vault, answer_seconds: float) -> FastAPI:
    """Return the rooms of questions and calls as an application."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        engine = open_read_engine(url)
        book = AccountBook(url, vault)
        await book.start()
        app.state.reading = query.Reading(
            engine=engine,
            primary=engine,
            book=book,
            cursor_key=query.cursor_key("test"),
            zone=ZONE,
        )
        app.state.sender = submissions.Sender(engine, vault, BASE_URL, answer_seconds=answer_seconds)
        yield
        await app.state.sender.aclose()
        await book.stop()
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)
    problems.install(app)
    app.add_middleware(RequestIdMiddleware)
    app.include_router(query.router)
    app.include_router(submissions.router)
    return app


@dataclass
class Office:
    """The application with a database, sources at the doubles, and keys."""

    client: TestClient
    database: psycopg.Connection[tuple[Any, ...]]
    vault: Vault
    thinksurance: Thinksurance
    wegroup: wegroup.WeGroup
    allianz: allianz.Allianz
    urls: dict[str, str]
    stages: dict[str, Any]
    ids: IdSource = field(default_factory=IdSource)
    _writer: str = ""

    def source(
        self, provider: str, name: str, *, settings: Sequence[tuple[str, str]] = (), **credentials: str
    ) -> AddedSource:
        """Make a source whose platform is the double."""
        pairs = [("base_url", self.urls[provider]), *settings]
        return add_source(
            self.database,
            self.vault,
            PLATFORMS[provider],
            name,
            credentials=list(credentials.items()),
            settings=pairs,
        )

    def set(self, provider: str, name: str, **settings: str) -> None:
        """Change settings of a source, and have them seen: a new key is looked for in the database."""
        self._writer = ""
        set_source(self.database, self.vault, PLATFORMS[provider], name, settings=list(settings.items()))

    def key(self, *scopes: Scope, **walls: Any) -> str:
        """Make an API key."""
        wanted = scopes or (Scope.READ, Scope.READ_PERSONAL, Scope.WRITE)
        return add_key(self.database, "test", scopes=wanted, **walls).key

    def post(self, path: str, body: Any, key: str | None = None, **headers: str) -> Any:
        """Ask for a call as the bearer of a key; a body that is not bytes is sent as JSON."""
        sent = {"Authorization": f"Bearer {key or self.writer}"} | {
            name.replace("_", "-"): text for name, text in headers.items()
        }
        given = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.client.post(f"/v1/submissions/{path}", headers=sent, **given)

    def made(self, path: str, body: Any, **more: str) -> dict[str, Any]:
        """Return the submission of a call that must be made."""
        answer = self.post(path, body, **more)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def get(self, path: str, key: str | None = None) -> Any:
        """Ask as the bearer of a key."""
        return self.client.get(f"/v1{path}", headers={"Authorization": f"Bearer {key or self.writer}"})

    def rows(self, question: str, *arguments: object) -> list[tuple[Any, ...]]:
        return self.database.execute(question, arguments).fetchall()

    @property
    def writer(self) -> str:
        """Return a key that may do everything here."""
        self._writer = self._writer or self.key()
        return self._writer


@pytest.fixture(scope="session")
def doubles() -> Iterator[dict[str, Any]]:
    """The places where doubles play; each test puts fresh ones there."""
    with ExitStack() as stack:
        stages = {name: _Stage() for name in PLATFORMS}
        for stage in stages.values():
            stage.url = stack.enter_context(serve(stage)).url
        yield stages


class _Stage:
    """A served application that can be replaced."""

    def __init__(self) -> None:
        self.url = ""
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await self.app(scope, receive, send)


@contextmanager
def _quick_retries() -> Iterator[None]:
    with stamina.set_testing(True, attempts=2, cap=True):
        yield


@pytest.fixture
def new_office(database_url: str, vault: Vault, doubles: dict[str, Any]) -> Iterator[Callable[..., Office]]:
    """Open offices; a client waits `answer_seconds` for a platform."""
    with ExitStack() as stack:
        stack.enter_context(_quick_retries())

        def make(answer_seconds: float = 10.0) -> Office:
            double = Thinksurance(World(user_hash="h", user_secret="s", broker_token=BROKER_TOKEN))
            others = wegroup.WeGroup(), allianz.Allianz()
            for name, app in zip(("thinksurance", "wegroup", "allianz"), (double, *others), strict=True):
                doubles[name].app = app
            client = stack.enter_context(TestClient(make_app(database_url, vault, answer_seconds)))
            database = stack.enter_context(connect(database_url))
            urls = {name: stage.url for name, stage in doubles.items()}
            office = Office(client, database, vault, double, *others, urls, doubles)
            office.source("thinksurance", "ts", hash="h", secret="s", b_token=BROKER_TOKEN, a_token="double-account")
            settings = [("distribution_id", wegroup.DISTRIBUTION_ID)]
            office.source("wegroup", "wg", settings=settings, api_token=wegroup.API_TOKEN)
            office.source("allianz", "az", settings=[("agent_id", "0051245")])
            return office

        yield make


@pytest.fixture
def office(new_office: Callable[..., Office]) -> Office:
    """An office with a source at each double: ts, wg and az."""
    return new_office()


def source_id(office: Office, name: str) -> UUID:
    """Return the id of a source."""
    ((found,),) = office.rows("SELECT id FROM sources WHERE name = %s", name)
    return UUID(str(found))
