"""The list of calls, the catalogs, and what the OpenAPI document says of both."""

import pytest

from app.accounts.model import Scope
from app.query import fullness
from tests.doubles import allianz
from tests.submissions.conftest import BROKER_TOKEN, FORWARD, LEAD, Office

# --- their list ---


def test_submissions_are_found(office: Office) -> None:
    office.set("thinksurance", "ts", overdue_after="48h")
    forward = office.made("thinksurance/forward", FORWARD)
    lead = office.made("wegroup/customer-lead", LEAD)
    check = office.made("allianz/client-check", {"source": "az", "nif": allianz.CLIENT})
    assert forward["due_at"] is not None
    assert (lead["due_at"], check["due_at"]) == (None, None)
    assert all(one["created_at"] == one["sent_at"] for one in (forward, lead, check))

    def found(query: str) -> list[str]:
        answer = office.get(f"/submissions?{query}")
        assert answer.status_code == 200, answer.text
        return [row["id"] for row in answer.json()["data"]]

    assert found("") == [check["id"], lead["id"], forward["id"]]
    assert found("order=asc") == [forward["id"], lead["id"], check["id"]]
    assert found("kind=forward,customer-lead") == [lead["id"], forward["id"]]
    assert found("source=wg") == [lead["id"]]
    assert found("provider=allianz") == [check["id"]]
    assert found("external_reference=crm-1") == found("external_reference[prefix]=CRM-") == [lead["id"]]
    assert found("platform_ids.inquiry_id=2900417") == [forward["id"]]
    assert found("created_at[gte]=-1h") == [check["id"], lead["id"], forward["id"]]
    assert found("created_at[lt]=-1h") == []
    assert found("state=overdue") == []
    office.database.execute("UPDATE submissions SET due_at = now() - interval '1 second' WHERE kind = 'forward'")
    assert found("state=overdue") == [forward["id"]]
    assert [row["id"] for row in office.post("query", {"state": "overdue"}).json()["data"]] == [forward["id"]]
    assert found("state=accepted") == [check["id"], lead["id"]]
    assert found("state=accepted,overdue") == [check["id"], lead["id"], forward["id"]]
    assert found("state[ne]=overdue") == [check["id"], lead["id"]]
    assert office.get(f"/submissions/{forward['id']}").json()["state"] == "overdue"
    office.database.execute(
        "UPDATE submissions SET state = 'answered', answered_at = sent_at + interval '90 seconds'"
        " WHERE kind = 'forward'"
    )
    assert found("state=answered") == [forward["id"]]
    assert found("time_to_answer_seconds[gte]=90") == [forward["id"]]
    assert found("time_to_answer_seconds[gt]=90") == []
    assert office.get("/submissions?state=late").status_code == 422
    assert office.get("/submissions?wrong=1").status_code == 422


def test_pages_follow_each_other(office: Office) -> None:
    made = [office.made("wegroup/customer-lead", LEAD)["id"] for _ in range(3)]
    first = office.get("/submissions?limit=2").json()
    second = office.get(f"/submissions?limit=2&cursor={first['next_cursor']}").json()
    assert [row["id"] for row in (*first["data"], *second["data"])] == made[::-1]
    assert second["next_cursor"] is None


def test_a_page_of_large_ones_ends_early(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fullness, "MOST_BYTES", 150_000)
    made = [office.made("wegroup/customer-lead", LEAD)["id"] for _ in range(3)]
    office.database.execute("""UPDATE submissions SET answer = jsonb_build_object('text', repeat('x', 100000))""")
    first = office.get("/submissions").json()
    second = office.get(f"/submissions?cursor={first['next_cursor']}").json()
    assert [[row["id"] for row in page["data"]] for page in (first, second)] == [[made[2], made[1]], [made[0]]]
    for row in (*first["data"], *second["data"]):
        assert row["answer"] == {"text": "x" * 100_000}
        assert row == office.get(f"/submissions/{row['id']}").json()


def test_an_answer_may_be_a_text(office: Office) -> None:
    made = office.made("wegroup/customer-lead", LEAD)["id"]
    office.database.execute("""UPDATE submissions SET answer = '"no object"'""")
    assert office.get(f"/submissions/{made}").json()["answer"] == "no object"
    assert office.get("/submissions").json()["data"][0]["answer"] == "no object"


# --- catalogs and documentation ---


def test_a_catalog_is_asked_for_once(office: Office) -> None:
    for _ in range(2):
        catalog = office.get("/catalogs/thinksurance/products?source=ts").json()
    assert {"id": 81, "name": "Betriebshaftpflicht"} in catalog["data"]
    assert catalog["next_cursor"] is None
    assert sum(one.path == "/api/ipn/products" for one in office.thinksurance.heard) == 1
    assert len(office.get("/catalogs/thinksurance/products?professionId=311").json()["data"]) == 1
    assert office.get("/catalogs/thinksurance/professions").json()["data"][0]["id"] == 311
    assert office.get("/catalogs/thinksurance/products?source=wg").status_code == 422
    assert office.get("/catalogs/thinksurance/products?professionId=x").status_code == 422
    assert office.get("/catalogs/thinksurance/professions?professionId=311").status_code == 422
    assert office.get("/catalogs/thinksurance/products", office.key(Scope.READ, sources=["wg"])).status_code == 422


def test_each_account_has_catalogs_of_its_own(office: Office) -> None:
    """What is to be had may differ from broker to broker."""
    office.source("thinksurance", "two", hash="h", secret="s", b_token=BROKER_TOKEN)
    assert office.get("/catalogs/thinksurance/products").status_code == 422, "of which account?"
    for name in ("ts", "two", "ts", "two"):
        assert office.get(f"/catalogs/thinksurance/products?source={name}").status_code == 200
    assert sum(one.path == "/api/ipn/products" for one in office.thinksurance.heard) == 2


def test_a_catalog_that_the_platform_refuses_is_a_problem(office: Office) -> None:
    office.thinksurance.quirks.add("error", "/api/ipn/products", times=3)
    answer = office.get("/catalogs/thinksurance/products?source=ts")
    assert (answer.status_code, answer.json()["code"]) == (502, "platform-failed")
    assert "erika" not in answer.text
    office.thinksurance.quirks.clear()
    assert office.get("/catalogs/thinksurance/products?source=ts").status_code == 200


def test_every_kind_is_documented(office: Office) -> None:
    document = office.client.get("/openapi.json").json()
    paths = {
        path: one["post"]
        for path, one in document["paths"].items()
        if path.startswith("/v1/submissions/") and path != "/v1/submissions/query" and "post" in one
    }
    assert len(paths) == 8
    for path, operation in paths.items():
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert "$ref" not in str(schema), path
        assert "source" in schema["required"]
        assert operation["requestBody"]["content"]["application/json"]["example"].keys() <= schema["properties"].keys()
        assert {"401", "403", "409", "413", "422"} <= operation["responses"].keys()
        assert "Idempotency-Key" in {one["name"] for one in operation["parameters"]}
    shape = document["components"]["schemas"]["Submission"]["properties"]
    assert {name for name, one in shape.items() if one.get("x-personal")} == {"request", "answer"}
