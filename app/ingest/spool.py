"""Keeps deliveries on the local disk while the database cannot take them: one SQLite file for each process.

What a file is stands in `spool_file`; when rows go here and when they go on to the database is `keeping`'s business.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import structlog

from app.ingest.rows import Packed
from app.ingest.spool_file import DAMAGES, MOST_ROWS, Held, SpoolFile, open_file, try_lock, weight

ROOM = 256 << 10
"""Bytes that must be free before a spool that refused rows is said to take them again."""

REST_S = 600.0
"""How long a file is left to others in which only rows are left that cannot be brought on from here."""

_log = structlog.get_logger(__name__)


class SpoolError(Exception):
    """The spool cannot take rows; the text says why and names the setting."""


class SpoolFullError(SpoolError):
    """The spool holds as much as it may."""


@dataclass(slots=True)
class Spool:
    """The spool of one process: its own file, and those of processes that died, which it empties too.

    All calls block; they are made from one thread. `max_bytes` bounds the whole folder.
    """

    folder: Path
    max_bytes: int
    files: list[SpoolFile] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)
    """Names of files that could not be taken over at the last attempt."""
    resting: dict[Path, float] = field(default_factory=dict)
    """Files that were let go, and until when they are not looked at."""

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
        """Take over the files whose process is gone; empty ones are deleted, unreadable ones left for the next time."""
        mine = {file.path for file in self.files} | {p for p, at in self.resting.items() if at > time.monotonic()}
        unreadable = set()
        for path in sorted(self.folder.glob("*.sqlite")):
            if path in mine:
                continue
            try:
                if (lock := try_lock(path)) is None:
                    continue
                file = open_file(path, lock, is_taken_over=True)
            except (OSError, *DAMAGES) as error:  # another user's, or damaged
                unreadable.add(path.name)
                if path.name not in self.unreadable:
                    _log.error("spool.file_unreadable", file=path.name, reason=str(error))
                continue
            if file.count:
                self.files.append(file)
            else:
                file.close()
        self.unreadable = unreadable

    def check(self) -> None:
        """See whether rows of usual size could be kept now.

        Raises:
            SpoolError: they could not.
        """
        try:
            self._make_sure_of_room(ROOM)
            state = os.statvfs(self.folder)
            if state.f_bavail * state.f_frsize < ROOM:
                raise SpoolError(f"CALLBOX_SPOOL_DIR: {self.folder} is on a full disk")
            self._own().touch()
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error
        finally:
            self._drop_empty()

    def put(self, rows: Sequence[Packed]) -> None:
        """Keep rows durably.

        Raises:
            SpoolError: they are not kept; the folder is full, or cannot be written.
        """
        try:
            self._make_sure_of_room(sum(map(weight, rows)))
            self._own().put(rows)
        except (OSError, sqlite3.Error) as error:
            self._drop_empty()
            raise self._unusable(error) from error

    def _make_sure_of_room(self, size: int) -> None:
        """Raise SpoolFullError unless so many more bytes may be kept."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        free = sum(file.free() for file in self.files if not file.is_taken_over)
        if _used(self.folder) - free + size > self.max_bytes:
            raise SpoolFullError(f"CALLBOX_SPOOL_MAX_BYTES: the spool holds its {self.max_bytes} bytes")

    def _unusable(self, error: Exception) -> SpoolError:
        return SpoolError(f"CALLBOX_SPOOL_DIR: {self.folder} cannot be written: {error}")

    def _own(self) -> SpoolFile:
        """Return the file that rows are put into; it is made where there is none, or none any more.

        One that was deleted would still take rows, and lose them with this process. One that was taken over may be
        damaged, or another installation's.
        """
        if not self.files or self.files[0].is_taken_over or not self.files[0].path.exists():
            path = self.folder / f"{os.getpid()}-{uuid4().hex}.sqlite"
            lock = try_lock(path)
            if lock is None:
                raise SpoolError(f"CALLBOX_SPOOL_DIR: {path} is locked by another process")
            self.files.insert(0, open_file(path, lock))
        return self.files[0]

    def _drop_empty(self) -> None:
        """Forget a new file that holds nothing, so that the next attempt begins afresh."""
        if self.files and not self.files[0].count:
            with contextlib.suppress(OSError, sqlite3.Error):
                self.files.pop(0).close()

    def oldest(self, most: int = MOST_ROWS) -> Held | None:
        """Return the next rows to write, None where nothing waits; a file that is damaged there is let go."""
        for file in [*self.files]:
            if file.count:
                try:
                    held = file.oldest(most)
                except DAMAGES as error:
                    self._let_go(file, error)
                else:
                    if held.rows:
                        return held
        return None

    def remove(self, held: Held) -> None:
        """Take out rows that are written."""
        held.file.remove(held)
        self._end(held.file)

    def leave_out(self, held: Held) -> None:
        """Keep rows that the database does not take, and go on with those behind them."""
        held.file.leave_out(held)
        self._end(held.file)

    def _end(self, file: SpoolFile) -> None:
        """Close a file in which nothing is left, or nothing that can be brought on from here."""
        if file in self.files and file.count == file.left_out:
            if file.count:
                self.resting[file.path] = time.monotonic() + REST_S
            self.files.remove(file)
            file.close()

    def _let_go(self, file: SpoolFile, error: Exception) -> None:
        """Leave a damaged file as it is; the words of the error may quote what is in it."""
        if file.path not in self.resting:
            _log.error("spool.file_damaged", file=file.path.name, deliveries=file.count, reason=type(error).__name__)
        self.resting[file.path] = time.monotonic() + REST_S
        self.files.remove(file)
        file.close()

    def last_id(self) -> UUID | None:
        """Return the highest delivery id that waits here, below which no new one may be made."""
        ids = []
        for file in [*self.files]:
            try:
                ids.append(file.last_id())
            except DAMAGES as error:
                self._let_go(file, error)
        return max(filter(None, ids), default=None)

    def close(self) -> None:
        """Let go of the files; what waits in them is taken over by the next process."""
        for file in self.files:
            file.close()
        self.files.clear()


def _used(folder: Path) -> int:
    """Return the bytes of all files in the folder."""
    total = 0
    for entry in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):
            total += entry.stat().st_size
    return total
