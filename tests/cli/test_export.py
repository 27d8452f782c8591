"""`export`: the same rows as over HTTP, into a file that only its owner may read."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from app.accounts.writing import Connection
from app.ids import derived_id, first_id_at

if TYPE_CHECKING:
    from tests.cli.conftest import Run

_AT = datetime(2026, 3, 9, 10, tzinfo=UTC)


def _leads(run: "Run", connection: Connection) -> list[UUID]:
    source = UUID(run("sources", "add", "wegroup", "wg", "--json").json["id"])
    made = [derived_id(first_id_at(_AT), number) for number in range(3)]
    for number, one in enumerate(sorted(made)):
        connection.execute(
            "INSERT INTO leads (id, source_id, identity, status, last_name, head_key, head_receipt, field_keys,"
            " folded, first_received_at, last_received_at, event_count)"
            " VALUES (%s, %s, %s, %s, %s, '', '', '{}', '{}', %s, %s, 1)",
            (one, source, str(number), f"status-{number}", "=Muster", _AT, _AT),
        )
    connection.commit()
    return sorted(made)


def test_export_writes_a_file(run: "Run", connection: Connection, tmp_path: Path) -> None:
    made = _leads(run, connection)
    ran = run("export", "leads", "--output", "leads.csv", "--json")
    assert (ran.code, ran.json) == (0, {"kind": "leads", "format": "csv", "output": "leads.csv", "rows": 3})
    file = tmp_path / "leads.csv"
    assert file.stat().st_mode & 0o077 == 0
    with file.open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [row["id"] for row in rows] == [str(one) for one in reversed(made)]
    assert rows[0]["last_name"] == "'=Muster"


def test_export_writes_lines_to_standard_output(run: "Run", connection: Connection) -> None:
    made = _leads(run, connection)
    ran = run("export", "leads", "--format", "ndjson", "--order", "asc", "--where", "status[ne]=status-1")
    assert ran.code == 0
    assert [json.loads(line)["id"] for line in ran.out.splitlines()] == [str(made[0]), str(made[2])]
    entry = connection.execute("SELECT actor, detail FROM audit WHERE action = 'export.begin'").fetchone()
    assert entry is not None
    assert next(iter(entry)) == "cli"


def test_export_writes_the_fields_that_are_chosen(run: "Run", connection: Connection) -> None:
    made = _leads(run, connection)
    ran = run("export", "leads", "--fields", "status,address", "--order", "asc")
    heading, *rows = csv.reader(ran.out.splitlines())
    assert (heading[0], heading[-1], {name.partition(".")[0] for name in heading[1:-1]}) == (
        "id",
        "status",
        {"address"},
    )
    assert [(row[0], row[-1]) for row in rows] == [(str(one), f"status-{at}") for at, one in enumerate(made)]
    entry = connection.execute("SELECT detail FROM audit WHERE action = 'export.begin'").fetchone()
    assert entry is not None
    (detail,) = entry
    assert (detail["parameters"], detail["fields"]) == (["fields", "order"], ["address", "id", "status"])


def test_export_refuses_what_it_does_not_know(run: "Run") -> None:
    assert "none of these" in run("export", "deliveries", "--output", "x", "--json").error
    assert "--json needs --output" in run("export", "leads", "--json").error
    assert "FIELD=VALUE" in run("export", "leads", "--where", "x", "--output", "x", "--json").error
    assert "no field of this list" in run("export", "leads", "--where", "x=1", "--output", "x", "--json").error
    assert "names no field" in run("export", "leads", "--fields", "id,x", "--output", "x", "--json").error
    assert "an export is whole" in run("export", "leads", "--where", "cursor=x", "--output", "x", "--json").error
    assert run("export", "leads", "--output", "no/x", "--json").error == "--output: no/x: No such file or directory"
    assert run("export", "leads", "--output", ".", "--json").error == "--output: .: Is a directory"


def test_a_file_is_replaced_only_by_a_whole_one(run: "Run", connection: Connection, tmp_path: Path) -> None:
    _leads(run, connection)
    file = tmp_path / "leads.csv"
    file.write_text("of yesterday")
    file.chmod(0o644)
    assert "no field of this list" in run("export", "leads", "--where", "x=1", "--output", "leads.csv", "--json").error
    assert file.read_text() == "of yesterday"
    assert run("export", "leads", "--output", "leads.csv").code == 0
    assert file.read_text().startswith("id,")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["leads.csv"]


def test_export_writes_into_what_is_no_file(run: "Run", connection: Connection) -> None:
    _leads(run, connection)
    assert run("export", "leads", "--output", "/dev/null", "--json").json["rows"] == 3
    full = run("export", "leads", "--output", "/dev/full", "--json")
    assert full.error == "--output: /dev/full: No space left on device"
