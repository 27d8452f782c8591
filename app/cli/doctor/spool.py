"""Looks at what lies on the local disk: the spool, file by file, and the accounts for a start without the database.

Neither needs the database; both are the receivers' to write.
"""

import contextlib
import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from app.accounts.kept import FILE_NAME, find_answers
from app.accounts.opening import KEY_FILE, vault_of
from app.cli.doctor.finding import Finding, several
from app.config import ConfigError, Settings
from app.ids import time_of
from app.ingest.spool_file import lock_path
from app.times import now, to_text

_FULL = 0.8
_LONG = timedelta(minutes=10)
_LEAST_FREE = 64 << 20


@dataclass(frozen=True, slots=True)
class _File:
    """One file of the spool; `held` tells whether a process empties it, `rows` is None where it cannot be read."""

    path: Path
    size: int
    held: bool
    rows: int | None
    oldest_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.path.name,
            "pid": int(self.path.name.partition("-")[0]) if self.path.name.partition("-")[0].isdigit() else None,
            "held": self.held,
            "deliveries": self.rows,
            "bytes": self.size,
            "oldest_at": to_text(self.oldest_at) if self.oldest_at else None,
        }


def look_at_spool(settings: Settings) -> Finding:
    """Return how much waits on the disk, since when, in whose hands, and whether more fits."""
    folder = settings.spool_path
    files = list(_files(folder))
    rows, size = sum(file.rows or 0 for file in files), sum(file.size for file in files)
    oldest = min((file.oldest_at for file in files if file.oldest_at), default=None)
    waiting = f"{several(rows, 'delivery waits', 'deliveries wait')} in {several(len(files), 'file')}, {size} bytes"
    trouble = _trouble(settings, files, size, oldest)
    detail = waiting if files else "nothing waits"
    if oldest is not None:
        detail += f", the oldest since {to_text(oldest)}"
    values = {
        "folder": str(folder),
        "deliveries": rows,
        "bytes": size,
        "max_bytes": settings.spool_max_bytes,
        "oldest_at": to_text(oldest) if oldest else None,
        "files": [file.as_json() for file in files],
    }
    return Finding("spool", well=trouble is None, detail="; ".join(filter(None, (detail, trouble))), values=values)


def _trouble(settings: Settings, files: list[_File], size: int, oldest: datetime | None) -> str | None:
    folder = settings.spool_path
    if not can_be_written(folder):
        return f"CALLBOX_SPOOL_DIR: {folder} cannot be written"
    if broken := [file.path.name for file in files if file.rows is None]:
        return f"cannot be read: {', '.join(broken)}"
    if any(file.rows and not file.held for file in files):
        return (
            "no process empties it: start `callbox serve` with this CALLBOX_SPOOL_DIR, or see in its log what it leaves"
            " there (spool.not_ours, spool.row_refused, spool.file_damaged)"
        )
    if size > _FULL * settings.spool_max_bytes:
        return f"CALLBOX_SPOOL_MAX_BYTES: {settings.spool_max_bytes} are soon used up"
    if (free := shutil.disk_usage(_nearest(folder)).free) < _LEAST_FREE:
        return f"CALLBOX_SPOOL_DIR: only {free} bytes are free on the disk of {folder}"
    is_long = oldest is not None and now() - oldest > _LONG
    return "it has been filling for long: is the database away or slow?" if is_long else None


def can_be_written(folder: Path) -> bool:
    """Tell whether files can be made in a folder that may have to be made first."""
    there = _nearest(folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _nearest(folder: Path) -> Path:
    """Return a folder, or the first one above it that is there."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def _files(folder: Path) -> Iterator[_File]:
    for path in sorted(folder.glob("*.sqlite")):
        with contextlib.suppress(FileNotFoundError):  # emptied and deleted just now
            held = _is_held(path)
            rows, oldest = _inside(path)
            size = sum(part.stat().st_size for part in folder.glob(f"{path.name}*"))
            yield _File(path, size, held, rows, oldest)


def _is_held(path: Path) -> bool:
    """Tell whether a process has the file's lock; to ask takes it for a moment, in a shared way."""
    try:
        lock = os.open(lock_path(path), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _inside(path: Path) -> tuple[int | None, datetime | None]:
    """Return how many rows are in a file and when the first came; no number where it cannot be read."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1)) as database:
            count, lowest = database.execute("SELECT count(*), min(id) FROM spool").fetchone()
    except sqlite3.Error:
        return None, None
    return count, time_of(UUID(bytes=lowest)) if lowest else None


def look_at_snapshot(settings: Settings) -> Finding:
    """Return whether a process could start and receive without the database."""
    path = settings.spool_path / FILE_NAME
    try:
        kept_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        detail = "no accounts are kept: a process that starts while the database is away knows no callback URL"
        return Finding("snapshot", well=True, detail=detail, values={"kept_at": None, "readable": False})
    detail = f"the accounts are kept for a start without the database, as of {to_text(kept_at)}"
    if not (readable := _is_readable(path, settings)):
        detail = (
            "the accounts that are kept cannot be read (damaged, or of another encryption key): a process that starts"
            " while the database is away knows no callback URL; start `callbox serve` once while it answers"
        )
    return Finding("snapshot", well=readable, detail=detail, values={"kept_at": to_text(kept_at), "readable": readable})


def _is_readable(path: Path, settings: Settings) -> bool:
    """Tell whether the key that is there, and none that would be made now, opens what is kept."""
    if settings.encryption_key is None and not (settings.data_dir / KEY_FILE).exists():
        return False
    try:
        return find_answers(path, vault_of(settings)) is not None
    except ConfigError:
        return False
