"""Hears what questions ask of the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest


@contextmanager
def overheard() -> Iterator[list[tuple[str, Any]]]:
    """Give the statements that are executed meanwhile, with their parameters."""
    seen: list[tuple[str, Any]] = []
    execute = psycopg.AsyncCursor.execute

    def listening(cursor: Any, statement: Any, values: Any = None, **more: Any) -> Any:
        seen.append((str(statement), values))
        return execute(cursor, statement, values, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.AsyncCursor, "execute", listening)
        yield seen
