"""Each kind of call at its platform."""

import pytest

from app.accounts.model import Scope
from app.processing.call_keys import lead_key
from tests.doubles import allianz, wegroup
from tests.submissions.conftest import ALTA, BASE_URL, LEAD, Office


def test_agency_numbers_are_added(office: Office) -> None:
    number = {"agencyNumber": "1", "defaultForTenders": True, "defaultForCalculations": True, "active": True}
    body = {"source": "ts", "agencyNumberSets": [{"baFinId": "5000", "agencyNumbers": [number, number]}]}
    made = office.made("thinksurance/agency-numbers", body)
    assert (made["state"], made["platform_ids"]["inquiry_id"]) == ("accepted", None)
    assert {one["reason"] for one in made["warnings"]} == {"second-default"}
    assert "x-account-token" not in office.thinksurance.heard[-1].headers


def test_a_broker_is_created_and_its_token_given_once(office: Office) -> None:
    body = {"source": "ts", "type": 1, "bExternalId": "B-9", "bEmail": "b@beispiel.example", "bLastName": "Beispiel"}
    made = office.made("thinksurance/broker", body, Idempotency_Key="k")
    assert made["state"] == "accepted"
    assert office.thinksurance.world.brokers[made["broker_token"]].external_id == "B-9"
    assert made["broker_token"] not in str(office.rows("SELECT s::text FROM submissions s"))
    assert office.post("thinksurance/broker", body, Idempotency_Key="k").json()["code"] == "answer-not-kept"


def test_a_lead_is_pushed_with_our_callback_and_the_callers_own_token(office: Office) -> None:
    office.source("wegroup", "no-token", settings=[("distribution_id", wegroup.DISTRIBUTION_ID)])
    body = LEAD | {"source": "no-token"}
    refused = office.post("wegroup/customer-lead", body)
    assert (refused.status_code, refused.json()["errors"][0]["name"]) == (422, "X-WeGroup-Access-Token")
    made = office.made("wegroup/customer-lead", body, X_WeGroup_Access_Token=wegroup.ACCESS_TOKEN)
    assert made["state"] == "accepted"
    heard = office.wegroup.heard[-1]
    assert heard.headers["authorization"] == f"bearer {wegroup.ACCESS_TOKEN}"
    assert heard.body["source"] == "website"
    (url,) = heard.body["prospect"]["callbacks"]
    assert url.startswith(f"{BASE_URL}/callbacks/wegroup/cbt_")
    stored = str(office.rows("SELECT s::text FROM submissions s")) + str(office.rows("SELECT a::text FROM audit a"))
    assert wegroup.ACCESS_TOKEN not in stored
    assert url not in stored
    assert made["external_reference"] == "crm-1"


def test_a_company_gets_our_reference_where_it_has_none(office: Office) -> None:
    made = office.made("wegroup/company-lead", {"source": "wg", "prospect": {"name": "Bakkerij Voorbeeld BV"}})
    assert made["external_reference"] == made["id"]
    assert office.rows("SELECT count(*) FROM submission_keys") == [(2,)]


def test_allianz_is_asked_for_a_person(office: Office) -> None:
    made = office.made("allianz/client-check", {"source": "az", "nif": allianz.CLIENT})
    assert (made["state"], made["answer"]["agentId"], made["answer"]["partnerManage"]) == (
        "accepted",
        allianz.AGENT,
        True,
    )
    assert made["answer"]["decision"]["action"] == "alta"
    office.allianz.settings.client_data = {"status": "KO"}
    assert office.made("allianz/client-check", {"source": "az", "nif": allianz.CLIENT})["state"] == "refused"


