"""`callbox secrets`: a fresh key, everything encrypted anew with it, and the way out when the key is lost."""

import os
from pathlib import Path

import psycopg
import pytest

from app.accounts import rekeying
from app.accounts.first_start import first_start, mark_shown
from app.accounts.opening import fitting_vault, replaced_key, verify_vault
from app.accounts.rekeying import PLACES, rotate_key
from app.accounts.snapshot import read_accounts
from app.accounts.writing import Connection
from app.cli.doctor.finding import Subject
from app.cli.doctor.tables import look_at_encryption_key
from app.config import load_settings
from app.crypto import Vault, WrongKeyError, new_encryption_key
from app.processing.work import ACTIVE_LOCK
from app.storage.models import metadata
from tests.cli.conftest import Run, connection, run  # noqa: F401 - fixtures
from tests.server.test_supervisor import serving, until

NEW = new_encryption_key()


@pytest.fixture
def filled(run: Run, connection: Connection, encryption_key: str) -> Connection:  # noqa: F811 - the fixtures
    """A database with a value in every place that holds encrypted ones."""
    added = run(
        "sources", "add", "thinksurance", "broker", "--secret", "geheim-1", "--credential", "hash=h-1", "--json"
    )
    source_id = added.json["id"]
    vault = Vault(encryption_key)
    connection.execute(
        "INSERT INTO documents (id, source_id, identity, head_key, head_receipt, field_keys, folded, first_received_at,"
        " last_received_at, event_count, link_encrypted, token_encrypted, broker_token_encrypted)"
        " VALUES (gen_random_uuid(), %s, '1/ab', '', '', '{}', '{}', now(), now(), 1, %s, %s, %s)",
        (source_id, *(vault.encrypt(text, "document") for text in ("https://x.example.test/a.pdf", "t-1", "b-1"))),
    )
    return connection


def plain(connection: Connection, vault: Vault) -> dict[str, list[str]]:  # noqa: F811
    """Return every encrypted value as text, by its place."""
    return {
        f"{place.table}.{place.column}": [
            vault.decrypt(value, place.purpose)
            for (value,) in connection.execute(f"SELECT {place.column} FROM {place.table}").fetchall()  # noqa: S608
            if value
        ]
        for place in PLACES
    }


def test_every_encrypted_column_is_known() -> None:
    columns = {
        (table.name, column.name)
        for table in metadata.tables.values()
        for column in table.columns
        if column.name.endswith("_encrypted")
    }
    assert {(place.table, place.column) for place in PLACES} == columns


def test_a_new_key_is_fresh_and_usable(run: Run) -> None:  # noqa: F811
    keys = {run("secrets", "new-key", "--json").json["key"] for _ in range(3)}
    assert len(keys) == 3
    assert [Vault(key) for key in keys]
    assert run("secrets", "new-key").out.strip() not in keys


def test_everything_is_encrypted_anew(run: Run, filled: Connection, encryption_key: str) -> None:  # noqa: F811
    before = plain(filled, Vault(encryption_key))
    assert all(before.values()), "each place holds something"
    ran = run("secrets", "rotate-key", "--new-key", "-", "--json", given=NEW + "\n")
    assert ran.code == 0, ran.err
    assert ran.json["values"] == dict.fromkeys(before, 1)
    assert "CALLBOX_ENCRYPTION_KEY" in ran.json["then"]
    assert NEW not in ran.out
    assert plain(filled, Vault(NEW)) == before
    verify_vault(filled, Vault(NEW))
    with pytest.raises(WrongKeyError):
        verify_vault(filled, Vault(encryption_key))
    assert [source.secrets[0].value for source in read_accounts(filled, Vault(NEW)).sources.values()] == ["geheim-1"]
    assert filled.execute("SELECT actor FROM audit WHERE action = 'secrets.rotate-key'").fetchall() == [("cli",)]


def test_each_of_many_values_is_encrypted_anew(
    run: Run,  # noqa: F811
    filled: Connection,
    encryption_key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rekeying, "_BATCH", 2)
    for _ in range(4):
        run("sources", "token", "add", "broker")
    before = plain(filled, Vault(encryption_key))
    values = run("secrets", "rotate-key", "--new-key", "-", "--json", given=NEW).json["values"]
    assert values["source_tokens.token_encrypted"] == 5
    assert {place: sorted(found) for place, found in plain(filled, Vault(NEW)).items()} == {
        place: sorted(found) for place, found in before.items()
    }


