"""The audit log over the API: what was read, exported, replayed and changed, by whom, and never by which value."""

from typing import Any

import pytest

from app.accounts.model import Scope
from app.accounts.sealing import Sealer
from app.accounts.verifying import verify_audit
from app.administration.schemas import Entry, EntryPage
from app.processing.batch import Circumstances
from app.processing.processor import Processor
from app.providers import PROVIDERS
from tests.administration.conftest import Bureau

INQUIRY = {
    "data": {"bToken": "0123456789abcdef", "bExternalId": "B-1", "iId": 71, "status": 4},
    "customer": {"cId": 7, "cLastName": "Brandt-Muster"},
    "docs": [{"files": [{"hash": "ab" * 16, "name": "Antrag.pdf", "fullName": "Antrag Brandt-Muster.pdf"}]}],
}
LEAD = {"origin": "CRM", "prospect": {"first_name": "Lotte", "last_name": "Voorbeeld"}}
NAMES = ("Brandt", "Muster", "Voorbeeld")


@pytest.fixture(scope="module")
def ids(bureau: Bureau) -> dict[str, str]:
    """A stock of each record, by the word in its path."""
    known = {"ts": bureau.source(), "wg": bureau.source(provider="wegroup")}
    assert bureau.client.post(bureau.url(known["ts"]), json=INQUIRY).status_code == 200
    assert bureau.client.post(bureau.url(known["wg"]), json=LEAD).status_code == 200
    given = Circumstances(PROVIDERS, bureau.known_sources(), bureau.vault, bureau.zone)
    assert Processor(bureau.connection, lambda: given).step() == 2
    lists = ("deliveries", "events", "inquiries", "customers", "documents", "leads")
    return {name: bureau.ask("GET", f"/{name}").json()["data"][0]["id"] for name in lists}


def _entries(bureau: Bureau, key: str) -> list[Any]:
    """Return what a key did, the latest first."""
    (row,) = bureau.rows("SELECT id FROM api_keys WHERE key_sha256 = sha256(%s)", key.encode())
    return list(bureau.ask("GET", f"/audit?actor=key:{row[0]}").json()["data"])


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/events", "events"),
        ("/inquiries", "inquiries"),
        ("/customers", "customers"),
        ("/documents", "documents"),
        ("/leads", "leads"),
        ("/deliveries/{deliveries}", "deliveries"),
        ("/deliveries/{deliveries}/body", "deliveries/body"),
        ("/events/{events}", "events"),
        ("/inquiries/{inquiries}", "inquiries"),
        ("/inquiries/{inquiries}?as_of=%2B1d", "inquiries"),
        ("/inquiries/{inquiries}/history", "inquiries/{inquiries}/history"),
        ("/customers/{customers}", "customers"),
        ("/customers/{customers}/history", "customers/{customers}/history"),
        ("/documents/{documents}", "documents"),
        ("/leads/{leads}", "leads"),
        ("/leads/{leads}/history", "leads/{leads}/history"),
        ("/search?q=Brandt", "search"),
        ("/customers?last_name=Brandt-Muster", "customers"),
        ("/customers?last_name[prefix]=Brandt", "customers"),
        ("/inquiries?customer.last_name=Brandt-Muster", "inquiries"),
        ("/stats/leads?last_name=Voorbeeld", "stats/leads"),
        ("/stats/funnel?from=4&to=6&customer.last_name=Brandt-Muster", "stats/funnel"),
        ("/export/customers.csv?last_name=Brandt-Muster", "customers"),
        ("/export/inquiries.ndjson", "inquiries"),
    ],
)
def test_reading_personal_data_stands_in_it(bureau: Bureau, ids: dict[str, str], path: str, resource: str) -> None:
    reader = bureau.key(Scope.READ, Scope.READ_PERSONAL)
    answer = bureau.ask("GET", path.format(**ids), key=reader)
    assert answer.status_code == 200, answer.text
    (entry,) = _entries(bureau, reader)
    Entry.model_validate(entry)
    wanted = "export.begin" if path.startswith("/export") else "personal.read"
    assert (entry["action"], entry["detail"]["resource"]) == (wanted, resource.format(**ids))
    assert not [name for name in NAMES if name.lower() in str(entry).lower()]
    named = next((ids[word] for word in ids if f"{{{word}}}" in path), None)
    assert named is None or named in str(entry["detail"]) or "history" in path

    unprivileged = bureau.key(Scope.READ)
    refused = bureau.ask("GET", path.format(**ids), key=unprivileged)
    assert [entry["action"] for entry in _entries(bureau, unprivileged)] == (
        ["export.begin"] if path.startswith("/export") and refused.status_code == 200 else []
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/search", {"q": "Brandt"}),
        ("/customers/query", {"last_name": "Brandt-Muster"}),
        ("/leads/query", {"last_name[prefix]": "Voor"}),
    ],
)
def test_questions_in_a_body_stand_in_it_without_their_values(
    bureau: Bureau, ids: dict[str, str], path: str, body: Any
) -> None:
    assert ids
    reader = bureau.key(Scope.READ, Scope.READ_PERSONAL)
    answer = bureau.ask("POST", path, body, key=reader)
    assert (answer.status_code, len(answer.json()["data"]) > 0) == (200, True)
    (entry,) = _entries(bureau, reader)
    assert not [name for name in (*NAMES, "Voor") if name.lower() in str(entry).lower()]