def test_a_lead_is_passed_on_and_closed_by_its_update(office: Office) -> None:
    made = office.made("allianz/lead", ALTA)
    lead_id = made["platform_ids"]["lead_id"]
    assert (made["state"], lead_id in office.allianz.leads) == ("accepted", True)
    assert made["request"]["agenteId"] == "0051245"
    assert office.allianz.leads[lead_id]["partnerLeadId"] == made["id"]
    update = {"source": "az", "leadId": lead_id, "estado": 20, "observacion": "Policy issued elsewhere"}
    assert office.made("allianz/lead-update", update)["state"] == "accepted"
    closed = office.get(f"/submissions/{made['id']}").json()
    assert closed["state"] == "closed"
    assert closed["closed_at"] is not None


@pytest.mark.parametrize("state", ["accepted", "answered", "unknown", "refused"])
def test_an_update_closes_what_is_open_of_its_own_account(office: Office, state: str) -> None:
    office.source("allianz", "other", settings=[("agent_id", "0051245")])
    made, foreign = (office.made("allianz/lead", ALTA | {"source": name}) for name in ("az", "other"))
    lead_id = made["platform_ids"]["lead_id"]
    office.database.execute("UPDATE submission_keys SET key = %s", (lead_key(lead_id),))  # accounts may share ids
    office.database.execute("UPDATE submissions SET state = %s WHERE id = %s", (state, made["id"]))
    office.made("allianz/lead-update", {"source": "az", "leadId": lead_id, "estado": 20, "observacion": "x"})
    assert office.get(f"/submissions/{made['id']}").json()["state"] == ("refused" if state == "refused" else "closed")
    assert office.get(f"/submissions/{foreign['id']}").json()["state"] == "accepted"


def test_what_allianz_manages_itself_is_closed_at_once(office: Office) -> None:
    made = office.made("allianz/lead", ALTA | {"dni": allianz.CLIENT_OF_ALLIANZ})
    assert (made["state"], made["problem"]["code"]) == ("closed", "handled-by-allianz")
    assert office.allianz.leads == {}


def test_an_alta_of_unknown_outcome_is_not_repeated(office: Office) -> None:
    office.allianz.quirks.add("server-error", "/alta-lead", acted=True, times=9)
    made = office.made("allianz/lead", ALTA, Idempotency_Key="k")
    assert made["state"] == "unknown"
    again = office.post("allianz/lead", ALTA, Idempotency_Key="k")
    assert (again.status_code, again.json()["state"]) == (200, "unknown")
    assert len(office.allianz.leads) == 1


def test_a_stored_lead_is_passed_on_with_what_it_lacks(office: Office) -> None:
    ((wegroup_id,),) = office.rows("SELECT id FROM sources WHERE name = 'wg'")
    record_id = "019a9c3e-1f00-7abc-8def-0123456789ab"
    office.database.execute(
        "INSERT INTO leads (id, source_id, identity, first_name, last_name, email, head_key, head_receipt, field_keys,"
        " folded, first_received_at, last_received_at, event_count)"
        " VALUES (%s, %s, 'x', 'Lucía', 'Ejemplo', 'lucia@ejemplo.example', '', '', '{}', '{}', now(), now(), 1)",
        (record_id, wegroup_id),
    )
    answer = office.post("allianz/lead", {"source": "az", "lead": record_id})
    assert answer.status_code == 422
    missing = {error["pointer"] for error in answer.json()["errors"]}
    assert missing == {"/acceptTerms", "/motivoLlamada", "/phone"}
    given = {"acceptTerms": True, "motivoLlamada": "1", "phone": "600000000", "dni": allianz.STRANGER}
    made = office.made("allianz/lead", {"source": "az", "lead": record_id, **given})
    lead = office.allianz.leads[made["platform_ids"]["lead_id"]]
    assert (lead["name"], lead["email"]) == ("Lucía Ejemplo", "lucia@ejemplo.example")
    assert "lead" not in lead
    for unknown in ("019a9c3e-1f00-7abc-8def-000000000000", "x", 7):
        answer = office.post("allianz/lead", {"source": "az", "lead": unknown, **given})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/lead")
    walled = office.key(Scope.WRITE, sources=["az"])
    assert office.post("allianz/lead", {"source": "az", "lead": record_id, **given}, walled).status_code == 422
