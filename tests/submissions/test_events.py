"""Events, inquiries and leads that were asked for, told from those that nobody asked for."""

from typing import Any
from uuid import UUID

import httpx2
import orjson
import pytest
from starlette.responses import JSONResponse

from app.accounts.snapshot import read_accounts
from app.processing.batch import Circumstances
from app.processing.processor import Processor
from app.providers import PROVIDERS
from tests.submissions.conftest import FORWARD, LEAD, ZONE, Office


def call_back(office: Office, source: str, body: Any, token_id: UUID | None = None) -> None:
    """Lay a callback into the inbox as the receiver does, and process it."""
    office.database.execute(
        "WITH d AS (INSERT INTO deliveries (id, source_id, token_id, received_at, via, method, answered, verdict, size,"
        " judged, body_sha256, remote_addr, query, headers, body)"
        " SELECT gen.id, s.id, %s::uuid, clock_timestamp(), 0, 0, 200, 3, 0, '',"
        " sha256(gen.id::text::bytea), '', '', '[[\"content-type\", \"application/json\"]]', %s"
        " FROM sources s, (SELECT %s::uuid AS id) gen WHERE s.name = %s RETURNING id, source_id)"
        " INSERT INTO inbox (delivery_id, source_id) SELECT id, source_id FROM d",
        (token_id, orjson.dumps(body), office.ids.next(), source),
    )
    sources = read_accounts(office.database, office.vault).sources
    processor = Processor(office.database, lambda: Circumstances(PROVIDERS, sources, office.vault, ZONE))
    assert processor.step() == 1
    processor.match()


@pytest.fixture
def item() -> dict[str, Any]:
    return {
        "sHash": "0" * 32,
        "data": {
            "bToken": "0123456789abcdef",
            "bExternalId": "42",
            "iId": 2_900_417,
            "iCreated": "2026-01-01",
            "iUpdated": "2026-01-02",
            "status": 4,
        },
    }


def test_the_circle_of_a_forward(office: Office, item: dict[str, Any]) -> None:
    made = office.made("thinksurance/forward", FORWARD)
    call_back(office, "ts", item)
    item["data"]["iId"] = 5
    call_back(office, "ts", item)
    known = office.get(f"/submissions/{made['id']}").json()
    assert known["state"] == "answered"
    assert known["time_to_answer_seconds"] > 0
    (asked,) = office.get(f"/events?submission_id={made['id']}").json()["data"]
    assert (asked["id"], asked["submission_id"]) == (known["first_event_id"], made["id"])
    assert asked["links"]["submission"] == f"/v1/submissions/{made['id']}"
    assert office.get(known["links"]["events"].removeprefix("/v1")).json()["data"] == [asked]
    (record,) = office.get(known["links"]["record"].removeprefix("/v1")).json()["data"]
    assert record["inquiry_id"] == 2_900_417
    (unasked,) = office.get("/events?submission_id[null]=true").json()["data"]
    assert (unasked["subject"], unasked["submission_id"]) == ("inquiry/5", None)
    (unasked,) = office.get("/inquiries?submission_id[null]=true").json()["data"]
    assert unasked["inquiry_id"] == 5
    (asked,) = office.get(f"/inquiries?submission_id={made['id']}").json()["data"]
    assert asked["inquiry_id"] == 2_900_417


def test_the_circle_of_a_lead(office: Office) -> None:
    made = office.made("wegroup/customer-lead", LEAD)
    call_back(office, "wg", office.wegroup.leads[made["platform_ids"]["lead_id"]])
    call_back(office, "wg", {"id": "other", "prospect": {"first_name": "Emma"}})
    known = office.get(f"/submissions/{made['id']}").json()
    assert known["state"] == "answered"
    (unasked,) = office.get("/leads?submission_id[null]=true").json()["data"]
    assert unasked["lead_id"] == "other"
    (asked,) = office.get("/leads?submission_id[null]=false").json()["data"]
    assert asked["lead_id"] == made["platform_ids"]["lead_id"]


def test_the_circle_of_a_forward_whose_inquiry_the_user_makes(office: Office) -> None:
    named = ("source", "type", "bExternalId", "cExternalId", "productId", "professionId")
    made = office.made("thinksurance/forward", {name: FORWARD[name] for name in named})
    assert made["platform_ids"]["inquiry_id"] is None
    landed = httpx2.get(made["redirect_url"], trust_env=False)  # the user's browser
    assert landed.json() == {"landed": "inquiry"}
    (inquiry,) = office.thinksurance.world.inquiries.values()
    call_back(office, "ts", office.thinksurance.world.item(inquiry))
    known = office.get(f"/submissions/{made['id']}").json()
    assert (known["state"], known["platform_ids"]["inquiry_id"]) == ("answered", inquiry.id)
    (event,) = office.get(f"/events?submission_id={made['id']}").json()["data"]
    assert event["subject"] == f"inquiry/{inquiry.id}"


def test_the_circle_of_a_forward_whose_answer_names_no_inquiry(office: Office, item: dict[str, Any]) -> None:
    office.stages["thinksurance"].app = JSONResponse({"token": "t", "url": "https://app.example.test/switch/1"})
    made = office.made("thinksurance/forward", FORWARD | {"iExternalReferences": []})
    assert (made["state"], made["platform_ids"]["inquiry_id"]) == ("accepted", None)
    call_back(office, "ts", item | {"customer": {"cId": 7, "cExternalId": FORWARD["cExternalId"]}})
    known = office.get(f"/submissions/{made['id']}").json()
    assert (known["state"], known["platform_ids"]["inquiry_id"]) == ("answered", item["data"]["iId"])


@pytest.mark.parametrize("is_early", [False, True])
def test_a_callback_proves_a_forward_whose_answer_was_lost(
    office: Office, item: dict[str, Any], *, is_early: bool
) -> None:
    said = item | {"customer": {"cId": 7, "cExternalId": FORWARD["cExternalId"]}}

    async def lost(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].endswith("/tokens"):
            await office.thinksurance(scope, receive, send)
        else:
            if is_early:
                call_back(office, "ts", said)
            await JSONResponse({}, 504)(scope, receive, send)

    office.stages["thinksurance"].app = lost
    made = office.made("thinksurance/forward", FORWARD | {"iExternalReferences": []})
    if not is_early:
        assert made["state"] == "unknown"
        call_back(office, "ts", said)
    known = office.get(f"/submissions/{made['id']}").json()
    assert (known["state"], known["platform_ids"]["inquiry_id"]) == ("answered", item["data"]["iId"])
