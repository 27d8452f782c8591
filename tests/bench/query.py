"""Measures reading over HTTP beside the same questions in plain SQL: `make bench-query ARGS='--deliveries 5000000'`.

The questions stand in `questions`, the database in `stock`. A real `serve` without processor is asked by one client,
first with a key that sees all, then with one that has walls; all of it takes some minutes at a million deliveries.
"""

# ruff: noqa: S608 - the names in the statements are our own

import argparse
import gc
import http.client
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from subprocess import DEVNULL, Popen
from typing import Any

import orjson
import structlog
from rich.console import Console
from rich.table import Table

from app.accounts.keys import add_key, revoke_key
from app.accounts.model import Access, Scope
from app.accounts.snapshot import read_accounts
from app.accounts.writing import Connection
from app.config import Settings
from app.crypto import Vault, sha256
from app.query.cursor import cursor_key
from app.storage.database import connect
from tests.bench.asked import Asked, Question, always
from tests.bench.filling import THINKSURANCE, WEGROUP
from tests.bench.questions import questions
from tests.bench.stock import KEPT, filled, read_through
from tests.bench.values import BROKERS
from tests.ports import free_port
from tests.server.test_supervisor import ROOT, until

AIMS_MS = {"list": 15.0, "stats": 100.0, "export": 100.0}


@dataclass(frozen=True, slots=True)
class Effort:
    """How often a question is asked: so many times at most, fewer where that takes longer than `seconds`."""

    fewest: int
    seconds: float


_NOTHING = Question("nothing: how late this machine is itself", "list", always("/livez"), "SELECT 1")

_OVER_HTTP = Effort(fewest=20, seconds=20.0)
_WARMING = Effort(fewest=20, seconds=5.0)
_IN_SQL = Effort(fewest=5, seconds=3.0)
"""The plain SQL is there to be compared with, and takes half a second for a statistic."""


@dataclass(frozen=True, slots=True)
class Measured:
    """How long a question took, in ms: over HTTP, and in plain SQL, which knows no walls."""

    name: str
    kind: str
    walls: bool
    times: int
    p50: float
    p99: float
    sql_times: int
    sql_p50: float | None
    sql_p99: float | None
    answered_bytes: int

    @property
    def within(self) -> bool:
        """Tell whether the aim was reached."""
        return self.p99 <= AIMS_MS[self.kind]


