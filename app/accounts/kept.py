"""Keeps the accounts encrypted on the local disk, so that a process can start and receive while the database is away.

When that is read and written is `snapshot`'s business.
"""

import base64
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from app.accounts.reading import Rows
from app.crypto import Vault, WrongKeyError

FILE_NAME = "accounts.snapshot"
_PURPOSE = "accounts-snapshot"
_KINDS: Mapping[str, Callable[[str], Any]] = {"bytes": base64.b64decode, "uuid": UUID, "time": datetime.fromisoformat}


def keep_answers(path: Path, vault: Vault, answers: Sequence[Rows]) -> None:
    """Write what the database answered, whole or not at all, readable for us alone.

    Raises:
        OSError: the file cannot be written.
    """
    plain = [[{name: _tagged(value) for name, value in row.items()} for row in rows] for rows in answers]
    sealed = vault.encrypt(orjson.dumps(plain, option=orjson.OPT_PASSTHROUGH_DATETIME).decode(), _PURPOSE)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(sealed)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def find_answers(path: Path, vault: Vault) -> list[list[dict[str, Any]]] | None:
    """Return what was kept last, None where nothing is kept or it cannot be read."""
    try:
        plain = orjson.loads(vault.decrypt(path.read_bytes(), _PURPOSE))
    except (OSError, WrongKeyError, ValueError):
        return None
    return [[{name: _untagged(value) for name, value in row.items()} for row in rows] for rows in plain]


def _tagged(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, UUID):
        return {"uuid": str(value)}
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    if isinstance(value, list):
        return [_tagged(one) for one in value]
    return {"plain": value} if isinstance(value, dict) else value


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(one) for one in value]
    if not isinstance(value, dict):
        return value
    ((kind, text),) = value.items()
    return text if kind == "plain" else _KINDS[kind](text)
