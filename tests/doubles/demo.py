"""Shows the whole circle in a minute, for `make demo`: Callbox calls platforms, and they call back.

Callbox is the real service on a database of its own in a temporary folder (`showing`); the platforms are the doubles
beside this module. Every step says what it does and what to look at, and is checked: the exit status is 0 only if all
came true.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx2
from starlette.types import ASGIApp

from tests.doubles import allianz, wegroup
from tests.doubles.serving import serve
from tests.doubles.showing import Json, NotTrueError, Service, check, say
from tests.doubles.thinksurance import Thinksurance
from tests.doubles.thinksurance_world import (
    ACCOUNT_TOKEN,
    BROKER_TOKEN,
    ORDERED,
    PROPOSAL,
    USER_HASH,
    USER_SECRET,
    World,
)

ANSWERED_WITHIN_S = 120.0


def show(service: Service, urls: Mapping[str, str]) -> None:
    """Go through all steps."""
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("Tell Callbox of three accounts, and make an API key", lambda: _add_sources(service, urls)),
        ("Forward a broker to Thinksurance, which creates an inquiry and calls back", lambda: _forward(service)),
        ("The inquiry is ordered at Thinksurance, which calls back again", lambda: _order(service, urls)),
        ("The application form is saved before its token ends", lambda: _save(service, urls)),
        (
            "Thinksurance loses a callback; Callbox finds the gap and fills it",
            lambda: _miss(service, urls),
        ),
        ("Push a lead to WeGroup, which calls back", lambda: _push(service)),
        ("Pass that lead on to Allianz, which calls nobody", lambda: _pass_on(service)),
        ("See who asked for what", lambda: _look_back(service)),
    )
    for number, (title, step) in enumerate(steps, 2):
        say(f"\n{number}. {title}")
        step()


def _add_sources(service: Service, urls: Mapping[str, str]) -> None:
    thinksurance = {"hash": USER_HASH, "secret": USER_SECRET, "b_token": BROKER_TOKEN, "a_token": ACCOUNT_TOKEN}
    pushes = {"distribution_id": wegroup.DISTRIBUTION_ID, "own_tokens": "on"}
    for provider, name, credentials, settings in (
        ("thinksurance", "demo-thinksurance", thinksurance, {"overdue_after": "48h", "pull_every": "off"}),
        ("wegroup", "demo-wegroup", {"api_token": wegroup.API_TOKEN}, pushes),
        ("allianz", "demo-allianz", {}, {"agent_id": "0051245"}),
    ):
        words = [word for pair in credentials.items() for word in ("--credential", "=".join(pair))]
        words += [word for pair in settings.items() for word in ("--setting", "=".join(pair))]
        secret = ("--secret", USER_SECRET) if provider == "thinksurance" else ()
        service.command("sources", "add", provider, name, *secret, *words, "--setting", f"base_url={urls[provider]}")
    service.log_in()


def _forward(service: Service) -> None:
    say("   Look at: `state`, `platform_ids`, and the `redirect_url`, which is given this once and kept nowhere.")
    answer = service.post(
        "/v1/submissions/thinksurance/forward",
        {
            "source": "demo-thinksurance",
            "type": 1,
            "bExternalId": "42",
            "cExternalId": "K-1001",
            "cCompany": "Tischlerei Beispiel GmbH",
            "cLastName": "Beispiel",
            "instantInquiryCreation": "True",
            "productId": 81,
            "professionId": 311,
            "iExternalReferences": [{"origin": "crm", "paramKey": "Vorgang", "paramValue": "A-77"}],
        },
    )
    made = answer.json()
    check(f"201, state `{made.get('state')}`", is_true=made.get("state") == "accepted")
    check(f"the inquiry is {made['platform_ids']['inquiry_id']}", is_true=bool(made["platform_ids"]["inquiry_id"]))
    check(f"the browser would go to {made['redirect_url']}", is_true=bool(made["redirect_url"]))
    known = service.until_answered(made, ANSWERED_WITHIN_S)
    check("the redirect address is not kept", is_true=made["redirect_url"] not in json.dumps(known))
    event = service.get(f"/v1/events/{known['first_event_id']}")
    check(f"the event {event['type']} names the submission", is_true=event["submission_id"] == made["id"])
    check(f"its signature is `{event['verdict']}`", is_true=event["verdict"] == "verified")


def _order(service: Service, urls: Mapping[str, str]) -> None:
    (forward,) = service.get("/v1/submissions?kind=forward&state=answered")["data"]
    inquiry_id = forward["platform_ids"]["inquiry_id"]
    with httpx2.Client(trust_env=False, timeout=20) as client:
        client.post(f"{urls['thinksurance']}/double/settings", json={"document_seconds": 30}).raise_for_status()
        told = {"inquiryId": inquiry_id, "status": ORDERED}
        client.post(f"{urls['thinksurance']}/double/advance", json=told).raise_for_status()
    say("   Look at: `status_name` and the premium of the inquiry, and the two events about one submission.")
    path = f"/v1/inquiries?inquiry_id={inquiry_id}"
    end = time.monotonic() + ANSWERED_WITHIN_S
    while not _is_ordered(found := service.ask("GET", path, {}).json()["data"]) and time.monotonic() < end:
        time.sleep(0.1)
    say(f"   GET {path}")
    name, cents = (found[0]["status_name"], found[0]["premium_yearly_cents"]) if found else (None, None)
    check(f"the inquiry is `{name}`, at {cents} cents a year", is_true=_is_ordered(found))
    events = service.get(f"/v1/events?submission_id={forward['id']}")["data"]
    names = ", ".join(event["type"] for event in reversed(events))
    check(f"its events are {names}", is_true=len(events) == 2)


def _save(service: Service, urls: Mapping[str, str]) -> None:
    say("   Look at: `state`, `token_expires_at`, and `fetched_by`, the way on which the file was had.")
    path, end = "/v1/documents?source=demo-thinksurance", time.monotonic() + ANSWERED_WITHIN_S
    while service.ask("GET", f"{path}&state=archived", {}).json()["data"] == [] and time.monotonic() < end:
        time.sleep(0.1)
    (document,) = service.get(path)["data"]
    said = f"`{document['full_name']}` is {document['state']} by {document['fetched_by']}, {document['size']} bytes"
    check(said, is_true=document["state"] == "archived")
    in_time = document["archived_at"] < document["token_expires_at"]
    check(f"at {document['archived_at']}, before {document['token_expires_at']}", is_true=in_time)
    with httpx2.Client(trust_env=False, timeout=20) as client:
        client.post(f"{urls['thinksurance']}/double/expire").raise_for_status()
    say("   The token ends at Thinksurance.")
    answer = service.ask("GET", document["links"]["content"], {})
    say(f"   GET {document['links']['content']}")
    named = answer.headers.get("content-disposition", "").partition(";")[0]
    check(f"{answer.status_code}, {answer.headers['content-type']}, {named}", is_true=answer.content[:4] == b"%PDF")


def _miss(service: Service, urls: Mapping[str, str]) -> None:
    (forward,) = service.get("/v1/submissions?kind=forward&state=answered")["data"]
    inquiry_id = forward["platform_ids"]["inquiry_id"]
    with httpx2.Client(trust_env=False, timeout=20) as client:
        client.post(f"{urls['thinksurance']}/double/settings", json={"drop_callbacks": 1}).raise_for_status()
        told = {"inquiryId": inquiry_id, "status": PROPOSAL}
        called = client.post(f"{urls['thinksurance']}/double/advance", json=told).raise_for_status().json()
    check("the inquiry goes on at Thinksurance, and nobody is called", is_true=called == [])
    path = f"/v1/inquiries?inquiry_id={inquiry_id}"
    (before,) = service.get(path)["data"]
    check(f"so here it is still `{before['status_name']}`", is_true=before["status"] == ORDERED)
    say("   Look at: `gaps`. By itself Callbox asks so every hour; this source has the setting `pull_every=off`.")
    found = service.command("backfill", "--source", "demo-thinksurance", "--last-days", "1")
    check(f"of {found['items']} items {found['gaps']} is a gap", is_true=found["gaps"] == 1)
    (gap,) = service.get("/v1/gaps?source=demo-thinksurance")["data"]
    (change,) = [one for one in gap["changes"] if one["field"] == "status"]
    said = f"{gap['subject']}: status {change['old']} became {change['new']}, missed since {gap['missed_since']}"
    check(said, is_true=change == {"field": "status", "old": ORDERED, "new": PROPOSAL})
    (after,) = service.get(path)["data"]
    check(f"and the inquiry is `{after['status_name']}`", is_true=after["status"] == PROPOSAL)
    kinds = [notice["kind"] for notice in service.get("/v1/attention")["data"]]
    check(f"what needs somebody: {', '.join(kinds)}", is_true="gaps" in kinds)


def _is_ordered(found: list[Json]) -> bool:
    return bool(found) and found[0]["status"] == ORDERED


def _push(service: Service) -> None:
    say("   Look at: `external_reference`, by which the callback is known even before WeGroup's own id is, and the")
    say("   `token` of the delivery: by its own URL a callback is known whatever it says (setting `own_tokens`).")
    answer = service.post(
        "/v1/submissions/wegroup/customer-lead",
        {
            "source": "demo-wegroup",
            "origin": "CRM",
            "prospect": {
                "first_name": "Lotte",
                "last_name": "Voorbeeld",
                "email": "lotte@voorbeeld.example",
                "external_ref": {"external_ref": "crm-4711", "external_ref_company": "callbox"},
            },
        },
    )
    made = answer.json()
    check(f"201, state `{made.get('state')}`", is_true=made.get("state") == "accepted")
    known = service.until_answered(made, ANSWERED_WITHIN_S)
    (lead,) = service.get(known["links"]["record"])["data"]
    check(f"the lead of {lead['name'] or lead['first_name']} is there", is_true=lead["last_name"] == "Voorbeeld")
    event = service.get(f"/v1/events/{known['first_event_id']}")
    token = service.get(f"/v1/deliveries/{event['delivery_id']}")["token"]
    check(f"it came by `{token}`, the URL of this call alone", is_true=token.startswith("submission-"))


def _pass_on(service: Service) -> None:
    (lead,) = service.get("/v1/leads?source=demo-wegroup")["data"]
    body: Json = {"source": "demo-allianz", "lead": lead["id"]}
    say("   Look at: `errors`, which name the required fields that a WeGroup lead does not have.")
    answer = service.post("/v1/submissions/allianz/lead", body)
    missing = [error["pointer"] for error in answer.json()["errors"]]
    check(f"422, missing: {', '.join(missing)}", is_true="/acceptTerms" in missing and "/phone" in missing)
    body |= {"acceptTerms": True, "motivoLlamada": "1", "phone": "600000000", "dni": allianz.STRANGER}
    made = service.post("/v1/submissions/allianz/lead", body).json()
    lead_id = made["platform_ids"]["lead_id"]
    check(f"state `{made['state']}`, Allianz calls it {lead_id}", is_true=made["state"] == "accepted" and bool(lead_id))
    told = {"source": "demo-allianz", "leadId": lead_id, "estado": 20, "observacion": "Policy issued elsewhere"}
    service.post("/v1/submissions/allianz/lead-update", told)
    known = service.get(f"/v1/submissions/{made['id']}")
    check(f"after its update the lead's submission is `{known['state']}`", is_true=known["state"] == "closed")


def _look_back(service: Service) -> None:
    answered = service.get("/v1/submissions?state=answered")["data"]
    kinds = sorted(one["kind"] for one in answered)
    check(f"answered: {', '.join(kinds)}", is_true=kinds == ["customer-lead", "forward"])
    unasked = service.get("/v1/events?submission_id[null]=true")["data"]
    check("there is no event that nobody asked for", is_true=unasked == [])


def main() -> int:
    """Run the demonstration and return its exit status."""
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="callbox-demo-"))
    folder.chmod(0o755)  # as root the database server is another user and must reach its folder
    service = Service(folder)
    platforms = Thinksurance(World()), wegroup.WeGroup(), allianz.Allianz()
    try:
        with ExitStack() as stack:
            say("The circle: Callbox calls a platform, the platform calls back, Callbox knows what that answers.\n")
            say("1. Start the doubles of three platforms, and Callbox with an empty database of its own")
            named: Iterator[tuple[str, ASGIApp]] = zip(("thinksurance", "wegroup", "allianz"), platforms, strict=True)
            urls = {name: stack.enter_context(serve(double)).url for name, double in named}
            for name, url in urls.items():
                say(f"   {name:12} {url}")
            stack.enter_context(service.running())
            say(f"   {'Callbox':12} {service.url}")
            show(service, urls)
    except NotTrueError as error:
        say(f"\nThis did not come true: {error}\n{service.log()}")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say(f"\nAll of it came true, in {time.monotonic() - begun:.0f} seconds. `make run` starts Callbox for good.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
