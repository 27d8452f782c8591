"""`reverify`, `calibrate`, `replay`, `rebuild` and `import`, beside an active processor, on a real database."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest
from structlog.testing import capture_logs

from app.accounts.opening import verify_vault
from app.accounts.snapshot import read_accounts
from app.accounts.writing import Connection
from app.crypto import Vault
from app.ids import IdSource, derived_id, time_of
from app.ingest.answers import answer_for
from app.ingest.rows import STATEMENT, Array, ArrayDumper, Row, arrays, packed
from app.processing.second_looks import Feeder
from app.processing.work import Worker
from app.processing.work import run as work
from app.providers import PROVIDERS

if TYPE_CHECKING:
    from tests.cli.conftest import Run

PERSON = "Mustermann-Erfunden"
Lay = Callable[..., UUID]


@pytest.fixture
def lay(connection: Connection, vault: Vault) -> Lay:
    """Receive a body for a source, as the receiver does: judged by the accounts of this moment."""
    connection.adapters.register_dumper(Array, ArrayDumper)
    ids = IdSource()

    def lay(source: str, body: Any) -> UUID:
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        account = next(one for one in read_accounts(connection, vault).sources.values() if one.name == source)
        delivery_id = ids.next()
        received_at = time_of(delivery_id)
        answer = answer_for(PROVIDERS[account.provider].find(raw, "application/json", account, received_at), account)
        digest, headers = hashlib.sha256(raw).digest(), b'[["content-type","application/json"]]'
        received = (delivery_id, account.id, None, received_at, 0, 0, answer.status, answer.verdict.rank, len(raw))
        row = Row(*received, answer.judged, digest, b"", b"", headers, raw)
        connection.execute(STATEMENT, arrays([packed(row)]))
        return delivery_id

    return lay


@pytest.fixture
def processor(database_url: str, connection: Connection, vault: Vault) -> Iterator[None]:
    """An active processor, as `work` runs it."""
    verify_vault(connection, vault)
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(database_url, Worker(vault, PROVIDERS, ZoneInfo("UTC")), stop))
    with capture_logs():  # else they would stand in what the commands print
        thread.start()
        yield
        stop.set()
        thread.join(120)
    assert not thread.is_alive()


@pytest.fixture
def settle(connection: Connection) -> Callable[[], None]:
    """Wait until everything is processed."""

    def settle() -> None:
        rows = connection.execute("SELECT delivery_id FROM inbox").fetchall()
        Feeder(connection, patience=timedelta(seconds=120)).wait([row[0] for row in rows])

    return settle


def _item(inquiry_id: int, secret: str | None, **data: Any) -> dict[str, Any]:
    signed = hashlib.md5(f"abc{inquiry_id}{secret}".encode(), usedforsecurity=False).hexdigest()
    said = {"bToken": "abc", "iId": inquiry_id, "iUpdated": "2026-01-02", "status": 4, **data}
    return {"sHash": signed, "data": said, "customer": {"cId": inquiry_id, "cLastName": PERSON}}


def _one(connection: Connection, question: str, *arguments: object) -> Any:
    (row,) = connection.execute(question, arguments).fetchall()
    return row[0] if len(row) == 1 else row


# --- reverify --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("processor")
def test_reverify_releases_what_a_new_secret_fits(
    run: "Run", connection: Connection, lay: Lay, settle: Callable[[], None]
) -> None:
    run("sources", "add", "thinksurance", "a", "--secret", "falsch")
    good = [lay("a", _item(number, "richtig")) for number in range(1, 131)]
    forged = lay("a", _item(200, "geraten"))
    unread = lay("a", b"no json")
    settle()
    assert _one(connection, "SELECT count(*) FROM events") == 0
    before = dict(connection.execute("SELECT delivery_id, seq FROM outcomes").fetchall())
    run("sources", "secret", "add", "a", "richtig")

    ran = run("reverify", "a", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["source"] == "a"
    assert (ran.json["deliveries"], ran.json["released"], ran.json["raised"]) == (131, 130, 0)
    assert sum(ran.json["quarantined"].values()) == 1

    assert dict(connection.execute("SELECT delivery_id, seq FROM outcomes").fetchall()) == before
    events = connection.execute("SELECT id, delivery_id, seq, verdict, revised_at FROM events ORDER BY seq").fetchall()
    assert {row[1] for row in events} == set(good)
    assert all(row[0] == derived_id(row[1], 0) for row in events)
    assert min(row[2] for row in events) > max(before.values())
    assert {row[3:] for row in events} == {("verified", None)}
    states = connection.execute("SELECT delivery_id, status, verdict, reason FROM outcomes").fetchall()
    assert {row[1:] for row in states if row[0] in good} == {("accepted", "verified", None)}
    assert {row[1:] for row in states if row[0] == unread} == {("quarantined", "unsigned", "not-json")}
    assert _one(connection, "SELECT status FROM outcomes WHERE delivery_id = %s", forged) == "quarantined"
    assert _one(connection, "SELECT recipe_proven_at IS NOT NULL FROM sources") is True
    assert _one(connection, "SELECT count(*) FROM deliveries") == 132

    again = run("reverify", "a", "--json").json
    assert (again["deliveries"], again["released"]) == (1, 0)
    assert again["quarantined"] == {"invalid-signature": 1}
    assert "stay in quarantine" in run("reverify", "a").out
    assert _one(connection, "SELECT count(*) FROM audit WHERE action = 'source.reverify'") == 3


@pytest.mark.usefixtures("processor")
def test_reverify_raises_what_observe_accepted_only_if_asked(
    run: "Run", connection: Connection, lay: Lay, settle: Callable[[], None]
) -> None:
    run("sources", "add", "thinksurance", "a", "--secret", "falsch", "--mode", "observe")
    lay("a", _item(1, "richtig"))
    settle()
    run("sources", "secret", "add", "a", "richtig")
    assert run("reverify", "a", "--json").json["deliveries"] == 0
    assert run("reverify", "a", "--accepted", "--json").json["raised"] == 1
    assert _one(connection, "SELECT verdict, revised_at IS NOT NULL FROM events") == ("verified", True)


def test_reverify_says_that_no_processor_runs(run: "Run", connection: Connection, lay: Lay) -> None:
    run("sources", "add", "thinksurance", "a", "--secret", "falsch")
    delivery = lay("a", _item(1, "richtig"))
    connection.execute(
        "WITH gone AS (DELETE FROM inbox RETURNING delivery_id, source_id)"
        " INSERT INTO outcomes (delivery_id, source_id, seq, status, verdict, reason, items, brokers, processed_at)"
        " SELECT delivery_id, source_id, 1, 'quarantined', 'invalid', 'invalid-signature',"
        """ '[{"index": 0, "status": "quarantined", "reason": "invalid-signature", "verdict": "invalid"}]',"""
        " '{}', now() FROM gone"
    )
    assert delivery
    ran = run("reverify", "a", "--timeout", "1", "--json")
    assert ran.code == 1
    assert "start `callbox serve` or `callbox work`" in ran.error
    assert _one(connection, "SELECT count(*) FROM inbox") == 0
    run("sources", "add", "allianz", "b", "--setting", "base_url=https://allianz.example.test")
    assert "calls nobody" in run("reverify", "b", "--json").error
    assert "there is no source 'c'" in run("reverify", "c", "--json").error


@pytest.mark.usefixtures("processor")
def test_what_an_earlier_recipe_fitted_proves_no_later_one(
    run: "Run", connection: Connection, lay: Lay, settle: Callable[[], None]
) -> None:
    run("sources", "add", "thinksurance", "a", "--secret", "s")
    delivery = lay("a", _item(1, "s"))
    settle()
    assert _one(connection, "SELECT recipe_proven_at IS NOT NULL FROM sources") is True
    run("sources", "set", "a", "--recipe", '{"algorithm": "sha512"}')
    run("replay", str(delivery))
    settle()
    assert _one(connection, "SELECT verdict FROM events") == "verified"
    assert _one(connection, "SELECT recipe_proven_at FROM sources") is None


# --- calibrate -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("processor")
def test_calibrate_finds_sets_and_reverify_releases(
    run: "Run", connection: Connection, lay: Lay, settle: Callable[[], None]
) -> None:
    run("sources", "add", "thinksurance", "a", "--secret", "s", "--recipe", '{"algorithm": "sha512"}')
    for number in (1, 2, 3):
        lay("a", _item(number, "s"))
    settle()
    ran = run("calibrate", "a", "--json")
    assert ran.code == 0
    assert ran.json["tried"] > 50_000
    assert (ran.json["items"], ran.json["inquiries"], ran.json["applied"]) == (3, 3, None)
    (recipe,) = ran.json["fits"]
    assert (recipe["algorithm"], recipe["parts"]) == ("md5", ["bToken", "iId", "secret"])
    assert _one(connection, "SELECT recipe->>'algorithm', recipe_proven_at FROM sources") == ("sha512", None)

    applied = run("calibrate", "a", "--apply")
    assert applied.code == 0
    assert "callbox reverify a" in applied.out
    assert _one(connection, "SELECT recipe->>'algorithm', recipe_proven_at IS NOT NULL FROM sources") == ("md5", True)
    assert run("reverify", "a", "--json").json["released"] == 3


def test_calibrate_reads_in_a_process_that_has_loaded_nothing_else(run: "Run", lay: Lay) -> None:
    run("sources", "add", "thinksurance", "a", "--secret", "s")
    for number in (1, 2):
        lay("a", _item(number, "s"))
    command = [sys.executable, "-m", "app", "calibrate", "a", "--json"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout)["items"] == 2


def test_calibrate_refuses_what_it_cannot_tell(run: "Run", connection: Connection, lay: Lay) -> None:
    run("sources", "add", "thinksurance", "a", "--mode", "observe")
    assert "there is none to try by" in run("calibrate", "a", "--json").error
    run("sources", "secret", "add", "a", "s")
    lay("a", _item(1, "s"))
    ran = run("calibrate", "a", "--apply", "--json")
    assert (ran.code, ran.json["fits"], ran.json["applied"]) == (1, [], None)
    lay("a", _item(2, "s"))
    several = [_item(number, "s", bToken="") for number in (1, 2)]
    for one in several:
        one["sHash"] = hashlib.md5(f"{one['data']['iId']}s".encode(), usedforsecurity=False).hexdigest()
        lay("a", one)
    refused = run("calibrate", "a", "--items", "2", "--apply", "--json")
    assert refused.code == 1
    assert "choose one by --recipe" in refused.error
    wrong = run("calibrate", "a", "--items", "2", "--apply", "--recipe", '{"algorithm": "sha1"}', "--json")
    assert "does not fit every item" in wrong.error
    assert _one(connection, "SELECT recipe_proven_at FROM sources") is None
    chosen = run("calibrate", "a", "--items", "2", "--apply", "--recipe", '{"parts": ["iId", "secret"]}', "--json")
    assert chosen.json["applied"]["parts"] == ["iId", "secret"]
    assert _one(connection, "SELECT recipe_proven_at IS NOT NULL FROM sources") is True


# --- replay ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("processor")
def test_replay_by_filter_counts_first(
    run: "Run", connection: Connection, lay: Lay, settle: Callable[[], None]
) -> None:
    run("sources", "add", "thinksurance", "a", "--mode", "observe")
    run("sources", "add", "wegroup", "b")
    lay("a", _item(1, None))
    unread = [lay("a", b"no json"), lay("b", b"no json either")]
    settle()
    times = dict(connection.execute("SELECT delivery_id, processed_at FROM outcomes").fetchall())

    counted = run("replay", "--status", "quarantined", "--dry-run", "--json").json
    assert counted == {
        "matched": 2,
        "counts": [
            {"source": "a", "status": "quarantined", "reason": "not-json", "count": 1},
            {"source": "b", "status": "quarantined", "reason": "not-json", "count": 1},
        ],
        "replayed": 0,
    }
    assert run("replay", "--source", "a", "--dry-run", "--json").json["matched"] == 2
    assert run("replay", "--reason", "platform-error", "--dry-run", "--json").json["matched"] == 0
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert run("replay", "--received-after", tomorrow, "--dry-run", "--json").json["matched"] == 0
    assert run("replay", "--received-before", tomorrow, "--dry-run", "--json").json["matched"] == 3
    assert dict(connection.execute("SELECT delivery_id, processed_at FROM outcomes").fetchall()) == times

    ran = run("replay", "--source", "a", "--reason", "not-json", "--json")
    assert (ran.code, ran.json["replayed"], ran.json["statuses"]) == (0, 1, {"quarantined": 1})
    after = dict(connection.execute("SELECT delivery_id, processed_at FROM outcomes").fetchall())
    assert [one for one in times if after[one] != times[one]] == [unread[0]]
    detail = _one(connection, "SELECT detail FROM audit WHERE action = 'delivery.replay'")
    assert detail == {"filter": {"source": "a", "reason": "not-json"}, "matched": 1}


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--dry-run",),
        ("--status", "pending"),
        ("--reason", "unknown"),
        ("--received-after", "gestern"),
        ("00000000-0000-7000-8000-000000000000", "--source", "a"),
    ],
)
def test_replay_wants_ids_or_a_filter(run: "Run", words: tuple[str, ...]) -> None:
    assert run("replay", *words, "--json").code == 2


# --- rebuild ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("processor")
def test_rebuild_reports_before_it_writes(
    run: "Run", connection: Connection, lay: Lay, settle: Callable[[], None]
) -> None:
    run("sources", "add", "thinksurance", "a", "--mode", "observe")
    revised, lost, _, _ = [lay("a", _item(number, None, productName="Haftpflicht")) for number in (1, 2, 3, 4)]
    lay("a", b"no json")
    settle()
    same = run("rebuild", "--json").json
    assert (same["deliveries"], same["changed"], same["written"]) == (5, 0, 0)
    assert (same["sources"]["a"]["unchanged"], same["sources"]["a"]["fields"]) == (5, {})

    # As an earlier reader might have left it: a field and a name read otherwise, and an item not understood.
    connection.execute(
        "UPDATE events SET type = 'thinksurance.inquiry.earlier',"
        " parts = jsonb_set(parts, '{0,fields,product_name}', '\"Alt\"') #- '{1,fields,last_name}'"
        " WHERE delivery_id = %s",
        (revised,),
    )
    connection.execute("DELETE FROM events WHERE delivery_id = %s", (lost,))
    connection.execute(
        "UPDATE outcomes SET status = 'quarantined', items = jsonb_set(items, '{0}', items->0 ||"
        """ '{"status": "quarantined", "reason": "unknown-shape", "event_id": null}') WHERE delivery_id = %s""",
        (lost,),
    )
    connection.execute("UPDATE inquiries SET product_name = 'Alt' WHERE inquiry_id = 1")
    for ran in (run("rebuild", "--dry-run", "--json"), run("rebuild", "--source", "a", "--dry-run", "--json")):
        assert (ran.json["changed"], ran.json["written"]) == (2, 0)
        of_a = ran.json["sources"]["a"]
        assert (of_a["revised"], of_a["accepted"], of_a["unchanged"]) == (1, 1, 3)
        assert of_a["fields"] == {"customer.last_name": 1, "inquiry.product_name": 1, "type": 1}
        assert PERSON not in ran.out + ran.err
    assert _one(connection, "SELECT count(*) FROM events") == 3
    assert _one(connection, "SELECT count(*) FROM events WHERE revised_at IS NOT NULL") == 0

    ran = run("rebuild")
    assert ran.code == 0
    assert "customer.last_name (1)" in ran.err
    assert PERSON not in ran.out + ran.err
    rows = connection.execute("SELECT delivery_id, type, revised_at IS NOT NULL FROM events ORDER BY 1").fetchall()
    assert [row[1] for row in rows] == ["thinksurance.inquiry.calculated"] * 4
    assert [row[0] for row in rows if row[2]] == [revised]
    assert _one(connection, "SELECT product_name FROM inquiries WHERE inquiry_id = 1") == "Haftpflicht"
    assert _one(connection, "SELECT status FROM outcomes WHERE delivery_id = %s", lost) == "accepted"
    assert run("rebuild", "--json").json["changed"] == 0
    noted = connection.execute("SELECT detail FROM audit WHERE action = 'source.rebuild'").fetchall()
    assert noted == [({"source": None, "deliveries": 2},)]


# --- import ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("processor")
def test_a_file_imported_twice_is_one_delivery(run: "Run", connection: Connection, tmp_path: Path) -> None:
    run("sources", "add", "thinksurance", "a", "--secret", "s")
    (tmp_path / "eins.json").write_bytes(orjson.dumps(_item(1, "s")))
    (tmp_path / "kopie.json").write_bytes(orjson.dumps(_item(1, "s")))
    (tmp_path / "falsch.json").write_bytes(orjson.dumps(_item(2, "geraten")))
    files = ("eins.json", "kopie.json", "falsch.json")
    ran = run("import", "--source", "a", *files, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {
        "source": "a",
        "read": 3,
        "stored": 2,
        "known": 1,
        "statuses": {"accepted": 1, "quarantined": 1},
    }
    again = run("import", "--source", "a", *files, "--json").json
    assert (again["read"], again["stored"], again["known"]) == (3, 0, 3)
    assert connection.execute("SELECT DISTINCT via, token_id FROM deliveries").fetchall() == [(2, None)]
    assert _one(connection, "SELECT count(*) FROM deliveries") == 2
    assert _one(connection, "SELECT verdict FROM events") == "verified"
    run("sources", "add", "thinksurance", "b", "--secret", "s")
    assert run("import", "--source", "b", *files, "--json").json["stored"] == 2


def test_an_import_needs_no_processor_and_takes_lines(run: "Run", connection: Connection, tmp_path: Path) -> None:
    run("sources", "add", "wegroup", "b")
    lines = [json.dumps({"event": "lead", "id": f"lead-{number}"}).encode() for number in range(250)]
    (tmp_path / "viele.ndjson").write_bytes(b"\r\n".join([*lines, b"", lines[0]]) + b"\n")
    ran = run("import", "--source", "b", "--lines", "viele.ndjson", "--json").json
    assert (ran["read"], ran["stored"], ran["known"], ran["statuses"]) == (251, 250, 1, {"pending": 250})
    stored = connection.execute("SELECT body FROM deliveries ORDER BY id").fetchall()
    assert [bytes(row[0]) for row in stored] == lines
    assert _one(connection, "SELECT count(*) FROM inbox") == 250


def test_what_an_import_could_not_store_is_not_taken_for_imported(
    run: "Run", connection: Connection, tmp_path: Path
) -> None:
    run("sources", "add", "wegroup", "b")
    (tmp_path / "eins.json").write_text('{"id": 1}')
    connection.execute("ALTER TABLE inbox RENAME TO away")
    assert run("import", "--source", "b", "eins.json", "--json").code != 0
    connection.execute("ALTER TABLE away RENAME TO inbox")
    assert run("import", "--source", "b", "eins.json", "--json").json["stored"] == 1


def test_an_import_keeps_when_it_came_if_told(run: "Run", connection: Connection, tmp_path: Path) -> None:
    run("sources", "add", "wegroup", "b")
    came = datetime(2025, 3, 9, 10, 1, 2, tzinfo=UTC)
    for number, name in enumerate(("alt.json", "neu.json")):
        (tmp_path / name).write_text(f'{{"id": {number}}}')
    os.utime(tmp_path / "alt.json", (came.timestamp(), came.timestamp()))
    run("import", "--source", "b", "--received-at", "mtime", "alt.json")
    run("import", "--source", "b", "--received-at", "2025-04-01T00:00:00+02:00", "neu.json")
    rows = connection.execute("SELECT id, received_at FROM deliveries ORDER BY id").fetchall()
    assert [row[1] for row in rows] == [came, datetime(2025, 3, 31, 22, tzinfo=UTC)]
    assert all(time_of(row[0]) == row[1] for row in rows)
    assert run("import", "--source", "b", "--received-at", "2999-01-01", "neu.json", "--json").code == 2
    lines = [b'{"id": %d}' % number for number in range(10, 160)]
    (tmp_path / "viele.ndjson").write_bytes(b"\n".join(lines))
    run("import", "--source", "b", "--received-at", "2025-05-01T12:00:00Z", "--lines", "viele.ndjson")
    rows = connection.execute("SELECT id, body FROM deliveries ORDER BY id DESC LIMIT 150").fetchall()
    assert [bytes(row[1]) for row in reversed(rows)] == lines
    assert {(row[0].version, row[0].variant) for row in rows} == {(7, "specified in RFC 4122")}


def test_an_import_names_what_it_cannot_read(
    run: "Run", connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("sources", "add", "wegroup", "b")
    monkeypatch.setenv("CALLBOX_MAX_BODY_BYTES", "1024")
    (tmp_path / "gut.json").write_text("{}")
    (tmp_path / "gross.json").write_text(" " * 1025)
    assert "gross.json: is larger" in run("import", "--source", "b", "gut.json", "gross.json", "--json").error
    assert "nirgends.json: No such file" in run("import", "--source", "b", "gut.json", "nirgends.json", "--json").error
    assert _one(connection, "SELECT count(*) FROM deliveries") == 0
    assert "there is no source 'c'" in run("import", "--source", "c", "gut.json", "--json").error
