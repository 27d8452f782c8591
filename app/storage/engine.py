"""Opens SQLAlchemy engines for questions.

Plain connections for writers and the migration are opened in `database`.
"""

import re

import orjson
from sqlalchemy import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.storage.database import CONNECT_TIMEOUT_S

READ_OPTIONS = (
    "-c statement_timeout=5s -c lock_timeout=2s -c timezone=UTC -c jit=off -c max_parallel_workers_per_gather=0"
)


def engine_url(url: str) -> URL:
    """Return the SQLAlchemy URL of a `postgresql://` URL: the driver is psycopg."""
    return make_url(re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url))


def open_read_engine(url: str, *, pool_size: int = 5) -> AsyncEngine:
    """Return an engine for questions: bounded statements, bounded pool."""
    return create_async_engine(
        engine_url(url),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=5,
        pool_pre_ping=True,
        hide_parameters=True,  # error texts would hold what was asked for, persons too
        json_deserializer=orjson.loads,
        connect_args={"options": READ_OPTIONS, "connect_timeout": CONNECT_TIMEOUT_S, "prepare_threshold": 3},
    )
