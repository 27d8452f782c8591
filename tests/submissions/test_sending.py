"""What becomes of calls: written down before, made once, answered whatever the platform does."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Timer
from typing import Any
from uuid import UUID

import pytest
from starlette.responses import JSONResponse

from app.accounts.store import set_source
from app.processing.call_keys import reference_key
from app.storage.database import connect
from app.submissions import rows as written
from app.submissions.calls import Outcome
from tests.doubles import wegroup
from tests.jobs.test_runner import until
from tests.submissions.conftest import ALTA, BASE_URL, BROKER_TOKEN, FORWARD, LEAD, PLATFORMS, Office


def test_a_forward_is_made_and_kept_without_its_secrets(office: Office) -> None:
    made = office.made("thinksurance/forward", FORWARD)
    assert (made["state"], made["provider"], made["kind"], made["source"]) == (
        "accepted",
        "thinksurance",
        "forward",
        "ts",
    )
    assert made["platform_ids"] == {
        "inquiry_id": 2900417,
        "inquiry_hash": made["platform_ids"]["inquiry_hash"],
        "lead_id": None,
        "id_landing": None,
    }
    assert made["external_reference"] == "A-77"
    assert made["broker_external_id"] == "42"
    assert made["request"]["cLastName"] == "Beispiel"
    assert made["request"]["cBankIban"] == "***"
    assert made["request"]["fullCallback"] == 0
    assert made["answer"]["url"] == "***"
    assert (made["problem"], made["due_at"], made["answered_at"]) == (None, None, None)
    assert made["redirect_url"].startswith(office.urls["thinksurance"] + "/switch/")
    (heard,) = [one for one in office.thinksurance.heard if one.path == "/api/ipn/brokers/forward"]
    assert heard.headers["x-broker-token"] == BROKER_TOKEN
    token = heard.body["callbackUrl"].removeprefix(f"{BASE_URL}/callbacks/thinksurance/")
    assert token.startswith("cbt_")
    stored = str(office.rows("SELECT s::text FROM submissions s"))
    for secret in (token, made["redirect_url"], BROKER_TOKEN, FORWARD["cBankIban"]):
        assert str(secret) not in stored
    known = office.get(f"/submissions/{made['id']}").json()
    assert {name: made[name] for name in known} == known
    assert "redirect_url" not in known


def test_keys_are_written_for_the_callbacks(office: Office) -> None:
    office.made("thinksurance/forward", FORWARD)
    lead = office.made("wegroup/customer-lead", LEAD)
    keys = dict(office.rows("SELECT key, matched_at IS NULL FROM submission_keys"))
    assert keys == {
        "ref:crm\x1fVorgang\x1fA-77": False,
        "inquiry:2900417": True,
        "ref:crm\x1fexternal_ref\x1fcrm-1": False,
        f"lead:{lead['platform_ids']['lead_id']}": True,
    }


@pytest.mark.parametrize(
    ("more", "keys"),
    [
        ({}, {"customer:42\x1fK-1"}),
        ({"cExternalId": None}, set()),
        ({"iId": 7}, {"inquiry:7"}),
        ({"iExternalReferences": [{"origin": "crm", "paramKey": "n", "paramValue": ""}]}, {"customer:42\x1fK-1"}),
    ],
)
def test_a_forward_without_an_inquiry_is_known_otherwise(office: Office, more: dict[str, Any], keys: set[str]) -> None:
    body = {"source": "ts", "type": 1, "bExternalId": "42", "cExternalId": "K-1"} | more
    assert office.made("thinksurance/forward", body)["state"] == "accepted"
    assert {key for (key,) in office.rows("SELECT key FROM submission_keys")} == keys


def test_a_forward_whose_answer_tells_the_inquiry_is_known_by_that_alone(office: Office) -> None:
    office.made("thinksurance/forward", FORWARD | {"iExternalReferences": []})
    assert office.rows("SELECT key FROM submission_keys") == [("inquiry:2900417",)]


def test_the_row_stands_before_the_call_is_made(office: Office) -> None:
    seen: list[Any] = []

    async def watching(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].endswith("/forward"):
            seen.extend(office.rows("SELECT state, sent_at IS NOT NULL FROM submissions"))
        await office.thinksurance(scope, receive, send)

    office.stages["thinksurance"].app = watching
    office.made("thinksurance/forward", FORWARD)
    assert seen == [("sending", True)]


def test_the_test_system_is_registered_too(office: Office) -> None:
    office.source("thinksurance", "ts-test")
    office.set("thinksurance", "ts", test_source="ts-test")
    office.made("thinksurance/forward", FORWARD)
    body = office.thinksurance.heard[-1].body
    assert body["mvpFullCallback"] == 0
    assert body["mvpCallbackUrl"] != body["callbackUrl"]
    assert body["mvpCallbackUrl"].startswith(f"{BASE_URL}/callbacks/thinksurance/cbt_")
    for name in ("nobody", "wg"):
        office.set("thinksurance", "ts", test_source=name)
        refused = office.post("thinksurance/forward", FORWARD)
        assert (refused.status_code, refused.json()["code"]) == (409, "source-not-ready")


def test_each_call_is_in_the_audit_log(office: Office) -> None:
    made = office.made("thinksurance/forward", FORWARD)
    ((actor, detail),) = office.rows("SELECT actor, detail FROM audit WHERE action = 'submission.create'")
    assert actor.startswith("key:")
    ((token_id,),) = office.rows(
        "SELECT t.id FROM source_tokens t JOIN sources s ON s.id = t.source_id WHERE s.name = 'ts'"
    )
    assert detail == {
        "submission_id": made["id"],
        "source": "ts",
        "kind": "thinksurance/forward",
        "token_ids": [str(token_id)],
    }


# --- once only ---


def test_the_same_key_makes_one_call(office: Office) -> None:
    first = office.made("wegroup/customer-lead", LEAD, Idempotency_Key="k-1")
    again = office.post("wegroup/customer-lead", LEAD, Idempotency_Key="k-1")
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert again.json()["id"] == first["id"]
    assert again.json()["platform_ids"] == first["platform_ids"]
    assert len(office.wegroup.heard) == 1
    noted = office.rows("SELECT detail -> 'resource', detail -> 'ids' FROM audit WHERE action = 'personal.read'")
    assert noted == [("submissions", [first["id"]])]  # what is kept was read
    other = office.post("wegroup/customer-lead", LEAD | {"origin": "WEB"}, Idempotency_Key="k-1")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-key-reused")
    other = office.post("wegroup/company-lead", LEAD, Idempotency_Key="k-1")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-key-reused")
    assert office.made("wegroup/customer-lead", LEAD, Idempotency_Key="k-2")["id"] != first["id"]
    assert len(office.wegroup.heard) == 2


def test_a_redirect_address_is_given_once(office: Office) -> None:
    first = office.made("thinksurance/forward", FORWARD, Idempotency_Key="k-1")
    again = office.post("thinksurance/forward", FORWARD, Idempotency_Key="k-1")
    assert (again.status_code, again.json()["code"]) == (409, "answer-not-kept")
    assert again.json()["submission_id"] == first["id"]
    assert sum(one.path.endswith("/forward") for one in office.thinksurance.heard) == 1


def test_a_refused_forward_can_be_asked_for_again_under_its_key(office: Office) -> None:
    office.thinksurance.quirks.add("error", "/api/ipn/brokers/forward", times=2)
    first = office.made("thinksurance/forward", FORWARD, Idempotency_Key="k-1")
    again = office.post("thinksurance/forward", FORWARD, Idempotency_Key="k-1")
    assert (first["state"], again.status_code, again.json()["state"]) == ("refused", 200, "refused")
    assert again.json()["id"] == first["id"]


def test_two_at_once_under_one_key_make_one_call(office: Office) -> None:
    office.wegroup.quirks.add("slow", "/v1", times=2, seconds=0.2)
    key = office.writer

    def post(_: int) -> Any:
        return office.post("wegroup/customer-lead", LEAD, key, Idempotency_Key="k-1")

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(post, range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(office.wegroup.heard) == 1


# --- what platforms do ---


def test_a_refusal_is_told_by_field(office: Office) -> None:
    body = LEAD | {
        "prospect": {**LEAD["prospect"], "risk_objects": {"residences": [{"address": {"zipcode": "ERROR"}}]}}  # type: ignore[dict-item]
    }
    made = office.made("wegroup/customer-lead", body)
    assert made["state"] == "refused"
    assert made["problem"]["code"] == "refused"
    pointers = {error["pointer"] for error in made["problem"]["errors"]}
    assert "/prospect/risk_objects/residences/0/address/zipcode" in pointers
    assert made["problem"]["retry_could_help"] is False
    assert made["answer"]["detail"]["type"] == "ValidationError"
    assert made["due_at"] is None


@pytest.mark.parametrize(
    ("kind", "acted", "state", "code"),
    [
        ("error", False, "refused", "refused"),
        ("refused", False, "refused", "refused"),
        ("busy", False, "refused", "platform-failed"),
        ("server-error", True, "unknown", "platform-failed"),
        ("html-error", True, "unknown", "platform-failed"),
        ("cut", True, "unknown", "unreachable"),
        ("html", True, "unknown", "not-json"),
        ("moved", True, "unknown", "unusable-answer"),
    ],
)
def test_what_is_not_known_is_called_so(office: Office, kind: str, acted: bool, state: str, code: str) -> None:
    office.thinksurance.quirks.add(kind, "/api/ipn/brokers/forward", times=9, acted=acted)
    made = office.made("thinksurance/forward", FORWARD)
    assert (made["state"], made["problem"]["code"], made["redirect_url"]) == (state, code, None)
    assert "erika" not in str(made["problem"])


MAY_BE_REPEATED = {
    "thinksurance/forward": {"source": "ts", "type": 1, "bExternalId": "42", "cExternalId": "K-1"},
    "wegroup/customer-lead": LEAD,
    "allianz/lead-update": {"source": "az", "leadId": "900123", "estado": 20, "observacion": "closed"},
}


@pytest.mark.parametrize("path", MAY_BE_REPEATED)
@pytest.mark.parametrize(
    ("status", "said"),
    [
        (200, {"error": "exists already"}),
        (422, {"error": "exists already"}),
        (401, {"error": "The token is expired"}),
    ],
)
def test_a_refusal_after_a_try_that_may_have_been_done_is_not_called_one(
    office: Office, path: str, status: int, said: Any
) -> None:
    tried = []

    async def nasty(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].endswith("/tokens"):
            await office.thinksurance(scope, receive, send)
            return
        tried.append(scope["path"])
        done = JSONResponse({}, 504) if len(tried) == 1 else JSONResponse(said, status)
        await done(scope, receive, send)

    office.stages[path.partition("/")[0]].app = nasty
    made = office.made(path, MAY_BE_REPEATED[path])
    assert len(tried) >= 2
    assert (made["state"], made["sent_at"] is not None) == ("unknown", True)


@pytest.mark.parametrize(
    ("kind", "code"), [("cut", "unreachable"), ("server-error", "platform-failed"), ("html", "not-json")]
)
def test_a_call_whose_login_failed_did_not_happen(office: Office, kind: str, code: str) -> None:
    office.thinksurance.quirks.add(kind, "/api/ipn/tokens", times=9)
    made = office.made("thinksurance/forward", FORWARD)
    assert (made["state"], made["problem"]["code"]) == ("refused", code)
    assert {one.path for one in office.thinksurance.heard} <= {"/api/ipn/tokens"}


def test_a_login_that_was_refused_is_not_asked_for_again_by_each_call(office: Office) -> None:
    office.thinksurance.world.user_secret = "another"
    states = [office.made("thinksurance/forward", FORWARD)["state"] for _ in range(3)]
    assert states == ["refused"] * 3
    assert [one.path for one in office.thinksurance.heard] == ["/api/ipn/tokens"]


def test_a_session_that_one_callers_token_began_serves_no_other(office: Office) -> None:
    cookies = []

    async def remembering(scope: Any, _: Any, send: Any) -> None:
        cookies.append(dict(scope["headers"]).get(b"cookie"))
        await JSONResponse({"id": "a"}, headers={"Set-Cookie": "session=lotte; Path=/"})(scope, _, send)

    office.stages["wegroup"].app = remembering
    for token in ("lotte", "emma"):
        assert office.made("wegroup/customer-lead", LEAD, X_WeGroup_Access_Token=token)["state"] == "accepted"
    assert cookies == [None, None]


def test_a_call_that_took_too_long_is_unknown_and_keeps_its_references(new_office: Callable[..., Office]) -> None:
    office = new_office(answer_seconds=1.0)
    office.thinksurance.quirks.add("slow", "/api/ipn/brokers/forward", seconds=20.0, times=9)
    made = office.made("thinksurance/forward", FORWARD, Idempotency_Key="k")
    assert (made["state"], made["problem"]["code"]) == ("unknown", "timed-out")
    assert made["sent_at"] is not None
    assert office.rows("SELECT key FROM submission_keys") == [("ref:crm\x1fVorgang\x1fA-77",)]
    again = office.post("thinksurance/forward", FORWARD, Idempotency_Key="k")
    assert (again.status_code, again.json()["state"]) == (200, "unknown")


def test_an_answer_is_kept_though_the_database_is_slow(office: Office, database_url: str) -> None:
    locker = connect(database_url, autocommit=False)

    async def locking(scope: Any, receive: Any, send: Any) -> None:
        locker.execute("LOCK TABLE submissions IN ACCESS EXCLUSIVE MODE")
        Timer(2.5, locker.rollback).start()  # more than the lock_timeout of 2 s
        await office.wegroup(scope, receive, send)

    office.stages["wegroup"].app = locking
    made = office.made("wegroup/customer-lead", LEAD)
    assert made["state"] == "accepted"
    assert made["platform_ids"]["lead_id"] in office.wegroup.leads
    assert len(office.wegroup.heard) == 1
    locker.close()


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (rb'{"id": "a\u0000b", "x": ["\ud800", 1e999, 99999999999999999999]}', "a\ufffdb"),
        (b'{"id": "a", "x": "' + b"y" * 300_000 + b'"}', "a"),
        (b'{"id": "a", "x": ' + b"[" * 150 + b"]" * 150 + b"}", "a"),
        (b'{"id": 17}', "17"),
        (b'{"id": "0B7E6A52-3D7B-4D39-9A53-6F1F5A0C1E01"}', "0b7e6a52-3d7b-4d39-9a53-6f1f5a0c1e01"),
    ],
)
def test_an_odd_answer_is_kept_as_far_as_it_can_be(office: Office, said: bytes, kept: str) -> None:
    async def odd(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": said})

    office.stages["wegroup"].app = odd
    made = office.made("wegroup/customer-lead", LEAD)
    assert (made["state"], made["platform_ids"]["lead_id"]) == ("accepted", kept)
    assert len(str(made["answer"])) < 200_000


def test_an_address_that_is_no_secret_of_a_forward_hinders_no_repeat(office: Office) -> None:
    office.stages["wegroup"].app = JSONResponse({"id": "a", "url": "https://app.wegroup.example/leads/a"})
    made = office.made("wegroup/customer-lead", LEAD, Idempotency_Key="k")
    again = office.post("wegroup/customer-lead", LEAD, Idempotency_Key="k")
    assert (again.status_code, again.json()["id"]) == (200, made["id"])


def test_an_alta_with_signs_of_a_lead_is_not_called_refused(office: Office) -> None:
    said = {"status": "OK", "partnerManage": True, "client": False, "leadId": 0, "message": "error"}
    office.stages["allianz"].app = JSONResponse(said)
    assert office.made("allianz/lead", ALTA)["state"] == "refused"
    office.stages["allianz"].app = JSONResponse(said | {"idLanding": "77"})
    assert office.made("allianz/lead", ALTA)["state"] == "unknown"


def test_a_platform_that_is_not_there_was_sent_nothing(office: Office) -> None:
    office.set("wegroup", "wg", base_url="http://127.0.0.1:9")
    made = office.made("wegroup/customer-lead", LEAD)
    assert (made["state"], made["problem"]["code"], made["sent_at"]) == ("refused", "unreachable", None)
    assert made["problem"]["retry_could_help"] is True


def test_a_callback_before_the_answer_is_not_lost(office: Office) -> None:
    made = office.made("wegroup/customer-lead", LEAD)
    ((source,),) = office.rows("SELECT source_id FROM submissions")
    assert office.rows("SELECT key FROM submission_keys WHERE key = %s", reference_key("crm", "external_ref", "crm-1"))
    # As if the processor had tied an event to it while the call was under way.
    office.database.execute(
        "UPDATE submissions SET state = 'answered', first_event_id = id, answered_at = sent_at + interval '1 second'"
    )
    entry = written.Entry(UUID(made["id"]), source, "customer-lead", {}, b"", None, None, None, None, None)  # type: ignore[arg-type]

    async def store(outcome: Outcome) -> None:
        async with office.client.app.state.sender._primary.begin() as connection:  # type: ignore[attr-defined]
            await written.store_outcome(connection, entry, outcome)

    office.client.portal.call(store, Outcome("unknown"))  # type: ignore[union-attr]
    known = office.get(f"/submissions/{made['id']}").json()
    assert (known["state"], known["time_to_answer_seconds"]) == ("answered", 1.0)
    office.client.portal.call(store, Outcome("refused"))  # type: ignore[union-attr]
    known = office.get(f"/submissions/{made['id']}").json()
    assert (known["state"], known["first_event_id"], known["answered_at"]) == ("refused", None, None)


def test_what_called_with_earlier_settings_lets_go_of_its_connections(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.submissions.clients._LONGEST_CALL_S", 0.0)
    app: Any = office.client.app
    used = []
    for hours in range(1, 6):
        office.set("wegroup", "wg", overdue_after=f"{hours}h")
        office.made("wegroup/customer-lead", LEAD)
        used += [held._caller._client for _, held in app.state.sender.clients._held.values()]
    until(lambda: [one.is_closed for one in used] == [True] * 4 + [False])


def test_a_credential_that_was_changed_is_used_from_then_on(office: Office) -> None:
    for token in (wegroup.API_TOKEN, "next-token"):
        set_source(office.database, office.vault, PLATFORMS["wegroup"], "wg", credentials=[("api_token", token)])
        office.made("wegroup/customer-lead", LEAD, key=office.key())  # a new key has the accounts read again
        assert office.wegroup.heard[-1].headers["authorization"] == f"apikey {token}"
