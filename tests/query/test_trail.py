"""What is personal is answered only once it was noted, although the answer is written meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from app.accounts.model import Scope
from tests.query.conftest import Caller, Rows


@contextmanager
def _log_away(rows: Rows) -> Iterator[None]:
    rows.connection.execute(text("ALTER TABLE audit_unsealed RENAME TO audit_away"))
    rows.connection.commit()
    try:
        yield
    finally:
        rows.connection.execute(text("ALTER TABLE audit_away RENAME TO audit_unsealed"))
        rows.connection.commit()


@pytest.mark.parametrize("path", ["", "?status=4", "/{}", "/{}?as_of=-0s", "/{}/history"])
def test_what_cannot_be_noted_is_not_answered(rows: Rows, open_caller: Callable[[], Caller], path: str) -> None:
    source = rows.source("s")
    delivery = rows.delivery(source)
    customer = rows.customer(source, last_name="Muster")
    inquiry = rows.inquiry(source, 1, status=4, customer_record_id=customer)
    parts = [{"kind": "inquiry", "keys": ["1"], "fields": {"status": 4}}]
    rows.event(source, delivery, record_id=inquiry, record_kind="inquiry", parts=parts)
    caller, asked = open_caller(), f"/v1/inquiries{path.format(inquiry)}"
    seeing, blind = rows.key(Scope.READ, Scope.READ_PERSONAL), rows.key(Scope.READ)
    with _log_away(rows):
        refused = caller.get(seeing, asked)
        assert refused.status_code == 500, refused.text
        assert "Muster" not in refused.text
        assert caller.get(blind, asked).status_code == 200
    answered = caller.get(seeing, asked)
    assert answered.status_code == 200
    assert len(rows.connection.execute(text("SELECT 1 FROM audit WHERE action = 'personal.read'")).all()) == 1
