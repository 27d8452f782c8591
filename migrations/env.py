"""Runs the migrations: bounded waits for locks, one transaction for each migration.

Who migrates first is settled by the advisory lock of `app.storage.database.migrate`.
"""

import os

from alembic import context
from sqlalchemy import create_engine, pool
from sqlalchemy.schema import SchemaItem

from app.storage.engine import engine_url
from app.storage.models import PARTITIONED, metadata
from app.storage.queue import PREFIX as QUEUE_PREFIX

_PARENTS = tuple(table.name for table in PARTITIONED)


def _is_ours(item: SchemaItem, name: str | None, kind: str, _reflected: bool, _compare_to: SchemaItem | None) -> bool:
    """Leave out the monthly partitions and the job queue: `app.storage.partitions` and `queue` make these."""
    table = name if kind == "table" else getattr(getattr(item, "table", None), "name", None)
    if table and table.startswith(QUEUE_PREFIX):
        return False
    return not (table and table not in _PARENTS and table.startswith(tuple(f"{parent}_" for parent in _PARENTS)))


def run() -> None:
    """Connect and run what the command asks for."""
    url = context.config.attributes.get("url") or os.environ["CALLBOX_DATABASE_URL"]
    engine = create_engine(
        engine_url(url),
        poolclass=pool.NullPool,
        connect_args={"options": "-c lock_timeout=10s -c statement_timeout=30min"},
    )
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            include_object=_is_ours,
            transaction_per_migration=True,
            compare_server_default=False,
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
