"""A callback URL of its own for each call: what comes by it is matched, whatever it says."""

from typing import Any

import pytest

from app.accounts import parts, store
from app.accounts.snapshot import read_accounts
from app.accounts.writing import AccountError
from app.crypto import sha256
from tests.doubles import wegroup
from tests.submissions.conftest import BASE_URL, FORWARD, LEAD, Office
from tests.submissions.test_events import call_back

NAMELESS = {"prospect": {"first_name": "Lotte"}}


@pytest.fixture
def office(office: Office) -> Office:
    office.set("wegroup", "wg", own_tokens="on")
    return office


def callbacks(office: Office) -> list[str]:
    """Return the tokens of the URLs that the last push registered."""
    urls = office.wegroup.heard[-1].body["prospect"]["callbacks"]
    return [url.removeprefix(f"{BASE_URL}/callbacks/wegroup/") for url in urls]


def lead(reference: str) -> dict[str, Any]:
    prospect = LEAD["prospect"] | {"external_ref": {"external_ref": reference, "external_ref_company": "crm"}}  # type: ignore[operator]
    return LEAD | {"prospect": prospect}


def test_each_call_registers_a_url_of_its_own(office: Office) -> None:
    first = office.made("wegroup/customer-lead", lead("a"))
    (one,) = callbacks(office)
    second = office.made("wegroup/customer-lead", lead("b"))
    (other,) = callbacks(office)
    known = read_accounts(office.database, office.vault).tokens
    for token, made in ((one, first), (other, second)):
        assert known[sha256(token)].source.name == "wg"
        assert known[sha256(token)].label == f"submission-{made['id'][-12:]}"
        token_id = known[sha256(token)].id
        keys = office.rows("SELECT submission_id::text FROM submission_keys WHERE key = %s", f"token:{token_id}")
        assert keys == [(made["id"],)]
        for row in office.rows("SELECT t::text FROM submissions t UNION ALL SELECT a::text FROM audit a"):
            assert token not in str(row)
    assert one != other


def test_a_new_token_is_audited_and_made_known_to_receivers(office: Office) -> None:
    assert office.writer  # making a key is a change too
    version = office.rows("SELECT value FROM installation WHERE key = 'accounts-version'")
    made = office.made("wegroup/customer-lead", LEAD)
    assert office.rows("SELECT value FROM installation WHERE key = 'accounts-version'") != version
    entries = office.rows("SELECT action, actor, detail FROM audit WHERE detail ? 'submission_id' ORDER BY action")
    (added, created) = entries
    label = f"submission-{made['id'][-12:]}"
    token_id = added[2]["token_id"]
    assert added[0] == "source.token.add"
    assert added[2] == {"source": "wg", "label": label, "submission_id": made["id"], "token_id": token_id}
    assert (created[0], created[2]["token_ids"]) == ("submission.create", [token_id])
    assert added[1] == created[1]


@pytest.mark.parametrize("body", [NAMELESS, {"lead_id": "other", "event_type": "updated"}])
def test_a_callback_that_does_not_name_us_is_matched(office: Office, body: dict[str, Any]) -> None:
    made = office.made("wegroup/customer-lead", LEAD)
    (token,) = callbacks(office)
    call_back(office, "wg", body)
    assert office.get(f"/submissions/{made['id']}").json()["state"] == "accepted"
    token_id = read_accounts(office.database, office.vault).tokens[sha256(token)].id
    call_back(office, "wg", body, token_id)
    known = office.get(f"/submissions/{made['id']}").json()
    assert known["state"] == "answered"
    (event,) = office.get(f"/events?submission_id={made['id']}").json()["data"]
    assert event["id"] == known["first_event_id"]


