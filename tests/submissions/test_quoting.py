"""What is kept of answers that quote what the call was made by: all of it but the secrets."""

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.submissions.conftest import ALTA, BROKER_TOKEN, FORWARD, LEAD, Office

HELD: dict[str, Any] = {"hash": "ue0-4711/a+b", "secret": "geheim 08/15", "b_token": BROKER_TOKEN}
OWN = "own-token-4711"


@pytest.mark.parametrize("status", [200, 400, 403, 500, 302])
@pytest.mark.parametrize("path", ["/api/ipn/brokers/forward", "/api/ipn/tokens"])
def test_an_answer_is_kept_without_the_secrets_that_it_quotes(office: Office, status: int, path: str) -> None:
    office.source("thinksurance", "quoted", **HELD)
    office.thinksurance.world.user_hash, office.thinksurance.world.user_secret = HELD["hash"], HELD["secret"]
    secrets = [*HELD.values()]

    async def quoting(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != path:
            await office.thinksurance(scope, receive, send)
            return
        sent = dict(scope["headers"])
        secrets.extend(sent[name].decode().split(" ")[-1] for name in (b"authorization",) if name in sent)
        said = {
            "error": f"not good: {' and '.join(secrets)}",
            "links": [f"https://x.test/?t={quote(one, safe='')}" for one in secrets],
            "kept": "Vorgang 4711",
        }
        await JSONResponse(said, status, {"Location": "https://elsewhere.test/"})(scope, receive, send)

    office.stages["thinksurance"].app = quoting
    made = office.made("thinksurance/forward", FORWARD | {"source": "quoted"})
    assert made["state"] in {"refused", "unknown"}
    assert len(secrets) > 3 or path.endswith("tokens")
    assert set(made["answer"]["error"].removeprefix("not good: ").split(" and ")) == {"***"}
    assert set(made["answer"]["links"]) == {"https://x.test/?t=***"}
    assert made["answer"]["kept"] == "Vorgang 4711"
    stored = str(office.rows("SELECT s::text FROM submissions s"))
    assert [one for one in secrets if one in stored or quote(one, safe="") in stored] == []


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (422, {"detail": {"type": "X", "errors": [{"type": OWN, "target": OWN, "message": OWN}]}}),
        (200, {"id": "a", "note": f"by {OWN}"}),
    ],
)
def test_a_callers_own_token_is_not_kept_either(office: Office, status: int, said: Any) -> None:
    office.stages["wegroup"].app = JSONResponse(said, status)
    made = office.made("wegroup/customer-lead", LEAD, X_WeGroup_Access_Token=OWN)
    assert "***" in str(made["answer"])
    assert OWN not in str(made) + str(office.rows("SELECT s::text FROM submissions s"))


def test_what_allianz_says_is_kept_without_the_password(office: Office) -> None:
    settings = [("agent_id", "0051245"), ("auth", "basic")]
    office.source("allianz", "by-password", settings=settings, username="callbox", password="pass/4711")
    said = {"status": "KO", "message": "callbox:pass/4711 is not allowed", "nif": ALTA["dni"]}
    office.stages["allianz"].app = JSONResponse(said)
    made = office.made("allianz/client-check", {"source": "by-password", "nif": ALTA["dni"]})
    assert (made["state"], made["answer"]["message"]) == ("refused", "***:*** is not allowed")


def test_what_a_token_server_gives_under_other_names_is_not_kept(office: Office) -> None:
    settings = [
        ("agent_id", "0051245"),
        ("auth", "client-credentials"),
        ("token_url", f"{office.urls['allianz']}/oauth/token"),
    ]
    office.source("allianz", "by-token", settings=settings, client_id="callbox", client_secret="geheim-4711")
    tokens = {"accessToken": "eyJ-one", "refresh_token": "eyJ-two", "id_token": "eyJ-three", "for": "geheim-4711"}
    office.stages["allianz"].app = JSONResponse(tokens)
    made = office.made("allianz/client-check", {"source": "by-token", "nif": ALTA["dni"]})
    assert (made["state"], made["problem"]["code"]) == ("refused", "unusable-answer")
    assert made["answer"] == dict.fromkeys(tokens, "***")


@pytest.mark.parametrize(
    "quoted",
    [
        {"type": "X", "errors": [{"type": "Y", "target": "{all}", "message": "no"}]},
        {"type": "X", "errors": [{"type": "Y", "target": "{token}", "message": "no"}]},
        {
            "type": "X",
            "errors": [{"type": "{token}", "target": "prospect.email.lotte@voorbeeld.test", "message": "no"}],
        },
        [{"loc": ["body", "prospect", "{all}"], "msg": "no", "type": "Y"}],
        [{"loc": ["body", "prospect", "{token}"], "msg": "no", "type": "Y"}],
    ],
)
def test_why_a_lead_was_refused_tells_nothing_that_was_sent(office: Office, quoted: Any) -> None:
    async def quoting(scope: Any, receive: Any, send: Any) -> None:
        sent = (await Request(scope, receive).body()).decode()
        token = sent.partition("/callbacks/wegroup/")[2].partition('"')[0]
        said = json.dumps(quoted).replace("{token}", token).replace('"{all}"', json.dumps(sent))
        await Response(f'{{"detail": {said}}}', 422, media_type="application/json")(scope, receive, send)

    office.stages["wegroup"].app = quoting
    lead = LEAD | {"prospect": {**LEAD["prospect"], "email": "lotte@voorbeeld.test"}}  # type: ignore[dict-item]
    problem = str(office.made("wegroup/customer-lead", lead)["problem"])
    assert "answered 422" in problem
    assert [one for one in ("cbt_", "Voorbeeld", "voorbeeld.test") if one in problem] == []
    assert re.search(r"cbt_[^*]{43}", str(office.rows("SELECT s::text FROM submissions s"))) is None
