"""What is personal is answered only once it was noted, although the answer is written meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from app.accounts.model import Scope
from tests.query.conftest import Caller, Rows


@contextmanager
def _away(rows: Rows, table: str = "audit_unsealed") -> Iterator[None]:
    rows.connection.execute(text(f"ALTER TABLE {table} RENAME TO put_away"))
    rows.connection.commit()
    try:
        yield
    finally:
        rows.connection.execute(text(f"ALTER TABLE put_away RENAME TO {table}"))
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
    with _away(rows):
        refused = caller.get(seeing, asked)
        assert refused.status_code == 500, refused.text
        assert "Muster" not in refused.text
        assert caller.get(blind, asked).status_code == 200
    answered = caller.get(seeing, asked)
    assert answered.status_code == 200
    assert len(rows.connection.execute(text("SELECT 1 FROM audit WHERE action = 'personal.read'")).all()) == 1


@pytest.mark.parametrize(
    ("path", "last"), [("inquiries/{}?as_of=-0s", "aliases"), ("search?q=17&kind=inquiry", "documents")]
)
def test_it_is_noted_while_the_rest_is_read(
    rows: Rows, open_caller: Callable[[], Caller], path: str, last: str
) -> None:
    source = rows.source("s")
    inquiry = rows.inquiry(source, 17)
    parts = [{"kind": "inquiry", "keys": ["17"], "fields": {"inquiry_id": 17, "customer_key": "c:1"}}]
    rows.event(source, rows.delivery(source), record_id=inquiry, record_kind="inquiry", parts=parts)
    caller, key = open_caller(), rows.key(Scope.READ, Scope.READ_PERSONAL)
    with _away(rows, last):
        assert caller.get(key, f"/v1/{path.format(inquiry)}").status_code == 500
    noted = rows.connection.execute(text("SELECT detail -> 'ids' FROM audit WHERE action = 'personal.read'")).scalars()
    assert [*noted] == [[str(inquiry)]]
    assert caller.get(key, f"/v1/{path.format(inquiry)}").status_code == 200


def test_a_page_of_nothing_is_noted_where_it_was_asked_for_by_what_is_personal(
    rows: Rows, open_caller: Callable[[], Caller]
) -> None:
    rows.source("s")
    caller, key = open_caller(), rows.key(Scope.READ, Scope.READ_PERSONAL)
    plain = ("events?order=asc", "customers?customer_id=17", "events?changed_to=status:6")
    personal = ("customers?last_name=Muster", "search?q=Muster", "events?changed_to=customer.last_name:Muster")
    for path in (*plain, *personal):
        assert caller.found(key, f"/v1/{path}") == []
    noted = rows.connection.execute(text("SELECT detail FROM audit ORDER BY id")).scalars()
    assert [*noted] == [{"resource": name, "count": 0, "ids": []} for name in ("customers", "search", "events")]
