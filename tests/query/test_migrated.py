"""A migration beside a running service: statements that were prepared before it are made anew."""

from collections.abc import Callable

from sqlalchemy import text

from app.accounts.model import Scope
from tests.query.conftest import Caller, Rows

PREPARED_AFTER = 3


def test_questions_are_answered_again_after_a_migration(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    event = rows.event(source, rows.delivery(source))
    caller = open_caller()
    paths = ("/v1/events", "/v1/events?source=s", f"/v1/events/{event}")

    def answers() -> list[int]:
        return [caller.get(key, path).status_code for path in paths for _ in range(PREPARED_AFTER + 2)]

    def migrate(kind: str) -> None:
        rows.connection.execute(text(f"ALTER TABLE sources ALTER name TYPE {kind}"))
        rows.connection.commit()

    assert set(answers()) == {200}
    try:
        migrate("varchar(63)")
        assert set(answers()) <= {200, 503}
        assert set(answers()) == {200}
    finally:
        migrate("text")
