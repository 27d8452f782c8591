"""A desk on which deliveries are laid and processed, with the real platforms and a real database."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest

from app.accounts.model import Mode, Secret, Source
from app.crypto import Vault
from app.ids import IdSource, time_of
from app.processing.batch import Circumstances
from app.processing.meanwhile import BusyConnection
from app.processing.processor import Processor
from app.processing.record_rows import Database
from app.providers import PROVIDERS

ZONE = ZoneInfo("Europe/Berlin")


@dataclass
class Desk:
    """Deliveries of a Thinksurance and a WeGroup source, laid into the inbox and processed when told to."""

    database: Database
    vault: Vault
    ids: IdSource = field(default_factory=IdSource)
    sources: dict[UUID, Source] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.thinksurance = self.add_source("thinksurance", Mode.OBSERVE)
        self.wegroup = self.add_source("wegroup", Mode.OBSERVE)
        self.processor = Processor(self.database, lambda: Circumstances(PROVIDERS, self.sources, self.vault, ZONE))

    def add_source(self, provider: str, mode: Mode, secrets: tuple[Secret, ...] = ()) -> UUID:
        source_id = self.ids.next()
        self.sources[source_id] = Source(source_id, f"{provider}-{mode}", provider, mode, {}, False, secrets, {}, {})  # noqa: FBT003
        self.database.execute(
            "INSERT INTO sources (id, name, provider, mode) VALUES (%s, %s, %s, %s)",
            (source_id, f"s{source_id.hex}", provider, mode),
        )
        return source_id

    def lay(
        self,
        body: Any,
        source_id: UUID | None = None,
        delivery_id: UUID | None = None,
        judged: bytes = b"",
        token_id: UUID | None = None,
        encoding: str = "identity",
    ) -> UUID:
        """Lay a delivery into the inbox; a body that is not bytes is sent as JSON."""
        delivery_id = delivery_id or self.ids.next()
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        source_id = source_id or self.thinksurance
        self.database.execute(
            "INSERT INTO deliveries (id, source_id, received_at, via, method, answered, verdict, size, judged,"
            " body_sha256, remote_addr, query, headers, body, token_id)"
            " VALUES (%s, %s, %s, 0, 0, 200, 3, %s, %s, %s, '', '', %s, %s, %s) ON CONFLICT DO NOTHING",
            (
                delivery_id,
                source_id,
                time_of(delivery_id),
                len(raw),
                judged,
                hashlib.sha256(raw).digest(),
                orjson.dumps([("content-type", "application/json"), ("content-encoding", encoding)]),
                raw,
                token_id,
            ),
        )
        self.ask_again(delivery_id, source_id)
        return delivery_id

    def ask_again(self, delivery_id: UUID, source_id: UUID | None = None) -> None:
        """Put a delivery into the inbox, as a replay does."""
        self.database.execute(
            "INSERT INTO inbox (delivery_id, source_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (delivery_id, source_id or self.thinksurance),
        )

    def process(self) -> None:
        """Process until the inbox is empty."""
        for _ in range(1000):
            if self.rows("SELECT 1 FROM inbox LIMIT 1") == []:
                return
            self.processor.step()
        raise AssertionError("the inbox does not get empty")

    def rows(self, question: str, *arguments: object) -> list[tuple[Any, ...]]:
        return self.database.execute(question, arguments).fetchall()

    def row(self, question: str, *arguments: object) -> tuple[Any, ...]:
        (row,) = self.rows(question, *arguments)
        return row


@pytest.fixture
def new_desk(new_database: Callable[[], str], vault: Vault) -> Iterator[Callable[[], Desk]]:
    """Make desks, each with a database of its own."""
    open_ones = []

    def make() -> Desk:
        database = BusyConnection.connect(new_database(), autocommit=True, options="-c timezone=UTC")
        open_ones.append(closing(database))
        desk = Desk(database, vault)
        database.meanwhile = desk.processor.read_ahead
        return desk

    yield make
    for one in open_ones:
        one.__exit__(None, None, None)


@pytest.fixture
def desk(new_desk: Callable[[], Desk]) -> Desk:
    """A desk with an empty database."""
    return new_desk()


@pytest.fixture
def item() -> Callable[..., dict[str, Any]]:
    """Make a Thinksurance item; all persons are invented."""

    def make(inquiry_id: int = 7, *, customer: dict[str, Any] | None = None, **data: Any) -> dict[str, Any]:
        made: dict[str, Any] = {
            "sHash": "0" * 32,
            "data": {
                "bToken": "0123456789abcdef",
                "bExternalId": "42",
                "iId": inquiry_id,
                "iCreated": "2026-01-01",
                "iUpdated": "2026-01-02",
                "status": 4,
                **data,
            },
        }
        if customer is not None:
            made["customer"] = customer
        return made

    return make
