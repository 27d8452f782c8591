"""Calls that something cuts in on: who asked goes away, the process ends, the database is gone; and their repeats."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from starlette.responses import JSONResponse

from app.accounts import parts
from app.accounts.model import Access
from app.accounts.snapshot import read_accounts
from app.ids import IdSource
from app.storage import engine
from app.storage.database import connect
from app.submissions import sending
from app.submissions.kinds import KINDS
from tests.doubles import wegroup
from tests.jobs.test_runner import until
from tests.submissions.conftest import ALTA, BASE_URL, FORWARD, LEAD, Office


def under_way(office: Office) -> Future[Any]:
    """Begin a call that the platform takes its time for; return what asks for it, once the platform has it."""
    heard = Event()

    async def slowly(scope: Any, receive: Any, send: Any) -> None:
        heard.set()
        await asyncio.sleep(0.3)
        await office.wegroup(scope, receive, send)

    office.stages["wegroup"].app = slowly
    app: Any = office.client.app
    portal: Any = office.client.portal
    sources = read_accounts(office.database, office.vault).sources
    source = next(one for one in sources.values() if one.name == "wg")
    access = Access(IdSource().next(), "test", frozenset())
    order = sending.Order(source, KINDS["wegroup", "customer-lead"], LEAD, access, "tester")
    asking: Future[Any] = portal.start_task_soon(app.state.sender.submit, order, sources)
    until(heard.is_set)
    return asking


def test_a_call_whose_caller_goes_away_is_written_down_all_the_same(office: Office) -> None:
    assert under_way(office).cancel()
    until(lambda: office.rows("SELECT 1 FROM submissions WHERE state = 'accepted'"))


def test_a_process_that_ends_writes_down_the_calls_under_way(office: Office) -> None:
    under_way(office)
    app: Any = office.client.app
    office.client.portal.call(app.state.sender.aclose)  # type: ignore[union-attr]
    assert office.rows("SELECT state FROM submissions") == [("accepted",)]


def test_what_came_of_a_call_is_told_where_it_cannot_be_written_down(
    office: Office, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_STORE_WAITS_S", (0.0,))
    name = office.database.info.dbname
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s"

    async def alone(scope: Any, receive: Any, send: Any) -> None:
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        server.execute(others, (name, office.database.info.backend_pid))
        await office.wegroup(scope, receive, send)

    office.stages["wegroup"].app = alone
    with connect(server_url) as server:
        try:
            answer = office.post("wegroup/customer-lead", LEAD)
        finally:
            server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())
    told = answer.json()
    assert (answer.status_code, told["code"], told["state"]) == (503, "database-away", "accepted")
    assert told["platform_ids"]["lead_id"] in office.wegroup.leads
    assert office.rows("SELECT id::text, state FROM submissions") == [(told["submission_id"], "sending")]


def test_updates_of_one_lead_are_made_one_after_another(office: Office) -> None:
    at_once: list[int] = [0]

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        at_once.append(at_once[-1] + 1)
        await asyncio.sleep(0.1)
        at_once.append(at_once[-1] - 1)
        await office.allianz(scope, receive, send)

    lead_id = office.made("allianz/lead", ALTA)["platform_ids"]["lead_id"]
    office.stages["allianz"].app = counting
    key, body = office.writer, {"source": "az", "leadId": lead_id, "estado": 20, "observacion": "x"}
    with ThreadPoolExecutor(3) as pool:
        states = list(pool.map(lambda _: office.post("allianz/lead-update", body, key).json()["state"], range(3)))
    assert (states, max(at_once)) == (["accepted"] * 3, 1)


def test_a_repeat_whose_members_stand_in_another_order_is_a_repeat(office: Office) -> None:
    first = office.made("wegroup/customer-lead", LEAD, Idempotency_Key="k")
    again = office.post("wegroup/customer-lead", dict(reversed(LEAD.items())), Idempotency_Key="k")
    assert (again.status_code, again.json()["id"]) == (200, first["id"])


def test_a_repeat_of_what_was_refused_is_told_so_whatever_the_refusal_holds(office: Office) -> None:
    async def refusing(scope: Any, receive: Any, send: Any) -> None:
        said = JSONResponse({"error": "no", "url": "https://app.thinksurance.example/login"}, 400)
        await (said if scope["path"].endswith("/forward") else office.thinksurance)(scope, receive, send)

    office.stages["thinksurance"].app = refusing
    first, again = (office.post("thinksurance/forward", FORWARD, Idempotency_Key="k") for _ in range(2))
    assert [(one.status_code, one.json()["state"]) for one in (first, again)] == [(201, "refused"), (200, "refused")]


def test_a_repeat_that_comes_as_the_first_is_answered_gets_no_half_of_it(
    new_office: Callable[..., Office], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "READ_OPTIONS", engine.READ_OPTIONS.replace("lock_timeout=2s", "lock_timeout=60s"))
    office, heard, may_answer = new_office(60.0), Event(), Event()

    async def gated(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].endswith("/forward"):
            heard.set()
            await asyncio.to_thread(may_answer.wait, 60)
        await office.thinksurance(scope, receive, send)

    office.stages["thinksurance"].app = gated
    key, asked = office.writer, ("thinksurance/forward", FORWARD)
    with ThreadPoolExecutor(2) as pool, connect(database_url, autocommit=False) as locker:
        first = pool.submit(office.post, *asked, key, Idempotency_Key="k")
        until(heard.is_set)
        locker.execute("LOCK TABLE sources")  # the repeat has looked for the key when it comes here
        again = pool.submit(office.post, *asked, key, Idempotency_Key="k")
        until(lambda: office.rows("SELECT 1 FROM pg_locks WHERE relation = 'sources'::regclass AND NOT granted"))
        may_answer.set()
        until(lambda: office.rows("SELECT 1 FROM submissions WHERE state = 'accepted'"))
        locker.rollback()
        assert (first.result().status_code, again.result().json().get("code")) == (201, "answer-not-kept")


def test_a_key_is_for_one_source(office: Office) -> None:
    settings = [("distribution_id", wegroup.DISTRIBUTION_ID)]
    office.source("wegroup", "wg-2", settings=settings, api_token=wegroup.API_TOKEN)
    made = [office.made("wegroup/customer-lead", LEAD | {"source": one}, Idempotency_Key="k") for one in ("wg", "wg-2")]
    assert len({one["id"] for one in made}) == len(office.wegroup.heard) == 2


def test_the_newest_token_is_named_to_be_called_back(office: Office) -> None:
    added = parts.add_token(office.database, office.vault, "ts", "next")
    office.made("thinksurance/forward", FORWARD)
    assert office.thinksurance.heard[-1].body["callbackUrl"] == f"{BASE_URL}/callbacks/thinksurance/{added.token}"


def test_what_brings_no_callback_is_never_overdue(office: Office) -> None:
    office.set("allianz", "az", overdue_after="1s")
    made = office.made("allianz/lead", ALTA)
    assert (made["state"], made["due_at"]) == ("accepted", None)
