"""Measures what is no race: PostgreSQL alone, an open loop at a fixed rate, and the rate that processing keeps up with.

The races are `receiving`'s. What depends on processing has a new database and comes before them: the millions of rows
that a race leaves behind are vacuumed and brought to the disk for minutes.
"""

import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from app.accounts.snapshot import read_accounts
from app.crypto import Vault
from app.providers.thinksurance import simulator
from tests.bench import contenders, loads
from tests.bench.open_loop import send, share_ms
from tests.bench.servers import Database, Server

BATCH = 64
FLAT_S = 0.5
"""A backlog of less than what comes in so long is flat."""
_RATES = (500, 750, 1000, 1250, 1500, 1750, 2000, 2250, 2500, 2750, 3000, 3500, 4000, 5000)
_STEADY_S = 12
_LOOK_S = 0.25
_TRIES = 2
_SHARES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
_TPS = re.compile(r"tps = ([\d.]+)")
_ROW = "INSERT INTO bench_rows (body) SELECT decode(repeat('5a', {size}), 'hex') FROM generate_series(1, {rows});"
_READABLE = """
SELECT percentile_disc(ARRAY[0.5, 0.99, 0.999])
    WITHIN GROUP (ORDER BY extract(epoch FROM o.processed_at - d.received_at))
FROM deliveries d JOIN outcomes o ON o.delivery_id = d.id AND o.source_id = d.source_id WHERE d.received_at > %s
"""
_WAITING = "SELECT count(*) FROM inbox"


def own_limit(server: Server, size: int, *, seconds: float) -> dict[str, float]:
    """Return how many rows of `size` bytes PostgreSQL takes a second from pgbench, one or 64 with each commit."""
    url = server.databases["usual"].url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bench_rows (id bigserial PRIMARY KEY, body bytea)")
    found = {}
    for name, rows, clients in (("a commit each", 1, 16), (f"{BATCH} with each commit", BATCH, 2)):
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
            script.write(_ROW.format(size=size, rows=rows))
            script.flush()
            words = ["-n", "-M", "prepared", "-j", "2", "-c", str(clients), "-T", str(max(1, round(seconds)))]
            words = [server.pgbench, *words, "-f", script.name, url]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
        tps = _TPS.search(done.stdout)
        found[name] = float(tps[1]) * rows if tps else 0.0
    return found


def open_loop(folder: Path, databases: dict[str, Database], *, rate: int, seconds: float) -> dict[str, Any]:
    """Send at a fixed rate whatever the answers do; return the percentiles of acknowledgement and readability.

    What is sent are the lives of inquiries that `callbox simulate` invents, all made before the first is due.
    """
    database = databases["open loop"]
    with contenders.callbox(folder / "open", 1, database.url, work=True) as contender:
        with psycopg.connect(database.url) as connection:
            accounts = read_accounts(connection, Vault(contenders.KEY))
        source = next(iter(accounts.sources.values()))
        now = datetime.now(UTC)
        bodies = list(simulator.bodies(now.microsecond, round(rate * seconds), source, now, contender.url))
        since = _clock(database)
        answered = send(contender.url, bodies, rate)
        _settle(database)
        with psycopg.connect(database.url) as connection:
            shares = (connection.execute(_READABLE, (since,)).fetchone() or ([],))[0]
    return {
        "rate": rate,
        "count": len(bodies),
        "mean_bytes": round(sum(len(body) for _, body in bodies) / len(bodies)),
        "wrong": answered.wrong,
        "acknowledged_ms": {name: share_ms(answered.seconds, share) for name, share in _SHARES.items()},
        "from_sent_ms": {name: share_ms(answered.from_sent, share) for name, share in _SHARES.items()},
        "late_ms": {name: share_ms(answered.late, share) for name, share in _SHARES.items()},
        "readable_ms": dict(zip(_SHARES, (round(float(share) * 1000, 1) for share in shares), strict=True)),
    }


def steady(folder: Path, databases: dict[str, Database]) -> dict[str, Any]:
    """Return the highest rate at which the backlog stays flat, with what was seen at each rate tried.

    A rate at which it is not is tried once more: now and then a machine has something else to do for a second.
    """
    database = databases["steady"]
    script, bodies = loads.write_script(folder), loads.write_bodies(folder, 1000, contenders.SECRET)
    seen: list[dict[str, Any]] = []
    with contenders.callbox(folder / "steady", 1, database.url, work=True) as contender:
        send_at = partial(loads.send, contender.url, script, bodies, connections=64, seconds=_STEADY_S)
        for rate in _RATES:
            for _ in range(_TRIES):
                database.forget_backlog()
                seen.append(_watched(partial(send_at, rate=rate), database))
                if seen[-1]["flat"]:
                    break
            if not seen[-1]["flat"]:
                break
    return {"highest": max((one["rate"] for one in seen if one["flat"]), default=0), "seen": seen}


def _watched(send_load: Callable[[], loads.Load], database: Database) -> dict[str, Any]:
    """Return what a load came to, and how many deliveries waited: the median of its last third, and the most."""
    waiting = []
    with ThreadPoolExecutor(1) as beside, psycopg.connect(database.url, autocommit=True) as connection:
        sent = beside.submit(send_load)
        while not sent.done():
            waiting.append(int((connection.execute(_WAITING).fetchone() or (0,))[0]))
            time.sleep(_LOOK_S)
    load, backlog = sent.result(), round(median(waiting[-len(waiting) // 3 :]))
    is_flat = backlog <= load.rate * FLAT_S
    return {"rate": round(load.rate), "backlog": backlog, "most": max(waiting), "flat": is_flat, "p99_ms": load.p99_ms}


def _clock(database: Database) -> Any:
    with psycopg.connect(database.url) as connection:
        row = connection.execute("SELECT clock_timestamp()").fetchone()
    return row[0] if row else None


def _settle(database: Database) -> None:
    """Wait until nothing waits to be processed; raise TimeoutError after two minutes."""
    end = time.monotonic() + 120
    while database.backlog():
        if time.monotonic() > end:
            raise TimeoutError("the backlog does not shrink")
        time.sleep(0.1)
