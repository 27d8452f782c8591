"""What is answered once old months were dropped: records as before, the past as far as it is kept, never an error."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.accounts.model import Scope
from app.crypto import Vault
from app.ids import derived_id, first_id_at
from app.processing import retention
from app.processing.batch import Circumstances
from app.processing.processor import Processor
from app.providers import PROVIDERS
from app.query.schemas.inquiries import Inquiry
from app.query.schemas.parts import History
from app.storage.database import connect
from app.storage.partitions import ensure_partitions, month_before, months_around
from app.times import now, to_text
from tests.conftest import PATIENCE_S
from tests.processing.conftest import ZONE, Desk
from tests.query.conftest import Caller, Rows

FIRST = months_around(now(), 0)[0][0] + timedelta(days=2)
"""In a month that is dropped 14 months later."""
LATER = months_around(FIRST, 14)[-1][0] + timedelta(days=15)
LAST = month_before(LATER, 1) + timedelta(days=9)
"""In a month that is kept then."""

ERIKA = {"cId": 5, "cExternalId": "K-5", "cLastName": "Beispiel", "cFirstName": "Erika", "cCity": "Köln"}
CITY = "customer.address.city"


@dataclass
class Past:
    """An inquiry with a customer, news of which came twice long ago and once lately; and what is asked of it."""

    desk: Desk
    key: str
    plain: str
    walled: str
    caller: Caller
    ids: Mapping[str, UUID] = field(default_factory=dict)

    def lay(self, name: str, at: datetime, body: Any, source_id: UUID | None = None) -> None:
        delivery_id = self.desk.lay(body, source_id, derived_id(first_id_at(at), name))
        self.ids = {**self.ids, name: delivery_id}
        self.desk.process()

    def drop(self) -> None:
        """Drop what is old 14 months later."""
        processor = Processor(
            self.desk.database,
            lambda: Circumstances(PROVIDERS, self.desk.sources, self.desk.vault, ZONE),
            12,
            lambda: LATER,
        )
        end = time.monotonic() + PATIENCE_S
        while processor.drop_old():
            assert time.monotonic() < end

    def ask(self, path: str, key: str | None = None, status: int = 200) -> Any:
        answer = self.caller.get(key or self.key, path)
        assert answer.status_code == status, answer.text
        found = answer.json()
        if path.startswith("/v1/stats"):
            del found["as_of"]  # the moment of the question
        return found

    def record(self, name: str) -> str:
        (row,) = self.ask(f"/v1/{name}")["data"]
        return f"/v1/{name}/{row['id']}"


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once: the server's own upkeep may hold a lock for a moment."""
    monkeypatch.setattr(retention, "AGAIN", timedelta(0))


@pytest.fixture
def past(
    rows: Rows, database_url: str, vault: Vault, open_caller: Callable[[], Caller], item: Callable[..., dict[str, Any]]
) -> Iterator[Past]:
    with closing(connect(database_url)) as connection:
        desk = Desk(connection, vault)
        ensure_partitions(connection, LAST, 1)
        everything = (Scope.READ, Scope.READ_PERSONAL)
        keys = rows.key(*everything, Scope.WRITE), rows.key(Scope.READ), rows.key(*everything, brokers=["42"])
        past = Past(desk, *keys, open_caller())
        hour = timedelta(hours=1)
        docs = {"docToken": {"token": "t", "expired": "2026-05-01 12:00:00"}, "files": [{"hash": "h", "name": "A.pdf"}]}
        first = item(7, customer=ERIKA, status=3, productName="Haftpflicht")
        past.lay("first", FIRST, first | {"docs": docs})
        past.lay("second", FIRST + hour, item(7, iUpdated="2026-01-03", status=4, customer={"cId": 5, "cCity": "Bonn"}))
        past.lay("lead", FIRST, {"id": "lead-1", "event": "lead.created", "first_name": "Lotte"}, desk.wegroup)
        past.lay("last", LAST, item(7, iUpdated="2026-01-04", status=6, customer={"cId": 5, "cCity": "Ulm"}))
        yield past


@pytest.fixture
def item() -> Callable[..., dict[str, Any]]:
    def make(inquiry_id: int, *, customer: dict[str, Any], **data: Any) -> dict[str, Any]:
        known = {"bToken": "0123456789abcdef", "bExternalId": "42", "iId": inquiry_id, "iUpdated": "2026-01-02"}
        return {"sHash": "0" * 32, "data": known | data, "customer": customer}

    return make


