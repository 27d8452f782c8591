"""Fields that appeared, vanished or changed their type: told with an example, and not before there is a pattern."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.accounts.model import Scope
from app.query.drift import EXPECTED, LEARNED
from app.query.schemas.drift import DriftPage
from app.storage.models import shapes
from tests.query.conftest import Caller, Rows

NOW = datetime.now(UTC)
ITEMS = 1000
KIND = "thinksurance.inquiry"


def _form(rows: Rows, source: UUID, path: str, type_: str = "text", **more: Any) -> UUID:
    """Write a form that was seen in all of a thousand items, but for what is said otherwise."""
    values = {"count": ITEMS, "items_before": 0, "items_until": ITEMS} | more
    form_id = rows.id_at(rows.made)
    rows.insert(
        shapes,
        id=form_id,
        source_id=source,
        kind=KIND,
        path=path,
        type=type_,
        **{"first_event_id": rows.id_at(0), "first_seen_at": NOW, "last_seen_at": NOW, **values},
    )
    return form_id


@pytest.fixture
def source(rows: Rows) -> UUID:
    """A source of a thousand items."""
    source_id = rows.source("ts", recipe_proven_at=NOW)
    _form(rows, source_id, "", "object")
    return source_id


def _found(caller: Caller, key: str, query: str = "") -> dict[str, str]:
    response = caller.get(key, f"/v1/drift{query}")
    assert response.status_code == 200, response.text
    page = DriftPage.model_validate(response.json())
    return {f"{row.path}:{row.type}": row.change for row in page.data}


def test_what_drifted_is_told_and_nothing_else(rows: Rows, source: UUID, open_caller: Callable[[], Caller]) -> None:
    _form(rows, source, "always")
    _form(rows, source, "rare-from-the-start", count=3, items_before=LEARNED - 1, items_until=500)
    _form(rows, source, "new", items_before=LEARNED, count=1, items_until=LEARNED + 1)
    _form(rows, source, "gone", items_until=ITEMS - LEARNED, count=ITEMS - LEARNED)
    _form(rows, source, "just-missing", items_until=ITEMS - LEARNED + 1, count=ITEMS - LEARNED + 1)
    _form(rows, source, "seldom", items_until=ITEMS - LEARNED, count=150)
    _form(rows, source, "once", items_until=1, count=1)
    _form(rows, source, "changing", "number", count=500, items_until=500)
    _form(rows, source, "changing", "text", count=500, items_before=500)
    _form(rows, source, "both-early", "number")
    _form(rows, source, "both-early", "text", items_before=LEARNED - 1)
    _form(rows, source, "known-at-last", "null")
    _form(rows, source, "known-at-last", "text", items_before=500)
    _form(rows, source, "unknown-now", "text")
    _form(rows, source, "unknown-now", "null", items_before=500)
    caller, key = open_caller(), rows.key(Scope.READ)
    assert _found(caller, key) == {
        "new:text": "appeared",
        "gone:text": "vanished",
        "changing:text": "type-changed",
    }
    assert LEARNED >= EXPECTED
    (changed,) = caller.found(key, "/v1/drift?change=type-changed")
    assert (changed["types_before"], changed["count"], changed["share"]) == (["number"], 500, 1.0)
    assert changed["links"]["first_event"] == f"/v1/events/{changed['first_event_id']}"
    assert caller.get(key, changed["links"]["self"]).json() == changed


def test_filters_and_pages(rows: Rows, source: UUID, open_caller: Callable[[], Caller]) -> None:
    for name in ("one", "two", "three"):
        _form(rows, source, f"data.{name}", items_before=500)
    _form(rows, source, "customer.new", items_before=500, first_seen_at=NOW - timedelta(days=9))
    caller, key = open_caller(), rows.key(Scope.READ)
    assert list(_found(caller, key, "?path[prefix]=DÁTA.")) == ["data.three:text", "data.two:text", "data.one:text"]
    assert list(_found(caller, key, "?first_seen_at[lt]=-7d&source=ts&kind=" + KIND)) == ["customer.new:text"]
    assert _found(caller, key, "?change=vanished") == {}
    page = caller.get(key, "/v1/drift?limit=3&count=exact").json()
    rest = caller.get(key, f"/v1/drift?limit=3&cursor={page['next_cursor']}").json()
    assert (page["count"], len(page["data"]), len(rest["data"])) == (4, 3, 1)
    assert caller.get(key, "/v1/drift?change=other").status_code == 422


def test_walls_hold(rows: Rows, source: UUID, open_caller: Callable[[], Caller]) -> None:
    drifted = _form(rows, source, "new", items_before=500)
    other = rows.source("other")
    caller = open_caller()
    assert _found(caller, rows.key(Scope.READ, source_ids=[source])) != {}
    for key in (rows.key(Scope.READ, source_ids=[other]), rows.key(Scope.READ, brokers=["B-1"])):
        assert _found(caller, key) == {}
        assert caller.get(key, f"/v1/drift/{drifted}").status_code == 404
    assert caller.get(rows.key(Scope.WRITE), "/v1/drift").status_code == 403


def test_recent_drift_needs_somebody(rows: Rows, source: UUID, open_caller: Callable[[], Caller]) -> None:
    caller, key = open_caller(), rows.key(Scope.READ)

    def notices() -> list[Any]:
        return [one for one in caller.found(key, "/v1/attention") if one["kind"] == "shape-drift"]

    _form(rows, source, "old", items_before=500, first_seen_at=NOW - timedelta(days=9))
    assert notices() == []
    _form(rows, source, "new", items_before=500)
    (notice,) = notices()
    assert (notice["severity"], notice["count"], notice["link"]) == ("info", 1, "/v1/drift?source=ts")
    assert notice["sentence"] == "Items of ts look otherwise than before: 1 appeared."
    _form(rows, source, "gone", items_until=500, count=500)
    _form(rows, source, "gone.too", items_until=500, count=500)
    (notice,) = notices()
    assert (notice["severity"], notice["count"]) == ("warning", 3)
    assert notice["sentence"] == "Items of ts look otherwise than before: 1 appeared, 2 vanished."
    assert caller.found(rows.key(Scope.READ, source_ids=[]), "/v1/attention") == []
