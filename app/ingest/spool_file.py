"""Is one file of the spool: its rows, and the lock that says which process has it.

Which files a process has, and how much may be in all of them, is `spool`'s business.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from app.ingest.rows import Packed, Row

MOST_ROWS = 256
MOST_BYTES = 8 << 20
_OVERHEAD = 512
"""Bytes that a row costs beside its contents, in the file and its log, roughly."""

DAMAGES = (sqlite3.Error, TypeError, ValueError)
"""What a damaged file raises: SQLite's errors, or a value that is not what was written."""

_COLUMNS = ", ".join(Row._fields)
_MARKS = ", ".join("?" for _ in Row._fields)


@dataclass(frozen=True, slots=True)
class Held:
    """Rows of one file, to be written and then removed."""

    file: "SpoolFile"
    numbers: Sequence[int]
    rows: Sequence[Packed]

    def first(self, count: int) -> "Held":
        """Return the first few of them."""
        return Held(self.file, self.numbers[:count], self.rows[:count])


@dataclass(slots=True)
class SpoolFile:
    """One file and the lock that says who has it."""

    path: Path
    lock: int
    database: sqlite3.Connection
    count: int = 0
    size: int = 0
    is_taken_over: bool = False
    """Whether another process made it, perhaps one of another installation."""
    done_to: int = 0
    """Rows up to this number are left out, or in the database though a full disk did not let them be deleted here."""
    left_out: int = 0
    """How many rows stay here as long as this process has the file."""

    def put(self, rows: Sequence[Packed]) -> None:
        """Append rows in one durable commit."""
        size = sum(map(weight, rows))
        with self.database:
            self.database.executemany(
                f"INSERT INTO spool (weight, {_COLUMNS}) VALUES (?, {_MARKS})",  # noqa: S608 - made of constants
                [(weight(row), *row) for row in rows],
            )
        self.count += len(rows)
        self.size += size

    def touch(self) -> None:
        """Write a little, durably."""
        with self.database:
            self.database.execute("PRAGMA user_version = 1")

    def oldest(self, most: int = MOST_ROWS) -> Held:
        """Return the next rows to write, bounded in number and bytes; where the file is damaged, those before that.

        Raises:
            One of DAMAGES: the very next one cannot be read.
        """
        numbers: list[int] = []
        rows: list[Packed] = []
        size = 0
        try:
            for number, bytes_, *columns in self.database.execute(
                f"SELECT number, weight, {_COLUMNS} FROM spool WHERE number > ? ORDER BY number LIMIT ?",  # noqa: S608 - made of constants
                (self.done_to, most),
            ):
                size += bytes_
                if rows and size > MOST_BYTES:
                    break
                numbers.append(number)
                rows.append(tuple(columns))
        except DAMAGES:
            if not rows:
                raise
        return Held(self, numbers, rows)

    def remove(self, held: Held) -> None:
        """Take out rows that are written.

        On a full disk there is no room even for a deletion. Then they are passed over, and the whole file goes when all
        of it is written; a process that finds them again writes them again, which doubles nothing.
        """
        self.count -= len(held.rows)
        self.size -= sum(map(weight, held.rows))
        try:
            with self.database:
                self.database.executemany("DELETE FROM spool WHERE number = ?", [(number,) for number in held.numbers])
                (last,) = self.database.execute("SELECT coalesce(max(number), 0) FROM spool").fetchone()
        except sqlite3.Error:
            self.done_to = max(self.done_to, held.numbers[-1])
        else:
            self.done_to = min(max(self.done_to, held.numbers[-1]), last)  # new numbers begin behind the last one left

    def leave_out(self, held: Held) -> None:
        """Pass over rows that are next."""
        self.left_out += len(held.rows)
        self.done_to = max(self.done_to, held.numbers[-1])

    def free(self) -> int:
        """Return the bytes of the file that rows can be put into without making it larger."""
        (pages,) = self.database.execute("PRAGMA freelist_count").fetchone()
        (page,) = self.database.execute("PRAGMA page_size").fetchone()
        return int(pages) * int(page)

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
            lock_path(self.path).unlink(missing_ok=True)
        os.close(self.lock)


def weight(row: Packed) -> int:
    """Return the bytes that a row takes, roughly."""
    return _OVERHEAD + sum(len(value) for value in row if value is not None)


def lock_path(path: Path) -> Path:
    """Return the file whose lock says who has a spool file."""
    return path.with_suffix(".lock")


def try_lock(path: Path) -> int | None:
    """Return the open lock of a spool file, None while another process has it."""
    name = lock_path(path)
    lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(lock).st_ino == name.stat().st_ino:  # else its holder has just deleted it
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def open_file(path: Path, lock: int, *, is_taken_over: bool = False) -> SpoolFile:
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
    return SpoolFile(path, lock, database, count, size, is_taken_over)


def _prepare() -> Iterator[str]:
    yield "PRAGMA journal_mode = WAL"
    yield "PRAGMA synchronous = FULL"  # an acknowledgement from here outlives a loss of power
    columns = ", ".join(f"{name} BLOB" for name in Row._fields)
    yield f"CREATE TABLE IF NOT EXISTS spool (number INTEGER PRIMARY KEY, weight INTEGER NOT NULL, {columns})"
