"""Measures receiving side by side, for `make bench`: a table with ratios, and the figures as JSON.

What is measured stands in `endpoints` and `contenders`, the load in `loads`. Rounds are interleaved, so that whatever
else the machine does meets all alike; what counts are the ratios of the medians.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import contenders, loads, pace, starting
from tests.bench.contenders import ROOT, Contender
from tests.bench.servers import Database, open_server

KEPT = ROOT / "var" / "bench"
BASE = "empty"
NAMES = {
    "constant": "(a) raw ASGI, a constant",
    "empty": "(b) FastAPI, reads and returns {}",
    "usual": "(c) FastAPI, pydantic, SQLAlchemy, a commit each",
    "callbox --no-work": "(d) Callbox, durable and verified",
    "callbox": "(e) Callbox, processing beside it",
}
# Processor seconds are the contender's own and PostgreSQL's, bytes those of each callback, MiB the most after a round.
TITLES = ("", "a second", "spread", "of (b)", "p50 ms", "p99 ms", "CPU s / 10,000", "WAL B", "disk B", "MiB", "backlog")


@dataclass(frozen=True)
class Cell:
    """One setting of the load."""

    size: int
    connections: int
    workers: int

    def __str__(self) -> str:
        return f"{self.size:,} bytes, {self.connections} connections, {self.workers} worker(s)"


@dataclass
class Measured:
    """What the rounds of one contender gave."""

    rates: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    requests: int = 0
    wrong: int = 0
    cpu_seconds: float = 0.0
    server_cpu_seconds: float = 0.0
    wal_bytes: int = 0
    stored_bytes: int = 0
    resident_bytes: int = 0
    backlog: list[int] = field(default_factory=list)


Figures = dict[str, Measured]


def main() -> None:
    """Measure what the words ask for."""
    loads.need_wrk()
    words = _words()
    cells = [
        Cell(size, connections, workers)
        for workers in words.workers
        for size in words.sizes
        for connections in words.connections
    ]
    found: dict[str, Any] = {"machine": machine(), "cells": []}
    Console().print_json(json.dumps({"machine": found["machine"]}))
    with _folder() as folder, open_server(folder) as server:
        if not words.quick:
            found["start"] = starting.measured(folder / "start")
            found["open_loop"] = pace.open_loop(folder, server.databases, rate=words.rate, seconds=words.minute)
            found["steady"] = pace.steady(folder, server.databases)
            told = {"start": found["start"], "open loop": found["open_loop"], "flat backlog": found["steady"]}
            Console().print_json(json.dumps(told))
        for workers in words.workers:
            with _contenders(folder, server.databases, workers) as running:
                for cell in (cell for cell in cells if cell.workers == workers):
                    figures = _rounds(cell, running, server.databases, folder, words)
                    _print_cell(cell, figures)
                    found["cells"].append(
                        asdict(cell) | {"figures": {name: asdict(one) for name, one in figures.items()}}
                    )
        found["postgresql"] = {size: pace.own_limit(server, size, seconds=words.seconds) for size in words.sizes}
        _print_own_limit(found["postgresql"])
    found["machine"]["load_after"] = os.getloadavg()
    KEPT.mkdir(parents=True, exist_ok=True)
    file = Path(words.out) if words.out else KEPT / f"receiving-{time.strftime('%Y%m%d-%H%M%S')}.json"
    file.write_text(json.dumps(found, indent=1))
    Console(stderr=True).print(f"kept in {file}; `make bench-compare` prints it against the one before")


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder on a short path that the user of the embedded server can reach."""
    with tempfile.TemporaryDirectory(prefix="cbx", dir="/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000])
    parser.add_argument("--connections", type=int, nargs="+", default=[64])
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of one round")
    parser.add_argument("--only", nargs="+", choices=list(NAMES), default=list(NAMES))
    parser.add_argument("--rate", type=int, default=500, help="of the open loop, a second")
    parser.add_argument("--minute", type=float, default=60.0, help="how many seconds the open loop lasts")
    parser.add_argument("--quick", action="store_true", help="leave out the open loop and the flat backlog")
    parser.add_argument("--out", help="the JSON file")
    return parser.parse_args()


@contextmanager
def _contenders(folder: Path, databases: dict[str, Database], workers: int) -> Iterator[dict[str, Contender]]:
    """Start all of them; who idles costs next to nothing."""
    with ExitStack() as stack:
        yield {
            **{
                name: stack.enter_context(contenders.plain(name, workers, databases["usual"].url))
                for name in ("constant", "empty", "usual")
            },
            **{
                name: stack.enter_context(
                    contenders.callbox(
                        folder / name.replace(" ", ""), workers, databases[name].url, work=name == "callbox"
                    )
                )
                for name in ("callbox --no-work", "callbox")
            },
        }


def _rounds(
    cell: Cell, running: dict[str, Contender], databases: dict[str, Database], folder: Path, words: argparse.Namespace
) -> Figures:
    """Let the contenders take turns."""
    script, bodies = loads.write_script(folder), loads.write_bodies(folder, cell.size, contenders.SECRET)
    figures: Figures = {name: Measured() for name in words.only}
    for turn in range(words.rounds + 1):
        for name in words.only:
            database = databases.get(name)
            seconds = words.seconds if turn else 2  # the first is for warming up
            one = _round(running[name], database, script, bodies, cell.connections, seconds)
            if turn:
                _add(figures[name], one)
            if database is not None:
                database.forget_backlog()
    return figures


def _round(
    contender: Contender, database: Database | None, script: Path, bodies: Path, connections: int, seconds: float
) -> Measured:
    before = database.cost() if database else None
    cpu = contenders.cpu_seconds(contender.pid)
    load = loads.send(contender.url, script, bodies, connections=connections, seconds=seconds)
    measured = Measured([load.rate], [load.p50_ms], [load.p99_ms], load.requests, load.wrong)
    measured.cpu_seconds = contenders.cpu_seconds(contender.pid) - cpu
    measured.resident_bytes = contenders.resident_bytes(contender.pid)
    if database and before:
        after = database.cost()
        measured.server_cpu_seconds = after.cpu_seconds - before.cpu_seconds
        measured.wal_bytes = after.wal_bytes - before.wal_bytes
        measured.stored_bytes = after.stored_bytes - before.stored_bytes
        measured.backlog = [database.backlog()]
    return measured


def _add(total: Measured, one: Measured) -> None:
    total.rates += one.rates
    total.p50_ms += one.p50_ms
    total.p99_ms += one.p99_ms
    total.backlog += one.backlog
    total.requests += one.requests
    total.wrong += one.wrong
    total.cpu_seconds += one.cpu_seconds
    total.server_cpu_seconds += one.server_cpu_seconds
    total.wal_bytes += one.wal_bytes
    total.stored_bytes += one.stored_bytes
    total.resident_bytes = max(total.resident_bytes, one.resident_bytes)


def machine() -> dict[str, Any]:
    """Describe where this ran."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "python": sys.version,
        "python_build": sysconfig.get_config_var("CONFIG_ARGS"),
        "system": platform.platform(),
        "load_before": os.getloadavg(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _print_cell(cell: Cell, figures: Figures) -> None:
    table = Table(title=f"{cell}, {len(next(iter(figures.values())).rates)} rounds, load {os.getloadavg()[0]:.1f}")
    for title in TITLES:
        table.add_column(title, justify="left" if not title else "right")
    base = statistics.median(figures[BASE].rates) if BASE in figures else None
    for name, one in figures.items():
        rate = statistics.median(one.rates)
        table.add_row(
            NAMES[name],
            f"{rate:,.0f}",
            f"{min(one.rates):,.0f} to {max(one.rates):,.0f}",
            f"{rate / base:.2f}" if base else "",
            f"{statistics.median(one.p50_ms):.1f}",
            f"{statistics.median(one.p99_ms):.1f}",
            f"{one.cpu_seconds / one.requests * 10_000:.2f} + {one.server_cpu_seconds / one.requests * 10_000:.2f}",
            f"{one.wal_bytes / one.requests:,.0f}" if one.wal_bytes else "",
            f"{one.stored_bytes / one.requests:,.0f}" if one.stored_bytes else "",
            f"{one.resident_bytes / 2**20:.0f}",
            f"{max(one.backlog):,}" if one.backlog and name.startswith("callbox") else "",
            style="red" if one.wrong else None,
        )
        if one.wrong:
            table.add_row(f"    {one.wrong} requests not answered with 2xx", style="red")
    Console(width=150).print(table)


def _print_own_limit(found: dict[int, dict[str, float]]) -> None:
    for size, rates in found.items():
        told = ", ".join(f"{name}: {rate:,.0f} rows a second" for name, rate in rates.items())
        Console().print(f"(f) PostgreSQL alone (pgbench), {size:,} bytes: {told}")


if __name__ == "__main__":
    main()
