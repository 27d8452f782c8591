"""Checks of the sender as people set them: on the command line, mended, and the quarantine judged again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from app.accounts import keys
from app.accounts.model import Scope
from app.accounts.writing import Connection
from app.config import load_settings
from app.main import create_app
from tests.cli.test_second_looks import processor, settle

if TYPE_CHECKING:
    from tests.cli.conftest import Run

__all__ = ["processor", "settle"]

PASSWORD, VALUE, KEY = "Basstölpel-1", "Wert-Rotmilan-2", "Zeichen-Kiebitz-3"
CREDENTIALS = (f"sender_password={PASSWORD}", f"sender_header_value={VALUE}", f"sender_hmac_key={KEY}")
SETTINGS = (
    "sender_networks=198.51.100.0/24",
    "sender_header=X-Callbox-Sender",
    "sender_user=wegroup",
    "sender_hmac_header=X-Signature",
)
LOGIN = ("wegroup", PASSWORD.encode())


def _given(option: str, values: tuple[str, ...]) -> list[str]:
    return [word for value in values for word in (option, value)]


def test_settings_are_shown_and_secrets_are_not(run: "Run", connection: Connection) -> None:
    words = [*_given("--setting", SETTINGS), *_given("--credential", CREDENTIALS)]
    run("sources", "add", "wegroup", "b", *words, "--json")
    shown = run("sources", "show", "b", "--json").json
    assert shown["settings"] == dict(one.split("=") for one in SETTINGS)
    assert [(one["name"], one["values"]) for one in shown["credentials"]] == [
        ("sender_header_value", 1),
        ("sender_hmac_key", 1),
        ("sender_password", 1),
    ]
    said = run("sources", "show", "b").out + json.dumps(shown)
    (noted,) = connection.execute("SELECT string_agg(detail::text, ' ') FROM audit").fetchall()
    assert not any(secret in said + noted[0] for secret in (PASSWORD, VALUE, KEY))
    half = run("sources", "set", "b", "--credential", "sender_password=", "--json")
    assert half.error == "sender_user: is of no use without the credential sender_password; give both or neither"
    assert "is no list of addresses" in run("sources", "set", "b", "--setting", "sender_networks=x", "--json").error
    assert "allianz has no 'sender_networks'" in (
        run("sources", "add", "allianz", "c", "--setting", "sender_networks=::/0", "--json").error
    )


@pytest.mark.usefixtures("processor")
def test_a_wrong_setting_loses_nothing(
    run: "Run",
    connection: Connection,
    settle: Callable[[], None],
    database_url: str,
    encryption_key: str,
    tmp_path: Path,
) -> None:
    """An allow-list that forgets the platform, a password that was mistyped: mended, and what came is released."""
    words = _given("--setting", ("sender_networks=192.0.2.0/24", "sender_user=wegroup"))
    added = run("sources", "add", "wegroup", "b", *words, "--credential", "sender_password=vertippt", "--json").json
    path = added["callback_url"].removeprefix("https://hooks.example.test")
    reader = keys.add_key(connection, "reader", [Scope.READ, Scope.READ_PERSONAL, Scope.ADMIN]).key
    settings = load_settings(database_url=database_url, encryption_key=encryption_key, data_dir=tmp_path / "data")
    with TestClient(create_app(settings), client=("198.51.100.7", 4711)) as client:

        def ask(target: str) -> Any:
            answer = client.get(target, headers={"Authorization": f"Bearer {reader}"})
            assert answer.status_code == 200, answer.text
            return answer.json()

        leads = [{"id": f"lead-{number}", "event": "lead.updated"} for number in range(3)]
        answers = [client.post(path, json=lead, auth=LOGIN) for lead in leads]
        strange = client.post(path, json=leads[0], auth=("wegroup", "geraten"))
        odd = client.post(path, content=b"no json", auth=LOGIN)
        assert {answer.status_code for answer in (*answers, strange, odd)} == {401}
        settle()
        assert ask("/v1/deliveries?reason=sender-refused&limit=9")["data"][0]["items"] == []
        detail = ask(f"/v1/deliveries/{answers[0].json()['id']}")
        assert ["authorization", "***"] in detail["headers"]
        assert (detail["answered"], detail["status"], detail["reason"]) == (401, "quarantined", "sender-refused")
        (notice,) = [one for one in ask("/v1/attention")["data"] if one["kind"] == "quarantine"]
        assert (notice["count"], "sender-refused" in notice["sentence"]) == (5, True)

        run("sources", "set", "b", "--setting", "sender_networks=198.51.100.0/24")
        nothing = run("reverify", "b", "--json").json
        assert (nothing["deliveries"], nothing["released"], nothing["quarantined"]) == (5, 0, {"sender-refused": 5})
        run("sources", "set", "b", "--credential", f"sender_password={PASSWORD}")
        mended = run("reverify", "b", "--json").json
        assert (mended["deliveries"], mended["released"], mended["quarantined"]) == (5, 3, {"sender-refused": 1})
        assert "1 stay in quarantine: sender-refused" in run("reverify", "b").out
        events = ask("/v1/events?limit=9")["data"]
        assert {one["delivery_id"] for one in events} == {answer.json()["id"] for answer in answers}
        assert ask(f"/v1/deliveries/{odd.json()['id']}")["reason"] == "not-json"

        run("sources", "set", "b", "--credential", "sender_password=ein anderes")
        run("replay", "--source", "b", "--json")
        settle()
        assert len(ask("/v1/deliveries?status=accepted")["data"]) == 3, "what was released stays so"
