"""What a process tells of its spool while that is emptied."""

import asyncio
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import psycopg
import pytest

from app.ids import IdSource, time_of
from app.ingest import spool_states
from app.ingest.spool_file import Held, SpoolFile
from app.ingest.spool_states import SpoolStates

_IDS = IdSource()
_ID = _IDS.next()


def _held(count: int, rows: int, first: UUID = _ID) -> Held:
    """Return rows of a file in which there are more, or not."""
    file = SpoolFile(Path("/spool/1-ab.sqlite"), 0, cast("Any", None), count=count, size=count * 100)
    return Held(file, range(rows), [(first.bytes,)] * rows)


def test_what_waits_is_told_until_nothing_does(shared_database_url: str) -> None:
    async def told() -> list[list[tuple[Any, ...]]]:
        found = []
        async with await psycopg.AsyncConnection.connect(shared_database_url, autocommit=True) as connection:
            states = SpoolStates()
            for held in (_held(600, 256), _held(344, 256), _held(88, 88)):
                await states.note(connection, held)
                rows = await connection.execute("SELECT rows, bytes, oldest_at, file, host FROM spool_states")
                found.append(await rows.fetchall())
            await SpoolStates().note(connection, _held(50, 10))  # another process, as after a takeover
            await states.note(connection, _held(40, 40))
            rows = await connection.execute("SELECT 1 FROM spool_states")
            found.append(await rows.fetchall())
        return found

    first, within_a_second, at_the_end, after_a_takeover = asyncio.run(told())
    ((rows, size, oldest_at, file, host),) = first
    assert (rows, size, oldest_at) == (344, 60_000, time_of(_ID))
    assert file == f"{host}/1-ab.sqlite"
    assert within_a_second == first
    assert at_the_end == after_a_takeover == []


def test_what_is_left_is_told_anew_after_a_second(shared_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_states, "_EVERY_S", 0.0)
    later = _IDS.next()

    async def told() -> list[tuple[Any, ...]]:
        found = []
        async with await psycopg.AsyncConnection.connect(shared_database_url, autocommit=True) as connection:
            states = SpoolStates()
            for held in (_held(600, 256), _held(344, 256, later), _held(88, 88)):
                await states.note(connection, held)
                rows = await connection.execute("SELECT rows, bytes, oldest_at, noted_at FROM spool_states")
                found += await rows.fetchall()
        return found

    (*first, noted_at), (*second, noted_later_at) = asyncio.run(told())
    assert first == [344, 60_000, time_of(_ID)]
    assert second == [88, 34_400, time_of(later)]
    assert noted_later_at > noted_at
