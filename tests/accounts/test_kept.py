"""A process starts with the accounts it knew, while the database is away, and nothing of them lies readable on disk."""

import asyncio
import errno
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.accounts.kept import FILE_NAME, find_answers, keep_answers
from app.accounts.model import Mode
from app.accounts.snapshot import AccountBook
from app.accounts.store import add_source
from app.accounts.writing import Platform
from app.crypto import Vault, new_encryption_key, sha256
from app.storage.database import connect

_AWAY = "postgresql://callbox@127.0.0.1:1/callbox"


async def _known(url: str, vault: Vault, folder: Path) -> AccountBook:
    book = AccountBook(url, vault, folder)
    await book.start()
    await book.stop()
    return book


def test_what_was_known_is_known_again_without_the_database(database_url: str, vault: Vault, tmp_path: Path) -> None:
    with connect(database_url) as connection:
        platform = Platform("thinksurance", check_recipe=lambda _: None)
        token = add_source(connection, vault, platform, "broker", secrets=["very-hush"], mode=Mode.ENFORCE).token.token
    before = asyncio.run(_known(database_url, vault, tmp_path))
    again = asyncio.run(_known(_AWAY, vault, tmp_path))
    assert again.present == before.present
    assert again.present.tokens[sha256(token)].source.secrets[0].value == "very-hush"
    kept = (tmp_path / FILE_NAME).read_bytes()
    assert b"very-hush" not in kept
    assert b"broker" not in kept
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    with capture_logs() as logs:
        stranger = asyncio.run(_known(_AWAY, Vault(new_encryption_key()), tmp_path))
        asyncio.run(_known(_AWAY, vault, tmp_path / "none"))
    assert stranger.present.sources == {}
    assert [log["log_level"] for log in logs if log["event"] == "accounts.not_recalled"] == ["error"]


def test_a_damaged_or_missing_file_is_nothing(vault: Vault, tmp_path: Path) -> None:
    assert find_answers(tmp_path / "none", vault) is None
    (tmp_path / "torn").write_bytes(b"\x01torn")
    assert find_answers(tmp_path / "torn", vault) is None


def test_a_disk_without_room_leaves_what_was_kept_before(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / FILE_NAME
    keep_answers(path, vault, [[{"name": "before"}]])
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        keep_answers(path, vault, [[{"name": "after"}]])
    assert find_answers(path, vault) == [[{"name": "before"}]]
