"""Who may ask at all, and what is said to those who may not."""

from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from fastapi import APIRouter, Request, Response

from app.accounts.model import Scope
from app.crypto import new_api_key
from app.query.access import Reader, StraightRoute
from app.times import now
from tests.query.conftest import Caller, Rows, World


def test_without_a_key(asking: Caller) -> None:
    response = asking.get(None, "/v1/inquiries")
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="callbox"'
    assert response.json()["code"] == "unauthorized"


@pytest.mark.parametrize("key", ["cbx_" + "a" * 43, "cbx_short", "nonsense", "cbt_" + "a" * 43, "ü"])
def test_with_a_key_that_is_none(asking: Caller, key: str) -> None:
    response = asking.client.get("/v1/inquiries", headers={b"Authorization": f"Bearer {key}".encode()})
    assert response.status_code == 401
    assert 'error="invalid_token"' in response.headers["www-authenticate"]
    assert key not in response.text


@pytest.mark.parametrize("header", ["Basic bmVsZTpnZWhlaW0=", "Bearer", "Bearer  ", ""])
def test_with_another_kind_of_credentials(asking: Caller, header: str) -> None:
    assert asking.client.get("/v1/inquiries", headers={"Authorization": header}).status_code == 401


def test_a_malformed_question_without_a_key_is_401_first(asking: Caller) -> None:
    assert asking.get(None, "/v1/inquiries?nonsense=1").status_code == 401
    assert asking.get(None, "/v1/inquiries/nonsense").status_code == 401


def test_an_expired_or_revoked_key(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    expired = rows.key(Scope.READ, expires_at=now() - timedelta(seconds=1))
    revoked = rows.key(Scope.READ, revoked_at=now())
    soon = rows.key(Scope.READ, expires_at=now() + timedelta(minutes=1))
    caller = open_caller()
    assert [caller.get(key, "/v1/events").status_code for key in (expired, revoked, soon)] == [401, 401, 200]


def test_a_new_key_is_good_at_once(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    caller = open_caller()
    assert caller.get(rows.key(Scope.READ), "/v1/events").status_code == 200


def test_scopes(asking: Caller, world: World) -> None:
    delivery = world.ids["inside"]["delivery"]
    reading = asking.get(world.keys["writer"], "/v1/inquiries")
    assert (reading.status_code, reading.json()["code"]) == (403, "forbidden")
    assert "`read`" in reading.json()["detail"]
    writing = asking.post(world.keys["full"], f"/v1/deliveries/{delivery}/replay")
    assert (writing.status_code, writing.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("path", ["inquiries", "customers", "documents", "leads", "events", "deliveries"])
@pytest.mark.parametrize("row", ["4711", "019a9c3e-1f00-7abc-8def-0123456789ab", "%00", "a/b"])
def test_rows_that_are_not_there(asking: Caller, world: World, path: str, row: str) -> None:
    response = asking.get(world.keys["full"], f"/v1/{path}/{row}")
    assert response.status_code == 404
    assert response.json()["code"] == "not-found"


def test_unknown_parameters_of_details_are_refused(asking: Caller, world: World) -> None:
    ids = world.ids["inside"]
    for path in (
        f"inquiries/{ids['inquiry']}",
        f"inquiries/{ids['inquiry']}/history",
        f"deliveries/{ids['delivery']}/body",
        "sources/ts-one",
    ):
        response = asking.get(world.keys["full"], f"/v1/{path}?as_off=1")
        assert response.status_code == 422, path
        assert response.json()["errors"][0]["name"] == "as_off"


def test_a_database_that_is_away(rows: Rows, open_caller: Callable[[], Caller], server_url: str) -> None:
    key = rows.key(Scope.READ)
    caller = open_caller()
    assert caller.get(key, "/v1/events").status_code == 200
    name, own = rows.connection.exec_driver_sql("SELECT current_database(), pg_backend_pid()").one()
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s"
        connection.execute(others, (name, own))
    for asked in (key, new_api_key()):
        response = caller.get(asked, "/v1/events")
        assert (response.status_code, response.json()["code"]) == (503, "database-away")
        assert int(response.headers["retry-after"]) > 0


def test_a_question_that_takes_too_long(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    key = rows.key(Scope.READ)
    caller = open_caller()
    assert caller.get(key, "/v1/inquiries").status_code == 200
    rows.connection.exec_driver_sql("LOCK TABLE inquiries IN ACCESS EXCLUSIVE MODE")
    response = caller.get(key, "/v1/inquiries")
    rows.connection.rollback()
    assert (response.status_code, response.json()["code"]) == (503, "too-slow")
    assert "retry-after" in response.headers


def test_a_name_that_may_be_a_value_is_hidden(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    source, full, plain = rows.source("s"), rows.key(Scope.READ, Scope.READ_PERSONAL), rows.key(Scope.READ)
    paths = ("docs.0.hash", "", "data.premiumYearly", "customer.Erika Muster", "erika@example.test", "data.0301234567")
    warnings = [{"field": path, "reason": "unknown-field"} for path in paths]
    event = rows.event(source, rows.delivery(source), warnings=warnings)
    plainly = rows.event(source, rows.delivery(source, 1), warnings=warnings[:3])
    caller = open_caller()
    seen, hidden = (caller.get(key, f"/v1/events/{event}").json() for key in (full, plain))
    assert (seen["warnings"], seen["redacted"]) == (warnings, [])
    assert [one["field"] for one in hidden["warnings"]] == [*paths[:3], "*", "*", "*"]
    assert hidden["redacted"] == ["data", "warnings"]
    seen = caller.get(plain, f"/v1/events/{plainly}").json()
    assert (seen["warnings"], seen["redacted"]) == (warnings[:3], ["data"])
    for path in ("/v1/events", "/v1/export/events.csv", "/v1/export/events.ndjson"):
        text = caller.get(plain, path).text
        assert "premiumYearly" in text
        assert not [name for name in ("Erika", "erika", "0301234567") if name in text], path


@pytest.mark.parametrize("path", ["/v1/deliveries/{}", "/v1/deliveries?id={}"])
def test_a_key_of_an_item_that_may_be_a_value_is_hidden(
    rows: Rows, open_caller: Callable[[], Caller], path: str
) -> None:
    source, full, plain = rows.source("s"), rows.key(Scope.READ, Scope.READ_PERSONAL), rows.key(Scope.READ)
    item = {"subject": "inquiry/1", "verdict": "verified", "status": "event", "reason": None, "event_id": None}
    keys = (None, "810042", "Erika Muster", "9" * 20)
    items = [{"index": number, "key": key, **item} for number, key in enumerate(keys)]
    free, ordinary = rows.delivery(source, items=items), rows.delivery(source, 1, items=items[:2])
    caller = open_caller()
    for key, one, shown in ((full, free, keys), (plain, free, (*keys[:2], None, None)), (plain, ordinary, keys[:2])):
        answer = caller.get(key, path.format(one)).json()
        (found,) = answer.get("data", [answer])
        assert tuple(item["key"] for item in found["items"]) == shown
        assert ("items.key" in found["redacted"]) == (shown[-1] is None)


def test_a_route_that_would_be_handed_too_little_is_refused() -> None:
    router = APIRouter(route_class=StraightRoute)

    async def endpoint(request: Request, access: Reader, page: int = 1) -> Response:
        raise NotImplementedError

    with pytest.raises(TypeError, match="/rows takes more"):
        router.add_api_route("/rows", endpoint)
