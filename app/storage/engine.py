"""Opens SQLAlchemy engines for questions.

Plain connections for writers and the migration are opened in `database`.
"""

import select
from typing import Any

import orjson
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ConnStatus, TransactionStatus
from sqlalchemy import URL, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.storage.database import CONNECT_TIMEOUT_S, lively

READ_OPTIONS = (
    "-c statement_timeout=5s -c lock_timeout=2s -c timezone=UTC -c jit=off -c max_parallel_workers_per_gather=0"
    # Statistics: they sort some 100,000 small rows, and join and group them month by month.
    " -c work_mem=32MB -c enable_partitionwise_join=on -c enable_partitionwise_aggregate=on"
)

_EACH_TIME, _ONCE = "force_custom_plan", "force_generic_plan"
"""When a prepared statement is planned. Once for all values, one reads a whole table where a value is rare; each time
anew, one that every month may answer takes longer to plan than to answer."""


def engine_url(url: str) -> URL:
    """Return the SQLAlchemy URL of a `postgresql://` URL: the driver is psycopg.

    libpq takes the URL apart, for one that names several servers is none to SQLAlchemy.
    """
    parts = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    if "," in parts.get("host", "") and "," not in parts.get("port", ","):
        parts["port"] = ",".join([parts["port"]] * len(parts["host"].split(",")))  # to libpq one port is that of all
    user, password, name = (parts.pop(part, None) for part in ("user", "password", "dbname"))
    return URL.create("postgresql+psycopg", user, password, database=name, query=parts)


def open_read_engine(url: str, *, pool_size: int = 5, planned_once: bool = False) -> AsyncEngine:
    """Return an engine for questions: bounded statements, bounded pool, each statement committed by itself.

    `planned_once` is for statements whose best plan is the same whatever their values.
    """
    options = f"{READ_OPTIONS} -c plan_cache_mode={_ONCE if planned_once else _EACH_TIME}"
    engine = create_async_engine(
        engine_url(lively(url)),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=5,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        hide_parameters=True,  # error texts would hold what was asked for, persons too
        json_deserializer=orjson.loads,
        connect_args={"options": options, "connect_timeout": CONNECT_TIMEOUT_S, "prepare_threshold": 3},
    )
    event.listen(engine.sync_engine, "checkout", check_is_open)
    return engine


def in_transactions(engine: AsyncEngine) -> AsyncEngine:
    """Return an engine over the same connections that begins transactions, to be committed."""
    return engine.execution_options(isolation_level="READ COMMITTED")


def check_is_open(connection: Any, _record: object, _proxy: object) -> None:
    """Have a connection made anew that the server has ended since it was used, or that was left in the middle.

    Nothing is to be read from one at rest but its end. To ask the server instead would be another way there and back
    before each question.
    """
    pgconn = connection.driver_connection.pgconn
    if pgconn.status != ConnStatus.OK or pgconn.transaction_status != TransactionStatus.IDLE:
        raise DisconnectionError
    waiting = select.poll()
    waiting.register(pgconn.socket, select.POLLIN)
    if waiting.poll(0):
        raise DisconnectionError