def main(arguments: Sequence[str]) -> None:
    """Fill where there is nothing, measure, print and keep the result."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    parser = argparse.ArgumentParser(prog="bench-query", description=__doc__)
    parser.add_argument("--deliveries", type=int, default=1_000_000, help="how many there are (1 million)")
    parser.add_argument("--times", type=int, default=500, help="how often each question is asked (500)")
    parser.add_argument(
        "--warm-up", type=int, default=200, help="how often it is asked before that, not measured (200)"
    )
    parser.add_argument("--cold", action="store_true", help="leave unread what a start has put out of memory")
    parser.add_argument("--only", default="", help="only questions whose name holds this")
    parser.add_argument("--walls", choices=("without", "with", "both"), default="both", help="by which keys (both)")
    given = parser.parse_args(arguments)
    begun_at, load = datetime.now(UTC), os.getloadavg()
    with filled(given.deliveries, _say) as (settings, url, vault), closing(connect(url)) as database:
        rows = []
        if not given.cold:
            _say("reading the tables once, as they are in memory where a service has filled them")
            read_through(database)
        with serving(settings) as port:
            for walls in {"without": (False,), "with": (True,), "both": (False, True)}[given.walls]:
                with _key(database, vault, walls=walls) as (key, access):
                    asked = questions(database, access, cursor_key(_encryption_key(settings)))
                    for question in (_NOTHING, *asked):
                        if given.only in question.name:
                            rows.append(_measure(question, port, key, database, given, walls=walls))
                            _say(_line(rows[-1]))
        about = _about(database, load, begun_at) | {"warm_up": given.warm_up, "cold": given.cold}
    _show(rows, about)
    KEPT.mkdir(parents=True, exist_ok=True)
    kept = KEPT / f"query-{given.deliveries}-{begun_at:%Y%m%dT%H%M%SZ}.json"
    kept.write_bytes(orjson.dumps({"about": about, "rows": [asdict(row) for row in rows]}, option=orjson.OPT_INDENT_2))
    _say(f"kept as {kept}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a program


def _encryption_key(settings: Settings) -> str:
    if settings.encryption_key is not None:
        return settings.encryption_key.get_secret_value()
    return (settings.data_dir / "encryption.key").read_text().strip()


@contextmanager
def serving(settings: Settings) -> Iterator[int]:
    """Give the port of a real `serve --no-work` on the database of the settings."""
    port = free_port()
    environment = {**os.environ, "CALLBOX_PORT": str(port), "CALLBOX_HOST": "127.0.0.1", "PYTHONPATH": str(ROOT)}
    environment |= {"CALLBOX_LOG_LEVEL": "warning", "CALLBOX_DATA_DIR": str(settings.data_dir)}
    process = Popen([sys.executable, "-m", "app", "serve", "--no-work"], env=environment, stdout=DEVNULL)

    def is_there() -> bool:
        try:
            return _ask(http.client.HTTPConnection("127.0.0.1", port), "/livez", "")[0] == 200
        except OSError:
            return False

    try:
        until(is_there, "the service")
        yield port
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _key(database: Connection, vault: Vault, *, walls: bool) -> Iterator[tuple[str, Access]]:
    """Give a key for personal fields, with both walls or none."""
    wall: dict[str, Any] = {"sources": (THINKSURANCE[0], WEGROUP[0]), "brokers": BROKERS[:3]} if walls else {}
    added = add_key(database, "bench", (Scope.READ, Scope.READ_PERSONAL), **wall)
    try:
        yield added.key, read_accounts(database, vault).keys[sha256(added.key)]
    finally:
        revoke_key(database, str(added.id))


def _measure(
    question: Question, port: int, key: str, database: Connection, given: argparse.Namespace, *, walls: bool
) -> Measured:
    client = http.client.HTTPConnection("127.0.0.1", port)
    size = 0

    def over_http(asked: Asked) -> None:
        nonlocal size
        status, size = _ask(client, asked.path, key, first_bytes=question.first_bytes)
        if status not in (200, 404) or (status == 404 and not walls):
            raise SystemExit(f"{question.name}: {asked.path} was answered {status}")
        if question.first_bytes:
            client.close()

    def in_sql(asked: Asked) -> None:
        database.execute(question.sql, asked.values).fetchall()

    spent = _timed(over_http, question.ask, given.warm_up, given.times, _OVER_HTTP)
    plain = [] if walls else _timed(in_sql, question.ask, 1, given.times, _IN_SQL)
    client.close()
    p50, p99 = _percentiles(spent)
    sql_p50, sql_p99 = _percentiles(plain) if plain else (None, None)
    return Measured(question.name, question.kind, walls, len(spent), p50, p99, len(plain), sql_p50, sql_p99, size)


def _ask(client: http.client.HTTPConnection, path: str, key: str, *, first_bytes: bool = False) -> tuple[int, int]:
    """Return status and size of an answer."""
    client.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
    answer = client.getresponse()
    body = answer.read1() if first_bytes else answer.read()
    return answer.status, len(body)


def _timed(
    do: Callable[[Asked], None], ask: Callable[[], Asked], warm_up: int, times: int, effort: Effort
) -> list[float]:
    """Return how long each time took, in ms, after `warm_up` others that read what is not in memory yet."""
    _spent(do, ask, warm_up, _WARMING)
    gc.collect()
    gc.disable()  # what is measured is the service
    spent = _spent(do, ask, times, effort)
    gc.enable()
    return spent


def _spent(do: Callable[[Asked], None], ask: Callable[[], Asked], times: int, effort: Effort) -> list[float]:
    spent: list[float] = []
    begun = time.perf_counter()
    while len(spent) < times and (len(spent) < effort.fewest or time.perf_counter() - begun < effort.seconds):
        asked = ask()
        before = time.perf_counter()
        do(asked)
        spent.append((time.perf_counter() - before) * 1000)
    return spent


def _percentiles(spent: Sequence[float]) -> tuple[float, float]:
    return round(statistics.median(spent), 2), round(statistics.quantiles(spent, n=100, method="inclusive")[98], 2)


def _about(database: Connection, load: Sequence[float], begun_at: datetime) -> dict[str, Any]:
    counted = {
        name: (database.execute(f"SELECT count(*) FROM {name}").fetchone() or (0,))[0]
        for name in ("deliveries", "events", "inquiries", "customers", "documents", "leads")
    }
    size, version = database.execute(
        "SELECT pg_size_pretty(pg_database_size(current_database())), current_setting('server_version')"
    ).fetchone() or ("", "")
    return {
        "at": f"{begun_at:%Y-%m-%dT%H:%M:%SZ}",
        "load_before": [round(one, 2) for one in load],
        "load_after": [round(one, 2) for one in os.getloadavg()],
        "processors": os.cpu_count(),
        "python": sys.version,
        "postgresql": version,
        "size": size,
        "rows": counted,
    }


def _line(row: Measured) -> str:
    mark = "" if row.within else f"  above {AIMS_MS[row.kind]:.0f}"
    sql = "" if row.sql_p50 is None else f"   sql {row.sql_p50:8.1f} {row.sql_p99:8.1f}"
    return f"{row.name:48} {'walls' if row.walls else '':5} {row.p50:8.1f} {row.p99:8.1f}{sql}{mark}"


def _show(rows: Sequence[Measured], about: Mapping[str, Any]) -> None:
    table = Table(title="Reading, in ms")
    for name in ("question", "walls", "times", "p50", "p99", "SQL p50", "SQL p99", "ratio of p50", "aim of p99"):
        table.add_column(name, justify="left" if name == "question" else "right")
    for row in rows:
        ratio = f"{row.p50 / row.sql_p50:.1f}" if row.sql_p50 else ""
        aim = f"{AIMS_MS[row.kind]:.0f}" + ("" if row.within else " missed")
        numbers = ("" if one is None else f"{one:.1f}" for one in (row.p50, row.p99, row.sql_p50, row.sql_p99))
        table.add_row(row.name, "yes" if row.walls else "", str(row.times), *numbers, ratio, aim)
    console = Console(width=150)
    console.print(table)
    console.print(", ".join(f"{name}: {value}" for name, value in about.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
