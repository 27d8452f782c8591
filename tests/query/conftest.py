"""A small application of the query room alone, over rows that are written straight into the tables."""

import hashlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest
from fastapi import FastAPI
from sqlalchemy import Connection, Table, create_engine, func, insert, update
from starlette.testclient import TestClient

from app import problems, query
from app.accounts.model import Scope
from app.accounts.snapshot import AccountBook
from app.accounts.version import bump_version
from app.crypto import Vault, new_api_key, sha256
from app.ids import derived_id, first_id_at
from app.ingest.contract import METHODS, VERDICTS, VIAS
from app.processing.folding import fold
from app.processing.order import order_key
from app.processing.searched import words_of
from app.request_id import RequestIdMiddleware
from app.storage.engine import engine_url, open_read_engine
from app.storage.models import (
    RECORDS,
    api_keys,
    customers,
    deliveries,
    documents,
    events,
    gaps,
    inbox,
    inquiries,
    leads,
    outcomes,
    shapes,
    source_tokens,
    sources,
)
from tests.databases import Databases
from tests.whole import on_a_port

START = datetime(2026, 3, 9, 10, 0, tzinfo=UTC)
_KINDS = {table: kind for kind, table in RECORDS.items()}


class Rows:
    """Writes rows as the receiver and the processor would, all persons invented."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.made = 0
        self.seq = 0

    def id_at(self, minutes: float) -> UUID:
        """Return a new id of so many minutes after the start."""
        self.made += 1
        return derived_id(first_id_at(START + timedelta(minutes=minutes)), self.made)

    def _next_seq(self) -> int:
        return int(self.connection.exec_driver_sql("SELECT nextval('feed_seq')").scalar_one())

    def insert(self, table: Table, **values: Any) -> None:
        self.connection.execute(insert(table).values(**values))
        if table in (sources, api_keys):
            driver: Any = self.connection.connection.driver_connection
            bump_version(driver)
        self.connection.commit()

    def source(self, name: str, provider: str = "thinksurance", **more: Any) -> UUID:
        source_id = self.id_at(-1)
        self.insert(sources, id=source_id, name=name, provider=provider, mode="enforce", **more)
        return source_id

    def key(
        self,
        *scopes: Scope,
        source_ids: list[UUID] | None = None,
        brokers: list[str] | None = None,
        expires_at: datetime | None = None,
        revoked_at: datetime | None = None,
    ) -> str:
        key = new_api_key()
        self.insert(
            api_keys,
            id=self.id_at(-1),
            name="test",
            key_sha256=sha256(key),
            scopes=list(scopes),
            source_ids=source_ids,
            brokers=brokers,
            expires_at=expires_at,
            revoked_at=revoked_at,
        )
        return key

    def token(self, source_id: UUID, label: str = "default") -> UUID:
        token_id = self.id_at(-1)
        digest = hashlib.sha256(token_id.bytes).digest()
        self.insert(
            source_tokens, id=token_id, source_id=source_id, label=label, token_sha256=digest, token_encrypted=b""
        )
        return token_id

    def delivery(
        self,
        source_id: UUID,
        minutes: float = 0,
        *,
        body: bytes = b"{}",
        headers: list[list[str]] | None = None,
        status: str | None = "accepted",
        reason: str | None = None,
        brokers: list[str] | None = None,
        items: list[dict[str, Any]] | None = None,
        verdict: str = "verified",
        delivery_id: UUID | None = None,
        **more: Any,
    ) -> UUID:
        """Write a delivery with its outcome, or into the inbox where `status` is None."""
        delivery_id = delivery_id or self.id_at(minutes)
        values = {
            "token_id": None,
            "received_at": START + timedelta(minutes=minutes),
            "via": VIAS.index("push"),
            "method": METHODS.index("POST"),
            "answered": 200,
            "verdict": [*VERDICTS].index(verdict),  # type: ignore[arg-type]  # its text
            "size": len(body),
            "judged": b"",
            "body_sha256": hashlib.sha256(body).digest(),
            "remote_addr": b"203.0.113.17",
            "query": b"",
            "headers": orjson.dumps(headers if headers is not None else [["content-type", "application/json"]]),
            "body": body,
        } | more
        self.insert(deliveries, id=delivery_id, source_id=source_id, **values)
        if status is None:
            self.insert(inbox, delivery_id=delivery_id, source_id=source_id)
        else:
            self.process(delivery_id, source_id, status=status, reason=reason, brokers=brokers, items=items)
        return delivery_id

    def process(self, delivery_id: UUID, source_id: UUID, **more: Any) -> None:
        """Write the outcome of a delivery."""
        self.seq = self._next_seq()
        values = {
            "seq": self.seq,
            "status": "accepted",
            "verdict": "verified",
            "reason": None,
            "processed_at": START + timedelta(days=1),
        } | more
        values |= {"items": values.get("items") or [], "brokers": values.get("brokers") or []}
        self.insert(outcomes, delivery_id=delivery_id, source_id=source_id, **values)

    def event(self, source_id: UUID, delivery_id: UUID, minutes: float = 0, **more: Any) -> UUID:
        event_id = derived_id(delivery_id, more.get("item_index", 0))
        self.seq = self._next_seq()
        received_at = START + timedelta(minutes=minutes)
        index = more.get("item_index", 0)
        values = {
            "seq": self.seq,
            "item_index": index,
            "type": "thinksurance.inquiry.calculated",
            "subject": "inquiry/1",
            "order_key": order_key(received_at, delivery_id, index),
            "received_at": received_at,
            "verdict": "verified",
            "stale": False,
            "changes": [],
            "warnings": [],
            "parts": [],
            "data": {},
        } | more
        self.insert(events, id=event_id, source_id=source_id, delivery_id=delivery_id, **values)
        told = [one for one in (values.get("record_id"), values.get("customer_id")) if one is not None]
        for table in (inquiries, customers, leads) if told else ():  # as the processor keeps it
            last = func.greatest(table.c.last_received_at, received_at)
            self.connection.execute(update(table).where(table.c.id.in_(told)).values(last_received_at=last))
        return event_id

    def record(self, table: Table, source_id: UUID, minutes: float = 0, **values: Any) -> UUID:
        """Write a record; its texts are folded."""
        record_id = values.pop("id", None) or self.id_at(minutes)
        moment = START + timedelta(minutes=minutes)
        meta = {
            "identity": str(record_id),
            "head_key": "",
            "head_receipt": "",
            "field_keys": {},
            "folded": {name: fold(value) for name, value in values.items() if isinstance(value, str)},
            "words": " ".join(f"'{word}'" for word in words_of(_KINDS[table], values)),
            "first_received_at": moment,
            "last_received_at": moment,
            "changed_at": moment,
            "event_count": 1,
        }
        known = {name: value for name, value in meta.items() if name in table.c}
        self.insert(table, id=record_id, source_id=source_id, **(known | values))
        return record_id

    def inquiry(self, source_id: UUID, inquiry_id: int, minutes: float = 0, **values: Any) -> UUID:
        return self.record(inquiries, source_id, minutes, inquiry_id=inquiry_id, **values)

    def customer(self, source_id: UUID, minutes: float = 0, **values: Any) -> UUID:
        return self.record(customers, source_id, minutes, **({"brokers": []} | values))

    def document(self, source_id: UUID, inquiry_id: int, minutes: float = 0, **values: Any) -> UUID:
        return self.record(documents, source_id, minutes, inquiry_id=inquiry_id, **values)

    def lead(self, source_id: UUID, minutes: float = 0, **values: Any) -> UUID:
        return self.record(leads, source_id, minutes, **values)


class World:
    """A small stock of everything, twice: what the walled keys see, and what lies outside."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.one = rows.source("ts-one", recipe_proven_at=START)
        self.two = rows.source("ts-two", disabled_at=START)
        self.wegroup = rows.source("wg-one", "wegroup")
        self.wegroup_two = rows.source("wg-two", "wegroup")
        self.keys = {
            "full": rows.key(Scope.READ, Scope.READ_PERSONAL),
            "plain": rows.key(Scope.READ),
            "admin": rows.key(Scope.READ, Scope.READ_PERSONAL, Scope.ADMIN),
            "by-source": rows.key(Scope.READ, Scope.READ_PERSONAL, source_ids=[self.one, self.wegroup]),
            "by-broker": rows.key(Scope.READ, Scope.READ_PERSONAL, brokers=["B-1"]),
            "writer": rows.key(Scope.WRITE),
        }
        self.ids: dict[str, dict[str, UUID]] = {"inside": {}, "outside": {}}
        self._fill("inside", self.one, self.wegroup, "B-1")
        self._fill("outside", self.two, self.wegroup_two, "B-2")

    def _fill(self, where: str, source_id: UUID, wegroup_id: UUID, broker: str) -> None:
        rows, ids = self.rows, self.ids[where]
        number = 1 if where == "inside" else 2
        token = rows.token(source_id)
        item = {"index": 0, "key": None, "subject": f"inquiry/{number}", "verdict": "verified", "status": "event"}
        ids["delivery"] = rows.delivery(
            source_id,
            number,
            body=b'{"lastName": "Brandt-Muster"}',
            headers=[["content-type", "application/json"], ["authorization", "Basic bmVsZTpnZWhlaW0="]],
            brokers=[broker],
            token_id=token,
            items=[item | {"reason": None, "event_id": None}],
        )
        ids["customer"] = rows.customer(
            source_id,
            number,
            customer_id=300 + number,
            external_id=f"K-{number}",
            salutation="ms",
            first_name="Nele",
            last_name="Brandt-Muster",
            birth_date=date(1984, 5, 17),
            email="nele@brandt-muster.example",
            phone="+49 221 5550100",
            website="https://brandt-muster.example",
            company="Brandt-Müller GmbH",
            address={"street": "Lindenstraße", "house_number": "12a", "city": "Köln"},
            company_address={"street": "Werkweg", "city": "Bonn"},
            external_references={"crm\x1fno": {"origin": "crm", "key": "no", "value": "A-1"}},
            brokers=[broker],
        )
        ids["inquiry"] = rows.inquiry(
            source_id,
            number,
            number,
            status=4,
            product_name="Betriebshaftpflicht",
            broker_external_id=broker,
            customer_record_id=ids["customer"],
            premium_yearly_cents=125_050,
            tax_percent="19",
            updated_on=date(2026, 3, 9),
            external_references={"crm\x1fno": {"origin": "crm", "key": "no", "value": "A-1"}},
        )
        ids["document"] = rows.document(
            source_id,
            number,
            number,
            hash=f"hash{number}",
            name="Antrag.pdf",
            full_name="Antrag Brandt-Muster.pdf",
            purpose="proposal",
            broker_external_id=broker,
        )
        ids["event"] = rows.event(
            source_id,
            ids["delivery"],
            number,
            subject=f"inquiry/{number}",
            broker=broker,
            record_kind="inquiry",
            record_id=ids["inquiry"],
            customer_id=ids["customer"],
            occurred_on=date(2026, 3, 9),
            changes=[
                {"field": "status", "old": 3, "new": 4},
                {"field": "customer.last_name", "old": "Muster", "new": "Brandt-Muster"},
                {"field": "customer.address.city", "old": None, "new": "Köln"},
                {"field": "documents", "old": None, "new": {"hash": "h", "name": "Antrag.pdf"}},
            ],
            warnings=[{"field": "data.premiumYearly", "reason": "text-for-number"}],
            data={"data": {"lastName": "Brandt-Muster"}},
            parts=[
                {"kind": "inquiry", "keys": [str(number)], "fields": {"status": 4}},
                {
                    "kind": "customer",
                    "keys": [f"c:30{number}"],
                    "fields": {"last_name": "Brandt-Muster", "broker_external_id": broker},
                },
            ],
        )
        ids["gap"] = ids["event"]
        rows.insert(
            gaps,
            id=ids["gap"],
            source_id=source_id,
            subject=f"inquiry/{number}",
            broker=broker,
            delivery_id=ids["delivery"],
            missed_since=START,
            found_at=START + timedelta(minutes=number),
            content=b"",
        )
        ids["shape"] = rows.id_at(number)
        rows.insert(
            shapes,
            id=ids["shape"],
            source_id=source_id,
            kind="thinksurance.inquiry",
            path="data.novelty",
            type="text",
            count=1,
            items_before=500,
            items_until=501,
            first_event_id=ids["event"],
            first_seen_at=START,
            last_seen_at=START,
        )
        ids["lead"] = rows.lead(
            wegroup_id,
            number,
            lead_id=f"lead-{number}",
            kind="customer",
            first_name="Lotte",
            last_name="Voorbeeld",
            name="Lotte Voorbeeld",
            email="lotte@voorbeeld.example",
            phone="+32 9 555 01 00",
            birth_date=date(1991, 8, 23),
            address={"street": "Veldstraat", "city": "Gent"},
            origin="distribution",
            backref="crm-4711",
            risk_objects=[{"kind": "cars", "id": "c1", "vin": "ZZZSYNTHET2D00077", "address": None, "other": {}}],
            policy_packages=[
                {
                    "id": "p1",
                    "name": "Auto Plus",
                    "package_nr": "PK-100",
                    "insurance_company": "demo",
                    "premium_cents": 41_250,
                    "payment_interval": "ANNUAL",
                    "payment_interval_months": 12,
                }
            ],
            insurance_policies=[
                {
                    "name": "Auto",
                    "policy_nr": "P-889900",
                    "policy_package_id": "p1",
                    "type": "car",
                    "insurance_company": "demo",
                    "external_references": [{"origin": "demo", "key": "external_ref", "value": "crm-1"}],
                    "coverages": [],
                }
            ],
        )
        lead_delivery = rows.delivery(wegroup_id, number + 0.5)
        ids["lead-event"] = rows.event(
            wegroup_id,
            lead_delivery,
            number + 0.5,
            type="wegroup.lead.created",
            subject=f"lead/lead-{number}",
            record_kind="lead",
            record_id=ids["lead"],
            changes=[
                {"field": "origin", "old": None, "new": "distribution"},
                {"field": "insurance_policies", "old": None, "new": [{"policy_nr": "P-889900"}]},
            ],
            data={"last_name": "Voorbeeld"},
        )


