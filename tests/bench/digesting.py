"""Measures processing alone, for `make bench-digest`: deliveries are laid into the inbox, then processed to the last.

Receiving is `receiving`'s. Beside the rate, which depends on what else the machine does, stands the processor time of
the work process and of PostgreSQL for each delivery, which hardly does.
"""

import argparse
import gc
import hashlib
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog
from rich.console import Console
from rich.table import Table

from app.accounts.model import Source
from app.accounts.snapshot import read_accounts
from app.crypto import Vault
from app.ids import IdSource
from app.ingest.judged import pack
from app.ingest.rows import STATEMENT, Array, ArrayDumper, Row, arrays, packed
from app.processing.work import Worker, run
from app.providers import PROVIDERS
from app.providers.thinksurance import simulator
from app.storage.database import connect
from tests.bench import contenders, loads
from tests.bench.servers import Cost, Database, open_server

_AT_ONCE = 500
_SEED = 7

Bodies = Iterable[tuple[str, bytes]]
"""Content types and bodies."""


class _Counted:
    """Takes note of what is processed; when that is all, of what it has cost, and stops the work.

    The time of a session of PostgreSQL is gone with it, so that its cost is read before the work lets go of it.
    """

    def __init__(self, expected: int, database: Database) -> None:
        self._left = expected
        self._database = database
        self.stop = threading.Event()
        self.cost = database.cost()

    def processed(self, deliveries: int, seconds: float) -> None:  # noqa: ARG002 - a progress is told both
        """Take note of a batch."""
        self._left -= deliveries
        if self._left <= 0:
            self.cost = self._database.cost()
            self.stop.set()


def main() -> None:
    """Measure new inquiries, the same ones again, and what the simulator invents."""
    words = _words()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    table = Table(title=f"Processing alone, {words.size:,} bytes, load {os.getloadavg()[0]:.1f}")
    for title in ("", "deliveries", "a second", "own µs", "PostgreSQL µs", "WAL bytes"):
        table.add_column(title, justify="right" if title else "left")
    with tempfile.TemporaryDirectory(prefix="cbx", dir="/tmp") as made:
        folder = Path(made)
        folder.chmod(0o755)  # the user of the embedded server must reach it
        with open_server(folder) as server:
            database = server.databases["callbox"]
            source = _source(folder, database.url)
            items = loads.write_bodies(folder, words.size, contenders.SECRET).read_bytes().splitlines()
            same = [("application/json", item) for item in items]
            lives = simulator.bodies(_SEED, words.count, source, datetime.now(UTC), "")
            for name, bodies in (("new inquiries", same), ("the same again", same), ("simulated lives", lives)):
                number = _lay(database.url, source, islice(bodies, words.count))
                own, begun = time.process_time(), time.perf_counter()
                before, after = _process(database, number)
                seconds, own = time.perf_counter() - begun, time.process_time() - own
                spent = (own, after.cpu_seconds - before.cpu_seconds)
                each = [f"{one / number * 1e6:.0f}" for one in spent]
                wal = (after.wal_bytes - before.wal_bytes) / number
                table.add_row(name, f"{number:,}", f"{number / seconds:,.0f}", *each, f"{wal:,.0f}")
    Console().print(table)


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-digest", description=__doc__)
    parser.add_argument(
        "--size", type=int, default=1000, help="of the signed items, which are the load of `make bench`"
    )
    parser.add_argument("--count", type=int, default=loads.BODIES, help="of deliveries of each kind at most")
    return parser.parse_args()


def _source(folder: Path, url: str) -> Source:
    """Make the tables and a source, and return it."""
    environment = contenders.settings(folder / "callbox", url, 1)
    contenders.command("migrate", environment=environment)
    words = ("sources", "add", "thinksurance", contenders.SOURCE, "--secret", contenders.SECRET, "--json")
    contenders.command(*words, environment=environment)
    with closing(connect(url)) as database:
        return next(iter(read_accounts(database, Vault(contenders.KEY)).sources.values()))


def _lay(url: str, source: Source, bodies: Bodies) -> int:
    """Write deliveries as the receiver does; return how many."""
    rows = _rows(source, bodies)
    number = 0
    with closing(connect(url)) as database:
        database.adapters.register_dumper(Array, ArrayDumper)
        while some := [packed(row) for row in islice(rows, _AT_ONCE)]:
            database.execute(STATEMENT.encode(), arrays(some))
            number += len(some)
    return number


def _rows(source: Source, bodies: Bodies) -> Iterator[Row]:
    ids = IdSource()
    for content_type, body in bodies:
        at = datetime.now(UTC)
        judged = pack(PROVIDERS[source.provider].find(body, content_type, source, at).items)
        headers = f'[["content-type", "{content_type}"]]'.encode()
        digest = hashlib.sha256(body).digest()
        sent = (0, 0, 200, 0, len(body), judged, digest, b"127.0.0.1", b"", headers, body)
        yield Row(ids.next(), source.id, None, at, *sent)


def _process(database: Database, number: int) -> tuple[Cost, Cost]:
    """Run the work process's own loop until so many deliveries are processed; return the cost before and after."""
    progress = _Counted(number, database)
    before = progress.cost
    gc.collect()
    gc.freeze()  # as the work process does with all that it imports
    run(database.url, Worker(Vault(contenders.KEY), PROVIDERS, ZoneInfo("Europe/Berlin"), progress), progress.stop)
    return before, progress.cost


if __name__ == "__main__":
    main()
