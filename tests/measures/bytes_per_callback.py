"""Measures what a stored callback costs on the disk: `make bytes`.

Sends distinct signed callbacks of 1,000 bytes to a real `callbox serve` on a database of its own, waits until all are
processed, and prints the bytes of each table, by its parts, for each callback.
"""

import argparse
import hashlib
import http.client
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from app.accounts.model import Mode
from app.accounts.writing import Connection
from tests.security.service import SECRET, Service, running

SIZE = 1000
_PARTS = ("heap", "toast", "index")
_TOKEN = "7c21be90a4f35d6812ee04b9a"
_BODIES_A_THREAD = 500

_SIZES = """
SELECT regexp_replace(c.relname, '_([0-9]{6}|default)$', '') AS name,
       sum(pg_table_size(c.oid) - coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0))::bigint,
       sum(coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0))::bigint,
       sum(pg_indexes_size(c.oid))::bigint
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
GROUP BY 1 ORDER BY sum(pg_total_relation_size(c.oid)) DESC, 1
"""


def body(number: int, subjects: int) -> bytes:
    """Return a callback of exactly `SIZE` bytes about one of the inquiries, of invented people."""
    inquiry = 2_000_000 + number % subjects
    text = hashlib.sha256(str(number).encode()).hexdigest()  # nothing that compression would make small
    said = {
        "sHash": hashlib.md5(f"{_TOKEN}{inquiry}{SECRET}".encode(), usedforsecurity=False).hexdigest(),
        "data": {
            "bToken": _TOKEN,
            "bExternalId": str(number % 40),
            "iId": inquiry,
            "iCreated": "2026-03-02",
            "iUpdated": f"2026-03-{1 + number // subjects % 28:02d}",
            "status": (2, 3, 4, 6)[number // subjects % 4],
            "productName": "Firmenrechtsschutz",
            "professionName": "Tischlerei",
            "premiumYearly": 10_000 + number,
            "iExternalReferences": [{"origin": "crm", "paramKey": "Vorgang", "paramValue": text[:24]}],
        },
        "customer": {
            "cId": 500_000 + inquiry,
            "cFirstName": "Erika",
            "cLastName": f"Beispiel-{text[24:36]}",
            "cEmail": f"{text[36:48]}@beispiel.example",
            "cCompany": f"Tischlerei {text[48:60]} GmbH",
            "cStreet": f"Musterweg {number % 200}",
            "cZip": f"{10_000 + number % 80_000}",
            "cCity": "Musterstadt",
        },
        "note": "",
    }
    rest = SIZE - len(json.dumps(said, separators=(",", ":")))
    said["note"] = (text * (SIZE // len(text) + 1))[:rest]
    return json.dumps(said, separators=(",", ":")).encode()


def sizes(connection: Connection) -> Iterator[tuple[str, int, int, int]]:
    """Yield table, heap, toast and index in bytes, the largest first; partitions count with their table."""
    for name, heap, toast, index in connection.execute(_SIZES):
        if heap + toast + index:
            yield name, heap, toast, index


def send(port: int, path: str, numbers: range, subjects: int) -> None:
    """Send some of the callbacks over one connection."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for number in numbers:
            connection.request("POST", path, body(number, subjects), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != http.HTTPStatus.OK:
                raise RuntimeError(f"callback {number} was answered {answer.status}")


def measure(service: Service, count: int, subjects: int) -> None:
    """Fill the service and print what that took."""
    path = f"/callbacks/thinksurance/{service.add_source('thinksurance', 'measured', Mode.ENFORCE)}"
    with service.database() as connection:
        before = {name: parts for name, *parts in sizes(connection)}
        log_before = _log_position(connection)
    began = time.monotonic()
    with ThreadPoolExecutor(min(32, 4 * (os.cpu_count() or 1))) as pool:
        pieces = [
            pool.submit(send, service.port, path, range(first, min(first + _BODIES_A_THREAD, count)), subjects)
            for first in range(0, count, _BODIES_A_THREAD)
        ]
        for piece in pieces:
            piece.result()
    sent = time.monotonic() - began
    service.await_processed()
    processed = time.monotonic() - began
    _say(f"{count} callbacks of {SIZE} bytes about {subjects} inquiries, sent in {sent:.1f} s,")
    _say(f"processed after {processed:.1f} s\n")
    with service.database() as connection:
        kept = connection.execute("SELECT count(*), count(DISTINCT body_sha256) FROM deliveries").fetchone()
        if kept != (count, count):
            raise RuntimeError(f"stored, and distinct: {kept}")
        written = _log_position(connection) - log_before
        _report(connection, before, count, written)


def _report(connection: Connection, before: dict[str, list[int]], count: int, written: int) -> None:
    _say(f"{'bytes a callback':<22}" + "".join(f"{part:>9}" for part in (*_PARTS, "all")))
    total = [0, 0, 0]
    for name, *parts in sizes(connection):
        grown = [now - then for now, then in zip(parts, before.get(name, [0, 0, 0]), strict=True)]
        total = [one + other for one, other in zip(total, grown, strict=True)]
        if sum(grown) >= count // 10:
            _line(name, grown, count)
    _line("all tables", total, count)
    _say(f"{'write-ahead log':<22}{'':27}{written / count:9.0f}")


def _line(name: str, parts: list[int], count: int) -> None:
    _say(f"{name:<22}" + "".join(f"{part / count:9.0f}" for part in (*parts, sum(parts))))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _log_position(connection: Connection) -> int:
    row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint").fetchone()
    return int(row[0]) if row else 0


def main() -> None:
    """Measure by what the command line says."""
    parser = argparse.ArgumentParser(prog="make bytes")
    parser.add_argument("--callbacks", type=int, default=20_000)
    parser.add_argument("--inquiries", type=int, default=0, help="that they are about; a quarter as many by default")
    given = parser.parse_args()
    with running() as service:
        measure(service, given.callbacks, given.inquiries or max(1, given.callbacks // 4))


if __name__ == "__main__":
    main()
