"""Fills an empty database with years of callbacks, straight by COPY, as they would lie there had they come.

What is copied stands in `patterns`, what is put in in `values`. The order on disk is that in which they were stored.
"""

import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from uuid import UUID

from psycopg import sql

from app.accounts.snapshot import read_accounts
from app.accounts.store import add_source
from app.accounts.version import bump_version
from app.administration.platforms import get_platform
from app.crypto import Vault, sha256
from app.processing.arrays import TSVECTORS, UUIDS, arrays
from app.processing.batch import Circumstances
from app.processing.record_rows import Database
from app.processing.searched import OPEN, PERSONAL, words_of
from app.providers import PROVIDERS
from app.storage.counting import count_next
from app.storage.database import connect
from app.storage.models import RECORDS
from app.storage.partitions import ensure_partitions
from tests.bench.patterns import Pattern, learn
from tests.bench.stories import inquiry_story, lead_story, odd_stories
from tests.bench.values import BROKERS, ZONE, Account, Copy, broker_token, copy_of, to_sql

THINKSURANCE = ("makler-nord", "makler-sued", "makler-west", "pool-mitte")
WEGROUP = ("kantoor-gent", "kantoor-leuven")
MONTHS = 18
_SECRET = "bench-secret-1"
_AT_ONCE = 20_000
_LATE = 0.005
_GROUPS = (("deliveries", "outcomes"), ("events", *(table.name for table in RECORDS.values()), "aliases", "seen"))

Say = Callable[[str], None]


@dataclass(slots=True)
class Stock:
    """What copies are made of: patterns with how often each is taken, and accounts by platform."""

    patterns: list[Pattern]
    weights: list[float]
    accounts: dict[str, list[Account]]


def fill(
    url: str, vault: Vault, count: int, say: Say, *, stories: int = 108, seed: int = 1, until: datetime | None = None
) -> None:
    """Fill an empty, migrated database with about `count` deliveries of the months before `until` (now).

    They are copies of so many `stories`, and of those that end in quarantine.

    Raises:
        ValueError: the database is not empty.
    """
    until = until or datetime.now(UTC)
    with closing(connect(url, options="-c jit=off -c timezone=UTC")) as database:
        if database.execute("SELECT 1 FROM deliveries LIMIT 1").fetchone():
            raise ValueError("the database holds deliveries already")
        start = until - timedelta(days=MONTHS * 30.5)
        stock = take_stock(database, vault, stories)
        ensure_partitions(database, start, MONTHS + 1)
        indexes = _drop_indexes(database)
        copying = _Copying(url)
        try:
            filled = _write(stock, copying, count, start, until, random.Random(seed), say)  # noqa: S311 - a story
        finally:
            copying.close()
        database.execute("SELECT setval('feed_seq', %s)", (filled,))
        say("cutting into words")
        for kind in RECORDS:
            _write_words(database, kind)
        _make_indexes(url, indexes, say)
        say("counting")
        while count_next(database):
            pass
        say("vacuuming")
        database.execute("VACUUM ANALYZE")


def take_stock(database: Database, vault: Vault, number: int) -> Stock:
    """Make the sources and learn the patterns."""
    for name in THINKSURANCE:
        add_source(database, vault, get_platform("thinksurance"), name, secrets=(_SECRET,))
    for name in WEGROUP:
        add_source(database, vault, get_platform("wegroup"), name)
    database.execute("UPDATE sources SET recipe_proven_at = now()")
    bump_version(database)
    tokens: dict[UUID, UUID] = dict(database.execute("SELECT source_id, id FROM source_tokens").fetchall())
    sources = read_accounts(database, vault).sources
    accounts: dict[str, list[Account]] = defaultdict(list)
    for source in sources.values():
        accounts[source.provider].append(Account(source.id, tokens[source.id], source.provider, _SECRET))
        if source.provider == "thinksurance":
            _know_brokers(database, source.id)
    given = Circumstances(PROVIDERS, sources, vault, ZONE)
    first = {provider: sources[ones[0].source_id] for provider, ones in accounts.items()}
    leads = number // 3
    stories = [
        *(inquiry_story(one, first["thinksurance"]) for one in range(number - leads)),
        *(lead_story(one, first["wegroup"]) for one in range(leads)),
        *odd_stories(),
    ]
    patterns = [
        learn(database, story, first[story.provider], tokens[first[story.provider].id], given) for story in stories
    ]
    return Stock(patterns, [story.weight for story in stories], accounts)


def _write_words(database: Database, kind: str) -> None:
    """Write by which words the records of a kind are found; they differ from copy to copy."""
    table = sql.Identifier(RECORDS[kind].name)
    names = sorted({path[0] for path in (*OPEN[kind], *PERSONAL[kind])})
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    update = sql.SQL(
        "UPDATE {} r SET words = w.words FROM unnest(%s::uuid[], %s::tsvector[]) AS w (id, words) WHERE r.id = w.id"
    ).format(table)
    with database.transaction(), database.cursor("records") as cursor:
        cursor.execute(sql.SQL("SELECT id, {} FROM {}").format(columns, table))
        while rows := cursor.fetchmany(_AT_ONCE):
            found = [(row[0], words_of(kind, dict(zip(names, row[1:], strict=True)))) for row in rows]
            database.execute(update, arrays((UUIDS, TSVECTORS), found))


def _drop_indexes(database: Database) -> list[list[str]]:
    """Drop the indexes of the tables that are filled, but for their keys; return how to make those of each again."""
    found = database.execute(
        "SELECT t.relname, c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid"
        " WHERE t.relname = ANY(%s) AND NOT i.indisunique ORDER BY 1, 2",
        ([table for tables in _GROUPS for table in tables],),
    ).fetchall()
    for _, name, _ in found:
        database.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    return [[definition for *_, definition in of_table] for _, of_table in itertools.groupby(found, itemgetter(0))]


