"""`callbox audit verify`, and what needs somebody as `doctor` tells it."""

from pathlib import Path

from app.accounts.sealing import Sealer
from app.accounts.writing import Connection
from app.crypto import Vault
from tests.cli.conftest import Run


def test_the_log_is_checked(run: Run, connection: Connection, encryption_key: str) -> None:
    for name in ("one", "two"):
        run("sources", "add", "wegroup", name)
        Sealer(connection, Vault(encryption_key)).seal()
    ran = run("audit", "verify", "--json")
    assert (ran.code, ran.json["ok"], ran.json["seals"], ran.json["entries"]) == (0, True, 2, 2)
    logged = ran.json["last_seal"]
    told = run("audit", "verify", "--seal", logged)
    assert (told.code, "2 entries under 2 seals" in told.out, "cut off" in told.out) == (0, True, False)
    assert "cut off" in run("audit", "verify").out
    assert "seal: must be NUMBER:DIGEST" in run("audit", "verify", "--seal", "2", "--json").error

    (changed,) = connection.execute("UPDATE audit SET actor = 'x' WHERE detail ->> 'source' = 'two' RETURNING id")
    ran = run("audit", "verify", "--json")
    assert (ran.code, ran.json["ok"]) == (1, False)
    assert ran.json["first_misfit"] == {
        "entry_id": str(changed[0]),
        "seal": 2,
        "what": f"Entry {changed[0]} was changed.",
    }
    assert str(changed[0]) in run("audit", "verify").out
    connection.execute("DELETE FROM audit_seals WHERE number = 2")
    connection.execute("DELETE FROM audit WHERE id = %s", changed)
    assert run("audit", "verify").code == 0
    ran = run("audit", "verify", "--seal", logged, "--json")
    assert (ran.code, ran.json["first_misfit"]["seal"]) == (1, 2)


def test_what_commands_do_to_callbacks_stands_in_it(run: Run, connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "lead.json").write_text('{"id": "lead-1"}')
    run("sources", "add", "wegroup", "leads")
    run("import", "--source", "leads", "lead.json")
    ((delivery,),) = connection.execute("SELECT id::text FROM deliveries").fetchall()
    run("replay", delivery, "--dry-run")
    run("replay", delivery)
    entries = connection.execute("SELECT actor, action, detail FROM audit WHERE action <> 'source.add' ORDER BY id")
    assert entries.fetchall() == [
        ("cli", "delivery.import", {"source": "leads", "files": 1}),
        ("cli", "delivery.replay", {"delivery_ids": [delivery]}),
    ]


def test_doctor_tells_what_needs_somebody(run: Run, connection: Connection) -> None:
    def attention() -> tuple[bool, str, list[str]]:
        (found,) = (one for one in run("doctor", "--json").json["checks"] if one["name"] == "attention")
        return found["ok"], found["detail"], [notice["kind"] for notice in found["notices"]]

    run("sources", "add", "wegroup", "leads")
    assert attention() == (True, "nothing needs anybody", [])
    connection.execute("INSERT INTO spool_states VALUES ('alpha/1', 'alpha', 3, 300, now() - interval '1 hour')")
    is_well, detail, kinds = attention()
    assert (is_well, kinds) == (True, ["spool-in-use"])
    assert detail.startswith("3 callbacks wait in the spool on alpha")
    connection.execute(
        "INSERT INTO inbox SELECT '01900000-0000-7000-8000-000000000000', id FROM sources WHERE name = 'leads'"
    )
    assert attention()[::2] == (False, ["processing-behind", "spool-in-use"])
