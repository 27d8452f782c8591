"""Sources, tokens and secrets over the API: made, changed, shown without a secret, refused with the field named."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.accounts.model import Scope
from app.administration.schemas import Configuration, SecretPage, TokenMade, TokenPage
from app.config import load_settings
from app.crypto import CALLBACK_TOKEN
from app.main import create_app
from tests.administration.conftest import Bureau

INQUIRY = {"data": {"bToken": "0123456789abcdef", "bExternalId": "42", "iId": 7, "status": 4}}


def _errors(answer: Any) -> list[str]:
    assert answer.status_code in (403, 422), answer.text
    assert all("_" not in one["code"] for one in answer.json()["errors"])
    return [one["pointer"] for one in answer.json()["errors"]]


def test_a_source_is_made_and_receives_at_once(bureau: Bureau) -> None:
    name = bureau.name()
    body = {
        "provider": "thinksurance",
        "name": name,
        "secrets": ["geheim-1", "geheim-2"],
        "recipe": {"algorithm": "sha1"},
        "credentials": {"hash": "geheim-3", "b_token": ["geheim-4", "geheim-5"]},
        "settings": {"base_url": "https://ts.example.test", "overdue_after": "48h"},
    }
    answer = bureau.ask("POST", "/sources", body)
    assert (answer.status_code, answer.headers["location"]) == (201, f"/v1/sources/{name}/configuration")
    made = Configuration.model_validate(answer.json())
    assert (made.mode, made.enabled, made.url_command) == ("enforce", True, f"callbox sources url {name}")
    assert [(one.name, one.values) for one in made.credentials] == [("b_token", 2), ("hash", 1)]
    assert [one.label for one in made.tokens] == ["token-1"]
    assert [one.label for one in made.secrets] == ["secret-1", "secret-2"]
    assert "geheim" not in answer.text
    assert not CALLBACK_TOKEN.search(answer.text)
    assert bureau.ask("GET", f"/sources/{name}/configuration").json() == answer.json()
    assert bureau.client.post(bureau.url(name), json=INQUIRY).json()["reason"] == "signature-unproven"
    action, detail = bureau.audited()[-1]
    assert (action, detail["source"]) == ("source.add", name)


def test_a_change_reaches_a_receiver_that_did_not_make_it(
    bureau: Bureau,
    shared_database_url: str,
    encryption_key: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    name = bureau.source(secrets=["geheim-1"], mode="observe")
    url = bureau.url(name)
    settings = load_settings(database_url=shared_database_url, encryption_key=encryption_key, data_dir=tmp_path)
    with TestClient(create_app(settings)) as other:
        assert other.post(url, json=INQUIRY).json()["status"] == "accepted"
        bureau.ask("PATCH", f"/sources/{name}", {"mode": "enforce"})
        changed = time.monotonic()
        while other.post(url, json=INQUIRY).json()["status"] != "quarantined":
            assert time.monotonic() - changed < 120
            time.sleep(0.02)
    record_property("seconds until another process knew", round(time.monotonic() - changed, 2))


def test_enforce_by_the_credential_hash_needs_no_secret(bureau: Bureau) -> None:
    name, recipe = bureau.name(), {"parts": ["iId", "hash"]}
    body = {"provider": "thinksurance", "name": name, "mode": "enforce", "recipe": recipe}
    refused = bureau.ask("POST", "/sources", body)
    assert refused.status_code == 422
    assert "the credential hash" in refused.text
    made = bureau.made("/sources", body | {"credentials": {"hash": "h"}})
    assert (made["mode"], made["secrets"]) == ("enforce", [])
    signed = {**INQUIRY, "sHash": hashlib.md5(b"7h").hexdigest()}  # noqa: S324 - Thinksurance's
    assert bureau.client.post(bureau.url(name), json=signed).json()["status"] == "accepted"


def test_what_is_not_given_stays(bureau: Bureau) -> None:
    name = bureau.source(secrets=["geheim-1"], settings={"overdue_after": "48h"}, credentials={"hash": "h"})
    before = bureau.ask("GET", f"/sources/{name}/configuration").json()
    answer = bureau.ask("PATCH", f"/sources/{name}", {"mode": "observe"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == before | {"mode": "observe", "updated_at": answer.json()["updated_at"]}
    changed = bureau.ask(
        "PATCH", f"/sources/{name}", {"settings": {"overdue_after": None}, "credentials": {"hash": []}}
    )
    assert (changed.json()["settings"], changed.json()["credentials"]) == ({}, [])
    assert bureau.client.post(bureau.url(name), json=INQUIRY).json()["status"] == "accepted", "known at once here"
    assert [action for action, _ in bureau.audited()][-2:] == ["source.set", "source.set"]


def test_a_configuration_that_is_still_so_is_not_sent_again(bureau: Bureau) -> None:
    path = f"/sources/{bureau.source()}/configuration"
    tag = bureau.ask("GET", path).headers["etag"]
    again = bureau.ask("GET", path, If_None_Match=tag)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    bureau.ask("PATCH", path.removesuffix("/configuration"), {"mode": "observe"})
    changed = bureau.ask("GET", path, If_None_Match=tag)
    assert (changed.status_code, changed.json()["mode"]) == (200, "observe")
    assert changed.headers["etag"] != tag
    described = bureau.client.get("/openapi.json").json()["paths"]["/v1/sources/{name}/configuration"]["get"]
    assert "304" in described["responses"]
    assert "If-None-Match" in [one["name"] for one in described["parameters"]]


def test_a_disabled_source_answers_404_until_it_is_enabled(bureau: Bureau) -> None:
    name = bureau.source()
    url = bureau.url(name)
    for _ in range(2):
        disabled = bureau.ask("PATCH", f"/sources/{name}", {"enabled": False}).json()
        assert (disabled["enabled"], bureau.client.post(url, json=INQUIRY).status_code) == (False, 404)
    assert bureau.ask("PATCH", f"/sources/{name}", {"enabled": True}).json()["disabled_at"] is None
    assert bureau.client.post(url, json=INQUIRY).status_code == 200


def test_tokens_are_added_and_revoked_without_being_shown(bureau: Bureau) -> None:
    name = bureau.source()
    first = bureau.url(name)
    answer = bureau.ask("POST", f"/sources/{name}/tokens", {"label": "since-2026"})
    made = TokenMade.model_validate(answer.json())
    assert (answer.status_code, made.label, made.url_command) == (201, "since-2026", f"callbox sources url {name}")
    assert not CALLBACK_TOKEN.search(answer.text)
    second = bureau.url(name)
    assert [bureau.client.post(url, json=INQUIRY).status_code for url in (first, second)] == [200, 200]
    once = bureau.ask("DELETE", f"/sources/{name}/tokens/token-1")
    again = bureau.ask("DELETE", f"/sources/{name}/tokens/{once.json()['id']}")
    assert (once.status_code, again.status_code) == (200, 200)
    used = {"last_used_at": None}  # is noted at some time after the callback, perhaps between the two
    assert once.json() | used == again.json() | used
    assert [bureau.client.post(url, json=INQUIRY).status_code for url in (first, second)] == [404, 200]
    page = TokenPage.model_validate(bureau.ask("GET", f"/sources/{name}/tokens").json())
    assert [(one.label, one.revoked_at is None) for one in page.data] == [("token-1", False), ("since-2026", True)]
    assert bureau.ask("DELETE", f"/sources/{name}/tokens/other").status_code == 404
    assert _errors(bureau.ask("POST", f"/sources/{name}/tokens", {"label": "since-2026"})) == ["/label"]
    assert _errors(bureau.ask("POST", f"/sources/{name}/tokens", {"label": "submission-1"})) == ["/label"]
    actions = [action for action, detail in bureau.audited() if detail.get("source") == name]
    assert actions == ["source.add", "source.token.add", "source.token.revoke"]


def test_secrets_are_added_and_revoked_without_being_shown(bureau: Bureau) -> None:
    name = bureau.source(secrets=["geheim-1"])
    path = f"/sources/{name}/secrets"
    answer = bureau.ask("POST", path, {"secret": "geheim-2", "label": "new"})
    assert (answer.status_code, answer.json()["label"]) == (201, "new")
    assert _errors(bureau.ask("POST", path, {"secret": "geheim-2"})) == ["/secret"]
    assert bureau.ask("DELETE", f"{path}/secret-1").json()["revoked_at"] is not None
    assert bureau.ask("DELETE", f"{path}/secret-1").status_code == 200
    last = bureau.ask("DELETE", f"{path}/new")
    assert (last.status_code, "it is the last one" in last.text) == (422, True)
    assert [(one["in"], one["name"]) for one in last.json()["errors"]] == [("path", "secret")]
    page = bureau.ask("GET", path)
    assert [one.label for one in SecretPage.model_validate(page.json()).data] == ["secret-1", "new"]
    assert "geheim" not in page.text + answer.text + last.text + str(bureau.rows("SELECT detail FROM audit"))
    told = bureau.client.get("/openapi.json").json()["paths"]["/v1/sources/{name}/secrets/{secret}"]["delete"]
    assert "next five seconds" in told["description"]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/provider", "/name"]),
        ({"provider": "nobody", "name": "x"}, ["/provider"]),
        ({"provider": "thinksurance", "name": "No"}, ["/name"]),
        ({"provider": "thinksurance", "name": "x", "mode": "strict"}, ["/mode"]),
        ({"provider": "thinksurance", "name": "x", "mode": "enforce"}, ["/mode"]),
        ({"provider": "thinksurance", "name": "x", "recipe": {"algorithm": "crc"}}, ["/algorithm"]),
        ({"provider": "wegroup", "name": "x", "secrets": ["s"]}, ["/secrets"]),
        ({"provider": "wegroup", "name": "x", "credentials": {"hash": "s"}}, ["/credentials"]),
        ({"provider": "wegroup", "name": "x", "settings": {"base_url": "ftp://x"}}, ["/settings"]),
        ({"provider": "thinksurance", "name": "x", "secret": "s"}, ["/secret"]),
        ({"provider": "thinksurance", "name": "x", "settings": {"test_source": "other"}}, ["/settings/test_source"]),
        ({"provider": "thinksurance", "name": 7}, ["/name"]),
        ({"provider": "thinksurance", "name": "x", "credentials": {"a/b": 5}}, ["/credentials/a~1b"] * 2),
    ],
)
def test_what_is_wrong_is_named_by_its_field(bureau: Bureau, body: Any, pointers: list[str]) -> None:
    before = bureau.rows("SELECT count(*) FROM sources")
    answer = bureau.ask("POST", "/sources", body)
    found = _errors(answer)
    assert [one.removeprefix("/recipe") for one in found] == pointers
    assert bureau.rows("SELECT count(*) FROM sources") == before


def test_a_name_is_taken_once(bureau: Bureau) -> None:
    name = bureau.source()
    answer = bureau.ask("POST", "/sources", {"provider": "wegroup", "name": name})
    assert (_errors(answer), "already" in answer.text) == (["/name"], True)


@pytest.mark.parametrize("body", ["[]", "{", '"x"', '{"name": "\\u0000"}', "{" + '"a": {' * 40 + "}" * 41])
def test_what_is_no_body_is_refused(bureau: Bureau, body: str) -> None:
    headers = {"Authorization": f"Bearer {bureau.admin}"}
    answer = bureau.client.post("/v1/sources", content=body, headers=headers)
    assert answer.status_code == 422, answer.text
    long = bureau.client.post("/v1/sources", content=json.dumps({"name": "x" * 300_000}), headers=headers)
    assert (long.status_code, long.json()["code"]) == (413, "body-too-long")


def test_settings_that_would_send_credentials_elsewhere_stay_on_the_command_line(bureau: Bureau) -> None:
    """Whoever has an admin key alone must not have Callbox hand out what no answer shows."""
    name = bureau.source(settings={"base_url": "https://ts.example.test"}, credentials={"hash": "geheim"})
    for setting in ("base_url", "v1_base_url", "document_hosts", "test_source"):
        answer = bureau.ask("PATCH", f"/sources/{name}", {"settings": {setting: "https://thief.example.test"}})
        assert (answer.status_code, answer.json()["code"]) == (403, "beyond-key")
        assert _errors(answer) == [f"/settings/{setting}"]
    assert bureau.rows("SELECT settings ->> 'base_url' FROM sources WHERE name = %s", name) == [
        ("https://ts.example.test",)
    ]


def test_a_repeat_under_the_same_key_makes_nothing_new(bureau: Bureau) -> None:
    body = {"provider": "thinksurance", "name": bureau.name(), "secrets": ["geheim"]}
    first = bureau.ask("POST", "/sources", body, Idempotency_Key="k-1")
    again = bureau.ask("POST", "/sources", body, Idempotency_Key="k-1")
    assert (first.status_code, again.status_code, again.headers["idempotency-replayed"]) == (201, 200, "true")
    assert first.json() == again.json()
    other = bureau.ask("POST", "/sources", body | {"secrets": ["other"]}, Idempotency_Key="k-1")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-key-reused")
    elsewhere = bureau.ask("POST", "/keys", {"name": "x", "scopes": ["read"]}, Idempotency_Key="k-1")
    assert elsewhere.status_code == 409
    paths = [f"/sources/{bureau.source()}/tokens" for _ in range(2)]
    same = [bureau.ask("POST", path, {"label": "x"}, Idempotency_Key="k-3").status_code for path in paths]
    assert same == [201, 409], "the same body at another path is another request"
    another = bureau.ask("POST", "/sources", body, key=bureau.key(Scope.ADMIN), Idempotency_Key="k-1")
    assert _errors(another) == ["/name"], "a key has its own"
    refused = {"provider": "thinksurance", "name": "NO"}
    assert [bureau.ask("POST", "/sources", refused, Idempotency_Key="k-2").status_code for _ in range(2)] == [422, 422]
    assert "geheim" not in str(bureau.rows("SELECT answer FROM api_requests"))


def test_a_key_of_a_request_is_forgotten_after_a_month(bureau: Bureau) -> None:
    body = {"provider": "wegroup", "name": bureau.name()}
    assert bureau.ask("POST", "/sources", body, Idempotency_Key="k-old").status_code == 201
    bureau.rows("UPDATE api_requests SET created_at = now() - interval '31 days' RETURNING 1")
    assert bureau.ask("POST", "/sources", body | {"name": bureau.name()}, Idempotency_Key="k-old").status_code == 201


def test_what_has_no_use_at_a_platform_is_refused(bureau: Bureau) -> None:
    calls_nobody, signs_nothing = bureau.source(provider="allianz"), bureau.source(provider="wegroup")
    assert _errors(bureau.ask("POST", f"/sources/{calls_nobody}/tokens", {"label": "x"})) == ["/label"]
    assert _errors(bureau.ask("POST", f"/sources/{signs_nothing}/secrets", {"secret": "geheim"})) == ["/secret"]
    bureau.made(f"/sources/{signs_nothing}/tokens", {"label": "x"})
    bureau.rows("UPDATE source_tokens SET label = 'submission-1' WHERE label = 'x' RETURNING 1")
    listed = bureau.ask("GET", f"/sources/{signs_nothing}/tokens").json()["data"]
    assert [row["label"] for row in listed] == ["token-1"], "those of single submissions are not listed"


def test_walls_hold(bureau: Bureau) -> None:
    inside, outside = bureau.source(), bureau.source()
    walled = bureau.key(Scope.ADMIN, Scope.READ, sources=[inside])
    by_broker = bureau.key(Scope.ADMIN, Scope.READ, brokers=["B-1"])
    assert bureau.ask("PATCH", f"/sources/{inside}", {"mode": "off"}, key=walled).status_code == 200
    before = bureau.rows("SELECT * FROM sources WHERE name = %s", outside)
    for method, path, body in (
        ("GET", "/configuration", None),
        ("PATCH", "", {"enabled": False}),
        ("GET", "/tokens", None),
        ("POST", "/tokens", {}),
        ("DELETE", "/tokens/token-1", None),
        ("GET", "/secrets", None),
        ("POST", "/secrets", {"secret": "s"}),
        ("DELETE", "/secrets/secret-1", None),
    ):
        assert bureau.ask(method, f"/sources/{outside}{path}", body, key=walled).status_code == 404, (method, path)
        if method != "GET":
            assert bureau.ask(method, f"/sources/{inside}{path}", body, key=by_broker).status_code == 403, path
    for key in (walled, by_broker):
        new = bureau.ask("POST", "/sources", {"provider": "wegroup", "name": "new"}, key=key)
        assert (new.status_code, new.json()["code"]) == (403, "forbidden")
    assert bureau.rows("SELECT * FROM sources WHERE name = %s", outside) == before
    assert bureau.ask("GET", "/sources/nobody/configuration").status_code == 404
    assert bureau.ask("GET", "/sources/NO%00/configuration").status_code == 404


def test_without_the_scope_nothing_is_done(bureau: Bureau) -> None:
    """Every path of this room, so that a new one cannot forget it."""
    name = bureau.source()
    powerless = bureau.key(Scope.READ, Scope.READ_PERSONAL, Scope.WRITE)
    document = bureau.client.get("/openapi.json").json()
    tried = 0
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            if method == "parameters" or "administration" not in described.get("tags", ()):
                continue
            filled = path.replace("{name}", name).replace("{token}", "token-1").replace("{secret}", "s")
            filled = filled.replace("{id}", "019a9c3e-1f00-7abc-8def-0123456789ab").removeprefix("/v1")
            answer = bureau.ask(method, filled, {"name": "x"}, key=powerless)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, path)
            stranger = bureau.client.request(method, f"/v1{filled}")
            assert stranger.status_code == 401, (method, path)
            tried += 1
    assert tried >= 16
