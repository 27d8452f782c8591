"""The migrations and what stands around them."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from app.ids import IdSource, first_id_at
from app.storage.database import (
    MIGRATIONS,
    DatabaseError,
    connect,
    described,
    lively,
    migrate,
    newest_revision,
    present_revision,
)
from app.storage.models import PARTITIONED
from app.storage.partitions import PARTITION_KEYS, ensure_partitions, month_before


def _alembic(url: str) -> Config:
    config = Config(toml_file=MIGRATIONS.parent / "pyproject.toml")
    config.attributes["url"] = url
    return config


def test_migrations_go_up_down_and_up_again_and_leave_no_drift(database_url: str) -> None:
    config = _alembic(database_url)
    command.downgrade(config, "base")
    with connect(database_url) as connection:
        left = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname !~ '^alembic'"
        ).fetchall()
    assert left == []
    command.upgrade(config, "head")
    command.check(config)


def test_the_newest_revision_is_what_alembic_ends_at(database_url: str) -> None:
    with connect(database_url) as connection:
        assert present_revision(connection) == newest_revision()


def test_four_migrators_at_once_do_not_collide(new_database: Callable[[], str]) -> None:
    url = new_database()
    command.downgrade(_alembic(url), "base")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, [url] * 4))
    with connect(url) as connection:
        assert present_revision(connection) == newest_revision()


def test_tables_in_use_are_named_and_the_next_migration_goes_on(new_database: Callable[[], str]) -> None:
    url = new_database()
    command.downgrade(_alembic(url), "0004")
    with connect(url, autocommit=False) as batch, connect(url) as watch, ThreadPoolExecutor(1) as pool:
        batch.execute("SET deadlock_timeout = '1h'")
        batch.execute("LOCK TABLE inquiries IN ROW EXCLUSIVE MODE")
        migrating = pool.submit(migrate, url)
        _until_it_waits(watch, migrating, "inquiries")
        batch.execute("LOCK TABLE outcomes IN ROW EXCLUSIVE MODE")
        with pytest.raises(DatabaseError, match=r"tables are in use.*--no-work"):
            migrating.result()
    migrate(url)
    with connect(url) as connection:
        assert present_revision(connection) == newest_revision()


def test_a_batch_under_way_goes_on_while_indexes_of_brokers_wait_for_it(new_database: Callable[[], str]) -> None:
    """The migration takes its locks in the order in which processing writes; one of both would end the other else."""
    url = new_database()
    command.downgrade(_alembic(url), "0008")
    with connect(url, autocommit=False) as batch, connect(url) as watch, ThreadPoolExecutor(1) as pool:
        batch.execute("LOCK TABLE customers IN ROW EXCLUSIVE MODE")
        migrating = pool.submit(migrate, url)
        _until_it_waits(watch, migrating, "customers")
        batch.execute("LOCK TABLE documents, events, outcomes IN ROW EXCLUSIVE MODE")
        batch.commit()
        migrating.result()
        assert present_revision(watch) == newest_revision()


def _until_it_waits(watch: psycopg.Connection[Any], migrating: Future[None], table: str) -> None:
    """Come back once the migration waits for a table."""
    waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
    while watch.execute(waiting, (table,)).fetchone() is None:
        assert not migrating.done()


def test_partitions_reach_three_months_ahead_and_take_rows_from_the_default_one(database_url: str) -> None:
    moment = datetime(2031, 11, 30, tzinfo=UTC)
    late = IdSource(first_id_at(datetime(2032, 1, 15, tzinfo=UTC))).next()
    with connect(database_url) as connection:
        connection.execute(
            "INSERT INTO deliveries (id, source_id, received_at, via, method, answered, verdict, size, judged,"
            " body_sha256, remote_addr, query, headers, body)"
            " VALUES (%s, %s, now(), 0, 0, 200, 0, 0, '', '', '', '', '', '')",
            (late, IdSource().next()),
        )
        made = ensure_partitions(connection, moment)
        again = ensure_partitions(connection, moment)
        where = connection.execute("SELECT tableoid::regclass::text FROM deliveries").fetchone()
    months = ["203111", "203112", "203201", "203202"]
    assert made == [f"{table}_{month}" for table in ("deliveries", "outcomes", "events") for month in months]
    assert again == []
    assert where == ("deliveries_203201",)


@pytest.mark.parametrize(
    ("moment", "months", "start"),
    [("2027-01-31", 0, "2027-01-01"), ("2027-01-31", 1, "2026-12-01"), ("2027-03-01", 14, "2026-01-01")],
)
def test_months_are_counted_back_over_the_year(moment: str, months: int, start: str) -> None:
    given, first = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (moment, start))
    assert month_before(given, months) == first


def test_the_partitioned_tables_are_those_of_the_models() -> None:
    assert {table.name: table.primary_key.columns.values()[0].name for table in PARTITIONED} == PARTITION_KEYS


def test_a_partition_has_the_indexes_of_its_parent(database_url: str) -> None:
    with connect(database_url) as connection:
        count = sql.SQL("SELECT count(*) FROM pg_index WHERE indrelid = {}::regclass")
        of_parent = connection.execute(count.format(sql.Literal("events"))).fetchone()
        month = f"events_{datetime.now(UTC):%Y%m}"
        assert connection.execute(count.format(sql.Literal(month))).fetchone() == of_parent


def test_a_database_that_is_away_is_named_without_its_password() -> None:
    url = "postgresql://somebody:hush@127.0.0.1:1/nothing"
    with pytest.raises(DatabaseError) as caught:
        connect(url)
    assert "127.0.0.1" in str(caught.value)
    assert "hush" not in str(caught.value)
    assert described(url) == "host=127.0.0.1 port=1 dbname=nothing"


def test_what_an_address_says_of_keepalives_holds() -> None:
    told = conninfo_to_dict(lively("postgresql://u:hush@a,b:6432/x?keepalives_idle=60&target_session_attrs=read-write"))
    assert (told["host"], told["port"], told["password"]) == ("a,b", ",6432", "hush")
    assert (told["keepalives_idle"], told["keepalives_count"], told["tcp_user_timeout"]) == ("60", "5", "15000")
