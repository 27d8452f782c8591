"""Pages end at some MB: of large rows few at a time, none missing, none twice, each of them whole."""

import secrets
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from app.accounts.model import Scope
from app.query import fullness
from app.storage.models import audit, events
from tests.query.conftest import Caller, Rows

BYTES = 3 << 20


def _text(number: int) -> str:
    return secrets.token_hex(number // 2)


def _lay_events(rows: Rows, texts: Sequence[str]) -> list[str]:
    source = rows.source("s")
    deliveries = [rows.delivery(source, number) for number in range(len(texts))]
    record = rows.inquiry(source, 1)
    return [
        str(rows.event(source, one, number, data={"text": text}, record_kind="inquiry", record_id=record))
        for number, (one, text) in enumerate(zip(deliveries, texts, strict=True))
    ]


def _pages(caller: Caller, key: str, query: str, *, posted: bool = False) -> list[Any]:
    """Return all pages of a list of events; none may hold much more than it should."""
    pages: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        asked = dict(one.split("=") for one in query.split("&")) | cursor
        if posted:
            headers = {"Authorization": f"Bearer {key}"}
            answer = caller.client.post("/v1/events/query", json=asked, headers=headers)
        else:
            answer = caller.get(key, "/v1/events", params=asked)
        assert answer.status_code == 200, answer.text
        assert len(answer.content) < fullness.MOST_BYTES + BYTES + 1_000_000
        pages.append(answer.json())
        if pages[-1]["next_cursor"] is None:
            return pages
        cursor = {"cursor": pages[-1]["next_cursor"]}


def _ids(pages: Sequence[Any]) -> list[str]:
    return [row["id"] for page in pages for row in page["data"]]


def _noted(rows: Rows) -> list[list[str]]:
    """Return the ids of each entry about what was read, the first first."""
    found = rows.connection.execute(
        select(audit.c.detail["ids"]).where(audit.c.action == "personal.read").order_by(audit.c.id)
    )
    return [*found.scalars()]


@pytest.mark.parametrize("posted", [False, True])
@pytest.mark.parametrize("query", ["limit=500", "limit=500&verdict=verified", "limit=500&order=asc"])
def test_a_page_of_large_events_ends_early(
    rows: Rows, open_caller: Callable[[], Caller], query: str, *, posted: bool
) -> None:
    texts = [_text(BYTES) for _ in range(6)] + ["short"] + ["x" * BYTES for _ in range(4)]
    made = _lay_events(rows, texts)
    caller, key = open_caller(), rows.key(Scope.READ, Scope.READ_PERSONAL)
    pages = _pages(caller, key, query, posted=posted)
    assert [len(page["data"]) for page in pages] == ([3, 3, 4, 1] if "asc" in query else [3, 4, 3, 1])
    assert _ids(pages) == (made if "asc" in query else made[::-1])
    shown = {row["id"]: row["data"]["text"] for page in pages for row in page["data"]}
    assert shown == dict(zip(made, texts, strict=True))
    if "asc" in query:
        assert [page["caught_up"] for page in pages] == [False, False, False, True]
        assert all(page["follow_cursor"] == page["next_cursor"] for page in pages[:-1])
    assert _noted(rows) == [[row["id"] for row in page["data"]] for page in pages]


def test_many_that_are_not_large_fill_a_page_too(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    made = _lay_events(rows, [_text(60_000) for _ in range(300)])
    pages = _pages(open_caller(), rows.key(Scope.READ, Scope.READ_PERSONAL), "limit=500")
    assert len(pages) == 3
    assert _ids(pages) == made[::-1]


def test_one_that_is_larger_than_a_page_is_answered_alone(
    rows: Rows, open_caller: Callable[[], Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fullness, "MOST_BYTES", 50_000)
    made = _lay_events(rows, [_text(100_000) for _ in range(3)])
    caller, key = open_caller(), rows.key(Scope.READ, Scope.READ_PERSONAL)
    assert [len(page["data"]) for page in _pages(caller, key, "limit=500")] == [1, 1, 1]
    lines = caller.get(key, "/v1/export/events.ndjson?order=asc").content.splitlines()
    assert [orjson.loads(line)["id"] for line in lines] == made
    walled = rows.key(Scope.READ, Scope.READ_PERSONAL, brokers=["B-1"])
    rows.connection.execute(events.update().values(broker="B-1"))
    rows.connection.commit()
    query = "limit=500&type=thinksurance.inquiry.calculated"
    before = len(_noted(rows))
    assert _ids(_pages(caller, walled, query)) == made[::-1]
    assert _noted(rows)[before:] == [[one] for one in made[::-1]]  # what is shown, and no more


def test_what_a_key_may_not_see_takes_no_room(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    made = _lay_events(rows, [_text(BYTES) for _ in range(4)])
    (page,) = _pages(open_caller(), rows.key(Scope.READ), "limit=500")
    assert _ids([page]) == made[::-1]
    assert {row["data"] for row in page["data"]} == {None}


def test_a_history_of_large_changes_ends_early(
    rows: Rows, open_caller: Callable[[], Caller], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fullness, "MOST_BYTES", 150_000)
    source = rows.source("s")
    record = rows.inquiry(source, 1)
    texts = [_text(100_000) for _ in range(5)]
    for number, text in enumerate(texts):
        changes = [{"field": "product_name", "old": None, "new": text}]
        delivery = rows.delivery(source, number)
        rows.event(source, delivery, number, record_kind="inquiry", record_id=record, changes=changes)
    caller, key = open_caller(), rows.key(Scope.READ, Scope.READ_PERSONAL)
    path = f"/v1/inquiries/{record}/history"
    assert len(caller.get(key, f"{path}?limit=500").json()["data"]) == 2
    for order, expected in (("desc", texts[::-1]), ("asc", texts)):
        found = caller.walk(key, f"{path}?limit=500&order={order}")
        assert [entry["changes"][0]["new"] for entry in found] == expected


@pytest.mark.parametrize("scopes", [(Scope.READ, Scope.READ_PERSONAL), (Scope.READ,)])
def test_large_leads_and_deliveries(
    rows: Rows, open_caller: Callable[[], Caller], monkeypatch: pytest.MonkeyPatch, scopes: tuple[Scope, ...]
) -> None:
    monkeypatch.setattr(fullness, "MOST_BYTES", 150_000)
    source = rows.source("s", "wegroup")
    item = {"index": 0, "key": None, "subject": None, "verdict": "verified", "status": "event", "event_id": None}
    leads, deliveries = [], []
    for number in range(5):
        items = [item | {"reason": _text(1000)} for _ in range(100)]
        deliveries.append(str(rows.delivery(source, number, items=items)))
        packages = [{"id": _text(100_000), "name": None, "package_nr": "PK-1"}]
        leads.append(str(rows.lead(source, number, lead_id="findme", policy_packages=packages)))
    caller, key = open_caller(), rows.key(*scopes)
    for path, made in (("/v1/leads", leads), ("/v1/deliveries", deliveries), ("/v1/search?q=findme", leads)):
        query = f"{path}{'&' if '?' in path else '?'}limit=500"
        assert len(caller.found(key, query)) == 2
        found = caller.walk(key, query)
        assert sorted(row["id"] for row in found) == sorted(made)
    for row in caller.walk(key, "/v1/leads?limit=500"):
        detail = caller.get(key, f"/v1/leads/{row['id']}").json()
        assert row["policy_packages"] == detail["policy_packages"]
        assert len(row["policy_packages"][0]["id"]) == 100_000
        assert (row["policy_packages"][0]["package_nr"] is None) is (scopes == (Scope.READ,))
    assert all(len(row["items"]) == 100 for row in caller.walk(key, "/v1/deliveries?limit=500"))


@pytest.mark.parametrize("scopes", [(Scope.READ, Scope.READ_PERSONAL), (Scope.READ,)])
def test_the_documents_of_inquiries_take_room(
    rows: Rows, open_caller: Callable[[], Caller], monkeypatch: pytest.MonkeyPatch, scopes: tuple[Scope, ...]
) -> None:
    monkeypatch.setattr(fullness, "MOST_BYTES", 150_000)
    source = rows.source("s")
    purpose = _text(50_000) + '\x01\n\u2028"/\\ü😀'  # PostgreSQL writes it
    made = []
    for number in range(5):
        made.append(str(rows.inquiry(source, number, number)))
        for name in ("a", "b"):
            rows.document(source, number, hash=f"{number}{name}", name=name, full_name=name, purpose=purpose)
    caller, key = open_caller(), rows.key(*scopes)
    for query in ("/v1/inquiries?limit=500", "/v1/inquiries?limit=500&inquiry_id[gte]=0"):
        assert len(caller.found(key, query)) == 2
        found = caller.walk(key, query)
        assert [row["id"] for row in found] == made[::-1]
        for row in found:
            shown = caller.get(key, f"/v1/inquiries/{row['id']}").json()["documents"]
            assert row["documents"] == shown
            assert [one["hash"][1:] for one in shown] == ["a", "b"]
            assert {one["purpose"] for one in shown} == {purpose}
            whole = {one["hash"]: one for one in caller.found(key, f"/v1/documents?inquiry_id={row['inquiry_id']}")}
            assert [{name: whole[one["hash"]][name] for name in one} for one in shown] == shown


def test_the_customers_of_a_page_of_inquiries_count(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    """Each inquiry is shown with its customer, who may be the same of all, and outside of a key's wall."""
    source, references = rows.source("s"), {"crm\x1fno": {"origin": "crm", "key": "no", "value": _text(BYTES)}}
    customer = rows.customer(source, brokers=["B-1", "B-2"], external_references=references)
    made = [
        str(rows.inquiry(source, number, number, broker_external_id="B-1", customer_record_id=customer))
        for number in range(7)
    ]
    caller, key = open_caller(), rows.key(Scope.READ)
    pages = _walked(caller, key, "/v1/inquiries?limit=500&order=asc")
    assert [row["id"] for page in pages for row in page] == made
    assert max(map(len, pages)) <= 4
    assert {len(row["customer"]["external_references"][0]["value"]) for page in pages for row in page} == {BYTES}
    assert [len(page) for page in _walked(caller, rows.key(Scope.READ, brokers=["B-1"]), "/v1/inquiries?limit=9")] == [
        7
    ]


def _walked(caller: Caller, key: str, path: str) -> list[list[Any]]:
    """Return the rows of all pages of a list, page by page."""
    pages, cursor = [], ""
    while cursor is not None:
        page = caller.get(key, f"{path}&cursor={cursor}" if cursor else path).json()
        cursor = page["next_cursor"]
        pages.append(page["data"])
    return pages


@pytest.mark.parametrize(("events_laid", "status"), [(3, 200), (6, 422)])
def test_what_is_folded_anew_has_a_bound(
    rows: Rows, open_caller: Callable[[], Caller], events_laid: int, status: int
) -> None:
    """A customer's history and a record as it was are made of all that its events said, however large a page is."""
    source = rows.source("s")
    customer = rows.customer(source, identity="c:1", brokers=["B-1"])
    inquiry = rows.inquiry(source, 1, customer_record_id=customer)
    value = _text(BYTES)
    for number in range(events_laid):
        references = {"crm\x1fno": {"origin": "crm", "key": "no", "value": f"{number}{value}"}}
        fields = {"last_name": "Muster", "external_references": references}
        parts = [
            {"kind": "inquiry", "keys": ["1"], "fields": {"inquiry_id": 1, "customer_key": "c:1"}},
            {"kind": "customer", "keys": ["c:1"], "fields": fields},
        ]
        told = {"record_kind": "inquiry", "record_id": inquiry, "customer_id": customer, "parts": parts}
        rows.event(source, rows.delivery(source, number), number, **told)
    caller, key = open_caller(), rows.key(Scope.READ, Scope.READ_PERSONAL)
    for path in (f"/v1/customers/{customer}/history", f"/v1/inquiries/{inquiry}?as_of=%2B1h"):
        answer = caller.get(key, path)
        assert answer.status_code == status, path
        assert status == 200 or answer.json()["code"] == "too-much-told"
