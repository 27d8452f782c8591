"""Connections that stay at hand between questions, and what they are good for when the server has ended them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
from sqlalchemy import event

from app.accounts.model import Scope
from tests.query.conftest import Caller, Rows, Served


def test_connections_are_kept_between_questions(rows: Rows, open_caller: Callable[[], Caller]) -> None:
    key = rows.key(Scope.READ)
    caller = open_caller()
    handed_out: list[object] = []
    state: Any = caller.client.app
    for engine in (state.state.reading.engine, state.state.reading.planned):
        event.listen(engine.sync_engine, "checkout", lambda *about: handed_out.append(about[0]))
    for _ in range(3):
        assert caller.get(key, "/v1/inquiries").status_code == 200
    assert len(handed_out) == 1
    name, own = rows.connection.exec_driver_sql("SELECT current_database(), pg_backend_pid()").one()
    others = "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE datname = %s AND pid <> %s"
    rows.connection.exec_driver_sql(others, (name, own))
    assert caller.get(key, "/v1/inquiries").status_code == 200
    assert len(handed_out) == 2


def test_more_questions_at_once_than_connections(rows: Rows, served: Served) -> None:
    rows.inquiry(rows.source("s"), 1)
    headers = {"Authorization": f"Bearer {rows.key(Scope.READ, Scope.READ_PERSONAL)}"}

    def ask(number: int) -> int:
        path = ("inquiries", "deliveries", "events", "search?q=muster")[number % 4]
        return httpx2.get(f"{served.url}/v1/{path}", headers=headers, timeout=30).status_code

    with ThreadPoolExecutor(40) as together:
        assert {*together.map(ask, range(200))} == {200}
