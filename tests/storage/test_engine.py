"""What libpq takes for a URL, an engine takes too; connections are made anew where the server ended them."""

import asyncio
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine

from app.storage.engine import engine_url, in_transactions, open_read_engine


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("postgresql://h/db", {"host": "h", "dbname": "db"}),
        (
            "postgres://u:p%40x@h:5433/db?sslmode=require",
            {"user": "u", "password": "p@x", "host": "h", "port": "5433", "dbname": "db", "sslmode": "require"},
        ),
        ("postgresql://u@/db?host=/run/x&port=5432", {"user": "u", "host": "/run/x", "port": "5432", "dbname": "db"}),
        (
            "postgresql://h1:1,h2:2/db?target_session_attrs=read-write",
            {"host": "h1,h2", "port": "1,2", "dbname": "db", "target_session_attrs": "read-write"},
        ),
        ("postgresql:///db?host=h1,h2&port=5433", {"host": "h1,h2", "port": "5433,5433", "dbname": "db"}),
    ],
)
def test_the_driver_is_asked_for_what_the_url_says(url: str, asked: dict[str, str]) -> None:
    made = engine_url(url)
    assert made.drivername == "postgresql+psycopg"
    _, told = create_engine(made).dialect.create_connect_args(made)
    told.pop("context")  # the driver's own
    assert told == asked


def test_the_password_is_not_shown() -> None:
    assert "invented" not in repr(engine_url("postgresql://u:invented@h1:1,h2:2/db"))


def test_a_connection_that_the_server_ended_is_made_anew(database_url: str) -> None:
    async def ask() -> tuple[Any, Any, Any]:
        engine = open_read_engine(database_url, pool_size=1)
        pids = []
        for _ in range(2):
            async with engine.connect() as connection:
                pids.append((await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one())
        with psycopg.connect(database_url, autocommit=True) as other:
            ended = other.execute("SELECT pg_terminate_backend(%s, 30000)", (pids[0],)).fetchone()
        async with engine.connect() as connection:
            after = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
        await engine.dispose()
        return pids, ended, after

    pids, ended, after = asyncio.run(ask())
    assert ended == (True,)
    assert pids[0] == pids[1] != after


@pytest.mark.parametrize(("planned_once", "mode"), [(False, "force_custom_plan"), (True, "force_generic_plan")])
def test_statements_are_planned_each_time_or_once(database_url: str, mode: str, *, planned_once: bool) -> None:
    async def ask() -> Any:
        engine = open_read_engine(database_url, pool_size=1, planned_once=planned_once)
        async with engine.connect() as connection:
            found = await connection.exec_driver_sql("SHOW plan_cache_mode")
            told = found.scalar_one()
        await engine.dispose()
        return told

    assert asyncio.run(ask()) == mode


def test_a_connection_that_was_left_within_a_transaction_is_made_anew(database_url: str) -> None:
    async def ask() -> list[int]:
        engine = open_read_engine(database_url, pool_size=1)
        pids = []
        for statement in ("BEGIN", "SELECT 1"):
            async with engine.connect() as connection:
                pids.append((await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one())
                await connection.exec_driver_sql(statement)
        await engine.dispose()
        return pids

    first, second = asyncio.run(ask())
    assert first != second


def test_what_is_not_committed_is_not_there(database_url: str) -> None:
    async def write() -> list[str]:
        engine = open_read_engine(database_url, pool_size=1)
        insert = "INSERT INTO installation VALUES ('{}', '')"
        async with in_transactions(engine).connect() as connection:
            await connection.exec_driver_sql(insert.format("given up"))
        async with in_transactions(engine).begin() as connection:
            await connection.exec_driver_sql(insert.format("committed"))
        async with engine.connect() as connection:
            await connection.exec_driver_sql(insert.format("by itself"))
        async with engine.connect() as connection:
            found = await connection.exec_driver_sql(
                "SELECT key FROM installation WHERE key IN ('given up', 'committed', 'by itself') ORDER BY key"
            )
            kept = [row[0] for row in found]
        await engine.dispose()
        return kept

    assert asyncio.run(write()) == ["by itself", "committed"]