def _make_indexes(url: str, tables: Sequence[Sequence[str]], say: Say) -> None:
    """Make indexes, of two tables at a time: over what is there already it takes far less than keeping them meanwhile.

    Those of one table one by one: PostgreSQL names their parts in the months after the columns, two at once alike.
    """
    say(f"making {sum(map(len, tables))} indexes")

    def make(definitions: Sequence[str]) -> None:
        with connect(url, options="-c maintenance_work_mem=512MB -c synchronous_commit=off") as connection:
            for definition in definitions:
                connection.execute(definition.replace(" ON ONLY ", " ON "))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(make, tables))


def _know_brokers(database: Database, source_id: UUID) -> None:
    """Have no broker be new to a source."""
    for broker in BROKERS:
        for key in (f"id:{broker}", f"token:{sha256(broker_token(source_id, broker)).hex()}"):
            database.execute("INSERT INTO brokers VALUES (%s, %s, %s)", (source_id, key, UUID(int=0)))


def _begun(
    stock: Stock, count: int, start: datetime, until: datetime, dice: random.Random
) -> Iterator[tuple[datetime, Copy]]:
    """Yield copies, by when they begin, until they make `count` deliveries."""
    mean = sum(
        weight * len(pattern.deliveries) for pattern, weight in zip(stock.patterns, stock.weights, strict=True)
    ) / sum(stock.weights)
    apart = (until - start) / (count / mean)
    left = count
    for number in itertools.count():
        if left <= 0:
            return
        begins_at = start + apart * number
        (pattern,) = dice.choices(stock.patterns, stock.weights)
        account = dice.choice(stock.accounts[pattern.story.provider])
        copy = copy_of(pattern, account, number, begins_at, dice)
        left -= len(copy.times)
        yield begins_at, copy


def _write(
    stock: Stock, copying: "_Copying", count: int, start: datetime, until: datetime, dice: random.Random, say: Say
) -> int:
    """Write copies in the order in which their deliveries were stored; return the last place in the feed."""
    waiting: list[tuple[datetime, int, int, Copy]] = []
    seq, written, order = 0, 0, itertools.count()

    def drain(before: datetime | None) -> None:
        nonlocal seq, written
        while waiting and (before is None or waiting[0][0] < before):
            stored_at, _, at, copy = heapq.heappop(waiting)
            if stored_at < until:
                seq = _put(copying, copy, at, stored_at, seq)
                written += 1
                if written % 100_000 == 0:
                    say(f"{written} deliveries")

    for begins_at, copy in _begun(stock, count, start, until, dice):
        drain(begins_at)
        if copy.times[-1] >= until:  # whatever is known is known of whole stories
            continue
        for at, moment in enumerate(copy.times):
            late = timedelta(hours=dice.uniform(0, 6)) if dice.random() < _LATE else timedelta()
            stored_at = min(moment + late, until) + timedelta(milliseconds=dice.randint(2, 60))
            heapq.heappush(waiting, (stored_at, next(order), at, copy))
        _put_records(copying, copy)
    drain(None)
    copying.flush()
    return seq


def _put_records(copying: "_Copying", copy: Copy) -> None:
    for table, line in copy.pattern.beside:
        copying.add(table, line(copy.values))


def _put(copying: "_Copying", copy: Copy, at: int, stored_at: datetime, seq: int) -> int:
    """Write a delivery and what came of it; return the last place in the feed."""
    copy.set(f"stored{at}", to_sql(stored_at))
    copy.set(f"processed{at}", to_sql(stored_at + timedelta(milliseconds=40)))
    for event in copy.pattern.made:
        if event.delivery == at:
            seq += 1
            copy.set(f"event_seq{event.name}", str(seq))
    seq += 1
    copy.set(f"seq{at}", str(seq))
    copying.add("deliveries", copy.pattern.deliveries[at](copy.values))
    copying.add("outcomes", copy.pattern.outcomes[at](copy.values))
    for line in copy.pattern.events[at]:
        copying.add("events", line(copy.values))
    return seq


@dataclass
class _Copying:
    """Copies lines into tables, many at once, over a connection for each group of tables."""

    url: str
    lines: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    number: int = 0

    def __post_init__(self) -> None:
        self._connections = [connect(self.url, options="-c synchronous_commit=off -c timezone=UTC") for _ in _GROUPS]
        self._threads = [ThreadPoolExecutor(1) for _ in _GROUPS]
        self._under_way: list[Future[None]] = []

    def add(self, table: str, line: str) -> None:
        self.lines[table].append(line)
        if table == "deliveries":
            self.number += 1
            if self.number % _AT_ONCE == 0:
                self._send()

    def flush(self) -> None:
        self._send()
        self._wait()

    def close(self) -> None:
        for thread, connection in zip(self._threads, self._connections, strict=True):
            thread.shutdown()
            connection.close()

    def _send(self) -> None:
        lines, self.lines = self.lines, defaultdict(list)
        self._wait()
        for thread, connection, tables in zip(self._threads, self._connections, _GROUPS, strict=True):
            self._under_way.append(thread.submit(_copy, connection, tables, lines))

    def _wait(self) -> None:
        for one in self._under_way:
            one.result()
        self._under_way.clear()


def _copy(connection: Database, tables: Sequence[str], lines: dict[str, list[str]]) -> None:
    with connection.transaction():
        for table in tables:
            if lines[table]:
                with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                    copy.write(("\n".join(lines[table]) + "\n").encode())
