"""The command line as a whole: migrate, replay, and what a real process prints."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from app.accounts.writing import Connection
from app.ids import IdSource

if TYPE_CHECKING:
    from tests.cli.conftest import Run

HOME = Path(__file__).parents[2]
Callbox = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that another user can reach: as root the embedded server is one."""
    with tempfile.TemporaryDirectory(prefix="cbx") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "var"


@pytest.fixture
def callbox(data_dir: Path, tmp_path: Path) -> Callbox:
    """Run a real process: `callbox("sources", "list", CALLBOX_PORT="8001")`; the database is embedded by default."""

    def run(*words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CALLBOX_")}
        env = {**kept, "PYTHONPATH": str(HOME), "CALLBOX_DATA_DIR": str(data_dir), **variables}
        command = [sys.executable, "-m", "app", *words]
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)

    return run


def _delivery(connection: Connection) -> str:
    """Put down a delivery that was processed: it stands in no inbox."""
    delivery_id, source_id = IdSource().next(), IdSource().next()
    connection.execute(
        "INSERT INTO deliveries (id, source_id, received_at, via, method, answered, verdict, size, judged, body_sha256,"
        " remote_addr, query, headers, body) VALUES (%s, %s, %s, 0, 0, 200, 0, 2, '', '', '', '', '[]', '{}')",
        (delivery_id, source_id, datetime.now(UTC)),
    )
    return str(delivery_id)


def test_replay_puts_back_what_exists(run: "Run", connection: Connection) -> None:
    known, unknown = _delivery(connection), str(IdSource().next())
    assert run("replay", known, "--json").json == {"queued": [known], "unknown": []}
    again = run("replay", "-", "--json", given=f"{known}\n{unknown}\n")
    assert (again.code, again.json) == (1, {"queued": [known], "unknown": [unknown]})
    rows = connection.execute("SELECT delivery_id::text FROM inbox").fetchall()
    assert rows == [(known,)]
    (inbox,) = [one for one in run("doctor", "--json").json["checks"] if one["name"] == "inbox"]
    assert inbox["depth"] == 1


def test_migrate_says_where_the_tables_are(run: "Run") -> None:
    document = run("migrate", "--json").json
    assert document["changed"] is False
    assert document["before"] == document["revision"]


def test_the_owner_of_the_tables_needs_no_key(run: "Run", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CALLBOX_ENCRYPTION_KEY")
    assert run("migrate", "--json").code == 0
    assert "CALLBOX_ENCRYPTION_KEY is required" in run("sources", "list", "--json").error


def test_help_names_all_commands_and_loads_little() -> None:
    code = "import sys; sys.argv = ['callbox', '--help']\ntry:\n import app.__main__\nexcept SystemExit: pass\n"
    code += "print(sorted({'psycopg', 'sqlalchemy', 'pydantic', 'fastapi', 'rich', 'httpx2'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=True)
    for command in (
        "serve",
        "work",
        "migrate",
        "doctor",
        "replay",
        "reverify",
        "calibrate",
        "rebuild",
        "import",
        "simulate",
        "sources",
        "keys",
    ):
        assert f"  {command} " in ran.stdout
    assert ran.stdout.endswith("[]\n")


@pytest.mark.process
def test_a_first_command_makes_its_own_database(callbox: Callbox, data_dir: Path) -> None:
    added = callbox("sources", "add", "thinksurance", "a", "--secret", "s", "--json", CALLBOX_PORT="8123")
    assert added.returncode == 0, added.stderr
    document: dict[str, Any] = json.loads(added.stdout)
    assert document["callback_url"].startswith("http://127.0.0.1:8123/callbacks/thinksurance/cbt_")
    assert (data_dir / "encryption.key").stat().st_mode & 0o777 == 0o600
    listed = callbox("sources", "list", "--json")
    assert [row["name"] for row in json.loads(listed.stdout)["data"]] == ["a"]
    told = [line for line in listed.stderr.splitlines() if not line.startswith("The database is starting")]
    assert told == []  # where the machine is busy it says what it waits for
    assert not (data_dir / "postgres" / "data" / "postmaster.pid").exists()


@pytest.mark.process
def test_commands_share_a_server_that_runs(callbox: Callbox, data_dir: Path) -> None:
    from app.storage import embedded  # noqa: PLC0415 - only where the wheel is needed

    server = embedded.start(data_dir, durable=False)
    try:
        assert callbox("keys", "add", "k", "--scope", "read", "--json").returncode == 0
        assert server.is_up()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT name FROM api_keys").fetchall() == [("k",)]
    finally:
        server.stop()


@pytest.mark.process
def test_a_database_that_is_away_is_told_on_standard_error(callbox: Callbox, encryption_key: str) -> None:
    away = {"CALLBOX_DATABASE_URL": "postgresql://u:geheim@127.0.0.1:1/x", "CALLBOX_ENCRYPTION_KEY": encryption_key}
    ran = callbox("sources", "list", "--json", **away)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert set(json.loads(ran.stderr)) == {"error"}
    assert "geheim" not in ran.stderr


def test_a_fault_of_ours_is_one_document_too(run: "Run", monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("Erika Beispiel")

    monkeypatch.setattr("app.accounts.store.list_sources", fail)
    error = run("sources", "list", "--json").error
    assert error.startswith("a fault of Callbox: RuntimeError in fail:")
    assert "Erika" not in error
    with pytest.raises(RuntimeError):
        run("sources", "list")