def test_an_update_registers_the_same_url_again(office: Office) -> None:
    first = office.made("wegroup/customer-lead", LEAD)
    (token,) = callbacks(office)
    second = office.made("wegroup/customer-lead", LEAD | {"origin": "WEB"})
    assert callbacks(office) == [token]
    assert office.rows("SELECT count(*) FROM source_tokens WHERE label LIKE 'submission-%%'") == [(1,)]
    token_id = read_accounts(office.database, office.vault).tokens[sha256(token)].id
    call_back(office, "wg", NAMELESS, token_id)
    states = [office.get(f"/submissions/{made['id']}").json()["state"] for made in (first, second)]
    assert states == ["answered", "answered"]
    (event,) = office.get("/events?source=wg").json()["data"]
    assert event["submission_id"] == second["id"]


def test_a_revoked_token_is_not_registered_again(office: Office) -> None:
    office.made("wegroup/customer-lead", LEAD)
    (token,) = callbacks(office)
    token_id = read_accounts(office.database, office.vault).tokens[sha256(token)].id
    parts.revoke_token(office.database, "wg", str(token_id))
    office.made("wegroup/customer-lead", LEAD)
    (other,) = callbacks(office)
    assert other != token
    assert sha256(other) in read_accounts(office.database, office.vault).tokens


def test_a_reference_at_another_source_is_another_lead(office: Office) -> None:
    settings = [("distribution_id", wegroup.DISTRIBUTION_ID), ("own_tokens", "on")]
    office.source("wegroup", "wg-2", settings=settings, api_token=wegroup.API_TOKEN)
    office.made("wegroup/customer-lead", LEAD)
    (token,) = callbacks(office)
    office.made("wegroup/customer-lead", LEAD | {"source": "wg-2"})
    assert callbacks(office) != [token]


def test_a_repeat_makes_no_token(office: Office) -> None:
    office.made("wegroup/customer-lead", LEAD, Idempotency_Key="k")
    assert office.post("wegroup/customer-lead", LEAD, Idempotency_Key="k").status_code == 200
    assert office.post("wegroup/customer-lead", LEAD | {"origin": 7}).status_code == 422
    assert office.rows("SELECT count(*) FROM source_tokens WHERE label LIKE 'submission-%%'") == [(1,)]


def test_the_tokens_of_single_calls_are_nobody_elses(office: Office) -> None:
    office.made("wegroup/customer-lead", LEAD)
    (own,) = callbacks(office)
    (shared,) = parts.reveal_tokens(office.database, office.vault, "wg")
    assert shared.label == "token-1"
    office.set("wegroup", "wg", own_tokens="off")
    office.made("wegroup/customer-lead", LEAD | {"origin": "WEB"})
    assert callbacks(office) == [shared.token]
    with pytest.raises(AccountError, match="label: begins with 'submission-'"):
        parts.add_token(office.database, office.vault, "wg", " submission-x")
    assert len(parts.list_tokens(office.database, "wg")) == 2
    shown = store.show_source(office.database, "wg")
    assert ([token["label"] for token in shown["tokens"]], shown["submission_tokens"]) == (["token-1"], 1)
    assert own != shared.token


def test_off_is_the_default(office: Office) -> None:
    office.set("wegroup", "wg", own_tokens="")
    office.made("wegroup/customer-lead", LEAD)
    (shared,) = parts.reveal_tokens(office.database, office.vault, "wg")
    assert callbacks(office) == [shared.token]
    assert office.rows("SELECT 1 FROM submission_keys WHERE key LIKE 'token:%%'") == []


@pytest.mark.parametrize(
    ("provider", "name", "setting", "path", "body"),
    [
        ("wegroup", "wg", "own_tokens", "wegroup/customer-lead", LEAD),
        ("thinksurance", "ts", "overdue_after", "thinksurance/forward", FORWARD),
    ],
)
def test_a_setting_from_before_there_was_a_check_is_named(
    office: Office, provider: str, name: str, setting: str, path: str, body: dict[str, Any]
) -> None:
    office.set(provider, name, **{setting: "maybe"})
    refused = office.post(path, body)
    assert (refused.status_code, refused.json()["code"]) == (409, "source-not-ready")
    assert setting in refused.json()["detail"]
    assert office.rows("SELECT 1 FROM submissions") == []
