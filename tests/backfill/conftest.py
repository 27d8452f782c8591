"""A desk at which pushes are laid, jobs are done and deliveries processed, before the double of Thinksurance."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
import stamina
from psycopg_pool import ConnectionPool

from app.accounts.model import Mode
from app.accounts.snapshot import read_accounts
from app.accounts.store import add_source
from app.administration.platforms import get_platform
from app.backfill import PULL, SEARCH
from app.config import Settings
from app.crypto import Vault
from app.ids import time_of
from app.ingest.importing import id_at
from app.jobs import Bench, Kind
from app.jobs.bench import Database, Turns
from app.processing.batch import Circumstances
from app.processing.processor import Processor
from app.providers import PROVIDERS
from app.storage.database import connect
from tests.doubles.serving import serve
from tests.doubles.thinksurance import Thinksurance
from tests.doubles.thinksurance_world import BROKER_TOKEN, ORDERED, USER_HASH, USER_SECRET, Inquiry


@dataclass
class Stand:
    """One source that calls the double, a clock that stands still until it is moved, and all that is done by hand."""

    database: Database
    vault: Vault
    bench: Bench
    double: Thinksurance
    url: str
    now: list[datetime]
    sources: dict[str, UUID] = field(default_factory=dict)
    numbers: int = 0

    def __post_init__(self) -> None:
        self.processor = Processor(self.database, self._circumstances)

    def _circumstances(self) -> Circumstances:
        sources = read_accounts(self.database, self.vault).sources
        return Circumstances(PROVIDERS, sources, self.vault, self.bench.zone)

    def add_source(self, name: str = "acme", mode: Mode = Mode.OBSERVE, **settings: str) -> UUID:
        given = {"hash": USER_HASH, "secret": USER_SECRET, "b_token": BROKER_TOKEN}
        added = add_source(
            self.database,
            self.vault,
            get_platform("thinksurance"),
            name,
            mode=mode,
            secrets=[USER_SECRET] if mode is Mode.ENFORCE else [],
            credentials=list(given.items()),
            settings=list({"base_url": self.url, **settings}.items()),
        )
        self.database.execute(
            "UPDATE sources SET created_at = %s WHERE id = %s", (self.now[0] - timedelta(days=30), added.id)
        )
        self.sources[name] = added.id
        return added.id

    def new_inquiry(self, status: int = ORDERED) -> Inquiry:
        world = self.double.world
        broker = world.brokers[BROKER_TOKEN]
        sent = {"productId": 81, "professionId": 311, "cExternalId": f"K-{len(world.inquiries)}", "cLastName": "Muster"}
        inquiry = world.create_inquiry(broker, world.save_customer(broker, sent), sent)
        inquiry.status = status
        inquiry.created_on = inquiry.updated_on = self.today
        return inquiry

    @property
    def today(self) -> date:
        return self.now[0].astimezone(self.bench.zone).date()

    def later(self, **period: float) -> None:
        self.now[0] += timedelta(**period)

    def push(
        self, body: Any, source: str = "acme", at: datetime | None = None, headers: Sequence[tuple[str, str]] = ()
    ) -> UUID:
        """Lay a callback into the inbox, as the receiver does, and process it."""
        self.numbers += 1
        self.later(milliseconds=1)
        delivery_id = id_at(at or self.now[0], self.numbers)
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        self.database.execute(
            "INSERT INTO deliveries (id, source_id, received_at, via, method, answered, verdict, size, judged,"
            " body_sha256, remote_addr, query, headers, body)"
            " VALUES (%s, %s, %s, 0, 0, 200, 3, %s, '', %s, '', '', %s, %s)",
            (
                delivery_id,
                self.sources[source],
                time_of(delivery_id),
                len(raw),
                hashlib.sha256(raw).digest(),
                orjson.dumps([("content-type", "application/json"), *headers]),
                raw,
            ),
        )
        self.database.execute("INSERT INTO inbox VALUES (%s, %s, 0)", (delivery_id, self.sources[source]))
        self.process()
        return delivery_id

    def process(self) -> None:
        for _ in range(100):
            if not self.rows("SELECT 1 FROM inbox LIMIT 1"):
                return
            self.processor.step()
        raise AssertionError("the inbox does not get empty")

    def do(self, *kinds: Kind) -> int:
        """Do what is due of some kinds, as the runner would, and process what it brought; return how many jobs."""
        done = 0
        self.later(seconds=1)
        for kind in kinds or (SEARCH, PULL):
            for about in kind.due(self.database, self.now[0]):
                asyncio.run(self._do(kind, about))
                done += 1
            self.process()
        return done

    async def _do(self, kind: Kind, about: UUID) -> None:
        with stamina.set_testing(True, attempts=3, cap=True):
            try:
                await kind.run(self.bench, about)
            finally:  # connections belong to one event loop
                await self.bench.aclose()

    def rows(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        return self.database.execute(question.encode(), values).fetchall()

    def gaps(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT subject, late_at IS NOT NULL FROM gaps ORDER BY id")

    def status(self, inquiry: Inquiry) -> Any:
        rows = self.rows("SELECT status FROM inquiries WHERE inquiry_id = %s", inquiry.id)
        return rows[0][0] if rows else None

    def confirmed(self, inquiry: Inquiry) -> bool:
        rows = self.rows("SELECT confirmed_at IS NOT NULL FROM inquiries WHERE inquiry_id = %s", inquiry.id)
        return bool(rows and rows[0][0])

    def verdicts(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT verdict FROM events ORDER BY id")]


def notification(inquiry: Inquiry, *links: tuple[str, str, str]) -> dict[str, Any]:
    """Return a notification of an inquiry and of what `links` (type, id, address) name besides."""
    return {
        "eventType": "InquiryOrdered",
        "eventTime": "2025-03-09T10:01:02.345Z",
        "eventId": "",
        "notificationId": f"n-{inquiry.id}",
        "accountReference": "musterpool",
        "brokerReference": "42",
        "affected": [
            {"referenceType": "inquiry", "referenceId": str(inquiry.id)},
            *(
                {"referenceType": kind, "referenceId": name, "links": [{"contentType": "a/b", "href": link}]}
                for kind, name, link in links
            ),
        ],
    }


@contextmanager
def standing(url: str, vault: Vault, settings: Settings) -> Iterator[Stand]:
    """Give a stand over a migrated, empty database."""
    now = [datetime.now(UTC).replace(microsecond=0)]
    double = Thinksurance()
    with (
        serve(double) as served,
        closing(connect(url)) as database,
        ConnectionPool[Database](url, min_size=1, max_size=2, kwargs={"autocommit": True}, open=True) as pool,
    ):
        bench = Bench(pool, vault, settings, clock=lambda: now[0], turns=Turns(0))
        yield Stand(database, vault, bench, double, served.url, now)


@pytest.fixture
def stand(new_database: Callable[[], str], vault: Vault) -> Iterator[Stand]:
    """A stand with an empty database, without a source."""
    with standing(new_database(), vault, Settings()) as one:
        yield one
