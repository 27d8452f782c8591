"""Measures what takes long: memory at full load over minutes, and the cost of a callback where many rows lie already.

For `make endurance`; the races are `receiving`'s.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from tests.bench import contenders, loads
from tests.bench.receiving import machine
from tests.bench.servers import Database, open_server

_SIZE = 1000
_CONNECTIONS = 64
_ROUNDS = 3
_ROUND_S = 5.0
_AT_ONCE = 100_000
# More of the delivery that came last: ids of the same month, some milliseconds apart, everything else as it is.
_MORE = """
INSERT INTO deliveries (id, {rest})
SELECT (lpad(to_hex(floor(extract(epoch FROM now()) * 1000)::bigint - %(apart)s * n), 12, '0')
        || '7' || lpad(to_hex(n %% 4096), 3, '0') || '8' || substr(md5(n::text || %(salt)s), 1, 15))::uuid, {rest}
FROM generate_series(1, %(count)s) AS n, (SELECT * FROM deliveries ORDER BY id DESC LIMIT 1) AS one
"""
_REST = """
SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
WHERE table_name = 'deliveries' AND column_name <> 'id'
"""


def main() -> None:
    """Measure what the words ask for, print it, and keep it as JSON where one says so."""
    loads.need_wrk()
    parser = argparse.ArgumentParser(prog="make endurance", description=__doc__)
    parser.add_argument("--minutes", type=int, default=10, help="of full load, processing beside it; 0: none")
    parser.add_argument("--rows", type=int, nargs="*", default=[0, 1_000_000], help="that lie there already")
    parser.add_argument("--out", type=Path, help="the JSON file")
    words = parser.parse_args()
    found: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory(prefix="cbx", dir="/tmp") as made:
        folder = Path(made)
        folder.chmod(0o755)  # the embedded server's user must reach it
        with open_server(folder) as server:
            found["minutes"] = _soak(folder, server.databases["callbox"], words.minutes)
            found["rows"] = _grown(folder, server.databases["callbox --no-work"], words.rows)
    found["machine"]["load_after"] = os.getloadavg()
    if words.out:
        words.out.write_text(json.dumps(found, indent=1))


def _soak(folder: Path, database: Database, minutes: int) -> list[dict[str, float]]:
    """Load Callbox fully for so many minutes; return what each of them cost."""
    table = _table("minute", "a second", "p99 ms", "MiB", "CPU s / 10,000", "backlog")
    script, bodies = loads.write_script(folder), loads.write_bodies(folder, _SIZE, contenders.SECRET)
    seen = []
    with contenders.callbox(folder / "callbox", 1, database.url, work=True) as contender:
        for minute in range(1, minutes + 1):
            cpu = contenders.cpu_seconds(contender.pid)
            load = loads.send(contender.url, script, bodies, connections=_CONNECTIONS, seconds=60)
            one = {
                "minute": minute,
                "rate": load.rate,
                "p99_ms": load.p99_ms,
                "resident_mib": contenders.resident_bytes(contender.pid) / 2**20,
                "cpu_s": (contenders.cpu_seconds(contender.pid) - cpu) / load.requests * 10_000,
                "backlog": database.backlog(),
                "wrong": load.wrong,
            }
            seen.append(one)
            table.add_row(
                str(minute),
                *(f"{one[name]:,.0f}" for name in ("rate", "p99_ms")),
                *(f"{one[name]:.2f}" for name in ("resident_mib", "cpu_s")),
                f"{one['backlog']:,}",
                style="red" if load.wrong else None,
            )
    if seen:
        Console(width=120).print(table)
    return seen


def _grown(folder: Path, database: Database, rows: Sequence[int]) -> list[dict[str, float]]:
    """Measure the receiver alone with so many deliveries there already."""
    table = _table("deliveries there", "a second", "spread", "p99 ms", "CPU s / 10,000: own + PostgreSQL", "WAL B")
    script, bodies = loads.write_script(folder), loads.write_bodies(folder, _SIZE, contenders.SECRET)
    seen = []
    with contenders.callbox(folder / "nowork", 1, database.url, work=False) as contender:
        loads.send(contender.url, script, bodies, connections=_CONNECTIONS, seconds=2)
        for wanted in sorted(rows):
            there = _fill_up(database, wanted)
            before, cpu, rates, shares, requests = database.cost(), contenders.cpu_seconds(contender.pid), [], [], 0
            for _ in range(_ROUNDS):
                load = loads.send(contender.url, script, bodies, connections=_CONNECTIONS, seconds=_ROUND_S)
                rates.append(load.rate)
                shares.append(load.p99_ms)
                requests += load.requests
            after = database.cost()
            database.forget_backlog()
            one = {
                "there": there,
                "rate": statistics.median(rates),
                "p99_ms": statistics.median(shares),
                "cpu_s": (contenders.cpu_seconds(contender.pid) - cpu) / requests * 10_000,
                "server_cpu_s": (after.cpu_seconds - before.cpu_seconds) / requests * 10_000,
                "wal_bytes": (after.wal_bytes - before.wal_bytes) / requests,
            }
            seen.append(one)
            table.add_row(
                f"{there:,}",
                f"{one['rate']:,.0f}",
                f"{min(rates):,.0f} to {max(rates):,.0f}",
                f"{one['p99_ms']:.1f}",
                f"{one['cpu_s']:.2f} + {one['server_cpu_s']:.2f}",
                f"{one['wal_bytes']:,.0f}",
            )
    if seen:
        Console(width=120).print(table)
    return seen


def _fill_up(database: Database, wanted: int) -> int:
    """Add deliveries until there are `wanted`, have PostgreSQL settle, and return how many there are."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        (there,) = connection.execute("SELECT count(*) FROM deliveries").fetchone() or (0,)
        (rest,) = connection.execute(_REST).fetchone() or ("",)
        while there < wanted:
            count = min(_AT_ONCE, wanted - there)
            values = {"count": count, "apart": 2, "salt": str(time.monotonic_ns())}
            connection.execute(_MORE.format(rest=rest), values)
            there += count
        if wanted:
            connection.execute("VACUUM ANALYZE deliveries")
            connection.execute("CHECKPOINT")
    return int(there)


def _table(*titles: str) -> Table:
    table = Table(title=f"{_SIZE:,} bytes, {_CONNECTIONS} connections, one worker, load {os.getloadavg()[0]:.1f}")
    for title in titles:
        table.add_column(title, justify="right")
    return table


if __name__ == "__main__":
    main()