class Caller:
    """Asks as the bearer of a key."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def get(self, key: str | None, path: str, **more: Any) -> Any:
        """Return the answer to a GET."""
        return self.client.get(path, headers={"Authorization": f"Bearer {key}"} if key else {}, **more)

    def post(self, key: str, path: str) -> Any:
        """Return the answer to a POST without a body."""
        return self.client.post(path, headers={"Authorization": f"Bearer {key}"})

    def found(self, key: str, path: str, **more: Any) -> list[Any]:
        """Return the rows of a list that must be answered."""
        response = self.get(key, path, **more)
        assert response.status_code == 200, response.text
        return list(response.json()["data"])

    def walk(self, key: str, path: str) -> list[Any]:
        """Return the rows of all pages of a list, by the link that each gives to the next."""
        found: list[Any] = []
        while True:
            page = self.get(key, path)
            assert page.status_code == 200, page.text
            found += page.json()["data"]
            cursor = page.json()["next_cursor"]
            if cursor is None:
                assert "link" not in page.headers
                return found
            link = page.headers["link"]
            assert link.endswith(f'cursor={cursor}>; rel="next"')
            path = link[1 : link.index(">")]


def make_app(url: str, vault: Vault) -> FastAPI:
    """Return the query room as an application."""

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
            zone=ZoneInfo("Europe/Berlin"),
            planned=open_read_engine(url, planned_once=True),
            kept=4,
        )
        app.state.streams = query.Streams(app.state.reading)
        yield
        app.state.streams.end()
        await book.stop()
        await app.state.reading.close()

    app = FastAPI(lifespan=lifespan)
    problems.install(app)
    app.add_middleware(query.RateHeadersMiddleware)
    app.add_middleware(RequestIdMiddleware)
    app.include_router(query.router)
    return app


def _rows(url: str) -> Iterator[Rows]:
    engine = create_engine(engine_url(url))
    with engine.connect() as connection:
        yield Rows(connection)
    engine.dispose()


@pytest.fixture(scope="session")
def world_url(databases: Databases) -> str:
    """A database that many tests read and none changes."""
    return databases.lend()


@pytest.fixture(scope="session")
def world(world_url: str) -> Iterator[World]:
    """The small stock of everything."""
    for rows in _rows(world_url):
        yield World(rows)


@pytest.fixture(scope="session")
def asking(world: World, world_url: str, vault: Vault) -> Iterator[Caller]:
    """Questions to the world."""
    assert world.keys
    with TestClient(make_app(world_url, vault)) as client:
        yield Caller(client)


@pytest.fixture
def rows(database_url: str) -> Iterator[Rows]:
    """Rows of this test's own database."""
    yield from _rows(database_url)


@pytest.fixture
def open_caller(database_url: str, vault: Vault) -> Iterator[Callable[[], Caller]]:
    """Open questions to this test's own database, once its rows are written."""
    opened: list[TestClient] = []

    def make() -> Caller:
        client = TestClient(make_app(database_url, vault))
        client.__enter__()
        opened.append(client)
        return Caller(client)

    yield make
    for client in opened:
        client.__exit__()


@dataclass
class Served:
    """The query room on a port."""

    url: str
    app: Any


@pytest.fixture
def served(database_url: str, vault: Vault) -> Iterator[Served]:
    app = make_app(database_url, vault)
    with on_a_port(app) as url:
        yield Served(url, app)
        app.state.streams.end()
