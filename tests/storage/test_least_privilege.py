"""The roles of docs/database.md, made by the SQL that stands there: the service works, and can do nothing else."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from structlog.testing import capture_logs

from app.accounts import keys, store
from app.accounts.model import Scope
from app.accounts.opening import verify_vault
from app.accounts.writing import Platform
from app.crypto import Vault
from app.processing import retention
from app.processing.retention import drop_waiting
from app.processing.work import Worker
from app.providers import PROVIDERS
from app.storage.database import connect, migrate
from app.storage.embedded_program import own_name
from app.storage.partitions import ensure_partitions, months_around, present_months
from app.storage.upkeep import Upkeep
from app.times import now
from tests.security.service import running
from tests.server.test_supervisor import until
from tests.storage.test_upkeep import LATER

DOCUMENT = Path(__file__).parents[2] / "docs" / "database.md"
BLOCK = re.compile(r"^```sql (\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
MARK = uuid4().hex[:8]


def documented() -> list[tuple[str, str]]:
    """Return who runs what, with names that are this run's own."""
    names = {word: f"{word}_{MARK}" for word in ("callbox_owner", "callbox_service")}
    text = re.sub(r"\bcallbox_(?:owner|service)\b", lambda found: names[found[0]], DOCUMENT.read_text())
    return [(who, re.sub(r"(?<=DATABASE )callbox\b", f"callbox_{MARK}", sql)) for who, sql in BLOCK.findall(text)]


def url_of(server: str, role: str, password: str) -> str:
    """Return the URL of the new database for a role, which the embedded server must be told to let in."""
    parts = conninfo_to_dict(server)
    if not str(parts["host"]).startswith("/"):
        return f"postgresql://{role}:{password}@{parts['host']}:{parts.get('port', 5432)}/callbox_{MARK}"
    with connect(server) as connection:
        hba, ident = (
            Path(str(row[0])) for name in ("hba_file", "ident_file") for row in connection.execute(f"SHOW {name}")
        )
        hba.write_text(f"local all {role} peer map={role}\n" + hba.read_text())
        ident.write_text(f'{role} "{own_name()}" {role}\n' + ident.read_text())
        connection.execute("SELECT pg_reload_conf()")
    return f"postgresql://{role}@/callbox_{MARK}?host={parts['host']}&port={parts['port']}"


