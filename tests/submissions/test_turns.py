"""Calls about one lead are made one after another, by whatever processes: here the service's and `callbox submit`."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from app.accounts import parts
from app.submissions import turns
from tests.jobs.test_runner import until
from tests.submissions.conftest import BASE_URL, LEAD, Office

ROOT = Path(__file__).parents[2]
Submit = Callable[[dict[str, Any]], subprocess.Popen[bytes]]

_HELD = (
    " FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


def lead(email: str, **named: Any) -> dict[str, Any]:
    """Return a push of the one lead, or of that which is named otherwise."""
    prospect: Any = LEAD["prospect"]
    return LEAD | {"prospect": prospect | named | {"email": email}}


def emails(office: Office) -> list[str]:
    """Return what the platform was told, in its order."""
    return [one.body["prospect"]["email"] for one in office.wegroup.heard]


@pytest.fixture
def submit_elsewhere(database_url: str, encryption_key: str) -> Iterator[Submit]:
    """Begin a push of a lead in a process of its own; return that once the platform was asked by it."""
    named = {"CALLBOX_DATABASE_URL": database_url, "CALLBOX_ENCRYPTION_KEY": encryption_key, "PYTHONPATH": str(ROOT)}
    begun = []

    def begin(body: dict[str, Any]) -> subprocess.Popen[bytes]:
        words = ["submit", "wegroup", "customer-lead", "--source", "wg", "--data", json.dumps(body)]
        begun.append(subprocess.Popen([sys.executable, "-m", "app", *words], env=os.environ | named))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.wait()


def quirk(office: Office, kind: str, **how: Any) -> Callable[[], bool]:
    """Have the next request misbehave; return what tells that it came."""
    office.wegroup.quirks.add(kind, "/v1", **how)
    put_on = office.wegroup.quirks._put_on[-1]
    return lambda: not put_on.times


@pytest.fixture
def patient(new_office: Callable[..., Office]) -> Office:
    """An office that waits long for an answer."""
    return new_office(120.0)


@contextmanager
def under_way(office: Office) -> Iterator[Future[Any]]:
    """Have a push of the lead under way until the end of the block; it is done after that."""
    has_come, may_go = Event(), Event()

    async def held(scope: Any, receive: Any, send: Any) -> None:
        if not has_come.is_set():
            has_come.set()
            await asyncio.to_thread(may_go.wait, 120)
        await office.wegroup(scope, receive, send)

    office.stages["wegroup"].app = held
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(office.post, "wegroup/customer-lead", lead("a@example.test"), office.writer)
        until(has_come.is_set)
        try:
            yield asked
        finally:
            may_go.set()


@pytest.mark.process
def test_a_try_made_again_does_not_undo_what_another_process_has_said_since(
    office: Office, submit_elsewhere: Submit
) -> None:
    was_asked = quirk(office, "busy", wait=2)
    elsewhere = submit_elsewhere(lead("old@example.test"))
    until(was_asked)
    assert office.made("wegroup/customer-lead", lead("new@example.test"))["state"] == "accepted"
    assert elsewhere.wait() == 0
    assert emails(office) == ["old@example.test", "new@example.test"]
    sent = office.rows("SELECT sent_at, request #>> '{prospect,email}' FROM submissions ORDER BY id")
    assert [email for _, email in sorted(sent)] == [email for _, email in sent] == emails(office)
    until(lambda: not office.rows("SELECT 1" + _HELD))


@pytest.mark.process
def test_who_waits_too_long_is_told_so_and_a_dead_process_holds_up_nobody(
    office: Office, submit_elsewhere: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    was_asked = quirk(office, "slow", seconds=300.0)
    elsewhere = submit_elsewhere(lead("old@example.test"))
    until(was_asked)
    monkeypatch.setattr(turns, "WAIT_S", 0.3)
    answer = office.post("wegroup/customer-lead", lead("new@example.test"), Idempotency_Key="k")
    assert (answer.status_code, answer.json()["code"]) == (503, "call-under-way")
    assert answer.headers["Retry-After"] == "10"
    assert len(office.rows("SELECT 1 FROM submissions")) == 1
    assert office.post("wegroup/customer-lead", lead("a@example.test", external_ref=None)).json()["state"] == "accepted"
    elsewhere.kill()
    monkeypatch.undo()
    made = office.made("wegroup/customer-lead", lead("new@example.test"), Idempotency_Key="k")
    assert made["state"] == "accepted"
    assert office.rows("SELECT state FROM submissions ORDER BY id LIMIT 1") == [("sending",)]


def test_calls_that_wait_take_no_connections_from_questions(patient: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAIT_S", 120.0)
    key = patient.writer
    with ThreadPoolExecutor(15) as pool, under_way(patient) as first:
        asked = [pool.submit(patient.post, "wegroup/customer-lead", lead("b@example.test"), key) for _ in range(15)]
        assert [patient.get("/submissions").status_code for _ in range(3)] == [200] * 3
        assert len(patient.rows("SELECT 1" + _HELD)) == 1
    assert {one.result().json()["state"] for one in (first, *asked)} == {"accepted"}
    assert len(patient.wegroup.heard) == 16


def test_too_long_is_too_long_within_one_process_as_well(patient: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    with under_way(patient):
        monkeypatch.setattr(turns, "WAIT_S", 0.3)
        assert patient.post("wegroup/customer-lead", lead("b@example.test")).json()["code"] == "call-under-way"
    assert emails(patient) == ["a@example.test"]


def test_a_repeat_under_a_key_waits_as_well_and_is_not_sent(patient: Office) -> None:
    key = patient.writer
    with ThreadPoolExecutor(2) as pool:
        with under_way(patient):
            both = [
                pool.submit(patient.post, "wegroup/customer-lead", lead("b@example.test"), key, Idempotency_Key="k")
                for _ in range(2)
            ]
        assert sorted(one.result().status_code for one in both) == [200, 201]
    assert emails(patient) == ["a@example.test", "b@example.test"]


def test_a_call_that_waited_is_as_new_as_if_it_were_asked_for_then(patient: Office) -> None:
    key = patient.writer
    with ThreadPoolExecutor(1) as pool:
        with under_way(patient):
            waiting = pool.submit(patient.post, "wegroup/customer-lead", lead("b@example.test"), key)
            patient.made("wegroup/customer-lead", lead("c@example.test", external_ref=None))
            added = parts.add_token(patient.database, patient.vault, "wg", "next")
            assert not waiting.done()
        made = waiting.result().json()
    assert patient.wegroup.heard[-1].body["prospect"]["callbacks"] == [f"{BASE_URL}/callbacks/wegroup/{added.token}"]
    assert patient.get("/submissions").json()["data"][0]["id"] == made["id"]


def test_a_turn_ends_with_its_call_while_others_are_under_way(patient: Office) -> None:
    with under_way(patient):
        patient.made("wegroup/customer-lead", lead("b@example.test", external_ref={"external_ref": "crm-2"}))
        assert len(patient.rows("SELECT 1" + _HELD)) == 1


def test_turns_that_are_lost_with_their_connection_end_no_call(patient: Office) -> None:
    other = lead("b@example.test", external_ref={"external_ref": "crm-2"})
    with under_way(patient) as first:
        assert patient.rows("SELECT pg_terminate_backend(pid)" + _HELD) == [(True,)]
        until(lambda: not patient.rows("SELECT 1" + _HELD))
        assert patient.post("wegroup/customer-lead", other).json()["code"] == "database-away"
        assert patient.made("wegroup/customer-lead", other)["state"] == "accepted"
    assert first.result().json()["state"] == "accepted"
    assert patient.made("wegroup/customer-lead", lead("b@example.test"))["state"] == "accepted"


@pytest.mark.parametrize(
    ("one", "other", "most"),
    [
        ({}, {}, 1),
        ({"id": "8F0f7b9e", "external_ref": None}, {"id": "8f0f7b9e", "external_ref": None}, 1),
        ({}, {"external_ref": {"external_ref": "crm-2", "external_ref_company": "crm"}}, 2),
        ({"external_ref": None}, {"external_ref": None}, 2),
    ],
)
def test_only_calls_about_one_lead_wait_for_each_other(office: Office, one: Any, other: Any, most: int) -> None:
    at_once, all_there = [0], asyncio.Event()

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        at_once.append(at_once[-1] + 1)
        if at_once[-1] == most:
            all_there.set()
        await all_there.wait()
        await asyncio.sleep(0.3)
        at_once.append(at_once[-1] - 1)
        await office.wegroup(scope, receive, send)

    office.stages["wegroup"].app = counting
    key = office.writer
    with ThreadPoolExecutor(2) as pool:
        bodies = [lead("a@example.test", **named) for named in (one, other)]
        made = list(pool.map(lambda body: office.post("wegroup/customer-lead", body, key).json()["state"], bodies))
    assert (made, max(at_once)) == (["accepted"] * 2, most)
