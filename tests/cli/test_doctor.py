"""What `callbox doctor` says of an installation that is well, and of each thing that is not."""

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from app.accounts.kept import keep_answers
from app.accounts.opening import verify_vault
from app.accounts.writing import Connection
from app.cli.doctor import server
from app.cli.doctor.server import _standing
from app.crypto import Vault, new_encryption_key
from app.ids import IdSource, derived_id, first_id_at
from app.ingest.rows import Row, packed
from app.ingest.spool import Spool
from app.storage.partitions import months_around
from app.times import now, to_text

if TYPE_CHECKING:
    from tests.cli.conftest import Run

NAMES = [
    *("settings", "spool", "snapshot", "document_store", "database", "version", "role", "durability", "replica"),
    *("clock", "revision", "encryption_key", "partitions", "sources", "quarantine", "inbox", "attention"),
]
Examine = Callable[[], dict[str, Any]]


@pytest.fixture
def examine(run: "Run") -> Examine:
    """Run `doctor` and return its checks by name; the exit code must fit them."""

    def examine() -> dict[str, Any]:
        ran = run("doctor", "--json")
        checks = ran.json["checks"]
        assert ran.json["ok"] is all(one["ok"] for one in checks)
        assert ran.code == (0 if ran.json["ok"] else 1)
        return {one["name"]: one for one in checks}

    return examine


def lay(connection: Connection, moment: Any, status: str | None = None, reason: str | None = None) -> UUID:
    """Lay down a delivery of the only source, and its outcome if there is one, else it waits in the inbox."""
    low = derived_id(first_id_at(moment), uuid4().hex)
    (source_id,) = connection.execute("SELECT id FROM sources").fetchone() or (None,)
    connection.execute(
        "INSERT INTO deliveries (id, source_id, received_at, via, method, answered, verdict, size, judged, body_sha256,"
        " remote_addr, query, headers, body) VALUES (%s, %s, %s, 0, 0, 202, 3, 0, '', '', '', '', '[]', '')",
        (low, source_id, moment),
    )
    if status is None:
        connection.execute("INSERT INTO inbox (delivery_id, source_id) VALUES (%s, %s)", (low, source_id))
    else:
        connection.execute(
            "INSERT INTO outcomes (delivery_id, source_id, seq, status, verdict, reason, items, brokers, processed_at)"
            " VALUES (%s, %s, nextval('feed_seq'), %s, 'unsigned', %s, '[]', '{}', now())",
            (low, source_id, status, reason),
        )
    return low


def test_what_is_well(run: "Run", examine: Examine, connection: Connection) -> None:
    run("sources", "add", "wegroup", "a")
    lay(connection, now(), "quarantined", "not-json")
    checks = examine()
    assert list(checks) == NAMES
    on_disk = connection.execute("SELECT current_setting('fsync')").fetchone() == ("on",)
    assert {name for name, one in checks.items() if not one["ok"]} == (set() if on_disk else {"durability"})
    assert checks["durability"]["failover_without_loss"] is False
    assert "there is no standby: a failover can lose the last commits" in checks["durability"]["detail"]
    assert checks["partitions"]["months_ahead"] >= 2  # 3, but where a month began after the tests did
    assert checks["partitions"]["in_default"] == 0
    assert abs(checks["clock"]["difference_seconds"]) < 30
    assert checks["quarantine"]["reasons"] == {"not-json": 1}
    (source,) = checks["sources"]["sources"]
    assert (source["name"], source["received_24h"], source["quarantined_24h"]) == ("a", 1, 1)
    assert run("doctor").out.splitlines()[0] == "ok    settings: can be used"