def execute(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in filter(None, map(str.strip, statements.split(";"))):
            connection.execute(statement.encode())


@pytest.fixture(scope="module")
def roles(server_url: str) -> Iterator[tuple[str, str]]:
    """The URLs of owner and service, after all that the document says."""
    owner = service = ""
    migrated = False
    try:
        for who, statements in documented():
            if who == "administrator":
                execute(server_url, statements)
                owner = url_of(server_url, f"callbox_owner_{MARK}", "owner-password")
                service = url_of(server_url, f"callbox_service_{MARK}", "service-password")
                until(partial(_lets_in, owner, service), "the new roles")
            elif who == "owner":
                if "alembic_version" in statements:
                    migrate(owner)
                    migrated = True
                execute(owner, statements)
        assert migrated
        yield owner, service
    finally:
        execute(server_url, f"DROP DATABASE IF EXISTS callbox_{MARK} WITH (FORCE)")
        for role in ("owner", "service"):
            execute(server_url, f"DROP ROLE IF EXISTS callbox_{role}_{MARK}")


def _lets_in(*urls: str) -> bool:
    try:
        for url in urls:
            psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.process
def test_the_service_works_without_ddl(
    roles: tuple[str, str], encryption_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Receive, process, read, replay, as the role that may change no table; the log complains of nothing."""
    _, url = roles
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    vault = Vault(encryption_key)
    with connect(url) as connection:
        verify_vault(connection, vault)
        source = store.add_source(connection, vault, Platform("wegroup"), "leads")
        reader = keys.add_key(connection, "reader", [Scope.READ, Scope.READ_PERSONAL, Scope.WRITE]).key
    with running(database_url=url, encryption_key=encryption_key, migrate="off") as service:

        def data(target: str) -> Any:
            answer = service.get(target, reader)
            assert answer.status == 200, answer.body
            return answer.json["data"]

        body = b'{"id": "lead-1", "event": "lead.updated", "prospect": {"first_name": "Lotte"}}'
        path = f"/callbacks/wegroup/{source.token.token}"
        until(lambda: service.ask("GET", path).status == 204, "a source that the receiver knows of")
        kept = service.ask("POST", path, body)
        assert kept.status == 200
        delivery = kept.json["id"]
        until(lambda: len(data("/v1/events")) == 1, "an event")
        assert data("/v1/leads")[0]["first_name"] == "Lotte"
        header = {"Authorization": f"Bearer {reader}"}
        assert service.ask("POST", f"/v1/deliveries/{delivery}/replay", b"", header).status < 300
        with connect(url) as connection:
            until(lambda: connection.execute("SELECT 1 FROM inbox").fetchone() is None, "an empty inbox")
        until(lambda: data("/v1/attention") == [], "nothing to attend to")
        assert service.end() == 0
        log = service.said()["stderr"].decode()
    for word in ("permission denied", "InsufficientPrivilege", "partitions.not_made", '"level": "error"'):
        assert word not in log, log


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE deliveries",
        "DROP TABLE audit",
        "TRUNCATE deliveries",
        "ALTER TABLE api_keys ADD COLUMN spare text",
        "ALTER TABLE deliveries DISABLE TRIGGER ALL",
        "CREATE TABLE spare (id int)",
        "CREATE TEMP TABLE spare (id int)",
        "CREATE INDEX ON deliveries (body)",
        "CREATE FUNCTION spare() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE spare",
        "CREATE DATABASE spare",
        "CREATE SCHEMA spare",
        "SELECT pg_read_file('postgresql.conf')",
        "SELECT pg_ls_dir('.')",
        "COPY sources TO '/tmp/spare'",
        "COPY sources TO PROGRAM 'cat'",
        "ALTER SYSTEM SET fsync = off",
        "SET session_authorization = 'postgres'",
        "SELECT rolpassword FROM pg_authid",
        "UPDATE alembic_version SET version_num = 'another'",
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "UPDATE audit_seals SET number = 0",
    ],
)
def test_the_service_can_do_nothing_else(roles: tuple[str, str], statement: str) -> None:
    with connect(roles[1]) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(statement.encode())
    assert caught.value.sqlstate in {"42501", "22023"}, caught.value  # insufficient privilege; no such role for SET
    if caught.value.sqlstate == "22023":
        assert statement.startswith("SET session_authorization")


@pytest.mark.usefixtures("roles")
def test_a_stranger_cannot_connect(server_url: str) -> None:
    with connect(make_conninfo(server_url, dbname=f"callbox_{MARK}")) as connection:
        question = "SELECT has_database_privilege('pg_monitor', current_database(), 'CONNECT')"
        assert connection.execute(question).fetchone() == (False,)


def test_partitions_are_left_to_the_owner(roles: tuple[str, str]) -> None:
    owner, service = roles
    assert Upkeep(service).turn(), "what is made already needs no right"
    keeper = Upkeep(service, lambda: LATER)
    with capture_logs() as logs:
        assert [keeper.turn(), keeper.turn()] == [False, False]
    (said,) = logs
    assert "`callbox migrate`" in said["reason"]
    assert Upkeep(owner, lambda: LATER).turn()
    assert Upkeep(service, lambda: LATER).turn()
    with connect(service) as connection:
        connection.execute("SELECT count(*) FROM deliveries")
        assert connection.execute(f"SELECT has_table_privilege('deliveries_{LATER:%Y%m}', 'INSERT')").fetchone() == (
            True,
        )


def test_old_months_are_left_to_the_owner(
    roles: tuple[str, str], vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the service may do of it, it does: the last step is `callbox migrate`'s."""
    monkeypatch.setattr(retention, "AGAIN", timedelta(0))  # the server's own upkeep may hold a lock for a moment
    later = months_around(now(), 3)[3][0]
    with connect(roles[0]) as owner, connect(roles[1]) as service, capture_logs() as logs:
        processor = Worker(vault, PROVIDERS, UTC, keep_months=2, clock=lambda: later).on(service)
        until(lambda: not processor.drop_old(), "nothing that the service may do")
        assert "`callbox migrate`" in logs[-1]["reason"]
        (before,) = present_months(owner)[:1]
        until(lambda: drop_waiting(owner, 2, later), "a dropped month")
        assert before not in present_months(owner)
        ensure_partitions(owner, now())
