"""Who may have calls made, and which requests are refused before anything is sent."""

from typing import Any

import pytest

from app.accounts.model import Scope
from tests.submissions.conftest import ALTA, BROKER_TOKEN, FORWARD, LEAD, Office

# --- wrong requests ---


@pytest.mark.parametrize(
    ("path", "body", "pointers"),
    [
        ("thinksurance/forward", {"source": "ts", "type": 3}, {"/type", "/bExternalId"}),
        ("thinksurance/forward", FORWARD | {"bEmail": "a@b.example;"}, {"/bEmail"}),
        ("thinksurance/forward", {**FORWARD, "typo": 1}, {"/typo"}),
        ("thinksurance/forward", FORWARD | {"cLastName": "a\x00b"}, {"/cLastName"}),
        ("thinksurance/forward", {**FORWARD, "source": "wg"}, {"/source"}),
        ("thinksurance/forward", {"type": 1}, {"/source"}),
        ("thinksurance/agency-numbers", {"source": "ts", "agencyNumberSets": []}, {"/agencyNumberSets"}),
        ("wegroup/company-lead", {"source": "wg", "prospect": {"email": "a@b.example"}}, {"/prospect/name"}),
        ("wegroup/customer-lead", LEAD | {"lead_source": 7}, {"/lead_source"}),
        ("allianz/client-check", {"source": "az", "nif": "12345678A"}, {"/nif"}),
        ("allianz/lead", {"source": "az"}, {"/acceptTerms", "/motivoLlamada", "/name", "/phone"}),
        ("allianz/lead", {name: ALTA[name] for name in ALTA if name != "dni"}, {"/dni"}),
        ("allianz/lead-update", {"source": "az", "leadId": "1", "estado": 7, "observacion": "x"}, {"/estado"}),
        ("thinksurance/forward", b"{", {""}),
        ("thinksurance/forward", b"[]", {""}),
        ("thinksurance/forward", b'{"a":' * 40 + b"1" + b"}" * 40, {""}),
    ],
)
def test_a_wrong_body_is_refused_by_field_and_nothing_is_sent(
    office: Office, path: str, body: Any, pointers: set[str]
) -> None:
    answer = office.post(path, body)
    assert answer.status_code == 422, answer.text
    assert {error["pointer"] for error in answer.json()["errors"]} == pointers
    assert {error["in"] for error in answer.json()["errors"]} == {"body"}
    assert not [error["code"] for error in answer.json()["errors"] if "_" in error["code"]]
    assert office.rows("SELECT 1 FROM submissions") == []
    assert [*office.thinksurance.heard, *office.wegroup.heard, *office.allianz.heard] == []


def test_a_body_that_is_too_long_is_refused(office: Office) -> None:
    assert office.post("thinksurance/forward", b" " * 1_000_001).status_code == 413


@pytest.mark.parametrize("key", ["", "a" * 256, "a b"])
def test_a_key_that_cannot_be_kept_is_refused(office: Office, key: str) -> None:
    answer = office.post("thinksurance/forward", FORWARD, Idempotency_Key=key)
    assert (answer.status_code, answer.json()["errors"][0]["name"]) == (422, "Idempotency-Key")


def test_a_source_that_lacks_something_says_what(office: Office) -> None:
    office.source("thinksurance", "bare", b_token="b")
    answer = office.post("thinksurance/forward", FORWARD | {"source": "bare"})
    assert (answer.status_code, answer.json()["code"]) == (409, "source-not-ready")
    assert "hash" in answer.json()["detail"]
    office.database.execute("UPDATE sources SET disabled_at = now() WHERE name = 'ts'")
    assert office.post("thinksurance/forward", FORWARD).json()["code"] == "source-not-ready"
    office.database.execute("UPDATE sources SET disabled_at = NULL")
    office.database.execute("UPDATE source_tokens SET revoked_at = now()")
    assert office.post("thinksurance/forward", FORWARD).json()["code"] == "source-not-ready"
    office.set("thinksurance", "ts", overdue_after="soon")
    office.database.execute("UPDATE source_tokens SET revoked_at = NULL")
    assert "overdue_after" in office.post("thinksurance/forward", FORWARD).json()["detail"]
    assert office.rows("SELECT 1 FROM submissions") == []


def test_a_callback_url_that_was_given_up_with_a_lost_key_cannot_be_named(office: Office) -> None:
    office.database.execute("UPDATE source_tokens SET token_encrypted = ''")
    answer = office.post("thinksurance/forward", FORWARD)
    assert (answer.status_code, answer.json()["code"]) == (409, "source-not-ready")
    assert office.thinksurance.heard == []


