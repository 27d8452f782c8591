"""Keys over the API: shown once, never more than the key that makes them, and refused once they are revoked."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.accounts.model import Scope
from app.administration.schemas import KeyMade, KeyPage, KeyShown
from tests.administration.conftest import Bureau


def _errors(answer: Any, status: int) -> list[str]:
    assert answer.status_code == status, answer.text
    assert all("_" not in one["code"] for one in answer.json()["errors"])
    return [one["pointer"] for one in answer.json()["errors"]]


def test_a_key_is_shown_once_and_good_at_once(bureau: Bureau) -> None:
    source = bureau.source()
    body = {"name": "dashboard", "scopes": ["read"], "sources": [source], "brokers": ["B-1"], "expires": "90d"}
    answer = bureau.ask("POST", "/keys", body)
    assert answer.status_code == 201
    made = KeyMade.model_validate(answer.json())
    assert made.key is not None
    assert (made.scopes, made.sources, made.brokers) == (["read"], [source], ["B-1"])
    assert [row["name"] for row in bureau.ask("GET", "/sources", key=made.key).json()["data"]] == [source]
    shown = bureau.ask("GET", f"/keys/{made.id}")
    assert KeyShown.model_validate(shown.json()).model_dump() == made.model_dump(exclude={"key"})
    page = bureau.ask("GET", "/keys")
    assert shown.json() in KeyPage.model_validate(page.json()).model_dump()["data"]
    stored = str(bureau.rows("SELECT detail FROM audit")) + str(bureau.rows("SELECT answer FROM api_requests"))
    assert made.key not in shown.text + page.text + stored
    action, detail = bureau.audited()[-1]
    assert (action, detail["key_id"], detail["scopes"]) == ("key.add", made.id, ["read"])


def test_a_repeat_shows_no_key(bureau: Bureau) -> None:
    body = {"name": "repeated", "scopes": ["read"]}
    first = bureau.ask("POST", "/keys", body, Idempotency_Key="k-keys")
    again = bureau.ask("POST", "/keys", body, Idempotency_Key="k-keys")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json() | {"key": None}
    assert bureau.rows("SELECT count(*) FROM api_keys WHERE name = 'repeated'") == [(1,)]
    assert first.json()["key"] not in str(bureau.rows("SELECT answer FROM api_requests"))


def test_a_revoked_key_is_refused(bureau: Bureau) -> None:
    made = bureau.made("/keys", {"name": "short", "scopes": ["read"]})
    assert bureau.ask("GET", "/events", key=made["key"]).status_code == 200
    once, again = (bureau.ask("DELETE", f"/keys/{made['id']}") for _ in range(2))
    assert (once.status_code, once.json()["revoked_at"] is not None, again.json()) == (200, True, once.json())
    assert bureau.ask("GET", "/events", key=made["key"]).status_code == 401
    assert bureau.audited()[-1] == ("key.revoke", {"key_id": made["id"]})
    assert bureau.ask("DELETE", "/keys/019a9c3e-1f00-7abc-8def-0123456789ab").status_code == 404


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/name", "/scopes"]),
        ({"name": "", "scopes": ["read"]}, ["/name"]),
        ({"name": "x", "scopes": []}, ["/scopes"]),
        ({"name": "x", "scopes": ["all"]}, ["/scopes/0"]),
        ({"name": "x", "scopes": ["read"], "sources": ["nobody"]}, ["/sources"]),
        ({"name": "x", "scopes": ["read"], "sources": []}, ["/sources"]),
        ({"name": "x", "scopes": ["read"], "brokers": [""]}, ["/brokers"]),
        ({"name": "x", "scopes": ["read"], "expires": "soon"}, ["/expires"]),
        ({"name": "x", "scopes": ["read"], "expires": "2020-01-01"}, ["/expires"]),
    ],
)
def test_what_is_wrong_is_named_by_its_field(bureau: Bureau, body: Any, pointers: list[str]) -> None:
    assert _errors(bureau.ask("POST", "/keys", body), 422) == pointers


def test_no_key_grants_more_than_it_has(bureau: Bureau) -> None:
    inside, outside = bureau.source(), bureau.source()
    end = datetime.now(UTC) + timedelta(days=10)
    lesser = bureau.key(Scope.READ, Scope.ADMIN, sources=[inside], brokers=["B-1"], expires_at=end)
    fits: dict[str, Any] = {
        "name": "x",
        "scopes": ["read"],
        "sources": [inside],
        "brokers": ["B-1"],
        "expires": "5d",
    }
    assert bureau.ask("POST", "/keys", fits, key=lesser).status_code == 201
    for wrong, pointer in (
        ({"scopes": ["read", "read:personal"]}, "/scopes"),
        ({"scopes": ["write"]}, "/scopes"),
        ({"sources": [inside, outside]}, "/sources"),
        ({"sources": None}, "/sources"),
        ({"brokers": ["B-2"]}, "/brokers"),
        ({"brokers": None}, "/brokers"),
        ({"expires": None}, "/expires"),
        ({"expires": "11d"}, "/expires"),
    ):
        answer = bureau.ask("POST", "/keys", fits | wrong, key=lesser)
        assert (_errors(answer, 403), answer.json()["code"]) == ([pointer], "beyond-key")
    everything = {"name": "x", "scopes": ["read:personal"]}
    assert _errors(bureau.ask("POST", "/keys", everything, key=lesser), 403) == [
        "/scopes",
        "/sources",
        "/brokers",
        "/expires",
    ]


def test_keys_outside_a_wall_do_not_exist(bureau: Bureau) -> None:
    inside, outside = bureau.source(), bureau.source()
    walled = bureau.key(Scope.ADMIN, sources=[inside])
    own = bureau.made("/keys", {"name": "in", "scopes": ["read"], "sources": [inside]})
    others = [
        bureau.made("/keys", {"name": "out", "scopes": ["read"], "sources": [outside]}),
        bureau.made("/keys", {"name": "both", "scopes": ["read"], "sources": [inside, outside]}),
        bureau.made("/keys", {"name": "free", "scopes": ["read"]}),
    ]
    seen = {row["name"] for row in bureau.ask("GET", "/keys", key=walled).json()["data"]}
    assert seen == {"in", "tester"}
    for other in others:
        assert bureau.ask("GET", f"/keys/{other['id']}", key=walled).status_code == 404
        assert bureau.ask("DELETE", f"/keys/{other['id']}", key=walled).status_code == 404
        assert bureau.ask("GET", "/events", key=other["key"]).status_code == 200
    assert bureau.ask("DELETE", f"/keys/{own['id']}", key=walled).status_code == 200
    by_broker = bureau.key(Scope.ADMIN, brokers=["B-7"])
    assert [row["brokers"] for row in bureau.ask("GET", "/keys", key=by_broker).json()["data"]] == [["B-7"]]


def test_keys_are_a_list_like_any_other(bureau: Bureau) -> None:
    made = [bureau.made("/keys", {"name": f"list-{number}", "scopes": ["read"]})["id"] for number in range(3)]
    page = bureau.ask("GET", "/keys?name[prefix]=LIST-&limit=2&count=exact").json()
    assert ([row["id"] for row in page["data"]], page["count"]) == (made[:0:-1], 3)
    rest = bureau.ask("GET", f"/keys?name[prefix]=LIST-&limit=2&cursor={page['next_cursor']}").json()
    assert [row["id"] for row in rest["data"]] == made[:1]
    posted = bureau.ask("POST", "/keys/query", {"name": "list-0", "revoked_at[null]": True}).json()
    assert [row["id"] for row in posted["data"]] == made[:1]
    assert bureau.ask("GET", "/keys?key=x").status_code == 422
