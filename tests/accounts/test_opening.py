"""The key and the database: made once, refused with words that name the setting."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from app.accounts.opening import database_of, prepare_database, vault_of, verify_vault
from app.config import ConfigError, Settings
from app.crypto import Vault, WrongKeyError, new_encryption_key
from app.storage.database import DatabaseError


def test_another_key_is_refused_by_name(database_url: str, vault: Vault) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        verify_vault(connection, vault)
        verify_vault(connection, vault)
        with pytest.raises(WrongKeyError, match="CALLBOX_ENCRYPTION_KEY"):
            verify_vault(connection, Vault(new_encryption_key()))
        verify_vault(connection, vault)


def test_of_two_first_keys_one_wins(database_url: str) -> None:
    def first(vault: Vault) -> bool:
        with psycopg.connect(database_url, autocommit=True) as connection:
            try:
                verify_vault(connection, vault)
            except WrongKeyError:
                return False
            return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(first, [Vault(new_encryption_key()) for _ in range(4)])) == 1


def test_the_key_in_the_data_folder_is_made_once_by_whoever_comes(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new")
    with ThreadPoolExecutor(8) as pool:
        vaults = list(pool.map(lambda _: vault_of(settings), range(16)))
    blob = vaults[0].encrypt("x", "token")
    assert {vault.decrypt(blob, "token") for vault in vaults} == {"x"}
    (path,) = (tmp_path / "new").iterdir()
    assert path.name == "encryption.key"
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent)] == [0o600, 0o700]


def test_a_key_in_the_settings_leaves_no_file(tmp_path: Path) -> None:
    key = new_encryption_key()
    blob = vault_of(Settings(data_dir=tmp_path, encryption_key=key)).encrypt("x", "token")
    assert Vault(key).decrypt(blob, "token") == "x"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("content", "reason"), [(b"c2hvcnQ\n", "32 are needed"), (b"\xff\x00", "not base64url")])
def test_a_malformed_key_file_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "encryption.key").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"CALLBOX_DATA_DIR: .*encryption\.key: .*{reason}"):
        vault_of(Settings(data_dir=tmp_path))


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"CALLBOX_DATA_DIR: .*/file/"):
        vault_of(Settings(data_dir=tmp_path / "file" / "below"))


def test_the_database_of_the_settings_is_given_as_it_is(encryption_key: str) -> None:
    given = {"database_url": "postgresql://somewhere/x", "encryption_key": encryption_key}
    with database_of(Settings(**given)) as url:  # type: ignore[arg-type]
        assert url == "postgresql://somewhere/x"


def test_tables_are_not_migrated_where_that_is_off(database_url: str, tmp_path: Path) -> None:
    prepare_database(database_url, Settings(data_dir=tmp_path, migrate="off"))
    prepare_database(database_url, Settings(data_dir=tmp_path))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'earlier'")
    with pytest.raises(DatabaseError, match=r"revision earlier, this version needs .*callbox migrate"):
        prepare_database(database_url, Settings(data_dir=tmp_path, migrate="off"))
