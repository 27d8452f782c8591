"""Keeps deliveries on the local disk while the database cannot take them: one SQLite file for each process.

When rows go here and when they go on to the database is `writer`'s and `drain`'s business.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

from app.ingest.rows import Packed, Row

MOST_ROWS = 256
MOST_BYTES = 8 << 20
_OVERHEAD = 512
"""Bytes that a row costs beside its contents, in the file and its log, roughly."""

_COLUMNS = ", ".join(Row._fields)
_MARKS = ", ".join("?" for _ in Row._fields)


class SpoolError(Exception):
    """The spool cannot take rows; the text says why and names the setting."""


class SpoolFullError(SpoolError):
    """The spool holds as much as it may."""


@dataclass(frozen=True, slots=True)
class Held:
    """Rows of one file, to be written and then removed."""

    file: "SpoolFile"
    numbers: Sequence[int]
    rows: Sequence[Packed]


@dataclass(slots=True)
class SpoolFile:
    """One file and the lock that says who has it."""

    path: Path
    lock: int
    database: sqlite3.Connection
    count: int = 0
    size: int = 0

    def put(self, rows: Sequence[Packed]) -> None:
        """Append rows in one durable commit."""
        size = sum(map(_size, rows))
        with self.database:
            self.database.executemany(
                f"INSERT INTO spool (weight, {_COLUMNS}) VALUES (?, {_MARKS})",  # noqa: S608 - made of constants
                [(_size(row), *row) for row in rows],
            )
        self.count += len(rows)
        self.size += size

    def oldest(self) -> Held:
        """Return the next rows to write, bounded in number and bytes."""
        numbers: list[int] = []
        rows: list[Packed] = []
        size = 0
        for number, bytes_, *columns in self.database.execute(
            f"SELECT number, weight, {_COLUMNS} FROM spool ORDER BY number LIMIT ?",  # noqa: S608 - made of constants
            (MOST_ROWS,),
        ):
            size += bytes_
            if rows and size > MOST_BYTES:
                break
            numbers.append(number)
            rows.append(tuple(columns))
        return Held(self, numbers, rows)

    def remove(self, held: Held) -> None:
        """Take out rows that are written; an empty file is made small again."""
        with self.database:
            self.database.execute("DELETE FROM spool WHERE number <= ?", (held.numbers[-1],))
        self.count -= len(held.rows)
        self.size -= sum(map(_size, held.rows))
        if not self.count:
            self.database.execute("VACUUM")
            self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def last_id(self) -> UUID | None:
        """Return the highest delivery id in it."""
        (highest,) = self.database.execute("SELECT max(id) FROM spool").fetchone()
        return UUID(bytes=highest) if highest else None

    def close(self) -> None:
        """Let go of the file; an empty one is deleted."""
        self.database.close()
        if not self.count:
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            _lock_path(self.path).unlink(missing_ok=True)
        os.close(self.lock)


@dataclass(slots=True)
class Spool:
    """The spool of one process: its own file, and those of processes that died, which it empties too.

    All calls block; they are made from one thread. `max_bytes` bounds the whole folder.
    """

    folder: Path
    max_bytes: int
    files: list[SpoolFile] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Return how many rows wait here."""
        return sum(file.count for file in self.files)

    @property
    def size(self) -> int:
        """Return how many bytes wait here."""
        return sum(file.size for file in self.files)

    def open(self) -> None:
        """Take over what dead processes left.

        Raises:
            SpoolError: the folder cannot be used.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.adopt()
        except (OSError, sqlite3.Error) as error:
            raise SpoolError(f"CALLBOX_SPOOL_DIR: {self.folder} cannot be used: {error}") from error

    def adopt(self) -> None:
        """Take over the files whose process is gone; empty ones are deleted."""
        mine = {file.path for file in self.files}
        for path in sorted(self.folder.glob("*.sqlite")):
            if path in mine or (lock := _try_lock(path)) is None:
                continue
            file = _open_file(path, lock)
            if file.count:
                self.files.append(file)
            else:
                file.close()

    def put(self, rows: Sequence[Packed]) -> None:
        """Keep rows durably.

        Raises:
            SpoolError: they are not kept; the folder is full, or cannot be written.
        """
        size = sum(map(_size, rows))
        try:
            if _used(self.folder) + size > self.max_bytes:
                raise SpoolFullError(f"CALLBOX_SPOOL_MAX_BYTES: the spool holds its {self.max_bytes} bytes")
            if not self.files:
                path = self.folder / f"{os.getpid()}-{uuid4().hex}.sqlite"
                lock = _try_lock(path)
                if lock is None:
                    raise SpoolError(f"CALLBOX_SPOOL_DIR: {path} is locked by another process")
                self.files.append(_open_file(path, lock))
            self.files[0].put(rows)
        except (OSError, sqlite3.Error) as error:
            self._drop_broken()
            raise SpoolError(f"CALLBOX_SPOOL_DIR: {self.folder} cannot be written: {error}") from error

    def _drop_broken(self) -> None:
        """Forget a new file that could not even be made, so that the next attempt begins afresh."""
        if self.files and not self.files[0].count:
            with contextlib.suppress(OSError, sqlite3.Error):
                self.files.pop(0).close()

    def oldest(self) -> Held | None:
        """Return the next rows to write, None where nothing waits."""
        for file in self.files:
            if file.count:
                return file.oldest()
        return None

    def remove(self, held: Held) -> None:
        """Take out rows that are written."""
        held.file.remove(held)
        if not held.file.count:
            self.files.remove(held.file)
            held.file.close()

    def last_id(self) -> UUID | None:
        """Return the highest delivery id that waits here, below which no new one may be made."""
        return max((found for file in self.files if (found := file.last_id())), default=None)

    def close(self) -> None:
        """Let go of the files; what waits in them is taken over by the next process."""
        for file in self.files:
            file.close()
        self.files.clear()


def _size(row: Packed) -> int:
    return _OVERHEAD + sum(len(value) for value in row if value is not None)


def _used(folder: Path) -> int:
    """Return the bytes of all files in the folder."""
    total = 0
    for entry in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):
            total += entry.stat().st_size
    return total


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


def _try_lock(path: Path) -> int | None:
    """Return the open lock of a spool file, None while another process has it."""
    name = _lock_path(path)
    lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino == name.stat().st_ino:  # else its holder has just deleted it
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def _open_file(path: Path, lock: int) -> SpoolFile:
    """Open a spool file, make it where it is new, and count what is in it."""
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1)
    try:
        path.chmod(0o600)
        for statement in _prepare():
            database.execute(statement)
        database.isolation_level = "IMMEDIATE"
        count, size = database.execute("SELECT count(*), coalesce(sum(weight), 0) FROM spool").fetchone()
    except BaseException:
        database.close()
        os.close(lock)
        raise
    return SpoolFile(path, lock, database, count, size)


def _prepare() -> Iterator[str]:
    yield "PRAGMA journal_mode = WAL"
    yield "PRAGMA synchronous = FULL"  # an acknowledgement from here outlives a loss of power
    columns = ", ".join(f"{name} BLOB" for name in Row._fields)
    yield f"CREATE TABLE IF NOT EXISTS spool (number INTEGER PRIMARY KEY, weight INTEGER NOT NULL, {columns})"
