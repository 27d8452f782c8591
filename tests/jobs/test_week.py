"""A week of pushes of which some never come, some come twice and some late, with the database away twice.

The clock is driven; the platform is the double over real HTTP, jobs and processor are the real ones. At the end every
inquiry is right, every gap is listed, and no document is lost. `make week` has the long form.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest
from psycopg_pool import ConnectionPool

from app.accounts.model import Mode
from app.accounts.snapshot import read_accounts
from app.accounts.store import add_source
from app.administration.platforms import get_platform
from app.config import Settings
from app.crypto import Vault
from app.ids import time_of
from app.ingest.importing import id_at
from app.ingest.rows import STATEMENT, Array, ArrayDumper, Row, arrays, packed
from app.jobs import Bench, Kind
from app.jobs.bench import Database, Turns
from app.processing.batch import Circumstances
from app.processing.processor import DatabaseTroubleError, Processor
from app.providers import PROVIDERS
from app.server.working import job_kinds
from app.storage.database import connect
from tests.doubles.serving import serve
from tests.doubles.thinksurance import Thinksurance
from tests.doubles.thinksurance_world import BROKER_TOKEN, USER_HASH, USER_SECRET, Inquiry

INQUIRIES = int(os.environ.get("WEEK_INQUIRIES", "30"))
START = datetime(2026, 3, 2, 5, 0, tzinfo=UTC)
STEP = timedelta(hours=int(os.environ.get("WEEK_STEP_HOURS", "6")))
DAYS = 7
PATHS = ((4, 15, 6), (2, 4, 6), (3, 15), (2, 3, 4, 15, 6))
SHARES = {"dropped": 0.05, "doubled": 0.02, "late": 0.03}
AWAY = ((30, 34), (101, 106))
"""From which hour to which the database is away."""


@dataclass(frozen=True)
class Push:
    """A callback on its way: what the platform said when, and when it arrives."""

    arrives_at: datetime
    number: int
    subject: str
    status: int
    body: bytes = field(repr=False)


@dataclass
class Week:
    """Everything that happens in the week, hour by hour."""

    url: str
    vault: Vault
    bench: Bench
    double: Thinksurance
    now: list[datetime]
    source_id: UUID
    chance: random.Random = field(default_factory=lambda: random.Random(20260302))  # noqa: S311 - the same week each time
    fates: Counter[str] = field(default_factory=Counter)
    pushes: list[Push] = field(default_factory=list)
    dropped: set[tuple[str, int]] = field(default_factory=set)
    arrived: dict[tuple[str, int], datetime] = field(default_factory=dict)
    searched_at: list[datetime] = field(default_factory=list)
    said_at: dict[tuple[str, int], datetime] = field(default_factory=dict)
    spool: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database = connect(self.url)
        self.database.adapters.register_dumper(Array, ArrayDumper)
        self.processor = self._processor()

    def _processor(self) -> Processor:
        sources = read_accounts(self.database, self.vault).sources
        return Processor(self.database, lambda: Circumstances(PROVIDERS, sources, self.vault, self.bench.zone))

    def plan(self) -> list[tuple[datetime, Inquiry, int]]:
        """Return when which inquiry gets which status; the first few come surely, one of each status."""
        world, planned = self.double.world, []
        for number in range(INQUIRIES):
            broker = world.brokers[BROKER_TOKEN]
            sent = {"productId": 81, "professionId": 311, "cExternalId": f"K-{number}", "cLastName": "Muster"}
            inquiry = world.create_inquiry(broker, world.save_customer(broker, sent), sent)
            del world.inquiries[inquiry.id]  # until it begins
            moment = START + timedelta(hours=1) + self.chance.random() * timedelta(days=DAYS - 3.5)
            for status in PATHS[-1] if number < 3 else PATHS[number % len(PATHS)]:
                planned.append((START + timedelta(minutes=number) if number < 3 else moment, inquiry, status))
                moment += 2 * STEP + self.chance.random() * timedelta(hours=8)
        return sorted(planned, key=lambda one: one[0])

    def go_on(self, moment: datetime, inquiry: Inquiry, status: int) -> None:
        """Let an inquiry get a status, and settle what becomes of the push about it."""
        world = self.double.world
        world.inquiries[inquiry.id] = inquiry
        self.now[0] = moment
        inquiry.status, inquiry.updated_on = status, world.today()
        subject, body = f"inquiry/{inquiry.id}", orjson.dumps(world.item(inquiry))
        self.said_at[subject, status] = moment
        surely = moment < START + timedelta(hours=1)
        fate = "sent" if surely else self._fate()
        self.fates[fate] += 1
        arrives = [moment + timedelta(seconds=1)]
        if fate == "dropped":
            self.dropped.add((subject, status))
            return
        if fate == "late":
            arrives = [moment + timedelta(hours=1 + 29 * self.chance.random())]
        if fate == "doubled":
            arrives.append(moment + timedelta(hours=20 * self.chance.random()))
        self.arrived[subject, status] = arrives[0]
        self.pushes += [Push(at, len(self.pushes) + n, subject, status, body) for n, at in enumerate(arrives)]

    def _fate(self) -> str:
        drawn = self.chance.random()
        for fate, share in SHARES.items():
            if drawn < share:
                return fate
            drawn -= share
        return "sent"

    def receive(self, until: datetime, *, is_away: bool) -> None:
        """Write what has arrived by the receiver's statement, or keep it as the spool does while that cannot be."""
        arrived = [one for one in self.pushes if one.arrives_at <= until]
        self.pushes = [one for one in self.pushes if one.arrives_at > until]
        self.spool += [self._row(one) for one in sorted(arrived, key=lambda one: one.arrives_at)]
        while self.spool and not is_away:
            rows, self.spool = self.spool[:200], self.spool[200:]
            self.database.execute(STATEMENT, arrays(packed(row) for row in rows))

    def _row(self, push: Push) -> Row:
        delivery_id = id_at(push.arrives_at, push.number % (1 << 20))
        head = b'[["content-type", "application/json"]]'
        return Row(
            delivery_id,
            self.source_id,
            None,
            time_of(delivery_id),
            *(0, 0, 200, 3),
            len(push.body),
            b"",
            *(b"0" * 32, b"", b"", head),
            push.body,
        )

    def cut(self) -> None:
        """Let the database cut all connections in the middle of a batch, and come back."""
        with psycopg.connect(self.url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        interrupted: list[UUID] = []
        try:
            self.processor.step()
        except DatabaseTroubleError as error:
            interrupted = list(error.ids)
        except psycopg.Error:
            pass
        self.database.close()
        self.database = connect(self.url)
        self.database.adapters.register_dumper(Array, ArrayDumper)
        self.processor = self._processor()
        self.processor.forgive(interrupted)

    def process(self) -> None:
        while self.database.execute("SELECT 1 FROM inbox LIMIT 1").fetchone():
            self.processor.step()

    async def do_jobs(self, kinds: tuple[Kind, ...]) -> None:
        """Do all that is due, as the runner would; what fails is due again the next time."""
        for kind in kinds:
            if kind.name == "inquiries.search":
                self.searched_at.append(self.now[0])
            for about in kind.due(self.database, self.now[0]):
                with suppress(psycopg.OperationalError):
                    await kind.run(self.bench, about)
            self.process()

    async def live(self) -> None:
        """Live through the week and the two days in which the last late pushes come."""
        kinds = tuple(sorted(job_kinds(), key=lambda kind: kind.name, reverse=True))
        planned, end = self.plan(), START + timedelta(days=DAYS + 2)
        moment = START
        while moment < end:
            moment += STEP
            while planned and planned[0][0] <= moment:
                self.go_on(*planned.pop(0))
            self.now[0] = moment
            hours = (moment - START) / timedelta(hours=1)
            is_away = any(begin <= hours < until for begin, until in AWAY)
            self.receive(moment, is_away=is_away)
            if is_away:
                self.cut()
                continue
            self.process()
            await self.do_jobs(kinds)
        assert not planned
        await self.do_jobs(kinds)
        await self.bench.aclose()

    def expected_gaps(self) -> dict[tuple[str, int], bool]:
        """Return which pushes were missing when the platform was asked, and whether they came later."""
        found = dict.fromkeys(self.dropped, False)
        for place, arrived_at in self.arrived.items():  # one may be on its way for a second just then
            if any(self.said_at[place] <= at < arrived_at for at in self.searched_at):
                found[place] = True
        return found

    def rows(self, question: str) -> list[tuple[Any, ...]]:
        return self.database.execute(question.encode()).fetchall()


@pytest.fixture
def week(database_url: str, vault: Vault, tmp_path: Path) -> Iterator[Week]:
    now = [START]
    double = Thinksurance()
    double.world.token_seconds = 1e9
    double.world.today = lambda: now[0].date()  # noqa: PLW0108 - the clock is driven
    double.world.files.clock = lambda: now[0]
    with serve(double) as served, connect(database_url) as database:
        given = [("hash", USER_HASH), ("secret", USER_SECRET), ("b_token", BROKER_TOKEN)]
        settings = [("base_url", served.url), ("document_hosts", served.url), ("pull_every", "1h")]
        platform = get_platform("thinksurance")
        added = add_source(database, vault, platform, "acme", mode=Mode.OBSERVE, credentials=given, settings=settings)
        database.execute("UPDATE sources SET created_at = %s", (START - timedelta(days=30),))
        options = {"autocommit": True, "options": "-c timezone=UTC"}
        check = ConnectionPool.check_connection
        with ConnectionPool[Database](
            database_url, min_size=1, max_size=2, kwargs=options, open=True, check=check
        ) as pool:
            bench = Bench(pool, vault, Settings(data_dir=tmp_path), clock=lambda: now[0], turns=Turns(0))
            one = Week(database_url, vault, bench, double, now, added.id)
            yield one
            with closing(one.database):
                pass


def test_after_the_week_all_is_right_and_every_gap_is_listed(week: Week, tmp_path: Path) -> None:
    asyncio.run(week.live())
    world = week.double.world
    right = {f"{one.id}": (one.status, one.updated_on) for one in world.inquiries.values()}
    held = {
        identity: (status, day)
        for identity, status, day in week.rows("SELECT identity, status, updated_on FROM inquiries")
    }
    assert {name: state for name, state in held.items() if right.get(name) != state} == {}
    assert len(held) == INQUIRIES
    gaps = {
        (subject, status): late
        for subject, status, late in week.rows(
            "SELECT g.subject, (e.data->'data'->>'status')::int, g.late_at IS NOT NULL"
            " FROM gaps g JOIN events e USING (id)"
        )
    }
    expected = week.expected_gaps()
    assert {place for place in expected if place not in gaps} == set()
    assert {place for place in gaps if place not in expected} == set()
    assert gaps == expected
    documents = dict(week.rows("SELECT state, count(*) FROM documents GROUP BY 1"))
    ordered = sum(1 for one in world.inquiries.values() if one.status in (6, 15))
    assert documents == {"archived": ordered}
    files = {row[0] for row in week.rows("SELECT DISTINCT sha256 FROM documents")}
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} >= files
    via = dict(week.rows("SELECT via, count(*) FROM deliveries GROUP BY 1"))
    table = {
        "inquiries": len(held),
        "states": sum(week.fates.values()),
        **{fate: week.fates[fate] for fate in ("sent", *SHARES)},
        "searches": len(week.searched_at),
        "pushed deliveries": via[0],
        "pulled deliveries": via[1],
        "gaps found": len(gaps),
        "of them late": sum(gaps.values()),
        "documents archived": ordered,
    }
    print("\n" + "\n".join(f"{name:>20} {number:>7}" for name, number in table.items()))  # noqa: T201 - its result