def test_a_value_of_another_key_stops_all_of_it(run: Run, filled: Connection, encryption_key: str) -> None:  # noqa: F811
    before = plain(filled, Vault(encryption_key))
    other = Vault(new_encryption_key()).encrypt("x", "document")
    filled.execute("UPDATE documents SET token_encrypted = %s", (other,))
    assert "documents.token_encrypted" in run("secrets", "rotate-key", "--new-key", "-", "--json", given=NEW).error
    verify_vault(filled, Vault(encryption_key))
    filled.execute("UPDATE documents SET token_encrypted = NULL")
    assert plain(filled, Vault(encryption_key)) == before | {"documents.token_encrypted": []}


def test_not_while_the_service_runs(
    run: Run,  # noqa: F811
    filled: Connection,
    encryption_key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    filled.execute("SELECT pg_advisory_lock(%s)", (ACTIVE_LOCK,))
    assert "stop" in run("secrets", "rotate-key", "--new-key", "-", "--json", given=NEW).error
    monkeypatch.setenv("CALLBOX_ENCRYPTION_KEY", NEW)
    assert "stop" in run("secrets", "reset", "--yes", "--json").error
    verify_vault(filled, Vault(encryption_key))
    assert all(plain(filled, Vault(encryption_key)).values())


@pytest.mark.process
def test_not_while_a_receiver_runs_without_a_work_process(
    run: Run,  # noqa: F811
    filled: Connection,
    encryption_key: str,
    database_url: str,
) -> None:
    """As `serve --no-work` on another machine does: it would go on writing secrets with the key that it was given."""
    with serving("--no-work", database_url=database_url, encryption_key=encryption_key) as running:
        running.await_ready()
        assert "stop each" in run("secrets", "rotate-key", "--new-key", "-", "--json", given=NEW).error
    verify_vault(filled, Vault(encryption_key))
    until(lambda: run("secrets", "rotate-key", "--new-key", "-", "--json", given=NEW).code == 0, "that it has ended")
    verify_vault(filled, Vault(NEW))


@pytest.mark.parametrize("given", ["", "short", "A" * 44 + "!!"])
def test_what_is_no_key_is_refused(run: Run, filled: Connection, given: str) -> None:  # noqa: F811, ARG001
    assert run("secrets", "rotate-key", "--new-key", "-", "--json", given=given).error.startswith("new-key")


def test_a_key_does_not_stand_on_the_command_line(run: Run) -> None:  # noqa: F811
    ran = run("secrets", "rotate-key", "--new-key", NEW, "--json")
    assert "not on the command line" in ran.error
    assert NEW not in ran.err


def test_a_lost_key_is_given_up(
    run: Run,  # noqa: F811
    filled: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CALLBOX_ENCRYPTION_KEY", NEW)
    assert "put the earlier key back" in run("sources", "list", "--json").error
    assert "--yes" in run("secrets", "reset", "--json").error
    assert run("secrets", "reset", given="n\n").code != 0
    with pytest.raises(WrongKeyError):
        verify_vault(filled, Vault(NEW))

    given_up = run("secrets", "reset", "--yes", "--json").json["given_up"]
    assert given_up == {f"{place.table}.{place.column}": 1 for place in PLACES} | {"installation": 1}
    (source,) = read_accounts(filled, Vault(NEW)).sources.values()
    assert (source.mode.value, source.secrets) == ("enforce", ())
    assert len(read_accounts(filled, Vault(NEW)).tokens) == 1, "its URL goes on receiving"
    assert filled.execute("SELECT count(*) FROM documents").fetchone() == (1,)
    assert run("sources", "url", "broker", "--json").json["urls"] == []
    assert run("sources", "secret", "add", "broker", "-", "--json", given="geheim-2").code == 0
    assert run("sources", "token", "add", "broker", "--json").code == 0
    assert len(run("sources", "url", "broker", "--json").json["urls"]) == 1
    assert run("secrets", "reset", "--json").json["given_up"] == {}
    noted = filled.execute("SELECT detail FROM audit WHERE action = 'secrets.reset'").fetchall()
    assert noted == [({"given_up": given_up},)]


def test_only_what_is_unreadable_is_given_up(run: Run, filled: Connection, encryption_key: str) -> None:  # noqa: F811
    run("sources", "secret", "add", "broker", "-", given="geheim-2")
    run("sources", "token", "add", "broker")
    before = plain(filled, Vault(encryption_key))
    other = Vault(NEW).encrypt("geheim-1", "secret")
    for table, column in (("source_secrets", "value_encrypted"), ("source_tokens", "token_encrypted")):
        filled.execute(
            f"UPDATE {table} SET {column} = %s WHERE id = (SELECT id FROM {table} ORDER BY id LIMIT 1)",  # noqa: S608
            (other,),
        )
    assert run("secrets", "reset", "--yes", "--json").json["given_up"] == {
        "source_secrets.value_encrypted": 1,
        "source_tokens.token_encrypted": 1,
    }
    after = plain(filled, Vault(encryption_key))
    assert after.pop("source_secrets.value_encrypted") == ["geheim-2"]
    (token,) = after.pop("source_tokens.token_encrypted")
    assert token in before["source_tokens.token_encrypted"]
    assert before == before | after
    assert filled.execute("SELECT count(*) FROM source_tokens").fetchone() == (2,), "both receive"


def test_what_was_made_first_and_not_shown_yet_goes_with_the_key(
    run: Run,  # noqa: F811
    connection: Connection,  # noqa: F811
    encryption_key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run("sources", "list")
    made = first_start(connection, Vault(encryption_key), load_settings())
    assert run("secrets", "rotate-key", "--new-key", "-", "--json", given=NEW).code == 0
    assert first_start(connection, Vault(NEW), load_settings()) == made
    other = new_encryption_key()
    monkeypatch.setenv("CALLBOX_ENCRYPTION_KEY", other)
    assert run("secrets", "reset", "--yes", "--json").code == 0
    assert first_start(connection, Vault(other), load_settings()) == {}


def test_what_was_made_first_and_was_shown_hinders_no_new_key(
    run: Run,  # noqa: F811
    connection: Connection,  # noqa: F811
    encryption_key: str,
) -> None:
    run("sources", "list")
    first_start(connection, Vault(encryption_key), load_settings())
    mark_shown(connection)
    assert run("secrets", "rotate-key", "--new-key", "-", "--json", given=NEW).code == 0
    assert first_start(connection, Vault(NEW), load_settings()) == {}


def test_the_key_in_the_folder_is_replaced(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    path = tmp_path / "encryption.key"
    path.write_text("old\n")
    with pytest.raises(RuntimeError), replaced_key(settings, NEW):  # noqa: PT012 - both happen inside
        assert path.with_name("encryption.key.new").read_text().strip() == NEW
        raise RuntimeError
    assert path.read_text() == "old\n"
    assert [one.name for one in tmp_path.iterdir()] == ["encryption.key"]
    with replaced_key(settings, NEW):
        assert path.read_text() == "old\n"
    assert path.read_text().strip() == NEW
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["encryption.key"]


def test_the_next_key_is_on_the_disk_before_anything_is_encrypted_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's entry too: else a power cut after the commit leaves a database without its key."""
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(str(Path(f"/dev/fd/{handle}").readlink())))
    with replaced_key(load_settings(data_dir=tmp_path), NEW):
        assert synced == [str(tmp_path / "encryption.key.new"), str(tmp_path)]


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_change_of_the_key_that_was_cut_off_is_brought_to_its_end(
    filled: Connection, encryption_key: str, tmp_path: Path, *, is_committed: bool
) -> None:
    """As the server ends while it commits, or we do before the file is put in its place."""
    settings = load_settings(data_dir=tmp_path, database_url=None, encryption_key=None)
    path = tmp_path / "encryption.key"
    path.write_text(encryption_key)
    with pytest.raises(psycopg.OperationalError), replaced_key(settings, NEW):  # noqa: PT012 - both happen inside
        if is_committed:
            rotate_key(filled, Vault(encryption_key), Vault(NEW), 4711)
        raise psycopg.OperationalError
    (told,) = look_at_encryption_key(Subject(settings, "", filled))
    assert (told.well, "cut off" in told.detail) == (not is_committed, is_committed)
    assert path.read_text() == encryption_key, "who only looks changes nothing"
    read_accounts(filled, fitting_vault(filled, settings))
    assert path.read_text().strip() == (NEW if is_committed else encryption_key)
    path.write_text(new_encryption_key())
    with pytest.raises(WrongKeyError):
        fitting_vault(filled, settings)
