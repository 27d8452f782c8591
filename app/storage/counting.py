"""Counts processed deliveries by the hour, so that statistics need not look at each of them.

`delivery_counts` is a ledger: what counts is the sum of its rows, so that whatever comes late is added and what is
judged anew is taken back and added again. It is exact because of three things:

* Places in the feed (`outcomes.seq`) rise in the order of commits, so no row ever appears at or below one that is seen.
* One turn adds all outcomes above the end up to the highest place, and moves the end there, in one transaction.
* Whoever changes an outcome that stands below the end does so within `recounted`, in the same transaction, and no turn
  is under way meanwhile.

So at every moment the ledger holds exactly the outcomes up to its end; those above it, and deliveries that wait, are
counted by whoever asks. When turns are taken is told in `upkeep`.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from struct import Struct
from typing import Any, Final
from uuid import UUID

from psycopg import Connection

SPENT: Final = "float4send(round(date_part('epoch', {processed} - {received}) * 1000)::real) || int4send({sign})"
"""What one delivery is in `spent`: how many milliseconds passed until it was processed, and once (or once less)."""

_ENTRY: Final = Struct(">fi")
_LOCK: Final = 0x636F756E74  # "count"
_AT_ONCE: Final = 20_000
_MOST_HOURS: Final = 1_000
_DIGITS: Final = 1_000
"""Beyond a second three digits are kept, so that an hour of whatever traffic has some thousand values at most."""

_LONG: Final = 8_192

_END: Final = "SELECT coalesce(max(seq), 0) FROM delivery_counts_end"

_ADD: Final = f"""
INSERT INTO delivery_counts (source_id, hour, via, status, verdict, reason, number, spent, is_loose)
SELECT o.source_id, date_trunc('hour', d.received_at, 'UTC'), d.via, o.status, o.verdict, o.reason,
       {{sign}} * count(*),
       string_agg({SPENT.format(processed="o.processed_at", received="d.received_at", sign="{sign}")}, ''), true
FROM outcomes o JOIN deliveries d ON d.id = o.delivery_id AND d.source_id = o.source_id
WHERE {{where}} GROUP BY 1, 2, 3, 4, 5, 6
"""  # noqa: S608 - the words are our own

_ADD_NEXT: Final = _ADD.format(sign="1", where="o.seq > %s AND o.seq <= %s")
_CHANGED: Final = f"o.delivery_id = ANY(%s) AND o.seq <= ({_END})"
_TAKE_BACK: Final = _ADD.format(sign="-1", where=_CHANGED)
_ADD_AGAIN: Final = _ADD.format(sign="1", where=_CHANGED)

_TAKE_OUT: Final = """
DELETE FROM delivery_counts WHERE hour IN (SELECT DISTINCT hour FROM delivery_counts WHERE is_loose LIMIT %s)
RETURNING source_id, hour, via, status, verdict, reason, number, spent
"""
_PUT_BACK: Final = """
INSERT INTO delivery_counts (source_id, hour, via, status, verdict, reason, number, spent, is_loose)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, false)
"""


def count_next(connection: Connection[tuple[Any, ...]]) -> bool:
    """Count what was processed since the last turn, as much as one transaction should hold; tell whether more is left.

    `connection` commits by itself.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        ((end,),) = connection.execute(_END).fetchall()
        ((newest,),) = connection.execute("SELECT coalesce(max(seq), 0) FROM outcomes").fetchall()
        until = min(newest, end + _AT_ONCE)
        if until > end:
            connection.execute(_ADD_NEXT, (end, until))
            connection.execute("DELETE FROM delivery_counts_end")
            connection.execute("INSERT INTO delivery_counts_end (seq) VALUES (%s)", (until,))
        _put_together(connection)
    return bool(until < newest)


@contextmanager
def recounted(database: Connection[Any], delivery_ids: Sequence[UUID]) -> Iterator[None]:
    """Change outcomes of these deliveries, which have some already; the caller holds a transaction.

    Costs nothing where there is none.
    """
    if not delivery_ids:
        yield
        return
    database.execute("SELECT pg_advisory_xact_lock_shared(%s)", (_LOCK,))
    database.execute(_TAKE_BACK, (list(delivery_ids),))
    yield
    database.execute(_ADD_AGAIN, (list(delivery_ids),))


def histogram(spent: Iterable[bytes]) -> dict[float, int]:
    """Return how many deliveries took how many whole milliseconds, to three digits."""
    found: dict[float, int] = {}
    for entries in spent:
        for milliseconds, number in _ENTRY.iter_unpack(entries) if len(entries) < _LONG else _summed_up(entries):
            found[milliseconds] = found.get(milliseconds, 0) + number
    if found and (max(found) >= _DIGITS or min(found) <= -_DIGITS):
        for milliseconds in [one for one in found if not -_DIGITS < one < _DIGITS]:
            number, short = found.pop(milliseconds), to_three_digits(int(milliseconds))
            found[short] = found.get(short, 0) + number
    if 0 in found.values():
        return {milliseconds: number for milliseconds, number in found.items() if number}
    return found


def _summed_up(entries: bytes) -> Iterator[tuple[float, int]]:
    """Yield the entries, those that are there many times once: in many most are."""
    for entry, times in Counter(memoryview(entries).cast("q")).items():
        milliseconds, number = _ENTRY.unpack(entry.to_bytes(_ENTRY.size, sys.byteorder, signed=True))
        yield milliseconds, number * times


def to_three_digits(number: int) -> int:
    """Return a whole number with zeros in place of all digits but the first three, to the nearest.

    Done twice it comes to the same, also where 4 bytes could not hold all digits in between.
    """
    step = 1
    while abs(number) >= _DIGITS * step:
        step *= 10
    nearest = (abs(number) + step // 2) // step * step
    return nearest if number >= 0 else -nearest


def packed(found: Mapping[float, int]) -> bytes:
    """Return what `histogram` reads."""
    return b"".join(_ENTRY.pack(milliseconds, found[milliseconds]) for milliseconds in sorted(found))


def _put_together(connection: Connection[tuple[Any, ...]]) -> None:
    """Make one row of those that count the same, in the hours in which something was added."""
    numbers: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    spent: defaultdict[tuple[Any, ...], list[bytes]] = defaultdict(list)
    for *key, number, entries in connection.execute(_TAKE_OUT, (_MOST_HOURS,)):
        numbers[tuple(key)] += number
        spent[tuple(key)].append(entries)
    rows = [(*key, number, packed(histogram(spent[key]))) for key, number in numbers.items() if number]
    with connection.cursor() as cursor:
        cursor.executemany(_PUT_BACK, rows)
