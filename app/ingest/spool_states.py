"""Tells the database what still waits in a spool while that is being emptied, for whoever asks what needs somebody.

While the database is away nothing can be told; a file whose machine went away before it was emptied stays told of.
"""

import socket
import time
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg

from app.ids import time_of
from app.ingest.spool_file import Held

_EVERY_S: Final = 1.0
_NOTE: Final = """
INSERT INTO spool_states (file, host, rows, bytes, oldest_at) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (file) DO UPDATE SET rows = EXCLUDED.rows, bytes = EXCLUDED.bytes, oldest_at = EXCLUDED.oldest_at,
    noted_at = clock_timestamp()
"""
_FORGET: Final = "DELETE FROM spool_states WHERE file = %s"


class SpoolStates:
    """What one process has told of its spool files."""

    def __init__(self) -> None:
        self._host = socket.gethostname()
        self._noted: dict[Path, float] = {}

    async def note(self, connection: psycopg.AsyncConnection[tuple[object, ...]], held: Held) -> None:
        """Take note that rows of a file were written: once a second what is left, at the end that nothing is."""
        path, left = held.file.path, held.file.count - len(held.rows)
        name = f"{self._host}/{path.name}"
        if left <= 0:
            self._noted.pop(path, None)
            await connection.execute(_FORGET, (name,))
        elif time.monotonic() - self._noted.get(path, -_EVERY_S) >= _EVERY_S:
            self._noted[path] = time.monotonic()
            oldest_at = time_of(UUID(bytes=held.rows[0][0] or bytes(16)))
            await connection.execute(_NOTE, (name, self._host, left, held.file.size, oldest_at))