def test_replaying_stands_in_it(bureau: Bureau, ids: dict[str, str]) -> None:
    writer = bureau.key(Scope.WRITE)
    assert bureau.ask("POST", f"/deliveries/{ids['deliveries']}/replay", key=writer).status_code == 202
    assert bureau.ask("POST", "/deliveries/replay?provider=thinksurance", key=writer).status_code == 202
    assert [entry["action"] for entry in _entries(bureau, writer)] == ["delivery.replay"] * 2


def test_it_is_a_list_like_any_other_for_administrators(bureau: Bureau) -> None:
    one, two = bureau.source(), bureau.source()
    bureau.ask("PATCH", f"/sources/{one}", {"enabled": False})
    page = bureau.ask("GET", f"/audit?source={one}&limit=1&count=exact").json()
    EntryPage.model_validate(page)
    assert (page["count"], [entry["action"] for entry in page["data"]]) == (2, ["source.disable"])
    rest = bureau.ask("GET", f"/audit?source={one}&limit=1&cursor={page['next_cursor']}").json()
    assert [entry["action"] for entry in rest["data"]] == ["source.add"]
    (first,) = rest["data"]
    assert bureau.ask("GET", f"/audit/{first['id']}").json() == first
    assert bureau.ask("GET", first["links"]["key"].removeprefix("/v1")).status_code == 200
    found = bureau.ask(
        "POST", "/audit/query", {"action[prefix]": "source.", "at[gte]": "-1h", "source[in]": f"{one},{two}"}
    )
    assert len(found.json()["data"]) == 3
    assert bureau.ask("GET", "/audit?at[lt]=-1h").json()["data"] == []
    walled = bureau.key(Scope.ADMIN, sources=[two])
    seen = bureau.ask("GET", "/audit", key=walled).json()["data"]
    assert {entry["source"] for entry in seen} == {two}
    assert bureau.ask("GET", f"/audit/{first['id']}", key=walled).status_code == 404
    assert bureau.ask("GET", "/audit", key=bureau.key(Scope.ADMIN, brokers=["B-1"])).json()["data"] == []


def test_all_of_it_can_be_sealed_and_checked(bureau: Bureau) -> None:
    while Sealer(bureau.connection, bureau.vault).seal():
        pass
    checked = verify_audit(bureau.connection, bureau.vault)
    assert checked.misfit is None
    assert [(checked.entries,)] == bureau.rows("SELECT count(*) FROM audit")