def test_no_platform_is_called_by_a_disabled_source(office: Office) -> None:
    assert office.get("/catalogs/thinksurance/products?source=ts").status_code == 200
    heard = len(office.thinksurance.heard)
    office.database.execute("UPDATE sources SET disabled_at = now() WHERE name = 'ts'")
    for answer in (
        office.get("/catalogs/thinksurance/products?source=ts"),
        office.get("/catalogs/thinksurance/professions?source=ts"),
        office.post("thinksurance/forward", FORWARD),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "source-not-ready")
        assert "ts is disabled" in answer.json()["detail"]
    assert len(office.thinksurance.heard) == heard


def test_a_disabled_source_is_not_named_to_be_called_back(office: Office) -> None:
    office.source("thinksurance", "ts-test")
    office.set("thinksurance", "ts", test_source="ts-test")
    office.database.execute("UPDATE sources SET disabled_at = now() WHERE name = 'ts-test'")
    answer = office.post("thinksurance/forward", FORWARD)
    assert (answer.status_code, answer.json()["code"]) == (409, "source-not-ready")
    assert "ts-test is disabled" in answer.json()["detail"]
    assert office.thinksurance.heard == []


def test_a_broker_token_must_be_clear(office: Office) -> None:
    office.source("thinksurance", "two", hash="h", secret="s")
    answer = office.post("thinksurance/forward", FORWARD | {"source": "two"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/bToken")
    made = office.made("thinksurance/forward", FORWARD | {"source": "two", "bToken": BROKER_TOKEN})
    assert made["state"] == "accepted"
    assert "bToken" not in made["request"]


# --- who may ---


def test_the_walls_hold(office: Office) -> None:
    ((own,),) = office.rows("SELECT id FROM sources WHERE name = 'wg'")
    assert office.post("thinksurance/forward", FORWARD, office.key(Scope.READ)).status_code == 403
    by_source = office.key(Scope.WRITE, sources=["wg"])
    answer = office.post("thinksurance/forward", FORWARD, by_source)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/source")
    assert "ts" not in answer.json()["detail"].partition("there are")[2]
    by_broker = office.key(Scope.WRITE, Scope.READ, brokers=["42"])
    made = office.made("thinksurance/forward", FORWARD, key=by_broker)
    assert office.get(f"/submissions/{made['id']}", by_broker).status_code == 200
    assert office.post("thinksurance/forward", FORWARD | {"bExternalId": "43"}, by_broker).status_code == 403
    assert office.post("wegroup/customer-lead", LEAD, by_broker).status_code == 403
    other = office.key(Scope.READ, brokers=["43"])
    assert office.get(f"/submissions/{made['id']}", other).status_code == 404
    assert office.get("/submissions", other).json()["data"] == []
    assert office.get("/submissions", office.key(Scope.READ, sources=["wg"])).json()["data"] == []
    assert len(office.rows("SELECT 1 FROM submissions")) == 1
    assert own


def test_an_idempotency_key_tells_nothing_of_a_call_beyond_the_walls(office: Office) -> None:
    office.made("thinksurance/forward", FORWARD, Idempotency_Key="k-1")
    foreign, named = office.key(Scope.WRITE, Scope.READ, brokers=["43"]), {"bExternalId": "43", "cExternalId": "K-9"}
    answers = [
        office.post("thinksurance/forward", one, foreign, Idempotency_Key="k-1") for one in (FORWARD, FORWARD | named)
    ]
    told = [{name: one for name, one in answer.json().items() if name != "request_id"} for answer in answers]
    assert told[0] == told[1]
    assert (answers[0].status_code, told[0]["code"]) == (409, "idempotency-key-reused")
    assert "submission_id" not in told[0]
    assert len(office.rows("SELECT 1 FROM submissions")) == 1


def test_without_the_scope_the_personal_parts_are_hidden(office: Office) -> None:
    made = office.made("thinksurance/forward", FORWARD, key=office.key(Scope.WRITE))
    assert (made["request"], made["answer"], made["redacted"]) == (None, None, ["answer", "request"])
    assert made["redirect_url"]
    plain = office.get(f"/submissions/{made['id']}", office.key(Scope.READ)).json()
    assert (plain["request"], plain["answer"], plain["redacted"]) == (None, None, ["answer", "request"])
    assert "Beispiel" not in str(plain)
    assert office.rows("SELECT 1 FROM audit WHERE action = 'personal.read'") == []
    for path in (f"/submissions/{made['id']}", "/submissions"):
        office.get(path)
    noted = office.rows("SELECT detail -> 'resource', detail -> 'ids' FROM audit WHERE action = 'personal.read'")
    assert noted == [("submissions", [made["id"]])] * 2
