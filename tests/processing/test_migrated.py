"""A migration beside an active processor: that its statements are outdated is no fault of the deliveries."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from app.processing.processor import DatabaseTroubleError
from tests.processing.conftest import Desk

PREPARED_AFTER = 5


def test_a_migration_puts_nothing_into_quarantine(desk: Desk, item: Callable[..., dict[str, Any]]) -> None:
    for number in range(2 * PREPARED_AFTER):
        desk.lay(item(number + 1))
        desk.process()
    laid = desk.lay(item(1))
    login = desk.database.info
    with psycopg.connect(login.dsn, password=login.password, autocommit=True) as migrating:
        migrating.execute("ALTER TABLE outcomes ALTER items TYPE json")
    with pytest.raises(DatabaseTroubleError) as trouble:
        desk.processor.step()
    assert list(trouble.value.ids) == [laid], "of whom none counts an attempt"
