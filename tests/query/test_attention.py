"""What needs somebody, which brokers there are, how sources fare: each told once, and only to who may know."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.accounts.model import Scope
from app.accounts.opening import verify_vault
from app.accounts.verifying import Checked, Misfit, note_misfit
from app.crypto import Vault
from app.ids import derived_id, first_id_at
from app.query.attention import COUNTED, QUESTIONS
from app.query.counted import MOST_BROKERS
from app.query.schemas.brokers import BrokerPage, NoticePage
from app.query.schemas.receipts import Source
from app.query.source_health import quiet_since
from app.storage.models import brokers, gaps, pulled, searches, source_secrets, spool_states, submissions
from app.storage.partitions import months_around
from app.times import to_text
from tests.query.conftest import START, Caller, Rows, World

NOW = datetime.now(UTC)


def _delivery(rows: Rows, source: Any, hours_ago: float, **more: Any) -> Any:
    at = NOW - timedelta(hours=hours_ago)
    rows.made += 1
    return rows.delivery(source, delivery_id=derived_id(first_id_at(at), rows.made), received_at=at, **more)


def _kinds(caller: Caller, key: str) -> dict[str, Any]:
    response = caller.get(key, "/v1/attention")
    assert response.status_code == 200, response.text
    page = NoticePage.model_validate(response.json())
    return {notice.kind: notice for notice in page.data if notice.kind != "partitions-missing"}


@pytest.fixture
def troubled(rows: Rows) -> Any:
    """A source of which everything is wrong, of broker B-1."""
    rows.source("well", recipe_proven_at=START)
    source = rows.source("ts")
    for reason in ("signature-unproven", "signature-unproven", "not-json"):
        _delivery(rows, source, 2, status="quarantined", reason=reason, brokers=["B-1"])
    _delivery(rows, source, 24 * 40, status="quarantined", reason="not-json", brokers=["B-1"])
    _delivery(rows, source, 1, status=None)
    for hours in range(30, 60):
        _delivery(rows, source, hours, brokers=["B-1"])
    inquiry: dict[str, Any] = {"broker_external_id": "B-1", "status": 6}
    rows.inquiry(source, 1, digital_order_success=False, **inquiry)
    rows.inquiry(source, 2, digital_order_success=True, **inquiry)
    document: dict[str, Any] = {"broker_external_id": "B-1", "token_expires_at": NOW + timedelta(hours=5)}
    rows.document(source, 1, hash="a", **document)
    rows.document(source, 1, hash="b", archived_at=NOW, **document)
    rows.document(source, 1, hash="c", **document | {"token_expires_at": NOW + timedelta(days=5)})
    rows.document(source, 1, hash="d", **document | {"token_expires_at": NOW - timedelta(days=5), "state": "expired"})
    for state, due_at in (
        ("accepted", NOW - timedelta(days=1)),
        ("accepted", NOW + timedelta(days=1)),
        ("closed", None),
    ):
        rows.insert(
            submissions,
            id=rows.id_at(0),
            source_id=source,
            kind="forward",
            state=state,
            request={},
            request_sha256=b"",
            broker="B-1",
            due_at=due_at,
        )
    return source


def test_what_needs_somebody(rows: Rows, open_caller: Callable[[], Caller], troubled: Any) -> None:
    caller, key = open_caller(), rows.key(Scope.READ)
    found = _kinds(caller, key)
    assert set(found) == {
        "quarantine",
        "recipe-unproven",
        "processing-behind",
        "submissions-overdue",
        "documents-expiring",
        "documents-lost",
        "order-failed",
    }
    assert troubled
    assert {notice.count for kind, notice in found.items() if kind != "quarantine"} == {1}
    page = caller.found(key, "/v1/attention")
    quarantine = {notice["sentence"]: notice for notice in page if notice["kind"] == "quarantine"}
    assert set(quarantine) == {
        "2 deliveries of ts in quarantine: signature-unproven.",
        "1 delivery of ts in quarantine: not-json.",
    }
    assert page[0]["severity"] == "error"
    for notice in page:
        if notice["link"] and not notice["link"].startswith("/v1/submissions"):
            answer = caller.get(key, notice["link"])
            assert answer.status_code == 200, notice["link"]
            if "data" in answer.json() and notice["kind"] == "order-failed":
                assert len(answer.json()["data"]) == notice["count"]


def test_what_is_of_no_known_source(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    own = rows.source("known", recipe_proven_at=START)
    _delivery(rows, rows.id_at(0), 2, status="quarantined", reason="processing-failed")
    caller = open_caller()
    found = _kinds(caller, rows.key(Scope.READ))["quarantine"]
    assert (found.severity, found.source, found.count) == ("error", None, 1)
    assert found.sentence == "1 delivery of no known source in quarantine: processing-failed."
    assert found.link == "/v1/deliveries?status=quarantined&reason=processing-failed"
    (listed,) = caller.get(rows.key(Scope.READ), found.link).json()["data"]
    assert listed["source"] is None
    assert "quarantine" not in _kinds(caller, rows.key(Scope.READ, source_ids=[own]))


def test_walls_hold(rows: Rows, open_caller: Callable[[], Caller], troubled: Any) -> None:
    caller = open_caller()
    inside = _kinds(caller, rows.key(Scope.READ, source_ids=[troubled], brokers=["B-1"]))
    assert {"quarantine", "submissions-overdue", "documents-expiring", "order-failed"} <= set(inside)
    other = _kinds(caller, rows.key(Scope.READ, brokers=["B-2"]))
    assert not {"quarantine", "submissions-overdue", "documents-expiring", "order-failed"} & set(other)
    assert "recipe-unproven" in inside
    assert "recipe-unproven" not in other, "it waits, but nothing of this key's"
    assert _kinds(caller, rows.key(Scope.READ, source_ids=[])) == {}


def test_where_all_is_well(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s", recipe_proven_at=START)
    _delivery(rows, source, 0.1)
    assert _kinds(open_caller(), rows.key(Scope.READ)) == {}
    assert len(QUESTIONS) + len(COUNTED) == 18  # one of them asks for all that is counted


@pytest.mark.parametrize(
    ("hours", "silent_for", "is_quiet"),
    [
        (range(50, 100), 49.5, True),
        (range(1, 100), 0.5, False),
        ([*range(20, 30), *range(60, 70)], 20.5, False),  # 31 hours were usual
        ([*range(40, 50), *range(60, 70)], 40.5, True),
        (range(50, 55), 49.5, False),  # too few to know
        ([], 400, False),
    ],
)
def test_when_a_source_is_quiet(hours: Any, silent_for: float, is_quiet: bool) -> None:
    last = NOW - timedelta(hours=silent_for)
    assert quiet_since(last, list(hours), NOW) == (last if is_quiet else None)
    assert quiet_since(None, list(hours), NOW) is None


def test_a_source_that_has_gone_quiet(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s", recipe_proven_at=START), rows.key(Scope.READ)
    for hours in range(40):
        last = _delivery(rows, source, 60.5 + hours)
    assert last
    caller = open_caller()
    assert _kinds(caller, key)["source-quiet"].source == "s"
    assert caller.get(key, "/v1/sources/s").json()["quiet_since"] is not None
    _delivery(rows, source, 0.1)
    assert _kinds(caller, key) == {}


def test_what_is_dated_in_the_future_counts_by_when_it_was_stored(
    rows: Rows, open_caller: Callable[[], Caller]
) -> None:
    """A clock that ran ahead dates what comes after it, too: ids only rise."""
    source, key, ahead = rows.source("s", recipe_proven_at=START), rows.key(Scope.READ), -24 * 40
    for hours in range(40):
        _delivery(rows, source, 60.5 + hours, brokers=["B-1"])
    rows.insert(brokers, source_id=source, key="id:B-1", delivery_id=first_id_at(NOW))
    keys = (key, rows.key(Scope.READ, brokers=["B-1"]))
    caller = open_caller()

    def fares() -> tuple[float, int, bool]:
        """Return how many hours ago the source delivered last, how much in the last day, and whether it is quiet."""
        first, second = (caller.get(one, "/v1/sources/s").json() for one in keys)
        assert first | {"tokens": []} == second | {"tokens": []}
        ago = (NOW - datetime.fromisoformat(first["last_received_at"])) / timedelta(hours=1)
        return round(ago, 1), first["received_24h"], first["quiet_since"] is not None

    _delivery(rows, source, ahead, stored_at=NOW - timedelta(hours=ahead), brokers=["B-1"])
    assert fares() == (60.5, 0, True), "stored by a clock that ran ahead, too: it says nothing"
    _delivery(rows, source, ahead - 1, stored_at=NOW - timedelta(hours=48), brokers=["B-1"])
    assert fares() == (48.0, 0, True)
    _delivery(rows, source, ahead - 2, stored_at=NOW - timedelta(hours=1), brokers=["B-1"])
    assert fares() == (1.0, 1, False)


def test_what_waits_since_the_clock_ran_ahead_is_told(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s", recipe_proven_at=START), rows.key(Scope.READ)
    _delivery(rows, source, -24 * 40, status=None, stored_at=datetime.now(UTC))
    caller = open_caller()
    assert "processing-behind" not in _kinds(caller, key), "it came just now"
    stored_at = NOW - timedelta(hours=2)
    _delivery(rows, source, -24 * 40, status=None, stored_at=stored_at)
    told = _kinds(caller, key)["processing-behind"]
    assert (told.count, told.oldest_at) == (1, to_text(stored_at))
    _delivery(rows, source, 3, status=None)
    told = _kinds(caller, key)["processing-behind"]
    assert (told.count, told.oldest_at) == (2, to_text(NOW - timedelta(hours=3)))


def test_how_sources_fare(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, key = rows.source("s"), rows.key(Scope.READ)
    rows.source("new")
    rows.token(source, "one")
    rows.token(source, "two")
    _delivery(rows, source, 30, status="quarantined")
    _delivery(rows, source, 3, status="quarantined", reason="not-json", brokers=["B-1"])
    rows.connection.exec_driver_sql("UPDATE outcomes SET verdict = 'invalid'")
    rows.connection.commit()
    _delivery(rows, source, 2, status="partial", brokers=["B-2"])
    _delivery(rows, source, 1, brokers=["B-2"])
    caller = open_caller()
    shown = caller.get(key, "/v1/sources/s").json()
    Source.model_validate(shown)
    assert shown == next(row for row in caller.found(key, "/v1/sources") if row["name"] == "s")
    fares = ("received_24h", "quarantined_24h", "verified_share_24h", "tokens", "quiet_since")
    assert [shown[name] for name in fares] == [3, 2, 0.6667, ["one", "two"], None]
    assert shown["last_received_at"] is not None
    walled = caller.get(rows.key(Scope.READ, brokers=["B-1"]), "/v1/sources/s").json()
    assert [walled[name] for name in fares] == [1, 1, 0.0, ["one", "two"], None]
    new = caller.get(key, "/v1/sources/new").json()
    assert [new[name] for name in ("last_received_at", *fares)] == [None, 0, 0, None, [], None]


@pytest.mark.parametrize("others", [0, MOST_BROKERS], ids=["few", "many"])
def test_a_source_is_quiet_for_those_within_a_wall(rows: Rows, open_caller: Callable[[], Caller], others: int) -> None:
    """Few brokers are looked for one by one, of many all that came is gone through."""
    source, other = rows.source("s"), rows.source("other")
    for one, name, hours in ((source, "B-1", 60), (source, "B-2", 1), (other, "B-2", 90)):
        rows.insert(brokers, source_id=one, key=f"id:{name}", delivery_id=first_id_at(NOW))
        for hour in range(20):
            _delivery(rows, one, hours + 0.5 + hour, brokers=[name])
    _delivery(rows, source, 0.5, brokers=["B-1", "B-2"])
    caller = open_caller()

    def fares(*names: str) -> list[tuple[float | None, bool]]:
        """Return how many hours ago each source delivered last, and whether it is quiet."""
        walls = [*names, *(f"C-{number}" for number in range(others))]
        found = caller.found(rows.key(Scope.READ, brokers=walls), "/v1/sources?order=desc")
        shown = {row["name"]: (row["last_received_at"], row["quiet_since"]) for row in found}
        ago = {name: at and (NOW - datetime.fromisoformat(at)) / timedelta(hours=1) for name, (at, _) in shown.items()}
        return [(ago[name] and round(ago[name], 1), shown[name][1] is not None) for name in ("s", "other")]

    assert fares("B-1") == [(60.5, True), (None, False)]
    assert fares("B-2") == [(1.5, False), (90.5, True)]
    assert fares("B-1", "B-2") == [(0.5, False), (90.5, True)]
    assert fares("B-3") == [(None, False), (None, False)]
    for ago in (70.5, 50.5):
        _delivery(rows, other, ago, status="quarantined", brokers=["B-3"])
    assert fares("B-3") == [(None, False), (50.5, False)]
    assert fares("B-3", "B-2") == [(1.5, False), (50.5, True)]


def test_brokers_are_counted_by_source(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    one, two, key = rows.source("one"), rows.source("two"), rows.key(Scope.READ)
    stories = ((one, "B-1"), (one, "B-1"), (one, "B-2"), (two, "B-1"), (two, None))
    for number, (source, broker) in enumerate(stories):
        rows.inquiry(source, number, number, broker_external_id=broker)
    _delivery(rows, one, 1, status="quarantined", brokers=["B-1", "B-2"])
    _delivery(rows, one, 30, status="quarantined", brokers=["B-1"])
    caller = open_caller()

    def found(key: str, query: str = "") -> list[tuple[str, str, int, int]]:
        rows = caller.found(key, f"/v1/brokers{query}")
        return [(row["broker_external_id"], row["source"], row["inquiries"], row["quarantined_24h"]) for row in rows]

    expected = [("B-1", "one", 2, 1), ("B-1", "two", 1, 0), ("B-2", "one", 1, 1)]
    assert found(key, "?order=asc") == expected
    assert found(key, "?order=asc&broker_external_id[prefix]=b-1") == expected[:2]
    headers = {"Authorization": f"Bearer {key}"}
    posted = caller.client.post("/v1/brokers/query", json={"order": "asc", "limit": 2}, headers=headers)
    assert [row["source"] for row in posted.json()["data"]] == ["one", "two"]
    assert (posted.json()["next_cursor"] is None, "link" in posted.headers) == (False, False)
    assert found(key) == expected[::-1]
    assert found(key, "?source=two") == expected[1:2]
    assert found(key, "?broker_external_id=B-2") == expected[2:]
    assert found(rows.key(Scope.READ, brokers=["B-2"])) == [("B-2", "one", 1, 0)]  # the delivery names B-1 too
    assert found(rows.key(Scope.READ, source_ids=[two])) == expected[1:2]
    page = caller.get(key, "/v1/brokers?order=asc&limit=2")
    BrokerPage.model_validate(page.json())
    rest = caller.get(key, page.headers["link"].partition(">")[0][1:])
    assert [row["source"] for row in page.json()["data"] + rest.json()["data"]] == ["one", "two", "one"]
    assert rest.json()["next_cursor"] is None
    assert page.json()["data"][0]["last_received_at"] == "2026-03-09T10:01:00.000Z"
    some = caller.get(key, "/v1/brokers?order=asc&limit=2&fields=inquiries,source&count=exact").json()
    assert (some["count"], some["data"][0]) == (3, {"source": "one", "inquiries": 2})
    rest = caller.get(key, f"/v1/brokers?order=asc&limit=2&count=exact&cursor={some['next_cursor']}").json()
    assert (rest["count"], len(rest["data"])) == (3, 1)
    assert caller.get(key, "/v1/brokers?count=estimate&source=two").json()["count"] >= 1
    assert caller.get(key, "/v1/brokers?fields=id").status_code == 422


def test_callbacks_in_spools(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s", recipe_proven_at=START)
    caller, key = open_caller(), rows.key(Scope.READ)
    for host, count, hours in (("alpha", 40, 2), ("alpha", 2, 5), ("beta", 1, 1), ("gone", 500, 24 * 31)):
        noted_at = NOW - timedelta(hours=hours)
        own = {"file": f"{host}/{count}", "host": host, "rows": count, "bytes": 1, "noted_at": noted_at}
        rows.insert(spool_states, oldest_at=noted_at, **own)
    notice = _kinds(caller, key)["spool-in-use"]
    assert (notice.count, notice.severity, notice.source) == (43, "warning", None)
    assert notice.oldest_at == to_text(NOW - timedelta(hours=5))
    assert "43 callbacks wait in the spool on alpha, beta" in notice.sentence
    for walled in (rows.key(Scope.READ, source_ids=[source]), rows.key(Scope.READ, brokers=["B-1"])):
        assert _kinds(caller, walled) == {}
    rows.connection.exec_driver_sql("DELETE FROM spool_states")
    rows.connection.commit()
    assert _kinds(caller, key) == {}
    state: Any = caller.client.app.state  # type: ignore[attr-defined]  # FastAPI's
    state.reading = replace(state.reading, spooled=lambda: 7)
    assert _kinds(caller, key)["spool-in-use"].count == 7


def test_what_pulls_tell(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s", recipe_proven_at=START)
    rows.source("well", recipe_proven_at=START)
    caller, key = open_caller(), rows.key(Scope.READ)
    content = {"content": bytes(32), "delivery_id": rows.id_at(0)}
    for days, late_at in ((2, None), (3, None), (4, NOW), (9, None)):
        found_at = NOW - timedelta(days=days)
        missed: dict[str, Any] = {"id": rows.id_at(0), "source_id": source, "subject": f"inquiry/{days}", **content}
        rows.insert(gaps, missed_since=found_at, found_at=found_at, late_at=late_at, **missed)
    for scope, failed_at in (("broker:a", NOW), ("broker:b", None)):
        rows.insert(searches, source_id=source, scope=scope, last_days=1, failed_at=failed_at)
    for days, subject in ((1, "inquiry/1"), (8, "inquiry/2")):
        pull: dict[str, Any] = {"source_id": source, "subject": subject, "body": bytes(32), "pulled_at": NOW, **content}
        rows.insert(pulled, deviated_at=NOW - timedelta(days=days), **pull)
    found = _kinds(caller, key)
    assert {kind: (notice.count, notice.severity, notice.source) for kind, notice in found.items()} == {
        "gaps": (2, "error", "s"),
        "search-failing": (1, "error", "s"),
        "signature-deviates": (1, "warning", "s"),
    }
    assert found["gaps"].oldest_at == to_text(NOW - timedelta(days=3))
    assert len(caller.found(key, found["gaps"].link)) == 2
    assert _kinds(caller, rows.key(Scope.READ, source_ids=[])) == {}


def test_missing_partitions(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    caller, key = open_caller(), rows.key(Scope.READ)
    names = [f"deliveries_{start:%Y%m}" for start, _ in months_around(datetime.now(UTC), 2)]
    for name in names:
        rows.connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")
    rows.connection.commit()
    (notice,) = (one for one in caller.found(key, "/v1/attention") if one["kind"] == "partitions-missing")
    assert (notice["severity"], notice["source"]) == ("error", None)
    assert any(name in notice["sentence"] for name in names)


def test_jobs_that_were_given_up(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s", recipe_proven_at=START)
    caller, key = open_caller(), rows.key(Scope.READ)
    job = "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status) VALUES ('q', 't', '{}', '%s')"
    for state in ("todo", "doing", "succeeded"):
        rows.connection.exec_driver_sql(job % state)
    rows.connection.commit()
    assert _kinds(caller, key) == {}
    for _ in range(2):
        rows.connection.exec_driver_sql(job % "doing")
    rows.connection.exec_driver_sql(
        "UPDATE procrastinate_jobs SET status = 'failed' WHERE id IN (SELECT max(id) FROM procrastinate_jobs)"
    )
    rows.connection.commit()
    notice = _kinds(caller, key)["jobs-dead"]
    assert (notice.count, notice.severity, notice.source) == (1, "warning", None)
    assert notice.oldest_at is not None
    assert notice.link == "/v1/jobs?state=dead"
    for walled in (rows.key(Scope.READ, source_ids=[source]), rows.key(Scope.READ, brokers=["B-1"])):
        assert _kinds(caller, walled) == {}


def test_an_audit_log_that_was_found_changed(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s", recipe_proven_at=START)
    caller, key = open_caller(), rows.key(Scope.READ)
    driver: Any = rows.connection.connection.driver_connection
    note_misfit(driver, Checked(misfit=Misfit("was removed", seal=7)))
    rows.connection.commit()
    notice = _kinds(caller, key)["audit-misfit"]
    assert (notice.count, notice.severity, notice.source) == (1, "error", None)
    assert "Seal 7 was removed." in notice.sentence
    assert notice.oldest_at is not None
    for walled in (rows.key(Scope.READ, source_ids=[source]), rows.key(Scope.READ, brokers=["B-1"])):
        assert _kinds(caller, walled) == {}
    note_misfit(driver, Checked())
    rows.connection.commit()
    assert _kinds(caller, key) == {}


def test_secrets_that_cannot_be_decrypted(rows: Rows, open_caller: Callable[[], Caller], vault: Vault) -> None:
    driver: Any = rows.connection.connection.driver_connection
    verify_vault(driver, vault)
    rows.connection.commit()
    source, other = rows.source("s", recipe_proven_at=START), rows.source("other", recipe_proven_at=START)
    for number, revoked_at in ((source, None), (other, START)):
        secret: dict[str, Any] = {"id": rows.id_at(0), "source_id": number, "label": "one", "revoked_at": revoked_at}
        rows.insert(source_secrets, value_encrypted=bytes(40), **secret)
    key, walled = rows.key(Scope.READ), rows.key(Scope.READ, source_ids=[other])
    caller = open_caller()
    notice = _kinds(caller, key)["secret-unreadable"]
    assert (notice.count, notice.severity, notice.source) == (1, "error", "s")
    assert caller.get(key, str(notice.link)).status_code == 200
    assert _kinds(caller, walled) == {}


def test_tokens_of_single_submissions_are_not_listed(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source = rows.source("s")
    for label in ("default", "submission-1", "submission-2"):
        rows.token(source, label)
    assert open_caller().get(rows.key(Scope.READ), "/v1/sources/s").json()["tokens"] == ["default"]


def test_what_they_do_not_take(asking: Caller, world: World) -> None:
    assert asking.get(world.keys["full"], "/v1/attention?source=x").status_code == 422
    assert asking.get(world.keys["full"], "/v1/brokers?name=x").status_code == 422
    for name in ("attention", "brokers"):
        assert asking.get(None, f"/v1/{name}").status_code == 401
