"""The command `submit` makes the same call as the API."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli.program import app
from tests.doubles import wegroup
from tests.submissions.conftest import FORWARD, LEAD, Office

Submit = Callable[..., tuple[int, str, str]]


@pytest.fixture
def submit(office: Office, database_url: str, encryption_key: str, monkeypatch: pytest.MonkeyPatch) -> Submit:
    """Run `callbox submit` on the office's database."""
    assert office
    monkeypatch.setenv("CALLBOX_DATABASE_URL", database_url)
    monkeypatch.setenv("CALLBOX_ENCRYPTION_KEY", encryption_key)
    monkeypatch.setenv("CALLBOX_PUBLIC_URL", "https://hooks.example.test")

    def run(*words: str, given: Any = None) -> tuple[int, str, str]:
        text = None if given is None else json.dumps(given)
        result = CliRunner().invoke(app, ["submit", *words], input=text, prog_name="callbox")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


def test_a_forward_is_made(office: Office, submit: Submit) -> None:
    code, out, _ = submit("thinksurance", "forward", "--source", "ts", "--data", "-", "--json", given=FORWARD)
    made = json.loads(out)
    assert (code, made["state"], made["platform_ids"]["inquiry_id"]) == (0, "accepted", 2_900_417)
    assert made["redirect_url"].startswith(office.urls["thinksurance"])
    assert office.thinksurance.heard[-1].body["callbackUrl"].startswith("https://hooks.example.test/callbacks/")
    assert office.get(f"/submissions/{made['id']}").json()["state"] == "accepted"
    assert office.rows("SELECT actor FROM audit WHERE action = 'submission.create'") == [("cli",)]


def test_only_the_document_stands_on_standard_output(office: Office, submit: Submit) -> None:
    office.wegroup.quirks.add("server-error", "/v1", times=1)  # so that there is a retry, which is logged
    data = json.dumps(LEAD)
    code, out, err = submit("wegroup", "customer-lead", "--source", "wg", "--data", data, "--json")
    assert (code, json.loads(out)["state"]) == (0, "accepted")
    assert "Voorbeeld" not in err


def test_people_are_told_what_came_of_it(office: Office, submit: Submit) -> None:
    code, out, _ = submit("thinksurance", "forward", "--source", "ts", "--data", json.dumps(FORWARD))
    assert code == 0
    assert "thinksurance forward: accepted" in out
    assert "/switch/" in out
    office.thinksurance.quirks.add("error", "/api/ipn/brokers/forward", times=3)
    code, out, _ = submit("thinksurance", "forward", "--source", "ts", "--data", json.dumps(FORWARD))
    assert code == 1
    assert "problem: refused" in out


def test_a_key_makes_one_call_here_too(office: Office, submit: Submit) -> None:
    words = (
        "wegroup",
        "customer-lead",
        "--source",
        "wg",
        "--data",
        json.dumps(LEAD),
        "--idempotency-key",
        "k",
        "--json",
    )
    first, again = (json.loads(submit(*words)[1]) for _ in range(2))
    assert first["id"] == again["id"]
    assert len(office.wegroup.heard) == 1
    by_api = office.post("wegroup/customer-lead", {name: LEAD[name] for name in LEAD}, Idempotency_Key="k")
    assert (by_api.status_code, by_api.json()["id"]) == (200, first["id"])


def test_a_repeat_whose_answer_was_not_kept_names_the_submission(office: Office, submit: Submit) -> None:
    words = ("thinksurance", "forward", "--source", "ts", "--data", json.dumps(FORWARD), "--idempotency-key", "k")
    submit(*words)
    code, _, err = submit(*words)
    ((made,),) = office.rows("SELECT id FROM submissions")
    assert code == 1
    assert f"submission_id: {made}" in err


def test_the_callers_own_token_goes_with_the_call(office: Office, submit: Submit) -> None:
    token = ("--access-token", wegroup.ACCESS_TOKEN)
    code, _, _ = submit("wegroup", "customer-lead", "--source", "wg", "--data", json.dumps(LEAD), *token)
    assert code == 0
    assert office.wegroup.heard[-1].headers["authorization"] == f"bearer {wegroup.ACCESS_TOKEN}"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("thinksurance", "fwd", "--source", "ts", "--data", "{}"), "thinksurance/forward"),
        (("thinksurance", "forward", "--source", "nobody", "--data", "{}"), "/source"),
        (("thinksurance", "forward", "--source", "ts", "--data", "{"), "no JSON"),
        (("thinksurance", "forward", "--source", "ts", "--data", '{"type": 1}'), "/bExternalId"),
    ],
)
def test_what_is_wrong_is_said(submit: Submit, words: tuple[str, ...], reason: str) -> None:
    code, out, err = submit(*words, "--json")
    assert (code, out) == (1, "")
    assert reason in json.loads(err)["error"]