def test_records_are_answered_as_before(past: Past) -> None:
    inquiry, customer = past.record("inquiries"), past.record("customers")
    paths = [
        *(f"/v1/{name}" for name in ("inquiries", "customers", "leads", "documents", "brokers")),
        *(inquiry, customer, past.record("leads")),
        "/v1/search?q=Beispiel",
        "/v1/stats/inquiries?group_by=status,broker",
        "/v1/stats/leads?group_by=kind",
        f"{inquiry}?as_of={to_text(LAST)}",
        f"{inquiry}?as_of={to_text(LATER)}",
    ]
    before = {(path, key): past.ask(path, key) for path in paths for key in (past.key, past.plain)}
    walled = past.ask(f"{inquiry}?as_of={to_text(LAST)}", past.walled)
    entries = {path: past.ask(f"{path}/history")["data"] for path in (inquiry, customer)}
    assert [len(one) for one in entries.values()] == [3, 3]
    past.drop()
    for (path, key), answer in before.items():
        assert past.ask(path, key) == answer, path
    assert past.ask(f"{inquiry}?as_of={to_text(LAST)}", past.walled) == walled
    whole_from = to_text(months_around(FIRST, 0)[0][1])
    for path in (inquiry, customer):
        for key in (past.key, past.walled):
            history = past.ask(f"{path}/history", key)
            assert History.model_validate(history)
            assert history["complete_from"] == whole_from
            assert history["data"] == entries[path][:1], "with the old values as they were"
        hidden = past.ask(f"{path}/history", past.plain)["data"][0]
        (city,) = [one for one in hidden["changes"] if one["field"].endswith("address.city")]
        assert city["old"] is city["new"] is None
    assert past.ask(f"{past.record('leads')}/history") == {"data": [], "next_cursor": None, "complete_from": whole_from}


def test_old_values_of_a_person_stay_hidden_when_others_who_told_them_are_dropped(
    past: Past, item: Callable[..., dict[str, Any]]
) -> None:
    past.lay("foreign", FIRST, item(8, bExternalId="41", customer={"cId": 8, "cCity": "Trier"}))
    past.lay("own", LAST, item(8, iUpdated="2026-01-05", status=6, customer={"cId": 8, "cCity": "Mainz"}))
    (inquiry,) = past.ask("/v1/inquiries?inquiry_id=8", past.walled)["data"]

    def told(key: str) -> Any:
        history = past.ask(f"/v1/inquiries/{inquiry['id']}/history", key)["data"][0]
        (event,) = past.ask("/v1/events?subject=inquiry/8&order=desc&limit=1", key)["data"]
        return [
            (next(one for one in each["changes"] if one["field"] == CITY), each["redacted"])
            for each in (history, event)
        ]

    assert told(past.walled) == [({"field": CITY, "old": None, "new": "Mainz"}, ["changes"])] * 2
    past.drop()
    assert told(past.key) == [({"field": CITY, "old": "Trier", "new": "Mainz"}, [])] * 2
    assert told(past.walled) == [({"field": CITY, "old": None, "new": "Mainz"}, ["changes"])] * 2


def test_the_past_that_is_not_kept_is_not_made_up(past: Past) -> None:
    inquiry = past.record("inquiries")
    between, earlier = FIRST + timedelta(minutes=30), FIRST - timedelta(hours=1)
    assert past.ask(f"{inquiry}?as_of={to_text(between)}")["status"] == 3
    past.drop()
    problem = past.ask(f"{inquiry}?as_of={to_text(between)}", status=410)
    assert problem["code"] == "not-kept"
    assert to_text(months_around(FIRST, 0)[0][1]) in problem["detail"]
    past.ask(f"{inquiry}?as_of={to_text(earlier)}", status=404)
    exact = past.ask(f"{inquiry}?as_of={to_text(FIRST + timedelta(hours=2))}")
    assert Inquiry.model_validate(exact).status == 4


def test_who_asks_for_what_is_gone_is_told_so(past: Past) -> None:
    event = past.ask(f"/v1/events?delivery_id={past.ids['first']}")["data"][0]["id"]
    feed = {name: past.ask(f"/v1/{name}?order=asc&limit=1") for name in ("deliveries", "events")}
    past.drop()
    month = f"what was received in {FIRST:%Y-%m} is no longer kept"
    gone = past.ids["first"]
    for path in (f"/v1/deliveries/{gone}", f"/v1/deliveries/{gone}/body", f"/v1/events/{event}"):
        assert month in past.ask(path, status=404)["detail"]
        assert month in past.ask(path, past.walled, status=404)["detail"], "whoever asks, of whatever was then"
    assert past.caller.post(past.key, f"/v1/deliveries/{gone}/replay").status_code == 404
    for name, page in feed.items():
        assert not page["caught_up"]
        followed = past.ask(f"/v1/{name}?order=asc&cursor={page['follow_cursor']}")
        assert followed["data"][0]["received_at"] == to_text(LAST), "the oldest that is kept"
        assert followed["caught_up"]
        past.lay(f"new {name}", LAST + timedelta(days=1, seconds=len(name)), {"id": f"lead-{name}"}, past.desk.wegroup)
        (new,) = past.ask(f"/v1/{name}?order=asc&cursor={followed['follow_cursor']}")["data"]
        assert new["provider"] == "wegroup"


def test_all_else_is_answered_too(past: Past) -> None:
    past.drop()
    for path in (
        "/v1/stats/deliveries?group_by=source,status",
        "/v1/stats/funnel?from=3&to=6",
        "/v1/attention",
        "/v1/gaps",
        "/v1/drift",
        "/v1/sources",
        f"/v1/deliveries?received_at[lt]={to_text(LATER)}",
        "/v1/events?type=thinksurance.inquiry.ordered",
    ):
        past.ask(path)
    for name in ("events", "inquiries", "customers", "leads"):
        answer = past.caller.get(past.key, f"/v1/export/{name}.ndjson")
        assert answer.status_code == 200
        assert len(answer.text.splitlines()) == 1, name
