"""The audit log under its seals: whatever is done to it behind our back is named, whatever we do to it fits."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from structlog.testing import capture_logs

from app.accounts import audit, sealing, verifying
from app.accounts.rekeying import reset, rotate_key
from app.accounts.sealing import MOST_ROWS, Sealer
from app.accounts.verifying import Checked, parse_seal, verify_audit
from app.accounts.writing import AccountError, Connection
from app.crypto import Vault, WrongKeyError, new_encryption_key
from app.ids import first_id_at
from app.times import now

_LOCK = 4711


@pytest.fixture
def connection(shared_database_url: str) -> Iterator[Connection]:
    """A connection whose writes are rolled back after the test."""
    with (
        psycopg.connect(shared_database_url, autocommit=True) as connection,
        connection.transaction(force_rollback=True),
    ):
        yield connection


@pytest.fixture
def sealed(connection: Connection, vault: Vault) -> Connection:
    """A log of nine entries under three seals."""
    sealer = Sealer(connection, vault)
    for _ in range(3):
        for number in range(3):
            audit.record(connection, audit.CLI, "source.add", {"source": f"s-{number}", "note": "Zoë \u2028 1.50"})
        assert sealer.seal() == 3
    return connection


def _ids(connection: Connection) -> list[UUID]:
    return [row[0] for row in connection.execute("SELECT id FROM audit ORDER BY id").fetchall()]


def _misfit(connection: Connection, vault: Vault, *logged: str) -> tuple[UUID | None, int | None, str]:
    misfit = verify_audit(connection, vault, [parse_seal(text) for text in logged]).misfit
    assert misfit is not None
    return misfit.entry_id, misfit.seal, misfit.what


def test_an_untouched_log_fits(sealed: Connection, vault: Vault) -> None:
    audit.record(sealed, audit.CLI, "source.add", {})
    told = verify_audit(sealed, vault).as_json()
    assert (told["ok"], told["seals"], told["entries"], told["unsealed"]) == (True, 3, 9, 1)
    assert verify_audit(sealed, vault, [parse_seal(told["last_seal"])]).misfit is None
    assert Sealer(sealed, vault).seal() == 1
    assert Sealer(sealed, vault).seal() == 0
    assert verify_audit(sealed, vault).as_json() == told | {
        "seals": 4,
        "entries": 10,
        "unsealed": 0,
        "last_seal": verify_audit(sealed, vault).as_json()["last_seal"],
    }


def test_an_empty_log_fits(connection: Connection, vault: Vault) -> None:
    assert Sealer(connection, vault).seal() == 0
    assert verify_audit(connection, vault) == Checked()


@pytest.mark.parametrize(
    "change",
    [
        "detail = '{}'",
        'detail = detail || \'{"source": "other"}\'',
        "actor = 'key:x'",
        "action = 'source.sdd'",
        "at = at + interval '1 microsecond'",
    ],
)
def test_a_changed_entry_is_named(sealed: Connection, vault: Vault, change: str) -> None:
    wanted = _ids(sealed)[4]
    with sealed.transaction(force_rollback=True):
        sealed.execute(f"UPDATE audit SET {change} WHERE id >= %s", (wanted,))  # noqa: S608 - written above
        assert _misfit(sealed, vault) == (wanted, 2, "was changed")


def test_what_lies_beyond_the_first_page_is_looked_at(
    sealed: Connection, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "_PAGE", 2)
    assert verify_audit(sealed, vault).as_json()["seals"] == 3
    sealed.execute("UPDATE audit SET actor = 'x' WHERE id = %s", (_ids(sealed)[-1],))
    assert _misfit(sealed, vault) == (_ids(sealed)[-1], 3, "was changed")


def test_a_removed_entry_is_named(sealed: Connection, vault: Vault) -> None:
    wanted = _ids(sealed)[5]
    with sealed.transaction(force_rollback=True):
        sealed.execute("DELETE FROM audit WHERE id = %s", (wanted,))
        assert _misfit(sealed, vault) == (wanted, 2, "was removed")


def test_an_inserted_entry_is_named(sealed: Connection, vault: Vault) -> None:
    strange = UUID(int=_ids(sealed)[1].int + 1)
    with sealed.transaction(force_rollback=True):
        sealed.execute("INSERT INTO audit (id, actor, action) VALUES (%s, 'cli', 'source.add')", (strange,))
        sealed.execute("DELETE FROM audit WHERE id = %s", (_ids(sealed)[7],))
        entry_id, _, what = _misfit(sealed, vault)
    assert (entry_id, "inserted" in what) == (strange, True)


_FORGED = """
WITH added AS (INSERT INTO audit (id, at, actor, action) VALUES (%s, now() - %s, 'cli', 'source.add') RETURNING id)
INSERT INTO audit_unsealed (audit_id) SELECT id FROM added
"""


@pytest.mark.parametrize(("days", "days_by_id"), [(2, 0), (0, 2)])
def test_an_entry_of_a_past_that_was_sealed_is_named(
    sealed: Connection, vault: Vault, days: int, days_by_id: int
) -> None:
    strange = first_id_at(now() - timedelta(days=days_by_id))
    with sealed.transaction(force_rollback=True):
        sealed.execute(_FORGED, (strange, timedelta(days=days)))
        assert Sealer(sealed, vault).seal() == 1
        entry_id, seal, what = _misfit(sealed, vault)
    assert (entry_id, seal, "inserted" in what) == (strange, 4, True)


def test_entries_that_waited_long_for_a_seal_fit(
    connection: Connection, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (sealing, verifying):
        monkeypatch.setattr(room, "MOST_ROWS", 2)
    for number in range(5):
        connection.execute(_FORGED, (first_id_at(now() - timedelta(days=9 - number)), timedelta(days=9 - number)))
    sealer = Sealer(connection, vault)
    assert [sealer.seal() for _ in range(4)] == [2, 2, 1, 0]
    assert verify_audit(connection, vault).misfit is None


def test_a_removed_or_changed_seal_is_named(sealed: Connection, vault: Vault) -> None:
    with sealed.transaction(force_rollback=True):
        sealed.execute("DELETE FROM audit_seals WHERE number = 2")
        assert _misfit(sealed, vault) == (None, 2, "was removed")
    for change in ("digest = sha256(digest)", "row_macs = sha256(row_macs)", "sealed_at = now()"):
        with sealed.transaction(force_rollback=True):
            sealed.execute(f"UPDATE audit_seals SET {change} WHERE number = 2")  # noqa: S608 - written above
            assert _misfit(sealed, vault) == (None, 2, "was changed, or the one before it")
    with sealed.transaction(force_rollback=True):  # with its entries, and numbered anew
        sealed.execute("DELETE FROM audit WHERE id = ANY(SELECT unnest(row_ids) FROM audit_seals WHERE number = 2)")
        sealed.execute("DELETE FROM audit_seals WHERE number = 2")
        sealed.execute("UPDATE audit_seals SET number = 2 WHERE number = 3")
        assert _misfit(sealed, vault)[1] == 2


def test_a_genuine_seal_of_another_course_of_things_is_named(sealed: Connection, vault: Vault) -> None:
    """As from before a backup was put back: its entries fit it, but the seal after it was made after another."""
    (third,) = sealed.execute("DELETE FROM audit_seals WHERE number = 3 RETURNING sealed_at, row_ids, digest")
    sealed.execute("INSERT INTO audit_unsealed SELECT unnest(%s::uuid[])", (third[1],))
    assert Sealer(sealed, vault).seal() == 3
    audit.record(sealed, audit.CLI, "source.add", {})
    assert Sealer(sealed, vault).seal() == 1
    assert verify_audit(sealed, vault).misfit is None
    sealed.execute("UPDATE audit_seals SET sealed_at = %s, digest = %s WHERE number = 3", third[::2])
    assert _misfit(sealed, vault) == (None, 4, "was changed, or the one before it")


def test_each_log_has_a_key_of_its_own(connection: Connection, vault: Vault) -> None:
    keys = set()
    for _ in range(2):
        with connection.transaction(force_rollback=True):
            keys.add(sealing.get_key(connection, vault).value)
    assert [len(key) for key in keys] == [32, 32]


def test_that_the_end_was_cut_off_is_seen_against_a_logged_seal(sealed: Connection, vault: Vault) -> None:
    logged = verify_audit(sealed, vault).as_json()["last_seal"]
    other = "2:" + logged.partition(":")[2]
    with sealed.transaction(force_rollback=True):
        sealed.execute("DELETE FROM audit WHERE id = ANY(SELECT unnest(row_ids) FROM audit_seals WHERE number = 3)")
        sealed.execute("DELETE FROM audit_seals WHERE number = 3")
        assert verify_audit(sealed, vault).misfit is None
        assert _misfit(sealed, vault, logged)[1:] == (3, "was logged, but the seals end with 2: the end was cut off")
    assert _misfit(sealed, vault, other)[1:] == (2, "is not the one that was logged")
    with sealed.transaction(force_rollback=True):  # its entries are left
        sealed.execute("DELETE FROM audit_seals WHERE number = 3")
        assert _misfit(sealed, vault)[0] == _ids(sealed)[6]


@pytest.mark.parametrize("text", ["", "3", "3:", "3:abc", "x:" + "a" * 64, "3:" + "g" * 64, "3:" + "a" * 62])
def test_what_is_no_seal_is_refused(text: str) -> None:
    with pytest.raises(AccountError, match="seal: must be"):
        parse_seal(text)


def test_who_has_not_the_key_cannot_make_it_fit(sealed: Connection, vault: Vault) -> None:
    """Somebody takes the key away, so that the log is sealed anew after what was changed."""
    with sealed.transaction(force_rollback=True):
        sealed.execute("DELETE FROM installation WHERE key = 'audit-key'")
        assert "key was removed" in _misfit(sealed, vault)[2]
        audit.record(sealed, audit.CLI, "source.add", {})
        Sealer(sealed, vault).seal()
        assert "key was removed" in _misfit(sealed, vault)[2]
    with pytest.raises(WrongKeyError):
        verify_audit(sealed, Vault(new_encryption_key()))


def test_a_key_taken_away_after_the_only_seal_is_told(database_url: str, vault: Vault) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        audit.record(connection, audit.CLI, "source.add", {})
        Sealer(connection, vault).seal()
        connection.execute("DELETE FROM installation WHERE key = 'audit-key'")
        audit.record(connection, audit.CLI, "source.add", {})
        with capture_logs() as logs:
            Sealer(connection, vault).seal()
        assert [one["seals"] for one in logs if one["event"] == "audit.key_missing"] == [1]
        assert "key was removed" in _misfit(connection, vault)[2]


def test_what_is_committed_late_is_sealed_then(database_url: str, vault: Vault) -> None:
    """An entry that was begun before others lies below them; it is sealed when it is there."""
    with psycopg.connect(database_url, autocommit=True) as connection, psycopg.connect(database_url) as slow:
        audit.record(slow, "key:slow", "source.add", {})
        audit.record(connection, "key:fast", "source.add", {})
        assert Sealer(connection, vault).seal() == 1
        assert verify_audit(connection, vault).misfit is None
        slow.commit()
        assert verify_audit(connection, vault).as_json()["unsealed"] == 1
        assert Sealer(connection, vault).seal() == 1
        found = verify_audit(connection, vault).as_json()
        assert (found["ok"], found["seals"], found["entries"]) == (True, 2, 2)
        actors = connection.execute("SELECT actor FROM audit ORDER BY id").fetchall()
        assert actors == [("key:slow",), ("key:fast",)]


def test_an_entry_that_was_rolled_back_leaves_nothing(sealed: Connection, vault: Vault) -> None:
    with sealed.transaction(force_rollback=True):
        audit.record(sealed, audit.CLI, "source.add", {})
    assert Sealer(sealed, vault).seal() == 0


def test_a_new_key_leaves_the_old_seals_good(sealed: Connection, vault: Vault) -> None:
    fresh = Vault(new_encryption_key())
    rotate_key(sealed, vault, fresh, _LOCK)
    assert verify_audit(sealed, fresh).as_json()["seals"] == 3
    assert Sealer(sealed, fresh).seal() == 1
    found = verify_audit(sealed, fresh).as_json()
    assert (found["ok"], found["seals"], found["unverifiable_seals"]) == (True, 4, 0)


def test_a_lost_key_is_given_up_and_what_was_sealed_stays_as_it_was(sealed: Connection) -> None:
    fresh = Vault(new_encryption_key())
    reset(sealed, fresh, _LOCK)
    assert Sealer(sealed, fresh).seal() == 1
    found = verify_audit(sealed, fresh).as_json()
    assert (found["ok"], found["seals"], found["unverifiable_seals"]) == (True, 4, 3)
    with sealed.transaction(force_rollback=True):
        sealed.execute("UPDATE audit_seals SET digest = sha256(digest) WHERE number = 3")
        assert _misfit(sealed, fresh) == (None, 3, "was changed")
    with sealed.transaction(force_rollback=True):
        sealed.execute("UPDATE audit SET actor = 'x' WHERE id = %s", (_ids(sealed)[-1],))
        assert _misfit(sealed, fresh)[:2] == (_ids(sealed)[-1], 4)


def test_each_seal_is_logged_after_its_commit(connection: Connection, vault: Vault) -> None:
    audit.record(connection, audit.CLI, "source.add", {})
    with capture_logs() as lines:
        sealer = Sealer(connection, vault)
        assert [sealer.seal() for _ in range(3)] == [1, 0, 0]
        Sealer(connection, vault).seal()  # the next process tells the last one again: it may have been the last words
    last = verify_audit(connection, vault).as_json()["last_seal"]
    assert [(line["event"], line["seal"]) for line in lines] == [("audit.sealed", last)] * 2


def test_many_entries_are_sealed_in_portions(connection: Connection, vault: Vault) -> None:
    connection.execute(
        "WITH added AS (INSERT INTO audit (id, actor, action) SELECT gen_random_uuid(), 'cli', 'x'"
        " FROM generate_series(1, %s) RETURNING id) INSERT INTO audit_unsealed SELECT id FROM added",
        (MOST_ROWS + 1,),
    )
    sealer = Sealer(connection, vault)
    assert [sealer.seal(), sealer.seal(), sealer.seal()] == [MOST_ROWS, 1, 0]
    assert verify_audit(connection, vault).as_json()["entries"] == MOST_ROWS + 1


def test_a_clock_that_ran_ahead_once_makes_no_entry_a_stranger(
    sealed: Connection, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealer = Sealer(sealed, vault)
    for ahead in (timedelta(days=400), timedelta(0), timedelta(0)):
        monkeypatch.setattr(sealing, "now", lambda ahead=ahead: now() + ahead)
        audit.record(sealed, audit.CLI, "source.add", {})
        assert sealer.seal() == 1
    assert verify_audit(sealed, vault).as_json()["ok"]
    long_ago = first_id_at(now() - timedelta(days=30))
    sealed.execute(_FORGED, (long_ago, timedelta(days=30)))
    sealer.seal()
    assert _misfit(sealed, vault)[0] == long_ago
