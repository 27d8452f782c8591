"""A desk where documents are announced and fetched: a real database, the double of Thinksurance over real HTTP."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import stamina
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool
from starlette.types import Receive, Scope, Send

from app.accounts.store import add_source
from app.accounts.writing import Platform
from app.config import Settings
from app.crypto import Vault
from app.documents import fetching
from app.ids import IdSource
from app.jobs.bench import Bench
from app.providers.calling import ANSWER_SECONDS
from app.storage.database import connect
from app.submissions.clients import Clients
from tests.doubles.serving import serve
from tests.doubles.thinksurance import Thinksurance
from tests.doubles.thinksurance_world import BROKER_TOKEN, USER_HASH, USER_SECRET, World, file_hash

PLATFORM = Platform(
    "thinksurance",
    single=frozenset({"hash", "secret"}),
    several=frozenset({"b_token", "a_token"}),
    settings=frozenset({"base_url", "document_hosts"}),
)
INQUIRY = {"productId": 81, "professionId": 311}
NOON = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)


class Stage:
    """A server whose double is replaced for each test."""

    def __init__(self) -> None:
        self.url = ""
        self.double = Thinksurance()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Be an ASGI application."""
        await self.double(scope, receive, send)


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """The running server."""
    made = Stage()
    with serve(made) as served:
        made.url = served.url
        yield made


@dataclass
class Desk:
    """Documents, and the means to fetch them at a time that the test sets."""

    url: str
    database: psycopg.Connection[tuple[Any, ...]]
    vault: Vault
    double: Thinksurance
    double_url: str
    settings: Settings
    moment: datetime = NOON
    answer_seconds: float = ANSWER_SECONDS
    ids: IdSource = field(default_factory=IdSource)

    @property
    def world(self) -> World:
        """Return what the double remembers."""
        return self.double.world

    @property
    def folder(self) -> Path:
        """Return where the files are."""
        return self.settings.data_dir / "documents"

    def source(self, name: str = "ts", *, login: bool = True, **settings: str) -> UUID:
        """Make a source at the double; without `login` it only receives."""
        credentials = [("hash", USER_HASH), ("secret", USER_SECRET)] if login else []
        chosen = {"base_url": self.double_url, "document_hosts": self.double_url} | settings
        pairs = [(key, text) for key, text in chosen.items() if text]
        return add_source(self.database, self.vault, PLATFORM, name, credentials=credentials, settings=pairs).id

    def announce(self, source_id: UUID, content: bytes | None = None, **more: Any) -> UUID:
        """Have the platform make an inquiry with a file, and write down its document as the processor would."""
        broker = self.world.brokers[BROKER_TOKEN]
        inquiry = self.world.create_inquiry(broker, None, INQUIRY)
        digest = file_hash(inquiry)
        if content is not None:
            self.world.files.contents[digest] = content
        holder = self.world.files.holder(inquiry.id, digest, "2026-03-09")
        (file,) = holder["files"]
        seal = {
            "link": file["fullFilePath"],
            "token": holder["docToken"]["token"],
            "broker_token": BROKER_TOKEN,
        } | {name: more.pop(name) for name in ("link", "token", "broker_token") if name in more}
        row = {
            "id": self.ids.next(),
            "source_id": source_id,
            "identity": f"{inquiry.id}/{digest}",
            "inquiry_id": inquiry.id,
            "hash": digest,
            "name": "Antrag",
            "full_name": "Antrag Erika Beispiel.pdf",
            "broker_external_id": "42",
            "token_expires_at": NOON + timedelta(days=7),
            "head_key": "",
            "head_receipt": "",
            "field_keys": Jsonb({}),
            "folded": Jsonb({}),
            "first_received_at": NOON,
            "last_received_at": NOON,
            "event_count": 1,
            **{f"{name}_encrypted": text and self.vault.encrypt(text, "document") for name, text in seal.items()},
        } | more
        names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
        self.database.execute(f"INSERT INTO documents ({names}) VALUES ({marks})", list(row.values()))  # noqa: S608
        return UUID(str(row["id"]))

    def row(self, document_id: UUID) -> dict[str, Any]:
        """Return a document."""
        cursor = self.database.execute("SELECT * FROM documents WHERE id = %s", (document_id,))
        (row,) = cursor.fetchall()
        return dict(zip([column.name for column in cursor.description or ()], row, strict=True))

    def files(self) -> dict[str, bytes]:
        """Return what is in the folder, by name."""
        return {path.name: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}

    @asynccontextmanager
    async def bench(self) -> AsyncIterator[Bench]:
        """Give what a job is given."""
        with ConnectionPool(self.url, min_size=1, max_size=4, kwargs={"autocommit": True}) as pool:
            clients = Clients(self.answer_seconds)
            bench = Bench(pool, self.vault, self.settings, clients, clock=lambda: self.moment)
            yield bench
            await bench.clients.aclose()

    def sweep(self, meanwhile: str = "") -> int:
        """Fetch all that is due at this moment, four at once, and return how many; `meanwhile` is done once it is."""

        async def swept() -> int:
            async with self.bench() as bench:
                due = await bench.ask(fetching.FETCH.due, self.moment)
                if meanwhile:
                    self.database.execute(meanwhile.encode())
                at_once = asyncio.Semaphore(4)

                async def fetched(one: UUID) -> None:
                    async with at_once:
                        await fetching.fetch(bench, one)

                await asyncio.gather(*map(fetched, due))
                return len(due)

        return asyncio.run(swept())

    def renew(self) -> int:
        """Ask for new tokens where they are worth asking for; return for how many sources."""

        async def renewed() -> int:
            async with self.bench() as bench:
                due = await bench.ask(fetching.RENEW.due, self.moment)
                for one in due:
                    await fetching.renew(bench, one)
                return len(due)

        return asyncio.run(renewed())


@pytest.fixture
def desk(shared_database_url: str, vault: Vault, stage: Stage, tmp_path: Path) -> Iterator[Desk]:
    """A desk with no document on it yet."""
    stage.double = Thinksurance()
    stage.double.world.files.links = f"{stage.url}/files"
    stage.double.world.files.clock = lambda: NOON
    settings = Settings(data_dir=tmp_path, max_document_bytes=1 << 20)
    with connect(shared_database_url) as database, stamina.set_testing(True, attempts=1):
        yield Desk(shared_database_url, database, vault, stage.double, stage.url, settings)
        for table in ("documents", "wanted_pulls", "source_credentials", "source_tokens", "sources"):
            database.execute(f"DELETE FROM {table}")  # noqa: S608 - written here