def test_the_document_store_is_tried(
    run: "Run", examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("sources", "add", "wegroup", "a")
    folder = tmp_path / "kept"
    monkeypatch.setenv("CALLBOX_DOCUMENT_STORE", folder.as_uri())
    found = examine()["document_store"]
    assert (found["ok"], found["folder"], folder.exists()) == (True, str(folder), False)
    folder.mkdir()
    found = examine()["document_store"]
    assert (found["ok"], found["detail"]) == (True, f"{folder} can be written and read")
    assert list(folder.iterdir()) == []
    folder.rmdir()
    folder.touch()
    found = examine()["document_store"]
    assert not found["ok"]
    assert found["detail"].startswith(f"CALLBOX_DOCUMENT_STORE: {folder} cannot be used: ")
    monkeypatch.setenv("CALLBOX_DOCUMENT_STORE", (folder / "below").as_uri())
    found = examine()["document_store"]
    assert found["detail"] == f"CALLBOX_DOCUMENT_STORE: {folder / 'below'} is not there yet, and cannot be made"


def test_a_secret_that_cannot_be_decrypted_is_told(run: "Run", examine: Examine, connection: Connection) -> None:
    for name in ("one", "two"):
        run("sources", "add", "thinksurance", name, "--secret", "geheim")
    connection.execute(
        "UPDATE source_secrets SET value_encrypted = %s WHERE source_id = (SELECT id FROM sources WHERE name = 'one')",
        (bytes(40),),
    )
    attention = examine()["attention"]
    told = [(one["kind"], one["source"]) for one in attention["notices"] if one["kind"] == "secret-unreadable"]
    assert not attention["ok"]
    assert told == [("secret-unreadable", "one")]


def test_wrong_settings(run: "Run", examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    run("sources", "list")
    with monkeypatch.context() as patched:
        patched.setenv("CALLBOX_ENCRYPTION_KEY", new_encryption_key())
        assert "CALLBOX_ENCRYPTION_KEY" in examine()["encryption_key"]["detail"]
        assert "CALLBOX_ENCRYPTION_KEY" in run("sources", "list", "--json").error
        assert run("sources", "list").err.startswith("callbox: CALLBOX_ENCRYPTION_KEY")
    with monkeypatch.context() as patched:
        patched.setenv("CALLBOX_PORT", "no")
        assert "CALLBOX_PORT" in examine()["settings"]["detail"]
        assert run("sources", "list", "--json").error.startswith("CALLBOX_PORT")


def test_a_misnamed_setting_is_told(run: "Run", examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    run("sources", "list")
    monkeypatch.setenv("CALLBOX_KEEP_MONTH", "geheim")
    found = examine()["settings"]
    assert (found["ok"], found["detail"]) == (True, "can be used; CALLBOX_KEEP_MONTH is no setting and does nothing")


def test_where_there_is_no_database_none_is_made(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("DATABASE_URL", "ENCRYPTION_KEY"):
        monkeypatch.delenv(f"CALLBOX_{name}")
    found = examine()["database"]
    assert not found["ok"]
    assert found["detail"].startswith(f"CALLBOX_DATA_DIR: no database is to be seen in {tmp_path / 'var'}")
    assert list(tmp_path.iterdir()) == []


def test_folders_of_another_user_are_told(
    run: "Run", examine: Examine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run("doctor")  # whatever it imports cannot be read by everybody either
    monkeypatch.setenv("CALLBOX_DATA_DIR", str(tmp_path / "closed" / "data"))
    (tmp_path / "closed").mkdir(mode=0)
    user = os.geteuid()
    os.seteuid(65534 if user == 0 else user)
    try:
        checks = examine()
    finally:
        os.seteuid(user)
        (tmp_path / "closed").chmod(0o700)
    for name in ("spool", "document_store"):
        assert not checks[name]["ok"]
        assert "CALLBOX_DATA_DIR" in checks[name]["detail"]


def test_tables_of_another_version(examine: Examine, connection: Connection) -> None:
    connection.execute("UPDATE alembic_version SET version_num = 'earlier'")
    checks = examine()
    assert "callbox migrate" in checks["revision"]["detail"]
    assert list(checks)[-1] == "revision"


def test_a_clock_that_ran_ahead_is_told(run: "Run", examine: Examine, connection: Connection) -> None:
    run("sources", "add", "wegroup", "a")
    assert examine()["partitions"]["ok"]
    moment = (now() + timedelta(days=400)).replace(microsecond=0)
    lay(connection, moment, "quarantined", "not-json")
    found = examine()["partitions"]
    assert not found["ok"]
    assert to_text(moment) in found["detail"]


def test_missing_partitions(examine: Examine, connection: Connection) -> None:
    for number, (start, _) in reversed(list(enumerate(months_around(now())))):
        connection.execute(f"DROP TABLE IF EXISTS events_{start:%Y%m}")
        found = examine()["partitions"]
        assert (found["months_ahead"], found["ok"]) == (number - 1, number >= 2), number
    assert found["detail"].startswith("missing for this month: is `callbox work` running?")


def test_what_waits_and_what_was_refused(run: "Run", examine: Examine, connection: Connection) -> None:
    run("sources", "add", "thinksurance", "a", "--secret", "s")
    long_ago, today = now() - timedelta(days=31), now() - timedelta(hours=2)
    lay(connection, long_ago, "quarantined", "processing-failed")
    lay(connection, today - timedelta(days=2), "quarantined", "sender-refused")
    checks = examine()
    assert checks["quarantine"]["ok"]
    assert checks["quarantine"]["reasons"] == {"processing-failed": 1, "sender-refused": 1}
    assert checks["sources"]["ok"]
    lay(connection, today, "quarantined", "sender-refused")
    lay(connection, today, "partial", "processing-failed")
    again = lay(connection, today, "accepted")
    connection.execute(
        "INSERT INTO inbox (delivery_id, source_id) SELECT id, source_id FROM deliveries WHERE id = %s", (again,)
    )
    checks = examine()
    assert checks["quarantine"]["urgent"] == {"processing-failed": 1, "sender-refused": 1}
    assert not checks["quarantine"]["ok"]
    assert not checks["sources"]["ok"]
    assert "`callbox calibrate a`" in checks["sources"]["detail"]
    assert checks["inbox"]["ok"], "what is processed again is no news"
    lay(connection, today)
    checks = examine()
    assert (checks["inbox"]["ok"], checks["inbox"]["depth"], checks["inbox"]["processor_active"]) == (False, 2, False)
    assert "callbox serve" in checks["inbox"]["detail"]


def test_what_waits_since_the_clock_ran_ahead_is_told(run: "Run", examine: Examine, connection: Connection) -> None:
    run("sources", "add", "wegroup", "a")
    late = lay(connection, now() + timedelta(days=40))
    assert examine()["inbox"]["ok"], "it came just now"
    connection.execute("UPDATE deliveries SET stored_at = now() - interval '2 minutes' WHERE id = %s", (late,))
    found = examine()["inbox"]
    assert (found["ok"], found["oldest_waiting_seconds"] >= 0) == (False, True)


def test_the_replica(examine: Examine, monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    monkeypatch.setenv("CALLBOX_DATABASE_READ_URL", "postgresql://u:geheim@127.0.0.1:1/x")
    replica = examine()["replica"]
    assert not replica["ok"]
    assert "127.0.0.1" in replica["detail"]
    assert "geheim" not in replica["detail"]
    separator = "&" if "?" in database_url else "?"
    monkeypatch.setenv("CALLBOX_DATABASE_READ_URL", f"{database_url}{separator}application_name=replica")
    assert "is no standby" in examine()["replica"]["detail"]


def test_clocks_that_differ(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "now", lambda: now() - timedelta(seconds=30))
    clock = examine()["clock"]
    assert not clock["ok"]
    assert -60 < clock["difference_seconds"] < -15
    assert "behind the database: set them by NTP" in clock["detail"]


@pytest.mark.parametrize(
    ("names", "synchronous", "hidden", "standbys", "well", "said"),
    [
        ("one", True, 0, 1, True, "loses nothing"),
        ("one", False, 0, 1, False, "no standby is: commits wait"),
        ("one", False, 1, 1, True, "pg_monitor"),
        ("", False, 0, 2, True, "no standby is synchronous: a failover can lose"),
        ("", False, 0, 0, True, "there is no standby: a failover can lose"),
    ],
)
def test_standbys(names: str, synchronous: bool, hidden: int, standbys: int, well: bool, said: str) -> None:
    found = _standing(names, synchronous=synchronous, hidden=hidden, standbys=standbys)
    assert found[0] is well
    assert said in found[1]


def _spooled(folder: Path, moment: Any) -> Spool:
    """Return an open spool with one delivery of a moment in it."""
    spool = Spool(folder, 1 << 30)
    spool.open()
    row = Row(first_id_at(moment), IdSource().next(), None, moment, 0, 0, 200, 0, 2, b"", b"", b"", b"", b"[]", b"{}")
    spool.put([packed(row)])
    return spool


def test_with_the_database_away_the_spool_is_told(
    run: "Run", examine: Examine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "spool"
    monkeypatch.setenv("CALLBOX_SPOOL_DIR", str(folder))
    monkeypatch.setenv("CALLBOX_DATABASE_URL", "postgresql://u:geheim@127.0.0.1:1/x")
    assert examine()["spool"]["ok"], "a folder that is not made yet"
    moment = now().replace(microsecond=0)
    spool = _spooled(folder, moment)
    try:
        checks = examine()
        assert list(checks) == ["settings", "spool", "snapshot", "document_store", "database"]
        assert "127.0.0.1" in checks["database"]["detail"]
        assert "geheim" not in run("doctor").out
        found = checks["spool"]
        assert (found["ok"], found["deliveries"], found["oldest_at"]) == (True, 1, to_text(moment))
        (file,) = found["files"]
        assert (file["held"], file["deliveries"], file["oldest_at"]) == (True, 1, to_text(moment))
        assert found["bytes"] == file["bytes"] > 0
        monkeypatch.setenv("CALLBOX_SPOOL_MAX_BYTES", str(1 << 20))
        (folder / spool.files[0].path.name).with_suffix(".sqlite-padding").write_bytes(bytes(900_000))
        assert "CALLBOX_SPOOL_MAX_BYTES" in examine()["spool"]["detail"]
    finally:
        spool.close()
    abandoned = examine()["spool"]
    assert (abandoned["ok"], abandoned["files"][0]["held"]) == (False, False)
    assert "no process empties it" in abandoned["detail"]
    (folder / "1-broken.sqlite").write_bytes(b"no database" * 100)
    assert "cannot be read: 1-broken.sqlite" in examine()["spool"]["detail"]


def test_a_disk_without_room_for_the_spool_is_told(examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
    room = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room._replace(free=4096))
    found = examine()["spool"]
    assert not found["ok"]
    assert "CALLBOX_SPOOL_DIR: only 4096 bytes are free on the disk of " in found["detail"]


def test_a_spool_that_fills_for_long(examine: Examine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CALLBOX_SPOOL_DIR", str(tmp_path / "spool"))
    spool = _spooled(tmp_path / "spool", now() - timedelta(hours=1))
    try:
        assert "for long" in examine()["spool"]["detail"]
    finally:
        spool.close()


def test_the_accounts_on_the_disk_are_told(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, connection: Connection, vault: Vault
) -> None:
    monkeypatch.setenv("CALLBOX_SPOOL_DIR", str(tmp_path))
    verify_vault(connection, vault)
    assert examine()["snapshot"]["kept_at"] is None
    keep_answers(tmp_path / "accounts.snapshot", vault, [])
    told = examine()["snapshot"]
    assert (told["kept_at"] is not None, told["readable"], told["ok"]) == (True, True, True)
    keep_answers(tmp_path / "accounts.snapshot", Vault(new_encryption_key()), [])  # as after `secrets rotate-key`
    told = examine()["snapshot"]
    assert (told["readable"], told["ok"], "cannot be read" in told["detail"]) == (False, False, True)
