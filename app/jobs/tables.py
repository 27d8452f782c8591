"""Describes those of procrastinate's tables that are shown; it makes them itself, see `app.storage.queue`."""

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from app.storage.models.columns import at_

_theirs = MetaData()

jobs = Table(
    "procrastinate_jobs",
    _theirs,
    Column("id", BigInteger, primary_key=True),
    Column("task_name", Text),
    Column("args", JSONB),
    Column("status", Text),
    Column("attempts", Integer),
    at_("scheduled_at"),
)

job_events = Table(
    "procrastinate_events",
    _theirs,
    Column("id", BigInteger, primary_key=True),
    Column("job_id", BigInteger),
    at_("at"),
)
